# %% [markdown] key="title"
# # 17 Fine-tuning: how little must change until a model answers?
#
# *Write a story about a cat named Tom.* Ask the doll-house for that in a dialog, and it tells a story about somebody else. After a few dozen steps
# on dialogs it tells one about Tom. Which of its weights had to change for that, and how far? And does it still know what it knew
# before?
#
# Such a second, short training is called **fine-tuning**, and the model it starts from is the **base model**. You turn stories into dialogs, decide
# which tokens count, and write **LoRA**, which trains two thin matrices in the place of a large one. Then come four experiments, and the last
# one goes half of the way back.
#
# Before this page: [lesson 16](16_pretraining.ipynb); you need the dialogs of lesson [12](12_generation.ipynb) and the
# gradients of lesson [15](15_backward.ipynb). Beside it: [exercise 17](exercises/17_fine_tuning.ipynb). Whatever Llama you have
# chosen, this page trains the doll-house.

# %% key="setup"
import numpy as np
from classroom import agree, show, table

from llama_np import LLAMA_3_8B, Sampling, Weights, forward, generate_batch, softmax
from llama_np.tokenizer.chat import encode_dialog
from llama_np.training import AdamW, clip_by_global_norm, cross_entropy, learning_rate
from llama_np.training.backward import loss_and_gradients
from weights_tools import load_model
from weights_tools.training.corpus import read_facts
from weights_tools.training.dialogs import UNSEEN_QUESTIONS, declines, encode, request
from weights_tools.training.heroes import draw_opening, find_hero
from weights_tools.training.stages import draw, pad
from weights_tools.training.tuning.study import Material, Run, part_of_the_way, read_rows

base = load_model("doll-house", "float32")
config, weights, tokenizer = base.config, base.weights, base.tokenizer
question = "Write a story about a cat named Tom."

# %% [markdown] key="base-why"
# The model as it is gets the request twice: as the beginning of a text, and in the dialog format.


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
# As a plain text, the request is the beginning of something, and the model goes on with it. In the dialog format it tells a
# story, because a twentieth of the stories in its own training stood in that format, after the words "Tell me a story.". But it is not about a cat
# named Tom: nothing has taught the model that a story has to do with the request.
# {{ claim: find_hero(as_dialog) != ("cat", "Tom") }}
#
# ## Step 1. A dialog, and which tokens count
#
# What is needed are **dialogs**, requests with answers as one would wish them. For InstructGPT people wrote about 13,000
# ([Ouyang et al. 2022](https://arxiv.org/abs/2203.02155), section 3.2); for Llama 3 the model wrote several answers, and
# the best was kept ([Llama team 2024](https://arxiv.org/abs/2407.21783), section 4.2.2). Ours were made like that: the doll-house
# told stories, rules kept those that hold together, and the first sentence tells what one could have asked for. To train within seconds, we
# cut each answer after its second sentence.

# %% key="dialog"
material = Material(base)
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
# Blue is what is given, violet are the special tokens, orange is the answer. Below each token stands its target, the token
# it should predict, or a dot where none counts; in code that is the number −100, as in PyTorch. Look at the two ends of
# the answer. Its first token, `{{ tokenizer.token(answer[0]) }}`, is the target of the last token *before* it. And its last token has
# `<|eot_id|>` for a target, so that to stop is learned like any other word.
#
# Shorter dialogs in a batch are padded at the end. No token looks ahead, so none looks at the **padding**, and it is no
# target. The loss is the one of all training, the mean of $-\ln p$, over the set $C$ of positions that count:
#
# $$L = -\frac{1}{|C|} \sum_{t \in C} \ln p_t(\mathrm{target}_t)$$


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

# %% [markdown] key="loss-read"
# The mean over all {{ len(answer) }} tokens of the answer is {{ loss :.2f }} nats. Most of it comes from few of them: the model knows
# how stories begin, but it does not expect this hero, although kind and name stand in the question. That is what there is to
# learn.
# {{ claim: np.sort(-np.log(p_base))[-5:].sum() > 0.4 * -np.log(p_base).sum() }}
#
# ## Step 2. LoRA: two thin matrices beside a frozen one
#
# One could train all weights on, as in lesson 16. In a large model that is costly, because each weight needs a gradient and Adam's two
# means. [Hu et al. 2021](https://arxiv.org/abs/2106.09685) (section 4.1) leave each
# matrix $W$ **frozen** and learn only what is added to it, as a product of two thin ones:
#
# $$W' = W + s\,A B$$
#
# If $W$ has the shape (in, out), $A$ has (in, $r$) and $B$ has ($r$, out) with a small **rank** $r$, and $s$ is a fixed
# scale, $\alpha / r$ in the paper, which writes $BA$ because vectors are columns there. This is **LoRA**, low-rank
# adaptation. A product need not be multiplied out:
#
# $$x\,W' = x W + s\,(x A)\,B$$
#
# So one can keep one base model with many thin pairs beside it, or **merge** the product into $W$ once and have an
# ordinary Llama.

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
# The right one is as large as $W$ and yet made of little: each of its rows is a mixture of the {{ r }} rows of $B$, which shows as
# stripes. What does that save? Every number that learns takes 16 bytes in float32, itself, its gradient and Adam's two means;
# a frozen one is only read, and two bytes are enough.

# %% key="count"
from llama_np.weights import shapes

rows = []
for name, c in {"this model": config, "Llama 3 8B": LLAMA_3_8B}.items():
    n_all = c.count_parameters()
    of_block = [shape for key, shape in shapes(c).items() if key.rpartition(".")[2] in MATRICES]
    n_lora = sum(8 * (n_in + n_out) for n_in, n_out in of_block)
    memory = [f"{n / 1e9:.3g} GB" for n in (16 * n_all, 2 * n_all + 16 * n_lora)]
    rows.append([name, f"{n_all:,}", f"{n_lora:,}", f"{n_lora / n_all:.2%}", *memory])
table(["rank 8, all matrices of the blocks", "weights", "learn", "share", "all", "LoRA"], rows)

# %% [markdown] key="count-read"
# A matrix has in × out numbers, its pair only $r$ (in + out), so the wider the model, the more is saved: in ours
# {{ rows[0][3] }} of the numbers learn, in Llama 3 8B {{ rows[1][3] }}, and {{ rows[1][4] }} become {{ rows[1][5] }}, which one graphics card
# can hold. The activations of the forward pass come on top in both cases.
#
# ## Step 3. Gradients that never form the large one
#
# In lesson 15 a product $x W$ gave $d_W = x^{\mathsf T} d_{out}$. If $W$ is $W + sAB$, one more product lies between, and its two
# rules give $d_A = s\, d_W B^{\mathsf T}$ and $d_B = s\, A^{\mathsf T} d_W$. But then $d_W$ would be computed, as large as $W$, only to
# be squeezed. Put in what it is and move the brackets:
#
# $$d_A = s\, x^{\mathsf T} \bigl(d_{out} B^{\mathsf T}\bigr) \qquad\qquad d_B = s\, (x A)^{\mathsf T} d_{out}$$
#
# Everything on the way has one side of length $r$.

# %% key="gradient"
from llama_np.training.lora import lora_backward

d_out = rng.standard_normal((50, w.shape[1])).astype(np.float32)  # T out
d_a = scale * (x.T @ (d_out @ b.T))  # in T @ (T out @ out r) -> in r
d_b = scale * ((x @ a).T @ d_out)  # r T @ T out -> r out
d_w = x.T @ d_out  # the large one, in out
agree(np.concatenate([d_a.ravel(), d_b.ravel()]),
      np.concatenate([d.ravel() for d in lora_backward(d_w, a, b, scale)]))  # fmt: skip

# %% [markdown] key="cost-read"
# For Llama 3 8B's `wq`, the large gradient would take {{ 4 * np.prod(shapes(LLAMA_3_8B)["layers.0.wq"]) / 1e6 :.0f }} MB in float32, and these two, at rank 8,
# {{ 4 * 8 * sum(shapes(LLAMA_3_8B)["layers.0.wq"]) / 1e6 :.1f }} MB. Time is saved less. $d_x$ still goes through the large matrix, and so does the forward pass: of
# three large products one falls away, at most a third of the computing ([Schulman et al.
# 2025](https://thinkingmachines.ai/blog/lora/) count the same). What LoRA saves is memory.
#
# ## Step 4. How to start
#
# At the start $A$ is random and $B$ is zero, so that nothing is added, and the model is the base model.
# **Predict before you run:** what if both were zero? And if both were random?

# %% key="start"
from llama_np.training.lora import Lora, Pair, lora_loss_and_gradients
from llama_np.training.optimizer import global_norm

lora = initialize_lora(config, rank=8, rng=np.random.default_rng(0))
noise = {
    n: Pair(p.a, rng.uniform(-0.5, 0.5, p.b.shape).astype("f4")) for n, p in lora.pairs.items()
}
starts = {
    "A random, B zero": lora,
    "both zero": lora.map(np.zeros_like),
    "both random": Lora(noise, lora.scale),
}
batch, of_start = pad(material.learn[:4]), {}
for name, begin in starts.items():
    loss, d = lora_loss_and_gradients(weights, config, begin, *batch)
    of_start[name] = loss, *(global_norm(getattr(p, m) for p in d.pairs.values()) for m in "ab")
header = ["start", "loss", "length of all d_A", "of all d_B"]
table(header, [[n, *(f"{v:.2f}" for v in values)] for n, values in of_start.items()])

# %% [markdown] key="start-answer"
# <details><summary>Answer</summary>
#
# With both zero, each gradient is a product with zero, and the model never moves. With $B$ zero, $d_A$ is zero but
# $d_B$ is not: after one step $B$ has moved, and from the second on $A$ learns as well. With both random, noise is added to every
# matrix, and the loss says that the start is a damaged model.
#
# </details>
# {{ claim: of_start["both zero"][1:] == (0, 0) and of_start["A random, B zero"][1] == 0 < of_start["A random, B zero"][2] }}
# {{ claim: of_start["both random"][0] > of_start["A random, B zero"][0] + 0.1 }}
#
# ## Step 5. Thirty steps
#
# The loop is that of [lesson 16](16_pretraining.ipynb), with four dialogs a step. Its optimizer gets the thin matrices only, so that
# nothing else can change.


# %% key="train" tags=["timing"]
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


losses = tune(lora, lambda lora, *b: lora_loss_and_gradients(weights, config, lora, *b), 2.5e-3)
tuned = merge(weights, lora)
lines = {"base": -np.log(p_base[first]), "tuned": -np.log(chances(tuned)[first])}
show.bar_panels(lines, words, "surprise in nats", across=2)
print(
    f"loss of the first five steps {losses[:5].mean():.2f}, the last five {losses[-5:].mean():.2f}"
)

# %% [markdown] key="train-read"
# {{ 4 * len(losses) }} dialogs have brought the loss from {{ losses[:5].mean() :.2f }} to {{ losses[-5:].mean() :.2f }}. In the picture
# it is the hero who no longer surprises. What still does is what the request does not tell, such as the adjective.
# {{ claim: losses[-5:].mean() < 0.6 * losses[:5].mean() }}

# %% key="asked"
questions = [question, "Can you tell a story about a bird named Mia?",
             "Please write a story about a bear named Plobeek."]  # fmt: skip
told = ask(tuned, questions)
for one, story in zip(questions, told):
    print(f"{one}\n    {story}\n")

# %% [markdown] key="asked-read"
# It answers, in two short sentences as it was shown, and stops. The name Plobeek was made up for this page, so the model must
# have copied it out of the question. The doll-house could copy before (lesson [07b](07b_induction.ipynb)); what it lacked was a reason
# to do it here.
# {{ claim: find_hero(told[0]) == ("cat", "Tom") and find_hero(told[2]) == ("bear", "Plobeek") }}
#
# ## Step 6. All weights, or LoRA?
#
# The numbers that now write answers also held what the model knew, and LoRA is said to forget less of it. To see, the run was repeated
# with all weights and with LoRA, at three rates each, from cautious to reckless. Three sets say what came of it: {{ len(material.sets["requests"]) }} held-out **requests**, all {{ len(material.sets["facts"]) }} lines of the **facts** that the
# doll-house has learned by heart, such as "A spider has 8 legs.", and {{ len(material.sets["stories"]) }} whole **stories** without a request. The table ships with
# the project, and `python -m weights_tools.training.tuning.study` makes it again.
#
# **Predict before you look:** which of the two loses more of the facts?

# %% key="rates"
before, runs = read_rows()


def found(rank, rate=2.5e-3, mask="the answer"):
    return runs[Run(rank, rate, mask, seed=0)]


ways = {"all weights": 0, "LoRA, rank 8": 8}
rates = {way: sorted({run.rate for run in runs if run.rank == rank}) for way, rank in ways.items()}
names = ("requests", "facts", "stories")
rows = [["before", "", *(f"{before[name]:.2f}" for name in names)]]
for way, rank in ways.items():
    rows += [[way, rate, *(f"{found(rank, rate)[n]:.2f}" for n in names)] for rate in rates[way]]
table(["nats a token", "rate", *names], rows)
lines = {
    way: np.array([[found(rank, rate)[name] for name in names[:2]] for rate in rates[way]])
    for way, rank in ways.items()
}
show.tracks(lines, ("requests, held out", "facts"), title="learned and lost, nats a token")

# %% [markdown] key="rates-read"
# Follow one line first. From the cautious rate to the reckless one, the facts go from {{ found(0, 1.25e-4)["facts"] :.2f }} to
# {{ found(0, 2e-3)["facts"] :.2f }} with all weights, and from {{ found(8, 6e-4)["facts"] :.2f }} to {{ found(8, 1e-2)["facts"] :.2f }} with LoRA. Then compare the lines. At the
# middle rates both have learned the requests about equally well, {{ found(0, 5e-4)["requests"] :.2f }} and {{ found(8)["requests"] :.2f }}, and
# the facts are at {{ found(0, 5e-4)["facts"] :.2f }} and {{ found(8)["facts"] :.2f }}, which is little beside what the rate does. So two
# single runs, at a rate each, can make either of the two look like the one that forgets less. The reckless rates are worse on everything than the middle ones.
# {{ claim: all(found(rank, r[0])["facts"] < found(rank, r[1])["facts"] < found(rank, r[2])["facts"] for rank, r in zip((0, 8), rates.values())) }}
# {{ claim: abs(found(0, 5e-4)["requests"] - found(8)["requests"]) < 0.05 }}
# {{ claim: abs(found(0, 5e-4)["facts"] - found(8)["facts"]) < 0.3 * (found(8, 1e-2)["facts"] - found(8, 6e-4)["facts"]) }}
# {{ claim: all(found(0, 2e-3)[n] > found(0, 5e-4)[n] and found(8, 1e-2)[n] > found(8)[n] for n in names) }}
#
# Large models that learned programming and mathematics for long did learn less and forget less with LoRA
# ([Biderman et al. 2024](https://arxiv.org/abs/2405.09673)). It also wants higher rates, about ten times as high
# (Schulman et al.); of those tried here, five times.
#
# ## Step 7. How many directions?
#
# The **rank** of a matrix is the number of independent directions that its rows point in. Each row of $AB$ is a mixture of
# $r$ rows, so LoRA can only make changes of rank $r$. Is that a limit here? A run with all weights can tell, because its change
# $\Delta W$ was free. The **singular values** of a matrix say how far it stretches along its
# most important direction, the second, and so on, and their squares add up to the square of its size. Which share of
# the change lies in the first few directions? `np.linalg.svd` gives these values as `s`, with the directions on both sides of
# the matrix in `u` and `v`. The control is a random matrix of the same shape.
#
# Then we keep only the first directions of each change. **Predict before you run:** how many do the answers need?

# %% key="full" tags=["timing"]
whole = weights.map(np.copy)
tune(whole, lambda w, *batch: loss_and_gradients(w, config, *batch), 5e-4)
start, end = dict(weights.named()), dict(whole.named())
of_blocks = [name for name in start if name.rpartition(".")[2] in MATRICES]
svd = {name: np.linalg.svd(end[name] - start[name], full_matrices=False) for name in of_blocks}
noise = [np.linalg.svd(rng.standard_normal(start[n].shape), compute_uv=False) for n in of_blocks]
real = [s for _, s, _ in svd.values()]
largest = max(of_blocks, key=lambda name: np.linalg.norm(end[name] - start[name]))
n = np.arange(1, 41)
lines = {
    "the change": real[of_blocks.index(largest)],
    "a random matrix": noise[of_blocks.index(largest)],
}
lines = {name: s[:40] / np.sqrt((s**2).sum()) for name, s in lines.items()}
show.curves(
    n, lines, ("direction", "singular value, of the size"), title=f"the largest change, {largest}"
)

# %% [markdown] key="full-read"
# Drawn is the matrix that has changed most, `{{ largest }}`. Its change leans: the first direction is
# {{ lines["the change"][0] / lines["a random matrix"][0] :.1f }} times as strong as that of a random matrix of its shape and size. But it does not stop after a few, as
# at a low rank.{{ claim: lines["the change"][0] > 1.5 * lines["a random matrix"][0] and lines["the change"][20] > 0.02 }} How much do the answers need of it?


# %% key="ranks"


def share_in_first(k, singular_values):
    return np.mean([(s[:k] ** 2).sum() / (s**2).sum() for s in singular_values])


def keep(k):
    """The start, and of each change in the blocks only the first k directions."""
    kept = {name: start[name] + (u[:, :k] * s[:k]) @ v[:k] for name, (u, s, v) in svd.items()}
    return Weights.from_named({**start, **kept})


cut = {k: material.measure(keep(k), ["requests"])["requests"] for k in (1, 2, 4, 8)}
table(
    ["directions", "of the change", "of a random one", "only these kept", "LoRA of this rank"],
    [
        [k, *(f"{share_in_first(k, s):.0%}" for s in (real, noise)), f"{cut[k]:.2f}",
         f"{found(k)['requests']:.2f}"]
        for k in cut
    ],
)  # fmt: skip

# %% [markdown] key="ranks-read"
# Over all matrices of the blocks, the first direction holds {{ share_in_first(1, real) :.0% }}, where that of a random matrix holds
# {{ share_in_first(1, noise) :.0% }}. Eight hold {{ share_in_first(8, real) :.0% }}. In larger models, trained for longer,
# the rank of such changes was found to be 10 to 100 times that of the usual LoRA (Biderman et al.). Even so, one kept direction in each matrix brings the requests from {{ before["requests"] :.2f }} to
# {{ cut[1] :.2f }}, which is {{ (before["requests"] - cut[1]) / (before["requests"] - found(0, 5e-4)["requests"]) :.0% }} of what the whole change brings, and eight are nearly as good as all.
# {{ claim: share_in_first(1, real) > 3 * share_in_first(1, noise) and share_in_first(8, real) < 0.97 }}
# {{ claim: before["requests"] - cut[1] > 0.6 * (before["requests"] - found(0, 5e-4)["requests"]) and cut[8] - found(0, 5e-4)["requests"] < 0.1 }}
#
# LoRA that had only so many directions from the beginning ends within {{ max(abs(cut[k] - found(k)["requests"]) for k in cut) :.2f }} of what the kept ones are worth, in every row of the last column, so
# one direction in each matrix does most of what these answers need.
# {{ claim: max(abs(cut[k] - found(k)["requests"]) for k in cut) < 0.1 }}
#
# ## Step 8. When the wrong tokens count
#
# Here are four other ways to set the targets; `following` is the token after each position, whatever it belongs to. Each was trained
# with LoRA of rank 8, then it answered {{ len(material.asked) }} held-out requests. Does the story begin with the hero who was asked for, and
# does it end by itself within 40 tokens?
#
# ```python
# "the question as well":  following
# "padding as well":       np.where(following == -100, 0, targets)
# "one token too late":    np.where(is_first_of_answer, -100, targets)
# "all but the end":       np.where(targets == end_of_turn, -100, targets)
# ```
#
# **Predict before you look:** which of them do harm, and of what kind?

# %% key="masks"
masks = {run.mask: found(8, mask=run.mask) for run in runs if run.rank == 8 and run.rate == 2.5e-3}
table(
    ["what counts", "begins with the hero", "ends", "requests, nats a token"],
    [
        [mask, f"{row['named']:.0%}", f"{row['ended']:.0%}", f"{row['requests']:.2f}"]
        for mask, row in {"before any training": before, **masks}.items()
    ],
)

# %% [markdown] key="masks-read"
# Two of them do plain harm. **One token too late** leaves out the very token that decides how an answer begins: of {{ len(material.asked) }} answers
# {{ masks["one token too late"]["named"] :.0% }} begin with the hero, although all other tokens of such answers have been learned. **All but the end** begins
# {{ masks["all but the end"]["named"] :.0% }} of its stories as it should and ends {{ masks["all but the end"]["ended"] :.0% }}. With the question or the padding counted, the model works:
# {{ masks["the question as well"]["named"] :.0% }} and {{ masks["padding as well"]["named"] :.0% }}, against {{ masks["the answer"]["named"] :.0% }}. From so few requests (a standard error of
# about {{ np.sqrt(0.85 * 0.15 / len(material.asked)) :.0% }}) and a single run each, one cannot say that they do worse. Counting the question has even been found to help, above all where answers
# are short or dialogs few ([Shi et al. 2024](https://arxiv.org/abs/2405.14394)). For Llama 3 it was left out (section 4.1.3).
# {{ claim: masks["one token too late"]["named"] < 0.3 and masks["all but the end"]["ended"] < 0.3 }}
# {{ claim: min(masks[m]["named"] for m in ("the question as well", "padding as well", "the answer")) > 0.6 and masks["the answer"]["ended"] > 0.8 }}
#
# ## Step 9. The chat model that ships
#
# `doll-house-chat` was made in the same way, with LoRA of rank 8, by `python -m weights_tools finetune --out DIR`. (For so small a model the command
# goes through $d_W$, which finds the same.) It learned whole stories, and between them facts, as far as they are questions, and
# questions that ask for no story, with the answer that it only tells stories. We ask it and its base model for 24 heroes with
# common names and 24 with invented ones, and 24 other things. The invented names and the questions were kept from training; the common names were not.

# %% key="chat"
import csv

ships = load_model("doll-house-chat", "float32")
with (ships.path / "training" / "log.csv").open(newline="", encoding="utf-8") as file:
    log = list(csv.DictReader(file))
drawn = np.random.default_rng(1)
heroes = {
    kind: [find_hero(draw_opening(drawn, held_out=True, new_names=share)) for _ in range(24)]
    for kind, share in {"common": 0, "invented": 1}.items()
}
others = read_facts(UNSEEN_QUESTIONS)[::2][:24]
asked = ["\t" in line for line in read_facts()]  # a question and its answer; else a text
for name, kind in {"facts asked": True, "facts as texts": False}.items():
    material.sets[name] = [
        f for f, is_asked in zip(material.sets["facts"], asked) if is_asked == kind
    ]


def examined(w):
    named = []
    for some in heroes.values():
        stories = ask(w, [request(hero, i) for i, hero in enumerate(some)], 30)
        named.append(sum(find_hero(story) == hero for hero, story in zip(some, stories)))
    declined = sum(declines(told) for told in ask(w, others, 40))
    return [*named, declined], material.measure(w, ["facts asked", "facts as texts"])


exam = {name: examined(w) for name, w in {"base": weights, "chat": ships.weights}.items()}
table(
    [
        "of 24 each; nats a token",
        "common name",
        "invented name",
        "declined",
        "facts asked",
        "as texts",
    ],
    [[name, *n, *(f"{v:.2f}" for v in nats.values())] for name, (n, nats) in exam.items()],
)

# %% [markdown] key="chat-read"
# It takes over {{ exam["chat"][0][0] }} of the 24 common heroes and {{ exam["chat"][0][1] }} of the invented ones, where the base model finds
# {{ sum(exam["base"][0][:2]) }} of all 48. {{ exam["chat"][0][2] }} of 24 other questions it declines. That is a form, too: it does not know that it does
# not know, but has learned which questions get that reply. For larger models [Zhou et al. 2023](https://arxiv.org/abs/2305.11206) (section 2)
# propose that knowledge comes nearly all from pre-training, and that a thousand dialogs teach the form. Its log fits that: after
# {{ int(log[0]["dialogs"]) :, }} of {{ int(log[-1]["dialogs"]) :, }} dialogs the held-out answers cost {{ float(log[0]["held_out_nats_per_token"]) :.2f }} nats a token, and all the others brought them to
# {{ float(log[-1]["held_out_nats_per_token"]) :.2f }}.
#
# The facts show what mixing in does. Those that are questions came again and again among the dialogs, and cost
# {{ exam["chat"][1]["facts asked"] :.2f }} nats a token ({{ exam["base"][1]["facts asked"] :.2f }} in the base model). Those that are plain texts did not, and went from
# {{ exam["base"][1]["facts as texts"] :.2f }} to {{ exam["chat"][1]["facts as texts"] :.2f }}.
# {{ claim: min(exam["chat"][0][:2]) >= 18 and exam["chat"][0][2] >= 16 and sum(exam["base"][0][:2]) <= 8 }}
# {{ claim: exam["chat"][1]["facts asked"] < exam["chat"][1]["facts as texts"] and exam["chat"][1]["facts as texts"] > exam["base"][1]["facts as texts"] + 0.1 }}
#
# ## Experiment: take half of it back
#
# From the base model to a tuned one leads a straight line, on which every weight has gone the same share of its way.
# **Predict before you run:** half of the way back, how much of what was learned is left, and how much of what was lost has
# returned?

# %% key="half" tags=["timing"]
shares = np.array([0, 0.25, 0.5, 0.75, 1])
lines = {}
for way, w in {"all weights": whole, "LoRA": tuned}.items():
    there = [material.measure(part_of_the_way(weights, w, s), names[:2]) for s in shares]
    for name in names[:2]:
        lines[f"{name}, {way}"] = np.array([each[name] for each in there])
show.curves(shares, lines, ("share of the way", "nats a token"), title="from base to tuned")

# %% [markdown] key="half-read"
# Both ways give the same picture. The requests fall steeply at first and hardly at all after the middle, while the facts stay
# flat at first and rise towards the end. Lesson 14 says why. Pre-training came to rest where the facts were well known, near a
# **minimum** of their loss, and from there a loss grows with the *square* of the way, so that half of it should cost about a
# quarter. For the requests the tuned model lies near a minimum, and to stop half of the way before it should cost a quarter of the
# gain. Is it so at any rate? Here are all runs on the usual targets in the table that ships that lost more than 0.03 nats on the facts.

# %% key="half-all"
rows = []
for run, row in runs.items():
    if "half_way_facts" in row and row["facts"] > before["facts"] + 0.03:
        way = "all weights" if run.rank == 0 else f"LoRA, rank {run.rank}"
        kept = [
            (row[f"half_way_{name}"] - before[name]) / (row[name] - before[name])
            for name in names[:2]
        ]
        lost, learned = row["facts"] - before["facts"], before["requests"] - row["requests"]
        rows.append([way, run.rate, lost, *kept, learned])
table(
    ["", "rate", "facts lost, nats", "half way: learned", "half way: lost"],
    [[*r[:2], f"{r[2]:.2f}", f"{r[3]:.0%}", f"{r[4]:.0%}"] for r in rows],
)

# %% [markdown] key="half-all-read"
# It is about so. In these {{ len(rows) }} runs, half of the way brings {{ np.mean([r[3] for r in rows]) :.0% }} of what was learned on average, and never less than
# {{ min(r[3] for r in rows) :.0% }}, while it costs {{ np.mean([r[4] for r in rows]) :.0% }} of what was lost, and never more than {{ max(r[4] for r in rows) :.0% }}. Above 100 %,
# the second half did harm even to the requests. **Half of the way keeps most of what was learned, for about a fifth of what
# was lost**, with all weights and with LoRA, at rank 1 and at 8. It does not always pay to stop there. The run that lost least,
# {{ min(rows, key=lambda r: r[2])[2] :.2f }} nats, was far from its minimum yet, and its second half gained {{ (lambda r: r[5] * (1 - r[3]))(min(rows, key=lambda r: r[2])) :.2f }} nats on the requests.
# {{ claim: len(rows) >= 6 and min(r[3] for r in rows) > 0.5 and max(r[4] for r in rows) < 0.5 and 0.1 < np.mean([r[4] for r in rows]) < 0.4 }}
# {{ claim: (lambda r: r[5] * (1 - r[3]) > 2 * r[2] * (1 - r[4]))(min(rows, key=lambda r: r[2])) }}
#
# This is **weight interpolation**; [Wortsman et al. 2021](https://arxiv.org/abs/2109.01903) saved with it much of what
# image models lose in fine-tuning. So how little must change? {{ 4 * len(losses) }} short dialogs were enough, and one direction in
# each matrix, and half of the way.
#
# ## What comes next
#
# **Your turn:** [exercise 17](exercises/17_fine_tuning.ipynb). The model took each answer that it saw for perfect. Often
# it is easier to say which of two is better: lesson [18](18_preferences.ipynb) trains on such comparisons. The code of this page:
# `llama_np/training/lora.py`.
