"""Randomly filled Hugging Face folders of any shape, written with little memory."""

import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.weights import shapes
from tests.benchmarks.gguf_checkpoint import QUANTISED, bytes_of, write_gguf
from weights_tools.formats.config_json import config_to_hugging_face
from weights_tools.formats.safetensors_file import DTYPES, write_stream
from weights_tools.layout import names_elsewhere
from weights_tools.lazy_matrix import narrow_bf16
from weights_tools.progress import Progress
from weights_tools.writing import write_json

CODES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}  # as safetensors names them
SINGLE = "model.safetensors"
SHARD_BYTES = 5 * 10**9
RING_LENGTH = 4_194_301  # a prime: no two rows of a matrix start at the same place
ROOM_FOR_HEADERS = 2**20
MIB = 2**20

Shape = tuple[int, ...]


class Ring:
    """Random numbers that go round and round: as many as are asked for, from a few drawn once.

    A matrix of 8B takes longer to draw than to write. The rows of one that comes off the ring are
    all different, and the sums over them behave as those over independent numbers do.
    """

    def __init__(self, dtype: str, seed: int):
        self.dtype, self.position = dtype, 0
        self.normal = np.random.default_rng(seed).standard_normal(RING_LENGTH, np.float32)
        self.stored: dict[float, np.ndarray] = {}

    def chunks(self, shape: Shape) -> Iterator[np.ndarray]:
        """The numbers of one tensor in its storage type, going on where the last tensor ended.

        Of a norm: about one. Of a matrix, stored (out, in): of standard deviation 1 / sqrt(in), so
        that what comes out of a product is as large as what went in.
        """
        ring = self.in_storage(0.0 if len(shape) == 1 else 1 / math.sqrt(shape[-1]))
        left = math.prod(shape)
        while left:
            piece = ring[self.position : self.position + left]
            yield piece
            left -= len(piece)
            self.position = (self.position + len(piece)) % RING_LENGTH

    def in_storage(self, scale: float) -> np.ndarray:
        """The ring times ``scale``, as stored; a scale of 0 stands for numbers near one."""
        if scale not in self.stored:
            values = self.normal * np.float32(scale) if scale else 1 + self.normal / 16
            self.stored[scale] = (
                narrow_bf16(values) if self.dtype == "bfloat16" else values.astype(self.dtype)
            )
        return self.stored[scale]


def stored_shapes(config: LlamaConfig) -> dict[str, Shape]:
    """The tensors of a Hugging Face folder with their shapes there: matrices are (out, in)."""
    return {
        names_elsewhere(name).hugging_face: shape if name == "embedding" else shape[::-1]
        for name, shape in shapes(config).items()
    }


def split(tensors: Mapping[str, Shape], item_size: int, limit: int) -> list[dict[str, Shape]]:
    """Shards of at most ``limit`` bytes, in order; a tensor larger than that has its own.

    >>> split({"a": (2, 3), "b": (4,), "c": (9,)}, item_size=2, limit=20)
    [{'a': (2, 3), 'b': (4,)}, {'c': (9,)}]
    """
    shards: list[dict[str, Shape]] = [{}]
    filled = 0
    for name, shape in tensors.items():
        size = math.prod(shape) * item_size
        if shards[-1] and filled + size > limit:
            shards.append({})
            filled = 0
        shards[-1][name] = shape
        filled += size
    return shards


def make_checkpoint(
    config: LlamaConfig,
    folder: Path,
    dtype: str = "bfloat16",
    seed: int = 0,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a folder that transformers opens, filled with random numbers; all of it or nothing.

    A quantised ``dtype`` makes it a folder with one GGUF file. The same seed gives the same bytes.
    Raises ``ValueError`` for a type of number not in ``CODES`` or ``QUANTISED``,
    ``FileExistsError`` where the folder is there, ``OSError`` where the disk is too small.
    """
    if dtype not in (*CODES, *QUANTISED):
        known = ", ".join([*CODES, *QUANTISED])
        raise ValueError(f"unknown dtype {dtype!r}; expected one of {known}")
    if dtype in QUANTISED:
        n_bytes = bytes_of(config, QUANTISED[dtype])
    else:
        item_size = np.dtype(DTYPES[CODES[dtype]]).itemsize
        n_bytes = config.count_parameters() * item_size
    beside = folder.with_name(f"{folder.name}.tmp")
    check_destination(folder, beside, n_bytes + ROOM_FOR_HEADERS)
    beside.mkdir()
    try:
        if dtype in QUANTISED:
            write_gguf(beside / "model.gguf", config, QUANTISED[dtype], seed)
        else:
            write_json(config_to_hugging_face(config) | {"dtype": dtype}, beside / "config.json")
            shards = split(stored_shapes(config), item_size, shard_bytes)
            write_shards(beside, shards, Ring(dtype, seed), n_bytes)
        beside.rename(folder)
    except OSError as error:
        raise OSError(f"{folder}: not written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)  # nothing is there after the renaming


def check_destination(folder: Path, beside: Path, needed: int) -> None:
    """Raise in one line where a folder of ``needed`` bytes cannot be written."""
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"no such folder: {folder.parent}; make it first")
    for path in (folder, beside):
        if path.exists() or path.is_symlink():
            raise FileExistsError(f"{path}: exists already; delete it, or choose another name")
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise OSError(
            f"{folder}: needs {needed / 1e9:.2f} GB of disk space, only {free / 1e9:.2f} GB are "
            "free; make room, or choose a smaller shape"
        )


def write_shards(folder: Path, shards: list[dict[str, Shape]], ring: Ring, n_bytes: int) -> None:
    """Every shard, ``n_bytes`` of tensors in all, and the index where there is more than one."""
    where: dict[str, str] = {}
    progress, written = Progress(-(-n_bytes // MIB)), 0

    def chunks(shard: Mapping[str, Shape], file: str) -> Iterator[np.ndarray]:
        nonlocal written
        for shape in shard.values():
            for chunk in ring.chunks(shape):
                yield chunk
                written += chunk.nbytes
                progress.show(progress.total * written // n_bytes, f"MiB, {file}")

    for i, shard in enumerate(shards, 1):
        file = f"model-{i:05}-of-{len(shards):05}.safetensors" if shards[1:] else SINGLE
        specs = {name: (CODES[ring.dtype], shape) for name, shape in shard.items()}
        write_stream(folder / file, specs, chunks(shard, file))
        where |= dict.fromkeys(shard, file)
    if len(shards) > 1:
        index = {"metadata": {"total_size": n_bytes}, "weight_map": where}
        write_json(index, folder / "model.safetensors.index.json")
