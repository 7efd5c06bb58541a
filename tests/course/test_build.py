"""The notebook builder on tiny lessons, and every lesson of the project against its notebook."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

for needed in ("jupytext", "nbclient", "ipykernel", "polib"):
    pytest.importorskip(needed)
nbformat = pytest.importorskip("nbformat")

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SOURCES = sorted((NOTEBOOKS / "source").glob("[0-9]*.py"))
LONG = ("13b_", "16_", "16b_", "16c_", "17_", "18_", "19_")  # they train, most for about a minute

build, pages = pytest.importorskip("build"), pytest.importorskip("pages")

LESSON = """\
# %% [markdown] key="title"
# # A lesson
# It has $\\frac{1}{2}$ a formula.

# %% key="numbers"
# cat is a word that starts a shell command, and this is a comment
import os
import time

import numpy as np

import llama_np

print(np.arange(3), "LLAMA_MODEL" in os.environ)
print({"scores", "masked", "pattern", "mix", "gate", "up", "down"})

# %% key="picture"
import matplotlib.pyplot as plt

print("first", flush=True)
plt.imshow(np.eye(3))
print("second")

# %% key="how-long" tags=["timing"]
print(time.time_ns())
"""


@pytest.fixture
def lesson(tmp_path):
    """Write a lesson and return a function that runs the builder where it lies."""
    (tmp_path / "source").mkdir()

    def run(text, *argv):
        (tmp_path / "source/01_tiny.py").write_text(text)
        return build.main(list(argv), tmp_path)

    run.notebook = tmp_path / "01_tiny.ipynb"
    return run


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A lesson built once, in a folder that no test changes."""
    folder = tmp_path_factory.mktemp("lessons")
    (folder / "source").mkdir()
    (folder / "source/01_tiny.py").write_text(LESSON)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLAMA_MODEL", "/nowhere")
        assert build.main([], folder) == 0
    return folder / "01_tiny.ipynb"


def without_timing(path):
    """A notebook's JSON with the outputs of its timing cells taken out."""
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        if "timing" in cell["metadata"].get("tags", []):
            cell["outputs"] = []
    return json.dumps(notebook)


@pytest.mark.slow
def test_a_built_notebook_is_what_the_source_says(built):
    notebook = json.loads(built.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"] == pages.METADATA
    title, numbers, picture, timing = notebook["cells"]
    keys = ["title", "numbers", "picture", "how-long"]
    assert [cell["id"] for cell in notebook["cells"]] == keys
    metadata = [{}, {}, {}, {"tags": ["timing"]}]
    assert [cell["metadata"] for cell in notebook["cells"]] == metadata
    assert "".join(title["source"]) == "# A lesson\nIt has $\\frac{1}{2}$ a formula."
    assert numbers["source"][0].startswith("# cat is a word")
    assert numbers["outputs"][0]["text"][0] == "[0 1 2] False\n"
    assert [o["output_type"] for o in picture["outputs"]] == ["stream", "display_data"]
    assert b"Software" not in base64.b64decode(picture["outputs"][1]["data"]["image/png"])
    assert timing["execution_count"] == 3


@pytest.mark.slow
def test_building_twice_gives_the_same_bytes(built, lesson):
    assert lesson(LESSON) == 0
    assert without_timing(lesson.notebook) == without_timing(built)
    assert not list(lesson.notebook.parent.glob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("formula", "equation", "title changed"),
        ('"how-long"', '"how-fast"', "how-fast is new, how-long is gone"),
        (' tags=["timing"]', "", "how-long changed"),
        ("# %% key=", "# %% [markdown] key=", "numbers changed, picture changed, how-long changed"),
    ],
)
def test_check_names_the_cells_that_are_stale(built, lesson, capsys, old, new, says):
    lesson.notebook.write_bytes(built.read_bytes())
    assert lesson(LESSON, "--check") == 0
    assert lesson(LESSON.replace(old, new), "--check") == 1
    assert capsys.readouterr().out == f"01_tiny: {says}\n"
    assert lesson.notebook.read_bytes() == built.read_bytes()


@pytest.mark.slow
def test_check_sees_the_order_and_a_notebook_that_is_missing_or_broken(built, lesson, capsys):
    assert lesson(LESSON, "--check") == 1
    title, *code = LESSON.split("# %% key")
    lesson.notebook.write_bytes(built.read_bytes())
    assert lesson("# %% key".join([title, code[0], code[2], code[1]]), "--check", "01") == 1
    for broken in ("<<<<<<< HEAD", "{}"):
        lesson.notebook.write_text(broken)
        assert lesson(LESSON, "--check", "01_tiny") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["01_tiny: not built yet", "01_tiny: the order changed"]
    assert lines[2:] == ["01_tiny: not a notebook that can be read"] * 2


@pytest.mark.parametrize("tags, said", [(["timing"], []), ([], ["a quotes something else"])])
def test_a_text_may_quote_another_time(tags, said):
    def page(text):
        cell = nbformat.v4.new_markdown_cell(text, id="a", metadata={"tags": tags})
        return nbformat.v4.new_notebook(cells=[cell])

    assert pages.compare_outputs(page("It took 1.3 s."), page("It took 1.2 s.")) == said


@pytest.mark.slow
def test_check_execute_compares_outputs_but_not_those_of_timing_cells(built, lesson, capsys):
    text = built.read_text()
    lesson.notebook.write_text(text)
    assert lesson(LESSON, "--check", "--execute") == 0
    lesson.notebook.write_text(text.replace("[0 1 2]", "[0 1 3]"))
    assert lesson(LESSON, "--check") == 0
    assert lesson(LESSON, "--check", "--execute") == 1
    assert capsys.readouterr().out == "01_tiny: numbers prints something else\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import warnings\nwarnings.warn('a warning')", "wrote to stderr"),
        ("object()", "prints a memory address"),
        ("import llama_np\nprint(llama_np.__path__)", "prints a path of this machine"),
        ("import os\nos._exit(1)", "died"),
    ],
)
def test_a_cell_that_goes_wrong_leaves_the_old_notebook(lesson, capsys, code, says):
    lesson.notebook.write_text("old")
    assert lesson(f'# %% key="fine"\n1\n\n# %% key="wrong"\n{code}\n') == 1
    error = capsys.readouterr().err
    assert error.startswith("error: 01_tiny: wrong: ") and says in error
    assert "Traceback" not in error
    assert lesson.notebook.read_text() == "old"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('# %% key="a"\n1\n# %% key="a"\n2\n', "01_tiny.py: cell 2 ('2'): key 'a' is taken"),
        ("# %% [markdown]\n# Text\n", "01_tiny.py: cell 1 ('Text'): no key"),
        ('x = 1\n# %% key="a"\n2\n', "01_tiny.py: cell 1 ('x = 1'): no key"),
        ('# %% key="A b"\n1\n', "key 'A b' is no string of"),
        ("# %% key=3\n1\n", "key 3 is no string of"),
        ('# %% key="a" tags="timing"\n1\n', "tags are a list"),
        ("# %% key=bare\n1\n", "header not understood"),
        ('# %% [markdwon] key="a"\n# 1\n', "header not understood: title = '[markdwon]'"),
        ('# %% [raw] key="a"\n# 1\n', "header not understood: raw"),
    ],
)
def test_a_header_that_is_wrong_is_named(lesson, capsys, text, says):
    assert lesson(text, "--check") == 1
    assert says in capsys.readouterr().err
    assert lesson(text) == 1
    assert not lesson.notebook.exists()


@pytest.mark.slow
def test_no_tag_lets_an_error_into_a_notebook(lesson):
    assert lesson('# %% key="a" tags=["raises-exception"]\n1 / 0\n') == 1
    assert not lesson.notebook.exists()


@pytest.mark.slow
def test_the_model_reaches_the_kernel(lesson, tmp_path):
    text = (
        '# %% key="a"\nimport os\nfrom pathlib import Path\n\nPath(os.environ["LLAMA_MODEL"]).name'
    )
    assert lesson(text, "--model", str(tmp_path / "my-llama")) == 0
    assert "my-llama" in lesson.notebook.read_text()


QUOTING = """\
# %% key="numbers"
losses = [2.0, 0.51234]

# %% [markdown] key="quoted"
# It falls from {{ losses[0] }} to {{ losses[-1] :.2f }}, $x_{{i}}$ stays.
# {{ claim: losses[-1] < losses[0] }}
# The end.

# %% key="later"
losses.clear()
"""


def quoted(path):
    return "".join(json.loads(path.read_text())["cells"][1]["source"])


@pytest.mark.slow
def test_prose_quotes_what_the_code_before_it_has_computed(lesson, capsys):
    assert lesson(QUOTING) == 0
    assert quoted(lesson.notebook) == "It falls from 2.0 to 0.51, $x_{{i}}$ stays.\nThe end."
    counts = [
        cell.get("execution_count") for cell in json.loads(lesson.notebook.read_text())["cells"]
    ]
    assert counts == [1, None, 2]
    assert lesson(QUOTING, "--check", "--execute") == 0
    lesson.notebook.write_text(lesson.notebook.read_text().replace("0.51,", "0.52,"))
    assert lesson(QUOTING, "--check") == 0
    assert lesson(QUOTING, "--check", "--execute") == 1
    assert lesson(QUOTING.replace("falls", "fell"), "--check") == 1
    said = capsys.readouterr().out
    assert said == "01_tiny: quoted quotes something else\n01_tiny: quoted changed\n"


@pytest.mark.slow
def test_a_claim_that_is_false_stops_the_build(lesson, capsys, tmp_path):
    false = QUOTING.replace("claim: losses[-1] <", "claim: losses[-1] >")
    assert lesson(false) == 1 and not lesson.notebook.exists()
    said = "error: 01_tiny: quoted: it is not true that losses[-1] > losses[0]\n"
    assert capsys.readouterr().err.endswith(said)
    assert lesson(false, "--model", str(tmp_path)) == 0  # on another model it is a note
    note = "*(On this model that does not hold: `losses[-1] > losses[0]`.)*"
    assert quoted(lesson.notebook).splitlines()[1].strip() == note


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{ nothing }}", "quoted: format(nothing, ''): NameError: name 'nothing' is not defined"),
        ("{{ losses[0] :.2q }}", "quoted: format(losses[0], '.2q'): ValueError"),
        ("{{ losses\n# }}", "cell 2 ('It falls {{ losses'): {{ without }} on the same line"),
    ],
)
def test_an_expression_that_fails_is_named(lesson, capsys, text, says):
    assert lesson(QUOTING.replace("from {{ losses[0] }}", text)) == 1
    assert says in capsys.readouterr().err and not lesson.notebook.exists()


@pytest.mark.slow
def test_a_picture_carries_an_alt_text(lesson):
    code = "import numpy as np\nfrom classroom import show\n\n"
    code += 'show.matrix(np.eye(2), ("query", "key"), title="One")\nprint("behind it")'
    assert lesson(f'# %% key="a"\n{code}\n') == 0
    (cell,) = json.loads(lesson.notebook.read_text())["cells"]
    picture, text = cell["outputs"]
    assert picture["metadata"]["image/png"]["alt"] == "One. x: key. y: query."
    assert "image/png" in picture["data"] and text["text"] == ["behind it\n"]


def test_names_and_list(lesson, capsys):
    assert lesson(LESSON, "--list") == 0
    assert capsys.readouterr().out == "01_tiny\n"
    for argv in (["02"], ["--execute"]):
        with pytest.raises(SystemExit):
            lesson(LESSON, *argv)
    assert "no lesson '02'; there are: 01_tiny" in capsys.readouterr().err


def test_a_page_that_goes_on_from_a_lesson_has_a_letter_behind_its_number(tmp_path, capsys):
    (tmp_path / "source").mkdir()
    for stem in ("01_tiny", "01b_more", "02_next"):
        (tmp_path / f"source/{stem}.py").write_text(LESSON)
    for names, listed in (
        ([], "01_tiny 01b_more 02_next"),
        (["01b"], "01b_more"),
        (["01"], "01_tiny"),
    ):
        assert build.main([*names, "--list"], tmp_path) == 0
        assert capsys.readouterr().out.split() == listed.split()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_notebook_is_built_from_its_source(source):
    assert build.check(source, NOTEBOOKS / f"{source.stem}.ipynb") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [pytest.param(s, marks=[pytest.mark.long] * s.stem.startswith(LONG)) for s in SOURCES],
    ids=lambda path: path.stem,
)
def test_every_lesson_runs_and_prints_what_is_stored(source):
    assert build.check(source, NOTEBOOKS / f"{source.stem}.ipynb", run=True) == []


def test_every_notebook_has_a_source():
    assert {p.stem for p in NOTEBOOKS.glob("*.ipynb")} <= {p.stem for p in SOURCES}


def test_what_is_missing_is_said_in_one_line():
    """A Python without any package: no traceback, wherever the first import fails."""
    bare = [sys.executable, "-I", "-S", str(NOTEBOOKS / "tools/build.py"), "--check"]
    done = subprocess.run(bare, capture_output=True, encoding="utf-8")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "pip install -r requirements.txt -r tests/requirements.txt" in done.stderr


def test_what_nobody_would_see_is_a_fault():
    assert "source(f) is not seen" in pages.unseen("source(f)\nprint(1)")
    assert pages.unseen("table([], [])\nsource(f)") is None
