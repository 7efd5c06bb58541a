"""Read Hugging Face's tokenizer.json, for the tokenizers that models of Llama's architecture have.

That is byte-level BPE with the pieces of Llama 3, of GPT-2 or of SmolLM2, and BPE with bytes to
fall back on as in Llama 2. Whatever could give other ids than the `tokenizers` library is refused.

Source: github.com/huggingface/tokenizers, tokenizers/src/models/bpe
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llama_np.config import brief
from llama_np.tokenizer.bpe import BPETokenizer

from ..reading import TABLE, read_object
from .merging_order import order_of_merging, out_of_reach
from .sentencepiece_model import BYTE, CONTROL, NORMAL, SPACE, UNKNOWN, Piece, PieceList
from .sentencepiece_tokenizer import SentencePieceTokenizer
from .special_tokens import (
    Ends,
    declared_ends,
    expect,
    late_names,
    need,
    roles_in,
    special_tokens,
    typed,
)
from .tokenizer_json import PRE_TOKENIZERS, byte_letters

UNKNOWN_NAME = "<unk>"  # where the file names none, as those that transformers 5 writes


def read_tokenizer_json(path: str | os.PathLike) -> BPETokenizer | SentencePieceTokenizer:
    """Read a tokenizer.json, and the begin and end tokens that files beside it declare.

    `bos` is what transformers puts in front of a text, so None for SmolLM2, which names a begin
    token and does not use it (compared with transformers 5.24). Added tokens are special tokens
    here, whatever the file calls them.

    Raises FileNotFoundError, ValueError with the file's name for what is damaged or not supported.
    """
    path = Path(path)
    values = read_object(path, TABLE)
    try:
        return tokenizer_from(values, path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def tokenizer_from(
    values: Mapping[str, Any], folder: Path, usual_eos: str | None = None
) -> BPETokenizer | SentencePieceTokenizer:
    """A tokenizer from the content of a tokenizer.json, with what files in its folder declare."""
    model = need(values, "model", dict)
    refuse_other_models(model)
    special = roles_in(need(model, "vocab", dict), folder)
    special |= special_tokens(values.get("added_tokens"))
    late = late_names(values.get("added_tokens") or [], folder)
    ids = _vocabulary(model, special)
    ends = declared_ends(folder, special, values, usual_eos=usual_eos)
    merges = pairs_of(need(model, "merges", list))
    if model.get("byte_fallback"):
        return sentencepiece_from(values, ids, merges, special, ends, late)
    expect(values.get("normalizer") in (None, _sequence("normalizers")), "no normalizer")
    pattern, whole = pattern_of(values.get("pre_tokenizer")), bool(model.get("ignore_merges"))
    tokenizer = byte_level(ids, merges, special, pattern, whole, ends)
    tokenizer.late = late
    return tokenizer


def byte_level(
    ids: Mapping[str, int],
    merges: list[tuple[str, str]],
    special: Mapping[str, int],
    pattern: str,
    whole_pieces: bool,
    ends: Ends,
) -> BPETokenizer:
    """A BPETokenizer from a vocabulary and merges in byte letters.

    Raises ValueError where tokens and merges do not fit each other, or ranks cannot say the same.
    """
    byte_of = {letter: byte for byte, letter in byte_letters().items()}
    in_bytes = {}
    for token in ids:
        if not token or not all(letter in byte_of for letter in token):
            raise ValueError(f"expected tokens in byte letters, got {brief.repr(token)}")
        in_bytes[token] = bytes([byte_of[letter] for letter in token])
    for merge in merges:
        if not all(token in in_bytes for token in merge):
            raise ValueError(f"the merge {brief.repr(merge)} is not one of two tokens")
    pairs = [(in_bytes[left], in_bytes[right]) for left, right in merges]
    ids = {in_bytes[token]: i for token, i in ids.items()}
    tokens = order_of_merging(ids, pairs, whole_pieces) if ids else []
    tokens += [bytes([byte]) for byte in range(256) if bytes([byte]) not in ids]
    ranks = {token: rank for rank, token in enumerate(tokens)}
    return BPETokenizer(ranks, special, ids=ids, pattern=pattern, **ends._asdict())


def sentencepiece_from(
    values: Mapping[str, Any],
    ids: Mapping[str, int],
    merges: list[tuple[str, str]],
    special: Mapping[str, int],
    ends: Ends,
    late: frozenset[str] = frozenset(),
) -> SentencePieceTokenizer:
    """Llama 2's kind of tokenizer.json: each piece gets a score by its place among the merges.

    The space in front is that of the file. transformers 5.24 takes another where the folder says
    `"tokenizer_class": "LlamaTokenizer"` (or Fast): it leaves the normalizer out and puts the space
    before the first stretch alone, as its maintainers want it:
    https://github.com/huggingface/transformers/pull/47700

    Raises ValueError for other normalizers and for tokens that no merge makes.
    """
    dummy_prefix, metaspace = space_in_front(values.get("normalizer"), values.get("pre_tokenizer"))
    if dummy_prefix and not late:
        metaspace = None  # which comes to the same
    expect(not values["model"].get("ignore_merges"), "no ignore_merges beside byte_fallback")
    names = {f"<0x{byte:02X}>" for byte in range(256)}
    normal = {token: i for token, i in ids.items() if token not in names}
    order = order_of_merging(normal, merges, whole_pieces=False) if normal else []
    order += out_of_reach(normal, merges, order)
    scores = {token: -float(i) for i, token in enumerate(order)}
    unknown = values["model"].get("unk_token") or UNKNOWN_NAME
    by_id: dict[int, Piece] = {}
    for token, i in {**ids, **special}.items():
        kind = UNKNOWN if token == unknown else CONTROL if token in special else NORMAL
        kind = BYTE if token in names else kind
        by_id[i] = Piece(token, scores.get(token, 0.0), kind)
    if by_id.keys() != set(range(len(ids) + len(special))):
        raise ValueError("expected ids from 0 on without gaps, each of one token")
    pieces = [by_id[i] for i in range(len(by_id))]
    piece_list = PieceList(pieces, ends.bos, ends.eos, dummy_prefix, metaspace, late)
    return SentencePieceTokenizer(piece_list, ends.stop)


def refuse_other_models(model: Mapping[str, Any]) -> None:
    """Raise ValueError for what is not plain byte-pair encoding."""
    kind = model.get("type", "BPE")  # old files do not say
    expect(kind == "BPE", f"the model type BPE, got {brief.repr(kind)}")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        expect(model.get(key) in (None, "", 0.0), f"no {key}, got {brief.repr(model.get(key))}")


def pattern_of(pre_tokenizer: object) -> str:
    """Our pattern for a `pre_tokenizer`; ValueError for one that cuts text in another way."""
    steps = pre_tokenizer if isinstance(pre_tokenizer, dict) else {}
    steps = steps.get("pretokenizers") if steps.get("type") == "Sequence" else [steps]
    for pattern, ours in PRE_TOKENIZERS.items():
        if _without_offsets(steps) == _without_offsets(ours):
            return pattern
    raise ValueError(
        f"expected the pre_tokenizer of Llama 3, GPT-2 or SmolLM2, got {brief.repr(pre_tokenizer)}"
    )


def pairs_of(merges: list) -> list[tuple[str, str]]:
    """The merges, which older files write as "a b" and newer ones as ["a", "b"]."""
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    for merge in merges:
        if not isinstance(merge, list) or [type(part) for part in merge] != [str, str]:
            raise ValueError(f"expected merges of two tokens, got {brief.repr(merge)}")
    return [(left, right) for left, right in merges]


def _vocabulary(model: Mapping[str, Any], special: Mapping[str, int]) -> dict[str, int]:
    """The ordinary tokens and their ids."""
    vocab = need(model, "vocab", dict)
    for token, i in vocab.items():
        typed(i, int, f"the id of {brief.repr(token)}")
        if special.get(token, i) != i:
            raise ValueError(
                f"{brief.repr(token)} has the id {i} in vocab, {special[token]} as added token"
            )
    return {token: i for token, i in vocab.items() if token not in special}


def space_in_front(normalizer: object, pre_tokenizer: object) -> tuple[bool, str | None]:
    """Whether a ▁ is put before every text, or by which of Metaspace's schemes where it has none.

    Three spellings: Llama 2's normalizer, a Metaspace that leaves the text in one piece, and the
    two together, where the normalizer doubles a ▁ at the start, and Metaspace puts one before the
    others: between names of special tokens that comes to the same as the first, and behind a name
    in a text that is normalized already it does not. ValueError for others.
    """
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    prepend = {"type": "Prepend", "prepend": SPACE}
    double = {"type": "Replace", "pattern": {"Regex": rf"\A{SPACE}"}, "content": SPACE * 2}
    steps = _steps(normalizer, "normalizers")
    cutting = _steps(pre_tokenizer, "pretokenizers")
    if not cutting and steps in ([replace], [prepend, replace]):
        return len(steps) == 2, None
    scheme = cutting[0].get("prepend_scheme") if len(cutting) == 1 else None
    metaspace = {
        "type": "Metaspace",
        "replacement": SPACE,
        "prepend_scheme": scheme,
        "split": False,
    }
    if cutting == [metaspace] and scheme in ("always", "first", "never"):
        if not steps:
            return False, None if scheme == "never" else scheme
        if steps == [replace, double] and scheme == "always":
            return True, scheme
    raise ValueError(
        "expected the normalizer of Llama 2 beside byte_fallback, or a Metaspace that does not "
        f"split, got {brief.repr([normalizer, pre_tokenizer])}"
    )


def _steps(described: object, key: str) -> list[dict]:
    """The steps of a normalizer or pre-tokenizer: none, one, or a sequence."""
    if described is None:
        return []
    steps = [typed(described, dict, key)]
    if described.get("type") == "Sequence":
        steps = need(described, key, list)
    return [typed(step, dict, f"a step of {key}") for step in steps]


def _sequence(key: str, *steps: dict) -> dict:
    return {"type": "Sequence", key: [*steps]}


def _without_offsets(steps: object) -> object:
    """`trim_offsets` changes no id."""
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        return None
    defaults = {"use_regex": True}  # files older than this option do not name it
    return [
        {
            k: v
            for k, v in ({**defaults, **step} if step.get("type") == "ByteLevel" else step).items()
            if k != "trim_offsets"
        }
        for step in steps
    ]
