"""Drills: random in content, and what is held out never comes in training."""

import re
from collections import Counter

import numpy as np
import pytest

from weights_tools.training.drills import (
    draw_drills,
    frequent_words,
    invent,
    is_held_out,
    new_name,
    odd_word,
    repeated_list,
)

WORDS = [f"w{i}" for i in range(200)]


def test_the_same_seed_gives_the_same_drills_and_another_others():
    one, again, other = (draw_drills(24, WORDS, seed) for seed in (0, 0, 1))
    assert one == again
    assert not set(one) & set(other)


def test_no_two_drills_are_alike():
    assert len(set(draw_drills(400, WORDS, 0))) == 400


def test_a_list_comes_two_to_four_times_and_twice_most_often():
    counts = Counter()
    for seed in range(600):
        words = re.split(r", | ", repeated_list(np.random.default_rng(seed), WORDS))
        counts[max(n for n in (2, 3, 4, 5) if words == words[: len(words) // n] * n)] += 1
    assert sorted(counts) == [2, 3, 4] and counts[2] > 1.4 * max(counts[3], counts[4])


def test_a_list_comes_at_least_twice_whole():
    for seed in range(40):
        words = re.split(r", | ", repeated_list(np.random.default_rng(seed), WORDS))
        for times in (2, 3, 4):
            n, rest = divmod(len(words), times)
            if rest == 0 and words == words[:n] * times:
                break
        else:
            pytest.fail(f"no repeated list: {words}")
        assert len(words) >= 6


def test_a_new_name_goes_through_the_sentences_of_its_drill():
    for seed in range(40):
        text = new_name(np.random.default_rng(seed))
        name = re.search(r"named (\w+)", text)[1]
        assert len(re.findall(rf"\b{name}\b", text)) >= 3, text


def test_an_odd_word_is_said_again():
    for seed in range(40):
        counts = Counter(odd_word(np.random.default_rng(seed)).lower().replace(",", "").split())
        assert max(counts.values()) >= 2


@pytest.mark.parametrize("held_out", [False, True])
def test_held_out_words_are_told_by_their_letters_alone(held_out):
    rng = np.random.default_rng(3)
    words = [invent(rng, held_out) for _ in range(200)]
    assert all(is_held_out(word) == is_held_out(word.capitalize()) == held_out for word in words)


def test_frequent_words_come_most_frequent_first_and_equals_by_alphabet():
    assert frequent_words(["go go to the the the at at"], n=3) == ["the", "at", "go"]


def test_without_words_lists_are_of_invented_ones():
    assert len(draw_drills(4, [], 0)) == 4
