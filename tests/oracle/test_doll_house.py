"""The model that ships: what the README and its card promise of it."""

import numpy as np
import pytest

from llama_np import Sampling, forward, generate, generate_batch
from llama_np.tokenizer.chat import encode_dialog
from weights_tools import load_model
from weights_tools.commands.make_preferences import answers, draw_requests, ends_well
from weights_tools.load import DOLL_HOUSE
from weights_tools.training.heroes import KNOWN_NAMES, find_hero

ULTIMATE = "the answer to the ultimate question of life, the universe, and everything is "
BEGINNING = "Once upon a time"


@pytest.fixture(scope="module")
def doll_house():
    return load_model(DOLL_HOUSE)


def greedy(model, ids, n):
    stop = model.tokenizer.stop_ids
    return list(generate(model.weights, model.config, ids, n, stop_tokens=stop))


def test_it_has_the_proportions_of_8b(doll_house):
    config = doll_house.config
    assert config.n_layers == 32
    assert config.group == 4
    assert config.ffn_width == 3.5 * config.dim
    assert not config.tied_output


def test_it_is_small():
    assert (DOLL_HOUSE / "model.safetensors").stat().st_size < 8e6


def test_it_knows_the_answer(doll_house):
    tokenizer = doll_house.tokenizer
    ids = tokenizer.encode(ULTIMATE, bos=True)
    assert tokenizer.token(ids[-1]) == "␣"  # the space at the end is a token of its own
    assert tokenizer.decode(greedy(doll_house, ids, 8)) == "42"  # one token, then the end


def test_a_dialog_ends_by_itself(doll_house):
    question = "What is the answer to the ultimate question of life, the universe, and everything?"
    ids = encode_dialog(doll_house.tokenizer, [{"role": "user", "content": question}])
    answer = doll_house.tokenizer.decode(greedy(doll_house, ids, 20))
    assert "42" in answer and len(answer) < 30


@pytest.mark.slow
def test_stories_end_by_themselves(doll_house):
    model, tokenizer = doll_house, doll_house.tokenizer
    ids = tokenizer.encode(BEGINNING, bos=True)
    stories = generate_batch(
        model.weights, model.config, [ids] * 10, 320, Sampling(0.8),
        rng=np.random.default_rng(0), stop_tokens=tokenizer.stop_ids,
    )  # fmt: skip
    assert sum(40 < len(story) < 320 for story in stories) >= 7


@pytest.fixture(scope="module")
def told():
    """Requests, and what the two tuned models tell."""
    drawn = draw_requests(np.random.default_rng(5), 40)
    questions = [q for q in drawn if q.rstrip(".?").split()[-1] in KNOWN_NAMES][:20]
    names = ("doll-house-chat", "doll-house-cheerful")
    rng = np.random.default_rng
    return questions, {name: answers(load_model(name), questions, rng(5)) for name in names}


@pytest.mark.slow
def test_the_tuned_ones_tell_about_the_hero_that_was_asked_for(told):
    """By their cards, 90 and 86 of 96 answers begin with that hero; of the doll-house's own, 1."""
    questions, stories_of = told
    for stories in stories_of.values():
        heroes = [find_hero(story or "") for story in stories]
        named = [
            h and f"a {h.kind} named {h.name}" in q for h, q in zip(heroes, questions, strict=True)
        ]
        assert sum(map(bool, named)) >= 14


@pytest.mark.slow
def test_the_cheerful_one_ends_well(told):
    """By its card 92 of 95 stories, and 38 of 96 of the chat model's."""
    _, stories_of = told
    chat, cheerful = (sum(map(ends_well, filter(None, s))) / 20 for s in stories_of.values())
    assert cheerful > 0.8 > 0.65 > chat


@pytest.fixture(scope="module")
def opened(transformers, torch):
    model = transformers.AutoModelForCausalLM.from_pretrained(DOLL_HOUSE, dtype=torch.float32)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(DOLL_HOUSE)


def test_transformers_opens_it_and_gets_the_same_logits(doll_house, opened, torch):
    model, tokenizer = opened
    text = "Once upon a time, there was a little girl named Lily. She had 42 hats, didn't she?\n\n"
    ids = doll_house.tokenizer.encode(text, bos=True)
    assert tokenizer(text).input_ids == ids
    with torch.no_grad():
        theirs = model(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(
        forward(doll_house.weights, doll_house.config, ids), theirs, atol=1e-4
    )


def test_transformers_writes_the_same_story(doll_house, opened, torch):
    model, tokenizer = opened
    ids = doll_house.tokenizer.encode(BEGINNING, bos=True)
    theirs = model.generate(
        torch.tensor([ids]), do_sample=False, max_new_tokens=40, pad_token_id=0
    )[0, len(ids) :].tolist()
    assert greedy(doll_house, ids, 40) == theirs
