"""Automatic differentiation: arrays that remember what they were computed from.

A ``Tensor`` holds an array. Each operation makes a new one, and notes which tensors went in and how
to hand a gradient back to each. ``backward`` walks from a loss to everything it was computed from.
``t.grad`` then is the gradient of the loss with respect to ``t.value``: how much the loss grows per
unit of growth in each number.

Plain arrays and Python numbers are constants: they take part and get no gradient. Values must not
be changed between an operation and ``backward``: the notes point at them.

The model does without all this (see ``backward.py``). It is here to show the idea on its own.
PyTorch: ``torch.Tensor`` with ``requires_grad=True``.
Source: https://arxiv.org/abs/1502.05767, section 3.2: reverse mode.
"""

import numpy as np

from ..axes import Array


def unbroadcast(grad: Array["..."], shape: tuple[int, ...]) -> Array["..."]:
    """Bring a gradient to ``shape``, which an array had before NumPy stretched it.

    A number that was used in many places gets the sum of what comes back from them.

    >>> unbroadcast(np.ones((2, 3)), (3,)).tolist(), unbroadcast(np.ones((2, 3)), (2, 1)).tolist()
    ([2.0, 2.0, 2.0], [[3.0], [3.0]])
    """
    # Counted from the last axis, as NumPy lines shapes up: axes put in front, and axes of length 1.
    stretched = tuple(i for i in range(-grad.ndim, 0) if -i > len(shape) or shape[i] == 1)
    return np.asarray(grad.sum(axis=stretched, keepdims=True)).reshape(shape)


def spread(g: Array["..."], x: Array["..."], axis=None, keepdims=False) -> Array["..."]:
    """Back through ``x.sum(axis, keepdims)``: every number in a sum gets the sum's gradient."""
    return np.broadcast_to(g if keepdims or axis is None else np.expand_dims(g, axis), x.shape)


def scatter(g: Array["..."], x: Array["..."], index) -> Array["..."]:
    """Back through ``x[index]``: what was read twice gets both gradients, what was not gets 0."""
    np.add.at(d_x := np.zeros_like(x), index, g)
    return d_x


def operation(name, forward, *rules):
    """Make a method of ``Tensor`` out of a NumPy function and a rule for each tensor that goes in.

    A rule takes the gradient ``g`` with respect to the result, and the arrays that went in. It
    returns the gradient with respect to one of them.
    """

    def method(*inputs, **options):
        arrays = [x.value if isinstance(x, Tensor) else x for x in inputs]
        tensors = [(i, x) for i, x in enumerate(inputs) if isinstance(x, Tensor)]
        parents = [(x, lambda g, rule=rules[i]: rule(g, *arrays, **options)) for i, x in tensors]
        return Tensor(forward(*arrays, **options), name, parents)

    return method


class Tensor:
    """An array, its gradient, and what it was computed from.

    ``parents`` lists pairs: a tensor that went in, and the function that hands a gradient back to
    it. ``depth`` is one more than that of the deepest parent. The array is not copied.

    Both sides of ``@`` are matrices, or stacks of them; a vector is ``v[None]``. An exponent is a
    number, not a tensor.

    Raises ``TypeError`` for whole numbers: they cannot grow by a little.

    >>> x = Tensor(np.array([2.0, 3.0]))
    >>> (x * x).sum().backward()
    >>> x.grad.tolist()  # x goes in twice, and the two gradients add
    [4.0, 6.0]
    """

    __array_ufunc__ = None  # array * tensor: NumPy must leave it to the tensor

    def __init__(self, value, name="", parents=()):
        self.value, self.grad, self.name, self.parents = np.asarray(value), None, name, parents
        self.depth = 1 + max((parent.depth for parent, _ in parents), default=-1)
        if self.value.dtype.kind != "f":
            raise TypeError(f"a gradient needs numbers such as 1.0, not {self.value.dtype}")

    __add__ = __radd__ = operation("+", np.add, lambda g, a, b: g, lambda g, a, b: g)
    __sub__ = operation("-", np.subtract, lambda g, a, b: g, lambda g, a, b: -g)
    __mul__ = __rmul__ = operation("*", np.multiply, lambda g, a, b: g * b, lambda g, a, b: g * a)
    __truediv__ = operation("/", np.divide, lambda g, a, b: g / b, lambda g, a, b: -g * a / b**2)
    __matmul__ = operation("@", np.matmul, lambda g, a, b: g @ b.mT, lambda g, a, b: a.mT @ g)
    __pow__ = operation("**", np.power, lambda g, x, n: g * n * x ** (n - 1))
    __neg__ = operation("-", np.negative, lambda g, x: -g)
    exp = operation("exp", np.exp, lambda g, x: g * np.exp(x))
    log = operation("log", np.log, lambda g, x: g / x)
    tanh = operation("tanh", np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2))
    relu = operation("relu", lambda x: np.maximum(x, 0), lambda g, x: g * (x > 0))
    sum = operation("sum", np.sum, spread)
    mean = operation("mean", np.mean, lambda g, x, *a, **k: spread(g, x, *a, **k) * g.size / x.size)
    reshape = operation("reshape", np.reshape, lambda g, x, shape: g.reshape(x.shape))
    swapaxes = operation("swapaxes", np.swapaxes, lambda g, x, i, j: g.swapaxes(i, j))
    __getitem__ = operation("[]", lambda x, index: x[index], scatter)

    # With a constant on the left Python swaps the two: 1 / x arrives here as x, 1.
    __rsub__ = operation("-", lambda b, a: a - b, lambda g, b, a: -g)
    __rtruediv__ = operation("/", lambda b, a: a / b, lambda g, b, a: -g * a / b**2)
    __rmatmul__ = operation("@", lambda b, a: a @ b, lambda g, b, a: a.mT @ g)

    def backward(self):
        """Add to ``grad`` of this number, and of all it was computed from, what it owes them.

        A tensor hands on only when everything due to it has come in, so children come before
        parents. Raises ``ValueError`` unless this is a single number.
        """
        if self.value.size != 1:
            raise ValueError(f"backward needs one number, not {self.value.shape}: .sum() it first")
        due = {self: np.ones_like(self.value)}
        for node in reversed(graph(self)[0]):
            g = due.pop(node)
            node.grad = g if node.grad is None else node.grad + g
            for parent, back in node.parents:
                total = due.setdefault(parent, np.zeros_like(parent.value))
                total += unbroadcast(np.asarray(back(g)), total.shape)


def graph(tensor: Tensor) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
    """All tensors behind ``tensor``, itself last, parents before children; and which led to which.

    Parents have less depth than their children, so sorting by depth puts them first. There is no
    recursion: a chain of operations may be longer than Python lets calls nest.

    >>> x = Tensor(2.0, "x")
    >>> nodes, edges = graph(x * x + 1.0)
    >>> [node.name for node in nodes], [(a.name, b.name) for a, b in edges]
    (['x', '*', '+'], [('x', '*'), ('x', '*'), ('*', '+')])
    """
    found, new = {tensor: None}, [tensor]  # a dictionary keeps its order, a set does not
    while new:
        new = {parent: None for node in new for parent, _ in node.parents if parent not in found}
        found.update(new)
    nodes = sorted(found, key=lambda node: node.depth)
    return nodes, [(parent, node) for node in nodes for parent, _ in node.parents]
