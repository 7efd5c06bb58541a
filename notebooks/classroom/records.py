"""Reading a file of progress: data, never code, and nothing in it is believed unchecked."""

import json
from pathlib import Path

from .check.tasks import MEASURED, ORDER, TASKS
from .misconceptions import MISCONCEPTIONS

LARGEST = 200_000  # bytes; a full file takes about ten thousand


class Malformed(Exception):
    """Why a file is no file of progress, in a few words."""


def names() -> list[str]:
    """Every task of the course; predictions and measurements last."""
    lessons = dict.fromkeys(task.lesson[:2] for task in ORDER)
    predicted = [f"predict_{number}" for number in lessons]
    return [*TASKS, *predicted, *(f"measure_{number}" for number in MEASURED)]


def read(path: Path) -> dict[str, dict]:
    """Task: whether passed, how many tries, which mistakes were met. Raises ``Malformed``.

    Tasks and mistakes that the course does not know (any more) are left out.
    """
    tasks = read_all(path)
    for name in names():
        if name in tasks and not is_record(tasks[name]):
            raise Malformed(f"not understood: {name}")
    return known_in(tasks)


def known_in(tasks: dict) -> dict[str, dict]:
    """Of all that a file holds, what this course knows and understands."""
    met = {wrong.name for wrong in MISCONCEPTIONS}
    found = {name: tasks[name] for name in names() if is_record(tasks.get(name))}
    return {
        name: record | {"met": [text for text in record["met"] if text in met]}
        for name, record in found.items()
    }


def read_all(path: Path) -> dict:
    """All that a file of progress holds, known or not. Raises ``Malformed``."""
    if not path.is_file():
        raise Malformed("not a file")
    if path.stat().st_size > LARGEST:
        raise Malformed(f"larger than {LARGEST:,} bytes")
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=refuse)
    except RecursionError:
        raise Malformed("too deep") from None
    except ValueError:  # no JSON, no UTF-8, a number of thousands of digits
        raise Malformed("not JSON as `hand_in` writes it") from None
    if not isinstance(data, dict) or data.keys() != {"version", "tasks"}:
        raise Malformed("not a file of progress")
    if data["version"] != 1 or not isinstance(data["tasks"], dict):
        raise Malformed("not a file of progress of version 1")
    return data["tasks"]


def refuse(constant: str):
    raise ValueError(constant)


def is_record(record) -> bool:
    """Whether the three entries are there, and of their types."""
    return (
        isinstance(record, dict)
        and record.keys() == {"passed", "tries", "met"}
        and isinstance(record["passed"], bool)
        and type(record["tries"]) is int
        and 0 <= record["tries"] < 1_000_000
        and isinstance(record["met"], list)
        and all(isinstance(text, str) for text in record["met"])
    )
