"""A folder with LoRA matrices beside a model, as the ``peft`` package writes and reads it.

``adapter_config.json`` names the model and the scale, ``adapter_model.safetensors`` holds two thin
matrices for each matrix that was tuned: https://huggingface.co/docs/peft. The model is looked for
where the config says, seen from the folder.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from llama_np.axes import Array
from llama_np.config import LlamaConfig
from llama_np.training.lora import MATRICES, Lora, Pair
from llama_np.weights import shapes

from ..layout import hugging_face_name, is_rotated, to_adjacent_pairs, to_rotate_half
from ..lazy_matrix import narrow_bf16
from ..opened import OpenedModel, Rows, TensorOnDisk, in_float32
from ..reading import read_object
from ..tokenizers import load_tokenizer
from ..writing import write_json
from .safetensors_file import map_tensors, write_stream

CONFIG, MATRICES_FILE = "adapter_config.json", "adapter_model.safetensors"


def is_adapter(folder: Path) -> bool:
    """Whether this is a folder that ``save_lora`` or peft wrote."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def base_of(folder: Path) -> Path:
    """The model that the matrices stand beside."""
    path = folder / CONFIG
    base = read_object(path).get("base_model_name_or_path")
    if not isinstance(base, str):
        raise ValueError(f"{path}: expected base_model_name_or_path, the model that was tuned")
    found = (folder / base).resolve()
    if not found.exists():
        raise FileNotFoundError(
            f"{path}: the model that was tuned, {base!r}, is not at {found}; put it there, or "
            "change base_model_name_or_path"
        )
    return found


def read_lora(folder: Path, config: LlamaConfig) -> Lora:
    """The thin matrices of a folder, float32, for a model with this config.

    Raises ``FileNotFoundError`` or ``ValueError`` with the file, what was expected, what to do.
    """
    tensors = map_tensors(folder / MATRICES_FILE)
    pairs = {}
    for ours, shape in shapes(config).items():
        a_name, b_name = names(ours)
        if a_name in tensors and b_name in tensors:
            a, b = (widened(folder, name, tensors.pop(name)) for name in (a_name, b_name))
            if a.shape[1:] != shape[:1] or b.shape[:1] != shape[1:] or len(a) != b.shape[1]:
                raise ValueError(
                    f"{folder / MATRICES_FILE}: {a_name} of shape {a.shape} and its partner of "
                    f"{b.shape} do not fit a matrix of {shape}; was another model tuned?"
                )
            b = to_adjacent_pairs(b, config.head_dim) if is_rotated(ours) else b
            pairs[ours] = Pair(a.T, b.T)
    if tensors or not pairs:
        what = f"{next(iter(tensors))!r} is no LoRA matrix" if tensors else "no LoRA matrix found"
        raise ValueError(f"{folder / MATRICES_FILE}: {what} of a Llama with this config")
    return Lora(pairs, read_scale(folder))


def widened(folder: Path, name: str, tensor: tuple[str, np.ndarray]) -> np.ndarray:
    kind, array = tensor
    wide = in_float32(TensorOnDisk(name, folder / MATRICES_FILE, kind, array, array.nbytes))
    if wide.ndim != 2 or not np.isfinite(wide).all():
        raise ValueError(f"{folder / MATRICES_FILE}: {name} is no matrix of finite numbers")
    return wide


def read_scale(folder: Path) -> float:
    """What the product of the thin matrices is multiplied by: lora_alpha / r."""
    path = folder / CONFIG
    values = read_object(path)
    for key, plain in {"use_rslora": False, "use_dora": False, "bias": "none"}.items():
        if values.get(key, plain) != plain:
            raise ValueError(f"{path}: {key} = {values[key]!r}; expected {plain!r}, a plain LoRA")
    alpha, rank = values.get("lora_alpha"), values.get("r")
    if not all(isinstance(n, int | float) and n > 0 for n in (alpha, rank)):
        raise ValueError(f"{path}: expected lora_alpha and r, two numbers above 0")
    return alpha / rank


def names(ours: str) -> tuple[str, str]:
    """What peft calls the pair beside a matrix of ours.

    >>> names("layers.0.wq")[0]
    'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'
    """
    stem = f"base_model.model.{hugging_face_name(ours).removesuffix('.weight')}"
    return f"{stem}.lora_A.weight", f"{stem}.lora_B.weight"


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
    rank = next(iter(lora.pairs.values())).a.shape[1]
    tuned = [role for role in MATRICES if any(n.endswith(f".{role}") for n in lora.pairs)]
    modules = [hugging_face_name(f"layers.0.{role}").split(".")[-2] for role in tuned]
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": lora.scale * rank,
        "target_modules": modules,
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
        plain = in_float32(self.stored._replace(rows=self.stored.rows[rows]))
        if self.stored.scale is not None:
            plain = plain * self.stored.scale[rows, None]
        return plain + self.scale * (self.b[rows] @ self.a)


def adapt(base: OpenedModel, folder: Path) -> OpenedModel:
    """The model of ``base`` with the matrices of ``folder`` merged in, row by row when read."""
    lora = read_lora(folder, base.config)
    stored = dict(base.stored)
    for name, pair in lora.pairs.items():
        b = pair.b.T
        if is_rotated(name) and base.rotate_half:
            b = to_rotate_half(b, base.config.head_dim)
        rows: Rows = AdaptedRows(stored[name], pair.a.T, b, lora.scale)
        stored[name] = stored[name]._replace(kind="F32", rows=rows, scale=None)
    own = any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer.model"))
    return base._replace(
        path=folder,
        format=f"LoRA beside {base.format}",
        stored=stored,
        read_tokenizer=(lambda: load_tokenizer(folder, base.config.vocab_size))
        if own
        else base.read_tokenizer,
    )
