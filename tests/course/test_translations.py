"""Lessons in other languages: a catalogue, what it lacks, and the catalogues of the project."""

import copy
import json

import nbformat
import pytest

from tests.course.test_build import NOTEBOOKS, build, lesson, pages  # noqa: F401 (a fixture)

polib, translate = pytest.importorskip("polib"), pytest.importorskip("translate")
CATALOGUES = sorted(NOTEBOOKS.glob("translations/*/*.po"))
SOURCES = {path.stem: path for path in NOTEBOOKS.glob("source/[0-9]*.py")}

TINY = """\
# %% [markdown] key="title"
# # Rows
# A row has $D$ numbers.

# %% key="picture"
import numpy as np
from classroom import show

show.matrices({f"block {i}": np.eye(3) for i in range(2)}, ("row", "T"), rows=["size", "row", "x"])

# %% [markdown] key="end"
# The end.
"""
POLISH = """\
#
msgid ""
msgstr ""
"Language: pl\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

msgctxt "title"
msgid ""
"# Rows\\n"
"A row has $D$ numbers."
msgstr ""
"# Wiersze\\n"
"\\n"
"Wiersz ma $D$ liczb."

msgctxt "end"
msgid "The end."
msgstr "Koniec."

msgid "block {}"
msgstr "blok {}"

msgid "row"
msgstr "wiersz"
"""


RUNS = {}  # what a page gave, by all that it holds


@pytest.fixture(autouse=True)
def equal_pages_run_once(monkeypatch):
    """A kernel takes a second or two; here it matters what is made of its outputs."""
    execute = pages.execute

    def once(page, folder, name, model=None):
        key = nbformat.writes(page), name
        if key not in RUNS:
            RUNS[key] = execute(page, folder, name, model)
        return copy.deepcopy(RUNS[key])

    monkeypatch.setattr(pages, "execute", once)


@pytest.fixture
def polish(lesson, tmp_path):  # noqa: F811
    """The file of a catalogue beside a tiny lesson, and a function that runs the builder."""
    path = tmp_path / "translations/pl/01_tiny.po"
    path.parent.mkdir(parents=True)
    path.write_text(POLISH)
    return path, lambda *argv, text=TINY: lesson(text, *argv)


def sources(path):
    return [cell["source"] for cell in json.loads(path.read_text())["cells"]]


# --- a catalogue is a file of gettext ---


def test_writing_changes_nothing_that_was_read(polish):
    path, _ = polish
    translate.write(translate.read(path), path)
    assert path.read_text() == POLISH


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Text\n", "Syntax error in po file 01_tiny.po (line 1)"),
        ('msgid "row"\nmsgstr "wiersz"\n\nmsgid "row"\nmsgstr "rząd"\n', "already exists"),
        ('msgctxt "a"\nmsgid "1"\nmsgstr ""\n\nmsgctxt "a"\nmsgid "2"\nmsgstr ""\n',
         "a is there 2 times"),
        ('msgid "row {}"\nmsgstr "wiersz"\n',
         "label 'row {}' and its translation differ in {}"),
        ('msgctxt "a"\nmsgid "It is {{ x :.2f }}."\nmsgstr "To {{ y :.2f }}."\n',
         "a and its translation differ in {{ }}"),
    ],
)  # fmt: skip
def test_a_catalogue_that_is_wrong_is_named_in_one_line(polish, capsys, text, says):
    path, run = polish
    path.write_text(text)
    assert run("--language", "pl", "--check") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: pl/01_tiny.po: ") and says in error
    assert error.count("\n") == 1 and str(path.parent) not in error


# --- a lesson that is built with it ---


@pytest.mark.slow
def test_a_lesson_is_built_in_two_languages_with_the_same_code(polish, capsys):
    path, run = polish
    assert run() == run("--language", "pl") == run("--check") == 0
    english, other = (
        json.loads(each.read_text())["cells"]
        for each in (path.parents[2] / "01_tiny.ipynb", path.with_suffix(".ipynb"))
    )
    assert [cell["id"] for cell in english] == [cell["id"] for cell in other]
    assert english[1]["source"] == other[1]["source"]
    assert english[1]["outputs"] != other[1]["outputs"]  # the picture's words
    assert ["".join(cell["source"]) for cell in other if cell["cell_type"] == "markdown"] == [
        "# Wiersze\n\nWiersz ma $D$ liczb.",
        "Koniec.",
    ]
    assert run("--list", "--language", "pl") == 0
    assert capsys.readouterr().out == "pl/01_tiny\n"


@pytest.mark.slow
def test_a_translation_is_stale_after_a_change_of_the_english(polish, capsys):
    path, run = polish
    changed = TINY.replace("The end.", "The very end.")
    assert run("--language", "pl") == 0
    assert run("--language", "pl", "--check", text=changed) == 1
    assert capsys.readouterr().out == "pl/01_tiny: end is stale, end changed\n"
    assert run("--language", "pl", text=changed) == 1
    assert capsys.readouterr().out == "pl/01_tiny: end is stale\n"
    assert "".join(sources(path.with_suffix(".ipynb"))[-1]) == "The very end."
    assert run("--translate", "pl", "01", "--accept", "end", text=changed) == 0
    assert path.read_text() == POLISH.replace("The end.", "The very end.")
    assert run("--language", "pl", "--check", text=changed) == 1
    assert capsys.readouterr().out == "pl/01_tiny: end changed\n"  # to build again


@pytest.mark.slow
def test_what_was_made_from_another_english_becomes_fuzzy_and_stays_stale(polish, capsys):
    path, run = polish
    changed = TINY.replace("The end.", "The very end.")
    for _ in range(2):  # also when it is fuzzy already
        assert run("--translate", "pl", "01", text=changed) == 1
        assert capsys.readouterr().out == "pl/01_tiny: end is stale\n"
        end = translate.texts(translate.read(path))["end"]
        assert (end.msgid, end.msgstr, end.fuzzy) == ("The very end.", "Koniec.", True)
        assert end.previous_msgid == "The end."


@pytest.mark.slow
def test_what_is_missing_or_left_over_is_said(polish, capsys):
    path, run = polish
    catalogue = POLISH.replace('"end"', '"old"').partition('msgid "block {}"')[0]
    labels = 'msgid "T"\nmsgstr "T"\n\nmsgid "head"\nmsgstr "głowica"\n'
    path.write_text(catalogue + labels)
    assert run("--language", "pl") == 1
    says = "old is no text of the lesson, end is not translated, "
    says += "picture text 'row' and 2 more are not translated, no picture says 'head'"
    assert capsys.readouterr().out == f"pl/01_tiny: {says}\n"


@pytest.mark.slow
def test_a_catalogue_is_made_and_refreshed(polish, capsys):
    path, run = polish
    path.unlink()
    assert run("--translate", "pl", "01") == 1
    assert capsys.readouterr().out == "pl/01_tiny: title and 4 more are not translated\n"
    fresh = translate.read(path)
    assert [*translate.texts(fresh)] == ["title", "end"]
    assert translate.labels(fresh) == {"row": "", "block 0": "", "block 1": ""}
    text = path.read_text().replace('"row"\nmsgstr ""', '"row"\nmsgstr "wiersz"')
    path.write_text(text.replace('"end"', '"old"'))
    assert run("--translate", "pl", "01", text=TINY.replace("# A row", "# Every row")) == 1
    fresh = translate.read(path)
    assert translate.texts(fresh)["title"].msgid == "# Rows\nEvery row has $D$ numbers."
    assert [*translate.texts(fresh)] == ["title", "end"]
    assert [entry.msgctxt for entry in fresh.obsolete_entries()] == ["old"]  # not lost
    assert translate.labels(fresh) == {"row": "wiersz", "block 0": "", "block 1": ""}


REFUSED = {
    ("--language", "de", "01"): "01_tiny has no catalogue de/01_tiny.po: see --translate",
    ("--language", "de"): "nothing is translated into 'de' (there are: pl)",
    ("--translate", "de"): "begin with: --translate de and the name of a lesson",
    ("--language", "../../elsewhere"): "'../../elsewhere' names no language",
    ("--translate", "/tmp", "01"): "'/tmp' names no language",
    ("--translate", "..", "01"): "'..' names no language",
    ("--accept", "end"): "--accept goes with --translate and a lesson",
    ("--translate", "pl", "02"): "no lesson '02'",
}


@pytest.mark.parametrize("argv", REFUSED, ids=" ".join)
def test_a_command_without_a_catalogue_language_or_lesson_is_refused(polish, capsys, argv):
    with pytest.raises(SystemExit) as stopped:
        polish[1](*argv)
    assert stopped.value.code == 2 and REFUSED[argv] in capsys.readouterr().err


@pytest.mark.slow
def test_only_what_is_there_can_be_accepted(polish, capsys):
    assert polish[1]("--translate", "pl", "01", "--accept", "ending") == 1
    assert "nothing to accept: ending" in capsys.readouterr().err


# --- the catalogues of the project ---


@pytest.mark.parametrize(
    "catalogue", CATALOGUES, ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_catalogue_is_complete_and_fresh(catalogue):
    notebook = catalogue.with_suffix(".ipynb")
    assert build.check(SOURCES[catalogue.stem], notebook, catalogue=catalogue) == []
    assert str(translate.read(catalogue)) == catalogue.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "catalogue", CATALOGUES, ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_code_is_the_same_in_every_language(catalogue):
    english, other = (
        [
            (cell["id"], cell["cell_type"], cell["cell_type"] == "code" and cell["source"])
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        ]
        for path in (NOTEBOOKS / f"{catalogue.stem}.ipynb", catalogue.with_suffix(".ipynb"))
    )
    assert english == other


@pytest.mark.slow
@pytest.mark.parametrize(
    "catalogue", CATALOGUES, ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_translated_lesson_runs_and_has_all_its_labels(catalogue):
    notebook = catalogue.with_suffix(".ipynb")
    assert build.check(SOURCES[catalogue.stem], notebook, run=True, catalogue=catalogue) == []


def test_every_translated_notebook_has_a_catalogue():
    built = {path.with_suffix(".po") for path in NOTEBOOKS.glob("translations/*/*.ipynb")}
    assert built <= set(CATALOGUES)
