"""From GPT-2 to Llama in five replacements, each measured.

Six small models, each with one more of Llama's parts, are trained on the same text, with the same
steps, batches and, within a few per cent, number of parameters. Each gets the best of five learning
rates, found with one seed, and is then trained from three other seeds. Beside them stand models
that only count. The table that comes out ships with the project, and a lesson reads it.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llama_np.gpt2 import hybrid
from llama_np.gpt2.hybrid import Arrays, Hybrid
from llama_np.gpt2.hybrid_backward import loss_and_gradients
from llama_np.training.loss import cross_entropy
from llama_np.training.optimizer import AdamW, clip_by_global_norm, learning_rate

from ...commands import exit_status
from ...progress import Progress
from ...tokenizers import load_tokenizer
from ...workers import one_blas_thread
from ..corpus import STORIES, Stream, digest, encode_document, read_corpus
from .ngrams import ngram_losses
from .replacements import gpt2_like, replacements
from .study_table import FOR_THE_RATE, RESULTS, SEEN, read_rows, sweep_of, write_results

TOKENIZER = Path(__file__).parent / "tokenizer"  # 1,024 tokens; the models are too small for more
STEPS, BATCH, WARM_UP, EVERY = 500, 8, 40, 125
RATES = (3e-3, 6e-3, 1.2e-2, 2.4e-2, 4.8e-2)  # peaks, each twice the one before
COUNTING = {"bigram counts": 1, "trigram counts": 2, "4-gram counts": 3}  # tokens they look at


class Text:
    """Stories to train on, and a fixed sample of those held out, cut into rows of one context."""

    def __init__(self, corpus: Path, context: int):
        self.tokenizer, self.context = load_tokenizer(TOKENIZER), context
        train, held_out = read_corpus(corpus)
        self.train = self.encode(train)
        ids = np.concatenate(self.encode(held_out))
        n_rows = min(128, (len(ids) - 1) // context)
        if n_rows < 1:
            raise ValueError(
                f"{corpus}: {len(ids)} held-out tokens are too few to fill a context of {context}; "
                "give a longer text"
            )
        self.stream = ids[: n_rows * context + 1]  # the same end to end
        self.held_out = tuple(part.reshape(-1, context) for part in ids_and_targets(self.stream))

    def encode(self, documents: Iterable[str]) -> list[np.ndarray]:
        """Each document between begin-of-text and end-of-text."""
        return [np.array(encode_document(self.tokenizer, text)) for text in documents]


def ids_and_targets(stream: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is read, and what follows each token."""
    return stream[:-1], stream[1:]


def held_out_loss(w: Arrays, c: Hybrid, ids: np.ndarray, targets: np.ndarray) -> float:
    """Mean loss in nats per token on text that training never sees, a few rows at a time."""
    total = 0.0
    for rows in np.array_split(np.arange(len(ids)), -(-len(ids) // BATCH)):
        logits = hybrid.forward(w, c, ids[rows])
        total += len(rows) * cross_entropy(logits, targets[rows])
    return total / len(ids)


def loss_by_seen(w: Arrays, c: Hybrid, stream: np.ndarray, targets: np.ndarray) -> dict[int, float]:
    """The mean loss of ``stream[targets]`` for each number in ``SEEN`` of tokens shown before it.

    Each is read as a text of its own, so that nothing before it is known to any block; training
    too begins its rows anywhere in a story.
    """
    found = {}
    for n in (n for n in SEEN if n <= c.context_length):
        windows, total = np.lib.stride_tricks.sliding_window_view(stream, n), 0.0
        for some in np.array_split(targets, -(-len(targets) * n // (BATCH * c.context_length))):
            last = hybrid.forward(w, c, windows[some - n])[:, -1]
            total += len(some) * cross_entropy(last, stream[some])
        found[n] = total / len(targets)
    return found


def train_one(
    c: Hybrid, text: Text, seed: int, rate: float, steps: int = STEPS, every: int = EVERY
) -> Iterator[tuple[Arrays, dict[str, float]]]:
    """Train one model; yields its weights and a row of the table after ``every`` steps.

    The seed decides where the weights start and in which order the stories come; with one seed all
    stages see the same batches. Seconds are a processor's own, for training alone: what else the
    machine does, and the measuring, do not count.
    """
    w = hybrid.initialize(c, np.random.default_rng(seed))
    stream, n_tokens = Stream(text.train, seed), BATCH * text.context
    optimizer, seconds, recent = AdamW(w), 0.0, []
    for step in range(steps):
        started = time.process_time()
        ids, targets = stream.batch(step, n_tokens, text.context)
        loss, gradients = loss_and_gradients(w, c, ids, targets)
        clip_by_global_norm(gradients, 1.0)
        optimizer.step(w, gradients, learning_rate(step, rate, WARM_UP, steps))
        seconds += time.process_time() - started
        recent.append(loss)
        if (step + 1) % every == 0 or step + 1 == steps:
            measured = {
                "step": step + 1,
                "tokens": (step + 1) * n_tokens,
                "train_loss": float(np.mean(recent)),
                "held_out_loss": held_out_loss(w, c, *text.held_out),
                "seconds": round(seconds, 1),
            }
            yield w, measured
            recent = []


def baselines(text: Text) -> list[dict]:
    """A row for each model that counts what followed the last one, two or three tokens."""
    train, rows = np.concatenate(text.train), []
    for name, order in COUNTING.items():
        losses = ngram_losses(train, text.stream, order, text.tokenizer.vocab_size)
        row = {"stage": name, "tokens": len(train), "held_out_loss": float(losses.mean())}
        if order in SEEN:
            row[f"seen_{order}"] = float(losses[measured_after(text) - order].mean())
        rows.append(row)
    return rows


def measured_after(text: Text) -> np.ndarray:
    """The tokens on which ``loss_by_seen`` is measured: every fourth one with a full context."""
    return np.arange(text.context, len(text.stream), 4)


class Run(NamedTuple):
    """One training run of the study."""

    stage: str
    rate: float
    seed: int


def runs_of(configs: dict[str, Hybrid], rows: list[dict], seeds: int) -> Iterator[Run]:
    """First every stage with every rate, then with its best rate from every other seed.

    Which rate is best is read from ``rows`` when it comes to that: the caller fills them.
    """
    for rate in RATES:
        yield from (Run(stage, rate, FOR_THE_RATE) for stage in configs)
    best = {stage: best_rate(losses) for stage, losses in sweep_of(rows).items()}
    for seed in range(seeds):
        yield from (Run(stage, best[stage], FOR_THE_RATE + 1 + seed) for stage in configs)


def best_rate(losses: dict[float, float]) -> float:
    """The rate with the lowest loss; one that ran away has none."""
    return min(losses, key=lambda rate: np.nan_to_num(losses[rate], nan=np.inf))


def measure_run(run: Run, config: Hybrid, text: Text, steps: int) -> Iterator[dict]:
    """Train one model of the study; yields its rows."""
    count = sum(int(np.prod(shape)) for shape in hybrid.shapes(config).values())
    for w, measured in train_one(config, text, run.seed, run.rate, steps):
        row = {**run._asdict(), "parameters": count, **measured}
        if run.seed != FOR_THE_RATE and row["step"] == steps:
            by_seen = loss_by_seen(w, config, text.stream, measured_after(text))
            row |= {f"seen_{n}": loss for n, loss in by_seen.items()}
        yield row


def run_study(out: Path, text: Text, configs: dict[str, Hybrid], steps: int, seeds: int) -> None:
    """All runs, one after the other; the table is written at the end.

    Finished runs are kept in a file beside it, and a study that was interrupted goes on from there.
    """
    of_this_study = f"{digest(text.train)}-{steps}-{seeds}"  # other settings, another file
    part = out.with_name(f"{out.name}.{of_this_study}.part")
    rows = read_rows(part) if part.exists() else baselines(text)
    done = {Run(row["stage"], row["rate"], row["seed"]) for row in rows if "rate" in row}
    per_run, n_measured = -(-steps // EVERY), len(done) * -(-steps // EVERY)
    progress = Progress(per_run * len(configs) * (len(RATES) + seeds))
    for run in runs_of(configs, rows, seeds):
        if run in done:
            continue
        own = []
        for row in measure_run(run, configs[run.stage], text, steps):
            own.append(row)
            said = f"{run.stage}, rate {run.rate:g}, seed {run.seed}: {row['held_out_loss']:.3f}"
            progress.show(n_measured + len(own), said)
        rows += own
        n_measured += len(own)
        write_results(part, rows)
    write_results(out, rows)
    part.unlink()


def run(args: argparse.Namespace) -> None:
    """What the command line says."""
    if args.steps < 1 or args.seeds < 1:
        raise ValueError(f"--steps and --seeds start at 1, got {args.steps}, {args.seeds}")
    text = Text(args.corpus, gpt2_like(1).context_length)
    configs = replacements(gpt2_like(text.tokenizer.vocab_size))
    with one_blas_thread():
        run_study(args.out, text, configs, args.steps, args.seeds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study and write its table; errors are one line."""
    parser = argparse.ArgumentParser(
        prog="python -m weights_tools.training.ablation.study",
        description=__doc__.split("\n\n")[1] + " It takes about half an hour on one core, and "
        "goes on where it was interrupted.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--corpus", type=Path, default=STORIES, metavar="FILE", help="stories")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="table to write")
    parser.add_argument("--steps", type=int, default=STEPS, metavar="N", help="steps of each run")
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="runs of each stage at its best rate"
    )
    return exit_status(run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
