"""A folder with SentencePiece's tokenizer.model, and the JSON files that add to it."""

from collections.abc import Mapping
from pathlib import Path

from llama_np.config import brief

from .sentencepiece_model import CONTROL, Piece, PieceList
from .sentencepiece_tokenizer import SentencePieceTokenizer
from .special_tokens import added_beside, declared_ends, object_beside


def read_sentencepiece(path: Path, folder: Path) -> SentencePieceTokenizer:
    """Pieces, with the special tokens that fine-tuning added behind them.

    A folder with a tokenizer.json is read by that alone: see ``read_tokenizer_json``.
    """
    tokenizer = SentencePieceTokenizer.from_file(path)
    own = tokenizer.piece_list
    try:
        added = added_beside(folder)
        pieces = with_added(own.pieces, added)
        special = tokenizer.special_tokens | added
        ends = declared_ends(folder, special, None, tokenizer.bos, tokenizer.eos)
        piece_list = own._replace(pieces=pieces, bos=ends.bos, eos=ends.eos)
        return SentencePieceTokenizer(spaced_beside(piece_list, folder), ends.stop)
    except ValueError as error:
        named = str(error) if str(error).startswith(str(folder)) else f"{folder}: {error}"
        raise ValueError(named) from None


def with_added(pieces: list[Piece], added: Mapping[str, int]) -> list[Piece]:
    """The pieces, those that were added too: behind them, or special tokens among them."""
    all_of_them, first = list(pieces), len(pieces)
    by_id = sorted((i, name) for name, i in added.items())
    behind = [i for i, _ in by_id if i >= first]
    if behind != list(range(first, first + len(behind))):
        raise ValueError(f"expected added tokens with the ids from {first} on, without gaps")
    for i, name in by_id:
        if i >= first:
            all_of_them.append(Piece(name, 0.0, CONTROL))
        elif i < 0 or pieces[i].text != name:
            raise ValueError(
                f"the added token {brief.repr(name)} has the id {i}, which is another piece"
            )
    return all_of_them


def spaced_beside(piece_list: PieceList, folder: Path) -> PieceList:
    """With the space in front as tokenizer_config.json has it, where there is no tokenizer.json.

    Where it says nothing, the tokenizer.model counts, as in Meta's code: each stretch between
    special tokens has a space of its own. (transformers 5.24 takes `legacy` for false then.)
    """
    config = object_beside(folder, "tokenizer_config.json")
    if config.get("add_prefix_space") is False:
        return piece_list._replace(dummy_prefix=False)
    if config.get("legacy") is False and piece_list.dummy_prefix:
        return piece_list._replace(dummy_prefix=False, metaspace="first")
    return piece_list
