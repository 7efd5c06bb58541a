"""Every token's row brought to the same size: RMSNorm in Llama, LayerNorm in GPT-2."""

import numpy as np

from .axes import Array


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
    wide = x.astype(np.promote_types(x.dtype, np.float32), copy=False)
    mean_square = np.vecdot(wide, wide)[..., None] / x.shape[-1]  # vecdot: a row times itself
    normed = (wide / np.sqrt(mean_square + eps)).astype(x.dtype, copy=False)
    normed *= weight
    return normed


def layer_norm(
    x: Array["... D"], weight: Array["D"], shift: Array["D"], eps: float
) -> Array["... D"]:
    """Move each row to mean 0, divide it by its deviation, then scale and shift every column.

    layer_norm(x) = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * weight + shift

    The variance is divided by D, not D - 1, and ``eps`` stands inside the root. As in ``rms_norm``
    the means are taken in float32 at least.

    PyTorch: ``torch.nn.functional.layer_norm(x, (D,), weight, shift, eps)``.
    Source: https://arxiv.org/abs/1607.06450, equation 4.

    >>> x = np.array([1.0, 2.0, 3.0, 4.0])
    >>> layer_norm(x, np.ones(4), np.zeros(4), 1e-5).round(8).tolist()
    [-1.34163542, -0.44721181, 0.44721181, 1.34163542]
    """
    wide = x.astype(np.promote_types(x.dtype, np.float32), copy=False)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    variance = np.vecdot(centred, centred)[..., None] / x.shape[-1]
    normed = (centred / np.sqrt(variance + eps)).astype(x.dtype, copy=False)
    return normed * weight + shift
