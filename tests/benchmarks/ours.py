"""This project's side: a prompt read and tokens written, as a user would."""

import numpy as np

from llama_np.cache import KVCache
from llama_np.config import LlamaConfig
from llama_np.sampling import generate, prefill
from llama_np.weights import Weights
from tests.benchmarks.limits import LEAST
from tests.benchmarks.turns import pace, seconds_for

WARM_UP = 4  # tokens written before the clock starts; the first comes from the prompt
PROMPT = 16  # tokens of the prompt to decode from


def prompt_of(config: LlamaConfig, length: int) -> np.ndarray:
    """Random tokens."""
    return np.random.default_rng(0).integers(0, config.vocab_size, length)


class Ours:
    """``sampling.prefill`` into a new cache, and the tokens that ``generate`` yields, greedily."""

    def __init__(self, config: LlamaConfig, weights: Weights):
        self.config, self.weights = config, weights

    def prefill(self, T: int) -> np.ndarray:
        """The logits behind a prompt of ``T`` tokens."""
        cache = KVCache(self.config, T)
        return prefill(self.weights, self.config, prompt_of(self.config, T), cache)

    def decode_rate(self, n: int) -> float:
        """Tokens a second of ``n`` tokens in a row."""
        prompt = prompt_of(self.config, PROMPT)
        new = generate(self.weights, self.config, prompt, WARM_UP + n)
        return pace(new.__next__, WARM_UP, n)


class Bare:
    """The model's products with its weights and nothing else, in plain NumPy."""

    def __init__(self, config: LlamaConfig, weights: Weights):
        self.config, self.output = config, weights.output
        self.blocks = [
            [layer.wq, layer.wk, layer.wv, layer.wo, layer.w_gate, layer.w_up, layer.w_down]
            for layer in weights.layers
        ]
        self.rows = {w.shape[0]: np.ones(w.shape[0], np.float32) for w in self.blocks[0]}

    def prefill_rate(self, T: int) -> float:
        """Tokens a second: one block stands for all, and the output is for one row."""
        x = {width: np.ones((T, width), np.float32) for width in self.rows}
        self.one_block(x, self.blocks[0])
        block = seconds_for(lambda: self.one_block(x, self.blocks[0]), LEAST)
        output = seconds_for(lambda: self.rows[self.config.dim] @ self.output)
        return T / (block * len(self.blocks) + output)

    def decode_rate(self, n: int) -> float:
        """Tokens a second, were there nothing but products."""
        return pace(self.one_token, 1, n)

    def one_token(self) -> None:
        """A row times every matrix."""
        for block in self.blocks:
            self.one_block(self.rows, block)
        self.rows[self.config.dim] @ self.output

    def one_block(self, x: dict[int, np.ndarray], block: list[np.ndarray]) -> None:
        """Every matrix of a block, with the input of its width."""
        for w in block:
            x[w.shape[0]] @ w
