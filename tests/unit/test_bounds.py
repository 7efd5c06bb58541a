"""What is just refused, and beside it what is just taken: ids, lengths, settings."""

import math

import numpy as np
import pytest

from llama_np.cache import KVCache
from llama_np.model import forward
from llama_np.sampling import Sampling, generate, generate_batch, pad_left, prefill, room_to_write
from llama_np.training.loss import IGNORE, cross_entropy
from llama_np.training.optimizer import clip_by_global_norm, global_norm, learning_rate
from tests.checks import agree
from tests.tiny import random_ids, random_weights, tiny_config
from weights_tools.training.corpus import Stream
from weights_tools.training.run import run_training
from weights_tools.training.stages import Answer, Pretraining, Rows, groups, pad
from weights_tools.training.trainer import Hyperparameters


@pytest.fixture
def short():
    config = tiny_config(context_length=6)
    return random_weights(config), config


# --- ids and positions ---


def test_the_first_and_the_last_id(short):
    weights, config = short
    last = config.vocab_size - 1
    assert forward(weights, config, np.array([0, last])).shape == (2, config.vocab_size)
    for wrong in (-1, last + 1):
        with pytest.raises(ValueError, match=f"id {wrong} is outside the vocabulary"):
            forward(weights, config, np.array([0, wrong, 0]))


def test_as_many_positions_as_the_context(short):
    weights, config = short
    ids = random_ids(config, 6)
    whole = forward(weights, config, ids)
    cache = KVCache(config, 10)
    forward(weights, config, ids[:4], cache)
    agree(forward(weights, config, ids[4:], cache), whole[4:])
    with pytest.raises(ValueError, match="7 positions are more than this model's context of 6"):
        forward(weights, config, ids[:1], cache)
    with pytest.raises(ValueError, match="7 positions are more than this model's context of 6"):
        forward(weights, config, np.zeros(7, int))


def test_a_prompt_that_leaves_room_for_one(short):
    weights, config = short
    assert len(list(generate(weights, config, [1] * 5))) == 1
    with pytest.raises(ValueError, match="a prompt of 6 tokens leaves no room"):
        generate(weights, config, [1] * 6)
    assert [len(row) for row in generate_batch(weights, config, [[1] * 5, [2]])] == [1, 1]
    with pytest.raises(ValueError, match="a prompt of 6 tokens leaves no room"):
        generate_batch(weights, config, [[2], [1] * 6])


def test_room_to_write():
    config = tiny_config(context_length=6)
    assert [room_to_write(config, n, None) for n in (1, 5)] == [5, 1]
    assert [room_to_write(config, 2, n) for n in (0, 3, 4, 5)] == [0, 3, 4, 4]


def test_prompts_and_batches_that_are_empty(short):
    weights, config = short
    with pytest.raises(ValueError, match="ids is empty"):
        generate(weights, config, [])
    with pytest.raises(ValueError, match="ids is empty"):
        generate_batch(weights, config, [[1], []])
    with pytest.raises(ValueError, match="expected at least one prompt, got none"):
        generate_batch(weights, config, [])
    assert generate_batch(weights, config, [[1], [2, 3]], 0) == [[], []]


@pytest.mark.parametrize("n", [511, 512, 513, 1024, 1025])
def test_a_prompt_as_long_as_its_chunks(n):
    config = tiny_config(context_length=2000, n_layers=1)
    weights, ids = random_weights(config), random_ids(config, n)
    cache = KVCache(config, n)
    agree(prefill(weights, config, ids, cache), forward(weights, config, ids, last_only=True)[-1])
    assert cache.length == n


def test_padding_where_nothing_is_padded():
    ids, padding = pad_left([[1, 2], [3, 4]])
    assert ids.tolist() == [[1, 2], [3, 4]] and padding.tolist() == [0, 0]


@pytest.mark.parametrize("limit", [{"top_k": 1}, {"top_p": 1.0}, {"top_p": 1e-300}])
def test_the_smallest_and_largest_settings_are_taken(limit):
    assert Sampling(1e-300, **limit).temperature == 1e-300


# --- training ---


def test_a_text_one_token_longer_than_a_row():
    rows = Rows(tokens_per_step=64, row=16, final_row=32)
    Pretraining(Stream([np.arange(33)], 0), rows, 4, vocab_size=33)
    with pytest.raises(ValueError, match="32 tokens, too few for rows of 32"):
        Pretraining(Stream([np.arange(32)], 0), rows, 4, vocab_size=33)
    with pytest.raises(ValueError, match="the id 32, the model a vocabulary of 32"):
        Pretraining(Stream([np.arange(33)], 0), rows, 4, vocab_size=32)


def test_rows_of_one_token_and_of_a_whole_step():
    Rows(tokens_per_step=64, row=1, final_row=64)
    for length in (0, -1, 3, 65):
        with pytest.raises(ValueError, match=f"cannot be cut into rows of {length}"):
            Rows(tokens_per_step=64, row=16, final_row=length)


def test_at_least_one_step_and_one_evaluation(tmp_path):
    assert Hyperparameters(steps=1).steps == 1
    with pytest.raises(ValueError, match="at least one step, got 0"):
        Hyperparameters(steps=0)
    with pytest.raises(ValueError, match="--evaluate-every must be at least 1, got 0"):
        run_training(None, tmp_path / "out", 0, None, None, None)
    assert not (tmp_path / "out").exists()


def test_groups_hold_as_many_tokens_as_may_be(monkeypatch):
    monkeypatch.setattr("weights_tools.training.stages.PART_TOKENS", 10)
    cut = list(groups([4, 6, 1, 10, 11, 3, 7, 1], lambda n: n))
    assert cut == [(0, [4, 6]), (2, [1]), (3, [10]), (4, [11]), (5, [3, 7]), (7, [1])]
    assert list(groups([], lambda n: n)) == []


def test_an_answer_of_one_token():
    ids, targets = pad([Answer(np.array([5, 6, 7]), 2), Answer(np.array([1, 2]), 1)])
    assert ids.tolist() == [[5, 6], [1, 0]]
    assert targets.tolist() == [[IGNORE, 7], [2, IGNORE]]
    even = cross_entropy(np.zeros((2, 2, 8)), targets)
    assert even == pytest.approx(math.log(8))


def test_a_gradient_exactly_as_long_as_the_limit(house):
    config, _ = house
    gradients = random_weights(config, seed=3)
    arrays = [array for _, array in gradients.named()]
    length, before = global_norm(arrays), [array.copy() for array in arrays]
    assert clip_by_global_norm(gradients, length) == length
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))
    assert clip_by_global_norm(gradients, length / 2) == length
    for a, b in zip(arrays, before, strict=True):
        agree(a, b / 2)


def test_the_rate_at_the_ends_and_beyond():
    def rate(step, **options):
        return learning_rate(step, 2.0, warm_up=4, total=10, **options)

    assert rate(3) == pytest.approx(1.6) and rate(4) == 2.0
    assert rate(7) == pytest.approx(1.0) and rate(7, final=1.0) == pytest.approx(1.5)
    assert rate(10) == rate(11) == 0.0 and rate(11, final=0.5) == 0.5
    assert learning_rate(4, 2.0, warm_up=4, total=4) == 2.0
