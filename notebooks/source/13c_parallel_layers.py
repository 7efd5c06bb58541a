# %% [markdown] key="title"
# # 13c Parallel layers: one model, several processors
#
# Open [Meta's code for Llama 3](https://github.com/meta-llama/llama3/blob/main/llama/model.py) and look for a matrix: there
# is none. Where `wq` and `w2` (our `w_down`) should be, it has `ColumnParallelLinear` and `RowParallelLinear`. Llama 3 70B takes
# 140 GB in bfloat16, more than the 80 GB of an H100, so every matrix is split across eight graphics cards. How can
# processors, none of which holds a whole matrix, continue *Once upon a time, there was a little girl named*, and how
# often do they have to talk to each other on the way?
#
# You cut the doll-house in two, then in eight, run it, and count every number that is exchanged. Here the processors are played one after another by one program. At the end you know why
# the choice between rows and columns is not free, why a model should not have fewer key-value heads than
# processors, and when more processors no longer help.
#
# This page is optional. It goes on from [lesson 13](13_gpt2_to_llama.ipynb) and needs the parts of a block
# ([07](07_multi_head.ipynb), [08](08_feed_forward.ipynb)).

# %% key="setup"
from dataclasses import replace

import numpy as np
from classroom import agree, show, table

from llama_np import (
    attention,
    causal_mask,
    forward,
    record,
    rms_norm,
    rope_frequencies,
    rope_rotations,
    silu,
    swiglu,
)
from weights_tools import load_model

model = load_model("doll-house")
config, weights, tokenizer = model.config, model.weights, model.tokenizer
ids = np.array(tokenizer.encode("Once upon a time, there was a little girl named", bos=True))
trace = {}
logits = forward(weights, config, ids, tap=record(trace))
i = config.n_layers // 2
layer, x, F = weights.layers[i], trace[f"blocks.{i}.ffn_norm"], config.ffn_width
print(f"block {i}: x {x.shape}, w_gate and w_up {layer.w_gate.shape}, w_down {layer.w_down.shape}")

# %% [markdown] key="columns-why"
# ## Step 1. The feed-forward step, on two processors
#
# A matrix can be cut in two ways. Cut by **columns**, each processor has the whole input and computes half of the
# numbers of each result row. Cut by **rows**, each processor needs only half of the input and computes a *part* of
# every number, and the parts have to be added.
#
# **Predict before you run:** the feed-forward step has three matrices, `w_gate`, `w_up` and `w_down`. How do you cut each
# of them, so that two processors need to exchange numbers only once, at the end?

# %% key="columns-by-hand"
parts = []
for half in (slice(0, F // 2), slice(F // 2, F)):  # one processor, then the other
    gate = x @ layer.w_gate[:, half]  # T D @ D F/2 -> T F/2: columns
    up = x @ layer.w_up[:, half]
    parts.append((silu(gate) * up) @ layer.w_down[half])  # T F/2 @ F/2 D -> T D: rows
agree(parts[0] + parts[1], trace[f"blocks.{i}.down"])
held_by_one = {"w_gate": layer.w_gate[:, half], "gate": gate, "w_down": layer.w_down[half]}
print("one processor:", *(f"{name} {piece.shape}" for name, piece in held_by_one.items()))

# %% [markdown] key="columns-answer"
# <details><summary>Answer</summary>
#
# The first two by columns, the last one by rows. Each processor then has whole units of the hidden layer
# ([lesson 08](08_feed_forward.ipynb)): their gates, their ups, and what they write. It needs nothing of the other's until
# the very end, when both add what their units have written. The printed shapes are those of one of them.
#
# </details>
#
# The sum at the end, after which every processor has the whole result, is called an **all-reduce**, and the pair of columns
# and rows comes from Megatron ([Shoeybi et al. 2019](https://arxiv.org/abs/1909.08053), section 3), where the whole idea
# is **tensor parallelism**.

# %% [markdown] key="wrong-why"
# ## Step 2. Why not the other way round?
#
# **Predict before you run:** now `w_gate` and `w_up` are cut by *rows*. Each processor has half of the columns of `x`, and
# for each number of the gate a part. Can it apply silu to its part and go on, and leave the adding for the end?

# %% key="wrong"
D = config.dim
wrong, hidden = 0, []
for half in (slice(0, D // 2), slice(D // 2, D)):
    gate_part, up_part = x[:, half] @ layer.w_gate[half], x[:, half] @ layer.w_up[half]
    hidden.append((gate_part, up_part))
    wrong = wrong + (silu(gate_part) * up_part) @ layer.w_down
true = trace[f"blocks.{i}.down"]
off = np.linalg.norm(wrong - true) / np.linalg.norm(true)
print(f"added at the end, it is off by {off:.0%} of the result")
gate, up = hidden[0][0] + hidden[1][0], hidden[0][1] + hidden[1][1]  # two all-reduces
agree((silu(gate) * up) @ layer.w_down, true)

# %% [markdown] key="wrong-answer"
# <details><summary>Answer</summary>
#
# No. The silu of a sum is not the sum of the silus, and a product of two sums is not the sum of the products. The result
# is off by {{ off :.0% }} of its size. {{ claim: off > 0.2 }}
#
# </details>
#
# To be right, both sums have to be made before the curve, as in the last line, and that means sending
# {{ 2 * F }} numbers a token where "columns first, then rows" sends {{ D }}. *Sums may be put off through whatever is linear
# and through nothing else*; the norm cannot be cut without an exchange of its own either, since it needs the sum over the whole row, so each
# processor simply computes it for itself.
#
# ## Step 3. Attention, by heads
#
# In attention the units are heads. `wq`, `wk` and `wv` are cut by columns, at the border between two heads, and `wo` by the
# same rows. Scores, mask, softmax and mix belong to one head each and stay where they are. For two processors:

# %% key="heads-by-hand"
K, group = config.head_dim, config.group


def share(layer, p, processors):
    """What processor p of so many holds of a block: whole heads, whole units."""
    heads = config.n_heads // processors
    first, last = p * heads, (p + 1) * heads - 1
    q = slice(first * K, (last + 1) * K)
    kv = slice(first // group * K, (last // group + 1) * K)  # the key-value heads that they need
    f = slice(p * F // processors, (p + 1) * F // processors)
    return replace(
        layer, wq=layer.wq[:, q], wk=layer.wk[:, kv], wv=layer.wv[:, kv], wo=layer.wo[q],
        w_gate=layer.w_gate[:, f], w_up=layer.w_up[:, f], w_down=layer.w_down[f],
    )  # fmt: skip


# %% key="heads-agree"
positions = np.arange(len(ids))
frequencies = rope_frequencies(K, config.rope_theta, config.rope_scaling)
rotations, mask = rope_rotations(positions, frequencies), causal_mask(positions, positions)
read = trace[f"blocks.{i}.attn_norm"]
parts = [attention(read, share(layer, p, 2), config, rotations, mask) for p in (0, 1)]
agree(parts[0] + parts[1], trace[f"blocks.{i}.attn_out"])

# %% [markdown] key="ends-why"
# ## Step 4. Both ends
#
# The embedding is cut by tokens in Llama 3 (`VocabParallelEmbedding`): each processor has the rows of half of the
# vocabulary, answers with zeros for tokens of the other half, and the answers are added. In Llama 2 it was cut by
# columns (`ParallelEmbedding`), and the pieces were laid side by side, which is an **all-gather**. The output matrix is
# cut by columns in both, so that each processor scores its own half of the vocabulary.

# %% key="ends-by-hand"
V = config.vocab_size
answers = []
for half in (range(0, V // 2), range(V // 2, V)):
    mine = (half.start <= ids) & (ids < half.stop)
    row = np.where(mine, ids - half.start, 0)  # any row will do where it is not mine
    answers.append(np.where(mine[:, None], weights.embedding[half.start : half.stop][row], 0))
agree(answers[0] + answers[1], trace["embedded"])

# %% [markdown] key="whole-why"
# ## Step 5. The whole model
#
# Here is a block on two processors. Each has its own copy of the stream, and only what is drawn in colour passes between
# them.

# %% key="lanes"
show.two_processors()

# %% [markdown] key="lanes-read"
# What a head does between `wk` and `wo` stays within its processor and is not drawn. Norms and additions are done twice, because both have whole rows. What is exchanged is one sum for each half of the
# block. Now all of it, with any number of processors, and two functions that stand for the wires between them. One adds
# parts, the other joins pieces, and both note how many numbers the result has.
#
# **Predict before you run:** with twice as many processors, how many numbers does *each* of them have to send for a token,
# and will that grow without limit as more take part? And does the model still say the same name?

# %% key="whole"
added, joined = [], []  # how many numbers each exchange results in


def all_reduce(parts):
    added.append(parts[0].size)
    return sum(parts)


def all_gather(pieces):
    whole = np.concatenate(pieces, axis=-1)
    joined.append(whole.size)
    return whole


def forward_on(processors, ids):
    shares = [[share(layer, p, processors) for p in range(processors)] for layer in weights.layers]
    x = weights.embedding[ids]
    added.append(x.size)  # the answers of step 4 are added
    for layer, pieces in zip(weights.layers, shares):
        read = rms_norm(x, layer.attn_norm, config.norm_eps)  # each processor, for itself
        x = x + all_reduce([attention(read, own, config, rotations, mask) for own in pieces])
        read = rms_norm(x, layer.ffn_norm, config.norm_eps)
        x = x + all_reduce([swiglu(read, own.w_gate, own.w_up, own.w_down) for own in pieces])
    final = rms_norm(x, weights.norm, config.norm_eps)
    columns = np.array_split(np.arange(V), processors)
    return all_gather([final @ weights.output[:, own] for own in columns])


# %% key="count"
counts = (1, 2, 4, 8)
said, talk, sent, held = {}, {}, {}, {}
for n in counts:
    added.clear(), joined.clear()
    result = forward_on(n, ids)
    said[n] = tokenizer.token(result[-1].argmax())
    talk[n] = len(added) + len(joined), sum(added) // len(ids), sum(joined) // len(ids)
    sent[n] = (n - 1) / n * (2 * talk[n][1] + talk[n][2])  # by each, in a ring
    shares = [share(layer, p, n) for p in range(n)]
    names = "wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down"
    held[n] = sum(getattr(own, name).size for own in shares for name in names)
agree(result, logits, tolerance=1e-4)  # 65 sums in another order, each rounded to float32
header = ["processors", "says", "exchanges", "numbers a token: added", "joined", "sent by each"]
table(
    [*header, "all hold of a block"],
    [
        [n, f"`{said[n]}`", *(f"{x:,}" if n > 1 else 0 for x in talk[n])]
        + [f"{sent[n]:,.0f}", f"{held[n] / held[1]:.2f} times"]
        for n in counts
    ],
)

# %% [markdown] key="count-read"
# The name is the same on {{ counts[-1] }} processors as on one, `{{ said[8] }}`, and the logits agree up to the rounding of
# other orders of adding. {{ claim: len(set(said.values())) == 1 }} Two sums a block, one for the embedding, and the joining
# of the logits make {{ talk[2][0] }} exchanges. For each token {{ talk[2][1] :, }} numbers are added up, {{ D }} at a time,
# and the {{ talk[2][2] :, }} logits are joined at the end. **These two numbers do not depend on how many processors there
# are**; the first depends on the width and the number of blocks, the second on the vocabulary.
# {{ claim: talk[2] == talk[4] == talk[8] and talk[2][0] == 2 * config.n_layers + 2 and talk[2][2] == V }}
#
# What travels on the wires does depend on it. In the usual **ring**, where everybody talks only to the next, a sum goes round once to be made and once to be handed out, in $n$ pieces of
# which each processor passes on $n - 1$. So each of $n$ processors sends $2\,(n-1)/n$ numbers for every number that is added and $(n-1)/n$ for every one that is joined
# ([notes on NCCL, NVIDIA's library for exchanges](https://github.com/NVIDIA/nccl-tests/blob/master/doc/PERFORMANCE.md)). So from two to eight processors each
# sends {{ sent[8] / sent[2] :.2f }} times as many, and however many take part, never more than twice as many as two do.
# {{ claim: sent[2] < sent[8] < 2 * sent[2] }}
#
# ## What does not divide
#
# The last column shows a price. Two processors together hold as much of a block as one, {{ held[2] / held[1] :.2f }} times
# its matrices; eight hold {{ held[8] / held[1] :.2f }} times. Where do the additional numbers come from?
# {{ claim: held[2] == held[1] and held[8] > 1.05 * held[1] }}

# %% key="copies"
of_model = {"the doll-house": (config.n_heads, config.n_kv_heads)}
of_model |= {"Llama 3 8B": (32, 8), "Llama 3 70B": (64, 8), "one key-value head": (32, 1)}
copies = {
    name: {n: n * len({head * kv // q for head in range(q // n)}) / kv for n in (2, 4, 8)}
    for name, (q, kv) in of_model.items()
}
table(
    ["keys and values kept", "query / key-value heads", *(f"on {n}" for n in (2, 4, 8))],
    [
        [name, f"{q} / {kv}", *(f"{times:.0f} times" for times in copies[name].values())]
        for name, (q, kv) in of_model.items()
    ],
)

# %% [markdown] key="copies-read"
# The doll-house has {{ config.n_kv_heads }} key-value heads. With more processors than that, several of them need the same
# head, and each keeps a copy of its `wk` and `wv`, and of its **cache**, which is what fills the memory in long talks
# ([lesson 11](11_kv_cache.ipynb)): on eight processors every key is kept {{ copies["the doll-house"][8] :.0f }} times. With
# a single key-value head, **multi-query attention**, it would be {{ copies["one key-value head"][8] :.0f }} times, and
# eight processors would have no more room for the cache than one. Llama 3 8B and 70B have eight key-value heads, and on the eight
# graphics cards of a usual server nothing is kept twice. That grouped queries avoid this waste is one of the reasons that
# their authors give for them ([Ainslie et al. 2023](https://arxiv.org/abs/2305.13245), section 2.2).
# {{ claim: copies["Llama 3 8B"][8] == copies["Llama 3 70B"][8] == 1 and copies["the doll-house"][8] > 1 }}
#
# ## When does splitting stop paying?
#
# While one token after another is written, nearly every weight has to be fetched from memory once for each token (we count all of them, though of an embedding only one row is read), and $n$ cards
# fetch $n$ times as fast. But the exchanges must happen one after another, because each block needs the sum of the
# one before it, and each of them takes some time, however little it carries: about 6 microseconds between two H100 in one server
# ([measured](https://github.com/NVIDIA/nccl/issues/1259)), and we assume 10 among eight, however many take part. With half or double of that, the last column doubles or halves. An H100 fetches 3.35 TB a second
# ([NVIDIA](https://www.nvidia.com/en-us/data-center/h100/)).
#
# **Predict before you run:** how much faster do eight cards write than one, with a model of 1, 8 or 70 billion parameters?

# %% key="waits"
fetched_a_second, one_wait = 3.35e12, 10e-6
models = {"Llama 3.2 1B": (1.24e9, 16), "Llama 3 8B": (8.03e9, 32), "Llama 3 70B": (70.6e9, 80)}
faster, equal, rows = {}, {}, []
for name, (n_parameters, n_layers) in models.items():
    fetch, waits = 2 * n_parameters / fetched_a_second, (2 * n_layers + 2) * one_wait
    faster[name], equal[name] = fetch / (fetch / 8 + waits), fetch / waits
    rows.append([f"{1e3 * fetch:.2f} ms", f"{1e3 * waits:.2f} ms", f"{faster[name]:.1f} times"])
    rows[-1] = [name, *rows[-1], f"{equal[name]:.0f}"]
table(["", "one card fetches in", "exchanges", "eight are faster", "break-even n"], rows)

# %% [markdown] key="waits-read"
# The 70B, which would not fit on one card anyway, would by this reckoning be written {{ faster["Llama 3 70B"] :.0f }} times as fast by eight, the 1B
# not even twice as fast. The last column says with how many cards the exchanges take as long as the
# fetching; from there on, doubling the cards saves a quarter of the time at most. That is at {{ equal["Llama 3.2 1B"] :.0f }}
# cards for the 1B and at {{ equal["Llama 3 70B"] :.0f }} for the 70B, were there a server with so many. **The larger the model, the more processors it pays to cut it into.**
# {{ claim: faster["Llama 3.2 1B"] < 2 and faster["Llama 3 70B"] > 5 }}
# Between servers an exchange takes longer still, so there one cuts
# the model by *blocks* instead, **pipeline parallelism**, which exchanges a row only where one machine's blocks end and
# the next one's begin.

# %% [markdown] key="next"
# ## In short
#
# - Columns first, then rows: each processor has whole units or whole heads, and only the sum at the end is exchanged.
# - A sum can be put off through what is linear, and must be made before a curve or a norm.
# - Two all-reduces a block, of a row of width `D` for each token, whatever the number of processors, one more for the embedding, and one all-gather of
#   the logits. They take time one after another, so that a small model soon gains nothing.
# - Key-value heads are the units of the cache. Fewer of them than processors means copies.
#
# ## What comes next
#
# Back to the main road: [lesson 14](14_tensors_and_gradients.ipynb), tensors and gradients. The functions that Meta's
# code calls are in
# [fairscale](https://github.com/facebookresearch/fairscale/blob/main/fairscale/nn/model_parallel/layers.py).
