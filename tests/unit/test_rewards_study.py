"""The study of rewards against distance: what it measures, what it writes, what ships."""

import dataclasses
from functools import partial

import numpy as np
import pytest

from llama_np.training.lora import Lora
from llama_np.training.rewards import least_kl
from llama_np.weights import Weights
from tests.tiny import write_with_words
from weights_tools import load_model
from weights_tools.commands.finetune import load_chat_base
from weights_tools.training.endings import ends_well
from weights_tools.training.grpo import Groups, Told
from weights_tools.training.rewards import study
from weights_tools.training.stages import Answer
from weights_tools.training.tables import read

TOKENIZER = load_model("doll-house").tokenizer
EOT = TOKENIZER.special_id("<|eot_id|>")


def told(text, reward=0.0, kl=0.5):
    """An answer whose every token has moved by as much."""
    ids = [7, 8, *TOKENIZER.encode(text), EOT]
    n = len(ids) - 2
    known = np.zeros(n), np.zeros(n), np.full(n, kl)
    return Told(Answer(np.array(ids), 2), text, reward, *known)


def test_the_distance_of_the_last_sentence_is_that_of_its_tokens():
    text = "He fell. He was happy. He was happy."
    end = len(TOKENIZER.encode(" He was happy.")) + 1  # and the token that ends the answer
    assert study.nats_at_the_end(TOKENIZER, told(text)) == pytest.approx(0.5 * end)
    quoted = 'He fell. "Now I am glad."'
    end = len(TOKENIZER.encode(quoted)) - len(TOKENIZER.encode('He fell. "')) + 1
    assert study.nats_at_the_end(TOKENIZER, told(quoted)) == pytest.approx(0.5 * end)
    assert study.nats_at_the_end(TOKENIZER, told("")) == 0
    assert study.nats_at_the_end(TOKENIZER, told("He fell.")._replace(text=None)) == 0


def a_point(way, at="start", **more):
    figures = {
        "mean_reward": 0.5, "kl_per_answer": 0.0, "mean_length": 3.0, "distinct_endings": 2,
        "kl_at_the_end": 0.0, "story_loss": 1.5,
    }  # fmt: skip
    return way._asdict() | {"at": at, "answers": 4} | figures | more


CHAT = study.Way(study.CHAT_ALONE)


def test_endings_are_counted_and_the_frequent_come_first():
    some = [told("He fell. He ran, sad."), told("She was glad.", 1.0), told("She was glad.", 1.0)]
    rows = study.counted([*some, some[0]._replace(text=None)], a_point(study.Way("DPO", 0.1, 2)))
    assert rows[0] == {
        "method": "DPO", "beta": 0.1, "seed": 2, "at": "start", "times": 2, "rewarded": 1,
        "ending": "She was glad",
    }  # fmt: skip
    assert [(e["times"], e["rewarded"], e["ending"]) for e in rows[1:]] == [(1, 0, "He ran, sad")]


def test_the_best_of_several_are_points_of_the_chat_model():
    group = [told("He fell."), told("She was glad.", 1.0), told("He ran."), told("He sat.")]
    two, four = study.best_of(group * 2, a_point(CHAT, story_loss=1.25), 4)
    assert (two["method"], two["at"], four["at"]) == ("best of n", "n = 2", "n = 4")
    assert (two["mean_reward"], four["mean_reward"]) == (0.5, 1.0)
    assert two["kl_per_answer"] == pytest.approx(least_kl(0.5, 0.25))
    assert four["kl_per_answer"] == pytest.approx(np.log(4))
    assert (four["answers"], four["distinct_endings"], four["story_loss"]) == (2, 1, 1.25)


def test_an_interrupted_study_goes_on(tmp_path, monkeypatch):
    made, ways = [], [study.Way("DPO", 0.1, 1), study.Way("GRPO", 0.04, 0)]

    def measure(way, examination, answers):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(way)
        ending = {"times": 1, "rewarded": 1, "ending": "She was glad"}
        logged = [way._asdict() | {"step": 5}] if way.method == "GRPO" else []
        return [a_point(way, mean_reward=0.12345)], [way._asdict() | ending], logged

    monkeypatch.setattr(study, "measure", measure)
    monkeypatch.setattr(study, "WAYS", ways)
    monkeypatch.setattr(study, "Examination", lambda *given: None)
    given = ["--out", str(tmp_path / "new")]
    assert study.main(given) == 130
    del made[:]
    assert study.main(given) == 0 and made == ways[1:]
    points, ends, log = (
        read(tmp_path / "new" / path.name) for path in (study.POINTS, study.ENDINGS, study.GRPO_LOG)
    )
    assert points == [a_point(way, mean_reward=0.1235) for way in (CHAT, *ways)]
    assert [end["method"] for end in ends] == ["chat model", "DPO", "GRPO"]
    assert log == [{"method": "GRPO", "beta": 0.04, "seed": 0, "step": 5}]
    assert study.main(given) == 0 and made == ways[1:]  # nothing is left to do


def test_what_ships_belongs_together():
    points, ends = read(study.POINTS), read(study.ENDINGS)
    start = points[0]
    assert (study.way_of(start), start["kl_per_answer"]) == (CHAT, 0)
    assert {*map(study.way_of, points)} == {CHAT, study.Way(study.BEST_OF_N), *study.WAYS}
    for row in points:
        its = [e for e in ends if (study.way_of(e), e["at"]) == (study.way_of(row), row["at"])]
        least = least_kl(row["mean_reward"], start["mean_reward"])
        assert row["kl_per_answer"] > least - 0.1  # both from answers: not exact
        if its:
            assert len(its) == row["distinct_endings"]
            ended = sum(e["times"] for e in its)
            good = sum(e["times"] * e["rewarded"] for e in its)
            assert ended <= row["answers"]
            assert good / row["answers"] == pytest.approx(row["mean_reward"], abs=1e-4)
            assert all(e["rewarded"] == ends_well(e["ending"]) for e in its)
    log = read(study.GRPO_LOG)
    rewarded = [way for way in study.WAYS if "GRPO" in way.method]
    assert {*map(study.way_of, log)} == {*rewarded}
    for way in rewarded:
        rows = [row for row in log if study.way_of(row) == way]
        steps = [*range(study.TOLD_EVERY, study.steps_of(way) + 1, study.TOLD_EVERY)]
        assert [row["step"] for row in rows] == steps
        assert rows[-1]["mean_reward"] > rows[0]["mean_reward"]


def test_grpo_pays_the_last_sentence_alone_where_it_is_told_to(chat):
    text = "He fell. He was happy."
    paid, all_paid = (
        study.on_rewards(study.Way(method, 0.04, 3), chat).stage.paid
        for method in (study.PAID_AT_THE_END, study.REWARDED)
    )
    assert all_paid is None
    goes_to, end = paid(told(text)), len(TOKENIZER.encode(" He was happy.")) + 1
    assert goes_to.tolist() == [0] * (len(goes_to) - end) + [1] * end


def test_grpo_learns_thin_matrices_beside_the_frozen_doll_house(chat):
    training = study.on_rewards(study.Way(study.REWARDED, 0.04, 3), chat)
    assert isinstance(training.frozen, Weights) and isinstance(training.learned, Lora)
    start = training.weights(training.learned)  # the chat model, which the reference is
    for (name, ours), (_, its) in zip(start.named(), chat.weights.named(), strict=True):
        np.testing.assert_allclose(ours, its, rtol=0, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def chat():
    return load_chat_base(study.CHAT)


@pytest.mark.usefixtures("progress_ends")
def test_all_of_it_in_small(tmp_path, monkeypatch):
    """Every way, with a tiny model for each that ships and a few short answers."""
    small = write_with_words(tmp_path / "model")
    cheerful = load_chat_base(small)
    cheerful = cheerful._replace(weights=cheerful.weights.map(lambda w: w * np.float32(1.1)))
    few = partial(Groups, requests_per_step=1, answers=2, longest=12)
    for name, value in (
        ("CHAT", str(small)),
        ("STOPS", (1, 2)),
        ("PAIRS", 4),
        ("TEXTS", 1),
        ("HALF_WAY", 2),
        ("TOLD_EVERY", 1),
        ("Groups", few),
        ("load_chat_base", lambda path: cheerful if "cheerful" in path else load_chat_base(path)),
    ):
        monkeypatch.setattr(study, name, value)
    monkeypatch.setattr(study.command, "RECIPE", dataclasses.replace(study.command.RECIPE, steps=3))
    ways = [
        study.Way(study.CHEERFUL),
        study.Way(study.PREFERRED),
        study.Way(study.COMPARED, 0.1),
        study.Way(study.REWARDED, 0.5, 1),
        study.Way(study.PAID_AT_THE_END, 0.04),
    ]
    monkeypatch.setattr(study, "WAYS", ways)
    out = tmp_path / "out"
    assert study.main(["--out", str(out), "--requests", "1", "--answers", "2"]) == 0
    points = read(out / "points.csv")
    assert [(row["method"], row["beta"], row["seed"], row["at"]) for row in points] == [
        ("chat model", 0, 0, "start"), ("best of n", 0, 0, "n = 2"),
        ("DPO that ships", 0, 0, "end"),
        ("preferred alone", 0, 0, "1 steps"), ("preferred alone", 0, 0, "2 steps"),
        ("DPO", 0.1, 0, "1 steps"), ("DPO", 0.1, 0, "2 steps"),
        ("GRPO", 0.5, 1, "3 steps"), ("GRPO, last sentence paid", 0.04, 0, "2 steps"),
    ]  # fmt: skip
    assert points[0]["kl_per_answer"] == 0 and all(row["kl_per_answer"] > 0 for row in points[2:7])
    assert [row["step"] for row in read(out / "grpo_log.csv")] == [1, 2, 3, 1, 2]
    assert points[2]["story_loss"] == pytest.approx(
        study.nats_per_token(
            cheerful.weights, cheerful.config, study.Examination(cheerful, 1, 2).texts
        ),
        abs=1e-4,
    )
