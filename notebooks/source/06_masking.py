# %% [markdown] key="title"
# # 06 Masking: who may see whom
#
# In *Once upon a time, there was a little girl named* the row of ` girl` has to guess what comes next, and what
# comes next is in the same text, one row further down. What keeps the model from reading the answer off? And
# if nothing did: would it be right every time?
#
# A table of true and false prevents it, the **causal mask**. A token may read from itself and from those before
# it, never from those after it. In go the scores of a head, one for each query and key (`T S`), and the
# positions of both. Out comes the pattern (`T S`), with a weight of exactly zero for every later key.
#
# You will take the mask away and see what the model makes of its freedom, hide one story from another, and find at
# the end that the mask, which knows nothing of words, tells the model something that nobody meant it to.
#
# Before this page: [lesson 05](05_rope.ipynb). Beside it: [exercise 06](exercises/06_masking.ipynb).

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from llama_np import forward, log_softmax, record, softmax
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
# Nothing above the diagonal, and every row sums to one. But here the weights are given once and for all, whereas
# attention makes them from scores. Softmax gives no score the weight zero, however low it is, with one
# exception: $e^{-\infty} = 0$. So put **minus infinity** in the place of every score that must not count, and
# let all the others be equal:

# %% key="triangle-again"
scores = np.where(triangle == 1, 0.0, -np.inf)
print(scores)
agree(softmax(scores), mean_so_far)

# %% [markdown] key="mask-why"
# The same triangle: the mean so far is what masked attention does when all scores are equal.
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
later = np.where(visible, 0, softmax(scores))[:-1].mean(axis=0)  # the mean weight of each key
masked = np.where(visible, scores, -np.inf)
pattern = softmax(masked)
three = {"pattern, nothing hidden": softmax(scores), "masked scores": masked, "pattern": pattern}
show.matrices(three, ("query T", "key S"), rows=labels, columns=labels)

# %% [markdown] key="apply-note"
# Without a mask, head {{ h }} of block {{ i }} would put {{ open_future[i, h] :.0% }} of its weight on later
# tokens (left), most of all on `{{ labels[later.argmax()] }}`, whose column alone takes
# {{ later.max() :.0% }}. {{ claim: open_future[i, h] > 0.5 }} In the middle minus infinity is grey, and on the right
# the weight is shared among the tokens that are left: the row of `{{ labels[1] }}` has two to choose from, and that
# of the first token has only itself, so that its weight is 1 whatever its score. In the library's `attend` hiding is
# one line, `mask_scores`, between the scores and the softmax.

# %% key="apply-named"
from llama_np import mask_scores

agree(masked, mask_scores(scores, visible))
agree(pattern, trace[f"blocks.{i}.pattern"][h], tolerance=1e-4)

# %% [markdown] key="zero-why"
# ## Step 4. Minus infinity, not zero
#
# It is often said that the mask *sets the future to zero*. The **weights** of later keys become zero, because
# their **scores** become minus infinity. Two other ways come to mind: to set the *scores* of later keys to 0,
# or to leave the scores alone and set the *weights* to 0 after the softmax. Here are all three, for four tokens
# with made-up scores. **Predict before you run:** in which way does a token still read the future, and in which do
# the rows no longer sum to one?

# %% key="zero-experiment"
may_see = triangle == 1
made_up = np.array([[1.0, 2, 0, 1], [-1, -2, 1, 2], [-2, -1, -2, 0], [0, -1, 1, -1]])
ways = {
    "scores to -inf": softmax(np.where(may_see, made_up, -np.inf)),
    "scores to 0": softmax(np.where(may_see, made_up, 0)),
    "weights to 0": np.where(may_see, softmax(made_up), 0),
}
show.matrices(ways, ("query T", "key S"), rows="abcd", columns="abcd", quantity="weights")
for name, weight in ways.items():
    print(f"{name:15} rows sum to", weight.sum(axis=-1).round(2))


cut = ways["weights to 0"]
agree(cut / cut.sum(axis=-1, keepdims=True), ways["scores to -inf"])

# %% [markdown] key="zero-answer"
# <details><summary>Answer</summary>
#
# With *scores* of 0 the future is read: above the diagonal of the second picture no cell is white, and in row
# *c* the one later token gets {{ ways["scores to 0"][2, 3] :.2f }}. 0 is a score like any other, $e^0 = 1$
# enters the sum, and where the scores of earlier tokens are negative, that is more than any of them. The rows
# sum to one, so nothing looks wrong.
#
# With *weights* of 0 the future is not read, but it has taken part in the division, and what it took is
# missing: row *b* sums to {{ cut[1].sum() :.2f }}. So a token still feels what comes after it. One would have to divide each
# row by its sum again, and that gives just what minus infinity gives at once, as the last line checks.
# {{ claim: cut[1].sum() < 0.9 and ways["scores to 0"][2, 3] > 0.3 }}
#
# </details>
#
# ## Step 5. A changed token changes no earlier row
#
# A mask inside one head is a promise about the whole model. Attention is the only step in which tokens meet,
# and all heads of all blocks have the same mask, so that row $t$ can depend on the tokens $0$ to $t$ only.
# We replace one token of the text by ` cake`, at each position in turn, and look at which rows of the output
# move. **Predict before you run:** the picture has a row for each replaced token and a column for each row of
# the output. Which cells are sure to be white?

# %% key="future-experiment"
changed_texts = np.tile(ids, (T, 1))
np.fill_diagonal(changed_texts, tokenizer.encode(" cake")[0])  # text j has another token at j
changed = forward(weights, config, changed_texts)  # T T -> T T V
moved = np.abs(softmax(changed) - softmax(logits)).sum(axis=-1) / 2
axes = ("token that was replaced", "row of the output")
show.matrix(
    moved, axes, rows=labels, columns=labels, title="probability that moved", quantity="weights"
)
print(f"largest change of an earlier row: {moved[np.tril_indices(T, -1)].max():.0e}")

# %% [markdown] key="future-answer"
# <details><summary>Answer</summary>
#
# Those to the left of the diagonal, the rows before the replaced token. The largest change there is
# {{ moved[np.tril_indices(T, -1)].max() :.0e }}, which is rounding. On the diagonal and to the right of it everything
# *may* move, although many cells are pale, because the guess there hardly depends on that token.
# {{ claim: moved[np.tril_indices(T, -1)].max() < 1e-3 }}
#
# </details>
#
# The row of a token is therefore the same whether the text goes on after it or ends there, and one run over
# a text gives what `T` runs over its beginnings would give. **Training** lives on this: it takes all positions
# of a text in one run, each with the true tokens before it, which is called **teacher forcing**. **Writing**
# lives on it, too: nothing that is written later changes what was computed before, so it can be kept, in the
# **KV cache** of [lesson 11](11_kv_cache.ipynb).

# %% [markdown] key="without-why"
# ## Step 6. What if the mask is taken away?
#
# Now every row sees everything, the right answer included. `forward` takes another mask if we give one.
# **Predict before you run:** will the model find the answer, one row further down?

# %% key="without-experiment"
everything = np.ones((T, T), bool)
open_logits = forward(weights, config, ids, mask=everything)


def guess(row, answer):
    p = softmax(row)
    return f"{tokenizer.token(p.argmax())[:11]:12}{p.max():.2f}  true {p[answer]:.2f}"


print(f"{'after':>18}   {'with the mask':25}   {'without':25}   comes next")
for t, answer in enumerate(ids[1:]):
    both = f"{guess(logits[t], answer):25}   {guess(open_logits[t], answer):25}"
    print(f"{labels[t]:>18}   {both}   {tokenizer.token(answer)}")
each = np.arange(T - 1), ids[1:]
gain = softmax(open_logits)[each] - softmax(logits)[each]  # of the true token, row by row

# %% [markdown] key="without-control"
# In {{ (gain < -0.005).sum() }} of the {{ T - 1 }} rows the true token has become *less* likely, most of all after
# the {{ "first" if int(gain.argmin()) == labels.index(labels[int(gain.argmin())]) else "second" }} `{{ labels[int(gain.argmin())] }}`, by {{ -gain.min() :.2f }}. In others it has gained, most after `{{ labels[int(gain.argmax())] }}`, by {{ gain.max() :.2f }}. {{ claim: -gain.min() > gain.max() > 0 }}
# So something of the answer does come through, and one sentence cannot say what it is worth. There is also a
# second suspect. Without a mask queries also meet keys at *negative* distances, at angles that RoPE never
# showed them in training. So we measure the loss on twenty stories, and once more with a control: no mask either,
# but every *later* key is met at distance 0, where nothing is turned. Each token knows this distance from
# reading itself. Earlier keys stay at their distances.

# %% key="without-loss"
n = stories.shape[1]
order = np.arange(n)
causal, open_to_all = causal_mask(order, order), np.ones((n, n), bool)
kept = {}


def losses(logits, texts=stories):  # -> one loss for each story
    rows = log_softmax(logits[:, :-1])
    return -np.take_along_axis(rows, texts[:, 1:, None], axis=-1)[..., 0].mean(axis=-1)


def later_at_0(name, value):
    """A tap, called with every result and its name: unrotated scores for later keys."""
    part = name.rpartition(".")[2]
    if part in ("q", "k"):
        kept[part] = value
    if part != "scores":
        return value
    k = np.repeat(kept["k"], config.group, axis=-3)  # each key serves a group of heads
    unturned = kept["q"] @ k.swapaxes(-1, -2) / config.head_dim**0.5  # 20 Hq T S
    return np.where(causal, value, unturned)


usual = losses(forward(weights, config, stories, mask=causal))
opened = losses(forward(weights, config, stories, mask=open_to_all))
at_0 = losses(forward(weights, config, stories, mask=open_to_all, tap=later_at_0))
rows = [["with the mask", f"{usual.mean():.2f}", ""]]
for name, loss in {"without": opened, "without, later keys at distance 0": at_0}.items():
    worse = loss - usual
    rows.append([name, f"{loss.mean():.2f}", f"{worse.mean():+.2f} ± {worse.std():.2f}"])
table(["", "loss", "more than with the mask"], rows)

# %% [markdown] key="without-answer"
# The answer is in plain sight and the loss goes *up*, from {{ usual.mean() :.2f }} to {{ opened.mean() :.2f }}; ± is
# here and below the standard deviation over the stories. {{ claim: (opened - usual).mean() > 0.1 }} With the control,
# where no angle is new, the loss rises even more, by {{ (at_0 - usual).mean() :.2f }}: to take the strange angles away does
# not help. But so many keys at distance 0 are strange as well, so that this control does not clear the angles. In training no row ever had later tokens in its mix, and no matrix has learned to take an answer
# from there. What comes from later tokens is, on the whole, in the way. {{ claim: (at_0 - usual).mean() > 0.1 }}
#
# ## Step 7. Two stories in one row
#
# Short texts are often **packed** in training, one after the other in a row of full length, so that a token
# could read from a story that has nothing to do with its own. In Llama 3's training it cannot, because its mask
# also hides other documents ([Llama team 2024](https://arxiv.org/abs/2407.21783), section 3.2). That takes one
# more condition. We put pairs of our stories, which are cut off at {{ n }} tokens, into one row and look at the second: alone,
# after the first, and after it with such a mask.

# %% key="packed"
first, second = stories, np.roll(stories, 1, axis=0)
packed = np.concatenate([first, second], axis=1)  # 20 2n
document = np.repeat([0, 1], n)
whole = causal_mask(np.arange(2 * n), np.arange(2 * n))
separate = whole & (document[:, None] == document[None, :])
alone = forward(weights, config, second)
behind = forward(weights, config, packed, mask=whole)[:, n:]
separated = forward(weights, config, packed, mask=separate)[:, n:]
agree(separated, alone, tolerance=1e-3)
harm = losses(behind, second) - losses(alone, second)
shift = (np.abs(softmax(behind) - softmax(alone)).sum(axis=-1) / 2).mean(axis=-1)
print(f"behind another story: loss {harm.mean():+.3f} ± {harm.std():.3f}")
print(f"probability that moved: {shift.mean():.1%} ± {shift.std():.1%}")

# %% [markdown] key="packed-note"
# With the separating mask the second story is predicted as if it were alone, up to rounding, although its
# positions now begin at {{ n }}, because only distances count ([lesson 05](05_rope.ipynb)). Without it
# {{ shift.mean() :.0% }} of the probability moves to other tokens, and yet the loss changes only by
# {{ harm.mean() :+.3f }} ± {{ harm.std() :.3f }}: the model hears the other story and is hardly misled. The
# Llama team reports something like it of *training* with and without the mask: a limited effect in standard pre-training, and an important one
# on very long rows.
# {{ claim: shift.mean() > 0.02 and abs(harm.mean()) < 0.15 * usual.mean() }}
#
# ## Step 8. What the mask says about order
#
# One question is left. RoPE was brought in because attention does not see
# the order of the tokens. But that was attention without a mask. Is RoPE needed once the mask is there?
#
# Take the first twenty tokens of each story and shuffle them, all but the first and the last. Set all
# positions to 0, so that RoPE does nothing. Then look at the last row after each block: does it notice?
# **Predict before you run:** after one block? After two? And with no mask at all? As a yardstick, the last rows of
# two different stories are compared, too.

# %% key="order"
short = stories[:, :20]
shuffled = short.copy()
shuffled[:, 1:-1] = np.random.default_rng(0).permuted(short[:, 1:-1], axis=1)
nowhere, masks = np.zeros(20, int), {"masked": causal[:20, :20], "no mask": open_to_all[:20, :20]}


def last_rows(texts, mask):  # the last row after each block: blocks 20 D
    taken = {}
    tap = record(taken, {"resid_out"})  # keeps the stream after each block
    forward(weights, config, texts, positions=nowhere, mask=mask, tap=tap)
    return np.array([rows[:, -1] for rows in taken.values()])


def apart(rows, others):  # how far, in lengths of the rows: blocks 20
    return np.linalg.norm(rows - others, axis=-1) / np.linalg.norm(rows, axis=-1)


rows = {name: last_rows(short, mask) for name, mask in masks.items()}
noticed = {name: apart(rows[name], last_rows(shuffled, mask)) for name, mask in masks.items()}
another = apart(rows["masked"], np.roll(rows["masked"], 1, axis=1))
blocks = 1 + np.arange(config.n_layers)
curves = {"shuffled, masked": noticed["masked"], "shuffled, no mask": noticed["no mask"]}
curves = {name: each.mean(axis=-1) for name, each in (curves | {"another story": another}).items()}
show.curves(blocks, curves, ("blocks", "change of the last row"))
for name, each in (noticed | {"another": another}).items():
    one, two, every = each[0].mean(), each[1].mean(), each[-1]
    print(f"{name:8} after one block {one:.0e}, after two {two:.0e}, ", end="")
    print(f"after all {every.mean():.2f} ± {every.std():.2f}")
no_positions = losses(forward(weights, config, stories, positions=np.zeros(n, int)))
print(f"loss with the mask and without positions: {no_positions.mean():.2f}")

# %% [markdown] key="order-answer"
# <details><summary>Answer</summary>
#
# One block does not notice: the change of {{ noticed["masked"][0].mean() :.0e }} is rounding, since the last
# token is the same and its row sees all the others, in whatever order. From the second block on it does notice.
# After all blocks the last row has changed by {{ noticed["masked"][-1].mean() :.0% }} of its length, without
# any position, where another story makes a difference of {{ another[-1].mean() :.0% }}. And with no mask,
# nothing ever changes.
# {{ claim: noticed["masked"][0].max() < 1e-4 and noticed["masked"][-1].mean() > 0.02 }}
# {{ claim: noticed["masked"][1].mean() > 50 * noticed["masked"][0].mean() }}
# {{ claim: noticed["no mask"].max() < 1e-2 and another[-1].mean() > noticed["masked"][-1].mean() }}
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
# So the mask does more than forbid: it gives a row news of the order. Why then RoPE? This model was trained with
# it and needs it, since without positions its loss is {{ no_positions.mean() :.2f }} instead of
# {{ usual.mean() :.2f }}. A head that reads the token before its own needs the *distance*, at every place alike, and
# the triangle treats every place differently.
# {{ claim: no_positions.mean() > usual.mean() + 0.3 }}

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>Someone writes "less than" instead of "less than or equal" in the mask. What goes wrong
# first?</summary>
#
# The first token sees no key at all. All its scores are minus infinity, and the softmax of
# [lesson 04](04_single_head_attention.ipynb) subtracts the largest from each: minus infinity minus minus infinity is
# NaN, not a number. All later rows read the first one, so that after the next block all of them are NaN.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# In [exercise 06](exercises/06_masking.ipynb) you write the mask and give the model a window of eight tokens to
# look through. One head is complete now: queries, keys and values, rotation, mask, pattern, mix. [Lesson
# 07](07_multi_head.ipynb) puts many heads side by side. The code of this page is `llama_np/attention.py`.
