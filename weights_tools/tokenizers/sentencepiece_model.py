"""The files of SentencePiece vocabularies: `tokenizer.model`, and llama2.c's `tokenizer.bin`.

Both are lists of pieces. Here they become `Piece`s, and pieces become a `tokenizer.model` again.
The few fields needed of the protobuf message are read and written by hand: a damaged file then ends
in one line and never reaches native code, and the `protobuf` package is not needed.

Source: github.com/google/sentencepiece, src/sentencepiece_model.proto;
protobuf.dev/programming-guides/encoding
"""

import re
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # SentencePiece.Type
SPACE = "▁"  # U+2581: how a piece writes a space
_BPE = 2  # TrainerSpec.ModelType
_LENGTH_DELIMITED, _FIXED32 = 2, 5  # wire types


class Piece(NamedTuple):
    """One entry of the vocabulary, its id being its place; the higher the score the sooner."""

    text: str
    score: float
    kind: int = NORMAL


class PieceList(NamedTuple):
    """What a file holds. `dummy_prefix`: a text is encoded with a space put in front of it.

    `metaspace`, instead: only in front of a text that begins with none, "always" or "first" (not
    behind special tokens). Both: a space at the start is doubled, and "always" does the rest.

    `late`: names of special tokens that are looked for when the space in front is there already,
    and in the form that a text of the name alone then has; what follows them is left as it is.

    A tokenizer.model can say only the first of these, a tokenizer.json all of them.
    """

    pieces: list[Piece]
    bos: str | None = "<s>"
    eos: str | None = "</s>"
    dummy_prefix: bool = True
    metaspace: str | None = None
    late: frozenset[str] = frozenset()


def parse_model(data: bytes) -> PieceList:
    """Read the contents of a `tokenizer.model`.

    Raises ValueError for what is no such message, and for models of another kind than Llama 2's:
    unigram, without the bytes to fall back on, or changing the text before they encode it.
    """
    message = list(_fields(data))
    pieces = [_piece(value) for number, value in message if number == 1]
    trainer = dict(_fields(_last_message(message, 2)))
    normalizer = dict(_fields(_last_message(message, 3)))
    denormalizer = dict(_fields(_last_message(message, 5)))
    if trainer.get(3, 1) != _BPE or not trainer.get(35, 0):
        raise ValueError("expected byte-pair encoding with byte_fallback, as in Llama 2")
    if normalizer.get(2) or denormalizer.get(2) or normalizer.get(4, 1):
        raise ValueError("expected a model that leaves the text as it is, got one with rules")
    if not normalizer.get(5, 1) or trainer.get(24, 0):
        raise ValueError("expected spaces as part of the piece behind them, as in Llama 2")
    bos, eos = (_text(trainer.get(n, name)) for n, name in ((46, b"<s>"), (47, b"</s>")))
    return PieceList(pieces, bos, eos, bool(normalizer.get(3, 1)))


def model_bytes(pieces: PieceList) -> bytes:
    """The contents of a `tokenizer.model` that `parse_model` and sentencepiece read."""
    texts = [piece.text for piece in pieces.pieces]
    kinds = [piece.kind for piece in pieces.pieces]
    unknown = kinds.index(UNKNOWN)
    trainer = _number(3, _BPE) + _number(4, len(texts)) + _number(35, 1) + _number(40, unknown)
    trainer += _bytes(45, texts[unknown].encode())
    for id_field, name in ((41, pieces.bos), (42, pieces.eos)):
        trainer += _number(id_field, texts.index(name) if name in texts else -1)
        trainer += _bytes(id_field + 5, name.encode()) if name in texts else b""
    trainer += _number(43, -1)  # no padding
    normalizer = _bytes(1, b"identity") + _number(3, pieces.dummy_prefix) + _number(4, 0)
    one_by_one = (
        _bytes(1, _bytes(1, text.encode()) + b"\x15" + struct.pack("<f", score) + _number(3, kind))
        for text, score, kind in pieces.pieces
    )
    return b"".join(one_by_one) + _bytes(2, trainer) + _bytes(3, normalizer + _number(5, 1))


def parse_llama2c(data: bytes) -> PieceList:
    r"""Read the contents of llama2.c's `tokenizer.bin`.

    An int32, the length of the longest token, then for each token a float32 score, its int32 length
    and its bytes. Its pieces are already readable: spaces instead of ▁, and line ends around <s>
    and </s>, ids 1 and 2. The count of tokens is not in the file; it is read to its end.

    Source: export in github.com/karpathy/llama2.c, tokenizer.py
    """
    if len(data) < 4:
        raise ValueError("expected llama2.c's tokenizer.bin, got fewer than 4 bytes")
    longest, at, pieces, lengths = struct.unpack_from("<i", data)[0], 4, [], [0]
    while at < len(data):
        if len(data) - at < 8:
            raise ValueError(f"token {len(pieces)} is cut off; download the file again")
        score, length = struct.unpack_from("<fi", data, at)
        if not 0 <= length <= min(longest, len(data) - at - 8):
            raise ValueError(f"token {len(pieces)} cannot have a length of {length} bytes")
        pieces.append(_readable_piece(len(pieces), data[at + 8 : at + 8 + length], score))
        lengths.append(length)
        at += 8 + length
    if max(lengths) != longest:
        raise ValueError(f"expected a longest token of {longest} bytes, got {max(lengths)}")
    return PieceList(pieces)


def _readable_piece(token_id: int, data: bytes, score: float) -> Piece:
    text = _text(data)
    if token_id < 3:
        return Piece(text.strip("\n"), score, UNKNOWN if token_id == 0 else CONTROL)
    kind = BYTE if re.fullmatch("<0x[0-9A-F]{2}>", text) else NORMAL
    return Piece(text.replace(" ", SPACE), score, kind)


def _piece(data: object) -> Piece:
    fields = dict(_fields(data))
    score = fields.get(2, b"\0\0\0\0")
    kind = fields.get(3, NORMAL)
    if not isinstance(score, bytes) or len(score) != 4 or not isinstance(kind, int):
        raise ValueError("a piece without a score or type that can be read")
    return Piece(_text(fields.get(1, b"")), struct.unpack("<f", score)[0], kind)


def _last_message(message: Sequence[tuple[int, object]], wanted: int) -> object:
    return next((value for number, value in reversed(message) if number == wanted), b"")


def _text(data: object) -> str:
    if not isinstance(data, bytes):
        raise ValueError("expected text, got a number")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"expected text in UTF-8, got {data[:20]!r}") from None


def _fields(data: object) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: a varint as an int, everything else as its bytes."""
    if not isinstance(data, bytes):
        raise ValueError("expected a message, got a number")
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        length, at = (
            _varint(data, at) if wire == _LENGTH_DELIMITED else ({1: 8, 5: 4}.get(wire), at)
        )
        if length is None or length > len(data) - at:
            raise ValueError(
                "expected a SentencePiece model, got a damaged file; download it again"
            )
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first, with the highest bit set where more follow."""
    value = 0
    for i, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, at + i + 1
    raise ValueError("expected a SentencePiece model, got a damaged file; download it again")


def _number(field: int, value: int) -> bytes:
    value &= (1 << 64) - 1  # protobuf writes -1 in ten bytes
    return _raw_varint(field << 3) + _raw_varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _raw_varint(field << 3 | _LENGTH_DELIMITED) + _raw_varint(len(value)) + value


def _raw_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
