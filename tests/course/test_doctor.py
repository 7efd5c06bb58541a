"""The doctor finds what is wrong with a machine, says what to do, and never falls over itself."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATH = ROOT / "notebooks/doctor.py"


@pytest.fixture
def doctor(monkeypatch):
    """The doctor as a module, with a sound machine: what runs in a child prints what it should."""
    spec = importlib.util.spec_from_file_location("doctor", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    answers = {
        "doll-house": f'["{module.NEXT}", {module.NATS}]',
        "psutil.virtual_memory": "8.0",
        "start_new_kernel": sys.prefix,
        "llama_np.__file__": str(ROOT / "llama_np/__init__.py"),
    }

    def run(code, seconds=120):
        return next((a for word, a in module.answers.items() if word in code), (True, ""))

    module.answers = {word: (True, said) for word, said in answers.items()}
    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr("importlib.metadata.version", lambda name: module.versions[name])
    module.versions = {
        name: bounds[0][1] if bounds else "1" for name, bounds in module.read_requirements().items()
    }
    monkeypatch.delenv("LLAMA_MODEL", raising=False)
    return module


def page(doctor, capsys):
    """The exit code and the red lines, each with what to do."""
    code = doctor.main()
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isascii() for line in lines)
    red = [f"{a} {b.strip()}" for a, b in zip(lines, lines[1:], strict=False) if a[:2] == "!!"]
    assert all("-> " in line for line in red)
    assert lines[-1].startswith("NOT READY" if red else "READY") and code == bool(red)
    return red


def test_a_sound_machine(doctor, capsys):
    assert page(doctor, capsys) == []


def test_nothing_printed_is_a_command_to_the_terminal(doctor, capsys, monkeypatch):
    monkeypatch.setenv("LLAMA_MODEL", "/x\x1b]0;pwned\x07")
    doctor.answers["open_model"] = (False, "no such file: /x\x1b]0;pwned\x07")
    doctor.main()
    told = capsys.readouterr().out
    assert "\x1b" not in told and r"/x\x1b]0;pwned\x07" in told


def test_it_is_understood_by_an_old_python_and_needs_no_package():
    tree = ast.parse(PATH.read_text(encoding="utf-8"), feature_version=(3, 6))
    imports = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            imports.add(node.module)
        elif isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
    assert imports <= set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("attribute", "value", "says"),
    [("version_info", (3, 9, 18), "3.10 or newer is needed"), ("maxsize", 2**31 - 1, "32 bit")],
)
def test_an_old_or_narrow_python(doctor, capsys, monkeypatch, attribute, value, says):
    monkeypatch.setattr(doctor.sys, attribute, value)
    (red,) = page(doctor, capsys)
    assert says in red and "python.org" in red


def test_packages_missing_old_new_and_broken(doctor, capsys, monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def version(name):
        if name == "numpy":
            raise PackageNotFoundError(name)
        return {"tiktoken": "0.6.9", "psutil": "99.0"}.get(name, doctor.versions[name])

    monkeypatch.setattr("importlib.metadata.version", version)
    doctor.answers["import matplotlib"] = False, "ImportError: DLL load failed"
    numpy, tiktoken, psutil, matplotlib, rest = page(doctor, capsys)
    assert "numpy          is not installed" in numpy and "-m pip install" in numpy
    assert "0.6.9; >=0.7 is needed" in tiktoken and "99.0; <8 is needed" in psutil
    assert "DLL load failed" in matplotlib and "--force-reinstall" in matplotlib
    assert "was not tried" in rest


def test_every_line_of_the_requirements_is_looked_at(doctor):
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line[:1].isalpha()]
    found = doctor.read_requirements()
    assert len(found) == len(wanted) and all(found.values())
    assert found["numpy"] == [(">=", "2.0"), ("<", "3")]


def test_versions_are_compared_as_numbers(doctor):
    assert doctor.numbers("2.10.1rc1") == (2, 10, 1) > doctor.numbers("2.9")
    assert doctor.numbers("2.4.6+cpu") == (2, 4, 6)
    assert doctor.numbers("4.0.0b1") >= doctor.numbers("4")


@pytest.mark.parametrize(
    ("word", "answer", "says"),
    [
        ("llama_np.__file__", (False, "No module named 'llama_np'"), "cannot be imported"),
        ("llama_np.__file__", (True, "/elsewhere/llama_np/__init__.py"), "from another copy"),
        ("doll-house", (False, "ValueError: config.json: no JSON"), "there is none: ValueError"),
        ("doll-house", (True, '[" Tom", -4.9135]'), "' Tom' with"),
        ("doll-house", (True, '[" Lily", -2.6]'), "-2.6000 nats, not"),
        ("psutil.virtual_memory", (True, "0.3"), "0.3 GB free"),
        ("start_new_kernel", (False, "no kernel"), "does not start"),
        ("start_new_kernel", (True, "/elsewhere"), "another Python answers"),
    ],
)
def test_what_can_be_wrong_beyond_packages(doctor, capsys, word, answer, says):
    doctor.answers[word] = answer
    red = page(doctor, capsys)
    assert says in red[0]


@pytest.mark.parametrize("damage", ["missing", "cut off", "one bit"])
def test_a_model_file_that_is_not_whole(doctor, capsys, monkeypatch, tmp_path, damage):
    data = bytearray((ROOT / doctor.MODEL).read_bytes())
    data[-1] ^= damage == "one bit"
    (tmp_path / "requirements.txt").write_text("numpy>=2.0,<3\n")
    if damage != "missing":
        path = tmp_path / doctor.MODEL
        path.parent.mkdir(parents=True)
        path.write_bytes(data[: 1000 if damage == "cut off" else None])
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    doctor.answers["llama_np.__file__"] = True, str(tmp_path / "llama_np/__init__.py")
    (red,) = page(doctor, capsys)
    assert ("is missing" if damage == "missing" else "is damaged") in red and "again" in red


def test_a_folder_that_cannot_be_written_and_a_full_disk(doctor, capsys, monkeypatch, tmp_path):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    usage = doctor.shutil.disk_usage(str(tmp_path))._replace(free=10**7)
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    folder, disk = page(doctor, capsys)
    assert "Permission denied" in folder and "folder of your own" in folder
    assert "0.01 GB free" in disk


def test_the_learners_own_model(doctor, capsys, monkeypatch):
    monkeypatch.setenv("LLAMA_MODEL", "/nowhere")
    doctor.answers["open_model"] = False, "FileNotFoundError: no such file or folder: /nowhere"
    (red,) = page(doctor, capsys)
    assert "/nowhere" in red and "unset the variable" in red


def test_advice_fits_the_place(doctor, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    monkeypatch.setattr(doctor, "in_environment", lambda: False)
    assert "-m venv .venv, then" in doctor.how_to_install()
    (tmp_path / "wheelhouse").mkdir()
    assert "--no-index --find-links wheelhouse" in doctor.how_to_install()
    own = tmp_path / (".venv/Scripts/python.exe" if os.name == "nt" else ".venv/bin/python")
    own.parent.mkdir(parents=True)
    own.touch()
    assert "not the course's Python" in doctor.how_to_install()


def test_a_kernelspec_of_another_python_is_named(doctor, capsys):
    doctor.answers["start_new_kernel"] = False, "ModuleNotFoundError: No module named 'classroom'"
    doctor.answers["get_kernel_spec"] = True, "/home/me/kernels/python3\t/opt/other/bin/python"
    (red,) = page(doctor, capsys)
    assert "python3 starts another Python: /opt/other/bin/python" in red
    assert "remove the folder /home/me/kernels/python3" in red and "127.0.0.1" not in red
    doctor.answers["get_kernel_spec"] = True, f"/somewhere\t{sys.executable}"
    (red,) = page(doctor, capsys)
    assert "127.0.0.1" in red


@pytest.mark.parametrize("changed", ["", " M notebooks/03_rms_norm.ipynb\n"])
def test_pages_worked_in_where_the_course_lies(doctor, capsys, monkeypatch, changed):
    git = subprocess.CompletedProcess([], 0, changed.encode())
    monkeypatch.setattr(doctor.subprocess, "run", lambda *args, **options: git)
    doctor.main()
    said = capsys.readouterr().out
    assert ("1 changed where the course lies" in said) == bool(changed)
    assert ("git checkout -- notebooks" in said) == bool(changed)
    assert "python -m classroom start DIR" in said and said.rstrip().endswith("READY")


def test_whoever_reads_may_stop(tmp_path):
    command = f'"{sys.executable}" -S "{PATH}" | head -1'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == "" and done.stdout.startswith("Llama 3")


def test_colour_only_on_a_terminal(doctor, capsys, monkeypatch):
    monkeypatch.setattr(doctor.os, "name", "posix")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for terminal, refused in ((True, ""), (True, "1"), (False, "")):
        monkeypatch.setenv("NO_COLOR", refused)
        monkeypatch.setattr(doctor.sys.stdout, "isatty", lambda t=terminal: t, raising=False)
        doctor.main()
        assert ("\033[32mOK" in capsys.readouterr().out) == (terminal and not refused)


@pytest.mark.slow
def test_on_this_machine():
    """The real thing: a sound machine is ready, and one without packages is told so in one page."""
    environment = {k: v for k, v in os.environ.items() if k not in ("LLAMA_MODEL", "PYTHONPATH")}
    options = {"capture_output": True, "text": True, "env": environment, "cwd": ROOT.parent}
    done = subprocess.run([sys.executable, str(PATH)], **options)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.rstrip().endswith("READY") and '-> " Lily"' in done.stdout
    bare = subprocess.run([sys.executable, "-S", str(PATH)], **options)
    assert (bare.returncode, bare.stderr) == (1, "")
    assert "!!  numpy          is not installed" in bare.stdout
    assert len(bare.stdout.splitlines()) < 40
