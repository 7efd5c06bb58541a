"""Hugging Face folders of tiny models: whole, in shards, as large as the real ones but empty."""

import io
import json
import math
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
from safetensors.numpy import save_file

from llama_np.config import LlamaConfig
from llama_np.weights import shapes
from weights_tools.__main__ import main
from weights_tools.formats.config_json import config_to_hugging_face
from weights_tools.layout import (
    hugging_face_name,
    is_rotated,
    to_adjacent_pairs,
    to_rotate_half,
)

INDEX = "model.safetensors.index.json"


def as_stored(config, weights) -> dict[str, np.ndarray]:
    """The arrays as a folder has them, by transformers' names."""
    return {
        hugging_face_name(name): to_hugging_face(name, array, config)
        for name, array in weights.named()
    }


def write_float32(path, tensors) -> None:
    save_file(
        {name: np.array(array, np.float32, order="C") for name, array in tensors.items()}, path
    )


def write_config(folder, config, **changes) -> None:
    (folder / "config.json").write_text(json.dumps(config_to_hugging_face(config) | changes))


def write_folder(folder, config, weights):
    """Config and weights in float32, without tokenizer."""
    write_config(folder, config)
    write_float32(folder / "model.safetensors", as_stored(config, weights))
    return folder


def write_index(folder, weight_map) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def write_shards(folder, config, weights):
    """The same in two files, with an index."""
    write_config(folder, config)
    tensors = as_stored(config, weights)
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, own in parts.items():
        write_float32(folder / file, {name: tensors[name] for name in own})
    write_index(folder, {name: file for file, own in parts.items() for name in own})
    return folder


def write_empty(folder, config):
    """A folder of bfloat16 whose file has the right size, but holds no bytes: all numbers are 0."""
    write_config(folder, config)
    header, end = {}, 0
    for name, shape in shapes(config).items():
        shape = shape if name == "embedding" else shape[::-1]
        start, end = end, end + 2 * math.prod(shape)
        header[hugging_face_name(name)] = {
            "dtype": "BF16", "shape": shape, "data_offsets": [start, end]
        }  # fmt: skip
    write_raw(folder / "model.safetensors", json.dumps(header).encode(), end)
    return folder


def write_raw(path, header: bytes, n_bytes: int) -> None:
    """A file with any header at all, and ``n_bytes`` zeros that take no room on the disk."""
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + n_bytes)


def logits_of_transformers(transformers, torch, folder, ids) -> np.ndarray:
    """What transformers makes of a folder, in float32."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return model(torch.tensor(ids)[None]).logits[0].numpy()


def one_line(error) -> str:
    """The text of an exception that pytest caught."""
    text = str(error.value)
    assert "\n" not in text
    return text


def command(*arguments) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of ``python -m weights_tools``."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


def refusal(*arguments) -> str:
    """The one line on standard error with which a command is refused."""
    status, _, told = command(*arguments)
    assert status == 1 and told.startswith("error: "), told
    assert told.count("\n") == 1 and told.endswith("\n"), told
    return told


def from_hugging_face(name: str, stored: np.ndarray, config: LlamaConfig) -> np.ndarray:
    """A stored array as ``Weights`` holds it; ``name`` is ours."""
    if stored.ndim < 2 or name == "embedding":
        return stored
    return (to_adjacent_pairs(stored, config.head_dim) if is_rotated(name) else stored).T


def to_hugging_face(name: str, array: np.ndarray, config: LlamaConfig) -> np.ndarray:
    """An array of ``Weights`` as a Hugging Face folder stores it; ``name`` is ours."""
    if array.ndim < 2 or name == "embedding":
        return array
    return to_rotate_half(array.T, config.head_dim) if is_rotated(name) else array.T
