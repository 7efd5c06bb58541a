"""The last exercise, a story: the doll-house runs on the learner's functions alone."""

import copy
from functools import cache

import numpy as np

from llama_np.sampling import generate
from weights_tools import DOLL_HOUSE, Model, load_model

from .inputs import cases, whole

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


@cases(6)
def draw(rng, case):
    """The model, a prompt, and a number of tokens.

    The first story runs through every part, and a stop token ends it. Then one token behind an
    empty prompt, a prompt of one letter, an answer beyond ASCII, a prompt with an accent of its own
    and a space at the end, and a longer story.
    """
    model, who = doll_house(), WHO[rng.integers(len(WHO))]
    if case == 0:
        prompt = BEGINNINGS[0].format(who) + " Zoë"
        return model._replace(tokenizer=ending_early(model, prompt)), prompt, whole(rng, 12, 15)
    if case == 5:
        return model, BEGINNINGS[rng.integers(len(BEGINNINGS))].format(who), whole(rng, 16, 18)
    named = BEGINNINGS[0].format(who) + " Zoe\u0308 "
    return model, *(("", 1), ("A", 4), ("“Hello!” “Hello!”", 6), (named, 6))[case - 1]


def ending_early(model: Model, prompt: str):
    """The model's tokenizer, to which a token that comes soon is one of those that stop."""
    tokenizer = copy.copy(model.tokenizer)
    ids = tokenizer.encode(prompt, bos=True)
    new = list(generate(model.weights, model.config, ids, 6))
    tokenizer.stop_ids = tokenizer.stop_ids | {new[-1]}
    return tokenizer
