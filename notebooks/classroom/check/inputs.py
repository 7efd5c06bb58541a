"""The inputs of every check: odd sizes, every argument varied, float64.

Each function takes a generator and the number of the case, and returns a task's arguments. The
cases that decide between a right answer and one that is right by luck come every time: one row, as
many rows as columns, an offset, a gap, an end that is never reached. ``@cases(5)`` says how many
there are. No array is empty, unless a learner's own program would make an empty one.
"""

from collections.abc import Callable

import numpy as np

from llama_np.attention import causal_mask
from llama_np.config import LlamaConfig
from llama_np.functional import softmax
from llama_np.rope import rope_frequencies
from llama_np.weights import Weights, initialize


def cases(n: int) -> Callable:
    """How many calls a draw needs, so that all that decide are among them."""

    def note(draw: Callable) -> Callable:
        draw.cases = n
        return draw

    return note


def sizes(rng: np.random.Generator, n: int, low: int = 3, high: int = 12) -> list[int]:
    """``n`` different sizes."""
    return [int(i) for i in rng.permutation(np.arange(low, high))[:n]]


def whole(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high))


def causal(n: int) -> np.ndarray:
    return causal_mask(np.arange(n), np.arange(n))


# --- tokens ---


def vocabulary(rng):
    """The 256 bytes in any order, and tokens of two to four letters joined from others."""
    parts = [bytes([letter]) for letter in b"abcd"]
    while len(parts) < 4 + 14:
        left, right = (parts[i] for i in rng.integers(len(parts), size=2))
        if left + right not in parts and len(left + right) <= 4:
            parts.append(left + right)
    joined = {parts[4 + i]: 256 + n for n, i in enumerate(rng.permutation(14))}
    return shuffled(rng, byte_ranks(rng) | joined), parts


def byte_ranks(rng) -> dict[bytes, int]:
    """As in a real vocabulary, the rank of a byte is not the byte."""
    return {bytes([byte]): rank for byte, rank in enumerate(rng.permutation(256).tolist())}


def shuffled(rng, ranks: dict) -> dict:
    """The same in another order: a rank is a value, and no place in the dictionary."""
    items = list(ranks.items())
    return dict(items[i] for i in rng.permutation(len(items)))


def letters(rng, n: int) -> bytes:
    return bytes(rng.choice(list(b"abcd"), size=n).tolist())


TEXTS = (
    "",
    "ß",
    "  É cut e\u0301 \n",
    "\x00\t?",
    "👩‍🚀 ÿ",
    "STOP",
)  # ends, marks, zero, joined, capitals


@cases(1 + len(TEXTS))
def text_as_bytes(rng, case):
    if case:
        return (TEXTS[case - 1],)
    return ("".join(rng.choice(list("abc éß你😀"), size=whole(rng, 6, 11))),)


def singles(text: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in text]


def small_ranks(rng, *tokens: bytes) -> dict[bytes, int]:
    """Ranks few enough to be shown to a learner, the first token with the lowest, and last."""
    ranks = sorted(rng.choice(np.arange(256, 999), size=len(tokens), replace=False).tolist())
    return dict(reversed(list(zip(tokens, ranks, strict=True))))


# Without them a random draw may never ask for these; a to d become other letters each time.
EDGES = (
    (b"wxyz", ()),  # nothing to join
    (b"wxab", (b"ab",)),  # the only pair at the very end
    (b"abwx", (b"ab",)),  # the only pair at place 0
    (b"waaa", (b"aa",)),  # two equal tokens: the left one goes first
    (b"abcw", (b"bc", b"ab")),  # the lower rank on the right
    (b"wabcd", (b"ab", b"cd")),  # and on the left
    (b"w", ()),  # no neighbours at all
    (b"wcdab", (b"ab", b"cd")),  # the lowest rank is 0
    (b"abcd", (b"cd", b"ab")),  # bytes that are no letters
)
RANK_0, NO_LETTERS = 7, 8


def edge(rng, case) -> tuple[bytes, dict[bytes, int]]:
    """One of ``EDGES``, in letters of its own."""
    piece, tokens = EDGES[case]
    found = rng.permutation(list(b"abcdefgh"))[:4].tolist()
    if case == NO_LETTERS:
        found = [0x20, *rng.permutation(range(0xC0, 0xC8))[:2].tolist(), 0x0A]
    other = bytes.maketrans(b"abcd", bytes(found))
    ranks = small_ranks(rng, *(token.translate(other) for token in tokens))
    if case == RANK_0:
        ranks[tokens[0].translate(other)] = 0
    return piece.translate(other), ranks


@cases(len(EDGES) + 8)
def parts_of_a_piece(rng, case):
    if case < len(EDGES):
        piece, ranks = edge(rng, case)
        return singles(piece), ranks
    ranks, parts = vocabulary(rng)
    return [parts[i] for i in rng.integers(9, size=8)], ranks


@cases(len(EDGES) + 6)
def a_piece(rng, case):
    if case < len(EDGES):
        piece, ranks = edge(rng, case)
        return piece, {one: one[0] for one in singles(piece)} | ranks
    ranks, _ = vocabulary(rng)
    piece = letters(rng, 7)
    if case == len(EDGES):  # the piece is itself a token, the last that was learned
        ranks[piece] = len(ranks)
    return piece, ranks


@cases(7)
def some_pieces(rng, case):
    if case == 0:  # small enough to be shown, and with a pair across the cut
        tokens = small_ranks(rng, b"ab", b"ba")
        return ["aba", "ba"], {b"a": 64, b"b": 65} | tokens, 1000 + whole(rng, 0, 99)
    if case == 1:
        return [], {b"a": 64}, 0
    if case == 6:
        return ["a"], {b"a": 64}, 1
    if case == 2:  # more than plain letters, and white space at the ends
        tokens = (b" H", "é".encode(), b"\xf0\x9f", b"\x98\x80", b"o ", b"AB", b"ab")
        ranks = byte_ranks(rng) | small_ranks(rng, *tokens)
        return [" Hé", "llo \n", " 😀 ", "ABCab", "e\u0301 ", " Hé"], shuffled(rng, ranks), 1000
    ranks, _ = vocabulary(rng)
    pieces = [letters(rng, whole(rng, 2, 7)).decode() for _ in range(4)]
    ranks.setdefault(pieces[case % 4].encode(), len(ranks))
    return pieces, ranks, len(ranks) + whole(rng, 0, 9)


# Bytes that a decoder meets: nothing, ends that may not be stripped, a cut at the end, a byte that
# begins no character, a mark that is no part of the text to some decoders.
CUT = (
    (b"\n A", "é".encode(), b"b \n", b"\n A"),
    (b"a", "é".encode()[:1], b"b", b"\xff", "😀".encode()[:3]),
    (b"\xef\xbb\xbf", "é".encode(), b"\x00"),
)


@cases(1 + len(CUT) + 5)
def ids_of_a_text(rng, case):
    """A text cut at any byte, also inside a character; one token; none."""
    if case == 0:  # small enough to be shown
        first, second = rng.permutation(90)[:2].tolist()
        byte = str(rng.choice(list("éßü"))).encode()
        return [first, second], {first: b"n" + byte[:1], second: byte[1:] + b"!"}
    if case > len(CUT) + 3:
        return ([7], {7: b" x"}) if case % 2 else ([], {})
    if case <= len(CUT):
        tokens = CUT[case - 1]
    else:
        text = "".join(rng.choice(list("abc é你😀"), size=12)).encode()
        cuts = [0, *sorted({*rng.integers(1, len(text), size=9).tolist()}), len(text)]
        tokens = [text[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    known = dict(enumerate(dict.fromkeys([*tokens, b"never", b" said"])))  # 0 is an id, too
    return [next(i for i in known if known[i] == t) for t in tokens], shuffled(rng, known)


# --- rows and matrices ---


def normal(*axes: str, also: tuple[dict[str, int], ...] = ()):
    """A draw of normal arrays: ``normal("T K", "S K")``; the same letter is the same size.

    Behind three cases of different sizes comes one for each of ``also``, ``{"T": 1}``: where some
    sizes are given, or are the same.
    """

    @cases(3 + len(also))
    def draw(rng, case):
        letters = sorted({letter for each in axes for letter in each.split()})
        size = dict(zip(letters, sizes(rng, len(letters)), strict=True))
        size |= also[case - 3] if case >= 3 else {}
        return tuple(2 * rng.standard_normal([size[i] for i in each.split()]) for each in axes)

    return draw


def with_numbers(draw, *numbers):
    """A draw, and behind its arrays what each function of the generator gives."""

    @cases(getattr(draw, "cases", 3))
    def both(rng, case):
        return (*draw(rng, case), *(number(rng) for number in numbers))

    return both


@cases(7)
def rows_of_logits(rng, case):
    rows, vocab_size = {1: (1, 7), 2: (9, 4), 6: (5, 5)}.get(case) or sizes(rng, 2)
    x = rng.standard_normal((rows, vocab_size))
    if case == 2:  # no score above 0, and the best is the first
        x -= 9
        x[-1, 0] = -1
    if case == 3:
        x[-1, -2:] = 5, 7
    if case == 6:
        x[-1, 1] = x[2, -1] = 6
    if case in (4, 5):  # some other row has the largest score of all
        x[case - 4, whole(rng, 0, vocab_size)] = 9
    return (x,)


@cases(7)
def scores_and_number(rng, case):
    """One, some, all, and more than a short sort takes."""
    vocab_size, n = ((7, 3), (5, 1), (2000, 900), (6, 6), (9, 2), (11, 4), (1, 1))[case]
    scores = rng.standard_normal(vocab_size) - 9 * (case == 4)
    scores[-1] += 9 * (case == 5)
    return scores, n


@cases(6)
def look_up(rng, case):
    vocab_size, dim, n = ((7, 12, 6), (9, 4, 1), (4, 3, 9), (5, 5, 5), (8, 10, 7), (1, 3, 2))[case]
    ids = rng.integers(vocab_size, size=n)
    if n > 1:
        ids[0], ids[1], ids[-1] = vocab_size - 1, 0, 0  # in no order, and one twice
    return rng.standard_normal((vocab_size, dim)), ids[::-1] if case == 4 else ids


@cases(7)
def ids_and_vocabulary(rng, case):
    vocab_size, n = ((9, 5), (6, 1), (4, 10), (5, 5), (12, 4), (1, 2), (30, 4))[case]
    ids = rng.integers(vocab_size - 3 * (case in (0, 4)), size=n)  # the last ids need not come
    if case in (2, 3):
        ids[0], ids[-1] = vocab_size - 1, 0
    return ids, vocab_size


@cases(6)
def row_and_rows(rng, case):
    dim, n = ((5, 8), (9, 3), (4, 1), (6, 6), (3, 11), (1, 4))[case]
    row, rows = 3 * rng.standard_normal(dim), rng.standard_normal((n, dim))
    rows[0] = -row if case == 3 else rows[0]
    return row, rows


@cases(5)
def rows_off_centre(rng, case):
    """Rows whose mean is not 0: one row, as many rows as columns, one column."""
    rows, columns = ((4, 10), (9, 7), (6, 6), (1, 5), (4, 1))[case]
    x = rng.standard_normal((rows, columns)) + rng.uniform(0.5, 1.5)
    return (-x if case == 1 else x,)


def square(x: np.ndarray) -> np.ndarray:
    """As many rows as columns: where keepdims is missing, NumPy then divides the wrong way."""
    return x[: min(x.shape), : min(x.shape)]


EPS = (0.3, 1e-5, 0.1, 1.5, 0.2, 0.0)


@cases(6)
def norm(rng, case):
    (x,) = rows_off_centre(rng, min(case, 4))
    if case == 1:
        x[0] = 0  # only eps keeps it from 0 divided by 0
        x[1] *= 1e-3  # and counts here
    weight = rng.uniform(0.5, 4, x.shape[-1]) * rng.choice([-1, 1], x.shape[-1])
    return x, weight, EPS[case]


@cases(6)
def last_rows(rng, case):
    x, weight, eps = norm(rng, case)
    wide = {2: x.shape[-1], 3: 3}.get(case) or whole(rng, 13, 17)
    return x, weight, rng.standard_normal((x.shape[-1], wide)), eps


@cases(7)
def rows_of_scores(rng, case):
    x = 3 * rng.standard_normal({5: (1, 4), 6: (5, 1)}.get(case) or sizes(rng, 2))
    if case == 1:  # very large scores in one row, and a hidden one
        x[1] += 1000
        x[2, 1] = -np.inf
    if case == 3:  # nothing but very small ones
        x -= 2000
    if case == 4:  # far apart in one row
        x[0, :2] = -900, 900
    return (square(x) if case == 2 else x,)


@cases(6)
def any_shape(rng, case):
    x = 3 * rng.standard_normal(((4, 7), (6,), (2, 3, 4), (5, 5), (1, 1), (9, 2))[case])
    x.flat[0] = (0, 30, -30, 0.5, -1, 1)[case]
    return (x,)


# --- positions and masks ---


def positions(rng, case: int, n: int) -> np.ndarray:
    """From 0 on; from elsewhere on; with gaps; in no order, and one twice; far away."""
    kind = case % 5
    if kind == 2:
        return np.cumsum(rng.integers(1, 5, size=n))
    if kind == 3:
        found = rng.permutation(np.arange(2, 2 + n))
        found[-1] = found[0]
        return found
    return np.arange(n) + (0, whole(rng, 1, 9), 0, 0, whole(rng, 3000, 9000))[kind]


BASES = (10000.0, 500000.0, 100.0, 17.5, 10000)


@cases(6)
def width_and_theta(rng, case):
    head_dim = (8, 2, 64, 6, 10, 2 * whole(rng, 6, 20))[case]
    return head_dim, BASES[case % len(BASES)]


def some_frequencies(rng, case: int, width: int) -> np.ndarray:
    """Those of a model, or any."""
    if case % 2:
        return rng.uniform(0.01, 2, width // 2)
    return rope_frequencies(width, float(BASES[case % len(BASES)]))


@cases(9)
def positions_and_frequencies(rng, case):
    n, pairs = ((5, 9), (3, 8), (6, 10), (7, 4), (4, 6), (1, 7), (5, 5), (11, 4), (3, 1))[case]
    return positions(rng, case, n), some_frequencies(rng, case, 2 * pairs)


@cases(10)
def to_rotate(rng, case):
    if case == 9:  # one pair, and as many rows as numbers in a row
        where, frequencies = positions(rng, 2, 2), some_frequencies(rng, 1, 2)
    else:
        where, frequencies = positions_and_frequencies(rng, case)
    return rng.standard_normal((len(where), 2 * len(frequencies))), where, frequencies


@cases(9)
def two_positions(rng, case):
    keys = np.arange(whole(rng, 6, 10))
    if case == 2:  # with gaps: a place is no position
        keys = positions(rng, 2, 6)
    if case == 3:
        keys = positions(rng, 3, 7)
    if case == 4:  # the first query sees nothing, the last one everything
        return np.array([3, 9, 20]), keys + 5
    if case == 5:
        return keys[-1:], keys
    if case == 6:
        return keys, keys[1:4]
    if case == 8:
        return positions(rng, 3, 4), keys[3:4]
    if case == 7:  # in no order
        return positions(rng, 3, 5), keys
    return (keys[-whole(rng, 2, 5) :] if case else keys), keys


def some_mask(rng, case: int, n: int, keys: int | None = None) -> np.ndarray:
    """The triangle; any, with one key for each query at least; all visible; the last two only."""
    keys = n if keys is None else keys
    last = np.arange(keys - n, keys)[:, None]
    kind = case % 4
    if kind == 1:
        mask = rng.random((n, keys)) < 0.5
        mask[np.arange(n), rng.integers(keys, size=n)] = True
        return mask
    if kind == 2:
        return np.ones((n, keys), dtype=bool)
    return (np.arange(keys) <= last) & ((kind == 0) | (np.arange(keys) > last - 2))


@cases(7)
def scores_and_mask(rng, case):
    n, keys = ((5, 5), (4, 7), (3, 6), (4, 6), (1, 5), (6, 2), (10, 1))[case]
    mask = some_mask(rng, case, n, keys) if case < 4 else rng.random((n, keys)) < 0.5
    if case == 5:
        mask[0], mask[1] = False, True  # a row without any
    scores = 9 * rng.standard_normal((n, keys))
    scores[0, 0] = 0
    return scores, mask


@cases(9)
def to_attend(rng, case):
    n, keys, width = (
        (5, 5, 4), (4, 7, 6), (3, 6, 5), (4, 9, 3), (1, 5, 8), (6, 3, 4), (4, 4, 4), (3, 1, 2),
        (10, 12, 3),
    )[case]  # fmt: skip
    mask = some_mask(rng, 1 if case in (5, 7) else case, n, keys)
    q, k, v = (rng.standard_normal((rows, width)) for rows in (n, keys, keys))
    return q * (30 if case in (1, 3) else 1), k, v, mask  # scores far from 0


# --- heads ---


@cases(8)
def long_rows(rng, case):
    rows, heads, width = (
        (5, 3, 4), (1, 4, 3), (6, 1, 5), (4, 4, 4), (3, 5, 1), (2, 3, 6), (6, 3, 2), (9, 2, 16)
    )[case]  # fmt: skip
    return rng.standard_normal((rows, heads * width)), width


# Key-value heads, and queries for each.
GROUPS = ((2, 3), (3, 2), (1, 4), (9, 1), (1, 1), (2, 2), (3, 4))


def heads_of_a_model(rng, case: int | None = None):
    """Sizes D, Hq, Hkv and K."""
    n_kv_heads, group = sizes(rng, 2, 2, 5) if case is None else GROUPS[case % len(GROUPS)]
    width = {1: 20, 5: 2}.get(case) or 2 * whole(rng, 2, 5)
    return whole(rng, 20, 30), group * n_kv_heads, n_kv_heads, width


HEADS = ((2, 3), (3, 2), (4, 1), (1, 4), (3, 3), (2, 5), (5, 2), (1, 1), (17, 2))


@cases(2 * len(HEADS))
def which_head(rng, case):
    """Each sharing twice: at the border between two groups, and anywhere."""
    n_kv_heads, group = HEADS[case // 2]
    n_heads = group * n_kv_heads
    border = group * whole(rng, 1 if n_kv_heads < 17 else 15, n_kv_heads + 1)
    head = whole(rng, 0, n_heads) if case % 2 else border - (border == n_heads or case % 4 == 0)
    return head, n_heads, n_kv_heads


@cases(7)
def grouped(rng, case):
    n, keys = ((5, 5), (4, 6), (3, 5), (4, 4), (2, 4), (1, 6), (10, 9))[case]
    _, n_heads, n_kv_heads, width = heads_of_a_model(rng, case)
    width = n if case == 3 else width
    shapes = (n_heads, n, width), (n_kv_heads, keys, width), (n_kv_heads, keys, width)
    mask = some_mask(rng, 1 if case == 6 else case, n, keys)
    return *(rng.standard_normal(shape) for shape in shapes), mask


@cases(7)
def attention_step(rng, case):
    """Wide streams and narrow ones, and two in which a matrix is square and may not be turned."""
    n = (5, 4, 6, 10, 3, 1, 4)[case]
    dim, n_heads, n_kv_heads, width = heads_of_a_model(rng, case)
    dim = (dim, 4, 3, n_heads * width, n_kv_heads * width, 40, n_kv_heads * width)[case]
    shapes = [(n, dim), (dim, n_heads * width), *[(dim, n_kv_heads * width)] * 2]
    x, wq, wk, wv, wo = (rng.standard_normal(s) for s in (*shapes, (n_heads * width, dim)))
    where, frequencies = positions(rng, case, n), some_frequencies(rng, case, width)
    mask = some_mask(rng, case, n)
    return x, wq / 2, wk / (1 + (case > 0)), wv, wo, width, where, frequencies, mask


# --- blocks and models ---


@cases(7)
def gates(rng, case):
    rows, dim, wide = (
        (4, 5, 7), (3, 8, 6), (1, 4, 9), (5, 5, 5), (6, 3, 10), (10, 1, 2), (2, 9, 1)
    )[case]  # fmt: skip
    shapes = (rows, dim), (dim, wide), (dim, wide), (wide, dim)
    return tuple(rng.standard_normal(shape) for shape in shapes)


def divisor(n: int) -> int | None:
    """One between 8 and 200, if there is."""
    return next((d for d in range(200, 7, -1) if n % d == 0), None)


@cases(8)
def widths(rng, case):
    """No product so near a whole number that the order of two multiplications could decide."""
    multiple_of = int(rng.choice([64, 128, 256]))
    while True:
        dim, multiplier = whole(rng, 300, 6000), float(rng.choice([1.3, 1.5, 1.1, 0.7]))
        first = int(8 * dim / 3)
        second = int(multiplier * first)
        if dim % 3 == 0 or not 0.05 < multiplier * first % 1 < 0.95:
            continue
        if case == 4:
            return dim, multiple_of, 1.0
        if case == 1:  # every cut shows
            if second == int(multiplier * 8 * dim / 3):
                continue
            multiple_of = 1
        if case in (2, 3):  # a multiple already, and one more than a multiple
            multiple_of = divisor(second - (case == 3))
            if multiple_of is None:
                continue
        if case == 5:  # less than one multiple
            multiple_of = second + whole(rng, 1, 99)
        return dim, multiple_of, multiplier


def odd_sizes(rng, case: int) -> tuple[int, int, int]:
    """Hq, Hkv and K: each of them also 1, odd, and large."""
    n_kv_heads, group, width = ((2, 3, 8), (3, 3, 5), (1, 1, 1), (17, 2, 20), (1, 6, 2))[case]
    return group * n_kv_heads, n_kv_heads, width


@cases(5)
def block_sizes(rng, case):
    dim, wide = ((24, 37), (61, 7), (1, 1), (40, 90), (12, 33))[case]
    return dim, *odd_sizes(rng, case), wide


N_LAYERS, NORM_EPS = (3, 1, 2, 4), (1e-2, 0.2, 1e-5, 0.05)


def a_model(rng, case: int = 0) -> tuple[Weights, LlamaConfig]:
    """A few blocks of random weights, lively enough that every step shows in the result."""
    dim, n_heads, n_kv_heads, width = heads_of_a_model(rng, case)
    config = LlamaConfig(
        dim=dim, n_layers=N_LAYERS[case % 4], n_heads=n_heads, n_kv_heads=n_kv_heads,
        head_dim=width, ffn_width=whole(rng, 31, 40), vocab_size=whole(rng, 41, 60),
        context_length=64, norm_eps=NORM_EPS[case % 4], rope_theta=float(BASES[case % 4]),
        rope_scaling=None, tied_output=False,
    )  # fmt: skip
    weights = initialize(config, rng, std=0.4)

    def livelier(w):
        return (w * rng.uniform(0.5, 2, w.shape) if w.ndim == 1 else w).astype(np.float64)

    return weights.map(livelier), config


@cases(7)
def a_block(rng, case):
    weights, config = a_model(rng, case)
    n = (5, 4, config.dim + 3, 4, config.dim, 1, 10)[case]
    x = rng.standard_normal((n, config.dim))
    frequencies = some_frequencies(rng, case, config.head_dim)
    where = positions(rng, case, n), frequencies, some_mask(rng, case, n)
    return x, weights.layers[0], config, *where


@cases(4)
def model_and_ids(rng, case):
    weights, config = a_model(rng, case)
    ids = rng.integers(config.vocab_size, size=(5, 10, 1, 6)[case % 4])
    ids[0], ids[-1] = 0 if case == 1 else config.vocab_size - 1, ids[len(ids) // 2]
    return weights, config, ids


def model_and_stop(reference):
    """A prompt and stop tokens, so that the text ends in every way that it can.

    Before a stop token, of several; after so many tokens, though a stop token would come later; at
    once; where nothing is asked for; where nothing stops.
    """

    @cases(7)
    def draw(rng, case):
        while True:
            weights, config, ids = model_and_ids(rng, case)
            new = reference(weights, config, ids, 8, set())
            first = [i for i, token in enumerate(new) if token not in new[:i]]
            unseen = sorted(set(range(config.vocab_size)) - set(new))
            if len(first) < 6 or unseen[-1] < max(new):
                continue  # the first could be the last, or the largest the one that stops
            if case != 3 or len(set(new[:7])) < 7:  # and one token comes twice
                break
        n_new, stop = (
            (8, {new[first[3]], new[first[4]], unseen[-1]}),
            (first[2] + 1, {new[first[4]]}),
            (6, {new[0], unseen[0]}),
            (7, set()),
            (0, {new[first[1]]}),
            (1, {new[first[1]]}),
            (17, {new[first[2]], unseen[-1]}),
        )[case]
        return weights, config, ids, n_new, stop

    return draw


# --- choosing, and the cache ---


def some_probabilities(rng, case):
    return (softmax(2 * rng.standard_normal(whole(rng, 7, 12))),)


@cases(6)
def logits_and_temperature(rng, case):
    vocab_size, scale, temperature = (
        (7, 1, 0.5), (9, 1, 1.6), (5, 1, 1.0), (8, 900, 0.7), (6, 1, 0.05), (1, 1, 2.0)
    )[case]  # fmt: skip
    x = scale * rng.standard_normal(vocab_size)
    return x - (2000 if case == 4 else 0), temperature


@cases(7)
def probabilities_and_number(rng, case):
    vocab_size, k = ((8, 3), (9, 1), (10, 10), (40, 19), (7, 2), (8, 6), (1, 1))[case]
    x = softmax(2 * rng.standard_normal(vocab_size))
    if case == 5:  # some are impossible, as behind another cut
        x[rng.permutation(vocab_size)[:3]] = 0
        x /= x.sum()
    return x, k


@cases(10)
def probabilities_and_share(rng, case):
    if case == 0:  # the first holds just p, which is not more than p
        return rng.permutation([0.5, 0.25, 0.125, 0.125 / 2, 0.125 / 2]), 0.5
    if case == 1:  # and here just two of them
        return rng.permutation([0.5, 0.25, 0.15, 0.1]), 0.75
    if case == 8:  # nearly all the same
        return softmax(0.1 * rng.standard_normal(40)), 0.04
    if case == 9:
        return np.ones(1), 0.7
    p = (0.02, 0.999, 1.0)[case - 2] if case < 5 else float(rng.uniform(0.4, 0.9))
    return *some_probabilities(rng, case), p


PAST_AND_NEW = ((0, 4), (5, 1), (3, 5), (0, 1), (1, 17), (20, 2))


@cases(1 + len(PAST_AND_NEW))
def past_and_new(rng, case):
    return PAST_AND_NEW[case - 1] if case else (whole(rng, 3, 20), whole(rng, 2, 6))


@cases(7)
def old_and_new_keys(rng, case):
    heads, old, new, width = (
        (2, 4, 4, 3), (3, 5, 2, 4), (1, 3, 4, 5), (9, 6, 1, 2), (3, 3, 3, 3), (2, 0, 3, 4),
        (2, 1, 1, 1),
    )[case]  # fmt: skip
    return rng.standard_normal((heads, old, width)), rng.standard_normal((heads, new, width))


@cases(5)
def cache_sizes(rng, case):
    n_layers, n_tokens, bytes_each = ((3, 50, 2), (7, 11, 4), (1, 1, 1), (32, 80, 8), (5, 9, 2))[
        case
    ]
    return n_layers, *odd_sizes(rng, case), n_tokens, bytes_each


# --- backward ---


@cases(4)
def logits_and_targets(rng, case):
    """Some positions do not count; all do; only one does; one token alone."""
    n, vocab_size = ((9, 5), (4, 6), (6, 6), (1, 8))[case]
    targets = rng.integers(vocab_size, size=n)
    targets[0], targets[-1] = vocab_size - 1, 0
    if case == 0:
        targets[[0, 2, 3]] = -100
    if case == 2:
        targets[1:] = -100
    return 2 * rng.standard_normal((n, vocab_size)), targets


@cases(4)
def parts_of_a_batch(rng, case):
    parts, weights = ((3, 5), (4, 4), (1, 6), (9, 1))[case]
    counts = rng.integers(1, 30, size=parts)
    counts[0] += 30 * (parts > 1)
    return rng.standard_normal((parts, weights)), counts


@cases(6)
def behind_a_norm(rng, case):
    x, weight, eps = norm(rng, case)
    return rng.standard_normal(x.shape), x, weight, eps


def a_pattern(rng, case: int, n: int, keys: int) -> np.ndarray:
    """Rows that sum to one; 0 where a key is hidden."""
    scores = 2 * rng.standard_normal((n, keys))
    return softmax(np.where(some_mask(rng, case, n, keys), scores, -np.inf))


@cases(6)
def behind_a_softmax(rng, case):
    n, keys = ((5, 5), (4, 7), (3, 6), (4, 4), (1, 5), (9, 4))[case]
    return rng.standard_normal((n, keys)), a_pattern(rng, 1 if case == 5 else case, n, keys)


@cases(6)
def behind_a_head(rng, case):
    n, width = ((5, 3), (4, 6), (3, 8), (4, 4), (1, 5), (9, 2))[case]
    d_mix, q, k, v = 2 * rng.standard_normal((4, n, width))
    return d_mix, q, k, v, a_pattern(rng, case, n, n)
