"""The model: embed, 32 blocks in a loop (or however many), norm, output."""

from collections.abc import Sequence

import numpy as np

from .attention import attention, causal_mask
from .axes import Array
from .cache import KVCache, LayerCache
from .config import LlamaConfig
from .feed_forward import swiglu
from .functional import linear
from .norm import rms_norm
from .rope import rope_frequencies, rope_rotations
from .tap import Tap, no_tap, under
from .weights import LayerWeights, Weights


def embed(embedding: Array["V D"], ids: Array["... T"]) -> Array["... T D"]:
    """The rows of the embedding that the ids name: the start of the residual stream.

    PyTorch: ``torch.nn.functional.embedding(ids, embedding)``. The same as a product of one-hot
    rows with the matrix.

    >>> embed(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 0, 1])).tolist()
    [[3.0, 4.0], [1.0, 2.0], [3.0, 4.0]]
    """
    return embedding[ids]


def block(
    x: Array["... T D"],
    layer: LayerWeights,
    config: LlamaConfig,
    rotations: Array["... T K/2"],
    mask: Array["... T S"] | None,
    cache: LayerCache | None = None,
    tap: Tap = no_tap,
) -> Array["... T D"]:
    """Norm, attend, add; norm, feed forward, add. The stream itself is never normalised.

    Each half reads a normalised copy and adds its result to the stream as it was before the norm.

    PyTorch: ``LlamaDecoderLayer`` in transformers; ``TransformerBlock`` in
    https://github.com/meta-llama/llama3/blob/main/llama/model.py
    """
    normed = tap("attn_norm", rms_norm(x, layer.attn_norm, config.norm_eps))
    x = x + attention(normed, layer, config, rotations, mask, cache, tap)
    x = tap("resid_mid", x)
    normed = tap("ffn_norm", rms_norm(x, layer.ffn_norm, config.norm_eps))
    x = x + swiglu(normed, layer.w_gate, layer.w_up, layer.w_down, tap)
    return tap("resid_out", x)


def forward(
    weights: Weights,
    config: LlamaConfig,
    ids: Array["... T"] | Sequence[int],
    cache: KVCache | None = None,
    tap: Tap = no_tap,
    *,
    last_only: bool = False,
    positions: Array["... T"] | None = None,
    mask: Array["... T S"] | None = None,
) -> Array["... T V"] | Array["... 1 V"]:
    """From token ids to logits: for each position, one score for every token that could come next.

    ``ids`` may have leading batch axes. With a ``cache`` give only the new ids; they follow what it
    holds. ``last_only`` returns the last position alone, shape (..., 1, V): all that generating
    needs. ``positions`` and ``mask`` are for sequences that do not simply start at 0 and look
    back, such as a padded batch; without them each token sees itself and those before it.

    Logits are float32, or float64 where the weights are. Raises ``ValueError`` for ids that are
    empty, no integers or outside the vocabulary, and for more positions than the model or the
    cache has.

    PyTorch: ``LlamaForCausalLM(ids).logits`` in transformers.
    """
    ids = np.asarray(ids)
    past = 0 if cache is None else cache.length
    check_ids(ids, config, past)
    n_new = ids.shape[-1]
    if cache is not None:
        cache.check_room(n_new)
    if positions is None:
        positions = np.arange(past, past + n_new)
    if mask is None and n_new > 1:  # a single token sees all there is
        mask = causal_mask(np.arange(past, past + n_new), np.arange(past + n_new))

    x = tap("embedded", embed(weights.embedding, ids))
    rotations = rotations_for(config, positions, x.dtype)
    for i, layer in enumerate(weights.layers):
        layer_cache = None if cache is None else cache.layer(i)
        x = block(x, layer, config, rotations, mask, layer_cache, under(f"blocks.{i}", tap))
    if cache is not None:
        cache.advance(n_new)
    x = tap(
        "final_norm", rms_norm(x[..., -1:, :] if last_only else x, weights.norm, config.norm_eps)
    )
    logits = linear(x, weights.output)  # T D @ D V -> T V
    return tap("logits", logits.astype(np.result_type(logits, np.float32), copy=False))


def rotations_for(
    config: LlamaConfig, positions: Array["... T"], dtype: np.dtype
) -> Array["... T K/2"]:
    """The rotations at some positions, made once for all blocks, as exact as a stream of ``dtype``.

    float64 angles are rounded to complex64 for a float32 stream, and stay complex128 for float64.
    """
    frequencies = rope_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
    return rope_rotations(positions, frequencies).astype(np.result_type(dtype, np.complex64))


def check_ids(ids: np.ndarray, config: LlamaConfig, past: int) -> None:
    """Raise ``ValueError`` for ids that the model cannot take, saying what to do."""
    if ids.ndim < 1 or ids.size == 0:
        raise ValueError(
            f"ids is empty (shape {ids.shape}); give at least one token, "
            "for example the begin-of-text token"
        )
    if not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"ids must be integers, got {ids.dtype}; encode the text first")
    if ids.min() < 0 or ids.max() >= config.vocab_size:
        wrong = ids[(ids < 0) | (ids >= config.vocab_size)].flat[0]
        raise ValueError(
            f"id {wrong} is outside the vocabulary of {config.vocab_size}; "
            "do tokenizer and model belong together?"
        )
    if past + ids.shape[-1] > config.context_length:
        raise ValueError(
            f"{past + ids.shape[-1]} positions are more than this model's context of "
            f"{config.context_length}; shorten the text"
        )
