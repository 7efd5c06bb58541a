"""What a learner has done: kept in a small JSON file, drawn, and handed in on request."""

import json
from datetime import datetime
from pathlib import Path

from weights_tools.arguments import expand_user

from .check.tasks import ORDER
from .folder import MARK, folder, in_turn, put_aside, write
from .records import LARGEST, TIME, Malformed, is_record, known_in, names, read_all

EXAMPLE = "your name.json"  # as `progress` writes it
NOT_IN_IT = "No code is in it, no sentence of yours and no guess."


def path() -> Path:
    return folder() / "progress.json"


def load() -> dict:
    """The records so far; none where there is no file, or one that cannot be understood.

    What this course does not know, perhaps another version of it, is left out.
    """
    try:
        return known_in(read_all(path()))
    except (Malformed, OSError):
        return {}


def note(name: str, outcome) -> list[str]:
    """Remember the outcome of a check; a line to be told where it cannot be written.

    Of several pages that are worked in at once each waits until the other has written. What is not
    understood stays in the file; a file that cannot be read is kept under another name.
    """
    return in_turn(path(), lambda: add(name, outcome)) if outcome.started else []


def add(name: str, outcome) -> list[str]:
    """Read the file, add one outcome and write it again."""
    records, aside = {}, []
    try:
        if path().exists():
            records = read_all(path())
    except Malformed as fault:
        aside = put_aside(path(), str(fault))
    except OSError as error:
        return [f"(not saved: {path().name} cannot be read, {error.strerror})"]
    old = records.get(name)
    if not is_record(old):
        old = {"passed": False, "tries": 0, "met": []}
    met = {*old["met"], *([outcome.misconception] if outcome.misconception else [])}
    records[name] = {
        "passed": bool(old["passed"] or outcome.passed),
        "tries": old["tries"] + (not old["passed"]),
        "met": sorted(met),
    }
    text = as_text(records)
    if len(text) > LARGEST:  # it could not be read again: what is not understood must go
        text = as_text(known_in(records))
    return aside + write(path(), text)


def as_text(records: dict, **more) -> str:
    """JSON with a task on each line: indented by ``json``, lists in lists take seconds."""
    head = json.dumps({"version": 1, **more}).removesuffix("}")
    tasks = ",\n".join(f" {json.dumps(name)}: {json.dumps(each)}" for name, each in records.items())
    return f'{head}, "tasks": {{\n{tasks}\n}}}}\n'


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
    if done:
        print('For a teacher: from classroom import hand_in, then hand_in("Your Name.json") with')
        print(f"your own name, and send the teacher that file. {NOT_IN_IT}")


def hand_in(file: str) -> None:
    """Write what was done to a JSON file, to be sent to a teacher.

    In it is no code, no sentence, no guess, and no name but the file's. Raises ``ValueError`` for a
    name that is none, is still that of the example, or is one of the course's own files.
    """
    named = file if file.lower().endswith(".json") else f"{file}.json"
    path = expand_user(named).absolute()
    if path.name.startswith(".") or path.name.lower() in (MARK, "progress.json", EXAMPLE):
        raise ValueError(f'expected a name for the file, such as "Anna Miller.json", got {file!r}')
    done = load()
    problem = write(path, as_text(done, handed_in=datetime.now().strftime(TIME)))
    print(*problem or [f"{path}: tasks, tries, mistakes that were recognised, the time."])
    if not problem:
        print(f"Send this file to your teacher. {NOT_IN_IT}")
    if not done:
        print("Nothing is in it: no answer has been checked here yet.")
