# %% [markdown] key="title"
# # 05 RoPE: how position gets in
#
# A few heads of this model have one main job: from every token they read mostly the token just before it,
# whatever that is. In *Once upon a time, there was a little girl named* such a head reads the first word from the
# second, the second from the third, and so on. How does it find its neighbour, when a score is a dot product
# of two rows, and a row says what a token is but not where it stands?
#
# Llama's answer has not a single learned number in it. Before a query meets a key, both are **turned**, by
# an angle that grows with the position of their token. This is the **rotary position embedding**, RoPE for
# short: queries and keys of a head go in (`T K`), with the `T` positions, and rows of the same shape come out.
#
# At the end of this page you will have built a head of that kind by hand, out of angles. It then
# takes the place of the model's best trained one, and we measure how much of that head's work it does.
#
# Before this page: [lesson 04](04_single_head_attention.ipynb). Beside it: [exercise 05](exercises/05_rope.ipynb).

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from llama_np import LLAMA_3_8B, attend, forward, patch, record, softmax
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.attention_map(lit=["rotate"], n_heads=config.n_heads, n_kv_heads=config.n_kv_heads)

# %% [markdown] key="head-why"
# ## The head in question
#
# We look for it on twenty stories. Of the five heads that give most weight to the token before their own, the
# code keeps the one without which the loss rises furthest. (The **loss** is the mean of $-\log p$, where $p$
# is the probability that the model gave to the token that did come next.)

# %% key="head"
from weights_tools.examine import job_weights, mean_loss, ordinary_texts, pairs, silence

stories = ordinary_texts(tokenizer)
before = [pairs(range(2, len(row)), range(1, len(row) - 1)) for row in stories.ids]
stories = stories._replace(places={"previous token": before})
on_previous = job_weights(weights, config, stories)["previous token"]  # blocks, heads
five = [divmod(int(n), config.n_heads) for n in np.argsort(-on_previous, axis=None)[:5]]
without = {head: mean_loss(weights, config, stories, tap=silence(*head)) for head in five}
i, h = max(without, key=without.get)
loss = mean_loss(weights, config, stories)
print(f"loss {loss:.4f} with all heads")
for (block, head), higher in without.items():
    weight = on_previous[block, head]
    print(f"block {block:2} head {head}: {weight:.2f} on the token before, {higher:.4f} without it")

# %% key="setup"
prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(t) for t in ids]
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
# It is head {{ h }} of block {{ i }}. Over the twenty stories it gives {{ on_previous[i, h] :.2f }} of its
# weight to the token before. In our sentence the list runs like the text itself, one place behind:
# {{ sum(pattern[t].argmax() == t - 1 for t in range(2, len(ids))) }} of the {{ len(ids) - 2 }} rows read their
# left neighbour most, and the picture shows the row that does so most clearly. Which words these are hardly
# seems to matter.
# {{ claim: on_previous[i, h] > 0.3 and without[i, h] > loss }}
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
# The reason is general. A score is made from two rows, and nothing in it changes when the tokens change
# places. Without the triangle, shuffling the tokens only shuffles the mixes, so that to a head *the dog bit
# the man* and *the man bit the dog* are the same.

# %% key="shuffle"
order = np.random.default_rng(0).permutation(T)
agree(attend(q[order], k[order], v[order], None), attend(q, k, v, None)[order], tolerance=1e-4)

# %% [markdown] key="idea"
# The first transformers *added* something to each row, a fixed pattern of waves ([Vaswani et al.
# 2017](https://arxiv.org/abs/1706.03762), section 3.5) or, in GPT-2, a learned row for each position. Then
# what a token is and where it stands share the same numbers. RoPE leaves the stream alone and acts on queries
# and keys, so that a score depends on what two tokens hold and on *how far apart* they are: "the word before
# me" should mean the same at position 3 and at position 300.
#
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
# adds nothing. At position 6 the arrow is nearly back, because 6 is nearly 6.28. One hand is therefore not
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
source(rope_frequencies)

# %% [markdown] key="wavelength-why"
# The last line, `scaling`, came with Llama 3.1, and [a page of its own](05b_long_context.ipynb) explains it.
# A frequency says more when it is turned upside down: after $\lambda_j = 2\pi/\theta_j$ positions a pair has
# made a full turn, and this is its **wavelength**. Here is each pair of this model, and some of Llama 3 8B.


# %% key="wavelengths"
def some_pairs(c):
    f = rope_frequencies(c.head_dim, c.rope_theta, c.rope_scaling)
    for j in np.linspace(0, len(f) - 1, min(8, len(f))).astype(int):
        turns = c.context_length * f[j] / (2 * np.pi)
        yield j, f"{f[j]:.3g}", f"{2 * np.pi / f[j]:,.1f}", f"{turns:,.3f}"


header = ["pair", "radians per position", "wavelength", "turns in the longest text"]
rows = [["**this model**", "", "", ""], *some_pairs(config)]
table(header, [*rows, ["**Llama 3 8B**", "", "", ""], *some_pairs(LLAMA_3_8B)])

# %% [markdown] key="wavelength-note"
# The first wavelength is $2\pi$ in every Llama. The last one here is so long that in
# {{ config.context_length }} tokens, the longest text this model was made for, the slowest pair turns by
# {{ np.rad2deg(config.context_length * frequencies[-1]) :.1f }} degrees. Of the {{ K // 2 }} pairs
# {{ (config.context_length * frequencies < 2 * np.pi).sum() }} never complete a turn; in Llama 3 8B, with 8,192
# tokens, it is 29 of 64. A pair that hardly turns cannot say much about places. Keep that in mind for the end
# of the page.
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

# %% [markdown] key="rotate-why"
# Now every pair of every query is turned by its own angle. `x[:, 0::2]` are the first numbers of all pairs,
# `x[:, 1::2]` the second ones, and in the result they are put back as neighbours.

# %% key="rotate-by-hand"
cos, sin = np.cos(angles), np.sin(angles)


def turn(x):  # T K -> T K
    a, b = x[:, 0::2], x[:, 1::2]
    return np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape)


q_rotated, k_rotated = turn(q), turn(k)
agree(pattern_of(q_rotated, k_rotated), pattern, tolerance=1e-4)

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
# While both move, the score stands still at {{ score(reader, read) :.3f }}, however far they go. Once only
# the query moves the distance grows, and a single place more changes the score to
# {{ score(reader + 1, read) :.3f }}. {{ claim: abs(score(reader + 10, read + 10) - score(reader, read)) < 1e-3 }}
#
# </details>
#
# This can be said in one line. The dot product of two pairs is their lengths times the cosine of the angle
# between them. Let $\varphi_j$ be the angle from the key's pair to the query's pair before any turning. At the
# distance $d = m - n$ it has become $\varphi_j + d\,\theta_j$, and the whole score is
#
# $$\mathrm{score}(d) = \frac{1}{\sqrt K} \sum_j |q_j|\,|k_j|\,\cos(\varphi_j + d\,\theta_j)$$
#
# The positions $m$ and $n$ are gone and only $d$ is left, as [Su et al.
# 2021](https://arxiv.org/abs/2104.09864), section 3.1, set out to have it. In the picture this query is put at
# every position $m$ and this key at every position $n$, and the formula is held against the result.


# %% key="distance-square"
def polar(row):  # K -> K/2 lengths, K/2 directions
    a, b = row[..., 0::2], row[..., 1::2]
    return np.hypot(a, b), np.arctan2(b, a)


def strength_and_angle(query, key):  # |q||k| / sqrt(K) and phi, for each pair
    (q_length, q_angle), (k_length, k_angle) = polar(query), polar(key)
    return q_length * k_length / np.sqrt(K), q_angle - k_angle


places = np.arange(30)
at_m, at_n = (rotate(np.tile(row, (30, 1)), places, frequencies) for row in (q[reader], k[read]))
square = at_m @ at_n.T / np.sqrt(K)
strength, phi = strength_and_angle(q[reader], k[read])
d = places[:, None] - places
agree((strength * np.cos(phi + d[..., None] * frequencies)).sum(axis=-1), square)
show.matrix(square, ("query at m", "key at n"), title="score: the same along every diagonal")

# %% [markdown] key="distance-model-note"
# Along each diagonal the distance is the same, and so is the colour. What holds for one score holds for the
# whole model, since position enters nowhere else: if all tokens move on by 100 places, the probabilities stay
# as they are, but not if the same tokens stand twice as far apart.

# %% key="distance-model"
here = softmax(forward(weights, config, ids))
agree(softmax(forward(weights, config, ids, positions=positions + 100)), here, tolerance=1e-3)
spread_out = softmax(forward(weights, config, ids, positions=positions * 2))
change = np.abs(spread_out[-1] - here[-1]).sum() / 2
print(f"spread out, {change:.0%} of the probability of the next token lies elsewhere")

# %% [markdown] key="values-why"
# **Values are not turned**, because a value meets no partner whose turn would cancel its own. It would be
# handed over at an angle that depends on where it came from, and the mix would be another one a hundred places
# further on.
#
# ## Step 6. A previous-token head by hand
#
# The formula says how to build the head we began with. Its score should be largest at distance 1. The cosine
# is largest where its angle is 0, so every pair needs $\varphi_j + 1\cdot\theta_j = 0$, that is, $\varphi_j =
# -\theta_j$. Words should play no part, so all tokens get one and the same key, and one and the same query.

# %% [markdown] key="by-hand-predict"
# What is left to choose is the strength $|q_j|\,|k_j|$ of each pair. As a budget we take what the trained
# head spends on our sentence, all pairs together. **Predict before you run:** should it go to the fast pairs
# or to the slow ones? Is the fastest pair alone enough? And which choice suffers most in a long text?


# %% key="by-hand"
def hand_made(strength, phi):  # K/2, K/2 -> one query, one key
    length, query, key = np.sqrt(strength * np.sqrt(K)), np.zeros(K), np.zeros(K)
    key[0::2] = length
    query[0::2], query[1::2] = length * np.cos(phi), length * np.sin(phi)
    return query, key


def blind_pattern(query, key, n):  # the same query and key for all n tokens -> n n
    at = np.arange(n)
    return pattern_of(*(rotate(np.tile(row, (n, 1)), at, frequencies) for row in (query, key)))


budget = np.mean([strength_and_angle(q[t], k[t - 1])[0].sum() for t in range(2, T)])
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
# The entries are the weight on the token before, in texts of three lengths. The fast half gives it
# {{ reached[fast, T] :.2f }} in a text as short as ours, and nothing in it was learned but the budget. The
# slow half fails at every length, because for it the places 1, 2 and 3 look alike.
# {{ claim: reached[fast, T] > 2 * reached[slow, T] and reached[fast, 120] > 4 * reached[slow, 120] }}
# The fastest pair alone is good for a few words, but it cannot tell 1 place from 7, since $\cos 6 \approx
# 0.96$, and the longer the text, the more such places there are: {{ reached[alone, 120] :.2f }} is left at 120
# tokens, where the fast half still has {{ reached[fast, 120] :.2f }}.
# {{ claim: reached[fast, 120] > reached[alone, 120] }} In the longest text even that falls, to
# {{ reached[fast, config.context_length] :.2f }}.
#
# </details>
#
# ## Step 7. And how does the trained head do it?
#
# Training knows nothing of our construction. So we open the trained head, on twenty other stories. For each
# pair we take its strength, the mean of $|q_j|\,|k_j|$ over all tokens, and the angle $\varphi_j$ between the
# mean query and the mean key. If this head works as ours does, pair 0 lies at $-1$ radian, which is $-57$
# degrees. The fourth column has the strength of the same pair in the median of all heads.

# %% key="trained"
taken = []
for row in ordinary_texts(tokenizer, 40).ids[20:]:
    taken.append({})
    forward(weights, config, row, tap=record(taken[-1], only={"q", "k"}))


def rows_of(block, head):  # all queries and all keys of a head, begin-of-text left out
    names = (f"blocks.{block}.q", head), (f"blocks.{block}.k", head // config.group)
    return [np.concatenate([t[name][n][1:] for t in taken]) for name, n in names]


def mean_strength(block, head):
    return np.prod(
        [polar(rows)[0].mean(axis=0) for rows in rows_of(block, head)], axis=0
    ) / np.sqrt(K)


ours = mean_strength(i, h)
heads = [(block, head) for block in range(config.n_layers) for head in range(config.n_heads)]
median = np.median([mean_strength(*head) for head in heads], axis=0)
mean_query, mean_key = (rows.mean(axis=0) for rows in rows_of(i, h))
strength, phi = strength_and_angle(mean_query, mean_key)
phi = (phi + np.pi) % (2 * np.pi) - np.pi
rows = [
    [
        j,
        f"{2 * np.pi / frequencies[j]:,.0f}",
        f"{ours[j]:.2f}",
        f"{median[j]:.2f}",
        f"{degrees:.0f}",
    ]
    for j, degrees in enumerate(np.rad2deg(phi))
]
table(["pair", "wavelength", "strength", "median head", "angle, degrees"], rows)

# %% [markdown] key="trained-note"
# Pair 0 lies at {{ np.rad2deg(phi[0]) :.0f }} degrees: training has found the angle that we derived. Its
# strength there is {{ ours[0] / median[0] :.0f }} times that of the median head, in the slowest pair only
# {{ ours[-1] / median[-1] :.1f }} times.
# {{ claim: abs(phi[0] + 1) < 0.6 and ours[0] / median[0] > 2 }}
# {{ claim: ours[0] / median[0] > ours[-1] / median[-1] }}
# The loudest pair is another one, though, number {{ strength.argmax() }}, with a wavelength of
# {{ 2 * np.pi / frequencies[strength.argmax()] :,.0f }} positions and an angle of
# {{ np.rad2deg(phi[strength.argmax()]) :.0f }} degrees. From pair 0 up to this one the angles are
# {{ np.rad2deg(phi[: strength.argmax() + 1]).round().astype(int).tolist() }}: they begin where the cosine has its
# peak at the token before, and end near 90 degrees, where a cosine is steepest. What could a slope be good for?
# Here are the parts of the score of the mean query and the mean key, by distance.

# %% key="parts"
distances = np.arange(61)
parts = strength * np.cos(phi + distances[:, None] * frequencies)  # distances, pairs
loudest = strength.argmax()
show.curves(
    distances,
    {
        "pair 0": parts[:, 0],
        f"the loudest, pair {loudest}": parts[:, loudest] - parts[0, loudest],
        "all pairs": parts.sum(axis=-1) - parts.sum(axis=-1).max(),
    },
    ("distance", "part of the score"),
)

# %% [markdown] key="parts-note"
# Two of the curves are moved up or down as a whole, which changes nothing for softmax. Pair 0 has its peaks
# at about the distances 1, 7, 14 and 20. The loudest pair is a **ramp**: it falls by
# {{ parts[0, loudest] - parts[60, loudest] :.1f }} over 60 places, and so it settles which of those peaks is
# meant, the nearest. That is what our hand-made head lacks in a long text. All pairs together are highest at
# distance {{ parts.sum(axis=-1).argmax() }}.
# {{ claim: parts.sum(axis=-1).argmax() == 1 and parts[60, loudest] < parts[0, loudest] }}
#
# ## Step 8. The hand-made head in the model
#
# Now the experiment that decides. In all twenty stories we replace the pattern of this one head, and nothing
# else, by a pattern that knows nothing of the words:
#
# - **blind**: the trained head's mean query and mean key, for every token;
# - **angles and a ramp**: strengths as in the trained head, angles by hand, $-\theta_j$ in the fast pairs and
#   90 degrees in the loudest, with nothing in the slower ones;
# - **the fast half** and **the slow half** of step 6, the second as a control.

# %% [markdown] key="in-the-model-predict"
# The last column says how much of what the head contributes is left, between 0% (it writes nothing) and 100%
# (the trained head). **Predict before you run:** how much of its work needs to know the words?


# %% key="in-the-model"
def losses(tap):
    return np.array([mean_loss(weights, config, one, tap=tap) for one in single])


def in_its_place(query, key):
    def replace(pattern):  # Hq T S
        pattern = pattern.copy()
        pattern[h] = blind_pattern(query, key, pattern.shape[-1])
        return pattern

    return patch({f"blocks.{i}.pattern": replace})


single = [stories._replace(ids=[a], scored=[b]) for a, b in zip(stories.ids, stories.scored)]
untouched = losses(patch({}))
nothing = losses(silence(i, h)) - untouched
by_angles = np.where(pair == loudest, np.pi / 2, -frequencies)
tried = {
    "blind": (mean_query, mean_key),
    "angles and a ramp": hand_made(strength * (pair <= loudest), by_angles),
    "the fast half": hand[fast],
    "the slow half": hand[slow],
}
rows, left, on_it = [["the trained head", f"{on_previous[i, h]:.2f}", "0", "100%"]], {}, {}
for name, rows_of in tried.items():
    worse = losses(in_its_place(*rows_of)) - untouched
    left[name] = 1 - worse.mean() / nothing.mean()
    on_it[name] = np.mean([before_it(blind_pattern(*rows_of, len(row))) for row in stories.ids])
    change = f"{worse.mean():+.4f} ± {worse.std() / len(worse) ** 0.5:.4f}"
    rows.append([name, f"{on_it[name]:.2f}", change, f"{left[name]:.0%}"])
change = f"{nothing.mean():+.4f} ± {nothing.std() / len(nothing) ** 0.5:.4f}"
rows.append(["writes nothing", "", change, "0%"])
table(["head", "on the token before", "change of the loss", "left"], rows)

# %% [markdown] key="discovery"
# Made blind to all words, the trained head keeps {{ left["blind"] :.0% }} of its effect. It even gives the
# token before {{ on_it["blind"] :.2f }} of its weight instead of {{ on_previous[i, h] :.2f }}, since words no
# longer distract it; what is missing of its effect is the good that they did. Angles by hand and a ramp keep {{ left["angles and a ramp"] :.0% }}, the fast half
# without a ramp {{ left["the fast half"] :.0% }}, and the slow half {{ left["the slow half"] :.0% }}. Behind ±
# is the standard error over the twenty stories.
# {{ claim: left["blind"] > 0.4 and left["angles and a ramp"] > left["the slow half"] + 0.2 }}
# {{ claim: left["the fast half"] > left["the slow half"] + 0.2 }}
#
# So this is how a head finds its neighbour: not by words but by angles, a sharp one from the fast pairs and a
# slope from a slow one. That heads which read by place use the highest frequencies was found in Gemma 7B, too,
# whereas most of the strength of its heads lies in low frequencies, which hardly turn and can therefore
# compare what two tokens hold, almost wherever they are ([Barbero et al.
# 2024](https://arxiv.org/abs/2410.06205)). The same paper disputes a reason that is often given for RoPE, that
# by itself it lets scores fall with distance, and [lesson 05b](05b_long_context.ipynb) measures that.

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>How would you build a head that reads the token three places back?</summary>
#
# With $\varphi_j = -3\,\theta_j$: every pair then has its peak at distance 3. The ramp has to be gentler, since
# it pulls towards distance 0.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# In [exercise 05](exercises/05_rope.ipynb) you write this step yourself and take the words away from the head.
# [Lesson 05b](05b_long_context.ipynb) is optional: texts longer than any in training, the scaling of Llama 3.1,
# the larger base, Meta's complex numbers, and the two layouts of the weights. [Lesson
# 06](06_masking.ipynb) is about the triangle that we borrowed here. The code of this page:
# `llama_np/rope.py` and `weights_tools/examine.py`.
