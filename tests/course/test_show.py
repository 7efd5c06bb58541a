"""Pictures: their words can be replaced, and each says in words what it shows."""

import numpy as np
import pytest
from classroom import show

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    """No window, where there is a screen; the figure of the last picture."""
    monkeypatch.setattr(plt, "show", lambda: None)
    yield plt.gcf
    plt.close("all")


def test_labels_are_looked_up_whole_and_with_what_the_lesson_fills_in():
    labels = {"row": "wiersz", "block {}, head {}": "blok {}, głowica {}", "a+b (c)": "d"}
    found = show.Labels(labels)
    texts = {
        "row": "wiersz", "rows": "rows", "block 3, head 12": "blok 3, głowica 12", "a+b (c)": "d",
        "aab (c)": "aab (c)",
    }  # fmt: skip
    assert {text: found.translated(text) for text in texts} == texts
    assert found.asked["row"] == "row" and found.asked["rows"] is None
    assert found.asked["block 3, head 12"] == "block {}, head {}"


def test_words_are_translated_and_tokens_stay(shown, monkeypatch):
    monkeypatch.setattr(show.base, "before_showing", [show.Labels({"row": "wiersz"})])
    show.tokens(["row"], [7])
    assert [text.get_text() for text in shown().axes[0].texts] == ["row", "7"]
    show.matrix(np.eye(2), ("row", "T"), title="row")
    (place, _) = shown().axes
    assert (place.get_ylabel(), place.get_title(loc="left")) == ("wiersz", "wiersz")
