"""``verify``: is a model whole, and does everything in it fit together?"""

import argparse
import hashlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..formats.hugging_face import index_problems
from ..load import open_model
from ..opened import OpenedModel, TensorOnDisk, as_matrix, in_float32, shape_problems
from ..outlook import notes, troubles
from ..progress import Progress
from ..reading import SMALL, read_bytes
from ..workers import share
from ..writing import replacing

HELP = "check that a model is whole"
DESCRIPTION = (
    "Check a model: names, shapes and types against its config, that every number is finite, the "
    "tokenizer against the vocabulary, and checksums where the folder has a list of them "
    "(SHA256SUMS, or Meta's checklist.chk). One line for each thing that is wrong."
)
LISTS = {"SHA256SUMS": "sha256", "checklist.chk": "md5"}
BLOCK = 1 << 22  # numbers, or bytes, at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="folder or file, of any known source")
    parser.add_argument(
        "--write-sums", action="store_true",
        help="write SHA256SUMS into the folder if all is well, to compare with later",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Print what is wrong; raise ``ValueError`` with the count if anything is."""
    checkpoint = open_model(Path(args.model))
    wrong = 0
    for problem in problems(checkpoint):
        print(problem)
        wrong += 1
    if wrong:
        raise ValueError(f"{checkpoint.path}: {wrong} things are wrong" if wrong > 1 else
                         f"{checkpoint.path}: 1 thing is wrong")  # fmt: skip
    count = checkpoint.config.count_parameters()
    print(f"{checkpoint.path}: all is well ({checkpoint.format}, {count:,} parameters)")
    if args.write_sums:
        write_sums(checkpoint)


def problems(checkpoint: OpenedModel) -> Iterator[str]:
    """A line for each thing that is wrong with an opened model."""
    yield from shape_problems(checkpoint)
    try:
        tokenizer = checkpoint.read_tokenizer()
        if tokenizer is None:
            yield f"{checkpoint.path}: has no tokenizer, so text cannot be encoded"
        else:
            for note in notes(tokenizer, checkpoint.config):
                print(f"note: {note}")
            for trouble in troubles(tokenizer, checkpoint.config):
                yield f"{checkpoint.path}: {trouble}"
    except (ValueError, OSError) as error:
        yield str(error)
    yield from index_problems(folder_of(checkpoint))
    yield from checksum_problems(folder_of(checkpoint))
    yield from number_problems(checkpoint)


def number_problems(checkpoint: OpenedModel) -> Iterator[str]:
    """A line for every tensor that holds NaN or infinity."""
    progress = Progress(len(checkpoint.stored), quiet=2.0)
    for done, stored in enumerate(checkpoint.stored.values(), start=1):
        if not is_finite(stored):
            yield f"{stored.file}: {stored.name} holds NaN or infinity; get the file again"
        progress.show(done, "tensors read")


def is_finite(stored: TensorOnDisk) -> bool:
    """Whether every number of an array is one; read in blocks, on all cores."""
    if len(stored.rows.shape) == 1:
        return bool(np.isfinite(in_float32(stored)).all())
    if len(stored.rows.shape) != 2 or 0 in stored.rows.shape:
        return True  # no matrix, which is another line
    matrix, (n, width) = as_matrix(stored), stored.rows.shape
    height, damaged = max(1, BLOCK // width), threading.Event()

    def look(starts: Iterator[int]) -> None:
        for start in starts:
            with np.errstate(over="ignore"):  # float64 that is too large
                rows = matrix.rows(slice(start, start + height))
            if not np.isfinite(rows).all():
                damaged.set()

    share(look, range(0, n, height))
    return not damaged.is_set()


def checksum_problems(folder: Path) -> Iterator[str]:
    """A line for every file that differs from the list of checksums beside it."""
    for list_name, method in LISTS.items():
        path = folder / list_name
        if not path.is_file():
            continue
        for number, line in enumerate(lines_of(path), start=1):
            digest, _, name = line.strip().partition(" ")
            name = name.strip().lstrip("*")
            if not line.strip() or line.startswith("#"):
                continue
            if not (re.fullmatch("[0-9A-Fa-f]+", digest) and is_plain_name(name)):
                yield f"{path}, line {number}: expected a checksum and a file, got {line[:60]!r}"
            elif not (folder / name).is_file():
                yield f"{folder / name}: named in {list_name}, but missing"
            elif checksum(folder / name, method) != digest.lower():
                yield f"{folder / name}: differs from its checksum in {list_name}; get it again"


def lines_of(path: Path) -> list[str]:
    """The lines of a list of checksums, in whatever encoding."""
    return read_bytes(path, SMALL).decode(errors="replace").splitlines()


def is_plain_name(name: str) -> bool:
    """Whether a file of this name lies in the folder itself."""
    return bool(name) and Path(name).name == name != ".." and name.isprintable()


def checksum(path: Path, method: str) -> str:
    """The digest of a file, read in blocks."""
    digest = hashlib.new(method, usedforsecurity=False)
    progress, done = Progress(max(1, path.stat().st_size // BLOCK), quiet=2.0), 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            done += 1
            progress.show(min(done, progress.total), f"checksum of {path.name}")
    return digest.hexdigest()


def write_sums(checkpoint: OpenedModel) -> None:
    """A SHA256SUMS that ``sha256sum --check`` reads too."""
    folder = folder_of(checkpoint)
    files = [checkpoint.path]
    if folder == checkpoint.path:
        files = sorted(p for p in folder.iterdir() if p.is_file() and p.name not in LISTS)
    path = folder / "SHA256SUMS"
    kept = [f"{line}\n" for line in lines_of(path)] if path.is_file() else []
    own = {file.name for file in files}
    lines = [line for line in kept if line[66:].strip() not in own and folder != checkpoint.path]
    lines += [f"{checksum(file, 'sha256')}  {file.name}\n" for file in files]
    with replacing(path) as beside:
        beside.write_text("".join(lines))
    print(f"wrote the checksums of {len(files)} files to {path}")


def folder_of(checkpoint: OpenedModel) -> Path:
    """The folder of a model, which may be a single file."""
    return checkpoint.path if checkpoint.path.is_dir() else checkpoint.path.parent
