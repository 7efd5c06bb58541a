"""LoRA: learn two thin matrices beside each frozen one, in place of the matrix itself.

A fine-tuned matrix is ``w + scale * a @ b``, where ``a`` is (in, rank) and ``b`` (rank, out). At
the start ``b`` is zero, so the model begins as it was. Afterwards the product is added to ``w``
once, and what runs is an ordinary Llama again.

Source: https://arxiv.org/abs/2106.09685, section 4.1.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

from ..axes import Array
from ..config import LlamaConfig
from ..weights import Weights, shapes

MATRICES = ("wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down")


@dataclasses.dataclass(frozen=True)
class Pair:
    """The two thin matrices beside one matrix."""

    a: Array["in rank"]
    b: Array["rank out"]


@dataclasses.dataclass(frozen=True)
class Lora:
    """All pairs, by the name of the matrix that each stands beside, such as ``layers.3.wq``."""

    pairs: Mapping[str, Pair]
    scale: float

    def named(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every learned array, named such as ``layers.3.wq.a``."""
        for name, pair in self.pairs.items():
            yield f"{name}.a", pair.a
            yield f"{name}.b", pair.b

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> "Lora":
        """The same with ``change`` applied to every array."""
        pairs = {name: Pair(change(pair.a), change(pair.b)) for name, pair in self.pairs.items()}
        return Lora(pairs, self.scale)


def lora_product(a: Array["in rank"], b: Array["rank out"], scale: float) -> Array["in out"]:
    """What a pair adds to its matrix: scale * a @ b, of rank ``rank`` at most.

    >>> lora_product(np.array([[1.0], [2.0]]), np.array([[3.0, 4.0]]), 0.5).tolist()
    [[1.5, 2.0], [3.0, 4.0]]
    """
    return scale * (a @ b)  # in rank @ rank out -> in out


def lora_backward(
    d_w: Array["in out"], a: Array["in rank"], b: Array["rank out"], scale: float
) -> tuple[Array["in rank"], Array["rank out"]]:
    """Back through ``lora_product``: the gradients of a and b, from the gradient of the matrix."""
    return scale * (d_w @ b.T), scale * (a.T @ d_w)


def merge(weights: Weights, lora: Lora) -> Weights:
    """Add every product to its matrix: ordinary weights, the frozen ones left as they were.

    Raises ``ValueError`` for a pair whose matrix is not there or has another shape.

    peft: ``model.merge_and_unload()``.
    """
    named = dict(weights.named())
    for name, pair in lora.pairs.items():
        shape = pair.a.shape[0], pair.b.shape[1]
        if name not in named or named[name].shape != shape:
            found = f"shape {named[name].shape}" if name in named else "no such matrix"
            raise ValueError(
                f"LoRA for {name} of shape {shape}, but the model has {found}; "
                "was it trained on another model?"
            )
        named[name] = named[name] + lora_product(pair.a, pair.b, lora.scale)
    return Weights.from_named(named)


def lora_gradients(d_weights: Weights, lora: Lora) -> Lora:
    """The gradient of every pair, from the gradients of the merged weights."""
    d_named = dict(d_weights.named())
    return Lora(
        {
            name: Pair(*lora_backward(d_named[name], pair.a, pair.b, lora.scale))
            for name, pair in lora.pairs.items()
        },
        lora.scale,
    )


def initialize_lora(
    config: LlamaConfig,
    rank: int,
    rng: "np.random.Generator",
    *,
    alpha: float | None = None,
    matrices: Collection[str] = MATRICES,
) -> Lora:
    """Pairs to start from, beside the named matrices of every block: ``a`` random, ``b`` zero.

    The scale is alpha / rank; alpha is twice the rank if not given. Numbers of ``a`` are uniform
    within 1 / sqrt(in), as peft draws them.

    Raises ``ValueError`` for a rank below 1 or as large as a matrix: that would save nothing.
    """
    pairs = {}
    for name, shape in shapes(config).items():
        if name.rpartition(".")[2] not in matrices:
            continue
        if not 1 <= rank < min(shape):
            raise ValueError(
                f"a LoRA rank of {rank} does not fit {name} of shape {shape}; choose 1 to "
                f"{min(shape) - 1}"
            )
        a = rng.uniform(-1, 1, (shape[0], rank)) / np.sqrt(shape[0])
        pairs[name] = Pair(a.astype(np.float32), np.zeros((rank, shape[1]), np.float32))
    return Lora(pairs, (2 * rank if alpha is None else alpha) / rank)
