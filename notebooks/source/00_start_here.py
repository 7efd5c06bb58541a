# %% [markdown] key="title"
# # 00 Start here: a whole Llama on one page
#
# "Once upon a time, there was a little girl named": the small Llama that comes with these notebooks goes on with
# ` Lily`. If a boy is named, it says something else, although the last token, ` named`, is the same. How does the
# news of the girl get there, and what would the model say if it did not?
#
# A **language model** reads a text and gives every possible next token a probability. On this page you watch
# Llama 3 do that, matrix by matrix, in NumPy: the sentence goes in at the top, one token comes out at the bottom,
# and in between one block is computed in front of you. At the end you cut a single connection and see what
# becomes of Lily.
#
# You need Python and the product of two matrices, `A @ B`, and neither a graphics card nor an account nor a
# download. The small Llama has the parts of Llama 3 8B in the same order, with smaller matrices and fewer heads.
# The picture below is the map: text is cut into **tokens**, each token becomes a row of numbers, and the rows
# travel along one line, the **residual stream**. Each block reads from the stream twice and adds to it twice. At
# the end the last row gives a score to every token that could come next.

# %% key="map"
import numpy as np
from classroom import agree, show, table

from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers)

# %% [markdown] key="how-to-read"
# ## How to read these notebooks
#
# Run a cell with Shift and Enter. Where a step is new, it is first done **by hand**, in a few lines of bare NumPy.
# Then comes its **name**, the function of the library `llama_np` that does the same, and one line says that both
# **agree**: no number may differ by more than a hundred-thousandth of the largest one. If they differ, the cell
# stops with an error, so a page that ran is a page that was checked.
#
# Every array has named **axes**. `T` counts the tokens of the text; in attention, where tokens meet tokens, the
# second count is `S`. The other letters come with the sizes of the model, below. A comment such as
# `# T D @ D K -> T K` gives the axes of a product: `T` rows of `D` numbers, times a matrix of `D` by `K`.

# %% [markdown] key="lessons"
# ## The lessons
#
# This page goes through the whole model once, quickly. The lessons take one part each and take their time, and
# the exercises let you write that part yourself.
#
# | lesson | what it walks through | exercise |
# |---|---|---|
# | 00 start here | this page | [00](exercises/00_start_here.ipynb) |
# | [01 tokens](01_tokens.ipynb) | text to bytes, to pieces, to ids | [01](exercises/01_tokens.ipynb) |
# | [02 embedding](02_embedding.ipynb) | ids to rows of a matrix | [02](exercises/02_embedding.ipynb) |
# | [03 RMS norm](03_rms_norm.ipynb) | bringing every row to the same size | [03](exercises/03_rms_norm.ipynb) |
# | [04 single-head attention](04_single_head_attention.ipynb) | queries, keys, values, and their mix | [04](exercises/04_single_head_attention.ipynb) |
# | [05 RoPE](05_rope.ipynb) | how position gets in | [05](exercises/05_rope.ipynb) |
# | [06 masking](06_masking.ipynb) | who may see whom | [06](exercises/06_masking.ipynb) |
# | [07 multi-head](07_multi_head.ipynb) | many heads, and how they share keys | [07](exercises/07_multi_head.ipynb) |
# | [08 feed-forward](08_feed_forward.ipynb) | each token by itself | [08](exercises/08_feed_forward.ipynb) |
# | [09 32 blocks](09_32_blocks.ipynb) | the stream from bottom to top | [09](exercises/09_32_blocks.ipynb) |
# | [10 logits](10_logits.ipynb) | from the last row to a choice | [10](exercises/10_logits.ipynb) |
# | [11 KV cache](11_kv_cache.ipynb) | never computing the same thing twice | [11](exercises/11_kv_cache.ipynb) |
# | [12 generation](12_generation.ipynb) | the loop that writes | [12](exercises/12_generation.ipynb) |
# | [13 GPT-2 to Llama](13_gpt2_to_llama.ipynb) | five changes, one at a time | |
# | [14 tensors and gradients](14_tensors_and_gradients.ipynb) | the chain rule, by machine | |
# | [15 backward](15_backward.ipynb) | the gradient of every step | |
# | [16 pretraining](16_pretraining.ipynb) | a Llama trained before your eyes | |
# | [17 fine-tuning](17_fine_tuning.ipynb) | from stories to answers, with small matrices | |
# | [18 preferences](18_preferences.ipynb) | learning from what is liked better | |
#
# A page whose number has a letter is optional: [05b](05b_long_context.ipynb) on long texts and on RoPE in other people's
# code, [07b](07b_induction.ipynb) on heads that copy together. Teachers find plans and questions in the [guide](TEACHING.md).
#
# The model on these pages is called **the doll-house**, because it has all the rooms of Llama 3 8B and everything in it is
# small. Where a page measures something on many texts, it takes stories that this model has told itself.

# %% [markdown] key="model"
# ## The model
#
# A model is three things. Its **config** holds its sizes and a few constants, fixed before training. Its
# **weights** are the numbers that training sets, also called parameters. Its **tokenizer** turns text into ids and
# back. Here are the sizes of the model you have just loaded, beside those of Llama 3 8B; each letter is explained
# at its step.

# %% key="sizes"
from classroom import sizes

sizes(config)

# %% [markdown] key="tokens-why"
# ## Step 1. Text to tokens
#
# A model computes with numbers, so a text becomes a list of numbers. It is cut into tokens: a word, part of a
# word, a punctuation mark, at worst a single byte. The model has a fixed list of them, its **vocabulary**, and a
# token's place in it is its **id**. The space before a word is usually part of that word's token, drawn here as
# `␣`. `bos=True` puts the special token `<|begin_of_text|>` in front, which pictures call `<|bos|>`.

# %% key="tokens"
prompt = "Once upon a time, there was a little girl named"
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

# %% [markdown] key="embedding-read"
# No single number here means anything that one could name. Note that `{{ max(labels, key=labels.count) }}` comes twice and has the same
# row both times: so far no token knows where it stands, or what stands beside it.

# %% [markdown] key="choose-why"
# ## Which block to open?
#
# Now come {{ config.n_layers }} blocks, which run the same code with different weights. Every token has its own line
# through them, and there is one way from line to line: a token may read the earlier ones, in every block anew. We want
# the block in which ` named` learns who is named. So we *forbid* one reading at a time: in one block, the last token may
# not read one other token, for all {{ config.n_layers }} blocks and all {{ len(ids) - 1 }} tokens. A **tap** does this. The library's `forward`, which is
# the whole model, hands every named result to it, and the tap may look at it or change it. What counts is how much the model
# prefers the girl's name to a boy's, the difference of their **logits**, the numbers that step 10 turns into
# probabilities. The larger the dot, the more of that was lost.

# %% key="choose"
from llama_np import forward, patch

girl = len(tokenizer.encode(prompt.removesuffix(" named"), bos=True)) - 1  # its position
boys_ids = np.array(tokenizer.encode(prompt.replace("girl", "boy"), bos=True))
hers, his = (int(forward(weights, config, each)[-1].argmax()) for each in (ids, boys_ids))


def hide(hidden, blocks, heads=slice(None)):
    """A tap under which the last token cannot read some tokens, in some blocks and heads (step 4)."""

    def change(scores):
        scores = scores.copy()
        scores[heads, -1, hidden] = -np.inf
        return scores

    return patch({f"blocks.{i}.masked": change for i in blocks})  # puts a changed result in place


def preference(**options):
    """By how much her name's logit is above his."""
    logits = forward(weights, config, ids, **options)[-1]
    return float(logits[hers] - logits[his])


blocks, heads = range(config.n_layers), range(config.n_heads)
lead = preference()
lost = np.zeros((config.n_layers, len(ids)))  # L T
for i, t in np.ndindex(config.n_layers, len(ids) - 1):
    lost[i, t] = lead - preference(tap=hide(t, [i]))
chosen = int(lost[:, girl].argmax())
head = int(np.argmin([preference(tap=hide(girl, [chosen], h)) for h in heads]))
show.streams(labels, lost, unit="lost", out=tokenizer.token(hers))

# %% [markdown] key="choose-read"
# With the girl the likeliest next token is `{{ tokenizer.token(hers) }}`, with a boy `{{ tokenizer.token(his) }}`, and
# at our sentence the former is ahead by {{ lead :.1f }}. Of {{ (len(ids) - 1) * config.n_layers }} readings hardly any is missed. Those that are stand in one line: the
# {{ np.sum(lost > 0.25 * lost.max()) }} largest losses are all readings of ` girl`, in different blocks, since more than one brings the news. The
# largest stands in block {{ chosen }}, where {{ lost[chosen, girl] :.1f }} is lost. That block we open, and in it head {{ head }}, through
# which most of it comes. The blocks before it have already added to `x`; we take the stream as it arrives.
# {{ claim: hers != his and lost.argmax() % len(ids) == girl and (lost[:, :girl] < 0.25 * lost.max()).all() }}
# {{ claim: np.sum(lost > 0.25 * lost.max()) > 1 }}

# %% [markdown] key="norm-why"
# ## Step 3. RMS norm: the same size for every row
#
# Rows can become large or small on their way through the model, and matrices work more evenly on rows of one size.
# So attention and feed-forward each read a normalised *copy* of the stream. Each row $x$ is divided by its **root
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
x = trace["embedded"] if chosen == 0 else trace[f"blocks.{chosen - 1}.resid_out"]
layer = weights.layers[chosen]
mean_square = (x**2).mean(axis=-1, keepdims=True)
normed = x / np.sqrt(mean_square + config.norm_eps) * layer.attn_norm
print("root mean square of each row:", np.sqrt(mean_square).ravel().round(2))
agree(normed, rms_norm(x, layer.attn_norm, config.norm_eps))

# %% [markdown] key="qkv-why"
# ## Step 4. Queries, keys, values
#
# **Attention** lets each token read from itself and from the tokens before it. Each token has a **query**, what it is
# looking for; a **key**, by which it can be found; and a **value**, what it hands over. All three are products of
# the normalised row with learned matrices. This happens several times side by side, in **heads** of width `K`, so
# that each can look for something else. There are fewer keys and values than queries: `group` query heads share
# one **key-value head**, which saves memory while the model writes
# ([Ainslie et al. 2023](https://arxiv.org/abs/2305.13245)). In the picture, steps 4 to 7 from left to right:

# %% key="qkv"
show.attention_map(n_heads=config.n_heads, n_kv_heads=config.n_kv_heads)
K = config.head_dim
own = slice(head * K, (head + 1) * K)  # the columns of our head
shared = slice(head // config.group * K, (head // config.group + 1) * K)
q = normed @ layer.wq[:, own]  # T D @ D K -> T K
k = normed @ layer.wk[:, shared]
v = normed @ layer.wv[:, shared]
print("q", q.shape, "k", k.shape, "v", v.shape)

# %% [markdown] key="rotation-why"
# ## Step 5. Rotation: where a token stands
#
# A token's place plays no part yet. Llama brings it in by **rotation** (rotary position embedding, RoPE): the
# numbers of a query or key are taken in pairs, each pair as a point in the plane, and turned by the token's
# position times the pair's **frequency**. The first pair turns fast, the last ones slowly. The product of a query
# and a key then depends on what they hold and on the *distance* between them, not on where the two stand
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

# %% [markdown] key="attend-read"
# `{{ labels[-1] }}` reads `{{ labels[girl] }}` with a weight of {{ pattern[-1, girl] :.2f }}, out of 1. Nobody told this
# head to look for whoever is being named: training has set its matrices so that this query and this key fit. Their product of
# {{ scores[-1, girl] * np.sqrt(K) :.1f }}, divided by $\sqrt{K}$, is a score of {{ scores[-1, girl] :.1f }}, while the
# next best of that row is {{ np.sort(np.delete(scores[-1], girl))[-1] :.1f }}, and the softmax makes much of such a gap.
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
# into one row of width `D` per token, and this is **added** to `x`.

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
# Attention has moved information between tokens. Now each token works on what it has, alone. A normalised copy of
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
from llama_np import softmax

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
# ## Step 11. Cutting a connection
#
# What if the last token cannot read the girl in *any* block? The text still says "girl", but the last
# token cannot look there. Predict before you run it: will the model say a girl's name, a boy's, or no name at all?

# %% key="experiment-cell"
cut = softmax(forward(weights, config, ids, tap=hide(girl, blocks))[-1])
for name, each in {"as it is": probabilities, "girl hidden": cut}.items():
    best = np.argsort(-each)[:6]
    print(f"{name:12}", "  ".join(f"{tokenizer.token(i)} {each[i]:.2f}" for i in best))

# %% [markdown] key="experiment-answer"
# <details><summary>Answer</summary>
#
# Still a name, because ` named` itself asks for one. But `{{ tokenizer.token(hers) }}` falls from
# {{ probabilities[hers] :.2f }} to {{ cut[hers] :.2f }}, while the boy's `{{ tokenizer.token(his) }}` comes up from {{ probabilities[his] :.4f }} to
# {{ cut[his] :.2f }}, and the names of girls and boys now stand side by side. These are what the model falls back on when
# it knows only that a name is due, the commonest in its stories first.
# {{ claim: cut[hers] < 0.7 * probabilities[hers] and cut[his] > 5 * probabilities[his] }}
# {{ claim: {hers, his} < set(np.argsort(-cut)[:8]) }}
#
# </details>

# %% [markdown] key="texts-why"
# Is that special to this sentence, and to this word? We take 20 others, with other heroes, and hide one token at a time:
# the hero, or, as a control, each of the others. The measure is how much probability moves from some tokens to
# others, between 0 and 1 (the **total variation distance** of the two predictions).

# %% key="texts"
heroes = ["girl", "boy", "dog", "cat", "bird", "bear", "fish", "frog", "bunny", "mouse"]
moved = []
for text in [
    f"Once upon a time, there was a {size} {hero} named"
    for hero in heroes
    for size in ("little", "big")
]:
    text_ids = np.array(tokenizer.encode(text, bos=True))
    start = len(
        tokenizer.encode(text.removesuffix(" named").rsplit(" ", 1)[0], bos=True)
    )  # of the hero
    end = len(tokenizer.encode(text.removesuffix(" named"), bos=True))
    before = softmax(forward(weights, config, text_ids)[-1])
    parts = [list(range(start, end)), *([t] for t in range(start))]  # the hero, then every other
    after = [
        softmax(forward(weights, config, text_ids, tap=hide(part, blocks))[-1]) for part in parts
    ]
    distances = [np.abs(each - before).sum() / 2 for each in after]
    moved.append([distances[0], np.mean(distances[1:]), np.max(distances[1:])])
moved = np.array(moved)
hero_moves, other_moves, largest_other = moved.T
print(f"the hero hidden:     {hero_moves.mean():.2f} ± {hero_moves.std():.2f}")
print(f"another token:       {other_moves.mean():.2f} ± {other_moves.std():.2f}")

# %% [markdown] key="texts-read"
# Hiding the hero moves {{ hero_moves.mean() :.2f }} of the probability, hiding another token {{ other_moves.mean() :.2f }},
# and in {{ (hero_moves > largest_other).sum() }} of {{ len(moved) }} texts the hero matters more than any other single
# token.{{ claim: (hero_moves > largest_other).mean() > 0.7 }} So of all that stands there, the last token depends most on one word, and it fetches it through heads
# like the one you have opened. The hero also stands nearest to it, and whether that is the reason cannot be told from here; lesson
# [04](04_single_head_attention.ipynb) exchanges *what* the hero is and leaves it where it stands. {{ claim: hero_moves.mean() - other_moves.mean() > hero_moves.std() }}

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
# Always taking the likeliest token makes a small model repeat itself, as lesson [10](10_logits.ipynb) measures. So for a
# whole story the next token is **drawn** at random, each as often as its probability says, after all logits have been divided by a
# **temperature**. Another **seed** gives other draws, and another story.

# %% key="story"
from llama_np import Sampling
from llama_np.tokenizer import stream_text

rng = np.random.default_rng(seed=0)
how = Sampling(temperature=0.8)
story = generate(weights, config, ids, 300, how, rng=rng, stop_tokens=tokenizer.stop_ids)
print(prompt, end="")
for piece in stream_text(tokenizer, story):
    print(piece, end="")

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>Which step moves information from one token to another?</summary>
#
# Attention, and only attention. Norm, feed-forward and the output matrix treat every row by itself, which is why
# the last row could not hear of the girl once no head was allowed to read her there.
#
# </details>
#
# <details><summary>The model predicts a next token at every position. Why do we use only the last?</summary>
#
# For the others we already know what comes next, because it stands in the prompt. In training all of them are used,
# since each is one more prediction to learn from.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# [Exercise 00](exercises/00_start_here.ipynb) shows how the exercises work, and lets you hide a word yourself. Then
# [lesson 01, tokens](01_tokens.ipynb), takes step 1 apart, byte by byte.
#
# No cell above states a size, so this page and the others run on any Llama: give `load_model` its folder, or set the
# variable `LLAMA_MODEL` to it before you start Jupyter.
