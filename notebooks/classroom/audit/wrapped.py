"""Mutants around a right answer: one that uses less of its arguments, or fails on some of them."""

import dataclasses
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.weights import LayerWeights, Weights

Change = tuple[str, Callable[[Any], Any]]


def ones_like(layer: LayerWeights, name: str) -> LayerWeights:
    return dataclasses.replace(layer, **{name: np.ones_like(getattr(layer, name))})


def in_place_of(value) -> Iterator[Change]:
    """What may stand in the place of an argument, so that it counts for less than it should."""
    match value:
        case bool() | None:
            return
        case int() | np.integer():
            yield "the value of the first call", lambda v: value
            for other in (0, 1, 2, 3, 4, 5, 8, 100):
                yield f"{other}", lambda v, other=other: other
            yield "one more", lambda v: v + 1
            yield "one less", lambda v: v - 1
            yield "3 at most", lambda v: min(v, 3)
            yield "2 at least", lambda v: max(v, 2)
            yield "an even number", lambda v: v // 2 * 2
        case float():
            yield "the value of the first call", lambda v: value
            for other in (0.0, 1e-5, 0.01, 0.5, 1.0, 1.3, 10000.0):
                yield f"{other}", lambda v, other=other: other
            yield "1 at most", lambda v: min(v, 1.0)
            yield "1 at least", lambda v: max(v, 1.0)
            yield "a tenth at least", lambda v: max(v, 0.1)
            yield "a tenth at most", lambda v: min(v, 0.1)
            yield "one percent more", lambda v: v * 1.01
            yield "a whole number", lambda v: int(v)
        case np.ndarray():
            yield from arrays_in_place_of(value)
        case list():
            yield from sequences_in_place_of(list)
            yield "sorted", sorted
            yield "each once", lambda v: list(dict.fromkeys(v))
        case bytes():
            yield from sequences_in_place_of(bytes)
            yield "without spaces at the ends", lambda v: v.strip()
        case str():
            yield from sequences_in_place_of(str)
            yield "without spaces at the ends", lambda v: v.strip()
            yield "in small letters", lambda v: v.lower()
            yield "without what is not ASCII", lambda v: v.encode("ascii", "ignore").decode()
            yield "normalised", lambda v: unicodedata.normalize("NFC", v)
        case dict():
            yield "without the last", lambda v: dict(list(v.items())[:-1])
            yield "numbered anew", lambda v: {key: i for i, key in enumerate(v)}
            yield "empty", lambda v: {}
        case set():
            yield "empty", lambda v: set()
            yield "its smallest", lambda v: {min(v)} if v else v
            yield "its largest", lambda v: {max(v)} if v else v
        case LlamaConfig():
            for name in ("norm_eps", "rope_theta", "head_dim", "n_heads", "n_kv_heads", "n_layers"):
                own = getattr(value, name)
                yield f"{name} of the first call", lambda v, n=name, o=own: put(v, **{n: o})
        case LayerWeights():
            for field in dataclasses.fields(value):
                yield f"{field.name} of ones", lambda v, name=field.name: ones_like(v, name)
        case Weights():
            yield "first block only", lambda v: put(v, layers=v.layers[:1])
            yield "three blocks at most", lambda v: put(v, layers=v.layers[:3])
            yield "without the last block", lambda v: put(v, layers=v.layers[:-1])
            yield "blocks turned round", lambda v: put(v, layers=v.layers[::-1])
            yield "norm of ones", lambda v: put(v, norm=np.ones_like(v.norm))


def put(record, **fields):
    return dataclasses.replace(record, **fields)


def sequences_in_place_of(sort: type) -> Iterator[Change]:
    yield "empty", lambda v: sort()
    yield "without the last", lambda v: v[:-1]
    yield "without the first", lambda v: v[1:]
    yield "the first three", lambda v: v[:3]
    yield "turned round", lambda v: v[::-1]


def arrays_in_place_of(value: np.ndarray) -> Iterator[Change]:
    yield "zeros", np.zeros_like
    yield "ones", np.ones_like
    yield "turned round", lambda v: v[::-1]
    yield "the first row everywhere", lambda v: np.broadcast_to(v[:1], v.shape).copy()
    yield "the last row everywhere", lambda v: np.broadcast_to(v[-1:], v.shape).copy()
    yield "the last row 0", lambda v: np.concatenate([v[:-1], np.zeros_like(v[-1:])])
    if value.dtype != bool:
        yield "without signs", np.abs
        yield "turned in sign", np.negative
        yield "from -2 to 2", lambda v: np.clip(v, -2, 2)
        yield "sorted", lambda v: np.sort(v, axis=0)
        yield "without its mean", lambda v: v - v.mean()
    if value.ndim == 1:
        yield "0, 1, 2 and so on", lambda v: np.arange(len(v)).astype(v.dtype)
        yield "from its first on", lambda v: v[0] + np.arange(len(v)).astype(v.dtype)
        yield "up to its last", lambda v: v[-1] - np.arange(len(v))[::-1].astype(v.dtype)
        yield "from 0 on, with its gaps", lambda v: v - v[0]
    if value.ndim == 2:
        yield "transposed where it is square", lambda v: v.T if v.shape[0] == v.shape[1] else v
        yield "the last column 0", lambda v: np.concatenate([v[:, :-1], 0 * v[:, -1:]], axis=1)
    if value.dtype == bool:
        yield "the triangle", lambda v: np.tri(*v.shape, dtype=bool)
        yield "the triangle at the right", lambda v: np.tri(*v.shape, v.shape[1] - v.shape[0], bool)
        yield "the other way round", np.logical_not
        yield "itself alone", lambda v: np.eye(*v.shape, dtype=bool)


def conditions(value) -> Iterator[Change]:
    """What may be true of an argument, and wants an answer, too."""
    match value:
        case bool() | None:
            return
        case int():
            yield "is 0", lambda v: v == 0
            yield "is 1", lambda v: v == 1
            yield "is odd", lambda v: v % 2 == 1
            yield "is even", lambda v: v % 2 == 0
            yield "is above 15", lambda v: v > 15
        case float():
            yield "is whole", lambda v: v == int(v)
            yield "is below 1", lambda v: v < 1
            yield "is above 1", lambda v: v > 1
            yield "is 0", lambda v: v == 0
        case np.ndarray():
            yield "has one row", lambda v: len(v) == 1
            yield "has an axis of one", lambda v: 1 in v.shape
            yield "has more than eight rows", lambda v: len(v) > 8
            if value.ndim > 1:
                yield "is square", lambda v: v.shape[-1] == v.shape[-2]
                yield "is high", lambda v: v.shape[-2] > v.shape[-1]
                yield "is wide", lambda v: v.shape[-2] < v.shape[-1]
            if value.dtype.kind in "iu":
                yield "has one twice", lambda v: len(set(v.tolist())) < len(v)
                yield "is in no order", lambda v: (np.diff(v) < 0).any()
                yield "has gaps", lambda v: (np.diff(v) > 1).any()
                yield "starts at 0", lambda v: v[0] == 0
                yield "does not start at 0", lambda v: v[0] != 0
            if value.dtype == bool:
                yield "hides nothing", lambda v: v.all()
                yield "is no triangle", lambda v: not np.array_equal(v, np.tri(*v.shape))
        case str() | bytes() | list() | dict() | set():
            yield "is empty", lambda v: not v
            yield "has one entry", lambda v: len(v) == 1
            yield "has two or more", lambda v: len(v) > 1
            if isinstance(value, str):
                yield "is not ASCII", lambda v: not v.isascii()
            if isinstance(value, list) and value and isinstance(value[0], bytes):
                yield "has long entries", lambda v: any(len(each) > 1 for each in v)
        case LlamaConfig():
            yield "has one block", lambda v: v.n_layers == 1
            yield "has no groups", lambda v: v.n_heads == v.n_kv_heads
            yield "has one key head", lambda v: v.n_kv_heads == 1
            yield "has another base", lambda v: v.rope_theta != 10000


def of_results(value) -> Iterator[Change]:
    """What may have happened to a right result."""
    match value:
        case bool() | None:
            return
        case int() | np.integer():
            yield "one more", lambda v: v + 1
            yield "one less", lambda v: v - 1
            yield "without sign", abs
        case str():
            yield from sequences_in_place_of(str)
            yield "without spaces at the ends", lambda v: v.strip()
            yield "without what is not ASCII", lambda v: v.encode("ascii", "replace").decode()
        case list():
            yield from sequences_in_place_of(list)
            yield "each once", lambda v: list(dict.fromkeys(v))
        case np.ndarray():
            yield from arrays_in_place_of(value)
            yield "without the last row", lambda v: v[:-1]
            if value.ndim > 1:
                yield "flat", np.ravel
            if value.dtype.kind == "f":
                yield "to two digits", lambda v: np.round(v, 2)
                yield "whole numbers", lambda v: np.nan_to_num(v).astype(int)
            yield "a list", lambda v: v.tolist()


def wrapped(right: Callable, names: list[str], cases: list[tuple], expected: list):
    """Every mutant around a right answer: what was changed, and the function."""
    for i, name in enumerate(names[: len(cases[0])]):
        sort = next((case[i] for case in cases if case[i] is not None), None)
        for what, change in in_place_of(sort):
            yield f"{name}: {what}", changed_argument(right, i, change)
        for what, holds in conditions(sort):
            yield f"fails where {name} {what}", failing(right, lambda *a, i=i, h=holds: h(a[i]))
        for j in range(i):
            if isinstance(sort, np.ndarray) and isinstance(cases[0][j], np.ndarray):
                pair = f"{names[j]} and {name}"
                yield f"fails where {pair} are as long", failing(right, as_long(i, j, True))
                yield f"fails where {pair} are not as long", failing(right, as_long(i, j, False))
            if type(sort) is type(cases[0][j]):
                yield f"{name}: {names[j]}", in_its_place(right, i, j)
    sort = next((each for each in expected if each is not None), None)
    if isinstance(sort, np.ndarray) and any(np.isinf(each).any() for each in expected):
        yield "result: no minus infinity", lambda *a: np.maximum(right(*a), -1e9)
    for what, change in of_results(sort):
        yield (
            f"result: {what}",
            lambda *a, c=change: (lambda r: r if r is None else c(r))(right(*a)),
        )


def changed_argument(right: Callable, i: int, change: Callable) -> Callable:
    return lambda *a: right(*a[:i], change(a[i]), *a[i + 1 :])


def in_its_place(right: Callable, i: int, j: int) -> Callable:
    return lambda *a: right(*a[:i], a[j], *a[i + 1 :])


def failing(right: Callable, where: Callable) -> Callable:
    def answer(*a):
        if where(*a):
            raise ValueError("not for this one")
        return right(*a)

    return answer


def as_long(i: int, j: int, equal: bool) -> Callable:
    return lambda *a: (len(a[i]) == len(a[j])) == equal
