"""The axes of every array in this project, declared once.

    B    batch: independent sequences side by side
    T    query positions: the tokens being computed now
    S    key positions: the tokens that may be looked at, past and new
    D    model width: numbers per token in the residual stream
    Hq   query heads
    Hkv  key-value heads; each serves Hq / Hkv query heads
    K    head width: numbers per token in one head
    F    feed-forward width
    V    vocabulary: one number per token that exists

A function is written for one sequence on its trailing axes; whatever stands in front (``...``)
batches by itself, as NumPy broadcasts.
"""

from typing import Annotated

import numpy as np


class Array:
    """``Array["T D"]`` reads: an array with axes T and D.

    At run time this is a plain annotation and costs nothing. While the tests run, every call is
    checked against it: the same letter must mean the same size within one call.

    >>> Array["T D"].__metadata__
    ('T D',)
    """

    def __class_getitem__(cls, axes: str):
        return Annotated[np.ndarray, axes]
