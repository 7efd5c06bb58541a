# %% [markdown] key="title"
# # 15 The backward pass: which heads are to blame for a surprise?
#
# *Once upon a time, there was a little girl named Lily. Lily had a red boat.* At every word of it the model is more or
# less surprised, and the mean of these surprises is one number, the loss. Which of its heads are to
# blame, and which keep it small? Trying takes a run for every head, and two for every weight
# (lesson [14](14_tensors_and_gradients.ipynb)); one run forward and one back, the **backward pass**, answer for all
# at once.
#
# We go back from the loss to the embedding and write the rule of each step in a few lines: **backpropagation**, as
# PyTorch's `loss.backward()` does it. Then we test it
# hard: a gradient speaks of tiny changes, yet we ask it what would happen without a whole head, and take each
# one out to see, first in our sentence and then in 20 stories that begin like it. [Exercise 15](exercises/15_backward.ipynb) goes with it.

# %% key="setup"
import numpy as np
from classroom import agree, numerical_gradient, show, table

from llama_np import Weights, forward, patch, record, softmax
from weights_tools import load_model

model = load_model()
if model.config.count_parameters() > 300_000_000:  # all gradients at once need much memory
    model = load_model("doll-house")
config, tokenizer = model.config, model.tokenizer
weights = model.weights.map(lambda w: np.asarray(w, np.float64))
text = "Once upon a time, there was a little girl named Lily. Lily had a red boat."
tokens = np.array(tokenizer.encode(text, bos=True))
ids, targets = tokens[:-1], tokens[1:]  # each token is to predict the one after it
labels, answers = ([tokenizer.token(i) for i in some] for some in (ids, targets))
positions, T, K, last = np.arange(len(ids)), len(ids), config.head_dim, config.n_layers - 1
lilys = np.flatnonzero(targets == tokenizer.encode(" Lily")[0])
trace = {}
logits = forward(weights, config, ids, tap=record(trace))
show.model_map(config.n_layers, lit=["norm", "output", "next"])

# %% [markdown] key="loss-why"
# ## Step 1. The loss
#
# The way back runs through this picture against its arrows, from the three coloured boxes on. To the token that came the model gave a probability
# $p$. Its **surprise** is $-\ln p$, and the loss, called **cross-entropy**, is the mean
# surprise over all positions. (Some can be told not to count, as in step 10.)

# %% key="loss-by-hand"
from llama_np.training import cross_entropy

probabilities = softmax(logits)  # T V
surprise = -np.log(probabilities[positions, targets])  # T
loss, worst = surprise.mean(), int(surprise.argmax())
agree(loss, cross_entropy(logits, targets), tolerance=1e-12)
show.bars(surprise, answers, "surprise in nats", title="the token that came", lit=worst)

# %% [markdown] key="loss-read"
# `{{ answers[worst] }}` surprises most, with {{ surprise[worst] :.2f }}. As a girl's name, *Lily* costs
# {{ surprise[lilys[0]] :.2f }}, and {{ surprise[lilys[1]] :.2f }} the second time,
# because a story may go on in other ways: the model's favourite there was
# `{{ tokenizer.token(int(logits[lilys[1]].argmax())) }}`, with a probability of {{ probabilities[lilys[1]].max() :.2f }}.
#
# The mean is {{ loss :.3f }} **nats** or, divided by $\ln 2$, {{ loss / np.log(2) :.2f }} **bits**. The **perplexity**
# $e^{\mathrm{loss}}$ says that the model hesitates as if between {{ np.exp(loss) :.1f }} equally likely tokens.

# %% [markdown] key="trying-why"
# ## Step 2. A way to check
#
# As in lesson 14, `d_x` is the gradient of the loss with respect to `x`. A rule for it is easily
# wrong while the shapes fit, so `check` moves single numbers a little up and down inside the running
# model (`patch`) and compares slopes: at the entry with the largest gradient and at three others.

# %% key="trying"
named = dict(weights.named())
values = {**named, "output": weights.output, **trace}
rng = np.random.default_rng(seed=0)


def loss_when(name, value):
    if name in trace:
        return cross_entropy(forward(weights, config, ids, tap=patch({name: value})), targets)
    return cross_entropy(forward(Weights.from_named({**named, name: value}), config, ids), targets)


def slopes(name, entries):
    return numerical_gradient(lambda value: loss_when(name, value), values[name], entries)


def check(name, d):
    entries = [np.unravel_index(np.abs(d).argmax(), d.shape)]
    entries += zip(*(rng.integers(0, size, 3) for size in d.shape))
    by_rule, tried = np.array([d[entry] for entry in entries]), slopes(name, entries)
    off = np.abs(by_rule - tried).max() / np.abs(d).max()
    assert off < 1e-5, (name, by_rule, tried)
    print(
        f"{name}: largest slope {by_rule[0]:.4e}, tried {tried[0]:.4e}; all four within {off:.0e}"
    )


# %% [markdown] key="logits-why"
# ## Step 3. Softmax and cross-entropy
#
# Lesson 14 has derived what one position gives to its logits: $p_j$, less 1 for the token $y$ that came. The mean divides by
# the number of positions.
#
# $$d\_logits_j = \frac{p_j - [\,j = y\,]}{\text{positions that count}}$$
#
# **What was predicted, minus what was right.** The product before it has the two rules of
# lesson 14, $d_x = d_{out}\, w^{\mathsf T}$ and $d_w = x^{\mathsf T} d_{out}$.

# %% key="logits-by-hand"
from llama_np.training.backward import cross_entropy_backward

d_logits = probabilities.copy()  # T V
d_logits[positions, targets] -= 1
d_logits /= T
agree(d_logits, cross_entropy_backward(logits, targets), tolerance=1e-12)
d_final_norm = d_logits @ weights.output.T  # T V @ V D -> T D
d_output = trace["final_norm"].T @ d_logits  # D T @ T V -> D V
check("logits", d_logits)
check("output", d_output)
seen_tokens = list(dict.fromkeys([*targets.tolist(), *logits.argmax(axis=-1).tolist()]))
columns = [tokenizer.token(i) for i in seen_tokens]
axes = ("after", "gradient of the logit of")
show.matrix(d_logits[:, seen_tokens], axes, rows=labels, columns=columns, title="d_logits")

# %% [markdown] key="logits-read"
# Blue is the token that came: only there would a higher logit lower the loss. Red are tokens that
# got probability in vain, such as `{{ tokenizer.token(int(logits[lilys[1]].argmax())) }}` where *Lily* came. In units of one
# over {{ T }} tokens, the row of `{{ answers[worst] }}`
# reaches {{ np.abs(d_logits[worst]).max() * T :.2f }} and the palest one, which looks empty,
# {{ np.abs(d_logits).max(axis=-1).min() * T :.3f }}. All further gradients are made from these rows:
# a position that is predicted well teaches nearly nothing.
# {{ claim: np.abs(d_logits[worst]).max() > 5 * np.abs(d_logits).max(axis=-1).min() }}

# %% [markdown] key="norm-why"
# ## Step 4. RMSNorm
#
# A row $x$ of width $D$ is multiplied by $r = (\mathrm{mean}(x^2) + \varepsilon)^{-1/2}$, which gives $n = x\,r$, and
# then, number by number ($\odot$), by the weight $w$. So $d_w = d_{out} \odot n$, summed over all tokens, and what comes
# to $n$ is $g = d_{out} \odot w$. Each $x_j$ moves its own $n_j$, and it moves $r$ and so the whole row ($\partial$ marks a slope while the other inputs stay):
#
# $$\frac{\partial r}{\partial x_j} = -\tfrac12\,(\mathrm{mean}(x^2) + \varepsilon)^{-3/2} \cdot \frac{2 x_j}{D} = -\frac{r^2 n_j}{D}$$
#
# $$d_{x_j} = g_j\, r + \Bigl(\sum_i g_i\, x_i\Bigr) \frac{\partial r}{\partial x_j} = g_j\, r - \Bigl(\sum_i g_i\, n_i\Bigr) \frac{r\, n_j}{D}$$
#
# $$d_x = r\,\bigl(g - n \cdot \mathrm{mean}(g \odot n)\bigr)$$
#
# Forget that $r$ moves and you get $r\,g$. Which part of it is wrong?

# %% key="norm-by-hand"
from llama_np.training.backward import rms_norm_backward

x = trace[f"blocks.{last}.resid_out"]
r = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + config.norm_eps)  # T 1
n, g = x * r, d_final_norm * weights.norm  # T D
d_norm = (d_final_norm * n).sum(axis=0)  # T D -> D
d_resid_out = r * (g - n * (g * n).mean(axis=-1, keepdims=True))
agree(d_resid_out, rms_norm_backward(d_final_norm, x, weights.norm, config.norm_eps)[0])
check(f"blocks.{last}.resid_out", d_resid_out)


def along_the_row(d):  # the largest cosine between a gradient and its row
    return np.abs(
        (d * x).sum(axis=-1) / np.linalg.norm(d, axis=-1) / np.linalg.norm(x, axis=-1)
    ).max()


right, wrong = along_the_row(d_resid_out), along_the_row(r * g)
print(f"cosine with the row itself: right {right:.1e}, without the second term {wrong:.2f}")

# %% [markdown] key="norm-read"
# The part along the row. Stretching a row changes nothing behind the norm, up to $\varepsilon$, so the right gradient
# is at right angles to the row; the wrong one leans towards it with a cosine of up to {{ wrong :.2f }}.
# {{ claim: right < 1e-3 and wrong > 20 * right }}
# And the factor $r$ makes the gradient small where the rows are long.

# %% [markdown] key="swiglu-why"
# ## Step 5. Feed-forward, and the way around it
#
# The last block ends in `resid_out = resid_mid + hidden @ w_down`, with `hidden = silu(gate) * up`. At `*` each factor
# gets the gradient times the other one. The slope of silu at a gate $z$ is $s\,(1 + z\,(1 - s))$, where $s = \sigma(z)$ is the
# sigmoid of [lesson 08](08_feed_forward.ipynb).
#
# `resid_mid` was used twice, by feed-forward and by the plus sign that leads around it. **Predict before you
# run:** a program leaves out, in every block, the straight way past both of its plus signs. What becomes of the gradient
# on its way to the first?

# %% key="swiglu-by-hand"
block = f"blocks.{last}."
kept = {name.removeprefix(block): a for name, a in trace.items() if name.startswith(block)}
layer, gate, up = weights.layers[last], kept["gate"], kept["up"]
s = 1 / (1 + np.exp(-gate))  # T F

d_hidden = d_resid_out @ layer.w_down.T  # T D @ D F -> T F
d_up = d_hidden * gate * s
d_gate = d_hidden * up * s * (1 + gate * (1 - s))
d_ffn_norm = d_gate @ layer.w_gate.T + d_up @ layer.w_up.T  # T F @ F D -> T D
d_w_down = kept["hidden"].T @ d_resid_out  # F T @ T D -> F D
through, _ = rms_norm_backward(d_ffn_norm, kept["resid_mid"], layer.ffn_norm, config.norm_eps)
d_resid_mid = through + d_resid_out  # the way through, and the way around
check(block + "gate", d_gate)
check(f"layers.{last}.w_down", d_w_down)
check(block + "resid_mid", d_resid_mid)

# %% key="around"
from llama_np import causal_mask, rope_frequencies, rope_rotations
from llama_np.training.backward import block_backward, block_forward

frequencies = rope_frequencies(K, config.rope_theta, config.rope_scaling)
rotations, mask = rope_rotations(positions, frequencies), causal_mask(positions, positions)


def stream(i):  # what goes into block i
    return trace[f"blocks.{i - 1}.resid_out"] if i else trace["embedded"]


def sizes_on_the_way(around):
    d, sizes = d_resid_out, []
    for i in reversed(range(config.n_layers)):
        _, seen = block_forward(stream(i), weights.layers[i], config, rotations, mask)
        d_in, _ = block_backward(d, weights.layers[i], config, rotations, seen)
        d = d_in if around else d_in - d  # what went straight past the block is left out
        sizes.append(np.sqrt((d * d).mean()))
    return np.array(sizes[::-1])


both, forgotten = sizes_on_the_way(True), sizes_on_the_way(False)
lines = {"both ways": both, "straight way forgotten": forgotten}
show.curves(np.arange(config.n_layers), lines, ("block", "size"), log="y",
            title="size (RMS) of the gradient that arrives before each block")  # fmt: skip

# %% [markdown] key="around-read"
# With both ways the gradient keeps its size: before block 1 it is {{ both[1] / both[-1] :.1f }} times what it is before
# the last. (The jump at block 0 is the factor $r$ of step 4, because rows of the embedding are short.) Without the straight
# way, the embedding would get {{ forgotten[0] / both[0] :.0e }} of what it should.
# {{ claim: 0.1 < both[1] / both[-1] < 10 and forgotten[0] < 1e-3 * both[0] }}
# What has to go through every block is as good as lost; deep residual networks learn along the shorter ways
# ([Veit et al. 2016](https://arxiv.org/abs/1605.06431)).

# %% [markdown] key="pattern-why"
# ## Step 6. One head
#
# `scores = q @ k.T / sqrt(K)`, `pattern = softmax(masked scores)`, `mix = pattern @ v`. The products go as always.
# Between them stands the softmax. Raising the score $s_j$ raises
# its own weight and, since a row $p$ sums to one, lowers the others:
#
# $$\frac{\partial p_i}{\partial s_j} = p_i\,\bigl([\,i = j\,] - p_j\bigr)$$
#
# $$d_{s_j} = \sum_i d_{p_i}\, p_i\, \bigl([\,i = j\,] - p_j\bigr) = d_{p_j}\, p_j - p_j \sum_i d_{p_i}\, p_i$$
#
# $$d_s = p \odot \bigl(d_p - \mathrm{sum}(d_p \odot p)\bigr)$$
#
# **Predict before you run:** hidden keys have the weight 0. Is `d_pattern` zero there? Is `d_scores`?

# %% key="pattern-by-hand"
from llama_np.training.backward import attend_backward

d_mixes = d_resid_mid @ layer.wo.T  # T D @ D Hq*K -> T Hq*K
d_mix_of = d_mixes.reshape(T, config.n_heads, K).swapaxes(0, 1)  # Hq T K
h = int(np.abs((d_mix_of * kept["mix"]).sum(axis=(1, 2))).argmax())  # the head that matters most
q, k, v = kept["q_rotated"][h], kept["k_rotated"][h // config.group], kept["v"][h // config.group]
pattern, d_mix = kept["pattern"][h], d_mix_of[h]

d_v = pattern.T @ d_mix  # S T @ T K -> S K
d_pattern = d_mix @ v.T  # T K @ K S -> T S
d_scores = pattern * (d_pattern - (d_pattern * pattern).sum(axis=-1, keepdims=True))
d_q = d_scores @ k / np.sqrt(K)  # T S @ S K -> T K
d_k = d_scores.T @ q / np.sqrt(K)  # S T @ T K -> S K
by_library = attend_backward(d_mix, q, k, v, pattern)
agree(np.stack([d_q, d_k, d_v]), np.stack(by_library), tolerance=1e-12)
at = (h, T - 1, int(np.abs(d_scores[-1]).argmax()))
tried = slopes(block + "scores", [at])[0]
print(f"head {last}.{h}, one score: {d_scores[at[1:]]:.6e}, tried {tried:.6e}")
show.matrices({"d_pattern": d_pattern, "d_scores": d_scores}, ("query T", "key S"),
              rows=labels, columns=labels, across=2)  # fmt: skip

# %% [markdown] key="pattern-read"
# `d_pattern` is not zero above the diagonal either: if a token *could* read from a later one, that would change the loss. `d_scores` is exactly zero
# above the diagonal, because the rule multiplies by the weight, and the mask needs no step of its own.
# {{ claim: not d_scores[np.triu_indices(T, 1)].any() and d_pattern[np.triu_indices(T, 1)].any() }}

# %% [markdown] key="group-why"
# ## Step 7. Shared keys, turned keys
#
# The heads of a group share a key-value head (lesson [07](07_multi_head.ipynb)), which gets the sum of what they send
# back. RoPE has turned each pair of numbers (lesson [05](05_rope.ipynb)), and the way back turns it the other way.

# %% key="group-by-hand"
from llama_np import rotate


def sent_by(n):  # what head n sends back to its keys
    g = n // config.group
    seen = kept["q_rotated"][n], kept["k_rotated"][g], kept["v"][g], kept["pattern"][n]
    return attend_backward(d_mix_of[n], *seen)[1]  # S K


sent = np.stack([sent_by(n) for n in range(config.n_heads)])  # Hq S K
in_groups = sent.reshape(config.n_kv_heads, config.group, T, K)
d_k_rotated = in_groups.sum(axis=1)  # Hkv S K
d_k = rotate(d_k_rotated, -positions, frequencies)  # turned back
check(block + "k_rotated", d_k_rotated)
check(block + "k", d_k)

# %% [markdown] key="blocks-why"
# ## Step 8. All blocks, and the embedding
#
# `wq`, `wk` and `wv` are products again, then come norm and plus sign, and the block is done (`block_backward`). At the end, row `t` was a copy of the row `ids[t]` of
# the embedding, so its gradient is added to that row. For which tokens is
# `d_embedding[ids] += d_x` wrong?

# %% key="embedding"
from llama_np import rms_norm
from llama_np.training.backward import loss_and_gradients


def backward_pass(ids, targets, keep=True):
    """The loss, and the gradients of the blocks and the embedding; ``keep`` what the blocks saw?"""
    positions = np.arange(len(ids))
    rotations, mask = rope_rotations(positions, frequencies), causal_mask(positions, positions)
    x, seen = weights.embedding[ids], []
    for layer in weights.layers:
        row, (x, of_block) = x, block_forward(x, layer, config, rotations, mask)
        seen.append(of_block if keep else row)
    final_norm = rms_norm(x, weights.norm, config.norm_eps)
    d_logits = cross_entropy_backward(final_norm @ weights.output, targets)
    d_x, _ = rms_norm_backward(d_logits @ weights.output.T, x, weights.norm, config.norm_eps)
    d_layers = []
    for layer in reversed(weights.layers):
        of_block = seen.pop()
        if not keep:  # compute it again, from the row that went in
            _, of_block = block_forward(of_block, layer, config, rotations, mask)
        d_x, d_layer = block_backward(d_x, layer, config, rotations, of_block)
        d_layers.insert(0, d_layer)
    d_embedding = np.zeros_like(weights.embedding)
    np.add.at(d_embedding, ids, d_x)
    return d_x, d_layers, d_embedding


d_x, d_layers, d_embedding = backward_pass(ids, targets)
check("embedded", d_x)
at_once = np.zeros_like(d_embedding)
at_once[ids] += d_x
wrong_rows = np.flatnonzero(np.abs(at_once - d_embedding).max(axis=-1))
print("wrong rows:", *(f"{tokenizer.token(i)} x {(ids == i).sum()}" for i in wrong_rows))

_, gradients = loss_and_gradients(weights, config, ids, targets)
d_tied = d_output.T if config.tied_output else 0
agree(d_embedding + d_tied, gradients.embedding, tolerance=1e-10)
for ours, theirs in zip(d_layers, gradients.layers):
    for d, by_library in zip(vars(ours).values(), vars(theirs).values()):
        assert np.abs(d - by_library).max() <= 1e-10 * np.abs(by_library).max()
for name in rng.choice(list(named), 3, replace=False):
    check(name, dict(gradients.named())[name])

# %% [markdown] key="embedding-read"
# For those that come several times: NumPy reads all rows, adds, and writes them back, so that the last copy wins, where
# `np.add.at` adds one after the other. Each product has
# become two, one for `d_x` and one for `d_w`, so the way back costs about twice the way there
# ([Kaplan et al. 2020](https://arxiv.org/abs/2001.08361), section 2.1).

# %% [markdown] key="count-why"
# ## Try it: the count
#
# If a **batch** of texts is too large for memory, one adds up the gradients of its parts: **gradient accumulation**. Let
# one part be our sentence and the other a longer story, each with the gradient
# of its own mean loss. **Predict before you run:** is the mean of the two the gradient of the whole batch?

# %% key="count"
from weights_tools.training.heroes import read_stories

stories = read_stories()
longer = np.array(tokenizer.encode(stories[0], bos=True))[:120]


def flat_gradient(text):
    _, gradients = loss_and_gradients(weights, config, text[:-1], text[1:])
    return np.concatenate([d.ravel() for _, d in gradients.named()])


short, long = flat_gradient(tokens), flat_gradient(longer)
counts = np.array([T, len(longer) - 1])
whole = (counts[0] * short + counts[1] * long) / counts.sum()
mean = (short + long) / 2
cosine = whole @ mean / np.linalg.norm(whole) / np.linalg.norm(mean)
longer_by = np.linalg.norm(mean) / np.linalg.norm(whole)
print(f"tokens {counts}: cosine of the two directions {cosine:.3f}, length {longer_by:.2f} times")

# %% [markdown] key="count-read"
# It is not. With {{ counts[0] }} tokens in one part and {{ counts[1] }} in the other, a token of the short text counts
# {{ counts[1] / counts[0] :.1f }} times as much as one of the long text. The mean is {{ longer_by :.2f }} times as long as it should be, which
# another learning rate could mend, but the direction is wrong, too, with a cosine of {{ cosine :.2f }}, and no rate mends that.
# {{ claim: cosine < 0.99 }}
# Each part has to be weighted with its count. Widely used trainers took the plain mean until October 2024
# ([Hugging Face](https://huggingface.co/blog/gradient_accumulation)), since nothing warns: the loss falls all the same.

# %% [markdown] key="memory-why"
# ## Step 9. What has to be remembered
#
# Most rules need what the forward pass saw, so training keeps all activations. One can also keep only the rows
# that went into each block, and run it forward once more on the way back: **gradient checkpointing** ([Chen et al. 2016](https://arxiv.org/abs/1604.06174)), `keep=False` above.

# %% key="memory" tags=["timing"]
import time
import tracemalloc

many = np.resize(ids, 200)  # our sentence again and again
peak, seconds = {}, {True: [], False: []}
for keep in (True, False):
    tracemalloc.start()
    backward_pass(many[:-1], many[1:], keep)
    peak[keep] = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
for keep in (True, False) * 3:
    start = time.process_time()
    backward_pass(many[:-1], many[1:], keep)
    seconds[keep].append(time.process_time() - start)
there = np.arange(len(many) - 1)  # forward alone, through all blocks
turns, seen_by, forward_seconds = rope_rotations(there, frequencies), causal_mask(there, there), []
for _ in range(3):
    x, start = weights.embedding[many[:-1]], time.process_time()
    for layer in weights.layers:
        x, _ = block_forward(x, layer, config, turns, seen_by)
    forward_seconds.append(time.process_time() - start)
names = {True: "everything", False: "one row for each block"}
cells = {keep: (f"{peak[keep]:.0f} MB", f"{min(seconds[keep]):.2f} s") for keep in names}
table(["kept", "most memory", "time"], [[names[keep], *cells[keep]] for keep in names])
print(f"without: {min(seconds[False]) / min(seconds[True]):.2f} times as long")

# %% [markdown] key="memory-read" tags=["timing"]
# Forgetting the activations of {{ len(many) }} tokens brings the peak down to {{ peak[False] / peak[True] :.0% }} of what it was,
# of which most are now the gradients themselves, {{ (sum(d.nbytes for one in d_layers for d in vars(one).values()) + d_embedding.nbytes) / 1e6 :.0f }} MB.
# {{ claim: peak[False] < 0.5 * peak[True] and sum(d.nbytes for one in d_layers for d in vars(one).values()) > 0.5e6 * peak[False] }}
# The price in time should be about 4/3, one more run forward beside one
# forward and one back that is worth two; it was {{ min(seconds[False]) / min(seconds[True]) :.2f }}, where a run forward alone took
# {{ min(forward_seconds) / min(seconds[True]) :.0% }} of the time of both. **FlashAttention** does the same
# within a head: it never stores the attention weights, and computes them again on the way back, piece by piece ([Dao et al.
# 2022](https://arxiv.org/abs/2205.14135)).

# %% [markdown] key="blame-why"
# ## Step 10. Which heads are to blame?
#
# A head is taken out by setting its rows of `wo` to zero. A gradient promises that a step
# $\Delta w$ changes the loss by $\mathrm{sum}(d_w \odot \Delta w)$, and here $\Delta w = -w$:
#
# $$\text{promised change} = -\,\mathrm{sum}(d_{w_o} \odot w_o) \quad \text{over the rows of one head}$$
#
# A head whose removal would lower the loss is to blame, one whose removal would raise it deserves thanks. For our
# sentence we have the promises already, in `gradients`. Taking out is one run for each head, from its block on.

# %% key="blame"
from dataclasses import replace

from llama_np import log_softmax
from llama_np.model import block as run_block

n_heads = config.n_layers * config.n_heads
small = model.weights.map(lambda w: np.asarray(w, np.float32))  # float32 is enough here, and faster


def promises(gradients):  # for each head minus the sum over its rows of wo
    both = zip(gradients.layers, weights.layers)
    products = np.stack([d_layer.wo * w.wo for d_layer, w in both])
    return -products.reshape(n_heads, -1).sum(axis=1)


def run_from(i, x, layers):
    """What goes into each of these blocks, the first of them block i, and what comes out at the end."""
    positions = np.arange(x.shape[-2])
    rotations, mask = rope_rotations(positions, frequencies), causal_mask(positions, positions)
    streams = [x]
    for layer in layers:
        streams.append(run_block(streams[-1], layer, config, rotations, mask))
    return streams


# %% key="take-out"
def surprise_with(n, left, streams, texts):
    """The surprise at each token of the texts, if so much is left of head n."""
    i, own = n // config.n_heads, slice(n % config.n_heads * K, (n % config.n_heads + 1) * K)
    wo = small.layers[i].wo.copy()
    wo[own] *= left
    x = run_from(i, streams[i], [replace(small.layers[i], wo=wo), *small.layers[i + 1 :]])[-1]
    logp = log_softmax(rms_norm(x, small.norm, config.norm_eps) @ small.output)
    return -np.take_along_axis(logp, texts[:, 1:, None], axis=-1)[..., 0]  # texts, tokens


# %% key="ours"
def head_name(n):
    return f"{n // config.n_heads}.{n % config.n_heads}"


of_ours, ours = promises(gradients), tokens[None]
streams = run_from(0, small.embedding[ids][None], small.layers)
without = np.stack([surprise_with(n, 0, streams, ours)[0] for n in range(n_heads)])  # heads T
cost_ours = (without - surprise).mean(axis=1)  # change of the loss, by head
at_worst = without[:, worst] - surprise[worst]  # change at the token that surprises most
blamed, at_boat = cost_ours.argsort(), int(at_worst.argmin())
table(
    ["head taken out", "loss, promised", "loss, found", f"found at {answers[worst]} alone"],
    [
        [head_name(n), *(f"{x[n]:+.3f}" for x in (of_ours, cost_ours, at_worst))]
        for n in dict.fromkeys([*blamed[:3], at_boat, *blamed[-4:]])
    ],
)

# %% [markdown] key="ours-read"
# Most to blame for the loss is head {{ head_name(blamed[0]) }}, number {{ blamed[0] % config.n_heads }} of block {{ blamed[0] // config.n_heads }}: without it the loss would be
# {{ -cost_ours[blamed[0]] :.3f }} lower, and {{ -of_ours[blamed[0]] :.3f }} was promised. Head {{ head_name(blamed[-2]) }} deserves thanks, for
# {{ cost_ours[blamed[-2]] :.3f }}. For `{{ answers[worst] }}` alone it is another one, {{ head_name(at_boat) }}, but without
# it the surprise of {{ surprise[worst] :.2f }} would still be {{ without[at_boat, worst] :.2f }}: no single head is to blame for most of it.
# {{ claim: cost_ours[blamed[0]] < -0.04 and of_ours[blamed[0]] < -0.02 and 0 < -at_worst[at_boat] < 0.3 * surprise[worst] }}
#
# One promise fails badly. Taking out head {{ head_name(blamed[-1]) }} costs {{ cost_ours[blamed[-1]] :.2f }}, where the gradient promised
# {{ of_ours[blamed[-1]] :+.2f }}. {{ claim: cost_ours[blamed[-1]] > 1 and abs(of_ours[blamed[-1]]) < 0.3 }}
# Is that this sentence, or this head? We take 20 stories, up to where the hero is named a second time, and ask for the
# surprise at that name alone.

# %% key="texts"
import re
from collections import Counter

from llama_np.training.loss import IGNORE

# a sentence that ends with "named" and a name, and the same name once more
begun = (re.match(r"[^.]* named (\w+)\. \1\b", story) for story in stories)
texts = [tokenizer.encode(t, bos=True) for t in dict.fromkeys(found[0] for found in begun if found)]
((length, _),) = Counter(map(len, texts)).most_common(1)
texts = np.array([text for text in texts if len(text) == length][:20])


def promised(text):
    # a target IGNORE does not count
    only_last = np.where(np.arange(length - 1) == length - 2, text[1:], IGNORE)
    return promises(loss_and_gradients(weights, config, text[:-1], only_last)[1])


promise = np.stack([promised(text) for text in texts])  # texts, heads
print(len(texts), "texts of", length, "tokens, such as", repr(tokenizer.decode(texts[0][1:])))

# %% [markdown] key="taken-out-why"
# The {{ config.n_heads }} heads of block 0, where the failure was, get a section of their own; until then we speak of the
# {{ n_heads - config.n_heads }} others. The control is how much a head writes: perhaps the loud ones matter.
#
# **Predict before you run:** in how many of the {{ len(texts) }} texts is the head whose removal hurts most among the five
# with the largest promise?

# %% key="taken-out"
streams = run_from(0, small.embedding[texts[:, :-1]], small.layers)  # what goes into each block
positions = np.arange(length - 1)
rotations, mask = rope_rotations(positions, frequencies), causal_mask(positions, positions)
loud = []
for x, layer in zip(streams, small.layers):
    mix = block_forward(x, layer, config, rotations, mask)[1].mix
    written = mix @ layer.wo.reshape(config.n_heads, K, -1)  # texts Hq T K -> texts Hq T D
    loud.append(np.linalg.norm(written, axis=(2, 3)))  # texts Hq


def at_name(n, left):  # the surprise at the last token of each text
    return surprise_with(n, left, streams, texts)[:, -1]


as_it_is = at_name(0, 1)
found = np.stack([at_name(n, 0) - as_it_is for n in range(n_heads)], axis=1)  # texts, heads
first, later = slice(0, config.n_heads), slice(config.n_heads, None)  # block 0, and all others

# %% key="compare"


def correlations(some, others):  # one for each text, over its heads
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(some, others)])


loudness = np.concatenate(loud, axis=1)
fit = correlations(promise[:, later], found[:, later])
size = np.abs(found[:, later])  # loudness has no sign, so compare it with sizes
fit_size = correlations(np.abs(promise[:, later]), size)
fit_loud = correlations(loudness[:, later], size)
among_five = np.argsort(-promise[:, later])[:, :5]
worst_found = found[:, later].argmax(axis=1, keepdims=True)
named_right = int((among_five == worst_found).any(axis=1).sum())
print(f"promised and found: correlation {fit.mean():.2f} ± {fit.std():.2f} over {len(texts)} texts")
print(f"their sizes: {fit_size.mean():.2f} ± {fit_size.std():.2f}", end="; ")
print(f"loudness and size found: {fit_loud.mean():.2f} ± {fit_loud.std():.2f}")
print(f"the head that hurts most is among the five promised in {named_right} of {len(texts)}")
of_later = promise[:, later].ravel()
both = {"as promised": of_later, "found": found[:, later].ravel()}
axes = ("promised change of the loss", "change of the loss")
show.points(of_later, both, axes, title="one head, from block 1 on, taken out of one text")

# %% key="heads-named"
in_order = config.n_heads + np.argsort(-found[:, later].mean(axis=0))


def change_in_words(changes):
    return f"{changes.mean():+.3f} ± {changes.std():.3f}"


table(
    ["head taken out", f"promised, mean of {len(texts)}", "found"],
    [
        [head_name(n), change_in_words(promise[:, n]), change_in_words(found[:, n])]
        for n in [*in_order[:4], *in_order[-3:]]
    ],
)

# %% [markdown] key="compare-read"
# {{ claim: named_right >= 0.7 * len(texts) and fit.mean() > 0.8 and fit_size.mean() - fit_loud.mean() > 0.15 }}
# In {{ named_right }} of {{ len(texts) }}. Promise and result have a correlation of {{ fit.mean() :.2f }}; for sizes alone it is
# {{ fit_size.mean() :.2f }}, where loudness has {{ fit_loud.mean() :.2f }}. The name rests on several heads about equally, {{ head_name(in_order[0]) }}, {{ head_name(in_order[1]) }} and {{ head_name(in_order[2]) }}, whose removal costs {{ found[:, in_order[0]].mean() :.3f }}, {{ found[:, in_order[1]].mean() :.3f }} and {{ found[:, in_order[2]].mean() :.3f }}
# in the mean, with spreads as large. Most
# to blame is head {{ head_name(in_order[-1]) }}, without
# which the surprise would be {{ -found[:, in_order[-1]].mean() :.3f }} lower. These numbers are small: no
# single head from block 1 on decides the name.
# {{ claim: found[:, in_order[0]].mean() > 0.02 and found[:, in_order[-1]].mean() < 0 }}
#
# So for each text one backward pass replaces {{ n_heads - config.n_heads }} runs. It is used to prune heads
# ([Michel et al. 2019](https://arxiv.org/abs/1905.10650)) and, as **attribution patching**
# ([Nanda](https://www.neelnanda.io/mechanistic-interpretability/attribution-patching)), to search large models.
#
# ## The head that it misjudges
#
# In block 0 we turn the head with the largest gap between promise and result down to nothing, and beside it head
# {{ head_name(in_order[0]) }}.
#
# A gradient promises a straight line. How will the true curves leave it?

# %% key="blind"
blind = int(np.abs(found - promise)[:, first].mean(axis=0).argmax())
taken = np.linspace(0, 1, 21)  # how much of the head is taken away
lines, turned_down = {}, {}
for n in (blind, int(in_order[0])):
    turned_down[n] = np.array([(at_name(n, 1 - x) - as_it_is).mean() for x in taken])
    lines[f"head {head_name(n)}"] = turned_down[n] / turned_down[n][-1]
    lines[f"{head_name(n)}, as promised"] = promise[:, n].mean() * taken / turned_down[n][-1]
show.curves(taken, lines, ("how much of the head is taken away", "share of what its removal costs"))
of_all = correlations(promise, found)
seeing = [n for n in range(n_heads) if n != blind]
of_others = correlations(promise[:, seeing], found[:, seeing])
high_up = (np.argsort(-promise)[:, :5] == blind).any(axis=1).sum()
always_worst = (found.argmax(axis=1) == blind).sum()
for n in turned_down:
    print(f"head {head_name(n)}: promised {change_in_words(promise[:, n])}, ", end="")
    print(f"found {change_in_words(found[:, n])}")
print(f"all {n_heads} heads: correlation {of_all.mean():.2f} ± {of_all.std():.2f};", end=" ")
print(f"without head {head_name(blind)}: {of_others.mean():.2f} ± {of_others.std():.2f}")
print(f"head {head_name(blind)} hurts most in {always_worst}, is promised among five in {high_up}")
cost = dict(zip(taken.round(2).tolist(), turned_down[blind]))
word = promise[:, in_order[0]].mean() / found[:, in_order[0]].mean()

# %% [markdown] key="blind-read"
# {{ claim: found[:, blind].mean() > 1 + 10 * abs(promise[:, blind].mean()) and 0.4 < word < 1.6 }}
# {{ claim: abs(cost[0.1]) < 0.1 and cost[0.75] > 5 * cost[0.5] }}
# Head {{ head_name(in_order[0]) }} leaves its line slowly: {{ word :.0% }} of what its removal costs was
# promised. For head {{ head_name(blind) }}, the same as in our sentence, the promise is {{ promise[:, blind].mean() :+.2f }}, and taking it out costs
# {{ found[:, blind].mean() :.1f }} nats: nothing works any more.
#
# The picture shows why. With a tenth of it gone the head costs {{ cost[0.1] :+.2f }}, and with half of it only
# {{ cost[0.5] :.2f }}; then comes a cliff, {{ cost[0.75] :.1f }} at three quarters. A gradient stands on the flat part and
# cannot see the edge. **So a gradient orders the
# heads that turn this answer. It often puts the one on which all answers depend high as well, among the five largest
# promises in {{ high_up }} of {{ len(texts) }} texts, but as one among equals, with a promise that is many times too small.** That one head
# brings the correlation down to {{ of_all.mean() :.2f }}; without it, the rest of block 0 included, it is {{ of_others.mean() :.2f }}. {{ claim: of_all.mean() < fit.mean() - 0.3 and of_others.mean() > 0.8 }} Others can hide from it as well
# ([Kramár et al. 2024](https://arxiv.org/abs/2403.00745)).
# {{ claim: blind == blamed[-1] and always_worst >= 0.9 * len(texts) and found[:, blind].mean() > 30 * abs(promise[:, blind].mean()) }}

# %% [markdown] key="next"
# ## What comes next
#
# In [exercise 15](exercises/15_backward.ipynb) you write the backward pass of RMSNorm and of a head. Training also
# needs a great many texts; lesson [16](16_pretraining.ipynb), pre-training, has
# them. The code: `llama_np/training/backward.py`.
