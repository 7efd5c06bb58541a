"""What the JSON files of a model say about special tokens: names, ids, which begin and end a text.

The files are tokenizer.json, tokenizer_config.json, special_tokens_map.json, added_tokens.json,
generation_config.json and config.json, as on huggingface.co.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from llama_np.config import brief
from llama_np.tokenizer.bpe import STOP_TOKENS

from ..reading import TABLE, read_object

VOCAB, MERGES = "vocab.json", "merges.txt"  # GPT-2's two files, as Hugging Face calls them
ROLES = ("bos", "eos", "unk", "pad", "sep", "cls", "mask")


class Ends(NamedTuple):
    """The names of the special tokens that begin a text and end it, and what stops the writing.

    That may be an ordinary token, given by its id.
    """

    bos: str | None
    eos: str | None
    stop: tuple[str | int, ...]


def special_tokens(added: object) -> dict[str, int]:
    """Names and ids under `added_tokens`.

    Raises ValueError for one that takes the white space around it along, or that is no name like
    <...> and is to be found in ordinary text.
    """
    special = {}
    for token in typed(added or [], list, "added_tokens"):
        name = need(typed(token, dict, "an added token"), "content", str)
        for key in ("single_word", "lstrip", "rstrip"):
            expect(not token.get(key), f"the added token {brief.repr(name)} without {key}")
        if name in special or not (token.get("special") or is_name(name)):
            raise ValueError(
                f"expected an added token to be a name like <...>, once, got {brief.repr(name)}"
            )
        special[name] = need(token, "id", int)
    return special


def late_names(added: list[dict], folder: Path) -> frozenset[str]:
    """The names under `added_tokens` that are looked for in the text as the normalizer leaves it.

    They have `normalized`. What tokenizer_config.json says of them counts, as in transformers 5.24,
    which for LlamaTokenizer leaves the normalizer out: then they are found like any others.
    """
    config = object_beside(folder, "tokenizer_config.json")
    if config.get("tokenizer_class") in ("LlamaTokenizer", "LlamaTokenizerFast"):
        return frozenset()
    again = typed(config.get("added_tokens_decoder") or {}, dict, "added_tokens_decoder")
    late = {token["content"]: token.get("normalized") for token in added}
    for token in again.values():
        usual = not typed(token, dict, "an added token").get("special")
        late[need(token, "content", str)] = token.get("normalized", usual)
    return frozenset(token["content"] for token in added if late[token["content"]])


def roles_in(vocab: Mapping[str, Any], folder: Path) -> dict[str, int]:
    """The tokens of a vocabulary that the files beside give a role, such as the end of a text.

    transformers makes special tokens of them, though they are not among the added ones.
    """
    config, named = (
        object_beside(folder, name) for name in ("tokenizer_config.json", "special_tokens_map.json")
    )
    keys = (f"{role}_token" for role in ROLES)
    names = [name_of(config.get(key, named.get(key))) for key in keys]
    return {
        name: vocab[name]
        for name in names
        if name is not None and is_name(name) and type(vocab.get(name)) is int
    }


def added_beside(folder: Path) -> dict[str, int]:
    """Names and ids of what was added to a tokenizer.model.

    They stand in tokenizer.json; without one under `added_tokens_decoder`, by id, or in the
    added_tokens.json of older folders.
    """
    if (path := folder / "tokenizer.json").is_file():
        return special_tokens(need(read_object(path, TABLE), "added_tokens", list))
    listed = object_beside(folder, "tokenizer_config.json").get("added_tokens_decoder")
    if listed is not None:
        tokens = typed(listed, dict, "added_tokens_decoder").items()
        described = [typed(token, dict, "an added token") | {"id": _id(i)} for i, token in tokens]
        return special_tokens(described)
    named = object_beside(folder, "added_tokens.json").items()
    return special_tokens([{"id": i, "content": name} for name, i in named])


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"expected an id as the key of an added token, got {brief.repr(text)}")
    return int(text)


def object_beside(folder: Path, name: str) -> dict[str, Any]:
    """The contents of a JSON file; empty where there is none."""
    return read_object(folder / name, TABLE) if (folder / name).is_file() else {}


def declared_ends(
    folder: Path,
    special: Mapping[str, int],
    described: Mapping[str, Any] | None,
    usual_bos: str | None = None,
    usual_eos: str | None = None,
) -> Ends:
    """Begin, end and stop tokens, as transformers finds them in the files of a model's folder.

    `described`, the content of tokenizer.json, says by its template alone whether a begin token is
    put in front: `add_bos_token` in tokenizer_config.json is ignored then, as by transformers 5.24.
    Without a tokenizer.json the files beside name begin and end, or else the tokenizer.model does
    (`usual_bos`, `usual_eos`), and `add_bos_token` can only switch the first off: Llama 2 and 3
    expect one (transformers 4 and Meta's code put it there by default, transformers 5.24 does not).

    The ends of generation_config.json (or config.json) stop the writing too, and so do Llama 3's.
    """
    config, named, generation, model = (
        object_beside(folder, name)
        for name in (
            *("tokenizer_config.json", "special_tokens_map.json"),
            *("generation_config.json", "config.json"),
        )
    )
    bos, eos = (name_of(config.get(key, named.get(key))) for key in ("bos_token", "eos_token"))
    if described is not None:
        bos = _first_of_template(described.get("post_processor"))
    else:
        bos = (bos or usual_bos) if config.get("add_bos_token", True) else None
    eos = eos or usual_eos
    for name in (bos, eos):
        if name is not None and name not in special:
            raise ValueError(
                f"tokenizer_config.json begins or ends texts with {brief.repr(name)}, which is "
                "no added token"
            )
    ends = generation.get("eos_token_id", model.get("eos_token_id"))
    stop = [i for i in (ends if isinstance(ends, list) else [ends]) if type(i) is int]
    by_id = {i: name for name, i in special.items()}
    names = [by_id[i] for i in stop if i in by_id]
    usual = [name for name in ("<|end_of_text|>", "</s>") if name in special]
    eos = eos or next(iter([*names, *usual]), None)
    return Ends(bos, eos, (*stop, *STOP_TOKENS))


def _first_of_template(processor: object) -> str | None:
    """The special token that a post-processor puts in front."""
    if processor is None:
        return None
    kind = typed(processor, dict, "post_processor").get("type")
    if kind == "Sequence":
        steps = [_first_of_template(step) for step in need(processor, "processors", list)]
        return next((name for name in steps if name is not None), None)
    expect(
        kind in ("ByteLevel", "TemplateProcessing"),
        f"another post_processor than {brief.repr(kind)}",
    )
    single = need(processor, "single", list) if kind == "TemplateProcessing" else []
    first = typed(single[0], dict, "a step of the template") if single else {}
    if "SpecialToken" not in first:
        return None
    return need(typed(first["SpecialToken"], dict, "SpecialToken"), "id", str)


def name_of(token: object) -> str | None:
    """A token that tokenizer_config.json gives by name or as an object with its content."""
    name = token.get("content") if isinstance(token, dict) else token
    return name if name is None else typed(name, str, "the name of a token")


def is_name(text: str) -> bool:
    """Whether a token that is to be found in any text is a name, like <|im_end|> or [INST]."""
    return text[:1] in ("<", "[") and text[-1:] in (">", "]")


def expect(met: bool, expected: str) -> None:
    if not met:
        raise ValueError(f"expected {expected}; this tokenizer is not supported")


def typed(value: object, kind: type, what: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"expected {what} as {kind.__name__}, got {brief.repr(value)}")
    return value


def need(values: Mapping[str, Any], key: str, kind: type) -> Any:
    if key not in values:
        raise ValueError(f"expected {brief.repr(key)}, found only {brief.repr([*values])}")
    return typed(values[key], kind, key)
