"""The other side: transformers in PyTorch, in float32, on the very same weights.

PyTorch is imported where it is first needed: without it these columns stay empty.
"""

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.weights import Weights
from tests.benchmarks.machine import blas_threads
from tests.benchmarks.ours import PROMPT, WARM_UP, prompt_of
from tests.benchmarks.turns import pace
from tests.folders import to_hugging_face
from weights_tools.formats.config_json import config_to_hugging_face
from weights_tools.layout import hugging_face_name


def installed() -> bool:
    """Whether PyTorch and transformers are there."""
    return all(importlib.util.find_spec(name) for name in ("torch", "transformers"))


def make_twin(config: LlamaConfig, weights: Weights) -> Any:
    """transformers' model over our memory; only wq and wk, whose rows it orders otherwise, are
    copies."""
    import torch
    from transformers import LlamaConfig as TheirConfig
    from transformers import LlamaForCausalLM
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    described = TheirConfig(**config_to_hugging_face(config) | {"dtype": "float32"})
    with torch.device("meta"):  # without memory: it would be filled at random first
        model = LlamaForCausalLM(described)
    stored = {
        hugging_face_name(name): torch.from_numpy(to_hugging_face(name, array, config))
        for name, array in weights.named()
    }
    model.load_state_dict(stored, strict=False, assign=True)
    model.tie_weights()
    model.model.rotary_emb = LlamaRotaryEmbedding(described)  # is not among what is stored
    assert not any(parameter.is_meta for parameter in model.parameters())
    return model.eval()


class Theirs:
    """The leanest plain loop: the model's own forward, its cache, argmax. ``generate`` is slower.

    ``attention`` is "eager" or "sdpa". PyTorch gets as many threads as NumPy's BLAS has.
    """

    def __init__(self, twin: Any, config: LlamaConfig, attention: str):
        import torch

        torch.set_num_threads(blas_threads())
        self.torch, self.twin, self.config, self.attention = torch, twin, config, attention

    def step(self, ids: Any, cache: Any = None) -> Any:
        """Logits for the last token alone, and the cache."""
        return self.twin(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)

    def prefill(self, T: int) -> np.ndarray:
        """The logits behind a prompt of ``T`` tokens."""
        self.twin.set_attn_implementation(self.attention)
        with self.torch.inference_mode():
            ids = self.torch.from_numpy(prompt_of(self.config, T))[None]
            return self.step(ids).logits[0, -1].numpy()

    def decode_rate(self, n: int) -> float:
        """Tokens a second of ``n`` tokens in a row."""
        self.twin.set_attn_implementation(self.attention)
        with self.torch.inference_mode():
            return pace(self.write().__next__, WARM_UP, n)

    def write(self) -> Iterator[Any]:
        """Tokens behind a short prompt, greedily, without end."""
        out = self.step(self.torch.from_numpy(prompt_of(self.config, PROMPT))[None])
        while True:
            token = out.logits[:, -1:].argmax(-1)
            yield token
            out = self.step(token, out.past_key_values)


def check_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Raise ``ValueError`` unless both computed the same: other work is not worth comparing."""
    apart = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    if not apart < 1e-3:
        raise ValueError(f"ours and theirs differ by {apart:.1e} of the largest logit")
