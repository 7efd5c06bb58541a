"""The study that lesson 17 reads: what it trains, the masks it compares, the table that ships."""

import numpy as np
import pytest

from llama_np.training.loss import IGNORE
from tests.tiny import write_with_words
from weights_tools.load import load_model
from weights_tools.training.tuning import study
from weights_tools.training.tuning.study import MASKS, RATE, USUAL, Run

END = 9


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A tiny model with the doll-house's tokenizer, and stories about as many heroes as needed."""
    folder = tmp_path_factory.mktemp("tuning")
    write_with_words(folder / "model")
    story = "Once upon a time, there was a {} named Tom. Tom slept. He had {} dreams."
    told = [story.format(("cat", "dog")[n % 2], n) for n in range(study.HELD_OUT + 8)]
    path = folder / "stories.txt"
    path.write_text("\n<|endoftext|>\n".join(told), encoding="utf-8")
    return folder / "model", path


@pytest.fixture(scope="module")
def material(files):
    return study.Material(load_model(files[0], "float32"), files[1])


def test_the_masks():
    """Two dialogs of two and one answered tokens; the second is padded at its end."""
    following = np.array([[5, 6, 7, END], [5, 8, END, IGNORE]])
    targets = np.where([[False, False, True, True], [False, False, True, False]], following, IGNORE)
    expected = {
        "the answer": [[IGNORE, IGNORE, 7, END], [IGNORE, IGNORE, END, IGNORE]],
        "the question as well": following,
        "padding as well": [[IGNORE, IGNORE, 7, END], [IGNORE, IGNORE, END, 0]],
        "one token too late": [[IGNORE, IGNORE, IGNORE, END], [IGNORE] * 4],
        "all but the end": [[IGNORE, IGNORE, 7, IGNORE], [IGNORE] * 4],
    }
    assert list(expected) == list(MASKS)
    for name, mask in MASKS.items():
        assert np.array_equal(mask(targets, following, END), expected[name]), name


def test_answers_are_cut_and_what_measures_is_never_trained_on(material):
    assert {len(d.answer.split(".")) - 1 for d in material.dialogs} == {study.SENTENCES}
    assert len(material.learn) + len(material.sets["requests"]) == len(material.dialogs)
    assert len(material.sets["facts"]) == 60 and len(material.sets["stories"]) == 12
    held_out, tokenizer = material.dialogs[-study.HELD_OUT :], material.model.tokenizer
    for answer, dialog in zip(material.sets["requests"], held_out, strict=True):
        assert np.array_equal(answer.ids, study.encode(tokenizer, dialog).ids)
    heroes = [(d.question, study.find_hero(d.answer)) for d in held_out]
    assert material.asked == [(q, hero) for q, hero in heroes if hero.name in q][: study.ASKED]


def test_a_run_follows_from_its_seed_and_lora_leaves_the_rest_frozen(material):
    run = Run(2, 1e-2, USUAL, 0)
    first, again, other = (
        dict(material.tune(each, 2).named()) for each in (run, run, run._replace(seed=1))
    )
    start = dict(material.model.weights.named())
    assert all(np.array_equal(first[name], again[name]) for name in start)
    assert not np.array_equal(first["layers.0.wq"], other["layers.0.wq"])
    changed = {name for name in start if not np.array_equal(start[name], first[name])}
    assert changed == {name for name in start if name.rpartition(".")[2].startswith("w")}
    everything = dict(material.tune(Run(0, 1e-3, USUAL, 0), 2).named())
    assert not any(np.array_equal(start[name], everything[name]) for name in start)


def test_part_of_the_way(material):
    start = material.model.weights
    end = start.map(lambda w: w + np.float32(2))
    half = study.part_of_the_way(start, end, 0.5)
    for (_, there), (_, begun) in zip(half.named(), start.named(), strict=True):
        np.testing.assert_allclose(there, begun + 1, rtol=1e-6)
    n = sum(w.size for _, w in start.named())
    assert study.distance(start, end) == pytest.approx(2 * np.sqrt(n), rel=1e-5)


@pytest.fixture
def command(files, tmp_path, monkeypatch):
    """The command on the tiny model, with three runs, its options and where its table goes."""
    runs = [
        Run(0, 1e-3, USUAL, 0),
        Run(2, RATE, USUAL, 0),
        Run(2, RATE, "all but the end", 0),
    ]
    monkeypatch.setattr(study, "all_runs", lambda seeds: runs)
    monkeypatch.setattr(study, "RANK", 2)
    out = tmp_path / "runs.csv"
    options = ["--model", str(files[0]), "--corpus", str(files[1]), "--out", str(out)]
    return out, [*options, "--steps", "1"], runs


def test_the_command_writes_a_table_and_goes_on_where_it_was(command, monkeypatch, capsys, request):
    out, options, runs = command
    tune, tuned = study.Material.tune, []

    def interrupted(self, run, steps):
        tuned.append(run)
        if len(tuned) == 3:
            raise KeyboardInterrupt
        return tune(self, run, steps)

    monkeypatch.setattr(study.Material, "tune", interrupted)
    assert study.main(options) == 130 and not out.exists()
    assert "start again with the same options" in capsys.readouterr().err
    request.getfixturevalue("progress_ends")
    assert study.main(options) == 0
    assert tuned == [*runs, runs[2]]  # only the interrupted one was begun twice
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    before, found = study.read_rows(out)
    assert set(before) == set(study.FIGURES) and list(found) == runs
    losses, answers = set(study.FIGURES[:6]), {"requests", "named", "ended"}
    assert [set(row) for row in found.values()] == [losses, losses | answers, answers]


@pytest.mark.parametrize(
    "options, told",
    [
        (["--steps", "0"], "--steps and --seeds start at 1, got 0, 3"),
        (["--corpus", "nowhere.txt"], "no such file: nowhere.txt"),
    ],
)
def test_errors_are_one_line(options, told, capsys):
    assert study.main(options) == 1
    assert capsys.readouterr().err.strip().startswith(f"error: {told}")


def test_too_few_stories_are_refused(files, tmp_path):
    short = tmp_path / "short.txt"
    short.write_text("Once upon a time, there was a cat named Tom. He slept.\n", encoding="utf-8")
    with pytest.raises(ValueError, match="expected more than 40 stories that name a hero, found 1"):
        study.Material(load_model(files[0], "float32"), short)


def test_the_table_that_ships():
    before, found = study.read_rows()
    assert set(found) >= set(study.all_runs())
    for run, row in found.items():
        assert row["requests"] < before["requests"], run
        assert ("half_way_facts" in row) == (run.mask == USUAL)
        assert ("named" in row) == (run[:2] in study.ANSWERING)
