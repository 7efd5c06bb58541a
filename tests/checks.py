"""Comparisons, and the checks that both the right functions and the wrong ones go through.

The checks look the functions up in their modules when they run, so that ``test_misconceptions.py``
can put others in their place.
"""

import json
import shutil
import signal
from pathlib import Path

import numpy as np

from llama_np import cache, model, sampling, tap
from llama_np.config import LlamaConfig
from llama_np.rope import RopeScaling
from llama_np.weights import Weights

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")  # None: no browser here
STORED = Path(__file__).with_name("stored_activations.npz")
TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}
SPLITS = [(7,), (1,) * 7, (3, 4), (2, 1, 4)]


def interruptible() -> None:
    """For a child: take interruptions, even where whoever started the tests ignores them.

    A job in the background of a shell does, and its children inherit it.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def agree(ours, theirs, tolerance: float | None = None, name: str = "") -> None:
    """The same shape, dtype and numbers, up to rounding; ``theirs`` may be a tensor.

    float32 keeps 7 digits and float64 16; sums of some dozens of numbers take one or two of them.
    """
    theirs = theirs.detach().numpy() if hasattr(theirs, "detach") else np.asarray(theirs)
    assert ours.shape == theirs.shape, f"{name}: shape {ours.shape}, expected {theirs.shape}"
    assert ours.dtype == theirs.dtype, f"{name}: {ours.dtype}, expected {theirs.dtype}"
    tolerance = TOLERANCE[ours.dtype] if tolerance is None else tolerance
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance, err_msg=name)


def agree_by_name(ours, theirs, tolerance: float | None = None) -> None:
    """The first name that differs says where a mistake is."""
    for name, expected in theirs.items():
        agree(ours[name], expected, tolerance, name)


def in_splits(weights, config, ids, split, **options) -> np.ndarray:
    """Logits of all positions, computed through a cache in as many calls as ``split`` says."""
    kv_cache = cache.KVCache(config, ids.shape[-1])
    starts = np.cumsum((0, *split[:-1]))
    parts = [
        model.forward(weights, config, ids[..., start : start + n], kv_cache, **options)
        for start, n in zip(starts, split, strict=True)
    ]
    return np.concatenate(parts, axis=-2)


def read_stored():
    """Config, weights and what PyTorch computed: made by ``make_stored_activations.py``."""
    with np.load(STORED) as file:
        stored = dict(file)
    values = json.loads(str(stored.pop("config")))
    values["rope_scaling"] = RopeScaling(*values["rope_scaling"])
    groups = {"weights": {}, "activations": {}, "gradients": {}}
    for path, array in list(stored.items()):
        kind, _, name = path.partition("/")
        if kind in groups:
            groups[kind][name] = array
            del stored[path]
    weights = Weights.from_named(groups["weights"]).map(lambda w: w.astype(np.float64))
    return LlamaConfig(**values), weights, {**groups, **stored}


def check_forward() -> None:
    """Every activation of a run is the one PyTorch computed."""
    config, weights, stored = read_stored()
    trace = {}
    model.forward(weights, config, stored["ids"], tap=tap.record(trace))
    agree_by_name(trace, stored["activations"])


def check_decoding() -> None:
    """However a text is cut into calls, a cache changes nothing."""
    config, weights, stored = read_stored()
    for split in SPLITS:
        logits = in_splits(weights, config, stored["ids"], split)
        agree(logits, stored["activations"]["logits"], name=str(split))


def check_top_p() -> None:
    """The token that crosses the threshold stays."""
    probabilities = np.array([0.5, 0.3, 0.15, 0.05])
    for p, kept in (
        (0.9, [0.5263158, 0.3157895, 0.1578947, 0]),
        (0.5, [0.625, 0.375, 0, 0]),
        (0.4, [1, 0, 0, 0]),
        (1.0, probabilities),
    ):
        agree(sampling.keep_top_p(probabilities, p), np.array(kept, float), 1e-7, name=f"p = {p}")
