"""With a cache as without one: however a text is cut, in a batch, forked, reset or overfull."""

import numpy as np
import pytest

from llama_np.cache import KVCache
from llama_np.model import forward
from llama_np.sampling import pad_left, padded_view
from tests.checks import SPLITS, agree, in_splits
from tests.tiny import random_ids


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_cached_is_uncached(config, weights, ids, split):
    agree(in_splits(weights, config, ids, split), forward(weights, config, ids))


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_cached_is_uncached_for_a_batch(house, split):
    config, weights = house
    ids = random_ids(config, 3, 7)
    agree(in_splits(weights, config, ids, split), forward(weights, config, ids))


@pytest.mark.parametrize("split", [(40, 3, 40), (1, 82), (82, 1)], ids=str)
def test_cached_is_uncached_for_texts_that_come_in_chunks(house, split):
    config, weights = house
    ids = random_ids(config, 2, 83)
    agree(in_splits(weights, config, ids, split), forward(weights, config, ids))


def test_decoding_is_that_of_transformers(twin, torch, config, weights, ids):
    model = twin.hugging_face_twin(config, weights)
    cache, theirs = KVCache(config, 7), None
    for t in range(7):
        new = ids[t : t + 1]
        with torch.no_grad():
            out = model(torch.tensor(new)[None], past_key_values=theirs, use_cache=True)
        theirs = out.past_key_values
        # 1e-6: eager attention takes its softmax in float32
        agree(forward(weights, config, new, cache), out.logits[0], 1e-6)


def test_last_only_is_the_last(house):
    config, weights = house
    ids = random_ids(config, 2, 7)
    last = forward(weights, config, ids, last_only=True)
    agree(last, forward(weights, config, ids)[:, -1:])


# --- prompts of different length, side by side ---

LENGTHS = (7, 3, 1, 5)


@pytest.fixture
def prompts(house):
    return [random_ids(house[0], n, seed=n).tolist() for n in LENGTHS]


def test_padding_on_the_right_changes_nothing(house, prompts):
    config, weights = house
    ids = np.array([prompt + [0] * (7 - len(prompt)) for prompt in prompts])
    batch = forward(weights, config, ids)
    for row, prompt in zip(batch, prompts, strict=True):
        agree(row[: len(prompt)], forward(weights, config, np.array(prompt)))


def test_padding_on_the_left_changes_nothing(house, prompts):
    config, weights = house
    ids, padding = pad_left(prompts)
    batch = forward(weights, config, ids, **padded_view(padding, past=0, n_new=7))
    for row, prompt in zip(batch, prompts, strict=True):
        agree(row[7 - len(prompt) :], forward(weights, config, np.array(prompt)))


@pytest.mark.parametrize("split", [(7, 1, 1), (3, 4, 2), (1,) * 9], ids=str)
def test_a_padded_batch_goes_on_like_each_alone(house, prompts, split):
    config, weights = house
    going_on = random_ids(config, len(prompts), 2, seed=9)
    ids, padding = pad_left(prompts)
    ids = np.concatenate([ids, going_on], axis=-1)
    cache = KVCache(config, 9)
    for n in split:
        new = ids[:, cache.length : cache.length + n]
        view = padded_view(padding, cache.length, n)
        logits = forward(weights, config, new, cache, **view)
    for row, prompt, rest in zip(logits, prompts, going_on, strict=True):
        alone = forward(weights, config, np.array([*prompt, *rest]))
        agree(row[-1], alone[-1])


# --- state ---


def test_a_cache_starts_again_after_reset(house):
    config, weights = house
    ids = np.arange(5)
    cache = KVCache(config, 5)
    first = forward(weights, config, ids[::-1].copy(), cache)
    cache.reset()
    assert cache.length == 0
    again = forward(weights, config, ids, cache)
    agree(again, forward(weights, config, ids))
    assert not np.allclose(first, again)


def test_a_fork_goes_its_own_way(house):
    config, weights = house
    cache = KVCache(config, 6)
    forward(weights, config, np.arange(4), cache)
    fork = cache.fork()
    forward(weights, config, np.array([5, 6]), cache)
    mine = forward(weights, config, np.array([7, 8]), fork)
    agree(mine, forward(weights, config, np.array([0, 1, 2, 3, 7, 8]))[-2:])


def test_a_fork_in_three(house):
    config, weights = house
    cache = KVCache(config, 6)
    forward(weights, config, np.arange(4), cache)
    ends = np.array([[5, 6], [7, 8], [9, 10]])
    batch = forward(weights, config, ends, cache.fork(3))
    for row, end in zip(batch, ends, strict=True):
        agree(row, forward(weights, config, np.array([0, 1, 2, 3, *end]))[-2:])
    assert cache.length == 4


def test_keys_lie_as_the_product_reads_them(house):
    """q @ k^T takes a matrix whose rows run along the positions; so does that of a fork."""
    config, weights = house
    cache = KVCache(config, 6)
    forward(weights, config, np.arange(4), cache)
    for each in (cache, cache.fork(), cache.fork(2)):
        assert each.keys.swapaxes(-1, -2).flags.c_contiguous
        assert each.values.flags.c_contiguous and each.keys.shape == each.values.shape


def test_too_much_is_refused_and_changes_nothing(house):
    config, weights = house
    cache = KVCache(config, 6)
    forward(weights, config, np.arange(4), cache)
    before = cache.length, cache.keys[..., :4, :].copy(), cache.values[..., :4, :].copy()
    with pytest.raises(ValueError, match="holds 4 of 6 positions and cannot take 3 more"):
        forward(weights, config, np.arange(3), cache)
    assert cache.length == before[0]
    assert np.array_equal(cache.keys[..., :4, :], before[1])
    assert np.array_equal(cache.values[..., :4, :], before[2])
    agree(
        forward(weights, config, np.array([4, 5]), cache),
        forward(weights, config, np.arange(6))[4:],
    )


def test_another_batch_is_refused(house):
    config, weights = house
    cache = KVCache(config, 6)
    forward(weights, config, np.zeros((2, 3), int), cache)
    with pytest.raises(ValueError, match="use one cache per batch"):
        forward(weights, config, np.zeros((3, 1), int), cache)
    assert cache.length == 3


def test_a_cache_takes_the_dtype_and_the_memory_it_says(house, dtype):
    config, weights = house
    cache = KVCache(config, 6)
    assert cache.nbytes == 0
    forward(weights.map(lambda w: w.astype(dtype)), config, np.arange(3), cache)
    assert cache.keys.dtype == cache.values.dtype == dtype
    numbers = 2 * config.n_layers * config.n_kv_heads * 6 * config.head_dim
    assert cache.nbytes == numbers * np.dtype(dtype).itemsize


def test_a_cache_without_room_is_refused(house):
    with pytest.raises(ValueError, match="max_length must be at least 1, got 0"):
        KVCache(house[0], 0)


def test_a_cache_that_no_machine_holds_is_refused_in_one_line(house):
    config, weights = house
    cache = KVCache(config, 10**15)
    with pytest.raises(ValueError, match=r"1,?0*.* positions takes [\d,.]+ GB, which this machine"):
        forward(weights, config, [1, 2], cache)
    assert cache.length == 0 and cache.nbytes == 0
