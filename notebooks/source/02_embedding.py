# %% [markdown] key="title"
# # 02 Embedding: ids to rows of a matrix
#
# Suppose somebody takes all blocks out of this model, so that only the matrix at its beginning and the
# matrix at its end are left, and no token can see any other. What would it still say after `␣girl` in *Once
# upon a time, there was a little girl named*? The last section tries it, and the answer is better than one
# would expect, because the two matrices hold two different things about every token: what it means when it
# is **read**, and when it should be **predicted**.
#
# In go the ids of [lesson 01](01_tokens.ipynb), shape `(T,)`. Out comes the beginning of the residual stream
# `x`, shape `(T, D)`, one row of `D` numbers for each token. There is an
# [exercise](exercises/02_embedding.ipynb).

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

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
# An id is a name, like the number on a football shirt: the mean of two ids is some third token that has
# nothing to do with them. The blocks multiply and add, so they need numbers for which that makes sense.
# Therefore every token of the vocabulary has `D` numbers of its own, which training is free to set. They are
# the rows of the **embedding**, a matrix $E$ with `V` rows and `D` columns, and a token's id, counted from 0,
# says which row is its own.

# %% key="look-up-by-hand"
embedding = weights.embedding
x = embedding[ids]
print("embedding", embedding.shape, " ids", ids.shape, "-> x", x.shape)
rows = [[f"`{name}`", i, *row[:5].round(2)] for name, i, row in zip(labels, ids, x)]
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
# Picking rows is a matrix product in disguise. Write each id as a **one-hot** row $o$ of `V` numbers, 1 at
# the id's place and 0 everywhere else. In its product with the matrix all terms but one vanish:
#
# $$(o\,E)_d = \sum_{i=0}^{V-1} o_i\, E_{i,d} = E_{\text{id},d}$$
#
# Nobody computes it so, since nearly all of the work would be multiplying by zero. But it tells what training
# does here: a row that meets only zeros has no part in the result, and so a text can teach the embedding
# something only about the tokens that it contains. Step 5 depends on that.

# %% key="one-hot-by-hand"
from llama_np import embed

one_hot = np.zeros((len(ids), config.vocab_size), np.float32)
one_hot[np.arange(len(ids)), ids] = 1
agree(one_hot @ embedding, embed(embedding, ids))  # T V @ V D -> T D
source(embed)

# %% [markdown] key="cosine-why"
# ## Step 2. How near are two tokens?
#
# A single number of a row says nothing, because column 3 has no name, but rows can be compared. The
# **cosine** of two rows $a$ and $b$ measures whether they point the same way, however long they are:
#
# $$\cos(a, b) = \frac{a \cdot b}{|a|\,|b|}, \qquad a \cdot b = \sum_d a_d b_d, \qquad |a| = \sqrt{a \cdot a}$$
#
# It is 1 for the same direction, 0 for directions at right angles, −1 for opposite ones. We compare all
# pairs of tokens that are in use, which shall mean: a thousand short stories that come with this project
# contain them at least 50 times.

# %% key="cosine-by-hand"
from weights_tools.training.corpus import STORIES, read_documents

stories = [np.array(tokenizer.encode(text, bos=True)) for text in read_documents(STORIES)]
times = np.bincount(np.concatenate(stories), minlength=config.vocab_size)
used = np.flatnonzero(times >= 50)


def cosines(rows):
    unit = rows / np.sqrt((rows**2).sum(axis=-1, keepdims=True))
    return unit @ unit.T  # N D @ D N -> N N


read = embedding[used]
girl, boy = (np.flatnonzero(used == tokenizer.encode(word)[-1])[0] for word in (" girl", " boy"))
print(f"{len(stories):,} stories, {len(used)} tokens in use")
print(f"cosine of ␣girl and ␣boy: {cosines(read)[girl, boy]:.2f}")

# %% [markdown] key="random-why"
# Is that much? Two random rows of `D` numbers have a cosine of about $\pm 1/\sqrt{D}$, which is
# {{ config.dim ** -0.5 :.2f }} here. Yet that is not what has to be beaten, because we are going to look for the
# *nearest* of all tokens, and the best of many tries is better than one.
#
# **Predict before you run:** how near is the nearest of {{ len(used) - 1 }} random rows?
#
# The mixtures below are a second kind, random sums of the model's own rows. They mean nothing either, but they
# crowd into the same directions as the rows they are made of, and that brings them nearer to one another.

# %% key="random"
rng = np.random.default_rng(0)


def nearest(rows):
    found = cosines(rows)
    np.fill_diagonal(found, -1)  # a token is no neighbour of itself
    return found.max(axis=-1)


def mixtures(rows):
    return rng.standard_normal((len(rows), len(rows))) @ rows  # N N @ N D -> N D


def chance(rows):
    return np.quantile(nearest(mixtures(rows)), 0.95)


plain = nearest(rng.standard_normal(read.shape))
mixed = nearest(mixtures(read))
for name, found in (("random", plain), ("mixtures", mixed), ("embedding", nearest(read))):
    print(f"{name:10} nearest neighbour: cosine {found.mean():.2f} on average")
line = chance(read)
above = (nearest(read) > line).mean()
print(f"19 of 20 mixtures stay below {line:.2f}; of the tokens, {above:.0%} are above")

# %% [markdown] key="random-answer"
# {{ claim: plain.mean() > 2.5 * config.dim ** -0.5 and mixed.mean() > plain.mean() }}
# {{ claim: 0.05 < above < 0.75 }}
# A random row has its nearest neighbour at {{ plain.mean() :.2f }}, about
# {{ plain.mean() * config.dim ** 0.5 :.0f }} times the cosine of a single pair, and a mixture at
# {{ mixed.mean() :.2f }}. By this baseline the embedding looks poor: only {{ above :.0% }} of the tokens have a
# neighbour that chance would hardly bring. Most of what looks like meaning in a table of nearest tokens is an
# accident.

# %% [markdown] key="output-why"
# ## Step 3. Every token has a second set of numbers
#
# At the end of the model the last row of the stream meets the **output matrix**, `D` by `V`, and its product
# with a token's *column* is that token's score, its logit ([lesson 10](10_logits.ipynb)). So the columns are
# `D` numbers for each token, too. What do they know?
#
# One thing comes off first. If the same column $c$ is subtracted from all, every logit falls by the same
# amount, $x \cdot c$, and the softmax gives the same probabilities as before. What all columns have in common
# therefore says nothing about any token. We subtract the mean column, which is called **centring** and is known
# to bring out the meaning of word vectors, too ([Mu and Viswanath 2018](https://arxiv.org/abs/1702.01417)).

# %% key="output-by-hand"
from llama_np import softmax

output = weights.output.T[used]  # one row for each token: its column of the output matrix
predicted = output - output.mean(axis=0)
agree(softmax(x @ predicted.T), softmax(x @ output.T))  # T D @ D N -> T N
for kind, rows in {"as they are": output, "centred": predicted}.items():
    print(f"columns {kind:12} mean cosine of two tokens {cosines(rows).mean():5.2f}")

# %% [markdown] key="near-why"
# Now the nearest neighbours of a few tokens, when they are read and when they are predicted. Bold is what lies
# above the line of 19 in 20 mixtures, drawn for each matrix by itself.
#
# **Predict before you run:** where is `␣sad` nearer to `␣happy`, in the embedding or in the output matrix?


# %% key="near"
def place(word):
    return int(np.flatnonzero(used == tokenizer.encode(word)[-1])[0])


def called(i):
    return f"`{tokenizer.token(used[i])}`"


def neighbours(word, rows, line):
    found = cosines(rows)[place(word)]
    best = np.argsort(-found)[1:5]  # the first is the token itself
    return ", ".join(f"**{called(i)}**" if found[i] > line else called(i) for i in best)


line_predicted = chance(predicted)
words = [" girl", " Lily", " happy", " dog", " said", " little", " was", "."]
rows = [
    [called(place(w)), neighbours(w, read, line), neighbours(w, predicted, line_predicted)]
    for w in words
]
table(["token", "when it is read (embedding)", "when it is predicted (output matrix)"], rows)


# %% key="near-rank"
def rank(word, other, rows):
    """At which place, counted from 1, ``other`` stands among the neighbours of ``word``."""
    return int((cosines(rows)[place(word)] > cosines(rows)[place(word), place(other)]).sum())


pairs = [
    (" happy", " sad"),
    (" dog", " cat"),
    (" girl", " boy"),
    (" he", " she"),
    (" little", " big"),
]
ranks = np.array([[rank(*pair, rows) for rows in (read, predicted)] for pair in pairs])
above_predicted = (nearest(predicted) > line_predicted).mean()
for (word, other), (when_read, when_predicted) in zip(pairs, ranks):
    print(f"{other:5} as a neighbour of{word:8} {when_read:3} read {when_predicted:3} predicted")

# %% [markdown] key="near-note"
# {{ claim: ranks[:2, 1].sum() < ranks[:2, 0].sum() and np.log(ranks[:, 1] / ranks[:, 0]).mean() < 0 }}
# {{ claim: above_predicted > above }}
# As something to be predicted, `␣sad` is neighbour number {{ ranks[0, 1] }} of `␣happy`; as something that has
# been read it comes at number {{ ranks[0, 0] }}. For `␣cat` beside `␣dog` it is number {{ ranks[1, 1] }} against
# {{ ranks[1, 0] }}. Words of one sort lie together in the *output matrix*, where {{ above_predicted :.0% }} of the
# tokens have a neighbour above the line, against {{ above :.0% }} in the embedding.

# %% [markdown] key="direction-why"
# Word vectors are famous for more: the step from *man* to *woman* is said to be the step from *king* to *queen*
# ([Mikolov et al. 2013](https://aclanthology.org/N13-1090/)). Our stories have few kings, but six such pairs.
#
# **Predict before you run:** in which of the two matrices does the step from `␣boy` to `␣girl` point the same
# way as the step from `␣he` to `␣she`?

# %% key="direction"
girls = [place(" " + word) for word in ["girl", "she", "She", "her", "Lily", "mom"]]
boys = [place(" " + word) for word in ["boy", "he", "He", "his", "Tom", "dad"]]
steps = {"read": read[girls] - read[boys], "predicted": predicted[girls] - predicted[boys]}
names = [[tokenizer.token(used[i]) for i in some] for some in (girls, boys)]
show.matrices(
    {f"cosines of the steps, {when}": cosines(rows) for when, rows in steps.items()},
    ("step", "step"),
    rows=[f"{boy} to {girl}" for girl, boy in zip(*names)],
    columns=[f"to {girl}" for girl in names[0]],
    limit=1,
)
between = {when: cosines(rows)[np.triu_indices(len(girls), 1)] for when, rows in steps.items()}
for when, found in between.items():
    print(f"{when:9} mean cosine of two steps {found.mean():.2f}, largest {found.max():.2f}")

# %% [markdown] key="direction-note"
# {{ claim: between["predicted"].mean() > between["read"].mean() + 0.05 and between["predicted"].mean() > 0.15 }}
# The diagonal compares every step with itself. Beside it the embedding is pale: there the six steps have
# little to do with one another, with a mean cosine of {{ between["read"].mean() :.2f }}. In the output matrix it is
# {{ between["predicted"].mean() :.2f }}, and `␣he` to `␣she` goes along with `␣his` to `␣her` at
# {{ cosines(steps["predicted"])[1, 3] :.2f }}. So this model has a direction for *about a girl*, but where it
# speaks, not where it listens. Whoever looks for word vectors in its embedding looks at the wrong end.

# %% [markdown] key="training-why"
# ## Step 4. Two matrices, two kinds of lessons
#
# Why should that be? Training asks for one thing only, to make the token that follows more probable. Think
# through which numbers this reaches. A token's *column* decides its score wherever the model is in a text, so
# what shapes it is what stands *before* the gap that the token would fill: `␣happy` and `␣sad` both fit after
# *she was very*. A token's *row* is used when the token is already there, and what shapes it is only what
# comes *after*.
#
# Counting can test that. For every token we count its followers in the stories, the tokens right after it, and
# its predecessors. Followers are alike if their shares are alike, which is again a centred cosine (of the roots
# of the shares, so that the most frequent ones do not drown the rest).
#
# **Predict before you run:** nearness in which matrix goes with alike followers?


# %% key="training-counts"
def count_pairs(texts):
    number = np.full(config.vocab_size, len(used))  # all tokens that are not in use: one number
    number[used] = np.arange(len(used))
    counts = np.zeros((len(used) + 1, len(used) + 1))
    for text in texts:
        np.add.at(counts, (number[text[:-1]], number[text[1:]]), 1)
    return counts[:-1, :-1]  # how often token j (column) came right after token i (row)


def alike(counts):
    shares = np.sqrt(counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1))
    return cosines(shares - shares.mean(axis=0))


def go_together(a, b):
    pairs = np.triu_indices(len(used), 1)  # every pair of tokens once
    return np.corrcoef(a[pairs], b[pairs])[0, 1]


counts = count_pairs(stories)
after_girl = counts[girl].argmax()
print(f"after ␣girl comes {called(after_girl)}, {counts[girl, after_girl]:.0f} times")


# %% key="training-table"
def both_ways(near, counts):
    """How well nearness goes with alike followers, and with alike predecessors."""
    return [go_together(near, alike(counts)), go_together(near, alike(counts.T))]


kinds = {"embedding": cosines(read), "output matrix": cosines(predicted)}
parts = [count_pairs(stories[k::20]) for k in range(20)]  # twenty collections of about 50 stories
whole = np.array([both_ways(near, counts) for near in kinds.values()])
in_parts = np.array([[both_ways(near, part) for part in parts] for near in kinds.values()])
orders = [rng.permutation(len(used)) for _ in range(20)]  # every token gets the row of another
shuffled = [both_ways(near[np.ix_(o, o)], counts) for near in kinds.values() for o in orders]

means, spreads = in_parts.mean(axis=1), in_parts.std(axis=1)
rows = [
    [kind, *(f"{r:.2f} (parts {m:.2f} ± {s:.2f})" for r, m, s in zip(*numbers))]
    for kind, *numbers in zip(kinds, whole, means, spreads)
]
table(["nearness in the", "goes with alike followers", "goes with alike predecessors"], rows)

# %% [markdown] key="training-note"
# {{ claim: (in_parts[0, :, 0] > in_parts[0, :, 1]).all() and (in_parts[1, :, 1] > in_parts[1, :, 0]).all() }}
# {{ claim: whole.max(axis=1).min() > 5 * np.abs(shuffled).max() }}
# The two matrices divide the work. Tokens that are near in the output matrix share what comes before them,
# with a correlation of {{ whole[1, 1] :.2f }}, and much less what follows, {{ whole[1, 0] :.2f }}. In the embedding
# it is the other way round, {{ whole[0, 0] :.2f }} for followers against {{ whole[0, 1] :.2f }}. Each of twenty
# collections of stories, taken alone, gives the same order, and if tokens swap their rows at random no
# correlation is above {{ np.abs(shuffled).max() :.2f }}. The embedding's tie is the weaker one, probably because the
# next token is only the first of all predictions that a row serves, and it serves them through
# {{ config.n_layers }} blocks, while a column is held against the next token directly.

# %% [markdown] key="never-why"
# ## Step 5. Tokens that no text can contain
#
# All 256 bytes are tokens, so that every text can be cut, but UTF-8 does not use all of them. The first line
# below writes down every character there is and looks which bytes are missing. Whatever training did to these
# tokens, it did without ever showing them.
#
# **Predict before you run:** are their rows in the embedding alike, or random, or zero? And their columns in
# the output matrix?

# %% key="never"
every_character = "".join(chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000)
missing = sorted(set(range(256)) - set(every_character.encode()))
never = [tokenizer.ranks[bytes([byte])] for byte in missing]
print(len(never), "bytes:", *(tokenizer.token(i) for i in never))


def lengths(rows):
    return np.sqrt((rows**2).sum(axis=-1))


others = ~np.eye(len(never), dtype=bool)
untouched, pushed = embedding[never], weights.output.T[never]
rows = []
for kind, some, usual in (("embedding", untouched, read), ("output matrix", pushed, output)):
    numbers = cosines(some)[others].mean(), lengths(some).mean(), np.median(lengths(usual))
    rows.append([kind, *(f"{number:.2f}" for number in numbers)])
table(["", "mean cosine among these bytes", "mean length", "length of a token in use"], rows)

# %% [markdown] key="never-answer"
# {{ claim: abs(cosines(untouched)[others].mean()) < 0.15 and cosines(pushed)[others].min() > 0.9 }}
# {{ claim: lengths(untouched).mean() < np.median(lengths(read)) / 2 }}
# <details><summary>Answer</summary>
#
# In the embedding they are random: their mean cosine is {{ cosines(untouched)[others].mean() :.2f }}, and their
# lengths spread by {{ lengths(untouched).std() / lengths(untouched).mean() :.0% }}, where random rows of this width
# spread by {{ (2 * config.dim) ** -0.5 :.0% }}. These are the numbers that training began with, only smaller, because
# the optimizer, AdamW ([Loshchilov and Hutter 2017](https://arxiv.org/abs/1711.05101)), shrinks every weight a
# little at every step. This is called **weight decay**. A row that is used grows back; these fade.
#
# In the output matrix all {{ len(never) }} columns have become the same, with a smallest cosine of
# {{ cosines(pushed)[others].min() :.4f }}. At every position of every text they were a wrong answer, so all were
# pushed the same way, away from every row that the model had at its end, while what was random in them faded.
#
# </details>
#
# So a token that the vocabulary has and the training text lacks is read as noise. Large models have such
# **glitch tokens** too, and a short row in the embedding is one of the signs by which they are found ([Land and
# Bartolo 2024](https://arxiv.org/abs/2405.05417)). The picture shows all tokens of ours.

# %% key="lengths"
often = np.log10(1 + times)
is_never = np.isin(np.arange(config.vocab_size), never)
long = lengths(np.asarray(embedding))
show.points(
    often,
    {
        "tokens of the vocabulary": np.where(is_never, np.nan, long),
        "bytes that no text contains": np.where(is_never, long, np.nan),
    },
    ("log10 of 1 + how often the stories contain it", "length of its row"),
    title="embedding: the length of a row, and how often its token is read",
)

# %% [markdown] key="lengths-note"
# {{ claim: (long[times == 0] < 2 * lengths(untouched).mean()).mean() > 0.2 }}
# {{ claim: long[times == 0].mean() < long[used].mean() / 1.5 }}
# On the left, over 0, are the {{ (times == 0).sum() }} tokens that these stories lack, and
# {{ (long[times == 0] < 2 * lengths(untouched).mean()).mean() :.0% }} of them are less than twice as long as the
# impossible bytes: training can hardly have met them either. Then the length rises and soon levels off, from {{ long[(times >= 50) & (times < 100)].mean() :.2f }} for 50 to 100 uses to
# {{ long[times > 1000].mean() :.2f }} for more than a thousand. Length tells whether a token was learned, not how
# common it is.

# %% [markdown] key="tied-try"
# ## Step 6. Two matrices or one?
#
# Each of the two has $V \cdot D$ numbers, here {{ config.vocab_size * config.dim / config.count_parameters() :.1% }} of
# the whole model. In Llama 3.2 1B it would be {{ 128_256 * 2_048 / 1_235_814_400 :.0% }}
# ([its sizes](https://huggingface.co/meta-llama/Llama-3.2-1B/blob/main/config.json)), which is why it has only one
# of them and lets the same numbers do both jobs, $W_{\text{output}} = E^{\mathsf T}$. The two are then **tied**
# ([Press and Wolf 2017](https://arxiv.org/abs/1608.05859)), and the file of the model holds no output matrix.
#
# **Predict before you run:** we tie our model now, after its training. All shapes fit. Does it still know what
# comes next? The **loss** will tell, minus the logarithm of the probability that the model gave to the token
# that came, averaged over the beginnings of 20 stories. Guessing evenly among `V` tokens has the loss $\ln V$.

# %% key="tied-try-cell"
from llama_np import Weights, forward, log_softmax

texts = [story[:65] for story in stories[:20]]


def losses(weights, taps=None):
    found = []
    for text in texts:
        tap = {"tap": taps(text[:-1])} if taps else {}
        scores = log_softmax(forward(weights, config, text[:-1], **tap))
        found.append(-scores[np.arange(len(text) - 1), text[1:]].mean())
    return np.array(found)


named = {name: array for name, array in weights.named() if name != "output"}
as_trained, tied = losses(weights), losses(Weights.from_named(named))
print(f"as it was trained  {as_trained.mean():5.2f} ± {as_trained.std():.2f}")
print(f"with tied output   {tied.mean():5.2f} ± {tied.std():.2f}")
print(f"guessing           {np.log(config.vocab_size):5.2f}")

# %% [markdown] key="tied-try-answer"
# {{ claim: config.tied_output or tied.mean() > np.log(config.vocab_size) }}
# <details><summary>Answer</summary>
#
# With {{ tied.mean() :.1f }} it is worse than guessing: the last block writes for the columns of another matrix, and
# the model is now sure of the wrong tokens. It would have to be *trained* tied, and then one matrix must serve
# for reading and for predicting. Press and Wolf find that it comes out more like an output matrix.
#
# </details>

# %% [markdown] key="direct-why"
# ## Step 7. The model without its blocks
#
# Now the question of the beginning. Without blocks, a token's row goes through the last norm and straight into
# the output matrix. This **direct path** gives one number for every pair of tokens: how much the first speaks
# for the second. It is a table of **bigrams**, pairs of neighbours, and a transformer trained without blocks can
# learn nothing else ([Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html)).
#
# **Predict before you run:** ours was trained with {{ config.n_layers }} blocks. Is there a table of bigrams in its
# two matrices all the same? Step 4 says why there could be: rows know about followers, columns about
# predecessors.

# %% key="direct"
from llama_np import patch, rms_norm

direct = rms_norm(read, weights.norm, config.norm_eps) @ output.T  # N D @ D N -> N N
end = f"blocks.{config.n_layers - 1}.resid_out"
only_rows = forward(weights, config, ids, tap=patch({end: lambda x: embedding[ids]}))
girl_here = list(ids).index(used[girl])
agree(direct[girl], only_rows[girl_here, used])  # the model itself, its blocks overwritten


def best(scores, least=-np.inf):
    return " ".join(called(i) for i in np.argsort(-scores)[:3] if scores[i] > least)


sentence = [int(np.flatnonzero(used == i)[0]) for i in dict.fromkeys(ids[1:]) if i in used]
rows = [[called(i), best(direct[i]), best(counts[i], least=0)] for i in sentence]
table(["after", "the direct path says", "most frequent in the stories"], rows)

# %% [markdown] key="direct-note"
# {{ claim: sum(counts[i].argmax() in np.argsort(-direct[i])[:3] for i in sentence) >= 2 }}
# The last column is counted from text, the one before it comes from two matrices alone. Of the
# {{ len(sentence) }} tokens of our sentence,
# {{ sum(counts[i].argmax() in np.argsort(-direct[i])[:3] for i in sentence) }} have their most frequent follower
# among the first three of the direct path, out of {{ len(used) }}. After `␣girl` it says {{ best(direct[girl]) }},
# and after `␣named`, where one has to know that a girl was mentioned, it says {{ best(direct[place(" named")]) }}.
#
# Is that luck? For the control every token gets the row of another, twenty times, while the output matrix stays
# as it is. And does the finished model *use* this path? In the second cell we subtract the rows of the embedding
# from the stream behind the last block, and then leave nothing but them.


# %% key="direct-measure"
def place_of_follower(scores):
    favourite = np.take_along_axis(scores, counts.argmax(axis=-1)[:, None], axis=-1)
    return (scores > favourite).sum(axis=-1) + 1  # 1 where the most frequent follower is on top


ours = place_of_follower(direct)
swapped = np.array([place_of_follower(direct[order]) for order in orders])
in_ten, by_chance = (ours <= 10).mean(), (swapped <= 10).mean(axis=-1)
print(f"the most frequent follower, of {len(used)} tokens:")
print(f"direct path   median place {np.median(ours):3.0f}, in the first ten {in_ten:.0%}")
print(f"rows swapped  median place {np.median(swapped):3.0f}, in the first ten", end=" ")
print(f"{by_chance.mean():.0%} ± {by_chance.std():.0%}")

# %% key="direct-use"
without = losses(weights, lambda text: patch({end: lambda x: x - embedding[text]}))
alone = losses(weights, lambda text: patch({end: lambda x: embedding[text]}))
added = without - as_trained
print(f"whole model              loss {as_trained.mean():.3f}")
print(f"without its direct path  loss {without.mean():.3f}", end=", ")
print(f"more by {added.mean():.4f} ± {added.std():.4f}")
print(f"nothing but this path    loss {alone.mean():.3f}, guessing {np.log(config.vocab_size):.3f}")

# %% [markdown] key="direct-answer"
# {{ claim: in_ten > 3 * by_chance.max() and np.median(ours) < np.median(swapped) / 3 }}
# {{ claim: abs(added.mean()) < 0.05 * as_trained.mean() and alone.mean() > 2 * as_trained.mean() }}
# It is no luck. The most frequent follower is among the first ten of {{ len(used) }} for {{ in_ten :.0% }} of the
# tokens, against {{ by_chance.mean() :.0% }} with swapped rows, and never more than {{ by_chance.max() :.0% }}. A table of
# bigrams lies in the two outer matrices, although nothing in training asked for it.
#
# And the finished model does not use it. Taken out, the direct path changes the loss by {{ added.mean() :.4f }};
# left alone it has a loss of {{ alone.mean() :.1f }}, where guessing has {{ np.log(config.vocab_size) :.1f }}, because
# it has the order right and the sizes wrong. The blocks write to the stream so loudly that the row from the
# beginning is hardly heard at its end. How much louder, and why they must, is the subject of
# [lesson 03](03_rms_norm.ipynb).

# %% [markdown] key="next"
# ## What comes next
#
# The stream has begun: one row for each token. [Lesson 03](03_rms_norm.ipynb), RMS norm, shows what every block
# does with it first. In the [exercise](exercises/02_embedding.ipynb) you write the look-up, and give `␣girl` and
# `␣boy` each other's row. The code of this lesson is `embed` in `llama_np/model.py`.
