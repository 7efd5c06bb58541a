"""The study of rewards against distance: what it measures, what it writes, what ships."""

import numpy as np
import pytest

from llama_np.training.rewards import least_kl
from weights_tools import load_model
from weights_tools.training.endings import ends_well
from weights_tools.training.grpo import Told
from weights_tools.training.rewards import study
from weights_tools.training.stages import Answer

TOKENIZER = load_model("doll-house").tokenizer
WAYS = study.PREFERRED, study.COMPARED
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


def a_point(method="chat model", at="start", **more):
    figures = {
        "mean_reward": 0.5, "kl_per_answer": 0.0, "mean_length": 3.0, "distinct_endings": 2,
        "kl_at_the_end": 0.0, "story_loss": 1.5,
    }  # fmt: skip
    return {"method": method, "at": at, "answers": 4} | figures | more


def test_tables_are_added_to_and_read_as_they_were_written(tmp_path):
    first = [told("He fell. He ran, sad."), told("She was glad.", 1.0), told("She was glad.", 1.0)]
    study.add(tmp_path, [a_point()], [*first, first[0]._replace(text=None)])
    study.add(tmp_path, [a_point("DPO", "8 steps", mean_reward=0.12345)], first[:1])
    points, ends = study.read(tmp_path / "points.csv"), study.read(tmp_path / "endings.csv")
    assert points == [a_point(), a_point("DPO", "8 steps", mean_reward=0.1235)]
    assert [(e["method"], e["times"], e["rewarded"], e["ending"]) for e in ends] == [
        ("chat model", 2, 1, "She was glad"), ("chat model", 1, 0, "He ran, sad"),
        ("DPO", 1, 0, "He ran, sad"),
    ]  # fmt: skip
    assert study.read(tmp_path / "none.csv") == []


def test_the_best_of_several_are_points_of_the_chat_model(tmp_path):
    study.add(tmp_path, [a_point(story_loss=1.25)], [told("He fell.")])
    group = [told("He fell."), told("She was glad.", 1.0), told("He ran."), told("He sat.")]
    study.best_of(tmp_path, group * 2, 4)
    two, four = study.read(tmp_path / "points.csv")[1:]
    assert (two["method"], two["at"], four["at"]) == ("best of n", "n = 2", "n = 4")
    assert (two["mean_reward"], four["mean_reward"]) == (0.5, 1.0)
    assert two["kl_per_answer"] == pytest.approx(least_kl(0.5, 0.25), abs=1e-4)
    assert four["kl_per_answer"] == pytest.approx(np.log(4), abs=1e-4)
    assert (four["answers"], four["distinct_endings"], four["story_loss"]) == (2, 1, 1.25)


def test_a_model_without_a_name_is_refused(tmp_path, capsys):
    assert study.main(["runs/grpo", "--out", str(tmp_path / "new")]) == 1
    assert "expected METHOD=FOLDER, got runs/grpo" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_what_ships_belongs_together():
    points, ends = study.read(study.POINTS), study.read(study.ENDINGS)
    last = {row["method"]: row for row in points}
    assert {"chat model", "best of n", *WAYS, "GRPO"} <= set(last)
    start = points[0]
    assert (start["method"], start["kl_per_answer"]) == ("chat model", 0)
    for row in points:
        its = [e for e in ends if (e["method"], e["at"]) == (row["method"], row["at"])]
        least = least_kl(row["mean_reward"], start["mean_reward"])
        assert row["kl_per_answer"] > least - 0.1  # both from answers: not exact
        if its:
            assert len(its) == row["distinct_endings"]
            ended = sum(e["times"] for e in its)
            good = sum(e["times"] * e["rewarded"] for e in its)
            assert ended <= row["answers"]
            assert good / row["answers"] == pytest.approx(row["mean_reward"], abs=1e-4)
            assert all(e["rewarded"] == ends_well(e["ending"]) for e in its)
    log = study.read(study.GRPO_LOG)
    assert [row["step"] for row in log] == sorted(row["step"] for row in log)
    assert log[-1]["mean_reward"] > log[0]["mean_reward"]


@pytest.mark.slow
@pytest.mark.long
def test_all_of_it_with_few_answers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "STOPS", (1, 2))
    few = ["--out", str(tmp_path), "--requests", "1", "--answers", "2"]
    study.main([*few, "DPO that ships=doll-house-cheerful"])
    points = study.read(tmp_path / "points.csv")
    named = [(row["method"], row["at"]) for row in points]
    of_ways = [(way, f"{n} steps") for way in WAYS for n in (1, 2)]
    assert named == [
        ("chat model", "start"), ("best of n", "n = 2"), ("DPO that ships", "end"), *of_ways
    ]  # fmt: skip
    assert points[0]["kl_per_answer"] == 0 and all(row["kl_per_answer"] > 0 for row in points[2:])
    before = (tmp_path / "points.csv").read_bytes()
    study.main(few)  # nothing is left to do
    assert (tmp_path / "points.csv").read_bytes() == before
