"""What the microscope shows of a run: pure functions from recorded activations to plain numbers.

Every number comes from ``forward`` by way of ``record`` and stands there under the name that
``llama_np.tap`` lists. ``products`` has the matrices and their cells.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from llama_np import forward, patch, record, rms_norm, rope_frequencies, rotate, silu, softmax
from llama_np.axes import Array
from llama_np.functional import linear
from llama_np.sampling import Sampling, greedy, probabilities_of
from weights_tools.examine import JOBS, all_prompts, best_heads, job_weights
from weights_tools.load import Model
from weights_tools.workers import one_blas_thread

from .interventions import check, in_turn, replacements
from .runs import Run, plain, position, tokens_of

BEST = 10  # next tokens that are listed
NEURONS = 16  # of the feed-forward step: those that write most
BEST_HEADS = 2  # for each job, as ``python -m weights_tools examine`` lists them
SMALL = 20_000_000  # parameters: so few that its jobs are looked for without being asked


def overview(
    model: Model,
    original: Run,
    changed: Run,
    other: Run | None,
    lenses: Array["L V"],
    at: int | None,
    sampling: Sampling,
) -> dict[str, Any]:
    """The whole model at a glance, from where token ``at`` stands, or the last one.

    ``attention``: for each block and head the row of the pattern; tokens after ``at`` count where
    they are seen. ``lengths``: of what goes on along the stream and of what each half adds.
    ``lens``: for each block the three best next tokens, were it the last one, out of ``lenses``,
    which ``lens`` makes. ``original`` and ``changed``: the ten best next tokens, without changes,
    and with them and with ``sampling``.
    """
    at = position(changed, at)
    config = model.config
    rows = by_block(changed, "pattern")[:, :, at]
    seen = len(changed.ids) if rows[..., at + 1 :].any() else at + 1
    return {
        "model": model.path.name,
        "tokens": tokens_of(model, changed.ids),
        "at": at,
        "blocks": config.n_layers,
        "heads": config.n_heads,
        "group": config.group,
        "small": config.count_parameters() <= SMALL,
        "attention": plain(rows[..., :seen], digits=3),
        "lengths": {
            name: plain(lengths(by_block(changed, name)[:, at]), digits=3)
            for name in ("resid_out", "attn_out", "down")
        },
        "lens": [listed(model, row, 3) for row in lenses],
        "original": best(model, original, at),
        "changed": best(model, changed, at, original, sampling),
        "other": None
        if other is None
        else {
            "tokens": tokens_of(model, other.ids),
            "best": best(model, other, len(other.ids) - 1)[:3],
        },
    }


def by_block(seen: Run, name: str) -> Array["L T ..."]:
    """One activation of all blocks."""
    count = sum(each.endswith(f".{name}") for each in seen.trace)
    return np.stack([seen.trace[f"blocks.{i}.{name}"] for i in range(count)])


def lengths(rows: Array["... D"]) -> Array["..."]:
    """The Euclidean length of each row."""
    return np.linalg.norm(rows, axis=-1)


def lens(model: Model, seen: Run, at: int | None) -> Array["L V"]:
    """The logit lens: for each block the probabilities, were it the last one.

    Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
    """
    stream = by_block(seen, "resid_out")[:, position(seen, at)]
    weights = model.weights
    return softmax(linear(rms_norm(stream, weights.norm, model.config.norm_eps), weights.output))


def chances(seen: Run, at: int, sampling: Sampling | None = None) -> Array["V"]:
    """The probabilities of the next token, as ``sampling`` leaves them; greedily, one is 1."""
    logits = seen.trace["logits"][at]
    if sampling is None:
        return softmax(logits)
    if sampling.temperature == 0:
        return np.eye(1, len(logits), int(greedy(logits)))[0]
    return probabilities_of(logits, sampling)


def best(
    model: Model, seen: Run, at: int, before: Run | None = None, sampling: Sampling | None = None
) -> list[dict[str, Any]]:
    """The best next tokens, each with its probability, and with what it was ``before``."""
    found = listed(model, chances(seen, at, sampling), BEST)
    if before is not None:
        earlier = chances(before, at)
        for token in found:
            token["before"] = plain(earlier[token["id"]])
    return found


def listed(model: Model, probabilities: Array["V"], n: int) -> list[dict[str, Any]]:
    """The likeliest tokens, most likely first."""
    n = min(n, len(probabilities) - 1)
    likely = np.sort(np.argpartition(-probabilities, n)[:n])  # sorting a whole vocabulary is slow
    order = likely[np.argsort(-probabilities[likely], kind="stable")]
    named = tokens_of(model, [i for i in order if probabilities[i] > 0])
    return [token | {"p": plain(probabilities[token["id"]])} for token in named]


def head(model: Model, seen: Run, block: int, head: int) -> dict[str, Any]:
    """One head: its pattern, and the key-value head that it reads."""
    check("block", block, model.config.n_layers)
    check("head", head, model.config.n_heads)
    return {
        "pattern": plain(seen.trace[f"blocks.{block}.pattern"][head], digits=4),
        "key_head": head // model.config.group,
    }


def hands(
    model: Model, seen: Run, block: int, head: int, row: int, column: int, later: int
) -> dict[str, Any]:
    """A score as turning hands: each pair of the query of ``row`` and of the key of ``column``.

    Both are turned as if they stood ``later`` positions further on. ``degrees`` is how far a pair
    turns for each position, ``term`` what it adds to the score, ``score`` their sum.
    """
    config = model.config
    check("block", block, config.n_layers)
    check("head", head, config.n_heads)
    check("row", row, len(seen.ids))
    check("column", column, len(seen.ids))
    check("later", later, config.context_length - len(seen.ids) + 1)
    frequencies = rope_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
    query = seen.trace[f"blocks.{block}.q"][head, row]
    key = seen.trace[f"blocks.{block}.k"][head // config.group, column]
    turned = [
        rotate(vector[None], np.array([place + later]), frequencies)[0].reshape(-1, 2)
        for vector, place in ((query, row), (key, column))
    ]
    terms = (turned[0] * turned[1]).sum(axis=1) / np.sqrt(config.head_dim)
    return {
        "degrees": plain(np.degrees(frequencies), digits=4),
        "query": plain(query.reshape(-1, 2), digits=4),
        "query_turned": plain(turned[0], digits=4),
        "key": plain(key.reshape(-1, 2), digits=4),
        "key_turned": plain(turned[1], digits=4),
        "terms": plain(terms, digits=4),
        "score": plain(terms.sum(), digits=4),
    }


STREAM = ("resid_in", "attn_norm", "attn_out", "resid_mid", "ffn_norm", "down", "resid_out")


def block(
    model: Model, seen: Run, lenses: Array["L V"], block: int, at: int | None
) -> dict[str, Any]:
    """One block: how long the rows of token ``at`` are on the way, the lens behind it, its gate.

    ``gate``: the neurons of token ``at`` that write most, by the length of what each adds to the
    stream, which is |silu(gate) * up| times the length of its row of ``w_down``; ``share``: how
    much of all neurons' lengths these have.
    """
    check("block", block, model.config.n_layers)
    at = position(seen, at)
    before = "embedded" if block == 0 else f"blocks.{block - 1}.resid_out"
    rows = {name: seen.trace.get(f"blocks.{block}.{name}", seen.trace[before]) for name in STREAM}
    return {
        "at": at,
        "lengths": {name: plain(lengths(array[at]), digits=4) for name, array in rows.items()},
        "lens": listed(model, lenses[block], BEST),
        **gates(model, seen, block, at),
    }


def gates(model: Model, seen: Run, block: int, at: int) -> dict[str, Any]:
    """The neurons of the feed-forward step that write most; see ``block``."""
    gate, up, hidden = (
        seen.trace[f"blocks.{block}.{name}"][at] for name in ("gate", "up", "hidden")
    )
    effect = np.abs(hidden) * lengths(np.asarray(model.weights.layers[block].w_down))
    order = np.argsort(-effect, kind="stable")[:NEURONS]
    columns = {
        "gate": gate, "silu": silu(gate), "up": up, "hidden": hidden, "effect": effect,
    }  # fmt: skip
    return {
        "neurons": order.tolist(),
        "gate": {name: plain(array[order], digits=4) for name, array in columns.items()},
        "width": gate.size,
        "share": plain(effect[order].sum() / max(effect.sum(), 1e-30), digits=3),
    }


def jobs(model: Model) -> list[dict[str, Any]]:
    """The heads that do a job best, of those jobs that ``weights_tools.examine`` can name."""
    with one_blas_thread():
        scores = {}
        for prompts in all_prompts(model.tokenizer).values():
            scores |= job_weights(model.weights, model.config, prompts)
    return [
        {
            "job": job.name, "reads": job.reads, "block": block, "head": head,
            "weight": plain(scores[job.name][block, head], digits=3),
        }
        for job in JOBS
        for block, head in best_heads(scores[job.name], BEST_HEADS)
    ]  # fmt: skip


def each_head_off(
    model: Model, changed: Run, changes: Sequence[str], other: Run | None, at: int | None
) -> dict[str, Any]:
    """The probability of the best next token, with each head switched off in turn.

    ``changed`` is the sentence with ``changes`` already, which stay. ``p``: for each block and
    head; ``before``: with none of them off. The heads of a block go as one batch.
    """
    at, config = position(changed, at), model.config
    (token,) = listed(model, chances(changed, at), 1)
    many = np.tile(changed.ids, (config.n_heads, 1))
    each = np.arange(config.n_heads)

    def silence(mix: Array["N Hq T K"]) -> Array["N Hq T K"]:
        mix = mix.copy()
        mix[each, each] = 0
        return mix

    found = []
    for block in range(config.n_layers):
        trace: dict[str, np.ndarray] = {}
        steps = replacements(changes, config, len(changed.ids), trace, other and other.trace)
        name = f"blocks.{block}.mix"
        steps[name] = in_turn([steps[name], silence] if name in steps else [silence])
        found.append(chance_in(model, many, steps, at, token["id"], trace))
    return {"p": plain(np.stack(found)), "before": token["p"], "token": token}


def each_stream_put(
    model: Model, original: Run, other: Run | None, at: int | None
) -> dict[str, Any]:
    """The probability of the best next token, with another sentence's stream put in somewhere.

    ``p``: for each block and token, whose stream behind the block is replaced by that of the token
    at the same place. Where both sentences are still the same nothing can change, and nothing is
    computed. Raises ``ValueError`` where they have not as many tokens.
    """
    if other is None:
        raise ValueError("there is no other sentence to put anything in from: write one")
    at, n = position(original, at), len(original.ids)
    (token,) = listed(model, chances(original, at), 1)
    if len(other.ids) != n:
        raise ValueError(
            f"the sentences have {n} and {len(other.ids)} tokens: as many are needed to compare all"
        )
    differs = np.not_equal(original.ids, other.ids)
    places = np.arange(int(differs.argmax()) if differs.any() else n, n)
    many = np.tile(original.ids, (len(places), 1))
    found = np.full((model.config.n_layers, n), token["p"])
    for block in range(model.config.n_layers if places.size else 0):
        name = f"blocks.{block}.resid_out"

        def replace(stream: Array["N T D"], given=other.trace[name][places]) -> Array["N T D"]:
            stream = stream.copy()
            stream[np.arange(len(places)), places] = given
            return stream

        found[block, places] = chance_in(model, many, {name: replace}, at, token["id"])
    return {"p": plain(found), "before": token["p"], "token": token}


def chance_in(
    model: Model,
    ids: Array["N T"],
    changes: dict[str, Callable],
    at: int,
    token: int,
    trace: dict[str, np.ndarray] | None = None,
) -> Array["N"]:
    """The probability of ``token`` behind ``at``, for each sentence of a batch.

    ``trace`` is where ``changes`` look for scores before they are masked.
    """
    trace = {} if trace is None else trace
    tap = record(trace, {"scores", "logits"}, patch(changes))
    forward(model.weights, model.config, ids, tap=tap)
    return softmax(trace["logits"][:, at])[:, token]
