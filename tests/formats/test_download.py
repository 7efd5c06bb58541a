"""download, against a small hub on loopback; nothing here can reach the real one."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from tests.kills import kill_everywhere
from tests.small_hub import COMMIT, SmallHub, git_sha1
from weights_tools import network
from weights_tools.commands.download import HubFile, choose, download
from weights_tools.load import DOLL_HOUSE, load_model
from weights_tools.writing import alone_in

INDEX = "model.safetensors.index.json"
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
ENTRY = (  # what an installed copy of the command does
    "import argparse, sys; from weights_tools.commands.download import add_arguments, run\n"
    "p = argparse.ArgumentParser(); add_arguments(p); run(p.parse_args())"
)


def noise(n: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(n)


def sharded() -> dict[str, bytes]:
    """A repository as they are: what is needed, and as much again that is not."""
    index = {"metadata": {}, "weight_map": {"a": SHARDS[0], "b": SHARDS[1], "c": SHARDS[0]}}
    needed = {
        "config.json": b"{}", "generation_config.json": b"{}", INDEX: json.dumps(index).encode(),
        SHARDS[0]: noise(300_001, 1), SHARDS[1]: noise(200_003, 2), "tokenizer.json": noise(1500),
        "tokenizer_config.json": b"{}", "special_tokens_map.json": b"{}", "LICENSE": b"free",
        "USE_POLICY.md": b"be good", "README.md": b"# tiny", "original/tokenizer.model": b"bpe",
    }  # fmt: skip
    others = (
        ".gitattributes", "pytorch_model-00001-of-00002.bin", "original/consolidated.00.pth",
        "original/params.json", "onnx/model.onnx", "flax_model.msgpack", "tf_model.h5",
        "model.Q4_0.gguf", "model.fp16.safetensors", "runs/config.json", "training_args.bin",
    )  # fmt: skip
    return needed | dict.fromkeys(others, b"not needed")


def needed(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if data != b"not needed"}


def contents(folder) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts  # the library's notes on what it fetched
    }


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No token, cache or proxy of the user; no waiting between tries."""
    utils = pytest.importorskip("huggingface_hub.utils")
    constants = pytest.importorskip("huggingface_hub.constants")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    nowhere = "http://127.0.0.1:9"  # what is not told to go to the small hub must not go out
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    template = nowhere + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    for name in ("AGENT_HARNESSES_PATH", "HF_TOKEN_PATH"):
        monkeypatch.setattr(constants, name, str(tmp_path / "home" / name), raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    utils.close_session()  # it may have been made with a proxy
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50_000)
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.fixture
def hub():
    with SmallHub(sharded()) as hub:
        yield hub


@pytest.fixture
def get(hub, tmp_path):
    """download("owner/tiny", DEST) from the small hub; in this process, which saves a second."""

    def get(**options):
        options = {"endpoint": hub.endpoint} | options
        return download("owner/tiny", tmp_path / "tiny", **options)

    return get


def refusal(get, **options) -> str:
    """The one line with which it ends."""
    with pytest.raises((ValueError, OSError)) as caught:
        get(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_needed_arrives_and_nothing_else(hub, get, capfd):
    assert contents(get()) == needed(hub.files)
    assert hub.touched() == {*needed(hub.files)}
    told = capfd.readouterr().err
    assert f"owner/tiny, commit {COMMIT[:8]}: 12 files, 501.7 kB" in told
    assert "\r" not in told and "\x1b" not in told  # this is no terminal
    assert len(told.splitlines()) < 30


def test_what_arrives_can_be_loaded(hub, get):
    hub.files = {path.name: path.read_bytes() for path in DOLL_HOUSE.iterdir() if path.is_file()}
    model = load_model(get())
    assert model.config == load_model(DOLL_HOUSE).config and model.tokenizer is not None


def test_an_interruption_comes_after_the_sum_and_leaves_nothing_half(
    hub, get, tmp_path, monkeypatch, capfd
):
    def stop(url, file, **_):
        assert "501.7 kB" in capfd.readouterr().err
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.file_download.http_get", stop)
        patch.setattr("weights_tools.commands.download.read_aside", lambda *_: hub.files[INDEX])
        with pytest.raises(KeyboardInterrupt):
            get()
    assert contents(tmp_path / "tiny") == {} and not [*tmp_path.rglob("*.incomplete")]
    assert contents(get()) == needed(hub.files)


def test_a_whole_folder_is_checked_and_not_fetched_again(hub, get, capfd):
    get()
    hub.requests.clear()
    get()
    assert not any(hub.ranges(name) for name in hub.files if name != INDEX)
    assert "501.7 kB of it there already" in capfd.readouterr().err


def test_a_cut_connection_is_taken_up_where_it_broke(hub, get):
    hub.cuts = [(SHARDS[0], 100_000), (SHARDS[0], 50_000)]
    assert contents(get()) == needed(hub.files)
    assert hub.ranges(SHARDS[0]) == [None, "bytes=100000-", "bytes=150000-"]


def test_a_second_run_fetches_only_the_missing_files(hub, get, tmp_path):
    hub.cuts = [(SHARDS[1], 120_000)] + [(SHARDS[1], 0)] * 9
    told = refusal(get)
    assert "owner/tiny" in told and "the same command fetches what is missing" in told
    assert not (tmp_path / "tiny" / SHARDS[1]).exists()
    assert (tmp_path / "tiny" / SHARDS[0]).exists()
    hub.cuts.clear()
    hub.requests.clear()
    assert contents(get()) == needed(hub.files)
    assert hub.ranges(SHARDS[0]) == [] and hub.ranges(SHARDS[1]) == [None]


def test_a_server_without_ranges_sends_all_of_it_again(hub, get):
    hub.ignores_range = True
    hub.cuts = [(SHARDS[0], 100_000)]
    assert contents(get()) == needed(hub.files)


def test_a_cut_that_looks_like_the_end_is_noticed(hub, get, tmp_path):
    hub.tells_length = False  # as through some proxies
    hub.cuts = [(SHARDS[0], 100_000)]
    told = refusal(get)
    assert f"{SHARDS[0]} should have 300001 bytes" in told and "got 100000" in told
    assert not (tmp_path / "tiny" / SHARDS[0]).exists()
    assert contents(get()) == needed(hub.files)


def test_what_another_revision_left_is_not_gone_on_with(hub, get):
    hub.cuts = [(SHARDS[0], 60_000)] + [(SHARDS[0], 0)] * 9
    refusal(get)
    hub.cuts.clear()
    hub.files[SHARDS[0]] = noise(300_001, 3)
    assert contents(get()) == needed(hub.files)


def test_a_server_that_is_busy_is_asked_again(hub, get):
    hub.busy = [(SHARDS[0], 429), (SHARDS[0], 408)]
    assert contents(get()) == needed(hub.files)


def test_a_server_that_breaks_down_is_named(hub, get):
    hub.busy = [(SHARDS[0], 503)] * 9
    assert "the hub answered 503; try later" in refusal(get)
    hub.busy.clear()
    assert contents(get()) == needed(hub.files)


@pytest.mark.parametrize("difference", [-7, 7])
@pytest.mark.parametrize("name", ["config.json", SHARDS[0]])
def test_a_server_that_lies_about_a_size(hub, get, tmp_path, name, difference):
    hub.files["config.json"] = b'{"model_type": "llama"}'
    hub.announced[name] = len(hub.files[name]) + difference
    assert f"{name} should have {hub.announced[name]} bytes" in refusal(get)
    assert hub.ranges(name) == [] and not (tmp_path / "tiny").exists()  # so no disk is filled


def test_a_byte_that_changed_on_the_way(hub, get, tmp_path):
    listing = hub.listing()
    hub.listing = lambda: listing
    hub.files[SHARDS[1]] = b"?" + hub.files[SHARDS[1]][1:]
    assert "checksum" in refusal(get)
    assert not [path for path in contents(tmp_path / "tiny") if path.startswith(SHARDS[1])]


GATED = {name: (401, "GatedRepo") for name in sharded()}


def test_a_gate_without_a_token(hub, get, tmp_path):
    hub.refusals = GATED
    told = refusal(get)
    for words in ("is gated", "https://huggingface.co/owner/tiny", "HF_TOKEN", "hf auth login"):
        assert words in told
    assert hub.tokens == {None} and not (tmp_path / "tiny").exists()
    hub.files = {"config.json": b"{}", "model.safetensors": noise(2000)}
    hub.refusals = {"model.safetensors": (401, "GatedRepo")}
    assert "is gated" in refusal(get) and not (tmp_path / "tiny").exists()


def test_a_gate_that_a_token_does_not_open(hub, get, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    hub.refusals = {name: (403, "GatedRepo") for name in hub.files}
    told = refusal(get)
    assert "accept the licence" in told and "account of your token" in told
    assert "hf_mine" not in told
    assert hub.tokens == {"Bearer hf_mine"} and not (tmp_path / "tiny").exists()


def test_the_token_of_a_log_in_is_sent(hub, get, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/HF_TOKEN_PATH").write_text("hf_stored\n")
    get()
    assert hub.tokens == {"Bearer hf_stored"}


def test_large_files_come_from_another_server_that_sees_no_token(hub, get):
    with SmallHub(hub.files) as store:
        hub.elsewhere = store.endpoint
        store.cuts = [(SHARDS[0], 100_000)]
        assert contents(get(token="hf_mine")) == needed(hub.files)
        assert store.touched() == {*SHARDS, "tokenizer.json"} and store.tokens == {None}
        assert store.ranges(SHARDS[0]) == [None, "bytes=100000-"]
    assert hub.tokens == {"Bearer hf_mine"}


def test_a_token_that_is_no_token(get, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secr\u00e9t")
    told = refusal(get)
    assert "pasted whole" in told and "secr" not in told


@pytest.mark.parametrize(
    "refused, words",
    [
        ((401, "RepoNotFound"), "not found; check the name"),
        ((404, "RepoNotFound"), "not found; check the name"),
        ((401, ""), "not found; check the name"),
        ((401, "Invalid credentials in Authorization header"), "does not accept your token"),
        ((403, ""), "the hub answered 403"),
        ((400, ""), "the hub answered 400"),
        ((500, ""), "the hub answered 500; try later"),
    ],
)
def test_refusals_are_plain(hub, get, refused, words):
    hub.refusals = {"": refused}
    assert words in refusal(get)


def test_another_repository_or_revision(hub, get, tmp_path):
    told = refusal(get, revision="v9")
    assert "no revision 'v9'" in told
    assert contents(get(revision="main")) == needed(hub.files)
    with pytest.raises(OSError, match="owner/other: not found"):
        download("owner/other", tmp_path / "other", endpoint=hub.endpoint)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "repo", ["tiny", "a/b/c", "https://huggingface.co/a/b", "", "../x", "a/..", "a/b\n", "a b/c"]
)
def test_a_name_that_is_no_repository(repo, tmp_path):
    with pytest.raises(ValueError, match="expected a repository as OWNER/NAME"):
        download(repo, tmp_path / "tiny", endpoint="http://127.0.0.1:9")


def test_no_network(get, tmp_path):
    assert "cannot be reached" in refusal(get, endpoint="http://127.0.0.1:9")
    assert not (tmp_path / "tiny").exists()


@pytest.mark.parametrize("endpoint", ["huggingface.co", "http://127.0.0.1:port", "http://[::"])
def test_an_endpoint_that_is_no_address(get, endpoint):
    refusal(get, endpoint=endpoint)


@pytest.mark.parametrize(
    "answer", [[], {}, {"id": "owner/tiny"}, {"id": "owner/tiny", "sha": 1, "siblings": [{}]}]
)
def test_answers_that_are_not_a_hubs(hub, get, answer):
    hub.listing = lambda: answer
    assert "does not answer as a hub does" in refusal(get)


def test_the_hub_may_be_switched_off(get, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refusal(get)


def test_too_little_space_is_seen_before_anything_is_written(get, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**6, 10**6, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    told = refusal(get)
    assert "the disk is full" in told and "501.7 kB to come, 1.0 kB free" in told
    assert not (tmp_path / "tiny").exists()


def test_a_disk_that_fills_up(hub, get, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.file_download.http_get", full)
        assert "the disk is full" in refusal(get)
    assert contents(get()) == needed(hub.files)


# --- a server that keeps us waiting, or sends too much ---


@pytest.mark.parametrize("name, what", [(SHARDS[0], SHARDS[0]), ("", "its list of files")])
def test_a_byte_every_half_second_does_not_keep_a_download_waiting(
    hub, get, tmp_path, monkeypatch, name, what
):
    clock = count()
    fake = SimpleNamespace(monotonic=lambda: next(clock) / 2)  # asked at every piece that comes
    monkeypatch.setattr(network, "time", fake)
    hub.pauses[name] = 0.001
    assert f"{what} comes too slowly" in refusal(get)
    assert not (tmp_path / "tiny" / SHARDS[0]).exists()
    hub.pauses.clear()
    assert contents(get()) == needed(hub.files)


@pytest.mark.parametrize(
    "name, what", [(INDEX, INDEX), (SHARDS[0], SHARDS[0]), ("", "its list of files")]
)
def test_an_answer_without_an_end_is_cut(hub, get, monkeypatch, name, what):
    monkeypatch.setattr("weights_tools.commands.download.LONGEST_LIST", 2 * 10**6)
    hub.endless.add(name)
    assert f"{what} should have" in (told := refusal(get)) and "its server sends more" in told


def test_what_begins_anew_again_and_again_is_given_up(hub, get):
    hub.files[SHARDS[0]] = noise(2 * 10**6)
    hub.ignores_range = True
    hub.cuts = [(SHARDS[0], 15 * 10**5)] * 30
    assert f"{SHARDS[0]} is cut off again and again" in refusal(get)
    assert len(hub.ranges(SHARDS[0])) == 14  # ten times its size


def test_a_hub_that_does_not_answer_is_not_waited_for(hub, get, monkeypatch):
    monkeypatch.setattr("weights_tools.commands.download.TIMEOUT", 0.05)
    hub.listing = lambda: threading.Event().wait(0.5) or {}
    assert "cannot be reached" in refusal(get)


def test_afterwards_the_client_is_as_it_was(hub, get):
    hooks = [*huggingface_hub_session().event_hooks["response"]]
    get()
    assert huggingface_hub_session().event_hooks["response"] == hooks


def huggingface_hub_session():
    return pytest.importorskip("huggingface_hub").get_session()


# --- what is there, two at once, and kills ---


def test_two_downloads_into_one_folder(hub, get, tmp_path):
    with alone_in(tmp_path / "tiny"):
        assert "tiny: another process is writing here; let it end" in refusal(get)
    assert contents(get()) == needed(hub.files)


def test_what_a_killed_download_has_left_is_removed_and_nothing_else(hub, get, tmp_path):
    for name in (".llama_np.tmp/model.incomplete", ".mine/model.incomplete"):
        (tmp_path / "tiny" / name).parent.mkdir(parents=True)
        (tmp_path / "tiny" / name).write_text("half")
    assert contents(get()) == needed(hub.files) | {".mine/model.incomplete": b"half"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.slow
def test_killed_at_any_change_a_download_goes_on(hub, tmp_path):
    hub.files = {
        "config.json": b"{}",
        "original/tokenizer.model": b"bpe",
        "model.safetensors": noise(3000),
    }

    def fresh():
        shutil.rmtree(tmp_path / "work", ignore_errors=True)
        (tmp_path / "work").mkdir()
        return tmp_path / "work"

    def run():
        download("owner/tiny", tmp_path / "work/tiny", endpoint=hub.endpoint)

    kills, wrong = kill_everywhere(run, fresh, count(1, 6))
    assert not wrong, "\n".join(wrong[:5])
    assert kills >= 12


def test_destinations_that_hold_something_else(get, tmp_path):
    folder = tmp_path / "tiny"
    folder.write_text("a file")
    assert "is a file" in refusal(get)
    folder.unlink()
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    assert "already holds thesis.txt" in refusal(get)
    (folder / "thesis.txt").unlink()
    (folder / "config.json").write_text('{"another": "model"}')
    assert "config.json is not the hub's file" in refusal(get)
    assert contents(folder) == {"config.json": b'{"another": "model"}'}


def test_several_gguf_files_are_for_the_user_to_choose_from(hub, get):
    hub.files = {"README.md": b"# tiny", "config.json": b"{}"}
    hub.files |= {f"tiny.{kind}.gguf": noise(2000) for kind in ("Q8_0", "Q4_0")}
    told = refusal(get)
    assert "--file NAME" in told and "tiny.Q4_0.gguf (2.0 kB), tiny.Q8_0.gguf (2.0 kB)" in told
    assert "no file 'tiny.gguf'" in refusal(get, files=["tiny.gguf"])
    assert contents(get(files=["tiny.Q4_0.gguf"])).keys() == {"README.md", "tiny.Q4_0.gguf"}
    assert "tiny.Q8_0.gguf" in contents(get(files=["tiny.Q8_0.gguf"]))  # into the same folder


def test_larger_than_plain_http_brings(hub, get):
    hub.announced[SHARDS[0]] = 60 * 10**9
    assert "60.0 GB" in refusal(get) and "hf download" in refusal(get)


def chosen(*names: str, asked=(), index: object = None) -> list[str]:
    files = dict.fromkeys(names, HubFile(1, git_sha1(b"")))
    return choose(files, asked, lambda _: json.dumps(index).encode())


def test_the_form_of_the_weights():
    one, meta = "model.safetensors", ["consolidated.00.pth", "consolidated.01.pth", "params.json"]
    assert chosen(one, *SHARDS, INDEX, "a.gguf", *meta) == [one]
    assert chosen("a.gguf", *meta, "tokenizer.model") == ["tokenizer.model", *meta]
    assert chosen("a.gguf", "pytorch_model.bin") == ["a.gguf"]
    assert chosen("stories15M.bin", "pytorch_model.bin") == ["stories15M.bin"]
    original = [f"original/{name}" for name in meta]
    assert chosen(*original) == original
    assert chosen(one, "tokenizer.model", "original/tokenizer.model") == ["tokenizer.model", one]
    with pytest.raises(ValueError, match="holds none of"):
        chosen("pytorch_model.bin", "adapter_model.safetensors")
    assert chosen("b.bin", "a.bin", asked=["b.bin", "b.bin"]) == ["b.bin"]


@pytest.mark.parametrize(
    "index", [None, [], 3, "x", {}, {"weight_map": []}, {"weight_map": {"a": 1}},
              {"weight_map": {"a": []}}, {"weight_map": {"a": "absent"}}, {"weight_map": {}},
              {"weight_map": {"a": "../model.safetensors"}}]
)  # fmt: skip
def test_an_index_that_is_none(index):
    with pytest.raises(ValueError, match="index|holds no file absent|lies outside"):
        chosen(INDEX, "../model.safetensors", index=index)


@pytest.mark.parametrize("name", ["../a.gguf", "a/../../b", "/etc/passwd", "C:/a", "..\\a", "~"])
def test_names_that_leave_the_folder(name):
    with pytest.raises(ValueError, match="lies outside"):
        chosen(name, asked=[name])


@pytest.mark.parametrize(
    "name", [".ssh/a.gguf", ".git/hooks/a.gguf", "a/.b/c.gguf", "a\\.git\\c.bin", ".bashrc"]
)
def test_names_that_would_be_hidden(name):
    with pytest.raises(ValueError, match="would be hidden"):
        chosen(name, asked=[name])
    if not name.endswith("rc"):
        with pytest.raises(ValueError, match="would be hidden"):
            chosen(name)
        with pytest.raises(ValueError, match="would be hidden"):
            chosen(INDEX, name, index={"weight_map": {"a": name}})


def run(hub, tmp_path, *options, **environment):
    """The command as a person starts it, in a process of its own."""
    environment = os.environ | {"HF_ENDPOINT": hub.endpoint} | environment
    return subprocess.run(
        [sys.executable, "-c", ENTRY, *options, "owner/tiny", str(tmp_path / "tiny")],
        capture_output=True, encoding="utf-8", env=environment, timeout=60,
    )  # fmt: skip


def test_the_command(hub, tmp_path):
    hub.cuts = [(SHARDS[0], 100_000)]
    done = run(hub, tmp_path, HF_TOKEN="hf_mine")
    assert done.returncode == 0, done.stderr
    assert "complete" in done.stdout and "\r" not in done.stderr
    assert "resume" in done.stderr and hub.tokens == {"Bearer hf_mine"}
    assert contents(tmp_path / "tiny") == needed(hub.files)
    assert not list((tmp_path / "home").rglob("*.safetensors"))
    files = [path for _, path, _ in hub.requests if "/resolve/" in path]
    assert files and all(f"/resolve/{COMMIT}/" in path for path in files)  # one state of all


def test_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match="pip install huggingface_hub"):
        download("owner/tiny", tmp_path / "tiny")
