"""Cross-entropy beside PyTorch's."""

import numpy as np
import pytest

from llama_np.training.loss import IGNORE, cross_entropy


@pytest.mark.parametrize("ignored", [0, 3])
def test_cross_entropy(torch, normal, dtype, ignored):
    logits, targets = normal(2, 5, 11, dtype=dtype) * 3, np.arange(10).reshape(2, 5)
    targets[0, :ignored] = IGNORE
    theirs = torch.nn.functional.cross_entropy(
        torch.tensor(logits).flatten(0, 1), torch.tensor(targets).flatten()
    )
    tolerance = 1e-12 if dtype == np.float64 else 1e-6
    np.testing.assert_allclose(cross_entropy(logits, targets), theirs.item(), rtol=tolerance)


def test_large_logits_do_not_overflow():
    assert cross_entropy(np.array([[0.0, 1000.0]]), np.array([0])) == 1000.0


def test_nothing_to_count_is_refused():
    with pytest.raises(ValueError, match="every target is ignored"):
        cross_entropy(np.zeros((2, 3)), np.full(2, IGNORE))
