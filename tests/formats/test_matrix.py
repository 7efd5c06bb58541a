"""Matrices that stay in their file: the numbers of a widened one, in a fraction of its memory."""

import tracemalloc

import numpy as np
import pytest

from tests.checks import agree
from weights_tools import lazy_matrix as matrix
from weights_tools.lazy_matrix import (
    Bf16Matrix,
    F16Matrix,
    Int8Matrix,
    StoredMatrix,
    narrow_bf16,
    widen_bf16,
)

KINDS = ["float32", "float64", "bfloat16", "float16", "int8"]
SHAPES = [(7, 6), (6, 7), (1, 1), (1, 8), (33, 18), (257, 64)]


def make(kind: str, n: int, width: int, order=None, seed: int = 0):
    """A matrix over random rows, and the float32 array (in, out) that it stands for."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, width), np.float32)
    if kind == "int8":
        stored = rng.integers(-127, 128, (n, width), np.int8)
        scale = (rng.uniform(0.1, 2, n) / 64).astype(np.float32)
        made, wide = Int8Matrix(stored, scale, order), stored * scale[:, None]
    elif kind == "bfloat16":
        made, wide = Bf16Matrix(narrow_bf16(rows), order), widen_bf16(narrow_bf16(rows))
    elif kind == "float16":
        made, wide = F16Matrix(rows.astype(np.float16), order), rows.astype(np.float16)
    else:
        made, wide = StoredMatrix(rows.astype(kind), order), rows
    wide = wide.astype(np.float32)
    return made, (wide if order is None else wide[order]).T


@pytest.fixture(params=[(1 << 20, 1 << 18), (64, 0)], ids=["one block", "many blocks"])
def block(request, monkeypatch):
    """Small blocks dealt out to all cores, so that even a tiny matrix goes through everything."""
    monkeypatch.setattr(matrix, "BLOCK", request.param[0])
    monkeypatch.setattr(matrix, "ALONE", request.param[1])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_product_is_that_of_the_widened_matrix(kind, shape, block):
    n, width = shape
    for order in (None, np.random.default_rng(1).permutation(n)):
        streamed, plain = make(kind, n, width, order)
        assert streamed.shape == plain.shape and streamed.size == plain.size
        for lead in [(), (1,), (9,), (2, 3), (2, 1, 4)]:
            x = np.random.default_rng(2).standard_normal((*lead, width), np.float32)
            product = x @ streamed
            assert product.dtype == np.float32 and product.shape == (*lead, n)
            exact = x.astype(np.float64) @ plain.astype(np.float64)
            agree(product, exact.astype(np.float32), 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_is_widened_exactly(kind, block):
    streamed, plain = make(kind, 40, 22)
    assert np.array_equal(np.asarray(streamed), plain)
    if kind != "int8":  # there the scale comes after the sum
        assert np.array_equal(np.eye(22, dtype=np.float32) @ streamed, plain)


@pytest.mark.parametrize("made, kind", [(Bf16Matrix, "bfloat16"), (F16Matrix, "float16")])
def test_all_finite_16_bit_numbers_survive_the_product(torch, made, kind):
    bits = np.arange(1 << 16, dtype=np.uint16)
    numbers = torch.from_numpy(bits).view(getattr(torch, kind)).float().numpy()
    bits, numbers = bits[np.isfinite(numbers)], numbers[np.isfinite(numbers)]
    stored = bits.reshape(2, -1).T.copy()  # two to a row: each is the even one once, and the odd
    stored = np.concatenate([stored, stored[:, ::-1]])
    expected = numbers.reshape(2, -1).T
    expected = np.concatenate([expected, expected[:, ::-1]])
    streamed = made(stored if kind == "bfloat16" else stored.view(np.float16))
    assert np.array_equal(np.eye(2, dtype=np.float32) @ streamed, expected.T)


def test_narrowing_is_that_of_pytorch(torch):
    x = np.random.default_rng(0).standard_normal(10_000, np.float32)
    x = np.concatenate([x, [0.0, -0.0, 1e-40, 3.3e38], widen_bf16(narrow_bf16(x)) * (1 + 2**-8)])
    bits = torch.from_numpy(x.astype(np.float32)).to(torch.bfloat16).view(torch.uint16)
    assert np.array_equal(narrow_bf16(x.astype(np.float32)), bits.numpy())


INDICES = [
    np.s_[3], np.s_[-1], np.s_[:], np.s_[2:5], np.s_[::2], np.s_[:, 1], np.s_[:, 2:4], np.s_[1, 2],
    np.s_[1:3, 2:4], np.s_[[0, 2, 2]], np.s_[:, [1, 0]],
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("index", INDICES, ids=str)
def test_an_index_finds_what_it_finds_in_an_array(kind, index):
    for order in (None, np.array([4, 2, 0, 1, 3, 5])):
        streamed, plain = make(kind, 6, 7, order)
        assert np.array_equal(streamed[index], plain[index])
        assert np.array_equal(streamed.T[index], plain.T[index])


@pytest.mark.parametrize("kind", KINDS)
def test_an_embedding_is_looked_up_in_the_one_direction_and_multiplied_in_the_other(kind):
    output, plain = make(kind, 12, 6)
    embedding, ids = output.T, np.array([[3, 3, 0], [11, 5, 1]])
    assert embedding.shape == (12, 6) and embedding.T.shape == output.shape
    assert np.array_equal(embedding[ids], plain.T[ids])
    x = embedding[ids]
    agree(x @ embedding.T, x @ plain, 1e-5)
    y = np.ones((2, 12), np.float32)
    agree(y @ embedding, y @ plain.T, 1e-5)
    agree(output @ y.T, plain @ y.T, 1e-5)


def test_numpy_takes_it_for_an_array():
    streamed, plain = make("bfloat16", 6, 8)
    assert np.array_equal(np.abs(streamed), np.abs(plain))
    assert np.linalg.norm(streamed) == np.linalg.norm(plain)
    assert len(streamed) == 8 and streamed.ndim == 2 and streamed.dtype == np.float32
    assert np.asarray(streamed, np.float64).dtype == np.float64
    assert "stay in the file" in repr(streamed)


def test_float64_stays_float64():
    streamed, plain = make("bfloat16", 6, 8)
    x = np.random.default_rng(0).standard_normal((3, 8))
    assert (x @ streamed).dtype == np.float64
    agree(x @ streamed, x @ plain.astype(np.float64), 1e-12)


def test_axes_that_do_not_meet():
    streamed, _ = make("bfloat16", 6, 8)
    with pytest.raises(ValueError, match=r"cannot multiply \(3, 6\) by \(8, 6\): the inner axes"):
        np.ones((3, 6), np.float32) @ streamed


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "int8"])
def test_a_product_needs_a_fraction_of_the_widened_matrix(kind):
    n, width = 20_000, 1024  # 80 MB as float32
    stored = np.zeros((n, width), {"int8": np.int8, "float16": np.float16}.get(kind, np.uint16))
    made = {"bfloat16": Bf16Matrix, "float16": F16Matrix}.get(kind)
    streamed = made(stored) if made else Int8Matrix(stored, np.ones(n, np.float32))
    x = np.ones((1, width), np.float32)
    x @ streamed  # threads and libraries have come up
    tracemalloc.start()
    x @ streamed
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * n * width / 4
