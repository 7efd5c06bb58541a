"""Killed at any change it makes to the disk, a command that is started again comes to the same."""

import os
import shutil
from itertools import chain, count

import numpy as np
import pytest

from llama_np.config import LlamaConfig
from llama_np.tokenizer import BPETokenizer
from llama_np.weights import initialize
from tests.kills import kill_everywhere
from weights_tools import workers
from weights_tools.__main__ import main
from weights_tools.commands.train import SPECIAL_TOKENS
from weights_tools.save import save_model
from weights_tools.training import run as run_module
from weights_tools.training.dialogs import Comparison, Dialog, write_lines
from weights_tools.writing import replacing

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

CONFIG = LlamaConfig(
    dim=4, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=2, ffn_width=6, vocab_size=261,
    context_length=128, norm_eps=1e-5, rope_theta=1e4, rope_scaling=None, tied_output=False,
)  # fmt: skip
TUNE = "--steps 2 --evaluate-every 1 --warm-up 1 --lora-rank 1"
COMMANDS = {
    "train": "--corpus text --facts facts --held-out 0.2 --vocab-size 264 --dim 4 --layers 1 "
    "--heads 2 --kv-heads 1 --head-dim 2 --context 32 --row 8 --final-row 8 --tokens-per-step 16 "
    "--copy-row 24 --drills 1 --steps 2 --evaluate-every 1 --warm-up 1 --out work/out",
    "finetune": "--model base --dialogs dialogs --held-out 0.2 --dialogs-per-step 2 "
    f"--out work/out {TUNE}",
    "dpo": f"--model base --pairs pairs --out work/out --pairs-per-step 2 {TUNE}",
    "grpo": f"--model base --out work/out --answers 2 --requests-per-step 1 --longest 3 {TUNE}",
    "convert": "base work/new/out",
    "convert into an empty folder": "base work",
    "quantize": "base work/out --int8",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with everything that the commands read; ``work`` is for what they write."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "n_cores", lambda: 1)  # a forked process has no threads
    monkeypatch.setattr(run_module, "draw_curve", draw_in_no_time)
    tokenizer = BPETokenizer({bytes([b]): b for b in range(256)}, SPECIAL_TOKENS)
    weights = initialize(CONFIG, np.random.default_rng(0), std=0.2)
    save_model(tmp_path / "base", CONFIG, weights, tokenizer)
    (tmp_path / "base/LICENSE").write_text("free")
    (tmp_path / "text").write_text("\n<|endoftext|>\n".join(["A cat sat on the big red sun."] * 8))
    (tmp_path / "facts").write_text("One and one is two.\n")
    write_lines(tmp_path / "dialogs", [Dialog(f"{i}?", "A cat.") for i in range(6)])
    write_lines(tmp_path / "pairs", [Comparison(f"{i}?", "A cat.", "No.") for i in range(6)])
    return tmp_path


def draw_in_no_time(folder):
    with replacing(folder / "loss_curve.png") as beside:
        beside.write_bytes((folder / "log.csv").read_bytes())


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def killed(place, name, at):
    """How often a command was killed, every time led to the same in the end."""
    options = COMMANDS[name].split()
    run = lambda: main([name.split()[0], *options])  # noqa: E731
    kills, wrong = kill_everywhere(run, lambda: fresh(place / "work"), at)
    assert not wrong, "\n".join([f"{len(wrong)} of {kills}:", *wrong[:5]])
    return kills


@pytest.mark.parametrize(
    "name, at, least", [("convert", count(5, 11), 4), ("finetune", count(9, 28), 3)]
)
def test_killed_now_and_then(place, name, at, least):
    assert killed(place, name, at) >= least


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, at",
    {
        "train": count(1, 4),  # the four write in the same way: together they are killed everywhere
        "finetune": count(2, 4),
        "dpo": count(3, 4),
        "grpo": count(4, 4),
        "convert": count(1, 2),
        "convert into an empty folder": chain(range(2, 50, 4), count(50)),  # then files are moved
        "quantize": count(1, 4),
    }.items(),
)
def test_killed_everywhere(place, name, at):
    assert killed(place, name, at) >= 10
