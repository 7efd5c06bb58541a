"""Tables of what was measured: the ones that ship, read and written again."""

import pytest

from weights_tools.training import tables
from weights_tools.training.ablation import study_table as ablation
from weights_tools.training.comparisons import study as comparisons
from weights_tools.training.rewards import study as rewards
from weights_tools.training.scaling import study_table as scaling
from weights_tools.training.tuning import study as tuning

AGAIN = {
    ablation.RESULTS: lambda path: ablation.write_results(path, ablation.read_rows()),
    scaling.RESULTS: lambda path: scaling.write_results(path, tables.read(scaling.RESULTS)),
    tuning.RESULTS: lambda path: tuning.write_rows(path, *tuning.read_rows()),
    comparisons.RESULTS: lambda path: tables.write(
        path, tables.read(comparisons.RESULTS), places=5, exact=("rate", "beta")
    ),
} | {
    each: lambda path, each=each: tables.write(path, tables.read(each), exact=("beta",))
    for each in (rewards.POINTS, rewards.ENDINGS, rewards.GRPO_LOG)
}


@pytest.mark.parametrize("shipped", AGAIN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_table_that_ships_is_what_its_study_would_write(shipped, tmp_path):
    AGAIN[shipped](tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == shipped.read_bytes()


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        tables.read(tmp_path / "no.csv")
