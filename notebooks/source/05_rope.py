# %% [markdown] key="title"
# # 05 RoPE: how position gets in
#
# Some heads of this model have one main job: from every token they read mostly the token just before it,
# whatever that is. In *Once upon a time, there was a little girl named* such a head reads the first word from the
# second, the second from the third, and so on. How does it find its neighbour, when a score is a dot product
# of two rows, and a row says what a token is but not where it stands?
#
# Llama's answer has not a single learned number in it. Before a query meets a key, both are **turned**, by an
# angle that grows with the position of their token. This is the **rotary position embedding**, RoPE for short:
# queries and keys of a head go in (`T K`), and rows of the same shape come out.
#
# At the end you will have built such a head by hand, out of nothing but angles, and put it in the place of all the
# trained ones at once.
#
# Before this page: [lesson 04](04_single_head_attention.ipynb). Beside it: [exercise 05](exercises/05_rope.ipynb).

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from llama_np import LLAMA_3_8B, forward, log_softmax, patch, record, softmax
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.attention_map(lit=["rotate"], n_heads=config.n_heads, n_kv_heads=config.n_kv_heads)

# %% [markdown] key="head-why"
# ## The heads in question
#
# In a pattern, the weights on the token before lie one place below the diagonal. For every head we take their
# mean over the beginnings of twenty stories, from the third token on, since earlier ones hardly have a choice.

# %% key="head"
from weights_tools.examine import ordinary_texts

texts = ordinary_texts(tokenizer, 40).ids  # the beginnings of forty stories
stories, others = texts[:20], texts[20:]
seen = []
for story in stories:
    trace = {}
    forward(weights, config, story, tap=record(trace, only={"pattern"}))
    patterns = [trace[f"blocks.{b}.pattern"] for b in range(config.n_layers)]
    seen.append([p.diagonal(-1, 1, 2)[:, 1:].mean(axis=-1) for p in patterns])
on_previous = np.mean(seen, axis=0)  # blocks, heads
ranked = [divmod(int(n), config.n_heads) for n in np.argsort(-on_previous, axis=None)]
heads = ranked[: max(5, (on_previous > 0.3).sum())]
for block, head in heads[:5]:
    print(f"block {block:2} head {head}: {on_previous[block, head]:.2f} on the token before")
print(f"above 0.3: {(on_previous > 0.3).sum()} heads; median head: {np.median(on_previous):.2f}")

# %% key="setup"
prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(t) for t in ids]
i, h = heads[0]
trace = {}
forward(weights, config, ids, tap=record(trace))
shared = h // config.group
q, k, v = trace[f"blocks.{i}.q"][h], trace[f"blocks.{i}.k"][shared], trace[f"blocks.{i}.v"][shared]
pattern = trace[f"blocks.{i}.pattern"][h]
for t in range(2, len(ids)):
    most = pattern[t].argmax()
    print(f"{labels[t]:>9} reads {labels[most]:9} {pattern[t, most]:.2f}")
clearest = 2 + pattern.diagonal(-1)[1:].argmax()
show.reads(labels, pattern, reader=clearest)

# %% [markdown] key="head-note"
# Those above 0.3 we call **previous-token heads**; there are {{ len(heads) }} of {{ on_previous.size }}. The
# clearest one, head {{ h }} of block {{ i }}, reads our sentence one place behind: in
# {{ sum(pattern[t].argmax() == t - 1 for t in range(2, len(ids))) }} of the {{ len(ids) - 2 }} rows above most weight goes
# to the left neighbour.
# {{ claim: on_previous[i, h] > 0.5 and len(heads) < on_previous.size / 4 }}
#
# ## Step 1. Without position the head is lost
#
# `q` and `k` above are the queries and keys as lesson 04 makes them, before anything has been turned. Let us
# take the pattern straight from these. A token sees itself and the tokens before it; lesson 06 is about that
# rule, and here a triangle of ones stands for it.

# %% key="problem-code"
T, K = q.shape


def pattern_of(q, k):  # T K, S K -> T S
    allowed = np.tri(len(q), dtype=bool)
    return softmax(np.where(allowed, q @ k.T / np.sqrt(K), -np.inf))


def before_it(pattern):
    return pattern.diagonal(-1)[1:].mean()  # the weights on the token before, from the third row on


unturned, even = pattern_of(q, k), pattern_of(q * 0, k)
both = {"in the model": pattern, "without position": unturned}
show.matrices(both, ("query T", "key S"), rows=labels, columns=labels, quantity="weights")
print(f"on the token before: {before_it(pattern):.2f} in the model, ", end="")
print(f"{before_it(unturned):.2f} without position, {before_it(even):.2f} if all count the same")

# %% [markdown] key="problem"
# The stripe beside the diagonal is gone. Of {{ before_it(pattern) :.2f }} on the token before,
# {{ before_it(unturned) :.2f }} is left, where a head that spreads its weight evenly would give
# {{ before_it(even) :.2f }}.
# {{ claim: before_it(unturned) < 0.75 * before_it(pattern) }}
#
# A score is made from two rows, and nothing in it changes when the two tokens change places, so this step alone could not
# tell *the dog bit the man* from *the man bit the dog*. RoPE leaves the stream as it is and acts on queries and keys, so
# that a score depends on what two tokens hold and on *how far apart* they are: "the word before me" should mean the same
# at position 3 and at position 300.

# %% [markdown] key="idea"
# ## Step 2. One pair, turned
#
# Take the first two numbers of a query. Two numbers are a point in the plane. To **turn** a point $(a,
# b)$ around the origin by an angle $\varphi$:
#
# $$(a, b) \;\to\; (a \cos\varphi - b \sin\varphi,\;\; a \sin\varphi + b \cos\varphi)$$
#
# The angle is the position, in **radians**. Position 0 is not turned, position 1 by one radian, position 2 by
# two. A full turn is $2\pi \approx 6.28$ radians, so one radian is about 57 degrees; `np.cos` and `np.sin`
# expect radians.

# %% key="one-pair"
a, b = q[-1, :2]
places = np.arange(7)
first = a * np.cos(places) - b * np.sin(places)
second = a * np.sin(places) + b * np.cos(places)
turned = np.stack([first, second], axis=1)
show.arrows({f"first pair of the query of {labels[-1]}": turned}, places)

# %% [markdown] key="one-pair-note"
# Each arrow is the same pair at another position, and each has the same length: a turn takes nothing away and
# adds nothing. At position 6 the arrow is nearly back, because 6 is nearly 6.28. One pair is therefore not
# enough, for it would take the token seven places back for the neighbour.
#
# ## Step 3. A frequency for every pair
#
# So the `K` numbers of a query are taken as `K/2` pairs, neighbours together, and each pair turns at its own
# speed, its **frequency**, in radians per position:
#
# $$\theta_j = \mathrm{base}^{-2j/K} \qquad j = 0, 1, \dots, K/2 - 1$$
#
# Here $j$ counts the pairs, and the base is a constant of the model, `rope_theta` in its config. Pair 0 turns by
# 1 radian per position, each further pair more slowly. At position $m$ the pair $j$ is turned by the angle
# $m\,\theta_j$ ([Su et al. 2021](https://arxiv.org/abs/2104.09864), section 3.2.2).

# %% key="frequencies-by-hand"
pair = np.arange(K // 2)
by_hand = config.rope_theta ** (-2 * pair / K)
print(f"K = {K} numbers, {K // 2} pairs, base {config.rope_theta:,.0f}")
print("radians per position:", *(f"{f:.3g}" for f in by_hand))

# %% key="frequencies-named"
from llama_np import rope_frequencies

agree(by_hand, rope_frequencies(K, config.rope_theta))
frequencies = rope_frequencies(K, config.rope_theta, config.rope_scaling)

# %% [markdown] key="wavelength-why"
# The third argument came with Llama 3.1, and [a page of its own](05b_long_context.ipynb) explains it.
# A frequency says more when it is turned upside down: after $\lambda_j = 2\pi/\theta_j$ positions a pair has
# made a full turn, and this is its **wavelength**. Here are four pairs of this model and four of Llama 3 8B.


# %% key="wavelengths"
def some_pairs(c):
    f = rope_frequencies(c.head_dim, c.rope_theta, c.rope_scaling)
    for j in np.linspace(0, len(f) - 1, min(4, len(f))).astype(int):
        turns = c.context_length * f[j] / (2 * np.pi)
        yield j, f"{f[j]:.3g}", f"{2 * np.pi / f[j]:,.1f}", f"{turns:,.3f}"


header = ["pair", "radians per position", "wavelength", "turns in the longest text"]
rows = [["**this model**", "", "", ""], *some_pairs(config)]
table(header, [*rows, ["**Llama 3 8B**", "", "", ""], *some_pairs(LLAMA_3_8B)])

# %% [markdown] key="wavelength-note"
# The first wavelength is $2\pi$ in every Llama. In {{ config.context_length }} tokens, the longest text this
# model was made for, the slowest pair turns by only
# {{ np.rad2deg(config.context_length * frequencies[-1]) :.1f }} degrees. Of the {{ K // 2 }} pairs
# {{ (config.context_length * frequencies < 2 * np.pi).sum() }} never complete a turn; in Llama 3 8B, with 8,192
# tokens, it is {{ (8192 * rope_frequencies(128, LLAMA_3_8B.rope_theta) < 2 * np.pi).sum() }} of 64. A pair that
# hardly turns cannot tell one place from the next.
# {{ claim: config.context_length * frequencies[-1] < np.pi }}

# %% [markdown] key="angles-why"
# ## Step 4. All tokens, all pairs
#
# The angles are a table with a row for each token and a column for each pair. **Positions count from 0**: row 3
# belongs to position 3, the fourth token. How many columns there are comes from the width of the head and has
# nothing to do with the text.

# %% key="angles"
positions = np.arange(T)
angles = positions[:, None] * frequencies  # T 1 * K/2 -> T K/2
print("angles", angles.shape)
print("row 3, in radians:", *(f"{angle:.3g}" for angle in angles[3]))
clocks = {}
for j in np.linspace(0, K // 2 - 1, 4).astype(int):
    clocks[f"pair {j}"] = np.stack([np.cos(angles[:7, j]), np.sin(angles[:7, j])], axis=1)
show.arrows(clocks, positions[:7], ("", ""))

# %% [markdown] key="rotate-why"
# Each pair is a clock with its own speed: at position 6 the first is nearly round, the last has hardly left its
# place.
#
# Now every pair of every query is turned by its own angle. `x[:, 0::2]` are the first numbers of all pairs,
# `x[:, 1::2]` the second ones, and in the result they are put back as neighbours.

# %% key="rotate-by-hand"
cos, sin = np.cos(angles), np.sin(angles)


def turn(x):  # T K -> T K
    a, b = x[:, 0::2], x[:, 1::2]
    return np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape)


q_rotated, k_rotated = turn(q), turn(k)
agree(pattern_of(q_rotated, k_rotated), pattern)

# %% [markdown] key="rotate-agree-note"
# From queries and keys that were turned by hand comes the pattern that the model had. The library's
# function is `rotate`. It changes nothing in the first row, whose position is 0, and no row's length.

# %% key="rotate-named"
from llama_np import rotate

agree(q_rotated, rotate(q, positions, frequencies))
agree(np.linalg.norm(q_rotated, axis=-1), np.linalg.norm(q, axis=-1))
source(rotate)

# %% [markdown] key="distance-why"
# ## Step 5. Why it works: only the distance counts
#
# A query at position $m$ is turned by $m\,\theta_j$, a key at position $n$ by $n\,\theta_j$. Think of a clock
# with two hands that turn at the same speed: the angle between them stays as it is, wherever they point.

# %% key="hands"
show.hands([0, 1, 2, 3, 4])

# %% [markdown] key="distance-predict"
# We take one query and one key of the sentence and put them at other positions. **Predict before you run:**
# what happens to their score if both move on by 10 places? By 100,000? And if only the query moves?

# %% key="distance-experiment"
reader, read = T - 1, T - 2


def score(m, n):
    at_m = rotate(q[reader][None], np.array([m]), frequencies)
    at_n = rotate(k[read][None], np.array([n]), frequencies)
    return (at_m @ at_n.T).item() / np.sqrt(K)


print(f"query of {labels[reader]} at {reader}, key of {labels[read]} at {read}")
rows = []
for shift in (0, 1, 2, 3, 10, 100, 100_000):
    both, query_only = score(reader + shift, read + shift), score(reader + shift, read)
    rows.append([f"{shift:,}", f"{both:.3f}", f"{query_only:.3f}"])
table(["moved by", "both move", "only the query moves"], rows)

# %% [markdown] key="distance-answer"
# <details><summary>Answer</summary>
#
# While both move, the score stands still at {{ score(reader, read) :.3f }}, however far they go. When only
# the query moves, the distance grows, and with one place more the score is
# {{ score(reader + 1, read) :.3f }}. {{ claim: abs(score(reader + 10, read + 10) - score(reader, read)) < 1e-3 }}
#
# </details>
#
# This can be said in one line. The dot product of two pairs is the product of their lengths and the cosine of the
# angle between them. Let $\varphi_j$ be the angle from the key's pair to the query's pair before any turning. At
# the distance $d = m - n$ it has become $\varphi_j + d\,\theta_j$, and the whole score is
#
# $$\mathrm{score}(d) = \frac{1}{\sqrt K} \sum_j |q_j|\,|k_j|\,\cos(\varphi_j + d\,\theta_j)$$
#
# The positions $m$ and $n$ are gone and only $d$ is left ([Su et al. 2021](https://arxiv.org/abs/2104.09864),
# section 3.1).


# %% key="distance-formula"
def polar(row):  # K -> K/2 lengths, K/2 directions
    a, b = row[..., 0::2], row[..., 1::2]
    return np.hypot(a, b), np.arctan2(b, a)


def strength_and_angle(query, key):  # |q||k| / sqrt(K) and phi, for each pair
    (q_length, q_angle), (k_length, k_angle) = polar(query), polar(key)
    return q_length * k_length / np.sqrt(K), q_angle - k_angle


strength, phi = strength_and_angle(q[reader], k[read])
d = np.arange(30)
by_formula = (strength * np.cos(phi + d[:, None] * frequencies)).sum(axis=-1)
agree(by_formula, np.array([score(m, 0) for m in d]))

# %% [markdown] key="distance-model-note"
# What holds for one score holds for the whole model, since besides these angles only the triangle depends
# on positions, and only on their order. If all tokens move on by 100 places the probabilities stay, to within the
# rounding of such large angles, but not if the tokens stand twice as far apart.

# %% key="distance-model"
here = softmax(forward(weights, config, ids))
agree(softmax(forward(weights, config, ids, positions=positions + 100)), here, tolerance=1e-3)
spread_out = softmax(forward(weights, config, ids, positions=positions * 2))
change = np.abs(spread_out[-1] - here[-1]).sum() / 2
print(f"spread out, {change:.0%} of the probability of the next token lies elsewhere")

# %% [markdown] key="values-why"
# **Values are not turned**, because a value meets no partner whose turn would cancel its own. Otherwise the mix would
# change with the position.
#
# ## Step 6. A previous-token head by hand
#
# The formula says how to build the heads we began with. The score should be largest at distance 1. The cosine
# is largest where its angle is 0, so every pair needs $\varphi_j + 1\cdot\theta_j = 0$, that is, $\varphi_j =
# -\theta_j$. Words should play no part, so all tokens get one and the same key, and one and the same query.

# %% [markdown] key="by-hand-predict"
# What is left to choose is the strength of each pair, $|q_j|\,|k_j| / \sqrt K$. Let the strengths of all pairs
# add up to 20. **Predict before you run:** should the budget go to the fast pairs or to the slow ones? Is the
# fastest pair alone enough? And which choice suffers most in a long text?


# %% key="by-hand"
def hand_made(strength, phi):  # K/2, K/2 -> one query, one key
    length, query, key = np.sqrt(strength * np.sqrt(K)), np.zeros(K), np.zeros(K)
    key[0::2] = length
    query[0::2], query[1::2] = length * np.cos(phi), length * np.sin(phi)
    return query, key


def blind_pattern(query, key, n):  # the same query and key for all n tokens -> n n
    at = np.arange(n)
    return pattern_of(*(rotate(np.tile(row, (n, 1)), at, frequencies) for row in (query, key)))


budget = 20
half = K // 4
choices = {
    "the fastest pair alone": pair < 1,
    f"the fast half, {half} pairs": pair < half,
    "all alike": pair >= 0,
    "the slow half": pair >= K // 2 - half,
}
hand, reached = {}, {}
for name, chosen in choices.items():
    hand[name] = hand_made(chosen / chosen.sum() * budget, -frequencies)
    for n in (T, 120, config.context_length):
        reached[name, n] = before_it(blind_pattern(*hand[name], n))
alone, fast, alike, slow = choices
rows = [[a, *(f"{reached[b, n]:.2f}" for b, n in reached if a == b)] for a in choices]
table(["budget goes to", f"{T} tokens", "120 tokens", f"{config.context_length} tokens"], rows)

# %% [markdown] key="by-hand-note"
# <details><summary>Answer</summary>
#
# The entries are the weight on the token before. The fast half gives it {{ reached[fast, T] :.2f }} in a text as
# short as ours, and nothing in it was learned. The slow half fails, because to it the places 1, 2 and 3 look alike.
# {{ claim: reached[fast, T] > 2 * reached[slow, T] and reached[fast, 120] > 4 * reached[slow, 120] }}
# The fastest pair alone is good for a few words, but it can hardly tell 1 place from 7, since $\cos 6 \approx
# 0.96$, and the longer the text, the more such places there are: {{ reached[alone, 120] :.2f }} is left at 120
# tokens, where the fast half still has {{ reached[fast, 120] :.2f }}.
# {{ claim: reached[fast, 120] > reached[alone, 120] }}
#
# </details>
#
# ## Step 7. And how do the trained heads do it?
#
# Training knows nothing of our construction. If its heads work like ours, pair 0 lies at $-1$ radian, which is
# $-57$ degrees. Here, from twenty other stories, is the angle $\varphi_j$ between a head's mean query and mean key
# in each pair. Behind ± is the standard deviation over neighbouring tokens, and bold are pairs with more than a
# fifth of the head's strength.

# %% key="trained"
taken = []
for story in others:
    taken.append({})
    forward(weights, config, story, tap=record(taken[-1], only={"q", "k"}))


def mean_rows(name):  # -> blocks heads K, begin-of-text left out
    blocks = [[t[f"blocks.{b}.{name}"][:, 1:] for t in taken] for b in range(config.n_layers)]
    return np.array([np.mean([rows.mean(axis=1) for rows in block], axis=0) for block in blocks])


def wrapped(angle):  # between -pi and pi
    return (angle + np.pi) % (2 * np.pi) - np.pi


def deviation(block, head):  # of the angle in pair 0, over all neighbouring tokens
    names = f"blocks.{block}.q", f"blocks.{block}.k"
    both = [(t[names[0]][head, 2:], t[names[1]][head // config.group, 1:-1]) for t in taken]
    found = np.concatenate([strength_and_angle(*rows)[1][:, 0] for rows in both])
    return np.sqrt(np.mean(wrapped(found - phi[block, head, 0]) ** 2))


strength, phi = strength_and_angle(
    mean_rows("q"), np.repeat(mean_rows("k"), config.group, axis=1)
)  # blocks heads K/2
phi = wrapped(phi)
rows = [["**derived**", "", *np.rad2deg(-frequencies).round().astype(int)]]
for n in heads[:5]:
    cells = [f"{degrees:.0f}" for degrees in np.rad2deg(phi[n])]
    cells[0] += f" ± {np.rad2deg(deviation(*n)):.0f}"
    loud = strength[n] > strength[n].sum() / 5
    cells = [f"**{cell}**" if it else cell for cell, it in zip(cells, loud)]
    rows.append([f"block {n[0]} head {n[1]}", f"{on_previous[n]:.2f}", *cells])
table(["head", "on the token before", *(f"pair {j}" for j in pair)], rows)

# %% [markdown] key="law-why"
# In pair 0 all five lie between {{ np.rad2deg(min(phi[n][0] for n in heads[:5])) :.0f }} and
# {{ np.rad2deg(max(phi[n][0] for n in heads[:5])) :.0f }} degrees, nearly whatever the words. But they were chosen as
# the best. Here is pair 0 of all {{ on_previous.size }} heads.

# %% key="law"
degrees = np.rad2deg(phi[..., 0]).ravel()
derived = np.rad2deg(-frequencies[0]) * np.ones_like(degrees)
show.points(
    on_previous.ravel(),
    {"derived": derived, "a head": degrees},
    ("weight on the token before", "angle of pair 0, degrees"),
)
near = np.abs(np.rad2deg(wrapped(phi[..., 0] + frequencies[0]))) < 30
loudness = strength[..., 0]
edges = (0, 0.05, 0.1, 0.2, 0.3, 0.5, 1)
rows = []
for low, high in zip(edges, edges[1:]):
    those = (on_previous > low) & (on_previous <= high)
    share = f"{near[those].mean():.0%}" if those.any() else ""
    loud = f"{np.median(loudness[those]):.2f}" if those.any() else ""
    rows.append([f"{low} to {high}", those.sum(), share, loud])
table(["on the token before", "heads", "within 30° of -57°", "median strength of pair 0"], rows)
ramp = 1 + np.mean([strength[n][1:] for n in heads], axis=0).argmax()  # loudest after pair 0
off = np.abs(np.rad2deg(wrapped(np.array([phi[n] for n in heads]) + frequencies)))  # heads K/2
kept = [int(j) for j in pair if np.median(off[:, j]) < 30]  # pairs near what we derived
within = ", ".join(f"{(off[:, j] < 30).mean():.0%}" for j in kept)

# %% [markdown] key="trained-note"
# The more a head reads its neighbour, the closer pair 0 lies to the angle that we derived, and the louder it is. Of
# the previous-token heads {{ np.mean([near[n] for n in heads]) :.0% }} lie within 30 degrees of it, of those below 0.05
# only {{ near[on_previous <= 0.05].mean() :.0% }}, where chance would give 17%.
# {{ claim: np.mean([near[n] for n in heads]) > 0.75 and np.mean([near[n] for n in heads]) > near[on_previous <= 0.05].mean() + 0.3 }}
# {{ claim: np.median([loudness[n] for n in heads[:5]]) > 4 * np.median(loudness) }}
#
# Our rule holds in {{ "pair" + "s" * (len(kept) > 1) + " " + (", ".join(str(j) for j in kept) or "none") }}, within 30 degrees for {{ within or "none" }} of the heads, and nowhere else for more than half; where it holds for little more than half, as in the last of these, it misses some of the best heads in the table above. The other angles climb away from it: pair {{ ramp }}, the loudest of them, lies at
# {{ np.rad2deg(np.median([phi[n][ramp] for n in heads])) :.0f }} degrees in the median of the {{ len(heads) }} heads, where we had derived
# {{ np.rad2deg(-frequencies[ramp]) :.0f }}. So the trained heads are not built like ours. At such an angle a cosine is steep. What could
# a slope be good for? Here are the parts of the score in the clearest head. All curves but the first are moved up or down
# as a whole, which changes nothing for softmax.
# {{ claim: 30 < np.rad2deg(np.median([phi[n][ramp] for n in heads])) < 120 }}

# %% key="parts"
distances = np.arange(31)
parts = strength[i, h] * np.cos(phi[i, h] + distances[:, None] * frequencies)  # distances, pairs
from_one = parts[1] - parts  # what is lost since distance 1
after = from_one[:, 2:].sum(axis=-1)
show.curves(
    distances,
    {
        "pair 0": parts[:, 0],
        "pair 1": -from_one[:, 1],
        "pairs from 2 on": -after,
        "all pairs": -from_one.sum(axis=-1),
    },
    ("distance", "part of the score"),
)

# %% [markdown] key="parts-note"
# In this head pair 0 does the fine work: of the {{ from_one[2].sum() :.1f }} that the score loses from distance 1 to 2,
# {{ from_one[2, 0] :.1f }} come from pair 0. At 7 it is nearly back, but pair 1 and the slower ones have lost
# {{ from_one[7, 1] + after[7] :.1f }}. At 20 both fast pairs have come round, and only the slower ones decide, with
# {{ after[20] :.1f }} lost, {{ from_one[20, ramp] :.1f }} of it by pair {{ ramp }}. A slope that falls with
# distance, a **ramp**, says which peak is meant: the nearest.
# {{ claim: parts.sum(axis=-1).argmax() == 1 and from_one[2, 0] > 0.5 * from_one[2].sum() and after[20] > 1 }}
#
# ## Step 8. The hand-made head in the model
#
# In all {{ len(heads) }} previous-token heads at once we replace the pattern, and nothing else, by that of the fast
# half from step 6, which knows neither words nor anything that training has found. As controls there are the same
# pairs with angles for *two* places back, $-2\,\theta_j$, and the slow half.
#
# What are such heads good for? Here is a task made for them, and part of what this model was trained on: a list of 24 random words, said twice. The second time
# it can be copied, if each token has a note of the one before it ([lesson 07b](07b_induction.ipynb) tells how). We
# measure the **loss**, the mean of $-\log p$ with $p$ the probability of the token that did come next, on the second
# halves of twenty lists and on our twenty stories.

# %% [markdown] key="in-the-model-predict"
# **Predict before you run:** how much of their work is left, in the lists and in the stories?

# %% key="in-the-model"
from weights_tools.examine import ordinary_tokens

rng, words, N = np.random.default_rng(0), ordinary_tokens(tokenizer), 24
once = [rng.choice(words, N, replace=len(words) < N) for _ in range(20)]
lists = [np.array([ids[0], *row, *row]) for row in once]


def losses(texts, first, tap):  # one text after the other, tokens from number first on
    rows = [log_softmax(forward(weights, config, text, tap=tap)) for text in texts]
    return np.array(
        [-r[np.arange(first - 1, len(t) - 1), t[first:]].mean() for r, t in zip(rows, texts)]
    )


def in_all(part, new):  # in all previous-token heads at once
    def at(block):
        def replace(rows):  # Hq T ...
            rows, chosen = rows.copy(), [head for b, head in heads if b == block]
            rows[chosen] = new(rows[0])
            return rows

        return replace

    return patch({f"blocks.{block}.{part}": at(block) for block, _ in heads})


by_fast = (pair < half) / half * budget
softer = hand_made(by_fast / 2, -frequencies)
built = {
    "made by hand": hand[fast],
    "the same, half as strong": softer,
    "the same, two places back": hand_made(by_fast, -2 * frequencies),
    "the slow half": hand[slow],
}
tried = {
    name: in_all("pattern", lambda old, rows=rows: blind_pattern(*rows, len(old)))
    for name, rows in built.items()
}
tried["they write nothing"] = in_all("mix", np.zeros_like)
kinds = {"lists": (lists, N + 1), "stories": (stories, 1)}
trained = {kind: losses(*of, patch({})) for kind, of in kinds.items()}
worse = {}
rows = [["as trained", *(f"loss {trained[kind].mean():.3f}" for kind in kinds)]]
for name, tap in tried.items():
    rows.append([name])
    for kind, of in kinds.items():
        change = losses(*of, tap) - trained[kind]
        worse[name, kind] = change.mean()
        rows[-1].append(f"{change.mean():+.3f} ± {change.std() / len(change) ** 0.5:.3f}")
table(["previous-token heads", "lists, second time", "stories"], rows)

# %% [markdown] key="discovery"
# Behind ± is the standard error over twenty texts. When the {{ len(heads) }} heads write nothing, the loss in the
# lists rises by {{ worse["they write nothing", "lists"] :.2f }}. With one pattern made of angles in all of them it
# changes by {{ worse["made by hand", "lists"] :+.3f }}: the model copies as before. The place is what counts: aimed
# two places back, the same head does more harm ({{ worse["the same, two places back", "lists"] :+.1f }}) than
# silence, and the slow half is of little use ({{ worse["the slow half", "lists"] :+.2f }}).
# {{ claim: worse["made by hand", "lists"] < 0.2 * worse["they write nothing", "lists"] }}
# {{ claim: worse["the same, two places back", "lists"] > worse["they write nothing", "lists"] > 0.5 }}
# {{ claim: worse["the slow half", "lists"] > 0.5 * worse["they write nothing", "lists"] }}
#
# In stories, silence costs only {{ worse["they write nothing", "stories"] :+.3f }}, and the hand-made heads
# {{ worse["made by hand", "stories"] :+.3f }}. They are too strict: the trained ones give their neighbour
# {{ np.mean([on_previous[n] for n in heads]) :.0% }} of their weight on average, ours {{ reached[fast, 120] :.0% }}.
# With half the strength it is {{ before_it(blind_pattern(*softer, 120)) :.0% }}, and the loss changes by only
# {{ worse["the same, half as strong", "stories"] :+.3f }}, but the lists are copied less well
# ({{ worse["the same, half as strong", "lists"] :+.3f }}): of these two strengths each is better for one of the two.
# {{ claim: worse["the same, half as strong", "stories"] < worse["they write nothing", "stories"] }}
#
# So a head can find its neighbour not by words but by angles. Gemma 7B has such heads, too, and they use the highest
# frequencies; the low ones, which hardly turn, serve to compare what two tokens hold almost wherever they are
# ([Barbero et al. 2024](https://arxiv.org/abs/2410.06205)).

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>How would you build a head that reads the token three places back?</summary>
#
# With $\varphi_j = -3\,\theta_j$: every pair then has its peak at distance 3. A ramp has to be gentler, since
# it pulls towards distance 0.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# In [exercise 05](exercises/05_rope.ipynb) you write this step yourself and take the words away from the head.
# [Lesson 05b](05b_long_context.ipynb) is optional: longer texts, the scaling of Llama 3.1, complex numbers, and the
# two layouts of the weights. [Lesson 06](06_masking.ipynb) is about the triangle that we borrowed here. The code of
# this page: `llama_np/rope.py` and `weights_tools/examine.py`.
