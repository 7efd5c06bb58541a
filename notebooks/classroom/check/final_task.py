"""The last exercise, a story: the doll-house runs on the learner's functions alone."""

import copy
from functools import cache

import numpy as np

from llama_np.sampling import generate
from weights_tools import DOLL_HOUSE, Model, load_model

from .inputs import cases

BEGINNINGS = (
    "Once upon a time, there was a little {} named",
    "One day, a big {} went to the park",
    "There was a small {} who liked to play",
    "The {} was very happy because",
)
WHO = ("girl", "boy", "dog", "cat", "bird", "fish", "bear", "frog")
PARTS = (  # the tasks that a story is made of
    "next_token", "first_join", "merge", "encode", "decode", "embed", "rms_norm", "scores",
    "softmax", "frequencies", "angles", "rotate", "causal_mask", "mask_scores", "attend",
    "split_heads", "merge_heads", "key_head", "attend_grouped", "attention", "silu", "swiglu",
    "block", "logits", "forward", "generate",
)  # fmt: skip


@cache
def doll_house() -> Model:
    """In float64: rounding then decides between no two tokens."""
    model = load_model(DOLL_HOUSE, memory="float32")
    return model._replace(weights=model.weights.map(lambda w: w.astype(np.float64)))


def told(model: Model, prompt: str, n_new: int) -> str:
    """The library's answer: the greedy text behind a prompt, up to a stop token."""
    tokenizer = model.tokenizer
    ids = tokenizer.encode(prompt, bos=True)
    stop = tokenizer.stop_ids
    return tokenizer.decode(
        list(generate(model.weights, model.config, ids, n_new, stop_tokens=stop))
    )


@cases(3)
def draw(rng, case):
    """The model, a beginning that is another one in each case, and a number of tokens.

    The last has letters beyond plain English, and a text that a stop token ends.
    """
    model, n_new = doll_house(), int(rng.integers(12, 18))
    who = WHO[rng.integers(len(WHO))]
    if case == 2:
        prompt = BEGINNINGS[0].format(who) + " Zoë"
        return model._replace(tokenizer=ending_early(model, prompt)), prompt, n_new
    return model, BEGINNINGS[2 * case + rng.integers(2)].format(who), n_new


def ending_early(model: Model, prompt: str):
    """The model's tokenizer, to which a token that comes soon is one of those that stop."""
    tokenizer = copy.copy(model.tokenizer)
    ids = tokenizer.encode(prompt, bos=True)
    new = list(generate(model.weights, model.config, ids, 6))
    tokenizer.stop_ids = tokenizer.stop_ids | {new[-1]}
    return tokenizer
