# %% [markdown] key="title"
# # 18 Preferences: what is the worse answer good for?
#
# *Write a story about a cat named Tom.* The chat model of [lesson 17](17_fine_tuning.ipynb) tells one, and asked again
# it tells another, and somebody likes the first one better. Why not fine-tune on that one, and throw the other away?
#
# Most chat models are trained on such **preferences**, and keep both answers. We try both ways with the same pairs:
# fine-tuning on the preferred answers alone, and **DPO**, direct preference optimisation, whose loss and gradient you derive by
# hand. What the worse answer adds we first predict in a world of four answers, and then count in hundreds of stories.
#
# You need lesson 17 and about an hour. [Exercise 18](exercises/18_preferences.ipynb) goes with it.

# %% key="setup"
from textwrap import fill

import numpy as np
from classroom import agree, numerical_gradient, show, source, table

from llama_np import forward, log_softmax
from weights_tools import load_model
from weights_tools.training.comparisons import study
from weights_tools.training.dialogs import PREFERENCES, Comparison, read_lines
from weights_tools.training.endings import HAPPY, ends_well

chat = load_model("doll-house-chat", "float32")  # whatever Llama the other lessons run on
config, tokenizer = chat.config, chat.tokenizer
pairs = list(read_lines(PREFERENCES, Comparison))
print("the last sentence must have one of", HAPPY.pattern)
source(ends_well)

# %% [markdown] key="rule-why"
# ## Step 1. A taste that can be counted
#
# The rule above stands in for people: a story is better if its last sentence says that somebody is happy, laughs or
# hugs. It is a poor judge, which looks for words and understands nothing, but it can be counted. The chat model told stories
# about many heroes, four about each. Where some of the four ended well and some did not, the
# first of either kind became a pair (`python -m weights_tools make-preferences`). For Llama 3, people chose ([Llama team
# 2024](https://arxiv.org/abs/2407.21783), section 4.2.1).

# %% key="pairs"
shown = min(pairs, key=lambda pair: len(pair.preferred) + len(pair.other))
print(f"{len(pairs)} pairs; the shortest: {shown.question}")
table(["preferred", "other"], [[story.replace("\n", " ") for story in shown[1:]]])

# %% [markdown] key="chat-why"
# The last sentence on the left has a word of the list, and that on the right has none.
#
# **Predict before you run:** the chat model was never told about the rule. How many of its own stories will meet it?

# %% key="chat" tags=["timing"]
material = study.Material(chat, pairs)
told = {"chat": material.stories(chat.weights, seed=0)}
length = {"chat": np.mean([len(story) for story in told["chat"]])}
met = np.mean([ends_well(story) for story in told["chat"]])
print(f"{met:.0%} of {len(told['chat'])} stories end well")

# %% [markdown] key="bt-why"
# About one story in {{ 1 / met :.0f }} ends well. {{ claim: 0.05 < met < 0.5 }}
#
# ## Step 2. From rewards to preferences
#
# People do not always agree, so a preference is a matter of probability. The usual model is that of [Bradley and Terry
# 1952](https://doi.org/10.2307/2334029). Each answer $y$ has a **reward** $r$, any number, and of two answers the winner
# $y_w$ beats the loser $y_l$ (written $y_w \succ y_l$) with the probability
#
# $$P(y_w \succ y_l) = \frac{e^{r_w}}{e^{r_w} + e^{r_l}} = \frac{1}{1 + e^{-(r_w - r_l)}} = \sigma(r_w - r_l)$$
#
# the softmax of two numbers, or the **sigmoid** of their difference, which is called the **margin**.

# %% key="bt"
from llama_np import sigmoid

r_w, r_l = np.array([1.0, 2.0, 1.0, 101.0]), np.array([1.0, 1.0, 2.0, 100.0])
p = np.exp(r_w) / (np.exp(r_w) + np.exp(r_l))
agree(p, sigmoid(r_w - r_l))
table(["reward of one", "of the other", "P(one is preferred)"], [*zip(r_w, r_l, p.round(3))])

# %% [markdown] key="bt-read"
# Only the margin counts, so that the second and the last row have the same probability. Rewards have no zero point: if the
# same number is added to all of them, no preference changes.
#
# ## Step 3. The reward inside a model
#
# Suppose that the rewards were known. What should the chat model become? A model $\pi$ with a high mean reward that stays
# near what it was, the **reference** $\pi_\mathrm{ref}$, so as not to lose all else that it can do. How far it has gone is
# measured by the **KL divergence**, the mean number of nats by which it finds its own answers likelier than the reference does:
#
# $$J(\pi) = \sum_y \pi(y)\, r(y) - \beta \sum_y \pi(y) \ln \frac{\pi(y)}{\pi_\mathrm{ref}(y)}$$
#
# The number $\beta$ is the price of one nat. To learn the rewards with a second network and then climb $J$ is **RLHF**,
# reinforcement learning from human feedback ([Ouyang et al. 2022](https://arxiv.org/abs/2203.02155)). Write $r$ as $\beta \ln e^{r/\beta}$ and put both sums into one. With $Z = \sum_y \pi_\mathrm{ref}(y)\, e^{r(y)/\beta}$ and
# $\pi^* = \frac{1}{Z}\, \pi_\mathrm{ref}\, e^{r/\beta}$, whose probabilities sum to one,
#
# $$J(\pi) = -\beta \sum_y \pi(y) \ln \frac{\pi(y)}{\pi_\mathrm{ref}(y)\, e^{r(y)/\beta}}
#   = -\beta\, \mathrm{KL}(\pi \,\|\, \pi^*) + \beta \ln Z$$
#
# The last term is a constant, and a KL divergence is never below zero and zero only between equals. So $\pi^*$ is the
# best model there is: the reference, **tilted** towards the reward ([Rafailov et al.
# 2023](https://arxiv.org/abs/2305.18290), appendix A.1). With four answers:

# %% key="tilt"
reference, r = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.0, 1.0, 0.0, 2.0])


def kl(p, q):
    return (p * np.log(p / q)).sum(axis=-1)


tilted, panels = {}, {"reference": reference}
for beta in (3.0, 1.0, 0.3):
    weighted = reference * np.exp(r / beta)
    panels[f"beta = {beta}"] = tilted[beta] = weighted / weighted.sum()
others = np.random.default_rng(0).dirichlet(np.ones(4), size=10_000)  # 10,000 other models
J = others @ r - beta * kl(others, reference)  # with the last beta
agree(J, -beta * kl(others, tilted[beta]) + beta * np.log(weighted.sum()))
show.bar_panels(panels, ["A, r = 0", "B, r = 1", "C, r = 0", "D, r = 2"], "probability")

# %% [markdown] key="tilt-read"
# A large $\beta$ holds the model to the reference. With a small one the reward decides, and D, the best and rarest answer,
# takes {{ tilted[0.3][3] :.0% }}.
#
# Now read it backwards: for which rewards is a given model the best? Take the logarithm of $\pi^*$:
#
# $$r(y) = \beta \ln \frac{\pi(y)}{\pi_\mathrm{ref}(y)} + \beta \ln Z$$
#
# The last term is the same for all answers to a question, so that it changes no preference, and what remains needs no network
# for rewards. **A model beside its reference is a reward model**, and DPO trains it as one.

# %% [markdown] key="logp-why"
# ## Step 4. How likely is a whole story?
#
# An answer is written token by token, so its probability is a product and the logarithm a sum over its tokens, up to
# `<|eot_id|>`. The question $x$ was given and does not count:
#
# $$\ln \pi(y \mid x) = \sum_t \ln p(y_t \mid x, y_{<t})$$

# %% key="logp"
from llama_np.training.loss import IGNORE
from llama_np.training.preference import answer_log_probability
from weights_tools.commands.dpo import encode_pairs
from weights_tools.training.stages import pad

(example,) = encode_pairs(tokenizer, [shown], config)
ids, targets = pad(example)  # both answers: 2 T; the targets are IGNORE outside of them
logits = forward(chat.weights, config, ids)  # 2 T V
rows = log_softmax(logits)
each = [row[t != IGNORE, t[t != IGNORE]] for row, t in zip(rows, targets)]
agree(np.array([tokens.sum() for tokens in each]), answer_log_probability(logits, targets))
sums = [[len(tokens), f"{tokens.sum():.1f}", f"{tokens.mean():.2f}"] for tokens in each]
table(["", "tokens", "nats", "nats a token"], [["preferred", *sums[0]], ["other", *sums[1]]])

# %% [markdown] key="alone-why"
# The chat model finds the other story likelier, by {{ each[1].sum() - each[0].sum() :.1f }} nats. {{ claim: each[1].sum() > each[0].sum() }} Could we do without the reference, and simply want the preferred answer to be the likelier one? Of the last 16 pairs:

# %% key="alone"
from weights_tools.commands.dpo import with_reference

some = with_reference(chat.weights, config, encode_pairs(tokenizer, pairs[-16:], config))
of_chat = np.array([pair.reference for pair in some])  # pairs, 2: nats
lengths = np.array([[len(a.ids) - a.given for a in pair[:2]] for pair in some])
likelier, shorter = of_chat[:, 0] > of_chat[:, 1], lengths[:, 0] < lengths[:, 1]
print(f"likelier is the preferred answer in {likelier.mean():.0%} of the pairs,")
print(f"and the shorter one in {(likelier == shorter).mean():.0%}")

# %% [markdown] key="alone-read"
# {{ claim: (likelier == shorter).mean() > 0.65 }} No: by itself the chat model finds the preferred answer likelier in {{ likelier.mean() :.0% }} only, because it goes by length: {{ claim: likelier.mean() < 0.65 }} in
# {{ (likelier == shorter).mean() :.0% }} of the pairs the shorter story is the likelier one. Against a reference this
# cancels at the start, because that finds a long story just as unlikely, and what counts is how a model has *moved*. Later
# length can come back, and models after DPO tend to write longer answers than they were shown ([Park et al.
# 2024](https://arxiv.org/abs/2403.19159)).
#
# ## Step 5. The loss
#
# As in all training, the loss is the surprise at what really came, here at the preferences, $-\ln \sigma(m)$, and the
# margin $m$ is taken from the rewards inside the model:
#
# $$m = \beta \left( \ln \frac{\pi(y_w)}{\pi_\mathrm{ref}(y_w)} - \ln \frac{\pi(y_l)}{\pi_\mathrm{ref}(y_l)} \right)$$
#
# `doll-house-cheerful` has been through 150 steps of DPO on whole stories, with the chat model as its reference and these 16
# pairs held out.
#
# **Predict before you run:** what is the loss of the chat model itself, before the first step? And have the preferred stories
# become likelier in the end?

# %% key="loss"
from llama_np.training.preference import dpo_loss
from weights_tools.commands.dpo import log_probabilities_of

cheerful, beta = load_model("doll-house-cheerful", "float32"), 0.1
now = [log_probabilities_of(cheerful.weights, config, pair[:2]) for pair in some]
log_p = np.array(now, dtype=np.float64)  # pairs, 2
rewards = beta * (log_p - of_chat)
margin = rewards[:, 0] - rewards[:, 1]
loss = -np.log(1 / (1 + np.exp(-margin))).mean()
agree(loss, dpo_loss(log_p, of_chat, beta), 1e-9)
print(f"loss: cheerful {loss:.3f}, chat {dpo_loss(of_chat, of_chat, beta):.3f}")
gained = (log_p - of_chat).mean(axis=0)
print(f"nats gained, mean: preferred {gained[0]:.1f}, other {gained[1]:.1f}")
print(f"the margin is above zero in {(margin > 0).sum()} of {len(margin)} pairs")

# %% [markdown] key="loss-read"
# {{ claim: gained[1] < gained[0] < 0 and loss < np.log(2) and (margin > 0).mean() > 0.55 }}
# A model that has not moved has only zeros for rewards. It tosses a coin, and the surprise at a coin is $\ln 2 = 0.693$. There
# the loss would stay for ever if the reference moved along with the model, so it has to be **frozen**.
#
# In the end the margin is above zero in {{ (margin > 0).sum() }} of {{ len(margin) }} pairs. The other stories have lost {{ -gained[1] :.1f }} nats, and **the preferred ones have lost too**,
# {{ -gained[0] :.1f }} nats. The loss has no objection, since it asks for the difference alone. This is called **likelihood
# displacement** ([Razin et al. 2024](https://arxiv.org/abs/2410.08847)): other stories must have become likelier. Step 7 shows which, in a small world.
#
# ## Step 6. The gradient
#
# The slope of $-\ln \sigma(m)$ is $-\sigma(-m)$, and $m$ is $\beta$ times a difference, so that for each of $n$ pairs
#
# $$\frac{\partial L}{\partial \ln \pi(y_w)} = -\frac{\beta}{n}\, \sigma(-m) \qquad\qquad
#   \frac{\partial L}{\partial \ln \pi(y_l)} = +\frac{\beta}{n}\, \sigma(-m)$$
#
# The preferred answer is pushed up and the other one down, equally hard. The factor $\sigma(-m)$ is the probability that
# the model would choose *wrongly*, so that a pair it is sure of hardly pushes any more.

# %% key="gradient"
from llama_np.training.preference import dpo_loss_backward

push = beta / len(margin) / (1 + np.exp(margin))
d_log_p = np.stack([-push, push], axis=-1)  # pairs, 2
agree(d_log_p, dpo_loss_backward(log_p, of_chat, beta), 1e-9)
entries = [*np.ndindex(log_p.shape)]
tried = numerical_gradient(lambda x: dpo_loss(x, of_chat, beta), log_p, entries)
agree(tried.reshape(log_p.shape), d_log_p, 1e-6)
table(
    ["margin", "push, as a share of that at the start"],
    [[f"{m:.2f}", f"{2 / (1 + np.exp(m)):.2f}"] for m in np.sort(margin)[[0, 5, 10, 15]]],
)

# %% [markdown] key="gradient-read"
# The surest of these pairs pushes with {{ 2 / (1 + np.exp(margin.max())) :.2f }} of its first force, the one that the model has most wrong with
# {{ 2 / (1 + np.exp(margin.min())) :.2f }}. From $\ln \pi$ the gradient goes on as in [lesson 15](15_backward.ipynb).
#
# At the very first step every $\sigma(-m)$ is one half. **DPO's first gradient is that of fine-tuning on the preferred
# answers minus that of fine-tuning on the others**, times $\beta/2$ (summed over tokens), and what they have in common cancels.
#
# ## Step 7. A world of four answers
#
# In another world, with four answers of its own, the model has two weights, its liking for happy words and its liking for
# short stories, and a logit is `log_ref + features @ w`:
#
# | answer | happy words | short? | reference |
# |---|---|---|---|
# | W | 0 | yes | 0.10 |
# | X | 1 | yes | 0.05 |
# | Y | 0 | no | 0.60 |
# | Z | 2 | no | 0.25 |
#
# Somebody has preferred X to W, and nobody has been asked about Y and Z. The reference cancels in the
# margin, which is `w @ (features[X] - features[W])`.
#
# **Predict before you run:** which answer will the model give in the end, fine-tuned on X? And after DPO on "X rather than W"?

# %% key="world"
features = np.array([[0, 1], [1, 1], [0, 0], [2, 0]])  # happy words, short
log_ref, W, X, Z = np.log([0.10, 0.05, 0.60, 0.25]), 0, 1, 3


def train_world(slope, n_steps=600, rate=0.1):
    """The probabilities of all answers at each step; ``slope`` says how the weights move."""
    w, path = np.zeros(2), []
    for _ in range(n_steps):
        p = np.exp(log_softmax(log_ref + features @ w))
        path.append(p)
        w = w + rate * slope(w, p)
    return np.array(path)


difference = features[X] - features[W]
tuned = train_world(lambda w, p: features[X] - p @ features)  # d ln p(X) / dw
compared = train_world(lambda w, p: difference / (1 + np.exp(w @ difference)))  # beta = 1
lines = {"X, fine-tuned on X": tuned[:, X], "X, DPO": compared[:, X], "Z, DPO": compared[:, Z]}
show.curves(np.arange(len(tuned)), lines, ("step", "probability"), title="X was preferred to W")

# %% [markdown] key="world-read"
# {{ claim: tuned[-1, X] > 0.8 and compared[-1, Z] > 0.9 and compared[-1, X] < 0.5 * compared[0, X] }}
# Fine-tuning makes the model like what it was shown, in everything: happy, and short as well, so that X ends at
# {{ tuned[-1, X] :.2f }}. DPO has never touched the second weight, because W and X are both short. The difference between them is
# one happy word, and DPO goes in this direction without an end: Z, in no pair, comes from 0.25 to {{ compared[-1, Z] :.3f }},
# and X, the preferred answer, falls from 0.05 to {{ compared[-1, X] :.3f }}, although the margin has grown at every step. That
# is where the probability goes.
#
# **An example is a place, a comparison is a direction.** The worse answer says what about the better one was meant.

# %% [markdown] key="train-why"
# ## Step 8. The same pairs, twice
#
# Is it so in the doll-house? We give the pairs something in common that nobody has preferred. Of each story only the first and
# the last sentence is left. The preferences stay as they are, but now all answers are short. We train the chat model's LoRA matrices
# with {{ study.PAIRS_PER_STEP }} pairs at each of {{ study.STEPS }} steps at a rate of {{ study.RATE }}, once on the preferred answers alone, and
# once by DPO with $\beta$ = {{ study.BETA }}, on the same pairs in the same order.
#
# **Predict before you run:** the chat model's stories have {{ length["chat"] :.0f }} characters, and those in the pairs
# {{ np.mean([len(cut.preferred) for cut in map(study.two_sentences, pairs)]) :.0f }}. How long will the stories of the two models be?


# %% key="train" tags=["timing"]
def train(way, beta):
    training = material.training(study.Run(way, study.RATE, beta, seed=0))
    gained = [np.zeros(2)]
    while training.step < study.STEPS:
        training.take_step()
        if training.step % 8 == 0:
            weights = training.weights(training.learned)
            gained.append(material.gained(weights, 12).mean(axis=0))
    return weights, np.array(gained)


models = {"chat": chat.weights}
models["fine-tuned"], of_tuning = train(study.PREFERRED, 0.0)
models["DPO"], of_dpo = train(study.COMPARED, study.BETA)

# %% key="train-curves" tags=["timing"]
lines = {
    "preferred, fine-tuned": of_tuning[:, 0],
    "other, fine-tuned": of_tuning[:, 1],
    "preferred, DPO": of_dpo[:, 0],
    "other, DPO": of_dpo[:, 1],
}
at = np.arange(0, study.STEPS + 1, 8)
show.curves(at, lines, ("step", "nats gained"), title="held-out answers of two sentences")

# %% key="told" tags=["timing"]
from weights_tools.commands.make_preferences import answers

for who in ("fine-tuned", "DPO"):
    told[who] = material.stories(models[who], seed=0)
rows = []
for who, stories in told.items():
    length[who] = np.mean([len(story) for story in stories])
    rows.append([who, f"{np.mean([*map(ends_well, stories)]):.0%}", f"{length[who]:.0f}"])
table([f"{len(told['chat'])} stories each", "end well", "characters"], rows)
asked = ["Write a story about a cat named Tom."]
for who, weights in models.items():  # with the same dice
    (story,) = answers(chat._replace(weights=weights), asked, np.random.default_rng(0))
    print(fill(f"{who}: {story}", 96), end="\n\n")

# %% [markdown] key="train-read"
# {{ claim: length["fine-tuned"] < 0.4 * length["chat"] and length["DPO"] > 1.3 * length["fine-tuned"] }}
# {{ claim: of_dpo[-1, 0] - of_dpo[-1, 1] > 2 * (of_tuning[-1, 0] - of_tuning[-1, 1]) > 0 }}
# Fine-tuned on short stories the model tells short stories, of {{ length["fine-tuned"] :.0f }} characters. That was not what
# anybody had liked about them, but how should it know? It has lifted both answers of a pair, the preferred by
# {{ of_tuning[-1, 0] :.0f }} nats and the other by {{ of_tuning[-1, 1] :.0f }}, since what it learns is mostly what they share. DPO has
# moved them apart, by {{ of_dpo[-1, 0] - of_dpo[-1, 1] :.0f }} nats; unlike in the small world above, the preferred ones have gained, {{ of_dpo[-1, 0] :.0f }} nats, probably because both answers are so short that the
# chat model finds either unlikely, and there is room above. {{ claim: of_dpo[-1, 0] > 3 }} Its stories have {{ length["DPO"] :.0f }} characters on average, though the one about Tom above has {{ len(story) }}.
#
# That is still far from the chat model's {{ length["chat"] :.0f }}: in the doll-house shortness has no weight of its own, and
# cancels only in part.

# %% [markdown] key="ways-why"
# ## Step 9. What the worse answer buys
#
# More runs ship in a table, made by `python -m weights_tools.training.comparisons.study`.
# Where there is a spread, it is over {{ study.SEEDS }} seeds, each with another order of the pairs and
# {{ len(told["chat"]) }} new stories, so that the chat model has another share than in step 1. Beside them stands a
# control that is fine-tuned on both answers **alike**, with the first seed. The last two columns are about what nobody asked for.

# %% key="runs"
runs = study.read(study.RESULTS)
columns = {"ends_well": ".0%", "characters": ".0f", "story_loss": ".2f"}


def of(way, name, rate=study.RATE):
    """One number for each seed."""
    return np.array([run[name] for run in runs if run["way"] == way and run["rate"] in (0, rate)])


def mean(values, form):
    return f"{values.mean():{form}}" + (f" ± {values.std():{form}}" if len(values) > 1 else "")


def standard_error(p, q, n):
    """Of the difference of two shares, counted in n stories each."""
    return np.sqrt((p * (1 - p) + q * (1 - q)) / n)


# %% key="ways"
ways = {
    "chat": study.CHAT_ALONE,
    "fine-tuned on both alike": study.BOTH,
    "fine-tuned on the preferred": study.PREFERRED,
    "DPO": study.COMPARED,
}
rows = [
    [name, *(mean(of(way, column), form) for column, form in columns.items())]
    for name, way in ways.items()
]
table(["mean ± spread", "end well", "characters", "loss on stories"], rows)

# %% [markdown] key="ways-read"
# {{ claim: of(study.COMPARED, "ends_well").min() > of(study.PREFERRED, "ends_well").max() > 0.4 }}
# {{ claim: of(study.COMPARED, "characters").min() > 1.2 * of(study.PREFERRED, "characters").max() }}
# {{ claim: of(study.PREFERRED, "story_loss").min() > of(study.COMPARED, "story_loss").max() }}
# {{ claim: of(study.BOTH, "ends_well")[0] < of(study.COMPARED, "ends_well")[0] - 0.25 }}
# Fine-tuned on the preferred answers alone, the model ends well in {{ of(study.PREFERRED, "ends_well").mean() :.0% }} of its
# stories, where the chat model does in {{ of(study.CHAT_ALONE, "ends_well").mean() :.0% }}. One *can* learn a preference without
# the worse answers. But the stories have shrunk to {{ of(study.PREFERRED, "characters").mean() :.0f }} characters, and on held-out whole
# ones the loss is {{ of(study.PREFERRED, "story_loss").mean() - of(study.CHAT_ALONE, "story_loss").mean() :.2f }} higher. From the same
# pairs {{ of(study.COMPARED, "ends_well").mean() :.0% }} of DPO's stories end well, {{ of(study.COMPARED, "characters").mean() :.0f }}
# characters are left, and the loss is {{ of(study.COMPARED, "story_loss").mean() - of(study.CHAT_ALONE, "story_loss").mean() :.2f }} higher: more of what was
# meant and less of what was not, with every seed. At a quarter of this rate (one seed) only the second is left: {{ of(study.PREFERRED, "ends_well", study.LOWER_RATE)[0] :.0% }} and {{ of(study.COMPARED, "ends_well", study.LOWER_RATE)[0] :.0% }} end well, with {{ of(study.PREFERRED, "characters", study.LOWER_RATE)[0] :.0f }} and {{ of(study.COMPARED, "characters", study.LOWER_RATE)[0] :.0f }} characters.
#
# The control ends well in {{ of(study.BOTH, "ends_well")[0] :.0% }} of its stories, where with the same seed the chat model does in
# {{ of(study.CHAT_ALONE, "ends_well")[0] :.0% }} and DPO in {{ of(study.COMPARED, "ends_well")[0] :.0% }}. The texts alone may help
# (the standard error of the first difference is {{ standard_error(of(study.BOTH, "ends_well")[0], of(study.CHAT_ALONE, "ends_well")[0], len(told["chat"])) :.0% }}), but most of DPO's gain is in being
# told which is which.
#
# But these answers were cut short so that there was something to carry along. What if there is not? The next table is about
# *whole* stories, from one seed ([lesson 19](19_rewards.ipynb)); the nats are a story's KL from the chat model.

# %% key="whole"
from weights_tools.training.rewards.study import CHAT_ALONE, CHEERFUL, COMPARED, POINTS, PREFERRED

whole = {row["method"]: row for row in study.read(POINTS)}  # the last model of each way
columns = {"mean_reward": ".0%", "kl_per_answer": ".1f", "story_loss": ".3f"}
named = {
    "chat": CHAT_ALONE, "fine-tuned on the preferred": PREFERRED, "DPO": COMPARED,
    "DPO, as it ships": CHEERFUL,
}  # fmt: skip
rows = [
    [name, *(f"{whole[method][column]:{form}}" for column, form in columns.items())]
    for name, method in named.items()
]
table(["whole stories", "end well", "nats", "loss on stories"], rows)

# %% [markdown] key="whole-read"
# {{ claim: whole[COMPARED]["story_loss"] > whole[PREFERRED]["story_loss"] > whole[CHAT_ALONE]["story_loss"] }}
# {{ claim: whole[COMPARED]["kl_per_answer"] > 1.5 * whole[PREFERRED]["kl_per_answer"] }}
# {{ claim: abs(whole[COMPARED]["mean_reward"] - whole[PREFERRED]["mean_reward"]) < 0.12 }}
# {{ claim: whole[PREFERRED]["mean_reward"] > whole[CHAT_ALONE]["mean_reward"] + 0.1 }}
# Here it is the other way round. Whole stories of the model's own carry nothing along that it did not have, and after fine-tuning
# {{ whole[PREFERRED]["mean_reward"] :.0% }} end well for
# {{ whole[PREFERRED]["story_loss"] - whole[CHAT_ALONE]["story_loss"] :+.3f }} on the loss. DPO's
# {{ whole[COMPARED]["mean_reward"] :.0% }} are no more than that, as far as {{ whole[CHAT_ALONE]["answers"] }} stories can tell (standard
# error of the difference: {{ standard_error(whole[PREFERRED]["mean_reward"], whole[COMPARED]["mean_reward"], whole[CHAT_ALONE]["answers"]) :.0% }}), but they cost
# {{ whole[COMPARED]["story_loss"] - whole[CHAT_ALONE]["story_loss"] :+.3f }} and
# {{ whole[COMPARED]["kl_per_answer"] / whole[PREFERRED]["kl_per_answer"] :.0f }} times the distance.
#
# **Where examples carry something unwanted, comparisons copy less of it; where they do not, these comparisons mostly moved the
# model further.** That is one seed and one recipe: `doll-house-cheerful`, which ships, was made by DPO with another one and ends well in {{ whole[CHEERFUL]["mean_reward"] :.0% }} for {{ whole[CHEERFUL]["kl_per_answer"] :.1f }} nats.

# %% [markdown] key="next"
# ## What comes next
#
# In [exercise 18](exercises/18_preferences.ipynb) you write the loss and its gradient, and find out in which half of a story
# DPO has done its work. And since our rule can judge any story, why show pairs at all? In [lesson 19](19_rewards.ipynb) the
# model learns from **rewards** for stories of its own.
