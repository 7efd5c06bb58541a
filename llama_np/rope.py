"""Rotary position embedding: where a token stands becomes the angle its pairs are turned by."""

import math
from typing import NamedTuple

import numpy as np

from .axes import Array


class RopeScaling(NamedTuple):
    """Llama 3.1's stretching of the slow pairs, so that they serve a longer context.

    ``factor`` divides the slow frequencies; ``original_context_length`` is the number of positions
    the model was first trained on; the other two say which wavelengths count as slow and as fast,
    in turns per original context.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context_length: int


def rope_frequencies(
    head_dim: int, theta: float, scaling: RopeScaling | None = None
) -> Array["K/2"]:
    """How far each pair of numbers turns per position, in radians.

    frequency_i = theta ** (-2 i / K) for the pairs i = 0 .. K/2 - 1

    The first pair turns one radian per position; the last turns almost not at all. The result is
    float64, because a position of many thousands times a rounded frequency is a wrong angle;
    ``rotate`` brings cosine and sine to the dtype of what it turns.

    Source: https://arxiv.org/abs/2104.09864, section 3.2.2; ``precompute_freqs_cis`` in
    https://github.com/meta-llama/llama3/blob/main/llama/model.py

    >>> rope_frequencies(8, 10000.0).tolist()
    [1.0, 0.1, 0.01, 0.001]
    """
    frequencies = theta ** -(np.arange(0, head_dim, 2) / head_dim)
    return frequencies if scaling is None else scale_frequencies(frequencies, scaling)


def scale_frequencies(frequencies: Array["K/2"], scaling: RopeScaling) -> Array["K/2"]:
    """Llama 3.1's scaling: keep the fast pairs, slow the slow ones down, blend between.

    A pair that makes at least ``high_freq_factor`` turns within the original context is kept. One
    that makes at most ``low_freq_factor`` turns is divided by ``factor``. Between the two the
    result moves linearly from one to the other with the number of turns.

    transformers: ``rope_type="llama3"``. Source: ``apply_scaling`` in
    https://github.com/meta-llama/llama-models/blob/main/models/llama3/model.py

    >>> slow_and_fast = np.array([1.0, 1e-4])
    >>> scale_frequencies(slow_and_fast, RopeScaling(8.0, 1.0, 4.0, 8192)).tolist()
    [1.0, 1.25e-05]
    """
    turns = scaling.original_context_length * frequencies / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    keep = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return keep * frequencies + (1 - keep) * frequencies / scaling.factor


def rotate(
    x: Array["... T K"], positions: Array["... T"], frequencies: Array["K/2"]
) -> Array["... T K"]:
    """Turn each adjacent pair (x0, x1), (x2, x3), ... by position times frequency, in radians.

    (a, b) -> (a cos - b sin, a sin + b cos)

    The first token stands at position 0 and is not turned. Lengths stay as they are. Applied to
    queries and keys, never to values: the score of a query at m and a key at n then depends on
    m - n alone.

    Pairs are neighbours here, as in Meta's weights. Hugging Face stores q and k permuted so that
    the pair of number i is number i + K/2; loading undoes that.

    PyTorch: ``torch.view_as_real(torch.view_as_complex(pairs) * torch.polar(ones, angles))``.
    Source: https://arxiv.org/abs/2104.09864, equation 34; ``apply_rotary_emb`` in
    https://github.com/meta-llama/llama3/blob/main/llama/model.py

    >>> quarter_turn = np.array([math.pi / 2])
    >>> rotate(np.array([[1.0, 0.0]]), np.array([1]), quarter_turn).round(6).tolist()
    [[0.0, 1.0]]
    """
    angles = positions[..., None] * frequencies  # T 1 * K/2 -> T K/2
    cos, sin = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = np.empty_like(x)
    turned[..., 0::2] = even * cos - odd * sin
    turned[..., 1::2] = even * sin + odd * cos
    return turned


def rope_rotations(positions: Array["... T"], frequencies: Array["K/2"]) -> Array["... T K/2"]:
    """The rotation of each pair at each position, as a complex number of length 1.

    rotation = exp(i * position * frequency) = cos(angle) + i sin(angle)

    They are the same in every block, so ``forward`` makes them once for all. The result is
    complex128, because of the large angles; ``forward`` rounds it to the precision of the stream.

    PyTorch: ``torch.polar(ones, angles)``. Source: ``precompute_freqs_cis`` in
    https://github.com/meta-llama/llama3/blob/main/llama/model.py

    >>> rope_rotations(np.array([0, 1]), np.array([math.pi / 2])).round(6).tolist()
    [[(1+0j)], [1j]]
    """
    return np.exp(1j * (positions[..., None] * frequencies))  # T 1 * K/2 -> T K/2


def apply_rotary(x: Array["... T K"], rotations: Array["... T K/2"]) -> Array["... T K"]:
    """``rotate``, written as Meta does: a pair is one complex number, turning it is a product.

    (a + ib) -> (a + ib) * rotation

    The product is taken pair by pair. It is no dot product: nothing is summed. ``x`` is brought to
    the precision of ``rotations`` for it, and the result back to the dtype of ``x``.

    PyTorch: ``apply_rotary_emb`` in
    https://github.com/meta-llama/llama3/blob/main/llama/model.py

    >>> apply_rotary(np.array([[1.0, 0.0]]), np.array([[-1 + 0j]])).tolist()
    [[-1.0, 0.0]]
    """
    wide = np.ascontiguousarray(x, rotations.real.dtype)
    pairs = wide.view(rotations.dtype)  # T K -> T K/2: two neighbours are one complex number
    return (pairs * rotations).view(wide.dtype).astype(x.dtype, copy=False)
