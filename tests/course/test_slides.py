"""Slides: which cells start one, and that a presentation opens without network."""

import functools
import hashlib
import re
import zipfile
from pathlib import Path

import pytest

for needed in ("jupytext", "nbclient", "nbconvert"):
    pytest.importorskip(needed)
nbformat = pytest.importorskip("nbformat")
new_markdown_cell, new_code_cell = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
new_notebook, new_output = nbformat.v4.new_notebook, nbformat.v4.new_output

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SOURCES = sorted((NOTEBOOKS / "source").glob("[0-9]*.py"))

build, pages = pytest.importorskip("build"), pytest.importorskip("pages")
slides = pytest.importorskip("slides")

DOT = (  # a PNG of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
STAND_INS = {"reveal.js": "const one = 1;", "reveal.css": "a { b: c }", "tex-svg.js": "let two;"}


def kinds(*cells):
    slides.mark(list(cells))
    return [cell.metadata.get("slideshow", {}).get("slide_type") for cell in cells]


def test_a_heading_starts_a_slide_and_what_fits_goes_with_it():
    assert kinds(
        new_markdown_cell("# Title\nText."),
        new_markdown_cell("## Step 1\nText."),
        new_code_cell("x = 1"),
        new_markdown_cell("### Smaller"),
        new_code_cell("y = 2\n" * slides.PAGE),
        new_markdown_cell("A note."),
    ) == ["slide", "slide", None, "subslide", "subslide", "subslide"]


def test_folded_answers_and_formulas_count_as_they_look():
    folded = "<details><summary>Answer</summary>\n" + "text\n" * 9 + "</details>"
    assert slides.height(new_markdown_cell(folded)) == 1
    assert slides.height(new_markdown_cell("$$x$$")) == 2
    assert slides.height(new_code_cell("show.matrix(x)")) > 10


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_lesson_follows_its_headings(source):
    """The builder puts the marks into the notebook; a slide starts where a heading stands."""
    cells = pages.read_source(source).cells
    for cell in cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        heading = cell.cell_type == "markdown" and re.match("##? ", cell.source)
        assert (kind == "slide") == bool(heading), cell.id
        assert cell.cell_type == "code" or "![" not in cell.source  # a file beside the slides
    assert cells[0].metadata["slideshow"]["slide_type"] == "slide"


def lesson():
    """A notebook with everything that a lesson's cells can hold."""
    picture = new_output(
        "display_data", {"image/png": DOT, "text/plain": "<Figure>"},
        metadata={"image/png": {"alt": "One dot."}},
    )  # fmt: skip
    tall = [new_output("stream", text="line\n" * 30)]
    return new_notebook(
        cells=[
            new_markdown_cell("# A lesson\n\n$\\frac{1}{2}$ and [a link](https://example.org)"),
            new_code_cell(
                "print('a < b')", outputs=[new_output("stream", text="a < b\n"), picture]
            ),
            new_markdown_cell("<details><summary>Ask</summary>\n\nFolded.\n\n</details>"),
            new_markdown_cell("| a | b |\n|---|---|\n| $ | 2 |"),
            new_code_cell("code_of_tall()", outputs=tall),
        ]
    )


def test_what_does_not_fit_under_its_code_gets_a_slide_of_its_own():
    cells = slides.part_outputs(lesson().cells)
    assert len(cells) == 6 and not cells[4].outputs and cells[5].outputs
    html = slides.to_html(lesson(), "tiny", STAND_INS)
    assert html.count("code_of_tall") == 1


def test_an_answer_stays_folded():
    html = slides.to_html(lesson(), "tiny", STAND_INS)
    (folded,) = re.findall(r"<details>(.*?)</details>", html, re.S)
    assert "Folded." in folded


def test_many_outputs_take_several_slides():
    lines = [new_output("stream", text="line\n" * n) for n in (0, 10, 10, 20, 40, 1)]
    shares = [[output.text.count("\n") for output in group] for group in slides.groups(lines)]
    assert shares == [[0, 10, 10], [20], [40], [1]]
    assert slides.groups([]) == []


def outside(html):
    """What a page would fetch: sources, style sheets, imports; not links that one can click."""
    loads = r"""<(?:script|img|iframe|source|video)[^>]*\ssrc\s*=\s*["'](?!data:)([^"']+)"""
    styles = (
        r"""<link[^>]*href\s*=\s*["']([^"']+)|@import\s*([^;]+)|url\(\s*["']?(?!data:|#)([^)]+)"""
    )
    found = [*re.findall(loads, html), *map("".join, re.findall(styles, html))]
    return found + re.findall(
        r"""\b(?:import|fetch|importScripts)\(["'](?:https?:)?//[^)]*""", html
    )


def test_a_presentation_holds_all_it_needs():
    html = slides.to_html(lesson(), "tiny", STAND_INS)
    assert outside(html) == []
    assert outside('<script src="x.js"></script><style>@import "y"; a { b: url(z.png) }</style>')
    for part in (*STAND_INS.values(), "A lesson", "a &lt; b", "\\frac{1}{2}", "<table>", DOT):
        assert part in html
    assert 'alt="One dot."' in html
    assert html.count("<section>") == 1 + html.count('<div class="page">')
    assert html.count("<section>") == html.count("</section>")


def test_fetched_once_checked_and_kept(monkeypatch, tmp_path):
    text = {name: f"the text of {name}" for name in slides.PARTS}
    digests = {name: hashlib.sha256(text[name].encode()).hexdigest() for name in text}
    parts = {n: ("package==1", n, digests[n]) for n in slides.PARTS}
    asked = []

    def fetch(package, inside):
        asked.append(inside)
        return text[inside].encode()

    monkeypatch.setattr(slides, "PARTS", parts)
    monkeypatch.setattr(slides, "fetch", fetch)
    assert slides.read_parts(tmp_path / "new") == slides.read_parts(tmp_path / "new") == text
    assert sorted(asked) == sorted(text)
    (tmp_path / "new/reveal.js").write_text("cut off")
    assert slides.read_parts(tmp_path / "new") == text and asked[-1] == "reveal.js"
    text["reveal.js"] = "another"
    with pytest.raises(slides.SlidesError, match="another reveal.js than the one"):
        slides.read_parts(tmp_path / "other")
    assert not (tmp_path / "other/reveal.js").exists()


def test_a_file_comes_out_of_its_wheel(monkeypatch, tmp_path):
    def run(command, **options):
        folder = Path(command[command.index("-d") + 1])
        with zipfile.ZipFile(folder / "some-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("inside/a.js", "code")
        return type("Done", (), {"returncode": 0, "stderr": ""})

    monkeypatch.setattr(slides.subprocess, "run", run)
    assert slides.fetch("some==1", "inside/a.js") == b"code"


def test_without_network_it_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(slides, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # as if there were no network
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    (tmp_path / "source").mkdir()
    (tmp_path / "source/01_tiny.py").write_text('# %% key="a"\n1\n')
    assert build.main(["--slides"], tmp_path) == 1
    assert "01_tiny.ipynb is not built yet; build it first" in capsys.readouterr().err
    (tmp_path / "01_tiny.ipynb").write_text(nbformat.writes(lesson()))
    assert build.main(["--slides"], tmp_path) == 1
    error = capsys.readouterr().err
    assert "connect this machine to the network and run the same command again" in error
    assert "Traceback" not in error and not (tmp_path / "slides").exists()


def test_the_builder_writes_them_and_leaves_the_notebook(monkeypatch, tmp_path):
    monkeypatch.setattr(slides, "read_parts", lambda: STAND_INS)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/01_tiny.py").write_text('# %% key="a"\n1\n')
    (tmp_path / "01_tiny.ipynb").write_text(nbformat.writes(lesson()))
    before = (tmp_path / "01_tiny.ipynb").read_bytes()
    assert build.main(["--slides", "01"], tmp_path) == 0
    assert (tmp_path / "slides/01_tiny.html").stat().st_size > 100_000
    assert (tmp_path / "01_tiny.ipynb").read_bytes() == before
    for argv in (["--slides", "--check"], ["--slides", "--translate", "pl"]):
        with pytest.raises(SystemExit):
            build.main(argv, tmp_path)


@functools.cache
def kept():
    """reveal.js and MathJax, where this machine has fetched them before."""
    if not all((slides.CACHE / name).is_file() for name in slides.PARTS):
        return None
    return slides.read_parts()


def test_it_opens_offline(tmp_path):
    """In a real browser, where there is one: no request, no error, no slide that runs over."""
    browsers = pytest.importorskip("playwright.sync_api")
    if kept() is None:
        pytest.skip("reveal.js and MathJax were never fetched here")
    path = tmp_path / "slides.html"
    path.write_text(slides.to_html(lesson(), "tiny", kept()), encoding="utf-8")
    with browsers.sync_playwright() as play:
        try:
            browser = play.chromium.launch(**find_chromium())
        except browsers.Error:
            pytest.skip("no Chromium here")
        page = browser.new_context(offline=True).new_page()
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_function("window.MathJax.startup && document.querySelector('mjx-container')")
        for _ in range(page.evaluate("Reveal.getTotalSlides()")):
            over = "(p => p.getBoundingClientRect().bottom > innerHeight)"
            current = "Reveal.getCurrentSlide()"
            assert not page.evaluate(f"{over}({current}.querySelector('.page'))") or page.evaluate(
                f"{current}.classList.contains('scrolls')"
            )
            page.evaluate("Reveal.next()")
        browser.close()
    assert errors == [] and [url for url in asked if not url.startswith(("file:", "data:"))] == []


def find_chromium():
    """The system's own Chromium, or the one that came with playwright."""
    own = Path("/usr/bin/chromium")
    return {"executable_path": str(own), "args": ["--no-sandbox"]} if own.exists() else {}
