"""Reward against distance: what four ways to happy endings earn, and what each of them moves.

The best of several answers, fine-tuning on the preferred answers alone, DPO, and models that were
made before (``grpo``) answer the same requests, and each is measured: reward, KL from the chat
model, and what else has changed. The tables that come out ship with the project, and a lesson reads
them: a row a point in ``points.csv``, and in ``endings.csv`` every last sentence with how often it
came. They were made, after ``grpo --out DIR``, by

python -m weights_tools.training.rewards.study "DPO that ships=doll-house-cheerful" "GRPO=DIR"
"""

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from llama_np.tokenizer import Tokenizer
from llama_np.tokenizer.chat import encode_dialog
from llama_np.weights import Weights

from ...commands import exit_status
from ...commands.dpo import base_and_lora, encode_pairs, with_reference
from ...commands.finetune import load_chat_base, nats_per_token
from ...commands.make_preferences import draw_requests
from ...load import Model
from ...progress import Progress
from ...writing import replacing
from ..corpus import STORIES, hold_out, read_documents
from ..dialogs import PREFERENCES, Comparison, encode, read_lines, story_dialogs
from ..endings import ends_well, last_sentence
from ..grpo import Groups, Told, figures_of, figures_of_best, tell
from ..stages import FineTuning, Preferences
from ..trainer import Hyperparameters, Training

HERE = Path(__file__).parent
POINTS, ENDINGS = HERE / "points.csv", HERE / "endings.csv"
GRPO_LOG = HERE / "grpo_log.csv"  # of the run of ``grpo``, with its defaults, that was measured
CHAT = "doll-house-chat"
PREFERRED, COMPARED = "preferred alone", "DPO"  # both on whole stories
PAIRS, HELD_OUT, PAIRS_PER_STEP, BETA = 64, 16, 4, 0.1  # the pairs before the last HELD_OUT
TEXTS = 16  # stories that none has learned from
STOPS = (12, 48)  # steps after which it is measured
RECIPE = Hyperparameters(
    steps=48, peak_rate=1e-3, warm_up=2, weight_decay=0.0, dropout=0.0, ema_decay=0.0
)
SEED = 19  # of requests and draws: no training has it


class Examination:
    """The same requests for every model, and stories that it should not have forgotten."""

    def __init__(self, chat: Model, requests: int, answers: int):
        self.chat, self.how = chat, Groups(answers=answers)
        dialogs = hold_out(story_dialogs(read_documents(STORIES))).held_out[:TEXTS]
        self.texts = [encode(chat.tokenizer, dialog) for dialog in dialogs]
        asked = draw_requests(np.random.default_rng(SEED), requests)
        self.prompts = [
            encode_dialog(chat.tokenizer, [{"role": "user", "content": text}]) for text in asked
        ]

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


def nats_at_the_end(tokenizer: Tokenizer, told: Told) -> float:
    """How much of an answer's KL lies in its last sentence: all that the rule looks at.

    It counts from the first token that the sentence needs; 0 where the answer did not end.
    """
    if not told.text:
        return 0.0
    ids = told.answer.ids[told.answer.given :].tolist()
    start = len(tokenizer.decode(ids).rpartition(last_sentence(told.text))[0].encode())
    ends = np.cumsum([len(tokenizer.decode_bytes([token])) for token in ids])
    return float(told.kl[ends > start].sum())


def begin(way: str, chat: Model) -> Training:
    """A training on pairs, before its first step; it goes on with the chat model's own matrices."""
    config = chat.config
    pairs = encode_pairs(chat.tokenizer, list(read_lines(PREFERENCES, Comparison)), config)
    learned = pairs[-PAIRS - HELD_OUT : -HELD_OUT]
    limits = PAIRS_PER_STEP, RECIPE.seed, config.vocab_size, config.context_length
    if way == COMPARED:
        known = with_reference(chat.weights, config, learned)
        stage = Preferences(known, PAIRS_PER_STEP, BETA, *limits[1:])
    else:
        stage = FineTuning([preferred for preferred, _ in learned], *limits)
    base, lora = base_and_lora(CHAT, chat, rank=8, seed=RECIPE.seed)
    return Training(config, RECIPE, stage, base.weights, lora)


def trained(way: str, chat: Model) -> Iterator[tuple[str, Weights]]:
    """The chat model on its way through the pairs, at each step where it is measured."""
    training, progress = begin(way, chat), Progress(STOPS[-1])
    for stop in STOPS:
        while training.step < stop:
            training.take_step()
            progress.show(training.step, f"steps, {way}")
        yield f"{stop} steps", training.weights(training.learned)


def write(path: Path, rows: Iterable[Mapping]) -> None:
    """A table as a file; what is no whole number with four decimals."""
    rows = [{k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[dict]:
    """The rows of such a table: text, whole numbers, and numbers; none where there is no file."""
    if not path.exists():
        return []

    def value(text: str):
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                pass
        return text

    with path.open(newline="", encoding="utf-8") as file:
        return [{name: value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def add(out: Path, points: Sequence[Mapping], told: Sequence[Told]) -> None:
    """Add points and the endings of the last of them to the tables in ``out``."""
    write(out / POINTS.name, [*read(out / POINTS.name), *points])
    counted = Counter(last_sentence(one.text) for one in told if one.text is not None)
    named = {key: points[-1][key] for key in ("method", "at")}
    rows = [
        named | {"times": n, "rewarded": int(ends_well(ending)), "ending": ending}
        for ending, n in counted.most_common()
    ]
    write(out / ENDINGS.name, [*read(out / ENDINGS.name), *rows])


def measure(
    out: Path, examination: Examination, method: str, at: str, weights: Weights
) -> list[Told]:
    """Measure one model, and write it down."""
    told = examination.told(weights, Progress(len(examination.prompts)))
    point = {"method": method, "at": at, "answers": len(told)} | examination.point(weights, told)
    add(out, [point], told)
    shown = ", ".join(f"{name} {value:.3f}" for name, value in list(point.items())[3:])
    print(f"{method}, {at}: {shown}", file=sys.stderr)
    return told


def best_of(out: Path, told: Sequence[Told], answers: int) -> None:
    """The points of choosing among the chat model's own answers: 2, 4, ... of them."""
    (chat,) = [row for row in read(out / POINTS.name) if row["method"] == "chat model"]
    points, n = [], 2
    while n <= answers:
        figures = figures_of_best(told, answers, n) | {"answers": len(told) // answers}
        points.append(
            chat | figures | {"method": "best of n", "at": f"n = {n}", "kl_at_the_end": ""}
        )
        n *= 2
    write(out / POINTS.name, [*read(out / POINTS.name), *points])


def run(args: argparse.Namespace) -> None:
    """What the command line says."""
    if wrong := [model for model in args.models if "=" not in model]:
        raise ValueError(f"expected METHOD=FOLDER, got {wrong[0]}")
    args.out.mkdir(parents=True, exist_ok=True)
    chat = load_chat_base(CHAT)
    examination = Examination(chat, args.requests, args.answers)
    done = {(row["method"], row["at"]) for row in read(args.out / POINTS.name)}
    if ("chat model", "start") not in done:
        told = measure(args.out, examination, "chat model", "start", chat.weights)
        best_of(args.out, told, args.answers)
    for model in args.models:
        method, _, folder = model.partition("=")
        if (method, "end") not in done:
            measure(args.out, examination, method, "end", load_chat_base(folder).weights)
    for way in (PREFERRED, COMPARED):
        if all((way, f"{stop} steps") in done for stop in STOPS):
            continue
        for at, weights in trained(way, chat):
            if (way, at) not in done:
                measure(args.out, examination, way, at, weights)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is not in the tables yet; errors are one line."""
    parser = argparse.ArgumentParser(
        prog="python -m weights_tools.training.rewards.study", description=__doc__.split("\n\n")[1]
    )
    parser.add_argument(
        "models", nargs="*", metavar="METHOD=FOLDER",
        help='further models, each with its name in the table: "GRPO=runs/grpo"',
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables are, or are to be")
    parser.add_argument("--requests", type=int, default=16, metavar="N", help="(default: 16)")
    parser.add_argument("--answers", type=int, default=8, metavar="N", help="to each (default: 8)")
    return exit_status(run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
