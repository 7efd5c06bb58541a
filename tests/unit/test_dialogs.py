"""Stories on request, questions and answers, pairs: from text to what a step learns from."""

import json
from collections import Counter

import numpy as np
import pytest

from llama_np.tokenizer.chat import encode_dialog
from weights_tools import load_model
from weights_tools.commands.make_preferences import ends_well
from weights_tools.commands.make_stories import (
    keep_good,
    keeps_hero,
    repeats_itself,
    write_stories,
)
from weights_tools.training.corpus import STORIES, read_documents, read_facts
from weights_tools.training.dialogs import (
    PLAIN_REQUESTS,
    QUESTIONS,
    UNSEEN_QUESTIONS,
    Comparison,
    Dialog,
    declines,
    default_dialogs,
    encode,
    encode_all,
    fact_dialogs,
    read_lines,
    request,
    story_dialogs,
    write_lines,
)
from weights_tools.training.drills import is_held_out
from weights_tools.training.heroes import (
    ANIMAL_NAMES,
    KNOWN_NAMES,
    NAMES,
    Hero,
    draw_opening,
    find_hero,
    read_stories,
)

OPENING = "Once upon a time, there was a brave cat named Tom."


@pytest.fixture(scope="module")
def tokenizer():
    return load_model().tokenizer


# --- stories ---


def test_openings_say_who_it_is_about():
    rng = np.random.default_rng(0)
    openings = [draw_opening(rng) for _ in range(200)]
    heroes = {find_hero(opening) for opening in openings}
    assert None not in heroes and len({hero.kind for hero in heroes}) > 8
    assert find_hero("One day a cat named Tom sat.") is None


@pytest.mark.parametrize(
    "rest, keeps",
    [
        (" Tom sat. One day Tom ran.", True),
        (
            " He sat in the sun all day long and slept, and then it was dark.",
            False,
        ),  # not named in the second half
        (" Tommy sat. One day Tommy ran.", False),  # another name that begins alike
        (" Then Sam came. One day Sam ran, and Sam sat with Tom.", False),  # Sam is named more
    ],
)
def test_who_keeps_the_hero(rest, keeps):
    assert keeps_hero(OPENING + rest) == keeps


def test_who_repeats_a_sentence():
    assert repeats_itself("He ran to the tree. Then he sat. He ran to the tree!")
    assert not repeats_itself("He ran. He ran. He ran to the tree.")


def test_words_that_hardly_any_story_uses_count_as_invented():
    plain = f"{OPENING} Tom saw Tom run."
    odd = f"{OPENING} Tom saw a grommel with Tom."
    assert keep_good([plain, plain, plain, odd], often=3) == [plain] * 3


def test_ordinary_stories_are_about_heroes_with_known_names():
    stories, ordinary = read_documents(STORIES), read_stories()
    assert 0.5 < len(ordinary) / len(stories) < 0.9
    assert {find_hero(story).name for story in ordinary} <= KNOWN_NAMES
    assert all(find_hero(s).name not in KNOWN_NAMES for s in set(stories) - set(ordinary))


def test_a_hero_may_have_a_name_that_nobody_else_has():
    plain = f"{OPENING} Tom saw Tom run."
    new = plain.replace("Tom", "Vorlo").replace("Vorlo run", "Vorlo's run")
    assert keep_good([plain, plain, plain, new], often=3) == [plain, plain, plain, new]


def test_the_stories_that_ship_are_such(tmp_path):
    stories = read_documents(STORIES)
    assert len(stories) > 900 and all(keeps_hero(story) for story in stories)
    assert not any(repeats_itself(story) for story in stories)
    write_stories(tmp_path / "again.txt", stories)
    assert read_documents(tmp_path / "again.txt") == stories


# --- dialogs ---


def test_a_story_becomes_an_answer():
    (dialog,) = story_dialogs([f"{OPENING} He slept.", "No hero here."])
    assert dialog == Dialog("Write a story about a cat named Tom.", f"{OPENING} He slept.")
    assert len({request(Hero("cat", "Tom"), i) for i in range(8)}) == 4


def test_facts_that_are_questions():
    assert fact_dialogs(["just a line", "Why?\tBecause."]) == [Dialog("Why?", "Because.")]
    mixed = default_dialogs(facts_repeat=2)
    assert sum(d in fact_dialogs() for d in mixed) == 2 * len(fact_dialogs())


def test_whoever_asks_for_no_story_is_told_so_openly():
    declined = [d for d in default_dialogs(questions_repeat=2) if declines(d.answer)]
    questions = read_facts(QUESTIONS)
    assert Counter(d.question for d in declined) == dict.fromkeys(questions, 2)
    assert len({d.answer for d in declined if d.question == questions[7]}) == 2
    assert not any(declines(dialog.answer) for dialog in fact_dialogs())


def test_the_questions_to_measure_with_are_never_trained_on():
    unseen, facts = read_facts(UNSEEN_QUESTIONS), {dialog.question for dialog in fact_dialogs()}
    assert len(unseen) == len(set(unseen)) == 50
    assert not set(unseen) & (set(read_facts(QUESTIONS)) | facts)
    assert not set(read_facts(QUESTIONS)) & facts
    assert not any("story" in question for question in unseen)


def test_some_ask_for_a_story_and_no_more():
    stories = [f"{OPENING} He slept."] * 40
    asked = [dialog.question for dialog in story_dialogs(stories)]
    assert sum(question in PLAIN_REQUESTS for question in asked) == 5
    assert set(PLAIN_REQUESTS) <= set(asked)


@pytest.mark.parametrize("held_out", [False, True])
def test_some_heroes_have_a_name_that_nobody_has(held_out):
    rng = np.random.default_rng(1)
    heroes = [find_hero(draw_opening(rng, held_out)) for _ in range(400)]
    known = {name for names in NAMES.values() for name in names} | set(ANIMAL_NAMES)
    new = {hero.name for hero in heroes} - known
    assert 80 < len(new) < 160
    assert all(is_held_out(name) == held_out for name in new)


def test_all_before_the_answer_is_given(tokenizer):
    dialog = Dialog("Why?", "Because he ran.")
    alone = encode(tokenizer, dialog)
    asked = encode_dialog(tokenizer, [{"role": "user", "content": "Why?"}])
    assert alone.ids[: alone.given].tolist() == asked
    assert tokenizer.decode(alone.ids[alone.given :]) == "Because he ran.<|eot_id|>"
    after = encode(tokenizer, dialog, [Dialog("Who?", "Tom.")])
    assert tokenizer.decode(after.ids[after.given :]) == "Because he ran.<|eot_id|>"
    told = tokenizer.decode(after.ids[: after.given])
    assert told.index("Who?") < told.index("Tom.<|eot_id|>") < told.index("Why?")


def test_one_in_three_follows_another_where_both_fit(tokenizer):
    dialogs = [Dialog(f"Question {i}?", f"Answer {i}.") for i in range(6)]
    encoded = encode_all(tokenizer, dialogs, context=512)
    follows = ["Question 1?" in tokenizer.decode(answer.ids) for answer in encoded]
    assert follows == [False, True, True, False, False, False]
    longest = max(len(encode(tokenizer, dialog).ids) for dialog in dialogs)
    assert [len(a.ids) <= longest for a in encode_all(tokenizer, dialogs, longest)] == [True] * 6
    assert encode_all(tokenizer, dialogs, context=5) == []


# --- files ---


def test_lines_come_back(tmp_path):
    pairs = [Comparison("Why?", 'He said "so".', "Größe\nzwei"), Comparison("a", "b", "c")]
    write_lines(tmp_path / "pairs.jsonl", pairs)
    assert list(read_lines(tmp_path / "pairs.jsonl", Comparison)) == pairs


@pytest.mark.parametrize(
    "line",
    ["not json", "[1]", '"text"', '{"question": "Why?"}', '{"question": 1, "answer": "a"}',
     '{"question": "", "answer": "a"}', "[" * 100_000],
)  # fmt: skip
def test_other_lines_are_refused_by_number(tmp_path, line):
    path = tmp_path / "dialogs.jsonl"
    path.write_text(json.dumps({"question": "a", "answer": "b"}) + f"\n\n{line}\n")
    with pytest.raises(ValueError, match='dialogs.jsonl, line 3: expected {"question"'):
        list(read_lines(path, Dialog))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file: .*expected lines of JSON"):
        list(read_lines(tmp_path / "none", Dialog))


@pytest.mark.parametrize(
    "story, well",
    [
        ("He fell. Mom hugged him.", True),
        ('He fell. "I am so happy!" he said.', False),  # the last sentence is: he said
        ('He fell. He said, "I am so happy!"', True),
        ("He was happy. He fell.", False),
        ("He was unhappy.", False),
        ("", False),
    ],
)
def test_the_rule_for_a_good_end(story, well):
    assert ends_well(story) == well
