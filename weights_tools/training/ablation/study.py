"""From GPT-2 to Llama in five replacements, each measured.

Six small models, each with one more of Llama's parts, are trained alike: the same text, steps,
batches, rates and, within a few per cent, number of parameters. The table that comes out ships with
the project, and a lesson reads it.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from llama_np.gpt2 import hybrid
from llama_np.gpt2.hybrid import Arrays, Hybrid
from llama_np.gpt2.hybrid_backward import loss_and_gradients
from llama_np.training.loss import cross_entropy
from llama_np.training.optimizer import AdamW, clip_by_global_norm, learning_rate

from ...progress import Progress
from ...tokenizers import load_tokenizer
from ...workers import one_blas_thread
from ..corpus import STORIES, Stream, encode_document, read_corpus
from .replacements import gpt2_like, replacements
from .study_table import RESULTS, write_results

TOKENIZER = Path(__file__).parent / "tokenizer"  # 1,024 tokens; the models are too small for more
STEPS, BATCH, PEAK_RATE, WARM_UP, EVERY = 600, 8, 3e-3, 40, 50


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
        self.held_out = tuple(
            ids[start : start + n_rows * context].reshape(n_rows, context) for start in (0, 1)
        )

    def encode(self, documents: Iterable[str]) -> list[np.ndarray]:
        """Each document between begin-of-text and end-of-text."""
        return [np.array(encode_document(self.tokenizer, text)) for text in documents]


def held_out_loss(w: Arrays, c: Hybrid, ids: np.ndarray, targets: np.ndarray) -> float:
    """Mean loss in nats per token on text that training never sees, a few rows at a time."""
    total = 0.0
    for rows in np.array_split(np.arange(len(ids)), -(-len(ids) // BATCH)):
        logits = hybrid.forward(w, c, ids[rows])
        total += len(rows) * cross_entropy(logits, targets[rows])
    return total / len(ids)


def train_one(
    c: Hybrid, text: Text, seed: int, steps: int = STEPS, every: int = EVERY
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
        optimizer.step(w, gradients, learning_rate(step, PEAK_RATE, WARM_UP, steps))
        seconds += time.process_time() - started
        recent.append(loss)
        if (step + 1) % every == 0 or step + 1 == steps:
            measured = {
                "step": step + 1,
                "tokens": (step + 1) * n_tokens,
                "train_loss": float(np.mean(recent)),
                "held_out_loss": held_out_loss(w, c, *text.held_out),
                "seconds": seconds,
            }
            yield w, measured
            recent = []


def run_study(text: Text, configs: dict[str, Hybrid], seeds: Sequence[int], steps: int):
    """Every stage with every seed, seed after seed; yields the rows of the table."""
    for seed in seeds:
        for name, config in configs.items():
            count = sum(int(np.prod(shape)) for shape in hybrid.shapes(config).values())
            for _, row in train_one(config, text, seed, steps):
                yield {"stage": name, "parameters": count, "seed": seed, **row}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study and write its table; errors are one line."""
    parser = argparse.ArgumentParser(
        prog="python -m weights_tools.training.ablation.study",
        description=__doc__.split("\n\n")[1],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--corpus", type=Path, default=STORIES, metavar="FILE", help="stories")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="table to write")
    parser.add_argument("--steps", type=int, default=STEPS, metavar="N", help="steps of each run")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each stage")
    args = parser.parse_args(arguments)
    try:
        if args.steps < 1 or args.seeds < 1:
            raise ValueError(f"--steps and --seeds start at 1, got {args.steps}, {args.seeds}")
        text = Text(args.corpus, gpt2_like(1).context_length)
        configs = replacements(gpt2_like(text.tokenizer.vocab_size))
        per_run = -(-args.steps // EVERY)
        progress, rows = Progress(per_run * args.seeds * len(configs)), []
        with one_blas_thread():
            for row in run_study(text, configs, range(args.seeds), args.steps):
                rows.append(row)
                said = f"{row['stage']}, seed {row['seed']}: held out {row['held_out_loss']:.3f}"
                progress.show(len(rows), said)
        write_results(args.out, rows)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
