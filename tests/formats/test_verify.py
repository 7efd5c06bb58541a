"""verify: every kind of damage has a line of its own, and a whole model none."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from llama_np.tokenizer import BPETokenizer
from tests.folders import (
    INDEX,
    as_stored,
    command,
    refusal,
    write_float32,
    write_folder,
    write_index,
    write_shards,
)
from tests.tiny import random_weights, tiny_config
from weights_tools.commands import verify as verify_module
from weights_tools.formats.hugging_face import index_problems
from weights_tools.load import DOLL_HOUSE, open_model
from weights_tools.save import save_model

TOKENIZER = BPETokenizer({bytes([byte]): byte for byte in range(256)}, ["<|begin_of_text|>"])
OF_TOKENIZER = ("note: no token ends a text", "note: no chat template")
NORM, UP = "model.norm.weight", "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def model(tmp_path):
    """A whole model: its folder, and its tensors to be changed and written again."""
    config = tiny_config(vocab_size=257)
    weights = random_weights(config, np.float32)
    save_model(tmp_path, config, weights, TOKENIZER, bf16=False)
    return tmp_path, as_stored(config, weights)


def lines_of(folder, *begin_of_notes) -> list[str]:
    """What is printed about a folder that is not whole; the last line says how much it is."""
    status, out, err = command("verify", folder)
    noted = [line for line in out.splitlines() if line.startswith("note: ")]
    for begin, line in zip((*begin_of_notes, *OF_TOKENIZER)[: len(noted)], noted, strict=True):
        assert line.startswith(begin)
    lines = [line for line in out.splitlines() if line not in noted]
    count = "1 thing is wrong" if len(lines) == 1 else f"{len(lines)} things are wrong"
    assert (status, err) == (1, f"error: {folder}: {count}\n")
    return lines


@pytest.mark.parametrize("path", ["", "model.safetensors"])
def test_a_whole_model(model, path):
    status, out, err = command("verify", model[0] / path)
    count = tiny_config(vocab_size=257).count_parameters()
    assert (status, err) == (0, "")
    assert out == (
        f"{OF_TOKENIZER[0]}: writing goes on until the context is full\n"
        f"{OF_TOKENIZER[1]}: --chat is not for this model\n"
        f"{model[0]}: all is well (Hugging Face, {count:,} parameters)\n"
    )


def test_the_doll_house_is_whole():
    assert command("verify", DOLL_HOUSE)[0] == 0


# --- tensors ---


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [NORM, UP, "lm_head.weight", "model.embed_tokens.weight"])
def test_numbers_that_are_none(model, monkeypatch, name, damage):
    """In the last block of rows, whichever core has it."""
    monkeypatch.setattr(verify_module, "BLOCK", 64)
    folder, tensors = model
    tensors[name] = np.array(tensors[name])
    tensors[name].flat[-1] = damage
    write_float32(folder / "model.safetensors", tensors)
    file = folder / "model.safetensors"
    assert lines_of(folder) == [f"{file}: {name} holds NaN or infinity; get the file again"]


def test_each_thing_has_its_line(model):
    """A missing tensor, two of a wrong shape, one with a number that is none, and a tokenizer."""
    folder, tensors = model
    del tensors["model.layers.0.mlp.up_proj.weight"], tensors["model.layers.1.mlp.down_proj.weight"]
    tensors[UP] = tensors[UP][:, :5]
    tensors["lm_head.weight"] = np.zeros((257, 0))
    tensors["model.layers.0.mlp.gate_proj.weight"] = np.zeros((1, 2, 3))
    tensors[NORM] = np.full(18, np.nan)
    write_float32(folder / "model.safetensors", tensors)
    (folder / "tokenizer.json").write_text("damaged")
    lines, file = lines_of(folder), folder / "model.safetensors"
    first = "model.layers.0.mlp.up_proj.weight"
    assert lines[:4] == [
        f"{folder}: 2 tensors are missing, the first is {first}; is the download complete?",
        f"{file}: model.layers.0.mlp.gate_proj.weight should have shape (33, 18) by the config, "
        "got (1, 2, 3)",
        f"{file}: {UP} should have shape (33, 18) by the config, got (33, 5)",
        f"{file}: lm_head.weight should have shape (257, 18) by the config, got (257, 0)",
    ]
    assert lines[4].startswith(str(folder / "tokenizer.json"))
    assert lines[5:] == [f"{file}: {NORM} holds NaN or infinity; get the file again"]


def test_a_tensor_too_many(model):
    folder, tensors = model
    write_float32(folder / "model.safetensors", tensors | {"extra": np.ones(3)})
    assert "extra is no part of a Llama with this config" in refusal("verify", folder)


def test_a_type_that_is_none(model):
    from safetensors.numpy import save_file

    folder, tensors = model
    tensors = {name: np.array(array, order="C") for name, array in tensors.items()}
    tensors[NORM] = tensors[NORM].astype(np.int32)
    save_file(tensors, folder / "model.safetensors")
    told = refusal("verify", folder)
    assert f"{folder / 'model.safetensors'}: {NORM} is stored as I32; expected one of F64" in told


# --- the tokenizer ---


def test_no_tokenizer(tmp_path, house):
    write_folder(tmp_path, *house)
    assert lines_of(tmp_path) == [f"{tmp_path}: has no tokenizer, so text cannot be encoded"]


def test_a_vocabulary_at_odds_with_the_tokenizer(tmp_path):
    config = tiny_config(vocab_size=256)
    save_model(tmp_path, config, random_weights(config, np.float32), TOKENIZER)
    (line,) = lines_of(tmp_path, "note: the tokenizer has 257 tokens, the model 256: it has no row")
    assert "every text begins with <|begin_of_text|>, id 256, and the model has 256 rows" in line
    config = tiny_config(vocab_size=255)
    save_model(tmp_path / "other", config, random_weights(config, np.float32), TOKENIZER)
    (line,) = lines_of(tmp_path / "other")
    assert "the tokenizer has 257 tokens, the model only 255" in line and str(tmp_path) in line


def test_a_template_that_cannot_be_rendered(tmp_path):
    for file in DOLL_HOUSE.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ messages.append(1) }}")
    (line,) = lines_of(tmp_path)
    assert line.startswith(f"{tmp_path}: the model's chat template cannot be rendered: ")
    for refused in ("messages[-1].role == 'assistant'", "messages[0].role != 'system'"):
        raises = f"{{% if {refused} %}}{{{{ raise_exception('not so') }}}}{{% endif %}}"
        (tmp_path / "chat_template.jinja").write_text(raises)
        status, out, err = command("verify", tmp_path)
        assert (status, err) == (0, "") and "all is well" in out


# --- shards ---


def test_an_index_at_odds_with_the_shards(tmp_path, house):
    write_shards(tmp_path, *house)
    weight_map = json.loads((tmp_path / INDEX).read_text())["weight_map"]
    assert (weight_map.pop(NORM), weight_map[UP]) == ("a.safetensors", "a.safetensors")
    write_index(tmp_path, weight_map | {UP: "b.safetensors", "more": "a.safetensors"})
    index = tmp_path / INDEX
    assert (
        lines_of(tmp_path)[1:]
        == [*index_problems(tmp_path)]
        == [
            f"{index}: {UP!r} should be in 'b.safetensors', but is in 'a.safetensors'",
            f"{index}: does not name {NORM!r}, which is in 'a.safetensors'",
            f"{index}: 'more' should be in 'a.safetensors', but is in no file",
        ]
    )
    write_folder(tmp_path, *house)  # beside one file for all, nobody asks the index
    assert not [*index_problems(tmp_path)]
    for file in ("model.safetensors", INDEX):
        (tmp_path / file).unlink()
        assert bool([*index_problems(tmp_path)]) == (file == "model.safetensors")


def test_a_shard_that_is_missing(tmp_path, house):
    write_shards(tmp_path, *house)
    (tmp_path / "a.safetensors").unlink()
    assert "'a.safetensors' is missing; is the download complete?" in refusal("verify", tmp_path)


# --- checksums ---


@pytest.mark.usefixtures("progress_ends")
def test_checksums_are_written_and_compared(model):
    folder, _ = model
    for _ in range(2):  # the second time, the list is there already
        status, out, _ = command("verify", folder, "--write-sums")
    assert status == 0 and out.endswith(f"of 5 files to {folder / 'SHA256SUMS'}\n")
    assert command("verify", folder)[0] == 0
    if shutil.which("sha256sum"):
        import subprocess

        done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder)
        assert done.returncode == 0
    tokenizer = folder / "tokenizer_config.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    differs = "differs from its checksum in SHA256SUMS; get it again"
    assert lines_of(folder) == [f"{tokenizer}: {differs}"]
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1  # the last bit of a number: nothing else could tell
    file.write_bytes(data)
    assert lines_of(folder) == [f"{file}: {differs}", f"{tokenizer}: {differs}"]
    tokenizer.unlink()
    assert lines_of(folder)[1] == f"{tokenizer}: named in SHA256SUMS, but missing"


@pytest.mark.usefixtures("progress_ends")
def test_a_file_of_several_blocks_has_the_checksum_of_all_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(verify_module, "BLOCK", 10)
    for size in (9, 10, 25):
        data, file = bytes(range(size)), tmp_path / str(size)
        file.write_bytes(data)
        assert verify_module.checksum(file, "sha256") == hashlib.sha256(data).hexdigest()


def test_what_is_damaged_gets_no_checksums(tmp_path, house):
    write_folder(tmp_path, *house)
    assert command("verify", tmp_path, "--write-sums")[0] == 1
    assert not (tmp_path / "SHA256SUMS").exists()


def test_lines_that_are_no_checksums(model):
    folder, _ = model
    sum_ = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    bad = ["hello", "xyz  config.json", f"{sum_}  ../outside", f"{sum_}  /etc/passwd"]
    bad += [f"{sum_}  \0\x1b[31m", "\udcff  \udcff"]
    good = [f"{sum_} *config.json", f"{sum_.upper()}  config.json", "", " \t", "# by hand"]
    path = folder / "SHA256SUMS"
    path.write_text("\n".join(good + bad), errors="surrogateescape")
    lines = lines_of(folder)
    assert len(lines) == 6 and all(line.isprintable() for line in lines)
    assert lines[0] == f"{path}, line 6: expected a checksum and a file, got 'hello'"


def test_metas_checklist(tmp_path):
    pytest.importorskip("torch")
    from tests.formats.test_meta import meta_config, write_meta

    config = meta_config()
    write_meta(tmp_path, config, random_weights(config, np.float32), n=2)
    names = ["consolidated.00.pth", "consolidated.01.pth", "params.json"]
    sums = {name: hashlib.md5((tmp_path / name).read_bytes()).hexdigest() for name in names}
    checklist = "".join(f"{sum_}  {name}\n" for name, sum_ in sums.items())
    (tmp_path / "checklist.chk").write_text(checklist + f"{'0' * 32}  tokenizer.model\n")
    assert lines_of(tmp_path)[1:] == [
        f"{tmp_path / 'tokenizer.model'}: named in checklist.chk, but missing"
    ]
    (tmp_path / "params.json").write_text((tmp_path / "params.json").read_text() + "\n")
    assert lines_of(tmp_path)[1:] == [
        f"{tmp_path / 'params.json'}: differs from its checksum in checklist.chk; get it again",
        f"{tmp_path / 'tokenizer.model'}: named in checklist.chk, but missing",
    ]


def test_a_model_in_one_file_has_one_checksum(tmp_path, monkeypatch):
    """The folder may be full of other things."""
    from tests.formats import test_llama2c
    from weights_tools.formats.llama2c import open_llama2c

    file, *_ = test_llama2c.write(tmp_path, 0)
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    verify_module.write_sums(open_llama2c(file))
    sum_ = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (tmp_path / "SHA256SUMS").read_text() == f"{sum_}  {file.name}\n"


def test_sums_of_one_file_leave_those_of_others(tmp_path):
    (tmp_path / "SHA256SUMS").write_text(f"# by hand\n{'0' * 64}  other.bin\n")
    pytest.importorskip("gguf")
    from tests.llama_cpp import stored_as, tensors_of, write

    config = tiny_config(rope_scaling=None)
    weights = random_weights(config, np.float32)
    write(tmp_path / "a.gguf", config, tensors_of(config, weights), stored_as("F32"))
    verify_module.write_sums(open_model(tmp_path / "a.gguf"))
    verify_module.write_sums(open_model(tmp_path / "a.gguf"))
    lines = (tmp_path / "SHA256SUMS").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["hand", "other.bin", "a.gguf"]


def test_a_tokenizer_with_fewer_ids_is_noted(tmp_path):
    config = tiny_config(vocab_size=3000)
    write_folder(tmp_path, config, random_weights(config, np.float32))
    for file in DOLL_HOUSE.glob("tokenizer*"):
        shutil.copy(file, tmp_path)
    status, out, _ = command("verify", tmp_path)
    assert status == 0 and "note: the tokenizer has 2048 tokens, the model 3000" in out
