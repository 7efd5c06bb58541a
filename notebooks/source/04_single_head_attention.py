# %% [markdown] key="title"
# # 04 Single-head attention: how one token reads from the others
#
# A sentence is more than its words one by one. To continue *Once upon a time, there was a little girl
# named*, the last row must know that a girl was mentioned, and that a name is due. All other steps of the
# model treat every row by itself. **Attention** is the one step that carries information from row to row,
# and this lesson takes it apart for a single **head**, the smallest unit that does it.
#
# In goes the normalised stream, one row of `D` numbers per token (`T D`). Out comes the head's **mix**,
# one row of `K` numbers per token (`T K`). `K` is the width of the head.
#
# After this lesson you can compute queries, keys, values, scores, pattern and mix with a few short lines
# of NumPy. You can say why the scores are divided by $\sqrt{K}$. You can write down any row of the mix as
# a sum of values, with numbers. And you can say in what sense attention is linear, and in what sense not.
#
# Two parts wait for lessons of their own: how position gets in (05) and who may see whom (06). Until step
# 8 we do without them.

# %% key="map"
import numpy as np
from classroom import agree, clearest_head, show, source, table

from llama_np import forward, record
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["attention"])

# %% [markdown] key="setup-why"
# ## A sentence, and a head to look at
#
# We run the whole model once and keep every named matrix in `trace`. Then the code picks a head whose
# pattern is clear: the one that puts most weight on a token other than the first and the one that reads.
# What a pattern is, you will see in step 4.

# %% key="setup"
prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
trace = {}
forward(weights, config, ids, tap=record(trace))
i, h = clearest_head(trace, range(config.n_layers), config.n_heads)
show.tokens(labels, ids)
print(f"we look at block {i}, head {h}")

# %% [markdown] key="input-why"
# The head reads the stream as it stands before this block, normalised (lesson 03). This is `x` for the
# rest of the page. Each row is one token. At this point a row holds more than its word, since earlier
# blocks have already added to it, unless the code above picked block 0.

# %% key="input"
x = trace[f"blocks.{i}.attn_norm"]
print("x", x.shape)
show.matrix(x, ("T", "D"), rows=labels, title="x: what the head reads")

# %% [markdown] key="qkv-why"
# ## Step 1. Queries, keys and values
#
# **The problem.** A token should read from those tokens that matter to it. So something must say, for
# each pair of tokens, how much the one matters to the other. And something must say what is handed over.
# One row cannot play all these parts at once. So each row is turned into three shorter ones:
#
# - the **query** `q`: what this token is looking for;
# - the **key** `k`: by what this token can be found;
# - the **value** `v`: what this token hands over to those who find it.
#
# Each is a product with a learned matrix of `D` rows and `K` columns:
#
# $$q = x\,W_q \qquad k = x\,W_k \qquad v = x\,W_v$$
#
# The words are borrowed from databases, where a query finds a value by its key. They name three roles.
# Nobody tells the model what to look for; training sets the three matrices ([Vaswani et al.
# 2017](https://arxiv.org/abs/1706.03762), section 3.2).
#
# The weights of all heads lie side by side in `wq`, `wk` and `wv`, so a head is a slice of columns.
# Several query heads may share one key-value head. Lesson 07 explains why; here it only decides which
# columns of `wk` and `wv` are ours.

# %% key="qkv-weights"
K, layer = config.head_dim, weights.layers[i]
own = slice(h * K, (h + 1) * K)
shared = slice(h // config.group * K, (h // config.group + 1) * K)
wq, wk, wv = layer.wq[:, own], layer.wk[:, shared], layer.wv[:, shared]
print("all heads ", layer.wq.shape, layer.wk.shape, layer.wv.shape)
print("this head ", wq.shape, wk.shape, wv.shape)

# %% key="qkv-by-hand"
q = x @ wq  # T D @ D K -> T K
k = x @ wk
v = x @ wv
print("q", q.shape, "k", k.shape, "v", v.shape)
show.matrices({"q": q, "k": k, "v": v}, ("T", "K"), rows=labels)

# %% [markdown] key="qkv-agree-note"
# The model computed the same three matrices when it ran. It keeps them with one entry per head, so we
# look up ours. There is nothing else in this step, in particular no **bias** (a learned row that is added
# after the product). Many models have biases here. Llama has none anywhere.

# %% key="qkv-agree"
agree(q, trace[f"blocks.{i}.q"][h])
agree(k, trace[f"blocks.{i}.k"][h // config.group])
agree(v, trace[f"blocks.{i}.v"][h // config.group])
print("learned in a block:", *vars(layer))

# %% [markdown] key="score-why"
# ## Step 2. Scores: how well a key fits a query
#
# **The problem.** For a query and a key, both `K` numbers, we need one number that says how well they
# fit. The **dot product** does it: multiply number by number, then add up. It is large where both point
# the same way, near zero where they have nothing to do with one another, and negative where they point in
# opposite directions. Here it is for one pair of tokens, term by term.

# %% key="score-one"
reader, read = len(ids) - 1, len(ids) - 2
terms = q[reader] * k[read]
print("query of", labels[reader], q[reader][:6].round(2))
print("key of  ", labels[read], k[read][:6].round(2))
print("products", terms[:6].round(2), f"(the first of {K})")
print(f"their sum, all {K} of them: {terms.sum():.3f}")

# %% [markdown] key="score-all-why"
# One matrix product does it for all pairs. Row `t` belongs to the token that asks, column `s` to the
# token that is asked. Both count the same tokens here; we call the second axis `S` to keep them apart.

# %% key="score-all"
raw = q @ k.T  # T K @ K S -> T S
agree(raw[reader, read], terms.sum())
show.matrix(raw, ("query T", "key S"), rows=labels, columns=labels, title="q @ k.T")

# %% [markdown] key="symmetry-why"
# The matrix is not its own mirror image: how much `a` wants from `b` is one question, how much `b` wants
# from `a` another. That is why a token needs a query *and* a key. With one row for both roles, every pair
# would score the same both ways.

# %% key="symmetry"
one_way, other_way = raw[reader, read], raw[read, reader]
print(f"{labels[reader]} asks {labels[read]}: {one_way:.3f}")
print(f"{labels[read]} asks {labels[reader]}: {other_way:.3f}")
agree(q @ q.T, (q @ q.T).T)

# %% [markdown] key="scale-why"
# ## Step 3. Why divide by the square root of K
#
# **The problem.** A score is a sum of `K` products. The more numbers a head has, the larger the sum can
# become. Softmax, the next step, looks at the *differences* between scores. If these are large, it gives
# nearly all weight to one key, whatever the head is meant to do. So the scores are divided by $\sqrt{K}$:
#
# $$\mathrm{score}_{ts} = \frac{1}{\sqrt{K}} \sum_{j=1}^{K} q_{tj}\, k_{sj}$$
#
# Here $t$ is the token that asks, $s$ the token that is asked, and $j$ counts the numbers of the head.
# But why the square root? Why not `K` itself?
#
# ### Experiment
#
# We draw many random queries and keys. Every number comes from a normal distribution with mean 0 and
# **spread** 1 (the standard deviation: how far numbers typically lie from their mean). We do this for
# narrow and for wide heads. **Predict before you run:** when `K` becomes 4 times as large, how does the
# spread of `q @ k.T` change? By a factor of 4, of 2, or not at all?

# %% key="scale-experiment"
from llama_np import LLAMA_3_8B

rng = np.random.default_rng(0)
widths = sorted({4, 16, 64, 256, 1024, K, LLAMA_3_8B.head_dim})
spread = {"undivided": [], "divided by sqrt(K)": [], "divided by K": []}
for width in widths:
    random_q, random_k = rng.standard_normal((2, 500, width))
    products = random_q @ random_k.T
    for name, divisor in zip(spread, (1, np.sqrt(width), width)):
        spread[name].append((products / divisor).std())
show.curves(np.array(widths), spread, ("K", "spread of the scores"))
for name, values in spread.items():
    print(f"{name:20}", *(f"{value:7.2f}" for value in values))
print(f"{'K':20}", *(f"{width:7}" for width in widths))

# %% [markdown] key="scale-answer"
# <details><summary>Answer</summary>
#
# By a factor of 2. The spread of the undivided scores is $\sqrt{K}$. The reason: each product of two
# independent numbers with mean 0 and spread 1 has itself mean 0 and **variance** 1 (the square of the
# spread). For independent numbers variances add up, so the sum of `K` products has variance `K` and
# spread $\sqrt{K}$. Dividing by $\sqrt{K}$ brings it back to 1 for every width. Dividing by `K` overdoes
# it: in wide heads all scores would be nearly the same. The argument stands in [Vaswani et al.
# 2017](https://arxiv.org/abs/1706.03762), section 3.2.1, footnote 4.
#
# </details>

# %% [markdown] key="saturation-why"
# And what does a large spread do? Below, each random query shares its weight among 16 keys by softmax.
# With equal shares each key would get 1/16. The **slope** is how fast the largest weight changes when its
# score changes. For a weight $p$ it is $p\,(1-p)$. Where the slope is near zero, training cannot tell
# which way to move a score: nearly all weight lies on one key, and a small step changes nothing.

# %% key="saturation"
from llama_np import softmax


def largest(scores):
    p = softmax(scores).max(axis=-1)
    return f"{p.mean():.2f}", f"{(p * (1 - p)).mean():.3f}"


rows = []
for width in widths:
    random_q, random_k = rng.standard_normal((500, width)), rng.standard_normal((16, width))
    products = random_q @ random_k.T
    rows.append([width, *largest(products), *largest(products / np.sqrt(width))])
table(["K", "largest weight", "slope", "largest weight, divided", "slope, divided"], rows)

# %% [markdown] key="scores-note"
# Undivided, wide heads put almost everything on one key. Divided, all widths behave alike. Real queries
# and keys are not random: training has set their size, and a head that should be sharp can still make
# large scores. The division gives every head the same fair start. Note that it is the width of *this
# head* that counts, `K`, not the width of the model, `D`: that is how many products are added up.

# %% key="scores"
scores = raw / np.sqrt(K)
print(f"spread of this head's scores: {raw.std():.2f} undivided, {scores.std():.2f} divided")

# %% [markdown] key="softmax-why"
# ## Step 4. Softmax: from scores to weights
#
# **The problem.** Scores can be any number, also negative. To mix values we need shares: none below zero,
# and together one. **Softmax** makes them. It takes the exponential of each score, which is always
# positive, and divides by the sum of the row:
#
# $$p_{ts} = \frac{e^{s_{ts}}}{\sum_{u} e^{s_{tu}}}$$
#
# Here $s_{ts}$ is the score of query $t$ and key $s$, the sum runs over all keys $u$, and $p_{ts}$ is the
# share that token $t$ reads from token $s$. A score that is larger by 1 gets $e \approx 2.72$ times the
# weight. Every row shares out its own weight, so rows sum to one. Columns do not: a token may be read by
# many or by none. The matrix of all shares is the **pattern** of the head.
#
# By hand we first subtract the largest score of the row. That multiplies all exponentials of the row by
# the same number, which the division takes out again. But now no exponent is above 0, so none can become
# too large for the computer.

# %% key="softmax-by-hand"
exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
pattern = exponentials / exponentials.sum(axis=-1, keepdims=True)  # T S
print("rows sum to   ", pattern.sum(axis=1).round(3))
print("columns sum to", pattern.sum(axis=0).round(3))
show.matrices(
    {"scores": scores, "pattern": pattern}, ("query T", "key S"), rows=labels, columns=labels
)

# %% key="softmax-named"
source(softmax)

# %% [markdown] key="softmax-agree-note"
# The second line adds 5 to every score and gets the same pattern: only differences between scores matter.

# %% key="softmax-agree"
agree(pattern, softmax(scores))
agree(pattern, softmax(scores + 5), tolerance=1e-4)

# %% [markdown] key="undivided-note"
# Here is what this head's pattern would be with other divisors, on the same queries and keys. Large
# divisors blur it, small ones sharpen it. The model was trained with $\sqrt{K}$.

# %% key="undivided"
divisors = {"not divided": 1, "by sqrt(K)": np.sqrt(K), "by K": K}
show.matrices(
    {name: softmax(raw / divisor) for name, divisor in divisors.items()},
    ("query T", "key S"),
    rows=labels,
    columns=labels,
    limit=1.0,
)

# %% [markdown] key="mix-why"
# ## Step 5. The mix: what is handed over
#
# **The problem.** We know how much each token reads from each other one. Now it must get something. It
# gets the values, each weighted by its share:
#
# $$\mathrm{mix}_t = \sum_{s} p_{ts}\, v_s$$
#
# For all tokens at once that is one more matrix product.

# %% key="mix-by-hand"
mix = pattern @ v  # T S @ S K -> T K
print("pattern", pattern.shape, "@ v", v.shape, "-> mix", mix.shape)
show.matrices({"v": v, "mix": mix}, ("T", "K"), rows=labels)

# %% [markdown] key="numbers-why"
# Here is the last row in numbers: each token's share, the first numbers of its value, and their product.
# The products, added up, are the row of the mix. Nothing else enters.

# %% key="numbers"
first = slice(0, 3)
for label, p, value in zip(labels, pattern[-1], v):
    numbers, products = ("".join(f"{n:8.3f}" for n in row[first]) for row in (value, p * value))
    print(f"{label:>18} {p:.3f} x{numbers}  ={products}")
sums = "".join(f"{n:8.3f}" for n in mix[-1, first])
print(f"{'sum':>18} {pattern[-1].sum():.3f}  {'':{len(numbers)}}  {sums}")
agree(sum(p * value for p, value in zip(pattern[-1], v)), mix[-1])

# %% [markdown] key="attend-named-note"
# Scores, softmax and mix together are one function of the library, `attend`. Its second line of code is
# the subject of lesson 06: `mask` says which keys a query may look at. Here every query may see every
# key. The library divides `q` before the product instead of the scores after it. The result is the same,
# and in a long text `q` has fewer numbers.

# %% key="attend-named"
from llama_np import attend

source(attend)

# %% key="attend-agree"
see_all = np.ones((len(ids), len(ids)), bool)
agree(mix, attend(q, k, v, see_all), tolerance=1e-4)

# %% [markdown] key="linear-why"
# ## Step 6. Is attention linear?
#
# Each row of the mix is a **linear combination** of the values: shares times values, added up. From this
# one often reads that attention is a linear step. A step $f$ is **linear** if doubling the input doubles
# the output, and if the output of a sum is the sum of the outputs: $f(2x) = 2f(x)$ and $f(x + y) = f(x) +
# f(y)$. Such a step can be written as one matrix, and a stack of them would be no more than one matrix
# either.
#
# ### Experiment
#
# We multiply the input `x` of the head by a factor and look at the size of the mix (the root of its mean
# square, as in lesson 03), compared with factor 1. **Predict before you run:** what stands in the column
# "size of the mix" if attention is linear? And what happens to the largest weight of each row?

# %% key="linear-experiment"


def head(x):
    return attend(x @ wq, x @ wk, x @ wv, see_all)


def size(x):
    return np.sqrt((x**2).mean())


rows = []
for factor in (0, 0.5, 1, 2, 4):
    weight = softmax((factor * q) @ (factor * k).T / np.sqrt(K)).max(axis=-1).mean()
    same_pattern = pattern @ (factor * x @ wv)
    mixed = [f"{size(m) / size(mix):.3f}" for m in (head(factor * x), same_pattern)]
    rows.append([factor, *mixed, f"{weight:.3f}"])
table(["factor", "size of the mix", "with the pattern held fixed", "mean largest weight"], rows)

# %% [markdown] key="linear-answer"
# <details><summary>Answer</summary>
#
# If attention were linear, the second column would equal the first. It does not. The pattern depends on
# the input too: `x` enters the scores twice, once through the query and once through the key, so a factor
# of 2 makes scores 4 times as large. Softmax then gives more to the largest. With factor 0 all scores are
# 0 and the weights equal.
#
# The third column does equal the first: with the pattern held fixed, what is left is a product of
# matrices, and that *is* linear. So: linear in the values, for a given pattern. Not linear in the input,
# because the input also makes the pattern.
#
# </details>

# %% [markdown] key="shuffle-why"
# ## Step 7. What a head without position cannot see
#
# Look again at the lines we wrote by hand. Nothing in them says which token comes first. The score of two
# tokens depends on their rows alone. So if we shuffle the tokens, the rows of the mix are shuffled in the
# same way, and each is what it was.

# %% key="shuffle"
order = rng.permutation(len(ids))
print("shuffled:", *(labels[t] for t in order))
agree(head(x[order]), mix[order], tolerance=1e-4)

# %% [markdown] key="shuffle-note"
# To a head like this a text is a bag of tokens. *The dog bit the man* and *The man bit the dog* would be
# the same to it. Lesson 05 shows how Llama brings order in. And one more thing is wrong. The last token
# may read from all others, but so may the first: it reads words that are not written yet. Lesson 06 puts
# a stop to that.

# %% [markdown] key="model-why"
# ## Step 8. The head as the model runs it
#
# The library's `one_head` is the whole head. You know all of it but two things: `rotate` turns queries
# and keys by their position, and `causal_mask` hides later tokens.

# %% key="model-named"
from llama_np import one_head

source(one_head)

# %% key="model-agree"
from llama_np import rope_frequencies

positions = np.arange(len(ids))
frequencies = rope_frequencies(K, config.rope_theta, config.rope_scaling)
inside = {}
real_mix = one_head(x, wq, wk, wv, positions, frequencies, tap=record(inside))
agree(trace[f"blocks.{i}.mix"][h], real_mix, tolerance=1e-4)

# %% [markdown] key="compare-note"
# Beside each other: the pattern of this lesson, and the pattern of the same head with position and mask.
# The weights are the same, and so are the inputs. The difference is what lessons 05 and 06 are about.

# %% key="compare"
show.matrices(
    {"without position and mask": pattern, "as the model runs it": inside["pattern"]},
    ("query T", "key S"),
    rows=labels,
    columns=labels,
    limit=1.0,
)

# %% [markdown] key="every-token-note"
# And here, for every token, the largest shares of its mix. Read a line as: the mix of this token is so
# much of the value of that token, and so on. The shares that are not shown make up the rest to one.

# %% key="every-token"
for label, row in zip(labels, inside["pattern"]):
    best = np.argsort(-row, kind="stable")[:3]
    text = "  +  ".join(f"{row[s]:.2f} {labels[s]}" for s in best if row[s] > 0)
    print(f"{label:>18} = {text}")

# %% [markdown] key="after-note"
# What becomes of the mix? It is `K` numbers wide, and the stream is `D` wide. The mixes of all heads are
# laid side by side, a last matrix `wo` brings them to width `D`, and the result is added to the stream.
# That is lesson 07.
#
# ### Try it
#
# Below the line that sets `i, h` at the top, set them to another block and head, and run the page again.
# Most heads are less clear than the one that was picked. What a head does is what training found useful,
# and often it has no name.

# %% [markdown] key="shapes-note"
# ## What you have seen
#
# All arrays of this lesson, for one head. `S` counts the same tokens as `T` here.

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
# <details><summary>A text becomes twice as long. By what factor does the number of scores grow? And the
# number of weights in wq, wk and wv?</summary>
#
# Scores: by 4, since every token meets every token. Weights: not at all. They are made for rows, and the
# same matrices serve every row. This is why one model can read short texts and long ones, up to the
# length it was made for, and why long texts are costly.
#
# </details>
#
# <details><summary>The whole stream becomes twice as large before this block. What changes in the
# mix?</summary>
#
# Nearly nothing. The head does not read the stream but its normalised copy, and the norm takes the factor
# out again (up to the tiny number in its root). In step 6 we scaled the copy itself.
#
# </details>
#
# <details><summary>All keys of a text are the same row. What does the pattern look like, whatever the
# queries are?</summary>
#
# All scores of a row are then equal, so all shares are equal: each token gets the plain mean of the
# values.
#
# </details>
#
# <details><summary>A constant row c is added to every key. Does the pattern change?</summary>
#
# No. The score of query $q$ with each key grows by the same number $q \cdot c / \sqrt{K}$, and softmax
# only sees differences within a row. A bias on the keys would therefore do nothing here (without
# rotation).
#
# </details>
#
# <details><summary>Can a token read nothing at all?</summary>
#
# No: its shares sum to one. But it can put its share on a token whose value is small, or whose value `wo`
# leaves without effect. Trained models often use the first token of a text for this ([Xiao et al.
# 2023](https://arxiv.org/abs/2309.17453), where it is called an attention sink).
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# So far a token's place plays no part. Lesson 05, RoPE, turns each query and key by an angle that depends
# on its position, and then the scores know how far apart two tokens are.
