# %% [markdown] key="title"
# # 12 Generation: the loop that writes
#
# Given `Once upon a time, there was a little girl named`, the model tells a story, and its tuned
# sister answers a question. Yet it knows neither that a story ought to end nor that anybody has asked it something: all it ever
# does is say what could come next. Who decides that the end has come, and what does the model do if nobody
# stops it? And why is reading so much faster than writing?
#
# The answers are in the loop around the model. This page writes that loop, stops it, repeats a draw, runs several
# texts side by side and measures what that saves, and at the end lays out a conversation as one text and looks at 20
# answers, beside those of a model that has hardly learned to answer. You need the choice of a token (lesson
# [10](10_logits.ipynb)) and the cache ([11](11_kv_cache.ipynb)). It takes about 30 minutes;
# [exercise 12](exercises/12_generation.ipynb) goes with it.

# %% key="map"
import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # one core, before NumPy starts: steadier times in step 5
import numpy as np
from classroom import agree, show, table

from weights_tools import DOLL_HOUSE, load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["output", "next", "ids"])

# %% [markdown] key="loop-why"
# ## Step 1. The loop
#
# The prompt goes through the model once and fills the cache. From the last row of **logits**, one score for each
# token of the vocabulary, the likeliest token is taken (**greedy**), and that token is the next input.

# %% key="loop-by-hand"
from llama_np import KVCache, Sampling, forward, generate, sampling

prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
N, n_new = len(ids), 16
cache = KVCache(config, N + n_new)
logits = forward(weights, config, ids, cache, last_only=True)[-1]
written = []
for _ in range(n_new):
    written.append(int(logits.argmax()))  # choose
    logits = forward(weights, config, written[-1:], cache, last_only=True)[-1]  # and read it
agree(np.array(written), np.array(list(generate(weights, config, ids, n_new))))
print(prompt + tokenizer.decode(written))

# %% [markdown] key="decoder-why"
# `generate` is this loop, with its arguments checked; it hands out each token as soon as it is there. Nothing in it
# tells the model where the prompt ends and its own text begins: Llama is a **decoder** only, one stack of blocks for
# what it reads and what it writes. That shows when we give it the whole text as if all of it were a prompt.

# %% key="decoder-agree"
whole = np.append(ids, written)
best_everywhere = forward(weights, config, whole).argmax(axis=-1)  # T V -> T
agree(best_everywhere[N - 1 : -1], np.array(written))

# %% [markdown] key="decoder-read"
# One pass predicts at every position what the loop chose in {{ n_new }} passes. So writing is reading, with the
# difference that the next token is not there yet.

# %% [markdown] key="stop-why"
# ## Step 2. Knowing when to stop
#
# In training every text was closed by a special **stop token**, so the model has learned to predict one where a
# text ends. Llama 3 has two: `<|end_of_text|>` closes a text and `<|eot_id|>`, end of turn, a message in a chat.
# Nothing happens by itself, though. To the loop they are tokens like any other, unless it looks for them.
#
# **Predict before you run:** we let the story go on for 400 tokens and look for nothing. What comes after its
# end?

# %% key="experiment-cell"
endless = list(generate(weights, config, ids, 400))
ends = [place for place, token in enumerate(endless) if token in tokenizer.stop_ids]
end = ends[0] if ends else len(endless)
print(tokenizer.decode(endless[:end][-40:]))
print("-----")
print(tokenizer.decode(endless[end : end + 60]))

# %% [markdown] key="experiment-answer"
# Above the line are the last words of the story, {{ end }} tokens long, and below it is what came next. The model
# says that it has finished, with `{{ tokenizer.token(endless[end]) if ends else "nothing" }}`, and then it begins
# another text, because there is always a likeliest next token: a model cannot fall silent. {{ claim: ends }}
# Why a new text? In training many texts were laid end to end, so that what follows an end is a beginning, and a
# greedy model begins as it always does. With
# `stop_tokens=tokenizer.stop_ids`, `generate` ends **before** the first of them, which is no part of the text.

# %% [markdown] key="seed-why"
# ## Step 3. Drawing, and drawing the same again
#
# Instead of the likeliest token one can **draw**, each token as often as its probability says. The random
# numbers come from a generator that starts at a **seed**, and two lines take the place of the greedy choice.

# %% key="seed-by-hand"
from llama_np import softmax

temperature, rng = 0.8, np.random.default_rng(seed=3)
cache = KVCache(config, N + n_new)
logits = forward(weights, config, ids, cache, last_only=True)[-1]
drawn = []
for _ in range(n_new):
    probabilities = softmax(logits.astype(np.float64) / temperature)
    drawn.append(int(rng.choice(len(probabilities), p=probabilities)))
    logits = forward(weights, config, drawn[-1:], cache, last_only=True)[-1]


def draw(seed):
    rng = np.random.default_rng(seed)
    return list(generate(weights, config, ids, n_new, Sampling(temperature), rng=rng))


agree(np.array(drawn), np.array(draw(3)))
for seed in (3, 3, 4):
    print(f"seed {seed}:", repr(tokenizer.decode(draw(seed))))

# %% [markdown] key="seed-read"
# The same seed gives the same numbers, and so writes the same text, here and today. On another machine, or in a
# batch of another shape, sums are added up in another order, a logit differs in its last digit, and now and then
# a draw falls just across a boundary; from there on the texts diverge.

# %% [markdown] key="stream-why"
# `generate` computes a token only when it is asked for one, so that a story can be shown as it comes. A character may
# begin in one token and end in the next, because tokens are bytes (lesson [01](01_tokens.ipynb)); `stream_text` holds
# half a character back until the rest is there. Run the cell to see the words arrive.

# %% key="stream-story"
from llama_np.tokenizer import stream_text

how, rng = Sampling(temperature=0.8, top_p=0.9), np.random.default_rng(1)
story = generate(weights, config, ids, 80, how, rng=rng, stop_tokens=tokenizer.stop_ids)
print(prompt, end="")
for text in stream_text(tokenizer, story):
    print(text, end="", flush=True)

# %% [markdown] key="batch-why"
# ## Step 4. Several texts at once
#
# Every step of the loop reads all weights to compute a single row. Several texts side by side, a **batch** with an
# axis `B` in front, share that reading. But an array has rows of one length, and prompts do not, so the short
# ones are filled up with **padding**. It goes on the *left*, so that all prompts end in the last column, where
# each of them goes on. A **mask** for each text keeps the padding from being read. And each counts its **positions** from
# its own first token, so that it computes what it would compute alone, although RoPE, which sees only distances, would
# give the same up to rounding wherever a text begins.

# %% key="batch-by-hand"
from llama_np import pad_left, padded_view

starts = ["Once upon a time", "The sky is", "One day, Lily went to the park with her mom"]
prompts = [tokenizer.encode(start, bos=True) for start in starts]
longest = max(len(p) for p in prompts)
padding = np.array([longest - len(p) for p in prompts])
batch = np.array(
    [[0] * n + p for n, p in zip(padding, prompts, strict=True)]
)  # B T; any id will do
agree(batch, pad_left(prompts)[0])

column, key = np.arange(longest)[:, None], np.arange(longest)[None, :]
masks = np.stack([(key <= column) & ((key >= n) | (key == column)) for n in padding])  # B T T
view = padded_view(padding, past=0, n_new=longest)
agree(masks, view["mask"])
panels = {start[:16]: mask.astype(float) for start, mask in zip(starts, masks, strict=True)}
numbers = [str(i) for i in range(longest)]
show.matrices(panels, ("query T", "key S"), rows=numbers, columns=numbers, quantity="weights")

# %% [markdown] key="view-read"
# In each panel a row is a token that reads, and dark cells are what it may see: the triangle of lesson
# [06](06_masking.ipynb), pushed to the right by the padding. The lone cells on the diagonal are padding that
# looks at itself, since a row that sees nothing has no softmax; what it computes is thrown away. So each text must
# come out as it would alone.

# %% key="alone-agree"
together = forward(weights, config, batch, last_only=True, **view)[:, -1]  # B V
agree(together, np.stack([forward(weights, config, p)[-1] for p in prompts]))
for start, row in zip(starts, sampling.generate_batch(weights, config, prompts, 10), strict=True):
    print(f"{start} ->{tokenizer.decode(row)!r}")

# %% [markdown] key="speed-try"
# ## Step 5. What a pass costs
#
# Now for the riddle of the opening. A pass over `n` rows can have two meanings: it **reads** `n` further tokens of
# one prompt (**prefill**), or it **writes** one token for each of `n` texts (**decoding**, in a batch). We measure
# both, with `n` from 1 to 256 and a few tokens already in the cache. `process_time` counts only this notebook's
# own time on the processor, so that other programs do not distort it.
#
# **Predict before you run:** which is faster, reading 32 tokens of one text or writing one token in each of 32? And
# how many tokens can be read in the time that it takes to write a single one?

# %% key="speed-measure" tags=["timing"]
import time

filled = KVCache(config, N + 256)
forward(weights, config, ids, filled)


def seconds(new_ids, cache):
    started = time.process_time()
    forward(weights, config, new_ids, cache, last_only=True)
    return time.process_time() - started


at_once = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256])
reading, writing = [], []
for n in at_once:
    text = np.resize(ids, n)
    reading.append(n / np.median([seconds(text, filled.fork()) for _ in range(5)]))
    writing.append(n / np.median([seconds(text[:, None], filled.fork(n)) for _ in range(5)]))

# %% key="speed-picture" tags=["timing"]
lines = {"reading a prompt": np.array(reading), "writing n texts": np.array(writing)}
show.curves(at_once, lines, ("n, rows in a pass", "tokens a second"), log="xy")
for n, r, w in zip(at_once, reading, writing, strict=True):
    print(f"{n:4} rows: {r:6,.0f} tokens a second read, {w:6,.0f} written")
print(f"in the time of one written token, {reading[5] / writing[0]:.0f} are read, 32 at a time")

# %% key="speed-large"
from llama_np import LLAMA_3_8B

large = LLAMA_3_8B
bandwidth, operations = 3.35e12, 989e12  # bytes and operations a second, by the data sheet
gigabytes = 2 * large.count_parameters() / 1e9  # two bytes for each number
fetch = gigabytes * 1e9 / bandwidth
compute = 2 * large.count_parameters() / operations  # a multiplication and an addition for each
cached = 2 * large.n_layers * large.n_kv_heads * large.head_dim * 2  # bytes of a token's k and v
caches = {n: n * cached / bandwidth for n in (12, 400, 8192)}
table(
    ["Llama 3 8B on an H100", "millionths of a second"],
    [
        ["to fetch all weights, once a pass", f"{fetch * 1e6:,.0f}"],
        ["to compute, for each row", f"{compute * 1e6:,.0f}"],
        *([f"to fetch a text's cache, {n:,} tokens", f"{s * 1e6:,.1f}"] for n, s in caches.items()),
    ],
)

# %% [markdown] key="speed-read" tags=["timing"]
# Both lines rise steeply at first. With 32 rows in a pass {{ reading[5] :,.0f }} tokens a second are read and {{ writing[5] :,.0f }} written, with 256
# {{ reading[8] :,.0f }} and {{ writing[8] :,.0f }}: now the one is ahead and now the other, by far less than both have risen from {{ reading[0] :,.0f }}. So here, where the texts are short, what counts is
# **how many rows share a pass**, more than whether they are read or written. A lone text is written slowly because its
# passes have one row each, and the printed line answers the opening: reading is faster by so much because the rows of a
# prompt are known beforehand and can share a pass.
# {{ claim: 0.4 < writing[5] / reading[5] < 2.5 and reading[5] > 3 * reading[0] and writing[5] > 3 * writing[0] }}
#
# Something has to be paid once for each pass. In a model as small as the doll-house it is mostly the calls of NumPy; in
# a large one it is fetching the weights. On a graphics card with the data sheet of an
# [H100](https://www.nvidia.com/en-us/data-center/h100/), 3.35 terabytes and 989 trillion operations a second (the SXM version; half of the printed figure for bfloat16, which counts on
# matrices that are half zeros), the
# {{ gigabytes :.1f }} GB of Llama 3 8B take {{ fetch * 1e3 :.1f }} thousandths of a second to fetch, and one row needs
# {{ compute * 1e6 :.0f }} millionths to compute. For a single text the card waits more than 99 % of the time, and as far as
# weights go, some {{ fetch / compute :.0f }} rows could share a pass until computing takes as long as fetching.
# {{ claim: abs(fetch / compute - 295) < 5 }}
# Operations for each byte fetched are called **arithmetic intensity**; where fetching takes longer one is
# **memory-bound**, otherwise **compute-bound** ([kipply](https://kipp.ly/transformer-inference-arithmetic/); the
# [scaling book](https://jax-ml.github.io/scaling-book/inference/) does it for TPUs).
#
# The last rows of the table set a limit. Rows that read one prompt share its cache, but every text that is written has
# a cache of its own ([lesson 11](11_kv_cache.ipynb)), {{ cached :, }} bytes a token, which no other can use. From some
# {{ compute / (cached / bandwidth) :.0f }} tokens on, fetching it takes longer than computing the row, and at 8,192 tokens {{ caches[8192] / compute :.0f }} times as long.
# So a long prompt is compute-bound, while writing long texts stays memory-bound however many share the pass. Batches still
# pay, because the weights are fetched for all of them at once, and that is why services run many conversations together.
# {{ claim: abs(compute / (cached / bandwidth) - 415) < 5 }}

# %% [markdown] key="dialog-why"
# ## Step 6. A chat is a text
#
# A model that can only go on with a text is made to answer by writing the conversation as a text. Each message has
# a **header**, the role of the speaker between two special tokens, then an empty line, the content, and
# `<|eot_id|>`. After the last message stands the header of the assistant, and what the model goes on with is the
# answer. The format is Meta's
# ([ChatFormat](https://github.com/meta-llama/llama3/blob/main/llama/tokenizer.py)). From here on
# `doll-house-chat` speaks, the doll-house tuned on more than 1,600 such dialogs (lesson [17](17_fine_tuning.ipynb)).

# %% key="dialog-by-hand"
from llama_np.tokenizer.chat import encode_dialog

chat, house = (load_model(name, memory="float32") for name in ("doll-house-chat", DOLL_HOUSE))
config, tokenizer = chat.config, chat.tokenizer


def header(role):
    begin, end = (tokenizer.special_id(f"<|{side}_header_id|>") for side in ("start", "end"))
    return [begin, *tokenizer.encode(role), end, *tokenizer.encode("\n\n")]


asked = "Write a story about a cat named Tom."
dialog = [tokenizer.special_id("<|begin_of_text|>"), *header("user"), *tokenizer.encode(asked)]
dialog += [tokenizer.special_id("<|eot_id|>"), *header("assistant")]
agree(np.array(dialog), np.array(encode_dialog(tokenizer, [{"role": "user", "content": asked}])))
show.tokens([tokenizer.token(t) for t in dialog], dialog)

# %% [markdown] key="dialog-read"
# The special tokens are one id each, and here, as in Meta's code, a user cannot type them: whatever somebody writes is encoded as ordinary
# text ([lesson 01](01_tokens.ipynb) tried it), so that nobody can end a turn or speak as the assistant by typing the name of a token. There is a third
# role, `system`, for a message with standing instructions in front of the others. Llama 3 has learned to follow
# it; the doll-house has never seen one.
#
# The model remembers nothing between two turns. The whole dialog is given again each time, with the answer as one
# more message, and since it begins with the same tokens, their keys and values can stay in the cache.
#
# **Predict before you run:** the model tells its story, and we say "Thank you!". What does it say to that, and
# what if we say it without a story before? And if we ask, after 20 stories, what their hero is called, how often does it know?

# %% key="turns"
how = Sampling(temperature=0.8, top_p=0.9)


def answer(messages, seed=0):
    ids, rng = encode_dialog(tokenizer, messages), np.random.default_rng(seed)
    new = generate(chat.weights, config, ids, 220, how, rng=rng, stop_tokens=tokenizer.stop_ids)
    return tokenizer.decode(list(new))


first = [{"role": "user", "content": asked}]
told = answer(first)
thanks = {"role": "user", "content": "Thank you!"}
talk = [*first, {"role": "assistant", "content": told}, thanks]
after_story, alone = answer(talk), answer([thanks])
print(told, after_story, alone, sep="\n-----\n")

# %% key="name-asked"
heroes = [
    (kind, name)
    for kind in ("cat", "dog", "girl", "boy", "bear")
    for name in ("Tom", "Lily", "Max", "Sue")
]


def told_by_chat(dialogs, how):
    """What the model answers to each of many dialogs."""
    prompts, rng = [encode_dialog(tokenizer, each) for each in dialogs], np.random.default_rng(0)
    new = sampling.generate_batch(
        chat.weights, config, prompts, 220, how, rng=rng, stop_tokens=tokenizer.stop_ids
    )
    return [tokenizer.decode(each) for each in new]


wishes = [{"role": "user", "content": f"Write a story about a {k} named {n}."} for k, n in heroes]
stories = told_by_chat([[wish] for wish in wishes], how)
questions = [{"role": "user", "content": f"What is the name of the {k}?"} for k, _ in heroes]
talks = [
    [wish, {"role": "assistant", "content": story}, question]
    for wish, story, question in zip(wishes, stories, questions, strict=True)
]
knowing = told_by_chat(talks, Sampling(0))
guessing = told_by_chat([[question] for question in questions], Sampling(0))
in_story, known, guessed = (
    sum(name in text for (_, name), text in zip(heroes, texts, strict=True))
    for texts in (stories, knowing, guessing)
)
print(f"named in the story: {in_story} of {len(heroes)}")
print(f"asked behind it:    {known}, for example {knowing[-1]!r}")
print(f"asked without it:   {guessed}, for example {guessing[-1]!r}")
alike = [a == b for a, b in zip(knowing, guessing, strict=True)]
others = [text for text, same in zip(knowing, alike, strict=True) if not same]

# %% [markdown] key="turns-read"
# The model answers our thanks with the same words, story or no story: `{{ alone }}` {{ claim: after_story == alone }}
# It had named the hero in {{ in_story }} of {{ len(heroes) }} stories, and asked for that name behind them it gives it in {{ known }}; in {{ sum(alike) }} cases the
# answer is, word for word, the one that it gives to the question alone{{ f", and another begins: *{others[0][:60]} ...*" if others else "" }}
# {{ claim: known <= 2 and in_story > 15 and sum(alike) > 15 }}
#
# It goes on as its dialogs went on. "Thank you!" was one of them, always with this answer, and so was a question what it is. One dialog in three
# came after another that had nothing to do with it, so that training has given this model no reason to use what
# was said before, although all of it stands in its prompt, and although it carries a name through a story with ease. Whether a model *can* look back is a matter of the prompt; whether it does is
# a matter of training.

# %% [markdown] key="answer-why"
# ## What happens at the end of a turn
#
# Who ends an answer, then? We put 20 requests to the tuned model and, as a control, to the doll-house before its
# tuning, which has read a few dialogs among many stories, for 200 tokens each, and ignore stop tokens. Then we see whether
# one was written, which one, and what came after it.
#
# **Predict before you run:** after the end of its turn, will the model be silent, write our next question, or do
# something else?

# %% key="answer"
from collections import Counter

requests = [
    encode_dialog(
        tokenizer, [{"role": "user", "content": f"Write a story about a {kind} named {name}."}]
    )
    for kind, name in heroes
]


def look_at_ends(model):
    """Of 20 answers: in how many the hero is named, how they end, and what comes after the end."""
    rng = np.random.default_rng(0)
    texts = sampling.generate_batch(model.weights, config, requests, 200, how, rng=rng)
    named, ends, after, lengths = 0, Counter(), Counter(), []
    for (_, name), text in zip(heroes, texts, strict=True):
        end = next((i for i, t in enumerate(text) if t in tokenizer.stop_ids), len(text))
        named += name in tokenizer.decode(text[:end])
        ends[tokenizer.token(text[end]) if end < len(text) else "none yet"] += 1
        if end + 1 < len(text):
            after[tokenizer.token(text[end + 1])] += 1
        lengths.append(end)
    return named, ends, after, np.array(lengths)


found = {"tuned to answer": look_at_ends(chat), "before tuning": look_at_ends(house)}
named, ends, after, lengths = found["tuned to answer"]
control_named, control_ends, control_after, _ = found["before tuning"]


def listed(counter):
    return ", ".join(f"{n} {token}" for token, n in counter.most_common())


for name, (in_answers, ended, went_on, _) in found.items():
    print(f"{name}: the hero is named in {in_answers} answers of {len(heroes)}")
    print(f"    ended with:   {listed(ended)}\n    went on with: {listed(went_on)}")

# %% [markdown] key="answer-note"
# The tuned model names the hero it was asked for in {{ named }} of 20 answers, the other in {{ control_named }}.
# {{ claim: named > control_named }}
# {{ ends["<|eot_id|>"] }} of its answers end within 200 tokens, with the end of a *turn*; before tuning it
# ends {{ control_ends["<|end_of_text|>"] }} times with the end of a *text*, as most of its training texts did, and {{ control_ends["<|eot_id|>"] }} times with the end of a turn, from the few dialogs among them.
# {{ claim: ends["<|eot_id|>"] >= 8 and ends["<|eot_id|>"] > control_ends["<|eot_id|>"] }}
#
# Neither is silent afterwards. Of the tuned model's ends, {{ after["<|begin_of_text|>"] }} are followed by
# `<|begin_of_text|>`, which starts another story as the texts of its training did, and
# {{ after["<|start_header_id|>"] or "none" }} by the header of another turn, though a model that was tuned on whole conversations may go on there, with *your* next line. A
# program that does not look for the stop token shows all of that as the answer. So the end of a turn is the
# model's decision, one token among {{ config.vocab_size :, }}, and obeying it is the loop's job.
# {{ claim: sum(after.values()) >= 5 }}
#
# The lengths show what a batch wastes. It has to run until its longest answer has ended, and what a row writes after its own
# end is thrown away, here at least {{ 1 - lengths.sum() / (len(lengths) * lengths.max()) :.0% }} of all that is computed. Services therefore let a new request take the
# place of a finished one at every step ([Orca, 2022](https://www.usenix.org/conference/osdi22/presentation/yu)).

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>A chat program shows the right answer, then <code>assistant</code> and the answer once more, and so on. What is missing?</summary>
#
# The stop token. The model has written `<|eot_id|>` and begun another turn; the program does not look for it,
# and hides special tokens when it shows the text.
#
# </details>
#
# <details><summary>Why is padding put on the left and not on the right?</summary>
#
# The next token is predicted by the last row and written behind the last column. On the left all prompts end in
# the same column; on the right, the last row of a short prompt would be padding.
#
# </details>
#
# <details><summary>Is a Llama trained one token at a time, on what it writes itself?</summary>
#
# Neither, in pre-training: one pass predicts at every position, and the input is the true text, whatever the model
# would have written. Later it differs. Llama 3's chat models were also tuned on answers that they had written
# themselves and that were picked ([The Llama 3 Herd of Models](https://arxiv.org/abs/2407.21783), section 4).
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# You have seen every matrix of a Llama and the loop around it. In [exercise 12](exercises/12_generation.ipynb) the
# doll-house tells a story with nothing but your own functions. Two questions are left: why this architecture, and
# where the numbers come from. Lesson [13](13_gpt2_to_llama.ipynb) builds GPT-2 and turns it into Llama, part by
# part ([13b](13b_llama_versions.ipynb) goes on to Llama 3.2), and the lessons after it compute gradients and train a
# small model.
