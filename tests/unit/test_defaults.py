"""What happens when an option is left out, and that one which is given is not passed over."""

import argparse

import numpy as np
import pytest

from llama_np.config import LLAMA_3_1_SCALING
from llama_np.sampling import Sampling, generate, pad_left
from llama_np.tap import patch, record
from llama_np.tokenizer.bpe import LLAMA3_SPECIAL_TOKENS, BPETokenizer
from llama_np.tokenizer.chat import encode_dialog
from llama_np.training.lora import initialize_lora
from llama_np.training.optimizer import AdamW
from llama_np.weights import initialize, shapes
from tests.checks import agree
from tests.tiny import random_weights, tiny_config
from weights_tools import load_model
from weights_tools.__main__ import make_parser
from weights_tools.commands.generate import main, sampling_of
from weights_tools.commands.train import SPECIAL_TOKENS, add_arguments, config_of
from weights_tools.formats.config_json import config_from_meta
from weights_tools.formats.gguf_config import config_from_gguf
from weights_tools.load import DOLL_HOUSE, SHIPPED, find
from weights_tools.training.corpus import ASK_FOR_STORY, encode_training, read_facts
from weights_tools.training.dialogs import default_dialogs
from weights_tools.training.options import recipe_of

BYTES = {bytes([b]): b for b in range(256)}


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer(BYTES, SPECIAL_TOKENS)


# --- writing ---


def test_the_prompt_is_echoed_once_and_the_continuation_follows(capsys):
    assert main(["Once upon a", "--temperature", "0", "--max-new-tokens", "4"]) == 0
    model = load_model(DOLL_HOUSE)
    ids = model.tokenizer.encode("Once upon a", bos=True)
    new = list(generate(model.weights, model.config, ids, 4))
    assert capsys.readouterr().out == f"Once upon a{model.tokenizer.decode(new)}\n"


def test_the_options_of_sampling_arrive():
    line = "Once --temperature 0.5 --top-k 7 --top-p 0.25 --min-p 0.1 --repetition-penalty 1.5"
    assert sampling_of(make_parser().parse_args(["generate", *line.split()])) == Sampling(
        0.5, top_k=7, top_p=0.25, min_p=0.1, repetition_penalty=1.5
    )
    assert sampling_of(make_parser().parse_args(["generate", "Once"])) == Sampling(0.8)


@pytest.mark.parametrize("name", ["<|end_of_text|>", "<|eot_id|>", "<|eom_id|>"])
def test_each_of_three_tokens_ends_the_writing(name):
    tokenizer = BPETokenizer(BYTES, ["<|begin_of_text|>", "<|other|>", name])
    assert tokenizer.stop_ids == {258}


def test_the_ids_of_llama_3s_special_tokens():
    """Behind its 128,000 ranks; see the tokenizer_config.json of any Llama 3."""
    known = {"begin_of_text": 128000, "end_of_text": 128001, "start_header_id": 128006,
             "end_header_id": 128007, "eot_id": 128009}  # fmt: skip
    found = {f"<|{name}|>": i for name, i in known.items()}
    ids = {name: 128000 + i for i, name in enumerate(LLAMA3_SPECIAL_TOKENS)}
    assert {name: ids[name] for name in found} == found and len(ids) == 256
    dialog = [{"role": "user", "content": "?"}]
    first = BPETokenizer(BYTES, LLAMA3_SPECIAL_TOKENS)
    assert encode_dialog(first, dialog) == [
        256, 262, *b"user", 263, *b"\n\n", *b"?", 265, 262, *b"assistant", 263, *b"\n\n"
    ]  # fmt: skip


def test_padding_is_in_front_and_of_the_id_that_was_asked_for():
    assert pad_left([[5, 6], [7]], padding_id=9)[0].tolist() == [[5, 6], [9, 7]]


# --- looking inside ---


def test_a_patch_looks_at_what_its_tap_hands_on():
    seen = {}
    tap = patch({"x": lambda x: x + 1}, tap=record(seen))
    assert tap("x", np.array(1)) == 2 and seen["x"] == 1
    doubled = patch({"x": lambda x: x + 1}, tap=patch({"x": lambda x: x * 2}))
    assert doubled("x", np.array(5)) == 11


# --- training ---


def test_alpha_is_divided_by_the_rank():
    config, rng = tiny_config(), np.random.default_rng(0)
    assert initialize_lora(config, 4, rng, alpha=6.0).scale == 1.5
    assert initialize_lora(config, 4, rng).scale == 2.0


def test_the_thin_matrices_that_lora_starts_from():
    """As ``kaiming_uniform_(a=sqrt(5))``, which peft calls: within 1 / sqrt(in), both signs."""
    config = tiny_config()
    lora = initialize_lora(config, 5, np.random.default_rng(0))
    for name, pair in lora.pairs.items():
        rows, columns = shapes(config)[name]
        assert (pair.a.shape, pair.b.shape) == ((rows, 5), (5, columns)), name
        assert pair.a.dtype == pair.b.dtype == np.float32
        assert not pair.b.any()
    scaled = np.concatenate([(p.a * np.sqrt(len(p.a))).ravel() for p in lora.pairs.values()])
    assert -1 <= scaled.min() < -0.98 and 0.98 < scaled.max() <= 1
    assert abs(scaled.mean()) < 0.05 and np.std(scaled) == pytest.approx(3**-0.5, rel=0.05)


def test_lora_beside_the_matrices_that_are_named():
    config = tiny_config()
    lora = initialize_lora(config, 2, np.random.default_rng(0), matrices=("wq", "w_down"))
    assert list(lora.pairs) == [f"layers.{i}.{role}" for i in (0, 1) for role in ("wq", "w_down")]


def test_weights_start_with_the_deviation_that_gpt_2_has():
    config = tiny_config(dim=96, n_layers=8, ffn_width=200, vocab_size=300)
    for name, array in initialize(config, np.random.default_rng(0)).named():
        if array.ndim == 1:
            assert (array == 1).all()
            continue
        into_stream = name.endswith(("wo", "w_down"))
        assert array.std() == pytest.approx(0.02 / (4 if into_stream else 1), rel=0.05), name
        assert abs(array.mean()) < array.std() / 10


def test_adamw_as_it_comes(torch, house):
    config, _ = house
    weights = random_weights(config)
    gradients = [random_weights(config, seed=seed) for seed in (1, 2, 3)]
    optimizer = AdamW(weights)
    twins = {name: torch.nn.Parameter(torch.tensor(w.copy())) for name, w in weights.named()}
    theirs = torch.optim.AdamW(
        [
            {"params": [w for w in twins.values() if w.ndim > 1], "weight_decay": 0.1},
            {"params": [w for w in twins.values() if w.ndim == 1], "weight_decay": 0.0},
        ],
        lr=0.01, betas=(0.9, 0.95), eps=1e-8,
    )  # fmt: skip
    for gradient in gradients:
        optimizer.step(weights, gradient, 0.01)
        for name, array in gradient.named():
            twins[name].grad = torch.tensor(np.ascontiguousarray(array))
        theirs.step()
    for name, w in weights.named():
        agree(w, twins[name], 1e-10, name)


def test_one_story_in_twenty_is_a_dialog_and_facts_come_once(tokenizer):
    documents = encode_training(tokenizer, [f"story {i}" for i in range(41)], ["fact"])
    texts = [tokenizer.decode(ids) for ids in documents]
    assert [i for i, text in enumerate(texts) if ASK_FOR_STORY in text] == [0, 20, 40]
    assert sum("fact" in text for text in texts) == 1 and len(texts) == 42


def test_each_fact_comes_twelve_times_among_the_stories():
    dialogs = default_dialogs()
    asked = [line.split("\t")[0] for line in read_facts() if "\t" in line]
    questions = [dialog.question for dialog in dialogs]
    assert {questions.count(question) for question in asked} == {12}


def parse_train(*options):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["--corpus", "c", "--out", "o", *options])


def test_the_model_that_train_makes():
    plain = config_of(parse_train(), 2048)
    assert (plain.dim, plain.n_heads, plain.head_dim, plain.ffn_width) == (88, 8, 16, 308)
    options = "--dim 40 --layers 3 --heads 4 --kv-heads 1 --head-dim 6 --ffn-width 50"
    own = config_of(parse_train(*options.split(), "--context", "99", "--theta", "7000"), 300)
    assert (own.dim, own.n_layers, own.n_heads, own.n_kv_heads) == (40, 3, 4, 1)
    assert (own.head_dim, own.ffn_width, own.vocab_size) == (6, 50, 300)
    assert (own.context_length, own.rope_theta) == (99, 7000.0)


def test_the_options_of_a_recipe_arrive():
    options = (
        "--steps 7 --peak-rate 0.5 --warm-up 3 --weight-decay 0.25 --dropout 0.125 --clip 2.5 "
        "--ema-decay 0.75 --seed 9"
    )
    recipe = recipe_of(parse_train(*options.split()))
    assert (recipe.steps, recipe.peak_rate, recipe.warm_up, recipe.seed) == (7, 0.5, 3, 9)
    assert (recipe.weight_decay, recipe.dropout) == (0.25, 0.125)
    assert (recipe.clip, recipe.ema_decay) == (2.5, 0.75)


# --- what a file leaves out ---

GGUF = {
    "general.architecture": "llama", "llama.embedding_length": 24, "llama.block_count": 2,
    "llama.attention.head_count": 4, "llama.feed_forward_length": 33, "llama.context_length": 64,
    "llama.attention.layer_norm_rms_epsilon": 1e-6,
}  # fmt: skip
META = {"dim": 24, "n_layers": 2, "n_heads": 4, "multiple_of": 8, "vocab_size": 53,
        "norm_eps": 1e-6}  # fmt: skip


def test_what_a_gguf_file_leaves_out():
    config = config_from_gguf(GGUF, 53, tied_output=True)
    assert (config.n_kv_heads, config.head_dim, config.vocab_size) == (4, 6, 53)
    assert (config.rope_theta, config.rope_scaling, config.tied_output) == (10000.0, None, True)
    told = GGUF | {"llama.attention.head_count_kv": 2, "llama.vocab_size": 60,
                   "llama.rope.freq_base": 5e5, "llama.attention.key_length": 8,
                   "llama.attention.value_length": 8}  # fmt: skip
    config = config_from_gguf(told, 53, tied_output=False)
    assert (config.n_kv_heads, config.head_dim, config.vocab_size) == (2, 8, 60)
    assert (config.rope_theta, config.tied_output) == (5e5, False)


def test_what_a_params_file_leaves_out():
    config = config_from_meta(META)
    assert (config.n_kv_heads, config.rope_theta, config.context_length) == (4, 10000.0, 4096)
    assert (config.rope_scaling, config.tied_output) == (None, False)
    assert config_from_meta(META | {"rope_theta": 5e5}).context_length == 8192
    scaled = config_from_meta(META | {"rope_theta": 5e5, "use_scaled_rope": True})
    assert (scaled.context_length, scaled.rope_scaling) == (131072, LLAMA_3_1_SCALING)
    own = config_from_meta(META, context_length=7, vocab_size=50, tied_output=True)
    assert (own.context_length, own.vocab_size, own.tied_output) == (7, 50, True)


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "my-llama").mkdir()
    assert find("~/my-llama") == tmp_path / "my-llama"
    assert find("doll-house") == SHIPPED["doll-house"]
