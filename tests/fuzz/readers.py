"""What is read: each reader with its seeds, the files that are changed, and what must then hold.

A reader returns nothing if all is well. What it raises is judged by ``child``: our own errors are
refusals; ``Wrong`` is a file that was read into something that cannot be true.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llama_np.model import forward
from llama_np.weights import shapes
from tests.folders import command
from weights_tools.load import load_model

from . import seeds

SAID = "Tom had the red ball, 12 of them: naïve 猫 🙂<|eot_id|></s>\n\n "
MAY_PRINT = {"\n", "\t"}


class Wrong(AssertionError):
    """A file was read, and what came of it cannot be."""


class Reader(NamedTuple):
    """``files``: patterns of what is changed; ``entry``: what is opened, "" for the folder.

    ``named``: whether errors name the file, or whoever calls this reader puts the name there.
    """

    read: Callable[[Path], None]
    seeds: tuple[Callable[[Path], None], ...]
    files: tuple[str, ...] = ("*",)
    entry: str = ""
    named: bool = True


def expect(holds: object, what: str) -> None:
    if not holds:
        raise Wrong(what)


def refusals(read: Callable, *arguments) -> Exception | None:
    """The error of one way of reading, for one to be compared with another."""
    try:
        read(*arguments)
    except (ValueError, OSError) as error:
        return error
    return None


# --- models ---


def model(path: Path) -> None:
    """Widened and mapped it is one model, of the shapes that its config says."""
    loaded = load_model(path, "float32")
    for (name, array), shape in zip(loaded.weights.named(), shapes(loaded.config).values(), strict=True):  # fmt: skip  # noqa: E501
        expect(array.shape == shape, f"{name} has shape {array.shape}, not {shape}")
        expect(np.isfinite(array).all(), f"{name} is not finite")
    mapped = load_model(path, "mapped")
    expect(mapped.config == loaded.config, "the config differs when mapped")
    ids = np.array([1, 2, 1])[: loaded.config.context_length] % loaded.config.vocab_size
    with np.errstate(all="ignore"):
        ours, theirs = (forward(m.weights, m.config, ids) for m in (loaded, mapped))
    expect(ours.shape == (len(ids), loaded.config.vocab_size), f"logits of shape {ours.shape}")
    sane = np.isfinite(ours).all() and np.abs(ours).max() < 1e6
    expect(not sane or np.allclose(ours, theirs, rtol=1e-3, atol=1e-3), "mapped gives other logits")
    if loaded.tokenizer is not None:
        writes_and_reads(loaded.tokenizer)


def commands(path: Path) -> None:
    """inspect and verify end in 0 or 1, in plain text; well-verified is loadable."""
    for name in ("inspect", "verify"):
        status, out, told = command(name, path)
        lines = (out + told).replace("\n", "").replace("\t", "")
        expect(status in (0, 1), f"{name} ends with {status}")
        expect(lines.isprintable(), f"{name} prints {ascii(lines)[:200]}")
        expect("Traceback" not in told and told.count("error: ") == status, f"{name}: {told[:200]}")


def a_model(path: Path) -> None:
    """Loaded, looked at and verified."""
    commands(path)
    model(path)


def gpt2(folder: Path) -> None:
    from llama_np.gpt2.model import gpt2_forward
    from weights_tools.formats.gpt2 import load_gpt2

    loaded = load_gpt2(folder)
    ids = np.array([1, 2])[: loaded.config.context_length] % loaded.config.vocab_size
    with np.errstate(all="ignore"):
        logits = gpt2_forward(loaded.weights, loaded.config, ids)
    expect(logits.shape == (len(ids), loaded.config.vocab_size), f"logits of {logits.shape}")
    if loaded.tokenizer is not None:
        writes_and_reads(loaded.tokenizer)


# --- tokenizers ---


def writes_and_reads(tokenizer) -> None:
    """Ids are below the count, and their text is the one that was given."""
    try:
        ids = tokenizer.encode(SAID, bos=True, allow_special=True)
    except ValueError:  # a vocabulary that cannot spell it says so
        ids = tokenizer.encode("a")
    expect(all(0 <= i < tokenizer.padded_size for i in ids), f"ids {ids[:20]}")
    tokenizer.decode(ids)
    for i in range(min(tokenizer.vocab_size, 400)):
        expect(tokenizer.token(i).isprintable(), f"token {i} as {tokenizer.token(i)!a}")


def tokenizer(folder: Path) -> None:
    """What is written of it and read again gives the same ids."""
    from weights_tools.tokenizers import load_tokenizer, save_tokenizer

    ours = load_tokenizer(folder)
    if ours is None:  # its file is gone
        return
    writes_and_reads(ours)
    with tempfile.TemporaryDirectory() as other:
        if refusals(save_tokenizer, ours, other) is None:
            again = load_tokenizer(other)
            for text in (SAID, "the ball", " a  b"):
                same = [refused_or(t.encode, text) for t in (ours, again)]
                expect(same[0] == same[1], f"written and read again, {text!r} has other ids")


def refused_or(encode: Callable, text: str):
    try:
        return encode(text)
    except ValueError:
        return "refused"


def chat_template(folder: Path) -> None:
    from weights_tools.tokenizers import chat_template as rendering
    from weights_tools.tokenizers import load_tokenizer

    rendering.SECONDS = 5  # a stranger's endless loop shall not take all the time of a run
    tokenizer = load_tokenizer(folder)
    dialog = [{"role": "user", "content": "Hi <|eot_id|>\0\x1b[2J"}]
    ids = rendering.encode_chat(tokenizer, dialog)
    expect(all(0 <= i < tokenizer.padded_size for i in ids), f"ids {ids[:20]}")


# --- training ---


def checkpoint(folder: Path) -> None:
    """A run goes on with arrays of its own shapes, or not at all."""
    run = seeds.training(folder)
    before = {(k, n): a.shape for k, group in run.arrays().items() for n, a in group.items()}
    run.restore(folder / "checkpoint.npz")
    expect(type(run.step) is int and 0 <= run.step <= 4, f"step {run.step!r}")
    for kind, group in run.arrays().items():
        for name, array in group.items():
            expect(array.shape == before[kind, name], f"{kind} {name} has another shape")


def log(folder: Path) -> None:
    from weights_tools.training.training_log import read_log

    for row in read_log(folder / "log.csv"):
        int(row["step"]), float(row["train_loss"])


def corpus(folder: Path) -> None:
    from weights_tools.training.corpus import read_corpus

    found = read_corpus(folder / "stories.txt", held_out=0.3)
    expect(found.train and found.held_out, "an empty part")
    expect(all(text.strip() for text in found.train + found.held_out), "an empty document")


def dialogs(folder: Path) -> None:
    from weights_tools.training.dialogs import Dialog, read_lines

    for dialog in read_lines(folder / "dialogs.jsonl", Dialog):
        expect(dialog.question.strip() and dialog.answer.strip(), "an empty text")


# --- a class, a hub ---


def hand_ins(folder: Path) -> None:
    """One bad file never keeps a class from its table."""
    from classroom.collect import collect

    (folder / "Zoe.json").write_text('{"version": 1, "tasks": {}}')
    with tempfile.TemporaryDirectory() as out:
        for line in collect(folder, Path(out)):
            expect(line.replace(out, "").isprintable(), f"prints {line!a}")


def progress(folder: Path) -> None:
    from classroom.check.examine import Outcome
    from classroom.progress import load, note

    os.environ["LLAMA_PROGRESS"] = str(folder)
    load()
    lines = note("softmax", Outcome(True, ["softmax: right."]))
    expect(all(line.isprintable() for line in lines), f"prints {lines!a}")
    kept = load().get("softmax", {"passed": False})["passed"]
    expect(kept or any("not saved" in line for line in lines), f"not remembered, {lines!a}")


def hub_index(folder: Path) -> None:
    from weights_tools.commands.download import INDEX, read_aside, refuse_outside, shards

    def fetch(name: str, local_dir: str) -> Path:
        return folder / name

    for name in shards(read_aside(fetch, INDEX)):
        refuse_outside(name)
        expect((folder / name).resolve().is_relative_to(folder.resolve()), f"outside: {name!a}")


READERS = {
    "config": Reader(a_model, (seeds.model, seeds.quantized), ("config.json",)),
    "safetensors": Reader(a_model, (seeds.model, seeds.quantized), ("*.safetensors",)),
    "shards": Reader(a_model, (seeds.shards,), ("*.index.json", "*.safetensors")),
    "gguf": Reader(a_model, (seeds.gguf, seeds.gguf_blocks, seeds.gguf_pieces), entry="m.gguf"),
    "gguf-parts": Reader(a_model, (seeds.gguf_parts,), entry="m-00001-of-00003.gguf"),
    "llama2c": Reader(a_model, (seeds.llama2c, seeds.llama2c_version_1), entry="m.bin"),
    "meta": Reader(a_model, (seeds.meta, seeds.meta_parts)),
    "adapter": Reader(a_model, (seeds.adapter,)),
    "gpt2": Reader(gpt2, (seeds.gpt2,)),
    "tokenizer.json": Reader(tokenizer, (seeds.tokenizer_json, seeds.sentencepiece_json)),
    "sentencepiece": Reader(tokenizer, (seeds.sentencepiece, seeds.sentencepiece_alone)),
    "tiktoken": Reader(tokenizer, (seeds.tiktoken_files,)),
    "chat-template": Reader(
        chat_template, (seeds.chat_template,), ("*.jinja", "tokenizer_config.json"), named=False
    ),
    "checkpoint": Reader(checkpoint, (seeds.checkpoint,)),
    "log": Reader(log, (seeds.log,)),
    "corpus": Reader(corpus, (seeds.corpus,)),
    "dialogs": Reader(dialogs, (seeds.dialogs,)),
    "hand-ins": Reader(hand_ins, (seeds.hand_ins,)),
    "progress": Reader(progress, (seeds.progress,)),
    "hub-index": Reader(hub_index, (seeds.hub_index,), named=False),
}
