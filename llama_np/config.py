"""What never changes about a model: its sizes and constants, as one frozen object."""

import dataclasses
import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .feed_forward import feed_forward_width
from .rope import RopeScaling

# Meta's params.json says only `use_scaled_rope`; the numbers stand in its code: `apply_scaling` in
# https://github.com/meta-llama/llama-models/blob/main/models/llama3/model.py
LLAMA_3_1_SCALING = RopeScaling(8.0, 1.0, 4.0, 8192)
LLAMA_3_ROPE = {
    "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"
}  # fmt: skip
brief = reprlib.Repr()  # shows what came in a line, however large or deep it is
brief.maxstring = 60
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

    @classmethod
    def from_file(cls, path: str | Path, **overrides) -> "LlamaConfig":
        """Read Meta's ``params.json`` or a Hugging Face ``config.json``, told apart by their keys.

        ``overrides`` are passed on to ``from_meta``. Raises ``FileNotFoundError`` or ``ValueError``
        with the file's name.
        """
        values = read_object(path)
        try:
            return (
                cls.from_meta(values, **overrides)
                if "dim" in values
                else cls.from_hugging_face(values)
            )
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def from_meta(
        cls,
        params: Mapping[str, Any],
        *,
        context_length: int | None = None,
        vocab_size: int | None = None,
        rope_scaling: RopeScaling | None = None,
        tied_output: bool = False,
    ) -> "LlamaConfig":
        """From the contents of Meta's ``params.json``.

        The file leaves out what Meta's code or tokenizer supplies. ``vocab_size``: Llama 2 writes
        -1 there, so give the tokenizer's. ``context_length``: by default 4096 without
        ``rope_theta`` (Llama 2), 8192 with it (Llama 3), 131072 with ``use_scaled_rope``
        (Llama 3.1 and later). ``rope_scaling``: Llama 3.1's numbers by default; Llama 3.2's small
        models use factor 32 and tie the output, which the file does not say.

        Source: ``ModelArgs`` in https://github.com/meta-llama/llama3/blob/main/llama/model.py
        """
        values = dict(params)
        heads = need(values, "n_heads")
        scaled = values.get("use_scaled_rope", False)
        if scaled and rope_scaling is None:
            rope_scaling = LLAMA_3_1_SCALING
        if context_length is None:
            context_length = 131072 if scaled else 8192 if "rope_theta" in values else 4096
        vocab_size = need(values, "vocab_size") if vocab_size is None else vocab_size
        if vocab_size == -1:
            raise ValueError(
                "vocab_size is -1 in this file; give the tokenizer's as vocab_size=..."
            )
        return cls(
            dim=need(values, "dim"),
            n_layers=need(values, "n_layers"),
            n_heads=heads,
            n_kv_heads=given(values, "n_kv_heads", heads),
            head_dim=even_share(need(values, "dim"), heads),
            ffn_width=feed_forward_width(
                need(values, "dim"), need(values, "multiple_of"), values.get("ffn_dim_multiplier")
            ),
            vocab_size=vocab_size,
            context_length=context_length,
            norm_eps=need(values, "norm_eps"),
            rope_theta=values.get("rope_theta", 10000.0),
            rope_scaling=rope_scaling,
            tied_output=tied_output,
        )

    @classmethod
    def from_hugging_face(cls, values: Mapping[str, Any]) -> "LlamaConfig":
        """From the contents of a ``config.json`` of a ``LlamaForCausalLM``.

        Older files write ``rope_theta`` and ``rope_scaling``, newer ones ``rope_parameters``. Keys
        that old files leave out take the values that transformers documents for them. What this
        project does not compute (biases, other activations, other kinds of rope scaling, other
        architectures, quantised weights) is refused by name.

        Source: https://huggingface.co/docs/transformers/model_doc/llama#transformers.LlamaConfig
        """
        refuse_other_architectures(values)
        heads = need(values, "num_attention_heads")
        # transformers, too, takes the older spelling where a file has both
        rope = values.get("rope_scaling") or values.get("rope_parameters") or {}
        if not isinstance(rope, Mapping):
            raise ValueError(f"expected rope scaling as an object, got {brief.repr(rope)}")
        head_dim = values.get("head_dim")
        if head_dim is None:
            head_dim = even_share(need(values, "hidden_size"), heads)
        return cls(
            dim=need(values, "hidden_size"),
            n_layers=need(values, "num_hidden_layers"),
            n_heads=heads,
            n_kv_heads=given(values, "num_key_value_heads", heads),
            head_dim=head_dim,
            ffn_width=need(values, "intermediate_size"),
            vocab_size=need(values, "vocab_size"),
            context_length=need(values, "max_position_embeddings"),
            norm_eps=need(values, "rms_norm_eps"),
            rope_theta=rope.get("rope_theta", values.get("rope_theta", 10000.0)),
            rope_scaling=rope_scaling_from(rope),
            tied_output=given(values, "tie_word_embeddings", False),
        )

    def to_hugging_face(self) -> dict[str, Any]:
        """The contents of a ``config.json`` from which transformers builds the same model."""
        rope: dict[str, Any] = {"rope_theta": self.rope_theta, "rope_type": "default"}
        if self.rope_scaling is not None:
            rope |= {
                "rope_type": "llama3",
                "factor": self.rope_scaling.factor,
                "low_freq_factor": self.rope_scaling.low_freq_factor,
                "high_freq_factor": self.rope_scaling.high_freq_factor,
                "original_max_position_embeddings": self.rope_scaling.original_context_length,
            }
        older_spelling = {"rope_theta": self.rope_theta}
        if self.rope_scaling is not None:
            older_spelling["rope_scaling"] = {k: v for k, v in rope.items() if k != "rope_theta"}
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.dim,
            "num_hidden_layers": self.n_layers,
            "num_attention_heads": self.n_heads,
            "num_key_value_heads": self.n_kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.ffn_width,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.context_length,
            "rms_norm_eps": self.norm_eps,
            "rope_parameters": rope,
            **older_spelling,
            "tie_word_embeddings": self.tied_output,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
        }


def read_object(path: str | Path) -> dict[str, Any]:
    """The contents of a JSON file that holds one object.

    Raises ``FileNotFoundError`` or ``ValueError`` with the file's name.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file: {path}; is the download complete?") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file: {str(error)[:100]}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values


def need(values: Mapping[str, Any], key: str) -> Any:
    """The value of a key that must be there."""
    if key not in values:
        raise ValueError(f"the config has no {key!r}; is this the config of a Llama?")
    return values[key]


def given(values: Mapping[str, Any], key: str, otherwise: Any) -> Any:
    """The value of a key; null means left out."""
    return otherwise if values.get(key) is None else values[key]


def even_share(dim: Any, n_heads: Any) -> int:
    """The head width where a file does not state it."""
    if not (isinstance(dim, int) and isinstance(n_heads, int) and n_heads > 0) or dim % n_heads:
        raise ValueError(
            f"a width of {brief.repr(dim)} cannot be split evenly over {brief.repr(n_heads)} heads"
        )
    return dim // n_heads


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


def rope_scaling_from(rope: Mapping[str, Any]) -> RopeScaling | None:
    """The scaling that a Hugging Face config asks for; refuses the kinds that are not Llama's."""
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "llama3"):
        kind = brief.repr(kind)
        raise ValueError(f"rope scaling of type {kind} is not supported, only 'llama3'")
    known = {"rope_type", "type", "rope_theta"}
    strange = sorted(rope.keys() - (known if kind == "default" else known | LLAMA_3_ROPE))
    if strange:
        raise ValueError(
            f"rope scaling of type {kind!r} does not know {brief.repr(strange[0])}; "
            "only 'llama3' is supported"
        )
    if kind == "default":
        return None
    return RopeScaling(
        factor=need(rope, "factor"),
        low_freq_factor=need(rope, "low_freq_factor"),
        high_freq_factor=need(rope, "high_freq_factor"),
        original_context_length=need(rope, "original_max_position_embeddings"),
    )


def refuse_other_architectures(values: Mapping[str, Any]) -> None:
    """Raise where a config asks for something that Llama does not compute."""
    kind = values.get("model_type", "llama")
    if kind != "llama":
        hint = "; lesson 13 opens it, with load_gpt2" if kind == "gpt2" else ""
        raise ValueError(f"expected a Llama (model_type 'llama'), got {brief.repr(kind)}{hint}")
    task = given(values, "architectures", ["LlamaForCausalLM"])
    if task != ["LlamaForCausalLM"]:
        raise ValueError(
            f"expected a model that predicts tokens (architectures ['LlamaForCausalLM']), "
            f"got {brief.repr(task)}"
        )
    for key, plain in {
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "quantization_config": None,
        "partial_rotary_factor": 1.0,
        "sliding_window": None,
        "num_local_experts": None,
    }.items():
        if values.get(key, plain) not in (plain, None):
            raise ValueError(f"{key} = {brief.repr(values[key])} is not supported, only {plain!r}")


# https://huggingface.co/meta-llama/Meta-Llama-3-8B/blob/main/original/params.json
LLAMA_3_8B = LlamaConfig.from_meta(
    {
        "dim": 4096,
        "n_layers": 32,
        "n_heads": 32,
        "n_kv_heads": 8,
        "vocab_size": 128256,
        "multiple_of": 1024,
        "ffn_dim_multiplier": 1.3,
        "norm_eps": 1e-05,
        "rope_theta": 500000.0,
    }
)
