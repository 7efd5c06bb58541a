"""How the loss falls with the size of a model and with the tokens that it reads.

Small Llamas of four widths are trained for three numbers of steps, each from the start with a
schedule of its own, at rates doubled and halved until the best one lies between two that are worse.
One of them is also trained on smaller and smaller parts of the stories, read again and again and
read once, to see what repetition is worth. The table that comes out ships with the project, and a
lesson fits a scaling law to it.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.model import forward
from llama_np.training.loss import cross_entropy
from llama_np.weights import initialize

from ...commands import exit_status
from ...progress import Progress
from ...workers import one_blas_thread
from ..ablation.study import Text
from ..corpus import STORIES, Stream
from ..stages import Pretraining, Rows
from ..trainer import Hyperparameters, Training
from .study_table import RESULTS, write_results

WIDTHS, STEPS, FIRST_RATE = (8, 16, 32, 64), (100, 300, 900), 0.04
ROW, ROWS = 128, 4  # tokens in a row, rows in a batch
PARTS = (4, 16, 64)  # one story in so many, where the text is read again and again


def small_llama(width: int, vocab_size: int) -> LlamaConfig:
    """Three blocks of a given width; the output matrix is the embedding."""
    return LlamaConfig(
        dim=width, n_layers=3, n_heads=2, n_kv_heads=1, head_dim=width // 2,
        ffn_width=8 * width // 3,
        vocab_size=vocab_size, context_length=ROW, norm_eps=1e-5, rope_theta=10000.0,
        rope_scaling=None, tied_output=True,
    )  # fmt: skip


def train_one(
    width: int, text: Text, documents: Sequence[np.ndarray], steps: int, rate: float, seed: int = 0
) -> dict[str, float]:
    """Train one model on some documents; a row of the table.

    The seed decides where the weights start and in which order the stories come. Seconds are a
    processor's own, for training alone: what else the machine does, and the measuring, do not
    count.
    """
    config = small_llama(width, text.tokenizer.vocab_size)
    recipe = Hyperparameters(
        steps=steps, peak_rate=rate, warm_up=steps // 10, ema_decay=0.0, seed=seed
    )
    rows = Rows(tokens_per_step=ROWS * ROW, row=ROW, final_row=ROW)
    stage = Pretraining(Stream(documents, seed), rows, steps, config.vocab_size)
    start = initialize(config, np.random.default_rng(seed), std=0.8 / np.sqrt(width))
    training, started = Training(config, recipe, stage, start), time.process_time()
    losses = [training.take_step() for _ in range(steps)]
    seconds = time.process_time() - started
    return {
        "width": width,
        "parameters": config.count_parameters(),
        "text": stage.stream.length,
        "tokens": steps * ROWS * ROW,
        "rate": rate,
        "train_loss": float(np.mean(losses[-steps // 10 :])),
        "held_out_loss": held_out_loss(training.learned, config, *text.held_out),
        "seconds": round(seconds, 1),
    }


def held_out_loss(weights, config: LlamaConfig, ids: np.ndarray, targets: np.ndarray) -> float:
    """Mean loss in nats per token on text that training never sees, row by row."""
    rows = zip(ids, targets, strict=True)
    return float(np.mean([cross_entropy(forward(weights, config, one), aim) for one, aim in rows]))


def at_its_best_rate(train: Callable[[float], dict], rate: float) -> list[dict]:
    """Rows by rate: the given one, half and twice it, until the best lies between two worse."""
    tried = {}
    while wanted := [each for each in (rate / 2, rate, 2 * rate) if each not in tried]:
        tried |= {each: train(each) for each in wanted}
        rate = best_of(tried.values())["rate"]
    return [tried[rate] for rate in sorted(tried)]


def best_of(rows) -> dict:
    """The row with the lowest loss on held-out text."""
    return min(rows, key=lambda row: row["held_out_loss"])


def run_study(
    text: Text, widths: Sequence[int], all_steps: Sequence[int]
) -> Iterator[list[dict[str, float]]]:
    """Every width for every number of steps, then the parts of the text; yields rows of the table.

    A width looks for its rate from that of its run before, which was shorter. Parts of the text
    are read as often as it takes for the steps before the longest, and once, at the rate that was
    best for all of it.
    """
    rates, all_steps = dict.fromkeys(widths, FIRST_RATE), sorted({*all_steps})
    for steps in all_steps:
        for width in widths:
            at_rate = partial(train_one, width, text, text.train, steps)
            rows = at_its_best_rate(at_rate, rates[width])
            rates[width] = best_of(rows)["rate"]
            yield rows
        if steps == all_steps[-2]:
            width = widths[len(widths) // 2]
            for part in PARTS:
                some = text.train[::part]
                once = max(1, sum(map(len, some)) // (ROWS * ROW))
                yield [train_one(width, text, some, n, rates[width]) for n in (steps, once)]


def count_settings(n_widths: int, n_steps: int) -> int:
    """How many lists of rows a study has."""
    return n_widths * n_steps + len(PARTS)


def run(args: argparse.Namespace) -> None:
    """What the command line says."""
    if min(args.steps) < 10 or len(set(args.steps)) < 2:
        raise ValueError(
            f"--steps: expected two numbers or more, each from 10 on, got {args.steps}"
        )
    if any(width < 4 or width % 4 for width in args.widths):
        raise ValueError(f"--widths: expected multiples of 4, got {args.widths}")
    text = Text(args.corpus, ROW)
    progress, rows = Progress(count_settings(len(args.widths), len({*args.steps}))), []
    with one_blas_thread():
        for done, found in enumerate(run_study(text, args.widths, args.steps), start=1):
            rows += found
            best = best_of(found)
            said = f"width {best['width']}, {best['tokens']:,} tokens, rate {best['rate']}"
            progress.show(done, f"{said}: held out {best['held_out_loss']:.3f}")
            write_results(args.out, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study and write its table; errors are one line."""
    parser = argparse.ArgumentParser(
        prog="python -m weights_tools.training.scaling.study",
        description=__doc__.split("\n\n")[1],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--corpus", type=Path, default=STORIES, metavar="FILE", help="stories")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="table to write")
    parser.add_argument(
        "--widths", type=int, nargs="+", default=WIDTHS, metavar="N", help="multiples of 4"
    )
    parser.add_argument(
        "--steps", type=int, nargs="+", default=STEPS, metavar="N", help="of the runs, two or more"
    )
    return exit_status(run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
