"""What is learned: every matrix of a Llama, named by its role, with its shape.

A matrix is a float32 array, or anything else that answers to ``x @ w`` and ``.T``, such as a matrix
whose rows stay in their file (``weights_tools.lazy_matrix``).
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from .axes import Array
from .config import LlamaConfig


class Named(Protocol):
    """Anything that lists its arrays by name: ``Weights``, or the thin matrices of a ``Lora``."""

    def named(self) -> Iterator[tuple[str, np.ndarray]]: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerWeights:
    """One block. All matrices are (in, out), so that the code says ``x @ w``."""

    attn_norm: Array["D"]
    wq: Array["D Hq*K"]
    wk: Array["D Hkv*K"]
    wv: Array["D Hkv*K"]
    wo: Array["Hq*K D"]
    ffn_norm: Array["D"]
    w_gate: Array["D F"]
    w_up: Array["D F"]
    w_down: Array["F D"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """The whole model. A tied output is the embedding transposed: a view of the same memory."""

    embedding: Array["V D"]
    layers: tuple[LayerWeights, ...]
    norm: Array["D"]
    output: Array["D V"]

    @classmethod
    def from_named(cls, named: Mapping[str, np.ndarray]) -> "Weights":
        """From a flat mapping as ``named`` gives it; without ``output`` the embedding is tied."""
        return cls(
            embedding=named["embedding"],
            layers=layers_from(LayerWeights, named),
            norm=named["norm"],
            output=named["output"] if "output" in named else named["embedding"].T,
        )

    def named(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every learned array once, named such as ``layers.3.wq``; a tied output is left out."""
        yield "embedding", self.embedding
        yield from named_layers(self.layers)
        yield "norm", self.norm
        if not same_memory(self.output, self.embedding):
            yield "output", self.output

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> "Weights":
        """The same weights with ``change`` applied to every array; ties stay tied."""
        return Weights.from_named({name: change(array) for name, array in self.named()})


def layers_from(kind: type, named: Mapping[str, np.ndarray]) -> tuple:
    """One ``kind`` for every block, from a flat mapping; only fields with a default may be missing.

    ``kind`` is ``LayerWeights``, or another dataclass of a block's arrays.
    """
    n_layers = 1 + max(int(name.split(".")[1]) for name in named if name.startswith("layers."))
    roles = dataclasses.fields(kind)
    return tuple(
        kind(
            **{
                role.name: named[f"layers.{i}.{role.name}"]
                for role in roles
                if role.default is dataclasses.MISSING or f"layers.{i}.{role.name}" in named
            }
        )
        for i in range(n_layers)
    )


def named_layers(layers: Sequence) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of all blocks, named such as ``layers.3.wq``; None is left out."""
    for i, layer in enumerate(layers):
        for role, array in vars(layer).items():
            if array is not None:
                yield f"layers.{i}.{role}", array


def same_memory(a: Array["..."], b: Array["..."]) -> bool:
    """Whether two matrices are one, read in two directions.

    Two that are no arrays are one if what they keep in ``stored`` is the same.
    """
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.shares_memory(a, b)
    return getattr(a, "stored", a) is getattr(b, "stored", b)


def shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every array that ``Weights.named`` yields for a config.

    >>> tiny = LlamaConfig(
    ...     dim=4, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=2, ffn_width=6, vocab_size=8,
    ...     context_length=16, norm_eps=1e-5, rope_theta=1e4, rope_scaling=None, tied_output=True)
    >>> shapes(tiny)["layers.0.wk"], shapes(tiny)["layers.0.w_down"]
    ((4, 2), (6, 4))
    """
    dim, ffn = config.dim, config.ffn_width
    queries, keys = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    layer = {
        "attn_norm": (dim,),
        "wq": (dim, queries),
        "wk": (dim, keys),
        "wv": (dim, keys),
        "wo": (queries, dim),
        "ffn_norm": (dim,),
        "w_gate": (dim, ffn),
        "w_up": (dim, ffn),
        "w_down": (ffn, dim),
    }
    named = {"embedding": (config.vocab_size, dim)}
    for i in range(config.n_layers):
        named |= {f"layers.{i}.{name}": shape for name, shape in layer.items()}
    named["norm"] = (dim,)
    if not config.tied_output:
        named["output"] = (dim, config.vocab_size)
    return named


def check(weights: Weights, config: LlamaConfig) -> None:
    """Raise ``ValueError`` unless every array has the shape the config says and holds real numbers.

    Names the first array that does not fit.
    """
    expected = shapes(config)
    found = dict(weights.named())
    for name in expected.keys() ^ found.keys():
        where = "missing from the weights" if name in expected else "not part of this config"
        raise ValueError(f"{name} is {where}; do weights and config belong to the same model?")
    for name, shape in expected.items():
        if found[name].shape != shape:
            raise ValueError(f"{name} should have shape {shape}, got {found[name].shape}")
        if isinstance(found[name], np.ndarray) and not np.isfinite(found[name]).all():
            raise ValueError(f"{name} holds NaN or infinity; the file is damaged, get it again")


def initialize(config: LlamaConfig, rng: "np.random.Generator", std: float = 0.02) -> Weights:
    """Random float32 weights to start training from: see ``random_arrays``."""
    return Weights.from_named(random_arrays(shapes(config), config.n_layers, rng, std))


def random_arrays(
    shapes: Mapping[str, tuple[int, ...]],
    n_layers: int,
    rng: "np.random.Generator",
    std: float = 0.02,
) -> dict[str, np.ndarray]:
    """Random float32 arrays of these shapes, by name, as GPT-2 and Llama start.

    Every matrix is normal with deviation ``std``; ``wo`` and ``w_down``, which write into the
    residual stream, are smaller by 1 / sqrt(2 * layers), so that the stream does not grow with
    depth. Norm weights start at one, biases and shifts at zero.

    Source: GPT-2, https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf,
    section 2.3.
    """

    def fresh(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) == 1:
            return np.full(shape, name.endswith("norm"), np.float32)
        writes_to_stream = name.endswith(("wo", "w_down"))
        scale = std / np.sqrt(2 * n_layers) if writes_to_stream else std
        return (rng.standard_normal(shape, np.float32) * scale).astype(np.float32)

    return {name: fresh(name, shape) for name, shape in shapes.items()}
