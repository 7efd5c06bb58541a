"""What an action leaves behind: nothing is shared, forgotten or moved that should not be."""

import numpy as np
import pytest

from llama_np.cache import KVCache
from llama_np.model import forward
from llama_np.sampling import Sampling, generate
from llama_np.tokenizer.bpe import LONGEST_RUN, BPETokenizer, _cut_long_runs
from llama_np.training.lora import initialize_lora, merge
from tests.checks import agree
from tests.tiny import random_ids, random_weights, tiny_config
from weights_tools.training.corpus import Stream, digest
from weights_tools.training.dialogs import Dialog, encode, encode_all
from weights_tools.training.stages import Answer, FineTuning, Rows, draw

SPECIAL = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


# --- the cache ---


@pytest.mark.parametrize("copies", [None, 2])
def test_original_and_fork_go_on_in_turns(house, copies):
    config, weights = house
    past, one, other = np.arange(4), np.array([5, 6]), np.array([7, 8])
    cache = KVCache(config, 6)
    forward(weights, config, past, cache)
    fork = cache.fork(copies)
    theirs = other if copies is None else np.tile(other, (copies, 1))
    for i in (0, 1):
        mine = forward(weights, config, one[i : i + 1], cache)
        its = forward(weights, config, theirs[..., i : i + 1], fork)
    agree(mine, forward(weights, config, np.array([*past, *one]))[-1:])
    expected = forward(weights, config, np.array([*past, *other]))[-1:]
    agree(its, np.broadcast_to(expected, its.shape))
    assert not np.shares_memory(cache.keys, fork.keys)
    assert not np.shares_memory(cache.values, fork.values)


def test_a_fork_of_an_empty_cache(house):
    fork = KVCache(house[0], 6).fork()
    assert (fork.length, fork.max_length, fork.nbytes) == (0, 6, 0)


def test_reset_forgets_and_keeps_the_memory(house):
    config, weights = house
    cache = KVCache(config, 5)
    forward(weights, config, np.arange(5), cache)
    keys, values, n_bytes = cache.keys, cache.values, cache.nbytes
    cache.reset()
    assert (cache.length, cache.nbytes) == (0, n_bytes)
    forward(weights, config, np.arange(3), cache)
    assert cache.keys is keys and cache.values is values and cache.length == 3


def test_the_cache_itself_refuses_what_does_not_fit(house):
    """Also where no ``forward`` has looked before; and nothing is written."""
    config, _ = house
    cache = KVCache(config, 4)
    new = np.ones((config.n_kv_heads, 3, config.head_dim))
    k, v = cache.update(0, new, 2 * new)
    assert k.shape == v.shape == new.shape and (v == 2).all() and cache.length == 0
    cache.advance(3)
    k, v = cache.update(0, new[:, :1], new[:, :1])
    assert k.shape == (config.n_kv_heads, 4, config.head_dim) and (v[:, 3] == 1).all()
    before = cache.keys[0, :, :4].copy()
    for write in (cache.update, lambda i, k, v: cache.layer(i).update(k, v)):
        with pytest.raises(ValueError, match="holds 3 of 4 positions and cannot take 2 more"):
            write(0, new[:, :2], new[:, :2])
    assert np.array_equal(cache.keys[0, :, :4], before)
    too_long = np.ones((config.n_kv_heads, 5, config.head_dim))
    with pytest.raises(ValueError, match="holds 0 of 4 positions and cannot take 5 more"):
        KVCache(config, 4).update(0, too_long, too_long)


def test_a_run_leaves_its_inputs_alone(house):
    config, weights = house
    ids = random_ids(config, 2, 6)
    before = ids.copy(), {name: array.copy() for name, array in weights.named()}
    forward(weights, config, ids)
    list(generate(weights, config, ids[0].tolist(), 4))
    assert np.array_equal(ids, before[0])
    assert all(np.array_equal(array, before[1][name]) for name, array in weights.named())


def test_a_generator_that_was_used_draws_on(house):
    config, weights = house
    rng, options = np.random.default_rng(0), (weights, config, [1, 2, 3], 20, Sampling(2.0))
    first, second = list(generate(*options, rng=rng)), list(generate(*options, rng=rng))
    assert first != second


def test_merging_leaves_the_frozen_weights_as_they_were():
    config = tiny_config()
    weights, rng = random_weights(config), np.random.default_rng(0)
    before = {name: array.copy() for name, array in weights.named()}
    lora = initialize_lora(config, 2, rng).map(lambda x: rng.standard_normal(x.shape))
    changed = dict(merge(weights, lora).named())
    for name, array in weights.named():
        assert np.array_equal(array, before[name])
        assert np.array_equal(array, changed[name]) == (name not in lora.pairs)


# --- the data of a run ---


def documents(n=6):
    return [np.arange(10 * i, 10 * i + 5 + i) for i in range(n)]


def test_another_seed_is_another_order():
    one, same, other = (Stream(documents(), seed).epoch(0) for seed in (0, 0, 1))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    orders = {tuple(draw(12, 12, step=0, seed=seed)) for seed in range(4)}
    assert len(orders) == 4 and all(sorted(order) == list(range(12)) for order in orders)


def test_a_stream_may_go_back():
    stream = Stream(documents(), 0)
    first = stream.slice(0, 20)
    stream.slice(3 * stream.length, 20)
    assert np.array_equal(stream.slice(0, 20), first)


def test_a_digest_names_content_and_order():
    one = documents()
    assert digest(one) == digest([array.copy() for array in one]) and len(digest(one)) == 8
    assert digest(one) != digest(one[::-1])
    assert digest(one) != digest([one[0] + 1, *one[1:]])
    assert digest(one) != digest(one[:-1])


def test_the_step_at_which_rows_become_long():
    rows = Rows(tokens_per_step=64, row=16, final_row=32, final_share=0.25)
    assert [rows.length(step, 8) for step in range(8)] == [16] * 6 + [32] * 2
    assert [rows.length(step, 2) for step in range(2)] == [16, 16]


# --- exactly as long as may be ---


@pytest.mark.parametrize("character", ["a", " "])
def test_a_run_of_exactly_the_longest_length_is_not_cut(character):
    for n, pieces in {
        LONGEST_RUN: [LONGEST_RUN],
        LONGEST_RUN + 1: [LONGEST_RUN, 1],
        2 * LONGEST_RUN: [LONGEST_RUN] * 2,
        2 * LONGEST_RUN + 1: [LONGEST_RUN] * 2 + [1],
    }.items():
        other = "b" if character == " " else " "
        cut = list(_cut_long_runs(character * n))
        assert [len(piece) for piece in cut] == pieces
        within = list(_cut_long_runs(other + character * n + other))
        assert "".join(within) == other + character * n + other and len(within) == len(pieces)


def test_a_dialog_that_fits_exactly_is_taken():
    """Its last token is only ever a target, so it may be one longer than the context."""
    tokenizer = BPETokenizer({bytes([b]): b for b in range(256)}, SPECIAL)
    dialog = Dialog("Why?", "So.")
    n = len(encode(tokenizer, dialog).ids)
    assert len(encode_all(tokenizer, [dialog], n - 1)) == 1
    assert encode_all(tokenizer, [dialog], n - 2) == []
    answer = Answer(np.arange(n), 3)
    FineTuning([answer], 1, 0, vocab_size=n, context=n - 1)
    with pytest.raises(ValueError, match=f"a dialog has {n} tokens"):
        FineTuning([answer], 1, 0, vocab_size=n, context=n - 2)
    with pytest.raises(ValueError, match=f"the id {n - 1}, the model a vocabulary of {n - 1}"):
        FineTuning([answer], 1, 0, vocab_size=n - 1, context=n)


def test_two_dialogs_that_fit_together_exactly_are_one_talk():
    tokenizer = BPETokenizer({bytes([b]): b for b in range(256)}, SPECIAL)
    talk = [Dialog("a", "b"), Dialog("cc", "dd"), Dialog("eee", "fff")]
    n = len(encode(tokenizer, talk[2], talk[1:2]).ids)
    assert len(encode_all(tokenizer, talk, n - 1)[2].ids) == n
    alone = encode(tokenizer, talk[2]).ids
    assert np.array_equal(encode_all(tokenizer, talk, n - 2)[2].ids, alone)
