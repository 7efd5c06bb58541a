"""Reading a file of progress: data, never code, and nothing in it is believed unchecked."""

import json
import math
from datetime import datetime
from pathlib import Path

from .check.tasks import MEASURED, ORDER, TASKS
from .misconceptions import MISCONCEPTIONS

TIME = "%Y-%m-%d %H:%M"
LARGEST = 200_000  # bytes; a full file takes about ten thousand


class Malformed(Exception):
    """Why a file is no file of progress, in a few words."""


def names() -> list[str]:
    """Every task of the course; predictions and measurements last."""
    lessons = dict.fromkeys(task.lesson[:2] for task in ORDER)
    predicted = [f"predict_{number}" for number in lessons]
    return [*TASKS, *predicted, *(f"measure_{number}" for number in MEASURED)]


def read(path: Path) -> tuple[str, dict[str, dict]]:
    """When a file was handed in, and task: whether passed, how many tries, which mistakes were met.

    Tasks and mistakes that the course does not know (any more) are left out. Raises ``Malformed``.
    """
    data = read_file(path)
    for name in names():
        if name in data["tasks"] and not is_record(data["tasks"][name]):
            raise Malformed(f"not understood: {name}")
    return data.get("handed_in", ""), known_in(data["tasks"])


def known_in(tasks: dict) -> dict[str, dict]:
    """Of all that a file holds, what this course knows and understands."""
    known = {(wrong.task, wrong.name) for wrong in MISCONCEPTIONS}
    found = {name: tasks[name] for name in names() if is_record(tasks.get(name))}
    return {
        name: record
        | {"met": [text for text in dict.fromkeys(record["met"]) if (name, text) in known]}
        for name, record in found.items()
    }


def read_all(path: Path) -> dict:
    """All tasks that a file of progress holds, known or not. Raises ``Malformed``."""
    return read_file(path)["tasks"]


def read_file(path: Path) -> dict:
    """A file of progress: ``version``, ``tasks``, and perhaps ``handed_in``, a date and time."""
    if not path.is_file():
        raise Malformed("not a file")
    if path.stat().st_size > LARGEST:
        raise Malformed(f"larger than {LARGEST:,} bytes")
    try:
        text = path.read_text(encoding="utf-8-sig")
        data = json.loads(text, parse_constant=refuse, parse_float=finite)
    except RecursionError:
        raise Malformed("too deep") from None
    except ValueError:  # no JSON, no UTF-8, a number of thousands of digits
        raise Malformed("not JSON as `hand_in` writes it") from None
    if not isinstance(data, dict) or data.keys() - {"handed_in"} != {"version", "tasks"}:
        raise Malformed("not a file of progress")
    if data["version"] != 1 or not isinstance(data["tasks"], dict):
        raise Malformed("not a file of progress of version 1")
    if not is_time(data.get("handed_in", "2026-01-01 00:00")):
        raise Malformed("the date is not one as `hand_in` writes it")
    return data


def is_time(text) -> bool:
    """Whether this is a date and time as ``hand_in`` writes it.

    >>> is_time("2026-11-28 18:30"), is_time("yesterday")
    (True, False)
    """
    try:
        return datetime.strptime(text, TIME).strftime(TIME) == text
    except (TypeError, ValueError):
        return False


def refuse(constant: str):
    raise ValueError(constant)


def finite(text: str) -> float:
    """A number that can be written again: 1e999 would become Infinity, which is no JSON."""
    number = float(text)
    return number if math.isfinite(number) else refuse(text)


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
