# %% [markdown] key="title"
# # 02 Embedding: ids to rows of a matrix
#
# An id is a name, like the number on a football shirt. Nothing can be computed with it. This lesson shows
# how a model gets from a name to something it can compute with. The step itself is one line of code. What
# makes it worth a lesson is the matrix behind it: here a model keeps what it knows about each token before
# it has read any other. We look for that knowledge, and find that tokens which can stand in the same
# places have similar rows.
#
# In go the ids, shape `(T,)`. Out comes the beginning of the residual stream `x`, shape `(T, D)`: one row
# of `D` numbers for each token.
#
# After this lesson you can do the look-up by hand and as a matrix product, and say why both are the same.
# You can measure how near two tokens are. You know how much of a model this matrix takes, and what it means
# that a model's embedding and its output matrix are **tied**.

# %% key="map"
import numpy as np
from classroom import agree, shapes, show, source, table

from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["embedding"])

# %% key="ids"
prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
show.tokens(labels, ids)

# %% [markdown] key="look-up-why"
# ## Step 1. The look-up
#
# Ids count tokens in the order in which the tokenizer learned them (lesson 01). Token 300 is not one more
# than token 299, and the mean of two ids is some third token that has nothing to do with them. The blocks
# of the model multiply and add, so they need numbers for which that makes sense.
#
# The way out: give every token of the vocabulary `D` numbers of its own, and let training set them. They
# are the rows of the **embedding**, a matrix $E$ of `V` rows and `D` columns. The row of a token stands
# where its id says.

# %% key="look-up-by-hand"
embedding = weights.embedding
x = embedding[ids]
print("embedding", embedding.shape, " ids", ids.shape, "-> x", x.shape)
show.matrix(x, ("T", "D"), rows=labels, title="x: one row per token")

# %% key="look-up-named"
from llama_np import embed

source(embed)

# %% key="look-up-agree"
agree(x, embed(embedding, ids))

# %% [markdown] key="same-rows-why"
# Some tokens stand in this sentence twice. **Predict before you run:** are their rows the same? The
# second one has other neighbours, and another place.

# %% key="same-rows"
for token_id in np.unique(ids):
    places = np.flatnonzero(ids == token_id)
    if len(places) > 1:
        same = bool((x[places] == x[places[0]]).all())
        print(tokenizer.token(token_id), "stands at", places, "and its rows are the same:", same)

# %% [markdown] key="same-rows-answer"
# <details><summary>Answer</summary>
#
# They are the same, number by number. A row depends on the id and on nothing else: not on the place, not
# on the neighbours. The blocks will make the two rows different; the first one begins with it in lesson
# 04. GPT-2 adds a second row here, one for the place. Llama adds nothing: place comes in by rotation,
# inside attention (lesson 05).
#
# </details>

# %% [markdown] key="one-hot-why"
# ## Step 2. The look-up is a matrix product
#
# Picking rows does not look like the rest of the model, which is made of matrix products. But it is one.
# Write each id as a row of `V` numbers that is 1 at the id's place and 0 everywhere else. Such a row is
# called **one-hot**. One row $o$ times the matrix is
#
# $$(o\,E)_d = \sum_{i=0}^{V-1} o_i\, E_{i,d} = E_{\text{id},d}$$
#
# since all terms of the sum but one are zero. $E_{i,d}$ is the number in row $i$ and column $d$.

# %% key="one-hot-by-hand"
one_hot = np.zeros((len(ids), len(embedding)), dtype=embedding.dtype)
one_hot[np.arange(len(ids)), ids] = 1
print("one_hot", one_hot.shape, "with", int(one_hot.sum()), "ones")
used = np.unique(ids)
show.matrix(
    one_hot[:, used],
    ("T", "id (only those in use)"),
    rows=labels,
    columns=[str(i) for i in used],
    title="one_hot",
)

# %% [markdown] key="one-hot-agree-note"
# Most columns are zero from top to bottom; the picture shows only those that are not. The product gives
# the same `x`.

# %% key="one-hot-agree"
agree(one_hot @ embedding, embed(embedding, ids))  # T V @ V D -> T D

# %% [markdown] key="one-hot-cost-note"
# Then why not compute it so? Almost all of the work would be multiplying by zero. The product is for
# understanding: the embedding is a matrix like the others, only its input is one-hot. It also tells what
# training does here. A row that meets only zeros has no part in the result, so one text changes only the
# rows of the tokens that stand in it.

# %% key="one-hot-cost"
products = len(ids) * config.vocab_size * config.dim
print(f"as a product: {products:,} multiplications")
print(f"as a look-up: none, and {x.size:,} numbers are copied")

# %% [markdown] key="cosine-why"
# ## Step 3. What the rows know
#
# Do rows say something about their tokens? Single numbers do not: column 7 has no name. But rows can be
# compared with one another. The **cosine** of two rows $a$ and $b$ measures whether they point the same
# way:
#
# $$\cos(a, b) = \frac{a \cdot b}{|a|\,|b|}, \qquad a \cdot b = \sum_d a_d b_d, \qquad |a| = \sqrt{a \cdot a}$$
#
# It is 1 for the same direction, 0 for directions at right angles, and −1 for opposite ones. How long the
# rows are plays no part.


# %% key="cosine-by-hand"
def id_of(word):
    return tokenizer.encode(word)[-1]


girl, boy = id_of(" girl"), id_of(" boy")
a, b = embedding[girl], embedding[boy]
by_hand = (a @ b) / (np.sqrt(a @ a) * np.sqrt(b @ b))
print(f"cosine of {tokenizer.token(girl)} and {tokenizer.token(boy)}: {by_hand:.3f}")

# %% [markdown] key="cosine-all-note"
# All tokens at once: one product of the matrix with a row. `lengths` is the length of every row. (`einsum`
# multiplies row by row and sums over `d`; a row of zeros, as some large models have, would divide by zero.)

# %% key="cosine-all"
lengths = np.sqrt(np.einsum("vd,vd->v", embedding, embedding))
lengths[lengths == 0] = 1


def cosines(row):
    return embedding @ row / (lengths * np.sqrt(row @ row))  # V D @ D -> V


agree(by_hand, cosines(a)[boy])

# %% [markdown] key="random-why"
# Is a cosine of 0.3 much? To know that we need something to compare with: rows without any meaning.
#
# **Predict before you run:** how large is the cosine of two random rows, in 2 dimensions, in `D`, in the
# 4096 of Llama 3 8B?

# %% key="random"
rng = np.random.default_rng(0)
for width in (2, config.dim, 4096):
    u, v = rng.standard_normal((2, 2000, width))
    both = (u * v).sum(axis=1) / np.sqrt((u * u).sum(axis=1) * (v * v).sum(axis=1))
    print(
        f"{width:5} numbers: usual size {np.sqrt((both**2).mean()):.2f}, 1/sqrt is {width**-0.5:.2f}"
    )

# %% [markdown] key="random-answer"
# <details><summary>Answer</summary>
#
# In many dimensions nearly all directions are at right angles to one another. The cosine of two random
# rows is about $\pm 1/\sqrt{D}$. So in a wide model even a small cosine means something, and there is
# room for many more directions that hardly disturb each other than there are columns.
#
# </details>

# %% [markdown] key="near-why"
# Now the nearest tokens of a few words, leaving out the word itself. If training has put meaning into the
# rows, it must show here. (The words are tried with a space in front. Where the tokenizer cuts one, its
# last token is taken.)


# %% key="near"
def nearest(word, n=6):
    found = cosines(embedding[id_of(word)])
    found[id_of(word)] = -1
    best = np.argsort(-found)[:n]
    return [f"`{tokenizer.token(i)}` {found[i]:.2f}" for i in best]


words = [" girl", " Lily", " mom", " dog", " happy", " red", " he", "3", "."]
table(["token", *range(1, 7)], [[f"`{tokenizer.token(id_of(w))}`", *nearest(w)] for w in words])

# %% [markdown] key="near-note"
# In a trained model many of these neighbours are of the same sort: a name beside names, a digit beside
# digits. Some make no sense. Nobody told the model what a name is. But after `named` any name can follow,
# and a name is treated alike in what comes after it. So training pushes the rows of tokens that can stand
# in the same places in the same direction. That is all it means to be near. Opposites can be near for the
# same reason: `␣happy` and `␣sad` fit into the same gaps.
#
# A picture shows sorts of tokens at a glance. Each square is the cosine of two tokens.

# %% key="groups"
groups = " Lily Mia Tom Max dog cat bird fish said asked told happy sad scared red blue green"
chosen = np.array(tokenizer.encode(groups))
unit = embedding[chosen] / lengths[chosen, None]
names = [tokenizer.token(i) for i in chosen]
show.matrix(unit @ unit.T, ("token", "token"), rows=names, columns=names, title="cosines")

# %% [markdown] key="lengths-note"
# The length of a row tells something too.
#
# **Predict before you run:** which tokens have the shortest rows, and which the longest?

# %% key="lengths"
order = np.argsort(lengths, kind="stable")
for name, some in (("shortest", order[:14]), ("longest", order[-14:])):
    print(f"{name}, {lengths[some].min():.2f} to {lengths[some].max():.2f}:")
    print("   ", *(tokenizer.token(i) for i in some))

# %% [markdown] key="lengths-answer"
# <details><summary>Answer</summary>
#
# In a trained model many of the shortest rows belong to tokens that its training text hardly holds, such
# as single bytes and rare signs. A row begins with small random numbers, and little ever pulled at these.
# If such a token turns up in a prompt, the model gets noise.
#
# </details>

# %% [markdown] key="mix-why"
# ## Step 4. Between two tokens
#
# A row of numbers can do what an id cannot: move a little. Take the row of `␣girl` and move it in steps
# to the row of `␣boy`. In between it is the row of no token at all.
#
# **Predict before you run:** which names will the model expect after `a little ... named` on the way?
# Does it stop making sense in the middle?
#
# `patch` is a tap that replaces an activation on its way through the model. Here it replaces `embedded`,
# the name under which `forward` files our `x`.

# %% key="mix"
from llama_np import forward, patch, softmax

here = int(np.flatnonzero(ids == girl)[-1])
shares = np.linspace(0, 1, 9)
answers = []
for share in shares:
    moved = x.copy()
    moved[here] = (1 - share) * embedding[girl] + share * embedding[boy]
    answers.append(softmax(forward(weights, config, ids, tap=patch({"embedded": moved}))[-1]))
answers = np.array(answers)  # one row of V probabilities for each share

# %% key="mix-drawn"
likely = np.unique(answers.argsort(axis=-1)[[0, -1], -3:])
lines = {tokenizer.token(i): answers[:, i] for i in likely}
show.curves(
    shares,
    lines,
    ("share of ␣boy in the row", "probability"),
    title="the next token after ...named",
)

# %% [markdown] key="mix-answer"
# <details><summary>Answer</summary>
#
# The ends are the model's answers to the two sentences, and the next cell holds that against an ordinary
# run. In between, the model goes over from one to the other without a jump. It has never seen such a row.
# But all that it computes changes smoothly with its input: a small move of the row makes a small move of
# the result. This is also what makes training possible.
#
# </details>

# %% key="mix-agree"
other = np.where(np.arange(len(ids)) == here, boy, ids)
print(tokenizer.decode(other[1:]))
agree(answers[-1], softmax(forward(weights, config, other)[-1]), tolerance=1e-4)

# %% [markdown] key="share-why"
# ## Step 5. How much of the model is it?
#
# The embedding has $V \cdot D$ numbers. At the other end of the model the **output matrix** has as many: it
# gives every token of the vocabulary a score (lesson 10). The blocks, where the work is done, share what
# is left. How much is that?
#
# Besides the model you have loaded and Llama 3 8B we take Llama 3.2 1B. Its sizes are in its
# [config](https://huggingface.co/meta-llama/Llama-3.2-1B/blob/main/config.json), and its embedding and
# output matrix are one and the same; more on this in step 6.

# %% key="share"
from dataclasses import replace

from llama_np import LLAMA_3_8B

llama_1b = replace(
    LLAMA_3_8B, dim=2048, n_layers=16, head_dim=64, ffn_width=8192, tied_output=True
)  # with other RoPE and a longer context, which change no count
rows = []
for name, c in {"this model": config, "Llama 3 8B": LLAMA_3_8B, "Llama 3.2 1B": llama_1b}.items():
    one, all_of_it = c.vocab_size * c.dim, c.count_parameters()
    both = one if c.tied_output else 2 * one
    tied = "tied" if c.tied_output else "untied"
    rows.append([name, f"{one:,}", tied, f"{both:,}", f"{all_of_it:,}", f"{both / all_of_it:.1%}"])
table(["", "V · D", "output", "both", "whole model", "share"], rows)

# %% key="share-agree"
counted = sum(array.size for _, array in weights.named())
assert counted == config.count_parameters()
print(f"counted in the weights: {counted:,}, as the formula in the config says")

# %% [markdown] key="share-note"
# Blocks grow with the square of the width, the embedding only with the width. So with the same
# vocabulary, the smaller a model, the larger the share of its two outer matrices. (The model that comes
# with these notebooks escapes this by its small vocabulary.) In Llama 3 8B the two matrices are about an
# eighth of the model, in the 1B one matrix alone is more than a fifth, although it is there only once.

# %% [markdown] key="tied-why"
# ## Step 6. Tied and untied
#
# At the end of the model a row of `D` numbers meets the output matrix, `D` by `V`. Each of its columns
# belongs to one token, and the product of the row with that column is the token's score. So there are two
# matrices with `D` numbers for each token: the embedding says what a token means when it is **read**, the
# output matrix when it is **predicted**. One can save one of the two and use the same numbers for both:
# the output matrix is then the embedding, turned on its side,
#
# $$W_{\text{output}} = E^{\mathsf T}$$
#
# The two are said to be **tied** ([Press and Wolf 2017](https://arxiv.org/abs/1608.05859)). Llama 3 8B is
# not tied. Llama 3.2 1B and 3B are. So it is not true that all Llamas run the same code with other
# numbers: code that always looks for an output matrix in the file finds none there. Llama 3.1 and later
# also change RoPE (lesson 05).

# %% key="tied-by-hand"
print("embedding", embedding.shape, " output", weights.output.shape)
print("the config says tied:", config.tied_output)
print("the two share their memory:", np.shares_memory(weights.embedding, weights.output))

# %% [markdown] key="tied-named-note"
# In the library one line makes the difference. Where a file has no `output`, it is the embedding
# transposed: the same numbers in memory, looked at with rows and columns exchanged.

# %% key="tied-named"
from llama_np import Weights

source(Weights.from_named)

# %% key="tied-agree"
named = dict(weights.named())
named.pop("output", None)
tied = Weights.from_named(named)
print("the two share their memory:", np.shares_memory(tied.embedding, tied.output))
agree(embedding.T, tied.output)

# %% [markdown] key="tied-try"
# **Predict before you run:** `tied` has the blocks of our model and its embedding as output matrix. This
# is what comes out when the output matrix of a model is lost on the way. Does it still tell stories? We
# compare the **loss**: minus the logarithm of the probability of each next token of the sentence,
# averaged. Pure guessing among `V` tokens has the loss $\ln V$; smaller is better.

# %% key="tied-try-cell"
from llama_np import log_probabilities

print(f"as it was trained  {-log_probabilities(weights, config, ids).mean():.2f}")
print(f"with tied output   {-log_probabilities(tied, config, ids).mean():.2f}")
print(f"pure guessing      {np.log(config.vocab_size):.2f}")

# %% [markdown] key="tied-try-answer"
# <details><summary>Answer</summary>
#
# If the model was trained untied, as the one that comes with these notebooks, it is lost: the last block
# writes for the columns of another matrix. Nothing stops with an error, since the shapes fit. If the
# model you have loaded was trained tied, both lines are the same. Tying is no trick for afterwards; a
# model has to be trained with it.
#
# </details>

# %% [markdown] key="tied-compare-note"
# How different are the two matrices? For each token, take the cosine of its row in the embedding and its
# column in the output matrix. Tied, every cosine is 1. Untied, nothing in training asks them to agree.

# %% key="tied-compare"
columns = weights.output.T
column_lengths = np.sqrt(np.einsum("vd,vd->v", columns, columns))
column_lengths[column_lengths == 0] = 1
between = np.einsum("vd,vd->v", embedding, columns) / (lengths * column_lengths)
print(f"usual size of the cosines: {np.sqrt((between**2).mean()):.2f}")
print(f"of two random rows:        {config.dim**-0.5:.2f}")

# %% [markdown] key="shapes-note"
# ## What you have seen

# %% key="shapes"
arrays = {
    "ids": "T",
    "one_hot": "T V",
    "embedding": "V D",
    "x, the stream": "T D",
    "output matrix": "D V",
}
shapes(arrays, config, n_tokens=len(ids))

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>Why not give the model the ids as they are, divided by V to make them small?</summary>
#
# Then tokens with neighbouring ids would look almost the same to the model, and the order in which the
# tokenizer learned them would count. An id is a name. The one-hot row treats all names alike, and the
# embedding decides what is near.
#
# </details>
#
# <details><summary>Two tokens have a cosine of 0.6. Do they mean the same?</summary>
#
# They are used in similar places. That can be two words for the same thing, two names, or two opposites.
#
# </details>
#
# <details><summary>How many rows of the embedding does a training step with one short text change?</summary>
#
# Those of the tokens in the text, through the look-up. If output and embedding are tied, all of them:
# every token gets a score at the output, also those that are not in the text. (Often training also
# shrinks all weights a little at each step. That touches the others too.)
#
# </details>
#
# <details><summary>A vocabulary is made twice as large. What happens to the size of the model, to the
# number of tokens in a text, and to the work in the blocks?</summary>
#
# The embedding and the output matrix double. A text has fewer tokens, though not half as many. The blocks
# have less to do for the same text, because they work token by token.
#
# </details>
#
# <details><summary>You write a program for Llama 3 8B and try it on Llama 3.2 1B. What has to be different,
# apart from the sizes?</summary>
#
# The file has no output matrix: use the embedding, transposed. And the RoPE frequencies are scaled
# (lesson 05).
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# The stream has begun: one row for each token. Now the first block reads it. Lesson 03, RMS norm, shows the
# first thing it does: bring every row to the same size.
