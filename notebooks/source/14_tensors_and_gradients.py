# %% [markdown] key="title"
# # 14 Tensors and gradients: how weights are found
#
# So far the weights of the model were simply there. They were found by training: start from random numbers,
# measure how wrong the model is, and change every weight a little so that it is less wrong. For that one
# must know, for each weight, in which direction "a little" should go. The answer is the **gradient**. This
# lesson is about what a gradient is, and how a program finds it.
#
# **In** goes a computation that ends in one number, the **loss**: the smaller, the better. **Out** comes,
# for every array that took part, an array of the same shape: how much the loss grows when each of its
# numbers grows a little.
#
# After this lesson you can say what a tensor is and read PyTorch code beside NumPy code. You can find a
# slope by trial and by the chain rule, check one with the other, and explain sixty lines of code that do it
# for any computation. At the end you train a small network with them. You need matrix products and, from
# school, the idea of a steep curve. The rules of calculus are explained where they are used.

# %% key="setup"
import numpy as np
from classroom import agree, show, source, table

from llama_np import LLAMA_3_8B, forward, record
from llama_np.training import cross_entropy
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
trace = {}
logits = forward(weights, config, ids, tap=record(trace, only={"attn_norm", "pattern"}))

# %% [markdown] key="tensor-why"
# ## Step 1. Scalar, vector, matrix, tensor
#
# A **tensor** in this course is an array of numbers with any number of axes, and nothing more. (In physics
# the word means more than that.) With no axis it is a single number, a **scalar**. With one axis it is a
# **vector**, with two a **matrix**. From three on there is no special word. The lengths of all axes
# together are its **shape**.
#
# Mind the word **dimension**. In mathematics a vector of 64 numbers has 64 dimensions. In NumPy and PyTorch
# its `ndim` is 1, since it has one axis, and PyTorch calls that axis `dim=0`. These lessons say *axis*, and
# *length* of an axis. Here are five tensors that you have met:

# %% key="tensor-by-hand"
loss = np.asarray(cross_entropy(logits[:-1], ids[1:]))  # how surprised the model is by the text
five = {
    "loss": ("scalar", "", loss),
    "weights of the last norm": ("vector", "D", np.asarray(weights.norm)),
    "logits": ("matrix", "T V", logits),
    "pattern of a block": ("tensor", "Hq T S", trace["blocks.0.pattern"]),
    "the same for two texts": ("tensor", "B Hq T S", np.stack([trace["blocks.0.pattern"]] * 2)),
}
table(
    ["what", "kind", "axes", "number of axes", "shape"],
    [[name, kind, axes, x.ndim, x.shape] for name, (kind, axes, x) in five.items()],
)

# %% [markdown] key="view-why"
# ## Step 2. One memory, several arrays
#
# An array is a row of numbers in memory, with a note that says how to read it: shape, and how far to jump
# for a step along each axis. Transposing changes only the note. The result is a **view**: a second array
# over the same numbers.
#
# **Predict before you run:** one number of the transposed matrix is changed. Which of the four prints below
# shows the change?

# %% key="view"
a = np.arange(6, dtype=np.float32).reshape(2, 3)
turned, copied, flat = a.T, a.T.copy(), a.reshape(6)
turned[0, 1] = 99
print("a     ", a.tolist())
print("turned", turned.tolist())
print("copied", copied.tolist())
print("flat  ", flat.tolist())

# %% [markdown] key="view-answer"
# <details><summary>Answer</summary>
#
# Three of them: `a`, `turned` and `flat` are the same memory. `copied` is memory of its own.
# `np.shares_memory` tells. It is the same in PyTorch: `t.T` and `t.view(...)` are views. So if you change an
# array in place, with `a[...] = ` or `a += `, you must know which other arrays share its memory.
#
# </details>

# %% [markdown] key="dtype-why"
# ## Step 3. The dtype, and how float64 slips in
#
# All numbers of an array have one type, its **dtype**. `float32` takes 4 bytes and keeps about 7 digits,
# `float64` takes 8 and keeps about 16. When two arrays meet, the wider one wins. And NumPy makes float64
# unless told otherwise.
#
# A Python number such as `1.5` leaves the dtype alone. One forgotten `np.zeros(4)` makes everything that is
# computed from it float64: twice the memory, about half the speed, and no message. In PyTorch the default
# is float32, so the same line is harmless there.

# %% key="dtype"
x = np.ones(4, dtype=np.float32)
for code in ("x + 1.5", "x + np.zeros(4)", "x + np.zeros(4, x.dtype)", "x + np.zeros_like(x)"):
    print(f"{code:26}", eval(code).dtype)

# %% [markdown] key="torch-why"
# ## Step 4. NumPy beside PyTorch
#
# Meta's own code for Llama is written with the library PyTorch
# ([`model.py`](https://github.com/meta-llama/llama3/blob/main/llama/model.py)). Most of it is NumPy under
# other names: an array is a `torch.Tensor`, and an `axis` is a `dim`. You do not need PyTorch here. The
# last column is what it gives; where it is installed, the cell asks it.

# %% key="torch-table"
try:
    import torch
except ImportError:
    torch = None

a = np.arange(6, dtype=np.float32).reshape(2, 3)
t = torch.tensor(a) if torch else None
rows = [
    ("dtype by default", "np.zeros(3).dtype", "torch.zeros(3).dtype", "torch.float32"),
    ("shape", "a.shape", "tuple(t.shape)", "(2, 3)"),
    ("another shape", "a.reshape(3, 2).shape", "tuple(t.view(3, 2).shape)", "(3, 2)"),
    ("swap two axes", "a.swapaxes(0, 1).shape", "tuple(t.transpose(0, 1).shape)", "(3, 2)"),
    ("matrix product", "(a @ a.T).shape", "tuple((t @ t.T).shape)", "(2, 2)"),
    ("sum along an axis", "a.sum(axis=0)", "t.sum(dim=0)", "tensor([3., 5., 7.])"),
    ("join", "np.concatenate([a, a]).shape", "tuple(torch.cat([t, t]).shape)", "(4, 3)"),
    ("back to Python", "a.sum().item()", "t.sum().item()", "15.0"),
    ("where it lies", "a.device", "t.device", "cpu"),
    ("has a gradient", 'hasattr(a, "grad")', 'hasattr(t, "grad")', "True"),
]
for _, _, code, stored in rows:
    assert torch is None or str(eval(code)) == stored, code
lines = [[what, f"`{n}`", eval(n), f"`{t}`", stored] for what, n, t, stored in rows]
table(["", "NumPy", "gives", "PyTorch", "gives"], lines)

# %% [markdown] key="torch-note"
# The last two rows are what PyTorch adds. **Devices**: `t.to("cuda")` moves a tensor to a graphics card,
# and the same code runs there. **Gradients**: with `requires_grad=True`, everything that is computed from a tensor remembers
# how, and one call finds all gradients. The arithmetic is the same. How the gradients are found is the
# rest of this lesson. (A difference that bites: `view` refuses where the numbers do not lie in order, as in
# `t.T.view(6)`; `reshape`, in both libraries, then makes a copy.)

# %% [markdown] key="slope-why"
# ## Step 5. A derivative is a slope
#
# Take the smallest thing that can learn: one **neuron**. It has one input $x$, a weight $w$ and a bias $b$.
# Its answer is a probability, by the sigmoid $\sigma$ of lesson 08. The right answer here is "yes", and the
# loss is the surprise at it, $-\ln a$. (`np.log` is the natural logarithm, written ln.)
#
# $$z = x\,w + b \qquad a = \sigma(z) = \frac{1}{1 + e^{-z}} \qquad \mathrm{loss} = -\ln a$$
#
# Input and bias stay fixed. Only $w$ may move. Then the loss is a curve over $w$, and at our $w$ it has a
# slope: the straight line that touches the curve there, the **tangent**, rises or falls by so much per unit
# of $w$. That number is the **derivative** of the loss with respect to $w$.

# %% key="slope-by-hand"
x, w, b = 1.1, 2.2, 0.0


def loss_of(w):
    a = 1 / (1 + np.exp(-(x * w + b)))
    return -np.log(a)


def slope_between(w, h):
    return (loss_of(w + h) - loss_of(w)) / h


around = np.linspace(-2, 4, 61)
lines = {"loss": loss_of(around)}
for at in (-1.0, w):
    line = loss_of(at) + slope_between(at, 1e-6) * (around - at)
    lines[f"tangent at w = {at}"] = np.where(np.abs(around - at) < 1.3, line, np.nan)
show.curves(around, lines, ("w", "loss"), title="the loss of one neuron, its slope at two places")
for h in (2.0, 1.0, 0.1, 0.01, 0.001):
    print(f"slope between w and w + {h:<5}: {slope_between(w, h):.6f}")

# %% [markdown] key="numerical-why"
# ## Step 6. The numerical gradient and its two errors
#
# Take a second point at distance $h$, divide the rise by the distance, and let $h$ shrink: the numbers
# above settle. That is the derivative, and finding it so needs no rule. It is negative: a larger $w$ means
# a smaller loss. At $w = -1$ the curve is steep, since the neuron is quite wrong there. At $w = 2.2$ it is
# nearly right, and little is left to gain.
#
# One can do better with the same number of looks, with one step to each side:
#
# $$\frac{d\,\mathrm{loss}}{dw} \approx \frac{\mathrm{loss}(w + h) - \mathrm{loss}(w - h)}{2h}$$
#
# How small should $h$ be? **Predict before you run:** the smaller the better?

# %% key="numerical-by-hand"
steps = 10.0 ** -np.arange(0, 14.5, 0.5)
exact = -x * (1 - 1 / (1 + np.exp(-(x * w + b))))  # from a formula that step 7 explains


def two_sided(h, dtype):
    w_, h = dtype(w), dtype(h)
    return (loss_of(w_ + h) - loss_of(w_ - h)) / (2 * h)


errors = {
    "one side, float64": [abs(slope_between(w, h) - exact) for h in steps],
    "two sides, float64": [abs(two_sided(h, np.float64) - exact) for h in steps],
    "two sides, float32": [abs(two_sided(h, np.float32) - exact) for h in steps],
}
show.curves(
    steps, errors, ("step h", "error of the slope"), log="xy", title="both axes in powers of ten"
)
for name, error in errors.items():
    print(f"{name:19} best step {steps[np.argmin(error)]:.0e}, error {min(error):.0e}")

# %% [markdown] key="numerical-answer"
# <details open><summary>Answer</summary>
#
# No. There are two errors. On the right of the picture $h$ is **too big**: the curve bends between the two
# points. Halving $h$ halves this error with one side, and quarters it with two. On the left $h$ is **too
# small**: the two losses have nearly all digits in common, the difference keeps only the last, rounded
# ones, and these are divided by a tiny number. There the error grows as $h$ shrinks. In float32 that begins
# so early that even the best step gives only a few right digits. Below about $10^{-7}$ the sum $w + h$ is
# $w$ itself there, and the slope comes out as 0. So **a gradient is checked in float64, with two sides and
# a step of about $10^{-5}$**.
#
# </details>

# %% [markdown] key="chain-why"
# ## Step 7. The chain rule
#
# The neuron is a chain: $w$ moves $z$, $z$ moves $a$, $a$ moves the loss. Each link has a slope of its own,
# the **local slope**, which a short rule gives:
#
# | link | local slope | why |
# |---|---|---|
# | $z = x\,w + b$, moved by $w$ | $x$ | one more $w$ is one more $x$ |
# | the same, moved by $b$ | $1$ | it is simply added |
# | the same, moved by $x$ | $w$ | one more $x$ is one more $w$ |
# | $a = \sigma(z)$ | $a\,(1 - a)$ | steepest in the middle, flat at both ends |
# | $\mathrm{loss} = -\ln a$ | $-1/a$ | the less likely, the steeper |
#
# The **chain rule** says: multiply them along the way. If $z$ grows 1.1 times as fast as $w$, and $a$ grows
# 0.075 times as fast as $z$, then $a$ grows 1.1 · 0.075 times as fast as $w$.
#
# $$\frac{d\,\mathrm{loss}}{dw} = \frac{d\,\mathrm{loss}}{da} \cdot \frac{da}{dz} \cdot \frac{dz}{dw}$$
#
# We start at the loss and go **back**, one link at a time. In code, `d_z` is short for "the derivative of
# the loss with respect to $z$".

# %% key="chain-by-hand"
z = x * w + b
a = 1 / (1 + np.exp(-z))
loss = -np.log(a)
print(f"forward:  z = {z:.8f}   a = {a:.8f}   loss = {loss:.8f}")

d_loss = 1.0
d_a = d_loss * (-1 / a)
d_z = d_a * a * (1 - a)
d_w, d_b, d_x = d_z * x, d_z * 1, d_z * w
print(f"back:   d_a = {d_a:.8f} d_z = {d_z:.8f}")
print(f"        d_w = {d_w:.8f} d_b = {d_b:.8f} d_x = {d_x:.8f}")

# %% [markdown] key="chain-agree-note"
# One walk back has found all three, and `d_z` was computed once for all of them. That is why going back is
# cheap. Trying takes two runs for every number that may move; the last lines count them for a Llama. Do the
# three agree: our walk, trying, and PyTorch? (What PyTorch gave is stored in the cell; where it is
# installed, it is asked.)


# %% key="chain-agree"
def loss_at(x, w, b):
    return -np.log(1 / (1 + np.exp(-(x * w + b))))


by_hand, h = np.array([d_w, d_b, d_x]), 1e-5
rises = [
    loss_at(x, w + h, b) - loss_at(x, w - h, b),
    loss_at(x, w, b + h) - loss_at(x, w, b - h),
    loss_at(x + h, w, b) - loss_at(x - h, w, b),
]
agree(np.array(rises) / (2 * h), by_hand, tolerance=1e-9)

by_torch = [-0.089826281008, -0.081660255462, -0.179652562016]
if torch:
    w_t, b_t, x_t = (torch.tensor(n, dtype=torch.float64, requires_grad=True) for n in (w, b, x))
    (-torch.log(torch.sigmoid(x_t * w_t + b_t))).backward()
    by_torch = [t.grad.item() for t in (w_t, b_t, x_t)]
agree(np.array(by_torch), by_hand, tolerance=1e-10)
for name, c in {"this model": config, "Llama 3 8B": LLAMA_3_8B}.items():
    print(f"{name}: one gradient by trying takes {2 * c.count_parameters():,} runs")

# %% [markdown] key="names-note"
# ## What is called what
#
# With one number to move, one says *derivative*. With many, the derivatives with respect to each of them
# form an array, the **gradient**. It always belongs to two things: the gradient **of** the loss **with
# respect to** the weights. "The gradient of the weights" is often heard, but the weights have no slope; the
# loss has one, over the weights. A gradient has the shape of what it is taken with respect to.
#
# What is it good for? It says what a small step will do. A step of $-r \cdot$ gradient, where $r$ is a
# small number called the **learning rate**, should lower the loss by about $r$ times the sum of the squared
# derivatives. To take such steps again and again is **gradient descent**.

# %% key="descent-by-hand"
for rate in (0.01, 0.1, 1.0, 10.0):
    promised = -rate * (d_w**2 + d_b**2)
    got = loss_at(x, w - rate * d_w, b - rate * d_b) - loss
    print(f"rate {rate:5}: the slope promises {promised:.6f}, the loss changes by {got:.6f}")

# %% [markdown] key="machine-why"
# ## Step 8. A machine that goes back by itself
#
# What we did by hand needs no thought: look up a local slope, multiply, go on. So a program can do it.
# Write the computation as a list of operations. For each kind of operation, note how to compute it, and the
# local slope for each of its inputs.
#
# To go back (the second cell), read the list from its end. Each line hands its derivative to its inputs,
# times the local slope. This is **automatic differentiation**, in reverse mode ([Baydin et al.
# 2015](https://arxiv.org/abs/1502.05767), section 3.2). In networks it is also called **backpropagation**
# ([Rumelhart et al. 1986](https://doi.org/10.1038/323533a0)).

# %% key="machine-by-hand"
program = [
    ("u", "times", "x", "w"),
    ("z", "plus", "u", "b"),
    ("a", "sigmoid", "z"),
    ("loss", "-ln", "a"),
]
compute = {
    "times": lambda p, q: p * q,
    "plus": lambda p, q: p + q,
    "sigmoid": lambda p: 1 / (1 + np.exp(-p)),
    "-ln": lambda p: -np.log(p),
}
local_slopes = {
    "times": lambda p, q: [q, p],
    "plus": lambda p, q: [1.0, 1.0],
    "sigmoid": lambda p: [np.exp(-p) / (1 + np.exp(-p)) ** 2],
    "-ln": lambda p: [-1 / p],
}
values = {"x": x, "w": w, "b": b}
for name, op, *inputs in program:
    values[name] = compute[op](*(values[i] for i in inputs))
    print(f"{name} = {op}({', '.join(inputs)}) = {values[name]:.8f}")


# %% key="machine-back"
def add(d, i, gradient):
    d[i] += gradient


def go_back(program, values, take=add):
    d = dict.fromkeys(values, 0.0)
    d[program[-1][0]] = 1.0
    for name, op, *inputs in reversed(program):
        slopes = local_slopes[op](*(values[i] for i in inputs))
        for i, slope in zip(inputs, slopes):
            take(d, i, d[name] * slope)
    return d


d = go_back(program, values)
agree(np.array([d["w"], d["b"], d["x"]]), by_hand, tolerance=1e-12)

# %% [markdown] key="tensor-class-why"
# ## Step 9. The library's Tensor
#
# The list above had to be written by hand. `llama_np.training.autodiff` makes it while the computation runs: a
# `Tensor` is an array that remembers what it was computed from. It keeps five things: its value, its
# gradient (as yet none), a name, its **parents** (the tensors that went in, each with a function that hands
# a gradient back to it), and its **depth**, one more than that of its deepest parent.

# %% key="tensor-init"
from llama_np.training.autodiff import Tensor, graph, operation, unbroadcast

source(Tensor.__init__)

# %% [markdown] key="rules-note"
# The operations are made by one function. It computes the result with NumPy, and notes each tensor that
# went in beside its **rule**: how a gradient `g` with respect to the result becomes one with respect to
# that input.
#
# Below it are the rules. After the name and the NumPy function comes a `lambda`, a small function without a
# name, for each input that may be a tensor. Read the third line: the result is `a * b`; to `a` goes `g *
# b`, to `b` goes `g * a`. It is the table of step 7, for whole arrays. (`a.mT` swaps the last two axes;
# `spread` and `scatter` undo a sum and an index. The last three lines are for a constant on the left, as in
# `1 / x`, which Python hands over as `x` and `1`.)

# %% key="operation-named"
source(operation)

# %% key="rules-named"
for line in source(Tensor).text.splitlines():
    if "= operation(" in line:
        print(line.strip())

# %% [markdown] key="backward-note"
# `backward` walks from the result to the start. `due` holds what has come in for each tensor so far, and
# `+=` adds. A tensor may hand on only when everything due to it has come in. So children must come before
# their parents. That is what the depth is for: a child is deeper than its parents, and `graph` lists all
# tensors by depth. (Step 10 explains `unbroadcast`.)

# %% key="backward-named"
source(Tensor.backward)

# %% [markdown] key="neuron-note"
# Now the neuron once more. It is written as one would write it in NumPy, and the backward pass comes for free.
# The tensors and their arrows are called the **computation graph**. In each box stands the operation, below
# it the value, and in orange the gradient of the loss with respect to that value. Read the values from left
# to right, then the gradients from right to left.
#
# Each gradient is the one to its right times a local slope. At `+` the gradient goes through unchanged, to
# both sides. At `*` the two sides swap values: to $w$ goes the gradient times $x$. The box before `log`
# holds $a$, and its gradient is $-1/a$. The sigmoid is four boxes here; together they turn `d_a` into
# `d_z`.

# %% key="neuron-agree"
x_t, w_t, b_t = Tensor(x, "x"), Tensor(w, "w"), Tensor(b, "b")
z_t = x_t * w_t + b_t
a_t = 1 / (1 + (-z_t).exp())
loss_t = -a_t.log()
loss_t.backward()
show.computation(*graph(loss_t), title="one neuron: value, and in orange the gradient of the loss")
agree(np.array([w_t.grad, b_t.grad, x_t.grad]), by_hand, tolerance=1e-12)

# %% [markdown] key="twice-why"
# ## Try it: a value that is used twice
#
# In the machine of step 8, `take` **adds** what comes back to what is there already, and `backward` does
# the same. For the neuron overwriting would do, since each value is used once. Now take $f = x \cdot x +
# x$, where $x$ is used three times. **Predict before you run:** what is the slope of $f$ at $x = 3$, and
# what comes out with overwriting?

# %% key="twice"
x_t = Tensor(3.0, "x")
f_t = x_t * x_t + x_t
f_t.backward()
show.computation(*graph(f_t), title="x goes in three times, and gets the sum of what comes back")


def overwrite(d, i, gradient):
    d[i] = gradient


square_plus = [("u", "times", "x", "x"), ("f", "plus", "u", "x")]
values = {"x": 3.0, "u": 9.0, "f": 12.0}
print("adding:     ", go_back(square_plus, values)["x"])
print("overwriting:", go_back(square_plus, values, take=overwrite)["x"])
print("tried:      ", round(((3.001**2 + 3.001) - (2.999**2 + 2.999)) / 0.002, 6))
print("Tensor:     ", x_t.grad)
f_t.backward()
print("Tensor, after a second backward:", x_t.grad)

# %% [markdown] key="twice-answer"
# <details><summary>Answer</summary>
#
# The slope is $2x + 1 = 7$. With overwriting the last use wins, and 3 is left. **Where a value is used
# several times, its gradients add**: it moves the loss along several ways at once. Nothing warns of the
# mistake, since the shapes fit. In Llama every row of the stream is used many times: by attention, by
# feed-forward, and by the addition that leads past both.
#
# The last line shows that a second `backward` adds to `grad` too, as in PyTorch. That is useful when a
# large batch is computed in parts. But if you forget to clear `grad` before the next step, you use old
# gradients as well. We shall see what that does.
#
# </details>

# %% [markdown] key="broadcast-why"
# ## Step 10. Whole arrays, and undoing a broadcast
#
# With arrays there is one thing more. In `x @ w + b` the product has four rows and `b` is a single one.
# NumPy stretches `b` over all rows (**broadcasting**): each number of `b` is used four times. So each must
# get the sum of four gradients. By hand:

# %% key="broadcast-by-hand"
rng = np.random.default_rng(seed=0)
x_t, w_t, b_t = (
    Tensor(rng.standard_normal(shape).astype(np.float32), name)
    for name, shape in (("x", (4, 3)), ("w", (3, 2)), ("b", (2,)))
)
sum_t = x_t @ w_t + b_t  # 4 3 @ 3 2 -> 4 2
loss_t = (sum_t * sum_t).mean()
loss_t.backward()
show.computation(
    *graph(loss_t), title="shapes; each gradient, in orange, has the shape of its value"
)
d_sum = 2 * sum_t.value / sum_t.value.size
print("d_sum", d_sum.shape, " d_b", d_sum.sum(axis=0).shape)

# %% key="broadcast-named"
source(unbroadcast)

# %% key="broadcast-agree"
agree(d_sum.sum(axis=0), unbroadcast(d_sum, b_t.value.shape))
agree(d_sum.sum(axis=0), b_t.grad)
for zeros in (np.zeros(2, np.float32), np.zeros(2)):  # a bias, made with care and without
    nodes, _ = graph(x_t @ w_t + Tensor(zeros))
    print(f"bias {zeros.dtype}, result {nodes[-1].value.dtype}")

# %% [markdown] key="broadcast-wrong-note"
# **Predict before you run:** suppose one forgets the sum and takes `d_sum` itself as the gradient with
# respect to `b`. Will the step `b - rate * d_sum` fail?

# %% key="broadcast-wrong"
right = b_t.value - 0.1 * b_t.grad
wrong = b_t.value - 0.1 * d_sum
print("b", b_t.value.shape, " right", right.shape, " wrong", wrong.shape)
print("x @ w + wrong still runs:", (x_t.value @ w_t.value + wrong).shape)

# %% [markdown] key="broadcast-wrong-answer"
# <details><summary>Answer</summary>
#
# It does not fail. Broadcasting helps again, and the bias is a matrix from now on: one row for each
# example. With the same examples everything seems to work, and with another number of examples it stops,
# far from the mistake. **A gradient has the shape of what it belongs to**: check that first.
#
# </details>

# %% [markdown] key="network-why"
# ## Step 11. A network that learns
#
# Two groups of points lie in a spiral. Given the two coordinates of a point, which group is it? No straight
# line parts them. Our network has two **hidden layers**: matrix, bias, and the curve tanh, which bends;
# then one neuron that answers with a probability. All weights are random at the start. (`P` counts points,
# `H` hidden numbers.)

# %% key="network"
rng = np.random.default_rng(seed=1)
n_points, H = 70, 16
way = np.linspace(0.12, 1, n_points)
angle = 2.5 * np.pi * way
arm = np.stack([way * np.cos(angle), way * np.sin(angle)], axis=-1)
points = np.concatenate([arm, -arm]) + 0.02 * rng.standard_normal((2 * n_points, 2))
points, group = points.astype(np.float32), np.repeat([0, 1], n_points)


def random_weights(seed):
    rng = np.random.default_rng(seed)
    shapes = {"w1": (2, H), "b1": (H,), "w2": (H, H), "b2": (H,), "w3": (H, 1), "b3": (1,)}
    size = {"w1": 1.5, "b1": 0.5, "w2": H**-0.5, "b2": 0, "w3": H**-0.5, "b3": 0}
    return {
        name: Tensor((size[name] * rng.standard_normal(shape)).astype(np.float32), name)
        for name, shape in shapes.items()
    }


def network(w, points):
    h1 = (points @ w["w1"] + w["b1"]).tanh()  # P 2 @ 2 H -> P H
    h2 = (h1 @ w["w2"] + w["b2"]).tanh()  # P H @ H H -> P H
    return h2 @ w["w3"] + w["b3"]  # P H @ H 1 -> P 1


w = random_weights(seed=0)
print("weights:", sum(tensor.value.size for tensor in w.values()))
print("tensors in the graph:", len(graph(network(w, points))[0]))

# %% [markdown] key="train-why"
# The loss is the one of step 5: $-\ln \sigma(z)$ is $\ln(1 + e^{-z})$. For a point of the other group the
# right answer is "no", whose probability is $\sigma(-z)$; so $z$ is multiplied by -1 there. The loop has
# four parts: the loss, clearing the old gradients, the backward pass, a step against the gradient.

# %% key="train"
sign = np.where(group == 1, 1, -1).astype(np.float32)[:, None]


def mean_loss(w):
    return (1 + (-sign * network(w, points)).exp()).log().mean()


def train(w, mean_loss, n_steps=1000, rate=1.0, clear=True):
    losses = []
    for _ in range(n_steps):
        loss = mean_loss(w)
        for tensor in w.values():
            if clear:
                tensor.grad = None
        loss.backward()
        for tensor in w.values():
            tensor.value -= rate * tensor.grad
        losses.append(float(loss.value))
    return losses


losses = train(w, mean_loss)
right = ((network(w, points).value > 0) == (sign > 0)).mean()
print(f"loss {losses[0]:.3f} -> {losses[-1]:.4f}, right for {right:.0%} of the points")

# %% key="surface"
every = np.linspace(-1.2, 1.2, 80, dtype=np.float32)
grid = np.stack(np.meshgrid(every, every), axis=-1).reshape(-1, 2)


def probability(w):
    return (1 / (1 + np.exp(-network(w, grid).value))).reshape(len(every), len(every))


panels = {
    "before: probability of red": probability(random_weights(seed=0)),
    "after": probability(w),
}
show.regions(panels, points, group, reach=1.2)

# %% [markdown] key="train-wrong-why"
# At the start the network tosses a coin, more or less: a probability of one half has the loss ln 2, about
# 0.693. Nobody has told it about spirals. It has got there by slopes alone, all weights at once, a little
# in each step. What it says far from any point means nothing: there it was never corrected.
#
# ## Try it: three ways to spoil it
#
# **Predict before you run** what each of these does to the loss: no tanh, so that only matrices and biases
# are left; forgetting to clear the gradients; a learning rate ten times as large.


# %% key="train-wrong"
def linear_loss(w):
    h1 = points @ w["w1"] + w["b1"]
    z = (h1 @ w["w2"] + w["b2"]) @ w["w3"] + w["b3"]
    return (1 + (-sign * z).exp()).log().mean()


tries = {"as above": losses, "no tanh": train(random_weights(seed=0), linear_loss)}
with np.errstate(over="ignore", invalid="ignore"):  # weights may run away, beyond float32
    tries["never cleared"] = train(random_weights(seed=0), mean_loss, clear=False)
    tries["rate times 10"] = train(random_weights(seed=0), mean_loss, rate=10.0)
shown = np.arange(0, len(losses), 20)
lines = {name: np.array(y)[shown] for name, y in tries.items()}
show.curves(shown, lines, ("step", "loss"), log="y", title="the loss while it learns")
for name, y in tries.items():
    print(f"{name:13} loss after {len(y)} steps: {y[-1]:.2f}")

# %% [markdown] key="train-wrong-answer"
# <details><summary>Answer</summary>
#
# Without tanh the product of the matrices is one matrix (lesson 08): the network can draw one straight
# line, and the loss stays near ln 2. With gradients that are never cleared each step is the sum of all
# slopes so far, most of them from places left long ago. The weights swing further and further, until a
# number is beyond float32 and the loss is `nan`, not a number; there the curve ends. With a large rate the
# steps leave the region where the slope was true, and the loss gets worse than a coin. A gradient says what
# a *small* step does.
#
# </details>

# %% [markdown] key="llama-why"
# ## Step 12. What Llama needs of this: the matrix product
#
# A Llama is trained the same way, with larger matrices and a better rule for the step (a later lesson).
# Most of its weights stand in products `x @ w`. So one rule matters most. For $q = x\,w$ and a gradient
# $d_q$:
#
# $$d_x = d_q\, w^{\mathsf T} \qquad\qquad d_w = x^{\mathsf T} d_q$$
#
# There is little to memorise. `d_x` must have the shape of `x`, and `d_w` that of `w`. From what is at hand
# there is one way each to multiply so that the shapes fit. In `x.T @ d_q` the axis `T` is on the inside: it
# is summed away. Every token uses the same `w`, so `w` gets what comes back from all of them. That is the
# value used twice, again.
#
# Here with the real rows of the first block and the queries of its first head, in float64, so that we can
# check. As loss we take the sum of the squares of `q`.

# %% key="llama-by-hand"
x = trace["blocks.0.attn_norm"].astype(np.float64)
w = np.asarray(weights.layers[0].wq[:, : config.head_dim], np.float64)
q = x @ w  # T D @ D K -> T K
d_q = 2 * q
d_x = d_q @ w.T  # T K @ K D -> T D
d_w = x.T @ d_q  # D T @ T K -> D K
print("x  ", x.shape, " w  ", w.shape, " q  ", q.shape)
print("d_x", d_x.shape, " d_w", d_w.shape, " d_q", d_q.shape)
labels = [tokenizer.token(i) for i in ids]
show.matrices({"x": x, "d_x": d_x}, ("T", "D"), rows=labels, across=1)

# %% key="llama-named"
from llama_np.training.backward import linear_backward

source(linear_backward)

# %% key="llama-agree"
x_t, w_t = Tensor(x, "x"), Tensor(w, "w")
q_t = x_t @ w_t
(q_t * q_t).sum().backward()
for ours, named, by_tensor in zip((d_x, d_w), linear_backward(d_q, x, w), (x_t.grad, w_t.grad)):
    agree(ours, named, tolerance=1e-12)
    agree(ours, by_tensor, tolerance=1e-12)
agree(sum(np.outer(x[token], d_q[token]) for token in range(len(ids))), d_w, tolerance=1e-12)

rng, h = np.random.default_rng(seed=0), 1e-5
for i, j in zip(rng.integers(0, config.dim, 3), rng.integers(0, config.head_dim, 3)):
    nudge = np.zeros_like(w)
    nudge[i, j] = h
    tried = (((x @ (w + nudge)) ** 2).sum() - ((x @ (w - nudge)) ** 2).sum()) / (2 * h)
    print(f"d_w[{i}, {j}] = {d_w[i, j]:.8f}, tried {tried:.8f}")
    assert abs(tried - d_w[i, j]) < 1e-6 * np.abs(d_w).max()

# %% [markdown] key="seen-note"
# ## What you have seen

# %% key="seen"
table(
    ["forward", "back: what the inputs get", "often forgotten"],
    [
        ["`a + b`", "`g` each", "undo the broadcast: sum over the stretched axes"],
        ["`a * b`", "`g * b` and `g * a`", "the values of the forward pass are needed"],
        ["`x @ w`", "`g @ w.T` and `x.T @ g`", "the sum over all tokens is in the product"],
        ["`x.sum()`", "`g`, copied to every place", "for `mean`, divided by the count"],
        ["`x[index]`", "`g`, added at the index", "an entry that was read twice gets both"],
        ["`x.T`, `x.reshape`", "`g`, turned back", "a view: changing one changes the other"],
        ["a value used twice", "the sum of both", "`+=`, not `=`"],
    ],
)

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>The gradient with respect to a weight is 0. Is the weight useless?</summary>
#
# No. The loss is flat there: a small step up or down changes nothing, for these inputs. The weight may be
# just right. Or it may stand before a curve that is flat at this place, as relu is below zero.
#
# </details>
#
# <details><summary>A weight has the gradient 0.5, and the loss is to become smaller. Up or down with it, and by how much?</summary>
#
# Down: the loss grows with the weight. How far, the gradient does not say. It is a slope and no distance;
# the learning rate decides.
#
# </details>
#
# <details><summary>Why does the backward pass start with 1?</summary>
#
# Because the loss grows by 1 when the loss grows by 1. That is also why `backward` wants a single number:
# with several results there would be several questions, and one would have to say how much each counts.
#
# </details>
#
# <details><summary>Your formula and the numerical gradient differ in the fourth digit, in float32. What now?</summary>
#
# Repeat the check in float64 with a step of about 1e-5. In float32 a numerical gradient has few right
# digits anyway. If they then differ in the fourth digit, the formula is wrong.
#
# </details>
#
# <details><summary>In training, why must the values of the forward pass be kept, and what does that mean for memory?</summary>
#
# The rules need them: for `a * b` the gradient with respect to `a` is `g * b`. So training keeps all
# activations of a run until the backward pass has used them. Writing text needs none of that, and so far less
# memory.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# In Tensors a step such as RMS norm is half a dozen operations, and each keeps its result for the backward pass.
# Lesson 15, backward, takes each step of Llama as a whole: the rules put together on paper, a few lines of
# NumPy are left. It goes from the loss on a real sentence through the output matrix, the norms,
# feed-forward, attention and its rotation to the embedding, and checks each step as we did here.
#
# (PyTorch does both. It has a graph of operations, and some whole steps, such as softmax or layer norm, are
# one operation in it, with a rule of their own.)
