# %% [markdown] key="title"
# # Exercise 08: the gate
#
# This page belongs to [lesson 08](../08_feed_forward.ipynb). Put your code in the place of each `...` and run
# the cell. `F` is the width of the feed-forward step.

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

# %% [markdown] key="silu-task"
# ## Task 1. The curve
#
# Fill in one line, the curve of step 2 of the [lesson](../08_feed_forward.ipynb):
#
# $$\mathrm{silu}(g) = \frac{g}{1 + e^{-g}}$$
#
# <details><summary>Hint</summary>
#
# `np.exp(-x)` works on all numbers of an array at once.
#
# </details>


# %% key="silu"
def my_silu(x):
    """x: any shape -> the same shape

    >>> my_silu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.2689,  0.    ,  0.7311])
    """
    bent = ...
    return bent


check("silu", my_silu)

# %% [markdown] key="swiglu-task"
# ## Task 2. The feed-forward step
#
# This one is yours alone (steps 1 and 4): widen twice, let the gate decide, narrow again. `mine.silu` is your
# curve.
#
# <details><summary>Hint</summary>
#
# Only the gate goes through silu. The two widened arrays are multiplied number by number, with `*`, and the
# result goes through `w_down`, with `@`.
#
# </details>


# %% key="swiglu"
def my_swiglu(x, w_gate, w_up, w_down):
    """x: T D, w_gate: D F, w_up: D F, w_down: F D -> T D

    >>> one = np.ones((1, 1))
    >>> my_swiglu(one, 2 * one, 3 * one, one).round(4)
    array([[5.2848]])
    """
    ...


check("swiglu", my_swiglu)

# %% [markdown] key="ffn-width-task"
# ## Task 3. How wide?
#
# Write the formula for `F`: two thirds of four times `dim`, cut to a whole number; times the multiplier, cut
# again; then up to the next multiple of `multiple_of`.
#
# <details><summary>Hint</summary>
#
# `int(...)` cuts to a whole number. `np.ceil(a / b)` rounds up, and gives a float: put `int(...)` around it,
# then multiply by `b`.
#
# </details>


# %% key="ffn-width"
def my_ffn_width(dim, multiple_of, multiplier):
    """dim: D, multiple_of: a whole number, multiplier: a number -> F

    >>> my_ffn_width(4096, 1024, 1.3)
    14336
    """
    ...


check("ffn_width", my_ffn_width)

# %% [markdown] key="predict-task"
# ## Predict
#
# Leave silu out: `hidden = (x @ w_gate) * (x @ w_up)`. Now every number of `x` is made twice as large. How
# many times as large is `hidden`?


# %% key="predict"
def how_many_times():
    x, w_gate, w_up = np.array([[1.0, 2.0]]), np.array([[3.0], [1.0]]), np.array([[1.0], [1.0]])
    before, after = ((each @ w_gate) * (each @ w_up) for each in (x, 2 * x))
    return (after / before).item()


guess = ...
predict("08", guess, how_many_times)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Both sides of the product double, so it becomes 4 times as large, where a linear step would give twice as
# much. A product of two things that depend on `x` is not linear, even without a curve, and Shazeer's paper
# lists this variant too, as "bilinear".
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# In the [lesson](../08_feed_forward.ipynb), in "How many units hold one word?", silencing a few units, those
# with the largest shares, made the model drop ` time` after "Once upon a". Do the same after "Once upon a time,
# there", where it says ` was`. How many units, the largest shares first, must be silenced until ` was` is no
# longer the best token? `without(n)` gives the probabilities when `n` are silent. Guess first: fewer than for
# ` time`, as many, more?

# %% key="measure"
from llama_np import forward, patch, record, softmax
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
ids = np.array(tokenizer.encode("Once upon a time, there", bos=True))
trace = {}
logits = forward(weights, config, ids, tap=record(trace))[-1]
said, rival = np.argsort(-logits)[:2]
toward = weights.norm * (weights.output[:, said] - weights.output[:, rival])
hidden = [trace[f"blocks.{i}.hidden"][-1] for i in range(config.n_layers)]
shares = np.stack([h * (w.w_down @ toward) for h, w in zip(hidden, weights.layers, strict=True)])
ranked = np.argsort(-shares, axis=None)


def without(n):
    """The probabilities of the next token while the n units with the largest shares are silent."""
    kept = np.ones(shares.shape, dtype=weights.embedding.dtype)
    kept.flat[ranked[:n]] = 0
    taps = {f"blocks.{i}.hidden": lambda h, i=i: h * kept[i] for i in range(config.n_layers)}
    return softmax(forward(weights, config, ids, tap=patch(taps))[-1])


def fewest():
    return next(n for n in range(shares.size + 1) if without(n).argmax() != said)


print("as it is:", tokenizer.token(said), f"{without(0)[said]:.3f}")
# yours, for example: print(tokenizer.token(without(20).argmax()))

found, because = ..., ...
measure("08", found, fewest, because, tolerance=0)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# It takes {{ fewest() }}, many more than it took to remove ` time`. {{ claim: fewest() > 20 }} A
# fixed phrase has one way to go on, and a few units that answer to it are all that speak for its word. After "there" many
# units each add a little, so that what is left is enough when some are missing. A likely reason, which this
# measurement does not prove, is that the verb follows "there" in all sorts of sentences.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 08](../08_feed_forward.ipynb). Next: [lesson 09](../09_32_blocks.ipynb) and [its exercise](09_32_blocks.ipynb).
