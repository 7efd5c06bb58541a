"""Matrices of GGUF's blocks that stay in their file: products of what the package gguf widens."""

import tracemalloc

import numpy as np
import pytest

from tests.checks import agree
from weights_tools import block_matrix, lazy_matrix
from weights_tools.block_matrix import FEW, BlockMatrix
from weights_tools.formats.gguf_blocks import KINDS
from weights_tools.formats.gguf_file import Dequantized
from weights_tools.opened import MATRICES

gguf = pytest.importorskip("gguf")
KIND = {kind.name: kind for kind in KINDS.values()}
# Where the float16 of a block lie
SCALES = {"Q4_0": (0,), "Q4_1": (0, 2), "Q8_0": (0,), "Q4_K": (0, 2), "Q6_K": (208,)}
NAMES, SHORT = [*SCALES], ["Q4_0", "Q4_1", "Q8_0"]


def make(name, n, width, seed=0):
    """A matrix over random blocks, and the array (in, out) that the package makes of them."""
    rng, kind = np.random.default_rng(seed), KIND[name]
    blocks = rng.integers(0, 256, (n, width // kind.numbers, kind.n_bytes), np.uint8)
    for at in SCALES[name]:
        numbers = rng.standard_normal(blocks.shape[:2]).astype(np.float16)
        blocks[..., at : at + 2] = numbers[..., None].view(np.uint8)
    blocks = blocks.reshape(n, -1)
    made = MATRICES[name](Dequantized(blocks, kind, (n, width)))
    assert isinstance(made, BlockMatrix)
    return made, gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[name]).T


@pytest.fixture(params=[(1 << 20, 1 << 18), (64, 0)], ids=["one block", "many blocks"])
def block(request, monkeypatch):
    """A few rows at a time dealt out to all cores, or all rows at once."""
    monkeypatch.setattr(block_matrix, "BLOCK", request.param[0])
    monkeypatch.setattr(block_matrix, "ROWS", min(block_matrix.ROWS, request.param[0] // 8))
    monkeypatch.setattr(lazy_matrix, "BLOCK", request.param[0])
    monkeypatch.setattr(lazy_matrix, "ALONE", request.param[1])
    monkeypatch.setattr(block_matrix, "n_cores", lambda: 4)


def test_a_few_rows_stay_on_one_core_of_two(monkeypatch):
    """Handing Python's lock to and fro costs more than the second core brings."""
    w, shared = make("Q4_0", 64, 64)[0], []
    monkeypatch.setattr(lazy_matrix, "ALONE", 0)
    monkeypatch.setattr(lazy_matrix, "share", lambda work, starts: shared.append(work(starts)))
    for cores, n_x, expected in (2, FEW, 0), (2, FEW + 1, 1), (4, 1, 1):
        monkeypatch.setattr(block_matrix, "n_cores", lambda n=cores: n)
        _ = np.ones((n_x, 64), np.float32) @ w
        assert len(shared) == expected, (cores, n_x)
        shared.clear()


@pytest.mark.parametrize("shape", [(1, 1), (5, 2), (33, 3), (70, 32)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_a_product_is_that_of_the_widened_matrix(name, shape, block):
    """Each sum of some hundred terms is as exact as float32 is beside the largest of them."""
    shape = shape[0], shape[1] * KIND[name].numbers
    streamed, plain = make(name, *shape)
    assert streamed.shape == plain.shape and streamed.size == plain.size
    for lead in [(), (1,), (FEW,), (FEW + 1,), (2, 3), (2, 1, 4), (0,)]:
        x = np.random.default_rng(2).standard_normal((*lead, shape[1]), np.float32)
        product = x @ streamed
        assert product.dtype == np.float32 and product.shape == (*lead, shape[0])
        exact = x.astype(np.float64) @ plain.astype(np.float64)
        terms = np.abs(x).astype(np.float64) @ np.abs(plain).astype(np.float64)
        assert (np.abs(product - exact) <= 1e-6 * terms).all()


@pytest.mark.parametrize("name", NAMES)
def test_rows_and_the_whole_are_widened_exactly(name, block):
    streamed, plain = make(name, 40, 3 * KIND[name].numbers)
    assert np.array_equal(np.asarray(streamed), plain)
    ids = np.array([[3, 3, 0], [39, 5, 1]])
    assert np.array_equal(streamed.T[ids], plain.T[ids])
    x = np.random.default_rng(0).standard_normal((3, 40), np.float32)
    agree(x @ streamed.T, x @ plain.T, 1e-4)


def test_every_scale_is_that_of_float16():
    """Of all finite ones, those smaller than normal ones too; and so is what is added."""
    bits = np.arange(1 << 16, dtype=np.uint16)
    bits = bits[np.isfinite(bits.view(np.float16))]
    for name in SHORT:
        blocks = np.zeros((len(bits), KIND[name].n_bytes), np.uint8)
        blocks[:, :2] = bits[:, None].view(np.uint8)
        if name == "Q4_1":
            blocks[:, 2:4] = bits[::-1, None].view(np.uint8)
        scale, shift = MATRICES[name](Dequantized(blocks, KIND[name], (len(bits), 32))).scales(
            blocks
        )
        assert np.array_equal(scale[0], bits.view(np.float16).astype(np.float32))
        if name == "Q4_1":
            assert np.array_equal(shift[0], bits[::-1].view(np.float16).astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_an_odd_place_in_the_file(name):
    """A file may say that its tensors lie anywhere."""
    streamed, plain = make(name, 6, 512)
    data = np.frombuffer(b"x" + streamed.stored.blocks.tobytes(), np.uint8)[1:]
    moved = Dequantized(data.reshape(streamed.stored.blocks.shape), KIND[name], (6, 512))
    x = np.ones((2, 512), np.float32)
    assert np.array_equal(x @ MATRICES[name](moved), x @ streamed)
    assert np.array_equal(np.asarray(MATRICES[name](moved)), plain)


@pytest.mark.parametrize("name, n_x", [*((name, 1) for name in NAMES), ("Q4_0", 64), ("Q6_K", 64)])
def test_a_product_needs_a_fraction_of_the_widened_matrix(name, n_x):
    streamed, _ = make(name, 20_000, 1024)  # 80 MB as float32
    x = np.ones((n_x, 1024), np.float32)
    x @ streamed  # threads and libraries have come up
    tracemalloc.start()
    x @ streamed
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
