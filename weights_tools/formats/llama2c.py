"""The .bin files of llama2.c: seven numbers, then float32 arrays in a fixed order, mapped.

The small models that were trained on TinyStories come in this form, free of any gate: stories260K,
stories15M, stories42M, stories110M.

Sources: ``legacy_export`` and ``version1_export`` in
https://github.com/karpathy/llama2.c/blob/master/export.py, and ``memory_map_weights`` in
https://github.com/karpathy/llama2.c/blob/master/run.c, which fixes what the file leaves out: base
10000 for RoPE in ``forward``, and 1e-5 in ``rmsnorm``.
"""

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.tokenizer.base import Tokenizer
from llama_np.weights import shapes

from ..layout import names_elsewhere
from ..opened import OpenedModel, TensorOnDisk
from ..tokenizers import load_tokenizer
from ..tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer
from .config_json import even_share

HEADER = struct.Struct("<7i")
MAGIC = b"24ka"  # of the later versions: "ak42" as a little-endian number
LATER = struct.Struct("<4si7iB")  # magic, version, the same seven, whether the output is tied
LATER_SIZE = 256

# Whole models lie role by role: every wq, then every wk. Cosines and sines follow from the config.
ANGLES = "angles"
LEGACY_ORDER = (
    "embedding", "attn_norm", "wq", "wk", "wv", "wo", "ffn_norm", "w_gate", "w_down", "w_up",
    "norm", ANGLES, "output",
)  # fmt: skip
VERSION_1_ORDER = (
    "attn_norm", "ffn_norm", "norm", "embedding", "wq", "wk", "wv", "wo", "w_gate", "w_down",
    "w_up", "output",
)  # fmt: skip


class Header(NamedTuple):
    """What a file says at its beginning, and in which order the arrays follow it."""

    config: LlamaConfig
    order: tuple[str, ...]
    size: int  # in bytes


def open_llama2c(file: Path) -> OpenedModel:
    """A model of llama2.c, mapped: the legacy export or version 1, both in float32.

    Version 2, which is quantised, is refused. Raises ``FileNotFoundError`` or ``ValueError`` with
    the file, what was expected and what came.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}; expected a model of llama2.c")
    with file.open("rb") as opened:
        beginning = opened.read(LATER_SIZE)
    try:
        header = read_header(beginning)
        refuse_size(header, file.stat().st_size)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return OpenedModel(
        path=file,
        format="llama2.c",
        config=header.config,
        stored=map_arrays(file, header),
        rotate_half=False,
        read_tokenizer=lambda: read_tokenizer(file, header.config.vocab_size),
    )


def read_header(beginning: bytes) -> Header:
    """The config from the first bytes of a file; a negative vocabulary says: not tied."""
    if len(beginning) < HEADER.size:
        raise ValueError("too short for the header of a llama2.c model; get it again")
    if beginning.startswith(MAGIC):
        if len(beginning) < LATER_SIZE:
            raise ValueError("cut off within the header; get it again")
        _, version, *numbers, tied = LATER.unpack_from(beginning)
        if version != 1:
            raise ValueError(
                f"a llama2.c model of version {version}; only the legacy export and version 1 are "
                "read, both in float32 (version 2 is quantised)"
            )
        return Header(to_config(numbers, bool(tied)), VERSION_1_ORDER, LATER_SIZE)
    numbers = list(HEADER.unpack_from(beginning))
    tied = numbers[5] > 0
    numbers[5] = abs(numbers[5])
    return Header(to_config(numbers, tied), LEGACY_ORDER, HEADER.size)


def to_config(numbers: list[int], tied: bool) -> LlamaConfig:
    """The seven numbers, and what llama2.c takes for granted."""
    dim, ffn_width, n_layers, n_heads, n_kv_heads, vocab_size, context_length = numbers
    try:
        return LlamaConfig(
            dim=dim,
            n_layers=n_layers,
            n_heads=n_heads,
            n_kv_heads=n_kv_heads,
            head_dim=even_share(dim, n_heads),
            ffn_width=ffn_width,
            vocab_size=vocab_size,
            context_length=context_length,
            norm_eps=1e-5,
            rope_theta=10000.0,
            rope_scaling=None,
            tied_output=tied,
        )
    except ValueError as error:
        raise ValueError(
            f"no model of llama2.c, or damaged ({error}); a .bin file of PyTorch is not read: look "
            "for safetensors of the same model"
        ) from None


def refuse_size(header: Header, n_bytes: int) -> None:
    """Raise unless the file is exactly as long as its header demands."""
    config = header.config
    numbers = config.count_parameters() + (count_angles(config) if ANGLES in header.order else 0)
    expected = header.size + 4 * numbers
    if n_bytes != expected:
        raise ValueError(
            f"its header {config.dim, config.ffn_width, config.n_layers} (width, feed-forward "
            f"width, layers) asks for {expected} bytes, but it has {n_bytes}: cut off, damaged, or "
            "no model of llama2.c"
        )


def count_angles(config: LlamaConfig) -> int:
    """A cosine and a sine for every pair at every position."""
    return config.context_length * config.head_dim


def map_arrays(file: Path, header: Header) -> dict[str, TensorOnDisk]:
    """Every array where it lies, by our name."""
    numbers = np.memmap(file, "<f4", mode="r", offset=header.size)
    stored, start = {}, 0
    for role in header.order:
        if role == ANGLES:
            start += count_angles(header.config)
        for name, shape in shapes(header.config).items():
            if name.rpartition(".")[2] == role:
                array = numbers[start:][: int(np.prod(shape))].view(np.ndarray)
                rows = array.reshape(shape if name == "embedding" else shape[::-1])
                theirs = names_elsewhere(name).meta  # llama2.c's classes have Meta's names
                stored[name] = TensorOnDisk(theirs, file, "F32", rows, rows.nbytes)
                start += rows.size
    return stored


def read_tokenizer(file: Path, vocab_size: int) -> Tokenizer | None:
    """``tok512.bin`` beside a model of 512 tokens, as llama2.c names it; else the folder's own."""
    own = file.with_name(f"tok{vocab_size}.bin")
    if not own.is_file():
        return load_tokenizer(file.parent, vocab_size)
    tokenizer = SentencePieceTokenizer.from_llama2c(own)
    if tokenizer.vocab_size != vocab_size:
        raise ValueError(f"{own}: expected {vocab_size} tokens, got {tokenizer.vocab_size}")
    return tokenizer
