"""The steps of pre-training that read random lists which repeat."""

import numpy as np
import pytest

from llama_np.training.loss import IGNORE
from weights_tools.training.corpus import Stream
from weights_tools.training.stages import Copying, Pretraining, Rows, repeated_lists

TOKENS = np.arange(100, 200)


def lists(length: int = 16, rows: int = 40):
    return repeated_lists(np.random.default_rng(0), TOKENS, 7, rows, length)


@pytest.mark.parametrize("length", [16, 33, 64])
def test_a_list_comes_again_as_it_was(length):
    ids, targets = lists(length)
    assert ids.shape == targets.shape == (40, length) and (ids[:, 0] == 7).all()
    for row in ids:
        n = len(set(row[1:].tolist()))
        assert 3 <= n <= length // 2 and set(row[1:]) <= set(TOKENS)
        np.testing.assert_array_equal(row[1:], np.resize(row[1 : n + 1], length - 1))
    assert {len(set(row)) for row in ids} >= {4, length // 2 + 1}  # both ends of what is allowed


def test_only_what_has_followed_before_is_a_target():
    for row, wanted in zip(*lists(), strict=True):
        followers: dict[int, int] = {}
        for t, token in enumerate(row):
            assert wanted[t] == followers.get(token, IGNORE)
            if t + 1 < len(row):
                followers.setdefault(token, row[t + 1])


def test_no_two_rows_are_alike():
    assert len({tuple(row) for row in lists()[0]}) == 40


@pytest.mark.parametrize(("share", "every"), [(0.1, 20), (0.0, 3), (0.5, 0), (0.0, 0), (1.0, 1)])
def test_text_goes_on_where_it_stood(share, every):
    copying, steps = Copying(copy_share=share, copy_every=every), 200
    due = [copying.is_due(step, steps) for step in range(steps)]
    assert all(due[: round(share * steps)])
    later = due[round(share * steps) :]
    assert sum(later) == (len(later) // every if every else 0)
    assert [copying.text_steps(step, steps) for step in range(steps)] == [
        step - sum(due[:step]) for step in range(steps)
    ]


def test_rows_grow_and_stay_long():
    rows = [Copying().row(step, 1000) for step in range(1000)]
    assert rows[0] == 16 and rows[-1] == 64 and rows == sorted(rows)


def test_a_stage_reads_the_same_text_with_copying_and_without():
    documents = [np.arange(i, i + 40, dtype=np.int32) for i in range(0, 200, 40)]
    rows = Rows(tokens_per_step=64, row=16, final_row=16)
    plain = Pretraining(Stream(documents, 0), rows, 20, 256)
    copying = Copying(copy_share=0.25, copy_every=3)
    mixed = Pretraining(Stream(documents, 0), rows, 20, 256, copying, range(200, 250), 255)
    read = [mixed.parts(step)[0].ids for step in range(20)]
    text = [ids for ids in read if (ids[:, 0] != 255).any()]
    assert len(text) == 10
    for step, ids in enumerate(text):
        np.testing.assert_array_equal(ids, plain.parts(step)[0].ids)


def test_what_cannot_be_is_said():
    for wrong in ({"copy_share": 1.5}, {"copy_every": -1}, {"copy_row": 20}):
        with pytest.raises(ValueError, match="expected a copy_share from 0 to 1"):
            Copying(**wrong)
