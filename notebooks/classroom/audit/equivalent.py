"""Mutants that are no mistakes: the same results wherever a task is defined, and why.

A line is: tasks, mutants, why. A ``*`` stands for anything, a `` | `` for or.
"""

import re
from typing import NamedTuple


class Equivalent(NamedTuple):
    tasks: str
    mutants: str
    why: str

    def covers(self, task: str, mutant: str) -> bool:
        return matches(self.tasks, task) and matches(self.mutants, mutant)


def matches(pattern: str, text: str) -> bool:
    """Whether a text is as a pattern says.

    >>> matches("n_heads: *", "n_heads: one more"), matches("x[::-1] | y", "y")
    (True, True)
    """
    names = (re.escape(part).replace(r"\*", ".*") for part in re.split(r" \| ", pattern))
    return any(re.fullmatch(name, text) for name in names)


AS_LONG = "fails where k and v are not as long | fails where q and mask are not as long"
ALL = (
    # What arguments are.
    ("*", "fails where * is 0", "a size, a width, a base or a temperature is above 0"),
    ("merge | encode", "fails where ranks is empty", "a vocabulary has tokens"),
    ("merge", "fails where piece is empty", "a piece has a byte at least"),
    ("first_join", "fails where parts is empty", "a piece has a byte at least"),
    ("*", "ids: without signs | *positions: without signs", "ids and positions count from 0"),
    ("angles | rotate | attention | block", "frequencies: without signs",
     "a frequency is above 0"),
    ("angles | rotate | attention | block", "frequencies: from -2 to 2",
     "the fastest pair turns by one radian"),
    ("frequencies | attention", "head_dim: an even number | head_dim: 2 at least", "whole pairs"),
    ("frequencies | attention", "fails where head_dim is 1 | fails where head_dim is odd",
     "whole pairs"),
    ("frequencies", "operator: pair = np.arange(head_dim / 2)", "whole pairs"),
    ("frequencies", "base: 1 at least | base: a tenth at least | fails where base is below 1",
     "a base is above 1, or later pairs would turn faster"),
    ("ffn_width", "dim: 2 at least | fails where dim is 1", "a stream is wider than one number"),
    ("ffn_width", "multiplier: a tenth at least", "a multiplier is near 1"),
    ("keep_top_k | keep_top_p", "probabilities: without signs | probabilities: from -2 to 2",
     "probabilities lie between 0 and 1"),
    ("keep_top_p", "p: 1 at most | fails where p is above 1", "p lies between 0 and 1"),
    ("cache_bytes", "fails where bytes_each is above 15", "no number takes so many bytes"),
    ("attention", "fails where wq has * | fails where wk has * | fails where wv has *",
     "a stream is wider than one number"),
    ("attention", "fails where wo has one row | fails where wo has an axis of one",
     "a head is wider than one number"),
    # What must be as long by the signature, or is as long by accident.
    ("*", AS_LONG, "as many keys as values, and a row of the mask for each query"),
    ("mask_scores", "fails where scores and mask are not as long", "both are T S"),
    ("lora_linear | merged", "fails where w and a are not as long", "both have in rows"),
    ("lora_gradients", "fails where d_out and x are not as long", "one each token"),
    ("answer_targets", "fails where ids has one row | fails where ids has an axis of one",
     "a question and an answer are two tokens at least"),
    ("rotate | attention | block", "fails where x and positions are not as long", "one each row"),
    ("attention | block", "fails where mask is high | fails where mask is wide", "T T"),
    ("attention | block", "fails where * and mask are not as long", "T T"),
    ("attention", "fails where w* and w* are not as long", "all read rows of D numbers"),
    ("attend_grouped", "fails where * and mask are as long", "heads and queries never meet"),
    ("attention", "fails where * and wo are as long", "these axes never meet"),
    ("attention | block", "fails where * and frequencies are as long", "these axes never meet"),
    ("attention", "fails where w* and * are as long", "these axes never meet"),
    ("swiglu", "fails where w_gate and w_up are not as long", "both are D F"),
    ("logits", "fails where weight and output are not as long", "both have D"),
    ("append_keys", "fails where old and new are not as long", "both have Hkv heads"),
    ("mix | attend", "k: without its mean", "a softmax forgets what all scores have in common"),
    ("attend_grouped | attend_backward", "k: without its mean", "a softmax forgets it"),
    ("probabilities", "logits: without its mean | logits: from 0 on, with its gaps",
     "a softmax forgets what all scores have in common"),
    ("attention | block", "positions: without its mean | positions: from 0 on, with its gaps",
     "scores depend on distances alone"),
    ("cache_bytes", "n_heads: * | fails where n_heads is *", "the one of six that is not needed"),
    ("block", "config: rope_theta of the first call", "the frequencies are given"),
    ("block | forward | generate", "config: n_layers of the first call",
     "there are as many blocks as weights for them"),
    # Gradients.
    ("d_weight | d_logits | accumulate | norm_backward | softmax_backward | attend_backward",
     "fails where * are not as long", "a row each for one and for the other"),
    ("descend", "fails where x and output are not as long", "both have D"),
    ("velocity", "keep: 1 at most | fails where keep is whole | fails where keep is above 1",
     "a share is kept"),
    ("velocity", "constant: v = np.zeros_like(gradients[-1])", "all rows are as wide"),
    ("d_logits", "comparison: *targets > -100) | comparison: *targets <= -100] = 0",
     "ids count from 0"),
    ("d_logits", "logits: without its mean", "a softmax forgets what all scores share"),
    ("d_logits | softmax_backward", "result: from -2 to 2", "a difference of shares"),
    ("d_logits | softmax_backward", "result: without its mean", "rows of gradients sum to 0"),
    ("accumulate", "counts: without signs | counts: turned in sign", "counts, over their sum"),
    ("accumulate", "fails where counts starts at 0", "something counted"),
    ("norm_backward", "x: turned in sign", "a norm turns with its input"),
    ("softmax_backward", "d_out: without its mean", "only differences within a row count"),
    ("softmax_backward | attend_backward",
     "weights: * | pattern: without signs | pattern: from -2 to 2", "shares"),
    ("attend_backward", "v: without its mean", "only differences within a row count"),
    ("attend_backward", "fails where pattern is high | fails where pattern is wide", "T T"),
    ("attend_backward",
     "sign: root = * | constant: root = * | another argument: root = *", "all are K wide, T K"),
    ("adam", "another argument: m = v = np.zeros_like(rate)", "0 may be of any shape"),
    # The parts of GPT-2.
    ("layer_norm", "x: without its mean", "that is what it takes away"),
    ("layer_norm", "fails where weight and shift are not as long", "one number each a column"),
    ("gelu_feed_forward", "fails where * are not as long",
     "a bias is as long as its matrix is wide; the others meet by accident alone"),
    ("pool_heads", "changed places: heads = w.reshape(n_kv_heads, w.shape[0], -1, head_dim)",
     "the groups lie in the same order"),
    ("pool_heads", "*: heads = w.reshape(w.shape[0], n_kv_heads, -1 - 1, head_dim) | "
     "*: heads = w.reshape(w.shape[0], n_kv_heads, -2, head_dim)",
     "NumPy fills in for any negative number"),
    ("pool_heads", "axis: return heads.mean(axis=-2)*", "the last but one of four"),
    # Rewards.
    ("reinforce | group_advantages", "rewards: without its mean | result: without its mean",
     "what is left of a group sums to 0"),
    ("group_advantages",
     "comparison: equal = * <= * | changed places: return np.where(0.0, equal, *",
     "none lies below the smallest; and over 1 the rounding stays as small as it is"),
    ("kl_estimate | clipped_gain | grpo_loss", "fails where * are not as long", "a row each"),
    ("kl_estimate", "result: without signs", "never below 0"),
    ("clipped_gain | grpo_loss",
     "clip: 1 at most | fails where clip is whole | fails where clip is above 1",
     "a share of the ratio 1"),
    ("clipped_gain", "changed places: return np.minimum(*", "the smaller of two has no order"),
    ("clipped_gain", "changed places: *np.clip(1 - clip, ratio, 1 + clip)*",
     "NumPy takes the larger of the first two, then the smaller of that and the third"),
    ("grpo_loss", "rewards: without its mean | rewards: from 0 on, with its gaps",
     "only differences within a group count"),
    ("grpo_loss", "constant: *rewards[None])[-1]*", "one group is the first and the last"),
    # Pre-training.
    ("rows", "*: *reshape(-2, * | *: *reshape(-1 - 1, *",
     "NumPy takes any negative size for the one to be found out"),
    ("rows", "tokens: without signs | result: without signs", "ids count from 0"),
    ("rows", "fails where tokens has one row | fails where tokens has an axis of one",
     "a target has a token before it"),
    ("adamw", "fails where * are not as long", "all four are of one shape"),
    ("adamw", "v: without signs", "a mean of squares"),
    ("adamw", "comparison: if w.ndim != 1: * | another argument: if *.ndim > 1: *",
     "all four are vectors, or all are matrices"),
    ("clip", "changed places: factor = min(limit / length, 1)", "the smaller of two has no order"),
    ("clip", "fails where gradients is empty", "a model has weights"),
    ("schedule", "comparison: if step <= warm_up: *", "at step warm_up both give the peak"),
    ("schedule", "total: 2 at least", "a run of one step is at its peak"),
    ("schedule", "changed places: done = *", "a cosine is the same on both sides of 0"),
    ("pretrain", "loop: *[::-1]: *", "the arrays in any order"),
    ("pretrain", "left out: *zip(* | constant: *strict=False*", "as many of one as of the other"),
    ("pretrain", "comparison: * > -100*", "an id is never below 0"),
    ("pretrain", "axis: *sum(axis=-2)* | constant: *shape[-1], 10000.0) | constant: *sum(axis=-1)",
     "of two axes the last is 1"),
    ("pretrain", "name: counts = (targets != -100).mean(axis=1)", "shares weigh like counts"),
    ("pretrain", "call left out: of_rows = * | call left out: clipped = *", "a list is enough"),
    ("pretrain", "fails where w is empty | fails where w has one entry",
     "a Llama has eight arrays"),
    ("pretrain", "tokens: without signs | rates: without signs", "never below 0"),
    ("pretrain", "fails where tokens and rates are not as long", "a rate for each step"),
    ("pretrain", "rates: the last row 0", "what the last step does, no loss sees"),
    ("pretrain", "result: without signs", "a loss is above 0"),
    # Another way to write the same.
    ("generate", "loop: for _ in list(range(n_new))[::-1]: *", "the numbers are not used"),
    ("generate", "call left out: *mine.forward(weights, config, text))", "a list of ids is enough"),
    ("next_token", "call left out: return logits[-1].argmax()", "NumPy's whole number is one"),
    ("to_bytes", "call left out: return text.encode()", "bytes are a sequence of numbers"),
    ("next_token", "logits: the last row everywhere", "no other row counts"),
    ("next_token | n_best", "*: without its mean | *: from 0 on, with its gaps",
     "the order is the same"),
    ("*", "sign: *axis=1* | constant: *axis=--1*", "of two axes the last is 1"),
    ("scores", "sign: *shape[1]* | constant: *shape[--1]*", "of two axes the last is 1"),
    ("append_keys", "axis: *axis=-2*", "of three axes the middle one is 1 and -2"),
    ("scores", "another argument: *k.shape[-1]*", "queries and keys are as wide"),
    ("attend_grouped", "another argument: *mine.key_head(h, len(q), len(v))",
     "as many heads of values as of keys"),
    ("rotate", "left out: *[:, ::2]*", "from 0 on"),
    ("causal_mask | chunk_mask", "left out: *[:,] <= * | left out: *[None,] <= *",
     "a row beside a column, with or without an axis of one"),
    ("split_heads | merge_heads", "changed places: *.swapaxes(1, 0)*", "the same two"),
    ("split_heads", "*: *reshape(len(x), -2, * | *: *reshape(len(x), -1 - 1, *",
     "NumPy takes any negative size for the one to be found out"),
    ("key_head", "n_heads: one more | n_heads: 2 at least", "one more makes no whole group"),
    ("attention", "call left out: * = [mine.rotate(*", "a list of heads is read like an array"),
    ("row_sizes", "x: without signs | x: turned in sign", "squares forget signs"),
    # What results are.
    ("*", "result: without sign", "ids, places, numbers of things are never below 0"),
    ("n_best | one_hot | row_sizes | softmax | frequencies | angles", "result: without signs",
     "never below 0"),
    ("probabilities | keep_top_k | keep_top_p | new_positions", "result: without signs",
     "never below 0"),
    ("one_hot | cosines | softmax | frequencies | probabilities | keep_top_k | keep_top_p",
     "result: from -2 to 2", "never beyond 1"),
    ("one_hot", "result: to two digits | result: whole numbers", "0 and 1"),
    ("row_sizes", "result: transposed where it is square", "one number"),
    ("merge_heads | forward", "result: transposed where it is square", "square by accident alone"),
    ("new_positions", "result: sorted | result: from its first on | result: up to its last",
     "positions follow one another"),
    ("chunk_mask", "result: the triangle at the right", "just that is asked for"),
)  # fmt: skip
EQUIVALENT = [Equivalent(*line) for line in ALL]
