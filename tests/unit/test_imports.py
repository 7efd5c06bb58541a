"""Which way things lean: who may import what. The arrows point down, without exceptions."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import llama_np

ROOT = Path(__file__).parents[2]
BELOW = {  # what each room may import, beside itself and the standard library
    "llama_np": {"numpy"},
    "weights_tools": {"llama_np", "numpy"},
    "classroom": {"llama_np", "weights_tools", "numpy"},
}
ALSO = {  # packages that one part of a room brings in, and nobody else
    "llama_np/tokenizer/bpe.py": {"tiktoken", "regex"},
    "weights_tools/formats/adapter_config.py": {"regex"},  # comes with tiktoken
    "llama_np/__main__.py": {"weights_tools"},  # three lines: hand over to the command
    "notebooks/classroom/microscope/lessons.py": {"nbconvert"},  # comes with jupyter
    "notebooks/classroom/needs.py": {"nbclient", "nbformat"},  # runs pages, as jupyter does
}
FILES_AND_THREADS = {"io", "mmap", "multiprocessing", "os", "pathlib", "subprocess", "threading"}
PACKAGES = {
    name: sorted((ROOT / folder).rglob("*.py"))
    for name, folder in {
        "llama_np": "llama_np", "weights_tools": "weights_tools", "classroom": "notebooks/classroom"
    }.items()
}  # fmt: skip
MODULES = [(name, path) for name, paths in PACKAGES.items() for path in paths]
THEIR_OWN = {  # what a format, a picture or a download needs: imported where it is needed
    "weights_tools": {
        "gguf", "huggingface_hub", "jinja2", "matplotlib", "psutil", "safetensors",
        "sentencepiece", "threadpoolctl", "tiktoken",
    },
    "classroom": {"IPython", "ipywidgets", "matplotlib", "PIL"},  # PIL comes with matplotlib
}  # fmt: skip


def imported(path: Path) -> set[str]:
    """The packages that a file imports anywhere, inside functions too; not its own."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def name_of(module) -> str:
    name, path = module
    return path.relative_to(ROOT).as_posix() if isinstance(path, Path) else name


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_arrows_point_down(module):
    name, path = module
    allowed = BELOW[name] | {name} | THEIR_OWN.get(name, set()) | sys.stdlib_module_names
    assert imported(path) <= allowed | ALSO.get(name_of(module), set())


@pytest.mark.parametrize("path", PACKAGES["llama_np"], ids=lambda p: p.stem)
def test_llama_np_opens_no_file_and_starts_no_thread(path):
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not imported(path) & FILES_AND_THREADS
    assert "open" not in calls


def test_the_front_door_is_three_lines():
    lines = (ROOT / "llama_np/__main__.py").read_text(encoding="utf-8").split("\n")
    assert [line for line in lines if line] == [lines[0], lines[2]]


def test_training_does_not_know_the_commands():
    """But for the studies, which are commands themselves: no other file may know a study either."""
    for path in (ROOT / "weights_tools/training").rglob("*.py"):
        if path.name == "study.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                module = (node.module or "").split(".")
                assert not {"commands", "study"} & {*module}, path


def run(program: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )


def test_importing_brings_nothing_large():
    done = run(
        "import sys, llama_np.training, classroom, weights_tools; "
        "print(*sorted({'matplotlib', 'torch', 'transformers'} & sys.modules.keys()))"
    )
    assert done.stdout.strip() == ""


def test_the_first_greedy_token_brings_nothing_that_it_does_not_need():
    """numpy.random alone takes ten milliseconds, and nothing is drawn."""
    done = run(
        "import sys; from weights_tools.commands.generate import main; "
        "main(['Once', '--max-new-tokens', '1', '--temperature', '0']); "
        "unneeded = {'numpy.random', 'psutil', 'threadpoolctl'}; "
        "print(*sorted(unneeded & sys.modules.keys()), file=sys.stderr)"
    )
    assert done.stderr.splitlines()[-1] == ""


def test_the_public_names_exist():
    assert len(set(llama_np.__all__)) == len(llama_np.__all__)
    assert all(hasattr(llama_np, name) for name in llama_np.__all__)
