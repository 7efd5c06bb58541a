# %% [markdown] key="title"
# # 08 Feed-forward: where a word is kept
#
# "Once upon a time, there was a little girl named" holds the token ` a` twice. After the first the model says
# ` time`, although nobody has said that word before, and after the second ` little`. Where in the model is
# ` time` kept? Can the model be made to forget it, or to say it where it does not belong?
#
# Attention carries information between tokens ([lesson 07](07_multi_head.ipynb)). In the **feed-forward** step,
# which follows it in every block, each token works alone on what it has collected: three matrices and one
# curve. The three hold most of the learned numbers of a Llama. You will compute the step by hand, read what a
# single column of it does, take one memory out of the model, and write it into other texts.

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["ffn_norm", "feed_forward"])

# %% [markdown] key="sentence-why"
# ## One token, two answers
#
# We run the sentence once, keep every named result, and look at the predictions at both places of that token.

# %% key="sentence"
from llama_np import forward, record, softmax

prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
trace = {}
logits = forward(weights, config, ids, tap=record(trace))
p = softmax(logits)

second = next(t for t in range(len(ids)) if ids[t] in ids[:t])  # the token that comes again
first = list(ids).index(ids[second])
yes, no = ids[first + 1], ids[second + 1]  # what follows the two
for place in (first, second):
    best = np.argsort(-p[place])[:4]
    print(
        f"{labels[place]} at {place}:", *(f"{tokenizer.token(i)} {p[place, i]:.3f}" for i in best)
    )

# %% [markdown] key="sentence-read"
# After the first `{{ labels[first] }}` the model gives `{{ tokenizer.token(yes) }}` a probability of
# {{ p[first, yes] :.3f }}, after the second less than 0.01. Both began as the same row of the embedding, so
# whatever tells them apart was brought by attention: the first has `{{ labels[first - 1] }}` just before it, the
# second `{{ labels[second - 1] }}`.
# {{ claim: p[first].argmax() == yes and p[first, yes] > 0.5 }}
# {{ claim: p[second].argmax() == no and p[second, yes] < 0.01 }}

# %% [markdown] key="who-why"
# ## Who says it?
#
# The parts of a block only ever *add* to the stream. Its last row is therefore a sum, and so is a logit, which
# is one product of that row with a column of the output matrix: so much comes from the embedding, so much from
# each attention, so much from each feed-forward step. We split the difference of two logits in this way,
# `{{ tokenizer.token(yes) }}` minus `{{ tokenizer.token(no) }}`, at the first `{{ labels[first] }}`. The last
# norm divides by the size that the row really has, so that the parts add up exactly. This is called **direct logit
# attribution**. The rival is the word of the other place, because both answers begin from the same token.

# %% key="who"
blocks = range(config.n_layers)
last = trace[f"blocks.{blocks[-1]}.resid_out"][first]
size = np.sqrt((last**2).mean() + config.norm_eps)
toward = weights.norm * (weights.output[:, yes] - weights.output[:, no]) / size  # D

attention = np.array([trace[f"blocks.{i}.attn_out"][first] @ toward for i in blocks])
feed_forward = np.array([trace[f"blocks.{i}.down"][first] @ toward for i in blocks])
embedding = trace["embedded"][first] @ toward
agree(
    embedding + attention.sum() + feed_forward.sum(), logits[first, yes] - logits[first, no], 1e-4
)
show.curves(
    np.array(blocks),
    {"attention": attention, "feed-forward": feed_forward},
    ("block", "added to the difference"),
    title="who prefers the word that follows",
)

# %% [markdown] key="who-read"
# Of a difference of {{ logits[first, yes] - logits[first, no] :.1f }} the feed-forward steps together give
# {{ feed_forward.sum() :+.1f }}, all attention {{ attention.sum() :+.1f }}, and the embedding
# {{ embedding :+.2f }}. What attention fetches is needed, as the comparison of the two places has shown, yet the word
# itself is hardly written by it. Most of the difference comes late, and block {{ feed_forward.argmax() }} alone adds
# {{ feed_forward.max() :.1f }}. That is the block whose feed-forward step we open, number by number.
# {{ claim: feed_forward.sum() > 0.6 * (logits[first, yes] - logits[first, no]) }}
# {{ claim: feed_forward.sum() > 2 * abs(attention.sum()) and feed_forward.sum() > 5 * abs(embedding) }}
# {{ claim: feed_forward.argmax() > config.n_layers / 2 }}

# %% [markdown] key="gate-up-why"
# ## Step 1. Wide, twice
#
# The step reads the stream after attention has added its part (`resid_mid`), as a copy that RMS norm has
# brought to one size ([lesson 03](03_rms_norm.ipynb)). It widens this copy twice, with two matrices of the same
# shape. One result, **up**, is what might be passed on. The other, the **gate**, goes through a curve called
# silu and says how much of it passes. The two are multiplied number by number ($\odot$), and a third matrix,
# **down**, narrows the product again:
#
# $$\mathrm{hidden} = \mathrm{silu}(x W_\mathrm{gate}) \odot (x W_\mathrm{up}) \qquad\qquad
# \mathrm{down} = \mathrm{hidden} \; W_\mathrm{down}$$
#
# Here $x$ is the normalised row. Each of the `F` columns in the middle is a **unit**: it has a column of
# `w_gate`, a column of `w_up`, and a row of `w_down`. The whole is called **SwiGLU**, a gated linear unit with
# Swish, another name of silu ([Shazeer 2020](https://arxiv.org/abs/2002.05202), equation 6).

# %% key="gate-up-by-hand"
from llama_np import rms_norm

show.gate_map()
chosen = int(feed_forward.argmax())
layer = weights.layers[chosen]
resid_mid = trace[f"blocks.{chosen}.resid_mid"]
normed = rms_norm(resid_mid, layer.ffn_norm, config.norm_eps)  # T D
gate = normed @ layer.w_gate  # T D @ D F -> T F
up = normed @ layer.w_up  # T D @ D F -> T F
hidden = gate / (1 + np.exp(-gate)) * up  # T F
print("normed", normed.shape, " gate", gate.shape, " up", up.shape, " hidden", hidden.shape)
agree(hidden, trace[f"blocks.{chosen}.hidden"])

# %% [markdown] key="silu-why"
# ## Step 2. The curve silu
#
# The **sigmoid** $\sigma$ squeezes any number $g$ into the range from 0 to 1, and silu multiplies $g$ by it
# ([Elfwing et al. 2017](https://arxiv.org/abs/1702.03118), section 2):
#
# $$\sigma(g) = \frac{1}{1 + e^{-g}} \qquad\qquad \mathrm{silu}(g) = g \, \sigma(g) = \frac{g}{1 + e^{-g}}$$
#
# Far above zero it passes $g$ on, and far below zero it is nearly 0, so it is a smooth relative of **relu**,
# which is 0 below zero and $g$ above.

# %% key="silu-by-hand"
from llama_np import silu

g = np.linspace(-6, 6, 61)
lines = {"relu": np.maximum(g, 0), "silu": g / (1 + np.exp(-g)), "sigmoid": 1 / (1 + np.exp(-g))}
show.curves(g, lines, ("gate g", "curve of g"), title="silu, between relu and sigmoid")
agree(lines["silu"], silu(g))

# %% [markdown] key="curve-note"
# Why bend anything? In a step that only widens and narrows, the two matrices would be a waste: their product is a matrix again, so
# that they do no more than one matrix `D D`. Such a matrix is **linear**: twice the input gives
# twice the output, and a sum of inputs the sum of their outputs. It cannot say *if*: add this, but only where that is present.
# Here the product of gate and up is not linear even without silu, and Shazeer's paper tries that too, as *Bilinear*. Silu adds that a gate far below zero
# is shut.

# %% [markdown] key="spike-why"
# ## Step 3. One unit at work
#
# Unit $f$ writes row $f$ of `w_down`, times its number in `hidden`. So its **share** of the difference is that
# number times the product of its row with the direction `toward` from above. We take the unit of this block
# with the largest share and follow it through the sentence.

# %% key="spike"
shares = hidden[first] * (layer.w_down @ toward)  # F
unit = int(shares.argmax())
passed = np.abs(hidden[:, unit])
held = (np.abs(up[:, unit]) - passed).argmax()  # where most is offered and does not pass
idle = (silu(gate[:, unit]) - passed).argmax()  # where the gate is open and little is offered
numbers = np.stack([gate[:, unit], silu(gate[:, unit]), up[:, unit], hidden[:, unit]])  # 4 T
show.written(
    numbers,
    [[f"{n:.2f}" if abs(n) < 10 else f"{n:.1f}" for n in row] for row in numbers],
    ("number", "token"),
    rows=["gate", "silu(gate)", "up", "hidden"],
    columns=labels,
    limit=float(np.abs(numbers).max()),
    quantity="signed",
    title="one unit, token by token",
)
runner_up = int(np.argsort(-passed)[1])

# %% [markdown] key="spike-read"
# Unit {{ unit }} of block {{ chosen }} stays small nearly everywhere, and at the first `{{ labels[first] }}` it
# shouts: silu of the gate is {{ silu(gate[:, unit])[first] :.2f }}, up is {{ up[first, unit] :.2f }}, and their
# product is {{ hidden[first, unit] :.1f }}, while over the other tokens the median of its size is
# {{ np.median(np.abs(np.delete(hidden[:, unit], first))) :.2f }}. Only at `{{ labels[runner_up] }}` is it heard again, with {{ hidden[runner_up, unit] :.1f }}. At the second `{{ labels[second] }}` it is
# {{ hidden[second, unit] :.2f }}. Of the {{ feed_forward[chosen] :.1f }} that this block adds, this unit adds
# {{ shares[unit] :.1f }}.
# {{ claim: np.abs(hidden[:, unit]).argmax() == first }}
# {{ claim: abs(hidden[first, unit]) > 5 * abs(hidden[second, unit]) }}
#
# The product means that two conditions must meet. At `{{ labels[held] }}`, position {{ held }}, up offers
# {{ up[held, unit] :.2f }}, but the gate is {{ gate[held, unit] :.2f }}, and only
# {{ hidden[held, unit] :.2f }} comes through. At `{{ labels[idle] }}` it is the other way round: the gate would
# pass {{ silu(gate[:, unit])[idle] :.2f }}, but up has only {{ up[idle, unit] :.2f }}. One curve, as in GPT-2, bends a sum of readings; here two readings are *multiplied*. Whether that is why
# gates do better is not known: Shazeer tried several at equal size, found lower losses, and wrote: "We offer no
# explanation as to why these architectures seem to work; we attribute their success, as all else, to divine benevolence."

# %% [markdown] key="down-why"
# ## Step 4. Down: every unit writes its row
#
# `w_down` brings the `F` numbers back to the `D` of the stream. Read unit by unit the product is a sum, here
# written out for one token.

# %% key="down-by-hand"
down = hidden @ layer.w_down  # T F @ F D -> T D
written = sum(hidden[first, f] * layer.w_down[f] for f in range(config.ffn_width))
agree(written, down[first])

# %% key="down-named"
from llama_np import swiglu

agree(down, swiglu(normed, layer.w_gate, layer.w_up, layer.w_down))
source(swiglu)

# %% [markdown] key="alone-why"
# No product in this step has `T` on the inside: rows meet columns of weights, never other rows. So a token's
# result is the same in whatever company or order the others come. It is added to `resid_mid`, the stream as it was
# *before* the norm, and the normalised copy has been read and is thrown away. What if we add to the copy instead, an easy mistake,
# in all blocks? A tap sees every result on its way and lets us try.

# %% key="add-by-hand"
agree(swiglu(normed[::-1], layer.w_gate, layer.w_up, layer.w_down), down[::-1])
agree(resid_mid + down, trace[f"blocks.{chosen}.resid_out"])
on_its_way = {}


def add_to_copy(name, value):
    on_its_way[name.split(".")[-1]] = value
    return on_its_way["ffn_norm"] + on_its_way["down"] if name.endswith("resid_out") else value


mistaken = softmax(forward(weights, config, ids, tap=add_to_copy))
places = np.arange(len(ids) - 1)
for name, each in {"to the stream": p, "to the copy": mistaken}.items():
    print(
        f"added {name:13} the token that follows has p = {each[places, ids[1:]].mean():.3f} on average"
    )

# %% [markdown] key="add-read"
# The mean probability of the right token falls from {{ p[places, ids[1:]].mean() :.3f }} to
# {{ mistaken[places, ids[1:]].mean() :.3f }}. This shows a mismatch with *these* weights and no law of nature: the first
# Transformer was trained with its norm after the sum
# ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.1).
# {{ claim: mistaken[places, ids[1:]].mean() < 0.5 * p[places, ids[1:]].mean() }}
#
# How wide is the step? An older one has two matrices and a width of four times `D`. SwiGLU has three, so to have as
# many parameters each is made a third narrower: two thirds of $4D$ (Shazeer 2020, end of section 2). Some
# models then apply a factor, and the result goes up to a multiple of a number that suits the
# hardware, as in [Meta's code](https://github.com/meta-llama/llama3/blob/main/llama/model.py).

# %% key="width-by-hand"
from llama_np import feed_forward_width


def width(dim, multiple_of, multiplier):
    multiplied = int(multiplier * int(2 * (4 * dim) / 3))
    return int(np.ceil(multiplied / multiple_of)) * multiple_of


llama_3_8b = width(4096, multiple_of=1024, multiplier=1.3)
print("Llama 2 7B", width(4096, multiple_of=256, multiplier=1.0), " Llama 3 8B", llama_3_8b)
agree(llama_3_8b, feed_forward_width(4096, multiple_of=1024, multiplier=1.3))

# %% [markdown] key="width-note"
# So Llama 3 8B has {{ llama_3_8b / 4096 :.1f }} times its `D` instead of 2.7. The factor
# 1.3 comes from Llama 2, where it made up for the parameters that grouped queries save in attention
# ([Touvron et al. 2023](https://arxiv.org/abs/2307.09288), appendix A.2.1; [lesson 09](09_32_blocks.ipynb) counts both).

# %% [markdown] key="memory-why"
# ## A unit as a memory
#
# Seen like this a unit is a **key-value memory**: its columns in `w_gate` and `w_up` are a key, which fits some
# situations and not others, and its row in `w_down` is the value that is read out where the key fits.
# [Geva et al. 2021](https://arxiv.org/abs/2012.14913) found that keys of trained models answer to patterns in
# the text, and that values favour tokens which follow these patterns. We take the units of all blocks with the
# largest shares at the first `{{ labels[first] }}` and ask: in which places of 20 stories are they loudest, and
# which tokens does their row push up?

# %% key="memory-shares"
from weights_tools.training.heroes import read_stories

stories = [np.array(tokenizer.encode(text, bos=True)[:200]) for text in read_stories()[:20]]
here = np.stack([trace[f"blocks.{i}.hidden"][first] for i in blocks])  # L F
shares = here * np.stack([weights.layers[i].w_down @ toward for i in blocks])  # L F
ranked = np.argsort(-shares, axis=None)  # all units of the model, the largest share first
print(
    f"{shares.size:,} units; the largest share {shares.max():.2f}, the median {abs(np.median(shares)):.4f}"
)

# %% key="memory"
heard = []
for story in stories:
    kept = {}
    forward(weights, config, story, tap=record(kept, only={"hidden"}))
    heard.append(kept)
seen = np.unique(np.concatenate(stories))  # tokens that occur in these stories


def key_of(i, f, sign, n=3):
    """Where unit f of block i is loudest (with this sign), as text and number; the last token reads."""
    places = {}
    for story, kept in zip(stories, heard):
        for t, strength in enumerate(sign * kept[f"blocks.{i}.hidden"][:, f]):
            text = tokenizer.decode(story[max(1, t - 2) : t + 1].tolist())
            places[text] = max(strength, places.get(text, 0))
    return sorted(places.items(), key=lambda item: -item[1])[:n]


def value_of(i, f, sign, n=5):
    """The tokens that the row of a unit pushes up most."""
    pushed = (sign * weights.layers[i].w_down[f] * weights.norm) @ weights.output  # V
    return seen[np.argsort(-pushed[seen])[:n]]


# %% key="memory-table"
rows, values, keys = [], [], []
for i, f in zip(*np.unravel_index(ranked[:5], shares.shape)):
    sign = np.sign(here[i, f])
    values.append(value_of(i, f, sign))
    keys.append(key_of(i, f, sign))
    loudest = " · ".join(f"{text!r} {strength:.0f}" for text, strength in keys[-1])
    rows.append(
        [f"{i}, {f}", f"{shares[i, f]:.2f}", loudest, " ".join(map(tokenizer.token, values[-1]))]
    )
table(["block, unit", "share", "key: loudest after", "value: pushes up"], rows)
opening = tokenizer.decode(ids[1 : first + 1].tolist())
pointing = np.stack([layer.w_down @ toward for layer in weights.layers])  # L F


def loudest_here(order, n=20):  # of n units: how many are nowhere louder than after the opening
    chosen = zip(*np.unravel_index(order[:n], shares.shape))
    return sum(key_of(i, f, np.sign(pointing[i, f]))[0][0] == opening for i, f in chosen)


by_share, by_row = loudest_here(ranked), loudest_here(np.argsort(-abs(pointing), axis=None))
print(f"nowhere louder than after {opening!r}: {by_share} of the 20 largest shares,", end=" ")
print(f"{by_row} of the 20 rows that point most that way")

# %% [markdown] key="memory-read"
# A unit whose number is negative here has been read with its signs turned, since it writes its row the other way round. Of the
# five units {{ sum(tokenizer.decode(ids[1 : first + 1].tolist()) == k[0][0] for k in keys) }} are nowhere louder, in 20
# stories, than after `{{ tokenizer.decode(ids[1 : first + 1].tolist()) }}`: the first reaches {{ keys[0][0][1] :.0f }} there
# and {{ keys[0][1][1] :.0f }} at its next best place, `{{ keys[0][1][0] }}`. That {{ sum(yes in v for v in values) }} of the
# five have `{{ tokenizer.token(yes) }}` among the five tokens that they push up most is no news, since we ranked them by this, and a large share
# takes a large number here as well. That one is louder here than *anywhere else* nobody has chosen. It is so of {{ by_share }} of the 20 largest shares, and of
# {{ by_row }} of the 20 units whose rows point most towards the word, whatever their numbers: the first two have a key for this very phrase, and most of the
# others help out, and are loudest at something else. {{ claim: by_row <= by_share < 12 and all(k[0][0] == opening for k in keys[:2]) }}
# The rest of the table is less
# legible, with places side by side that we would not have put together. Nobody has assigned these jobs, and a unit may do several.
# {{ claim: yes in values[0] and sum(yes in v for v in values) >= 2 }}
# {{ claim: keys[0][0][0] == tokenizer.decode(ids[1 : first + 1].tolist()) }}

# %% [markdown] key="silence-why"
# ## How many units hold one word?
#
# Now the question of the page. We silence units at the first `{{ labels[first] }}`, which means that their
# numbers in `hidden` become 0, beginning with the largest shares, and stop, somewhat arbitrarily, where the probability of
# `{{ tokenizer.token(yes) }}` is below 0.02. The control silences as many units of the same blocks, the loudest
# of those that are not among the 200 largest shares. **Predict before you run it**: is one unit enough, or does it take a hundred?

# %% key="silence"
from functools import partial

from llama_np import patch

loud = np.abs(here) * np.stack([np.linalg.norm(weights.layers[i].w_down, axis=-1) for i in blocks])


def strongest(n):
    """The n units with the largest shares, and as many loud ones of small share: two masks, L F."""
    units, first_200, others = np.zeros((3, *shares.shape), dtype=bool)
    units.flat[ranked[:n]] = first_200.flat[ranked[:200]] = True
    for i in blocks:
        loudest = np.argsort(-np.where(first_200[i], 0, loud[i]))
        others[i, loudest[: units[i].sum()]] = True
    return units, others


# %% key="silence-counts"
def silence(units, place=slice(None)):
    """A tap under which some units write nothing, at one place or everywhere."""

    def change(hidden, i):
        hidden = hidden.copy()
        hidden[place] *= ~units[i]
        return hidden

    return patch({f"blocks.{i}.hidden": partial(change, i=i) for i in blocks})


def is_left(units):
    """The probability of the word while these units write nothing at its place."""
    logits = forward(weights, config, ids[: first + 1], tap=silence(units, first))
    return float(softmax(logits)[first, yes])


# %% key="silence-drawn"
needed = next(n for n in range(1, shares.size) if is_left(strongest(n)[0]) < 0.02)
counts = np.arange(max(5, 2 * needed) + 1)
left, left_by_others = np.array([[is_left(u) for u in strongest(n)] for n in counts]).T
show.curves(
    counts,
    {"the largest shares": left, "other loud units": left_by_others},
    ("units silenced", f"p of {tokenizer.token(yes)}"),
    title="what is left of the word",
)

# %% [markdown] key="silence-read"
# Without its best unit the model still says `{{ tokenizer.token(yes) }}`, with {{ left[1] :.2f }}, because the
# shares of the others suffice. Without two it is {{ left[2] :.2f }}, without five {{ left[5] :.2f }}, and without {{ needed }},
# {{ needed / shares.size :.2% }} of all units, {{ left[needed] :.3f }}, whereas as many other loud units cost it
# nothing: {{ left_by_others[needed] :.3f }}, and never less than {{ left_by_others.min() :.3f }}. So this word hangs on more than one unit and on far fewer than the whole
# model. The {{ needed }} lie in blocks {{ np.unravel_index(ranked[:needed], shares.shape)[0].min() }} to
# {{ np.unravel_index(ranked[:needed], shares.shape)[0].max() }}, and each adds its share to the stream.
# {{ claim: left[1] > 0.5 and 3 <= needed < 0.01 * shares.size and left_by_others.min() > 0.9 }}

# %% [markdown] key="forget-why"
# ## Can the model forget one thing?
#
# These {{ needed }} were chosen at one token of one sentence. If they serve the *phrase*, the model should forget it
# in other surroundings too. If they serve the *word*, it should also lose "a great time". And if they are simply
# important, everything should become worse. So we silence them everywhere and measure all three: the phrase at
# the end of 20 other texts, the word in 20 other phrases, and the loss ([lesson 05](05_rope.ipynb)) on the
# rest of those texts.

# %% key="forget"
from llama_np import log_softmax, no_tap

phrase = tokenizer.decode(ids[1 : first + 2].tolist())
units, others = strongest(needed)
taps = no_tap, silence(units), silence(others)


def log_p(text_ids):
    """The log probability of each token after the first, under each tap: 3 T-1"""
    found = np.stack([log_softmax(forward(weights, config, text_ids, tap=tap)) for tap in taps])
    return found[:, np.arange(len(text_ids) - 1), text_ids[1:]]


# %% key="forget-texts"
in_phrase, elsewhere, rest, examples = [], [], [], []
for text in read_stories()[:20]:
    middle = ". ".join(text.replace("\n", " ").split(". ")[1:4])
    text_ids = np.array(tokenizer.encode(f'{middle}. Mom read, "{phrase}', bos=True))
    found = log_p(text_ids)
    in_phrase.append(np.exp(found[:, -1]))
    rest.append(-found[:, :-1].mean(axis=1))
for text in read_stories():
    text_ids = np.array(tokenizer.encode(text, bos=True)[:400])
    places = [t for t in np.flatnonzero(text_ids == yes) if t > first + 1]
    if places and len(elsewhere) < 20:
        t = places[0]
        elsewhere.append(np.exp(log_p(text_ids[: t + 1])[:, -1]))
        examples.append(tokenizer.decode(text_ids[t - 3 : t + 1].tolist()))

# %% key="forget-table"
in_phrase, elsewhere, rest = map(np.array, (in_phrase, elsewhere, rest))  # each 20 3
measured = {
    f"p, after {tokenizer.decode(ids[1 : first + 1].tolist())!r}": in_phrase,
    "p, in other phrases": elsewhere,
    "loss of all other tokens": rest,
}
rows = [
    [name, *(f"{m:.3f} ± {s:.3f}" for m, s in zip(each.mean(axis=0), each.std(axis=0)))]
    for name, each in measured.items()
]
print("other phrases:", *examples[:6], sep="  ")
header = "as it is", f"without the {needed}", f"without {needed} others"
table([f"{len(in_phrase)} texts each", *header], rows)

# %% [markdown] key="forget-read"
# In 20 other texts, where the phrase does not stand at the beginning, the model knew it with {{ in_phrase[:, 0].mean() :.2f }} ± {{ in_phrase[:, 0].std() :.2f }}, and now with
# {{ in_phrase[:, 1].mean() :.2f }}. The same word in other phrases, of which {{ sum("had a great time" in each for each in examples) }} of 20 are "had a great time", falls from {{ elsewhere[:, 0].mean() :.2f }} to
# {{ elsewhere[:, 1].mean() :.2f }}: it suffers too, though less. The loss of everything else, high from the start because these texts begin in the middle of a
# story, changes by {{ (rest[:, 1] - rest[:, 0]).mean() :+.3f }} ± {{ (rest[:, 1] - rest[:, 0]).std() :.3f }}, and by
# {{ (rest[:, 2] - rest[:, 0]).mean() :+.3f }} in the control. So without these {{ needed }} of {{ shares.size :, }} units the model
# forgets what follows "Once upon a", loses part of the word elsewhere, and predicts the rest as before.
# {{ claim: in_phrase[:, 1].mean() < 0.3 * in_phrase[:, 0].mean() and in_phrase[:, 2].mean() > 0.8 * in_phrase[:, 0].mean() }}
# {{ claim: elsewhere[:, 1].mean() / elsewhere[:, 0].mean() > 2 * in_phrase[:, 1].mean() / in_phrase[:, 0].mean() }}
# {{ claim: abs((rest[:, 1] - rest[:, 0]).mean()) < 0.1 }}
#
# So they serve the phrase above all, and the word in part. The exercise gives you a memory that is less sharply located.

# %% [markdown] key="write-why"
# ## Can the memory be put elsewhere?
#
# What is *needed* for a word need not be *enough* for it. So now the opposite: we break the 20 stories off after 60
# tokens, where ` time` is out of place, and at the last token give these units the numbers that they have after
# "Once upon a". If {{ needed }} units hold the memory, the story must now go on with the word. **Predict before you run it**: does it? The
# control gives the other units their numbers from the same place. Besides the probability we measure by how many logits the story's own
# next word, the one the model prefers as it is, still leads.


# %% key="write"
def write(units, place=-1):
    """A tap under which some units write, at one place, what they write at the first place."""

    def change(hidden, i):
        hidden = hidden.copy()
        hidden[place] = np.where(units[i], here[i], hidden[place])
        return hidden

    return patch({f"blocks.{i}.hidden": partial(change, i=i) for i in blocks})


beginnings = [story[:60] for story in stories]
as_it_is = np.array([forward(weights, config, each)[-1] for each in beginnings])  # 20 V
own = np.arange(len(beginnings)), as_it_is.argmax(axis=-1)  # each story and its own next word
lead_before = (as_it_is[own] - as_it_is[:, yes]).mean()

# %% key="write-table"
counts, rows, pasted, firsts, lead = (needed, 50, 200), [], {}, {}, {}
for n in counts:
    found = np.array(
        [
            [forward(weights, config, each, tap=write(units))[-1] for each in beginnings]
            for units in strongest(n)
        ]
    )  # 2 20 V
    pasted[n] = softmax(found)[..., yes]
    firsts[n] = (found.argmax(axis=-1) == yes).sum(axis=-1)
    lead[n] = (found[:, own[0], own[1]] - found[..., yes]).mean(axis=-1)
    each = zip(pasted[n], firsts[n], lead[n], strict=True)
    rows.append(
        [n] + [f"{p.mean():.4f} ± {p.std():.4f}, first in {f}, {d:.1f}" for p, f, d in each]
    )
print(f"as it is: p {softmax(as_it_is)[:, yes].mean():.6f}, behind by {lead_before:.1f} logits")
header = f"p of {tokenizer.token(yes)}, first in how many, behind by"
table(["units written", f"these: {header}", "control: others, the same"], rows)

# %% [markdown] key="write-read"
# Partly. The {{ needed }} units that the model could not do without bring `{{ tokenizer.token(yes) }}` to
# {{ pasted[needed][0].mean() :.3f }} on average, and to the first place in {{ firsts[needed][0] }} of 20 stories. That is far
# above the control's {{ pasted[needed][1].mean() :.5f }} and far from the certainty of "Once upon a". The last number in each
# cell says why. As it is, the story's own word leads ` time` by {{ lead_before :.1f }} logits; the {{ needed }} units make up {{ lead_before - lead[needed][0] :.1f }} of these, and it is still ahead by
# {{ lead[needed][0] :.1f }}. With 50 the two are level ({{ lead[50][0] :.1f }}), and ` time` is first in {{ firsts[50][0] }}. With 200 units,
# {{ 200 / shares.size :.0% }} of all, the lead is {{ lead[200][0] :.1f }}, which means that ` time` is in front, with {{ pasted[200][0].mean() :.2f }} ± {{ pasted[200][0].std() :.2f }} and as the first choice
# in {{ firsts[200][0] }}, where the control stays at {{ pasted[200][1].mean() :.5f }}.
# {{ claim: lead_before > lead[needed][0] + 5 and lead[needed][0] > 0.5 > lead[200][0] }}
#
# So the two questions have different answers. Without a few units the memory breaks, as an arch falls when a few
# stones are missing. The same few stones, carried elsewhere, make no arch: they do most of the work and lose all the same,
# because what that story says is further ahead than they can push. Taking something away shows what is necessary, and not yet what would suffice.
# {{ claim: pasted[needed][0].mean() > 20 * pasted[needed][1].mean() }}
# {{ claim: pasted[200][0].mean() > 2 * pasted[needed][0].mean() and pasted[200][1].mean() < 0.01 }}
# {{ claim: pasted[needed][0].mean() < 0.5 * p[first, yes] }}

# %% [markdown] key="next"
# ## What comes next
#
# Try your hand at [exercise 08](exercises/08_feed_forward.ipynb). You now have all the parts of a block;
# [lesson 09](09_32_blocks.ipynb) puts them together, runs 32 of them, and reads what the stream says after each.
