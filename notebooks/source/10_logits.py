# %% [markdown] key="title"
# # 10 Logits: from the last row to a choice
#
# The blocks are done. What they leave is a row of numbers for each token, and a reader wants a word. This
# lesson is about the last steps: how a row becomes a score for every token of the vocabulary, how scores
# become probabilities, and how one token is chosen. Here it is decided whether the same model writes
# soberly or wildly. The words **temperature**, **top-k** and **top-p** will be a few lines of NumPy to you.
#
# In goes the residual stream after the last block, shape `(T, D)`. Out come the **logits**, shape `(T, V)`:
# one score for each position and each token that could come next. From the last row one token is chosen.
#
# After this lesson you can compute a prediction from the stream by hand, read it at every position,
# choose by four different rules, and say why only the last row is needed to write.

# %% key="map"
import numpy as np
from classroom import agree, shapes, show, source, table

from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["norm", "output", "next"])

# %% [markdown] key="stream-note"
# The lessons before this one went through the blocks. Here `forward` runs them, and `record` keeps what we
# need: the stream after the last block, and the two results that we compute by hand below.

# %% key="stream"
from llama_np import forward, record

prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
trace = {}
forward(weights, config, ids, tap=record(trace, only={"resid_out", "final_norm", "logits"}))
stream = trace[f"blocks.{config.n_layers - 1}.resid_out"]
print("stream", stream.shape)

# %% [markdown] key="norm-why"
# ## Step 1. The last norm
#
# Block after block has added to the stream. As a rule its rows are larger now than at the start, and not
# equally large. A score should depend on what a row says, not on how loud it is. So the rows are brought
# to one size once more. It is the RMS norm of lesson 03, with weights of its own.

# %% key="norm-by-hand"
mean_square = (stream**2).mean(axis=-1, keepdims=True)
final = stream / np.sqrt(mean_square + config.norm_eps) * weights.norm
print("root mean square, before:", np.sqrt(mean_square).ravel().round(2))
print("root mean square, after: ", np.sqrt((final**2).mean(axis=-1)).round(2))
show.matrices({"stream": stream, "final": final}, ("T", "D"), rows=labels, across=1)

# %% key="norm-agree"
from llama_np import rms_norm

agree(final, rms_norm(stream, weights.norm, config.norm_eps))
agree(final, trace["final_norm"])

# %% [markdown] key="output-why"
# ## Step 2. A score for every token
#
# Now each token of the vocabulary is asked: how well do you go on from here? The **output matrix** holds
# one column of `D` numbers for every token. Its product with a row, number by number and summed up, is
# the token's score, its **logit**. If $h$ is a row of `final` and $W$ the output matrix, the logit of
# token $j$ is
#
# $$z_j = \sum_{d} h_d \, W_{d,j}$$
#
# It is large when the row points in the direction of the token's column. So what all the blocks have
# worked at, in the last row, is a direction in which the right token lies. (In some Llamas the output
# matrix is the embedding, transposed; lesson 02.) First for one token, then for all tokens at all
# positions.

# %% key="output-by-hand"
j = tokenizer.encode(" Lily")[-1]
one_logit = (final[-1] * weights.output[:, j]).sum()
logits = final @ weights.output  # T D @ D V -> T V
print("output", weights.output.shape, "-> logits", logits.shape)
agree(one_logit, logits[-1, j])

# %% [markdown] key="output-drawn-note"
# There are too many columns to draw. Here are those of the tokens that have the largest logit at one
# position at least.

# %% key="output-drawn"
winners = np.unique(logits.argmax(axis=-1))
show.matrix(
    logits[:, winners],
    ("T", "some of V"),
    rows=labels,
    columns=[tokenizer.token(i) for i in winners],
    title="logits",
)

# %% [markdown] key="output-named-note"
# In the library this is the end of `forward`, its last five lines: the norm, the product, and a
# conversion that step 4 explains.

# %% key="output-named"
print("\n".join(source(forward).text.splitlines()[-5:]))

# %% key="output-agree"
agree(logits, trace["logits"])

# %% [markdown] key="softmax-why"
# ## Step 3. Scores to probabilities
#
# Logits can be of any size and sign. To choose, we need numbers that are not negative and sum to one.
# That is the softmax, known from attention, now over the vocabulary:
#
# $$p_j = \frac{e^{z_j}}{\sum_{i=1}^{V} e^{z_i}}$$
#
# $p_j$ is the probability of token $j$. Why $e^z$? Because then a **difference** of two logits says how
# many times likelier one token is than another: $p_i / p_j = e^{z_i - z_j}$. A lead of 1 means 2.7 times
# as likely, a lead of 2 means 7.4 times.

# %% key="softmax-by-hand"
powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
probabilities = powers / powers.sum(axis=-1, keepdims=True)
print("probabilities", probabilities.shape, "each row sums to", probabilities.sum(axis=-1).round(4))

# %% key="softmax-named"
from llama_np import softmax

source(softmax)

# %% key="softmax-agree"
agree(probabilities, softmax(logits))

# %% [markdown] key="shift-why"
# Both have subtracted the largest logit of the row first, which the formula does not.
#
# **Predict before you run:** what becomes of the probabilities if 5 is added to all logits? If all are
# doubled? And what would happen to the plain formula with a logit of 1000?

# %% key="shift"
last = logits[-1]
best = np.argsort(-last)[:3]
for name, z in (("as they are", last), ("plus 5", last + 5), ("doubled", last * 2)):
    print(f"{name:12}", softmax(z)[best].round(3))
with np.errstate(over="ignore", invalid="ignore"):
    large = np.array([1000.0, 999.0])
    print("plain formula", np.exp(large) / np.exp(large).sum(), "library", softmax(large).round(3))

# %% [markdown] key="shift-answer"
# <details><summary>Answer</summary>
#
# Adding the same to all changes nothing: only differences count. So a logit alone has no meaning, and
# nobody can say whether 12 is much. That is why the largest one may be subtracted. The plain formula
# would compute $e^{1000}$, which is beyond the largest number the computer can hold; infinity divided by
# infinity is no number (`nan`). Doubling doubles the differences and makes the likely tokens likelier
# still; step 6 builds on that.
#
# </details>

# %% [markdown] key="float-why"
# ## Step 4. Why logits are float32
#
# Weights are often stored in 16 bits, to save memory: as `float16`, or as `bfloat16`, which is a float32
# rounded to its first 16 bits. Here, at the end, that is too coarse. Let us round our logits so and see
# how many different values are left. (`view` reads the bits of a number as a whole number; the middle
# line rounds.)


# %% key="float"
def to_bfloat16(x):
    bits = x.astype(np.float32).view(np.uint32)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return nearest.view(np.float32)


for name, z in (("float32", last), ("bfloat16", to_bfloat16(last))):
    print(f"{name:9} different values for {len(np.unique(z)) / len(z):.0%} of {len(z):,} logits")

# %% [markdown] key="float-sum-note"
# In `bfloat16` tokens that the model told apart become equal, and a choice between them is one of
# rounding. The other trouble is the sum under the fraction. It has as many terms as the vocabulary has
# tokens, most of them tiny. Add 1 to itself in float16, once for each token of Llama 3 8B:

# %% key="float-sum"
from llama_np import LLAMA_3_8B

ones = np.ones(LLAMA_3_8B.vocab_size, dtype=np.float16)
print("in float16, one by one:", f"{np.cumsum(ones)[-1]:,.0f}")
print("in float32:            ", f"{ones.sum(dtype=np.float32):,.0f}")

# %% [markdown] key="float-note"
# At 2048 the sum in float16 stands still: the next number it has is 2050, and 2049, half the way there,
# is rounded back. So `forward` gives logits in float32 at least, whatever the weights are stored in, and
# the softmax works on these. Meta's code, which computes in 16 bits, widens to float32 in two more
# places: for the mean in RMS norm (lesson 03) and for the softmax in attention.

# %% key="float-agree"
narrow = final[-1:].astype(np.float16) @ weights.output[:, :8].astype(np.float16)
wide = narrow.astype(np.result_type(narrow, np.float32), copy=False)  # as forward does
print(f"stored in {narrow.dtype}: the product is {narrow.dtype}, the logits are {wide.dtype}")

# %% [markdown] key="last-why"
# ## Step 5. Reading the prediction
#
# The last row says what comes next. Here are its ten most likely tokens. How much they hold together says
# how sure the model is.

# %% key="last"
last_probabilities = probabilities[-1]
top = np.argsort(-last_probabilities)[:10]
words = [tokenizer.token(i) for i in top]
show.bars(last_probabilities[top], words, "probability", title=f"after: {prompt}", lit=0)
print(f"these ten hold {last_probabilities[top].sum():.3f} of the probability")

# %% [markdown] key="every-note"
# Every other row is a prediction too: row `t` says what comes after token `t`, having seen only the
# tokens up to there. For these we know what really came: the next token of the sentence. It has a frame
# where it is among the ten. All rows were computed in one go, and in training all of them count at once;
# a Llama is not trained one token at a time.

# %% key="every"
ten = np.argsort(-probabilities, axis=-1)[:, :10]
came = np.append(ids[1:], -1)  # after the last token nothing came yet
show.written(
    np.take_along_axis(probabilities, ten, axis=-1),
    [[tokenizer.token(i) for i in row] for row in ten],
    ("after", "rank"),
    rows=labels,
    columns=[str(n) for n in range(1, 11)],
    marked=ten == came[:, None],
    title="the ten most likely tokens after each token, coloured by probability",
)

# %% [markdown] key="every-read"
# Read it row by row, and guess before you look. After `<|begin_of_text|>` the model knows nothing but
# that a text begins. The library has a function for the probability of what really came, as a logarithm,
# since the product of many probabilities soon becomes too small to be stored.

# %% key="every-agree"
from llama_np import log_probabilities

of_what_came = probabilities[np.arange(len(ids) - 1), ids[1:]]
agree(np.log(of_what_came), log_probabilities(weights, config, ids))
for label, i, p in zip(labels, ids[1:], of_what_came, strict=False):
    print(f"{p:.3f}  {tokenizer.token(i)} after {label}")

# %% [markdown] key="greedy-why"
# ## Step 6. Choosing
#
# The model's work ends with the probabilities. Choosing is our part. The simplest rule takes the most
# likely token: **greedy**. It gives the same text every time, often one that soon repeats itself.

# %% key="greedy"
from llama_np import greedy

agree(last.argmax(), greedy(last))
print(tokenizer.token(greedy(last)))

# %% [markdown] key="draw-why"
# The other way is to throw dice: **draw** each token as often as its probability says. By hand: lay the
# probabilities end to end on a line from 0 to 1, throw a random number between 0 and 1, and take the
# token on whose stretch it falls. `cumsum` gives the ends of the stretches. NumPy's `choice` does the
# same.

# %% key="draw-by-hand"
p = last_probabilities.astype(np.float64)
p /= p.sum()
ends = np.cumsum(p)
throw = np.random.default_rng(seed=7).random()
drawn = np.searchsorted(ends / ends[-1], throw, side="right")
print(f"thrown {throw:.3f}, drawn {tokenizer.token(drawn)}")
agree(drawn, np.random.default_rng(seed=7).choice(len(p), p=p))

# %% [markdown] key="temperature-why"
# ### Temperature
#
# Drawing has a fault: the many unlikely tokens have a little probability each, and together enough to
# spoil a text now and then. One remedy is to divide all logits by a number $\tau$, the **temperature**,
# before the softmax:
#
# $$p_j = \frac{e^{z_j / \tau}}{\sum_i e^{z_i / \tau}}$$
#
# Below 1 it makes differences larger, above 1 smaller. The picture shows the same ten tokens at four
# temperatures.
#
# **Predict before you run:** where does it go for temperatures near 0, and for very high ones?

# %% key="temperature-by-hand"
panels = {f"temperature {t}": softmax(last / t)[top] for t in (0.5, 1.0, 1.5, 3.0)}
show.bar_panels(panels, words, "probability")

# %% key="temperature-agree"
from llama_np.sampling import apply_temperature

agree(last / 0.5, apply_temperature(last, 0.5))
for t in (0.05, 1, 1000):
    p = softmax(apply_temperature(last.astype(np.float64), t))
    print(
        f"temperature {t:7}: the likeliest token has {p.max():.4f}, 1/V is {1 / config.vocab_size:.4f}"
    )

# %% [markdown] key="temperature-answer"
# <details><summary>Answer</summary>
#
# Near 0 the largest logit wins by any margin: the choice becomes greedy. (0 itself would be a division by
# zero; the library takes it as greedy.) For high temperatures all differences vanish, and every token of
# the vocabulary is as likely as any other: 1/V. The order of the tokens never changes.
#
# </details>

# %% [markdown] key="top-k-why"
# ### Top-k
#
# The second remedy cuts: keep the `k` most likely tokens, set all others to zero, and divide by what is
# left so that the sum is one again ([Fan et al. 2018](https://arxiv.org/abs/1805.04833), section 5.4).

# %% key="top-k-by-hand"
k = 4
kept = np.argsort(-last_probabilities, kind="stable")[:k]
by_top_k = np.zeros_like(last_probabilities)
by_top_k[kept] = last_probabilities[kept] / last_probabilities[kept].sum()

# %% key="top-k-named"
from llama_np import keep_top_k

source(keep_top_k)

# %% key="top-k-agree"
agree(by_top_k, keep_top_k(last_probabilities, k))

# %% [markdown] key="top-p-why"
# ### Top-p
#
# How large should `k` be? After `Once upon a` there is one good answer, after `a girl named` there are
# many. **Top-p** cuts by probability instead: keep the most likely tokens until together they hold more
# than `p`. The token with which they pass `p` stays
# ([Holtzman et al. 2019](https://arxiv.org/abs/1904.09751), section 3.1, with "at least" for "more than";
# the library follows
# [Meta's code](https://github.com/meta-llama/llama3/blob/main/llama/generation.py)). In other words, a
# token goes only if those before it already hold more than `p`. By hand on four numbers, then on ours:


# %% key="top-p-by-hand"
def top_p_by_hand(probabilities, p):
    order = np.argsort(-probabilities, kind="stable")
    before = np.cumsum(probabilities[order]) - probabilities[order]  # held by those before
    result = np.zeros_like(probabilities)
    result[order[before <= p]] = probabilities[order[before <= p]]
    return result / result.sum()


four = np.array([0.5, 0.3, 0.15, 0.05])
for p in (0.9, 0.5, 0.4):
    print(p, "->", top_p_by_hand(four, p).round(4))

# %% key="top-p-named"
from llama_np import keep_top_p

source(keep_top_p)

# %% key="top-p-agree"
by_top_p = top_p_by_hand(last_probabilities, 0.8)
agree(by_top_p, keep_top_p(last_probabilities, 0.8))

# %% [markdown] key="compare-note"
# All four on the same logits, side by side. Temperature moves probability between all tokens. The two
# cuts leave the kept tokens in the same proportions to one another and share out what the others had.

# %% key="compare"
by_greedy = np.zeros_like(last)
by_greedy[greedy(last)] = 1
panels = {
    "greedy": by_greedy[top],
    "temperature 0.7": softmax(last / 0.7)[top],
    f"top-k {k}": by_top_k[top],
    "top-p 0.8": by_top_p[top],
}
show.bar_panels(panels, words, "probability")

# %% [markdown] key="how-many-try"
# **Predict before you run:** top-k keeps the same number of tokens everywhere. How many does top-p 0.9
# keep after each token of the sentence? Where are the fewest?

# %% key="how-many"
n_kept = (keep_top_p(probabilities, 0.9) > 0).sum(axis=-1)
for label, n in zip(labels, n_kept, strict=True):
    print(f"{n:5}  after {label}")

# %% [markdown] key="how-many-answer"
# <details><summary>Answer</summary>
#
# Where a trained model is sure, one or two tokens hold 0.9 of the probability, and no others are kept.
# Where it is not, there can be dozens. So top-p follows the model's own doubt. Change 0.9 to 0.99 and see
# how the long tail comes in.
#
# </details>

# %% [markdown] key="sample-note"
# The library's `sample` puts the parts together: temperature first, then top-k, then top-p, then the throw. What
# it throws at is made here. The order matters: a high temperature before top-p lets more tokens through.

# %% key="sample-named"
from llama_np.sampling import probabilities_of

source(probabilities_of)

# %% [markdown] key="last-only-why"
# ## Step 7. Only the last row
#
# To write the next token we have used one row of the logits. The other rows predict tokens that we already
# have. Neither the last norm nor the output matrix mixes rows: each row is computed by itself. So when
# generating, all but the last row can be left out **before** the product.

# %% key="last-only-by-hand"
last_final = rms_norm(stream[-1:], weights.norm, config.norm_eps)
last_by_hand = last_final @ weights.output  # 1 D @ D V -> 1 V
agree(last_by_hand, logits[-1:])
agree(last_by_hand, forward(weights, config, ids, last_only=True))

# %% [markdown] key="last-only-cost-note"
# What it saves, for our sentence and for a prompt that fills the context of Llama 3 8B:


# %% key="last-only-cost"
def cost(name, c, T):
    one_row, memory = c.dim * c.vocab_size, T * c.vocab_size * 4 / 2**20
    return [name, f"{T:,}", f"{T * one_row:,}", f"{one_row:,}", f"{memory:,.2f}"]


ours = cost("this model, our sentence", config, len(ids))
large = cost("Llama 3 8B, full context", LLAMA_3_8B, LLAMA_3_8B.context_length)
header = ["", "T", "multiplications", "for the last row only", "all logits, in MiB"]
table(header, [ours, large])

# %% [markdown] key="last-only-blocks"
# **Predict before you run:** can we go further and leave out the earlier rows in the blocks too? Below,
# only the last token is given to the model.

# %% key="last-only-blocks-cell"
alone = forward(weights, config, ids[-1:])[-1]
print("with the whole sentence:", *(tokenizer.token(i) for i in np.argsort(-last)[:5]))
print("with its last token only:", *(tokenizer.token(i) for i in np.argsort(-alone)[:5]))

# %% [markdown] key="last-only-answer"
# <details><summary>Answer</summary>
#
# No. In the blocks the last row reads from the earlier ones through attention, so their keys and values
# are needed. They need not be computed again for every new token, though: they do not change. To keep
# them is the subject of lesson 11.
#
# </details>

# %% [markdown] key="shapes-note"
# ## What you have seen

# %% key="shapes"
arrays = {
    "stream after the last block": "T D",
    "final, normalised": "T D",
    "output matrix": "D V",
    "logits": "T V",
    "probabilities": "T V",
    "last row of the logits": "V",
}
shapes(arrays, config, n_tokens=len(ids))

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>The logit of a token is 11.3. How likely is the token?</summary>
#
# That cannot be said. It depends on the logits of all the other tokens.
#
# </details>
#
# <details><summary>Can a temperature change which token is the likeliest?</summary>
#
# No. Dividing all logits by the same positive number keeps their order. It changes how often the
# likeliest one is drawn.
#
# </details>
#
# <details><summary>Top-p with p = 0.5, and the likeliest token has probability 0.7. How many are kept?</summary>
#
# One. The token that crosses `p` stays, so at least one token always does.
#
# </details>
#
# <details><summary>Does a probability of 0.9 for a token mean that it is true with 0.9?</summary>
#
# No. It says how texts like those in the training data go on. A frequent error can be very likely.
#
# </details>
#
# <details><summary>Why does training use all rows of the logits, and writing only the last?</summary>
#
# In training the whole text is known, so every row can be compared with the token that came, and each is
# one more thing to learn from. When writing, the rows before the last predict what is already there.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# One token is chosen and put behind the text, and the model has to read the longer text. Almost all of
# that it has computed before. Lesson 11, KV cache, shows how it gets away with computing one row.
