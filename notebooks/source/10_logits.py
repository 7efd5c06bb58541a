# %% [markdown] key="title"
# # 10 Logits: from the last row to a word
#
# After `Once upon a time, there was a little girl named` this model has the same opinion every time about what should
# come next, since nothing inside a Llama is left to chance. Yet from that one opinion come stories that plod, stories
# that charm, and stories that are raving mad. Where does the difference come in, and is there a setting without either fault?
#
# The blocks (lesson [09](09_32_blocks.ipynb)) leave the **residual stream**, a row of `D` numbers for each of
# the `T` tokens. This page turns its last row into a score for each of the `V` tokens of the vocabulary, the
# scores into probabilities, and the probabilities into one token. It takes about 20 minutes, and
# [exercise 10](exercises/10_logits.ipynb) goes with it.

# %% key="map"
import numpy as np
from classroom import agree, show, table

from llama_np import forward, record
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["norm", "output", "next"])

# %% [markdown] key="temperatures-try"
# ## One beginning, five temperatures
#
# The setting is called **temperature**; step 5 says what it does to the numbers. Here the same model goes on
# from the same beginning at five of them, from 0, the most cautious, to 2. Which of the five would you read to a child?

# %% key="temperatures"
from llama_np import Sampling, generate

prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
stop = tokenizer.stop_ids
texts = {}
for temperature in (0, 0.3, 0.8, 1.5, 2):
    how, rng = Sampling(temperature), np.random.default_rng(0)
    new = generate(weights, config, ids, 60, how, rng=rng, stop_tokens=stop)
    texts[temperature] = tokenizer.decode(list(new))
    print(f"[{temperature}]{texts[temperature]}\n")

# %% [markdown] key="temperatures-read"
# The weights were the same in all five runs. At 0 the sentences are sound, but stale. As the
# temperature rises, odd turns and broken words slip in, and at 2 hardly anything else is left. One text can deceive; the
# last part of this page counts both faults on many.

# %% [markdown] key="norm-why"
# ## Step 1. A score for every token
#
# Block after block has added to the stream, so that its rows have grown, and not all to the same length. One more RMS
# norm (lesson [03](03_rms_norm.ipynb)), with weights of its own, brings them to one size. Then comes the **output
# matrix**, which holds one column of `D` numbers for every token of the vocabulary. The score of a token, its
# **logit**, is the dot product of the row with that column: with $h$ a row after the norm and $W$ the output matrix,
#
# $$z_j = \sum_{d} h_d \, W_{d,j} = |h| \; |W_j| \; \cos(h, W_j)$$
#
# So the logit grows with the agreement of the directions, and with the length of the column. (In some Llamas the output matrix is the embedding, transposed; lesson [02](02_embedding.ipynb).)

# %% key="output-by-hand"
trace = {}
forward(weights, config, ids, tap=record(trace, only={"resid_out", "logits"}))
labels = [tokenizer.token(i) for i in ids]
stream = trace[f"blocks.{config.n_layers - 1}.resid_out"]  # T D
size = np.sqrt((stream**2).mean(axis=-1, keepdims=True) + config.norm_eps)  # T 1
final = stream / size * weights.norm
logits = final @ weights.output  # T D @ D V -> T V
agree(logits, trace["logits"])

last = logits[-1]  # V
best = np.argsort(-last)[:8]
length = np.array([np.linalg.norm(weights.output[:, j]) for j in range(config.vocab_size)])
cosine = last / length / np.linalg.norm(final[-1])
print("size of the rows before the norm:", size.ravel().round(1))
rows = [[f"`{tokenizer.token(j)}`", *(f"{a[j]:.2f}" for a in (last, cosine, length))] for j in best]
table(["token", "logit", "cosine with the row", "length of its column"], rows)

# %% [markdown] key="output-read"
# `{{ tokenizer.token(best[0]) }}` leads because of its direction: a cosine of {{ cosine[best[0]] :.2f }}, where
# the median of all {{ config.vocab_size :, }} tokens is {{ np.median(cosine) :.2f }}.
# {{ claim: cosine[best[0]] > np.median(cosine) + 0.1 }}
# Columns differ in length from {{ length.min() :.2f }} to {{ length.max() :.2f }}, and a long one is not simply an
# advantage: it multiplies the cosine whatever its sign, so that it helps a token to which the row points and hurts one
# from which it points away, and here the row points away from {{ (last < 0).mean() :.0% }} of all tokens.
# {{ claim: 0 < (last < 0).mean() < 1 }}
#
# The line above the table shows what the norm is for. Without it the row after
# `{{ labels[int(size.argmax())] }}`, {{ size.max() / size.min() :.1f }} times as large as the smallest, would get
# scores that are as many times larger, and step 5 shows that the model would sound surer without knowing more.

# %% [markdown] key="softmax-why"
# ## Step 2. Scores to probabilities
#
# Logits have any size and sign. A choice needs numbers that are not negative and sum to one, and the softmax
# known from attention makes them:
#
# $$p_j = \frac{e^{z_j}}{\sum_{i=1}^{V} e^{z_i}} \qquad\text{so that}\qquad \frac{p_i}{p_j} = e^{z_i - z_j}$$
#
# The second form is the one to remember: a **difference** of two logits says how many times likelier one
# token is than the other.

# %% key="softmax-by-hand"
from llama_np import softmax

powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
probabilities = powers / powers.sum(axis=-1, keepdims=True)  # T V
agree(probabilities, softmax(logits))
first, second = best[:2]
lead = last[first] - last[second]
print(f"a lead of {lead:.2f} is a factor of {np.exp(lead):.1f}")

# %% [markdown] key="shift-why"
# The code subtracts the largest logit first, which the formula does not.
#
# **Predict before you run:** what becomes of the probabilities if 5 is added to all logits? If all are
# doubled? And what would the plain formula make of a logit of 1000?

# %% key="shift"
for name, z in (("as they are", last), ("plus 5", last + 5), ("doubled", last * 2)):
    print(f"{name:12}", softmax(z)[best[:3]].round(3))
with np.errstate(over="ignore", invalid="ignore"):
    large = np.array([1000.0, 999.0])
    print(
        "plain formula", np.exp(large) / np.exp(large).sum(), "  softmax", softmax(large).round(3)
    )

# %% [markdown] key="shift-answer"
# <details><summary>Answer</summary>
#
# Adding 5 changes nothing, since only differences count. Nobody can say whether a logit of
# {{ last[first] :.1f }} is much. So the largest may be subtracted, and must be,
# because $e^{1000}$ counts as infinite in a computer, and infinity divided by infinity is no number. Doubling doubles every lead: `{{ tokenizer.token(first) }}` rises from
# {{ softmax(last)[first] :.2f }} to {{ softmax(2 * last)[first] :.2f }}. Remember that one.
# {{ claim: softmax(2 * last)[first] > softmax(last)[first] }}
#
# </details>

# %% [markdown] key="every-why"
# ## Step 3. Reading the predictions
#
# Row `t` says what may come after token `t`, having seen nothing later. Here are the six likeliest tokens after
# each token of the sentence, with a frame around the one that really came.

# %% key="every"
six = np.argsort(-probabilities, axis=-1)[:, :6]
came = np.append(ids[1:], -1)  # after the last token nothing has come yet
of_what_came = probabilities[np.arange(len(ids) - 1), ids[1:]]
show.written(
    np.take_along_axis(probabilities, six, axis=-1),
    [[tokenizer.token(i) for i in row] for row in six],
    ("after", "rank"),
    rows=labels,
    columns=[str(n) for n in range(1, 7)],
    marked=six == came[:, None],
    title="the six likeliest tokens after each token, coloured by probability",
)

# %% [markdown] key="every-read"
# {{ claim: of_what_came.max() > 0.9 }}
# `{{ labels[int(of_what_came.argmax()) + 1] }}` was all but certain when it came, with
# {{ of_what_came.max() :.3f }}; the largest surprise was `{{ labels[int(of_what_came.argmin()) + 1] }}` with
# {{ of_what_came.min() :.3f }}. In the last row, the one that nothing has answered yet, `{{ tokenizer.token(first) }}` has {{ probabilities[-1, first] :.2f }} and the
# six together {{ probabilities[-1, six[-1]].sum() :.2f }}.
#
# To write the next token only that last row is needed, and since neither the norm nor the output matrix mixes
# rows, the others can be dropped **before** the product, which saves Llama 3 8B a matrix of 8,192 × 128,256 logits.
# Before the last block none can be dropped, since in each block the last row reads their keys and values; in the last
# block these two are all that is needed of them. Lesson [11](11_kv_cache.ipynb) keeps them.

# %% key="last-only-by-hand"
from llama_np import rms_norm

by_hand = rms_norm(stream[-1:], weights.norm, config.norm_eps) @ weights.output  # 1 D @ D V -> 1 V
agree(by_hand, forward(weights, config, ids, last_only=True))


# %% [markdown] key="greedy-why"
# ## Step 4. Choosing
#
# The model's work ends with the probabilities, and the choice is ours. The simplest rule always takes the
# likeliest token: it is **greedy**, and it is what a temperature of 0 means. How good does a text become? We take stories that the doll-house has told, cut each after its first 12 tokens,
# and let the model go on greedily for 120 more. `repeated` gives the share of a text's runs of four tokens that it has
# written before.
#
# **Predict before you run:** what does the text look like that repeats most?

# %% key="greedy"
from collections import Counter

from llama_np.sampling import generate_batch
from weights_tools.training.heroes import read_stories

stories = read_stories()
told = [tokenizer.encode(story, bos=True) for story in stories[:40]]
n_texts = 30 if config.count_parameters() < 10**8 else 6  # larger models take their time
chosen = list({tuple(each[:12]): each for each in told}.values())[:n_texts]  # all begin differently
beginnings, endings = [each[:12] for each in chosen], [each[12:132] for each in chosen]


def runs_of(ids, n=4):
    return [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]


def repeated(ids):
    runs = runs_of(ids)
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


greedy = generate_batch(weights, config, beginnings, 120, Sampling(0), stop_tokens=stop)
shares = np.array([repeated(text) for text in greedy])
worst = int(shares.argmax())
longest, times = [], 0
n, again = 4, Counter(runs_of(greedy[worst])).most_common(1)
while again and again[0][1] > 1:  # the longest run that it writes twice
    longest, times = again[0]
    n, again = n + 1, Counter(runs_of(greedy[worst], n + 1)).most_common(1)
loop = " ".join(tokenizer.decode(list(longest)).split()).strip(",. ")
print(tokenizer.decode(beginnings[worst][1:]) + tokenizer.decode(greedy[worst]))
as_told = np.mean([repeated(text) for text in endings])
print(f"\nrepeated: {shares.max():.0%} of its runs; the median text {np.median(shares):.0%}")

# %% [markdown] key="greedy-read"
# The likeliest tokens make a poor text. This one writes *{{ loop }}* {{ "twice" if times == 2 else f"{times} times" }}, word for word, and
# {{ shares.max() :.0% }} of its runs of four tokens had been written before. It is the worst of {{ len(shares) }},
# but on average they repeat {{ shares.mean() :.0% }}, where the stories as they were told repeat {{ as_told :.1% }}.
# {{ claim: len(longest) > 8 and shares.max() > 0.15 and shares.mean() > 2 * as_told }}
# Larger models fall into loops as well, and in them each repetition makes the next one likelier
# ([Xu et al. 2022](https://arxiv.org/abs/2206.02369)).

# %% [markdown] key="draw-why"
# ### Drawing
#
# The other rule leaves it to chance. Lay the probabilities end to end on a line from 0 to 1, here the likeliest
# first, draw a random number, and take the token on whose stretch it falls. `cumsum` gives the ends of the
# stretches. (The library lays them in the order of the ids, which changes no chance.)

# %% key="draw-by-hand"
order = np.argsort(-last)
p = softmax(last[order].astype(np.float64))
ends = np.cumsum(p)
drawn = np.random.default_rng(seed=4).random()
place = np.searchsorted(ends / ends[-1], drawn, side="right")
agree(place, np.random.default_rng(seed=4).choice(len(p), p=p))
ten = order[:10]
names = [*(tokenizer.token(i) for i in ten), "all others"]
show.sampling_line(names, np.append(p[:10], p[10:].sum()), drawn)

# %% [markdown] key="draw-read"
# `{{ names[0] }}` covers {{ p[0] :.0% }} of the line and is hit most often. The number drawn with this seed,
# {{ drawn :.3f }}, falls on `{{ tokenizer.token(order[place]) }}`, which has {{ p[place] :.1% }}. The stretch at the
# right end shows the danger: it belongs to {{ len(p) - 10 :, }} tokens, of which half have less than {{ np.median(p[10:]) :.0e }} each, and all together
# {{ p[10:].sum() :.1% }}.
# {{ claim: p[10:].sum() > 0.005 }}

# %% [markdown] key="temperature-why"
# ## Step 5. Temperature
#
# One remedy is to divide all logits by a number $\tau$, the **temperature**, before the softmax:
#
# $$p_j = \frac{e^{z_j / \tau}}{\sum_i e^{z_i / \tau}}$$
#
# Below 1 it stretches every lead, above 1 it shrinks them. Doubling the logits in step 2 was a temperature of
# 0.5, and a row of twice the size, which the norm prevents, would be the same.
#
# **Predict before you run:** who gets the probability that the leader loses at high temperatures?

# %% key="temperature-by-hand"
from llama_np.sampling import apply_temperature

agree(last / 0.5, apply_temperature(last, 0.5))
at = {t: softmax(last.astype(np.float64) / t) for t in (0.05, 0.3, 0.8, 1, 1.5, 2, 1000)}
panels = {
    f"temperature {t}": np.append(at[t][ten], 1 - at[t][ten].sum()) for t in (0.3, 0.8, 1.5, 2)
}
show.bar_panels(panels, names, "probability")

# %% [markdown] key="temperature-read"
# From left to right the leader gives its probability away, and the lowest bar shows who gets it. At 0.3 the
# {{ config.vocab_size - 10 :, }} tokens behind the first ten hold {{ 1 - at[0.3][ten].sum() :.0e }} together,
# at 0.8 {{ 1 - at[0.8][ten].sum() :.2f }}, and at 2 {{ 1 - at[2][ten].sum() :.2f }}.
# {{ claim: 1 - at[0.3][ten].sum() < 1 - at[0.8][ten].sum() < 1 - at[2][ten].sum() }}
# There are the mad words of the opening: no single bad token has become likely, but a crowd in which each is a
# little likely now gets more than half of the draws. {{ claim: 1 - at[2][ten].sum() > 0.5 }}
# Near 0 the choice becomes greedy: at 0.05 `{{ tokenizer.token(first) }}` has {{ at[0.05][first] :.4f }}. At 1000 it has
# {{ at[1000][first] :.4f }}, hardly more than one in {{ config.vocab_size :, }}.

# %% [markdown] key="own-try"
# ### A beginning of your own
#
# How much a temperature does depends on the text before it. In a live notebook the next cell has a field for a
# beginning of your own and a slider for the temperature. Will `Once upon a` be as shaken by a temperature of 2 as our
# sentence was, whose leader has kept {{ at[2][first] :.2f }}?

# %% key="own"
from classroom import explore


def next_token(sentence, temperature=2.0):
    ids = np.array(tokenizer.encode(sentence, bos=True))
    z = forward(weights, config, ids, last_only=True)[0]
    p = softmax(z.astype(np.float64) / temperature)
    ten = np.argsort(-z)[:10]
    names = [*(tokenizer.token(i) for i in ten), "all others"]
    title = f"after {sentence[-40:]!r} at temperature {temperature:.1f}"
    show.bars(np.append(p[ten], 1 - p[ten].sum()), names, "probability", title=title)
    how, rng = Sampling(temperature), np.random.default_rng(0)
    print(sentence + tokenizer.decode(list(generate(weights, config, ids, 20, how, rng=rng))))


explore(next_token, sentence="Once upon a", temperature=(0.1, 2.0))
once = forward(weights, config, tokenizer.encode("Once upon a", bos=True), last_only=True)[0]
p_once = softmax(once.astype(np.float64) / 2)

# %% [markdown] key="own-read"
# It keeps {{ p_once.max() :.2f }}. There the model has hardly seen another way to go on, so that
# `{{ tokenizer.token(int(once.argmax())) }}` leads by {{ np.diff(np.sort(once))[-1] :.1f }} where
# `{{ tokenizer.token(first) }}` leads by {{ lead :.1f }}, and half of a large lead is still a lead. Can you
# find a beginning after which even 0.3 leaves the model in doubt?
# {{ claim: p_once.max() > 2 * at[2][first] }}

# %% [markdown] key="top-k-why"
# ## Step 6. Cutting the tail
#
# The second remedy leaves the leads alone and cuts the crowd off. **Top-k** keeps the `k` likeliest tokens,
# sets all others to zero, and divides by what is left so that the sum is one again
# ([Fan et al. 2018](https://arxiv.org/abs/1805.04833), section 5.4).

# %% key="top-k-by-hand"
from llama_np import keep_top_k

p, k = softmax(last.astype(np.float64)), 4  # V, in the order of the ids again
kept = np.argsort(-p, kind="stable")[:k]
by_top_k = np.zeros_like(p)
by_top_k[kept] = p[kept] / p[kept].sum()
agree(by_top_k, keep_top_k(p, k))

# %% [markdown] key="top-p-why"
# How large should `k` be? After `Once upon a` there is one good answer, after ` named` there are many.
# **Top-p** therefore cuts by probability: it goes down from the likeliest token and drops a token only if
# those before it already hold more than `p`. The one with which they pass `p` stays
# ([Holtzman et al. 2019](https://arxiv.org/abs/1904.09751), section 3.1, with "at least" for "more than"; the
# library follows [Meta's code](https://github.com/meta-llama/llama3/blob/main/llama/generation.py)).


# %% key="top-p-by-hand"
from llama_np import keep_top_p


def top_p_by_hand(probabilities, p):
    order = np.argsort(-probabilities, kind="stable")
    before = np.cumsum(probabilities[order]) - probabilities[order]  # held by those before
    result = np.zeros_like(probabilities)
    result[order[before <= p]] = probabilities[order[before <= p]]
    return result / result.sum()


print("0.9 ->", top_p_by_hand(np.array([0.5, 0.3, 0.15, 0.05]), 0.9).round(4))
print("0.5 ->", top_p_by_hand(np.array([0.5, 0.3, 0.15, 0.05]), 0.5).round(4))
agree(top_p_by_hand(p, 0.8), keep_top_p(p, 0.8))

# %% [markdown] key="how-many-try"
# With `p = 0.5` the second token stays, since the first alone holds no *more* than half. Here
# is how many tokens top-p 0.9 keeps after each token of the sentence.

# %% key="how-many"
n_kept = (keep_top_p(probabilities, 0.9) > 0).sum(axis=-1)
show.tokens(labels, n_kept.tolist())
again = [t for t, label in enumerate(labels) if labels.count(label) > 1]  # tokens that come twice

# %% [markdown] key="how-many-read"
# Top-p keeps {{ int(n_kept[again[0]]) }} after the first `{{ labels[again[0]] }}`, where the phrase is fixed, and {{ int(n_kept[again[1]]) }} after the
# second, where anything may come: the same token, and what counts is all that stands before it. No single `k` does both.
# {{ claim: len(again) == 2 and n_kept[again[1]] > 10 * n_kept[again[0]] }}
# The library's `sample` goes through temperature, top-k, top-p and draw in this order, which matters, since a high
# temperature lets more tokens through the cut.

# %% [markdown] key="experiment"
# ## Is there a setting without either fault?
#
# The cautious texts repeated themselves, and the bold one fell apart. Both faults can be counted: the repeated runs, and
# the words that occur in none of the other stories that the doll-house has told. (A good word that those happened not to
# need counts as well.) Beside the counts stand those of our {{ len(chosen) }} stories as they were told. They show what can be had, and are no fair
# control, because they were drawn at a temperature of 0.7 and then *sorted*: whatever repeated a sentence, or used a word that hardly any
# other story uses, was left out. We let the model go on from the same
# beginnings at seven temperatures, with top-p 0.9 and without. (A model with billions of weights takes very long even for
# six texts: choose fewer.) Behind ± stands the standard error of a mean.
#
# **Predict before you run:** is there a temperature without either fault? And against which of the two does
# top-p help?

# %% key="experiment-measure"
import re


def words(text):
    return re.findall("[a-z]+", text.lower())


known = {word for story in stories[len(told) :] for word in words(story)}


def measure(texts):
    """For each text the share of repeated runs, and of words that the other stories do not use."""
    said = [words(tokenizer.decode(text)) for text in texts]
    strange = [np.mean([word not in known for word in each] or [0]) for each in said]
    return np.array([[repeated(text) for text in texts], strange])


def write(temperature, top_p):
    how, rng = Sampling(temperature, top_p=top_p), np.random.default_rng(1)
    return generate_batch(weights, config, beginnings, 120, how, rng=rng, stop_tokens=stop)


temperatures = (0, 0.3, 0.6, 0.8, 1, 1.5, 2)
found = {(t, p): measure(write(t, p)) for p in (None, 0.9) for t in temperatures}  # each 2 n_texts
control = measure(endings)

# %% key="experiment-picture"
mean = {p: np.array([found[t, p].mean(axis=-1) for t in temperatures]) for p in (None, 0.9)}
lines = {"repeated": mean[None][:, 0], "repeated, top-p 0.9": mean[0.9][:, 0]}
lines |= {"strange words": mean[None][:, 1], "strange words, top-p 0.9": mean[0.9][:, 1]}
show.curves(
    np.array(temperatures),
    lines,
    ("temperature", "share"),
    title=f"two faults, mean of {len(chosen)} texts",
)


def with_error(values):
    return f"{values.mean():.1%} ± {values.std() / np.sqrt(values.size):.1%}"


mild = [t for t in temperatures if 0.6 <= t <= 1]
tamed = {p: np.hstack([found[t, p] for t in mild]) for p in (None, 0.9)}  # 2 3*n_texts
price = {each: (two - control).sum(axis=0) for each, two in found.items()}  # beyond the stories
cool = [price[t, p].mean() for t, p in price if t <= 1]
hot = [price[t, p].mean() for t, p in price if t > 1]
print("as told: repeated", with_error(control[0]), " strange", with_error(control[1]))

# %% [markdown] key="experiment-read"
# The two faults cross. At 0 the texts repeat {{ with_error(found[0, None][0]) }} of their runs; at 2 next to nothing, but
# {{ found[2, None][1].mean() :.0% }} of their words occur in none of the other stories, which together use
# {{ len(known) :, }} different ones. The stories as they were told repeat {{ control[0].mean() :.1% }}, and {{ control[1].mean() :.1% }} of their words are strange.
# {{ claim: found[0, None][0].mean() > 2 * control[0].mean() }}
# {{ claim: found[2, None][1].mean() > 0.15 and found[2, None][0].mean() < 0.02 }}
#
# **Top-p seems to trade one fault for the other**, and not much of either. At a temperature of 1 the strange words go from
# {{ with_error(found[1, None][1]) }} to {{ with_error(found[1, 0.9][1]) }}, because the crowd behind the cut is gone; at 0.6 and 0.8, where the crowd is small
# already, the picture shows hardly any change. The repeated runs of the three together rise from {{ with_error(tamed[None][0]) }} to
# {{ with_error(tamed[0.9][0]) }}, since what is taken from the crowd goes to the leaders. Text by text these differences are
# {{ with_error(found[1, None][1] - found[1, 0.9][1]) }} and {{ with_error(tamed[0.9][0] - tamed[None][0]) }}, about twice their errors and no more, so take the
# direction from here and not the size. Nor is it a cure for a high temperature: at 1.5
# there are still {{ found[1.5, 0.9][1].mean() :.0% }} strange words, of {{ found[1.5, None][1].mean() :.0% }} without it. {{ claim: found[1.5, 0.9][1].mean() > 2 * tamed[None][1].mean() }}
# {{ claim: found[1, 0.9][1].mean() < found[1, None][1].mean() and tamed[0.9][0].mean() > tamed[None][0].mean() }}
#
# So none of these settings is without either fault. Add the two up, less what the sorted stories have: all settings up to a temperature of
# 1 lie between {{ min(cool) :.2f }} and {{ max(cool) :.2f }}, with or without top-p, and all above it at {{ min(hot) :.2f }} or more.
# The counts rule out the high temperatures, and among the others they leave you to choose: a loop now and then, or
# a strange word. A way to have neither is the one by which our stories were made, to write more than is needed and to sort.
# {{ claim: max(cool) < min(hot) }}
# Meta's code for Llama 3 takes 0.6, and 0.9 for top-p, as its [defaults](https://github.com/meta-llama/llama3/blob/main/llama/generation.py).
#
# No count of ours notices whether a text makes sense.

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>Can a temperature change which token is the likeliest? And which one is drawn, with the same random number?</summary>
#
# Not the first, since dividing by a positive number keeps the order. The second, yes: the stretches on the
# line change their widths, so that the same number falls elsewhere.
#
# </details>
#
# <details><summary>Does a probability of 0.9 mean that the token is true with 0.9?</summary>
#
# No. It says how texts like those in the training data go on.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# In [exercise 10](exercises/10_logits.ipynb) you write the rules yourself, and work out a temperature from
# nothing but the texts that were written at it. Lesson [11, the KV cache](11_kv_cache.ipynb), puts the new token
# behind the text and shows how the model gets away with computing one row for it. Beside this page:
# [How to generate text](https://huggingface.co/blog/how-to-generate) by Patrick von Platen, and
# [Transformer Explainer](https://poloclub.github.io/transformer-explainer/), where a slider sets the
# temperature of GPT-2 in the browser.
