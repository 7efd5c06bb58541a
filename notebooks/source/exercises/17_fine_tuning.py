# %% [markdown] key="title"
# # Exercise 17: fine-tuning
#
# This page belongs to [lesson 17](../17_fine_tuning.ipynb). Put your code in the place of each `...` and run the cell. `T` counts
# tokens, `in` and `out` are the two sides of a matrix, `r` is the rank. The scale `s` of the lesson is called `scale`.

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

from weights_tools import load_model

# %% [markdown] key="answer-targets-task"
# ## Task 1. Which tokens count
#
# `ids` is a whole dialog, and its first `given` ids are what the model is given: the question, up to the header of the
# answer. The rest is the answer with its end. The model sees all ids but the last. Return its targets, one for each of
# these positions: the token to predict, or -100 where none counts.
#
# <details><summary>Hint</summary>
#
# `ids[1:]` is the token after each position. Which position predicts the first token of the answer? It is the last one
# that was given, at place `given - 1`.
#
# </details>


# %% key="answer-targets"
def my_answer_targets(ids, given):
    """ids: N, given: a number -> T, which is N - 1

    >>> my_answer_targets(np.array([5, 6, 7, 8]), 2)
    array([-100,    7,    8])
    """
    ...


check("answer_targets", my_answer_targets)

# %% [markdown] key="lora-start-task"
# ## Task 2. A start that changes nothing
#
# `noise` holds random numbers. Make from them the two thin matrices to start from: `a` is the noise divided by
# $\sqrt{\text{in}}$, as in the library, and `b` is such that the model is unchanged and yet can learn.
#
# <details><summary>Hint</summary>
#
# `noise.shape` says how large `in` and `r` are. One of the two is zero in all its numbers; which of them may it not be,
# if the other should get a gradient?
#
# </details>


# %% key="lora-start"
def my_lora_start(noise, n_out):
    """noise: in r, n_out: a number -> a: in r, and b: r out

    >>> my_lora_start(np.ones((4, 1)), 2)[0].ravel()
    array([0.5, 0.5, 0.5, 0.5])
    """
    a = ...
    b = ...
    return a, b


check("lora_start", my_lora_start)

# %% [markdown] key="lora-linear-task"
# ## Task 3. Beside a frozen matrix
#
# The product of rows with a tuned matrix, without ever adding the product of `a` and `b` to `w`.
#
# <details><summary>Hint</summary>
#
# Two ways from `x`, and their sum. Put the brackets so that all that lies between is thin.
#
# </details>


# %% key="lora-linear"
def my_lora_linear(x, w, a, b, scale):
    """x: T in, w: in out, a: in r, b: r out, scale: a number -> T out

    >>> my_lora_linear(np.ones((1, 2)), np.eye(2), np.ones((2, 1)), np.array([[1.0, 0.0]]), 0.5)
    array([[2., 1.]])
    """
    ...


check("lora_linear", my_lora_linear)

# %% [markdown] key="lora-gradients-task"
# ## Task 4. Its two gradients
#
# `d_out` is the gradient of the loss with respect to what `my_lora_linear` gave out. Return those with respect to `a` and to `b`,
# and form no matrix of the size of `w` on the way.
#
# <details><summary>Hint</summary>
#
# Each is a product of what came in, transposed, with what came back. Into `a` came `x`, and back came `d_out @ b.T`.
# Into `b` came `x @ a`.
#
# </details>


# %% key="lora-gradients"
def my_lora_gradients(d_out, x, a, b, scale):
    """d_out: T out, x: T in, a: in r, b: r out, scale: a number -> d_a: in r, and d_b: r out

    >>> d_a, d_b = my_lora_gradients(*np.ones((2, 1, 2)), np.ones((2, 1)), np.ones((1, 2)), 0.5)
    >>> d_a.ravel(), d_b.ravel()
    (array([1., 1.]), array([1., 1.]))
    """
    d_a = ...
    d_b = ...
    return d_a, d_b


check("lora_gradients", my_lora_gradients)

# %% [markdown] key="merged-task"
# ## Task 5. Merged
#
# Add what was learned to the matrix. What comes out is an ordinary matrix, and the model with it an ordinary Llama; leave `w`
# itself as it is.
#
# <details><summary>Hint</summary>
#
# One line, and one factor that is easily forgotten.
#
# </details>


# %% key="merged"
def my_merged(w, a, b, scale):
    """w: in out, a: in r, b: r out, scale: a number -> in out

    >>> my_merged(np.eye(2), np.ones((2, 1)), np.array([[1.0, 0.0]]), 0.5)
    array([[1.5, 0. ],
           [0.5, 1. ]])
    """
    ...


check("merged", my_merged)

# %% [markdown] key="predict-task"
# ## Predict
#
# Your start of task 2, and your gradients of task 4, on random rows: how long is the gradient with respect to `a`?

# %% key="predict"
guess = ...


def length():
    rng = np.random.default_rng(0)
    a, b = mine.lora_start(rng.uniform(-1, 1, (6, 2)), 5)
    d_a, _ = mine.lora_gradients(
        rng.standard_normal((4, 5)), rng.standard_normal((4, 6)), a, b, 2.0
    )
    return float(np.linalg.norm(d_a))


predict("17", guess, length)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Zero: all that comes back to `a` comes through `b`, and `b` is zero. In the first step only `b` moves, and from the second on both
# do ([lesson 17](../17_fine_tuning.ipynb), step 3).
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# The chat model that ships was tuned for hundreds of steps. Go only **half of the way** from the doll-house to it, in every
# weight. How much of what the tuning has gained on its kind of dialogs is there already, as a share between 0 and 1? Measure it on
# twelve dialogs, and write down in a sentence why it is not one half.
#
# <details><summary>Where to begin</summary>
#
# `loss(share)` is the mean loss at any share of the way; 0 is the doll-house, 1 the chat model. What was gained is
# `loss(0) - loss(1)`.
#
# </details>

# %% key="measure"
from weights_tools.commands.finetune import nats_per_token
from weights_tools.training.corpus import STORIES, read_documents
from weights_tools.training.dialogs import encode, story_dialogs
from weights_tools.training.tuning.study import part_of_the_way

base, chat = load_model("doll-house", "float32"), load_model("doll-house-chat", "float32")
some = [encode(base.tokenizer, dialog) for dialog in story_dialogs(read_documents(STORIES)[-12:])]


def loss(share):
    there = part_of_the_way(base.weights, chat.weights, share)
    return nats_per_token(there, base.config, some)


def gained():
    return float((loss(0) - loss(0.5)) / (loss(0) - loss(1)))


found, because = ..., ...
measure("17", found, gained, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# Of the gain, {{ gained() :.2f }} is there half of the way. {{ claim: gained() > 0.6 }} The loss falls steeply where training began and hardly at all
# where it ended: near a minimum it is flat. So the first half of the way brings most, and the second costs several times as much of what
# the model knew before ([lesson 17](../17_fine_tuning.ipynb), the last experiment).
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 17](../17_fine_tuning.ipynb). Next: [lesson 18](../18_preferences.ipynb), where comparisons teach.
