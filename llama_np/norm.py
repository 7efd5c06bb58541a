"""Root-mean-square normalisation: every token's row brought to the same size."""

import numpy as np

from .shapes import Array


def rms_norm(x: Array["... D"], weight: Array["D"], eps: float) -> Array["... D"]:
    """Divide each row by its root mean square, then scale every column by a learned weight.

    rms_norm(x) = x / sqrt(mean(x^2) + eps) * weight

    ``eps`` stands inside the root. The mean is taken in float32 at least, whatever ``x`` is stored
    in: squares of 16-bit numbers overflow and round too early. Nothing is subtracted: that is the
    difference from LayerNorm.

    PyTorch: ``torch.nn.functional.rms_norm(x, (D,), weight, eps)``.
    Source: https://arxiv.org/abs/1910.07467, equation 4.

    >>> x = np.array([1.0, 2.0, 3.0, 4.0])
    >>> rms_norm(x, np.ones(4), 1e-5).round(8).tolist()
    [0.36514813, 0.73029626, 1.09544438, 1.46059251]
    """
    wide = x.astype(np.result_type(x.dtype, np.float32), copy=False)
    mean_square = np.vecdot(wide, wide)[..., None] / x.shape[-1]  # vecdot: a row times itself
    normed = (wide / np.sqrt(mean_square + eps)).astype(x.dtype, copy=False)
    normed *= weight
    return normed
