"""One file for one sentence and what was opened: for slides and mail, without a network."""

import json
from pathlib import Path
from typing import Any

from .answers import Answer, requests_of

PAGE = Path(__file__).with_name("page.html")
PLACE = "/* recorded */ null"


def live_page() -> str:
    """The page that asks the server."""
    return PAGE.read_text(encoding="utf-8")


def as_page(answer: Answer, state: str) -> str:
    """The page with all answers in it that a state needs; see ``requests_of``.

    Of an open head the file holds every cell in the row of the token that is looked from, so that
    there is something to touch. Raises ``ValueError`` where the state asks for what is not there.
    """
    asked = requests_of(state)
    recorded = [[request, answer(request)] for request in asked]
    at = recorded[0][1]["at"]
    if recorded[0][1]["small"]:
        recorded.append([{"view": "jobs"}, answer({"view": "jobs"})])
    for request, head in [pair for pair in recorded if pair[0]["view"] == "head"]:
        for product, columns in (("scores", at + 1), ("mix", len(head["mix"][0]))):
            for column in range(columns):
                place = {"product": product, "row": at, "column": column}
                more = request | {"view": "cell"} | place
                if more not in asked:
                    recorded.append([more, answer(more)])
    return live_page().replace(
        PLACE, inert({"state": state.removeprefix("#"), "answers": recorded})
    )


def inert(data: Any) -> str:
    """JSON that can stand in a script: it ends at "</script>", whatever stands around it.

    >>> inert({"text": "</script>"})
    '{"text":"\\\\u003c/script>"}'
    """
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
