# %% [markdown] key="title"
# # Exercise 18: preferences
#
# This page belongs to [lesson 18](../18_preferences.ipynb). Put your code in the place of each `...` and run the cell.
# `N` counts answers or pairs, `T` tokens, `V` the vocabulary. Where there are pairs, column 0 is the preferred answer and
# column 1 the other one.

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

from weights_tools import load_model

# %% [markdown] key="preference-task"
# ## Task 1. Bradley and Terry
#
# From the rewards of two answers the probability that the first is preferred, for `N` pairs.
#
# <details><summary>Hint</summary>
#
# Only the difference counts: $1 / (1 + e^{-(r_w - r_l)})$. With the powers of the rewards themselves a reward of 2000
# overflows.
#
# </details>


# %% key="preference"
def my_preference(r_w, r_l):
    """r_w: N, r_l: N -> N

    >>> my_preference(np.array([1.0, 3.0]), np.array([1.0, 3.0 - np.log(3)]))
    array([0.5 , 0.75])
    """
    ...


check("preference", my_preference)

# %% [markdown] key="tilt-task"
# ## Task 2. The best model
#
# Of `N` answers you know the probability under the reference and the reward. Return their probabilities under the model
# that is best for this `beta`.
#
# <details><summary>Hint</summary>
#
# `reference * np.exp(rewards / beta)`, divided by its sum.
#
# </details>


# %% key="tilt"
def my_tilt(reference, rewards, beta):
    """reference: N, rewards: N, beta: a number -> N

    >>> my_tilt(np.array([0.8, 0.2]), np.array([0.0, np.log(4)]), 1.0)
    array([0.5, 0.5])
    """
    ...


check("tilt", my_tilt)

# %% [markdown] key="answer-log-p-task"
# ## Task 3. How likely is an answer?
#
# `ids` is a whole dialog, of which the first `given` tokens were given, and `logits` are the model's at each of these
# tokens. Return the log-probability of the answer in nats.
#
# <details><summary>Hint</summary>
#
# `np.log(mine.softmax(logits))` has a row for each token, and the row at position `t` is about the token at `t + 1`. So the
# answer `ids[given:]` is predicted by the rows from `given - 1` to the last but one.
#
# </details>


# %% key="answer-log-p"
def my_answer_log_p(logits, ids, given):
    """logits: T V, ids: T, given: a number from 1 on -> a number

    >>> float(my_answer_log_p(np.zeros((4, 8)), np.array([1, 2, 3, 4]), 2) / np.log(8))
    -2.0
    """
    ...


check("answer_log_p", my_answer_log_p)

# %% [markdown] key="dpo-loss-task"
# ## Task 4. The loss of DPO
#
# From the log-probabilities of `N` pairs under the model and under the reference.
#
# <details><summary>Hint</summary>
#
# The rewards are `beta * (log_p - reference)`. `mine.preference` says how likely each preference was, and the loss is the mean
# surprise.
#
# </details>


# %% key="dpo-loss"
def my_dpo_loss(log_p, reference, beta):
    """log_p: N 2, reference: N 2, beta: a number -> a number

    >>> round(float(my_dpo_loss(np.array([[-5.0, -9.0]]), np.array([[-6.0, -6.0]]), 0.5)), 6)
    0.126928
    """
    ...


check("dpo_loss", my_dpo_loss)

# %% [markdown] key="dpo-backward-task"
# ## Task 5. Its gradient
#
# The gradient of that loss with respect to `log_p`. The reference is frozen: it has no gradient.
#
# <details><summary>Hint</summary>
#
# For each pair `beta / N` times the probability of the *wrong* choice, which `mine.preference` also tells. Against the gradient
# goes the step: which of the two columns is negative?
#
# </details>


# %% key="dpo-backward"
def my_dpo_backward(log_p, reference, beta):
    """log_p: N 2, reference: N 2, beta: a number -> N 2

    >>> my_dpo_backward(np.array([[-5.0, -9.0]]), np.array([[-5.0, -9.0]]), 0.5)
    array([[-0.25,  0.25]])
    """
    ...


check("dpo_backward", my_dpo_backward)

# %% [markdown] key="predict-task"
# ## Predict
#
# The reference finds every preferred answer 10 nats less likely than the other one. Training has not begun, so that the
# model is still the reference. What is the loss with `beta = 0.5`?

# %% key="predict"
guess = ...


def at_the_start():
    reference = np.array([[-110.0, -100.0], [-60.0, -50.0]])
    return float(mine.dpo_loss(reference, reference, 0.5))


predict("18", guess, at_the_start)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# $\ln 2$, whatever the reference thinks of the pairs, and whatever beta is. A reward says how far the model has *moved*, and it
# has not moved.
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# The rule looks at the last sentence. DPO was never told so: a pair says which story was better, and not where. Has it found the
# place? `doll-house-cheerful` has been through DPO on whole stories, and the pairs below were held out of its training. With your own
# function, count by how many nats the preferred answers have gained on the other ones, against the chat model: once for whole answers,
# and once for the second half of each, by giving the first half away. How large is the second number as a **share** of the first? Write
# it down, and in a sentence why it is so.
#
# <details><summary>Where to begin</summary>
#
# `logits_of(answer)` gives the logits of the cheerful and of the chat model. `answer.ids` and `answer.given` go into your function;
# the middle is `(answer.given + len(answer.ids)) // 2`. Preferred answers count with a plus, the others with a minus.
#
# </details>

# %% key="measure"
from functools import cache

from llama_np import forward
from weights_tools.commands.dpo import encode_pairs
from weights_tools.training.dialogs import PREFERENCES, Comparison, read_lines

chat, cheerful = (load_model(f"doll-house-{name}", "float32") for name in ("chat", "cheerful"))
last = list(read_lines(PREFERENCES, Comparison))[-30:]
pairs = encode_pairs(chat.tokenizer, last, chat.config)


def logits_of(answer):
    return [forward(model.weights, model.config, answer.ids) for model in (cheerful, chat)]


def nats(answer):
    """What an answer has gained against the chat model: all of it, and its second half."""
    new, old = logits_of(answer)
    starts = answer.given, (answer.given + len(answer.ids)) // 2
    f = mine.answer_log_p
    return np.array([f(new, answer.ids, s) - f(old, answer.ids, s) for s in starts])


@cache
def share():
    whole, late = sum(nats(preferred) - nats(other) for preferred, other in pairs)
    return float(late / whole)


found, because = ..., ...
measure("18", found, share, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# {{ share() :.2f }}{{ claim: share() > 1 }}: the second half holds more than all of the difference, and in the first half the other answers are even a little ahead.
# In the loss every word of both stories counts the same, but most of them come in stories of either kind and are pushed up in
# one pair and down in the next. What differs in pair after pair is the end, so that is what is left. Single pairs
# are far from it: print `nats` for some of them, and you find those in which the first half outweighs the second.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 18](../18_preferences.ipynb). Next: [lesson 19](../19_rewards.ipynb), where the rule itself is the teacher.
