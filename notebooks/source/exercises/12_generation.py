# %% [markdown] key="title"
# # Exercise 12: your own Llama tells a story
#
# This page belongs to [lesson 12](../12_generation.ipynb) and puts together what you have written, so that at its
# end a trained Llama runs on your functions and on nothing else, and writes the same text, token for token, as
# the library.
#
# All functions that have passed are kept in the file `my_llama.py` and stand ready as `mine.`*name*. The cell
# below lists which of the parts are yours. For the others you get the ones that come with these pages, so that
# you can go on; but the story only counts when every part is your own.

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

print(mine)

# %% [markdown] key="forward-task"
# ## Task 1. The whole model
#
# From ids to logits. Fill in the loop over the blocks. `weights` holds `embedding`, `layers` (one for each
# block), `norm` and `output`.
#
# A tiny example: for 5 ids and a vocabulary of 50 the result has the shape `(5, 50)`.
#
# <details><summary>Hint</summary>
#
# Each block gets the stream that the block before it gave back, and its own `layer`.
#
# </details>


# %% key="forward"
def my_forward(weights, config, ids):
    """ids: T -> T V"""
    positions = np.arange(len(ids))
    frequencies = mine.frequencies(config.head_dim, config.rope_theta)
    visible = mine.causal_mask(positions, positions)
    x = mine.embed(weights.embedding, ids)
    for layer in weights.layers:
        x = ...
    return mine.logits(x, weights.norm, weights.output, config.norm_eps)


check("forward", my_forward)

# %% [markdown] key="generate-task"
# ## Task 2. The loop that writes
#
# Greedy, without a cache: choose the likeliest next token, put it behind the text, start again. Return the
# list of the **new** ids, `n_new` at most. Stop before a token of `stop_ids`; it is no part of the text.
# `mine.next_token` is your first function of all, from exercise 00.
#
# A tiny example: if the model would write 7, 9, 4, 4 and `stop_ids` is `{4}`, the result is `[7, 9]`.
#
# <details><summary>Hint</summary>
#
# Keep two lists: `text`, which begins as `list(ids)`, and `new`, which begins empty. In a loop:
# `mine.forward(weights, config, np.array(text))`, then `mine.next_token` of it. Look for a stop token before you
# put the token into the lists.
#
# </details>


# %% key="generate"
def my_generate(weights, config, ids, n_new, stop_ids):
    """ids: T, n_new: a whole number, stop_ids: a set of ids -> a list of ids"""
    ...


check("generate", my_generate)

# %% [markdown] key="story-task"
# ## Task 3. The story
#
# Now from text to text. The text is cut into pieces by `split_pieces` of lesson 01; everything else is yours:
# `mine.encode`, `mine.generate`, `mine.decode`. `model.tokenizer.ranks`, `model.tokenizer.bos_id` and
# `model.tokenizer.stop_ids` are what you need of the tokenizer. `check` takes the doll-house, the small Llama
# that comes with these pages, gives your function a prompt, and compares your text with the library's.
#
# <details><summary>Hint</summary>
#
# The ids of the prompt; the new ids; and for `mine.decode` a dictionary from id to bytes, which is `ranks` the
# other way round: `{token_id: token for token, token_id in ranks.items()}`.
#
# </details>

# %% key="story"
from llama_np.tokenizer.bpe import split_pieces


def my_story(model, prompt, n_new):
    """model: with weights, config and tokenizer, prompt: a text, n_new: a whole number -> a text"""
    pieces = split_pieces(prompt)
    ...


told = check("story", my_story)

# %% [markdown] key="tell-task"
# When the check has passed, run this cell. Every number in it has gone through your own code.

# %% key="tell"
from weights_tools import DOLL_HOUSE, load_model

prompt = "Once upon a time, there was a little girl named"
if told:
    print(prompt + my_story(load_model(DOLL_HOUSE), prompt, 60))
else:
    print("the story comes when the check above has passed")

# %% [markdown] key="predict-task"
# ## Predict
#
# A prompt is continued at temperature 1 with the generator of seed 1. Then two copies of the same prompt are
# continued side by side in one batch, again with a generator of seed 1. How many of the two rows write the text
# that the prompt got alone?

# %% key="predict"
from llama_np import Sampling, generate, generate_batch


def how_many_rows():
    model, how = load_model(), Sampling(1.0)
    ids = model.tokenizer.encode(prompt, bos=True)
    parts = model.weights, model.config
    alone = list(generate(*parts, ids, 24, how, rng=np.random.default_rng(1)))
    rows = generate_batch(*parts, [ids, ids], 24, how, rng=np.random.default_rng(1))
    return sum(row == alone for row in rows)


guess = ...
predict("12", guess, how_many_rows)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# None. There is one generator and one throw for each row at each step, so that the first row gets the first,
# third, fifth number and the second row the others, where the prompt alone got them all. A seed fixes the numbers
# and not who gets them: the same seed gives the same text for the same batch only.
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# Does a model know that a story is over? Take the 20 `stories` below, encode each with `bos=True`, and look at the
# last row: how likely is `<|end_of_text|>` (`tokenizer.eos_id`) there, in the mean over the 20? Compare it with
# the places inside the stories where a sentence ends, and say in a sentence why it is no larger, or no smaller.
#
# <details><summary>Where to begin</summary>
#
# `forward(house.weights, house.config, ids)` gives the logits, and `mine.probabilities(row, 1.0)` the
# probabilities of a row.
#
# </details>

# %% key="measure"
from llama_np import forward
from weights_tools.training.heroes import read_stories

house = load_model(DOLL_HOUSE)
tokenizer, stories = house.tokenizer, read_stories()[:20]


def at_the_end():
    texts = [tokenizer.encode(story, bos=True) for story in stories]
    rows = [forward(house.weights, house.config, text, last_only=True)[-1] for text in texts]
    return float(np.mean([mine.probabilities(row, 1.0)[tokenizer.eos_id] for row in rows]))


found, because = ..., ...
measure("12", found, at_the_end, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# {{ at_the_end() :.2f }} on average: likely, though not certain. The model has learned what a last sentence
# sounds like (they are happy, they have learned something), and also that almost any story can go on for another
# one. That is why drawn texts differ so much in length, and why a limit belongs to every loop besides the stop
# token.
#
# </details>

# %% [markdown] key="end"
# ## You have written a Llama
#
# Open `my_llama.py`, which lies beside your pages, and read it from top to bottom: that is a complete Llama 3,
# and a tokenizer. Llama 3.1 and later also slow some of the frequencies down (lesson 05b, step 2). Apart from
# that, a larger Llama has more numbers and not more code.
#
# If a teacher wants to see how far you are, `hand_in("Anna Miller.json")` with your own name (from `classroom`) writes a
# file with the tasks you have done and the mistakes that were recognised. It holds no code.

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 12](../12_generation.ipynb), or to [the start](../00_start_here.ipynb). The library's own version of each of your functions is one
# `source(...)` away.
