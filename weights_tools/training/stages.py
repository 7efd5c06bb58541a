"""What a step learns from, in each stage: running text, dialogs, or pairs of answers.

A stage hands out the parts of each step's batch: ids, and the loss of their logits. Everything else
about training is the same for all of them: see ``trainer.py``.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from llama_np.axes import Array
from llama_np.training.backward import cross_entropy_backward
from llama_np.training.loss import IGNORE, cross_entropy
from llama_np.training.preference import (
    answer_log_probability,
    answer_log_probability_backward,
    dpo_loss,
    dpo_loss_backward,
)

from .corpus import Stream, digest

PART_TOKENS = 1024  # small enough for the processor's cache, large enough to keep Python out of it


class MicroBatch(NamedTuple):
    """Some rows of a batch. ``share`` is how much of the batch they are; the shares sum to one."""

    first_row: int
    share: float
    ids: Array["B T"]
    loss_of: Callable[[np.ndarray], tuple[float, np.ndarray]]  # logits to loss and d_logits


class Stage(Protocol):
    """Where the parts of each step come from."""

    def parts(self, step: int) -> list[MicroBatch]:
        """The batch of one step; the same step gives the same batch."""
        ...

    def about(self) -> dict[str, object]:
        """What must be the same for a run to go on from a checkpoint."""
        ...

    def seen(self, step: int) -> dict[str, str]:
        """How much has been learned from before a step, for the log."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """How pre-training cuts its text: short rows first, because attention over them is cheap."""

    tokens_per_step: int = 2048
    row: int = 256  # tokens a row holds at first
    final_row: int = 512  # and in the last part of the run
    final_share: float = 0.2  # how large that part is

    def __post_init__(self):
        for length in (self.row, self.final_row):
            if length < 1 or self.tokens_per_step % length:
                raise ValueError(
                    f"{self.tokens_per_step} tokens per step cannot be cut into rows of {length}; "
                    "choose a multiple"
                )

    def length(self, step: int, steps: int) -> int:
        """Tokens in a row at one step of ``steps``."""
        return self.row if step < steps * (1 - self.final_share) else self.final_row


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copying:
    """Which steps of pre-training read random tokens that repeat, instead of text.

    A list that comes again can be known by looking back, and in no other way. Text asks for that
    so rarely that a small model hardly learns it; from short lists it learns it in a few hundred
    steps, and from then on it has heads that other text can use.
    """

    copy_share: float = 0.12  # of all steps, the first ones
    copy_every: int = 20  # and every so many of those that follow; 0: none
    copy_row: int = 64  # tokens in a row in the end; a quarter of it at first, then half

    def __post_init__(self):
        if not 0 <= self.copy_share <= 1 or self.copy_every < 0 or self.copy_row < 24:
            raise ValueError(
                "expected a copy_share from 0 to 1, a copy_every of 0 or more and a copy_row of "
                f"at least 24, got {self.copy_share}, {self.copy_every} and {self.copy_row}"
            )

    def at_first(self, steps: int) -> int:
        """How many steps at the start read nothing else."""
        return round(self.copy_share * steps)

    def is_due(self, step: int, steps: int) -> bool:
        """Whether a step reads lists."""
        later = step - self.at_first(steps)
        return later < 0 or bool(self.copy_every and later % self.copy_every == self.copy_every - 1)

    def text_steps(self, step: int, steps: int) -> int:
        """How many of the steps before this one read text."""
        later = max(0, step - self.at_first(steps))
        return later - (later // self.copy_every if self.copy_every else 0)

    def row(self, step: int, steps: int) -> int:
        """Tokens in a row: short lists are learned first, and long ones from them."""
        done = step / max(1, self.at_first(steps))
        return self.copy_row // (4 if done < 0.6 else 2 if done < 0.8 else 1)


OFTEN_AFTER = 0.4  # of the last part, from where on most steps read facts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """Which steps of pre-training read nothing but the facts, so that they are known by heart.

    A sentence that comes some fifty times among millions of others is not remembered. In the last
    part of a run, when the rate is low and little is forgotten any more, it is: first a few steps
    read facts, and as the rate falls, most do.
    """

    facts_share: float = 1 / 6  # of all steps, the last ones
    facts_every: int = 4  # every so many of these, later all but these; 0: none

    def __post_init__(self):
        if not 0 <= self.facts_share <= 1 or self.facts_every < 0:
            raise ValueError(
                "expected a facts_share from 0 to 1 and a facts_every of 0 or more, got "
                f"{self.facts_share} and {self.facts_every}"
            )

    def start(self, steps: int) -> int:
        """The first step of the last part."""
        return steps - round(self.facts_share * steps)

    def is_due(self, step: int, steps: int) -> bool:
        """Whether a step reads the facts."""
        done = step - self.start(steps)
        if done < 0 or not self.facts_every:
            return False
        place = done % self.facts_every
        often = done >= OFTEN_AFTER * (steps - self.start(steps))
        return place == self.facts_every - 1 or (often and place > 0)


def repeated_lists(
    rng: np.random.Generator, tokens: Array["N"], first: int, rows: int, length: int
) -> tuple[Array["B T"], Array["B T"]]:
    """Ids and targets of rows that say a list of random tokens again and again.

    Each list has three to T / 2 tokens, no token twice, after the token ``first``. What is new
    cannot be known: only what comes again is a target.
    """
    ids = np.full((rows, length + 1), first, dtype=np.int64)
    targets = np.full(ids.shape, IGNORE, dtype=np.int64)
    for row in range(rows):
        n = int(rng.integers(3, length // 2 + 1))
        ids[row, 1:] = np.resize(rng.choice(tokens, n, replace=False), length)
        targets[row, n + 2 :] = ids[row, n + 2 :]
    return ids[:, :-1], targets[:, 1:]


class Pretraining:
    """Running text: each position learns the token that follows it.

    With ``copying``, some steps read lists of ``tokens`` that repeat instead, each after the token
    ``first``; with ``facts``, some of the last ones read the documents of ``facts_stream``. Raises
    ``ValueError`` for a row longer than all the text, or an id outside the vocabulary.
    """

    def __init__(
        self,
        stream: Stream,
        rows: Rows,
        steps: int,
        vocab_size: int,
        copying: Copying | None = None,
        tokens: Sequence[int] = (),
        first: int = 0,
        facts: Facts | None = None,
        facts_stream: Stream | None = None,
    ):
        self.stream, self.rows, self.steps = stream, rows, steps
        self.copying = copying or Copying(copy_share=0.0, copy_every=0)
        self.facts = facts if facts and facts_stream else Facts(facts_every=0)
        self.facts_stream = facts_stream
        self.tokens, self.first = np.array(tokens), first
        longest = max(rows.row, rows.final_row)
        if stream.length <= longest:
            raise ValueError(
                f"the text has {stream.length} tokens, too few for rows of {longest}; "
                "give more text or choose shorter rows"
            )
        check_vocabulary(stream.documents, vocab_size)

    def about(self) -> dict[str, object]:
        about = {}
        for part in (self.rows, self.copying, self.facts):
            about |= dataclasses.asdict(part)
        return about | {"data": digest(self.stream.documents)}

    def facts_steps(self, step: int) -> int:
        """How many of the steps before this one read the facts."""
        last = range(self.facts.start(self.steps), step)
        return sum(self.reads_facts(earlier) for earlier in last)

    def reads_facts(self, step: int) -> bool:
        return self.facts.is_due(step, self.steps) and not self.copying.is_due(step, self.steps)

    def text_steps(self, step: int) -> int:
        """How many of the steps before this one read running text."""
        return self.copying.text_steps(step, self.steps) - self.facts_steps(step)

    def seen(self, step: int) -> dict[str, str]:
        of_text = self.text_steps(step) * self.rows.tokens_per_step
        return {
            "tokens": str(step * self.rows.tokens_per_step),
            "epoch": f"{of_text / self.stream.length:.3f}",
        }

    def parts(self, step: int) -> list[MicroBatch]:
        if self.copying.is_due(step, self.steps):
            length = self.copying.row(step, self.steps)
            rng = np.random.default_rng([self.stream.seed, step, 11])
            rows = max(1, self.rows.tokens_per_step // length)
            ids, targets = repeated_lists(rng, self.tokens, self.first, rows, length)
        else:
            length, stream, place = self.rows.length(step, self.steps), self.stream, self.text_steps
            if self.reads_facts(step):  # in short rows, so that no fact can be copied from another
                length, stream, place = self.copying.copy_row, self.facts_stream, self.facts_steps
            n_tokens = max(1, self.rows.tokens_per_step // length) * length
            ids, targets = stream.batch(place(step), n_tokens, length)
        size = max(1, PART_TOKENS // length)
        counted = (targets != IGNORE).sum()
        return [
            MicroBatch(
                first,
                float((targets[first : first + size] != IGNORE).sum() / counted),
                ids[first : first + size],
                partial(cross_entropy_with_gradient, targets=targets[first : first + size]),
            )
            for first in range(0, len(ids), size)
        ]


class Answer(NamedTuple):
    """A whole dialog as ids, and how many of them were given: what follows is to be learned."""

    ids: np.ndarray
    given: int


class FineTuning:
    """Dialogs, one a row: only the tokens of the answer count.

    Raises ``ValueError`` where a dialog is longer than the context or not of this vocabulary.
    """

    def __init__(
        self, dialogs: Sequence[Answer], per_step: int, seed: int, vocab_size: int, context: int
    ):
        check_dialogs(dialogs, vocab_size, context)
        self.dialogs, self.per_step, self.seed = dialogs, per_step, seed

    def about(self) -> dict[str, object]:
        return {"data": digest([d.ids for d in self.dialogs]), "dialogs_per_step": self.per_step}

    def seen(self, step: int) -> dict[str, str]:
        dialogs = step * self.per_step
        return {"dialogs": str(dialogs), "epoch": f"{dialogs / len(self.dialogs):.3f}"}

    def parts(self, step: int) -> list[MicroBatch]:
        chosen = draw(len(self.dialogs), self.per_step, step, self.seed)
        dialogs = sorted((self.dialogs[i] for i in chosen), key=lambda dialog: len(dialog.ids))
        total = sum(len(dialog.ids) - dialog.given for dialog in dialogs)
        parts = []
        for first, group in groups(dialogs, lambda dialog: len(dialog.ids)):
            ids, targets = pad(group)
            share = float((targets != IGNORE).sum() / total)
            loss_of = partial(cross_entropy_with_gradient, targets=targets)
            parts.append(MicroBatch(first, share, ids, loss_of))
        return parts


class Preference(NamedTuple):
    """Two answers to one question, and the log-probability that the reference gives to each."""

    preferred: Answer
    other: Answer
    reference: tuple[float, float]


class Preferences:
    """Pairs of answers, with the loss of DPO. Raises ``ValueError`` as ``FineTuning`` does."""

    def __init__(
        self,
        pairs: Sequence[Preference],
        per_step: int,
        beta: float,
        seed: int,
        vocab_size: int,
        context: int,
    ):
        check_dialogs([a for p in pairs for a in (p.preferred, p.other)], vocab_size, context)
        self.pairs, self.per_step, self.beta, self.seed = pairs, per_step, beta, seed

    def about(self) -> dict[str, object]:
        data = digest([answer.ids for pair in self.pairs for answer in pair[:2]])
        return {"data": data, "pairs_per_step": self.per_step, "beta": self.beta}

    def seen(self, step: int) -> dict[str, str]:
        pairs = step * self.per_step
        return {"pairs": str(pairs), "epoch": f"{pairs / len(self.pairs):.3f}"}

    def parts(self, step: int) -> list[MicroBatch]:
        chosen = [self.pairs[i] for i in draw(len(self.pairs), self.per_step, step, self.seed)]
        parts = []
        for first, group in groups(chosen, pair_length):
            ids, targets = pad([answer for pair in group for answer in pair[:2]])
            reference = np.array([pair.reference for pair in group])
            loss_of = partial(
                dpo_loss_with_gradient, targets=targets, reference=reference, beta=self.beta
            )
            parts.append(MicroBatch(first, len(group) / len(chosen), ids, loss_of))
        return parts


def pair_length(pair: Preference) -> int:
    return len(pair.preferred.ids) + len(pair.other.ids)


def cross_entropy_with_gradient(
    logits: Array["B T V"], targets: Array["B T"]
) -> tuple[float, Array["B T V"]]:
    """The loss of pre-training and fine-tuning, and d_logits."""
    return cross_entropy(logits, targets), cross_entropy_backward(logits, targets)


def dpo_loss_with_gradient(
    logits: Array["2*B T V"], targets: Array["2*B T"], reference: Array["B 2"], beta: float
) -> tuple[float, Array["2*B T V"]]:
    """The loss of DPO, and d_logits; the rows are preferred, other, preferred, other, ..."""
    log_p = answer_log_probability(logits, targets).reshape(-1, 2)
    d_log_p = dpo_loss_backward(log_p, reference, beta).reshape(-1)
    d_logits = answer_log_probability_backward(d_log_p, logits, targets)
    return dpo_loss(log_p, reference, beta), d_logits


def pad(answers: Sequence[Answer]) -> tuple[Array["B T"], Array["B T"]]:
    """Ids and targets of some dialogs as one batch, the shorter ones padded behind their end.

    Only the answers are targets. No token looks at padding: it comes later than all of them.
    """
    longest = max(len(answer.ids) for answer in answers) - 1
    ids = np.zeros((len(answers), longest), dtype=np.int64)
    targets = np.full(ids.shape, IGNORE, dtype=np.int64)
    for row, answer in enumerate(answers):
        n = len(answer.ids) - 1
        ids[row, :n] = answer.ids[:-1]
        targets[row, answer.given - 1 : n] = answer.ids[answer.given :]
    return ids, targets


def draw(n: int, per_step: int, step: int, seed: int) -> list[int]:
    """Which of ``n`` documents a step takes: all of them once, in a new order in every epoch."""
    places = range(step * per_step, (step + 1) * per_step)
    orders = {
        epoch: np.random.default_rng([seed, epoch]).permutation(n)
        for epoch in {place // n for place in places}
    }
    return [int(orders[place // n][place % n]) for place in places]


def groups(items: Sequence, length: Callable[[object], int]):
    """Cut a batch into groups of about PART_TOKENS tokens, each with the place of its first."""
    first = 0
    while first < len(items):
        size, tokens = 0, 0
        while first + size < len(items) and (
            size == 0 or tokens + length(items[first + size]) <= PART_TOKENS
        ):
            tokens += length(items[first + size])
            size += 1
        yield first, items[first : first + size]
        first += size


def check_vocabulary(documents: Sequence[np.ndarray], vocab_size: int) -> None:
    """Raise ``ValueError`` for ids that the model has no row for."""
    highest = max(int(document.max()) for document in documents)
    if highest >= vocab_size:
        raise ValueError(
            f"the text has the id {highest}, the model a vocabulary of {vocab_size}; "
            "do tokenizer and model belong together?"
        )


def check_dialogs(dialogs: Sequence[Answer], vocab_size: int, context: int) -> None:
    """Raise ``ValueError`` for dialogs that the model cannot learn from."""
    if not dialogs:
        raise ValueError("there is no dialog to learn from")
    check_vocabulary([dialog.ids for dialog in dialogs], vocab_size)
    longest = max(len(dialog.ids) for dialog in dialogs)
    if longest - 1 > context:
        raise ValueError(
            f"a dialog has {longest} tokens, the model's context is {context}; leave it out"
        )
