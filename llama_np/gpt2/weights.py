"""What a GPT-2 is made of: its sizes, and every array that it has learned.

Source: https://github.com/openai/gpt-2/blob/master/src/model.py
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ..axes import Array
from ..config import check_positive
from ..weights import layers_from, named_layers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpt2Config:
    """The sizes and constants of one GPT-2. Raises ``ValueError`` for what cannot be.

    ``qkv_bias`` is true in all that were released; some courses leave these biases out.
    """

    dim: int  # D
    n_layers: int
    n_heads: int  # Hq
    ffn_width: int  # F
    vocab_size: int  # V
    context_length: int  # rows of the position table
    norm_eps: float
    qkv_bias: bool
    tied_output: bool

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if field.type in (int, float):
                check_positive(field.name, getattr(self, field.name), field.type)
        if self.dim % self.n_heads:
            raise ValueError(
                f"config: a width of {self.dim} cannot be split evenly over {self.n_heads} heads"
            )

    @property
    def head_dim(self) -> int:
        """K: in GPT-2 always D / Hq."""
        return self.dim // self.n_heads


# https://huggingface.co/openai-community/gpt2/blob/main/config.json
GPT2_SMALL = Gpt2Config(
    dim=768, n_layers=12, n_heads=12, ffn_width=3072, vocab_size=50257, context_length=1024,
    norm_eps=1e-5, qkv_bias=True, tied_output=True,
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpt2Layer:
    """One block. All matrices are (in, out); what is added after one is its bias, ``b_...``."""

    attn_norm: Array["D"]
    attn_norm_shift: Array["D"]
    w_qkv: Array["D 3*D"]  # queries, keys and values in one matrix
    b_qkv: Array["3*D"] | None = None  # the released model has it
    wo: Array["D D"]
    bo: Array["D"]
    ffn_norm: Array["D"]
    ffn_norm_shift: Array["D"]
    w_up: Array["D F"]
    b_up: Array["F"]
    w_down: Array["F D"]
    b_down: Array["D"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpt2Weights:
    """The whole model. A tied output is the embedding transposed: a view of the same memory."""

    embedding: Array["V D"]
    positions: Array["C D"]  # C: context length
    layers: tuple[Gpt2Layer, ...]
    norm: Array["D"]
    norm_shift: Array["D"]
    output: Array["D V"]

    @classmethod
    def from_named(cls, named: Mapping[str, np.ndarray]) -> "Gpt2Weights":
        """From a flat mapping; without ``output`` the embedding is tied."""
        return cls(
            **{name: named[name] for name in ("embedding", "positions", "norm", "norm_shift")},
            layers=layers_from(Gpt2Layer, named),
            output=named["output"] if "output" in named else named["embedding"].T,
        )

    def named(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every learned array once, named such as ``layers.3.w_qkv``."""
        yield from [("embedding", self.embedding), ("positions", self.positions)]
        yield from named_layers(self.layers)
        yield from [("norm", self.norm), ("norm_shift", self.norm_shift)]
        if not np.shares_memory(self.output, self.embedding):
            yield "output", self.output

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> "Gpt2Weights":
        """The same weights with ``change`` applied to every array; ties stay tied."""
        return Gpt2Weights.from_named({name: change(array) for name, array in self.named()})


def gpt2_shapes(config: Gpt2Config) -> dict[str, tuple[int, ...]]:
    """The shape of every array that ``Gpt2Weights.named`` yields for a config."""
    dim, ffn = config.dim, config.ffn_width
    layer = {
        "attn_norm": (dim,), "attn_norm_shift": (dim,),
        "w_qkv": (dim, 3 * dim), "b_qkv": (3 * dim,), "wo": (dim, dim), "bo": (dim,),
        "ffn_norm": (dim,), "ffn_norm_shift": (dim,),
        "w_up": (dim, ffn), "b_up": (ffn,), "w_down": (ffn, dim), "b_down": (dim,),
    }  # fmt: skip
    if not config.qkv_bias:
        del layer["b_qkv"]
    named = {"embedding": (config.vocab_size, dim), "positions": (config.context_length, dim)}
    for i in range(config.n_layers):
        named |= {f"layers.{i}.{role}": shape for role, shape in layer.items()}
    named |= {"norm": (dim,), "norm_shift": (dim,)}
    if not config.tied_output:
        named["output"] = (dim, config.vocab_size)
    return named


def gpt2_parameters(config: Gpt2Config) -> dict[str, int]:
    """How many learned numbers each part has, all blocks together; a tied output has none.

    >>> parts = gpt2_parameters(GPT2_SMALL)
    >>> parts["embedding"], parts["positions"], sum(parts.values())
    (38597376, 786432, 124439808)
    """
    parts = {"embedding": 0, "positions": 0, "attention": 0, "feed-forward": 0, "norms": 0}
    part_of = {
        **dict.fromkeys(("w_qkv", "b_qkv", "wo", "bo"), "attention"),
        **dict.fromkeys(("w_up", "b_up", "w_down", "b_down"), "feed-forward"),
        **{part: part for part in ("embedding", "positions", "output")},
    }
    for name, shape in gpt2_shapes(config).items():
        part = part_of.get(name.rpartition(".")[2], "norms")
        parts[part] = parts.get(part, 0) + int(np.prod(shape))
    return parts
