"""Writing a model from memory as a Hugging Face folder, which transformers opens unchanged."""

from pathlib import Path

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.tokenizer import Tokenizer
from llama_np.weights import Weights

from .commands.convert import write_model
from .opened import OpenedModel, TensorOnDisk


def save_model(
    folder: Path, config: LlamaConfig, weights: Weights, tokenizer: Tokenizer, bf16: bool = True
) -> None:
    """Write config, weights and tokenizer into ``folder``, which is made if absent."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = as_checkpoint(folder, config, weights)
    write_model(checkpoint, folder, "BF16" if bf16 else "F32", tokenizer)


def as_checkpoint(folder: Path, config: LlamaConfig, weights: Weights) -> OpenedModel:
    """Weights in memory as if they had just been opened: matrices (out, in), float32."""
    stored = {}
    for name, array in weights.named():
        rows = np.asarray(array if name == "embedding" else array.T, np.float32)
        stored[name] = TensorOnDisk(name, folder, "F32", rows, rows.nbytes)
    return OpenedModel(
        folder, "memory", config, stored, rotate_half=False, read_tokenizer=lambda: None
    )
