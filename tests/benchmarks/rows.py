"""One line of the side-by-side table: samples of several parties, their ratios, and its targets."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tests.benchmarks.machine import Median, medians

COLUMNS = ("ours", "eager", "sdpa", "bare", "limit")
THEIRS = ("eager", "sdpa")
RATIOS = ("theirs", "bare", "limit")


class Target(NamedTuple):
    """What a ratio of ours to another column should be."""

    against: str
    sign: str
    bound: float

    def met(self, ratio: float) -> bool:
        """Whether a ratio keeps to the target.

        >>> at_least(0.9, "limit").met(0.95), at_most(1.5, "limit").met(1.6)
        (True, False)
        """
        return ratio >= self.bound if self.sign == ">=" else ratio <= self.bound


def at_least(bound: float, against: str) -> Target:
    """A target for rates."""
    return Target(against, ">=", bound)


def at_most(bound: float, against: str) -> Target:
    """A target for seconds and bytes."""
    return Target(against, "<=", bound)


@dataclasses.dataclass(frozen=True)
class Row:
    """What was measured. ``samples`` are by column, and those of one repetition stand together.

    Units that end in "/s" are rates, the more the better; others are seconds or bytes. ``limit``
    says what stands in the column of that name.
    """

    what: str
    unit: str
    samples: Mapping[str, Sequence[float]]
    limit: str = ""
    targets: tuple[Target, ...] = ()

    def medians(self) -> dict[str, Median]:
        """The middle of each column, with its spread."""
        return medians(self.samples)

    def best_of_theirs(self) -> str | None:
        """The faster, or leaner, of the two kinds of attention that transformers has."""
        found = self.medians()
        best = max if self.unit.endswith("/s") else min
        columns = [column for column in THEIRS if column in found]
        return best(columns, key=lambda column: found[column].median, default=None)

    def ratios(self) -> dict[str, Median]:
        """Ours over theirs, the bare products and the limit, each within one repetition."""
        others = {"theirs": self.best_of_theirs(), "bare": "bare", "limit": "limit"}
        columns = {
            name: self.samples[column] for name, column in others.items() if column in self.samples
        }
        return medians(
            {
                name: [
                    ours / other for ours, other in zip(self.samples["ours"], column, strict=True)
                ]
                for name, column in columns.items()
                if "ours" in self.samples
            }
        )

    def verdicts(self) -> list[tuple[Target, bool | None]]:
        """Each target, and whether the median ratio meets it; None where it was not measured."""
        ratios = self.ratios()
        return [
            (
                target,
                target.met(ratios[target.against].median) if target.against in ratios else None,
            )
            for target in self.targets
        ]

    def as_json(self) -> dict[str, Any]:
        """Everything, with every sample."""
        return {
            "what": self.what,
            "unit": self.unit,
            "samples": {column: list(values) for column, values in self.samples.items()},
            "medians": {column: middle._asdict() for column, middle in self.medians().items()},
            "ratios": {name: middle._asdict() for name, middle in self.ratios().items()},
            "limit": self.limit,
            "targets": [target._asdict() | {"met": met} for target, met in self.verdicts()],
        }
