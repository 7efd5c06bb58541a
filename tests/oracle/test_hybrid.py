"""The models between GPT-2 and Llama: both ends are right, and so is every gradient."""

import dataclasses
import itertools

import numpy as np
import pytest

from llama_np import model
from llama_np.gpt2 import hybrid as between
from llama_np.gpt2.hybrid import Arrays, Hybrid, as_gpt2, as_llama
from llama_np.gpt2.hybrid_backward import loss_and_gradients
from llama_np.gpt2.model import gpt2_forward
from llama_np.tap import record
from llama_np.training.backward import loss_and_gradients as llama_loss_and_gradients
from tests.checks import agree, agree_by_name

IDS = np.arange(16).reshape(2, 8) * 7 % 29
TARGETS = np.roll(IDS, -1, axis=-1)
GPT2 = Hybrid(
    dim=24, n_layers=2, n_heads=4, vocab_size=29, context_length=11, norm="LayerNorm",
    positions="learned", feed_forward="GELU", n_kv_heads=4, biases=True, ffn_width=37,
)  # fmt: skip
REPLACED = {
    "norm": "RMSNorm", "positions": "RoPE", "feed_forward": "SwiGLU", "n_kv_heads": 2,
    "biases": False,
}  # fmt: skip
LLAMA = dataclasses.replace(GPT2, **REPLACED)
EVERY = [
    dataclasses.replace(GPT2, **{name: REPLACED[name] for name in names})
    for n in range(6)
    for names in itertools.combinations(REPLACED, n)
]


def described(c: Hybrid) -> str:
    return f"{c.norm} {c.positions} {c.feed_forward} {c.n_kv_heads} {c.biases}"


def lively(c: Hybrid, dtype=np.float64) -> Arrays:
    """No bias or shift is zero, no norm weight one."""
    rng = np.random.default_rng(0)
    return Arrays(
        {
            name: (0.3 * rng.standard_normal(shape) + name.endswith("norm")).astype(dtype)
            for name, shape in between.shapes(c).items()
        }
    )


def torch_loss(torch, w: dict, c: Hybrid):
    """The same with other means: modules of PyTorch, repeated keys, complex rotation."""
    F = torch.nn.functional

    def norm(x, name):
        if c.norm == "RMSNorm":
            return F.rms_norm(x, (c.dim,), w[name], c.norm_eps)
        return F.layer_norm(x, (c.dim,), w[name], w[f"{name}_shift"], c.norm_eps)

    def matrix(x, role):
        before, _, name = role.rpartition(".")
        return F.linear(x, w[role].T, w.get(f"{before}.{name.replace('w', 'b', 1)}"))

    def rotated(x):
        if c.positions == "learned":
            return x
        pairs = torch.arange(0, c.head_dim, 2, dtype=torch.float64)
        angles = torch.arange(x.shape[-2])[:, None] * c.rope_theta ** (-pairs / c.head_dim)
        turned = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * torch.exp(
            1j * angles
        )
        return torch.view_as_real(turned).flatten(-2)

    ids, T = torch.tensor(IDS), IDS.shape[-1]
    x = F.embedding(ids, w["embedding"])
    if c.positions == "learned":
        x = x + w["positions"][:T]
    for i in range(c.n_layers):
        own = f"layers.{i}."
        normed = norm(x, own + "attn_norm")
        q, k, v = (
            matrix(normed, own + role).unflatten(-1, (-1, c.head_dim)).transpose(-2, -3)
            for role in ("wq", "wk", "wv")
        )
        k, v = (each.repeat_interleave(c.n_heads // c.n_kv_heads, dim=-3) for each in (k, v))
        mix = F.scaled_dot_product_attention(rotated(q), rotated(k), v, is_causal=True)
        x = x + matrix(mix.transpose(-2, -3).flatten(-2), own + "wo")
        normed = norm(x, own + "ffn_norm")
        up = matrix(normed, own + "w_up")
        if c.feed_forward == "SwiGLU":
            hidden = F.silu(matrix(normed, own + "w_gate")) * up
        else:
            hidden = F.gelu(up, approximate="tanh")
        x = x + matrix(hidden, own + "w_down")
    logits = norm(x, "norm") @ w["embedding"].T
    return F.cross_entropy(logits.flatten(0, -2), torch.tensor(TARGETS).flatten())


@pytest.mark.parametrize("c", EVERY, ids=described)
def test_loss_and_gradients_are_those_of_pytorch(torch, c):
    """All thirty-two ways to choose, not only the six of the study."""
    w = lively(c)
    theirs = {name: torch.tensor(a, requires_grad=True) for name, a in w.items()}
    their_loss = torch_loss(torch, theirs, c)
    their_loss.backward()
    loss, gradients = loss_and_gradients(w, c, IDS, TARGETS)
    np.testing.assert_allclose(loss, their_loss.item(), rtol=1e-12)
    assert list(gradients) == list(w)
    for name, leaf in theirs.items():
        scale = max(leaf.grad.abs().max().item(), 1e-2)  # a key's bias moves no loss: zero
        agree(gradients[name] / scale, leaf.grad / scale, 1e-10, name)


def test_there_are_thirty_two_ways():
    assert len({described(c) for c in EVERY}) == 32
    assert EVERY[0] == GPT2 and EVERY[-1] == LLAMA


def test_with_all_of_gpt2s_parts_it_is_gpt2():
    w, trace, theirs = lively(GPT2), {}, {}
    logits = between.forward(w, GPT2, IDS, record(trace))
    agree(logits, gpt2_forward(*as_gpt2(w, GPT2), IDS, record(theirs)))
    same = trace.keys() & theirs.keys()
    assert len(same) == 2 + GPT2.n_layers * 13
    agree_by_name(trace, {name: theirs[name] for name in same})


def test_with_all_of_llamas_parts_it_is_llama():
    w, trace, theirs = lively(LLAMA), {}, {}
    weights, config = as_llama(w, LLAMA)
    logits = between.forward(w, LLAMA, IDS, record(trace))
    agree(logits, model.forward(weights, config, IDS, tap=record(theirs)))
    agree_by_name(trace, {name: theirs[name] for name in trace})
    loss, gradients = loss_and_gradients(w, LLAMA, IDS, TARGETS)
    their_loss, their_gradients = llama_loss_and_gradients(weights, config, IDS, TARGETS)
    np.testing.assert_allclose(loss, their_loss, rtol=1e-12)
    agree_by_name(gradients, dict(their_gradients.named()), 1e-10)


@pytest.mark.parametrize("c", EVERY, ids=described)
def test_a_model_in_between_is_neither_end(c):
    w = lively(c)
    if c != GPT2:
        with pytest.raises(ValueError, match="expected"):
            as_gpt2(w, c)
    if c != LLAMA:
        if c == dataclasses.replace(LLAMA, n_kv_heads=4):
            as_llama(w, c)  # Llama 2 7B has as many key-value heads as query heads
            return
        with pytest.raises(ValueError, match="expected Llama's parts"):
            as_llama(w, c)


def test_float32_stays_float32():
    for c in (GPT2, LLAMA):
        w = lively(c, np.float32)
        assert between.forward(w, c, IDS).dtype == np.float32
        _, gradients = loss_and_gradients(w, c, IDS, TARGETS)
        assert {array.dtype for array in gradients.values()} == {np.dtype(np.float32)}


def test_learned_positions_end_and_rope_goes_on():
    ids = np.zeros(GPT2.context_length + 1, int)
    with pytest.raises(ValueError, match="12 ids, but the table has 11 positions"):
        between.forward(lively(GPT2), GPT2, ids)
    with pytest.raises(ValueError, match="12 ids, but the table has 11 positions"):
        loss_and_gradients(lively(GPT2), GPT2, ids.tolist(), ids)
    assert between.forward(lively(LLAMA), LLAMA, ids).shape == (12, 29)


def test_fresh_weights():
    w = between.initialize(GPT2, np.random.default_rng(0))
    assert {name: a.shape for name, a in w.items()} == between.shapes(GPT2)
    for name, array in w.items():
        assert array.dtype == np.float32
        if array.ndim == 1:
            assert (array == name.endswith("norm")).all(), name
