"""What pages need of a machine."""

import nbformat
import pytest
from classroom import needs
from classroom.__main__ import main


def test_a_page_is_run_and_measured(tmp_path, monkeypatch):
    cells = [
        nbformat.v4.new_code_cell("x = bytearray(150_000_000)\nx = sum(range(3_000_000))"),
        nbformat.v4.new_code_cell("..., 1 / 0"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "03_big.ipynb")
    monkeypatch.setattr(needs, "COURSE", tmp_path)
    need = needs.measure_page("03_big.ipynb")
    assert need.peak - need.after > 100_000_000 and 0 < need.cpu < 60


def test_a_class_is_reckoned_up_by_the_largest():
    found = [needs.Need("a", 36, 200_000_000, 1), needs.Need("b", 3, 300_000_000, 1)]
    lines = needs.report(found, [10])
    assert "300 MB at most (b)" in lines[-2] and "36 s of one core (a)" in lines[-2]
    assert "10 learners" in lines[-1] and " 3 GB" in lines[-1] and "0.1 cores" in lines[-1]


def test_pages_are_chosen_by_number(capsys):
    assert needs.choose(["03"]) == ["03_rms_norm.ipynb", "exercises/03_rms_norm.ipynb"]
    assert all("/" not in page for page in needs.choose([]))
    assert main(["needs", "99"]) == 1
    for names, unknown in (["99"], "99"), (["03", "0"], "0"), (["03", "rms"], "rms"):
        with pytest.raises(ValueError, match=f"no page '{unknown}'; there are: 00_start"):
            needs.choose(names)
    assert "error: no page '99'" in capsys.readouterr().err
