"""``inspect``: what is in a model, and how much memory it needs, without reading its numbers."""

import argparse
import dataclasses
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from llama_np.rope import RopeScaling

from ..load import open_model
from ..memory import as_float32, as_stored, free_memory, in_bytes
from ..opened import OpenedModel, TensorOnDisk, read_tokenizer, shape_problems
from ..outlook import lines, notes

HELP = "show what is in a model and the memory it needs"
DESCRIPTION = (
    "Show a model's config, its tensors with shape, type and size, and the memory it needs. Only "
    "headers are read, so this takes a moment even for a large model."
)
CACHE_LENGTHS = (1024, 8192)  # tokens for which the cache is shown, where the context has them
WIDE = 200  # columns where the output goes to no terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="folder or file, of any known source")
    parser.add_argument("--all", action="store_true", help="list the tensors of every block")


def run(args: argparse.Namespace) -> None:
    """Print the description; what does not fit is an error after it."""
    checkpoint = open_model(Path(args.model))
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE
    print("\n".join(describe(checkpoint, args.all, columns)))
    for problem in shape_problems(checkpoint):
        raise ValueError(problem)


def describe(
    checkpoint: OpenedModel, every_block: bool = False, columns: int = WIDE
) -> Iterator[str]:
    """The lines of the description, those of the tensors cut at so many columns."""
    config = checkpoint.config
    yield f"{checkpoint.path} ({checkpoint.format}): {config.count_parameters():,} parameters"
    yield ""
    for field in dataclasses.fields(config):
        yield f"  {field.name:16} {shown(getattr(config, field.name))}"
    yield ""
    yield f"  {'tensor':18} {'stored shape':>14} {'type':5} {'size':>9} {'times':>5}  in the source"
    for name, stored, count in gathered(checkpoint, every_block):
        shape = " x ".join(map(str, stored.rows.shape))
        size = in_bytes(stored.n_bytes)
        line = f"  {name:18} {shape:>14} {stored.kind:5} {size:>9} {count:>5}  {stored.name}"
        too_long = max(0, len(line) - columns)
        end = f"…{stored.name[too_long + 1 :]}" if too_long else stored.name
        yield f"{line.removesuffix(stored.name)}{end}"
    yield ""
    yield from memory_lines(checkpoint)
    yield ""
    yield from generating_lines(checkpoint, columns)


def shown(value: object) -> str:
    """A value of the config; rope scaling in one short line."""
    if isinstance(value, RopeScaling):
        return (
            f"{value.factor} (from {value.original_context_length} tokens, "
            f"{value.low_freq_factor} to {value.high_freq_factor} turns)"
        )
    return str(value)


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
        f"  memory=mapped    {in_bytes(as_stored(checkpoint)):>10} stay in the file; "
        "fast while that much is free"
    )
    whole = config.context_length
    for length in sorted({*(n for n in CACHE_LENGTHS if n < whole), whole}):
        n_bytes = 2 * 4 * config.n_layers * config.n_kv_heads * config.head_dim * length
        yield f"  cache            {in_bytes(n_bytes):>10} on top for {length} tokens"
    yield f"  free now         {in_bytes(free_memory()):>10}"


def generating_lines(checkpoint: OpenedModel, columns: int) -> Iterator[str]:
    """What letting it write would meet."""
    tokenizer, said = read_tokenizer(checkpoint)
    kinds = {s.kind: None for s in checkpoint.stored.values() if len(s.rows.shape) == 2}
    numbers = f"{' and '.join(kinds)} in the matrices; computed in float32"
    for word, what in (("numbers", numbers), *lines(tokenizer, checkpoint.config)):
        yield from textwrap.wrap(f"{word:16} {what}", columns, **indents(19))
    if tokenizer is not None:
        said = [f"note: {line}" for line in notes(tokenizer, checkpoint.config)]
    for line in said:
        yield from textwrap.wrap(line, columns, **indents(4))


def indents(further: int) -> dict[str, str]:
    """For ``textwrap``: where the first line begins, and those that follow."""
    return {"initial_indent": "  ", "subsequent_indent": " " * further}
