"""One run as all training commands do it: go on or begin, show progress, keep a log."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path

from llama_np.sampling import generate
from llama_np.tokenizer import Tokenizer
from llama_np.weights import Weights

from ..progress import Progress
from ..writing import alone_in
from .trainer import Training, train
from .training_log import draw_curve, shown, write_line


def holding_out(run: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], None]:
    """A training command that is alone in the folder of ``--out`` from its start to its end.

    Raises ``NotWritten`` where another process is writing there.
    """

    @wraps(run)
    def alone(args: argparse.Namespace) -> None:
        with alone_in(args.out):
            run(args)

    return alone


def run_training(
    training: Training,
    out: Path,
    evaluate_every: int,
    evaluate: Callable[[Weights], Mapping[str, float]],
    save: Callable[[Training], None],
    sample: Callable[[Weights], str],
) -> None:
    """Train to the end. ``out / "training"`` gets log, curve and checkpoint.

    At every evaluation the figures that ``evaluate`` returns are logged, ``sample`` writes
    something to look at, and ``save`` writes the model. A run that was stopped goes on from its
    checkpoint.
    """
    if evaluate_every < 1:
        raise ValueError(f"--evaluate-every must be at least 1, got {evaluate_every}")
    with alone_in(out / "training") as folder:
        checkpoint = folder / "checkpoint.npz"
        if os.path.lexists(checkpoint):
            training.restore(checkpoint)
            print(f"going on from step {training.step}", file=sys.stderr)
        count = sum(array.size for _, array in training.learned.named())
        steps = training.recipe.steps
        seen = "  ".join(f"{value} {unit}" for unit, value in training.stage.seen(steps).items())
        print(f"{count:,} parameters learn; in all {seen}", file=sys.stderr)
        progress, before = Progress(steps), (training.step, training.seconds)

        def report(now: Training, figures: Mapping[str, float] | None) -> None:
            pace = (now.seconds - before[1]) / (now.step - before[0])
            said = f"loss {now.loss:.3f}  {pace:.2f} s a step"
            progress.show(now.step, said, force=figures is not None)
            if figures is not None:
                if_possible(progress.say, write_line, folder / "log.csv", now, figures)
                told = (f"{shown(value)} {key.replace('_', ' ')}" for key, value in figures.items())
                progress.say(f"step {now.step}: {', '.join(told)}")
                progress.say("    " + sample(now.weights(now.average)))
                save(now)

        train(training, checkpoint, evaluate, report, evaluate_every)
        if_possible(progress.say, draw_curve, folder)


def if_possible(say: Callable[[str], None], write: Callable, *given) -> None:
    """Write what is only to be read by people: a run does not end because it cannot."""
    try:
        write(*given)
    except (OSError, ValueError, LookupError) as error:
        say(f"{write.__name__} has failed, the run goes on: {error}")


def first_words(weights, config, tokenizer: Tokenizer, ids: list[int], n: int = 60) -> str:
    """What a model goes on to write, greedily; nothing where the context has no room for it."""
    if len(ids) >= config.context_length:
        return "(no room to go on)"
    new = generate(
        weights, config, ids, n, stop_tokens=tokenizer.stop_ids, vocab_size=tokenizer.vocab_size
    )
    return tokenizer.decode(new).replace("\n", " ")
