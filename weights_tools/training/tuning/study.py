"""Fine-tuning by ways, rates, ranks and masks, each measured.

The doll-house is taught to answer requests with the first two sentences of a story, again and
again: with all weights and with LoRA, at several rates and ranks, and with masks that count other
tokens of a dialog. After each run it says what was learned, what was lost, and how far the weights
went. The table that comes out ships with the project, and a lesson reads it.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llama_np.axes import Array
from llama_np.sampling import Sampling, generate_batch
from llama_np.tokenizer.chat import encode_dialog
from llama_np.training.backward import loss_and_gradients
from llama_np.training.lora import initialize_lora, lora_loss_and_gradients, merge
from llama_np.training.loss import IGNORE
from llama_np.training.optimizer import AdamW, clip_by_global_norm, learning_rate
from llama_np.weights import Named, Weights

from ...commands import exit_status
from ...commands.finetune import load_chat_base, nats_per_token
from ...load import Model
from ...progress import Progress
from ...workers import one_blas_thread
from ..corpus import STORIES, digest, encode_document, read_documents, read_facts
from ..dialogs import Dialog, encode, story_dialogs
from ..heroes import find_hero
from ..stages import Answer, draw, pad
from ..tables import read_filled, write

RESULTS = Path(__file__).with_name("runs.csv")
STEPS, DIALOGS_PER_STEP, WARM_UP = 30, 4, 3
SENTENCES = 2  # of each story: short answers, so that a run takes seconds
HELD_OUT, STORIES_ALONE = 40, 12  # dialogs, and stories without a request, that no run trains on
ASKED, NEW_TOKENS = 24, 40  # requests that are answered after a run, and how long an answer may be
DRAWN = Sampling(temperature=0.7, top_p=0.9)
FULL_RATES = (1.25e-4, 2.5e-4, 5e-4, 1e-3, 2e-3)
LORA_RATES = (6e-4, 1.25e-3, 2.5e-3, 5e-3, 1e-2)
RANK, RATE = 8, 2.5e-3
SEEDS = 3
SMALLER_RANKS = {1: LORA_RATES, 2: (RATE,), 4: (RATE,)}  # and their rates
ANSWERING = {(RANK, RATE), *((rank, RATE) for rank in SMALLER_RANKS), (1, LORA_RATES[-1])}
SETS = ("requests", "facts", "stories")  # the last is not measured half of the way
FIGURES = (*SETS, "half_way_requests", "half_way_facts", "moved", "named", "ended")

Mask = Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # see ``MASKS``


def one_too_late(targets: Array["B T"], following: Array["B T"], end: int) -> Array["B T"]:
    """The targets without the first token of each answer, as if the mask were shifted."""
    return np.where(np.cumsum(targets != IGNORE, axis=-1) == 1, IGNORE, targets)


# Which tokens count, from the targets of the answers, those of all tokens, and the end of a turn.
MASKS: dict[str, Mask] = {
    "the answer": lambda targets, following, end: targets,
    "the question as well": lambda targets, following, end: following,
    "padding as well": lambda targets, following, end: np.where(following == IGNORE, 0, targets),
    "one token too late": one_too_late,
    "all but the end": lambda targets, following, end: np.where(targets == end, IGNORE, targets),
}
USUAL = "the answer"


class Run(NamedTuple):
    """One run of the table; rank 0 trains all weights."""

    rank: int
    rate: float
    mask: str
    seed: int


class Material:
    """The dialogs to learn from, and three sets to measure with that no run trains on.

    ``requests`` are held-out dialogs of the same kind, ``facts`` all lines of the facts file, which
    the doll-house was made to learn by heart, ``stories`` whole held-out stories without a request.
    Raises ``ValueError`` where the corpus is too short.
    """

    def __init__(self, model: Model, corpus: Path = STORIES):
        self.model, tokenizer = model, model.tokenizer
        stories = [story for story in read_documents(corpus) if find_hero(story)]
        if len(stories) <= HELD_OUT:
            raise ValueError(
                f"{corpus}: expected more than {HELD_OUT} stories that name a hero, found "
                f"{len(stories)}; give a longer file"
            )
        self.dialogs = [first_sentences(dialog) for dialog in story_dialogs(stories)]
        answers = [encode(tokenizer, dialog) for dialog in self.dialogs]
        self.learn = answers[:-HELD_OUT]
        self.sets = {
            "requests": answers[-HELD_OUT:],
            "facts": [fact_to_measure(tokenizer, line) for line in read_facts()],
            "stories": [text_to_measure(tokenizer, story) for story in stories[-STORIES_ALONE:]],
        }
        held_out = [(d.question, find_hero(d.answer)) for d in self.dialogs[-HELD_OUT:]]
        self.asked = [(text, hero) for text, hero in held_out if hero.name in text][:ASKED]

    def measure(self, weights: Weights, names: Sequence[str] = SETS) -> dict[str, float]:
        """Nats a token on some of the sets."""
        config = self.model.config
        return {name: nats_per_token(weights, config, self.sets[name]) for name in names}

    def answered(self, weights: Weights) -> dict[str, float]:
        """Shares of held-out requests whose answer begins with the hero, and ends by itself."""
        tokenizer = self.model.tokenizer
        turns = [[{"role": "user", "content": text}] for text, _ in self.asked]
        told = generate_batch(
            weights, self.model.config, [encode_dialog(tokenizer, turn) for turn in turns],
            NEW_TOKENS, DRAWN, rng=np.random.default_rng(0), stop_tokens=tokenizer.stop_ids,
        )  # fmt: skip
        named = [
            find_hero(tokenizer.decode(new)) == hero
            for new, (_, hero) in zip(told, self.asked, strict=True)
        ]
        ended = [len(new) < NEW_TOKENS for new in told]
        return {"named": float(np.mean(named)), "ended": float(np.mean(ended))}

    def tune(self, run: Run, steps: int = STEPS) -> Weights:
        """The weights after a run."""
        model = self.model
        weights, config = model.weights, model.config

        def lora_step(learned, ids, targets):
            return lora_loss_and_gradients(weights, config, learned, ids, targets)

        def full_step(learned, ids, targets):
            return loss_and_gradients(learned, config, ids, targets)

        if run.rank:
            learned = initialize_lora(config, run.rank, np.random.default_rng(run.seed))
            self.descend(learned, lora_step, run, steps)
            return merge(weights, learned)
        learned = weights.map(np.copy)
        self.descend(learned, full_step, run, steps)
        return learned

    def descend(self, learned: Named, gradients_of: Callable, run: Run, steps: int) -> None:
        """Change ``learned`` step by step; the seed also says in which order the dialogs come."""
        end = self.model.tokenizer.special_id("<|eot_id|>")
        optimizer = AdamW(learned, weight_decay=0.0)
        for step in range(steps):
            chosen = draw(len(self.learn), DIALOGS_PER_STEP, step, run.seed)
            batch = [self.learn[i] for i in chosen]
            ids, targets = pad(batch)
            _, following = pad([answer._replace(given=1) for answer in batch])
            _, gradients = gradients_of(learned, ids, MASKS[run.mask](targets, following, end))
            clip_by_global_norm(gradients, 1.0)
            rate = learning_rate(step, run.rate, min(WARM_UP, steps), steps)
            optimizer.step(learned, gradients, rate)

    def figures(self, weights: Weights, run: Run | None = None) -> dict[str, float]:
        """What a row of the table says of a model after a run, or before all of them.

        With the usual mask the losses, those half of the way to it, and how long that way is; where
        masks or ranks are compared, how it answers.
        """
        found = {}
        if run is None or run.mask == USUAL:
            half = part_of_the_way(self.model.weights, weights, 0.5)
            found = self.measure(weights)
            found |= {f"half_way_{k}": v for k, v in self.measure(half, SETS[:2]).items()}
            found["moved"] = distance(self.model.weights, weights)
        if run is None or run[:2] in ANSWERING:
            found |= self.measure(weights, ["requests"]) | self.answered(weights)
        return found


def part_of_the_way(start: Weights, end: Weights, share: float) -> Weights:
    """Each weight that share of the way from one model to the other; 0 is the start, 1 the end.

    Source: https://arxiv.org/abs/2109.01903
    """
    moved = dict(end.named())
    return Weights.from_named(
        {name: w + np.float32(share) * (moved[name] - w) for name, w in start.named()}
    )


def distance(start: Weights, end: Weights) -> float:
    """The length of the change from one model to another, as one vector of all weights."""
    moved = dict(end.named())
    return float(np.sqrt(sum(np.square(moved[name] - w).sum() for name, w in start.named())))


def first_sentences(dialog: Dialog, n: int = SENTENCES) -> Dialog:
    """The same question with the beginning of its answer."""
    return dialog._replace(answer=" ".join(re.split(r"(?<=[.!?])\s", dialog.answer)[:n]))


def text_to_measure(tokenizer, text: str) -> Answer:
    """A document of which every token counts."""
    return Answer(np.array(encode_document(tokenizer, text)), 1)


def fact_to_measure(tokenizer, line: str) -> Answer:
    """A fact: of a question the answer counts, of a text every token."""
    if "\t" in line:
        return encode(tokenizer, Dialog(*line.split("\t")))
    return text_to_measure(tokenizer, line)


def all_runs(seeds: int = SEEDS) -> list[Run]:
    """Seed after seed all weights and LoRA over their rates and smaller ranks, and other masks."""
    rates = {0: FULL_RATES, RANK: LORA_RATES} | SMALLER_RANKS
    settings = [(rank, rate, USUAL) for rank in rates for rate in rates[rank]]
    settings += [(RANK, RATE, mask) for mask in MASKS if mask != USUAL]
    return [Run(*setting, seed) for seed in range(seeds) for setting in settings]


def write_rows(path: Path, before: dict, found: dict[Run, dict]) -> None:
    """The table as a file, numbers with three decimals; the first row is the model before."""
    rows = [Run(0, 0.0, "nothing", 0)._asdict() | before]
    rows += [run._asdict() | figures for run, figures in found.items()]
    write(path, rows, [*Run._fields, *FIGURES], places=3, exact=("rate",))


def read_rows(path: Path = RESULTS) -> tuple[dict[str, float], dict[Run, dict[str, float]]]:
    """What was measured before any training, and after each run, without what is empty.

    Raises ``FileNotFoundError``.
    """
    rows = read_filled(path)
    figures = [{name: row[name] for name in FIGURES if name in row} for row in rows]
    runs = [Run(*(row[name] for name in Run._fields)) for row in rows]
    return figures[0], dict(zip(runs[1:], figures[1:], strict=True))


def run_study(material: Material, out: Path, steps: int, seeds: int) -> Iterator[tuple[int, Run]]:
    """Measure every run that the unfinished table beside ``out`` does not have yet."""
    of_this = f"{digest([answer.ids for answer in material.learn])}-{steps}"
    part = out.with_name(f"{out.name}.{of_this}.part")  # other dialogs or steps, another file
    runs = all_runs(seeds)
    if part.exists():
        before, found = read_rows(part)
    else:
        before, found = material.figures(material.model.weights), {}
    for n, run in enumerate(runs, start=1):
        if run not in found:
            found[run] = material.figures(material.tune(run, steps), run)
            write_rows(part, before, found)
        yield n, run
    write_rows(out, before, {run: found[run] for run in runs})
    part.unlink(missing_ok=True)


def run(args: argparse.Namespace) -> None:
    """What the command line says."""
    if args.steps < 1 or args.seeds < 1:
        raise ValueError(f"--steps and --seeds start at 1, got {args.steps}, {args.seeds}")
    material = Material(load_chat_base(args.model), args.corpus)
    progress = Progress(len(all_runs(args.seeds)))
    with one_blas_thread():
        for n, run in run_study(material, args.out, args.steps, args.seeds):
            way = f"LoRA of rank {run.rank}" if run.rank else "all weights"
            progress.show(n, f"{way}, rate {run.rate:g}, {run.mask}, seed {run.seed}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study and write its table; errors are one line."""
    parser = argparse.ArgumentParser(
        prog="python -m weights_tools.training.tuning.study",
        description=__doc__.split("\n\n")[1] + " It takes some ten minutes on one core for three "
        "seeds, and goes on where it was interrupted.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--model", metavar="MODEL", default="doll-house", help="what is tuned")
    parser.add_argument("--corpus", type=Path, default=STORIES, metavar="FILE", help="stories")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="table to write")
    parser.add_argument("--steps", type=int, default=STEPS, metavar="N", help="steps of each run")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help="runs of each kind")
    return exit_status(run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
