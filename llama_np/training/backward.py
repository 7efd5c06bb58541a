"""The backward pass: for each forward step, the gradient of the loss for what went in.

``d_x`` always means: how much the loss grows per unit of growth in ``x``, an array of x's shape.
Each ``*_backward`` takes ``d_out`` for the result of its step and what the step had seen, and
returns the ``d_`` of every input. What a block has seen is kept by the forward pass in a
``BlockActivations``; nothing is computed a second time but cheap curves.

All of it is the chain rule; the PyTorch twin of everything here is ``loss.backward()``.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from ..attention import causal_mask, chunks, mask_scores, merge_heads, split_heads
from ..axes import Array
from ..config import LlamaConfig
from ..functional import linear, sigmoid, silu, softmax
from ..model import check_ids, embed, rotations_for
from ..norm import rms_norm
from ..rope import apply_rotary
from ..weights import LayerWeights, Weights
from .loss import IGNORE, cross_entropy

CHUNK = 64  # queries; another number rounds otherwise: with this one the models that ship were made


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockActivations:
    """What one block keeps of the forward pass for the backward pass, named as ``tap`` names it.

    ``patterns`` holds the pattern of ``CHUNK`` queries after another, each with the keys that these
    may see. The two ``kept`` are the factors of ``dropout``, None where nothing is dropped.
    """

    x: Array["... T D"]
    attn_norm: Array["... T D"]
    q_rotated: Array["... Hq T K"]
    k_rotated: Array["... Hkv T K"]
    v: Array["... Hkv T K"]
    patterns: list[Array["... Hq T S"]]
    mix: Array["... Hq T K"]
    attn_kept: Array["... T D"] | None
    resid_mid: Array["... T D"]
    ffn_norm: Array["... T D"]
    gate: Array["... T F"]
    up: Array["... T F"]
    hidden: Array["... T F"]
    ffn_kept: Array["... T D"] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamActivations:
    """What the whole stream keeps of the forward pass: ``x`` is what came out of the last block."""

    ids: Array["... T"]
    rotations: Array["... T K/2"]
    blocks: list[BlockActivations]
    x: Array["... T D"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dropout:
    """Drop numbers at random from what each half of a block adds to the stream: only for training.

    Each number becomes zero with probability ``rate``, and the others grow by 1 / (1 - rate), so
    that the sum is the same on average. It keeps a model with little text from learning that text
    by heart.

    PyTorch: ``torch.nn.functional.dropout``. Source: https://jmlr.org/papers/v15/srivastava14a.html
    """

    rate: float
    rng: "np.random.Generator"

    def kept(self, x: Array["..."]) -> Array["..."]:
        """The factors for ``x``: 0 where it is dropped, else 1 / (1 - rate)."""
        kept = self.rng.random(x.shape, np.float32) >= self.rate
        return (kept / (1 - self.rate)).astype(x.dtype)


def drop(x: Array["..."], dropout: Dropout | None) -> tuple[Array["..."], Array["..."] | None]:
    """``x`` with some of it dropped, and the factors; ``x`` itself and None without ``dropout``."""
    if dropout is None:
        return x, None
    kept = dropout.kept(x)
    return x * kept, kept


def cross_entropy_backward(logits: Array["... T V"], targets: Array["... T"]) -> Array["... T V"]:
    """Gradient of ``cross_entropy``: what was predicted minus what was right, over the count.

    d_logits = (softmax(logits) - one_hot(targets)) / number of positions that count
    """
    counts = targets != IGNORE
    d_logits = softmax(logits)
    right = np.where(counts, targets, 0)[..., None]
    np.put_along_axis(d_logits, right, np.take_along_axis(d_logits, right, axis=-1) - 1, axis=-1)
    d_logits *= (counts / counts.sum()).astype(logits.dtype)[..., None]
    return d_logits


def linear_backward(
    d_out: Array["... T M"], x: Array["... T N"], w: Array["N M"]
) -> tuple[Array["... T N"], Array["N M"]]:
    """Back through ``x @ w``: d_x = d_out @ w^T, and d_w = x^T @ d_out summed over all tokens.

    A matrix that is frozen beside two thin ones gives their gradients in the place of its own.
    """
    if hasattr(w, "backward"):
        return w.backward(d_out, x)  # see ``lora.FrozenMatrix``
    d_w = x.reshape(-1, x.shape[-1]).T @ d_out.reshape(-1, d_out.shape[-1])  # N BT @ BT M -> N M
    return d_out @ w.T, d_w  # T M @ M N -> T N


def embed_backward(d_x: Array["... T D"], ids: Array["... T"], vocab_size: int) -> Array["V D"]:
    """Back through the look-up: each token's gradient is added to the row it was read from.

    A token that occurs twice gets both; one that does not occur gets zero.
    """
    d_embedding = np.zeros((vocab_size, d_x.shape[-1]), d_x.dtype)
    np.add.at(d_embedding, ids.reshape(-1), d_x.reshape(-1, d_x.shape[-1]))
    return d_embedding


def rms_norm_backward(
    d_out: Array["... D"], x: Array["... D"], weight: Array["D"], eps: float
) -> tuple[Array["... D"], Array["D"]]:
    """Back through ``rms_norm``.

    With r = 1 / sqrt(mean(x^2) + eps) and n = x r, the normalised row:
    d_weight = sum over tokens of d_out n,  d_x = r (g - n mean(g n))  where g = d_out weight.
    The second term is the part of g along the row itself: stretching a row changes nothing.
    """
    r = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    n = x * r
    g = d_out * weight
    along = np.mean(g * n, axis=-1, keepdims=True)
    d_weight = (d_out * n).reshape(-1, x.shape[-1]).sum(axis=0)
    return r * (g - n * along), d_weight


def softmax_backward(d_out: Array["... S"], weights: Array["... S"]) -> Array["... S"]:
    """Back through ``softmax``, given its result: d_x = w (d_out - sum(d_out w)).

    Raising one score takes weight from all the others, so only differences within a row count.
    """
    d_x = d_out - np.vecdot(d_out, weights)[..., None]
    d_x *= weights
    return d_x


def silu_backward(d_out: Array["..."], x: Array["..."]) -> Array["..."]:
    """Back through ``silu``: d_x = d_out s (1 + x (1 - s)) with s = sigmoid(x)."""
    s = sigmoid(x)
    return d_out * s * (1 + x * (1 - s))


def rotate_backward(d_out: Array["... T K"], rotations: Array["... T K/2"]) -> Array["... T K"]:
    """Back through ``apply_rotary``: turn the gradient back, by the conjugate of each rotation.

    A rotation's transpose is the rotation the other way round.
    """
    return apply_rotary(d_out, rotations.conj())


def attend_backward(
    d_mix: Array["... T K"],
    q: Array["... T K"],
    k: Array["... S K"],
    v: Array["... S K"],
    pattern: Array["... T S"],
) -> tuple[Array["... T K"], Array["... S K"], Array["... S K"]]:
    """Back through ``attend``, given the pattern it found; returns d_q, d_k, d_v.

    Where the mask hid a key the weight is zero, and with it the gradient: the mask needs no step
    of its own.
    """
    d_v = pattern.swapaxes(-1, -2) @ d_mix  # S T @ T K -> S K
    d_pattern = d_mix @ v.swapaxes(-1, -2)  # T K @ K S -> T S
    d_scores = softmax_backward(d_pattern, pattern)
    scale = 1 / math.sqrt(q.shape[-1])
    d_q = d_scores @ k * scale  # T S @ S K -> T K
    d_k = d_scores.swapaxes(-1, -2) @ q * scale  # S T @ T K -> S K
    return d_q, d_k, d_v


def grouped(x: Array["... Hq T N"], n_kv_heads: int) -> Array["... Hkv G T N"]:
    """The query heads in their groups, one group for each key-value head."""
    return x.reshape(*x.shape[:-3], n_kv_heads, -1, *x.shape[-2:])


def attend_grouped_backward(
    d_mix: Array["... Hq T K"],
    q: Array["... Hq T K"],
    k: Array["... Hkv S K"],
    v: Array["... Hkv S K"],
    pattern: Array["... Hq T S"],
) -> tuple[Array["... Hq T K"], Array["... Hkv S K"], Array["... Hkv S K"]]:
    """Back through ``attend_grouped``: a shared key gets its whole group's gradients, summed."""
    d_q, d_k, d_v = attend_backward(
        *(grouped(x, k.shape[-3]) for x in (d_mix, q)), k[..., None, :, :], v[..., None, :, :],
        grouped(pattern, k.shape[-3]),
    )  # fmt: skip
    return d_q.reshape(q.shape), d_k.sum(axis=-3), d_v.sum(axis=-3)


def attend_with_patterns(
    q: Array["... Hq T K"],
    k: Array["... Hkv S K"],
    v: Array["... Hkv S K"],
    mask: Array["... T S"],
) -> tuple[Array["... Hq T K"], list[Array["... Hq T S"]]]:
    """``attend_in_chunks``, with the pattern of every chunk: the backward pass needs it."""
    mixes, patterns = [], []
    for rows, keys in chunks(mask, CHUNK):
        q_part, k_part, v_part = grouped(q[rows], k.shape[-3]), k[keys][..., None, :, :], v[keys]
        scores = q_part / math.sqrt(q.shape[-1]) @ k_part.swapaxes(-1, -2)  # T K @ K S -> T S
        seen = mask[..., rows[-2], keys[-2]][..., None, None, :, :]
        pattern = softmax(mask_scores(scores, seen))
        mix = pattern @ v_part[..., None, :, :]  # T S @ S K -> T K
        mixes.append(mix.reshape(q[rows].shape))
        patterns.append(pattern.reshape(*q[rows].shape[:-1], -1))
    return np.concatenate(mixes, axis=-2), patterns


def attend_with_patterns_backward(
    d_mix: Array["... Hq T K"],
    q: Array["... Hq T K"],
    k: Array["... Hkv S K"],
    v: Array["... Hkv S K"],
    patterns: list[Array["... Hq T S"]],
) -> tuple[Array["... Hq T K"], Array["... Hkv S K"], Array["... Hkv S K"]]:
    """Back through ``attend_with_patterns``: each chunk adds to the gradients of its keys."""
    d_q, d_k, d_v = np.empty_like(q), np.zeros_like(k), np.zeros_like(v)
    start = 0
    for pattern in patterns:
        rows = np.s_[..., start : start + pattern.shape[-2], :]
        keys = np.s_[..., : pattern.shape[-1], :]
        d_q[rows], d_k_part, d_v_part = attend_grouped_backward(
            d_mix[rows], q[rows], k[keys], v[keys], pattern
        )
        d_k[keys] += d_k_part
        d_v[keys] += d_v_part
        start += pattern.shape[-2]
    return d_q, d_k, d_v


def swiglu_backward(
    d_down: Array["... T D"],
    x: Array["... T D"],
    w_gate: Array["D F"],
    w_up: Array["D F"],
    w_down: Array["F D"],
    gate: Array["... T F"],
    up: Array["... T F"],
    hidden: Array["... T F"],
) -> tuple[Array["... T D"], Array["D F"], Array["D F"], Array["F D"]]:
    """Back through ``swiglu``; returns d_x, d_w_gate, d_w_up, d_w_down.

    A product hands each factor the gradient times the other factor; x went in twice, so its two
    gradients add.
    """
    d_hidden, d_w_down = linear_backward(d_down, hidden, w_down)
    d_x_by_gate, d_w_gate = linear_backward(silu_backward(d_hidden * up, gate), x, w_gate)
    d_x_by_up, d_w_up = linear_backward(d_hidden * silu(gate), x, w_up)
    return d_x_by_gate + d_x_by_up, d_w_gate, d_w_up, d_w_down


def attention_backward(
    d_attn_out: Array["... T D"],
    layer: LayerWeights,
    config: LlamaConfig,
    rotations: Array["... T K/2"],
    seen: BlockActivations,
) -> tuple[Array["... T D"], dict[str, np.ndarray]]:
    """Back through ``attention``: out of wo, through the heads, back along wq, wk and wv."""
    d_mixes, d_wo = linear_backward(d_attn_out, merge_heads(seen.mix), layer.wo)
    d_q, d_k, d_v = attend_with_patterns_backward(
        split_heads(d_mixes, config.head_dim), seen.q_rotated, seen.k_rotated, seen.v, seen.patterns
    )
    rotations = rotations[..., None, :, :]  # the same for every head
    d_q, d_k = rotate_backward(d_q, rotations), rotate_backward(d_k, rotations)
    d_x_by_q, d_wq = linear_backward(merge_heads(d_q), seen.attn_norm, layer.wq)
    d_x_by_k, d_wk = linear_backward(merge_heads(d_k), seen.attn_norm, layer.wk)
    d_x_by_v, d_wv = linear_backward(merge_heads(d_v), seen.attn_norm, layer.wv)
    return d_x_by_q + d_x_by_k + d_x_by_v, {"wq": d_wq, "wk": d_wk, "wv": d_wv, "wo": d_wo}


def block_forward(
    x: Array["... T D"],
    layer: LayerWeights,
    config: LlamaConfig,
    rotations: Array["... T K/2"],
    mask: Array["... T T"],
    dropout: Dropout | None = None,
) -> tuple[Array["... T D"], BlockActivations]:
    """``model.block`` as training runs it: the same steps, and what the backward pass needs."""
    attn_norm = rms_norm(x, layer.attn_norm, config.norm_eps)
    q, k, v = (
        split_heads(linear(attn_norm, w), config.head_dim) for w in (layer.wq, layer.wk, layer.wv)
    )
    q, k = (apply_rotary(each, rotations[..., None, :, :]) for each in (q, k))
    mix, patterns = attend_with_patterns(q, k, v, mask)
    attn_out, attn_kept = drop(linear(merge_heads(mix), layer.wo), dropout)
    resid_mid = x + attn_out
    ffn_norm = rms_norm(resid_mid, layer.ffn_norm, config.norm_eps)
    gate, up = linear(ffn_norm, layer.w_gate), linear(ffn_norm, layer.w_up)
    hidden = silu(gate) * up
    down, ffn_kept = drop(linear(hidden, layer.w_down), dropout)
    return resid_mid + down, BlockActivations(
        x=x, attn_norm=attn_norm, q_rotated=q, k_rotated=k, v=v, patterns=patterns, mix=mix,
        attn_kept=attn_kept, resid_mid=resid_mid, ffn_norm=ffn_norm, gate=gate, up=up,
        hidden=hidden, ffn_kept=ffn_kept,
    )  # fmt: skip


def block_backward(
    d_out: Array["... T D"],
    layer: LayerWeights,
    config: LlamaConfig,
    rotations: Array["... T K/2"],
    seen: BlockActivations,
) -> tuple[Array["... T D"], LayerWeights]:
    """Back through ``block_forward``; returns d_x and the gradients of the block's weights.

    The stream forks before each half and joins by addition, so the gradient takes both roads and
    adds: through the half, and straight on.
    """
    d_normed, d_w_gate, d_w_up, d_w_down = swiglu_backward(
        d_out if seen.ffn_kept is None else d_out * seen.ffn_kept,
        seen.ffn_norm, layer.w_gate, layer.w_up, layer.w_down, seen.gate, seen.up, seen.hidden,
    )  # fmt: skip
    d_mid, d_ffn_norm = rms_norm_backward(d_normed, seen.resid_mid, layer.ffn_norm, config.norm_eps)
    d_mid += d_out
    d_normed, d_attention = attention_backward(
        d_mid if seen.attn_kept is None else d_mid * seen.attn_kept, layer, config, rotations, seen
    )
    d_x, d_attn_norm = rms_norm_backward(d_normed, seen.x, layer.attn_norm, config.norm_eps)
    d_x += d_mid
    return d_x, LayerWeights(
        attn_norm=d_attn_norm, **d_attention,
        ffn_norm=d_ffn_norm, w_gate=d_w_gate, w_up=d_w_up, w_down=d_w_down,
    )  # fmt: skip


def loss_and_gradients(
    weights: Weights,
    config: LlamaConfig,
    ids: Array["... T"],
    targets: Array["... T"],
    dropout: Dropout | None = None,
) -> tuple[float, Weights]:
    """The mean loss in nats, and its gradient for every weight, shaped like the weights.

    ``targets`` holds, for each position, the id that comes next: all positions learn at once
    (teacher forcing). Positions with target ``IGNORE`` (-100) do not count; texts of unequal
    length are padded at their end. A tied embedding gets the sum of its two uses.

    PyTorch: ``F.cross_entropy(model(ids).logits.flatten(0, -2), targets.flatten()).backward()``.
    """
    targets = np.asarray(targets)

    def loss_of(logits):
        return cross_entropy(logits, targets), cross_entropy_backward(logits, targets)

    return differentiate(weights, config, ids, loss_of, dropout)


def differentiate(
    weights: Weights,
    config: LlamaConfig,
    ids: Array["... T"],
    loss_of: Callable[[np.ndarray], tuple[float, np.ndarray]],
    dropout: Dropout | None = None,
) -> tuple[float, Weights]:
    """Forward pass, loss, backward pass: the loss and its gradient for every weight.

    ``loss_of`` takes the logits (... T V) and returns a loss and d_logits: cross-entropy in
    pre-training and fine-tuning, a comparison of two answers in preference training.
    """
    final_norm, seen = stream_forward(weights, config, ids, dropout)
    logits = linear(final_norm, weights.output)
    loss, d_logits = loss_of(logits.astype(np.result_type(logits, np.float32), copy=False))
    d_normed, d_output = linear_backward(d_logits, final_norm, weights.output)
    return loss, stream_backward(d_normed, weights, config, seen, d_output)


def stream_forward(
    weights: Weights, config: LlamaConfig, ids: Array["... T"], dropout: Dropout | None = None
) -> tuple[Array["... T D"], StreamActivations]:
    """``model.forward`` up to the final norm, and what the backward pass needs.

    Raises ``ValueError`` for ids that the model cannot take.
    """
    ids = np.asarray(ids)
    check_ids(ids, config, past=0)
    positions = np.arange(ids.shape[-1])
    rotations = rotations_for(config, positions, weights.embedding.dtype)
    mask, blocks = causal_mask(positions, positions), []
    x = embed(weights.embedding, ids)
    for layer in weights.layers:
        x, of_block = block_forward(x, layer, config, rotations, mask, dropout)
        blocks.append(of_block)
    final_norm = rms_norm(x, weights.norm, config.norm_eps)
    return final_norm, StreamActivations(ids=ids, rotations=rotations, blocks=blocks, x=x)


def stream_backward(
    d_final_norm: Array["... T D"],
    weights: Weights,
    config: LlamaConfig,
    seen: StreamActivations,
    d_output: Array["D V"] | None = None,
) -> Weights:
    """Back through ``stream_forward``; returns the gradient of every weight.

    ``d_output`` is that of the output, zero where it is not given: a reward model has a head of its
    own in its place. Each block's activations are let go once the backward pass has been through.
    """
    d_x, d_norm = rms_norm_backward(d_final_norm, seen.x, weights.norm, config.norm_eps)
    d_layers = []
    for layer in reversed(weights.layers):
        d_x, d_layer = block_backward(d_x, layer, config, seen.rotations, seen.blocks.pop())
        d_layers.insert(0, d_layer)
    d_embedding = embed_backward(d_x, seen.ids, config.vocab_size)
    if d_output is None:
        d_output = np.zeros_like(weights.output)
    if config.tied_output:
        d_embedding += d_output.T
        d_output = d_embedding.T
    return Weights(embedding=d_embedding, layers=tuple(d_layers), norm=d_norm, output=d_output)
