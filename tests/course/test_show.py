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


SAID = {
    "One. x: key (a, b). y: query (c, d).": lambda: show.matrix(
        np.eye(2), ("query", "key"), rows=["c", "d"], columns=["a", "b"], title="One"
    ),
    "One. x: key. y: query. Two. x: key.": lambda: show.matrices(
        {"One": np.eye(2), "Two": np.eye(2)}, ("query", "key")
    ),
    "Loss. x: step. y: nats. train, held out.": lambda: show.curves(
        np.arange(3), {"train": np.arange(3), "held out": np.arange(3)}, ("step", "nats"),
        title="Loss",
    ),
    "Sizes. x: norm. y: (a, b). 1.000, 2.000.": lambda: show.bars(
        np.array([1.0, 2.0]), ["a", "b"], "norm", title="Sizes"
    ),
    "Once, 12, upon, 7.": lambda: show.tokens(["Once", "upon"], [12, 7]),
    "one block, 3 times": lambda: show.model_map(3),
}  # fmt: skip


@pytest.mark.parametrize("said", SAID)
def test_a_picture_says_what_it_shows(shown, said):
    SAID[said]()
    assert said in show.base.describe(shown())


def test_a_long_list_of_names_is_cut_short():
    assert show.base.listed(["a"] * 30) == "a, " * 23 + "a (+6)"
