"""What stands in a page's address, and what the page asks for when it shows that."""

from typing import Any
from urllib.parse import parse_qsl

from .answers import MOST_CHARACTERS, SENTENCE
from .products import BLOCK, HEAD, MODEL, WINDOW, product_called

PARTS = {
    "s": "the sentence", "o": "another sentence, to put activations in from",
    "e": "heads or places: an effect that is mapped", "t": "the token that is looked from",
    "off": "changes, with commas: see interventions.FORMS",
    "temp": "temperature", "top": "top-p", "b": "the block that is open", "h": "the head",
    "p": "the product whose matrix is open", "f": "its first column that is shown",
    "r": "row of the cell that is open", "c": "its column", "l": "positions that hands turn on",
}  # fmt: skip


def requests_of(state: str) -> list[dict[str, Any]]:
    """What a page asks for when it shows a state: the part of its address after the #.

    Raises ``ValueError`` for anything but ``PARTS``.

    >>> [each["view"] for each in requests_of("s=Once&b=1&h=2&p=scores&r=1&c=0")]
    ['overview', 'head', 'matrix', 'cell', 'hands']
    """
    part = parts_of(state)
    common = {
        "text": part.get("s", SENTENCE),
        "other": part.get("o", ""),
        "off": sorted(filter(None, part.get("off", "").split(","))),
    }
    at = number(part, "t") if "t" in part else None
    drawn = {"temperature": real(part, "temp"), "top_p": real(part, "top")}
    found = [{"view": "overview", **common, "at": at, **drawn}]
    if part.get("e") == "heads":
        found.append({"view": "each_head_off", **common, "at": at})
    if part.get("e") == "places":
        found.append(
            {"view": "each_stream_put", "text": common["text"], "other": common["other"], "at": at}
        )
    place = {"block": number(part, "b"), "head": number(part, "h")}
    if "b" in part:
        opened = place if "h" in part else {"block": place["block"], "at": at}
        found.append({"view": "head" if "h" in part else "block", **common, **opened})
    product = part.get("p")
    if product is None or not is_open(product, part):
        return found
    asked = {**common, **place, "product": product}
    if product != "logits":
        first = number(part, "f") if "f" in part else number(part, "c") // WINDOW * WINDOW
        found.append({"view": "matrix", **asked, "first": first})
    if {"r", "c"} <= {*part}:
        cell = {"row": number(part, "r"), "column": number(part, "c")}
        found.append({"view": "cell", **asked, **cell})
        if product in ("scores", "pattern"):
            later = {"later": number(part, "l")}
            found.append({"view": "hands", **common, **place, **cell, **later})
    return found


def parts_of(state: str) -> dict[str, str]:
    """The parts of a state by name."""
    if len(state) > 20 * MOST_CHARACTERS:
        raise ValueError(f"the state has {len(state)} characters: {20 * MOST_CHARACTERS} at most")
    part = dict(parse_qsl(state.removeprefix("#")))
    if unknown := {*part} - {*PARTS}:
        raise ValueError(f"a state has no part {min(unknown)[:40]!r}: take it from the address bar")
    return part


def is_open(product: str, part: dict[str, str]) -> bool:
    """Whether what a product belongs to is open."""
    needed = {HEAD: {"b", "h"}, BLOCK: {"b"}, MODEL: {"r", "c"}}
    return needed[product_called(product).of] <= {*part}


def number(part: dict[str, str], name: str) -> int:
    """A whole number of a state, 0 where it is not there."""
    text = part.get(name, "0")
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise ValueError(f"{name} in a state must be a whole number, got {text[:40]!r}")
    return int(text)


def real(part: dict[str, str], name: str) -> float:
    """A number of a state, 1 where it is not there."""
    text = part.get(name, "1")
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} in a state must be a number, got {text[:40]!r}") from None
