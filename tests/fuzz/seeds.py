"""Small valid files of every format, made by the project's own writers and by the tests' fixtures.

Each function writes one folder. What a package is missing for is an ``ImportError``.
"""

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import numpy as np

from llama_np.config import LLAMA_3_1_SCALING
from llama_np.training.lora import initialize_lora
from llama_np.weights import initialize
from tests.folders import write_folder, write_shards
from tests.tiny import random_weights, tiny_config
from weights_tools.formats.adapter import save_lora
from weights_tools.load import open_model
from weights_tools.tokenizers import save_tokenizer
from weights_tools.tokenizers.tokenizer_json import CHAT_TEMPLATE, byte_letters

TEXT = "Once upon a time there was a little girl named Lily. She had a red ball. " * 5
NAMES = ("begin_of_text", "end_of_text", "start_header_id", "end_header_id", "eot_id")


def model(folder: Path) -> None:
    config = tiny_config(n_layers=1)
    write_folder(folder, config, random_weights(config, np.float32))


def shards(folder: Path) -> None:
    config = tiny_config(n_layers=1)
    write_shards(folder, config, random_weights(config, np.float32))


def quantized(folder: Path) -> None:
    """Matrices in int8, as ``quantize`` writes them."""
    from weights_tools.commands.convert import convert

    (folder / "whole").mkdir()
    model(folder / "whole")
    convert(open_model(folder / "whole"), folder / "small", "I8")
    for file in (folder / "small").iterdir():
        file.rename(folder / file.name)
    shutil.rmtree(folder / "whole")
    (folder / "small").rmdir()


logging.getLogger("gguf").setLevel(logging.ERROR)  # it tells of every value set anew


def gguf(folder: Path, kind: str = "F32", **options) -> None:
    from tests import llama_cpp

    config = tiny_config(
        n_layers=1, dim=32, ffn_width=32, n_heads=4, n_kv_heads=2, head_dim=8, vocab_size=259,
        rope_scaling=LLAMA_3_1_SCALING,
    )  # fmt: skip
    tensors = llama_cpp.tensors_of(config, random_weights(config, np.float32))
    tokens = [*byte_letters().values(), "th", "the", "<|endoftext|>"]

    def change(writer) -> None:
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(tokens)
        writer.add_token_types([1] * 258 + [3])
        writer.add_token_merges(["t h", "th e"])
        writer.add_eos_token_id(258)
        writer.add_chat_template(CHAT_TEMPLATE)

    store = llama_cpp.stored_as(kind)
    llama_cpp.write(folder / "m.gguf", config, tensors, store, change, **options)


def gguf_blocks(folder: Path) -> None:
    gguf(folder, "Q4_0")


def gguf_parts(folder: Path) -> None:
    gguf(folder, "Q8_0", split_max_tensors=5)


def gguf_pieces(folder: Path) -> None:
    """With SentencePiece's list of pieces."""
    from tests import llama_cpp

    config = tiny_config(n_layers=1, vocab_size=262, rope_scaling=None)
    pieces = sentencepiece_list()

    def change(writer) -> None:
        writer.add_tokenizer_model("llama")
        writer.add_token_list([piece.text for piece in pieces])
        writer.add_token_types([piece.kind for piece in pieces])
        writer.add_token_scores([float(piece.score) for piece in pieces])

    tensors = llama_cpp.tensors_of(config, random_weights(config, np.float32))
    llama_cpp.write(folder / "m.gguf", config, tensors, change=change)


def llama2c(folder: Path, version: int = 0) -> None:
    from tests.formats.test_llama2c import SMALL, legacy, tokenizer_bin, version_1

    config = dataclasses.replace(SMALL, vocab_size=262)
    layout = version_1 if version else legacy
    (folder / "m.bin").write_bytes(layout(config, random_weights(config, np.float32)))
    (folder / "tokenizer.bin").write_bytes(tokenizer_bin(262))


def llama2c_version_1(folder: Path) -> None:
    llama2c(folder, 1)


def meta(folder: Path, n: int = 1) -> None:
    from tests.formats.test_meta import meta_config, write_meta

    config = meta_config(n_layers=1)
    write_meta(folder, config, random_weights(config, np.float32), n=n)


def meta_parts(folder: Path) -> None:
    meta(folder, 2)


def adapter(folder: Path) -> None:
    config = tiny_config(n_layers=1)
    (folder / "base").mkdir()
    model(folder / "base")
    lora = initialize_lora(config, 2, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    save_lora(folder, lora.map(lambda a: a + rng.normal(size=a.shape)), config, "base")
    path = folder / "adapter_config.json"
    patterns = {"rank_pattern": {r"q_proj|layers\.0\.mlp\..*": 2}, "alpha_pattern": {"k_proj": 3}}
    path.write_text(json.dumps(json.loads(path.read_text()) | patterns))


def gpt2(folder: Path) -> None:
    from safetensors.numpy import save_file

    from tests.oracle.test_gpt2 import odd_config
    from tests.oracle.test_gpt2 import random_weights as gpt2_weights
    from weights_tools.formats.gpt2 import their_name

    config = odd_config(vocab_size=258)
    arrays = {their_name(n): a for n, a in gpt2_weights(config, np.float32).named()}
    save_file({n: np.ascontiguousarray(a) for n, a in arrays.items()}, folder / "model.safetensors")
    values = {
        "model_type": "gpt2", "n_embd": config.dim, "n_layer": config.n_layers,
        "n_head": config.n_heads, "n_inner": config.ffn_width, "vocab_size": config.vocab_size,
        "n_positions": config.context_length, "layer_norm_epsilon": config.norm_eps,
        "activation_function": "gelu_new", "tie_word_embeddings": True,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(values))
    letters = byte_letters().values()
    vocab = {letter: i for i, letter in enumerate(letters)} | {"th": 256, "<|endoftext|>": 257}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\nt h\n", encoding="utf-8")


# --- tokenizers ---


def byte_tokenizer():
    from llama_np.tokenizer import BPETokenizer
    from weights_tools.training.train_tokenizer import train_ranks

    return BPETokenizer(train_ranks(TEXT, 280), [f"<|{name}|>" for name in NAMES])


def tiktoken_files(folder: Path) -> None:
    save_tokenizer(byte_tokenizer(), folder)
    (folder / "tokenizer.json").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    added = {str(280 + i): {"content": f"<|{name}|>", "special": True} for i, name in enumerate(NAMES)}  # fmt: skip  # noqa: E501
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"added_tokens_decoder": added}))  # fmt: skip  # noqa: E501
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [281, 284]}))


def tokenizer_json(folder: Path) -> None:
    save_tokenizer(byte_tokenizer(), folder)
    (folder / "tokenizer.model").unlink()
    (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|eot_id|>"}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [281, 284]}))


def sentencepiece_list() -> list:
    from weights_tools.tokenizers.sentencepiece_model import BYTE, CONTROL, UNKNOWN, Piece

    marks = [Piece("<unk>", 0, UNKNOWN), Piece("<s>", 0, CONTROL), Piece("</s>", 0, CONTROL)]
    marks += [Piece(f"<0x{byte:02X}>", 0, BYTE) for byte in range(256)]
    return marks + [Piece("▁a", -1.0), Piece("▁", -2.0), Piece("a", -3.0)]


def sentencepiece(folder: Path) -> None:
    from weights_tools.tokenizers.sentencepiece_json import write_sentencepiece
    from weights_tools.tokenizers.sentencepiece_model import PieceList
    from weights_tools.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer

    write_sentencepiece(SentencePieceTokenizer(PieceList(sentencepiece_list())), folder)
    (folder / "added_tokens.json").write_text(json.dumps({"<|im_end|>": 262}))


def sentencepiece_alone(folder: Path) -> None:
    sentencepiece(folder)
    (folder / "tokenizer.json").unlink()


def sentencepiece_json(folder: Path) -> None:
    sentencepiece(folder)
    (folder / "tokenizer.model").unlink()


def chat_template(folder: Path) -> None:
    save_tokenizer(byte_tokenizer(), folder)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")


# --- training ---

TRAINED = tiny_config(rope_scaling=None, context_length=32, n_layers=1)


def training(folder: Path):
    """A run that has just begun."""
    from weights_tools.training.corpus import Stream
    from weights_tools.training.stages import Pretraining, Rows
    from weights_tools.training.trainer import Hyperparameters, Training

    rng = np.random.default_rng(0)
    stream = Stream([rng.integers(0, TRAINED.vocab_size, 40) for _ in range(5)], seed=0)
    rows = Rows(tokens_per_step=64, row=32, final_row=32)
    stage = Pretraining(stream, rows, 4, TRAINED.vocab_size)
    return Training(TRAINED, Hyperparameters(steps=4), stage, initialize(TRAINED, rng))


def checkpoint(folder: Path) -> None:
    training(folder).save(folder / "checkpoint.npz")


def log(folder: Path) -> None:
    rows = "step,tokens,learning_rate,train_loss,held_out_loss,seconds\n" + "".join(
        f"{step},{step * 64},1.0e-03,{4 / step:.4f},3.5000,{step}\n" for step in range(1, 9)
    )
    (folder / "log.csv").write_text(rows)


def corpus(folder: Path) -> None:
    text = "\n<|endoftext|>\n".join([TEXT, "Tom sat.\n\nHe ran.", "One.", "Two."] * 3)
    (folder / "stories.txt").write_text(text, encoding="utf-8")


def dialogs(folder: Path) -> None:
    lines = [json.dumps({"question": f"Who is {i}?", "answer": f"{i} is a cat."}) for i in range(9)]
    (folder / "dialogs.jsonl").write_text("\n".join(lines) + "\n")


# --- a class, a hub ---


def hand_ins(folder: Path) -> None:
    tasks = {"softmax": {"passed": True, "tries": 2, "met": []}}
    tasks["rms_norm"] = {"passed": False, "tries": 1, "met": ["it divides by the mean"]}
    content = {"version": 1, "handed_in": "2026-11-28 18:30", "tasks": tasks}
    for name in ("Anna", "Ben"):
        (folder / f"{name}.json").write_text(json.dumps(content))


def progress(folder: Path) -> None:
    hand_ins(folder)
    content = json.loads((folder / "Anna.json").read_text())
    del content["handed_in"]
    (folder / "progress.json").write_text(json.dumps(content))
    for name in ("Anna", "Ben"):
        (folder / f"{name}.json").unlink()


def hub_index(folder: Path) -> None:
    shards(folder)
    for file in folder.iterdir():
        if file.name != "model.safetensors.index.json":
            file.unlink()
