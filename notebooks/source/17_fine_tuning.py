# %% [markdown] key="title"
# # 17 Fine-tuning: how little must change until a model answers?
#
# *Write a story about a cat named Tom.* Ask the doll-house for that in a dialog, and it tells a story about somebody else.
# After a few dozen steps on dialogs it tells one about Tom. How many directions does it need for that in its matrices,
# and how much of the way? And does it still know what it knew before?
#
# Such a second, short training is called **fine-tuning**, and the model it starts from is the **base model**. You write
# **LoRA**, which trains two thin matrices in the place of a large one, take the changes apart, and go half of the way back.
#
# Before this page: lesson [16](16_pretraining.ipynb), the dialogs of [12](12_generation.ipynb) and the gradients of
# [15](15_backward.ipynb). Beside it: [exercise 17](exercises/17_fine_tuning.ipynb). Whatever Llama you have chosen, this
# page trains the doll-house.

# %% key="setup"
import numpy as np
from classroom import agree, show, table

from llama_np import LLAMA_3_8B, Sampling, Weights, forward, generate_batch, log_softmax, softmax
from llama_np.tokenizer.chat import encode_dialog
from llama_np.training import AdamW, clip_by_global_norm, cross_entropy, learning_rate
from llama_np.training.backward import loss_and_gradients
from weights_tools import load_model
from weights_tools.training.dialogs import encode
from weights_tools.training.heroes import find_hero
from weights_tools.training.stages import draw, pad
from weights_tools.training.tuning.study import Material, part_of_the_way, read_rows

base = load_model("doll-house", "float32")
config, weights, tokenizer = base.config, base.weights, base.tokenizer
question = "Write a story about a cat named Tom."


# %% key="base"
def write(w, prompts, n):
    drawn, rng = Sampling(temperature=0.7, top_p=0.9), np.random.default_rng(0)
    told = generate_batch(w, config, prompts, n, drawn, rng=rng, stop_tokens=tokenizer.stop_ids)
    return [tokenizer.decode(new) for new in told]


def ask(w, questions, n=48):
    turns = [[{"role": "user", "content": each}] for each in questions]
    return write(w, [encode_dialog(tokenizer, turn) for turn in turns], n)


as_text = write(weights, [tokenizer.encode(question, bos=True)], 40)[0]
as_dialog = ask(weights, [question])[0]
print("as a text:  ", question, as_text, "\nas a dialog:", as_dialog)

# %% [markdown] key="base-read"
# As a plain text, the request is the beginning of something, and the model goes on with it. In the dialog format it
# tells a story, because a twentieth of the stories in its own training were in that format, after the words "Tell me a story.".
# But nothing has taught it that a story has to do with the request.
# {{ claim: find_hero(as_dialog) != ("cat", "Tom") }}
#
# ## Step 1. A dialog, and which tokens count
#
# What is needed are **dialogs**, requests with answers as one would wish them. For Llama 3 the model wrote several
# answers, and the best was kept ([Llama team 2024](https://arxiv.org/abs/2407.21783), section 4.2.2). Ours are stories that
# the doll-house told and rules kept; the first sentence says what one could have asked for. To train within seconds, we
# cut each after its second sentence.

# %% key="dialog"
material = Material(base)  # dialogs to learn from, and others to measure with
dialog = next(d for d in material.dialogs if find_hero(d.answer).kind == "cat")
given = encode_dialog(tokenizer, [{"role": "user", "content": dialog.question}])
answer = [*tokenizer.encode(dialog.answer), tokenizer.special_id("<|eot_id|>")]

whole = np.array(given + answer)
ids, following = whole[:-1], whole[1:]  # every position is to predict the token after it
targets = np.where(np.arange(len(ids)) >= len(given) - 1, following, -100)
padded_ids, padded_targets = pad([encode(tokenizer, dialog)])
agree(np.stack([ids, targets]), np.concatenate([padded_ids, padded_targets]))

special = set(tokenizer.special_tokens.values())
groups = [3 if t in special else 0 if n < len(given) else 1 for n, t in enumerate(ids)]
below = ["·" if t == -100 else tokenizer.token(t) for t in targets]
show.tokens([tokenizer.token(t) for t in ids], below, groups=groups)

# %% [markdown] key="dialog-read"
# Blue is what is given, violet are the special tokens, orange is the answer. Below each token stands its target, or a
# dot where none counts; in code that is −100, the `IGNORE` of lesson 15, as in PyTorch. The answer's first token,
# `{{ tokenizer.token(answer[0]) }}`, is the target of the last token *before* it. Its last token has `<|eot_id|>` for a target, so that
# to stop is learned like any other word.
#
# Shorter dialogs in a batch are padded at the end. No token looks ahead, so none looks at the **padding**, and it is no
# target. The loss is the mean of $-\ln p$ over the positions that count.


# %% key="loss"
def chances(w):
    """The probability of each token of the answer."""
    p = softmax(forward(w, config, ids))  # T V
    return p[targets != -100, answer]


p_base = chances(weights)
loss = -np.log(p_base).mean()
agree(loss, cross_entropy(forward(weights, config, ids), targets))
first = slice(0, 14)
words = [tokenizer.token(t) for t in answer[first]]
show.bars(-np.log(p_base[first]), words, "nats", title="surprise at the answer, its beginning")
surprise = -np.log(p_base)
print(
    f"all {len(surprise)} tokens together {surprise.sum():.1f} nats, the last one {surprise[-1]:.1f}"
)

# %% [markdown] key="loss-read"
# The model knows how stories begin, but it does not expect this hero, although kind and name are in the question. Its largest surprise is
# not in the picture: that the answer is over after two sentences is worth {{ surprise[-1] :.1f }} of all {{ surprise.sum() :.1f }} nats. Both
# are to be learned. {{ claim: surprise.argmax() == len(surprise) - 1 and np.sort(surprise)[-5:].sum() > 0.4 * surprise.sum() }}
#
# ## Step 2. LoRA: two thin matrices beside a frozen one
#
# To go on training all weights is costly in a large model, because each needs a gradient and Adam's two means. [Hu et al.
# 2021](https://arxiv.org/abs/2106.09685) leave each matrix $W$ **frozen** and learn only what is added to
# it (in attention; we do it in all matrices of the blocks), as a product of two thin ones:
#
# $$W' = W + s\,A B$$
#
# If $W$ has the shape (in, out), $A$ has (in, $r$) and $B$ has ($r$, out). Each row of $AB$ is a mixture of the $r$ rows
# of $B$, so they point in at most $r$ independent directions; this number is the **rank** of a matrix. $s$ is a fixed
# scale, $\alpha / r$ in the paper. This is **LoRA**, low-rank adaptation. The product need not be multiplied out:
#
# $$x\,W' = x W + s\,(x A)\,B$$
#
# So one base model can have many thin pairs, or one **merges** the product into $W$ and has an ordinary Llama.

# %% key="lora"
from llama_np.training.lora import MATRICES, initialize_lora, merge

rng = np.random.default_rng(seed=0)
r, scale = 4, 2.0
w = weights.layers[config.n_layers // 2].wq
a = rng.uniform(-1, 1, (w.shape[0], r)).astype(np.float32)
b = rng.uniform(-1, 1, (r, w.shape[1])).astype(np.float32)
x = rng.standard_normal((50, w.shape[0])).astype(np.float32)
beside = x @ w + scale * ((x @ a) @ b)  # T in @ in r -> T r, T r @ r out -> T out
merged = x @ (w + scale * (a @ b))
agree(beside, merged)
axes = [("in", "out"), ("in", "r"), ("r", "out"), ("in", "out")]
show.to_scale({"W": w, "A": a, "B": b, "s A B": scale * (a @ b)}, axes)

# %% [markdown] key="lora-read"
# The right one is as large as $W$ and yet made of {{ r }} rows. What does that save? Every number that learns takes 16 bytes in
# float32, itself, its gradient and Adam's two means; for a frozen one two bytes are enough.

# %% key="count"
from llama_np.weights import shapes

rows = []
for name, c in {"this model": config, "Llama 3 8B": LLAMA_3_8B}.items():
    n_all = c.count_parameters()
    of_block = [shape for key, shape in shapes(c).items() if key.rpartition(".")[2] in MATRICES]
    n_lora = sum(8 * (n_in + n_out) for n_in, n_out in of_block)
    memory = [f"{n / 1e6:.0f} MB" if n < 1e9 else f"{n / 1e9:.1f} GB"
              for n in (16 * n_all, 2 * n_all + 16 * n_lora)]  # fmt: skip
    rows.append([name, f"{n_all:,}", f"{n_lora:,}", f"{n_lora / n_all:.2%}", *memory])
table(["rank 8, all matrices of the blocks", "weights", "learn", "share", "all", "LoRA"], rows)

# %% [markdown] key="count-read"
# A matrix has in × out numbers, its pair only $r$ (in + out), so the wider the model, the more is saved: in ours
# {{ rows[0][3] }} of the numbers learn, in Llama 3 8B {{ rows[1][3] }}, and {{ rows[1][4] }} become {{ rows[1][5] }}.
#
# ## Step 3. Gradients that never form the large one
#
# In lesson 15 a product $x W$ gave $d_W = x^{\mathsf T} d_{out}$. If $W$ is $W + sAB$, one more product lies between, and its two
# rules give $d_A = s\, d_W B^{\mathsf T}$ and $d_B = s\, A^{\mathsf T} d_W$. But then $d_W$ would be computed, as large as $W$, only to
# be squeezed. Put in what it is and move the brackets:
#
# $$d_A = s\, x^{\mathsf T} \bigl(d_{out} B^{\mathsf T}\bigr) \qquad\qquad d_B = s\, (x A)^{\mathsf T} d_{out}$$

# %% key="gradient"
from llama_np.training.lora import lora_backward, lora_loss_and_gradients

d_out = rng.standard_normal((50, w.shape[1])).astype(np.float32)  # T out
d_a = scale * (x.T @ (d_out @ b.T))  # in T @ (T out @ out r) -> in r
d_b = scale * ((x @ a).T @ d_out)  # r T @ T out -> r out
d_w = x.T @ d_out  # the large one, in out
agree(np.concatenate([d_a.ravel(), d_b.ravel()]),
      np.concatenate([d.ravel() for d in lora_backward(d_w, a, b, scale)]))  # fmt: skip

# %% [markdown] key="cost-why"
# Here $d_W$ was formed only to compare; the training below does without it. **Predict before you run:** which share of the
# memory and of the time of a step is left?

# %% key="cost" tags=["timing"]
import time
import tracemalloc


def of_all(w, *batch):
    return loss_and_gradients(w, config, *batch)


def of_lora(lora, *batch):
    return lora_loss_and_gradients(weights, config, lora, *batch)


def thin():
    return initialize_lora(config, rank=8, rng=np.random.default_rng(0))


def measured(make, gradients_of, frozen=0):
    """What is kept between steps and the most that one needs, in MB; the seconds of a step."""
    batch, seconds = pad(material.learn[:4]), []
    tracemalloc.start()
    learned = make()
    optimizer = AdamW(learned, weight_decay=0.0)
    kept, _ = tracemalloc.get_traced_memory()
    for _ in range(4):
        start = time.process_time()
        optimizer.step(learned, gradients_of(learned, *batch)[1], 1e-3)
        seconds.append(time.process_time() - start)
        if tracemalloc.is_tracing():
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()  # it takes time, so only the first step is watched
    return np.array([(kept + frozen) / 1e6, (most + frozen) / 1e6, min(seconds)])


# %% key="cost-table" tags=["timing"]
n_bytes = sum(w.nbytes for _, w in weights.named())  # LoRA needs the frozen weights as well
of_a_step = {
    "all weights": measured(lambda: weights.map(np.copy), of_all),
    "LoRA, rank 8": measured(thin, of_lora, frozen=n_bytes),
}
left = of_a_step["LoRA, rank 8"] / of_a_step["all weights"]
table(
    ["four dialogs", "kept between steps", "most in a step", "time of a step"],
    [[n, f"{k:.0f} MB", f"{m:.0f} MB", f"{t:.2f} s"] for n, (k, m, t) in of_a_step.items()],
)

# %% [markdown] key="cost-read" tags=["timing"]
# {{ claim: left[0] < 0.6 and left[0] < left[1] < 0.9 and 0.6 < left[2] < 1.1 }}
# What is kept from one step to the next, weights and Adam's two means, falls to {{ left[0] :.0% }}, mostly frozen weights, of which a
# large model would keep two bytes each. The most that a step
# needs falls to {{ left[1] :.0% }} only, because the activations of lesson 15 are as many as before. And a step takes {{ left[2] :.0% }} of the time. Of three
# large products, the forward pass, $d_x$ and $d_W$, the last one falls away, which saves a third of their time at most ([Schulman et al.
# 2025](https://thinkingmachines.ai/blog/lora/)); in a model as narrow as this one the thin products, attention and the logits cost as well. **What LoRA saves is memory**, the more, the wider the model: for
# Llama 3 8B's `wq`, $d_W$ would take {{ 4 * np.prod(shapes(LLAMA_3_8B)["layers.0.wq"]) / 1e6 :.0f }} MB in float32, and the two thin gradients
# {{ 4 * 8 * sum(shapes(LLAMA_3_8B)["layers.0.wq"]) / 1e6 :.1f }} MB.
#
# At the start $A$ is random and $B$ is zero, so that nothing is added, and the model is the base model; with both zero
# no gradient would ever reach them ([exercise 17](exercises/17_fine_tuning.ipynb)).
#
# ## Step 4. Thirty steps
#
# The loop is that of [lesson 16](16_pretraining.ipynb), with four dialogs a step. Its optimizer gets the thin matrices
# only, so that nothing else can change.


# %% key="tune"
def tune(learned, gradients_of, peak, n_steps=30):
    optimizer, losses = AdamW(learned, weight_decay=0.0), []
    for step in range(n_steps):
        chosen = draw(len(material.learn), 4, step, seed=0)
        batch = pad([material.learn[i] for i in chosen])
        loss, gradients = gradients_of(learned, *batch)
        clip_by_global_norm(gradients, 1.0)
        optimizer.step(learned, gradients, learning_rate(step, peak, 3, n_steps))
        losses.append(loss)
    return np.array(losses)


# %% key="train" tags=["timing"]
lora = thin()
losses = tune(lora, of_lora, 2.5e-3)
tuned = merge(weights, lora)
lines = {"base": -np.log(p_base[first]), "tuned": -np.log(chances(tuned)[first])}
show.bar_panels(lines, words, "surprise in nats", across=2)
learned = {i for step in range(30) for i in draw(len(material.learn), 4, step, seed=0)}


def end_and_rest(w):
    """Held-out requests: nats of the end of an answer, and nats a token of all that comes before."""
    ends, rest = [], []
    for ids, start in material.sets["requests"]:
        nats = -log_softmax(forward(w, config, ids[:-1]))[np.arange(len(ids) - 1), ids[1:]]
        ends.append(nats[-1])
        rest += nats[start - 1 : -1].tolist()
    return np.mean(ends), np.mean(rest)


(end_base, rest_base), (end_tuned, rest_tuned) = end_and_rest(weights), end_and_rest(tuned)
print(
    f"held out: the end {end_base:.1f} -> {end_tuned:.1f}, other tokens {rest_base:.2f} -> {rest_tuned:.2f}"
)
shown_it = material.dialogs.index(dialog) in learned
print(
    f"loss of the first five steps {losses[:5].mean():.2f}, the last five {losses[-5:].mean():.2f}"
)

# %% [markdown] key="train-read"
# {{ 4 * len(losses) }} dialogs have brought the loss from {{ losses[:5].mean() :.2f }} to {{ losses[-5:].mean() :.2f }}. In the picture,
# of a dialog that was {{ "among those learned" if shown_it else "not among those learned" }}, the hero no longer surprises. What still does is what the request does not tell, such as
# the adjective. On {{ len(material.sets["requests"]) }} held-out requests the end has gone from {{ end_base :.1f }} nats to {{ end_tuned :.1f }}, and all other tokens from
# {{ rest_base :.2f }} to {{ rest_tuned :.2f }} nats a token.
# {{ claim: losses[-5:].mean() < 0.6 * losses[:5].mean() and end_tuned < 0.2 * end_base and rest_tuned < rest_base - 0.15 }}

# %% key="asked"
questions = [question, "Can you tell a story about a bird named Mia?",
             "Please write a story about a bear named Plobeek."]  # fmt: skip
told = ask(tuned, questions)
for one, story in zip(questions, told):
    print(f"{one}\n    {story}\n")

# %% [markdown] key="asked-read"
# It answers in two short sentences, as it was shown. The name Plobeek was made up for this page, so it must
# have been copied (lesson [07b](07b_induction.ipynb)).
# {{ claim: find_hero(told[0]) == ("cat", "Tom") and find_hero(told[2]) == ("bear", "Plobeek") }}
#
# ## Step 5. All weights, or LoRA?
#
# What became of what the model knew? The run was repeated with all weights and with LoRA, at five rates each, from
# cautious to reckless, three seeds each, by `python -m weights_tools.training.tuning.study`, whose table ships. It measures {{ len(material.sets["requests"]) }} held-out **requests** and all {{ len(material.sets["facts"]) }} lines of the **facts** that the doll-house has learned by
# heart.
#
# **Predict before you look:** which of the two loses more of the facts?

# %% key="rates"
before, runs = read_rows()
names = ("requests", "facts")


def seeds_of(rank, rate=2.5e-3, mask="the answer"):
    """What was measured after the run with each seed."""
    return [row for run, row in runs.items() if run[:3] == (rank, rate, mask)]


def found(rank, rate=2.5e-3):
    """The mean over the seeds."""
    rows = seeds_of(rank, rate)
    return {name: np.mean([row[name] for row in rows]) for name in rows[0]}


def span(rank, rate, name):
    each = [row[name] for row in seeds_of(rank, rate)]
    return f"{np.mean(each):.2f} ({min(each):.2f} to {max(each):.2f})"


# %% key="rates-table"
ways = {"all weights": 0, "LoRA, rank 8": 8}
rates = {way: sorted({run.rate for run in runs if run.rank == rank}) for way, rank in ways.items()}
rows = [["before", "", *(f"{before[name]:.2f}" for name in names)]]
lines = {}
for way, rank in ways.items():
    rows += [[way, rate, *(span(rank, rate, name) for name in names)] for rate in rates[way]]
    ends = [before, *(found(rank, rate) for rate in rates[way])]
    lines[way] = np.array([[end[name] for name in names] for end in ends])
table(["nats a token, three seeds", "rate", *names], rows)
title = "from the base model, arrows towards higher rates; nats a token"
show.tracks(lines, ("requests, held out", "facts"), title=title, directed=True)
good = {"all weights": found(0, 2.5e-4), "LoRA": found(8, 2.5e-3)}
twice = {"all weights": found(0, 5e-4), "LoRA": found(8, 5e-3)}

# %% [markdown] key="rates-read"
# Both lines begin at the lower right, at the base model. At the rates 0.00025 and 0.0025 all
# weights and LoRA have learned the requests equally well, {{ good["all weights"]["requests"] :.2f }} and {{ good["LoRA"]["requests"] :.2f }}, and the facts have gone from
# {{ before["facts"] :.2f }} to {{ good["all weights"]["facts"] :.2f }} and {{ good["LoRA"]["facts"] :.2f }}. At twice these rates nothing more is learned, {{ twice["all weights"]["requests"] :.2f }} and {{ twice["LoRA"]["requests"] :.2f }}, and the
# facts are at {{ twice["all weights"]["facts"] :.2f }} and {{ twice["LoRA"]["facts"] :.2f }}. So from four settings that answer equally well one can pick two that show
# that LoRA forgets less, and two that show the opposite. **What is forgotten is decided by the rate first.** Where both have learned
# equally much, LoRA has even forgotten somewhat more here.
# {{ claim: max(run["requests"] for run in (*good.values(), *twice.values())) - min(run["requests"] for run in (*good.values(), *twice.values())) < 0.03 }}
# {{ claim: twice["all weights"]["facts"] > good["LoRA"]["facts"] + 0.05 and twice["LoRA"]["facts"] > good["all weights"]["facts"] + 0.05 }}
# {{ claim: all(a["facts"] < b["facts"] for rank, r in zip((0, 8), rates.values()) for a, b in zip([found(rank, rate) for rate in r], [found(rank, rate) for rate in r[1:]])) }}
#
# Large models that learned programming and mathematics for long did learn less and forget less with LoRA
# ([Biderman et al. 2024](https://arxiv.org/abs/2405.09673)).
#
# ## Step 6. How many directions?
#
# LoRA can only make changes of rank $r$. Is that a limit here? A run with all weights can tell, because its change
# $\Delta W$ was free. The **singular values** of a matrix say how far it stretches along its most important direction, the
# second, and so on, and their squares add up to the sum of all its squared numbers. `np.linalg.svd` gives them as `s`, with the
# directions on both sides in `u` and `v`. Which share lies in the first few, and in those of a random matrix, the control?
# Then we keep only the first directions of each change. **Predict before you run:** how many do the answers need?

# %% key="full" tags=["timing"]
whole = weights.map(np.copy)
tune(whole, of_all, 5e-4)
start, end = dict(weights.named()), dict(whole.named())
of_blocks = [name for name in start if name.rpartition(".")[2] in MATRICES]
svd = {name: np.linalg.svd(end[name] - start[name], full_matrices=False) for name in of_blocks}
noise = [np.linalg.svd(rng.standard_normal(start[n].shape), compute_uv=False) for n in of_blocks]
real = [s for _, s, _ in svd.values()]


def share_in_first(k, singular_values):
    return np.mean([(s[:k] ** 2).sum() / (s**2).sum() for s in singular_values])


def keep(k):
    """The start, and of each change in the blocks only the first k directions."""
    kept = {name: start[name] + (u[:, :k] * s[:k]) @ v[:k] for name, (u, s, v) in svd.items()}
    return Weights.from_named({**start, **kept})


# %% key="full-table" tags=["timing"]
kept = {k: keep(k) for k in (1, 2, 4, 8)}
cut = {k: material.measure(w, ["requests"])["requests"] for k, w in kept.items()}
named = {k: material.answered(w)["named"] for k, w in [*kept.items(), ("all", whole)]}
lines = [
    [k, *(f"{share_in_first(k, s):.0%}" for s in (real, noise)), f"{cut[k]:.2f}", f"{named[k]:.0%}",
     f"{found(k)['requests']:.2f}", f"{found(k)['named']:.0%}"]
    for k in cut
]  # fmt: skip
header = [
    "directions",
    "of the change",
    "of a random one",
    "only these kept: requests",
    "hero first",
]
table([*header, "LoRA of this rank: requests", "hero first"], lines)
best_of_one = found(1, 1e-2)

# %% [markdown] key="ranks-read"
# The first direction holds {{ share_in_first(1, real) :.0% }} of the change, where that of a random matrix holds {{ share_in_first(1, noise) :.0% }}, but eight hold only
# {{ share_in_first(8, real) :.0% }}: the change favours a few directions but is not of low rank. Even so, one kept direction in each matrix brings
# {{ (before["requests"] - cut[1]) / (before["requests"] - found(0, 5e-4)["requests"]) :.0% }} of what the whole change brings, and eight nearly all. Asked {{ len(material.asked) }} held-out requests, the model with one
# direction begins {{ named[1] :.0% }} of its stories with the hero, with two {{ named[2] :.0% }}, with eight {{ named[8] :.0% }}; with the whole change it is {{ named["all"] :.0% }}. **Of this
# change, most of the nats lie in one direction, and the hero needs about eight**: what comes first is what costs most, such as the end.
# {{ claim: named[8] > 0.8 and named[1] < 0.4 and named[1] < named[2] < named[8] }}
#
# Does the *task* need eight, then? LoRA of rank 1, 2, 4 or 8 comes as far in nats as the change that was cut to so many directions, within
# {{ max(abs(cut[k] - found(k)["requests"]) for k in cut) :.2f }}, and it names the hero rather more often (means of three seeds). But all four ran at one rate, {{ 2.5e-3 :g }}. At
# four times that rate, rank 1 comes to {{ best_of_one["requests"] :.2f }} nats, as low as the {{ found(8)["requests"] :.2f }} of rank 8, and names the hero in {{ best_of_one["named"] :.0% }}. So
# one direction in each matrix has room enough if it is trained for it: what it lacked was longer steps. It pays for them in what it
# forgets, {{ best_of_one["facts"] - before["facts"] :.2f }} nats against {{ found(8)["facts"] - before["facts"] :.2f }}. {{ claim: abs(best_of_one["requests"] - found(8)["requests"]) < 0.03 and best_of_one["named"] > 0.85 }}
# These are answers of two sentences in one form; more data need more rank, and LoRA falls behind where there is more to
# learn than it can hold (Schulman et al.).
# {{ claim: share_in_first(1, real) > 3 * share_in_first(1, noise) and share_in_first(8, real) < 0.97 }}
# {{ claim: before["requests"] - cut[1] > 0.6 * (before["requests"] - found(0, 5e-4)["requests"]) and cut[8] - found(0, 5e-4)["requests"] < 0.1 }}
# {{ claim: max(abs(cut[k] - found(k)["requests"]) for k in cut) < 0.1 }}
#
# ## Step 7. When the wrong tokens count
#
# Here are four other ways to set the targets: to count the question as well, or the padding, to begin one token too late,
# or to leave out the end. Each was trained with LoRA of rank 8, from three seeds, and answered {{ len(material.asked) }} of the held-out requests. Does the story begin with
# the hero, and does it end within 40 tokens? **Predict before you look:** which of them do harm, and of what kind?

# %% key="masks"
from weights_tools.training.tuning.study import MASKS, Run

masks = {mask: seeds_of(8, 2.5e-3, mask) for mask in MASKS}
share = {
    mask: {name: np.mean([row[name] for row in rows]) for name in ("named", "ended")}
    for mask, rows in masks.items()
}
nats = {mask: [row["requests"] for row in rows] for mask, rows in masks.items()}
lines = [["before any training", f"{before['named']:.0%}", f"{before['ended']:.0%}",
          f"{before['requests']:.2f}"]]  # fmt: skip
for mask in MASKS:
    row = [mask, f"{share[mask]['named']:.0%}", f"{share[mask]['ended']:.0%}"]
    lines.append([*row, f"{min(nats[mask]):.3f} to {max(nats[mask]):.3f}"])
table(["what counts", "begins with the hero", "ends", "requests, nats a token"], lines)
late = material.tune(Run(8, 2.5e-3, "one token too late", 0))
for answer in ask(late, [text for text, _ in material.asked[:3]], 16):
    print("one token too late:", answer)

# %% [markdown] key="masks-read"
# Two do plain harm. **One token too late** leaves out the answer's first token, on which all that
# follows depends: {{ share["one token too late"]["named"] :.0% }} begin with the hero, although all other tokens have been learned. The base model did begin
# a story, but to this one stories have been shown only from their second token on. As the printed ones do, its answers open with something short that the base model learned by heart,
# and never come to the story. **All but the end** begins
# {{ share["all but the end"]["named"] :.0% }} of its stories as it should and ends {{ share["all but the end"]["ended"] :.0% }}.
#
# With the question or the padding counted the model works, a little worse: the hero is first in {{ share["the question as well"]["named"] :.0% }} and
# {{ share["padding as well"]["named"] :.0% }}, against {{ share["the answer"]["named"] :.0% }}, and every one of the three seeds has more nats with them than any has without. Perhaps what a step of this size spends on
# them is missing for the answer; we have not tried larger ones. Elsewhere counting the question has been found to help, above all where
# answers are short beside the requests, or dialogs few ([Shi et al. 2024](https://arxiv.org/abs/2405.14394)).
# {{ claim: share["one token too late"]["named"] < 0.1 and share["all but the end"]["ended"] < 0.1 }}
# {{ claim: min(min(nats[m]) for m in ("the question as well", "padding as well")) > max(nats["the answer"]) and share["padding as well"]["named"] < share["the answer"]["named"] - 0.05 }}
# {{ claim: min(share[m]["named"] for m in ("the question as well", "padding as well", "the answer")) > 0.6 and share["the answer"]["ended"] > 0.8 }}
#
# `doll-house-chat`, which ships, was made in the same way, from whole stories, by `python -m weights_tools finetune`.
#
# ## Experiment: take half of it back
#
# From the base model to a tuned one leads a straight line, on which every weight has gone the same share of its way: **weight
# interpolation** ([Wortsman et al. 2021](https://arxiv.org/abs/2109.01903)). Pre-training came to rest near a **minimum** of the facts' loss, where a loss grows about
# with the *square* of the way, as in the bowl of [lesson 14](14_tensors_and_gradients.ipynb), so that half of the way should cost a quarter. The tuned model is near
# a minimum of the requests' loss, so that half of the way should bring three quarters. That sounds like a bargain. But there is a simpler
# way to go less far, the **control**: a run at a smaller rate. Every run of step 5 was measured half of the way, too.
#
# **Predict before you look:** at equal requests, who has lost fewer facts, the model that was taken half of the way back, or
# the one that was trained more carefully?

# %% key="half"
half_way = {
    f"{way}, half way": [found(rank, rate) for rate in rates[way]] for way, rank in ways.items()
}
whole_way = {way: [found(rank, rate) for rate in rates[way]] for way, rank in ways.items()}
lines = {}
for (way, ends), halves in zip(whole_way.items(), half_way.values()):
    lines[way] = np.array([[end[n] for n in names] for end in ends])
    lines[f"{way}, half way"] = np.array([[end[f"half_way_{n}"] for n in names] for end in halves])
header = ["rate", "requests, facts", "half way: requests, facts"]
rows = [
    [way, rate, *("{:.2f}, {:.2f}".format(*lines[each][i]) for each in (way, f"{way}, half way"))]
    for way in ways
    for i, rate in enumerate(rates[way])
]
table(["", *header], rows)
seen = {name: lines[name][:4] for name in (*ways, *half_way)}  # without the most reckless
title = "nats a token, arrows towards higher rates"
show.tracks(seen, ("requests, held out", "facts"), title=title, directed=True)


def facts_at(rank, which, requests, seed):
    """The facts where the requests have come to so much, between the measured rates of one seed."""
    way = [runs[run] for run in usual if (run.rank, run.seed) == (rank, seed)]  # careful first
    points = np.array([[row[f"{which}{name}"] for name in names] for row in way])
    points = points[: points[:, 0].argmin() + 1][::-1]  # before learning turns into harm
    return np.interp(requests, *points.T)


# %% key="half-equal"
same, usual = 0.61, [run for run in runs if run.mask == "the answer"]
cost = {
    f"{way}{', half way' if which else ''}": [facts_at(rank, which, same, n) for n in range(3)]
    for way, rank in ways.items()
    for which in ("", "half_way_")
}
header = [f"requests at {same:.2f}", "facts", "three seeds"]
table(header, [[n, f"{np.mean(c):.2f}", f"{min(c):.2f} to {max(c):.2f}"] for n, c in cost.items()])
half_of = {
    way: part_of_the_way(weights, w, 0.5) for way, w in (("all weights", whole), ("LoRA", tuned))
}
half_named = {way: material.answered(w)["named"] for way, w in half_of.items()}
good = found(0, 2.5e-4)  # the rate of all weights that matches LoRA's 0.0025 in step 5
cost_of_half = (good["half_way_facts"] - before["facts"]) / (good["facts"] - before["facts"])
gain_of_half = (before["requests"] - good["half_way_requests"]) / (
    before["requests"] - good["requests"]
)
print("half of the way, stories that begin with the hero:",
      ", ".join(f"{way} {share:.0%}" for way, share in half_named.items()))  # fmt: skip

# %% [markdown] key="half-read"
# {{ claim: all(half < full - 0.03 for half, full in zip(cost["LoRA, rank 8, half way"], cost["LoRA, rank 8"])) }}
# {{ claim: max(cost["all weights, half way"]) > min(cost["all weights"]) and np.mean(cost["all weights"]) - np.mean(cost["all weights, half way"]) < 0.04 }}
# The expectation was even too modest: with all weights at the rate 0.00025, half of the way costs {{ cost_of_half :.0% }} of the facts and brings {{ gain_of_half :.0% }} of the requests. {{ claim: cost_of_half < 0.25 and gain_of_half > 0.75 }}
# Is it a bargain, then? In the picture the lines of half the way would have to lie below those of the whole: LoRA's does, that of all weights lies on it. Where the requests have come to {{ same :.2f }}, a run at a smaller rate has the facts at {{ np.mean(cost["all weights"]) :.2f }}, and one that
# was taken half of the way back at {{ np.mean(cost["all weights, half way"]) :.2f }}, which is within the spread. With LoRA it is one: {{ np.mean(cost["LoRA, rank 8, half way"]) :.2f }} instead of {{ np.mean(cost["LoRA, rank 8"]) :.2f }}, with every
# seed, so that half of the way makes up for what LoRA forgets more in step 5. For that difference we have no reason to give. **A method that
# promises to forget less has to be held against a smaller rate.**
#
# So how little must change? {{ 4 * len(losses) }} short dialogs are enough for a model that answers. One direction in each matrix lets {{ named[1] :.0% }} of the stories
# begin with the hero if it is what is left of a larger change, and {{ best_of_one["named"] :.0% }} if it was trained alone. A model that is taken half of the way back, with all
# its directions, begins so in {{ half_named["all weights"] :.0% }} with all weights and in {{ half_named["LoRA"] :.0% }} with LoRA (one seed each, at rates that are not equals). The nats fall sooner than the answers come right.
#
# ## What comes next
#
# **Your turn:** [exercise 17](exercises/17_fine_tuning.ipynb). The model took each answer that it saw for perfect. Often
# it is easier to say which of two is better: lesson [18](18_preferences.ipynb) trains on such comparisons. Code:
# `llama_np/training/lora.py`.
