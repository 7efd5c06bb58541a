"""A folder with SentencePiece's tokenizer.model, and perhaps a tokenizer.json that adds to it."""

from pathlib import Path

from ..reading import read_object
from .sentencepiece_model import CONTROL, Piece
from .sentencepiece_tokenizer import SentencePieceTokenizer
from .special_tokens import ends_beside, special_tokens


def read_sentencepiece(path: Path, folder: Path) -> SentencePieceTokenizer:
    """Pieces, with the special tokens that fine-tuning added behind them in tokenizer.json."""
    tokenizer, described = SentencePieceTokenizer.from_file(path), folder / "tokenizer.json"
    if not described.is_file():
        return tokenizer
    first = tokenizer.vocab_size
    try:
        added = special_tokens(read_object(described).get("added_tokens"))
        behind = sorted((i, name) for name, i in added.items() if i >= first)
        if [i for i, _ in behind] != list(range(first, first + len(behind))):
            raise ValueError(f"expected added tokens with the ids from {first} on, without gaps")
        more = [Piece(name, 0.0, CONTROL) for _, name in behind]
        ends = ends_beside(described, tokenizer.special_tokens | added)
        pieces = tokenizer.piece_list.pieces + more
        piece_list = tokenizer.piece_list._replace(pieces=pieces, eos=ends.eos or tokenizer.eos)
        return SentencePieceTokenizer(piece_list, ends.stop)
    except ValueError as error:
        named = str(error) if str(error).startswith(str(folder)) else f"{described}: {error}"
        raise ValueError(named) from None
