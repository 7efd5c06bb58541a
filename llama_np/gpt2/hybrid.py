"""Models between GPT-2 and Llama: in five places one can have the part of either, and train it.

With all of GPT-2's parts this is ``gpt2_forward``, with all of Llama's ``llama_np.forward``; the
tests hold both, and every gradient in between. A few hundred lines of library do the work: what is
here only chooses, and adds the biases.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np

from ..attention import attend_grouped, causal_mask, merge_heads, split_heads
from ..axes import Array
from ..config import LlamaConfig
from ..functional import gelu_tanh, linear, silu
from ..norm import layer_norm, rms_norm
from ..rope import apply_rotary, rope_frequencies, rope_rotations
from ..tap import Tap, no_tap, record, under
from ..weights import Weights, random_arrays
from .weights import Gpt2Config, Gpt2Weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hybrid:
    """Sizes, and the five choices: norm, positions, feed-forward, key-value heads, biases."""

    dim: int  # D
    n_layers: int
    n_heads: int  # Hq
    vocab_size: int  # V
    context_length: int  # rows of the position table; RoPE has no such limit
    norm: Literal["LayerNorm", "RMSNorm"]
    positions: Literal["learned", "RoPE"]
    feed_forward: Literal["GELU", "SwiGLU"]
    n_kv_heads: int  # Hkv; as many as query heads in GPT-2
    biases: bool
    ffn_width: int  # F
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0

    @property
    def head_dim(self) -> int:
        """K."""
        return self.dim // self.n_heads


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockActivations:
    """What one block has seen on its way forward, and needs on the way back."""

    x: Array["... T D"]
    attn_norm: Array["... T D"]
    q_rotated: Array["... Hq T K"]
    k_rotated: Array["... Hkv T K"]
    v: Array["... Hkv T K"]
    pattern: Array["... Hq T T"]
    mix: Array["... Hq T K"]
    resid_mid: Array["... T D"]
    ffn_norm: Array["... T D"]
    gate: Array["... T F"] | None  # of SwiGLU alone
    up: Array["... T F"]
    hidden: Array["... T F"]


class Arrays(dict):
    """Weights or gradients by name, such as ``layers.3.wq``; the output is the embedding."""

    def named(self) -> Iterator[tuple[str, np.ndarray]]:
        """What the optimizer asks for."""
        yield from self.items()

    def layer(self, i: int) -> dict[str, np.ndarray]:
        """The arrays of one block by role."""
        own = f"layers.{i}."
        return {name[len(own) :]: a for name, a in self.items() if name.startswith(own)}


def shapes(c: Hybrid) -> dict[str, tuple[int, ...]]:
    """The shape of every learned array; a choice that leaves something out leaves its array out."""
    kv = c.n_kv_heads * c.head_dim
    layer = {
        "attn_norm": (c.dim,), "wq": (c.dim, c.dim), "wk": (c.dim, kv), "wv": (c.dim, kv),
        "wo": (c.dim, c.dim), "ffn_norm": (c.dim,),
    }  # fmt: skip
    if c.feed_forward == "SwiGLU":
        layer["w_gate"] = (c.dim, c.ffn_width)
    layer |= {"w_up": (c.dim, c.ffn_width), "w_down": (c.ffn_width, c.dim)}
    if c.biases:
        layer |= {bias(name): (s[1],) for name, s in layer.items() if len(s) == 2}
    named = {"embedding": (c.vocab_size, c.dim)}
    if c.positions == "learned":
        named["positions"] = (c.context_length, c.dim)
    named |= {f"layers.{i}.{name}": s for i in range(c.n_layers) for name, s in layer.items()}
    named["norm"] = (c.dim,)
    if c.norm == "LayerNorm":
        named |= {f"{name}_shift": s for name, s in named.items() if name.endswith("norm")}
    return named


def bias(matrix: str) -> str:
    """The name of what is added after a matrix.

    >>> bias("wq"), bias("w_down")
    ('bq', 'b_down')
    """
    return matrix.replace("w", "b", 1)


def initialize(c: Hybrid, rng: np.random.Generator, std: float = 0.02) -> Arrays:
    """Random float32 weights to start training from: see ``weights.random_arrays``."""
    return Arrays(random_arrays(shapes(c), c.n_layers, rng, std))


def normalize(x: Array["... T D"], w: dict, name: str, c: Hybrid) -> Array["... T D"]:
    """The first choice."""
    if c.norm == "RMSNorm":
        return rms_norm(x, w[name], c.norm_eps)
    return layer_norm(x, w[name], w[f"{name}_shift"], c.norm_eps)


def embed(w: Arrays, ids: Array["... T"], c: Hybrid) -> Array["... T D"]:
    """The second choice, in so far as it is made here: a learned row for each place, or none."""
    x = w["embedding"][ids]
    return x + w["positions"][: ids.shape[-1]] if c.positions == "learned" else x


def turn(x: Array["... H T K"], c: Hybrid, way: int = 1) -> Array["... H T K"]:
    """The second choice, in so far as it is made in attention. ``way`` is -1 going back."""
    if c.positions == "learned":
        return x
    frequencies = rope_frequencies(c.head_dim, c.rope_theta)
    rotations = rope_rotations(np.arange(x.shape[-2]), way * frequencies)
    return apply_rotary(x, rotations.astype(np.result_type(x, np.complex64)))


def apply(x: Array["... T N"], w: dict, name: str) -> Array["... T M"]:
    """The fifth choice: a matrix, and a bias where there is one."""
    out = linear(x, w[name])
    return out + w[bias(name)] if bias(name) in w else out


def block(
    x: Array["... T D"], w: dict, c: Hybrid, tap: Tap = no_tap
) -> tuple[Array["... T D"], BlockActivations]:
    """Norm, attend, add; norm, feed forward, add. The third and fourth choice are made here."""
    attn_norm = tap("attn_norm", normalize(x, w, "attn_norm", c))
    q, k, v = (split_heads(apply(attn_norm, w, name), c.head_dim) for name in ("wq", "wk", "wv"))
    q, k, v = tap("q_rotated", turn(q, c)), tap("k_rotated", turn(k, c)), tap("v", v)
    places, seen = np.arange(x.shape[-2]), {}
    mix = attend_grouped(q, k, v, causal_mask(places, places), record(seen, {"pattern"}, tap))
    resid_mid = tap("resid_mid", x + tap("attn_out", apply(merge_heads(mix), w, "wo")))
    ffn_norm, gate = tap("ffn_norm", normalize(resid_mid, w, "ffn_norm", c)), None
    up = tap("up", apply(ffn_norm, w, "w_up"))
    if c.feed_forward == "SwiGLU":
        gate = tap("gate", apply(ffn_norm, w, "w_gate"))
        hidden = tap("hidden", silu(gate) * up)
    else:
        hidden = tap("hidden", gelu_tanh(up))
    out = tap("resid_out", resid_mid + tap("down", apply(hidden, w, "w_down")))
    return out, BlockActivations(
        x=x, attn_norm=attn_norm, q_rotated=q, k_rotated=k, v=v, pattern=seen["pattern"], mix=mix,
        resid_mid=resid_mid, ffn_norm=ffn_norm, gate=gate, up=up, hidden=hidden,
    )  # fmt: skip


def check_ids(ids: Array["... T"], c: Hybrid) -> Array["... T"]:
    """The ids as an array. Learned positions end with their table; RoPE goes on."""
    ids = np.asarray(ids)
    if c.positions == "learned" and ids.shape[-1] > c.context_length:
        raise ValueError(f"{ids.shape[-1]} ids, but the table has {c.context_length} positions")
    return ids


def forward(w: Arrays, c: Hybrid, ids: Array["... T"], tap: Tap = no_tap) -> Array["... T V"]:
    """From ids to logits; ``ValueError`` for more ids than there are positions."""
    x = tap("embedded", embed(w, check_ids(ids, c), c))
    for i in range(c.n_layers):
        x, _ = block(x, w.layer(i), c, under(f"blocks.{i}", tap))
    x = tap("final_norm", normalize(x, w, "norm", c))
    return linear(x, w["embedding"].T)  # T D @ D V -> T V


def as_gpt2(w: Arrays, c: Hybrid) -> tuple[Gpt2Weights, Gpt2Config]:
    """The same model for ``gpt2_forward``: the matrices of q, k and v laid side by side.

    Raises ``ValueError`` if a choice is not GPT-2's.
    """
    if (c.norm, c.positions, c.feed_forward) != ("LayerNorm", "learned", "GELU"):
        raise ValueError(f"expected GPT-2's parts, got {c.norm}, {c.positions}, {c.feed_forward}")
    if c.n_kv_heads != c.n_heads or not c.biases:
        raise ValueError("expected as many key-value heads as query heads, and biases")
    named = {}
    for name, array in w.items():
        before, _, role = name.rpartition(".")
        if role in ("wq", "bq"):
            three = [w[f"{before}.{role[0]}{letter}"] for letter in "qkv"]
            named[f"{before}.{role[0]}_qkv"] = np.concatenate(three, axis=-1)
        elif role not in ("wk", "wv", "bk", "bv"):
            named[name] = array
    config = Gpt2Config(
        dim=c.dim, n_layers=c.n_layers, n_heads=c.n_heads, ffn_width=c.ffn_width,
        vocab_size=c.vocab_size, context_length=c.context_length, norm_eps=c.norm_eps,
        qkv_bias=True, tied_output=True,
    )  # fmt: skip
    return Gpt2Weights.from_named(named), config


def as_llama(w: Arrays, c: Hybrid) -> tuple[Weights, LlamaConfig]:
    """The same model for ``llama_np.forward``: every array has its name already.

    Raises ``ValueError`` if a choice is not Llama's.
    """
    if (c.norm, c.positions, c.feed_forward) != ("RMSNorm", "RoPE", "SwiGLU") or c.biases:
        raise ValueError(
            f"expected Llama's parts, got {c.norm}, {c.positions}, {c.feed_forward}, "
            f"biases: {c.biases}"
        )
    config = LlamaConfig(
        dim=c.dim, n_layers=c.n_layers, n_heads=c.n_heads, n_kv_heads=c.n_kv_heads,
        head_dim=c.head_dim, ffn_width=c.ffn_width, vocab_size=c.vocab_size,
        context_length=c.context_length, norm_eps=c.norm_eps, rope_theta=c.rope_theta,
        rope_scaling=None, tied_output=True,
    )  # fmt: skip
    return Weights.from_named(w), config
