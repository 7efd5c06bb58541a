"""SentencePiece as in Llama 2: from its own file, llama2.c's, or a GGUF file's lists of pieces.

The `sentencepiece` package encodes, whatever the pieces come from: they are put together to a
model of its own format first. So any of them can be written as a `tokenizer.model`.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from llama_np.config import brief
from llama_np.tokenizer.base import Tokenizer, cut_at

from ..reading import TABLE, read_bytes
from .sentencepiece_model import (
    BYTE,
    CONTROL,
    NORMAL,
    SPACE,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Piece,
    PieceList,
    model_bytes,
    parse_llama2c,
    parse_model,
)
from .special_tokens import is_name


class SentencePieceTokenizer(Tokenizer):
    """Text to ids and back by the pieces of a SentencePiece model with bytes to fall back on.

    Encoding puts a space before a text (`dummy_prefix`), so that a word has the same id at the
    start as in the middle. Decoding cannot know whether ids start a text or continue one. It takes
    every token as it is: the texts of ids one by one join to the text of all of them, a
    continuation keeps its space, and `decode(encode(text)) == " " + text`. Where ids are known to
    start a text, `[1:]` takes the space off. With `allow_special` each stretch between special
    tokens has its own space, as in Meta's dialogs, where every message is encoded apart.

    Files that transformers 5 writes have another rule (`metaspace`): the space is put only before a
    text that does not begin with one, and with "first" only once, not behind special tokens too.
    `late` names are found only where that space, or one in the text, stands before them.

    What does not come back: a text's own ▁ (U+2581), which the format cannot tell from a space.

    User-defined pieces (which sentencepiece would find in any text) become special tokens, so that
    their names stay ordinary text.

    Raises ValueError for pieces that are no such model, and without the package `sentencepiece`.
    Twin: `sentencepiece.SentencePieceProcessor`.
    """

    def __init__(self, piece_list: PieceList, stop: Iterable[str | int] = ()):
        pieces = [_without_user_defined(piece) for piece in piece_list.pieces]
        _check(pieces)
        self.piece_list, self.late = piece_list._replace(pieces=pieces), piece_list.late
        special = {p.text: i for i, p in enumerate(pieces) if p.kind in (UNKNOWN, CONTROL)}
        super().__init__(
            {i: _bytes_of_piece(p) for i, p in enumerate(pieces) if p.kind in (NORMAL, BYTE)},
            special,
            piece_list.bos,
            piece_list.eos,
            stop,
        )
        # Without a dummy prefix of its own: a stretch may have its space already.
        self._engine = _engine(model_bytes(self.piece_list._replace(dummy_prefix=False)))

    @classmethod
    def from_file(cls, path: str | os.PathLike) -> "SentencePieceTokenizer":
        """Read a SentencePiece `tokenizer.model`."""
        return _read(path, parse_model)

    @classmethod
    def from_llama2c(cls, path: str | os.PathLike) -> "SentencePieceTokenizer":
        """Read llama2.c's `tokenizer.bin`."""
        return _read(path, parse_llama2c)

    def _encode_named(self, text: str, guard: str) -> list[int]:
        ids, early = [], self.special_tokens.keys() - self.late
        for i, stretch in enumerate(cut_at(text, early)):
            if stretch in early:
                ids.append(self.special_tokens[stretch])
            else:
                ids += self._encode_between(stretch, guard, at_start=i == 0)
        return ids

    def _encode_between(self, stretch: str, guard: str, at_start: bool) -> list[int]:
        """The ids of a text with no names in it but late ones."""
        ids = []
        late = {self._normalized(n): self.special_tokens[n] for n in self.late}
        for i, part in enumerate(cut_at(self._normalized(stretch), late)):
            if part in late:
                ids.append(late[part])
            else:
                part = part.replace(guard, "") if guard else part
                ids += self._encode_normalized(part, at_start and i == 0)
        return ids

    def _encode_ordinary(self, text: str, at_start: bool) -> list[int]:
        return self._encode_normalized(self._normalized(text), at_start)

    def _normalized(self, text: str) -> str:
        """A text with the space in front that `dummy_prefix` gives it."""
        rule, text = self.piece_list, text.replace(" ", SPACE)
        wanted = rule.dummy_prefix and (rule.metaspace is None or text.startswith(SPACE))
        return SPACE + text if wanted and text else text

    def _encode_normalized(self, text: str, at_start: bool) -> list[int]:
        """The ids of a text, with the space in front that `metaspace` gives it."""
        scheme = self.piece_list.metaspace
        wanted = scheme == "always" or (scheme == "first" and at_start)
        if wanted and text and not text.startswith(SPACE):
            text = SPACE + text
        return self._engine.encode(text, out_type=int, add_bos=False, add_eos=False)


def _read(path: str | os.PathLike, parse: Callable[[bytes], PieceList]) -> SentencePieceTokenizer:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a tokenizer, found no file {path}; download one")
    try:
        return SentencePieceTokenizer(parse(read_bytes(path, TABLE)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _engine(model: bytes):
    try:
        import sentencepiece
    except ImportError:
        raise ValueError("this tokenizer needs a package: pip install sentencepiece") from None
    try:
        return sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError as error:  # such as pieces of thousands of characters
        raise ValueError(f"the package sentencepiece refuses these pieces: {error}") from None


def _without_user_defined(piece: Piece) -> Piece:
    if piece.kind not in (USER_DEFINED, UNUSED):
        return piece
    if not is_name(piece.text):
        raise ValueError(
            f"expected user-defined pieces to be names like <...>, got {brief.repr(piece.text)}"
        )
    return piece._replace(kind=CONTROL)


def _check(pieces: list[Piece]) -> None:
    """Everything that sentencepiece asks of its pieces, so that it never complains in its words."""
    text, often = Counter(piece.text for piece in pieces).most_common(1)[0] if pieces else ("", 0)
    if often != 1:
        raise ValueError(f"expected pieces that differ, got {often} of {brief.repr(text)}")
    for i, piece in enumerate(pieces):
        if not piece.text or "\0" in piece.text or not 1 <= piece.kind <= 6:
            raise ValueError(f"piece {i} has no text or an unknown type: {piece}")
        if not abs(piece.score) < 3e38:  # the limit of float32; neither is NaN below it
            raise ValueError(f"piece {i} ({brief.repr(piece.text)}) has the score {piece.score}")
        if not piece.text.isascii():
            piece.text.encode()  # a lone surrogate is a ValueError
    if [piece.kind for piece in pieces].count(UNKNOWN) != 1:
        raise ValueError("expected exactly one piece of type unknown, as in Llama 2")
    found = {piece.text for piece in pieces if piece.kind == BYTE}
    if found != {f"<0x{byte:02X}>" for byte in range(256)}:
        raise ValueError(f"expected the bytes <0x00> to <0xFF> as pieces, got {len(found)} of them")


def _bytes_of_piece(piece: Piece) -> bytes:
    if piece.kind == BYTE:
        return bytes([int(piece.text[3:5], 16)])
    return piece.text.replace(SPACE, " ").encode()
