# %% [markdown] key="title"
# # 13 From GPT-2 to Llama: which of five replacements pay off?
#
# *Once upon a time, there was a little girl named*: GPT-2, published in 2019, continues such a text by the same
# plan as a Llama. It embeds tokens, lets blocks add to a residual stream, and scores every token of the vocabulary.
# Since then five parts of the plan have been replaced. Does each new part predict better than the old one, and if not,
# why was it replaced?
#
# You train a small GPT-2, take it apart, and meet the five old parts. Then a study
# replaces them one by one, beside models that only count, and shows which of these numbers can be told from chance. The last experiment asks
# *where* a better model is better: with how much of the text before it.
#
# It follows [lesson 12](12_generation.ipynb); [exercise 13](exercises/13_gpt2_to_llama.ipynb) goes with it, and two
# optional pages, [13b](13b_llama_versions.ipynb) on Llama 2 to 3.2 and [13c](13c_parallel_layers.ipynb) on parallel layers.

# %% key="blocks"
import dataclasses
import os

import numpy as np
from classroom import agree, show, source, table

show.two_blocks()

# %% [markdown] key="blocks-read"
# Both are **decoders**: each token reads itself and the tokens before it. The plan is the same; the numbers mark what was
# exchanged, in the order of the steps below.
#
# ## A GPT-2 to take apart
#
# OpenAI's models are large, so we train a small one now, on the stories that come with this project and with a small
# vocabulary. (If you have a GPT-2 from [Hugging
# Face](https://huggingface.co/openai-community/gpt2), set the variable `LLAMA_GPT2` to its folder, and
# steps 1 to 5 take that one apart.) How training works comes in lessons 14 to 16. The **loss** is measured on
# stories that are held out of training, in nats a token.

# %% key="train" tags=["timing"]
from llama_np.gpt2.hybrid import as_gpt2
from llama_np.gpt2.weights import GPT2_SMALL
from weights_tools.formats.gpt2 import load_gpt2
from weights_tools.training.ablation.replacements import gpt2_like, replacements
from weights_tools.training.ablation.study import STORIES, Text, train_one
from weights_tools.training.ablation.study_table import (
    SEEN,
    last_rows,
    read_baselines,
    read_results,
    read_rows,
    read_sweep,
)
from weights_tools.workers import one_blas_thread

text = Text(STORIES, context=gpt2_like(vocab_size=1).context_length)
everything, results = last_rows(read_rows()), read_results()
stages = replacements(gpt2_like(text.tokenizer.vocab_size))
with one_blas_thread():  # at the rate that the study of step 7 has found best
    reached = [*train_one(stages["GPT-2"], text, 0, results["GPT-2"]["rate"], 200, 50)]
trained, row = reached[-1]
for _, at in reached:
    print(f"step {at['step']:3}: loss {at['held_out_loss']:.2f}")

# %% key="gpt2"
if os.environ.get("LLAMA_GPT2"):
    config, weights, tokenizer, _ = load_gpt2(os.environ["LLAMA_GPT2"])
else:
    (weights, config), tokenizer = as_gpt2(trained, stages["GPT-2"]), text.tokenizer
D, K = config.dim, config.head_dim
ids = np.array(tokenizer.encode("Once upon a time, there was a little girl named"))
labels = [tokenizer.token(i) for i in ids]
show.tokens(labels, ids)
names = {"D": "dim", "blocks": "n_layers", "heads": "n_heads", "F": "ffn_width"}
names |= {"V": "vocab_size", "rows of the position table": "context_length"}
table(
    ["", *names],
    [
        [who, *(f"{getattr(c, field):,}" for field in names.values())]
        for who, c in {"in hand": config, "GPT-2 small": GPT2_SMALL}.items()
    ],
)

# %% [markdown] key="norm-why"
# ## Step 1. LayerNorm, with scale and shift
#
# [Lesson 03](03_rms_norm.ipynb) has compared RMSNorm with **LayerNorm**, which first subtracts the mean of each row. In
# GPT-2 it comes with two learned vectors, a scale as in RMSNorm and a **shift** that is added at the end.

# %% key="norm-by-hand"
from llama_np import layer_norm, record
from llama_np.gpt2.model import gpt2_attention, gpt2_forward

trace, layer = {}, weights.layers[0]
logits = gpt2_forward(weights, config, ids, record(trace))
embedded = trace["embedded"]  # T D
centred = embedded - embedded.mean(axis=-1, keepdims=True)
variance = (centred**2).mean(axis=-1, keepdims=True)
normed = centred / np.sqrt(variance + config.norm_eps) * layer.attn_norm + layer.attn_norm_shift
agree(normed, trace["blocks.0.attn_norm"])

# %% [markdown] key="positions-why"
# ## Step 2. Learned positions
#
# Attention by itself does not know which token came first. GPT-2 tells it at the very start: beside the table of
# tokens it has a table of **learned positions**, a row for each place, and the row of the token
# and the row of its place are added.

# %% key="positions-by-hand"
of_places = weights.positions[: len(ids)]
agree(weights.embedding[ids] + of_places, embedded)

# %% [markdown] key="order-why"
# **Predict before you run:** we exchange two earlier tokens and look at what attention in the first block finds for the
# *last* token. Does that change if the rows of the places are left out?

# %% key="order"
exchanged = ids.copy()
exchanged[[1, 3]] = ids[[3, 1]]


def found_by_last(ids, places):
    x = weights.embedding[ids] + places
    read = layer_norm(x, layer.attn_norm, layer.attn_norm_shift, config.norm_eps)
    return gpt2_attention(read, layer, K)[-1]


moved = {}
for name, places in (("with positions", of_places), ("without", 0 * of_places)):
    change = found_by_last(exchanged, places) - found_by_last(ids, places)
    moved[name] = np.abs(change).max() / np.abs(found_by_last(ids, places)).max()
    print(f"{name:15} changes by {moved[name]:.1e} of the largest number")

# %% [markdown] key="order-answer"
# <details><summary>Answer</summary>
#
# Without positions only the rounding changes, {{ moved["without"] :.0e }} of the largest number. The last token meets
# the same keys with the same values, and a weighted sum does not depend on the order in which one adds. With them
# the change is {{ moved["with positions"] :.0e }}.
# {{ claim: moved["with positions"] > 100 * moved["without"] }}
#
# </details>
#
# And a table has an end: beyond its last row, here place
# {{ config.context_length - 1 :, }}, there is no position at all.

# %% [markdown] key="gelu-why"
# ## Step 3. Two linear layers, and GELU
#
# A matrix with its **bias**, a learned vector that is added to every row, is called a **linear layer**. GPT-2's feed-forward step has two of them: widen, bend, narrow,
# and no gate. The curve is the **GELU** ([Hendrycks and Gimpel 2016](https://arxiv.org/abs/1606.08415)), $x$ times the
# share of a bell curve that lies below $x$. GPT-2's code takes an approximation
# ([`gelu` in model.py](https://github.com/openai/gpt-2/blob/master/src/model.py)):
#
# $$\mathrm{GELU}(x) \approx \frac{x}{2} \left(1 + \tanh\left(\sqrt{2 / \pi}\,(x + 0.044715\,x^3)\right)\right)$$

# %% key="ffn-by-hand"
from llama_np import gelu, silu


def bend(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


up = trace["blocks.0.ffn_norm"] @ layer.w_up + layer.b_up  # T D @ D F -> T F
down = bend(up) @ layer.w_down + layer.b_down  # T F @ F D -> T D
agree(down, trace["blocks.0.down"])

x = np.linspace(-5, 5, 81)
off = np.abs(bend(x) - gelu(x)).max()
from_relu = {
    name: np.abs(y - np.maximum(x, 0)).max() for name, y in (("GELU", bend(x)), ("silu", silu(x)))
}
curves = {"relu": np.maximum(x, 0), "GELU": bend(x), "silu": silu(x)}
show.curves(x, curves, ("what comes in", "what goes out"))

# %% [markdown] key="ffn-read"
# GELU and Llama's silu are two smooth relatives of relu; GELU is never more than
# {{ from_relu["GELU"] :.2f }} away from it, silu up to {{ from_relu["silu"] :.2f }}. The approximation errs
# by at most {{ off :.4f }}.

# %% [markdown] key="qkv-why"
# ## Step 4. Keys and values for every head
#
# A Llama has `wq`, `wk` and `wv`. GPT-2 lays the three side by side in one **fused** matrix with three times as many
# columns, which keeps a processor busier; the numbers are the same. Each
# head has keys and values of its own: **multi-head attention** as in the first transformer.

# %% key="qkv-by-hand"
from llama_np import split_heads

qkv = normed @ layer.w_qkv + layer.b_qkv  # T D @ D 3D -> T 3D
q, k, v = np.split(qkv, 3, axis=-1)  # T 3D -> three of T D
agree(split_heads(k, K), trace["blocks.0.k"])
source(gpt2_attention)

# %% [markdown] key="bias-why"
# ## Step 5. Biases
#
# `b_qkv` is a bias, too: in GPT-2's blocks each matrix comes with one.
#
# **Predict before you run:** we add the same random numbers to the bias of the queries, then of the keys, then of the
# values. One of the three leaves the result of attention as it was. Which one, and why?

# %% key="bias-experiment"
noise = np.random.default_rng(0).standard_normal(D).astype(np.float32)
shaken = {}
for n, name in enumerate(["queries", "keys", "values"]):
    b = layer.b_qkv.copy()
    b[n * D : (n + 1) * D] += noise
    changed = gpt2_attention(normed, dataclasses.replace(layer, b_qkv=b), K)
    shaken[name] = np.abs(changed - trace["blocks.0.attn_out"]).max()
    print(f"bias of the {name:8} attention changes by up to {shaken[name]:.7f}")

# %% [markdown] key="bias-answer"
# <details><summary>Answer</summary>
#
# That of the keys. It adds the same vector to every key, so that all scores of a query grow by the same number, and
# softmax takes no notice. What is left, {{ shaken["keys"] :.0e }}, is rounding. Since it changes nothing, training can learn nothing in it.
# {{ claim: shaken["keys"] < 1e-3 * min(shaken["queries"], shaken["values"]) }}
# With RoPE the argument no longer holds: the vector is then turned differently at each place.
#
# </details>
#
# One more difference lies outside the blocks. In GPT-2 the output is **tied**: it is the
# embedding itself, transposed, one matrix for both ends.

# %% key="tied-by-hand"
last = trace[f"blocks.{config.n_layers - 1}.resid_out"]
final = layer_norm(last, weights.norm, weights.norm_shift, config.norm_eps)
agree(final @ weights.embedding.T, logits)  # T D @ D V -> T V
best = np.argsort(-logits[-1])[:5]
print("after the prompt:", *(tokenizer.token(i) for i in best))

# %% [markdown] key="count-why"
# The favourites are names and their beginnings, because our small vocabulary spells rarer names in pieces. So small a
# model, after so few steps, does not care that a boy's name does not suit a *girl*. {{ claim: {"␣Tim", "␣Max", "␣Sam", "␣Tom"} & {tokenizer.token(i) for i in best} }}

# %% [markdown] key="five-why"
# ## Step 6. Five replacements
#
# Now from GPT-2 to Llama, one part at a time, so that each model has one new part more than the model above it.
# They should be about equally large, or one would compare sizes. SwiGLU has three
# matrices where GELU has two, so each is made two thirds as wide. What grouped queries save in attention goes into the
# feed-forward step, as in Llama 2.

# %% key="five"
from llama_np import forward
from llama_np.gpt2 import hybrid
from llama_np.gpt2.hybrid import as_llama

as_it_ends = stages["no biases"]
w = hybrid.initialize(as_it_ends, np.random.default_rng(0))
prompt_ids = text.tokenizer.encode("Once upon a time", bos=True)
agree(forward(*as_llama(w, as_it_ends), prompt_ids), hybrid.forward(w, as_it_ends, prompt_ids))
table(
    ["model", "norm", "positions", "feed-forward", "F", "heads, q / kv", "biases", "parameters"],
    [
        [f"**{name}**", c.norm, c.positions, c.feed_forward, c.ffn_width]
        + [f"{c.n_heads} / {c.n_kv_heads}", "yes" if c.biases else "no"]
        + [f"{results[name]['parameters']:,}"]
        for name, c in stages.items()
    ],
)

# %% [markdown] key="five-read"
# The last of the six is a Llama: the library's `forward` runs its weights and gives the same logits.
#
# ## Step 7. A fair comparison
#
# All six are trained on the same stories, with the same steps and batches. Should they also have the
# same **learning rate**, which says how large a step of training is? A rate may suit one
# model and not another, so each model tries several, once.
#
# **Predict before you run:** will the best rate be the same for all six? And would the smallest of them have put the
# models in the same order?

# %% key="sweep"
sweep = read_sweep()
rates, parts = list(sweep["GPT-2"]), list(stages)
by_rate = {name: np.array([*losses.values()]) for name, losses in sweep.items()}
doublings = np.log2(np.array(rates) / rates[0])
show.curves(doublings, by_rate, (f"how often the rate {rates[0]:g} is doubled", "held-out loss"))
change_at = {
    new: [*(by_rate[new] - by_rate[old]), by_rate[new].min() - by_rate[old].min()]
    for old, new in zip(parts, parts[1:])
}
best = {name: rates[losses.argmin()] for name, losses in by_rate.items()}
spans = {name: max(x) - min(x) for name, x in change_at.items()}
helps, harms = (int(f(change_at["RMSNorm"][:-1])) for f in (np.argmin, np.argmax))
orders = {
    f"at {rates[0]:g}": sorted(parts, key=lambda name: by_rate[name][0]),
    "at their best": sorted(parts, key=lambda name: by_rate[name].min()),
}
for at, order in orders.items():
    print(f"best first, {at}:", " < ".join(order))
table(
    ["change of the loss by", *(f"all at {rate:g}" for rate in rates), "each at its best"],
    [[name, *(f"{x:+.3f}" for x in changes)] for name, changes in change_at.items()],
)

# %% [markdown] key="sweep-read"
# {{ claim: len(set(best.values())) > 2 and max(spans.values()) > 0.1 }}
# {{ claim: all(rates[0] < rate < rates[-1] for rate in best.values()) }}
# {{ claim: change_at["RMSNorm"][helps] < -0.06 and change_at["RMSNorm"][harms] > 0.06 and abs(change_at["RMSNorm"][-1]) < 0.04 }}
# {{ claim: change_at["RoPE"][-1] < -0.2 }}
# {{ claim: len(set(map(tuple, orders.values()))) == 2 }}
# With one start for each rate the curves are rough valleys, lowest at different rates:
# {{ ", ".join(f"{best[name]:g} for {name}" for name in ("GPT-2", "RoPE", "no biases")) }}. At {{ rates[helps] :g }} RMSNorm changes the loss by
# {{ change_at["RMSNorm"][helps] :+.2f }} and at {{ rates[harms] :g }} by {{ change_at["RMSNorm"][harms] :+.2f }}. Either column alone
# misleads: with each model at its best it is
# {{ change_at["RMSNorm"][-1] :+.2f }}. And the order changes: at
# the smallest rate SwiGLU comes first, {{ -change_at["SwiGLU"][0] :.2f }} ahead of RoPE; at their best rates the two
# are {{ abs(change_at["SwiGLU"][-1]) :.3f }} apart.
# {{ claim: orders[f"at {rates[0]:g}"][0] == "SwiGLU" and change_at["SwiGLU"][0] < -0.05 and abs(change_at["SwiGLU"][-1]) < 0.03 }}
#
# So "everything else was the same" is no fair comparison if the same suits one side only. Of dozens of published changes
# that were tested in one setting, most made no real difference, but RMSNorm and units with a gate, such as SwiGLU, did
# ([Narang et al. 2021](https://arxiv.org/abs/2102.11972)).

# %% [markdown] key="bigram-why"
# ## Step 8. Something to beat
#
# What is easy? The dumbest model that looks at the text counts
# **bigrams**, pairs of neighbours. Where a pair is rare, the plain frequency of a token has to help, and the rule of Witten and Bell
# ([1991](https://doi.org/10.1109/18.87000)) mixes the two by how many *different* tokens $u$ have followed ($n$ counts occurrences, $p(c)$ is the frequency of $c$):
#
# $$p(c \mid b) = \frac{n(bc) + u(b)\,p(c)}{n(b) + u(b)}$$

# %% key="bigram-by-hand"
from weights_tools.training.ablation.ngrams import ngram_losses

train, stream, V = np.concatenate(text.train), text.stream, text.tokenizer.vocab_size
counts, times = np.zeros((V, V)), np.bincount(train, minlength=V)
np.add.at(counts, (train[:-1], train[1:]), 1)  # V V: what was read, what followed
kinds = (times > 0).sum()
alone = (times + kinds / V) / (len(train) + kinds)  # V: the same rule, with nothing read
n, u = counts.sum(axis=-1, keepdims=True), (counts > 0).sum(axis=-1, keepdims=True)
p = np.where(n > 0, (counts + u * alone) / np.maximum(n + u, 1), alone)  # V V
agree(-np.log(p[stream[:-1], stream[1:]]), ngram_losses(train, stream, 1, V))
baselines = {"unigram counts": float(-np.log(alone[stream[1:]]).mean())}
baselines |= {name: row["held_out_loss"] for name, row in read_baselines().items()}
print({name: round(loss, 2) for name, loss in baselines.items()})

# %% [markdown] key="bigram-read"
# This table of {{ V :,d }} by {{ V :,d }} numbers has a held-out loss of
# {{ baselines["bigram counts"] :.2f }}, where the frequencies alone (**unigrams**) have {{ baselines["unigram counts"] :.2f }}. **Trigrams** look at two tokens by the same rule and
# reach {{ baselines["trigram counts"] :.2f }}. Our small GPT-2, after {{ row["step"] }} steps, is at
# {{ row["held_out_loss"] :.2f }}. Here is the study: each of the six trained for {{ everything[-1]["step"] }} steps at its best rate, from three random starts that the choice
# of the rate has not seen. On one processor core the {{ len(everything) }} runs took
# {{ sum(run["seconds"] for run in everything) / 60 :.0f }} minutes, so the results come with the project
# (`python -m weights_tools.training.ablation.study` makes them again).
#
# **Predict before you run:** how many of the six will beat the table of trigrams?

# %% key="measured"
final = {name: found["held_out_loss"][:, -1] for name, found in results.items()}  # a loss a seed
names = list(final)
change = {new: final[new] - final[old] for old, new in zip(names, names[1:])}


def said(part):
    """The change by a part in each of the three runs."""
    return ", ".join(f"{x:+.3f}" for x in change[part]) if part in change else ""


rows = [[name, f"{loss:.3f}", "", ""] for name, loss in baselines.items()]
for name, loss in final.items():
    spread = f"{loss.min():.3f} to {loss.max():.3f}"
    rows.append([f"**{name}**", f"{np.median(loss):.3f}", spread, said(name)])
table(["", "held-out loss, median", "lowest to highest", "change, run by run"], rows)
widest = max(final, key=lambda name: np.ptp(final[name]))

# %% [markdown] key="measured-read"
# {{ claim: all(final[name].max() < min(baselines.values()) - 0.03 for name in names[2:]) }}
# {{ claim: all(baselines["trigram counts"] + 0.05 < loss.min() and loss.max() < baselines["bigram counts"] - 0.2 for loss in (final[name] for name in names[:2])) }}
# Four: each model from RoPE on beats all the tables, in every run. The original GPT-2, at
# {{ np.median(final["GPT-2"]) :.2f }}, and the one with RMSNorm beat only the pairs. (The models have read
# {{ everything[-1]["tokens"] :,d }} tokens, the same stories about {{ everything[-1]["tokens"] / len(train) :.0f }} times; the tables counted them once.)
#
# {{ claim: change["RoPE"].max() < -0.3 and np.ptp(change["RoPE"]) < 0.1 }}
# {{ claim: change["RMSNorm"].min() < 0 < change["RMSNorm"].max() and all(np.abs(change[name]).max() < 0.06 for name in ("RMSNorm", "SwiGLU", "grouped queries")) }}
# {{ claim: max(change["SwiGLU"].max(), change["grouped queries"].max()) < np.ptp(final["GPT-2"]) }}
# {{ claim: change["no biases"].min() > 0.03 and widest == "no biases" }}
# **RoPE** is the one clear gain, {{ np.median(change["RoPE"]) :+.2f }}. With RMSNorm the sign differs from run to run. SwiGLU and
# grouped queries cost a little in every run, but at most {{ max(change["SwiGLU"].max(), change["grouped queries"].max()) :.2f }}, and two runs of GPT-2 lie
# as far apart. {{ claim: min(change["SwiGLU"].min(), change["grouped queries"].min()) > 0 }}
# Without biases all three runs are worse, too, by {{ change["no biases"].min() :.2f }} to {{ change["no biases"].max() :.2f }}, but this may be the rate and not
# the biases. The rate {{ best["no biases"] :g }} was chosen by a single run, and this run, like those at two other rates, did better than the median
# of the three does now: by luck, it seems. This step stays undecided here.
# {{ claim: (np.sort(by_rate["no biases"])[:3] < np.median(final["no biases"])).all() }}
#
# {{ claim: all(np.median(final[name]) > by_rate[name].min() for name in names) }}
# In all six, the median is higher than the loss of the run that chose the rate. Whoever picks the lowest of several numbers picks
# luck along with it: hence the fresh seeds.
#
# Why were the other parts replaced, if not for the loss? We measure what each costs or saves.

# %% key="costs" tags=["timing"]
from time import perf_counter

from llama_np import LLAMA_3_8B, rms_norm


def fastest(norm, n=200):
    times = []
    for _ in range(n):
        start = perf_counter()
        norm()
        times.append(perf_counter() - start)
    return min(times)


wide = np.random.default_rng(0).standard_normal((4, 4096)).astype(np.float32)
ones, zeros = np.ones(4096, np.float32), np.zeros(4096, np.float32)
seconds = {
    "LayerNorm": fastest(lambda: layer_norm(wide, ones, zeros, 1e-5)),
    "RMSNorm": fastest(lambda: rms_norm(wide, ones, 1e-5)),
}
less_time = 1 - seconds["RMSNorm"] / seconds["LayerNorm"]
per_head = 2 * LLAMA_3_8B.n_layers * LLAMA_3_8B.head_dim * 2  # bytes a token: k and v, bfloat16
cache = [per_head * n / 1024 for n in (LLAMA_3_8B.n_heads, LLAMA_3_8B.n_kv_heads)]
count = {name: results[name]["parameters"] for name in names}
saved = {new: count[old] - count[new] for old, new in zip(names, names[1:])}
costs = {
    "RMSNorm": f"{less_time:.0%} less time for 4 rows of 4,096",
    "RoPE": f"no table ({saved['RoPE']:,} parameters), no last place",
    "SwiGLU": "three matrices for two, as many parameters",
    "grouped queries": f"cache of an 8B: {cache[0]:.0f} → {cache[1]:.0f} KiB a token",
    "no biases": f"{saved['no biases']:,} parameters less",
}
rows = [[f"{n}. {x}", f"{np.median(change[x]):+.3f}", costs[x]] for n, x in enumerate(costs, 1)]
table(["part", "loss, median change", "what else it changes"], rows)

# %% [markdown] key="costs-read"
# {{ claim: less_time > 0.15 and cache[0] == 4 * cache[1] }}
# RMSNorm was made for speed: its authors measured 7 to 64 % less
# time ([Zhang and Sennrich 2019](https://arxiv.org/abs/1910.07467)). Grouped queries are for the
# cache, a quarter of it in Llama 3 8B ([lesson 11](11_kv_cache.ipynb)). SwiGLU was found a little better in models of another kind, by an
# author who offers "no explanation" ([Shazeer 2020](https://arxiv.org/abs/2002.05202), section 4). Leaving out biases was reported to make the
# training of very large models steadier ([Chowdhery et al.
# 2022](https://arxiv.org/abs/2204.02311), section 2), which a study of this size cannot show.

# %% [markdown] key="seen-why"
# ## Step 9. Where is a better model better?
#
# RoPE is known for long texts. Does its gain here come from afar, then? Every fourth
# token of the held-out stories was predicted from the last 1, 2, 4 … {{ SEEN[-1] }} tokens before it, cut out as a
# text of its own.
#
# How many tokens must be shown until the model with RoPE is ahead of the one without it?

# %% key="seen"
seen = {name: found["seen"] for name, found in results.items()}  # seeds, by tokens shown
shown = {name: np.median(losses, axis=0) for name, losses in seen.items()}
ahead = seen["RMSNorm"] - seen["RoPE"]
show.curves(
    np.array(SEEN),
    {name: shown[name] for name in ("GPT-2", "RMSNorm", "RoPE", "no biases")},
    ("tokens shown", "loss"),
    log="x",
    title="median of three runs",
)
gain = {name: losses[SEEN.index(16)] - losses[-2] for name, losses in shown.items()}
rise = {name: (losses[:, -1] - losses[:, -2]).max() for name, losses in seen.items()}
by_middle = dict(zip(SEEN, np.median(ahead, axis=0)))
counted = {n: read_baselines()[f"{k}gram counts"][f"seen_{n}"] for n, k in ((1, "bi"), (2, "tri"))}
table(
    ["", *(f"{n} shown" for n in SEEN)],
    [
        ["RoPE is ahead by", *(f"{np.median(x):.2f}" for x in ahead.T)],
        ["lowest to highest", *(f"{x.min():.2f} to {x.max():.2f}" for x in ahead.T)],
        ["loss by counting", *(f"{counted[n]:.2f}" if n in counted else "" for n in SEEN)],
    ],
)

# %% [markdown] key="seen-read"
# {{ claim: ahead[:, 0].max() < -0.05 and ahead[:, 1].min() > 0.03 and (ahead[:, 2] > 0.55 * ahead[:, -1]).all() }}
# All models do worse with one token shown, {{ min(x[0] for x in shown.values()) :.2f }} at best, than the table of pairs with
# {{ counted[1] :.2f }}. A likely reason: the counts learn from every pair of the text, whereas a model meets a token with nothing
# before it only in the first place of a row, one of {{ SEEN[-1] }}.
# {{ claim: min(x[0] for x in shown.values()) > counted[1] + 0.1 and min(x[1] for x in shown.values()) > counted[2] + 0.1 }}
# There RoPE is even {{ -by_middle[1] :.2f }} *behind*; perhaps the row of place 0 helps the others, because it says that nothing
# came before. With two tokens it is ahead by {{ by_middle[2] :.2f }}, with four by {{ by_middle[4] :.2f }}, with sixteen by {{ by_middle[16] :.2f }}, and with
# all {{ SEEN[-1] }} by {{ by_middle[SEEN[-1]] :.2f }}. **Most of the gain of RoPE is made within the last four tokens.** In these
# models RoPE hardly helps to remember what is far away; it tells the model which of the nearest tokens came last. A head that
# reads the token before its own needs one angle for all places ([lesson 05](05_rope.ipynb)), while a learned table
# needs one row per place.
#
# From 16 tokens shown to {{ SEEN[-2] }} the lead of RoPE stays at {{ by_middle[SEEN[-2]] :.2f }}, and the loss of every model falls by about
# {{ max(gain.values()) :.2f }} or less: all use the last few tokens and hardly anything before. At {{ SEEN[-1] }} RoPE is further ahead only because
# both models with a table get *worse* there, by up to {{ max(rise["GPT-2"], rise["RMSNorm"]) :.2f }}, which the study does not explain.
# {{ claim: max(gain.values()) < 0.08 and abs(by_middle[SEEN[-2]] - by_middle[16]) < 0.03 }}
# {{ claim: all((seen[name][:, -1] - seen[name][:, -2]).min() > 0.03 for name in names[:2]) and rise["RoPE"] < 0.02 }}
# What RoPE does in long texts, or shared keys in long talks, a study of models with
# {{ results["GPT-2"]["parameters"] // 1000 }} thousand parameters cannot see.

# %% [markdown] key="next"
# ## In short
#
# - A Llama is built as a GPT-2 is. Of five replacements, RoPE is the one that clearly predicts better in these small models,
#   mostly by the last four tokens. Others were made for speed, memory or steadiness.
# - Where a gain is small, a comparison at one shared rate can come out either way. Each side needs its own rate, several starts, and a baseline.
#
# ## What comes next
#
# You have trained a model on this page without a word on how;
# [lesson 14](14_tensors_and_gradients.ipynb), tensors and gradients, begins at the bottom, with one
# weight and the chain rule.
