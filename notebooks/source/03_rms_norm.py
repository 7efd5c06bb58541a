# %% [markdown] key="title"
# # 03 RMS norm: every row at the same size
#
# Before anything in this model reads the stream, every row of it is divided by one number, its own size. That
# looks like housekeeping, because the division moves no information and computes nothing new. What becomes of
# *Once upon a time, there was a little girl named* if we divide by the average size of all rows instead, so
# that the scale is right and only the *row by row* is missing? The last section does it. On the way you meet
# the smallest step of a Llama, **RMS norm**, short for root mean square normalisation.
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
# The mean of its numbers will not do, since positive and negative ones cancel. So square every number, take
# the mean of the squares, and take the root, to be back at the scale of the numbers themselves. That is the
# **root mean square**, in short RMS, where $x_i$ is the number in column $i$ of a row $x$:
#
# $$\mathrm{RMS}(x) = \sqrt{\frac{1}{D} \sum_{i=1}^{D} x_i^2}$$

# %% [markdown] key="size-all-why"
# For all rows at once the mean goes along the last axis, `axis=-1`. With `keepdims=True` that axis stays, with
# length 1, so that the result is a column, one number for each row, by which NumPy can later divide each row.


# %% key="size-all-rows"
def sizes_of(rows):
    return np.sqrt((rows**2).mean(axis=-1, keepdims=True))  # T D -> T 1


print("sizes", sizes_of(x).shape, *sizes_of(x).ravel().round(3))
agree(sizes_of(x)[-1, 0], np.linalg.norm(x[-1]) / np.sqrt(config.dim))

# %% [markdown] key="way-why"
# The rows of the embedding are all of about one size, {{ sizes_of(x).mean() :.2f }}. So what is there to
# normalise? **Predict before you run:** what happens to the size of a row on its way through the blocks, each of
# which adds something to it?
#
# The curves show the smallest, the mean and the largest row of the stream after each block, and the mean size
# of what that block has added.

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
# embedding wrote makes up {{ stream[0].mean() / stream[-1].mean() :.1% }} of what is there in the end. That is why
# lesson 02 could take it out without harm. And the rows differ among themselves: at the end the largest, of
# `{{ labels[stream[-1].argmax()] }}`, is {{ stream[-1].max() / stream[-1].min() :.1f }} times as large as the
# smallest. A matrix that reads the stream late gets rows of quite another size than one that reads it early,
# and so do two tokens in the same block. But what a row *says* lies in its numbers relative to one another.
# The lowest curve is the strangest, because the last blocks add much more than the middle ones: it will
# take us until step 6 to see why they have to.

# %% [markdown] key="divide-why"
# ## Step 2. Divide each row by its size
#
# That is the heart of the norm. A row divided by its own root mean square has root mean square 1. Its numbers
# keep their signs and their proportions, so the row keeps its **direction** and loses its length. With `D` = 2
# one can draw it, a row being an arrow.
#
# **Predict before you run:** where do the arrows end after the division?

# %% key="divide-by-hand"
divided = x / sizes_of(x)  # T D / T 1 -> T D
print("before", *sizes_of(x).ravel().round(2))
print("after ", *sizes_of(divided).ravel().round(2))
four = np.array([[0.5, 0.2], [2.0, 0.8], [-0.4, 1.6], [-1.0, -1.4]])
show.arrows(
    {"four rows of two numbers": four, "each divided by its size": four / sizes_of(four)}, "abcd"
)

# %% [markdown] key="divide-note"
# On a circle. The rows *a* and *b* point the same way, and *b* is four times as long; afterwards they are one
# and the same. Whatever a model wants to remember about a token, it cannot keep it in the length of a row. The
# circle's radius is not 1 but $\sqrt{D}$: the *mean* of the squares is 1, so their sum is $D$.

# %% [markdown] key="weight-why"
# ## Step 3. A volume knob for each column
#
# Column $d$ of the result is then multiplied by a learned number $w_d$, the same for every row. The vector $w$
# is the norm's **weight**, often called its gain. It starts as all ones, and each norm of the model has its
# own. As it is the same for all tokens, it cannot bring back what the division took away. But it can make a
# reader hear the whole stream louder or softer, and the RMS of $w$ says how loud.


# %% key="weight-picture"
def loudness(weight):
    return float(np.sqrt((weight**2).mean()))


heard = {
    "attention": np.array([loudness(layer.attn_norm) for layer in weights.layers]),
    "feed-forward": np.array([loudness(layer.ffn_norm) for layer in weights.layers]),
}
show.curves(
    passed[:-1], heard, ("block", "RMS of the norm's weight"), title="how loud each step reads"
)
quietest = int(heard["attention"].argmin())
blocks = range(config.n_layers)
written = np.array([sizes_of(trace[f"blocks.{i}.attn_out"]).mean() for i in blocks])
order, half = np.argsort(heard["attention"]), config.n_layers // 2
softer, louder = written[order[:half]].mean(), written[order[-half:]].mean()
print(f"softest: block {quietest} reads at {heard['attention'][quietest]:.3f}", end=", ")
print(f"its attention adds {written[quietest]:.4f}, the whole block {added[quietest]:.3f}")
print(f"the softer half of all blocks: attention adds {softer:.2f}, the louder half {louder:.2f}")

# %% [markdown] key="weight-note"
# {{ claim: heard["attention"][quietest] < np.median(heard["attention"]) and louder > softer }}
# {{ claim: written[quietest] < np.median(written) }}
# Training has used the knobs. In block {{ quietest }}, rows that were brought to size 1 a moment before are turned
# down to {{ heard["attention"][quietest] :.2f }}. From rows so small come small scores and small values, and so its
# attention adds only {{ written[quietest] :.3f }} to the stream, where the median block's adds
# {{ np.median(written) :.2f }}. It is the same over all blocks: the half that reads softer adds {{ softer :.2f }} on
# average, the half that reads louder {{ louder :.2f }}. A model can turn a whole step down, or off, with this one
# vector.

# %% [markdown] key="eps-why"
# ## Step 4. Epsilon, inside the root
#
# A row of zeros has size 0, and 0 divided by 0 is not a number. So a tiny number $\epsilon$ (epsilon), which
# comes from the config, is added to the mean of the squares, **inside** the root:
#
# $$\mathrm{norm}(x)_d = \frac{x_d}{\sqrt{\frac{1}{D}\sum_{i} x_i^2 + \epsilon}} \; w_d$$
#
# The paper's formula has none ([Zhang and Sennrich 2019](https://arxiv.org/abs/1910.07467), equation 4); Meta's
# code puts it here ([`RMSNorm`](https://github.com/meta-llama/llama3/blob/main/llama/model.py)). The place
# matters, because inside the root it is compared with a *square*.

# %% key="eps-here"
eps = config.norm_eps
smallest = stream.min()
rows = []
for size in (smallest, np.sqrt(eps), eps, 0.0):
    inside, outside = size / np.sqrt(size**2 + eps), size / (size + eps)
    rows.append([f"{size:.2g}", f"{inside:.4f}", f"{outside:.4f}"])
table([f"size before, with eps = {eps:g}", "after, inside the root", "after, outside"], rows)

# %% [markdown] key="eps-note"
# {{ claim: smallest > 5 * np.sqrt(eps) }}
# A row of size $\sqrt{\epsilon}$ comes out at $1/\sqrt{2}$, and a smaller one stays small instead of being blown
# up to 1. Outside the root, the same $\epsilon$ would be felt only by rows {{ eps ** -0.5 :.0f }} times smaller than
# these. For the stream of this model it hardly matters: its smallest row, the first line of the table, is
# {{ smallest / np.sqrt(eps) :.0f }} times as large as $\sqrt{\epsilon}$.
#
# That is the whole step: by hand two lines, and in the library a few more, because `vecdot` multiplies each row
# by itself without a table of squares in between, and `wide` is float32 whatever the rows come in.

# %% key="norm-agree"
from llama_np import rms_norm

layer = weights.layers[0]
mean_square = (x**2).mean(axis=-1, keepdims=True)
normed = x / np.sqrt(mean_square + eps) * layer.attn_norm
agree(normed, rms_norm(x, layer.attn_norm, eps))
agree(normed, trace["blocks.0.attn_norm"])
source(rms_norm)

# %% [markdown] key="precision-why"
# Why float32? Llama's files hold **bfloat16**, a float32 with its lower 16 bits cut off, which keeps 8 binary
# digits. **Predict before you run:** a row of 4,096 ones has root mean square 1. What comes out if the running sum
# of the squares is kept in bfloat16?


# %% key="precision"
def bfloat16(number):
    return (np.array(number, np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)


total = np.float32(0)
for _ in range(4096):
    total = bfloat16(total + 1)
print("sum of 4096 ones:", float(total), " RMS:", float(np.sqrt(total / 4096)))

# %% [markdown] key="precision-note"
# At {{ total :.0f }} the next 1 is too small to change a number of 8 digits, and the sum stands still. The row
# would come out {{ np.sqrt(4096 / total) :.0f }} times too large, and no error would be raised. So Meta's code widens
# first (`x.float()`), as `rms_norm` does, and the same care is taken in the softmax and with the logits.

# %% [markdown] key="layernorm-why"
# ## Step 5. Beside LayerNorm
#
# GPT-2 and other transformers before Llama use **LayerNorm** ([Ba, Kiros and Hinton
# 2016](https://arxiv.org/abs/1607.06450)), which subtracts the mean of the row before it divides. (It also has
# a learned bias; we leave weight and bias out.)
#
# **Predict before you run:** what does LayerNorm make of the four arrows, and why?


# %% key="layernorm-by-hand"
def layer_norm(rows, eps):
    centred = rows - rows.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)


no_weight = np.ones(config.dim, np.float32)
agree(layer_norm(x, eps), rms_norm(x - x.mean(axis=-1, keepdims=True), no_weight, eps))
show.arrows({"RMS norm": four / sizes_of(four), "LayerNorm": layer_norm(four, 0)}, "abcd")

# %% [markdown] key="layernorm-note"
# LayerNorm is RMS norm of the centred row, as the first line proves. Subtracting the mean takes out of a row
# whatever lies along the direction in which all columns are equal, the diagonal of the picture. In two
# dimensions only the other diagonal is left, and so *a*, *b* and *d* have become the same arrow, although *d*
# pointed almost the opposite way. With `D` columns it is one direction out of `D`. How much do the rows of this
# model lose?

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
# About as much as random rows would, since the mean of $D$ random numbers is of the order of $1/\sqrt{D}$; and the
# wider the model, the less that is. Centring would take out next to nothing, and Zhang and Sennrich find that
# models learn as well without it. What is saved is one of two means and one of two learned vectors. Llama has
# used RMS norm from the first version on ([Touvron et al. 2023](https://arxiv.org/abs/2302.13971)).

# %% [markdown] key="place-why"
# ## Step 6. The norm reads a copy, and so later blocks must shout
#
# Each norm makes a *copy* for its reader. What attention computes from the copy is added to the stream as it
# was, which is called **pre-norm**. In the first transformer the norm was in the stream itself, after each
# addition; with the norm before each reader, deep models are easier to train
# ([Xiong et al. 2020](https://arxiv.org/abs/2002.04745)).

# %% key="place-agree"
agree(x + trace["blocks.0.attn_out"], trace["blocks.0.resid_mid"])

# %% [markdown] key="louder-why"
# It follows that nobody in the model can hear how large the stream is, since every reader gets rows of size 1.
# **Predict before you run:** after some block we multiply the whole stream by 10, once, or by 0.1. Every norm
# gives the same as before. Does the prediction change? We measure the loss of lesson 02 on the beginnings of
# 20 stories, for some places from the embedding to the last block.

# %% key="louder"
from llama_np import log_softmax, patch
from weights_tools.training.corpus import STORIES, read_documents

texts = [np.array(tokenizer.encode(text, bos=True)[:41]) for text in read_documents(STORIES)[:20]]


def loss(logits, text):
    scores = log_softmax(logits[:-1])
    return -scores[np.arange(len(text) - 1), text[1:]].mean()


def loss_scaled(name, factor):
    taps = patch({name: lambda rows: rows * np.float32(factor)})
    return np.mean([loss(forward(weights, config, text, tap=taps), text) for text in texts])


places = sorted({0, 1, *range(4, config.n_layers, 4), config.n_layers - 2, config.n_layers})
scaled = {f"times {f}": np.array([loss_scaled(names[p], f) for p in places]) for f in (10, 0.1)}
usual = np.array([loss(forward(weights, config, text), text) for text in texts])
scaled["as it is"] = np.full(len(places), usual.mean())
show.curves(
    np.array(places), scaled, ("blocks passed when the stream is multiplied", "loss"),
    title="one multiplication, at one place",
)  # fmt: skip

# %% [markdown] key="louder-note"
# {{ claim: max(abs(scaled[k][-1] - usual.mean()) for k in ("times 10", "times 0.1")) < 0.05 }}
# {{ claim: scaled["times 10"].max() > usual.mean() + 0.5 and scaled["times 0.1"].max() > usual.mean() + 0.5 }}
# At the very end it changes nothing, as it must, because only the last norm is still to come. In between it does
# great harm, up to a loss of {{ scaled["times 10"].max() :.1f }} and of {{ scaled["times 0.1"].max() :.1f }}, where the
# usual one is {{ usual.mean() :.2f }}. *Readers* cannot hear the size of the stream, but *writers* feel it. In a stream
# ten times as large, all that the later blocks add is ten times too quiet beside what is there; in one ten times
# smaller, they drown out what the earlier blocks have found. And this is why the curves of step 1 rise: whoever
# writes to a stream that has grown must write louder to be heard, and the last blocks write loudest of all.

# %% [markdown] key="without-why"
# ## Step 7. The right scale, but not row by row
#
# Now the question of the beginning. The model's own loop is written out below with one hole in it, `norm`, which
# will be filled in several ways, while everything else stays (`attention` and `swiglu` are taken apart in lessons
# [04](04_single_head_attention.ipynb) to [08](08_feed_forward.ipynb)). To begin with, each row is divided by its own
# size, and the result must be that of `forward`.

# %% key="without-loop"
from llama_np import attention, causal_mask, rope_frequencies, rope_rotations, swiglu

frequencies = rope_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)


def run(ids, norm):
    positions = np.arange(len(ids))
    rotations = rope_rotations(positions, frequencies)
    mask = causal_mask(positions, positions)
    stream = [weights.embedding[ids]]
    for i, layer in enumerate(weights.layers):
        y = stream[-1]
        y = y + attention(norm(y, i, "attention") * layer.attn_norm, layer, config, rotations, mask)
        read = norm(y, i, "feed-forward") * layer.ffn_norm
        stream.append(y + swiglu(read, layer.w_gate, layer.w_up, layer.w_down))
    return stream, norm(stream[-1], config.n_layers, "last") * weights.norm @ weights.output


def by_own_size(rows, block, reader):
    return rows / np.sqrt((rows**2).mean(axis=-1, keepdims=True) + eps)


agree(run(ids, by_own_size)[1], logits)

# %% [markdown] key="without-mean-why"
# Now two ways of dividing by a mean. The first takes the mean size of all rows *of this text at this place*, anew
# each time, so that the rows have size 1 on average, whatever happens. The second divides by a constant for each
# place, the mean size that rows have there in the healthy model.
#
# **Predict before you run:** does the model survive the first, or the second? And where is the division row by
# row needed most: before attention, before feed-forward, or at the end?

# %% key="without-mean"
healthy = {}


def noting(rows, block, reader):
    healthy.setdefault((block, reader), []).append(sizes_of(rows).mean())
    return by_own_size(rows, block, reader)


def by_mean(rows, block, reader):
    return rows / sizes_of(rows).mean()


def by_constant(rows, block, reader):
    return rows / np.mean(healthy[block, reader])


def not_in_blocks(rows, block, reader):
    return by_own_size(rows, block, reader) if reader == "last" else rows


def only_for(chosen):
    return lambda rows, block, reader: (by_mean if reader == chosen else by_own_size)(
        rows, block, reader
    )


ways = {
    "by its own size, as trained": noting,
    "by the mean size of all rows": by_mean,
    "... only before attention": only_for("attention"),
    "... only before feed-forward": only_for("feed-forward"),
    "... only at the end": only_for("last"),
    "by a constant for each place": by_constant,
    "not at all in the blocks": not_in_blocks,
}


# %% key="without-losses"
def judged(text, norm):
    """Loss and the stream's mean size after each block; without a number, as good as guessing."""
    with np.errstate(over="ignore", invalid="ignore"):
        stream, found = run(text, norm)
        sizes = [sizes_of(rows.astype(np.float64)).mean() for rows in stream]
    lost = loss(found, text) if np.isfinite(found).all() else np.log(config.vocab_size)
    return [lost, *sizes]


def best(logits):
    return f"`{tokenizer.token(int(np.nan_to_num(logits[-1]).argmax()))}`"


results = {way: np.array([judged(text, norm) for text in texts]) for way, norm in ways.items()}
says = {way: best(run(ids, ways[way])[1]) for way in list(ways)[:2]}
ends = {
    way: f"{found[:, -1].mean():.1f}" if np.isfinite(found).all() else "beyond all numbers"
    for way, found in results.items()
}
rows = [
    [way, f"{found[:, 0].mean():.2f} ± {found[:, 0].std():.2f}", ends[way]]
    for way, found in results.items()
]
rows.append(["guessing", f"{np.log(config.vocab_size):.2f}", ""])
rise = {
    reader: (results[way] - results["by its own size, as trained"])[:, 0].mean()
    for way, reader in zip(list(ways)[2:5], ("attention", "feed-forward", "last"))
}
table(["rows are divided", "loss", "size of the stream at its end"], rows)

# %% key="without-sizes"
lines = {way: results[way][:, 1:].mean(axis=0) for way in ways if way.startswith("by")}
lines = {way: np.where(sizes < 1e4, sizes, np.nan) for way, sizes in lines.items()}  # until then
show.curves(passed, lines, ("blocks passed", "mean RMS"), title="the size of the stream", log="y")

# %% [markdown] key="without-note"
# {{ claim: results["by the mean size of all rows"][:, 0].mean() > 2 * usual.mean() }}
# {{ claim: rise["feed-forward"] > rise["attention"] and rise["feed-forward"] > rise["last"] }}
# {{ claim: results["by a constant for each place"][:, 0].mean() > 2 * usual.mean() }}
# The scale is right, and the model is lost. With rows of size 1 on average at every single place, the loss is
# {{ results["by the mean size of all rows"][:, 0].mean() :.1f }} instead of {{ usual.mean() :.2f }}, and guessing has
# {{ np.log(config.vocab_size) :.1f }}. Our sentence, which went on with {{ says["by its own size, as trained"] }}, now goes
# on with {{ says["by the mean size of all rows"] }}. With constants that fit the healthy model nothing holds the
# stream at all, and its size at the end is {{ ends["by a constant for each place"] }}. (Without any division the
# blocks starve on rows of {{ stream[0].mean() :.1f }}, which says little, because then the scale is wrong, too.)
#
# The lines between say where. At the end, one mean for all rows costs {{ rise["last"] :.2f }}; before attention it
# costs {{ rise["attention"] :.2f }}; before feed-forward {{ rise["feed-forward"] :.2f }}. Why just there?
#
# **Predict before you run:** a row is four times as large as it should be. How much more does attention make of it,
# and how much more feed-forward?


# %% key="twice"
def grows(factor, block):
    """How much larger the result of each step is when it reads rows that are larger."""
    layer, positions = weights.layers[block], np.arange(len(ids))
    rest = config, rope_rotations(positions, frequencies), causal_mask(positions, positions)
    read = {kind: trace[f"blocks.{block}.{kind}_norm"] for kind in ("attn", "ffn")}
    steps = (
        lambda factor: attention(factor * read["attn"], layer, *rest),
        lambda factor: swiglu(factor * read["ffn"], layer.w_gate, layer.w_up, layer.w_down),
    )
    return [sizes_of(step(factor)).mean() / sizes_of(step(1)).mean() for step in steps]


for factor in (2, 4):
    larger = np.array([grows(factor, block) for block in blocks])
    for step, ratios in zip(("attention", "feed-forward"), larger.T):
        print(f"rows {factor} times as large, {step:12} {ratios.mean():5.1f} ± {ratios.std():.1f}")

# %% [markdown] key="without-answer"
# {{ claim: larger[:, 1].mean() > 1.5 * larger[:, 0].mean() and larger[:, 1].mean() > 10 }}
# Feed-forward answers with the *square*: rows four times as large bring back {{ larger[:, 1].mean() :.0f }} times as
# much. Attention stays at {{ larger[:, 0].mean() :.0f }} times, because whatever the scores are, it takes a mean of
# values, and these grow only as the row does; the rest comes from larger scores, which make a sharper mean.
# Feed-forward multiplies two products of the row with each other, gate and up ([lesson
# 08](08_feed_forward.ipynb)). So a row that is somewhat too large writes far too much, comes to the next block
# larger still, and runs away. A mean of all rows does not stop it, because it knows nothing of this one row.
# Dividing each row by its own size does: it caps what any row can write, in every block, whatever happened
# before. That is what the smallest step of the model is for, or at least what *this* model, which was trained
# with it, relies on.

# %% [markdown] key="next"
# ## What comes next
#
# The rows are ready to be read. [Lesson 04](04_single_head_attention.ipynb) takes the first reader apart, attention,
# one head of it. In the [exercise](exercises/03_rms_norm.ipynb) you write the norm and find a knob that somebody has
# turned. The code of this lesson is in `llama_np/norm.py`.
