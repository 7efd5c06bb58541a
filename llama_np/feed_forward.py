"""The feed-forward step: each token by itself is widened, gated and narrowed again."""

from .axes import Array
from .functional import linear, silu
from .tap import no_tap


def swiglu(
    x: Array["... T D"],
    w_gate: Array["D F"],
    w_up: Array["D F"],
    w_down: Array["F D"],
    tap=no_tap,
) -> Array["... T D"]:
    """Two widened copies of each token, one gating the other, then back to the model's width.

    swiglu(x) = (silu(x @ w_gate) * (x @ w_up)) @ w_down

    No token sees another here. There are no biases.

    PyTorch: ``(F.silu(x @ w_gate) * (x @ w_up)) @ w_down``; ``LlamaMLP`` in transformers.
    Source: https://arxiv.org/abs/2002.05202, equation 6 (FFN_SwiGLU).

    >>> import numpy as np
    >>> one = np.ones((1, 1))
    >>> swiglu(one, 2 * one, 3 * one, one).round(6).tolist()
    [[5.284782]]
    """
    gate = tap("gate", linear(x, w_gate))  # T D @ D F -> T F
    up = tap("up", linear(x, w_up))  # T D @ D F -> T F
    hidden = silu(gate)
    hidden *= up
    return tap("down", linear(tap("hidden", hidden), w_down))  # T F @ F D -> T D


def feed_forward_width(dim: int, multiple_of: int, multiplier: float | None = None) -> int:
    """The feed-forward width F that Meta's params.json leaves to be computed.

    Two thirds of 4 D, because SwiGLU has three matrices where older models had two; then times
    ``multiplier`` where the file has one; then up to the next multiple of ``multiple_of``. Both
    products are cut to whole numbers before rounding up.

    Source: ``FeedForward`` in https://github.com/meta-llama/llama3/blob/main/llama/model.py

    >>> feed_forward_width(4096, multiple_of=1024, multiplier=1.3)  # Llama 3 8B
    14336
    >>> feed_forward_width(4096, multiple_of=256)  # Llama 2 7B
    11008
    """
    width = int(2 * (4 * dim) / 3)
    if multiplier is not None:
        width = int(multiplier * width)
    return -(-width // multiple_of) * multiple_of
