# %% [markdown] key="title"
# # 06 Masking: who may see whom
#
# A language model guesses the next token. If it could read the next token, there would be nothing to
# guess. So a token may read from itself and from those before it, never from those after it. A table of
# true and false does this, the **causal mask**. It is one comparison and one line in attention, and it is
# the reason that a Llama can be trained on all positions of a text at once, and can write without
# computing everything again for each new token.
#
# In go the scores of a head, one for each query and key (`T S`), and the positions of both. Out comes the
# pattern (`T S`), with a weight of exactly zero for every later key.
#
# After this lesson you can build the mask and apply it. You can say why scores go to *minus infinity* and
# not to zero. You have seen that a changed token changes no earlier row, and what happens to a model
# whose mask is taken away.

# %% key="map"
import numpy as np
from classroom import agree, clearest_head, show, source

from llama_np import attend, forward, record, softmax
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["attention"])

# %% [markdown] key="setup-why"
# ## A text and a head
#
# We run the model once and keep every named matrix. The head to look at is the one whose pattern puts
# most weight on a token other than the first and the one that reads. Its queries and keys are already
# turned by their positions (lesson 05).

# %% key="setup"
prompt = "Lily and Tom went to the park. They saw a big dog."
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
trace = {}
logits = forward(weights, config, ids, tap=record(trace))
i, h = clearest_head(trace, range(config.n_layers), config.n_heads)
shared = h // config.group
q, k = trace[f"blocks.{i}.q_rotated"][h], trace[f"blocks.{i}.k_rotated"][shared]
v = trace[f"blocks.{i}.v"][shared]
show.tokens(labels, ids)
print(f"block {i}, head {h}")

# %% [markdown] key="problem"
# ## Step 1. The problem: the answer is in the text
#
# Every row of the model's output is a guess at the token *after* its own. In training the text is whole,
# so the right answer is known for every row: it is the row's neighbour on the right. A text of `T` tokens
# gives `T - 1` guesses to learn from, all in one run. That is why training is fast, and also the danger:
# a guess is worth nothing if the answer can be read off.

# %% key="problem-code"
for label, answer in list(zip(labels, labels[1:]))[:5]:
    print(f"row of {label:18} should guess {answer}")

# %% [markdown] key="mask-why"
# ## Step 2. The mask
#
# So the rule is: the query at position $t$ may see the key at position $s$ only if $s \le t$. The sign is
# *less than or equal*: a token sees itself too. Otherwise the first token would see nothing at all.
#
# We keep the rule as a table of true and false with a name that says what *true* means, `causal_mask`. As
# rows are queries and columns keys, the trues fill the lower left triangle.

# %% key="mask-by-hand"
positions = np.arange(len(ids))
visible = positions[None, :] <= positions[:, None]  # 1 S <= T 1 -> T S
print("visible", visible.shape, visible.dtype)
show.matrix(
    visible.astype(float), ("query T", "key S"), rows=labels, columns=labels, title="may see"
)

# %% key="mask-named"
from llama_np import causal_mask

source(causal_mask)

# %% key="mask-agree"
agree(visible * 1, causal_mask(positions, positions) * 1)  # as ones and zeros

# %% [markdown] key="apply-why"
# ## Step 3. Scores, masked, pattern
#
# **The problem.** The table says what is allowed. How does it act on the pattern? Not by leaving keys
# out, since each row would then have another length. The scores of hidden keys are set to **minus
# infinity**, before the softmax. The exponential of minus infinity is 0, so a hidden key gets the weight
# 0, and adds nothing to the sum by which the row is divided:
#
# $$p_{ts} = \frac{e^{s_{ts}}}{\sum_{u \le t} e^{s_{tu}}} \;\text{ for } s \le t, \qquad p_{ts} = 0 \;\text{ for } s > t$$
#
# Here $s_{ts}$ is the score of query $t$ and key $s$. The weights of a row are shared among the keys that
# are left, so **every row still sums to one** ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762),
# section 3.2.3). Minus infinity is grey below.

# %% key="apply-by-hand"
K = config.head_dim
scores = q @ k.T / np.sqrt(K)  # T K @ K S -> T S
masked = np.where(visible, scores, -np.inf)
exponentials = np.exp(masked - masked.max(axis=-1, keepdims=True))
pattern = exponentials / exponentials.sum(axis=-1, keepdims=True)
show.matrices(
    {"scores": scores, "masked": masked, "pattern": pattern},
    ("query T", "key S"),
    rows=labels,
    columns=labels,
)
print("rows sum to", pattern.sum(axis=-1).round(4))

# %% [markdown] key="apply-note"
# Look at the first rows. The first token has only itself to read from, so its weight is 1, whatever the
# score. The second shares its weight between two keys. Only the last row sees everything.
#
# In the library hiding is the second line of `attend`. The function `mask_scores` adds minus infinity to the hidden
# scores and 0 to the others. That gives the same numbers as `np.where`, and it is faster: the table of
# zeros and infinities is made once for all heads. With `None` in place of `mask`, `attend` hides nothing.

# %% key="apply-named"
source(attend)

# %% key="hide-named"
from llama_np import mask_scores

source(mask_scores)

# %% key="apply-agree"
agree(masked, mask_scores(scores, visible))
agree(masked, trace[f"blocks.{i}.masked"][h])
agree(pattern, trace[f"blocks.{i}.pattern"][h], tolerance=1e-4)
agree(pattern @ v, attend(q, k, v, visible), tolerance=1e-4)

# %% [markdown] key="zero-why"
# ## Step 4. Minus infinity, not zero
#
# One often hears that the mask *sets the future to zero*. Two different things could be meant, and only
# one of them is right: the **weights** of later keys become zero, because their **scores** become minus
# infinity.
#
# ### Experiment
#
# Let us do it wrong in two ways. First: set the *scores* of later keys to 0. Second: leave the scores
# alone and set the *weights* to 0 after the softmax. **Predict before you run:** in which of the two does
# a token still read the future? In which do the rows no longer sum to one? Below each name you find, row
# by row, the weight on later tokens and the sum of the row.

# %% key="zero-experiment"
variants = {
    "scores to -inf": pattern,
    "scores to 0": softmax(np.where(visible, scores, 0)),
    "weights to 0": np.where(visible, softmax(scores), 0),
}
for name, p in variants.items():
    future, total = np.where(visible, 0, p).sum(axis=-1), p.sum(axis=-1)
    print(f"{name:13} on the future:", *(f"{n:.2f}" for n in future))
    print(f"{'':13} sum of a row: ", *(f"{n:.2f}" for n in total))
show.matrices(variants, ("query T", "key S"), rows=labels, columns=labels, limit=1.0)

# %% [markdown] key="zero-answer"
# <details><summary>Answer</summary>
#
# With *scores* of 0 the future is read. 0 is a score like any other: $e^0 = 1$ enters the sum, and that
# is more than for any key with a negative score. The rows sum to one, so nothing looks wrong.
#
# With *weights* of 0 after the softmax the future is not read, but the rows no longer sum to one. The
# future has taken part in the division, and what it took is missing. So a token still feels what comes
# after it: later tokens with high scores make everything it reads smaller.
#
# Only minus infinity does both: no weight on the future, and rows that sum to one.
#
# </details>

# %% [markdown] key="repair-note"
# The second way can be repaired: divide each row by its sum once more, and the result is the same as with
# minus infinity. But that is more work, and digits are lost where the future had taken nearly everything.

# %% key="repair"
print("exp(0) =", np.exp(0.0), "  exp(-inf) =", np.exp(-np.inf))
late = np.where(visible, softmax(scores.astype(np.float64)), 0)
sums = late.sum(axis=-1, keepdims=True)
print(f"smallest sum of a row before the repair: {sums.min():.4f}")
agree(late / sums, pattern, tolerance=1e-4)


# %% [markdown] key="future-why"
# ## Step 5. A changed token changes no earlier row
#
# A mask inside one head is a promise about the whole model. Attention is the only step in which tokens
# meet, and every block has the same mask. So what stands in row $t$ can depend on the tokens $0$ to $t$
# only, after one block or after all of them.
#
# ### Experiment
#
# We replace one token of the text by another one and look at which rows of the logits change. We do this
# for every position, one at a time: `T` texts, each with one other token. **Predict before you run:** the
# picture has a row for each replaced token and a column for each row of the logits. Where is it white?

# %% key="future-experiment"
T = len(ids)
other = tokenizer.encode(" cake")[0]
changed_texts = np.tile(ids, (T, 1))
np.fill_diagonal(changed_texts, other)  # text j has another token at position j
changed_logits = forward(weights, config, changed_texts)  # T T -> T T V
print("texts", changed_texts.shape, "-> logits", changed_logits.shape)
print("put in its place each time:", tokenizer.token(other))
change = np.abs(softmax(changed_logits) - softmax(logits)).sum(axis=-1) / 2
axes = ("token that was replaced", "row of the logits")
show.matrix(change.round(4), axes, rows=labels, columns=labels, title="probability that moved")


# %% [markdown] key="future-answer"
# <details><summary>Answer</summary>
#
# It is white below the diagonal: to the left of the replaced token nothing moves. On the diagonal and to
# the right of it everything may change, since the token itself and all later ones see the replacement.
#
# </details>

# %% key="future-agree"
earlier = positions[None, :] < positions[:, None]  # the rows before the replaced token
untouched = np.broadcast_to(logits, changed_logits.shape)
agree(changed_logits[earlier], untouched[earlier], tolerance=1e-3)


# %% [markdown] key="prefix-note"
# The same, said differently: the row of a token is the same whether the text goes on after it or ends
# there. One run over the whole text gives what `T` runs over its beginnings would give. Two things
# follow.
#
# - **Training** takes all positions of a text in one run, each with the true tokens before it. (This is called
#   **teacher forcing**. It is a misunderstanding that a Llama is trained one token at a time.)
# - **Writing** can keep what it has computed for earlier tokens. Nothing that is written later changes it. This
#   is the **KV cache** of lesson 11.

# %% key="prefix-agree"
beginnings = np.array([forward(weights, config, ids[: n + 1])[-1] for n in range(T)])
agree(beginnings, logits, tolerance=1e-3)

# %% [markdown] key="without-why"
# ## Step 6. What if the mask is taken away?
#
# A tempting thought: a model that may look at everything knows more, so it should predict better.
# `forward` takes another mask if we give one. We give one that allows everything.
#
# ### Experiment
#
# The list shows, for each token of the text, what the model expects next and with which probability: with
# the mask, and without. Behind `true` stands the probability of the token that does come next, and at the
# end of the line that token itself. **Predict before you run:** without the mask the answer stands in
# plain sight, one row further down. Will the model find it?

# %% key="without-experiment"
everything = np.ones((T, T), bool)
trace_open = {}
open_logits = forward(weights, config, ids, mask=everything, tap=record(trace_open))


def guess(row, answer):
    p = softmax(row)
    return f"{tokenizer.token(p.argmax()):14}{p.max():.2f}  true {p[answer]:.2f}"


print(f"{'after':>18}   {'with the mask':29}   {'without':29}   comes next")
for t, answer in enumerate(ids[1:]):
    both = f"{guess(logits[t], answer)}   {guess(open_logits[t], answer)}"
    print(f"{labels[t]:>18}   {both}   {tokenizer.token(answer)}")


# %% [markdown] key="without-sum-note"
# In one number: how likely is the true next token? The **loss** is the mean of $-\log p$ over the text,
# where $p$ is the probability of the token that does come next. It is 0 for a model that knows, and $\log
# V$, with `V` the size of the vocabulary, for one that gives all tokens the same probability.

# %% key="without-loss"
from llama_np import log_softmax

rows = np.arange(T - 1)
for name, each in {"with the mask": logits, "without": open_logits}.items():
    loss = -log_softmax(each)[rows, ids[1:]].mean()
    print(f"{name:14} loss {loss:.3f}")
print(f"{'all equal':14} loss {np.log(config.vocab_size):.3f}")


# %% [markdown] key="without-answer"
# <details><summary>Answer</summary>
#
# In a trained model, no. It has more to look at and usually does worse. In training it never met a row
# that had read its own future. Its matrices have not learned to copy the answer from there, because it
# was never there. What now comes in from the right looks like nothing it knows.
#
# </details>

# %% [markdown] key="cheat-why"
# And a model that was trained without the mask? Why is the future no gain for that one either? It would
# learn one thing very well: to copy its neighbour on the right. Here is a head that does that and nothing
# else. Its pattern puts all weight on the next token, and its value says which token that is.

# %% key="cheat"
copy_next = np.eye(T, k=1)  # row t reads from t + 1
says_which = (ids[:, None] == np.arange(config.vocab_size)).astype(float)  # T V: 1 at its id
copied = copy_next @ says_which  # T S @ S V -> T V
right = (copied[:-1].argmax(axis=-1) == ids[1:]).mean()
print(f"right in {right:.0%} of the rows of a text that is there already")
print("but in the last row, where the text is to go on, it has read:", copied[-1].sum())


# %% [markdown] key="cheat-note"
# Perfect in training and worth nothing in writing: the last row, the only one that counts when a text is
# continued, has no neighbour on the right. With the mask every row is in the position of a last row. So
# training practises just what writing needs.
#
# Now that last row. It may see everything, mask or not. So is it the same in both runs?

# %% key="last-row"
for b in range(min(config.n_layers, 4)):
    mix, open_mix = (t[f"blocks.{b}.mix"][:, -1] for t in (trace, trace_open))
    moved = np.linalg.norm(mix - open_mix) / np.linalg.norm(mix)
    print(f"block {b}: the last row's mixes differ by {moved:.4f} of their size")
agree(trace["blocks.0.mix"][:, -1], trace_open["blocks.0.mix"][:, -1])

# %% [markdown] key="last-row-note"
# In the first block it is. From the second on it reads from rows that have themselves read the future,
# and are no longer what the model was trained on. Lifting the mask for old tokens therefore changes the
# prediction for the new one.
#
# There is also a cost. Without a mask each new token would change *all* rows, and everything would have
# to be computed anew for each token written.
#
# There are models without a causal mask, and they are good at another task. An **encoder** such as BERT
# gets a text in which some tokens are blanked out, and guesses those from both sides ([Devlin et al.
# 2018](https://arxiv.org/abs/1810.04805), section 3.1). Llama has no encoder. One stack of blocks, with
# the mask, both reads the prompt and writes.

# %% [markdown] key="shapes-of-masks"
# ## Step 7. Other masks from the same function
#
# `causal_mask` takes the positions of queries and keys separately. While a text is being written there are
# few queries (the new tokens) and many keys (all tokens so far). The rule is the same. Below are the
# masks for the last three tokens and for the last one, as text: a square may be seen, a dot may not. They
# are the last rows of the whole mask, so the newest token always sees everything.

# %% key="shapes-of-masks-code"
for new in (3, 1):
    mask = causal_mask(positions[-new:], positions)
    print(f"{new} new of {T}:", mask.shape)
    print("\n".join("   " + "".join("■" if seen else "·" for seen in row) for row in mask))
    agree(mask * 1, visible[-new:] * 1)


# %% [markdown] key="half-note"
# ### What the mask leaves unused
#
# Nearly half of the scores are computed and then thrown away. How many exactly?

# %% key="half"
print(f"{visible.sum()} of {visible.size} scores are used: {visible.mean():.1%}")
agree(visible.sum(), T * (T + 1) // 2)

# %% [markdown] key="half-text"
# For long texts that counts. The library therefore takes the queries of a long text a chunk at a time and
# leaves out the keys that no query of the chunk may see (`attend_in_chunks`). The result is the same.

# %% key="half-agree"
from llama_np.attention import attend_in_chunks

q, k, v = (trace[f"blocks.{i}.{name}"] for name in ("q_rotated", "k_rotated", "v"))
agree(attend_in_chunks(q, k, v, visible, chunk=4), trace[f"blocks.{i}.mix"])

# %% [markdown] key="shapes-note"
# ## What you have seen
#
# The mask is the same for all heads and all blocks; scores and pattern are each head's own.

# %% key="shapes"
from classroom import shapes

arrays = {
    "positions": "T",
    "causal_mask": "T S",
    "scores, masked, pattern": "Hq T S",
    "logits": "T V",
}
shapes(arrays, config, n_tokens=T)

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>Why does every row of the pattern sum to one, although most of the first rows is
# masked?</summary>
#
# The mask comes before the softmax. It takes the hidden keys out of the sum by which the row is divided,
# and the whole weight is shared among the others.
#
# </details>
#
# <details><summary>Someone writes "less than" instead of "less than or equal" in the mask. What goes wrong
# first?</summary>
#
# The first token sees no key at all. All its scores are minus infinity, the softmax divides 0 by 0, and
# the row becomes NaN (not a number). The other tokens could no longer read from themselves.
#
# </details>
#
# <details><summary>Some programs use a very large negative number, such as -1e9, instead of minus infinity. Does
# it work?</summary>
#
# Mostly: its exponential is rounded to 0 as long as some visible score is not just as low. But `float16`
# has no number that large, and in a row without any visible key all weights come out equal. That hides a
# mistake which minus infinity shows as NaN.
#
# </details>
#
# <details><summary>The prompt is known from the start. Why may its tokens not see one another in both
# directions?</summary>
#
# They could, in a model trained that way. Llama was trained with the mask at every position, so its rows
# fit that only, as step 6 has shown.
#
# </details>
#
# <details><summary>Does the feed-forward step need a mask?</summary>
#
# No. It treats each row by itself, and so do the norms and the output matrix. Only attention moves
# information between rows.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# One head is complete: queries, keys and values, rotation, mask, pattern, mix. Lesson 07 puts many heads
# side by side, lets them share keys and values, and brings their mixes back to the stream.
