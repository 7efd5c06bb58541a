"""Slides: what stands together on one, and that a presentation opens without network."""

import base64
import functools
import hashlib
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.checks import CHROMIUM

for needed in ("nbclient", "nbconvert"):
    pytest.importorskip(needed)
nbformat = pytest.importorskip("nbformat")
new_markdown_cell, new_code_cell = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
new_notebook, new_output = nbformat.v4.new_notebook, nbformat.v4.new_output

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
BUILT = sorted([*NOTEBOOKS.glob("[0-9]*.ipynb"), *NOTEBOOKS.glob("translations/*/*.ipynb")])

build = pytest.importorskip("build")
slides = pytest.importorskip("slides")

DOT = (  # a PNG of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
STAND_INS = {"reveal.js": "const one = 1;", "reveal.css": "a { b: c }", "tex-svg.js": "let two;"}


def text(*paragraphs):
    return new_markdown_cell("\n\n".join(paragraphs))


def shown(source="show.matrix(x)", high=200):
    """Code that draws a picture, 600 pixels wide."""
    return new_code_cell(source, outputs=[picture(600, high)])


def picture(across, down):
    """A picture of that size on its page, as far as anybody asks."""
    data = bytearray(base64.b64decode(DOT))
    data[16:24] = struct.pack(">II", across, down)
    data = {"image/png": base64.b64encode(data).decode(), "text/plain": "<Figure>"}
    return new_output("display_data", data)


def on_slides(*cells):
    """For each slide its title and what stands on it: texts, code, and pictures as [shown]."""
    found = []
    for slide in slides.cut(list(cells)):
        flat = [cell for piece in slide.pieces for cell in piece]
        found.append([slide.title] * bool(slide.title))
        for cell in flat:
            found[-1].append(cell.source + " [shown]" * bool(cell.get("outputs")))
    return found


SENTENCE = "A sentence that is read."
PARAGRAPH = " ".join(["A sentence of a paragraph that is long."] * 9)


def test_a_heading_starts_a_slide_and_a_picture_stands_with_its_sentences():
    assert on_slides(
        text("# Title", SENTENCE),
        text("## Step 1", SENTENCE),
        shown("x = 1"),
        text(SENTENCE, "## Step 2", PARAGRAPH),
        text("## Questions", SENTENCE),
    ) == [
        ["# Title", SENTENCE],
        ["## Step 1", SENTENCE, "x = 1 [shown]", SENTENCE],
        ["## Step 2", PARAGRAPH, "## Questions", SENTENCE],
    ]


def test_what_does_not_fit_goes_on_under_the_same_title():
    first, second = on_slides(
        text("## Step `1`", SENTENCE), shown("a", 500), text(PARAGRAPH), shown("b", 500),
        text(PARAGRAPH),
    )  # fmt: skip
    assert first[0] == "## Step `1`" and first[2] == "a [shown]"
    assert second[0] == "## Step `1`" and second[-2:] == ["b [shown]", PARAGRAPH]


def test_what_belongs_together_is_cut_last():
    said, announced, formula, answer = (
        [new_markdown_cell(source)]
        for source in (PARAGRAPH, "It is:", "$$x$$", "<details><summary>A</summary></details>")
    )
    between = slides.cut_cost(said, said)
    for before, after in ((announced, said), (said, formula), ([shown()], answer)):
        assert slides.cut_cost(before, after) > between + slides.cut_cost([shown()], said)
    heading = [new_markdown_cell("### B")]
    assert slides.cut_cost(said, heading) < between < slides.cut_cost(said, [shown()])


def test_code_that_shows_nothing_but_code_is_never_alone():
    library = new_output("display_data", {"text/markdown": "```python\ndef f(x):\n    1\n```"})
    for cells in (
        [text("## A", SENTENCE), new_code_cell("import x"), shown("b")],
        [text("## A", SENTENCE), new_code_cell("import x")],
        [text("## A"), new_code_cell("import x"), text(SENTENCE)],
        [text("## A", SENTENCE), new_code_cell("import x", outputs=[library])],
    ):
        (slide,) = on_slides(*cells)
        assert {"import x", "import x [shown]"} & {*slide} and len(slide) > 2
    html = slides.to_html(new_notebook(cells=cells), "tiny", STAND_INS)
    assert '<details class="code"><summary>def f</summary>' in html


def test_a_long_lesson_is_cut_into_no_more_slides_than_a_class_sits_through():
    sections = [
        [text(f"## {n}", PARAGRAPH, PARAGRAPH), shown("a", 400), text(PARAGRAPH), shown("b", 400)]
        for n in range(12)
    ]
    assert slides.MOST - 10 < len(slides.cut(sum(sections, []))) <= slides.MOST


def test_paragraphs_answers_and_formulas_stay_whole():
    answer = "<details><summary>Answer</summary>\n\ntext\n\n</details>"
    formula, lines = "$$\na\n\n= b\n$$", "```\nx\n\ny\n```"
    blocks = ["One.", "$$x$$", answer, formula, lines, "- a\n- b", "Last."]
    assert [cell.source for cell in slides.paragraphs(text(*blocks))] == blocks
    assert slides.text_height(answer, 1000) < slides.text_height(PARAGRAPH, 1000)


def test_what_is_high_stands_beside_text_and_what_is_flat_below():
    def chosen(*pieces):
        return slides.choose([[piece] for piece in pieces])

    one, three = new_markdown_cell(PARAGRAPH), new_markdown_cell(PARAGRAPH * 3)
    formula = new_markdown_cell(f"$${'x + y - ' * 20}$$")
    assert chosen(one, shown(high=480)) == 0  # all text beside it
    assert chosen(one, shown(high=90), one) is None
    assert chosen(three, shown(high=480), one) == 1  # the first paragraph above all
    assert chosen(one, formula, one, shown(high=480)) == 2  # too wide for a column
    rows = "| a | b |\n" * 16
    table = [new_output("display_data", {"text/markdown": rows, "text/plain": rows})]
    assert chosen(one, new_code_cell("x", outputs=table), three) is not None
    columns = [new_output("stream", text=("1.0 " * 40 + "\n") * 30)]  # must not be broken
    assert set(slides.layouts([[one], [new_code_cell("x", outputs=columns)]])) == {None}


def test_what_is_read_after_a_picture_stands_at_its_right():
    cells = [text("## A", PARAGRAPH * 2), shown(high=300), text(f"Read. {PARAGRAPH}")]
    html = slides.to_html(new_notebook(cells=cells), "tiny", STAND_INS)
    assert '<div class="beside">' not in html
    above, below = html.split('<div class="after">')
    assert PARAGRAPH * 2 in above and below.index("<img") < below.index("Read.")


def test_what_follows_a_question_waits_for_a_key():
    cells = [text("## A", "**Predict before you run:** how many?"), shown(), text("As many.")]
    html = slides.to_html(new_notebook(cells=cells), "tiny", STAND_INS)
    before, after = html.split('<div class="fragment" data-fragment-index="0">', 1)
    assert "how many?" in before and "As many." not in before and "As many." in after
    assert not slides.asks(new_markdown_cell("Is **this** a question: which?"))


@pytest.mark.parametrize("path", BUILT, ids=lambda path: path.stem)
def test_the_slides_of_a_lesson_are_few_and_say_something(path):
    cells = nbformat.read(path, as_version=4).cells
    found = slides.cut(cells)
    assert len(found) <= max(slides.MOST, 0.45 * len(cells))  # some pages are very long
    for slide in found:
        texts, _ = slides.divide(slide.pieces)
        assert texts or any(map(slides.shows, slide.pieces))
        assert slide.title or slides.is_title(texts[0])
    kept = [
        output
        for slide in found
        for piece in slide.pieces
        for c in piece
        for output in c.get("outputs", [])
    ]
    assert kept == [output for cell in cells for output in cell.get("outputs", [])]


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


def test_code_is_folded_and_outputs_are_not():
    html = slides.to_html(lesson(), "tiny", STAND_INS)
    folded = re.findall(r'<details class="code">(.*?)</details>', html, re.S)
    assert len(folded) == 2 and "code_of_tall" in folded[1]
    assert html.count("code_of_tall") == 1 and not any("line\n" in code for code in folded)


def test_an_answer_stays_folded():
    html = slides.to_html(lesson(), "tiny", STAND_INS)
    (folded,) = re.findall(r"<details>(.*?)</details>", html, re.S)
    assert "Folded." in folded


def test_many_outputs_take_several_slides():
    lines = [new_output("stream", text="line\n" * n) for n in (1, 8, 8, 20, 40, 1)]
    shares = [[output.text.count("\n") for output in group] for group in slides.groups(lines)]
    assert shares == [[1, 8, 8], [20], [40], [1]]
    first, *others = slides.cut([text("## A", SENTENCE), new_code_cell("code", outputs=lines)])
    assert [slide.title for slide in (first, *others)] == ["", *["## A"] * len(others)]
    html = slides.to_html(
        new_notebook(cells=[new_code_cell("code", outputs=lines)]), "x", STAND_INS
    )
    assert html.count('<details class="code">') == 1


def test_links_lead_where_they_led(monkeypatch, tmp_path):
    monkeypatch.setattr(slides, "read_parts", lambda: STAND_INS)
    (tmp_path / "translations/pl").mkdir(parents=True)
    links = "[a](02_b.ipynb#c) [d](exercises/01_a.ipynb) [e](https://x.org/y.ipynb) [f](#g)"
    for folder, page in (("", "slides"), ("translations/pl", "slides/pl")):
        path = tmp_path / folder / "01_a.ipynb"
        path.write_text(nbformat.writes(new_notebook(cells=[text("# A", links)])))
        slides.write(path, tmp_path / page / "01_a.html")
        html = (tmp_path / page / "01_a.html").read_text()
        exercise = (tmp_path / folder / "exercises/01_a.ipynb").relative_to(tmp_path).as_posix()
        up = "../" * (page.count("/") + 1)
        for link in ("02_b.html", up + exercise, "https://x.org/y.ipynb", "#g"):
            assert f'href="{link}"' in html, link


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
    assert html.count("<section>") == html.count('<div class="page">')
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


def test_they_are_made_with_what_a_learner_has(tmp_path):
    """Nothing that only the builder needs is imported; what does need it says so in one line."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source/01_tiny.py").write_text('# %% key="a"\n1\n')
    (tmp_path / "01_tiny.ipynb").write_text(nbformat.writes(lesson()))
    code = f"""
import sys
sys.modules |= dict.fromkeys(["jupytext", "polib"])
import build, pathlib, slides
slides.read_parts = lambda: {STAND_INS}
folder = pathlib.Path({str(tmp_path)!r})
print(build.main(["--slides", "01"], folder))
build.main(["--check"], folder)
"""
    here = {"cwd": NOTEBOOKS / "tools", "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", code], **here)
    assert done.stdout == "0\n" and (tmp_path / "slides/01_tiny.html").exists()
    assert "the lessons needs jupytext: pip install" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


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
    return {"executable_path": CHROMIUM, "args": ["--no-sandbox"]} if CHROMIUM else {}
