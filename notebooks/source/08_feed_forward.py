# %% [markdown] key="title"
# # 08 Feed-forward: each token by itself
#
# Attention has brought information from other tokens into each row. Now each token works on what it has.
# The **feed-forward** step holds most of the learned numbers of a Llama, and it is short: three matrices
# and one curve. Two of the matrices widen the row; one of the two widened rows acts as a gate for the
# other; the third matrix narrows the row again. The result is added to the residual stream.
#
# **In** goes the stream after attention, `T` rows of `D` numbers, as a normalised copy. In between there
# are `T` rows of `F` numbers, where `F` is the feed-forward width, a few times `D`. **Out** come `T` rows
# of `D` numbers, which the stream takes up.
#
# After this lesson you can compute the step by hand and say what the gate does. You can work out the
# width `F` of a Llama from its config, also for 8B, count the parameters of a block, and say exactly what
# is added to what.

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from llama_np import forward, record
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["ffn_norm", "feed_forward"])

# %% [markdown] key="sentence-why"
# ## The sentence, half-way up
#
# We send the sentence of lesson 00 through the model once and keep every named result. Then we stop at
# one block, half-way, where attention has just added its part. That stream is called `resid_mid`, the
# residual stream in the middle of a block. You may choose another block and run the page again.

# %% key="sentence"
prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
trace = {}
logits = forward(weights, config, ids, tap=record(trace))

chosen = config.n_layers // 2
layer = weights.layers[chosen]
resid_mid = trace[f"blocks.{chosen}.resid_mid"]
print(f"block {chosen}: resid_mid", resid_mid.shape)
show.matrix(resid_mid, ("T", "D"), rows=labels, title=f"the stream in the middle of block {chosen}")

# %% [markdown] key="norm-why"
# ## Step 1. A normalised copy
#
# The step does not read the stream itself but a copy in which all rows have about the same size. That is
# RMS norm, the subject of lesson 03. We import it and check that the copy is the one the model used.

# %% key="norm-named"
from llama_np import rms_norm

normed = rms_norm(resid_mid, layer.ffn_norm, config.norm_eps)
agree(normed, trace[f"blocks.{chosen}.ffn_norm"])

# %% [markdown] key="curve-why"
# ## Step 2. Why a curve is needed
#
# Suppose the step were only two matrices, one after the other: `A` widens, `B` narrows. Nothing would be
# gained by that. The product of two matrices is a matrix, so one matrix of `D` by `D` does the same:

# %% key="curve-two-matrices"
A, B = layer.w_up, layer.w_down
one_matrix = A @ B  # D F @ F D -> D D
print("A", A.shape, "B", B.shape, "A @ B", one_matrix.shape)
agree((normed @ A) @ B, normed @ one_matrix, tolerance=1e-4)

# %% [markdown] key="curve-note"
# A matrix is **linear**: twice the input gives twice the output, and the sum of two inputs gives the sum
# of the outputs. It cannot say *if*. For example: add this, but only where that is present. For this,
# something between the matrices must bend. In Llama that is the curve **silu**.

# %% [markdown] key="silu-why"
# ## Step 3. The curve silu
#
# The **sigmoid** $\sigma$ squeezes any number $g$ into the range from 0 to 1. Silu multiplies $g$ by it
# ([Elfwing et al. 2017](https://arxiv.org/abs/1702.03118), section 2; in other papers it is called Swish):
#
# $$\sigma(g) = \frac{1}{1 + e^{-g}} \qquad\qquad \mathrm{silu}(g) = g \, \sigma(g) = \frac{g}{1 + e^{-g}}$$
#
# Far above zero $\sigma$ is nearly 1 and silu passes $g$ on. Far below zero $\sigma$ is nearly 0 and so is
# silu. Older networks use **relu**: below zero it is 0, above zero it is $g$ itself, and at zero it has a
# sharp corner. Silu is a smooth relative of it.

# %% key="silu-by-hand"
g = np.linspace(-6, 6, 61)
silu_by_hand = g / (1 + np.exp(-g))
show.curves(
    g,
    {"silu": silu_by_hand, "sigmoid": 1 / (1 + np.exp(-g)), "relu": np.maximum(g, 0)},
    ("g", ""),
    title="silu, sigmoid, relu",
)
few = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
print("g      ", few)
print("silu(g)", (few / (1 + np.exp(-few))).round(4))

# %% key="silu-named"
from llama_np import silu

source(silu)

# %% key="silu-agree"
agree(silu_by_hand, silu(g))
print(f"lowest near g = {g[silu(g).argmin()]:.1f}, where silu(g) = {silu(g).min():.2f}")

# %% [markdown] key="gate-up-why"
# ## Step 4. Gate and up
#
# One could now widen the row, bend it, and narrow it. That is what GPT-2 does. Llama widens the row
# *twice*, with two matrices of the same shape. One result, `up`, is what might be passed on. The other,
# `gate`, goes through silu and says how much of it passes. Number by number they are multiplied:
#
# $$\mathrm{hidden} = \mathrm{silu}(x W_\mathrm{gate}) \odot (x W_\mathrm{up})$$
#
# Here $x$ is the normalised row and $\odot$ multiplies number by number, no matrix product. The whole step
# is called **SwiGLU**, a gated linear unit with Swish
# ([Shazeer 2020](https://arxiv.org/abs/2002.05202), equation 6). Each of the `F` columns is a **unit**.

# %% key="gate-up-by-hand"
gate = normed @ layer.w_gate  # T D @ D F -> T F
up = normed @ layer.w_up  # T D @ D F -> T F
hidden = gate / (1 + np.exp(-gate)) * up
print("gate", gate.shape, "up", up.shape, "hidden", hidden.shape)
show.matrices(
    {"gate": gate, "up": up, "hidden = silu(gate) * up": hidden},
    ("T", "F"),
    rows=labels,
    across=1,
)

# %% [markdown] key="passes-why"
# ## Step 5. What the gate lets through for one token
#
# Take the last token. In the picture every unit stands over its gate, twice: with what is offered, `up`,
# and with what passes, `hidden`. Where the gate is near zero, next to nothing passes, however much is
# offered. The further to the right, the more passes. To the left a little passes, with its sign turned.

# %% key="passes-picture"
show.points(
    gate[-1],
    {"up: what is offered": up[-1], "hidden: what passes": hidden[-1]},
    ("gate", ""),
    title=f"the units of block {chosen} at {labels[-1]}",
)

# %% [markdown] key="passes-table-why"
# In numbers: the units of which the most passes, with either sign, and in the last row the unit that loses
# the most at its gate.

# %% key="passes-table"
most = np.argsort(-np.abs(hidden[-1]))[:6]
held_back = np.abs(up[-1]) - np.abs(hidden[-1])
columns = gate[-1], silu(gate[-1]), up[-1], hidden[-1]
table(
    ["unit", "gate", "silu(gate)", "up", "hidden"],
    [[f, *(f"{column[f]:.2f}" for column in columns)] for f in [*most, held_back.argmax()]],
)

# %% key="passes-share"
factor = np.abs(silu(gate[-1]))
for bound in (0.1, 0.25, 1.0):
    print(f"|silu(gate)| below {bound}: {100 * (factor < bound).mean():.0f} % of the units")
print(f"gates above zero: {100 * (gate[-1] > 0).mean():.0f} %")

# %% [markdown] key="passes-note"
# So silu(gate) is not only a valve between 0 and 1. Where it is above 1 it makes its unit louder. Where the
# gate is below zero it is a little negative and turns the sign. The product also means that two conditions
# have to meet: a unit says much only if its gate column *and* its up column find something in the row.

# %% [markdown] key="down-why"
# ## Step 6. Down: back to the width of the stream
#
# The stream has `D` columns, `hidden` has `F`. The third matrix, `w_down`, brings it back. One can read
# this product unit by unit: row $f$ of `w_down` is what unit $f$ *writes*, and `hidden` says how much of
# it. So the result for a token is a sum over its units. (Seen in this way, the columns of `w_gate` and
# `w_up` are what units look for and the rows of `w_down` what they answer; see
# [Geva et al. 2021](https://arxiv.org/abs/2012.14913).)

# %% key="down-by-hand"
down = hidden @ layer.w_down  # T F @ F D -> T D
print("down", down.shape)
unit_by_unit = sum(hidden[-1, f] * layer.w_down[f] for f in range(config.ffn_width))
agree(unit_by_unit, down[-1])

# %% key="down-named"
from llama_np import swiglu

source(swiglu)

# %% key="down-agree"
agree(down, swiglu(normed, layer.w_gate, layer.w_up, layer.w_down))
agree(down, trace[f"blocks.{chosen}.down"])

# %% [markdown] key="few-units-experiment"
# ## Try it: only the loudest units
#
# How many units does a token need? Rank the units of the last token by how much they write: the size of
# `hidden` times the length of their row in `w_down`. Keep the loudest part and drop the rest. Before you
# run it, predict: how far from the full result is the sum of the loudest tenth? Of the loudest half?

# %% key="few-units"
loud = np.abs(hidden[-1]) * np.linalg.norm(layer.w_down, axis=-1)
ranked = np.argsort(-loud)
for part in (0.05, 0.1, 0.25, 0.5, 1.0):
    kept = ranked[: max(1, round(part * config.ffn_width))]
    some = hidden[-1, kept] @ layer.w_down[kept]
    missing = np.linalg.norm(some - down[-1]) / np.linalg.norm(down[-1])
    print(f"loudest {100 * part:3.0f} % of the units: {100 * missing:3.0f} % is missing")

# %% [markdown] key="few-units-answer"
# <details><summary>Answer</summary>
#
# What is missing shrinks quickly at first, since the loud units come first. In a trained model the quieter
# half usually adds little. Which units are loud differs from token to token.
#
# </details>

# %% [markdown] key="alone-why"
# ## Step 7. Each token by itself
#
# No product in this step has `T` on the inside: rows meet columns of weights, never other rows. So a
# token's result is the same whether the others are there or not, and in whatever order. Both can be
# checked.

# %% key="alone"
matrices = layer.w_gate, layer.w_up, layer.w_down
agree(swiglu(normed[-1:], *matrices), down[-1:])
agree(swiglu(normed[::-1], *matrices), down[::-1])

# %% [markdown] key="add-why"
# ## Step 8. Added to the stream, before its norm
#
# What the step has found is added to the stream. To *which* of the two, the stream itself or the
# normalised copy? A figure that many have copied shows the copy. It is the stream: `resid_mid`, as it was
# **before** the norm. The copy has been read and is thrown away.

# %% key="add-by-hand"
resid_out = resid_mid + down
agree(resid_out, trace[f"blocks.{chosen}.resid_out"])
show.matrices(
    {"resid_mid: before": resid_mid, "down: what is added": down, "resid_out: after": resid_out},
    ("T", "D"),
    rows=labels,
    across=1,
)


# %% key="add-sizes"
def size_of(rows):
    return np.sqrt((rows**2).mean(axis=-1))


sizes = size_of(resid_mid), size_of(down), size_of(resid_out)
for label, before, added, after in zip(labels, *sizes):
    print(f"{label:20} RMS before {before:6.2f}   added {added:6.2f}   after {after:6.2f}")

# %% [markdown] key="add-note"
# Mind the scales at the right. Where before and after look alike, the step has added little compared with
# what was there. And sizes need not add up. When what is added points elsewhere, the sum is shorter than
# both lengths together; it can even be shorter than what was there before.

# %% [markdown] key="wrong-experiment"
# ## Try it: add to the copy instead
#
# Now we do it wrong on purpose, as in that figure: add `down` to the normalised copy, in every block.
# Before you run it, predict: does it matter, when the next block normalises its input anyway?

# %% key="wrong-setup"
from llama_np import attention, causal_mask, rope_frequencies, rope_rotations, softmax

positions = np.arange(len(ids))
frequencies = rope_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
rotations = rope_rotations(positions, frequencies)
visible = causal_mask(positions, positions)


def run(add_to_copy):
    x = weights.embedding[ids]
    for each in weights.layers:
        copy = rms_norm(x, each.attn_norm, config.norm_eps)
        x = x + attention(copy, each, config, rotations, visible)
        copy = rms_norm(x, each.ffn_norm, config.norm_eps)
        added = swiglu(copy, each.w_gate, each.w_up, each.w_down)
        x = copy + added if add_to_copy else x + added
    return rms_norm(x, weights.norm, config.norm_eps) @ weights.output


# %% key="wrong-cell"
def show_best(name, row_of_logits, n=4):
    p = softmax(row_of_logits)
    best = np.argsort(-p)[:n]
    print(f"{name:24}", "  ".join(f"{tokenizer.token(i)} {p[i]:.2f}" for i in best))


agree(run(add_to_copy=False), logits)
off = np.abs(normed + down - resid_out).max()
print(f"in block {chosen} alone, adding to the copy is off by up to {off:.2f}")
show_best("added to the stream", run(add_to_copy=False)[-1])
show_best("added to the copy", run(add_to_copy=True)[-1])

# %% [markdown] key="wrong-answer"
# <details><summary>Answer</summary>
#
# It matters. In the copy, what all earlier blocks have written is shrunk or enlarged, and what is added now
# is not. The norm also multiplies each column by a learned weight, so the copy points in another direction
# than the stream. This happens in every block anew. The sum is another row, and no later norm can make it
# right. In a trained model the prediction changes.
#
# </details>

# %% [markdown] key="bias-why"
# ## Step 9. No biases
#
# In many networks a matrix product is followed by a **bias**, a learned vector that is added: `x @ w + b`.
# GPT-2 has biases at every matrix of its blocks. Llama has none, here or in attention. So this step makes
# zeros out of zeros. Below is everything that one block has learned: seven matrices and the weights of two
# norms.

# %% key="bias"
from llama_np.weights import shapes as weight_shapes

agree(swiglu(np.zeros_like(normed), *matrices), np.zeros_like(normed))
in_block = {
    name.removeprefix("layers.0."): shape
    for name, shape in weight_shapes(config).items()
    if name.startswith("layers.0.")
}
table(["learned in one block", "shape"], [[f"`{n}`", s] for n, s in in_block.items()])

# %% [markdown] key="width-why"
# ## Step 10. How wide? The formula for F
#
# Why is `F` not a round number in many Llamas? An older feed-forward step had two matrices, and its width
# was four times `D`. SwiGLU has three. To have about as many parameters as before, each is made a third
# narrower: two thirds of $4D$
# ([Shazeer 2020](https://arxiv.org/abs/2002.05202), end of section 2). Some models then apply a factor,
# `ffn_dim_multiplier`. The result is rounded up to a multiple of a number that suits the hardware,
# `multiple_of` ([`FeedForward`](https://github.com/meta-llama/llama3/blob/main/llama/model.py) in Meta's
# code):
#
# $$F = m \left\lceil \frac{\lfloor f \cdot \lfloor \tfrac{2}{3} \cdot 4D \rfloor \rfloor}{m} \right\rceil$$
#
# Here $f$ is `ffn_dim_multiplier`, or 1 where a model gives none, and $m$ is `multiple_of`.
# $\lfloor\,\rfloor$ cuts to a whole number and $\lceil\,\rceil$ rounds up. By hand for two well-known models:


# %% key="width-by-hand"
def width(dim, multiple_of, multiplier):
    two_thirds = int(2 * (4 * dim) / 3)
    multiplied = int(multiplier * two_thirds)
    rounded = int(np.ceil(multiplied / multiple_of)) * multiple_of
    print(f"4 * {dim} = {4 * dim} -> {two_thirds} -> {multiplied} -> {rounded}")
    return rounded


llama_3_8b = width(4096, multiple_of=1024, multiplier=1.3)
llama_2_7b = width(4096, multiple_of=256, multiplier=1.0)

# %% key="width-named"
from llama_np import feed_forward_width

source(feed_forward_width)

# %% key="width-agree"
from llama_np import LLAMA_3_8B

agree(llama_3_8b, feed_forward_width(4096, multiple_of=1024, multiplier=1.3), tolerance=0)
agree(llama_3_8b, LLAMA_3_8B.ffn_width, tolerance=0)
agree(llama_2_7b, feed_forward_width(4096, multiple_of=256), tolerance=0)
for name, c in {"this model": config, "Llama 3 8B": LLAMA_3_8B}.items():
    print(f"{name}: F = {c.ffn_width} is {c.ffn_width / c.dim:.2f} times D = {c.dim}")

# %% [markdown] key="width-note"
# The factor 1.3 came with grouped queries: attention then needs fewer parameters, and the feed-forward
# step got them ([Touvron et al. 2023](https://arxiv.org/abs/2307.09288), appendix A.2.1). Files in Hugging Face's format
# state `F` itself, as `intermediate_size`, and no formula is needed.

# %% [markdown] key="count-why"
# ## Step 11. Where the parameters are
#
# We count the learned numbers of one block from the shapes above, for this model and for Llama 3 8B.


# %% key="count-by-hand"
def count_block(c):
    attention_part = 2 * c.dim * c.n_heads * c.head_dim  # wq, wo
    attention_part += 2 * c.dim * c.n_kv_heads * c.head_dim  # wk, wv
    return {
        "attention": attention_part,
        "feed-forward": 3 * c.dim * c.ffn_width,
        "norms": 2 * c.dim,
    }


here, there = count_block(config), count_block(LLAMA_3_8B)
here_all, there_all = sum(here.values()), sum(there.values())
rows = [
    [part, f"{here[part]:,}", f"{here[part] / here_all:.1%}"]
    + [f"{there[part]:,}", f"{there[part] / there_all:.1%}"]
    for part in here
]
rows.append(["one block", f"{here_all:,}", "", f"{there_all:,}", ""])
table(["", "this model", "share", "Llama 3 8B", "share"], rows)

# %% [markdown] key="count-agree-note"
# Does the count hold for the weights that were loaded? Each array says how many numbers it has. For whole
# numbers we allow no rounding: `tolerance=0`.

# %% key="count-agree"
counted = sum(array.size for array in vars(layer).values())
agree(here_all, counted, tolerance=0)
agree(there_all, 218_112_000, tolerance=0)
print(f"feed-forward of all blocks: {config.n_layers * here['feed-forward']:,}")
print(f"the whole model:            {config.count_parameters():,}")

# %% [markdown] key="shapes-note"
# ## What you have seen

# %% key="shapes"
from classroom import shapes

arrays = {
    "resid_mid and its normalised copy": "T D",
    "w_gate, w_up": "D F",
    "gate, up, hidden": "T F",
    "w_down": "F D",
    "down and resid_out": "T D",
}
shapes(arrays, config, n_tokens=len(ids))

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>Attention mixes rows, feed-forward does not. Which of the two could you compute for
# the last token only, if nothing else were asked?</summary>
#
# Feed-forward: it needs that one row. Attention also needs the keys and values of all tokens before.
#
# </details>
#
# <details><summary>Leave out silu, and keep hidden = gate * up. Is the step linear then?</summary>
#
# No. A product of two things that both depend on the row is not linear: twice the row gives four times
# the result. It still bends, in another way. (Shazeer's paper lists that variant too, as "bilinear".)
#
# </details>
#
# <details><summary>A gate of exactly zero, and up is 100. What does the unit write?</summary>
#
# Nothing: silu(0) is 0, and 0 times 100 is 0.
#
# </details>
#
# <details><summary>Swap w_gate and w_up by mistake. All shapes fit. What happens?</summary>
#
# No error, and a wrong result: silu now bends what was meant as the offer, and the gate stays straight.
# That is why each step here is compared with numbers, and not only by its shapes.
#
# </details>
#
# <details><summary>The feed-forward width of a new Llama is to be computed: D = 2048, multiplier 1.5,
# multiple_of 256.</summary>
#
# 4 · 2048 = 8192, two thirds of it 5461, times 1.5 is 8191, up to the next multiple of 256: 8192. That is
# Llama 3.2 1B.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# You now have all the parts of a block. Lesson 09, 32 blocks, puts them together, runs them one after the
# other, and looks at what the stream says after each.
