"""What the training commands measure, each beside its plain definition."""

import math

import numpy as np
import pytest

from llama_np.functional import log_softmax
from llama_np.model import forward
from llama_np.sampling import log_probabilities
from llama_np.tokenizer.bpe import LLAMA3_SPECIAL_TOKENS, BPETokenizer
from llama_np.training.lora import initialize_lora
from llama_np.training.loss import cross_entropy
from llama_np.training.optimizer import global_norm
from tests.checks import agree
from tests.tiny import random_ids, random_weights, tiny_config
from weights_tools.commands import make_stories
from weights_tools.commands.dpo import agreement, encode_pairs, log_probabilities_of, with_reference
from weights_tools.commands.finetune import nats_per_token
from weights_tools.commands.generate import main
from weights_tools.commands.make_stories import continuations, keep_good, repeats_itself
from weights_tools.load import DOLL_HOUSE, Model, load_model
from weights_tools.training.corpus import Stream
from weights_tools.training.dialogs import Comparison
from weights_tools.training.evaluate import bits_per_byte
from weights_tools.training.heroes import KNOWN_NAMES, find_hero
from weights_tools.training.run import first_words
from weights_tools.training.stages import Answer, Preference, Pretraining, Rows
from weights_tools.training.trainer import Hyperparameters, Training, name

BYTES = {bytes([b]): b for b in range(256)}
CONFIG = tiny_config(vocab_size=512, context_length=128, rope_scaling=None)


@pytest.fixture(scope="module")
def weights():
    return random_weights(CONFIG)


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer(BYTES, LLAMA3_SPECIAL_TOKENS)


def surprise(weights, answer):
    """Nats of each learned token of an answer, one after another."""
    rows = log_softmax(forward(weights, CONFIG, answer.ids[:-1]))
    return [-rows[t - 1, answer.ids[t]] for t in range(answer.given, len(answer.ids))]


ANSWERS = [Answer(random_ids(CONFIG, n, seed=n), given) for n, given in ((9, 4), (5, 1), (12, 11))]


def test_nats_per_token_is_a_mean_over_tokens_not_over_answers(weights):
    every = [nats for answer in ANSWERS for nats in surprise(weights, answer)]
    assert len(every) == 5 + 4 + 1
    assert nats_per_token(weights, CONFIG, ANSWERS) == pytest.approx(np.mean(every))


def test_the_log_probability_of_answers_as_a_whole(weights):
    found = log_probabilities_of(weights, CONFIG, ANSWERS)
    agree(found, np.array([-sum(surprise(weights, answer)) for answer in ANSWERS]), 1e-9)
    (pair,) = with_reference(weights, CONFIG, [(ANSWERS[1], ANSWERS[0])])
    assert pair.preferred is ANSWERS[1] and pair.other is ANSWERS[0]
    assert pair.reference == pytest.approx((found[1], found[0]))


def test_agreement_counts_pairs_that_moved_towards_the_preferred(weights):
    one, other, _ = log_probabilities_of(weights, CONFIG, ANSWERS)
    moves = [(-1.0, 0.0), (0.0, -1.0), (-2.0, -1.0), (0.0, 0.0)]  # up, down, up, not at all
    pairs = [Preference(ANSWERS[0], ANSWERS[1], (one + a, other + b)) for a, b in moves]
    assert agreement(weights, CONFIG, pairs[:3]) == pytest.approx(2 / 3)
    assert agreement(weights, CONFIG, [pairs[1], pairs[2]]) == 0.5


def test_pairs_that_fit_exactly(tokenizer):
    pair = Comparison("Why?", "So.", "Just because it is so.")
    (encoded,) = encode_pairs(tokenizer, [pair], CONFIG)
    n = max(len(answer.ids) for answer in encoded)
    told = [tokenizer.decode(answer.ids[answer.given :]) for answer in encoded]
    assert told == ["So.<|eot_id|>", "Just because it is so.<|eot_id|>"]
    fits, too_short = (tiny_config(vocab_size=512, context_length=n - i) for i in (1, 2))
    assert len(encode_pairs(tokenizer, [pair], fits)) == 1
    assert encode_pairs(tokenizer, [pair], too_short) == []


def test_bits_per_byte_count_bytes_and_the_end(weights, tokenizer):
    """A document's bits: of all its tokens and of its end; its bytes: of the text alone."""
    texts, done = ["abc", "é!"], []
    nats = 0.0
    for text in texts:
        ids = tokenizer.encode(text, bos=True, eos=True)
        nats -= log_probabilities(weights, CONFIG, ids).sum()
    found = bits_per_byte(weights, CONFIG, tokenizer, texts, lambda: done.append(1))
    assert found == pytest.approx(nats / math.log(2) / 6) and len(done) == 2


# --- writing ---


def test_logprobs_are_the_models_own_before_temperature(capsys):
    options = ["Once upon", "--logprobs", "--max-new-tokens", "3", "--temperature", "2"]
    assert main([*options, "--seed", "3", "--top-k", "4"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    model, ids = load_model(DOLL_HOUSE), [int(line[0]) for line in lines]
    told = [float(line[1]) for line in lines[1:]]
    expected = log_probabilities(model.weights, model.config, ids)
    np.testing.assert_allclose(told, expected, atol=2e-4)
    assert [line[-1] for line in lines] == [model.tokenizer.token(i) for i in ids]


def test_first_words_are_greedy_and_of_one_line(weights, tokenizer, monkeypatch):
    said = iter([*b"one\ntwo", 258])
    seen = {}

    def generate(*arguments, **options):
        seen["arguments"], seen["options"] = arguments, options
        return said

    monkeypatch.setattr("weights_tools.training.run.generate", generate)
    assert first_words(weights, CONFIG, tokenizer, [1, 2], n=9).startswith("one two")
    assert seen["arguments"] == (weights, CONFIG, [1, 2], 9)
    assert seen["options"] == {
        "stop_tokens": tokenizer.stop_ids,
        "vocab_size": tokenizer.vocab_size,
    }


def test_a_story_that_does_not_end_in_time_is_none(weights, tokenizer, monkeypatch):
    rows = [[*b"abc"], [*b"abcde"], []]
    calls = []

    def generate_batch(*arguments, **options):
        calls.append((arguments, options))
        return rows

    monkeypatch.setattr(make_stories, "generate_batch", generate_batch)
    model = Model(CONFIG, weights, tokenizer, DOLL_HOUSE, "float32")
    prompts = [[1] * (CONFIG.context_length - 5), [2], [3]]
    told = continuations(model, prompts, np.random.default_rng(0), temperature=0.7)
    assert told == ["abc", None, ""]
    ((_, _, _, room, sampling), options) = calls[0]
    assert (room, sampling.temperature, sampling.top_p) == (5, 0.7, 0.95)
    assert options["stop_tokens"] == tokenizer.stop_ids
    continuations(model, [[1]], np.random.default_rng(0), 0.7)
    assert calls[1][0][3] == CONFIG.context_length - 1


def test_every_other_hero_has_an_invented_name(weights, tokenizer, monkeypatch):
    monkeypatch.setattr(
        make_stories, "continuations", lambda _, prompts, *given, **how: ["  "] * len(prompts)
    )
    model = Model(CONFIG, weights, tokenizer, DOLL_HOUSE, "float32")
    batches = [*make_stories.tell(model, 200, seed=0)]
    assert [*map(len, batches)] == [64, 64, 64, 8]
    names = [find_hero(story).name for batch in batches for story in batch]
    assert 0.4 < np.mean([name not in KNOWN_NAMES for name in names]) < 0.6


def test_three_words_may_come_twice_and_four_not():
    assert not repeats_itself("He ran away. She sat. He ran away!")
    assert repeats_itself("He ran far away. She sat. He RAN far away!")
    assert not repeats_itself("He ran far away. He ran far too.")


def test_a_word_must_be_used_as_often_as_asked():
    stories = [
        f"Once upon a time, there was a big cat named Tom. One day Tom sat on a {thing}."
        for thing in ("mat", "mat", "zorp")
    ]
    assert keep_good(stories, often=2) == stories[:2]
    assert keep_good(stories, often=1) == stories and keep_good(stories, often=3) == []


# --- a step of training ---


def start(weights, lora=None, **changes):
    options = {"steps": 9, "peak_rate": 0.01, "warm_up": 0, "weight_decay": 0.0, "seed": 1}
    recipe = Hyperparameters(**options | changes)
    stream = Stream([random_ids(CONFIG, 40, seed=i) for i in range(3)], 0)
    stage = Pretraining(stream, Rows(tokens_per_step=16, row=8, final_row=8), 9, 512)
    return Training(CONFIG, recipe, stage, weights, lora)


@pytest.mark.parametrize("part_tokens", [8, 16, 24, 1000])
def test_parts_of_running_text_make_the_whole_batch(monkeypatch, part_tokens):
    monkeypatch.setattr("weights_tools.training.stages.PART_TOKENS", part_tokens)
    stream = Stream([random_ids(CONFIG, 90, seed=0)], 0)
    stage = Pretraining(stream, Rows(tokens_per_step=40, row=8, final_row=8), 9, 512)
    parts, (ids, targets) = stage.parts(1), stream.batch(1, 40, 8)
    logits = np.random.default_rng(0).standard_normal((*ids.shape, 512))
    rows = [slice(part.first_row, part.first_row + len(part.ids)) for part in parts]
    assert np.array_equal(np.concatenate([part.ids for part in parts]), ids)
    assert [part.share for part in parts] == [len(part.ids) / 5 for part in parts]
    losses = [
        part.share * part.loss_of(logits[of])[0] for part, of in zip(parts, rows, strict=True)
    ]
    assert sum(losses) == pytest.approx(cross_entropy(logits, targets))


def test_the_average_follows_the_weights(weights):
    """A mean over the last steps at first, then the share that was asked for."""
    training = start(weights, ema_decay=0.15)
    expected = [array.copy() for _, array in training.learned.named()]
    for keep in (1 / 11, 0.15, 0.15):  # 1/11 < 0.15 < 2/12
        training.take_step()
        now = [array for _, array in training.learned.named()]
        expected = [keep * a + (1 - keep) * b for a, b in zip(expected, now, strict=True)]
        for (name_, array), b in zip(training.average.named(), expected, strict=True):
            agree(array, b, 1e-9, name_)


def test_the_loss_that_is_told_is_smoothed(weights):
    training = start(weights)
    losses = [training.take_step() for _ in range(3)]
    expected = losses[0]
    for loss in losses[1:]:
        expected = 0.98 * expected + 0.02 * loss
    assert training.loss == pytest.approx(expected)


def test_clipping_and_decay_are_those_of_the_recipe(weights):
    """Where the gradient is cut to almost nothing, only decay moves the matrices."""
    training = start(weights, weight_decay=0.5, clip=1e-300)
    before = {name_: array.copy() for name_, array in training.learned.named()}
    training.take_step()
    for name_, array in training.learned.named():
        agree(array, before[name_] * (1 - 0.01 * 0.5 if array.ndim > 1 else 1), 1e-9, name_)
    assert global_norm(training.optimizer.mean.values()) < 1e-290


def test_what_was_given_to_start_from_stays(weights):
    before = {name_: array.copy() for name_, array in weights.named()}
    lora = initialize_lora(CONFIG, 2, np.random.default_rng(0))
    a = lora.pairs["layers.0.wq"].a.copy()
    for training in (start(weights), start(weights, lora)):
        training.take_step()
        assert all(np.array_equal(array, before[name_]) for name_, array in weights.named())
    assert np.array_equal(lora.pairs["layers.0.wq"].a, a)
    assert not np.array_equal(training.learned.pairs["layers.0.wq"].b, np.zeros((2, 60)))


def test_eight_digits_name_weights(weights):
    assert name(weights) == name(weights.map(np.copy)) and len(name(weights)) == 8
    other = weights.map(np.copy)
    other.layers[1].w_down[-1, -1] += 1e-9
    assert name(other) != name(weights)
