# %% [markdown] key="title"
# # 02 Embedding: ids to rows of a matrix
#
# Every token of *Once upon a time, there was a little girl named* has two sets of numbers in this model: one is
# looked up when the token is **read**, the other decides how well it does when the next token is **predicted**.
# Before the first step of training the two sets were the same, number by number. Why are they not the same any
# more, and what has each of them become? Step 4 measures it, step 5 lets it happen once more, before your eyes, and
# step 6 asks what a model would need in order to do with one set.
#
# In go the ids of [lesson 01](01_tokens.ipynb), shape `(T,)`. Out comes the beginning of the residual stream
# `x`, shape `(T, D)`, one row of `D` numbers for each token. There is an
# [exercise](exercises/02_embedding.ipynb).

# %% key="map"
import numpy as np
from classroom import agree, show, table

from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["embedding", "output"])

# %% key="ids"
prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
show.tokens(labels, ids)

# %% [markdown] key="look-up-why"
# ## Step 1. The look-up
#
# An id is a name, like the number on a football shirt, and there is no sense in adding two of them. The blocks multiply
# and add, so they need numbers for which that makes sense, and every token of the vocabulary has `D` numbers of its own,
# which training is free to set. They are the rows of the **embedding**, a matrix $E$ with `V` rows and `D` columns, and a
# token's id, counted from 0, says which row is its own.

# %% key="look-up-by-hand"
embedding = weights.embedding
x = embedding[ids]
print("embedding", embedding.shape, " ids", ids.shape, "-> x", x.shape)
rows = [[name, i, *row[:5].round(2)] for name, i, row in zip(labels, ids, x)]
table(["token", "id", *(f"column {d}" for d in range(5))], rows)

# %% [markdown] key="same-rows-why"
# The table shows the first five columns of `x`. **Before you read on:** `␣a` comes twice in this sentence,
# the second time after other tokens. Are its two rows the same?
#
# <details><summary>Answer</summary>
#
# They are, because a row depends on the id and on nothing else. It will take the blocks to make them
# different. GPT-2 adds a second row here, one for the place; in a Llama, place comes in by rotation, inside
# attention ([lesson 05](05_rope.ipynb)).
#
# </details>

# %% [markdown] key="one-hot-why"
# Picking rows is a matrix product in disguise. Write each id as a **one-hot** row of `V` numbers, 1 at the id's place and
# 0 everywhere else: in its product with the matrix all other rows meet zeros. Nobody computes it so, but it shows that a
# text can teach the embedding only about the tokens that it contains.

# %% key="one-hot-by-hand"
from llama_np import embed

one_hot = np.zeros((len(ids), config.vocab_size), np.float32)
one_hot[np.arange(len(ids)), ids] = 1
agree(one_hot @ embedding, embed(embedding, ids))  # T V @ V D -> T D

# %% [markdown] key="cosine-why"
# ## Step 2. How near are two tokens?
#
# A single number of a row says nothing, because column 3 has no name, but rows can be compared. The
# **cosine** of two rows $a$ and $b$ measures whether they point the same way, however long they are:
#
# $$\cos(a, b) = \frac{a \cdot b}{|a|\,|b|}, \qquad a \cdot b = \sum_d a_d b_d, \qquad |a| = \sqrt{a \cdot a}$$
#
# It is 1 for the same direction, 0 for directions at right angles, −1 for opposite ones. We compare the tokens
# that are *in use*: those that occur at least 30 times in several hundred stories that this model has told.

# %% key="cosine-by-hand"
from weights_tools.training.heroes import read_stories

stories = [np.array(tokenizer.encode(text, bos=True)) for text in read_stories()]
times = np.bincount(np.concatenate(stories), minlength=config.vocab_size)
used = np.flatnonzero(times >= 30)


def cosines(rows):
    unit = rows / np.sqrt((rows**2).sum(axis=-1, keepdims=True))
    return unit @ unit.T  # N D @ D N -> N N


def place(word):
    return int(np.flatnonzero(used == tokenizer.encode(word)[-1])[0])


read = embedding[used]
girl, boy = place(" girl"), place(" boy")
print(f"{len(stories):,} stories, {len(used)} tokens in use")
print(f"cosine of ␣girl and ␣boy: {cosines(read)[girl, boy]:.2f}")

# %% [markdown] key="random-why"
# Is that much? Two random rows of `D` numbers have a cosine of about $\pm 1/\sqrt{D}$, which is
# {{ config.dim ** -0.5 :.2f }} here. Yet we are going to look for the *nearest* of all tokens, and the best of many tries is
# better than one. How close does the closest of {{ len(used) - 1 }} random rows come?

# %% key="random"
rng = np.random.default_rng(0)


def nearest(rows):
    found = cosines(rows)
    np.fill_diagonal(found, -1)  # a token is no neighbour of itself
    return found.max(axis=-1)


plain = nearest(rng.standard_normal(read.shape))
for name, found in (("random", plain), ("embedding", nearest(read))):
    print(f"{name:10} nearest neighbour: cosine {found.mean():.2f} on average")

# %% [markdown] key="random-answer"
# {{ claim: plain.mean() > 2.5 * config.dim ** -0.5 }}
# {{ claim: cosines(read)[girl, boy] > plain.mean() + 0.05 }}
# A random row has its nearest neighbour at {{ plain.mean() :.2f }}, about
# {{ plain.mean() * config.dim ** 0.5 :.0f }} times the cosine of a single pair, so a neighbour at that
# distance tells us nothing. `␣girl` and `␣boy` are nearer than that, although not remarkably near: an average
# token has a neighbour at {{ nearest(read).mean() :.2f }}. {{ claim: nearest(read).mean() > cosines(read)[girl, boy] }}

# %% [markdown] key="output-why"
# ## Step 3. The second set of numbers
#
# At the end of the model the last row of the stream meets the **output matrix**, `D` by `V`, and its product
# with a token's *column* is that token's score, its logit ([lesson 10](10_logits.ipynb)). Before the training
# of this model began, every column was made a copy of the same token's row.
#
# One thing comes off before we compare. If the same column $c$ is subtracted from all, every logit falls by
# the same amount, $x \cdot c$, and the softmax gives the same probabilities as before. What all columns have
# in common therefore says nothing about any token, and we subtract their mean. This is called **centring**. We do it
# to the rows as well, since it is the first half of a cure that brings out the meaning of word vectors in general
# ([Mu and Viswanath 2018](https://arxiv.org/abs/1702.01417)).

# %% key="output-by-hand"
from llama_np import softmax


def centred(rows):
    return rows - rows.mean(axis=0)


output = weights.output.T[used]  # one row for each token: its column of the output matrix
agree(softmax(x @ centred(output).T), softmax(x @ output.T))  # T D @ D N -> T N
to_read, to_predict = cosines(centred(read)), cosines(centred(output))  # N N
both = cosines(np.concatenate([centred(read), centred(output)]))[: len(used), len(used) :]
own, other = both.diagonal(), both[~np.eye(len(used), dtype=bool)]
print(f"cosine of a token's row with its own column     {own.mean():5.2f} ± {own.std():.2f}")
print(f"cosine of a token's row with another's column   {other.mean():5.2f} ± {other.std():.2f}")

# %% [markdown] key="near-why"
# {{ claim: own.mean() > 0.1 and abs(other.mean()) < 0.03 }}
# At the start the first of these numbers was 1. It has fallen to {{ own.mean() :.2f }}, so the common
# beginning can still be seen, but only just. Where did the two go? Here are the nearest neighbours of a few
# tokens in each.
#
# **Predict before you run:** where is `␣sad` nearer to `␣happy`, in the embedding or in the output matrix?


# %% key="near"
def called(i):
    return f"`{tokenizer.token(used[i])}`"


def neighbours(word, near, n=4):
    order = np.argsort(-near[place(word)])
    return ", ".join(called(i) for i in order[order != place(word)][:n])


def rank(word, other, near):
    return int((near[place(word)] > near[place(word), place(other)]).sum())  # 1: the nearest


words = [" girl", " happy", " dog", " said", " little", " was"]
rows = [[called(place(w)), neighbours(w, to_read), neighbours(w, to_predict)] for w in words]
table(["token", "when it is read (embedding)", "when it is predicted (output matrix)"], rows)

# %% [markdown] key="near-note"
# {{ claim: rank(" happy", " sad", to_predict) < rank(" happy", " sad", to_read) / 3 }}
# As something to be predicted, `␣sad` is neighbour number {{ rank(" happy", " sad", to_predict) }} of
# `␣happy`; as something that has been read it is number {{ rank(" happy", " sad", to_read) }}. On the right
# are words that could take the token's place in the same sentence: where `␣girl` can be said,
# {{ neighbours(" girl", to_predict, 3) }} can, too. On the left the rule is harder to see. What could each matrix have
# been taught?

# %% [markdown] key="training-why"
# ## Step 4. What each matrix knows
#
# Training asks for one thing only, to make the token that follows more probable. A token's *row* is used when
# the token is already in the text, so it is shaped by what comes **after** the token. A token's *column*
# decides its score wherever the model is in a text, so it is shaped by what stands **before** the token. If this is right, near rows should belong to tokens with similar followers, and near
# columns to tokens with similar predecessors.
#
# Counting can test that. For every token we count how often each other token follows it in the stories. Divided by their
# sum these counts are shares, one row of shares for each token, which we compare as we did the rows of the matrices. The
# same table read by columns gives the predecessors. Then we hold the ten tokens nearest to a token against the ten
# most alike in followers and the ten most alike in predecessors, and count how many are alike in followers *only*, in
# predecessors *only*, in both, or in neither. The first two counts are those that can tell the matrices apart.
#
# **Predict before you run:** both matrices have been in the same model, trained on the same texts, and began
# with the same numbers. How different will their neighbours be?


# %% key="training-counts"
def count_pairs(texts):
    number = np.full(config.vocab_size, len(used))  # all tokens that are not in use: one number
    number[used] = np.arange(len(used))
    counts = np.zeros((len(used) + 1, len(used) + 1), np.float32)
    for text in texts:
        np.add.at(counts, (number[text[:-1]], number[text[1:]]), 1)
    return counts[:-1, :-1]  # how often token j (column) came right after token i (row)


def shares(counts):
    return counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)


def ten_nearest(near):
    near = near - 9 * np.eye(len(near))  # not the token itself
    return near >= np.sort(near, axis=-1)[:, [-10]]  # N N, ten True in each row


def company(near, counts):
    """Of ten neighbours: alike in followers only, in predecessors only, in both, in neither."""
    after, before = (ten_nearest(cosines(centred(shares(c)))) for c in (counts, counts.T))
    kinds = after & ~before, before & ~after, after & before, ~(after | before)
    return [(ten_nearest(near) & kind).sum(axis=-1).mean() for kind in kinds]


# %% key="training-table"
counts = count_pairs(stories)
parts = [count_pairs(stories[k::10]) for k in range(10)]  # ten collections of stories
orders = [rng.permutation(len(used)) for _ in parts]  # every token gets the row of another
start = cosines(centred(rng.standard_normal(read.shape)))
nears = {
    "embedding": [to_read] * 10,
    "output matrix": [to_predict] * 10,
    "random rows, as at the start": [start] * 10,
    "embedding, rows swapped": [to_read[order][:, order] for order in orders],
    "output matrix, swapped": [to_predict[order][:, order] for order in orders],
}
measured = {name: np.array([*map(company, near, parts)]) for name, near in nears.items()}
rows_know, columns_know, *controls = measured.values()  # each 10 4
chance = max(control[:, :2].max() for control in controls)
rows = [
    [name, *(f"{m:.2f} ± {s:.2f}" for m, s in zip(each.mean(axis=0), each.std(axis=0)))]
    for name, each in measured.items()
]
table(["of ten neighbours", "followers only", "predecessors only", "both", "neither"], rows)
print(f"in a control never more than {chance:.2f} on one side")

# %% [markdown] key="training-note"
# {{ claim: (rows_know[:, 0] > rows_know[:, 1]).all() and (columns_know[:, 1] > columns_know[:, 0]).all() }}
# {{ claim: rows_know[:, 0].mean() > 1.2 * rows_know[:, 1].mean() and columns_know[:, 1].mean() > 1.2 * columns_know[:, 0].mean() }}
# {{ claim: min(rows_know[:, 0].mean(), columns_know[:, 1].mean()) > 1.5 * chance }}
# Most neighbours, {{ rows_know[:, 3].mean() :.1f }} and {{ columns_know[:, 3].mean() :.1f }} of ten, are alike in neither, so
# followers and predecessors explain only a part of who is near whom. But where the two sides differ, the matrices have gone opposite
# ways. In the embedding {{ rows_know[:, 0].mean() :.2f }} neighbours are alike in followers only
# and {{ rows_know[:, 1].mean() :.2f }} in predecessors only, in the output matrix {{ columns_know[:, 0].mean() :.2f }} and
# {{ columns_know[:, 1].mean() :.2f }}. The matrices are the same in each line; ± is over the ten collections of stories that
# judge them, and both orders hold in all ten. Random rows, as both matrices were at the start, and tokens that have
# swapped their rows show what chance gives.
#
# So a token's row says more about *what it leads to*, and its column about *what it follows from*. Nobody
# designed this. Is it enough that the two are used in different places?

# %% [markdown] key="grow-why"
# ## Step 5. Watch two copies part
#
# To find out we take all blocks away and grow two new matrices from the same random numbers. The product of a
# token's row with all columns gives its scores, the softmax gives shares of followers, and `wrong` holds what
# was counted minus what was predicted. Then every number moves a little in the direction in which the
# predictions improve ([lesson 14](14_tensors_and_gradients.ipynb) finds such directions):
#
# - A row moves towards the *columns* of tokens that follow it more often than predicted: `wrong @ columns`.
# - A column moves towards the *rows* of tokens that precede it more often than predicted: `wrong.T @ rows`.
#
# Tokens with the same followers are thus drawn the same way in one matrix, tokens with the same
# predecessors in the other. Without blocks, will the two jobs be kept apart less clearly than in the model, or more?


# %% key="grow"
def step(rows, columns, rate=0.05):
    wrong = shares(counts) - softmax(rows @ columns.T)  # N N
    return rows + rate * wrong @ columns, columns + rate * wrong.T @ rows


beginning = rng.standard_normal(read.shape, np.float32) / np.sqrt(config.dim)
rows, columns = beginning, beginning
steps, seen = np.arange(0, 201, 10), []
for n in range(steps[-1] + 1):
    if n in steps:
        seen.append([company(cosines(centred(m)), counts) for m in (rows, columns)])
    rows, columns = step(rows, columns)
seen = np.array(seen)  # 21 2 4

# %% key="grow-picture"
show.curves(
    steps,
    {
        "rows, followers": seen[:, 0, 0],
        "columns, predecessors": seen[:, 1, 1],
        "rows, predecessors": seen[:, 0, 1],
        "columns, followers": seen[:, 1, 0],
    },
    ("steps of training", "of ten neighbours"),
    title="two copies of one matrix: neighbours that are alike on one side only",
)

# %% [markdown] key="grow-note"
# {{ claim: (seen[0] == seen[0, ::-1]).all() and seen[0, :, :2].max() < 0.6 }}
# {{ claim: seen[-1, 0, 0] > 3 * seen[-1, 0, 1] and seen[-1, 1, 1] > 3 * seen[-1, 1, 0] }}
# {{ claim: seen[3, 0, 0] > seen[3, 1, 1] + 1 }}
# More. At step 0 the two matrices are equal and so are their counts, all near chance. Then the rows take up
# followers, {{ seen[:, 0, 0].max() :.1f }} of ten at step {{ steps[seen[:, 0, 0].argmax()] }} and
# {{ seen[-1, 0, 0] :.1f }} at the end, and the columns predecessors, {{ seen[-1, 1, 1] :.1f }} at the end, while the two
# lower curves show that neither learns much of the other's job. The rows are quicker, probably because the shares after a
# token always sum to one, so that each row has as much to learn as any other, whereas the column of a token that seldom
# follows anything is hardly moved.
#
# Here all stories judge together, and they are the same ones that our matrices were fitted to. By this measure the model's
# embedding has {{ company(to_read, counts)[0] :.2f }} neighbours that are alike in followers only and its output matrix
# {{ company(to_predict, counts)[1] :.2f }} in predecessors only. So the model keeps the jobs apart less purely than two
# matrices alone; its own have {{ config.n_layers }} blocks between them.
# {{ claim: company(to_read, counts)[0] < seen[-1, 0, 0] and company(to_predict, counts)[1] < seen[-1, 1, 1] }}

# %% [markdown] key="tied-why"
# ## Step 6. One matrix for both?
#
# Small Llamas save the second matrix. In Llama 3.2 1B the embedding is
# {{ 128_256 * 2_048 / 1_235_814_400 :.0% }} of all numbers ([its
# sizes](https://huggingface.co/meta-llama/Llama-3.2-1B/blob/main/config.json)), and it is used once more,
# transposed, as output matrix: the two are **tied** ([Press and Wolf
# 2017](https://aclanthology.org/E17-2025/)). Llama 3 8B, where a second matrix adds only
# {{ 128_256 * 4_096 / 8_030_261_248 :.0% }} to the whole, keeps
# [both](https://huggingface.co/meta-llama/Meta-Llama-3-8B/blob/main/config.json).
#
# Step 5 shows what a tied model will find hard. With one matrix, the score of `␣named` after `␣girl` and the score of
# `␣girl` after `␣named` are the same number, because the product of two rows does not know which of them comes first. And
# of all rows of one length, a row has its largest product with itself. So we grow one tied matrix as we have grown the
# two. The table gives the **loss**, the number that training makes small: minus the logarithm of the probability that
# the follower got that really came, on average; and the same if the token itself is not allowed. Two columns tell at which place, in the median of the
# {{ len(used) }} tokens, the model proposes a token's most frequent follower, and at which the token itself. **Predict before you run:** what will the tied matrix say
# after `␣girl`?


# %% key="tied"
from llama_np import log_softmax


def loss_of(scores, counts):
    return -(shares(counts) * log_softmax(scores)).sum(axis=-1).mean()


def judged(scores):
    """Loss, and without the token itself; median place of the best follower, and of the token itself."""
    itself = np.eye(len(used), dtype=bool)
    loss = loss_of(scores, counts)
    of_others = loss_of(np.where(itself, -1e9, scores), np.where(itself, 0, counts))
    rows, wanted = np.arange(len(used)), (counts.argmax(axis=-1), np.arange(len(used)))
    better = [scores > scores[rows, tokens][:, None] for tokens in wanted]  # two times N N
    return loss, of_others, *(1 + np.median(each.sum(axis=-1)) for each in better)


def compare(ways):
    lines = {}
    for name, scores in ways.items():
        *losses, follower, itself = judged(scores)
        best = " ".join(called(i) for i in np.argsort(-scores[girl])[:3])
        numbers = *map("{:.2f}".format, losses), f"{follower:.0f}", f"{itself:.0f}"
        lines[name] = [name, *numbers, best]
    header = ["", "loss", "without the token itself"]
    header += ["place of the follower", "of the token itself", "after `␣girl`"]
    table(header, list(lines.values()))


# %% key="tied-table"
single = beginning
narrow = [beginning[:, : config.dim // 2]] * 2  # two with as many numbers as the single one
for _ in range(steps[-1]):
    single = sum(step(single, single)) - single  # moved by both jobs at once
    narrow = step(*narrow)
often = np.log(1 + counts.sum(axis=0)) + np.zeros_like(counts)  # the same scores after every token
grown = {"always the commonest tokens": often}
grown |= {"two matrices": rows @ columns.T, "two, half as wide": narrow[0] @ narrow[1].T}
grown |= {"one matrix": single @ single.T}
compare(grown)
common, two, halves, one = map(judged, grown.values())

# %% [markdown] key="tied-note"
# {{ claim: one[0] > two[0] + 0.5 and one[3] <= 5 and two[2] <= 3 and two[3] > 10 }}
# {{ claim: halves[0] < two[0] + 0.2 and two[1] + 0.5 < one[1] < one[0] - 0.1 and one[2] == two[2] }}
# Two matrices reach a loss of {{ two[0] :.2f }} and have the most frequent follower at place {{ two[2] :.0f }}. Their
# product is a table of **bigrams**, pairs of neighbours, and a transformer without blocks can learn nothing else ([Elhage
# et al. 2021](https://transformer-circuits.pub/2021/framework/index.html)). The single matrix stays at {{ one[0] :.2f }}, and not
# for want of numbers, since two matrices of half the width reach {{ halves[0] :.2f }}. It has the best follower at
# place {{ one[2] :.0f }} too, and after `␣girl` it says {{ called(np.argmax(single[girl] @ single.T)) }} first; but the token itself is at place
# {{ one[3] :.0f }}, where the two have it at {{ two[3] :.0f }}. That is only part of what it loses. If a token must not follow
# itself the loss is still {{ one[1] :.2f }}: the larger part is most likely lost on the scores that are the same both ways.
#
# Yet tied models work, so what do they have that our tied matrix lacks? Blocks. What a block can do about it, our own model
# can show, because it started where a tied one is: with two equal matrices. We give it every token as a text of its own
# and send the stream through its last norm into the output matrix, at three places: straight from the embedding, which is
# called the **direct path**, after block 0, and after the last block. As a control each token gets what block 0 has added
# to another one.

# %% key="first-block"
from llama_np import forward, record, rms_norm

trace = {}
forward(weights, config, used[:, None], tap=record(trace))  # N texts of one token
first, last = (trace[f"blocks.{i}.resid_out"][:, 0] for i in (0, config.n_layers - 1))  # N D
places = {
    "embedding": read,
    "after block 0": first,
    "block 0 swapped": read + (first - read)[orders[0]],
    "after the last block": last,
}
ways = {n: rms_norm(x, weights.norm, config.norm_eps) @ output.T for n, x in places.items()}
compare(ways)
direct, turned, swapped, final = map(judged, ways.values())
same = judged(rms_norm(read, weights.norm, config.norm_eps) @ read.T)  # were both matrices equal
kept = np.array([company(cosines(centred(x)), counts) for x in places.values()])
for name, (after, before, *_) in zip(places, kept):
    print(f"of ten neighbours {name:20} {after:.2f} followers only, {before:.2f} predecessors only")

# %% [markdown] key="first-block-note"
# {{ claim: direct[3] < 15 and direct[0] > np.log(len(used)) and turned[3] > len(used) / 4 and turned[2] < direct[2] / 4 }}
# {{ claim: 0.3 < (direct[2] - swapped[2]) / (direct[2] - turned[2]) < 0.7 }}
# {{ claim: swapped[2] > 2.5 * turned[2] and swapped[0] > turned[0] + 0.5 and final[2] < turned[2] }}
# {{ claim: min(kept[i, 0] - kept[i, 1] for i in (0, 1, 3)) > 0.4 }}
# {{ claim: direct[1] > np.log(len(used)) + 1 and same[3] == 1 }}
# The direct path has a loss of {{ direct[0] :.2f }}, worse than guessing, {{ np.log(len(used)) :.2f }}. The token itself stands high, at
# place {{ direct[3] :.0f }} in the median (with two equal matrices, as at the start, it would be at {{ same[3] :.0f }}), yet without it the loss
# is {{ direct[1] :.2f }} all the same: rows and columns have gone their own ways, and nothing has turned the one towards the
# other yet. One block later the token itself is
# at place {{ turned[3] :.0f }} and its most frequent follower has come from place {{ direct[2] :.0f }} to
# {{ turned[2] :.0f }}. That is no better yet than always proposing the commonest tokens, which has a loss of
# {{ common[0] :.2f }} and place {{ common[2] :.0f }}; the other blocks see to that, as far as they can: a
# lone token without a beginning is no text that the model has learned from. With the additions swapped the follower is at
# place {{ swapped[2] :.0f }}. So about half of the way is the same for all tokens, and the rest, down to {{ turned[2] :.0f }}, is each token's own: block 0 takes a row
# that names its token and turns it towards the columns of what follows. For a model that is really tied this is no
# proof, since we have none here; it shows that a block can do what such a model needs.
#
# What block 0 does *not* change is whom a token is near to, judged here by all stories at once, and not by a tenth of them as in the
# table of step 4. Of ten neighbours {{ kept[1, 0] :.2f }} are alike in followers only and
# {{ kept[1, 1] :.2f }} in predecessors only after block 0, and {{ kept[3, 0] :.2f }} and {{ kept[3, 1] :.2f }} after the
# last one, where the embedding has {{ kept[0, 0] :.2f }} and {{ kept[0, 1] :.2f }}. At both heights a token's row is still about
# what it leads to.

# %% [markdown] key="next"
# ## What comes next
#
# The stream has begun: one row for each token. [Lesson 03](03_rms_norm.ipynb), RMS norm, shows what every
# block does with it first. In the [exercise](exercises/02_embedding.ipynb) you write the look-up, give
# `␣girl` and `␣boy` each other's row, and measure how many tokens are still nearest to themselves. The code
# of this lesson is `embed` in `llama_np/model.py`.
