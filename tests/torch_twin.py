"""The same Llama a second time, in PyTorch, and a third time, in transformers.

``forward`` is written with other means than ours wherever PyTorch has some: complex rotation,
repeated keys, ``F.rms_norm``. It works in any dtype and gradients flow through it.
"""

import math
from contextlib import nullcontext
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from transformers.models.llama import modeling_llama

from llama_np.config import LlamaConfig
from llama_np.weights import Weights
from tests.folders import to_hugging_face
from weights_tools.formats.config_json import config_to_hugging_face
from weights_tools.layout import hugging_face_name

Tensors = dict[str, torch.Tensor]


def tensor(array, grad: bool = False) -> torch.Tensor:
    """A tensor with memory of its own."""
    return torch.tensor(np.array(array), requires_grad=grad)


def tensors(weights: Weights, grad: bool = False) -> Tensors:
    """The weights under the names that ``Weights.named`` gives them."""
    return {name: tensor(array, grad) for name, array in weights.named()}


def frequencies(config: LlamaConfig) -> torch.Tensor:
    """Meta's ``precompute_freqs_cis`` and ``apply_scaling``, in float64."""
    pairs = torch.arange(0, config.head_dim, 2, dtype=torch.float64)
    plain = 1.0 / config.rope_theta ** (pairs / config.head_dim)
    if config.rope_scaling is None:
        return plain
    factor, low, high, original = config.rope_scaling
    scaled = []
    for frequency in plain.tolist():
        wavelength = 2 * math.pi / frequency
        if wavelength < original / high:
            scaled.append(frequency)
        elif wavelength > original / low:
            scaled.append(frequency / factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            scaled.append((1 - smooth) * frequency / factor + smooth * frequency)
    return torch.tensor(scaled, dtype=torch.float64)


def rotate(x: torch.Tensor, positions: torch.Tensor, freqs: torch.Tensor) -> torch.Tensor:
    """Meta's ``apply_rotary_emb``: pairs as complex numbers, times exp(i angle)."""
    angles = positions[..., None].double() * freqs
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    turn = torch.polar(torch.ones_like(angles), angles).to(pairs.dtype)
    return torch.view_as_real(pairs * turn).flatten(-2)


def attention(x, w: Tensors, config: LlamaConfig, freqs, say=lambda name, value: value):
    """One attention step; ``w`` holds wq, wk, wv and wo."""
    T = x.shape[-2]
    split = {"q": config.n_heads, "k": config.n_kv_heads, "v": config.n_kv_heads}
    q, k, v = (
        say(name, (x @ w[f"w{name}"]).unflatten(-1, (heads, -1)).transpose(-2, -3))
        for name, heads in split.items()
    )
    q, k = (
        say(f"{name}_rotated", rotate(each, torch.arange(T), freqs))
        for name, each in (("q", q), ("k", k))
    )
    k, v = (each.repeat_interleave(config.group, dim=-3) for each in (k, v))
    scores = say("scores", q @ k.mT * config.head_dim**-0.5)
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    pattern = say("pattern", say("masked", scores.masked_fill(future, -torch.inf)).softmax(-1))
    return say("mix", pattern @ v).transpose(-2, -3).flatten(-2) @ w["wo"]


def feed_forward(x, w: Tensors, say=lambda name, value: value):
    gate, up = say("gate", x @ w["w_gate"]), say("up", x @ w["w_up"])
    return say("hidden", F.silu(gate) * up) @ w["w_down"]


def block(x, w: Tensors, config: LlamaConfig, freqs, say=lambda name, value: value):
    def norm(x, weight):
        return F.rms_norm(x, x.shape[-1:], weight, config.norm_eps)

    normed = say("attn_norm", norm(x, w["attn_norm"]))
    x = say("resid_mid", x + say("attn_out", attention(normed, w, config, freqs, say)))
    normed = say("ffn_norm", norm(x, w["ffn_norm"]))
    return say("resid_out", x + say("down", feed_forward(normed, w, say)))


def forward(w: Tensors, config: LlamaConfig, ids, factors: Tensors | None = None) -> Tensors:
    """Every activation under its name in ``tap.catalogue``.

    ``factors`` are multiplied into activations on their way, by name: that is dropout.
    """
    seen: Tensors = {}

    def say(name, value):
        seen[name] = value if factors is None or name not in factors else value * factors[name]
        return seen[name]

    freqs = frequencies(config)
    x = say("embedded", F.embedding(torch.as_tensor(ids), w["embedding"]))
    for i in range(config.n_layers):
        own = f"layers.{i}."
        layer = {name[len(own) :]: each for name, each in w.items() if name.startswith(own)}
        x = block(x, layer, config, freqs, lambda n, value, i=i: say(f"blocks.{i}.{n}", value))
    x = say("final_norm", F.rms_norm(x, x.shape[-1:], w["norm"], config.norm_eps))
    say("logits", x @ (w["output"] if "output" in w else w["embedding"].T))
    return seen


def loss_and_gradients(weights: Weights, config: LlamaConfig, ids, targets, factors=None):
    """Cross-entropy and what ``backward()`` makes of it, by name."""
    w = tensors(weights, grad=True)
    logits = forward(w, config, ids, factors)["logits"]
    loss = F.cross_entropy(logits.flatten(0, -2), torch.as_tensor(targets).flatten())
    loss.backward()
    return loss.item(), {name: each.grad for name, each in w.items()}


def hugging_face_twin(config: LlamaConfig, weights: Weights) -> transformers.LlamaForCausalLM:
    """transformers' own model, from the config and the layout that we write.

    In three places transformers computes in float32, whatever the dtype of the weights: cosine and
    sine, the norms, and the softmax of eager attention. In float64 that alone leaves differences
    around 4e-6, which would hide ours. So for float64 these three are done in float64.
    """
    described = transformers.LlamaConfig(
        **config_to_hugging_face(config), attn_implementation="eager"
    )
    model = transformers.LlamaForCausalLM(described).eval()
    stored = {
        hugging_face_name(name): tensor(to_hugging_face(name, array, config))
        for name, array in weights.named()
    }
    model.to(stored["model.norm.weight"].dtype)
    missing = model.load_state_dict(stored, strict=False)
    assert missing.missing_keys in ([], ["lm_head.weight"]), missing
    assert not missing.unexpected_keys
    model.tie_weights()
    if model.dtype == torch.float64:
        model.model.rotary_emb.forward = lambda x, position_ids: rotary_in_float64(
            position_ids, frequencies(config)
        )
        for module in model.modules():
            if isinstance(module, modeling_llama.LlamaRMSNorm):
                module.forward = lambda x, w=module.weight: F.rms_norm(
                    x, w.shape, w, config.norm_eps
                )
    return model


def rotary_in_float64(position_ids, freqs):
    angles = (position_ids[..., None].double() * freqs).repeat(1, 1, 2)  # both halves
    return angles.cos(), angles.sin()


def eager_in_float64(module, query, key, value, attention_mask, scaling, **_):
    key = modeling_llama.repeat_kv(key, module.num_key_value_groups)
    value = modeling_llama.repeat_kv(value, module.num_key_value_groups)
    scores = query @ key.mT * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    pattern = scores.softmax(-1)
    return (pattern @ value).transpose(1, 2).contiguous(), pattern


HOOKED = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp",
}  # fmt: skip


@torch.no_grad()
def hugging_face_activations(model: transformers.LlamaForCausalLM, ids) -> Tensors:
    """What transformers shows of a run, under our names. ``ids`` is one sequence."""
    seen: Tensors = {}

    def keep(name):
        return lambda module, inputs, output: seen.update({name: output[0]})

    layers = model.model.layers
    handles = [
        layer.get_submodule(theirs).register_forward_hook(keep(f"blocks.{i}.{ours}"))
        for i, layer in enumerate(layers)
        for ours, theirs in HOOKED.items()
    ]
    exact = mock.patch.object(modeling_llama, "eager_attention_forward", eager_in_float64)
    with exact if model.dtype == torch.float64 else nullcontext():
        out = model(torch.as_tensor(ids)[None], output_hidden_states=True, output_attentions=True)
    for handle in handles:
        handle.remove()
    embedded, *streams, final = (each[0] for each in out.hidden_states)
    seen |= {"embedded": embedded, "final_norm": final, "logits": out.logits[0]}
    # The last of the hidden states is the one behind the final norm: no last resid_out among them.
    seen |= {f"blocks.{i}.resid_out": each for i, each in enumerate(streams)}
    assert f"blocks.{len(layers) - 1}.resid_out" not in seen
    seen |= {f"blocks.{i}.pattern": each[0] for i, each in enumerate(out.attentions)}
    return seen
