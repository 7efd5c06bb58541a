"""Writing a model from memory as a Hugging Face folder, which transformers opens unchanged."""

from pathlib import Path

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.tokenizer import Tokenizer
from llama_np.weights import Weights

from .convert import write_model
from .stored import Checkpoint, Stored


def save_model(
    folder: Path, config: LlamaConfig, weights: Weights, tokenizer: Tokenizer, bf16: bool = True
) -> None:
    """Write config, weights and tokenizer into ``folder``, which is made if absent."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = as_checkpoint(folder, config, weights)
    write_model(checkpoint, folder, "BF16" if bf16 else "F32", tokenizer)


def as_checkpoint(folder: Path, config: LlamaConfig, weights: Weights) -> Checkpoint:
    """Weights in memory as if they had just been opened: matrices (out, in), float32."""
    stored = {}
    for name, array in weights.named():
        rows = np.asarray(array if name == "embedding" else array.T, np.float32)
        stored[name] = Stored(name, folder, "F32", rows, rows.nbytes)
    return Checkpoint(folder, "memory", config, stored, halves=False, read_tokenizer=lambda: None)
