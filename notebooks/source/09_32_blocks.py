# %% [markdown] key="title"
# # 09 32 blocks: is a Llama a chain?
#
# *Once upon a time, there was a little girl named* goes in, passes one block after the other, and ` Lily` comes
# out. Which of the blocks says so, and from which on could we have read it? And what if one of them is left out:
# does the chain break at its weakest link, or was it no chain at all?
#
# The parts are known: norm, attention ([07](07_multi_head.ipynb)), norm and feed-forward ([08](08_feed_forward.ipynb)) make a **block**, and a Llama
# is its block many times over, each time with other weights. We put one together in six lines, run all of them, count the parameters of any Llama,
# watch at which height the girl gets a girl's name, and then leave out blocks,
# shuffle them, and replace one by a mere table, on 20 stories.

# %% key="map"
import numpy as np
from classroom import agree, show, table

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

# %% key="sentence"
from llama_np import (
    attention,
    block,
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

# %% key="block-by-hand"
x, first = embed(weights.embedding, ids), weights.layers[0]
normed = rms_norm(x, first.attn_norm, config.norm_eps)
attn_out = attention(normed, first, config, rotations, visible)
resid_mid = x + attn_out
normed = rms_norm(resid_mid, first.ffn_norm, config.norm_eps)
down = swiglu(normed, first.w_gate, first.w_up, first.w_down)
resid_out = resid_mid + down
print("in", x.shape, "-> in the middle", resid_mid.shape, "-> out", resid_out.shape)
agree(resid_out, block(x, first, config, rotations, visible))

# %% [markdown] key="loop-why"
# ## Step 2. All blocks in a loop
#
# A block gives back the shape that it takes, `T D`, so its output can go into the next. We keep the stream
# before the first block and after each: `streams[n]` is the stream after `n` blocks. Before the loop
# `forward` looks up the embedding, after it come the last norm and the output matrix.

# %% key="loop-by-hand"
streams = [x]
for layer in weights.layers:
    streams.append(block(streams[-1], layer, config, rotations, visible))
streams = np.array(streams)
print("streams", streams.shape, "= blocks + 1, T, D")
trace = {}
logits = forward(weights, config, ids, tap=record(trace))
agree(rms_norm(streams[-1], weights.norm, config.norm_eps) @ weights.output, logits)

# %% [markdown] key="count-why"
# ## Step 3. How many parameters?
#
# The **parameters** are the learned numbers. One block has the seven matrices and two norms that you know. With
# `D`, `F`, the numbers of heads `Hq` and `Hkv` and their width `K`:
#
# $$\underbrace{2\, D\, H_q K}_{W_q,\, W_o} + \underbrace{2\, D\, H_{kv} K}_{W_k,\, W_v} + \underbrace{3\, D F}_{\text{feed-forward}} + \underbrace{2 D}_{\text{norms}}$$
#
# Outside the blocks there are the embedding, $V \times D$, the output matrix, $D \times V$, and the last norm, $D$.
# In a tied model the output matrix is the embedding, transposed (lesson [02](02_embedding.ipynb)), and counts once.

# %% key="count-by-hand"
c = config
per_block = (
    2 * c.dim * (c.n_heads + c.n_kv_heads) * c.head_dim + 3 * c.dim * c.ffn_width + 2 * c.dim
)
outside = (1 if c.tied_output else 2) * c.vocab_size * c.dim + c.dim
counted = sum(array.size for _, array in weights.named())
agree(c.n_layers * per_block + outside, counted, tolerance=0)  # what the files hold
agree(counted, config.count_parameters(), tolerance=0)
print(f"{per_block:,} in a block, {counted:,} in all")

# %% [markdown] key="published-why"
# The count needs the config only, so we can count models that Meta has published, and compare with the number of
# parameters in the published files of weights, to the last digit. The sizes are in the file `params.json` that lies beside
# them (for example [Llama 3.2 3B](https://huggingface.co/meta-llama/Llama-3.2-3B/blob/main/original/params.json)); that the small models of 3.2 are tied is recorded in Hugging Face's
# `config.json`.

# %% key="published"
from dataclasses import replace

from llama_np import LLAMA_3_8B

llama_32_3b = replace(
    LLAMA_3_8B, n_layers=28, dim=3072, n_heads=24, ffn_width=8192, tied_output=True
)
llama_2_7b = replace(LLAMA_3_8B, ffn_width=11008, n_kv_heads=32, vocab_size=32000)
configs = {"Llama 3.2 3B": llama_32_3b, "Llama 2 7B": llama_2_7b, "Llama 3 8B": LLAMA_3_8B}
in_files = 3_212_749_824, 6_738_415_616, 8_030_261_248
agree([c.count_parameters() for c in configs.values()], [*in_files], tolerance=0)
fields = "n_layers", "dim", "ffn_width", "n_heads", "n_kv_heads", "group", "vocab_size"
table(
    ["", "blocks", "D", "F", "Hq", "Hkv", "Hq / Hkv", "V", "tied", "parameters", "GB in bfloat16"],
    [
        [name, *(getattr(c, f) for f in fields), "yes" if c.tied_output else "no"]
        + [f"{c.count_parameters():,}", f"{c.count_parameters() * 2 / 1e9:.3g}"]
        for name, c in ({"this model": config} | configs).items()
    ],
)

# %% [markdown] key="published-read"
# Look at `Hq / Hkv`, the size of a group (lesson [07](07_multi_head.ipynb)): it is 4 in 8B, 1 in Llama 2 7B, and **3** in 3B.
# Code that takes 4 for granted, or a power of two, breaks on 3B. Llama 3 8B has 1.3 billion
# parameters more than Llama 2 7B, with the same width and number of blocks: its vocabulary costs
# {{ 2 * (128256 - 32000) * 4096 / 1e9 :.2f }} billion, its wider feed-forward steps {{ 32 * 3 * 4096 * (14336 - 11008) / 1e9 :.2f }}, and grouped queries save {{ 32 * 2 * 4096 * (32 - 8) * 128 / 1e9 :.2f }}.

# %% [markdown] key="sum-why"
# ## Step 4. The stream is a sum
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
sizes |= {"added by attention": size_of(added["attn_out"])}
sizes |= {"added by feed-forward": size_of(added["down"])}
show.curves(
    np.array(blocks),
    sizes,
    ("block", "mean size"),
    title="the stream after each block, and what was added",
)
print(f"the embedding, before any block: {size_of(streams[:1])[0]:.2f}")

# %% [markdown] key="sum-read"
# Look at the left end first. The picture begins after block 0. The embedding, which it found, has a mean size of {{ size_of(streams[:1])[0] :.2f }}. Block 0's attention adds
# {{ sizes["added by attention"][0] :.2f }} to it and its feed-forward step {{ sizes["added by feed-forward"][0] :.2f }}, each many times the embedding.
# {{ claim: sizes["added by attention"][0] + sizes["added by feed-forward"][0] > 5 * size_of(streams[:1])[0] }}
# So what leaves block 0 is almost wholly block 0's own work; keep this in mind. Further up the stream grows to
# {{ sizes["the stream"][-1] :.1f }}, and a change of the same size weighs less, since the norm in front of the next reader divides by
# the size of the *whole* row.
#
# A logit is a sum in the same way, and [lesson 08](08_feed_forward.ipynb) split one by who wrote it. That does not yet say on
# whose information: only attention can bring *girl* to the last token, and a feed-forward step that then writes ` Lily`
# works on what was brought. To see where it comes in we need other means.

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

hers = int(logits[-1].argmax())
name, half = tokenizer.token(hers), config.n_layers // 2

lens = softmax(rms_norm(streams, weights.norm, config.norm_eps) @ weights.output)
heights = np.unique(np.linspace(0, config.n_layers, 12).round().astype(int))
# for each token the height from which on the likeliest is the final answer
changes = [np.flatnonzero(of_token != of_token[-1]) for of_token in lens.argmax(axis=-1).T]
settled = np.array([height.max(initial=-1) + 1 for height in changes])
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
print("settled after", *(f"{label} {n}," for label, n in zip(labels, settled)))

# %% [markdown] key="lens-why-many"
# In the last row, `{{ labels[-1] }}`, the lens says `{{ tokenizer.token(lens[half, -1].argmax()) }}` after half of the blocks. The picture shows every third height or
# so; the line below it tells from which on a row keeps its answer. For `{{ name }}` it is {{ settled[-1] }}, nearly the top, whereas `{{ labels[settled.argmin()] }}` has its `{{ tokenizer.token(lens[-1, settled.argmin()].argmax()) }}` after {{ settled.min() }}.
# {{ claim: settled.min() < config.n_layers / 4 and settled[-1] > config.n_layers / 2 }}
#
# One sentence can deceive, so here is the same on 20 stories, the beginnings of those that come with the course, 64 tokens each. How good would the predictions be if
# the model ended after `n` blocks (the loss, in **nats**, which means with the natural logarithm), and how many of them
# name the final answer already?

# %% key="lens-many"
from weights_tools.examine import all_prompts, token_losses

texts = [row[:64] for row in all_prompts(tokenizer)["texts"].ids if len(row) >= 64]
scores = np.zeros((2, config.n_layers + 1))
for text in texts:
    seen = {}
    forward(weights, config, text, tap=record(seen, only={"embedded", "resid_out"}))
    rows = np.array([seen["embedded"], *(seen[f"blocks.{i}.resid_out"] for i in blocks)])[:, :-1]
    log_p = log_softmax(rms_norm(rows, weights.norm, config.norm_eps) @ weights.output)
    best = log_p.argmax(axis=-1)
    losses_of_lens = -np.take_along_axis(log_p, text[None, 1:, None], axis=-1)[..., 0]
    scores += [each.mean(axis=-1) for each in (losses_of_lens, best == best[-1])]
lens_loss, same = scores / len(texts)
show.curves(
    np.arange(config.n_layers + 1),
    {"loss": lens_loss},
    ("blocks passed", "nats"),
    title="the logit lens, over all tokens of the stories",
)
print(
    f"names the final answer after {half} blocks: {same[half]:.0%}, one before the top: {same[-2]:.0%}"
)

# %% [markdown] key="lens-read"
# After half of the blocks the lens names the final answer for {{ same[half] :.0% }} of the tokens, and one block before the top for {{ same[-2] :.0% }}.
# Its loss falls from {{ lens_loss[half] :.2f }} half-way to {{ lens_loss[-1] :.2f }}.
# {{ claim: lens_loss[-1] < lens_loss[half] < lens_loss[0] and same[half] < same[-2] }}
# Read this with care: only the top was trained to be read in this way. The model may have the answer earlier, in a form that the output matrix
# does not read ([Belrose et al. 2023](https://arxiv.org/abs/2303.08112) train a small matrix for each height, and find the plain lens often brittle).

# %% [markdown] key="names-why"
# ## Step 6. Where does the girl come in?
#
# Now both texts at once, the girl's and the boy's, each with 20 different words in the place of *little*. Through the
# lens we follow at the last token the girl's name in her text, the boy's name in his, and as a control the boy's name in
# *her* text. And to find who brings the news we put into her text, at the last token, what
# attention adds in *his* text, one block at a time, and measure which part of the difference between the two texts
# is gone. **Predict before you run it**: does the girl's name rise slowly, block by block, or all at once?

# %% key="names"
from llama_np import patch

words = "little big happy kind nice small good young brave sad old pretty funny clever smart"
words += " tall new sweet tiny poor lonely quiet curious strong silly lovely wise special shy"
his_next = forward(weights, config, tokenizer.encode(prompt.replace("girl", "boy"), bos=True))[-1]
his = next(int(i) for i in np.argsort(-his_next) if i != hers)  # a model may name both alike
boys_name = tokenizer.token(his)


def last_rows(who):
    """What the model computes for each text about this child, and the stream at its last token."""
    each = [
        tokenizer.encode(prompt.replace("little girl", f"{w} {who}"), bos=True)
        for w in words.split()
    ]
    same_length = np.array([row for row in each if len(row) == len(ids)][:20])
    seen = {}
    logits = forward(weights, config, same_length, tap=record(seen))[:, -1]
    rows = [seen["embedded"], *(seen[f"blocks.{i}.resid_out"] for i in blocks)]
    return same_length, seen, logits, np.array(rows)[:, :, -1]  # the last: blocks + 1, 20, D


def lens_of(rows, token):
    return softmax(rms_norm(rows, weights.norm, config.norm_eps) @ weights.output)[..., token]


# %% key="names-drawn"
her_ids, her_seen, her_logits, her_rows = last_rows("girl")
_, his_seen, his_logits, his_rows = last_rows("boy")
her_name, his_name, control = (
    lens_of(rows, token) for rows, token in ((her_rows, hers), (his_rows, his), (her_rows, his))
)  # each blocks + 1, 20
show.curves(
    np.arange(config.n_layers + 1),
    {
        f"the girl's text: {name}": her_name.mean(axis=1),
        f"the boy's text: {boys_name}": his_name.mean(axis=1),
        f"the girl's text: {boys_name}": control.mean(axis=1),
    },
    ("blocks passed", "probability"),
    title="the logit lens at the last token, mean of 20 texts each",
)


# %% key="names-from-where"
def from_his_text(i):
    """A tap under which attention in block i adds to the last token what it adds in the boy's text."""

    def change(attn_out):
        return np.concatenate([attn_out[:, :-1], his_seen[f"blocks.{i}.attn_out"][:, -1:]], axis=1)

    return patch({f"blocks.{i}.attn_out": change})


patched = np.array([forward(weights, config, her_ids, tap=from_his_text(i))[:, -1] for i in blocks])
prefers = [each[..., hers] - each[..., his] for each in (her_logits, his_logits, patched)]
gone = (prefers[0] - prefers[2]) / (prefers[0] - prefers[1])  # L 20
show.curves(
    np.array(blocks),
    {"the difference": gone.mean(axis=1)},
    ("block", "part that is gone, mean"),
    title="attention of one block taken from the boy's text",
)
bringer, second, third = (int(i) for i in np.argsort(-gone.mean(axis=1))[:3])
between = np.array([her_seen[f"blocks.{i}.resid_mid"][:, -1] for i in blocks])  # L 20 D
after_attention = lens_of(between, hers)  # L 20
by_feed_forward = (her_name[1:] - after_attention).mean(axis=1)  # what it adds to her name
sayer = int(by_feed_forward.argmax())
table(
    [f"probability of {name} through the lens", "before", "after attention", "after feed-forward"],
    [
        [f"block {i}", f"{her_name[i].mean():.2f}", f"{after_attention[i].mean():.2f}"]
        + [f"{her_name[i + 1].mean():.2f}"]
        for i in sorted({bringer, sayer})
    ],
)

# %% [markdown] key="names-read"
# Half-way up, the lens gives `{{ boys_name }}` {{ his_name[half].mean() :.2f }} ± {{ his_name[half].std() :.2f }} in the boy's text and
# {{ control[half].mean() :.2f }} ± {{ control[half].std() :.2f }} in the *girl's*, not much less: a name is due, this is a likely one, and whom the text is
# about makes only a small difference yet. Her own name has {{ her_name[half].mean() :.3f }} there. The two texts
# part near block {{ bringer }}: her name has {{ her_name[bringer].mean() :.2f }} before it and
# {{ her_name[-1].mean() :.2f }} ± {{ her_name[-1].std() :.2f }} at the top, while
# `{{ boys_name }}` in her text falls from {{ control[bringer].mean() :.2f }} to {{ control[-1].mean() :.3f }}.
#
# The second picture says who brings the news: attention of block {{ bringer }} alone carries
# {{ gone[bringer].mean() :.0% }} ± {{ gone[bringer].std() :.0% }} of what tells the girl's text from the boy's, where the median block
# carries {{ np.median(gone.mean(axis=1)) :.0% }}. Block {{ second }} follows with {{ gone[second].mean() :.0% }} and block {{ third }} with {{ gone[third].mean() :.0% }}. So the answer does not ripen evenly from block to block. The lower blocks
# prepare *a name*; one late step of attention fetches the largest single share of what decides between the two.
#
# Fetching is not saying. The table follows her name through the two halves of block {{ bringer }} and of block {{ sayer }}. What attention has brought in block {{ bringer }} is
# hardly to be read yet, {{ her_name[bringer + 1].mean() :.2f }} after it; it is feed-forward of block {{ sayer }} that lifts the name from {{ after_attention[sayer].mean() :.2f }} to
# {{ her_name[sayer + 1].mean() :.2f }}, and attention of that block carries {{ gone[sayer].mean() :.0% }} of the difference. One block
# fetches who it is about, and a later feed-forward step says what such a person is called.
# {{ claim: sayer > bringer and by_feed_forward[sayer] > 0.2 and her_name[bringer + 1].mean() < 0.15 and abs(gone[sayer].mean()) < 0.1 }}
# {{ claim: her_name[half].mean() < 0.1 < 0.3 < her_name[-1].mean() }}
# {{ claim: control[half].mean() > 0.5 * his_name[half].mean() and control[-1].mean() < 0.05 }}
# {{ claim: gone[bringer].mean() > 0.2 and gone[bringer].mean() > 1.3 * gone[second].mean() }}
# {{ claim: abs(np.median(gone.mean(axis=1))) < 0.03 and bringer > half }}

# %% [markdown] key="skip-experiment"
# ## Try it: leave out one block
#
# Now the question of the title. We leave out each block once, run the others, and measure the loss on the 20
# stories. **Predict before you run it**: does the loss rise most without a block near the bottom, in the middle, or
# near the top? And how large is the largest rise? (Guessing among all tokens costs {{ np.log(config.vocab_size) :.1f }} nats.)

# %% key="skip-cell"
from llama_np import no_tap


def losses(order, tap_for=lambda text: no_tap):
    """The mean loss of each story, with these blocks in this order."""
    chosen = replace(weights, layers=[weights.layers[i] for i in order])
    each = [
        token_losses(chosen, config, text, np.arange(1, 64), tap=tap_for(text)) for text in texts
    ]
    return np.array(each).mean(axis=-1)


# %% key="skip-drawn"
whole = losses(blocks)
rises = np.array([losses([i for i in blocks if i != out]) - whole for out in blocks])
cost = rises.mean(axis=1)
show.curves(
    np.array(blocks),
    {"rise of the loss": np.maximum(cost, 0.001)},
    ("the block left out", "nats, 0.001 or less at the foot"),
    log="y",
    title="what the stories lose without one block",
)
worst = int(np.argsort(-cost)[1])  # the second costliest
table(
    ["left out", "loss rises by", "spread over the stories"],
    [[f"block {i}", f"{cost[i]:.3f}", f"{rises[i].std():.3f}"] for i in (0, 1, half, worst)],
)
print(f"the median of all blocks: {np.median(cost):.3f}")

# %% [markdown] key="skip-answer"
# <details><summary>Answer</summary>
#
# Near the bottom, and there at one place only. Without block 0 the loss rises from {{ whole.mean() :.2f }} by {{ cost[0] :.2f }}. No other block costs more
# than {{ np.delete(cost, 0).max() :.3f }}, and the median is {{ np.median(cost) :.3f }}.
# {{ claim: cost[0] > 5 * np.delete(cost, 0).max() }}
# With block 0 missing the loss is {{ whole.mean() + cost[0] :.1f }}, more than the {{ np.log(config.vocab_size) :.1f }} of guessing, which means that the model is confident and wrong.
# {{ claim: whole.mean() + cost[0] > np.log(config.vocab_size) }}
#
# </details>
#
# So a Llama is no chain, because the stream runs past every block and the later ones still find what the others
# have written ([Veit et al. 2016](https://arxiv.org/abs/1605.06431) found it in networks for images). But why is block 0 so different?

# %% [markdown] key="table-why"
# ## What is block 0?
#
# Step 4 gave a hint: it writes far more than was there. What does it write about? We look at the heads of its
# attention first, those that write most: how large is what each adds, and how much of its weight goes to the
# token *itself* and not to others?

# %% key="own-token"
own = np.zeros((config.n_layers, config.n_heads))
wrote = np.zeros(config.n_heads)
by_head = np.asarray(weights.layers[0].wo).reshape(
    config.n_heads, config.head_dim, config.dim
)  # Hq K D
for text in texts:
    seen = {}
    forward(weights, config, text, tap=record(seen, only={"pattern", "mix"}))
    patterns = np.array([seen[f"blocks.{i}.pattern"] for i in blocks])  # L Hq T T
    own += np.diagonal(patterns, axis1=-2, axis2=-1)[..., 1:].mean(axis=-1) / len(texts)
    wrote += size_of(seen["blocks.0.mix"] @ by_head) / len(texts)
loudest = np.argsort(-wrote)[:4]
table(
    ["head of block 0", "size of what it adds", "weight on the token itself"],
    [[f"{h}", f"{wrote[h]:.2f}", f"{own[0, h]:.2f}"] for h in loudest],
)
print(f"all heads of the model: weight on the token itself {own.mean():.2f} ± {own.std():.2f}")

# %% [markdown] key="own-token-read"
# The loudest head keeps {{ own[0, loudest[0]] :.2f }} of its weight on the token itself, where heads of this model keep
# {{ own.mean() :.2f }} on average. It hardly carries anything between tokens and is nearly one more matrix applied to each token alone, as a feed-forward step is. The other
# three look around more, with {{ own[0, loudest[1:]].min() :.2f }} to {{ own[0, loudest[1:]].max() :.2f }} on the token itself. If the loudest spoke for
# block 0 as a whole, the block would depend on the token only, and a **table** could replace it: for
# each token, what block 0 adds when this token is the whole text. We put the table in the place of the block.
# The control does the same with the next costliest one, block {{ worst }}.
# {{ claim: own[0, loudest[0]] > 0.5 and own[0, loudest[0]] > 3 * own.mean() }}

# %% key="table"
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
    ["", "left out", "replaced by a table, ± over the stories"],
    [
        [f"block {i}", f"{cost[i]:+.3f}", f"{r.mean():+.3f} ± {r.std():.3f}"]
        for i, r in by_table.items()
    ],
)

# %% [markdown] key="table-read"
# Without block 0 the loss rises by {{ cost[0] :.2f }}, and with a table in its place by {{ by_table[0].mean() :.2f }}. So most of what makes it
# indispensable needs no context at all: it is largely a second embedding, which
# works out for each token, from the {{ config.dim }} numbers that the first one holds, what the rest of the model wants to know of it. Why training
# has put this there, and not into the embedding itself, our experiment cannot tell. But the {{ by_table[0].mean() :.2f }} that remain are no trifle. They are
# more than leaving out any other block costs ({{ np.delete(cost, 0).max() :.2f }} at most), so that block 0 looks at the text around as well, and to good purpose.
# {{ claim: by_table[0].mean() < 0.2 * cost[0] and by_table[0].mean() > 1.5 * np.delete(cost, 0).max() }}
#
# For block {{ worst }}, the control, the same
# table costs {{ by_table[worst].mean() :.2f }} where leaving it out costs {{ cost[worst] :.2f }}. What that block adds to a token depends so much on the text around that
# the wrong addition does more harm than none.
# {{ claim: by_table[worst].mean() > 1.2 * cost[worst] }}

# %% [markdown] key="order-experiment"
# ## Try it: other orders
#
# If single blocks hardly matter, does their order? **Predict before you run it**: rank these by cost: the first two
# blocks swapped; two neighbours in the middle swapped; the whole middle half in random order, or left out; all but the first in
# random order; all blocks in reverse.

# %% key="order-cell"
quarter = max(1, config.n_layers // 4)
middle = blocks[quarter:-quarter]
low, high = blocks[:quarter], blocks[-quarter:]
rng = np.random.default_rng(0)
shuffles = [[*low, *rng.permutation(middle), *high] for _ in range(5)]
mixed = np.mean([losses(order) - whole for order in shuffles], axis=0)
far = [[0, *rng.permutation(blocks[1:])] for _ in range(3)]
thrown = np.mean([losses(order) - whole for order in far], axis=0)
pair = [*blocks[: half - 1], half, half - 1, *blocks[half + 1 :]]
swapped, bottom, reverse = (
    losses(order) - whole for order in (pair, [1, 0, *blocks[2:]], blocks[::-1])
)
without_middle = losses([*low, *high]) - whole
rise_of = {
    f"blocks {half - 1} and {half} swapped": swapped,
    f"blocks {middle[0]} to {middle[-1]} shuffled, mean of 5": mixed,
    f"blocks {middle[0]} to {middle[-1]} left out": without_middle,
    f"blocks 1 to {blocks[-1]} shuffled, mean of 3": thrown,
    "blocks 0 and 1 swapped": bottom,
    "in reverse": reverse,
}
table(
    ["order", "loss rises by", "spread over the stories"],
    [[order, f"{rise.mean():.3f}", f"{rise.std():.3f}"] for order, rise in rise_of.items()],
)

# %% [markdown] key="order-answer"
# <details><summary>Answer</summary>
#
# Two neighbours in the middle may be swapped for {{ swapped.mean() :.3f }}, and even {{ len(middle) }} blocks in random
# order cost only {{ mixed.mean() :.3f }}. Throw all blocks but the first together, and it is {{ thrown.mean() :.1f }}. Swapping the first two alone
# costs {{ bottom.mean() :.1f }}, and the reverse {{ reverse.mean() :.1f }}; with the {{ whole.mean() :.1f }} of the whole model both are worse than guessing, and of two ruins it says
# little which is the larger. {{ claim: thrown.mean() > 3 * mixed.mean() and whole.mean() + min(bottom.mean(), reverse.mean()) > np.log(config.vocab_size) }}
# {{ claim: mixed.mean() < 0.1 * reverse.mean() and mixed.mean() < 0.1 * bottom.mean() }}
#
# </details>
#
# Is it that the blocks in the middle do next to nothing? Each of them alone could go for about {{ np.median(cost[quarter:-quarter]) :.3f }}. But leave all {{ len(middle) }} out, and the loss
# rises by {{ without_middle.mean() :.2f }}: together they do matter, and in any order.
# {{ claim: without_middle.mean() > 5 * mixed.mean() }}
#
# So they are less like the links of a chain than like people who add to one list. Each adds
# what it sees, and most of it does not depend on who came just before. Larger models behave the same way:
# [Lad et al. 2024](https://arxiv.org/abs/2406.19384) leave out and swap layers of eight models, and find the first and the last ones sensitive and those in
# the middle robust. Order still matters, over the long way: block 0 has to come first and say what the tokens are, and what is written
# at the bottom has to be there before it is read at the top, as the notes of [page 07b](07b_induction.ipynb) are.

# %% [markdown] key="next"
# ## What comes next
#
# **Your turn:** [exercise 09](exercises/09_32_blocks.ipynb), where you build a block of your own parts and leave out more than one. The
# stream has reached the top. [Lesson 10](10_logits.ipynb), logits, turns its last row into probabilities and shows the ways of choosing
# a token from them. Before this page: [lesson 08](08_feed_forward.ipynb). Its code: `block` and `forward` in `llama_np/model.py`.
