"""The two pictures of the classroom: one learner's progress, and a whole class."""

import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from .show.base import BLUE, INK, LIT, QUIET, box, finish, subplots

PALE = "#f3f5f7"


def draw_progress(
    rows: Mapping[str, Sequence[str]], done: Collection[str], tried: Collection[str]
) -> None:
    """A line of boxes for each lesson: filled when done, framed when tried, pale when not."""
    _, place = subplots(figsize=(9, 0.32 * len(rows) + 0.1))
    for down, (lesson, tasks) in enumerate(rows.items()):
        place.text(-0.06, -down, lesson, ha="right", va="center", fontsize=8, color=INK)
        for across, task in enumerate(tasks):
            draw_task(place, across, -down, task in done, task in tried)
            colour = "white" if task in done else INK if task in tried else QUIET
            place.text(
                across + 0.5, -down, task, ha="center", va="center", fontsize=7.5, color=colour
            )
    place.set(xlim=(-1.7, max(map(len, rows.values()))), ylim=(0.5 - len(rows), 0.5))
    place.axis("off")
    finish()


def draw_task(place, x: float, y: float, done: bool, tried: bool) -> None:
    """One task as a box."""
    edge = LIT if tried and not done else "none"
    box(place, x + 0.04, y - 0.38, 0.92, 0.76, BLUE if done else PALE, edge)


def draw_class(
    students: Mapping[str, Mapping], tasks: Sequence[str], met: Counter, file: Path
) -> None:
    """Tasks down, students across; at the right the mistakes that most of them met."""
    from matplotlib.figure import Figure

    common = met.most_common(20)
    wide = 1.9 + 0.3 * len(students)
    figure = Figure(figsize=(wide + 6, 0.2 * len(tasks) + 1.4), layout="constrained")
    table, bars = figure.subplots(1, 2, width_ratios=[wide, 6])
    for down, task in enumerate(tasks):
        for across, records in enumerate(students.values()):
            record = records.get(task)
            draw_task(table, across, -down, bool(record and record["passed"]), record is not None)
    table.set(xlim=(0, len(students)), ylim=(0.5 - len(tasks), 0.5))
    table.set_yticks([-i for i in range(len(tasks))], tasks, fontsize=8)
    table.set_xticks(
        [i + 0.5 for i in range(len(students))], [name[:24] for name in students],
        rotation=90, fontsize=8, parse_math=False,
    )  # fmt: skip
    table.set_title("filled: done, framed: open", loc="left", fontsize=9, color=INK)
    bars.barh(range(len(common)), [n for _, n in common], color=LIT, height=0.6)
    bars.set_yticks(range(len(common)), [text for text, _ in common], fontsize=8)
    bars.set_ylim(max(len(common), 20), -1)
    bars.xaxis.get_major_locator().set_params(integer=True)
    bars.set_xlabel("students", fontsize=8)
    bars.set_title("mistakes met", loc="left", fontsize=9, color=INK)
    for place in (table, bars):
        place.spines[:].set_visible(False)
        place.tick_params(length=0, labelsize=8)
    with warnings.catch_warnings():  # a name in a script that the font lacks becomes empty boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(file, format="png", dpi=110)
