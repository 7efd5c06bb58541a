"""A learner's progress as a picture."""

from collections.abc import Collection, Mapping, Sequence

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
