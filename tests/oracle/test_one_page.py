"""The library computes what one page says: see ``one_page_llama.py``."""

import numpy as np
import pytest

from llama_np import forward
from tests.checks import agree
from tests.oracle.one_page_llama import llama
from tests.tiny import random_ids
from weights_tools import load_model


@pytest.mark.parametrize("length", [1, 7, 40])  # 40: the library's way for long texts
def test_the_library_is_the_page(config, weights, length):
    ids = random_ids(config, length)
    agree(forward(weights, config, ids), llama(weights, config, ids), 1e-11)


def test_the_model_that_ships_is_the_page():
    model = load_model()
    ids = np.array(model.tokenizer.encode("Once upon a time, there was a", bos=True))
    double = model.weights.map(np.float64)
    agree(forward(double, model.config, ids), llama(double, model.config, ids), 1e-9)
