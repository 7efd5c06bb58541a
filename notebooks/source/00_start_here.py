# %% [markdown] key="title"
# # 00 Start here: a whole Llama on one page
#
# A language model reads a text and gives every possible next token a probability. This page shows how
# Llama 3 does it. A sentence goes in at the top, one token comes out at the bottom. The first block is
# computed in front of you, matrix by matrix, in NumPy; the other blocks run the same code.
#
# After this page you can say what each part of Llama 3 does to a sentence. You can name its matrices and
# find its code. You need Python and the product of two matrices, `A @ B`. You need no graphics card, no
# account and no download: a small Llama comes with these notebooks. It has the parts of Llama 3 8B in the
# same order, with smaller matrices and fewer heads, and the code that trained it is in this repository.
#
# The picture below is the map. Text is cut into **tokens**, and each token becomes a row of numbers. The
# rows travel from left to right along one line, the **residual stream**. Each block reads from the stream
# twice and adds something to it twice. At the end the last row gives a score to every token that could
# come next.

# %% key="map"
import numpy as np
from classroom import agree, show, source

from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers)

# %% [markdown] key="how-to-read"
# ## How to read these notebooks
#
# Run a cell with Shift+Enter. Most steps come three times:
#
# 1. **By hand**: a few lines of bare NumPy on the real numbers of this sentence.
# 2. **Named**: the function of the library `llama_np` that does the same, its code shown as it stands.
# 3. **Agree**: both results are compared, up to rounding (1 part in 100,000). If they differ, the cell
#    stops with an error. So a page that ran is a page that was checked.
#
# Every array has named **axes**. `T` counts the tokens of the text. In attention, where tokens meet
# tokens, the second count is `S`. The other letters come with the sizes of the model, below. A comment
# such as `# T D @ D K -> T K` gives the axes of a product: `T` rows of `D` numbers, times a matrix of `D`
# by `K`.
#
# In pictures red is positive, blue negative, white zero, grey minus infinity. Weights that cannot be
# negative go from white to dark blue. Each picture has its own scale, at its right.
#
# In the library's code, `Array["T D"]` states the axes of an array, and `...` stands for any axes in
# front, such as a batch of several texts. `tap("name", value)` gives `value` back unchanged; step 11 uses
# it. Pass over `cache`: it saves time and changes no result.

# %% [markdown] key="lessons"
# ## The lessons
#
# This page goes through the whole model once, quickly. The lessons take one part each and take their
# time.
#
# | lesson | what it walks through |
# |---|---|
# | 00 start here | this page |
# | 01 tokens | text to bytes, to pieces, to ids |
# | 02 embedding | ids to rows of a matrix |
# | 03 RMS norm | bringing every row to the same size |
# | 04 single-head attention | queries, keys, values, and their mix |
# | 05 RoPE | how position gets in |
# | 06 masking | who may see whom |
# | 07 multi-head | many heads, and how they share keys |
# | 08 feed-forward | each token by itself |
# | 09 32 blocks | the stream from bottom to top |
# | 10 logits | from the last row to a choice |
# | 11 KV cache | never computing the same thing twice |
# | 12 generation | the loop that writes |

# %% [markdown] key="model"
# ## The model
#
# A model is three things. Its **config** holds its sizes and a few constants, fixed before training. Its
# **weights** are the numbers that training sets, also called parameters. Its **tokenizer** turns text
# into ids and back. Here are the sizes of the model you have just loaded, beside those of Llama 3 8B. The
# letters name the axes; each is explained at its step.

# %% key="sizes"
from classroom import sizes

sizes(config)

# %% [markdown] key="tokens-why"
# ## Step 1. Text to tokens
#
# A model computes with numbers, so a text becomes a list of numbers. It is cut into tokens: a word, part
# of a word, a punctuation mark, at worst a single byte. The model has a fixed list of them, and a token's
# place in it is its **id**. The space before a word is usually part of that word's token, drawn here as
# `␣`: `the` and `␣the` are two different tokens. A space at the very end is a token of its own. `bos=True`
# puts the special token `<|begin_of_text|>` in front.

# %% key="tokens"
prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
show.tokens(labels, ids)
print("ids", ids.shape, ids)

# %% [markdown] key="embedding-why"
# ## Step 2. Tokens to rows of numbers
#
# An id says which token it is, but nothing about it. The **embedding** is a matrix with one row of `D`
# numbers for every token of the vocabulary, set by training. Looking up rows is all that happens here.
# The rows of our tokens, one below the other, are the start of the residual stream `x`.

# %% key="embedding-by-hand"
x = weights.embedding[ids]
print("embedding", weights.embedding.shape, "-> x", x.shape)
show.matrix(x, ("T", "D"), rows=labels, title="x: one row per token")

# %% key="embedding-named"
from llama_np import embed

source(embed)

# %% key="embedding-agree"
agree(x, embed(weights.embedding, ids))

# %% [markdown] key="norm-why"
# ## Step 3. RMS norm: the same size for every row
#
# The first block begins. The numbers in a row can become large or small on their way through the model.
# Matrices work more evenly on rows of one size, so attention and feed-forward each read a normalised copy
# of the stream. Each row $x$ is divided by its **root mean square**, the square root of the mean of its
# squares. Then column $d$ is multiplied by a learned number $w_d$:
#
# $$\mathrm{norm}(x)_d = \frac{x_d}{\sqrt{\frac{1}{D}\sum_{i} x_i^2 + \epsilon}} \; w_d$$
#
# The tiny number $\epsilon$ stands inside the root and keeps a row of zeros from being divided by zero.
# The stream itself stays as it is: only the copy is normalised
# ([Zhang and Sennrich 2019](https://arxiv.org/abs/1910.07467)).

# %% key="norm-by-hand"
layer = weights.layers[0]
mean_square = (x**2).mean(axis=-1, keepdims=True)
normed = x / np.sqrt(mean_square + config.norm_eps) * layer.attn_norm
print("root mean square of each row:", np.sqrt(mean_square).ravel().round(3))
show.matrices({"x": x, "normed": normed}, ("T", "D"), rows=labels, across=1)

# %% key="norm-named"
from llama_np import rms_norm

source(rms_norm)

# %% key="norm-agree"
agree(normed, rms_norm(x, layer.attn_norm, config.norm_eps))

# %% [markdown] key="qkv-why"
# ## Step 4. Queries, keys, values
#
# So far each token knows only itself. **Attention** lets each token read from itself and from the tokens
# before it. Each token has a **query**: what it is looking for. Each has a **key**: by what it can be
# found. And each has a **value**: what it hands over. All three are products of the normalised row with
# learned matrices. This happens several times side by side, in **heads** of width `K`, each with its own
# columns of the matrices, so that each can look for something else. Here is the first head.

# %% key="qkv"
K = config.head_dim
q = normed @ layer.wq[:, :K]  # T D @ D K -> T K
k = normed @ layer.wk[:, :K]
v = normed @ layer.wv[:, :K]
show.matrices({"q": q, "k": k, "v": v}, ("T", "K"), rows=labels)

# %% [markdown] key="rotation-why"
# ## Step 5. Rotation: where a token stands
#
# So far a token's place plays no part. Llama brings it in by **rotation** (rotary position embedding,
# RoPE). The numbers of a query or key are taken in pairs, each pair as a point in the plane, and turned
# by an angle: the token's position times the pair's **frequency**, in radians. The first position is 0.
# The first pair turns fast, the last ones slowly; `rope_theta` is a constant of the config, and the
# larger it is, the slower the last pairs turn. The product of a query and a key then depends on what they
# hold and on the distance between them, not on where the two stand. Values are not rotated: they say what
# is handed over, not where it was ([Su et al. 2021](https://arxiv.org/abs/2104.09864), section 3.2.2).

# %% key="rotation-by-hand"
pair = np.arange(K // 2)
frequencies = config.rope_theta ** (-2 * pair / K)
positions = np.arange(len(ids))
angles = positions[:, None] * frequencies  # T 1 * K/2 -> T K/2


def turn(x):
    a, b = x[:, 0::2], x[:, 1::2]  # the two numbers of each pair
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape)


print("radians per position, pair by pair:", *(f"{f:.3g}" for f in frequencies))

# %% key="rotation-named"
from llama_np import rotate

source(rotate)

# %% [markdown] key="rotation-agree-note"
# The formula for the frequencies agrees with the library's. Llama 3.1 and later also slow the slow pairs
# down, and the config says so; from here on we use the frequencies that the config asks for. The last
# line moves every token 100 places on: the products of queries and keys stay what they were.

# %% key="rotation-agree"
from llama_np import rope_frequencies

agree(frequencies, rope_frequencies(K, config.rope_theta))
frequencies = rope_frequencies(K, config.rope_theta, config.rope_scaling)
angles = positions[:, None] * frequencies
q_rotated, k_rotated = turn(q), turn(k)
agree(q_rotated, rotate(q, positions, frequencies))
agree(k_rotated, rotate(k, positions, frequencies))

q_moved, k_moved = (rotate(a, positions + 100, frequencies) for a in (q, k))
agree(q_moved @ k_moved.T, q_rotated @ k_rotated.T)

# %% [markdown] key="attend-why"
# ## Step 6. Who reads from whom
#
# The **score** of a query and a key is the sum of the products of their numbers, divided by $\sqrt{K}$.
# Without the division wide heads would get large scores, and nearly all weight would fall on one key. A
# token must not read from the future, since the future is what it has to predict. So the scores of later
# keys are set to minus infinity. The **softmax** turns the scores $s$ of a row into weights between 0 and
# 1 that sum to one; $s_j$ is the score of key $j$:
#
# $$\mathrm{softmax}(s)_j = \frac{e^{s_j}}{\sum_i e^{s_i}}$$
#
# Minus infinity becomes a weight of exactly zero, and the rest of the row still sums to one. (The library
# first subtracts the row's largest score: the same result, and no overflow.) The weights are the head's
# **pattern**. Each row is a token that reads, each column a token it reads from
# ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.2.1).

# %% key="attend-by-hand"
scores = q_rotated @ k_rotated.T / np.sqrt(K)  # T K @ K S -> T S
mask = positions[None, :] <= positions[:, None]  # True where the key is no later than the query
masked = np.where(mask, scores, -np.inf)
pattern = np.exp(masked) / np.exp(masked).sum(axis=-1, keepdims=True)
show.matrices(
    {"scores": scores, "masked": masked, "pattern": pattern},
    ("query T", "key S"),
    rows=labels,
    columns=labels,
)
print("every row of the pattern sums to", pattern.sum(axis=-1).round(6))

# %% [markdown] key="mix-why"
# The first row has no choice: the first token sees only itself. In the model that comes with these
# notebooks, the heads of the first block read from everything almost evenly; step 11 shows sharper ones.
#
# Each token now collects the values of the tokens it reads from, weighted by its row of the pattern. That
# is one more matrix product. The result is the head's **mix**.

# %% key="mix-by-hand"
mix = pattern @ v  # T S @ S K -> T K
print("mix", mix.shape)
for j in np.argsort(-pattern[-1])[:4]:
    print(f"{labels[-1]} reads {pattern[-1, j]:.3f} from {labels[j]}")

# %% [markdown] key="attend-named-note"
# In the library these steps are one function. Its `mask_scores` does what `np.where` did above; with `None` in
# place of `mask` nothing would be hidden. `tap` is the subject of step 11.

# %% key="attend-named"
from llama_np import attend

source(attend)

# %% key="attend-agree"
agree(mix, attend(q_rotated, k_rotated, v, mask))

# %% [markdown] key="heads-why"
# ## Step 7. All heads, and back to the stream
#
# The other heads do the same with their own columns. There are fewer keys and values than queries:
# `group` query heads share one **key-value head**, and query head `h` uses number `h // group`. That leaves
# less to keep in memory while the model writes ([Ainslie et al. 2023](https://arxiv.org/abs/2305.13245)).
# The mixes of all heads are laid side by side. The matrix `wo` combines them into one row of width `D` per
# token, and this is **added** to `x`. In the library's function below, `linear(x, wq)` is `x @ wq`, and
# `apply_rotary` is `rotate`, written faster. The cosines and sines are ready-made for it: `rope_rotations`
# makes them once for all blocks, as complex numbers (lesson 05).

# %% key="heads-by-hand"
mixes = []
for h in range(config.n_heads):
    own = slice(h * K, (h + 1) * K)
    shared = slice(h // config.group * K, (h // config.group + 1) * K)
    q_h, k_h = turn(normed @ layer.wq[:, own]), turn(normed @ layer.wk[:, shared])
    mixes.append(attend(q_h, k_h, normed @ layer.wv[:, shared], mask))
attn_out = np.concatenate(mixes, axis=-1) @ layer.wo  # T Hq*K @ Hq*K D -> T D
resid_mid = x + attn_out
print("heads", config.n_heads, "in groups of", config.group, "-> attn_out", attn_out.shape)

# %% key="heads-named"
from llama_np import attention, rope_rotations

source(attention)

# %% key="heads-agree"
rotations = rope_rotations(positions, frequencies)
attention_by_name = attention(normed, layer, config, rotations, mask)
agree(attn_out, attention_by_name)

# %% [markdown] key="ffn-why"
# ## Step 8. Feed-forward: each token by itself
#
# Attention has moved information between tokens. Now each token works on what it has, alone. A normalised
# copy of `resid_mid` is multiplied by two matrices, `w_gate` and `w_up`, each `F` wide. The gate goes
# through the curve $\mathrm{silu}(g) = g / (1 + e^{-g})$. Far below zero that is nearly 0, far above it
# nearly $g$. It is then multiplied with `up`, number by number, and so decides how much of `up` passes.
# `w_down` brings the row back to width `D`. The result is added to `resid_mid`, not to the normalised copy
# ([Shazeer 2020](https://arxiv.org/abs/2002.05202), equation 6).

# %% key="ffn-by-hand"
normed = rms_norm(resid_mid, layer.ffn_norm, config.norm_eps)
gate = normed @ layer.w_gate  # T D @ D F -> T F
up = normed @ layer.w_up
hidden = gate / (1 + np.exp(-gate)) * up
down = hidden @ layer.w_down  # T F @ F D -> T D
resid_out = resid_mid + down
show.matrices(
    {"gate": gate, "up": up, "hidden = silu(gate) * up": hidden}, ("T", "F"), rows=labels, across=1
)

# %% key="ffn-named"
from llama_np import swiglu

source(swiglu)

# %% key="ffn-agree"
agree(down, swiglu(normed, layer.w_gate, layer.w_up, layer.w_down))

# %% [markdown] key="blocks-why"
# ## Step 9. All blocks
#
# Steps 3 to 8 are one block: norm, attend, add; norm, feed forward, add. The model repeats it with
# new matrices each time. The output of one block is the input of the next.

# %% key="block-named"
from llama_np import block

source(block)

# %% key="block-agree"
agree(resid_out, block(x, layer, config, rotations, mask))

# %% [markdown] key="stream-why"
# Now through all of them. Below is the row of the last token, from which the next token will be read. Row
# 0 is its embedding, row `n` what stands there after `n` blocks. Follow a column downwards: each block adds
# to what is there.

# %% key="stream-by-hand"
stream = x
last_rows = [stream[-1]]
for each in weights.layers:
    stream = block(stream, each, config, rotations, mask)
    last_rows.append(stream[-1])
show.matrix(np.array(last_rows), ("blocks passed", "D"), title=f"the stream at {labels[-1]}")

# %% [markdown] key="logits-why"
# ## Step 10. From the last row to a prediction
#
# After the last block the rows are normalised once more. The **output matrix** has one column for
# every token of the vocabulary. Its product with a row gives one score per token, the **logits**:
# the higher, the likelier that token comes next. A softmax makes them probabilities. Every row
# predicts what follows its own token; to continue the text we need the last row only.

# %% key="logits-by-hand"
from llama_np import softmax

logits = rms_norm(stream, weights.norm, config.norm_eps) @ weights.output  # T D @ D V -> T V
probabilities = softmax(logits[-1])
best = np.argsort(-probabilities)[:10]
show.bars(
    probabilities[best],
    [tokenizer.token(i) for i in best],
    "probability",
    title=f"ten best tokens after: {prompt}",
    lit=0,
)

# %% [markdown] key="forward-named"
# That is the whole model. The library's `forward` is the same walk from ids to logits.

# %% key="forward-source"
from llama_np import forward

source(forward)

# %% key="forward-agree"
agree(logits, forward(weights, config, ids))

# %% [markdown] key="inside"
# ## Step 11. Looking inside
#
# `forward` calls a **tap** on each of its named results; `record(trace)` is a tap that keeps them all. So
# any matrix of any block is one look-up away. Here are the patterns of four heads, picked because they are
# clear: from each quarter of the blocks the head that puts most weight on a token other than the first and
# the one that reads. Most heads are less clear.

# %% key="patterns"
from classroom import clearest_head

from llama_np import record

trace = {}
forward(weights, config, ids, tap=record(trace))

chosen = {}
for some_blocks in np.array_split(np.arange(config.n_layers), min(4, config.n_layers)):
    i, h = clearest_head(trace, some_blocks, config.n_heads)
    chosen[f"block {i}, head {h}"] = trace[f"blocks.{i}.pattern"][h]
show.matrices(chosen, ("query T", "key S"), rows=labels, columns=labels)

# %% [markdown] key="writing-why"
# ## Step 12. Writing
#
# To write, choose a token, put it behind the text, and start again. The simplest choice is the
# likeliest token, called **greedy**. By hand, that is a loop around `forward`.

# %% key="writing-by-hand"
text = ids
for _ in range(12):
    text = np.append(text, forward(weights, config, text)[-1].argmax())
print(tokenizer.decode(text[1:]))

# %% [markdown] key="writing-named-note"
# The library's `generate` writes the same tokens. It keeps the keys and values of past tokens in a
# **cache** instead of computing them again. With `stop_tokens=` it also ends at the token by which the
# model closes a text.

# %% key="writing-agree"
from llama_np import generate

agree(text[len(ids) :], np.array(list(generate(weights, config, ids, 12))))

# %% [markdown] key="story-note"
# Always taking the likeliest token makes a small model go in circles before long. So for a whole story the
# next token is **drawn** at random, each as often as its probability says, after all logits have been
# divided by a **temperature**. A **seed** fixes the draws. The model that comes with these notebooks was
# trained on about two and a half thousand short stories and sixty lines of facts. Expect small words and
# little sense.

# %% key="story"
from llama_np import Sampling
from llama_np.tokenizer import stream_text

rng = np.random.default_rng(seed=0)
how = Sampling(temperature=0.8)
story = generate(weights, config, ids, 400, how, rng=rng, stop_tokens=tokenizer.stop_ids)
print(prompt, end="")
for piece in stream_text(tokenizer, story):
    print(piece, end="")

# %% [markdown] key="experiment"
# ## Try it
#
# Before you run the next cell, predict: what becomes of the text at a temperature of 0.3, and of 1.5? What
# does another seed change? Then put in other numbers and run it again.

# %% key="experiment-cell"
for temperature in (0.3, 0.8, 1.5):
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        new = generate(weights, config, ids, 25, Sampling(temperature), rng=rng)
        print(f"{temperature}, seed {seed}: ...{tokenizer.decode(new)!r}")

# %% [markdown] key="experiment-answer"
# <details><summary>Answer</summary>
#
# Near 0 the text becomes the greedy one, whatever the seed. Above 1 the probabilities move closer
# together, so rare tokens come more often and the text falls apart. In between, every seed gives another
# story.
#
# </details>

# %% [markdown] key="other-llamas"
# ## The same page on another Llama
#
# No cell above states a size: each asks the model. So the same page runs on any Llama in Hugging
# Face's format with Llama 3's `tokenizer.model`. Give its folder in the first cell,
# `load_model("path/to/folder")`, or set the variable `LLAMA_MODEL` to the folder before you start
# Jupyter. The README says where to find one.

# %% [markdown] key="shapes-note"
# ## What you have seen
#
# These are the main arrays of one block, all heads together, and what stands before and after the blocks.
# Beside them is their size in Llama 3 8B for a text of the same number of tokens.

# %% key="shapes"
from classroom import shapes

arrays = {
    "ids": "T",
    "x, the stream": "T D",
    "q": "Hq T K",
    "k and v": "Hkv T K",
    "scores, masked, pattern": "Hq T S",
    "gate, up, hidden": "T F",
    "logits": "T V",
}
shapes(arrays, config, n_tokens=len(ids))

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>Which step moves information from one token to another?</summary>
#
# Attention, and only attention. Norm, feed-forward and the output matrix treat every row by itself.
#
# </details>
#
# <details><summary>Why do the rows of the pattern still sum to one, although half of it is zero?</summary>
#
# The mask comes before the softmax. It sets scores to minus infinity, and the softmax then shares
# the whole weight among the keys that are left.
#
# </details>
#
# <details><summary>What would happen if each block replaced the stream instead of adding to it?</summary>
#
# Whatever earlier blocks had written would have to pass through every later block. With adding, what
# a block does not touch stays as it is. A block can still remove something by adding its opposite.
#
# </details>
#
# <details><summary>The model predicts a next token at every position. Why do we use only the last?</summary>
#
# For the others we already know what comes next: it stands in the prompt. In training all of them
# are used, since each is one more prediction to learn from.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# This page was quick. Lesson 01, tokens, takes step 1 apart, byte by byte.
