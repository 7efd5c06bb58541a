"""The backward pass of the models between GPT-2 and Llama: each choice's own gradient."""

import numpy as np

from ..attention import merge_heads, split_heads
from ..axes import Array
from ..functional import silu
from ..tap import record
from ..training.backward import (
    attend_grouped_backward,
    cross_entropy_backward,
    embed_backward,
    linear_backward,
    rms_norm_backward,
    silu_backward,
)
from ..training.loss import cross_entropy
from .backward import gelu_tanh_backward, layer_norm_backward
from .hybrid import Arrays, Hybrid, bias, forward, turn


def normalize_backward(
    d_out: Array["... T D"], x: Array["... T D"], w: dict, d_w: dict, name: str, c: Hybrid
) -> Array["... T D"]:
    """Back through the norm; the gradients of its weights go into ``d_w``."""
    if c.norm == "RMSNorm":
        d_x, d_w[name] = rms_norm_backward(d_out, x, w[name], c.norm_eps)
    else:
        d_x, d_w[name], d_w[f"{name}_shift"] = layer_norm_backward(d_out, x, w[name], c.norm_eps)
    return d_x


def apply_backward(
    d_out: Array["... T M"], x: Array["... T N"], w: dict, d_w: dict, name: str
) -> Array["... T N"]:
    """Back through a matrix; a bias gets the sum over all tokens."""
    d_x, d_w[name] = linear_backward(d_out, x, w[name])
    if bias(name) in w:
        d_w[bias(name)] = d_out.sum(axis=tuple(range(d_out.ndim - 1)))
    return d_x


def feed_forward_backward(d_down: Array["... T D"], w: dict, d_w: dict, seen: dict, c: Hybrid):
    """Back through either feed-forward step, to its normalised input."""
    normed, up = seen["ffn_norm"], seen["up"]
    d_hidden = apply_backward(d_down, seen["hidden"], w, d_w, "w_down")
    if c.feed_forward == "GELU":
        return apply_backward(gelu_tanh_backward(d_hidden, up), normed, w, d_w, "w_up")
    gate = seen["gate"]
    d_x = apply_backward(silu_backward(d_hidden * up, gate), normed, w, d_w, "w_gate")
    return d_x + apply_backward(d_hidden * silu(gate), normed, w, d_w, "w_up")


def attention_backward(d_out: Array["... T D"], w: dict, d_w: dict, seen: dict, c: Hybrid):
    """Back through attention, to its normalised input."""
    d_mix = apply_backward(d_out, merge_heads(seen["mix"]), w, d_w, "wo")
    q, k, v, pattern = (seen[name] for name in ("q_rotated", "k_rotated", "v", "pattern"))
    d_mix = split_heads(d_mix, c.head_dim)
    d_q, d_k, d_v = attend_grouped_backward(d_mix, q, k, v, pattern)
    into = {"wq": turn(d_q, c, -1), "wk": turn(d_k, c, -1), "wv": d_v}
    return sum(
        apply_backward(merge_heads(d), seen["attn_norm"], w, d_w, name) for name, d in into.items()
    )


def block_backward(d_out: Array["... T D"], x: Array["... T D"], w: dict, seen: dict, c: Hybrid):
    """Back through one block that read ``x``; returns d_x and the gradients of its weights."""
    d_w: dict[str, np.ndarray] = {}
    d_normed = feed_forward_backward(d_out, w, d_w, seen, c)
    d_mid = d_out + normalize_backward(d_normed, seen["resid_mid"], w, d_w, "ffn_norm", c)
    d_normed = attention_backward(d_mid, w, d_w, seen, c)
    return d_mid + normalize_backward(d_normed, x, w, d_w, "attn_norm", c), d_w


def loss_and_gradients(
    w: Arrays, c: Hybrid, ids: Array["... T"], targets: Array["... T"]
) -> tuple[float, Arrays]:
    """The mean loss in nats over all positions, and its gradient for every weight."""
    seen: dict[str, np.ndarray] = {}
    logits = forward(w, c, ids, record(seen))
    d_w = Arrays(dict.fromkeys(w))  # in the order of the weights
    d_logits = cross_entropy_backward(logits, targets)
    d_x, d_output = linear_backward(d_logits, seen["final_norm"], w["embedding"].T)
    streams = [seen["embedded"], *(seen[f"blocks.{i}.resid_out"] for i in range(c.n_layers))]
    d_x = normalize_backward(d_x, streams[-1], w, d_w, "norm", c)
    for i in reversed(range(c.n_layers)):
        own = f"blocks.{i}."
        here = {name[len(own) :]: a for name, a in seen.items() if name.startswith(own)}
        d_x, d_layer = block_backward(d_x, streams[i], w.layer(i), here, c)
        d_w.update({f"layers.{i}.{name}": each for name, each in d_layer.items()})
    d_w["embedding"] = embed_backward(d_x, ids, c.vocab_size) + d_output.T
    if c.positions == "learned":
        d_w["positions"] = np.zeros_like(w["positions"])
        d_w["positions"][: ids.shape[-1]] = d_x.reshape(-1, *d_x.shape[-2:]).sum(axis=0)
    return cross_entropy(logits, targets), d_w
