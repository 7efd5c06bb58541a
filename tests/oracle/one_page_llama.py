"""A whole Llama on one page: from token ids to logits in plain NumPy, one sequence, nothing else.

No cache, no tap, no batch, no chunk, every head in a visible loop. It is the specification: the
library must compute the same, whatever else it can do.
"""

import numpy as np


def rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + eps) * weight


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def silu(x):
    return x / (1 + np.exp(-x))


def frequencies(config):
    pairs = np.arange(config.head_dim // 2)
    freqs = config.rope_theta ** (-2 * pairs / config.head_dim)
    if config.rope_scaling is None:
        return freqs
    s = config.rope_scaling  # Llama 3.1: fast pairs stay, slow ones are slowed down
    turns = s.original_context_length * freqs / (2 * np.pi)
    keep = (turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor)
    keep = np.clip(keep, 0, 1)
    return keep * freqs + (1 - keep) * freqs / s.factor


def rotate(x, freqs):  # T K: each pair turns by position times frequency
    angles = np.outer(np.arange(len(x)), freqs)  # T K/2
    turned = (x[:, 0::2] + 1j * x[:, 1::2]) * np.exp(1j * angles)
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)


def attention(x, layer, config):
    K, group, freqs = config.head_dim, config.n_heads // config.n_kv_heads, frequencies(config)
    mixes = []
    for head in range(config.n_heads):
        own, shared = (slice(h * K, (h + 1) * K) for h in (head, head // group))
        q = rotate(x @ layer.wq[:, own], freqs)  # T D @ D K -> T K
        k = rotate(x @ layer.wk[:, shared], freqs)
        v = x @ layer.wv[:, shared]
        scores = q @ k.T / np.sqrt(K)  # T K @ K T -> T T
        scores[np.triu_indices(len(x), 1)] = -np.inf  # nobody sees what comes later
        mixes.append(softmax(scores) @ v)
    return np.concatenate(mixes, axis=-1) @ layer.wo


def feed_forward(x, layer):
    return (silu(x @ layer.w_gate) * (x @ layer.w_up)) @ layer.w_down


def llama(weights, config, ids):
    x = weights.embedding[ids]  # T D: the residual stream
    for layer in weights.layers:
        x = x + attention(rms_norm(x, layer.attn_norm, config.norm_eps), layer, config)
        x = x + feed_forward(rms_norm(x, layer.ffn_norm, config.norm_eps), layer)
    return rms_norm(x, weights.norm, config.norm_eps) @ weights.output  # T V
