# %% [markdown] key="title"
# # 18 Preferences: which of two answers is better
#
# Fine-tuning shows a model one answer to each request and treats it as perfect. But what makes an answer good is
# often hard to write down, and easy to see when two answers lie side by side. A **preference** is just that: of two
# answers to one question, this one. Models such as Llama 3 *Instruct* are trained on many of them.
#
# **In** go a chat model and pairs of answers, in each of which one was preferred. **Out** comes a model that makes
# answers like the preferred ones more often, and numbers that say how far it has moved from where it began.
#
# After this lesson you can say what human feedback adds to a model. You can turn rewards into the probability of a
# preference (Bradley-Terry), and compute the loss of **DPO**, direct preference optimisation, and its gradient by
# hand. You can train with it, measure whether it worked, and look for what else it has changed. You need the loss
# (lesson 10), gradients (15), and dialogs and LoRA (17).

# %% key="setup"
import re
import textwrap

import numpy as np
from classroom import agree, numerical_gradient, show, source, table

from llama_np import forward, log_softmax
from weights_tools import load_model

chat = load_model("doll-house-chat", "float32")
config, tokenizer = chat.config, chat.tokenizer
print(f"{config.count_parameters():,} parameters, {config.n_layers} blocks")


def show_story(who, story):
    print(textwrap.fill(f"{who}: {story}", 96), end="\n\n")


# %% [markdown] key="setup-note"
# The models of this lesson are the chat model of lesson 17 and one that was trained further, whatever Llama you have
# chosen for the other lessons. They are small enough to be trained while you wait. Step 4 asks your Llama too.
#
# ## Why compare
#
# To teach by example, somebody must write the example, and the model becomes no better than the writers. To compare is
# easier: one can tell which of two stories is better without being able to write either. The authors of Llama 2 put
# it like this: not everybody is an artist, but everybody can judge art
# ([Touvron et al. 2023](https://arxiv.org/abs/2307.09288), section 5.1). For InstructGPT people were shown 4 to 9
# answers at once and put them in order, which gives many pairs; any two of them agreed on a pair in about 73 of 100
# cases ([Ouyang et al. 2022](https://arxiv.org/abs/2203.02155), sections 3.5 and 3.4).
#
# How does a model learn from that? The first recipe has the name **RLHF**, reinforcement learning from human feedback.
# From the comparisons, a second network learns to give each answer a number, its **reward**. Then the chat model writes
# answers, the second network judges them, and the chat model's weights are changed so that high rewards become
# likelier. A penalty keeps it close to the model it was at the start, the **reference**, because a reward can be trusted
# only for answers like those that people have seen. InstructGPT was made so, and Llama 2 (section 3.2: first by
# keeping the best of several answers, then with a method called PPO). Llama 3 was made with DPO, which learns from the
# pairs directly, without a network for rewards, and is the subject of this lesson ([Llama team
# 2024](https://arxiv.org/abs/2407.21783), section 4.1.4: beside PPO it took less computing and did better, above all
# at following instructions). Its authors trained a network for rewards as well, to pick the best answers for
# fine-tuning (section 4.1.3).

# %% [markdown] key="rule-why"
# ## Step 1. A person made of one line
#
# We have no people to ask. In their place stands a rule: **a story ends well if its last sentence says that somebody is
# happy, proud or glad, smiles, laughs or hugs.** That is a poor person. It does not read the story; it looks for words.
# But its taste is known exactly, so we can count how often a model meets it, before and after. With real people one
# could only ask them again. Keep in mind how simple the rule is. We come back to it in the last step.

# %% key="rule-by-hand"
happy = r"\b(happy|happily|happier|smil\w+|laugh\w+|hug\w*|proud|glad|joy\w*)\b"


def ends_well_by_hand(story):
    sentences = [s for s in re.split(r"[.!?]", story) if re.search(r"\w", s)]
    return bool(re.search(happy, sentences[-1], re.IGNORECASE))


for story in ("He fell. Mom came, and he was happy again.", "He was happy. Then he fell."):
    print(ends_well_by_hand(story), " ", story)

# %% key="rule-named"
from weights_tools.commands.make_preferences import ends_well

source(ends_well)

# %% [markdown] key="pairs-why"
# Now the pairs. The chat model was asked for stories about many heroes, four times for each. Where some of the four
# ended well and some did not, the first of either kind became a pair (`python -m weights_tools make-preferences`). So both answers
# come from the model that will be trained. It is shown what it does already, sorted. For Llama 3 it was much the same: two
# answers from the newest models, and a person who chooses (section 4.2.1). They also asked *how much* better. Our pairs do
# not say.

# %% key="pairs-agree"
from weights_tools.training.dialogs import PREFERENCES, Comparison, read_lines

pairs = list(read_lines(PREFERENCES, Comparison))
stories = [story for pair in pairs for story in (pair.preferred, pair.other)]
agree(np.array([*map(ends_well_by_hand, stories)]), np.array([*map(ends_well, stories)]))
agree(np.array([*map(ends_well, stories)]), np.tile([True, False], len(pairs)))
length = np.array([len(story) for story in stories]).reshape(-1, 2).mean(axis=0)
print(
    f"{len(pairs)} pairs; mean length: preferred {length[0]:.0f} characters, other {length[1]:.0f}"
)

# %% [markdown] key="pairs-shown-note"
# One of them, the shortest. Look at the last sentences.

# %% key="pairs-shown"
shown = min(pairs, key=lambda pair: len(pair.preferred) + len(pair.other))
print(shown.question)
table(["preferred", "other"], [[text.replace("\n", " ") for text in shown[1:]]])

# %% [markdown] key="pairs-shown-read"
# The rule does not mind that next to nothing happens in the preferred story, nor that neither story has the hero who was
# asked for ([lesson 17](17_fine_tuning.ipynb) has said why): *happy* stands in the last sentence.
# {{ claim: re.search(r"named (\w+)", shown.question)[1] not in shown.preferred + shown.other }}

# %% [markdown] key="bt-why"
# ## Step 2. Bradley-Terry: from rewards to a preference
#
# People do not always agree, and the same person may choose differently on another day. So a preference is a matter of
# probability. The usual model is from 1952
# ([Bradley and Terry](https://doi.org/10.2307/2334029)). Each answer $y$ has a reward $r$, a number that may be large or
# small, positive or negative. The likelier winner is the one with the larger reward:
#
# $$P(y_w \text{ is preferred to } y_l) = \frac{e^{r_w}}{e^{r_w} + e^{r_l}} = \frac{1}{1 + e^{-(r_w - r_l)}}
#   = \sigma(r_w - r_l)$$
#
# The letters stand for *winner* and *loser*. In the middle you see the softmax of two numbers, at the end the sigmoid
# of lesson 08. By hand, for five pairs of rewards:

# %% key="bt-by-hand"
r_w, r_l = np.array([1.0, 2.0, 1.0, 0.0, 101.0]), np.array([1.0, 1.0, 2.0, 4.0, 100.0])
p_by_hand = np.exp(r_w) / (np.exp(r_w) + np.exp(r_l))
for w, other, p in zip(r_w, r_l, p_by_hand):
    print(f"rewards {w:5.1f} and {other:5.1f}   difference {w - other:4.1f}   probability {p:.3f}")

# %% key="bt-named"
from llama_np import sigmoid

source(sigmoid)

# %% key="bt-agree"
agree(p_by_hand, sigmoid(r_w - r_l))
margins = np.linspace(-6, 6, 49)
show.curves(
    margins,
    {"": sigmoid(margins)},
    ("margin: reward of one answer minus reward of the other", "probability"),
    title="how likely the first answer is preferred",
)

# %% [markdown] key="bt-note"
# Only the difference counts; it is called the **margin**. Compare the second and the last line above. So rewards have no
# zero point. One may add the same number to the rewards of all answers to a question, and no preference changes. That
# will be useful in a moment. (The code writes the sigmoid with `tanh`, which is the same curve:
# $\sigma(x) = \frac{1}{2}(1 + \tanh\frac{x}{2})$, and cannot overflow.)

# %% [markdown] key="tilt-why"
# ## Step 3. The reward that a model already has
#
# Suppose we knew the rewards. What should the model become? RLHF asks for two things at once: high reward, and little
# distance from the reference. With $\beta$ for the weight of the second, the best possible model can be written down
# ([Rafailov et al. 2023](https://arxiv.org/abs/2305.18290), equations 3 and 4). Take the reference's probability of each
# answer, multiply it by $e^{r / \beta}$, and divide by the sum $Z$, so that all probabilities sum to one:
#
# $$\pi(y) = \frac{1}{Z}\, \pi_\mathrm{ref}(y)\, e^{r(y) / \beta}$$
#
# Here $\pi$ is the model, as a probability for each whole answer. By hand, in a world with four answers:

# %% key="tilt-by-hand"
of_reference = np.array([0.5, 0.3, 0.15, 0.05])
r = np.array([0.0, 1.0, 0.0, 2.0])
answers_ABCD = ["A, r = 0", "B, r = 1", "C, r = 0", "D, r = 2"]
tilted = {"reference": of_reference}
for beta in (3.0, 1.0, 0.3):
    weighted = of_reference * np.exp(r / beta)
    tilted[f"beta = {beta}"] = weighted / weighted.sum()
show.bar_panels(tilted, answers_ABCD, "probability")

# %% [markdown] key="tilt-note"
# A large $\beta$ holds the model to the reference. With a small one the reward decides, and nearly everything goes to the
# best answer, however rare it was. Answers A and C have the same reward and keep their proportion at every $\beta$.
#
# Now read the formula backwards. **Given** the two models, what was the reward? Take the logarithm:
#
# $$r(y) = \beta \ln \frac{\pi(y)}{\pi_\mathrm{ref}(y)} + \beta \ln Z$$
#
# The last term is the same for all answers, and we have seen that such a term changes no preference. So it can be left
# out, and what remains can be computed from two language models. That is the idea of DPO: no second network has to learn
# the reward. Every model, beside a reference, *is* one.

# %% key="tilt-agree"
beta = 0.3
of_model = tilted[f"beta = {beta}"]
r_again = beta * np.log(of_model / of_reference)
print("rewards       ", r)
print("read backwards", r_again.round(3), " lower by the same number everywhere")
agree(r_again - r_again[0], r - r[0])

# %% [markdown] key="logp-why"
# ## Step 4. How likely a whole answer is
#
# For real answers we need $\ln \pi(y)$. An answer is written token by token, so its probability is a product: the first
# token's, times the second's given the first, and so on to `<|eot_id|>`. The logarithm of a product is a sum:
#
# $$\ln \pi(y \mid x) = \sum_t \ln p(y_t \mid x, y_{<t})$$
#
# $x$ is the question. It was given, so its own tokens do not count. As in lesson 17, `pad` makes one batch of both
# answers, with targets that are `IGNORE` outside of them. By hand, with the softmax written out:

# %% key="logp-by-hand"
from llama_np.training.loss import IGNORE
from weights_tools.commands.dpo import encode_pairs
from weights_tools.training.stages import pad

(example,) = encode_pairs(tokenizer, [shown], config)
ids, targets = pad(example)  # both answers: B T
logits = forward(chat.weights, config, ids)  # B T V
log_rows = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
per_token = [row[t != IGNORE, t[t != IGNORE]] for row, t in zip(log_rows, targets)]
log_p_by_hand = np.array([each.sum() for each in per_token])
for name, each in zip(("preferred", "other"), per_token):
    print(f"{name:9} {len(each):3} tokens, {each.sum():7.1f} nats, {each.mean():.2f} a token")

# %% key="logp-drawn"
n = 24
answer = example[0].ids[example[0].given :]
show.bars(
    per_token[0][:n],
    [tokenizer.token(t) for t in answer[:n]],
    "log-probability in nats",
    title=f"the first {n} tokens of the preferred answer",
)

# %% key="logp-named"
from llama_np.training.preference import answer_log_probability

source(answer_log_probability)

# %% key="logp-agree"
agree(log_p_by_hand, answer_log_probability(logits, targets))

# %% [markdown] key="logp-note"
# A bar near zero is a token the model was sure of. The whole sum is far below zero: any one long text is very unlikely,
# even a good one, and a longer text is as a rule less likely than a shorter one. So this number alone is no grade. But
# compared with *another model's number for the same text*, it says something: the length is the same for both.
#
# Here is the same pair, judged by several models. (If you have chosen a Llama with the special tokens of a chat, it is
# asked as well.)

# %% key="logp-models"
models = {"doll-house": load_model("doll-house", "float32"), "doll-house-chat": chat}
yours = load_model()
special = () if yours.tokenizer is None else yours.tokenizer.special_tokens
if "<|eot_id|>" in special and yours.path not in [each.path for each in models.values()]:
    models[yours.path.name] = yours
rows = []
for name, each in models.items():
    its_ids, its_targets = pad(encode_pairs(each.tokenizer, [shown], each.config)[0])
    found = answer_log_probability(forward(each.weights, each.config, its_ids), its_targets)
    rows.append([name, *(f"{value:.1f}" for value in found)])
table(["nats", "preferred", "other"], rows)

# %% [markdown] key="judged-note"
# The chat model, which told both, finds both likelier than the base model does, by {{ float(rows[1][1]) - float(rows[0][1]) :.0f}} and {{ float(rows[1][2]) - float(rows[0][2]) :.0f}} nats. Such differences
# are the rewards of step 3, but for $\beta$.
# {{ claim: float(rows[1][1]) > float(rows[0][1]) and float(rows[1][2]) > float(rows[0][2]) }}

# %% [markdown] key="rewards-why"
# ## Step 5. Rewards of real answers
#
# Now everything is there. The model is `doll-house-cheerful`, which ships with this course: the chat model after DPO on
# these pairs (step 10 shows its log). The reference is the chat model itself. And the pairs are the last ones of the file,
# which were held out of its training. Their rewards, with $\beta = 0.1$, the number that Llama 3 was trained with too:

# %% key="rewards-by-hand"
cheerful = load_model("doll-house-cheerful", "float32")
beta, few = 0.1, encode_pairs(tokenizer, pairs[-6:], config)
ids, targets = pad([answer for pair in few for answer in pair])  # preferred, other, preferred, ...


def judge(w):
    return answer_log_probability(forward(w, config, ids), targets).reshape(-1, 2).astype(float)


log_p, reference = judge(cheerful.weights), judge(chat.weights)  # pairs, 2
rewards_by_hand = beta * (log_p - reference)
print("log_p", log_p.shape, "reference", reference.shape)
print(rewards_by_hand.round(2))

# %% key="rewards-named"
from llama_np.training.preference import dpo_rewards

source(dpo_rewards)

# %% key="rewards-agree"
agree(rewards_by_hand, dpo_rewards(log_p, reference, beta))
labels = [f"pair {n}, {which}" for n in range(3) for which in ("preferred", "other")]
values = rewards_by_hand[:3].ravel()
show.bars(
    values, labels, "reward = beta * (nats gained against the reference)", title="three pairs"
)

# %% [markdown] key="rewards-note"
# A reward above zero says: this model finds the answer likelier than the reference does. Below zero: less likely. In these
# pairs **both** answers are below zero. Bradley-Terry looks only at the difference, and so will the loss. We come back
# to this in step 9.
# {{ claim: (rewards_by_hand < 0).all() }}

# %% [markdown] key="loss-why"
# ## Step 6. The loss
#
# The model has said, through its rewards, how likely each preference is. The loss is the surprise at what was really
# preferred, as in all training: the mean of $-\ln P$ (equation 7 of the paper).
#
# $$L = -\frac{1}{n} \sum \ln \sigma(m) \qquad\qquad
#   m = \beta \left( \ln \frac{\pi(y_w)}{\pi_\mathrm{ref}(y_w)} - \ln \frac{\pi(y_l)}{\pi_\mathrm{ref}(y_l)} \right)$$

# %% key="loss-by-hand"
margin = rewards_by_hand[:, 0] - rewards_by_hand[:, 1]
p = 1 / (1 + np.exp(-margin))
loss_by_hand = -np.log(p).mean()
print("margins      ", margin.round(2))
print("probabilities", p.round(2))
print(f"loss {loss_by_hand:.4f} nats")

# %% key="loss-named"
from llama_np.training.preference import dpo_loss

source(dpo_loss)

# %% key="loss-agree"
agree(np.array(loss_by_hand), np.array(dpo_loss(log_p, reference, beta)))

# %% [markdown] key="start-why"
# (`bradley_terry_loss` takes the mean of `logaddexp(0, -m)`, which is $\ln(1 + e^{-m}) = -\ln \sigma(m)$ without overflow.)
#
# **Predict before you run:** what is the loss at the very start of training, when the model is still the reference
# itself? Does it depend on $\beta$, or on the pairs?

# %% key="start"
for b in (0.01, 0.1, 1.0):
    print(f"beta {b}: loss {dpo_loss(reference, reference, b):.6f}")
print(f"ln 2:     loss {np.log(2):.6f}")

# %% [markdown] key="start-answer"
# <details><summary>Answer</summary>
#
# All rewards are zero, so all margins are, and every preference has probability one half: a coin. The surprise at a coin is
# $\ln 2$, whatever $\beta$ and the pairs are. A run that starts at another number has a fault: most often the reference is
# another model, or other tokens were counted.
#
# </details>

# %% [markdown] key="gradient-why"
# ## Step 7. The gradient
#
# How does the loss change with $\ln \pi(y_w)$ and $\ln \pi(y_l)$? The slope of $-\ln \sigma(m)$ is $-\sigma(-m)$, and $m$
# has $\beta$ in front. So for each of the $n$ pairs
#
# $$\frac{\partial L}{\partial \ln \pi(y_w)} = -\frac{\beta}{n}\, \sigma(-m) \qquad\qquad
#   \frac{\partial L}{\partial \ln \pi(y_l)} = +\frac{\beta}{n}\, \sigma(-m)$$
#
# Training goes against the gradient: the preferred answer is pushed up and the other one down, equally hard. The factor
# $\sigma(-m)$ is the probability that the model would choose **wrongly**. Where it is right already, hardly anything
# happens.

# %% key="gradient-by-hand"
wrong = 1 / (1 + np.exp(margin))
push = beta * wrong / len(margin)
d_log_p = np.stack([-push, push], axis=-1)
print("d_log_p", d_log_p.shape)
show.matrix(
    d_log_p.T,
    ("", "pair"),
    rows=["preferred", "other"],
    columns=[f"margin {m:.2f}" for m in margin],
    title="gradient of the loss for each log-probability",
)

# %% key="gradient-named"
from llama_np.training.preference import dpo_loss_backward

source(dpo_loss_backward)

# %% key="gradient-agree"
agree(d_log_p, dpo_loss_backward(log_p, reference, beta), tolerance=1e-12)
entries = [*np.ndindex(log_p.shape)]
by_trying = numerical_gradient(lambda x: dpo_loss(x, reference, beta), log_p, entries)
agree(by_trying.reshape(log_p.shape), d_log_p, tolerance=1e-6)

# %% [markdown] key="torch-why"
# ### The same in PyTorch
#
# Three pairs of plain numbers, in float64. `loss_by_torch` and `gradient_by_torch` are PyTorch's; where it is installed, the
# cell asks it again.

# %% key="torch"
loss_by_torch = 0.8182352739946368
gradient_by_torch = [
    [-0.014185249439611367, 0.014185249439611367],
    [-0.0133770779962516, 0.0133770779962516],
    [-0.02500867018650392, 0.02500867018650392],
]
plain = np.array([[-110.0, -108.0], [-95.0, -99.5], [-130.0, -120.0]])
plain_reference = np.array([[-112.0, -107.0], [-96.0, -96.5], [-125.0, -126.0]])
agree(np.array(dpo_loss(plain, plain_reference, 0.1)), np.array(loss_by_torch), tolerance=1e-12)
ours = dpo_loss_backward(plain, plain_reference, 0.1)
agree(ours, np.array(gradient_by_torch), tolerance=1e-12)

try:
    import torch
except ImportError:
    torch = None
if torch:
    x = torch.tensor(plain, requires_grad=True)
    moved = x - torch.tensor(plain_reference)
    theirs = -torch.nn.functional.logsigmoid(0.1 * (moved[:, 0] - moved[:, 1])).mean()
    theirs.backward()
    assert np.allclose(theirs.item(), loss_by_torch, rtol=1e-12)
    assert np.allclose(x.grad.tolist(), gradient_by_torch, rtol=1e-12)

# %% [markdown] key="beta-why"
# ### What beta does
#
# Across: how many nats the preferred answer has gained on the other one, against the reference. Up: how hard the pair
# still pushes, of all that it pushed at the start.
#
# **Predict before you run:** with which $\beta$ does a pair stop pushing first? Which model will end up farther from the
# reference?

# %% key="beta"
gained = np.linspace(-20, 60, 81)
show.curves(
    gained,
    {f"beta = {b}": sigmoid(-b * gained) / 0.5 for b in (0.03, 0.1, 0.5)},
    ("nats gained against the reference, preferred minus other", "push, of that at the start"),
    title="how a pair loses its force",
)

# %% [markdown] key="beta-answer"
# <details><summary>Answer</summary>
#
# The largest $\beta$ stops first: a few nats are a large margin already. The smallest one pushes on and on, since it takes
# many nats to make a margin. (To the left of zero the preferred answer has lost ground. There a pair pushes harder than at
# the start, up to twice as hard.) So a small $\beta$ lets the model go far, as in the four answers of step 3, and a large
# one keeps it near the reference.
#
# </details>

# %% [markdown] key="logits-why"
# ## Step 8. Back to the logits
#
# From $\ln \pi$ of an answer the gradient goes on to the logits of each of its tokens. A log-probability is a logit minus
# the logarithm of a sum, so its slope is 1 for the token that was chosen, minus the softmax (lesson 15). For one pair:

# %% key="logits-by-hand"
ids, targets = pad(few[0])
logits = forward(cheerful.weights, config, ids).astype(np.float64)  # 2 T V
counts = targets != IGNORE
powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
d_log_rows = -powers / powers.sum(axis=-1, keepdims=True)
d_log_rows[counts, targets[counts]] += 1
d_one = dpo_loss_backward(log_p[:1], reference[:1], beta)[0]  # for the two answers
d_logits = d_one[:, None, None] * d_log_rows * counts[..., None]  # 2 T V
print("d_logits", d_logits.shape)

# %% key="logits-named"
from llama_np.training.preference import answer_log_probability_backward

source(answer_log_probability_backward)

# %% [markdown] key="stage-note"
# In the project's tools both steps stand together. This one function is all that DPO adds to the training of lesson 17:

# %% key="stage-named"
from weights_tools.training.stages import dpo_loss_with_gradient

source(dpo_loss_with_gradient)

# %% key="logits-agree"
agree(d_logits, answer_log_probability_backward(d_one, logits, targets), tolerance=1e-12)
_, named = dpo_loss_with_gradient(logits, targets, reference[:1], beta)
agree(d_logits, named, tolerance=1e-6)


def loss_of(logits):
    return dpo_loss_with_gradient(logits, targets, reference[:1], beta)[0]


t = int(np.argmax(targets[0] != targets[1]))  # where the two answers part
entries = [(0, t, targets[0, t]), (0, t, targets[1, t]), (1, t, targets[1, t]), (1, 0, 0)]
by_trying = numerical_gradient(loss_of, logits, entries, step=1e-3)
agree(by_trying / beta, np.array([named[e] for e in entries]) / beta, tolerance=1e-6)

# %% [markdown] key="train-why"
# ## Step 9. Training, while you wait
#
# The trainer is that of lesson 17. Only the LoRA matrices learn, beginning with those of the chat model. To keep it short,
# each story is cut to its first and its last sentence. The rule looks at nothing else than the last one, so the
# preferences stay the same. The last pairs are held out again.

# %% key="short"
from weights_tools.commands.dpo import with_reference


def shorten(story):
    sentences = re.split(r"(?<=[.!?\"])\s+", story.strip())
    return f"{sentences[0]} {sentences[-1]}"


short = [Comparison(p.question, shorten(p.preferred), shorten(p.other)) for p in pairs[-190:]]
assert all(ends_well(p.preferred) and not ends_well(p.other) for p in short)
with_log_p = with_reference(chat.weights, config, encode_pairs(tokenizer, short, config))
learn, held_out = with_log_p[:-30], with_log_p[-30:]
print(f"{len(learn)} pairs to learn from, {len(held_out)} held out; the first:")
print(*(f"{nats:.1f}" for nats in learn[0].reference), "nats, says the reference")
table(["preferred", "other"], [short[0][1:]])

# %% [markdown] key="watch-why"
# What to watch? The loss, on the pairs that are learned from. On the held-out pairs: the change of each log-probability
# against the reference, for the preferred and the other answers, and the **distance** from the reference. For the last
# there is a usual measure, the **KL divergence**. Let $p$ be the model's probabilities of the next token at a position, and
# $q$ those of the reference:
#
# $$\mathrm{KL} = \sum_v p_v \ln \frac{p_v}{q_v}$$
#
# In words: by how many nats, on average, the model finds its own choice likelier than the reference finds it. It is 0
# only if both are the same. We take the mean over the tokens of the held-out answers.

# %% key="watch"
held_ids, held_targets = pad([answer for pair in held_out for answer in pair[:2]])
held_reference = np.array([pair.reference for pair in held_out])
held_counts = held_targets != IGNORE
q = log_softmax(forward(chat.weights, config, held_ids))[held_counts]


def watch(w):
    logits = forward(w, config, held_ids)
    moved = answer_log_probability(logits, held_targets).reshape(-1, 2) - held_reference
    p = log_softmax(logits)[held_counts]
    kl = (np.exp(p) * (p - q)).sum(axis=-1).mean()
    return *moved.mean(axis=0), (moved[:, 0] > moved[:, 1]).mean(), kl


preferred, other, _, kl = watch(chat.weights)
print(f"at the start: preferred {preferred:.3f}, other {other:.3f}, KL {kl:.3f}")

# %% key="train" tags=["timing"]
from weights_tools.commands.dpo import base_and_lora
from weights_tools.training.stages import Preference, Preferences
from weights_tools.training.trainer import Hyperparameters, Training

base, lora = base_and_lora("doll-house-chat", chat, rank=8, seed=0)
recipe = Hyperparameters(
    steps=32, peak_rate=5e-4, warm_up=5, weight_decay=0.0, dropout=0.0, ema_decay=0.0
)


def begin(pairs, n=8):
    stage = Preferences(pairs, n, beta, 0, config.vocab_size, config.context_length)
    return Training(config, recipe, stage, base.weights, lora)


def run(training, steps=recipe.steps):
    losses, seen = [], {0: watch(chat.weights)}
    while training.step < steps:
        losses.append(training.take_step())
        if training.step % 8 == 0:
            seen[training.step] = watch(training.weights(training.learned))
    return np.array(losses), np.array([*seen]), np.array([*seen.values()]).T


training = begin(learn)
losses, at, (preferred, other, agreement, kl) = run(training)
tuned = training.weights(training.learned)
show.curves(
    np.arange(1, len(losses) + 1),
    {"loss": losses, "ln 2: a coin": np.full(len(losses), np.log(2))},
    ("step", "loss, nats"),
    title="learning pairs",
)

# %% key="train-held-out" tags=["timing"]
show.curves(
    at,
    {"preferred": preferred, "other": other, "difference": preferred - other},
    ("step", "nats gained"),
    title="held-out answers: log-probability against the reference",
)
print(f"held-out pairs in which the preferred answer has gained more: {agreement[-1]:.0%}")

# %% key="train-distance" tags=["timing"]
show.curves(at, {"": kl}, ("step", "KL, nats per token"), title="distance from the reference")

# %% [markdown] key="train-note"
# The loss begins at $\ln 2$ and falls. The other answers become less likely, as they should. What the preferred ones do is
# less simple. Here their endings become likelier, as one would wish. But nothing in the loss asks for that: it is content when
# the other answers fall **faster**. How is it with whole stories, for the model that ships? On pairs that were held
# out of its run:

# %% key="fall"
from weights_tools.training.corpus import hold_out

whole = encode_pairs(tokenizer, hold_out(pairs, 0.1).held_out[:20], config)
before, after = (
    np.mean([pair.reference for pair in with_reference(each.weights, config, whole)], axis=0)
    for each in (chat, cheerful)
)
rows = {"before": before, "after": after, "gained": after - before}
table(
    [f"nats, mean of {len(whole)} pairs", "preferred", "other"],
    [[name, *(f"{x:.1f}" for x in row)] for name, row in rows.items()],
)

# %% [markdown] key="fall-note"
# The other answers have lost more, as they should. But **the preferred answers have become less likely too**. That is a surprise
# at first, and it is well known: the loss allows it, as long as the difference grows
# ([Pal et al. 2024](https://arxiv.org/abs/2402.13228)). A likely reason: both stories of a pair use the same phrases, and
# what pushes at the one also pushes at the other. The probability that both have lost goes to texts that are in no pair.
# That need not be bad, but somebody should look at those texts (steps 11 and 12). Llama 3 adds
# the ordinary loss on the preferred answers, with weight 0.2, to keep their log-probability from falling
# (section 4.1.4).

# %% [markdown] key="wrong-sign-why"
# ### Try it: the margin with the wrong sign
#
# It is easily done: preferred and other swapped somewhere between file and loss. **Predict before you run:** what will the
# curve of the training loss look like? How would one notice?

# %% key="wrong-sign" tags=["timing"]
swapped = [Preference(p.other, p.preferred, p.reference[::-1]) for p in learn]
wrong_losses, _, (preferred, other, agreement, _) = run(begin(swapped), steps=8)
print("loss, right:  ", losses[[0, 3, 7]].round(3))
print("loss, swapped:", wrong_losses[[0, 3, 7]].round(3))
print(f"held-out answers, swapped: preferred {preferred[-1]:+.1f} nats, other {other[-1]:+.1f}")
print(f"held-out pairs in which the preferred answer has gained more: {agreement[-1]:.0%}")

# %% [markdown] key="wrong-sign-answer"
# <details><summary>Answer</summary>
#
# The loss falls as nicely as before. The model learns what it is shown: to prefer the unhappy endings. No training curve can
# tell, because the fault is in the data and not in the learning. Pairs held out *from the same swapped data* would not tell
# either. Here it shows because the held-out pairs are the right way round. In a real project it shows when somebody reads what
# the model writes.
#
# </details>

# %% [markdown] key="wrong-question-why"
# ### Try it: count the question's tokens too
#
# In lesson 17 it was a fault to let the question count. **Predict before you run:** we sum the log-probabilities of
# all tokens, question and headers included. What happens to the rewards? To the margins? To the loss?

# %% key="wrong-question"
flat = [answer for pair in few[:3] for answer in pair]
ids, targets = pad(flat)
everything = np.full(targets.shape, IGNORE)
for row, answer in enumerate(flat):
    everything[row, : len(answer.ids) - 1] = answer.ids[1:]
new, old = (forward(each.weights, config, ids) for each in (cheerful, chat))
margins = {}
for name, t in {"answer only": targets, "all tokens": everything}.items():
    log_ps = [answer_log_probability(each, t).reshape(-1, 2) for each in (new, old)]
    rewards = dpo_rewards(*log_ps, beta)
    margins[name] = rewards[:, 0] - rewards[:, 1]
    print(f"{name}: rewards of pair 0 {rewards[0].round(3)}, its margin {margins[name][0]:.3f}")
agree(margins["all tokens"], margins["answer only"], tolerance=1e-4)

# %% [markdown] key="wrong-question-answer"
# <details><summary>Answer</summary>
#
# The rewards change, the margins do not, and so the loss does not either. Both answers follow the same question, and what
# they share cancels in the difference. (The same holds for the first words of two stories, as long as they are the same.) So
# this fault does no harm to plain DPO, and that is why it can stay in a program for long. It does harm where something else
# than the difference is used: in the curves of the rewards that one watches; if one divides by the number of tokens; or in
# the ordinary loss that Llama 3 adds. Llama 3 leaves out even more: the tokens of headers and of the end of the turn, which
# are in both answers; with them a model may stop abruptly or repeat itself, they write (section 4.1.4). The end of
# the turn follows two different texts, so it does not cancel.
#
# </details>

# %% [markdown] key="log-why"
# ## Step 10. The model that ships
#
# `doll-house-cheerful` was made with the same code from whole stories: `python -m weights_tools dpo --out DIR`. Its log,
# with the loss and the share of held-out pairs in which the preferred answer has gained more than the other one:

# %% key="log"
import csv

with (cheerful.path / "training" / "log.csv").open(newline="", encoding="utf-8") as file:
    log = list(csv.DictReader(file))
columns = {"training loss": "train_loss", "held-out agreement": "held_out_agreement"}
show.curves(
    np.array([int(row["step"]) for row in log]),
    {title: np.array([float(row[name]) for row in log]) for title, name in columns.items()},
    ("step", ""),
    title=f"{int(log[-1]['pairs']):,} pairs, in {float(log[-1]['epoch']):.1f} passes over the data",
)
table(["step", *columns], [[row["step"], *(row[name] for name in columns.values())] for row in log])

# %% [markdown] key="log-note"
# The loss starts near $\ln 2$, which is a coin, and the agreement would be about one half by chance. The loss goes on
# falling when the agreement has nearly stopped rising: in a whole story most tokens have nothing to do with the
# preference, and a few hundred pairs can be learned by heart, story by story (lesson 16, over-fitting). Does what was
# learned show in what the model writes?

# %% [markdown] key="rate-why"
# ## Step 11. Before and after
#
# Three models: the chat model, yours from step 9, and the one that ships. Each gets the same 64 requests, for heroes drawn at
# random, at temperature 0.8. Then we count, with the rule, and with whole stories for all three.

# %% key="rate" tags=["timing"]
from weights_tools.commands.make_preferences import answers, draw_requests
from weights_tools.workers import each as on_all_cores

three = {"chat": chat, "yours": chat._replace(weights=tuned), "cheerful": cheerful}
requests = draw_requests(np.random.default_rng(7), 64)
told = on_all_cores(
    lambda model: answers(model, requests, np.random.default_rng(1)), three.values()
)
told = {name: [story or "" for story in stories] for name, stories in zip(three, told)}
shares = np.array([np.mean([ends_well(story) for story in stories]) for stories in told.values()])
show.bars(shares, list(told), "share of stories that end well", lit=0)

# %% [markdown] key="error-why"
# How sure is such a number? Ask again, and other dice give another share. A share $p$ of $n$ answers has a **standard error**
# of $\sqrt{p (1 - p) / n}$: two such shares differ by chance alone by about one and a half times as much. A difference that is
# several times as large is hardly an accident. (Near 0 or 1, as for the last model, the formula is too sure of itself.)

# %% key="error" tags=["timing"]
errors = np.sqrt(shares * (1 - shares) / len(requests))
rows = [[name, f"{p:.0%}", f"{e:.0%}"] for name, p, e in zip(told, shares, errors)]
table([f"of {len(requests)} stories", "end well", "standard error"], rows)

# %% key="samples" tags=["timing"]
print(requests[0], end="\n\n")
for name, stories in told.items():
    show_story(name, stories[0])

# %% [markdown] key="else-why"
# ## Step 12. What else has changed
#
# We asked for happy endings. But a model is one thing, and no step of training changes an ending only. So we count other
# things in the same stories: how long they are; how many say a whole sentence twice; how many keep their hero to the end; how
# many *different* last sentences there are; and how often they use one of the rule's words anywhere.
#
# **Predict before you run:** which of these will have changed?

# %% key="else" tags=["timing"]
from weights_tools.commands.make_stories import keeps_hero, repeats_itself


def last_sentence(story):
    return ([""] + re.findall(r"[^.!?]*\w[^.!?]*", story))[-1].strip('" \n')


def happy_words(story):
    return len(re.findall(happy, story, re.IGNORECASE)) / max(1, len(story.split()))


rows = []
for name, stories in told.items():
    n = len(stories)
    rows.append(
        [
            name,
            f"{np.mean([len(story) for story in stories]):.0f}",
            f"{sum(map(repeats_itself, stories)) / n:.0%}",
            f"{sum(map(keeps_hero, stories)) / n:.0%}",
            len({last_sentence(story) for story in stories}),
            f"{100 * np.mean([happy_words(story) for story in stories]):.1f}",
        ]
    )
header = ["characters", "repeat a sentence", "keep the hero", "different endings"]
table(["", *header, "happy words in 100"], rows)

# %% [markdown] key="else-answer"
# <details><summary>Answer</summary>
#
# In the run that is stored here, repetition and hero have changed little, for so few stories: mind the standard errors.
# Yours tells shorter stories, since it was shown none of more than two sentences: {{ rows[1][1] }} characters in place of {{ rows[0][1] }}. Both
# trained models use happy words more often, and not in the last sentence only. And the model that ships
# has few different endings left. It has found some that fit every story.
# {{ claim: float(rows[1][1]) < 0.9 * float(rows[0][1]) and int(rows[2][4]) < int(rows[0][4]) / 2 }}
# {{ claim: min(float(rows[1][5]), float(rows[2][5])) > 2 * float(rows[0][5]) }}
#
# </details>

# %% [markdown] key="distance-why"
# And the distance: on the stories that each model has told itself, the mean KL divergence from the chat model, per token
# and for a whole story.

# %% key="distance" tags=["timing"]
from weights_tools.training.dialogs import Dialog, encode


def distance(w, stories):
    ids, targets = pad([encode(tokenizer, Dialog(*each)) for each in zip(requests, stories)])
    counts = targets != IGNORE
    p, q = (log_softmax(forward(each, config, ids))[counts] for each in (w, chat.weights))
    kl = (np.exp(p) * (p - q)).sum(axis=-1)
    return kl.mean(), kl.sum() / len(stories)


found = {name: distance(three[name].weights, told[name][:8]) for name in list(told)[1:]}
rows = [[name, f"{token:.3f}", f"{story:.1f}"] for name, (token, story) in found.items()]
table(["KL from the chat model, nats", "per token", "per story"], rows)

# %% [markdown] key="goodhart-why"
# ### The rule can be fooled
#
# The model was not rewarded for good stories. It was rewarded for what the rule calls good. *When a measure becomes a target,
# it ceases to be a good measure*: this is known as **Goodhart's law**, and with a learned reward it has been measured how
# the true quality first rises with the reward and then falls
# ([Gao et al. 2022](https://arxiv.org/abs/2210.10760)). Three stories that our rule likes, and one that it does not:

# %% key="goodhart"
for story in (
    "Tom lost his dog. He was not happy.",
    "Happy happy happy.",
    "The wolf ate them all. He smiled.",
    "Tom found his dog. They played together until it was dark.",
):
    print(f"{ends_well(story)!s:5}  {story}")
unhappy = [p for p in pairs if re.search(r"\bnot (\w+ )?happy\b", last_sentence(p.preferred))]
print(f"\n{len(unhappy)} of {len(pairs)} preferred stories end with words such as 'not happy'")

# %% [markdown] key="goodhart-endings-note"
# The first kind was among the pairs from the beginning: such endings were *preferred*.
# And how do the trained models please the rule? Here are their most frequent last sentences.

# %% key="goodhart-endings" tags=["timing"]
from collections import Counter

for name, stories in told.items():
    print(f"{name}: {len(set(map(last_sentence, stories)))} different last sentences")
    for sentence, n in Counter(map(last_sentence, stories)).most_common(3):
        print(f"    {n:2} times: {sentence}.")

# %% [markdown] key="goodhart-samples-note"
# And two stories that end well by the rule: of yours the one with the largest share of happy words, of the model that ships
# the one with the most sad words.

# %% key="goodhart-samples" tags=["timing"]
liked = {name: [story for story in stories if ends_well(story)] for name, stories in told.items()}
happiest = max(liked["yours"], key=happy_words)
saddest = max(
    liked["cheerful"], key=lambda s: len(re.findall(r"\b(?:sad|cr(?:y|ied)|not happy)\b", s))
)
show_story("yours", happiest)
show_story("cheerful", saddest)

# %% [markdown] key="goodhart-note"
# Read them as a person. Would you have preferred them? In the model that ships, a few endings that fit everywhere do the work. In our small world
# the remedy is a better rule, and then the model will find the next gap. With people in the place of the rule it is the same on a larger scale. Rewards that were
# learned from people like long answers, and much of what models gained by them was found to be length
# ([Singhal et al. 2023](https://arxiv.org/abs/2310.03716)). So one keeps the distance small ($\beta$, few steps), collects
# new comparisons of what the new model writes (Llama 3: six rounds, section 4.1.6), and reads.

# %% [markdown] key="seen"
# ## What you have seen
#
# | | shape | |
# |---|---|---|
# | ids, targets | `2B T` | preferred, other, preferred, ...; `IGNORE` outside the answers |
# | log_p, reference | `B 2` | log-probability of each whole answer, under the model and under the reference |
# | rewards | `B 2` | beta times their difference |
# | margin | `B` | preferred minus other; its sigmoid is the probability of the preference |
# | loss | one number | mean surprise; ln 2 at the start |
# | d_log_p | `B 2` | equally hard up and down, times the probability of being wrong |

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>Two answers have the rewards 3 and 1, two others -5 and -7. Which preference is surer?</summary>
#
# They are equally sure: σ(2), about 0.88. Only the difference counts.
#
# </details>
#
# <details><summary>The training loss of a DPO run falls from 0.69 to 0.1. Is the model better?</summary>
#
# It tells the training pairs apart. It may have learned them by heart, or learned something that goes along with the preference,
# such as the length. Look at held-out pairs, count on new answers, and read some.
#
# </details>
#
# <details><summary>Why does DPO need the reference, and not only the two log-probabilities of the model?</summary>
#
# Without it a pair would count as learned as soon as the preferred answer is the likelier one. But a longer answer, or one with
# rare words, is less likely in any model, good or not. The reference takes that out: what counts is how the model has
# <em>moved</em>. It also holds the model: the farther it has moved on a pair, the less the pair pushes.
#
# </details>
#
# <details><summary>Whose preferences has Llama 3 learned?</summary>
#
# Those of the people who were asked, following written guidelines, on the questions that were chosen. Nothing in the
# mathematics says that they are yours.
#
# </details>

# %% [markdown] key="course"
# ## The whole way
#
# With this the course ends. What was a black box in lesson 00, and what you have taken it apart into:
#
# | lessons | the question | what you have computed by hand |
# |---|---|---|
# | 00 | How does a text become a next word? | one block, matrix by matrix |
# | 01, 02 | What does a model read? | bytes merged to tokens, tokens looked up as rows |
# | 03 | How are numbers kept in bounds? | RMS norm |
# | 04 to 07 | How does a word know of the others? | scores, RoPE, mask, softmax, heads in groups |
# | 08, 09 | What does each token do with it? | SwiGLU, and the stream through all blocks |
# | 10, 12 | How is a word chosen? | logits, temperature, top-k, top-p, the loop |
# | 11 | Why is writing fast? | the KV cache |
# | 13 | What makes it a Llama? | GPT-2, and what was replaced since |
# | 14, 15 | What is a gradient? | the backward pass through every step |
# | 16 | Where do the weights come from? | AdamW, and a model trained from nothing |
# | 17 | Why does it answer? | dialogs, targets, LoRA |
# | 18 | Why does it answer like this? | log-probabilities of answers, DPO |

# %% [markdown] key="next"
# ## Where to go
#
# - **The real one.** Everything that you have seen runs on Llama 3 8B, with the same code: set `LLAMA_MODEL` to its folder
#   and open lesson 00 again. The README says where to get it and how much memory it takes.
# - **Your own.** Write another rule in the place of `ends_well` (no story without a dog?), make pairs with it as
#   `weights_tools/commands/make_preferences.py` does, and train. Then look for what else has changed.
# - **The papers**, which you can now read with the code beside them: [attention](https://arxiv.org/abs/1706.03762),
#   [RoPE](https://arxiv.org/abs/2104.09864), [Llama 2](https://arxiv.org/abs/2307.09288),
#   [Llama 3](https://arxiv.org/abs/2407.21783), [LoRA](https://arxiv.org/abs/2106.09685),
#   [InstructGPT](https://arxiv.org/abs/2203.02155), [DPO](https://arxiv.org/abs/2305.18290).
