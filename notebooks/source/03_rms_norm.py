# %% [markdown] key="title"
# # 03 RMS norm: every row at the same size
#
# Every block adds to the residual stream, so the rows of the stream change their size on the way through
# the model. The matrices that read them were trained on rows of one size. Between the two stands the
# smallest step of a Llama: **RMS norm**, short for root mean square normalisation. It divides each row
# by its own size. It has one learned number for each column, and it is the same function everywhere
# in the model. Without it the model predicts nothing of use, as you will see.
#
# **In** goes the stream, `T` rows of `D` numbers, one row for each token. **Out** comes a copy of the
# same shape, `T` by `D`, in which every row has about the same size. The stream itself stays as it is.
#
# After this lesson you can compute the norm by hand and say what its weight and its epsilon do. You can
# say why it is computed in 32 bits, how it differs from LayerNorm, and what happens without it. On the
# map, three boxes are lit: two in every block, one after the last.

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from llama_np import forward, record
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["attn_norm", "ffn_norm", "norm"])

# %% [markdown] key="sentence-why"
# ## The sentence
#
# We take the sentence of lesson 00 and send it through the whole model once. `record(trace)` keeps every
# named result on the way, so we can pick up the stream wherever we like. `x` is the stream as the first
# block finds it: the rows of the embedding.

# %% key="sentence"
prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
trace = {}
logits = forward(weights, config, ids, tap=record(trace))
x = trace["embedded"]
print("x", x.shape)
show.matrix(x, ("T", "D"), rows=labels, title="x: the stream before the first block")

# %% [markdown] key="size-why"
# ## Step 1. How large is a row?
#
# We want one number for the size of a row. The mean does not do: positive and negative numbers cancel.
# So square every number, take the mean of the squares, and take the root at the end, to be back at the
# scale of the numbers themselves. That is the **root mean square**, in short RMS:
#
# $$\mathrm{RMS}(x) = \sqrt{\frac{1}{D} \sum_{i=1}^{D} x_i^2}$$
#
# Here $x$ is one row, $x_i$ its number in column $i$, and $D$ the number of columns. First for a single
# row, the last one.

# %% key="size-one-row"
row = x[-1]
squares = row**2
size = np.sqrt(squares.mean())
print("row of", labels[-1], row.shape, "starts", row[:6].round(3))
print("its squares start", squares[:6].round(4))
print("mean of the row", row.mean().round(3))
print("root mean square", size.round(3))

# %% [markdown] key="size-all-why"
# For all rows at once the mean is taken along the last axis, `axis=-1`. With `keepdims=True` that axis
# stays, with length 1. The result is a column with one number per row, and NumPy can later divide every
# row by its own number.


# %% key="size-all-rows"
def sizes_of(rows):
    return np.sqrt((rows**2).mean(axis=-1, keepdims=True))  # T D -> T 1


print("sizes", sizes_of(x).shape, sizes_of(x).ravel().round(3))
agree(sizes_of(x)[-1, 0], size)

# %% [markdown] key="way-why"
# ## Step 2. The size changes on the way
#
# What is there to normalise? Look at the stream further on. `resid_out` is the name of the stream after a
# block (the residual stream, as it comes out). The curves show the size of the smallest row, the largest
# row, and the mean over all rows, before the first block and after each.

# %% key="way"
names = ["embedded"] + [f"blocks.{i}.resid_out" for i in range(config.n_layers)]
stream_sizes = np.array([sizes_of(trace[name]).ravel() for name in names])  # blocks + 1, T
passed = np.arange(config.n_layers + 1)
show.curves(
    passed,
    {
        "largest row": stream_sizes.max(axis=-1),
        "mean of all rows": stream_sizes.mean(axis=-1),
        "smallest row": stream_sizes.min(axis=-1),
    },
    ("blocks passed", "RMS"),
    title="the size of the rows of the stream",
)
print(f"largest / smallest of all: {stream_sizes.max() / stream_sizes.min():.0f}")

# %% [markdown] key="way-note"
# Every block adds two matrices to the stream, and sums of many things tend to be large. A matrix that
# reads the stream early and one that reads it late would get rows of very different size, and so would
# two tokens in the same block. What a row *says* lies in the numbers relative to one another. So each
# reader first brings the row to a common size.

# %% [markdown] key="divide-why"
# ## Step 3. Divide each row by its size
#
# That is the heart of the norm. A row divided by its own root mean square has root mean square 1. The
# numbers keep their signs and their proportions: the row keeps its **direction** and loses its length.

# %% key="divide-by-hand"
divided = x / sizes_of(x)  # T D / T 1 -> T D
print("before", sizes_of(x).ravel().round(3))
print("after ", sizes_of(divided).ravel().round(3))

# %% [markdown] key="before-after-why"
# Now at three places: before the first block, half-way, and before the last block. The upper row of
# pictures shows the stream, the lower the divided copy. All six have the same colour scale, so that
# colours can be compared.

# %% key="before-after"
places = [0, config.n_layers // 2, config.n_layers - 1]
before = {f"x before block {i}": trace[names[i]] for i in places}
after = {f"divided, block {i}": rows / sizes_of(rows) for i, rows in zip(places, before.values())}
show.matrices(before | after, ("T", "D"), rows=labels, limit=3, across=3)

# %% [markdown] key="weight-why"
# ## Step 4. A learned number for each column
#
# Rows of exactly one size would be a constraint: perhaps this reader should get some columns louder and
# others softer. So column $d$ is multiplied by a learned number $w_d$, the same for every row. The vector
# $w$ is the norm's **weight**. It starts as all ones, and training moves it. Each norm of the model has
# its own. The picture shows those in front of attention, one row per block.

# %% key="weight-picture"
attn_norms = np.array([layer.attn_norm for layer in weights.layers])
print("attn_norm of all blocks", attn_norms.shape)
print(f"smallest {attn_norms.min():.2f}, largest {attn_norms.max():.2f}")
show.matrix(attn_norms, ("block", "D"), title="weights of the norm before attention")

# %% key="weight-by-hand"
layer = weights.layers[0]
weighted = divided * layer.attn_norm  # T D * D -> T D
print("divided ", sizes_of(divided).ravel().round(3))
print("weighted", sizes_of(weighted).ravel().round(3))

# %% [markdown] key="weight-note"
# With the weight, rows need no longer have size 1. But the weight is the same for all tokens, so it
# cannot bring back what the division removed: whether *this* row was large or small.

# %% [markdown] key="eps-why"
# ## Step 5. Epsilon, inside the root
#
# A row of zeros has size 0, and 0 divided by 0 is not a number. So a tiny number $\epsilon$ (epsilon) is
# added. It comes from the config. It stands **inside** the root, added to the mean of the squares:
#
# $$\mathrm{norm}(x)_d = \frac{x_d}{\sqrt{\frac{1}{D}\sum_{i} x_i^2 + \epsilon}} \; w_d$$
#
# The paper's formula has no $\epsilon$
# ([Zhang and Sennrich 2019](https://arxiv.org/abs/1910.07467), equation 4); Meta's code has it inside
# the root ([`RMSNorm`](https://github.com/meta-llama/llama3/blob/main/llama/model.py)). Outside the root
# would be another function. To see it, we take one row of size 1, make it smaller and smaller, and look
# at its size after the norm.

# %% key="eps-picture"
eps = config.norm_eps
powers = np.linspace(-6, 1, 57)
rows = 10 ** powers[:, None] * divided[-1]  # the same row in many sizes
inside = rows / np.sqrt((rows**2).mean(axis=-1, keepdims=True) + eps)
outside = rows / (np.sqrt((rows**2).mean(axis=-1, keepdims=True)) + eps)
show.curves(
    powers,
    {"eps inside the root": sizes_of(inside).ravel(), "outside": sizes_of(outside).ravel()},
    ("log10 of the size before", "size after"),
    title=f"eps = {eps:g}",
)

# %% [markdown] key="eps-note"
# Inside the root, $\epsilon$ is compared with a *square*. So it is felt by rows whose size is near
# $\sqrt{\epsilon}$, which is much larger than $\epsilon$. Smaller rows are not blown up to size 1, they
# stay small. Outside the root the same number would be felt far later. For large rows the place plays no
# part. The smallest rows of the stream are usually those of the embedding; how near are they?

# %% key="eps-here"
smallest = stream_sizes.min()
print(f"root of eps: {np.sqrt(eps):.4f}, smallest row of the stream: {smallest:.3f}")
print(f"after the norm, eps inside: {smallest / np.sqrt(smallest**2 + eps):.5f}")
print(f"after the norm, outside:    {smallest / (smallest + eps):.5f}")

# %% [markdown] key="named-note"
# ## Step 6. The library's function
#
# By hand it is two lines. The library's `rms_norm` computes the same in a few more. `wide` is the next step's
# subject, and `vecdot` multiplies each row by itself and adds up, without a table of squares in between.

# %% key="norm-by-hand"
mean_square = (x**2).mean(axis=-1, keepdims=True)
normed = x / np.sqrt(mean_square + config.norm_eps) * layer.attn_norm
print("normed", normed.shape)

# %% key="norm-named"
from llama_np import rms_norm

source(rms_norm)

# %% key="norm-agree"
agree(normed, rms_norm(x, layer.attn_norm, config.norm_eps))
agree(normed, trace["blocks.0.attn_norm"])
four = np.array([1.0, 2.0, 3.0, 4.0])
print("a row you can check with a pencil:", rms_norm(four, np.ones(4), 1e-5).round(5))

# %% [markdown] key="experiment"
# ## Try it: a row ten times as large
#
# Before you run the next cell, predict: every row of `x` is multiplied by 10. How does the result of the
# norm change? And if a row is multiplied by $-1$? (We set $\epsilon$ to 0 here; the rows are not zero.)

# %% key="experiment-cell"
plain = rms_norm(x, layer.attn_norm, 0)
for factor in (10, 0.001, -1):
    changed = rms_norm(factor * x, layer.attn_norm, 0)
    ratio = changed[-1] @ plain[-1] / (plain[-1] @ plain[-1])
    print(f"x times {factor}: the result is {ratio:.3f} times what it was")

# %% [markdown] key="experiment-answer"
# <details><summary>Answer</summary>
#
# A positive factor changes nothing: the row and its size grow alike, and the quotient stays. The paper
# calls this invariance to re-scaling. A negative factor turns the sign, because a size is never negative.
# With the $\epsilon$ of the config, very small rows come out smaller, as in step 5.
#
# </details>

# %% [markdown] key="precision-why"
# ## Step 7. In float32, whatever the weights are stored in
#
# Large models are stored with 16 bits for each number, to save memory. NumPy's 16-bit type is `float16`;
# Llama's own files use another, `bfloat16`. A norm squares and sums, and 16 bits are too few for both.
# Three things go wrong. A square can be too large: the largest `float16` is 65504. It can be too small
# and become zero. And in a long sum, what is added next can be too small to count.

# %% key="precision-fails"
with np.errstate(over="ignore"):
    large = np.float16(300) ** 2
small = np.float16(0.0001) ** 2
total = np.float16(0)
for _ in range(4096):
    total += np.float16(1)
print("largest float16:", float(np.finfo(np.float16).max))
print("300 squared:", large)
print("0.0001 squared:", small)
print("4096 ones, added one after the other:", float(total))

# %% [markdown] key="precision-row-why"
# `bfloat16` reaches as far as `float32`, so the first two do not happen to it so easily. The third hits
# it harder: it keeps only 8 binary digits, so there a sum of ones already stops at 256.
#
# Now the norm of a whole row whose numbers fit well into `float16`. We take the divided row, enlarged
# until its largest number is 500, once with the squares in `float16`, once with the library's function.

# %% key="precision-row"
half = (divided[-1] * 500 / np.abs(divided[-1]).max()).astype(np.float16)
ones = np.ones(config.dim, np.float16)
with np.errstate(over="ignore"):
    all_half = half / np.sqrt((half * half).mean() + np.float16(eps))
wide_inside = rms_norm(half, ones, eps)
print("the row, largest number:", np.abs(half).max().round())
print("squares in float16, result starts", all_half[:4] + 0)
print("rms_norm,           result starts", wide_inside[:4].round(2), wide_inside.dtype)
agree(wide_inside.astype(np.float32), divided[-1], tolerance=0.002)

# %% [markdown] key="precision-note"
# A single square overflowed to infinity. The mean is then infinite too, and the whole row becomes zero:
# everything the model knew at this token is gone, and no error is raised. `rms_norm` widens the row to
# `float32`, squares and sums there, and goes back to the type it was given: 16 bits in, 16 bits out. The
# result agrees up to the rounding of 16-bit numbers. Meta's code does the same (`x.float()` in
# `RMSNorm`). The same care is taken where exponentials are summed, in the softmax, and for the logits.
# In these notebooks the rows are `float32` from the start.

# %% [markdown] key="layernorm-why"
# ## Step 8. Beside LayerNorm
#
# Earlier transformers, GPT-2 among them, use **LayerNorm**
# ([Ba, Kiros and Hinton 2016](https://arxiv.org/abs/1607.06450), section 3). It first subtracts the mean
# of the row, so that the numbers lie around zero, and then divides in the same way. By hand that is two
# lines. (LayerNorm also has a learned weight and a learned bias, a number added to each column. We leave
# both out here, to compare the two at their core.)


# %% key="layernorm-by-hand"
def layer_norm(rows, eps):
    centred = rows - rows.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)


no_weight = np.ones(config.dim, np.float32)
centred = x - x.mean(axis=-1, keepdims=True)
agree(layer_norm(x, eps), rms_norm(centred, no_weight, eps))

# %% [markdown] key="layernorm-note"
# So LayerNorm is RMS norm of the centred row. The difference shows when a constant is added to every
# number of a row. Here we add the size of the row itself.

# %% key="layernorm-picture"
shifted = x + sizes_of(x)
show.matrices(
    {
        "RMS norm of x": rms_norm(x, no_weight, eps),
        "RMS norm of x + constant": rms_norm(shifted, no_weight, eps),
        "LayerNorm of x": layer_norm(x, eps),
        "LayerNorm of x + constant": layer_norm(shifted, eps),
    },
    ("T", "D"),
    rows=labels,
    limit=3,
    across=2,
)

# %% [markdown] key="layernorm-why-not"
# LayerNorm removes the constant again, RMS norm does not. Is that a loss? The paper of RMS norm argues
# that centring can be left out, and finds that models learn about as well without it. The norm becomes
# cheaper: one mean instead of two, one learned vector instead of two. Llama has used it since the first
# version ([Touvron et al. 2023](https://arxiv.org/abs/2302.13971), section 2.2). How much would centring
# change in this sentence? Here is the mean of each row as a fraction of its size. Near zero, the two
# norms nearly agree; near one, they are far apart.

# %% key="layernorm-means"
for i in places:
    rows = trace[names[i]]
    share = np.abs(rows.mean(axis=-1, keepdims=True)) / sizes_of(rows)
    print(
        f"before block {i}: |mean| / RMS is {share.mean():.3f} on average, {share.max():.3f} at most"
    )

table(
    ["", "LayerNorm", "RMS norm"],
    [
        ["subtracts the mean", "yes", "no"],
        ["learned numbers", f"{2 * config.dim:,} (weight and bias)", f"{config.dim:,} (weight)"],
        ["row times 10 (eps aside)", "same result", "same result"],
        ["row plus a constant", "same result", "another result"],
    ],
)

# %% [markdown] key="place-why"
# ## Step 9. Where the norms stand
#
# Each block has two norms, one before attention and one before feed-forward, and one more stands after
# the last block. Each one makes a *copy* for its reader. The stream goes past it unchanged, and what
# attention computes from the copy is added to the stream as it was. This is called **pre-norm**. In the
# first transformer the norm stood in the stream itself, behind each addition; with the norm before each
# reader, deep models are easier to train
# ([Xiong et al. 2020](https://arxiv.org/abs/2002.04745)). Here is the addition of the first block.

# %% key="place-agree"
attn_out, resid_mid = trace["blocks.0.attn_out"], trace["blocks.0.resid_mid"]
agree(x + attn_out, resid_mid)
off = np.abs(normed + attn_out - resid_mid).max()
print(f"adding to the normalised copy instead would be off by up to {off:.2f}")

# %% key="place-count"
n_norms = 2 * config.n_layers + 1
learned = n_norms * config.dim
share = learned / config.count_parameters()
print(f"{n_norms} norms of {config.dim} numbers: {learned:,} learned numbers")
print(f"that is {100 * share:.3f} % of the model")

# %% [markdown] key="without-why"
# ## Try it: the model without its norms
#
# Now take the division away in every block. The learned weights stay, so each reader gets the stream
# itself, times the weight. Everything else is as in the model: the same attention, the same feed-forward
# step, the same additions. (`attention` and `swiglu` are the library's; later lessons take them apart.)
# Before you run it, predict: what happens to the size of the stream? And to the prediction at the end?

# %% key="without-setup"
from llama_np import attention, causal_mask, rope_frequencies, rope_rotations, swiglu

positions = np.arange(len(ids))
frequencies = rope_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
rotations = rope_rotations(positions, frequencies)
visible = causal_mask(positions, positions)

# %% [markdown] key="without-loop-note"
# The loop below is the model's own, with `y * weight` where the model has `rms_norm(y, weight, eps)`.
# `without` collects the stream before the first block and after each.

# %% key="without-loop"
without = [trace["embedded"]]
with np.errstate(over="ignore", invalid="ignore"):
    for each in weights.layers:
        y = without[-1]
        normless = y * each.attn_norm
        y = y + attention(normless, each, config, rotations, visible)
        y = y + swiglu(y * each.ffn_norm, each.w_gate, each.w_up, each.w_down)
        without.append(y)

# %% key="without-sizes"
with np.errstate(over="ignore", invalid="ignore"):
    sizes_without = np.array([sizes_of(rows.astype(np.float64)).mean() for rows in without])
show.curves(
    passed,
    {"with norms": np.log10(stream_sizes.mean(axis=-1)), "without": np.log10(sizes_without)},
    ("blocks passed", "log10 of the mean RMS"),
    title="the size of the stream, with and without norms",
)

# %% [markdown] key="without-best-why"
# And the prediction? The last norm stays, so that the output matrix gets rows of the size it knows. (A
# stream that has grown beyond all numbers is set to zero; the prediction is then the same for all
# tokens.)

# %% key="without-best"
from llama_np import softmax

last_row = np.nan_to_num(without[-1][-1].astype(np.float64), nan=0, posinf=0, neginf=0)
logits_without = rms_norm(last_row, weights.norm, eps) @ weights.output  # D @ D V -> V
for name, row_of_logits in {"with norms": logits[-1], "without": logits_without}.items():
    p = softmax(row_of_logits)
    best = np.argsort(-p, kind="stable")[:4]
    print(f"{name:10}", "  ".join(f"{tokenizer.token(i)} {p[i]:.2f}" for i in best))

# %% [markdown] key="without-answer"
# <details><summary>Answer</summary>
#
# In a trained model the prediction falls apart. The early blocks read rows of a size they were not
# trained on. If the rows are too small, they add too little. If they are too large, the feed-forward step,
# which multiplies two products of the row with each other, adds much too much, and the next block reads
# that. Either way the stream moves ever further from what the later matrices know. Without norms the
# sizes multiply from block to block. With them, what a block adds does not depend on how large its input
# was.
#
# This does not show that no model could be trained without norms. It shows that this one was trained
# with them and relies on them everywhere.
#
# </details>

# %% [markdown] key="shapes-note"
# ## What you have seen
#
# The arrays of this lesson, in this model and in Llama 3 8B for a text of the same number of tokens. The
# norm changes no shape.

# %% key="shapes"
from classroom import shapes

arrays = {
    "x, the stream": "T D",
    "mean square of each row": "T",
    "weight of one norm": "D",
    "normed, the copy": "T D",
}
shapes(arrays, config, n_tokens=len(ids))

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>Does RMS norm move information from one token to another?</summary>
#
# No. The mean is taken along a row, over the numbers of one token. Each row is treated by itself.
#
# </details>
#
# <details><summary>A row is [3, 4] and its weight is [1, 1]. What comes out, with epsilon 0?</summary>
#
# The mean of the squares is (9 + 16) / 2 = 12.5, its root about 3.536. The row becomes about
# [0.849, 1.131]. Its length is not 1 but the root of 2: the *mean* of the squares is 1, so their sum is
# $D$.
#
# </details>
#
# <details><summary>Could the weight of the norm be multiplied into the matrices that follow?</summary>
#
# Yes. Column $d$ of the copy is multiplied by $w_d$ and then by row $d$ of `wq`, `wk` and `wv`. So one
# could multiply row $d$ of these matrices by $w_d$ once and for all and leave the weight out. The result
# is the same. As separate numbers they are easier to train and to look at.
#
# </details>
#
# <details><summary>Why is the stream itself not normalised?</summary>
#
# Then each block would rescale what all earlier blocks have written. As it is, what stands in the stream
# stays there as it was written, and later blocks can rely on it.
#
# </details>
#
# <details><summary>Why is epsilon not simply left out?</summary>
#
# For ordinary rows nothing would change. A row of zeros would become 0 / 0, which is not a number, and a
# single such number spoils everything computed from it.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# The rows are ready to be read. The first to read them is attention. Lesson 04, single-head attention,
# takes one head of it: queries, keys, values, and how each token mixes what it finds.
