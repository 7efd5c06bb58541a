"""Folders of Meta, written by torch.save: the numbers and logits are those that were meant."""

import dataclasses
import json

import numpy as np
import pytest

from llama_np.config import LlamaConfig
from llama_np.feed_forward import feed_forward_width
from llama_np.model import forward
from llama_np.rope import RopeScaling
from llama_np.weights import Weights
from tests.tiny import random_ids, random_weights, tiny_config
from weights_tools.formats.config_json import config_from_meta
from weights_tools.formats.joined import ShardedRows
from weights_tools.formats.meta import open_meta
from weights_tools.formats.meta_params import read_params, rope_scaling
from weights_tools.layout import names_elsewhere
from weights_tools.load import load_model, open_model
from weights_tools.opened import as_weight, check_shapes

torch = pytest.importorskip("torch")
pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings  # noqa: E402

from tests.damage import damaged  # noqa: E402

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
MULTIPLE_OF = 20
PARTS = {  # along which axis of (out, in) the reference cuts; fairscale's layers say so
    "wq": 0, "wk": 0, "wv": 0, "w_gate": 0, "w_up": 0, "output": 0, "wo": 1, "w_down": 1
}  # fmt: skip


def meta_config(**changes) -> LlamaConfig:
    """Three query heads for each key-value head; head width dim / n_heads; all cuts in 4 even."""
    dim = changes.get("dim", 72)
    values = {
        "dim": dim, "n_heads": 12, "n_kv_heads": 4, "head_dim": dim // 12, "vocab_size": 52,
        "ffn_width": feed_forward_width(dim, MULTIPLE_OF, 0.7), "context_length": 8192,
        "rope_theta": 500000.0, "rope_scaling": None,
    }  # fmt: skip
    return tiny_config(**values | changes)


def params_of(config: LlamaConfig, **changes) -> dict:
    params = {
        "dim": config.dim, "n_layers": config.n_layers, "n_heads": config.n_heads,
        "n_kv_heads": config.n_kv_heads, "vocab_size": config.vocab_size,
        "multiple_of": MULTIPLE_OF, "ffn_dim_multiplier": 0.7, "norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta, "use_scaled_rope": config.rope_scaling is not None,
    }  # fmt: skip
    return params | changes


def cut(name: str, tensor, n: int, embedding_axis: int):
    """One array as ``n`` GPUs would hold it."""
    if tensor.ndim == 1:
        return [tensor] * n
    axis = embedding_axis if name == "embedding" else PARTS[name.rpartition(".")[2]]
    return [part.contiguous().clone() for part in tensor.chunk(n, axis)]


def write_meta(folder, config, weights, dtype=torch.float32, n=1, embedding_axis=0, **changes):
    """A folder as Meta's; returns what was stored, by our names, as tensors (out, in)."""
    stored = {
        name: torch.tensor(np.array(w if name == "embedding" else w.T, order="C")).to(dtype)
        for name, w in weights.named()
    }
    cuts = {name: cut(name, tensor, n, embedding_axis) for name, tensor in stored.items()}
    for i in range(n):
        shard = {names_elsewhere(name).meta: parts[i] for name, parts in cuts.items()}
        torch.save(shard, folder / f"consolidated.{i:02d}.pth")
    (folder / "params.json").write_text(json.dumps(params_of(config, **changes)))
    return stored


def widened(checkpoint) -> Weights:
    check_shapes(checkpoint)
    return Weights.from_named(
        {name: as_weight(checkpoint, name, "float32") for name in checkpoint.stored}
    )


def check_numbers(checkpoint, stored):
    assert checkpoint.stored.keys() == stored.keys()
    for name, tensor in stored.items():
        found = checkpoint.stored[name]
        assert DTYPES[found.kind] == tensor.dtype
        rows = np.ascontiguousarray(found.rows[:])
        assert (rows.shape, found.rows.shape) == (tensor.shape, tensor.shape)
        assert rows.tobytes() == tensor.contiguous().view(torch.uint8).numpy().tobytes(), name
        assert found.n_bytes == rows.nbytes


def check_logits(checkpoint, stored, twin):
    """Ours from the files; those of transformers from the numbers that were written."""
    numbers = {name: tensor.float().numpy() for name, tensor in stored.items()}
    weights = Weights.from_named(
        {name: w.T if w.ndim == 2 and name != "embedding" else w for name, w in numbers.items()}
    )
    ids = random_ids(checkpoint.config, 9)
    with torch.no_grad():
        expected = twin.hugging_face_twin(checkpoint.config, weights)(torch.tensor(ids)[None])
    ours = forward(widened(checkpoint), checkpoint.config, ids)
    np.testing.assert_allclose(ours, expected.logits[0], rtol=1e-4, atol=1e-4)


CASES = {
    "one file": {"n": 1},
    "in 2, Llama 2's embedding": {"n": 2, "embedding_axis": 1},
    "in 4, Llama 3's embedding": {"n": 4, "embedding_axis": 0},
}


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES.keys())
@pytest.mark.parametrize("how", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_numbers_and_logits(tmp_path, twin, how, tied, dtype):
    scaling = RopeScaling(8.0, 1.0, 4.0, 8192) if tied else None
    config = meta_config(
        tied_output=tied, rope_scaling=scaling, context_length=131072 if tied else 8192
    )
    stored = write_meta(tmp_path, config, random_weights(config, np.float32), dtype, **how)
    checkpoint = open_meta(tmp_path)
    assert checkpoint.config == config
    assert not checkpoint.rotate_half
    check_numbers(checkpoint, stored)
    check_logits(checkpoint, stored, twin)


@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize("embedding_axis", [0, 1])
def test_other_shapes_and_cuts(tmp_path, twin, n, embedding_axis):
    config = meta_config(
        dim=48, n_heads=8, n_kv_heads=8, head_dim=6, ffn_width=100, n_layers=1, vocab_size=60,
        context_length=4096, rope_theta=10000.0,
    )  # fmt: skip
    weights = random_weights(config, np.float32, seed=n)
    stored = write_meta(tmp_path, config, weights, torch.bfloat16, n, embedding_axis)
    params = params_of(config, vocab_size=-1)  # Llama 2 leaves these to the code
    del params["rope_theta"], params["n_kv_heads"]
    (tmp_path / "params.json").write_text(json.dumps(params))
    checkpoint = open_meta(tmp_path)
    assert checkpoint.config == config
    check_numbers(checkpoint, stored)
    check_logits(checkpoint, stored, twin)


def test_load_model_reads_the_folder_in_both_ways(tmp_path):
    config = meta_config()
    write_meta(tmp_path, config, random_weights(config, np.float32), torch.bfloat16, n=2)
    ids = random_ids(config, 5)
    widened, mapped = (load_model(tmp_path, memory) for memory in ("float32", "mapped"))
    assert (widened.config, widened.tokenizer) == (config, None)
    np.testing.assert_allclose(
        forward(mapped.weights, config, ids), forward(widened.weights, config, ids), atol=1e-4
    )


def test_a_shared_output_is_tied(tmp_path):
    config = meta_config()
    stored = write_meta(tmp_path, config, random_weights(config, np.float32))
    file = tmp_path / "consolidated.00.pth"
    tensors = torch.load(file)
    torch.save(tensors | {"output.weight": tensors["tok_embeddings.weight"]}, file)
    tied = open_meta(tmp_path)
    assert tied.config == dataclasses.replace(config, tied_output=True)
    assert "output" not in tied.stored
    torch.save(tensors | {"output.weight": tensors["tok_embeddings.weight"].clone()}, file)
    assert not open_meta(tmp_path).config.tied_output
    check_numbers(open_meta(tmp_path), stored | {"output": stored["embedding"]})


def test_frequencies_and_a_wrapped_params_are_read(tmp_path):
    config = meta_config()
    stored = write_meta(tmp_path, config, random_weights(config, np.float32))
    file = tmp_path / "consolidated.00.pth"
    torch.save(torch.load(file) | {"rope.freqs": torch.zeros(3)}, file)
    (tmp_path / "params.json").write_text(json.dumps({"model": params_of(config)}))
    check_numbers(open_meta(tmp_path), stored)


def test_nothing_is_read_but_headers(tmp_path):
    """The matrices of one file are the file's own memory."""
    config = meta_config()
    write_meta(tmp_path, config, random_weights(config, np.float32))
    for stored in open_meta(tmp_path).stored.values():
        array = stored.rows
        while not isinstance(array, np.memmap):
            array = array.base


@pytest.mark.parametrize("axis", [0, 1])
def test_joined_answers_as_the_whole_does(axis):
    whole = np.arange(60).reshape(12, 5) if axis == 0 else np.arange(60).reshape(5, 12)
    parts = ShardedRows(np.split(whole, [2, 3, 8], axis), axis)
    n = len(whole)
    assert parts.shape == whole.shape and len(parts) == n
    for start in range(-n - 1, n + 2):
        for stop in (*range(-n - 1, n + 2), None):
            for step in (None, 2, -1):
                rows = slice(start, stop, step)
                np.testing.assert_array_equal(parts[rows], whole[rows], err_msg=str(rows))
    for rows in ([4, 0, 3, 3], [-1, -n], [[1, 2], [3, 4]], []):
        rows = np.array(rows, int)
        np.testing.assert_array_equal(parts[rows], whole[rows])
    for rows in ([n], [-n - 1]):
        with pytest.raises(IndexError):
            parts[np.array(rows)]


def test_rows_within_one_part_are_not_copied():
    top, bottom = np.zeros((4, 3)), np.ones((4, 3))
    assert np.shares_memory(ShardedRows([top, bottom], 0)[5:7], bottom)


@pytest.mark.parametrize(
    ("params", "factor"),
    [
        ({"dim": 4096, "n_layers": 32}, 8.0),  # Llama 3.1 8B
        ({"dim": 2048, "n_layers": 16}, 32.0),  # Llama 3.2 1B
        ({"dim": 3072, "n_layers": 28}, 32.0),  # Llama 3.2 3B
        ({"dim": 2048, "n_layers": 16, "rope_scaling_factor": 4}, 4.0),
    ],
)
def test_the_factor_of_rope(params, factor):
    expected = RopeScaling(factor, 1.0, 4.0, 8192)
    assert rope_scaling(params | {"use_scaled_rope": True}) == expected
    assert rope_scaling(params) is None


# Bad input


@pytest.fixture
def folder(tmp_path):
    """A complete folder in two parts, to be damaged."""
    config = meta_config(n_layers=1)
    write_meta(tmp_path, config, random_weights(config, np.float32), n=2)
    return tmp_path


def refusal(folder, kind=ValueError) -> str:
    with pytest.raises(kind) as caught:
        open_meta(folder)
    message = str(caught.value)
    assert str(folder) in message and "\n" not in message
    return message


def change_params(folder, **changes):
    path = folder / "params.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_shard(folder, i, change):
    path = folder / f"consolidated.{i:02d}.pth"
    tensors = torch.load(path)
    change(tensors)
    torch.save(tensors, path)


def test_missing_files_are_named(folder):
    (folder / "consolidated.00.pth").rename(folder / "consolidated.02.pth")
    assert "consolidated.00.pth is missing" in refusal(folder, FileNotFoundError)
    (folder / "consolidated.02.pth").unlink()
    (folder / "consolidated.01.pth").unlink()
    assert "consolidated.00.pth is missing" in refusal(folder, FileNotFoundError)
    (folder / "params.json").unlink()
    assert "params.json" in refusal(folder, FileNotFoundError)


def test_a_part_that_is_a_link_out_of_the_folder(folder, tmp_path_factory):
    part = folder / "consolidated.01.pth"
    elsewhere = part.rename(tmp_path_factory.mktemp("elsewhere") / part.name)
    part.symlink_to(elsewhere)
    assert "links out of the folder; refused" in refusal(folder)


def test_meta_in_the_hubs_cache(folder, tmp_path_factory):
    """There ``original`` lies in a snapshot, and its files are links to ``blobs``."""
    hub = tmp_path_factory.mktemp("hub")
    original = hub / "snapshots/0f1e2d/original"
    original.mkdir(parents=True)
    folder.rename(hub / "blobs")
    for file in (hub / "blobs").iterdir():
        (original / file.name).symlink_to(f"../../../blobs/{file.name}")
    assert open_model(original.parent).format == open_meta(original).format == "Meta"


def test_parts_that_do_not_make_a_whole_are_refused(folder):
    second = folder / "consolidated.01.pth"
    third = folder / "consolidated.02.pth"
    third.write_bytes(second.read_bytes())
    assert "are all parts there?" in refusal(folder)
    third.unlink()
    second.unlink()
    assert "are all parts there?" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("norm.weight"), "'norm.weight' differs"),
        (lambda t: t.update(more=torch.zeros(1)), "'more' differs"),
        (lambda t: t.pop("tok_embeddings.weight"), "tok_embeddings.weight"),
        (lambda t: t["norm.weight"].add_(1), "should be the same in every part"),
        (lambda t: t.update({"norm.weight": t["norm.weight"].half()}), "another type or shape"),
        (lambda t: t.update({"norm.weight": t["norm.weight"][1:]}), "another type or shape"),
        (lambda t: t.update({"norm.weight": t["norm.weight"].int()}), "torch.IntStorage"),
    ],
)
def test_parts_that_differ_are_refused(folder, change, says):
    change_shard(folder, 1, change)
    assert says in refusal(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("norm.weight"), "norm.weight is missing"),
        (lambda t: t.pop("layers.0.attention.wq.weight"), "wq.weight is missing"),
        (lambda t: t.update({"layers.0.attention.wq.bias": torch.zeros(4)}), "no part of a Llama"),
        (lambda t: t.update({"layers.0.attention.wo.weight": torch.zeros(72)}), "wo.weight should"),
        (lambda t: t.update({"norm.weight": torch.zeros(72, 1)}), "norm.weight should"),
        (lambda t: t.update({"tok_embeddings.weight": torch.zeros(72)}), "no matrix"),
        (lambda t: t.update({"output.weight": torch.zeros(5)}), "output.weight should"),
    ],
)
def test_tensors_at_odds_with_the_config_are_named(folder, change, says):
    for i in range(2):
        change_shard(folder, i, change)
    assert says in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n_layers": 2}, "is missing"),
        ({"n_layers": 10**4}, "too few"),
        ({"n_layers": 10**4 + 1}, "n_layers must be at most 10000"),
        ({"n_layers": 2**200}, "n_layers should be"),
        ({"n_heads": 5}, "split evenly"),
        ({"n_kv_heads": 5}, "share"),
        ({"n_kv_heads": 2}, "wk.weight should"),
        ({"dim": "72"}, "dim should be"),
        ({"dim": 72.0}, "dim should be"),
        ({"dim": None}, "dim should be"),
        ({"dim": 48}, "should have shape"),
        ({"vocab_size": 51}, "should have shape"),
        ({"vocab_size": 0}, "vocab_size should be"),
        ({"vocab_size": [52]}, "vocab_size should be a positive whole number, got a list"),
        ({"multiple_of": 0}, "multiple_of should be"),
        ({"multiple_of": 64}, "should have shape"),
        ({"ffn_dim_multiplier": float("inf")}, "ffn_dim_multiplier should be"),
        ({"ffn_dim_multiplier": float("nan")}, "ffn_dim_multiplier should be"),
        ({"norm_eps": "a\nb"}, "norm_eps should be"),
        ({"norm_eps": None}, "norm_eps should be"),
        ({"rope_theta": 0}, "rope_theta should be"),
        ({"rope_theta": 10**400}, "rope_theta should be"),
        ({"use_scaled_rope": True, "rope_high_freq_factor": 1}, "more than 1"),
        ({"use_scaled_rope": True, "rope_scaling_factor": "8"}, "rope_scaling_factor should be"),
        ({"sliding_window": 4096}, "'sliding_window'"),
        ({"moe": {"num_experts": 8}}, "'moe'"),
        ({"quantization_args": {"group_size": 32}}, "'quantization_args'"),
        ({"vision_chunk_size": 560}, "'vision_chunk_size'"),
        ({"model": [1]}, "'model' should be"),
    ],
)
def test_what_params_say_is_checked(folder, changes, says):
    change_params(folder, **changes)
    assert says in refusal(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "7", '"dim"', "[" * 100_000, "\xff", "{}"])
def test_params_that_are_no_config_are_refused(folder, text):
    (folder / "params.json").write_text(text, encoding="latin-1")
    assert "params.json" in refusal(folder)


def test_a_shard_that_calls_something_is_refused(folder):
    proof = folder / "it ran"

    class Call:
        def __reduce__(self):
            return open, (str(proof), "w")

    change_shard(folder, 1, lambda tensors: tensors.update(more=Call()))
    assert "open" in refusal(folder) and not proof.exists()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=damaged(json.dumps(params_of(meta_config(n_layers=1))).encode()))
def test_damaged_params(folder, text):
    (folder / "params.json").write_bytes(text)
    try:
        open_meta(folder)
    except (ValueError, FileNotFoundError) as error:
        assert str(folder) in str(error) and "\n" not in str(error)


def test_params_of_the_published_models():
    """As far as they are known: the 8B's are in ``llama_np.config``."""
    published = {
        "dim": 2048, "ffn_dim_multiplier": 1.5, "multiple_of": 256, "n_heads": 32, "n_kv_heads": 8,
        "n_layers": 16, "norm_eps": 1e-05, "rope_theta": 500000.0, "use_scaled_rope": True,
        "vocab_size": 128256,
    }  # fmt: skip
    config = config_from_meta(published, rope_scaling=rope_scaling(published))
    assert (config.ffn_width, config.head_dim, config.context_length) == (8192, 64, 131072)


def test_a_params_file_alone(tmp_path):
    (tmp_path / "params.json").write_text(json.dumps(params_of(meta_config())))
    assert read_params(tmp_path / "params.json")["dim"] == 72
