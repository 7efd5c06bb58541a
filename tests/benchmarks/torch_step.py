"""The trainer's step a second time, in PyTorch eager: batch, dropout, AdamW, averaging alike."""

from typing import Any

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.weights import Weights
from tests.benchmarks.machine import blas_threads
from weights_tools.training.trainer import Hyperparameters


class TorchStep:
    """Our weights as leaves of a graph, and the plain way through it.

    Heads attend by ``scaled_dot_product_attention``, and RoPE turns real pairs by a table: the fast
    forms that PyTorch has without compiling.
    """

    def __init__(self, config: LlamaConfig, weights: Weights, recipe: Hyperparameters):
        import torch

        torch.set_num_threads(blas_threads())
        torch.manual_seed(recipe.seed)
        self.torch, self.config, self.recipe = torch, config, recipe
        self.w = {
            name: torch.tensor(np.array(w if name == "embedding" else w.T), requires_grad=True)
            for name, w in weights.named()
        }
        self.average = {name: w.detach().clone() for name, w in self.w.items()}
        matrices = [w for w in self.w.values() if w.ndim > 1]
        vectors = [w for w in self.w.values() if w.ndim == 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": recipe.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=recipe.peak_rate, betas=(0.9, 0.95),
        )  # fmt: skip

    def take_step(self, ids: np.ndarray, targets: np.ndarray) -> float:
        """One update; the loss in nats."""
        torch, recipe = self.torch, self.recipe
        self.optimizer.zero_grad()
        loss = self.loss(torch.as_tensor(ids).long(), torch.as_tensor(targets).long())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.w.values(), recipe.clip)
        self.optimizer.step()
        with torch.no_grad():
            for name, mean in self.average.items():
                mean.lerp_(self.w[name], 1 - recipe.ema_decay)
        return loss.item()

    def loss(self, ids: Any, targets: Any) -> Any:
        """Cross-entropy of the whole batch."""
        F = self.torch.nn.functional
        x = F.embedding(ids, self.w["embedding"])
        table = self.rotations(ids.shape[-1])
        for i in range(self.config.n_layers):
            x = x + self.dropped(self.attention(self.norm(x, f"layers.{i}.attn_norm"), i, table))
            x = x + self.dropped(self.feed_forward(self.norm(x, f"layers.{i}.ffn_norm"), i))
        output = self.w.get("output", self.w["embedding"])
        logits = F.linear(self.norm(x, "norm"), output)
        return F.cross_entropy(logits.flatten(0, -2), targets.flatten())

    def norm(self, x: Any, name: str) -> Any:
        """``llama_np.norm.rms_norm``."""
        return self.torch.nn.functional.rms_norm(
            x, x.shape[-1:], self.w[name], self.config.norm_eps
        )

    def dropped(self, x: Any) -> Any:
        """What a half of a block adds to the stream, thinned out."""
        return self.torch.nn.functional.dropout(x, self.recipe.dropout)

    def rotations(self, T: int) -> tuple[Any, Any]:
        """Cosine and sine of every position and pair; plain RoPE, as the doll-house has."""
        torch, width = self.torch, self.config.head_dim
        frequencies = self.config.rope_theta ** (-torch.arange(0, width, 2) / width)
        angles = torch.outer(torch.arange(T), frequencies)
        return angles.cos(), angles.sin()

    def rotate(self, x: Any, table: tuple[Any, Any]) -> Any:
        """``llama_np.rope.rotate``."""
        (cos, sin), even, odd = table, x[..., 0::2], x[..., 1::2]
        return self.torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)

    def attention(self, x: Any, i: int, table: tuple[Any, Any]) -> Any:
        """``llama_np.attention.attention``, causal and without a cache."""
        F, group = self.torch.nn.functional, self.config.group
        q, k, v = (
            F.linear(x, self.w[f"layers.{i}.{name}"])
            .unflatten(-1, (-1, self.config.head_dim))
            .transpose(-2, -3)
            for name in ("wq", "wk", "wv")
        )
        q, k = self.rotate(q, table), self.rotate(k, table)
        k, v = (each.repeat_interleave(group, dim=-3) for each in (k, v))
        mix = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return F.linear(mix.transpose(-2, -3).flatten(-2), self.w[f"layers.{i}.wo"])

    def feed_forward(self, x: Any, i: int) -> Any:
        """``llama_np.feed_forward.swiglu``."""
        F = self.torch.nn.functional
        gate, up = (F.linear(x, self.w[f"layers.{i}.{name}"]) for name in ("w_gate", "w_up"))
        return F.linear(F.silu(gate) * up, self.w[f"layers.{i}.w_down"])
