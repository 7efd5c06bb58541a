"""Hold two results together: by hand and by name, by formula and by trying."""

from collections.abc import Callable, Iterable

import numpy as np


def agree(by_hand: np.ndarray, named: np.ndarray, tolerance: float = 1e-5) -> None:
    """Say that two arrays are the same up to rounding; raise where they are not.

    Differences are measured against the largest number in ``named``, so that ``tolerance`` means
    the same for large and small matrices; against 1 where all of ``named`` is zero. Whole numbers,
    such as ids, must be the same exactly.

    >>> agree(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    they agree: shape (2,), to within 1e-05
    """
    by_hand, named = np.asarray(by_hand), np.asarray(named)
    if by_hand.shape != named.shape:
        raise AssertionError(f"shapes differ: by hand {by_hand.shape}, named {named.shape}")
    if by_hand.dtype.kind in "biu" and named.dtype.kind in "biu":
        tolerance = 0
    same = by_hand == named  # also where both are minus infinity
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0, np.abs(by_hand * 1.0 - named))
    finite = np.abs(named[np.isfinite(named)])
    scale = float(finite.max(initial=0)) or 1.0
    if not difference.max(initial=0) <= tolerance * scale:  # NaN must not pass
        worst = np.unravel_index(np.nanargmax(np.nan_to_num(difference, nan=np.inf)), named.shape)
        place = tuple(int(i) for i in worst)
        raise AssertionError(
            f"they differ, most at {place}: by hand {by_hand[place]}, named {named[place]}"
        )
    within = f"to within {tolerance:.0e}" if tolerance else "exactly"
    print(f"they agree: shape {named.shape}, {within}")


def numerical_gradient(
    f: Callable[[np.ndarray], float],
    x: np.ndarray,
    entries: Iterable[tuple[int, ...]],
    step: float = 1e-5,
) -> np.ndarray:
    """The slope of ``f`` at some entries of ``x``, by trying: a step up, a step down, two calls.

    slope = (f(x + step) - f(x - step)) / (2 step)

    Good to about nine digits for numbers around one. Raises ``ValueError`` unless ``x`` is float64:
    the two results differ in their last digits only, and float32 has too few of them.

    PyTorch: ``torch.autograd.gradcheck``.

    >>> numerical_gradient(lambda x: x[0] ** 2 * x[1], np.array([3.0, 5.0]), [(0,), (1,)]).round(6)
    array([30.,  9.])
    """
    if x.dtype != np.float64:
        raise ValueError(f"a slope by trying needs float64, not {x.dtype}: x.astype(np.float64)")

    def moved(entry: tuple[int, ...], by: float) -> np.ndarray:
        copy = x.copy()
        copy[entry] += by
        return copy

    return np.array([(f(moved(e, step)) - f(moved(e, -step))) / (2 * step) for e in entries])
