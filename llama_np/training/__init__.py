"""How a Llama learns: the loss, the backward pass, the optimizer, LoRA, preferences, rewards."""

from .backward import Dropout, loss_and_gradients
from .loss import cross_entropy
from .optimizer import AdamW, clip_by_global_norm, learning_rate

__all__ = [
    "AdamW", "Dropout", "clip_by_global_norm", "cross_entropy", "learning_rate",
    "loss_and_gradients",
]  # fmt: skip
