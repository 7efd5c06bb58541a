"""Llama 3 in pure NumPy: small functions, arrays in, arrays out.

Start at ``forward`` in ``model.py`` and follow the calls down. The axes are named in ``axes.py``,
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
from .cache import KVCache
from .config import LLAMA_3_8B, LlamaConfig
from .feed_forward import feed_forward_width, swiglu
from .functional import gelu, gelu_tanh, log_softmax, sigmoid, silu, softmax
from .model import block, embed, forward
from .norm import layer_norm, rms_norm
from .rope import RopeScaling, apply_rotary, rope_frequencies, rope_rotations, rotate
from .sampling import (
    Sampling,
    generate,
    generate_batch,
    greedy,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    log_probabilities,
    pad_left,
    padded_view,
    sample,
)
from .tap import catalogue, no_tap, patch, record, under
from .weights import LayerWeights, Weights

__all__ = [
    "LLAMA_3_8B",
    "KVCache", "LayerWeights", "LlamaConfig", "RopeScaling", "Sampling", "Weights",
    "apply_rotary", "attend", "attend_grouped", "attention", "block", "catalogue", "causal_mask",
    "embed", "feed_forward_width", "forward", "gelu", "gelu_tanh", "generate", "generate_batch",
    "greedy", "keep_min_p", "keep_top_k", "keep_top_p", "layer_norm", "log_probabilities",
    "log_softmax", "loop_over_heads", "mask_scores", "merge_heads", "no_tap", "one_head",
    "pad_left", "padded_view", "patch", "record", "rms_norm", "rope_frequencies",
    "rope_rotations", "rotate", "sample", "sigmoid", "silu", "softmax", "split_heads", "swiglu",
    "under",
]  # fmt: skip
