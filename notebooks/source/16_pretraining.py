# %% [markdown] key="title"
# # 16 Pre-training: from random numbers to stories
#
# A Llama begins as random numbers. It becomes a language model by one exercise, repeated: guess the next
# token of a text, compare, change every weight a little. This is called **pre-training**, since fine-tuning
# (lesson 17) comes after it. In this lesson you train a small Llama from nothing, on your own machine, in
# one to three minutes, and watch its samples get better. Then you look at the log of the run that made the model
# that ships with this course, and at the sizes of real runs.
#
# **In** go texts and a model of random weights. **Out** comes the same model with other weights, and two
# curves: how surprised it is by the text it learns from, and by text it has never seen.
#
# After this lesson you can turn texts into batches, say what is learned from one row, write one step of
# AdamW by hand, read a training curve, see over-fitting, and work out how many operations a training run
# takes. You need the loss and its gradients (lesson 15) and causal masking (lesson 06).

# %% key="setup"
import time
from dataclasses import replace

import numpy as np
from classroom import agree, show, source, table

from llama_np import LLAMA_3_8B, Sampling, forward, generate
from llama_np.training import cross_entropy
from weights_tools import DOLL_HOUSE, load_model

teller = load_model(DOLL_HOUSE)
tokenizer = teller.tokenizer

# %% [markdown] key="setup-note"
# This lesson makes its own model, so it is the same whatever Llama you have chosen for the others. From the
# doll-house, the model that ships, it takes the tokenizer and, as you will see, the texts. One tokenizer is
# meant for all that follows: a model can only be used with the tokens it was trained on.
#
# ## Step 1. The text
#
# Training text ships with the course: short stories, separated by a line of their own. The last part is
# **held out**. The model never learns from it, so that it can be examined on text it has not seen.

# %% key="text"
from weights_tools.training.corpus import STORIES, read_corpus

corpus = read_corpus(STORIES)
print(f"{len(corpus.train)} stories to learn from, {len(corpus.held_out)} held out")
print(f"{sum(len(story.encode()) for story in corpus.train):,} bytes to learn from\n")
print(corpus.train[0][:430], "...")

# %% [markdown] key="text-note"
# You should know where these stories come from: the doll-house told them. It drew them at random, and a
# program kept those that end by themselves, stay with their hero, repeat no sentence and invent no words
# (`python -m weights_tools make-stories --help`). So the text is free to use and easy to learn, and it is not good
# text. The stories lose their thread. A model trained on them learns that too: a perfect student would tell
# stories like these, and no better ones. Large models are trained mostly on text that people wrote.

# %% [markdown] key="ids-why"
# ## Step 2. Ids
#
# Each story becomes ids, as in lesson 01, between a token for the beginning and one for the end. The end
# counts: a model that has never seen it would not know when to stop (lesson 12). The picture shows the first
# tokens of a story and its last ones.

# %% key="ids"
from weights_tools.training.corpus import encode_document

documents = [np.array(encode_document(tokenizer, story)) for story in corpus.train]
held_out = [np.array(encode_document(tokenizer, story)) for story in corpus.held_out]
first = documents[0]
shown = [*first[:14], *first[-5:]]
show.tokens([tokenizer.token(i) for i in shown], shown)
lengths = [len(document) for document in documents]
print(f"shortest {min(lengths)}, longest {max(lengths)}, together {sum(lengths):,} tokens")

# %% [markdown] key="stream-why"
# ## Step 3. One long stream, cut into rows
#
# Stories have all lengths, a batch is a matrix. The usual way out: put all stories end to end, in a random
# order, and cut this stream into rows of equal length. When all of it has been read, one **epoch** is over
# and the next begins, in another order.

# %% key="stream-by-hand"
seed = 0
order = np.random.default_rng([seed, 0]).permutation(len(documents))  # epoch 0
stream_by_hand = np.concatenate([documents[i] for i in order])
print("the stream of one epoch:", stream_by_hand.shape)

# %% key="stream-named"
from weights_tools.training.corpus import Stream

source(Stream.epoch)

# %% key="stream-agree"
stream = Stream(documents, seed)
agree(stream_by_hand, stream.epoch(0))

# %% [markdown] key="batch-why"
# Now the rows. The model is to guess, at each position, the token that follows. So the **targets** are the
# same tokens, shifted by one: we take one token more than we need and cut twice.

# %% key="batch-by-hand"
T, tokens_per_step = 128, 1024
some = stream_by_hand[: tokens_per_step + 1]
ids_by_hand = some[:-1].reshape(-1, T)  # B T
targets_by_hand = some[1:].reshape(-1, T)
print("ids", ids_by_hand.shape, "targets", targets_by_hand.shape)

# %% key="batch-named"
source(Stream.batch)

# %% key="batch-agree"
ids, targets = stream.batch(0, tokens_per_step, T)
agree(ids_by_hand, ids)
agree(targets_by_hand, targets)

# %% key="batch-table"
reads, guesses = (
    [f"`{tokenizer.token(i)}`" for i in part] for part in (ids[0, :9], targets[0, :9])
)
table(["position", *range(9)], [["the model reads", *reads], ["and should guess", *guesses]])

# %% [markdown] key="row-why"
# A row is what the model sees at once. It is not a sentence and not a story: it begins where the row before
# it ended. **Predict before you run:** what stands in the second row?

# %% key="row"
print(tokenizer.decode(ids[1].tolist()))
ends = int((ids == first[-1]).sum())
print(f"\nends of stories in these {len(ids)} rows: {ends}")

# %% [markdown] key="row-answer"
# <details><summary>Answer</summary>
#
# It goes on in the middle of a story. Where a story ends inside a row, another one follows, which has nothing
# to do with it. The model learns from the two special tokens that a new text begins. Here a token may even
# attend to the story before its own. Llama 3 was trained with a mask that forbids this; its authors found
# that it matters little, except for very long texts
# ([Llama team 2024](https://arxiv.org/abs/2407.21783), section 3.2).
#
# </details>

# %% [markdown] key="teacher-why"
# ## Step 4. One row is many exercises
#
# It is often said that a Llama is trained one token at a time. It is not. All positions of a row are guessed
# at once, and each counts. This is called **teacher forcing**: whatever the model guesses at a position, at
# the next position it is given the right token, as a teacher would.
#
# Let us check that this is the same as many separate exercises: give the model the first token and ask for
# the second, give it two and ask for the third, and so on. The doll-house does it, since it can already read.
# (The unit of the loss is the **nat**: surprise counted with natural logarithms, see lesson 15.)

# %% key="teacher-by-hand"
row, aims = ids[0, :24], targets[0, :24]
one_by_one = [
    cross_entropy(forward(teller.weights, teller.config, row[: t + 1])[-1:], aims[t : t + 1])
    for t in range(len(row))
]
print(np.round(one_by_one[:6], 2))

# %% key="teacher-named"
from llama_np import log_softmax


def losses(ids, targets):
    rows = log_softmax(forward(teller.weights, teller.config, ids))  # T V
    return -rows[np.arange(len(ids)), targets]


agree(np.array(one_by_one), losses(row, aims), tolerance=1e-4)
agree(np.mean(one_by_one), cross_entropy(forward(teller.weights, teller.config, row), aims))

# %% key="teacher-picture"
show.bars(
    losses(row, aims)[:16],
    [tokenizer.token(i) for i in aims[:16]],
    "loss in nats",
    title="how surprised the doll-house is by each token",
)

# %% [markdown] key="fair-why"
# One run gives as many losses as the row has tokens. It is fair only because of the causal mask: no position
# can look at the token that it has to guess. To see it, change the last token of the row.

# %% key="fair"
changed = row.copy()
changed[-1] = row[0]
agree(losses(row, aims)[:-1], losses(changed, aims)[:-1])

# %% [markdown] key="model-why"
# ## Step 5. A model that knows nothing
#
# Our small model is a Llama like the others, with fewer and narrower blocks. Its output matrix is the
# embedding, transposed (tied, as in Llama 3.2 1B), which saves weights. The weights are drawn at random:

# %% key="model"
from llama_np.weights import initialize

small = replace(
    teller.config, dim=64, n_layers=3, n_heads=4, n_kv_heads=2, head_dim=16, ffn_width=224,
    context_length=T, tied_output=True,
)  # fmt: skip
start = initialize(small, np.random.default_rng(seed))
print(f"{small.count_parameters():,} parameters; doll-house {teller.config.count_parameters():,}")
source(initialize)

# %% [markdown] key="first-loss-why"
# Before any training one can say what the loss should be. All weights are small, so all logits are near
# zero, and every token of the vocabulary is about equally likely: $1/V$. The loss of that is
# $-\ln(1/V) = \ln V$. If a fresh model shows another number, something is wrong.

# %% key="first-loss-by-hand"
first_loss = cross_entropy(forward(start, small, ids), targets)
V = small.vocab_size
print(f"first loss {first_loss:.2f}, ln V {np.log(V):.2f}")
agree(np.array(first_loss), np.log(V), tolerance=0.02)

# %% [markdown] key="first-loss-wrong-why"
# **Predict before you run:** what if the weights were drawn fifty times as large? Then the logits are large
# as well. And what does one reach by counting alone: give each token the probability with which it occurs in
# the text, and never look at what came before?

# %% key="first-loss-wrong"
loud = initialize(small, np.random.default_rng(seed), std=1.0)
print(f"weights too large: {cross_entropy(forward(loud, small, ids), targets):.1f}")
counts = np.bincount(np.concatenate(documents), minlength=V) + 1  # none has probability zero
by_counting = np.log(counts / counts.sum())
counting = -by_counting[np.concatenate(held_out)].mean()
print(f"counting only:     {counting:.2f}")

# %% [markdown] key="first-loss-answer"
# <details><summary>Answer</summary>
#
# With large random weights the model is sure of itself, and wrong: far worse than not knowing. It would
# spend its first steps unlearning. Counting does much better than $\ln V$. It is the first thing a model
# learns. All it gains beyond that number comes from looking at the text before.
#
# </details>

# %% [markdown] key="gradient-why"
# ## Step 6. A step down
#
# Lesson 15 has shown how to get the gradient of the loss for every weight. The plain rule is
# $w \leftarrow w - \eta \, g$: go against the gradient $g$, by a small number $\eta$, the **learning rate**.
# Let us see how large the gradients are, in different parts of the model.

# %% key="gradient"
from llama_np.training.backward import loss_and_gradients

loss, gradients = loss_and_gradients(start, small, ids, targets)
rows = [
    [name, g.shape, f"{np.sqrt(np.mean(g * g)):.0e}", f"{np.abs(g).max():.0e}"]
    for name, g in gradients.named()
    if name.startswith(("embedding", "layers.0", "norm"))
]
table(["gradient of the loss for", "shape", "typical size", "largest"], rows)

# %% [markdown] key="gradient-note"
# The sizes differ by factors of a hundred. No single rate suits them all: what is right for one array is
# too much or too little for another.

# %% [markdown] key="adam-why"
# ## Step 7. AdamW by hand
#
# **Adam** ([Kingma and Ba 2014](https://arxiv.org/abs/1412.6980), algorithm 1) gives each weight a rate of
# its own. It keeps two running means for each weight: $m$ of the gradient, and $v$ of its square.
#
# $$m \leftarrow \beta_1 m + (1-\beta_1)\, g \qquad v \leftarrow \beta_2 v + (1-\beta_2)\, g^2$$
#
# Both begin at zero, so at first they are too small; after step $t$ they are divided by $1 - \beta^t$, which
# makes up for it: $\hat m$ and $\hat v$. Then
#
# $$w \leftarrow w - \eta \left( \frac{\hat m}{\sqrt{\hat v} + \epsilon} + \lambda\, w \right)$$
#
# The fraction is about 1 or -1 where the gradient stays much the same, however large or small it is. It is
# near 0 where the gradient keeps changing its sign. The last term, **weight decay**, pulls each weight
# towards zero; the W in AdamW stands for it. Here are two steps on one weight, with plain numbers.

# %% key="adam-by-hand"
rate, decay, beta1, beta2, eps = 1e-2, 0.1, 0.9, 0.95, 1e-8
batches = [stream.batch(step, tokens_per_step, T) for step in (0, 1)]
all_gradients = [loss_and_gradients(start, small, *batch)[1] for batch in batches]

w = float(start.layers[0].wv[0, 0])
m = v = 0.0
for t, each in enumerate(all_gradients, 1):
    g = float(each.layers[0].wv[0, 0])
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    step = m_hat / (np.sqrt(v_hat) + eps)
    w -= rate * (step + decay * w)
    print(f"step {t}: g {g:9.1e}   m {m:9.1e}   v {v:8.1e}   fraction {step:6.3f}   w {w:.5f}")

# %% key="adam-named"
from llama_np.training.optimizer import AdamW

source(AdamW.step)

# %% key="adam-agree"
moved = start.map(np.copy)
optimizer = AdamW(moved, betas=(beta1, beta2), eps=eps, weight_decay=decay)
for each in all_gradients:
    optimizer.step(moved, each, rate)
before = start.layers[0].wv[0, 0]
agree(np.array(w - before) / rate, (moved.layers[0].wv[0, 0] - before) / rate)

# %% [markdown] key="adam-note"
# (Both gradients are taken at the same weights here, to keep the example short. In training the second is
# computed after the first step.) In the first step the fraction is the gradient over its own size, so nearly
# every weight moves by the rate, whatever the size of its gradient. (Only where a gradient is as small as
# $\epsilon$ is the step smaller.)

# %% key="adam-first"
first_step = start.map(np.copy)
AdamW(first_step, weight_decay=0.0).step(first_step, all_gradients[0], rate)
change = np.abs(first_step.layers[0].wq - start.layers[0].wq) / rate
of_wq = np.abs(all_gradients[0].layers[0].wq)
print(
    f"middle half of wq's gradients: {np.quantile(of_wq, 0.25):.0e} to {np.quantile(of_wq, 0.75):.0e}"
)
print(f"weights that move by 0.9 to 1 times the rate: {(change > 0.9).mean():.0%}")

# %% [markdown] key="matrices-why"
# ### Weight decay on matrices only
#
# Decay keeps the entries of a matrix from growing without need. The weights of a norm are another matter:
# each is a factor by which a column is scaled, and should be near 1, not near 0. So vectors do not decay. In
# the code above it is the line with `w.ndim > 1`. Few weights are spared:

# %% key="matrices"
arrays = dict(start.named())
for kind, chosen in (
    ("matrices, with decay", [a for a in arrays.values() if a.ndim > 1]),
    ("vectors, without", [a for a in arrays.values() if a.ndim == 1]),
):
    print(f"{kind:21} {len(chosen):3} arrays {sum(a.size for a in chosen):8,} weights")

# %% [markdown] key="torch-why"
# ### The same in PyTorch
#
# PyTorch has this as `torch.optim.AdamW`. A matrix and a vector, three steps, in float64. The numbers in
# `by_torch` and `vector_by_torch` are PyTorch's; where it is installed, the cell asks it again.

# %% key="torch"
from types import SimpleNamespace

by_torch = [[0.7310946541327956, -1.9975293839172854], [0.7712499945631671, 3.164237189263885]]
vector_by_torch = [0.8416820126720269, 0.7148713645776527]


def pair(matrix, vector):
    return SimpleNamespace(named=lambda: [("matrix", matrix), ("vector", vector)])


matrix, vector = np.array([[1.0, -2.0], [0.5, 3.0]]), np.ones(2)
slopes = [(np.cos(np.arange(4.0) + k).reshape(2, 2), np.sin(np.arange(2.0) + k)) for k in range(3)]
optimizer = AdamW(pair(matrix, vector), weight_decay=0.1)
for both in slopes:
    optimizer.step(pair(matrix, vector), pair(*both), 0.1)
agree(matrix, np.array(by_torch), tolerance=1e-12)
agree(vector, np.array(vector_by_torch), tolerance=1e-12)

try:
    import torch
except ImportError:
    torch = None
if torch:
    a = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64, requires_grad=True)
    b = torch.ones(2, dtype=torch.float64, requires_grad=True)
    groups = [{"params": [a], "weight_decay": 0.1}, {"params": [b], "weight_decay": 0.0}]
    theirs = torch.optim.AdamW(groups, lr=0.1, betas=(0.9, 0.95), eps=1e-8)
    for both in slopes:
        a.grad, b.grad = map(torch.tensor, both)
        theirs.step()
    assert np.allclose(a.tolist(), by_torch, rtol=0, atol=1e-12)
    assert np.allclose(b.tolist(), vector_by_torch, rtol=0, atol=1e-12)

# %% [markdown] key="clip-why"
# ## Step 8. Clipping: no step from one bad batch
#
# Now and then a batch gives gradients far larger than usual. They would spoil both running means for many
# steps. So all gradients together are taken as one long vector, and where it is longer than a limit it is
# made shorter. Its direction stays.

# %% key="clip-by-hand"
length = np.sqrt(sum(np.sum(g.astype(float) ** 2) for _, g in gradients.named()))
limit = length / 2  # a limit that bites, for the example
clipped_by_hand = gradients.layers[0].wq * (limit / length)
print(f"all gradients together: {sum(g.size for _, g in gradients.named()):,} numbers")

# %% key="clip-named"
from llama_np.training.optimizer import clip_by_global_norm

source(clip_by_global_norm)

# %% key="clip-agree"
clipped = gradients.map(np.copy)
agree(np.array(length), clip_by_global_norm(clipped, limit))
agree(clipped_by_hand, clipped.layers[0].wq)

# %% [markdown] key="clip-wrong-why"
# What if each array is clipped by itself, to the same length? Then arrays with long gradients are shortened
# and the others are not, and the whole points elsewhere. The cosine says how far two directions are the
# same: 1 for the same, 0 for a right angle.


# %% key="clip-wrong"
def cosine(one, other):
    flat = [np.concatenate([g.ravel() for _, g in each.named()]) for each in (one, other)]
    return np.dot(*flat) / np.prod([np.linalg.norm(f) for f in flat])


typical = np.median([np.linalg.norm(g) for _, g in gradients.named()])
apart = gradients.map(lambda g: g * min(1.0, typical / np.linalg.norm(g)))
print(f"clipped together: cosine {cosine(gradients, clipped):.2f}")
print(f"each by itself:   cosine {cosine(gradients, apart):.2f}")

# %% [markdown] key="rate-why"
# ## Step 9. The learning rate: up in a line, down a cosine
#
# At the start the running means know only a few batches, so the first steps are small: **warm-up**. Towards
# the end they get small again, since large steps jump about the bottom of the valley. In between the rate
# follows half a cosine. For step $s$, counted from 0, with a warm-up of $s_w$ steps of $S$ in all:
#
# $$\eta = \eta_\mathrm{peak} \cdot \frac{s + 1}{s_w + 1} \quad (s < s_w) \qquad
#   \eta = \frac{\eta_\mathrm{peak}}{2} \left(1 + \cos \frac{\pi (s - s_w)}{S - s_w}\right)
#   \quad (s \ge s_w)$$
#
# **Hyperparameters** are the numbers that somebody chooses before a run. Two of them are off here (0), to keep it simple: dropout (lesson 13), which the real run did without too, and the averaging
# of weights, which it used: a running mean of the weights over the last steps.

# %% key="rate-by-hand"
from weights_tools.training.trainer import Hyperparameters, Training

recipe = Hyperparameters(
    steps=500, peak_rate=1e-2, warm_up=50, dropout=0.0, ema_decay=0.0, seed=seed
)
s, S, warm_up = np.arange(recipe.steps), recipe.steps, recipe.warm_up
up = (s + 1) / (warm_up + 1)
down = (1 + np.cos(np.pi * (s - warm_up) / (S - warm_up))) / 2
rates_by_hand = recipe.peak_rate * np.where(s < warm_up, up, down)
show.curves(s[::10], {"rate": rates_by_hand[::10]}, ("step", "learning rate"))

# %% key="rate-named"
from llama_np.training.optimizer import learning_rate

source(learning_rate)

# %% key="rate-agree"
named = [learning_rate(step, recipe.peak_rate, warm_up, S) for step in range(S)]
agree(rates_by_hand, np.array(named))

# %% [markdown] key="rate-note"
# Llama 3 8B had a peak of 0.0003, ours is far higher: small models bear larger steps, and we have little time.
# Llama 3 405B warmed up for 8,000 steps, to 0.00008, and came down to a hundredth of that over 1,200,000
# steps ([Llama team 2024](https://arxiv.org/abs/2407.21783), table 3 and section 3.4.1).

# %% [markdown] key="step-why"
# ## Step 10. One whole step
#
# That is all there is to a step: batch, loss and gradients, clip, rate, AdamW. We write it once by hand and
# compare it with the trainer that made the doll-house. You will find the same five things in its code. (Its
# name for a source of batches is a `stage`. Large batches it deals out to all cores, in parts, and adds up
# their gradients. `frozen` and `lora` belong to lesson 17.)

# %% key="step-by-hand"
stepped = start.map(np.copy)
optimizer = AdamW(stepped, weight_decay=recipe.weight_decay)
loss, gradients = loss_and_gradients(stepped, small, *stream.batch(0, tokens_per_step, T))
clip_by_global_norm(gradients, recipe.clip)
optimizer.step(stepped, gradients, learning_rate(0, recipe.peak_rate, recipe.warm_up, recipe.steps))

# %% key="step-named"
source(Training.take_step)

# %% key="step-agree"
from weights_tools.training.stages import Pretraining, Rows


def begin(documents, recipe, weights=start, tokens_per_step=tokens_per_step):
    rows = Rows(tokens_per_step=tokens_per_step, row=T, final_row=T)
    stage = Pretraining(Stream(documents, recipe.seed), rows, recipe.steps, small.vocab_size)
    return Training(small, recipe, stage, weights)


trying = begin(documents, recipe)
agree(np.array(loss), trying.take_step())
rate = learning_rate(0, recipe.peak_rate, recipe.warm_up, recipe.steps)
agree(
    (stepped.embedding - start.embedding) / rate,
    (trying.learned.embedding - start.embedding) / rate,
    tolerance=1e-4,
)

# %% [markdown] key="wrong-rate-why"
# ### Try it: three learning rates
#
# **Predict before you run:** forty steps with our peak rate, with a thirtieth of it, and with thirty times as
# much. Which curve is which?

# %% key="wrong-rate"
factors = {"1/30 of the rate": 1 / 30, "the rate": 1, "30 times the rate": 30}
lines = {}
for name, factor in factors.items():
    trial = begin(documents, replace(recipe, peak_rate=recipe.peak_rate * factor, warm_up=10))
    lines[name] = [trial.take_step() for _ in range(40)]
show.curves(np.arange(40), lines | {"counting only": [counting] * 40}, ("step", "loss"))

# %% [markdown] key="wrong-rate-answer"
# <details><summary>Answer</summary>
#
# Too small a rate: the loss falls, but it would take far more steps. Too large: the steps jump over the
# valley, the curve goes up and down, and after forty steps the model is not even as good as counting. Ours is not far
# from that: at step {{ int(np.argmax(lines["the rate"])) }}, when the rate has just reached its peak, one jump goes wrong, to a loss of {{ max(lines["the rate"]) :.1f}},
# and is made good at once. (The run below has five times as many steps to warm up.) The right rate is found by trying. It is the first number to look at when a training run goes wrong.
#
# </details>

# %% [markdown] key="shift-wrong-why"
# ### What if one forgets to shift the targets?
#
# Then the model is asked for the token that it is just reading. **Predict before you run:** will the loss be
# high or low? And what will the model write?

# %% key="shift-wrong" tags=["timing"]
copying = start.map(np.copy)
optimizer = AdamW(copying)
for step in range(40):
    wrong, _ = stream.batch(step, tokens_per_step, T)
    loss, gradients = loss_and_gradients(copying, small, wrong, wrong)  # targets are the ids
    optimizer.step(copying, gradients, recipe.peak_rate)
print(f"loss after 40 steps: {loss:.2f}")
prompt = tokenizer.encode("Once upon a time", bos=True)
print(tokenizer.decode([*prompt[1:], *generate(copying, small, prompt, 12)]))

# %% [markdown] key="shift-wrong-answer"
# <details><summary>Answer</summary>
#
# After forty steps the loss is far below anything the model can reach honestly: copying is easy. The model says the last token again and again. A loss
# that is too good is a sign that the answer has leaked into the question. Without the causal mask the same
# would happen in another way: position $t$ would read its target at position $t + 1$.
#
# </details>

# %% [markdown] key="run-why"
# ## Step 11. Training
#
# Now the run. Every 25 steps we note the mean loss of these batches, and the loss on rows of held-out
# stories, from which the model does not learn. A line shows what counting alone would reach. The curve is
# drawn while you wait, with what the model writes at that moment. It takes about a minute on two
# cores that have nothing else to do, up to three minutes on a slow or busy machine.

# %% key="run-tools"
from IPython.display import clear_output

unseen = Stream(held_out, seed).batch(0, 4096, T)


def held_out_loss(weights):
    return cross_entropy(forward(weights, small, unseen[0]), unseen[1])


def tell(weights):
    drawn = generate(
        weights, small, prompt, 90, Sampling(temperature=0.7), rng=np.random.default_rng(1),
        stop_tokens=tokenizer.stop_ids,
    )  # fmt: skip
    return "Once upon a time" + tokenizer.decode(drawn).replace("\n", " ")


def draw(log):
    steps, learned, unseen = map(np.array, zip(*log, strict=True))
    lines = {"training": learned, "held out": unseen, "counting only": [counting] * len(log)}
    show.curves(steps, lines, ("step", "loss, nats per token"))


# %% key="run" tags=["timing"]
training = begin(documents, recipe, tokens_per_step=2 * tokens_per_step)
log, samples, recent, began = [], {0: tell(start)}, [], time.monotonic()
while training.step < recipe.steps:
    recent.append(training.take_step())
    if training.step % 25 == 0:
        log.append((training.step, np.mean(recent), held_out_loss(training.learned)))
        recent = []
    if training.step % 50 == 0:
        samples[training.step] = tell(training.learned)
        clear_output(wait=True)
        draw(log)
        print(samples[training.step])
seconds, trained = time.monotonic() - began, training.learned

# %% [markdown] key="run-note"
# The fast fall at the start is the counting of step 5; then come pairs of tokens, words, names, and slowly
# what goes with what. At first the training curve is the higher one, but only because it is a mean over the
# steps before. Towards the end it is a little lower: the stories come round again, and some of what is
# learned is these stories rather than stories.
#
# The same prompt and the same dice, at four moments:

# %% key="samples" tags=["timing"]
for step in (0, 100, 200, recipe.steps):
    print(f"after {step} steps:\n{samples[step]}\n")

# %% [markdown] key="bits-why"
# At the start come tokens at random. After 100 steps there are sentences already, later with fewer slips.
# But the stories have no thread: for that the model is too small, there is too little text, and the teacher is no master.
#
# ### Nats per token, bits per byte
#
# A loss per token depends on how long the tokens are, so it cannot be compared between tokenizers. **Bits per
# byte** can: all nats of a text, turned into bits (divided by $\ln 2$), over its bytes. Here are the models
# on the held-out stories, each story read by itself from its beginning.

# %% key="bits" tags=["timing"]
from weights_tools.training.evaluate import bits_per_byte

models = {
    "random weights": (start, small),
    "ours": (trained, small),
    "the doll-house": (teller.weights, teller.config),
}
figures = [bits_per_byte(*one, tokenizer, corpus.held_out) for one in models.values()]
show.bars(np.array(figures), list(models), "bits per byte of held-out stories", lit=1)

# %% [markdown] key="bits-note"
# The doll-house knows these stories best, since it told them. It has not learned from them: it predicts its
# own way of telling. Ours has seen about a thousand of its stories and stays behind.
#
# ## Step 12. Over-fitting
#
# Take the same model and recipe, but only ten stories. **Predict before you run:** what will become of the
# training loss, and of the held-out loss?

# %% key="overfit" tags=["timing"]
few = documents[:10]
narrow = begin(few, replace(recipe, steps=300, warm_up=20))
log = []
while narrow.step < narrow.recipe.steps:
    recent = [narrow.take_step() for _ in range(15)]
    log.append((narrow.step, np.mean(recent), held_out_loss(narrow.learned)))
draw(log)
epochs = narrow.step * tokens_per_step / sum(map(len, few))
best = min(log, key=lambda line: line[2])
print(
    f"{epochs:.0f} epochs; held-out loss: best {best[2]:.2f} at step {best[0]}, last {log[-1][2]:.2f}"
)

# %% [markdown] key="overfit-answer"
# <details><summary>Answer</summary>
#
# The training loss goes to nearly nothing. The held-out loss falls at first, then turns and climbs, to worse
# than counting alone. The model has learned the ten stories by heart, and is sure of itself where it should
# not be. This is **over-fitting**, and only the held-out curve shows it.
#
# </details>

# %% [markdown] key="overfit-recite-why"
# By heart is meant word for word. Give both models the first tokens of one of the ten stories and let them go
# on greedily. How many of the next tokens are those of the story?

# %% key="overfit-recite" tags=["timing"]
given, n = 30, 60
for name, weights in (("ten stories", narrow.learned), ("all stories", trained)):
    said = np.array(list(generate(weights, small, few[0][:given], n)))
    same = (said == few[0][given : given + len(said)]).sum()
    print(f"{name}: {same} of {n} tokens are the story's\n  ...{tokenizer.decode(said)[:100]!r}\n")

# %% [markdown] key="overfit-note"
# What helps: more text; fewer epochs; stopping where the held-out curve turns; **dropout**, which switches off
# random numbers in training so that no one path can be relied on; a smaller model. More text is the best of
# them.
#
# ## Step 13. What the mix of the data does
#
# A model learns what it is shown, and in proportion. We go on training our model for a little while, three
# times from the same weights: with stories only, with stories and the 60 short facts that the doll-house
# learned as well, and with facts only. Then we ask for the loss on held-out stories and on the facts. (The
# facts are not held out: this measures whether the model has kept what it was shown.) **Predict before you
# run:** which of the three is worst on stories?

# %% key="mix-run" tags=["timing"]
from weights_tools.training.corpus import encode_training, read_facts

facts = encode_training(tokenizer, [], read_facts())
mixes = {
    "stories only": documents,
    "stories and facts": documents + facts * 40,
    "facts only": facts,
}
after = {"before": trained}
for name, texts in mixes.items():
    further = begin(texts, replace(recipe, steps=120, peak_rate=3e-3, warm_up=10), trained)
    while further.step < further.recipe.steps:
        further.take_step()
    after[name] = further.learned
    stories = sum(lengths) if texts is not facts else 0
    print(f"{name:18} {1 - stories / sum(map(len, texts)):4.0%} of the tokens are facts")

# %% key="mix" tags=["timing"]
asked = tokenizer.encode("The opposite of big is", bos=True)
known = Stream(facts, seed).batch(0, 1024, T)
lines = []
for name, weights in after.items():
    on_facts = cross_entropy(forward(weights, small, known[0]), known[1])
    said = tokenizer.decode(generate(weights, small, asked, 5, stop_tokens=tokenizer.stop_ids))
    lines.append([name, f"{held_out_loss(weights):.2f}", f"{on_facts:.2f}", f"`{said.strip()}`"])
table(["trained further on", "loss, stories", "loss, facts", "The opposite of big is"], lines)

# %% [markdown] key="mix-answer"
# <details><summary>Answer</summary>
#
# The last one. With facts only, the model learns them by heart and forgets how to tell stories: nothing in the
# text asks for it any more. In the mix it learns much of the facts and keeps the stories. With stories
# only, it knows nothing of the facts. (The first line says what a model does that has never been told: it says
# something that is likely in a story.)
#
# </details>

# %% [markdown] key="mix-note"
# For a real model the mix is one of the main decisions. Llama 3's had about 50 % general knowledge, 25 %
# mathematics and reasoning, 17 % code and 8 % text in many languages
# ([Llama team 2024](https://arxiv.org/abs/2407.21783), section 3.1.2), found by training small models on
# different mixes. In the last part of the run the best data got more room. In an experiment, the training
# problems of two tests in mathematics were put in there: the 8B model gained 24.0 % on GSM8k, school
# mathematics, and the 405B model next to nothing (section 3.1.3). The released models did not get them.

# %% [markdown] key="real-why"
# ## Step 14. The real run
#
# The doll-house was trained by the same code, on stories from
# [TinyStories](https://arxiv.org/abs/2305.07759), on the facts, on made-up
# drills, and on lists of random tokens that repeat. Its log ships with it. The training loss is in nats per token, the held-out figure in bits per byte, so each
# has a picture of its own.

# %% key="real-log"
import csv

with (DOLL_HOUSE / "training/log.csv").open(newline="", encoding="utf-8") as file:
    run = list(csv.DictReader(file))
columns = {name: np.array([float(line[name]) for line in run]) for name in run[0]}
million = columns["tokens"] / 1e6
show.curves(million, {"": columns["train_loss"]}, ("million tokens", "nats"), title="training loss")
show.curves(
    million,
    {"": columns["held_out_bits_per_byte"]},
    ("million tokens", "bits per byte"),
    title="held out",
)
held = columns["held_out_bits_per_byte"]
end = {name: values[-1] for name, values in columns.items()}
print(f"{end['tokens']:,.0f} tokens in {end['step']:,.0f} steps, {end['seconds'] / 60:.0f} minutes")
for epoch in (0.5, 1, 2):
    i = np.searchsorted(columns["epoch"], epoch)
    print(f"after epoch {columns['epoch'][i]:4.1f}: held out {held[i]:.3f} bits per byte")
print(
    f"best held out {held.min():.4f} at step {columns['step'][held.argmin()]:,.0f}, last {held[-1]:.4f}"
)

# %% [markdown] key="real-note"
# Read the two curves together. At the beginning the model read nothing but lists that come again, until step
# {{ columns["step"][columns["epoch"] == 0][-1] :.0f }} of the log. Their loss falls to {{ columns["train_loss"][columns["epoch"] == 0][-1] :.1f }}, while held-out stories stand at
# {{ held[columns["epoch"] == 0][-1] :.1f }} bits per byte: it has learned to copy, and has never seen a story. Then come the stories, and the training
# loss jumps up before both curves fall. Within the first half of a pass most has been learned.
# {{ claim: held[columns["epoch"] == 0][-1] > 3 * held[np.searchsorted(columns["epoch"], 0.5)] }}
#
# At the end the two part. The training loss drops once more, since more and more of the last steps read the 60 facts, which the
# model learns by heart; the held-out figure stands still, at {{ held[-1] :.2f }}. A training loss alone would have told nothing of
# either: it always speaks of what was just read. What more the run did is in the [model
# card](../weights_tools/doll_house/MODEL_CARD.md). With only {{ end["epoch"] :.1f }} passes it is far from the point where repeating a text
# brings no more: up to four passes are almost as good as new text ([Muennighoff et al. 2023](https://arxiv.org/abs/2305.16264)).
# {{ claim: columns["train_loss"][-1] < 0.6 * columns["train_loss"][-6] and abs(held[-1] - held[-4]) < 0.02 }}

# %% [markdown] key="scale-why"
# ## Step 15. Tokens against parameters
#
# How much work is a training run? A matrix product takes two operations for each weight and token, one
# multiplication and one addition. In the backward pass there are two products for each one forward (lesson 15). So
# with $N$ parameters and $D$ tokens, leaving attention scores aside:
#
# $$C \approx 6\, N D$$
#
# (In the table `1.5e+13` means 1.5 times 10 to the power of 13.)

# %% key="scale-table"
runs = {
    "ours": (small.count_parameters(), 2 * recipe.steps * tokens_per_step),
    "the doll-house": (teller.config.count_parameters(), int(end["tokens"])),
    "[GPT-3](https://arxiv.org/abs/2005.14165)": (175e9, 300e9),
    "[Chinchilla](https://arxiv.org/abs/2203.15556)": (70e9, 1.4e12),
    "[Llama 2 7B](https://arxiv.org/abs/2307.09288)": (6_738_415_616, 2e12),
    "[Llama 3 8B](https://arxiv.org/abs/2407.21783)": (LLAMA_3_8B.count_parameters(), 15e12),
    "[Llama 3 405B](https://arxiv.org/abs/2407.21783)": (405e9, 15.6e12),
}
table(
    ["", "parameters N", "tokens D", "D / N", "6 N D"],
    [
        [name, f"{N:.2e}", f"{D:.2e}", f"{D / N:,.1f}", f"{6 * N * D:.1e}"]
        for name, (N, D) in runs.items()
    ],
)

# %% [markdown] key="scale-note"
# With a fixed number of operations one can train a large model on few tokens, or a small one on many. Which is
# better? [Hoffmann et al. 2022](https://arxiv.org/abs/2203.15556) trained over 400 models to find out: $N$ and
# $D$ should grow together, and at their best there are about **20 tokens for each parameter**. Chinchilla was
# built so. GPT-3 was much too large for its text.
#
# The result can be put in a formula for the loss. These are the constants as fitted again by
# [Besiroglu et al. 2024](https://arxiv.org/abs/2404.10102), who found an error in the first fit:
#
# $$L(N, D) = 1.8172 + \frac{482.01}{N^{0.3478}} + \frac{2085.43}{D^{0.3658}}$$
#
# The first term remains however large the model: no text can be predicted completely. The second falls with the size of
# the model, the third with the amount of text. We hold $C = 6ND$ fixed and try all sizes.


# %% key="scale-curve"
def law(N, D):
    return 1.8172 + 482.01 / N**0.3478 + 2085.43 / D**0.3658


C = 6 * LLAMA_3_8B.count_parameters() * 15e12
N = np.logspace(8.5, 12.5, 401)
lines = {}
for name, budget in {"operations of Llama 3 8B": C, "a hundredth of them": C / 100}.items():
    losses_by_law = law(N, budget / (6 * N))
    lines[name] = losses_by_law[::10]
    best = N[losses_by_law.argmin()]
    print(
        f"{name:24} {budget:.1e}: best with N = {best:.1e}, D / N = {budget / (6 * best) / best:.0f}"
    )
show.curves(N[::10], lines, ("parameters N", "loss by the formula"), log="x")
print(f"Llama 3 8B {law(C / 6 / 15e12, 15e12):.3f}, lowest {law(N, C / (6 * N)).min():.3f}")

# %% [markdown] key="scale-flat"
# The valley is flat: with twice or half the parameters one loses little. Llama 3 8B lies far to the left of
# the lowest point, at a tenth of the parameters, and on purpose. A model is trained once and used many
# times, and the small one is cheaper to use. So the smaller models of Llama 3 were trained much longer than
# is best for their training cost ([Llama team 2024](https://arxiv.org/abs/2407.21783), section 1). (The
# formula was fitted to other models on other text. It says which way things go, not what Llama's loss is.)
#
# At last, how far is it from our run to Llama 3 8B? The code would be the same. What differs is the number of
# machines, and all that is needed to keep them at work together.

# %% key="speed" tags=["timing"]
n, d = runs["ours"]
speed = 6 * n * d / seconds
print(f"our run: {d / seconds:,.0f} tokens a second, {speed:.1e} operations a second")
years = 6 * LLAMA_3_8B.count_parameters() * 15e12 / speed / (365 * 24 * 3600)
print(f"Llama 3 8B at this speed: {years / 1e6:.1f} million years")

# %% [markdown] key="summary"
# ## What you have seen
#
# | step | what | why |
# |---|---|---|
# | text to ids | a token for the beginning and the end | the model must know where texts end |
# | ids to rows | a stream, cut | a batch is a matrix |
# | targets | the ids, shifted by one | every position is an exercise |
# | weights | small random numbers | first loss is $\ln V$ |
# | clip | all gradients, one length | no step from one bad batch |
# | AdamW | a step of about the rate for each weight | gradients differ in size |
# | decay | on matrices only | norms should be near 1 |
# | rate | warm-up, cosine | small steps at the start and the end |
# | held-out loss | text never learned from | to see over-fitting |

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>How many exercises are in a batch of 8 rows of 128 tokens?</summary>
#
# 1024: one for each position, all computed in one forward run.
#
# </details>
#
# <details><summary>A fresh model with a vocabulary of 128256 shows a first loss of 11.76. Is that good?</summary>
#
# It is as it should be: $\ln 128256 = 11.76$. It knows nothing, and does not pretend to.
#
# </details>
#
# <details><summary>All gradients of a run become ten times as large. What does AdamW do differently?</summary>
#
# Next to nothing. $m$ grows by ten and $\sqrt{v}$ too, so the fraction stays. Only $\epsilon$, which is
# tiny, and clipping, if the limit is met, make a difference.
#
# </details>
#
# <details><summary>Before AdamW, decay was added to the gradient, and Adam got the sum. What goes wrong?</summary>
#
# The decay is then divided by $\sqrt{\hat v}$ like the gradient. Weights with large gradients hardly decay,
# those with small gradients decay most ([Loshchilov and Hutter 2017](https://arxiv.org/abs/1711.05101),
# section 2). In AdamW all matrices decay at one pace.
#
# </details>
#
# <details><summary>The training loss falls, the held-out loss climbs. What would you try?</summary>
#
# More text first. If there is none: stop where the held-out loss was lowest, use dropout, or a smaller model.
#
# </details>
#
# <details><summary>You have 100 times as many operations. By the rule of 20, how much larger a model?</summary>
#
# $C = 6ND$ with $D = 20N$ gives $C = 120 N^2$. So $N$ grows by $\sqrt{100} = 10$, and $D$ as well.
#
# </details>

# %% [markdown] key="try"
# ## Try it yourself
#
# Change one thing in step 5 or 9 and run the page again: half the width; one block in place of three; no
# warm-up; `dropout=0.1`. Which held-out loss is lowest? The whole way to a model with a folder of its own,
# log, curve and checkpoints is one command, `python -m weights_tools train --corpus FILE --out DIR`;
# `--help` lists what can be chosen.
#
# ## What comes next
#
# Our model goes on with any text, and that is all it does. Asked for a story about a cat, it may well go on
# asking. Lesson 17, fine-tuning, shows how a model that continues text becomes one that answers.
