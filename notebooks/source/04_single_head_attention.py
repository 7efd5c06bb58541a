# %% [markdown] key="title"
# # 04 Single-head attention: how one token reads from the others
#
# *Once upon a time, there was a little girl named*: the model goes on with a girl's name. Put *boy* for
# *girl*, and it goes on with a boy's. Yet the next token is predicted from the last row of the stream alone,
# the row of ` named`, and that row starts out the same in both texts. So something on the way must have told
# it about the girl. **Attention** is the only step of the model in which one row can learn anything from
# another one, and so it must have been attention. How does it work, and where exactly does it happen?
#
# We take it apart for one **head**, the smallest unit that does it, and we choose a head that matters for
# this very question. In goes the normalised stream, one row of `D` numbers for each token. Out comes the
# head's **mix**, one row of `K` numbers for each token, where `K` is the width of the head. At the end of the
# page you make the model say a boy's name after *girl*, by changing what a few heads hand to one row, and you
# count how many it takes.
#
# Before this page: [lesson 03](03_rms_norm.ipynb). Beside it:
# [exercise 04](exercises/04_single_head_attention.ipynb).

# %% key="map"
from functools import cache

import numpy as np
from classroom import agree, show, source, table

from llama_np import forward, patch, record, softmax
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.attention_map(lit=["q", "k", "v", "scores", "softmax", "mix"])

# %% [markdown] key="two-why"
# This is the inside of the attention step. The lit parts are this page's. Turning by position (`rotate`) is
# [lesson 05](05_rope.ipynb), the mask is [lesson 06](06_masking.ipynb), many heads and `wo` are
# [lesson 07](07_multi_head.ipynb).
#
# ## Two texts that differ in one token
#
# We run both and keep every matrix that the model computes on its way. The **logits** of the last row say
# which token comes next; softmax makes probabilities of them (step 5).

# %% key="two"


def run(text, tap=None):
    """The ids of a text, what was recorded, and the logits of its last row."""
    ids, trace = np.array(tokenizer.encode(text, bos=True)), {}
    logits = forward(weights, config, ids, tap=tap or record(trace))[-1]
    return ids, trace, logits


story = "Once upon a time, there was a little {} named"
ids, girl_trace, girl_logits = run(story.format("girl"))
boy_ids, boy_trace, boy_logits = run(story.format("boy"))
labels = [tokenizer.token(t) for t in ids]
(who,) = np.flatnonzero(ids != boy_ids)  # the only place where they differ
show.tokens(labels, ids)
for word, logits in (("girl", girl_logits), ("boy", boy_logits)):
    best = np.argsort(-logits)[:4]
    print(f"{word:5}", *(f"{tokenizer.token(t)} {softmax(logits)[t]:.2f}  " for t in best))

# %% [markdown] key="two-read"
# After *girl* the likeliest next token is `{{ tokenizer.token(girl_logits.argmax()) }}`, after *boy* it is
# `{{ tokenizer.token(boy_logits.argmax()) }}`. {{ claim: girl_logits.argmax() != boy_logits.argmax() }} To
# have one number for "a girl's name rather than a boy's" we take the difference of these two logits. It is
# {{ girl_logits[girl_logits.argmax()] - girl_logits[boy_logits.argmax()] :.2f }} after *girl* and
# {{ boy_logits[girl_logits.argmax()] - boy_logits[boy_logits.argmax()] :.2f }} after *boy*: one word,
# the one just before the last, decides.{{ claim: who == len(ids) - 2 }}
#
# And here is why it needs explaining. The last row of the stream begins as the embedding of ` named`, which
# does not know what stands before it.

# %% key="same-start"
agree(girl_trace["embedded"][-1], boy_trace["embedded"][-1])
apart = [
    np.abs(girl_trace[f"blocks.{b}.resid_out"][-1] - boy_trace[f"blocks.{b}.resid_out"][-1]).max()
    for b in range(config.n_layers)
]
show.curves(
    np.arange(config.n_layers),
    {"": np.array(apart)},
    ("block", "largest difference"),
    title="the last row of the stream, girl against boy",
)

# %% [markdown] key="mean-why"
# The two last rows are equal at the start and drift apart on their way through the blocks. Norm and
# feed-forward cannot have done that, since they work on every row by itself.
#
# ## Step 1. The simplest way to hear from others: the mean
#
# Suppose you had to invent a step that lets a row learn from the rows before it. The least you could do is to
# give each row the **mean** of all rows up to its own. As a matrix product that is a triangle of equal
# weights, each row of which sums to one. (Karpathy comes to attention by
# this road in his [lecture on GPT](https://www.youtube.com/watch?v=kCc8FmEb1nY).)

# %% key="mean"
T = len(ids)
triangle = np.tril(np.ones((T, T)))
even = triangle / triangle.sum(axis=1, keepdims=True)  # T S
x = girl_trace["embedded"]
mean = even @ x  # T S @ S D -> T D
agree(mean[-1], x.mean(axis=0))
show.reads(labels, even, title="the plain mean: what the last row reads")

# %% [markdown] key="mean-read"
# Now the last row has heard of ` girl`, but no louder than of ` a` or of the comma: each has
# {{ even[-1, 0] :.3f }} of its row. In a text of a thousand tokens it would be a thousandth. What is missing
# is a **choice**: ` named` should read the one token that says whose name is due, and another token should
# read other ones. So the weights may not be fixed. They must follow from the tokens themselves.
#
# ## Step 2. Weights that are chosen: a query, a key
#
# Let every token put out two short rows: a **query**, which says what it is looking for, and a **key**, which
# says what it can be found by. Where a query and a key fit, the weight is large. Here is a toy with two
# numbers in each, set by hand: the first stands for "about a person", the second for "about time".

# %% key="toy"
toy = [" time", " girl", " named"]
toy_keys = np.array([[0.0, 3.0], [3.0, 0.0], [0.5, 0.5]])
toy_query = np.array([1.5, 0.0])  # named asks: is there a person?
toy_scores = toy_keys @ toy_query
toy_weights = np.exp(toy_scores) / np.exp(toy_scores).sum()
for token, score, weight in zip(toy, toy_scores, toy_weights):
    print(f"{token:7} score {score:5.2f}   weight {weight:.2f}")

# %% [markdown] key="toy-read"
# Multiply number by number and add up: that **dot product** is {{ toy_scores[1] :.1f }} for ` girl`, whose key
# has its weight where the query looks, and {{ toy_scores[0] :.0f }} for ` time`, whose key has it elsewhere.
# The exponential and the division turn scores into shares, and ` girl` gets {{ toy_weights[1] :.2f }} of the
# row. Change `toy_query` to `[0.0, 1.5]` and the same three tokens are read quite differently.
#
# A model has no hand to set such numbers. It has two learned matrices, which make a query and a key from each
# row, and nobody tells it what "person" is ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section
# 3.2). So let us look at a head that was trained, and at one that has to do with our question.
#
# ## Which head? Ask the model
#
# There are {{ config.n_layers * config.n_heads }} heads, {{ config.n_heads }} in each of
# {{ config.n_layers }} blocks. To find those that tell the last row about the girl, we replace what one head
# hands to the last row by what the same head hands to it in the *boy* text, let everything else run on, and
# look how far the difference of the two logits moves towards that of the boy text. The library's `patch` does it:
# a tap (lesson 00) that puts something else in the place of a named result, here of the `mix`. This is
# **activation patching**, and moving is measured as a share: 0 means that nothing changed, 1 that the model now answers as
# if it had read *boy*.

# %% key="search"

read = cache(run)  # a text that was read before is not read again


def swap(heads, other):
    """A tap under which some heads, pairs (block, head), hand to the last row what ``other`` has."""

    def swapped(block):
        def change(mix):
            own, mix = [h for b, h in heads if b == block], mix.copy()
            mix[own, -1] = other[f"blocks.{block}.mix"][own, -1]
            return mix

        return change

    return patch({f"blocks.{b}.mix": swapped(b) for b in {b for b, _ in heads}})


def moved(text, heads, a="girl", b="boy"):
    """How far swapping these heads moves the answer towards b's, and whether it is b's now."""
    _, _, logits = read(text.format(a))
    _, other, other_logits = read(text.format(b))
    _, _, new = run(text.format(a), tap=swap(heads, other))
    A, B = logits.argmax(), other_logits.argmax()
    if A == B:
        return 0.0, False
    gap, other_gap, new_gap = (row[A] - row[B] for row in (logits, other_logits, new))
    return (gap - new_gap) / (gap - other_gap), new.argmax() == B


every_head = [(b, h) for b in range(config.n_layers) for h in range(config.n_heads)]
effect = np.array([moved(story, [head])[0] for head in every_head])
i, h = every_head[effect.argmax()]
print(f"block {i}, head {h} moves the answer by {effect.max():.0%}, the median head by", end=" ")
print(f"{np.median(np.abs(effect)):.1%}")

# %% [markdown] key="pattern-why"
# One head of {{ len(every_head) }} moves the answer by {{ effect.max() :.0% }}, while the typical head moves it
# by next to nothing.{{ claim: effect.max() > 10 * np.median(np.abs(effect)) }} Here is what it reads when
# the last row asks.

# %% key="pattern-first"
recorded = {
    n: girl_trace[f"blocks.{i}.{n}"] for n in ("attn_norm", "q", "k", "v", "pattern", "mix")
}
show.reads(labels, recorded["pattern"][h], title=f"block {i}, head {h}: what the last row reads")

# %% [markdown] key="qkv-why"
# It puts {{ recorded["pattern"][h, -1, who] :.2f }} of its weight on
# `{{ labels[who] }}`.{{ claim: recorded["pattern"][h, -1, who] > 0.5 }} The search knew nothing of patterns,
# only of effects. But the two texts differ in this token alone, so that news of it can only come from its row or
# from rows that have heard it already, and this head goes to the source. Now we compute this row ourselves.
#
# ## Step 3. Queries, keys and values
#
# The head reads the stream as it is before this block, normalised (lesson 03): this is `x` from here on. Each
# row is turned into three shorter ones:
#
# - the **query** `q`: what this token is looking for;
# - the **key** `k`: by what this token can be found;
# - the **value** `v`: what this token hands over to those who find it.
#
# $$q = x\,W_q \qquad k = x\,W_k \qquad v = x\,W_v$$
#
# Three, because these are three different questions. If the query served as key as well, ` girl` would
# look for ` named` as much as ` named` looks for ` girl`; and what makes a token easy to find, that it is a person,
# need not be what it has to say, that it is a girl. The names come from databases,
# where a query finds a value by its key.
#
# The weights of all heads lie side by side in `wq`, `wk` and `wv`, so that a head is a slice of columns.
# Several query heads share one key-value head, which is why the slices differ ([lesson
# 07](07_multi_head.ipynb) has the reason).

# %% key="qkv-by-hand"
x = recorded["attn_norm"]
K, layer = config.head_dim, weights.layers[i]
shared_head = h // config.group
own = slice(h * K, (h + 1) * K)
shared = slice(shared_head * K, (shared_head + 1) * K)
wq, wk, wv = layer.wq[:, own], layer.wk[:, shared], layer.wv[:, shared]
q, k, v = x @ wq, x @ wk, x @ wv  # T D @ D K -> T K
agree(q, recorded["q"][h])
agree(k, recorded["k"][shared_head])
agree(v, recorded["v"][shared_head])
print("x", x.shape, "@ wq", wq.shape, "-> q", q.shape)

# %% [markdown] key="rotate-note"
# There is nothing else in this step, in particular no **bias**, a learned row that is added after the
# product. Many models have biases here; Llama has none anywhere.
#
# Next the model turns every query and key by an angle that depends on the token's place. That is the whole of
# lesson 05. To compute what the model really computes, we take the turned ones from what was recorded
# and go on with these.

# %% key="turned"
q, k = girl_trace[f"blocks.{i}.q_rotated"][h], girl_trace[f"blocks.{i}.k_rotated"][shared_head]

# %% [markdown] key="score-why"
# ## Step 4. Scores: how well a key fits a query
#
# For a query and a key, `K` numbers each, the dot product says how well they fit. It is large where both
# point the same way, near zero where they have nothing to do with one another, and negative where they point
# in opposite directions. Here it is for the pair we care about.

# %% key="score-one"
terms = q[-1] * k[who]
show.one_cell(q, k, T - 1, int(who), labels=labels)

# %% [markdown] key="score-all-why"
# The sum is {{ terms.sum() :.2f }}, and the largest of its {{ K }} terms gives {{ terms.max() :.2f }} of it.
# One matrix product does the same for all pairs. Row `t` belongs to the token that asks, column `s` to the
# token that is asked. Both count the same tokens here; the second axis is called `S` to keep them apart.

# %% key="score-all"
raw = q @ k.T  # T K @ K S -> T S
order = np.argsort(-raw[-1])
show.bars(raw[-1, order], [labels[s] for s in order], "q · k", lit=list(order).index(who))

# %% [markdown] key="scale-why"
# The bars are the last row of that matrix: `{{ labels[order[0]] }}` fits best with
# {{ raw[-1, order[0]] :.1f }}, then `{{ labels[order[1]] }}` with {{ raw[-1, order[1]] :.1f }}.
#
# ### Why divide by the square root of K
#
# A score is a sum of `K` products, so in a wider head it can become larger. The next step looks only at
# *differences* between scores: where these are large, nearly all weight goes to one key, whatever the head is
# for. So the scores are divided by $\sqrt{K}$:
#
# $$\mathrm{score}_{ts} = \frac{1}{\sqrt{K}} \sum_{j=1}^{K} q_{tj}\, k_{sj}$$
#
# But why the root, and not `K` itself? Draw random queries and keys, every number from a normal distribution
# with mean 0 and **standard deviation** 1, for narrow heads and for wide ones. **Predict before you run:**
# when `K` becomes 4 times as large, does the standard deviation of the scores grow by a factor of 4, of 2, or
# not at all?

# %% key="scale-experiment"
rng = np.random.default_rng(0)
widths = [4, 16, 64, 256, 1024]
rows = []
for width in widths:
    random_q, random_k = rng.standard_normal((2, 500, width))
    products = random_q @ random_k.T
    largest = [
        softmax(products[:, :16] / d).max(axis=-1).mean() for d in (1, np.sqrt(width), width)
    ]
    rows.append([width, f"{products.std():.2f}", *(f"{p:.2f}" for p in largest)])
table(
    ["K", "deviation of q · k", "largest of 16 weights", "divided by sqrt(K)", "divided by K"], rows
)

# %% [markdown] key="scale-answer"
# <details><summary>Answer</summary>
#
# By a factor of 2: the second column is $\sqrt{K}$. A product of two independent numbers with mean 0 and
# deviation 1 has mean 0 and **variance** 1, the square of the deviation. Variances of independent numbers
# add up, so that the sum of `K` products has variance `K` and deviation $\sqrt{K}$
# ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), footnote 4).
#
# </details>
#
# The other columns say what it is good for. Each query shares its weight among 16 keys, so that equal shares
# would be {{ 1 / 16 :.2f }}. Undivided, a head of width 1024 gives {{ rows[-1][2] }} to a single key before
# anything was learned, and a weight that is nearly 1 hardly moves when its score moves, so there is little to
# learn from. Divided by $\sqrt{K}$ all widths start alike, at about {{ rows[-1][3] }}. Divided by `K`, wide
# heads start out even, {{ rows[-1][4] }}. That is too even for random queries, but after training queries and
# keys are no longer independent, and there are recipes that do divide by `K`
# ([Yang et al. 2022](https://arxiv.org/abs/2203.03466)).

# %% key="scores"
scores = raw / np.sqrt(K)
spread = [girl_trace[f"blocks.{b}.scores"][:, -1].std() for b in range(config.n_layers)]
show.curves(
    np.arange(config.n_layers),
    {"": np.array(spread)},
    ("block", "standard deviation"),
    title="the last row's scores, divided, over all heads of a block",
)

# %% [markdown] key="scores-note"
# Training then moves them where it likes. In the real scores of this model the deviation is
# {{ min(spread) :.1g }} in one block and {{ max(spread) :.2f }} in another: a small one makes a head that
# averages, a large one a head that picks. The division decides only where they start. And it is the width of
# *this head* that counts, `K`, not that of the model, `D`, because `K` products are added up.
# {{ claim: max(spread) > 3 * min(spread) }}

# %% [markdown] key="softmax-why"
# ## Step 5. Softmax: from scores to weights
#
# Scores can be any number, negative ones too. To mix values we need shares: none below zero, and together
# one. **Softmax** takes the exponential of each score, which is always positive, and divides by the sum of
# the row:
#
# $$p_{ts} = \frac{e^{s_{ts}}}{\sum_{u} e^{s_{tu}}}$$
#
# Here $s_{ts}$ is the score of query $t$ and key $s$, the sum runs over all keys $u$, and $p_{ts}$ is the
# share that token $t$ reads from token $s$. A score that is larger by 1 gets $e \approx 2.72$ times the
# weight. By hand we first subtract the row's largest score: that multiplies all exponentials of the row by
# the same number, which the division takes out again, and now none of them can become too large for the
# computer.

# %% key="softmax-by-hand"
exponentials = np.exp(scores[-1] - scores[-1].max())
weights_of_last = exponentials / exponentials.sum()  # S
agree(weights_of_last, softmax(scores[-1]))
show.bars(weights_of_last[order], [labels[s] for s in order], "weight", lit=0)

# %% [markdown] key="softmax-read"
# The scores of `{{ labels[order[0]] }}` and `{{ labels[order[1]] }}` were
# {{ scores[-1, order[0]] - scores[-1, order[1]] :.1f }} apart, so their weights differ by a factor of
# {{ np.exp(scores[-1, order[0]] - scores[-1, order[1]]) :.0f }}: softmax turns a lead into a landslide. It is
# a soft maximum in this sense, and only differences count, since a number added to all scores of a row would
# be divided out. Rows sum to one. Columns need not: a token may be read by many, or by none.
#
# All rows together, each token's shares, are the **pattern** of the head. In the model's own one the upper
# right is empty, because no token may read what comes after it ([lesson 06](06_masking.ipynb)). The last row
# may read everything, which is why we could leave that out.

# %% key="pattern"
pattern = recorded["pattern"][h]  # T S
agree(pattern[-1], weights_of_last)
show.matrix(
    pattern, ("query T", "key S"), rows=labels, columns=labels, title="the pattern", limit=1.0
)

# %% [markdown] key="mix-why"
# The column of `{{ labels[who] }}` says which tokens read it: `{{ labels[-1] }}` gives it
# {{ pattern[-1, who] :.2f }}, and its own row, the first that can, {{ pattern[who, who] :.2f }}.
#
# ## Step 6. The mix: what is handed over
#
# We know how much each token reads from each other one. What it gets are the values, each weighted by its
# share:
#
# $$\mathrm{mix}_t = \sum_{s} p_{ts}\, v_s$$
#
# In numbers, for the last row: each token's share, the first numbers of its value, and their product. The
# products, added up, are the row of the mix. Nothing else enters.

# %% key="mix-by-hand"
first = slice(0, 3)
for label, p, value in zip(labels, pattern[-1], v):
    numbers, products = ("".join(f"{n:8.3f}" for n in row[first]) for row in (value, p * value))
    print(f"{label:>18} {p:.3f} x{numbers}  ={products}")
mix = pattern @ v  # T S @ S K -> T K
print(f"{'sum':>18} {pattern[-1].sum():.3f}  {'':{len(numbers)}}  ", end="")
print("".join(f"{n:8.3f}" for n in mix[-1, first]))
agree(mix, recorded["mix"][h])

# %% [markdown] key="mix-read"
# The last line is almost the line of `{{ labels[who] }}`, because that one has nearly all the weight. So
# after this step the row of ` named` carries a copy of what *girl* had to say, and the copy in the boy text
# says something else. That is all the telling there is: choose by query and key, hand over the value.
#
# Scores, softmax and mix together are one function of the library, `attend`. It divides `q` before the
# product instead of the scores after it, which gives the same and, in a long text, takes fewer divisions.

# %% key="attend-named"
from llama_np import attend

source(attend)

# %% key="attend-agree"
agree(mix[-1:], attend(q[-1:], k, v, None))

# %% [markdown] key="shuffle-why"
# ## What this head cannot see
#
# Nothing in these lines says which token comes first. A score depends on two rows alone. Take the queries and
# keys before they are turned, shuffle the tokens, and the mixes are shuffled in the same way, each of them
# what it was.

# %% key="shuffle"
unturned_q, unturned_k = x @ wq, x @ wk
shuffled = rng.permutation(T)
before = attend(unturned_q, unturned_k, v, None)
agree(attend(unturned_q[shuffled], unturned_k[shuffled], v[shuffled], None), before[shuffled])
print("shuffled:", *(labels[t] for t in shuffled))

# %% [markdown] key="experiment-why"
# To such a head a text is a bag of words, and *the dog bit the man* is the same as *the man bit the dog*.
# [Lesson 05](05_rope.ipynb) brings in order.
#
# ## Experiment: how many heads does it take to change the girl's name?
#
# The best head alone moved the answer by {{ effect.max() :.0% }}. Is the girl's trace kept in one place, or
# spread over the whole model? We rank all heads by their effect on five texts. Then, on fifteen *other* texts,
# we swap the best one, the best two, and so on, and count in how many the likeliest token is now the very name of
# the boy text, although the text says *girl*. The control swaps as many heads drawn at random.
#
# **Predict before you run:** how many of the {{ len(every_head) }} heads must be swapped until the answer has
# changed in most of the texts? One? Ten? A hundred? And how many of random ones?

# %% key="experiment"
texts = [
    story, "Once upon a time, there was a {} named", "One day, a little {} named",
    "There was a happy {} named", "In a big house lived a {} named",
    "Once upon a time, in a small town, there was a {} named", "Long ago there lived a young {} named",
    "There was a brave little {} named", "Once upon a time there was a clever {} named",
    "In a small village, there lived a {} named", "One sunny day, a {} named",
    "Once, a kind {} named", "Every day a little {} named", "The teacher met a new {} named",
    "Mom told a story about a {} named", "There was a sad little {} named",
    "Near the sea lived a small {} named", "Once there was a very good {} named",
    "In the park there was a {} named", "A long time ago, there was a {} named",
]  # fmt: skip
learned, tried = texts[:5], texts[5:]
effects = np.array([[moved(text, [head])[0] for head in every_head] for text in learned])
ranking = [every_head[n] for n in np.argsort(-effects.mean(axis=0))]
counts = [1, 2, 4, 8, 12, 16, 32, 64]


def on_other_texts(choose):
    """For every count and text: how far ``choose(count)`` moved it, and whether the boy won."""
    return np.array([[moved(text, choose(count)) for text in tried] for count in counts])


by_effect = on_other_texts(lambda count: ranking[:count])
at_random = on_other_texts(lambda count: rng.permutation(every_head)[:count].tolist())
shares = {"by effect": by_effect[..., 0], "at random": at_random[..., 0]}
show.curves(
    np.array(counts),
    {name: share.mean(axis=1) for name, share in shares.items()},
    ("heads swapped", "share of the way to the boy"),
)
rows = []
for n, count in enumerate(counts):
    row = [count]
    for result in (by_effect[n], at_random[n]):
        row.append(f"{result[:, 0].mean():.0%} ± {result[:, 0].std():.0%}")
        row.append(f"{result[:, 1].sum():.0f} of {len(tried)}")
    rows.append(row)
table(["heads", "moved, by effect", "boy's name wins", "moved, at random", "boy's name wins"], rows)

# %% [markdown] key="experiment-read"
# {{ claim: by_effect[5, :, 0].mean() > 0.5 and by_effect[3, :, 0].mean() > 3 * abs(at_random[3, :, 0].mean()) }}
# Eight heads, {{ 8 / len(every_head) :.0% }} of them all, move the answer by
# {{ by_effect[3, :, 0].mean() :.0% }} with a spread of {{ by_effect[3, :, 0].std() :.0% }} over
# the texts, and in {{ by_effect[3, :, 1].sum() :.0f }} of {{ len(tried) }} the model now says the boy's name. Eight at random
# move it by {{ at_random[3, :, 0].mean() :.0% }}. With sixteen it is
# {{ by_effect[5, :, 0].mean() :.0% }} and {{ by_effect[5, :, 1].sum() :.0f }} texts. So the girl is
# neither kept in one place nor spread over everything: a small team carries her, and it is the same team in
# texts on which it was not chosen. Here are its members.

# %% key="team"
column = [girl_trace[f"blocks.{b}.pattern"][n, -1, who] for b, n in every_head]
idle = [e for e, w in zip(effects.mean(axis=0), column) if w > 0.5 and e < 0.01]
print(
    f"heads that give girl more than half of their weight and move the answer below 1 %: {len(idle)}"
)
rows, sharing = [], []
for b, n in ranking[:10]:
    at = every_head.index((b, n))
    mean, deviation = effects[:, at].mean(), effects[:, at].std()
    rows.append(
        [f"{b}.{n}", n // config.group, f"{mean:.1%} ± {deviation:.1%}", f"{column[at]:.2f}"]
    )
    sharing.append((b, n // config.group))
largest_two = sorted(map(sharing[:8].count, set(sharing[:8])))[-2:]
table(
    ["block.head", "key-value head", f"moves the answer, {len(learned)} texts", "reads girl"], rows
)

# %% [markdown] key="team-read"
# None of them comes first by a wide margin.
# {{ claim: np.sort(effects.mean(axis=0))[-2] > effects.mean(axis=0).max() / 3 }}
# The ten stand in {{ len({b for b, _ in ranking[:10]}) }} of {{ config.n_layers }} blocks, and
# {{ sum(largest_two) }} of the first eight read through only two of the model's
# {{ config.n_layers * config.n_kv_heads }} key-value heads: heads that share their keys find the same token and hand
# it over several times.{{ claim: sum(largest_two) >= 4 }} Note the line above the table as well. {{ len(idle) }} heads read *girl* with more than
# half of their weight and yet change nothing here. What a head **reads** is seen in its
# pattern; whether it **matters** is seen
# only when it is changed. A picture of attention weights alone shows
# the first and is often taken for the second
# ([Jain and Wallace 2019](https://arxiv.org/abs/1902.10186) started a long argument about it).
#
# What becomes of the mix? It is `K` numbers wide and the stream is `D` wide, so that the mixes of all heads
# are laid side by side and one more matrix, `wo`, brings them back: [lesson 07](07_multi_head.ipynb).

# %% key="shapes"
from classroom import shapes

arrays = {
    "x, normalised": "T D",
    "wq, wk, wv of one head": "D K",
    "q, k, v": "T K",
    "scores, pattern": "T S",
    "mix": "T K",
}
shapes(arrays, config, n_tokens=len(ids))

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>Attention is often called linear, because each row of the mix is a weighted sum of values.
# What happens to the mix when x becomes twice as large?</summary>
#
# The values double, but the pattern changes too: `x` enters the scores twice, through the query and through
# the key, so that scores become four times as large and softmax gives more to the largest. With the pattern
# held fixed the step is linear; as a whole it is not.
#
# </details>
#
# <details><summary>A text becomes twice as long. By what factor does the number of scores grow? And the
# number of weights in wq, wk and wv?</summary>
#
# Scores: by 4, since every token meets every token. Weights: not at all, because the same matrices serve
# every row. This is why one model can read short texts and long ones, and why long texts are costly.
#
# </details>
#
# <details><summary>A constant row c is added to every key. Does the pattern change?</summary>
#
# No. The score of query $q$ with each key grows by the same number $q \cdot c / \sqrt{K}$, and softmax only
# sees differences within a row. A bias on the keys would therefore do nothing here, as long as nothing is
# turned.
#
# </details>
#
# <details><summary>Can a token read nothing at all?</summary>
#
# No: its shares sum to one. But it can put its share on a token whose value is small, or whose value `wo`
# leaves without effect. Trained models often use the first token of a text for this
# ([Xiao et al. 2023](https://arxiv.org/abs/2309.17453), where it is called an attention sink).
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# [Exercise 04](exercises/04_single_head_attention.ipynb) lets you write scores, softmax and mix, and count the
# heads that read ` girl`. In [lesson 05](05_rope.ipynb) queries and keys are turned by an angle
# that depends on their position, and then the scores know how far apart two tokens are.
