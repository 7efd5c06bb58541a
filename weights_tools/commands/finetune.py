"""``finetune``: from a model that goes on with a text to one that answers."""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np

from llama_np.functional import log_softmax
from llama_np.model import forward
from llama_np.tokenizer.chat import encode_dialog
from llama_np.training.backward import IGNORE
from llama_np.training.lora import initialize_lora
from llama_np.weights import Weights

from ..formats.adapter import save_lora
from ..load import Model, load_model
from ..save import save_model
from ..training.corpus import hold_out
from ..training.dialogs import Dialog, default_dialogs, encode_all, read_lines
from ..training.options import add_model_option, add_option, add_recipe_options, recipe_of
from ..training.run import first_words, holding_out, run_training
from ..training.stages import Answer, FineTuning, pad
from ..training.trainer import Hyperparameters, Training
from ..workers import each

HELP = "teach a model to answer"
DESCRIPTION = (
    "Teach a model to answer, from questions and answers in Llama 3's dialog format; only the "
    "answers count. By default two thin matrices beside each frozen one learn (LoRA), and DIR gets "
    "these, in the form that the peft package reads. Started "
    "again with the same options, it goes on where it was stopped."
)
RECIPE = Hyperparameters(
    steps=600, peak_rate=2e-3, warm_up=30, weight_decay=0.0, dropout=0.05, ema_decay=0.98
)  # fmt: skip
ASKED = "Write a story about a cat named Tom."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    add_model_option(parser)
    parser.add_argument(
        "--dialogs", type=Path, metavar="FILE",
        help='lines of JSON, each {"question": "...", "answer": "..."} (default: the stories that '
        "ship, on request, and the facts)",
    )  # fmt: skip
    add_option(parser, "held_out", 0.05, "share at the end that training never sees")
    add_option(parser, "lora_rank", 8, "rows between the two thin matrices; 0: all weights learn")
    add_option(parser, "dialogs_per_step", 8, "dialogs in a batch")
    add_option(
        parser, "evaluate_every", 100, "steps from one evaluation and checkpoint to the next"
    )
    add_recipe_options(parser, RECIPE)


@holding_out
def run(args: argparse.Namespace) -> None:
    """Tune, and write the thin matrices or the whole model."""
    recipe, model = recipe_of(args), load_chat_base(args.model)
    config, tokenizer = model.config, model.tokenizer
    dialogs = list(read_lines(args.dialogs, Dialog)) if args.dialogs else default_dialogs()
    answers = encode_all(tokenizer, dialogs, config.context_length)
    if left_out := len(dialogs) - len(answers):
        print(f"{left_out} dialogs are longer than the context, left out", file=sys.stderr)
    learn, held_out = hold_out(answers, args.held_out, "the dialogs")
    stage = FineTuning(
        learn, args.dialogs_per_step, args.seed, config.vocab_size, config.context_length
    )
    rng = np.random.default_rng(args.seed)
    lora = initialize_lora(config, args.lora_rank, rng) if args.lora_rank else None

    def evaluate(weights: Weights) -> dict[str, float]:
        return {"held_out_nats_per_token": nats_per_token(weights, config, held_out)}

    run_training(
        Training(config, recipe, stage, model.weights, lora), args.out, args.evaluate_every,
        evaluate, partial(save_learned, args.out, model), partial(answer_of, model),
    )  # fmt: skip


def save_learned(out: Path, base: Model, now: Training) -> None:
    """Write what was learned beside ``base``: thin matrices that name it, or the whole model."""
    if now.frozen:
        save_lora(out, now.average, now.config, os.path.relpath(base.path, out))
    else:
        save_model(out, now.config, now.average, base.tokenizer)


def answer_of(model: Model, weights: Weights) -> str:
    """How weights on their way answer one request: to look at while a run goes on."""
    ids = encode_dialog(model.tokenizer, [{"role": "user", "content": ASKED}])
    return f"{ASKED} -> {first_words(weights, model.config, model.tokenizer, ids)}"


def load_chat_base(path: str | None) -> Model:
    """A model that can be taught dialogs: float32, with the special tokens of Llama 3's chats."""
    model = load_model(path, "float32")
    if model.tokenizer is None or "<|eot_id|>" not in model.tokenizer.special_tokens:
        raise ValueError(
            f"{model.path}: has no tokenizer with the special tokens of Llama 3's chats; take a "
            "Llama 3, or the model that ships"
        )
    return model


def nats_per_token(weights: Weights, config, answers: list[Answer]) -> float:
    """The mean surprise at a token of these answers, in nats."""

    def one(answer: Answer) -> tuple[float, int]:
        ids, targets = pad([answer])
        counts = targets != IGNORE
        rows = log_softmax(forward(weights, config, ids)[counts])
        found = np.take_along_axis(rows, targets[counts][:, None], axis=-1)
        return -float(found.sum()), len(found)

    totals, counts = zip(*each(one, answers), strict=True)
    return sum(totals) / sum(counts)
