"""Looking inside: a tap is called on every named activation and returns what flows on.

``no_tap`` hands each value through. ``record`` keeps them all in a dictionary. ``patch`` replaces
some on their way. Nothing is stored on objects and nothing is global: a tap is passed in, the way
any other argument is.

>>> trace = {}
>>> tap = under("blocks.0", record(trace))
>>> tap("scores", 3) + 1
4
>>> trace
{'blocks.0.scores': 3}
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

Tap = Callable[[str, Any], Any]

OUTSIDE = {
    "embedded": "... T D",  # the rows of the embedding that the ids name
    "final_norm": "... T D",  # the stream after the last block, normalised
    "logits": "... T V",  # one score for every token that could come next
}

IN_BLOCK = {
    "attn_norm": "... T D",  # the stream, normalised, as attention reads it
    "q": "... Hq T K",  # queries before rotation
    "k": "... Hkv T K",  # keys before rotation
    "v": "... Hkv T K",  # values
    "q_rotated": "... Hq T K",
    "k_rotated": "... Hkv T K",
    "scores": "... Hq T S",  # how well each query fits each key
    "masked": "... Hq T S",  # the same, minus infinity where a key may not be seen
    "pattern": "... Hq T S",  # rows that sum to one
    "mix": "... Hq T K",  # values mixed by the pattern
    "attn_out": "... T D",  # what attention adds to the stream
    "resid_mid": "... T D",  # the stream after attention was added
    "ffn_norm": "... T D",  # the stream, normalised, as the feed-forward step reads it
    "gate": "... T F",
    "up": "... T F",
    "hidden": "... T F",  # silu(gate) * up
    "down": "... T D",  # what the feed-forward step adds to the stream
    "resid_out": "... T D",  # the stream after the block
}


def catalogue(n_layers: int) -> dict[str, str]:
    """Every name that ``forward`` taps, in the order they appear, with its axes.

    >>> list(catalogue(2))[:2], len(catalogue(2))
    (['embedded', 'blocks.0.attn_norm'], 39)
    """
    blocks = {
        f"blocks.{i}.{name}": axes for i in range(n_layers) for name, axes in IN_BLOCK.items()
    }
    return {"embedded": OUTSIDE["embedded"], **blocks, **OUTSIDE}


def no_tap(name: str, value: Any) -> Any:
    """Look at nothing, change nothing."""
    return value


def record(trace: dict[str, Any], only: Collection[str] | None = None, tap: Tap = no_tap) -> Tap:
    """A tap that files every activation under its name in ``trace``.

    ``only`` keeps those whose last part is listed, such as ``{"pattern", "resid_out"}``: recording
    everything of a long prompt takes memory. The arrays are the live ones, not copies. ``tap`` is
    called first, so that ``record(trace, tap=patch(...))`` files what really flowed on.
    """

    def recording(name, value):
        value = tap(name, value)
        if only is None or name.rpartition(".")[2] in only:
            trace[name] = value
        return value

    return recording


def patch(replacements: Mapping[str, Any], tap: Tap = no_tap) -> Tap:
    """A tap that replaces named activations: by a value, or by what a function makes of them.

    The replacement must have the shape of what it replaces.

    >>> patch({"scores": lambda scores: scores * 0})("scores", 5)
    0
    """

    def patching(name, value):
        value = tap(name, value)
        if name not in replacements:
            return value
        new = replacements[name]
        new = new(value) if callable(new) else new
        if getattr(new, "shape", None) != getattr(value, "shape", None):
            raise ValueError(
                f"patch for {name!r} has shape {getattr(new, 'shape', None)}, "
                f"the activation has {value.shape}; give an array of that shape"
            )
        return new

    return patching


def under(prefix: str, tap: Tap) -> Tap:
    """The same tap for a part of the model: every name gets ``prefix`` and a dot in front."""
    if tap is no_tap:
        return no_tap
    return lambda name, value: tap(f"{prefix}.{name}", value)
