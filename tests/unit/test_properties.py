"""What holds for any numbers, searched for counterexamples by hypothesis."""

import numpy as np
import pytest

from llama_np.functional import log_softmax, softmax
from llama_np.norm import rms_norm
from llama_np.rope import rope_frequencies, rotate
from llama_np.sampling import keep_top_k, keep_top_p
from weights_tools.layout import to_adjacent_pairs, to_rotate_half

pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra.numpy import arrays  # noqa: E402

quick = settings(max_examples=60, deadline=None)


def rows(low: float, high: float, width=None):
    shape = st.tuples(st.integers(1, 4), st.integers(1, 12) if width is None else st.just(width))
    return arrays(np.float64, shape, elements=st.floats(low, high, width=32))


@quick
@given(x=rows(-1000, 1000), shift=st.floats(-1000, 1000))
def test_softmax_rows_sum_to_one_wherever_they_lie(x, shift):
    weights = softmax(x)
    assert (weights >= 0).all() and np.isfinite(weights).all()
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-12)
    np.testing.assert_allclose(softmax(x + shift), weights, atol=1e-12)


@quick
@given(x=rows(-1000, 1000))
def test_log_softmax_is_the_logarithm_of_softmax(x):
    assert (log_softmax(x) <= 0).all()
    np.testing.assert_allclose(np.exp(log_softmax(x)), softmax(x), atol=1e-12)


@quick
@given(x=rows(-1000, 1000), scale=st.floats(1e-2, 1e3))
def test_rms_norm_forgets_the_size_of_a_row(x, scale):
    weight = np.ones(x.shape[-1])
    x = x[np.abs(x).max(-1) > 0.1]
    np.testing.assert_allclose(
        rms_norm(x, weight, 0.0), rms_norm(scale * x, weight, 0.0), atol=1e-12
    )


@quick
@given(
    pairs=rows(-10, 10, width=6), m=st.integers(0, 500), n=st.integers(0, 500),
    by=st.integers(0, 1000),
)  # fmt: skip
def test_moving_both_positions_leaves_the_score(pairs, m, n, by):
    frequencies, q, k = rope_frequencies(6, 10000.0), pairs[:1], pairs[-1:]

    def score(m, n):
        q_turned = rotate(q, np.array([m]), frequencies)
        return (q_turned @ rotate(k, np.array([n]), frequencies).T).item()

    # lengths up to 25 each, angles up to 1500 radians: 600 * 1500 * 1e-16
    assert abs(score(m, n) - score(m + by, n + by)) < 1e-9


@quick
@given(logits=rows(-20, 20), k=st.integers(1, 15), p=st.floats(0.01, 1))
def test_cuts_keep_the_likely_and_sum_to_one(logits, k, p):
    whole = softmax(logits)
    for cut in (keep_top_k(whole, k), keep_top_p(whole, p)):
        np.testing.assert_allclose(cut.sum(-1), 1, rtol=1e-12)
        for before, after in zip(whole, cut, strict=True):
            assert (after > 0).any()
            gone = before[after == 0]
            assert not gone.size or gone.max() <= before[after > 0].min()
    assert ((keep_top_k(whole, k) > 0).sum(-1) <= k).all()


@quick
@given(heads=st.integers(1, 4), half=st.integers(1, 5), width=st.integers(1, 3))
def test_reordering_q_and_k_is_undone(heads, half, width):
    w = np.arange(heads * 2 * half * width).reshape(-1, width)
    assert np.array_equal(to_adjacent_pairs(to_rotate_half(w, 2 * half), 2 * half), w)
    assert np.array_equal(to_rotate_half(to_adjacent_pairs(w, 2 * half), 2 * half), w)
