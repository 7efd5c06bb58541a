"""The lessons in the reader's own browser, for ``build.py --site``: JupyterLite and a wheel for it.

JupyterLite is a Jupyter made of files alone; its Python is Pyodide, which the browser loads from
the address that jupyterlite-pyodide-kernel is pinned to.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import nbformat
from classroom.microscope import offline
from classroom.start import pages
from packaging.requirements import Requirement
from pages import NOTEBOOKS, ROOT, LessonError

PACKAGES = {  # folder of the repository: its place in the wheel
    "llama_np": "llama_np",
    "weights_tools": "weights_tools",
    "notebooks/classroom": "classroom",
    "notebooks/exercises/solutions": "exercises/solutions",  # where `check` looks for them
}
PLACE = "lite"  # in the site
WORKER = "python.js"  # beside the microscope
PYPI_WHEELS = "pypi"  # where JupyterLite puts a wheel
PYODIDE = "https://cdn.jsdelivr.net/pyodide/v314.0.6/full/"  # the one that JupyterLite loads
OWN_PYODIDE = "static/pyodide"  # where JupyterLite looks for one of its own, and puts it
MISSING = {"psutil"}  # Pyodide has none: see weights_tools.memory.free_memory
WELCOME = (
    "**In the browser.** Run the next cell first: it brings the model and the packages. That takes "
    "a minute the first time. The page with what you write in it stays in this browser; what "
    "`progress()` remembers is gone with the kernel."
)
TRAINS = (
    " This page trains models: a machine of your own takes about a minute for it, and a browser, "
    "with one thread and no BLAS, from five minutes (17) to over half an hour (16)."
)
LONG = re.compile(r"1[6-9][a-z]?_")  # the names of the lessons that train for long
INSTALL = "%pip install -q llama-np"


def needs() -> list[str]:
    """The packages that the course needs, in whichever version Pyodide has them."""
    required = map(Requirement, requires("llama-np"))
    names = [each.name for each in required if not each.marker]  # a marker: an extra
    return sorted({*names, "matplotlib"} - MISSING)


def wheel_name() -> str:
    return f"llama_np-{version('llama-np')}-py3-none-any.whl"


def make_wheel(folder: Path) -> Path:
    """The project as one wheel of pure Python: the packages, the models, the solutions."""
    name, wheel = f"llama_np-{version('llama-np')}", folder / wheel_name()
    head = f"Metadata-Version: 2.1\nName: llama-np\nVersion: {version('llama-np')}\n"
    own = {
        "METADATA": head + "".join(f"Requires-Dist: {need}\n" for need in needs()),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: book\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for source, place in PACKAGES.items():
            for file in sorted((ROOT / source).rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    archive.write(file, f"{place}/{file.relative_to(ROOT / source).as_posix()}")
        for file, text in own.items():
            archive.writestr(f"{name}.dist-info/{file}", text)
    return wheel


def worker(own_pyodide: bool = False) -> str:
    """The microscope's Python, a script for the root of the site."""
    pyodide = f"{PLACE}/{OWN_PYODIDE}/" if own_pyodide else PYODIDE
    packages = [each for each in needs() if each != "matplotlib"]
    return offline.worker(pyodide, packages, [f"{PLACE}/{PYPI_WHEELS}/{wheel_name()}"])


def address(page: str) -> str:
    """Where a page of ``notebooks`` is run, from the root of the site."""
    return f"{PLACE}/notebooks/index.html?path={page.removeprefix('notebooks/')}"


def prepare(notebook: nbformat.NotebookNode, page: str) -> nbformat.NotebookNode:
    """A page that brings what it imports: in front stands a cell that installs."""
    welcome = WELCOME + (TRAINS if LONG.match(str(page)) else "")
    cells = [nbformat.v4.new_markdown_cell(welcome, id="browser")]
    cells.append(nbformat.v4.new_code_cell(INSTALL, id="install"))
    notebook.cells[:0] = cells
    return notebook


def refuse_no_pyodide(folder: Path) -> None:
    """Raise ``LessonError`` unless a folder holds a Pyodide, with the packages that we need."""
    lock = folder / "pyodide-lock.json"
    missing = [name for name in ("pyodide.mjs", lock.name) if not (folder / name).is_file()]
    if not missing:
        there = json.loads(lock.read_text(encoding="utf-8"))["packages"]
        files = {name: there.get(name, {}).get("file_name", "") for name in needs()}
        missing = [name for name, file in files.items() if not (file and (folder / file).is_file())]
    if missing:
        raise LessonError(
            f"{folder}: expected a whole distribution of Pyodide, but {', '.join(missing)} is not "
            f"there; its release archive holds all, as do the files of {PYODIDE}"
        )


def write(folder: Path, pyodide: Path | None = None) -> None:
    """Make JupyterLite in a folder, with the pages and the wheel, and with its own Pyodide, if any.

    Raises ``LessonError``.
    """
    with tempfile.TemporaryDirectory() as made:
        if pyodide:
            shutil.copytree(pyodide, Path(made) / OWN_PYODIDE)
        contents = Path(made) / "contents"
        for page in pages():
            copy = contents / page
            copy.parent.mkdir(parents=True, exist_ok=True)
            notebook = nbformat.read(NOTEBOOKS / page, as_version=4)
            nbformat.write(prepare(notebook, page), copy)
        config = {
            "LiteBuildConfig": {
                "contents": [str(contents)], "output_dir": str(folder.absolute()),
                "apps": ["lab", "notebooks"], "no_sourcemaps": True,
            },
            "PipliteAddon": {"piplite_urls": [str(make_wheel(Path(made)))]},
        }  # fmt: skip
        (Path(made) / "jupyter_lite_config.json").write_text(json.dumps(config), encoding="utf-8")
        command = [sys.executable, "-m", "jupyterlite_core", "build", "--lite-dir", made]
        done = subprocess.run(command, cwd=made, capture_output=True, text=True)
        if done.returncode:
            raise LessonError(f"JupyterLite was not built:\n{(done.stdout + done.stderr)[-2000:]}")
