# %% [markdown] key="title"
# # 19 Rewards: what it finds when it may try by itself
#
# *Write a story about a cat named Tom.* Lesson [18](18_preferences.ipynb) has a rule that says at once whether an answer
# ends well, and still it showed the model pairs that somebody had sorted. Why not let it write, tell it 1 or 0, and see
# what it finds?
#
# A number that says how good an answer was is a **reward**. You choose the best of several answers, teach a **reward
# model**, derive the **policy gradient**, and write out a step of **GRPO**, which trained DeepSeek-R1. At the end all ways to
# happy endings stand on one plot, next to the smallest distance that would have sufficed. We look
# for where the rest went, and count what the gain is made of. You need lesson 18 and about an hour; [exercise 19](exercises/19_rewards.ipynb) goes with it.

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
requests = ["Write a story about a cat named Tom.", *draw_requests(np.random.default_rng(19), 3)]
prompts = [encode_dialog(tokenizer, [{"role": "user", "content": text}]) for text in requests]
how = Groups(answers=16)  # to each request, at temperature 0.8


def tell(i):
    return tell_group(chat.weights, config, tokenizer, prompts[i], how, np.random.default_rng(i))


answers = on_all_cores(tell, range(len(prompts)))  # 4 requests, 16 answers to each
stories = [[text_of(tokenizer, answer) or "" for answer in group] for group in answers]
r = np.array([[float(ends_well(story)) for story in group] for group in stories])  # 4 16
print(f"Tom: {r[0].astype(int)}, mean {r[0].mean():.2f}; all requests {r.mean():.2f}")

# %% [markdown] key="choose-why"
# ## Step 1. Choosing
#
# The model that writes is called the **policy**, and a rule like ours, which a program can check, gives a **verifiable
# reward** ([Lambert et al. 2024](https://arxiv.org/abs/2411.15124), section 6). Of {{ r.size }} answers, {{ r.mean() :.0% }}
# end well. The simplest use of a reward changes no weight: let the model answer $n$ times and hand out the best.
#
# **Predict before you run:** how often does the best of 4 end well? And how many nats of KL is "the best of 4" away from the
# model itself?
#
# The second can be derived. Among answers of equal reward the choice is blind, so the only thing that changes is the probability of a good ending, from $p$ to $q = 1 - (1 - p)^n$, and so
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
# By the formula the best of 4 ends well in {{ 1 - (1 - p) ** 4 :.0% }} of cases, and has moved by no more than {{ nats[2] :.2f }} nats. Among our
# answers it is {{ found[2] :.0% }}, since four different ones of sixteen are taken.
# {{ claim: found[2] > p + 0.15 and best_of_n_kl(p, 16) < np.log(1 / p) + 1e-9 }} However large $n$ is, the distance
# stays below $\ln(1/p)$, here {{ np.log(1 / p) :.2f }}.
#
# Nobody can do it for less. A whole story is at least as much news as its ending, so a model that ends well with
# probability $q$ has moved by at least the KL between two coins that fall well with the probabilities $q$ and $p$, which is the formula above, **whatever** it does (the [data processing
# inequality](https://en.wikipedia.org/wiki/Data_processing_inequality)). For a single request choosing reaches this bound; its price
# is $n$ stories for one, for ever. Could the model learn to write the chosen one at once, and how near to the bound would it stay?

# %% [markdown] key="model-why"
# ## Step 2. Where there is no rule
#
# "Which story is nicer?" has no rule. From people's comparisons one trains a **reward model**: a language model with one
# column in place of its output matrix, read at the last token, the only one that has seen the whole story ([Touvron et al.
# 2023](https://arxiv.org/abs/2307.09288), section 3.2.2). We leave the model frozen and learn the column $h$ alone. For a pair
# whose last rows differ by $x = x_w - x_l$, Bradley and Terry's loss is $-\ln \sigma(x h)$, with the gradient
# $-\sigma(-x h)\, x$. That is logistic regression.

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
# From 30 comparisons, without being told what was compared, it chooses right in {{ right["the reward model"] :.0% }} of
# held-out pairs, and not by length, which is right in {{ right["the shorter one"] :.0% }}. Has it found the rule, or something that goes along with it? We add a line to a dozen stories that
# end badly, and let both judge. **Predict before you run:** which line fools which judge?

# %% key="fooled"
added = [
    "They lived happily ever after.", "He was not happy at all.",
    "The wolf ate them all and smiled.", "It was a good day. They were friends.", "The end.",
]  # fmt: skip
bad = [pair for pair in kept if last_sentence(pair.other) != pair.other.strip(".")][:12]


def scores(pair):
    texts = [pair.other, *(f"{pair.other} {line}" for line in added)]
    return last_rows([encode(tokenizer, Dialog(pair.question, text)) for text in texts]) @ head


judged = np.array(on_all_cores(scores, bad))  # 12 stories, as it was and after each edit
unit = (held_out @ head).std()  # of whole stories
liked, raised = {}, {}
for line, score in zip(added, judged.T[1:]):
    liked[line] = np.mean([ends_well(f"{pair.other} {line}") for pair in bad])
    raised[line] = (score - judged[:, 0]) / unit
rows = [
    [f"+ {n}", f"{liked[n]:.0%}", f"{g.mean():+.1f} ± {g.std():.1f}"] for n, g in raised.items()
]
happily, denied, wolf, bland, *_ = (g.mean() for g in raised.values())
table(["added to a bad story", "the rule likes it", "reward model, standard deviations"], rows)

# %% [markdown] key="fooled-read"
# {{ claim: bland > 0.3 and abs(bland - happily) < 0.5 and wolf < happily and denied > 0.5 and liked[added[3]] == 0 }}
# The line about friends earns nothing from the rule and {{ bland :+.1f }} standard deviations from the reward model, about
# as much as *happily ever after*. The wolf delights the rule, because somebody smiles, and so does *not happy at all*.
# (The scores are in standard deviations of whole stories' scores. Any line at all, *The end.*, brings {{ raised[added[4]].mean() :+.1f }}, so a part of the
# first two owes nothing to what they say.) The
# reward model gives nothing for the wolf ({{ wolf :+.1f }}, within the spread), but falls for the denial ({{ denied :+.1f }}). The
# rule goes by words, the reward model by what went along with them, and neither knows what ending well is.

# %% [markdown] key="gradient-why"
# ## Step 3. The policy gradient
#
# Now the weights are to learn. The mean reward is $R = \sum_y p(y)\, r(y)$ over all answers. Of its parts only $p$
# depends on the weights, and since $\mathrm{d} \ln p = \mathrm{d}p / p$,
#
# $$\mathrm{d}R = \sum_y r(y)\, \mathrm{d}p(y) = \sum_y p(y)\, r(y)\, \mathrm{d} \ln p(y)$$
#
# The sum over all stories has become a **mean over stories that the model writes**. So we let it write, take the
# gradient of each answer's $\ln p$, as in DPO, and weight it by the reward; nothing flows through the draw or the rule. This is
# the **policy gradient**, called REINFORCE ([Williams 1992](https://link.springer.com/article/10.1007/BF00992696)).
#
# Any number $b$, a **baseline**, may be subtracted from all rewards, because $\sum_y p\, b\, \mathrm{d} \ln p = b\, \mathrm{d} \sum_y p = 0$.
# What is left of the reward is called the **advantage**. We check both where all can be counted: three endings, eight draws
# at a time. **Predict before you run:** the same rewards, all raised by 10. What happens to the mean of the estimates, and
# to their spread?

# %% key="gradient"
from llama_np.training.rewards import centred, reinforce_loss_backward

of_endings, worth = np.array([0.6, 0.3, 0.1]), np.array([0.0, 1.0, 1.0])
exact = of_endings * (worth - of_endings @ worth)  # dR for each of three logits
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
table(["weighted by", "mean of the gradients", "spread"], rows)

# %% [markdown] key="gradient-read"
# A fixed number leaves the mean where it was, up to the noise. But raised by 10, the rewards make the estimates
# {{ (spread["rewards + 10"] / spread["rewards"]).min() :.0f }} to {{ (spread["rewards + 10"] / spread["rewards"]).max() :.0f }} times as
# noisy: whatever was drawn gets likelier, good or bad, and only thousands of draws cancel it. Subtracting from each reward the
# mean of its group of 8 (`centred`) gives the same numbers in both cases, and {{ (spread["rewards, centred"] / spread["rewards"]).mean() :.0% }} of the spread
# ({{ (spread["rewards, centred"] / spread["rewards"]).mean() * 8 / 7 :.0% }} at equal length).
# Because an eighth of that mean is the answer's own reward, only $7/8$ of the exact gradient is left, in the same direction.
# {{ claim: spread["rewards + 10"][0] > 5 * spread["rewards"][0] and spread["rewards, centred"].sum() < 0.7 * spread["rewards"].sum() }}
# {{ claim: abs(rows[3][1] / exact - 7 / 8).max() < 0.06 }}

# %% [markdown] key="group-why"
# ## Step 4. GRPO
#
# **PPO**, proximal policy optimisation, which made InstructGPT, has a second network that predicts
# the reward, as a baseline for every token. **Group relative policy optimisation** has none: its baseline is the mean of a group
# of answers to one question ([Shao et al. 2024](https://arxiv.org/abs/2402.03300), section 4.1; with rules for rewards,
# DeepSeek-R1, [Guo et al. 2025](https://arxiv.org/abs/2501.12948)). It also divides by the group's standard
# deviation:

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
part_good = np.linspace(0, 1, 41)
show.curves(
    part_good,
    {"groups of 8": part_good**8 + (1 - part_good) ** 8},
    ("share of good answers", "groups that teach nothing"),
)

# %% [markdown] key="group-read"
# The rarer kind gets the larger advantage, and a group of equal rewards gets nothing. The curve says how many groups of 8
# are lost so: {{ p**8 + (1 - p) ** 8 :.0% }} at the start, and {{ 0.9**8 + 0.1**8 :.0% }} once nine answers of ten are good. Each advantage is given
# to **every** token of its answer. The rule has read only the last sentence, about {{ np.mean(at_end) :.0f }} tokens of {{ np.mean(tokens_of) :.0f }},
# but the model is not told which tokens earned the reward: the problem of **credit assignment**.

# %% [markdown] key="clip-read"
# The same answers may serve for several updates. Then, as in PPO, the ratio $p / p_\mathrm{old}$ of each token makes up for what
# the model would now draw differently, and the gain, ratio times advantage, is **clipped** ([Schulman et al.
# 2017](https://arxiv.org/abs/1707.06347)): a good token earns no more above a ratio of 1.2, a bad one no more below 0.8. The
# way back stays open. Here each draw serves for one update: the ratio is 1, and clipping never acts.
#
# The last part is the **KL penalty**, which holds the model to the reference, here the chat model. From drawn tokens alone it is
# estimated by $\rho - \ln \rho - 1$ with $\rho = p_\mathrm{ref} / p$, which is right on average and never below zero
# ([Schulman 2020](http://joschu.net/blog/kl-approx.html)). Now the loss is all there: $\beta$ times the estimate less the gain,
# as a mean over the tokens of each answer, then over the answers.

# %% key="loss"
from llama_np.training.rewards import grpo_loss, mean_of_answers

A = np.array([1.0, -1.0])  # two answers, of 3 and 5 tokens
counts = np.arange(5) < np.array([[3], [5]])
now, old, ref = np.log(np.random.default_rng(1).uniform(0.2, 0.5, (3, 2, 5)))
beta, clip = 0.04, 0.2

ratio, rho = np.exp(now - old), np.exp(ref - now)
gain = np.minimum(ratio * A[:, None], np.clip(ratio, 1 - clip, 1 + clip) * A[:, None])
by_token = beta * (rho - np.log(rho) - 1) - gain
by_hand = np.mean([row[keep].mean() for row, keep in zip(by_token, counts)])
share = mean_of_answers(counts)
agree(by_hand, grpo_loss(now, old, ref, A, share, clip, beta))
start = grpo_loss(ref, ref, ref, A, share, clip, beta)
print(f"at the start, where all three are the same: {start:.3f}")

# %% [markdown] key="loss-read"
# At the start the loss is zero, because the advantages of a group cancel. With one update for each draw every ratio is 1, and what comes later is the
# penalty alone, so that **GRPO's loss rises while the stories get better**.
#
# Both divisions have a price. That by the deviation gives most weight to requests that nearly always or nearly never succeed, and that by
# the length of an answer lets long failures off lightly. Dr. GRPO does without either ([Liu et al. 2025](https://arxiv.org/abs/2503.20783)).
#
# ## Step 5. One step in the open
#
# Whole stories take long, so the model gets three that ended badly, **without their last sentence**, and writes how each goes on,
# eight times, at temperature 1 and for at most 32 tokens. Below is all of GRPO, with the `beta` and `clip` of step 4: draw, judge, compare, loss, step.

# %% key="step"
from llama_np.training.backward import differentiate
from llama_np.training.lora import lora_gradients, merge
from llama_np.training.loss import IGNORE
from llama_np.training.preference import token_log_probability, token_log_probability_backward
from llama_np.training.rewards import grpo_loss_backward


def draw(weights, prompts, seed):
    """A group of answers to each prompt."""

    def group(i):
        dice = np.random.default_rng([seed, i])
        return tell_group(weights, config, tokenizer, prompts[i], how, dice)

    return on_all_cores(group, range(len(prompts)))


def judge(answers):
    told = [[text_of(tokenizer, answer) or "" for answer in group] for group in answers]
    return told, np.array([[float(ends_well(text)) for text in group] for group in told])


# %% key="step-by-hand"
def grpo_step(seed):
    weights = merge(base.weights, lora)
    answers = draw(weights, beginnings, seed)
    told, r = judge(answers)  # both 3 8
    A = group_advantages(r)
    ids, targets = pad([answer for group in answers for answer in group])  # 24 T
    share = mean_of_answers(targets != IGNORE)
    reference = token_log_probability(forward(chat.weights, config, ids), targets)

    def loss_of(logits):
        log_p = token_log_probability(logits, targets)
        known = log_p, log_p, reference, A.reshape(-1), share, clip, beta
        d_log_p = grpo_loss_backward(*known)
        return grpo_loss(*known), token_log_probability_backward(d_log_p, logits, targets)

    _, gradients = differentiate(weights, config, ids, loss_of)
    optimizer.step(lora, lora_gradients(gradients, lora), rate=0.002)
    return told, r, A


# %% key="live" tags=["timing"]
from collections import Counter

from llama_np.training.optimizer import AdamW
from weights_tools.commands.dpo import base_and_lora


def without_the_end(question, story):
    text = story[: story.rindex(last_sentence(story))].strip()
    return encode(tokenizer, Dialog(question, text)).ids[:-1]  # the model goes on from there


short = sorted(pairs, key=lambda pair: len(pair.other))[1:10]
cut = [without_the_end(pair.question, pair.other) for pair in short]
beginnings, others = cut[::3], [ids for i, ids in enumerate(cut) if i % 3]  # to learn from: 3 of 9
how = Groups(answers=8, longest=32, temperature=1.0)
base, lora = base_and_lora("doll-house-chat", chat, rank=8, seed=0)
optimizer = AdamW(lora, weight_decay=0.0)
before = judge(draw(chat.weights, others, seed=100))[1].mean()

share_seen, rows = [], []
for step in range(1, 11):
    told, r_now, A_now = grpo_step(step)
    share_seen.append(r_now.mean())
    if step in (1, 5, 10):
        shown = zip(r_now[1], A_now[1], told[1])
        rows += [[step, f"{x:.0f}", f"{a:+.2f}", text or "(no end yet)"] for x, a, text in shown]
after = judge(draw(merge(base.weights, lora), others, seed=100))[1].mean()
likeliest = Counter(row[3] for row in rows[-8:]).most_common(1)[0]
print("share that ends well, step by step:", np.round(share_seen, 2))
print(f"on six other beginnings: {before:.0%} before, {after:.0%} after")
four_of_eight = [row for i, row in enumerate(rows) if i % 8 < 4]
table(["step", "reward", "advantage", "how it goes on"], four_of_eight)

# %% [markdown] key="live-read"
# {{ claim: np.mean(share_seen[-3:]) > np.mean(share_seen[:2]) + 0.2 and after > before + 0.2 }}
# The table has four endings of eight. At step 1, {{ sum(row[:2] == [1, "1"] for row in rows) }} of the eight please the rule, and get
# {{ next(row[2] for row in rows if row[1] == "1") }} each. At step 10 it is
# {{ sum(row[:2] == [10, "1"] for row in rows) }}, so that all advantages of this group are zero and it no longer teaches anything; *{{ likeliest[0] }}* came {{ likeliest[1] }} times. {{ claim: all(row[2] == "+0.00" for row in rows[-8:]) }} Over
# all three beginnings the share went from {{ np.mean(share_seen[:2]) :.0% }} in the first two steps to
# {{ np.mean(share_seen[-3:]) :.0% }} in the last three, after 240 zeros and ones, and on six beginnings that it did not
# train on from {{ before :.0% }} to {{ after :.0% }}. Nobody has shown the model a good ending: it has found them among its own.

# %% [markdown] key="long-why"
# ## Step 6. What it costs
#
# With whole stories it takes about ten minutes (`python -m weights_tools grpo --out DIR`). What follows was measured by
# `python -m weights_tools.training.rewards.study`, whose tables ship: GRPO from three seeds, and of each run the mean of its last
# weights. Each point of the first picture is the mean over
# the seeds and over 80 answers of each, told in five steps of training.

# %% key="long"
from weights_tools.training.rewards import study
from weights_tools.training.tables import read


def logs_of(method):
    """The log of each seed."""
    rows = [row for row in read(study.GRPO_LOG) if row["method"] == method]
    return [[row for row in rows if row["seed"] == seed] for seed in study.SEEDS]


logs = logs_of(study.REWARDED)
mean = {  # over the seeds, for each line of the logs
    name: np.mean([[row[name] for row in log] for log in logs], axis=0)
    for name in ("step", "mean_reward", "kl_per_answer", "distinct_endings", "train_loss")
}
show.curves(
    mean["step"],
    {"reward": mean["mean_reward"], "different endings": mean["distinct_endings"] / 80},
    ("step", "share of the answers"),
)

# %% [markdown] key="long-read"
# {{ claim: all(log[-1]["mean_reward"] > log[0]["mean_reward"] + 0.2 and log[-1]["distinct_endings"] < 0.8 * log[0]["distinct_endings"] for log in logs) }}
# The reward goes from {{ mean["mean_reward"][0] :.0% }} to {{ mean["mean_reward"][-1] :.0% }}, while the loss **rose** from {{ mean["train_loss"][0] :.4f }} to {{ mean["train_loss"][-1] :.4f }}.
# {{ claim: all(log[-1]["train_loss"] > log[0]["train_loss"] for log in logs) }} Fewer of the endings are different.
#
# Now all ways beside each other: the best of 2, 4 and 8; fine-tuning on the preferred answers alone, and DPO, from lesson 18;
# the DPO that ships, `doll-house-cheerful`; and GRPO. All are asked the same 16 requests, eight times each; only
# GRPO's line is what it told while it was trained. The KL axis is on a square-root scale.
# **Predict before you run:** which lies nearest to the bound of step 1, and by what factor do the others miss it?

# %% key="plot"
points, ends = read(study.POINTS), read(study.ENDINGS)
start = points[0]
p = start["mean_reward"]


def track(rows):
    return np.array([(row["kl_per_answer"], row["mean_reward"]) for row in (start, *rows)])


bound = np.array([(least_kl(q, p), q) for q in np.linspace(p, 0.999, 40)])
lines = {"the least": bound}
for method in (study.BEST_OF_N, study.PREFERRED, study.COMPARED, study.CHEERFUL):
    lines[method] = track([row for row in points if row["method"] == method])
lines["GRPO"] = np.r_[track([]), np.stack([mean["kl_per_answer"], mean["mean_reward"]], axis=-1)]
show.tracks(lines, ("KL from the chat model, nats a story", "share that ends well"), root=True)

# %% key="lost"
last = {}  # of each way the last model of each seed
for row in points:
    last.setdefault(row["method"], {})[row["seed"]] = row
moved = [method for method, its in last.items() if its[0]["kl_at_the_end"]]


def times_the_least(row):
    return row["kl_per_answer"] / least_kl(row["mean_reward"], p)


def before_the_end(row):
    return 1 - row["kl_at_the_end"] / row["kl_per_answer"]


def of(method, what):
    """What was measured, or is computed from it, for each seed."""
    return np.array([what(row) if callable(what) else row[what] for row in last[method].values()])


def with_range(each, form):
    span = f" ({each.min():{form}} to {each.max():{form}})" if len(each) > 1 else ""
    return f"{each.mean():{form}}{span}"


rows = [
    [
        method, with_range(of(method, "mean_reward"), ".0%"),
        with_range(of(method, "kl_per_answer"), ".1f"),
        f"{of(method, times_the_least).mean():.1f}" if method != study.CHAT_ALONE else "",
        f"{of(method, before_the_end).mean():.0%}" if method in moved else "",
        f"{of(method, 'distinct_endings').mean():.0f} of {its[0]['answers']}",
        f"{of(method, 'story_loss').mean() - start['story_loss']:+.3f}",
    ]
    for method, its in last.items()
]  # fmt: skip
header = ["ends well", "nats", "times the least", "before the last sentence", "different endings"]
table(["last models, mean and range", *header, "change of the loss on stories"], rows)


# %% key="paid"
from itertools import product


def nats_at(reward, log):
    """At how many nats the share that ends well has first come so far, between lines of the log."""
    k = next(k for k, row in enumerate(log) if row["mean_reward"] >= reward)
    r, nats = ([log[i][name] for i in (k - 1, k)] for name in ("mean_reward", "kl_per_answer"))
    return np.interp(reward, r, nats)


paid_logs = logs_of(study.PAID_AT_THE_END)
on_the_way = {  # a row for each seed
    name: np.array([[log[4]["mean_reward"], nats_at(0.5, log), nats_at(0.7, log)] for log in each])
    for name, each in (("GRPO", logs), (study.PAID_AT_THE_END, paid_logs))
}
rows = [
    [name, *map(with_range, each.T, (".0%", ".1f", ".1f"))] for name, each in on_the_way.items()
]
header = ["ends well at step 25", "nats where 50 % first do", "where 70 % first do"]
table(["in training", *header], rows)
usual, paid = on_the_way.values()
alike = min(  # of the last models a pair, one of either kind, of the most equal reward
    product(last["GRPO"].values(), last[study.PAID_AT_THE_END].values()),
    key=lambda pair: abs(pair[0]["mean_reward"] - pair[1]["mean_reward"]),
)
free, held = (
    (last[m][0]["mean_reward"], last[m][0]["kl_per_answer"]) for m in study.OTHER_PENALTIES
)
as_held = np.array([nats_at(held[0], log) for log in logs])  # on the way to as many

# %% [markdown] key="lost-read"
# {{ claim: all((of(method, times_the_least) > 3).all() and (of(method, before_the_end) > 0.5).all() for method in moved) }}
# Choosing lies nearest to the bound. What seems to part it from the bound is how it was measured, since its {{ of(study.BEST_OF_N, "kl_per_answer")[0] :.1f }} nats
# count as if the 8 answers drawn were all that the model can say; by step 1's formula they are never more than
# {{ max(best_of_n_kl(share, 8) for share in np.linspace(0.01, 0.99, 99)) :.2f }}. GRPO's last models, asked anew, end well in
# {{ of("GRPO", "mean_reward").mean() :.0% }} of cases and have moved by {{ of("GRPO", "kl_per_answer").mean() :.1f }} nats, {{ of("GRPO", times_the_least).mean() :.0f }} times the least. No trained
# model comes near the bound, and this is no ranking, since recipes count as much as methods. Where did the rest go?
#
# A story's nats are a sum over its tokens, and {{ of("GRPO", before_the_end).mean() :.0% }} of GRPO's lie **before the last sentence**, where
# the rule never looks. It is where most of the tokens are, but an answer could have ended well without them. It is tempting to blame step 4, where an
# advantage is paid to every token alike. The control pays the last sentence alone, and stops after 25 of 60 steps. It learns faster, with every seed.
# {{ claim: (paid[:, 0] > usual[:, 0]).all() and paid[:, 0].mean() > usual[:, 0].mean() + 0.15 }}
# But {{ of(study.PAID_AT_THE_END, before_the_end).mean() :.0% }} of its nats still lie before the last sentence, {{ (of(study.PAID_AT_THE_END, "kl_per_answer") - of(study.PAID_AT_THE_END, "kl_at_the_end")).mean() :.1f }} nats a story instead of
# {{ (of("GRPO", "kl_per_answer") - of("GRPO", "kl_at_the_end")).mean() :.1f }}. **Knowing which
# token earned the reward saves time, and still the rest of the story moves.** Does it move less for the same reward? Early on it does: every seed of the control
# reaches 50 % with fewer nats than any seed of GRPO, and so it is at 70 %, with {{ paid[:, 2].mean() :.1f }} nats instead of {{ usual[:, 2].mean() :.1f }}. Of the last models no such order can be told: one of either kind ends well in
# {{ alike[0]["mean_reward"] :.0% }} and {{ alike[1]["mean_reward"] :.0% }}, with {{ alike[0]["kl_per_answer"] :.1f }} and {{ alike[1]["kl_per_answer"] :.1f }} nats. {{ claim: paid[:, 1].max() < usual[:, 1].min() and paid[:, 2].max() < usual[:, 2].min() }}
# {{ claim: abs(alike[0]["mean_reward"] - alike[1]["mean_reward"]) < 0.02 }}
#
# What does make it move less is the penalty. Without one, GRPO moves by {{ free[1] :.1f }} nats, more than with any seed above, and ends well in
# {{ free[0] :.0% }}, which is no better. With ten times the penalty it moves by {{ held[1] :.1f }} nats, where GRPO in training has needed
# {{ as_held.min() :.1f }} to {{ as_held.max() :.1f }} to come as far; but it comes to no more than {{ held[0] :.0% }}. (These two are one seed each.)
# {{ claim: free[1] > 1.2 * of("GRPO", "kl_per_answer").max() and free[0] < of("GRPO", "mean_reward").max() and held[1] < 0.5 * as_held.min() }}
# **Part of the way earns nothing**, and a penalty takes that off; a larger one takes off reward as well.
#
# Why does the beginning move, where nothing is paid for it? Perhaps because it helps: some beginnings may come to a happy end more easily
# than others. The model of step 5, which has learned from ends alone, can be asked. It tells whole stories, we cut their last sentence, and the
# **chat model**, which has learned nothing of all this, finishes them; its own beginnings are the control.
#
# **Predict before you run:** does the chat model end more stories well when the other has begun them?

# %% key="whole" tags=["timing"]
from weights_tools.training.grpo import tell as tell_and_judge

live = merge(base.weights, lora)
whole = tell_and_judge(
    live, chat.weights, config, tokenizer, prompts, ends_well, Groups(answers=8), [7]
)
nats = np.mean([one.kl.sum() for one in whole])
at_its_end = np.mean([study.nats_at_the_end(tokenizer, one) for one in whole])
print(f"{nats:.1f} nats a story, {1 - at_its_end / nats:.0%} of them before the last sentence")
print(next(one.text for one in whole if one.text and ends_well(one.text)))


# %% key="finished" tags=["timing"]
def finished_by_chat(told):
    """Of each begun story the share of 8 ends that are good, when the chat model goes on."""
    begun = [without_the_end(requests[i // 8], text) for i, text in enumerate(told) if text]
    return judge(draw(chat.weights, begun, seed=200))[1].mean(axis=1)


ended = {
    "the chat model": finished_by_chat([story for group in stories for story in group[:8]]),
    "the model of step 5": finished_by_chat([one.text for one in whole]),
}
error = {name: each.std() / np.sqrt(len(each)) for name, each in ended.items()}
rows = [[n, len(each), f"{each.mean():.0%} ± {error[n]:.0%}"] for n, each in ended.items()]
table(["begun by", "stories", "ended well by the chat model"], rows)
own, moved_by = ended.values()

# %% [markdown] key="whole-read"
# {{ claim: abs(moved_by.mean() - own.mean()) < 2 * np.hypot(*error.values()) and 1 - at_its_end / nats > 0.3 }}
# Not that one could see it: {{ own.mean() :.0% }} ± {{ error["the chat model"] :.0% }} and {{ moved_by.mean() :.0% }} ± {{ error["the model of step 5"] :.0% }}. {{ 1 - at_its_end / nats :.0% }} of this model's way lies before the
# last sentence, though in training it wrote no more than the last 32 tokens of a story, and its beginnings serve the rule no better than those of the chat model. As far as {{ len(own) }} stories can tell, it is a side
# effect: one set of weights writes every token, so that **a step made for the end moves the rest as well**.
#
# What else is lost: GRPO writes {{ of("GRPO", "distinct_endings").mean() :.0f }} different endings where the chat model
# had {{ start["distinct_endings"] }}, and pays {{ of("GRPO", "story_loss").mean() - start["story_loss"] :.3f }} nats a token on held-out stories.
#
# ## Step 7. Reward hacking
#
# What do they write? The most frequent last sentences:

# %% key="hacking"
of_model = {}  # the last sentences of the last models, the most frequent first
for method in (study.CHAT_ALONE, "GRPO", study.CHEERFUL):
    for seed, model in last[method].items():
        its = [e for e in ends if all(e[key] == model[key] for key in ("method", "seed", "at"))]
        of_model[f"{method}, seed {seed}" if method == "GRPO" else method] = its
rows = [
    [name, e["times"], "yes" if e["rewarded"] else "no", e["ending"]]
    for name, its in of_model.items()
    for e in its[:3]
]
table(["", "times of 128", "rewarded", "last sentence"], rows)

# %% [markdown] key="hacking-read"
# {{ claim: all(its[0]["times"] > 2 * of_model["chat model"][0]["times"] for name, its in of_model.items() if name != "chat model") }}
# {{ claim: all({e["ending"].replace("all ", "") for e in its[:2]} == {"And they lived happily ever after"} for name, its in of_model.items() if name.startswith("GRPO")) }}
# The chat model's favourite came {{ of_model["chat model"][0]["times"] }} times of {{ start["answers"] }}, that of the DPO that ships {{ of_model["DPO that ships"][0]["times"] }} times. The
# three runs of GRPO drew other requests and other answers, and have arrived at the same sentence, with or without *all*. It asks nothing of the story
# before it. A reward that is earned in a way that was not meant is called **reward hacking** ([Amodei et al.
# 2016](https://arxiv.org/abs/1606.06565), section 4). How much of the gain is that?

# %% key="mended"
import re

formulas = {
    "happily ever after": "happily ever after",
    "And ... was happy": r"^And .+ (was|were) happy$",
}
by_formula = {}
for name, its in of_model.items():
    good_ones = [e for e in its if e["rewarded"]]
    counts = [
        sum(e["times"] for e in good_ones if re.search(formula, e["ending"]))
        for formula in formulas.values()
    ]
    total = sum(e["times"] for e in good_ones)
    by_formula[name] = np.array([total, *counts, total - sum(counts)])
gains = {name: n - by_formula["chat model"] for name, n in by_formula.items()}
table(
    ["stories of 128", "end well", *formulas, "otherwise"], [[m, *n] for m, n in by_formula.items()]
)
of_grpo = np.array([n for name, n in gains.items() if name.startswith("GRPO")])  # seeds, columns
first_share, second_share, other_share = of_grpo[:, 1:].sum(axis=0) / of_grpo[:, 0].sum()

# %% [markdown] key="mended-read"
# {{ claim: all(0.4 < n[1] / n[0] < 0.9 and n[1:3].sum() > 0.6 * n[0] for m, n in gains.items() if m != "chat model") }}
# {{ claim: of("GRPO", "distinct_endings").max() < start["distinct_endings"] }}
# GRPO has {{ of_grpo[:, 0].min() }} to {{ of_grpo[:, 0].max() }} good stories more than the chat model. Over all seeds {{ first_share :.0% }} of these are
# *happily ever after*. *And Tom was happy*, with any name, makes another
# {{ second_share :.0% }}, and {{ other_share :.0% }} are left for all else. Of the gain of the
# DPO that ships the first formula is {{ gains["DPO that ships"][1] / gains["DPO that ships"][0] :.0% }}. **Most of what was gained
# is two formulas**. Whether the others are *good*, the rule cannot say. It likes the story printed above as well, so
# somebody has to read what the model writes.

# %% [markdown] key="next"
# ## Where you have come
#
# You have now computed by hand what was a black box in lesson [00](00_start_here.ipynb), from the
# bytes of a text to the reward of a story. To go on, put a rule of your own in the place of `ends_well`, and look for what the
# model does to earn it.
