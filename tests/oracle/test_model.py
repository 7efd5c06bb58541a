"""The whole model beside PyTorch's and transformers', activation by activation, by name."""

import numpy as np
import pytest

from llama_np.attention import CHUNK
from llama_np.cache import KVCache
from llama_np.model import embed, forward
from llama_np.tap import catalogue, record
from tests.checks import agree, agree_by_name
from tests.tiny import random_ids, random_weights, tiny_config


def trace_of(weights, config, ids, **options):
    trace = {}
    forward(weights, config, ids, tap=record(trace), **options)
    return trace


def test_every_activation_is_that_of_pytorch(twin, config, weights, ids, dtype):
    weights = weights.map(lambda w: w.astype(dtype))
    theirs = twin.forward(twin.tensors(weights), config, ids)
    assert theirs.keys() == catalogue(config.n_layers).keys()
    agree_by_name(trace_of(weights, config, ids), theirs)


def test_every_activation_is_that_of_transformers(twin, config, weights, ids, dtype):
    weights = weights.map(lambda w: w.astype(dtype))
    model = twin.hugging_face_twin(config, weights)
    theirs = twin.hugging_face_activations(model, ids)
    assert {f"blocks.{i}.pattern" for i in range(config.n_layers)} <= theirs.keys()
    assert "embedded" in theirs and "final_norm" in theirs and "logits" in theirs
    agree_by_name(trace_of(weights, config, ids), theirs)


def test_a_batch_is_that_of_transformers(twin, torch, house):
    config, weights = house
    ids = random_ids(config, 3, 7)
    single = weights.map(np.float32)
    with torch.no_grad():
        theirs = twin.hugging_face_twin(config, single)(torch.tensor(ids)).logits
    agree(forward(single, config, ids), theirs)


def test_embed(torch, normal):
    embedding, ids = normal(50, 4), np.array([[3, 0], [49, 3]])
    agree(
        embed(embedding, ids), torch.nn.functional.embedding(*map(torch.tensor, (ids, embedding)))
    )
    agree(embed(embedding, ids), np.eye(50)[ids] @ embedding)


# --- what must hold of any Llama ---


def test_a_stack_is_the_stack_of_its_parts(config, weights):
    ids = random_ids(config, 2, 3, 7)
    parts = [[forward(weights, config, each) for each in row] for row in ids]
    agree(forward(weights, config, ids), np.array(parts))


@pytest.mark.parametrize("length", [CHUNK, CHUNK + 1, 2 * CHUNK + 5])
def test_chunks_of_queries_change_nothing(house, length):
    """Where a tap looks, the scores are whole; where none does, a long text comes in chunks."""
    config, weights = house
    ids = random_ids(config, 2, length)
    agree(forward(weights, config, ids), forward(weights, config, ids, tap=record({})))


@pytest.mark.parametrize("changed", range(1, 7))
def test_a_later_token_changes_no_earlier_row(house, changed):
    config, weights = house
    ids = random_ids(config, 7)
    other = ids.copy()
    other[changed] = (ids[changed] + 1) % config.vocab_size
    before, after = trace_of(weights, config, ids), trace_of(weights, config, other)
    for name in before:
        if name.endswith(".scores"):
            continue  # the mask comes behind them
        early = np.s_[..., :changed, :]
        agree(after[name][early], before[name][early], name=name)
    assert not np.allclose(before["logits"][changed], after["logits"][changed])


def test_scores_stay_when_all_positions_move(house):
    config, weights = house
    ids = random_ids(config, 7)
    here = trace_of(weights, config, ids)
    there = trace_of(weights, config, ids, positions=np.arange(100, 107))
    for name in ("blocks.0.scores", "blocks.1.scores", "logits"):
        agree(there[name], here[name], tolerance=1e-11, name=name)


@pytest.mark.parametrize("cached", [False, True])
def test_float32_stays_float32(config, weights, ids, cached):
    single = weights.map(np.float32)
    cache = KVCache(config, 10) if cached else None
    seen = set()

    def tap(name, value):
        seen.add(value.dtype)
        return value

    forward(single, config, ids, cache, tap)
    forward(single, config, ids[:3], cache, tap)
    assert forward(single, config, random_ids(config, CHUNK + 1)).dtype == np.float32
    assert seen == {np.dtype(np.float32)}


def test_logits_of_half_precision_weights_are_float32(house):
    config, weights = house
    half = weights.map(np.float16)
    ids = random_ids(config, 7)
    logits = forward(half, config, ids)
    assert logits.dtype == np.float32
    agree(logits, forward(half.map(np.float32), config, ids), tolerance=0.05)


def test_ids_may_be_a_list(house):
    config, weights = house
    ids = random_ids(config, 7)
    assert np.array_equal(forward(weights, config, ids.tolist()), forward(weights, config, ids))


def test_neither_ids_nor_weights_change(house):
    config, weights = house
    ids = random_ids(config, 7)
    before = ids.copy(), weights.map(np.copy)
    forward(weights, config, ids)
    assert np.array_equal(ids, before[0])
    agree_by_name(dict(weights.named()), dict(before[1].named()), 0)


# --- the gate ---


@pytest.mark.parametrize(
    "ids, message",
    [
        (np.array([], int), "ids is empty"),
        (np.zeros((2, 0), int), "ids is empty"),
        (np.array([1.0]), "must be integers, got float64"),
        (np.array([True]), "must be integers, got bool"),
        (np.array([0, -1]), "id -1 is outside the vocabulary of 53"),
        (np.array([0, 53]), "id 53 is outside the vocabulary of 53"),
        (np.zeros(9, int), "9 positions are more than this model's context of 8"),
    ],
)
def test_ids_that_no_model_takes_are_refused(house, ids, message):
    _, weights = house
    with pytest.raises(ValueError, match=message):
        forward(weights, tiny_config(context_length=8), ids)


def test_a_cache_does_not_lengthen_the_context(house):
    _, weights = house
    config = tiny_config(context_length=8)
    cache = KVCache(config, 20)
    forward(weights, config, np.zeros(8, int), cache)
    with pytest.raises(ValueError, match="9 positions are more than this model's context of 8"):
        forward(weights, config, np.zeros(1, int), cache)


def test_a_tied_output_is_the_embedding():
    config = tiny_config(tied_output=True)
    weights = random_weights(config)
    trace = trace_of(weights, config, random_ids(config, 7))
    agree(trace["logits"], trace["final_norm"] @ weights.embedding.T)
