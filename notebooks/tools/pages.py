"""Pages: a source read as a notebook, and run from a clean kernel, for ``build.py``."""

import ast
import copy
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import expressions
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbclient.util import ensure_async

NOTEBOOKS = Path(__file__).resolve().parents[1]
ROOT = NOTEBOOKS.parent
# Comments stay comments: jupytext would otherwise take "# more on this" for a shell command.
FORMAT = {"extension": ".py", "format_name": "percent", "comment_magics": False}
# What a header may hold, and jupytext's own notes on the source's layout.
KNOWN = {"key", "tags", "lines_to_next_cell", "cell_marker", "region_name"}
KEY = re.compile(r"[a-z0-9-]{1,64}")  # also a valid cell id of nbformat 4.5
CONTROLS = "application/vnd.jupyter.widget-view+json"
ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "name": "python", "pygments_lexer": "ipython3"},
}  # without versions: a rebuild with another Python is no change
KERNEL = [
    "--log-level=ERROR",  # no advice about transports on the terminal
    # Matplotlib signs each PNG with its version; the same picture should be the same bytes.
    "--InlineBackend.print_figure_kwargs={'bbox_inches':'tight','metadata':{'Software':None}}",
]
LABELS = "from classroom import show\nshow.before_showing.append(show.Labels({labels!r}))\n"
ASKED = "__import__('classroom.show', fromlist=['show']).before_showing[0].asked"


class LessonError(Exception):
    """What is wrong with a lesson, in one line."""


def read_source(path: Path) -> nbformat.NotebookNode:
    """Read a source as a notebook without outputs; each key becomes the id of its cell."""
    import jupytext  # slides of a built page do without it

    try:
        notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt=FORMAT)
    except nbformat.ValidationError as error:
        raise LessonError(f"{path.name}: {error.message} (tags are a list)") from None
    taken = set()
    for number, cell in enumerate(notebook.cells, 1):
        if fault := find_fault(cell, taken):
            first = cell.source.strip().split("\n")[0][:40]
            raise LessonError(f"{path.name}: cell {number} ({first!r}): {fault}")
        cell.id, tags = cell.metadata.key, cell.metadata.get("tags")
        taken.add(cell.id)
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
    notebook.metadata, notebook.nbformat_minor = nbformat.from_dict(METADATA), 5
    return notebook


def find_fault(cell: nbformat.NotebookNode, taken: set[str]) -> str | None:
    """What is wrong with a cell's header or its expressions, if anything."""
    key, unknown = cell.metadata.get("key"), sorted(cell.metadata.keys() - KNOWN)
    if unknown or cell.cell_type == "raw":
        what = ", ".join(f"{name} = {cell.metadata[name]!r}" for name in unknown)
        return f"header not understood: {what or 'raw'}"
    if key is None:
        return 'no key: write # %% key="..." or # %% [markdown] key="..."'
    if not (isinstance(key, str) and KEY.fullmatch(key)):
        return f"key {key!r} is no string of 1 to 64 of a-z, 0-9 and -"
    if key in taken:
        return f"key {key!r} is taken by an earlier cell"
    if cell.cell_type == "markdown":
        return expressions.find_fault(cell.source)
    return unseen(cell.source)


def unseen(code: str) -> str | None:
    """What a cell computes and nobody sees: a notebook shows the value of its last line only.

    >>> unseen("source(f)\\nprint(1)")
    'source(f) is not seen: a notebook shows the last value of a cell only'
    """
    try:
        statements = ast.parse(code).body[:-1]
    except SyntaxError:
        return None  # it stops when it is run, and says where
    for line in statements:
        shows = isinstance(line, ast.Expr) and isinstance(line.value, ast.Call)
        if shows and getattr(line.value.func, "id", "") == "source":
            seen = ast.unparse(line)
            return f"{seen} is not seen: a notebook shows the last value of a cell only"
    return None


class Runner(NotebookClient):
    """Runs the cells one after the other, and fills in what the prose between them quotes."""

    def __init__(self, notebook: nbformat.NotebookNode, folder: Path, strict: bool):
        super().__init__(
            notebook,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,  # how a long text is cut into messages is chance
            force_raise_errors=True,
            extra_arguments=KERNEL,
            resources={"metadata": {"path": str(folder)}},
        )
        self.strict = strict  # whether a claim must be true
        self.at = ""  # the cell that runs
        self.asked: dict[str, str | None] = {}  # texts of pictures, and the labels they met

    async def async_execute_cell(self, cell, cell_index, *args, **kwargs):
        self.at = cell.id
        if cell.cell_type == "markdown" and (quoted := expressions.find(cell.source)):
            values = [await self.evaluate(each.to_evaluate) for each in quoted]
            for each, value in zip(quoted, values, strict=True):
                if each.claim and self.strict and not value:
                    raise LessonError(f"it is not true that {each.code}")
            cell.source = expressions.fill(cell.source, values)
        await super().async_execute_cell(cell, cell_index, *args, **kwargs)
        if cell is self.nb.cells[-1] and "translation" in self.nb.metadata:
            self.asked = await self.evaluate(ASKED)
        return cell

    async def evaluate(self, code: str) -> Any:
        """The value of an expression in the kernel, for values that Python can write down."""
        sent = self.kc.execute("", silent=True, user_expressions={"it": f"repr({code})"})
        reply = await self.async_wait_for_reply(await ensure_async(sent))
        found = reply["content"]["user_expressions"]["it"]
        if found["status"] != "ok":
            raise LessonError(f"{code}: {found['ename']}: {found['evalue']}")
        return ast.literal_eval(ast.literal_eval(found["data"]["text/plain"]))


def execute(
    page: nbformat.NotebookNode, folder: Path, name: str, model: Path | None = None
) -> tuple[nbformat.NotebookNode, dict[str, str | None]]:
    """Run a copy of a page from a clean kernel that works in ``folder``.

    Also, for a translated page, each text of its pictures and the label that it met. On another
    ``model`` a claim of the prose may be false.
    """
    page, metadata = copy.deepcopy(page), copy.deepcopy(page.metadata)
    runner = Runner(page, folder, strict=model is None)
    with tempfile.TemporaryDirectory() as profile:
        if "translation" in metadata:
            startup = Path(profile, "profile_default/startup/labels.py")
            startup.parent.mkdir(parents=True)
            text = LABELS.format(labels=dict(metadata.translation["labels"]))
            startup.write_text(text, encoding="utf-8")
        try:
            runner.execute(env=make_environment(Path(profile), model))
        except CellExecutionError as error:
            raise LessonError(f"{name}: {runner.at}: {error.ename}: {error.evalue}") from None
        except (DeadKernelError, LessonError) as error:
            raise LessonError(f"{name}: {runner.at}: {error}") from None
    for cell in page.cells:
        drop_controls(cell)
        refuse_outputs(cell, name)
    page.metadata = metadata
    return page, runner.asked


def make_environment(profile: Path, model: Path | None) -> dict[str, str]:
    """The kernel's variables: this checkout's code, the chosen model, nobody's own settings."""
    own = {"LLAMA_MODEL"} | (set() if model else {"LLAMA_MEMORY"})
    env = {name: value for name, value in os.environ.items() if name not in own}
    if model:
        env["LLAMA_MODEL"] = str(model.resolve())
    return env | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(NOTEBOOKS)]),
        "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1",  # the same digits on few cores and many
        "IPYTHONDIR": str(profile),
        "LLAMA_PROGRESS": str(profile),  # an exercise is built as nobody has begun it
        "MATPLOTLIBRC": os.devnull,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the debugger's greeting on the terminal
    }


def drop_controls(cell: nbformat.NotebookNode) -> None:
    """Leave out sliders and fields, which live in a kernel only; what they showed stays."""
    if "outputs" in cell:
        cell.outputs = [each for each in cell.outputs if CONTROLS not in each.get("data", {})]


def refuse_outputs(cell: nbformat.NotebookNode, name: str) -> None:
    """Raise for what a reader should not see, or what the next run would not print again."""
    for output in cell.get("outputs", []):
        text = "\n".join(read_text(output).values())
        for wrong, fault in (
            (output.get("name") == "stderr", f"wrote to stderr: {text.strip()}"),
            (ADDRESS.search(text), "prints a memory address (does a ; at the end help?)"),
            (str(ROOT) in text, f"prints a path of this machine: {ROOT}"),
        ):
            if wrong:
                raise LessonError(f"{name}: {cell.id}: {fault}")


def read_text(output: nbformat.NotebookNode) -> dict[str, str]:
    """An output's text by MIME type; of a picture, its alt text."""
    if output.output_type == "stream":
        return {output.name: output.text}
    alt = {kind: noted.get("alt", "") for kind, noted in output.metadata.items() if "/" in kind}
    return {
        kind: alt.get(kind, "") if kind.startswith("image/") else str(value)
        for kind, value in output.data.items()
    }


def compare_cells(fresh: nbformat.NotebookNode, stored: nbformat.NotebookNode) -> list[str]:
    """What differs between a page to build and a notebook, outputs aside: one phrase each."""
    new, old = ({cell.get("id"): cell for cell in page.cells} for page in (fresh, stored))
    found = [f"{key} is new" for key in new if key not in old]
    found += [f"{key} is gone" for key in old if key not in new]
    found += [f"{key} changed" for key in new if key in old and not same(new[key], old[key])]
    if not found and list(new) != list(old):
        found.append("the order changed")
    if fresh.metadata != stored.metadata or stored.nbformat_minor != 5:
        found.append("the notebook's metadata changed")
    return found


def same(fresh: nbformat.NotebookNode, stored: nbformat.NotebookNode) -> bool:
    """Whether a built cell can have come from a cell of a source, marks for slides aside."""
    noted = {name: value for name, value in stored.metadata.items() if name != "slideshow"}
    if (fresh.cell_type, fresh.metadata) != (stored.cell_type, noted):
        return False
    if fresh.cell_type == "markdown" and expressions.find(fresh.source):
        return expressions.fits(stored.source, fresh.source)
    return fresh.source == stored.source


def compare_outputs(built: nbformat.NotebookNode, stored: nbformat.NotebookNode) -> list[str]:
    """Which cells print another text than is stored, or quote one; not those tagged timing."""
    found = []
    for new, old in zip(built.cells, stored.cells, strict=True):
        if "timing" in new.metadata.get("tags", []):
            continue
        if new.source != old.source:
            found.append(f"{new.id} quotes something else")
        elif [*map(read_text, new.get("outputs", []))] != [*map(read_text, old.get("outputs", []))]:
            found.append(f"{new.id} prints something else")
    return found
