"""Writing a model as a Hugging Face folder, which transformers opens unchanged."""

from pathlib import Path

from llama_np.config import LlamaConfig
from llama_np.tokenizer import Tokenizer, write_ranks
from llama_np.weights import Weights

from .layout import hugging_face_name, to_hugging_face
from .tensors import write_tensors
from .tokenizer_json import write_json, write_tokenizer_json


def save_model(
    folder: Path, config: LlamaConfig, weights: Weights, tokenizer: Tokenizer, bf16: bool = True
) -> None:
    """Write config, weights and tokenizer into ``folder``, which is made if absent."""
    folder.mkdir(parents=True, exist_ok=True)
    described = config.to_hugging_face() | {
        "dtype": "bfloat16" if bf16 else "float32",
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": sorted(tokenizer.stop_ids),
    }
    write_json(described, folder / "config.json")
    write_ranks(tokenizer.ranks, folder / "tokenizer.model")
    write_tokenizer_json(tokenizer, folder, model_max_length=config.context_length)
    tensors = {
        hugging_face_name(name): to_hugging_face(name, array, config)
        for name, array in weights.named()
    }
    write_tensors(folder / "model.safetensors", tensors, bf16)
