"""Lesson 02, embedding."""

import numpy as np

from .registry import wrong


@wrong("columns instead of rows", "02/look-up-why", task="embed")
def columns_of_the_embedding(embedding, ids):
    """A token's numbers stand in a row, at the place that its id says."""
    return embedding[:, ids]


@wrong("ids counted from 1", "02/look-up-why", task="embed")
def ids_from_one(embedding, ids):
    """Ids count from 0, as rows do: id 0 names the first row."""
    return embedding[ids - 1]


@wrong("a token that stands twice got one row", "02/same-rows-why", task="embed")
def each_token_once(embedding, ids):
    """Every place in the text has a row of its own, also where a token comes again."""
    return embedding[np.unique(ids)]


@wrong("the 1 stands at the token's place in the text", "02/one-hot-why", task="one_hot")
def one_at_the_position(ids, vocab_size):
    """Row t belongs to place t already; in it the 1 stands at the column of the id."""
    return np.eye(len(ids), vocab_size)


@wrong("rows and columns changed places", "02/one-hot-why", task="one_hot")
def one_hot_columns(ids, vocab_size):
    """A row for each token of the text, a column for each of the vocabulary: T V."""
    return np.eye(vocab_size)[:, ids]


@wrong("every row got the ones of all ids", "02/one-hot-why", task="one_hot")
def ones_in_all_rows(ids, vocab_size):
    """`[:, ids]` names these columns in all rows: name one row for each, `[np.arange(T), ids]`."""
    rows = np.zeros((len(ids), vocab_size))
    rows[:, ids] = 1
    return rows


ONE_SUM = "one sum for the whole table instead of one for each row"


@wrong(ONE_SUM, "02/cosine-why", task="cosines")
def one_length_for_all(row, rows):
    """Each row has a length of its own: sum(axis=-1) goes along each row by itself."""
    return rows @ row / np.sqrt((rows * rows).sum() * (row @ row))


@wrong("not divided by the lengths", "02/cosine-why", task="cosines")
def dot_products(row, rows):
    """A dot product grows with the lengths of both rows: the cosine divides by them."""
    return rows @ row


@wrong("divided by the squares of the lengths", "02/cosine-why", task="cosines")
def divided_by_squares(row, rows):
    """The length is the root of the sum of the squares."""
    return rows @ row / ((rows * rows).sum(axis=-1) * (row @ row))


@wrong("divided by one of the two lengths only", "02/cosine-why", task="cosines")
def divided_by_one_length(row, rows):
    """The cosine divides by the length of both, so that it is never above 1."""
    return rows @ row / np.sqrt((rows * rows).sum(axis=-1))
