# %% [markdown] key="title"
# # Exercise 19: rewards
#
# This page belongs to [lesson 19](../19_rewards.ipynb). Put your code in the place of each `...` and run the cell. The
# last task puts the others together into the loss of GRPO. `B` counts questions, `G` the answers of a group, and `T`
# tokens.

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

# %% [markdown] key="reinforce-task"
# ## Task 1. REINFORCE with a baseline
#
# The loss is the mean of `-advantage * log_p` over all answers of all groups, and an advantage is a reward less the mean
# of its group. Return the gradient with respect to each `log_p`.
#
# <details><summary>Hint</summary>
#
# `rewards.mean(axis=-1, keepdims=True)` has one mean for each group. A mean over all answers divides by `rewards.size`.
#
# </details>


# %% key="reinforce"
def my_reinforce(rewards):
    """rewards: B G -> B G

    >>> my_reinforce(np.array([[4.0, 0.0]]))
    array([[-1.,  1.]])
    """
    ...


check("reinforce", my_reinforce)

# %% [markdown] key="advantages-task"
# ## Task 2. A group's advantages
#
# GRPO also divides by the standard deviation of the group. Where all rewards of a group are equal, its advantages are zero,
# also when rounding says otherwise.
#
# <details><summary>Hint</summary>
#
# `rewards.std(axis=-1, keepdims=True)` is the deviation over G. Three times 0.1 have a deviation of about 1e-17, which is not
# 0; ask whether the largest and the smallest of the group are the same. `np.where(equal, 1.0, deviation)` can be divided by.
#
# </details>


# %% key="advantages"
def my_group_advantages(rewards):
    """rewards: B G -> B G

    >>> my_group_advantages(np.array([[1.0, 0.0], [0.1, 0.1]]))
    array([[ 1., -1.],
           [ 0.,  0.]])
    """
    ...


check("group_advantages", my_group_advantages)

# %% [markdown] key="kl-task"
# ## Task 3. The distance, from drawn tokens
#
# The estimate "k3" of the KL from the reference, for each token: $\rho - \ln \rho - 1$ with
# $\rho = p_\mathrm{ref} / p$. You get the logarithms of both probabilities.
#
# <details><summary>Hint</summary>
#
# `log_rho = reference - log_p`, and `rho` is its `np.exp`.
#
# </details>


# %% key="kl"
def my_kl_estimate(log_p, reference):
    """log_p: B T, reference: B T -> B T

    >>> my_kl_estimate(np.log([[0.5, 0.5]]), np.log([[0.5, 1.0]])).round(3)
    array([[0.   , 0.307]])
    """
    ...


check("kl_estimate", my_kl_estimate)

# %% [markdown] key="clipped-task"
# ## Task 4. What a token may gain
#
# The ratio of its probability now and then, times the advantage of its answer; or the same with the ratio
# held between `1 - clip` and `1 + clip`. The smaller of the two counts.
#
# <details><summary>Hint</summary>
#
# `advantages[:, None]` has one for each row. `np.clip` and `np.minimum`.
#
# </details>


# %% key="clipped"
def my_clipped_gain(log_p, old, advantages, clip):
    """log_p: B T, old: B T, advantages: B, clip: a number -> B T

    >>> my_clipped_gain(np.log([[0.5, 1.0]]), np.log([[0.5, 0.5]]), np.array([3.0]), 0.2)
    array([[3. , 3.6]])
    """
    ...


check("clipped_gain", my_clipped_gain)

# %% [markdown] key="loss-task"
# ## Task 5. GRPO
#
# One group, one row for each answer; `counts` is True where a token belongs to the answer. The loss of a token is `beta` times its
# KL, less its gain. Take the mean over the tokens of each answer, then over the answers. Yours are
# `mine.group_advantages`, `mine.clipped_gain` and `mine.kl_estimate`.
#
# <details><summary>Hint</summary>
#
# `(loss * counts).sum(axis=-1) / counts.sum(axis=-1)` is the mean of each answer. `mine.group_advantages` wants a table: `rewards[None]`, and
# its first row.
#
# </details>


# %% key="loss"
def my_grpo_loss(log_p, old, reference, rewards, counts, clip, beta):
    """log_p, old, reference: G T, rewards: G, counts: G T, clip, beta: numbers -> a number

    >>> same, both = np.zeros((2, 3)), np.ones((2, 3), dtype=bool)
    >>> loss = my_grpo_loss(same, same, same - np.log(2), np.array([1.0, 0.0]), both, 0.2, 1.0)
    >>> round(float(loss), 4)
    0.1931
    """
    ...


check("grpo_loss", my_grpo_loss)

# %% [markdown] key="predict-task"
# ## Predict
#
# Of eight answers one is good. By what factor is it pushed harder, token by token, than each of the seven others is
# pushed away?

# %% key="predict"
guess = ...


def factor():
    advantages = mine.group_advantages(np.array([[1.0] + 7 * [0.0]]))[0]
    return float(-advantages[0] / advantages[1])


predict("19", guess, factor)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Seven times. The advantages of a group sum to zero, so one answer balances seven. A rare success teaches much, and so
# does a rare failure, in the other direction.
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# [Lesson 19](../19_rewards.ipynb), step 6, has the measured points. How many nats further than needed has GRPO
# moved? Take the KL of each of its three last models, subtract the least at which its share of good endings can be had by a
# model that starts at the chat model's, and take the mean. Write down the number, and in a sentence what the rest was spent on.
#
# <details><summary>Where to begin</summary>
#
# `read(POINTS)` gives the rows, each a dictionary with `method`, `seed`, `mean_reward` and `kl_per_answer`; `least_kl(q, p)`
# is the distance of two coins.
#
# </details>

# %% key="measure"
from llama_np.training.rewards import least_kl
from weights_tools.training.rewards.study import POINTS
from weights_tools.training.tables import read


def further():
    rows = read(POINTS)
    (p,) = [row["mean_reward"] for row in rows if row["method"] == "chat model"]
    runs = [row for row in rows if row["method"] == "GRPO"]
    return np.mean([row["kl_per_answer"] - least_kl(row["mean_reward"], p) for row in runs])


found, because = ..., ...
measure("19", found, further, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# It has moved {{ further() :.1f }} nats further than needed. {{ claim: further() > 0.5 }} Most of it lies before the
# last sentence, the only one that the rule reads. It is tempting to blame the advantage, which is given to all tokens of an
# answer; but where it is paid to the last sentence alone, the sentences before still move, because one set of weights writes
# them all.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 19](../19_rewards.ipynb). It is the last one of the course.
