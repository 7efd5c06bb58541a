"""A Hugging Face folder: ``config.json``, safetensors in one file or in shards, a tokenizer."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from llama_np.config import LlamaConfig, brief
from llama_np.weights import shapes

from ..int8 import is_int8
from ..layout import hugging_face_name
from ..opened import OpenedModel, TensorOnDisk, in_float32, same_rows
from ..reading import TABLE, leaves, read_object, refuse_link_out
from ..tokenizers import load_tokenizer
from .config_json import config_from_hugging_face
from .safetensors_file import map_tensors

SCALE = "_scale"  # behind the name of a matrix in int8
TOKENIZER_COMPANIONS = (
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "chat_template.jinja"),
)
COMPANIONS = (  # what goes along when a model is converted
    *TOKENIZER_COMPANIONS,
    *("generation_config.json", "LICENSE", "LICENSE.txt", "USE_POLICY.md"),
)
INDEX = "model.safetensors.index.json"
EMBEDDING, OUTPUT = map(hugging_face_name, ("embedding", "output"))


def open_hugging_face(folder: Path) -> OpenedModel:
    """Open a folder that transformers opens too; nothing is read but headers.

    Raises ``FileNotFoundError`` or ``ValueError`` with the file, what was expected, what to do.
    """
    path = folder / "config.json"
    values = read_object(path)
    try:
        quantized = is_int8(values.pop("quantization_config", None))
        config = config_from_hugging_face(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return OpenedModel(
        path=folder,
        format="Hugging Face, int8" if quantized else "Hugging Face",
        config=config,
        stored=find_tensors(folder, config, quantized),
        rotate_half=True,
        read_tokenizer=lambda: load_tokenizer(folder, config.vocab_size),
        companions=tuple(folder / name for name in COMPANIONS if (folder / name).is_file()),
    )


def find_tensors(folder: Path, config: LlamaConfig, quantized: bool) -> dict[str, TensorOnDisk]:
    """The arrays of all files by our names, in our order."""
    found: dict[str, tuple[Path, str, np.ndarray]] = {}
    for file in tensor_files(folder):
        for name, (kind, array) in map_tensors(file).items():
            if name in found:
                raise ValueError(f"{file}: {name} is in {found[name][0].name} too; which is right?")
            found[name] = file, kind, array
    if config.n_layers > len(found):  # before a table of that many names is made
        raise ValueError(
            f"{folder}: {len(found)} tensors are too few for the {config.n_layers} layers of "
            "config.json; is the download complete?"
        )
    theirs = {name: hugging_face_name(name) for name in shapes(config)}
    refuse_strangers(found, set(theirs.values()), quantized)
    if config.tied_output:
        refuse_another_output(found)
        if OUTPUT in found and EMBEDDING not in found:  # safetensors keeps one name of the two
            found[EMBEDDING] = found.pop(OUTPUT)
    stored = {}
    for ours, name in theirs.items():
        if name in found:
            file, kind, array = found[name]
            scale = None
            if kind == "I8":
                scale = find_scale(name, found, quantized)
            stored[ours] = TensorOnDisk(name, file, kind, array, array.nbytes, scale)
    return stored


def refuse_strangers(found: dict, expected: set[str], quantized: bool) -> None:
    """Raise for a tensor that no Llama of this config has, such as a bias."""
    if quantized:
        expected = expected | {f"{name}{SCALE}" for name in expected}
    for name, (file, _, _) in found.items():
        # older files hold the frequencies of RoPE, and tied models the output once more
        if name not in expected | {OUTPUT} and not name.endswith("rotary_emb.inv_freq"):
            raise ValueError(f"{file}: {name} is no part of a Llama with this config")


def refuse_another_output(found: dict) -> None:
    """Raise where a tied model comes with an output matrix that is not its embedding."""
    if OUTPUT in found and EMBEDDING in found:
        output, tied = (
            TensorOnDisk(name, *found[name], found[name][-1].nbytes) for name in (OUTPUT, EMBEDDING)
        )
        if not same_rows(output, tied):
            raise ValueError(
                f"{output.file}: {OUTPUT} is not the embedding, though config.json says "
                "tie_word_embeddings; set it to false there if the matrix is meant"
            )


def find_scale(name: str, found: dict, quantized: bool) -> np.ndarray:
    """The scales of an int8 matrix, one for each row, as float32."""
    file, _, array = found[name]
    if not quantized:
        raise ValueError(
            f"{file}: {name} is stored as I8; expected one of F64, F32, F16, BF16, or a config "
            "that says how to read int8, as `python -m weights_tools quantize` writes it"
        )
    if f"{name}{SCALE}" not in found:
        raise ValueError(f"{file}: {name}{SCALE} is missing; is the download complete?")
    _, kind, scale = found[f"{name}{SCALE}"]
    if kind == "I8" or array.ndim != 2 or scale.size != len(array):
        raise ValueError(
            f"{file}: {name}{SCALE} should be a float for each row of {array.shape}, "
            f"got {scale.shape} of {kind}"
        )
    return in_float32(TensorOnDisk(f"{name}{SCALE}", file, kind, scale.ravel(), scale.nbytes))


def tensor_files(folder: Path) -> Iterator[Path]:
    """``model.safetensors``, or every shard that the index names."""
    single, index = folder / "model.safetensors", folder / INDEX
    if single.is_file():
        refuse_link_out(single)
        yield single
        return
    if not index.is_file():
        if any(folder.glob("pytorch_model*.bin*")):
            raise FileNotFoundError(
                f"{folder}: its weights are in pytorch_model.bin, a pickle, which is not read; "
                "open the folder with transformers and save it again as safetensors: "
                "model.save_pretrained(FOLDER)"
            )
        raise FileNotFoundError(
            f"{folder}: found neither model.safetensors nor {INDEX}; is the download complete?"
        )
    for shard in sorted(set(read_index(index).values())):
        if Path(shard).name != shard:
            raise ValueError(
                f"{index}: the shard {brief.repr(shard)} lies outside the folder; refused"
            )
        if not os.path.isfile(folder / shard):
            raise FileNotFoundError(
                f"{folder}: {brief.repr(shard)} is missing; is the download complete?"
            )
        if leaves(folder, shard):
            raise ValueError(
                f"{index}: the shard {brief.repr(shard)} links out of the folder; refused"
            )
        yield folder / shard


def read_index(index: Path) -> dict[str, str]:
    """Which tensor is in which file."""
    weight_map = read_object(index, TABLE).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(s, str) for s in weight_map.values()):
        raise ValueError(
            f"{index}: not an index of shards: expected a weight_map from tensors to files; "
            "get it again"
        )
    return weight_map


def index_problems(folder: Path) -> Iterator[str]:
    """A line for every tensor that is not where the index says."""
    index = folder / INDEX
    if (folder / "model.safetensors").is_file() or not index.is_file():
        return
    named = read_index(index)
    held = {name: file.name for file in tensor_files(folder) for name in map_tensors(file)}
    for name in sorted(named.keys() | held.keys()):
        if name not in named:
            yield f"{index}: does not name {brief.repr(name)}, which is in {brief.repr(held[name])}"
        elif name not in held:
            yield (
                f"{index}: {brief.repr(name)} should be in {brief.repr(named[name])}, but is in no "
                "file"
            )
        elif held[name] != named[name]:
            yield (
                f"{index}: {brief.repr(name)} should be in {brief.repr(named[name])}, but is in "
                f"{brief.repr(held[name])}"
            )
