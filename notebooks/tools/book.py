"""The course as a website, for ``build.py --site``: lays the pages out, calls Sphinx, checks links.

The pages keep the places that they have in the repository, so that a link from one to another
leads where it led. The notebooks are taken as they are, with their outputs; nothing runs again.
"""

import html
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import browser
import links
import nbformat
import slides
from classroom.microscope.answers import SENTENCE, answers
from classroom.microscope.offline import as_page
from classroom.microscope.products import HEAD, PRODUCTS
from classroom.microscope.state import requests_of
from classroom.start import pages as course_pages
from pages import NOTEBOOKS, ROOT, LessonError

from llama_np import LlamaConfig
from weights_tools import DOLL_HOUSE, load_model
from weights_tools.writing import new_folder

PAGES = Path(__file__).with_name("book_pages")  # what only the book has
NEEDS = ["sphinx", "myst_nb", "sphinx_book_theme", "jupyterlite_core", "jupyterlite_pyodide_kernel"]
GUIDE = "notebooks/TEACHING.md"
DOCUMENTS = ["*.md", "weights_tools/**/*.md", "tests/**/*.md"]  # README, model cards, ...
LIBRARY = {  # packages, and their modules in reading order
    "llama_np": [
        "axes", "config", "weights", "functional", "norm", "rope", "attention", "feed_forward",
        "cache", "model", "sampling", "tap",
    ],
    "llama_np.tokenizer": ["base", "bpe", "chat"],
    "llama_np.training": [
        "loss", "backward", "optimizer", "lora", "preference", "rewards", "autodiff",
    ],
    "llama_np.gpt2": ["weights", "model", "backward", "hybrid", "hybrid_backward"],
}  # fmt: skip
LANGUAGES = {"pl": "Polski"}  # what speakers call their language; others go by their code
FOLDERS = {"notebooks/exercises": "notebooks/exercises/index.md"}  # a link to a folder: its page
OPENED = {"b": 29, "h": 3, "p": "pattern"}  # in the microscope: a head that reads the girl
PAGE_OF_NOTEBOOKS = re.compile(r'(href="\.\./notebooks/[^"#?]*)\.(?:ipynb|md)')  # in the slides
LINK = re.compile(r"(?<=\]\()[^()\s<>\"]+(?:\([^()\s]*\))?[^()\s<>\"]*")  # may hold a pair ( )
CODE = re.compile(r"^(`{3,}|~{3,}).*?^\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)


class Part(NamedTuple):
    """A chapter of the book: its title, and its pages in reading order."""

    title: str
    pages: list[str]  # paths from the root of the repository


def contents() -> list[Part]:
    """The book's table of contents, out of what lies in the folder of notebooks."""

    def found(pattern: str) -> list[str]:
        return [path.relative_to(ROOT).as_posix() for path in sorted(NOTEBOOKS.glob(pattern))]

    lessons = found("[0-9]*.ipynb")
    model = [page for page in lessons if PurePosixPath(page).name < "13"]
    parts = [
        Part("How a Llama writes", model),
        Part("Where it comes from", lessons[len(model) :]),
        Part("Exercises", ["notebooks/exercises/index.md"]),
    ]
    for language in sorted({path.parent.name for path in NOTEBOOKS.glob("translations/*/*.ipynb")}):
        translated = found(f"translations/{language}/[0-9]*.ipynb")
        parts.append(Part(LANGUAGES.get(language, language), translated))
    parts.append(Part("For teachers", [GUIDE]))
    parts.append(Part("Programs and models", documents()))
    parts.append(Part("The library", [f"api/{package}.md" for package in LIBRARY]))
    return parts


def documents(root: Path = ROOT) -> list[str]:
    """What else is there to read, folder by folder; a link may lead to any of it."""
    found = [path for pattern in DOCUMENTS for path in sorted(root.glob(pattern))]
    names = [path.relative_to(root) for path in found]
    return [n.as_posix() for n in names if not any(part.startswith(".") for part in n.parts)]


def exercises() -> list[str]:
    """The pages below the page of exercises."""
    return [f"notebooks/{page}" for page in course_pages() if "/" in page]


# --- links ---


def lead(target: str, page: str, pages: Iterable[str]) -> tuple[str, str | None]:
    """Where a link of a page leads in the book, and the file that has to come along, if any.

    A page of the book is reached as in the repository, a folder by the page that stands for it, any
    other file is taken along. Raises ``LessonError`` for a link to what is not there.
    """
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or not parts.path:
        return target, None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), parts.path))
    path = FOLDERS.get(path, path)
    if path in pages:
        return relative(path, page) + (f"#{parts.fragment}" if parts.fragment else ""), None
    if not path.startswith("..") and (ROOT / path).is_file():
        return relative(path, page), path
    raise LessonError(f"{page}: a link to {target}, which is no page of the book and no file")


def relative(path: str, page: str) -> str:
    """The way from a page to a path, both seen from the root."""
    return posixpath.relpath(f"/{path}", f"/{posixpath.dirname(page)}")


def relink(text: str, page: str, pages: Iterable[str]) -> tuple[str, set[str]]:
    """A page's Markdown with its links as the book has them, and the files they need.

    What stands in code is no link.
    """
    files = set()

    def change(match: re.Match) -> str:
        target, file = lead(match[0], page, pages)
        files.update([file] if file else [])
        return target

    pieces, end = [], 0
    for code in CODE.finditer(text):
        pieces += [LINK.sub(change, text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*pieces, LINK.sub(change, text[end:])]), files


# --- laying out ---


def lay_out(stage: Path) -> None:
    """Write the book's sources into a folder, for Sphinx."""
    parts = contents()
    pages = [page for part in parts for page in part.pages] + exercises()
    known = {*pages, "index.md"}
    shutil.copy(PAGES / "conf.py", stage)
    (stage / "_static").mkdir()
    for file in ("book.css", "book.js"):
        shutil.copy(PAGES / file, stage / "_static")
    for page in pages:
        (stage / page).parent.mkdir(parents=True, exist_ok=True)
        if page.endswith(".ipynb"):
            notebook = nbformat.read(ROOT / page, as_version=4)
            files = prepare(notebook, page, known)
            nbformat.write(notebook, stage / page)
            keep(page, stage / "_extra")
        elif page.startswith("api/"):
            (stage / page).write_text(api(PurePosixPath(page).stem), encoding="utf-8")
            continue
        else:
            text = index() if page in FOLDERS.values() else read(page)
            text, files = relink(text, page, known)
            (stage / page).write_text(text, encoding="utf-8")
        for file in files:
            keep(file, stage)
    text, files = relink((PAGES / "index.md").read_text(encoding="utf-8"), "index.md", known)
    (stage / "index.md").write_text(text + toctrees(parts), encoding="utf-8")
    for file in files:
        keep(file, stage)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def keep(file: str, stage: Path) -> None:
    """Copy a file of the repository to its place in the book."""
    (stage / file).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / file, stage / file)


def toctrees(parts: list[Part]) -> str:
    """The table of contents, as Sphinx wants it."""
    return "".join(
        "\n```{toctree}\n:hidden:\n:caption: "
        + "\n".join([part.title, "", *(page.rsplit(".", 1)[0] for page in part.pages)])
        + "\n```\n"
        for part in parts
    )


EXERCISES = """\
# Exercises

Each belongs to the lesson of its number. At its end stand solutions, folded. To be told whether
your own code is right, and if not, why, run the page: in the browser, or in the
[whole course](../../README.md).

```{{toctree}}
{}
```
"""


def index() -> str:
    """The page of exercises."""
    return EXERCISES.format("\n".join(PurePosixPath(page).stem for page in exercises()))


def api(package: str) -> str:
    """A page of the library: every public function of a package's modules, out of its docstring."""
    modules = [
        f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {package}.{name}\n   :members:\n```\n"
        for name in LIBRARY[package]
    ]
    return "\n".join([f"# {package}\n", *modules])


def prepare(notebook: nbformat.NotebookNode, page: str, pages: Iterable[str]) -> set[str]:
    """Change a notebook into a page of the book; the files that its links need."""
    files = set()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source, more = relink(cell.source, page, pages)
            files |= more
        for output in cell.get("outputs", []):
            if text := output.get("data", {}).get("text/markdown"):
                output.data["text/markdown"], more = relink(text, page, pages)
                files |= more
    notebook.cells[0].source = under_title(notebook.cells[0].source, links_of(page, pages))
    if solutions := solutions_of(page):
        notebook.cells.append(nbformat.v4.new_markdown_cell(solutions))
    return files


def under_title(text: str, added: str) -> str:
    """A page's first cell with a line below its title."""
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{added}\n\n{rest.lstrip()}"


def links_of(page: str, pages: Iterable[str]) -> str:
    """What can be done with a page besides reading it, as a line of HTML."""
    name = PurePosixPath(page).stem
    codes = sorted({other.split("/")[2] for other in pages if "/translations/" in other})
    editions = {
        "English": f"notebooks/{name}.ipynb",
        "Exercise": f"notebooks/exercises/{name}.ipynb",
    }
    if page == editions["Exercise"]:
        editions = {"Lesson": f"notebooks/{name}.ipynb"}
    elif page == editions["English"] or "/translations/" in page:
        editions |= {LANGUAGES.get(c, c): f"notebooks/translations/{c}/{name}.ipynb" for c in codes}
    places = [(PurePosixPath(page).name, "Download", " download")]
    if "/translations/" not in page:
        places.append((relative(browser.address(page), page), "Run in the browser", ""))
    if page == f"notebooks/{name}.ipynb":
        places.append((relative(f"slides/{name}.html", page), "Slides", ""))
    places += [
        (relative(other.replace(".ipynb", ".html"), page), label, "")
        for label, other in editions.items()
        if other in pages and other != page
    ]
    inside = "".join(f'<a href="{html.escape(to)}"{more}>{label}</a>' for to, label, more in places)
    return f'<p class="page-links">{inside}</p>'


def solutions_of(page: str) -> str | None:
    """The solutions of an exercise, folded; None for any other page."""
    path = NOTEBOOKS / "exercises" / "solutions" / f"s{PurePosixPath(page).stem}.py"
    if not page.startswith("notebooks/exercises/") or not path.exists():
        return None
    code = path.read_text(encoding="utf-8").strip()
    return (
        "## Solutions\n\n<details><summary>Try first. Then compare.</summary>\n\n"
        f"```python\n{code}\n```\n\n</details>"
    )


# --- making ---


def write(folder: Path, pyodide: Path | None = None) -> None:
    """Make the whole site in a new folder; with a distribution of Pyodide in it, if one is given.

    Raises ``LessonError`` for a fault in the pages, ``ValueError`` for a folder that is there, and
    ``ModuleNotFoundError`` where what the site needs is not installed.
    """
    for need in NEEDS:
        if find_spec(need) is None:
            raise ModuleNotFoundError(f"{need} is not installed", name=need)
    if pyodide:
        browser.refuse_no_pyodide(pyodide)
    with new_folder(folder) as site, tempfile.TemporaryDirectory() as stage:
        say("the pages")
        lay_out(Path(stage))
        say("the slides and the microscope")
        add_extras(Path(stage), own_pyodide=bool(pyodide))
        say("the book")
        make(Path(stage), site)
        say("the lessons in a browser")
        browser.write(site / browser.PLACE, pyodide)
        say("the links")
        if dead := links.dead(site, browser.PLACE):
            raise LessonError("\n".join(["links that lead nowhere:", *dead]))


def say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


def add_extras(stage: Path, own_pyodide: bool = False) -> None:
    """What is no page of Sphinx: MathJax, the slides of every lesson, the microscope."""
    static, extra = stage / "_static", stage / "_extra"
    (static / "tex-svg.js").write_text(slides.read_parts()["tex-svg.js"], encoding="utf-8")
    for lesson in sorted((extra / "notebooks").glob("[0-9]*.ipynb")):
        path = extra / "slides" / f"{lesson.stem}.html"
        slides.write(lesson, path)
        text = PAGE_OF_NOTEBOOKS.sub(r"\1.html", path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8")
    model = load_model(DOLL_HOUSE)
    page = as_page(
        answers(model), urlencode({"s": SENTENCE} | OPENED), views_of_a_file(model.config),
        lessons="notebooks/{}.html", python=browser.WORKER,
    )  # fmt: skip
    (extra / "microscope.html").write_text(page, encoding="utf-8")
    (extra / browser.WORKER).write_text(browser.worker(own_pyodide), encoding="utf-8")


def views_of_a_file(config: LlamaConfig) -> list[dict]:
    """What the microscope's page holds besides what is open: it may be opened without a server.

    Every block, every head and what it is worth, and all products of the head that is open.
    """
    blocks, heads = range(config.n_layers), range(config.n_heads)
    states = [{"b": b} for b in blocks]
    states += [{"b": b, "h": h, "p": "pattern"} for b in blocks for h in heads]
    states += [OPENED | {"p": name} for name, made in PRODUCTS.items() if made.of == HEAD]
    states += [{"e": "heads"}]  # what each is worth
    requests = [requests_of(urlencode({"s": SENTENCE} | state)) for state in states]
    return [request for of_state in requests for request in of_state[1:]]  # the first is the same


def make(stage: Path, folder: Path) -> None:
    """Call Sphinx; a warning is an error."""
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going"]
    command += ["-d", stage / "_doctrees"]
    if subprocess.run([*command, stage, folder]).returncode:
        raise LessonError("Sphinx has found the faults above")
