"""The website: its table of contents, its links, and what runs in a browser."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import numpy as np
import pytest
from classroom.folder import SOLUTIONS
from classroom.microscope.answers import answers
from classroom.microscope.offline import as_page, worker
from classroom.microscope.state import requests_of

from tests.checks import CHROMIUM
from weights_tools import DOLL_HOUSE, load_model, locks
from weights_tools.reading import read_text

for needed in ("nbclient", "nbconvert"):
    pytest.importorskip(needed)
nbformat = pytest.importorskip("nbformat")
book, browser, links = map(pytest.importorskip, ("book", "browser", "links"))

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
BROWSER = Path(__file__).parents[1] / "browser"
PYODIDE = os.environ.get("LLAMA_PYODIDE", "")
STAND_INS = ("tiktoken", "safetensors")  # which that folder lacks
needs_pyodide = pytest.mark.skipif(not PYODIDE, reason="LLAMA_PYODIDE names no folder")
LESSON = "notebooks/05_rope.ipynb"
PAGES = {
    LESSON, "notebooks/exercises/05_rope.ipynb", "notebooks/translations/pl/05_rope.ipynb",
    "notebooks/06_masking.ipynb", "notebooks/exercises/index.md", "README.md",
}  # fmt: skip


def test_every_page_is_in_the_book_once_and_in_order():
    pages = [page for part in book.contents() for page in part.pages] + book.exercises()
    assert len(pages) == len(set(pages))
    there = {
        f"notebooks/{p.relative_to(NOTEBOOKS).as_posix()}" for p in NOTEBOOKS.rglob("[0-9]*.ipynb")
    }
    assert there == {page for page in pages if page.endswith(".ipynb")}
    lessons = [Path(page).name.split("_")[0] for part in book.contents()[:2] for page in part.pages]
    assert lessons[:2] == ["00", "01"] and lessons.index("05b") == lessons.index("05") + 1
    first, second = (part.pages for part in book.contents()[:2])
    assert Path(first[-1]).name[:2] == "12" and Path(second[0]).name[:2] == "13"


def test_every_document_is_in_the_book(tmp_path):
    """One that is linked and no page would stop Sphinx."""
    for name in ("README.md", "SECURITY.md", "tests/a/README.md", "tests/.cache/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert book.documents(tmp_path) == ["README.md", "SECURITY.md", "tests/a/README.md"]
    assert {"README.md", "weights_tools/doll_house/MODEL_CARD.md"} <= {*book.documents()}


@pytest.mark.parametrize(
    "target, page, leads, file",
    [
        ("06_masking.ipynb#mask", LESSON, "06_masking.ipynb#mask", None),
        ("../05_rope.ipynb", "notebooks/exercises/05_rope.ipynb", "../05_rope.ipynb", None),
        ("../README.md#install", LESSON, "../README.md#install", None),
        ("exercises", LESSON, "exercises/index.md", None),
        ("notebooks/exercises", "README.md", "notebooks/exercises/index.md", None),
        ("LICENSE", "README.md", "LICENSE", "LICENSE"),
        ("https://arxiv.org/abs/2104.09864", LESSON, "https://arxiv.org/abs/2104.09864", None),
        ("#here", LESSON, "#here", None),
    ],
)
def test_a_link_leads_where_it_led(target, page, leads, file):
    assert book.lead(target, page, PAGES) == (leads, file)


@pytest.mark.parametrize("target", ["05_ropes.ipynb", "../../outside.md", "../notebooks"])
def test_a_link_to_what_is_not_there_is_refused(target):
    with pytest.raises(book.LessonError, match="notebooks/05_rope.ipynb: a link to"):
        book.lead(target, LESSON, PAGES)


def test_only_links_are_changed():
    code = "`[a](exercises)`\n```\n[b](nowhere.md)\n```\n"
    text = "[a (b)](exercises) ![c](https://a.org/b_(c))"
    changed, files = book.relink(code + text, LESSON, PAGES)
    assert changed == code + "[a (b)](exercises/index.md) ![c](https://a.org/b_(c))" and not files


def test_below_its_title_a_page_says_what_can_be_done_with_it():
    def labels(page):
        line = book.links_of(page, PAGES)
        return re.findall(">([^<]+)</a>", line), line

    said, line = labels(LESSON)
    assert said == ["Download", "Run in the browser", "Slides", "Exercise", "Polski"]
    assert 'href="../lite/notebooks/index.html?path=05_rope.ipynb"' in line
    assert labels("notebooks/exercises/05_rope.ipynb")[0] == [
        "Download",
        "Run in the browser",
        "Lesson",
    ]
    assert labels("notebooks/translations/pl/05_rope.ipynb")[0] == [
        "Download",
        "English",
        "Exercise",
    ]
    assert labels("notebooks/06_masking.ipynb")[0] == ["Download", "Run in the browser", "Slides"]
    assert book.under_title("# Title\n\nText", line) == f"# Title\n\n{line}\n\nText"


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "lite/files").mkdir(parents=True)
    (tmp_path / "lite/files/a.ipynb").touch()
    (tmp_path / "lite/index.html").write_text('<a href="made-by-its-script">')
    (tmp_path / "b.html").write_text('<h1 id="here">b</h1>')
    alive = ["b.html", "b.html#here", "?", "#top", "lite", "https://a.org/x", "lite/?path=a.ipynb"]
    dead = ["c.html", "b.html#there", "#nowhere", "lite/?path=b.ipynb"]
    page = '<p id="top">' + "".join(f'<a href="{target}">' for target in alive + dead)
    (tmp_path / "a.html").write_text(page + '<img src="d.png">')
    assert links.dead(tmp_path, "lite") == [f"a.html: {target}" for target in [*dead, "d.png"]]


def test_a_page_in_a_browser_installs_what_it_needs_first():
    cells = [nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell("import numpy")]
    page = browser.prepare(nbformat.v4.new_notebook(cells=list(cells)), "05_rope.ipynb")
    assert "trains models" not in page.cells[0].source
    for name, trains in {"16c_batches_and_bits": True, "exercises/16_pretraining": False}.items():
        page_of = browser.prepare(nbformat.v4.new_notebook(), f"{name}.ipynb")
        assert ("trains models" in page_of.cells[0].source) == trains
    assert page.cells[1].source == "%pip install -q llama-np" and page.cells[2:] == cells
    assert {"numpy", "tiktoken", "matplotlib"} <= {
        *browser.needs()
    } and "psutil" not in browser.needs()
    where = SOLUTIONS.relative_to(NOTEBOOKS).as_posix()
    assert browser.PACKAGES[f"notebooks/{where}"] == where


def test_the_microscopes_worker_loads_what_jupyterlite_does(tmp_path):
    kernel = pytest.importorskip("jupyterlite_pyodide_kernel.constants")
    load = json.loads(re.search(r"^const LOAD = (.*);", browser.worker(), re.M)[1])
    (wheel,) = map(Path, load["wheels"])
    assert wheel.name == browser.make_wheel(tmp_path).name
    assert wheel.parent == Path(browser.PLACE, kernel.PYPI_WHEELS)
    assert f"/v{kernel.PYODIDE_VERSION}/" in load["pyodide"]
    assert {"numpy", "tiktoken"} <= {*load["packages"]} and "matplotlib" not in load["packages"]


@pytest.mark.parametrize("missing", ["pyodide.mjs", "pyodide-lock.json", "tiktoken.whl", ""])
def test_what_is_no_pyodide_is_said_before_anything_is_made(tmp_path, missing, capsys):
    """Nor one without packages, as npm has it."""
    lock = {"packages": {name: {"file_name": f"{name}.whl"} for name in browser.needs()}}
    for name in {"pyodide.mjs", *(f"{each}.whl" for each in browser.needs())} - {missing}:
        (tmp_path / name).touch()
    if missing != "pyodide-lock.json":
        (tmp_path / "pyodide-lock.json").write_text(json.dumps(lock))
    if missing:
        said = f"a whole distribution of Pyodide, but {missing.removesuffix('.whl')} is not there"
        with pytest.raises(book.LessonError, match=said):
            browser.refuse_no_pyodide(tmp_path)
    else:
        browser.refuse_no_pyodide(tmp_path)
    build = pytest.importorskip("build")
    for argv, said in (
        ([f"--pyodide={tmp_path}"], "--pyodide goes with --site"),
        (["--site=s", "--check"], "--site goes with --pyodide alone"),
    ):
        with pytest.raises(SystemExit):
            build.main(argv)
        assert said in capsys.readouterr().err


def test_locks_need_nothing_that_a_browser_lacks(monkeypatch):
    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.setitem(sys.modules, "fcntl", None)  # importing it fails
    module = {"__name__": "locks"}
    exec(Path(locks.__file__).read_text(encoding="utf-8"), module)
    assert module["take"](0) is None


def test_a_browser_without_psutil_reads_texts(monkeypatch, tmp_path):
    """Every text asks how much memory is free."""
    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.setitem(sys.modules, "psutil", None)  # importing it fails
    (tmp_path / "a.txt").write_text("Once.", encoding="utf-8")
    assert read_text(tmp_path / "a.txt") == "Once."


@pytest.mark.slow
def test_every_page_is_laid_out_and_every_link_leads_somewhere(tmp_path):
    book.lay_out(tmp_path)
    pages = [page for part in book.contents() for page in part.pages] + book.exercises()
    assert all((tmp_path / page).is_file() for page in [*pages, "index.md", "conf.py"])
    exercise = nbformat.read(tmp_path / "notebooks/exercises/03_rms_norm.ipynb", as_version=4)
    assert "<details>" in exercise.cells[-1].source and "def rms_norm" in exercise.cells[-1].source


@pytest.mark.slow
@needs_pyodide
@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_the_browsers_python_computes_the_same(tmp_path):
    """With stand-ins for tiktoken and safetensors, where the folder of Pyodide has none."""
    program = tmp_path / "story.py"
    program.write_text(
        "import json, sys\n"
        "from llama_np import forward, generate\n"
        "from weights_tools import load_model\n"
        "model = load_model()\n"
        "ids = list(model.tokenizer.encode('Once upon a time, there was a girl named', bos=True))\n"
        "logits = forward(model.weights, model.config, ids)\n"
        "story = generate(model.weights, model.config, ids, 20)\n"
        "said = json.dumps([sys.platform, model.tokenizer.decode(list(story)), logits.tolist()])\n"
        "said\n"
    )
    node = ["node", BROWSER / "story.mjs", PYODIDE]
    node += [browser.make_wheel(tmp_path), BROWSER, program]
    done = subprocess.run(node, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    platform, text, logits = json.loads(done.stdout)
    here = {}
    exec(program.read_text(), here)
    _, expected_text, expected = json.loads(here["said"])
    assert platform == "emscripten" and text == expected_text
    np.testing.assert_allclose(logits, expected, atol=2e-4, rtol=1e-5)


def stand_in(folder, name):
    """What a Pyodide without that package gets instead, as a wheel."""
    wheel = folder / f"{name}-0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(BROWSER / f"{name}_stand_in.py", f"{name}.py")
        archive.writestr(f"{name}-0.dist-info/METADATA", f"Name: {name}\nVersion: 0\n")
    return wheel.name


class Site(SimpleHTTPRequestHandler):
    """Files, and a place where a page leaves what it shows."""

    shown = Queue()

    def do_POST(self):
        self.shown.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.slow
@needs_pyodide
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_the_microscope_computes_another_sentence_in_a_browser(tmp_path):
    answer = answers(load_model(DOLL_HOUSE))
    wheels = [browser.make_wheel(tmp_path).name, *(stand_in(tmp_path, n) for n in STAND_INS)]
    (tmp_path / "pyodide").symlink_to(Path(PYODIDE).absolute())
    script = worker("pyodide/", ["numpy", "threadpoolctl"], wheels)
    (tmp_path / "python.js").write_text(script, encoding="utf-8")
    page = as_page(answer, "", python="python.js")
    tell = 'fetch("/shown", { method: "POST", body: document.documentElement.outerHTML })'
    page = page.replace("render().then(", f"render().then(() => {tell});\nfalse && render().then(")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")

    state = "s=One+day%2C+a+boy+named&off=head.29.3"
    (request,) = requests_of(state)
    expected = answer(request)
    handler = partial(Site, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        quiet = "--headless --no-sandbox --disable-gpu --no-first-run"
        address = f"http://127.0.0.1:{server.server_address[1]}/page.html#{state}"
        command = [CHROMIUM, *quiet.split(), f"--user-data-dir={tmp_path / 'kept'}", address]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            shown = Site.shown.get(timeout=300)
        except Empty:
            process.kill()
            pytest.fail(f"the page has not answered: {process.communicate()[1][-2000:]}")
        finally:
            process.kill()
            process.communicate()
            server.shutdown()
    said, news = (re.search(f'id="{name}".*?>(.*?)</p>', shown)[1] for name in ("said", "news"))
    assert said in ("", news)  # no error; in a narrow window the news
    best = shown[shown.index('id="best"') :].partition("</section>")[0]
    rows = re.findall(r"<tr.*?</tr>", best.replace("\N{NO-BREAK SPACE}", " "), re.S)
    for token in expected["original"] + expected["changed"]:
        text = html.escape(token["text"], quote=False)
        share = f"{100 * token['p']:.0f} %" if token["p"] >= 0.0995 else " %"
        assert [row for row in rows if f">{text}<" in row and share in row], token
