"""What a reader changes in a run, as functions that ``patch`` takes: everything goes through taps.

Each change has a name that can stand in an address; see ``FORMS``. Activations of another sentence
are put in first and parts switched off last, so that what is off is off.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

import numpy as np

from llama_np.axes import Array
from llama_np.config import LlamaConfig
from weights_tools.examine import without_head

# B: block, H: head, T: token of the sentence, S: token that is hidden, or of the other sentence.
FORMS = {
    "put.stream.B.T.S": "token T gets what token S of the other sentence has behind block B",
    "put.attn.B.T.S": "token T gets what attention adds to S there",
    "put.head.B.H.T.S": "token T gets the mix of one head of S",
    "put.ffn.B.T.S": "token T gets what the feed-forward step adds to S there",
    "unmask": "every token sees those to come as well, in all heads",
    "unmask.B.H": "the same in one head",
    "hide.S": "the last token cannot see S, in any block; those between may still hand it on",
    "head.B.H": "the mix of a head is zero",
    "attn.B": "attention adds nothing in block B",
    "ffn.B": "the feed-forward step adds nothing",
    "block.B": "neither half of the block adds anything",
}
PUT = {
    "put.stream.B.T.S": "resid_out", "put.attn.B.T.S": "attn_out",
    "put.head.B.H.T.S": "mix", "put.ffn.B.T.S": "down",
}  # fmt: skip
OFF = {"attn.B": ["attn_out"], "ffn.B": ["down"], "block.B": ["attn_out", "down"]}
Trace = Mapping[str, np.ndarray]
Step = tuple[str, Callable[[np.ndarray], np.ndarray]]  # the name of an activation, and its change


def replacements(
    changes: Sequence[str],
    config: LlamaConfig,
    n_tokens: int,
    trace: Trace,
    other: Trace | None = None,
) -> dict[str, Callable]:
    """What ``patch`` takes to make ``changes`` in a sentence of ``n_tokens``.

    ``trace`` is where the run itself files its activations, ``other`` what another sentence left.
    The run may be of a batch of sentences: all are changed alike.
    Raises ``ValueError``, in one line, for what cannot be changed.
    """
    parsed = [parse(change) for change in changes]
    steps: dict[str, list[Callable]] = {}
    for form, place in sorted(parsed, key=lambda each: [*FORMS].index(each[0])):
        check_place(form, place, config, n_tokens, other)
        for name, change in steps_of(form, place, config, trace, other):
            steps.setdefault(name, []).append(change)
    return {name: in_turn(several) for name, several in steps.items()}


def parse(change: str) -> tuple[str, dict[str, int]]:
    """The form of a change, and the numbers in it.

    >>> parse("head.3.1")
    ('head.B.H', {'B': 3, 'H': 1})
    """
    parts = change.split(".")
    for form in FORMS:
        wanted = form.split(".")
        if len(parts) == len(wanted) and all(
            number(part) if letter.isupper() else part == letter
            for part, letter in zip(parts, wanted, strict=True)
        ):
            pairs = zip(wanted, parts, strict=True)
            return form, {letter: int(part) for letter, part in pairs if letter.isupper()}
    raise ValueError(f"cannot change {change[:40]!r}: expected one of {', '.join(FORMS)}")


def needs_other(changes: Sequence[str]) -> bool:
    """Whether something is put in from another sentence."""
    return any(change.startswith("put.") for change in changes)


def number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 4


def check_place(
    form: str, place: Mapping[str, int], config: LlamaConfig, n_tokens: int, other: Trace | None
) -> None:
    """Raise ``ValueError`` where a change names a block, head or token that is not there."""
    if form in PUT and other is None:
        raise ValueError("there is no other sentence to put anything in from: write one")
    last = len(other["embedded"]) if form in PUT else n_tokens - 1
    kinds = {
        "B": ("block", config.n_layers),
        "H": ("head", config.n_heads),
        "T": ("token", n_tokens),
        "S": ("token of the other sentence" if form in PUT else "token to hide", last),
    }
    for letter, value in place.items():
        check(kinds[letter][0], value, kinds[letter][1])


def steps_of(
    form: str, place: Mapping[str, int], config: LlamaConfig, trace: Trace, other: Trace | None
) -> list[Step]:
    """The activations that a change concerns, and what it makes of each."""
    block, head = f"blocks.{place.get('B')}", place.get("H")
    if form in PUT:
        name = f"{block}.{PUT[form]}"
        given = other[name] if head is None else other[name][head]
        return [(name, put(given[place["S"]], place["T"], head))]
    if form in OFF:
        return [(f"{block}.{name}", np.zeros_like) for name in OFF[form]]
    if form == "head.B.H":
        return [(f"{block}.mix", lambda mix: without_head(mix, head))]
    if form == "hide.S":
        hide = lambda masked: without_key(masked, place["S"])  # noqa: E731
        return [(f"blocks.{i}.masked", hide) for i in range(config.n_layers)]
    blocks = range(config.n_layers) if form == "unmask" else [place["B"]]
    return [(f"blocks.{i}.masked", unmask(trace, f"blocks.{i}.scores", head)) for i in blocks]


def put(given: Array["..."], token: int, head: int | None) -> Callable:
    """Replace one token's row; ``head`` names one among several."""
    place = (..., token, slice(None)) if head is None else (..., head, token, slice(None))

    def change(value):
        value = value.copy()
        value[place] = given
        return value

    return change


def unmask(trace: Trace, scores: str, head: int | None) -> Callable:
    """The scores as they were before the mask: in all heads, or in one."""

    place = (..., slice(None) if head is None else head, slice(None), slice(None))

    def change(masked: Array["... Hq T S"]) -> Array["... Hq T S"]:
        masked = masked.copy()
        masked[place] = trace[scores][place]
        return masked

    return change


def without_key(masked: Array["... Hq T S"], key: int) -> Array["... Hq T S"]:
    masked = masked.copy()
    masked[..., -1, key] = -np.inf
    return masked


def in_turn(changes: Sequence[Callable]) -> Callable:
    """One function that applies several, first to last."""
    return lambda value: reduce(lambda changed, change: change(changed), changes, value)


def check(what: str, number: int, count: int) -> None:
    """Raise ``ValueError`` for a number that is not among ``count`` from 0."""
    if not 0 <= number < count:
        choose = f"choose 0 to {count - 1}" if count > 0 else "there is none"
        raise ValueError(f"{what} is {number}: {choose}")
