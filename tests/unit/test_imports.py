"""Which way things lean: who may import what."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALONE = {"bpe.py": {"regex"}, "tokenizer.py": {"tiktoken"}, "show.py": {"matplotlib"}}
ALONE |= {"__main__.py": {"weights_tools"}, "workers.py": {"threadpoolctl"}}
# The classroom draws by itself, and its last exercise loads the model that ships.
ALONE |= {"pictures.py": {"matplotlib"}, "story.py": {"weights_tools"}}
OURS = [*ROOT.glob("llama_np/**/*.py")]
MODULES = [*OURS, *ROOT.rglob("weights_tools/**/*.py")]


def imported(path: Path) -> set[str]:
    """The packages that a file imports anywhere, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(path.parent.name if node.level else node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", OURS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_llama_np_imports_numpy_and_the_standard_library(path):
    allowed = (
        {"llama_np", "numpy", path.parent.name}
        | sys.stdlib_module_names
        | ALONE.get(path.name, set())
    )
    assert imported(path) <= allowed


@pytest.mark.parametrize("path", MODULES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_nothing_needs_pytorch(path):
    assert not imported(path) & {"torch", "transformers"}


def test_importing_brings_nothing_large():
    program = (
        "import sys, llama_np.training, classroom, weights_tools; "
        "print(*sorted({'matplotlib', 'torch', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_the_first_greedy_token_brings_nothing_that_it_does_not_need():
    """numpy.random alone takes ten milliseconds, and nothing is drawn."""
    program = (
        "import sys; from llama_np.__main__ import main; "
        "main(['Once', '--max-new-tokens', '1', '--temperature', '0']); "
        "unneeded = {'numpy.random', 'psutil', 'threadpoolctl'}; "
        "print(*sorted(unneeded & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == ""


def test_the_public_names_exist():
    import llama_np

    assert len(set(llama_np.__all__)) == len(llama_np.__all__)
    assert all(hasattr(llama_np, name) for name in llama_np.__all__)
