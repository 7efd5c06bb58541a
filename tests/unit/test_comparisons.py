"""The study of comparisons: what its ways learn from, what it measures, the table that ships."""

import numpy as np
import pytest

from tests.tiny import write_with_words
from weights_tools.commands.finetune import load_chat_base, nats_per_token
from weights_tools.training.comparisons import study
from weights_tools.training.dialogs import PREFERENCES, Comparison, read_lines
from weights_tools.training.tables import read

HELD_OUT = study.HELD_OUT  # as it is, before a test makes it smaller
TOLD = ["He fell. He was happy.", "He was happy. He fell.", "She hugged him.", "He fell."]


@pytest.fixture(scope="module")
def material():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("STEPS", 2), ("PAIRS_PER_STEP", 2), ("HELD_OUT", 2), ("TEXTS", 1)):
            patch.setattr(study, name, value)
        pairs = list(read_lines(PREFERENCES, Comparison))
        yield study.Material(load_chat_base(study.CHAT), pairs[-8:])


def test_what_is_counted_in_stories():
    found = study.figures(TOLD)
    assert found["stories"] == 4 and found["ends_well"] == 0.5
    assert found["endings"] == 3  # "He fell" comes twice


def test_two_sentences_leave_the_preference_as_it_was():
    pairs = list(read_lines(PREFERENCES, Comparison))
    cut = [study.two_sentences(pair) for pair in pairs]
    right = sum(map(study.is_right, cut))
    assert right > 0.95 * len(pairs) and not study.is_right(cut[0]._replace(other="He was glad."))
    assert all(
        len(short.preferred) <= len(p.preferred) for short, p in zip(cut, pairs, strict=True)
    )


def test_the_preferred_alone_are_those_that_dpo_compares_at_each_step(material):
    compared = material.stage(study.Run(study.COMPARED, 1e-3, 0.1, seed=3))
    alone = material.stage(study.Run(study.PREFERRED, 1e-3, 0.0, seed=3))
    for step in range(2):
        rows = [ids for part in compared.parts(step) for ids in part.ids[::2]]
        of_pairs = {tuple(ids[ids > 0]) for ids in rows}
        of_answers = {
            tuple(ids[ids > 0]) for part in alone.parts(step) for ids in part.ids
        }  # padding is 0
        assert of_pairs == of_answers and len(of_pairs) == 2
    held_out = {tuple(answer.ids) for pair in material.held_out for answer in pair[:2]}
    learned = {tuple(answer.ids) for pair in material.learn for answer in pair[:2]}
    assert len(learned) == 8 and not learned & held_out


def test_a_model_that_has_not_moved_has_gained_nothing(material):
    gained = material.gained(material.chat.weights, n=1)
    assert gained.shape == (1, 2) and np.abs(gained).max() < 1e-3
    training = material.training(study.Run(study.COMPARED, 1e-3, 0.1, seed=0), steps=2)
    assert training.take_step() == pytest.approx(np.log(2), abs=1e-4)


def test_too_few_pairs_are_refused(material):
    few = list(read_lines(PREFERENCES, Comparison))[:3]
    with pytest.raises(ValueError, match="expected .* pairs that fit the context, found 3"):
        study.Material(material.chat, few)


def test_an_interrupted_study_goes_on(tmp_path, monkeypatch):
    made, out = [], tmp_path / "runs.csv"

    def measure(material, run, steps):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(run)
        return run._asdict() | {"ends_well": 0.25, "stories": 4, "endings": 2}

    monkeypatch.setattr(study, "measure", measure)
    runs = study.all_runs(1)[:4]
    with pytest.raises(KeyboardInterrupt):
        study.run_study(out, None, runs)
    assert len(read(out)) == 2
    made.clear()
    with pytest.raises(KeyboardInterrupt):
        study.run_study(out, None, [*runs, runs[0]._replace(seed=9)])
    assert made == runs[2:]
    assert [study.Run(*(row[n] for n in study.Run._fields)) for row in read(out)] == runs


@pytest.mark.usefixtures("progress_ends")
def test_all_of_it_in_small(tmp_path, monkeypatch):
    """Every run with a tiny model; a row is what can be measured of its model once more."""
    small, told = write_with_words(tmp_path / "model"), []
    for name, value in (("STEPS", 2), ("PAIRS_PER_STEP", 2), ("HELD_OUT", 3), ("TEXTS", 1)):
        monkeypatch.setattr(study, name, value)

    def answers(model, questions, rng):
        told.append((model.weights, questions, rng.bit_generator.seed_seq.entropy))
        return [TOLD[0], None, *TOLD[1:]]

    monkeypatch.setattr(study, "answers", answers)
    out = tmp_path / "runs.csv"
    assert study.main(["--model", str(small), "--out", str(out), "--seeds", "2"]) == 0
    rows, runs = read(out), study.all_runs(2)
    assert [study.Run(*(row[n] for n in study.Run._fields)) for row in rows] == runs
    assert [seed for _, _, seed in told] == [run.seed for run in runs]
    chat = load_chat_base(small)
    pairs = list(read_lines(PREFERENCES, Comparison))
    measured_with = study.Material(chat, pairs)
    for row, (weights, questions, _) in zip(rows, told, strict=True):
        assert questions == [q for q in measured_with.requests for _ in range(study.TRIES)]
        gained = np.array(
            [study.log_probabilities_of(weights, chat.config, pair[:2]) - pair.reference
             for pair in measured_with.held_out]
        )  # fmt: skip
        assert [row["preferred"], row["other"]] == pytest.approx(gained.mean(0).tolist(), abs=2e-5)
        assert row["agreement"] == pytest.approx((gained[:, 0] > gained[:, 1]).mean(), abs=1e-5)
        loss = nats_per_token(weights, chat.config, measured_with.texts)
        assert row["story_loss"] == pytest.approx(loss, abs=1e-5)
        assert (row["stories"], row["ends_well"], row["endings"]) == (5, 0.4, 4)
    moved = {
        (run.way, run.rate, run.seed): abs(row["preferred"])
        for run, row in zip(runs, rows, strict=True)
    }
    assert all((moved[key] > 0) == (key[0] != study.CHAT_ALONE) for key in moved)
    for way in (study.PREFERRED, study.COMPARED):  # a quarter of the rate moves less
        assert moved[way, study.LOWER_RATE, 0] < 0.5 * moved[way, study.RATE, 0]


def test_the_table_that_ships_has_every_run():
    rows = read(study.RESULTS)
    assert [study.Run(*(row[n] for n in study.Run._fields)) for row in rows] == study.all_runs()
    asked = study.REQUESTS * study.TRIES
    assert all(row["stories"] == asked and 1 <= row["endings"] <= asked for row in rows)
    agreed = [row["agreement"] * HELD_OUT for row in rows]  # whole pairs
    assert agreed == pytest.approx([round(pairs) for pairs in agreed], abs=1e-3)
    for row in rows:
        if row["way"] == study.CHAT_ALONE:
            assert row["preferred"] == row["other"] == 0


def test_a_wrong_number_of_seeds_is_one_line(capsys):
    assert study.main(["--seeds", "0"]) == 1
    assert capsys.readouterr().err == "error: --seeds must be at least 1, got 0\n"
