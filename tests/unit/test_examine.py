"""What heads do: the places are right, the weights are the pattern's, silence is silence."""

import re

import numpy as np
import pytest

from llama_np import forward, log_softmax, record
from llama_np.tokenizer import BPETokenizer
from tests.checks import agree
from tests.folders import command, refusal, write_folder
from tests.tiny import random_weights, tiny_config
from weights_tools import Model, examine
from weights_tools.commands.examine import chat_figures, figures
from weights_tools.save import save_model
from weights_tools.training.drills import is_held_out
from weights_tools.training.heroes import draw_opening, find_hero

TOKENIZER = BPETokenizer(
    {bytes([b]): b for b in range(256)}, ["<|begin_of_text|>", "<|end_of_text|>"]
)
CONFIG = tiny_config(vocab_size=TOKENIZER.vocab_size, context_length=300)


@pytest.fixture(scope="module")
def weights():
    return random_weights(CONFIG)


@pytest.fixture(scope="module")
def prompts():
    return examine.all_prompts(TOKENIZER)


def test_the_second_copy_repeats_the_first(prompts):
    copies = prompts["copies"]
    for ids, scored in zip(copies.ids, copies.scored, strict=True):
        assert ids[0] == TOKENIZER.bos_id and len(ids) == 1 + 2 * examine.COPIED
        assert (ids[scored] == ids[scored - examine.COPIED]).all()
        assert len(set(ids[scored])) == examine.COPIED
    assert (copies.ids[0] != copies.ids[1]).any()


def test_ordinary_tokens_can_be_seen():
    ids = examine.ordinary_tokens(TOKENIZER)
    assert [TOKENIZER.decode([i]) for i in ids] == [chr(i) for i in range(ord("!"), 127)]
    words = [f" {a}{b}".encode() for a in "abcdefghijklmnop" for b in "abcdefghijklmnop"]
    ranks = TOKENIZER.ranks | {word: 256 + i for i, word in enumerate([b"  ", b"ab", *words])}
    with_words = BPETokenizer(ranks, ["<|begin_of_text|>", " special"])
    assert [with_words.decode([i]).encode() for i in examine.ordinary_tokens(with_words)] == words


def test_each_job_of_the_copies_reads_where_its_name_says(prompts):
    places, ids = prompts["copies"].places, prompts["copies"].ids[0]
    assert places["previous token"][0].tolist() == [[t, t - 1] for t in range(1, len(ids))]
    for reads, read in places["same token"][0]:
        assert ids[read] == ids[reads] and read < reads
    for reads, read in places["induction"][0]:
        assert ids[read - 1] == ids[reads] and ids[read] == ids[reads + 1] and read < reads


def test_a_name_is_new_is_said_twice_and_must_come_a_third_time(prompts):
    names = prompts["names"]
    assert len(names.ids) == examine.NAMES
    for ids, scored, places in zip(
        names.ids, names.scored, names.places["hero's name"], strict=True
    ):
        name = TOKENIZER.decode(ids[scored]).strip()
        text = TOKENIZER.decode(ids[1:])
        assert is_held_out(name) and text.count(name) == 3 and text.endswith(f" {name}")
        assert len(places) == 2 and set(places[:, 0]) == {scored[0] - 1}
        for _, read in places:
            assert (ids[read : read + len(scored)] == ids[scored]).all()


def test_a_sentence_starts_behind_a_full_stop(prompts):
    texts = prompts["texts"]
    for ids, places in zip(texts.ids, texts.places["start of sentence"], strict=True):
        for reads, read in places:
            between = [TOKENIZER.decode([i]).strip() for i in ids[read : reads - 1]]
            assert not any(token.endswith((".", "!", "?")) for token in between)
            assert read == 1 or TOKENIZER.decode([ids[read - 1]]).strip().endswith((".", "!", "?"))
    for ids, places in zip(texts.ids, texts.places["begin of text"], strict=True):
        assert (places[:, 1] == 0).all() and len(places) == len(ids) - 1


def test_a_weight_is_the_mean_of_the_pattern_where_the_job_reads(weights, prompts):
    copies = prompts["copies"]._replace(**{k: v[:1] for k, v in {
        "ids": prompts["copies"].ids, "scored": prompts["copies"].scored}.items()})  # fmt: skip
    copies = copies._replace(places={job: rows[:1] for job, rows in copies.places.items()})
    trace = {}
    forward(weights, CONFIG, copies.ids[0], tap=record(trace))
    found = examine.job_weights(weights, CONFIG, copies)
    for job, (places,) in copies.places.items():
        expected = np.mean([trace["blocks.1.pattern"][2, t, s] for t, s in places])
        assert found[job].shape == (CONFIG.n_layers, CONFIG.n_heads)
        agree(found[job][1, 2], expected)


def test_a_silenced_head_writes_nothing_and_the_others_what_they_wrote(weights):
    ids, before, after = np.arange(6), {}, {}
    forward(weights, CONFIG, ids, tap=record(before))
    forward(weights, CONFIG, ids, tap=record(after, tap=examine.silence(0, 1)))
    mix = before["blocks.0.mix"].copy()
    assert mix[1].any()
    mix[1] = 0
    agree(after["blocks.0.mix"], mix)


def test_what_a_silenced_head_wrote_is_kept():
    mix = np.ones((2, 3, 4))
    assert not examine.without_head(mix, 1)[1].any() and mix.all()


@pytest.mark.parametrize("begins", [True, False])
def test_the_first_copy_is_random_and_the_second_can_be_copied(weights, begins):
    """Loss by loss, in a plain loop; where nothing stands before it, the first token has none."""
    names = ["<|begin_of_text|>", "<|end_of_text|>"]
    tokenizer = TOKENIZER if begins else BPETokenizer(TOKENIZER.ranks, names, bos=None, eos=None)
    losses = {"first": [], "second": []}
    for ids in examine.all_prompts(tokenizer)["copies"].ids:
        rows = log_softmax(forward(weights, CONFIG, ids))
        start = len(ids) - 2 * examine.COPIED
        for t in range(max(1, start), len(ids)):
            copy = "first" if t < start + examine.COPIED else "second"
            losses[copy].append(-rows[t - 1, ids[t]])
    assert len(losses["first"]) == len(losses["second"]) - (not begins) * examine.SEQUENCES
    expected = [np.mean(each) for each in losses.values()]
    assert examine.copies(weights, CONFIG, tokenizer) == pytest.approx(expected, rel=1e-6)


def test_a_name_is_as_likely_as_all_its_tokens_together(weights, prompts):
    names = prompts["names"]
    found = examine.name_probabilities(weights, CONFIG, TOKENIZER)
    rows = log_softmax(forward(weights, CONFIG, names.ids[3]))
    nats = sum(rows[t - 1, names.ids[3][t]] for t in names.scored[3])
    agree(found[3], np.exp(nats))


def test_the_best_heads_come_with_their_effect(weights):
    heads = examine.heads_with_jobs(weights, CONFIG, TOKENIZER, best=1)
    assert [head.job for head in heads] == list(examine.JOBS)
    assert all(0 <= head.weight <= 1 for head in heads)
    assert any(abs(head.loss_without - head.loss) > 1e-6 for head in heads)


def test_a_fact_counts_when_its_last_word_is_always_the_likeliest(weights):
    start = [TOKENIZER.bos_id, *TOKENIZER.encode("one two")]
    likeliest = int(forward(weights, CONFIG, np.array(start)).argmax(axis=-1)[-1])
    found = examine.remembered_facts(weights, CONFIG, TOKENIZER, ["one two three", "a\tb", "word"])
    assert list(found) == ["one two three"]
    assert found["one two three"] is False or likeliest == ord(" ")


def test_the_command_needs_a_tokenizer(weights, tmp_path, monkeypatch):
    write_folder(tmp_path, CONFIG, weights)
    assert "has no tokenizer, so text cannot be encoded" in refusal("examine", tmp_path)
    for name in ("figures", "chat_figures"):  # which of the two, and with what
        monkeypatch.setattr(
            f"weights_tools.commands.examine.{name}", lambda model, n=name, **how: [f"{n} {how}"]
        )
    save_model(tmp_path / "m", CONFIG, weights, TOKENIZER)
    assert (
        command("examine", tmp_path / "m", "--seed", "3")[1] == "figures {'best': 2, 'seed': 3}\n"
    )
    assert command("examine", tmp_path / "m", "--chat")[1] == "chat_figures {'seed': 0}\n"


def test_no_answer_is_a_wrong_answer(monkeypatch):
    rng = np.random.default_rng([0, 99])
    heroes = [find_hero(draw_opening(rng, held_out=True)) for _ in range(6)]
    stories = [f"Once upon a time, there was a {kind} named {name}." for kind, name in heroes]
    no = "I only tell stories. Shall I tell you one?"

    def told(model, asked, rng):
        """A story of its hero to every other request; every third question is declined."""
        if len(asked) == len(stories):
            return [None if i % 2 else story for i, story in enumerate(stories)]
        return [None if i % 3 else no for i in range(len(asked))]

    monkeypatch.setattr("weights_tools.commands.examine.answers", told)
    lines = [*chat_figures(Model(CONFIG, None, TOKENIZER, None, "float32"), requests=6)]
    assert lines[0].endswith(": 3 of 6")
    right, of = map(int, re.search(r"(\d+) of (\d+)$", lines[2]).groups())
    assert right == len(range(0, of, 3)) > 1


def test_the_report_says_it_in_plain_lines(weights):
    lines = list(figures(Model(CONFIG, weights, TOKENIZER, None, "float32"), best=1))
    assert any("random tokens and the same again" in line for line in lines)
    assert sum(job.name in line for job in examine.JOBS for line in lines) >= len(examine.JOBS)
    assert max(map(len, lines)) <= 100
