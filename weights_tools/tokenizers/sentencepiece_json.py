"""Write a SentencePieceTokenizer as Llama 2's folders have it: tokenizer.model, tokenizer.json.

`transformers.AutoTokenizer.from_pretrained(folder)` opens the result and gives the same ids.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from llama_np.config import brief

from ..writing import replacing, write_json
from .sentencepiece_model import NORMAL, SPACE, UNKNOWN, Piece, model_bytes
from .sentencepiece_tokenizer import SentencePieceTokenizer
from .tokenizer_json import added_tokens, begin_of_text, tokenizer_config


def merges_of_pieces(pieces: Iterable[Piece]) -> list[tuple[str, str]]:
    """Every way to join two pieces into a third, the one with the highest score first.

    sentencepiece takes the leftmost of equal scores; a list of merges cannot say that. Llama 2 has
    equal scores for runs of spaces only, where the longest first comes to the same.

    Raises ValueError for equal scores of other pieces.

    Source: generate_merges in transformers, convert_slow_tokenizer.py

    >>> merges_of_pieces([Piece("a", -3), Piece("b", -4), Piece("ab", -2), Piece("aba", -1)])
    [('ab', 'a'), ('a', 'b')]
    """
    scores = {piece.text: piece.score for piece in pieces if piece.kind == NORMAL}
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
                "score, which a list of merges cannot say; keep the source's own tokenizer.json"
            )
    merges.sort(key=lambda merge: (-merge[0], -merge[1], -len(merge[3])))
    return [(left, right) for *_, left, right in merges]


def sentencepiece_json(tokenizer: SentencePieceTokenizer) -> dict:
    """The content of tokenizer.json, laid out as beside Llama-2-7b-hf on huggingface.co."""
    pieces, dummy_prefix = tokenizer.piece_list.pieces, tokenizer.piece_list.dummy_prefix
    unknown = next(piece.text for piece in pieces if piece.kind == UNKNOWN)
    to_space = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    from_space = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    prepend = [{"type": "Prepend", "prepend": SPACE}] * dummy_prefix
    scheme = tokenizer.piece_list.metaspace
    metaspace = {
        "type": "Metaspace",
        "replacement": SPACE,
        "prepend_scheme": scheme,
        "split": False,
    }
    puts_space = dummy_prefix or scheme is not None
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] * puts_space
    decoders = [to_space, {"type": "ByteFallback"}, {"type": "Fuse"}, *strip]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens(tokenizer),
        "normalizer": {"type": "Sequence", "normalizers": [*prepend, from_space]}
        if scheme is None
        else None,
        "pre_tokenizer": None if scheme is None else metaspace,
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


def write_sentencepiece(
    tokenizer: SentencePieceTokenizer,
    folder: str | os.PathLike,
    model_max_length: int | None = None,
) -> None:
    """Write tokenizer.model, tokenizer.json and tokenizer_config.json into an existing folder.

    No tokenizer.model where that could not say the same.
    Raises ValueError, before anything is written, where tokenizer.json could not say the same.
    """
    folder = Path(folder)
    content = sentencepiece_json(tokenizer)
    config = tokenizer_config(tokenizer, model_max_length)
    config["unk_token"] = content["model"]["unk_token"]
    if tokenizer.piece_list.metaspace is None:
        with replacing(folder / "tokenizer.model") as beside:
            beside.write_bytes(model_bytes(tokenizer.piece_list))
    write_json(content, folder / "tokenizer.json")
    write_json(config, folder / "tokenizer_config.json")
