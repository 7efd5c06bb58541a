"""Write our tokenizer as Hugging Face does: tokenizer.json and tokenizer_config.json.

`transformers.AutoTokenizer.from_pretrained(folder)` opens the result and gives the same ids.
The layout is that of the files beside Meta-Llama-3-8B-Instruct on huggingface.co, and so are the
merges: from Llama 3's ranks come the 280,147 that those files hold.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from llama_np.tokenizer.base import Tokenizer
from llama_np.tokenizer.bpe import DIGITS_PATTERN, GPT2_PATTERN, LLAMA3_PATTERN, BPETokenizer
from llama_np.tokenizer.chat import has_llama3_dialogs

from ..writing import write_json

# Jinja for `llama_np.tokenizer.chat.encode_dialog`.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
_SPLIT = {"type": "Split", "pattern": {"Regex": LLAMA3_PATTERN}, "behavior": "Isolated"}
# How tokenizer.json writes each of our patterns: its steps one after another.
PRE_TOKENIZERS = {
    LLAMA3_PATTERN: [_SPLIT | {"invert": False}, _BYTE_LEVEL | {"use_regex": False}],
    GPT2_PATTERN: [_BYTE_LEVEL | {"use_regex": True}],
    DIGITS_PATTERN: [
        {"type": "Digits", "individual_digits": True},
        _BYTE_LEVEL | {"use_regex": True},
    ],
}


def byte_letters() -> dict[int, str]:
    """One visible letter for every byte, as JSON cannot hold bytes: a space is Ġ, a newline Ċ.

    Printable bytes of Latin-1 stand for themselves, the others take the letters from U+0100 on.

    Source: bytes_to_unicode in github.com/openai/gpt-2, src/encoder.py.

    >>> [byte_letters()[byte] for byte in b"a \\n"]
    ['a', 'Ġ', 'Ċ']
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(0x100 + i) for i, byte in enumerate(others)
    }


def merges_of(ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Every way to join two tokens into a third, in the order of the third's rank.

    tiktoken asks for the joined bytes only, so any two neighbours may become a token. One merge
    per token would be too few: after a later merge the same token can come from another pair.

    >>> merges_of({b"a": 0, b"b": 1, b"ab": 2, b"ba": 3, b"aba": 4})
    [(b'a', b'b'), (b'b', b'a'), (b'a', b'ba'), (b'ab', b'a')]
    """
    merges = [
        (rank, ranks[token[:cut]], ranks[token[cut:]], token[:cut], token[cut:])
        for token, rank in ranks.items()
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    ]
    return [(left, right) for *_, left, right in sorted(merges)]


def tokenizer_json(tokenizer: BPETokenizer) -> dict:
    """The content of tokenizer.json: split, byte letters, merges, and the begin token in front.

    `ignore_merges` is the look-up of whole pieces: a piece that is a token is taken as it is. A
    vocabulary with tokens that no text leads to must do without.
    """
    letters = byte_letters()
    letters_of = {token: "".join(letters[byte] for byte in token) for token in tokenizer.ids}
    used = {token: rank for token, rank in tokenizer.ranks.items() if token in tokenizer.ids}
    merges = [f"{letters_of[left]} {letters_of[right]}" for left, right in merges_of(used)]
    # The library numbers added tokens that are not in the vocabulary itself, from its end on.
    in_vocab = {} if special_tokens_follow(tokenizer) else tokenizer.special_tokens
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens(tokenizer),
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": PRE_TOKENIZERS[tokenizer.pattern],
        },
        "post_processor": begin_of_text(tokenizer),
        "decoder": _BYTE_LEVEL | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": len(used) == len(tokenizer.ids),
            "vocab": {letters_of[token]: i for token, i in tokenizer.ids.items()} | in_vocab,
            "merges": merges,
        },
    }


def write_tokenizer_json(
    tokenizer: BPETokenizer, folder: str | os.PathLike, model_max_length: int | None = None
) -> None:
    """Write tokenizer.json and tokenizer_config.json into an existing folder.

    `model_max_length` is how many positions the model was trained on; None leaves it open. The
    chat template is the tokenizer's own, or that of Llama 3 if it has the special tokens. Unlike
    `encode_dialog` it reads the name of a special token inside a message as the token.
    """
    config = tokenizer_config(tokenizer, model_max_length)
    if tokenizer.chat_template is None and has_llama3_dialogs(tokenizer):
        config["chat_template"] = CHAT_TEMPLATE
    write_json(tokenizer_json(tokenizer), Path(folder) / "tokenizer.json")
    write_json(config, Path(folder) / "tokenizer_config.json")


def tokenizer_config(tokenizer: Tokenizer, model_max_length: int | None) -> dict:
    """The content of tokenizer_config.json: the class that takes tokenizer.json as it is.

    With the tokenizer's chat template, and the names that it uses.
    """
    ends = {"bos_token": tokenizer.bos, "eos_token": tokenizer.eos}
    template = tokenizer.chat_template
    if template is not None:
        ends |= template.names
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **{key: name for key, name in ends.items() if name is not None},
        **({"model_max_length": model_max_length} if model_max_length is not None else {}),
        **({"chat_template": template.source} if template is not None else {}),
    }


def special_tokens_follow(tokenizer: BPETokenizer) -> bool:
    """Whether the special tokens have the ids behind the ordinary ones, as in Llama 3."""
    return min(tokenizer.special_tokens.values(), default=len(tokenizer.ids)) == len(tokenizer.ids)


def added_tokens(tokenizer: Tokenizer) -> list[dict]:
    """The special tokens by id, each to be matched as it stands, wherever it stands.

    Those that are `late` are matched in the text that the normalizer has been through.
    """
    plain = dict.fromkeys(["single_word", "lstrip", "rstrip"], False)
    by_id = sorted(tokenizer.special_tokens.items(), key=lambda item: item[1])
    return [
        {"id": i, "content": name, **plain, "normalized": name in tokenizer.late, "special": True}
        for name, i in by_id
    ]


def begin_of_text(tokenizer: Tokenizer) -> dict | None:
    """The step that puts the begin token before each text, where there is such a token."""
    name = tokenizer.bos
    if name is None:
        return None
    begin = [{"SpecialToken": {"id": name, "type_id": i}} for i in (0, 1)]
    text = [{"Sequence": {"id": "AB"[i], "type_id": i}} for i in (0, 1)]
    return {
        "type": "TemplateProcessing",
        "single": [begin[0], text[0]],
        "pair": [begin[0], text[0], begin[1], text[1]],
        "special_tokens": {name: {"id": name, "ids": [tokenizer.bos_id], "tokens": [name]}},
    }
