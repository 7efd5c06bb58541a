"""What every reader of a format returns: a config, and arrays that are still in their files.

From there a weight is either widened to float32 or left where it is, behind a matrix that streams.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from llama_np.axes import Array
from llama_np.config import LlamaConfig
from llama_np.tokenizer import Tokenizer
from llama_np.weights import shapes

from .block_matrix import Q4_0Matrix, Q4_1Matrix, Q4_KMatrix, Q6_KMatrix, Q8_0Matrix
from .layout import is_rotated, names_elsewhere, to_adjacent_pairs, to_rotate_half
from .lazy_matrix import Bf16Matrix, F16Matrix, Int8Matrix, StoredMatrix, widen_bf16
from .tokenizers.fit import without_row

MATRICES = {
    "BF16": Bf16Matrix, "F16": F16Matrix,
    "Q4_0": Q4_0Matrix, "Q4_1": Q4_1Matrix, "Q8_0": Q8_0Matrix,
    "Q4_K": Q4_KMatrix, "Q6_K": Q6_KMatrix,
}  # fmt: skip


class Rows(Protocol):
    """Rows that come when asked for: an array, mapped or not, or anything that answers the same."""

    shape: tuple[int, ...]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray: ...


class TensorOnDisk(NamedTuple):
    """One array as it lies in a file: matrices (out, in), nothing copied, nothing widened.

    ``kind`` names the type of number: F64, F32, F16, BF16 (rows of uint16 bit patterns), I8 (rows
    of int8, to be multiplied by ``scale``), or the name of a quantisation whose ``rows`` come as
    float32. ``name`` and ``file`` are the source's, for messages.
    """

    name: str
    file: Path
    kind: str
    rows: Rows
    n_bytes: int
    scale: Array["out"] | None = None


class OpenedModel(NamedTuple):
    """A model on disk, opened but not read.

    ``stored`` is keyed by the names that ``Weights.named`` uses; a tied output is not in it.
    ``rotate_half``: the rows of wq and wk pair i with i + K/2, as Hugging Face stores them;
    otherwise neighbours are pairs, as here. ``read_tokenizer`` returns None where there is none.
    ``companions`` are files that a converted model takes along as they are.
    """

    path: Path
    format: str
    config: LlamaConfig
    stored: dict[str, TensorOnDisk]
    rotate_half: bool
    read_tokenizer: Callable[[], Any]
    companions: tuple[Path, ...] = ()


def read_tokenizer(checkpoint: OpenedModel) -> tuple[Tokenizer | None, list[str]]:
    """The tokenizer of a model, None where it has none that can be read, and what is to be said.

    Weights are of use without a tokenizer, so one that cannot be read does not stand in their way.
    """
    try:
        tokenizer = checkpoint.read_tokenizer()
    except (ValueError, OSError) as error:
        return None, [f"note: the tokenizer cannot be read, only the weights: {error}"]
    if tokenizer is None:
        return None, []
    return tokenizer, [f"note: {line}" for line in without_row(tokenizer, checkpoint.config)]


def in_float32(stored: TensorOnDisk) -> Array["..."]:
    """A small array as float32 in memory: a norm, a scale, a LoRA matrix."""
    rows = np.asarray(stored.rows[:])
    with np.errstate(over="ignore"):  # float64 that is too large: whoever asks finds infinity
        return widen_bf16(rows) if stored.kind == "BF16" else rows.astype(np.float32)


def plain_rows(stored: TensorOnDisk, rows: slice | np.ndarray) -> Array["rows in"]:
    """Some rows of a stored matrix in float32."""
    plain = in_float32(stored._replace(rows=stored.rows[rows]))
    return plain if stored.scale is None else plain * stored.scale[rows, None]


def same_rows(a: TensorOnDisk, b: TensorOnDisk, at_once: int = 4096) -> bool:
    """Whether two matrices hold the same numbers, whatever they are stored in."""
    if tuple(a.rows.shape) != tuple(b.rows.shape):
        return False
    parts = (slice(i, i + at_once) for i in range(0, len(a.rows), at_once))
    return all(np.array_equal(plain_rows(a, part), plain_rows(b, part)) for part in parts)


def as_matrix(stored: TensorOnDisk, order: Array["out"] | None = None) -> StoredMatrix:
    """The (in, out) matrix that streams its rows from the file."""
    if stored.kind == "I8":
        return Int8Matrix(stored.rows, stored.scale, order)
    return MATRICES.get(stored.kind, StoredMatrix)(stored.rows, order)


def as_weight(
    checkpoint: OpenedModel, name: str, memory: str, take: Callable = np.empty
) -> np.ndarray | StoredMatrix:
    """One weight as ``Weights`` holds it: float32, or with ``memory="mapped"`` still in its file.

    float32 matrices on disk need no widening; in the right order they are views of the file. Those
    in fewer bits are widened into memory from ``take``, which is called as ``np.empty`` is.
    """
    stored = checkpoint.stored[name]
    if len(stored.rows.shape) == 1:
        return in_float32(stored)
    reordered = checkpoint.rotate_half and is_rotated(name)
    matrix = as_matrix(stored, order_of(checkpoint, name, to_adjacent_pairs) if reordered else None)
    matrix = matrix if memory == "mapped" else matrix.whole(take)
    return matrix.T if name == "embedding" else matrix


def order_of(checkpoint: OpenedModel, name: str, reorder: Callable) -> Array["out"]:
    """Which stored row comes first, second, ... once ``reorder`` has been at them."""
    return reorder(np.arange(checkpoint.stored[name].rows.shape[0]), checkpoint.config.head_dim)


def halves_order(checkpoint: OpenedModel, name: str) -> Array["out"] | None:
    """Which rows to take one after another to have them as Hugging Face stores them."""
    if is_rotated(name) and not checkpoint.rotate_half:
        return order_of(checkpoint, name, to_rotate_half)
    return None


def shape_problems(checkpoint: OpenedModel) -> Iterator[str]:
    """A line for every array that is missing or has another shape than the config asks for."""
    expected = shapes(checkpoint.config)
    missing = [name for name in expected if name not in checkpoint.stored]
    if missing:
        names = names_elsewhere(missing[0])
        theirs = {"GGUF": names.gguf, "Meta": names.meta}.get(checkpoint.format, names[0])
        yield (
            f"{checkpoint.path}: {len(missing)} tensors are missing, the first is {theirs}; "
            "is the download complete?"
        )
    for name, stored in checkpoint.stored.items():
        shape = expected[name] if name == "embedding" else expected[name][::-1]
        if tuple(stored.rows.shape) != shape:
            yield (
                f"{stored.file}: {stored.name} should have shape {shape} by the config, "
                f"got {tuple(stored.rows.shape)}"
            )


def check_shapes(checkpoint: OpenedModel) -> None:
    """Raise ``ValueError`` unless the arrays are those that the config asks for."""
    for problem in shape_problems(checkpoint):
        raise ValueError(problem)
