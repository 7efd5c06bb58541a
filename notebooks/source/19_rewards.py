# %% [markdown] key="title"
# # 19 Rewards: what it finds when it may try by itself
#
# *Write a story about a cat named Tom.* Lesson [18](18_preferences.ipynb) has a rule that says at once whether an answer
# ends well, and still it showed the model pairs that somebody had sorted. Why not let it write, tell it 1 or 0, and see
# what it finds?
#
# A number that says how good an answer was is a **reward**. You choose the best of several answers, teach a **reward
# model** where there is no rule, derive the **policy gradient**, and follow **GRPO**, which trained DeepSeek-R1, line by line. At the end four ways to happy endings stand on one plot, each with the distance that it has moved
# away from the chat model, beside the least that would have been needed, and we look for where the rest went.
# You need lessons 17 and 18 and about 60 minutes; [exercise 19](exercises/19_rewards.ipynb) goes with it.

# %% key="setup"
import numpy as np
from classroom import agree, show, table

from llama_np.tokenizer.chat import encode_dialog
from weights_tools import load_model
from weights_tools.commands.make_preferences import draw_requests
from weights_tools.training.endings import ends_well, last_sentence
from weights_tools.training.grpo import Groups, tell_group, text_of
from weights_tools.workers import each as on_all_cores

chat = load_model("doll-house-chat", "float32")
config, tokenizer = chat.config, chat.tokenizer
requests = ["Write a story about a cat named Tom.", *draw_requests(np.random.default_rng(19), 5)]
prompts = [encode_dialog(tokenizer, [{"role": "user", "content": text}]) for text in requests]
how = Groups(answers=16)  # to each request, at temperature 0.8


def tell(i):
    return tell_group(chat.weights, config, tokenizer, prompts[i], how, np.random.default_rng(i))


answers = on_all_cores(tell, range(len(prompts)))  # 6 requests, 16 answers to each
stories = [[text_of(tokenizer, answer) or "" for answer in group] for group in answers]
r = np.array([[float(ends_well(story)) for story in group] for group in stories])  # 6 16
print(f"Tom: {r[0].astype(int)}, mean {r[0].mean():.2f}; all requests {r.mean():.2f}")

# %% [markdown] key="choose-why"
# ## Step 1. Choosing
#
# The model that writes is called the **policy**, and a rule like ours, which a program can check, gives a **verifiable
# reward** ([Lambert et al. 2024](https://arxiv.org/abs/2411.15124), section 6). Of {{ r.size }} answers,
# {{ r.mean() :.0% }} end well.
#
# The simplest use of a reward changes no weight: let the model answer $n$ times and hand out the best. **Predict before
# you run:** how often does the best of 4 end well? And how far is "the best of 4" from the model itself? The measure is the **KL divergence**: by
# how many nats, on average, it finds its own answers likelier than the other model does.
#
# The second can be derived. Among answers of equal reward the choice is blind, so it changes nothing there. All that
# moves is a coin, from $p$ to $q = 1 - (1 - p)^n$, and so
#
# $$\mathrm{KL} = q \ln \frac{q}{p} + (1 - q) \ln \frac{1 - q}{1 - p}$$

# %% key="choose"
from llama_np.training.rewards import best_of_n, best_of_n_kl, least_kl

p, ns = r.mean(), (1, 2, 4, 8, 16)
q = np.array([1 - (1 - p) ** n for n in ns[:-1]])
nats = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
agree(nats, np.array([best_of_n_kl(p, n) for n in ns[:-1]]))
found = [best_of_n(r, n).mean() for n in ns]  # over all choices of n from each group
rows = [
    [n, f"{1 - (1 - p) ** n:.2f}", f"{share:.2f}", f"{best_of_n_kl(p, n):.2f}"]
    for n, share in zip(ns, found)
]
table(["best of", "by the formula", "found", "nats"], rows)

# %% [markdown] key="choose-read"
# The best of 4 ends well in {{ found[2] :.0% }} of cases, and has moved by no more than {{ nats[2] :.2f }} nats.
# {{ claim: found[2] > p + 0.15 and best_of_n_kl(p, 16) < np.log(1 / p) + 1e-9 }} However large $n$ is, the distance
# stays below $\ln(1/p)$, here {{ np.log(1 / p) :.2f }}.
#
# Nobody can do it for less. A whole story is at least as much news as its ending, so a model that ends well with
# probability $q$ has moved by at least the KL of the two coins, **whatever** it does (the
# [data processing inequality](https://en.wikipedia.org/wiki/Data_processing_inequality)). Choosing reaches this bound; its
# price is $n$ stories for one, for ever. Could the model learn to write the chosen one at once, and how near to the bound
# would it stay?

# %% [markdown] key="model-why"
# ## Step 2. Where there is no rule
#
# "Which story is nicer?" has no rule. From people's comparisons one trains a **reward model**: a language model
# with one column in place of its output matrix, read at the last token, the only one that has seen the whole story
# ([Touvron et al. 2023](https://arxiv.org/abs/2307.09288), section 3.2.2). We leave the model frozen and learn the
# column $h$ alone. For a pair whose last rows differ by $x = x_w - x_l$, Bradley and Terry's loss is $-\ln \sigma(x h)$, with the
# gradient $-\sigma(-x h)\, x$. That is logistic regression.

# %% key="model-by-hand"
from llama_np import forward, record
from llama_np.training.preference import bradley_terry_loss_backward
from llama_np.training.rewards import last_of
from weights_tools.commands.dpo import encode_pairs
from weights_tools.training.dialogs import PREFERENCES, Comparison, Dialog, encode, read_lines
from weights_tools.training.stages import pad

pairs = list(read_lines(PREFERENCES, Comparison))[-60:]


def last_rows(some):
    """The row of the last token before <|eot_id|>, for each of some answers."""
    trace, last = {}, np.array([len(answer.ids) - 2 for answer in some])
    forward(chat.weights, config, pad(some)[0], tap=record(trace, only={"final_norm"}))
    return last_of(trace["final_norm"], last).astype(float)


x = np.array(on_all_cores(last_rows, encode_pairs(tokenizer, pairs, config)))  # pairs 2 D
learn, held_out = x[:30], x[30:]
difference, head = learn[:, 0] - learn[:, 1], np.zeros(config.dim)
for _ in range(100):
    wrong = 1 / (1 + np.exp(difference @ head))  # how likely the wrong choice is
    d_head = -wrong @ difference / len(learn)
    head -= 0.01 * d_head
d_rewards = bradley_terry_loss_backward(learn @ head)  # pairs 2
named = np.einsum("np,npd->d", d_rewards, learn)
agree(-1 / (1 + np.exp(difference @ head)) @ difference / len(learn), named)

# %% key="model-table"
kept = pairs[30:]
judges = {
    "the reward model": held_out @ head,
    "the shorter one": -np.array([[len(p.preferred), len(p.other)] for p in kept]),
    "the rule itself": np.array([[ends_well(p.preferred), ends_well(p.other)] for p in kept]) * 1,
}
right = {name: (score[:, 0] > score[:, 1]).mean() for name, score in judges.items()}
table(["chooses", "right, of 30 held-out pairs"], [[k, f"{v:.0%}"] for k, v in right.items()])

# %% [markdown] key="model-read"
# {{ claim: right["the reward model"] > 0.65 and right["the reward model"] > right["the shorter one"] }}
# From 30 comparisons, without being told what was compared, it chooses right in {{ right["the reward model"] :.0% }} of held-out
# pairs; the shorter story would be right in {{ right["the shorter one"] :.0% }}. Has it found the rule, or something that
# goes along with it? We do the same things to a dozen stories that end badly, and let both judge. **Predict before you run:** which line fools which judge?

# %% key="fooled"
edits = {
    "+ They lived happily ever after.": lambda t: t + " They lived happily ever after.",
    "+ He was not happy at all.": lambda t: t + " He was not happy at all.",
    "+ The wolf ate them all and smiled.": lambda t: t + " The wolf ate them all and smiled.",
    "+ It was a good day. They were friends.": lambda t: (
        t + " It was a good day. They were friends."
    ),
    "+ The end.": lambda t: t + " The end.",
    "the last sentence cut off": lambda t: t[: t.rindex(last_sentence(t))].strip(),
}
bad = [pair for pair in kept if last_sentence(pair.other) != pair.other.strip(".")][:12]


def scores(pair):
    texts = [pair.other, *(change(pair.other) for change in edits.values())]
    return last_rows([encode(tokenizer, Dialog(pair.question, text)) for text in texts]) @ head


judged = np.array(on_all_cores(scores, bad))  # 12 stories, as it was and after each edit
unit = (held_out @ head).std()  # of whole stories
liked, gain = {}, {}
for (name, change), score in zip(edits.items(), judged.T[1:]):
    liked[name] = np.mean([ends_well(change(pair.other)) for pair in bad])
    gain[name] = (score - judged[:, 0]) / unit
rows = [[n, f"{liked[n]:.0%}", f"{g.mean():+.1f} ± {g.std():.1f}"] for n, g in gain.items()]
happily, denied, wolf, bland, *_ = (g.mean() for g in gain.values())
table(
    ["what is done to a bad story", "the rule likes it", "reward model, standard deviations"], rows
)

# %% [markdown] key="fooled-read"
# {{ claim: bland > 0.3 and wolf < happily and liked["+ It was a good day. They were friends."] == 0 }}
# The mild line about friends earns nothing from the rule and {{ bland :+.1f }} standard deviations (of the scores of whole stories) from the reward model, against
# {{ happily :+.1f }} for *happily ever after*. The wolf delights the rule, because somebody smiles, and the reward model gives
# {{ wolf :+.1f }}. To *not happy at all*, which the rule likes as well, it gives {{ denied :+.1f }}. The
# rule is a list of words. The other goes by tone as well, but a sad line with *happy* in it wins it over, and even *The end.* or a
# cut helps a little. Neither knows what ending well is.

# %% [markdown] key="over-why"
# Now the reward model chooses the best of $n$ among the answers of step 1, and the rule says what came of it.


# %% key="over"
def rows_of(group):
    some = [a for a in group if a.ids[-1] in tokenizer.stop_ids]
    return last_rows(some) @ head, np.array([ends_well(text_of(tokenizer, a)) for a in some])


judged = on_all_cores(rows_of, answers)


def chosen(score, truth, n):
    """The mean truth of the answer with the best score, over all choices of n."""
    order = np.argsort(score)
    rank = np.arange(1, len(score) + 1) / len(score)
    return np.diff(rank**n, prepend=0) @ truth[order]


by_model = np.array([[chosen(s, t, n) for n in ns] for s, t in judged])  # 6 requests, n
show.curves(
    np.array(ns),
    {"chosen by the rule": found, "chosen by the reward model": by_model.mean(axis=0)},
    ("best of", "share that ends well, by the rule"),
)

# %% [markdown] key="over-read"
# {{ claim: by_model.mean(axis=0)[-1] < found[-1] - 0.1 }}
# The best of 16 by the rule ends well in {{ found[-1] :.0% }} of cases, by the reward model in {{ by_model.mean(axis=0)[-1] :.0% }}, and the best of 4 in
# {{ by_model.mean(axis=0)[2] :.0% }}. A judge that is right about pairs in {{ right["the reward model"] :.0% }} of cases is less so about the best of many,
# because the largest score is where its errors gather. Pushed further, the true reward even falls again ([Gao et al.
# 2022](https://arxiv.org/abs/2210.10760), figure 1).

# %% [markdown] key="gradient-why"
# ## Step 3. The policy gradient
#
# Now the weights are to learn. The mean reward is $J = \sum_y p(y)\, r(y)$ over all answers. Of its parts only $p$
# depends on the weights, and since $\mathrm{d} \ln p = \mathrm{d}p / p$,
#
# $$\mathrm{d}J = \sum_y r(y)\, \mathrm{d}p(y) = \sum_y p(y)\, r(y)\, \mathrm{d} \ln p(y)$$
#
# The sum over all stories has become a **mean over stories that the model writes**. So we let it write, take the
# gradient of each answer's $\ln p$, as in DPO, and weigh it with the reward; nothing flows through the draw or the rule. This is
# the **policy gradient**, with the name REINFORCE ([Williams
# 1992](https://link.springer.com/article/10.1007/BF00992696)). Let us check it where all can be counted: three endings, eight draws at a time.
#
# Any number $b$, a **baseline**, may be taken from all rewards, because $\sum_y p\, b\, \mathrm{d} \ln p = b\, \mathrm{d} \sum_y p = 0$.
# What is left of the reward is called the **advantage**. **Predict before you run:** the same
# rewards, all raised by 10. What happens to the mean of the estimates, and to their spread?

# %% key="gradient"
from llama_np.training.rewards import centred, reinforce_loss_backward

of_endings, worth = np.array([0.6, 0.3, 0.1]), np.array([0.0, 1.0, 1.0])
exact = of_endings * (worth - of_endings @ worth)  # dJ for each of three logits
drawn = np.random.default_rng(0).choice(3, size=(4000, 8), p=of_endings)  # groups of 8
d_log_p = np.eye(3)[drawn] - of_endings  # 4000 8 3: right minus predicted


def estimate(advantages):
    d_loss = np.array([reinforce_loss_backward(a, a) for a in advantages])  # of each log_p
    return -(d_loss[..., None] * d_log_p).sum(axis=1)  # 4000 3


agree(exact, estimate(worth[drawn]).mean(axis=0), tolerance=0.05)
kinds = {"rewards": worth[drawn], "rewards + 10": worth[drawn] + 10}
kinds |= {f"{name}, centred": centred(each) for name, each in kinds.items()}
rows, spread = [["exact", exact.round(3), ""]], {}
for name, advantages in kinds.items():
    d = estimate(advantages)
    spread[name] = d.std(axis=0)
    rows.append([name, d.mean(axis=0).round(3), spread[name].round(3)])
table(["weighed with", "mean of the gradients", "spread"], rows)

# %% [markdown] key="gradient-read"
# The mean stays, as derived. Raised by 10, the rewards make the estimates {{ (spread["rewards + 10"] / spread["rewards"]).min() :.0f }} to {{ (spread["rewards + 10"] / spread["rewards"]).max() :.0f }} times as noisy:
# whatever was drawn gets likelier, good or bad, and only thousands of draws cancel it. Taking from each reward the
# mean of its group of 8 (`centred`) gives the same numbers in both cases and the smallest spread. (Its own
# reward is in that mean, which shortens the gradient to 7/8 and turns it nowhere.)
# {{ claim: spread["rewards + 10"][0] > 5 * spread["rewards"][0] and spread["rewards, centred"].sum() < spread["rewards"].sum() }}

# %% [markdown] key="group-why"
# ## Step 4. GRPO
#
# In PPO, which made InstructGPT, a second network learns to foretell the reward as a baseline. **Group relative policy
# optimisation** takes the mean of a group of answers to one question ([Shao et al.
# 2024](https://arxiv.org/abs/2402.03300), section 4.1; DeepSeek-R1 with rules for rewards, [Guo et al.
# 2025](https://arxiv.org/abs/2501.12948), section 2.2). It also divides by the group's standard deviation:

# %% key="group"
from llama_np.training.rewards import group_advantages

g = int(np.flatnonzero(r.std(axis=1))[0])  # Tom's, unless all of its rewards are equal
by_hand = (r[g] - r[g].mean()) / r[g].std()
agree(by_hand, group_advantages(r)[g])
tokens_of = [len(a.ids) - a.given for a in answers[g]]
at_end = [len(tokenizer.encode(last_sentence(story))) for story in stories[g]]
n_good, good = int(r[g].sum()), by_hand.max()
print(f"{n_good} good answers get {good:+.2f}, {16 - n_good} others {by_hand.min():+.2f}")
print(f"tokens of an answer {np.mean(tokens_of):.0f}, of its last sentence {np.mean(at_end):.0f}")
share = np.linspace(0, 1, 41)
show.curves(
    share,
    {"groups of 8": share**8 + (1 - share) ** 8},
    ("share of good answers", "groups that teach nothing"),
)

# %% [markdown] key="group-read"
# The rarer kind gets the larger advantage, and a group of equal rewards gets nothing. The curve says how many groups
# of 8 are lost so: {{ p**8 + (1 - p) ** 8 :.0% }} at the start, and nearly all once the model is good. Each advantage is given to **every** token of its answer. Only the last sentence, about
# {{ np.mean(at_end) :.0f }} tokens of {{ np.mean(tokens_of) :.0f }}, had to do with the reward, but the model is not told which. This is
# the problem of **credit assignment**; remember it for step 6.
#
# The same answers may serve for several updates. Then the ratio $p / p_\mathrm{old}$ of each token makes up for what the model would now
# draw differently, and it is **clipped**, so that no token is pushed beyond 0.8 or 1.2 times what it was ([Schulman et al.
# 2017](https://arxiv.org/abs/1707.06347)). **Predict before you run:** for a good token and for a bad one, on which side is the gain held?

# %% key="clip"
from llama_np.training.rewards import clipped_gain

ratio = np.linspace(0.5, 1.5, 101)
log_ratio, zero = np.log(ratio)[None], np.zeros((1, 101))
gains = {
    "good: advantage +1": clipped_gain(log_ratio, zero, np.array([1.0]), clip=0.2)[0],
    "bad: advantage -1": clipped_gain(log_ratio, zero, np.array([-1.0]), clip=0.2)[0],
}
show.curves(ratio, gains, ("ratio of now and then", "gain"))

# %% [markdown] key="clip-read"
# On one side each: a good token earns no more above 1.2, a bad one no more below 0.8. The way back stays open. A
# good token that has become *less* likely by accident is pushed with full force.
#
# The last part is the **KL penalty**, which holds the model to the reference, here the chat model. To know the
# KL from drawn tokens alone one may average $-\ln r$ with $r = p_\mathrm{ref} / p$ (k1), but GRPO takes $r - \ln r - 1$ (k3,
# [Schulman 2020](http://joschu.net/blog/kl-approx.html)). On answers of `doll-house-cheerful`, beside the exact KL:

# %% key="kl"
from llama_np.training.rewards import kl_estimate
from weights_tools.training.grpo import tell as tell_and_judge

cheerful = load_model("doll-house-cheerful", "float32")
told = tell_and_judge(
    cheerful.weights, chat.weights, config, tokenizer, prompts[:1], ends_well, Groups(), [0]
)
log_p, reference = (np.concatenate([t[n] for t in told]) for n in (3, 4))  # of all tokens
log_r = reference - log_p
k1, k3 = -log_r, np.exp(log_r) - log_r - 1
agree(k3, kl_estimate(log_p, reference))
of_all = np.concatenate([t.kl for t in told])
rows = [["exact", f"{of_all.mean():.3f}", "", ""]]
for name, k in (("k1", k1), ("k3", k3)):
    rows.append([name, f"{k.mean():.3f}", f"{k.std():.2f}", round(float(k.min()), 2) + 0.0])
table(["nats a token", "mean", "spread", "smallest"], rows)

# %% [markdown] key="kl-read"
# Both are right on average, within what {{ k1.size :, }} drawn tokens allow. For single tokens k1 goes down to
# {{ k1.min() :.1f }}, although a distance is never below zero; k3 never does. {{ claim: k3.min() >= -1e-6 and k1.min() < -0.5 }} Now
# the loss is all there: the mean over the tokens of each answer, then over the answers.

# %% key="loss"
from llama_np.training.rewards import grpo_loss, mean_of_answers

A = np.array([1.0, -1.0])  # two answers, of 3 and 5 tokens
counts = np.arange(5) < np.array([[3], [5]])
now, old, ref = np.log(np.random.default_rng(1).uniform(0.2, 0.5, (3, 2, 5)))
beta, clip = 0.04, 0.2

ratio = np.exp(now - old)
gain = np.minimum(ratio * A[:, None], np.clip(ratio, 1 - clip, 1 + clip) * A[:, None])
k3 = np.exp(ref - now) - (ref - now) - 1
by_token = beta * k3 - gain
by_hand = np.mean([row[keep].mean() for row, keep in zip(by_token, counts)])
share = mean_of_answers(counts)
agree(by_hand, grpo_loss(now, old, ref, A, share, clip, beta))
start = grpo_loss(ref, ref, ref, A, share, clip, beta)
print(f"at the start, where all three are the same: {start:.3f}")

# %% [markdown] key="loss-read"
# At the start the loss is zero, because the advantages of a group cancel and nothing has moved. What comes later is mostly the
# penalty, so that **GRPO's loss rises while the stories get better**. To see a run one looks at the reward.
#
# Two of its means have been objected to. **Predict:** whose token is pushed harder, that of a wrong answer of 40 tokens, or of 160?

# %% key="doctor"
even, easy = np.arange(8) < 4, np.arange(8) < 7  # which of 8 answers are right
rows = []
for name, length, right_ones in (
    ("40 tokens, 4 of 8 right", 40, even),
    ("160 tokens, 4 of 8 right", 160, even),
    ("160 tokens, 7 of 8 right", 160, easy),
):
    pushes = group_advantages(right_ones * 1.0)[-1] / length, centred(right_ones * 1.0)[-1] / 160
    rows.append([name, *(f"{push:.4f}" for push in pushes)])
table(["a token of a wrong answer", "GRPO", "Dr. GRPO"], rows)

# %% [markdown] key="doctor-read"
# The longer a wrong answer, the less each of its tokens is held against it, so that long mistakes are cheap. And where 7 of 8 are right, the
# small deviation makes the one mistake {{ group_advantages(easy * 1.0)[-1] / group_advantages(even * 1.0)[-1] :.1f }} times as heavy as where 4 are, against {{ centred(easy * 1.0)[-1] / centred(even * 1.0)[-1] :.2f }} times without the division. **Dr. GRPO** divides by one length for all and by no deviation ([Liu et al.
# 2025](https://arxiv.org/abs/2503.20783), section 3), and its first two lines are the same.

# %% [markdown] key="live-why"
# ## Step 5. While you wait
#
# Whole stories take long. So the model gets stories **without their last sentence** and writes only that: four stories a step,
# eight endings to each.

# %% key="live" tags=["timing"]
from weights_tools.commands.dpo import base_and_lora
from weights_tools.training.grpo import GroupRewards, GroupTraining
from weights_tools.training.trainer import Hyperparameters

short = sorted(pairs, key=lambda pair: len(pair.other))[:8]
cut = [Dialog(p.question, p.other[: p.other.rindex(last_sentence(p.other))].strip()) for p in short]
open_ends = [encode(tokenizer, dialog).ids[:-1] for dialog in cut]  # the model goes on from there


def ask(rng, count):
    return [open_ends[i] for i in rng.choice(len(open_ends), count, replace=False)]


how = Groups(requests_per_step=4, answers=8, longest=32)
stage = GroupRewards(chat.weights, config, tokenizer, ask, ends_well, how, seed=0)
base, lora = base_and_lora("doll-house-chat", chat, rank=8, seed=0)
recipe = Hyperparameters(steps=10, peak_rate=2e-3, warm_up=2, weight_decay=0.0)
training, seen = GroupTraining(config, recipe, stage, base.weights, lora), []
while training.step < recipe.steps:
    training.take_step()
    seen.append(stage.figures())
reward_seen = np.array([one["mean_reward"] for one in seen])
show.curves(np.arange(1, 11), {"": reward_seen}, ("step", "share of good endings"))

# %% [markdown] key="live-read"
# {{ claim: reward_seen[-3:].mean() > reward_seen[:2].mean() + 0.2 }}
# In the first two steps {{ reward_seen[:2].mean() :.0% }} of the endings were good, in the last three {{ reward_seen[-3:].mean() :.0% }}, after 320 zeros and
# ones. Nobody has shown it a good ending: it has found them among its own.

# %% [markdown] key="long-why"
# ## Step 6. What it costs
#
# The same with whole stories took about half an hour: `python -m weights_tools grpo --out DIR`. Its
# log ships with the course; each line is about the answers told since the one before.

# %% key="long"
from weights_tools.training.rewards.study import ENDINGS, GRPO_LOG, POINTS, read

log = read(GRPO_LOG)
answers_each = log[0]["answers"]
show.curves(
    np.array([row["step"] for row in log]),
    {
        "reward": np.array([row["mean_reward"] for row in log]),
        "different endings": np.array([row["distinct_endings"] for row in log]) / answers_each,
    },
    ("step", "share of the answers"),
)

# %% [markdown] key="long-read"
# {{ claim: log[-1]["mean_reward"] > log[0]["mean_reward"] + 0.2 and log[-1]["distinct_endings"] < 0.8 * log[0]["distinct_endings"] }}
# From {{ log[0]["mean_reward"] :.0% }} in the first line to {{ log[-1]["mean_reward"] :.0% }} in the last, by nothing but zeros and ones, while the loss **rose** from {{ log[0]["train_loss"] :.4f }} to
# {{ log[-1]["train_loss"] :.4f }}. {{ claim: log[-1]["train_loss"] > log[0]["train_loss"] }} In {{ answers_each }}
# answers there were {{ log[0]["distinct_endings"] }} different endings at first, and {{ log[-1]["distinct_endings"] }} in the last line.
#
# Now all four ways with the same requests (`python -m weights_tools.training.rewards.study`): the best of 2, 4
# and 8, fine-tuning on the preferred answers alone, DPO, the DPO that ships, and the last model of this run of GRPO. Only
# GRPO's line in the plot is from its log, with the requests of its training. **Predict before you run:** which lies nearest to the bound of step 1, and by what factor do the
# others miss it?

# %% key="plot"
points = read(POINTS)
start = next(row for row in points if row["method"] == "chat model")


def track(method):
    its = [row for row in points if row["method"] in ("chat model", method)]
    return np.array([(row["kl_per_answer"], row["mean_reward"]) for row in its])


p = start["mean_reward"]
lines = {"the least": np.array([(least_kl(q, p), q) for q in np.linspace(p, 0.999, 40)])}
lines |= {method: track(method) for method in dict.fromkeys(row["method"] for row in points[1:])}
lines["GRPO"] = np.array([(row["kl_per_answer"], row["mean_reward"]) for row in log])  # its way
show.tracks(lines, ("KL from the chat model, nats a story", "share that ends well"), root=True)

# %% key="lost"
last = {row["method"]: row for row in points}
beyond, rows = {}, []
for method, row in last.items():
    least = least_kl(row["mean_reward"], start["mean_reward"])
    beyond[method] = row["kl_per_answer"] - least
    of_it = "" if row["kl_at_the_end"] == "" else row["kl_per_answer"] - row["kl_at_the_end"]
    rows.append(
        [
            f"{method}, {row['at']}", f"{row['mean_reward']:.0%}", f"{row['kl_per_answer']:.1f}",
            f"{least:.1f}", of_it and f"{of_it:.1f}",
            f"{row['distinct_endings']} of {row['answers']}", f"{row['story_loss']:.3f}",
        ]
    )  # fmt: skip
header = ["ends well", "nats", "least", "before the last sentence", "different endings"]
table(["", *header, "loss on stories"], rows)

# %% [markdown] key="lost-read"
# {{ claim: all(beyond[m] > 1 and beyond[m] > 2 * beyond["best of n"] for m in beyond if m not in ("chat model", "best of n")) }}
# Choosing lies nearest to the bound; some requests are harder than others, which the bound does not know. GRPO's last model ends well in {{ last["GRPO"]["mean_reward"] :.0% }} of
# cases and has moved by {{ last["GRPO"]["kl_per_answer"] :.1f }} nats, where {{ last["GRPO"]["kl_per_answer"] - beyond["GRPO"] :.1f }} would do: {{ last["GRPO"]["kl_per_answer"] / (last["GRPO"]["kl_per_answer"] - beyond["GRPO"]) :.0f }} times the least. No trained model
# comes near it. This is no ranking, because each has one seed and the recipe counts as much as the method. But where did
# all that distance go?
#
# {{ claim: all(1 - last[m]["kl_at_the_end"] / last[m]["kl_per_answer"] > 0.5 for m in ("GRPO", "DPO", "DPO that ships", "preferred alone")) }}
# The fourth column says it. {{ 1 - last["GRPO"]["kl_at_the_end"] / last["GRPO"]["kl_per_answer"] :.0% }} of GRPO's distance lies **before the last sentence**, the only one
# that the rule reads. Even to prepare a good ending, no more than the least can be needed. It would be tempting to
# blame step 4, where an advantage is paid to every token alike. But DPO spends {{ 1 - last["DPO"]["kl_at_the_end"] / last["DPO"]["kl_per_answer"] :.0% }} there, and fine-tuning on the preferred answers
# {{ 1 - last["preferred alone"]["kl_at_the_end"] / last["preferred alone"]["kl_per_answer"] :.0% }}: so this run cannot say where it went. The cost shows elsewhere, too: GRPO writes {{ last["GRPO"]["distinct_endings"] }} different
# endings where the chat model had {{ start["distinct_endings"] }}, and stories that it has not learned from cost {{ last["GRPO"]["story_loss"] - start["story_loss"] :+.3f }} nats a token more.

# %% [markdown] key="hacking-why"
# ## Step 7. Reward hacking
#
# What do they write? The most frequent last sentences:

# %% key="hacking"
ends = read(ENDINGS)
of_model = {
    method: [e for e in ends if (e["method"], e["at"]) == (method, row["at"])]
    for method, row in last.items()
    if method != "best of n"
}  # the most frequent first
favourite = {method: its[0]["times"] for method, its in of_model.items()}
rows = [
    [method, e["times"], "yes" if e["rewarded"] else "no", e["ending"]]
    for method, its in of_model.items()
    for e in its[:3]
]
table(["", "times", "rewarded", "last sentence"], rows)

# %% [markdown] key="hacking-read"
# {{ claim: favourite["GRPO"] > 2 * favourite["chat model"] and favourite["DPO that ships"] > 2 * favourite["chat model"] }}
# The chat model's favourite, *{{ of_model["chat model"][0]["ending"] }}*, came {{ favourite["chat model"] }} times of {{ start["answers"] }}. GRPO's first, *{{ of_model["GRPO"][0]["ending"] }}*, came
# {{ favourite["GRPO"] }} times, the first of the DPO that ships {{ favourite["DPO that ships"] }} times. Such a sentence fits every story, so it is the cheapest way to the reward.
# When the reward is met and the wish behind it is not, one calls it **reward hacking** ([Amodei et al.
# 2016](https://arxiv.org/abs/1606.06565), section 4). How much of the gain is that? Let us take the *different* endings of each model, each once, and see how many of them the rule likes.

# %% key="mended"
by_rule, once = {}, {}
for method, its in of_model.items():
    n = last[method]["answers"]
    by_rule[method] = sum(e["times"] * e["rewarded"] for e in its) / n
    once[method] = sum(e["rewarded"] for e in its) / len(its)
rows = [
    [method, f"{by_rule[method]:.0%}", f"{once[method]:.0%} of {len(its)}"]
    for method, its in of_model.items()
]
table(["ends well", "of all stories", "of the different endings"], rows)

# %% [markdown] key="mended-read"
# {{ claim: once["GRPO"] > once["chat model"] + 0.1 and once["GRPO"] < by_rule["GRPO"] and last["GRPO"]["distinct_endings"] < start["distinct_endings"] }}
# Of the chat model's {{ len(of_model["chat model"]) }} endings the rule likes {{ once["chat model"] :.0% }}, of GRPO's {{ len(of_model["GRPO"]) }} it likes {{ once["GRPO"] :.0% }}, and of the {{ len(of_model["DPO that ships"]) }} of the DPO that ships
# {{ once["DPO that ships"] :.0% }}. So the gain is not one sentence learned by heart: they have found many endings that the rule likes, and lost
# others. Whether these are *good* endings, the rule cannot say. A rule that can be checked can be met without what was meant by
# it, so somebody has to read what the model writes.

# %% [markdown] key="next"
# ## The end of the way
#
# **Your turn:** [exercise 19](exercises/19_rewards.ipynb). Before this page: lesson [18](18_preferences.ipynb). Its code:
# `llama_np/training/rewards.py`, `weights_tools/training/grpo.py`. What was a black box in lesson
# [00](00_start_here.ipynb) you have computed by hand, from the bytes of a text to the reward of a story. To go on, put a
# rule of your own in the place of `ends_well`, and look for what the model does to earn it.
