"""AdamW, the learning-rate schedule and gradient clipping."""

import math
from collections.abc import Iterable

import numpy as np

from ..weights import Named


class AdamW:
    """Adam with decoupled weight decay, updating the weights in place.

    m <- beta1 m + (1 - beta1) g            running mean of the gradient
    v <- beta2 v + (1 - beta2) g^2          running mean of its square
    w <- w - rate * (m' / (sqrt(v') + eps) + decay * w)

    where m' and v' are m and v divided by 1 - beta^t, which makes up for their start at zero.
    Matrices decay; vectors (the norm weights) do not.

    PyTorch: ``torch.optim.AdamW`` with decay 0 for vectors. Source: https://arxiv.org/abs/1711.05101,
    algorithm 2.
    """

    def __init__(
        self,
        weights: Named,
        *,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
    ):
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.step_count = 0
        self.mean = {name: np.zeros_like(w) for name, w in weights.named()}
        self.mean_square = {name: np.zeros_like(w) for name, w in weights.named()}

    def step(self, weights: Named, gradients: Named, rate: float) -> None:
        """One update of every array in ``weights`` with learning rate ``rate``."""
        self.step_count += 1
        beta1, beta2 = self.betas
        unbias1, unbias2 = 1 - beta1**self.step_count, 1 - beta2**self.step_count
        gradient_of = dict(gradients.named())
        for name, w in weights.named():
            g, m, v = gradient_of[name], self.mean[name], self.mean_square[name]
            m += (1 - beta1) * (g - m)
            v += (1 - beta2) * (g * g - v)
            if w.ndim > 1:
                w *= 1 - rate * self.weight_decay
            w -= rate / unbias1 * m / (np.sqrt(v / unbias2) + self.eps)


def learning_rate(step: int, peak: float, warm_up: int, total: int, final: float = 0.0) -> float:
    """The rate for one step, counted from 0: up in a straight line, then down half a cosine.

    It reaches ``peak`` at step ``warm_up`` and ``final`` at step ``total``.

    Source: https://arxiv.org/abs/1608.03983, equation 5; Llama 3, https://arxiv.org/abs/2407.21783,
    section 3.4.1.

    >>> [learning_rate(s, 1.0, warm_up=2, total=6) for s in (0, 1, 2, 4, 6)]
    [0.3333333333333333, 0.6666666666666666, 1.0, 0.5, 0.0]
    """
    if step < warm_up:
        return peak * (step + 1) / (warm_up + 1)
    progress = min(1.0, (step - warm_up) / max(1, total - warm_up))
    return final + (peak - final) * (1 + math.cos(math.pi * progress)) / 2


def global_norm(arrays: Iterable[np.ndarray]) -> float:
    """The length of all arrays taken together as one long vector."""
    return math.sqrt(sum(float(np.vdot(array, array)) for array in arrays))


def clip_by_global_norm(gradients: Named, limit: float) -> float:
    """Scale all gradients down, in place, so that together they are no longer than ``limit``.

    Returns the length before. Gradients within the limit are left as they are.

    PyTorch: ``torch.nn.utils.clip_grad_norm_``.
    Source: https://arxiv.org/abs/1211.5063, section 3.2.
    """
    arrays = [array for _, array in gradients.named()]
    norm = global_norm(arrays)
    if norm > limit:
        for array in arrays:
            array *= limit / norm
    return norm
