"""What a comparison teaches: the same pairs of answers, with and without the worse one.

The pairs are stories of the chat model cut down to two sentences, the first and the last, so that
both answers of a pair share something that nobody has preferred: they are short. The chat model
learns from them in three ways, fine-tuned on the preferred ones alone, fine-tuned on both alike,
and by DPO, and is then asked for stories. Two ways run from several seeds, and others once. The
table that comes out ships with the project, and a lesson reads it.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llama_np.weights import Weights

from ...commands import exit_status
from ...commands.dpo import base_and_lora, encode_pairs, log_probabilities_of, with_reference
from ...commands.finetune import load_chat_base, nats_per_token
from ...commands.make_preferences import answers, draw_requests
from ...load import Model
from ...progress import Progress
from ...workers import each
from ..corpus import STORIES, hold_out, read_documents
from ..dialogs import PREFERENCES, Comparison, encode, read_lines, story_dialogs
from ..endings import ends_well, last_sentence
from ..stages import FineTuning, Preferences, Stage
from ..tables import read, write
from ..trainer import Hyperparameters, Training

RESULTS = Path(__file__).with_name("runs.csv")
CHAT = "doll-house-chat"
STEPS, PAIRS_PER_STEP, WARM_UP = 32, 8, 4
HELD_OUT, TEXTS = 24, 12  # pairs at the end that no run learns from; stories to lose
REQUESTS, TRIES, ASKED_WITH = 8, 4, 18  # what is asked, how often, and the seed of the heroes
CHAT_ALONE, PREFERRED, BOTH, COMPARED = "chat", "preferred alone", "both alike", "DPO"
SEEDS, RATE, BETA = 3, 1e-3, 0.1
LOWER_RATE = 2.5e-4  # from one seed


class Run(NamedTuple):
    """One run of the table; without comparisons there is no beta: 0."""

    way: str
    rate: float
    beta: float
    seed: int


class Material:
    """The pairs, which part of them is learned from, and what is measured with."""

    def __init__(self, chat: Model, pairs: Sequence[Comparison]):
        self.chat = chat
        short = [cut for cut in map(two_sentences, pairs) if is_right(cut)]
        encoded = encode_pairs(chat.tokenizer, short, chat.config)
        needed = STEPS * PAIRS_PER_STEP + HELD_OUT
        if len(encoded) < needed:
            raise ValueError(f"expected {needed} pairs that fit the context, found {len(encoded)}")
        known = with_reference(chat.weights, chat.config, encoded[-needed:])
        self.learn, self.held_out = known[:-HELD_OUT], known[-HELD_OUT:]
        self.requests = draw_requests(np.random.default_rng(ASKED_WITH), REQUESTS)
        told = hold_out(story_dialogs(read_documents(STORIES))).held_out[:TEXTS]
        self.texts = [encode(chat.tokenizer, dialog) for dialog in told]

    def stage(self, run: Run) -> Stage:
        """What its steps learn from: with the same seed, DPO and the preferred alone see the same
        pairs at each step, and both answers are as many as DPO's."""
        config = self.chat.config
        limits = run.seed, config.vocab_size, config.context_length
        if run.way == COMPARED:
            return Preferences(self.learn, PAIRS_PER_STEP, run.beta, *limits)
        if run.way == PREFERRED:
            return FineTuning([pair.preferred for pair in self.learn], PAIRS_PER_STEP, *limits)
        both = [answer for pair in self.learn for answer in pair[:2]]
        return FineTuning(both, 2 * PAIRS_PER_STEP, *limits)

    def training(self, run: Run, steps: int = STEPS) -> Training:
        """A run before its first step; it goes on with the chat model's own matrices."""
        base, lora = base_and_lora(str(self.chat.path), self.chat, rank=8, seed=run.seed)
        recipe = Hyperparameters(
            steps=steps, peak_rate=run.rate, warm_up=WARM_UP, weight_decay=0.0, dropout=0.0,
            ema_decay=0.0, seed=run.seed,
        )  # fmt: skip
        return Training(self.chat.config, recipe, self.stage(run), base.weights, lora)

    def gained(self, weights: Weights, n: int = HELD_OUT) -> np.ndarray:
        """By how many nats held-out answers have become likelier, preferred and other: (n, 2)."""
        pairs = self.held_out[:n]
        now = each(lambda p: log_probabilities_of(weights, self.chat.config, p[:2]), pairs)
        return np.array(now) - np.array([pair.reference for pair in pairs])

    def stories(self, weights: Weights, seed: int) -> list[str]:
        """What a model tells, ``TRIES`` times to each request; "" where it came to no end."""
        questions = [question for question in self.requests for _ in range(TRIES)]
        told = answers(self.chat._replace(weights=weights), questions, np.random.default_rng(seed))
        return [story or "" for story in told]


def two_sentences(pair: Comparison) -> Comparison:
    """The same pair with the first and the last sentence of each answer.

    >>> two_sentences(Comparison("?", "A cat sat. It fell. It was glad.", "A cat ran. It fell."))
    Comparison(question='?', preferred='A cat sat. It was glad.', other='A cat ran. It fell.')
    """

    def cut(story: str) -> str:
        sentences = re.split(r"(?<=[.!?\"])\s+", story.strip())
        return f"{sentences[0]} {sentences[-1]}"

    return Comparison(pair.question, cut(pair.preferred), cut(pair.other))


def is_right(pair: Comparison) -> bool:
    """Whether the rule still prefers what it preferred."""
    return ends_well(pair.preferred) and not ends_well(pair.other)


def figures(stories: Sequence[str]) -> dict[str, float]:
    """What the rule says of some stories, and what it does not ask for.

    The share that end well, how many last sentences differ, and the mean length.
    """
    return {
        "stories": len(stories),
        "ends_well": float(np.mean([ends_well(story) for story in stories])),
        "endings": len({last_sentence(story) for story in stories}),
        "characters": float(np.mean([len(story) for story in stories])),
    }


def all_runs(seeds: int = SEEDS) -> list[Run]:
    """The chat model as it is and two ways at one rate, seed after seed; then, once, both answers
    alike, and the two ways at a lower rate."""
    main = [(CHAT_ALONE, 0.0, 0.0), (PREFERRED, RATE, 0.0), (COMPARED, RATE, BETA)]
    once = [(BOTH, RATE, 0.0), (PREFERRED, LOWER_RATE, 0.0), (COMPARED, LOWER_RATE, BETA)]
    runs = [Run(*setting, seed) for seed in range(seeds) for setting in main]
    return runs + [Run(*setting, seed=0) for setting in once]


def measure(material: Material, run: Run, steps: int = STEPS) -> dict:
    """One run from its first step to a row of the table."""
    if run.way == CHAT_ALONE:
        return run._asdict() | measured(material, material.chat.weights, run.seed)
    training = material.training(run, steps)
    while training.step < steps:
        training.take_step()
    return run._asdict() | measured(material, training.weights(training.learned), run.seed)


def measured(material: Material, weights: Weights, seed: int) -> dict:
    """What is written down about one model."""
    gained = material.gained(weights)
    return {
        "preferred": float(gained[:, 0].mean()),
        "other": float(gained[:, 1].mean()),
        "agreement": float((gained[:, 0] > gained[:, 1]).mean()),
        "story_loss": nats_per_token(weights, material.chat.config, material.texts),
    } | figures(material.stories(weights, seed))


def run_study(out: Path, material: Material, runs: Sequence[Run], steps: int = STEPS) -> None:
    """Every run that is not in the table yet; the table is written after each of them."""
    rows = read(out) if out.exists() else []
    done = {Run(*(row[name] for name in Run._fields)) for row in rows}
    progress = Progress(len(runs))
    for n, run in enumerate(runs, start=1):
        if run not in done:
            rows.append(measure(material, run, steps))
            write(out, rows, places=5, exact=("rate", "beta"))
            share = rows[-1]["ends_well"]
            progress.show(n, f"{run.way}, rate {run.rate:g}, seed {run.seed}: {share:.0%}")


def run(args: argparse.Namespace) -> None:
    """What the command line says."""
    if args.seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {args.seeds}")
    chat, pairs = load_chat_base(args.model), list(read_lines(args.pairs, Comparison))
    run_study(args.out, Material(chat, pairs), all_runs(args.seeds))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study and write its table; errors are one line."""
    parser = argparse.ArgumentParser(
        prog="python -m weights_tools.training.comparisons.study",
        description=__doc__.split("\n\n")[1] + " It takes about ten minutes on one core. Runs "
        "that are in the table are not made again: for a new one give another --out.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--model", default=CHAT, metavar="MODEL", help="a chat model")
    parser.add_argument("--pairs", type=Path, default=PREFERENCES, metavar="FILE", help="pairs")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="the table")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help="of the main runs")
    return exit_status(run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
