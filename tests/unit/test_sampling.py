"""Choosing and writing, beside transformers."""

import itertools

import numpy as np
import pytest

from llama_np import sampling
from llama_np.functional import log_softmax
from llama_np.model import forward
from llama_np.sampling import (
    Sampling,
    apply_temperature,
    generate,
    generate_batch,
    generation_steps,
    greedy,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    log_probabilities,
    pad_left,
    padded_view,
    penalize_repetition,
    probabilities_of,
    sample,
    tokens_seen,
)
from tests.checks import agree, check_top_p
from tests.tiny import random_ids, random_weights, tiny_config

EXAMPLE = np.array([0.5, 0.3, 0.15, 0.05])


@pytest.fixture
def llama(house):
    config, weights = house
    return weights, config, random_ids(config, 5).tolist()


# --- cutting and choosing ---


@pytest.mark.parametrize("k", [1, 3, 10, 50, 1000])
def test_top_k(transformers, torch, normal, k):
    logits = normal(4, 50)
    theirs = transformers.TopKLogitsWarper(k)(None, torch.tensor(logits)).softmax(-1)
    agree(keep_top_k(sampling.softmax(logits), k), theirs)


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.9, 0.999, 1.0])
def test_top_p(transformers, torch, normal, p):
    logits = 3 * normal(4, 50)
    theirs = torch.tensor(logits)
    if p < 1:
        theirs = transformers.TopPLogitsWarper(p)(None, theirs)
    agree(keep_top_p(sampling.softmax(logits), p), theirs.softmax(-1))


@pytest.mark.parametrize("p", [0.0, 0.05, 0.5, 1.0])
def test_min_p(transformers, torch, normal, p):
    logits = 3 * normal(4, 50)
    theirs = transformers.MinPLogitsWarper(p)(None, torch.tensor(logits)).softmax(-1)
    agree(keep_min_p(sampling.softmax(logits), p), theirs)


@pytest.mark.parametrize("penalty", [0.5, 1.0, 1.3])
def test_the_penalty_for_repetition(transformers, torch, normal, penalty):
    logits = normal(4, 50)
    ids = np.random.default_rng(0).integers(0, 50, (4, 9))
    processor = transformers.RepetitionPenaltyLogitsProcessor(penalty)
    theirs = processor(torch.tensor(ids), torch.tensor(logits))
    agree(penalize_repetition(logits, tokens_seen(ids, 50), penalty), theirs)


def test_the_cuts_come_one_after_another(transformers, torch, normal):
    """In the order of ``_get_logits_processor``: each cut counts what the one before it left."""
    logits = 2 * normal(40, 50)
    theirs = torch.tensor(logits)
    for warper in (
        transformers.TemperatureLogitsWarper(1.5), transformers.TopKLogitsWarper(12),
        transformers.TopPLogitsWarper(0.8), transformers.MinPLogitsWarper(0.3),
    ):  # fmt: skip
        theirs = warper(None, theirs)
    ours = probabilities_of(logits, Sampling(1.5, top_k=12, top_p=0.8, min_p=0.3))
    agree(ours, theirs.softmax(-1))


@pytest.mark.parametrize("temperature", [0.1, 1.0, 2.5])
def test_temperature(transformers, torch, normal, temperature):
    logits = normal(4, 50)
    theirs = transformers.TemperatureLogitsWarper(temperature)(None, torch.tensor(logits))
    agree(apply_temperature(logits, temperature), theirs)


def test_the_examples():
    check_top_p()
    agree(keep_top_k(EXAMPLE, 2), np.array([0.625, 0.375, 0, 0]))


def test_of_equals_the_first_is_taken(torch):
    logits = np.array([1.0, 3.0, 3.0, 2.0])
    assert greedy(logits) == torch.argmax(torch.tensor(logits)) == 1
    assert keep_top_k(np.full(4, 0.25), 2).tolist() == [0.5, 0.5, 0, 0]


def test_draws_are_as_frequent_as_they_are_likely():
    rng, logits = np.random.default_rng(0), np.log(EXAMPLE)
    drawn = sample(np.tile(logits, (1000, 1)), Sampling(0.5, top_k=3, top_p=0.9), rng)
    expected = EXAMPLE**2 / (EXAMPLE**2).sum()  # halving the temperature squares
    expected = keep_top_p(keep_top_k(expected, 3), 0.9)
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 1000, expected, atol=0.05)


def test_temperature_0_is_greedy(normal):
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    logits = normal(50)
    assert sample(logits, Sampling(0), rng) == greedy(logits)
    assert rng.bit_generator.state == before


# --- writing ---


def test_greedy_writing_is_that_of_transformers(twin, torch, config, weights):
    single = weights.map(np.float32)
    prompt = random_ids(config, 5)
    theirs = twin.hugging_face_twin(config, single).generate(
        torch.tensor(prompt)[None], max_new_tokens=12, do_sample=False, eos_token_id=None,
        pad_token_id=0,
    )  # fmt: skip
    ours = list(generate(single, config, prompt, 12))
    assert ours == theirs[0, 5:].tolist()


@pytest.mark.parametrize("penalty", [1.2, 3.0])
def test_greedy_writing_with_a_penalty_is_that_of_transformers(
    twin, torch, config, weights, penalty
):
    single = weights.map(np.float32)
    prompt, how = random_ids(config, 5), Sampling(repetition_penalty=penalty)
    theirs = twin.hugging_face_twin(config, single).generate(
        torch.tensor(prompt)[None], max_new_tokens=20, do_sample=False, eos_token_id=None,
        pad_token_id=0, repetition_penalty=penalty,
    )[0, 5:].tolist()  # fmt: skip
    assert list(generate(single, config, prompt, 20, how)) == theirs
    assert list(generate(single, config, prompt, 20)) != theirs


def test_a_batch_is_penalised_as_its_texts_are_alone(llama):
    """Padding is no token that was seen."""
    weights, config, ids = llama
    how, prompts = Sampling(repetition_penalty=2.0), [ids, ids[:2], [0]]
    alone = [list(generate(weights, config, prompt, 15, how)) for prompt in prompts]
    assert generate_batch(weights, config, prompts, 15, how) == alone
    assert alone != generate_batch(weights, config, prompts, 15)
    seen = tokens_seen(np.array([[0, 0, 4], [2, 2, 3]]), 5, np.array([2, 0]))
    assert seen.astype(int).tolist() == [[0, 0, 0, 0, 1], [0, 0, 1, 1, 0]]


def test_writing_is_choosing_again_and_again(llama):
    weights, config, ids = llama
    text = list(ids)
    for _ in range(8):
        text.append(greedy(forward(weights, config, np.array(text))[-1]))
    assert list(generate(*llama, 8)) == text[5:]


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_the_prompt_may_come_in_chunks(llama, monkeypatch, chunk):
    expected = list(generate(*llama, 8))
    monkeypatch.setattr(sampling, "PREFILL_CHUNK", chunk)
    assert list(generate(*llama, 8)) == expected


def test_a_seed_gives_the_same_text(llama):
    def write(seed):
        rng = np.random.default_rng(seed)
        return list(generate(*llama, 12, Sampling(1.0, top_k=20, top_p=0.9), rng=rng))

    assert write(1) == write(1)
    assert write(1) != write(2)


def test_a_very_small_cut_is_greedy(llama):
    expected = list(generate(*llama, 8))
    rng = np.random.default_rng(0)
    assert list(generate(*llama, 8, Sampling(1.0, top_k=1), rng=rng)) == expected
    assert list(generate(*llama, 8, Sampling(1.0, top_p=1e-9), rng=rng)) == expected


def test_a_stop_token_ends_the_text_and_is_not_part_of_it(llama):
    text = list(generate(*llama, 12))
    stop = text[6]
    assert list(generate(*llama, 12, stop_tokens={stop})) == text[: text.index(stop)]


def test_the_text_ends_where_the_context_does(house):
    _, weights = house
    config = tiny_config(context_length=9)
    assert len(list(generate(weights, config, [1, 2, 3]))) == 6
    assert len(list(generate(weights, config, [1, 2, 3], 100))) == 6
    assert list(generate(weights, config, [1, 2, 3], 0)) == []


def test_tokens_come_one_by_one(llama):
    first = next(generate(*llama))
    assert first == list(generate(*llama, 1))[0]


# --- log-probabilities ---


def test_log_probabilities(twin, torch, llama):
    weights, config, ids = llama
    logits = twin.forward(twin.tensors(weights), config, ids)["logits"]
    theirs = torch.log_softmax(logits, -1)[:-1].gather(1, torch.tensor(ids)[1:, None])[:, 0]
    agree(log_probabilities(weights, config, np.array(ids)), theirs)


def test_what_is_written_tells_its_log_probability(llama):
    weights, config, ids = llama
    rng = np.random.default_rng(0)
    steps = list(generation_steps(*llama, 6, Sampling(2.0, top_k=5), rng=rng))
    text = np.array([*ids, *(token for token, _ in steps)])
    told = np.array([log_softmax(logits)[token] for token, logits in steps])
    agree(told, log_probabilities(weights, config, text)[4:])


def test_one_token_has_nothing_before_it(llama):
    weights, config, ids = llama
    assert log_probabilities(weights, config, np.array(ids[:1])).shape == (0,)


# --- a batch ---


def test_padding_on_the_left():
    ids, padding = pad_left([[5, 6, 7], [8], [9, 1]], padding_id=4)
    assert ids.tolist() == [[5, 6, 7], [4, 4, 8], [4, 9, 1]]
    assert padding.tolist() == [0, 2, 1]


def test_a_padded_view():
    view = padded_view(np.array([0, 2]), past=2, n_new=2)
    assert view["positions"].tolist() == [[2, 3], [0, 1]]
    assert view["mask"].astype(int).tolist() == [
        [[1, 1, 1, 0], [1, 1, 1, 1]],
        [[0, 0, 1, 0], [0, 0, 1, 1]],
    ]


# --- the gate: errors come at the call, not at the first token ---


@pytest.mark.parametrize(
    "options, message",
    [
        ({"temperature": -0.1}, "temperature must be 0 .* or more, got -0.1"),
        ({"temperature": float("nan")}, "temperature must be .* got nan"),
        ({"temperature": float("inf")}, "temperature must be .* got inf"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_k": -3}, "top_k must be at least 1, got -3"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.1}, "top_p must be above 0 and at most 1, got 1.1"),
        ({"top_p": float("nan")}, "top_p must be above 0 and at most 1, got nan"),
        ({"min_p": -0.1}, "min_p must be between 0 and 1, got -0.1"),
        ({"min_p": 1.1}, "min_p must be between 0 and 1, got 1.1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be above 0, got 0.0; 1 is none"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty must be above 0, got nan"),
    ],
)
def test_settings_without_meaning_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**options)


def test_a_negative_number_of_tokens_is_refused(llama):
    with pytest.raises(ValueError, match="max_new_tokens must be 0 or more, got -1"):
        generate(*llama, -1)


@pytest.mark.parametrize("tiny", [5e-324, 1e-310, 1e-9])
def test_a_tiny_temperature_is_greedy(normal, tiny):
    logits = normal(6, 50).astype(np.float32)
    drawn = sample(logits, Sampling(tiny), np.random.default_rng(0))
    assert (drawn == greedy(logits)).all()


def test_top_k_cuts_before_top_p(normal):
    """Of four tokens, top-k leaves the first two, and these alone are what top-p counts."""
    drawn = sample(
        np.tile(np.log(EXAMPLE), (4000, 1)), Sampling(1.0, 2, 0.6), np.random.default_rng(0)
    )
    assert set(drawn) == {0}  # 0.5 / 0.8 passes 0.6; of all four, 0.5 would not


@pytest.mark.parametrize("length", [9, 10, 20])
def test_a_prompt_without_room_to_write_is_refused(house, length):
    _, weights = house
    with pytest.raises(ValueError, match=f"a prompt of {length} tokens .* context of 9"):
        generate(weights, tiny_config(context_length=9), [0] * length)


@pytest.mark.parametrize(
    "ids, message",
    [
        ([], "ids is empty .* give at least one token"),
        ([0, -1], "id -1 is outside the vocabulary of 53"),
        ([53], "id 53 is outside the vocabulary of 53"),
        ([0.5], "ids must be integers, got float64"),
    ],
)
def test_prompts_that_no_model_takes_are_refused(house, ids, message):
    config, weights = house
    with pytest.raises(ValueError, match=message):
        generate(weights, config, ids)


@pytest.mark.parametrize("how", [Sampling(), Sampling(1.0), Sampling(1e-310, top_k=3, top_p=0.9)])
@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_logits_from_which_nothing_can_be_drawn(shape, damage, how):
    """One row of a batch is enough."""
    logits = np.zeros(shape, np.float32)
    row = logits if logits.ndim == 1 else logits[-1]
    row[-1 if damage != -np.inf else slice(None)] = damage
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="no token can be drawn"):
        sample(logits, how, np.random.default_rng(0))


def test_a_logit_of_minus_infinity_is_never_drawn():
    logits = np.array([-np.inf, 0.0, -np.inf, 1.0])
    for how in (Sampling(100.0), Sampling(1e-310), Sampling(5.0, top_k=4), Sampling(5.0, top_p=1)):
        assert set(sample(np.tile(logits, (200, 1)), how, np.random.default_rng(0))) <= {1, 3}


@pytest.mark.parametrize("how", [Sampling(), Sampling(50.0)])
def test_ids_that_no_tokenizer_knows_are_never_chosen(how):
    """They are the likeliest, and at this temperature all are as likely."""
    config = tiny_config(vocab_size=53)
    weights = random_weights(config)
    weights.output[...] *= np.where(np.arange(53) < 30, 1e-3, 1)
    prompts = [[1, 2, 3], [4]]
    for prompt in prompts:
        rng = np.random.default_rng(0)
        free = list(generate(weights, config, prompt, 60, how, rng=rng))
        known = list(generate(weights, config, prompt, 60, how, rng=rng, vocab_size=30))
        assert max(free) >= 30 > max(known) and len(known) == 60
    rng = np.random.default_rng(0)
    rows = generate_batch(weights, config, prompts, 60, how, rng=rng, vocab_size=30)
    assert [len(row) for row in rows] == [60, 60] and max(map(max, rows)) < 30


@pytest.mark.parametrize("damage", [np.nan, np.inf])
def test_damaged_weights_are_noticed(damage):
    config = tiny_config()
    weights = random_weights(config)
    weights.output[0, 0] = damage
    with pytest.raises(FloatingPointError, match="NaN or infinity; its weights are damaged"):
        list(generate(weights, config, [1, 2]))


def test_log_probabilities_of_nothing_are_refused(house):
    config, weights = house
    with pytest.raises(ValueError, match="ids is empty"):
        log_probabilities(weights, config, np.array([], int))


def test_a_generator_can_be_left_early(llama):
    assert len(list(itertools.islice(generate(*llama), 3))) == 3
