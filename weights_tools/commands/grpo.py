"""``grpo``: a chat model tells stories, and those that a rule rewards become likelier."""

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np

from llama_np.tokenizer import Tokenizer
from llama_np.tokenizer.chat import encode_dialog

from ..training.endings import ends_well
from ..training.grpo import GroupRewards, Groups, GroupTraining
from ..training.options import add_model_option, add_option, add_recipe_options, recipe_of
from ..training.run import holding_out, run_training
from ..training.trainer import Hyperparameters
from .dpo import add_lora_option, base_and_lora
from .finetune import answer_of, load_chat_base, save_learned
from .make_preferences import draw_requests

HELP = "let a chat model learn from rewards for its own stories"
DESCRIPTION = (
    "Let a chat model learn from rewards, by group relative policy optimisation: to each request "
    "it tells a group of stories, each gets the reward 1 if it ends well (the rule of "
    "make-preferences) or else 0, and those that did better than their group become likelier. A "
    "model that is LoRA matrices beside another goes on with these; any other gets new ones. The "
    "model as it was at the start is the reference. A line of DIR/training/log.csv says of the "
    "answers told since the line before: mean reward, KL from the reference (nats an answer), "
    "length (tokens), and how many different last sentences. Started again with the same options, "
    "it goes on where it was stopped."
)
RECIPE = Hyperparameters(
    steps=60, peak_rate=1e-3, warm_up=5, weight_decay=0.0, dropout=0.0, ema_decay=0.9
)  # fmt: skip
GROUP_OPTIONS = {
    "requests_per_step": "requests in a batch, drawn at random",
    "answers": "answers to each request: a group",
    "updates": "updates of the weights from the same answers",
    "longest": "tokens of an answer; what is not at its end by then gets no reward",
    "temperature": "of the draw; the model at this temperature is what learns",
    "ratio_clip": "how far an update may take a token's probability, as a share of what it was",
    "beta": "how strongly the model is held to the reference",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    add_model_option(parser, "doll-house-chat")
    for name, text in GROUP_OPTIONS.items():
        add_option(parser, name, getattr(Groups(), name), text)
    add_lora_option(parser)
    told = "steps from one line of the log, and checkpoint, to the next"
    add_option(parser, "evaluate_every", 5, told)
    add_recipe_options(parser, RECIPE)


def prompts(tokenizer: Tokenizer, rng: np.random.Generator, count: int) -> list[list[int]]:
    """Requests for stories, drawn at random, as the model is asked."""
    asked = ({"role": "user", "content": text} for text in draw_requests(rng, count))
    return [encode_dialog(tokenizer, [message]) for message in asked]


@holding_out
def run(args: argparse.Namespace) -> None:
    """Tell, judge, learn; and write the thin matrices or the whole model."""
    how = Groups(**{name: getattr(args, name) for name in GROUP_OPTIONS})
    if args.evaluate_every % how.updates:
        raise ValueError(
            f"--evaluate-every must be a multiple of --updates, got {args.evaluate_every} and "
            f"{how.updates}: a run can go on only where new answers are told"
        )
    recipe, model = recipe_of(args), load_chat_base(args.model)
    base, lora = base_and_lora(args.model, model, args.lora_rank, args.seed)
    ask = partial(prompts, model.tokenizer)
    stage = GroupRewards(
        model.weights, model.config, model.tokenizer, ask, ends_well, how, args.seed
    )
    print(
        f"each draw: {how.answers} answers to each of {how.requests_per_step} requests",
        file=sys.stderr,
    )
    run_training(
        GroupTraining(model.config, recipe, stage, base.weights, lora), args.out,
        args.evaluate_every, lambda _: stage.figures(), partial(save_learned, args.out, base),
        partial(answer_of, model),
    )  # fmt: skip
