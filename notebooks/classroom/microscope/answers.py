"""From what a page asks for to a view: everything is checked here, nothing is trusted."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from weights_tools.load import Model

from . import views

SENTENCE = "Once upon a time, there was a little girl named"
MOST_CHARACTERS = 2000
MOST_SWITCHES = 2000
KEPT = 6  # runs: the original and some changes, so that opening a head does not compute anew
FIELDS = {
    "overview": {"text", "off", "at"},
    "head": {"text", "off", "block", "head"},
    "cell": {"text", "off", "block", "head", "product", "row", "column"},
    "jobs": set(),
}
NUMBERS = {"at", "block", "head", "row", "column"}
Answer = Callable[[dict], Any]


def answers(model: Model) -> Answer:
    """A function from requests, ``{"view": ..., ...}``, to views; it keeps the latest runs.

    It raises ``ValueError``, in one line, for a request that cannot be met.
    """
    if model.tokenizer is None:
        raise ValueError(f"{model.path}: has no tokenizer, so text cannot be encoded")
    runs = lru_cache(maxsize=KEPT)(lambda ids, off: views.run(model, ids, off))
    jobs = lru_cache(maxsize=1)(lambda: views.jobs(model))

    def answer(request: Any) -> Any:
        view, fields = checked(request)
        if view == "jobs":
            return jobs()
        ids = views.encode(model, fields.pop("text"))
        changed = runs(ids, tuple(fields.pop("off")))
        if view == "overview":
            return views.overview(model, runs(ids, ()), changed, **fields)
        return {"head": views.head, "cell": views.cell}[view](model, changed, **fields)

    return answer


def checked(request: Any) -> tuple[str, dict[str, Any]]:
    """The view and its fields; ``ValueError`` where a field is missing, unknown or no such thing.

    >>> checked({"view": "head", "text": "Once", "off": [], "block": "first", "head": 0})
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
        if name in NUMBERS and type(value) is not int and not (name == "at" and value is None):
            raise ValueError(f"{name} must be a whole number")
        if name in ("text", "product") and not isinstance(value, str):
            raise ValueError(f"{name} must be a text")
        if name == "text" and len(value) > MOST_CHARACTERS:
            raise ValueError(f"the sentence has {len(value)} characters: {MOST_CHARACTERS} at most")
        if name == "off" and not (
            isinstance(value, list)
            and len(value) <= MOST_SWITCHES
            and all(isinstance(each, str) for each in value)
        ):
            raise ValueError(f"off must be a list of at most {MOST_SWITCHES} texts")
    return request["view"], fields


def requests_of(state: str) -> list[dict[str, Any]]:
    """What a page asks for when it shows a state: the part of its address after the #.

    s: the sentence; t: the token that is looked from; off: what is switched off, with commas; b and
    h: the head that is open; p, r and c: product, row and column of the cell that is open. Raises
    ``ValueError`` for anything else.

    >>> [each["view"] for each in requests_of("s=Once&b=1&h=2&p=scores&r=1&c=0")]
    ['overview', 'head', 'cell']
    """
    if len(state) > 20 * MOST_CHARACTERS:
        raise ValueError(f"the state has {len(state)} characters: {20 * MOST_CHARACTERS} at most")
    part = dict(parse_qsl(state.removeprefix("#")))
    if unknown := {*part} - {"s", "t", "off", "b", "h", "p", "r", "c"}:
        raise ValueError(f"a state has no part {min(unknown)[:40]!r}: take it from the address bar")

    def number(name: str) -> int:
        if not part[name].isdecimal() or len(part[name]) > 9:
            raise ValueError(f"{name} in a state must be a whole number, got {part[name][:40]!r}")
        return int(part[name])

    common = {
        "text": part.get("s", SENTENCE),
        "off": sorted(filter(None, part.get("off", "").split(","))),
    }
    at = number("t") if "t" in part else None
    found = [{"view": "overview", **common, "at": at}]
    if {"b", "h"} <= {*part}:
        common |= {"block": number("b"), "head": number("h")}
        found.append({"view": "head", **common})
        if {"p", "r", "c"} <= {*part}:
            place = {"product": part["p"], "row": number("r"), "column": number("c")}
            found.append({"view": "cell", **common, **place})
    return found
