# %% [markdown] key="title"
# # 09 32 blocks: the stream from bottom to top
#
# The parts are known. Norm, attention, norm and feed-forward make a **block**, and a Llama is its block
# many times over, each time with other weights: 32 times in Llama 3 8B. In this lesson we put one block
# together in six lines and run all of them in a loop. Then we look at what only the whole can show. How
# does the stream grow? From which block on can the answer be read in it? What if a block is left out? And
# how many learned numbers has a Llama, from 1B to 70B, and in which memory do they fit?
#
# **In** goes the stream after the embedding, `T` rows of `D` numbers. **Out** comes, after every block,
# the stream again, `T` by `D`. A block gives back the shape it takes, so any number of blocks can follow
# one another.
#
# After this lesson you can write a block from memory, read the stream at any height, count the parameters
# of any Llama from its config, and say what memory it needs.

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from llama_np import forward, record
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["attn_norm", "attention", "ffn_norm", "feed_forward"])

# %% [markdown] key="sentence-why"
# ## The sentence
#
# The sentence of lesson 00, and its rows of the embedding: the stream before the first block.
# `rotations` and `visible` are what attention needs besides its weights: how far each pair turns at each
# position, and who may look at whom (lessons 05 and 06). They are the same in every block.

# %% key="sentence"
from llama_np import causal_mask, embed, rope_frequencies, rope_rotations

prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
x = embed(weights.embedding, ids)
positions = np.arange(len(ids))
frequencies = rope_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
rotations, visible = rope_rotations(positions, frequencies), causal_mask(positions, positions)
print("x", x.shape, "in a model of", config.n_layers, "blocks")

# %% [markdown] key="block-why"
# ## Step 1. One block: norm, change, add, twice
#
# A block does the same thing two times: it takes a normalised copy of the stream, computes a change from
# it, and adds the change to the stream. The first change is attention's. It brings in information from
# other tokens. The second is the feed-forward step's. It works on each token alone. With $x$ the stream:
#
# $$x' = x + \mathrm{attention}(\mathrm{norm}(x)) \qquad\qquad x'' = x' + \mathrm{swiglu}(\mathrm{norm}(x'))$$
#
# Both norms have weights of their own. Note where the plus is: the change is added to $x$, never to
# $\mathrm{norm}(x)$.

# %% key="block-by-hand"
from llama_np import attention, rms_norm, swiglu

first = weights.layers[0]
normed = rms_norm(x, first.attn_norm, config.norm_eps)
attn_out = attention(normed, first, config, rotations, visible)
resid_mid = x + attn_out
normed = rms_norm(resid_mid, first.ffn_norm, config.norm_eps)
down = swiglu(normed, first.w_gate, first.w_up, first.w_down)
resid_out = resid_mid + down
print("in", x.shape, "-> in the middle", resid_mid.shape, "-> out", resid_out.shape)

# %% key="block-picture"
show.matrices(
    {"x": x, "attn_out": attn_out, "resid_mid": resid_mid, "down": down, "resid_out": resid_out},
    ("T", "D"),
    rows=labels,
    across=2,
)

# %% key="block-named"
from llama_np import block

source(block)

# %% key="block-agree"
agree(resid_out, block(x, first, config, rotations, visible))

# %% [markdown] key="loop-why"
# ## Step 2. All blocks in a loop
#
# Now the output of each block goes into the next. The loop has two lines. The code is the same for every
# block; only the weights differ. We keep the stream before the first block and
# after each: `streams[n]` is the stream after `n` blocks.

# %% key="loop-by-hand"
streams = [x]
for layer in weights.layers:
    streams.append(block(streams[-1], layer, config, rotations, visible))
streams = np.array(streams)
print("streams", streams.shape, "= blocks + 1, T, D")

# %% [markdown] key="loop-agree-why"
# The library's `forward`, which lesson 00 shows in full, has the same loop. In front of it stands the
# embedding, behind it the last norm and the output matrix. The tap shows that the stream is the same after
# every block.

# %% key="loop-agree"
trace = {}
logits = forward(weights, config, ids, tap=record(trace))
by_name = [trace["embedded"]] + [trace[f"blocks.{i}.resid_out"] for i in range(config.n_layers)]
agree(streams, np.array(by_name))
agree(rms_norm(streams[-1], weights.norm, config.norm_eps) @ weights.output, logits)

# %% [markdown] key="sum-why"
# ## Step 3. The stream is a sum
#
# Nothing is ever overwritten: each block only adds. (It can still cancel something, by adding its
# opposite.) So the stream at the top is the embedding, plus all that attention has added, plus all that
# feed-forward has added. One can take it apart again.

# %% key="sum-by-hand"
from_attention = sum(trace[f"blocks.{i}.attn_out"] for i in range(config.n_layers))
from_feed_forward = sum(trace[f"blocks.{i}.down"] for i in range(config.n_layers))
agree(x + from_attention + from_feed_forward, streams[-1])
show.matrices(
    {
        "embedding": x,
        "all attention": from_attention,
        "all feed-forward": from_feed_forward,
        "their sum, the stream at the top": streams[-1],
    },
    ("T", "D"),
    rows=labels,
    across=2,
)

# %% [markdown] key="sum-note"
# That is why one speaks of a *stream*: parts of the model write into it, later parts read from it, and
# any part can read what any earlier one wrote. When the model is trained, the sum helps too: each part is
# connected with the top of the stream by plus signs alone. (The idea comes from residual networks,
# [He et al. 2015](https://arxiv.org/abs/1512.03385).)

# %% [markdown] key="size-why"
# ## Step 4. The size of the stream, block by block
#
# The **size** of a row is its root mean square (lesson 03). First for every token and every height, then
# as a mean over the tokens, beside the size of what each block adds.


# %% key="size-by-hand"
def size_of(rows):
    return np.sqrt((rows**2).mean(axis=-1))


stream_sizes = size_of(streams)  # blocks + 1, T, D -> blocks + 1, T
print("stream_sizes", stream_sizes.shape)
show.matrix(
    stream_sizes, ("blocks passed", "T"), columns=labels, title="size of each row of the stream"
)

# %% key="size-added"
passed = np.arange(config.n_layers + 1)
curves = {"the stream": stream_sizes[1:].mean(axis=-1)}
for name in ("attn_out", "down"):
    added = np.array([trace[f"blocks.{i}.{name}"] for i in range(config.n_layers)])
    curves[f"added: {name}"] = size_of(added).mean(axis=-1)
show.curves(
    passed[1:],
    curves,
    ("blocks passed", "mean size"),
    title="the stream after each block, and what that block has added",
)
growth = stream_sizes[-1].mean() / stream_sizes[0].mean()
print(f"mean size at the top: {growth:.0f} times that of the embedding")

# %% [markdown] key="size-note"
# The stream is a sum of more and more parts, so it usually grows. The same change therefore weighs less
# the higher it is added: the norm in front of the next reader divides by the size of the *whole* row.

# %% [markdown] key="lens-why"
# ## Step 5. The logit lens: what would each block predict?
#
# At the top, the last norm and the output matrix turn a row into a score for every possible next token,
# the logits. The stream has the same `D` columns at every height. So nothing keeps us from applying these
# two earlier, as if the model ended there. This is called the **logit lens**
# ([nostalgebraist 2020](https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens)).
# Here for the last token, whose row is to say what comes next.

# %% key="lens-by-hand"
from llama_np import softmax

lens = softmax(rms_norm(streams, weights.norm, config.norm_eps) @ weights.output)
print("lens", lens.shape, "= blocks + 1, T, V")
agree(lens[-1], softmax(logits))
heights = np.unique(np.linspace(0, config.n_layers, 12).round().astype(int))
for n in heights:
    best = np.argsort(-lens[n, -1])[:4]
    words = "  ".join(f"{tokenizer.token(i)} {lens[n, -1, i]:.2f}" for i in best)
    print(f"after {n:3} blocks: {words}")

# %% [markdown] key="lens-curves-why"
# The same as curves: the probability of the tokens that win in the end, at every height.

# %% key="lens-curves"
winners = np.argsort(-lens[-1, -1])[:4]
show.curves(
    passed,
    {tokenizer.token(i): lens[:, -1, i] for i in winners},
    ("blocks passed", "probability"),
    title=f"the logit lens at {labels[-1]}",
)
others = passed[lens[:, -1].argmax(axis=-1) != winners[0]]
start = others.max(initial=-1) + 1
print(
    f"{tokenizer.token(winners[0])} is the likeliest after {start} blocks, and stays so to the top"
)

# %% [markdown] key="lens-grid-why"
# And for every token at once. A row is a token of the sentence, read from left to right: from its
# embedding, with no block passed, to the top. Each cell shows the likeliest next token at that height, the
# darker the more probable. A frame marks what is already the model's final answer; the last column is that
# answer.

# %% key="lens-grid"
likeliest = lens.argmax(axis=-1).T[:, heights]  # T, heights
show.written(
    lens.max(axis=-1).T[:, heights],
    [[tokenizer.token(i) for i in row] for row in likeliest],
    ("T", "blocks passed"),
    rows=labels,
    columns=[str(n) for n in heights],
    marked=likeliest == likeliest[:, -1:],
    title="the likeliest next token at each height",
)

# %% [markdown] key="lens-note"
# Read the lens with care. Only the top was trained to be read in this way. Below it the model may well have
# the answer in a form that the output matrix does not read. What one sees is from where on the stream
# *points* towards the final tokens. In many models the answer takes shape over several blocks,
# and the last ones sharpen it.

# %% [markdown] key="skip-experiment"
# ## Try it: leave out one block
#
# Take a chain: leave out one link and it breaks. Before you run the next cell, predict: is a Llama such a
# chain? We leave out one block, whichever it is, run all others, and look at the probability of the token
# that the whole model likes best.


# %% key="skip-cell"
def run(layers, x):
    for layer in layers:
        x = block(x, layer, config, rotations, visible)
    return softmax(rms_norm(x[-1], weights.norm, config.norm_eps) @ weights.output)


whole = lens[-1, -1]
best = whole.argmax()
without = np.array([run(weights.layers[i + 1 :], streams[i])[best] for i in range(config.n_layers)])
show.curves(
    np.arange(config.n_layers),
    {"without that block": without, "whole model": np.full(config.n_layers, whole[best])},
    ("the block left out", f"probability of {tokenizer.token(best)}"),
)

# %% [markdown] key="skip-answer"
# <details><summary>Answer</summary>
#
# It is not a chain: the stream runs past every block. Without one block, the later ones still find what the
# others have written. Missing are only its own part and what later blocks would have made of that. In a trained model with many blocks, most can be left out singly at a small price. The first
# ones are often the exception, since everything after them builds on what they write.
# ([Veit et al. 2016](https://arxiv.org/abs/1605.06431) found the same in image networks.)
#
# </details>

# %% [markdown] key="order-experiment"
# ## Try it: other orders
#
# If each block only adds, is the order of no importance? Predict what the model says with its blocks in
# reverse order, with two neighbours in the middle swapped, and with the attention or the feed-forward
# step silenced in every block. (`patch` is a tap that replaces named results, here by zeros.)

# %% key="order-cell"
from llama_np import patch

middle, layers = config.n_layers // 2, list(weights.layers)
swapped = [*layers[: middle - 1], layers[middle], layers[middle - 1], *layers[middle + 1 :]]
silence = {
    name: patch({f"blocks.{i}.{part}": np.zeros_like for i in range(config.n_layers)})
    for name, part in (("no attention", "attn_out"), ("no feed-forward", "down"))
}
results = {"as it is": whole, "two swapped": run(swapped, x), "in reverse": run(layers[::-1], x)}
for name, tap in silence.items():
    results[name] = softmax(forward(weights, config, ids, tap=tap)[-1])
for name, p in results.items():
    line = "  ".join(f"{tokenizer.token(i)} {p[i]:.2f}" for i in np.argsort(-p)[:4])
    print(f"{name:16} {line}")

# %% [markdown] key="order-answer"
# <details><summary>Answer</summary>
#
# The order matters, since each block *reads* what the earlier ones wrote before it adds its own. Reversed,
# the late blocks read an almost empty stream and the early ones a full one. Two neighbours in the middle
# of a deep model can often change places with little harm: neither depends much on the other. Without
# attention, each row only knows its own token, and the prediction is a guess from the last token alone.
# Such a guess can be a fair one where the last word gives much away. Without feed-forward, most of the
# learned numbers are out of use, and in a trained model the prediction is lost.
#
# </details>

# %% [markdown] key="count-why"
# ## Step 6. How many parameters?
#
# The **parameters** are the learned numbers: all matrices and all weights of norms. One block has the
# seven matrices and two norms that you know. With `D`, `F`, the numbers of heads `Hq` and `Hkv` and their
# width `K`:
#
# $$\underbrace{2\, D\, H_q K}_{W_q,\, W_o} + \underbrace{2\, D\, H_{kv} K}_{W_k,\, W_v} + \underbrace{3\, D F}_{\text{feed-forward}} + \underbrace{2 D}_{\text{norms}}$$
#
# Outside the blocks there are the embedding, $V \times D$, the output matrix, $D \times V$, and the last
# norm, $D$. In a tied model the output matrix is the embedding, transposed (lesson 02), and counts once.
# First we add up the sizes of all arrays of this model.

# %% key="count-by-hand"
counted = [array.size for name, array in weights.named()]
print(f"arrays: {len(counted)}, parameters: {sum(counted):,}")
print("output tied to the embedding:", config.tied_output)

# %% key="count-named"
from llama_np import LlamaConfig
from weights_tools.formats.config_json import config_from_meta

source(LlamaConfig.count_parameters)

# %% key="count-agree"
agree(sum(counted), config.count_parameters(), tolerance=0)

# %% [markdown] key="published-why"
# The count needs the config only, no weights. So we can count the models that Meta has published, from
# the file `params.json` that lies beside the weights
# (for example [Llama 3.2 3B](https://huggingface.co/meta-llama/Llama-3.2-3B/blob/main/original/params.json)).
# Some things are not in these files. Llama 2 leaves the size of the vocabulary to its tokenizer. That Llama
# 3.2's small models are tied, and by which factor they scale RoPE (lesson 05), stands in Hugging Face's
# `config.json`. The library knows Llama 3 8B.

# %% key="published"
from llama_np import RopeScaling

llama_3 = {"vocab_size": 128256, "norm_eps": 1e-5, "rope_theta": 500000.0, "n_kv_heads": 8}
llama_3_2 = llama_3 | {"use_scaled_rope": True, "multiple_of": 256}
params_1b = llama_3_2 | {"dim": 2048, "n_layers": 16, "n_heads": 32, "ffn_dim_multiplier": 1.5}
params_3b = llama_3_2 | {"dim": 3072, "n_layers": 28, "n_heads": 24, "ffn_dim_multiplier": 1.0}
params_7b = {
    "dim": 4096, "n_layers": 32, "n_heads": 32, "multiple_of": 256, "norm_eps": 1e-5,
    "vocab_size": -1,
}  # fmt: skip
params_70b = llama_3 | {
    "dim": 8192, "n_layers": 80, "n_heads": 64, "multiple_of": 4096, "ffn_dim_multiplier": 1.3,
}  # fmt: skip
small = {"tied_output": True, "rope_scaling": RopeScaling(32.0, 1.0, 4.0, 8192)}

# %% key="published-configs"
from llama_np import LLAMA_3_8B

configs = {
    "this model": config,
    "Llama 3.2 1B": config_from_meta(params_1b, **small),
    "Llama 3.2 3B": config_from_meta(params_3b, **small),
    "Llama 2 7B": config_from_meta(params_7b, vocab_size=32000),
    "Llama 3 8B": LLAMA_3_8B,
    "Llama 3 70B": config_from_meta(params_70b),
}
fields = ("n_layers", "dim", "ffn_width", "n_heads", "n_kv_heads", "group", "vocab_size")
table(
    ["", "blocks", "D", "F", "Hq", "Hkv", "Hq / Hkv", "V", "tied", "parameters"],
    [
        [name, *(getattr(c, f) for f in fields), "yes" if c.tied_output else "no"]
        + [f"{c.count_parameters():,}"]
        for name, c in configs.items()
    ],
)

# %% [markdown] key="published-check-why"
# Are these counts right? Below are the numbers of parameters in the published files of weights. They must
# agree to the last one.

# %% key="published-check"
published = {
    "Llama 3.2 1B": 1_235_814_400,
    "Llama 3.2 3B": 3_212_749_824,
    "Llama 2 7B": 6_738_415_616,
    "Llama 3 8B": 8_030_261_248,
    "Llama 3 70B": 70_553_706_496,
}
counts = [configs[name].count_parameters() for name in published]
agree(counts, list(published.values()), tolerance=0)

# %% [markdown] key="group-note"
# Look at the column `Hq / Hkv`, the size of a group (lesson 07): it is 4 in 8B and in 1B, 8 in 70B, and
# **3** in 3B. In Llama 2 7B it is 1: every query head has keys of its own. Code that takes 4 for granted, or
# a power of two, breaks on 3B. The code here asks the config.

# %% [markdown] key="memory-why"
# ## Step 7. What fits where?
#
# To compute, the parameters must be at hand. How many bytes that is depends on the type of number they
# are kept in: 4 bytes in float32, 2 in bfloat16 (the type of the published files), 1 in int8, and half a
# byte with 4 bits. The last two are **quantised**: rounded to few steps, with a scale factor for each
# group of numbers, which takes a little more room than shown here. A gigabyte (GB) is $10^9$ bytes. These
# notebooks load every model as float32, so for them the first column counts.

# %% key="memory-by-hand"
kinds = {"float32": 4, "bfloat16": 2, "int8": 1, "4 bits": 0.5}
table(
    ["weights alone, in GB", *kinds],
    [
        [name, *(f"{c.count_parameters() * width / 1e9:,.3g}" for width in kinds.values())]
        for name, c in configs.items()
    ],
)

# %% [markdown] key="memory-cache-why"
# While it writes, a Llama also keeps the keys and values of all tokens so far, in its cache (lesson 11).
# Per token that is two rows, key and value, of `Hkv` · `K` numbers in every block. The more query heads
# share a key, the smaller it is. We count 2 bytes for each number and 8192 tokens for every model, also
# where it was made for shorter texts.


# %% key="memory-cache"
def cache_bytes(c, n_tokens, width=2):
    return 2 * c.n_layers * c.n_kv_heads * c.head_dim * width * n_tokens


table(
    ["cache of keys and values", "bytes per token", "8192 tokens, in GB"],
    [
        [name, f"{cache_bytes(c, 1):,}", f"{cache_bytes(c, 8192) / 1e9:.3f}"]
        for name, c in configs.items()
    ],
)

# %% [markdown] key="memory-fits-why"
# So what fits? Take the weights and a cache for 8192 tokens. Add a fifth for everything else on the machine:
# the system, the program, the results on their way through a block. (A fifth is a rough guess.) For each
# memory size, the largest model of our list:


# %% key="memory-fits"
def fits(memory_gb, width):
    best = "none"
    for name in published:  # small to large
        needed = configs[name].count_parameters() * width + cache_bytes(configs[name], 8192)
        best = name if 1.2 * needed <= memory_gb * 1e9 else best
    return best


table(
    ["memory, in GB", *kinds],
    [[gb, *(fits(gb, width) for width in kinds.values())] for gb in (4, 8, 16, 32, 64, 128, 256)],
)

# %% [markdown] key="memory-note"
# No graphics card stands in this table, since none is needed to *run* a model. A processor computes the
# same numbers from ordinary memory, only more slowly. When one text is written, what sets the pace is
# reading: nearly every weight is read once for each new token. So a token takes about as long as it takes
# to read the weights from memory, or longer. A graphics card has faster memory, which is the main reason
# why it writes faster. Int8 and 4 bits help too: fewer bytes have to be read.
#
# And weights need not be in memory all at once. A file can be **mapped**: the system then reads the parts
# that are needed and drops them again. That works with little memory, at the pace of the disk. Or take a
# smaller model: the small ones are Llamas in every part, and these pages run on them. *Training* is
# another matter: it needs several times as much memory, for gradients, the optimizer's averages, and the
# activations of all blocks.

# %% [markdown] key="shapes-note"
# ## What you have seen

# %% key="shapes"
from classroom import shapes

arrays = {
    "x, resid_mid, resid_out": "T D",
    "attn_out, down": "T D",
    "gate, up, hidden": "T F",
    "logits at one height of the lens": "T V",
    "embedding": "V D",
    "output": "D V",
}
shapes(arrays, config, n_tokens=len(ids))

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>Why can the same loop run 16 blocks or 80?</summary>
#
# A block takes rows of width `D` and gives back rows of width `D`. So its output can be the input of
# another block, as often as one likes.
#
# </details>
#
# <details><summary>All blocks run the same code. What makes them do different things?</summary>
#
# Their weights, and what they read: each finds in the stream what the blocks before it have written.
#
# </details>
#
# <details><summary>Why can the logit lens use the output matrix at any height?</summary>
#
# The stream has the same columns everywhere, and blocks only add to it. So a direction that means
# something at the top can already be there earlier. It need not be: only the top was trained for it.
#
# </details>
#
# <details><summary>Llama 3 8B has 1.3 billion parameters more than Llama 2 7B, with the same width and the
# same number of blocks. Where are they?</summary>
#
# Its vocabulary is four times as large: embedding and output together have 1.05 billion parameters
# instead of 0.26. The feed-forward step is wider, 14336 instead of 11008, which gives 1.31 billion more.
# Grouped queries save 0.81 billion in attention.
#
# </details>
#
# <details><summary>A memory delivers 50 GB per second. How fast can Llama 3 8B write at best, in
# bfloat16?</summary>
#
# It reads about 16 GB for each token, so about 3 tokens per second. With 4 bits, 4 GB, about 12.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# The stream has reached the top. Lesson 10, logits, turns its last row into probabilities and shows the
# ways of choosing a token from them.
