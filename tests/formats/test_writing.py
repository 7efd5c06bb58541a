"""Writing a new folder: it is there whole, or nothing is, whatever comes in between."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests.folders import command, refusal, write_folder
from tests.tiny import tiny_config
from weights_tools.__main__ import main
from weights_tools.commands import convert as convert_module
from weights_tools.formats import safetensors_file as tensors_module
from weights_tools.load import DOLL_HOUSE, load_model
from weights_tools.writing import replacing


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
