"""``dpo``: from pairs of answers, of which one was preferred, to a model that prefers alike."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.model import forward
from llama_np.tokenizer import Tokenizer
from llama_np.training.lora import Lora, initialize_lora
from llama_np.training.preference import answer_log_probability
from llama_np.weights import Weights

from ..formats.adapter import is_adapter, read_lora
from ..formats.adapter_config import base_of
from ..load import Model, find, load_model
from ..training.corpus import hold_out
from ..training.dialogs import PREFERENCES, Comparison, Dialog, encode, read_lines
from ..training.options import add_model_option, add_option, add_recipe_options, recipe_of
from ..training.run import holding_out, run_training
from ..training.stages import Answer, Preference, Preferences, pad
from ..training.trainer import Hyperparameters, Training
from ..workers import each
from .finetune import answer_of, load_chat_base, save_learned

HELP = "teach a chat model what is preferred"
DESCRIPTION = (
    "Teach a chat model what is preferred, from pairs of answers, by direct preference "
    "optimisation. A model that is LoRA matrices beside another goes on with these; any other gets "
    "new ones. The model as it was at the start is the reference. The defaults made "
    "doll-house-cheerful."
)
RECIPE = Hyperparameters(
    steps=150, peak_rate=5e-4, warm_up=15, weight_decay=0.0, dropout=0.0, ema_decay=0.9
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    add_model_option(parser, "doll-house-chat")
    parser.add_argument(
        "--pairs", type=Path, default=PREFERENCES, metavar="FILE",
        help='lines of JSON, each {"question": "...", "preferred": "...", "other": "..."} '
        "(default: the pairs that ship)",
    )  # fmt: skip
    add_option(parser, "held_out", 0.1, "share at the end that training never sees")
    add_option(parser, "beta", 0.1, "how strongly the model is held to the reference")
    add_lora_option(parser)
    add_option(parser, "pairs_per_step", 8, "pairs in a batch")
    add_option(parser, "evaluate_every", 30, "steps from one evaluation and checkpoint to the next")
    add_recipe_options(parser, RECIPE)


def add_lora_option(parser: argparse.ArgumentParser) -> None:
    """The option that ``base_and_lora`` goes by."""
    told = "rank of new matrices, where the model has none; 0: all weights learn"
    add_option(parser, "lora_rank", 8, told)


@holding_out
def run(args: argparse.Namespace) -> None:
    """Tune, and write the thin matrices or the whole model."""
    if not args.beta > 0:
        raise ValueError(f"--beta must be above 0, got {args.beta}")
    recipe, model = recipe_of(args), load_chat_base(args.model)
    config, tokenizer = model.config, model.tokenizer
    pairs = encode_pairs(tokenizer, list(read_lines(args.pairs, Comparison)), config)
    print(f"{len(pairs)} pairs; asking the reference about them", file=sys.stderr)
    learn, held_out = hold_out(
        with_reference(model.weights, config, pairs), args.held_out, f"{args.pairs}, as pairs"
    )
    stage = Preferences(
        learn, args.pairs_per_step, args.beta, args.seed, config.vocab_size, config.context_length
    )
    base, lora = base_and_lora(args.model, model, args.lora_rank, args.seed)

    def evaluate(weights: Weights) -> dict[str, float]:
        return {"held_out_agreement": agreement(weights, config, held_out)}

    run_training(
        Training(config, recipe, stage, base.weights, lora), args.out, args.evaluate_every,
        evaluate, partial(save_learned, args.out, base), partial(answer_of, model),
    )  # fmt: skip


def base_and_lora(path: str, model: Model, rank: int, seed: int) -> tuple[Model, Lora | None]:
    """What stays frozen and what learns, so that together they are the model to begin with.

    With a rank of 0 all weights of the model learn, and there is no LoRA.
    """
    if rank == 0:
        return model, None
    folder = find(path)
    if is_adapter(folder):
        return load_model(base_of(folder), "float32"), read_lora(folder, model.config)
    return model, initialize_lora(model.config, rank, np.random.default_rng(seed))


def encode_pairs(
    tokenizer: Tokenizer, pairs: Sequence[Comparison], config: LlamaConfig
) -> list[tuple[Answer, Answer]]:
    """Both dialogs of every pair that fits the context."""
    encoded = [
        (
            encode(tokenizer, Dialog(p.question, p.preferred)),
            encode(tokenizer, Dialog(p.question, p.other)),
        )
        for p in pairs
    ]
    return [pair for pair in encoded if max(len(a.ids) for a in pair) - 1 <= config.context_length]


def log_probabilities_of(
    weights: Weights, config: LlamaConfig, answers: Sequence[Answer]
) -> np.ndarray:
    """How likely each answer is as a whole, in nats: (len(answers),)."""
    ids, targets = pad(answers)
    return answer_log_probability(forward(weights, config, ids), targets)


def with_reference(
    weights: Weights, config: LlamaConfig, pairs: Sequence[tuple[Answer, Answer]]
) -> list[Preference]:
    """Every pair with what the reference thinks of it."""

    def one(pair: tuple[Answer, Answer]) -> Preference:
        preferred, other = log_probabilities_of(weights, config, pair).tolist()
        return Preference(*pair, (preferred, other))

    return each(one, pairs)


def agreement(weights: Weights, config: LlamaConfig, pairs: Sequence[Preference]) -> float:
    """The share of pairs in which the model has moved towards the preferred answer."""

    def one(pair: Preference) -> bool:
        now = log_probabilities_of(weights, config, pair[:2]) - np.array(pair.reference)
        return bool(now[0] > now[1])

    return sum(each(one, pairs)) / len(pairs)
