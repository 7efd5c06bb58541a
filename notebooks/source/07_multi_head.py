# %% [markdown] key="title"
# # 07 Multi-head attention: several ways to read at once
#
# One head gives each token one way to read the text before it. A word often needs several at once: the
# noun it belongs to, the word just before, the start of the sentence. So a block has many heads side by
# side, each with its own pattern. In Llama 3 several heads share their keys and values, so that the model
# needs less memory while it writes.
#
# **In**: `normed`, the normalised copy of the stream, `T D`: a row of `D` numbers for each of the `T`
# tokens. **Out**: `attn_out`, `T D`, which is added to the stream.
#
# After this lesson you can run all heads in a loop and then without one, and show that both are the same.
# You can say what `wo` is for, what grouped queries share, and count what that saves, here and in Llama 3
# 8B. You need one head (lesson 04), rotation (05) and the mask (06).

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["attention"])

# %% [markdown] key="sentence-why"
# ## Step 1. One sentence, many patterns
#
# We run the model once and record every named result (the tap of lesson 00). A head's **pattern** has a
# row for each token that reads and a column for each token it reads from. Every row sums to one: what a
# head gives to one token it cannot give to another. The cell looks for the block whose heads differ most
# from one another.

# %% key="sentence"
from llama_np import forward, record

prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
trace = {}
forward(weights, config, ids, tap=record(trace))


def spread(i):
    return trace[f"blocks.{i}.pattern"].std(axis=0).mean()  # over the heads


i = max(range(config.n_layers), key=spread)
print("block", i, "has patterns of shape", trace[f"blocks.{i}.pattern"].shape, "= Hq T S")

# %% [markdown] key="patterns-why"
# Here are the patterns of its heads, eight of them at most, all drawn on the same scale. Below them stands,
# in numbers, the token from which each head takes most for the last token.

# %% key="patterns"
patterns = trace[f"blocks.{i}.pattern"]
some = range(min(config.n_heads, 8))
chosen = {f"head {h}": patterns[h] for h in some}
show.matrices(chosen, ("query T", "key S"), rows=labels, columns=labels, limit=1.0)
for h in some:
    row = patterns[h, -1]
    print(f"head {h}: {labels[-1]} reads {row.max():.3f} from {labels[row.argmax()]}")

# %% [markdown] key="reason"
# ## Why more than one head
#
# A wide head would still have one pattern. What it hands a token is one weighted mean of everything it
# reads, so two things that it looks for come out as one mixture. Several narrow heads keep them apart
# ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.2.2).
#
# You may read that several heads are there "to prevent **overfitting**": learning the training texts by
# heart. That is not the reason. Nothing here is random or left out: all heads run for every token, in
# training and after it. Nor are there fewer numbers to learn. With keys and values for every query head,
# one head of width `Hq*K` has as many parameters as `Hq` heads of width `K`. What differs is the number of
# patterns.

# %% key="reason-count"
D, K, Hq, Hkv = config.dim, config.head_dim, config.n_heads, config.n_kv_heads
rows = []
for n_heads, width in ((1, Hq * K), (Hq, K)):
    parameters = 3 * D * n_heads * width + n_heads * width * D  # wq, wk, wv and wo
    rows.append([n_heads, width, f"{parameters:,}"])
table(["heads, each with a pattern", "width of each", "parameters"], rows)

# %% [markdown] key="experiment"
# ## Try it: one pattern for all
#
# We let every head keep its own values but give all heads of a block the same pattern: the mean of theirs.
# `patch` is the tap that replaces a result on its way. We do this in every block and measure the loss
# (lesson 06): the mean of $-\log p$, where $p$ is the probability of the token that really comes next. Lower
# is better. The text is a little longer, so that there is more to predict.
#
# Predict before you run it: does the loss rise much, a little, or not at all? And what if the heads swap
# their patterns instead, so that each reads with its neighbour's?

# %% key="experiment-cell"
from llama_np import patch
from llama_np.training import cross_entropy

story = (
    prompt + " Lily. She had a red ball. One day, Lily lost her ball in the park. She was very sad."
)
story_ids = np.array(tokenizer.encode(story, bos=True))
changes = {
    "as it is": lambda p: p,
    "the mean for all": lambda p: np.broadcast_to(p.mean(axis=0), p.shape),
    "the neighbour's": lambda p: np.roll(p, 1, axis=0),
}
for name, change in changes.items():
    tap = patch({f"blocks.{n}.pattern": change for n in range(config.n_layers)})
    logits = forward(weights, config, story_ids, tap=tap)
    print(f"{name:17} loss {cross_entropy(logits[:-1], story_ids[1:]):.3f}")

# %% [markdown] key="experiment-answer"
# <details><summary>Answer</summary>
#
# In a trained model the loss rises in both cases; by how much depends on the model. The mean mixes what the
# heads keep apart: it points, weakly, at every token that some head wanted. With a neighbour's pattern a
# head hands over values of tokens that it did not look for. Now change only one block: put `[i]` in place
# of `range(config.n_layers)`. As a rule the change is then much smaller, since the other blocks still read
# with their own patterns. (A model with random weights has nothing to lose: its numbers say nothing.)
#
# </details>

# %% [markdown] key="loop-why"
# ## Step 2. A loop over heads
#
# `wq` holds the query matrices of all heads side by side: the first `K` columns are head 0's, the next `K`
# head 1's, and so on. For keys and values there are fewer such slices, `Hkv` instead of `Hq`. Neighbouring
# query heads form a **group** of `Hq / Hkv`, and the whole group uses one **key-value head**: query head
# `h` reads number `h // group`. (Where `Hkv` equals `Hq`, every group is a single head.) Step 5 says why.
# Here is the rule, written out.

# %% key="loop-sizes"
layer = weights.layers[i]
group = config.group
print("wq", layer.wq.shape, " wk", layer.wk.shape, " wv", layer.wv.shape, " wo", layer.wo.shape)
print("query head         ", *some)
print("its key-value head ", *(h // group for h in some))

# %% [markdown] key="loop-note"
# Now the loop. `one_head` is the function of the earlier lessons: project, rotate, score, mask, softmax,
# mix. Each turn of the loop gives it the columns that belong to the head.

# %% key="loop-by-hand"
from llama_np import one_head, rope_frequencies

normed = trace[f"blocks.{i}.attn_norm"]
positions = np.arange(len(ids))
frequencies = rope_frequencies(K, config.rope_theta, config.rope_scaling)
mixes = []
for h in range(Hq):
    own = slice(h * K, (h + 1) * K)
    shared = slice(h // group * K, (h // group + 1) * K)
    wq, wk, wv = layer.wq[:, own], layer.wk[:, shared], layer.wv[:, shared]
    mixes.append(one_head(normed, wq, wk, wv, positions, frequencies))
print(len(mixes), "mixes, each", mixes[0].shape, "= T K")
agree(np.stack(mixes), trace[f"blocks.{i}.mix"])

# %% [markdown] key="concat-why"
# ## Step 3. Side by side, and back to the stream
#
# Every token now has one short row from each head. They are laid side by side into one long row of
# `Hq*K` numbers: this is the **concatenation**. Nothing is added up yet, and no head has seen another's
# result.

# %% key="concat-by-hand"
side_by_side = np.concatenate(mixes, axis=-1)  # Hq times T K -> T Hq*K
print("side by side", side_by_side.shape, "= T Hq*K")
show.matrix(side_by_side, ("T", "Hq*K"), rows=labels, title=f"mixes of all heads, block {i}")

# %% [markdown] key="wo-why"
# Added to the stream like this, each head could write only into the columns at its own place, and the width
# `Hq*K` would have to equal `D`. The matrix `wo` removes both limits. It turns the long row into a row of
# width `D`, and each number of the result can depend on every head.

# %% key="wo-by-hand"
attn_out = side_by_side @ layer.wo  # T Hq*K @ Hq*K D -> T D
print("attn_out", attn_out.shape, "= T D")
show.matrices(
    {"attn_out": attn_out, "the stream after it was added": trace[f"blocks.{i}.resid_mid"]},
    ("T", "D"),
    rows=labels,
    across=1,
)

# %% [markdown] key="loop-named-note"
# The library has the loop too. It is slow and easy to check, and every faster version must give its result.

# %% key="loop-named"
from llama_np import loop_over_heads

source(loop_over_heads)

# %% key="loop-agree"
looped = loop_over_heads(normed, layer.wq, layer.wk, layer.wv, layer.wo, K, positions, frequencies)
agree(attn_out, looped)
agree(attn_out, trace[f"blocks.{i}.attn_out"])

# %% [markdown] key="sum-why"
# ## What each head adds
#
# `wo` can be cut as `wq` was, this time into rows: the first `K` rows meet head 0's numbers only, and so
# on. So the product is a sum with one term for each head:
#
# $$\mathrm{attn\_out} = \sum_{h=0}^{H_q-1} \mathrm{mix}_h \; W^O_h$$
#
# Here $\mathrm{mix}_h$ is the mix of head $h$, `T K`, $W^O_h$ the rows of `wo` that belong to it, `K D`, and
# $H_q$ the number of query heads, `Hq`. So each head adds a row of width `D` of its own. The picture shows
# the length of these rows for the last token: the root of the sum of the squares.

# %% key="sum-by-hand"
parts = np.stack([mixes[h] @ layer.wo[h * K : (h + 1) * K] for h in range(Hq)])  # Hq T D
agree(parts.sum(axis=0), attn_out)
lengths = np.sqrt((parts[:, -1] ** 2).sum(axis=-1))
show.bars(lengths, [f"head {h}" for h in range(Hq)], "length", title=f"added at {labels[-1]}")

# %% [markdown] key="once-why"
# ## Step 4. All heads at once
#
# A Python loop makes many small matrix products. NumPy can do them in one call if the heads have an axis
# of their own, in front. So we compute all queries with the whole `wq`, cut each row into heads, and bring
# the head axis forward. Watch the shape.

# %% key="once-by-hand"
q = normed @ layer.wq  # T D @ D Hq*K -> T Hq*K
print("all queries     ", q.shape, "= T Hq*K")
q = q.reshape(len(ids), Hq, K)
print("cut into heads  ", q.shape, "= T Hq K")
q = q.swapaxes(0, 1)
print("heads in front  ", q.shape, "= Hq T K")
agree(q, trace[f"blocks.{i}.q"])

# %% [markdown] key="once-trap"
# Two steps are needed, reshape and swap. Asking `reshape` for the final shape at once gives the same shape
# and other contents. It fills head 0 with the first numbers it finds: *all heads of the first tokens*. No
# error is raised. The cell counts how many numbers stand at the right place.

# %% key="once-trap-cell"
wrong = (normed @ layer.wq).reshape(Hq, len(ids), K)
print("same shape:", wrong.shape == q.shape)
print(f"numbers at the right place: {np.isclose(wrong, q).mean():.1%}")

# %% key="once-named"
from llama_np import split_heads

source(split_heads)

# %% [markdown] key="repeat-why"
# Keys and values are cut the same way, into `Hkv` heads. To multiply them with `Hq` query heads we could
# copy each `group` times. `np.repeat` repeats each in its place, which is the pairing `h // group`.
# `np.tile` repeats the whole row of them, which is another pairing and a common mistake: it runs, and the
# result is wrong.

# %% key="repeat-by-hand"
from llama_np import attend, causal_mask, merge_heads, rotate

k, v = split_heads(normed @ layer.wk, K), split_heads(normed @ layer.wv, K)  # Hkv T K
q_rotated, k_rotated = rotate(q, positions, frequencies), rotate(k, positions, frequencies)
visible = causal_mask(positions, positions)
print("repeat:", np.repeat(np.arange(Hkv), group), " tile:", np.tile(np.arange(Hkv), group))
k_copied, v_copied = np.repeat(k_rotated, group, axis=0), np.repeat(v, group, axis=0)
print("k", k_rotated.shape, "-> copied", k_copied.shape)
mix = attend(q_rotated, k_copied, v_copied, visible)  # one call, all heads
agree(mix, np.stack(mixes))

# %% [markdown] key="grouped-named-note"
# Copies take memory and time to read, and sharing was meant to save both. The library copies nothing. It
# arranges the query heads as `(Hkv, group)` and gives the keys an axis of length 1 where the group stands;
# NumPy stretches such an axis without copying (**broadcasting**).

# %% key="grouped-named"
from llama_np import attend_grouped

source(attend_grouped)

# %% key="grouped-agree"
agree(mix, attend_grouped(q_rotated, k_rotated, v, visible))

# %% [markdown] key="whole-named-note"
# Here is the whole step, as the model runs it. Two things are new, and both change no result: `cache` is the
# subject of lesson 11, and the scores of a long text are made a chunk of queries at a time. `merge_heads` undoes `split_heads`: it lays the heads side by side again. `linear(x, wq)` is
# `x @ wq`; for a batch of texts it reads the matrix once for all of them. The rotation is written with
# complex numbers, which come ready-made as `rotations` (lesson 05).

# %% key="whole-named"
from llama_np import attention, rope_rotations

source(attention)

# %% key="whole-agree"
agree(side_by_side, merge_heads(mix))
rotations = rope_rotations(positions, frequencies)
whole = attention(normed, layer, config, rotations, visible)
agree(looped, whole)

# %% [markdown] key="share-why"
# ## Step 5. What a group shares
#
# While a model writes, it keeps the keys and values of all past tokens in memory (lesson 11), and for
# every new token it reads all of them. Queries are not kept: a query is needed once, when its own token
# reads. So having fewer key-value heads saves memory and reading time, and having fewer query heads would
# not. This is **grouped-query attention**
# ([Ainslie et al. 2023](https://arxiv.org/abs/2305.13245), section 2.2).
#
# It has two ends. With a key-value head for every query head it is the **multi-head attention** of the
# first Transformer. With a single key-value head for all it is **multi-query attention**
# ([Shazeer 2019](https://arxiv.org/abs/1911.02150)). In the picture each box above is a query head. It has
# the colour of the key-value head that it reads, below.

# %% key="share-picture"
show.head_sharing(
    {
        "multi-head": (Hq, Hq),
        f"this model: {group} queries per key": (Hq, Hkv),
        "multi-query": (Hq, 1),
    }
)

# %% [markdown] key="share-patterns-why"
# Heads of one group have the same keys and the same values. Their patterns still differ, because their
# queries differ. Here is the first group: one matrix of keys, and the patterns that its query heads make
# with it.

# %% key="share-patterns"
members = range(min(group, 4))
show.matrix(k_rotated[0], ("S", "K"), rows=labels, title="keys of key-value head 0, rotated")
show.matrices(
    {f"head {h}": patterns[h] for h in members},
    ("query T", "key S"),
    rows=labels,
    columns=labels,
    limit=1.0,
    across=max(2, len(members)),
)

# %% [markdown] key="ends-why"
# The same function covers both ends. We give it keys and values for every query head, then for one head
# only, and compare with `attend`, which knows of no groups. (Cutting a trained model down to its first
# key-value head makes it worse. The point is that the code does not change.)

# %% key="ends-agree"
multi_head = attend_grouped(q_rotated, k_copied, v_copied, visible)  # Hkv = Hq
agree(multi_head, attend(q_rotated, k_copied, v_copied, visible))
multi_query = attend_grouped(q_rotated, k_rotated[:1], v[:1], visible)  # Hkv = 1
agree(multi_query, attend(q_rotated, k_rotated[0], v[0], visible))

# %% [markdown] key="groups-why"
# ## How many share
#
# The number of query heads per key-value head is not the same in all Llamas. In Llama 3 8B it is 4. Code
# that has the 4 written into it breaks on others, so take it from the config. The heads below are those of
# the published configs.

# %% key="groups"
published = {  # query heads, key-value heads
    "this model": (Hq, Hkv),
    "Llama 2 7B": (32, 32),
    "Llama 2 70B": (64, 8),
    "Llama 3 8B": (32, 8),
    "Llama 3 70B": (64, 8),
    "Llama 3.2 1B": (32, 8),
    "Llama 3.2 3B": (24, 8),
}
rows = [[name, q_heads, kv, q_heads // kv] for name, (q_heads, kv) in published.items()]
table(["model", "query heads", "key-value heads", "queries per key"], rows)

# %% [markdown] key="saves-why"
# ## Step 6. What sharing saves
#
# Two things become smaller: the matrices `wk` and `wv`, and the cache. `wq` and `wo` stay. Per block, the
# parameters of attention are
#
# $$D H_q K + 2 D H_{kv} K + H_q K D$$
#
# for `wq`, for `wk` and `wv`, and for `wo`; $H_{kv}$ is the number of key-value heads. First by hand for
# this block, held against the matrices themselves.

# %% key="saves-by-hand"
by_hand = D * Hq * K + 2 * D * Hkv * K + Hq * K * D
counted = sum(matrix.size for matrix in (layer.wq, layer.wk, layer.wv, layer.wo))
assert by_hand == counted
print(f"{counted:,} parameters in this model's attention, per block")

# %% [markdown] key="saves-table-note"
# The same count for both models, as they are and at the two ends. The cache holds a key and a value of
# width `K` for each key-value head in each block: `2 * blocks * Hkv * K` numbers for every token of the
# text. All entries count numbers, not bytes.

# %% key="saves-table"
from llama_np import LLAMA_3_8B

rows = []
for name, c in {"this model": config, "Llama 3 8B": LLAMA_3_8B}.items():
    ends = {"multi-head": c.n_heads, "as it is": c.n_kv_heads, "multi-query": 1}
    for variant, n_kv in ends.items():
        shared = 2 * c.dim * n_kv * c.head_dim
        total = 2 * c.dim * c.n_heads * c.head_dim + shared
        cache = 2 * c.n_layers * n_kv * c.head_dim
        rows.append([name, variant, n_kv, f"{shared:,}", f"{total:,}", f"{cache:,}"])
header = ["model", "variant", "Hkv", "wk and wv", "attention per block", "cache per token"]
table(header, rows)

# %% [markdown] key="saves-answer"
# In Llama 3 8B a block has 41,943,040 parameters in its attention, instead of 67,108,864. The cache shrinks
# more, by the whole factor `group`, because it holds nothing but keys and values. Multi-query would save
# more still. Its price, as Ainslie et al. report, is some quality and a less stable training. Grouped
# queries came close to multi-head in quality.

# %% [markdown] key="shapes-note"
# ## What you have seen
#
# `wq`, `wk`, `wv` and `wo` are listed head by head: the model holds the heads side by side in one matrix.

# %% key="shapes"
from classroom import shapes

arrays = {
    "normed": "T D",
    "wq, by head": "Hq D K",
    "wk and wv, by head": "Hkv D K",
    "q": "Hq T K",
    "k and v": "Hkv T K",
    "scores, masked, pattern": "Hq T S",
    "mix": "Hq T K",
    "wo, by head": "Hq K D",
    "attn_out": "T D",
}
shapes(arrays, config, n_tokens=len(ids))

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>A text says: "Several heads prevent overfitting, because each sees only a part of the data." What is wrong?</summary>
#
# Each head sees every token and the whole row of `D` numbers: `wq` of one head is `D` by `K`. Nothing is
# hidden from it. Several heads are there because each has a pattern of its own.
#
# </details>
#
# <details><summary>Why are keys and values shared, and not queries?</summary>
#
# Keys and values of past tokens are kept and read again for every new token. A query is used once, by its
# own token, and forgotten. So only fewer keys and values save cache. Queries are also what makes the
# patterns of a group differ.
#
# </details>
#
# <details><summary>Could two heads of one group end with the same mix?</summary>
#
# Yes, if their queries were the same: keys and values already are. Nothing forbids it. But the columns of
# `wq` start from different random numbers, and training gives them different things to look for.
#
# </details>
#
# <details><summary>What would change if the heads came in another order?</summary>
#
# Nothing, if the columns of `wq` and the rows of `wo` are moved together and no query head leaves its group.
# The sum over heads does not depend on the order. Move one without the other and the result is wrong.
#
# </details>
#
# <details><summary>Does attention have biases?</summary>
#
# Not in Llama: all four are plain matrix products. GPT-2 adds a bias after each of them.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# Attention has moved information between tokens. In lesson 08, feed-forward, every token works on what it
# has collected, alone, and most of the model's parameters do that work.
