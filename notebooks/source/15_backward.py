# %% [markdown] key="title"
# # 15 Backward: the backward pass through every step of Llama
#
# Lesson 14 ended with one matrix product and its backward pass. A Llama is a chain of such steps. Here we go the
# whole way, from the loss on a real sentence back to the embedding. Each step gets its rule: a few lines of
# NumPy, compared with the library, and with trying it out.
#
# **In** goes a sentence: every token is asked to predict the one after it. **Out** comes one number, the
# loss, and for every weight of the model the gradient of the loss with respect to it, an array of the same
# shape as the weight.
#
# After this lesson you can measure how surprised a model is by a text, in nats, bits and perplexity. You can
# write the backward pass of each step of a Llama, say what it must keep from the forward pass, and check a
# gradient that you do not trust. You have seen what the residual stream does for gradients.

# %% [markdown] key="recall"
# ## What we need from lesson 14
#
# `d_x` means: how much the loss grows per unit of growth in `x`, number by number, so it has the shape of
# `x`. In the backward pass each step gets `d_out`, for what it gave out, and returns a `d_` for each thing that
# went in, by the chain rule. Where a value was used several times, its gradients add.
#
# The weights are widened to float64 here, since we want to check every rule to many digits. Each array of weights gets
# a gradient of the same shape. That is 16 bytes per parameter, 8 for the weight and 8 for its gradient. If the model you have chosen is too large
# for that, the doll-house takes its place.
#
# Every token of the sentence but the last is an input. Every token but the first is a **target**: what the
# token before it should have predicted. We run the model once and keep every activation under its name.

# %% key="setup"
import numpy as np
from classroom import agree, clearest_head, numerical_gradient, show, source, table

from llama_np import LLAMA_3_8B, Weights, forward, log_softmax, patch, record, softmax
from weights_tools import load_model

model = load_model()
if model.config.count_parameters() > 300_000_000:
    model = load_model("doll-house")
config, tokenizer = model.config, model.tokenizer
weights = model.weights.map(lambda w: np.asarray(w, np.float64))
print(f"{config.count_parameters():,} parameters; with gradients in float64:", end=" ")
print(f"{16 * config.count_parameters() / 1e6:,.0f} MB, for Llama 3 8B", end=" ")
print(f"{16 * LLAMA_3_8B.count_parameters() / 1e9:,.0f} GB")
show.model_map(config.n_layers, lit=["output", "next"])

# %% key="sentence"
text = "Once upon a time, there was a little girl named Lily. She had a red boat."
tokens = np.array(tokenizer.encode(text, bos=True))
ids, targets = tokens[:-1], tokens[1:]
labels, answers = ([tokenizer.token(i) for i in some] for some in (ids, targets))
positions = np.arange(len(ids))
trace = {}
logits = forward(weights, config, ids, tap=record(trace))
show.tokens([tokenizer.token(i) for i in tokens], tokens)
print("ids", ids.shape, "targets", targets.shape, "logits", logits.shape, logits.dtype)

# %% [markdown] key="loss-why"
# ## Step 1. The loss: how surprised is the model?
#
# The model gave the token that really came a probability $p$. Its **surprise** is $-\ln p$: 0 if it was
# sure, 0.69 if it gave the token one half, 4.6 for one hundredth. The unit, with the natural logarithm, is
# the **nat**. The loss is the mean surprise over all positions. This is called **cross-entropy**.
#
# $$\mathrm{loss} = -\frac{1}{N} \sum_t \ln p_t \qquad p_t = \mathrm{softmax}(z_t)_{y_t}$$
#
# $z_t$ is the row of logits at position $t$, $y_t$ the token that came next, and $N$ the number of positions
# that count. Each bar below is one token that came, with its surprise.

# %% key="loss-by-hand"
probabilities = softmax(logits)
surprise = -np.log(probabilities[positions, targets])  # T V -> T
loss = surprise.mean()
show.bars(surprise, answers, "surprise in nats", title="the token that came", lit=surprise.argmax())
print(f"loss {loss:.4f} nats")

# %% key="loss-named"
from llama_np.training import cross_entropy

source(cross_entropy)

# %% [markdown] key="loss-note"
# The library takes `log_softmax`, so that a probability too small to be stored does no harm. And it leaves
# out the positions whose target is `IGNORE`. That is used, for example, where a question is given and only
# the answer is to be learned.
#
# The same number has other names. Divided by $\ln 2$ it is counted in **bits**. $e^{\mathrm{loss}}$ is the
# **perplexity**: so many equally likely tokens would be as surprising. **Bits per byte** divides all the
# bits by the length of the text in bytes, so that models with different tokenizers can be compared.

# %% key="loss-agree"
agree(loss, cross_entropy(logits, targets), tolerance=1e-12)
V, n_bytes = config.vocab_size, len(text.encode())
table(
    ["", "this model", "a model that knows nothing"],
    [
        ["loss, nats per token", f"{loss:.3f}", f"{np.log(V):.3f}"],
        ["bits per token", f"{loss / np.log(2):.3f}", f"{np.log2(V):.3f}"],
        ["perplexity", f"{np.exp(loss):.2f}", f"{V}"],
        ["bits per byte", f"{surprise.sum() / np.log(2) / n_bytes:.3f}"]
        + [f"{len(ids) * np.log2(V) / n_bytes:.3f}"],
    ],
)

# %% [markdown] key="trying-why"
# ## Step 2. How we shall check
#
# A rule for a gradient is easily wrong by a sign or a factor, and the shapes fit all the same. So each is
# checked by trying: move one number a little up, a little down, run the rest of the model, and see how the
# loss moves (lesson 14, step 6). `patch` replaces an activation on its way through the model. So we can try
# any matrix that has a name, in the middle of the run, and every weight.
#
# Here is the function of the library, and below it our tools. `check` tries four entries: the one with the
# largest gradient, and three at random. Differences are measured against the largest gradient of the array.
#
# The last lines try one weight of the last norm in two dtypes. In float32 the two losses differ in the last digit
# at most, so the slope comes out as zero, or as nonsense. So we check in float64.

# %% key="trying-named"
source(numerical_gradient)

# %% key="trying"
named = dict(weights.named())
values = {**named, "output": weights.output, **trace}
rng = np.random.default_rng(seed=0)


def loss_when(name, value):
    if name in trace:
        changed = forward(weights, config, ids, tap=patch({name: value}))
    else:
        changed = forward(Weights.from_named({**named, name: value}), config, ids)
    return cross_entropy(changed, targets)


def slope_at(name, entry):
    return numerical_gradient(lambda value: loss_when(name, value), values[name], [entry])[0]


def check(name, d, n_random=3):
    largest = np.unravel_index(np.abs(d).argmax(), d.shape)
    entries = [largest, *zip(*(rng.integers(0, size, n_random) for size in d.shape))]
    by_rule, tried = np.array([[d[e], slope_at(name, e)] for e in entries]).T
    print(f"{name:22} by rule", *(f"{n:11.3e}" for n in by_rule))
    print(f"{'':22} tried  ", *(f"{n:11.3e}" for n in tried))
    agree(by_rule / np.abs(d).max(), tried / np.abs(d).max(), tolerance=1e-5)


for dtype in (np.float64, np.float32):
    some, h = weights.map(dtype), dtype(1e-5)
    up, down = some.norm.copy(), some.norm.copy()
    up[0], down[0] = up[0] + h, down[0] - h
    two = [
        cross_entropy(forward(Weights.from_named(dict(some.named(), norm=w)), config, ids), targets)
        for w in (up, down)
    ]
    print(f"{dtype.__name__}: {two[0]:.14f} - {two[1]:.14f} gives {(two[0] - two[1]) / 2e-5:.9f}")

# %% [markdown] key="logits-why"
# ## Step 3. Back through softmax and cross-entropy
#
# The backward pass starts at the loss, with 1. The first step has a short answer. For one position the loss is
# $-z_y + \ln \sum_j e^{z_j}$, with $y$ the token that came. Raise the logit $z_j$ a little: the second part
# grows by $e^{z_j} / \sum_i e^{z_i}$, which is $p_j$. If $j$ is the right token, the first part falls by 1.
# So, with $1/N$ for the mean:
#
# $$d\_logits_j = \frac{p_j - [\,j = y\,]}{N}$$
#
# $[\,j = y\,]$ is 1 for the right token and 0 for all others. **What was predicted, minus what was right.**
# Only the right token can be negative: to raise it would lower the loss. A position that is predicted well
# has a row near zero: nothing to learn there. In the picture are the columns of tokens of the sentence.

# %% key="logits-by-hand"
d_logits = probabilities.copy()
d_logits[positions, targets] -= 1
d_logits /= len(ids)
print("d_logits", d_logits.shape, " rows sum to", np.abs(d_logits.sum(axis=-1)).max().round(12))
print("negative numbers:", (d_logits < 0).sum(), "in", len(ids), "rows")
seen_tokens = list(dict.fromkeys(targets.tolist()))
columns = [tokenizer.token(i) for i in seen_tokens]
axes = ("T", "V, some columns")
show.matrix(d_logits[:, seen_tokens], axes, rows=labels, columns=columns, title="d_logits")

# %% key="logits-named"
from llama_np.training.backward import cross_entropy_backward

source(cross_entropy_backward)

# %% key="logits-agree"
agree(d_logits, cross_entropy_backward(logits, targets), tolerance=1e-12)
check("logits", d_logits)

# %% [markdown] key="count-why"
# ## Try it: the wrong count
#
# Suppose only the second half of the sentence is to be learned; the first half has the target `IGNORE`. By
# which number should `d_logits` be divided? **Predict before you run:** what goes wrong if it is divided by
# the number of all tokens, and will anything warn us?
#
# <details><summary>Answer</summary>
#
# By the number of positions that **count**, as in the loss itself. With the other number all gradients are
# too small by the same factor. Nothing warns: the directions are right, and training works, as if with a
# smaller learning rate. With batches in which different shares are ignored, the factor changes from batch
# to batch. Only a comparison of numbers finds it.
#
# </details>

# %% key="count"
from llama_np.training.loss import IGNORE

half = np.where(positions < len(ids) // 2, IGNORE, targets)
d_half = cross_entropy_backward(logits, half)
d_wrong = d_half * (half != IGNORE).sum() / len(ids)  # as divided by all of them
at = np.unravel_index(np.abs(d_half).argmax(), d_half.shape)
tried = numerical_gradient(lambda z: cross_entropy(z, half), logits, [at])[0]
print(f"tried {tried:.6f}   over those that count {d_half[at]:.6f}   over all {d_wrong[at]:.6f}")
print("rows of the first half are zero:", not d_half[: len(ids) // 2].any())

# %% [markdown] key="output-why"
# ## Step 4. Back through the output matrix
#
# Forward: `logits = final_norm @ output`. That is the product of lesson 14, with its two rules:
#
# $$d_x = d_{out}\, w^{\mathsf T} \qquad\qquad d_w = x^{\mathsf T} d_{out}$$
#
# It must remember `x`, for `d_w`. The axis `T` is on the inside of the second product: each weight gets the
# sum over all tokens.

# %% key="output-by-hand"
from llama_np.training.backward import linear_backward

d_final = d_logits @ weights.output.T  # T V @ V D -> T D
d_output = trace["final_norm"].T @ d_logits  # D T @ T V -> D V
print("d_final", d_final.shape, "d_output", d_output.shape)
for by_hand, by_library in zip(
    (d_final, d_output), linear_backward(d_logits, trace["final_norm"], weights.output)
):
    agree(by_hand, by_library, tolerance=1e-12)
check("final_norm", d_final)
check("output", d_output)

# %% [markdown] key="norm-why"
# ## Step 5. Back through RMS norm
#
# Forward: a row $x$ is divided by its size, then each column is multiplied by a weight $w$:
#
# $$n = x\, r \qquad r = \frac{1}{\sqrt{\mathrm{mean}(x^2) + \varepsilon}} \qquad out = n \odot w$$
#
# The weight is simple: $d_w = d_{out} \odot n$, summed over all tokens, since all use the same $w$. With
# $g = d_{out} \odot w$ for what comes to $n$, the row is moved in two ways. Each number of $x$ moves its own
# number of $n$, by $r$. And it moves $r$, which moves **all** numbers of the row:
#
# $$d_x = r\,\bigl(g - n \cdot \mathrm{mean}(g \odot n)\bigr)$$
#
# The second term takes away the part of $g$ that points along the row itself. It must be so: to stretch
# the row changes (up to $\varepsilon$) nothing that comes out, so the gradient may not point that way.

# %% key="norm-by-hand"
L = config.n_layers - 1  # the last block
x = trace[f"blocks.{L}.resid_out"]
r = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + config.norm_eps)
n = x * r
g = d_final * weights.norm
along = (g * n).mean(axis=-1, keepdims=True)
d_norm = (d_final * n).sum(axis=0)  # T D -> D
d_resid_out = r * (g - n * along)
print("d_norm", d_norm.shape, "d_resid_out", d_resid_out.shape)
show.matrices({"d_final": d_final, "d_resid_out": d_resid_out}, ("T", "D"), rows=labels, across=1)

# %% key="norm-named"
from llama_np.training.backward import rms_norm_backward

source(rms_norm_backward)

# %% [markdown] key="norm-wrong-why"
# **Predict before you run:** the last line leaves the second term out, as if the size of the row were a
# constant. Where does such a gradient point?
#
# <details><summary>Answer</summary>
#
# Partly along the row. A step in that direction would be for nothing, since the norm takes it back. And
# where most of $g$ points along the row, most of the wrong gradient is wrong. The cosine below is 0 for two
# directions at right angles and 1 for the same direction.
#
# </details>


# %% key="norm-agree"
def show_wrong(name, right, wrong):
    at = np.unravel_index(np.abs(right - wrong).argmax(), right.shape)
    print(f"{name}: tried {slope_at(name, at):.6f}  right {right[at]:.6f}  wrong {wrong[at]:.6f}")


by_library = rms_norm_backward(d_final, x, weights.norm, config.norm_eps)
agree(d_resid_out, by_library[0], tolerance=1e-12)
agree(d_norm, by_library[1], tolerance=1e-12)
check(f"blocks.{L}.resid_out", d_resid_out)
check("norm", d_norm)
for name, d in (("right", d_resid_out), ("wrong", r * g)):
    lengths = np.linalg.norm(d, axis=-1) * np.linalg.norm(x, axis=-1)
    print(f"{name}: largest cosine with the row {np.abs((d * x).sum(axis=-1) / lengths).max():.1e}")
show_wrong(f"blocks.{L}.resid_out", d_resid_out, r * g)

# %% [markdown] key="swiglu-why"
# ## Step 6. Back through feed-forward
#
# We are in the last block now, and enter its second half from behind:
#
# `resid_out = resid_mid + down`, with `down = hidden @ w_down`, `hidden = silu(gate) * up`
#
# The addition hands `d_resid_out` to both sides unchanged; the side of `resid_mid` waits until step 7. Then
# a product of matrices, twice the rule of step 4. Between them stands `*`: each factor gets the gradient
# times the **other** factor. And silu has a slope, which we draw. With $s = \sigma(g)$:
#
# $$\mathrm{silu}'(g) = s\,\bigl(1 + g\,(1 - s)\bigr)$$
#
# The normalised row went in twice, to gate and to up. So its two gradients add.

# %% key="silu-slope"
around = np.linspace(-6, 6, 61)
s = 1 / (1 + np.exp(-around))
lines = {"silu": around * s, "its slope": s * (1 + around * (1 - s))}
show.curves(around, lines, ("gate", ""), title="silu and its slope")

# %% key="swiglu-by-hand"
block = f"blocks.{L}."
last = {name.removeprefix(block): a for name, a in trace.items() if name.startswith(block)}
layer = weights.layers[L]
gate, up, hidden = last["gate"], last["up"], last["hidden"]
s = 1 / (1 + np.exp(-gate))

d_down = d_resid_out
d_hidden = d_down @ layer.w_down.T  # T D @ D F -> T F
d_up = d_hidden * gate * s
d_gate = d_hidden * up * s * (1 + gate * (1 - s))
d_ffn_norm = d_gate @ layer.w_gate.T + d_up @ layer.w_up.T  # T F @ F D -> T D
d_w_gate, d_w_up = last["ffn_norm"].T @ d_gate, last["ffn_norm"].T @ d_up  # D T @ T F -> D F
d_w_down = hidden.T @ d_down  # F T @ T D -> F D
print("d_gate", d_gate.shape, "d_ffn_norm", d_ffn_norm.shape, "d_w_down", d_w_down.shape)

# %% key="swiglu-named"
from llama_np.training.backward import swiglu_backward

source(swiglu_backward)

# %% key="swiglu-agree"
by_library = swiglu_backward(
    d_down, last["ffn_norm"], layer.w_gate, layer.w_up, layer.w_down, gate, up, hidden
)
for by_hand, theirs in zip((d_ffn_norm, d_w_gate, d_w_up, d_w_down), by_library):
    agree(by_hand, theirs, tolerance=1e-12)
check(f"blocks.{L}.gate", d_gate)
check(f"blocks.{L}.ffn_norm", d_ffn_norm)
check(f"layers.{L}.w_down", d_w_down)

# %% [markdown] key="residual-why"
# ## Step 7. Back through the residual: gradients add
#
# `resid_mid` was used twice: feed-forward read a normalised copy of it, and it went straight on. So its
# gradient is the sum of both. One part comes through feed-forward and the norm; the other is `d_resid_out`
# itself, untouched.
#
# **Predict before you run:** what happens if one forgets the part that goes straight on?
#
# <details><summary>Answer</summary>
#
# The rule is wrong, the shapes fit, and only trying shows it. In a deep model it is worse than in one block:
# what goes straight on is what reaches the early blocks. Step 14 shows that.
#
# </details>

# %% key="residual-by-hand"
d_through, d_ffn_weight = rms_norm_backward(
    d_ffn_norm, last["resid_mid"], layer.ffn_norm, config.norm_eps
)
d_resid_mid = d_through + d_resid_out
check(f"blocks.{L}.resid_mid", d_resid_mid)
show_wrong(f"blocks.{L}.resid_mid", d_resid_mid, d_through)


def size(d):
    return np.sqrt((d * d).mean())


print(f"size straight on {size(d_resid_out):.2e}, through the half block {size(d_through):.2e}")

# %% [markdown] key="pattern-why"
# ## Step 8. Back through one head
#
# The first half of the block: `resid_mid = x + mixes @ wo`. The addition hands `d_resid_mid` on, the product
# with `wo` is again the rule of step 4, and the row falls into heads. For each head, forward:
#
# `scores = q @ k.T / sqrt(K)` → `masked` → `pattern = softmax(masked)` → `mix = pattern @ v`
#
# Back through the last product: `d_v = pattern.T @ d_mix` and `d_pattern = d_mix @ v.T`. Then the softmax.
# A row $p$ of the pattern sums to one, so to raise one score takes weight from all others. What counts is
# how far the gradient $d_p$ at a key lies above the mean of the row, taken with the weights $p$:
#
# $$d\_scores = p \odot \bigl(d_p - \mathrm{sum}(d_p \odot p)\bigr)$$
#
# And the mask? It gave hidden keys the weight 0, and the rule multiplies by the weight. **Predict before
# you run:** is `d_pattern` zero for hidden keys? Is `d_scores`?

# %% key="pattern-by-hand"
K, T = config.head_dim, len(ids)
d_mixes = d_resid_mid @ layer.wo.T  # T D @ D Hq*K -> T Hq*K
_, h = clearest_head(trace, [L], config.n_heads)
shared = h // config.group
own = slice(h * K, (h + 1) * K)
q, k, v = last["q_rotated"][h], last["k_rotated"][shared], last["v"][shared]
pattern, d_mix = last["pattern"][h], d_mixes[:, own]

d_v_head = pattern.T @ d_mix  # S T @ T K -> S K
d_pattern = d_mix @ v.T  # T K @ K S -> T S
d_scores = pattern * (d_pattern - (d_pattern * pattern).sum(axis=-1, keepdims=True))
d_q_head = d_scores @ k / np.sqrt(K)  # T S @ S K -> T K
d_k_head = d_scores.T @ q / np.sqrt(K)  # S T @ T K -> S K
show.matrices(
    {"pattern": pattern, "d_pattern": d_pattern, "d_scores": d_scores},
    ("query T", "key S"), rows=labels, columns=labels, across=3,
)  # fmt: skip

# %% [markdown] key="pattern-note"
# `d_pattern` is full: if a query *could* give weight to a later key, that would change the loss. `d_scores`
# is a lower triangle. Above the diagonal it is not small but exactly 0, and the mask needs no step of its
# own. The rows of `d_scores` sum to zero: to raise all scores of a row by the same changes nothing. And the
# first row is all zero, since the first token has no choice.

# %% key="pattern-named"
from llama_np.training.backward import attend_backward, softmax_backward

source(softmax_backward)

# %% key="attend-named"
source(attend_backward)

# %% key="pattern-agree"
later = ~np.tri(T, dtype=bool)
for name, d in (("d_pattern", d_pattern), ("d_scores", d_scores)):
    print(f"{name:9} above the diagonal: {np.count_nonzero(d[later])} of {later.sum()} are not 0")
print("rows of d_scores sum to", np.abs(d_scores.sum(axis=-1)).max().round(12))
agree(d_scores, softmax_backward(d_pattern, pattern), tolerance=1e-12)
for by_hand, theirs in zip(
    (d_q_head, d_k_head, d_v_head), attend_backward(d_mix, q, k, v, pattern)
):
    agree(by_hand, theirs, tolerance=1e-12)
at = (h, T - 1, int(np.abs(d_scores[-1]).argmax()))
print(f"one score: by rule {d_scores[at[1:]]:.9f}, tried {slope_at(block + 'scores', at):.9f}")
print("a hidden score, tried:", slope_at(block + "scores", (h, 0, T - 1)))

# %% [markdown] key="group-why"
# ## Step 9. Grouped queries: sum over the group
#
# Several query heads read the same keys and values (lesson 07). One key-value head is used once by each
# query head of its group, so it gets the **sum** of what comes back from them. We go through all heads in a
# loop and let `+=` do it. The picture shows the gradients that the members of one group send back, and the
# sum.

# %% key="group-by-hand"
d_q, d_k, d_v = (np.zeros_like(last[name]) for name in ("q_rotated", "k_rotated", "v"))
by_head = []
for head in range(config.n_heads):
    shared = head // config.group
    d_q[head], d_k_head, d_v_head = attend_backward(
        d_mixes[:, head * K : (head + 1) * K],
        last["q_rotated"][head], last["k_rotated"][shared], last["v"][shared],
        last["pattern"][head],
    )  # fmt: skip
    d_k[shared] += d_k_head
    d_v[shared] += d_v_head
    by_head.append(d_k_head)
print("d_q", d_q.shape, "d_k", d_k.shape, "d_v", d_v.shape)
sent = {f"from query head {head}": by_head[head].T for head in range(config.group)}
panels, most = {**sent, "sum: d_k of key head 0": d_k[0].T}, np.abs(d_k[0]).max()
show.matrices(panels, ("K", "key S"), columns=labels, limit=most, across=3)

# %% key="group-named"
from llama_np.training.backward import attend_grouped_backward

source(attend_grouped_backward)

# %% [markdown] key="group-wrong-why"
# **Predict before you run:** the last line forgets the sum, and keeps what the last head of each group sent.
# Where a model has as many key heads as query heads, would you notice?
#
# <details><summary>Answer</summary>
#
# No. There each group has one member, and a sum over one is that one. The mistake appears with the first
# model that has grouped queries. So a test must use such a model.
#
# </details>

# %% key="group-agree"
from llama_np import split_heads

by_library = attend_grouped_backward(
    split_heads(d_mixes, K), last["q_rotated"], last["k_rotated"], last["v"], last["pattern"]
)
for by_hand, theirs in zip((d_q, d_k, d_v), by_library):
    agree(by_hand, theirs, tolerance=1e-12)
check(block + "k_rotated", d_k)
check(block + "v", d_v)
show_wrong(block + "k_rotated", d_k, np.stack(by_head[config.group - 1 :: config.group]))

# %% [markdown] key="rope-why"
# ## Step 10. RoPE: rotate back
#
# Forward, each pair of numbers of a query or key was turned by an angle $\alpha$, its position times a
# frequency (lesson 05). That is a product with a small matrix, so its backward pass is a product with its
# transpose. And the transpose of a rotation is the rotation the other way round:
#
# $$\begin{pmatrix} \cos\alpha & -\sin\alpha \\ \sin\alpha & \cos\alpha \end{pmatrix}^{\mathsf T}
# = \begin{pmatrix} \cos(-\alpha) & -\sin(-\alpha) \\ \sin(-\alpha) & \cos(-\alpha) \end{pmatrix}$$
#
# It must remember nothing but the positions. Nothing is learned in this step, so there is no `d_w`.

# %% key="rope-by-hand"
from llama_np import rope_frequencies

frequencies = rope_frequencies(K, config.rope_theta, config.rope_scaling)
angles = positions[:, None] * frequencies  # T 1 * K/2 -> T K/2
cos, sin = np.cos(angles), np.sin(angles)
even, odd = d_q[..., 0::2], d_q[..., 1::2]
d_q_unturned = np.empty_like(d_q)
d_q_unturned[..., 0::2] = even * cos + odd * sin
d_q_unturned[..., 1::2] = -even * sin + odd * cos
lengths = np.linalg.norm(d_q, axis=-1), np.linalg.norm(d_q_unturned, axis=-1)
agree(*lengths, tolerance=1e-12)

# %% key="rope-named"
from llama_np.training.backward import rotate_backward

source(rotate_backward)

# %% [markdown] key="rope-wrong-why"
# **Predict before you run:** the last lines turn forward once more instead of back. For which token would
# that be no mistake?
#
# <details><summary>Answer</summary>
#
# For the first: at position 0 nothing is turned, so nothing is to be turned back. A test with a single
# token would not find the mistake. The lengths of all rows are right too.
#
# </details>

# %% key="rope-agree"
from llama_np import rope_rotations, rotate

rotations = rope_rotations(positions, frequencies)
agree(d_q_unturned, rotate_backward(d_q, rotations), tolerance=1e-12)
d_k_unturned = rotate_backward(d_k, rotations)
check(block + "q", d_q_unturned)
check(block + "k", d_k_unturned)
turned_again = rotate(d_q, positions, frequencies)
show_wrong(block + "q", d_q_unturned, turned_again)
off = np.abs(turned_again - d_q_unturned).max(axis=(0, 2))
for t in (0, 1, T - 1):
    print(f"position {t}: off by {off[t]:.1e}")

# %% [markdown] key="block-why"
# ## Step 11. Out of the block
#
# Three products with `wq`, `wk` and `wv`. The normalised row went into all three, so three gradients add.
# Then the norm, and the residual again: what comes through, plus what goes straight on.
#
# The library's `block_backward` holds the whole block together: feed-forward and its norm, `+= d_out`,
# attention and its norm, `+= d_mid`. What it needs from the forward pass, `block_forward` has kept for it under
# the names that you know. (`ffn_kept` and `attn_kept` are for dropout, a help in training that leaves out some
# numbers at random. Here there is none.)

# %% key="block-by-hand"
merged = [np.swapaxes(d, 0, 1).reshape(T, -1) for d in (d_q_unturned, d_k_unturned, d_v)]
matrices = layer.wq, layer.wk, layer.wv
d_attn_norm = sum(d @ w.T for d, w in zip(merged, matrices))  # T Hq*K @ Hq*K D -> T D
d_wq, d_wk, d_wv = (last["attn_norm"].T @ d for d in merged)  # D T @ T Hq*K -> D Hq*K
before = trace[f"blocks.{L - 1}.resid_out"] if L else trace["embedded"]
d_through, d_attn_weight = rms_norm_backward(d_attn_norm, before, layer.attn_norm, config.norm_eps)
d_x = d_through + d_resid_mid
check(f"layers.{L}.wk", d_wk)
check(f"blocks.{L - 1}.resid_out" if L else "embedded", d_x)

# %% key="block-agree"
from llama_np import causal_mask
from llama_np.training.backward import block_backward, block_forward

mask = causal_mask(positions, positions)
resid_out, kept = block_forward(before, layer, config, rotations, mask)
agree(resid_out, last["resid_out"], tolerance=1e-12)
d_x_library, d_layer = block_backward(d_resid_out, layer, config, rotations, kept)
agree(d_x, d_x_library, tolerance=1e-12)
agree(d_attn_weight, d_layer.attn_norm, tolerance=1e-12)
agree(d_ffn_weight, d_layer.ffn_norm, tolerance=1e-12)
agree(d_wq, d_layer.wq, tolerance=1e-12)
source(block_backward)

# %% [markdown] key="embedding-why"
# ## Step 12. All other blocks, and the embedding
#
# Every block is the same, so the rest of the way is a loop. At its end `d_x` belongs to the rows that were
# looked up in the embedding. Row `t` was a copy of the row of token `ids[t]`. So its gradient is **added** to
# that row. A token that occurs twice gets both, and one that does not occur gets zero. (If the output matrix
# is the embedding transposed, as in tied models, the gradient of that use is added too.)

# %% key="embedding-by-hand"
d_layers = {L: d_layer}
for i in reversed(range(L)):
    before, w = trace[f"blocks.{i - 1}.resid_out"] if i else trace["embedded"], weights.layers[i]
    _, kept = block_forward(before, w, config, rotations, mask)
    d_x, d_layers[i] = block_backward(d_x, w, config, rotations, kept)
check("embedded", d_x)

d_embedding = np.zeros_like(weights.embedding)
for t in range(T):
    d_embedding[ids[t]] += d_x[t]
in_text = list(dict.fromkeys(ids.tolist()))
absent = [i for i in range(config.vocab_size // 2, config.vocab_size) if i not in in_text][:3]
names = [f"{tokenizer.token(i)} x {(ids == i).sum()}" for i in in_text + absent]
rows = d_embedding[in_text + absent]
show.matrix(rows, ("V, some rows", "D"), rows=names, title="d_embedding, by the look-up")

# %% key="embedding-named"
from llama_np.training.backward import embed_backward

source(embed_backward)

# %% [markdown] key="embedding-wrong-why"
# **Predict before you run:** one would like to write `d_embedding[ids] += d_x`, without a loop. What does
# NumPy do with a token that stands in `ids` several times?
#
# <details><summary>Answer</summary>
#
# It reads all rows first, adds, and writes them back: for a token that occurs several times the last one
# wins. `np.add.at` adds one after the other, as the loop does. In PyTorch it is the same trap: there
# `index_add_` is what adds.
#
# </details>

# %% key="embedding-agree"
agree(d_embedding, embed_backward(d_x, ids, config.vocab_size), tolerance=1e-12)
in_one_go = np.zeros_like(d_embedding)
in_one_go[ids] += d_x
off = np.abs(in_one_go - d_embedding).max(axis=-1)
wrong = [f"{tokenizer.token(i)} x {(ids == i).sum()}" for i in np.flatnonzero(off)]
print("wrong rows:", *wrong)

# %% [markdown] key="whole-why"
# ## Step 13. The whole model
#
# `loss_and_gradients` does all of this in one call and returns the loss, and gradients in the same form as
# the weights. Does it find what we found? And does the whole hold against trying, for ten weights from
# anywhere in the model? In the tests of this project every gradient is compared with PyTorch too.

# %% key="whole-agree"
from llama_np.training.backward import loss_and_gradients

loss_found, gradients = loss_and_gradients(weights, config, ids, targets)
agree(loss, loss_found, tolerance=1e-12)
found = {f"layers.{i}.{n}": d for i, each in d_layers.items() for n, d in vars(each).items()}
found |= {"norm": d_norm, "output": d_output, "embedding": d_embedding}
if config.tied_output:
    found["embedding"] = d_embedding + found.pop("output").T
gradient_of, picked = dict(gradients.named()), []
off = [np.abs(found[n] - d).max() / np.abs(d).max() for n, d in gradient_of.items()]
print(f"{len(off)} arrays, largest relative difference {max(off):.0e}")
agree(np.array(off), np.zeros(len(off)), tolerance=1e-10)
for name in rng.choice(list(named), 10, replace=False):
    entry = np.unravel_index(rng.integers(named[name].size), named[name].shape)
    picked.append([name, tuple(map(int, entry)), gradient_of[name][entry], slope_at(name, entry)])
by_rule, tried = np.array([row[2:] for row in picked]).T
agree(by_rule / np.abs(by_rule).max(), tried / np.abs(by_rule).max(), tolerance=1e-5)
rows = [[f"`{name}`", entry, f"{a:.4e}", f"{b:.4e}"] for name, entry, a, b in picked]
table(["weight", "entry", "by the rules", "tried"], rows)

# %% [markdown] key="sizes-why"
# ## Step 14. What the residual does for gradients
#
# How large are the gradients in the first blocks, far from the loss? We compare three sets of weights, each
# with the residual and without it: trained weights, fresh random ones as training starts from, and the same
# fresh ones five times as large. Without the residual a half block *replaces* the stream by its result
# instead of adding it. In the code that is one factor, `keep`: 1 or 0. It stands in four places: two in
# `there`, the forward pass, and two in `sizes_back`, the backward pass. That one returns, for each block, the size
# of the gradient with respect to its seven matrices, as root mean square (RMS).
#
# **Predict before you run:** without the residual, do the gradients become smaller towards the first block,
# or larger?

# %% key="sizes-there"
from dataclasses import replace

from llama_np import merge_heads, rms_norm, silu

eps = config.norm_eps


def there(weights, keep):
    x, blocks = weights.embedding[ids], []
    for w in weights.layers:
        _, seen = block_forward(x, w, config, rotations, mask)  # its first half is what we want
        mid = keep * x + merge_heads(seen.mix) @ w.wo
        ffn_norm = rms_norm(mid, w.ffn_norm, eps)
        gate, up = ffn_norm @ w.w_gate, ffn_norm @ w.w_up
        hidden = silu(gate) * up
        x = keep * mid + hidden @ w.w_down
        second_half = {"ffn_norm": ffn_norm, "gate": gate, "up": up, "hidden": hidden}
        blocks.append(replace(seen, resid_mid=mid, **second_half))
    return x, blocks


agree(there(weights, keep=1)[0], trace[f"blocks.{L}.resid_out"], tolerance=1e-12)

# %% key="sizes-back"
from llama_np.training.backward import attention_backward


def sizes_back(weights, keep):
    x, blocks = there(weights, keep)
    d_logits = cross_entropy_backward(rms_norm(x, weights.norm, eps) @ weights.output, targets)
    d_x, _ = rms_norm_backward(d_logits @ weights.output.T, x, weights.norm, eps)
    sizes = []
    for w, seen in zip(reversed(weights.layers), reversed(blocks)):
        of_gate = seen.gate, seen.up, seen.hidden
        d, *d_ffn = swiglu_backward(d_x, seen.ffn_norm, w.w_gate, w.w_up, w.w_down, *of_gate)
        d_mid = rms_norm_backward(d, seen.resid_mid, w.ffn_norm, eps)[0] + keep * d_x
        d, d_attn = attention_backward(d_mid, w, config, rotations, seen)
        d_x = rms_norm_backward(d, seen.x, w.attn_norm, eps)[0] + keep * d_mid
        sizes.append(size(np.concatenate([each.ravel() for each in (*d_ffn, *d_attn.values())])))
    return np.array(sizes[::-1])


ours = [
    size(np.concatenate([d.ravel() for d in vars(w).values() if d.ndim == 2]))
    for w in gradients.layers
]
agree(sizes_back(weights, keep=1), np.array(ours), tolerance=1e-12)

# %% key="sizes"
from llama_np.weights import initialize

fresh = initialize(config, np.random.default_rng(seed=0)).map(lambda w: w.astype(np.float64))
larger = fresh.map(lambda w: 5 * w if w.ndim == 2 else w)
models = {"trained": weights, "fresh": fresh, "fresh, times 5": larger}
sizes = {
    f"{name}, {how}": sizes_back(w, keep)
    for how, keep in (("with residual", 1), ("without", 0))
    for name, w in models.items()
}
shown = {name: s for name, s in sizes.items() if (s > 1e-30).all()}
title = "size of the gradient with respect to the matrices of a block"
show.curves(np.arange(config.n_layers), shown, ("block", "RMS"), log="y", title=title)
for name, s in sizes.items():
    print(f"{name:29} first block {s[0]:.1e}   last block {s[-1]:.1e}")
stream = [size(seen.x) for seen in there(fresh, keep=0)[1]]
print("fresh, without: the stream before each block", *(f"{n:.0e}" for n in stream[:5]), "...")

# %% [markdown] key="sizes-answer"
# <details open><summary>Answer</summary>
#
# It depends on the weights, and neither is good. Without the residual each half block multiplies the
# gradient by something, and dozens of such factors in a row blow it up or leave nothing of it. In the
# doll-house it blows up with trained weights, and with fresh ones that are not too small: at the first block
# the gradient is thousands of times as large as at the last, or hundreds of thousands. No learning rate would suit all blocks. With
# fresh weights of the usual size the stream itself dies in the forward pass. It falls so far below
# `eps` that the norm can no longer lift it, and what comes back is 0 (so there is no line in the picture). Such
# a model cannot begin to learn.
#
# With the residual the gradients of all blocks stay within a factor of about ten of each other, from the first step of
# training on. The
# gradient at a block is the gradient at the end, plus what comes through the steps between. That sum does not
# vanish just because a factor in it is small ([He et al. 2016](https://arxiv.org/abs/1603.05027), equation
# 5, for networks that look at pictures).
#
# </details>

# %% [markdown] key="descent-why"
# ## Step 15. One step of gradient descent
#
# The gradient says what a small step does: `w - rate * gradient` should lower the loss by `rate` times the
# sum of all squared gradients. We take one step with several rates, from the same weights each time.
#
# **Predict before you run:** which rate is the first for which the promise fails badly?

# %% key="descent"
squared = sum((d * d).sum() for d in gradient_of.values())


def after_step(rate):
    return Weights.from_named({name: w - rate * gradient_of[name] for name, w in named.items()})


for rate in (1e-4, 1e-3, 1e-2, 1e-1, 1.0):
    new = cross_entropy(forward(after_step(rate), config, ids), targets)
    print(f"rate {rate:<6}  promised {-rate * squared:9.5f}   got {new - loss:9.5f}")
least = after_step(1e-2)
new_surprise = -log_softmax(forward(least, config, ids))[positions, targets]
worst = surprise.argmax()
print(
    f"{answers[worst]}: surprise {surprise[worst]:.2f} -> {new_surprise[worst]:.2f} with rate 0.01"
)

# %% [markdown] key="descent-note"
# With the smallest step the promise is kept to all digits that are printed, one more check of the whole gradient. With a large
# one the slope is no longer true, and the loss can rise. And the lesson that the model has just learned is
# one sentence. What it does to all other sentences, nobody has asked. That is why training takes many texts
# at once and small steps.

# %% [markdown] key="seen-note"
# ## What you have seen
#
# Each matrix product of the forward pass becomes **two** in the backward pass, one for `d_x` and one for `d_w`, of
# the same size. So the backward pass costs about twice as much as the forward pass
# ([Kaplan et al. 2020](https://arxiv.org/abs/2001.08361), section 2.1). The table counts multiplications in
# matrix products, in all blocks together. The rest is small beside them. What must be remembered is what
# training needs memory for: it grows with the length of the text (the patterns even with its square) and with the number of texts in a batch.

# %% key="seen"
D, F, Hq, Hkv = config.dim, config.ffn_width, config.n_heads, config.n_kv_heads
in_block = {
    "feed-forward": 3 * T * D * F,
    "projections": 2 * T * D * (Hq + Hkv) * K,
    "attend": 2 * Hq * T * T * K,
}
products = {name: config.n_layers * n for name, n in in_block.items()} | {"output": T * D * V}
products["together"] = sum(products.values())
cost = {name: (f"{n:,}", f"{2 * n:,}") for name, n in products.items()}
rows = [
    ["look-up", "ids", "add to the rows: `np.add.at`", "", ""],
    ["norm", "its input", "`r * (g - n * mean(g * n))`", "", ""],
    ["`wq wk wv wo`", "the normalised row, mixes", "`d @ w.T`, `x.T @ d`", *cost["projections"]],
    ["rotation", "positions", "turn by the negative angle", "", ""],
    ["scores, mix", "q, k, v, pattern", "`d @ v.T`, `pattern.T @ d`, ...", *cost["attend"]],
    ["softmax", "pattern", "`w * (d - sum(d * w))`", "", ""],
    ["grouped queries", "", "sum over the group", "", ""],
    [
        "feed-forward",
        "the normalised row, gate, up, hidden",
        "`d @ w.T`, `x.T @ d`",
        *cost["feed-forward"],
    ],
    ["silu, times", "gate, up", "slope; the other factor", "", ""],
    ["residual", "", "add", "", ""],
    ["output", "the last normalised row", "`d @ w.T`, `x.T @ d`", *cost["output"]],
    ["cross-entropy", "logits, targets", "`(p - one_hot) / count`", "", ""],
    ["together", "", "", *cost["together"]],
]
_, blocks = there(weights, keep=1)
arrays = [a for seen in blocks for a in (*vars(seen).values(), *seen.patterns)]
kept = sum(a.size for a in arrays if isinstance(a, np.ndarray))
print(f"kept for the backward pass: {kept:,} numbers for {T} tokens, {kept // T:,} per token")
print(f"the model itself: {config.count_parameters():,} numbers")
table(["step", "must remember", "back", "products there", "products back"], rows)

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>The loss at a position is nearly 0. What does that position teach the model?</summary>
#
# Nearly nothing. Its row of `d_logits` is $p$ minus one-hot, and both are nearly the same. All its further
# gradients are made from that row.
#
# </details>
#
# <details><summary>Which tokens' rows get a gradient from a sentence: in the matrix wk, and in the
# embedding?</summary>
#
# `wk` has no rows for tokens. All tokens use the whole matrix, and it gets the sum. The embedding
# has one row for each token, and only tokens that occur get a gradient through the look-up. In a tied model
# every row gets one, since every token takes part in the softmax at the end.
#
# </details>
#
# <details><summary>The last token of the inputs has a key and a value. Which queries send a gradient back
# to them?</summary>
#
# Only its own. No later query exists, and earlier ones may not see it. The first token is the opposite: all
# queries may see it, and its key and value get the sum from all of them.
#
# </details>
#
# <details><summary>In training, memory runs out because of what must be remembered. What can one do, without
# changing the result?</summary>
#
# Forget and compute again. Keep only the stream at each block, and run a block forward once more when the
# backward pass arrives there: one more forward run, far less memory
# ([Chen et al. 2016](https://arxiv.org/abs/1604.06174)). Or cut the batch in parts and add up the gradients.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# You can now compute, for every weight of a Llama, in which direction it should go. What is missing is a
# good rule for the step, one that suits all weights, and a great many texts. Lesson 16, pre-training, has
# both: AdamW, a learning rate that rises and falls, a limit on the length of the gradient. It trains a
# small Llama from random numbers, with the gradients that you have seen here.
