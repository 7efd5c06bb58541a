"""Files damaged in every way: cut off, bytes changed, a piece repeated or lost."""

import pytest

pytest.importorskip("hypothesis")
from hypothesis import strategies as st  # noqa: E402


@st.composite
def damaged(draw, whole: bytes) -> bytes:
    """``whole`` after one accident, or two."""
    for _ in range(draw(st.integers(1, 2))):
        start, end = sorted((draw(places(whole)), draw(places(whole))))
        accident = draw(st.sampled_from(["cut", "bit", "byte", "repeat", "lose"]))
        if accident == "cut":
            whole = whole[:start]
        elif accident in ("bit", "byte") and start < len(whole):
            changed = whole[start] ^ 1 << draw(st.integers(0, 7))
            changed = changed if accident == "bit" else draw(st.integers(0, 255))
            whole = whole[:start] + bytes([changed]) + whole[start + 1 :]
        elif accident == "repeat":
            whole = whole[:end] + whole[start:]
        elif accident == "lose":
            whole = whole[:start] + whole[end:]
    return whole


def places(whole: bytes):
    """Somewhere; more often near one of the ends, where headers and tables are."""
    near = min(1000, len(whole))
    return st.one_of(
        st.integers(0, len(whole)),
        st.integers(0, near),
        st.integers(len(whole) - near, len(whole)),
    )
