# %% [markdown] key="title"
# # Exercise 01: a tokenizer of your own
#
# This page belongs to [lesson 01](../01_tokens.ipynb). At its end you have a tokenizer: text to ids, and
# back.
#
# Put your code in the place of each `...` and run the cell. A **piece** is a word or a sign of the text, as
# in step 2 of the lesson. Bytes are written `b"ab"` in Python. A dictionary `ranks` says the rank of every
# token: `ranks[b"ab"]`.
#
# As in exercise 00: the checks draw random inputs, you write with Python and NumPy alone, and the examples
# behind `>>>` stay as they are. If a cell does not end, press the stop button (the square above the page).

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

# %% [markdown] key="to-bytes-task"
# ## Task 1. Text to bytes
#
# Fill in one line (step 1 of the [lesson](../01_tokens.ipynb)). A text becomes numbers from 0 to 255, by the rule of
# UTF-8.
#
# <details><summary>Hint</summary>
#
# Every Python text has the method `encode()`, which gives bytes. `list(...)` of bytes is a list of numbers.
#
# </details>


# %% key="to-bytes"
def my_to_bytes(text):
    """text -> numbers

    >>> my_to_bytes("té")
    [116, 195, 169]
    """
    numbers = ...
    return numbers


check("to_bytes", my_to_bytes)

# %% [markdown] key="first-join-task"
# ## Task 2. Which two are joined first?
#
# A piece is cut into parts. Look at all neighbours: which two, joined, are a token? Of these, the two whose
# token has the **lowest rank** come first. Return the place of the left one. If that token can be made in
# two places, take the left one. If no two neighbours are a token, return `None`.
#
# <details><summary>Hint</summary>
#
# `for i in range(len(parts) - 1)` goes through all left neighbours; look at `parts[i] + parts[i + 1]`.
# `ranks.get(token)` is `None` for what is no token. Remember the lowest rank so far, and where it was.
#
# </details>


# %% key="first-join"
def my_first_join(parts, ranks):
    """parts: a list of bytes, ranks: a dictionary -> a place, or None

    >>> my_first_join([b"a", b"b", b"c"], {b"ab": 7, b"bc": 3})
    1
    >>> my_first_join([b"a", b"x"], {b"ab": 7, b"bc": 3})
    """
    ...


check("first_join", my_first_join)

# %% [markdown] key="merge-task"
# ## Task 3. A piece to tokens
#
# Write the whole of step 4. The parts are single bytes at first; join until nothing can be joined any more. But joining
# alone is not enough (step 5): with the tokens `bc`, `ab`, `cd` and `abcd`, learned in this order, `abcd` gets stuck as
# `a`, `bc`, `d`, although it has a rank of its own. `mine.first_join` is your own function of task 2 once it has
# passed. (Until then it is the one that comes with these pages.)
#
# <details><summary>Hint</summary>
#
# The trap: a piece that is itself in `ranks` is taken whole. Otherwise start with
# `parts = [bytes([byte]) for byte in piece]`. While `mine.first_join(parts, ranks)` is not `None`, make a new
# list in which the two parts at that place are one.
#
# </details>


# %% key="merge"
def my_merge(piece, ranks):
    """piece: bytes, ranks: a dictionary -> a list of bytes

    >>> my_merge(b"abcx", {b"ab": 256, b"abc": 257})
    [b'abc', b'x']
    """
    ...


check("merge", my_merge)

# %% [markdown] key="encode-task"
# ## Task 4. A text to ids
#
# The pieces of a text are given, as Python texts. Return the ids of all their tokens, with the
# begin-of-text token in front: its id is `bos_id`. A token's rank is its id.
#
# <details><summary>Hint</summary>
#
# `piece.encode()` makes bytes of a piece, `mine.merge` makes tokens of the bytes. Start the list with
# `bos_id`.
#
# </details>


# %% key="encode"
def my_encode(pieces, ranks, bos_id):
    """pieces: a list of texts, ranks: a dictionary, bos_id: an id -> a list of ids

    >>> my_encode(["ab", "b"], {b"a": 97, b"b": 98, b"ab": 256}, 300)
    [300, 256, 98]
    """
    ...


check("encode", my_encode)

# %% [markdown] key="decode-task"
# ## Task 5. Back to text
#
# Now the other way. `tokens` says the bytes of each id. Use `decode(errors="replace")` to make a text of
# bytes.
#
# <details><summary>Hint</summary>
#
# A token may end in the middle of a character. `b"".join(...)` puts bytes one behind the other.
#
# </details>


# %% key="decode"
def my_decode(ids, tokens):
    r"""ids: a list, tokens: a dictionary from id to bytes -> a text

    >>> my_decode([1, 2], {1: b"n\xc3", 2: b"\xa9!"})
    'né!'
    """
    ...


check("decode", my_decode)

# %% [markdown] key="predict-task"
# ## Predict
#
# ` Lily` with its space is one token of this model. Into how many is the same name cut in capitals, ` LILY`?

# %% key="predict"
from weights_tools import load_model

model = load_model()
tokenizer = model.tokenizer
assert len(tokenizer.encode(" Lily")) == 1
guess = ...
predict("01", guess, lambda: len(tokenizer.encode(" LILY")))

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# It is {{ len(tokenizer.encode(" LILY")) }}: {{ ", ".join(f"`{tokenizer.token(i)}`" for i in tokenizer.encode(" LILY")) }}.
# In the stories hardly anybody shouts, so no two capitals were frequent neighbours, and none were joined.
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# In the lesson ` girl` was cut in two, and the model no longer knew that there was a girl. Does it matter *where* it is
# cut? There are four places between its five bytes. `p_name(n)` cuts behind `n` bytes, joins what can be joined on
# either side, and gives the probability of the name that comes first as it is. Guess which cut does the least harm,
# give the largest of the four probabilities, and say why even that is so far below what the whole token gives.

# %% key="measure"
from llama_np import forward, softmax
from llama_np.tokenizer.bpe import merge_steps

before = tokenizer.encode("Once upon a time, there was a little", bos=True)
word, after = b" girl", tokenizer.encode(" named")


def cut_at(n):
    """The ids of the word if it is cut behind n of its bytes."""
    halves = [half for half in (word[:n], word[n:]) if half]
    return [
        tokenizer.ranks[part] for half in halves for part in merge_steps(half, tokenizer.ranks)[-1]
    ]


def next_token(ids):
    return softmax(forward(model.weights, model.config, np.array([*before, *ids, *after]))[-1])


name = next_token(cut_at(len(word))).argmax()


def p_name(n):
    """The probability of the name if ` girl` is cut behind n of its bytes."""
    return float(next_token(cut_at(n))[name])


print("as it is:", tokenizer.token(name), f"{p_name(len(word)):.3f}")
# yours, for example: print([tokenizer.token(i) for i in cut_at(1)], p_name(1))

found, because = ..., ...
measure("01", found, lambda: max(map(p_name, range(1, len(word)))), because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# {{ max(map(p_name, range(1, len(word)))) :.3f }} is the largest, of {{ p_name(len(word)) :.2f }} for the whole token. The
# model reads ids. What it has learned about girls and their names belongs to the one token `␣girl`; the parts, wherever
# the cut is, are tokens that it knows from other words or from nowhere.
# {{ claim: max(map(p_name, range(1, len(word)))) < 0.3 * p_name(len(word)) }}
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 01](../01_tokens.ipynb). Next: [lesson 02](../02_embedding.ipynb) and
# [its exercise](02_embedding.ipynb).
