"""``inspect``: what is in a model, and how much memory it needs, without reading its numbers."""

import argparse
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from ..load import open_model
from ..memory import as_float32, as_stored, free_memory, in_bytes
from ..opened import OpenedModel, TensorOnDisk, shape_problems

HELP = "show what is in a model and the memory it needs"
DESCRIPTION = (
    "Show a model's config, its tensors with shape, type and size, and the memory it needs. Only "
    "headers are read, so this takes a moment even for a large model."
)
CACHE_LENGTHS = (1024, 8192)  # tokens for which the size of the cache is shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="folder or file, of any known source")
    parser.add_argument("--all", action="store_true", help="list the tensors of every block")


def run(args: argparse.Namespace) -> None:
    """Print the description; what does not fit is an error after it."""
    checkpoint = open_model(Path(args.model))
    print("\n".join(describe(checkpoint, args.all)))
    for problem in shape_problems(checkpoint):
        raise ValueError(problem)


def describe(checkpoint: OpenedModel, every_block: bool = False) -> Iterator[str]:
    """The lines of the description."""
    config = checkpoint.config
    yield f"{checkpoint.path} ({checkpoint.format}): {config.count_parameters():,} parameters"
    yield ""
    for field in dataclasses.fields(config):
        yield f"  {field.name:16} {getattr(config, field.name)}"
    yield ""
    yield f"  {'tensor':24} {'in the source':44} {'stored shape':>16}  {'type':6} {'size':>10}"
    for name, stored, count in gathered(checkpoint, every_block):
        shape = " x ".join(map(str, stored.rows.shape))
        times = f"  x {count}" if count > 1 else ""
        size = in_bytes(stored.n_bytes)
        yield f"  {name:24} {stored.name:44} {shape:>16}  {stored.kind:6} {size:>10}{times}"
    yield ""
    yield from memory_lines(checkpoint)


def gathered(checkpoint: OpenedModel, every_block: bool) -> Iterator[tuple[str, TensorOnDisk, int]]:
    """The tensors with how often each comes; blocks that are alike are shown once."""
    groups: dict[tuple, list[str]] = {}
    for name, stored in checkpoint.stored.items():
        role = name if every_block else re.sub(r"\d+", "*", name)
        groups.setdefault((role, stored.rows.shape, stored.kind), []).append(name)
    for (role, *_), names in groups.items():
        shown = role if len(names) > 1 else names[0]
        stored = checkpoint.stored[names[0]]
        theirs = re.sub(r"\d+(?=\.)", "*", stored.name, count=1) if len(names) > 1 else stored.name
        yield shown, stored._replace(name=theirs), len(names)


def memory_lines(checkpoint: OpenedModel) -> Iterator[str]:
    """The memory in each mode, beside what is free."""
    config = checkpoint.config
    yield f"  memory=float32   {in_bytes(as_float32(checkpoint)):>10} of memory"
    yield (
        f"  memory=mapped    {in_bytes(as_stored(checkpoint)):>10} stay in the file; reading it "
        "again is fast while that much memory is free"
    )
    for length in sorted({*CACHE_LENGTHS, config.context_length}):
        n_bytes = 2 * 4 * config.n_layers * config.n_kv_heads * config.head_dim * length
        yield f"  cache            {in_bytes(n_bytes):>10} on top for {length} tokens"
    yield f"  free now         {in_bytes(free_memory()):>10}"
