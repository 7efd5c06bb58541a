"""``evaluate``: how good a model has become, as one number."""

import argparse

from ..load import load_model
from ..progress import Progress
from ..training.corpus import read_corpus
from ..training.evaluate import bits_per_byte
from ..training.options import add_corpus_options, add_model_option

HELP = "measure held-out bits per byte"
DESCRIPTION = (
    "Measure how many bits a model needs per byte of the held-out documents, each read by itself "
    "from its beginning."
)


def add_arguments(p: argparse.ArgumentParser) -> None:
    add_corpus_options(p)
    add_model_option(p)


def run(args: argparse.Namespace) -> None:
    """One number, with how it came about."""
    model = load_model(args.model)
    if model.tokenizer is None:
        raise ValueError(f"{model.path}: has no tokenizer, so text cannot be encoded")
    corpus = read_corpus(args.corpus, args.separator, args.held_out)
    progress = Progress(len(corpus.held_out))
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        progress.show(done, "documents")

    bits = bits_per_byte(model.weights, model.config, model.tokenizer, corpus.held_out, count)
    n_bytes = sum(len(text.encode()) for text in corpus.held_out)
    print(
        f"{bits:.4f} bits per byte on {len(corpus.held_out)} held-out documents "
        f"({n_bytes:,} bytes), {model.path}"
    )
