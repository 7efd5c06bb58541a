"""A folder with LoRA matrices beside a model, as the ``peft`` package writes and reads it.

``adapter_config.json`` names the model and the scale, ``adapter_model.safetensors`` holds two thin
matrices for each matrix that was tuned: https://huggingface.co/docs/peft. The model is looked for
where the config says, seen from the folder, or else from where one stands.
"""

import dataclasses
import re
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from llama_np.axes import Array
from llama_np.config import LlamaConfig, brief
from llama_np.training.lora import Lora, Pair
from llama_np.weights import shapes

from ..layout import hugging_face_name, is_rotated, to_adjacent_pairs, to_rotate_half
from ..lazy_matrix import narrow_bf16
from ..opened import OpenedModel, Rows, TensorOnDisk, in_float32, plain_rows, same_rows
from ..reading import refuse_link_out
from ..tokenizers import load_tokenizer
from ..writing import write_json
from .adapter_config import CONFIG, SECONDS, rank_and_scale, read_adapter_config
from .hugging_face import TOKENIZER_COMPANIONS
from .safetensors_file import map_tensors, write_stream

MATRICES_FILE = "adapter_model.safetensors"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model")  # one of them brings a tokenizer along
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def is_adapter(folder: Path) -> bool:
    """Whether this is a folder that ``save_lora`` or peft wrote, without a model of its own."""
    return (folder / CONFIG).is_file() and not has_model(folder)


def has_model(folder: Path) -> bool:
    """Whether a whole model lies here; matrices in its folder then stand beside this one."""
    return (folder / "config.json").is_file() and any((folder / w).is_file() for w in WEIGHTS)


def read_lora(folder: Path, config: LlamaConfig) -> Lora:
    """The thin matrices of a folder, float32, for a model with this config.

    A pair with a scale of its own (``alpha_pattern``, ``rank_pattern``) has it in its ``b``.
    Raises ``FileNotFoundError`` or ``ValueError`` with the file, what was expected, what to do.
    """
    described, values = folder / CONFIG, read_adapter_config(folder)
    _, scale = rank_and_scale(described, values)
    file = find_matrices(folder)
    tensors = map_tensors(file)
    pairs, until = {}, time.monotonic() + SECONDS
    for ours, shape in shapes(config).items():
        a_name, b_name = names(ours)
        if a_name in tensors and b_name in tensors:
            a, b = (widened(file, name, tensors.pop(name)) for name in (a_name, b_name))
            if a.shape[1:] != shape[:1] or b.shape[:1] != shape[1:] or len(a) != b.shape[1]:
                raise ValueError(
                    f"{file}: {a_name} of shape {a.shape} and its partner of "
                    f"{b.shape} do not fit a matrix of {shape}; was another model tuned?"
                )
            rank, own_scale = rank_and_scale(described, values, module_name(ours), until)
            if len(a) != rank:
                raise ValueError(
                    f"{file}: {a_name} of shape {a.shape} has not the rank {rank} of {CONFIG}"
                )
            b = b if own_scale == scale else np.float32(own_scale / scale) * b
            b = to_adjacent_pairs(b, config.head_dim) if is_rotated(ours) else b
            pairs[ours] = Pair(a.T, b.T)
    others = [name for name in tensors if name not in COPIES]
    if others or not pairs:
        what = f"{brief.repr(others[0])} is no LoRA matrix" if others else "no LoRA matrix found"
        raise ValueError(
            f"{file}: {what} of a Llama with this config; merge it with peft first: "
            "model.merge_and_unload()"
        )
    return Lora(pairs, scale)


def find_matrices(folder: Path) -> Path:
    """The file with the matrices. Raises ``FileNotFoundError`` where only a pickle is there."""
    file = folder / MATRICES_FILE
    if not file.is_file() and (folder / "adapter_model.bin").is_file():
        raise FileNotFoundError(
            f"{folder}: adapter_model.bin is a pickle, which is not read; load it with peft and "
            "save it again: model.save_pretrained(FOLDER), which writes safetensors"
        )
    refuse_link_out(file)
    return file


def widened(file: Path, name: str, tensor: tuple[str, np.ndarray]) -> np.ndarray:
    kind, array = tensor
    wide = in_float32(TensorOnDisk(name, file, kind, array, array.nbytes))
    if wide.ndim != 2 or not np.isfinite(wide).all():
        raise ValueError(f"{file}: {name} is no matrix of finite numbers")
    return wide


def module_name(ours: str) -> str:
    """What peft's patterns call the module of a matrix of ours.

    >>> module_name("layers.0.wq")
    'model.layers.0.self_attn.q_proj'
    """
    return hugging_face_name(ours).removesuffix(".weight")


def names(ours: str) -> tuple[str, str]:
    """What peft calls the pair beside a matrix of ours.

    >>> names("layers.0.wq")[0]
    'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'
    """
    stem = f"base_model.model.{module_name(ours)}"
    return f"{stem}.lora_A.weight", f"{stem}.lora_B.weight"


# peft saves these, too, where the output or the embedding is tuned or was resized
COPIES = {
    f"base_model.model.{module_name(ours)}{layer}.weight": ours
    for ours in ("embedding", "output")
    for layer in ("", ".base_layer")
}


def refuse_other_weights(base: OpenedModel, file: Path) -> None:
    """Raise where matrices that are saved beside the thin ones are not the model's own."""
    tensors = map_tensors(file)
    for name in tensors.keys() & COPIES.keys():
        kind, array = tensors[name]
        copy = TensorOnDisk(name, file, kind, array, array.nbytes)
        own = base.stored[COPIES[name] if COPIES[name] in base.stored else "embedding"]
        if not same_rows(copy, own):
            raise ValueError(
                f"{file}: {name} is not the matrix of the model that was tuned; merge the two with "
                "peft first: model.merge_and_unload()"
            )


def save_lora(folder: Path, lora: Lora, config: LlamaConfig, base: str) -> None:
    """Write the matrices in bfloat16; ``base`` is where the model lies, seen from the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    for ours, pair in lora.pairs.items():
        a_name, b_name = names(ours)
        b = to_rotate_half(pair.b.T, config.head_dim) if is_rotated(ours) else pair.b.T
        arrays |= {a_name: narrow_bf16(pair.a.T), b_name: narrow_bf16(b)}
    specs = {name: ("BF16", array.shape) for name, array in arrays.items()}
    write_stream(folder / MATRICES_FILE, specs, arrays.values())
    write_json(describe(lora, base), folder / CONFIG)


def describe(lora: Lora, base: str) -> Mapping[str, object]:
    """What peft needs to know."""
    ranks = {module_name(name): pair.a.shape[1] for name, pair in lora.pairs.items()}
    rank = next(iter(ranks.values()))
    others = {re.escape(module): r for module, r in ranks.items() if r != rank}
    patterns = {
        "rank_pattern": others,
        "alpha_pattern": {module: lora.scale * r for module, r in others.items()},
    }
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": lora.scale * rank,
        "target_modules": list(dict.fromkeys(module.split(".")[-1] for module in ranks)),
        **(patterns if others else {}),
        "bias": "none",
        "lora_dropout": 0.0,
        "fan_in_fan_out": False,
        "inference_mode": True,
    }


class AdaptedRows:
    """Rows of a stored matrix with the product of its pair added as they are asked for."""

    def __init__(
        self, stored: TensorOnDisk, a: Array["rank in"], b: Array["out rank"], scale: float
    ):
        self.stored, self.a, self.b, self.scale = stored, a, b, scale
        self.shape = tuple(stored.rows.shape)

    def __getitem__(self, rows: slice | np.ndarray) -> Array["rows in"]:
        return plain_rows(self.stored, rows) + self.scale * (self.b[rows] @ self.a)


def untied(base: OpenedModel) -> OpenedModel:
    """The same model with an output of its own, which is still the embedding."""
    config = dataclasses.replace(base.config, tied_output=False)
    return base._replace(config=config, stored=base.stored | {"output": base.stored["embedding"]})


def adapt(base: OpenedModel, folder: Path) -> OpenedModel:
    """The model of ``base`` with the matrices of ``folder`` merged in, row by row when read.

    Where the output of a tied model is tuned, it is tied no longer, as in peft.
    """
    file = find_matrices(folder)
    if base.config.tied_output and names("output")[0] in map_tensors(file):
        base = untied(base)
    lora = read_lora(folder, base.config)
    refuse_other_weights(base, file)
    stored = dict(base.stored)
    for name, pair in lora.pairs.items():
        b = pair.b.T
        if is_rotated(name) and base.rotate_half:
            b = to_rotate_half(b, base.config.head_dim)
        rows: Rows = AdaptedRows(stored[name], pair.a.T, b, lora.scale)
        stored[name] = stored[name]._replace(kind="F32", rows=rows, scale=None)
    own = any((folder / file).is_file() for file in TOKENIZER_FILES)
    if own:
        others = (f for f in base.companions if f.name not in TOKENIZER_COMPANIONS)
        beside = (folder / name for name in TOKENIZER_COMPANIONS)
        base = base._replace(
            read_tokenizer=lambda: load_tokenizer(folder, base.config.vocab_size),
            companions=(*others, *(file for file in beside if file.is_file())),
        )
    return base._replace(path=folder, format=f"LoRA beside {base.format}", stored=stored)
