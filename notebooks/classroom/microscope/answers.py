"""From what a page asks for to a view: everything is checked here, nothing is trusted."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from llama_np.sampling import Sampling
from weights_tools.load import Model

from . import products, views
from .interventions import needs_other
from .runs import Run, encode, run

SENTENCE = "Once upon a time, there was a little girl named"
MOST_CHARACTERS = 2000
MOST_CHANGES = 2000
LARGE = 1_000_000_000  # parameters: of such a model fewer runs are kept
COMMON = {"text", "off", "other"}
PLACE = {"block", "head"}
FIELDS = {
    "overview": COMMON | {"at", "temperature", "top_p"},
    "block": COMMON | {"block", "at"},
    "head": COMMON | PLACE,
    "matrix": COMMON | PLACE | {"product", "first"},
    "cell": COMMON | PLACE | {"product", "row", "column"},
    "hands": COMMON | PLACE | {"row", "column", "later"},
    "each_head_off": COMMON | {"at"},
    "each_stream_put": {"text", "other", "at"},
    "jobs": set(),
}
TEXTS, REALS = {"text", "other", "product"}, {"temperature", "top_p"}
Answer = Callable[[dict], Any]


def answers(model: Model) -> Answer:
    """A function from requests, ``{"view": ..., ...}``, to views; it keeps the latest runs.

    A request has ``text``, a list of changes ``off`` (see ``interventions``), and ``other``, a
    second sentence or an empty text. The function raises ``ValueError``, in one line, for a request
    that cannot be met.
    """
    if model.tokenizer is None:
        raise ValueError(f"{model.path}: has no tokenizer, so text cannot be encoded")
    kept = 6 if model.config.count_parameters() < LARGE else 3  # the original, its change, another

    @lru_cache(maxsize=kept)
    def runs(ids: tuple, changes: tuple, other: tuple | None) -> Run:
        return run(model, ids, changes, other and plainly(other))

    def plainly(ids: tuple) -> Run:
        return runs(ids, (), None)

    @lru_cache(maxsize=kept)
    def lens(at: int | None, *key) -> np.ndarray:
        return views.lens(model, runs(*key), at)

    jobs = lru_cache(maxsize=1)(lambda: views.jobs(model))

    def answer(request: Any) -> Any:
        view, fields = checked(request)
        if view == "jobs":
            return jobs()
        ids = encode(model, fields.pop("text"))
        another = fields.pop("other", "")
        other = encode(model, another) if another else None
        if view == "each_stream_put":
            return views.each_stream_put(model, plainly(ids), other and plainly(other), **fields)
        changes = tuple(fields.pop("off"))
        key = (ids, changes, other if needs_other(changes) else None)
        changed = runs(*key)
        if view == "each_head_off":
            second = other and plainly(other)
            return views.each_head_off(model, changed, changes, second, **fields)
        if view == "overview":
            sampling = Sampling(fields.pop("temperature"), top_p=fields.pop("top_p"))
            second, lenses = other and plainly(other), lens(fields["at"], *key)
            return views.overview(
                model, plainly(ids), changed, second, lenses, fields["at"], sampling
            )
        if view == "block":
            return views.block(model, changed, lens(fields["at"], *key), **fields)
        shown = {
            "head": views.head, "hands": views.hands,
            "matrix": products.matrix, "cell": products.cell,
        }  # fmt: skip
        return shown[view](model, changed, **fields)

    return answer


def checked(request: Any) -> tuple[str, dict[str, Any]]:
    """The view and its fields; ``ValueError`` where a field is missing, unknown or no such thing.

    >>> checked({"view": "head", "text": "Once", "other": "", "off": [], "block": "1", "head": 0})
    Traceback (most recent call last):
    ValueError: block must be a whole number
    """
    if not isinstance(request, dict) or request.get("view") not in [*FIELDS]:
        raise ValueError(f"a request names a view: one of {', '.join(FIELDS)}")
    fields = {name: value for name, value in request.items() if name != "view"}
    expected = FIELDS[request["view"]]
    if {*fields} != expected:
        raise ValueError(f"{request['view']} takes {', '.join(sorted(expected)) or 'nothing'}")
    for name, value in fields.items():
        if name in TEXTS:
            check_text(name, value)
        elif name == "off":
            check_changes(value)
        elif name in REALS:
            if type(value) not in (int, float):
                raise ValueError(f"{name} must be a number")
        elif type(value) is not int and not (name == "at" and value is None):
            raise ValueError(f"{name} must be a whole number")
    return request["view"], fields


def check_text(name: str, value: Any) -> None:
    """Raise ``ValueError`` for what is no text, or too long."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text")
    if len(value) > MOST_CHARACTERS:
        raise ValueError(f"the sentence has {len(value)} characters: {MOST_CHARACTERS} at most")


def check_changes(value: Any) -> None:
    """Raise ``ValueError`` for what is no list of texts, or too long."""
    if not (
        isinstance(value, list)
        and len(value) <= MOST_CHANGES
        and all(isinstance(each, str) for each in value)
    ):
        raise ValueError(f"off must be a list of at most {MOST_CHANGES} texts")
