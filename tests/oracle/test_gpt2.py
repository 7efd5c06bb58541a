"""GPT-2 beside transformers: every activation by name, and the parameter counts that are known."""

import dataclasses

import numpy as np
import pytest

from llama_np.gpt2.model import gpt2_forward
from llama_np.gpt2.weights import GPT2_SMALL, Gpt2Config, Gpt2Weights, gpt2_parameters, gpt2_shapes
from llama_np.tap import record
from tests.checks import agree, agree_by_name

STORED = {  # ours, and transformers' behind "transformer.h.0."
    "attn_norm": "ln_1.weight", "attn_norm_shift": "ln_1.bias",
    "w_qkv": "attn.c_attn.weight", "b_qkv": "attn.c_attn.bias",
    "wo": "attn.c_proj.weight", "bo": "attn.c_proj.bias",
    "ffn_norm": "ln_2.weight", "ffn_norm_shift": "ln_2.bias",
    "w_up": "mlp.c_fc.weight", "b_up": "mlp.c_fc.bias",
    "w_down": "mlp.c_proj.weight", "b_down": "mlp.c_proj.bias",
}  # fmt: skip
HOOKED = {
    "attn_norm": "ln_1", "attn_out": "attn.c_proj", "ffn_norm": "ln_2",
    "up": "mlp.c_fc", "hidden": "mlp.act", "down": "mlp.c_proj",
}  # fmt: skip


def odd_config(**changes) -> Gpt2Config:
    values = {
        "dim": 15, "n_layers": 2, "n_heads": 3, "ffn_width": 33, "vocab_size": 53,
        "context_length": 19, "norm_eps": 1e-5, "qkv_bias": True, "tied_output": True,
    }  # fmt: skip
    return Gpt2Config(**values | changes)


def random_weights(config: Gpt2Config, dtype=np.float64) -> Gpt2Weights:
    """No bias or shift is zero, no norm weight one: what is forgotten shows."""
    rng = np.random.default_rng(0)
    return Gpt2Weights.from_named(
        {
            name: (0.3 * rng.standard_normal(shape) + name.endswith("norm")).astype(dtype)
            for name, shape in gpt2_shapes(config).items()
        }
    )


def their_name(name: str) -> str:
    outside = {
        "embedding": "wte.weight", "positions": "wpe.weight",
        "norm": "ln_f.weight", "norm_shift": "ln_f.bias",
    }  # fmt: skip
    if name in outside:
        return f"transformer.{outside[name]}"
    _, layer, role = name.split(".")
    return f"transformer.h.{layer}.{STORED[role]}"


def twin_of(config: Gpt2Config, weights: Gpt2Weights, torch, transformers):
    """transformers' own model with these weights; no qkv bias is a bias of zero there."""
    described = transformers.GPT2Config(
        n_embd=config.dim, n_layer=config.n_layers, n_head=config.n_heads,
        n_inner=config.ffn_width, vocab_size=config.vocab_size, n_positions=config.context_length,
        layer_norm_epsilon=config.norm_eps, tie_word_embeddings=config.tied_output,
        bos_token_id=0, eos_token_id=0, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(described).eval()
    named = dict(weights.named())
    output = named.pop("output", weights.embedding.T)
    stored = {their_name(name): torch.tensor(np.array(array)) for name, array in named.items()}
    stored["lm_head.weight"] = torch.tensor(np.array(output.T))
    for i in range(config.n_layers):
        stored.setdefault(
            f"transformer.h.{i}.attn.c_attn.bias", torch.zeros(3 * config.dim).double()
        )
    model.to(stored["lm_head.weight"].dtype)
    model.load_state_dict(stored, strict=True)
    return model


def their_activations(model, torch, ids) -> dict:
    """What transformers shows of a run, under our names."""
    seen = {}

    def keep(name):
        return lambda module, inputs, output: seen.update({name: output[0]})

    for i, block in enumerate(model.transformer.h):
        for ours, theirs in HOOKED.items():
            block.get_submodule(theirs).register_forward_hook(keep(f"blocks.{i}.{ours}"))
        block.register_forward_hook(keep(f"blocks.{i}.resid_out"))
    with torch.no_grad():
        out = model(torch.tensor(ids)[None], output_hidden_states=True, output_attentions=True)
    seen |= {f"blocks.{i}.pattern": each[0] for i, each in enumerate(out.attentions)}
    return seen | {
        "embedded": out.hidden_states[0][0],
        "final_norm": out.hidden_states[-1][0],
        "logits": out.logits[0],
    }


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("qkv_bias", [True, False])
def test_every_activation_is_the_one_of_transformers(torch, transformers, tied, qkv_bias):
    config = odd_config(tied_output=tied, qkv_bias=qkv_bias)
    weights, ids = random_weights(config), np.arange(11) * 5 % 53
    theirs = their_activations(twin_of(config, weights, torch, transformers), torch, ids)
    trace = {}
    gpt2_forward(weights, config, ids, record(trace))
    theirs = {
        name: value[0] if value.ndim > trace[name].ndim else value for name, value in theirs.items()
    }
    assert len(theirs) == 3 + config.n_layers * (len(HOOKED) + 2)
    agree_by_name(trace, theirs)


def test_float32_stays_float32(torch, transformers):
    config = odd_config()
    weights, ids = random_weights(config, np.float32), np.arange(11)
    trace = {}
    logits = gpt2_forward(weights, config, ids, record(trace))
    assert {value.dtype for value in trace.values()} == {np.dtype(np.float32)}
    with torch.no_grad():
        theirs = twin_of(config, weights, torch, transformers)(torch.tensor(ids)[None]).logits[0]
    agree(logits, theirs)


def test_a_batch_is_its_sequences():
    config = odd_config()
    weights, ids = random_weights(config), np.arange(24).reshape(2, 3, 4)
    logits = gpt2_forward(weights, config, ids)
    assert logits.shape == (2, 3, 4, 53)
    agree(logits[1, 2], gpt2_forward(weights, config, ids[1, 2]))


def test_a_later_token_changes_no_earlier_row():
    config = odd_config()
    weights, ids = random_weights(config), np.arange(9)
    changed = np.append(ids[:-1], 40)
    agree(
        gpt2_forward(weights, config, changed)[:-1], gpt2_forward(weights, config, ids)[:-1], 1e-14
    )


@pytest.mark.parametrize(
    "changes, count",
    [
        ({"qkv_bias": False, "tied_output": False}, 163_009_536),
        ({"qkv_bias": False}, 124_412_160),
        ({}, 124_439_808),
    ],
)
def test_parameter_counts_of_the_small_gpt2(changes, count):
    parts = gpt2_parameters(dataclasses.replace(GPT2_SMALL, **changes))
    assert sum(parts.values()) == count
    assert parts["embedding"] == 38_597_376
    assert parts["positions"] == 786_432
    assert parts.get("output", 0) == (0 if count < 125_000_000 else 38_597_376)
    block = sum(parts[part] for part in ("attention", "feed-forward", "norms")) - 2 * 768
    assert block == 12 * (7_085_568 + (2_304 if not changes else 0))


def test_the_count_is_that_of_the_arrays_and_of_transformers(torch, transformers):
    config = odd_config()
    weights = random_weights(config)
    count = sum(gpt2_parameters(config).values())
    assert count == sum(array.size for _, array in weights.named())
    twin = twin_of(config, weights, torch, transformers)
    assert count == sum(parameter.numel() for parameter in twin.parameters())


@pytest.mark.parametrize("tied", [True, False])
def test_named_and_back(tied):
    weights = random_weights(odd_config(tied_output=tied, qkv_bias=tied))
    again = weights.map(np.copy)
    assert np.shares_memory(again.output, again.embedding) == tied
    for (name, mine), (other, theirs) in zip(weights.named(), again.named(), strict=True):
        assert name == other and np.array_equal(mine, theirs)


def test_what_is_refused():
    config = odd_config()
    weights = random_weights(config)
    with pytest.raises(ValueError, match="20 positions are more than .* 19"):
        gpt2_forward(weights, config, np.zeros(20, int))
    with pytest.raises(ValueError, match="id 53 is outside the vocabulary of 53"):
        gpt2_forward(weights, config, [1, 53])
    with pytest.raises(ValueError, match="a width of 16 cannot be split evenly over 3 heads"):
        odd_config(dim=16)
