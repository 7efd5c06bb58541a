# %% [markdown] key="title"
# # 00 Start here: a whole Llama on one page
#
# "Once upon a time, there was a little girl named": the small Llama that comes with these notebooks goes on with
# ` Lily`. If a boy is named, it says something else, although the last token, ` named`, is the same. How does the
# news of the girl get there, and what would the model say if it did not?
#
# A **language model** reads a text and gives every possible next token a probability. Here you watch Llama 3 do
# that, matrix by matrix, in NumPy, and at the end you hide one word from the last token to see what becomes of
# Lily. You need Python and to know what `A @ B` does to two matrices; no graphics card, account or download.
#
# The picture is the map. Text is cut into **tokens**, each token becomes a row of numbers, and the rows travel along
# one line, the **residual stream**. Each block reads from the stream twice and adds to it twice. At the end the last
# row gives a score to every token that could come next.

# %% key="map"
import numpy as np
from classroom import agree, show, table

from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers)

# %% key="question"
from llama_np import forward, softmax

prompt = "Once upon a time, there was a little girl named"


def best_tokens(p, n=6):
    """The likeliest tokens with their probabilities, in a line."""
    return "  ".join(f"{tokenizer.token(i)} {p[i]:.2f}" for i in np.argsort(-p)[:n])


texts = {"girl": prompt, "boy": prompt.replace("girl", "boy")}
answers = {}
for name, text in texts.items():
    text_ids = np.array(tokenizer.encode(text, bos=True))
    answers[name] = softmax(forward(weights, config, text_ids)[-1])
    print(f"{name:5}", best_tokens(answers[name]))
hers, his = (int(p.argmax()) for p in answers.values())

# %% [markdown] key="question-read"
# There is the whole model in one call, `forward`, and what it says: after *girl* `{{ tokenizer.token(hers) }}` comes
# first, with a probability of {{ answers["girl"][hers] :.2f }}, after *boy* `{{ tokenizer.token(his) }}` with
# {{ answers["boy"][his] :.2f }}. After *girl* the boy's name has {{ answers["girl"][his] :.4f }}, after *boy* the girl's
# {{ answers["boy"][hers] :.4f }}. (The sign `␣` is a space that belongs to a token.) The rest of the page opens this call.
# {{ claim: hers != his and answers["boy"][hers] < 0.1 * answers["girl"][hers] and answers["girl"][his] < 0.1 * answers["boy"][his] }}

# %% [markdown] key="how-to-read"
# ## How to read these notebooks
#
# Run a cell with Shift and Enter. What is new is done **by hand** first, in bare NumPy. Then comes its **name**, the
# function of the library `llama_np`, and a line says that both **agree**: no number may differ by more than a
# hundred-thousandth of the largest, or the cell stops with an error.
#
# Every array has named **axes**. `T` counts the tokens; in attention, where tokens meet tokens, the second count is
# `S`. A comment such as `# T D @ D K -> T K` gives the axes of a product.

# %% [markdown] key="model"
# ## The model
#
# A model is three things. Its **config** holds its sizes, fixed before training. Its **weights** are the numbers that
# training sets, also called parameters. Its **tokenizer** turns text into ids and back. The one you have loaded is
# called **the doll-house**: it has the rooms of Llama 3 8B, and everything in them is small.

# %% key="sizes"
from classroom import sizes

sizes(config)

# %% [markdown] key="tokens-why"
# ## Step 1. Text to tokens
#
# A text is cut into tokens: a word, part of a word, a punctuation mark, at worst a single byte. The model has a fixed
# list of them, its **vocabulary**, and a token's place in it is its **id**. The space before a word is usually part
# of that word's token. `bos=True` puts the special token `<|begin_of_text|>` in front, which pictures call `<|bos|>`.

# %% key="tokens"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
show.tokens(labels, ids)
print("ids", ids.shape, "= T")

# %% [markdown] key="embedding-why"
# ## Step 2. Tokens to rows of numbers
#
# An id says which token it is, but nothing about it. The **embedding** is a matrix with one row of `D` numbers for
# every token of the vocabulary, set by training, and all that happens here is that rows are looked up. They are
# the start of the residual stream `x`.

# %% key="embedding-by-hand"
from llama_np import embed

x = weights.embedding[ids]
agree(x, embed(weights.embedding, ids))
rows = [
    [label, i, " ".join(f"{number:+.2f}" for number in row[:6]) + " ..."]
    for label, i, row in zip(labels, ids, x)
]
table(["token", "id", f"the first of its {config.dim} numbers"], rows)

# %% [markdown] key="choose-why"
# `{{ max(labels, key=labels.count) }}` comes twice and has the same row both times: so far no token knows where it
# stands, or what stands beside it.
#
# ## Which block to open?
#
# Now come {{ config.n_layers }} blocks, which run the same code with different weights. Every token has its own line
# through them, and there is one way from line to line: in every block a token may *read* the earlier ones. How much it
# reads of each is decided by a table of scores, which step 6 computes; a score of minus infinity means not at all. So we
# can forbid ` named` one reading at a time and see how much of its preference for the girl's name is lost. That is
# measured by their **logits**, the scores that step 10 turns into probabilities. The tool is a **tap**: `forward` hands
# every named result to it, and one made by `patch` puts a changed result in its place.

# %% key="hide"
from llama_np import patch

girl = len(ids) - 2  # the place of " girl"; the last token is " named"


def hide(hidden, blocks, heads=slice(None)):
    """A tap: in these blocks, and in all heads if none are named, the last token cannot read one."""

    def change(scores):  # Hq T S: for each head, who reads, who is read
        scores = scores.copy()
        scores[heads, -1, hidden] = -np.inf
        return scores

    return patch({f"blocks.{i}.masked": change for i in blocks})


def preference(**options):
    """By how much her name's logit is above his."""
    logits = forward(weights, config, ids, **options)[-1]
    return float(logits[hers] - logits[his])


# %% key="choose"
lead = preference()
lost = np.zeros((config.n_layers, len(ids)))  # L T
for i, t in np.ndindex(config.n_layers, len(ids) - 1):
    lost[i, t] = lead - preference(tap=hide(t, [i]))
chosen = int(lost[:, girl].argmax())
print(f"her name is ahead by {lead:.1f}; of {lost[:, :-1].size} readings,")
print(f"{np.sum(lost > 0.25 * lost.max())} cost more than a quarter of what the dearest one costs")
show.streams(labels, lost, unit="lost", out=tokenizer.token(hers))

# %% [markdown] key="choose-read"
# Each dot is one forbidden reading, drawn larger the more was lost; where forbidding helped there is no dot. The large ones have
# arrows, the three dearest in red. Few readings matter much, and those that do lie on one line: the
# {{ np.sum(lost > 0.25 * lost.max()) }} largest losses are all readings of ` girl`, in different blocks, so the news comes
# in more than one way. The dearest, in block {{ chosen }}, costs {{ lost[chosen, girl] :.1f }} of {{ lead :.1f }}. That block
# we open. The ones before it have already added to `x`, and we take the stream as it arrives.
# {{ claim: lost.argmax() % len(ids) == girl and (lost[:, :girl] < 0.25 * lost.max()).all() }}
# {{ claim: np.sum(lost > 0.25 * lost.max()) > 1 }}

# %% [markdown] key="norm-why"
# ## Step 3. RMS norm: the same size for every row
#
# Rows can become large or small on their way. So attention and feed-forward each read a normalised *copy* of the
# stream. Each row $x$ is divided by its **root
# mean square**, the square root of the mean of its squares, and column $d$ is multiplied by a learned number $w_d$
# ([Zhang and Sennrich 2019](https://arxiv.org/abs/1910.07467)):
#
# $$\mathrm{norm}(x)_d = \frac{x_d}{\sqrt{\frac{1}{D}\sum_{i} x_i^2 + \epsilon}} \; w_d$$
#
# The tiny number $\epsilon$ keeps a row of zeros from being divided by zero.

# %% key="norm-by-hand"
from llama_np import record, rms_norm

trace = {}
forward(weights, config, ids, tap=record(trace))  # a tap that keeps every named result
# the stream as the block before has left it, its "residual output"
x = trace["embedded"] if chosen == 0 else trace[f"blocks.{chosen - 1}.resid_out"]
layer = weights.layers[chosen]
mean_square = (x**2).mean(axis=-1, keepdims=True)
normed = x / np.sqrt(mean_square + config.norm_eps) * layer.attn_norm
print("root mean square of each row:", np.sqrt(mean_square).ravel().round(2))
agree(normed, rms_norm(x, layer.attn_norm, config.norm_eps))

# %% [markdown] key="qkv-why"
# ## Step 4. Queries, keys, values
#
# The largest of these rows is {{ np.sqrt(mean_square).max() / np.sqrt(mean_square).min() :.1f }} times as large as the smallest, and their normalised copies have one size.
#
# **Attention** lets each token read from itself and from the tokens before it. Each token has a **query**, what it is
# looking for; a **key**, by which it can be found; and a **value**, what it hands over. All three are products of
# the normalised row with learned matrices. This happens several times side by side, in **heads** of width `K`, and
# `config.group` query heads share one **key-value head**, which saves memory while the model writes
# ([Ainslie et al. 2023](https://arxiv.org/abs/2305.13245)). We follow the head in which it costs most to hide ` girl`.
# The picture shows steps 4 to 7 from left to right.

# %% key="qkv"
show.attention_map(n_heads=config.n_heads, n_kv_heads=config.n_kv_heads)
heads, K = range(config.n_heads), config.head_dim
head = int(np.argmin([preference(tap=hide(girl, [chosen], h)) for h in heads]))
own = slice(head * K, (head + 1) * K)  # the columns of our head
shared = slice(head // config.group * K, (head // config.group + 1) * K)
q = normed @ layer.wq[:, own]  # T D @ D K -> T K
k = normed @ layer.wk[:, shared]
v = normed @ layer.wv[:, shared]
print("head", head, " q", q.shape, "k", k.shape, "v", v.shape)

# %% [markdown] key="rotation-why"
# ## Step 5. Rotation: where a token stands
#
# A token's place plays no part yet. Llama brings it in by **rotary position embedding**, RoPE: the numbers of a query
# or key are taken in pairs, each pair as a point in the plane, and turned by the token's position times the pair's
# **frequency**, fast for the first pair and slowly for the last. The product of a query and a key then depends on what
# they hold and on the *distance* between them
# ([Su et al. 2021](https://arxiv.org/abs/2104.09864), section 3.2.2).

# %% key="rotation-by-hand"
from llama_np import rope_frequencies, rotate

positions = np.arange(len(ids))
frequencies = rope_frequencies(K, config.rope_theta, config.rope_scaling)  # lesson 05
angles = positions[:, None] * frequencies  # T 1 * K/2 -> T K/2


def turn(x):
    a, b = x[:, 0::2], x[:, 1::2]  # the two numbers of each pair
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape)


q_rotated, k_rotated = turn(q), turn(k)
agree(q_rotated, rotate(q, positions, frequencies))

# %% [markdown] key="attend-why"
# ## Step 6. Who reads from whom
#
# The **score** of a query and a key is the sum of the products of their numbers, divided by $\sqrt{K}$ so that
# wide heads do not get larger scores than narrow ones. Here is that sum, not divided yet, where it decides: between
# the query of ` named` and the key of ` girl`.

# %% key="one-score"
show.one_cell(q_rotated, k_rotated, len(ids) - 1, girl, names=("q", "k", "q kᵀ"), labels=labels)

# %% [markdown] key="mask-why"
# A token must not read from the future, since the future is what it has to predict. So the scores of later keys
# are set to minus infinity. The **softmax** then turns the scores $s$ of a row into weights between 0 and 1 that sum
# to one, where minus infinity becomes exactly zero
# ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.2.1):
#
# $$\mathrm{softmax}(s)_j = \frac{e^{s_j}}{\sum_i e^{s_i}}$$
#
# The weights are the head's **pattern**, a row for each token that reads.

# %% key="attend-by-hand"
scores = q_rotated @ k_rotated.T / np.sqrt(K)  # T K @ K S -> T S
mask = positions[None, :] <= positions[:, None]  # True where the key is no later than the query
masked = np.where(mask, scores, -np.inf)
powers = np.exp(masked - masked.max(axis=-1, keepdims=True))  # the same weights, and no overflow
pattern = powers / powers.sum(axis=-1, keepdims=True)
show.reads(labels, pattern, title=f"what {labels[-1]} reads, block {chosen}, head {head}")
second = np.sort(scores[-1])[-2]
print(f"scores of the last row: the best {scores[-1].max():.1f}, the next best {second:.1f}")

# %% [markdown] key="attend-read"
# `{{ labels[-1] }}` reads `{{ labels[girl] }}` with a weight of {{ pattern[-1, girl] :.2f }}, out of 1. Nobody told this
# head where to look: training has set its matrices so that this query and this key fit. Their product of
# {{ scores[-1, girl] * np.sqrt(K) :.1f }}, divided by $\sqrt{K}$, is a score of {{ scores[-1, girl] :.1f }}, while the
# next best of that row is {{ second :.1f }}, and the softmax turns that lead into
# {{ np.exp(scores[-1, girl] - second) :.0f }} times the weight.
# {{ claim: pattern[-1].argmax() == girl and pattern[-1, girl] > 0.5 }}
#
# What it gets there are the values of all tokens, weighted by the row of the pattern: the head's **mix**.

# %% key="mix-by-hand"
from llama_np import attend

mix = pattern @ v  # T S @ S K -> T K
agree(mix, attend(q_rotated, k_rotated, v, mask))

# %% [markdown] key="heads-why"
# ## Step 7. All heads, and back to the stream
#
# The other heads do the same with their own columns. Their mixes are laid side by side, the matrix `wo` combines them
# into one row of width `D` per token, and this is **added** to `x`. Half of the block is done, and the stream at
# this point is called `resid_mid`.

# %% key="heads-by-hand"
mixes = []
for h in heads:
    own = slice(h * K, (h + 1) * K)
    shared = slice(h // config.group * K, (h // config.group + 1) * K)
    q_h, k_h = turn(normed @ layer.wq[:, own]), turn(normed @ layer.wk[:, shared])
    mixes.append(attend(q_h, k_h, normed @ layer.wv[:, shared], mask))
attn_out = np.concatenate(mixes, axis=-1) @ layer.wo  # T Hq*K @ Hq*K D -> T D
resid_mid = x + attn_out
agree(resid_mid, trace[f"blocks.{chosen}.resid_mid"])

# %% [markdown] key="ffn-why"
# ## Step 8. Feed-forward: each token by itself
#
# Attention is the one step that moves information between tokens. Now each token works on what it has, alone. A normalised copy of
# `resid_mid` is multiplied by two matrices, each `F` wide. One result, the gate, goes through the curve
# $\mathrm{silu}(g) = g / (1 + e^{-g})$, which is nearly 0 far below zero and nearly $g$ far above, and so decides
# how much of the other, `up`, passes. `w_down` brings the row back to width `D`, and it is added to `resid_mid`
# ([Shazeer 2020](https://arxiv.org/abs/2002.05202), equation 6).

# %% key="ffn-by-hand"
normed = rms_norm(resid_mid, layer.ffn_norm, config.norm_eps)
gate = normed @ layer.w_gate  # T D @ D F -> T F
up = normed @ layer.w_up
hidden = gate / (1 + np.exp(-gate)) * up
resid_out = resid_mid + hidden @ layer.w_down  # T F @ F D -> T D
agree(resid_out, trace[f"blocks.{chosen}.resid_out"])

# %% [markdown] key="blocks-why"
# ## Step 9. The whole model
#
# Steps 3 to 8 are one block, and the model is nothing but its blocks one after the other, each with weights of its
# own, between the embedding and one last norm. With the library's names for our steps, that is all of Llama 3:

# %% key="blocks"
from llama_np import attention, rope_rotations, swiglu

rotations = rope_rotations(positions, frequencies)  # the cosines and sines of step 5
x = embed(weights.embedding, ids)
for layer in weights.layers:
    normed = rms_norm(x, layer.attn_norm, config.norm_eps)
    x = x + attention(normed, layer, config, rotations, mask)
    normed = rms_norm(x, layer.ffn_norm, config.norm_eps)
    x = x + swiglu(normed, layer.w_gate, layer.w_up, layer.w_down)
logits = rms_norm(x, weights.norm, config.norm_eps) @ weights.output  # T D @ D V -> T V
agree(logits, forward(weights, config, ids))

# %% [markdown] key="logits-why"
# ## Step 10. From the last row to a prediction
#
# The **output matrix** has one column for every token of the vocabulary. Its product with a row gives one score per
# token, the **logits**, and a softmax makes them probabilities. Every row predicts what follows its own token; to
# continue the text we need the last row only.

# %% key="logits-by-hand"
probabilities = softmax(logits[-1])
best = np.argsort(-probabilities)[:8]
show.bars(
    probabilities[best],
    [tokenizer.token(i) for i in best],
    "probability",
    title=f"the best tokens after: {prompt}",
    lit=0,
)

# %% [markdown] key="logits-read"
# `{{ tokenizer.token(best[0]) }}` gets {{ probabilities[best[0]] :.2f }}, and the runners-up are other names, or their beginnings.
# Nothing in the library says "name" or "girl": all of it is in the {{ config.count_parameters() :, }} numbers that
# training has set.

# %% [markdown] key="experiment"
# ## Step 11. Hiding a word
#
# Now we hide ` girl` in *all* blocks: the text still says it, but the last token cannot look there. As a control, each
# other token is hidden in the same way. **Predict before you run:** will the model then say a girl's name, a boy's, or
# no name at all?

# %% key="experiment-cell"
blocks = range(config.n_layers)
hidden = [
    softmax(forward(weights, config, ids, tap=hide(t, blocks))[-1]) for t in range(len(ids) - 1)
]
cut = hidden[girl]
for name, each in {"as it is": probabilities, "girl hidden": cut}.items():
    print(f"{name:12}", best_tokens(each))
hers_left = np.array([each[hers] for each in hidden])
name = tokenizer.token(hers)
show.bars(
    hers_left, labels[:-1], f"probability of {name}", title="when one token is hidden", lit=girl
)

# %% [markdown] key="experiment-answer"
# <details><summary>Answer</summary>
#
# Still a name, because ` named` itself asks for one. But `{{ tokenizer.token(hers) }}` falls from
# {{ probabilities[hers] :.2f }} to {{ cut[hers] :.2f }}, while the boy's `{{ tokenizer.token(his) }}` comes up from
# {{ probabilities[his] :.4f }} to {{ cut[his] :.2f }}, and names of girls and boys stand side by side. The six shown
# have only {{ np.sort(cut)[-6:].sum() :.2f }} together; the rest is spread thin.
# {{ claim: cut[hers] < 0.7 * probabilities[hers] and cut[his] > 5 * probabilities[his] }}
# {{ claim: {hers, his} < set(np.argsort(-cut)[:8]) }}
#
# </details>
#
# With any other token hidden `{{ tokenizer.token(hers) }}` keeps {{ np.delete(hers_left, girl).min() :.2f }} or more.
# {{ claim: np.delete(hers_left, girl).min() > 2 * hers_left[girl] }}
# The girl also stands nearest to the last token, and this page cannot say whether that is why. Lesson
# [04](04_single_head_attention.ipynb) leaves her there and exchanges *what* she is, in twenty texts.

# %% [markdown] key="writing-why"
# ## Step 12. Writing
#
# To write, choose a token, put it behind the text, and start again. The simplest choice is the likeliest token,
# called **greedy**. By hand, that is a loop around `forward`; the library's `generate` writes the same tokens, without
# computing the past again ([lesson 11](11_kv_cache.ipynb)).

# %% key="writing-by-hand"
from llama_np import generate

text = ids
for _ in range(12):
    text = np.append(text, forward(weights, config, text)[-1].argmax())
print(tokenizer.decode(text[1:]))
agree(text[len(ids) :], np.array(list(generate(weights, config, ids, 12))))

# %% [markdown] key="story-note"
# For a whole story the next token is **drawn** at random, each as often as its probability says, after all logits have
# been divided by a **temperature**. Another **seed** gives another story. We also collect the words that occur in none
# of the stories this model has told before.

# %% key="story"
import re

from llama_np import Sampling
from llama_np.tokenizer import stream_text
from weights_tools.training.heroes import read_stories

rng = np.random.default_rng(seed=0)
how = Sampling(temperature=0.8)
story = generate(weights, config, ids, 300, how, rng=rng, stop_tokens=tokenizer.stop_ids)
print(prompt, end="")
told = ""
for piece in stream_text(tokenizer, story):
    print(piece, end="")
    told += piece
known = set(re.findall(r"\w+", " ".join(read_stories()).lower()))
strange = set(re.findall(r"\w+", told.lower())) - known

# %% [markdown] key="story-read"
# Nothing is broken. {{ config.count_parameters() / 1e6 :.1f }} million numbers write sentences that sound like English and
# a story that leads nowhere much, and {{ len(strange) }} of its words are in none of the
# {{ len(read_stories()) :, }} others:
# {{ ", ".join(f"*{word}*" for word in sorted(strange)) }}. Some of them do not exist. Lesson [10](10_logits.ipynb) counts such words at several
# temperatures.

# %% [markdown] key="next"
# ## What comes next
#
# [Exercise 00](exercises/00_start_here.ipynb) shows how the exercises work and lets you hide a word yourself. Then each
# lesson takes one part, and in its exercise you write that part.
#
# | lesson | what it walks through |
# |---|---|
# | 00 start here | this page |
# | [01 tokens](01_tokens.ipynb) | text to bytes, to pieces, to ids |
# | [02 embedding](02_embedding.ipynb) | ids to rows of a matrix |
# | [03 RMS norm](03_rms_norm.ipynb) | bringing every row to the same size |
# | [04 single-head attention](04_single_head_attention.ipynb) | queries, keys, values, and their mix |
# | [05 RoPE](05_rope.ipynb) | how position gets in |
# | [06 masking](06_masking.ipynb) | who may see whom |
# | [07 multi-head](07_multi_head.ipynb) | many heads, and how they share keys |
# | [08 feed-forward](08_feed_forward.ipynb) | each token by itself |
# | [09 32 blocks](09_32_blocks.ipynb) | the stream from bottom to top |
# | [10 logits](10_logits.ipynb) | from the last row to a choice |
# | [11 KV cache](11_kv_cache.ipynb) | never computing the same thing twice |
# | [12 generation](12_generation.ipynb) | the loop that writes |
# | [13 GPT-2 to Llama](13_gpt2_to_llama.ipynb) | five changes, one at a time |
# | [14 tensors and gradients](14_tensors_and_gradients.ipynb) | the chain rule, by machine |
# | [15 backward](15_backward.ipynb) | the gradient of every step |
# | [16 pretraining](16_pretraining.ipynb) | a Llama trained before your eyes |
# | [16b what a run tells](16b_what_a_run_tells.ipynb) | learning by heart, a scaling law, examinations |
# | [17 fine-tuning](17_fine_tuning.ipynb) | from stories to answers, with small matrices |
# | [18 preferences](18_preferences.ipynb) | learning from what is liked better |
# | [19 rewards](19_rewards.ipynb) | learning from a number for what it wrote itself |
#
# These pages are optional: [05b](05b_long_context.ipynb) on long texts and on RoPE in other people's
# code, [07b](07b_induction.ipynb) on heads that copy together, [13b](13b_llama_versions.ipynb) on the versions of Llama,
# [13c](13c_parallel_layers.ipynb) on one model on several processors, [16c](16c_batches_and_bits.ipynb) on batches and sixteen
# bits. Teachers find plans and questions in the
# [guide](TEACHING.md).
# Where a page measures something on stories, they are stories that the doll-house has told.
#
# **Touch it:** in a cell of its own, `show.microscope(model=model)` opens the whole model below. Type a sentence, look into any block,
# head or cell, and switch parts off.
#
# No cell above states a size, so this page and the others run on any Llama: give `load_model` its folder, or set the
# variable `LLAMA_MODEL` to it before you start Jupyter.
