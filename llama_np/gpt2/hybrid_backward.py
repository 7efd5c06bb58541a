"""The backward pass of the models between GPT-2 and Llama: each choice's own gradient."""

import numpy as np

from ..attention import merge_heads, split_heads
from ..axes import Array
from ..functional import linear, silu
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
from .hybrid import (
    Arrays,
    BlockActivations,
    Hybrid,
    bias,
    block,
    check_ids,
    embed,
    normalize,
    turn,
)


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


def feed_forward_backward(
    d_down: Array["... T D"], w: dict, d_w: dict, seen: BlockActivations, c: Hybrid
) -> Array["... T D"]:
    """Back through either feed-forward step, to its normalised input."""
    d_hidden = apply_backward(d_down, seen.hidden, w, d_w, "w_down")
    if c.feed_forward == "GELU":
        d_up = gelu_tanh_backward(d_hidden, seen.up)
        return apply_backward(d_up, seen.ffn_norm, w, d_w, "w_up")
    d_gate, d_up = silu_backward(d_hidden * seen.up, seen.gate), d_hidden * silu(seen.gate)
    d_x = apply_backward(d_gate, seen.ffn_norm, w, d_w, "w_gate")
    return d_x + apply_backward(d_up, seen.ffn_norm, w, d_w, "w_up")


def attention_backward(
    d_out: Array["... T D"], w: dict, d_w: dict, seen: BlockActivations, c: Hybrid
) -> Array["... T D"]:
    """Back through attention, to its normalised input."""
    d_mix = split_heads(apply_backward(d_out, merge_heads(seen.mix), w, d_w, "wo"), c.head_dim)
    d_q, d_k, d_v = attend_grouped_backward(
        d_mix, seen.q_rotated, seen.k_rotated, seen.v, seen.pattern
    )
    into = {"wq": turn(d_q, c, -1), "wk": turn(d_k, c, -1), "wv": d_v}
    return sum(
        apply_backward(merge_heads(d), seen.attn_norm, w, d_w, name) for name, d in into.items()
    )


def block_backward(
    d_out: Array["... T D"], w: dict, seen: BlockActivations, c: Hybrid
) -> tuple[Array["... T D"], dict[str, np.ndarray]]:
    """Back through one block; returns d_x and the gradients of its weights."""
    d_w: dict[str, np.ndarray] = {}
    d_normed = feed_forward_backward(d_out, w, d_w, seen, c)
    d_mid = d_out + normalize_backward(d_normed, seen.resid_mid, w, d_w, "ffn_norm", c)
    d_normed = attention_backward(d_mid, w, d_w, seen, c)
    return d_mid + normalize_backward(d_normed, seen.x, w, d_w, "attn_norm", c), d_w


def loss_and_gradients(
    w: Arrays, c: Hybrid, ids: Array["... T"], targets: Array["... T"]
) -> tuple[float, Arrays]:
    """The mean loss in nats over all positions, and its gradient for every weight.

    Raises ``ValueError`` for more ids than there are positions.
    """
    ids = check_ids(ids, c)
    x, blocks = embed(w, ids, c), []
    for i in range(c.n_layers):
        x, seen = block(x, w.layer(i), c)
        blocks.append(seen)
    final_norm = normalize(x, w, "norm", c)
    logits = linear(final_norm, w["embedding"].T)

    d_w = Arrays(dict.fromkeys(w))  # in the order of the weights
    d_logits = cross_entropy_backward(logits, targets)
    d_x, d_output = linear_backward(d_logits, final_norm, w["embedding"].T)
    d_x = normalize_backward(d_x, x, w, d_w, "norm", c)
    for i in reversed(range(c.n_layers)):
        d_x, d_layer = block_backward(d_x, w.layer(i), blocks[i], c)
        d_w.update({f"layers.{i}.{name}": each for name, each in d_layer.items()})
    d_w["embedding"] = embed_backward(d_x, ids, c.vocab_size) + d_output.T
    if c.positions == "learned":
        d_w["positions"] = np.zeros_like(w["positions"])
        d_w["positions"][: ids.shape[-1]] = d_x.reshape(-1, *d_x.shape[-2:]).sum(axis=0)
    return cross_entropy(logits, targets), d_w
