# %% [markdown] key="title"
# # 03 RMS norm: every row at the same size
#
# Before anything in this model reads the stream of *Once upon a time, there was a little girl named*, every row of it is
# divided by one number, its own size. That looks like housekeeping. Would it do as well to divide all rows of a text by
# their *average* size, so that the scale is right, but every row gets the same one? The last section tries it, and then
# follows a single row that has the wrong size. On the way you meet the smallest step of a Llama, **RMS norm**, short for
# root mean square normalisation.
#
# In go `T` rows of `D` numbers, out comes a copy of the same shape in which every row has about the same size.
# The stream itself stays as it is. The rows are those of [lesson 02](02_embedding.ipynb), and there is an
# [exercise](exercises/03_rms_norm.ipynb). On the map three boxes are lit: two in every block, one at the end.

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from llama_np import forward, record
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["attn_norm", "ffn_norm", "norm"])

# %% key="sentence"
prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
trace = {}
logits = forward(weights, config, ids, tap=record(trace))  # keeps every named result on the way
x = trace["embedded"]
show.tokens(labels, ids)

# %% [markdown] key="size-why"
# ## Step 1. How large is a row?
#
# The mean of its numbers won't work, since positive and negative ones cancel. So square every number, take
# the mean of the squares, and take the root: the **root mean square**, in short RMS, where $x_i$ is the number in
# column $i$ of a row $x$:
#
# $$\mathrm{RMS}(x) = \sqrt{\frac{1}{D} \sum_{i=1}^{D} x_i^2}$$

# %% [markdown] key="size-all-why"
# The mean goes along each row, `axis=-1`. With `keepdims=True` that axis stays, with length 1, so that the
# result is a column, by which NumPy can later divide each row.


# %% key="size-all-rows"
def sizes_of(rows):
    return np.sqrt((rows**2).mean(axis=-1, keepdims=True))  # T D -> T 1


print("sizes", sizes_of(x).shape, *sizes_of(x).ravel().round(3))
agree(sizes_of(x)[-1, 0], np.linalg.norm(x[-1]) / np.sqrt(config.dim))

# %% [markdown] key="way-why"
# The rows of the embedding are all of about one size, {{ sizes_of(x).mean() :.2f }}. So what is there to
# normalise? **Predict before you run:** what happens to the size of a row on its way through the blocks, each of
# which adds something to it? The curves show the smallest, the mean and the largest row of the stream after each
# block, and the mean size of what that block has added.

# %% key="way"
names = ["embedded"] + [f"blocks.{i}.resid_out" for i in range(config.n_layers)]
stream = np.array([sizes_of(trace[name]).ravel() for name in names])  # blocks + 1, T
added = [sizes_of(trace[b] - trace[a]).mean() for a, b in zip(names, names[1:])]
passed = np.arange(config.n_layers + 1)
show.curves(
    passed,
    {
        "largest row": stream.max(axis=-1),
        "mean of all rows": stream.mean(axis=-1),
        "smallest row": stream.min(axis=-1),
        "what the block adds": np.array([np.nan, *added]),
    },
    ("blocks passed", "RMS"),
    title="the size of the stream's rows",
)

# %% [markdown] key="way-note"
# {{ claim: stream[-1].mean() > 10 * stream[0].mean() and stream[-1].max() > 1.5 * stream[-1].min() }}
# {{ claim: added[-1] > 2 * np.median(added) }}
# The stream grows from {{ stream[0].mean() :.2f }} to {{ stream[-1].mean() :.1f }}, so that the row which the
# embedding wrote makes up {{ stream[0].mean() / stream[-1].mean() :.1% }} of what is there in the end. And the
# rows differ among themselves: at the end the largest, of the `{{ labels[stream[-1].argmax()] }}` at place
# {{ stream[-1].argmax() }}, is {{ stream[-1].max() / stream[-1].min() :.1f }} times as large as the smallest. A matrix that
# read the stream as it is would get rows of one size near the bottom and of quite another near the top. The lowest curve, what each block
# adds, is the most uneven: {{ added[0] :.2f }} from the first, {{ np.median(added) :.2f }} from the median block, and
# {{ added[-1] :.2f }} from the last. Why, this page does not ask; [lesson 09](09_32_blocks.ipynb) comes back to the first.

# %% [markdown] key="divide-why"
# ## Step 2. Divide each row by its size
#
# A row divided by its own root mean square has root mean square 1. Its numbers keep their signs and their
# proportions, so the row keeps its **direction** and loses its length. With `D` = 2 one can draw it, a row
# being an arrow. Where do the arrows end after the division?

# %% key="divide-by-hand"
divided = x / sizes_of(x)  # T D / T 1 -> T D
print(f"sizes from {sizes_of(divided).min():.4f} to {sizes_of(divided).max():.4f}")
four = np.array([[0.5, 0.2], [2.0, 0.8], [-0.4, 1.6], [-1.0, -1.4]])
show.arrows(
    {"four rows of two numbers": four, "each divided by its size": four / sizes_of(four)}, "abcd"
)

# %% [markdown] key="divide-note"
# On a circle. The rows *a* and *b* point the same way, and *b* is four times as long; afterwards they are one
# and the same, so that the right-hand picture has a single arrow for both. No reader can learn anything from the
# length of a row. The circle's radius is not 1 but $\sqrt{D}$: the *mean* of the squares is 1, so their sum is $D$.

# %% [markdown] key="weight-why"
# ## Step 3. A volume knob for each column
#
# Column $d$ of the result is then multiplied by a learned number $w_d$, the same for every row. The vector $w$
# is the norm's **weight**, often called its gain. It starts as all ones, and each norm of the model has its own.
#
# The queries of lesson 00 are `divided * w` times the matrix `wq`. Could the model
# have the same queries without $w$?

# %% key="weight-folded"
layer = weights.layers[0]
w, wq = layer.attn_norm, np.asarray(layer.wq)
agree((divided * w) @ wq, divided @ (w[:, None] * wq))  # T D @ D Hq*K -> T Hq*K

# %% [markdown] key="weight-note"
# Yes, by another `wq`. Number $d$ of the copy is multiplied by $w_d$ and then meets row $d$ of the matrix, so
# $w_d$ may as well be multiplied into that row beforehand. All readers of the copy are matrices, which means
# that every $w$ of the model can be **folded** into those that follow and set to ones. For the same reason a
# small $w$ does not prove that a step reads softly, since the next matrix may undo what a knob has done.

# %% [markdown] key="eps-why"
# {{ claim: stream.min() > 5 * np.sqrt(config.norm_eps) }}
# ## Step 4. Epsilon, inside the root
#
# A row of zeros has size 0, and 0 divided by 0 is not a number. So a tiny number $\epsilon$ (epsilon), which
# comes from the config, is added to the mean of the squares, **inside** the root:
#
# $$\mathrm{norm}(x)_d = \frac{x_d}{\sqrt{\frac{1}{D}\sum_{i} x_i^2 + \epsilon}} \; w_d$$
#
# The paper's formula has none ([Zhang and Sennrich 2019](https://arxiv.org/abs/1910.07467), equation 4); Meta's
# code puts it here ([`RMSNorm`](https://github.com/meta-llama/llama3/blob/main/llama/model.py)). The place
# matters, because inside the root it is compared with a *square*: rows feel it when they are about as small as
# $\sqrt{\epsilon}$ = {{ config.norm_eps ** 0.5 :.4f }}, not $\epsilon$ = {{ config.norm_eps :.5f }}. The
# smallest row of this stream is {{ stream.min() / np.sqrt(config.norm_eps) :.0f }} times as large as that root.
#
# That is the whole step, two lines by hand. In the library `vecdot` takes the sum of the squares of each row,
# and `wide` is the row in float32 or wider, since in 16 bits such a sum would lose digits.

# %% key="norm-agree"
from llama_np import rms_norm

eps = config.norm_eps
normed = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps) * w
agree(normed, rms_norm(x, w, eps))
source(rms_norm)

# %% [markdown] key="layernorm-why"
# ## Step 5. Beside LayerNorm
#
# GPT-2 and most transformers before Llama use **LayerNorm** ([Ba, Kiros and Hinton
# 2016](https://arxiv.org/abs/1607.06450)), which subtracts the mean of the row before it divides. It also has a
# learned **bias**, a number for each column that is added at the end; we leave weight and bias out.
#
# What does it make of the four arrows?


# %% key="layernorm-by-hand"
def layer_norm(rows, eps):
    centred = rows - rows.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)


no_weight = np.ones(config.dim, np.float32)
agree(layer_norm(x, eps), rms_norm(x - x.mean(axis=-1, keepdims=True), no_weight, eps))
show.arrows({"RMS norm": four / sizes_of(four), "LayerNorm": layer_norm(four, 0)}, "abcd")

# %% [markdown] key="layernorm-note"
# LayerNorm is RMS norm of the centred row, as the first line shows. Subtracting the mean takes out of a row
# whatever lies along the direction in which all columns are equal, the diagonal of the picture. Only the other
# diagonal is left, and so *a*, *b* and *d* have become the same arrow, labelled *a*, although *d* pointed almost the
# opposite way. With `D` columns it is one direction out of `D`. How much do the rows of this model lose?

# %% key="layernorm-means"
halfway = config.n_layers // 2
shares = {}
for name in ("embedded", names[halfway], names[-1]):
    rows = trace[name]
    shares[name] = np.abs(rows.mean(axis=-1) / sizes_of(rows)[:, 0]).mean()
    print(f"{name:22} |mean| is {shares[name]:.3f} of the size")
by_chance = [np.sqrt(2 / np.pi / width) for width in (config.dim, 4096)]
print(f"random rows            {by_chance[0]:.3f}, with 4096 columns {by_chance[1]:.3f}")

# %% [markdown] key="layernorm-why-not"
# {{ claim: max(shares.values()) < 3 * by_chance[0] }}
# Little more than random rows would ({{ by_chance[0] :.3f }}), since the mean of $D$ random numbers is of the order of $1/\sqrt{D}$; and the
# wider the model, the less that is. Centring would take out little, and Zhang and Sennrich find that
# models learn as well without it. Llama has used RMS norm from the first version on ([Touvron et al.
# 2023](https://arxiv.org/abs/2302.13971)).

# %% [markdown] key="place-why"
# ## Step 6. The norm reads a copy, and what is written counts in proportion
#
# Each norm makes a *copy* for its reader. What attention computes from the copy is added to the stream as it
# was, which is called **pre-norm**. In the first transformer the norm was in the stream itself, after each
# addition; with the norm before each reader, deep models are easier to train
# ([Xiong et al. 2020](https://arxiv.org/abs/2002.04745)).
#
# It follows that nobody in the model can hear how large the stream is, since every reader gets rows of size 1.
# **Predict before you run:** after some block we multiply the whole stream by 10, once, or by 0.1. The next norm gives
# the same as before. Does the prediction change? We measure the mean **loss** of the first forty tokens of 20 stories,
# minus the logarithm of the probability that each token got, for some places from the embedding to the last block.

# %% key="louder"
from llama_np import log_softmax, patch
from weights_tools.training.heroes import read_stories

encoded = [tokenizer.encode(text, bos=True) for text in read_stories()]
texts = np.array([row[:41] for row in encoded if len(row) > 40][:20])  # 20 41


def losses(logits):  # -> the mean loss of each text
    scores = log_softmax(logits[:, :-1])
    return -np.take_along_axis(scores, texts[:, 1:, None], axis=-1)[..., 0].mean(axis=-1)


def losses_scaled(factors):
    """The losses when the stream is multiplied by these factors, each at the place it names."""
    taps = {name: (lambda rows, f=f: rows * np.float32(f)) for name, f in factors.items()}
    return losses(forward(weights, config, texts, tap=patch(taps)))


# %% key="louder-curves"
usual = losses_scaled({})
places = sorted({0, 1, *range(4, config.n_layers, 4), config.n_layers - 2, config.n_layers})
scaled = {
    f"times {f}": np.array([losses_scaled({names[p]: f}).mean() for p in places]) for f in (10, 0.1)
}
curves = scaled | {"as it is": np.full(len(places), usual.mean())}
show.curves(
    np.array(places), curves, ("blocks passed when the stream is multiplied", "loss"),
    title="one multiplication, at one place",
)  # fmt: skip

# %% [markdown] key="louder-note"
# {{ claim: max(abs(scaled[k][-1] - usual.mean()) for k in scaled) < 0.05 }}
# {{ claim: max(scaled[k][0] - usual.mean() for k in scaled) < 0.5 * (scaled["times 10"].max() - usual.mean()) }}
# {{ claim: scaled["times 10"].max() > usual.mean() + 0.5 and scaled["times 0.1"].max() > usual.mean() + 0.5 }}
# At the very end it changes nothing, as it must, because only the last norm is still to come, and it does
# little at the beginning, where block 0 adds far more than there is. In between it does great harm. The usual
# loss is {{ usual.mean() :.2f }}; times 10 raises it to as much as {{ scaled["times 10"].max() :.1f }}, and times 0.1 to
# {{ scaled["times 0.1"].max() :.1f }}, worse than guessing, {{ np.log(config.vocab_size) :.2f }}.
# {{ claim: scaled["times 0.1"].max() > np.log(config.vocab_size) }} *Readers* cannot hear the size
# of the stream, but *writers* feel it. In a stream ten times as large, all that the later blocks add is ten times too
# quiet beside what is there; in one ten times smaller, it drowns out what the earlier blocks have found.

# %% [markdown] key="without-why"
# ## Step 7. The right scale, but not row by row
#
# Now the question of the beginning. The model's own loop is written out below with two holes in it: `norm`, which
# says by what to divide, and `change`, which may change the stream before a block and for now does nothing.
# `attention` and `swiglu` are taken apart in lessons [04](04_single_head_attention.ipynb) to
# [08](08_feed_forward.ipynb). To begin with, each row is divided by its own size, as in `forward`.

# %% key="without-loop"
from llama_np import attention, causal_mask, rope_frequencies, rope_rotations, swiglu

frequencies = rope_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
positions = np.arange(texts.shape[1])
rotations, mask = rope_rotations(positions, frequencies), causal_mask(positions, positions)


def run(norm, change=lambda rows, block: rows):
    """The stream after each half of a block, a list of 20 T D, and the logits, 20 T V."""
    stream = [weights.embedding[texts]]
    for i, layer in enumerate(weights.layers):
        y = change(stream[-1], i)
        read = norm(y, i, "attention") * layer.attn_norm
        stream.append(y + attention(read, layer, config, rotations, mask))
        read = norm(stream[-1], i, "feed-forward") * layer.ffn_norm
        stream.append(stream[-1] + swiglu(read, layer.w_gate, layer.w_up, layer.w_down))
    return stream, norm(stream[-1], config.n_layers, "end") * weights.norm @ weights.output


def by_own_size(rows, block, reader):
    return rows / np.sqrt((rows**2).mean(axis=-1, keepdims=True) + eps)


agree(
    run(by_own_size)[1], forward(weights, config, texts), tolerance=1e-4
)  # rounded in another order

# %% [markdown] key="without-mean-why"
# Now all rows of a text are divided by their mean size at that place, anew each time, so that a row twice as large as
# the others is still twice as large after that. Each block has two norms, one before attention and one before
# feed-forward, and one more stands at the end.
#
# **Predict before you run:** if all the norms of one kind are exchanged, and then those of all kinds at once, will the
# harms add up? (In the table ± is the standard deviation over the texts.)


# %% key="without-losses"
def by_mean(rows, block, reader):
    return rows / sizes_of(rows).mean(axis=-2, keepdims=True)


def mean_only(chosen):
    def norm(rows, block, reader):
        return (by_mean if reader == chosen else by_own_size)(rows, block, reader)

    return norm


ways = {f"only before {kind}": mean_only(kind) for kind in ("attention", "feed-forward")}
ways |= {"only at the end": mean_only("end"), "everywhere": by_mean}
worse = {way: losses(run(norm)[1]) - usual for way, norm in ways.items()}
singly = sum(harm.mean() for way, harm in worse.items() if way != "everywhere")
rows = [["nowhere, as trained", f"{usual.mean():.2f}", ""]]
for way, each in worse.items():
    rows.append([way, f"{(usual + each).mean():.2f}", f"{each.mean():+.2f} ± {each.std():.2f}"])
rows.append(["the three added up", "", f"{singly:+.2f}"])
rows.append(["guessing", f"{np.log(config.vocab_size):.2f}", ""])
table(["one mean for all rows", "loss", "more than as trained"], rows)

# %% [markdown] key="without-note"
# {{ claim: worse["everywhere"].mean() > 0.5 and worse["everywhere"].mean() > 1.5 * singly }}
# They do not. The three costs sum to {{ singly :.2f }}, but all together cost
# {{ worse["everywhere"].mean() :.2f }}. So it matters that each row is divided by its *own* size. What does that do for
# a row? We follow a single one. After an eighth of the blocks we make one row in the middle of each text twice as large as it is,
# or half as large. As a control, every norm divides by a *stored* number instead, the size that its row has in
# the unchanged run, so that without our change both ways give exactly the same.
#
# **Predict before you run:** nothing in the model divides the *stream*. Will the row stay twice as large, come
# back, or grow, with the norms as they are and with stored sizes?


# %% key="bump"
start, place, stored = config.n_layers // 8, texts.shape[1] // 2, {}


def storing(rows, block, reader):
    stored[block, reader] = np.sqrt((rows**2).mean(axis=-1, keepdims=True) + eps)
    return rows / stored[block, reader]


def by_stored(rows, block, reader):
    return rows / stored[block, reader]


def follow(norm, factor):
    """One row of each text, times ``factor`` before a block and then after each half (halves, 20, D)."""

    def change(rows, block):
        rows = rows.copy()
        rows[:, place] *= np.float32(factor if block == start else 1)
        return rows

    with np.errstate(over="ignore", invalid="ignore"):
        stream, _ = run(norm, change)
    after = (rows[:, place] for rows in stream[2 * start + 1 :])
    return np.array([stream[2 * start][:, place] * factor, *after])


# %% key="bump-picture"
unchanged = follow(storing, 1)  # fills `stored`
norms = {"own size": by_own_size, "stored size": by_stored}
followed = {f"times {f}, {name}": follow(norm, f) for f in (2, 0.5) for name, norm in norms.items()}
followed["times 2, summed"] = unchanged + unchanged[0]


def beside_usual(rows, usual):
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nan_to_num(sizes_of(rows) / sizes_of(usual), nan=np.inf)[..., 0]  # blocks 20


sizes = {name: beside_usual(rows[::2], unchanged[::2]) for name, rows in followed.items()}
added = {
    n: beside_usual(np.diff(r, axis=0), np.diff(unchanged, axis=0)) for n, r in followed.items()
}
by_attention, by_feed_forward = (
    {name: np.median(each[half::2]) for name, each in added.items()} for half in (0, 1)
)
lines = {name: np.median(each, axis=-1) for name, each in sizes.items()}
ends = {name: line[-1] for name, line in lines.items()}
lines = {name: np.where(line < 4, line, np.nan) for name, line in lines.items()}
title = "a row that was changed once: median of 20 texts"
show.curves(passed[start:], lines, ("blocks passed", "times as large as usual"), title=title)

# %% key="bump-table"
rows = []
for name, each in sizes.items():
    with np.errstate(invalid="ignore"):  # in some models a row becomes infinite
        low, high = np.quantile(each[-1], (0.25, 0.75))
    by_half = f"{by_attention[name]:.2f}", f"{by_feed_forward[name]:.2f}"
    rows.append([name, f"{ends[name]:.2f}", f"{low:.2f} to {high:.2f}", *by_half])
header = ["", "in the end", "middle half of the texts"]
table([*header, "attention adds, times the usual", "feed-forward adds"], rows)

# %% [markdown] key="bump-note"
# {{ claim: ends["times 2, own size"] < 1.6 and ends["times 0.5, own size"] > 0.7 }}
# {{ claim: ends["times 2, stored size"] > 1.8 and ends["times 0.5, stored size"] < 0.6 }}
# {{ claim: all(0.8 < half["times 2, own size"] < 1.25 for half in (by_attention, by_feed_forward)) }}
# {{ claim: by_feed_forward["times 2, stored size"] > by_attention["times 2, stored size"] > 1.6 }}
# {{ claim: by_feed_forward["times 0.5, stored size"] < by_attention["times 0.5, stored size"] < 0.8 }}
# {{ claim: abs(ends["times 2, own size"] - ends["times 2, summed"]) < 0.2 }}
# {{ claim: abs(lines["times 2, stored size"][: config.n_layers // 2] - 2).max() < 0.7 }}
# Divided by its own size, the doubled row comes more than half of the way back, to {{ ends["times 2, own size"] :.2f }}
# times its usual size, and the halved one to {{ ends["times 0.5, own size"] :.2f }}. With stored sizes neither comes back.
# The halved one ends at {{ ends["times 0.5, stored size"] :.2f }}, and the doubled one stays twice as large until the last
# blocks, which add most, push it in the median to {{ ends["times 2, stored size"] :.1f }}; what is above 4 is not drawn. The texts differ widely
# in this: in a quarter of them the row ends {{ np.quantile(sizes["times 2, stored size"][-1], 0.75) :.0f }} times as large as usual or more.
#
# The last two columns say why. Divided by its own size a doubled row *reads* as always, and so each block *adds* what it always
# adds, {{ by_attention["times 2, own size"] :.2f }} and {{ by_feed_forward["times 2, own size"] :.2f }} times the usual in the median. Then the row should be nothing but the usual
# stream and one more copy of what was there when we doubled it. That sum needs no model, and it is the curve called
# *summed*: it ends at {{ ends["times 2, summed"] :.2f }}, and the model at {{ ends["times 2, own size"] :.2f }}. So nothing
# takes the error away. It stays as large as it was, and the stream outgrows it. With stored sizes a row twice as large
# also reads as twice as large, attention adds {{ by_attention["times 2, stored size"] :.1f }} and feed-forward {{ by_feed_forward["times 2, stored size"] :.1f }} times the usual, and the error grows with the
# stream; for half a row it is {{ by_attention["times 0.5, stored size"] :.2f }} and {{ by_feed_forward["times 0.5, stored size"] :.2f }}. Feed-forward goes further from the usual than attention both ways: it multiplies
# readings of this one row with each other, whereas attention also hands over what it reads in other rows, which are as they were.
#
# So the division does more than let readers hear every row alike. It makes what is *written* independent of how large
# a row has become, and errors of size fade. This holds for a model that was trained with its norms. GPT-2, trained
# further, has learned to do without them ([Heimersheim 2024](https://arxiv.org/abs/2409.13710)).

# %% [markdown] key="next"
# ## What comes next
#
# The rows are ready to be read. [Lesson 04](04_single_head_attention.ipynb) takes the first reader apart, attention,
# one head of it. In the [exercise](exercises/03_rms_norm.ipynb) you write the norm and find a knob that somebody has
# turned. The code of this lesson is in `llama_np/norm.py`.
