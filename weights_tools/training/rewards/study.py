"""Reward against distance: what four ways to happy endings earn, and what each of them moves.

The best of several answers, fine-tuning on the preferred answers alone, DPO and GRPO answer the
same requests, and each is measured: reward, KL from the chat model, and what else has changed. GRPO
runs from three seeds, as the command has it and with its advantage paid to the last sentence alone,
and once each with no penalty on KL and with ten times as much. The tables that come out ship with
the project, and a lesson reads them: a row a point in ``points.csv``, the log of each run of GRPO
in ``grpo_log.csv``, and in ``endings.csv`` every last sentence with how often it came.
"""

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llama_np.axes import Array
from llama_np.tokenizer import Tokenizer
from llama_np.weights import Weights

from ...commands import exit_status
from ...commands import grpo as command
from ...commands.dpo import base_and_lora, encode_pairs, with_reference
from ...commands.finetune import load_chat_base, nats_per_token
from ...load import Model
from ...progress import Progress
from ..corpus import STORIES, hold_out, read_documents
from ..dialogs import PREFERENCES, Comparison, encode, read_lines, story_dialogs
from ..endings import ends_well, last_sentence
from ..grpo import GroupRewards, Groups, GroupTraining, Told, figures_of, figures_of_best, tell
from ..stages import FineTuning, Preferences
from ..tables import read, write
from ..trainer import Hyperparameters, Training

HERE = Path(__file__).parent
POINTS, ENDINGS, GRPO_LOG = (HERE / f"{name}.csv" for name in ("points", "endings", "grpo_log"))
CHAT = "doll-house-chat"
CHAT_ALONE, BEST_OF_N, CHEERFUL = "chat model", "best of n", "DPO that ships"
PREFERRED, COMPARED = "preferred alone", "DPO"  # both on whole stories
REWARDED, PAID_AT_THE_END = "GRPO", "GRPO, last sentence paid"  # by the recipe of the command
PENALTY = Groups().beta  # on KL, the command's
OTHER_PENALTIES = {"GRPO, no penalty": 0.0, "GRPO, ten times the penalty": 10 * PENALTY}
PAIRS, HELD_OUT, PAIRS_PER_STEP = 64, 16, 4  # the pairs before the last HELD_OUT
TEXTS = 16  # stories that none has learned from
STOPS = (12, 48)  # steps after which a training on pairs is measured
HALF_WAY = 25  # of the command's 60: there the run stops that pays the last sentence alone
TOLD_EVERY = 5  # steps of GRPO from one line of its log to the next
RECIPE = Hyperparameters(
    steps=48, peak_rate=1e-3, warm_up=2, weight_decay=0.0, dropout=0.0, ema_decay=0.0
)
SEED = 19  # of requests and draws: no training has it
SEEDS = range(3)  # of GRPO


class Way(NamedTuple):
    """A row of the table, as far as it is chosen; without a beta, or a seed: 0."""

    method: str
    beta: float = 0.0
    seed: int = 0


WAYS = [
    Way(CHEERFUL),
    Way(PREFERRED),
    Way(COMPARED, 0.1),
    *(Way(REWARDED, PENALTY, seed) for seed in SEEDS),
    *(Way(PAID_AT_THE_END, PENALTY, seed) for seed in SEEDS),
    *(Way(method, beta) for method, beta in OTHER_PENALTIES.items()),
]


class Examination:
    """The same requests for every model, and stories that it should not have forgotten."""

    def __init__(self, chat: Model, requests: int, answers: int):
        self.chat, self.how = chat, Groups(answers=answers)
        dialogs = hold_out(story_dialogs(read_documents(STORIES))).held_out[:TEXTS]
        self.texts = [encode(chat.tokenizer, dialog) for dialog in dialogs]
        self.prompts = command.prompts(chat.tokenizer, np.random.default_rng(SEED), requests)

    def told(self, weights: Weights, progress: Progress) -> list[Told]:
        """Its answers, request after request."""
        found = []
        for i, prompt in enumerate(self.prompts):
            found += tell(
                weights, self.chat.weights, self.chat.config, self.chat.tokenizer, [prompt],
                ends_well, self.how, [SEED, i],
            )  # fmt: skip
            progress.show(i + 1, "requests")
        return found

    def point(self, weights: Weights, told: Sequence[Told]) -> dict[str, float]:
        """What is measured of one model."""
        end = float(np.mean([nats_at_the_end(self.chat.tokenizer, one) for one in told]))
        forgotten = nats_per_token(weights, self.chat.config, self.texts)
        return figures_of(told) | {"kl_at_the_end": end, "story_loss": forgotten}


def in_the_last_sentence(tokenizer: Tokenizer, told: Told) -> Array["n"]:
    """1 for the tokens of the last sentence, all that the rule looks at; 0 for the others.

    It begins with the first token that the sentence needs, and goes on to the end of the answer;
    all are 0 where the answer did not end.
    """
    if not told.text:
        return np.zeros(len(told.kl))
    ids = told.answer.ids[told.answer.given :].tolist()
    start = len(tokenizer.decode(ids).rpartition(last_sentence(told.text))[0].encode())
    ends = np.cumsum([len(tokenizer.decode_bytes([token])) for token in ids])
    return (ends > start).astype(float)


def nats_at_the_end(tokenizer: Tokenizer, told: Told) -> float:
    """How much of an answer's KL lies in its last sentence."""
    return float(told.kl @ in_the_last_sentence(tokenizer, told))


def on_pairs(way: Way, chat: Model) -> Training:
    """A training on pairs, before its first step; it goes on with the chat model's own matrices."""
    config, recipe = chat.config, dataclasses.replace(RECIPE, seed=way.seed)
    pairs = encode_pairs(chat.tokenizer, list(read_lines(PREFERENCES, Comparison)), config)
    learned = pairs[-PAIRS - HELD_OUT : -HELD_OUT]
    limits = PAIRS_PER_STEP, way.seed, config.vocab_size, config.context_length
    if way.method == COMPARED:
        known = with_reference(chat.weights, config, learned)
        stage = Preferences(known, PAIRS_PER_STEP, way.beta, *limits[1:])
    else:
        stage = FineTuning([preferred for preferred, _ in learned], *limits)
    base, lora = base_and_lora(CHAT, chat, rank=8, seed=way.seed)
    return Training(config, recipe, stage, base.weights, lora)


def on_rewards(way: Way, chat: Model) -> GroupTraining:
    """What the command ``grpo`` does by its defaults but for seed, beta, and what is paid for."""
    recipe = dataclasses.replace(command.RECIPE, seed=way.seed)

    def last_sentence_alone(told: Told) -> Array["n"]:
        return in_the_last_sentence(chat.tokenizer, told)

    stage = GroupRewards(
        chat.weights, chat.config, chat.tokenizer, partial(command.prompts, chat.tokenizer),
        ends_well, Groups(beta=way.beta), way.seed,
        paid=last_sentence_alone if way.method == PAID_AT_THE_END else None,
    )  # fmt: skip
    base, lora = base_and_lora(CHAT, chat, rank=8, seed=way.seed)
    return GroupTraining(chat.config, recipe, stage, base.weights, lora)


def trained_on_pairs(way: Way, chat: Model) -> Iterator[tuple[str, Weights]]:
    """The chat model on its way through the pairs, at each step where it is measured."""
    training, progress = on_pairs(way, chat), Progress(STOPS[-1])
    for stop in STOPS:
        while training.step < stop:
            training.take_step()
            progress.show(training.step, f"steps, {way.method}, seed {way.seed}")
        yield f"{stop} steps", training.weights(training.learned)


def steps_of(way: Way) -> int:
    """How many steps a run of GRPO takes."""
    return HALF_WAY if way.method == PAID_AT_THE_END else command.RECIPE.steps


def trained_on_rewards(way: Way, chat: Model, log: list[Mapping]) -> Iterator[tuple[str, Weights]]:
    """The chat model after GRPO; what it told on its way is added to ``log``."""
    training = on_rewards(way, chat)
    progress = Progress(steps_of(way))
    while training.step < steps_of(way):
        training.take_step()
        progress.show(training.step, f"steps, {way.method}, beta {way.beta:g}, seed {way.seed}")
        if training.step % TOLD_EVERY == 0:
            row = {"step": training.step, "train_loss": training.loss} | training.stage.figures()
            log.append(way._asdict() | row)
    yield f"{training.step} steps", training.weights(training.average)


def models(way: Way, chat: Model, log: list[Mapping]) -> Iterator[tuple[str, Weights]]:
    """Each model of a way that is measured, and when it is."""
    if way.method == CHAT_ALONE:
        yield "start", chat.weights
    elif way.method == CHEERFUL:
        yield "end", load_chat_base("doll-house-cheerful").weights
    elif way.method in (REWARDED, PAID_AT_THE_END, *OTHER_PENALTIES):
        yield from trained_on_rewards(way, chat, log)
    else:
        yield from trained_on_pairs(way, chat)


def counted(told: Sequence[Told], point: Mapping) -> list[dict]:
    """Every last sentence, how often it came, and whether the rule likes it; the frequent first."""
    ends = Counter(last_sentence(one.text) for one in told if one.text is not None)
    named = {key: point[key] for key in (*Way._fields, "at")}
    return [
        named | {"times": n, "rewarded": int(ends_well(ending)), "ending": ending}
        for ending, n in ends.most_common()
    ]


def best_of(told: Sequence[Told], chat: Mapping, answers: int) -> list[dict]:
    """The points of choosing among the chat model's own answers: 2, 4, ... of them."""
    points, n = [], 2
    while n <= answers:
        figures = figures_of_best(told, answers, n) | {"answers": len(told) // answers}
        points.append(chat | figures | {"method": BEST_OF_N, "at": f"n = {n}", "kl_at_the_end": ""})
        n *= 2
    return points


def measure(way: Way, examination: Examination, answers: int) -> tuple[list, list, list]:
    """The rows of one way in each of the three tables."""
    points, ends, log = [], [], []
    for at, weights in models(way, examination.chat, log):
        told = examination.told(weights, Progress(len(examination.prompts)))
        figures = examination.point(weights, told)
        points.append(way._asdict() | {"at": at, "answers": len(told)} | figures)
        ends += counted(told, points[-1])
        shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        print(f"{way.method}, {at}: {shown}", file=sys.stderr)
    if way.method == CHAT_ALONE:
        points += best_of(told, points[0], answers)
    return points, ends, log


def run(args: argparse.Namespace) -> None:
    """What the command line says: every way that is not in the tables yet."""
    args.out.mkdir(parents=True, exist_ok=True)
    examination = Examination(load_chat_base(CHAT), args.requests, args.answers)
    tables = [args.out / path.name for path in (POINTS, ENDINGS, GRPO_LOG)]
    there = {path: read(path) if path.exists() else [] for path in tables}
    done = {way_of(row) for row in there[tables[0]]}
    for way in (Way(CHAT_ALONE), *WAYS):
        if way in done:
            continue
        found = measure(way, examination, args.answers)
        for path, rows in [*zip(tables, found, strict=True)][::-1]:  # points last: it is whole
            if rows:
                there[path] = [row for row in there[path] if way_of(row) != way] + rows
                write(path, there[path], exact=("beta",))


def way_of(row: Mapping) -> Way:
    """What a row of a table belongs to."""
    return Way(*(row[name] for name in Way._fields))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is not in the tables yet; errors are one line."""
    parser = argparse.ArgumentParser(
        prog="python -m weights_tools.training.rewards.study",
        description=__doc__.split("\n\n")[1] + " It takes an hour and a half on one core. What is "
        "in the tables is not made again: to make all of it give another --out.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables are, or are to be")
    parser.add_argument("--requests", type=int, default=16, metavar="N", help="to each model")
    parser.add_argument("--answers", type=int, default=8, metavar="N", help="to each request")
    return exit_status(run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
