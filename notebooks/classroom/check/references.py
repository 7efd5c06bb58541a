"""What an exercise asks for where the library has no function of just that shape."""

import math

import numpy as np

from llama_np.attention import attend_grouped, merge_heads, split_heads
from llama_np.axes import Array
from llama_np.config import LlamaConfig
from llama_np.functional import softmax
from llama_np.model import block as block_of_model
from llama_np.norm import rms_norm as normalise
from llama_np.rope import rope_frequencies, rope_rotations, rotate
from llama_np.sampling import generate as write
from llama_np.tokenizer.bpe import merge_steps
from llama_np.training.backward import attend_backward as head_backward
from llama_np.training.backward import rms_norm_backward
from llama_np.weights import LayerWeights


def next_token(logits: Array["T V"]) -> int:
    return int(logits[-1].argmax())


def n_best(scores: Array["V"], n: int) -> Array["n"]:
    return np.argsort(-scores)[:n]


def to_bytes(text: str) -> list[int]:
    return list(text.encode())


def first_join(parts: list[bytes], ranks: dict[bytes, int]) -> int | None:
    pairs = [left + right for left, right in zip(parts, parts[1:], strict=False)]
    found = [(ranks[pair], i) for i, pair in enumerate(pairs) if pair in ranks]
    return min(found)[1] if found else None


def merge(piece: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    return merge_steps(piece, ranks)[-1]


def encode(pieces: list[str], ranks: dict[bytes, int], bos_id: int) -> list[int]:
    tokens = [token for piece in pieces for token in merge(piece.encode(), ranks)]
    return [bos_id, *(ranks[token] for token in tokens)]


def decode(ids: list[int], tokens: dict[int, bytes]) -> str:
    return b"".join(tokens[i] for i in ids).decode(errors="replace")


def one_hot(ids: Array["T"], vocab_size: int) -> Array["T V"]:
    return np.eye(vocab_size)[ids]


def cosines(row: Array["D"], rows: Array["N D"]) -> Array["N"]:
    return rows @ row / np.sqrt((rows * rows).sum(axis=-1) * (row @ row))


def row_sizes(x: Array["T D"]) -> Array["T 1"]:
    return np.sqrt((x * x).mean(axis=-1, keepdims=True))


def scores(q: Array["T K"], k: Array["S K"]) -> Array["T S"]:
    return q @ k.T / math.sqrt(q.shape[-1])


def mix(q: Array["T K"], k: Array["S K"], v: Array["S K"]) -> Array["T K"]:
    return softmax(scores(q, k)) @ v


def frequencies(head_dim: int, base: float) -> Array["K/2"]:
    return rope_frequencies(head_dim, base)


def angles(positions: Array["T"], frequencies: Array["K/2"]) -> Array["T K/2"]:
    return positions[:, None] * frequencies


def attention(
    x: Array["T D"],
    wq: Array["D Hq*K"],
    wk: Array["D Hkv*K"],
    wv: Array["D Hkv*K"],
    wo: Array["Hq*K D"],
    head_dim: int,
    positions: Array["T"],
    frequencies: Array["K/2"],
    mask: Array["T S"],
) -> Array["T D"]:
    q, k, v = (split_heads(x @ w, head_dim) for w in (wq, wk, wv))
    q, k = (rotate(each, positions[None], frequencies) for each in (q, k))
    return merge_heads(attend_grouped(q, k, v, mask)) @ wo


def key_head(head: int, n_heads: int, n_kv_heads: int) -> int:
    return head // (n_heads // n_kv_heads)


def block(
    x: Array["T D"],
    layer: LayerWeights,
    config: LlamaConfig,
    positions: Array["T"],
    frequencies: Array["K/2"],
    mask: Array["T S"],
) -> Array["T D"]:
    return block_of_model(x, layer, config, rope_rotations(positions, frequencies), mask)


def count_block(dim: int, n_heads: int, n_kv_heads: int, head_dim: int, ffn_width: int) -> int:
    attention = 2 * dim * (n_heads + n_kv_heads) * head_dim
    return attention + 3 * dim * ffn_width + 2 * dim


def logits(x: Array["T D"], weight: Array["D"], output: Array["D V"], eps: float) -> Array["T V"]:
    return normalise(x, weight, eps) @ output


def probabilities(logits: Array["V"], temperature: float) -> Array["V"]:
    return softmax(logits / temperature)


def new_positions(past: int, n_new: int) -> Array["T"]:
    return np.arange(past, past + n_new)


def chunk_mask(past: int, n_new: int) -> Array["T S"]:
    return np.arange(past + n_new) <= np.arange(past, past + n_new)[:, None]


def append_keys(old: Array["Hkv P K"], new: Array["Hkv T K"]) -> Array["Hkv S K"]:
    return np.concatenate([old, new], axis=1)


def cache_bytes(
    n_layers: int, n_heads: int, n_kv_heads: int, head_dim: int, n_tokens: int, bytes_each: int
) -> int:
    return 2 * n_layers * n_kv_heads * head_dim * n_tokens * bytes_each


def generate(weights, config, ids: Array["T"], n_new: int, stop_ids: set[int]) -> list[int]:
    return list(write(weights, config, ids, n_new, stop_tokens=stop_ids))


def accumulate(gradients: Array["B P"], counts: Array["B"]) -> Array["P"]:
    return counts @ gradients / counts.sum()


def norm_backward(
    d_out: Array["T D"], x: Array["T D"], weight: Array["D"], eps: float
) -> Array["T D"]:
    return rms_norm_backward(d_out, x, weight, eps)[0]


def attend_backward(
    d_mix: Array["T K"], q: Array["T K"], k: Array["T K"], v: Array["T K"], pattern: Array["T T"]
) -> Array["3 T K"]:
    return np.stack(head_backward(d_mix, q, k, v, pattern))
