"""Write our tokenizer as Hugging Face does: tokenizer.json and tokenizer_config.json.

`transformers.AutoTokenizer.from_pretrained(folder)` opens the result and gives the same ids.
The layout is that of the files beside Meta-Llama-3-8B-Instruct on huggingface.co, and so are the
merges: from Llama 3's ranks come the 280,147 that those files hold.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from llama_np.bpe import LLAMA3_PATTERN
from llama_np.tokenizer import Tokenizer

# Jinja for `llama_np.chat.encode_dialog`.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
_CHAT_TOKENS = {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}


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


def tokenizer_json(tokenizer: Tokenizer) -> dict:
    """The content of tokenizer.json: split, byte letters, merges, and <|begin_of_text|> in front.

    `ignore_merges` is the look-up of whole pieces: a piece that is a token is taken as it is.
    """
    letters = byte_letters()
    letters_of = {token: "".join(letters[byte] for byte in token) for token in tokenizer.ranks}
    merges = [
        f"{letters_of[left]} {letters_of[right]}" for left, right in merges_of(tokenizer.ranks)
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    split = {"type": "Split", "pattern": {"Regex": LLAMA3_PATTERN}, "behavior": "Isolated"}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(name, i) for name, i in tokenizer.special_tokens.items()],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [split | {"invert": False}, byte_level | {"use_regex": False}],
        },
        "post_processor": _begin_of_text(tokenizer),
        "decoder": byte_level | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": {letters_of[token]: rank for token, rank in tokenizer.ranks.items()},
            "merges": merges,
        },
    }


def write_tokenizer_json(
    tokenizer: Tokenizer, folder: str | os.PathLike, model_max_length: int | None = None
) -> None:
    """Write tokenizer.json and tokenizer_config.json into an existing folder.

    `model_max_length` is how many positions the model was trained on; None leaves it open. The
    chat template is there if the tokenizer has the special tokens of a dialog. Unlike
    `encode_dialog` it reads the name of a special token inside a message as the token.
    """
    names = tokenizer.special_tokens.keys()
    ends = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **{key: name for key, name in ends.items() if name in names},
        **({"chat_template": CHAT_TEMPLATE} if names >= _CHAT_TOKENS else {}),
        **({"model_max_length": model_max_length} if model_max_length is not None else {}),
    }
    write_json(tokenizer_json(tokenizer), Path(folder) / "tokenizer.json")
    write_json(config, Path(folder) / "tokenizer_config.json")


def _added_token(name: str, token_id: int) -> dict:
    plain = dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
    return {"id": token_id, "content": name, **plain, "special": True}


def _begin_of_text(tokenizer: Tokenizer) -> dict | None:
    """The step that puts <|begin_of_text|> before each text, where there is such a token."""
    name = "<|begin_of_text|>"
    if tokenizer.bos_id is None:
        return None
    begin = [{"SpecialToken": {"id": name, "type_id": i}} for i in (0, 1)]
    text = [{"Sequence": {"id": "AB"[i], "type_id": i}} for i in (0, 1)]
    return {
        "type": "TemplateProcessing",
        "single": [begin[0], text[0]],
        "pair": [begin[0], text[0], begin[1], text[1]],
        "special_tokens": {name: {"id": name, "ids": [tokenizer.bos_id], "tokens": [name]}},
    }


def write_json(content: dict, path: Path) -> None:
    """Write beside, then rename, so that nobody ever reads half a file."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    beside.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)
