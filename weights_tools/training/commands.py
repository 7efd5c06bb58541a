"""``train`` and ``evaluate``: from a text file to a model, and how good it has become."""

import argparse
import os
import sys
from pathlib import Path

from llama_np.config import LlamaConfig
from llama_np.sampling import generate
from llama_np.tokenizer import Tokenizer

from ..load import load_model
from ..progress import Progress
from ..save import save_model
from .corpus import FACTS, Corpus, Stream, encode_training, read_corpus, read_facts
from .evaluate import bits_per_byte
from .train import Recipe, Training, train
from .train_tokenizer import train_ranks
from .training_log import draw_curve, write_line

TRAIN = (
    "Train a tokenizer and a small Llama from a text file. The result is a Hugging Face folder; "
    "DIR/training holds log, curve and checkpoint. Started again with the same options, it goes on "
    "where it was stopped. The defaults made the model that ships."
)
EVALUATE = (
    "Measure how many bits a model needs per byte of the held-out documents, each read by itself "
    "from its beginning."
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
    "vocab_size": (1024, "tokens in the vocabulary, special ones included"),
    "dim": (80, "width of the stream"),
    "layers": (32, "number of blocks"),
    "heads": (8, "query heads"),
    "kv_heads": (2, "key-value heads"),
    "head_width": (None, "numbers per token in a head (default: dim / heads)"),
    "ffn_width": (None, "feed-forward width (default: 3.5 dim)"),
    "context": (512, "longest text, in tokens"),
    "theta": (500000.0, "base of the RoPE frequencies"),
}
RECIPE_OPTIONS = {
    "steps": "updates of the weights",
    "tokens_per_step": "tokens in a batch",
    "row": "tokens in a row of the batch, at first",
    "final_row": "the same in the last part of the run",
    "final_share": "how large that part is",
    "peak_rate": "highest learning rate",
    "warm_up": "steps up to the highest rate",
    "weight_decay": "pull of the matrices towards zero",
    "dropout": "share of numbers dropped from what a block adds",
    "clip": "longest gradient",
    "averaging": "share of the averaged weights that a step keeps",
    "seed": "the same seed gives the same model",
}


def add_option(group, name: str, default, text: str) -> None:
    """One option with its default shown; the default also says what type it is."""
    kind = type(default) if default is not None else int
    shown = "" if default is None else " (default: %(default)s)"
    group.add_argument(
        f"--{name.replace('_', '-')}", type=kind, default=default, metavar="N", help=text + shown
    )


def add_corpus_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which text is meant, the same for training and evaluation."""
    parser.add_argument(
        "--corpus", type=Path, required=True, metavar="FILE", help="text file of documents"
    )
    parser.add_argument(
        "--separator", default="<|endoftext|>", metavar="TEXT",
        help="the line between two documents (default: %(default)s)",
    )  # fmt: skip
    add_option(parser, "held_out", 0.05, "share at the end that training never sees")
    add_option(parser, "threads", os.cpu_count() or 1, "threads to work on")


def add_train_arguments(p: argparse.ArgumentParser) -> None:
    add_corpus_options(p)
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    p.add_argument(
        "--facts", type=Path, default=FACTS, metavar="FILE",
        help="short documents, one a line (default: the facts that ship)",
    )  # fmt: skip
    add_option(p, "facts_repeat", 4, "times each fact comes in an epoch")
    add_option(p, "dialog_every", 20, "one story in N becomes a dialog; 0: none")
    add_option(p, "evaluate_every", 200, "steps from one evaluation and checkpoint to the next")
    model = p.add_argument_group("model")
    for name, (default, text) in MODEL_OPTIONS.items():
        add_option(model, name, default, text)
    recipe = p.add_argument_group("recipe")
    for name, text in RECIPE_OPTIONS.items():
        add_option(recipe, name, getattr(Recipe, name), text)


def add_evaluate_arguments(p: argparse.ArgumentParser) -> None:
    add_corpus_options(p)
    p.add_argument(
        "--model", type=Path, metavar="MODEL",
        help="folder or file (default: the variable LLAMA_MODEL, else the model that ships)",
    )  # fmt: skip


def run_train(args: argparse.Namespace) -> None:
    """``train``: tokenizer, model, log, curve."""
    corpus = read_corpus(args.corpus, args.separator, args.held_out)
    facts = read_facts(args.facts)
    folder = args.out / "training"
    folder.mkdir(parents=True, exist_ok=True)
    print(
        f"{len(corpus.train)} documents to train on, {len(corpus.held_out)} held out",
        file=sys.stderr,
    )

    n_ranks = args.vocab_size - len(SPECIAL_TOKENS)
    ranks = train_ranks([*corpus.train, *facts * FACTS_IN_TOKENIZER], n_ranks)
    tokenizer = Tokenizer(ranks, SPECIAL_TOKENS)
    documents = encode_training(
        tokenizer, corpus.train, facts, args.facts_repeat, args.dialog_every
    )
    stream = Stream(documents, args.seed)

    config = LlamaConfig(
        dim=args.dim, n_layers=args.layers, n_heads=args.heads, n_kv_heads=args.kv_heads,
        head_width=args.head_width or args.dim // args.heads,
        ffn_width=args.ffn_width or args.dim * 7 // 2,
        vocab_size=tokenizer.vocab_size, context_length=args.context,
        norm_eps=1e-5, rope_theta=args.theta, rope_scaling=None, tied_output=False,
    )  # fmt: skip
    recipe = Recipe(**{name: getattr(args, name) for name in RECIPE_OPTIONS})
    training = Training(config, recipe, stream.digest())
    checkpoint = folder / "checkpoint.npz"
    if checkpoint.exists():
        training.restore(checkpoint)
        print(f"going on from step {training.step}", file=sys.stderr)
    print(
        f"{config.count_parameters():,} parameters, {stream.length:,} tokens an epoch, "
        f"{recipe.steps * recipe.tokens_per_step / stream.length:.1f} epochs",
        file=sys.stderr,
    )
    progress = Progress(recipe.steps)
    before = training.step, training.seconds

    def report(now: Training, bits: float | None) -> None:
        pace = (now.step - before[0]) * recipe.tokens_per_step / (now.seconds - before[1])
        progress.show(
            now.step, f"loss {now.loss:.3f}  {pace:,.0f} tokens/s", force=bits is not None
        )
        if bits is not None:
            write_line(folder / "log.csv", now, stream, bits)
            progress.say(f"step {now.step}: {bits:.4f} held-out bits per byte")
            progress.say(sample(config, now.average, tokenizer))
            save_model(args.out, config, now.average, tokenizer)

    def evaluate(weights) -> float:
        return bits_per_byte(weights, config, tokenizer, corpus.held_out, args.threads)

    train(training, stream, checkpoint, evaluate, report, args.evaluate_every, args.threads)
    draw_curve(folder)


def sample(config, weights, tokenizer: Tokenizer) -> str:
    """The beginning of a story, greedy."""
    ids = tokenizer.encode(PROMPT, bos=True)
    new = generate(weights, config, ids, 40, stop_tokens=tokenizer.stop_ids)
    return f"    {PROMPT}{tokenizer.decode(new)}"


def run_evaluate(args: argparse.Namespace) -> None:
    """``evaluate``: one number, with how it came about."""
    model = load_model(args.model)
    if model.tokenizer is None:
        raise ValueError(f"{model.path}: has no tokenizer, so text cannot be encoded")
    corpus: Corpus = read_corpus(args.corpus, args.separator, args.held_out)
    progress = Progress(len(corpus.held_out))
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        progress.show(done, "documents")

    bits = bits_per_byte(
        model.weights, model.config, model.tokenizer, corpus.held_out, args.threads, count
    )
    n_bytes = sum(len(text.encode()) for text in corpus.held_out)
    print(
        f"{bits:.4f} bits per byte on {len(corpus.held_out)} held-out documents "
        f"({n_bytes:,} bytes), {model.path}"
    )
