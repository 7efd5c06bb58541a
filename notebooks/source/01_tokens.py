# %% [markdown] key="title"
# # 01 Tokens: text to bytes, to pieces, to ids
#
# "Once upon a time, there was a little girl named" goes on with ` Lily`. Put a single space behind it, which no
# reader would notice, and Lily is gone. Why does a space do that, and what else
# looks the same to you and is something different to the model?
#
# A model gets no letters. It gets a list of numbers, the **ids** of its tokens, and all that it will ever know about a
# text is in that list. In goes a text, out comes an array of shape `(T,)`, and on the way the text becomes:
#
# $$\text{text} \;\to\; \text{bytes} \;\to\; \text{pieces} \;\to\; \text{tokens} \;\to\; \text{ids}$$
#
# You will turn a sentence into ids by hand, exactly as Llama 3 does, and at the end cut a text in another place,
# without changing a letter, to see what is left of it. This page comes after [lesson 00](00_start_here.ipynb), and in
# [exercise 01](exercises/01_tokens.ipynb) you write the tokenizer yourself.

# %% key="map"
import numpy as np
from classroom import agree, show, table

from weights_tools import DOLL_HOUSE, load_model

model = load_model()
if "<|eot_id|>" not in model.tokenizer.special_tokens:  # a tokenizer that is not Llama 3's
    model = load_model(DOLL_HOUSE)
config, weights, tokenizer = model.config, model.weights, model.tokenizer
show.model_map(config.n_layers, lit=["ids"])

# %% key="question"
from llama_np import forward, softmax


def best_tokens(ids, n=5):
    """The likeliest next tokens after some ids, with their probabilities."""
    p = softmax(forward(weights, config, np.array(ids))[-1])
    return {tokenizer.token(int(i)): float(p[i]) for i in np.argsort(-p)[:n]}


sentence = "Once upon a time, there was a little girl named"
as_it_is, with_space = (
    best_tokens(tokenizer.encode(s, bos=True)) for s in (sentence, sentence + " ")
)
for name, best in {"as it is": as_it_is, "with a space": with_space}.items():
    print(f"{name:13}", "  ".join(f"{token} {p:.2f}" for token, p in best.items()))

# %% [markdown] key="question-read"
# The sign `␣` is a space that belongs to a token. As it is, `{{ next(iter(as_it_is)) }}` comes first with
# {{ next(iter(as_it_is.values())) :.2f }}; with the space the list is {{ ", ".join(f"`{t}`" for t in with_space) }}, and the name is not in it.
# To see why, we follow the text into the model.
# {{ claim: next(iter(as_it_is)).startswith("␣") and next(iter(as_it_is)) not in with_space }}

# %% [markdown] key="bytes-why"
# ## Step 1. Text to bytes
#
# There are more than a hundred thousand different characters, and new ones every year. But a computer already stores
# every text as **bytes**, numbers from 0 to 255, usually by the rule called UTF-8, where a plain English letter is one
# byte and other characters take two, three or four.

# %% key="bytes"
rows = [[f"`{c.replace(' ', '␣')}`", list(c.encode())] for c in "tT é你😀"]
table(["character", "its bytes"], rows)

# %% [markdown] key="bytes-note"
# So 256 numbers are enough for any text in any language. Why not stop here and take the bytes as ids? Because the
# list gets long: in attention every token looks at every token before it, so that the work grows with the square of
# the length. Frequent strings such as a space and `the` should be one number, not four.

# %% [markdown] key="split-why"
# ## Step 2. Bytes to pieces
#
# Before anything is joined, the text is cut into **pieces**, roughly words, and later steps never join across a cut.
# Otherwise the vocabulary would fill up with `dog.`, `dog!` and `dog?`, each learned for itself ([Radford et al.
# 2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf),
# section 2.2). The rule is a **regular expression**, a pattern for text, of seven alternatives. At each place the
# first one that fits takes as much as it can.
#
# <details><summary>How to read the signs</summary>
#
# `\p{L}` is any letter, `\p{N}` any digit, `\s` any white space, `\S` anything else, `\r` and `\n` end a line, and
# `[^...]` is any character but these. `?` means "optional", `+` "once or more often", `*` "any number of times",
# `{1,3}` "one to three times", `|` "or". `(?i:...)` takes capitals as small letters, and `(?!\S)` looks ahead without
# taking anything: it fits where no `\S` follows.
#
# </details>

# %% key="split-by-hand"
import regex

from llama_np.tokenizer.bpe import split_pieces

alternatives = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",  # English endings: it's, don't
    r"[^\r\n\p{L}\p{N}]?\p{L}+",  # a word, with one space or sign before it
    r"\p{N}{1,3}",  # one to three digits, never a space before them
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",  # signs, a space before them, line ends after them
    r"\s*[\r\n]+",  # white space up to the end of lines
    r"\s+(?!\S)",  # more white space, but the last before a word stays out
    r"\s+",  # what is left
]
pieces = regex.findall("|".join(alternatives), sentence + " ")
assert pieces == split_pieces(sentence + " ")  # `agree` is for numbers
print(pieces)

# %% [markdown] key="split-try"
# Every word has taken the space *before* it along, so that nothing is left to take the final space: it stands alone. That
# is the first half of the answer to our question.
#
# **Predict before you run:** where are the cuts in the text below? Think of `It's`, of the two spaces, and of the
# number with five digits.
# {{ claim: pieces[-1] == " " }}

# %% key="split-try-cell"
tricky = "It's 12345 steps,  isn't it?\nWell..."
show.splits(
    {"pieces": [piece.replace(" ", "␣").replace("\n", "\\n") for piece in split_pieces(tricky)]}
)

# %% [markdown] key="split-try-answer"
# <details><summary>Answer</summary>
#
# `'s` is a piece of its own. Five digits become three and two, counted from the left, and the space before them
# stands alone, since a number never takes a space along. Of the two spaces before `isn`, the first stands alone and
# the second goes with the word. `?` takes the line end along. In `isn't` the word stops at the sign, and `'t` follows.
#
# </details>

# %% [markdown] key="learn-why"
# ## Step 3. Where the tokens come from
#
# Which strings deserve a number of their own? They are counted in a large text, by a short rule called **byte-pair
# encoding** ([Sennrich et al. 2016](https://arxiv.org/abs/1508.07909), section 3.2; there with characters, with bytes
# since GPT-2):
#
# 1. Start with the 256 single bytes as tokens.
# 2. Count every pair of neighbouring tokens, inside the pieces only.
# 3. Make the most frequent pair a new token, and join it everywhere.
# 4. Go on with 2 until the vocabulary is as large as you want.
#
# Every token has a number, its **rank**: here a single byte its own value, a new token the next free one, so frequent tokens
# come early. Here is one round by hand, then twelve by the library's trainer. Of pairs that
# are equally frequent, the one later in the alphabet wins.

# %% key="learn-by-hand"
from collections import Counter
from itertools import pairwise

from weights_tools.training.train_tokenizer import train_ranks

text = "the answer to the ultimate question of life, the universe, and everything is "
counts = Counter(bytes(pair) for piece in split_pieces(text) for pair in pairwise(piece.encode()))
new_token = max(counts, key=lambda pair: (counts[pair], pair))
print("most frequent:", counts.most_common(3), "-> new token", new_token)
learned = list(train_ranks(text, vocab_size=256 + 12))[256:]
assert learned[0] == new_token
print("twelve rounds:", learned)

# %% [markdown] key="merge-why"
# ## Step 4. Pieces to tokens
#
# `{{ learned[0].decode() }}` came first, and already the second, `{{ learned[1].decode() }}`, is made with it: a new token takes part in the
# next count. {{ claim: learned[1].startswith(learned[0]) }}
#
# The vocabulary of the model you have loaded was learned in the same way, from many stories. With it, a piece becomes
# tokens by playing the training again. Its bytes are the first **parts**. Then, over and over, look at all
# neighbours: which two, joined, are a token? Of these, join the two whose token has the lowest rank, since it was
# learned first. When no two neighbours make a token, the parts that are left are the tokens.

# %% key="merge-by-hand"
from llama_np.tokenizer.bpe import merge_once, merge_pairs

ranks = tokenizer.ranks
parts = [bytes([byte]) for byte in b" girl"]
for pair in (left + right for left, right in pairwise(parts)):
    print(pair, ranks.get(pair, "is no token"))
joined = min(
    (left + right for left, right in pairwise(parts) if left + right in ranks), key=ranks.get
)
assert joined in merge_once(parts, ranks)
print("joined first:", joined)

# %% [markdown] key="merge-loop-note"
# In a loop, until nothing can be joined any more, this is `merge_pairs`, which returns the parts after every step. The
# picture shows them for the longest word of the other sentence.

# %% key="merge-loop"
longest = max(split_pieces(text), key=len)
states = merge_pairs(longest.encode(), ranks)
show.splits(
    {
        f"{n} joined" if n else "bytes": [tokenizer.token(ranks[part]) for part in state]
        for n, state in enumerate(states)
    }
)

# %% [markdown] key="tree-why"
# ## A token is a tree
#
# Nothing in the picture goes from left to right. `{{ tokenizer.token(ranks[max(states[1], key=len)]) }}` comes first, from inside the word, because it was
# learned first, and the space in front has to wait for its turn. Seen from its end, a token is a **tree**: it was joined from two tokens, each of which was joined from two others,
# down to the bytes. The number behind each is its rank. A token must have been learned after its parts, so ranks
# only fall on the way down.


# %% key="tree"
def split_last(token):
    """The two tokens that were joined into this one; nothing for a single byte."""
    return next((s for s in reversed(merge_pairs(token, ranks)) if len(s) == 2), [])


def tree(token, before="", branch=""):
    """A token and what it was joined from, line by line."""
    lines = [f"{before}{branch}{tokenizer.token(ranks[token])}  {ranks[token]}"]
    below = before + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
    for part, sign in zip(split_last(token), ("├─ ", "└─ ")):
        lines += tree(part, below, sign)
    return lines


in_sentence = [tokenizer.decode_bytes([i]) for i in tokenizer.encode(sentence)]
deepest = b" girl" if b" girl" in ranks else max(in_sentence, key=len)
print("\n".join(tree(deepest)))
stone = max(split_last(deepest), key=len)  # a part on the way
rare = "giraffe"

# %% [markdown] key="tree-read"
# Every line of the tree is a token with an id and a row in the embedding. But when does
# `{{ tokenizer.token(ranks[stone]) }}` reach the model? It was needed as a stepping stone to `{{ tokenizer.token(ranks[deepest]) }}`, and
# where that word is written, the longer token swallows it. It is left for rare words such as
# *{{ rare }}*, which becomes {{ " ".join(tokenizer.token(i) for i in tokenizer.encode(f" {rare}")) }}.
# {{ claim: ranks[stone] in tokenizer.encode(f" {rare}") }}

# %% [markdown] key="ids-note"
# ## Step 5. Tokens to ids
#
# A token's rank is also its **id**, so the last step is a look-up. One thing is done before any joining: a piece that
# is itself a token is taken whole (`merge_steps`). In a vocabulary learned in one go this makes no difference. But Llama
# 3's was put together from two, about 100,000 tokens of OpenAI's tiktoken and 28,000 for other languages ([Llama team
# 2024](https://arxiv.org/abs/2407.21783), section 3.2), and 588 of them cannot be reached by joining, measured with its
# file. Whoever forgets the look-up gets other ids for these, and no error; [exercise 01](exercises/01_tokens.ipynb) has
# such a case.
#
# Here is the whole way by hand, held against the library, which leaves the joining to
# [tiktoken](https://github.com/openai/tiktoken) because that is fast.


# %% key="ids"
from llama_np.tokenizer.bpe import merge_steps


def encode_by_hand(text):
    found = []
    for piece in split_pieces(text):
        found += [ranks[part] for part in merge_steps(piece.encode(), ranks)[-1]]
    return np.array(found)


for sample in (sentence, text, tricky, "naïve café, 你好 😀"):
    agree(encode_by_hand(sample), np.array(tokenizer.encode(sample)))

# %% [markdown] key="special-why"
# ## Special tokens
#
# Some tokens stand for no text at all. `<|begin_of_text|>` opens every text (`bos=True` asks for it),
# `<|end_of_text|>` closes it, and others mark who speaks in a dialog ([lesson 12](12_generation.ipynb)). They take the
# ids after the ranks. **Predict before you run:** what if somebody types the name of a special token into a text?

# %% key="special"
print(*(f"{i} {name}" for name, i in list(tokenizer.special_tokens.items())[:4]))
typed = "The end.<|end_of_text|>"
as_text, as_special = tokenizer.encode(typed), tokenizer.encode(typed, allow_special=True)
show.splits(
    {
        "as text": [tokenizer.token(i) for i in as_text],
        "special": [tokenizer.token(i) for i in as_special],
    }
)

# %% [markdown] key="special-answer"
# <details><summary>Answer</summary>
#
# It stays ordinary text and is cut like any other; only with `allow_special=True` does it become the token. In a chat,
# what a user types must not be able to end the user's turn and begin to speak as somebody else.
#
# </details>

# %% [markdown] key="decode-why"
# ## Back to text
#
# The way back is to put the bytes of the tokens together and read them as UTF-8. There is one catch: a token is a
# string of bytes and need not be a whole character. In the first line below `tokenizer.token` shows a byte that is only a part of
# one by its number in hexadecimal: `\xc3` is 195, the first byte of `é`. In the second each token is decoded alone, and Python
# writes `�` for whatever is no character. Only all bytes together, in the third, give the text back.

# %% key="decode"
some = tokenizer.encode("né 😀")
print("tokens        :", *map(tokenizer.token, some))
print("token by token:", [tokenizer.decode([i]) for i in some])
print("all together  :", tokenizer.decode(some))
assert tokenizer.decode(encode_by_hand(text)) == text

# %% [markdown] key="llama3-note"
# ## The first trap: one word, many spellings
#
# A little girl is little however you write it. **Predict before you run:** which of the spellings below share a token?
# Beside the model you have loaded, whose vocabulary has {{ len(ranks) :, }} tokens, stands what Llama 3 makes of them with
# its 128,000, written down here because its file comes with a licence that one has to accept.

# %% key="llama3"
llama3 = {
    " little": [2697],
    "little": [56492],
    " Little": [15013],
    " LITTLE": [445, 61209],
}
spellings = [set(tokenizer.encode(each)) for each in llama3]
shared = {i for n, a in enumerate(spellings) for b in spellings[:n] for i in a & b}
rows = []
for each, ids in llama3.items():
    cut = " ".join(tokenizer.token(i) for i in tokenizer.encode(each))
    rows.append([f"`{each.replace(' ', '␣')}`", cut, ids])
table(["text", "cut here", "ids in Llama 3"], rows)

# %% [markdown] key="llama3-read"
# `␣little` is one token in both, and no other spelling has any part of it. What the rarer spellings share here is
# {{ ", ".join(f"`{tokenizer.token(i)}`" for i in sorted(shared)) or "nothing" }}; in Llama 3 they share nothing. So to the
# tokenizer they are strangers, and if a model treats them alike, it has learned so from examples.
# {{ claim: tokenizer.encode(" little")[0] not in shared and len(tokenizer.encode(" LITTLE")) > 1 }}

# %% [markdown] key="space-why"
# ## The second trap: a space at the end
#
# Now our question can be answered. In the texts that the model has learned from, a name inside a sentence is a token
# with its space, `␣Lily`. Once the prompt has used up the space, `␣Lily` would bring a second one, and `Lily` without a
# space has hardly ever followed a space in training. We take the favourite name of 20 prompts and ask for its probability twice, once
# with the space in the answer and once with the space in the prompt. Beside them stands a number, which never takes a space
# along, so that both ways lead to the same tokens.

# %% key="p-of"
from llama_np import log_probabilities


def p_of(prompt, answer):
    """The probability of all tokens of an answer together."""
    tail = tokenizer.encode(answer)
    ids = np.array(tokenizer.encode(prompt, bos=True) + tail)
    return float(np.exp(log_probabilities(weights, config, ids)[-len(tail) :].sum()))


# %% key="space"
heroes = ["girl", "boy", "dog", "cat", "bird", "bear", "fish", "frog", "bunny", "mouse"]
without, with_one = [], []
for hero in heroes:
    for size in ("little", "big"):
        prompt = f"Once upon a time, there was a {size} {hero} named"
        name = tokenizer.decode(
            [forward(weights, config, tokenizer.encode(prompt, bos=True))[-1].argmax()]
        )
        without.append(p_of(prompt, name))
        with_one.append(p_of(prompt + " ", name.strip()))
number = p_of(text[:-1], " 42"), p_of(text, "42")
rows = [
    ["20 names, on average", f"{np.mean(without):.3f}", f"{np.mean(with_one):.5f}"],
    ["20 names, the largest", f"{np.max(without):.3f}", f"{np.max(with_one):.5f}"],
    ["the number 42", f"{number[0]:.3f}", f"{number[1]:.3f}"],
]
table(["", "space with the answer", "space with the prompt"], rows)

# %% [markdown] key="space-answer"
# The names fall from {{ np.mean(without) :.2f }} to {{ np.mean(with_one) :.5f }}, and not one of the 20 keeps more than
# {{ np.max(with_one) :.4f }}. The number does not suffer: {{ number[1] :.3f }} with the space in the prompt,
# {{ number[0] :.3f }} where the model has to write the space as a token of its own first. It knows this number because the
# whole sentence was put into its training text. So let a prompt end without a space, unless what has to follow is a token
# that takes none along.
# {{ claim: np.max(with_one) < 0.1 * np.mean(without) and number[1] > 0.5 }}

# %% [markdown] key="cut-why"
# ## The same letters, cut in another place
#
# The space was an extra byte. Can we confuse the model without changing a single byte? We undo the last joining of one
# token, so that ` girl` comes as two tokens of the vocabulary, and the decoded text is the same to the letter. What is
# measured is how much probability moves from some next tokens to others, between 0 and 1 (the **total variation
# distance** of the two predictions). **Predict before you run:** does the model still know that it is about a girl?


# %% key="cut"
from weights_tools.training.heroes import read_stories


def cut_again(token_id):
    """The same bytes as two tokens, where there are two."""
    token = tokenizer.decode_bytes([token_id])
    return [ranks[part] for part in split_last(token)] or [token_id]


ids = tokenizer.encode(sentence, bos=True)
normal = softmax(forward(weights, config, ids)[-1])
boys_ids = tokenizer.encode(sentence.replace("girl", "boy"), bos=True)
of_boy = softmax(forward(weights, config, boys_ids)[-1])
# the eight tokens that tell each text most from the other
hers, his = np.argsort(of_boy - normal)[:8], np.argsort(normal - of_boy)[:8]
rows, moved, p_of_names = [], {}, {}
for t in (t for t in range(1, len(ids)) if len(cut_again(ids[t])) > 1):  # a single byte stays
    changed = [*ids[:t], *cut_again(ids[t]), *ids[t + 1 :]]
    assert tokenizer.decode(changed[1:]) == sentence
    p = softmax(forward(weights, config, changed)[-1])
    name = tokenizer.token(ids[t])
    moved[name] = float(np.abs(p - normal).sum() / 2)
    p_of_names[name] = p[hers].sum(), p[his].sum()
    best = np.argsort(-p)[:3]
    cut = " ".join(map(tokenizer.token, cut_again(ids[t])))
    said = " ".join(f"{tokenizer.token(int(i))} {p[i]:.2f}" for i in best)
    rows.append([cut, f"{moved[name]:.2f}", *(f"{n:.2f}" for n in p_of_names[name]), said])
print("her eight, in the text as it is:", *map(tokenizer.token, hers), f"{normal[hers].sum():.2f}")
print("his eight, in the same text:    ", *map(tokenizer.token, his), f"{normal[his].sum():.2f}")
table(["cut as", "probability moved", "her eight", "his eight", "best"], rows)
cut_girl = cut_again(ids[-2])[0]
seen = sum(tokenizer.encode(story).count(cut_girl) for story in read_stories())

# %% [markdown] key="cut-read"
# The eight tokens that tell this text most from the same one about a boy are hers, and with no cut at all they have {{ normal[hers].sum() :.2f }}, the eight that tell his from hers {{ normal[his].sum() :.2f }}.
# With `{{ tokenizer.token(ids[-2]) }}` cut, {{ moved[tokenizer.token(ids[-2])] :.2f }} of the probability moves, hers have
# {{ p_of_names[tokenizer.token(ids[-2])][0] :.2f }}, and his have {{ p_of_names[tokenizer.token(ids[-2])][1] :.2f }}. So the answer is no: with every letter of
# *girl* in its place, boys' names are ahead. Cut `{{ tokenizer.token(ids[-1]) }}`, the word that asks for a name, and
# {{ moved[tokenizer.token(ids[-1])] :.2f }} moves: the list begins with {{ rows[-1][-1] }}. Cutting any other word does less harm.
#
# What is missing is the one id for which the model has learned what it means. What stands in its place begins with
# `{{ tokenizer.token(cut_girl) }}`, which comes {{ seen }} times in all the stories that ship with the course. The
# stepping stones are as good as unknown to the model.
# {{ claim: moved[tokenizer.token(ids[-2])] > 0.4 and moved[tokenizer.token(ids[-1])] > 0.4 and seen < 5 }}
# {{ claim: max(list(moved.values())[:-2]) < 0.7 * moved[tokenizer.token(ids[-2])] }}
# {{ claim: p_of_names[tokenizer.token(ids[-2])][1] > p_of_names[tokenizer.token(ids[-2])][0] and normal[hers].sum() > 20 * normal[his].sum() }}

# %% [markdown] key="texts-why"
# Is that worse than a slip that everybody sees? We spoil the first 200 letters of 20 stories. In each word of four
# characters or more either two neighbouring ones are exchanged, which now and then are the same, or each token is cut
# again, the letters being left as they are. Of two more beginnings one has *all* tokens cut, the other its words in
# random order, and a third leaves out the longer words. (In the table ± is the standard deviation over the stories.) What
# follows is left as it is, and we measure how well its next 100 letters are predicted, in bits a byte: the sum of
# $-\log_2 p$ over the tokens, divided by the number of bytes. Two controls say what a beginning is worth at all: as it
# is, and none. Which of the five will the model mind most?


# %% key="spoil"
rng = np.random.default_rng(0)


def exchange(word):
    """Two neighbouring letters inside a word of four or more, exchanged."""
    if len(word) < 4:
        return word
    t = rng.integers(1, len(word) - 2)
    return word[:t] + word[t + 1] + word[t] + word[t + 2 :]


def cut_words(words, shortest):
    """The ids of a text in which each token is cut again, in words that are long enough."""
    ids = tokenizer.encode("", bos=True)
    for n, word in enumerate(words):
        whole = tokenizer.encode(" " * (n > 0) + word)
        cut = [part for i in whole for part in cut_again(i)]
        ids += cut if len(word) >= shortest else whole
    return ids


# %% key="texts"
def bits_per_byte(context, tail):
    """How well a text is predicted after some ids."""
    tail_ids = tokenizer.encode(tail)
    logs = log_probabilities(weights, config, np.array([*context, *tail_ids]))[-len(tail_ids) :]
    return -logs.sum() / np.log(2) / len(tail.encode())


stories = [s.replace("\n", " ") for s in read_stories() if len(s) > 350][:20]
found = []
for story in stories:
    split = story.index(" ", 200)  # the rest begins with a space and a word
    words, tail = story[:split].split(" "), story[split:][:100]
    texts = [words, map(exchange, words), rng.permutation(words)]
    plain, misspelt, shuffled = (tokenizer.encode(" ".join(each), bos=True) for each in texts)
    short = tokenizer.encode(" ".join(word for word in words if len(word) < 4), bos=True)
    beginnings = [plain, misspelt, cut_words(words, 4), short, shuffled, cut_words(words, 1)]
    beginnings.append(plain[:1])
    found.append([bits_per_byte(each, tail) for each in beginnings])
bits = np.array(found)
saved = bits[:, -1:] - bits  # by each beginning, story by story
worth, spread = saved.mean(axis=0), saved.std(axis=0)
names = ["as it is", "letters exchanged in longer words", "the same words cut again"]
names += ["the same words left out", "words in random order", "all tokens cut again", "none"]
lines = zip(names, bits.mean(axis=0), worth, spread, worth / worth[0])
rows = [[n, f"{m:.2f}", f"{w:.2f} ± {s:.2f}", f"{share:.0%}"] for n, m, w, s, share in lines]
table(["the beginning", "bits a byte of what follows", "saved", "of the whole saving"], rows)

# %% [markdown] key="texts-read"
# As it is, a beginning brings what follows from {{ bits[:, -1].mean() :.2f }} bits a byte to {{ bits[:, 0].mean() :.2f }}. With letters
# exchanged {{ worth[1] / worth[0] :.0% }} of that saving is left, with the same words cut again
# {{ worth[2] / worth[0] :.0% }}: a text in which nothing has changed that you could see is worth about as much to the
# model as one full of slips that you would see at once. {{ claim: 0.3 < worth[2] / worth[0] < 0.8 and abs(worth[2] - worth[1]) < 0.2 * worth[0] }}
#
# Where does what is left come from? The short words alone, with nothing in the place of the longer ones, keep {{ worth[3] / worth[0] :.0% }}, so
# the longer words do say something even in another cut. But if all tokens are cut, the short words too, {{ worth[5] / worth[0] :.0% }} is left, no more than
# the spread from story to story. The right letters in the right order then help less than whole words in random order, with
# {{ worth[4] / worth[0] :.0% }}. What a text tells this model is in its ids: other ids for the same letters tell it
# less, and where nothing else is there to lean on, next to nothing.
# {{ claim: worth[5] < 0.3 * worth[0] and worth[5] < worth[4] - 0.1 * worth[0] and worth[5] < 1.5 * spread[5] }}
# {{ claim: worth[3] < worth[2] - 0.1 * worth[0] }}

# %% [markdown] key="questions"
# ## A question
#
# <details><summary>Why is it hard for a model to say how many r's are in "strawberry"?</summary>
#
# It hardly ever sees them. It sees a few ids, most of which stand for several letters, and how a token is spelled is
# something it has to learn by heart, token by token.
#
# </details>

# %% [markdown] key="next"
# ## What comes next
#
# Write the tokenizer yourself in [exercise 01](exercises/01_tokens.ipynb). The text is a list of ids now, and an id says
# nothing about its token: [lesson 02, embedding](02_embedding.ipynb), gives each id a row of numbers that does.
