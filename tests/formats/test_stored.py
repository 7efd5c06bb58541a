"""Against activations that PyTorch computed once: these run where PyTorch is not installed."""

import numpy as np

from llama_np.tap import catalogue
from llama_np.training.backward import loss_and_gradients
from tests.checks import (
    STORED,
    agree_by_name,
    check_decoding,
    check_forward,
    check_top_p,
    read_stored,
)


def test_every_activation_is_the_stored_one():
    check_forward()


def test_nothing_is_missing_from_the_file():
    config, _, stored = read_stored()
    assert set(stored["activations"]) == set(catalogue(config.n_layers))
    assert STORED.stat().st_size < 200_000


def test_decoding_gives_the_stored_logits():
    check_decoding()


def test_loss_and_gradients_are_the_stored_ones():
    config, weights, stored = read_stored()
    loss, gradients = loss_and_gradients(weights, config, stored["ids"], stored["targets"])
    np.testing.assert_allclose(loss, stored["loss"], rtol=1e-12)
    agree_by_name(dict(gradients.named()), stored["gradients"])


def test_top_p_keeps_the_token_that_crosses():
    check_top_p()
