"""grpo: what is told, judged and learned from, and the command from end to end, on a tiny model."""

import csv

import numpy as np
import pytest

from llama_np.config import LlamaConfig
from llama_np.functional import log_softmax
from llama_np.model import forward
from llama_np.tokenizer.bpe import BPETokenizer
from llama_np.tokenizer.chat import encode_dialog
from llama_np.training.lora import initialize_lora
from llama_np.training.loss import IGNORE
from llama_np.training.rewards import group_advantages
from llama_np.weights import initialize
from weights_tools import load_model
from weights_tools.__main__ import main
from weights_tools.save import save_model
from weights_tools.training.endings import last_sentence
from weights_tools.training.grpo import (
    GroupRewards,
    Groups,
    GroupTraining,
    Told,
    figures_of,
    figures_of_best,
    tell,
    tell_group,
    text_of,
)
from weights_tools.training.stages import Answer
from weights_tools.training.trainer import Hyperparameters

SPECIAL = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
TOKENIZER = BPETokenizer({bytes([b]): b for b in range(256)}, SPECIAL)
EOT = TOKENIZER.special_id("<|eot_id|>")
CONFIG = LlamaConfig(
    dim=12, n_layers=2, n_heads=2, n_kv_heads=1, head_dim=6, ffn_width=20,
    vocab_size=TOKENIZER.vocab_size, context_length=96, norm_eps=1e-5, rope_theta=1e4,
    rope_scaling=None, tied_output=False,
)  # fmt: skip
HOW = Groups(requests_per_step=2, answers=6, longest=7, temperature=0.9, beta=0.02)
PROMPTS = [
    encode_dialog(TOKENIZER, [{"role": "user", "content": text}]) for text in ("Who?", "And where?")
]


def early_letters(text):
    """A rule that a model can find: only characters from the first half of the table."""
    return np.mean([ord(letter) < 64 for letter in text]) if text else 0.0


def ask(rng, count):
    return [PROMPTS[i] for i in rng.integers(len(PROMPTS), size=count)]


def model(std=0.1, dtype=np.float32):
    """Random, but inclined to come to an end."""
    weights = inclined(initialize(CONFIG, np.random.default_rng(0), std), EOT)
    return weights.map(lambda w: w.astype(dtype))


def inclined(weights, token, how_much=1.0):
    """The stream's first number is about the root of its width everywhere; ``token`` reads it."""
    weights.embedding[:, 0] = 1
    weights.output[0, token] = how_much
    return weights


def start(steps=12, lora=False, how=HOW, rate=0.02, reward=early_letters):
    weights = model()
    recipe = Hyperparameters(
        steps=steps, peak_rate=rate, warm_up=2, weight_decay=0.0, ema_decay=0.0, seed=3
    )
    stage = GroupRewards(weights, CONFIG, TOKENIZER, ask, reward, how, 3)
    pairs = initialize_lora(CONFIG, 3, np.random.default_rng(1)) if lora else None
    return GroupTraining(CONFIG, recipe, stage, weights, pairs)


# --- telling and judging ---


def test_answers_are_kept_with_the_token_that_ended_them():
    answers = tell_group(model(), CONFIG, TOKENIZER, PROMPTS[0], HOW, np.random.default_rng(0))
    assert len(answers) == 6
    assert all(answer.ids[: answer.given].tolist() == PROMPTS[0] for answer in answers)
    told = [answer.ids[answer.given :].tolist() for answer in answers]
    ended = [ids for ids in told if ids[-1] == EOT]
    assert 0 < len(ended) < 6  # of both kinds, or this shows nothing
    assert all(EOT not in ids[:-1] and 1 <= len(ids) <= 7 for ids in told)
    assert all(len(ids) == 7 for ids in told if ids[-1] != EOT)
    texts = [text_of(TOKENIZER, answer) for answer in answers]
    assert [text is None for text in texts] == [ids[-1] != EOT for ids in told]
    assert all("<|eot_id|>" not in text for text in texts if text is not None)


def test_an_answer_without_words_is_one_too():
    given = [1, 2, 3]
    assert text_of(TOKENIZER, Answer(np.array([*given, EOT]), 3)) == ""
    assert text_of(TOKENIZER, Answer(np.array([*given, *b" a "]), 3)) is None
    assert text_of(TOKENIZER, Answer(np.array([*given, *b" a ", EOT]), 3)) == "a"


def test_what_is_known_of_each_answer(monkeypatch):
    """Each by itself, without padding: log-probabilities at the draw's temperature, and the KL."""
    monkeypatch.setattr("weights_tools.training.stages.PART_TOKENS", 150)
    weights, reference = model(dtype=np.float64), model(0.12, np.float64)
    given = CONFIG, TOKENIZER, PROMPTS, early_letters, HOW
    told = tell(weights, reference, *given, [5, 2])
    assert len(told) == 12 and len({len(one.answer.ids) for one in told}) > 2
    for one in told:
        answer, ids = one.answer, one.answer.ids
        where = np.arange(answer.given - 1, len(ids) - 1)
        rows, others = (
            log_softmax(forward(w, CONFIG, ids) / 0.9)[where] for w in (weights, reference)
        )
        np.testing.assert_allclose(one.log_p, rows[range(len(where)), ids[answer.given :]])
        np.testing.assert_allclose(one.reference, others[range(len(where)), ids[answer.given :]])
        np.testing.assert_allclose(one.kl, (np.exp(rows) * (rows - others)).sum(axis=-1))
        assert one.reward == (0 if one.text is None else early_letters(one.text))
    again, other = tell(weights, weights, *given, [5, 2]), tell(weights, weights, *given, [5, 3])
    assert [one.text for one in again] == [one.text for one in told]
    assert [one.text for one in other] != [one.text for one in told]
    assert all(not one.kl.any() and np.array_equal(one.log_p, one.reference) for one in again)


def test_an_unfinished_answer_gets_no_reward():
    told = tell(model(), model(), CONFIG, TOKENIZER, PROMPTS, lambda text: 1.0, HOW, [0])
    assert {one.reward for one in told} == {0.0, 1.0}
    assert all(one.reward == (one.text is not None) for one in told)


def some_told(text, reward, n, kl):
    of_tokens = np.zeros(n), np.zeros(n), np.full(n, kl / n)
    return Told(Answer(np.arange(n + 2), 2), text, reward, *of_tokens)


def test_the_figures_of_what_was_told():
    told = [
        some_told("He ran. He was glad.", 1.0, 5, 0.5),
        some_told('She sat. "He was glad."', 1.0, 3, 0.25),  # the same end
        some_told("He fell.", 0.0, 2, 0.75),
        some_told(None, 0.0, 10, 0.5),
    ]
    assert figures_of(told) == {
        "mean_reward": 0.5, "kl_per_answer": 0.5, "mean_length": 5.0, "distinct_endings": 2
    }  # fmt: skip
    assert last_sentence("No stop at the end") == "No stop at the end" and last_sentence("") == ""


def test_the_figures_of_the_best_of_several():
    told = [
        some_told("He fell.", 0.0, 2, 0.0),
        some_told("He was glad.", 1.0, 4, 0.0),
        some_told("He was so glad.", 1.0, 8, 0.0),
        some_told("She ran.", 0.0, 5, 0.0),
        some_told("She fell.", 0.0, 6, 0.0),
        some_told("She was glad.", 1.0, 9, 0.0),
    ]
    assert figures_of_best(told, 3, 1) == figures_of([told[0], told[3]]) | {"mean_reward": 0.5}
    two = figures_of_best(told, 3, 2)
    assert two["mean_reward"] == pytest.approx((1 + 2 / 3) / 2)
    coins = np.log(3 / 2), 2 / 3 * np.log(2) + 1 / 3 * np.log(1 / 2)  # of each group, by hand
    assert two["kl_per_answer"] == pytest.approx(np.mean(coins))
    assert (two["mean_length"], two["distinct_endings"]) == (4.5, 2)  # the glad one, and She ran
    three = figures_of_best(told, 3, 3)
    assert (three["mean_reward"], three["mean_length"]) == (1.0, 6.5)
    with pytest.raises(ValueError, match="n from 1 to the 3 answers, got 4"):
        figures_of_best(told, 3, 4)
    graded = [one._replace(reward=0.5 * one.reward) for one in told]
    assert figures_of_best(graded, 3, 2)["kl_per_answer"] == pytest.approx(np.log(2) - 1 / 2)


# --- a step ---


def test_the_parts_of_a_step(monkeypatch):
    monkeypatch.setattr("weights_tools.training.stages.PART_TOKENS", 150)
    training = start()
    stage, weights = training.stage, training.weights(training.learned)
    parts = stage.parts(0, weights)
    assert len(parts) > 1 and sum(part.share for part in parts) == pytest.approx(1)
    assert len({part.first_row for part in parts}) == len(parts)
    rewards = np.array([one.reward for one in stage.told]).reshape(2, 6)
    expected = {
        one.answer.ids.tobytes(): advantage
        for one, advantage in zip(stage.told, group_advantages(rewards).ravel(), strict=True)
    }
    for part in parts:
        known = part.loss_of.keywords
        assert (known["clip"], known["beta"], known["temperature"]) == (0.2, 0.02, 0.9)
        for row, advantage in enumerate(known["advantages"]):
            targets, n = known["targets"][row], (known["targets"][row] != IGNORE).sum()
            end = np.flatnonzero(targets != IGNORE)[-1]
            ids = np.append(part.ids[row, : end + 1], targets[end])
            assert expected.pop(ids.tobytes()) == advantage
            one = next(t for t in stage.told if np.array_equal(t.answer.ids, ids))
            for name, values in (("old", one.log_p), ("reference", one.reference)):
                placed = known[name][row]
                assert np.array_equal(placed[targets != IGNORE], values) and len(values) == n
                assert not placed[targets == IGNORE].any()
    assert not expected


def test_an_advantage_may_go_to_some_tokens_alone():
    stage = start().stage

    def first_token(told):
        return (np.arange(len(told.kl)) == 0).astype(float)

    everywhere = stage.parts(0, stage.reference)
    stage.paid = first_token
    for part, before in zip(stage.cut(stage.told), everywhere, strict=True):
        known, answers = part.loss_of.keywords, before.loss_of.keywords["advantages"]
        first = (known["targets"] != IGNORE).argmax(axis=1)
        expected = np.zeros(known["targets"].shape)
        expected[np.arange(len(first)), first] = answers
        assert np.array_equal(known["advantages"], expected) and answers.any()
    assert stage.about()["paid"] == "first_token"


def test_where_all_rewards_are_equal_nothing_is_learned_but_the_way_back():
    training = start(reward=lambda text: 0.25, how=Groups(**vars(HOW) | {"beta": 0.0}))
    inclined(training.learned, EOT, 3.0)  # all answers end, since unfinished ones get 0
    before = [array.copy() for _, array in training.learned.named()]
    loss = training.take_step()
    assert {one.reward for one in training.stage.told} == {0.25} and loss == 0
    for array, (name, now) in zip(before, training.learned.named(), strict=True):
        assert np.array_equal(array, now), name


def test_several_updates_learn_from_the_same_answers():
    training = start(how=Groups(**vars(HOW) | {"updates": 2}))
    told, losses, first = [], [], None
    for _ in range(4):
        losses.append(training.take_step())
        told.append([one.answer.ids.tolist() for one in training.stage.told])
        first = first or training.stage.told
    assert told[0] == told[1] and told[2] == told[3] and told[0] != told[2]
    assert abs(losses[0]) < 1e-6  # the advantages cancel, and there is no KL yet
    assert losses[1] < losses[0] - 1e-3  # what did well has become likelier
    assert len(training.stage.since) == 24
    assert training.stage.figures() == figures_of(first + training.stage.told)
    training.take_step()
    assert training.stage.figures() == figures_of(training.stage.told)  # only what is new
    assert training.stage.seen(4) == training.stage.seen(3) == {"answers": "24"}


@pytest.mark.parametrize("lora", [False, True], ids=["all weights", "lora"])
def test_an_interrupted_run_goes_on_exactly(lora, tmp_path):
    straight, broken, resumed = (start(lora=lora) for _ in range(3))
    for _ in range(5):
        straight.take_step()
    for _ in range(3):
        broken.take_step()
    broken.save(tmp_path / "checkpoint.npz")
    resumed.restore(tmp_path / "checkpoint.npz")
    for _ in range(2):
        resumed.take_step()
    for kind, group in straight.arrays().items():
        for name, array in group.items():
            assert np.array_equal(array, resumed.arrays()[kind][name]), name
    assert straight.loss == resumed.loss and straight.loss != 0


def test_another_rule_or_reference_does_not_go_on(tmp_path):
    path = tmp_path / "checkpoint.npz"
    start().save(path)
    other = start(how=Groups(**vars(HOW) | {"beta": 0.5}))
    with pytest.raises(ValueError, match="beta = 0.02, this run has 0.5"):
        other.restore(path)
    other = start()
    other.stage.reward = len
    with pytest.raises(ValueError, match="reward = early_letters, this run has len"):
        other.restore(path)
    other = start()
    other.stage.reference = model(0.11)
    with pytest.raises(ValueError, match="reference = "):
        other.restore(path)


def test_the_reward_rises():
    """Forty steps from one seed; the answers of the last ten against those of the first ten."""
    training = start(steps=40)
    figures = []
    for step in range(40):
        training.take_step()
        if step % 10 == 9:
            figures.append(training.stage.figures())
    first, last = figures[0], figures[-1]
    assert last["mean_reward"] > first["mean_reward"] + 0.2
    assert last["kl_per_answer"] > first["kl_per_answer"] > 0


# --- the command ---


@pytest.fixture
def base(tmp_path):
    """With the tokenizer that ships, whatever its vocabulary."""
    tokenizer = load_model().tokenizer
    config = LlamaConfig(**vars(CONFIG) | {"vocab_size": tokenizer.vocab_size})
    weights = initialize(config, np.random.default_rng(0), std=0.1)
    inclined(weights, tokenizer.special_id("<|eot_id|>"), np.log(tokenizer.vocab_size) / 5)
    save_model(tmp_path / "base", config, weights, tokenizer, bf16=False)
    return tmp_path / "base"


@pytest.fixture
def reachable(monkeypatch):
    """A rule that random words obey now and then."""

    def ends_in_the_first_half(story):
        return story[-1:].lower() < "n"

    monkeypatch.setattr("weights_tools.commands.grpo.ends_well", ends_in_the_first_half)


def options(base, out, *more):
    given = [
        *("grpo", "--model", base, "--out", out, "--steps", 4, "--evaluate-every", 2),
        *("--requests-per-step", 2, "--answers", 4, "--longest", 6, "--warm-up", 1),
        *("--peak-rate", 0.02, "--lora-rank", 2),
    ]
    return [str(option) for option in (*given, *more)]


def log(path):
    with (path / "training/log.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_command(base, reachable, tmp_path, capsys):
    out = tmp_path / "rewarded"
    assert main(options(base, out)) == 0
    told = capsys.readouterr().err
    assert "4 answers to each of 2 requests" in told and "mean reward" in told
    rows = log(out)
    assert list(rows[0]) == [
        "step", "answers", "learning_rate", "train_loss", "mean_reward", "kl_per_answer",
        "mean_length", "distinct_endings", "seconds",
    ]  # fmt: skip
    assert [(row["step"], row["answers"]) for row in rows] == [("2", "16"), ("4", "32")]
    assert all(0 < float(row["mean_reward"]) < 1 for row in rows)
    assert float(rows[1]["kl_per_answer"]) > float(rows[0]["kl_per_answer"]) > 0
    assert all(1 <= float(row["mean_length"]) <= 6 for row in rows)
    assert all(1 <= int(row["distinct_endings"]) <= 16 for row in rows)
    assert (out / "training/loss_curve.png").read_bytes().startswith(b"\x89PNG")
    logits = [forward(m.weights, m.config, [1, 2, 3]) for m in (load_model(out), load_model(base))]
    assert np.abs(logits[0] - logits[1]).max() > 1e-3
    assert main(options(base, out)) == 0  # nothing is left to do
    assert "going on from step 4" in capsys.readouterr().err
    assert main(options(base, out, "--beta", 0.5)) == 1
    assert "beta = 0.04, this run has 0.5" in capsys.readouterr().err


@pytest.mark.parametrize("rank, updates", [(2, 1), (0, 2)], ids=["lora", "all weights"])
def test_stopped_and_started_again_it_writes_the_same_bytes(
    base, reachable, tmp_path, monkeypatch, rank, updates
):
    """Stopped one step behind a checkpoint: what was told in between is told again."""
    more = ["--lora-rank", rank, "--updates", updates]
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert main(options(base, straight, *more)) == 0
    take_step = GroupTraining.take_step

    def stop_in_time(training):
        if training.step == 3:
            raise KeyboardInterrupt
        return take_step(training)

    with monkeypatch.context() as patch:
        patch.setattr(GroupTraining, "take_step", stop_in_time)
        assert main(options(base, broken, *more)) == 130
    assert len(log(broken)) == 1
    assert main(options(base, broken, *more)) == 0
    for path in straight.glob("*"):
        if path.is_file():
            assert path.read_bytes() == (broken / path.name).read_bytes(), path.name
    without_time = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in log(out)]
        for out in (straight, broken)
    ]
    assert without_time[0] == without_time[1] and len(without_time[0]) == 2
    assert (straight / "adapter_config.json").exists() == (rank > 0)


@pytest.mark.parametrize(
    "more, words",
    [
        (["--answers", 1], "--answers must be at least 2, got 1"),
        (["--requests-per-step", 0], "--requests-per-step must be at least 1, got 0"),
        (["--updates", 0], "--updates must be at least 1, got 0"),
        (["--longest", 0], "--longest must be at least 1, got 0"),
        (["--temperature", 0], "--temperature must be above 0, got 0.0"),
        (["--ratio-clip", "nan"], "--ratio-clip must be above 0, got nan"),
        (["--beta", -1], "--beta must be 0 or more, got -1.0"),
        (["--updates", 3], "--evaluate-every must be a multiple of --updates, got 2 and 3"),
        (["--evaluate-every", 0], "--evaluate-every must be at least 1, got 0"),
        (["--lora-rank", 99], "LoRA rank of 99 does not fit"),
    ],
)
def test_what_cannot_work_is_one_line(base, tmp_path, capsys, more, words):
    assert main(options(base, tmp_path / "out", *more)) == 1
    told = capsys.readouterr().err
    assert words in told and told.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out").exists()
