"""Held-out bits per byte: how well a model predicts text it has never seen."""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.functional import log_softmax
from llama_np.model import forward
from llama_np.tokenizer import Tokenizer
from llama_np.weights import Weights

from ..workers import each
from .corpus import encode_document


def nats(weights: Weights, config: LlamaConfig, ids: Sequence[int]) -> float:
    """Summed negative log-probability of every token of a document but the first.

    Each token sees the whole document before it. A document longer than the context is read on with
    the last half context as its past.
    """
    ids = np.asarray(ids)
    total, scored = 0.0, 1
    while scored < len(ids):
        start = 0 if scored == 1 else scored - config.context_length // 2
        window = ids[start : start + config.context_length]
        rows = log_softmax(forward(weights, config, window))
        first = scored - start
        predicted = rows[np.arange(first - 1, len(window) - 1), window[first:]]
        total -= float(predicted.sum(dtype=np.float64))
        scored = start + len(window)
    return total


def bits_per_byte(
    weights: Weights,
    config: LlamaConfig,
    tokenizer: Tokenizer,
    documents: Iterable[str],
    done: Callable[[], None] = lambda: None,
) -> float:
    """Bits the model needs per byte of UTF-8 text, each document read by itself from its beginning.

    The bits for knowing that a document ends are counted, its end is no byte. Unlike a loss per
    token this can be compared between tokenizers. ``done`` is called after every document.
    """
    documents = list(documents)

    def one(text: str) -> float:
        total = nats(weights, config, encode_document(tokenizer, text))
        done()
        return total

    total = sum(each(one, documents))
    return total / math.log(2) / sum(len(text.encode()) for text in documents)
