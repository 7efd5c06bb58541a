"""inspect: the numbers of a model, small or large, without reading it."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from llama_np.config import LLAMA_3_1_SCALING, LLAMA_3_8B
from llama_np.weights import shapes
from tests.folders import as_stored, command, write_config, write_empty, write_folder
from tests.tiny import random_weights, tiny_config
from weights_tools.commands import inspect as describe_module
from weights_tools.commands.convert import convert
from weights_tools.load import DOLL_HOUSE, open_model
from weights_tools.memory import in_bytes


def table_of(out: str) -> dict[str, tuple]:
    """Name here, name there, shape, type and size of every line about tensors, and how often."""
    row = r"^  (\S+) +(\d+(?: x \d+)?) +(\w+) +([\d.]+ \w+) +(\d+)  (\S+\.weight)$"
    found = re.findall(row, out, re.MULTILINE)
    return {name: [theirs, *about] for name, *about, theirs in found}


def test_8b(tmp_path, monkeypatch):
    write_empty(tmp_path, LLAMA_3_8B)
    monkeypatch.setattr(describe_module, "free_memory", lambda: 12_345_678_901)
    status, out, err = command("inspect", tmp_path)
    assert (status, err) == (0, "")
    assert out.startswith(f"{tmp_path} (Hugging Face): 8,030,261,248 parameters\n")
    for line in (
        "dim              4096", "n_kv_heads       8", "ffn_width        14336",
        "rope_theta       500000.0", "tied_output      False",
        "memory=float32      32.1 GB of memory", "memory=mapped       16.1 GB stay in the file",
        "cache              268.4 MB on top for 1024 tokens",  # 2 * 32 * 8 * 128 * 1024 floats
        "cache                2.1 GB on top for 8192 tokens",
        "free now            12.3 GB",
    ):  # fmt: skip
        assert f"\n  {line}" in out, line
    table = table_of(out)
    assert len(table) == 12
    assert table["layers.*.w_down"] == [
        "model.layers.*.mlp.down_proj.weight", "4096 x 14336", "BF16", "117.4 MB", "32"
    ]  # fmt: skip
    assert table["output"] == ["lm_head.weight", "128256 x 4096", "BF16", "1.1 GB", "1"]


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_every_block(tmp_path, tied):
    config = tiny_config(tied_output=tied)
    write_folder(tmp_path, config, random_weights(config, np.float32))
    _, out, _ = command("inspect", tmp_path, "--all")
    table = table_of(out)
    assert table.keys() == shapes(config).keys()
    assert table["layers.1.wq"] == [
        "model.layers.1.self_attn.q_proj.weight", "60 x 18", "F32", "4.3 kB", "1"
    ]  # fmt: skip
    count = config.count_parameters()
    assert f"{count:,} parameters" in out
    assert f"{in_bytes(4 * count)} of memory" in out


def test_int8_says_so(tmp_path):
    config = tiny_config()
    (tmp_path / "from").mkdir()
    write_folder(tmp_path / "from", config, random_weights(config, np.float32))
    convert(open_model(tmp_path / "from"), tmp_path / "to", "I8")
    _, out, _ = command("inspect", tmp_path / "to")
    assert "(Hugging Face, int8)" in out
    table = table_of(out)
    assert table["layers.*.wq"][2:] == ["I8", "1.1 kB", "2"]
    assert table["embedding"][2:] == ["F32", "3.8 kB", "1"]


def test_blocks_that_differ_are_shown_apart(tmp_path):
    config = tiny_config(n_layers=3)
    tensors = {}
    for name, array in as_stored(config, random_weights(config, np.float32)).items():
        half = name == "model.layers.1.mlp.up_proj.weight"
        tensors[name] = np.array(array, np.float16 if half else np.float32, order="C")
    save_file(tensors, tmp_path / "model.safetensors")
    write_config(tmp_path, config)
    table = table_of(command("inspect", tmp_path)[1])
    assert table["layers.*.w_up"][2:] == ["F32", "2.4 kB", "2"]
    assert table["layers.1.w_up"][2:] == ["F16", "1.2 kB", "1"]


def test_what_does_not_fit_is_shown_and_refused(tmp_path, house):
    write_folder(tmp_path, *house)
    write_config(tmp_path, house[0], intermediate_size=34)
    status, out, err = command("inspect", tmp_path)
    assert status == 1 and "should have shape (34, 18) by the config, got (33, 18)" in err
    assert table_of(out)["layers.*.w_up"][1] == "33 x 18"


def test_it_fits_a_terminal_of_80_columns():
    config = dataclasses.replace(LLAMA_3_8B, rope_scaling=LLAMA_3_1_SCALING)
    for checkpoint in (open_model(DOLL_HOUSE), open_model(DOLL_HOUSE)._replace(config=config)):
        lines = list(describe_module.describe(checkpoint, columns=80))[1:]  # after the path
        assert max(map(len, lines)) <= 80


def test_the_cache_is_that_of_this_context():
    _, out, _ = command("inspect", DOLL_HOUSE)
    assert re.findall(r"on top for (\d+) tokens", out) == ["512"]


def test_what_generating_would_meet(tmp_path):
    _, out, _ = command("inspect", DOLL_HOUSE)
    for line in (
        "text             2048 tokens, 5 of them special",
        "a text begins    with <|begin_of_text|> (2043)",
        "and ends         at <|end_of_text|> (2044), <|eot_id|> (2047)",
        "numbers          BF16 in the matrices; computed in float32",
        "--chat           by its own template, which ends a turn at <|eot_id|> (2047)",
        "context          512 tokens, question and answer together",
    ):
        assert f"\n  {line}\n" in out
    config = tiny_config(vocab_size=3000)
    write_folder(tmp_path, config, random_weights(config, np.float32))
    assert "\n  text             no tokenizer that can be read\n" in command("inspect", tmp_path)[1]
    for file in DOLL_HOUSE.glob("tokenizer*"):
        shutil.copy(file, tmp_path)
    assert (
        "\n  note: the tokenizer has 2048 tokens, the model 3000; the ids between them stand f"
        in (command("inspect", tmp_path)[1])
    )
    (tmp_path / "tokenizer.json").write_text("damaged")
    assert (
        f"\n  note: the tokenizer cannot be read, only the weights: {tmp_path}"
        in (command("inspect", tmp_path)[1])
    )


def test_how_a_model_is_talked_to(tmp_path):
    config = tiny_config(vocab_size=2048)
    write_folder(tmp_path, config, random_weights(config, np.float32))
    for file in DOLL_HOUSE.glob("tokenizer*"):
        shutil.copy(file, tmp_path)
    path = tmp_path / "tokenizer_config.json"
    values = json.loads(path.read_text())

    def told(template, name="<|eot_id|>"):
        path.write_text(json.dumps(values | {"chat_template": template}))
        file = tmp_path / "tokenizer.json"
        file.write_text(file.read_text().replace("<|eot_id|>", name))
        return " ".join(command("inspect", tmp_path)[1].split())

    assert "--chat by its own template context 256" in told("{{ messages[0].content }}")
    assert "--chat the model's chat template cannot be rendered: unexpected" in told("{% if x")
    refuses = "{% if messages[0].role != 'system' %}{{ raise_exception('no') }}{% endif %}"
    source = refuses + "{% for m in messages %}{{ m.content }}<|eot_id|>{% endfor %}"
    assert "own template, which ends a turn at <|eot_id|> (2047) context" in told(source)
    assert "--chat in Llama 3's form context" in told(None)
    out = told(None, "<|other|>")
    assert "--chat not for this model context" in out
    assert "note: no chat template: --chat is not for this model" in out


@pytest.mark.parametrize(
    "n, text", [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (10**6, "1.0 MB"), (16e9, "16.0 GB")]
)
def test_bytes_for_people(n, text):
    assert in_bytes(int(n)) == text


def test_whoever_reads_may_stop_reading():
    """As in ``inspect MODEL | head -1``."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        [sys.executable, "-m", "weights_tools", "inspect", DOLL_HOUSE],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
    )  # fmt: skip
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), told) == (0, b"")
