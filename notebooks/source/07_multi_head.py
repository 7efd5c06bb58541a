# %% [markdown] key="title"
# # 07 Multi-head attention: what do all the heads do?
#
# To go on with *Once upon a time, there was a little girl named*, the last token has to learn that a girl is
# meant, but also which word stands just before it and where the sentence began. One head has one pattern and
# hands over one mixture (lesson [04](04_single_head_attention.ipynb)), so a block has many heads side by side. Do they really
# look for different things, and what is lost if we force them to look the same way?
#
# We exchange what each head says, to find those that matter for this sentence, and read in tokens what the best of them
# looks for and what it writes. Then we build a block's heads, and an experiment on 20 texts measures what their
# differences are worth. You need one head (04), the rotation ([05](05_rope.ipynb)) and the mask ([06](06_masking.ipynb)).

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
D, K, Hq, Hkv, group = (
    config.dim, config.head_dim, config.n_heads, config.n_kv_heads, config.group,
)  # fmt: skip
show.attention_map(["q", "k", "v", "wo"], n_heads=Hq, n_kv_heads=Hkv)

# %% [markdown] key="silence-why"
# ## Step 1. Which heads matter for this sentence?
#
# The model goes on with one name after *girl* and with another after *boy*. How far the girl's name leads the
# boy's, in logits, says how firmly the last token knows that a girl is meant. As in lesson 04 we **patch**: in one head
# after the other, the last token gets the mix that this head has in the text about a boy, while all else stays as it
# is. How far the lead then falls is this head's part in the answer. So heads are chosen by what they do, and not
# by how clear their patterns look. Lesson 04 asked how many it takes; here we ask where they lie, and what the heads beside
# them do.

# %% key="silence"
from llama_np import forward, patch, record

prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
labels = [tokenizer.token(i) for i in ids]
about_a_boy = np.array(tokenizer.encode(prompt.replace("girl", "boy"), bos=True))
trace, of_boy = {}, {}
hers = forward(weights, config, ids, tap=record(trace))[-1].argmax()
his = forward(weights, config, about_a_boy, tap=record(of_boy, only={"mix"}))[-1].argmax()


def as_of_boy(
    block, head
):  # a tap under which the last token gets this head's mix from the other text
    def exchanged(mix):
        mix = mix.copy()
        mix[head, -1] = of_boy[f"blocks.{block}.mix"][head, -1]
        return mix

    return patch({f"blocks.{block}.mix": exchanged})


def lead(text, **options):
    last = forward(weights, config, text, **options)[-1]
    return last[hers] - last[his]


blocks, heads = range(config.n_layers), [f"head {n}" for n in range(Hq)]
effect = np.array([[lead(ids, tap=as_of_boy(b, n)) for n in range(Hq)] for b in blocks])
effect -= lead(ids)  # blocks Hq
show.matrix(
    effect.T,
    ("", "block"),
    rows=heads,
    columns=[str(b) for b in blocks],
    title=f"change of {tokenizer.token(hers)}'s lead over {tokenizer.token(his)}, with that head exchanged",
)

# %% [markdown] key="silence-read"
# Each cell is one head of the model, {{ effect.size }} of them. As the text is, `{{ tokenizer.token(hers) }}` leads `{{ tokenizer.token(his) }}` by {{ lead(ids) :.2f }}. Most cells are nearly
# white, because most heads have no part in this question: exchanging one changes the lead by {{ np.abs(effect).mean() :.2f }} on average. A few
# are blue, and the strongest takes away {{ -effect.min() :.2f }}.
# {{ claim: -effect.min() > 4 * np.abs(effect).mean() }}
# The blue cells tend to stand in one column, below one another. {{ f"Heads 0 to {group - 1}" if group > 1 else "Groups of one head" }} share their keys, and so do the next (step 7
# says why), so we take the group that takes away most together, and in it the strongest head.

# %% key="choose"
by_group = effect.reshape(config.n_layers, Hkv, group).sum(axis=-1)
i, g = (int(n) for n in np.unravel_index(by_group.argmin(), by_group.shape))
members = [g * group + n for n in range(group)]
h = members[effect[i, members].argmin()]
at_last = trace[f"blocks.{i}.pattern"][:, -1]  # Hq S
read = int(at_last[h].argmax())
print(f"block {i}: heads {members} share keys; head {h} has the largest effect")
show.matrix(
    at_last,
    ("", "what it reads"),
    rows=heads,
    columns=labels,
    title=f"block {i}: where each head reads from, for the last token",
    limit=1.0,
    quantity="weights",
)

# %% [markdown] key="choose-read"
# Each row shows how one head divides its attention for `{{ labels[-1] }}`, and sums to one. Head {{ h }} gives {{ at_last[h, read] :.2f }} of its attention to `{{ labels[read] }}`, and of the {{ group }} heads
# that share its keys, {{ sum(at_last[m].argmax() == read for m in members) }} read most from that token.
# {{ claim: sum(at_last[m].argmax() == read for m in members) * 2 >= group }}
# Outside the group {{ sum(at_last.argmax(axis=-1) == read) - sum(at_last[m].argmax() == read for m in members) }} of {{ Hq - group }} does so too; the others look elsewhere at the same moment. This is the reason for having several: a head
# hands over one weighted mean, so two things that it looked for would arrive as one blur
# ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.2.2). Cut into {{ Hq }} heads of width {{ K }} or left as one of width {{ Hq * K }}, `wq` has the same
# {{ D * Hq * K :, }} numbers; what changes is the number of patterns. The price is that each is made from only {{ K }} numbers
# per token, so that a matrix of scores has at most rank {{ K }} ([Bhojanapalli et al. 2020](https://arxiv.org/abs/2002.07028)).

# %% [markdown] key="jobs-why"
# ## Step 2. Heads with a job
#
# Can we say of a head what it does on *any* text? Some jobs show in the pattern: reading the token before, the
# first token of the text, or the token that followed an earlier copy of this one (an **induction head**, [Olsson et
# al. 2022](https://arxiv.org/abs/2209.11895)). We run texts in which each job has known places, and ask of every head how much weight it puts there,
# against what equal shares would put there.

# %% key="jobs"
from weights_tools.examine import JOBS, all_prompts, job_weights, token_losses

prompts, found, even = all_prompts(tokenizer), {}, {}
for kind in prompts.values():
    found |= job_weights(weights, config, kind)  # for each job: blocks Hq
    for job, places in kind.places.items():
        even[job] = (1 / (np.concatenate(places)[:, 0] + 1)).mean()
best = {job: divmod(int(scores.argmax()), Hq) for job, scores in found.items()}
rows = [
    [job.reads, "block {}, head {}".format(*best[job.name])]
    + [f"{found[job.name].max():.2f}", f"{even[job.name]:.2f}"]
    for job in JOBS
]
table(["the job: to read", "who does it best", "its weight there", "equal shares"], rows)

# %% key="jobs-drawn"
anywhere = ["previous token", "begin of text", "start of sentence"]  # jobs that any sentence has
drawn = {
    f"{job}: {b}.{n}": trace[f"blocks.{b}.pattern"][n] for job in anywhere for b, n in [best[job]]
}
show.matrices(
    drawn,
    ("query T", "key S"),
    rows=labels,
    columns=labels,
    limit=1.0,
    across=3,
    quantity="weights",
)

# %% [markdown] key="jobs-read"
# The clearest job is the plainest. Block {{ best["previous token"][0] }}, head {{ best["previous token"][1] }} puts {{ found["previous token"].max() :.0% }} of its attention on the token before, where equal shares
# would put {{ even["previous token"] :.0% }}. That was measured on lists of random words; in our sentence its picture is a dark line just below the
# diagonal, broken at {{ sum(np.diagonal(drawn[list(drawn)[0]], -1) < 0.5) }} of {{ len(ids) - 1 }} tokens, where it reads one token further back. The other two pictures show weaker habits: the
# first column is dark in the middle one, and the one on the right reads `Once` for a few tokens only.
# {{ claim: found["previous token"].max() > 0.3 }}
# {{ claim: 0 < sum(np.diagonal(drawn[list(drawn)[0]], -1) < 0.5) < 4 and drawn[list(drawn)[1]][1:, 0].mean() > 0.5 > drawn[list(drawn)[2]][2:, 1].mean() }}
# Where a weight is no more than two or three times the equal share, *nobody* holds that job: the table then names
# the best of many who do not do it. The best induction head, {{ "{}.{}".format(*best["induction"]) }} with {{ found["induction"].max() :.2f }}, raises a question, since
# nothing in a token's own row says what came before it: how does such a head find its place? [Page 07b](07b_induction.ipynb)
# finds out.
#
# Does a clear pattern mean a large effect? Now we **silence** heads, putting zeros in the place of their mix: on 20
# stories, where we measure the loss (lesson [05](05_rope.ipynb)) in **nats**, the unit of the natural logarithm, and on 20 sentences that end in *girl named*, where we
# measure the lead. The controls are heads drawn at random, and the other heads of our block.
#
# In large models the first token gets much of all attention, an **attention sink** ([Xiao et al. 2023](https://arxiv.org/abs/2309.17453)): a row
# has to sum to one, so a head that finds nothing must put its weight somewhere. Our sentence is too short to judge by; over
# whole stories no head puts more than {{ found["begin of text"].max() :.2f }} there, so this model has no sink to speak of.{{ claim: found["begin of text"].max() < 0.7 }}

# %% key="effects"
texts = [row[:64] for row in prompts["texts"].ids if len(row) >= 64]
starts = "Once upon a time, there was a", "One day, a", "There once was a", "Long ago there lived a"
kinds = "little", "small", "happy", "young", "sad"
girls = [np.array(tokenizer.encode(f"{a} {b} girl named", bos=True)) for a in starts for b in kinds]


def silent(block, heads):  # a tap under which these heads write nothing
    def without(mix):
        mix = mix.copy()
        mix[heads] = 0
        return mix

    return patch({f"blocks.{block}.mix": without})


def losses(**options):  # the mean loss of each story
    each = [token_losses(weights, config, text, np.arange(1, 64), **options) for text in texts]
    return np.array(each).mean(axis=-1)


def changes(block, heads):  # of the loss of each story, and of the lead in each sentence
    tap = silent(block, heads)
    return losses(tap=tap) - as_it_is, np.array([lead(text, tap=tap) for text in girls]) - leading


as_it_is, leading = losses(), np.array([lead(text) for text in girls])
change = {f"{job}, {b}.{n}": changes(b, [n]) for job in anywhere for b, n in [best[job]]}
some = np.random.default_rng(0).choice(effect.size, 8, replace=False)
at_random = [changes(n // Hq, [n % Hq]) for n in some]
change["a head at random, of 8"] = [np.concatenate(each) for each in zip(*at_random)]
change[f"head {i}.{h} of step 1"] = changes(i, [h])
change["its whole group"] = changes(i, members)
change["the rest of its block"] = changes(i, [n for n in range(Hq) if n not in members])
table(
    ["silenced", f"loss, on {len(texts)} stories", f"lead, on {len(girls)} sentences"],
    [[n, *(f"{r.mean():+.3f} ± {r.std():.3f}" for r in both)] for n, both in change.items()],
)

# %% [markdown] key="effects-read"
# Behind ± stands the spread over the texts, in the fourth row over 8 heads as well. The loss is {{ as_it_is.mean() :.2f }} with all heads in place, and no single head is worth much
# of it: the previous-token head {{ change[list(change)[0]][0].mean() :.3f }}, a head at random {{ change[list(change)[3]][0].mean() :.3f }}. A pattern that one can name is not yet an effect, and
# most single heads can go, as [Michel et al. 2019](https://arxiv.org/abs/1905.10650) found in models of translation. The lead tells another story.
# It stands at {{ leading.mean() :.2f }}; head {{ i }}.{{ h }} alone takes away {{ -change[list(change)[4]][1].mean() :.2f }}, its group {{ -change["its whole group"][1].mean() :.2f }}, and the
# rest of the block changes it by {{ change["the rest of its block"][1].mean() :+.2f }}.
# {{ claim: -change["its whole group"][1].mean() > 2 * abs(change["the rest of its block"][1].mean()) }}
# {{ claim: -change["its whole group"][1].mean() > -change[list(change)[4]][1].mean() }}
# So this group counts where girls and boys are concerned, and its heads share the work.

# %% [markdown] key="loop-why"
# ## Step 3. All heads of a block, in a loop
#
# `wq` holds the query matrices of all heads side by side: the first `K` columns are head 0's, the next `K` head
# 1's, and so on. For keys and values there are fewer such slices, `Hkv` instead of `Hq`, and neighbouring query
# heads form a **group** of `Hq / Hkv` that uses one **key-value head**: query head `h` reads number `h // group`. Each
# turn of the loop gives `one_head`, which is lessons 04 to 06 in one function, the columns that belong to the head.

# %% key="loop-by-hand"
from llama_np import one_head, rope_frequencies

layer, normed = weights.layers[i], trace[f"blocks.{i}.attn_norm"]
positions = np.arange(len(ids))
frequencies = rope_frequencies(K, config.rope_theta, config.rope_scaling)
mixes = []
for n in range(Hq):
    own = slice(n * K, (n + 1) * K)
    shared = slice(n // group * K, (n // group + 1) * K)
    wq, wk, wv = layer.wq[:, own], layer.wk[:, shared], layer.wv[:, shared]
    mixes.append(one_head(normed, wq, wk, wv, positions, frequencies))
print("wq", layer.wq.shape, " wk", layer.wk.shape, " wv", layer.wv.shape, " wo", layer.wo.shape)
print("query head", *range(Hq), " its key-value head", *(n // group for n in range(Hq)))
agree(np.stack(mixes), trace[f"blocks.{i}.mix"])

# %% [markdown] key="concat-why"
# ## Step 4. Side by side, and back to the stream
#
# Every token now has one short row from each head. They are laid side by side into a row of `Hq*K` numbers
# (the **concatenation**), and nothing is added up yet. The matrix `wo` turns this long row into one of width `D`, so
# that a head is not bound to the columns at its own place and can write anywhere in the stream.

# %% key="wo-by-hand"
side_by_side = np.concatenate(mixes, axis=-1)  # Hq times T K -> T Hq*K
attn_out = side_by_side @ layer.wo  # T Hq*K @ Hq*K D -> T D
print("side by side", side_by_side.shape, "= T Hq*K -> attn_out", attn_out.shape, "= T D")
agree(attn_out, trace[f"blocks.{i}.attn_out"])

# %% [markdown] key="sum-why"
# `wo` can be cut as `wq` was, this time into rows, because its first `K` rows meet head 0's numbers only. The
# product is therefore a sum with one term for each head:
#
# $$\mathrm{attn\_out} = \sum_{h=0}^{H_q-1} \mathrm{mix}_h \, W^O_h$$
#
# Here $\mathrm{mix}_h$ is the mix of head $h$, `T K`, and $W^O_h$ are its `K` rows of `wo`, `K D`. Heads do not
# meet before this plus sign, which is why one could be silenced without touching the others.

# %% key="sum-by-hand"
parts = [mixes[n] @ layer.wo[n * K : (n + 1) * K] for n in range(Hq)]  # Hq times T D
agree(sum(parts), attn_out)

# %% [markdown] key="circuits-why"
# ## Step 5. What a head looks for, and what it says
#
# So a head comes down to two questions. Whom does it read? `wq` and `wk` decide, its **QK circuit**. And what does it
# write once it has read? `wv` and its rows of `wo` decide, its **OV circuit** ([Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html)). Both can be read in
# tokens. We let the model read each ordinary word alone, behind begin-of-text, and take its row as our head would
# find it. For the QK circuit, the query that `{{ labels[-1] }}` made in our sentence meets the keys of all these words, each put
# at the place of `{{ labels[read] }}`. For the OV circuit, what the head would write after reading a word goes through the last
# norm's weights and the output matrix, which scores every token (lesson [00](00_start_here.ipynb)).

# %% key="circuits"
from llama_np import rotate
from weights_tools.examine import ordinary_tokens

words = ordinary_tokens(tokenizer)[:1500]
alone = np.stack([np.full_like(words, ids[0]), words], axis=1)  # N 2
rows = {}
forward(weights, config, alone, tap=record(rows, only={"attn_norm"}))
x = rows[f"blocks.{i}.attn_norm"][:, 1]  # N D
shared = slice(g * K, (g + 1) * K)
keys, values = x @ layer.wk[:, shared], x @ layer.wv[:, shared]  # N K

q = trace[f"blocks.{i}.q_rotated"][h, -1]
fit = rotate(keys, np.full(len(words), read), frequencies) @ q / np.sqrt(K)  # N
said = values @ layer.wo[h * K : (h + 1) * K] * weights.norm @ weights.output  # N V


def best_tokens(scores, names=None, n=7):
    chosen = np.argsort(-scores)[:n]
    return "  ".join(tokenizer.token(j if names is None else names[j]) for j in chosen)


girl, boy = (int(np.argmax(words == tokenizer.encode(w)[0])) for w in (" girl", " boy"))
print("having read girl, says", best_tokens(said[girl]))
print("having read boy, says ", best_tokens(said[boy]))
she, he = (tokenizer.encode(w)[0] for w in (" she", " he"))
for_her = said[:, she] - said[:, he]  # how far the head favours "she" after reading each word
shown = [
    w
    for w in ("girl", "mom", "boy", "dad", "dog", "tree", "ball")
    if tokenizer.encode(" " + w)[0] in words
]
at = {w: int(np.argmax(words == tokenizer.encode(" " + w)[0])) for w in shown}
rank = {w: [int((s > s[n]).sum()) + 1 for s in (fit, for_her)] for w, n in at.items()}
table(
    [
        f"of {len(words):,} words",
        "place as what it looks for",
        'place by "she" over "he" when it has read it',
    ],
    [[w, *places] for w, places in rank.items()],
)

# %% [markdown] key="circuits-read"
# Nobody has told this head what a person is. Still, among {{ len(words) :, }} words *girl* has place {{ rank["girl"][0] }} and *boy*
# place {{ rank["boy"][0] }} in what it looks for, while *tree* has place {{ rank["tree"][0] }} and *ball* {{ rank["ball"][0] }}.
# {{ claim: max(rank["girl"][0], rank["boy"][0]) < 0.15 * len(words) < 0.5 * len(words) < min(rank["tree"][0], rank["ball"][0]) }}
# The QK circuit need not tell girl from boy, since its task is to find whoever is being named. The OV circuit
# does. Having read *girl* it pushes up words that speak of her; having read *boy* it names no *he*, and what it does
# shows when *she* and *he* are compared.
# {{ claim: {she, tokenizer.encode(" her")[0]} <= {*np.argsort(-said[girl])[:7]} and he not in np.argsort(-said[boy])[:7] }}
# Ask of every word how far this head raises *she* above *he* when it has read it: *girl* comes at place {{ rank["girl"][1] }} and *mom* at
# {{ rank["mom"][1] }}, *boy* and *dad* at {{ rank["boy"][1] }} and {{ rank["dad"][1] }}, near the end, and *dog*, *tree* and *ball*,
# the control, at {{ rank["dog"][1] }}, {{ rank["tree"][1] }} and {{ rank["ball"][1] }}, between the two, although *ball* only just.
# {{ claim: max(rank["girl"][1], rank["mom"][1]) < 0.25 * len(words) < 0.6 * len(words) < min(rank["boy"][1], rank["dad"][1]) }}
# {{ claim: max(rank["girl"][1], rank["mom"][1]) < rank["ball"][1] < min(rank["dog"][1], rank["tree"][1]) }}
# Together they read like a rule: *find a person; pass on whether it is she or he*. Later blocks find this note in the stream.

# %% [markdown] key="once-why"
# ## Step 6. All heads at once
#
# NumPy can do all these small products in one call if the heads have an axis of their own in front. So we compute
# all queries with the whole `wq`, cut each row into heads, and bring the head axis forward.

# %% key="once-by-hand"
q = normed @ layer.wq  # T D @ D Hq*K -> T Hq*K
cut = q.reshape(len(ids), Hq, K)  # T Hq K
q = cut.swapaxes(0, 1)  # Hq T K
print("T Hq*K", (normed @ layer.wq).shape, "-> T Hq K", cut.shape, "-> Hq T K", q.shape)
agree(q, trace[f"blocks.{i}.q"])

# %% [markdown] key="once-trap"
# Both steps are needed. Asking `reshape` for the final shape at once gives the same shape and other contents,
# because it fills head 0 with the first numbers it finds: *all heads of the first tokens*. No error is raised.

# %% key="once-trap-cell"
wrong = (normed @ layer.wq).reshape(Hq, len(ids), K)
print("same shape:", wrong.shape == q.shape)
print(f"numbers at the right place: {np.isclose(wrong, q).mean():.1%}")

# %% [markdown] key="repeat-why"
# Keys and values are cut the same way, into `Hkv` heads. To meet `Hq` query heads they could be copied `group` times,
# each in its place, which is `np.repeat` and the pairing `h // group`. `np.tile` copies the whole row of them instead; it
# runs as well, and pairs queries with the keys of another head.

# %% key="repeat-by-hand"
from llama_np import attend, attend_grouped, causal_mask, split_heads

k, v = split_heads(normed @ layer.wk, K), split_heads(normed @ layer.wv, K)  # Hkv T K
q, k = rotate(q, positions[None], frequencies), rotate(k, positions[None], frequencies)
visible = causal_mask(positions, positions)
print("repeat:", np.repeat(np.arange(Hkv), group), " tile:", np.tile(np.arange(Hkv), group))
mix = attend(q, np.repeat(k, group, axis=0), np.repeat(v, group, axis=0), visible)
agree(mix, np.stack(mixes))
source(attend_grouped)

# %% [markdown] key="grouped-named-note"
# The library's `attend_grouped` copies nothing: it gives the keys an axis of length 1 where the group stands, which
# NumPy stretches without copying (**broadcasting**). Around it, `attention` is the whole step as the model runs it. Two
# things in it change no result: the `cache` waits for lesson [11](11_kv_cache.ipynb), and a long text goes through in chunks of queries.

# %% key="whole-named"
from llama_np import attention, rope_rotations

agree(mix, attend_grouped(q, k, v, visible))
agree(attn_out, attention(normed, layer, config, rope_rotations(positions, frequencies), visible))
source(attention)

# %% [markdown] key="share-why"
# ## Step 7. Why a group shares
#
# While a model writes, it keeps the keys and values of all past tokens and reads them again for every new one,
# whereas a query is needed once, when its own token reads. So fewer key-value heads save memory and reading time
# (here by the factor {{ group }}; lesson [11](11_kv_cache.ipynb) measures it), and fewer query heads would not. This is **grouped-query attention**
# ([Ainslie et al. 2023](https://arxiv.org/abs/2305.13245), section 2.2). With a key-value head for every query head it is **multi-head attention**, and with
# a single one for all **multi-query attention** ([Shazeer 2019](https://arxiv.org/abs/1911.02150)), which saves most and costs, as Ainslie et al. report,
# some quality. Query heads are above, key-value heads below.

# %% key="share-picture"
show.head_sharing(
    {
        "multi-head": (Hq, Hq),
        f"this model: {group} queries per key": (Hq, Hkv),
        "multi-query": (Hq, 1),
    }
)

# %% [markdown] key="experiment"
# ## Try it: make them look the same way
#
# Every head keeps its own values, and only patterns are replaced, in all blocks at once: by the mean pattern of
# the head's group; by the mean of as many heads dealt out like cards, so that each set has members of all
# groups; by the mean of all heads; by one head's pattern for all; and, as the zero point, by equal shares for all
# visible tokens. **Predict before you run it**: will the first two cost the same?

# %% key="experiment-cell"
in_groups = np.arange(Hq).reshape(Hkv, group)
across = np.arange(Hq).reshape(group, Hkv).T  # as large, but dealt out like cards


def shared_by(sets):
    def change(pattern):
        changed = np.empty_like(pattern)
        for each in sets:
            changed[each] = pattern[each].mean(axis=0)
        return changed

    return change


def equal_shares(pattern):
    n = pattern.shape[-1]
    return np.broadcast_to(np.tri(n) / np.arange(1, n + 1)[:, None], pattern.shape)


def patched(change):
    return losses(tap=patch({f"blocks.{b}.pattern": change for b in blocks})) - as_it_is


cost = {
    "the mean of its group": patched(shared_by(in_groups)),
    "the mean of as many others": patched(shared_by(across)),
    "the mean of all heads": patched(shared_by(np.arange(Hq)[None])),
    "one head's, for all (mean over heads)": np.mean(
        [patched(lambda p, n=n: np.broadcast_to(p[n], p.shape)) for n in range(Hq)], axis=0
    ),
    "equal shares": patched(equal_shares),
}
group_cost, other_cost, all_cost, one_cost, equal_cost = cost.values()
table(
    ["each head reads with", "loss rises by", "spread over the texts", "of equal shares"],
    [
        [name, f"{c.mean():.2f}", f"{c.std():.2f}", f"{c.mean() / equal_cost.mean():.0%}"]
        for name, c in cost.items()
    ],
)

# %% [markdown] key="experiment-answer"
# <details><summary>Answer</summary>
#
# Nearly. The mean of the group costs {{ group_cost.mean() :.2f }} and the mean of as many others {{ other_cost.mean() :.2f }}, a difference of
# {{ (other_cost - group_cost).mean() :.2f }} ± {{ (other_cost - group_cost).std() :.2f }} over the texts. After step 1, where the heads of a group all read `{{ labels[read] }}`, one would
# have expected more.
#
# </details>

# %% [markdown] key="discovery"
# ## What this shows
#
# Equal shares cost {{ equal_cost.mean() :.2f }} nats: that is what it is worth to look in the right place.
# {{ claim: equal_cost.mean() > all_cost.mean() > group_cost.mean() }}
# With one head's pattern for all, {{ 1 - one_cost.mean() / equal_cost.mean() :.0% }} of that is kept, and with the mean of all heads {{ 1 - all_cost.mean() / equal_cost.mean() :.0% }}.
# {{ claim: all_cost.mean() < one_cost.mean() }}
# Let {{ group }} heads share their mean, and {{ 1 - group_cost.mean() / equal_cost.mean() :.0% }} is kept where they are a group, {{ 1 - other_cost.mean() / equal_cost.mean() :.0% }} where
# they are dealt out. {{ claim: group == 1 or other_cost.mean() < 1.25 * group_cost.mean() < 0.8 * equal_cost.mean() }}
#
# So the heads of a block do look for different things: whichever few are made to agree, about half of what attention is
# worth goes with their differences. And the block of step 1 was an exception that a single picture could not tell from the rule: heads that
# share their keys are hardly more alike than heads that do not. The keys only say where one could look; where a head does look,
# its own query decides. That is why several queries can share one set of keys without becoming one head, and sharing
# them saves memory at little cost ([Ainslie et al. 2023](https://arxiv.org/abs/2305.13245)).

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>"Several heads prevent overfitting, because each sees only a part of the data." What is wrong?</summary>
#
# Each head sees every token and the whole row of `D` numbers. Nothing is left out at random, and there are no fewer
# numbers to learn. What each head has of its own is a pattern.
#
# </details>
#
# <details><summary>A head reads one token with weight 0.99. What do you not know yet?</summary>
#
# What it writes, and whether anything later uses that. The pattern shows the QK circuit only; the effect has to be
# measured, for example by silencing the head.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# **Your turn:** [exercise 07](exercises/07_multi_head.ipynb), where you write the whole step and measure a group yourself. Attention has
# moved information between tokens; in [lesson 08](08_feed_forward.ipynb), feed-forward, every token works alone on what it has collected.
# Before this page: [lesson 06](06_masking.ipynb). Its code: `llama_np/attention.py`, `weights_tools/examine.py`.
