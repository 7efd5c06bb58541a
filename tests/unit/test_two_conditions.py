"""Two conditions at once, which a test of each alone does not see."""

from functools import partial

import numpy as np
import pytest

from llama_np.sampling import (
    Sampling,
    generate,
    generate_batch,
    greedy,
    keep_top_k,
    keep_top_p,
    probabilities_of,
    sample,
)
from llama_np.tap import patch, record
from llama_np.tokenizer.bpe import LLAMA3_SPECIAL_TOKENS, BPETokenizer
from llama_np.tokenizer.chat import encode_dialog, latest_that_fit
from tests.checks import agree
from weights_tools.formats.config_json import config_from_hugging_face

LOGITS = np.log([0.4, 0.3, 0.2, 0.1])


@pytest.mark.parametrize(
    "sampling, kept",
    [
        (Sampling(1.0, top_k=2, top_p=0.5), [1, 0, 0, 0]),  # the other order keeps two
        (Sampling(1.0, top_k=3, top_p=0.5), [4 / 7, 3 / 7, 0, 0]),
        (Sampling(1.0, top_k=4, top_p=0.71), [4 / 9, 3 / 9, 2 / 9, 0]),
        (Sampling(0.5, top_k=3), [16 / 29, 9 / 29, 4 / 29, 0]),  # a temperature changes p, not k
        (Sampling(0.5, top_p=0.5), [1, 0, 0, 0]),
    ],
)
def test_temperature_then_top_k_then_top_p(sampling, kept):
    agree(probabilities_of(LOGITS, sampling), np.array(kept, float))
    both = np.stack([LOGITS, LOGITS[::-1]])
    agree(probabilities_of(both, sampling), np.array([kept, kept[::-1]], float))


def test_both_cuts_are_those_of_transformers(transformers, torch, normal):
    logits = 3 * normal(4, 50)
    warped = torch.tensor(logits)
    for warper in (
        transformers.TemperatureLogitsWarper(1.5),
        transformers.TopKLogitsWarper(9),
        transformers.TopPLogitsWarper(0.8),
    ):
        warped = warper(None, warped)
    agree(probabilities_of(logits, Sampling(1.5, top_k=9, top_p=0.8)), warped.softmax(-1))


def test_ties_among_different_values():
    """Of equals the smaller id stays, wherever the larger values stand."""
    mixed = np.array([[0.1, 0.3, 0.1, 0.3, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1, 0.3, 0.3]])
    assert greedy(mixed).tolist() == [1, 4]
    kept = [np.flatnonzero(row).tolist() for row in keep_top_k(mixed, 4)]
    assert kept == [[0, 1, 2, 3], [0, 1, 4, 5]]
    kept = [np.flatnonzero(row).tolist() for row in keep_top_p(mixed, 0.65)]
    assert kept == [[0, 1, 3], [0, 4, 5]]
    agree(keep_top_k(mixed, 1), np.eye(6)[[1, 4]])


def test_a_draw_never_takes_what_both_cuts_left_out():
    rng, many = np.random.default_rng(0), np.tile(LOGITS, (500, 1))
    drawn = sample(many, Sampling(3.0, top_k=3, top_p=0.75), rng)
    assert set(drawn.tolist()) == {0, 1, 2}
    drawn = sample(many, Sampling(3.0, top_k=3, top_p=0.6), rng)
    assert set(drawn.tolist()) == {0, 1}


def test_two_stop_tokens_and_few_tokens(house):
    config, weights = house
    text = list(generate(weights, config, [1, 2, 3], 12))
    late, early = text[8], text[4]
    stops = {late, early}
    end = min(text.index(late), text.index(early))
    assert list(generate(weights, config, [1, 2, 3], 12, stop_tokens=stops)) == text[:end]
    assert list(generate(weights, config, [1, 2, 3], 2, stop_tokens=stops)) == text[: min(2, end)]
    rows = generate_batch(weights, config, [[1, 2, 3], [4]], 12, stop_tokens=stops)
    alone = [list(generate(weights, config, p, 12, stop_tokens=stops)) for p in ([1, 2, 3], [4])]
    assert rows == alone


def test_two_patches_and_a_record_of_one(house):
    seen = {}
    changes = {"a": lambda x: x + 1, "b": np.array(7.0)}
    tap = record(seen, only={"b"}, tap=patch(changes))
    assert (tap("a", np.array(1.0)), tap("b", np.array(1.0)), tap("c", 3)) == (2, 7, 3)
    assert seen == {"b": 7.0}


# --- a talk ---


def message(role, content):
    return {"role": role, "content": content}


@pytest.mark.parametrize("n_kept", [0, 1, 2])
def test_a_talk_with_a_system_text_that_must_be_shortened(n_kept):
    """The system text stays; whole turns of question and answer go, the oldest first."""
    tokenizer = BPETokenizer({bytes([b]): b for b in range(256)}, LLAMA3_SPECIAL_TOKENS)
    system, last = message("system", "Be brief."), message("user", "and now?")
    turns = [(message("user", f"q{i}"), message("assistant", f"a{i}")) for i in range(2)]
    expected = [system, *(m for turn in turns[2 - n_kept :] for m in turn), last]
    encode = partial(encode_dialog, tokenizer)
    room = len(encode(expected))
    talk = [system, *(m for turn in turns for m in turn), last]
    assert latest_that_fit(encode, talk, room) == expected
    if n_kept:
        assert len(latest_that_fit(encode, talk, room - 1)) == len(expected) - 2
    else:
        assert latest_that_fit(encode, talk, 1) == [system, last]


# --- a config that says it twice ---

LLAMA = {
    "hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 33,
    "vocab_size": 53, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
}  # fmt: skip
SCALED = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}  # fmt: skip


def test_both_rope_thetas():
    """The one in ``rope_parameters`` counts; without it the older key; without both 10,000."""
    theta = {"rope_theta": 5e5}
    newer = {"rope_parameters": {"rope_theta": 7e5, "rope_type": "default"}}
    assert config_from_hugging_face(LLAMA | theta | newer).rope_theta == 7e5
    silent = {"rope_parameters": {"rope_type": "default"}}
    assert config_from_hugging_face(LLAMA | theta | silent).rope_theta == 5e5
    assert config_from_hugging_face(LLAMA | silent).rope_theta == 10000.0


def test_both_spellings_of_rope_scaling():
    """As in transformers, the older one counts where a file has both."""
    older, newer = SCALED | {"factor": 32.0}, SCALED | {"rope_theta": 7e5}
    both = LLAMA | {"rope_theta": 5e5, "rope_scaling": older, "rope_parameters": newer}
    config = config_from_hugging_face(both)
    assert (config.rope_scaling.factor, config.rope_theta) == (32.0, 5e5)
    config = config_from_hugging_face(both | {"rope_scaling": None})
    assert (config.rope_scaling.factor, config.rope_theta) == (8.0, 7e5)


def test_a_head_width_beside_fewer_key_value_heads():
    config = config_from_hugging_face(LLAMA | {"head_dim": 10, "num_key_value_heads": 2})
    assert (config.head_dim, config.n_kv_heads, config.group) == (10, 2, 2)
    config = config_from_hugging_face(LLAMA | {"num_key_value_heads": 1})
    assert (config.head_dim, config.n_kv_heads) == (6, 1)
