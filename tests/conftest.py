"""What all tests share: signatures are enforced, PyTorch is optional, the models are tiny."""

import importlib
import importlib.util
import pkgutil

import numpy as np
import pytest

import llama_np
from tests import shape_contracts
from tests.tiny import random_config, random_ids, random_weights, tiny_config
from weights_tools.progress import Progress

# Looking for doctests, pytest imports every file; these two are nothing without PyTorch.
collect_ignore = []
if importlib.util.find_spec("torch") is None:
    collect_ignore += ["torch_twin.py", "make_stored_activations.py"]


def modules_of_llama_np():
    yield llama_np
    for found in pkgutil.walk_packages(llama_np.__path__, "llama_np."):
        if not found.name.endswith(("__main__", ".show", ".pictures")):  # scripts; need matplotlib
            yield importlib.import_module(found.name)


# Here, and not in a fixture: test modules take hold of the functions when they are imported.
if shape_contracts.jaxtyped:
    HELD = f"held to on every call of {shape_contracts.enforce([*modules_of_llama_np()])} functions"
else:
    HELD = f"WARNING: not checked, because {shape_contracts.MISSING} is not installed"


def pytest_report_header():
    return f"shapes in signatures: {HELD}"


@pytest.fixture(scope="session")
def torch():
    """PyTorch. A test that asks for it, or for a twin made of it, is skipped where it is absent."""
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def twin(torch):
    """The Llama of ``torch_twin.py``."""
    return importlib.import_module("tests.torch_twin")


@pytest.fixture(scope="session")
def transformers(torch):
    return pytest.importorskip("transformers")


@pytest.fixture(params=range(4))
def config(request):
    return random_config(request.param)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def weights(config):
    return random_weights(config)


@pytest.fixture
def ids(config):
    return random_ids(config, 7)


@pytest.fixture(scope="session")
def house():
    """One config and its weights, in float64, for tests that need no more than one."""
    config = tiny_config()
    return config, random_weights(config)


@pytest.fixture
def normal():
    """Random arrays of a given shape: ``normal(3, 4)``."""
    rng = np.random.default_rng(0)
    return lambda *shape, dtype=np.float64: rng.standard_normal(shape).astype(dtype)


@pytest.fixture
def progress_ends(monkeypatch):
    """Every ``Progress`` of the test has to be shown, count up, and end at its total."""
    show, made, shown = Progress.show, [], {}

    def making(self, *args, **options):
        init(self, *args, **options)
        made.append(self)

    def showing(self, done, *args, **options):
        shown.setdefault(self, []).append(done)
        show(self, done, *args, **options)

    init = Progress.__init__
    monkeypatch.setattr(Progress, "__init__", making)
    monkeypatch.setattr(Progress, "show", showing)
    yield
    assert made
    for progress in made:
        counts = shown.get(progress, [])
        assert counts == sorted(counts) and counts[-1:] == [progress.total]
