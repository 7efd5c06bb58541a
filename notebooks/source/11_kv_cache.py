# %% [markdown] key="title"
# # 11 The KV cache: never computing the same thing twice
#
# To write the word after `Once upon a time, there was a little girl named`, the model has to know all the words
# before it, and for the word after that one word more. So every further word of a story should cost more than the
# last, and a long story should be told ever more slowly. It is not, because the program keeps something. What exactly, and why
# just that? And if what it keeps is wrong, how long does it take until anybody notices?
#
# The last question is the serious one: at the end, two errors that programmers really make in this place are measured
# separately on 20 stories. You need attention with many heads (lesson [07](07_multi_head.ipynb))
# and the logits ([10](10_logits.ipynb)). It takes about 20 minutes; [exercise 11](exercises/11_kv_cache.ipynb) goes
# with it.

# %% key="map"
import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # one core, before NumPy starts: steadier times in step 7
import numpy as np
from classroom import agree, show, table

from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.attention_map(["k", "v", "cache"], n_heads=config.n_heads, n_kv_heads=config.n_kv_heads)

# %% [markdown] key="earlier-why"
# ## Step 1. What a new token changes
#
# We run the model on `ids`, the sentence without ` named`, and then on `longer`, the whole sentence, as if ` named` had
# just been written, and record both times what every block computes.
#
# **Predict before you run:** of all the keys, values and rows of the stream that belong to the old tokens, how many
# change when one more token follows?

# %% key="earlier-by-hand"
from llama_np import forward, record

prompt = "Once upon a time, there was a little girl named"
longer = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in longer]
ids, new = longer[:-1], longer[-1:]  # the old tokens, and the new one
N = len(ids)
before, after = {}, {}
forward(weights, config, ids, tap=record(before))
forward(weights, config, longer, tap=record(after))

last = f"blocks.{config.n_layers - 1}"
print("shapes, and the largest change of what was there before:")
for name in (f"{last}.k_rotated", f"{last}.v", f"{last}.resid_out"):
    old, now = before[name], after[name]
    print(f"{name:22}", old.shape, "->", now.shape, np.abs(now[..., :N, :] - old).max())

# %% [markdown] key="earlier-read"
# None, up to rounding. The mask (lesson [06](06_masking.ipynb)) keeps a token from reading later ones, so that
# `{{ labels[-1] }}` cannot change anything in front of it: every matrix has grown by one row at its end, and
# the second run computed {{ N }} rows again for nothing. For 100 new tokens that adds up to
# {{ sum(range(N, N + 100)) :, }} rows, of which {{ N + 99 }} are needed.

# %% [markdown] key="needs-why"
# ## Step 2. What the new token needs from the old ones
#
# Follow the new token's row through a block. Norm, feed-forward and output matrix work on each row by itself.
# Attention is the one place where it meets the others: its **query** meets the **keys of all tokens**, and then it
# mixes the **values of all tokens**. Old queries have been used and are not needed again, and neither are old rows
# of the stream.
#
# We check this on one head, with the old keys and values from the *first* run, which knew nothing of the new token.
# The code takes the head in which the new token reads ` girl` most.

# %% key="needs-by-hand"
from llama_np import rope_frequencies, rotate, softmax

girl = len(tokenizer.encode(prompt.removesuffix(" named"), bos=True)) - 1  # its position
reads = np.stack([after[f"blocks.{b}.pattern"][:, -1, girl] for b in range(config.n_layers)])
i, h = np.unravel_index(reads.argmax(), reads.shape)
shared = h // config.group  # the key-value head that it reads
K, layer = config.head_dim, weights.layers[i]
frequencies = rope_frequencies(K, config.rope_theta, config.rope_scaling)
own, kv = slice(h * K, (h + 1) * K), slice(shared * K, (shared + 1) * K)
x = after[f"blocks.{i}.attn_norm"][-1:]  # 1 D, the new token's row alone
q_new = rotate(x @ layer.wq[:, own], np.array([N]), frequencies)  # 1 K, at position N
k_new = rotate(x @ layer.wk[:, kv], np.array([N]), frequencies)
v_new = x @ layer.wv[:, kv]
k_old, v_old = before[f"blocks.{i}.k_rotated"][shared], before[f"blocks.{i}.v"][shared]  # N K
k, v = np.concatenate([k_old, k_new]), np.concatenate([v_old, v_new])  # N+1 K

pattern = softmax(q_new @ k.T / np.sqrt(K))  # 1 N+1: one query, all keys, and no mask
agree(pattern @ v, after[f"blocks.{i}.mix"][h, -1:])
show.reads(labels, pattern[0], title=f"block {i}, head {h}: what the new token reads")

# %% [markdown] key="needs-read"
# One row of weights comes out, since one token reads, and there is no mask, because the last token may see
# everything. In this head `{{ labels[-1] }}` gives {{ pattern[0, girl] :.2f }} to `{{ labels[girl] }}`, whose key was
# computed before ` named` was there. {{ claim: pattern[0, girl] > 0.3 }}
# Note that the keys were kept **after rotation**: a token's position never changes, so that each key is turned once.

# %% [markdown] key="row-why"
# ## Step 3. Why keys and values, and not the rows they come from?
#
# Key and value are both products of one normalised row, so keeping that row alone would do as well, and both could be
# made from it again. What would that save, and what would it cost?

# %% key="row-by-hand"
from llama_np import LLAMA_3_8B

LLAMA_2_7B = {"dim": 4096, "n_kv_heads": 32, "head_dim": 128}
models = {"this model": vars(config), "Llama 3 8B": vars(LLAMA_3_8B), "Llama 2 7B": LLAMA_2_7B}
kept = {name: (c["dim"], 2 * c["n_kv_heads"] * c["head_dim"]) for name, c in models.items()}
cost = {name: row * both for name, (row, both) in kept.items()}
header = ["", "numbers in a row", "in its keys and values", "multiplications to make them again"]
table(header, [[name, *kept[name], f"{cost[name]:,}"] for name in models])

# %% [markdown] key="row-read"
# Two reasons decide. The last column is the price of keeping rows: that many multiplications for every old token,
# in every block, at every step, where a kept key costs none. And in Llama 3 there is not even room to be gained,
# because grouped queries leave so few key-value heads (lesson [07](07_multi_head.ipynb)) that keys and values
# together, {{ kept["Llama 3 8B"][1] :, }} numbers, are smaller than the row of {{ kept["Llama 3 8B"][0] :, }}.
# {{ claim: kept["Llama 3 8B"][1] < kept["Llama 3 8B"][0] and kept["this model"][1] < kept["this model"][0] }}
# Without groups, as in Llama 2 7B, it is the other way round, and one could trade time for memory.

# %% [markdown] key="cache-why"
# ## Step 4. The cache
#
# So of every token and every block we keep the rotated key and the value, for each key-value head. This is the
# **KV cache**. The axes are `Hkv S K`, where `S` counts all tokens so far, and new rows are written after the old
# ones along `S`. The first call gives it the whole prompt, the **prefill**; from then on each call brings a single
# token, which is **decoding**.

# %% key="cache-picture"
from llama_np import generate

written = generate(weights, config, longer, 2)  # greedily
show.cache_frames(labels + [tokenizer.token(j) for j in written], n_prompt=len(labels))

# %% [markdown] key="cache-read"
# In the first frame the whole prompt is lit, because all its rows are computed in one pass. After that each frame
# lights a single row: the key and the value of the token just written. The grey rows are kept as they were, the white
# ones are places reserved for later, and the arrows are the new query meeting every key. (The values beside these keys are then mixed, as
# always.) Now in numbers; `fork()` copies the filled cache, so that it can be used again.

# %% key="cache-prefill"
from llama_np import KVCache

cache = KVCache(config, max_length=N + 8)
prefilled = forward(weights, config, ids, cache)  # the prompt
agree(cache.keys[i, shared, :N], k_old)
step = forward(weights, config, new, cache.fork())  # one token
agree(step, after["logits"][-1:])
print("prefill: logits", prefilled.shape, "  decoding: logits", step.shape)
print("keys", cache.keys.shape, "= blocks Hkv max_length K, the values likewise")

# %% [markdown] key="cache-note"
# The second line is the proof: one row, computed with the cache, has the same logits as the last row of the whole
# sentence computed without one. The prefill gave {{ N }} rows of logits, the decoding step one.

# %% [markdown] key="position-why"
# ## Step 5. Positions and masks of what comes later
#
# Two things have to be right for the new tokens. The first is their **position**. Counting from 0, `N` tokens stand
# at 0 to `N - 1`, so that the first new one stands at `N`, which is the length of the cache. It is easy to write
# `N + 1`, thinking of the new length; the last part of this page does it on purpose.

# %% [markdown] key="mask-why"
# The second is the **mask**, when several new tokens come at once. The scores of all tokens with all others would
# take too much room for a long prompt, which is therefore given in **chunks**. The mask then has a row for each of
# the `T` new tokens and a column for each of all `S`.
#
# **Predict before you run:** `np.tril(np.ones((T, S)))` is a triangle in a rectangle. Is it the right one?

# %% key="mask-by-hand"
past = N // 2
queries, keys = np.arange(past, N), np.arange(N)
right_mask = keys[None, :] <= queries[:, None]  # T S
wrong_mask = np.tril(np.ones((N - past, N), dtype=bool))
show.matrices(
    {"right mask": right_mask, "np.tril": wrong_mask},
    ("query T", "key S"),
    rows=labels[past:N],
    columns=labels[:N],
    quantity="weights",
)

# %% key="mask-agree"
from llama_np import causal_mask
from llama_np.sampling import PREFILL_CHUNK

agree(right_mask, causal_mask(queries, keys))
half = KVCache(config, N)
forward(weights, config, ids[:past], half)
chunk = forward(weights, config, ids[past:], half.fork())
agree(chunk, before["logits"][past:])
wrong_rows = forward(weights, config, ids[past:], half.fork(), mask=wrong_mask)
moved = np.abs(softmax(wrong_rows) - softmax(chunk)).sum(axis=-1) / 2  # of the probability
gib_of_scores = [LLAMA_3_8B.n_heads * T * 8192 * 4 / 2**30 for T in (8192, PREFILL_CHUNK)]
print("share of the probability that np.tril moves, row by row:", moved.round(2))

# %% [markdown] key="mask-read"
# No. The triangle of `np.tril` starts at the upper left, as if the chunk's first token were the first of the text,
# and so no row sees even its own token: `{{ labels[past] }}`, the first of the chunk, sees nothing but
# `{{ labels[0] }}`. {{ claim: not wrong_mask[np.arange(N - past), queries].any() }}
# The right one ends at the lower right: all of the past, and of the chunk what is not later. What the wrong one costs
# depends on what a row would have needed. The first rows, which see one or two tokens, move
# {{ moved[0] :.0% }} and {{ moved[1] :.0% }} of the probability to other tokens; after `{{ labels[past + int(moved.argmin())] }}` it is only
# {{ moved.min() :.0% }}, as if the token itself, which its row carries in any case, were almost enough there. {{ claim: min(moved[:2]) > 0.3 > moved.min() }}
# A single new token needs no mask, so that code that was only tried one token at a time can hide a wrong one. What the
# chunks save: for the 8,192 tokens that Llama 3 8B can read, the scores of one block take
# {{ gib_of_scores[0] :.0f }} GiB at once (a GiB is $2^{30}$ bytes), and {{ gib_of_scores[1] :.1f }} in chunks of
# {{ PREFILL_CHUNK }}.

# %% [markdown] key="memory-why"
# ## Step 6. What it costs: memory
#
# For every token the cache holds a key and a value, of `K` numbers each, for each key-value head of each block:
#
# $$\mathrm{bytes\ per\ token} = 2 \cdot L \cdot H_{kv} \cdot K \cdot b$$
#
# $L$ is the number of blocks, $H_{kv}$ the number of key-value heads and $b$ the bytes of one number: 4 in
# float32, in which this library computes, and 2 in bfloat16, in which Llama 3 is published. The query heads do not
# appear.


# %% key="memory-by-hand"
def bytes_per_token(c, n_kv_heads, bytes_each):
    return 2 * c.n_layers * n_kv_heads * c.head_dim * bytes_each


assert bytes_per_token(config, config.n_kv_heads, 4) * cache.max_length == cache.nbytes
rows = []
for name, c in {"this model": config, "Llama 3 8B": LLAMA_3_8B}.items():
    for variant, n_kv in {"as it is": c.n_kv_heads, "without groups": c.n_heads}.items():
        of_one = bytes_per_token(c, n_kv, 2)
        full = f"{of_one * c.context_length / 2**20:,.2f} MiB"
        rows.append([name, variant, n_kv, f"{of_one:,}", f"{c.context_length:,}", full])
each, ungrouped = (
    bytes_per_token(LLAMA_3_8B, n, 2) for n in (LLAMA_3_8B.n_kv_heads, LLAMA_3_8B.n_heads)
)
weights_of_8b = 2 * LLAMA_3_8B.count_parameters()  # bytes
table(["at 2 bytes a number", "", "Hkv", "bytes per token", "longest text", "its cache"], rows)

# %% [markdown] key="memory-read"
# Llama 3 8B needs {{ each :, }} bytes for every token, which makes 1 GiB for the 8,192 tokens it was made for (a MiB
# is $2^{20}$ bytes). {{ claim: each * 8192 == 2**30 }}
# Grouped queries divide that by four. Llama 3.1 8B has the same sizes and reads up to 131,072 tokens: there the
# cache of a single text is larger than all weights, from token {{ weights_of_8b // each :, }} on, and without groups
# it would be from token {{ weights_of_8b // ungrouped :, }} on. All texts that are being written share the
# weights; each has a cache of its own. {{ claim: 100_000 < weights_of_8b // each < 131_072 }}

# %% [markdown] key="time-why"
# ## Step 7. What it saves: time
#
# We measure one more token after texts of growing length, without a cache, so that the whole text runs again, and
# with one. `last_only=True` leaves out the logits that nobody needs, and `process_time` counts only this notebook's time on
# the processor. (With billions of weights this takes
# minutes; choose shorter lengths.)
#
# **Predict before you run:** the shape of both lines.

# %% key="time-measure" tags=["timing"]
import time


def seconds(ids, cache=None):
    started = time.process_time()
    forward(weights, config, ids, cache, last_only=True)
    return time.process_time() - started


lengths = np.linspace(8, min(256, config.context_length), 5).astype(int)
without, with_cache = [], []
for length in lengths:
    text, filled = np.resize(ids, length), KVCache(config, length)
    forward(weights, config, text[:-1], filled)
    without.append(np.median([seconds(text) for _ in range(3)]))
    with_cache.append(np.median([seconds(text[-1:], filled.fork()) for _ in range(3)]))
lines = {"without a cache": 1000 * np.array(without), "with a cache": 1000 * np.array(with_cache)}
show.curves(lengths, lines, ("tokens of the text", "milliseconds"), title="time for one more token")
slow, fast = (line[-1] for line in lines.values())
print(f"after {lengths[-1] - 1} tokens: {slow:.1f} ms without a cache, {fast:.1f} ms with one")

# %% [markdown] key="time-read"
# Without a cache the time grows with the text, and the line is nearly straight: every row goes through the same matrices,
# and the scores, whose number grows with the square, are still few. With a cache it grows far less: no old row is computed
# again, and only the new query has more keys to meet. The printed line says what one token costs after the longest text.
# {{ claim: without[-1] / without[0] > 2 * with_cache[-1] / with_cache[0] and without[-1] > 4 * with_cache[-1] }}
# It is not zero either. Every step still goes through all the weights for the sake of one row. In a model as small as ours that is mostly
# the calls of NumPy; in a large one, reading the weights and the cache is most of what a token costs
# ([Shazeer 2019](https://arxiv.org/abs/1911.02150)), and lesson [12](12_generation.ipynb) works out how much.

# %% [markdown] key="experiment"
# ## How wrong can a cache be?
#
# Suppose that somebody has written `N + 1`. It happens: in
# [llama3.np](https://github.com/likejazz/llama3.np/blob/30a73d28f0f11e056e20998341d50b55b303d2af/llama3.py), a good
# short Llama, `generate` gives the first new token the place `L + 1`. Two things are wrong then. From there on every
# token is rotated by one position too much, a **shift**; and the place that was skipped counts as filled, an **empty
# slot** whose key and value are zeros.
#
# We make the two errors one by one and together, on `B` = 20 stories of which the first 60 tokens are in the cache, and
# compare what the model predicts at each of the next 32 positions with the right prediction. The measure is the
# **Kullback-Leibler divergence** $\sum_j p_j \log (p_j / q_j)$: the extra loss of somebody who believes the wrong $q$
# where the right $p$ is true, in nats, the unit that the natural logarithm gives. There are two controls. Each
# story goes on from the cache of *another* story, for a scale. And the same gap of one position stands directly before
# *every* new token: all of its past is in the right places, and it alone is one too far.
#
# **Predict before you run:** which score does a query get with a key of zeros, and which weight does the softmax
# make of that: none, a little, or a lot? And which of the errors will fade as the text goes on?

# %% key="experiment-cell"
from weights_tools.training.heroes import read_stories

n_texts, start, n_new = 20, 60, 32
stories = [tokenizer.encode(story, bos=True) for story in read_stories()[:n_texts]]
stories = np.array([story[: start + n_new] for story in stories])  # B 92
right = forward(weights, config, stories)[:, start:]  # B 32 V


def go_on(shift=0, empty=False, other=False, always=False):
    cache = KVCache(config, start + n_new + 1)
    forward(weights, config, stories[:, :start], cache)
    if empty:
        cache.keys[..., start, :] = cache.values[..., start, :] = 0
        cache.length += 1  # it counts as filled
    if other:  # axis 1 counts texts
        cache.keys, cache.values = np.roll(cache.keys, 1, axis=1), np.roll(cache.values, 1, axis=1)
    rows = []
    for t in range(start, start + n_new):
        token, used = stories[:, t : t + 1], cache.fork() if always else cache
        rows.append(forward(weights, config, token, used, positions=np.array([t + shift]))[:, 0])
        if always:  # what stays in the cache is right
            forward(weights, config, token, cache, positions=np.array([t]))
    return np.stack(rows, axis=1)  # B 32 V


faults = {
    "no fault": go_on(),
    "shift": go_on(shift=1),
    "empty slot": go_on(empty=True),
    "both": go_on(shift=1, empty=True),
    "a gap before every token": go_on(shift=1, always=True),
    "another story's cache": go_on(other=True),
}

# %% key="experiment-table"
p, rows = softmax(right.astype(np.float64)), []
apart, changed_by, early, late = {}, {}, {}, {}
for name, wrong in faults.items():
    q = softmax(wrong.astype(np.float64))
    apart[name] = 1000 * (p * np.log(p / q)).sum(axis=-1)  # B 32
    early[name], late[name] = apart[name][:, :4].mean(), apart[name][:, -8:].mean()
    changed_by[name] = int((q.argmax(axis=-1) != p.argmax(axis=-1)).sum())
    of_texts, share = apart[name].mean(axis=-1), f"{changed_by[name]} of {n_texts * n_new}"
    rows.append([name, f"{of_texts.mean():.2f} ± {of_texts.std():.2f}", share])
shown = ("shift", "empty slot", "a gap before every token")
curves = {name: apart[name].reshape(n_texts, -1, 4).mean(axis=(0, 2)) for name in shown}
show.curves(
    np.arange(4, n_new + 1, 4), curves, ("new token", "thousandths of a nat"), log="y",
    title="divergence, mean of 4 tokens of 20 stories",
)  # fmt: skip
table(["fault", "thousandths of a nat, ± over the stories", "top token changed"], rows)


# %% key="experiment-write"
def write_on(shift=0, empty=False, n=100):
    """Each story's first tokens and what the model then writes greedily: B n"""
    cache, written = KVCache(config, start + n + 1), []
    best = forward(weights, config, stories[:, :start], cache)[:, -1].argmax(axis=-1)
    if empty:
        cache.keys[..., start, :] = cache.values[..., start, :] = 0
        cache.length += 1
    for t in range(start, start + n):
        written.append(best)
        place = np.array([t + shift])
        best = forward(weights, config, best[:, None], cache, positions=place)[:, 0].argmax(axis=-1)
    return np.stack(written, axis=1)


rightly, wrongly = write_on(), write_on(shift=1, empty=True)
parted = np.array(
    [(a != b).argmax() if (a != b).any() else a.size for a, b in zip(rightly, wrongly)]
)
apart_at = np.sort(parted[parted < rightly.shape[1]])
one = int(np.argsort(parted)[len(parted) // 4])  # one that parts early
print(f"of {n_texts} texts {apart_at.size} part from the right one; after {apart_at} tokens")
for name, ids_of in {"right": rightly, "with both errors": wrongly}.items():
    print(f"\n{name}: {tokenizer.decode(ids_of[one])}")

# %% key="experiment-slot"
seen = {}
slot = KVCache(config, N + 2)
forward(weights, config, ids, slot)
slot.keys[..., N, :] = slot.values[..., N, :] = 0
slot.length += 1
forward(weights, config, new, slot, positions=np.array([N]), tap=record(seen))  # no shift
in_slot = np.stack([seen[f"blocks.{b}.pattern"][:, 0, N] for b in range(config.n_layers)])
scores = np.stack([seen[f"blocks.{b}.scores"][:, 0, N] for b in range(config.n_layers)])
block, head = np.unravel_index(in_slot.argmax(), in_slot.shape)
print("scores of the empty slot: all zero" if not scores.any() else scores)
print(f"its weight: median {np.median(in_slot):.3f}, largest {in_slot.max():.2f}")

# %% [markdown] key="experiment-answer"
# The **shift** is largest at once, {{ early["shift"] :.1f }} thousandths of a nat over the first four tokens, and has
# faded to {{ late["shift"] :.2f }} over the last eight. {{ claim: early["shift"] > 2 * late["shift"] }}
# RoPE sees distances only (lesson [05](05_rope.ipynb)), and all new tokens are shifted alike, so that the distances
# among them are right; only those to the prompt are one too large, and the prompt recedes. Would any gap fade in this way?
# No, says the control. At the first new token it is the same error ({{ apart["shift"][:, 0].mean() :.0f }} in both), but afterwards
# the gap moves along, so that it always lies directly before the new token, and its curve wavers but does not come down: it costs
# {{ early["a gap before every token"] :.0f }} over the first four and {{ late["a gap before every token"] :.0f }} at the end, where the shift
# costs {{ late["shift"] :.2f }}.
# {{ claim: late["a gap before every token"] > 4 * late["shift"] }}
# {{ claim: np.allclose(apart["shift"][:, 0], apart["a gap before every token"][:, 0], rtol=1e-3) }}
#
# The **empty slot** is far weaker, and it fades less: by a factor of {{ early["empty slot"] / late["empty slot"] :.0f }} from first to last, where the shift
# fades by {{ early["shift"] / late["shift"] :.0f }}. A key of zeros gives a score of exactly 0, which is an ordinary score and not minus
# infinity, so that the softmax gives it $e^0 = 1$ before dividing. In our short sentence the slot gets, in half of the heads, less than
# {{ np.median(in_slot) :.3f }} of the weight, where an equal share would be {{ 1 / (N + 2) :.3f }}; in block
# {{ int(block) }}, head {{ int(head) }}, it is {{ in_slot.max() :.2f }} of all weight, and because the value is
# zero too, that much is missing from what the head writes. {{ claim: not scores.any() and in_slot.max() > 1 / (N + 2) }}
# Still, the predictions move by only {{ apart["empty slot"].mean() :.2f }} thousandths of a nat.
# {{ claim: apart["empty slot"].mean() < 0.5 * apart["shift"].mean() and late["empty slot"] > 0.4 * early["empty slot"] }}
#
# Now look at the last column. With both errors the model's favourite changes at {{ changed_by["both"] }} of
# {{ n_texts * n_new }} places, {{ changed_by["both"] / (n_texts * n_new) :.1% }}. With another story's cache it is
# {{ changed_by["another story's cache"] / (n_texts * n_new) :.0% }}, or more than one in three.
# {{ claim: changed_by["both"] / (n_texts * n_new) < 0.15 and 3 * changed_by["both"] < changed_by["another story's cache"] }}
# **Most tokens stay what they were**.
#
# So how long does it take until anybody notices? There every token of a story was given. When the model writes by itself, with both errors, a changed token
# changes all that follow: {{ apart_at.size }} of the {{ n_texts }} texts part from the right one within {{ rightly.shape[1] }} tokens, half of these within
# {{ int(np.median(apart_at)) }}. Compare the pair that is printed. Which of the two would you have complained about? They are different, and one is as odd as the other,
# so reading samples may go on for ever. Comparing a cached run with an
# uncached one finds the error at the first token; that comparison is the first row of the table, where nothing is wrong.
# {{ claim: 3 <= apart_at.size }}

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>You go back and change a word in the middle of the text. How much of the cache is still valid?</summary>
#
# Everything before that word. From the word on, keys and values may have changed, because every later token
# could read from it. Set the length back and run the rest again.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# The model can now go on from any text at the price of one row a token. Lesson [12, generation](12_generation.ipynb),
# puts the loop around it and measures what a pass costs. Before that, [exercise 11](exercises/11_kv_cache.ipynb) has
# you write the mask of a chunk and see how large a shift goes unnoticed. The numbers behind this page are told well in
# kipply's [Transformer inference arithmetic](https://kipp.ly/transformer-inference-arithmetic/).
