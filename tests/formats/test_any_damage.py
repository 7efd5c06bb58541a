"""Folders with any damage at all: they load, or are refused in one line; nothing else comes out."""

import json

import numpy as np
import pytest

from llama_np.model import forward
from tests.folders import INDEX, command, write_folder, write_shards
from tests.tiny import random_weights, tiny_config
from weights_tools.load import load_model

pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tests.damage import damaged  # noqa: E402

SETTINGS = settings(max_examples=40, deadline=None)


@pytest.fixture(scope="module")
def victim(tmp_path_factory, house):
    """A folder that is damaged anew for every example, and what its files should be."""
    folder = write_folder(tmp_path_factory.mktemp("victim"), *house)
    return folder, {file.name: file.read_bytes() for file in folder.iterdir()}


def loads_or_is_refused(folder):
    """Nothing but our own errors, in one line."""
    for mode in ("float32", "mapped"):
        try:
            model = load_model(folder, mode)
        except (ValueError, FileNotFoundError) as error:
            assert type(error) in (ValueError, FileNotFoundError)
            assert str(folder) in str(error) and str(error).isprintable() and len(str(error)) < 500
            continue
        with np.errstate(all="ignore"):
            assert forward(model.weights, model.config, [1, 2]).shape == (2, 53)
    for name in ("inspect", "verify"):
        status, out, told = command(name, folder)
        assert status in (0, 1) and told.count("\n") == status
        assert told.startswith("error: " if status else "") and out.replace("\n", "").isprintable()


@SETTINGS
@given(data=st.data())
def test_weights_with_any_damage(victim, data):
    folder, good = victim
    (folder / "config.json").write_bytes(good["config.json"])
    (folder / "model.safetensors").write_bytes(data.draw(damaged(good["model.safetensors"])))
    loads_or_is_refused(folder)


@SETTINGS
@given(data=st.data())
def test_a_config_with_any_damage(victim, data):
    folder, good = victim
    (folder / "config.json").write_bytes(data.draw(damaged(good["config.json"])))
    (folder / "model.safetensors").write_bytes(good["model.safetensors"])
    loads_or_is_refused(folder)


@SETTINGS
@given(data=st.data())
def test_an_index_with_any_damage(tmp_path_factory, data):
    config = tiny_config(n_layers=1)
    folder = write_shards(
        tmp_path_factory.mktemp("index"), config, random_weights(config, np.float32)
    )
    (folder / INDEX).write_bytes(data.draw(damaged((folder / INDEX).read_bytes())))
    loads_or_is_refused(folder)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 300) | st.floats() | st.text(max_size=5)
    | st.sampled_from([10**15, 2**63, 10**40, 10**400, -(10**30), 1e300, "\ud800", "a\nb"]),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
) | st.integers(1, 960).map(lambda depth: json.loads("[" * depth + "]" * depth))  # fmt: skip


@settings(SETTINGS, max_examples=200)
@given(key=st.integers(0, 40), value=anything, remove=st.booleans())
def test_a_config_with_any_values(victim, key, value, remove):
    folder, good = victim
    values = json.loads(good["config.json"])
    places = [(values, k) for k in [*values, "quantization_config", "sliding_window"]]
    places += [
        (values[rope], k) for rope in ("rope_scaling", "rope_parameters") for k in values[rope]
    ]
    where, name = places[key % len(places)]
    if remove:
        where.pop(name, None)
    else:
        where[name] = value
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "model.safetensors").write_bytes(good["model.safetensors"])
    loads_or_is_refused(folder)
