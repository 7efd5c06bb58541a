"""Write a SentencePieceTokenizer as Llama 2's folders have it: tokenizer.model, tokenizer.json.

`transformers.AutoTokenizer.from_pretrained(folder)` opens the result and gives the same ids.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from llama_np.config import brief

from ..writing import replacing, write_json
from .sentencepiece_model import NORMAL, SPACE, UNKNOWN, Piece, PieceList, model_bytes
from .sentencepiece_tokenizer import SentencePieceTokenizer
from .tokenizer_json import added_tokens, begin_of_text, tokenizer_config


def merges_of_pieces(pieces: Iterable[Piece]) -> list[tuple[str, str]]:
    """Every way to join two pieces into a third, the one with the highest score first.

    sentencepiece takes the leftmost of equal scores; a list of merges cannot say that. Llama 2 has
    equal scores for runs of spaces only, where the longest first comes to the same.

    sentencepiece starts from any characters, a list of merges from those that are pieces.

    Raises ValueError for equal scores of other pieces, and for characters that are none.

    Source: generate_merges in transformers, convert_slow_tokenizer.py

    >>> merges_of_pieces([Piece("a", -3), Piece("b", -4), Piece("ab", -2), Piece("aba", -1)])
    [('ab', 'a'), ('a', 'b')]
    """
    scores = {piece.text: piece.score for piece in pieces if piece.kind == NORMAL}
    for text in scores:
        for character in text:
            if character not in scores:
                raise ValueError(
                    f"the piece {brief.repr(text)} has the character {brief.repr(character)}, "
                    "which is no piece, and a list of merges cannot start from it"
                )
    merges = [
        (score, cut, text[:cut], text[cut:])
        for text, score in scores.items()
        for cut in range(1, len(text))
        if text[:cut] in scores and text[cut:] in scores
    ]
    of_score: dict[float, str] = {}
    for score, _, left, right in merges:
        other = of_score.setdefault(score, left + right)
        if other != left + right and len(set(other + left + right)) > 1:
            raise ValueError(
                f"the pieces {brief.repr(other)} and {brief.repr(left + right)} have the same "
                "score, which a list of merges cannot say"
            )
    merges.sort(key=lambda merge: (-merge[0], -merge[1], -len(merge[3])))
    return [(left, right) for *_, left, right in merges]


def sentencepiece_json(tokenizer: SentencePieceTokenizer) -> dict:
    """The content of tokenizer.json, laid out as beside Llama-2-7b-hf on huggingface.co."""
    pieces, dummy_prefix = tokenizer.piece_list.pieces, tokenizer.piece_list.dummy_prefix
    unknown = next(piece.text for piece in pieces if piece.kind == UNKNOWN)
    to_space = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    normalizer, pre_tokenizer = space_to_json(tokenizer.piece_list)
    puts_space = dummy_prefix or pre_tokenizer is not None
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] * puts_space
    decoders = [to_space, {"type": "ByteFallback"}, {"type": "Fuse"}, *strip]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens(tokenizer),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": begin_of_text(tokenizer),
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": unknown,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece.text: i for i, piece in enumerate(pieces)},
            "merges": [f"{left} {right}" for left, right in merges_of_pieces(pieces)],
        },
    }


def space_to_json(rule: PieceList) -> tuple[dict | None, dict | None]:
    """The normalizer and the pre_tokenizer that put the space in front."""
    from_space = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    prepend = {"type": "Prepend", "prepend": SPACE}
    double = {"type": "Replace", "pattern": {"Regex": rf"\A{SPACE}"}, "content": SPACE * 2}
    if rule.metaspace is None:
        steps = [prepend, from_space] if rule.dummy_prefix else [from_space]
        return {"type": "Sequence", "normalizers": steps}, None
    metaspace = {"type": "Metaspace", "replacement": SPACE, "split": False}
    metaspace["prepend_scheme"] = rule.metaspace
    doubling = {"type": "Sequence", "normalizers": [from_space, double]}
    return doubling if rule.dummy_prefix else None, metaspace


def write_sentencepiece(
    tokenizer: SentencePieceTokenizer,
    folder: str | os.PathLike,
    model_max_length: int | None = None,
) -> str | None:
    """Write tokenizer.model, tokenizer.json and tokenizer_config.json into an existing folder.

    Of the first two only what can say the same. Returns a line where there is no tokenizer.json:
    transformers makes one of a tokenizer.model alone, which may then give other ids. Nothing is
    written where neither can say the same.
    """
    folder, rule = Path(folder), tokenizer.piece_list
    in_a_model = rule.metaspace is None and not rule.late
    config = tokenizer_config(tokenizer, model_max_length)
    config["unk_token"] = next(piece.text for piece in rule.pieces if piece.kind == UNKNOWN)
    content = lacking = None
    try:
        content = sentencepiece_json(tokenizer)
    except ValueError as error:
        written = "only a tokenizer.model is" if in_a_model else "no tokenizer is"
        lacking = f"{written} written, without a tokenizer.json: {error}"
        config |= {"tokenizer_class": "LlamaTokenizer", "legacy": True}
        config["add_bos_token"] = tokenizer.bos is not None
    if in_a_model:
        with replacing(folder / "tokenizer.model") as beside:
            beside.write_bytes(model_bytes(rule))
    if content is not None:
        write_json(content, folder / "tokenizer.json")
    if in_a_model or content is not None:
        write_json(config, folder / "tokenizer_config.json")
    return lacking
