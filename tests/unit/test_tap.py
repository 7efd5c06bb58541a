"""Looking inside: the catalogue tells the truth, and a patch reaches what comes after."""

import numpy as np
import pytest

from llama_np.model import forward
from llama_np.tap import catalogue, no_tap, patch, record, under
from tests.checks import agree
from tests.tiny import random_ids


def sizes(config, **more):
    return {
        "D": config.dim, "Hq": config.n_heads, "Hkv": config.n_kv_heads, "K": config.head_dim,
        "F": config.ffn_width, "V": config.vocab_size, **more,
    }  # fmt: skip


def test_the_catalogue_lists_every_name_in_order_with_its_axes(config, weights, ids):
    trace = {}
    forward(weights, config, ids, tap=record(trace))
    listed = catalogue(config.n_layers)
    assert list(trace) == list(listed)
    size = sizes(config, T=7, S=7)
    for name, axes in listed.items():
        assert trace[name].shape == tuple(size[axis] for axis in axes.split()[1:]), name


def test_looking_changes_nothing(house):
    config, weights = house
    ids = random_ids(config, 7)
    assert np.array_equal(
        forward(weights, config, ids, tap=record({})), forward(weights, config, ids)
    )


def test_only_what_was_asked_for(house):
    config, weights = house
    trace = {}
    forward(weights, config, random_ids(config, 3), tap=record(trace, only={"pattern"}))
    assert list(trace) == ["blocks.0.pattern", "blocks.1.pattern"]


@pytest.mark.parametrize("name", list(catalogue(2)))
def test_a_patch_of_any_name_reaches_the_logits(house, name):
    config, weights = house
    ids = random_ids(config, 7)

    def change(value):
        # the last row alone: shifting all scores of a row, or a whole row of the stream, is undone
        changed = value.copy()
        changed[..., -1, 0] = 3.0
        return changed

    patched = forward(weights, config, ids, tap=patch({name: change}))
    assert not np.allclose(patched, forward(weights, config, ids))


def test_a_patch_by_what_was_there_changes_nothing(house):
    config, weights = house
    ids, trace = random_ids(config, 7), {}
    logits = forward(weights, config, ids, tap=record(trace))
    agree(forward(weights, config, ids, tap=patch(trace)), logits)


def test_the_stream_of_another_text_gives_its_logits(house):
    """Patching the stream behind the last block carries the whole answer over."""
    config, weights = house
    ids, other, trace = random_ids(config, 7), random_ids(config, 7, seed=1), {}
    expected = forward(weights, config, other, tap=record(trace))
    name = "blocks.1.resid_out"
    agree(forward(weights, config, ids, tap=patch({name: trace[name]})), expected)


def test_a_record_around_a_patch_files_what_flowed_on(house):
    config, weights = house
    trace = {}
    tap = record(trace, tap=patch({"blocks.0.pattern": np.zeros_like}))
    forward(weights, config, random_ids(config, 3), tap=tap)
    assert (trace["blocks.0.pattern"] == 0).all()
    assert (trace["blocks.0.mix"] == 0).all()


def test_a_patch_of_another_shape_is_refused(house):
    config, weights = house
    with pytest.raises(ValueError, match=r"'blocks.0.up' has shape \(2,\).*\(3, 33\)"):
        forward(weights, config, random_ids(config, 3), tap=patch({"blocks.0.up": np.zeros(2)}))


def test_names_nest():
    trace = {}
    under("queries.0", under("blocks.3", record(trace)))("scores", 1)
    assert trace == {"blocks.3.queries.0.scores": 1}
    assert under("blocks.3", no_tap) is no_tap


def test_a_tap_sees_a_long_text_whole(house):
    config, weights = house
    trace = {}
    forward(weights, config, random_ids(config, 40), tap=record(trace, {"pattern"}))
    assert trace["blocks.0.pattern"].shape == (6, 40, 40)
