# %% [markdown] key="title"
# # 05 RoPE: how position gets in
#
# *The dog bit the man* and *the man bit the dog* have the same words. A head as lesson 04 built it cannot
# tell them apart: nothing in it knows where a token stands. Llama solves this without a single learned
# number. It **turns** queries and keys, by an angle that grows with the position. The method is called
# **rotary position embedding**, RoPE for short.
#
# In go queries and keys of a head, one row of `K` numbers per token (`T K`), and the positions of the
# tokens (`T`). Out come queries and keys of the same shape, turned.
#
# After this lesson you can turn a query by hand, in real and in complex numbers. You can show why a score
# then depends on the *distance* of two tokens and not on where they stand. You know what each pair of
# numbers is good for, what Llama 3.1 changed, and why weights from one library can give nonsense in
# another.

# %% key="map"
import numpy as np
from classroom import agree, clearest_head, show, source, table

from llama_np import LLAMA_3_8B, attend, forward, record
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["attention"])

# %% [markdown] key="setup-why"
# ## Queries and keys to work with
#
# We run the model once, keep every named matrix, and take the queries and keys of one head as they are
# *before* rotation. The head is the one whose pattern puts most weight on a token other than the first
# and the one that reads, as in lesson 04.

# %% key="setup"
prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
trace = {}
forward(weights, config, ids, tap=record(trace))
i, h = clearest_head(trace, range(config.n_layers), config.n_heads)
shared = h // config.group
q, k, v = trace[f"blocks.{i}.q"][h], trace[f"blocks.{i}.k"][shared], trace[f"blocks.{i}.v"][shared]
print(f"block {i}, head {h}: q {q.shape}, k {k.shape}, v {v.shape}")

# %% [markdown] key="problem"
# ## Step 1. The problem: a bag of tokens
#
# The score of two tokens is the dot product of a query and a key. Both are made from the rows of the two
# tokens alone. If we shuffle the tokens, each one gets the same mix as before.

# %% key="problem-code"
T, K = q.shape
see_all = np.ones((T, T), bool)
order = np.random.default_rng(0).permutation(T)
shuffled = attend(q[order], k[order], v[order], see_all)
agree(shuffled, attend(q, k, v, see_all)[order], tolerance=1e-4)

# %% [markdown] key="idea"
# The first transformers *added* something to each row: a fixed pattern of waves ([Vaswani et al.
# 2017](https://arxiv.org/abs/1706.03762), section 3.5) or, in GPT-2, a learned row for each position.
# Then what a token means and where it stands are mixed in the same numbers. And a learned row exists only
# for positions that training has seen.
#
# RoPE leaves the stream alone. It acts inside attention, on the way from queries and keys to scores. What
# we want is this: a score that depends on *what* the two tokens hold and on *how far apart* they stand.
# "The word before me" should mean the same at position 3 and at position 300.
#
# ## Step 2. One pair, turned
#
# Take the first two numbers of a query. Two numbers are a point in the plane. To **turn** a point $(a,
# b)$ around the origin by an angle $\varphi$:
#
# $$(a, b) \;\to\; (a \cos\varphi - b \sin\varphi,\;\; a \sin\varphi + b \cos\varphi)$$
#
# The angle is the position, in **radians**: position 0 is not turned, position 1 by one radian, position
# 2 by two. A full turn is $2\pi \approx 6.28$ radians, so one radian is about 57 degrees. `np.cos` and
# `np.sin` expect radians.

# %% key="one-pair"
a, b = q[-1, :2]
angle = np.arange(7)
turned = np.stack([a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)], 1)
for position, (first, second) in enumerate(turned):
    degrees = f"{position} radians = {np.rad2deg(position):5.1f} degrees"
    print(f"position {position}: {degrees}, point ({first:6.3f}, {second:6.3f})")
show.arrows({f"first pair of the query of {labels[-1]}": turned}, angle)


# %% [markdown] key="one-pair-note"
# Each arrow is the same pair at another position; the marked one is position 0. All have the same length.
# The turn takes nothing away and adds nothing; it only says where.
#
# ## Step 3. A frequency for every pair
#
# **The problem.** One clock hand is not enough. After a full turn it points to where it was: positions 0
# and 44 look almost the same (44 radians are 7 turns and a little). And turning by a whole radian per
# token is too coarse to say "somewhere in the last hundred tokens".
#
# So the `K` numbers of a query are taken as `K/2` pairs, neighbours together, and each pair turns at its
# own speed, its **frequency**, in radians per position:
#
# $$\theta_j = \mathrm{base}^{-2j/K} \qquad j = 0, 1, \dots, K/2 - 1$$
#
# Here $j$ counts the pairs. The base is a constant that comes with the model, `rope_theta` in its config.
# Pair 0 turns by 1 radian per position, each further pair more slowly by the same factor. The pair $j$ of
# the token at position $m$ is turned by the angle $m\,\theta_j$ ([Su et al.
# 2021](https://arxiv.org/abs/2104.09864), section 3.2.2).

# %% key="frequencies-by-hand"
pair = np.arange(K // 2)
by_hand = config.rope_theta ** (-2 * pair / K)
print(f"K = {K} numbers, {K // 2} pairs, base {config.rope_theta:,.0f}")
print("radians per position:", *(f"{f:.3g}" for f in by_hand))

# %% key="frequencies-named"
from llama_np import rope_frequencies

source(rope_frequencies)

# %% [markdown] key="frequencies-agree-note"
# The last line of code is about `scaling`, which came with Llama 3.1. Step 8 explains it. From here on
# the page uses the frequencies that this model's config asks for, scaled or not.

# %% key="frequencies-agree"
agree(by_hand, rope_frequencies(K, config.rope_theta))
frequencies = rope_frequencies(K, config.rope_theta, config.rope_scaling)
print("this model scales its frequencies:", config.rope_scaling is not None)

# %% [markdown] key="clocks-note"
# Here are some of the pairs of the same query, at the same positions. Think of clocks with hands of
# different speed: the fast one tells neighbours apart, the slow ones tell which part of the text it is.

# %% key="clocks"
from llama_np import rotate

positions = np.arange(7)
moved = rotate(np.tile(q[-1], (7, 1)), positions, frequencies)
some = np.unique(np.linspace(0, K // 2 - 1, 4).astype(int))
show.arrows({f"pair {j}": moved[:, 2 * j : 2 * j + 2] for j in some}, positions)

# %% [markdown] key="angles-why"
# ## Step 4. All tokens, all pairs
#
# For a text every token has its position and every pair its frequency. So the angles are a table: a row
# for each token, a column for each pair. **Positions count from 0.** Row 3 belongs to position 3, and
# that is the fourth token.

# %% key="angles"
positions = np.arange(T)
angles = positions[:, None] * frequencies  # T 1 * K/2 -> T K/2
agree(angles[3], 3 * frequencies)
print("angles", angles.shape, " row 3:", *(f"{angle:.3g}" for angle in angles[3]))
show.matrix(angles, ("position T", "pair K/2"), rows=labels, title="angles in radians")


# %% [markdown] key="pairs-not-tokens"
# The two sides of this table have nothing to do with one another. The number of columns comes from the
# width of the head, the number of rows from the text. In Llama 3 8B a head has 64 pairs, whether the text
# has 5 tokens or 500.

# %% key="pairs-not-tokens-code"
frequencies_8b = rope_frequencies(LLAMA_3_8B.head_dim, LLAMA_3_8B.rope_theta)
for n_tokens in (5, 17, 500):
    angles_8b = np.arange(n_tokens)[:, None] * frequencies_8b
    print("Llama 3 8B, angles for", n_tokens, "tokens:", angles_8b.shape)


# %% [markdown] key="rotate-why"
# Now every pair of every query is turned by its angle. `x[:, 0::2]` are the first numbers of all pairs,
# `x[:, 1::2]` the second ones.

# %% key="rotate-by-hand"
cos, sin = np.cos(angles), np.sin(angles)


def turn(x):
    a, b = x[:, 0::2], x[:, 1::2]
    return np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape)


q_rotated, k_rotated = turn(q), turn(k)
show.matrices({"q": q, "q_rotated": q_rotated}, ("T", "K"), rows=labels)

# %% key="rotate-named"
source(rotate)

# %% [markdown] key="rotate-agree-note"
# The model got the same when it ran. The first row did not change, since its position is 0. And no row
# changed its length.

# %% key="rotate-agree"
agree(q_rotated, rotate(q, positions, frequencies))
agree(k_rotated, trace[f"blocks.{i}.k_rotated"][shared])
agree(q_rotated[0], q[0])
agree(np.linalg.norm(q_rotated, axis=-1), np.linalg.norm(q, axis=-1))

# %% [markdown] key="complex-why"
# ## Step 5. The same with complex numbers
#
# Meta's code looks different: it uses **complex numbers**. A complex number $a + b\,\mathrm{i}$ is also a
# point in the plane, and $\mathrm{i}$ is the number with $\mathrm{i}^2 = -1$. The number
# $e^{\mathrm{i}\varphi} = \cos\varphi + \mathrm{i}\sin\varphi$ lies on the circle of radius 1, at the
# angle $\varphi$. When two complex numbers are multiplied, their lengths multiply and their angles add
# up. So a product with $e^{\mathrm{i}\varphi}$ is a turn by $\varphi$. Multiply it out, and the formula
# of step 2 comes back:
#
# $$(a + b\,\mathrm{i})(\cos\varphi + \mathrm{i}\sin\varphi) = (a\cos\varphi - b\sin\varphi) + \mathrm{i}\,(a\sin\varphi + b\cos\varphi)$$
#
# Meta calls the table of these numbers `freqs_cis`, for $\cos + \mathrm{i}\sin$. Its row 3 belongs to
# position 3.

# %% key="complex-by-hand"
pairs = q[:, 0::2] + 1j * q[:, 1::2]  # T K -> T K/2
freqs_cis = np.exp(1j * angles)
q_complex = pairs * freqs_cis
print("pairs", pairs.shape, "* freqs_cis", freqs_cis.shape, "-> ", q_complex.shape)
agree(freqs_cis[3], np.exp(1j * 3 * frequencies))
agree(q_complex.real, q_rotated[:, 0::2])
agree(q_complex.imag, q_rotated[:, 1::2])

# %% [markdown] key="complex-named-note"
# The `*` above works **number by number**: each pair is turned by its own angle, and there are as many
# numbers after it as before. It is not a dot product, which would add the pairs up and leave one number
# per token. Adding up comes later, when a query meets a key. On a long text this form is several times
# faster than cosines and sines written out, so it is the one that the model uses. The table is the same in
# every block, so the model makes it once for all of them, with `rope_rotations`.

# %% key="rotations-named"
from llama_np import rope_rotations

source(rope_rotations)

# %% key="complex-named"
from llama_np import apply_rotary

source(apply_rotary)

# %% key="complex-agree"
agree(freqs_cis, rope_rotations(positions, frequencies))
agree(q_rotated, apply_rotary(q, freqs_cis))
added_up = (pairs * freqs_cis).sum(axis=-1)
print("number by number:", q_complex.shape, "  added up:", added_up.shape)


# %% [markdown] key="distance-why"
# ## Step 6. Why it works: only the distance counts
#
# This is the heart of the lesson. A query at position $m$ is turned by $m\,\theta_j$, a key at position
# $n$ by $n\,\theta_j$. If you turn two arrows by the *same* angle, the angle between them stays, and so
# does their dot product. What counts is the difference of the two turns, $(m - n)\,\theta_j$.
#
# ### Experiment
#
# We take one query and one key of the text and put them at other positions. **Predict before you run:**
# what happens to their score if both move on by 10 places? By 100,000? And if only the query moves?

# %% key="distance-experiment"
reader, read = T - 1, T - 3
print(f"query of {labels[reader]} at {reader}, key of {labels[read]} at {read}")


def score(m, n):
    at_m = rotate(q[reader][None], np.array([m]), frequencies)
    at_n = rotate(k[read][None], np.array([n]), frequencies)
    return (at_m @ at_n.T).item() / np.sqrt(K)


rows = []
for shift in (0, 1, 2, 3, 10, 100, 1_000, 100_000):
    both, query_only = score(reader + shift, read + shift), score(reader + shift, read)
    rows.append([f"{shift:,}", f"{both:.3f}", f"{query_only:.3f}"])
table(["moved by", "both move", "only the query moves"], rows)


# %% [markdown] key="distance-answer"
# <details><summary>Answer</summary>
#
# The score stands still while both move, however far. When only the query moves, the distance changes,
# and the score with it.
#
# </details>

# %% [markdown] key="distance-picture-note"
# Now for all positions: the same query put at every position $m$, the same key at every position $n$.
# Along each diagonal the distance $m - n$ is the same, and so is the colour. The whole square is made of
# a single row of numbers, one for each distance.

# %% key="distance-square"
places = np.arange(40)
queries = rotate(np.tile(q[reader], (40, 1)), places, frequencies)
keys = rotate(np.tile(k[read], (40, 1)), places, frequencies)
square = queries @ keys.T / np.sqrt(K)
show.matrix(square, ("query at m", "key at n"), title="score: the same along every diagonal")
agree(square[1:, 1:], square[:-1, :-1])

# %% [markdown] key="distance-proof"
# In complex numbers the proof is one line. The dot product of two pairs is the real part of one times the
# conjugate of the other (the bar: $\mathrm{i}$ becomes $-\mathrm{i}$, an angle turns into its opposite).
# With $q_j$ and $k_j$ the pairs before rotation:
#
# $$\sum_j \mathrm{Re}\left( q_j e^{\mathrm{i} m \theta_j} \; \overline{k_j e^{\mathrm{i} n \theta_j}} \right)
# = \sum_j \mathrm{Re}\left( q_j \overline{k_j} \; e^{\mathrm{i}(m - n)\theta_j} \right)$$
#
# On the right $m$ and $n$ appear only as $m - n$. This is what [Su et al.
# 2021](https://arxiv.org/abs/2104.09864), section 3.1, set out to find. In code:

# %% key="distance-proof-code"
q_pairs, k_pairs = (r[0::2] + 1j * r[1::2] for r in (q[reader], k[read]))


def score_from_distance(distance):
    return (q_pairs * k_pairs.conj() * np.exp(1j * distance * frequencies)).real.sum() / np.sqrt(K)


agree(np.array([[score_from_distance(m - n) for n in places] for m in places]), square)

# %% [markdown] key="distance-model-note"
# What holds for a score holds for the whole model. Its logits, the scores of all possible next tokens,
# stay the same when all tokens move 100 places on. They change when the same tokens stand twice as far
# apart.

# %% key="distance-model"
from llama_np import softmax

here = forward(weights, config, ids)
further_on = forward(weights, config, ids, positions=positions + 100)
agree(softmax(further_on), softmax(here), tolerance=1e-3)

spread_out = forward(weights, config, ids, positions=positions * 2)
change = np.abs(softmax(spread_out[-1]) - softmax(here[-1])).sum() / 2
print(f"spread out, {change:.0%} of the probability of the next token lies elsewhere")

# %% [markdown] key="values-why"
# **Why queries and keys, but not values?** Position belongs into the question *who reads from whom*, and
# that is settled by the scores. There the turn of the query and the turn of the key cancel, up to the
# distance. A value meets no partner that would cancel its turn. A turned value would be handed over
# turned, by an angle that depends on where it stood. The mix would then be another one a hundred places
# on.

# %% key="values"
from llama_np import causal_mask

no_future = causal_mask(positions, positions)


def mix(start, turn_values):
    at = positions + start
    values = rotate(v, at, frequencies) if turn_values else v
    return attend(rotate(q, at, frequencies), rotate(k, at, frequencies), values, no_future)


for turn_values in (False, True):
    moved_by = np.abs(mix(100, turn_values) - mix(0, turn_values)).max() / np.abs(v).max()
    print(f"values turned: {turn_values!s:5}  the mix moves by {moved_by:.3f} of the largest value")

# %% [markdown] key="wavelength-why"
# ## Step 7. What each pair is good for
#
# The **wavelength** of a pair is the number of positions after which it has made a full turn: $\lambda_j
# = 2\pi / \theta_j$. Here it is for pairs of this model and of Llama 3 8B, and how many turns the pair
# makes in the longest text that the model was made for.


# %% key="wavelengths"
def some_pairs(c):
    f = rope_frequencies(c.head_dim, c.rope_theta, c.rope_scaling)
    for j in np.linspace(0, len(f) - 1, min(8, len(f))).astype(int):
        wavelength = 2 * np.pi / f[j]
        yield j, f"{f[j]:.3g}", f"{wavelength:,.1f}", f"{c.context_length / wavelength:,.3f}"


header = ["pair", "radians per position", "wavelength", "turns in the longest text"]
rows = [["**this model**", "", "", ""], *some_pairs(config)]
table(header, [*rows, ["**Llama 3 8B**", "", "", ""], *some_pairs(LLAMA_3_8B)])


# %% [markdown] key="wavelength-note"
# The first pair always has the wavelength $2\pi$, the last one a very long one. What does a pair add to
# the score of two tokens, as their distance grows? If query and key point the same way at distance 0, it
# is their lengths times the cosine of the distance times the frequency. The picture shows this cosine for
# every pair of Llama 3 8B: red where the pair raises the score, blue where it lowers it.

# %% key="waves"
distances = np.arange(121)
cosines = np.cos(frequencies_8b[:, None] * distances)  # K/2 1 * S -> K/2 S
show.matrix(cosines, ("pair of Llama 3 8B", "distance m - n"), title="cos(distance * frequency)")


# %% [markdown] key="waves-note"
# Fast pairs tell a distance of 1 from a distance of 2. With them a head can read from the token just
# before. But far away they say little, since they have gone round many times. Slow pairs hardly change
# over a sentence. They compare what two tokens hold, almost wherever they stand. In between lies every
# scale of a text. A head can use the pairs it needs: a query that is nearly zero in a pair does not ask
# about it.
#
# A larger base makes the slow pairs slower, so that they still tell places apart in longer texts. Llama 2
# has the base 10,000 for texts of 4,096 tokens, Llama 3 has 500,000 for 8,192.
#
# Add all pairs up, and there is a tendency. If query and key point the same way in all pairs, their score
# is largest at distance 0 and then falls, not evenly: far tokens are read a little less by default. The
# paper calls it long-term decay ([Su et al. 2021](https://arxiv.org/abs/2104.09864), section 3.4.3). It
# is a tendency and no law; what a head really does is up to its queries and keys. The fewer pairs a head
# has, the less even the fall.

# %% key="decay"
distances = np.arange(301)
by_distance = {
    "this model": np.cos(distances[:, None] * frequencies).mean(axis=-1),
    "Llama 3 8B": np.cos(distances[:, None] * frequencies_8b).mean(axis=-1),
}
show.curves(distances, by_distance, ("distance m - n", "mean of cos over all pairs"))


# %% [markdown] key="scaling-why"
# ## Step 8. Llama 3.1 turns the slow pairs more slowly
#
# **The problem.** Llama 3 was trained on texts of up to 8,192 tokens. Llama 3.1 reads 131,072. The slow
# pairs have never made a full turn in training, so later positions would bring angles that the model has
# never met. For fast pairs there is no such trouble: they have met all angles.
#
# So Llama 3.1 changes the frequencies by the number of turns that a pair makes within the original 8,192
# positions:
#
# - at least 4 turns: **kept**;
# - at most 1 turn: **divided by 8**, so that the angles of a text of 65,536 tokens are those of 8,192 before;
# - between: **blended**, moving evenly from one to the other.
#
# Llama 3.1 was also trained further on longer texts ([Llama team 2024](https://arxiv.org/abs/2407.21783),
# section 3.4.2). The numbers 4, 1 and 8 were found by trying, "from grid search" as Meta's code says: it is
# `apply_scaling` in
# [model.py](https://github.com/meta-llama/llama-models/blob/main/models/llama3/model.py). By hand, for
# the 8B model:

# %% key="scaling-by-hand"
from llama_np.config import LLAMA_3_1_SCALING

print(LLAMA_3_1_SCALING)
factor, low, high, original = LLAMA_3_1_SCALING
turns = original * frequencies_8b / (2 * np.pi)
keep = np.clip((turns - low) / (high - low), 0, 1)  # 1: kept, 0: divided
scaled = keep * frequencies_8b + (1 - keep) * frequencies_8b / factor
groups = {"kept": keep == 1, "blended": (keep > 0) & (keep < 1), "divided": keep == 0}
for name, which in groups.items():
    found = np.flatnonzero(which)
    print(f"{name:8} {len(found)} pairs, {found[0]} to {found[-1]}")
print(f"last pair: {frequencies_8b[-1]:.6g} before, {scaled[-1]:.6g} after")


# %% key="scaling-named"
from llama_np.rope import scale_frequencies

source(scale_frequencies)

# %% key="scaling-agree"
agree(scaled, scale_frequencies(frequencies_8b, LLAMA_3_1_SCALING))
stronger = scale_frequencies(frequencies_8b, LLAMA_3_1_SCALING._replace(factor=32.0))
ratios = {"Llama 3.1 8B": scaled / frequencies_8b, "Llama 3.2 3B": stronger / frequencies_8b}
show.curves(np.arange(len(frequencies_8b)), ratios, ("pair", "frequency, new / old"))


# %% [markdown] key="scaling-note"
# Llama 3.2's small models divide by 32 instead of 8, as the second curve shows. One often reads that
# between the versions *the code is identical and only the weights change*. That is not so:
#
# | | head width | base | factor | output matrix |
# |---|---|---|---|---|
# | Llama 3 8B | 128 | 500,000 | no scaling | its own |
# | Llama 3.1 8B | 128 | 500,000 | 8 | its own |
# | Llama 3.2 1B | 64 | 500,000 | 32 | tied to the embedding |
# | Llama 3.2 3B | 128 | 500,000 | 32 | tied to the embedding |
#
# A program that leaves the scaling out runs without an error and computes another model. The next cell
# shows it on this one: the same weights, with and without scaling, on our sentence ten times over. The
# curve is the part of the probability that moves to other tokens. At the start of a text even the wrong
# angles are small, so the mistake is easily overlooked in a short test.

# %% key="scaling-other-model"
from dataclasses import replace

small_scaling = LLAMA_3_1_SCALING._replace(original_context_length=config.context_length // 16)
swapped = replace(config, rope_scaling=None if config.rope_scaling else small_scaling)
long_ids = np.tile(ids, 10)[: config.context_length]
right, wrong = (softmax(forward(weights, c, long_ids)) for c in (config, swapped))
change = np.abs(right - wrong).sum(axis=-1) / 2
print("scaled, as it should be:", config.rope_scaling is not None)
print("scaled, in the wrong run:", swapped.rope_scaling is not None)
show.curves(np.arange(len(long_ids)), {"moved": change}, ("position", "probability that moved"))


# %% [markdown] key="layout-why"
# ## Step 9. Two layouts: neighbours and halves
#
# Which two numbers make a pair? Meta pairs neighbours: 0 with 1, 2 with 3. The transformers library of
# Hugging Face pairs number $j$ with number $j + K/2$: the first half of a head with the second half.
# Neither is better: training fills whatever pairs there are. But weights and code must mean the same
# pairs. So weights that are published in Hugging Face's format have the columns of `wq` and `wk`
# reordered. The picture shows which pair each number of a head belongs to.

# %% key="layout-picture"
from weights_tools.layout import to_adjacent_pairs, to_rotate_half

number = np.arange(K)
layouts = np.stack([number // 2, number % (K // 2)])
show.matrix(layouts, ("", "number in the head"), rows=["Meta", "Hugging Face"], title="pair")
order = to_rotate_half(number[:, None], K).ravel()
print("Hugging Face stores ours in the order", *order)
agree(to_adjacent_pairs(order[:, None], K).ravel(), number)

# %% [markdown] key="layout-by-hand-note"
# We store this head's `wq` and `wk` as Hugging Face does. (`to_rotate_half` works on matrices with one row per
# output, as they lie in the file, so we transpose before and after.) Then we turn halves by hand. The
# scores are the same.

# %% key="layout-by-hand"
x, layer = trace[f"blocks.{i}.attn_norm"], weights.layers[i]
wq, wk = layer.wq[:, h * K : (h + 1) * K], layer.wk[:, shared * K : (shared + 1) * K]
q_halves, k_halves = x @ to_rotate_half(wq.T, K).T, x @ to_rotate_half(wk.T, K).T


def turn_halves(x):
    a, b = x[:, : K // 2], x[:, K // 2 :]
    return np.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


scores = q_rotated @ k_rotated.T / np.sqrt(K)
agree(turn_halves(q_halves) @ turn_halves(k_halves).T / np.sqrt(K), scores)

# %% [markdown] key="layout-wrong-note"
# ### Experiment
#
# Now the mistake that is made most often when a Llama is written from scratch: weights in Hugging Face's
# order, turned as Meta's. **Predict before you run:** does it raise an error? Are all scores wrong? What
# about the diagonal, where a token meets itself?

# %% key="layout-wrong"
wrong = rotate(q_halves, positions, frequencies) @ rotate(k_halves, positions, frequencies).T
wrong /= np.sqrt(K)
show.matrices(
    {"right, either layout": scores, "wrong: mixed": wrong, "difference": wrong - scores},
    ("query T", "key S"),
    rows=labels,
    columns=labels,
    limit=float(np.abs(scores).max()),
)
agree(np.diag(wrong), np.diag(scores))

# %% [markdown] key="layout-wrong-answer"
# <details><summary>Answer</summary>
#
# No error: the shapes fit. But the wrong numbers are turned together, so the scores are wrong. Only the
# diagonal is right. There the distance is 0, both are turned by the same angles, and any pairing leaves
# the dot product as it was. So a test with a single token passes, and longer texts come out as nonsense.
# In this project `load_model` puts the columns back into Meta's order when it reads a file.
#
# </details>

# %% [markdown] key="shapes-note"
# ## What you have seen
#
# There are `K/2` frequencies, and for a text a table of `T` times `K/2` angles. The arrays that are
# turned, for all heads:

# %% key="shapes"
from classroom import shapes

arrays = {
    "positions": "T",
    "q, q_rotated": "Hq T K",
    "k, k_rotated": "Hkv T K",
    "v, not rotated": "Hkv T K",
    "scores": "Hq T S",
}
print("frequencies: this model", frequencies.shape, " Llama 3 8B", frequencies_8b.shape)
shapes(arrays, config, n_tokens=T)

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>How many learned numbers does RoPE have?</summary>
#
# None. The frequencies follow from the head width, the base and, from Llama 3.1 on, four numbers for the
# scaling. But the model is trained with them, so others make another model of it.
#
# </details>
#
# <details><summary>Which row of the table of angles belongs to the fourth token, and by what is its first
# pair turned?</summary>
#
# Row 3, since positions count from 0. Its first pair is turned by 3 radians, about 172 degrees.
#
# </details>
#
# <details><summary>What if only the queries were turned, and the keys not?</summary>
#
# The score would then depend on the position of the query alone. The same two words, the same distance
# apart, would get another score further down the text.
#
# </details>
#
# <details><summary>Could we turn the rows of the stream once, at the start, instead of queries and keys in every
# block?</summary>
#
# No. `wq` and `wk` mix all numbers of a row, so the turns would not cancel in the dot product. And the
# values would be turned as well.
#
# </details>
#
# <details><summary>Half of a program's users load weights in Meta's format and get good texts, the other half in
# Hugging Face's and get nonsense. What do you look for?</summary>
#
# For the reordering of `wq` and `wk`. A quick check: does the first token alone get the right logits, and
# a longer text wrong ones?
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# The scores now know what two tokens hold and how far apart they stand. They also know which one comes
# later, and nothing yet keeps a token from reading the future. Lesson 06, masking, does that.
