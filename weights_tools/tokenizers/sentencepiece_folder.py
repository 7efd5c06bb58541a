"""A folder with SentencePiece's tokenizer.model, and the JSON files that add to it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llama_np.config import brief

from ..reading import TABLE, read_object
from .read_tokenizer_json import space_in_front
from .sentencepiece_model import CONTROL, Piece, PieceList
from .sentencepiece_tokenizer import SentencePieceTokenizer
from .special_tokens import added_beside, declared_ends, object_beside, special_tokens


def read_sentencepiece(path: Path, folder: Path) -> SentencePieceTokenizer:
    """Pieces, with the special tokens that fine-tuning added behind them.

    They stand in tokenizer.json, or without one in tokenizer_config.json or added_tokens.json.
    """
    tokenizer, described = SentencePieceTokenizer.from_file(path), folder / "tokenizer.json"
    values = read_object(described, TABLE) if described.is_file() else None
    own = tokenizer.piece_list
    try:
        if values is None:
            added = added_beside(folder)
        else:
            added = special_tokens(values.get("added_tokens"))
        pieces = with_added(own.pieces, added)
        special = tokenizer.special_tokens | added
        ends = declared_ends(folder, special, values, tokenizer.bos, tokenizer.eos)
        piece_list = own._replace(pieces=pieces, bos=ends.bos, eos=ends.eos)
        if values is None:
            return SentencePieceTokenizer(spaced_beside(piece_list, folder), ends.stop)
        return SentencePieceTokenizer(spaced(piece_list, values), ends.stop)
    except ValueError as error:
        of_which = folder if values is None else described
        named = str(error) if str(error).startswith(str(folder)) else f"{of_which}: {error}"
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


def spaced(piece_list: PieceList, values: Mapping[str, Any]) -> PieceList:
    """With the space in front as tokenizer.json has it, where its rule is one that we know."""
    try:
        if "normalizer" not in values:
            return piece_list
        dummy_prefix, scheme = space_in_front(values["normalizer"], values.get("pre_tokenizer"))
    except ValueError:
        return piece_list
    return piece_list._replace(dummy_prefix=dummy_prefix, metaspace=scheme)
