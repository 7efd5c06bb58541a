"""A Hugging Face folder of GPT-2: config.json, model.safetensors, the tokenizer in either form.

Its matrices lie as (in, out), unlike those of a Llama: transformers calls that layer ``Conv1D``.
Names come with ``transformer.`` in front or without.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llama_np.config import brief, check_positive
from llama_np.gpt2.weights import Gpt2Config, Gpt2Weights, gpt2_shapes
from llama_np.tokenizer.base import Tokenizer

from ..arguments import expand_user
from ..opened import TensorOnDisk, in_float32
from ..reading import read_object
from ..tokenizers import load_tokenizer
from ..tokenizers.gpt2_files import read_vocab_and_merges
from .hugging_face import tensor_files
from .safetensors_file import map_tensors

MODEL = {
    "embedding": "wte.weight", "positions": "wpe.weight",
    "norm": "ln_f.weight", "norm_shift": "ln_f.bias", "output": "lm_head.weight",
}  # fmt: skip
BLOCK = {
    "attn_norm": "ln_1.weight", "attn_norm_shift": "ln_1.bias",
    "w_qkv": "attn.c_attn.weight", "b_qkv": "attn.c_attn.bias",
    "wo": "attn.c_proj.weight", "bo": "attn.c_proj.bias",
    "ffn_norm": "ln_2.weight", "ffn_norm_shift": "ln_2.bias",
    "w_up": "mlp.c_fc.weight", "b_up": "mlp.c_fc.bias",
    "w_down": "mlp.c_proj.weight", "b_down": "mlp.c_proj.bias",
}  # fmt: skip
NEEDED = "n_embd", "n_layer", "n_head", "vocab_size", "n_positions"
PLAIN = {  # what else a config may ask for, and the only values that are computed here
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
}


class Gpt2(NamedTuple):
    """What ``load_gpt2`` returns. ``tokenizer`` is None where the folder has none."""

    config: Gpt2Config
    weights: Gpt2Weights
    tokenizer: Tokenizer | None
    path: Path


def load_gpt2(folder: str | os.PathLike) -> Gpt2:
    """Load a GPT-2 as float32 from a folder that transformers opens too.

    Raises ``FileNotFoundError`` or ``ValueError`` with the file, what was expected, what to do.
    """
    folder = expand_user(folder)
    described = folder / "config.json"
    values = read_object(described)
    try:
        config = config_from(values)
    except ValueError as error:
        raise ValueError(f"{described}: {error}") from None
    weights = Gpt2Weights.from_named(read_arrays(folder, config))
    return Gpt2(config, weights, read_tokenizer(folder, config.vocab_size), folder)


def config_from(values: Mapping[str, Any]) -> Gpt2Config:
    """From the contents of a ``config.json``; refuses by name what is not computed here.

    Source: https://huggingface.co/docs/transformers/model_doc/gpt2#transformers.GPT2Config
    """
    if (kind := values.get("model_type")) != "gpt2":
        raise ValueError(
            f"expected a GPT-2 (model_type 'gpt2'), got {brief.repr(kind)}; load_model reads Llamas"
        )
    for key, allowed in PLAIN.items():
        if values.get(key, allowed[0]) not in allowed:
            given = brief.repr(values[key])
            raise ValueError(f"{key} = {given} is not supported, only {allowed[0]!r}")
    for key in NEEDED:
        if key not in values:
            raise ValueError(f"the config has no {key!r}; is this the config of a GPT-2?")
        check_positive(key, values[key], int)
    return Gpt2Config(
        dim=values["n_embd"],
        n_layers=values["n_layer"],
        n_heads=values["n_head"],
        ffn_width=values.get("n_inner") or 4 * values["n_embd"],
        vocab_size=values["vocab_size"],
        context_length=values["n_positions"],
        norm_eps=values.get("layer_norm_epsilon", 1e-5),
        qkv_bias=True,
        tied_output=values.get("tie_word_embeddings", True),
    )


def their_name(name: str) -> str:
    """The name in the file, without prefix, of the array that ``Gpt2Weights.named`` calls ``name``.

    >>> their_name("layers.3.w_qkv")
    'h.3.attn.c_attn.weight'
    """
    if name in MODEL:
        return MODEL[name]
    _, layer, role = name.split(".")
    return f"h.{layer}.{BLOCK[role]}"


def read_arrays(folder: Path, config: Gpt2Config) -> dict[str, np.ndarray]:
    """Every array by our name, as float32 of the shape that the config says.

    Masks that old files hold, and a second copy of a tied output, are not asked for.
    """
    found = {}
    for file in tensor_files(folder):
        for name, (kind, rows) in map_tensors(file).items():
            stored = TensorOnDisk(name, file, kind, rows, rows.nbytes)
            found[name.removeprefix("transformer.")] = stored
    if config.n_layers > len(found):  # before a table of that many names is made
        raise ValueError(
            f"{folder}: {len(found)} tensors are too few for the {config.n_layers} layers of "
            "config.json; is the download complete?"
        )
    arrays = {}
    for name, shape in gpt2_shapes(config).items():
        theirs = their_name(name)
        if theirs not in found:
            raise ValueError(f"{folder}: {theirs} is missing; is the download complete?")
        stored = found[theirs]
        array = in_float32(stored)
        array = array.T if name == "output" else array
        if array.shape != shape or not np.isfinite(array).all():
            raise ValueError(
                f"{stored.file}: {stored.name} should be {shape} finite numbers by the config, got "
                f"{array.shape}; get the file again"
            )
        arrays[name] = array
    return arrays


def read_tokenizer(folder: str | os.PathLike, vocab_size: int | None = None) -> Tokenizer | None:
    """From any file that ``load_tokenizer`` knows, or from vocab.json and merges.txt."""
    folder, tokenizer = Path(folder), load_tokenizer(folder, vocab_size)
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    if tokenizer is None and vocab.is_file() and merges.is_file():
        return read_vocab_and_merges(vocab, merges)
    return tokenizer
