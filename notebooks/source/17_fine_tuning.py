# %% [markdown] key="title"
# # 17 Fine-tuning: from a text that goes on to an answer
#
# Training has made a model that knows how texts go on. Ask it for something, and it may go on with your
# question. A chat model has learned one thing more: after a question, an answer. The second training that
# teaches this is short and is called **fine-tuning**. A trained model before that is called a **base model**.
#
# **In**: a base model, and questions with their answers. **Out**: a model that answers in Llama 3's
# dialog format and then stops, and two thin matrices for each large one that hold all that was learned.
#
# After this lesson you can build such dialogs, mark which tokens count in the loss, and do all of **LoRA**,
# which trains a small part in place of the whole: by hand, with its gradients. You can say what it costs for
# this model and for Llama 3 8B. And you can measure what fine-tuning gives, what it does not give, and what
# it takes away. The map shows the two parts of each block whose matrices will change; embedding, norms and output
# stay as they are. You need the loss (lesson 10), the dialog format (12) and training (16).

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from weights_tools import load_model

model = load_model()
if model.tokenizer is None or "<|eot_id|>" not in model.tokenizer.special_tokens:
    print(f"{model.path.name} has no special tokens for a chat; the doll-house takes its place")
    model = load_model("doll-house", "float32")
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["attention", "feed_forward"])

# %% [markdown] key="base-why"
# ## What a base model does with a request
#
# A base model was trained for one thing: to say what comes next in texts as it has read them
# ([Ouyang et al. 2022](https://arxiv.org/abs/2203.02155), section 1, put it this way: that goal is not the goal
# "follow the user's instructions"). To it, a request is the beginning of some text. What will it write after
# the request below? The first answer takes the likeliest token each time, the others are drawn.

# %% key="base"
from llama_np import Sampling, generate

question = "Write a story about a cat named Tom."
plain = tokenizer.encode(question, bos=True)
for temperature, seed in ((0, 0), (0.8, 0), (0.8, 1)):
    how, rng = Sampling(temperature), np.random.default_rng(seed)
    new = generate(weights, config, plain, 32, how, rng=rng, stop_tokens=tokenizer.stop_ids)
    print(question + " ->" + repr(tokenizer.decode(list(new))))

# %% [markdown] key="base-note"
# The doll-house takes the request for a first sentence and tells on, about Tom even. Nobody has
# told it that somebody is asking. With a question in the place of the request, a base model may as well go on
# with more questions. (A model that was fine-tuned already, such as Llama 3 *Instruct*, answers.)

# %% [markdown] key="pair-why"
# ## Step 1. From a story to a dialog
#
# Fine-tuning needs **dialogs**: a request, and an answer as one would wish it. For InstructGPT, people wrote answers
# to about 13,000 requests (section 3.2 of the same paper). For Llama 3 many answers came from the model itself: it wrote several to each
# request, and the best was kept ([Llama team 2024](https://arxiv.org/abs/2407.21783), section 4.2.2). Ours were
# made in that way too. The doll-house told stories that begin with a hero, and simple rules kept those that hold
# together. From the first sentence we read off what somebody who gets this story could have asked for:

# %% key="pair-by-hand"
import re

from weights_tools.training.corpus import STORIES, read_documents

stories = read_documents(STORIES)
story = stories[2]
opening = r"Once upon a time, there was a (?:\w+ )?(\w+) named (\w+)\."
kind, name = re.match(opening, story).groups()
asked = f"Please write a story about a {kind} named {name}."
print(
    f"{len(stories)} stories; this one has {len(story)} characters, and its hero is a {kind}, {name}\n"
)
print("question:", asked)
print("answer:  ", story[:150], "...")

# %% [markdown] key="pair-named-note"
# In the project's tools four wordings take turns, so that the model does not learn one of them by heart, and now and
# then a request names no hero.

# %% key="pair-named"
from weights_tools.training.dialogs import REQUESTS, Dialog, story_dialogs

print(*REQUESTS, sep="\n")
source(story_dialogs)

# %% key="pair-agree"
dialogs = story_dialogs(stories)
assert dialogs[2] == Dialog(asked, story)
print(len(dialogs), "questions with answers")

# %% [markdown] key="format-why"
# ## Step 2. One text, and which tokens count
#
# A dialog becomes one text in the format of lesson 12: the question under the header `user`, then the
# header `assistant`, the answer, and `<|eot_id|>`, which ends the turn. To keep everything small we cut the
# answers of this lesson after their second sentence.
#
# All positions are computed at once, and each predicts the token after it. For training, each gets a
# **target**: the token that it should have predicted. Here only the answer's tokens are targets. All other
# positions get the number `IGNORE`, and the loss leaves them out.

# %% key="format-by-hand"
from llama_np.tokenizer.chat import encode_dialog
from llama_np.training.loss import IGNORE


def shorten(dialog, n_sentences=2):
    sentences = re.split(r"(?<=[.!?])\s", dialog.answer)
    return Dialog(dialog.question, " ".join(sentences[:n_sentences]))


def in_two(dialog):
    given = encode_dialog(tokenizer, [{"role": "user", "content": dialog.question}])
    return given, [*tokenizer.encode(dialog.answer), tokenizer.special_id("<|eot_id|>")]


given, answer = in_two(shorten(dialogs[2]))
whole = np.array(given + answer)
ids, targets = whole[:-1], np.full(len(whole) - 1, IGNORE)
targets[len(given) - 1 :] = answer
print(f"{len(ids)} positions, of which {(targets != IGNORE).sum()} count")

# %% [markdown] key="format-drawn-note"
# Drawn: violet are the special tokens, blue is what is given, orange the answer. Below each token stands its
# target, or a dot where there is none. Look at the place where the answer begins. Its first token is the
# target of the last token *before* it. And the last token of the answer has `<|eot_id|>` as its target: to stop
# is learned like any other word.

# %% key="format-drawn"
special = set(tokenizer.special_tokens.values())
groups = [3 if t in special else 0 if n < len(given) else 1 for n, t in enumerate(ids)]
below = ["·" if t == IGNORE else tokenizer.token(t) for t in targets]
show.tokens([tokenizer.token(t) for t in ids], below, groups=groups)

# %% [markdown] key="pad-why"
# Several dialogs go through the model together. The shorter ones are filled up behind their end. Unlike in
# lesson 12, padding may stand on the right: nothing is written behind it, no token looks ahead, so none looks
# at padding. And padding is no target.

# %% key="pad-by-hand"
few = [shorten(dialog) for dialog in dialogs[2:6]]
split = [in_two(dialog) for dialog in few]
longest = max(len(given) + len(answer) for given, answer in split) - 1
batch_ids = np.zeros((len(few), longest), int)
batch_targets = np.full((len(few), longest), IGNORE)
for row, (before, after) in enumerate(split):
    n = len(before) + len(after) - 1
    batch_ids[row, :n] = (before + after)[:-1]
    batch_targets[row, len(before) - 1 : n] = after
print("ids", batch_ids.shape, "targets", batch_targets.shape, "= B T")
show.matrix((batch_targets != IGNORE).astype(float), ("B", "T"), title="1 where a token counts")

# %% key="pad-named"
from weights_tools.training.dialogs import encode
from weights_tools.training.stages import pad

source(pad)

# %% key="pad-agree"
padded_ids, padded_targets = pad([encode(tokenizer, dialog) for dialog in few])
agree(batch_ids, padded_ids, tolerance=0)
agree(batch_targets, padded_targets, tolerance=0)

# %% [markdown] key="loss-why"
# ## Step 3. The loss, on the answer only
#
# The loss is the one of all training: the mean of $-\ln p$ over the targets, where $p$ is the probability that
# the model gave to the target. Only the mean is now over fewer positions. With $C$ for the set of those
# that count:
#
# $$L = -\frac{1}{|C|} \sum_{t \in C} \ln p_t(\mathrm{target}_t)$$

# %% key="loss-by-hand"
from llama_np import forward

logits = forward(weights, config, ids)  # T V
powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
p = powers / powers.sum(axis=-1, keepdims=True)
counts = targets != IGNORE
of_target = p[counts, targets[counts]]
loss_by_hand = -np.log(of_target).mean()
print(f"{counts.sum()} of {len(ids)} positions count: loss {loss_by_hand:.3f} nats")

# %% key="loss-named"
from llama_np.training import cross_entropy

source(cross_entropy)

# %% key="loss-agree"
agree(loss_by_hand, np.array(cross_entropy(logits, targets)))

# %% [markdown] key="loss-drawn-note"
# Token by token, for the beginning of the answer: how likely the model found what it should say. Dark is likely. A
# base model that has read many stories knows how such a beginning goes on. It does not expect a story to begin here, and it is not sure of the hero, although the
# hero stands in the question. That is what there is to learn.


# %% key="loss-drawn"
def likelihoods(w, n=16):
    """The probability of each of the first n target tokens."""
    rows = forward(w, config, ids)[counts][:n].astype(float)
    powers = np.exp(rows - rows.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True))[np.arange(len(rows)), answer[: len(rows)]]


def show_likelihoods(rows):
    words = [tokenizer.token(t) for t in answer[: len(next(iter(rows.values())))]]
    show.written(
        np.array([*rows.values()]),
        [words] * len(rows),
        ("", "token of the answer"),
        rows=list(rows),
        columns=[str(n) for n in range(1, len(words) + 1)],
        title="probability of each token of the answer",
    )


show_likelihoods({"base": likelihoods(weights)})

# %% [markdown] key="wrong-mask-why"
# ## Try it: other targets
#
# Why not let the question count as well? Because the model will never have to write it: the user does. Its
# tokens would still pull at the weights, and a long question would pull harder than a short answer. The Llama 3
# team leaves the question out too (section 4.1.3: "masking loss on prompt tokens").
#
# **Predict before you run:** here are five ways to set the targets of the batch above. The first is the right one.
# For each of the others: what would the model learn that it should not, or fail to learn?

# %% key="wrong-mask"
both_parts, late = batch_targets.copy(), batch_targets.copy()
for row, (before, _) in enumerate(split):
    both_parts[row, : len(before) - 1] = before[1:]
    late[row, len(before) - 1] = IGNORE
eot = tokenizer.special_id("<|eot_id|>")
tries = {
    "only the answer": batch_targets,
    "question and answer": both_parts,
    "answer and padding": np.where(both_parts == IGNORE, 0, batch_targets),
    "one token too late": late,
    "without <|eot_id|>": np.where(batch_targets == eot, IGNORE, batch_targets),
}
batch_logits = forward(weights, config, batch_ids)
for title, tried in tries.items():
    n = (tried != IGNORE).sum()
    print(f"{title:20} {n:4} targets, loss {cross_entropy(batch_logits, tried):.3f}")

# %% [markdown] key="wrong-mask-answer"
# <details><summary>Answer</summary>
#
# All of them run, and a loss alone does not say that something is wrong. *Question and answer*: the model also
# learns to ask for stories. *Answer and padding*: it learns to write token 0 after an end, which is of no use, and
# much of the loss comes from that. *One token too late*: the answer's first token is never trained, and it is
# the token that decides how an answer starts. *Without `<|eot_id|>`*: it never learns to stop.
#
# </details>

# %% [markdown] key="lora-why"
# ## Step 4. LoRA: two thin matrices beside a frozen one
#
# Now the weights. One could train all of them on, as in lesson 16. For a large model that is costly: the
# optimizer keeps two more numbers for each weight, and every fine-tuned model is a full copy.
# [Hu et al. 2021](https://arxiv.org/abs/2106.09685) (section 4.1) leave each matrix $W$ as it is, **frozen**, and
# learn what to add to it as a product of two thin matrices:
#
# $$W' = W + s\,A B \qquad\qquad s = \frac{\alpha}{r}$$
#
# If $W$ has `in` rows and `out` columns, then $A$ is (in, $r$) and $B$ is ($r$, out). The number $r$ is the
# **rank**, and it is small. $s$ is a fixed number that scales the sum. (The paper writes $BA$, because there
# vectors are columns. Here they are rows, as in all lessons: $x W'$.) The method is called **LoRA**, low-rank
# adaptation, and we call the two thin matrices a **pair**. Below, with random numbers, beside the query matrix of a block half-way up:

# %% key="lora-by-hand"
chosen, r, s = config.n_layers // 2, 4, 2.0
w = np.asarray(weights.layers[chosen].wq)
rng = np.random.default_rng(seed=0)
a = rng.uniform(-1, 1, (w.shape[0], r)).astype(np.float32)
b = rng.uniform(-1, 1, (r, w.shape[1])).astype(np.float32)
added = s * (a @ b)  # in r @ r out -> in out
print("w", w.shape, " a", a.shape, " b", b.shape, " s a @ b", added.shape)
most = 96  # of a wide matrix only a corner is drawn
show.to_scale(
    {"w": w[:most, :most], "a": a[:most], "b": b[:, :most], "s a @ b": added[:most, :most]},
    [("in", "out"), ("in", "r"), ("r", "out"), ("in", "out")],
)

# %% key="lora-named"
from llama_np.training.lora import lora_product

source(lora_product)

# %% key="lora-agree"
agree(added, lora_product(a, b, s))

# %% [markdown] key="rank-why"
# The product is as large as `w`, but it is not just any matrix of that size. All its rows are mixtures of the
# `r` rows of `b`. One says it has **rank** `r`. The **singular values** show it: they say how much a matrix
# stretches along its most important direction, the second, and so on. As many of them are above zero as the
# rank says (apart from rounding). `w` itself stretches in all its directions.
#
# So LoRA cannot learn every change. The bet is that the change which makes a chat model from a base model is
# simple, compared with all that the model knows, and fits through a few directions in each matrix. The paper found
# that a very small rank was enough for what it tried (section 7.2).

# %% key="rank"
both = {"w": w, "s a @ b": added}
for title, m in both.items():
    print(f"{title:8} rank {np.linalg.matrix_rank(m):4}, {min(m.shape)} at most")
strengths = {title: np.linalg.svd(m, compute_uv=False) for title, m in both.items()}
n = min(24, *w.shape)
show.curves(
    np.arange(1, n + 1),
    {title: values[:n] / values[0] for title, values in strengths.items()},
    ("direction", "singular value, of the largest"),
    title=f"singular values, the first {n}",
)

# %% [markdown] key="count-why"
# ## Step 5. Counting
#
# A matrix has `in * out` numbers, its pair only `r * (in + out)`. The wider the matrix, the more is saved. We count
# for rank 8 beside all seven matrices of every block, as in the model that we load later.

# %% key="count-by-hand"
from llama_np import LLAMA_3_8B
from llama_np.training.lora import MATRICES
from llama_np.weights import shapes

r = 8
rows, total = [], {}
for matrix in MATRICES:
    row = [f"`{matrix}`"]
    for c in (config, LLAMA_3_8B):
        n_in, n_out = shapes(c)[f"layers.0.{matrix}"]
        total[c] = total.get(c, 0) + c.n_layers * r * (n_in + n_out)
        row += [f"{n_in} × {n_out} = {n_in * n_out:,}", f"{r * (n_in + n_out):,}"]
    rows.append(row)
all_of = {c: c.count_parameters() for c in total}
rows.append(["all blocks, whole model"] + [f"{n:,}" for c in total for n in (all_of[c], total[c])])
rows.append(["share that learns"] + [x for c in total for x in ("", f"{total[c] / all_of[c]:.2%}")])
table(["", "this model", "its pairs", "Llama 3 8B", "its pairs"], rows)

# %% key="count-named"
from llama_np.training.lora import initialize_lora

source(initialize_lora)

# %% key="count-agree"
lora = initialize_lora(config, r, np.random.default_rng(0))
agree(np.array(sum(x.size for _, x in lora.named())), np.array(total[config]))
names = [name for name, _ in lora.named()]
print(len(names), "thin matrices:", *names[:4], "...")

# %% [markdown] key="memory-why"
# What that means for memory. Each number that learns needs a gradient and the optimizer's two running means: in
# float32 that is 16 bytes, with the number itself. A frozen one is only read: 2 bytes in bfloat16. (The
# activations that the backward pass needs come on top, in both cases.)

# %% key="memory"
rows = []
for title, c in {"this model": config, "Llama 3 8B": LLAMA_3_8B}.items():
    n_all, n_lora = all_of[c], total[c]
    columns = 16 * n_all, 2 * n_all + 16 * n_lora
    rows.append([title, *(f"{n / 1e9:,.3f} GB" for n in columns), f"{2 * n_lora / 1e6:,.1f} MB"])
table(["", "training all weights", "training pairs", "pairs on disk, bfloat16"], rows)

# %% [markdown] key="zero-why"
# ## Step 6. The start: nothing changes
#
# From here on we train, so the model has to be small. If you loaded a large one, the doll-house takes its place.

# %% key="small-model"
if model.memory != "float32" or config.count_parameters() > 10_000_000:
    model = load_model("doll-house", "float32")
    config, weights, tokenizer = model.config, model.weights, model.tokenizer
    lora = initialize_lora(config, r, np.random.default_rng(0))
encoded = encode(tokenizer, few[0])
ids, answer = encoded.ids[:-1], encoded.ids[encoded.given :]
targets = pad([encoded])[1][0]
counts = targets != IGNORE
print(f"{len(weights.layers)} blocks, {config.count_parameters():,} numbers, {model.memory}")

# %% [markdown] key="zero-start-note"
# At the start, `a` is random and `b` is zero. Then the product is zero, and the model is exactly the base model.
# That is a good place to start from, since all that it knows is still there.

# %% key="zero-by-hand"
pair = lora.pairs[f"layers.{config.n_layers // 2}.wq"]
w = weights.layers[config.n_layers // 2].wq
print("a", pair.a.shape, "not zero:", bool(pair.a.any()))
print("b", pair.b.shape, "not zero:", bool(pair.b.any()))
agree(w + lora.scale * (pair.a @ pair.b), w, tolerance=0)

# %% key="zero-named"
from llama_np.training.lora import merge

source(merge)

# %% key="zero-agree"
merged = merge(weights, lora)
for (_, before), (_, after) in zip(weights.named(), merged.named()):
    assert np.array_equal(before, after)
logits = forward(weights, config, ids)
agree(logits, forward(merged, config, ids))

# %% [markdown] key="gradient-why"
# ## Step 7. The gradients of a and b
#
# Lesson 15 gives the gradient of the loss with respect to each matrix, `d_w`: how much the loss grows when a
# number of $W'$ grows. But $W'$ is now made from `a` and `b`. $W$ is frozen, so what remains is to go back
# through a product of two matrices:
#
# $$d_A = s\, d_{W'} B^{\mathsf T} \qquad\qquad d_B = s\, A^{\mathsf T} d_{W'}$$
#
# As always, a gradient has the shape of what it belongs to. To see something, `b` is random here.

# %% key="gradient-by-hand"
from llama_np.training.backward import loss_and_gradients

loss, d_weights = loss_and_gradients(weights, config, ids, targets)
d_w = d_weights.layers[config.n_layers // 2].wq
a, scale = pair.a, lora.scale
b = np.random.default_rng(1).normal(size=pair.b.shape).astype(np.float32)
d_a = scale * (d_w @ b.T)  # in out @ out r -> in r
d_b = scale * (a.T @ d_w)  # r in @ in out -> r out
print("d_w", d_w.shape, " d_a", d_a.shape, " d_b", d_b.shape)

# %% key="gradient-named"
from llama_np.training.lora import lora_backward

source(lora_backward)

# %% key="gradient-agree"
for ours, named in zip((d_a, d_b), lora_backward(d_w, a, b, scale)):
    agree(ours, named)

# %% [markdown] key="start-why"
# ## Try it: other ways to start
#
# **Predict before you run:** why is `b` zero and `a` random? What is lost if both are zero? If both are random?

# %% key="start"
from llama_np.training.lora import Lora, Pair, lora_gradients
from llama_np.training.optimizer import global_norm

rng = np.random.default_rng(0)
starts = {
    "a random, b zero": lora,
    "both zero": lora.map(np.zeros_like),
    "both random": Lora(
        {
            name: Pair(pair.a, rng.uniform(-1, 1, pair.b.shape).astype(np.float32) / r)
            for name, pair in lora.pairs.items()
        },
        lora.scale,
    ),
}
for title, start in starts.items():
    first_loss, d_weights = loss_and_gradients(merge(weights, start), config, ids, targets)
    steepness = global_norm(x for _, x in lora_gradients(d_weights, start).named())
    print(f"{title:17} loss {first_loss:6.3f}   length of all gradients {steepness:8.3f}")

# %% [markdown] key="start-answer"
# <details><summary>Answer</summary>
#
# With both zero, both gradients are products with zero: zero. The model stands still for ever. With `b` zero, the
# gradient of `a` is zero too, but that of `b` is not. After the first step `b` is no longer zero, and `a` learns
# as well. With both random the start is a damaged model: noise was added to every matrix.
#
# </details>

# %% [markdown] key="loop-why"
# ## Step 8. Training
#
# One step: merge, compute the loss on the answers and the gradients of all matrices, go back to the pairs, change
# the pairs. The optimizer is AdamW, and the learning rate rises and falls as in lesson 16. Only the pairs are given to it, so
# nothing else can change. Here are the first three steps by hand, with four dialogs each.

# %% key="loop-by-hand"
from llama_np.training.optimizer import AdamW, clip_by_global_norm, learning_rate
from weights_tools.training.stages import draw

answers = [encode(tokenizer, shorten(dialog)) for dialog in dialogs]
learn, held_out = answers[:-40], answers[-40:]
n_steps, per_step, peak, warm_up = 100, 4, 3e-3, 10
by_hand = lora.map(np.copy)
optimizer = AdamW(by_hand, weight_decay=0.0)
for step in range(3):
    batch = [learn[i] for i in draw(len(learn), per_step, step, seed=0)]
    merged = merge(weights, by_hand)
    loss, d_weights = loss_and_gradients(merged, config, *pad(batch))
    gradients = lora_gradients(d_weights, by_hand)
    clip_by_global_norm(gradients, 1.0)
    optimizer.step(by_hand, gradients, learning_rate(step, peak, warm_up, n_steps))
    print(f"step {step}: loss {loss:.3f}")

# %% [markdown] key="loop-named-note"
# In the project's tools this is `take_step`, the same for every kind of training. `self.weights` merges, and a
# **stage** deals out the dialogs.

# %% key="loop-named"
from weights_tools.training.stages import FineTuning
from weights_tools.training.trainer import Hyperparameters, Training

source(Training.take_step)

# %% key="loop-agree"
stage = FineTuning(learn, per_step, 0, config.vocab_size, config.context_length)


def begin(peak, lora=None):
    recipe = Hyperparameters(
        steps=n_steps, peak_rate=peak, warm_up=warm_up, weight_decay=0.0, dropout=0.0, ema_decay=0.9
    )
    return Training(config, recipe, stage, weights, lora)


tuning = begin(peak, lora)
losses = [tuning.take_step() for _ in range(3)]


def distance(one, other):
    pairs = zip(one.named(), other.named())
    return np.sqrt(sum(((a - b) ** 2).sum() for (_, a), (_, b) in pairs))


apart = distance(by_hand, tuning.learned) / distance(by_hand, lora)
print(f"ours and theirs are apart by {apart:.0e} of the way they have gone")
assert apart < 1e-3
agree(np.array(loss), np.array(losses[-1]))

# %% [markdown] key="run-why"
# Now the rest of a short run. Every 25 steps we also measure three kinds of text that it does not train on: held-out
# dialogs of the same kind; questions with facts, which the base model knows by heart; and stories by
# themselves, without a request. The first says what is learned. The other two are for later.

# %% key="run" tags=["timing"]
from weights_tools.commands.finetune import nats_per_token
from weights_tools.training.dialogs import fact_dialogs
from weights_tools.training.stages import Answer

measured = {
    "requests": held_out[:20],
    "facts": [encode(tokenizer, dialog) for dialog in fact_dialogs()],
    "stories": [Answer(np.array(tokenizer.encode(s, bos=True, eos=True)), 1) for s in stories[-4:]],
}


def measure(w):
    return {name: nats_per_token(w, config, texts) for name, texts in measured.items()}


def run(training, losses):
    seen = {0: measure(weights)}
    while training.step < n_steps:
        losses.append(training.take_step())
        if training.step % 25 == 0:
            seen[training.step] = measure(training.weights(training.average))
    return losses, seen


losses, seen_lora = run(tuning, losses)
smooth = np.convolve(losses, np.ones(5) / 5, mode="valid")
show.curves(
    np.arange(len(smooth)) + 2,
    {"loss": smooth},
    ("step", "nats per token of the answers"),
    title="the loss while it learns, mean of five steps",
)
table(
    ["step", "held-out requests, nats per token"],
    [[step, f"{at['requests']:.2f}"] for step, at in seen_lora.items()],
)

# %% [markdown] key="learned-note"
# And the beginning of the answer from above, token by token: first the base model, then the tuned one. Now the hero
# is likely. The adjective is not, and cannot be, since the request does not tell it.

# %% key="learned-drawn"
tuned = merge(weights, tuning.average)
show_likelihoods({"base": likelihoods(weights), "tuned": likelihoods(tuned)})

# %% [markdown] key="merge-why"
# ## Step 9. Merged back
#
# There are two ways to use the pairs. One can keep them beside the matrices and compute both, $xW + s\,(xA)B$.
# Then one base model serves many tunings, each a small file. Or one adds them once, $x\,(W + sAB)$, and has an
# ordinary Llama again: no more memory, no more time. For any input both give the same, since a product may be
# taken apart. By hand: a stand-in for a matrix that does it the first way.


# %% key="merge-by-hand"
class Beside:
    """A frozen matrix and its pair: x @ this is computed in two parts."""

    __array_ufunc__ = None  # so that NumPy leaves `x @ this` to us

    def __init__(self, w, pair, scale):
        self.w, self.pair, self.scale, self.shape = w, pair, scale, w.shape

    def __rmatmul__(self, x):
        return x @ self.w + self.scale * ((x @ self.pair.a) @ self.pair.b)


wide, wide_lora = (x.map(lambda x: x.astype(np.float64)) for x in (weights, tuning.average))
beside = dict(wide.named())
for name, pair in wide_lora.pairs.items():
    beside[name] = Beside(beside[name], pair, wide_lora.scale)
apart = forward(type(weights).from_named(beside), config, ids)

# %% key="merge-agree" tags=["timing"]
together = forward(merge(wide, wide_lora), config, ids)
agree(apart, together, tolerance=1e-12)
moved = np.abs(together - forward(wide, config, ids)).max()
print(f"and the tuning has moved the logits by up to {moved:.1f}")

# %% [markdown] key="whole-why"
# ## Step 10. What is forgotten
#
# Nobody asked the model to forget anything. But the same numbers that write answers also held facts and stories,
# and nothing in this training keeps them. Let us do the same steps once more and train **all** weights instead of
# pairs, with a rate that learns the requests about as fast. Then compare what each has learned and what it has
# lost. Lower is better everywhere.

# %% key="whole" tags=["timing"]
_, seen_whole = run(begin(peak=5e-4), [])
steps = np.array(list(seen_lora))
show.curves(
    steps,
    {
        f"{way}: {what}": np.array([at[what] for at in seen.values()])
        for what in ("requests", "facts")
        for way, seen in {"pairs": seen_lora, "all weights": seen_whole}.items()
    },
    ("step", "nats per token"),
    title="learned: requests; forgotten: facts",
)
rows = {
    "before": seen_lora[0],
    "pairs (LoRA)": seen_lora[n_steps],
    "all weights": seen_whole[n_steps],
}
table(
    ["nats per token", "requests, held out", "facts", "stories without a request"],
    [[name, *(f"{at[what]:.2f}" for what in measured)] for name, at in rows.items()],
)

# %% [markdown] key="whole-note"
# The two learned the requests about equally well. All weights together lost more of the facts. Of the stories both
# lost something, and about the same: a model that is shown short answers only, all about heroes, expects them
# everywhere. On a larger model, LoRA was found to forget less, and also to learn less, when programming and mathematics
# were to be learned ([Biderman et al. 2024](https://arxiv.org/abs/2405.09673)). But do not read too much into one run. How much is
# forgotten depends as much on the learning rate and the number of steps: change the two rates and run again. The plain
# remedy is to mix what must be kept into what is learned.

# %% [markdown] key="chat-why"
# ## Step 11. The chat model that ships
#
# `doll-house-chat` was made with the same code, by the command `python -m weights_tools finetune --out DIR`. It
# learned from whole stories instead of two sentences. In between came the questions about facts, so that these are not
# lost, and many questions that ask for no story, so that it says openly what it cannot do. Its folder holds only the pairs, in the form that the `peft` package of Hugging Face reads.
# `load_model` finds the base model beside it and merges. First its log:

# %% key="chat"
import csv

base, chat = load_model("doll-house", "float32"), load_model("doll-house-chat", "float32")
config, tokenizer = base.config, base.tokenizer
print(f"{sum(file.stat().st_size for file in chat.path.glob('adapter_*')) / 1e6:.2f} MB of pairs")
with (chat.path / "training" / "log.csv").open(newline="", encoding="utf-8") as file:
    log = list(csv.DictReader(file))
columns = {"training, with dropout": "train_loss", "held out": "held_out_nats_per_token"}
show.curves(
    np.array([int(row["step"]) for row in log]),
    {title: np.array([float(row[name]) for row in log]) for title, name in columns.items()},
    ("step", "nats per token"),
    title=f"{int(log[-1]['dialogs']):,} dialogs, in {float(log[-1]['epoch']):.1f} passes over the data",
)

# %% [markdown] key="chat-log-note"
# Most is learned before the first entry of the log. Then the held-out figure stands nearly still, while the training
# loss, which dropout raises, goes on down to meet it: what is still learned of these stories hardly helps with others. It
# could not help much, since the stories were drawn at random, and nobody can foresee which adjective the dice will choose.
#
# What has become of the three kinds of text?

# %% key="chat-measured"
rows = {"before": base, "doll-house-chat": chat}
found = {
    name: {what: nats_per_token(each.weights, config, texts) for what, texts in measured.items()}
    for name, each in rows.items()
}
table(
    ["nats per token", "short requests", "facts", "stories without a request"],
    [[name, *(f"{at[what]:.2f}" for what in measured)] for name, at in found.items()],
)

# %% [markdown] key="chat-measured-note"
# The facts were mixed into the training, but so were the many questions to which the answer is that it only tells
# stories. So they are less well known than before, if far better than after the short run without them. Stories
# without a request have not suffered: whole stories were what it learned to answer with. Of the short answers it
# expects more than two sentences.
# {{ claim: found["before"]["facts"] < found["doll-house-chat"]["facts"] < seen_lora[n_steps]["facts"] / 2 }}
# {{ claim: found["doll-house-chat"]["stories"] <= found["before"]["stories"] }}
#
# Next, both models on the same requests in the dialog format, with the same seed.

# %% key="before-after"
from llama_np import generate_batch


def ask(w, questions, n=64, how=None):
    prompts = [encode_dialog(tokenizer, [{"role": "user", "content": q}]) for q in questions]
    stops, rng, greedy = tokenizer.stop_ids, np.random.default_rng(0), Sampling()
    told = generate_batch(w, config, prompts, n, how or greedy, stop_tokens=stops, rng=rng)
    return [tokenizer.decode(new) for new in told]


drawn = Sampling(temperature=0.7, top_p=0.9)
questions = [
    "Write a story about a cat named Tom.",
    "Can you tell a story about a bird named Mia?",
    "Please write a story about a bear named Lucy.",
]
before, after = (ask(each.weights, questions, how=drawn) for each in (base, chat))
for question, old, new in zip(questions, before, after):
    print(f"{question}\n    before: {old}\n    after:  {new}\n")

# %% [markdown] key="ultimate-why"
# And the question of lesson 00, as a question. Both models have met it in their training. Beside
# the likeliest answer stands how likely the right ones are: the probability of the whole answer, with its end.

# %% key="ultimate"
ultimate = "What is the answer to the ultimate question of life, the universe, and everything?"
for name, each in rows.items():
    print(f"{name}: {ask(each.weights, [ultimate])[0]}")
    for right in ("42", "The answer is 42."):
        text = encode(tokenizer, Dialog(ultimate, right))
        nats = nats_per_token(each.weights, config, [text]) * (len(text.ids) - text.given)
        print(f"    probability of {right!r}: {np.exp(-nats):.3f}")

# %% [markdown] key="ultimate-note"
# The base model knows the answer by heart. In the chat model it is still there, but the answer that it has learned to give to
# questions which ask for no story is likelier now.

# %% [markdown] key="count-heroes-why"
# ## Step 12. A number one can count
#
# A few stories prove nothing; the first could be luck. So we ask for 32 heroes, four kinds with eight names, and
# count the answers that name the hero. The base model gets three chances: the request as a dialog; the request as
# plain text; and, to be fair, the first sentence of a story about the hero, which is how one gets a base model to do
# something. Only what the model writes is counted, not the prompt.

# %% key="count-heroes"
kinds = ["cat", "dog", "bird", "bear"]
names = ["Tom", "Max", "Spot", "Lily", "Mia", "Lucy", "Tim", "Daisy"]


def count_named(w, kinds, names, asked="dialog"):
    heroes = [(kind, name) for kind in kinds for name in names]
    opening = "Write a story about a" if asked != "opening" else "Once upon a time, there was a"
    texts = [f"{opening} {kind} named {name}." for kind, name in heroes]
    if asked == "dialog":
        told = ask(w, texts, 32, drawn)
    else:
        prompts = [tokenizer.encode(text, bos=True) for text in texts]
        rng = np.random.default_rng(0)
        told = map(tokenizer.decode, generate_batch(w, config, prompts, 32, drawn, rng=rng))
    return sum(bool(re.search(rf"\b{name}\b", text)) for (_, name), text in zip(heroes, told))


counted = {
    "base, as a dialog": count_named(base.weights, kinds, names),
    "base, as plain text": count_named(base.weights, kinds, names, "plain"),
    "base, first sentence": count_named(base.weights, kinds, names, "opening"),
    "chat, as a dialog": count_named(chat.weights, kinds, names),
}
n_heroes = len(kinds) * len(names)
title = f"share of {n_heroes} answers that name the hero"
show.bars(np.array([*counted.values()]) / n_heroes, list(counted), title, lit=len(counted) - 1)
print(*(f"{n} of {n_heroes}: {title}" for title, n in counted.items()), sep="\n")

# %% [markdown] key="count-heroes-note"
# So the base model was able to tell a story about Tom all along: give it the first sentence, and it goes on. Even the
# plain request works in most cases, since the model takes it for such a sentence and tells on. What it could not do is
# take a dialog as a request: begin a story of its own about the hero that was asked for. This is what fine-tuning has added.

# %% [markdown] key="strange-why"
# ## Try it: heroes it was never asked for
#
# All names above occur in the stories it was tuned on. **Predict before you run:** what happens with names that occur
# in none of them? The model has only to copy the name out of the question.

# %% key="strange"
strange_kinds = ["dragon", "horse", "robot", "king"]
strange_names = ["Rosa", "Oscar", "Otto", "Zoe", "Clara", "Hugo", "Felix", "Nina"]
assert not any(name in story for name in strange_names for story in stories)
title = "chat, as a dialog"
print(f"{counted[title]} of {n_heroes}: {title}")
strange = count_named(chat.weights, strange_kinds, strange_names)
print(f"{strange} of {n_heroes}: {title}, strange heroes")
strange = count_named(base.weights, strange_kinds, strange_names, "opening")
print(f"{strange} of {n_heroes}: base, first sentence, strange heroes\n")
strange = ["Write a story about a dragon named Rosa.", "Write a story about a king named Hugo."]
for question, told in zip(strange, ask(chat.weights, strange, 28)):
    print(f"{question}\n    {told}")

# %% [markdown] key="strange-answer"
# <details><summary>Answer</summary>
#
# Mostly it tells about somebody else, with a name that begins alike. It is not that the doll-house cannot copy: the base
# model carries on a strange name in nearly all of these first sentences. But in all the stories that the tuned one was shown
# the hero had one of {{ len({re.match(opening, story)[2] for story in stories}) }} common names. There the beginning of a name was enough to know how it ends. So the tuning has given no
# practice in copying a name to its end, and the model has become worse at something that the base model could do.
#
# </details>

# %% [markdown] key="knowledge-why"
# ## Step 13. What it does not learn
#
# Fine-tuning shows a model a way to use what it has. Three of these questions ask for no story, and the last one asks for
# two heroes. **Predict before you run:** which of them will it answer, and how?

# %% key="knowledge"
questions = [
    "What is two plus two?",
    "What is the capital of Poland?",
    "Why is the cat sad?",
    "Write a story about a cat named Tom and a dog named Max.",
]
for question, told in zip(questions, ask(chat.weights, questions, 96)):
    print(f"{question}\n    {told}\n")

# %% [markdown] key="knowledge-note"
# Where no story is asked for it says so, since it was shown many such questions with such answers. That is a form, too: it
# does not know that it does not know, it has only learned which questions get that reply. Nor has it learned to think. The
# last answer keeps to one hero, as all requests in the training did, and the dog Max is forgotten. Its stories lose
# their thread as those of the base model do, which told the stories that it learned from. A thousand dialogs set the
# form, little more. For large models, [Zhou et al. 2023](https://arxiv.org/abs/2305.11206) (section 2) propose the same:
# knowledge comes nearly all from pre-training, and few examples are enough for the form. They used a thousand.
# {{ claim: "Max" not in told }}

# %% [markdown] key="seen-note"
# ## What you have seen

# %% key="seen"
table(
    ["", "shape", "learns"],
    [
        ["ids, targets", "`B T`; targets are `IGNORE` outside the answers", ""],
        ["a frozen matrix `w`", "`in out`", "no"],
        ["`a`, random at the start", "`in r`", "yes"],
        ["`b`, zero at the start", "`r out`", "yes"],
        ["`w + s a @ b`, merged", "`in out`", "afterwards an ordinary matrix"],
    ],
)

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>The first token of the answer is the target of which position?</summary>
#
# Of the last position of the question's part: the end of the header `assistant`. Each position predicts the token after
# it. If one starts counting at the answer's own first token, nothing ever teaches how to begin an answer.
#
# </details>
#
# <details><summary>A fine-tuned model answers well and then goes on with a question of the user, and another answer. What was
# probably wrong in its training?</summary>
#
# The token <code>&lt;|eot_id|&gt;</code> was no target, or was missing in the dialogs. Or the training was right and the
# program that writes does not stop at it (lesson 12).
#
# </details>
#
# <details><summary>With rank 8, how many numbers learn beside a matrix of 4096 × 14336, and how many times fewer is
# that?</summary>
#
# 8 · (4096 + 14336) = 147,456, in place of 58,720,256: about 398 times fewer.
#
# </details>
#
# <details><summary>A merged model is slower than the base model by how much?</summary>
#
# Not at all. The sum has the shape of the matrix it replaces. Only a model with its pairs kept beside computes more.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# The model has seen one answer to each request and took each for perfect. Often it is easier to say which of two answers is
# better than to write the best one. Lesson 18 trains on such comparisons.
