"""Lessons in other languages: a catalogue, what it lacks, and the catalogues of the project."""

import json
import subprocess
import sys

import pytest

from tests.course.test_build import NOTEBOOKS, build, lesson  # noqa: F401 (a fixture)

translate = build.translate
CATALOGUES = sorted(NOTEBOOKS.glob("translations/*/*.md"))
SOURCES = {path.stem: path for path in NOTEBOOKS.glob("source/[0-9]*.py")}

TINY = """\
# %% [markdown] key="title"
# # Rows
# A row has $D$ numbers.

# %% key="picture"
import numpy as np

from llama_np import show

show.matrices({f"block {i}": np.eye(3) for i in range(2)}, ("row", "T"), rows=["size", "row", "x"])

# %% [markdown] key="end"
# The end.
"""
MADE_FROM = [translate.digest(text) for text in ("# Rows\nA row has $D$ numbers.", "The end.")]
POLISH = f"""\
<!-- title {MADE_FROM[0]} -->
# Wiersze

Wiersz ma $D$ liczb.

<!-- end {MADE_FROM[1]} -->
Koniec.

<!-- labels -->
block {{}} => blok {{}}
row => wiersz
"""


@pytest.fixture
def polish(lesson, tmp_path):  # noqa: F811
    """The file of a catalogue beside a tiny lesson, and a function that runs the builder."""
    path = tmp_path / "translations/pl/01_tiny.md"
    path.parent.mkdir(parents=True)
    path.write_text(POLISH)
    return path, lambda *argv, text=TINY: lesson(text, *argv)


def sources(path):
    return [cell["source"] for cell in json.loads(path.read_text())["cells"]]


# --- a catalogue is text ---


@pytest.mark.parametrize(
    "catalogue",
    [
        translate.Catalogue(),
        translate.parse(POLISH),
        translate.Catalogue(
            {"a": translate.Section("0" * 8, "Text\n\n--- <b>", done=False)},
            {"token\nids": "id\ntokenów", "a = b": "", "x {}, {}": "{} i {}"},
        ),
    ],
)
def test_a_catalogue_is_read_as_it_was_written(catalogue):
    assert translate.parse(str(catalogue)) == catalogue


def test_writing_changes_nothing_that_was_read():
    assert str(translate.parse(POLISH)) == POLISH


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Text\n", "text before the first section: 'Text'"),
        ("<!-- title -->\nText\n", "not understood: <!-- title -->"),
        ("<!-- title 12 -->\nText\n", "not understood: <!-- title 12 -->"),
        ("<!-- a 01234567 done -->\nText\n", "not understood: <!-- a 01234567 done -->"),
        ("<!-- a 01234567 -->\n\n<!-- b 01234567 -->\nText", "a has no text"),
        ("<!-- a 01234567 -->\n1\n<!-- a 01234567 -->\n2\n", "a is there twice"),
        ("<!-- labels -->\nrow = wiersz\n", "no label of the form English => translated: 'row = "),
        ("<!-- labels -->\n=> wiersz\n", "no label of the form English => translated: '=> "),
        ("<!-- labels -->\na => b => c\n", "no label of the form English => translated: 'a => "),
        ("<!-- labels -->\nrow =>\nrow => wiersz\n", "label 'row' is there twice"),
        ("<!-- labels -->\nrow {} => wiersz\n", "label 'row {}' and its translation differ in {}"),
    ],
)
def test_a_catalogue_that_is_wrong_is_named_in_one_line(polish, capsys, text, says):
    path, run = polish
    path.write_text(text)
    assert run("--language", "pl", "--check") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: pl/01_tiny.md: ") and says in error
    assert error.count("\n") == 1


# --- a lesson that is built with it ---


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
    assert path.read_text() == POLISH.replace(MADE_FROM[1], translate.digest("The very end."))
    assert run("--language", "pl", "--check", text=changed) == 1
    assert capsys.readouterr().out == "pl/01_tiny: end changed\n"  # to build again


def test_nothing_is_accepted_unasked(polish, tmp_path):
    (tmp_path / "tiny.py").write_text(TINY.replace("The end.", "The very end."))
    lesson = build.read_source(tmp_path / "tiny.py")  # noqa: F811
    catalogue = translate.parse(POLISH)
    assert translate.refresh(lesson, catalogue) == catalogue
    assert translate.refresh(lesson, catalogue, accept=["end"]) != catalogue


def test_what_is_missing_or_left_over_is_said(polish, capsys):
    path, run = polish
    old = f"<!-- old {MADE_FROM[1]} -->\nStary.\n\n<!-- labels -->\nT => T\nhead => głowica\n"
    path.write_text(POLISH.replace("end", "old").split("<!-- old")[0] + old)
    assert run("--language", "pl") == 1
    says = "old is no text of the lesson, end is not translated, "
    says += "picture text 'row' and 2 more are not translated, no picture says 'head'"
    assert capsys.readouterr().out == f"pl/01_tiny: {says}\n"


def test_a_catalogue_is_made_and_refreshed(polish, capsys):
    path, run = polish
    path.unlink()
    assert run("--translate", "pl", "01") == 1
    assert capsys.readouterr().out == "pl/01_tiny: title and 4 more are not translated\n"
    assert path.read_text().startswith(f"<!-- title {MADE_FROM[0]} untranslated -->\n# Rows\n")
    assert path.read_text().endswith("\n<!-- labels -->\nrow =>\nblock 0 =>\nblock 1 =>\n")
    path.write_text(path.read_text().replace("row =>", "row => wiersz").replace("end", "old"))
    assert run("--translate", "pl", "01", text=TINY.replace("# A row", "# Every row")) == 1
    fresh = translate.read(path)
    assert [*fresh.sections] == ["title", "end", "old"]
    assert fresh.sections["title"].text == "# Rows\nEvery row has $D$ numbers."
    assert fresh.labels == {"row": "wiersz", "block 0": "", "block 1": ""}


@pytest.mark.parametrize(
    "argv", [["--language", "de", "01"], ["--accept", "end"], ["--translate", "pl", "02"]]
)
def test_a_command_without_a_catalogue_or_lesson_is_refused(polish, argv):
    with pytest.raises(SystemExit):
        polish[1](*argv)


def test_only_what_is_there_can_be_accepted(polish, capsys):
    assert polish[1]("--translate", "pl", "01", "--accept", "ending") == 1
    assert "nothing to accept: ending" in capsys.readouterr().err


# --- the words of a picture ---


def test_labels_are_looked_up_whole_and_with_what_the_lesson_fills_in(tmp_path):
    labels = {"row": "wiersz", "block {}, head {}": "blok {}, głowica {}", "a+b (c)": "d"}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    program = (
        "import matplotlib; matplotlib.use('Agg')\n"
        "from llama_np import show\n"
        "import matplotlib.pyplot as plt\n"
        "for each in ('row', 'rows', 'block 3, head 12', 'a+b (c)', 'aab (c)'):\n"
        "    print(ascii(show.translated(each)))\n"
        "plt.show = lambda: [print(t.get_text()) for t in plt.gca().texts]\n"
        "show.tokens(['row'], [7])\n"
        "plt.gcf().axes[0].set_title('row'); show._show(); print(plt.gca().get_title())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        cwd=NOTEBOOKS.parent, env=build.make_environment(tmp_path, None, {"labels": labels})
        | {"MPLBACKEND": "agg"},
    )  # fmt: skip
    says = ["'wiersz'", "'rows'", "'blok 3, g\\u0142owica 12'", "'d'", "'aab (c)'"]
    assert done.stdout.split("\n")[:-1] == [*says, "row", "7", "row", "7", "wiersz"]


def test_every_picture_passes_through_the_labels():
    code = (NOTEBOOKS.parent / "notebooks/classroom/show.py").read_text()
    assert code.count("plt.show()") == 1, "end a picture with _show(), which translates its words"


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


@pytest.mark.lessons
@pytest.mark.parametrize(
    "catalogue", CATALOGUES, ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_translated_lesson_runs_and_has_all_its_labels(catalogue):
    notebook = catalogue.with_suffix(".ipynb")
    assert build.check(SOURCES[catalogue.stem], notebook, run=True, catalogue=catalogue) == []


def test_every_translated_notebook_has_a_catalogue():
    built = {path.with_suffix(".md") for path in NOTEBOOKS.glob("translations/*/*.ipynb")}
    assert built <= set(CATALOGUES)
