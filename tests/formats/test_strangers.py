"""Files that are made to cost much, to hang, or to write on the terminal: one line, at once."""

import json
import os
import struct
import time
import tracemalloc
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest

from llama_np.tokenizer import BPETokenizer
from llama_np.tokenizer.base import LONGEST_TOKEN, MOST_WORK, check_lengths
from tests.folders import INDEX, command, refusal, write_config, write_folder, write_raw
from tests.formats.test_llama2c import numbers_of
from tests.fuzz import seeds
from tests.tiny import random_weights, tiny_config
from weights_tools.formats.adapter_config import of_module
from weights_tools.formats.pickle_file import read_pickle_file
from weights_tools.formats.restricted_pickle import read_pickle
from weights_tools.load import load_model, open_model
from weights_tools.reading import PACKED, SMALL, TABLE, read_bytes, read_text
from weights_tools.save import save_model
from weights_tools.tokenizers import load_tokenizer

TITLE = "\x1b]0;pwned\x07"
HOSTILE = f"{TITLE}\u202eevil\r"


@pytest.fixture
def folder(tmp_path, house):
    (tmp_path / "model").mkdir()
    return write_folder(tmp_path / "model", *house)


@contextmanager
def costs_little(megabytes: int = 30, seconds: float = 1.0):
    """Holds what happens within to so much memory and processor time."""
    tracemalloc.start()
    started = time.process_time()
    try:
        yield
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < megabytes << 20 and time.process_time() - started < seconds


# --- files that are none, or too large ---


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", INDEX])
def test_a_queue_in_the_place_of_a_file(folder, name):
    """Opened, it would wait for ever."""
    if name == INDEX:
        (folder / "model.safetensors").unlink()
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    for verb in ("inspect", "verify"):
        assert command(verb, folder)[0] in (0, 1)


@pytest.mark.parametrize("what", ["queue", "folder", "device"])
def test_what_is_no_file_is_said(tmp_path, what):
    path = tmp_path / "x"
    if what == "folder":
        path.mkdir()
    elif what == "queue":
        getattr(os, "mkfifo", pytest.skip)(path)
    else:
        path.symlink_to("/dev/zero" if os.path.exists("/dev/zero") else pytest.skip("no device"))
    for read in (lambda: read_bytes(path, SMALL), lambda: read_text(path)):
        with pytest.raises(ValueError, match="x: expected a file, this is"):
            read()


@pytest.mark.parametrize(
    "name, most",
    [("config.json", SMALL), ("tokenizer.json", TABLE), ("tokenizer.model", TABLE),
     ("tokenizer_config.json", TABLE), ("SHA256SUMS", SMALL), ("chat_template.jinja", SMALL)],
)  # fmt: skip
def test_a_hole_is_not_read(folder, name, most):
    """A file of a terabyte that takes no room on the disk."""
    if name in ("chat_template.jinja", "tokenizer_config.json"):
        seeds.tokenizer_json(folder)
    with open(folder / name, "ab") as file:
        file.truncate(2**40)
    with costs_little():
        _, out, told = command("verify", folder)
    assert f"{name}: has {2**40} bytes, expected at most {most}" in out + told


def test_a_text_that_does_not_fit_into_memory(tmp_path):
    with open(tmp_path / "x", "wb") as file:
        file.truncate(2**42)
    with costs_little(), pytest.raises(ValueError, match="x: has 4398046511104 bytes"):
        read_text(tmp_path / "x")


def test_a_text_that_is_a_hole_for_the_most_part(tmp_path):
    """It would fit into memory, and take all that it says."""
    path = tmp_path / "x"
    path.write_bytes(b"Once.\n" * 100_000)
    if not getattr(path.stat(), "st_blocks", 0):
        pytest.skip("how much of a file is there is not told here")
    assert len(read_text(path)) == 600_000
    os.truncate(path, 2**28)
    with costs_little(), pytest.raises(ValueError, match="x: of its 268435456 bytes at most"):
        read_text(path)


def test_a_small_hole_is_read_to_the_end(tmp_path):
    """Up to ``SMALL`` bytes nothing is saved by looking."""
    for n_bytes in (SMALL, SMALL + 1):
        path = tmp_path / str(n_bytes)
        path.write_bytes(b"x")
        os.truncate(path, n_bytes)
        if not 0 < 512 * getattr(path.stat(), "st_blocks", 0) < n_bytes // PACKED:
            pytest.skip("this file system keeps no holes, or does not tell")
    assert len(read_bytes(tmp_path / str(SMALL), 2 * SMALL)) == SMALL
    with pytest.raises(ValueError, match="the rest is a hole"):
        read_bytes(path, 2 * SMALL)


# --- work that the file has not paid for ---


def test_parts_are_looked_for_one_by_one(tmp_path):
    """Four thousand million names, of which the first is not there."""
    llama_cpp = pytest.importorskip("tests.llama_cpp")
    config = tiny_config(n_layers=1, rope_scaling=None)

    def change(writer):
        writer.add_uint32("split.count", 4_000_000_000)
        writer.add_uint16("split.no", 0)

    path = tmp_path / "m-00001-of-4000000000.gguf"
    tensors = llama_cpp.tensors_of(config, random_weights(config, np.float32))
    llama_cpp.write(path, config, tensors, change=change)
    with costs_little(), pytest.raises(FileNotFoundError, match="m-00002-of-4000000000.gguf"):
        open_model(path)


def gguf_of(*values: bytes, n_tensors: int = 0) -> bytes:
    """A GGUF file that begins with these metadata."""
    return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, len(values)) + b"".join(values)


def array_of(key: bytes, kind: int, count: int) -> bytes:
    return struct.pack("<Q", len(key)) + key + struct.pack("<IIQ", 9, kind, count)


def test_arrays_over_a_hole(tmp_path):
    """Each within its bounds, and all together without end."""
    path = tmp_path / "m.gguf"
    n = 2**21
    with open(path, "wb") as file:
        file.write(gguf_of(*[b""] * 100))
        for i in range(100):
            file.write(array_of(b"%d" % i, 0, n))
            file.seek(n, 1)
        file.truncate(file.tell())
    with costs_little(100), pytest.raises(ValueError, match="speaks of .* values in an array"):
        open_model(path)


def test_a_header_over_a_hole(tmp_path):
    path = tmp_path / "m.gguf"
    with open(path, "wb") as file:
        file.write(gguf_of(*[b""] * 100))
        for i in range(100):
            file.write(struct.pack("<Q", 2) + b"%02d" % i + struct.pack("<IQ", 8, 2**22))
            file.seek(2**22, 1)
        file.truncate(file.tell())
    with costs_little(200, 2), pytest.raises(ValueError, match="stand before the numbers"):
        open_model(path)


def test_tensors_without_number(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_of(n_tensors=200_000).ljust(10_000_000, b"\0"))
    with costs_little(), pytest.raises(ValueError, match="speaks of 200000 tensors"):
        open_model(path)


def test_a_million_layers_over_a_hole(tmp_path):
    config = tiny_config(
        dim=2, n_layers=10**4, n_heads=1, n_kv_heads=1, head_dim=2, ffn_width=1, vocab_size=1,
        context_length=1, norm_eps=1e-5, rope_theta=1e4, rope_scaling=None, tied_output=True,
    )  # fmt: skip
    numbers = list(numbers_of(config, 1))
    numbers[2] = 10**6
    path = tmp_path / "m.bin"
    with open(path, "wb") as file:
        file.write(struct.pack("<7i", *numbers))
        file.truncate(4 * (config.count_parameters() + 2) * 100)
    with costs_little(), pytest.raises(ValueError, match="n_layers must be at most 10000"):
        open_model(path)


def test_a_zip_with_files_without_number(tmp_path):
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"")
    data = path.read_bytes()
    start = data.index(b"PK\1\2")
    entry, end = data[start : data.index(b"PK\5\6")], data[data.index(b"PK\5\6") :]
    n = 100_000
    listed = entry * n
    sizes = struct.pack("<HHI", n % 2**16, n % 2**16, len(listed))
    path.write_bytes(data[:start] + listed + end[:8] + sizes + end[16:])
    with costs_little(), pytest.raises(ValueError, match="no zip file as torch.save writes"):
        read_pickle_file(path)


def test_a_header_of_safetensors_larger_than_any(folder):
    write_raw(folder / "model.safetensors", b" " * (2**24 + 1), 0)
    with costs_little():
        assert "a header of 16777217 bytes is more than any Llama" in refusal("inspect", folder)


def vocabulary(folder, tokens):
    """A tokenizer.json with these tokens besides the 256 bytes."""
    seeds.tokenizer_json(folder)
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    values["model"] |= {"merges": [], "ignore_merges": False}
    letters = sorted(values["model"]["vocab"], key=values["model"]["vocab"].get)[:256]
    values["model"]["vocab"] = {t: i for i, t in enumerate([*letters, *tokens])}
    for i, token in enumerate(values["added_tokens"]):
        token["id"] = 256 + len(tokens) + i
    path.write_text(json.dumps(values))
    (folder / "tokenizer.model").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "tokens, says",
    [(["a" * (2000 - i) for i in range(43)], "too long all together"),
     (["a" * 2001], "a token of 2001 characters")],
)  # fmt: skip
def test_long_tokens(tmp_path, tokens, says):
    """86 kB of them took nine seconds."""
    vocabulary(tmp_path, tokens)
    with costs_little(), pytest.raises(ValueError, match=f"tokenizer.json: .*{says}"):
        load_tokenizer(tmp_path)


def test_how_long_tokens_may_be():
    check_lengths(["a" * LONGEST_TOKEN] * (MOST_WORK // LONGEST_TOKEN**2))
    with pytest.raises(ValueError, match="too long all together, on average 2000 characters"):
        check_lengths(["a" * LONGEST_TOKEN] * (MOST_WORK // LONGEST_TOKEN**2 + 1))
    with pytest.raises(ValueError, match="a token of 2001 characters, the longest"):
        check_lengths([b"a", b"a" * (LONGEST_TOKEN + 1)])


def test_a_long_token_in_ranks(tmp_path):
    """Read, it could not be written in any time."""
    import base64

    lines = [base64.b64encode(bytes([i])) + b" %d\n" % i for i in range(256)]
    lines.append(base64.b64encode(b"a" * 200_000) + b" 256\n")
    (tmp_path / "tokenizer.model").write_bytes(b"".join(lines))
    with costs_little(), pytest.raises(ValueError, match="a token of 200000 characters"):
        load_tokenizer(tmp_path)


def test_a_list_of_ends_without_end(tmp_path):
    seeds.tokenizer_json(tmp_path)
    values = json.loads((tmp_path / "tokenizer.json").read_text())
    n = len(values["model"]["vocab"])
    values["added_tokens"] += [
        {"id": n + i, "content": f"<|{i}|>", "special": True} for i in range(5, 2005)
    ]
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [7] * 50_000}))
    with costs_little():
        assert load_tokenizer(tmp_path).vocab_size == n + 2005


def test_a_pattern_that_takes_for_ever():
    name, until = "model.layers.0.self_attn.q_proj", time.monotonic() + 0.05
    with costs_little(), pytest.raises(ValueError, match="takes too long to compare"):
        of_module({r"(.|..|...)+\d\d": 4}, name, 2, until)


# --- numbers that were not meant ---


def test_a_gap_between_tensors(tmp_path):
    """One bit of a type changed: a matrix of half its bytes, and all that follows where it was."""
    llama_cpp = pytest.importorskip("tests.llama_cpp")
    from tests.formats.test_gguf_file import field_of

    config = tiny_config(n_layers=1, rope_scaling=None)
    tensors = llama_cpp.tensors_of(config, random_weights(config, np.float32))
    path = llama_cpp.write(tmp_path / "m.gguf", config, tensors)
    data = bytearray(path.read_bytes())
    assert load_model(path).config.n_layers == 1
    data[field_of(data, "blk.0.ffn_up.weight", "type")] ^= 1  # F32 becomes F16
    path.write_bytes(data)
    assert "what is before it ends at" in refusal("verify", path)


def test_huge_weights_print_no_warnings(tmp_path, capfd):
    """Each is a number; their squares are none in float32."""
    config = tiny_config(vocab_size=259, rope_scaling=None, context_length=64)
    weights = random_weights(config, np.float32).map(lambda w: w * np.float32(1e38) / abs(w).max())
    ranks = {bytes([b]): b for b in range(256)}
    tokenizer = BPETokenizer(ranks, ["<|a|>", "<|b|>", "<|c|>"])
    save_model(tmp_path / "huge", config, weights, tokenizer, bf16=False)
    for options in (["generate", "Once", "--max-new-tokens", "2", "--model"], ["verify"],
                    ["quantize", "--int8"]):  # fmt: skip
        new = [tmp_path / "new"] if options[0] == "quantize" else []
        assert command(*options, tmp_path / "huge", *new)[0] == 0
    assert "Warning" not in "".join(capfd.readouterr())


def test_an_index_of_a_hub_is_bounded(tmp_path):
    """By what the hub says of it, and by what came."""
    pytest.importorskip("huggingface_hub")
    from tests.small_hub import SmallHub
    from weights_tools.commands.download import download, read_aside

    files = {"config.json": b"{}", INDEX: b'{"weight_map": {}}', f"a{TITLE}.gguf": b"x"}
    with SmallHub(files) as hub:
        hub.announced[INDEX] = 2**30
        with pytest.raises(ValueError, match=f"its {INDEX} has 1.1 GB, more than any Llama's"):
            download(hub.repo, tmp_path / "new", endpoint=hub.endpoint)
        hub.files.pop(INDEX)
        with pytest.raises(ValueError) as caught:
            download(hub.repo, tmp_path / "new", endpoint=hub.endpoint)
        assert str(caught.value).isprintable() and "gguf" not in str(caught.value).split(":")[0]

    def fetch(name, local_dir):
        path = os.path.join(local_dir, name)
        with open(path, "wb") as file:
            file.truncate(2**40)
        return path

    with costs_little(), pytest.raises(ValueError, match="expected at most"):
        read_aside(fetch, INDEX)


# --- names that write on the terminal ---


def test_hostile_names_are_quoted(folder, house):
    config, _ = house
    (folder / "model.safetensors").unlink()
    for shard in (HOSTILE, "../" + HOSTILE, "x" * 3000):
        index = {"weight_map": {"a": shard}}
        (folder / INDEX).write_text(json.dumps(index))
        assert len(refusal("inspect", folder)) < 500
        assert refusal("inspect", folder).rstrip("\n").isprintable()
    write_config(folder, config, **{HOSTILE: 1, "model_type": HOSTILE})
    assert refusal("inspect", folder).rstrip("\n").isprintable()


def test_a_hostile_name_of_a_base(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": HOSTILE}))
    told = refusal("inspect", tmp_path)
    assert told.rstrip("\n").isprintable() and "the model that was tuned" in told
    with pytest.raises(FileNotFoundError) as caught:
        open_model(tmp_path)
    assert str(caught.value).isprintable()


def test_a_long_name_in_a_pickle():
    with pytest.raises(ValueError, match="which no tensor of a Llama needs") as caught:
        read_pickle(b"\x80\x02ctorch\n" + b"r" * 5000 + b"\n.")
    assert len(str(caught.value)) < 200
