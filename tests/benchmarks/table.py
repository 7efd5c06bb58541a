"""The numbers of ``decode`` as a table for people."""

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.benchmarks.machine import RATES

PREFIXES = ("", "k", "M", "G", "T")
MEMORY = {"RssAnon": "own memory (RssAnon)", "RssFile": "mapped files (RssFile)"}
Row = tuple[str, str, str]  # what, how much, remark


def lines(found: dict[str, Any]) -> list[str]:
    """One line a number, in three columns."""
    rows = [*model_rows(found), *memory_rows(found), *machine_rows(found)]
    wide = [max(len(row[i]) for row in rows) for i in (0, 1)]
    return [f"{a:{wide[0]}}  {b:>{wide[1]}}  {c}".rstrip() for a, b, c in rows]


def model_rows(found: dict[str, Any]) -> list[Row]:
    """Sizes, times and rates of the model."""
    token, worked = (found["decode"][name] for name in ("seconds", "processor_seconds"))
    return [
        ("parameters", f"{found['parameters']:,}", found["folder"]),
        ("files", scaled(found["file_bytes"], "B"), room(found)),
        ("memory", found["memory"], found["held_as"]),
        ("load", seconds(found["load_seconds"]), ""),
        ("prefill", seconds(found["prefill_seconds"]), f"{found['prompt_length']} tokens"),
        ("decode, a token", seconds(token["median"]), spread(token, seconds)),
        ("of processor time", seconds(worked["median"]), spread(worked, seconds)),
        ("weights used", scaled(found["decode"]["weights_per_second"]["median"], "/s"), ""),
        ("bytes of weights", scaled(found["decode"]["bytes_per_second"]["median"], "B/s"), ""),
        ("read from disk", size(found["disk_bytes_while_decoding"]), "while decoding"),
    ]


def room(found: dict[str, Any]) -> str:
    """Whether the files can stay in memory."""
    total, free = found["file_bytes"], found["free_memory"]
    fits = "all fit" if total < free else "NOT all fit, so the disk is measured,"
    return f"{fits} in {scaled(free, 'B')} of free memory"


def memory_rows(found: dict[str, Any]) -> list[Row]:
    """What the process held."""
    rows = [("KV cache", size(found["cache_bytes"]), "")]
    for name, label in MEMORY.items():
        held = found["resident"].get(name)
        if held is None:
            rows.append((label, "n/a", "this system has no /proc/self/status"))
            continue
        rows.append((f"{label}, peak", size(held["peak"]), f"{size(held['empty'])} before loading"))
        rows.append((f"{label}, decoding", size(held["decoding"]), ""))
    return rows


def machine_rows(found: dict[str, Any]) -> list[Row]:
    """What the machine can do, and how much of it the model used."""
    load = found["load_average_before"]
    busy = "" if load is None else f", load average {load:.1f} before"
    threads = f"{found['cores']} cores, BLAS on {found['blas_threads']} threads{busy}"
    rows = [("", "", ""), ("the machine", "", threads)]
    for name, rate in found["machine"].items():
        form = partial(scaled, unit=RATES[name][1])
        rows.append((name, form(rate["median"]), spread(rate, form)))
    rows.append(("", "", ""))
    share = "{:.2f}".format
    ratios = found["ratios"].items()
    return rows + [(name, share(ratio["median"]), spread(ratio, share)) for name, ratio in ratios]


def spread(rate: dict[str, float], form: Callable[[float], str]) -> str:
    """From the lowest sample to the highest.

    >>> spread({"low": 1.0, "high": 2.5}, seconds)
    '1 s to 2.5 s'
    """
    return f"{form(rate['low'])} to {form(rate['high'])}"


def seconds(duration: float) -> str:
    """With three digits.

    >>> seconds(0.000123456)
    '0.000123 s'
    """
    return f"{duration:.3g} s"


def scaled(number: float, unit: str = "") -> str:
    """With three digits and a prefix for the thousands.

    >>> scaled(8030261248), scaled(24.5e9, "B/s"), scaled(7, "B")
    ('8.03 G', '24.5 GB/s', '7 B')
    """
    thousands = 0
    while abs(number) >= 999.5 and thousands < len(PREFIXES) - 1:
        number, thousands = number / 1000, thousands + 1
    return f"{number:.3g} {PREFIXES[thousands]}{unit}".rstrip()


def size(n_bytes: float | None) -> str:
    """Memory in MiB, as its targets are; n/a where it is not known.

    >>> size(3 * 2**20), size(None)
    ('3.0 MiB', 'n/a')
    """
    return "n/a" if n_bytes is None else f"{n_bytes / 2**20:.1f} MiB"
