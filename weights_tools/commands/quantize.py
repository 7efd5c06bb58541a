"""``quantize``: a model in int8, with what that costs: an error per matrix, and in the logits."""

import argparse
import sys
from pathlib import Path

import numpy as np

from llama_np.functional import log_softmax
from llama_np.model import forward

from ..load import load_model, open_model
from ..opened import OpenedModel
from .convert import convert

HELP = "write a model in 8 bits a number"
DESCRIPTION = (
    "Write a model with its matrices in int8: half the size of bfloat16. Every row of a matrix is "
    "divided by a scale of its own and rounded to -127 ... 127; embedding and norms stay as they "
    "are. Prints the relative error of every matrix and how far the logits move."
)
TEXT = (
    "Once upon a time there was a little girl who asked her grandmother why the sky is blue. The "
    "old woman thought for a while, looked up and said that nobody had ever asked her that before."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="SOURCE", type=Path, help="model of any known source")
    parser.add_argument("folder", metavar="DEST", type=Path, help="new folder to write")
    parser.add_argument(
        "--int8", action="store_true", required=True, help="8 bits a number (the only kind so far)"
    )


def run(args: argparse.Namespace) -> None:
    """Quantise, then compare the two models."""
    source = open_model(args.model)
    if any(stored.kind == "I8" for stored in source.stored.values()):
        raise ValueError(f"{source.path}: is in int8 already; nothing to do")

    def report(name: str, error: float) -> None:
        print(f"{name:24} relative error {error:.3%}", flush=True)

    convert(source, args.folder, "I8", report)
    print(f"wrote {args.folder}; now both are run on a text", file=sys.stderr)
    print("\n".join(compare(source, args.folder)), flush=True)


def compare(source: OpenedModel, folder: Path) -> list[str]:
    """How far the logits of the quantised model are from those of the source."""
    before, after = load_model(source.path, memory="mapped"), load_model(folder, memory="mapped")
    if before.tokenizer is None:
        ids = np.random.default_rng(0).integers(0, before.config.vocab_size, 32)
    else:
        ids = np.array(before.tokenizer.encode(TEXT, bos=True))
    ids = ids[: before.config.context_length]
    with np.errstate(all="ignore"):
        old, new = (forward(model.weights, model.config, ids) for model in (before, after))
    if not (np.isfinite(old).all() and np.isfinite(new).all()):
        return ["the logits are not finite, before or after: `verify` the source"]
    moved, spread = np.abs(new - old), old.std()
    p, q = log_softmax(old), log_softmax(new)
    divergence = float((np.exp(p) * (p - q)).sum(-1).mean())
    same = float((old.argmax(-1) == new.argmax(-1)).mean())
    return [
        f"logits over {len(ids)} positions: they move by {moved.mean():.4f} on average and "
        f"{moved.max():.4f} at most; their own standard deviation is {spread:.4f}",
        f"the likeliest token stays the same at {same:.0%} of the positions; the new distribution "
        f"diverges from the old by {divergence:.5f} nats a token",
    ]
