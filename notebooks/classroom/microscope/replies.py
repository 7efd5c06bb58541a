"""A request and its answer as JSON: what the local server says, and Python in the browser."""

import json
from typing import Any

from .answers import Answer
from .offline import saved


def reply(answer: Answer, request: Any) -> tuple[bool, str]:
    """Whether a request could be met, and the answer as JSON, else ``{"error": one line}``."""
    try:
        view = request.get("view") if isinstance(request, dict) else None
        found = saved(answer, request) if view == "save" else answer(request)
    except ValueError as error:
        return False, refusal(error)
    return True, json.dumps(found, allow_nan=False, separators=(",", ":"))


def refusal(error: ValueError) -> str:
    """What is wrong, as JSON and in one line."""
    return json.dumps({"error": " ".join(str(error).split())})
