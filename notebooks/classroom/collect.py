"""A class in one table: exercises down, students across, and the mistakes that were met."""

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from weights_tools.writing import replacing

from .records import Malformed, names, read

Class = Mapping[str, dict[str, dict]]  # student: task: record


def read_class(folder: Path) -> tuple[dict[str, dict], list[str]]:
    """Every ``*.json`` of a folder, by the name of its file; and a line for each one left out."""
    students, skipped = {}, []
    for file in sorted(folder.glob("*.json")):
        try:
            if not file.stem[:1].isalnum() or not file.stem.isprintable():
                raise Malformed("the name of a file begins with a letter or digit; rename it")
            students[file.stem] = read(file)
        except Malformed as fault:
            skipped.append(f"{file.name!a}: left out, {fault}")
        except OSError as error:
            skipped.append(f"{file.name!a}: left out, {error.strerror}")
    return students, skipped


def say(record: dict | None) -> str:
    """One cell of the table."""
    if record is None:
        return ""
    tries = f"{record['tries']} {'try' if record['tries'] == 1 else 'tries'}"
    return f"done ({tries})" if record["passed"] else f"open ({tries})"


def count_mistakes(students: Class, task: str) -> Counter:
    """Mistake: how many students met it."""
    return Counter(
        text for tasks in students.values() for text in tasks.get(task, {}).get("met", [])
    )


def as_rows(students: Class) -> list[list[str]]:
    """The table with its header; the last column names the mistakes and how many met each."""
    rows = [["task", *students, "mistakes met"]]
    for task in names():
        met = count_mistakes(students, task).most_common()
        cells = [say(tasks.get(task)) for tasks in students.values()]
        rows.append([task, *cells, "; ".join(f"{text} ({n})" for text, n in met)])
    return rows


def collect(folder: Path, out: Path) -> list[str]:
    """Write ``class.csv`` and ``class.png``; what to tell. Raises ``ValueError`` for no files."""
    from .progress_pictures import draw_class

    students, skipped = read_class(folder)
    if not students:
        raise ValueError("\n".join([*skipped, f"{folder}: no file of progress here"]))
    out.mkdir(parents=True, exist_ok=True)
    with (
        replacing(out / "class.csv") as beside,
        beside.open("w", encoding="utf-8-sig", newline="") as file,  # Excel asks for the mark
    ):
        csv.writer(file).writerows(as_rows(students))
    met = Counter()
    for task in names():
        met.update({f"{task}: {text}": n for text, n in count_mistakes(students, task).items()})
    with replacing(out / "class.png") as beside:
        draw_class(students, names(), met, beside)
    written = f"{out / 'class.csv'} and class.png: {len(students)} students, {len(names())} tasks"
    return [*skipped, written]
