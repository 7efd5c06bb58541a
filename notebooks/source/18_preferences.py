# %% [markdown] key="title"
# # 18 Preferences: what is the worse answer good for?
#
# *Write a story about a cat named Tom.* The chat model of [lesson 17](17_fine_tuning.ipynb) tells one, and asked again
# it tells another, and somebody likes the first one better. Why not fine-tune on that one, and throw the other away?
#
# Most chat models are trained on such **preferences**, and keep both answers. We try it in both ways, from the same pairs
# and with the same number of steps: fine-tuning on the preferred answers alone, and **DPO**, direct preference
# optimisation, whose loss and gradient you derive and compute by hand. What the worse answer adds we first predict in a
# world of four answers, and then count in hundreds of stories.
#
# You need dialogs and LoRA (lesson [17](17_fine_tuning.ipynb)), gradients ([15](15_backward.ipynb)), and about an hour.
# [Exercise 18](exercises/18_preferences.ipynb) goes with it.

# %% key="setup"
from textwrap import fill

import numpy as np
from classroom import agree, numerical_gradient, show, source, table

from llama_np import forward, log_softmax
from weights_tools import load_model
from weights_tools.training.comparisons import study
from weights_tools.training.dialogs import PREFERENCES, Comparison, read_lines
from weights_tools.training.endings import HAPPY, ends_well

chat = load_model("doll-house-chat", "float32")
config, tokenizer = chat.config, chat.tokenizer
pairs = list(read_lines(PREFERENCES, Comparison))
print("the last sentence must have one of", HAPPY.pattern)
source(ends_well)

# %% [markdown] key="rule-why"
# Whichever Llama you have chosen for the other lessons, this page trains the small chat model, because that can be done
# while you wait.
#
# ## Step 1. A taste that can be counted
#
# We have no people to ask, and let the rule above stand in for them: a story is better if its last sentence says that
# somebody is happy, laughs or hugs. It is a poor judge, which looks for words and understands nothing, but we can count
# how often a model meets it. The chat model was asked for stories about many heroes, four times each. Where some of the
# four ended well and some did not, the first of either kind became a pair (`python -m weights_tools make-preferences`).
# For Llama 3 it was much the same, except that people chose ([Llama team 2024](https://arxiv.org/abs/2407.21783),
# section 4.2.1).

# %% key="pairs"
shown = min(pairs, key=lambda pair: len(pair.preferred) + len(pair.other))
print(f"{len(pairs)} pairs; the shortest: {shown.question}")
table(["preferred", "other"], [[story.replace("\n", " ") for story in shown[1:]]])

# %% [markdown] key="best-why"
# The last sentence on the left has a word of the list, and that on the right has none. Nothing else was asked.
#
# ## Step 2. Without training
#
# The cheapest way to better stories is to ask several times and hand out the best answer: **best of n**, or rejection
# sampling. We ask for eight stories, four times each.
#
# **Predict before you run:** the chat model was never told about the rule. How many of its stories will meet it, and
# how many of the best of four?

# %% key="best"
from llama_np.training.rewards import best_of_n

material = study.Material(chat, pairs)
told = {"chat": material.stories(chat.weights, seed=0)}
length = {"chat": np.mean([len(story) for story in told["chat"]])}
liked = np.array([ends_well(story) for story in told["chat"]], dtype=float).reshape(-1, 4)
best = {n: best_of_n(liked, n).mean() for n in (1, 2, 4)}
for n, share in best.items():
    print(f"best of {n}: {share:.0%} end well")

# %% [markdown] key="best-read"
# One story in {{ 1 / best[1] :.1f }} ends well, and of the best of four {{ best[4] :.0% }}. It costs four stories for each
# one that is told, for ever. We want this choice inside the weights.{{ claim: best[4] > 1.5 * best[1] }}
#
# ## Step 3. From rewards to preferences
#
# People do not always agree, so a preference is a matter of probability. The usual model is that of [Bradley and Terry
# 1952](https://doi.org/10.2307/2334029). Each answer $y$ has a **reward** $r$, any number, and of two answers the winner
# $y_w$ and the loser $y_l$ come out so with the probability
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
# The second and the last row have the same probability, since only the margin counts. Rewards have no zero point: if the
# same number is added to all of them, no preference changes. This will save us a network in a moment.
#
# ## Step 4. The reward inside a model
#
# Suppose that the rewards were known. What should the chat model become? A model $\pi$ with a high mean reward, but not
# at the price of everything else that it can do, so that it is to stay near what it was, the **reference**
# $\pi_\mathrm{ref}$. How far it has gone is measured by the **KL divergence**, the mean number of nats by which it finds
# its own answers likelier than the reference does:
#
# $$J(\pi) = \sum_y \pi(y)\, r(y) - \beta \sum_y \pi(y) \ln \frac{\pi(y)}{\pi_\mathrm{ref}(y)}$$
#
# The number $\beta$ says how dear a nat is. (To learn the rewards with a second network and then climb $J$ is **RLHF**,
# reinforcement learning from human feedback, [Ouyang et al. 2022](https://arxiv.org/abs/2203.02155).) Write $r$ as $\beta \ln e^{r/\beta}$ and put both sums into one. With
# $Z = \sum_y \pi_\mathrm{ref}(y)\, e^{r(y)/\beta}$ and $\pi^* = \frac{1}{Z}\, \pi_\mathrm{ref}\, e^{r/\beta}$, whose
# probabilities sum to one,
#
# $$J(\pi) = -\beta \sum_y \pi(y) \ln \frac{\pi(y)}{\pi_\mathrm{ref}(y)\, e^{r(y)/\beta}}
#   = -\beta\, \mathrm{KL}(\pi \,\|\, \pi^*) + \beta \ln Z$$
#
# The last term is a constant, and a KL divergence is never below zero and zero only between equals. So $\pi^*$ is the
# best model there is: the reference, **tilted** towards the reward ([Rafailov et al.
# 2023](https://arxiv.org/abs/2305.18290), appendix A.1). In a world with four answers:

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
# takes {{ tilted[0.3][3] :.0% }}. A and C have the same reward and keep their proportion.
#
# Now read it backwards. Given a model and a reference, for which rewards is it the best? Take the logarithm of $\pi^*$:
#
# $$r(y) = \beta \ln \frac{\pi(y)}{\pi_\mathrm{ref}(y)} + \beta \ln Z$$
#
# The last term is the same for all answers to a question, and we have seen that such a number changes no preference. What
# remains needs no network for rewards. **A model beside its reference is a reward model**, and DPO trains it as one.

# %% [markdown] key="logp-why"
# ## Step 5. How likely is a whole story?
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
# Any one long text is very unlikely, and a longer one more so. Could we do without the reference, and simply want the preferred
# answer to be the likelier one? We ask the chat model about the last 16 pairs.

# %% key="alone"
from weights_tools.commands.dpo import with_reference

some = with_reference(chat.weights, config, encode_pairs(tokenizer, pairs[-16:], config))
of_chat = np.array([pair.reference for pair in some])  # pairs, 2: nats
lengths = np.array([[len(a.ids) - a.given for a in pair[:2]] for pair in some])
likelier, shorter = of_chat[:, 0] > of_chat[:, 1], lengths[:, 0] < lengths[:, 1]
print(f"likelier is the preferred answer in {likelier.mean():.0%} of the pairs,")
print(f"and the shorter one in {(likelier == shorter).mean():.0%}")

# %% [markdown] key="alone-read"
# {{ claim: (likelier == shorter).mean() > 0.65 }} By itself the chat model goes by length: in
# {{ (likelier == shorter).mean() :.0% }} of the pairs the shorter story is the likelier one. Against a reference this cancels,
# because that finds a long story just as unlikely, and what counts is how a model has *moved*. Other remedies need no
# reference. **SimPO** takes the mean over the tokens in place of the sum, and wants it larger by a fixed margin ([Meng et al.
# 2024](https://arxiv.org/abs/2405.14734)); **ORPO** adds to the loss of fine-tuning the odds ratio of the two answers, also
# per token ([Hong et al. 2024](https://arxiv.org/abs/2403.07691)).
#
# ## Step 6. The loss
#
# As in all training, the loss is the surprise at what really came, here at the preferences, $-\ln \sigma(m)$, and the
# margin $m$ is taken from the rewards inside the model:
#
# $$m = \beta \left( \ln \frac{\pi(y_w)}{\pi_\mathrm{ref}(y_w)} - \ln \frac{\pi(y_l)}{\pi_\mathrm{ref}(y_l)} \right)$$
#
# `doll-house-cheerful`, which ships with this course, has been through 150 steps of DPO on such pairs. The 16 were held out
# of its training, and the chat model was its reference.
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
names = [f"pair {n}, {which}" for n in range(3) for which in ("preferred", "other")]
show.bars(rewards[:3].ravel(), names, "reward", title="three held-out pairs, cheerful against chat")

# %% [markdown] key="loss-read"
# {{ claim: gained[1] < gained[0] < 0 and loss < np.log(2) }}
# A model that has not moved has only zeros for rewards, whatever the pairs and $\beta$ are. It tosses a coin, and the
# surprise at a coin is $\ln 2 = 0.693$. A run that begins with another number has a fault.
#
# In the end the other stories have lost {{ -gained[1] :.1f }} nats, and **the preferred ones have lost too**,
# {{ -gained[0] :.1f }} nats. The loss has no objection, since it asks for the difference alone. This is called **likelihood
# displacement**. Where has the probability gone?
#
# ## Step 7. The gradient
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
# The surest of these pairs pushes with {{ 2 / (1 + np.exp(margin.max())) :.2f }} of its first force, the least sure with
# {{ 2 / (1 + np.exp(margin.min())) :.2f }}. From $\ln \pi$ the gradient goes on through the logits as in
# [lesson 15](15_backward.ipynb), and nothing else is new.
#
# Now look at the very first step, when every $\sigma(-m)$ is one half. Fine-tuning pushes $\ln \pi(y_w)$ up. **DPO's first step
# is that of fine-tuning on the preferred answers, minus that of fine-tuning on the others**, but for a factor. What both answers
# have in common cancels.
#
# ## Step 8. A world of four answers
#
# In this world the model has two weights, its liking for happy words and its liking for short stories, and a logit is
# `log_ref + features @ w`:
#
# | answer | happy words | short? | reference |
# |---|---|---|---|
# | A | 0 | yes | 0.10 |
# | B | 1 | yes | 0.05 |
# | C | 0 | no | 0.60 |
# | D | 2 | no | 0.25 |
#
# Somebody has preferred B to A, and nobody has been asked about C and D.
#
# **Predict before you run:** which answer will the model give in the end, fine-tuned on B? And after DPO on "B rather than A"?

# %% key="world"
features = np.array([[0, 1], [1, 1], [0, 0], [2, 0]])  # happy words, short
log_ref, A, B, D = np.log([0.10, 0.05, 0.60, 0.25]), 0, 1, 3


def train_world(slope, n_steps=600, rate=0.1):
    """The probabilities of all answers at each step; ``slope`` says how the weights move."""
    w, path = np.zeros(2), []
    for _ in range(n_steps):
        p = np.exp(log_softmax(log_ref + features @ w))
        path.append(p)
        w = w + rate * slope(w, p)
    return np.array(path)


difference = features[B] - features[A]
tuned = train_world(lambda w, p: features[B] - p @ features)  # d ln p(B) / dw
compared = train_world(lambda w, p: difference / (1 + np.exp(w @ difference)))  # beta = 1
moving = train_world(lambda w, p: difference / 2)  # with a reference that moves along
lines = {"B, fine-tuned on B": tuned[:, B], "B, DPO": compared[:, B], "D, DPO": compared[:, D]}
show.curves(np.arange(len(tuned)), lines, ("step", "probability"), title="B was preferred to A")

# %% [markdown] key="world-read"
# {{ claim: tuned[-1, B] > 0.8 and compared[-1, D] > 0.9 and compared[-1, B] < 0.5 * compared[0, B] }}
# Fine-tuning makes the model like what it was shown, in everything: happy, and short as well, so that B ends at
# {{ tuned[-1, B] :.2f }}. DPO has never touched the second weight, because A and B are both short. The difference between them is
# one happy word, and DPO goes in this direction without an end: D, in no pair, comes from 0.25 to {{ compared[-1, D] :.3f }},
# and B, the preferred answer, falls from 0.05 to {{ compared[-1, B] :.3f }}, although the margin has grown at every step. There is
# where the probability goes. (It may go to worse places: trained to say *No* rather than *Never*, a model may come to say
# *Yes*, [Razin et al. 2024](https://arxiv.org/abs/2410.08847).)
#
# **An example is a place, a comparison is a direction.** The worse answer says what about the better one was meant.
#
# The third run, not drawn, makes a common mistake: its reference is not **frozen**, but is the model as it is by now. Every margin is
# then zero, the loss stays at $\ln 2$ for ever, and no pair ever pushes less. B is at {{ moving[-1, B] :.0e }} when the time is up.
# {{ claim: moving[-1, B] < compared[-1, B] }}

# %% [markdown] key="train-why"
# ## Step 9. The same pairs, twice
#
# Is it so in the doll-house? We give the pairs something in common that nobody has preferred. Of each story only the first and
# the last sentence is left. The rule looks at the last one, so the preferences stay as they are, but now all answers are short.
#
# We train the chat model with {{ study.PAIRS_PER_STEP }} pairs at each of {{ study.STEPS }} steps, once on the preferred answers
# alone, and once by DPO, on the same pairs in the same order. Only the LoRA matrices learn. Then both are asked for stories.
#
# **Predict before you run:** the chat model's stories have {{ length["chat"] :.0f }} characters, and those in the pairs
# {{ np.mean([len(cut.preferred) for cut in map(study.two_sentences, pairs)]) :.0f }}. How long will the stories of the two models be?


# %% key="train" tags=["timing"]
def train(way, beta):
    training = material.training(study.Run(way, study.RATE, beta, seed=0))
    losses, gained = [], [np.zeros(2)]
    while training.step < study.STEPS:
        losses.append(training.take_step())
        if training.step % 8 == 0:
            weights = training.weights(training.learned)
            gained.append(material.gained(weights, 12).mean(axis=0))
    return weights, np.array(losses), np.array(gained)


models = {"chat": chat.weights}
models["fine-tuned"], _, of_tuning = train(study.PREFERRED, 0.0)
models["DPO"], losses, of_dpo = train(study.COMPARED, study.BETA)
print("loss of DPO, every fourth step:", losses[::4].round(2))

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
# Fine-tuned on short stories the model tells short stories, of {{ length["fine-tuned"] :.0f }} characters. That was not what anybody
# had liked about them, but how should it know? The curves say the same in nats: it has lifted both answers of a pair, the
# preferred by {{ of_tuning[-1, 0] :.0f }} and the other by {{ of_tuning[-1, 1] :.0f }}, since what it learns is mostly what they share.
# DPO has moved them apart, by {{ of_dpo[-1, 0] - of_dpo[-1, 1] :.0f }} nats, and its stories have {{ length["DPO"] :.0f }} characters.
#
# That is longer, but far from the chat model's {{ length["chat"] :.0f }}. In the world of four answers shortness had a weight of its own
# and cancelled. In the doll-house nothing is kept apart so neatly: the happy sentence that DPO lifts stands, in every pair,
# right behind the first one, so there it now comes, and with it the end of the story.

# %% [markdown] key="ways-why"
# ## Step 10. What the worse answer buys
#
# One training and {{ study.REQUESTS * study.TRIES }} stories may be an accident. Other runs take longer than you would wait, so
# their table ships (`weights_tools/training/comparisons/runs.csv`, made by `python -m weights_tools.training.comparisons.study`).
# The two ways have {{ study.SEEDS }} seeds, each with another order of the pairs and other dice for the stories. Beside them
# stand the best of four stories of the chat model, a control that is fine-tuned on both answers **alike**, a lower rate, and
# the model that ships, which has learned from whole stories. Three columns are about what nobody asked for: the length, how many last
# sentences differ among {{ study.REQUESTS * study.TRIES }} stories, and the loss on held-out whole ones.
#
# **Predict before you run:** in which columns will the best of four be the best of all?

# %% key="runs"
runs = study.read_rows()
columns = {"ends_well": ".0%", "endings": ".0f", "characters": ".0f", "story_loss": ".2f"}


def of(way, name, rate=study.RATE, beta=study.BETA):
    """One number for each seed."""
    mine = [run for run in runs if run["way"] == way and run["rate"] in (0, rate)]
    return np.array([run[name] for run in mine if run["beta"] in (0, beta)])


def mean(values, form):
    return f"{values.mean():{form}}" + (f" ± {values.std():{form}}" if len(values) > 1 else "")


# %% key="ways"
from weights_tools.training.rewards.study import POINTS, read

ways = {
    "chat": (study.CHAT_ALONE, study.RATE),
    "fine-tuned on both alike": (study.BOTH, study.RATE),
    "fine-tuned on the preferred": (study.PREFERRED, study.RATE),
    "DPO": (study.COMPARED, study.RATE),
    "fine-tuned, a quarter of the rate": (study.PREFERRED, study.LOWER_RATE),
    "DPO, a quarter of the rate": (study.COMPARED, study.LOWER_RATE),
    "the model that ships": (study.CHEERFUL, study.RATE),
}
rows = [
    [name, *(mean(of(way, column, rate), form) for column, form in columns.items())]
    for name, (way, rate) in ways.items()
]
best_of_4 = mean(of(study.CHAT_ALONE, "best_of_4"), ".0%")
rows.insert(1, ["best of four of chat", best_of_4, "", "", rows[0][4]])
whole = {row["method"]: row for row in read(POINTS)}  # the last of each way: measured in lesson 19
table(["mean ± spread", "end well", "different endings", "characters", "loss on stories"], rows)

# %% [markdown] key="ways-read"
# {{ claim: of(study.COMPARED, "ends_well").min() > of(study.PREFERRED, "ends_well").max() > 0.4 }}
# {{ claim: of(study.COMPARED, "characters").min() > 1.2 * of(study.PREFERRED, "characters").max() }}
# {{ claim: of(study.PREFERRED, "story_loss").min() > of(study.COMPARED, "story_loss").max() }}
# {{ claim: of(study.BOTH, "ends_well")[0] < of(study.COMPARED, "ends_well").min() - 0.1 }}
# {{ claim: of(study.COMPARED, "story_loss", study.LOWER_RATE)[0] < of(study.PREFERRED, "story_loss", study.LOWER_RATE)[0] }}
# {{ claim: of(study.COMPARED, "characters", study.LOWER_RATE)[0] > 0.8 * of(study.CHAT_ALONE, "characters").mean() }}
# {{ claim: of(study.PREFERRED, "characters", study.LOWER_RATE)[0] < 0.65 * of(study.CHAT_ALONE, "characters").mean() }}
# Fine-tuned on the preferred answers alone, the model ends well in {{ of(study.PREFERRED, "ends_well").mean() :.0% }} of its stories,
# where the chat model does in {{ of(study.CHAT_ALONE, "ends_well").mean() :.0% }}. One *can* learn a preference without the worse answers.
# But the stories have shrunk to {{ of(study.PREFERRED, "characters").mean() :.0f }} characters, and on whole ones the loss is
# {{ of(study.PREFERRED, "story_loss").mean() - of(study.CHAT_ALONE, "story_loss").mean() :.2f }} higher. From the same pairs in the same
# steps DPO brings {{ of(study.COMPARED, "ends_well").mean() :.0% }} to a good end, leaves
# {{ of(study.COMPARED, "characters").mean() :.0f }} characters, and pays
# {{ of(study.COMPARED, "story_loss").mean() - of(study.CHAT_ALONE, "story_loss").mean() :.2f }}: more of what was meant and less of what was
# not, with every seed. Fine-tuned on both alike it is {{ of(study.BOTH, "ends_well")[0] :.0% }}, so that the gain of DPO is not in the texts,
# but in being told which is which.
#
# Is it the rate? At a quarter of it both end well in {{ of(study.PREFERRED, "ends_well", study.LOWER_RATE)[0] :.0% }} and
# {{ of(study.COMPARED, "ends_well", study.LOWER_RATE)[0] :.0% }}, and fine-tuning pays with
# {{ of(study.PREFERRED, "story_loss", study.LOWER_RATE)[0] - of(study.CHAT_ALONE, "story_loss").mean() :.3f }} nats and half of the length, DPO
# with {{ of(study.COMPARED, "story_loss", study.LOWER_RATE)[0] - of(study.CHAT_ALONE, "story_loss").mean() :.3f }} and hardly any.
#
# The best of four, {{ best_of_4 }}, is told by the chat model itself, so that no loss on stories is lower; but DPO's stories end well more often, and it costs four stories
# for each one. The stories of the model that ships are as long as ever, but only
# {{ of(study.CHEERFUL, "endings")[0] :.0f }} of their last sentences differ.
#
# **What comparisons buy here is aim.** What the rule likes was in the chat model before. Examples bring it out as well, together with
# everything else that they have. (In larger models, too, pushing down worse answers moved a model faster than imitating
# better ones, [Tajwar et al. 2024](https://arxiv.org/abs/2404.14367).) But the answers were cut short
# so that there was something to carry along. On whole stories of the model's own the bargain is another one, as
# [page 19](19_rewards.ipynb) measures with one seed each: the preferred alone bring {{ whole["preferred alone"]["mean_reward"] :.0% }} to a good end for
# {{ whole["preferred alone"]["story_loss"] - whole["chat model"]["story_loss"] :+.3f }} nats on stories, DPO {{ whole["DPO"]["mean_reward"] :.0% }} for {{ whole["DPO"]["story_loss"] - whole["chat model"]["story_loss"] :+.3f }}. There DPO goes a little further and pays three times as much. So
# the worse answer is worth most where the better one has something that nobody asked for.
# {{ claim: whole["DPO"]["mean_reward"] > whole["preferred alone"]["mean_reward"] and whole["DPO"]["story_loss"] > whole["preferred alone"]["story_loss"] }}

# %% [markdown] key="beta-why"
# ## Step 11. What beta holds
#
# In the derivation $\beta$ is the price of a nat. In the loss it says how many nats a pair has to gain before it stops
# pushing, and it also stands in front of the gradient. There it matters little in practice, because AdamW divides a gradient by
# its usual size. We leave it out there, and sweep $\beta$ in the world of four answers.
#
# **Predict before you run:** with which $\beta$ does B gain the most nats on A?

# %% key="beta"
gains = {}
for b in (0.03, 0.1, 0.5, 2.0):
    path = train_world(lambda w, p, b=b: difference / (1 + np.exp(b * (w @ difference))))
    gains[f"beta = {b}"] = np.log(path[:, B] / path[:, A]) - np.log(path[0, B] / path[0, A])
show.curves(np.arange(600), gains, ("step", "nats gained"), title="B against A")
columns |= {"preferred": ".1f", "other": ".1f"}


def gap(beta):
    return (of(study.COMPARED, "preferred", beta=beta) - of(study.COMPARED, "other", beta=beta))[0]


table(
    ["beta, seed 0", "end well", "endings", "characters", "loss on stories", "preferred", "other"],
    [
        [b, *(f"{of(study.COMPARED, n, beta=b)[0]:{form}}" for n, form in columns.items())]
        for b in sorted((study.BETA, *study.BETAS))
    ],
)

# %% [markdown] key="beta-read"
# {{ claim: gap(0.02) > gap(0.1) > gap(0.5) > 0 }}
# {{ claim: of(study.COMPARED, "story_loss", beta=0.5)[0] < of(study.PREFERRED, "story_loss").min() }}
# With the smallest: a pair has to be many nats apart before it counts as learned, so that it pushes on and on, whereas a large
# $\beta$ stops it early. In the doll-house, too. The two last columns are nats gained on held-out pairs, and at
# $\beta$ = 0.02 the preferred answer is {{ gap(0.02) :.0f }} nats ahead of the other, at 0.5 it is {{ gap(0.5) :.0f }}. With the
# distance go the gain and the price. At 0.5 as many stories end well as after fine-tuning with the same seed,
# {{ of(study.COMPARED, "ends_well", beta=0.5)[0] :.0% }}, but they have {{ of(study.COMPARED, "characters", beta=0.5)[0] :.0f }} characters, and
# the loss on whole stories is {{ of(study.COMPARED, "story_loss", beta=0.5)[0] :.2f }} instead of
# {{ of(study.PREFERRED, "story_loss")[0] :.2f }}.

# %% [markdown] key="next"
# ## In short
#
# - A preference has the probability $\sigma(r_w - r_l)$, and a model beside its frozen reference has rewards of its own:
#   $\beta$ times the nats that it has added to an answer.
# - DPO begins at $\ln 2$. It pushes the preferred answer up and the other one down, and what they have in common cancels.
# - The worse answer says what about the better one was meant. Fine-tuning on the better one alone copies everything.
# - A comparison is a direction, and has no end: the preferred answers themselves may become less likely.
#
# In PyTorch, with the log-probabilities of a batch of pairs, the loss of this page is
#
# ```python
# loss = -F.logsigmoid(beta * ((pi_w - pi_l) - (ref_w - ref_l))).mean()  # ref_w, ref_l: no gradient
# ```
#
# ## What comes next
#
# In [exercise 18](exercises/18_preferences.ipynb) you write the loss and its gradient, and find out in which half of a story DPO
# has done its work. `python -m weights_tools dpo --pairs FILE --out DIR` trains on pairs of your own. And since our rule can judge
# any story, why show pairs at all? In [lesson 19](19_rewards.ipynb) the model learns from **rewards** for its own stories, and finds
# out how a rule can be fooled.
