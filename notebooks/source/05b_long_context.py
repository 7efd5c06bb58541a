# %% [markdown] key="title"
# # 05b Long texts, complex numbers, two layouts: RoPE in other people's code
#
# Every Llama is trained on texts up to some length, Llama 3 on 8,192 tokens, this model on far shorter ones.
# What happens beyond? And how could Llama 3.1, with the same blocks, read 131,072? On this page the loss climbs past
# the end, and a change of some frequencies, without any training, brings it down again.
#
# The page is optional: nothing later needs it. It goes on from [lesson 05](05_rope.ipynb), and besides long
# texts it holds what you meet in Meta's and Hugging Face's code: RoPE with complex numbers, and the two
# layouts of `wq` and `wk`, which a program must not confuse.

# %% key="setup"
from dataclasses import replace

import numpy as np
from classroom import agree, show, source, table

from llama_np import LLAMA_3_8B, forward, log_softmax, record, rope_frequencies, rotate
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(t) for t in ids]
trace = {}
forward(weights, config, ids, tap=record(trace))
block = config.n_layers // 2
q, k = (trace[f"blocks.{block}.{name}"][0] for name in ("q", "k"))
T, K = q.shape
positions = np.arange(T)
frequencies = rope_frequencies(K, config.rope_theta, config.rope_scaling)
frequencies_8b = rope_frequencies(LLAMA_3_8B.head_dim, LLAMA_3_8B.rope_theta)
print(f"context {config.context_length}; queries and keys of block {block}, head 0: {q.shape}")

# %% [markdown] key="beyond-why"
# ## Step 1. Past the end
#
# Stories are laid one after another until they are twice as long as the model's context, four such texts.
# (If the model that you have chosen has a context of more than 2,048 tokens, that would take too long, and the doll-house
# reads in its place.) The curve is the loss of each token, as the mean over the four texts and over 64 neighbours.
# **Predict before you run:** past the end, does the loss stay level, creep up, or shoot up?

# %% key="beyond"
from weights_tools.training.heroes import read_stories

reader = model if config.context_length <= 2048 else load_model("doll-house")
context, encode = reader.config.context_length, reader.tokenizer.encode
end = [] if reader.tokenizer.eos_id is None else [reader.tokenizer.eos_id]
n, flow = 2 * context, []
for story in read_stories():
    if len(flow) < 4 * n:
        flow += [*encode(story, bos=True), *end]
texts = np.array(flow[: 4 * n]).reshape(4, n)


def losses(scaling):  # the loss of each token but the first, a row for each text
    other = replace(reader.config, rope_scaling=scaling, context_length=n)
    rows = np.array([log_softmax(forward(reader.weights, other, text)) for text in texts])
    return -np.take_along_axis(rows[:, :-1], texts[:, 1:, None], axis=-1)[..., 0]


def smooth(loss):
    mean = loss.mean(axis=0)
    return mean[: len(mean) // 64 * 64].reshape(-1, 64).mean(axis=-1)


def mean_and_spread(loss):
    return f"{loss.mean():.2f} ± {loss.mean(axis=-1).std():.2f}"


as_trained = losses(reader.config.rope_scaling)
first, next_64, last = slice(0, n // 2), slice(n // 2, n // 2 + 64), slice(-n // 4, None)
at = 32 + 64 * np.arange(len(smooth(as_trained)))
show.curves(at, {"as trained": smooth(as_trained)}, ("position", "loss"))
for name, part in (("first half", first), ("next 64", next_64), ("last quarter", last)):
    print(f"{name:13} {mean_and_spread(as_trained[:, part])}")

# %% [markdown] key="beyond-answer"
# <details><summary>Answer</summary>
#
# It climbs, if not at the very next token. In the first half the loss is {{ mean_and_spread(as_trained[:, first]) }},
# where ± is the spread over the texts, in the 64 tokens after it {{ mean_and_spread(as_trained[:, next_64]) }}, and in the last
# quarter {{ mean_and_spread(as_trained[:, last]) }}; a guess that gives all tokens the same probability has
# {{ np.log(reader.config.vocab_size) :.2f }}. {{ claim: as_trained[:, last].mean() > as_trained[:, first].mean() + 0.5 }}
#
# </details>
#
# Nothing in the code stops at {{ context }}. Only the distances are new, and suspicion falls on the slow
# pairs, those that never made a full turn in training: at larger distances they stand at angles that no query and key have
# met. In [lesson 05](05_rope.ipynb) such a pair served as a ramp, and nothing has said where a ramp should lead beyond the
# angles that it knows. The fast pairs have met all angles many times. Step 2 puts that to the test.
#
# ## Step 2. Llama 3.1 turns the slow pairs more slowly
#
# Llama 3.1 therefore changes each frequency by the number of turns that its pair makes within the original
# 8,192 positions:
#
# - at least 4 turns: **kept**;
# - at most 1 turn: **divided by 8**, so that a text of 65,536 tokens brings no angle that 8,192 had not
#   brought before;
# - between: **blended**, moving evenly from one to the other.

# %% [markdown] key="scaling-why"
# That slow and fast pairs are treated differently is the idea of YaRN, where it is called NTK-by-parts ([Peng
# et al. 2023](https://arxiv.org/abs/2309.00071)). The numbers 4, 1 and 8 were found by trying, "from grid
# search", as Meta's code says: it is `apply_scaling` in
# [model.py](https://github.com/meta-llama/llama-models/blob/main/models/llama3/model.py). The factor 8 alone
# does not reach 131,072, which is 16 times 8,192. The rest is training: Llama 3.1 was trained further on
# longer and longer texts ([Llama team 2024](https://arxiv.org/abs/2407.21783), section 3.4.2). By hand, for 8B:

# %% key="scaling-by-hand"
from llama_np.config import LLAMA_3_1_SCALING

factor, low, high, original = LLAMA_3_1_SCALING
turns = original * frequencies_8b / (2 * np.pi)
keep = np.clip((turns - low) / (high - low), 0, 1)  # 1: kept, 0: divided
scaled = keep * frequencies_8b + (1 - keep) * frequencies_8b / factor
groups = {"kept": keep == 1, "blended": (keep > 0) & (keep < 1), "divided": keep == 0}
for name, which in groups.items():
    found = np.flatnonzero(which)
    print(f"{name:8} {len(found)} pairs, {found[0]} to {found[-1]}")

# %% key="scaling-named"
from llama_np.rope import scale_frequencies

agree(scaled, scale_frequencies(frequencies_8b, LLAMA_3_1_SCALING))
source(scale_frequencies)

# %% [markdown] key="mended-why"
# ### Experiment
#
# The same for the model that read the texts: its own context in the place of 8,192, the factor 2, because the texts are twice as long,
# and not a single step of training. As a control *all* pairs are divided by 2, the fast ones too. **Predict before you
# run:** what becomes of the loss in the second half of the texts? And in the first, where the model was fine?

# %% key="mended"
slow_ones = LLAMA_3_1_SCALING._replace(factor=2.0, original_context_length=context)
all_pairs = slow_ones._replace(low_freq_factor=1e9, high_freq_factor=2e9)  # no pair turns so often
loss = {
    "as trained": as_trained,
    "slow pairs halved": losses(slow_ones),
    "all pairs halved": losses(all_pairs),
}
show.curves(at, {name: smooth(each) for name, each in loss.items()}, ("position", "loss"))
table(
    ["", "first half", "last quarter"],
    [[name, *(mean_and_spread(x[:, part]) for part in (first, last))] for name, x in loss.items()],
)
slow, every_pair = loss["slow pairs halved"], loss["all pairs halved"]

# %% [markdown] key="mended-answer"
# <details><summary>Answer</summary>
#
# In the last quarter the loss comes down from {{ as_trained[:, last].mean() :.2f }} to {{ slow[:, last].mean() :.2f }}, and the climb is
# gone: the first half had {{ as_trained[:, first].mean() :.2f }}.
# {{ claim: slow[:, last].mean() < as_trained[:, first].mean() + 0.1 }}
# In the first half it changes from {{ as_trained[:, first].mean() :.2f }} to {{ slow[:, first].mean() :.2f }}: these tokens meet
# no angle that is new, but a slow pair's angle now stands for twice the distance. Divide all pairs, and the last quarter
# has {{ every_pair[:, last].mean() :.2f }} and the first half {{ every_pair[:, first].mean() :.2f }}. That is better than no change
# in the last quarter, and worse in both than halving the slow ones only, because the fast pairs, by which a head finds its
# neighbour, are misread as well. So Llama 3.1 leaves them alone.
# {{ claim: every_pair[:, first].mean() > slow[:, first].mean() }}
# {{ claim: slow[:, last].mean() < every_pair[:, last].mean() < as_trained[:, last].mean() }}
#
# </details>
#
# The frequencies are part of the model, so that Llama 3 and 3.1 or 3.2 differ in more than their weights. A program that
# leaves the scaling out runs without an error and computes another model, and a short test hardly shows it:
#
# | | head width | base | factor | output matrix |
# |---|---|---|---|---|
# | Llama 3 8B | 128 | 500,000 | no scaling | its own |
# | Llama 3.1 8B | 128 | 500,000 | 8 | its own |
# | Llama 3.2 1B | 64 | 500,000 | 32 | tied to the embedding |

# %% [markdown] key="base-why"
# ## Step 3. What a larger base buys
#
# Llama 2 has the base 10,000 for texts of 4,096 tokens, Llama 3 has 500,000 for 8,192. It is tempting to say
# that the slow pairs must be slower to tell places apart in longer texts. But how slow are they? Below are,
# for both bases, the pairs of an 8B head without a full turn in 8,192 positions, and the mean cosine over
# all pairs: the score, divided by its largest value, of a query and a key that point the same way, averaged
# over the distances from 4,096 to 8,192. The last column has the same for 200 random queries and keys.

# %% key="base"
distances = np.arange(8193)
means = {}
rng, rows = np.random.default_rng(0), []
some_q, some_k = rng.standard_normal((2, 200, 64, 2)) @ [1, 1j]  # random pairs, as complex numbers
for base in (10_000, 500_000):
    f = rope_frequencies(128, base)
    means[base] = np.cos(distances[:, None] * f).mean(axis=-1)
    turned = np.exp(1j * distances[4096::64, None, None] * f)
    unlike = (some_q * some_k.conj() * turned).real.mean() / 2
    row = (
        f"{2 * np.pi / f[-1]:,.0f}",
        (8192 * f < 2 * np.pi).sum(),
        f"{means[base][4096:].mean():.3f}",
        f"{unlike:.3f}",
    )
    rows.append([f"{base:,}", *row])
table(
    [
        "base",
        "longest wavelength",
        "pairs without a full turn",
        "far away, alike",
        "far away, random",
    ],
    rows,
)

# %% [markdown] key="base-note"
# With the base 10,000 the slowest pair already needs {{ 2 * np.pi * 10_000 ** (126 / 128) :,.0f }} positions for
# a turn, far more than 8,192, and with the larger base more pairs stand nearly still: they tell places apart
# *less*. A larger base pays off for a query and a key that are alike. If all pairs were equally strong, two tokens that belong
# together would keep {{ means[500_000][4096:].mean() :.2f }} of their score when they are far apart, instead of
# {{ means[10_000][4096:].mean() :.3f }}, so that matching by content could survive the distance. That is the
# reason given by [Xiong et al. 2023](https://arxiv.org/abs/2309.16039), and [Men et al.
# 2024](https://arxiv.org/abs/2405.14591) derive from it how large a base a context needs.
# {{ claim: means[500_000][4096:].mean() > 0.2 > abs(means[10_000][4096:].mean()) }}
#
# So "scores fall with distance" is true, on the whole, of a query and a key that point the same way, and the smaller the base the faster they
# fall. [Su et al. 2021](https://arxiv.org/abs/2104.09864), section 3.4.3, show of any two that an *upper bound* of the score falls. For random
# ones there is nothing to fall.{{ claim: abs(unlike) < 0.05 }}

# %% [markdown] key="complex-why"
# ## Step 4. The same with complex numbers
#
# Meta's code does not write cosines and sines out. A **complex number** $a + b\,\mathrm{i}$ is also a point
# in the plane, and $e^{\mathrm{i}\varphi} = \cos\varphi + \mathrm{i}\sin\varphi$ is the point of the unit
# circle at the angle $\varphi$. When two complex numbers are multiplied, their lengths multiply and their
# angles add up, so that a product with $e^{\mathrm{i}\varphi}$ is a turn by $\varphi$. Multiply it out, with
# $\mathrm{i}^2 = -1$, and the formula of lesson 05 comes back:
#
# $$(a + b\,\mathrm{i})(\cos\varphi + \mathrm{i}\sin\varphi) = (a\cos\varphi - b\sin\varphi) + \mathrm{i}\,(a\sin\varphi + b\cos\varphi)$$

# %% key="complex-by-hand"
q_pairs, k_pairs = (x[:, 0::2] + 1j * x[:, 1::2] for x in (q, k))  # T K -> T K/2
freqs_cis = np.exp(1j * positions[:, None] * frequencies)  # Meta's name, for cos + i sin
q_complex = q_pairs * freqs_cis
agree(
    np.stack([q_complex.real, q_complex.imag], axis=-1).reshape(q.shape),
    rotate(q, positions, frequencies),
)

# %% [markdown] key="complex-named-note"
# The `*` works **number by number**: there are as many pairs after it as before. It is not a dot product,
# which would add the pairs up; that comes later, when a query meets a key. Row 3 of `freqs_cis` belongs to
# position 3. This form is the one that the model uses, and it makes the table once for all its blocks.

# %% key="complex-named"
from llama_np import apply_rotary, rope_rotations

agree(q_complex, q_pairs * rope_rotations(positions, frequencies))
source(apply_rotary)

# %% [markdown] key="layout-why"
# ## Step 5. Two layouts: neighbours and halves
#
# Which two numbers make a pair? Meta pairs neighbours, 0 with 1 and 2 with 3. The transformers library of
# Hugging Face pairs number $j$ with number $j + K/2$, the first half of a head with the second. Neither is
# better, for training fills whatever pairs there are, but weights and code must mean the same ones. So weights
# that are published in Hugging Face's format have the columns of `wq` and `wk` reordered.

# %% key="layout-picture"
from weights_tools.layout import to_rotate_half

number = np.arange(K)
print("pairs of Meta:        ", *(number // 2))
print("pairs of Hugging Face:", *(number % (K // 2)))
print("Hugging Face stores ours in the order", *to_rotate_half(number[:, None], K).ravel())

# %% [markdown] key="layout-by-hand-note"
# We store the queries and keys of our head as Hugging Face does and turn halves by hand. The scores are the
# same.

# %% key="layout-by-hand"
q_halves, k_halves = (to_rotate_half(x.T, K).T for x in (q, k))
cos, sin = freqs_cis.real, freqs_cis.imag


def turn_halves(x):
    a, b = x[:, : K // 2], x[:, K // 2 :]
    return np.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


scores = rotate(q, positions, frequencies) @ rotate(k, positions, frequencies).T
agree(turn_halves(q_halves) @ turn_halves(k_halves).T, scores)

# %% [markdown] key="layout-wrong-note"
# ### Experiment
#
# Now a mistake that is easily made when a Llama is written from scratch: weights in Hugging Face's order,
# turned as Meta's. **Predict before you run:** does it raise an error? Are all scores wrong? What about the
# diagonal, where a token meets itself?

# %% key="layout-wrong"
wrong = rotate(q_halves, positions, frequencies) @ rotate(k_halves, positions, frequencies).T
agree(np.diag(wrong), np.diag(scores))
off = ~np.eye(T, dtype=bool)
error = np.abs(wrong - scores)[off].mean() / np.abs(scores)[off].mean()
print(f"off the diagonal the scores are wrong by {error:.0%} of their size")
swapped = replace(weights, layers=[
    replace(each, wq=to_rotate_half(each.wq[:].T, K).T, wk=to_rotate_half(each.wk[:].T, K).T)
    for each in weights.layers
])  # fmt: skip
story = np.array(tokenizer.encode(read_stories()[0], bos=True)[:100])
mean_loss = {}
for name, each in {"right": weights, "wrong": swapped}.items():
    rows = log_softmax(forward(each, config, story[:-1]))[np.arange(len(story) - 1), story[1:]]
    mean_loss[name] = -rows.mean()
    print(f"{name}: loss of the first guess {-rows[0]:.3f}, of a story {mean_loss[name]:.3f}")

# %% [markdown] key="layout-wrong-answer"
# <details><summary>Answer</summary>
#
# There is no error, since the shapes fit. But the wrong numbers are turned together, and off the diagonal the
# scores are wrong by {{ error :.0% }} of their size. On the diagonal they are right, because there the
# distance is 0, both are turned by the same angles, and any pairing leaves the dot product as it was. So the
# first token alone gets the right logits, a test with a single token passes, and the loss on the first hundred tokens of a story
# goes from {{ mean_loss["right"] :.2f }} to {{ mean_loss["wrong"] :.2f }}.
# {{ claim: mean_loss["wrong"] > mean_loss["right"] + 0.3 }} In this project `load_model` puts the columns back
# into Meta's order when it reads a file (`weights_tools/layout.py`).
#
# </details>

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>How many learned numbers does RoPE have?</summary>
#
# None. The frequencies follow from the head width, the base and, from Llama 3.1 on, four numbers for the
# scaling. But the model is trained with them: change them and you have a different model.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# Back to the main road: [lesson 06](06_masking.ipynb), on who may see whom. The code of this page is
# `llama_np/rope.py`, where each function names the formula or the code that it follows.
