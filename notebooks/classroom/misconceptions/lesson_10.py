"""Lesson 10, logits and choosing."""

import numpy as np

from llama_np.functional import softmax
from llama_np.norm import rms_norm
from llama_np.sampling import keep_top_k, keep_top_p

from .registry import wrong


@wrong("the last norm is left out", "10/norm-why", task="logits")
def logits_without_norm(x, weight, output, eps):
    """The rows are brought to one size once more before the output matrix reads them."""
    return x @ output


@wrong("normalised after the output matrix", "10/norm-why", task="logits")
def norm_of_the_logits(x, weight, output, eps):
    """The norm comes first: its weight has D numbers, one for each column of the stream."""
    return rms_norm(x @ output, np.ones(output.shape[-1]), eps)


@wrong("the weight of the last norm is left out", "10/norm-why", task="logits")
def logits_without_weight(x, weight, output, eps):
    """It is the norm of lesson 03, with a learned number for each column."""
    return rms_norm(x, np.ones_like(weight), eps) @ output


@wrong("a softmax was applied", "10/softmax-why", task="logits")
def probabilities_for_logits(x, weight, output, eps):
    """Logits are scores, and can be any number: probabilities are made of them in the next step."""
    return softmax(rms_norm(x, weight, eps) @ output)


@wrong("the logits of the last row only", "10/norm-why", task="logits")
def logits_of_the_last_row(x, weight, output, eps):
    """Every row has logits, for the token after its own: T V."""
    return rms_norm(x, weight, eps)[-1] @ output


@wrong("multiplied by the temperature", "10/temperature-why", task="probabilities")
def multiplied_by_the_temperature(logits, temperature):
    """A low temperature sharpens: dividing by it makes the differences larger."""
    return softmax(logits * temperature)


@wrong("divided after the softmax", "10/temperature-why", task="probabilities")
def divided_after_softmax(logits, temperature):
    """The logits are divided, before the softmax: then the result still sums to one."""
    return softmax(logits) / temperature


@wrong("the temperature is not used, or it cancels", "10/temperature-why", task="probabilities")
def no_temperature(logits, temperature):
    """Probabilities divided by it and by their sum are the old ones: divide the logits, before."""
    return softmax(logits)


@wrong("the kept ones no longer sum to one", "10/top-k-why", task="keep_top_k")
def top_k_not_divided(probabilities, k):
    """Divide by what is left, so that the sum is one again."""
    return np.where(keep_top_k(probabilities, k) > 0, probabilities, 0)


@wrong("the least likely were kept", "10/top-k-why", task="keep_top_k")
def bottom_k(probabilities, k):
    """argsort puts the smallest first: keep the other end."""
    kept = np.zeros_like(probabilities)
    lowest = np.argsort(probabilities, kind="stable")[:k]
    kept[lowest] = probabilities[lowest]
    return kept / kept.sum()


@wrong("the first k of the vocabulary were kept", "10/top-k-why", task="keep_top_k")
def first_k(probabilities, k):
    """Keep the most likely ones, wherever they stand: ids are in no order of probability."""
    kept = np.where(np.arange(len(probabilities)) < k, probabilities, 0)
    return kept / kept.sum()


@wrong(
    "the token that crosses p was dropped",
    "10/top-p-why",
    right="sampling.keep_top_p",
    task="keep_top_p",
)
def drop_the_token_that_crosses(probabilities, p):
    """The kept ones would hold less than p, and with a sure model nothing would be left."""
    order = np.argsort(-probabilities, kind="stable")
    kept = np.cumsum(probabilities[order]) < p
    kept[0] = True
    remaining = np.zeros_like(probabilities)
    remaining[order[kept]] = probabilities[order[kept]]
    return remaining / remaining.sum()


@wrong("the kept ones no longer sum to one", "10/top-p-why", task="keep_top_p")
def top_p_not_divided(probabilities, p):
    """Divide by what is left, so that the sum is one again."""
    return np.where(keep_top_p(probabilities, p) > 0, probabilities, 0)


@wrong("added up in the order of the ids", "10/top-p-why", task="keep_top_p")
def top_p_unsorted(probabilities, p):
    """Start with the likeliest token and go down: sort first, then add up."""
    before = np.cumsum(probabilities) - probabilities
    kept = np.where(before <= p, probabilities, 0)
    return kept / kept.sum()


def top_p_with(probabilities, p, *, order=None, keep=np.less_equal, own=0.0, undo=True):
    """``keep_top_p`` with something else in one of its places."""
    order = np.argsort(-probabilities, kind="stable") if order is None else order
    ordered = probabilities[order]
    kept = np.where(keep(np.cumsum(ordered) - (1 - own) * ordered, p), ordered, 0)
    result = np.zeros_like(probabilities)
    result[order if undo else slice(None)] = kept / kept.sum()
    return result


@wrong("dropped where those before hold just p", "10/top-p-why", task="keep_top_p")
def dropped_at_just_p(probabilities, p):
    """A token goes where those before it hold more than p: just p is not more, so <= keeps it."""
    return top_p_with(probabilities, p, keep=np.less)


@wrong("the token's own probability was counted", "10/top-p-why", task="keep_top_p")
def own_probability_counted(probabilities, p):
    """Only those before it count: else the one that crosses p goes, and a sure one leaves none."""
    return top_p_with(probabilities, p, own=1.0)


@wrong("added up from the least likely", "10/top-p-why", task="keep_top_p")
def top_p_from_below(probabilities, p):
    """argsort puts the smallest first: begin with the likeliest, as of the negative ones."""
    return top_p_with(probabilities, p, order=np.argsort(probabilities, kind="stable"))


@wrong("the order was not undone", "10/top-p-why", task="keep_top_p")
def left_in_order(probabilities, p):
    """Place i belongs to token i: what was sorted goes back to where it came from."""
    return top_p_with(probabilities, p, undo=False)
