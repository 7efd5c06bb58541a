# %% [markdown] key="title"
# # 07b Induction: heads that copy together
#
# Here is a list of random words, and then the same list again. Nothing in grammar or in any story says which
# word comes next, so the first time the model can only guess. The second time it could know, if it looked up what
# came after the same word before. Can it? And how would a head find that place, when nothing in a word's own row says
# what stood before it?
#
# We measure whether the model copies, look for the heads that read in the right place, and take their scores apart to see
# what leads them there. Then we silence what we found, beside controls, and see at the end what a story
# gets from all this.
#
# This page is optional. It goes on from [lesson 07](07_multi_head.ipynb) and needs its `patch`, its table of jobs, and
# the loss of lesson [05](05_rope.ipynb).

# %% key="lists"
import numpy as np
from classroom import agree, show, table

from llama_np import forward, patch, record, rope_frequencies, rotate
from weights_tools import load_model
from weights_tools.examine import begin, ordinary_tokens, token_losses

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
N, LISTS = 24, 20  # tokens in a list, lists
rng = np.random.default_rng(0)
words = ordinary_tokens(tokenizer)  # a space and small letters
once = [rng.choice(words, N, replace=False) for _ in range(LISTS)]
lists = [np.array([*begin(tokenizer), *row, *row]) for row in once]
print(tokenizer.decode(once[0]))

# %% [markdown] key="loss-why"
# ## Step 1. Does it copy?
#
# For every position we take the loss of the token that comes there, minus the natural logarithm of the probability
# that the model gave it, averaged over all lists. Its unit is the **nat**; one nat less makes a token e = 2.7 times as
# probable. As a control, the second half is another random list instead of the same one.
#
# **Predict before you run:** where does the curve fall, and does it fall at once?


# %% key="loss"
def losses(ids, **options):
    """The loss of each token but the first, shape (T - 1,)."""
    return token_losses(weights, config, ids, np.arange(1, len(ids)), **options)


same = np.array([losses(ids) for ids in lists])  # LISTS 2N
other = np.array([losses(np.array([*a[: N + 1], *b])) for a, b in zip(lists, once[1:] + once[:1])])
show.curves(
    np.arange(1, 2 * N + 1),
    {"the same list again": same.mean(axis=0), "another list": other.mean(axis=0)},
    ("position", "loss in nats"),
)
first, second = same[:, :N].mean(axis=1), same[:, N + 1 :].mean(axis=1)

# %% [markdown] key="loss-read"
# {{ claim: first.mean() - second.mean() > 1 }}
# The first time a token of the list costs {{ first.mean() :.2f }} nats, more than the {{ np.log(config.vocab_size) :.1f }} of a blind guess among all
# tokens, because the model expects a story. {{ claim: first.mean() > np.log(config.vocab_size) }} The second time it costs
# {{ second.mean() :.2f }}, and with another list {{ other[:, N + 1 :].mean() :.2f }}. From the first time to the second
# the loss falls by {{ first.mean() - second.mean() :.2f }} nats, ± {{ (first - second).std() :.1f }} over the lists, which makes the right word some
# {{ round(np.exp(first.mean() - second.mean()), -3) :,.0f }} times as probable. At position {{ N + 1 }}, the first word of
# the second time, nothing can be known yet, since no token says that the list begins anew; from then on every
# word names the one that follows it.
#
# ## Step 2. Why one head cannot do it
#
# Stand on a word `A` of the second list. The answer is `B`, the word after the earlier `A`. To hand over `B`, a
# head must read at `B`'s position. But it finds positions by their keys, a key is made from what its own row
# holds, and the row of `B` knows only that it is a `B`. Nothing in it says that `A` came before.
#
# Unless somebody wrote it there. Suppose that a head in an earlier block reads, at every position, the token
# before, and adds what it finds to the row. Then `B`'s row holds "I am `B`, and before me came `A`", a key can
# carry the second half of that, and the query of the later `A`, "who came after an `A`?", fits it. A head that reads like this is
# called an **induction head** ([Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html), [Olsson et al.
# 2022](https://arxiv.org/abs/2209.11895)), after the conclusion that it draws: what followed this token once will
# follow it again. If we are right, this model has heads of both kinds, and we can look for them.

# %% key="search"
positions = np.arange(1, 2 * N + 1)
late = np.arange(N + 1, 2 * N)  # the second time, all but the last
right = late - N + 1  # for each of these the token after the earlier copy


def patterns(ids):
    """The patterns of all heads, shape (L, Hq, T, S)."""
    trace = {}
    forward(weights, config, ids, tap=record(trace, only={"pattern"}))
    return np.stack([trace[f"blocks.{i}.pattern"] for i in range(config.n_layers)])


seen = [patterns(ids) for ids in lists]
before = np.mean([p[:, :, positions, positions - 1].mean(axis=-1) for p in seen], axis=0)  # L Hq
after = np.mean([p[:, :, late, right].mean(axis=-1) for p in seen], axis=0)
show.matrices(
    {"reads the token before": before.T, "reads the token after the earlier copy": after.T},
    ("head", "block"),
    quantity="weights",
    across=1,
)
i, h = (int(n) for n in np.unravel_index(after.argmax(), after.shape))
print(f"block {i}, head {h}: {after[i, h]:.2f} on the token after the earlier copy")

# %% [markdown] key="search-read"
# {{ claim: after[i, h] > 0.3 }}
# Each picture has one cell for every head of the model. In the lower one we look for readers, and the largest weight is that of
# head {{ h }} of block {{ i }}, which we write {{ i }}.{{ h }}. It puts {{ after[i, h] :.2f }} of its attention where the answer is, among
# some {{ N + N // 2 }} tokens, where an equal share would be {{ 1 / (1.5 * N) :.2f }}. It is not the only one:
# {{ (after > 0.5).sum() }} heads put more than half there, and all of block {{ i }} at least {{ after[i].min() :.2f }}, so that another choice of lists, as in
# lesson 07, may put another of them first. The upper picture has the heads that read the token before, the
# best of them with {{ before.max() :.2f }}, and most of them lie in earlier blocks, further to the left.
# {{ claim: np.argwhere(before > 0.5)[:, 0].mean() < np.argwhere(after > 0.5)[:, 0].mean() }}
# Here is what {{ i }}.{{ h }} reads, on a shorter list so that it fits.

# %% key="reads"
short = once[1][:5]
short_ids = np.array([*begin(tokenizer), *short, *short])
labels = [tokenizer.token(t) for t in short_ids]
reader = 8
show.reads(labels, patterns(short_ids)[i, h], reader=reader, title=f"block {i}, head {h}")

# %% [markdown] key="note-why"
# It stands on `{{ labels[reader] }}` and reads `{{ labels[int(patterns(short_ids)[i, h][reader].argmax())] }}`, the
# word that came after `{{ labels[reader] }}` the first time.
# {{ claim: patterns(short_ids)[i, h][reader].argmax() == reader - len(short) + 1 }}
#
# ## Step 3. Who leaves the note?
#
# The claim is now that the key of that place carries a note about the token before it, written by a head in an
# earlier block. The stream makes it possible to check this exactly, because it is a **sum**: the embedding, plus
# what every head and every feed-forward step before this block has added. First we list these parts.

# %% key="note"
K, group = config.head_dim, config.group
layer = weights.layers[i]


def written(trace):
    """What each source has added to the stream before block i: name to (T, D)."""
    found = {"embedding": trace["embedded"]}
    for b in range(i):
        for n in range(config.n_heads):
            rows = weights.layers[b].wo[n * K : (n + 1) * K]  # this head's, as in lesson 07
            found[b, n] = trace[f"blocks.{b}.mix"][n] @ rows  # T K @ K D -> T D
        found[f"feed-forward {b}"] = trace[f"blocks.{b}.down"]
    return found


# %% [markdown] key="note-parts-why"
# If the factor by which the norm divides is kept as it is, a key is a sum in the same way, and so is a score. So each
# earlier head has its own part of the score, and of the lead that the right place has over the mean of all others that
# could be read.


# %% key="note-parts"
def parts_of_scores(ids):
    """For each source its part of the scores of our head, shape (T, S), and the scores themselves."""
    trace = {}
    forward(weights, config, ids, tap=record(trace))
    sources = written(trace)
    size = np.sqrt((sum(sources.values()) ** 2).mean(axis=-1, keepdims=True) + config.norm_eps)
    wk = layer.wk[:, h // group * K : (h // group + 1) * K]
    frequencies = rope_frequencies(K, config.rope_theta, config.rope_scaling)
    q = trace[f"blocks.{i}.q_rotated"][h] / np.sqrt(K)
    keys = {name: part / size * layer.attn_norm @ wk for name, part in sources.items()}
    turned = {n: rotate(key, np.arange(len(ids)), frequencies) for n, key in keys.items()}
    return {n: q @ key.T for n, key in turned.items()}, trace[f"blocks.{i}.scores"][h]


advantage = {}  # of the right place over the mean of the others
for ids in lists[:5]:
    parts, scores = parts_of_scores(ids)
    for name, part in parts.items():
        gain = [part[t, s] - np.delete(part[t, : t + 1], s).mean() for t, s in zip(late, right)]
        advantage.setdefault(name, []).append(np.mean(gain))
agree(sum(parts.values()), scores, tolerance=1e-4)
ranked = sorted(advantage, key=lambda name: -np.mean(advantage[name]))
total = sum(np.mean(a) for a in advantage.values())
print(f"in the score the right place leads by {total:.1f}; the most that one source adds:")
print({n: f"{np.mean(advantage[n]):.2f}" for n in ranked[:4]})

# %% [markdown] key="note-read"
# The parts add up to the scores of the model, as `agree` confirms. On average the right place leads the mean of the
# others by {{ total :.1f }}, and the most that any one of {{ len(advantage) }} sources adds to this is {{ np.mean(advantage[ranked[0]]) :.1f }}, so no single one has put it there. Do those
# that add have something in common? The upper picture gives a guess, the heads that read the token before.


# %% key="note-table"
def strong(there):
    """The heads with more than half of their weight there, as pairs (block, head); at least one."""
    return [(int(b), int(n)) for b, n in np.argwhere(there > min(0.5, 0.99 * there.max()))]


writers, readers = strong(before), strong(after)
j, g = next((name for name in ranked if name in writers), writers[0])  # the one that helps most
reader_blocks = sorted({b for b, _ in readers})
earlier = {name for name in writers if name[0] < i}
kinds = {
    "heads that read the token before": [name for name in advantage if name in earlier],
    "all other heads": [n for n in advantage if isinstance(n, tuple) and n not in earlier],
    "feed-forward steps": [n for n in advantage if "feed" in n],
    "embedding": ["embedding"],
}
share = {kind: np.sum([advantage[n] for n in names], axis=0) for kind, names in kinds.items()}
table(
    ["written by", "how many", "adds to the right place"],
    [[k, len(kinds[k]), f"{s.mean():.2f} ± {s.std():.2f}"] for k, s in share.items()],
)

# %% [markdown] key="note-table-read"
# {{ claim: share["heads that read the token before"].mean() > total / 2 }}
# Of the {{ total :.1f }}, the {{ len(earlier) }} heads in earlier blocks that read the token before have written {{ share["heads that read the token before"].mean() :.1f }}, and
# all {{ len(kinds["all other heads"]) }} others together {{ share["all other heads"].mean() :.1f }}; of the ten sources that add most {{ "all" if all(name in earlier for name in ranked[:10]) else sum(name in earlier for name in ranked[:10]) }} are such heads. So there is a note, we know its authors, and it is written many times
# over. The embedding gives {{ share["embedding"].mean() :+.2f }}: what a token *is* cannot mark the place, only what stands
# before it can. That a key is composed from what earlier heads have written is called **K-composition**, and it is the
# reason why a model of one block cannot do this, however many heads it has.
#
# ## Step 4. What is handed over
#
# Finding the right place is half of the work; the head must also say the word that it finds there. What it
# adds to the stream meets the output matrix at the end of the model. Leave out everything in between, and one
# product tells which tokens it speaks for.


# %% key="says"
def place_of(tokens, scores):
    """The place of each token in its row of scores, 1 for the highest of the vocabulary."""
    own = np.take_along_axis(scores, tokens[:, None], axis=-1)
    return (scores > own).sum(axis=-1) + 1


places = {
    "the word after the earlier copy": [],
    "its own word": [],
    "some other word of the list": [],
}
for ids in lists:
    trace = {}
    forward(weights, config, ids, tap=record(trace, only={"mix"}))
    out = trace[f"blocks.{i}.mix"][h] @ layer.wo[h * K : (h + 1) * K]
    says = (out[late] * weights.norm) @ weights.output  # N-1 V
    for name, tokens in zip(places, (ids[late + 1], ids[late], ids[late - N // 2])):
        places[name].extend(place_of(tokens, says))
table(
    [f"among {config.vocab_size:,} tokens", "median place"],
    [[name, f"{np.median(found):.0f}"] for name, found in places.items()],
)

# %% [markdown] key="says-read"
# {{ claim: np.median(places["the word after the earlier copy"]) < config.vocab_size / 20 }}
# Among the {{ config.vocab_size :, }} tokens the word that must come is on place {{ np.median(places["the word after the earlier copy"]) :.0f }} in what this one head says by itself. The
# word on which it stands is on place {{ np.median(places["its own word"]) :.0f }} and a word of the list that is not due on {{ np.median(places["some other word of the list"]) :.0f }}, both near the
# middle, where chance would put them. So the head's value and output matrices tend to copy. What
# goes in is no bare word but its row after {{ i }} blocks, and still the logit of that word rises.
# {{ claim: all(0.3 < np.median(places[name]) / config.vocab_size < 0.7 for name in list(places)[1:]) }}
#
# ## Experiment: take the readers away, or the note
#
# If this is how the model copies, the copying must suffer when *either* kind of head is silent, and without the
# note the readers must lose their way, although nobody has touched them. We silence all heads of a kind, every one
# with more than half of its weight where the job is, because a model tends to have several of them. There are two
# controls. As many heads that do neither are drawn at random, three times. And because the readers turn out to be all heads of blocks
# {{ " and ".join(str(b) for b in reader_blocks) }}, so that silencing them takes away whole attention steps, we do the same to the blocks just
# before them. Block 0 is spared, since nothing works without it ([lesson 09](09_32_blocks.ipynb) says why).
# {{ claim: len(readers) == config.n_heads * len(reader_blocks) }}
#
# **Predict before you run:** does the model stop copying altogether?


# %% key="experiment"
def without(heads):
    """A tap under which some heads, pairs (block, head), write nothing."""

    def zeroed(own):
        def change(mix):
            mix = mix.copy()
            mix[own] = 0
            return mix

        return change

    own = {b: [n for c, n in heads if c == b] for b, _ in heads}
    return patch({f"blocks.{b}.mix": zeroed(heads) for b, heads in own.items()})


def others(count):
    """As many heads that do neither, drawn at random, three times; none from block 0."""
    known = writers + readers
    rest = [pair for pair in np.ndindex(before.shape) if pair[0] > 0 and pair not in known]
    return [[rest[n] for n in rng.permutation(len(rest))[:count]] for _ in range(3)]


# %% key="experiment-cases"
just_before = range(max(0, reader_blocks[0] - len(reader_blocks)), reader_blocks[0])
whole_blocks = [(b, n) for b in just_before for n in range(config.n_heads)]
cases = {  # each with the sets of heads that are silenced, one after the other
    "nobody": [[]],
    f"the writer that helps {i}.{h} most": [[(j, g)]],
    f"{i}.{h} alone": [[(i, h)]],
    "the writers: all that read the token before": [writers],
    "the readers: all that read after the earlier copy": [readers],
    "control: as many that do neither, 3 draws": others(max(len(writers), len(readers))),
    f"control: all heads of blocks {' and '.join(map(str, just_before))}": [whole_blocks],
}


# %% key="experiment-table"
def look(ids, tap):
    """The loss the second time, and the weight of our head on the right place."""
    trace = {}
    loss = losses(ids, tap=record(trace, only={"pattern"}, tap=tap))
    return loss[N + 1 :].mean(), trace[f"blocks.{i}.pattern"][h][late, right].mean()


cost, aim = {}, {}
for name, sets in cases.items():
    taps = [without(heads) for heads in sets]
    found = np.array([[look(ids, tap) for ids in lists] for tap in taps])  # sets LISTS 2
    cost[name] = found[..., 0] - second
    aim[name] = "silent" if (i, h) in sets[0] else f"{found[..., 1].mean():.2f}"
no_writers, no_readers, drawn, no_blocks = list(cases)[3:]
table(
    ["silent", "heads", "loss, second time", f"weight of {i}.{h} on the right place"],
    [[n, len(cases[n][0]), f"{c.mean():+.2f} ± {c.std():.2f}", aim[n]] for n, c in cost.items()],
)

# %% [markdown] key="experiment-read"
# {{ claim: min(cost[no_writers].mean(), cost[no_readers].mean()) > 2 + 3 * max(abs(cost[drawn].mean()), abs(cost[no_blocks].mean())) }}
# A single head counts for next to nothing: without {{ i }}.{{ h }} the loss changes by {{ cost[f"{i}.{h} alone"].mean() :+.2f }}, since the {{ len(readers) - 1 }}
# others read the same place. Silence all readers, and the second time costs {{ cost[no_readers].mean() :.1f }} nats more, most
# of the {{ first.mean() - second.mean() :.1f }} that looking back had saved. Silence the writers instead, and it costs {{ cost[no_writers].mean() :.1f }}, although
# every reader is in place: {{ i }}.{{ h }} now finds the right place with {{ aim[no_writers] }} of its attention instead of {{ aim["nobody"] }}. It has lost its
# way because nobody has left a note.
# {{ claim: float(aim[no_writers]) < 0.5 * float(aim["nobody"]) }}
# Heads drawn at random change the loss by {{ abs(cost[drawn].mean()) :.2f }}, and the whole attention of blocks {{ " and ".join(map(str, just_before)) }} by {{ cost[no_blocks].mean() :+.2f }}, so what was taken away with the
# readers is this job and not just two steps of attention.
#
# This is why looking at one head at a time, as in lesson 07, shows so little of it: where several heads do the same,
# each can be spared, and only the team cannot.
#
# ## What a story gets from it
#
# Nobody writes lists twice. But a name that was never heard before is just such a thing, pieces of words that have to
# come again in the same order. The texts below introduce somebody with an invented name, say it twice, and stop
# where it must be said again. Beside them stand beginnings of stories as they are, with names like Lily and Tom.

# %% key="names"
from weights_tools.examine import mean_loss, new_names, ordinary_texts

names = new_names(tokenizer, np.random.default_rng(1), count=20)
stories = ordinary_texts(tokenizer, count=10)
print(tokenizer.decode(names.ids[0][1:]))
chosen = ["nobody", no_writers, no_readers, drawn, no_blocks]
girl = np.array(tokenizer.encode("Once upon a time, there was a little girl named", bos=True))
on_girl = patterns(girl)[:, :, -1, -2]  # L Hq: from the last token to the one before


def mean_over_sets(texts, name):
    return np.mean([mean_loss(weights, config, texts, tap=without(s)) for s in cases[name]])


in_names = {n: mean_over_sets(names, n) for n in chosen}
in_stories = {n: mean_over_sets(stories, n) for n in chosen}
table(
    ["silent", "loss of a new name, nats a token", "loss of stories, nats a token"],
    [[n, f"{in_names[n]:.2f}", f"{in_stories[n]:.2f}"] for n in chosen],
)

# %% [markdown] key="names-read"
# {{ claim: min(in_names[n] for n in chosen[1:3]) > 5 * in_names["nobody"] and in_names[drawn] < 1.5 * in_names["nobody"] }}
# {{ claim: min(in_names[n] for n in chosen[1:3]) > 2 * in_names[no_blocks] }}
# {{ claim: max(in_stories[n] for n in chosen[1:3]) - in_stories["nobody"] < 0.15 * (min(in_names[n] for n in chosen[1:3]) - in_names["nobody"]) }}
# The two columns differ. Without the writers or without the readers a token of a new name costs {{ in_names[no_writers] :.1f }} or
# {{ in_names[no_readers] :.1f }} nats instead of {{ in_names["nobody"] :.2f }}, so that the name cannot be said again, while heads drawn at random leave it at {{ in_names[drawn] :.2f }} and two
# other blocks at {{ in_names[no_blocks] :.2f }}. Ordinary stories (half of those of lesson 07, and longer pieces of them) lose far less:
# {{ in_stories[no_writers] :.2f }} without the writers and {{ in_stories[no_readers] :.2f }} without the readers, against {{ in_stories["nobody"] :.2f }} as it is and {{ in_stories[no_blocks] :.2f }} without
# the two other blocks.
#
# Nor is copying all that these heads do. In the sentence of lesson 07, where nothing comes twice that would
# help, {{ sum(on_girl[pair] > 0.5 for pair in readers) }} of the readers give more than half of their weight to *girl*. A head can have one job in a list and another
# in a story.
# {{ claim: sum(on_girl[pair] > 0.5 for pair in readers) > 1 }}
#
# Where do such heads come from? Stories hardly ever demand them, so this model was given drills, at the beginning of its training
# and at every twentieth step after it: repeating lists, and a name never heard before that goes through a few sentences, much like the texts
# in which we have just seen it carried (the names of these were kept out of training). Its card, `weights_tools/doll_house/MODEL_CARD.md`, says so. In models trained on the web they
# appear by themselves, and within a short stretch of training, during which the whole model becomes better at using what
# it has read ([Olsson et al. 2022](https://arxiv.org/abs/2209.11895)).
#
# ## What comes next
#
# Back to the main road: [lesson 08](08_feed_forward.ipynb), in which every token works alone. Lesson
# [09](09_32_blocks.ipynb) follows the stream through all blocks. This page used `weights_tools/examine.py`, whose
# command `python -m weights_tools examine MODEL` looks for such heads in any Llama.
