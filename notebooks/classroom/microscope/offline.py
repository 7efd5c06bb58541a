"""The page: one that asks a server, or one file with what was opened, without a network."""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .answers import Answer, checked
from .products import WINDOW
from .state import requests_of

PAGE = Path(__file__).with_name("page")
SCRIPTS = ("state", "tools", "overview", "changes", "inspect", "matrix", "cell", "main")
PLACE = "/* recorded */ null"
WHAT_IT_LOADS = "/* load */ null"
MOST_OPENED = 400  # views that a page asks to be saved


def live_page() -> str:
    """The page that asks the server: markup, style and scripts in one text."""
    page = (PAGE / "page.html").read_text(encoding="utf-8")
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    scripts = [(PAGE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return page.replace("/* style */", style).replace("/* scripts */", "\n".join(scripts))


def as_page(
    answer: Answer, state: str, opened: Sequence[dict] = (), lessons: str = "", python: str = ""
) -> str:
    """The page with all answers in it that a state needs, and those that were ``opened`` before.

    Of the matrix that is open the file holds every cell that is shown of the row of the token that
    is looked from, so that there is something to touch. ``lessons`` is where a site that the page
    is part of has its lessons, such as ``lessons/{}.html``; ``python`` is the address of that
    site's ``worker``, which computes what is not in the page. Raises ``ValueError`` where the state
    asks for what is not there.
    """
    for request in opened:
        checked(request)
    asked = requests_of(state)
    overview = answer(asked[0])
    for request in asked[1:]:
        if request["view"] == "matrix":
            asked += row_of(request, overview["at"], answer(request)["columns"])
    if overview["small"]:
        asked.append({"view": "jobs"})
    asked += opened
    unique = [request for i, request in enumerate(asked) if request not in asked[:i]]  # 1 is 1.0
    recorded = [[request, answer(request)] for request in unique]
    page = live_page()
    if lessons:
        page = page.replace("<html", f'<html data-lessons="{html.escape(lessons)}"', 1)
    if python:
        page = page.replace("<html", f'<html data-python="{html.escape(python)}"', 1)
        page = page.replace("connect-src 'self'", "connect-src 'self'; worker-src 'self'", 1)
    return page.replace(PLACE, inert({"state": state.removeprefix("#"), "answers": recorded}))


def worker(pyodide: str, packages: Sequence[str], wheels: Sequence[str]) -> str:
    """A script for a site: Python in the reader's browser, which answers what the server would.

    ``pyodide`` is the address of a Pyodide, from the script or whole, ending in a slash, ``wheels``
    those of wheels; ``packages`` are what that Pyodide has itself.
    """
    load = {"pyodide": pyodide, "packages": [*packages], "wheels": [*wheels]}
    script = (PAGE / "python.js").read_text(encoding="utf-8")
    return script.replace(WHAT_IT_LOADS, json.dumps(load))


def row_of(matrix: dict[str, Any], row: int, columns: int) -> list[dict[str, Any]]:
    """Requests for the cells of one row that a matrix shows, with the hands of scores."""
    found = []
    common = {name: value for name, value in matrix.items() if name not in ("view", "first")}
    first = matrix["first"]
    for column in range(first, min(columns, first + WINDOW)):
        place = common | {"row": row, "column": column}
        found.append({**place, "view": "cell"})
        if matrix["product"] in ("scores", "pattern"):
            del place["product"]
            found.append({**place, "view": "hands", "later": 0})
    return found


def inert(data: Any) -> str:
    """JSON that can stand in a script: it ends at "</script>", whatever stands around it.

    >>> inert({"text": "</script>"})
    '{"text":"\\\\u003c/script>"}'
    """
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def saved(answer: Answer, request: dict) -> dict[str, str]:
    """One file for a state, with what was opened before; ``ValueError`` for what is neither."""
    state, opened = request.get("state"), request.get("opened", [])
    if not isinstance(state, str) or not isinstance(opened, list) or len(opened) > MOST_OPENED:
        raise ValueError(f"save takes a state and a list of at most {MOST_OPENED} requests")
    return {"page": as_page(answer, state, opened)}
