"""Rotary embedding beside PyTorch's complex numbers and transformers' frequencies."""

import math

import numpy as np
import pytest

from llama_np.rope import RopeScaling, apply_rotary, rope_frequencies, rope_rotations, rotate
from tests.checks import agree
from weights_tools.layout import to_adjacent_pairs

LLAMA_3_1 = RopeScaling(8.0, 1.0, 4.0, 8192)
LLAMA_3_2 = RopeScaling(32.0, 1.0, 4.0, 8192)


@pytest.fixture
def turning():
    return rope_frequencies(6, 10000.0)


@pytest.mark.parametrize("precision", [np.complex64, np.complex128])
def test_rotate(twin, normal, turning, dtype, precision):
    x, positions = normal(2, 5, 6, dtype=dtype), np.array([0, 1, 2, 40, 4000])
    theirs = twin.rotate(*map(twin.tensor, (x, positions, turning)))
    agree(rotate(x, positions, turning), theirs)
    rotations = rope_rotations(positions, turning).astype(precision)
    turned = apply_rotary(x, rotations)
    assert turned.dtype == x.dtype
    agree(turned, theirs, tolerance=None if precision == np.complex128 else 1e-5)


def test_rotations(torch, turning):
    positions = np.array([[0, 1, 2], [40, 4000, 131071]])
    angles = torch.tensor(positions)[..., None] * torch.tensor(turning)
    theirs = torch.polar(torch.ones_like(angles), angles)
    agree(rope_rotations(positions, turning), theirs, tolerance=1e-12)


def test_each_sequence_may_have_its_own_positions(normal, turning):
    x, positions = normal(2, 4, 6), np.array([[0, 1, 2, 3], [5, 6, 7, 8]])
    rows = [rotate(each, own, turning) for each, own in zip(x, positions, strict=True)]
    agree(rotate(x, positions, turning), np.stack(rows))


def test_position_0_is_not_turned_and_lengths_stay(normal, turning):
    x = normal(5, 6)
    turned = rotate(x, np.arange(5), turning)
    assert np.array_equal(turned[0], x[0])
    agree(np.linalg.norm(turned, axis=-1), np.linalg.norm(x, axis=-1))


@pytest.mark.parametrize("moved_by", [1, 10, 1000])
def test_a_score_depends_on_the_distance_alone(normal, turning, moved_by):
    q, k, positions = normal(4, 6), normal(5, 6), np.arange(9)

    def scores(moved):
        turned_q = rotate(q, positions[5:] + moved, turning)
        turned_k = rotate(k, positions[:5] + moved, turning)
        return turned_q @ turned_k.T

    agree(scores(moved_by), scores(0), tolerance=1e-11)  # an angle of 1000 has 3 digits less


def test_halves_and_neighbours_give_the_same_scores(twin, normal, turning):
    """Hugging Face's layout: rows of w in another order, and pairs i, i + K/2."""
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    x, wq, wk = normal(5, 4), normal(6, 4), normal(6, 4)  # w as stored: out, in
    q, k = (rotate(x @ to_adjacent_pairs(w, 6).T, np.arange(5), turning) for w in (wq, wk))
    angles = twin.tensor(np.outer(np.arange(5), np.tile(turning, 2)))
    their_q, their_k = apply_rotary_pos_emb(
        *(twin.tensor(x @ w.T)[None, None] for w in (wq, wk)),
        angles.cos()[None], angles.sin()[None],
    )  # fmt: skip
    agree(q @ k.T, (their_q @ their_k.mT)[0, 0])


# --- frequencies ---


@pytest.mark.parametrize("scaling", [None, LLAMA_3_1, LLAMA_3_2])
@pytest.mark.parametrize("head_dim, theta", [(128, 500000.0), (64, 500000.0), (10, 10000.0)])
def test_frequencies_are_those_of_transformers(transformers, scaling, head_dim, theta):
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    rope = {"rope_theta": theta, "rope_type": "default"}
    if scaling:
        rope |= {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_context_length,
        }
    config = transformers.LlamaConfig(
        head_dim=head_dim, rope_parameters=rope, max_position_embeddings=131072
    )
    plain = LlamaRotaryEmbedding.compute_default_rope_parameters
    theirs, _ = (ROPE_INIT_FUNCTIONS["llama3"] if scaling else plain)(config, device="cpu")
    ours = rope_frequencies(head_dim, theta, scaling)
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-6)  # theirs are float32


def test_frequencies_are_those_of_meta(twin):
    from tests.tiny import tiny_config

    for scaling in (None, LLAMA_3_1, LLAMA_3_2):
        config = tiny_config(head_dim=128, rope_theta=500000.0, rope_scaling=scaling)
        agree(rope_frequencies(128, 500000.0, scaling), twin.frequencies(config))


def test_the_numbers_of_llama_3():
    frequencies = rope_frequencies(128, 500000.0)
    np.testing.assert_allclose(frequencies[:3], [1, 0.8146172, 0.6636013], atol=5e-8)
    np.testing.assert_allclose(frequencies[-1], 2.45514079e-6, rtol=1e-8)
    wavelengths = 2 * math.pi / frequencies
    np.testing.assert_allclose(wavelengths[[0, -1]], [6.2832, 2559195], rtol=1e-5)


def test_the_numbers_of_llama_3_1():
    plain, scaled = rope_frequencies(128, 500000.0), rope_frequencies(128, 500000.0, LLAMA_3_1)
    ratio = plain / scaled
    assert (ratio[:29] == 1).all()
    assert ((ratio[29:35] > 1) & (ratio[29:35] < 8)).all()
    np.testing.assert_allclose(ratio[35:], 8, rtol=1e-12)
    np.testing.assert_allclose(scaled[-1], 3.068926e-7, rtol=1e-6)
