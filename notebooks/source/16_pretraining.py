# %% [markdown] key="title"
# # 16 Pre-training: from random numbers to stories
#
# *Once upon a time, there was a little girl named*: the model that ships with this course goes on with a name, and
# one whose weights have just been drawn at random goes on with noise. Between the two lies a single exercise,
# repeated millions of times: guess the next token. What does a model learn from it first, and when does it know more
# than a table that counts which word follows which?
#
# To find out, you train a small Llama from nothing, in about a minute, and hold its guesses against three tables of
# counts. Then you try the numbers of its recipe, among them one that is copied everywhere and does not suit a model as
# narrow as this, and one whose usual explanation does not hold. And you find out what it is in Adam that a Llama needs.
#
# Before this page: [lesson 15](15_backward.ipynb), which makes the gradients. Beside it: [exercise
# 16](exercises/16_pretraining.ipynb).

# %% key="setup"
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
from classroom import agree, show, table

from llama_np import Sampling, forward, generate, log_softmax, softmax
from llama_np.training.backward import loss_and_gradients
from weights_tools import DOLL_HOUSE, load_model
from weights_tools.training.corpus import STORIES, Stream, encode_document, read_corpus

house = load_model(DOLL_HOUSE)
tokenizer, V = house.tokenizer, house.config.vocab_size
corpus = read_corpus(STORIES)
documents = [np.array(encode_document(tokenizer, story)) for story in corpus.train]
held_out = [np.array(encode_document(tokenizer, story)) for story in corpus.held_out]
n_tokens = sum(map(len, documents))
print(f"{len(documents)} stories to learn from, {n_tokens:,} tokens; {len(held_out)} held out")
print(corpus.train[0][:230], "...")

# %% [markdown] key="text-why"
# ## Step 1. Where the text comes from
#
# These stories were told by the doll-house, so they lose their thread.
# The last {{ len(held_out) }} are **held out**, which means that no model on this page learns from them. A large model
# reads the web, where most of the work is throwing things away: menus, errors and copies. About 15 trillion tokens were
# left for Llama 3 ([Llama team 2024](https://arxiv.org/abs/2407.21783), section 3.1).

# %% [markdown] key="count-why"
# ## Step 2. Why guessing teaches anything
#
# The cheapest way to guess is to count what came after the same tokens before, as in [lesson
# 13](13_gpt2_to_llama.ipynb). A **unigram** table looks at nothing and knows only how frequent each token is, a
# **bigram** table knows the last token, and a **trigram** table the last two. Where a past was seen $c$ times, with
# $u$ different tokens behind it, the shorter table gets the share $u / (c + u)$, because a past that has been followed
# by many different tokens is more likely to be followed by a new one.


# %% key="count"
from weights_tools.training.ablation.ngrams import ngram_losses

all_tokens = np.concatenate(documents)
followers = defaultdict(list)  # the last 0, 1 or 2 tokens: all tokens that came after them
for t, token in enumerate(all_tokens.tolist()):
    for n in range(min(t, 2) + 1):
        followers[tuple(all_tokens[t - n : t].tolist())].append(token)
followers = {past: np.array(tokens) for past, tokens in followers.items()}


def by_counting(past, n):
    """Probabilities of the next token, by what followed the last n tokens."""
    if n < 0:
        return np.full(V, 1 / V)
    counted = np.bincount(followers.get(tuple(past[len(past) - n :]), []), minlength=V)
    different = np.count_nonzero(counted)
    if not different:
        return by_counting(past, n - 1)
    return (counted + different * by_counting(past, n - 1)) / (counted.sum() + different)


story = held_out[0].tolist()
surprises = [-np.log(by_counting(story[:t], 2)[story[t]]) for t in range(2, len(story))]
agree(surprises, ngram_losses(all_tokens, held_out[0], 2, V))

# %% key="texts"
texts = {
    "Once upon a": " time",
    "There was a boy named Tim. He had a dog. One day,": " Tim",
    "There was a boy named Ben. He had a dog. One day,": " Tim",
    "The opposite of hot is": " cold",
}
lines = []
for text, right in texts.items():
    past, (token, *_) = tokenizer.encode(text, bos=True), tokenizer.encode(right)
    p = softmax(forward(house.weights, house.config, np.array(past))[-1])[token]
    guesses = [by_counting(past, 1)[token], by_counting(past, 2)[token], p]
    lines.append([text, f"`{right}`", *(f"{g:.3f}" for g in guesses)])
table(["text", "next", "bigrams", "trigrams", "doll-house"], lines)

# %% [markdown] key="count-read"
# {{ claim: float(lines[0][3]) > 0.5 and all(float(lines[n][4]) > 5 * float(lines[n][3]) for n in (1, 3)) }}
# {{ claim: float(lines[2][4]) < 0.1 * float(lines[1][4]) and lines[1][2:4] == lines[2][2:4] }}
# Two tokens are enough for the first line. The second and third differ in a name that comes {{ len(tokenizer.encode(list(texts)[1])) - len(tokenizer.encode("There was a boy named")) }} tokens before the
# guess, where these tables do not look: they say the same for both, while the doll-house goes from {{ lines[1][4] }} to {{ lines[2][4] }}. The last
# line is in none of the stories that were counted, so that no table can know it; the doll-house has it by heart, from a list of facts. **All that is asked for is the next token, and to look further back
# and to remember facts are ways to guess it better.** The measure is the loss of lesson 15, in nats.

# %% [markdown] key="rows-why"
# ## Step 3. Texts to rows
#
# Stories have all lengths, and a batch is a matrix. So all of them are put end to end in a random order and the
# stream is cut into rows of equal length: **packing**. When it has been read once, one **epoch** is over and the next
# one begins in another order. The **targets** are the same tokens shifted by one, since each position is to guess the
# token that follows it.

# %% key="rows"
T, stream = 128, Stream(documents, seed=0)
order = np.random.default_rng([0, 0]).permutation(len(documents))  # seed, epoch
tokens = np.concatenate([documents[i] for i in order])[: 8 * T + 1]
ids, targets = tokens[:-1].reshape(-1, T), tokens[1:].reshape(-1, T)
agree(np.stack([ids, targets]), np.stack(stream.batch(0, 8 * T, T)))
print(tokenizer.decode(ids[1].tolist()))

# %% [markdown] key="rows-read"
# A row is neither a sentence nor a story. This one begins where the row before it ended, and often the next story
# begins in the middle of a row, where a token can attend to a story that is not its own. All {{ T }} positions are guessed in one forward pass, each with the right tokens before it; this is called **teacher forcing**,
# and it is fair because the causal mask of [lesson 06](06_masking.ipynb) hides the answer.

# %% [markdown] key="loop-why"
# ## Step 4. The run
#
# Here is all of training, for a Llama of three blocks. The recipe, as given: matrices begin as random numbers with a
# standard deviation of 0.1, gradients are shortened to the length 1, AdamW takes the step, and its rate rises to a peak
# of 0.01 and falls again. Steps 5 to 7 come back to them, and page
# [16c](16c_batches_and_bits.ipynb) to the size of a batch; for now, use them.

# %% key="loop"
from llama_np.training import AdamW, clip_by_global_norm, learning_rate
from llama_np.weights import initialize

small = replace(
    house.config, dim=64, n_layers=3, n_heads=4, n_kv_heads=2, head_dim=16, ffn_width=224,
    context_length=T, tied_output=True,
)  # fmt: skip


def fresh(seed=0, std=0.1):
    return initialize(small, np.random.default_rng(seed), std)


def train(start, stream, n_steps, n_rows, peak=1e-2, longest=1.0, make=AdamW, bad=None):
    """Hands out after each step its number, the weights, and the loss before it."""
    w = start.map(np.copy)
    optimizer = make(w)
    for step in range(n_steps):
        ids, targets = stream.batch(step, n_rows * T, T)
        loss, gradients = loss_and_gradients(w, small, ids, targets)
        if step == bad:  # for an experiment in step 7
            gradients = gradients.map(lambda g: 100 * g)
        clip_by_global_norm(gradients, longest)
        optimizer.step(w, gradients, learning_rate(step, peak, n_steps // 10, n_steps))
        yield step + 1, w, loss


# %% [markdown] key="run-why"
# Every ten steps at first, and then every twenty-five, we ask the model what it expects at {{ 16 * T :, }} positions
# of held-out stories. The losses of the three tables there are drawn as lines.

# %% key="run-tools"
from IPython.display import clear_output

unseen, right = Stream(held_out, 0).batch(0, 16 * T, T)
names = ["unigrams", "bigrams", "trigrams"]
tables = {
    name: np.array([by_counting(row[: t + 1], n) for row in unseen.tolist() for t in range(T)])
    for n, name in enumerate(names)
}  # each (positions, V)
places = np.arange(right.size), right.ravel()
surprise = {name: (p * np.log(p)).sum(axis=-1).mean() for name, p in tables.items()}
by_table = {name: -np.log(p[places]).mean() for name, p in tables.items()}
prompt = "Once upon a time, there was a little girl named"


def tell(weights, n=60):
    ids = tokenizer.encode(prompt, bos=True)
    dice, stop = np.random.default_rng(1), tokenizer.stop_ids
    new = generate(weights, small, ids, n, Sampling(temperature=0.7), rng=dice, stop_tokens=stop)
    return prompt + tokenizer.decode(new).replace("\n", " ")


def examine(weights):
    """The loss, and how far each table is from the model: the mean of KL(table || model)."""
    rows = np.concatenate([log_softmax(forward(weights, small, row)) for row in unseen])
    far = {n: surprise[n] - (p * rows).sum(axis=-1).mean() for n, p in tables.items()}
    return {"loss": -rows[places].mean(), **far}


# %% key="run" tags=["timing"]
N_STEPS = 200


def run(seed, last, draw=lambda step, w, log: None):
    log = {0: examine(fresh(seed))}
    for step, w, _ in train(fresh(seed), Stream(documents, seed), N_STEPS, n_rows=16):
        if step % (10 if step <= 100 else 25) == 0:
            log[step] = examine(w)
            draw(step, w, log)
        if step == last:
            return w, log


def draw(step, w, log):
    if step % 50 == 0:
        samples[step] = tell(w)
        clear_output(wait=True)
        lines = {"the model": np.array([line["loss"] for line in log.values()])}
        lines |= {name: np.full(len(log), loss) for name, loss in by_table.items()}
        show.curves(np.array(list(log)), lines, ("step", "loss on held-out stories, nats"))
        print(f"after {step} steps: {samples[step]}")


samples = {0: tell(fresh())}
_, log = run(0, N_STEPS, draw)

# %% [markdown] key="run-read"
# {{ claim: log[N_STEPS]["loss"] < by_table["trigrams"] - 0.1 }}
# The model starts near $\ln V$ and falls to the line of the unigrams, {{ by_table["unigrams"] :.2f }}, at once. It passes the
# bigrams, {{ by_table["bigrams"] :.2f }}, at step {{ next(s for s in log if log[s]["loss"] < by_table["bigrams"]) }} and the trigrams, {{ by_table["trigrams"] :.2f }}, at step {{ next(s for s in log if log[s]["loss"] < by_table["trigrams"]) }}. At the
# end, after {{ N_STEPS * 16 * T / n_tokens :.1f }} epochs, it is at {{ log[N_STEPS]["loss"] :.2f }}, below all three, so that it knows something that these tables do not. At the start, and on the way, it said:

# %% key="samples" tags=["timing"]
for step in (0, 50, 100):
    print(f"after {step} steps: {samples[step]}\n")

# %% [markdown] key="order-why"
# ## Experiment: which table is it like?
#
# A loss on the line of the bigrams does not make a bigram model. One might know a little of everything and come to the
# same number. So we compare all guesses, not only those of the right token: for each
# position, how far are the probabilities of a table from the model's? The measure is the **Kullback-Leibler
# divergence** $\sum_v p_v \ln (p_v / q_v)$, with $p$ the table and $q$ the model. It is 0 where both expect the same,
# and what the table finds probable counts most.
#
# **Predict before you run:** draw the distance to the bigram table over the {{ N_STEPS }} steps.

# %% key="order" tags=["timing"]
steps = np.array(list(log))
far = {name: np.array([line[name] for line in log.values()]) for name in names}
shown = steps > 0
show.curves(steps[shown], {n: far[n][shown] for n in names}, ("step", "distance in nats"), log="y")
nearest = {name: int(steps[far[name].argmin()]) for name in names}
_, again = run(1, 100)  # another seed: other weights, other order of the stories
others = {name: min(again, key=lambda step: again[step][name]) for name in names[:2]}
header = ["table", "at the start", "nearest at step", "distance there", "at the end", "other seed"]
rows = [
    [n, f"{d[0]:.2f}", nearest[n], f"{d.min():.2f}", f"{d[-1]:.2f}", others.get(n, "")]
    for n, d in far.items()
]
table(header, rows)
# a measure for distances: how far one table is from the next
apart = {
    f"{a} to {b}": (tables[a] * (np.log(tables[a]) - np.log(tables[b]))).sum(axis=-1).mean()
    for a, b in pairwise(names)
}
print("between tables:", ", ".join(f"{n} {far_off:.2f}" for n, far_off in apart.items()))

# %% [markdown] key="order-read"
# {{ claim: nearest["unigrams"] < nearest["bigrams"] <= nearest["trigrams"] and others["unigrams"] < others["bigrams"] }}
# {{ claim: far["unigrams"][-1] > 2 * far["unigrams"].min() and far["bigrams"][-1] > 1.1 * far["bigrams"].min() }}
# It falls first, and then it rises. From {{ far["unigrams"][0] :.1f }} nats at the start the model comes to {{ far["unigrams"].min() :.2f }} from the
# unigram table at step {{ nearest["unigrams"] }}, then leaves it, and ends {{ far["unigrams"][-1] :.1f }} away. At step {{ nearest["bigrams"] }} it is nearest to the bigrams, with {{ far["bigrams"].min() :.2f }}, and leaves them,
# too. (That is no small distance: the trigram table is {{ apart["bigrams to trigrams"] :.2f }} away from the bigram table. So it never *is* a table of pairs, and only
# nearest to one.) To the trigrams it has come within 0.05 of the least distance at step {{ steps[np.argmax(far["trigrams"] < far["trigrams"].min() + 0.05)] }}, and there it
# stays. {{ claim: far["trigrams"][-1] < far["trigrams"].min() + 0.15 }} With another seed the first two come in the
# same order.
#
# **The model learns to count before it learns to read**: first frequent tokens, then pairs, and then it stays near the
# trigrams while its loss falls below theirs. Large models do so as well ([Belrose et al.
# 2024](https://arxiv.org/abs/2402.04362)). The gradient finds what pays most
# first: of the {{ log[0]["loss"] - log[N_STEPS]["loss"] :.1f }} nats that the run gains, {{ log[0]["loss"] - by_table["unigrams"] :.1f }} are
# gained by a table that does not even look at the text.

# %% [markdown] key="rates-why"
# ## Step 5. How the weights begin, and the rate
#
# GPT-2 drew its matrices with a standard deviation of 0.02, and
# divided `wo` and `w_down`, which write into the stream, by $\sqrt{2L}$ on top, so that the $2L$ contributions of $L$
# blocks add up to one of the usual size; ours are divided, too. Is 0.02 right here? The numbers of a normalised row have a root mean square near 1. A product with a
# matrix of deviation $s$ is a sum of $D$ such numbers times weights, and has the deviation $s\sqrt{D}$. That is 1 for
# $s = 1/\sqrt{D}$, which is {{ 1600**-0.5 :.3f }} for the width of 1600 in the largest GPT-2, and {{ 64**-0.5 :.3f }} for our 64.
#
# The rate rises in a line, the **warm-up**, since at first Adam's means rest on a few batches, and then falls along half a
# **cosine**, because large steps jump about the bottom of a valley: to $\frac{1}{2}(1 + \cos \pi z)$ of its peak when the
# share $z$ of the fall is over. The best peak may differ with the deviation, so each gets four, for 40 steps of
# {{ 4 * T }} tokens. Losses above 8 are not drawn.

# %% key="starts"
peaks = 0.01 * np.array([1 / 3, 1, 3, 9])
first, after = {}, {}
for std in (0.02, 0.1, 1.0):
    runs = [list(train(fresh(std=std), stream, 40, 4, peak)) for peak in peaks]
    losses = np.array([[loss for *_, loss in run] for run in runs])
    first[std], after[std] = losses[0, 0], losses[:, -5:].mean(axis=-1)
unigrams = -np.log(by_counting([], 0)[targets]).mean()
lines = {f"deviation {d}": np.where(ends < 8, ends, np.nan) for d, ends in after.items()}
lines["unigram table"] = np.full(len(peaks), unigrams)
show.curves(peaks, lines, ("peak rate", "loss after 40 steps, up to 8"), log="x")
print("first loss:", ", ".join(f"{first[std]:.2f} with {std}" for std in first))

# %% [markdown] key="starts-read"
# {{ claim: after[0.1].min() < min(after[0.02].min(), after[1.0].min()) - 0.5 and 0 < after[0.1].argmin() < len(peaks) - 1 }}
# With 0.1, near $1/\sqrt{D}$, the line is a U: too small a rate has not come far in 40 steps, too large a one jumps. The
# lowest loss, {{ after[0.1].min() :.2f }}, is at {{ peaks[after[0.1].argmin()] :.2g }}, and a third of that rate or three times as much cost {{ after[0.1][after[0.1].argmin() - 1] - after[0.1].min() :.2f }}
# and {{ after[0.1][after[0.1].argmin() + 1] - after[0.1].min() :.2f }}.
#
# But 0.02, **GPT-2's number, is too small for this narrow model in so short a run**: its best, at
# the highest rate that we tried, which is too high for 0.1, is {{ after[0.02].min() :.2f }}, {{ claim: after[0.02].argmin() == len(peaks) - 1 }} hardly better than the unigram table with {{ unigrams :.2f }}. With 1 the model
# starts out sure of itself and wrong, at {{ first[1.0] :.0f }} nats, and spends its steps on unlearning; its best, at the highest rate, is {{ after[1.0].min() :.2f }}.
# {{ claim: after[0.02].min() > unigrams - 0.35 }}
#
# The first loss can be told in advance, if the weights are not too large. Where all tokens are equally likely it is
# $\ln V$ = {{ np.log(V) :.2f }}, and logits that differ at random with a deviation $\sigma$ of up to about 2 cost
# $\sigma^2/2$ on top, for 0.1 with $\sigma = s\sqrt{D}$ = {{ 0.1 * np.sqrt(small.dim) :.1f }} together {{ np.log(V) + 0.01 * small.dim / 2 :.2f }}. A first loss far from that
# is worth a search for the mistake.{{ claim: abs(first[0.1] - np.log(V) - 0.01 * small.dim / 2) < 0.15 }}

# %% [markdown] key="adamw-why"
# ## Step 6. AdamW, and what of it a Llama needs
#
# [Lesson 14](14_tensors_and_gradients.ipynb) has Adam: a running mean $m$ of the gradient, divided by the root of a
# running mean $v$ of its square; its rate is $\eta$. With $\beta_1 = 0.9$ and $\beta_2 = 0.95$ these remember about $1/(1-\beta)$ = 10 and
# 20 steps. **Weight decay** adds a second pull, towards zero, which is not divided by anything:
#
# $$w \leftarrow w - \eta \left( \frac{m'}{\sqrt{v'} + \epsilon} + \lambda\, w \right) \qquad \lambda = 0.1,\ \epsilon = 10^{-8}$$
#
# In the first step $m'$ is the gradient and $\sqrt{v'}$ its size, so that of each number only the sign is left.

# %% key="adamw"
start = fresh()
_, gradients = loss_and_gradients(start, small, ids, targets)
w, g = start.layers[0].wq, gradients.layers[0].wq
rate, decay = 1e-2, 0.1
by_hand = w - rate * (g / (np.abs(g) + 1e-8) + decay * w)

moved = start.map(np.copy)
AdamW(moved, weight_decay=decay).step(moved, gradients, rate)
agree(by_hand, moved.layers[0].wq)
matrices = sum(w.size for _, w in start.named() if w.ndim > 1)
print(f"{matrices:,} of {small.count_parameters():,} weights decay: all but the norms")

# %% [markdown] key="adamw-read"
# All matrices decay at one pace, by $\eta\lambda$ a step, {{ rate * decay :.1% }} here
# ([Loshchilov and Hutter 2017](https://arxiv.org/abs/1711.05101)). A norm's are spared, since one that does nothing has
# weights of 1.

# %% [markdown] key="optimizers-why"
# What is all this for? Here are the two others of lesson 14 on our Llama: plain descent, in trainers called SGD, and **momentum**, which goes along a sum of
# past gradients. Each gets rates of its own, for 40 steps as before. Beside them are two controls. One remembers
# nothing: it is plain descent by the **sign** of each number of the gradient, as if every step were Adam's first. The other is momentum
# with the gradient of every matrix brought to the same size.
#
# **Predict before you run:** do the controls come out near plain descent, or near AdamW?


# %% key="optimizers-tools"
class Descent:
    """Plain descent, with momentum where something is kept, along some function of the gradient."""

    def __init__(self, weights, keep=0.0, direction=lambda g: g):
        self.keep, self.direction = keep, direction
        self.sums = weights.map(np.zeros_like)

    def step(self, weights, gradients, rate):
        for (_, w), (_, g), (_, m) in zip(weights.named(), gradients.named(), self.sums.named()):
            m *= self.keep
            m += self.direction(g)
            w -= rate * m


def alike(g):
    """A gradient brought to the root mean square 1."""
    return g / np.sqrt(np.mean(g**2))


def after_40(make, peak, seed=0):
    steps = train(fresh(seed), Stream(documents, seed), 40, 4, peak, make=make)
    return np.mean([loss for *_, loss in steps][-5:])


# %% key="optimizers" tags=["timing"]
from functools import partial

tried = {
    "plain descent": (Descent, [0.3, 1, 3]),
    "momentum": (partial(Descent, keep=0.9), [0.1, 0.3, 1]),
    "momentum, matrices alike": (partial(Descent, keep=0.9, direction=alike), [3e-4, 1e-3, 3e-3]),
    "signs": (partial(Descent, direction=np.sign), [0.003, 0.01, 0.03]),
    "AdamW": (AdamW, [0.003, 0.01, 0.03]),
}
ends, best = {}, {}
for name, (make, rates) in tried.items():
    ends[name] = [after_40(make, rate) for rate in rates]
    rate = rates[int(np.argmin(ends[name]))]
    best[name] = np.array([min(ends[name]), *(after_40(make, rate, seed) for seed in (1, 2))])
rows = [
    [
        n,
        rates,
        " ".join(f"{end:.2f}" for end in ends[n]),
        f"{best[n].min():.2f} to {best[n].max():.2f}",
    ]
    for n, (_, rates) in tried.items()
]
table(["", "peak rates", "loss after 40 steps", "at the best of them, three seeds"], rows)

# %% key="sizes"
sizes = {name: np.sqrt(np.mean(g**2)) for name, g in gradients.named() if g.ndim > 1}
seen = np.bincount(ids.ravel(), minlength=V)
sizes["embedding rows of rare tokens"] = np.sqrt(np.mean(gradients.embedding[seen == 1] ** 2))
sizes["embedding rows of frequent tokens"] = np.sqrt(np.mean(gradients.embedding[seen > 20] ** 2))
small_one, large_one = min(sizes, key=sizes.get), max(sizes, key=sizes.get)
print(f"gradients at the start, root mean square: from {sizes[small_one]:.1e}, {small_one},")
print(f"to {sizes[large_one]:.1e}, {large_one}")

# %% [markdown] key="optimizers-read"
# {{ claim: best["plain descent"].min() > best["signs"].max() + 0.5 and best["momentum"].min() > best["signs"].max() + 0.4 }}
# {{ claim: best["signs"].mean() - best["AdamW"].mean() < 0.25 * (best["plain descent"].mean() - best["AdamW"].mean()) }}
# {{ claim: all(0 < np.argmin(ends[n]) < 2 for n in ends) and sizes[large_one] > 30 * sizes[small_one] }}
# {{ claim: best["momentum, matrices alike"].max() < best["momentum"].min() - 0.3 }}
# Near AdamW. Plain descent ends at {{ best["plain descent"].mean() :.2f }} on average, momentum at {{ best["momentum"].mean() :.2f }}, AdamW at {{ best["AdamW"].mean() :.2f }}, and
# the signs alone at {{ best["signs"].mean() :.2f }}, each at a rate between two worse ones. So it is neither the memory nor the careful mean of
# squares that a Llama needs most, but what the signs and AdamW share: how far a number moves does not depend on how large its gradient is. And
# gradients differ much. At the start those of the {{ large_one }} are {{ sizes[large_one] / sizes[small_one] :.0f }} times as large as those of `{{ small_one }}`, and one rate
# has to suit both. Brought to one size, matrix by matrix, momentum comes to {{ best["momentum, matrices alike"].mean() :.2f }}, most of the way. [Kunstner et al. 2023](https://arxiv.org/abs/2304.13960) found the same of larger models with large batches: what
# Adam does there is close to descent by signs, with momentum.

# %% [markdown] key="clip-why"
# ## Step 7. Clipping, and what it really does
#
# **Gradient clipping** treats all gradients as one long vector and shortens it to the length 1 where it is longer.
# The usual reason is that one bad batch would throw the weights far away. For plain descent that is true: its step is as
# long as the gradient. **Predict before you run:** in step 20 of 60 the gradient is 100 times as long as it should be.
# Without clipping, how far does Adam move the weights in that step, and in those after it?


# %% key="clip"
def lengths_of_steps(**how):
    """How far a weight goes in each step, as a root mean square, in rates; the last loss."""
    lengths, losses, before = [], [], flat(start)
    for step, w, loss in train(start, stream, 60, 4, **how):
        rate = learning_rate(step - 1, 1e-2, 6, 60)
        lengths.append(np.sqrt(np.mean((flat(w) - before) ** 2)) / rate)
        before = flat(w)
        losses.append(loss)
    return np.array(lengths), np.mean(losses[-5:])


def flat(weights):
    return np.concatenate([w.ravel() for _, w in weights.named()])


class BadInSquares(AdamW):
    """AdamW into whose v alone, and not into m, the bad batch goes."""

    def step(self, weights, gradients, rate):
        if self.step_count == 20:
            kept = self.betas[1]
            for name, g in gradients.named():  # what is added here shrinks once, in the step itself
                self.mean_square[name] += (1 - kept) / kept * (100**2 - 1) * g * g
        super().step(weights, gradients, rate)


ways = {
    "clipped, one bad batch": lengths_of_steps(bad=20),
    "clipped, no bad batch": lengths_of_steps(),
    "not clipped, no bad batch": lengths_of_steps(longest=np.inf),
    "not clipped, one bad batch": lengths_of_steps(longest=np.inf, bad=20),
    "not clipped, bad in v alone": lengths_of_steps(longest=np.inf, make=BadInSquares),
}
shown = {name: way for name, way in ways.items() if name != "clipped, no bad batch"}
lines = {name: lengths[5:] for name, (lengths, _) in shown.items()}
show.curves(np.arange(5, 60), lines, ("step", "step length, in units of the rate"))
table(["", "loss after 60 steps"], [[name, f"{loss:.2f}"] for name, (_, loss) in ways.items()])
(_, clipped), (_, sound), (usual, plain), (hit, spoiled), (small_steps, in_squares) = ways.values()
leap, late, at_once = hit[20] / usual[20], hit[45] / usual[45], small_steps[20] / usual[20]
of_squares = (in_squares - plain) / (spoiled - plain)

# %% [markdown] key="clip-read"
# {{ claim: 1 < leap < 2 and late < 0.8 and spoiled > plain + 0.3 and spoiled > clipped + 0.3 }}
# In the bad step itself Adam goes {{ leap :.1f }} times as far as without the bad batch, and not 100 times, because the
# same 100 is in $v$. The harm comes afterwards. $m$ forgets the bad batch in some ten steps, the root of $v$ only in
# forty and more; at step 45 a step is {{ late :.1f }} times as long as without it, and the loss ends at {{ spoiled :.2f }} instead of
# {{ plain :.2f }}. If the bad batch goes into $v$ alone, steps are {{ at_once :.1f }} times as long at once, and {{ of_squares :.0% }} of this harm is there already; the rest is $m$'s, which drags the weights along
# the bad batch for those ten steps. The clipped run ends at {{ clipped :.2f }}, where without a bad batch it ends at {{ sound :.2f }}. **A gradient that is
# far too long harms little by its own step, and much by what it leaves in $v$.** (One seed, and a batch whose direction is right.)
# {{ claim: 0.3 < of_squares < 1 and abs(clipped - sound) < 0.15 * (spoiled - plain) }}

# %% [markdown] key="next"
# ## What comes next
#
# Whether the model has learned stories or only *these* stories, and what more text or a larger
# model would bring: page [16b](16b_what_a_run_tells.ipynb), what a run tells. How large a batch should be, and what is
# lost with numbers of sixteen bits: page [16c](16c_batches_and_bits.ipynb). **Your turn:** [exercise
# 16](exercises/16_pretraining.ipynb), in which your own functions train a Llama. A model of your own is one command: `python -m weights_tools train --corpus FILE --out DIR`. The code:
# `llama_np/training/optimizer.py`, `weights_tools/training/corpus.py` and `trainer.py`.
