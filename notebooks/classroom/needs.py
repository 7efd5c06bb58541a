"""What the pages need of a machine, measured by running them: for a class on one server."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from .start import COURSE, pages

MEASURE = """\
import json as _json
import psutil as _psutil
_own = _psutil.Process()
try:
    import resource as _resource
    _unit = 1 if __import__("sys").platform == "darwin" else 1024  # bytes there, KiB elsewhere
    _peak = _resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss * _unit
except ImportError:
    _peak = _own.memory_info().peak_wset  # Windows
_times = _own.cpu_times()
print(_json.dumps([_times.user + _times.system, _peak, _own.memory_info().rss]))
"""
MEGABYTE = 1_000_000


class Need(NamedTuple):
    """What the kernel of one page has used."""

    page: str
    cpu: float  # seconds of processor time, all threads together
    peak: int  # bytes of memory, at most
    after: int  # bytes that it keeps while somebody reads


def measure_page(page: str) -> Need:
    """Run a page from its first cell to its last, in a kernel of its own.

    A cell that fails does not end the run. Raises ``ValueError`` where nothing could be measured.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.read(COURSE / page, as_version=4)
    for cell in notebook.cells:  # answers that are still to be written fail in an exercise
        cell.metadata.setdefault("tags", []).append("raises-exception")
    notebook.cells.append(nbformat.v4.new_code_cell(MEASURE))
    folder = {"metadata": {"path": str((COURSE / page).parent)}}
    quiet = ["--log-level=ERROR"]
    client = NotebookClient(
        notebook, resources=folder, kernel_name="python3", extra_arguments=quiet
    )
    try:
        client.execute()
        cpu, peak, after = json.loads(notebook.cells[-1].outputs[0].text)
    except (CellExecutionError, LookupError, AttributeError, ValueError) as error:
        raise ValueError(f"{page}: cannot be measured, {str(error).splitlines()[-1]}") from None
    return Need(page, cpu, peak, after)


def choose(names: Sequence[str]) -> list[str]:
    """Pages by number or name; all lessons where none is given. Raises ``ValueError``."""
    called = {page: {page, Path(page).stem, Path(page).stem.split("_")[0]} for page in pages()}
    if not names:
        return [page for page in called if "/" not in page]
    if unknown := [name for name in names if not any(name in each for each in called.values())]:
        raise ValueError(f"no page {unknown[0]!r}; there are: {', '.join(called)}")
    return [page for page, each in called.items() if not each.isdisjoint(names)]


def report(needs: Sequence[Need], learners: Sequence[int] = (30, 300)) -> list[str]:
    """A line for each page, and what a class needs that has the largest of them open."""
    lines = [f"{'page':38} {'CPU s':>7} {'MB at most':>11} {'MB kept':>8}"]
    for need in needs:
        peak, after = need.peak / MEGABYTE, need.after / MEGABYTE
        lines.append(f"{need.page:38} {need.cpu:7.0f} {peak:11,.0f} {after:8,.0f}")
    largest, longest = max(needs, key=lambda n: n.peak), max(needs, key=lambda n: n.cpu)
    lines.append(
        f"One kernel takes {largest.peak / MEGABYTE:,.0f} MB at most ({largest.page}); the longest "
        f"run is {longest.cpu:,.0f} s of one core ({longest.page})."
    )
    for count in learners:
        lines.append(
            f"{count} learners, each with one such page open: {count * largest.peak / 1e9:,.0f} GB "
            f"for kernels; to be through {longest.page} within an hour, "
            f"{count * longest.cpu / 3600:.1f} cores."
        )
    return lines


def needs(names: Sequence[str], tell: Callable[[str], None]) -> list[str]:
    """Measure pages one after the other, telling which; the report."""
    chosen, found = choose(names), []
    for number, page in enumerate(chosen, 1):
        tell(f"{number}/{len(chosen)} {page}")
        found.append(measure_page(page))
    return report(found)
