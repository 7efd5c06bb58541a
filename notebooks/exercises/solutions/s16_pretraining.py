"""Solutions of exercise 16. Try first."""

import numpy as np
from classroom import mine


def rows(tokens, length):
    ids, targets = tokens[:-1], tokens[1:]
    return np.stack([ids.reshape(-1, length), targets.reshape(-1, length)])


def adamw(w, g, m, v, t, rate):
    m = 0.9 * m + 0.1 * g
    v = 0.95 * v + 0.05 * g * g
    step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
    if w.ndim > 1:
        step = step + 0.1 * w
    return np.stack([w - rate * step, m, v])


def clip(gradients, limit):
    length = np.sqrt(sum((g * g).sum() for g in gradients))
    factor = min(1, limit / length)
    return [g * factor for g in gradients]


def schedule(step, peak, warm_up, total):
    if step < warm_up:
        return peak * (step + 1) / (warm_up + 1)
    done = (step - warm_up) / (total - warm_up)
    return peak / 2 * (1 + np.cos(np.pi * done))


def pretrain(w, tokens, length, start_id, rates):
    def one_row(w, ids, targets):
        here = np.arange(len(ids))
        turn = mine.frequencies(w["wq"].shape[1], 10000.0)
        x = mine.embed(w["embedding"], ids)
        n = mine.rms_norm(x, w["attn_norm"], 1e-5)
        q, k, v = n @ w["wq"], n @ w["wk"], n @ w["wv"]
        q, k = mine.rotate(q, here, turn), mine.rotate(k, here, turn)
        scores = mine.mask_scores(mine.scores(q, k), mine.causal_mask(here, here))
        pattern = mine.softmax(scores)
        mix = pattern @ v
        y = x + mix @ w["wo"]
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
        d_x = d_y + mine.norm_backward(d_n, x, w["attn_norm"], 1e-5)
        d = {
            "embedding": np.zeros_like(w["embedding"]),
            "attn_norm": (d_n * n / w["attn_norm"]).sum(axis=0),
            "wq": mine.d_weight(d_q, n),
            "wk": mine.d_weight(d_k, n),
            "wv": mine.d_weight(d_v, n),
            "wo": mine.d_weight(d_y, mix),
            "norm": (d_last * last / w["norm"]).sum(axis=0),
            "output": mine.d_weight(d_logits, last),
        }
        np.add.at(d["embedding"], ids, d_x)
        return -np.log(right).mean(), d

    w = dict(w)
    m = {name: np.zeros_like(array) for name, array in w.items()}
    v = {name: np.zeros_like(array) for name, array in w.items()}
    losses = []
    for t, (step, rate) in enumerate(zip(tokens, rates, strict=True), start=1):
        ids, targets = mine.rows(step, length)
        targets = np.where(targets == start_id, -100, targets)
        parts = [one_row(w, *row) for row in zip(ids, targets, strict=True)]
        counts = (targets != -100).sum(axis=1)
        losses.append(np.sum(counts * [loss for loss, _ in parts]) / counts.sum())
        d = {}
        for name, array in w.items():
            of_rows = np.array([gradient[name].ravel() for _, gradient in parts])
            d[name] = mine.accumulate(of_rows, counts).reshape(array.shape)
        clipped = mine.clip(list(d.values()), 1.0)
        for name, g in zip(d, clipped, strict=True):
            w[name], m[name], v[name] = mine.adamw(w[name], g, m[name], v[name], t, rate)
    return np.array(losses)
