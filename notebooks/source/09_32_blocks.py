# %% [markdown] key="title"
# # 09 32 blocks: is a Llama a chain?
#
# *Once upon a time, there was a little girl named* goes in, passes one block after the other, and `Lily` comes
# out. Which of the blocks says so, and from which on could we have read it? And what if one of them is left out:
# does the chain break at its weakest link, or was it no chain at all?
#
# The parts are known: norm, attention ([07](07_multi_head.ipynb)), norm and feed-forward ([08](08_feed_forward.ipynb)) make a **block**, and a Llama
# is its block many times over, each time with other weights. We put one together in six lines, run all of them,
# take the stream at the top apart again, look into it half-way up, and then leave out blocks, shuffle them, and
# replace one by a mere table, on 20 stories. At the end you can count the parameters of any Llama.

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from llama_np import forward, record
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
blocks = range(config.n_layers)
show.model_map(config.n_layers, lit=["attn_norm", "attention", "ffn_norm", "feed_forward"])

# %% [markdown] key="block-why"
# ## Step 1. One block: norm, change, add, twice
#
# A block does the same thing two times: it takes a normalised copy of the stream, computes a change from it, and
# adds the change to the stream. The first change is attention's, which brings in information from other tokens.
# The second is the feed-forward step's, which works on each token alone. With $x$ the stream:
#
# $$x' = x + \mathrm{attention}(\mathrm{norm}(x)) \qquad\qquad x'' = x' + \mathrm{swiglu}(\mathrm{norm}(x'))$$
#
# Both norms have weights of their own. Note where the plus is: the change is added to $x$, never to
# $\mathrm{norm}(x)$. Besides its weights, attention needs to know how far each pair turns (`rotations`) and who may
# look at whom (`visible`), which is the same in every block.

# %% key="block-by-hand"
from llama_np import (
    attention,
    causal_mask,
    embed,
    rms_norm,
    rope_frequencies,
    rope_rotations,
    swiglu,
)

prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
positions = np.arange(len(ids))
frequencies = rope_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
rotations, visible = rope_rotations(positions, frequencies), causal_mask(positions, positions)

x, first = embed(weights.embedding, ids), weights.layers[0]
normed = rms_norm(x, first.attn_norm, config.norm_eps)
attn_out = attention(normed, first, config, rotations, visible)
resid_mid = x + attn_out
normed = rms_norm(resid_mid, first.ffn_norm, config.norm_eps)
down = swiglu(normed, first.w_gate, first.w_up, first.w_down)
resid_out = resid_mid + down
print("in", x.shape, "-> in the middle", resid_mid.shape, "-> out", resid_out.shape)

# %% key="block-named"
from llama_np import block

agree(resid_out, block(x, first, config, rotations, visible))
source(block)

# %% [markdown] key="loop-why"
# ## Step 2. All blocks in a loop
#
# A block gives back the shape that it takes, `T D`, so its output can go into the next. We keep the stream
# before the first block and after each: `streams[n]` is the stream after `n` blocks. In front of this loop
# `forward` has the embedding, behind it the last norm and the output matrix.

# %% key="loop-by-hand"
streams = [x]
for layer in weights.layers:
    streams.append(block(streams[-1], layer, config, rotations, visible))
streams = np.array(streams)
print("streams", streams.shape, "= blocks + 1, T, D")
trace = {}
logits = forward(weights, config, ids, tap=record(trace))
agree(rms_norm(streams[-1], weights.norm, config.norm_eps) @ weights.output, logits)

# %% [markdown] key="sum-why"
# ## Step 3. The stream is a sum
#
# No block puts anything in the place of what is there, because each only adds. So the stream at the top is the embedding, plus all
# that attention has added, plus all that feed-forward has added. This is why one speaks of the **residual stream**:
# parts of the model write into it, and any later part can read what any earlier one wrote. It helps training,
# too, since each part is connected with the top by plus signs alone
# ([He et al. 2015](https://arxiv.org/abs/1512.03385), who introduced such sums in networks for images).

# %% key="sum-by-hand"
added = {
    part: np.array([trace[f"blocks.{i}.{part}"] for i in blocks]) for part in ("attn_out", "down")
}
agree(x + added["attn_out"].sum(axis=0) + added["down"].sum(axis=0), streams[-1])


def size_of(rows):  # root mean square, as in lesson 03, then the mean over the tokens
    return np.sqrt((rows**2).mean(axis=-1)).mean(axis=-1)


sizes = {"the stream": size_of(streams[1:])}
sizes |= {f"added: {part}": size_of(each) for part, each in added.items()}
show.curves(
    np.array(blocks),
    sizes,
    ("block", "mean size"),
    title="the stream after each block, and what was added",
)

# %% [markdown] key="sum-read"
# Look at the left end first. The embedding has a mean size of {{ size_of(streams[:1])[0] :.2f }}. Block 0's attention adds {{ sizes["added: attn_out"][0] :.3f }} to it, next
# to nothing, and its feed-forward step {{ sizes["added: down"][0] :.2f }}, many times what was there.
# {{ claim: sizes["added: down"][0] > 2 * size_of(streams[:1])[0] > 4 * sizes["added: attn_out"][0] }}
# So what leaves block 0 is almost wholly block 0's own work; keep this in mind. Further up the stream grows to
# {{ sizes["the stream"][-1] :.1f }}, and a change of the same size weighs less, since the norm in front of the next reader divides by
# the size of the *whole* row.

# %% [markdown] key="attribution-why"
# ## Step 4. Who says Lily?
#
# If the stream is a sum, so is each logit, which is a product of the last row with one column of the output
# matrix. Only the last norm stands between, and for a given text it divides by one number, the size of that row.
# With this number held fixed, the split is exact: so much from the embedding, so much from each attention, so much
# from each feed-forward step. This is **direct logit attribution**, which lesson 08 used for one word. Here we put
# two questions. Why this name rather than *any* token (its logit minus the mean of all)? And why a girl's name
# (minus the name that the model says after *boy*)?

# %% key="attribution"
hers = int(logits[-1].argmax())
about_a_boy = tokenizer.encode(prompt.replace("girl", "boy"), bos=True)
his = int(forward(weights, config, about_a_boy)[-1].argmax())
size = np.sqrt((streams[-1, -1] ** 2).mean() + config.norm_eps)
written = {
    "embedding": x[-1:],
    "attention": added["attn_out"][:, -1],
    "feed-forward": added["down"][:, -1],
}
parts = {name: each / size * weights.norm @ weights.output for name, each in written.items()}
agree(sum(each.sum(axis=0) for each in parts.values()), logits[-1], tolerance=1e-4)
name, question = tokenizer.token(hers), {}
question[f"{name} rather than any token"] = {
    part: each[:, hers] - each.mean(axis=-1) for part, each in parts.items()
}
question[f"{name} rather than a boy's name"] = {
    part: each[:, hers] - each[:, his] for part, each in parts.items()
}
for_any, for_girl = question.values()
show.curves(
    np.array(blocks),
    {part: for_girl[part] for part in ("attention", "feed-forward")},
    ("block", "added to the difference"),
    title=f"{name} rather than {tokenizer.token(his)}",
)
total = {asked: sum(each.sum() for each in split.values()) for asked, split in question.items()}
any_total, girl_total = total.values()
table(
    ["", *parts, "sum"],
    [
        [asked, *(f"{each.sum():.2f}" for each in split.values()), f"{total[asked]:.2f}"]
        for asked, split in question.items()
    ],
)

# %% [markdown] key="attribution-read"
# Mostly it is the feed-forward steps that say that a name is due, and which one is common: of {{ any_total :.2f }} they give {{ for_any["feed-forward"].sum() :.2f }}. To the
# question of girl or boy attention contributes {{ for_girl["attention"].sum() / girl_total :.0% }} instead of {{ for_any["attention"].sum() / any_total :.0% }}.
# {{ claim: for_girl["attention"].sum() / girl_total > for_any["attention"].sum() / any_total }}
# One sentence proves nothing here, but it fits what must be so: only attention can bring *girl* to the last token. Its first large contribution to the
# difference comes at block {{ int(np.argmax(for_girl["attention"] > for_girl["attention"].max() / 2)) }}. A feed-forward step that adds to it
# later can only work on what attention brought, and this is the limit of the method: it says who *writes* a word
# into the stream, and not on whose information.

# %% [markdown] key="lens-why"
# ## Step 5. The logit lens: what would each block predict?
#
# The stream has the same `D` columns at every height, so nothing keeps us from applying the last norm and the
# output matrix earlier, as if the model ended there. This is the **logit lens**
# ([nostalgebraist 2020](https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens)). A row is a token, read from left to right: from its embedding, with no block
# passed, to the top. Each cell shows the likeliest next token at that height, the darker the more probable. A
# frame marks what is already the model's final answer, the last column.

# %% key="lens-grid"
from llama_np import log_softmax, softmax

lens = softmax(rms_norm(streams, weights.norm, config.norm_eps) @ weights.output)
heights = np.unique(np.linspace(0, config.n_layers, 12).round().astype(int))
likeliest = lens.argmax(axis=-1).T[:, heights]  # T, heights
show.written(
    lens.max(axis=-1).T[:, heights],
    [[tokenizer.token(i) for i in row] for row in likeliest],
    ("T", "blocks passed"),
    rows=labels,
    columns=[str(n) for n in heights],
    marked=likeliest == likeliest[:, -1:],
    title="the likeliest next token at each height",
)

# %% [markdown] key="lens-why-many"
# In the last row, `{{ labels[-1] }}`, the lens says `{{ tokenizer.token(lens[config.n_layers // 2, -1].argmax()) }}` after half of the blocks, and only after {{ int(np.flatnonzero(lens[:, -1].argmax(axis=-1) != hers).max(initial=-1)) + 1 }} does `{{ tokenizer.token(hers) }}` stay in front to the
# top. Other rows are settled at once, for instance where the next token hardly depends on the text.
#
# One sentence can deceive, so here is the same on 20 stories, 64 tokens each: how good would the predictions be if
# the model ended after `n` blocks (the loss), how sure would they be (the **entropy**, in nats: 0 if sure), and how
# many of them name the final answer already?

# %% key="lens-many"
from weights_tools.examine import all_prompts, token_losses

texts = [row[:64] for row in all_prompts(tokenizer)["texts"].ids if len(row) >= 64]
scores = np.zeros((3, config.n_layers + 1))
for text in texts:
    seen = {}
    forward(weights, config, text, tap=record(seen, only={"embedded", "resid_out"}))
    rows = np.array([seen["embedded"], *(seen[f"blocks.{i}.resid_out"] for i in blocks)])[:, :-1]
    log_p = log_softmax(rms_norm(rows, weights.norm, config.norm_eps) @ weights.output)
    best = log_p.argmax(axis=-1)
    losses_of_lens = -np.take_along_axis(log_p, text[None, 1:, None], axis=-1)[..., 0]
    entropy = -(np.exp(log_p) * log_p).sum(axis=-1)
    scores += [each.mean(axis=-1) for each in (losses_of_lens, entropy, best == best[-1])]
lens_loss, entropy, same = scores / len(texts)
show.curves(
    np.arange(config.n_layers + 1),
    {"loss": lens_loss, "entropy": entropy},
    ("blocks passed", "nats"),
    title="the logit lens, over all tokens of the stories",
)
half = config.n_layers // 2
print(
    f"names the final answer after {half} blocks: {same[half]:.0%}, one before the top: {same[-2]:.0%}"
)

# %% [markdown] key="lens-read"
# After half of the blocks {{ same[half] :.0% }} of the answers are there, and one block before the top {{ same[-2] :.0% }}, so {{ 1 - same[-2] :.0% }} are settled by
# the very last block. The loss of the lens falls from {{ lens_loss[half] :.2f }} half-way to {{ lens_loss[-1] :.2f }}.
# {{ claim: lens_loss[-1] < lens_loss[half] < lens_loss[0] and same[half] < same[-2] }}
# Does the last block sharpen what the others have found? Over all tokens the entropy goes from {{ entropy[-2] :.2f }} to {{ entropy[-1] :.2f }} in it, so
# it {{ "does" if entropy[-1] < entropy[-2] else "does not" }}; at the end of our sentence it {{ "raises" if lens[-1, -1, hers] > lens[-2, -1, hers] else "lowers" }} `{{ tokenizer.token(hers) }}` from {{ lens[-2, -1, hers] :.2f }} to {{ lens[-1, -1, hers] :.2f }}, and one should not make a rule of one token.
#
# Read the lens with care in general: only the top was trained to be read in this way. What one sees is from
# where on the stream *points* towards the answer. The model may have it earlier, in a form that the output matrix
# does not read ([Belrose et al. 2023](https://arxiv.org/abs/2303.08112) train a small matrix for each height, and find the plain lens often brittle).

# %% [markdown] key="skip-experiment"
# ## Try it: leave out one block
#
# Now the question of the title. We leave out each block once, run the others, and measure the loss on the 20
# stories. **Predict before you run it**: does the loss rise most without a block near the bottom, in the middle, or
# near the top? And how large is the largest rise, if guessing among all tokens would cost {{ np.log(config.vocab_size) :.1f }} nats?

# %% key="skip-cell"
from dataclasses import replace

from llama_np import no_tap


def losses(order, tap_for=lambda text: no_tap):
    """The mean loss of each story, with these blocks in this order."""
    chosen = replace(weights, layers=[weights.layers[i] for i in order])
    each = [
        token_losses(chosen, config, text, np.arange(1, 64), tap=tap_for(text)) for text in texts
    ]
    return np.array(each).mean(axis=-1)


whole = losses(blocks)
rises = np.array([losses([i for i in blocks if i != out]) - whole for out in blocks])
cost = rises.mean(axis=1)
show.curves(
    np.array(blocks),
    {"rise of the loss": cost},
    ("the block left out", "nats"),
    title="what the stories lose without one block",
)
worst = int(np.argsort(-cost)[1])  # the second costliest
table(
    ["left out", "loss rises by", "spread over the stories"],
    [[f"block {i}", f"{cost[i]:.3f}", f"{rises[i].std():.3f}"] for i in (0, 1, half, worst)],
)

# %% [markdown] key="skip-answer"
# <details><summary>Answer</summary>
#
# Near the bottom, and there at one place only. Without block 0 the loss rises from {{ whole.mean() :.2f }} by {{ cost[0] :.2f }}. No other block costs more
# than {{ np.delete(cost, 0).max() :.3f }}, and half of them cost less than {{ np.median(cost) :.3f }}.
# {{ claim: cost[0] > 5 * np.delete(cost, 0).max() }}
#
# </details>
#
# So a Llama is no chain, because the stream runs past every block and the later ones still find what the others
# have written ([Veit et al. 2016](https://arxiv.org/abs/1605.06431) found it in networks for images). But why is block 0 so different?

# %% [markdown] key="table-why"
# ## What is block 0?
#
# A trace of it was in step 3: its attention adds next to nothing, and its feed-forward step sees each token
# alone. If so, block 0 depends on the token only, whatever stands around it, and a **table** could replace it: for
# each token, what block 0 adds when this token is the whole text. We put the table in the place of the block.
# The control does the same with the next costliest one, block {{ worst }}.

# %% key="table"
from llama_np import patch

used = np.unique(np.concatenate(texts))
alone = {}
forward(
    weights, config, used[:, None], tap=record(alone, only={"attn_out", "down"})
)  # N texts of 1


def from_table(i):
    """A tap for each text, under which block i adds what it adds to each token alone."""

    def tap_for(text):
        place = np.searchsorted(used, text)
        names = f"blocks.{i}.attn_out", f"blocks.{i}.down"
        return patch({name: alone[name][place, 0] for name in names})

    return tap_for


by_table = {i: losses(blocks, from_table(i)) - whole for i in (0, worst)}
table(
    ["", "left out", "replaced by a table", "spread over the stories"],
    [
        [f"block {i}", f"+{cost[i]:.3f}", f"{r.mean():+.3f}", f"{r.std():.3f}"]
        for i, r in by_table.items()
    ],
)

# %% [markdown] key="table-read"
# Without block 0 the loss rises by {{ cost[0] :.2f }}, and with a table in its place by {{ by_table[0].mean() :.3f }}.
# {{ claim: by_table[0].mean() < 0.05 * cost[0] }}
# The one block that nothing can do without has no need of the text around: it is a second embedding. For each token
# it works out, from the {{ config.dim }} numbers that the first one holds, what the rest of the model wants to know of it; why training
# has put this there, and not into the embedding itself, our experiment cannot tell. For block {{ worst }} the same
# table costs {{ by_table[worst].mean() :.3f }} where leaving it out costs {{ cost[worst] :.3f }}, so what it adds does depend on the text around.
# {{ claim: by_table[worst].mean() > 0.5 * cost[worst] }}

# %% [markdown] key="order-experiment"
# ## Try it: other orders
#
# If single blocks hardly matter, does their order? Before you run the cell, put these by their cost: the first two
# blocks swapped; two neighbours in the middle swapped; the whole middle half in random order; all blocks in
# reverse.

# %% key="order-cell"
quarter = max(1, config.n_layers // 4)
middle = blocks[quarter:-quarter]
shuffled = [middle[i] for i in np.random.default_rng(0).permutation(len(middle))]
low, high = blocks[:quarter], blocks[-quarter:]
pair = [*blocks[: half - 1], half, half - 1, *blocks[half + 1 :]]
swapped, mixed, bottom, reverse = (
    losses(order) - whole
    for order in (pair, [*low, *shuffled, *high], [1, 0, *blocks[2:]], blocks[::-1])
)
table(
    ["order", "loss rises by", "spread over the stories"],
    [
        [name, f"{rise.mean():.3f}", f"{rise.std():.3f}"]
        for name, rise in (
            (f"blocks {half - 1} and {half} swapped", swapped),
            (f"blocks {middle[0]} to {middle[-1]} shuffled", mixed),
            ("blocks 0 and 1 swapped", bottom),
            ("in reverse", reverse),
        )
    ],
)

# %% [markdown] key="order-answer"
# <details><summary>Answer</summary>
#
# From small to large in the order of the table. Even {{ len(middle) }} blocks in random order cost only
# {{ mixed.mean() :.3f }}, while the reverse costs {{ reverse.mean() :.1f }}.
# {{ claim: mixed.mean() < 0.1 * reverse.mean() }}
#
# </details>
#
# So the blocks in the middle are less like the links of a chain than like people who add to one list. Each adds
# what it sees, and most of it does not depend on who came just before. Larger models behave the same way:
# [Lad et al. 2024](https://arxiv.org/abs/2406.19384) leave out and swap layers of eight models, and find the first and the last ones sensitive and those in
# the middle robust. The order is not without meaning for that: someone must come first and say what the tokens are.

# %% [markdown] key="count-why"
# ## Step 6. How many parameters?
#
# The **parameters** are the learned numbers. One block has the seven matrices and two norms that you know. With
# `D`, `F`, the numbers of heads `Hq` and `Hkv` and their width `K`:
#
# $$\underbrace{2\, D\, H_q K}_{W_q,\, W_o} + \underbrace{2\, D\, H_{kv} K}_{W_k,\, W_v} + \underbrace{3\, D F}_{\text{feed-forward}} + \underbrace{2 D}_{\text{norms}}$$
#
# Outside the blocks there are the embedding, $V \times D$, the output matrix, $D \times V$, and the last norm, $D$.
# In a tied model the output matrix is the embedding, transposed (lesson [02](02_embedding.ipynb)), and counts once.

# %% key="count-by-hand"
from llama_np import LlamaConfig

c = config
per_block = (
    2 * c.dim * (c.n_heads + c.n_kv_heads) * c.head_dim + 3 * c.dim * c.ffn_width + 2 * c.dim
)
outside = (1 if c.tied_output else 2) * c.vocab_size * c.dim + c.dim
counted = sum(array.size for _, array in weights.named())
agree(c.n_layers * per_block + outside, counted, tolerance=0)
agree(counted, config.count_parameters(), tolerance=0)
source(LlamaConfig.count_parameters)

# %% [markdown] key="published-why"
# The count needs the config only, so we can count the models that Meta has published, from the file `params.json`
# that lies beside their weights (for example [Llama 3.2 3B](https://huggingface.co/meta-llama/Llama-3.2-3B/blob/main/original/params.json)). That the small models of 3.2 are tied stands in
# Hugging Face's `config.json`, and the vocabulary of Llama 2 in its tokenizer. The result must agree to the last
# one with the number of parameters in the published files of weights.

# %% key="published"
from llama_np import LLAMA_3_8B
from weights_tools.formats.config_json import config_from_meta

llama_3 = {"vocab_size": 128256, "norm_eps": 1e-5, "rope_theta": 500000.0, "n_kv_heads": 8}
params = {
    "Llama 3.2 1B": llama_3 | {"dim": 2048, "n_layers": 16, "n_heads": 32, "multiple_of": 256,
                               "ffn_dim_multiplier": 1.5},
    "Llama 3.2 3B": llama_3 | {"dim": 3072, "n_layers": 28, "n_heads": 24, "multiple_of": 256,
                               "ffn_dim_multiplier": 1.0},
    "Llama 2 7B": {"dim": 4096, "n_layers": 32, "n_heads": 32, "multiple_of": 256,
                   "norm_eps": 1e-5, "vocab_size": 32000},
    "Llama 3 70B": llama_3 | {"dim": 8192, "n_layers": 80, "n_heads": 64, "multiple_of": 4096,
                              "ffn_dim_multiplier": 1.3},
}  # fmt: skip
configs = {name: config_from_meta(p, tied_output="3.2" in name) for name, p in params.items()}
configs = {"this model": config, "Llama 3 8B": LLAMA_3_8B} | configs
in_files = {
    "Llama 3.2 1B": 1_235_814_400,
    "Llama 3.2 3B": 3_212_749_824,
    "Llama 2 7B": 6_738_415_616,
    "Llama 3 8B": 8_030_261_248,
    "Llama 3 70B": 70_553_706_496,
}
agree([configs[name].count_parameters() for name in in_files], [*in_files.values()], tolerance=0)
fields = "n_layers", "dim", "ffn_width", "n_heads", "n_kv_heads", "group", "vocab_size"
table(
    ["", "blocks", "D", "F", "Hq", "Hkv", "Hq / Hkv", "V", "tied", "parameters", "GB in bfloat16"],
    [
        [name, *(getattr(c, f) for f in fields), "yes" if c.tied_output else "no"]
        + [f"{c.count_parameters():,}", f"{c.count_parameters() * 2 / 1e9:.3g}"]
        for name, c in sorted(configs.items(), key=lambda item: item[1].count_parameters())
    ],
)

# %% [markdown] key="published-read"
# Look at `Hq / Hkv`, the size of a group (lesson [07](07_multi_head.ipynb)): it is 4 in 8B and in 1B, 8 in 70B, 1 in Llama 2 7B, and **3** in 3B.
# Code that takes 4 for granted, or a power of two, breaks on 3B. The last column is what the published files
# take, with 2 bytes for a number; in float32, with 4, it would be twice as much. Llama 3 8B has 1.3 billion
# parameters more than Llama 2 7B, with the same width and number of blocks: its vocabulary costs
# {{ 2 * (128256 - 32000) * 4096 / 1e9 :.2f }} billion, its wider feed-forward steps {{ 32 * 3 * 4096 * (14336 - 11008) / 1e9 :.2f }}, and grouped queries save {{ 32 * 2 * 4096 * (32 - 8) * 128 / 1e9 :.2f }}.

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>The lens shows a wrong answer after half of the blocks. Does the model not know the right one
# there?</summary>
#
# That does not follow. The lens reads only what points the way of the output matrix, and only the top was trained
# for that. Later blocks may read what the lens does not.
#
# </details>
#
# <details><summary>Leaving out block {{ half }} costs next to nothing, and so it is with most. Could one leave them all out?</summary>
#
# No. Each costs little as long as the others are there to do what it does. Small costs of single parts say nothing
# about the cost of all of them together; the exercise measures it.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# **Your turn:** [exercise 09](exercises/09_32_blocks.ipynb), where you build a block of your own parts and leave out more than one. The
# stream has reached the top. [Lesson 10](10_logits.ipynb), logits, turns its last row into probabilities and shows the ways of choosing
# a token from them. Before this page: [lesson 08](08_feed_forward.ipynb). Its code: `block` and `forward` in `llama_np/model.py`.
