"""What a model's heads do, and what it can copy: found by looking, measured by taking it away.

A head has a nameable job if its pattern has one: it reads the token before its own, the first
token of the text, an earlier copy of its own token, the token that followed that copy (an induction
head), the name of who the text is about, or the first token of its sentence. For each job the table
names the heads that do it best, and what the loss becomes when they write nothing.

Sources: Elhage et al. 2021, https://transformer-circuits.pub/2021/framework/index.html; Olsson et
al. 2022, arXiv 2209.11895, for induction heads and for random tokens repeated as their test.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from llama_np import forward, log_softmax, patch, record
from llama_np.axes import Array
from llama_np.config import LlamaConfig
from llama_np.tokenizer import Tokenizer
from llama_np.weights import Weights

from .training.corpus import read_facts
from .training.drills import invent
from .training.heroes import read_stories

COPIED, SEQUENCES = 24, 8  # random tokens in a copy, and how many such sequences
TEXTS, TEXT_TOKENS = 20, 120
NAMES, SURE = 40, 0.2  # a name counts as said again above this probability
CALLS = (
    'Once upon a time, there was a girl named {name}. {name} had a cat. Her mom said, "Come here,',
    'There was a small dog named {name}. {name} had a ball. The cat saw the dog and said, "Hello,',
    "Tom had a friend. Her name was {name}. {name} lived at the lake. Tom went to the lake to see",
    'A boy named {name} went to the park. {name} wanted to play. He told the girl, "My name is',
)


class Job(NamedTuple):
    """Something a head can be seen to do; ``task`` is where its effect is measured."""

    name: str
    reads: str
    task: str  # "copies", "names" or "texts"


JOBS = (
    Job("previous token", "the token before its own", "copies"),
    Job("begin of text", "the first token of the text", "texts"),
    Job("same token", "an earlier copy of its own token", "copies"),
    Job("induction", "the token after an earlier copy of its own", "copies"),
    Job("hero's name", "the name, where it must come again", "names"),
    Job("start of sentence", "the first token of its sentence", "texts"),
)


class Head(NamedTuple):
    """A head that does a job: its mean weight there, and the loss in nats with and without it."""

    job: Job
    block: int
    head: int
    weight: float
    loss: float
    loss_without: float


class Prompts(NamedTuple):
    """Texts of one kind: ids, where what matters is predicted, and what each head could read.

    ``places[job]`` lists, for each row, pairs (position that reads, position that is read).
    """

    ids: list[Array["T"]]
    scored: list[Array["N"]]  # positions of the tokens whose loss counts
    places: dict[str, list[Array["N 2"]]]


def ordinary_tokens(tokenizer: Tokenizer) -> Array["N"]:
    """The ids of ordinary tokens: a space and small letters, as most words of a text begin.

    Where a tokenizer has too few of these, all that are printable text and no special tokens.
    """
    special = set(tokenizer.special_tokens.values())
    texts = {i: tokenizer.decode([i]) for i in range(tokenizer.vocab_size) if i not in special}
    words = [i for i, text in texts.items() if re.fullmatch(" [a-z]+", text)]
    if len(words) >= 10 * COPIED:
        return np.array(words)
    printable = [i for i, text in texts.items() if text.isprintable() and "\ufffd" not in text]
    return np.array([i for i in printable if texts[i].strip()])


def begin(tokenizer: Tokenizer) -> list[int]:
    """What stands before every text: begin-of-text, or the end-of-text where there is none."""
    first = tokenizer.bos_id if tokenizer.bos_id is not None else tokenizer.eos_id
    return [] if first is None else [first]


def pairs(read_from: Iterable[int], read: Iterable[int]) -> Array["N 2"]:
    """Pairs of a position that reads and the one that it reads."""
    return np.array(list(zip(read_from, read, strict=True)), dtype=int).reshape(-1, 2)


def repeated_tokens(tokenizer: Tokenizer, rng: np.random.Generator) -> Prompts:
    """Random ordinary tokens and the same again: the second copy can be known by looking back."""
    ordinary, start = ordinary_tokens(tokenizer), begin(tokenizer)
    first = len(start) + np.arange(COPIED)
    second = first + COPIED
    rows = [rng.choice(ordinary, COPIED, replace=False) for _ in range(SEQUENCES)]
    ids = [np.array([*start, *row, *row]) for row in rows]
    everywhere = np.arange(1, len(ids[0]))
    return Prompts(
        ids,
        [second for _ in ids],
        {
            "previous token": [pairs(everywhere, everywhere - 1) for _ in ids],
            "same token": [pairs(second, first) for _ in ids],
            "induction": [pairs(second[:-1], first[:-1] + 1) for _ in ids],
        },
    )


def new_names(tokenizer: Tokenizer, rng: np.random.Generator, count: int = NAMES) -> Prompts:
    """Texts that say an invented name twice, up to where it must come a third time."""
    ids, scored, places = [], [], []
    for i in range(count):
        name = invent(rng, held_out=True).capitalize()
        text = CALLS[i % len(CALLS)].format(name=name)
        before = [*begin(tokenizer), *tokenizer.encode(text)]
        whole = [*begin(tokenizer), *tokenizer.encode(f"{text} {name}")]
        of_name = whole[len(before) :]
        ids.append(np.array(whole))
        scored.append(np.arange(len(before), len(whole)))
        found = [
            place
            for place in range(len(before) - len(of_name) + 1)
            if whole[place : place + len(of_name)] == of_name
        ]
        places.append(pairs([len(before) - 1] * len(found), found))
    return Prompts(ids, scored, {"hero's name": places})


def ordinary_texts(tokenizer: Tokenizer, count: int = TEXTS) -> Prompts:
    """The beginnings of stories."""
    ids, sentence_starts, firsts = [], [], []
    for text in read_stories()[:count]:
        row = [*begin(tokenizer), *tokenizer.encode(text)][:TEXT_TOKENS]
        start, reads, read = 1, [], []
        for t in range(1, len(row)):
            if t > start + 1:
                reads.append(t)
                read.append(start)
            if tokenizer.decode([row[t]]).strip().endswith((".", "!", "?")):
                start = t + 1
        ids.append(np.array(row))
        sentence_starts.append(pairs(reads, read))
        firsts.append(pairs(range(1, len(row)), [0] * (len(row) - 1)))
    scored = [np.arange(1, len(row)) for row in ids]
    return Prompts(ids, scored, {"begin of text": firsts, "start of sentence": sentence_starts})


def all_prompts(tokenizer: Tokenizer, seed: int = 0) -> dict[str, Prompts]:
    """The texts of each task; the same seed gives the same ones."""
    return {
        "copies": repeated_tokens(tokenizer, np.random.default_rng([seed, 1])),
        "names": new_names(tokenizer, np.random.default_rng([seed, 2])),
        "texts": ordinary_texts(tokenizer),
    }


def token_losses(
    weights: Weights, config: LlamaConfig, ids: Array["T"], scored: Array["N"], **options: Any
) -> Array["N"]:
    """The loss in nats of the tokens at some positions, each predicted from those before it."""
    rows = log_softmax(forward(weights, config, ids, **options)[scored - 1])
    return -np.take_along_axis(rows, ids[scored][:, None], axis=-1)[:, 0]


def mean_loss(weights: Weights, config: LlamaConfig, prompts: Prompts, **options: Any) -> float:
    """The mean loss in nats over all scored tokens."""
    losses = [
        token_losses(weights, config, ids, scored, **options)
        for ids, scored in zip(prompts.ids, prompts.scored, strict=True)
    ]
    return float(np.concatenate(losses).mean())


def job_weights(
    weights: Weights, config: LlamaConfig, prompts: Prompts
) -> dict[str, Array["L Hq"]]:
    """For each job of these texts: the mean weight that every head puts where the job would."""
    totals: dict[str, list[np.ndarray]] = {job: [] for job in prompts.places}
    for row, ids in enumerate(prompts.ids):
        trace: dict[str, np.ndarray] = {}
        forward(weights, config, ids, tap=record(trace, only={"pattern"}))
        patterns = np.stack([trace[f"blocks.{i}.pattern"] for i in range(config.n_layers)])
        for job, places in prompts.places.items():
            if len(places[row]):
                reads, read = places[row].T
                totals[job].append(patterns[:, :, reads, read].mean(axis=-1))
    return {job: np.mean(rows, axis=0) for job, rows in totals.items()}


def without_head(mix: Array["... Hq T K"], head: int) -> Array["... Hq T K"]:
    """What the heads of a block mix, with nothing from one of them."""
    mix = mix.copy()
    mix[..., head, :, :] = 0
    return mix


def silence(block: int, head: int):
    """A tap under which one head writes nothing: its mix is zero."""
    return patch({f"blocks.{block}.mix": lambda mix: without_head(mix, head)})


def best_heads(weights: Array["L Hq"], best: int) -> list[tuple[int, int]]:
    """Block and head of the largest weights, the largest first."""
    order = np.argsort(-weights, axis=None, kind="stable")[:best]
    places = np.unravel_index(order, weights.shape)
    return [(int(block), int(head)) for block, head in zip(*places, strict=True)]


def heads_with_jobs(
    weights: Weights, config: LlamaConfig, tokenizer: Tokenizer, best: int = 2, seed: int = 0
) -> list[Head]:
    """The ``best`` heads for every job, most weight first, each with its effect on the loss."""
    found = []
    for task, prompts in all_prompts(tokenizer, seed).items():
        loss = mean_loss(weights, config, prompts)
        scores = job_weights(weights, config, prompts)
        for job in JOBS:
            if job.task != task:
                continue
            score = scores[job.name]
            for block, head in best_heads(score, best):
                without = mean_loss(weights, config, prompts, tap=silence(block, head))
                found.append(Head(job, block, head, float(score[block, head]), loss, without))
    return sorted(found, key=lambda head: JOBS.index(head.job))


def copies(
    weights: Weights, config: LlamaConfig, tokenizer: Tokenizer, seed: int = 0
) -> tuple[float, float]:
    """The mean loss in nats on the first and on the second copy of random tokens."""
    prompts = all_prompts(tokenizer, seed)["copies"]
    first = prompts._replace(scored=[scored - COPIED for scored in prompts.scored])
    if not begin(tokenizer):
        first = first._replace(scored=[scored[1:] for scored in first.scored])
    return mean_loss(weights, config, first), mean_loss(weights, config, prompts)


def name_probabilities(
    weights: Weights, config: LlamaConfig, tokenizer: Tokenizer, seed: int = 0
) -> Array["N"]:
    """For every new name: how likely it is, all its tokens together, where it must come again."""
    prompts = all_prompts(tokenizer, seed)["names"]
    return np.exp(
        [
            -token_losses(weights, config, ids, scored).sum()
            for ids, scored in zip(prompts.ids, prompts.scored, strict=True)
        ]
    )


def remembered_facts(
    weights: Weights, config: LlamaConfig, tokenizer: Tokenizer, facts: Sequence[str] | None = None
) -> dict[str, bool]:
    """For every fact that is a sentence: whether its last word is always the likeliest."""
    result = {}
    for fact in read_facts() if facts is None else facts:
        if "\t" in fact or " " not in fact:
            continue
        before = [*begin(tokenizer), *tokenizer.encode(fact.rpartition(" ")[0])]
        whole = [*begin(tokenizer), *tokenizer.encode(fact)]
        scored = np.arange(len(before), len(whole))
        logits = forward(weights, config, np.array(whole))[scored - 1]
        result[fact] = bool((logits.argmax(axis=-1) == np.array(whole)[scored]).all())
    return result
