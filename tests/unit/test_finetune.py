"""make-stories, finetune, make-preferences and dpo, from end to end on a tiny model."""

import csv
import json

import numpy as np
import pytest

from llama_np.config import LlamaConfig
from llama_np.model import forward
from llama_np.weights import initialize
from weights_tools import load_model
from weights_tools.__main__ import main
from weights_tools.save import save_model
from weights_tools.training.dialogs import Comparison, Dialog, read_lines, write_lines

CONFIG = LlamaConfig(
    dim=16, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=4, ffn_width=24, vocab_size=2048,
    context_length=64, norm_eps=1e-5, rope_theta=1e4, rope_scaling=None, tied_output=False,
)  # fmt: skip


@pytest.fixture
def base(tmp_path):
    weights = initialize(CONFIG, np.random.default_rng(0), std=0.2)
    save_model(tmp_path / "base", CONFIG, weights, load_model().tokenizer, bf16=False)
    return tmp_path / "base"


@pytest.fixture
def dialogs(tmp_path):
    path = tmp_path / "dialogs.jsonl"
    write_lines(path, [Dialog(f"Who is {i}?", f"{i} is a cat.") for i in range(20)])
    return path


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write_lines(path, [Comparison(f"Who is {i}?", "A happy cat.", "A dog.") for i in range(20)])
    return path


def logits(path):
    model = load_model(path)
    return forward(model.weights, model.config, [1, 2, 3, 4])


def log(path):
    with (path / "training/log.csv").open() as file:
        return list(csv.DictReader(file))


def refusal(capsys, *options):
    assert main([str(option) for option in options]) == 1
    told = capsys.readouterr().err
    assert told.splitlines()[-1].startswith("error: ") and "Traceback" not in told
    return told


def test_fine_tuning_writes_thin_matrices_that_load_by_themselves(base, dialogs, tmp_path, capsys):
    options = [
        *("finetune", "--model", base, "--dialogs", dialogs, "--out", tmp_path / "chat"),
        *("--steps", 12, "--warm-up", 2, "--peak-rate", 0.02, "--lora-rank", 3),
        *("--evaluate-every", 6, "--ema-decay", 0),
    ]
    options = [str(option) for option in options]
    assert main(options) == 0
    told = capsys.readouterr().err
    assert "held out nats per token" in told and "Write a story about a cat named Tom. ->" in told
    rows = log(tmp_path / "chat")
    assert [row["step"] for row in rows] == ["6", "12"]
    assert float(rows[1]["held_out_nats_per_token"]) < float(rows[0]["held_out_nats_per_token"])
    assert (tmp_path / "chat/training/loss_curve.png").read_bytes().startswith(b"\x89PNG")
    described = json.loads((tmp_path / "chat/adapter_config.json").read_text())
    assert described["r"] == 3 and described["base_model_name_or_path"] == "../base"
    assert np.abs(logits(tmp_path / "chat") - logits(base)).max() > 0.01
    assert load_model(tmp_path / "chat").tokenizer is not None

    before = (tmp_path / "chat/adapter_model.safetensors").read_bytes()
    assert main(options) == 0  # nothing is left to do, and nothing is lost
    assert "going on from step 12" in capsys.readouterr().err
    assert (tmp_path / "chat/adapter_model.safetensors").read_bytes() == before
    assert "was made with other matrices" in refusal(capsys, *options, "--lora-rank", 4)


def test_all_weights_may_learn(base, dialogs, tmp_path):
    out = tmp_path / "whole"
    assert main(
        ["finetune", "--model", str(base), "--dialogs", str(dialogs), "--out", str(out),
         "--steps", "2", "--lora-rank", "0", "--evaluate-every", "2"]
    ) == 0  # fmt: skip
    assert not (out / "adapter_config.json").exists()
    assert np.abs(logits(out) - logits(base)).max() > 1e-3


def test_preferences_go_on_with_the_thin_matrices(base, dialogs, pairs, tmp_path, capsys):
    chat, out = tmp_path / "chat", tmp_path / "cheerful"
    assert main(
        ["finetune", "--model", str(base), "--dialogs", str(dialogs), "--out", str(chat),
         "--steps", "2", "--lora-rank", "2", "--evaluate-every", "2"]
    ) == 0  # fmt: skip
    assert main(
        ["dpo", "--model", str(chat), "--pairs", str(pairs), "--out", str(out), "--steps", "12",
         "--peak-rate", "0.01", "--warm-up", "1", "--evaluate-every", "4"]
    ) == 0  # fmt: skip
    rows = log(out)
    assert float(rows[-1]["held_out_agreement"]) == 1.0
    assert float(rows[-1]["train_loss"]) < np.log(2)
    described = json.loads((out / "adapter_config.json").read_text())
    assert described["base_model_name_or_path"] == "../base" and described["r"] == 2
    assert np.abs(logits(out) - logits(chat)).max() > 1e-3


@pytest.mark.usefixtures("progress_ends")
def test_a_model_without_thin_matrices_gets_new_ones(base, pairs, tmp_path):
    out = tmp_path / "new"
    assert main(
        ["dpo", "--model", str(base), "--pairs", str(pairs), "--out", str(out), "--steps", "2",
         "--lora-rank", "2", "--evaluate-every", "2"]
    ) == 0  # fmt: skip
    assert load_model(out).config == CONFIG


@pytest.mark.usefixtures("progress_ends")
def test_telling_and_comparing(base, tmp_path, capsys, monkeypatch):
    """A random model tells nothing that holds together; the loops run all the same."""
    told = refusal(
        capsys, "make-stories", "--model", base, "--out", tmp_path / "s.txt", "--count", 3
    )
    assert "holds together; tell more with --count" in told
    assert not (tmp_path / "s.txt").exists()
    monkeypatch.setattr(
        "weights_tools.commands.make_stories.keep_good", lambda stories: ["one", "two"]
    )
    monkeypatch.setattr("weights_tools.commands.make_stories.BATCH", 2)  # three are two batches
    out = tmp_path / "s.txt"
    assert main(["make-stories", "--model", str(base), "--out", str(out), "--count", "3"]) == 0
    assert out.read_text() == "one\n<|endoftext|>\ntwo\n"
    assert "2 of 3 stories kept" in capsys.readouterr().err

    answers = ["He was happy.", "He fell.", None, "Mom smiled.", "He ran.", "She ran."]
    monkeypatch.setattr("weights_tools.commands.make_preferences.answers", lambda *_: answers)
    out = tmp_path / "pairs.jsonl"
    assert main(
        ["make-preferences", "--model", str(base), "--out", str(out), "--count=2", "--tries=3"]
    ) == 0  # fmt: skip
    first, second = read_lines(out, Comparison)
    assert first[1:] == ("He was happy.", "He fell.")
    assert second[1:] == ("Mom smiled.", "He ran.")
    answers[:] = ["He fell.", "He ran.", None, "Mom smiled.", "She ran.", None]
    assert main(
        ["make-preferences", "--model", str(base), "--out", str(out), "--count=2", "--tries=3"]
    ) == 0  # fmt: skip
    (only,) = read_lines(out, Comparison)  # the first request has no answer that ends well
    assert only[1:] == ("Mom smiled.", "She ran.")


@pytest.mark.parametrize(
    "options, words",
    [
        (["--steps", 0], "at least one step, got 0"),
        (["--lora-rank", 99], "LoRA rank of 99 does not fit"),
        (["--evaluate-every", 0], "--evaluate-every must be at least 1"),
        (["--held-out", 0], "found 20 documents, too few"),
        (["--dialogs", "absent.jsonl"], "no such file: absent.jsonl"),
        (["--model", "absent"], "or take doll-house, doll-house-chat"),
    ],
)
def test_what_cannot_work_is_one_line(base, dialogs, tmp_path, capsys, options, words):
    out = tmp_path / "out"
    given = ["finetune", "--model", base, "--dialogs", dialogs, "--out", out, "--lora-rank", 2]
    assert words in refusal(capsys, *given, *options)
    assert not (out / "adapter_config.json").exists()


def test_a_model_without_the_tokens_of_a_chat(tmp_path, capsys):
    weights = initialize(CONFIG, np.random.default_rng(0))
    save_model(tmp_path / "base", CONFIG, weights, None)
    told = refusal(capsys, "finetune", "--model", tmp_path / "base", "--out", tmp_path / "out")
    assert "no tokenizer with the special tokens of Llama 3's chats" in told
    assert not (tmp_path / "out").exists()


def test_beta_must_be_above_zero(pairs, base, tmp_path, capsys):
    out = tmp_path / "out"
    told = refusal(capsys, "dpo", "--model", base, "--pairs", pairs, "--out", out, "--beta", 0)
    assert "--beta must be above 0, got 0.0" in told
