# %% [markdown] key="title"
# # 06 Masking: who may see whom
#
# In *Once upon a time, there was a little girl named* the row of ` girl` has to guess what comes next, and what
# comes next is in the same text, one row further down. What keeps the model from reading the answer off? And
# if nothing did: would it not be right every time?
#
# A table of true and false keeps it, the **causal mask**. A token may read from itself and from those before
# it, never from those after it. In go the scores of a head, one for each query and key (`T S`), and the
# positions of both. Out comes the pattern (`T S`), with a weight of exactly zero for every later key.
#
# On this page you take the mask away and see what the model makes of its freedom, you hide one story from
# another, and at the end you find that the mask, which knows nothing of words, tells the model something that
# nobody put into it.
#
# Before this page: [lesson 05](05_rope.ipynb). Beside it: [exercise 06](exercises/06_masking.ipynb).

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from llama_np import attend, forward, log_softmax, record, softmax
from weights_tools import load_model
from weights_tools.examine import ordinary_texts

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.attention_map(lit=["mask"], n_heads=config.n_heads, n_kv_heads=config.n_kv_heads)

# %% key="setup"
prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(t) for t in ids]
T = len(ids)
trace = {}
logits = forward(weights, config, ids, tap=record(trace))
long_enough = [row[:60] for row in ordinary_texts(tokenizer, 40).ids if len(row) >= 60]
stories = np.array(long_enough[:20])
print("twenty stories, 60 tokens each:", stories.shape)

# %% [markdown] key="problem"
# ## Step 1. A triangle, in two ways
#
# Every row of the output is a guess at the token *after* its own. In training the text is whole, so that a
# text of `T` tokens gives `T - 1` guesses to learn from in a single run, each with its right answer next to
# it. The answer must be out of sight, and [lesson 04](04_single_head_attention.ipynb) began with a matrix
# that does this: each row is the mean of the rows up to its own. Here it is for four tokens.

# %% key="triangle"
triangle = np.tri(4)
mean_so_far = triangle / triangle.sum(axis=-1, keepdims=True)
print(mean_so_far.round(2))

# %% [markdown] key="triangle-note"
# Nothing above the diagonal, and every row sums to one. But here the weights are given once and for all, and
# attention has to make them from scores. Softmax gives no score the weight zero, however low it is, with one
# exception: $e^{-\infty} = 0$. So put **minus infinity** in the place of every score that must not count, and
# let all the others be equal:

# %% key="triangle-again"
scores = np.where(triangle == 1, 0.0, -np.inf)
print(scores)
agree(softmax(scores), mean_so_far)

# %% [markdown] key="mask-why"
# The same triangle. This is the whole trick of masking, and the mean so far is what attention does when all
# scores are equal.
#
# ## Step 2. The mask
#
# The rule is: the query at position $t$ may see the key at position $s$ only if $s \le t$. The sign is *less
# than or equal*, since otherwise the first token would see nothing at all. We keep the rule as a table of
# true and false whose name says what *true* means, with rows for queries and columns for keys.

# %% key="mask-by-hand"
positions = np.arange(T)
visible = positions[None, :] <= positions[:, None]  # 1 S <= T 1 -> T S
for label, row in zip(labels, visible):
    print(f"{label:>18} sees {''.join('■' if seen else '·' for seen in row)}")

# %% key="mask-named"
from llama_np import causal_mask

agree(visible * 1, causal_mask(positions, positions) * 1)  # as ones and zeros
source(causal_mask)

# %% [markdown] key="apply-why"
# It takes the positions of queries and keys separately, because while a text is being written there are few
# queries, the new tokens, and many keys, all tokens so far.
#
# ## Step 3. Scores, masked, pattern
#
# Now in a real head. We take the one for which the mask has most to do: the head that would put most weight
# on later tokens if nothing were hidden.
#
# $$p_{ts} = \frac{e^{s_{ts}}}{\sum_{u \le t} e^{s_{tu}}} \;\text{ for } s \le t, \qquad p_{ts} = 0 \;\text{ for } s > t$$
#
# Here $s_{ts}$ is the score of query $t$ and key $s$ ([Vaswani et al.
# 2017](https://arxiv.org/abs/1706.03762), section 3.2.3).

# %% key="apply-by-hand"
every_block = range(config.n_layers)
all_scores = np.array([trace[f"blocks.{b}.scores"] for b in every_block])  # blocks Hq T S


def on_the_future(pattern):  # ... T S -> ..., the mean over all rows but the last
    return np.where(visible, 0, pattern).sum(axis=-1)[..., :-1].mean(axis=-1)


open_future = on_the_future(softmax(all_scores))
i, h = (int(n) for n in np.unravel_index(open_future.argmax(), open_future.shape))
scores = all_scores[i, h]
masked = np.where(visible, scores, -np.inf)
pattern = softmax(masked)
three = {"pattern, nothing hidden": softmax(scores), "masked scores": masked, "pattern": pattern}
show.matrices(three, ("query T", "key S"), rows=labels, columns=labels)

# %% [markdown] key="apply-note"
# Without a mask, head {{ h }} of block {{ i }} would put {{ open_future[i, h] :.0% }} of its weight on later
# tokens (left). {{ claim: open_future[i, h] > 0.5 }} In the middle minus infinity is grey, and on the right
# the same weight is shared among the tokens that are left: the row of `{{ labels[1] }}` has two to choose from,
# and that of the first token has only itself, so that its weight is 1 whatever its score. In the library
# hiding is the second line of `attend`, with `mask_scores` for `np.where`.

# %% key="apply-named"
from llama_np import mask_scores

agree(masked, mask_scores(scores, visible))
agree(pattern, trace[f"blocks.{i}.pattern"][h], tolerance=1e-4)
source(attend)

# %% [markdown] key="zero-why"
# ## Step 4. Minus infinity, not zero
#
# One often hears that the mask *sets the future to zero*. The **weights** of later keys become zero, because
# their **scores** become minus infinity. Two other ways come to mind: to set the *scores* of later keys to 0,
# or to leave the scores alone and set the *weights* to 0 after the softmax. **Predict before you run:** in
# which of the two does a token still read the future, and in which do the rows no longer sum to one?

# %% key="zero-experiment"
zeroed = softmax(np.where(visible, all_scores, 0))
cut = np.where(visible, softmax(all_scores), 0)
future = np.sort(on_the_future(zeroed).ravel())
lost = np.sort(1 - cut.sum(axis=-1)[..., :-1].mean(axis=-1).ravel())
by_head = {"scores to 0: weight on the future": future, "weights to 0: missing from the sum": lost}
show.curves(np.arange(future.size), by_head, ("heads of the model, sorted", "share of the row"))

# %% [markdown] key="zero-answer"
# <details><summary>Answer</summary>
#
# With *scores* of 0 the future is read: in the median head of this model {{ np.median(future) :.0% }} of the
# weight lies on it, and in the worst one {{ future[-1] :.0% }}. 0 is a score like any other, $e^0 = 1$ enters
# the sum, and where the scores of earlier tokens are negative, that is more than any of them. The rows sum to
# one, so nothing looks wrong. {{ claim: np.median(future) > 0.1 }}
#
# With *weights* of 0 after the softmax the future is not read, but it has taken part in the division, and
# what it took is missing: {{ np.median(lost) :.0% }} of a row in the median head. So a token still feels what
# comes after it. Only minus infinity does both. {{ claim: np.median(lost) > 0.1 }}
#
# </details>
#
# ## Step 5. A changed token changes no earlier row
#
# A mask inside one head is a promise about the whole model. Attention is the only step in which tokens meet,
# and all heads of all blocks have the same mask, so that row $t$ can depend on the tokens $0$ to $t$ only.
# We replace one token of the text by ` cake`, at each position in turn, and look at which rows of the output
# move. **Predict before you run:** the picture has a row for each replaced token and a column for each row of
# the output. Where is it white?

# %% key="future-experiment"
changed_texts = np.tile(ids, (T, 1))
np.fill_diagonal(changed_texts, tokenizer.encode(" cake")[0])  # text j has another token at j
changed = forward(weights, config, changed_texts)  # T T -> T T V
moved = np.abs(softmax(changed) - softmax(logits)).sum(axis=-1) / 2
axes = ("token that was replaced", "row of the output")
show.matrix(
    moved, axes, rows=labels, columns=labels, title="probability that moved", quantity="weights"
)

# %% [markdown] key="future-answer"
# <details><summary>Answer</summary>
#
# To the left of the replaced token, below the diagonal, nothing moves. The largest change there is
# {{ moved[np.tril_indices(T, -1)].max() :.0e }}, which is rounding. On the diagonal and to the right of it
# everything may move. {{ claim: moved[np.tril_indices(T, -1)].max() < 1e-3 }}
#
# </details>
#
# The row of a token is therefore the same whether the text goes on after it or ends there, and one run over
# a text gives what `T` runs over its beginnings would give. **Training** lives on this: it takes all positions
# of a text in one run, each with the true tokens before it, which is called **teacher forcing**. **Writing**
# lives on it, too: nothing that is written later changes what was computed before, so it can be kept, in the
# **KV cache** of [lesson 11](11_kv_cache.ipynb).

# %% key="prefix-agree"
beginnings = np.array([forward(weights, config, ids[: n + 1])[-1] for n in range(T)])
agree(beginnings, logits, tolerance=1e-3)

# %% [markdown] key="without-why"
# ## Step 6. What if the mask is taken away?
#
# Now every row sees everything, the right answer included. `forward` takes another mask if we give one.
# **Predict before you run:** will the model find the answer that stands one row further down?

# %% key="without-experiment"
everything = np.ones((T, T), bool)
open_logits = forward(weights, config, ids, mask=everything)


def guess(row, answer):
    p = softmax(row)
    return f"{tokenizer.token(p.argmax()):10}{p.max():.2f}  true {p[answer]:.2f}"


print(f"{'after':>18}   {'with the mask':25}   {'without':25}   comes next")
for t, answer in enumerate(ids[1:]):
    both = f"{guess(logits[t], answer):25}   {guess(open_logits[t], answer):25}"
    print(f"{labels[t]:>18}   {both}   {tokenizer.token(answer)}")

# %% [markdown] key="without-control"
# In {{ sum(softmax(a)[t] < softmax(b)[t] for a, b, t in zip(open_logits, logits, ids[1:])) }} of the
# {{ T - 1 }} rows the true token has become *less* likely. But one sentence is not enough, and there is a
# second suspect. Without a mask queries also meet keys at *negative* distances, at angles that RoPE never
# showed them in training. So we measure the loss on twenty stories in four ways: with and without mask, each
# once with the positions as they are and once with all positions set to 0, where nothing is turned and no
# distance is new.

# %% key="without-loss"
n = stories.shape[1]
order, nowhere = np.arange(n), np.zeros(n, int)
causal, open_to_all = causal_mask(order, order), np.ones((n, n), bool)


def losses(mask, positions=order):  # -> one loss for each story
    rows = log_softmax(forward(weights, config, stories, positions=positions, mask=mask))
    return -np.take_along_axis(rows[:, :-1], stories[:, 1:, None], axis=-1)[..., 0].mean(axis=-1)


loss, rows = {}, []
for name, at in {"as they are": order, "all 0": nowhere}.items():
    loss[name] = losses(causal, at), losses(open_to_all, at)
    worse = loss[name][1] - loss[name][0]
    error = worse.std() / len(worse) ** 0.5
    means = [f"{each.mean():.2f}" for each in loss[name]]
    rows.append([name, *means, f"{worse.mean():+.2f} ± {error:.2f}"])
table(["positions", "loss with the mask", "without", "difference"], rows)

# %% [markdown] key="without-answer"
# <details><summary>Answer</summary>
#
# The answer is in plain sight and the loss goes *up*, from {{ loss["as they are"][0].mean() :.2f }} to
# {{ loss["as they are"][1].mean() :.2f }}.
# {{ claim: (loss["as they are"][1] - loss["as they are"][0]).mean() > 0.1 }}
# In training no row ever had its own future in it, so the matrices have not learned to copy the answer from
# there, and what now comes in from the right looks like nothing they know. The second row tells the two
# suspects apart. Where nothing is turned, the model predicts badly in any case, and reading the future still
# costs {{ (loss["all 0"][1] - loss["all 0"][0]).mean() :.2f }}, so that the strange angles cannot be the only
# reason. {{ claim: (loss["all 0"][1] - loss["all 0"][0]).mean() > 0 }}
#
# </details>
#
# A model that was trained without the mask would do one thing well: copy its neighbour on the right. That
# is perfect in training and worth nothing in writing, since the last row, the only one that counts when a text
# is continued, has no neighbour there. Models without a causal mask are good at another task. An **encoder**
# such as BERT gets a text with some tokens blanked out and guesses those from both sides ([Devlin et al.
# 2018](https://arxiv.org/abs/1810.04805), section 3.1). Llama has no encoder; one stack of blocks both reads
# the prompt and writes.
#
# ## Step 7. Two stories in one row
#
# Training packs short texts into long rows, and then a token could read from a story that has nothing to do
# with its own. In Llama 3's training it cannot, because its mask also hides other documents ([Llama team
# 2024](https://arxiv.org/abs/2407.21783), section 3.2). It takes one more condition. We put pairs of our
# stories into one row, and look at the second of each pair: alone, behind the first one, and with a wall
# between them.

# %% key="packed"
first, second = stories, np.roll(stories, 1, axis=0)
packed = np.concatenate([first, second], axis=1)  # 20 2n
document = np.repeat([0, 1], n)
whole = causal_mask(np.arange(2 * n), np.arange(2 * n))
walled = whole & (document[:, None] == document[None, :])
seam = slice(n - 6, n + 6)  # where the second story begins
seam_labels = [tokenizer.token(t) for t in packed[0, seam]]
axes = ("query T", "key S")
show.matrix(
    walled[seam, seam] * 1.0, axes, rows=seam_labels, columns=seam_labels,
    title="may see, where two stories meet", quantity="weights",
)  # fmt: skip
alone = softmax(forward(weights, config, second))
behind = softmax(forward(weights, config, packed, mask=whole)[:, n:])
walled_off = softmax(forward(weights, config, packed, mask=walled)[:, n:])
agree(walled_off, alone, tolerance=1e-3)
shift = (np.abs(behind - alone).sum(axis=-1) / 2).mean(axis=-1)  # one number for each story
print(f"without the wall {shift.mean():.1%} ± {shift.std() / 20**0.5:.1%} of the probability moves")

# %% [markdown] key="packed-note"
# With the wall the second story is predicted exactly as if it were alone, although its positions now begin at
# {{ n }}, because only distances count ([lesson 05](05_rope.ipynb)). Without it
# {{ shift.mean() :.0% }} of the probability lies on other tokens, on the mean over all rows and stories, and
# not for any good reason. {{ claim: shift.mean() > 0.02 }}
#
# ## Step 8. What the mask says about order
#
# Last, a question that suggests itself after two lessons. RoPE was brought in because attention does not see
# the order of the tokens. But that was attention without a mask. Is RoPE needed once the mask is there?
#
# Take the first twenty tokens of each story and shuffle them, all but the first and the last. Set all
# positions to 0, so that RoPE does nothing. Then look at the last row after each block: does it notice?
# **Predict before you run:** after one block? After two? And with no mask at all?

# %% key="order"
short = stories[:, :20]
shuffled = short.copy()
shuffled[:, 1:-1] = np.random.default_rng(0).permuted(short[:, 1:-1], axis=1)
at_0, masks = np.zeros(20, int), {"masked": causal[:20, :20], "no mask": open_to_all[:20, :20]}
noticed = {}
for name, mask in masks.items():
    last = []
    for texts in (short, shuffled):
        taken = {}
        forward(weights, config, texts, positions=at_0, mask=mask, tap=record(taken, {"resid_out"}))
        last.append(np.array([rows[:, -1] for rows in taken.values()]))  # blocks 20 D
    apart = np.linalg.norm(last[0] - last[1], axis=-1) / np.linalg.norm(last[0], axis=-1)
    noticed[name] = apart
blocks = 1 + np.arange(config.n_layers)
curves = {name: apart.mean(axis=-1) for name, apart in noticed.items()}
show.curves(blocks, curves, ("blocks", "change of the last row"))
for name, apart in noticed.items():
    one, two, every = apart[0].mean(), apart[1].mean(), apart[-1]
    print(f"{name:8} after one block {one:.0e}, after two {two:.0e}, ", end="")
    print(f"after all {every.mean():.2f} ± {every.std() / 20**0.5:.2f}")

# %% [markdown] key="order-answer"
# <details><summary>Answer</summary>
#
# One block does not notice: the change of {{ noticed["masked"][0].mean() :.0e }} is rounding, since the last row
# sees all tokens, in whatever order. From the second block on it does notice. After all blocks the last row
# has changed by {{ noticed["masked"][-1].mean() :.0% }} of its length, without any position. And with no mask,
# nothing ever changes.
# {{ claim: noticed["masked"][0].max() < 1e-4 and noticed["masked"][-1].mean() > 0.02 }}
# {{ claim: noticed["masked"][1].mean() > 50 * noticed["masked"][0].mean() }}
# {{ claim: noticed["no mask"].max() < 1e-2 }}
#
# </details>
#
# How can a triangle know the order? Let us take the plainest one, the mean so far of step 1, and apply it once
# and twice. The last row says how much of each of four tokens has arrived.

# %% key="order-by-hand"
print("once: ", mean_so_far[-1].round(2))
print("twice:", (mean_so_far @ mean_so_far)[-1].round(2))

# %% [markdown] key="order-by-hand-note"
# Once, all four arrive alike. Twice, the first token has {{ (mean_so_far @ mean_so_far)[-1, 0] :.2f }} and the
# last {{ (mean_so_far @ mean_so_far)[-1, -1] :.2f }}: the first is in all four means that the second step takes
# the mean of, the last in only one. Each step treats all visible tokens alike, and still what arrives depends
# on the place. Models trained without any encoding of positions come close to those with one, and from their
# inner rows the position can be read off ([Haviv et al. 2022](https://arxiv.org/abs/2203.16634)).
#
# So the mask does more than forbid: it puts an order into the text. Why then RoPE? This model was trained
# with it and needs it, as step 6 has shown, where the loss without positions was
# {{ loss["all 0"][0].mean() :.2f }} instead of {{ loss["as they are"][0].mean() :.2f }}. And what the mask
# tells a row is *how many* came before, whereas a head that reads the token before its own wants to know *how
# far*, at every place alike. {{ claim: loss["all 0"][0].mean() > loss["as they are"][0].mean() + 0.3 }}

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>Someone writes "less than" instead of "less than or equal" in the mask. What goes wrong
# first?</summary>
#
# The first token sees no key at all. All its scores are minus infinity, the softmax divides 0 by 0, and the
# row becomes NaN, which is not a number. The others could no longer read from themselves.
#
# </details>
#
# <details><summary>Some programs use a very large negative number, such as -1e9, instead of minus infinity. Does
# it work?</summary>
#
# Mostly: its exponential is rounded to 0 as long as some visible score is not just as low. But `float16` has
# no number that large, and in a row without any visible key all weights come out equal. That hides a mistake
# which minus infinity shows as NaN.
#
# </details>
#
# <details><summary>The prompt is known from the start. Why may its tokens not see one another in both
# directions?</summary>
#
# They could, in a model trained that way. Llama was trained with the mask at every position, so its rows fit
# that only, as step 6 has shown. And each new token would change all rows before it, so that nothing could be
# kept.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# In [exercise 06](exercises/06_masking.ipynb) you write the mask and give the model a window of eight tokens to
# look through. One head is complete now: queries, keys and values, rotation, mask, pattern, mix. [Lesson
# 07](07_multi_head.ipynb) puts many heads side by side. The code of this page is `llama_np/attention.py`.
