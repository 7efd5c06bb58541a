"""Writing a model as a Hugging Face folder, the project's own form, from any source."""

import argparse
import math
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llama_np.weights import shapes

from ..formats.config_json import config_to_hugging_face
from ..formats.safetensors_file import DTYPES, write_stream
from ..int8 import scheme, to_int8
from ..layout import hugging_face_name
from ..lazy_matrix import narrow_bf16, widen_bf16
from ..load import open_model
from ..memory import in_bytes
from ..opened import (
    OpenedModel,
    TensorOnDisk,
    as_matrix,
    check_shapes,
    halves_order,
    in_float32,
    read_tokenizer,
)
from ..progress import Progress
from ..reading import refuse_link_out
from ..tokenizers import save_tokenizer
from ..writing import new_folder, replacing, write_json

BLOCK = 1 << 24  # numbers that are in memory at a time
KINDS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}

HELP = "write a model from any source as a Hugging Face folder"
DESCRIPTION = (
    "Write a model from any source (a Hugging Face folder, Meta's folder, a .gguf file, a .bin "
    "file of llama2.c) as a Hugging Face folder. Numbers stay as they are; matrices that the "
    "source holds quantised become bfloat16. Needs little memory for any size."
)
Report = Callable[[str, float], None]  # called with the name of each matrix and what it has lost


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="SOURCE", type=Path, help="model of any known source")
    parser.add_argument("folder", metavar="DEST", type=Path, help="new folder to write")
    parser.add_argument(
        "--dtype", choices=[*KINDS.values()],
        help="type of all numbers (default: as in the source)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Convert, and say what it has become."""
    source = open_model(args.model)
    kind = next((kind for kind, name in KINDS.items() if name == args.dtype), None)
    convert(source, args.folder, kind)
    count = source.config.count_parameters()
    print(f"{args.folder}: {count:,} parameters from {source.format}. To use it:")
    print(f"export LLAMA_MODEL={shlex.quote(str(args.folder.absolute()))}")


def convert(
    source: OpenedModel, folder: Path, kind: str | None = None, report: Report | None = None
) -> None:
    """Write ``source`` into a new ``folder``; what is stored in a type of float stays as it is.

    ``kind``: F32, F16, BF16 for all numbers, or I8 for all matrices but the embedding. Without it,
    matrices that are quantised in the source become BF16.

    Raises ``ValueError`` or ``OSError`` in one line; the folder is there whole or not at all.
    """
    check_shapes(source)
    tokenizer, notes = read_tokenizer(source)
    for note in notes:
        print(note, file=sys.stderr)
    with new_folder(folder) as beside:
        check_room(source, beside, kind)
        write_model(source, beside, kind, tokenizer, report)


def write_model(
    source: OpenedModel,
    folder: Path,
    kind: str | None,
    tokenizer: Any,
    report: Report | None = None,
) -> None:
    """Write config, weights and tokenizer into an existing folder, each file replaced whole.

    Raises ``ValueError`` for a companion that is a link out of its folder: it would be published.
    """
    for file in source.companions:
        refuse_link_out(file)
    kinds = {name: kind_of(name, source, kind) for name in shapes(source.config)}
    floats = [as_kind for as_kind in kinds.values() if as_kind in KINDS]
    described = config_to_hugging_face(source.config) | {"dtype": KINDS[floats[0]]}
    if "I8" in kinds.values():
        described["quantization_config"] = scheme(source.config.tied_output)
    if tokenizer is not None:
        described |= {"bos_token_id": tokenizer.bos_id, "eos_token_id": sorted(tokenizer.stop_ids)}
        if not any(file.name == "tokenizer.json" for file in source.companions):
            lacking = save_tokenizer(tokenizer, folder, source.config.context_length)
            if lacking is not None:
                print(f"note: {lacking}", file=sys.stderr)
    for file in source.companions:
        if not (folder / file.name).exists():
            with replacing(folder / file.name) as beside:
                shutil.copyfile(file, beside)
    write_json(described, folder / "config.json")
    specs = {}
    for name, as_kind in kinds.items():
        shape = tuple(source.stored[name].rows.shape)
        specs[hugging_face_name(name)] = as_kind, shape
        if as_kind == "I8":
            specs[f"{hugging_face_name(name)}_scale"] = "F32", (shape[0], 1)
    write_stream(folder / "model.safetensors", specs, all_chunks(source, kinds, report))


def kind_of(name: str, source: OpenedModel, kind: str | None) -> str:
    """In which type of number an array is written."""
    stored = source.stored[name]
    vector_or_lookup = len(stored.rows.shape) == 1 or name == "embedding"
    if kind is None or (kind == "I8" and vector_or_lookup):
        return stored.kind if stored.kind in KINDS or stored.kind == "I8" else "BF16"
    return kind


def all_chunks(
    source: OpenedModel, kinds: dict[str, str], report: Report | None
) -> Iterator[np.ndarray]:
    """The numbers of every array, in the order of the file."""
    # the lines of a report say how far it is
    progress = Progress(len(kinds), quiet=2.0 if report is None else math.inf)
    for done, (name, kind) in enumerate(kinds.items(), start=1):
        if kind == "I8":
            yield from int8_chunks(source, name, report)
        else:
            for rows in blocks(source, name):
                yield in_kind(source.stored[name], rows, kind)
        progress.show(done, "tensors written")


def blocks(source: OpenedModel, name: str) -> Iterator[slice | np.ndarray]:
    """The rows of an array in the order of Hugging Face, a few at a time."""
    n, *width = source.stored[name].rows.shape
    order = halves_order(source, name)
    height = max(1, BLOCK // math.prod(width))
    for start in range(0, n, height):
        rows = slice(start, start + height)
        yield rows if order is None else order[rows]


def in_kind(stored: TensorOnDisk, rows: slice | np.ndarray, kind: str) -> np.ndarray:
    """Some rows as they are to be written: untouched where the type stays the same."""
    if stored.kind == kind:
        return stored.rows[rows]
    wide = widened(stored, rows)
    with np.errstate(over="ignore"):  # found by the next lines
        narrow = narrow_bf16(wide) if kind == "BF16" else wide.astype(DTYPES[kind])
    if not np.isfinite(widen_bf16(narrow) if kind == "BF16" else narrow).all():
        raise ValueError(f"{stored.file}: {stored.name} holds numbers too large for {KINDS[kind]}")
    return narrow


def int8_chunks(source: OpenedModel, name: str, report: Report | None) -> Iterator[np.ndarray]:
    """A matrix in int8, then its scales."""
    stored = source.stored[name]
    scales, lost, whole = [], 0.0, 0.0
    for rows in blocks(source, name):
        if stored.kind == "I8":
            small, scale = stored.rows[rows], stored.scale[rows]
        else:
            wide = widened(stored, rows)
            small, scale = to_int8(wide)
            lost += float(np.square(small * scale[:, None] - wide).sum())
            whole += float(np.square(wide).sum())
        scales.append(scale)
        yield small
    yield np.concatenate(scales)
    if report is not None and stored.kind != "I8":
        report(name, math.sqrt(lost / whole) if whole else 0.0)


def widened(stored: TensorOnDisk, rows: slice | np.ndarray) -> np.ndarray:
    """Some rows as float32; refuses what is no number, since narrowing would hide it."""
    with np.errstate(over="ignore"):  # float64 that is too large
        is_vector = len(stored.rows.shape) == 1
        wide = in_float32(stored)[rows] if is_vector else as_matrix(stored).rows(rows)
    if not np.isfinite(wide).all():
        raise ValueError(
            f"{stored.file}: {stored.name} holds NaN or infinity; the file is damaged, get it again"
        )
    return wide


def check_room(source: OpenedModel, folder: Path, kind: str | None) -> None:
    """Raise ``OSError`` where the disk cannot take what is to be written."""
    width = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I8": 1}
    needed = sum(
        math.prod(stored.rows.shape) * width[kind_of(name, source, kind)]
        for name, stored in source.stored.items()
    )
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{folder.parent}: {in_bytes(needed)} are needed, {in_bytes(free)} are free; make room "
            "or choose another disk"
        )
