"""Several prompts at once, each continued as if it were alone."""

import numpy as np
import pytest

from llama_np.sampling import Sampling, generate, generate_batch
from tests.tiny import random_weights, tiny_config

CONFIG = tiny_config()
PROMPTS = [[5, 6, 7, 8], [9], [1, 2], [50, 3, 9, 9, 9, 2]]


@pytest.fixture(scope="module")
def weights():
    return random_weights(CONFIG)


def alone(weights, prompt, n, stop=()):
    return list(generate(weights, CONFIG, prompt, n, stop_tokens=stop))


def test_each_prompt_goes_on_as_if_it_were_alone(weights):
    together = generate_batch(weights, CONFIG, PROMPTS, 12)
    assert together == [alone(weights, prompt, 12) for prompt in PROMPTS]


def test_each_stops_for_itself(weights):
    free = [alone(weights, prompt, 12) for prompt in PROMPTS]
    stop = {free[0][4]}  # the first row meets it; others may go on
    together = generate_batch(weights, CONFIG, PROMPTS, 12, stop_tokens=stop)
    assert together == [alone(weights, prompt, 12, stop) for prompt in PROMPTS]
    assert len(together[0]) <= 4 and any(len(row) == 12 for row in together)


def test_the_longest_prompt_says_how_much_room_there_is(weights):
    config = tiny_config(context_length=10)
    rows = generate_batch(weights, config, PROMPTS)
    assert [len(row) for row in rows] == [4] * 4  # 10 minus 6
    assert generate_batch(weights, config, PROMPTS, 0) == [[]] * 4


def test_the_same_seed_gives_the_same_texts(weights):
    def draw(seed):
        rng = np.random.default_rng(seed)
        return generate_batch(weights, CONFIG, PROMPTS, 8, Sampling(1.0, top_p=0.9), rng=rng)

    assert draw(1) == draw(1) != draw(2)


def test_a_batch_of_one_draws_as_one_text_does(weights):
    how = Sampling(1.0, top_k=20, top_p=0.9)
    one = list(generate(weights, CONFIG, PROMPTS[0], 12, how, rng=np.random.default_rng(3)))
    assert generate_batch(weights, CONFIG, PROMPTS[:1], 12, how, rng=np.random.default_rng(3)) == [
        one
    ]


def test_damaged_weights_are_noticed_in_a_batch(weights):
    damaged = weights.map(np.copy)
    damaged.output[0, 0] = np.nan
    with pytest.raises(FloatingPointError, match="NaN or infinity; its weights are damaged"):
        generate_batch(damaged, CONFIG, PROMPTS, 3)


@pytest.mark.parametrize(
    "prompts, options, message",
    [
        ([[1], []], {}, "ids is empty"),
        ([[1], [99]], {}, "id 99 is outside the vocabulary"),
        ([[1] * 300], {}, "more than this model's context"),
        ([[1] * 256, [2]], {}, "a prompt of 256 tokens leaves no room in"),
        ([], {}, "expected at least one prompt"),
        ([[1]], {"max_new_tokens": -1}, "max_new_tokens must be 0 or more, got -1"),
    ],
)
def test_what_cannot_work(weights, prompts, options, message):
    with pytest.raises(ValueError, match=message):
        generate_batch(weights, CONFIG, prompts, **{"max_new_tokens": 3} | options)
