"""Lesson 09, blocks."""

import functools

from llama_np.attention import attention as attention_of_model
from llama_np.feed_forward import swiglu
from llama_np.model import block as block_of_model
from llama_np.norm import rms_norm
from llama_np.rope import rope_rotations
from llama_np.tap import no_tap

from ..check.references import attention
from .registry import wrong


@wrong("normalised the stream before adding", "08/alone-why", right="model.block")
def add_to_the_normalised_copy(x, layer, config, rotations, mask, cache=None, tap=no_tap):
    """The stream itself is never normalised: each half adds to what was there before its norm."""
    normed = tap("attn_norm", rms_norm(x, layer.attn_norm, config.norm_eps))
    x = normed + attention_of_model(normed, layer, config, rotations, mask, cache, tap)
    normed = tap("ffn_norm", rms_norm(tap("resid_mid", x), layer.ffn_norm, config.norm_eps))
    return tap("resid_out", normed + swiglu(normed, layer.w_gate, layer.w_up, layer.w_down, tap))


@wrong("normalised after the step", "09/block-why", right="model.block")
def norm_after_the_step(x, layer, config, rotations, mask, cache=None, tap=no_tap):
    """That is the Transformer of 2017; Llama normalises what a step reads, not what it writes."""
    out = block_of_model(x, layer, config, rotations, mask, cache, tap)
    return tap("resid_out", rms_norm(out, layer.ffn_norm, config.norm_eps))


def in_exercise(block):
    """The same mistake in the exercise, where the rotations come as positions and frequencies."""

    @functools.wraps(block)
    def taken_apart(x, layer, config, positions, frequencies, mask):
        return block(x, layer, config, rope_rotations(positions, frequencies), mask)

    taken_apart.__name__ += "_in_exercise"
    return taken_apart


wrong("normalised the stream before adding", "08/alone-why", task="block")(
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
