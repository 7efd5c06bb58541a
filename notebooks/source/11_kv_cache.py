# %% [markdown] key="title"
# # 11 The KV cache: never computing the same thing twice
#
# A model writes one token at a time, and for each new token it needs all the tokens before it. If it
# computed them all anew at every step, the hundredth token would be about a hundred times the work of the
# first, and almost all of it would give numbers that are known already. A **cache** keeps those that are
# needed again. That makes writing fast. It is also a place where errors hide well: the text still looks
# like a text.
#
# **In**: the ids of the *new* tokens only, `T`, and a cache that holds `S - T` tokens from before. **Out**:
# logits for the new tokens, `T V`, one score for each token of the vocabulary, and a cache that holds `S`.
#
# After this lesson you can say what the cache holds and why, give a new token its right position, write the
# mask for a prompt that comes in pieces, and work out how much memory a long text takes. You need attention
# with many heads (lesson 07) and the logits (10).

# %% key="map"
import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # one core, before NumPy starts: steadier times in step 8
import numpy as np
from classroom import agree, show, source, table

from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["attention"])

# %% [markdown] key="earlier-why"
# ## Step 1. What a new token changes
#
# Take a sentence and the token that the model likes best after it. We run the model twice, once without the
# new token and once with it, and record every named result (the tap of lesson 00).

# %% key="earlier-by-hand"
from llama_np import forward, record

prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
N = len(ids)
before, after = {}, {}
new = int(forward(weights, config, ids, tap=record(before))[-1].argmax())
longer = np.append(ids, new)
forward(weights, config, longer, tap=record(after))
labels = [tokenizer.token(i) for i in longer]
print("new token:", labels[-1], " tokens before:", N, " after:", len(longer))

# %% [markdown] key="earlier-agree-note"
# What changed for the tokens that were there before? Nothing. The mask keeps a token from reading later
# ones, so a later one cannot change it (lesson 06). That holds in every block, for the stream, the keys and
# the values alike. Each matrix has grown by one row at its end.

# %% key="earlier-agree"
last = f"blocks.{config.n_layers - 1}"
for name in (f"{last}.k_rotated", f"{last}.v", f"{last}.resid_out", "logits"):
    print(f"{name:22}", before[name].shape, "->", after[name].shape, end="  ")
    agree(after[name][..., :N, :], before[name])

# %% [markdown] key="waste-why"
# So the second run computed one new row, and all others again. How much is that over a whole text? Without
# a cache, every step computes all rows again. With one, every row is computed once.

# %% key="waste-by-hand"
n_new = 100
without = sum(range(N, N + n_new))  # rows through all blocks: N, then N + 1, ...
needed = N + n_new - 1  # the last token written is not read any more
print(f"writing {n_new} tokens behind {N}: {without:,} rows without a cache, {needed} with one")

# %% [markdown] key="needs-why"
# ## Step 2. What the new token needs from the old ones
#
# Go through a block with the new token's row only. Norm, feed-forward and the output matrix work on each
# row by itself: they need no other row. Attention does. The **query of the new token** meets the **keys of
# all tokens**, its own included, and then mixes the **values of all tokens**. Nothing else of the past is
# needed: not the old queries, which have been used, and not the old rows of the stream.
#
# We do it by hand for one head. The code picks the one in which the new token puts most weight on a token
# other than the first and itself.


# %% key="needs-choose"
def clearest(place):
    i, h = place
    return after[f"blocks.{i}.pattern"][h, -1, 1:-1].max()


i, h = max(np.ndindex(config.n_layers, config.n_heads), key=clearest)
shared = h // config.group  # the key-value head that it reads
print(f"block {i}, query head {h}, key-value head {shared}")

# %% [markdown] key="needs-hand-note"
# The old keys and values come from the *first* run, which knew nothing of the new token. Keys are kept
# **after rotation**: a token's position never changes, so each key is turned once. `x` is the new token's
# row alone, and its position is `N`, since positions count from 0.

# %% key="needs-by-hand"
from llama_np import rope_frequencies, rotate, softmax

K, layer = config.head_dim, weights.layers[i]
frequencies = rope_frequencies(K, config.rope_theta, config.rope_scaling)
x = after[f"blocks.{i}.attn_norm"][-1:]  # 1 D
own, kv = slice(h * K, (h + 1) * K), slice(shared * K, (shared + 1) * K)
position = np.array([N])
q_new = rotate(x @ layer.wq[:, own], position, frequencies)  # 1 D @ D K -> 1 K
k_new = rotate(x @ layer.wk[:, kv], position, frequencies)
v_new = x @ layer.wv[:, kv]
k_old, v_old = before[f"blocks.{i}.k_rotated"][shared], before[f"blocks.{i}.v"][shared]
k, v = np.concatenate([k_old, k_new]), np.concatenate([v_old, v_new])  # S K
print("q", q_new.shape, " k", k.shape, " v", v.shape)

# %% [markdown] key="needs-row-note"
# One query, `S` keys: the scores are a single row. There is no mask, because the new token is the last and
# may see everything.

# %% key="needs-row"
scores = q_new @ k.T / np.sqrt(K)  # 1 K @ K S -> 1 S
pattern = softmax(scores)
mix = pattern @ v  # 1 S @ S K -> 1 K
show.matrix(pattern, ("T", "key S"), rows=labels[-1:], columns=labels, title="one row")
print("scores", scores.shape, " mix", mix.shape)

# %% [markdown] key="needs-agree-note"
# It is the last row of what the whole run computed. Here is the whole pattern: everything above the last
# row belongs to tokens that had been computed before.

# %% key="needs-agree"
whole_pattern = after[f"blocks.{i}.pattern"][h]
show.matrix(whole_pattern, ("query T", "key S"), rows=labels, columns=labels, title="all rows")
agree(pattern, whole_pattern[-1:])
agree(mix, after[f"blocks.{i}.mix"][h, -1:])

# %% [markdown] key="cache-why"
# ## Step 3. The cache
#
# So of every token and every block we keep the rotated key and the value, for each key-value head. This is
# the **KV cache**. The library takes the memory once, for `max_length` tokens, and writes new rows behind
# the old ones. `update` is called once in every block, by attention. Most of its lines check shapes. The
# last four do the work: what comes back is all there is so far, past and new.

# %% key="cache-named"
from llama_np import KVCache

source(KVCache.update)

# %% [markdown] key="cache-prefill-note"
# `forward` takes the cache and the new ids. The first call gives it the whole prompt: this is the
# **prefill**. After it the cache holds `N` tokens.

# %% key="cache-prefill"
cache = KVCache(config, max_length=N + 8)
logits = forward(weights, config, ids, cache)
print("logits", logits.shape, " filled:", cache.length, "of", cache.max_length)
print("keys", cache.keys.shape, "= blocks Hkv max_length K, the values likewise")
agree(logits, before["logits"])
agree(cache.keys[i, shared, :N], k_old)
agree(cache.values[i, shared, :N], v_old)

# %% [markdown] key="cache-decode-note"
# From now on each call gets a single new token: this is **decoding**. The ids have length 1, and so have
# the queries. `fork` makes a copy of the cache first, so that we can use the filled one again below.

# %% key="cache-decode"
step = {}
copy = cache.fork()
logits = forward(weights, config, [new], copy, tap=record(step))
print("logits", logits.shape, " filled:", copy.length)
print("q", step[f"blocks.{i}.q"].shape, " pattern", step[f"blocks.{i}.pattern"].shape)
agree(logits, after["logits"][-1:])
agree(step[f"blocks.{i}.mix"][h], mix)

# %% [markdown] key="tokenwise-why"
# ## Step 4. The same result, however the text is cut
#
# A cache must change nothing. First the whole sentence token by token: every call sees one id.

# %% key="tokenwise-agree"
cache_1 = KVCache(config, N)
rows = [forward(weights, config, ids[t : t + 1], cache_1) for t in range(N)]
agree(np.concatenate(rows), before["logits"])

# %% [markdown] key="splits-why"
# Now pieces of any size. Between two tokens there is either a cut or none, so a text of `n` tokens can be
# cut in $2^{n-1}$ ways. We try every one of them on the first few tokens.

# %% key="splits-by-hand"
n = 4
results, shown = [], []
for cuts in range(2 ** (n - 1)):
    where = [t for t in range(1, n) if cuts >> (t - 1) & 1]  # the binary digits say where to cut
    pieces = np.split(ids[:n], where)
    cache_n = KVCache(config, n)
    results.append(np.concatenate([forward(weights, config, p, cache_n) for p in pieces]))
    shown.append("+".join(str(len(p)) for p in pieces))
print(len(shown), "ways:", *shown)
agree(np.stack(results), np.stack([before["logits"][:n]] * len(results)))

# %% [markdown] key="position-why"
# ## Step 5. The position of the first new token
#
# Positions count from 0, so `N` tokens stand at 0 to `N - 1`, and the first new token stands at **N**. It is
# easy to write `N + 1`, thinking of the new length; there are published Llamas that did. In `forward` the
# position is read off the cache: `past` is its length, and the new positions start there.

# %% key="position-by-hand"
print("prompt:   ", np.arange(N))
print("first new:", np.arange(N, N + 1), "  length of the cache:", cache.length)

# %% [markdown] key="experiment"
# ## Try it: one place too far
#
# We make that error on a copy of the cache. The new token goes to place `N + 1`; place `N` stays empty,
# full of zeros, and counts as filled. So the new token is rotated by one position too much, and its query
# also meets a key that consists of zeros. We look at the scores of the last block.
#
# Predict before you run it. Which score does the query get with a key of zeros? Which **weight** does that
# score get from the softmax: zero, a little, or a lot? And will the model still predict the same next token?

# %% key="experiment-cell"
broken = cache.fork()
broken.keys[..., N, :] = broken.values[..., N, :] = 0  # the empty place
broken.length = N + 1  # so the new token lands at N + 1
seen = {}
wrong = forward(weights, config, [new], broken, tap=record(seen))[-1]
print("scores of the empty place, head by head:", seen[f"{last}.scores"][:, 0, N].round(3))
print("weights of the empty place:             ", seen[f"{last}.pattern"][:, 0, N].round(3))

# %% key="experiment-logits"
right = after["logits"][-1]
print(f"largest change of a logit: {np.abs(wrong - right).max():.3f}")
for name, row in {"right": right, "wrong": wrong}.items():
    best = np.argsort(-row)[:3]
    chances = softmax(row)
    print(name, *(f"{tokenizer.token(t)} {chances[t]:.3f}" for t in best), sep="   ")

# %% [markdown] key="experiment-answer"
# <details><summary>Answer</summary>
#
# The score is exactly 0. That is an ordinary score, not minus infinity: its weight is $e^0 = 1$ before the
# row is divided by its sum. Where the other scores are far above zero it gets little, where they are below
# zero it gets a lot. Its value is zero, so whatever weight it takes is missing from the mix. And since the
# new token stands one place too far, its distance from every other token is wrong (lesson 05). The logits
# change, but often the best token stays the same. That is why such an error can go unnoticed for a long
# time: the text still looks like a text. A comparison with the run without a cache shows it at once.
#
# </details>

# %% [markdown] key="chunks-why"
# ## Step 6. A long prompt in chunks, and its mask
#
# During the prefill the scores of a block are `Hq T S` numbers. With `T = S`, twice the prompt takes four
# times the memory. So a long prompt is given in **chunks**: the scores exist for one chunk only, `T` is the
# chunk's length, and `S` is everything so far. Here is the size of the scores of one block, in float32, for
# the last chunk of a text that fills the context; `PREFILL_CHUNK` is the length of the library's chunks. A
# MiB is $2^{20}$ bytes. (Where the context is no longer than a chunk, both rows are the same.)

# %% key="chunks-scores"
from llama_np import LLAMA_3_8B
from llama_np.sampling import PREFILL_CHUNK

rows = []
for name, c in {"this model": config, "Llama 3 8B": LLAMA_3_8B}.items():
    S = c.context_length
    for what, T in {"at once": S, "in chunks": min(PREFILL_CHUNK, S)}.items():
        rows.append([name, what, T, S, f"{c.n_heads * T * S * 4 / 2**20:,.0f} MiB"])
table(["model", "prompt", "T", "S", "scores of one block"], rows)

# %% [markdown] key="mask-why"
# In a chunk the mask is no longer square. It has `T` rows and `S` columns, and a new token sees **all** past
# tokens and the new ones up to itself. The rule is that of lesson 06: a key may be seen if its position
# is no later than the query's. If you write `np.tril(np.ones((T, S)))` instead, the triangle starts in the
# corner at the top left, as if the chunk's first token were the first of the text.

# %% key="mask-by-hand"
from llama_np import causal_mask

past = N // 2
queries, keys = np.arange(past, N), np.arange(N)
right_mask = keys[None, :] <= queries[:, None]  # T S
wrong_mask = np.tril(np.ones((N - past, N), dtype=bool))
show.matrices(
    {"right": right_mask.astype(float), "wrong": wrong_mask.astype(float)},
    ("query T", "key S"),
    rows=labels[past:N],
    columns=labels[:N],
    across=2,
)

# %% [markdown] key="mask-agree-note"
# The library's `causal_mask` is this rule. The right mask is also the lower part of the square one, the rows of
# the new tokens. With the wrong one the result is wrong in every row of the chunk.

# %% key="mask-agree"
agree(right_mask, causal_mask(queries, keys), tolerance=0)
agree(right_mask, causal_mask(keys, keys)[past:], tolerance=0)
half = KVCache(config, N)
forward(weights, config, ids[:past], half)
second = forward(weights, config, ids[past:], half.fork())
agree(second, before["logits"][past:])
wrong_rows = forward(weights, config, ids[past:], half.fork(), mask=wrong_mask)
changed = np.abs(wrong_rows - second).max(axis=-1)
print("largest change in each row with the wrong mask:", changed.round(2))

# %% [markdown] key="prefill-named-note"
# For a single new token the mask is one row, all true: a decoding step needs none. That is why code that
# was only tried one token at a time can have a wrong mask and never show it. Here is the library's prefill.
# Within a chunk attention makes the scores for some dozens of tokens at a time, so it holds still fewer of them.

# %% key="prefill-named"
from llama_np.sampling import prefill

source(prefill)

# %% key="prefill-agree"
agree(prefill(weights, config, ids, KVCache(config, N)), before["logits"][-1])

# %% [markdown] key="memory-why"
# ## Step 7. What it costs: memory
#
# For every token the cache holds a key and a value, of `K` numbers each, for each key-value head of each
# block:
#
# $$\mathrm{bytes\ per\ token} = 2 \cdot L \cdot H_{kv} \cdot K \cdot b$$
#
# $L$ is the number of blocks, $H_{kv}$ the number of key-value heads and $b$ the bytes of one number: 4 in
# float32, in which this library computes, and 2 in bfloat16, in which Llama 3 is published. The number of
# query heads does not appear.


# %% key="memory-by-hand"
def bytes_per_token(c, n_kv_heads, bytes_each):
    return 2 * c.n_layers * n_kv_heads * c.head_dim * bytes_each


by_hand = bytes_per_token(config, config.n_kv_heads, cache.keys.itemsize)
assert by_hand * cache.max_length == cache.nbytes
print(
    f"{by_hand:,} bytes per token, {cache.nbytes:,} for the {cache.max_length} places taken above"
)

# %% [markdown] key="memory-table-note"
# Now both models as they are, and as they would be with a key-value head for every query head (multi-head
# attention, lesson 07), at 2 bytes a number.

# %% key="memory-table"
rows = []
for name, c in {"this model": config, "Llama 3 8B": LLAMA_3_8B}.items():
    for variant, n_kv in {"as it is": c.n_kv_heads, "multi-head": c.n_heads}.items():
        each = bytes_per_token(c, n_kv, 2)
        full = each * c.context_length / 2**20
        rows.append([name, variant, n_kv, f"{each:,}", f"{c.context_length:,}", f"{full:,.0f} MiB"])
table(["model", "variant", "Hkv", "bytes per token", "longest text", "its cache"], rows)

# %% [markdown] key="memory-8b-note"
# Llama 3 8B needs 131,072 bytes for every token. For the 8,192 tokens it was made for, that is 1 GiB (1,024
# MiB), and 4 GiB if it were multi-head. (Llama 2 7B has as many blocks, heads of the same width, and no
# groups: it needs 524,288 bytes a token.) The cache comes on top of the weights, once for every text that
# is being written.
#
# Llama 3.1 8B has the same sizes and reads up to 131,072 tokens. The picture goes that far, with the memory
# of the weights beside it, all at 2 bytes a number. At its right end the cache of a single text needs more
# room than all weights together.

# %% key="memory-picture"
tokens = np.linspace(0, 131_072, 33)
gib = {
    "multi-head": tokens * bytes_per_token(LLAMA_3_8B, LLAMA_3_8B.n_heads, 2) / 2**30,
    "grouped, as it is": tokens * bytes_per_token(LLAMA_3_8B, LLAMA_3_8B.n_kv_heads, 2) / 2**30,
    "weights": np.full(len(tokens), LLAMA_3_8B.count_parameters() * 2 / 2**30),
}
show.curves(tokens, gib, ("tokens in the cache", "GiB"), title="Llama 3 8B: memory")

# %% [markdown] key="time-why"
# ## Step 8. What it saves: time
#
# We measure one more token behind texts of growing length: without a cache, so that the whole text runs
# again, and with one. `process_time` counts only the processor's time for this notebook, so that other
# programs do not disturb. Each is measured three times, and the middle value counts. Predict the shape of
# both lines. (A model with billions of weights takes minutes for this; choose shorter lengths.)

# %% key="time-measure" tags=["timing"]
import time


def seconds(ids, cache=None):
    started = time.process_time()
    forward(weights, config, ids, cache, last_only=True)
    return time.process_time() - started


lengths = np.linspace(8, min(160, config.context_length), 5).astype(int)
without, with_cache = [], []
for length in lengths:
    text, filled = np.resize(ids, length), KVCache(config, length)
    forward(weights, config, text[:-1], filled)
    without.append(np.median([seconds(text) for _ in range(3)]))
    with_cache.append(np.median([seconds(text[-1:], filled.fork()) for _ in range(3)]))

# %% key="time-picture" tags=["timing"]
lines = {"without a cache": 1000 * np.array(without), "with a cache": 1000 * np.array(with_cache)}
show.curves(lengths, lines, ("tokens of the text", "milliseconds"), title="time for one more token")
for length, a, b in zip(lengths, without, with_cache):
    print(f"{length:4} tokens: {1000 * a:8.1f} ms without, {1000 * b:6.1f} ms with a cache")

# %% [markdown] key="time-answer"
# Without a cache the time grows with the text: roughly in proportion for short texts, faster for long ones,
# since the scores grow with the square of the length. With a cache it stays nearly flat. Not quite, since a
# longer text has more keys and values to read. And it is not free: every step reads all weights once. On a
# large model, reading weights and cache from memory is most of what one new token costs, and a smaller cache
# is faster to read ([Shazeer 2019](https://arxiv.org/abs/1911.02150), abstract).
#
# Last, a whole text in both ways. They must write the same tokens.

# %% key="time-whole" tags=["timing"]
from llama_np import generate

n_new = 30
started, text = time.process_time(), ids
for _ in range(n_new):
    text = np.append(text, forward(weights, config, text, last_only=True)[-1].argmax())
middle = time.process_time()
cached = np.array(list(generate(weights, config, ids, n_new)))
finished = time.process_time()
agree(text[N:], cached, tolerance=0)
print(f"{n_new} tokens: {middle - started:.2f} s without, {finished - middle:.2f} s with a cache")

# %% [markdown] key="shapes-note"
# ## What you have seen
#
# These are the arrays of one decoding step. The axis `T` has length 1 and is left out; `S` counts all tokens
# so far, the new one included.

# %% key="shapes"
from classroom import shapes

arrays = {
    "x, the new row": "D",
    "q of the new token": "Hq K",
    "k and v of the new token": "Hkv K",
    "k and v, all": "Hkv S K",
    "scores, pattern": "Hq S",
    "logits": "V",
}
shapes(arrays, config, n_tokens=len(longer))

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>Why is there no cache of queries?</summary>
#
# A query belongs to the token that reads. Once its row of the pattern has been computed, nobody asks for it
# again. Keys and values belong to the tokens that are read from, and those are read from again and again.
#
# </details>
#
# <details><summary>The prompt has 17 tokens. At which position stands the first token that is written, and how many keys does its query meet?</summary>
#
# At position 17, counting from 0. It meets 18 keys: those of the prompt and its own.
#
# </details>
#
# <details><summary>Could one keep keys before rotation?</summary>
#
# Yes, and rotate all of them at every step by their positions. The result is the same, with more work.
# A token's position does not change, so it is turned once and kept.
#
# </details>
#
# <details><summary>You go back and change a word in the middle of the text. What of the cache is still good?</summary>
#
# Everything before that word. From the word on, keys and values may have changed, because every later token
# could read from it. Set the length back and run the rest again.
#
# </details>
#
# <details><summary>Would a model without a mask, in which every token sees the whole text, have a use for this cache?</summary>
#
# No. Each new token would change the rows of all earlier ones, and with them their keys and values in the
# next block. Step 1 would fail.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# The model can now go on from any text at the price of one row per token. Lesson 12, generation, puts the
# loop around it: when to stop, how to draw, how to write several texts at once, and how a chat is a text
# like any other.
