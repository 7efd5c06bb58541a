"""Lesson 08, feed forward."""

import numpy as np

from llama_np.feed_forward import swiglu
from llama_np.functional import gelu, sigmoid, silu
from llama_np.tap import no_tap

from .registry import wrong


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


@wrong("rounded down", "08/add-read", task="ffn_width")
def width_rounded_down(dim, multiple_of, multiplier):
    """The width goes up to the next multiple of multiple_of."""
    return width_with(up=False)(dim, multiple_of, multiplier)


@wrong("the two thirds are missing", "08/add-read", task="ffn_width")
def four_times_as_wide(dim, multiple_of, multiplier):
    """Three matrices instead of two: each is made a third narrower than 4 D."""
    return width_with(share=1)(dim, multiple_of, multiplier)


@wrong("the multiplier is left out", "08/add-read", task="ffn_width")
def no_multiplier(dim, multiple_of, multiplier):
    """After the two thirds comes the factor ffn_dim_multiplier, then the rounding."""
    return width_with(use_multiplier=False)(dim, multiple_of, multiplier)
