"""A model's own chat template: a program in Jinja that makes one text of a dialog.

It stands in chat_template.jinja, in tokenizer_config.json, or in a GGUF file's metadata, and is
rendered by ``render_chat``, a program that is held to some seconds and to some memory.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from llama_np.config import brief
from llama_np.tokenizer import Tokenizer
from llama_np.tokenizer.chat import check_message

from ..reading import SMALL, read_bytes
from .special_tokens import object_beside
from .whose_names import Messages, Refused, guarded_text, unused_signs

PROGRAM = Path(__file__).with_name("render_chat.py")
SECONDS = 20  # some ten times what starting Python takes on a slow machine
SHOWN = 200  # characters of what a template complains of
SAID = "This is the answer."  # to see what a template puts behind it
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class ChatTemplate(NamedTuple):
    """The template as it was found, and the names of special tokens that it may use.

    ``names``: such as {"bos_token": "<s>"}, which need not be what stands before a plain text.
    """

    source: Any
    names: dict[str, str]


def template_of(source: Any, names: Mapping[str, Any]) -> ChatTemplate | None:
    """A template among what the files of a model say; None where they say nothing.

    Of several, given as a list of {"name": ..., "template": ...}, the one called default.
    """
    if isinstance(source, list):
        several = [each for each in source if isinstance(each, dict)]
        source = next((e.get("template") for e in several if e.get("name") == "default"), source)
    if source is None:
        return None
    return ChatTemplate(source, {k: v for k, v in names.items() if isinstance(v, str)})


def template_beside(folder: Path, tokenizer: Tokenizer) -> ChatTemplate | None:
    """The template in a model's folder; a file of its own comes before tokenizer_config.json.

    The tokenizer knows its ends where no file says how they are called.
    """
    own = folder / "chat_template.jinja"
    config, named = (
        object_beside(folder, name) for name in ("tokenizer_config.json", "special_tokens_map.json")
    )
    source = config.get("chat_template")
    if own.is_file():
        source = read_bytes(own, SMALL).decode(errors="replace")
    usual = {"bos_token": tokenizer.bos, "eos_token": tokenizer.eos}
    names = {key: config.get(key) or named.get(key) or usual.get(key) for key in NAMED}
    return template_of(source, {key: content_of(name) for key, name in names.items()})


def content_of(name: Any) -> Any:
    """The name of a token that may be given as an object with its content."""
    return name.get("content") if isinstance(name, dict) else name


def encode_chat(tokenizer: Tokenizer, messages: Messages) -> list[int]:
    """A dialog by the model's own template, up to the point where the assistant speaks.

    Special tokens are those that the template writes. Their names inside a message stay ordinary
    text, as in ``encode_dialog``: a user cannot speak in another's name. The template still finds
    them there, as one that leaves out what an assistant thought before its ``</think>``.

    Raises ValueError for what the template refuses, and for a template that cannot be rendered.

    transformers: ``tokenizer.apply_chat_template(messages, add_generation_prompt=True)``, with
    ``sanitize_control_tokens=True``.
    """
    for message in messages:
        check_message(message)
    template = tokenizer.chat_template
    signs = unused_signs(messages, str(template.source))
    text = guarded_text(tokenizer, messages, partial(render, template), signs)
    return tokenizer.encode(text, allow_special=True, guard=signs.opening)


def end_of_turn(tokenizer: Tokenizer, system: Messages = ()) -> frozenset[int]:
    """The special token that the template puts behind what the assistant says, if there is one.

    A model that was tuned with this template writes it when its turn is over. The first dialog that
    the template accepts tells: some refuse one without a system message (``system``: that of this
    talk, if it has one), or one that ends with an answer, or any answer.

    Raises ValueError for a template that accepts none.
    """
    question, answer = {"role": "user", "content": "?"}, {"role": "assistant", "content": SAID}
    heads = [[*system], []] if system else [[], [{"role": "system", "content": "Be brief."}]]
    refused = None
    for turns in ([question, answer], [question, answer, question], [question]):
        for head in heads:
            try:
                (text,) = render(tokenizer.chat_template, [[*head, *turns]], turns[-1] == question)
            except Refused as error:
                refused = refused or error
            else:
                return name_behind(tokenizer, text, SAID)
    raise refused


def name_behind(tokenizer: Tokenizer, text: str, said: str) -> frozenset[int]:
    """The special token behind what was said, if there is one."""
    _, found, behind = text.rpartition(said)
    names = [name for name in tokenizer.special_tokens if behind.lstrip().startswith(name)]
    return frozenset({tokenizer.special_tokens[max(names, key=len)]} if found and names else ())


def render(
    template: ChatTemplate, dialogs: Sequence[Messages], add_generation_prompt: bool = True
) -> list[str]:
    """The text of each dialog. Raises ValueError in one line where there is none.

    Refused, where it may be for the dialog's sake.

    transformers: ``apply_chat_template(dialog, tokenize=False)``.
    """
    if not isinstance(template.source, str):
        raise ValueError(
            "expected the chat template as text, or a default among several, got "
            f"{brief.repr(template.source)}"
        )
    request = {
        "source": template.source, "dialogs": [[*map(dict, dialog)] for dialog in dialogs],
        "names": template.names, "add_generation_prompt": add_generation_prompt,
    }  # fmt: skip
    try:
        done = subprocess.run(
            [sys.executable, os.fspath(PROGRAM)], input=json.dumps(request), capture_output=True,
            encoding="utf-8", timeout=SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"the model's chat template was stopped: it took more than {SECONDS} seconds"
        ) from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {"error": f"it ended the program that renders it ({done.returncode})"}
    if "error" in answer:
        told = "".join(printable(answer["error"][: SHOWN * 2]))[:SHOWN]
        raise Refused(f"the model's chat template cannot be rendered: {told}")
    return answer["texts"]


def printable(text: str) -> Iterator[str]:
    """The characters of a text, those that a terminal could take for commands escaped."""
    for character in " ".join(text.split()):
        yield character if character.isprintable() else ascii(character)[1:-1]
