"""The rule that stands in for taste: which stories end well.

It can be counted, so one can see whether a model has learned what was preferred, and what else it
does to obey. Pairs of answers are made with it (``make-preferences``), and rewards (``grpo``).
"""

import re

HAPPY = re.compile(r"\b(happy|happily|happier|smil\w+|laugh\w+|hug\w*|proud|glad|joy\w*)\b", re.I)


def ends_well(story: str) -> bool:
    """The rule: the last sentence says that somebody is happy, smiles, laughs, hugs or is proud.

    >>> ends_well("He fell. Mom came and he was happy again."), ends_well("He was happy. He fell.")
    (True, False)
    """
    return bool(HAPPY.search(last_sentence(story)))


def last_sentence(story: str) -> str:
    """The last sentence that has words in it, without quotation marks and spaces around it.

    >>> last_sentence('She sat. "I am glad!" said Tom. "'), last_sentence("")
    ('said Tom', '')
    """
    sentences = re.findall(r"[^.!?]+", story)
    return next((s for s in reversed(sentences) if re.search(r"\w", s)), "").strip("\"' \n")
