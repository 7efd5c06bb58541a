"""Answers that a model tells itself, judged by a rule: what a step of GRPO learns from.

The other stages read text that is there before. This one lets the model as it is by now tell a
group of answers to each request, and learns which of a group were better than the rest.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from llama_np.axes import Array
from llama_np.config import LlamaConfig
from llama_np.model import forward
from llama_np.sampling import Sampling, apply_temperature, generation_steps
from llama_np.tokenizer import Tokenizer
from llama_np.training.loss import IGNORE
from llama_np.training.preference import token_log_probability, token_log_probability_backward
from llama_np.training.rewards import (
    best_of_n,
    best_of_n_kl_bound,
    group_advantages,
    grpo_loss,
    grpo_loss_backward,
    kl_divergence,
    least_kl,
    mean_of_answers,
)
from llama_np.weights import Weights

from ..workers import each
from .endings import last_sentence
from .stages import Answer, MicroBatch, groups, pad
from .trainer import Training, name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Groups:
    """How many answers a step learns from, how they are told, and how far they may move a model."""

    requests_per_step: int = 2
    answers: int = 8  # to each request: a group
    updates: int = 1  # from the same answers
    longest: int = 420  # tokens of an answer
    temperature: float = 0.8
    ratio_clip: float = 0.2
    beta: float = 0.04  # DeepSeekMath's

    def __post_init__(self):
        for option, least in (
            ("requests_per_step", 1), ("answers", 2), ("updates", 1), ("longest", 1)
        ):  # fmt: skip
            if getattr(self, option) < least:
                raise ValueError(
                    f"--{option.replace('_', '-')} must be at least {least}, "
                    f"got {getattr(self, option)}"
                )
        for option in ("temperature", "ratio_clip"):
            if not 0 < getattr(self, option) < float("inf"):  # NaN is refused too
                raise ValueError(
                    f"--{option.replace('_', '-')} must be above 0, got {getattr(self, option)}"
                )
        if not 0 <= self.beta < float("inf"):
            raise ValueError(f"--beta must be 0 or more, got {self.beta}")


class Told(NamedTuple):
    """An answer that was told, its reward, and what it takes to learn from it."""

    answer: Answer
    text: str | None  # None where it did not come to an end in time
    reward: float
    log_p: Array["n"]  # of each token of the answer, under the model that told it
    reference: Array["n"]  # the same under the reference
    kl: Array["n"]  # of the model from the reference at each token, from all probabilities; nats


def tell_group(
    weights: Weights,
    config: LlamaConfig,
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    how: Groups,
    rng: np.random.Generator,
) -> list[Answer]:
    """A group of answers to one prompt, each with the stop token that it came to, if it did.

    All of the distribution is drawn from (no top-k, no top-p): what is learned from must have been
    drawn by the model whose probabilities count.
    """
    rows, writing = [list(prompt) for _ in range(how.answers)], np.ones(how.answers, dtype=bool)
    steps = generation_steps(
        weights, config, np.array(rows), how.longest, Sampling(how.temperature),
        rng=rng, vocab_size=tokenizer.vocab_size,
    )  # fmt: skip
    for tokens, _ in steps:
        for i in np.flatnonzero(writing):
            rows[i].append(int(tokens[i]))
        writing &= ~np.isin(tokens, list(tokenizer.stop_ids))
        if not writing.any():
            break
    return [Answer(np.array(row), len(prompt)) for row in rows]


def text_of(tokenizer: Tokenizer, answer: Answer) -> str | None:
    """What an answer says; None where it did not come to an end."""
    told = answer.ids[answer.given :].tolist()
    return tokenizer.decode(told[:-1]).strip() if told[-1] in tokenizer.stop_ids else None


def tell(
    weights: Weights,
    reference: Weights,
    config: LlamaConfig,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    reward: Callable[[str], float],
    how: Groups,
    seed: Sequence[int],
) -> list[Told]:
    """A group of answers to each prompt, one group after another, with their rewards.

    An answer that does not come to an end gets no reward: 0. The same ``seed``, some whole numbers,
    gives the same answers, on however many cores.
    """

    def group(i: int) -> list[Answer]:
        rng = np.random.default_rng([*seed, i])
        return tell_group(weights, config, tokenizer, prompts[i], how, rng)

    def judge(answers: Sequence[Answer]) -> list[Told]:
        ids, targets = pad(answers)
        counts = targets != IGNORE
        now, then = (
            apply_temperature(forward(model, config, ids), how.temperature)
            for model in (weights, reference)
        )
        log_p, log_q = (token_log_probability(logits, targets) for logits in (now, then))
        kl = kl_divergence(now, then)
        texts = [text_of(tokenizer, answer) for answer in answers]
        rewards = [0.0 if text is None else float(reward(text)) for text in texts]
        of_tokens = [[row[c] for row in (log_p[i], log_q[i], kl[i])] for i, c in enumerate(counts)]
        each_of = zip(answers, texts, rewards, of_tokens, strict=True)
        return [Told(answer, text, earned, *known) for answer, text, earned, known in each_of]

    answers = sum(each(group, range(len(prompts))), [])
    parts = [part for _, part in groups(answers, lambda answer: len(answer.ids))]
    return sum(each(judge, parts), [])


def figures_of(told: Sequence[Told]) -> dict[str, float]:
    """What is plotted: reward, and KL from the reference in nats, both of an answer; and what it
    costs: the mean length in tokens, and how many last sentences differ among those that ended."""
    return {
        "mean_reward": float(np.mean([one.reward for one in told])),
        "kl_per_answer": float(np.mean([one.kl.sum() for one in told])),
        "mean_length": float(np.mean([len(one.log_p) for one in told])),
        "distinct_endings": len({last_sentence(one.text) for one in told if one.text is not None}),
    }


def figures_of_best(told: Sequence[Told], answers: int, n: int) -> dict[str, float]:
    """``figures_of`` a model that tells ``n`` answers and hands out the best, as far as it goes.

    ``told`` are groups of that many ``answers`` each, of a model that has not moved. The reward is
    the mean over all choices of n from a group; length and endings are those of the best of the
    first n. For rewards of 0 and 1 the KL is the mean over the groups of ``least_kl``, as if a
    group were all that the model can say; for others the most that it can be, the
    ``best_of_n_kl_bound``. Raises ``ValueError`` for an n below 1 or above ``answers``.
    """
    rewards = np.array([one.reward for one in told]).reshape(-1, answers)
    chosen, drawn = best_of_n(rewards, n), rewards.mean(axis=-1)
    kl = best_of_n_kl_bound(n)
    if np.isin(rewards, (0, 1)).all():
        kl = float(np.mean([least_kl(min(q, 1.0), p) for q, p in zip(chosen, drawn, strict=True)]))
    best = [i * answers + int(row[:n].argmax()) for i, row in enumerate(rewards)]
    moved = {"mean_reward": float(chosen.mean()), "kl_per_answer": kl}
    return figures_of([told[i] for i in best]) | moved


def grpo_loss_with_gradient(
    logits: Array["B T V"],
    targets: Array["B T"],
    old: Array["B T"],
    reference: Array["B T"],
    advantages: Array["B"] | Array["B T"],
    clip: float,
    beta: float,
    temperature: float,
) -> tuple[float, Array["B T V"]]:
    """The loss of GRPO, and d_logits; the policy is the model at the temperature of the draw."""
    scaled = apply_temperature(logits, temperature)
    log_p = token_log_probability(scaled, targets)
    given = log_p, old, reference, advantages, mean_of_answers(targets != IGNORE), clip, beta
    d_scaled = token_log_probability_backward(grpo_loss_backward(*given), scaled, targets)
    return grpo_loss(*given), d_scaled / temperature


def in_place(targets: Array["B T"], rows: Sequence[Array["n"]]) -> Array["B T"]:
    """What is known of each token of some answers, where the answers stand in ``pad``; 0 elsewhere.

    >>> targets = np.array([[IGNORE, 5, 6], [7, IGNORE, IGNORE]])
    >>> in_place(targets, [np.array([1.0, 2.0]), np.array([3.0])]).tolist()
    [[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]]
    """
    placed = np.zeros(targets.shape, rows[0].dtype)
    placed[targets != IGNORE] = np.concatenate(rows)
    return placed


class GroupRewards:
    """Requests, answers of the model as it is by now, and the loss of GRPO.

    ``ask`` draws that many prompts; ``reward`` judges a finished answer. ``paid`` says which tokens
    of an answer its advantage goes to, an (n,) array; without it, all of them. Everything follows
    from the seed, the step and the model's weights. Where a step's answers serve several updates, a
    run can go on only from a step that draws new ones.
    """

    def __init__(
        self,
        reference: Weights,
        config: LlamaConfig,
        tokenizer: Tokenizer,
        ask: Callable[[np.random.Generator, int], Sequence[Sequence[int]]],
        reward: Callable[[str], float],
        how: Groups,
        seed: int,
        paid: Callable[[Told], Array["n"]] | None = None,
    ):
        self.reference, self.config, self.tokenizer = reference, config, tokenizer
        self.ask, self.reward, self.how, self.seed, self.paid = ask, reward, how, seed, paid
        self.told: list[Told] = []
        self.since: list[Told] = []  # told since the figures were asked for

    def about(self) -> dict[str, object]:
        rule = {"reward": self.reward.__name__, "reference": name(self.reference)}
        paid = {"paid": self.paid.__name__} if self.paid else {}
        return dataclasses.asdict(self.how) | rule | paid

    def seen(self, step: int) -> dict[str, str]:
        draws = -(-step // self.how.updates)
        return {"answers": str(draws * self.how.requests_per_step * self.how.answers)}

    def figures(self) -> dict[str, float]:
        """``figures_of`` all that was told since they were asked for before."""
        found, self.since = figures_of(self.since), []
        return found

    def parts(self, step: int, weights: Weights) -> list[MicroBatch]:
        """The batch of one step: the first update of a draw lets ``weights`` tell new answers."""
        draw, update = divmod(step, self.how.updates)
        if update == 0:
            rng = np.random.default_rng([self.seed, draw, 17])
            prompts = self.ask(rng, self.how.requests_per_step)
            self.told = tell(
                weights, self.reference, self.config, self.tokenizer, prompts, self.reward,
                self.how, [self.seed, draw],
            )  # fmt: skip
            self.since += self.told
        return self.cut(self.told)

    def cut(self, told: Sequence[Told]) -> list[MicroBatch]:
        """Answers and their advantages, in parts; short ones together, so that little is padded."""
        rewards = np.array([one.reward for one in told]).reshape(-1, self.how.answers)
        judged = zip(told, group_advantages(rewards).reshape(-1), strict=True)
        in_order = sorted(judged, key=lambda pair: len(pair[0].answer.ids))
        parts = []
        for first, group in groups(in_order, lambda pair: len(pair[0].answer.ids)):
            some, advantages = zip(*group, strict=True)
            ids, targets = pad([one.answer for one in some])
            advantages = np.array(advantages)
            if self.paid:
                goes_to = in_place(targets, [self.paid(one) for one in some])
                advantages = advantages[:, None] * goes_to
            loss_of = partial(
                grpo_loss_with_gradient, targets=targets,
                old=in_place(targets, [one.log_p for one in some]),
                reference=in_place(targets, [one.reference for one in some]),
                advantages=advantages, clip=self.how.ratio_clip, beta=self.how.beta,
                temperature=self.how.temperature,
            )  # fmt: skip
            parts.append(MicroBatch(first, len(group) / len(told), ids, loss_of))
        return parts


class GroupTraining(Training):
    """``Training`` whose batches are told by the model itself: ``stage`` is a ``GroupRewards``."""

    def batch(self, weights: Weights) -> list[MicroBatch]:
        return self.stage.parts(self.step, weights)
