# %% [markdown] key="title"
# # Exercise 16: pre-training
#
# This page belongs to [lesson 16](../16_pretraining.ipynb). Put your code in the place of each `...` and run the
# cell. At the end a Llama learns on your functions alone, and its losses must be those of the library. `B` counts
# rows, `T` the tokens of a row, `S` steps.

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

from weights_tools import DOLL_HOUSE, load_model

# %% [markdown] key="rows-task"
# ## Task 1. A stretch of text to rows
#
# `tokens` is a stretch of the stream, one token longer than the rows hold. Return the ids and the targets, one above
# the other. Each row has `length` tokens, and the target of a position is the token that follows it in the stream.
#
# <details><summary>Hint</summary>
#
# All tokens but the last are the ids, all but the first the targets. `reshape(-1, length)` cuts a stretch into rows, and
# `np.stack` puts two arrays of the same shape one above the other.
#
# </details>


# %% key="rows"
def my_rows(tokens, length):
    """tokens: B*T + 1, length: a whole number -> 2 B T

    >>> my_rows(np.array([5, 6, 7, 8, 9]), 2)
    array([[[5, 6],
            [7, 8]],
    <BLANKLINE>
           [[6, 7],
            [8, 9]]])
    """
    ...


check("rows", my_rows)

# %% [markdown] key="adamw-task"
# ## Task 2. One step of AdamW
#
# `w` are the weights of one array, `g` their gradient, `m` and `v` the running means so far, `t` the number of this step,
# beginning with 1. Return the new `w`, `m` and `v`, one above the other. The constants are $\beta_1 = 0.9$, $\beta_2 =
# 0.95$, $\epsilon = 10^{-8}$ and $\lambda = 0.1$. Which arrays decay can be seen from `w.ndim`.
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1)\,g \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\,g^2 \qquad w \leftarrow w - r \left(
# \frac{m'}{\sqrt{v'} + \epsilon} + \lambda\,w \right)$$
#
# <details><summary>Hint</summary>
#
# First the two means. Then $m'$ is `m / (1 - 0.9**t)`, and $v'$ likewise. The old `w` stands in the decay. Vectors,
# such as the weights of a norm, do not decay.
#
# </details>


# %% key="adamw"
def my_adamw(w, g, m, v, t, rate):
    """w, g, m, v: of one shape, t: a whole number, rate: a number -> 3 arrays of this shape

    >>> my_adamw(np.ones(1), np.full(1, 4.0), np.zeros(1), np.zeros(1), 1, 0.5).round(3)
    array([[0.5],
           [0.4],
           [0.8]])
    """
    ...


check("adamw", my_adamw)

# %% [markdown] key="clip-task"
# ## Task 3. Clipping
#
# `gradients` is a list of arrays. All of them together are one long vector. Where it is longer than `limit`, all arrays are
# multiplied by one factor, so that it becomes just as long; else nothing changes. Return the arrays in a list.
#
# <details><summary>Hint</summary>
#
# The length is the root of the sum of all squares, over all arrays. The factor is `limit / length`, and never more
# than 1.
#
# </details>


# %% key="clip"
def my_clip(gradients, limit):
    """gradients: a list of arrays, limit: a number -> a list of arrays

    >>> my_clip([np.array([[3.0]]), np.array([4.0])], 1.0)
    [array([[0.6]]), array([0.8])]
    """
    ...


check("clip", my_clip)

# %% [markdown] key="schedule-task"
# ## Task 4. The rate of a step
#
# Steps count from 0. Before step `warm_up` the rate rises in a line, $(s + 1) / (s_w + 1)$ of the peak; from there on it
# falls along half a cosine, from the peak at step `warm_up` to 0 at step `total`.
#
# <details><summary>Hint</summary>
#
# How much of the way down is done is `(step - warm_up) / (total - warm_up)`. The cosine of $\pi$ times that goes from 1 to −1, and half of
# one plus it from 1 to 0.
#
# </details>


# %% key="schedule"
def my_schedule(step, peak, warm_up, total):
    """step, warm_up, total: whole numbers, peak: a number -> a number

    >>> [float(round(my_schedule(step, 1.0, 1, 5), 3)) for step in range(5)]
    [0.5, 1.0, 0.854, 0.5, 0.146]
    """
    ...


check("schedule", my_schedule)

# %% [markdown] key="pretrain-task"
# ## Task 5. A Llama learns
#
# `w` holds the arrays of a Llama of one block and one head, without a feed-forward step: embedding, a norm, attention with RoPE, a norm,
# output. `one_row` goes forward and back through it, on what you wrote in exercises 02 to 15, and is given. The loop around it is
# yours. Each row of `tokens` is one step: cut it into rows, set the targets that are `start_id` to -100, because where a text begins
# nothing can be guessed, average losses and gradients of the rows, clip all gradients to the length 1, and take a step. Return
# the loss of each step.
#
# <details><summary>Hint</summary>
#
# `mine.rows`; `one_row` for each row; `mine.accumulate` with `counts`, the targets of each row that count, for the loss and for each
# array, with its gradients as rows: `gradient[name].ravel()`. Then `mine.clip(list(d.values()), 1.0)`, and
# `mine.adamw` for each array, with `m[name]` and `v[name]`.
#
# </details>


# %% key="pretrain"
def my_pretrain(w, tokens, length, start_id, rates):
    """w: arrays by name, tokens: S B*T+1, length, start_id: whole numbers, rates: S -> losses: S"""

    def one_row(w, ids, targets):
        here, turn = np.arange(len(ids)), mine.frequencies(w["wq"].shape[1], 10000.0)
        x = mine.embed(w["embedding"], ids)
        n = mine.rms_norm(x, w["attn_norm"], 1e-5)
        q, k, v = n @ w["wq"], n @ w["wk"], n @ w["wv"]
        q, k = mine.rotate(q, here, turn), mine.rotate(k, here, turn)
        scores = mine.mask_scores(mine.scores(q, k), mine.causal_mask(here, here))
        pattern = mine.softmax(scores)
        y = x + pattern @ v @ w["wo"]
        last = mine.rms_norm(y, w["norm"], 1e-5)
        logits = last @ w["output"]
        counted = targets != -100
        right = mine.softmax(logits)[here[counted], targets[counted]]

        d_logits = mine.d_logits(logits, targets)
        d_last = d_logits @ w["output"].T
        d_y = mine.norm_backward(d_last, y, w["norm"], 1e-5)
        d_q, d_k, d_v = mine.attend_backward(d_y @ w["wo"].T, q, k, v, pattern)
        d_q, d_k = mine.rotate(d_q, -here, turn), mine.rotate(d_k, -here, turn)
        d_n = d_q @ w["wq"].T + d_k @ w["wk"].T + d_v @ w["wv"].T
        d_embedding = np.zeros_like(w["embedding"])
        np.add.at(d_embedding, ids, d_y + mine.norm_backward(d_n, x, w["attn_norm"], 1e-5))
        return -np.log(right).mean(), {
            "embedding": d_embedding,
            "attn_norm": (d_n * n / w["attn_norm"]).sum(axis=0),
            "wq": mine.d_weight(d_q, n),
            "wk": mine.d_weight(d_k, n),
            "wv": mine.d_weight(d_v, n),
            "wo": mine.d_weight(d_y, pattern @ v),
            "norm": (d_last * last / w["norm"]).sum(axis=0),
            "output": mine.d_weight(d_logits, last),
        }

    w = dict(w)
    m = {name: np.zeros_like(array) for name, array in w.items()}
    v = {name: np.zeros_like(array) for name, array in w.items()}
    losses = []
    for t, (step, rate) in enumerate(zip(tokens, rates), start=1):
        ...
    return np.array(losses)


learned = check("pretrain", my_pretrain)

# %% [markdown] key="train-task"
# When the check has passed, run this cell: the same function on a song.

# %% key="train"
song = "row, row, row your boat, gently down the stream. merrily, merrily, merrily, merrily, life is but a dream. "
letters = sorted(set(song))
stream = np.array([letters.index(letter) for letter in song * 30])
rng, D, K, n_steps = np.random.default_rng(0), 24, 24, 60
shapes = {"embedding": (len(letters), D), "attn_norm": D, "wq": (D, K), "wk": (D, K)}
shapes |= {"wv": (D, K), "wo": (K, D), "norm": D, "output": (D, len(letters))}
begin = {
    name: np.ones(shape) if name.endswith("norm") else 0.2 * rng.standard_normal(shape)
    for name, shape in shapes.items()
}
if learned:
    pieces = np.stack([stream[n * 50 : n * 50 + 97] for n in range(n_steps)])
    steps = [mine.schedule(n, 0.03, 5, n_steps) for n in range(n_steps)]
    losses = my_pretrain(begin, pieces, 24, -1, steps)
    print(f"a blind guess: {np.log(len(letters)):.2f} nats a letter")
    print("every tenth step:", *losses[::10].round(2), "last:", losses[-1].round(2))
else:
    print("the song comes when the check above has passed")

# %% [markdown] key="predict-task"
# ## Predict
#
# Somebody forgets to shift: the targets are the ids themselves. A small Llama is trained so for 40 steps. Where is
# its loss, in nats? A blind guess has {{ np.log(load_model(DOLL_HOUSE).config.vocab_size) :.1f }}.

# %% key="predict"
guess = ...


def loss_without_shift():
    from dataclasses import replace

    from llama_np.training import AdamW
    from llama_np.training.backward import loss_and_gradients
    from llama_np.weights import initialize
    from weights_tools.training.corpus import STORIES, encode_document, read_corpus

    model = load_model(DOLL_HOUSE)
    config = replace(model.config, dim=64, n_layers=1, n_heads=2, n_kv_heads=1, tied_output=True)
    stories = read_corpus(STORIES).train[:100]
    text = np.concatenate([encode_document(model.tokenizer, story) for story in stories])
    w = initialize(config, np.random.default_rng(0), std=0.1)
    update = AdamW(w)
    for step in range(40):
        ids = text[step * 256 : (step + 1) * 256].reshape(2, 128)
        loss, gradients = loss_and_gradients(w, config, ids, ids)
        update.step(w, gradients, 1e-2)
    return float(loss)


predict("16", guess, loss_without_shift)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Near zero, and falling. The answer stands in the question, and copying is easy. A loss that is too good is a sign that something
# has leaked: a target that was not shifted, a mask that lets the future through, or held-out text that was in the
# training text ([page 16b](../16b_what_a_run_tells.ipynb)).
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# Under Adam, a single bad batch does not throw a weight away ([lesson 16](../16_pretraining.ipynb), step 7). Let a
# weight have the gradient 1 in 200 steps, but 100 in step 60, and use your `mine.adamw` with the rate 1 on a vector
# of one weight. How far does it go in all, in units of the rate, compared with the 200 that it goes without the bad
# batch? Write down the difference, and say in a sentence what clipping would have saved.
#
# <details><summary>Where to begin</summary>
#
# A loop over the gradients that keeps `w`, `m` and `v`, each `np.zeros(1)` at first; `t` counts from 1.
#
# </details>


# %% key="measure"
def lost():
    ends = []
    for bad in (1.0, 100.0):
        w, m, v = np.zeros((3, 1))
        for t in range(1, 201):
            g = np.array([bad if t == 61 else 1.0])
            w, m, v = mine.adamw(w, g, m, v, t, 1.0)
        ends.append(w[0])
    return float(abs(ends[0] - ends[1]))


found, because = ..., ...
measure("16", found, lost, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# {{ lost() :.0f }} of 200 steps are lost, though in the bad step itself the weight moved less than
# usual.{{ claim: lost() > 40 }} The bad batch is in $v$ for a long time, by which every later step is divided, and $m$ has
# forgotten it much sooner. Clipped, it would have counted like any other batch.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 16](../16_pretraining.ipynb) and to page [16b](../16b_what_a_run_tells.ipynb), on what a run tells.
# Next: [lesson 17](../17_fine_tuning.ipynb), where a model that continues texts learns to answer.
