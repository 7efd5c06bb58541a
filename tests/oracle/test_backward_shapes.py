"""Every backward step beside PyTorch's autograd, at shapes that hypothesis picks."""

import math

import numpy as np
import pytest

from llama_np.attention import attend, attend_grouped, causal_mask
from llama_np.feed_forward import swiglu
from llama_np.functional import softmax
from llama_np.rope import rope_frequencies, rope_rotations
from llama_np.tap import record
from llama_np.training import backward
from llama_np.training.backward import loss_and_gradients
from llama_np.training.loss import IGNORE
from tests.tiny import SCALING, random_ids, random_weights, tiny_config

torch = pytest.importorskip("torch")
pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

F = torch.nn.functional
TOLERANCE = 1e-10  # float64, relative to the largest number of an array
ROUNDING = 1e-15  # of numbers around one; all there is of a gradient whose parts cancel
quick = settings(max_examples=40, deadline=None)

size, seeds = st.integers(1, 5), st.integers(0, 10**6)
lead = st.lists(st.integers(1, 3), max_size=2).map(tuple)  # the axes in front: batch, heads
even = st.integers(1, 4).map(lambda n: 2 * n)


def normal(seed: int, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def same(ours, theirs, name=""):
    """The same shape, and numbers that differ little beside the largest."""
    ours, theirs = np.asarray(ours), theirs.detach().numpy()
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, name
    atol = TOLERANCE * np.abs(theirs).max() + ROUNDING
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol, err_msg=name)


def compare(ours, expression, d_out, *arrays):
    """``ours`` beside what autograd finds when ``d_out`` comes back into ``expression``."""
    inputs = [torch.tensor(array, requires_grad=True) for array in arrays]
    expression(*inputs).backward(torch.tensor(d_out))
    ours = ours if isinstance(ours, tuple) else (ours,)
    for i, (mine, theirs) in enumerate(zip(ours, inputs, strict=True)):
        same(mine, theirs.grad, f"gradient {i}")


@st.composite
def targets_for(draw, shape, vocab_size: int):
    """Targets of which some are ignored, whole rows too, but not all."""
    rng = np.random.default_rng(draw(seeds))
    targets = rng.integers(0, vocab_size, shape)
    targets[rng.random(shape) < draw(st.sampled_from([0, 0.3, 0.9]))] = IGNORE
    if (targets == IGNORE).all():
        targets.flat[0] = 0
    return targets


@quick
@given(lead=lead, T=size, V=st.integers(2, 9), seed=seeds, data=st.data())
def test_cross_entropy_backward(lead, T, V, seed, data):
    (logits,) = normal(seed, (*lead, T, V))
    targets = data.draw(targets_for((*lead, T), V))
    compare(
        backward.cross_entropy_backward(3 * logits, targets),
        lambda z: F.cross_entropy(z.flatten(0, -2), torch.tensor(targets).flatten()),
        np.float64(1),
        3 * logits,
    )


@quick
@given(lead=lead, T=size, N=size, M=size, seed=seeds)
def test_linear_backward(lead, T, N, M, seed):
    d_out, x, w = normal(seed, (*lead, T, M), (*lead, T, N), (N, M))
    compare(backward.linear_backward(d_out, x, w), lambda x, w: x @ w, d_out, x, w)


@quick
@given(lead=lead, T=size, D=size, V=size, seed=seeds)
def test_embed_backward(lead, T, D, V, seed):
    d_out, embedding = normal(seed, (*lead, T, D), (V, D))
    ids = np.random.default_rng(seed).integers(0, V, (*lead, T))
    compare(
        backward.embed_backward(d_out, ids, V),
        lambda e: F.embedding(torch.tensor(ids), e), d_out, embedding,
    )  # fmt: skip


@quick
@given(
    lead=lead, T=size, D=size, seed=seeds,
    eps=st.sampled_from([1e-6, 1e-5, 1.0]), scale=st.sampled_from([1e-3, 1.0, 1e3]),
)  # fmt: skip
def test_rms_norm_backward(lead, T, D, seed, eps, scale):
    d_out, x, weight = normal(seed, (*lead, T, D), (*lead, T, D), (D,))
    x *= scale
    compare(
        backward.rms_norm_backward(d_out, x, weight, eps),
        lambda x, w: F.rms_norm(x, (D,), w, eps), d_out, x, weight,
    )  # fmt: skip


@quick
@given(lead=lead, S=st.integers(1, 7), seed=seeds)
def test_softmax_backward(lead, S, seed):
    d_out, x = normal(seed, (*lead, S), (*lead, S))
    compare(backward.softmax_backward(d_out, softmax(x)), lambda x: x.softmax(-1), d_out, x)


@quick
@given(shape=lead, seed=seeds, scale=st.sampled_from([0.1, 1.0, 20.0]))
def test_silu_backward(shape, seed, scale):
    d_out, x = normal(seed, (*shape, 3), (*shape, 3))
    compare(backward.silu_backward(d_out, scale * x), F.silu, d_out, scale * x)


@quick
@given(lead=lead, T=size, K=even, start=st.integers(0, 500), own=st.booleans(), seed=seeds)
def test_rotate_backward(twin, lead, T, K, start, own, seed):
    """Also where every sequence of a batch has positions of its own."""
    d_out, x = normal(seed, (*lead, T, K), (*lead, T, K))
    positions, frequencies = start + np.arange(T), rope_frequencies(K, 10000.0)
    if own:
        positions = positions + np.random.default_rng(seed).integers(0, 9, (*lead, 1))
    compare(
        backward.rotate_backward(d_out, rope_rotations(positions, frequencies)),
        lambda x: twin.rotate(x, torch.tensor(positions), torch.tensor(frequencies)), d_out, x,
    )  # fmt: skip


def attended(see):
    def expression(q, k, v):
        scores = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~torch.tensor(see), -torch.inf)
        return scores.softmax(-1) @ v

    return expression


def some_view(rng, T, S):
    """Any mask in which every query sees something."""
    see = rng.random((T, S)) < 0.6
    see[np.arange(T), rng.integers(0, S, T)] = True
    return see


@quick
@given(lead=lead, T=size, S=st.integers(1, 6), K=size, seed=seeds)
def test_attend_backward(lead, T, S, K, seed):
    d_mix, q, k, v = normal(seed, *[(*lead, n, K) for n in (T, T, S, S)])
    see, trace = some_view(np.random.default_rng(seed), T, S), {}
    attend(q, k, v, see, record(trace))
    ours = backward.attend_backward(d_mix, q, k, v, trace["pattern"])
    compare(ours, attended(see), d_mix, q, k, v)


@quick
@given(
    lead=lead, Hkv=st.integers(1, 3), group=st.integers(1, 4), T=st.integers(1, 6), K=size,
    chunk=st.integers(1, 7), seed=seeds,
)  # fmt: skip
def test_attend_grouped_and_in_chunks_backward(lead, Hkv, group, T, K, chunk, seed):
    d_mix, q = normal(seed, *[(*lead, Hkv * group, T, K)] * 2)
    k, v = normal(seed + 1, *[(*lead, Hkv, T, K)] * 2)
    see, trace = causal_mask(np.arange(T), np.arange(T)), {}

    def grouped(q, k, v):
        return attended(see)(q, *(x.repeat_interleave(group, dim=-3) for x in (k, v)))

    attend_grouped(q, k, v, see, record(trace))
    pattern = trace["pattern"]
    ours = backward.attend_grouped_backward(d_mix, q, k, v, pattern)
    compare(ours, grouped, d_mix, q, k, v)
    parts = [pattern[..., s : s + chunk, : s + chunk] for s in range(0, T, chunk)]
    ours = backward.attend_with_patterns_backward(d_mix, q, k, v, parts)
    compare(ours, grouped, d_mix, q, k, v)


@quick
@given(lead=lead, T=size, D=size, F_=size, seed=seeds)
def test_swiglu_backward(twin, lead, T, D, F_, seed):
    arrays = normal(seed, (*lead, T, D), (D, F_), (D, F_), (F_, D))
    (d_down,), trace = normal(seed + 1, (*lead, T, D)), {}
    swiglu(*arrays, record(trace))
    compare(
        backward.swiglu_backward(d_down, *arrays, trace["gate"], trace["up"], trace["hidden"]),
        lambda x, g, u, d: twin.feed_forward(x, {"w_gate": g, "w_up": u, "w_down": d}),
        d_down, *arrays,
    )  # fmt: skip


@st.composite
def llamas(draw):
    """A config of any small sizes, and weights for it."""
    Hkv = draw(st.integers(1, 3))
    config = tiny_config(
        dim=draw(st.integers(2, 9)), n_layers=draw(st.integers(1, 3)),
        n_heads=Hkv * draw(st.integers(1, 4)), n_kv_heads=Hkv, head_dim=draw(even),
        ffn_width=draw(st.integers(1, 9)), vocab_size=draw(st.integers(2, 12)),
        rope_scaling=draw(st.sampled_from([None, SCALING])), tied_output=draw(st.booleans()),
    )  # fmt: skip
    return config, random_weights(config, seed=draw(seeds))


@quick
@given(llama=llamas(), lead=lead, T=st.integers(1, 6), seed=seeds)
def test_attention_and_block_backward(twin, llama, lead, T, seed):
    config, weights = llama
    x, d_out = normal(seed, *[(*lead, T, config.dim)] * 2)
    positions, layer = np.arange(T), weights.layers[0]
    frequencies = rope_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
    freqs, see = torch.tensor(frequencies), causal_mask(positions, positions)

    rotations = rope_rotations(positions, frequencies)
    _, seen = backward.block_forward(x, layer, config, rotations, see)
    roles = ("wq", "wk", "wv", "wo")
    d_x, d_layer = backward.attention_backward(d_out, layer, config, rotations, seen)
    compare(
        (d_x, *(d_layer[role] for role in roles)),
        lambda x, *w: twin.attention(x, dict(zip(roles, w, strict=True)), config, freqs),
        d_out, seen.attn_norm, *(getattr(layer, role) for role in roles),
    )  # fmt: skip

    names = list(vars(layer))
    d_x, d_layer = backward.block_backward(d_out, layer, config, rotations, seen)
    compare(
        (d_x, *vars(d_layer).values()),
        lambda x, *w: twin.block(x, dict(zip(names, w, strict=True)), config, freqs),
        d_out, x, *vars(layer).values(),
    )  # fmt: skip


@quick
@given(llama=llamas(), lead=lead, T=st.integers(1, 6), seed=seeds, data=st.data())
def test_loss_and_gradients(twin, llama, lead, T, seed, data):
    """The whole model: tied or not, any groups, any batch, targets of which some do not count."""
    config, weights = llama
    ids = random_ids(config, *lead, T, seed=seed)
    targets = data.draw(targets_for((*lead, T), config.vocab_size))
    loss, gradients = loss_and_gradients(weights, config, ids, targets)
    their_loss, theirs = twin.loss_and_gradients(weights, config, ids, targets)
    np.testing.assert_allclose(loss, their_loss, rtol=1e-12)
    ours = dict(gradients.named())
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        same(ours[name], expected, name)
