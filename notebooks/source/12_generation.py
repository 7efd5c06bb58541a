# %% [markdown] key="title"
# # 12 Generation: the loop that writes
#
# The model gives every possible next token a score, and that is all it does. A text comes from the loop
# around it: choose a token, put it behind the text, ask again. This lesson is about that loop: when it
# stops, how it draws, how it shows its words, how it writes several texts at once, and how a conversation
# becomes one text.
#
# **In**: the ids of a prompt, `T`. **Out**: new ids, one after the other, until a token says stop.
#
# After this lesson you can write the loop, stop it in the right place, repeat a draw, stream text without
# broken characters, run prompts of different length side by side, read how likely a model finds a text, and
# lay out a chat as Llama 3 expects it. You need the choice of a token (lesson 10) and the KV cache (11).

# %% key="map"
import numpy as np
from classroom import agree, show, source, table

from weights_tools import DOLL_HOUSE, load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["output", "next", "ids"])

# %% [markdown] key="loop-why"
# ## Step 1. The loop
#
# The prompt goes through the model once and fills the cache. Its last row of **logits**, one score for each
# token of the vocabulary, says what could come next. We take the likeliest token (**greedy**), which becomes
# the next input.

# %% key="loop-by-hand"
from llama_np import KVCache, forward

prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))
N, n_new = len(ids), 16
cache = KVCache(config, N + n_new)
logits = forward(weights, config, ids, cache, last_only=True)[-1]
written = []
for _ in range(n_new):
    token = int(logits.argmax())
    written.append(token)
    logits = forward(weights, config, [token], cache, last_only=True)[-1]
print(prompt + tokenizer.decode(written))

# %% [markdown] key="loop-named-note"
# In the library the loop stands behind `generate`, which checks its arguments first. `prefill` is the forward
# pass through the cache, `sample` the choice of lesson 10; with a temperature of 0, the default of `Sampling`,
# it is greedy. `yield` hands out each token, with the logits that it was chosen from, as soon as it is there.
# `room` is what is left for new tokens: `max_new_tokens` at most, and no more than the model's
# `context_length`, the longest text it was made for. `padding` is for the batches of step 5.

# %% key="loop-named"
from llama_np import Sampling, generate, sampling

source(sampling.write_tokens)

# %% key="loop-agree"
agree(np.array(written), np.array(list(generate(weights, config, ids, n_new))), tolerance=0)

# %% [markdown] key="decoder-why"
# ## One model for prompt and answer
#
# It is sometimes said that an **encoder** understands the prompt and a **decoder** generates the answer. The
# first Transformer, made for translation, had both ([Vaswani et al.
# 2017](https://arxiv.org/abs/1706.03762), section 3.1). Llama has no encoder. Prompt and answer go through
# the same blocks with the same weights, and nothing tells the model where the prompt ends.
#
# To see it, give it the whole text as if all of it were a prompt. From the end of the prompt on, the
# likeliest token at each position is the one that was written. The last line lists all that a block has
# learned: there is one set of weights.

# %% key="decoder-agree"
whole = np.append(ids, written)
best_everywhere = forward(weights, config, whole).argmax(axis=-1)  # T V -> T
agree(best_everywhere[N - 1 : -1], np.array(written), tolerance=0)
print("learned arrays of a block:", *vars(weights.layers[0]))

# %% [markdown] key="stop-why"
# ## Step 2. Knowing when to stop
#
# The loop above ran a number of times that we chose. A text should end where it is finished, and only the
# model can say where. It says so with a token: in training each text was closed by a special **stop token**,
# so the model has learned to predict one where a text ends. Nothing happens by itself, though. To the loop
# it is a token like any other, unless the loop looks for it. Llama 3 has two of them: `<|end_of_text|>` closes
# a text, `<|eot_id|>` (end of turn) a message in a chat.

# %% key="stop-tokens"
for name, token_id in tokenizer.special_tokens.items():
    if token_id in tokenizer.stop_ids:
        print(f"{token_id:8}  {name}")

# %% [markdown] key="experiment"
# ## Try it: nobody stops
#
# The prompt is a short text that is complete (the model that comes with these notebooks has read it in
# training). We let the model go on for forty tokens, without and then with stop tokens. Predict before you
# run it: what will the model write after the end of a text, when nobody stops it?

# %% key="experiment-cell"
complete = np.array(tokenizer.encode("Six times seven is 42.", bos=True))
without = list(generate(weights, config, complete, 40))
with_stop = list(generate(weights, config, complete, 40, stop_tokens=tokenizer.stop_ids))
print("without:", repr(tokenizer.decode(without)))
print("with:   ", repr(tokenizer.decode(with_stop)))
print(
    "stop tokens written without looking for them:", sum(t in tokenizer.stop_ids for t in without)
)

# %% [markdown] key="experiment-answer"
# <details><summary>Answer</summary>
#
# Sooner or later a trained model predicts a stop token, and after that it begins another text. In training
# many texts lay end to end, so what follows an end is a beginning. There is always a likeliest next token:
# a model cannot fall silent. With stop tokens the loop ends before the first one, which is not part of the
# text. Here this can mean that nothing is written at all, and that is right: the text was complete. (A
# model with random weights has learned no end. Where it writes a stop token, it does so by chance.)
#
# </details>

# %% [markdown] key="seed-why"
# ## Step 3. Drawing, and drawing the same again
#
# Greedy text is always the same and often repeats itself. So a token is **drawn**, each as often as its
# probability says (lesson 10; here with a temperature, but without cuts). The draw needs random numbers.
# They come from a generator that starts at a **seed**: the same seed gives the same numbers and so the same
# text. By hand, two lines take the place of the greedy choice.

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
print(tokenizer.decode(drawn))


# %% key="seed-agree"
def draw(rng, temperature=0.8):
    new = generate(weights, config, ids, n_new, Sampling(temperature), rng=rng)
    return np.array(list(new))


agree(np.array(drawn), draw(np.random.default_rng(seed=3)), tolerance=0)

# %% [markdown] key="seeds-note"
# Below, seed 0 stands there twice and gives the same text twice. Then one generator is used for two texts:
# it goes on where it was, so they differ. With temperature 0 nothing is drawn, and the seed plays no part.

# %% key="seeds"
for seed in (0, 0, 1):
    print(f"seed {seed}:", repr(tokenizer.decode(draw(np.random.default_rng(seed)))))
rng = np.random.default_rng(0)
for turn in ("first ", "second"):
    print(f"{turn}:", repr(tokenizer.decode(draw(rng))))
greedy = draw(np.random.default_rng(0), temperature=0)
agree(greedy, draw(np.random.default_rng(1), temperature=0), tolerance=0)

# %% [markdown] key="stream-why"
# ## Step 4. Streaming: showing text as it comes
#
# Nobody wants to wait for the last token to read the first. `generate` computes a token only when it is
# asked for the next one, so each can be shown at once. One thing stands in the way. A token is a string of
# *bytes*, and one character may take several bytes (lesson 01). So a character can begin in one token and
# end in another. A token decoded alone then gives `�`, the sign for bytes that are no character.

# %% key="stream-by-hand"
knight = tokenizer.encode("A ♞ in a café")
rows, by_hand, held = [], "", b""
for t in knight:
    held += tokenizer.decode_bytes([t])
    try:
        shown, held = held.decode(), b""
    except UnicodeDecodeError:  # not a whole character yet: wait for more
        shown = ""
    by_hand += shown
    rows.append([t, f"`{tokenizer.token(t)}`", repr(tokenizer.decode([t])), repr(shown)])
table(["id", "token", "decoded alone", "shown when complete"], rows)

# %% [markdown] key="stream-named-note"
# Python's own incremental decoder does the same, and also lets out the whole characters in front of an
# incomplete one.

# %% key="stream-named"
from llama_np.tokenizer import stream_text

source(stream_text)

# %% key="stream-agree"
parts = list(stream_text(tokenizer, knight))
assert "".join(parts) == by_hand == tokenizer.decode(knight)
print(parts)

# %% [markdown] key="stream-story-note"
# Now with a model behind it. Run the cell and watch the words arrive one by one.

# %% key="stream-story"
rng = np.random.default_rng(1)
how = Sampling(temperature=0.8, top_p=0.9)
story = generate(weights, config, ids, 80, how, rng=rng, stop_tokens=tokenizer.stop_ids)
print(prompt, end="")
for text in stream_text(tokenizer, story):
    print(text, end="", flush=True)

# %% [markdown] key="batch-why"
# ## Step 5. Several prompts at once
#
# Every step of the loop reads all weights of the model to compute one row. Several texts side by side need
# them read only once: a **batch**, with an axis `B` in front. But an array has rows of one length, and
# prompts have not. The short ones are filled up with a token that means nothing, the **padding**. It goes on
# the *left*, so that all prompts end in the last column, where each of them goes on.

# %% key="batch-by-hand"
starts = ["Once upon a time", "The sky is", "One day, Lily went to the park with her mom"]
prompts = [tokenizer.encode(start, bos=True) for start in starts]
longest = max(len(p) for p in prompts)
padding = np.array([longest - len(p) for p in prompts])
padding_id = 0  # any id will do: nobody will look at it
batch = np.array([[padding_id] * n + p for n, p in zip(padding, prompts)])
print("batch", batch.shape, "= B T   padding", padding)
print(batch)

# %% key="batch-named"
from llama_np import pad_left

source(pad_left)

# %% key="batch-agree"
padded, n_padding = pad_left(prompts, padding_id)
agree(batch, padded, tolerance=0)
agree(padding, n_padding, tolerance=0)

# %% [markdown] key="view-why"
# Padding must change nothing. Two things keep it out. The **positions** of each text count from its own first
# token, not from the padding. And each text has a **mask** of its own, in which no token looks at padding.
# (Padding looks at itself, since a row that sees nothing has no softmax. What it computes is thrown away.)

# %% key="view-by-hand"
column, key = np.arange(longest)[:, None], np.arange(longest)[None, :]
positions, masks = [], {}
for start, n in zip(starts, padding):
    positions.append(np.maximum(np.arange(longest) - n, 0))  # of padding: any, never used
    masks[start[:16]] = (key <= column) & ((key >= n) | (key == column))
print(np.array(positions))
show.matrices({k: m.astype(float) for k, m in masks.items()}, ("query T", "key S"), across=3)

# %% key="view-named"
from llama_np import padded_view

source(padded_view)

# %% key="view-agree"
view = padded_view(n_padding, past=0, n_new=longest)
agree(np.array(positions), view["positions"], tolerance=0)
agree(np.array(list(masks.values())), view["mask"], tolerance=0)

# %% [markdown] key="alone-note"
# So each row of the batch predicts what it would predict alone. Then the loop, for all rows at once: the new
# tokens have shape `B 1`, and `padded_view` is told how much stands in the cache.

# %% key="alone-agree"
cache = KVCache(config, longest + n_new)
logits = forward(weights, config, batch, cache, last_only=True, **view)[:, -1]  # B V
alone = np.stack([forward(weights, config, p)[-1] for p in prompts])
agree(logits, alone)

# %% key="batch-loop"
columns = []
for _ in range(n_new):
    columns.append(logits.argmax(axis=-1))  # B V -> B
    view_1 = padded_view(n_padding, past=cache.length, n_new=1)
    logits = forward(weights, config, columns[-1][:, None], cache, last_only=True, **view_1)[:, -1]
together = np.stack(columns, axis=1)  # B n_new
one_by_one = [list(generate(weights, config, p, n_new)) for p in prompts]
agree(together, np.array(one_by_one), tolerance=0)
for start, row in zip(starts, together):
    print(f"{start} ->{tokenizer.decode(row)!r}")

# %% [markdown] key="logprobs-why"
# ## Step 6. How likely a text is
#
# Besides the token, one often wants to know how sure the model was. The probability of a whole text is a
# product of many small numbers, so one takes logarithms and adds: **log-probabilities**. The natural
# logarithm is used, and its unit is called **nat**. 0 means certain, -0.7 about one in two, -4.6 about one in
# a hundred. For each token that was written in step 1 it is a look-up in the row before it. It is the
# probability under the model itself, before any temperature or cut. The picture shows the probabilities.

# %% key="logprobs-by-hand"
rows = forward(weights, config, whole)[N - 1 : -1]  # the rows that predicted what was written
rows = rows - rows.max(axis=-1, keepdims=True)
log_rows = rows - np.log(np.exp(rows).sum(axis=-1, keepdims=True))  # log of the softmax
by_hand = log_rows[np.arange(n_new), written]
show.bars(np.exp(by_hand), [tokenizer.token(t) for t in written], "probability of what was written")

# %% key="logprobs-agree"
from llama_np import log_probabilities

agree(by_hand, log_probabilities(weights, config, whole)[N - 1 :])

# %% [markdown] key="echo-why"
# The same function judges a text that somebody else wrote: how likely did the model find each token? The very
# first one has nothing before it and gets no number. The sum is the log-probability of the whole text. Which of
# these two should be the likelier one?

# %% key="echo"
for text in ("The sky is blue.", "The sky is seven."):
    judged = tokenizer.encode(text, bos=True)
    nats = log_probabilities(weights, config, judged)
    print(*(f"{tokenizer.token(t)} {lp:.2f}" for t, lp in zip(judged[1:], nats)), sep="   ")
    print(f"   sum: {nats.sum():.2f} nats")

# %% [markdown] key="training-why"
# ## All positions at once: how a Llama is trained
#
# To judge a text the model does not go through it token by token. One run gives a prediction at every
# position, and because of the mask each of them knows only its own token and those before it. Training uses
# the same single run. It compares the prediction at *every* position with the token that really came next,
# and changes the weights so that these become likelier. The model's own choices are not fed back; it always
# sees the true text (**teacher forcing**). So a Llama is not trained one token at a time. Only writing goes
# one token at a time, because there the next token does not exist yet.
#
# Here is the slow way, one run for each beginning of the text, beside the single run.

# %% key="training-by-hand"
from llama_np import log_probabilities, log_softmax
from llama_np.training import cross_entropy

slow = [
    log_softmax(forward(weights, config, whole[:t])[-1])[whole[t]] for t in range(1, len(whole))
]
fast = log_probabilities(weights, config, whole)  # one run
agree(np.array(slow), fast)
loss = cross_entropy(forward(weights, config, whole)[:-1], whole[1:])
agree(-fast.mean(), np.array(loss))
print(f"{len(fast)} predictions from one run, mean loss {loss:.3f} nats")

# %% [markdown] key="dialog-why"
# ## Step 7. A chat is a text
#
# The model knows one thing: how a text goes on. A chat is therefore written as a text, with special tokens
# that say who speaks and where a turn ends. Each message has a **header**, the role between two special
# tokens, then an empty line, its content, and `<|eot_id|>`, the end of the turn. The text ends with the
# header of the assistant, and what the model writes next is the answer. The format is Meta's:
# `ChatFormat` in [llama/tokenizer.py](https://github.com/meta-llama/llama3/blob/main/llama/tokenizer.py).

# %% key="dialog-by-hand"
if "<|eot_id|>" not in tokenizer.special_tokens:
    print(
        f"{model.path.name} has no special tokens for a chat; from here on the doll-house answers"
    )
    model = load_model(DOLL_HOUSE)
    config, weights, tokenizer = model.config, model.weights, model.tokenizer

question = "What is the answer to the ultimate question?"


def header(role):
    begin, end = (tokenizer.special_id(f"<|{side}_header_id|>") for side in ("start", "end"))
    return [begin, *tokenizer.encode(role), end, *tokenizer.encode("\n\n")]


dialog = [tokenizer.special_id("<|begin_of_text|>"), *header("user")]
dialog += [*tokenizer.encode(question), tokenizer.special_id("<|eot_id|>"), *header("assistant")]
show.tokens([tokenizer.token(t) for t in dialog], dialog)

# %% [markdown] key="dialog-named-note"
# Which words stay whole depends on the vocabulary: Llama 3's own has one token for `user`, one for
# `assistant`, and one for the two line breaks. The special tokens are one token each in any vocabulary. In
# the library, `encode_header` is the header above, and `encode_message` one message. What a user types is
# encoded as ordinary text (lesson 01): nobody can end a turn by typing the name of `<|eot_id|>`.

# %% key="dialog-named"
from llama_np.tokenizer.chat import encode_dialog, encode_message

source(encode_message)

# %% key="dialog-agree"
messages = [{"role": "user", "content": question}]
agree(np.array(dialog), np.array(encode_dialog(tokenizer, messages)), tolerance=0)

# %% [markdown] key="answer-why"
# Now let it answer, with and without stop tokens. With `<|eot_id|>` the model says that its turn is over. A
# chat program that does not look for it stops only where there is no more room: after its own turn the model
# goes on with another, since that is how such texts go on. It may even write the user's part.

# %% key="answer"
answer = list(generate(weights, config, dialog, 48, stop_tokens=tokenizer.stop_ids))
endless = list(generate(weights, config, dialog, 48))
print("with:   ", repr(tokenizer.decode(answer)))
print("without:", repr(tokenizer.decode(endless)))

# %% [markdown] key="answer-note"
# The model that comes with these notebooks has seen this format with a handful of questions and with
# requests for a story, and it may answer anything with a story. Llama 3 comes in two kinds with the same
# code: one trained to continue texts, and one trained further on dialogs, called *Instruct*. Only the second
# was trained to end its turns with `<|eot_id|>`.

# %% [markdown] key="turns-why"
# The model remembers nothing between two turns. The whole dialog is given again each time, with the answer as
# one more message. It begins with the same tokens as before, so their keys and values can be kept in the
# cache.

# %% key="turns"
reply = tokenizer.decode(answer)
messages += [{"role": "assistant", "content": reply}, {"role": "user", "content": "Thank you!"}]
second = encode_dialog(tokenizer, messages)
assert second[: len(dialog)] == dialog
print("first turn:", len(dialog), "tokens, second turn:", len(second), "tokens")
second_answer = list(generate(weights, config, second, 24, stop_tokens=tokenizer.stop_ids))
print(tokenizer.decode(second + second_answer))

# %% [markdown] key="shapes-note"
# ## What you have seen
#
# For one text. A batch has one more axis, `B`, in front of each.

# %% key="shapes"
from classroom import shapes

arrays = {
    "ids of the prompt": "T",
    "logits, every row": "T V",
    "logits, last row": "V",
    "probabilities": "V",
    "keys in the cache, one block": "Hkv S K",
    "mask": "T S",
}
shapes(arrays, config, n_tokens=N)

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
# The next token is predicted by the last row, and it is written behind the last column. On the left all
# prompts end in the same column. On the right, the last row of a short prompt would be padding.
#
# </details>
#
# <details><summary>In training, does the model see its own mistakes?</summary>
#
# Not as input. At each position it gets the true tokens before it, whatever it would have written itself. All
# positions are computed in one run.
#
# </details>
#
# <details><summary>Does the same seed give the same text on another model?</summary>
#
# It gives the same random numbers. They meet other probabilities, so the text is another one.
#
# </details>
#
# <details><summary>Text A has 10 tokens and a sum of -20 nats, text B has 40 tokens and -40 nats. Which does the model find easier to predict?</summary>
#
# B, token by token: -1 nat each against -2. As whole texts A is the likelier one, since every further token
# makes a text less likely. That is why one compares means: the loss is the mean, with the sign turned.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# You have seen every matrix of a Llama and the loop around it. Two questions are left: why this architecture,
# and where the numbers come from. Lesson 13 builds GPT-2 and turns it into Llama, part by part. Lessons 14
# and 15 compute gradients, and 16 to 18 train a small model: on text, on dialogs, on preferences.
