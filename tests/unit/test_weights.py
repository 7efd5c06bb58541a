"""The weights: every array once, with its name and shape."""

import dataclasses

import numpy as np
import pytest

from llama_np.gpt2.weights import Gpt2Layer
from llama_np.weights import Weights, check, initialize, layers_from, shapes
from tests.tiny import random_weights, tiny_config


def test_names_and_shapes(config, weights):
    assert {name: array.shape for name, array in weights.named()} == shapes(config)


def test_their_number_is_the_number_of_parameters(config, weights):
    assert sum(array.size for _, array in weights.named()) == config.count_parameters()


def test_a_tied_output_is_a_view_and_stays_one():
    tied = random_weights(tiny_config(tied_output=True)).map(np.copy)
    assert np.shares_memory(tied.output, tied.embedding)
    assert "output" not in dict(tied.named())
    tied.embedding[3, 4] = 42
    assert tied.output[4, 3] == 42


def test_from_named_is_the_inverse_of_named(weights):
    again = Weights.from_named(dict(weights.named()))
    for (name, ours), (other, theirs) in zip(weights.named(), again.named(), strict=True):
        assert name == other and ours is theirs


@pytest.mark.parametrize("left_out", [set(), {"b_qkv"}])
def test_what_may_be_missing_is_taken_where_it_is_there(left_out):
    roles = {field.name for field in dataclasses.fields(Gpt2Layer)} - left_out
    named = {f"layers.0.{role}": np.ones(1) for role in roles}
    (layer,) = layers_from(Gpt2Layer, named)
    assert {role for role, array in vars(layer).items() if array is not None} == roles
    del named["layers.0.wo"]
    with pytest.raises(KeyError, match="layers.0.wo"):
        layers_from(Gpt2Layer, named)


def test_initialize():
    config = tiny_config(dim=60, vocab_size=97)
    weights = dict(initialize(config, np.random.default_rng(0)).named())
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    for name, array in weights.items():
        into_stream = name.endswith(("wo", "w_down"))
        deviation = 0.02 / np.sqrt(2 * config.n_layers) if into_stream else 0.02
        if array.ndim == 1:
            assert (array == 1).all()
        else:
            np.testing.assert_allclose(array.std(), deviation, rtol=0.1, err_msg=name)


def test_the_same_seed_gives_the_same_weights(config):
    ours, same, other = (
        dict(initialize(config, np.random.default_rng(seed)).named()) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(ours[name], same[name]) for name in ours)
    assert not np.array_equal(ours["embedding"], other["embedding"])


def test_weights_that_fit_pass(config, weights):
    check(weights, config)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"norm": np.ones(3)}, r"norm should have shape \(18,\), got \(3,\)"),
        ({"embedding": np.ones((5, 18))}, r"embedding should have shape \(53, 18\)"),
        ({"norm": np.full(18, np.nan)}, "norm holds NaN or infinity"),
        ({"norm": np.full(18, np.inf)}, "norm holds NaN or infinity"),
    ],
)
def test_the_first_array_that_does_not_fit_is_named(house, changes, message):
    config, weights = house
    with pytest.raises(ValueError, match=message):
        check(dataclasses.replace(weights, **changes), config)


def test_weights_of_another_config_are_named(house):
    _, weights = house
    with pytest.raises(ValueError, match="output is not part of this config"):
        check(weights, tiny_config(tied_output=True))
    with pytest.raises(ValueError, match=r"layers.2.\w+ is missing from the weights"):
        check(weights, tiny_config(n_layers=3))
