# %% [markdown] key="title"
# # 13 From GPT-2 to Llama: five replacements
#
# GPT-2 was published in 2019
# ([Radford et al.](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf)).
# A Llama is built on the same plan: embed the tokens, let blocks add to a residual stream, score every
# token of the vocabulary. Five parts of the plan have been replaced since. In this lesson you build GPT-2
# from parts that you know, count its parameters, and then replace the five parts one by one. Small training
# runs show what each is good for, or that it is good for nothing at this size.
#
# **In** go the ids of `T` tokens, as always. **Out** come logits, `T` rows of `V` numbers. Between them
# stands another model.
#
# After this lesson you can read the code or the config of a GPT-2 and say how it differs from a Llama, and
# why. You can say what changed from Llama 2 to Llama 3.2, and what Meta's "parallel" layers are. You need
# the parts of a block (lessons 03 to 08) and the logits (10).

# %% key="map"
import os

import numpy as np
from classroom import agree, show, source, table

from weights_tools import load_model

model = load_model()
show.model_map(model.config.n_layers, lit=["attn_norm", "attention", "ffn_norm", "feed_forward"])

# %% [markdown] key="same-note"
# The map above is that of a Llama, and it is also that of GPT-2. Both are **decoders**: every token sees
# itself and the tokens before it, and the model predicts what comes next. Neither has an encoder, a second
# stack of blocks that reads a whole text at once. The difference is inside the boxes:
#
# | part | in GPT-2 | in Llama | lesson |
# | --- | --- | --- | --- |
# | norm | LayerNorm | RMSNorm | 03 |
# | where a token stands | a learned row for each place, added once | RoPE, in every block | 05 |
# | feed-forward | two linear layers, GELU between them | three, SwiGLU | 08 |
# | keys and values | as many heads as the queries have | fewer: grouped queries (in most Llamas) | 07 |
# | biases | one after every matrix of a block | none | 08 |

# %% [markdown] key="train-why"
# ## A GPT-2 to take apart
#
# The released models are large, so we train a small one now, for some seconds, on the stories that come
# with this project. Its tokenizer has half as many tokens as that of the doll-house, because in so small a model the
# embedding would else be most of the parameters. If you have a GPT-2 from
# [Hugging Face](https://huggingface.co/openai-community/gpt2), set the variable `LLAMA_GPT2` to its folder before you
# start, and steps 1 to 7 take that one apart instead.
#
# The table compares its sizes with those of the smallest GPT-2 that was released. A GPT-2 has no setting
# for the head width: it is `D` divided by the number of heads.
#
# The **loss** that is printed is measured on stories that are held out of training: minus the logarithm of
# the probability that the model gave to the token that really came, on average (lesson 10). Lower is
# better. How training works is the subject of lessons 15 and 16.

# %% key="train" tags=["timing"]
from itertools import islice

from weights_tools.training.ablation.replacements import gpt2_like, replacements
from weights_tools.training.ablation.study import STORIES, Text, train_one
from weights_tools.workers import one_blas_thread

text = Text(STORIES, context=gpt2_like(vocab_size=1).context_length)
start = gpt2_like(text.tokenizer.vocab_size)


def run(choices, steps=150, every=25):
    rows = []
    with one_blas_thread():
        for reached in islice(train_one(choices, text, seed=0, every=every), steps // every):
            rows.append(reached[1])
            print(f"step {rows[-1]['step']:3}: loss {rows[-1]['held_out_loss']:.2f}")
    return reached[0], rows


small, small_rows = run(start)

# %% key="gpt2"
from llama_np.gpt2.hybrid import as_gpt2
from llama_np.gpt2.weights import GPT2_SMALL
from weights_tools.formats.gpt2 import load_gpt2

if os.environ.get("LLAMA_GPT2"):
    config, weights, tokenizer, _ = load_gpt2(os.environ["LLAMA_GPT2"])
else:
    (weights, config), tokenizer = as_gpt2(small, start), text.tokenizer
D, K = config.dim, config.head_dim

prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt))
labels = [tokenizer.token(i) for i in ids]
show.tokens(labels, ids)

rows = {
    "width of the stream, D": "dim",
    "blocks": "n_layers",
    "heads": "n_heads",
    "width of a head, K": "head_dim",
    "feed-forward width, F": "ffn_width",
    "tokens in the vocabulary, V": "vocab_size",
    "places in the table of positions": "context_length",
}
table(
    ["", "in hand", "GPT-2 small"],
    [[name, f"{getattr(config, f):,}", f"{getattr(GPT2_SMALL, f):,}"] for name, f in rows.items()],
)


# %% [markdown] key="positions-why"
# ## Step 1. Learned positions
#
# Attention alone does not know which token came first. GPT-2 tells it at the very start: beside the table
# of tokens it has a table of **positions**, one learned row for place 0, one for place 1, and so on. The
# row of the token and the row of its place are added.

# %% key="positions-by-hand"
of_tokens = weights.embedding[ids]
of_places = weights.positions[: len(ids)]
embedded = of_tokens + of_places
print("tokens", of_tokens.shape, "+ places", of_places.shape, "-> stream", embedded.shape)
show.matrices(
    {"rows of the tokens": of_tokens, "rows of the places": of_places, "their sum": embedded},
    ("T", "D"),
    rows=labels,
    across=1,
)

# %% key="positions-named"
from llama_np.gpt2.model import gpt2_embed

source(gpt2_embed)

# %% key="positions-agree"
from llama_np import record
from llama_np.gpt2.model import gpt2_forward

trace = {}
logits = gpt2_forward(weights, config, ids, record(trace))
agree(embedded, gpt2_embed(weights.embedding, weights.positions, ids))
agree(embedded, trace["embedded"])

# %% [markdown] key="norm-why"
# ## Step 2. LayerNorm, with scale and shift
#
# RMSNorm divides a row by its size. **LayerNorm** does one thing before and one thing after
# ([Ba et al. 2016](https://arxiv.org/abs/1607.06450)). Before: it subtracts the row's mean $\mu$, so that
# the numbers of each row sum to zero. After: it has two learned vectors, a scale $w$ and a **shift** $b$:
#
# $$\mathrm{LayerNorm}(x) = \frac{x - \mu}{\sqrt{\mathrm{mean}((x - \mu)^2) + \epsilon}} \odot w + b$$

# %% key="norm-by-hand"
layer = weights.layers[0]
centred = embedded - embedded.mean(axis=-1, keepdims=True)
variance = (centred**2).mean(axis=-1, keepdims=True)
normed = centred / np.sqrt(variance + config.norm_eps) * layer.attn_norm + layer.attn_norm_shift
print("means of the rows:", embedded.mean(axis=-1).round(3))
print(f"centred, the largest: {np.abs(centred.mean(axis=-1)).max():.3f}")
show.matrices({"stream": embedded, "LayerNorm of it": normed}, ("T", "D"), rows=labels, across=1)

# %% key="norm-named"
from llama_np import layer_norm

source(layer_norm)

# %% key="norm-agree"
agree(normed, layer_norm(embedded, layer.attn_norm, layer.attn_norm_shift, config.norm_eps))
agree(normed, trace["blocks.0.attn_norm"])

# %% [markdown] key="raise-experiment"
# ## Try it: raise a whole row
#
# **Predict before you run:** add 5 to every number of every row. What does LayerNorm make of it, and what
# does RMSNorm? And if every number is multiplied by 5?

# %% key="raise"
from llama_np import rms_norm

ones, zeros, eps = np.ones(D, np.float32), np.zeros(D, np.float32), config.norm_eps
for name, changed in (("plus 5", embedded + 5), ("times 5", embedded * 5)):
    moved = layer_norm(changed, ones, zeros, eps) - layer_norm(embedded, ones, zeros, eps)
    print(f"{name:8} LayerNorm changes by up to {np.abs(moved).max():.3f}", end=", ")
    moved = rms_norm(changed, ones, eps) - rms_norm(embedded, ones, eps)
    print(f"RMSNorm by up to {np.abs(moved).max():.3f}")

# %% [markdown] key="raise-answer"
# <details><summary>Answer</summary>
#
# LayerNorm takes away what is the same everywhere in a row, so adding 5 changes nothing (up to rounding).
# RMSNorm keeps it. Multiplying changes little in either: both bring rows to one size. It is not exactly
# nothing where a row is so small that `eps` counts.
#
# </details>

# %% [markdown] key="qkv-why"
# ## Step 3. One matrix for queries, keys and values
#
# A Llama has `wq`, `wk` and `wv`. GPT-2 lays the three side by side in one **fused** matrix of `D` rows and
# `3 D` columns. One large product keeps a processor busier than three smaller ones, and the numbers are
# the same. After the product comes the **bias**, a learned vector that is added to every row.

# %% key="qkv-by-hand"
qkv = normed @ layer.w_qkv + layer.b_qkv  # T D @ D 3D -> T 3D
q, k, v = np.split(qkv, 3, axis=-1)  # T 3D -> three of T D
print("w_qkv", layer.w_qkv.shape, "-> qkv", qkv.shape, "-> q, k, v", q.shape)
show.matrix(qkv, ("T", "q, then k, then v"), rows=labels, title="queries, keys and values")

# %% [markdown] key="attend-note"
# From here on it is the attention of lesson 07: cut into heads, compare, hide the future, mix, lay side by
# side, one more matrix. No rotation, since the places are in the stream already. Every head has keys and
# values of its own.

# %% key="attend-named"
from llama_np.gpt2.model import gpt2_attention

source(gpt2_attention)

# %% key="attend-agree"
from llama_np import split_heads

for name, part in (("q", q), ("k", k), ("v", v)):
    agree(split_heads(part, K), trace[f"blocks.0.{name}"])
wq, bq = layer.w_qkv[:, :D], layer.b_qkv[:D]  # the first third alone
agree(normed @ wq + bq, q)
agree(gpt2_attention(normed, layer, K), trace["blocks.0.attn_out"])

# %% [markdown] key="order-experiment"
# ## Try it: without positions
#
# **Predict before you run:** we exchange two earlier tokens and look at what attention in the first block
# finds for the *last* token. How much does it change, with the table of positions and without it?

# %% key="order"
exchanged = ids.copy()
exchanged[[1, 3]] = ids[[3, 1]]


def found_by_last(ids, places):
    x = weights.embedding[ids] + places
    read = layer_norm(x, layer.attn_norm, layer.attn_norm_shift, eps)
    return gpt2_attention(read, layer, K)[-1]


for name, places in (("with positions", of_places), ("without", 0 * of_places)):
    change = found_by_last(exchanged, places) - found_by_last(ids, places)
    size = np.abs(found_by_last(ids, places)).max()
    print(f"{name:15} changes by {np.abs(change).max() / size:.1e} of the largest number")

# %% [markdown] key="order-answer"
# <details><summary>Answer</summary>
#
# Without positions nothing changes but the rounding. The last token sees the same keys with the same
# values, and a weighted sum does not depend on the order in which one adds. (In later blocks a little of
# the order shows even so, because the mask lets each token see its own past only.) With positions the
# exchanged tokens have other rows, so they have other keys and values. (In a model trained for seconds the
# rows of the places are still small, and so is the change.)
#
# </details>

# %% [markdown] key="gelu-why"
# ## Step 4. GELU
#
# GPT-2's curve is the **GELU** ([Hendrycks and Gimpel 2016](https://arxiv.org/abs/1606.08415)): $x$ times
# the share of a bell curve that lies below $x$. The share has no simple formula. It is written with `erf`,
# the error function, which NumPy does not have; Python's `math` has it for one number at a time. GPT-2's
# own code uses an approximation with `tanh`
# ([`gelu`](https://github.com/openai/gpt-2/blob/master/src/model.py)):
#
# $$\mathrm{GELU}(x) = \frac{x}{2} \left(1 + \mathrm{erf}\frac{x}{\sqrt 2}\right) \approx
# \frac{x}{2} \left(1 + \tanh\left(\sqrt{2 / \pi}\,(x + 0.044715\,x^3)\right)\right)$$
#
# The approximation is off by less than a thousandth everywhere, as the second picture shows; a model should
# be run with the one that it was trained with. GELU and silu are two smooth relatives of relu, of much the
# same shape.

# %% key="gelu-by-hand"
import math

from llama_np import silu

x = np.linspace(-5, 5, 81)
exact = np.array([n / 2 * (1 + math.erf(n / math.sqrt(2))) for n in x])
by_tanh = x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
curves = {"relu": np.maximum(x, 0), "GELU": exact, "silu": silu(x)}
show.curves(x, curves, ("x", ""), title="the curve between two matrices")
show.curves(x, {"": by_tanh - exact}, ("x", "difference"), title="GELU by tanh, minus exact GELU")

# %% key="gelu-named"
from llama_np import gelu, gelu_tanh

source(gelu_tanh)

# %% key="gelu-agree"
agree(exact, gelu(x))
agree(by_tanh, gelu_tanh(x))
print(f"largest difference between the two: {np.abs(gelu_tanh(x) - gelu(x)).max():.6f}")

# %% [markdown] key="ffn-why"
# ## Step 5. Feed-forward: two linear layers
#
# Widen with one matrix, bend, narrow with another. No gate. A matrix product together with its bias is
# often called a **linear layer**; GPT-2's feed-forward step has two of them.

# %% key="ffn-by-hand"
ffn_norm = trace["blocks.0.ffn_norm"]
up = ffn_norm @ layer.w_up + layer.b_up  # T D @ D F -> T F
down = gelu_tanh(up) @ layer.w_down + layer.b_down  # T F @ F D -> T D
print("up", up.shape, "down", down.shape)

# %% key="ffn-named"
from llama_np.gpt2.model import gpt2_feed_forward

source(gpt2_feed_forward)

# %% key="ffn-agree"
agree(down, gpt2_feed_forward(ffn_norm, layer))
agree(down, trace["blocks.0.down"])

# %% [markdown] key="dropout-why"
# ## Step 6. Dropout: only in training
#
# Code that trains a GPT-2 is full of **dropout**
# ([Srivastava et al. 2014](https://jmlr.org/papers/v15/srivastava14a.html)). In training, each number of an
# activation is set to zero with a small probability $p$, and the others are divided by $1 - p$, so that sums
# stay the same on average. In
# [GPT-2's config](https://huggingface.co/openai-community/gpt2/blob/main/config.json) it is 0.1. The dice are
# thrown anew at every step. The model cannot rely on any single number, and learns a small text less by
# heart. When the model is *used*, nothing is dropped: dropout is then the identity, and we leave it out.
# [Meta's code for Llama](https://github.com/meta-llama/llama3/blob/main/llama/model.py) has none at all.

# %% key="dropout-by-hand"
p = 0.1
kept = np.random.default_rng(0).random(down.shape, np.float32) >= p
dropped = down * kept / np.float32(1 - p)
print(f"{(dropped == 0).mean():.1%} of the numbers are zero")
show.matrices({"down": down, "after dropout": dropped}, ("T", "D"), rows=labels, across=1)

# %% key="dropout-named"
from llama_np.training import Dropout

source(Dropout.kept)

# %% key="dropout-agree"
dropout = Dropout(rate=p, rng=np.random.default_rng(0))
agree(dropped, down * dropout.kept(down))
mean = np.mean([down * dropout.kept(down) for _ in range(2000)], axis=0)
print(f"the mean of 2000 throws is off by {np.abs(mean - down).mean() / np.abs(down).mean():.1%}")

# %% [markdown] key="tied-why"
# ## Step 7. A tied output, and the whole model
#
# After the last block come one more LayerNorm and the output matrix. In GPT-2 the output is **tied**: it
# is the embedding itself, transposed. One matrix, used at both ends.

# %% key="tied-by-hand"
last = trace[f"blocks.{config.n_layers - 1}.resid_out"]
final = layer_norm(last, weights.norm, weights.norm_shift, eps)
logits_by_hand = final @ weights.embedding.T  # T D @ D V -> T V
print("the output shares its memory:", np.shares_memory(weights.output, weights.embedding))

# %% key="tied-named"
from llama_np.gpt2.model import gpt2_block

source(gpt2_block)

# %% key="tied-agree"
agree(logits_by_hand, logits)
best = np.argsort(-logits[-1])[:5]
print("after the prompt:", *(tokenizer.token(i) for i in best))

# %% [markdown] key="count-why"
# ## Step 8. Counting
#
# A **parameter** is a learned number. Scales, shifts and biases count as much as matrices do; most people
# say *weights* for all of them. Three different totals for "GPT-2 small" can be computed, and all three are
# right. (A fourth, the 117 million of the paper, was an error, as [OpenAI's
# README](https://github.com/openai/gpt-2) says.) They differ in two questions: is the output tied, and do `q`, `k` and `v` have biases? The released
# model has a tied output and all biases. Course code often leaves those three out, and where the output has
# a matrix of its own one comes to "163 million". By hand, for one block and then for all:

# %% key="count-by-hand"
V, C, d, f = (getattr(GPT2_SMALL, n) for n in ("vocab_size", "context_length", "dim", "ffn_width"))
attention_part = d * 3 * d + (d * d + d)  # w_qkv; wo and its bias
feed_forward_part = (d * f + f) + (f * d + d)  # w_up and w_down with their biases
norms_part = 2 * 2 * d  # two norms, a scale and a shift each
one_block = attention_part + feed_forward_part + norms_part
without = V * d + C * d + GPT2_SMALL.n_layers * one_block + 2 * d
table(
    ["part", "how", "parameters"],
    [
        ["embedding", "V D", f"{V * d:,}"],
        ["positions", f"{C:,} places of D", f"{C * d:,}"],
        ["one block, no bias on q, k, v", "", f"{one_block:,}"],
        ["last norm", "2 D", f"{2 * d:,}"],
        ["**all, tied**", f"with {GPT2_SMALL.n_layers} blocks", f"**{without:,}**"],
        ["an output of its own", "D V more", f"{without + V * d:,}"],
        [
            "biases on q, k, v",
            "3 D more in each block",
            f"{without + 3 * d * GPT2_SMALL.n_layers:,}",
        ],
    ],
)

# %% key="count-named"
from llama_np.gpt2.weights import gpt2_parameters

source(gpt2_parameters)

# %% key="count-agree"
import dataclasses

tied = dataclasses.replace(GPT2_SMALL, qkv_bias=False)
untied = dataclasses.replace(tied, tied_output=False)
for name, c in {"tied": tied, "untied": untied, "as released": GPT2_SMALL}.items():
    print(f"{name:12} {sum(gpt2_parameters(c).values()):13,}")
agree(without, sum(gpt2_parameters(tied).values()), tolerance=0)
agree(sum(a.size for _, a in weights.named()), sum(gpt2_parameters(config).values()))

# %% [markdown] key="five-why"
# ## Step 9. Five replacements
#
# Now from GPT-2 to Llama, one part at a time. Each model below keeps the replacements of the ones before
# it. They should be about equally large, or one would compare sizes and not parts. SwiGLU has three
# matrices where GELU has two, so each is made two thirds as wide. What grouped queries save in attention
# goes into the feed-forward step, as Meta did in Llama 2
# ([Touvron et al. 2023](https://arxiv.org/abs/2307.09288), appendix A.2.1).

# %% key="five-table"
from weights_tools.training.ablation.study_table import read_results

stages, results = replacements(start), read_results()
table(
    ["model", "norm", "positions", "feed-forward", "F", "heads, q / kv", "biases", "parameters"],
    [
        [f"**{name}**", c.norm, c.positions, c.feed_forward, c.ffn_width]
        + [f"{c.n_heads} / {c.n_kv_heads}", "yes" if c.biases else "no"]
        + [f"{results[name]['parameters']:,}"]
        for name, c in stages.items()
    ],
)

# %% [markdown] key="measured-why"
# Each of the six was trained three times, from three different random starts, on the stories that ship
# here. With the same start number, all six see the same stories in the same order, and everything else is
# the same too: steps, learning rate, optimizer (words of lessons 14 and 16). On one processor core it took
# {{ sum(result["seconds"][:, -1].sum() for result in results.values()) / 60 :.0f}} minutes, so the table of results ships with the project (`python -m weights_tools.training.ablation.study` makes it again).
# **Lowest to highest** says how much chance alone does. The last column was measured on one core of the
# machine that made the table.

# %% key="measured"
rows, before = [], None
for name, result in results.items():
    loss = result["held_out_loss"][:, -1]
    gain = "" if before is None else f"{(loss - before).mean().round(3) + 0:+.3f}"
    speed = 1e6 * result["seconds"][:, -1].mean() / result["tokens"][-1]
    spread = f"{loss.min():.3f} to {loss.max():.3f}"
    rows.append([f"**{name}**", f"{loss.mean():.3f}", spread, gain, f"{speed:.0f}"])
    before = loss
header = ["model", "loss, mean", "lowest to highest", "change by this step", "µs a token, training"]
table(header, rows)

# %% key="measured-curves"
tokens = next(iter(results.values()))["tokens"]
means = {name: result["held_out_loss"].mean(axis=0) for name, result in results.items()}
later = tokens >= tokens[-1] / 4
show.curves(
    tokens[later] / 1000,
    {name: curve[later] for name, curve in means.items()},
    ("thousand tokens read", "held-out loss"),
    title="six models, mean of three runs",
)

# %% [markdown] key="measured-read"
# What the table says, and why each part was replaced all the same:
#
# - **RMSNorm** changes nothing in the loss. It leaves out the mean and the shift, so it is simpler and takes less time.
#   Here one can hardly see that; its authors measured 7 to 64 % less, with models as good
#   ([Zhang and Sennrich 2019](https://arxiv.org/abs/1910.07467)).
# - **RoPE** gains by far the most here. A learned table has to learn each place by itself, and this training
#   is short; whether the lead stays as large in a long one, our table does not say.
# - **SwiGLU** gains too, from all three starts. Two matrices of $D \times 4D$ hold $8 D^2$ numbers, three of
#   $D \times \tfrac83 D$ as many, so it is not a matter of size. Why it helps is not known; its author offers
#   "no explanation" ([Shazeer 2020](https://arxiv.org/abs/2002.05202), section 4).
# - **Grouped queries** change less than chance does. They are not made for the loss but for the memory that a
#   long text takes ([Ainslie et al. 2023](https://arxiv.org/abs/2305.13245)).
# - **No biases** lose a little, at the edge of chance, with one per cent fewer parameters. The authors of PaLM
#   left biases out and report that training large models became steadier
#   ([Chowdhery et al. 2022](https://arxiv.org/abs/2204.02311), section 2). A study of this size cannot show
#   that.
#
# So two of five replacements pay in the loss at this size, and three are made for time, memory or
# steadiness. Three of the five can be looked at more closely.

# %% [markdown] key="rope-why"
# ### A closer look: behind the last place
#
# A learned table has an end. The model has never seen a place behind it, and there is no row for one. RoPE
# turns queries and keys by an angle, and an angle can be computed for any place. A score then depends on
# the *distance* of two tokens, so what is learned at one place holds at all others. We train the last of
# the six models as we trained the first, on the same stories in the same order. Both are the beginnings of
# runs from the table.

# %% key="train-llama" tags=["timing"]
llama_choices = stages["no biases"]
small_llama, llama_rows = run(llama_choices)
show.curves(
    np.array([row["tokens"] for row in small_rows]) / 1000,
    {
        "GPT-2's parts": np.array([row["held_out_loss"] for row in small_rows]),
        "Llama's parts": np.array([row["held_out_loss"] for row in llama_rows]),
    },
    ("thousand tokens read", "held-out loss"),
    title="the two models trained on this page",
)

# %% [markdown] key="beyond-why"
# GPT-2's parts are ahead at first and are then overtaken. Now we ask both for more tokens than they were
# trained on.
#
# **Predict before you run:** the small Llama reads held-out stories of twice the length it has seen in
# training. How does its loss go on behind the middle?

# %% key="beyond"
from llama_np.gpt2 import hybrid

longer = text.encode(["Tom and the dog went home. " * 60])[0][: 2 * start.context_length]
try:
    hybrid.forward(small, start, longer)
except ValueError as error:
    print("learned positions:", error)
print("RoPE:", hybrid.forward(small_llama, llama_choices, longer).shape)

# %% key="beyond-loss" tags=["timing"]
from llama_np import log_softmax

T, held_out = start.context_length, text.held_out[0].ravel()
by_window = []
for first in range(0, len(held_out) - 2 * T, T // 4):  # so that all places read the same text
    window = held_out[first : first + 2 * T + 1]
    predicted = log_softmax(hybrid.forward(small_llama, llama_choices, window[:-1]))
    by_window.append(-predicted[np.arange(2 * T), window[1:]])
by_place = np.mean(by_window, axis=0).reshape(-1, T // 4).mean(axis=-1)
show.curves(
    np.arange(len(by_place)) * T // 4 + T // 8,
    {"": by_place},
    ("place in the text", "held-out loss"),
    title=f"the small Llama, trained on {T} places",
)

# %% [markdown] key="beyond-read"
# <details><summary>Answer</summary>
#
# Mind the scale: almost nothing happens. The first tokens are hard, because little stands before them. Then the loss is nearly level,
# and behind the last place of training it is higher by {{ by_place[4:].mean() - by_place[1:4].mean() :.2f}}. These stories need little that is
# far away. One should not count on it. In large models, places behind the trained ones may upset the scores
# altogether ([Chen et al. 2023](https://arxiv.org/abs/2306.15595), section 2). So Llama 3.1 was trained
# further on longer and longer texts, the 405B model in six stages from 8 to 128 thousand tokens
# ([paper](https://arxiv.org/abs/2407.21783), section 3.4.2). With RoPE that needs no new parameter.
#
# </details>

# %% [markdown] key="gqa-why"
# ### A closer look: what grouped queries save
#
# Every token of a text leaves its keys and values in the cache (lesson 11), and fewer heads leave less. In
# Llama 3 8B four query heads share each key-value head.

# %% key="gqa-cache"
from llama_np import LLAMA_3_8B


def cache_bytes(c, kv_heads):
    return 2 * c.n_layers * kv_heads * c.head_dim * 2  # keys and values, two bytes each


of_8b = cache_bytes(LLAMA_3_8B, LLAMA_3_8B.n_kv_heads)
as_many = cache_bytes(LLAMA_3_8B, LLAMA_3_8B.n_heads)
context = LLAMA_3_8B.context_length
for heads, n_bytes in ((LLAMA_3_8B.n_kv_heads, of_8b), (LLAMA_3_8B.n_heads, as_many)):
    full = n_bytes * context / 2**30
    print(
        f"{heads:2} key-value heads: {n_bytes:7,} bytes a token, {full:.0f} GiB for {context:,} tokens"
    )

# %% [markdown] key="bias-why"
# ### A closer look: a bias that does nothing
#
# Of the biases on queries, keys and values, one does nothing at all.
#
# **Predict before you run:** we add random numbers to the bias of the queries, then of the keys, then of
# the values. Which of the three leaves the result as it was?

# %% key="bias-experiment"
noise = np.random.default_rng(0).standard_normal(D).astype(np.float32)
for n, name in enumerate(["queries", "keys", "values"]):
    b = layer.b_qkv.copy()
    b[n * D : (n + 1) * D] += noise
    changed = gpt2_attention(normed, dataclasses.replace(layer, b_qkv=b), K)
    by = np.abs(changed - trace["blocks.0.attn_out"]).max()
    print(f"bias of the {name:8} attention changes by up to {by:.7f}")

# %% [markdown] key="bias-answer"
# <details><summary>Answer</summary>
#
# That of the keys (the rest is rounding). It adds the same vector to every key, so it adds the same number
# to all scores of a query, and softmax takes no notice. Its gradient is zero (but for rounding), so nothing can be learned in it.
# With RoPE the argument no longer holds: the bias is then turned along with each key.
#
# </details>

# %% [markdown] key="ends-why"
# ## Step 10. At the other end: a Llama
#
# Is the last of the six models really a Llama? Then the library's `forward` must run its weights. And the
# six were made by one function that chooses a part in five places. Its block:

# %% key="ends-named"
source(hybrid.block)

# %% key="ends-agree"
from llama_np import forward
from llama_np.gpt2.hybrid import as_llama

llama, llama_config = as_llama(small_llama, llama_choices)
prompt_ids = np.array(text.tokenizer.encode(prompt, bos=True))
agree(
    hybrid.forward(small_llama, llama_choices, prompt_ids),
    forward(llama, llama_config, prompt_ids),
)
agree(hybrid.forward(small, start, prompt_ids), gpt2_forward(*as_gpt2(small, start), prompt_ids))

# %% [markdown] key="versions-why"
# ## Step 11. From Llama 2 to Llama 3.2
#
# After that the plan stood. Between the versions of Llama it is numbers that change. The configs below are
# those that Meta published with the weights, in the form of its `params.json`; what Meta's code or model
# card says beside them is given as an argument.

# %% key="versions"
from llama_np import RopeScaling, rope_frequencies
from weights_tools.formats.config_json import config_from_meta

llama_3 = {"vocab_size": 128256, "norm_eps": 1e-5, "rope_theta": 500000.0, "n_kv_heads": 8}
stretched = {"use_scaled_rope": True}
by_32 = {"rope_scaling": RopeScaling(32.0, 1.0, 4.0, 8192), "tied_output": True}
llamas = {
    "Llama 2 7B": config_from_meta(
        {"dim": 4096, "n_layers": 32, "n_heads": 32, "multiple_of": 256, "norm_eps": 1e-5},
        vocab_size=32000,
    ),
    "Llama 2 70B": config_from_meta(
        {"dim": 8192, "n_layers": 80, "n_heads": 64, "n_kv_heads": 8, "multiple_of": 4096}
        | {"ffn_dim_multiplier": 1.3, "norm_eps": 1e-5},
        vocab_size=32000,
    ),
    "Llama 3 8B": LLAMA_3_8B,
    "Llama 3.1 8B": config_from_meta(
        llama_3 | stretched | {"dim": 4096, "n_layers": 32, "n_heads": 32}
        | {"multiple_of": 1024, "ffn_dim_multiplier": 1.3},
    ),
    "Llama 3.2 1B": config_from_meta(
        llama_3 | stretched | {"dim": 2048, "n_layers": 16, "n_heads": 32}
        | {"multiple_of": 256, "ffn_dim_multiplier": 1.5},
        **by_32,
    ),
    "Llama 3.2 3B": config_from_meta(
        llama_3 | stretched | {"dim": 3072, "n_layers": 28, "n_heads": 24}
        | {"multiple_of": 256, "ffn_dim_multiplier": 1.0},
        **by_32,
    ),
}  # fmt: skip


def describe(c):
    slowest = rope_frequencies(c.head_dim, c.rope_theta, c.rope_scaling)[-1]
    slow = f"yes, by {c.rope_scaling.factor:.0f}" if c.rope_scaling else "no"
    share = (1 if c.tied_output else 2) * c.vocab_size * c.dim / c.count_parameters()
    return {
        "tokens in the vocabulary": f"{c.vocab_size:,}",
        "longest text": f"{c.context_length:,}",
        "RoPE theta": f"{c.rope_theta:,.0f}",
        "slow pairs slowed down": slow,
        "slowest pair turns once in": f"{2 * np.pi / slowest:,.0f} tokens",
        "heads, query / key-value": f"{c.n_heads} / {c.n_kv_heads}",
        "F, and F / D": f"{c.ffn_width:,}, {c.ffn_width / c.dim:.2f}",
        "output tied": "yes" if c.tied_output else "no",
        "parameters": f"{c.count_parameters():,}",
        "of them embedding and output": f"{share:.1%}",
        "cache, bytes a token": f"{cache_bytes(c, c.n_kv_heads):,}",
    }


described = {name: describe(c) for name, c in (llamas | {"this model": model.config}).items()}
table(
    ["", *described],
    [[row, *(d[row] for d in described.values())] for row in described["Llama 3 8B"]],
)

# %% [markdown] key="versions-read"
# Read it from left to right. **Llama 2** ([paper](https://arxiv.org/abs/2307.09288)): grouped queries in the
# larger models only. **Llama 3** ([paper](https://arxiv.org/abs/2407.21783), section 3.2): grouped queries in
# all sizes, another tokenizer with four times as many tokens, and a `theta` of 500,000, with which the pairs
# of RoPE turn more slowly. **3.1**: trained for longer texts; the slow pairs are slowed down further (lesson
# 05). **3.2**
# ([model card](https://github.com/meta-llama/llama-models/blob/main/models/llama3_2/MODEL_CARD.md)): small
# models for text (beside two larger ones that also read pictures, not shown here). In small models a large vocabulary would take much of the room, and take it twice, so the output is tied
# again, as in GPT-2. It is often said that from version to version only the weights change. Not quite: the
# scaled RoPE and the tied output are code.

# %% [markdown] key="tokenizers-why"
# ## Step 12. The same text, cut three times
#
# Llama 2 has a SentencePiece tokenizer of 32,000 tokens, Llama 3 one of 128,256 in the way of tiktoken,
# GPT-2 one of 50,257. The cuts below were made with the three real tokenizers and are stored in this
# page. If you have their folders, name them in `LLAMA_GPT2`, `LLAMA_2` and `LLAMA_3`, and the cell checks
# the stored cuts against them. `␣` stands for a space.

# %% key="tokenizers"
from weights_tools.formats.gpt2 import read_tokenizer

CUTS = {
    "In 2024, 1234567 tokens cost $0.15.": {
        "GPT-2": "In|␣2024|,|␣123|45|67|␣tokens|␣cost|␣$|0|.|15|.",
        "Llama 2": "␣In|␣|2|0|2|4|,|␣|1|2|3|4|5|6|7|␣tokens|␣cost|␣$|0|.|1|5|.",
        "Llama 3": "In|␣|202|4|,|␣|123|456|7|␣tokens|␣cost|␣$|0|.|15|.",
    },
    "for i in range(10):\n        print(i)": {
        "GPT-2": r"for|␣i|␣in|␣range|(|10|):|\n|␣|␣|␣|␣|␣|␣|␣|␣print|(|i|)",
        "Llama 2": r"␣for|␣i|␣in|␣range|(|1|0|):|\n|␣␣␣␣␣␣␣|␣print|(|i|)",
        "Llama 3": r"for|␣i|␣in|␣range|(|10|):\n|␣␣␣␣␣␣␣|␣print|(i|)",
    },
    "Zażółć gęślą jaźń.": {
        "GPT-2": r"Z|a|\xc5|\xbc|ó|ł|ć|␣g|\xc4|\x99|\xc5|\x9b|l|\xc4|\x85|␣ja|\xc5|\xba|\xc5|\x84|.",
        "Llama 2": "␣Za|ż|ół|ć|␣g|ę|ś|lą|␣ja|ź|ń|.",
        "Llama 3": "Z|aż|ół|ć|␣g|ę|ś|l|ą|␣ja|ź|ń|.",
    },
    "Всё понятно.": {
        "GPT-2": r"\xd0|\x92|с|\xd1|\x91|␣\xd0|\xbf|о|н|я|т|н|о|.",
        "Llama 2": "␣В|с|ё|␣по|ня|тно|.",
        "Llama 3": "В|с|ё|␣пон|ятно|.",
    },
}
for name, variable in {"GPT-2": "LLAMA_GPT2", "Llama 2": "LLAMA_2", "Llama 3": "LLAMA_3"}.items():
    if os.environ.get(variable):
        real = read_tokenizer(os.environ[variable])
        for sentence, cuts in CUTS.items():
            assert "|".join(real.token(i) for i in real.encode(sentence)) == cuts[name]

for cuts in list(CUTS.values())[:2]:
    show.splits({name: cut.removeprefix("␣").split("|") for name, cut in cuts.items()}, width=70)
table(
    ["tokens for", "GPT-2", "Llama 2", "Llama 3", "this model"],
    [
        [
            f"`{sentence!r}`",
            *(len(cut.split("|")) for cut in cuts.values()),
            len(model.tokenizer.encode(sentence)),
        ]
        for sentence, cuts in CUTS.items()
    ],
)

# %% [markdown] key="tokenizers-read"
# Llama 2 takes every digit alone; Llama 3 takes up to three; GPT-2 whatever was frequent. Spaces at the
# start of a line of code cost GPT-2 a token each. Characters that a vocabulary does not have fall apart
# into bytes, written `\x..`. Llama 2 puts a space of its own in front of a text (left out in the picture).
# With more tokens in the vocabulary, texts become shorter on the whole, if not every one: in English from
# 3.17 to 3.94 characters a token from Llama 2 to Llama 3 ([paper](https://arxiv.org/abs/2407.21783), section 3.2). The price is a larger
# embedding and output.

# %% [markdown] key="pieces-why"
# ## Step 13. "Parallel" layers: one matrix, cut in pieces
#
# If you open [Meta's code](https://github.com/meta-llama/llama3/blob/main/llama/model.py), you find
# `ColumnParallelLinear`, `RowParallelLinear` and `VocabParallelEmbedding` (in Llama 2 `ParallelEmbedding`)
# instead of matrices. They come from
# [fairscale](https://github.com/facebookresearch/fairscale/blob/main/fairscale/nn/model_parallel/layers.py).
# They are no new mathematics. Each is one matrix cut into pieces, one for each of several processors. We
# play two processors, with the small Llama from above.

# %% key="pieces-linear"
from llama_np import swiglu

layer, x = llama.layers[0], rms_norm(llama.embedding[prompt_ids], llama.layers[0].attn_norm, 1e-5)
F, total = llama_config.ffn_width, 0
for half in (slice(0, F // 2), slice(F // 2, F)):
    gate = x @ layer.w_gate[:, half]  # T D @ D F/2 -> T F/2: columns
    up = x @ layer.w_up[:, half]
    total = total + (silu(gate) * up) @ layer.w_down[half]  # T F/2 @ F/2 D -> T D: rows
    print("piece:", layer.w_gate[:, half].shape, layer.w_down[half].shape)
agree(total, swiglu(x, layer.w_gate, layer.w_up, layer.w_down))

# %% [markdown] key="pieces-note"
# The first matrices are cut into **columns**: each processor has half of the units, and needs nothing from
# the other. The last one is cut into **rows**, those of the same units, and each processor gets a part of
# every number of the result. The parts are added up; that is the one moment in a half block when processors must exchange numbers.
# Attention is cut by heads in the same way. An embedding can be cut by columns, as in Llama 2, and the
# pieces laid side by side; or by tokens, as in Llama 3, each processor answering zeros for tokens it does
# not have.

# %% key="pieces-attention"
from dataclasses import replace

from llama_np import attention, causal_mask, rope_rotations

places = np.arange(len(prompt_ids))
frequencies = rope_frequencies(llama_config.head_dim, llama_config.rope_theta)
rotations = rope_rotations(places, frequencies)
rest = llama_config, rotations, causal_mask(places, places)
total, n_q, n_kv = 0, layer.wq.shape[1], layer.wk.shape[1]
for i in (0, 1):
    own_q = slice(i * n_q // 2, (i + 1) * n_q // 2)
    own_kv = slice(i * n_kv // 2, (i + 1) * n_kv // 2)
    wq, wk, wv, wo = layer.wq[:, own_q], layer.wk[:, own_kv], layer.wv[:, own_kv], layer.wo[own_q]
    total = total + attention(x, replace(layer, wq=wq, wk=wk, wv=wv, wo=wo), *rest)
agree(total, attention(x, layer, *rest))

# %% key="pieces-embedding"
table_of_tokens, middle = llama.embedding, llama_config.vocab_size // 2
width = llama_config.dim // 2
by_columns = [table_of_tokens[:, :width][prompt_ids], table_of_tokens[:, width:][prompt_ids]]
mine = (prompt_ids < middle)[:, None]
by_tokens = np.where(mine, table_of_tokens[np.minimum(prompt_ids, middle - 1)], 0)
by_tokens = by_tokens + np.where(mine, 0, table_of_tokens[np.maximum(prompt_ids, middle)])
agree(np.concatenate(by_columns, axis=-1), table_of_tokens[prompt_ids])
agree(by_tokens, table_of_tokens[prompt_ids])

# %% [markdown] key="said-often"
# ## Said often, and not so
#
# - "Several heads keep a model from over-fitting." They do not. Heads let a token read from several places
#   at once, in several ways. What keeps a model from learning a small text by heart is more text, dropout,
#   or stopping earlier.
# - "GPT only has a decoder, Llama is something else." Both are decoders only, as you have seen.
# - "The feed-forward step is one linear layer." Two in GPT-2, three in Llama, with a curve in between.
# - "The weights and biases of Llama." It has no biases. All its parameters are matrices, and the weights of
#   its norms.
# - "The context is the sentence." The context is the number of tokens the model can look at. It may hold
#   half a sentence or a book, and in training it is cut without regard to sentences.
# - "It is trained one token after the other." All positions of a text are computed and compared at once.

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>A model trained with RMSNorm is run with LayerNorm (scale kept, shift zero). All shapes fit. What
# happens?</summary>
#
# No error, and wrong results wherever a row has a mean other than zero: LayerNorm takes it away, and the
# model may have put something into it. Parts can be replaced before training, not after it.
#
# </details>
#
# <details><summary>GPT-2 small, with a context of 2048 in place of 1024: how many parameters more?</summary>
#
# 1024 rows of 768 numbers, 786,432. A Llama has none more: RoPE has nothing to learn.
#
# </details>
#
# <details><summary>Why is the loss of the six models compared on held-out stories, three runs each?</summary>
#
# A model can learn stories by heart that it has read often; what it predicts in others is what it has
# learned of the language. And a difference that is smaller than the difference between two random starts
# says nothing.
#
# </details>
#
# <details><summary>A column-parallel matrix is followed by a row-parallel one. Why not columns twice?</summary>
#
# After the first, each processor has half of the columns of the result. A second matrix cut by columns
# needs all of them, so the halves would have to be exchanged in between. Cut by rows, it needs just the
# half that is there, and the exchange comes once, at the end.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# You have trained models on this page without a word on how. Lesson 14, tensors and gradients, begins at
# the bottom: one weight, the chain rule, and a program that finds gradients by itself.
