"""The comparison as text: one line a row, then the targets, fit for a code block."""

from collections.abc import Sequence
from typing import Any

from tests.benchmarks.machine import Median
from tests.benchmarks.rows import COLUMNS, RATIOS, Row

HEAD = ("what", "unit", *COLUMNS, *(f"/{name}" for name in RATIOS), "the limit is")
TARGET_HEAD = ("target", "ours over", "median", "lowest", "highest", "asked", "")


def side_by_side(found: dict[str, Any]) -> list[str]:
    """What ``run_jobs`` found, for people."""
    lines = [*heading(found["about"]), "", *aligned([HEAD, *map(cells, found["rows"])])]
    targets = [line for row in found["rows"] for line in target_cells(row)]
    if targets:
        lines += ["", *aligned([TARGET_HEAD, *targets])]
    if found["not measured"]:
        lines += [
            "",
            *(f"not measured: {name}: {why}" for name, why in found["not measured"].items()),
        ]
    return lines


def heading(about: dict[str, Any]) -> list[str]:
    """When, where, with what, on how many threads."""
    versions = ", ".join(f"{name} {v or 'not installed'}" for name, v in about["versions"].items())
    theirs = about["torch_threads"]
    load = about["load_average_before"]
    return [
        f"{about['date']}, {about['cpu']}, {about['cores']} cores, {about['system']}",
        versions,
        f"threads: NumPy's BLAS ({about['blas']}) {about['blas_threads']}, "
        f"PyTorch {'n/a' if theirs is None else theirs}; "
        f"load average before {'n/a' if load is None else f'{load:.1f}'}; "
        f"took {about['seconds']} s",
    ]


def cells(row: Row) -> tuple[str, ...]:
    """A row of the first table. A column that does not apply is empty, one not measured n/a."""
    found, ratios = row.medians(), row.ratios()
    missing = "n/a" if not found else ""
    compared = any(column in found for column in ("eager", "sdpa"))
    theirs_missing = "" if compared or "bare" not in found else "n/a"
    return (
        row.what,
        row.unit,
        *(
            with_spread(found[column])
            if column in found
            else theirs_missing
            if column in ("eager", "sdpa")
            else missing
            for column in COLUMNS
        ),
        *(f"{ratios[name].median:.2f}" if name in ratios else "" for name in RATIOS),
        row.limit,
    )


def target_cells(row: Row) -> list[tuple[str, ...]]:
    """A row of the second table for each target."""
    ratios = row.ratios()
    lines = []
    for target, met in row.verdicts():
        ratio = ratios.get(target.against)
        numbers = ("n/a",) * 3 if ratio is None else tuple(f"{number:.3f}" for number in ratio)
        verdict = {True: "met", False: "MISSED", None: "n/a"}[met]
        asked = f"{target.sign} {target.bound:.2f}"
        lines.append((row.what, target.against, *numbers, asked, verdict))
    return lines


def with_spread(middle: Median) -> str:
    """A median and how far the samples lie from it, up or down.

    >>> with_spread(Median(200.0, 180.0, 210.0)), with_spread(Median(0.5, 0.5, 0.5))
    ('200 ±10%', '0.5')
    """
    far = max(middle.high - middle.median, middle.median - middle.low) / middle.median
    return number(middle.median) + (f" ±{100 * far:.0f}%" if far else "")


def number(x: float) -> str:
    """With three digits, and all those before the point.

    >>> number(12345.6), number(12.345), number(0.012345)
    ('12,346', '12.3', '0.0123')
    """
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns of one width: words to the left, numbers to the right."""
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = {0, 1, len(rows[0]) - 1}
    return [
        "  ".join(
            f"{cell:{'<' if i in left else '>'}{wide[i]}}" for i, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]
