# %% [markdown] key="title"
# # 14 Tensors and gradients: which way should each weight move?
#
# *Once upon a time, there was a little girl named*: the model goes on with a girl's name, and suppose that we
# would rather hear another one, the third on its list. Each weight of its last matrix can be moved up
# or down a little. Which way should each go, and how far?
#
# *Which way* is told by the **gradient**, which you find by trying, by the chain rule, and with a program of your own for
# any computation. It does not say *how far*: for our one wish a single step will do, and where many are needed, an
# **optimizer** decides. On the way you forget on purpose to clear the gradients, a classic mistake, and see what it is good for.
#
# It follows [lesson 13](13_gpt2_to_llama.ipynb); [exercise 14](exercises/14_tensors_and_gradients.ipynb) goes with it.

# %% key="setup"
import numpy as np
from classroom import agree, numerical_gradient, show, source, table

from llama_np import LLAMA_3_8B, forward, record, softmax
from weights_tools import load_model

model = load_model()
if model.config.count_parameters() > 300_000_000:
    model = load_model("doll-house")
config, tokenizer = model.config, model.tokenizer
prompt = "Once upon a time, there was a little girl named"
ids, trace = np.array(tokenizer.encode(prompt, bos=True)), {}
forward(model.weights, config, ids, tap=record(trace, only={"final_norm"}))

x = trace["final_norm"][-1].astype(np.float64)  # D: the last row of the stream, normalised
output = np.asarray(model.weights.output, np.float64)  # D V
z = x @ output  # the logits
p = softmax(z)
best = np.argsort(-p)[:6]
target = best[2]
names = [tokenizer.token(t) for t in best]
show.bars(p[best], names, "probability", title="what comes next", lit=2)

# %% [markdown] key="loss-why"
# We want `{{ names[2] }}`, which has a probability of {{ p[target] :.3f }}. One number says how wrong that is, the
# **loss**: the surprise at the wanted token, $-\ln p$, 0 where the model is sure of it and
# {{ -np.log(p[target]) :.2f }} here.
#
# Only the last matrix may move, `output`, which turns the last row $x$ into logits $z$
# ([lesson 10](10_logits.ipynb)). It has {{ output.size :,d }} weights. Arrays with any number of axes are called
# **tensors**: the loss, with none, is a **scalar**, `x` a **vector**, `output` a **matrix**.

# %% [markdown] key="slope-why"
# ## Step 1. One weight, by trying
#
# We begin with one weight in the column of `{{ names[2] }}`, in the row where $x$ is largest, because there it does the
# most. Everything else stays, so that the loss becomes a curve over this weight.

# %% key="slope-by-hand"
j = np.abs(x).argmax()
w = output[j, target]


def loss_at(w):
    """The loss if that one weight is w: only the logit of the target moves."""
    moved = z.copy()
    moved[target] += x[j] * (w - output[j, target])
    return -np.log(softmax(moved)[target])


def slope_between(w, h):
    return (loss_at(w + h) - loss_at(w)) / h


reach = 7 / abs(x[j])
around = np.linspace(w - reach, w + reach, 61)
lines = {"loss": np.array([loss_at(v) for v in around])}
for name, side in (("at our weight", 0), ("where nearly sure", 0.6)):
    at = w + side * reach * np.sign(x[j])
    line = loss_at(at) + slope_between(at, 1e-6) * (around - at)
    lines[f"slope {name}"] = np.where(np.abs(around - at) < reach / 2.5, line, np.nan)
show.curves(around, lines, ("one weight", "loss"), title="the loss over a single weight")
for h in (0.1, 0.01, 0.001, 0.0001):
    print(f"slope between w and w + {h:<6}: {slope_between(w, h):.5f}")

# %% [markdown] key="slope-read"
# The slopes settle near {{ slope_between(w, 1e-6) :.3f }} as the second point comes closer. This is the
# **derivative** of the loss with respect to the weight. Its
# sign answers our question for this weight: {{ "down" if slope_between(w, 1e-6) > 0 else "up" }}, since the loss {{ "rises" if slope_between(w, 1e-6) > 0 else "falls" }} where the weight grows. Where the
# token is nearly certain the curve is flat, because nothing is left to gain.

# %% [markdown] key="chain-why"
# ## Step 2. The same slope by the chain rule
#
# Trying does not say why. The weight moves the loss through three links, each with a slope of its own:
#
# | link | slope | because |
# |---|---|---|
# | $z = \dots + x_j\,w$ | $x_j$ | one more $w$ is $x_j$ more in the sum |
# | $p = e^z / (e^z + R)$ | $p\,(1 - p)$ | see below; $R$ comes from the other tokens |
# | $\mathrm{loss} = -\ln p$ | $-1/p$ | the slope of ln at $p$ is $1/p$ |
#
# If $z$ grows by a tiny $h$, the top of the fraction becomes $1 + h$ times as large and the bottom,
# of which the top is the share $p$, $1 + h\,p$ times, hence the fraction about $1 + h\,(1 - p)$ times.
#
# By the **chain rule**, slopes multiply along the way: where $z$ grows 3 times as fast as $w$, and $p$ half as
# fast as $z$, $p$ grows 1.5 times as fast as $w$. We begin at the loss. `d_z` is short for the
# derivative of the loss with respect to `z`.

# %% key="chain-by-hand"
d_p = -1 / p[target]
d_z = d_p * p[target] * (1 - p[target])
d_w = d_z * x[j]
print(f"d_p = {d_p:.4f}   d_z = {d_z:.4f}   d_w = {d_w:.4f}")
agree(d_w, numerical_gradient(lambda v: loss_at(v[0]), np.array([w]), [(0,)])[0], 1e-7)

# %% [markdown] key="chain-read"
# The first two slopes multiply to $-\frac{1}{p} \cdot p\,(1 - p) = p - 1$, here {{ p[target] - 1 :.4f }}: minus what the
# probability still lacks.

# %% [markdown] key="numerical-why"
# ## Step 3. How good is trying?
#
# `numerical_gradient` takes a step to *each* side, $(\mathrm{loss}(w + h) - \mathrm{loss}(w - h)) / 2h$. At distance $h$ a
# curve has bent away from its tangent in proportion to $h^2$, on both sides alike, so that this drops out of the
# difference.
#
# **Predict before you run:** is a smaller $h$ always better?

# %% key="numerical-by-hand"
steps = 10.0 ** -np.arange(1, 14.5, 0.5)
errors = {
    "one side": [abs(slope_between(w, h) - d_w) for h in steps],
    "two sides": [abs((loss_at(w + h) - loss_at(w - h)) / (2 * h) - d_w) for h in steps],
}
show.curves(steps, errors, ("step h", "error of the slope"), log="xy", title="slopes by trying")
for name, error in errors.items():
    print(f"{name:9} best step {steps[np.argmin(error)]:.0e}, error {min(error):.0e}")

# %% [markdown] key="numerical-answer"
# <details><summary>Answer</summary>
#
# No. At the right of the picture $h$ is too large, and the bend shows. At the left the two losses
# have nearly all digits in common, and their difference keeps only the last, rounded ones.
#
# </details>
#
# So gradients are checked in float64, from two sides, with steps near 1e-5.{{ claim: min(errors["one side"]) > 10 * min(errors["two sides"]) }}

# %% [markdown] key="gradient-why"
# ## Step 4. All weights at once
#
# The other columns count too, since every logit is in the bottom of the softmax. With $y$ for the target, the loss
# is $\ln \sum_v e^{z_v} - z_y$. If $z_v$ grows by $h$, the logarithm of the sum
# grows by $h\,p_v$, and for the target $h$ comes off. With $[v = y]$ for 1 where that is true, else 0:
#
# $$\frac{d\,\mathrm{loss}}{d z_v} = p_v - [v = y] \qquad\qquad \frac{d\,\mathrm{loss}}{d w_{jv}} = x_j\,(p_v - [v = y])$$
#
# All derivatives together are the **gradient** of the loss *with respect to* an array, and have its shape.

# %% key="gradient-by-hand"
d_z = p.copy()  # V
d_z[target] -= 1
d_output = np.outer(x, d_z)  # D V
some = [(j, best[0]), (0, target), (1, best[1])]
tried = numerical_gradient(lambda w: -np.log(softmax(x @ w)[target]), output, some)
agree(np.array([d_output[entry] for entry in some]), tried, 1e-6)
n_here, n_8b = config.count_parameters(), LLAMA_3_8B.count_parameters()
show.bars(d_z[best], names, "d_z", title="the gradient with respect to six logits", lit=2)

# %% [markdown] key="gradient-read"
# Only `{{ names[2] }}` is to rise, the others to fall in proportion to their probability, `{{ names[0] }}` the
# most with {{ d_z[best[0]] :.2f }}.{{ claim: abs(d_z.sum()) < 1e-9 }} Trying would take two runs for each weight,
# {{ 2 * n_here :,d }} for this whole model and {{ 2 * n_8b / 1e9 :.0f }}
# billion for Llama 3 8B. Going back takes a single one, because every earlier weight reuses `d_z`. This is the
# **backward pass**, or **backpropagation** ([Rumelhart et al. 1986](https://doi.org/10.1038/323533a0)).

# %% [markdown] key="step-why"
# ## Step 5. A step
#
# Now every weight moves by $-\eta$ times its derivative $g$. Slope times distance is $-\eta\,g^2$, so that
# together they promise to change the loss by $-\eta \sum g^2$. The number $\eta$ (eta) is the **learning rate**, a
# **hyperparameter**: nothing learns it, we choose it. Does the loss keep the promise?

# %% key="step"
rows = []
for rate in (1e-5, 1e-4, 1e-3, 1e-2):
    after = softmax(x @ (output - rate * d_output))
    promised, got = -rate * (d_output**2).sum(), np.log(p[target] / after[target])
    rows.append([rate, promised, got, after[target], tokenizer.token(after.argmax())])
table(
    ["rate", "promised", "got", f"probability of {names[2]}", "likeliest"],
    [[f"{r:.0e}", f"{a:.4f}", f"{b:.4f}", f"{c:.3f}", f"`{d}`"] for r, a, b, c, d in rows],
)

# %% [markdown] key="step-read"
# At the smallest rate the promise is kept. At the
# largest the promised fall of {{ -rows[-1][1] :.1f }} is more than the whole loss, and yet our wish is granted.{{ claim: rows[-1][4] == names[2] and rows[0][2] / rows[0][1] > 0.95 }} How far, then? The rate
# {{ next(r for r, *_, said in rows if said == names[2]) :g }} is enough here, {{ claim: rows[-2][4] == names[2] and rows[-2][3] > 0.15 }}
# but that was found by trying, because a gradient is true of small steps only.

# %% [markdown] key="product-why"
# ### Many rows, one matrix
#
# In training, every row of a text has a target. With $z_{tv} = \sum_j x_{tj} w_{jv}$,
# $w_{jv}$ moves the loss through every row, and $x_{tj}$ through every column, and what reaches it on
# several ways adds up:
#
# $$d_{w,jv} = \sum_t x_{tj}\, d_{z,tv} \;\Rightarrow\; d_w = x^{\mathsf T} d_z
# \qquad\qquad d_{x,tj} = \sum_v d_{z,tv}\, w_{jv} \;\Rightarrow\; d_x = d_z\, w^{\mathsf T}$$
#
# Shapes often suggest the order; where `w` is square, only the sums tell which product is right.

# %% key="product-by-hand"
from llama_np.training.backward import linear_backward

many, targets = trace["final_norm"][:-1].astype(np.float64), ids[1:]  # T D, T
d_many = softmax(many @ output)  # T V
d_many[np.arange(len(targets)), targets] -= 1
d_many /= len(targets)  # the loss is the mean over the rows
d_x, d_w = d_many @ output.T, many.T @ d_many  # T V @ V D -> T D, D T @ T V -> D V
agree(d_w, sum(np.outer(row, d) for row, d in zip(many, d_many)), 1e-12)
agree(d_x, linear_backward(d_many, many, output)[0], 1e-12)

# %% [markdown] key="machine-why"
# ## Step 6. A machine that goes back by itself
#
# A program can do all this: write the computation as a list, run
# it, walk the list from its end, and hand each derivative on to the inputs, times the slope. This is
# **automatic differentiation** in reverse mode ([Baydin et al. 2015](https://arxiv.org/abs/1502.05767)). We begin with $f = x \cdot x + x$.
#
# **Predict before you run:** what is the slope of $f$ at $x = 3$, and what comes out if a derivative that arrives
# at `x` replaces the one before?

# %% key="machine-by-hand"
compute = {"times": lambda a, b: a * b, "plus": lambda a, b: a + b}
slopes = {"times": lambda a, b: (b, a), "plus": lambda a, b: (1, 1)}


def run_forward(program, values):
    for name, op, *inputs in program:
        values[name] = compute[op](*(values[i] for i in inputs))


def go_back(program, values, add=True):
    d = dict.fromkeys(values, 0.0)
    d[program[-1][0]] = 1.0  # the result grows by 1 when it grows by 1
    for name, op, *inputs in reversed(program):
        for i, slope in zip(inputs, slopes[op](*(values[i] for i in inputs))):
            d[i] = d[name] * slope + (d[i] if add else 0)
    return d


square, values = [("u", "times", "x", "x"), ("f", "plus", "u", "x")], {"x": 3.0}
run_forward(square, values)
print("adding", go_back(square, values)["x"], " ", end="")
print("replacing", go_back(square, values, add=False)["x"])
print("tried ", numerical_gradient(lambda x: x[0] ** 2 + x[0], np.array([3.0]), [(0,)]).round(6))

# %% [markdown] key="machine-answer"
# <details><summary>Answer</summary>
#
# The slope of $x^2 + x$ is $2x + 1 = 7$. Replacing keeps only the last use of `x`: it gives 3, and no error.
#
# </details>
#
# **Where a value is used several times, its derivatives add.** Four more operations, and the machine runs our chain of
# step 2, in which $e^z$ is used twice.

# %% key="machine-chain"
compute |= {"over": lambda a, b: a / b, "exp": np.exp, "log": np.log, "minus": lambda a: -a}
slopes |= {"over": lambda a, b: (1 / b, -a / b**2), "exp": lambda a: (np.exp(a),)}
slopes |= {"log": lambda a: (1 / a,), "minus": lambda a: (-1,)}
chain = [
    ("part", "times", "x_j", "w"),
    ("z", "plus", "part", "rest of z"),
    ("top", "exp", "z"),
    ("bottom", "plus", "top", "R"),
    ("p", "over", "top", "bottom"),
    ("ln p", "log", "p"),
    ("loss", "minus", "ln p"),
]
values = {"x_j": x[j], "w": w, "rest of z": z[target] - x[j] * w}
values["R"] = np.exp(z).sum() - np.exp(z[target])  # the other tokens
run_forward(chain, values)
d = go_back(chain, values)
agree(d["w"], d_output[j, target], 1e-9)

# %% [markdown] key="chain-listed"
# It finds the {{ d["w"] :.4f }} that we found by hand. {{ claim: abs(d["z"] - (p[target] - 1)) < 1e-9 }} **You have written
# backpropagation.** What is missing are arrays in the place of numbers, and a list that writes itself.
#
# The library's `Tensor` is an array that remembers its **parents**, the tensors it was computed from, and for
# each a rule for what it gets of the gradient `g` of the result. Some operations:
# a name, a NumPy function, a rule for each input.

# %% key="tensor-named"
from llama_np.training.autodiff import Tensor, graph

for line in source(Tensor).text.splitlines():
    if any(f'= operation("{name}", np' in line for name in ("+", "*", "@", "exp", "log", "tanh")):
        print(line.strip())

# %% [markdown] key="backward-note"
# The rule for `@` is the one of step 5, with `.mT` for "transposed". An array that NumPy has stretched over many rows
# (**broadcasting**), such as a **bias**, was used in each of them and gets the sum. Our chain once more, with
# $p - 1$ in orange before `exp`:

# %% key="graph"
x_t, w_t = Tensor(x[j], "x"), Tensor(w, "w")
b_t, rest_t = Tensor(values["rest of z"], "b"), Tensor(values["R"], "R")
top = (x_t * w_t + b_t).exp()
loss_t = -(top / (top + rest_t)).log()
loss_t.backward()
show.computation(*graph(loss_t), title="value, and in orange the gradient of the loss")
agree(w_t.grad, d["w"], 1e-9)

# %% [markdown] key="network-why"
# ## Step 7. From random numbers
#
# So much for *which way*, a good place for a break. For *how far* we need something that can be trained many times: points on
# two spirals, and a network that tells which of them a point is on. It has two **hidden layers**, each a matrix, a
# bias and the curve tanh, and one logit $z$. "Yes" has the probability $1 / (1 + e^{-z})$, so that the loss is
# $\ln(1 + e^{-z})$ where "yes" is right and $\ln(1 + e^{z})$ where "no" is.
#
# One start may be lucky, so we train **twenty** at once: one axis more in every tensor.

# %% key="network"
n_points, n_networks, H = 70, 20, 16  # axes: B networks, P points, H hidden numbers
rng = np.random.default_rng(seed=1)
way = np.linspace(0.12, 1, n_points)
angle = 2.5 * np.pi * way
arm = np.stack([way * np.cos(angle), way * np.sin(angle)], axis=-1)
points = np.concatenate([arm, -arm]) + 0.02 * rng.standard_normal((2 * n_points, 2))
points, group = points.astype(np.float32), np.repeat([0, 1], n_points)
sign = np.where(group == 1, 1, -1).astype(np.float32)[:, None]  # P 1


def random_weights(seed=0):
    rng = np.random.default_rng(seed)
    scale = {"w1": 1.5, "b1": 0.5, "w2": H**-0.5, "b2": 0, "w3": H**-0.5, "b3": 0}
    shapes = {"w1": (2, H), "b1": (1, H), "w2": (H, H), "b2": (1, H), "w3": (H, 1), "b3": (1, 1)}
    return {
        name: Tensor((scale[name] * rng.standard_normal((n_networks, *shape))).astype(np.float32))
        for name, shape in shapes.items()
    }


def network(w, points):
    h1 = (points @ w["w1"] + w["b1"]).tanh()  # P 2 @ B 2 H -> B P H
    h2 = (h1 @ w["w2"] + w["b2"]).tanh()  # B P H @ B H H -> B P H
    return h2 @ w["w3"] + w["b3"]  # B P H @ B H 1 -> B P 1


def losses(w):
    return (1 + (-sign * network(w, points)).exp()).log().mean(axis=(1, 2))  # B


# %% [markdown] key="train-why"
# A training loop repeats four moves: the forward pass, the backward pass, a step, and clearing the gradients, because
# `backward` *adds* to the `grad` that is there, as in PyTorch. Its **batch size**, the number of examples in a step, is {{ len(points) }}, all points.


# %% key="train"
def train(rate, keep=0, n_steps=100, make=None):
    """`keep`: how much of a gradient stays for the next step. `make`: an optimizer (step 9)."""
    w, log = random_weights(), []
    change = {name: make(rate) if make else lambda g: rate * g for name in w}
    for _ in range(n_steps):
        loss = losses(w)  # forward pass
        loss.sum().backward()  # backward pass; each network's loss depends on its own weights
        for name, tensor in w.items():
            tensor.value -= change[name](tensor.grad)  # step
            tensor.grad = keep * tensor.grad if keep else None  # clear
        log.append(loss.value)
    return w, np.array(log)  # steps B


trained, cleared = train(rate=1.0, n_steps=400)
every = np.linspace(-1.2, 1.2, 60, dtype=np.float32)
grid = np.stack(np.meshgrid(every, every), axis=-1).reshape(-1, 2)
panels = {}
for name, w_n in {"before: probability of red": random_weights(), "after": trained}.items():
    panels[name] = (1 / (1 + np.exp(-network(w_n, grid).value[0]))).reshape(len(every), -1)
show.regions(panels, points, group, reach=1.2)

# %% [markdown] key="mistake-why"
# This is the first of them. Slopes alone have brought it from {{ cleared[0, 0] :.2f }} to {{ cleared[-1, 0] :.3f }} in {{ len(cleared) }} steps.
# {{ claim: cleared[-1, 0] < 0.3 }}
#
# ## Step 8. The mistake
#
# **Predict before you run:** what happens to the loss if the gradients are never cleared? And if nine tenths of the old
# ones are kept?

# %% key="mistake"
kept = {"cleared": 0, "never cleared": 1, "0.9 kept": 0.9}
lines = {name: np.median(train(1.0, keep)[1], axis=1) for name, keep in kept.items()}
never = lines["never cleared"]
smooth = np.median([never[i : i + 9] for i in range(92)], axis=1)  # over nine steps
lowest = smooth.argmin() + 4  # the middle of the nine
show.curves(
    np.arange(100), lines, ("step", "loss"), log="y", title="median of twenty networks, rate 1"
)

# %% [markdown] key="mistake-read"
# Never cleared, the loss falls faster at first than in the correct loop, to about
# {{ smooth.min() :.2f }} around step {{ lowest }}, and then climbs again. With 0.9 kept it ends at
# {{ lines["0.9 kept"][-1] :.4f }}, where the correct loop has {{ lines["cleared"][-1] :.2f }}. Why? Try the same
# with a single weight in a bowl, $\mathrm{loss} = w^2 / 2$, whose slope is $w$ itself:
# {{ claim: lines["0.9 kept"][-1] < lines["cleared"][-1] / 10 }}
# {{ claim: smooth.min() < 0.8 * lines["cleared"][lowest] and smooth[-1] > 1.3 * smooth.min() }}


# %% key="bowl"
def roll(keep, rate=0.03):
    w, v, path = 3.0, 0.0, []
    for _ in range(100):
        path.append(w)
        v = keep * v + w  # the slope is w
        w -= rate * v
    return np.array(path)


swings = {name: roll(keep) for name, keep in kept.items()}
show.curves(np.arange(100), swings, ("step", "weight"), title="one weight in a bowl")

# %% [markdown] key="valley-why"
# What is kept is the sum of all slopes so far, a velocity $v$. It is largest at the bottom, so that the weight
# swings for ever. Keeping only 0.9 of it acts as friction. This is **momentum**
# (Polyak 1964; brought to deep networks by [Sutskever et al. 2013](https://proceedings.mlr.press/v28/sutskever13.html)), between the correct loop ($\beta = 0$)
# and the mistake (1):
#
# $$v \leftarrow \beta\,v + g \qquad\qquad w \leftarrow w - \eta\,v$$
#
# On a slope that stays the same, $v$ grows to $g\,(1 + 0.9 + 0.81 + \dots) = 10\,g$. So is momentum only
# a rate ten times as large?
#
# ## Step 9. In a valley
#
# Take two weights and $\mathrm{loss} = (a^2 + 100\,b^2) / 2$, a valley. A plain step turns $a$ into $(1 - \eta)\,a$
# and $b$ into $(1 - 100\,\eta)\,b$. Above $\eta = 0.02$ the second factor is below −1, and $b$ swings wider with each
# step. So the steep direction sets the rate, far too small for the flat one.

# %% [markdown] key="adam-why"
# **Adam** ([Kingma and Ba 2014](https://arxiv.org/abs/1412.6980)) gives each weight a rate of its own. It keeps running means
# of the gradient, which is momentum again, and of its square:
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1)\,g \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\,g^2 \qquad
# w \leftarrow w - \eta\,\frac{m'}{\sqrt{v'}}$$
#
# Here $v$ is not a velocity: its root is the usual size of this weight's slope, so that the quotient is seldom much above 1. Both means start at 0: after $t$ equal gradients, $m = (1 - \beta_1^t)\,g$, and divided by that factor it is
# $m'$; $v'$ likewise.


# %% key="optimizers"
def momentum(rate, keep=0.9):
    v = 0

    def step(g):
        nonlocal v
        v = keep * v + g
        return rate * v

    return step


def adam(rate, keep=0.9, keep_square=0.95):
    m = v = t = 0

    def step(g):
        nonlocal m, v, t
        m, v, t = keep * m + (1 - keep) * g, keep_square * v + (1 - keep_square) * g * g, t + 1
        unbiased, square = m / (1 - keep**t), v / (1 - keep_square**t)
        return rate * unbiased / (np.sqrt(square) + 1e-8)  # never divided by 0

    return step


def height(a, b):
    return (a**2 + 100 * b**2) / 2


def walk(step, n_steps=100):
    path = [np.array([-3.0, 0.8])]
    for _ in range(n_steps):
        path.append(path[-1] - step(path[-1] * [1, 100]))
    return np.array(path)


a, b = np.linspace(-3.4, 1.4, 80), np.linspace(-1.1, 1.1, 80)
walks = {
    "plain, rate 0.019": walk(momentum(0.019, keep=0)),
    "momentum, rate 0.019": walk(momentum(0.019)),
    "Adam, rate 0.15": walk(adam(0.15)),
}
begun = {name: path[:31] for name, path in walks.items()}
show.paths(a, b, height(a, b[:, None]), begun, ("a, flat", "b, steep"), title="thirty steps")
for name, path in walks.items():
    print(f"{name:21} after 30 steps {height(*path[30]):.3f}, after 100 {height(*path[-1]):.4f}")

# %% [markdown] key="walks-read"
# Plain descent jumps from wall to wall and only comes to $a$ = {{ walks["plain, rate 0.019"][30, 0] :.1f }}. Momentum
# swings as wide, half as often, and shoots past the cross, so that after thirty steps it has gained nothing. But all its
# swings, flat or steep, shrink by $\sqrt{0.9}$ a step
# ([Goh 2017](https://distill.pub/2017/momentum/)), and after a hundred its loss is
# {{ height(*walks["momentum, rate 0.019"][-1]) :.3f }} where plain descent has {{ height(*walks["plain, rate 0.019"][-1]) :.3f }}.
# {{ claim: height(*walks["momentum, rate 0.019"][-1]) < height(*walks["plain, rate 0.019"][-1]) / 10 }}
# {{ claim: height(*walks["Adam, rate 0.15"][30]) < height(*walks["plain, rate 0.019"][30]) / 3 }}
# Adam starts diagonally, as if both directions were equally steep, and is ahead after thirty steps.

# %% [markdown] key="trial-why"
# ## Step 10. Is it more than a larger rate?
#
# Twenty starts, a hundred steps, the loss as mean of the last five. Plain descent and Adam get the best of four rates, the
# mistake of three, momentum only the rate of step 8. Were it only a factor of ten, each **control** would
# equal its partner: plain descent at ten times the rate of momentum, and momentum at a tenth of that of plain descent.
#
# **Predict before you run:** where in the table will the mistake come, by its median?


# %% key="trial"
def final(rate, **more):
    return np.nan_to_num(train(rate, **more)[1][-5:].mean(axis=0), nan=np.inf)  # B


def at_rates(*rates, **more):  # the rate with the best median first
    tried = {rate: final(rate, **more) for rate in rates}
    return dict(sorted(tried.items(), key=lambda item: np.median(item[1])))


with np.errstate(over="ignore", invalid="ignore"):  # weights may run away, beyond float32
    plain, with_momentum = at_rates(0.5, 1.0, 2.0, 3.0), final(1.0, keep=0.9)
    mistake, with_adam = at_rates(0.1, 0.3, 1.0, keep=1), at_rates(0.03, 0.1, 0.3, 1.0, make=adam)
    trials = {
        "plain, best rate {}".format(*plain): [*plain.values()][0],
        "momentum, rate 1": with_momentum,
        "control: plain, rate 10": final(10.0),
        "plain, rate 1": plain[1.0],
        "control: momentum, rate 0.1": final(0.1, keep=0.9),
        "never cleared, best rate {}".format(*mistake): [*mistake.values()][0],
        "Adam, best rate {}".format(*with_adam): [*with_adam.values()][0],
    }
never, adams = [*mistake.values()][0], [*with_adam.values()][0]
above = (never > with_momentum.max()).sum()
table(
    ["20 starts", "median", "lowest", "highest"],
    [[n, *(f"{f(e):.4f}" for f in (np.median, np.min, np.max))] for n, e in trials.items()],
)

# %% [markdown] key="trial-read"
# {{ claim: trials["momentum, rate 1"].max() < min(e.min() for e in plain.values()) }}
# {{ claim: np.median(trials["control: plain, rate 10"]) > 0.7 }}
# {{ claim: 0.5 < np.median(trials["control: momentum, rate 0.1"]) / np.median(plain[1.0]) < 2 }}
# {{ claim: np.median(never) < min(np.median(e) for e in plain.values()) / 5 and never.max() > 3 * with_momentum.max() }}
# {{ claim: 0.3 < np.median(never) / np.median(with_momentum) < 3 }}
# The worst of twenty networks with momentum, {{ trials["momentum, rate 1"].max() :.4f }}, is better than the best
# plain one at any of the four rates, {{ min(e.min() for e in plain.values()) :.4f }}. At a small rate, momentum
# is a factor of ten and little else: {{ np.median(trials["control: momentum, rate 0.1"]) :.2f }} against
# {{ np.median(plain[1.0]) :.2f }}. But plain descent at the rate 10 ends at
# {{ np.median(trials["control: plain, rate 10"]) :.0f }}. **Momentum goes ten times as far where it
# is flat and is not thrown out where it is steep.**
#
# And the mistake? Its median, {{ np.median(never) :.4f }}, is far below the correct loop at its best
# and close to that of momentum. But it never settles: at the end {{ above }} of the
# twenty lie above the worst one with momentum, the highest at {{ never.max() :.2f }}.
# Adam has the lowest median, {{ np.median(adams) :.4f }}, but its worst network is still at {{ adams.max() :.2f }}.
# {{ claim: np.median(adams) == min(np.median(e) for e in trials.values()) and adams.max() > 0.05 }}

# %% [markdown] key="next"
# ## What comes next
#
# PyTorch has these optimizers as `torch.optim.SGD(..., momentum=0.9)` and `torch.optim.Adam(..., betas=(0.9, 0.95))` (left to itself it keeps 0.999 of the squares); what the W of `AdamW` adds
# is in [lesson 16](16_pretraining.ipynb).
# In [exercise 14](exercises/14_tensors_and_gradients.ipynb) you find out what our step has changed for a
# *boy*. [Lesson 15](15_backward.ipynb) goes back through every step of a Llama.
