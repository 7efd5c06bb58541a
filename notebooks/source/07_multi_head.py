# %% [markdown] key="title"
# # 07 Multi-head attention: what do all the heads do?
#
# To go on with *Once upon a time, there was a little girl named*, the last token has to learn that a girl is meant,
# while at the same moment other tokens of the sentence need other words. One head has one pattern and
# hands over one mixture (lesson [04](04_single_head_attention.ipynb)), so a block has many heads side by side. Do they really
# look for different things, and what is lost if we force them to look the same way?
#
# We exchange what each head says, to find those that matter for this sentence. Then we build a block's heads, read in
# tokens what the best of them looks for and what it writes, and an experiment on 20 texts measures what their
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
# by how clear their patterns look.

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


# %% key="silence-drawn"
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
# The blue cells tend to stand in one column, below one another. {{ f"Heads 0 to {group - 1}" if group > 1 else "Groups of one head" }} share their keys, and so do
# heads {{ group }} to {{ 2 * group - 1 }} (step 6 says why), so we take the group that takes away most together, and in it the strongest head.

# %% key="choose"
by_group = effect.reshape(config.n_layers, Hkv, group).sum(axis=-1)
i, g = (int(n) for n in np.unravel_index(by_group.argmin(), by_group.shape))
members = [g * group + n for n in range(group)]
h = members[effect[i, members].argmin()]
at_last = trace[f"blocks.{i}.pattern"][:, -1]  # Hq S


def count_of(some, of):  # for the text below
    return f"all {of} heads" if some == of else f"{some} of the {of} heads"


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
# Each row shows how one head divides its attention for `{{ labels[-1] }}`, and sums to one. Head {{ h }} gives {{ at_last[h, read] :.2f }} of its attention to `{{ labels[read] }}`, and {{ count_of(sum(at_last[m].argmax() == read for m in members), group) }} that share its keys read most from that token.
# {{ claim: sum(at_last[m].argmax() == read for m in members) * 2 >= group }}
# Among the other {{ Hq - group }} heads this holds for {{ sum(at_last.argmax(axis=-1) == read) - sum(at_last[m].argmax() == read for m in members) }}; the rest look elsewhere at the same moment. This is the reason for having several: a head
# hands over one weighted mean, so two things that it looked for would arrive as one blur
# ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.2.2). Cut into {{ Hq }} heads of width {{ K }} or left as one of width {{ Hq * K }}, `wq` has the same
# {{ D * Hq * K :, }} numbers; what changes is the number of patterns.

# %% [markdown] key="jobs-why"
# ## Step 2. Heads with a job
#
# Can we say of a head what it does on *any* text? Some jobs show in the pattern: reading the token before, the
# first token of the text, or the token that followed an earlier copy of this one (an **induction head**, [Olsson et
# al. 2022](https://arxiv.org/abs/2209.11895)). We run texts in which each job has known places, and ask how much weight every head puts there.

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
b, n = best["previous token"]
drawn = trace[f"blocks.{b}.pattern"][n]
show.matrix(
    drawn,
    ("query T", "key S"),
    rows=labels,
    columns=labels,
    limit=1.0,
    quantity="weights",
    title=f"block {b}, head {n}, in our sentence",
)

# %% [markdown] key="jobs-read"
# The clearest job is the plainest. Block {{ b }}, head {{ n }} puts {{ found["previous token"].max() :.0% }} of its attention on the token before, where equal shares
# would put {{ even["previous token"] :.0% }}. That was on lists of random words, each list given twice. In our
# sentence the dark line below the diagonal is broken at {{ sum(np.diagonal(drawn, -1) < 0.5) }} of {{ len(ids) - 1 }} tokens, and lesson 05, looking in
# stories, found another head to be the steadiest.
# {{ claim: found["previous token"].max() > 0.3 }}
# {{ claim: 0 < sum(np.diagonal(drawn, -1) < 0.5) < 4 }}
# The earlier copy of the same token gets only {{ found["same token"].max() :.2f }} from its best head, not far from equal shares, so *nobody* holds that
# job. {{ claim: found["same token"].max() < 3 * even["same token"] }}
# Two jobs are about whom and where the text is: one head puts {{ found["hero's name"].max() :.2f }} of its attention on the name where it must come
# again (equal shares: {{ even["hero's name"] :.2f }}), one {{ found["start of sentence"].max() :.2f }} on the first token of the sentence (equal shares: {{ even["start of sentence"] :.2f }}).
# {{ claim: found["hero's name"].max() > 5 * even["hero's name"] and found["start of sentence"].max() > 5 * even["start of sentence"] }}
# The first token of the text gets {{ found["begin of text"].max() :.2f }} at most over whole stories; in a sentence as short as ours some heads give it far more.
# The best induction head, {{ "{}.{}".format(*best["induction"]) }} with {{ found["induction"].max() :.2f }}, raises a question, since
# nothing in a token's own row says what came before it: how does it find its place? [Page 07b](07b_induction.ipynb)
# finds out, and meets the name there again.
#
# Does a clear pattern mean a large effect? Now we **silence** heads, putting zeros in the place of their mix: on 20
# stories, where we measure the loss (lesson [05](05_rope.ipynb)) in **nats**, the unit of the natural logarithm, and on 20 sentences that end in *girl named*, where we
# measure the lead. The controls are heads drawn at random, and the other heads of our block.

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


# %% key="effects-table"
as_it_is, leading = losses(), np.array([lead(text) for text in girls])
change = {f"previous token, {b}.{n}": changes(b, [n])}
some = np.random.default_rng(0).choice(effect.size, 8, replace=False)
at_random = [changes(one // Hq, [one % Hq]) for one in some]
alone = [each[0].mean() for each in at_random]  # the change of the loss, head by head
dearest = some[int(np.argmax(alone))]
change["a head at random, of 8"] = [np.concatenate(each) for each in zip(*at_random)]
change[f"head {i}.{h} of step 1"] = changes(i, [h])
change["its whole group"] = changes(i, members)
change["the rest of its block"] = changes(i, [m for m in range(Hq) if m not in members])
table(
    ["silenced", f"loss, on {len(texts)} stories", f"lead, on {len(girls)} sentences"],
    [[n, *(f"{r.mean():+.3f} ± {r.std():.3f}" for r in both)] for n, both in change.items()],
)
rival = min(set(range(Hq)) - {*members}, key=lambda m: effect[i, m])  # the strongest of the rest

# %% [markdown] key="effects-read"
# Behind ± stands the spread over the texts, in the second row over 8 heads as well. The loss is {{ as_it_is.mean() :.2f }} with all heads in place, and
# single heads count for little there: the previous-token head {{ change[list(change)[0]][0].mean() :.3f }}, a head at random {{ change[list(change)[1]][0].mean() :.3f }}, and that
# is nearly all due to one of the eight, {{ dearest // Hq }}.{{ dearest % Hq }}, with {{ max(alone) :.3f }}. {{ claim: max(alone) < 0.1 and dearest < Hq and sum(alone) < 1.5 * max(alone) }} A pattern that one can
# name is not yet an effect, and most single heads can go, as [Michel et al. 2019](https://arxiv.org/abs/1905.10650) found in models of translation. The lead tells another story.
# It stands at {{ leading.mean() :.2f }}; head {{ i }}.{{ h }} alone takes away {{ -change[list(change)[2]][1].mean() :.2f }}, its group {{ -change["its whole group"][1].mean() :.2f }}, and the
# rest of the block changes it by {{ change["the rest of its block"][1].mean() :+.2f }}.
# {{ claim: -change["its whole group"][1].mean() > 2 * abs(change["the rest of its block"][1].mean()) }}
# {{ claim: -change["its whole group"][1].mean() > -change[list(change)[2]][1].mean() }}
# So the heads of this group share the work. In the rest is head {{ rival }}, which took away {{ -effect[i, rival] :.2f }} in step 1. The two measures differ: an exchange
# brings in what a head would say of a boy, whereas silence only leaves unsaid what it says of a girl.

# %% [markdown] key="loop-why"
# ## Step 3. All heads of a block, in a loop
#
# `wq` holds the query matrices of all heads side by side: the first `K` columns are head 0's, the next `K` head
# 1's, and so on. For keys and values there are fewer such slices, `Hkv` instead of `Hq`, and neighbouring query
# heads form a **group** of `Hq / Hkv` that uses one **key-value head**: query head `h` reads number `h // group`. On
# each turn the loop hands `one_head` (lessons 04 to 06 in one function) that head's columns.

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

# %% [markdown] key="once-why"
# ## Step 5. All heads at once
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
# Asking `reshape` for the final shape at once gives the same shape and other contents,
# because it fills head 0 with the first numbers it finds: *all heads of the first tokens*. No error is raised.

# %% key="once-trap-cell"
wrong = (normed @ layer.wq).reshape(Hq, len(ids), K)
print("same shape:", wrong.shape == q.shape)
print(f"numbers at the right place: {np.isclose(wrong, q).mean():.1%}")

# %% [markdown] key="repeat-why"
# Only {{ np.isclose(wrong, q).mean() :.1% }} of the numbers are where they belong, and nothing but a comparison would have told.
#
# Keys and values are cut the same way, into `Hkv` heads. To meet `Hq` query heads they could be copied `group` times,
# each in its place, which is `np.repeat` and the pairing `h // group`. The library's `attend_grouped` copies nothing:
# it gives the keys an axis of length 1 where the group stands, which NumPy stretches without copying
# (**broadcasting**). Around it, `attention` is the whole step as the model runs it.

# %% key="repeat-by-hand"
from llama_np import attend, attend_grouped, causal_mask, rotate, split_heads

k, v = split_heads(normed @ layer.wk, K), split_heads(normed @ layer.wv, K)  # Hkv T K
q, k = rotate(q, positions[None], frequencies), rotate(k, positions[None], frequencies)
visible = causal_mask(positions, positions)
mix = attend(q, np.repeat(k, group, axis=0), np.repeat(v, group, axis=0), visible)
agree(mix, np.stack(mixes))
agree(mix, attend_grouped(q, k, v, visible))
source(attend_grouped)

# %% key="whole-named"
from llama_np import attention, rope_rotations

agree(attn_out, attention(normed, layer, config, rope_rotations(positions, frequencies), visible))

# %% [markdown] key="share-why"
# ## Step 6. Why a group shares
#
# While a model writes, it keeps the keys and values of all past tokens and reads them again for every new one,
# whereas a query is needed once, when its own token reads. So fewer key-value heads save memory and reading time
# (lesson [11](11_kv_cache.ipynb)), and fewer query heads would not. This is **grouped-query attention**
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

# %% [markdown] key="circuits-why"
# ## Step 7. What a head looks for, and what it says
#
# So a head comes down to two questions. Whom does it read? `wq` and `wk` decide, its **QK circuit**. And what does it
# write once it has read? `wv` and its rows of `wo` decide, its **OV circuit** ([Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html)). Both can be read in
# tokens. We let the model read each ordinary word alone, behind begin-of-text, and take its row as our head would
# find it; of a large vocabulary the first five thousand are enough. For the QK circuit, the query that `{{ labels[-1] }}` made in our sentence meets the keys of all these words, each put
# at the place of `{{ labels[read] }}`. For the OV circuit, what the head would write after reading a word goes through the last
# norm's weights and the output matrix, which scores every token (lesson [00](00_start_here.ipynb)).

# %% key="circuits"
from weights_tools.examine import ordinary_tokens

words = ordinary_tokens(tokenizer)[:5000]  # a space and small letters; frequent ones come first
alone = np.stack([np.full_like(words, ids[0]), words], axis=1)  # N 2


def normalised(some):  # the last row of each, as it comes to our block
    rows = {}
    forward(weights, config, some, tap=record(rows, only={"attn_norm"}))
    return rows[f"blocks.{i}.attn_norm"][:, -1]


x = np.concatenate([normalised(alone[n : n + 500]) for n in range(0, len(alone), 500)])  # N D
shared = slice(g * K, (g + 1) * K)
keys, values = x @ layer.wk[:, shared], x @ layer.wv[:, shared]  # N K

q = trace[f"blocks.{i}.q_rotated"][h, -1]
fit = rotate(keys, np.full(len(words), read), frequencies) @ q / np.sqrt(K)  # N
written = values @ layer.wo[h * K : (h + 1) * K] * weights.norm  # N D


def likeliest(scores, n=8):
    return np.argsort(-scores)[:n]


girl, boy = (int(np.argmax(words == tokenizer.encode(w)[0])) for w in (" girl", " boy"))
said = {word: written[word] @ weights.output for word in (girl, boy)}  # V each
print("looks for             ", *(tokenizer.token(j) for j in words[likeliest(fit)]))
print("having read girl, says", *(tokenizer.token(j) for j in likeliest(said[girl])))
print("having read boy, says ", *(tokenizer.token(j) for j in likeliest(said[boy])))

# %% key="circuits-table"
she, he = (tokenizer.encode(w)[0] for w in (" she", " he"))
# how far the head favours "she" after reading each word
for_her = written @ (weights.output[:, she] - weights.output[:, he])
of_women = "girl", "woman", "mom", "mother", "sister", "lady", "princess", "queen"
of_men = "boy", "man", "dad", "father", "brother", "king", "prince"
others = "dog", "cat", "bird", "bear", "tree", "ball", "house", "box", "car"
places = {}  # of each word, counted from the highest score: as what is looked for, and for her
for kind in (of_women, of_men, others):
    at = [np.flatnonzero(words == tokenizer.encode(" " + w)[0]) for w in kind]
    at = np.concatenate(at)  # those that are one token here
    places[kind] = [(s > s[at, None]).sum(axis=1) + 1 for s in (fit, for_her)]
looked_for, her_place = ([np.median(p[n]) for p in places.values()] for n in (0, 1))
table(
    [f"median place among {len(words):,} words", "as what it looks for", '"she" over "he"'],
    [[" ".join(kind), f"{f:.0f}", f"{s:.0f}"] for kind, f, s in zip(places, looked_for, her_place)],
)

# %% [markdown] key="circuits-read"
# Nobody has told this head what a person is, and its {{ len(likeliest(fit)) }} favourites, in the first line, are a mixed company. Words
# for people are high up all the same: those for women have a median place of {{ looked_for[0] :.0f }} and those for men of {{ looked_for[1] :.0f }} among {{ len(words) :, }}, where
# animals and things, the control, have {{ looked_for[2] :.0f }}.
# {{ claim: max(looked_for[:2]) < 0.25 * len(words) < 0.4 * len(words) < looked_for[2] }}
# The QK circuit need not tell girl from boy, since its task is to find whoever is being named. The OV circuit
# does. Having read *girl* it pushes up words that speak of her; having read *boy* it names no *he*, and what it does
# shows when *she* and *he* are compared.
# {{ claim: [words[girl], words[boy]] == [tokenizer.encode(w)[0] for w in (" girl", " boy")] }}
# {{ claim: {she, tokenizer.encode(" her")[0]} <= {*likeliest(said[girl])} and he not in likeliest(said[boy]) }}
# Ask of every word how far this head raises *she* above *he* when it has read it: the women's median place is {{ her_place[0] :.0f }}, the control's {{ her_place[2] :.0f }}, and
# the men's {{ her_place[1] :.0f }}. Single words scatter widely, up to {{ places[of_women][1].max() }} for a woman and down to {{ places[of_men][1].min() }} for a man, but as a rule the head
# does *look for a person, and pass on whether it is she or he*, with most animals and things ranked nearer to the women than to the men.
# {{ claim: her_place[0] < 0.2 * len(words) < 0.6 * len(words) < her_place[1] and her_place[0] < her_place[2] < her_place[1] }}

# %% [markdown] key="experiment"
# ## Try it: make them look the same way
#
# Every head keeps its own values, and only patterns are replaced, in all blocks at once: by the mean pattern of
# the head's group; as a control by the mean of as many heads taken from all groups, which is done in two ways; by the mean of all heads of
# the block; and by equal shares for all visible tokens. As a measure of all that attention is worth there, all heads fall silent. Block 0 keeps its patterns,
# and gets a row of its own at the end. **Predict before you run it**: will the first two cost the same?

# %% key="experiment-cell"
in_groups = np.arange(Hq).reshape(Hkv, group)
rng = np.random.default_rng(0)
mixed = [  # as large, with members of all groups in each
    rng.permuted(in_groups, axis=1).T.reshape(Hkv, group) for _ in range(2)
]


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


def cost_of(change, where=blocks[1:], what="pattern"):
    return losses(tap=patch({f"blocks.{b}.{what}": change for b in where})) - as_it_is


# %% key="experiment-table"
of_groups = cost_of(shared_by(in_groups))
of_mixed = np.mean([cost_of(shared_by(sets)) for sets in mixed], axis=0)
of_all = cost_of(shared_by(np.arange(Hq)[None]))
of_equal, of_silence = cost_of(equal_shares), cost_of(np.zeros_like, what="mix")
of_block_0 = cost_of(shared_by(in_groups), where=[0])


def all_but(n):  # as there, but head n keeps its own pattern, and the rest of its group shares
    sets = [[m for m in each if m != n] for each in in_groups]

    def change(pattern):
        changed = shared_by([each for each in sets if each])(pattern)
        changed[n] = pattern[n]
        return changed

    return change


spared = [cost_of(all_but(n), where=[0]) for n in range(Hq)]
special = int(np.argmin([each.mean() for each in spared]))
cost = {
    "the mean of its group": of_groups,
    "the mean of as many, groups mixed": of_mixed,
    "the second minus the first": of_mixed - of_groups,
    "the mean of all heads of the block": of_all,
    "equal shares": of_equal,
    "not at all: all heads silent": of_silence,
    "the mean of its group, in block 0 alone": of_block_0,
    f"the same, but head {special} keeps its own": spared[special],
}
table(
    ["each head reads with", "loss rises by", "spread over the texts"],
    [[name, f"{c.mean():.2f}", f"{c.std():.2f}"] for name, c in cost.items()],
)

# %% [markdown] key="experiment-answer"
# <details><summary>Answer</summary>
#
# No. The mean of the group costs {{ of_groups.mean() :.2f }}, the mean of as many others {{ of_mixed.mean() :.2f }}. Text by text the second costs more by
# {{ (of_mixed - of_groups).mean() :.2f }} ± {{ (of_mixed - of_groups).std() :.2f }}, so the heads of a group are more alike than as many from mixed groups.
# {{ claim: group == 1 or of_mixed.mean() > 1.2 * of_groups.mean() and (of_mixed > of_groups).mean() > 0.8 }}
#
# </details>

# %% key="alike"
same = np.zeros((Hq, Hq))  # how often two heads of a block read most from the same token
for text in texts:
    seen = {}
    forward(weights, config, text, tap=record(seen, only={"pattern"}))
    for b in blocks[1:]:
        favourite = seen[f"blocks.{b}.pattern"].argmax(axis=-1)[:, 8:]  # Hq T, not the first few
        same += (favourite[:, None] == favourite).mean(axis=-1) / len(texts) / len(blocks[1:])
of_a_group = np.arange(Hq) // group == np.arange(Hq)[:, None] // group
alike = same[of_a_group & ~np.eye(Hq, dtype=bool)].mean(), same[~of_a_group].mean()
print(
    f"the same favourite: two heads of a group {alike[0]:.0%}, of different groups {alike[1]:.0%}"
)

# %% [markdown] key="discovery"
# ## What this shows
#
# Silent heads in {{ len(blocks) - 1 }} blocks cost {{ of_silence.mean() :.2f }} nats, which is what looking is worth there. The loss is then {{ (as_it_is + of_silence).mean() :.2f }}, still better than the
# {{ np.log(config.vocab_size) :.2f }} of guessing. {{ claim: (as_it_is + of_silence).mean() < 0.8 * np.log(config.vocab_size) }}
# Of these {{ of_silence.mean() :.2f }} nats equal shares throw away {{ of_equal.mean() / of_silence.mean() :.0% }}, one common pattern for all {{ Hq }} heads of a block only
# {{ of_all.mean() / of_silence.mean() :.0% }}, and one for each group {{ of_groups.mean() / of_silence.mean() :.0% }}. The heads do look for different things, since two of a group have the same
# favourite {{ alike[0] :.0% }} of the time and two of different groups {{ alike[1] :.0% }}; yet in these {{ config.n_layers - 1 }} blocks together it matters far more where a block as a whole
# looks than who in it looks where.
# {{ claim: of_silence.mean() > of_equal.mean() > 2 * of_all.mean() and of_all.mean() < 0.4 * of_silence.mean() and of_all.mean() > 1.3 * of_groups.mean() }}
# {{ claim: group == 1 or 0.6 > alike[0] > 1.5 * alike[1] }}
#
# There is one exception, in the last two rows. In block 0 alone a common pattern for each group costs {{ of_block_0.mean() :.2f }}, {{ of_block_0.mean() / of_groups.mean() :.0f }} times as much as in all
# others together. But nearly all of that is due to a single head: let head {{ special }} keep its own pattern, and it is {{ spared[special].mean() :.2f }}. One head there does something
# that cannot be shared; [lesson 09](09_32_blocks.ipynb) meets it when it asks what block 0 is for.
# {{ claim: of_block_0.mean() > 3 * of_groups.mean() and spared[special].mean() < 0.2 * of_block_0.mean() }}
#
# Heads that share their keys are more alike, then, but each query still decides where it looks, and being alike costs
# little here. (This model has shared keys from the start. Ainslie et al. 2023, linked above, took trained models with a key for every head, gave each group the mean of
# its keys and values, trained on for a twentieth of the time, and lost little, too.)

# %% [markdown] key="next"
# ## What comes next
#
# **Your turn:** [exercise 07](exercises/07_multi_head.ipynb), where you write the whole step and measure a group yourself. Attention has
# moved information between tokens; in [lesson 08](08_feed_forward.ipynb), feed-forward, every token works alone on what it has collected.
# **Touch it:** `show.microscope(model=model, state="e=heads")` shows what each head is worth, and switches them off.
# Before this page: [lesson 06](06_masking.ipynb). Its code: `llama_np/attention.py`, `weights_tools/examine.py`.
