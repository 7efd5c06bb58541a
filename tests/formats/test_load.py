"""Folders that transformers writes: its logits and its greedy tokens, in memory or in the file."""

import json
import shutil
import time
import tracemalloc

import numpy as np
import pytest

from llama_np.config import LLAMA_3_8B
from llama_np.model import forward
from llama_np.rope import RopeScaling
from llama_np.sampling import generate
from tests.checks import agree, agree_by_name
from tests.folders import (
    as_stored,
    command,
    logits_of_transformers,
    one_line,
    refusal,
    write_config,
    write_empty,
    write_float32,
    write_folder,
)
from tests.tiny import SCALING, random_ids, random_weights, tiny_config
from weights_tools import load, memory
from weights_tools.commands.convert import convert
from weights_tools.commands.generate import main as generate_main
from weights_tools.lazy_matrix import Bf16Matrix, F16Matrix, StoredMatrix
from weights_tools.load import DOLL_HOUSE, load_model, open_model
from weights_tools.memory import BLOCK, MODES, choose_memory, free_memory, side_by_side

OLD = ("head_dim", "rope_parameters", "rope_scaling", "rope_theta", "num_key_value_heads")
CASES = {  # what a config of that family looks like, in small
    "Llama 2": ({"dim": 24, "n_heads": 4, "n_kv_heads": 4, "head_dim": 6, "rope_scaling": None},
                OLD),
    "Llama 3": ({"rope_scaling": None, "rope_theta": 500000.0, "n_heads": 8, "dim": 24}, ()),
    "Llama 3.1": ({"rope_theta": 500000.0, "n_heads": 8, "dim": 24}, ()),
    "Llama 3.2": ({"rope_scaling": RopeScaling(32.0, 1.0, 4.0, 128), "tied_output": True},
                  ("rope_parameters",)),
    "TinyLlama": ({"dim": 64, "n_heads": 16, "head_dim": 4, "rope_scaling": None},
                  ("head_dim", "rope_parameters", "rope_scaling")),
    "SmolLM2": ({"dim": 54, "n_heads": 9, "n_kv_heads": 3, "head_dim": 6, "tied_output": True,
                 "rope_scaling": None, "rope_theta": 100000.0}, ("head_dim", "rope_parameters")),
    "head width of its own": ({"head_dim": 4, "rope_scaling": SCALING}, ()),
}  # fmt: skip
SMOL = {"is_llama_config": True, "rope_interleaved": False, "transformers.js_config": {"a": 1}}


@pytest.fixture
def plenty(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 1 << 40)


def write_pretrained(twin, torch, folder, config, kind="float32", leave_out=(), limit="12KB"):
    """What ``save_pretrained`` writes, with the keys taken out that older files do not have."""
    model = twin.hugging_face_twin(config, random_weights(config, np.float32))
    model.to(getattr(torch, kind)).save_pretrained(folder, max_shard_size=limit)
    path = folder / "config.json"
    values = json.loads(path.read_text())
    if "rope_parameters" in leave_out:  # the older spelling
        rope = values["rope_parameters"]
        values["rope_theta"] = rope.pop("rope_theta")
        values["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    values = {key: value for key, value in values.items() if key not in leave_out}
    path.write_text(json.dumps(values | SMOL))


# --- right ---


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_logits_and_greedy_tokens_of_transformers(
    transformers, twin, torch, tmp_path, plenty, case, kind
):
    changes, leave_out = CASES[case]
    config = tiny_config(**changes)
    write_pretrained(twin, torch, tmp_path, config, kind, leave_out)
    assert (tmp_path / "model.safetensors.index.json").exists()
    ids = random_ids(config, 9)
    theirs = logits_of_transformers(transformers, torch, tmp_path, ids)
    chosen = greedy_of_transformers(transformers, torch, tmp_path, ids)
    for mode in MODES:
        model = load_model(tmp_path, memory=mode)
        assert model.config == config and model.memory == (
            "mapped" if mode == "mapped" else "float32"
        )
        agree(forward(model.weights, config, ids), theirs, 1e-4, mode)
        ours = [*generate(model.weights, config, [*map(int, ids)], 6)]
        assert ours == chosen, mode


def greedy_of_transformers(transformers, torch, folder, ids) -> list[int]:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.generation_config.eos_token_id = None
    prompt = torch.tensor(ids)[None]
    made = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=6,
        pad_token_id=0,
    )  # fmt: skip
    return made[0, len(ids) :].tolist()


# --- what stays in the file ---


KINDS = {"float32": StoredMatrix, "float16": F16Matrix, "bfloat16": Bf16Matrix}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_mapped_keeps_no_copy(twin, torch, tmp_path, kind, tied):
    config = tiny_config(tied_output=tied)
    write_pretrained(twin, torch, tmp_path, config, kind, limit="1GB")
    weights = load_model(tmp_path, memory="mapped").weights
    for name, array in weights.named():
        if array.ndim == 1:
            assert array.dtype == np.float32, name
            continue
        assert type(array) is KINDS[kind], name
        rows = array.stored
        while not isinstance(rows, np.memmap):
            rows = rows.base
        assert rows.nbytes == (tmp_path / "model.safetensors").stat().st_size
    assert (weights.output.stored is weights.embedding.stored) == tied
    assert ("output" in dict(weights.named())) != tied


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_may_lie_anywhere(twin, torch, tmp_path, kind):
    """Behind a header of odd length, none of them at an address that a processor likes."""
    config = tiny_config()
    write_pretrained(twin, torch, tmp_path, config, kind, limit="1GB")
    ids, file = random_ids(config, 5), tmp_path / "model.safetensors"
    before = [forward(load_model(tmp_path, mode).weights, config, ids) for mode in MODES]
    data = file.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    file.write_bytes((end - 7).to_bytes(8, "little") + data[8:end] + b" " + data[end:])
    after = [forward(load_model(tmp_path, mode).weights, config, ids) for mode in MODES]
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_older_folders_hold_the_frequencies_too(tmp_path, house):
    config, weights = house
    write_folder(tmp_path, config, weights)
    more = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": np.ones(5) for i in range(2)}
    write_float32(tmp_path / "model.safetensors", as_stored(config, weights) | more)
    agree_by_name(
        dict(load_model(tmp_path).weights.named()), dict(weights.map(np.float32).named()), 0
    )


def test_8b_is_mapped_in_a_moment(tmp_path):
    """A file of 16 GB that holds nothing: whoever reads its numbers needs minutes, or 32 GB."""
    write_empty(tmp_path, LLAMA_3_8B)
    times = []
    for _ in range(3):  # the machine may be busy with something else
        started = time.thread_time()
        load_model(tmp_path, memory="mapped")
        times.append(time.thread_time() - started)
    assert min(times) < 1
    tracemalloc.start()
    model = load_model(tmp_path, memory="mapped")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert sum(array.size for _, array in model.weights.named()) == 8_030_261_248


# --- which mode ---


@pytest.mark.parametrize("gigabytes, mode", [(39, "mapped"), (41, "float32")])
def test_auto_takes_what_fits(tmp_path, monkeypatch, gigabytes, mode):
    """32.1 GB as float32, and a quarter more to spare, are 40.2 GB."""
    checkpoint = open_model(write_empty(tmp_path, LLAMA_3_8B))
    monkeypatch.setattr(memory, "free_memory", lambda: int(gigabytes * 1e9))
    chosen, why = choose_memory(checkpoint)
    assert chosen == mode
    assert why == (
        f"{tmp_path.name}: 16.1 GB in its file, 32.1 GB as float32, {gigabytes}.0 GB of memory "
        f"free: {'stays in its file (mapped)' if mode == 'mapped' else 'is widened to float32'}"
    )


def test_auto_says_what_it_chose_for_a_large_model_only(tmp_path, house, monkeypatch, capsys):
    write_folder(tmp_path, *house)
    monkeypatch.setattr(memory, "free_memory", lambda: 10_000)
    assert load_model(tmp_path).memory == "float32"  # so small that nobody asks
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(memory, "LARGE", 1000)
    assert load_model(tmp_path).memory == "mapped"
    out, err = capsys.readouterr()
    assert out == "" and err.endswith("stays in its file (mapped)\n") and err.count("\n") == 1
    load_model(tmp_path, memory="float32")
    assert capsys.readouterr() == ("", "")


def test_the_environment_names_the_mode(tmp_path, house, monkeypatch):
    write_folder(tmp_path, *house)
    monkeypatch.setenv("LLAMA_MEMORY", "mapped")
    assert load_model(tmp_path).memory == "mapped"
    assert load_model(tmp_path, memory="float32").memory == "float32"
    monkeypatch.setenv("LLAMA_MEMORY", "")
    assert load_model(tmp_path).memory == "float32"


@pytest.mark.parametrize("where", ["argument", "environment"])
def test_a_mode_that_is_none(tmp_path, house, monkeypatch, where):
    monkeypatch.setenv("LLAMA_MEMORY", "disk" if where == "environment" else "")
    with pytest.raises(ValueError, match="one of auto, float32, mapped, got 'disk'") as error:
        load_model(write_folder(tmp_path, *house), "disk" if where == "argument" else None)
    one_line(error)


def test_memory_that_does_not_suffice(tmp_path, house, monkeypatch):
    def as_weight(*_):
        raise MemoryError

    monkeypatch.setattr(load, "as_weight", as_weight)
    with pytest.raises(ValueError, match='do not fit into memory.*memory="mapped"') as error:
        load_model(write_folder(tmp_path, *house), memory="float32")
    assert str(tmp_path) in one_line(error)


def test_small_arrays_lie_side_by_side():
    take = side_by_side()
    small = [take((3, n), np.float32) for n in (5, 7, 16)]
    large = take((BLOCK // 4,), np.float32)
    half, after = take((4,), np.float16), take((2,), np.float32)
    for i, array in enumerate([*small, large, half, after]):
        array[...] = i
    for i, array in enumerate([*small, large, half, after]):
        assert (array == i).all() and array.flags.c_contiguous
    starts = [array.ctypes.data for array in (*small, half, after)]
    assert starts[0] % 64 == 0 and np.diff(starts).tolist() == [64, 128, 192, 64]
    assert large.base is None and all(array.base is small[0].base for array in small)


def test_small_arrays_that_fill_a_block_go_on_in_another():
    take = side_by_side()
    arrays = [take((BLOCK // 16,), np.float32) for _ in range(5)]  # four fill a block
    assert [array.base is arrays[0].base for array in arrays] == [True] * 4 + [False]


def test_loaded_matrices_lie_side_by_side():
    layer = load_model(memory="float32").weights.layers[0]
    matrices = layer.wq, layer.wk, layer.wv, layer.wo, layer.w_gate, layer.w_up, layer.w_down
    starts = [w.ctypes.data for w in matrices]
    assert starts[0] % 64 == 0  # and the bytes of each are a multiple of 64
    assert np.diff(starts).tolist() == [w.nbytes for w in matrices[:-1]]


def test_a_container_limits_what_is_free(tmp_path):
    """Pages of files that were read, 2 of the 3 MB in use, make room when asked."""
    everything = free_memory(tmp_path)
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("3000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\nactive_file 1500000\ninactive_file 500000\n")
    assert free_memory(tmp_path) == 4_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(tmp_path) > 0.5 * everything > 4_000_000


# --- which model ---


def test_a_file_of_the_folder_names_it_too(tmp_path, house):
    write_folder(tmp_path, *house)
    for name in ("model.safetensors", "config.json"):
        assert load_model(tmp_path / name).path == tmp_path


def test_a_config_beside_a_gguf_file(tmp_path):
    """Such as repositories of GGUF files carry, with next to nothing in it."""
    pytest.importorskip("gguf")
    from tests import llama_cpp

    config = tiny_config(rope_scaling=None)
    tensors = llama_cpp.tensors_of(config, random_weights(config, np.float32))
    llama_cpp.write(tmp_path / "m.gguf", config, tensors, llama_cpp.stored_as("F32"))
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert load_model(tmp_path).config == config
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    assert "pytorch_model.bin, a pickle" in refusal("inspect", tmp_path)


def test_what_is_no_model(tmp_path, house):
    assert "found no model; expected config.json" in refusal("inspect", tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    assert "which model is this?" in refusal("inspect", tmp_path / "notes.txt")
    for name in ("a.gguf", "b.bin", "tokenizer.bin"):
        (tmp_path / name).write_bytes(b"")
    assert "holds 2 models; name one, for example a.gguf" in refusal("inspect", tmp_path)
    for name in ("A.GGUF", "B.Bin"):  # as other systems may spell it: taken for what it says
        (tmp_path / name).write_bytes(b"")
        told = refusal("inspect", tmp_path / name)
        assert name in told and "which model is this?" not in told
    write_config(tmp_path, house[0])
    assert "found neither model.safetensors nor" in refusal("inspect", tmp_path)


def test_meta_beside_a_config_and_in_its_own_folder(tmp_path):
    """Meta's folders on the hub have a config.json, and the weights under ``original``."""
    for folder, within in ((tmp_path / "a", "."), (tmp_path / "b", "original")):
        (folder / within).mkdir(parents=True)
        (folder / within / "params.json").write_text("{}")
        (folder / "config.json").write_text("{}")
        with pytest.raises(ValueError, match="params.json: the config has no"):
            load_model(folder)


def test_a_path_that_leads_nowhere_says_from_where(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLAMA_MODEL", "models/llama")
    with pytest.raises(FileNotFoundError, match=f"models/llama.*looked for in {tmp_path}"):
        load_model()


def test_a_pickle_of_transformers_is_named(tmp_path, house):
    """And no model of llama2.c, which ends in .bin too."""
    for name in ("pytorch_model.bin", "pytorch_model-00001-of-00002.bin"):
        folder = tmp_path / name
        folder.mkdir()
        write_config(folder, house[0])
        (folder / name).write_bytes(b"")
        assert "in pytorch_model.bin, a pickle, which is not read; open" in refusal(
            "inspect", folder
        )
        (folder / "config.json").unlink()
        assert "found no model; expected config.json" in refusal("inspect", folder)


# --- the tokenizer ---


def with_tokenizer(folder, vocab_size):
    """A model of this size with the doll-house's tokenizer of 2048 tokens."""
    config = tiny_config(vocab_size=vocab_size)
    write_folder(folder, config, random_weights(config, np.float32))
    for file in DOLL_HOUSE.glob("tokenizer*"):
        shutil.copy(file, folder)
    return folder


def test_a_padded_vocabulary_is_written_through(tmp_path, capsys):
    """Two of three ids are no token's."""
    with_tokenizer(tmp_path, 6000)
    for options in (["--temperature", "0"], ["--temperature", "5", "--seed", "0"]):
        for more in ([], ["--logprobs"]):
            asked = ["Once", "--model", str(tmp_path), "--max-new-tokens", "50"]
            assert generate_main(asked + options + more) == 0
    assert "(none)" not in capsys.readouterr().out
    assert load_model(tmp_path).tokenizer.decode([5999]) == ""


def test_special_tokens_without_a_row_are_refused_alone(tmp_path, capsys):
    with_tokenizer(tmp_path, 2047)  # <|eot_id|> has none
    model = load_model(tmp_path)
    assert capsys.readouterr().err == (
        "note: the tokenizer has 2048 tokens, the model 2047: it has no row for <|eot_id|>, and "
        "refuses texts that need one\n"
    )
    ids = model.tokenizer.encode("Once<|eot_id|>", bos=True, allow_special=True)
    assert forward(model.weights, model.config, ids[:-1]).shape == (len(ids) - 1, 2047)
    with pytest.raises(ValueError, match="id 2047 is outside the vocabulary of 2047"):
        forward(model.weights, model.config, ids)


@pytest.mark.parametrize("damage", ["words", "another model"])
def test_a_tokenizer_that_cannot_be_read_leaves_the_weights(tmp_path, capsys, damage):
    with_tokenizer(tmp_path, 2048 if damage == "words" else 700)
    if damage == "words":
        (tmp_path / "tokenizer.json").write_text("damaged")
    model = load_model(tmp_path)
    assert model.tokenizer is None and len(model.weights.layers) == 2
    told = capsys.readouterr().err
    assert told.startswith("note: the tokenizer cannot be read, only the weights: ")
    assert str(tmp_path) in told and told.count("\n") == 1
    convert(open_model(tmp_path), tmp_path / "to")
    assert load_model(tmp_path / "to").tokenizer is None
    assert generate_main(["Once", "--model", str(tmp_path)]) == 1
    assert "error: " in capsys.readouterr().err
    assert command("verify", tmp_path)[0] == 1
