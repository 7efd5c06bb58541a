"""Prefill and decode of one shape: ours, transformers', the bare products, the machine's limit."""

import dataclasses
from functools import partial
from typing import NamedTuple

from llama_np.config import LlamaConfig
from llama_np.weights import Weights
from tests.benchmarks.limits import LEAST, MatrixMatrix, MatrixVector, operations, weights_read
from tests.benchmarks.ours import PROMPT, WARM_UP, Bare, Ours
from tests.benchmarks.random_weights import random_weights
from tests.benchmarks.rows import THEIRS, Row, at_least
from tests.benchmarks.shapes import shape_named
from tests.benchmarks.theirs import Theirs, check_same, installed, make_twin
from tests.benchmarks.turns import seconds_for, take_turns
from weights_tools.load import DOLL_HOUSE, load_model

LARGE = 500_000_000  # parameters: from here on three repetitions must do
DECODE = {
    "doll-house": (at_least(8, "theirs"),),
    "stories260k": (at_least(15, "theirs"),),
    "stories110m": (at_least(0.9, "limit"), at_least(1.5, "theirs")),
    "llama-3.2-1b": (at_least(0.9, "limit"), at_least(1.0, "theirs")),
}
PREFILL = {
    name: (at_least(0.8, "limit"), at_least(1.0, "theirs"))
    for name in ("stories110m", "llama-3.2-1b")
}


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long to measure."""

    repetitions: int
    prefill: int = 512  # tokens, or the context where it is shorter
    decode: int = 64  # tokens, or those of one second


def speed_of(name: str, effort: Effort) -> list[Row]:
    """The rows of a shape by its name: random weights, but the doll-house comes with its own."""
    if name == "doll-house":
        config, weights, *_ = load_model(DOLL_HOUSE, "float32")
    else:
        config = shape_named(name)
        weights = random_weights(config)
    return rows(name, config, weights, effort)


class Field(NamedTuple):
    """A shape, and everyone who runs it."""

    name: str
    config: LlamaConfig
    parties: dict[str, Ours | Theirs]
    bare: Bare
    effort: Effort

    @property
    def repetitions(self) -> int:
        """Three at most where each takes long."""
        large = self.config.count_parameters() > LARGE
        return min(3, self.effort.repetitions) if large else self.effort.repetitions


def rows(name: str, config: LlamaConfig, weights: Weights, effort: Effort) -> list[Row]:
    """Decode and prefill of one model. Raises ``ValueError`` where ours and theirs differ."""
    parties: dict[str, Ours | Theirs] = {"ours": Ours(config, weights)}
    if installed():
        twin = make_twin(config, weights)
        parties |= {kind: Theirs(twin, config, kind) for kind in THEIRS}
    short = {column: party.prefill(PROMPT) for column, party in parties.items()}
    for logits in short.values():
        check_same(short["ours"], logits)
    field = Field(name, config, parties, Bare(config, weights), effort)
    return [decode_row(field), prefill_row(field)]


def decode_row(field: Field) -> Row:
    """Tokens one by one, greedily, behind a short prompt."""
    config = field.config
    n = min(field.effort.decode, config.context_length - PROMPT - WARM_UP)
    limit = MatrixVector(config)
    samplers = {column: partial(party.decode_rate, n) for column, party in field.parties.items()}
    samplers |= {
        "bare": partial(field.bare.decode_rate, n),
        "limit": lambda: limit() / (4 * weights_read(config)),
    }
    samples = take_turns(samplers, field.repetitions)
    targets = DECODE.get(field.name, ())
    return Row(f"decode {field.name}", "tokens/s", samples, "matrix-vector", targets)


def prefill_row(field: Field) -> Row:
    """One prompt, as long as the context allows."""
    T = min(field.effort.prefill, field.config.context_length)
    limit, needed = MatrixMatrix(), operations(field.config, T)

    def rate(party: Ours | Theirs) -> float:
        party.prefill(PROMPT)  # warms up
        return T / seconds_for(lambda: party.prefill(T), LEAST)

    samplers = {column: partial(rate, party) for column, party in field.parties.items()}
    samplers |= {
        "bare": partial(field.bare.prefill_rate, T),
        "limit": lambda: limit() * T / needed,
    }
    samples = take_turns(samplers, field.repetitions)
    what, targets = f"prefill {field.name}, {T} tokens", PREFILL.get(field.name, ())
    return Row(what, "tokens/s", samples, "matrix-matrix", targets)
