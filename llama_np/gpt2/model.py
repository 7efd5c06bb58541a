"""GPT-2 from the same parts: where Llama came from, and what it has changed since.

Embed ids and places, blocks in a loop, norm, output. Activations have Llama's names (``tap.py``)
where they are the same thing. Source: https://github.com/openai/gpt-2/blob/master/src/model.py and
https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
"""

from collections.abc import Sequence

import numpy as np

from ..attention import attend, causal_mask, merge_heads, split_heads
from ..axes import Array
from ..functional import gelu_tanh, linear
from ..model import check_ids
from ..norm import layer_norm
from ..tap import Tap, no_tap, under
from .weights import Gpt2Config, Gpt2Layer, Gpt2Weights


def gpt2_embed(
    embedding: Array["V D"], positions: Array["C D"], ids: Array["... T"]
) -> Array["... T D"]:
    """A row for each id plus a row for each place: the start of the residual stream.

    Both tables are learned. Places count from 0, and behind the last row there is nothing: a longer
    text has no positions.

    PyTorch: ``wte(ids) + wpe(torch.arange(T))``.

    >>> gpt2_embed(np.eye(2), np.array([[0.0, 0.5], [0.25, 0.0]]), np.array([1, 1])).tolist()
    [[0.0, 1.5], [0.25, 1.0]]
    """
    return embedding[ids] + positions[: ids.shape[-1]]


def gpt2_attention(
    x: Array["... T D"], layer: Gpt2Layer, head_dim: int, tap: Tap = no_tap
) -> Array["... T D"]:
    """Queries, keys and values from one product, as many key heads as query heads, no rotation.

    PyTorch: ``GPT2Attention`` in transformers.
    """
    qkv = linear(x, layer.w_qkv)  # T D @ D 3*D -> T 3*D
    if layer.b_qkv is not None:
        qkv = qkv + layer.b_qkv
    parts = zip("qkv", np.split(qkv, 3, axis=-1), strict=True)
    q, k, v = (tap(name, split_heads(part, head_dim)) for name, part in parts)
    places = np.arange(x.shape[-2])
    mix = attend(q, k, v, causal_mask(places, places), tap)
    return tap("attn_out", linear(merge_heads(mix), layer.wo) + layer.bo)


def gpt2_feed_forward(x: Array["... T D"], layer: Gpt2Layer, tap: Tap = no_tap) -> Array["... T D"]:
    """Widen, bend, narrow: two linear layers with a curve between them, and no gate.

    PyTorch: ``GPT2MLP`` in transformers.
    """
    up = tap("up", linear(x, layer.w_up) + layer.b_up)  # T D @ D F -> T F
    hidden = tap("hidden", gelu_tanh(up))
    return tap("down", linear(hidden, layer.w_down) + layer.b_down)  # T F @ F D -> T D


def gpt2_block(
    x: Array["... T D"], layer: Gpt2Layer, config: Gpt2Config, tap: Tap = no_tap
) -> Array["... T D"]:
    """Norm, attend, add; norm, feed forward, add: in the same order as Llama's ``block``.

    PyTorch: ``GPT2Block`` in transformers, without dropout.
    """
    normed = layer_norm(x, layer.attn_norm, layer.attn_norm_shift, config.norm_eps)
    x = x + gpt2_attention(tap("attn_norm", normed), layer, config.head_dim, tap)
    x = tap("resid_mid", x)
    normed = layer_norm(x, layer.ffn_norm, layer.ffn_norm_shift, config.norm_eps)
    x = x + gpt2_feed_forward(tap("ffn_norm", normed), layer, tap)
    return tap("resid_out", x)


def gpt2_forward(
    weights: Gpt2Weights,
    config: Gpt2Config,
    ids: Array["... T"] | Sequence[int],
    tap: Tap = no_tap,
) -> Array["... T V"]:
    """From token ids to logits, without a cache: the plain meaning of GPT-2.

    Raises ``ValueError`` for ids that are empty, no integers or outside the vocabulary, and for
    more of them than the model has positions.

    PyTorch: ``GPT2LMHeadModel(ids).logits`` in transformers.
    """
    ids = np.asarray(ids)
    check_ids(ids, config, past=0)
    x = tap("embedded", gpt2_embed(weights.embedding, weights.positions, ids))
    for i, layer in enumerate(weights.layers):
        x = gpt2_block(x, layer, config, under(f"blocks.{i}", tap))
    x = tap("final_norm", layer_norm(x, weights.norm, weights.norm_shift, config.norm_eps))
    return tap("logits", linear(x, weights.output))  # T D @ D V -> T V
