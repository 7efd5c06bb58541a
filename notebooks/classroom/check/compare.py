"""Two results beside one another: the same, or in one line what is different."""

import numpy as np

from .returned import LONGEST, Foreign, Read, brief, size

AROUND = 18  # characters shown on each side of the first that differs


def same(result, expected, tolerance: float) -> bool:
    """Whether two results agree up to rounding; NaN agrees with NaN."""
    if result is None or expected is None or isinstance(expected, str | type):
        return type(result) is type(expected) and result == expected
    if isinstance(expected, list):
        return listed(result) == expected
    if isinstance(expected, tuple):
        return isinstance(result, list | tuple) and len(result) == len(expected) and all(
            same(ours, theirs, tolerance) for ours, theirs in zip(result, expected, strict=True)
        )  # fmt: skip
    try:
        result, expected = np.asarray(result), np.asarray(expected)
        if result.shape != expected.shape or result.dtype.kind not in "biufc":
            return False
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=1)
        return np.allclose(result, expected, rtol=0, atol=tolerance * scale, equal_nan=True)
    except (TypeError, ValueError, OverflowError, MemoryError):
        return False


def listed(result) -> list | None:
    """A list, whatever sequence was given; NumPy's numbers as Python's."""
    if isinstance(result, np.ndarray) and result.ndim == 1 and result.size <= LONGEST:
        return result.tolist()
    if isinstance(result, list | tuple | bytes):
        return [unwrapped(each) for each in result]
    return None


def unwrapped(value):
    """A number of NumPy's, or an array that is one number, as Python's."""
    one = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0)
    return value.item() if one else value


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
    if isinstance(expected, tuple):
        return describe_tuple(result, expected, tolerance)
    if isinstance(expected, np.ndarray):
        return describe_array(result, expected, tolerance, axes)
    return describe_single(unwrapped(result), unwrapped(expected), tolerance)


def describe_single(result, expected, tolerance: float) -> str | None:
    """One number, one text, or None."""
    if isinstance(expected, int) and isinstance(result, float):
        return (
            f"expected a whole number, got the float {result}: `//` stays whole only between "
            "whole numbers, as in `n_heads // n_kv_heads`; else int() makes one"
        )
    if isinstance(expected, float) and isinstance(result, float | int):
        if same(result, expected, tolerance):
            return None
        return f"expected {expected:.6g}, got {kind(result)}"
    if type(result) is not type(expected):
        return f"expected {kind(expected)}, got {kind(result)}"
    if result == expected:
        return None
    if isinstance(expected, str):
        return describe_text(result, expected)
    return f"expected {brief(expected)}, got {brief(result)}"


def describe_text(result: str, expected: str) -> str:
    """Short texts as they are; of long ones, what stands around the first that differs."""
    if max(len(result), len(expected)) <= 2 * AROUND:
        return f"expected {brief(expected)}, got {brief(result)}"
    both = zip(result, expected, strict=False)
    shorter = min(len(result), len(expected))
    at = next((i for i, (ours, theirs) in enumerate(both) if ours != theirs), shorter)

    def around(text: str) -> str:
        cut = text[max(at - AROUND, 0) : at + AROUND]
        return f"{'...' * (at > AROUND)}{cut!r}{'...' * (at + AROUND < len(text))}"

    return f"differs first at [{at}]: expected {around(expected)}, got {around(result)}"


def describe_list(result, expected: list) -> str | None:
    found = listed(result)
    if found is None:
        return f"expected a list, got {kind(result)}"
    for i, (ours, theirs) in enumerate(zip(found, expected, strict=False)):
        if type(ours) is not type(theirs) or ours != theirs:
            more = "" if len(found) == len(expected) else f" ({counts(expected, found)})"
            return f"differs first at [{i}]: expected {brief(theirs)}, got {brief(ours)}{more}"
    if len(found) != len(expected):
        return f"expected {counts(expected, found)}: {brief(found)}"
    return None


def counts(expected: list, found: list) -> str:
    return f"{len(expected)} entries, got {len(found)}"


def describe_tuple(result, expected: tuple, tolerance: float) -> str | None:
    """Several results, one after the other."""
    if not isinstance(result, list | tuple) or len(result) != len(expected):
        got = f"{len(result)} results" if isinstance(result, list | tuple) else kind(result)
        return f"expected {len(expected)} results, got {got}"
    for i, (ours, theirs) in enumerate(zip(result, expected, strict=True)):
        if fault := describe(ours, theirs, tolerance):
            return f"result {i} (counted from 0): {fault}"
    return None


def describe_array(result, expected: np.ndarray, tolerance: float, axes: str) -> str | None:
    if isinstance(result, np.generic) and expected.ndim == 0:
        result = np.asarray(result)
    if not isinstance(result, np.ndarray):
        makes = "np.array(list(...))" if isinstance(result, Read) else "np.array(...)"
        hint = f": {makes} makes one" if isinstance(result, list | tuple) else ""
        return f"expected an array, got {kind(result)}{hint}"
    if result.shape != expected.shape:
        named = f"{axes} = " if len(axes.split()) == expected.ndim else ""
        return f"wrong shape: expected {named}{expected.shape}, got {result.shape}"
    fitting = {"b": "b", "i": "iu", "u": "iu"}.get(expected.dtype.kind, "biuf")
    if result.dtype.kind not in fitting:
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
    by = f" by up to {largest:.3g}" if expected.dtype.kind != "b" else ""
    return (
        f"differs{by} in {off.sum()} of {off.size} numbers, first at {at}: "
        f"expected {entry(expected[index])}, got {entry(result[index])}"
    )


def entry(value: np.generic) -> str:
    return str(value) if value.dtype.kind in "biu" else f"{value:.6g}"


def first(where: np.ndarray) -> list[int]:
    return np.argwhere(where)[0].tolist()


def kind(value) -> str:
    """What something is, in a few words."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, float | np.floating):
        return f"the single number {value:.6g}"
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        long = isinstance(value, int) and value.bit_length() > 200
        return size(value) if long else f"the whole number {value}"
    if isinstance(value, Foreign):
        return repr(value)
    return {"NoneType": "None", "str": "a text", "ellipsis": "...", "Read": "a generator"}.get(
        type(value).__name__, f"a {type(value).__name__}"
    )
