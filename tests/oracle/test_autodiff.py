"""Every operation of ``autodiff`` beside PyTorch, and whole steps of Llama made of them."""

import gc
import math

import numpy as np
import pytest

from llama_np.attention import causal_mask
from llama_np.rope import rope_frequencies, rope_rotations, rotate
from llama_np.training import backward
from llama_np.training.autodiff import Tensor, graph, unbroadcast
from llama_np.training.loss import cross_entropy
from tests.checks import agree
from tests.tiny import random_ids, random_weights, tiny_config

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra.numpy import mutually_broadcastable_shapes  # noqa: E402

TOLERANCE = 1e-10  # float64; sums of a few hundred products
quick = settings(max_examples=50, deadline=None)

# Each expression reads the same in both libraries.
OF_TWO = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a * b": lambda a, b: a * b,
    "a / b": lambda a, b: a / b,
    "a twice": lambda a, b: a * b + a / b - a,
    "1 - a, 2 / b": lambda a, b: (1 - a) * (2 / b) + 3.0 * a + (1.5 + b),
}
OF_ONE = {
    "-x": lambda x: -x,
    "x ** 2": lambda x: x**2,
    "x ** 3": lambda x: x**3,
    "x ** -0.5": lambda x: (x * x + 1) ** -0.5,
    "exp": lambda x: x.exp(),
    "log": lambda x: (x * x + 0.1).log(),
    "tanh": lambda x: x.tanh(),
    "relu": lambda x: (x - 1).relu(),
    "x - 1, 1 - x, x / 2": lambda x: (x - 1) * (1 - x) / 2,
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
}


def numbers(seed: int, *shapes):
    """One array a shape; no number near 0, where 1 / x is steep."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.3, 2, shape) * rng.choice([-1, 1], shape) for shape in shapes]


def compare(expression, *arrays, seed: int = 0) -> None:
    """Value and gradients of an expression, ours and PyTorch's, however the loss weighs it."""
    torch = pytest.importorskip("torch")
    ours = [Tensor(array) for array in arrays]
    theirs = [torch.tensor(array, requires_grad=True) for array in arrays]
    result, expected = expression(*ours), expression(*theirs)
    agree(result.value, expected, TOLERANCE, "value")
    weigh = np.random.default_rng(seed).standard_normal(result.value.shape)
    (result * weigh).sum().backward()
    (expected * torch.tensor(weigh)).sum().backward()
    for i, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        agree(mine.grad, other.grad, TOLERANCE, f"gradient {i}")


# --- one operation at a time ---


@pytest.mark.parametrize("name", OF_TWO)
@quick
@given(shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=4), seed=st.integers(0, 99))
def test_operations_on_two_arrays_of_any_shapes_that_fit(name, shapes, seed):
    compare(OF_TWO[name], *numbers(seed, *shapes.input_shapes))


@pytest.mark.parametrize("name", OF_ONE)
@pytest.mark.parametrize("shape", [(), (3,), (2, 1, 3)], ids=str)
def test_operations_on_one_array(name, shape):
    compare(OF_ONE[name], *numbers(0, shape))


@quick
@given(
    shapes=mutually_broadcastable_shapes(signature="(n,k),(k,m)->(n,m)", max_dims=2),
    seed=st.integers(0, 99),
)
def test_matrix_products_with_any_axes_in_front(shapes, seed):
    compare(lambda a, b: a @ b, *numbers(seed, *shapes.input_shapes))


@quick
@given(data=st.data(), shape=st.lists(st.integers(1, 4), max_size=4).map(tuple))
def test_sum_and_mean_over_any_axes(data, shape):
    n = len(shape)
    axes = st.lists(st.integers(-n, n - 1), min_size=1, unique_by=lambda i: i % n) if n else None
    some = data.draw(st.none() | axes.map(tuple) if n else st.none())
    keep = data.draw(st.booleans()) if some is not None else False
    (x,) = numbers(0, shape)
    for name in ("sum", "mean"):
        if some is None:
            compare(lambda x: getattr(x, name)(), x)  # noqa: B023
        else:
            compare(lambda x: getattr(x, name)(some, keepdims=keep), x)  # noqa: B023


@quick
@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple))
def test_reshape_and_swapaxes(data, shape):
    i, j = (data.draw(st.integers(-len(shape), len(shape) - 1)) for _ in range(2))
    turned = data.draw(st.permutations(shape).map(tuple))
    (x,) = numbers(0, shape)
    compare(lambda x: x.reshape(turned) ** 2, x)
    compare(lambda x: x.swapaxes(i, j) ** 2, x)


@pytest.mark.parametrize(
    "index",
    [
        1, (0, 2), (slice(None), 1), (slice(1, 3), slice(None, None, 2)), (..., None, 1),
        [0, 2, 0, 0], ([0, 1, 0], [1, 1, 1]), (slice(None), [3, 3]),
    ],
    ids=str,
)  # fmt: skip
def test_indexing_adds_where_an_entry_is_read_twice(index):
    (x,) = numbers(0, (3, 4))
    compare(lambda x: x[index] ** 2, x)


@quick
@given(shapes=mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_dims=4))
def test_unbroadcast_undoes_what_numpy_stretched(shapes):
    """Each number gets back as many ones as there are places it was copied to."""
    for shape in shapes.input_shapes:
        copies = unbroadcast(np.ones(shapes.result_shape), shape)
        places = np.arange(math.prod(shape)).reshape(shape)
        found = np.bincount(
            np.broadcast_to(places, shapes.result_shape).ravel(), minlength=math.prod(shape)
        )
        np.testing.assert_array_equal(copies.ravel(), found)


# --- the walk back ---


def test_a_value_used_twice_gets_both_gradients():
    x = Tensor(3.0)
    y = x * x
    (y * x + y).backward()  # x^3 + x^2
    assert float(x.grad) == 3 * 3**2 + 2 * 3
    assert float(y.grad) == 3 + 1


def test_a_fork_is_waited_for():
    """The short way back to y is ready before the long one; y must not hand on in between."""
    compare(lambda x: (x * 2).tanh().exp().tanh() * (x * 2) + (x * 2).relu(), *numbers(0, (3,)))

    def shared(x):
        y = x * 2
        return y.tanh().exp().tanh() + y

    compare(shared, *numbers(0, (3,)))


def test_a_chain_longer_than_the_limit_on_recursion():
    x = Tensor(np.ones(2))
    y = x
    for _ in range(5_000):
        y = y + 0.001
    y.sum().backward()
    assert x.grad.tolist() == [1, 1] and len(graph(y)[0]) == 5_001
    del y
    gc.collect()  # letting go of the chain does not recurse either


def test_many_paths_are_walked_once():
    """2^200 paths lead from the result to x, over 200 tensors."""
    x = Tensor(1.0)
    y = x
    for _ in range(200):
        y = y + y
    y.backward()
    assert float(x.grad) == 2.0**200 and len(graph(y)[0]) == 201


def test_a_second_backward_adds_the_same_again(torch):
    x, other = Tensor(2.0), torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    y = x * x
    loss = y * x + y
    expected = other * other * other + other * other
    loss.backward()
    once = x.grad.copy(), y.grad.copy()
    loss.backward()
    expected.backward(retain_graph=True)
    expected.backward()
    assert float(x.grad) == 2 * float(once[0]) == float(other.grad)
    assert float(y.grad) == 2 * float(once[1])


def test_gradients_of_two_losses_add_and_are_arrays_of_their_own():
    a, b = Tensor(np.ones(2)), Tensor(np.ones(2))
    (a + b).sum().backward()
    a.grad[0] = 99
    assert b.grad.tolist() == [1, 1]
    (b * 3).sum().backward()
    assert b.grad.tolist() == [4, 4]


def test_graph_lists_parents_first_and_each_tensor_once():
    x, w = Tensor(1.0, "x"), Tensor(2.0, "w")
    loss = (x * w + x).tanh()
    nodes, edges = graph(loss)
    place = {node: i for i, node in enumerate(nodes)}
    assert len(place) == len(nodes) == 5 and nodes[-1] is loss
    assert all(place[parent] < place[child] for parent, child in edges)
    assert [(a.name, b.name) for a, b in edges] == [
        ("x", "*"), ("w", "*"), ("*", "+"), ("x", "+"), ("+", "tanh")
    ]  # fmt: skip


# --- what is refused ---


def test_backward_starts_from_one_number():
    with pytest.raises(ValueError, match=r"backward needs one number, not \(2,\): .sum\(\) it"):
        (Tensor(np.ones(2)) * 2).backward()
    x = Tensor(np.ones((1, 1)))
    (x * 2).backward()  # one number, in however many brackets
    assert x.grad.tolist() == [[2]]


def test_whole_numbers_have_no_gradient():
    with pytest.raises(TypeError, match="needs numbers such as 1.0, not int64"):
        Tensor(np.array([1, 2], np.int64))


def test_a_vector_is_no_matrix():
    v = Tensor(np.ones(3))
    product = v @ Tensor(np.ones((3, 2)))
    with pytest.raises(ValueError, match="matrix transpose with ndim < 2"):
        product.sum().backward()
    (v[None] @ Tensor(np.ones((3, 2)))).sum().backward()
    assert v.grad.tolist() == [2, 2, 2]


def test_an_exponent_is_a_constant():
    with pytest.raises(IndexError):
        Tensor(2.0) ** Tensor(3.0)


# --- dtypes ---


@pytest.mark.parametrize("name", [*OF_TWO, *OF_ONE])
def test_float32_stays_float32_and_so_do_the_gradients(name):
    expression = OF_TWO.get(name) or (lambda a, b: OF_ONE[name](a) * b)
    a, b = (Tensor(x.astype(np.float32)) for x in numbers(0, (2, 3), (3,)))
    loss = expression(a, b)[[0, 0]].swapaxes(0, 1).reshape((6,)).mean()
    loss.backward()
    assert {node.value.dtype for node in graph(loss)[0]} == {np.dtype(np.float32)}
    assert {node.grad.dtype for node in graph(loss)[0]} == {np.dtype(np.float32)}


def test_a_gradient_has_the_dtype_of_what_it_belongs_to():
    x, w = Tensor(np.ones((2, 3), np.float32)), Tensor(np.ones((3, 4)))
    (x @ w * np.ones(4)).sum().backward()
    assert x.grad.dtype == np.float32 and w.grad.dtype == np.float64


def test_constants_on_the_left_leave_it_to_the_tensor():
    c, x = np.arange(6.0).reshape(2, 3), Tensor(np.ones((3, 2)))
    for result in (c @ x, c + x.swapaxes(0, 1), c * x.swapaxes(0, 1), c - x.swapaxes(0, 1)):
        assert isinstance(result, Tensor)
    (c @ x).sum().backward()
    agree(x.grad, c.T @ np.ones((2, 2)))


# --- the steps of Llama, made of these operations ---


def softmax(x):
    weights = (x - x.value.max(-1, keepdims=True)).exp()  # the largest is a constant: it cancels
    return weights / weights.sum(-1, keepdims=True)


def rms_norm(x, weight, eps):
    return x / ((x * x).mean(-1, keepdims=True) + eps) ** 0.5 * weight


def attend(q, k, v, mask):
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.value.shape[-1])
    return softmax(scores + np.where(mask, 0.0, -np.inf)) @ v


def turn(x, positions, frequencies):
    """``rotate`` as a sum: x cos + (x with each pair (a, b) as (-b, a)) sin."""
    K = x.value.shape[-1]
    quarter = np.kron(np.eye(K // 2), [[0, 1], [-1, 0]])
    angles = np.repeat(positions[:, None] * frequencies, 2, axis=-1)
    return x * np.cos(angles) + x @ quarter * np.sin(angles)


def nats(logits, targets):
    """Cross-entropy of rows of logits."""
    shifted = logits - logits.value.max(-1, keepdims=True)
    log_p = shifted - shifted.exp().sum(-1, keepdims=True).log()
    return -log_p[np.arange(len(targets)), targets].mean()


def silu(x):
    return x / (1 + (-x).exp())


def swiglu(x, layer):
    return (silu(x @ layer["w_gate"]) * (x @ layer["w_up"])) @ layer["w_down"]


def heads(x, width):
    T = x.value.shape[0]
    return x.reshape((T, -1, width)).swapaxes(0, 1)


def attention(x, layer, config, positions, frequencies):
    T, K = len(positions), config.head_dim
    q, k, v = (heads(x @ layer[name], K) for name in ("wq", "wk", "wv"))
    q, k = turn(q, positions, frequencies), turn(k, positions, frequencies)
    shared = np.arange(config.n_heads) // config.group
    mix = attend(q, k[shared], v[shared], causal_mask(positions, positions))
    return mix.swapaxes(0, 1).reshape((T, -1)) @ layer["wo"]


def llama(w, config, ids):
    """``forward`` for one sequence, every step made of the operations of ``Tensor``."""
    positions = np.arange(len(ids))
    frequencies = rope_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
    x = w["embedding"][ids]
    for i in range(config.n_layers):
        start = f"layers.{i}."
        layer = {name.removeprefix(start): w[name] for name in w if name.startswith(start)}
        normed = rms_norm(x, layer["attn_norm"], config.norm_eps)
        x = x + attention(normed, layer, config, positions, frequencies)
        x = x + swiglu(rms_norm(x, layer["ffn_norm"], config.norm_eps), layer)
    output = w.get("output", w["embedding"].swapaxes(0, 1))
    return rms_norm(x, w["norm"], config.norm_eps) @ output


def test_rms_norm(normal):
    x, weight, d_out = Tensor(normal(4, 6)), Tensor(normal(6)), normal(4, 6)
    (rms_norm(x, weight, 1e-5) * d_out).sum().backward()
    d_x, d_weight = backward.rms_norm_backward(d_out, x.value, weight.value, 1e-5)
    agree(x.grad, d_x, TOLERANCE)
    agree(weight.grad, d_weight, TOLERANCE)


def test_softmax(normal):
    x, d_out = Tensor(normal(4, 6)), normal(4, 6)
    weights = softmax(x)
    (weights * d_out).sum().backward()
    agree(x.grad, backward.softmax_backward(d_out, weights.value), TOLERANCE)


def test_cross_entropy(normal):
    logits, targets = Tensor(normal(5, 11)), np.array([3, 0, 10, 3, 7])
    loss = nats(logits, targets)
    loss.backward()
    assert math.isclose(float(loss.value), cross_entropy(logits.value, targets), rel_tol=1e-12)
    agree(logits.grad, backward.cross_entropy_backward(logits.value, targets), TOLERANCE)


def test_rotate(normal):
    x, d_out, positions = Tensor(normal(2, 5, 6)), normal(2, 5, 6), np.arange(3, 8)
    frequencies = rope_frequencies(6, 10000.0)
    turned = turn(x, positions, frequencies)
    agree(turned.value, rotate(x.value, positions, frequencies))
    (turned * d_out).sum().backward()
    agree(
        x.grad, backward.rotate_backward(d_out, rope_rotations(positions, frequencies)), TOLERANCE
    )


def test_attend(normal):
    q, k, v, d_mix = (Tensor(normal(2, 3, 5, 4) + i) for i in range(4))
    see = causal_mask(np.arange(5), np.arange(5))
    (attend(q, k, v, see) * d_mix.value).sum().backward()
    pattern = softmax(q @ k.swapaxes(-1, -2) / 2 + np.where(see, 0.0, -np.inf)).value
    expected = backward.attend_backward(d_mix.value, q.value, k.value, v.value, pattern)
    for ours, theirs in zip((q, k, v), expected, strict=True):
        agree(ours.grad, theirs, TOLERANCE)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_a_whole_llama_has_the_gradients_of_the_backward_pass(tied):
    """Two ways to the same numbers: rules for each step, and rules for each operation."""
    config = tiny_config(tied_output=tied)
    weights, ids = random_weights(config), random_ids(config, 9)
    loss, gradients = backward.loss_and_gradients(weights, config, ids[:-1], ids[1:])
    w = {name: Tensor(array, name) for name, array in weights.named()}
    ours = nats(llama(w, config, ids[:-1]), ids[1:])
    ours.backward()
    assert math.isclose(float(ours.value), loss, rel_tol=1e-12)
    for name, expected in gradients.named():
        agree(w[name].grad, expected, TOLERANCE, name)
