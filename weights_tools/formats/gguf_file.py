"""GGUF, the format of llama.cpp: one file with config, tokenizer and weights, often quantised.

Matrices lie (out, in), contiguous along "in", which GGUF itself counts first. The rows of q and k
are in Meta's order, neighbours are pairs: ``LlamaModel.permute`` in
https://github.com/ggml-org/llama.cpp/blob/master/convert_hf_to_gguf.py undoes Hugging Face's.

Quantised numbers lie in blocks along a row: 32 or 256 small integers and their scales.
``gguf_blocks`` widens them.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llama_np.config import LlamaConfig, brief
from llama_np.tokenizer.base import Tokenizer
from llama_np.weights import shapes

from ..layout import names_elsewhere
from ..opened import OpenedModel, Rows, TensorOnDisk
from ..reading import refuse_link_out
from ..tokenizers.fit import fitted
from ..tokenizers.gguf_tokenizer import tokenizer_from_gguf
from .gguf_blocks import Kind, can_widen, kind_of, widen
from .gguf_config import config_from_gguf, with_scaling
from .gguf_header import Header, TensorInfo, padded, read_header

MAPPED = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
ROPE = "rope_freqs.weight"


class Part(NamedTuple):
    """One file of a model that may be split into several."""

    file: Path
    data: np.memmap
    header: Header


class Dequantized:
    """A quantised matrix whose rows are widened to float32 when asked for, and only then.

    ``blocks`` are the bytes of its rows.
    """

    def __init__(self, blocks: np.ndarray, kind: Kind, shape: tuple[int, ...]):
        self.blocks, self._kind, self.shape = blocks, kind, shape

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        blocks = self.blocks[rows]
        if blocks.size == 0:  # without blocks, no width can be inferred
            return np.empty((*blocks.shape[:-1], self.shape[-1]), np.float32)
        return widen(blocks, self._kind)


def open_gguf(file: Path) -> OpenedModel:
    """Open a Llama in a GGUF file, or in the first of several that gguf-split has made of one.

    Nothing but the header is read: half a second for Llama 3's vocabulary. Raises
    ``FileNotFoundError``, or ``ValueError`` for a damaged file, a model that is no Llama, and
    types of numbers that cannot be widened.
    """
    file = Path(file)
    parts = open_parts(file)
    metadata = parts[0].header.metadata
    with naming(file):
        infos = unique_tensors(parts)
        if "token_embd.weight" not in infos:
            raise ValueError("token_embd.weight is missing; expected a whole model")
        rows = infos["token_embd.weight"].shape[0]
        config = config_from_gguf(metadata, rows, tied_output="output.weight" not in infos)
        refuse_strangers(config, infos)
    named = {name: stored for part in parts for name, stored in map_part(part).items()}
    if ROPE in named:
        with naming(named[ROPE].file):
            config = with_scaling(config, np.asarray(named.pop(ROPE).rows))

    def read_tokenizer() -> Tokenizer | None:
        with naming(file):
            tokenizer = tokenizer_from_gguf(metadata)
        return None if tokenizer is None else fitted(tokenizer, config.vocab_size, file)

    stored = {name: named[theirs] for name, theirs in gguf_names(config).items() if theirs in named}
    return OpenedModel(
        file, "GGUF", config, stored, rotate_half=False, read_tokenizer=read_tokenizer
    )


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Put the file's name in front of what is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def open_parts(file: Path) -> list[Part]:
    """The file, and where it is the first of several, these."""
    first = open_part(file)
    count = first.header.metadata.get("split.count", 1)
    if count in (0, 1):
        return [first]
    ending = "-{:05}-of-{:05}.gguf".format
    is_first = type(count) is int and first.header.metadata.get("split.no") == 0
    if not is_first or not file.name.endswith(ending(1, count)):
        raise ValueError(
            f"{file}: one of {brief.repr(count)} parts; give the first, named "
            "...-00001-of-....gguf, with the others beside it, or join them: "
            "llama-gguf-split --merge"
        )
    name = file.name.removesuffix(ending(1, count))
    others = (name + ending(i, count) for i in range(2, count + 1))  # up to the first missing
    return [first, *(open_part(file.with_name(other), beside=True) for other in others)]


def open_part(file: Path, beside: bool = False) -> Part:
    """Map one file and read its header; one that nobody named, ``beside``, must not link away."""
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}; expected a model in GGUF")
    if beside:
        refuse_link_out(file)
    with naming(file):
        data = np.memmap(file, np.uint8, mode="r")
        return Part(file, data, read_header(memoryview(data)))


def unique_tensors(parts: list[Part]) -> dict[str, TensorInfo]:
    """Every tensor of every part by its name in GGUF."""
    infos: dict[str, TensorInfo] = {}
    for info in (info for part in parts for info in part.header.tensors):
        if info.name in infos:
            raise ValueError(f"damaged: {brief.repr(info.name)} stands there twice; get it again")
        if not 1 <= len(info.shape) <= 2 or 0 in info.shape:
            raise ValueError(
                f"{brief.repr(info.name)} has shape {info.shape}; no Llama has such a tensor"
            )
        infos[info.name] = info
    return infos


def refuse_strangers(config: LlamaConfig, infos: dict[str, TensorInfo]) -> None:
    """Raise for a tensor that no Llama of this config has, such as a bias."""
    blocks = {name.split(".")[1] for name in infos if name.startswith("blk.")}
    if len(blocks) != config.n_layers:  # before an absurd number of layers keeps us busy
        raise ValueError(
            f"llama.block_count = {config.n_layers}, but there are tensors of {len(blocks)} blocks"
        )
    strangers = infos.keys() - gguf_names(config).values() - {ROPE}
    if strangers:
        raise ValueError(f"{brief.repr(min(strangers))} is no part of a Llama with this config")


def gguf_names(config: LlamaConfig) -> dict[str, str]:
    """Our name of every array, and GGUF's."""
    return {name: names_elsewhere(name).gguf for name in shapes(config)}


def map_part(part: Part) -> dict[str, TensorOnDisk]:
    """The tensors of one file, mapped and not yet read, in whatever order its header lists them."""
    with naming(part.file):
        sized = [(info, *kind_and_size(info)) for info in part.header.tensors]
        check_places({info: n_bytes for info, _, n_bytes in sized}, part)
        stored = {}
        for info, kind, n_bytes in sized:
            rows = map_rows(part.data[info.offset : info.offset + n_bytes], kind, info)
            stored[info.name] = TensorOnDisk(info.name, part.file, kind.name, rows, n_bytes)
    return stored


def kind_and_size(info: TensorInfo) -> tuple[Kind, int]:
    """A tensor's type of number, and its bytes."""
    try:
        kind = kind_of(info.type)
    except ValueError as error:
        raise ValueError(f"{info.name} is of {error}") from None
    if info.shape[-1] % kind.numbers:
        raise ValueError(
            f"{info.name}: {kind.name} comes in blocks of {kind.numbers}, got rows of "
            f"{info.shape[-1]}"
        )
    return kind, math.prod(info.shape) // kind.numbers * kind.n_bytes


def check_places(sizes: Mapping[TensorInfo, int], part: Part) -> None:
    """Raise unless all tensors lie inside the file, each where what is before it ends, up to the
    alignment: a gap means that a type or shape there is not what was written.
    """
    for info, n_bytes in sizes.items():
        if info.offset + n_bytes > len(part.data):
            raise ValueError(
                f"cut off or damaged: {info.name} ends at byte {info.offset + n_bytes}, the file "
                f"at {len(part.data)}; get it again"
            )
    start = part.header.start
    for info in sorted(sizes, key=lambda info: info.offset):
        if info.offset != start:
            raise ValueError(
                f"damaged: {info.name} begins at byte {info.offset}, what is before it ends at "
                f"{start}; get it again"
            )
        start = padded(info.offset + sizes[info], part.header.alignment)


def map_rows(data: np.ndarray, kind: Kind, info: TensorInfo) -> Rows:
    """The bytes of a tensor as rows of numbers."""
    if kind.name in MAPPED:
        return data.view(MAPPED[kind.name]).reshape(info.shape)
    if len(info.shape) == 1:
        raise ValueError(f"{info.name} is stored as {kind.name}; expected F32")
    if not can_widen(kind):
        raise ValueError(f"{info.name}: the package gguf cannot widen {kind.name}")
    return Dequantized(np.asarray(data).reshape(info.shape[0], -1), kind, info.shape)
