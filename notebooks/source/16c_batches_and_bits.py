# %% [markdown] key="title"
# # 16c A step that does not fit: batches, parts, and sixteen bits
#
# To guess what follows *Once upon a time, there was a little girl named*, Llama 3 405B took steps on up to 16 million tokens at
# a time, and multiplied numbers of sixteen bits, seven of them for the fraction. Why so many tokens, how does one take a step
# that no machine can hold, and how few bits may a weight have before the step is lost in them?
#
# You measure how much of a batch is chance, take it apart, build **bfloat16** from the bits of float32, and train a small Llama whose
# weights are rounded after every step, until three quarters of the learning are lost. Then you look for a cure that costs no bits.
#
# This page is optional. It goes on from [lesson 16](16_pretraining.ipynb), whose small Llama it trains.

# %% key="setup"
from dataclasses import replace

import numpy as np
from classroom import agree, show, table

from llama_np.training import AdamW, clip_by_global_norm, learning_rate
from llama_np.training.backward import loss_and_gradients
from llama_np.weights import initialize
from weights_tools import DOLL_HOUSE, load_model
from weights_tools.training.corpus import STORIES, Stream, encode_document, read_corpus

house, corpus = load_model(DOLL_HOUSE), read_corpus(STORIES)
documents = [np.array(encode_document(house.tokenizer, story)) for story in corpus.train]
held_out = [np.array(encode_document(house.tokenizer, story)) for story in corpus.held_out]
T, stream = 128, Stream(documents, seed=0)
small = replace(
    house.config, dim=64, n_layers=3, n_heads=4, n_kv_heads=2, head_dim=16, ffn_width=224,
    context_length=T, tied_output=True,
)  # fmt: skip


def flat(weights):
    """All numbers as one long vector."""
    return np.concatenate([w.ravel() for _, w in weights.named()])


# %% key="young" tags=["timing"]
fresh = initialize(small, np.random.default_rng(0), 0.1)
young = fresh.map(np.copy)
optimizer = AdamW(young)
for step in range(100):
    loss, gradients = loss_and_gradients(young, small, *stream.batch(step, 8 * T, T))
    clip_by_global_norm(gradients, 1.0)
    optimizer.step(young, gradients, learning_rate(step, 1e-2, 10, 100))
print(f"{small.count_parameters():,} weights, loss after 100 steps of {8 * T} tokens: {loss:.2f}")

# %% [markdown] key="batch-why"
# ## Step 1. How large a batch?
#
# A gradient is a mean over the tokens of its batch: the gradient $G$ of all texts, and chance. The chance in a mean of $b$
# tokens shrinks as $1/b$, so that the squared length is, on average,
#
# $$|g_b|^2 = |G|^2 + \frac{S}{b}$$
#
# Two sizes of batch give two equations, and both unknowns ([McCandlish et al. 2018](https://arxiv.org/abs/1812.06162), appendix
# A.1). At $b = S / |G|^2$ half of the squared length is chance; this size is the **gradient noise scale**. Much smaller batches point
# nearly anywhere, much larger ones repeat what is known.
#
# **Predict before you run:** who needs the larger batch, the model that knows nothing or the one that has learned a
# little?

# %% key="batch" tags=["timing"]
b, PARTS = 8 * T, 32  # tokens of a part


def squared_length(gradients, n):
    """Of the means of n parts, on average over all that there are."""
    means = [np.mean(gradients[i : i + n], axis=0) for i in range(0, len(gradients), n)]
    return np.mean([g @ g for g in means])


def signal_and_chance(gradients):
    """|G|² and S, from the parts and from all of them together."""
    n = len(gradients)
    part, whole = squared_length(gradients, 1), squared_length(gradients, n)
    return (n * whole - part) / (n - 1), (part - whole) * b * n / (n - 1)


sizes = 2 ** np.arange(6)  # parts
shares, scales, spread = {}, {}, {}
for name, weights in {"fresh weights": fresh, "after 100 steps": young}.items():
    batches = (stream.batch(200 + i, b, T) for i in range(PARTS))
    gradients = [flat(loss_and_gradients(weights, small, *batch)[1]) for batch in batches]
    G2, S = signal_and_chance(gradients)
    scales[name] = S / G2
    four = [signal_and_chance(gradients[i::4]) for i in range(4)]  # each from a quarter
    spread[name] = [chance / signal for signal, chance in four]
    shares[name] = np.array([G2 / squared_length(gradients, n) for n in sizes])
show.curves(b * sizes, shares, ("tokens in the batch", "signal, as a share of |g|²"), log="x")
for name, scale in scales.items():
    low, high = min(spread[name]), max(spread[name])
    print(f"{name}: noise scale {scale:,.0f} tokens (quarters: {low:,.0f} to {high:,.0f})")

# %% [markdown] key="batch-read"
# {{ claim: min(spread["after 100 steps"]) > 5 * max(spread["fresh weights"]) }}
# The one that has learned. At first the gradient of {{ scales["fresh weights"] :,.0f }} tokens is half signal; a hundred steps later
# it takes {{ scales["after 100 steps"] :,.0f }}, {{ scales["after 100 steps"] / scales["fresh weights"] :.0f }} times as many, perhaps because every text says that some tokens are frequent,
# while what is left to learn is said by few. Of a batch of {{ b :, }} tokens, as in these hundred steps, {{ shares["after 100 steps"][0] :.0% }} is then signal. That is not wrong: far below the
# noise scale twice the batch saves nearly half of the steps, far above it hardly any (McCandlish et al., section 2). **A model that has learned more
# needs a larger batch**, which they found in many models. The batches of Llama 3
# 405B grew during the run from 4 to 16 million tokens ([Llama team 2024](https://arxiv.org/abs/2407.21783), section 3.4.1).

# %% [markdown] key="parts-why"
# ## Step 2. A batch in parts
#
# The backward pass needs the activations of all tokens of a batch ([lesson 15](15_backward.ipynb)), and no processor holds
# those of a large model's batch. But the loss is a mean, and the gradient of a mean is the mean of the gradients. So the batch goes
# through in equally long parts, one after another or on several machines, and their gradients are averaged: **gradient
# accumulation**, and across machines **data parallelism**.

# %% key="parts" tags=["timing"]
import tracemalloc

ids, targets = stream.batch(0, 16 * T, T)  # 16 rows


def in_parts(n_rows):
    """The gradient of all 16 rows, so many at a time, and the most memory used on the way, in MB."""
    tracemalloc.start()
    total = None
    for i in range(0, 16, n_rows):
        part = slice(i, i + n_rows)
        _, g = loss_and_gradients(young, small, ids[part], targets[part])
        total = flat(g) if total is None else total + flat(g)
    most = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return total / (16 / n_rows), most


found = {n: in_parts(n) for n in (16, 4, 1)}
agree(found[1][0], found[16][0])
memory = {n: most for n, (_, most) in found.items()}
table(
    ["rows at once", "parts", "most memory"],
    [[n, 16 // n, f"{m:.0f} MB"] for n, m in memory.items()],
)

# %% [markdown] key="parts-read"
# {{ claim: memory[16] > 8 * memory[1] }}
# The same gradient, from {{ memory[1] :.0f }} MB instead of {{ memory[16] :.0f }}. Each additional row costs {{ (memory[16] - memory[4]) / 12 :.0f }} MB; the gradient itself and the sum take
# {{ 8 * small.count_parameters() / 1e6 :.0f }} MB together, however large the batch is. So memory is no reason for a small batch; it only costs time. The sum is kept in float32 here, and in the training of Llama 3 as well (section 3.3.2). (With parts of *unequal* length the plain mean is wrong, as [lesson 15](15_backward.ipynb) shows.)

# %% [markdown] key="bits-why"
# ## Step 3. Sixteen bits
#
# A float32 has one bit for the sign, 8 for a power of two, the **exponent**, and 23 for the digits after the point, the **mantissa**. For
# **bfloat16** one keeps the upper half and rounds: the full exponent, and 7 bits of mantissa. **float16** has 5 and 10.
# To round to the nearest, add half of what the lower half can hold and cut it off: `0x7FFF` is one less than this half, and the
# last bit that stays makes up for it where it is 1, so that a number in the very middle goes to the neighbour that ends in 0.


# %% key="bits"
from weights_tools.lazy_matrix import narrow_bf16, widen_bf16

UPPER = np.uint32(0xFFFF0000)


def to_nearest(x):
    """Every number of x as the nearest bfloat16, in a float32 whose lower half is empty."""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & UPPER).view(np.float32)


w = flat(young)
agree(to_nearest(w), widen_bf16(narrow_bf16(w)), tolerance=0)
up = w[w.view(np.uint32) & 0x8000 > 0][:1]  # one whose lower half is at least half full
for name, x in {"float32": up, "bfloat16": to_nearest(up)}.items():
    bits = f"{x.view(np.uint32)[0]:032b}"
    print(f"{name:9} {bits[0]} {bits[1:9]} {bits[9:16]} {bits[16:]}   {x[0]:.9f}")

# %% key="range"
g = flat(loss_and_gradients(young, small, *stream.batch(200, 8 * T, T))[1])
g = g[g != 0]
half = g.astype(np.float16)
measured = {
    "bfloat16": (to_nearest(g), to_nearest(w)),
    "float16": (half.astype(np.float32), w.astype(np.float16).astype(np.float32)),
}
away = {name: np.mean(d == 0) for name, (d, _) in measured.items()}
coarse = np.mean(np.abs(g) < np.finfo(np.float16).smallest_normal)
error = {name: np.median(np.abs(x / w - 1)) for name, (_, x) in measured.items()}
rows = [[n, f"{error[n]:.2%}", f"{away[n]:.2%}"] for n in measured]
table(["", "relative error of a weight, median", "gradients that become 0"], rows)
print(f"and {coarse:.0%} of the gradients have fewer digits in float16 than it promises")

# %% [markdown] key="range-read"
# {{ claim: away["bfloat16"] == 0 < away["float16"] and error["bfloat16"] > 4 * error["float16"] and coarse > 0.2 }}
# float16 is the more exact, but its smallest numbers are not small: {{ away["float16"] :.2% }} of the gradients become zero, and {{ coarse :.0% }}
# lie so near to it that digits are missing. It was used nevertheless, by multiplying the loss by a large number first
# (**loss scaling**, [Micikevicius et al. 2017](https://arxiv.org/abs/1710.03740)). bfloat16 reaches as far as float32 and pays in digits, with a typical error of {{ error["bfloat16"] :.2% }}
# in a weight. Does that matter for the loss?

# %% key="rounded-loss"
unseen = Stream(held_out, 0).batch(0, 16 * T, T)


def loss_of(weights):
    return loss_and_gradients(weights, small, *unseen)[0]


begin = young.map(to_nearest)
exact, rounded = loss_of(young), loss_of(begin)
print(f"loss on held-out stories: {exact:.5f} in float32, {rounded:.5f} in bfloat16")

# %% [markdown] key="step-why"
# {{ claim: abs(exact - rounded) < 0.002 }}
# It does not: for the loss of this model eight significant bits are enough. (Only the weights are rounded here. A graphics card also
# rounds what is multiplied with them, and keeps the sums in float32.)
#
# ## Step 4. The step that vanishes
#
# Learning is another matter. Near 0.1 the next bfloat16 is {{ np.spacing(np.float32(0.1)) * 2**16 :.5f }} away. **Predict before you run:** what becomes of a weight of 0.1 in a
# step of 0.0001? And at Llama 3 405B's highest rate, 0.00008
# (section 3.4.1), which share of our weights would move at all? AdamW's means are filled by nineteen batches at the rate 0; then we
# take its direction and look.

# %% key="still"
tenth = to_nearest(np.float32([0.1]))
after = to_nearest(tenth - np.float32(0.0001))
print(f"0.1 as bfloat16: {tenth[0]:.8f}; after a step of 0.0001: {after[0]:.8f}")
moved = begin.map(np.copy)
optimizer = AdamW(moved)
for step in range(20):
    _, gradients = loss_and_gradients(moved, small, *stream.batch(200 + step, 4 * T, T))
    optimizer.step(moved, gradients, rate=0.0 if step < 19 else 1.0)
w = flat(begin)
direction = flat(moved) - w
rates = 10 ** np.linspace(-6, -1, 41)
still = {r: np.mean(to_nearest(w + np.float32(r) * direction) == w) for r in (*rates, 8e-5, 1e-2)}
line = {"weights that stand still": np.array([still[r] for r in rates])}
show.curves(rates, line, ("rate", "share of all weights"), log="x")
goes = to_nearest(w + np.float32(8e-5) * direction) != w
sizes_of = [np.median(np.abs(w[which])) for which in (goes, ~goes)]
print(
    f"at 0.00008: {still[8e-5]:.0%} stand still; at 0.01, the rate of lesson 16: {still[1e-2]:.0%}"
)
print(
    f"median size at 0.00008: {sizes_of[0]:.4f} of those that move, {sizes_of[1]:.4f} of the others"
)

# %% [markdown] key="still-read"
# {{ claim: still[8e-5] > 0.8 > 0.3 > still[1e-2] }}
# The step from 0.1 ends nearest to where it began, so the weight is rounded back, and in the next step again. At 0.00008
# {{ 1 - still[8e-5] :.0% }} would move, nearly all of them small weights, whose neighbours are nearer. {{ claim: sizes_of[0] < sizes_of[1] / 5 }} At lesson 16's highest rate it would be
# {{ 1 - still[1e-2] :.0% }}, but its rates end at zero. (Llama's own weights and gradients have other sizes than ours, so that its share
# would be another.)
#
# The usual way out is to keep the weights twice. **Master weights** in float32 take the steps, and rounded copies of them go into the
# products: **mixed precision** (Micikevicius et al.). But here is another one. Suppose that the weights are kept in bfloat16 alone, and
# rounded *at random*: a number a tenth of the way to its upper neighbour goes up in one case of ten. That is **stochastic
# rounding**.

# %% [markdown] key="ways-why"
# ## Experiment: to learn while standing still
#
# Our model goes on for forty steps at a fixed rate, and again with the stories in two other orders. Four ways: everything in
# float32, the control; weights in bfloat16 with master weights; in bfloat16 alone, rounded to the nearest; and in bfloat16 alone, rounded at random.
# Gradients and Adam's means stay in float32.
#
# **Predict before you run:** at the rate 0.0001, how much of float32's gain does each of the other three keep?


# %% key="ways-tools"
def at_random(x, dice):
    """bfloat16 again: a random number in place of the half decides whether to round up."""
    lots = dice.integers(0, 2**16, x.shape, dtype=np.uint32)
    return ((x.view(np.uint32) + lots) & UPPER).view(np.float32)


def go_on(rate, seed, kept=lambda w: w, used=lambda w: w):
    """The gain of 40 steps on held-out stories, and the share of weights that stood still in a step.

    kept: how weights are stored after each step; used: how they come into the products.
    """
    weights, order, still = begin.map(np.copy), Stream(documents, seed), []
    optimizer = AdamW(weights)
    for step in range(40):
        batch = order.batch(step, 4 * T, T)
        _, gradients = loss_and_gradients(weights.map(used), small, *batch)
        clip_by_global_norm(gradients, 1.0)
        before = flat(weights)
        optimizer.step(weights, gradients, rate)
        for _, array in weights.named():
            array[...] = kept(array)
        still.append(np.mean(flat(weights) == before))
    return rounded - loss_of(weights.map(used)), np.mean(still)


# %% key="ways" tags=["timing"]
dice = np.random.default_rng(0)
ways = {
    "float32": {},
    "master weights": {"used": to_nearest},
    "to the nearest": {"kept": to_nearest},
    "at random (stochastic)": {"kept": lambda x: at_random(x, dice)},
}
gained, stood, rows = {}, {}, []
for rate in (1e-4, 1e-3):
    for name, way in ways.items():
        gains, stills = np.array([go_on(rate, seed, **way) for seed in (1, 2, 3)]).T
        gained[name, rate], stood[name, rate] = gains, stills.mean()
        part = gains / gained["float32", rate]
        rows.append([
            rate, name, " ".join(f"{gain:.4f}" for gain in gains),
            f"{part.min():.0%} to {part.max():.0%}", f"{stills.mean():.0%}",
        ])  # fmt: skip
table(["rate", "way", "gains, three orders", "of float32's", "stand still in a step"], rows)
part = {key: gains / gained["float32", key[1]] for key, gains in gained.items()}
nearest, lots, masters = (
    ("to the nearest", 1e-4),
    ("at random (stochastic)", 1e-4),
    ("master weights", 1e-4),
)

# %% [markdown] key="ways-read"
# {{ claim: part[nearest].max() < 0.5 and abs(part[masters] - 1).max() < 0.05 and abs(part[lots] - 1).max() < 0.1 }}
# {{ claim: stood[lots] > 0.7 and part["to the nearest", 1e-3].min() > part[nearest].max() }}
# {{ claim: abs(part["at random (stochastic)", 1e-3] - 1).max() < 0.1 }}
# Rounded to the nearest, the model keeps {{ part[nearest].mean() :.0% }} of the gain at the small rate, and {{ part["to the nearest", 1e-3].min() :.0% }} to {{ part["to the nearest", 1e-3].max() :.0% }} at the one ten times
# as large. With master weights it keeps {{ part[masters].min() :.0% }} to {{ part[masters].max() :.0% }}, measured with their rounded copies: the weights need no more digits in the products, only in the sum of the steps.
#
# And at random? In each step {{ stood[lots] :.0% }} of the weights stand still, instead of {{ stood[nearest] :.0% }}, and yet
# {{ part[lots].min() :.0% }} to {{ part[lots].max() :.0% }} of the gain is there, from the same sixteen bits. Rounding to the nearest makes the same mistake every time, so that
# mistakes add up; rounding at random makes one in all directions, and over many weights and steps they cancel. **It is not
# the size of an error that stops the learning, but that it always points back.** In other networks the same has been found
# ([Zamirai et al. 2020](https://arxiv.org/abs/2010.06192)).
#
# What does mixed precision save, then? Not the memory for weights:

# %% key="bytes"
kinds = ["weight", "gradient", "master weight", "Adam's m", "Adam's v"]
of = {
    "float32": [4, 4, 0, 4, 4],
    "mixed precision": [2, 2, 4, 4, 4],
    "at random, here": [2, 4, 0, 4, 4],
}
table(["bytes for each weight", *kinds, "sum"], [[n, *each, sum(each)] for n, each in of.items()])

# %% [markdown] key="bytes-read"
# Mixed precision with gradients of sixteen bits takes {{ sum(of["mixed precision"]) }} bytes for each weight, exactly as many as float32, and {{ sum(of["mixed precision"]) + 2 }} if they are added up in float32, as in step 2 ([Rajbhandari et al.
# 2019](https://arxiv.org/abs/1910.02054), section 3.1). It pays because activations of sixteen bits take half of the memory, and because
# graphics cards multiply such numbers faster (Micikevicius et al.).
#
# ## What comes next
#
# Back to the main road: [lesson 17](17_fine_tuning.ipynb), in which the doll-house learns to answer. The code of this
# page: `weights_tools/lazy_matrix.py` for bfloat16, `llama_np/training/optimizer.py` for AdamW.
