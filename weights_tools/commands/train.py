"""``train``: from a text file to a tokenizer and a model."""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.tokenizer import BPETokenizer
from llama_np.weights import Weights, initialize

from ..save import save_model
from ..training.corpus import FACTS, Stream, encode_fact, encode_training, read_corpus, read_facts
from ..training.drills import draw_drills, frequent_words
from ..training.evaluate import bits_per_byte
from ..training.options import (
    add_corpus_options,
    add_option,
    add_recipe_options,
    recipe_of,
)
from ..training.run import first_words, holding_out, run_training
from ..training.stages import Copying, Facts, Pretraining, Rows
from ..training.train_tokenizer import train_ranks
from ..training.trainer import Hyperparameters, Training

HELP = "train a tokenizer and a model from a text file"
DESCRIPTION = (
    "Train a tokenizer and a small Llama from a text file. The result is a Hugging Face folder; "
    "DIR/training holds log, curve and checkpoint. Started again with the same options, it goes on "
    "where it was stopped. The defaults are for some 14 MB of stories; the options that made the "
    "model that ships are in its model card."
)

SPECIAL_TOKENS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
]
FACTS_IN_TOKENIZER = 30  # often enough that "42" becomes one token, as it is in Llama 3
PROMPT = "Once upon a time, there was a little girl named"


MODEL_OPTIONS = {  # default, help
    "vocab_size": (2048, "tokens in the vocabulary, special ones included"),
    "dim": (88, "width of the stream"),
    "layers": (32, "number of blocks"),
    "heads": (8, "query heads"),
    "kv_heads": (2, "key-value heads"),
    "head_dim": (16, "numbers per token in a head"),
    "ffn_width": (None, "feed-forward width (default: 3.5 dim)"),
    "context": (512, "longest text, in tokens"),
    "theta": (10000.0, "base of the RoPE frequencies"),
    "init_std": (0.08, "standard deviation of the random matrices to start from"),
}
ROW_OPTIONS = {
    "tokens_per_step": "tokens in a batch",
    "row": "tokens in a row of the batch, at first",
    "final_row": "the same in the last part of the run",
    "final_share": "how large that part is",
}
FACT_OPTIONS = {
    "facts_share": "share of the steps, the last ones, among which some read nothing but the facts",
    "facts_every": "every so many of these, and later all but these; 0: none",
}
COPY_OPTIONS = {
    "copy_share": "share of the steps, the first ones, that read random lists that repeat",
    "copy_every": "and every so many of the steps that follow; 0: none",
    "copy_row": "tokens in a row of such a step",
}
IN_CONTEXT = ("row", "final_row", "copy_row")  # none may be longer than the context


def add_arguments(p: argparse.ArgumentParser) -> None:
    add_corpus_options(p)
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    p.add_argument(
        "--facts", type=Path, default=FACTS, metavar="FILE",
        help="short documents, one a line (default: the facts that ship)",
    )  # fmt: skip
    add_option(p, "facts_repeat", 16, "times each fact comes in an epoch")
    add_option(p, "dialog_every", 20, "one story in N becomes a dialog; 0: none")
    add_option(p, "drills", 2000, "made-up lists, new names and odd words in an epoch")
    add_option(p, "evaluate_every", 250, "steps from one evaluation and checkpoint to the next")
    model = p.add_argument_group("model")
    for name, (default, text) in MODEL_OPTIONS.items():
        add_option(model, name, default, text)
    for title, kind, texts in (
        ("rows", Rows, ROW_OPTIONS),
        ("copying", Copying, COPY_OPTIONS),
        ("facts", Facts, FACT_OPTIONS),
    ):
        group = p.add_argument_group(title)
        for name, text in texts.items():
            default = getattr(kind, name)
            if name in IN_CONTEXT:
                text += f" (default: {default}, or what fits the context)"
            add_option(group, name, None if name in IN_CONTEXT else default, text)
    add_recipe_options(p, Hyperparameters())


@holding_out
def run(args: argparse.Namespace) -> None:
    """``train``: tokenizer, model, log, curve."""
    corpus = read_corpus(args.corpus, args.separator, args.held_out)
    facts = read_facts(args.facts)
    recipe, rows, copying = recipe_of(args), given(Rows, args), given(Copying, args)
    print(
        f"{len(corpus.train)} documents to train on, {len(corpus.held_out)} held out",
        file=sys.stderr,
    )
    n_ranks = args.vocab_size - len(SPECIAL_TOKENS)
    ranks = train_ranks([*corpus.train, *facts * FACTS_IN_TOKENIZER], n_ranks)
    tokenizer = BPETokenizer(ranks, SPECIAL_TOKENS)
    words = frequent_words(corpus.train)
    documents = encode_training(
        tokenizer, corpus.train, facts, args.facts_repeat, args.dialog_every,
        draw_drills(args.drills, words, args.seed),
    )  # fmt: skip
    config = config_of(args, tokenizer.vocab_size)
    stage = Pretraining(
        Stream(documents, args.seed), rows, recipe.steps, config.vocab_size,
        copying, ordinary_ids(tokenizer), tokenizer.bos_id,
        given(Facts, args), facts_of(tokenizer, facts, args.seed),
    )  # fmt: skip
    start = beginning(config, np.random.default_rng(recipe.seed), args.init_std)
    prompt = tokenizer.encode(PROMPT, bos=True)[: max(1, config.context_length // 2)]

    def evaluate(weights: Weights) -> dict[str, float]:
        found = bits_per_byte(weights, config, tokenizer, corpus.held_out)
        return {"held_out_bits_per_byte": found}

    def sample(weights: Weights) -> str:
        return tokenizer.decode(prompt[1:]) + first_words(weights, config, tokenizer, prompt)

    def save(now: Training) -> None:
        save_model(args.out, config, now.average, tokenizer)

    run_training(
        Training(config, recipe, stage, start), args.out, args.evaluate_every,
        evaluate, save, sample,
    )  # fmt: skip


def given(kind: type, args: argparse.Namespace):
    """``Rows``, ``Copying`` or ``Facts`` from the options that have its fields' names.

    Raises ``ValueError`` for a row that is longer than the context: the model would learn positions
    that it is never used at.
    """
    values = {field.name: getattr(args, field.name) for field in dataclasses.fields(kind)}
    for name in values.keys() & set(IN_CONTEXT):
        if values[name] is None:
            values[name] = longest_row(getattr(kind, name), name, args)
        elif values[name] > args.context:
            raise ValueError(
                f"--{name.replace('_', '-')} {values[name]} is longer than --context "
                f"{args.context}; choose a shorter row, or leave it out"
            )
    return kind(**values)


def longest_row(default: int, name: str, args: argparse.Namespace) -> int:
    """The default, or where the context is shorter, the longest row that fits it."""
    if default <= args.context:
        return default
    if name == "copy_row":
        return args.context
    return max(n for n in range(1, args.context + 1) if args.tokens_per_step % n == 0)


def ordinary_ids(tokenizer: BPETokenizer) -> list[int]:
    """All ids but those of special tokens."""
    special = set(tokenizer.special_tokens.values())
    return [i for i in range(tokenizer.vocab_size) if i not in special]


def facts_of(tokenizer: BPETokenizer, facts: list[str], seed: int) -> Stream | None:
    """The facts as a text of their own, where there are any."""
    encoded = [np.array(encode_fact(tokenizer, fact), dtype=np.int32) for fact in facts]
    return Stream(encoded, seed) if encoded else None


def beginning(config: LlamaConfig, rng: np.random.Generator, std: float) -> Weights:
    """Random weights, but the output begins as the embedding transposed.

    So a token that attention carries along predicts itself from the first step on, and copying
    need not be learned anew for every token of the vocabulary. Both then learn on their own.
    """
    weights = initialize(config, rng, std)
    weights.output[...] = weights.embedding.T
    return weights


def config_of(args: argparse.Namespace, vocab_size: int) -> LlamaConfig:
    """The model that the options describe."""
    return LlamaConfig(
        dim=args.dim, n_layers=args.layers, n_heads=args.heads, n_kv_heads=args.kv_heads,
        head_dim=args.head_dim,
        ffn_width=args.ffn_width or args.dim * 7 // 2,
        vocab_size=vocab_size, context_length=args.context,
        norm_eps=1e-5, rope_theta=args.theta, rope_scaling=None, tied_output=False,
    )  # fmt: skip
