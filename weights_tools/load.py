"""Bringing a model in: a folder on disk becomes config, weights and tokenizer."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.tokenizer import Tokenizer
from llama_np.weights import Weights, check, shapes

from .layout import from_hugging_face, hugging_face_name
from .tensors import read_tensors

DOLL_HOUSE = Path(__file__).parent / "doll_house"


class Model(NamedTuple):
    """What ``load_model`` returns. ``tokenizer`` is None where the folder has none we can read."""

    config: LlamaConfig
    weights: Weights
    tokenizer: Tokenizer | None
    path: Path


def load_model(path: str | os.PathLike | None = None) -> Model:
    """Load a Llama from a Hugging Face folder, as float32.

    ``path`` is a folder with ``config.json``, ``model.safetensors`` (or shards with
    ``model.safetensors.index.json``) and Llama 3's ``tokenizer.model``. Without it, the folder that
    the environment variable ``LLAMA_MODEL`` names; without that, the doll-house that ships here.

    Raises ``FileNotFoundError`` or ``ValueError`` with the file, what was expected, and what to do.
    """
    folder = Path(path or os.environ.get("LLAMA_MODEL") or DOLL_HOUSE)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no such folder: {folder}; expected a Hugging Face model folder with config.json and "
            "model.safetensors (check the path, or the variable LLAMA_MODEL)"
        )
    config = LlamaConfig.from_file(folder / "config.json")
    weights = load_weights(folder, config)
    tokenizer = load_tokenizer(folder)
    if tokenizer is not None and tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens, the model only "
            f"{config.vocab_size}; the two files belong to different models"
        )
    return Model(config, weights, tokenizer, folder)


def load_weights(folder: Path, config: LlamaConfig) -> Weights:
    """The weights of a Hugging Face folder, q and k reordered, matrices (in, out), checked."""
    shape_of = shapes(config)
    ours = {hugging_face_name(name): name for name in shape_of}
    named: dict[str, np.ndarray] = {}
    for file in tensor_files(folder):
        for stored_name, array in read_tensors(file):
            if stored_name in ours:
                expected = shape_of[ours[stored_name]]
                expected = expected if "embed" in stored_name else expected[::-1]
                if array.shape != expected:
                    raise ValueError(
                        f"{file}: {stored_name} should have shape {expected} by config.json, "
                        f"got {array.shape}"
                    )
                array = array.astype(np.float32, copy=False)
                named[ours[stored_name]] = from_hugging_face(ours[stored_name], array, config)
            elif not (
                stored_name.endswith("rotary_emb.inv_freq") or stored_name == "lm_head.weight"
            ):
                raise ValueError(f"{file}: {stored_name} is no part of a Llama with this config")
    missing = [stored for stored, name in ours.items() if name not in named]
    if missing:
        raise ValueError(
            f"{folder}: {len(missing)} tensors are missing, the first is {missing[0]}; "
            "is the download complete?"
        )
    weights = Weights.from_named(named)
    try:
        check(weights, config)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    return weights


def tensor_files(folder: Path) -> Iterator[Path]:
    """``model.safetensors``, or every shard that the index names."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        yield single
        return
    if not index.is_file():
        raise FileNotFoundError(
            f"{folder}: found neither model.safetensors nor model.safetensors.index.json; "
            "is the download complete?"
        )
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        shards = sorted({Path(name).as_posix() for name in names})
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{index}: not an index of shards: {error!r}; get it again") from None
    for shard in shards:
        if Path(shard).name != shard:
            raise ValueError(f"{index}: the shard {shard!r} lies outside the folder; refused")
        if not (folder / shard).is_file():
            raise FileNotFoundError(f"{folder / shard} is missing; is the download complete?")
        yield folder / shard


def load_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer of a folder: ``tokenizer.model``, or the one Meta puts under ``original``."""
    for path in (folder / "tokenizer.model", folder / "original" / "tokenizer.model"):
        if path.is_file():
            return Tokenizer.from_file(path)
    return None
