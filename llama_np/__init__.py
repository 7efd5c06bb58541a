"""Llama 3 in pure NumPy: small functions, arrays in, arrays out.

Start at ``forward`` in ``model.py`` and follow the calls down. The axes are named in ``shapes.py``,
the activations in ``tap.py``.
"""

from .attention import (
    attend,
    attend_grouped,
    attention,
    causal_mask,
    loop_over_heads,
    mask_scores,
    merge_heads,
    one_head,
    split_heads,
)
from .batch import generate_batch, pad_left, padded_view
from .cache import KVCache
from .config import LLAMA_3_8B, LlamaConfig
from .feed_forward import feed_forward_width, swiglu
from .functional import gelu, gelu_tanh, log_softmax, sigmoid, silu, softmax
from .model import block, embed, forward
from .norm import layer_norm, rms_norm
from .rope import RopeScaling, apply_rotary, rope_frequencies, rope_rotations, rotate
from .sampling import choose, generate, greedy, keep_top_k, keep_top_p, log_probabilities
from .tap import catalogue, no_tap, patch, record, under
from .training.loss import cross_entropy
from .weights import LayerWeights, Weights

__all__ = [
    "LLAMA_3_8B",
    "KVCache", "LayerWeights", "LlamaConfig", "RopeScaling", "Weights", "attend",
    "attend_grouped", "attention", "block", "catalogue", "choose", "cross_entropy", "embed",
    "feed_forward_width", "forward", "gelu", "gelu_tanh", "generate", "generate_batch",
    "greedy", "mask_scores", "keep_top_k", "keep_top_p", "layer_norm", "log_probabilities", "log_softmax",
    "loop_over_heads", "causal_mask", "merge_heads", "no_tap", "one_head", "pad_left",
    "padded_view", "patch", "record", "rms_norm", "rope_frequencies", "rope_rotations", "rotate",
    "apply_rotary", "sigmoid", "silu", "softmax", "split_heads", "swiglu", "under",
]  # fmt: skip
