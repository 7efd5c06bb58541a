"""python -m weights_tools train | evaluate: see --help of each."""

import argparse
import os
import sys
from pathlib import Path

from llama_np.config import LlamaConfig
from llama_np.sampling import generate
from llama_np.tokenizer import Tokenizer

from .corpus import FACTS, Corpus, Stream, encode_training, read_corpus, read_facts
from .evaluate import bits_per_byte
from .load import load_model
from .progress import Progress
from .save import save_model
from .train import Recipe, Training, train
from .train_tokenizer import train_ranks
from .training_log import draw_curve, write_line

SPECIAL_TOKENS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
]
FACTS_IN_TOKENIZER = 30  # often enough that "42" becomes one token, as it is in Llama 3
PROMPT = "Once upon a time, there was a little girl named"


def add_corpus_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which text is meant, the same for training and evaluation."""
    parser.add_argument("--corpus", type=Path, required=True, help="text file of documents")
    parser.add_argument(
        "--separator", default="<|endoftext|>", help="line between documents (default: %(default)s)"
    )
    parser.add_argument(
        "--held-out", type=float, default=0.05,
        help="share at the end that training never sees (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="default: all %(default)s cores"
    )


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m weights_tools", description="Train small Llamas and measure them."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shown = argparse.ArgumentDefaultsHelpFormatter

    p = commands.add_parser(
        "train", formatter_class=shown,
        help="train a tokenizer and a model from a text file",
        description="Train a tokenizer and a small Llama from a text file. The result is a Hugging "
        "Face folder; DIR/training holds log, curve and checkpoint. Started again with the same "
        "options, it goes on where it was stopped.",
    )  # fmt: skip
    add_corpus_options(p)
    p.add_argument("--out", type=Path, required=True, help="folder to write")
    p.add_argument("--facts", type=Path, default=FACTS, help="short documents, one a line")
    p.add_argument("--facts-repeat", type=int, default=4, help="times each fact comes in an epoch")
    p.add_argument(
        "--dialog-every", type=int, default=20, help="one story in N becomes a dialog; 0: none"
    )
    model = p.add_argument_group("model")
    model.add_argument("--vocab-size", type=int, default=1024, help="special tokens included")
    model.add_argument("--dim", type=int, default=64)
    model.add_argument("--layers", type=int, default=32)
    model.add_argument("--heads", type=int, default=8)
    model.add_argument("--kv-heads", type=int, default=2)
    model.add_argument("--head-width", type=int, help="dim / heads where it is not given")
    model.add_argument("--ffn-width", type=int, help="3.5 dim where it is not given")
    model.add_argument("--context", type=int, default=512, help="longest text, in tokens")
    model.add_argument("--theta", type=float, default=500000.0, help="base of the RoPE frequencies")
    recipe = p.add_argument_group("recipe")
    recipe.add_argument("--steps", type=int, default=3000)
    recipe.add_argument("--tokens-per-step", type=int, default=4096)
    recipe.add_argument(
        "--row", type=int, default=256, help="tokens in a row of the batch at first"
    )
    recipe.add_argument(
        "--final-share", type=float, default=0.25, help="share with rows of --context"
    )
    recipe.add_argument("--peak-rate", type=float, default=3e-3, help="highest learning rate")
    recipe.add_argument("--warm-up", type=int, default=100, help="steps up to the highest rate")
    recipe.add_argument("--weight-decay", type=float, default=0.1)
    recipe.add_argument("--dropout", type=float, default=0.1)
    recipe.add_argument("--averaging", type=float, default=0.998, help="of the weights, per step")
    recipe.add_argument("--seed", type=int, default=0)
    recipe.add_argument(
        "--evaluate-every", type=int, default=200, help="steps; checkpoints come then too"
    )
    p.set_defaults(run=run_train)

    p = commands.add_parser(
        "evaluate",
        help="measure held-out bits per byte",
        description="Measure how many bits a model needs per byte of the held-out documents, each "
        "read by itself from its beginning.",
    )
    add_corpus_options(p)
    p.add_argument(
        "--model", type=Path, help="model folder; default: LLAMA_MODEL or the doll-house"
    )
    p.set_defaults(run=run_evaluate)
    return parser


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
    recipe = Recipe(
        steps=args.steps, tokens_per_step=args.tokens_per_step, context=args.row,
        final_context=args.context, final_share=args.final_share, peak_rate=args.peak_rate,
        warm_up=args.warm_up, weight_decay=args.weight_decay, dropout=args.dropout,
        averaging=args.averaging, seed=args.seed,
    )  # fmt: skip
    training = Training(config, recipe)
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
        raise ValueError(f"{model.path}: has no tokenizer.model, so text cannot be encoded")
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


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors are one line."""
    args = make_parser().parse_args(arguments)
    try:
        args.run(args)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nstopped; start again with the same options to go on from the last checkpoint",
            file=sys.stderr,
        )
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
