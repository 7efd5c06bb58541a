# %% [markdown] key="title"
# # 04 Single-head attention: how one token reads from the others
#
# *Once upon a time, there was a little girl named*: the model goes on with a girl's name. Put *boy* for
# *girl*, and it goes on with a boy's. Yet the next token is predicted from the last row of the stream alone,
# the row of ` named`, which starts out the same in both texts. Only **attention** can have told it about the
# girl, since no other step lets one row learn from another. How does it work, and where does it happen?
#
# We take it apart for one **head**, chosen because it matters for this question. In goes the normalised
# stream, `D` numbers for each token. Out comes the head's **mix**, `K` numbers for each token, where `K` is
# the width of the head. At the end you make the model say a boy's name after *girl*, by changing what some
# heads hand to one row, and count how many it takes.
#
# Before this page: [lesson 03](03_rms_norm.ipynb). Beside it:
# [exercise 04](exercises/04_single_head_attention.ipynb).

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from llama_np import KVCache, forward, patch, record, softmax
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.attention_map(
    lit=["q", "k", "v", "scores", "softmax", "mix"],
    n_heads=config.n_heads,
    n_kv_heads=config.n_kv_heads,
)

# %% [markdown] key="two-why"
# The lit parts are this page's. Turning by position (`rotate`) is [lesson 05](05_rope.ipynb), the mask is
# [lesson 06](06_masking.ipynb), many heads and `wo` are [lesson 07](07_multi_head.ipynb).
#
# ## Two texts that differ in one token
#
# We run both and keep every matrix that the model computes on its way.


# %% key="two"
def run(text):
    """The ids of a text, what was recorded, and the logits of its last row."""
    ids, trace = np.array(tokenizer.encode(text, bos=True)), {}
    logits = forward(weights, config, ids, tap=record(trace))[-1]
    return ids, trace, logits


def run_both(text):
    return run(text.format("girl")), run(text.format("boy"))


def best(logits):
    first = np.argsort(-logits)[:4]
    return "  ".join(f"{tokenizer.token(t)} {softmax(logits)[t]:.2f}" for t in first)


story = "Once upon a time, there was a little {} named"
(ids, girl_trace, girl_logits), (boy_ids, boy_trace, boy_logits) = run_both(story)
labels = [tokenizer.token(t) for t in ids]
(who,) = np.flatnonzero(ids != boy_ids)  # the only place where they differ
hers, his = girl_logits.argmax(), boy_logits.argmax()


def lead(logits):
    """By how much the logit of her name is above that of his."""
    return logits[hers] - logits[his]


show.tokens(labels, ids)
print("girl", best(girl_logits), f"  her lead {lead(girl_logits):.2f}")
print("boy ", best(boy_logits), f"  her lead {lead(boy_logits):.2f}")

# %% [markdown] key="two-read"
# After *girl* the likeliest next token is `{{ tokenizer.token(hers) }}`, after *boy* it is
# `{{ tokenizer.token(his) }}`. {{ claim: hers != his }} How far the **logit** of the first is above that of
# the second is our measure on the whole page: this lead is {{ lead(girl_logits) :.2f }} after *girl* and
# {{ lead(boy_logits) :.2f }} after *boy*. One word decides.{{ claim: who == len(ids) - 2 }} But the last row
# begins as the embedding of ` named`, which does not know what stands before it.

# %% key="same-start"
agree(girl_trace["embedded"][-1], boy_trace["embedded"][-1])

# %% [markdown] key="mean-why"
# The two last rows are equal at the start, so all that tells them apart must come from other rows.
#
# ## Step 1. The simplest way to hear from others: the mean
#
# To let a row learn from the rows before it, the simplest thing is to give it the **mean** of all rows up to
# its own. As a matrix product that is a triangle of equal weights, each row of which sums to one, as in
# Karpathy's [lecture on GPT](https://www.youtube.com/watch?v=kCc8FmEb1nY).

# %% key="mean"
T = len(ids)
triangle = np.tril(np.ones((T, T)))
even = triangle / triangle.sum(axis=1, keepdims=True)  # T S
x = girl_trace["embedded"]
mean = even @ x  # T S @ S D -> T D
agree(mean[-1], x.mean(axis=0))

# %% [markdown] key="mean-read"
# Now the last row has heard of ` girl`, but no louder than of the comma, because each has
# {{ even[-1, 0] :.3f }} of its row; in a text of a thousand tokens it would be a thousandth. What is missing
# is a **choice**. The weights must follow from the tokens themselves.
#
# ## Step 2. Weights that are chosen: a query, a key
#
# Let every token produce two short rows: a **query**, which says what it is looking for, and a **key**, which
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
# Multiply number by number and add up: that **dot product** is {{ toy_scores[1] :.1f }} for ` girl`, whose
# key is large where the query is, and {{ toy_scores[0] :.0f }} for ` time`, whose key is large elsewhere. The
# exponential and the division turn scores into shares, and ` girl` gets {{ toy_weights[1] :.2f }} of the row.
# In a model nobody sets such numbers by hand: two learned matrices make a query and a key from each row
# ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.2).
#
# ## Which head? Ask the model
#
# There are {{ config.n_heads }} heads in each of {{ config.n_layers }} blocks. To find those that tell the
# last row about the girl, we replace the mix that one head hands to the last row, which makes the prediction, by its mix
# from the *boy* text, let everything else run on, and measure how far the lead moves. This is **activation patching**, done
# by the library's `patch`. We give the effect as a share: 0 means that nothing changed, 1 that the lead is
# now that of the boy text.


# %% key="search"
def swap(heads, other):
    """A tap under which some heads, pairs (block, head), hand to the last row what ``other`` has."""

    def swapped(block):
        def change(mix):
            own, mix = [h for b, h in heads if b == block], mix.copy()
            mix[own, -1] = other[f"blocks.{block}.mix"][own, -1]
            return mix

        return change

    return patch({f"blocks.{b}.mix": swapped(b) for b in {b for b, _ in heads}})


def moved(text, heads):
    """How far swapping these heads moves her lead to that of the boy text, and if his name leads."""
    (_, _, girl), (_, other, boy) = runs[text]
    new = last_row(text.format("girl"), swap(heads, other))
    return (lead(girl) - lead(new)) / (lead(girl) - lead(boy)), lead(new) < 0


def last_row(text, tap):
    """The last row's logits. The rows before it stay as they are and are kept (lesson 11)."""
    ids = np.array(tokenizer.encode(text, bos=True))
    if text not in kept:
        kept[text] = KVCache(config, len(ids))
        forward(weights, config, ids[:-1], cache=kept[text])
    return forward(weights, config, ids[-1:], cache=kept[text].fork(), tap=tap)[-1]


runs, kept = {story: run_both(story)}, {}
every_head = [(b, h) for b in range(config.n_layers) for h in range(config.n_heads)]
effect = np.array([moved(story, [head])[0] for head in every_head])
i, h = every_head[effect.argmax()]
print(f"block {i}, head {h} moves the lead by {effect.max():.0%}, the median head by", end=" ")
print(f"{np.median(np.abs(effect)):.1%}")

# %% [markdown] key="pattern-why"
# One head of {{ len(every_head) }} moves the lead by {{ effect.max() :.0% }}, the typical head by next to
# nothing.{{ claim: effect.max() > 10 * np.median(np.abs(effect)) }} Here is what it reads.

# %% key="pattern-first"
recorded = {
    n: girl_trace[f"blocks.{i}.{n}"] for n in ("attn_norm", "q", "k", "v", "pattern", "mix")
}
show.reads(labels, recorded["pattern"][h], title=f"block {i}, head {h}: what the last row reads")

# %% [markdown] key="qkv-why"
# It puts {{ recorded["pattern"][h, -1, who] :.2f }} of its weight on
# `{{ labels[who] }}`,{{ claim: recorded["pattern"][h, -1, who] > 0.5 }} although the search knew only of
# effects. In the other text it puts {{ boy_trace[f"blocks.{i}.pattern"][h, -1, who] :.2f }} on ` boy`, as if it
# looked for whoever is being named. {{ claim: boy_trace[f"blocks.{i}.pattern"][h, -1, who] > 0.5 }}
#
# ## Step 3. Queries, keys and values
#
# From here on `x` is the stream before this block, normalised (lesson 03). Each row is turned into three
# shorter ones:
#
# - the **query** `q`: what this token is looking for;
# - the **key** `k`: by what this token can be found;
# - the **value** `v`: what this token hands over to those who find it.
#
# $$q = x\,W_q \qquad k = x\,W_k \qquad v = x\,W_v$$
#
# The weights of all heads lie side by side in `wq`, `wk` and `wv`, so that a head is a slice of columns. As
# in lesson 00, {{ config.group }} query heads share one key-value head, which is why the slices differ.

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


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


alike = {
    name: cosine(row[who], boy_trace[f"blocks.{i}.{name}"][shared_head, who])
    for name, row in (("k", k), ("v", v))
}
print("girl and boy, cosine of their", *(f"{n} {c:.2f}  " for n, c in alike.items()))

# %% [markdown] key="rotate-note"
# Why three? The keys of *girl* and *boy* are nearly the same, with a cosine of {{ alike["k"] :.2f }}, since
# this head has to find either of them; their values are far less alike, {{ alike["v"] :.2f }}, since it has to say
# which one it was.{{ claim: alike["k"] > alike["v"] + 0.15 }} And if the query served as key as well, ` girl`
# would look for ` named` as much as ` named` looks for ` girl`.
#
# Next the model turns every query and key by an angle that depends on the token's place, which is lesson 05.
# We take the turned ones from what was recorded.
#
# ## Step 4. Scores: how well a key fits a query
#
# The dot product of a query and a key is large where both point the same way, near zero where they have
# nothing to do with one another, and negative where they point in opposite directions. Here it is for our
# pair.

# %% key="score-one"
q, k = girl_trace[f"blocks.{i}.q_rotated"][h], girl_trace[f"blocks.{i}.k_rotated"][shared_head]
products = q[-1] * k[who]
print("products:", *(f"{n:.1f}" for n in products), f"  sum {products.sum():.1f}")

# %% [markdown] key="score-all-why"
# One matrix product does the same for all pairs. Row `t` belongs to the token that asks, column `s` to the
# token that is asked.

# %% key="score-all"
raw = q @ k.T  # T K @ K S -> T S
order = np.argsort(-raw[-1])
print("in the last row:", *(f"{labels[s]} {raw[-1, s]:.1f}  " for s in order[:4]), "...")

# %% [markdown] key="scale-why"
# ### Why divide by the square root of K
#
# A score is a sum of `K` products, so in a wider head it can become larger. The next step looks only at
# *differences* between scores: where these are large, nearly all weight goes to one key. So the scores are
# divided by $\sqrt{K}$:
#
# $$\mathrm{score}_{ts} = \frac{1}{\sqrt{K}} \sum_{j=1}^{K} q_{tj}\, k_{sj}$$
#
# But why the root, and not `K` itself? Draw random queries and keys, every number with mean 0 and **standard
# deviation** 1. **Predict:** when `K` becomes 4 times as large, does the deviation of the scores grow by a
# factor of 4, of 2, or not at all?

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
# By a factor of 2. A product of two independent numbers with mean 0 and deviation 1 has mean 0 and
# **variance** 1, the square of the deviation. Variances of independent numbers add up, so that the sum of `K`
# products has variance `K` and deviation $\sqrt{K}$ ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762),
# footnote 4).
#
# </details>
#
# Undivided, the widest head gives {{ rows[-1][2] }} of its weight to one key of 16 before anything was
# learned, and a weight that is nearly 1 hardly moves when its score moves, so there is little to learn from.
# Divided by $\sqrt{K}$ all widths start alike, at about {{ rows[-1][3] }}. Dividing by `K` overdoes it for
# random rows: at {{ rows[-1][4] }} they are read almost evenly. Trained queries and keys are no such rows; the division says only
# where they begin.

# %% key="scores"
scores = raw / np.sqrt(K)
print(f"deviation of the numbers in this head's q {q.std():.2f}, in its k {k.std():.2f}")

# %% [markdown] key="softmax-why"
# ## Step 5. Softmax: from scores to weights
#
# To mix values we need shares: none below zero, and together one. **Softmax** takes the exponential of each
# score, which is always positive, and divides by the sum of the row:
#
# $$p_{ts} = \frac{e^{s_{ts}}}{\sum_{u} e^{s_{tu}}}$$
#
# Here $s_{ts}$ is the score of query $t$ and key $s$, and $p_{ts}$ is the share that token $t$ reads from
# token $s$. By hand we first subtract the row's largest score: that multiplies all exponentials of the row by
# the same number, which the division takes out again, and none of them can become too large for the computer.

# %% key="softmax-by-hand"
exponentials = np.exp(scores[-1] - scores[-1].max())
weights_of_last = exponentials / exponentials.sum()  # S
agree(weights_of_last, softmax(scores[-1]))
for s in order[:3]:
    print(f"{labels[s]:>9} score {scores[-1, s]:6.2f}  exponential {exponentials[s]:.4f}", end="  ")
    print(f"weight {weights_of_last[s]:.3f}")
show.bars(weights_of_last[order], [labels[s] for s in order], "weight", lit=0)

# %% [markdown] key="softmax-read"
# The scores of `{{ labels[order[0]] }}` and `{{ labels[order[1]] }}` were
# {{ scores[-1, order[0]] - scores[-1, order[1]] :.1f }} apart, so their weights differ by a factor of
# {{ np.exp(scores[-1, order[0]] - scores[-1, order[1]]) :,.0f }}: each step of 1 is a factor of
# $e \approx 2.72$. Rows sum to one, columns need not.
#
# All rows together are the **pattern** of the head. Its upper right is empty, because no token may read what
# comes after it. The last row may read everything, so that we could leave the mask out.

# %% key="pattern"
pattern = recorded["pattern"][h]  # T S
agree(pattern[-1], weights_of_last)
show.matrix(
    pattern, ("query T", "key S"), rows=labels, columns=labels, title="the pattern",
    limit=1.0, quantity="weights",
)  # fmt: skip

# %% [markdown] key="mix-why"
# Of the two rows that can read `{{ labels[who] }}`, her own gives her {{ pattern[who, who] :.2f }} and that of `{{ labels[-1] }}`
# {{ pattern[-1, who] :.2f }}. The rows before look mostly at the first token, with {{ pattern[1:-1, 0].mean() :.2f }} of their weight on the
# average; a row has to sum to one, and it seems that this head has found nobody there.{{ claim: pattern[1:-1, 0].mean() > 0.3 }}
#
# ## Step 6. The mix: what is handed over
#
# What a token gets are the values, each weighted by its share:
#
# $$\mathrm{mix}_t = \sum_{s} p_{ts}\, v_s$$
#
# Here are the three largest shares of the last row, the first three numbers of each value, and their products; the sum
# is over all tokens.

# %% key="mix-by-hand"
first = slice(0, 3)
for s in order[:3]:
    p, value = pattern[-1, s], v[s]
    numbers, products = ("".join(f"{n:8.3f}" for n in row[first]) for row in (value, p * value))
    print(f"{labels[s]:>18} {p:.3f} x{numbers}  ={products}")
mix = pattern @ v  # T S @ S K -> T K
print(f"{'sum':>18} {pattern[-1].sum():.3f}  {'':{len(numbers)}}  ", end="")
print("".join(f"{n:8.3f}" for n in mix[-1, first]))
agree(mix, recorded["mix"][h])

# %% [markdown] key="mix-read"
# The sum is almost the line of `{{ labels[who] }}`, which has nearly all the weight. So ` named` gets a copy
# of what *girl* had to say, and in the other text of what *boy* had to say. That is the whole mechanism:
# choose by query and key, hand over the value.
#
# And what did it say? The head's rows of one more matrix, `wo`, bring the mix to width `D`, and this is added
# to the row of ` named`. Sent past all later blocks, through the last norm's weights and the output matrix,
# it raises some tokens (**direct logit attribution**).

# %% key="written"
raised = []
for each in (girl_trace, boy_trace):
    added = each[f"blocks.{i}.mix"][h, -1] @ layer.wo[own]  # K @ K D -> D
    raised.append(added * weights.norm @ weights.output)  # D @ D V -> V
for word, more in (("girl", raised[0] - raised[1]), ("boy", raised[1] - raised[0])):
    print(f"raised most by {word}:", *(tokenizer.token(t) for t in np.argsort(-more)[:8]))

# %% [markdown] key="written-read"
# These tokens gain most in one text against the other, and the first of them are no names. What this head passes on is that
# somebody female or male is spoken of; that makes her name likelier than his as well.
# {{ claim: hers not in np.argsort(raised[1] - raised[0])[:4] and (raised[0] - raised[1])[hers] > (raised[0] - raised[1])[his] }}
#
# Scores, softmax and mix together are the library's `attend`. It divides `q` instead of the scores, which
# gives the same with fewer divisions in a long text.

# %% key="attend-named"
from llama_np import attend

agree(mix[-1:], attend(q[-1:], k, v, None))
source(attend)

# %% [markdown] key="experiment-why"
# ## Experiment: how many heads does it take to change the girl's name?
#
# Is the girl carried in one place, or spread over the whole model? We rank all heads by their effect on five
# texts. Then, on twenty *other* texts, we swap the best one, the best two, and so on. In the last five the
# words around the girl are different, and she mostly stands further back. The control swaps heads drawn at
# random.
#
# **Predict:** how many of the {{ len(every_head) }} heads must be swapped until the lead has moved more than
# half of the way? One? Ten? A hundred?

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
    "Once upon a time, there was a little {} called", "One day, a little {} in a red hat named",
    "Once upon a time, there was a {} with a red ball named", "There was a {} in the park named",
    "Once there was a {} from the town named",
]  # fmt: skip
learned, tried = texts[:5], texts[5:]

# %% key="experiment-run"
runs |= {text: run_both(text) for text in texts}
effects = np.array([[moved(text, [head])[0] for head in every_head] for text in learned])
effects = effects.mean(axis=0)
ranking = [every_head[n] for n in np.argsort(-effects)]
counts = [1, 2, 4, 8, 16, 32, 64]
rng = np.random.default_rng(0)


def on_other_texts(teams):
    """For each text, with its team swapped: how far that moved the lead, and if his name leads."""
    return np.array([moved(text, heads) for text, heads in zip(tried, teams)])


def draw(count):
    return rng.permutation(every_head)[:count].tolist()


by_effect = np.array([on_other_texts([ranking[:count]] * len(tried)) for count in counts])
at_random = np.array([on_other_texts([draw(count) for _ in tried]) for count in counts])
show.curves(
    np.array(counts),
    {
        "by effect": by_effect[..., 0].mean(axis=1),
        "at random": at_random[..., 0].mean(axis=1),
    },
    ("heads swapped", "share of the way to the boy"),
)


def summed_up(results):
    return [
        f"{results[:, 0].mean():.0%} ± {results[:, 0].std():.0%}",
        f"{results[:, 1].sum():.0f} of {len(results)}",
    ]


rows = [[n, *summed_up(a), *summed_up(b)] for n, a, b in zip(counts, by_effect, at_random)]
nth = int((by_effect[..., 0].mean(axis=1) > 0.5).argmax())  # the first that moves more than half
team = ranking[: counts[nth]]
girls, others = by_effect[nth, :15, 0], by_effect[nth, 15:, 0]
swapped_logits = last_row(story.format("girl"), swap(team, boy_trace))
print(f"the text says girl, {len(team)} heads are swapped:", best(swapped_logits))
print(f"words around her as before: {girls.mean():.0%} ± {girls.std():.0%}", end=", ")
print(f"others: {others.mean():.0%} ± {others.std():.0%}")
table(["heads", "moved, by effect", "his name leads", "moved, at random", "his name leads"], rows)

# %% [markdown] key="experiment-read"
# It takes {{ len(team) }} heads, the fewest of the counts we tried, to move the lead more than half of the
# way: {{ by_effect[nth, :, 0].mean() :.0% }} ± {{ by_effect[nth, :, 0].std() :.0% }} over the texts. As many
# drawn at random move it by {{ at_random[nth, :, 0].mean() :.0% }} ± {{ at_random[nth, :, 0].std() :.0% }}.
# {{ claim: by_effect[nth, :, 0].mean() > 0.5 and at_random[nth, :, 0].mean() < 0.5 * by_effect[nth, :, 0].mean() }}
# {{ claim: 4 <= len(team) <= len(every_head) / 4 }} In our sentence, which still says *girl*, the likeliest
# token is now `{{ tokenizer.token(swapped_logits.argmax()) }}`.{{ claim: swapped_logits.argmax() == his }}
#
# So a team brings the news, each member bringing a small part,{{ claim: effects.max() < 0.4 * by_effect[nth, :, 0].mean() }} and not just in one
# wording: in the five texts with other words around her the same heads move the lead even further, by {{ others.mean() :.0% }}
# instead of {{ girls.mean() :.0% }}, for which we have no reason to give. {{ claim: others.mean() > 0.4 }} Could one have found them by
# looking at the patterns?


# %% key="team"
def on_girl(block, head):
    """The weight that the last row gives to the girl, mean over the texts that ranked the heads."""
    name = f"blocks.{block}.pattern"
    return np.mean([runs[text][0][1][name][head, -1, -2] for text in learned])


weight = np.array([on_girl(*head) for head in every_head])
chosen = np.array([head in team for head in every_head])
idle = [head for head, w, e in zip(every_head, weight, effects) if w > 0.5 and abs(e) < 0.01]
idle_moved = on_other_texts([idle] * len(tried))[:, 0]
show.points(
    weight,
    {
        "other heads": np.where(chosen, np.nan, effects),
        f"the best {len(team)}": np.where(chosen, effects, np.nan),
    },
    ("weight on girl", "share moved, alone"),
)
print(f"{len(idle)} heads give girl more than half of their weight, and each moves less than 1 %;")
print(f"together they move {idle_moved.mean():.0%} ± {idle_moved.std():.0%}")

# %% [markdown] key="team-read"
# Of the {{ len(team) }} heads {{ int((weight[chosen] > 0.5).sum()) }} give *girl* more than half of their weight and stand on the
# right, so patterns point to them. But they point as well to {{ len(idle) }} heads at the
# bottom, which read her and move the lead by less than 1% each, all together by {{ idle_moved.mean() :.0% }}
# ± {{ idle_moved.std() :.0% }}, about what {{ len(team) }} heads drawn at random had moved.
# {{ claim: len(idle) >= 4 and idle_moved.mean() < 0.5 * by_effect[nth, :, 0].mean() and (weight[chosen] > 0.5).mean() > 0.5 }}
# What a head **reads** is seen in its pattern; whether it **matters** for an answer is seen only when it is
# changed. A picture of attention weights shows the first and is often taken for the second
# ([Jain and Wallace 2019](https://arxiv.org/abs/1902.10186) began the argument).

# %% [markdown] key="next"
# ## What comes next
#
# [Exercise 04](exercises/04_single_head_attention.ipynb) lets you write scores, softmax and mix. Nothing in a
# score says yet which token comes first: in [lesson 05](05_rope.ipynb) queries and keys are turned by an
# angle that depends on their position.
#
# **Touch it:** `show.microscope(model=model, state="b=29&h=3&p=pattern")` opens a pattern with every number behind it.
