"""The tokenizer in a GGUF file's metadata."""

from collections.abc import Mapping
from typing import Any

from llama_np.config import brief
from llama_np.tokenizer import Tokenizer
from llama_np.tokenizer.bpe import (
    DIGITS_PATTERN,
    GPT2_PATTERN,
    LLAMA3_PATTERN,
    BPETokenizer,
)

from .chat_template import template_of
from .read_tokenizer_json import byte_level, pairs_of
from .sentencepiece_model import BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED, Piece, PieceList
from .sentencepiece_tokenizer import SentencePieceTokenizer
from .special_tokens import Ends, is_name

# How llama.cpp cuts text under the names of `tokenizer.ggml.pre` that Llamas have, and whether a
# piece that is a token is taken whole. Source: github.com/ggml-org/llama.cpp, src/llama-vocab.cpp
_GGUF_PIECES = {
    **dict.fromkeys(["llama3", "llama-v3", "llama-bpe", "falcon3"], (LLAMA3_PATTERN, True)),
    **dict.fromkeys(["smaug-bpe", "dbrx"], (LLAMA3_PATTERN, False)),
    **dict.fromkeys(
        ["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
        (DIGITS_PATTERN, False),
    ),
    **dict.fromkeys(["gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion"], (GPT2_PATTERN, False)),
}
# Tokens that llama.cpp stops at because of their names, whatever type the file gives them:
# `special_eog_ids` there.
_STOPS = (
    *("<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"),
    *("<|end_of_text|>", "</s>", "<eos>", "[EOS]", "<EOT>", "_<EOT>", "[EOT]"),
    *("<end_of_utterance>", "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    *("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>"),
)


def tokenizer_from_gguf(
    metadata: Mapping[str, Any],
) -> BPETokenizer | SentencePieceTokenizer | None:
    """The tokenizer in a GGUF file's metadata, given as plain values; None where there is none.

    It stops where llama.cpp stops, which knows many of the tokens by name.

    Raises ValueError for another `tokenizer.ggml.model` than "llama" (SentencePiece) and "gpt2"
    (byte-level BPE), for a `tokenizer.ggml.pre` that cuts text in another way than Llama 3, GPT-2
    and SmolLM2, and for lists that are damaged.

    Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer
    """
    values = {
        key.removeprefix("tokenizer.ggml."): value
        for key, value in metadata.items()
        if key.startswith("tokenizer.ggml.")
    }
    kind = values.get("model")
    if kind in (None, "none", "no_vocab"):
        return None
    readers = {"llama": _gguf_sentencepiece, "gpt2": _gguf_byte_level}
    if not isinstance(kind, str) or kind not in readers:
        raise ValueError(
            f"expected a tokenizer.ggml.model of 'llama' or 'gpt2', got {brief.repr(kind)}"
        )
    try:
        tokenizer = readers[kind](values)
    except ValueError as error:
        raise ValueError(f"the tokenizer in the GGUF file: {error}") from None
    source = metadata.get("tokenizer.chat_template")
    tokenizer.chat_template = template_of(source, _names(values, tokenizer))
    return tokenizer


def _names(values: Mapping[str, Any], tokenizer: Tokenizer) -> dict[str, str]:
    """The special tokens that the metadata gives a role, as a chat template calls them."""
    roles = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
    usual = {"bos_token": tokenizer.bos, "eos_token": tokenizer.eos}
    ids = {f"{ours}_token": values.get(f"{theirs}_token_id") for theirs, ours in roles.items()}
    known = range(tokenizer.vocab_size)
    named = {
        role: tokenizer.decode([i]) for role, i in ids.items() if type(i) is int and i in known
    }
    return {role: name for role, name in (usual | named).items() if name is not None}


def _gguf_sentencepiece(values: Mapping[str, Any]) -> SentencePieceTokenizer:
    tokens = _list(values, "tokens", str)
    scores = [0.0] * len(tokens)  # as in llama.cpp, where a file has none
    if "scores" in values:
        scores = _list(values, "scores", (int, float), len(tokens))
    kinds = _kinds(values, tokens)
    if values.get("remove_extra_whitespaces"):
        raise ValueError("expected a model that leaves spaces as they are")
    kinds = [CONTROL if token in _STOPS else k for token, k in zip(tokens, kinds, strict=True)]
    pieces = [Piece(*piece) for piece in zip(tokens, scores, kinds, strict=True)]
    ends = _gguf_ends(values, tokens, add_bos=True, bos=1, eos=2)
    dummy_prefix = bool(values.get("add_space_prefix", True))
    return SentencePieceTokenizer(PieceList(pieces, ends.bos, ends.eos, dummy_prefix), ends.stop)


def _gguf_byte_level(values: Mapping[str, Any]) -> BPETokenizer:
    pre = values.get("pre")
    if not isinstance(pre, str) or pre not in _GGUF_PIECES:
        raise ValueError(
            f"expected a tokenizer.ggml.pre among {[*_GGUF_PIECES]}, got {brief.repr(pre)}"
        )
    pattern, whole_pieces = _GGUF_PIECES[pre]
    tokens = _list(values, "tokens", str)
    kinds = _kinds(values, tokens)
    if len(set(tokens)) != len(tokens):
        raise ValueError("expected tokens that differ, got one of them twice")
    ids, special = {}, {}
    for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
        if kind == USER_DEFINED and not is_name(token):
            raise ValueError(
                f"expected user-defined tokens to be names like <...>, got {brief.repr(token)}"
            )
        (ids if kind == NORMAL and token not in _STOPS else special)[token] = i
    merges = pairs_of(_list(values, "merges", str))
    ends = _gguf_ends(values, tokens, add_bos=whole_pieces)
    return byte_level(ids, merges, special, pattern, whole_pieces, ends)


def _kinds(values: Mapping[str, Any], tokens: list[str]) -> list[int]:
    """The types of the tokens, from their names and the ids with a role where a file has none."""
    if "token_type" in values:
        return _list(values, "token_type", int, len(tokens))
    role = [values.get(f"{name}_token_id") for name in ("bos", "eos", "eot", "eom", "padding")]
    if values["model"] == "llama":
        unknown = values.get("unknown_token_id", 0)
        bytes_ = {f"<0x{byte:02X}>" for byte in range(256)}
        role += [1, 2]
    else:
        unknown, bytes_ = None, set()

    def kind(i: int, token: str) -> int:
        if token in bytes_ or i == unknown:
            return BYTE if token in bytes_ else UNKNOWN
        named = token in _STOPS or (token[:2] == "<|" and token[-2:] == "|>")
        return CONTROL if named or i in role else NORMAL

    return [kind(i, token) for i, token in enumerate(tokens)]


def _gguf_ends(
    values: Mapping[str, Any],
    tokens: list[str],
    add_bos: bool,
    bos: int | None = None,
    eos: int | None = None,
) -> Ends:
    """The ends that the metadata gives by id; `add_bos`, `bos` and `eos` where it is silent.

    An id that no token has counts as silence, as in llama.cpp: files have 4294967295, which is -1,
    or an end of the vocabulary that the model had before it was cut.
    """
    known = range(len(tokens))

    def role(key: str, otherwise: int | None = None) -> int | None:
        i = values.get(f"{key}_token_id", otherwise)
        if i is not None and type(i) is not int:
            raise ValueError(f"expected {key}_token_id as a number, got {brief.repr(i)}")
        return next((each for each in (i, otherwise) if each in known), None)

    first = role("bos", bos) if values.get("add_bos_token", add_bos) else None
    stop = [role("eos", eos), role("eot"), role("eom")]
    first, last = (None if i is None else tokens[i] for i in (first, stop[0]))
    return Ends(first, last, tuple(end for end in (*stop, *_STOPS) if end is not None))


def _list(values: Mapping[str, Any], key: str, kind: type | tuple, length: int | None = None):
    found = values.get(key)
    if not isinstance(found, list) or not all(isinstance(item, kind) for item in found):
        raise ValueError(f"expected tokenizer.ggml.{key} as a list, got {type(found).__name__}")
    if length is not None and len(found) != length:
        raise ValueError(f"expected {length} entries in tokenizer.ggml.{key}, got {len(found)}")
    return found
