"""The gallery of plausible misconceptions. Each is a function that runs, and is wrong.

The tests put them in the place of the right ones, and the suite must notice. The exercises know
them by their results, and tell a learner which one it is, why it is wrong, and where to read again:
the docstring says why, ``read`` names a lesson and a cell of it. ``right`` is the function of the
library that an entry replaces, ``task`` the exercise to which it is an answer.

Nothing of the tests is imported here: ``classroom`` loads this file by its path.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from llama_np import attention as attention_of_model
from llama_np import block as block_of_model
from llama_np.attention import (
    attend_grouped,
    causal_mask,
    merge_heads,
    remember_nothing,
    split_heads,
)
from llama_np.feed_forward import swiglu
from llama_np.functional import gelu, sigmoid, silu, softmax
from llama_np.model import forward
from llama_np.norm import rms_norm
from llama_np.rope import apply_rotary, rope_frequencies, rope_rotations, rotate
from llama_np.sampling import keep_top_k, keep_top_p
from llama_np.tap import no_tap
from llama_np.tokenizer.bpe import merge_pairs

from ..check.references import attention, block


class Wrong(NamedTuple):
    name: str  # the misconception in plain words
    function: Callable
    lesson: str  # where to read again: the lesson's number, and the key of the cell
    cell: str
    right: str | None
    task: str | None

    @property
    def why(self) -> str:
        """One sentence."""
        return " ".join(self.function.__doc__.split())


WRONG: list[Wrong] = []


def in_exercise(function):
    """The same mistake in an exercise: the rotations come as positions and frequencies."""

    @functools.wraps(function)
    def taken_apart(*args):
        *before, positions, frequencies, mask = args
        return function(*before, rope_rotations(positions, frequencies), mask)

    taken_apart.__name__ += "_in_exercise"
    return taken_apart


def wrong(name: str, read: str, *, right: str | None = None, task: str | None = None):
    def register(function):
        WRONG.append(Wrong(name, function, *read.split("/"), right, task))
        return function

    return register


# --- the whole model on one page ---


@wrong("the first row instead of the last", "00/logits-why", task="next_token")
def first_row(logits):
    """Row t says what follows token t: what follows the whole text stands in the last row."""
    return int(logits[0].argmax())


@wrong("one guess for every row", "00/logits-why", task="next_token")
def a_guess_for_every_row(logits):
    """Every row predicts what follows its own token; to continue the text, only the last counts."""
    return logits.argmax(axis=-1)


@wrong("the largest logit itself, not its id", "00/logits-why", task="next_token")
def the_logit_itself(logits):
    """A logit says how likely a token is; which token it is, its place in the row says."""
    return logits[-1].max()


@wrong("the best of all rows together", "00/logits-why", task="next_token")
def argmax_of_the_whole_matrix(logits):
    """Without an axis, argmax counts through all rows: that is no id of the vocabulary."""
    return int(logits.argmax())


@wrong("the smallest scores instead of the largest", "00/logits-by-hand", task="n_best")
def smallest_first(scores, n):
    """argsort puts the smallest first: sort the negative scores, or turn the order round."""
    return np.argsort(scores)[:n]


@wrong("the best stands last", "00/logits-by-hand", task="n_best")
def best_last(scores, n):
    """These are the right ids from the least to the most likely: turn the order round."""
    return np.argsort(scores)[-n:]


@wrong("the scores, not their ids", "00/logits-by-hand", task="n_best")
def scores_not_ids(scores, n):
    """sort gives back the scores, argsort gives their places, and those are the ids."""
    return -np.sort(-scores)[:n]


# --- tokens ---


@wrong("code points instead of bytes", "01/bytes-why", task="to_bytes")
def code_points(text):
    """ord numbers characters; in UTF-8 most characters take two to four bytes."""
    return [ord(character) for character in text]


@wrong("characters beyond plain English are lost", "01/bytes-note", task="to_bytes")
def only_ascii(text):
    """256 bytes are enough for every text in the world: nothing has to be dropped."""
    return list(text.encode("ascii", "ignore"))


def joined_ranks(parts, ranks):
    pairs = [left + right for left, right in zip(parts, parts[1:], strict=False)]
    return [(ranks[pair], i, len(pair)) for i, pair in enumerate(pairs) if pair in ranks]


@wrong("the leftmost pair goes first", "01/merge-why", task="first_join")
def leftmost_pair(parts, ranks):
    """The pair whose token has the lowest rank goes first: it was learned first."""
    return next((i for _, i, _ in joined_ranks(parts, ranks)), None)


@wrong("the highest rank goes first", "01/merge-why", task="first_join")
def highest_rank(parts, ranks):
    """A low rank was learned early: the lowest goes first."""
    return max(joined_ranks(parts, ranks), default=(0, None))[1]


@wrong("the longest token goes first", "01/merge-why", task="first_join")
def longest_pair(parts, ranks):
    """Length plays no part: ranks alone decide, as the training counted."""
    found = [(-length, i) for _, i, length in joined_ranks(parts, ranks)]
    return min(found, default=(0, None))[1]


@wrong("the last pair was never looked at", "01/merge-why", task="first_join")
def without_the_last_pair(parts, ranks):
    """n parts have n - 1 pairs of neighbours: range(len(parts) - 1) goes through their places."""
    return min(joined_ranks(parts[:-1], ranks), default=(0, None))[1]


@wrong("place 0 was taken for none", "01/merge-why", task="first_join")
def place_0_is_none(parts, ranks):
    """0 counts as false in Python: ask whether the place is None, not whether it is true."""
    return min(joined_ranks(parts, ranks), default=(0, None))[1] or None


@wrong("of two equal tokens the right one was taken", "01/merge-why", task="first_join")
def right_of_two(parts, ranks):
    """Where a token can be made in two places, the left one goes first: < keeps it, <= does not."""
    found = [(rank, -i) for rank, i, _ in joined_ranks(parts, ranks)]
    return -min(found)[1] if found else None


def merge_by(first_join):
    """``merge`` with another answer to which two are joined first."""

    def merge(piece, ranks):
        if piece in ranks:
            return [piece]
        parts = [bytes([byte]) for byte in piece]
        while (i := first_join(parts, ranks)) is not None:
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        return parts

    return merge


@wrong("the last pair was never looked at", "01/merge-why", task="merge")
def merged_without_the_last_pair(piece, ranks):
    """n parts have n - 1 pairs of neighbours, and the last pair can be a token too."""
    return merge_by(without_the_last_pair)(piece, ranks)


@wrong("place 0 was taken for none", "01/merge-why", task="merge")
def merged_until_place_0(piece, ranks):
    """0 counts as false, and the loop ends too early: write `is not None` behind the place."""
    return merge_by(place_0_is_none)(piece, ranks)


@wrong("of two equal tokens the right one was taken", "01/merge-why", task="merge")
def merged_from_the_right(piece, ranks):
    """Where a token can be made in two places, the left one goes first."""
    return merge_by(right_of_two)(piece, ranks)


@wrong("a piece that is itself a token was not taken whole", "01/trap-answer", task="merge")
def joining_alone(piece, ranks):
    """Joining can get stuck on the way to a token: Llama 3 looks the whole piece up first."""
    return merge_pairs(piece, ranks)[-1]


@wrong("the longest token from the left", "01/merge-why", task="merge")
def longest_match(piece, ranks):
    """Tokens are made by joining neighbours in the order of their ranks, not by length."""
    tokens = []
    while piece:
        end = max(n for n in range(1, len(piece) + 1) if piece[:n] in ranks)
        tokens, piece = [*tokens, piece[:end]], piece[end:]
    return tokens


@wrong("joined only once", "01/merge-loop-note", task="merge")
def joined_once(piece, ranks):
    """Go on until no two neighbours make a token."""
    return merge_pairs(piece, ranks)[:2][-1]


@wrong("the begin-of-text token is missing", "01/special-why", task="encode")
def no_begin_of_text(pieces, ranks, bos_id):
    """The model expects the token in front of every text, and no text holds it by itself."""
    return [i for piece in pieces for i in whole(piece, ranks)]


@wrong("bytes instead of tokens", "01/merge-why", task="encode")
def bytes_as_ids(pieces, ranks, bos_id):
    """Bytes are only the start: neighbours have to be joined before their ids are looked up."""
    return [bos_id, *(ranks[bytes([byte])] for byte in "".join(pieces).encode())]


@wrong("a begin-of-text token before every piece", "01/special-why", task="encode")
def begin_of_every_piece(pieces, ranks, bos_id):
    """It stands once, in front of the text: a piece is no text of its own."""
    return [i for piece in pieces for i in (bos_id, *whole(piece, ranks))]


@wrong("tokens were joined across the cut between two pieces", "01/split-why", task="encode")
def joined_across_pieces(pieces, ranks, bos_id):
    """No token reaches over a cut: each piece is joined by itself, one after the other."""
    return [bos_id, *whole("".join(pieces), ranks)]


def whole(piece, ranks):
    piece = piece.encode()
    tokens = [piece] if piece in ranks else merge_pairs(piece, ranks)[-1]
    return [ranks[token] for token in tokens]


@wrong("every token was decoded alone", "01/decode-why", task="decode")
def decoded_one_by_one(ids, tokens):
    """A token may hold part of a character: put all bytes together first, then decode."""
    return "".join(tokens[i].decode(errors="replace") for i in ids)


@wrong("spaces were put between the tokens", "01/decode-why", task="decode")
def spaces_between(ids, tokens):
    """A token brings its own space along: the bytes follow one another without anything between."""
    return b" ".join(tokens[i] for i in ids).decode(errors="replace")


# --- embedding ---


@wrong("columns instead of rows", "02/look-up-why", task="embed")
def columns_of_the_embedding(embedding, ids):
    """A token's numbers stand in a row, at the place that its id says."""
    return embedding[:, ids]


@wrong("ids counted from 1", "02/look-up-why", task="embed")
def ids_from_one(embedding, ids):
    """Ids count from 0, as rows do: id 0 names the first row."""
    return embedding[ids - 1]


@wrong("a token that stands twice got one row", "02/same-rows-why", task="embed")
def each_token_once(embedding, ids):
    """Every place in the text has a row of its own, also where a token comes again."""
    return embedding[np.unique(ids)]


@wrong("the 1 stands at the token's place in the text", "02/one-hot-why", task="one_hot")
def one_at_the_position(ids, vocab_size):
    """Row t belongs to place t already; in it the 1 stands at the column of the id."""
    return np.eye(len(ids), vocab_size)


@wrong("rows and columns changed places", "02/one-hot-why", task="one_hot")
def one_hot_columns(ids, vocab_size):
    """A row for each token of the text, a column for each of the vocabulary: T V."""
    return np.eye(vocab_size)[:, ids]


@wrong("every row got the ones of all ids", "02/one-hot-why", task="one_hot")
def ones_in_all_rows(ids, vocab_size):
    """`[:, ids]` names these columns in all rows: name one row for each, `[np.arange(T), ids]`."""
    rows = np.zeros((len(ids), vocab_size))
    rows[:, ids] = 1
    return rows


ONE_SUM = "one sum for the whole table instead of one for each row"


@wrong(ONE_SUM, "02/cosine-why", task="cosines")
def one_length_for_all(row, rows):
    """Each row has a length of its own: sum(axis=-1) goes along each row by itself."""
    return rows @ row / np.sqrt((rows * rows).sum() * (row @ row))


@wrong("not divided by the lengths", "02/cosine-why", task="cosines")
def dot_products(row, rows):
    """A dot product grows with the lengths of both rows: the cosine divides by them."""
    return rows @ row


@wrong("divided by the squares of the lengths", "02/cosine-why", task="cosines")
def divided_by_squares(row, rows):
    """The length is the root of the sum of the squares."""
    return rows @ row / ((rows * rows).sum(axis=-1) * (row @ row))


@wrong("divided by one of the two lengths only", "02/cosine-why", task="cosines")
def divided_by_one_length(row, rows):
    """The cosine divides by the length of both, so that it is never above 1."""
    return rows @ row / np.sqrt((rows * rows).sum(axis=-1))


# --- norm ---


@wrong("the axis is gone: keepdims is missing", "03/size-all-why", task="row_sizes")
def axis_gone(x):
    """With shape T the sizes would stand beside the columns; as T 1 they divide the rows."""
    return np.sqrt((x * x).mean(axis=-1))


@wrong("the mean was taken over the whole table", "03/size-all-why", task="row_sizes")
def one_size_for_all(x):
    """Each row has a size of its own: mean(axis=-1, keepdims=True) goes along each row."""
    return np.sqrt((x * x).mean())


@wrong("a size for every column", "03/size-all-why", task="row_sizes")
def sizes_of_columns(x):
    """axis=-1 goes along a row, over its columns; axis=0 would mix the tokens."""
    return np.sqrt((x * x).mean(axis=0, keepdims=True))


@wrong("the root is missing", "03/size-why", task="row_sizes")
def mean_square(x):
    """The root brings the size back to the scale of the numbers: twice the row, twice the size."""
    return (x * x).mean(axis=-1, keepdims=True)


@wrong("summed up instead of the mean", "03/size-why", task="row_sizes")
def length_of_rows(x):
    """The sum grows with the number of columns: the mean does not."""
    return np.sqrt((x * x).sum(axis=-1, keepdims=True))


@wrong("the mean was subtracted first", "03/layernorm-note", task="row_sizes")
def spread_of_rows(x):
    """np.std subtracts the mean; the root mean square takes the numbers as they are."""
    return x.std(axis=-1, keepdims=True)


@wrong("eps stands outside the root", "03/eps-why", right="norm.rms_norm", task="rms_norm")
def eps_outside_the_root(x, weight, eps):
    """Meta's code adds eps to the mean square, before the root."""
    return x / (np.sqrt(np.mean(x * x, axis=-1, keepdims=True)) + eps) * weight


@wrong("the mean was subtracted first", "03/layernorm-note", right="norm.rms_norm", task="rms_norm")
def subtract_the_mean(x, weight, eps):
    """That is LayerNorm; RMSNorm only divides."""
    return rms_norm(x - x.mean(axis=-1, keepdims=True), weight, eps)


@wrong("normalised over the tokens", "03/size-all-why", right="norm.rms_norm", task="rms_norm")
def norm_over_the_tokens(x, weight, eps):
    """Each token's row is normalised by itself; a column would mix tokens, future ones too."""
    return x / np.sqrt(np.mean(x * x, axis=-2, keepdims=True) + eps) * weight


@wrong("the mean was taken over the whole table", "03/size-all-why", task="rms_norm")
def norm_of_the_whole_table(x, weight, eps):
    """Each row is divided by its own size: mean(axis=-1, keepdims=True) goes along each row."""
    return x / np.sqrt((x * x).mean() + eps) * weight


@wrong("the axis is gone: keepdims is missing", "03/size-all-why", task="rms_norm")
def norm_without_keepdims(x, weight, eps):
    """Sizes of shape T stand beside the columns; as a column, T 1, they divide the rows."""
    return x / np.sqrt((x * x).mean(axis=-1) + eps) * weight


@wrong("eps is left out", "03/eps-why", task="rms_norm")
def no_eps(x, weight, eps):
    """Without eps a row of zeros would be 0 divided by 0."""
    return rms_norm(x, weight, 0.0)


@wrong("the weight is left out", "03/weight-why", task="rms_norm")
def no_weight(x, weight, eps):
    """After the division every column is multiplied by its learned number."""
    return rms_norm(x, np.ones_like(weight), eps)


@wrong("summed up instead of the mean", "03/size-why", task="rms_norm")
def divided_by_the_length(x, weight, eps):
    """Divided by its length a row's size depends on the number of columns; the mean does not."""
    return x / np.sqrt((x * x).sum(axis=-1, keepdims=True) + eps) * weight


# --- attention: one head ---


@wrong("not divided by sqrt(K)", "04/scale-why", task="scores")
def undivided_scores(q, k):
    """Undivided, the spread of the scores grows with the head width."""
    return q @ k.T


@wrong("divided by K, not by its root", "04/scale-answer", task="scores")
def divided_by_the_width(q, k):
    """The spread of a sum of K products grows with the root of K: dividing by K overdoes it."""
    return q @ k.T / q.shape[-1]


@wrong("multiplied by sqrt(K), not divided", "04/scale-why", task="scores")
def multiplied_by_the_root(q, k):
    """A sum of K products is too wide by the root of K: dividing brings it back."""
    return q @ k.T * math.sqrt(q.shape[-1])


@wrong("divided by the root of the number of keys", "04/scale-why", task="scores")
def divided_by_the_keys(q, k):
    """What is summed up in a score are the K products of one head, however long the text is."""
    return q @ k.T / math.sqrt(len(k))


@wrong("queries and keys changed places", "04/score-all-why", task="scores")
def keys_in_the_rows(q, k):
    """Row t belongs to the token that asks, column s to the token that is asked."""
    return k @ q.T / math.sqrt(q.shape[-1])


@wrong("softmax over the wrong axis", "04/softmax-why", task="softmax")
def softmax_of_columns(x):
    """Every row shares out its own weight: rows sum to one, columns need not."""
    with np.errstate(all="ignore"):
        return softmax(x.T).T


@wrong("softmax over the whole matrix", "04/softmax-why", task="softmax")
def softmax_of_everything(x):
    """The sum goes along each row by itself, so that every row sums to one."""
    return softmax(x.ravel()).reshape(x.shape)


@wrong(ONE_SUM, "04/softmax-why", task="softmax")
def softmax_with_one_sum(x):
    """Every row sums to one by itself: sum(axis=-1, keepdims=True)."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum()


@wrong("one maximum for the whole table instead of one for each row", "04/softmax-why",
       task="softmax")  # fmt: skip
def softmax_with_one_maximum(x):
    """Beside a row of far larger scores, all powers of a row are 0: subtract each row's own."""
    powers = np.exp(x - x.max())
    return powers / powers.sum(axis=-1, keepdims=True)


@wrong("the axis is gone: keepdims is missing", "04/softmax-why", task="softmax")
def softmax_without_keepdims(x):
    """A maximum and a sum for each row have to stand as columns, T 1, beside their rows."""
    powers = np.exp(x - x.max(axis=-1))
    return powers / powers.sum(axis=-1)


@wrong("the largest score was not subtracted", "04/softmax-why", task="softmax")
def overflowing_softmax(x):
    """exp(710) is beyond the largest number of the computer: subtract the row's largest first."""
    with np.errstate(all="ignore"):
        powers = np.exp(x)
        return powers / powers.sum(axis=-1, keepdims=True)


@wrong("not divided by the sum of the row", "04/softmax-why", task="softmax")
def powers_alone(x):
    """Exponentials are positive; only the division makes shares of them that sum to one."""
    return np.exp(x - x.max(axis=-1, keepdims=True))


@wrong("softmax is left out", "04/softmax-why", task="mix")
def scores_as_weights(q, k, v):
    """Scores can be negative and sum to anything: softmax makes shares of them."""
    return q @ k.T / math.sqrt(q.shape[-1]) @ v


@wrong("keys were mixed instead of values", "04/mix-why", task="mix")
def keys_mixed(q, k, v):
    """By its key a token is found; what it hands over is its value."""
    return softmax(q @ k.T / math.sqrt(q.shape[-1])) @ k


@wrong("softmax over the wrong axis", "04/softmax-why", task="mix")
def mixed_by_columns(q, k, v):
    """Every query shares out its own weight over the keys: rows sum to one."""
    return softmax((q @ k.T / math.sqrt(q.shape[-1])).T).T @ v


@wrong("not divided by sqrt(K)", "04/scale-why", task="mix")
def mixed_undivided(q, k, v):
    """Undivided, the spread of the scores grows with the head width, and softmax gets too sharp."""
    return softmax(q @ k.T) @ v


# --- rope ---


@wrong("degrees, not radians", "05/idea", right="rope.rope_frequencies", task="frequencies")
def degrees(head_dim, theta, scaling=None):
    """Angles are radians: the first pair turns by 57 degrees per position, not by one."""
    return np.deg2rad(rope_frequencies(head_dim, theta, scaling))


@wrong("the 2 in the exponent is missing", "05/one-pair-note", task="frequencies")
def exponent_without_two(head_dim, base):
    """There are K/2 pairs: with 2j/K the exponent runs through the whole range, with j/K half."""
    return base ** -(np.arange(head_dim // 2) / head_dim)


@wrong("the minus in the exponent is missing", "05/one-pair-note", task="frequencies")
def growing_frequencies(head_dim, base):
    """Each further pair turns more slowly: the exponent is negative."""
    return base ** (np.arange(0, head_dim, 2) / head_dim)


@wrong("a frequency for every number", "05/one-pair-note", task="frequencies")
def as_many_as_numbers(head_dim, base):
    """Two neighbours turn together: K numbers are K/2 pairs."""
    return base ** -(2 * np.arange(head_dim) / head_dim)


@wrong("positions counted from 1", "05/angles-why", task="angles")
def angles_from_one(positions, frequencies):
    """Positions count from 0: the first token is not turned."""
    return (positions[:, None] + 1) * frequencies


@wrong("degrees, not radians", "05/idea", task="angles")
def angles_in_degrees(positions, frequencies):
    """np.cos and np.sin expect radians: position times frequency, nothing more."""
    return np.rad2deg(positions[:, None] * frequencies)


@wrong("rows and columns changed places", "05/angles-why", task="angles")
def angles_by_pair(positions, frequencies):
    """A row for each token, a column for each pair: T K/2."""
    return frequencies[:, None] * positions


@wrong("split halves instead of adjacent pairs", "05/layout-why", right="rope.apply_rotary")
def split_halves(x, rotations):
    """Hugging Face's pairs (i, i + K/2) are right for its permuted weights, wrong for Meta's."""
    halves = x.reshape(*x.shape[:-1], 2, -1).swapaxes(-1, -2).reshape(x.shape)
    turned = apply_rotary(halves, rotations)
    return turned.reshape(*x.shape[:-1], -1, 2).swapaxes(-1, -2).reshape(x.shape)


@wrong("queries turned the other way than keys", "05/distance-why", right="rope.apply_rotary")
def turn_the_other_way_for_queries_only(x, rotations):
    """Scores depend on m - n because q and k turn the same way; here heads tell them apart."""
    return apply_rotary(x, rotations.conj() if x.shape[-3] == 6 else rotations)


@wrong("split halves instead of adjacent pairs", "05/layout-why", task="rotate")
def split_halves_by_angles(x, positions, frequencies):
    """Hugging Face's pairs (i, i + K/2) are right for its permuted weights, wrong for Meta's."""
    return split_halves(x, rope_rotations(positions, frequencies))


@wrong("turned the other way round", "05/idea", task="rotate")
def turned_backwards(x, positions, frequencies):
    """The minus belongs to a cos - b sin, the plus to a sin + b cos."""
    return rotate(x, positions, -frequencies)


@wrong("degrees, not radians", "05/idea", task="rotate")
def turned_by_degrees(x, positions, frequencies):
    """np.cos and np.sin expect radians, and the angles are radians already."""
    return rotate(x, positions, np.deg2rad(frequencies))


@wrong("the second number was made from the turned first", "05/idea", task="rotate")
def second_from_the_turned_first(x, positions, frequencies):
    """Both new numbers come from the old a and b: keep the old a until b is done."""
    angles = positions[:, None] * frequencies
    a = x[:, 0::2] * np.cos(angles) - x[:, 1::2] * np.sin(angles)
    b = a * np.sin(angles) + x[:, 1::2] * np.cos(angles)
    return np.stack([a, b], axis=-1).reshape(x.shape)


@wrong("the pairs were not put back side by side", "05/rotate-why", task="rotate")
def pairs_pulled_apart(x, positions, frequencies):
    """The numbers of a pair stay neighbours: first, second, first, second."""
    turned = rotate(x, positions, frequencies)
    return np.concatenate([turned[:, 0::2], turned[:, 1::2]], axis=-1)


@wrong("positions counted from 1", "05/angles-why", task="rotate")
def turned_from_one(x, positions, frequencies):
    """Positions come as they are, from 0: the first token is not turned."""
    return rotate(x, positions + 1, frequencies)


@wrong("every pair turned at the same speed", "05/one-pair-note", task="rotate")
def one_speed(x, positions, frequencies):
    """The angle is the position times the pair's own frequency."""
    return rotate(x, positions, np.ones_like(frequencies))


@wrong("no scaling of the frequencies", "05/scaling-why", right="rope.scale_frequencies")
def no_scaling(frequencies, scaling):
    """The code of Llama 3.1 is not identical to that of Llama 3: slow pairs are slowed down."""
    return frequencies


@wrong("every frequency scaled", "05/scaling-why", right="rope.scale_frequencies")
def scale_every_frequency(frequencies, scaling):
    """Fast pairs are kept: dividing all of them would blur neighbouring tokens."""
    return frequencies / scaling.factor


# --- the mask, and attention with it ---


@wrong(
    "the mask counts the token itself as future",
    "06/mask-why",
    right="attention.mask",
    task="mask",
)
def not_even_itself(query_positions, key_positions):
    """A token sees itself; the first would otherwise see nothing, and become NaN."""
    return key_positions[..., None, :] < query_positions[..., :, None]


@wrong(
    "the mask lets through one token too many",
    "06/problem",
    right="attention.mask",
    task="mask",
)
def one_token_ahead(query_positions, key_positions):
    """The token that is to be predicted would be in sight."""
    return key_positions[..., None, :] <= query_positions[..., :, None] + 1


@wrong("True stands for hidden", "06/mask-why", task="mask")
def true_means_hidden(query_positions, key_positions):
    """The mask says who may see: True where the key is no later than the query."""
    return key_positions[None, :] > query_positions[:, None]


@wrong("rows and columns changed places", "06/mask-why", task="mask")
def keys_down_queries_across(query_positions, key_positions):
    """Rows are queries, columns are keys: T S."""
    return key_positions[:, None] <= query_positions[None, :]


@wrong("later tokens are seen instead of earlier ones", "06/mask-why", task="mask")
def sees_the_future(query_positions, key_positions):
    """A key may be seen where its position is less than or equal to that of the query."""
    return key_positions[None, :] >= query_positions[:, None]


@wrong("places in the table were compared instead of positions", "06/mask-why", task="mask")
def places_compared(query_positions, key_positions):
    """Row 0 need not be position 0: compare the positions that are given, not the places."""
    return np.tril(np.ones((len(query_positions), len(key_positions)), dtype=bool))


@wrong("later scores became 0, not minus infinity", "06/zero-answer", task="mask_scores")
def hidden_by_zero(scores, mask):
    """0 is a score like any other: exp(0) is 1, and the future would be read."""
    return np.where(mask, scores, 0.0)


@wrong("a large negative number instead of minus infinity", "06/questions", task="mask_scores")
def hidden_by_a_billion(scores, mask):
    """-1e9 hides mistakes that minus infinity shows as NaN, and float16 has no such number."""
    return np.where(mask, scores, -1e9)


@wrong("the visible scores were hidden", "06/apply-why", task="mask_scores")
def hidden_the_visible(scores, mask):
    """mask is True where the score stays; where it is False, minus infinity goes."""
    return np.where(mask, -np.inf, scores)


@wrong("minus infinity was added for all", "06/apply-why", task="mask_scores")
def hidden_everything(scores, mask):
    """Only the hidden scores change: np.where chooses between the two, number by number."""
    return np.full_like(scores, -np.inf)


def attend_with(scale=lambda q: math.sqrt(q.shape[-1]), hide=-np.inf, axis=-1):
    """``attend`` with something else in one of its places."""

    def attend(q, k, v, mask, tap=no_tap):
        scores = tap("scores", q @ k.swapaxes(-1, -2) / scale(q))
        mask = True if mask is None else mask
        masked = tap("masked", np.where(mask, scores, hide))
        pattern = tap("pattern", softmax(masked.swapaxes(axis, -1)).swapaxes(axis, -1))
        return tap("mix", pattern @ v)

    return attend


@wrong("divided by sqrt(D), not sqrt(K)", "04/scores-note", right="attention.attend")
def divide_by_the_root_of_the_whole_width(q, k, v, mask, tap=no_tap):
    """A score sums over one head's K products, not over those of all heads together."""
    return attend_with(scale=lambda q: math.sqrt(q[..., 0, :].size))(q, k, v, mask, tap)


@wrong("not divided by sqrt(K)", "04/scale-why", right="attention.attend", task="attend")
def do_not_divide(q, k, v, mask, tap=no_tap):
    """Then the spread of the scores grows with the head width, and softmax picks one token."""
    return attend_with(scale=lambda q: 1)(q, k, v, mask, tap)


@wrong(
    "later scores became 0, not minus infinity",
    "06/zero-answer",
    right="attention.attend",
    task="attend",
)
def set_future_scores_to_zero(q, k, v, mask, tap=no_tap):
    """Weights become zero, scores minus infinity: exp(0) is 1, and the future would be seen."""
    return attend_with(hide=0)(q, k, v, mask, tap)


@wrong("softmax over the wrong axis", "06/apply-why", right="attention.attend", task="attend")
def softmax_over_the_queries(q, k, v, mask, tap=no_tap):
    """Each query shares its attention out over the keys, so rows sum to one, not columns."""
    with np.errstate(invalid="ignore"):
        return attend_with(axis=-2)(q, k, v, mask, tap)


@wrong(
    "weights set to zero after the softmax",
    "06/zero-answer",
    right="attention.attend",
    task="attend",
)
def zero_the_weights_after_softmax(q, k, v, mask, tap=no_tap):
    """Future weights are zero, but the row no longer sums to one."""

    def cut(name, value):
        return tap(name, np.where(mask, value, 0) if name == "pattern" else value)

    return attend_with()(q, k, v, np.ones_like(mask), cut)


@wrong("the mask came after the softmax", "06/apply-why", task="attend")
def hidden_after_the_softmax(q, k, v, mask):
    """Minus infinity belongs to the scores: the softmax makes a weight of 0 of it."""
    pattern = softmax(q @ k.T / math.sqrt(q.shape[-1]))
    return np.where(mask, pattern, -np.inf) @ v


@wrong("the mask is not used", "06/apply-why", task="attend")
def attend_to_everything(q, k, v, mask):
    """Every token would read the future: scores of hidden keys become minus infinity first."""
    return attend_with()(q, k, v, np.ones_like(mask))


# --- many heads ---


@wrong("reshape alone mixes the tokens", "07/once-trap", task="split_heads")
def split_without_swapping(x, head_dim):
    """reshape fills head 0 with the first numbers it finds: all heads of the first tokens."""
    return x.reshape(-1, len(x), head_dim)


@wrong("the head axis is not in front", "07/once-why", task="split_heads")
def heads_behind_tokens(x, head_dim):
    """After the cut the axes are T Hq K: swap the first two, so that each head is a matrix T K."""
    return x.reshape(len(x), -1, head_dim)


@wrong("a head took columns from all over the row", "07/loop-why", task="split_heads")
def scattered_columns(x, head_dim):
    """The first K columns are head 0's, the next K head 1's: they lie side by side."""
    return x.reshape(len(x), head_dim, -1).transpose(2, 0, 1)


@wrong(
    "reshape alone mixes the tokens",
    "07/once-trap",
    right="attention.merge_heads",
    task="merge_heads",
)
def merge_heads_without_swapping(x):
    """A reshape alone mixes tokens: the head axis must go beside the head width first."""
    return x.reshape(*x.shape[:-3], x.shape[-2], -1)


@wrong("the heads were added up", "07/concat-why", task="merge_heads")
def heads_added(x):
    """They are laid side by side: nothing is added up before wo."""
    return x.sum(axis=0)


@wrong("the numbers of the heads alternate", "07/concat-why", task="merge_heads")
def heads_alternate(x):
    """All numbers of head 0 come first, then all of head 1."""
    return x.transpose(1, 2, 0).reshape(x.shape[1], -1)


@wrong("tile instead of repeat: head 1 now reads key head 1", "07/repeat-why", task="key_head")
def key_heads_in_turn(head, n_heads, n_kv_heads):
    """Neighbouring query heads share a key head: 0 0 0 1 1 1 (repeat), not 0 1 0 1 0 1 (tile)."""
    return head % n_kv_heads


@wrong("divided by the number of key heads", "07/loop-why", task="key_head")
def divided_by_the_key_heads(head, n_heads, n_kv_heads):
    """Divide by the size of a group, n_heads // n_kv_heads: so many neighbours share a key head."""
    return head // n_kv_heads


@wrong("every query head has a key head of its own", "07/loop-why", task="key_head")
def own_key_head(head, n_heads, n_kv_heads):
    """There are fewer key heads than query heads: a group shares one."""
    return head


@wrong(
    "tile instead of repeat: head 1 now reads key head 1",
    "07/repeat-why",
    right="attention.attend_grouped",
    task="attend_grouped",
)
def tile_the_keys(q, k, v, mask, tap=no_tap):
    """Neighbouring query heads share a key head: 0 0 0 1 1 1 (repeat), not 0 1 0 1 0 1 (tile)."""
    group = q.shape[-3] // k.shape[-3]
    k, v = (np.concatenate([each] * group, axis=-3) for each in (k, v))
    mask = None if mask is None else mask[..., None, :, :]
    return attend_with()(q, k, v, mask, tap)


@wrong("the values were tiled, the keys repeated", "07/repeat-why", task="attend_grouped")
def tile_the_values(q, k, v, mask):
    """Keys and values of a token belong together: both are shared in the same way."""
    group = len(q) // len(k)
    return attend_with()(q, np.repeat(k, group, axis=0), np.concatenate([v] * group), mask)


@wrong("all query heads read key head 0", "07/ends-why", task="attend_grouped")
def first_key_head_only(q, k, v, mask):
    """That is multi-query attention; here every group has a key head of its own."""
    return attend_with()(q, k[0], v[0], mask)


@wrong("values were turned too", "05/values-why", right="attention.attention")
def rotate_values_too(
    x, wq, wk, wv, wo, head_dim, rotations, mask,
    remember=remember_nothing, query_chunk=None, tap=no_tap,
):  # fmt: skip
    """Positions belong into the scores; a turned value would carry its position into the stream."""

    def remember_turned(k, v):
        return remember(k, apply_rotary(v, rotations[..., None, :, :]))

    return attention_of_model(
        x, wq, wk, wv, wo, head_dim, rotations, mask, remember_turned, query_chunk, tap
    )


wrong("values were turned too", "05/values-why", task="attention")(in_exercise(rotate_values_too))


@wrong("divided by sqrt(D), not sqrt(K)", "04/scores-note", task="attention")
def scaled_by_the_model_width(x, wq, wk, wv, wo, head_dim, *rest):
    """A score sums over one head's K products, however wide the model is."""
    return attention(x, wq * math.sqrt(head_dim / x.shape[-1]), wk, wv, wo, head_dim, *rest)


@wrong("queries and keys were not turned", "05/problem", task="attention")
def no_rotation(x, wq, wk, wv, wo, head_dim, positions, frequencies, mask):
    """Without rotation a head cannot tell where a token stands."""
    return attention(x, wq, wk, wv, wo, head_dim, positions, 0 * frequencies, mask)


@wrong("only the queries were turned", "05/questions", task="attention")
def keys_not_turned(x, wq, wk, wv, wo, head_dim, positions, frequencies, mask):
    """The score would depend on the query's position alone, and no longer on the distance."""
    q, k, v = (split_heads(x @ w, head_dim) for w in (wq, wk, wv))
    mix = attend_grouped(rotate(q, positions[None], frequencies), k, v, mask)
    return merge_heads(mix) @ wo


@wrong("wo is left out", "07/wo-why", task="attention")
def without_wo(x, wq, wk, wv, wo, head_dim, positions, frequencies, mask):
    """wo brings the long row of all heads back to the width of the stream."""
    q, k, v = (split_heads(x @ w, head_dim) for w in (wq, wk, wv))
    q, k = (rotate(each, positions[None], frequencies) for each in (q, k))
    return merge_heads(attend_grouped(q, k, v, mask))


# --- feed forward ---


@wrong("sigmoid alone", "08/silu-why", task="silu")
def only_sigmoid(x):
    """silu multiplies x by its sigmoid."""
    return sigmoid(x)


@wrong("relu, with its corner", "08/silu-why", task="silu")
def relu(x):
    """relu cuts everything below zero off; silu bends smoothly and dips below zero."""
    return np.maximum(x, 0)


@wrong("the sign in the exponent is wrong", "08/silu-why", task="silu")
def sign_in_the_exponent(x):
    """It is exp(-x): for large x the bottom is near 1, and x passes."""
    return x / (1 + np.exp(x))


@wrong("gelu, the curve of GPT-2", "08/silu-why", task="silu")
def gelu_for_silu(x):
    """The two look alike; Llama was trained with x times sigmoid of x."""
    return gelu(x)


@wrong("gate and up swapped", "08/gate-up-why", right="feed_forward.swiglu", task="swiglu")
def gate_and_up_swapped(x, w_gate, w_up, w_down, tap=no_tap):
    """The product looks symmetric, but silu is around one of the two only."""
    return swiglu(x, w_up, w_gate, w_down, tap)


@wrong("gate and up were added, not multiplied", "08/gate-up-why", task="swiglu")
def gate_added(x, w_gate, w_up, w_down):
    """A gate decides how much of up passes: number by number it multiplies."""
    return (silu(x @ w_gate) + x @ w_up) @ w_down


@wrong("silu around the product", "08/gate-up-why", task="swiglu")
def silu_around_the_product(x, w_gate, w_up, w_down):
    """The curve bends the gate alone; up stays as it is."""
    return silu((x @ w_gate) * (x @ w_up)) @ w_down


@wrong("the curve is missing", "08/curve-note", task="swiglu")
def no_curve(x, w_gate, w_up, w_down):
    """The gate goes through silu before it meets up."""
    return ((x @ w_gate) * (x @ w_up)) @ w_down


@wrong("silu around both", "08/gate-up-why", task="swiglu")
def silu_around_both(x, w_gate, w_up, w_down):
    """Only the gate is bent; up says what is offered and stays straight."""
    return (silu(x @ w_gate) * silu(x @ w_up)) @ w_down


def width_with(share=2 / 3, use_multiplier=True, up=True):
    def width(dim, multiple_of, multiplier):
        wide = int(share * 4 * dim)
        wide = int(multiplier * wide) if use_multiplier else wide
        return (wide + up * (multiple_of - 1)) // multiple_of * multiple_of

    return width


@wrong("rounded down", "08/width-why", task="ffn_width")
def width_rounded_down(dim, multiple_of, multiplier):
    """The width goes up to the next multiple of multiple_of."""
    return width_with(up=False)(dim, multiple_of, multiplier)


@wrong("the two thirds are missing", "08/width-why", task="ffn_width")
def four_times_as_wide(dim, multiple_of, multiplier):
    """Three matrices instead of two: each is made a third narrower than 4 D."""
    return width_with(share=1)(dim, multiple_of, multiplier)


@wrong("the multiplier is left out", "08/width-why", task="ffn_width")
def no_multiplier(dim, multiple_of, multiplier):
    """After the two thirds comes the factor ffn_dim_multiplier, then the rounding."""
    return width_with(use_multiplier=False)(dim, multiple_of, multiplier)


# --- blocks ---


@wrong("normalised the stream before adding", "08/add-why", right="model.block")
def add_to_the_normalised_copy(
    x, layer, config, rotations, mask, remember=remember_nothing, query_chunk=None,
    tap=no_tap,
):  # fmt: skip
    """The stream itself is never normalised: each half adds to what was there before its norm."""
    normed = tap("attn_norm", rms_norm(x, layer.attn_norm, config.norm_eps))
    x = tap("resid_mid", normed + attention_of_model(
        normed, layer.wq, layer.wk, layer.wv, layer.wo, config.head_dim, rotations,
        mask, remember, query_chunk, tap,
    ))  # fmt: skip
    normed = tap("ffn_norm", rms_norm(x, layer.ffn_norm, config.norm_eps))
    return tap("resid_out", normed + swiglu(normed, layer.w_gate, layer.w_up, layer.w_down, tap))


@wrong("normalised after the step", "09/block-why", right="model.block")
def norm_after_the_step(
    x, layer, config, rotations, mask, remember=remember_nothing, query_chunk=None,
    tap=no_tap,
):  # fmt: skip
    """That is the Transformer of 2017; Llama normalises what a step reads, not what it writes."""
    out = block_of_model(x, layer, config, rotations, mask, remember, query_chunk, tap)
    return tap("resid_out", rms_norm(out, layer.ffn_norm, config.norm_eps))


wrong("normalised the stream before adding", "08/add-why", task="block")(
    in_exercise(add_to_the_normalised_copy)
)
wrong("normalised after the step", "09/block-why", task="block")(in_exercise(norm_after_the_step))


def halves(x, layer, config, positions, frequencies, mask):
    """The two steps of a block, each as a function of the stream."""

    def attend(x, norm=layer.attn_norm):
        return attention(
            rms_norm(x, norm, config.norm_eps), layer.wq, layer.wk, layer.wv, layer.wo,
            config.head_dim, positions, frequencies, mask,
        )  # fmt: skip

    def feed_forward(x, norm=layer.ffn_norm):
        normed = rms_norm(x, norm, config.norm_eps)
        return swiglu(normed, layer.w_gate, layer.w_up, layer.w_down)

    return attend, feed_forward


@wrong("feed-forward read the stream before attention", "09/block-why", task="block")
def both_from_the_start(x, *rest):
    """First attention is added, then feed-forward reads the sum."""
    attend, feed_forward = halves(x, *rest)
    return x + attend(x) + feed_forward(x)


@wrong("nothing was added: the stream was replaced", "09/block-why", task="block")
def replaced_stream(x, *rest):
    """Each half computes a change, and the change is added to the stream."""
    attend, feed_forward = halves(x, *rest)
    return feed_forward(attend(x))


@wrong("both halves used the norm of attention", "09/block-why", task="block")
def one_norm_for_both(x, layer, *rest):
    """Each of the two norms has weights of its own: attn_norm and ffn_norm."""
    attend, feed_forward = halves(x, layer, *rest)
    x = x + attend(x)
    return x + feed_forward(x, layer.attn_norm)


@wrong("the norms are missing", "03/place-why", task="block")
def no_norms(x, layer, config, positions, frequencies, mask):
    """Both halves read a normalised copy of the stream."""
    where = positions, frequencies, mask
    x = x + attention(x, layer.wq, layer.wk, layer.wv, layer.wo, config.head_dim, *where)
    return x + swiglu(x, layer.w_gate, layer.w_up, layer.w_down)


def count_with(n_kv_heads=None, feed_forward=3, norms=2):
    def count(dim, n_heads, n_kv, head_dim, ffn_width):
        heads = 2 * n_heads + 2 * (n_kv if n_kv_heads is None else n_heads)
        return dim * heads * head_dim + feed_forward * dim * ffn_width + norms * dim

    return count


@wrong("keys and values counted for every query head", "09/count-why", task="count_block")
def counted_as_multi_head(dim, n_heads, n_kv_heads, head_dim, ffn_width):
    """wk and wv have columns for the key-value heads only."""
    return count_with(n_kv_heads="as many")(dim, n_heads, n_kv_heads, head_dim, ffn_width)


@wrong("two feed-forward matrices instead of three", "08/gate-up-why", task="count_block")
def counted_two_matrices(dim, n_heads, n_kv_heads, head_dim, ffn_width):
    """Gate, up and down: SwiGLU has three matrices of the same size."""
    return count_with(feed_forward=2)(dim, n_heads, n_kv_heads, head_dim, ffn_width)


@wrong("the norms were not counted", "09/count-why", task="count_block")
def counted_no_norms(dim, n_heads, n_kv_heads, head_dim, ffn_width):
    """A block has two norms, with D learned numbers each."""
    return count_with(norms=0)(dim, n_heads, n_kv_heads, head_dim, ffn_width)


@wrong("only one norm was counted", "09/count-why", task="count_block")
def counted_one_norm(dim, n_heads, n_kv_heads, head_dim, ffn_width):
    """A block has two norms, one before each half."""
    return count_with(norms=1)(dim, n_heads, n_kv_heads, head_dim, ffn_width)


# --- logits and choosing ---


@wrong("the last norm is left out", "10/norm-why", task="logits")
def logits_without_norm(x, weight, output, eps):
    """The rows are brought to one size once more before the output matrix reads them."""
    return x @ output


@wrong("normalised after the output matrix", "10/norm-why", task="logits")
def norm_of_the_logits(x, weight, output, eps):
    """The norm comes first: its weight has D numbers, one for each column of the stream."""
    return rms_norm(x @ output, np.ones(output.shape[-1]), eps)


@wrong("the weight of the last norm is left out", "10/norm-why", task="logits")
def logits_without_weight(x, weight, output, eps):
    """It is the norm of lesson 03, with a learned number for each column."""
    return rms_norm(x, np.ones_like(weight), eps) @ output


@wrong("multiplied by the temperature", "10/temperature-why", task="probabilities")
def multiplied_by_the_temperature(logits, temperature):
    """A low temperature sharpens: dividing by it makes the differences larger."""
    return softmax(logits * temperature)


@wrong("divided after the softmax", "10/temperature-why", task="probabilities")
def divided_after_softmax(logits, temperature):
    """The logits are divided, before the softmax: then the result still sums to one."""
    return softmax(logits) / temperature


@wrong("the temperature is not used", "10/temperature-why", task="probabilities")
def no_temperature(logits, temperature):
    """All logits are divided by it before the softmax."""
    return softmax(logits)


@wrong("the kept ones no longer sum to one", "10/top-k-why", task="keep_top_k")
def top_k_not_divided(probabilities, k):
    """Divide by what is left, so that the sum is one again."""
    return np.where(keep_top_k(probabilities, k) > 0, probabilities, 0)


@wrong("the least likely were kept", "10/top-k-why", task="keep_top_k")
def bottom_k(probabilities, k):
    """argsort puts the smallest first: keep the other end."""
    kept = np.zeros_like(probabilities)
    lowest = np.argsort(probabilities, kind="stable")[:k]
    kept[lowest] = probabilities[lowest]
    return kept / kept.sum()


@wrong("the first k of the vocabulary were kept", "10/top-k-why", task="keep_top_k")
def first_k(probabilities, k):
    """Keep the most likely ones, wherever they stand: ids are in no order of probability."""
    kept = np.where(np.arange(len(probabilities)) < k, probabilities, 0)
    return kept / kept.sum()


@wrong(
    "the token that crosses p was dropped",
    "10/top-p-why",
    right="sampling.keep_top_p",
    task="keep_top_p",
)
def drop_the_token_that_crosses(probabilities, p):
    """The kept ones would hold less than p, and with a sure model nothing would be left."""
    order = np.argsort(-probabilities, kind="stable")
    kept = np.cumsum(probabilities[order]) < p
    kept[0] = True
    remaining = np.zeros_like(probabilities)
    remaining[order[kept]] = probabilities[order[kept]]
    return remaining / remaining.sum()


@wrong("the kept ones no longer sum to one", "10/top-p-why", task="keep_top_p")
def top_p_not_divided(probabilities, p):
    """Divide by what is left, so that the sum is one again."""
    return np.where(keep_top_p(probabilities, p) > 0, probabilities, 0)


@wrong("added up in the order of the ids", "10/top-p-why", task="keep_top_p")
def top_p_unsorted(probabilities, p):
    """Start with the likeliest token and go down: sort first, then add up."""
    before = np.cumsum(probabilities) - probabilities
    kept = np.where(before <= p, probabilities, 0)
    return kept / kept.sum()


# --- with a cache ---


@wrong("position of the first new token is one too high", "11/position-why", task="new_positions")
def counted_from_the_new_length(past, n_new):
    """Tokens in the cache stand at 0 to past - 1: the first new one stands at past."""
    return np.arange(past + 1, past + 1 + n_new)


@wrong("every call starts at position 0", "11/position-why", task="new_positions")
def counted_from_zero(past, n_new):
    """The new tokens follow what the cache holds: a call does not start a new text."""
    return np.arange(n_new)


@wrong("position of the first new token is one too low", "11/position-why", task="new_positions")
def counted_from_the_last(past, n_new):
    """At past - 1 stands the last token of the cache: the first new one comes after it."""
    return np.arange(past - 1, past - 1 + n_new)


@wrong("the triangle starts in the upper left corner", "11/mask-why", task="chunk_mask")
def mask_from_the_corner(past, n_new):
    """A new token sees all past tokens: the diagonal ends in the lower right corner."""
    return np.tri(n_new, past + n_new, dtype=bool)


@wrong("new tokens see one another in both directions", "11/mask-why", task="chunk_mask")
def mask_of_ones(past, n_new):
    """One new token may see everything; of several, the first may not see the last."""
    return np.ones((n_new, past + n_new), dtype=bool)


@wrong("columns for the new tokens only", "11/mask-why", task="chunk_mask")
def mask_of_the_new(past, n_new):
    """The keys in the cache are read too: there are past + n_new columns."""
    return np.tri(n_new, dtype=bool)


@wrong("the mask counts the token itself as future", "06/mask-why", task="chunk_mask")
def chunk_without_itself(past, n_new):
    """The new token's own key stands in its row too: less than or equal, not less than."""
    return np.tri(n_new, past + n_new, past - 1, dtype=bool)


@wrong("the new keys stand in front of the old", "11/cache-why", task="append_keys")
def new_in_front(old, new):
    """Past ones come first: keys stand in the order of their positions."""
    return np.concatenate([new, old], axis=1)


@wrong("the old keys are gone", "11/needs-why", task="append_keys")
def old_forgotten(old, new):
    """The query of the new token meets the keys of all tokens: keep the old ones."""
    return new


@wrong("joined along the heads", "11/cache-named", task="append_keys")
def along_the_heads(old, new):
    """The axes are Hkv S K: more tokens make the middle axis longer, not the first."""
    return np.concatenate([old, new], axis=0)


@wrong("only keys, no values", "11/memory-why", task="cache_bytes")
def keys_only(n_layers, n_heads, n_kv_heads, head_dim, n_tokens, bytes_each):
    """A key and a value are kept for every token: that is the factor 2."""
    return n_layers * n_kv_heads * head_dim * n_tokens * bytes_each


@wrong("counted for the query heads", "11/memory-why", task="cache_bytes")
def query_heads_counted(n_layers, n_heads, n_kv_heads, head_dim, n_tokens, bytes_each):
    """The cache holds keys and values, and there are only n_kv_heads of each."""
    return 2 * n_layers * n_heads * head_dim * n_tokens * bytes_each


@wrong("counted for one block only", "11/memory-why", task="cache_bytes")
def one_block_counted(n_layers, n_heads, n_kv_heads, head_dim, n_tokens, bytes_each):
    """Every block has keys and values of its own."""
    return 2 * n_kv_heads * head_dim * n_tokens * bytes_each


@wrong("position of the first new token is one too high", "11/position-why", right="model.forward")
def position_one_too_high_after_the_prompt(weights, config, ids, cache=None, **options):
    """Counted from 0, a prompt of L tokens ends at L - 1: the next stands at L, not L + 1."""
    past = 0 if cache is None else cache.length
    positions = np.arange(past, past + ids.shape[-1]) + (past > 0)
    return forward(weights, config, ids, cache, positions=positions, **options)


@wrong("every call starts at position 0", "11/position-why", right="model.forward")
def position_zero_for_every_new_token(weights, config, ids, cache=None, **options):
    """A call with one new token does not start a new text."""
    return forward(weights, config, ids, cache, positions=np.arange(ids.shape[-1]), **options)


@wrong("the mask leaves out the token itself", "11/mask-why", right="model.forward")
def mask_off_by_one_after_caching(weights, config, ids, cache=None, **options):
    """The new token's own key stands last; a mask from the old length leaves it out."""
    past, new = 0 if cache is None else cache.length, ids.shape[-1]
    mask = np.tri(new, past + new, past - (past > 0), dtype=bool)
    return forward(weights, config, ids, cache, mask=mask, **options)


@wrong("the triangle starts in the upper left corner", "11/mask-why", right="model.forward")
def mask_from_the_corner_after_caching(weights, config, ids, cache=None, **options):
    """The diagonal of a T by S mask ends in the lower right corner, not in the upper left."""
    past, new = 0 if cache is None else cache.length, ids.shape[-1]
    mask = np.tri(new, past + new, dtype=bool)
    return forward(weights, config, ids, cache, mask=mask, **options)


@wrong("new tokens see one another in both directions", "11/mask-why", right="model.forward")
def no_mask_for_a_chunk_after_caching(weights, config, ids, cache=None, **options):
    """One new token may see everything; of several, the first may not see the last."""
    past, new = 0 if cache is None else cache.length, ids.shape[-1]
    first = np.tri(new, dtype=bool)
    mask = np.ones((new, past + new), bool) if past else first
    return forward(weights, config, ids, cache, mask=mask, **options)


# --- the whole model, and the loop ---


def forward_with(layers=lambda layers: layers, visible=causal_mask, norm=True):
    """The plain forward pass with something else in one of its places."""

    def run(weights, config, ids):
        positions = np.arange(len(ids))
        frequencies = rope_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
        mask, x = visible(positions, positions), weights.embedding[ids]
        for layer in layers(weights.layers):
            x = block(x, layer, config, positions, frequencies, mask)
        return (rms_norm(x, weights.norm, config.norm_eps) if norm else x) @ weights.output

    return run


@wrong("the last norm is left out", "10/norm-why", task="forward")
def forward_without_the_last_norm(weights, config, ids):
    """Behind the last block the rows are normalised once more."""
    return forward_with(norm=False)(weights, config, ids)


@wrong("every block used the weights of the first", "09/loop-why", task="forward")
def first_weights_everywhere(weights, config, ids):
    """The code is the same for every block, the weights are not."""
    return forward_with(layers=lambda layers: layers[:1] * len(layers))(weights, config, ids)


@wrong("only one block was run", "09/loop-why", task="forward")
def only_the_first_block(weights, config, ids):
    """The output of each block goes into the next, through all of them."""
    return forward_with(layers=lambda layers: layers[:1])(weights, config, ids)


@wrong("the blocks ran in reverse order", "09/loop-why", task="forward")
def blocks_backwards(weights, config, ids):
    """The first block reads the embedding, the last one writes for the output."""
    return forward_with(layers=lambda layers: layers[::-1])(weights, config, ids)


@wrong("the mask is not used", "06/without-answer", task="forward")
def forward_without_a_mask(weights, config, ids):
    """Every token would read the future, which the model was not trained for."""
    return forward_with(visible=lambda q, k: np.ones((len(q), len(k)), bool))(weights, config, ids)


def written(weights, config, ids, n_new, stop_ids=(), keep_stop=False, grow=True):
    """The plain loop with something else in one of its places."""
    text, new = list(ids), []
    while len(new) < n_new:
        token = int(forward(weights, config, np.array(text))[-1].argmax())
        if token in stop_ids:
            return [*new, token] if keep_stop else new
        new.append(token)
        text = [*text, token] if grow else text
    return new


@wrong("the stop token became part of the text", "12/experiment-answer", task="generate")
def stop_token_kept(weights, config, ids, n_new, stop_ids):
    """The loop ends before the stop token: it says that the text is over and is no part of it."""
    return written(weights, config, ids, n_new, stop_ids, keep_stop=True)


@wrong("stop tokens were not looked for", "12/stop-why", task="generate")
def nobody_stops(weights, config, ids, n_new, stop_ids):
    """To the loop a stop token is a token like any other, unless the loop looks for it."""
    return written(weights, config, ids, n_new)


@wrong("the prompt came out as well", "12/loop-why", task="generate")
def prompt_came_out(weights, config, ids, n_new, stop_ids):
    """Only the new tokens are the answer: whoever calls has the prompt already."""
    return [*map(int, ids), *written(weights, config, ids, n_new, stop_ids)]


@wrong("the new token was not put behind the text", "12/loop-why", task="generate")
def text_does_not_grow(weights, config, ids, n_new, stop_ids):
    """Each new token becomes part of the next input: otherwise the question is always the same."""
    return written(weights, config, ids, n_new, stop_ids, grow=False)
