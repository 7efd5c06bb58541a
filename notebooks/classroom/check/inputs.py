"""Fresh random inputs for every check: odd sizes, no two axes alike, float64.

Each function takes a generator and the number of the case, and returns a task's arguments.
"""

import numpy as np

from llama_np.attention import causal_mask
from llama_np.config import LlamaConfig
from llama_np.functional import softmax
from llama_np.rope import rope_frequencies
from llama_np.training.loss import IGNORE
from llama_np.weights import Weights, initialize


def sizes(rng: np.random.Generator, n: int, low: int = 3, high: int = 12) -> list[int]:
    """``n`` different sizes."""
    return [int(i) for i in rng.permutation(np.arange(low, high))[:n]]


def whole(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high))


def causal(n: int) -> np.ndarray:
    return causal_mask(np.arange(n), np.arange(n))


# --- tokens ---


def vocabulary(rng):
    """The 256 bytes, and tokens of two to four letters joined from others, ranked at random."""
    parts = [bytes([letter]) for letter in b"abcd"]
    while len(parts) < 4 + 14:
        left, right = (parts[i] for i in rng.integers(len(parts), size=2))
        if left + right not in parts and len(left + right) <= 4:
            parts.append(left + right)
    ranks = {bytes([byte]): byte for byte in range(256)}
    return ranks | {parts[4 + i]: 256 + n for n, i in enumerate(rng.permutation(14))}, parts


def letters(rng, n: int) -> bytes:
    return bytes(rng.choice(list(b"abcd"), size=n).tolist())


def text_as_bytes(rng, case):
    return ("".join(rng.choice(list("abc éß你😀"), size=whole(rng, 6, 11))),)


def singles(text: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in text]


def small_ranks(rng, *tokens: bytes) -> dict[bytes, int]:
    """Ranks few enough to be shown to a learner, the first token with the lowest."""
    ranks = sorted(rng.choice(np.arange(256, 999), size=len(tokens), replace=False).tolist())
    return dict(zip(tokens, ranks, strict=True))


# Without them a random draw may never ask for these; a to d become other letters each time.
EDGES = (
    (b"wxyz", ()),  # nothing to join
    (b"wxab", (b"ab",)),  # the only pair at the very end
    (b"abwx", (b"ab",)),  # the only pair at place 0
    (b"waaa", (b"aa",)),  # two equal tokens: the left one goes first
    (b"abcw", (b"bc", b"ab")),  # the lower rank on the right
    (b"wabcd", (b"ab", b"cd")),  # and on the left
)


def edge(rng, case) -> tuple[bytes, dict[bytes, int]]:
    """One of ``EDGES``, in letters of its own."""
    piece, tokens = EDGES[case]
    other = bytes.maketrans(b"abcd", bytes(rng.permutation(list(b"abcdefgh"))[:4].tolist()))
    return piece.translate(other), small_ranks(rng, *(token.translate(other) for token in tokens))


def parts_of_a_piece(rng, case):
    if case < len(EDGES):
        piece, ranks = edge(rng, case)
        return singles(piece), ranks
    ranks, parts = vocabulary(rng)
    return [parts[i] for i in rng.integers(9, size=8)], ranks


def a_piece(rng, case):
    if case < len(EDGES):
        piece, ranks = edge(rng, case)
        return piece, {one: one[0] for one in singles(piece)} | ranks
    ranks, _ = vocabulary(rng)
    piece = letters(rng, 7)
    if case == len(EDGES):  # the piece is itself a token, the last that was learned
        ranks[piece] = len(ranks)
    return piece, ranks


def some_pieces(rng, case):
    if case == 0:  # small enough to be shown, and with a pair across the cut
        tokens = small_ranks(rng, b"ab", b"ba")
        return ["aba", "ba"], {b"a": 97, b"b": 98} | tokens, 1000 + whole(rng, 0, 99)
    ranks, _ = vocabulary(rng)
    pieces = [letters(rng, whole(rng, 2, 7)).decode() for _ in range(4)]
    ranks.setdefault(pieces[case % 4].encode(), len(ranks))
    return pieces, ranks, len(ranks) + whole(rng, 0, 9)


def ids_of_a_text(rng, case):
    """A text cut at any byte, also inside a character."""
    if case == 0:  # small enough to be shown
        first, second = rng.permutation(90)[:2].tolist()
        byte = str(rng.choice(list("éßü"))).encode()
        return [first, second], {first: b"n" + byte[:1], second: byte[1:] + b"!"}
    text = "".join(rng.choice(list("abc é你😀"), size=12)).encode()
    cuts = [0, *sorted({*rng.integers(1, len(text), size=9).tolist()}), len(text)]
    tokens = [text[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    ids = rng.permutation(90)[: len(tokens)].tolist()
    return ids, dict(zip(ids, tokens, strict=True))


# --- rows and matrices ---


def normal(*axes: str):
    """A draw of normal arrays: ``normal("T K", "S K")``; the same letter is the same size."""

    def draw(rng, case):
        letters = sorted({letter for each in axes for letter in each.split()})
        size = dict(zip(letters, sizes(rng, len(letters)), strict=True))
        return tuple(rng.standard_normal([size[i] for i in each.split()]) for each in axes)

    return draw


def with_numbers(draw, *numbers):
    """A draw, and behind its arrays what each function of the generator gives."""
    return lambda rng, case: (*draw(rng, case), *(number(rng) for number in numbers))


def look_up(rng, case):
    vocab_size, dim = whole(rng, 6, 9), whole(rng, 10, 14)
    ids = rng.integers(vocab_size, size=6)
    ids[-1] = ids[1]  # one token comes twice
    return rng.standard_normal((vocab_size, dim)), ids


def ids_and_vocabulary(rng, case):
    vocab_size = whole(rng, 8, 12)
    return rng.integers(vocab_size, size=whole(rng, 4, 7)), vocab_size


def rows_off_centre(rng, case):
    rows, columns = sizes(rng, 2)
    return (rng.standard_normal((rows, columns)) + rng.uniform(0.5, 1.5),)


def square(x: np.ndarray) -> np.ndarray:
    """As many rows as columns: where keepdims is missing, NumPy then divides the wrong way."""
    return x[: min(x.shape), : min(x.shape)]


def norm(rng, case):
    (x,) = rows_off_centre(rng, case)
    x = square(x) if case == 2 else x
    return x, rng.uniform(0.5, 2, x.shape[-1]), float(rng.uniform(0.1, 0.5))


def last_rows(rng, case):
    x, weight, eps = norm(rng, case)
    return x, weight, rng.standard_normal((x.shape[-1], whole(rng, 13, 17))), eps


def rows_of_scores(rng, case):
    x = rng.standard_normal(sizes(rng, 2))
    if case == 1:  # very large scores in one row, and a hidden one
        x[1] += 1000
        x[2, 1] = -np.inf
    return (square(x) if case == 2 else x,)


# --- positions and masks ---


def width_and_theta(rng, case):
    return 2 * whole(rng, 3, 9), float(rng.choice([100.0, 10000.0, 500000.0]))


def positions_and_frequencies(rng, case):
    return np.arange(whole(rng, 3, 8)), rope_frequencies(2 * whole(rng, 8, 12), 10000.0)


def to_rotate(rng, case):
    start = 0 if case == 0 else whole(rng, 1, 9)
    positions, frequencies = positions_and_frequencies(rng, case)
    x = rng.standard_normal((len(positions), 2 * len(frequencies)))
    return x, positions + start, frequencies


def two_positions(rng, case):
    keys = np.arange(whole(rng, 6, 10))
    return keys[-whole(rng, 2, 5) :] if case else keys, keys


def scores_and_mask(rng, case):
    n = whole(rng, 4, 8)
    return rng.standard_normal((n, n)), causal(n)


def to_attend(rng, case):
    n, width = sizes(rng, 2, 4)
    return *rng.standard_normal((3, n, width)), causal(n)


# --- heads ---


def long_rows(rng, case):
    rows, heads, width = sizes(rng, 3, 2, 7)
    return rng.standard_normal((rows, heads * width)), width


def heads_of_a_model(rng, case=0):
    """Sizes D, Hq, Hkv and K."""
    n_kv_heads, group = sizes(rng, 2, 2, 5)
    return whole(rng, 20, 30), group * n_kv_heads, n_kv_heads, 2 * whole(rng, 2, 5)


def which_head(rng, case):
    _, n_heads, n_kv_heads, _ = heads_of_a_model(rng)
    if case in (2, 3, 5):  # the last head of groups of this size: no fixed size is right in all
        n_heads = case * n_kv_heads
        return n_heads - 1, n_heads, n_kv_heads
    return 1 if case == 0 else whole(rng, 1, n_heads), n_heads, n_kv_heads


def grouped(rng, case):
    n = whole(rng, 4, 7)
    _, n_heads, n_kv_heads, width = heads_of_a_model(rng)
    heads = (n_heads, n_kv_heads, n_kv_heads)
    return *(rng.standard_normal((h, n, width)) for h in heads), causal(n)


def attention_step(rng, case):
    n = whole(rng, 4, 7)
    dim, n_heads, n_kv_heads, width = heads_of_a_model(rng)
    shapes = [(n, dim), (dim, n_heads * width), *[(dim, n_kv_heads * width)] * 2]
    x, wq, wk, wv, wo = (rng.standard_normal(s) / 2 for s in (*shapes, (n_heads * width, dim)))
    return x, wq, wk, wv, wo, width, np.arange(n), rope_frequencies(width, 10000.0), causal(n)


# --- blocks and models ---


def gates(rng, case):
    rows, dim, wide = sizes(rng, 3)
    shapes = (rows, dim), (dim, wide), (dim, wide), (wide, dim)
    return tuple(rng.standard_normal(shape) for shape in shapes)


def widths(rng, case):
    multiple_of = int(rng.choice([64, 128, 256]))
    return 64 * whole(rng, 20, 99), multiple_of, float(rng.choice([1.3, 1.5, 1.1]))


def block_sizes(rng, case):
    return *heads_of_a_model(rng), whole(rng, 31, 60)


def a_model(rng) -> tuple[Weights, LlamaConfig]:
    """Three blocks of random weights, lively enough that every step shows in the result."""
    dim, n_heads, n_kv_heads, width = heads_of_a_model(rng)
    config = LlamaConfig(
        dim=dim, n_layers=3, n_heads=n_heads, n_kv_heads=n_kv_heads, head_dim=width,
        ffn_width=whole(rng, 31, 40), vocab_size=whole(rng, 41, 60), context_length=64,
        norm_eps=1e-2, rope_theta=10000.0, rope_scaling=None, tied_output=False,
    )  # fmt: skip
    weights = initialize(config, rng, std=0.4)

    def livelier(w):
        return (w * rng.uniform(0.5, 2, w.shape) if w.ndim == 1 else w).astype(np.float64)

    return weights.map(livelier), config


def a_block(rng, case):
    weights, config = a_model(rng)
    n = whole(rng, 4, 8)
    frequencies = rope_frequencies(config.head_dim, config.rope_theta)
    x = rng.standard_normal((n, config.dim))
    return x, weights.layers[0], config, np.arange(n), frequencies, causal(n)


def model_and_ids(rng, case):
    weights, config = a_model(rng)
    return weights, config, rng.integers(config.vocab_size, size=whole(rng, 4, 8))


def model_and_stop(reference):
    """A prompt, and as a stop token one that ``reference`` really writes after some others."""

    def draw(rng, case):
        weights, config, ids = model_and_ids(rng, case)
        new = reference(weights, config, ids, 8, set())
        return weights, config, ids, 8, {new[whole(rng, 2, 6)]}

    return draw


# --- choosing, and the cache ---


def some_probabilities(rng, case):
    return (softmax(2 * rng.standard_normal(whole(rng, 7, 12))),)


def past_and_new(rng, case):
    return whole(rng, 3, 20), whole(rng, 2, 6)


def old_and_new_keys(rng, case):
    heads, old, new, width = sizes(rng, 4, 2, 8)
    new = old if case == 0 else new
    return rng.standard_normal((heads, old, width)), rng.standard_normal((heads, new, width))


def cache_sizes(rng, case):
    _, n_heads, n_kv_heads, width = heads_of_a_model(rng)
    n_tokens, bytes_each = whole(rng, 10, 99), int(rng.choice([2, 4]))
    return whole(rng, 3, 40), n_heads, n_kv_heads, width, n_tokens, bytes_each


# --- the way back ---


def logits_and_targets(rng, case):
    """Targets of which some do not count."""
    tokens, vocab_size = whole(rng, 5, 9), whole(rng, 10, 14)
    targets = rng.integers(vocab_size, size=tokens)
    targets[rng.permutation(tokens)[: whole(rng, 1, 3)]] = IGNORE
    return rng.standard_normal((tokens, vocab_size)), targets


def parts_of_a_batch(rng, case):
    parts, size = sizes(rng, 2, 3, 8)
    counts = 1 + rng.permutation(40)[:parts]
    return rng.standard_normal((parts, size)), counts


def behind_a_norm(rng, case):
    x, weight, eps = norm(rng, case)
    return rng.standard_normal(x.shape), x, weight, eps


def behind_a_softmax(rng, case):
    scores = rng.standard_normal(sizes(rng, 2))
    weights = softmax(square(scores) if case == 2 else scores)
    return rng.standard_normal(weights.shape), weights


def behind_a_head(rng, case):
    """What comes back to a head, its queries, keys and values, and the pattern that they made."""
    q, k, v, visible = to_attend(rng, case)
    scores = np.where(visible, q @ k.T / np.sqrt(q.shape[-1]), -np.inf)
    return rng.standard_normal(q.shape), q, k, v, softmax(scores)
