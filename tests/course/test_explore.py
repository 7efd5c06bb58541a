"""Sliders: what a page keeps without them, and what a reader's choice does."""

import pytest
from classroom import explore
from classroom.explore import answer, beginning

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("jupytext")
pages = pytest.importorskip("pages")

LESSON = """# %% key="explored"
from classroom import explore, show
import numpy as np


def draw(sentence, block=2, temperature=0.5):
    if "dragon" in sentence:
        raise ValueError("there is no dragon\\nin any story")
    show.bars(np.array([block, temperature]), ["block", "temperature"], "chosen", title=sentence)
    print(sentence.split()[3], block, temperature)


explore(draw, sentence="Once upon a time", block=range(8), temperature=(0.1, 2.0))

# %% key="moved"
"""
REACH = """
from ipywidgets import FloatSlider, IntSlider, Text
from ipywidgets.widgets.widget import _instances

made = {each.description: each for each in _instances.values() if hasattr(each, "description")}
assert {name: type(each) for name, each in made.items() if name} == {
    "sentence": Text, "block": IntSlider, "temperature": FloatSlider
}
"""


def run(folder, moves="", lesson=LESSON):
    """The outputs of the cell that explores, after ``moves``, without sliders."""
    (folder / "01_tiny.py").write_text(lesson + (REACH + moves if moves else "1;\n"))
    page, _ = pages.execute(pages.read_source(folder / "01_tiny.py"), folder, "01_tiny")
    nbformat.validate(page)
    assert "widgets" not in page.metadata and "vnd.jupyter.widget" not in str(page)
    return page.cells[0].outputs


@pytest.mark.slow
def test_a_page_keeps_what_the_beginning_shows(tmp_path):
    picture, printed = run(tmp_path)
    assert picture.data["image/png"] and "Once upon a time" in picture.metadata["image/png"]["alt"]
    assert printed.data == {"text/plain": "time 2 0.5"}
    hidden = LESSON.replace("from", "import sys\n\nsys.modules['ipywidgets'] = None\nfrom", 1)
    assert run(tmp_path, lesson=hidden) == [picture, printed]  # to the byte, without the package


@pytest.mark.slow
def test_a_choice_replaces_the_picture(tmp_path):
    picture, printed = run(
        tmp_path, 'made["sentence"].value = "Tom had a boat"\nmade["block"].value = 7\n'
    )
    assert "Tom had a boat" in picture.metadata["image/png"]["alt"]
    assert printed.data == {"text/plain": "boat 7 0.5"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sentence", "says"),
    [
        ("  ", "sentence is empty: write at least one word"),
        ("a dragon", "there is no dragon in any story"),
        ("too short", "IndexError: list index out of range"),
    ],
)
def test_what_a_reader_cannot_mean_is_one_line(tmp_path, sentence, says):
    wrong = f'made["sentence"].value = "{sentence}"\n'
    outputs = run(tmp_path, wrong)
    assert [output.data for output in outputs] == [{"text/plain": says}, {"text/plain": ""}]


@pytest.mark.slow
def test_what_went_wrong_is_forgotten_with_the_next_choice(tmp_path):
    wrong, right = (f'made["sentence"].value = "{s}"\n' for s in ("a dragon", "Tom had a boat"))
    picture, printed = run(tmp_path, wrong + right)
    assert picture.data["image/png"] and printed.data == {"text/plain": "boat 2 0.5"}


def draw(sentence, head=3):
    if "dragon" in sentence:
        raise ValueError("no dragon")
    print(sentence, head)


@pytest.mark.parametrize(
    ("sentence", "says"),
    [(" ", "sentence is empty: write at least one word"), ("dragon", "no dragon")],
)
def test_a_beginning_that_cannot_be_is_one_line_too(capsys, sentence, says):
    """... on stderr, where the builder refuses it."""
    explore(draw, sentence=sentence, head=range(8))
    assert capsys.readouterr() == ("", f"{says}\n")


def test_numbers_that_are_not_offered_and_faults_of_the_lesson(capsys):
    explore(draw, sentence="Tom", head=range(3))
    assert capsys.readouterr().err == "head is 3: choose 0 to 2\n"
    with pytest.raises(TypeError):  # its author is to see where
        explore(lambda sentence: len(3), sentence="Tom")


def test_outside_a_notebook_it_draws_the_beginning(capsys):
    explore(draw, sentence="Tom", head=range(8))
    assert capsys.readouterr().out == "Tom 3\n"


def test_a_choice_begins_at_the_default_else_at_the_lowest():
    assert beginning(draw, "head", range(8)) == 3
    assert beginning(lambda head: head, "head", range(2, 8)) == 2
    assert beginning(lambda much: much, "much", (0.1, 2.0)) == 0.1


def test_half_a_picture_is_not_left_behind():
    plt = pytest.importorskip("matplotlib.pyplot")

    def half(sentence):
        plt.figure()
        raise KeyError(sentence)

    assert answer(half, {"sentence": "Tom"}, {"sentence": ""}) == [
        ({"text/plain": "KeyError: 'Tom'"}, {})
    ]
    assert plt.get_fignums() == []
