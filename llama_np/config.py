"""What never changes about a model: its sizes and constants, as one frozen object."""

import dataclasses
import reprlib
from typing import Any

from .rope import RopeScaling

# Meta's params.json says only `use_scaled_rope`; the numbers stand in its code: `apply_scaling` in
# https://github.com/meta-llama/llama-models/blob/main/models/llama3/model.py
LLAMA_3_1_SCALING = RopeScaling(8.0, 1.0, 4.0, 8192)
brief = reprlib.Repr()  # shows what came in a line, however large or deep it is
brief.maxstring = 60
MOST_LAYERS = 10_000  # each is a table of names; the largest Llama has 126
LARGEST = 1e15  # no size or constant of a model comes near; arithmetic stays exact below


@dataclasses.dataclass(frozen=True, kw_only=True)
class LlamaConfig:
    """The sizes and constants of one Llama. They come with the weights; none has a default.

    ``head_dim`` is usually, but not always, ``dim / n_heads``. ``tied_output`` says that the
    output matrix is the embedding, transposed. Raises ``ValueError`` when the values contradict one
    another.
    """

    dim: int  # D
    n_layers: int
    n_heads: int  # Hq
    n_kv_heads: int  # Hkv
    head_dim: int  # K
    ffn_width: int  # F
    vocab_size: int  # V
    context_length: int  # most positions the model was made for
    norm_eps: float
    rope_theta: float
    rope_scaling: RopeScaling | None
    tied_output: bool

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if field.type in (int, float):
                check_positive(field.name, getattr(self, field.name), field.type)
        if self.n_layers > MOST_LAYERS:
            raise ValueError(
                f"config: n_layers must be at most {MOST_LAYERS}, got {brief.repr(self.n_layers)}"
            )
        if self.rope_scaling is not None:
            check_scaling(self.rope_scaling)
        if not isinstance(self.tied_output, bool):
            raise ValueError(
                "config: whether the output is tied to the embedding must be true or false, "
                f"got {brief.repr(self.tied_output)}"
            )
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"config: {self.n_heads} query heads cannot share {self.n_kv_heads} key-value "
                "heads evenly; n_heads must be a multiple of n_kv_heads"
            )
        if self.head_dim % 2:
            raise ValueError(
                f"config: head_dim must be even, because rotation turns pairs; got {self.head_dim}"
            )

    @property
    def group(self) -> int:
        """Query heads per key-value head."""
        return self.n_heads // self.n_kv_heads

    def count_parameters(self) -> int:
        """Learned numbers in the whole model; a tied embedding counts once."""
        attention = 2 * self.dim * (self.n_heads + self.n_kv_heads) * self.head_dim
        per_block = attention + 3 * self.dim * self.ffn_width + 2 * self.dim
        embeddings = (1 if self.tied_output else 2) * self.vocab_size * self.dim
        return self.n_layers * per_block + embeddings + self.dim


def check_positive(name: str, value: Any, kind: type) -> None:
    """Raise unless ``value`` is a number above 0 that calculations can bear."""
    if not isinstance(value, (int, kind)) or isinstance(value, bool) or not value > 0:
        raise ValueError(
            f"config: {name} must be a positive {kind.__name__}, got {brief.repr(value)}"
        )
    if value > LARGEST:
        raise ValueError(f"config: {name} must be at most {LARGEST:.0e}, got {brief.repr(value)}")


def check_scaling(scaling: RopeScaling) -> None:
    """Raise for numbers with which RoPE cannot be scaled."""
    for name, value in scaling._asdict().items():
        check_positive(name, value, int if name == "original_context_length" else float)
    if scaling.low_freq_factor >= scaling.high_freq_factor:
        raise ValueError(
            f"config: low_freq_factor must be below high_freq_factor, got "
            f"{scaling.low_freq_factor} and {scaling.high_freq_factor}"
        )


# https://huggingface.co/meta-llama/Meta-Llama-3-8B/blob/main/original/params.json
LLAMA_3_8B = LlamaConfig(
    dim=4096, n_layers=32, n_heads=32, n_kv_heads=8, head_dim=128, ffn_width=14336,
    vocab_size=128256, context_length=8192,
    norm_eps=1e-5, rope_theta=500000.0, rope_scaling=None, tied_output=False,
)  # fmt: skip
