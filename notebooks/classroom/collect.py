"""A class in one place: who has done what, and which mistakes were met, as a page and as tables."""

import csv
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from weights_tools.writing import replacing

from .check.tasks import ORDER
from .records import Malformed, names, read

# How two learning platforms name what they give to a teacher.
MOODLE = re.compile(r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_file(_.*)?")
CANVAS = re.compile(r"(?P<name>[^_]+)(_late)?_(?P<id>\d+)_\d+_.+", re.IGNORECASE)
JOINERS = "\u200c\u200d"  # stand inside words of Persian, Hindi and others
WRITTEN = ("class.html", "class.csv", "mistakes.csv")
OWN = "progress"  # the stem of the file that a learner works with: no student is called so
AGAIN = re.compile(r"(?P<name>.+?) ?\(\d+\)")  # how a browser names what it downloads again
PAGE = Path(__file__).with_name("class_page.html")


class Student(NamedTuple):
    """What one learner has handed in."""

    handed_in: str  # date and time by the learner's clock; empty where a file does not say
    tasks: Mapping[str, dict]  # of each task tried: passed, tries, met


class Found(NamedTuple):
    """A file, and whose it is: the name, and the platform's number of that person, if any."""

    name: str
    number: str
    file: Path


def find_files(folder: Path) -> tuple[list[Found], list[str]]:
    """The files of a folder and of the folders in it, with names; and a line for each other one.

    A student is named by the file, or by what Moodle or Canvas has put before its name, or by the
    folder, where files in several folders have the same name or the file is ``progress.json``.
    """
    inside = sorted(folder.iterdir())
    deeper = [file for each in inside if each.is_dir() for file in sorted(each.iterdir())]
    stems = Counter(stem(file) for file in deeper)
    found, skipped = [], []
    for file in [*(each for each in inside if not each.is_dir()), *deeper]:
        shown = plain(file.relative_to(folder).as_posix())
        nested = file.parent != folder
        if stem(file) is None:
            if file.name not in WRITTEN and not file.name.startswith("."):
                packed = "; unpack it first" * (file.suffix.lower() == ".zip")
                skipped.append(f"{shown}: left out, not a .json file{packed}")
            continue
        same_name = stems[stem(file)] > 1 or is_own(stem(file))
        by_folder = nested and (MOODLE.fullmatch(file.parent.name) or same_name)
        name, number = without_platform(file.parent.name if by_folder else stem(file))
        if is_own(name):
            skipped.append(f"{shown}: left out, it names nobody; rename it to the student's name")
        elif is_name(name):
            found.append(Found(name, number, file))
        else:
            skipped.append(f"{shown}: left out, a name begins with a letter or digit; rename it")
    return found, skipped


def stem(file: Path) -> str | None:
    """A file's name without ``.json``, or what a browser or an editor has made of it; else None.

    >>> stem(Path("Anna.JSON")), stem(Path("Anna.json.txt")), stem(Path("Anna.pdf"))
    ('Anna', 'Anna', None)
    """
    match = re.fullmatch(r"(.+?)\.json(\.txt)?", file.name, re.IGNORECASE)
    return match[1] if match else None


def without_platform(name: str) -> tuple[str, str]:
    """The student's own name, in one normal form, and the platform's number.

    >>> without_platform("Ana Lim_123_assignsubmission_file"), without_platform("limana_7_8_a")
    (('Ana Lim', '123'), ('limana', '7'))
    """
    match = MOODLE.fullmatch(name) or CANVAS.fullmatch(name)
    own = unicodedata.normalize("NFC", match["name"] if match else name).strip()
    return own, match["id"] if match else ""


def is_name(name: str) -> bool:
    """Whether a name begins with a letter or digit, and nothing in it can be mistaken."""
    return name[:1].isalnum() and all(c.isprintable() or c in JOINERS for c in name)


def is_own(name: str) -> bool:
    """Whether a file still has the name that the course gave it.

    >>> is_own("progress (1)"), is_own("Progress Nkosi")
    (True, False)
    """
    again = AGAIN.fullmatch(name)
    return (again["name"] if again else name).lower() == OWN


def plain(text: str) -> str:
    """A text that is safe to print: what cannot be seen is shown as a question mark."""
    return "".join(c if c.isprintable() or c in JOINERS else "?" for c in text)


def read_class(folder: Path) -> tuple[dict[str, Student], list[str]]:
    """Every student's latest file, by name; and a line for each file that was left out."""
    students, files = {}, {}
    found, skipped = find_files(folder)
    people = Counter(name for name, _ in {(each.name, each.number) for each in found})
    for name, number, file in found:
        name = f"{name} ({number})" if people[name] > 1 else name  # two people of one name
        shown = plain(file.relative_to(folder).as_posix())
        try:
            student = Student(*read(file))
        except Malformed as fault:
            skipped.append(f"{shown}: left out, {fault}")
            continue
        except OSError as error:
            skipped.append(f"{shown}: left out, {error.strerror}")
            continue
        if name in students:
            if student.handed_in <= students[name].handed_in:
                other = files[name]
                skipped.append(f"{shown}: left out, {other} is no earlier, of the same student")
                continue
            skipped.append(f"{files[name]}: left out, {shown} is later, of the same student")
        students[name], files[name] = student, shown
    for name in [*students]:
        again = AGAIN.fullmatch(name)
        if again and students.get(again["name"]) == students[name]:
            skipped.append(f"{files[name]}: left out, the same as {files[again['name']]}")
            del students[name]
    return dict(sorted(students.items())), skipped


def say(record: dict | None) -> str:
    """One cell of the table."""
    if record is None:
        return ""
    tries = f"{record['tries']} {'try' if record['tries'] == 1 else 'tries'}"
    return f"done ({tries})" if record["passed"] else f"open ({tries})"


def count_mistakes(students: Mapping[str, Student]) -> Counter:
    """(Task, mistake): how many students met it."""
    return Counter(
        (task, text)
        for student in students.values()
        for task, record in student.tasks.items()
        for text in set(record["met"])
    )


def as_rows(students: Mapping[str, Student]) -> Iterator[list]:
    """A header, and a row for each student."""
    tasks = names()
    yield ["student", "handed in", "done", *tasks]
    for name, (handed_in, records) in students.items():
        done = sum(record["passed"] for record in records.values())
        yield [name, handed_in, done, *(say(records.get(task)) for task in tasks)]


def as_page(students: Mapping[str, Student], skipped: Sequence[str] = ()) -> str:
    """The page, with the class in it; it works from a folder, without a network."""
    tasks = names()
    lessons = {task.name: task.lesson.replace("_", " ") for task in ORDER}
    by_number = {lesson[:2]: lesson for lesson in lessons.values()}
    mistakes = count_mistakes(students).most_common()
    number = {mistake: i for i, (mistake, _) in enumerate(mistakes)}
    data = {
        "tasks": [[task, lessons.get(task) or by_number[task[-2:]]] for task in tasks],
        "mistakes": [[task, text, n] for (task, text), n in mistakes],
        "left_out": list(skipped),
        "students": [
            [
                name,
                handed_in,
                [[r["passed"], r["tries"]] if (r := records.get(task)) else None for task in tasks],
                sorted(number[task, text] for task, r in records.items() for text in set(r["met"])),
            ]
            for name, (handed_in, records) in students.items()
        ],
    }
    # A script ends at "</script>", whatever stands around it: no such thing may come from a name.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return PAGE.read_text(encoding="utf-8").replace("/* the class */ null", text)


def write_table(path: Path, rows: Iterator[Sequence]) -> None:
    with (
        replacing(path) as beside,
        beside.open("w", encoding="utf-8-sig", newline="") as file,  # Excel asks for the mark
    ):
        csv.writer(file).writerows(rows)


def collect(folder: Path, out: Path) -> list[str]:
    """Write ``class.html``, ``class.csv`` and ``mistakes.csv``; what to tell.

    Raises ``ValueError`` where there is no file of progress.
    """
    students, skipped = read_class(folder)
    if not students:
        raise ValueError("\n".join([*skipped, f"{folder}: no file of progress here"]))
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "class.csv", as_rows(students))
    mistakes = ([*mistake, n] for mistake, n in count_mistakes(students).most_common())
    write_table(out / "mistakes.csv", iter([["task", "mistake", "students"], *mistakes]))
    with replacing(out / "class.html") as beside:
        beside.write_text(as_page(students, skipped), encoding="utf-8")
    count = f"{len(students)} student{'s' * (len(students) != 1)}, {len(names())} tasks"
    return [*skipped, f"{out / 'class.html'}, class.csv and mistakes.csv: {count}"]
