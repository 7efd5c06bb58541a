"""Lesson 14, gradients and steps."""

import numpy as np

from llama_np.functional import softmax

from ..check.learning import adam, d_weight, descend, velocity
from .registry import wrong


@wrong("the mean over the rows was taken", "14/product-why", task="d_weight")
def mean_over_rows(d_out, x):
    """Every row uses the matrix, and what comes back from them is added, not averaged."""
    return d_weight(d_out, x) / len(x)


@wrong("only the last row came back", "14/product-why", task="d_weight")
def last_row_only(d_out, x):
    """The same matrix was used in every row: each has its part in the gradient."""
    return np.outer(x[-1], d_out[-1])


@wrong("the gradient lies on its side", "14/product-why", task="d_weight")
def gradient_transposed(d_out, x):
    """A gradient has the shape of its array: row j, column v belongs to the weight there."""
    return d_weight(d_out, x).T


@wrong("x is not transposed", "14/product-why", task="d_weight")
def not_transposed(d_out, x):
    """The sum goes over the rows, T: x.T, which is D T, by d_out, T V, gives D V."""
    return x @ d_out


@wrong("the rate is left out", "14/step-why", task="descend")
def step_without_a_rate(x, output, target, rate):
    """The gradient says where to go; how far, the rate says: it multiplies the gradient."""
    return descend(x, output, target, 1.0)


@wrong("the step goes up", "14/step-why", task="descend")
def climb(x, output, target, rate):
    """The gradient points to where the loss grows: a step goes against it."""
    return descend(x, output, target, -rate)


@wrong("nothing was subtracted at the target", "14/gradient-why", task="descend")
def target_pushed_down_too(x, output, target, rate):
    """The gradient is p for the other tokens and p - 1 for the target, which is to rise."""
    return output - rate * np.outer(x, softmax(x @ output))


@wrong("only the column of the target moved", "14/gradient-why", task="descend")
def only_the_target_moves(x, output, target, rate):
    """Every logit is in the bottom of the softmax, so every column has a slope."""
    return np.where(np.arange(output.shape[1]) == target, descend(x, output, target, rate), output)


@wrong("logits were taken for probabilities", "14/gradient-why", task="descend")
def logits_for_probabilities(x, output, target, rate):
    """The slope at a logit is the probability of its token, less 1 at the target."""
    d_z = x @ output
    d_z[target] -= 1
    return output - rate * np.outer(x, d_z)


@wrong("the gradient came out, and no step was made", "14/step-why", task="descend")
def gradient_without_a_step(x, output, target, rate):
    """A step gives the new weights: the old ones minus rate times gradient."""
    return (output - descend(x, output, target, rate)) / rate


@wrong("nothing was forgotten", "14/bowl", task="velocity")
def no_friction(gradients, keep):
    """The old velocity is multiplied by keep at each step; without friction it never rests."""
    return gradients.sum(axis=0)


@wrong("only the last gradient counted", "14/bowl", task="velocity")
def no_memory(gradients, keep):
    """What is kept of the old velocity is added to the new gradient."""
    return gradients[-1]


@wrong("only the first gradient counted", "14/bowl", task="velocity")
def first_gradient_only(gradients, keep):
    """Go on to the last gradient: a return inside the loop ends it after the first."""
    return gradients[0]


@wrong("a running mean instead of a sum", "14/bowl", task="velocity")
def running_mean(gradients, keep):
    """Momentum adds the whole new gradient; the factor 1 - keep belongs to Adam's means."""
    return (1 - keep) * velocity(gradients, keep)


@wrong("the oldest gradient counted most", "14/bowl", task="velocity")
def oldest_counts_most(gradients, keep):
    """The newest gradient counts in full, and the older one is, the less is left of it."""
    return velocity(gradients[::-1], keep)


def adam_with(
    w,
    gradients,
    rate,
    *,
    unbias=(1, 1),
    root=lambda v: np.sqrt(v) + 1e-8,
    keep=0.9,
    square=lambda g, m: g * g,
):
    """Adam with something else in one of its places."""
    m = v = np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m = keep * m + (1 - keep) * g
        v = 0.95 * v + 0.05 * square(g, m)
        first, second = (1 - off * beta**t for off, beta in zip(unbias, (keep, 0.95), strict=True))
        w = w - rate * (m / first) / root(v / second)
    return w


@wrong("the means were not corrected for their start", "14/adam-why", task="adam")
def means_not_corrected(w, gradients, rate):
    """Both means begin at 0 and are too small at first: divide by 1 minus beta to the t."""
    return adam_with(w, gradients, rate, unbias=(0, 0))


@wrong("the root is missing", "14/adam-why", task="adam")
def mean_square_without_root(w, gradients, rate):
    """Only the root of the mean square has the size of a gradient, so that they cancel."""
    return adam_with(w, gradients, rate, root=lambda v: v + 1e-8)


@wrong("v was not corrected for its start", "14/adam-why", task="adam")
def v_not_corrected(w, gradients, rate):
    """Both means begin at 0: v is divided by 1 minus 0.95 to the t, as m is by its own factor."""
    return adam_with(w, gradients, rate, unbias=(1, 0))


@wrong("eps stands inside the root", "14/adam-why", task="adam")
def eps_inside_the_root_of_v(w, gradients, rate):
    """Here eps is added to the root: inside, 1e-8 would count as much as a gradient of 1e-4."""
    return adam_with(w, gradients, rate, root=lambda v: np.sqrt(v + 1e-8))


@wrong("eps is left out", "14/adam-why", task="adam")
def adam_without_eps(w, gradients, rate):
    """A weight that has had no gradient so far would move by 0 divided by 0."""
    return adam_with(w, gradients, rate, root=np.sqrt)


@wrong("the last gradient stands in the place of m", "14/adam-why", task="adam")
def adam_without_momentum(w, gradients, rate):
    """Above the line stands the running mean of the gradients, which is momentum."""
    return adam_with(w, gradients, rate, keep=0.0)


@wrong("the square of the mean, not the mean of squares", "14/adam-why", task="adam")
def square_of_the_mean(w, gradients, rate):
    """Gradients of both signs cancel in m and not in v, where each is squared first."""
    return adam_with(w, gradients, rate, square=lambda g, m: m * m)


@wrong("Adam went up", "14/step-why", task="adam")
def adam_upwards(w, gradients, rate):
    """The step goes against the gradient: it is subtracted."""
    return adam(w, gradients, -rate)
