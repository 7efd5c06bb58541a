# %% [markdown] key="title"
# # 16b What a run tells
#
# Below is the log of the run that made the doll-house, the model that says `Lily` when a story begins with *Once
# upon a time, there was a little girl named*. At its end the training loss drops by more than half, while the loss on
# held-out stories stops falling, and rises a little. Has the model begun to learn its stories by heart?
#
# And what would more text, or a larger model, bring? You let a model learn ten stories by heart on purpose, look at what
# reading a text again is worth, fit a scaling law, and set an examination in which a model that only recites comes close
# to one that can read. Then you can say of the first question how far it can be answered.
#
# Before this page: [lesson 16](16_pretraining.ipynb). Its exercise: [16](exercises/16_pretraining.ipynb).

# %% key="setup"
import csv
import re
from dataclasses import replace

import numpy as np
from classroom import show, table

from llama_np import LLAMA_3_8B, forward, generate, log_softmax
from llama_np.training import cross_entropy
from llama_np.weights import initialize
from weights_tools import DOLL_HOUSE, load_model
from weights_tools.training.corpus import STORIES, Stream, encode_document, read_corpus
from weights_tools.training.stages import Pretraining, Rows
from weights_tools.training.trainer import Hyperparameters, Training

house = load_model(DOLL_HOUSE)
tokenizer, V, T = house.tokenizer, house.config.vocab_size, 128
corpus = read_corpus(STORIES)
documents = [np.array(encode_document(tokenizer, story)) for story in corpus.train]
held_out = [np.array(encode_document(tokenizer, story)) for story in corpus.held_out]

# %% key="log"
with (DOLL_HOUSE / "training/log.csv").open(newline="", encoding="utf-8") as file:
    lines = list(csv.DictReader(file))
log = {name: np.array([float(line[name]) for line in lines]) for name in lines[0]}
million, held = log["tokens"] / 1e6, log["held_out_bits_per_byte"]
there = int(np.argmin(np.abs(million - 4)))  # after four million tokens each counts as 1
both = {"training": log["train_loss"] / log["train_loss"][there], "held out": held / held[there]}
show.curves(million, both, ("million tokens read", "loss, of that after 4 million"), log="y")
gap = (both["held out"] - both["training"])[there:]
wide = there + int(np.argmax(gap > 0.01))  # the first line where they are further apart
before = int(np.argmax(np.diff(both["training"])[there:] < -0.1)) + there  # the drop

# %% [markdown] key="log-read"
# The training loss is in nats a token, the other one in **bits per byte**: all nats of a text, divided by $\ln 2$ and by
# its bytes. So each is drawn as a share of its own value after four
# million tokens. At first the model reads nothing but lists of random tokens that come again ([lesson
# 07b](07b_induction.ipynb) says why), which makes it worse at stories. Then come the stories, the training loss jumps, and both fall
# together. They part twice. From {{ million[wide] :.0f }} million tokens on a gap opens slowly: after {{ million[before] :.1f }} million the training loss has
# come down to {{ both["training"][before] :.2f }}, the other one to {{ both["held out"][before] :.2f }}. In the last {{ million[-1] - million[before] :.0f }} million they part at once: the training loss goes from {{ log["train_loss"][before] :.2f }} nats to
# {{ log["train_loss"][-1] :.2f }}, the other one from {{ held[before] :.3f }} to {{ held[-1] :.3f }}, after {{ held.min() :.3f }} at its best.
# {{ claim: log["train_loss"][-1] < 0.6 * log["train_loss"][before] and held[-1] >= held.min() }}
# {{ claim: wide < before - 5 and both["held out"][before] > both["training"][before] + 0.05 }}
#
# ## Step 1. Learning by heart
#
# What does it look like when a model does learn by heart? We take the small model of lesson 16 and give it ten
# stories instead of a thousand. **Predict before you run:** where does its training loss go, and where the one on
# held-out stories?

# %% key="overfit" tags=["timing"]
small = replace(
    house.config, dim=64, n_layers=3, n_heads=4, n_kv_heads=2, head_dim=16, ffn_width=224,
    context_length=T, tied_output=True,
)  # fmt: skip
# ema_decay=0: the weights themselves are looked at, and no running mean of them.
recipe = Hyperparameters(steps=240, peak_rate=1e-2, warm_up=24, ema_decay=0.0)
unseen = Stream(held_out, 0).batch(0, 16 * T, T)
counts = np.bincount(np.concatenate(documents), minlength=V) + 1
unigrams = -np.log(counts / counts.sum())[unseen[1]].mean()

few = documents[:10]
stage = Pretraining(Stream(few, 0), Rows(tokens_per_step=1024, row=T, final_row=T), recipe.steps, V)
narrow = Training(small, recipe, stage, initialize(small, np.random.default_rng(0), std=0.1))
curve = []
while narrow.step < recipe.steps:
    learned = np.mean([narrow.take_step() for _ in range(12)])
    logits = forward(narrow.learned, small, unseen[0])
    curve.append((narrow.step, learned, cross_entropy(logits, unseen[1])))
steps, learned, new = map(np.array, zip(*curve))
by_count = np.full(len(steps), unigrams)
curves = {"the ten stories": learned, "held out": new, "unigram table": by_count}
show.curves(steps, curves, ("step", "loss, nats a token"))
passes = recipe.steps * 1024 / sum(map(len, few))
turn = steps[new.argmin()]
print(f"{passes:.0f} epochs; held out: best {new.min():.2f} at step {turn}, last {new[-1]:.2f}")

# %% [markdown] key="overfit-read"
# {{ claim: learned[-1] < 0.3 and new[-1] > new.min() + 0.5 }}
# The loss on the ten stories goes to {{ learned[-1] :.2f }}. On new ones it falls to {{ new.min() :.2f }} at step {{ turn }},
# after {{ turn * 1024 / sum(map(len, few)) :.0f }} epochs, turns, and climbs to {{ new[-1] :.2f }}, {{ "above" if new[-1] > unigrams else "near" }} what counting the single tokens
# of all stories reaches. This is **over-fitting**: the model is sure of itself where it should not be, and only the held-out curve
# shows it. By heart means word for word. Here is how it goes on from the first 20 tokens of one of the ten.

# %% key="recite" tags=["timing"]
given, n = 20, 60
said = np.array(list(generate(narrow.learned, small, few[0][:given], n)))
same = int((said == few[0][given : given + len(said)]).sum())
print(f"{same} of {n} tokens are those of the story:\n...{tokenizer.decode(said)}")

# %% [markdown] key="again-why"
# ## Step 2. What is reading again worth?
#
# {{ claim: same > 50 }}
# That was {{ passes :.0f }} epochs. Is a second one already harmful? What tells is a **control**: the same model, as many steps,
# the same schedule, and more text. A study that ships,
#
# `python -m weights_tools.training.scaling.study`
#
# trains small Llamas on these stories, cut into more tokens than in lesson 16 by a tokenizer of only 1,024 entries. One
# width has read all the stories, then a quarter of them as often as it takes for the same number of steps, then a
# sixteenth, and a sixty-fourth, all at one rate; and each of these parts once.

# %% key="again"
from weights_tools.training.scaling.study_table import read_results

runs = read_results()
whole, loss = runs["text"].max(), runs["held_out_loss"]
width = runs["width"][runs["text"] < whole][0]
long = runs["tokens"][runs["text"] < whole].max()
rows, again, once = [], {}, {}
for text in np.unique(runs["text"])[::-1]:
    here = (runs["width"] == width) & (runs["text"] == text)
    again[text] = loss[here & (runs["tokens"] == long)].min()
    read_once = loss[here & (runs["tokens"] < long) & (text < whole)]
    once[text] = read_once.min(initial=np.inf)
    rows.append(
        [f"{text:,}", f"{long / text:.1f}", f"{again[text]:.2f}", *map("{:.2f}".format, read_once)]
    )
rows[0].append("")
table(["tokens of text", "epochs", f"held out, after {long:,} tokens", "the text read once"], rows)
texts = np.array(list(again))

# %% [markdown] key="again-read"
# {{ claim: again[texts[1]] < once[texts[1]] - 0.3 and again[texts[1]] - again[texts[0]] < 0.3 and again[texts[-1]] > once[texts[-1]] }}
# A quarter of the text, {{ long / texts[1] :.1f }} times, costs {{ again[texts[1]] - again[texts[0]] :.2f }} nats
# against new text all the way, and whoever reads that quarter only once, so as to repeat nothing, ends at
# {{ once[texts[1]] :.2f }} instead of {{ again[texts[1]] :.2f }}. So the first repetitions are worth nearly as much as new text. They wear
# out: a sixteenth, {{ long / texts[2] :.0f }} times, costs {{ again[texts[2]] - again[texts[0]] :.2f }}, and a sixty-fourth, {{ long / texts[-1] :.0f }} times, is with
# {{ again[texts[-1]] :.2f }} worse than the same text read once. In large models, too, up to four epochs are nearly as good as
# new text, and the gain of further ones fades to nothing ([Muennighoff et al.
# 2023](https://arxiv.org/abs/2305.16264)). The doll-house has read its stories {{ log["epoch"][-1] :.1f }} times,
# which should do little harm.
#
# ## Step 3. A scaling law, measured
#
# The study has also trained four widths for three lengths of run, each with a whole cosine of its own, and each at rates
# twice and half as high until the best lay between two that were worse. Wider models and longer runs both lower the loss.
# How much does each bring, and can it be told in advance? [Hoffmann et al. 2022](https://arxiv.org/abs/2203.15556)
# describe over 400 runs by five numbers, where $N$ counts parameters and $D$, here not the width, the tokens read:
#
# $$L(N, D) = E + \frac{A}{N^{\alpha}} + \frac{B}{D^{\beta}}$$
#
# $E$ remains however large both become, because no text can be predicted completely. The second part is what a small
# model misses, the third what too few tokens cost. For given exponents the rest is linear, so a fit tries all pairs of
# exponents and solves the rest by least squares.

# %% key="law"
from weights_tools.training.scaling.law import fit

full = runs["text"] == whole
widths, lengths = np.unique(runs["width"]), np.unique(runs["tokens"][full])
best = []  # of the rates that were tried
for w in widths:
    for d in lengths:
        here = np.flatnonzero(full & (runs["width"] == w) & (runs["tokens"] == d))
        best.append(here[loss[here].argmin()])
N, D, L = runs["parameters"][best], runs["tokens"][best], loss[best]
law = fit(N, D, L)
print(f"L = {law.floor:.2g} + {law.A:.2g} / N^{law.alpha} + {law.B:.2g} / D^{law.beta}")
sizes, losses, lines = np.unique(N), L.reshape(len(widths), -1), {}
for d, measured in zip(lengths, losses.T):
    lines[f"{d:,} tokens"] = measured
    lines[f"by the law, {d:,}"] = law.loss(sizes, d)
show.curves(sizes, lines, ("parameters", "loss on held-out stories, nats"), log="x")

# %% [markdown] key="law-read"
# {{ claim: np.abs(law.loss(N, D) - L).max() < 0.2 }}
# Of the {{ len(L) }} runs none is further than {{ np.abs(law.loss(N, D) - L).max() :.2f }} nats from the law. But five numbers were fitted to {{ len(L) }}, so this
# proves little. A law is worth what it says about runs that it has not seen. We hide the most expensive run, fit the
# others, and ask. Two **controls** need no law: the loss of the widest model falls by as much once more as
# in the step before, or by as much as that of the next narrower model did in the same step. Then each of the others is hidden in its turn, which shows how sure the law is of itself.
#
# **Predict before you run:** will the first control promise too much or too little?

# %% key="promise"
hidden = int((N * D).argmax())
others = [np.arange(len(L)) != i for i in range(len(L))]
laws = [fit(N[some], D[some], L[some]) for some in others]  # each with one run hidden
promised = np.array([each.loss(n, d) for each, n, d in zip(laws, N, D)])
errors = promised - L
first, second, measured = losses[-1][-3:]
as_before = second - (first - second)
as_beside = second - (losses[-2][-2] - losses[-2][-1])
print(f"measured {measured:.2f}, by the law {promised[hidden]:.2f}")
print(f"controls: as before {as_before:.2f}, as the narrower model {as_beside:.2f}")
print(f"each hidden in its turn: typical error {np.sqrt(np.mean(errors**2)):.2f} nats")
ranges = {
    "alpha": [each.alpha for each in laws],
    "beta": [each.beta for each in laws],
    "E": [each.floor for each in laws],
    "loss with ten times as much new text": [each.loss(N[hidden], 10 * D[hidden]) for each in laws],
}
table(["", "lowest", "highest"], [[n, f"{min(r):.2f}", f"{max(r):.2f}"] for n, r in ranges.items()])

# %% [markdown] key="promise-read"
# {{ claim: abs(promised[hidden] - measured) < abs(as_before - measured) - 0.05 and abs(as_beside - measured) < 0.15 }}
# The first control promises {{ as_before :.2f }}, much too little loss, because each tripling brings less than the one
# before, as in any power law, even with $E = 0$. The law says {{ promised[hidden] :.2f }}, and the neighbour, which needs no law, {{ as_beside :.2f }}; measured were {{ measured :.2f }}. So **the result of
# a run that one can afford only once is known, nearly, before it begins**, from small ones. That the neighbour is nearer here than the law
# says nothing, because each point is a single run. And the longest runs read the {{ int(whole) :, }} tokens of our stories {{ D.max() / whole :.1f }} times, of which step 2 has shown
# that it is not quite as good as new text, so the law has a little of that in it. Each run hidden in its turn is missed by {{ np.sqrt(np.mean(errors**2)) :.2f }} nats.
#
# The numbers in the law are less sure. Hiding a single run moves $\alpha$ from {{ min(ranges["alpha"]) :.2f }} to {{ max(ranges["alpha"]) :.2f }} and $\beta$ from
# {{ min(ranges["beta"]) :.2f }} to {{ max(ranges["beta"]) :.2f }}; $E$, which no model could get below, goes from {{ min(ranges["E"]) :.2f }} to {{ max(ranges["E"]) :.2f }}, and the loss with ten times as much new text from {{ min(ranges["loss with ten times as much new text"]) :.2f }} to {{ max(ranges["loss with ten times as much new text"]) :.2f }}.
#
# ## Step 4. Which size for a given budget?
#
# A weight costs two operations for each token on the way there, a multiplication and an addition, and four on the way
# back ([lesson 15](15_backward.ipynb)). A run of $N$ parameters and $D$ tokens therefore costs about $C = 6ND$
# operations. For a fixed $C$ one can train a large model briefly or a small one for long.

# %% key="valley"
largest = 6 * N[hidden] * D[hidden]
budgets = {"our largest run": largest, "a tenth": largest / 10}
grid = np.logspace(3.5, 6.5, 121)


def lowest_of(law, C):
    return grid[law.loss(grid, C / (6 * grid)).argmin()]


valleys = {name: law.loss(grid, C / (6 * grid)) for name, C in budgets.items()}
highest = min(valleys["a tenth"]) + 0.8
shown = {name: np.where(v < highest, v, np.nan) for name, v in valleys.items()}
show.curves(grid, shown, ("parameters", "loss by our law"), log="x")
lowest = {name: lowest_of(law, C) for name, C in budgets.items()}
per_parameter = {  # tokens, by the law and by those with one run hidden
    name: [C / 6 / lowest_of(each, C) ** 2 for each in (law, *laws)] for name, C in budgets.items()
}
for name, C in budgets.items():
    tokens = per_parameter[name]
    print(f"{name}: C = {C:.0e}, lowest at {lowest[name] / 1e3:.0f} thousand parameters, "
          f"D / N = {tokens[0]:.0f} ({min(tokens):.0f} to {max(tokens):.0f})")  # fmt: skip

# %% [markdown] key="valley-read"
# {{ claim: lowest["our largest run"] > 1.5 * lowest["a tenth"] }}
# By such a law each budget has a valley. Hoffmann et al. measured theirs; along ours nothing was trained, so this is a
# promise only. With ten times the budget its lowest point moves to a
# model {{ lowest["our largest run"] / lowest["a tenth"] :.1f }} times as large, which leaves {{ 10 / (lowest["our largest run"] / lowest["a tenth"]) :.1f }} times for the text. For large models both should grow alike, by
# the root of ten, which is 3.2, with about 20 tokens for each parameter; at our valley there are about {{ per_parameter["our largest run"][0] :.0f }}, or {{ min(per_parameter["our largest run"]) :.0f }} to
# {{ max(per_parameter["our largest run"]) :.0f }} with a run hidden. Ours are {{ len(L) }} small runs, and say nothing about other models.
#
# Here are real runs.

# %% key="real-runs"
ours, llama = house.config.count_parameters(), LLAMA_3_8B.count_parameters()
real = [  # parameters, tokens read, epochs over the text as far as they are told
    ["the doll-house", ours, log["tokens"][-1], f"{log['epoch'][-1]:.1f}"],
    ["[GPT-3](https://arxiv.org/abs/2005.14165)", 175e9, 300e9, "0.4 to 3.4"],
    ["[Chinchilla](https://arxiv.org/abs/2203.15556)", 70e9, 1.4e12, "0.1 to 3.4"],
    ["[Llama 3 8B](https://arxiv.org/abs/2407.21783)", llama, 15e12, ""],
    ["[Llama 3 405B](https://arxiv.org/abs/2407.21783)", 405e9, 15.6e12, ""],
]
table(
    ["", "N, billions", "tokens D, billions", "D / N", "epochs", "6 N D"],
    [
        [
            who,
            *(f"{x / 1e9:,.{0 if x > 1e9 else 4}f}" for x in (n, d)),
            f"{d / n:,.1f}",
            e,
            f"{6 * n * d:.1e}",
        ]
        for who, n, d, e in real
    ],
)

# %% [markdown] key="real-runs-read"
# {{ claim: log["tokens"][-1] / ours < 10 }}
# Chinchilla, the model of Hoffmann et al., was built by the rule of 20; GPT-3 and the doll-house are much too large for
# their texts by that rule, and Llama
# 3 8B lies far on the other side, with {{ 15e12 / llama :,.0f }} tokens for each parameter. A model is trained once and used many
# times, and a small one is cheaper to use, so that its makers trained it longer than is best for the training alone
# ([Llama team 2024](https://arxiv.org/abs/2407.21783), section 1).
#
# ## Step 5. An examination
#
# A loss does not say what a model can do. The usual way to ask is **multiple choice by log-likelihood**: nothing is
# generated; each answer is put behind the question, and the one with the highest probability counts as chosen. We
# take questions that the doll-house can meet. A story is told up to some sentence; which of four sentences comes
# next, the true one or one of three from the same place in other stories? Guessing gives a quarter.


# %% key="exam"
def sentences(story):
    return re.split(r"(?<=[.!?]) ", story.replace("\n", " "))


def exam(stories, n_items, seed=0):
    """Items: the text so far, and four sentences of which the first is right."""
    rng, items = np.random.default_rng(seed), []
    told = [sentences(story) for story in stories]
    for place in (3, 4, 2, 5):
        long_enough = [parts for parts in told if len(parts) > place]
        for parts in long_enough:
            others = [each[place] for each in long_enough if each is not parts]
            wrong = list(rng.choice(others, 3, replace=False))
            items.append((" ".join(parts[:place]), [parts[place], *wrong]))
    return items[:n_items]


# %% key="log-likelihoods"
def log_likelihoods(weights, config, text, answers):
    """For each answer its log-probability behind the text, and its number of tokens."""
    before, found = tokenizer.encode(text, bos=True), []
    for answer in answers:
        new = tokenizer.encode(f" {answer}")
        ids = np.array(before + new)[-config.context_length :]
        rows = log_softmax(forward(weights, config, ids[:-1]))[-len(new) :]
        found.append((rows[np.arange(len(new)), ids[-len(new) :]].sum(), len(new)))
    return np.array(found).T


def mark(weights, config, items, with_text=True, per_token=False):
    """The share of items in which the right answer is the most probable."""
    right = []
    for text, answers in items:
        total, count = log_likelihoods(weights, config, text if with_text else "", answers)
        right.append((total / count if per_token else total).argmax() == 0)
    return np.mean(right)


new_stories = exam(corpus.held_out, 60)
text, answers = new_stories[0]
print(text)
for answer, score in zip(answers, log_likelihoods(house.weights, house.config, text, answers)[0]):
    print(f"{score:8.1f}  {answer}")

# %% key="marks"
doll_house = house.weights, house.config
marks = {
    "doll-house": mark(*doll_house, new_stories),
    "doll-house, per token": mark(*doll_house, new_stories, per_token=True),
    "control: the text is hidden": mark(*doll_house, new_stories, with_text=False),
}
error = np.sqrt(0.25 * 0.75 / len(new_stories))  # of pure guessing
table(["held-out stories", "right"], [[name, f"{share:.0%}"] for name, share in marks.items()])
print(f"{len(new_stories)} items; guessing 25 % ± {100 * error:.0f} %")

# %% [markdown] key="marks-read"
# {{ claim: marks["doll-house"] > marks["control: the text is hidden"] + 3 * error }}
# The doll-house finds the true sentence in {{ marks["doll-house"] :.0% }} of {{ len(new_stories) }} items. If the text is hidden and only
# the answers are compared, {{ marks["control: the text is hidden"] :.0% }} remain, so that it does use what was told. The sum of log-probabilities
# prefers short answers; divided by their number of tokens it is {{ marks["doll-house, per token"] :.0% }}. Both are
# in use, and a mark without its rule says little ([Gao
# 2021](https://blog.eleuther.ai/multiple-choice-normalization/)). Free answers cannot be marked like this. There a stronger model is often the
# judge, and has been found to favour longer answers, the one that comes first, and perhaps its own ([Zheng et al.
# 2023](https://arxiv.org/abs/2306.05685)). And two things make our own examination easy: the doll-house told these
# stories itself, and the wrong sentences often name another hero.
#
# ## Experiment: reading or reciting?
#
# Now a second examination of the same kind, made of the ten stories of step 1, and a second candidate: the model that
# has over-fitted them. Its loss on new text was {{ new[-1] :.1f }} nats. **Predict before you run:** fill in the four
# fields.

# %% key="contamination"
ten_stories = exam(corpus.train[:10], 40)
candidates = {"doll-house": doll_house, "the model of ten stories": (narrow.learned, small)}
grades = {
    (name, title): mark(*candidate, items)
    for name, candidate in candidates.items()
    for title, items in (("new", new_stories), ("ten", ten_stories))
}
rows = [[n, f"{grades[n, 'new']:.0%}", f"{grades[n, 'ten']:.0%}"] for n in candidates]
counted = [f"{len(items)} items" for items in (new_stories, ten_stories)]
table(["right", f"held-out stories, {counted[0]}", f"the ten stories, {counted[1]}"], rows)

# %% [markdown] key="contamination-read"
# {{ claim: grades["the model of ten stories", "new"] < 0.45 and grades["doll-house", "new"] > grades["the model of ten stories", "new"] + 0.3 }}
# {{ claim: grades["the model of ten stories", "ten"] > 0.75 and grades["doll-house", "ten"] - grades["the model of ten stories", "ten"] < 0.2 }}
# On new stories the second candidate is right in {{ grades["the model of ten stories", "new"] :.0% }}, which is guessing, against {{ grades["doll-house", "new"] :.0% }}. On the
# ten stories it has {{ grades["the model of ten stories", "ten"] :.0% }} against {{ grades["doll-house", "ten"] :.0% }}: **once the questions have leaked, a model that recites
# looks like one that reads**, and anyone who sees only the right column cannot tell which of the two has a loss worse than
# counting. This is **contamination**, and it happens by itself, because examinations are published on the web.
# Llama 3's makers looked for it by the tokens of a test that lie in runs of eight from their training text ([Llama team
# 2024](https://arxiv.org/abs/2407.21783), section 5.1.4).
#
# And the doll-house itself? It has met sixty lines of facts again and again, such as *The opposite of hot is cold*.
# Here are questions from these lines, and others of the same kind. Each answer competes with those of its group.

# %% key="facts"
asked = {
    "in these lines": [
        {"The opposite of big is": "small", "The opposite of hot is": "cold",
         "The opposite of happy is": "sad", "The opposite of up is": "down"},
        {"A cow says": "moo", "A cat says": "meow", "A dog says": "woof"},
        {"The capital of France is": "Paris", "The capital of England is": "London",
         "The capital of Japan is": "Tokyo"},
        {"The sky is": "blue", "The grass is": "green", "The sun is": "hot", "The snow is": "cold"},
    ],
    "not in these lines": [
        {"The opposite of fast is": "slow", "The opposite of old is": "young",
         "The opposite of wet is": "dry", "The opposite of open is": "closed"},
        {"A duck says": "quack", "A sheep says": "baa", "A pig says": "oink"},
        {"The capital of Italy is": "Rome", "The capital of Spain is": "Madrid",
         "The capital of Germany is": "Berlin"},
        {"The milk is": "white", "The night is": "dark", "The stone is": "hard", "The fire is": "warm"},
    ],
}  # fmt: skip

# %% key="facts-asked"
known = {}
for name, groups in asked.items():
    items = [
        (question, [right, *(other for other in group.values() if other != right)])
        for group in groups
        for question, right in group.items()
    ]
    chosen = [
        answers[log_likelihoods(*doll_house, question, answers)[0].argmax()]
        for question, answers in items
    ]
    known[name] = [answer == answers[0] for answer, (_, answers) in zip(chosen, items)]
    print(f"{name}: {sum(known[name]):.0f} of {len(items)} right")
by_chance = np.mean([1 / len(group) for group in asked["in these lines"] for _ in group])
print(f"by chance: {by_chance * len(items):.1f}\n\nnot in these lines, what it chooses:")
for (question, _), answer in zip(items, chosen):
    print(f"{question} {answer}")

# %% [markdown] key="facts-read"
# {{ claim: np.mean(known["in these lines"]) > np.mean(known["not in these lines"]) + 0.3 }}
# {{ sum(known["in these lines"]) :.0f }} of {{ len(known["in these lines"]) }} for its lines of facts, {{ sum(known["not in these lines"]) :.0f }} of {{ len(known["not in these lines"]) }} for the
# others, and {{ by_chance * len(items) :.1f }} would be chance. {{ claim: len(set(chosen[7:10])) == 1 and sum(known["not in these lines"][7:]) <= 4 }}
# For all three capitals it takes *{{ chosen[7] }}*, and for the four things of the last
# group {{ " or ".join(f"*{word}*" for word in sorted(set(chosen[10:]))) }}, so that what is right there is right by accident.
#
# ## Back to the log
#
# These lines of facts are also the answer to the first question. The log has a column that is easily overlooked, `epoch`:
# how often the *stories* have been read. How fast does it grow?

# %% key="log-again"
story_share = np.diff(log["epoch"]) / np.diff(log["tokens"])
usual = np.median(story_share[story_share > 0])
relative = story_share / usual
shown = [12, 20, *range(len(relative) - 6, len(relative))]
columns = ["step", "stories, of the usual", "training loss", "held out"]
rows = [[f"{r:.0%}", f"{nats:.2f}", f"{bits:.3f}"] for r, nats, bits in zip(
    relative, log["train_loss"][1:], held[1:])]  # fmt: skip
table(columns, [[f"{log['step'][i + 1]:.0f}", *rows[i]] for i in shown])

# %% [markdown] key="log-answer"
# {{ claim: relative[-1] < 0.5 < relative[-5] < 0.9 < relative[12] < 1.1 and log["train_loss"][-1] < log["train_loss"][-5] - 0.3 < log["train_loss"][-6] - 0.5 }}
# For most of the run the share of the stories stays as it is. Then it sinks twice, and each time the training loss sinks
# with it: to {{ relative[-5] :.0% }} at step {{ log["step"][-5] :.0f }}, where the loss goes from {{ log["train_loss"][-6] :.2f }} to {{ log["train_loss"][-5] :.2f }}, and to {{ relative[-1] :.0% }} at the end, with a loss
# of {{ log["train_loss"][-1] :.2f }}. The recipe lets most of the last steps read facts, so that they are known by heart
# (`weights_tools/doll_house/MODEL_CARD.md` says when and why).
#
# Has the model begun to learn its stories by heart, then? In the drop, **no**: what is read has become easy. In the slow gap, **yes**, a little, as far as a log can tell: it opens at
# {{ million[wide] :.0f }} million tokens, when the stories have been read {{ log["epoch"][wide] :.1f }} times, so that the second epoch has begun and the share of the stories is still
# the usual one; and yet the held-out loss goes on falling.
# {{ claim: 0.8 < log["epoch"][wide] < 1.5 and abs(relative[wide] - 1) < 0.1 and held[before] < held[wide] - 0.03 }}
#
# The small rise at the end, {{ held[-1] - held.min() :.3f }}, remains open: it begins soon after the stories have become few, but this is one run.
# **A curve tells that something has happened. Only a control tells why,** and this log has none.

# %% [markdown] key="next"
# ## What comes next
#
# How large a batch should be, and with how few bits a weight can still learn, is on the optional page
# [16c](16c_batches_and_bits.ipynb). The model goes on with any text, and that is all it does. Lesson [17](17_fine_tuning.ipynb), fine-tuning, makes a model
# that answers. **Your turn:** `python -m weights_tools.training.scaling.study --widths 8 16 32 --steps 50 150 450 --out
# mine.csv` is a study of a few minutes; does its law say the same? (`read_results(Path("mine.csv"))` reads it.) The code:
# `weights_tools/training/scaling` and `weights_tools/training/trainer.py`.
