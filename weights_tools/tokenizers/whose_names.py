"""Whose the names of special tokens in a dialog's text are: the template's, or a speaker's.

A chat template makes one text of what it writes itself and of what was said, and it may look for
names in what was said: ``content.split("</think>")``. So the names in a message have to stay whole.
The template writes the dialog as it is, and again with the messages in disguise. Where the two
texts are alike, the second tells which characters of the first were said.

transformers takes the second text, with marks around the names, in which white space beside a name
cannot be stripped: ``mark_control_tokens`` and ``encode_marked_chat`` in
https://github.com/huggingface/transformers/blob/main/src/transformers/utils/chat_template_utils.py
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from llama_np.tokenizer import Tokenizer

Messages = Sequence[Mapping[str, Any]]
Disguise = Callable[[str], str]
LENGTHS = (8, 9)  # of guards: a slice that just takes off the one does not do so with the other


class Refused(ValueError):
    """A template refuses a dialog; it may accept another."""


class Signs(NamedTuple):
    """The characters of a guard before a name and of one behind it, and what hides a character."""

    opening: str
    closing: str
    hidden: str


def guarded_text(
    tokenizer: Tokenizer,
    messages: Messages,
    write: Callable[[Sequence[Messages]], list[str]],
    signs: Signs,
) -> str:
    """The text of a dialog, with ``signs.opening`` inside each name that is not all the template's.

    ``write`` makes the texts of dialogs. Refused, which it may raise, comes back where it refuses
    this one. Where no disguise tells, no name is read as a token that may have been said.
    """
    names = [*tokenizer.special_tokens]
    for disguises in ways(tokenizer, messages, signs):
        try:
            text, *others = write([messages, *(disguised(messages, d) for d in disguises)])
        except Refused:
            (text,) = write([messages])
            continue
        starts = [places(text, marked(other, signs, names), signs, names) for other in others]
        if None not in starts:
            return with_guards(text, set().union(*starts), names, signs.opening)
    said = "\n".join(texts_in(messages)).casefold()
    sayable = [name for name in names if leaves(said, name.casefold())]
    return with_guards(text, range(len(text)), sayable, signs.opening)


# --- disguises ---


def ways(tokenizer: Tokenizer, messages: Messages, signs: Signs) -> Iterator[list[Disguise]]:
    """The disguises that are tried one after the other, until the texts are alike.

    First for templates that look for names, guards around the names and all else hidden. Then for
    templates that cut at a number of characters, all hidden. Then for those that look for other
    words, guards alone; these do not tell of a name to which template and speaker each gave a part.

    Without guards where a name is inside another: a template could cut it out of them.
    """

    def hide(text: str) -> str:
        return re.sub(r"\S", signs.hidden, text)  # white space may be stripped

    def guard(length: int) -> Disguise:
        return lambda name: signs.opening * length + name + signs.closing * length

    guardable = not nested_names(tokenizer, messages)
    if guardable:
        yield [disguise(tokenizer, guard(length), hide) for length in LENGTHS]
    yield [disguise(tokenizer, lambda name: signs.hidden * len(name), hide)]
    if guardable:
        yield [disguise(tokenizer, guard(length), str) for length in LENGTHS]


def disguise(tokenizer: Tokenizer, name_as: Disguise, rest_as: Disguise) -> Disguise:
    """One disguise for the names in a text, and one for what lies between."""

    def change(text: str) -> str:
        parts, names = tokenizer.split_special(text), tokenizer.special_tokens
        return "".join(name_as(part) if part in names else rest_as(part) for part in parts)

    return change


def nested_names(tokenizer: Tokenizer, messages: Messages) -> list[str]:
    """The names in the messages that are inside longer ones of them."""
    texts = texts_in(messages)
    said = [name for name in tokenizer.special_tokens if any(name in text for text in texts)]
    return [name for name in said if any(name != other and name in other for other in said)]


def disguised(messages: Messages, disguise: Disguise) -> Messages:
    """The messages with every text in them disguised but the role, which no speaker chooses."""
    return [
        {key: each if key == "role" else changed(each, disguise) for key, each in message.items()}
        for message in messages
    ]


def changed(value: Any, change: Callable[[str], Any]) -> Any:
    """A value of JSON with each text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: changed(each, change) for key, each in value.items()}
    return [changed(each, change) for each in value] if isinstance(value, list | tuple) else value


def texts_in(messages: Messages) -> list[str]:
    """Every text in the messages."""
    texts: list[str] = []
    changed(messages, texts.append)
    return texts


def unused_signs(messages: Messages, source: str) -> Signs:
    """Characters for private use that neither the messages have nor the template."""
    used = set(source).union(*texts_in(messages))
    unused = (c for c in map(chr, range(0xF0000, 0xFFFFE)) if c not in used)
    return Signs(next(unused), next(unused), next(unused))


# --- what they tell ---


def marked(text: str, signs: Signs, names: Iterable[str]) -> str:
    """A text of disguised messages, with ``signs.opening`` around each character that was said.

    That is one that is hidden, or of a name between guards. A guard alone, as splitting leaves it,
    becomes a mark that no name goes across.
    """
    opening, closing, hidden = signs
    said = re.compile(f"{opening}+({any_of(names)}){closing}+|({hidden})|{opening}+|{closing}+")
    return said.sub(lambda m: opening.join(["", *(m[1] or m[2] or ""), ""]), text)


def any_of(names: Iterable[str]) -> str:
    """A regular expression for any of the names; of several that begin alike, the longest."""
    return "|".join(map(re.escape, sorted(names, key=len, reverse=True)))


def places(text: str, other: str, signs: Signs, names: Collection[str]) -> set[int] | None:
    """Where characters stand in a text that have a mark before them in the other.

    None where the two are not alike. White space may differ, as it cannot be stripped across
    guards, unless there are names that begin or end with it.
    """
    loose = all(name == name.strip() for name in names)
    for skipped in ("", r"\s") if loose else ("",):
        out = f"{signs.opening}{skipped}"
        spot = re.compile(f"[{out}]*([^{out}])")
        ours, theirs = ([*spot.finditer(each)] for each in (text, other))
        if len(ours) == len(theirs):
            pairs = [*zip(ours, theirs, strict=True)]
            if all(their[1] in (our[1], signs.hidden) for our, their in pairs):
                return {our.start(1) for our, their in pairs if signs.opening in their[0]}
    return None


def leaves(text: str, name: str) -> bool:
    """Whether a name is left of a text where characters are taken out, by slices or filters.

    >>> leaves("<<b>a>", "<a>"), leaves("a < b", "<b>")
    (True, False)
    """
    rest = iter(text)
    return all(character in rest for character in name)


def with_guards(text: str, starts: Collection[int], names: Iterable[str], guard: str) -> str:
    """The text with a guard before the characters at ``starts`` that are inside a name."""
    within = {
        i
        for name in re.finditer(f"(?=({any_of(names)}))", text)
        for i in range(name.start() + 1, name.end(1))
    }
    cuts = [i for i in sorted(within) if i in starts]
    return guard.join(text[a:b] for a, b in pairwise([0, *cuts, len(text)]))
