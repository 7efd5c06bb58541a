"""A signature is a contract: while tests run, every call is held to it."""

import inspect
import sys

import numpy as np
import pytest

import llama_np
from llama_np import KVCache, loop_over_heads, rms_norm, rotate, split_heads
from llama_np.axes import Array
from tests.shape_contracts import check_calls, contract
from tests.tiny import tiny_config

jaxtyping = pytest.importorskip("jaxtyping")
pytest.importorskip("beartype")


def test_the_same_letter_means_the_same_size():
    assert rms_norm(np.ones((2, 3)), np.ones(3), 1e-5).shape == (2, 3)
    with pytest.raises(jaxtyping.TypeCheckError, match="weight"):
        rms_norm(np.ones((2, 3)), np.ones(1), 1e-5)  # NumPy would broadcast it


def test_an_axis_can_be_half_of_another():
    assert rotate(np.ones((4, 6)), np.arange(4), np.ones(3)).shape == (4, 6)
    with pytest.raises(jaxtyping.TypeCheckError, match="frequencies"):
        rotate(np.ones((4, 6)), np.arange(4), np.ones(1))


def test_a_product_of_unknown_axes_is_one_size_throughout():
    """wq is D by Hq*K and wo is Hq*K by D: the same number, although Hq is nowhere said."""
    x, wk = np.ones((4, 5)), np.ones((5, 2))
    with pytest.raises(jaxtyping.TypeCheckError, match="wo"):
        loop_over_heads(x, wk, wk, wk, np.ones((3, 5)), 2, np.arange(4), np.ones(1))


def test_a_head_width_given_as_a_number_counts():
    x, wk = np.ones((4, 5)), np.ones((5, 2))
    with pytest.raises(jaxtyping.TypeCheckError, match="frequencies"):
        loop_over_heads(x, wk, wk, wk, np.ones((2, 5)), 2, np.arange(4), np.ones(2))


def test_methods_are_held_too():
    cache = KVCache(tiny_config(), 5)
    with pytest.raises(jaxtyping.TypeCheckError):
        cache.update(0, np.ones((2, 3, 10)), np.ones((2, 4, 10)))


def test_results_are_held_too():
    def halve(x: Array["T D"]) -> Array["T D"]:
        return x[::2]

    with pytest.raises(jaxtyping.TypeCheckError, match="return value"):
        check_calls(halve)(np.ones((4, 2)))


def test_a_call_like_one_that_passed_is_held_by_its_result():
    def tail(x: Array["T D"], start: float) -> Array["T D"]:
        return x[int(start) :]

    held, x = check_calls(tail), np.ones((4, 2))
    assert held(x, 0.0) is not held(x, 0.0)
    for _ in range(2):  # nothing that has failed is let through the second time
        with pytest.raises(jaxtyping.TypeCheckError, match="return value"):
            held(x, 1.0)
        with pytest.raises(jaxtyping.TypeCheckError, match="x"):
            held(x[0], 0.0)


def test_whole_numbers_are_part_of_what_has_passed():
    def cut(x: Array["T Hq*K"], head_dim: int) -> Array["T K"]:
        return x[:, :2]

    held = check_calls(cut)
    held(np.ones((3, 4)), 2)
    with pytest.raises(jaxtyping.TypeCheckError, match="return value"):
        held(np.ones((3, 4)), 4)


def test_unions_tuples_and_other_annotations():
    def f(x: Array["T D"], y: Array["D"] | list[int] | None, n: int) -> tuple[Array["T-1"], dict]:
        return x[1:, 0], {}

    held = check_calls(f)
    assert set(contract(f)) == {"x", "y", "return"}
    held(np.ones((3, 2)), None, "not checked")
    held(np.ones((3, 2)), [1, 2, 3, 4], 1)
    with pytest.raises(jaxtyping.TypeCheckError):
        held(np.ones((3, 2)), np.ones(3), 1)


def test_every_module_holds_the_checked_function():
    everywhere = [
        module.rms_norm
        for name, module in sys.modules.items()
        if name.startswith("llama_np") and hasattr(module, "rms_norm")
    ]
    assert len(everywhere) >= 3
    assert all(function is llama_np.rms_norm for function in everywhere)


def test_a_checked_function_still_shows_its_source():
    assert inspect.getsource(split_heads).startswith("def split_heads(")
    assert "head_dim" in inspect.signature(split_heads).parameters
    assert split_heads.__doc__.startswith("Cut each row")
