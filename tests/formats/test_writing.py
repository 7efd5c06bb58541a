"""Writing a new folder: it is there whole, or nothing is, whatever comes in between."""

import errno
import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.folders import command, refusal, write_folder
from tests.tiny import tiny_config
from weights_tools import locks
from weights_tools.__main__ import main
from weights_tools.commands import convert as convert_module
from weights_tools.formats import safetensors_file as tensors_module
from weights_tools.load import DOLL_HOUSE, load_model
from weights_tools.locks import locked, release, try_lock
from weights_tools.tokenizers import load_tokenizer
from weights_tools.writing import alone_in, is_at, new_folder, replacing, state, write_json


@pytest.fixture
def source(tmp_path, house):
    (tmp_path / "from").mkdir()
    return write_folder(tmp_path / "from", *house)


def everything(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def failing_write(monkeypatch, failure):
    """The first tensors go to the disk, then it happens."""
    chunks = convert_module.all_chunks

    def some_chunks(*arguments):
        for i, chunk in enumerate(chunks(*arguments)):
            if i == 5:
                raise failure
            yield chunk

    monkeypatch.setattr(convert_module, "all_chunks", some_chunks)


@pytest.mark.parametrize("dest", ["to", "a/b/to", "there"])
def test_the_disk_is_full(tmp_path, source, monkeypatch, dest):
    (tmp_path / "there").mkdir()
    before = everything(tmp_path)
    failing_write(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    told = refusal("convert", source, tmp_path / dest)
    assert f"{tmp_path / dest}: the disk is full; make room or choose another disk" in told
    assert everything(tmp_path) == before


def test_the_disk_is_full_for_the_tokenizer(tmp_path, monkeypatch):
    def copyfile(_, path):
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(convert_module.shutil, "copyfile", copyfile)
    assert "the disk is full" in refusal("convert", DOLL_HOUSE, tmp_path / "to")
    assert everything(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_device_that_is_full(tmp_path, source, monkeypatch):
    def full(_, mode):
        return open("/dev/full", mode)  # noqa: SIM115

    monkeypatch.setattr(tensors_module, "open", full, raising=False)
    before = everything(tmp_path)
    assert "the disk is full; make room" in refusal("convert", source, tmp_path / "to")
    assert everything(tmp_path) == before


def test_too_little_room_is_known_beforehand(tmp_path, source, monkeypatch):
    needed = 4 * tiny_config().count_parameters()
    before = everything(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed - 1))
    told = refusal("convert", source, tmp_path / "new" / "to")
    assert (
        f"{needed / 1e3:.1f} kB are needed" in told and "make room or choose another disk" in told
    )
    assert everything(tmp_path) == before
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed))
    assert command("convert", source, tmp_path / "to")[0] == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed // 2))
    assert command("convert", source, tmp_path / "to16", "--dtype", "float16")[0] == 0


def test_an_interruption(tmp_path, source, monkeypatch, capsys):
    before = everything(tmp_path)
    failing_write(monkeypatch, KeyboardInterrupt())
    assert main(["convert", str(source), str(tmp_path / "a" / "to")]) == 130
    assert capsys.readouterr().err == "\nstopped; start again with the same options\n"
    assert everything(tmp_path) == before


def test_a_file_is_replaced_whole_or_stays(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as beside:
        beside.write_text("ha")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and everything(tmp_path) == ["file"]
    with replacing(path) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and everything(tmp_path) == ["file"]


# --- the destination ---


def test_a_destination_that_is_there(tmp_path, source):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = everything(tmp_path)
    for dest in ("from", "file", "link", "from/../from", "."):
        told = refusal("convert", source, tmp_path / dest)
        assert "is there already; give the name of a new folder" in told
    told = refusal("convert", source, tmp_path / "file" / "to")
    assert f"{tmp_path / 'file' / 'to'}: cannot be written (Not a directory)" in told
    assert everything(tmp_path) == before


def test_an_empty_folder_is_filled_and_a_missing_one_is_made(tmp_path, source, monkeypatch):
    (tmp_path / "empty").mkdir()
    for dest in ("empty", "a/b/new", "from/inside"):
        assert command("convert", source, tmp_path / dest)[0] == 0
        assert load_model(tmp_path / dest).config == load_model(source).config
    monkeypatch.chdir(tmp_path)
    assert command("convert", "from", "here")[0] == 0
    assert not [*tmp_path.rglob("*.tmp")]


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="whoever may do all is not refused"
)
def test_a_place_that_may_not_be_written(tmp_path, source):
    source.chmod(0o500)
    assert command("convert", source, tmp_path / "to")[0] == 0  # only read
    told = refusal("convert", source, source / "to")
    assert "cannot be written (Permission denied); choose another place" in told
    source.chmod(0o700)


# --- two at once, and what one that was killed has left ---


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_lock_ends_with_the_process_that_holds_it(tmp_path):
    path = tmp_path / "lock"
    ends, begins = os.pipe(), os.pipe()
    if not (child := os.fork()):
        try_lock(path)
        os.write(begins[1], b"!")
        os.read(ends[0], 1)
        os._exit(9)
    os.read(begins[0], 1)
    with locked(path) as held:
        assert not held
    with locked(path, wait=0.01) as held:
        assert not held
    os.write(ends[1], b"!")
    os.waitpid(child, 0)
    assert path.exists()  # it was killed
    with locked(path) as held:
        assert held
    assert not path.exists()
    for end in (*ends, *begins):
        os.close(end)


def test_who_waits_for_a_lock_does_not_get_one_that_was_taken_away(tmp_path, monkeypatch):
    """Between opening the file and locking it, its holder may have removed it."""
    path = tmp_path / "lock"
    take = locks.take

    def late(file):
        monkeypatch.setattr(locks, "take", take)
        path.unlink()
        take(file)

    monkeypatch.setattr(locks, "take", late)
    held = try_lock(path)
    assert os.path.samestat(os.fstat(held), path.stat())
    release(path, held)


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def none(_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "take", none)
    with replacing(tmp_path / "file") as beside:
        beside.write_text("new")
    assert (tmp_path / "file").read_text() == "new" and everything(tmp_path) == ["file"]


@pytest.mark.parametrize("dest", ["to", "there"])
def test_two_conversions_into_one_folder(tmp_path, source, dest):
    (tmp_path / "there").mkdir()
    with new_folder(tmp_path / dest) as beside:
        (beside / "config.json").write_text("{}")
        told = refusal("convert", source, tmp_path / dest)
        assert f"{tmp_path / dest}: another process is writing here; let it end, or name" in told
    assert everything(tmp_path / dest) == ["config.json"]


def test_a_folder_that_somebody_makes_meanwhile_is_not_written_over(tmp_path):
    with pytest.raises(OSError, match="to: cannot be written"), new_folder(tmp_path / "to"):
        (tmp_path / "to").mkdir()
        (tmp_path / "to/config.json").write_text("mine")
    assert everything(tmp_path) == ["to", "to/config.json"]


def test_an_error_that_names_its_file_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = OSError(errno.EACCES, "no", "sub/file")
    assert is_at(tmp_path / "sub/file", error) and is_at(Path("sub/file"), error)
    assert is_at(tmp_path / "sub/file/in/it", error) and not is_at(tmp_path / "sub/other", error)


def test_a_new_folder_stays_where_it_was_named(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with new_folder(Path("to")) as beside:
        (beside / "config.json").write_text("{}")
        monkeypatch.chdir(tmp_path / "elsewhere")
    assert everything(tmp_path) == ["elsewhere", "to", "to/config.json"]


def test_what_one_that_was_killed_has_left_is_removed_and_nothing_else(tmp_path, source):
    private = tmp_path / "private"
    private.mkdir()
    (private / "key").write_text("secret")
    (tmp_path / ".to.llama_np.tmp").mkdir()
    (tmp_path / ".to.llama_np.tmp/model.safetensors").write_text("half")
    (tmp_path / ".to.llama_np.tmp/link").symlink_to(private)
    (tmp_path / ".to.llama_np.lock").touch()
    for name in ("to.4711.tmp", ".other.llama_np.tmp", "model.incomplete"):
        (tmp_path / name).write_text("mine")
    before = everything(tmp_path)
    assert command("convert", source, tmp_path / "to")[0] == 0
    gone = {name for name in before if name.startswith(".to.")}
    assert {*before} - {*everything(tmp_path)} == gone and (private / "key").exists()

    file = private / "file"
    (private / ".file.llama_np.tmp").symlink_to(private / "key")  # not written through
    write_json({}, file)
    assert everything(private) == ["file", "key"] and (private / "key").read_text() == "secret"


def test_a_name_of_ours_is_freed_whatever_bears_it(tmp_path):
    """A folder with all in it, a file, a link; what a link leads to stays."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "key").write_text("secret")
    name = tmp_path / ".to.llama_np.tmp"
    for make in (name.mkdir, name.touch, lambda: name.symlink_to(mine)):
        make()
        with new_folder(tmp_path / "to") as folder:
            (folder / "a").write_text("a")
        assert everything(tmp_path) == ["mine", "mine/key", "to", "to/a"]
        (tmp_path / "to/a").unlink()
        (tmp_path / "to").rmdir()


def moved_and_killed(folder, *names):
    """As if a conversion into an empty folder had been killed while it moved its files there."""
    temporary = folder / ".llama_np.tmp"
    temporary.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(name)
    about = {name: state(folder / name) for name in names}
    (temporary / "moved.json").write_text(json.dumps(about))


def test_what_was_moved_before_a_kill_is_removed_if_nothing_else_is_there(tmp_path, source):
    moved_and_killed(tmp_path / "to", "model.safetensors", "tokenizer.model")
    assert command("convert", source, tmp_path / "to")[0] == 0
    assert everything(tmp_path / "to") == everything(source)
    for changed in ("model.safetensors", "thesis.txt"):  # somebody has worked there
        moved_and_killed(tmp_path / changed, "model.safetensors", "tokenizer.model")
        (tmp_path / changed / changed).write_text("mine")
        assert "is there already" in refusal("convert", source, tmp_path / changed)
        assert {changed, "tokenizer.model"} <= {*everything(tmp_path / changed)}


@pytest.mark.parametrize(
    "code, words", [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "Read-only")]
)
def test_a_file_that_cannot_be_written_is_named(tmp_path, code, words):
    with pytest.raises(OSError, match=f"{tmp_path / 'file'}: .*{words}"):  # noqa: SIM117
        with replacing(tmp_path / "file"):
            raise OSError(code, os.strerror(code))
    with pytest.raises(FileNotFoundError, match="No such file.*source"):  # noqa: SIM117
        with replacing(tmp_path / "file"):
            (tmp_path / "source").read_bytes()  # what cannot be read is no fault of the place
    assert everything(tmp_path) == []


# --- standard streams, and people ---


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_with_all_streams_closed_nothing_is_written_into_the_model(tmp_path, source, monkeypatch):
    """The first files to be opened would get their numbers, and with them what others print."""
    assert command("convert", source, tmp_path / "expected")[0] == 0
    chunks = convert_module.all_chunks

    def noisy(*arguments):
        for number in (1, 2):
            os.write(number, b"noise")
        return chunks(*arguments)

    monkeypatch.setattr(convert_module, "all_chunks", noisy)
    if not (child := os.fork()):
        for number in range(3):
            os.close(number)
        sys.stdin = sys.stdout = sys.stderr = None
        os._exit(main(["convert", str(source), str(tmp_path / "to")]))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for name in everything(source):
        assert (tmp_path / "to" / name).read_bytes() == (tmp_path / "expected" / name).read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_standard_output_that_is_full_is_named(source, monkeypatch, capsys):
    with suppress(OSError), open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["inspect", str(source)]) == 1
    told = capsys.readouterr().err
    assert told == "error: standard output: the disk is full; make room or choose another disk\n"


def test_somebody_whom_nobody_knows():
    told = refusal("inspect", "~nobody-of-this-name/model")
    assert "expected a path, but nobody here is called 'nobody-of-this-name'" in told
    with pytest.raises(ValueError, match="nobody here is called"):
        load_tokenizer("~nobody-of-this-name/tokenizer.json")


@pytest.mark.parametrize("name", ["make-stories", "make-preferences"])
def test_where_nothing_can_be_written_is_known_before_anything_is_told(tmp_path, name):
    out = tmp_path / "absent" / "out"
    told = refusal(name, "--model", tmp_path / "no model", "--out", out)
    assert f"{out}: cannot be written (No such file or directory)" in told
    assert f"{tmp_path}: cannot be written" in refusal(name, "--out", tmp_path)
    assert everything(tmp_path) == []


def test_what_fails_while_a_folder_is_held_is_not_its_fault(tmp_path):
    with pytest.raises(OSError) as caught, alone_in(tmp_path / "out"):
        raise OSError(errno.ECONNRESET, "Connection reset by peer")
    assert caught.value.errno == errno.ECONNRESET and everything(tmp_path) == []


def test_json_is_written_for_people_too(tmp_path):
    write_json({"name": "␣girl", "sizes": [1, 2]}, tmp_path / "a.json")
    lines = (tmp_path / "a.json").read_text(encoding="utf-8").splitlines()
    assert lines == ["{", ' "name": "␣girl",', ' "sizes": [', "  1,", "  2", " ]", "}"]
