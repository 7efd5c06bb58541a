"""Two results beside one another: the same, or in one line what is different."""

import numpy as np


def same(result, expected, tolerance: float) -> bool:
    """Whether two results agree up to rounding; NaN agrees with NaN."""
    if result is None or expected is None or isinstance(expected, str | type):
        return type(result) is type(expected) and result == expected
    if isinstance(expected, list):
        return listed(result) == expected
    try:
        result, expected = np.asarray(result), np.asarray(expected)
        if result.shape != expected.shape or result.dtype.kind not in "biufc":
            return False
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=1)
        return np.allclose(result, expected, rtol=0, atol=tolerance * scale, equal_nan=True)
    except (TypeError, ValueError):
        return False


def listed(result) -> list | None:
    """A list, whatever sequence was given; NumPy's numbers as Python's."""
    if isinstance(result, np.ndarray):
        return result.tolist()
    if isinstance(result, list | tuple | bytes):
        return [i.item() if isinstance(i, np.generic) else i for i in result]
    return None


def describe(
    result, expected, tolerance: float, axes: str = "", optional: bool = False
) -> str | None:
    """What is wrong with a result, in one line; None where nothing is.

    ``optional`` says that None is a possible answer, so that no return need be missing.
    """
    if result is None and expected is not None:
        missing = "it returned None: is a return missing?"
        return f"expected {brief(expected)}, got None" if optional else missing
    if isinstance(expected, list):
        return describe_list(result, expected)
    if isinstance(expected, np.ndarray):
        return describe_array(result, expected, tolerance, axes)
    if isinstance(expected, int) and isinstance(result, float | np.floating):
        return (
            f"expected a whole number, got the float {result}: `//` stays whole only between "
            "whole numbers, as in `n_heads // n_kv_heads`; else int() makes one"
        )
    number = isinstance(expected, int) and isinstance(result, int | np.integer)
    if not number and type(result) is not type(expected):
        return f"expected {kind(expected)}, got {kind(result)}"
    return None if result == expected else f"expected {brief(expected)}, got {brief(result)}"


def describe_list(result, expected: list) -> str | None:
    found = listed(result)
    if found is None:
        return f"expected a list, got {kind(result)}"
    if len(found) != len(expected):
        return f"expected {len(expected)} entries, got {len(found)}: {brief(found)}"
    for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        if type(ours) is not type(theirs) or ours != theirs:
            return f"differs first at [{i}]: expected {brief(theirs)}, got {brief(ours)}"
    return None


def describe_array(result, expected: np.ndarray, tolerance: float, axes: str) -> str | None:
    if not isinstance(result, np.ndarray):
        hint = ": np.array(...) makes one" if isinstance(result, list | tuple) else ""
        return f"expected an array, got {kind(result)}{hint}"
    if result.shape != expected.shape:
        named = f"{axes} = " if len(axes.split()) == expected.ndim else ""
        return f"wrong shape: expected {named}{expected.shape}, got {result.shape}"
    if (result.dtype.kind in "iu") != (expected.dtype.kind in "iu") or (
        expected.dtype.kind in "bf" and result.dtype != expected.dtype
    ):
        return f"wrong dtype: expected {expected.dtype}, got {result.dtype}"
    if same(result, expected, tolerance):
        return None
    return first_difference(result, expected, tolerance)


def first_difference(result: np.ndarray, expected: np.ndarray, tolerance: float) -> str:
    """By how much two arrays of one shape differ, and where first."""
    lost = np.isnan(result) & ~np.isnan(expected)
    if lost.any():
        return f"NaN (not a number) in {lost.sum()} of {lost.size} places, first at {first(lost)}"
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=1)
    off = ~np.isclose(result, expected, rtol=0, atol=tolerance * scale, equal_nan=True)
    at = first(off)
    with np.errstate(invalid="ignore"):
        largest = np.abs(result[off] * 1.0 - expected[off]).max()
    index = tuple(at)
    return (
        f"differs by up to {largest:.3g} in {off.sum()} of {off.size} numbers, first at {at}: "
        f"expected {expected[index]:.6g}, got {result[index]:.6g}"
    )


def first(where: np.ndarray) -> list[int]:
    return np.argwhere(where)[0].tolist()


def kind(value) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, float | int | np.number) and not isinstance(value, bool):
        sort = "whole" if isinstance(value, int | np.integer) else "single"
        return f"the {sort} number {value:.6g}" if sort == "single" else f"the whole number {value}"
    return {"NoneType": "None", "str": "a text"}.get(
        type(value).__name__, f"a {type(value).__name__}"
    )


def brief(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
