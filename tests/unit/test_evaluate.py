"""Bits per byte: the sum of what the model did not know, over the bytes of the text."""

import numpy as np
import pytest

from llama_np.functional import log_softmax
from llama_np.model import forward
from llama_np.tokenizer import BPETokenizer
from tests.tiny import random_weights, tiny_config
from weights_tools.training.evaluate import bits_per_byte, nats

CONFIG = tiny_config(context_length=16, vocab_size=260)
WEIGHTS = random_weights(CONFIG)


def test_nats_are_the_summed_surprise(normal):
    ids = np.random.default_rng(0).integers(0, 260, 12)
    rows = log_softmax(forward(WEIGHTS, CONFIG, ids))
    expected = -sum(rows[t, ids[t + 1]] for t in range(11))
    assert nats(WEIGHTS, CONFIG, ids) == pytest.approx(expected, rel=1e-12)


def test_a_document_longer_than_the_context_counts_every_token_once():
    flat = WEIGHTS.map(np.zeros_like)  # knows nothing: log V for each token, wherever it stands
    ids = np.random.default_rng(0).integers(0, 260, 61)
    assert nats(flat, CONFIG, ids) == pytest.approx(60 * np.log(260), rel=1e-6)


def test_bits_per_byte_of_a_model_that_knows_nothing():
    tokenizer = BPETokenizer(
        {bytes([b]): b for b in range(256)}, ["<|begin_of_text|>", "<|end_of_text|>"]
    )
    flat = WEIGHTS.map(np.zeros_like)
    texts = ["abc", "é"]  # 3 and 2 bytes; 4 and 3 tokens to predict, the end included
    assert bits_per_byte(flat, CONFIG, tokenizer, texts) == pytest.approx(7 * np.log2(260) / 5)
