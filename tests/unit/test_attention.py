"""The ladder of attention: each rung equals the one below it, and PyTorch."""

from types import SimpleNamespace

import numpy as np
import pytest

from llama_np.attention import (
    CHUNK,
    attend,
    attend_grouped,
    attend_in_chunks,
    attention,
    causal_mask,
    loop_over_heads,
    mask_scores,
    merge_heads,
    one_head,
    split_heads,
)
from llama_np.rope import rope_frequencies, rope_rotations
from llama_np.tap import no_tap, record
from tests.checks import agree

T, D, HQ, K = 7, 20, 6, 10  # K is not D / HQ
SEE = causal_mask(np.arange(T), np.arange(T))


@pytest.fixture(params=[1, 2, 3, 6], ids=lambda n: f"{n} kv heads")
def n_kv_heads(request):
    return request.param


@pytest.fixture
def qkv(normal, n_kv_heads):
    return normal(HQ, T, K), normal(n_kv_heads, T, K), normal(n_kv_heads, T, K)


@pytest.fixture
def matrices(normal, n_kv_heads):
    kv = n_kv_heads * K
    return normal(D, HQ * K), normal(D, kv), normal(D, kv), normal(HQ * K, D)


def whole(x, matrices, tap=no_tap):
    """The attention step of a layer that has these matrices, and nothing else."""
    layer = SimpleNamespace(**dict(zip(("wq", "wk", "wv", "wo"), matrices, strict=True)))
    places = np.arange(x.shape[-2])
    rotations = rope_rotations(places, rope_frequencies(K, 10000.0))
    config = SimpleNamespace(head_dim=K)
    return attention(x, layer, config, rotations, causal_mask(places, places), tap=tap)


# --- beside PyTorch ---


@pytest.mark.parametrize("n_queries, n_keys", [(5, 5), (1, 5), (3, 5)])
def test_causal_mask(torch, n_queries, n_keys):
    ours = causal_mask(np.arange(n_keys - n_queries, n_keys), np.arange(n_keys))
    theirs = torch.ones(n_queries, n_keys, dtype=torch.bool).tril(n_keys - n_queries)
    assert np.array_equal(ours, theirs.numpy())


def test_attend(torch, normal, dtype):
    q, k, v = (normal(T, K, dtype=dtype) for _ in range(3))
    theirs = torch.nn.functional.scaled_dot_product_attention(
        *map(torch.tensor, (q, k, v)), attn_mask=torch.tensor(SEE)
    )
    agree(attend(q, k, v, SEE), theirs)


def test_attend_grouped(torch, qkv):
    theirs = torch.nn.functional.scaled_dot_product_attention(
        *map(torch.tensor, qkv), attn_mask=torch.tensor(SEE), enable_gqa=True
    )
    agree(attend_grouped(*qkv, SEE), theirs)


def test_split_and_merge_heads(torch, normal):
    x = normal(2, T, HQ * K)
    heads = split_heads(x, K)
    assert np.array_equal(heads, torch.tensor(x).view(2, T, -1, K).transpose(-3, -2).numpy())
    assert np.shares_memory(heads, x)
    assert np.array_equal(merge_heads(heads), x)


def test_rows_of_the_pattern_sum_to_one_and_see_no_future(qkv):
    trace = {}
    attend_grouped(*qkv, SEE, record(trace))
    agree(trace["pattern"].sum(-1), np.ones((HQ, T)))
    assert (trace["pattern"][:, ~SEE] == 0).all()
    assert (trace["masked"][:, ~SEE] == -np.inf).all()


# --- the rungs ---


def test_one_head_is_attention_with_one_head(normal):
    x, wq, wk, wv = normal(T, D), normal(D, K), normal(D, K), normal(D, K)
    mix = one_head(x, wq, wk, wv, np.arange(T), rope_frequencies(K, 10000.0))
    agree(mix, whole(x, (wq, wk, wv, np.eye(K, D)))[:, :K])


def test_the_loop_is_the_whole(normal, matrices):
    x = normal(T, D)
    looped = loop_over_heads(x, *matrices, K, np.arange(T), rope_frequencies(K, 10000.0))
    agree(whole(x, matrices), looped)


def test_grouped_is_attend_with_the_keys_repeated(qkv, n_kv_heads):
    q, k, v = qkv
    k, v = (np.repeat(each, HQ // n_kv_heads, axis=0) for each in (k, v))
    agree(attend_grouped(*qkv, SEE), attend(q, k, v, SEE))


def test_without_a_mask_all_is_seen(qkv, torch):
    q, k, v = qkv
    agree(attend_grouped(q, k, v, None), attend_grouped(q, k, v, np.ones((T, T), bool)))
    theirs = torch.nn.functional.scaled_dot_product_attention(
        *map(torch.tensor, qkv), enable_gqa=True
    )
    agree(attend_grouped(q, k, v, None), theirs)


def test_mask_scores(normal, torch, dtype):
    scores, see = normal(2, 3, T, T, dtype=dtype), causal_mask(np.arange(T), np.arange(T))
    assert np.array_equal(mask_scores(scores, see), np.where(see, scores, -np.inf))
    agree(
        mask_scores(scores, see), torch.tensor(scores).masked_fill(~torch.tensor(see), -torch.inf)
    )


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
def test_chunks_are_the_whole(qkv, chunk):
    agree(attend_in_chunks(*qkv, SEE, chunk), attend_grouped(*qkv, SEE))


def test_attention_in_chunks_is_attention(normal, matrices):
    x = normal(2 * CHUNK + 3, D)
    agree(whole(x, matrices), whole(x, matrices, record({})))


def test_a_stack_is_the_stack_of_its_parts(normal, matrices):
    x = normal(3, 2, T, D)
    parts = [[whole(each, matrices) for each in row] for row in x]
    agree(whole(x, matrices), np.array(parts))


def test_a_batch_in_chunks_is_the_stack_of_its_parts(normal, matrices):
    x = normal(3, CHUNK + 2, D)
    agree(whole(x, matrices), np.array([whole(each, matrices) for each in x]))


def test_taps_show_every_query_head(qkv):
    trace = {}
    attend_grouped(*qkv, SEE, record(trace))
    assert {name: each.shape for name, each in trace.items()} == {
        "scores": (HQ, T, T), "masked": (HQ, T, T), "pattern": (HQ, T, T), "mix": (HQ, T, K),
    }  # fmt: skip


def test_each_query_head_is_tapped_in_its_own_row(qkv, n_kv_heads):
    trace = {}
    attend_grouped(*qkv, SEE, record(trace))
    q, k, v = qkv
    for head in range(HQ):
        own, shared = {}, head // (HQ // n_kv_heads)
        attend(q[head], k[shared], v[shared], SEE, record(own))
        for name, each in own.items():
            agree(trace[name][head], each, name=name)
