"""The last steps of pre-training, some of which read nothing but the facts."""

import numpy as np
import pytest

from weights_tools.__main__ import main
from weights_tools.training.corpus import Stream
from weights_tools.training.stages import Copying, Facts, Pretraining, Rows

STORIES = [np.arange(i, i + 40, dtype=np.int32) for i in range(0, 200, 40)]
FACTS = [np.arange(300, 312, dtype=np.int32), np.arange(312, 320, dtype=np.int32)]
ROWS = Rows(tokens_per_step=64, row=32, final_row=32)


def stage(facts: Facts | None = None, copying: Copying | None = None, steps: int = 60):
    return Pretraining(
        Stream(STORIES, 0), ROWS, steps, 400, copying, range(200, 300), 0, facts, Stream(FACTS, 0)
    )


def read(pretraining: Pretraining, step: int) -> np.ndarray:
    return np.concatenate([part.ids for part in pretraining.parts(step)])


@pytest.mark.parametrize(
    ("share", "every", "due"),
    [
        (
            1 / 6,
            4,
            [53, 55, 56, 57, 59],
        ),  # one in four, from the fourth of the ten on three in four
        (0.2, 1, range(48, 60)),
        (0.2, 2, [49, 51, 53, 55, 57, 59]),
        (0.0, 4, []),
        (0.5, 0, []),
    ],
)
def test_some_of_the_last_steps_read_facts_and_later_most(share, every, due):
    facts = stage(Facts(facts_share=share, facts_every=every))
    assert [step for step in range(60) if (read(facts, step) >= 300).all()] == list(due)


def test_the_text_goes_on_where_it_stood_and_the_facts_too():
    copying = Copying(copy_share=0.1, copy_every=3, copy_row=24)
    with_facts = stage(Facts(facts_share=0.5, facts_every=2), copying)
    texts = [read(with_facts, step) for step in range(60)]
    facts = [rows for rows in texts if (rows >= 300).all()]
    stories = [rows for rows in texts if (rows < 200).all()]
    plain = stage(copying=Copying(copy_share=0.0, copy_every=0))
    for place, rows in enumerate(stories):
        np.testing.assert_array_equal(rows, read(plain, place))
    assert facts and all(rows.shape[1] == copying.copy_row for rows in facts)
    end_to_end = np.concatenate([rows.ravel() for rows in facts])
    np.testing.assert_array_equal(end_to_end, Stream(FACTS, 0).slice(0, len(end_to_end)))


def test_steps_before_the_last_part_are_as_without_facts():
    with_facts, without = stage(Facts()), stage()
    for step in range(Facts().start(60)):
        np.testing.assert_array_equal(read(with_facts, step), read(without, step))


@pytest.mark.parametrize(
    "wrong", [{"facts_share": -0.1}, {"facts_share": 1.5}, {"facts_every": -1}]
)
def test_shares_and_steps_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match="expected a facts_share from 0 to 1"):
        Facts(**wrong)


def test_the_command_has_the_options(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert {"--facts-share", "--facts-every"} <= set(capsys.readouterr().out.split())
