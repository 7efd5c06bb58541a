# %% [markdown] key="title"
# # 01 Tokens: text to bytes, to pieces, to ids
#
# A model cannot read letters. It gets a list of numbers, and everything it will ever know about a text is
# in that list. So where the text is cut matters. It decides why `the` and `␣the` are two different things
# to a model, why a space at the end of a prompt can change the answer, and why a model that writes well
# may be bad at counting the letters of a word.
#
# In goes a text. Out come its **ids**, an array of shape `(T,)`: one whole number for each of `T` tokens.
# On the way the text becomes bytes, then pieces, then tokens:
#
# $$\text{text} \;\to\; \text{bytes} \;\to\; \text{pieces} \;\to\; \text{tokens} \;\to\; \text{ids}$$
#
# After this lesson you can turn a sentence into ids by hand, exactly as Llama 3 does. You can say where a
# vocabulary comes from, and you know three common traps.

# %% key="map"
import numpy as np
from classroom import agree, shapes, show, source, table

from weights_tools import DOLL_HOUSE, load_model

model = load_model()
if "<|eot_id|>" not in model.tokenizer.special_tokens:
    print(
        f"{model.path.name} cuts text in another way than Llama 3; this lesson uses the doll-house"
    )
    model = load_model(DOLL_HOUSE)
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["ids"])

# %% [markdown] key="text-note"
# This is our sentence. Mind the space at its very end. It is there on purpose, and we come back to it.

# %% key="text"
text = "the answer to the ultimate question of life, the universe, and everything is "
print(repr(text), len(text), "characters")

# %% [markdown] key="bytes-why"
# ## Step 1. Text to bytes
#
# There are more than a hundred thousand different characters: letters of all scripts, signs, emoji. A
# list of them all would be long and would soon be out of date. But a computer already stores every text
# as **bytes**, numbers from 0 to 255. The usual rule for it is UTF-8. A plain English letter is one byte,
# other characters take two, three or four.

# %% key="bytes"
rows = [[f"`{c.replace(' ', '␣')}`", list(c.encode())] for c in "tT é你😀"]
table(["character", "its bytes"], rows)

# %% [markdown] key="bytes-note"
# So 256 numbers are enough to write any text in any language, and no text is ever unknown to the model.
# Why not stop here and take the bytes as ids? Because the list gets long. In attention every token looks
# at every token before it, so the work on those pairs grows with the square of the length. Frequent
# strings such as a space and `the` should be one number, not four.

# %% [markdown] key="split-why"
# ## Step 2. Bytes to pieces
#
# Before anything is joined, the text is cut into **pieces**: roughly, words. Later steps join bytes
# inside a piece and never across a cut. Without this step the vocabulary would fill up with things like
# `dog.`, `dog!` and `dog?`, each learned for itself ([Radford et al.
# 2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf),
# section 2.2).
#
# The rule is a **regular expression**, a pattern for text. It has seven parts. At each place the first
# part that fits takes as much as it can. `\p{L}` is any letter, `\p{N}` any digit (or other number sign,
# such as `½`), `\s` any white space, `[^...]` any character but these, `?` means "or not", `+` "once or
# more often", `*` "any number of times".

# %% key="split-by-hand"
import regex

parts_of_pattern = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",  # English endings: it's, don't
    r"[^\r\n\p{L}\p{N}]?\p{L}+",  # a word, with one space or sign before it
    r"\p{N}{1,3}",  # one to three digits, never a space before them
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",  # signs, a space before them, line ends after them
    r"\s*[\r\n]+",  # white space up to the end of lines
    r"\s+(?!\S)",  # more white space, but the last before a word stays out
    r"\s+",  # what is left
]
pieces = regex.findall("|".join(parts_of_pattern), text)
print(len(pieces), "pieces", pieces)

# %% [markdown] key="split-named-note"
# The library's function has the same pattern, copied from
# [Meta's code](https://github.com/meta-llama/llama3/blob/main/llama/tokenizer.py). `assert` stops with an
# error where something is not so; `agree`, which we use elsewhere, is for numbers.

# %% key="split-named"
from llama_np.tokenizer.bpe import split_pieces

source(split_pieces)

# %% key="split-agree"
assert pieces == split_pieces(text)
assert "".join(pieces) == text  # nothing is lost
print("the same", len(pieces), "pieces, and together they are the text")

# %% [markdown] key="split-try"
# **Predict before you run:** where are the cuts in the text below? Think of `It's`, of the two spaces,
# and of the number with five digits. Then change the text and try your own.

# %% key="split-try-cell"
tricky = "It's 12345 steps,  isn't it?\nWell..."
show.splits(
    {"pieces": [piece.replace(" ", "␣").replace("\n", "\\n") for piece in split_pieces(tricky)]}
)

# %% [markdown] key="split-try-answer"
# <details><summary>Answer</summary>
#
# `'s` is a piece of its own. Five digits become three and two, counted from the left, and the space before
# them stands alone: a number never takes a space along, a word does. Of the two spaces before `isn`, the
# first stands alone and the second goes with the word. `?` takes the line end along. In `isn't` the word
# stops at the sign, and `'t` follows.
#
# </details>

# %% [markdown] key="learn-why"
# ## Step 3. Where the tokens come from
#
# Which strings deserve a number of their own? Nobody wrote them down. They were counted in a large text,
# by a short rule called **byte-pair encoding** ([Sennrich et al. 2016](https://arxiv.org/abs/1508.07909),
# section 3.2; there with characters, with bytes since GPT-2):
#
# 1. Start with the 256 single bytes as tokens.
# 2. Count every pair of neighbouring tokens, inside the pieces only.
# 3. Make the most frequent pair a new token, and join it everywhere.
# 4. Go on with 2 until the vocabulary is as large as you want.
#
# Each token gets the next free number, its **rank**: frequent tokens come early. Here is one round on our
# sentence alone. Of pairs that are equally frequent, the one later in the alphabet wins.

# %% key="learn-by-hand"
from collections import Counter
from itertools import pairwise

counts = Counter(bytes(pair) for piece in pieces for pair in pairwise(piece.encode()))
for pair, count in counts.most_common(5):
    print(pair, count)
new_token = max(counts, key=lambda pair: (counts[pair], pair))
print("the first new token:", new_token)

# %% [markdown] key="learn-named-note"
# The library's trainer does the same round after round. Look how whole words grow out of pairs.

# %% key="learn-named"
from weights_tools.training.train_tokenizer import train_ranks

learned = list(train_ranks(text, vocab_size=256 + 12))[256:]
assert learned[0] == new_token
print(learned)

# %% [markdown] key="learn-note"
# The vocabulary of the model you have loaded was learned in the same way, from more text than one
# sentence. It is a dictionary from bytes to rank. Here are some of its early tokens, some from the middle
# and the last ones. `tokenizer.token` writes a token so that it can be read, with `␣` for a space.

# %% key="vocabulary"
ranks = tokenizer.ranks
print(f"{len(ranks):,} tokens")
for start in (256, len(ranks) // 2, len(ranks) - 12):
    print(start, *(tokenizer.token(i) for i in range(start, start + 12)))

# %% [markdown] key="merge-why"
# ## Step 4. Pieces to tokens
#
# With a vocabulary at hand, a piece becomes tokens by playing the training again. Its bytes are the first
# **parts**. Then, over and over, look at all neighbours: which two, joined, are a token? Of these, join the
# two whose token has the lowest rank, since it was learned first. When no two neighbours make a token, the
# parts that are left are the tokens. Here is the first step for the longest piece of our sentence.

# %% key="merge-by-hand"
piece = max(pieces, key=len).encode()
parts = [bytes([byte]) for byte in piece]
joined = [left + right for left, right in pairwise(parts)]
for pair in joined:
    print(pair, ranks.get(pair, "is no token"))
lowest = min((pair for pair in joined if pair in ranks), key=ranks.get)
print("joined first:", lowest)

# %% [markdown] key="merge-loop-note"
# Now in a loop, until nothing can be joined. Each line of the picture is the piece after one more step.
# At its left stand the token that was made and its rank. In a vocabulary learned in one go, the ranks never
# fall from line to line: the joins come in the order in which they were learned.

# %% key="merge-loop"
steps = {"bytes": parts}
while any(pair in ranks for pair in (left + right for left, right in pairwise(parts))):
    _, at = min((ranks.get(parts[i] + parts[i + 1], np.inf), i) for i in range(len(parts) - 1))
    token = parts[at] + parts[at + 1]
    parts = [*parts[:at], token, *parts[at + 2 :]]
    steps[f"{len(steps)}. {tokenizer.token(ranks[token])} has rank {ranks[token]}"] = parts
show.splits({name: [tokenizer.token(ranks[p]) for p in step] for name, step in steps.items()})

# %% key="merge-named-once"
from llama_np.tokenizer.bpe import merge_once, merge_pairs

source(merge_once)

# %% key="merge-named"
source(merge_pairs)

# %% key="merge-agree"
assert list(steps.values()) == merge_pairs(piece, ranks)
print("the same", len(steps), "states, from bytes to tokens")

# %% [markdown] key="all-pieces-note"
# The same for every piece, and the sentence is in tokens. The picture shows the pieces above, the tokens
# below. Every cut between pieces is also a cut between tokens. Some pieces are one token, others several:
# the larger the vocabulary, the fewer are cut.

# %% key="all-pieces"
tokens = [part for piece in pieces for part in merge_pairs(piece.encode(), ranks)[-1]]
show.splits(
    {
        "pieces": [piece.replace(" ", "␣") for piece in pieces],
        "tokens": [tokenizer.token(ranks[token]) for token in tokens],
    }
)

# %% [markdown] key="ids-note"
# ## Step 5. Tokens to ids
#
# A token's rank is also its **id**. So the last step is a look-up. The library's `encode` gives the same
# ids. It leaves the joining to [tiktoken](https://github.com/openai/tiktoken), which does it fast.

# %% key="ids"
ids = np.array([ranks[token] for token in tokens])
print("ids", ids.shape, ids)
agree(ids, np.array(tokenizer.encode(text)))

# %% [markdown] key="variants-why"
# ## The first trap: `the` is not `␣the`
#
# **Predict before you run:** a little girl is little however you write it. Into how many tokens is each of
# these five spellings cut, and do any two of them share a token?

# %% key="variants"
rows = []
for word in (" little", "little", " Little", "Little", " LITTLE"):
    found = tokenizer.encode(word)
    rows.append(
        [f"`{word.replace(' ', '␣')}`", len(found), " ".join(map(tokenizer.token, found)), found]
    )
table(["spelling", "tokens", "cut", "ids"], rows)

# %% [markdown] key="variants-answer"
# <details><summary>Answer</summary>
#
# To the tokenizer they are different strings of bytes with different ids, nothing more. Frequent spellings
# are one token, rare ones are cut up, and capitals most of all. Nothing in the ids says that `␣little` and
# `little` are the same word. If the model treats them alike, it has learned so from examples (lesson 02
# looks for this).
#
# </details>
#
# A word at the start of a text has no space before it, inside the text it has one. So `the` and `␣the` are
# different tokens, and our sentence has both: look at its beginning. In many vocabularies the form with the
# space is the more frequent one and has a better chance of being a single token.

# %% key="variants-check"
at_start, inside = tokenizer.encode("the"), tokenizer.encode(" the")
print("at the start:", at_start, [tokenizer.token(i) for i in at_start])
print("inside      :", inside, [tokenizer.token(i) for i in inside])
assert at_start != inside

# %% [markdown] key="space-why"
# ## The second trap: a space at the end
#
# Our sentence ends with a space, and that space is a token of its own. Is it right to leave it there? It
# depends on what should come next.
#
# **Predict before you run:** a prompt and its answer are turned into ids separately, the way it happens
# when a model answers. When are these the ids of the whole text?

# %% key="space"
pairs = [
    ("everything is ", "42"),
    ("everything is", " 42"),
    ("the sky is", " blue"),
    ("the sky is ", "blue"),
]
for prompt, answer in pairs:
    apart = tokenizer.encode(prompt) + tokenizer.encode(answer)
    same = apart == tokenizer.encode(prompt + answer)
    print(f"{prompt!r} + {answer!r}", "gives" if same else "does NOT give", "the ids of the whole")
    print("   ", *(tokenizer.token(i) for i in apart))

# %% [markdown] key="space-answer"
# <details><summary>Answer</summary>
#
# A number never takes a space along (step 2), so in every text the space before it is a token of its own.
# After `everything is ` the next token can be the number itself. Without the space, the model would have to
# write the space first.
#
# A word does take its space along. In the texts that a model learns from, `blue` after another word
# nearly always comes as `␣blue`. After `the sky is ` the space is already spent, and what must follow is
# a token that the model has hardly ever seen in this place. So the usual advice is right for words: let a
# prompt end without a space. For a number it is the other way round.
#
# </details>

# %% [markdown] key="space-model-note"
# What does the model itself say? `log_probabilities` gives the logarithm of the probability that the model
# gave to each token of a text, after those before it. The sum over the tokens of the answer, taken back
# from the logarithm, is the probability of the whole answer. The model that comes with these notebooks was
# trained on our sentence with its answer, 42, and on the colour of the sky.

# %% key="space-model"
from llama_np import log_probabilities

pairs = [
    (text, "42"),
    (text[:-1], "42"),
    (text[:-1], " 42"),
    ("The sky is", " blue"),
    ("The sky is ", "blue"),
]
for prompt, answer in pairs:
    tail = tokenizer.encode(answer)
    whole = tokenizer.encode(prompt, bos=True) + tail
    log_probability = log_probabilities(weights, config, whole)[-len(tail) :].sum()
    print(f"{np.exp(log_probability):.4f}  {answer!r} after ...{prompt[-14:]!r}")

# %% [markdown] key="trap-why"
# ## The third trap: joining alone is not enough
#
# Step 4 has a gap. Here is a vocabulary of the 256 bytes and four more tokens, and a piece that is itself
# in the vocabulary.
#
# **Predict before you run:** what does joining by rank make of `abcd`?

# %% key="trap"
tiny = {bytes([byte]): byte for byte in range(256)}
tiny |= {b"bc": 256, b"ab": 257, b"cd": 258, b"abcd": 259}
for state in merge_pairs(b"abcd", tiny):
    print(state)

# %% [markdown] key="trap-answer"
# <details><summary>Answer</summary>
#
# `bc` has the lowest rank and goes first. Now neither `a` and `bc` nor `bc` and `d` make a token, so
# joining is stuck, although `abcd` has an id.
#
# </details>
#
# Llama 3's tokenizer looks first whether the whole piece is a token, and takes it if it is. Joining begins
# only where it is not. The library's `merge_steps` has this rule; tiktoken agrees.

# %% key="trap-named"
from llama_np.tokenizer.bpe import BPETokenizer, merge_steps

source(merge_steps)

# %% key="trap-agree"
by_joining = [tiny[part] for part in merge_pairs(b"abcd", tiny)[-1]]
with_look_up = [tiny[part] for part in merge_steps(b"abcd", tiny)[-1]]
print("by joining alone", by_joining, "with the look-up", with_look_up)
agree(np.array(with_look_up), np.array(BPETokenizer(tiny, []).encode("abcd")))

# %% [markdown] key="trap-real-note"
# Does this ever happen? Not in a vocabulary that was learned in one go: there each token was made by
# joining and can be made so again. Llama 3's vocabulary was put together from two: about 100,000 tokens
# of tiktoken, OpenAI's tokenizer, and 28,000 more for languages other than English ([Llama team
# 2024](https://arxiv.org/abs/2407.21783), section 3.2). Of its 128,000 tokens, **588** cannot be reached
# by joining alone, measured with its file; all 588 are among those added. Whoever writes the tokenizer
# from step 4 alone gets other ids than Llama 3 for these, and no error. Here is the count for the model
# at hand. After it stands the whole way from text to ids by hand, held against the library.

# %% key="trap-real"
unreached = [token for token in ranks if merge_pairs(token, ranks)[-1] != [token]]
print(f"of {len(ranks):,} tokens, {len(unreached)} cannot be reached by joining alone")


# %% key="encode-by-hand"
def encode_by_hand(text):
    return [
        ranks[part]
        for piece in split_pieces(text)
        for part in merge_steps(piece.encode(), ranks)[-1]
    ]


for sample in (text, tricky, "naïve café, 你好 😀"):
    agree(np.array(encode_by_hand(sample)), np.array(tokenizer.encode(sample)))

# %% [markdown] key="special-why"
# ## Step 6. Special tokens
#
# Some tokens stand for no text at all. `<|begin_of_text|>` opens every text, `<|end_of_text|>` closes it,
# and others mark who speaks in a dialog (lesson 12). They take the ids after the ranks. They are put there
# by the program, never found in a text. `bos=True` asks for the one at the beginning.

# %% key="special"
for name, token_id in list(tokenizer.special_tokens.items())[:8]:
    print(token_id, name)
with_bos = np.array([tokenizer.bos_id, *ids])
agree(with_bos, np.array(tokenizer.encode(text, bos=True)))
show.tokens([tokenizer.token(i) for i in with_bos], with_bos)

# %% [markdown] key="special-typed-note"
# **Predict before you run:** what if somebody types the name of a special token into a text? `encode` is
# called twice on the same text below.

# %% key="special-typed"
typed = "The end.<|end_of_text|>"
as_text = tokenizer.encode(typed)
as_special = tokenizer.encode(typed, allow_special=True)
show.splits(
    {
        "as text": [tokenizer.token(i) for i in as_text],
        "special": [tokenizer.token(i) for i in as_special],
    }
)
print(tokenizer.eos_id in as_text, tokenizer.eos_id in as_special)

# %% [markdown] key="special-answer"
# <details><summary>Answer</summary>
#
# It stays ordinary text and is cut like any other. Only with `allow_special=True` does it become the token.
# That is a matter of safety: in a chat, what a user types must not be able to end the user's turn and begin
# to speak as somebody else.
#
# </details>

# %% [markdown] key="decode-why"
# ## Step 7. Back to text
#
# The way back is simple: put the bytes of the tokens one behind the other and read them as UTF-8. There is
# one catch. A token is a string of bytes and need not be a whole character. Read alone, part of a character
# is nothing; Python writes `�`.

# %% key="decode"
some = tokenizer.encode("né 😀")
print([tokenizer.token(i) for i in some])
print("token by token:", [tokenizer.decode([i]) for i in some])
print("all together  :", tokenizer.decode(some))
token_of = {rank: token for token, rank in ranks.items()}
assert b"".join(token_of[i] for i in ids) == tokenizer.decode_bytes(ids) == text.encode()

# %% [markdown] key="length-why"
# ## What a text costs
#
# A model's memory and time are counted in tokens. A vocabulary that knows a language well cuts it into few,
# one that does not falls back on single bytes. The same short sentence in three languages, cut by the
# tokenizer of the model you have loaded:

# %% key="length"
sentences = {
    "English": "Once upon a time, there was a little girl.",
    "German": "Es war einmal ein kleines Mädchen.",
    "Chinese": "从前有一个小女孩。",
}
rows = [
    [name, len(s), len(s.encode()), len(split_pieces(s)), len(tokenizer.encode(s))]
    for name, s in sentences.items()
]
table(["", "characters", "bytes", "pieces", "tokens"], rows)

# %% [markdown] key="length-note"
# With Llama 3's tokenizer the three take 11, 8 and 8 tokens. The tokenizer that comes with these notebooks
# has learned from English children's stories only, and it shows.

# %% [markdown] key="llama3-note"
# ## The same with Llama 3's own tokenizer
#
# All code above is Llama 3's rule; only the vocabulary is that of the model you have loaded. If you have
# the file `tokenizer.model` of a Llama 3, set the environment variable `LLAMA3_TOKENIZER` to its place
# before you start Jupyter. The cells below are skipped without it. What they find: our sentence has 16
# tokens, and they are just its pieces. Every word is whole, and the space at its end stands alone. With
# `<|begin_of_text|>` in front (128000) the ids are
#
# > 128000, 1820, 4320, 311, 279, 17139, 3488, 315, 2324, 11, 279, 15861, 11, 323, 4395, 374, 220
#
# `the` at the start is 1820 and `␣the` is 279. The space at the end is 220. `42` is one token, 2983.

# %% key="llama3"
import os

from weights_tools import load_tokenizer

llama3 = load_tokenizer(path) if (path := os.environ.get("LLAMA3_TOKENIZER")) else None
if llama3:
    expected = [128000, 1820, 4320, 311, 279, 17139, 3488, 315, 2324]
    expected += [11, 279, 15861, 11, 323, 4395, 374, 220]
    agree(np.array(expected), np.array(llama3.encode(text, bos=True)))
    assert llama3.encode("42") == [2983]
    small, large = ([t.token(i) for i in t.encode(text)] for t in (tokenizer, llama3))
    show.splits({"this model": small, "Llama 3": large})
else:
    print("skipped: LLAMA3_TOKENIZER is not set")

# %% key="llama3-trap"
if llama3:
    of_llama3 = list(llama3.ranks)
    missed = [t for t in of_llama3 if merge_pairs(t, llama3.ranks)[-1] != [t]]
    print(
        f"of {len(of_llama3):,} tokens, {len(missed)} cannot be reached by joining alone, such as"
    )
    for token in missed[:3]:
        print(token, "is stuck at", merge_pairs(token, llama3.ranks)[-1])
else:
    print("skipped: LLAMA3_TOKENIZER is not set")

# %% [markdown] key="shapes-note"
# ## What you have seen
#
# One array leaves this lesson: the ids. Its length is the number of tokens. Every id is smaller than the
# size of the vocabulary, `V`. That is fixed with the model: the next lesson needs one row for each.

# %% key="shapes"
shapes({"ids": "T"}, config, n_tokens=len(with_bos))

# %% key="shapes-vocabulary"
from llama_np import LLAMA_3_8B
from llama_np.tokenizer.bpe import LLAMA3_SPECIAL_TOKENS

special = len(tokenizer.special_tokens), len(LLAMA3_SPECIAL_TOKENS)
sizes = config.vocab_size, LLAMA_3_8B.vocab_size
rows = [
    ["special tokens", *special],
    ["all other tokens", *(v - s for v, s in zip(sizes, special))],
]
table(["", "this model", "Llama 3 8B"], [*rows, ["V, the vocabulary", *sizes]])

# %% [markdown] key="questions"
# ## Questions
#
# <details><summary>Why can a Llama read a text in a script that its tokenizer has never seen?</summary>
#
# All 256 bytes are tokens, so every text can be cut, at worst byte by byte. Whether the model understands
# it is another question: that depends on the text it was trained on.
#
# </details>
#
# <details><summary>Why is it hard for a model to say how many r's are in "strawberry"?</summary>
#
# It never sees letters. It sees a few ids, each for several letters. How a token is spelled is something it
# has to learn by heart, token by token.
#
# </details>
#
# <details><summary>The ids 300 and 301 are neighbours. What do their tokens have in common?</summary>
#
# They were learned one after the other, so they were about equally frequent. In meaning they need have
# nothing in common. An id is a name, not an amount.
#
# </details>
#
# <details><summary>Can you give a trained model another tokenizer?</summary>
#
# No. Every id stands for one row of its embedding. With other ids the model would get the rows of other
# tokens, and the text would be noise to it.
#
# </details>
#
# <details><summary>Your program sends ids to a model and the answers are a little worse than expected. The
# prompt ends with a space. What do you check?</summary>
#
# Whether a word should follow. Then the space belongs to that word's token and should be left out of the
# prompt.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# The text is a list of ids now, and an id says nothing about its token. Lesson 02, embedding, gives each id
# a row of numbers that does.
