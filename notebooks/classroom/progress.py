"""What a learner has done: kept in a small JSON file, drawn, and handed in on request."""

import json
from pathlib import Path

from .check.tasks import ORDER
from .folder import folder, write
from .records import Malformed, names, read


def path() -> Path:
    return folder() / "progress.json"


def load() -> dict:
    """The records so far; none where there is no file, or one that cannot be understood."""
    try:
        return read(path())
    except (Malformed, OSError):
        return {}


def note(name: str, outcome) -> list[str]:
    """Remember the outcome of a check; a line to be told where it cannot be written."""
    if not outcome.started:
        return []
    records = load()
    old = records.get(name, {"passed": False, "tries": 0, "met": []})
    met = {*old["met"], *([outcome.misconception] if outcome.misconception else [])}
    records[name] = {
        "passed": bool(old["passed"] or outcome.passed),
        "tries": old["tries"] + (not old["passed"]),
        "met": sorted(met),
    }
    return write(path(), as_text(records))


def as_text(records: dict) -> str:
    return json.dumps({"version": 1, "tasks": records}, indent=1) + "\n"


def progress() -> None:
    """Draw every task of the course, filled where it is done."""
    from .progress_pictures import draw_progress

    records = load()
    done = [name for name in names() if records.get(name, {}).get("passed")]
    rows = {}
    for task in ORDER:
        rows.setdefault(task.lesson, []).append(task.name)
    for lesson, row in rows.items():
        asked = (f"{kind}_{lesson[:2]}" for kind in ("predict", "measure"))
        row += [name for name in asked if name in names()]
    draw_progress(rows, set(done), set(records))
    print(f"{len(done)} of {len(names())} done")


def hand_in(file: str) -> None:
    """Write what was done to a JSON file for a teacher: no code, and no name but the file's."""
    problem = write(Path(file), as_text(load()))
    print(*problem or [f"{file}: tasks, tries, and mistakes that were recognised. No code."])
