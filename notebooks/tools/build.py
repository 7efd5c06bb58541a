"""Turn the lessons' sources into executed notebooks: ``python notebooks/tools/build.py --help``."""

import argparse
import base64
import copy
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

try:
    import jupytext
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"building the lessons needs {missing.name}: pip install -r tests/requirements.txt"
    ) from None

import slides
import translate

HERE = Path(__file__).resolve().parents[1]  # notebooks/
HEADER = """\
Every cell of a source (percent format, plain Python without magics) has a key of its own:
  # %% [markdown] key="why-norm"
  # %% key="norm-by-hand"
  # %% key="how-fast" tags=["timing"]     its output may differ from one run to the next"""

# Comments stay comments: jupytext would otherwise take "# more on this" for a shell command.
FORMAT = {"extension": ".py", "format_name": "percent", "comment_magics": False}
# What a header may hold, and jupytext's own notes on the source's layout.
KNOWN = {"key", "tags", "lines_to_next_cell", "cell_marker", "region_name"}
KEY = re.compile(r"[a-z0-9-]{1,64}")  # also a valid cell id of nbformat 4.5
ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "name": "python", "pygments_lexer": "ipython3"},
}  # without versions: a rebuild with another Python is no change
PICTURES = {("00_start_here", "patterns"): "heads.png"}  # lesson and cell: file in pictures/
KERNEL = [
    "--log-level=ERROR",  # no advice about transports on the terminal
    # Matplotlib signs each PNG with its version; the same picture should be the same bytes.
    "--InlineBackend.print_figure_kwargs={'bbox_inches':'tight','metadata':{'Software':None}}",
]


class LessonError(Exception):
    """What is wrong with a lesson, in one line."""


def read_source(path: Path) -> nbformat.NotebookNode:
    """Read a source as a notebook without outputs; each key becomes the id of its cell."""
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
    slides.mark(notebook.cells)
    notebook.metadata, notebook.nbformat_minor = nbformat.from_dict(METADATA), 5
    return notebook


def find_fault(cell: nbformat.NotebookNode, taken: set[str]) -> str | None:
    """What is wrong with a cell's header, if anything."""
    key, unknown = cell.metadata.get("key"), sorted(cell.metadata.keys() - KNOWN)
    if unknown or cell.cell_type == "raw":
        what = ", ".join(f"{name} = {cell.metadata[name]!r}" for name in unknown)
        return f"header not understood: {what or 'raw'}"
    if key is None:
        return 'no key: write # %% key="..." or # %% [markdown] key="..."'
    if not (isinstance(key, str) and KEY.fullmatch(key)):
        return f"key {key!r} is no string of 1 to 64 of a-z, 0-9 and -"
    return f"key {key!r} is taken by an earlier cell" if key in taken else None


def execute(notebook, folder: Path, name: str, model: Path | None = None) -> nbformat.NotebookNode:
    """Run a copy of the notebook from a clean kernel that works in ``folder``."""
    notebook, started = copy.deepcopy(notebook), []
    metadata = copy.deepcopy(notebook.metadata)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,  # how a long text is cut into messages is chance
        force_raise_errors=True,
        extra_arguments=KERNEL,
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=lambda cell, cell_index: started.append(cell.id),
    )
    with tempfile.TemporaryDirectory() as profile:
        try:
            client.execute(env=make_environment(Path(profile), model, metadata.get("translation")))
        except CellExecutionError as error:
            raise LessonError(f"{name}: {started[-1]}: {error.ename}: {error.evalue}") from None
        except DeadKernelError as error:
            raise LessonError(f"{name}: {started[-1]}: {error}") from None
    for cell in notebook.cells:
        refuse_outputs(cell, name)
    notebook.metadata = metadata
    return notebook


def make_environment(profile: Path, model: Path | None, translation: dict | None) -> dict[str, str]:
    """The kernel's variables: this checkout's code, the chosen model, nobody's own settings."""
    own = {"LLAMA_MODEL", "LLAMA_LABELS"} | (set() if model else {"LLAMA_MEMORY"})
    env = {name: value for name, value in os.environ.items() if name not in own}
    if model:
        env["LLAMA_MODEL"] = str(model.resolve())
    if translation:
        env["LLAMA_LABELS"] = str(profile / "labels.json")
        (profile / "labels.json").write_text(json.dumps(translation["labels"]), encoding="utf-8")
    return env | {
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]),
        "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1",  # the same digits on few cores and many
        "IPYTHONDIR": str(profile),
        "LLAMA_PROGRESS": str(profile),  # an exercise is built as nobody has begun it
        "MATPLOTLIBRC": os.devnull,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the debugger's greeting on the terminal
    }


def refuse_outputs(cell: nbformat.NotebookNode, name: str) -> None:
    """Raise for what a reader should not see, or what the next run would not print again."""
    for output in cell.get("outputs", []):
        text = "\n".join(read_text(output).values())
        for wrong, fault in (
            (output.get("name") == "stderr", f"wrote to stderr: {text.strip()}"),
            (ADDRESS.search(text), "prints a memory address (does a ; at the end help?)"),
            (str(HERE.parent) in text, f"prints a path of this machine: {HERE.parent}"),
        ):
            if wrong:
                raise LessonError(f"{name}: {cell.id}: {fault}")


def read_text(output: nbformat.NotebookNode) -> dict[str, str]:
    """An output's text by MIME type; of a picture, only that it is there."""
    if output.output_type == "stream":
        return {output.name: output.text}
    return {t: "" if t.startswith("image/") else str(v) for t, v in output.data.items()}


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write beside, then rename: a build that is cut short leaves the old notebook whole."""
    beside = path.with_suffix(".tmp")
    beside.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    beside.replace(path)


def write_pictures(notebook: nbformat.NotebookNode, name: str, folder: Path) -> None:
    """Copy the pictures that the README shows out of the lesson that draws them."""
    for cell in notebook.cells:
        if picture := PICTURES.get((name, cell.id)):
            (png,) = (o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {}))
            folder.mkdir(exist_ok=True)
            (folder / picture).write_bytes(base64.b64decode(png))


def compare_cells(fresh: nbformat.NotebookNode, stored: nbformat.NotebookNode) -> list[str]:
    """What differs between two notebooks, outputs aside: one phrase each."""
    new, old = (
        {cell.get("id"): (cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells}
        for notebook in (fresh, stored)
    )
    found = [f"{key} is new" for key in new if key not in old]
    found += [f"{key} is gone" for key in old if key not in new]
    found += [f"{key} changed" for key in new if key in old and new[key] != old[key]]
    if not found and list(new) != list(old):
        found.append("the order changed")
    if fresh.metadata != stored.metadata or stored.nbformat_minor != 5:
        found.append("the notebook's metadata changed")
    return found


def compare_outputs(fresh: nbformat.NotebookNode, stored: nbformat.NotebookNode) -> list[str]:
    """Which cells print another text than is stored; cells tagged timing may."""
    return [
        f"{new.id} prints something else"
        for new, old in zip(fresh.cells, stored.cells, strict=True)
        if "timing" not in new.metadata.get("tags", [])
        and [*map(read_text, new.get("outputs", []))] != [*map(read_text, old.get("outputs", []))]
    ]


def read_lesson(source: Path, catalogue: Path | None) -> tuple[nbformat.NotebookNode, list[str]]:
    """A lesson in English or, with a catalogue, translated; and what is not translated."""
    lesson = read_source(source)
    if catalogue is None:
        return lesson, []
    return lesson, translate.apply(lesson, translate.read(catalogue), catalogue.parent.name)


def run_lesson(lesson, folder: Path, name: str, model: Path | None = None):
    """Execute a lesson; also the picture texts that no label translates, and labels left over."""
    if "translation" not in lesson.metadata:
        return execute(lesson, folder, name, model), ([], [])
    lesson = copy.deepcopy(lesson)
    translate.ask(lesson)
    built = execute(lesson, folder, name, model)
    return built, translate.answer(built)


def describe_labels(missing: list[str], unused: list[str]) -> list[str]:
    """What a run has shown about labels: one phrase each."""
    found = translate.say_missing([f"picture text {text!r}" for text in missing])
    return found + [f"no picture says {label!r}" for label in unused]


def check(
    source: Path,
    notebook: Path,
    run: bool = False,
    model: Path | None = None,
    catalogue: Path | None = None,
) -> list[str]:
    """What is out of date in a notebook, changing nothing; ``run`` compares the outputs too."""
    fresh, untranslated = read_lesson(source, catalogue)
    if not notebook.exists():
        return [*untranslated, "not built yet"]
    try:
        stored = nbformat.read(notebook, as_version=4)
    except (ValueError, nbformat.ValidationError):
        return [*untranslated, "not a notebook that can be read"]
    found = compare_cells(fresh, stored)
    if run and not found:
        built, labels = run_lesson(fresh, notebook.parent, source.stem, model)
        found = compare_outputs(built, stored) + describe_labels(*labels)
    return untranslated + found


def source_folder(folder: Path) -> Path:
    """Where the sources of the pages in ``folder`` lie."""
    if folder.name == "exercises":
        return folder.parent / "source" / "exercises"
    return folder / "source"


def choose(names: list[str], folder: Path) -> list[Path]:
    """The sources that the names mean: ``03`` and ``03_rope`` are the same lesson."""
    sources = sorted(source_folder(folder).glob("[0-9]*.py"))
    for name in names:
        if not any(name in (path.stem, path.stem.split("_")[0]) for path in sources):
            have = ", ".join(path.stem for path in sources) or "no lessons yet"
            raise LessonError(f"no lesson {name!r}; there are: {have}")
    return [p for p in sources if not names or {p.stem, p.stem.split("_")[0]} & set(names)]


def choose_editions(source: Path, folder: Path, args: argparse.Namespace) -> list[Path | None]:
    """The catalogues of a lesson that a command means; None is the English edition."""
    translations, name = folder / "translations", f"{source.stem}.md"
    language = args.language or args.translate
    if not language:
        return [None, *sorted(translations.glob(f"*/{name}"))] if args.check else [None]
    catalogue = translations / language / name
    if catalogue.exists() or (args.translate and args.names):
        return [catalogue]
    if args.names:
        raise LessonError(f"{source.stem} has no catalogue {language}/{name}: see --translate")
    return []


def make_catalogue(source: Path, catalogue: Path, args: argparse.Namespace) -> list[str]:
    """Write what a translator goes on with: every text and label; what is still to be done."""
    old = translate.read(catalogue)
    lesson, _ = read_lesson(source, catalogue)
    _, (missing, _) = run_lesson(lesson, source.parent, source.stem, args.model)
    fresh = translate.refresh(read_source(source), old, missing, args.accept)
    catalogue.parent.mkdir(parents=True, exist_ok=True)
    catalogue.write_text(str(fresh), encoding="utf-8", newline="\n")
    return read_lesson(source, catalogue)[1]


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Build the lessons: notebooks/source/NN_name.py -> notebooks/NN_name.ipynb, "
        "executed from a clean kernel. Building twice on one machine gives the same bytes.",
        epilog=HEADER,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="03 or 03_rope (default: all)")
    parser.add_argument("--list", action="store_true", help="name the lessons and stop")
    parser.add_argument("--check", action="store_true", help="change nothing; say what is stale")
    parser.add_argument("--execute", action="store_true", help="with --check: run, compare outputs")
    parser.add_argument(
        "--slides", action="store_true",
        help="write the built lessons as presentations, notebooks/slides/NN_name.html: each one "
        "file that opens without network (making the first needs it)",
    )  # fmt: skip
    parser.add_argument("--exercises", action="store_true", help="the exercises, not the lessons")
    parser.add_argument("--model", type=Path, metavar="DIR", help="run on this Llama folder")
    parser.add_argument("--language", metavar="pl", help="the edition in translations/pl/ only")
    parser.add_argument("--translate", metavar="pl", help="make or refresh a catalogue there")
    parser.add_argument(
        "--accept", action="append", default=[], metavar="KEY",
        help="with --translate: this cell's translation fits the English of today",
    )  # fmt: skip
    return parser


def handle(
    source: Path, catalogue: Path | None, folder: Path, args: argparse.Namespace
) -> list[str]:
    """Build, check or prepare one edition of a lesson; what is out of date."""
    notebook = catalogue.with_suffix(".ipynb") if catalogue else folder / f"{source.stem}.ipynb"
    if args.slides:
        edition = folder / "slides" / (catalogue.parent.name if catalogue else "")
        slides.write(notebook, edition / f"{source.stem}.html")
        return []
    if args.check:
        return check(source, notebook, args.execute, args.model, catalogue)
    if args.translate:
        return make_catalogue(source, catalogue, args)
    lesson, found = read_lesson(source, catalogue)
    built, labels = run_lesson(lesson, notebook.parent, source.stem, args.model)
    write(built, notebook)
    if not catalogue:
        write_pictures(built, source.stem, folder / "pictures")
    return found + describe_labels(*labels)


def main(argv: list[str] | None = None, folder: Path = HERE) -> int:
    """Do what the command line says; 1 where something is stale or wrong, else 0."""
    parser = make_parser()
    args = parser.parse_args(argv)
    folder = folder / "exercises" if args.exercises else folder
    if args.execute and not args.check:
        parser.error("--execute goes with --check")
    if args.slides and (args.check or args.translate or args.exercises):
        parser.error("--slides goes with lessons and --language only")
    if args.accept and not (args.translate and args.names):
        parser.error("--accept goes with --translate and a lesson")
    failed = False
    try:
        sources = choose(args.names, folder)
        editions = [(s, c) for s in sources for c in choose_editions(s, folder, args)]
    except LessonError as error:
        parser.error(str(error))
    for source, catalogue in editions:
        name, started = source.stem, time.monotonic()
        if catalogue:
            name = f"{catalogue.parent.name}/{name}"
        try:
            if args.list:
                print(name)
                continue
            if found := handle(source, catalogue, folder, args):
                failed = True
                print(f"{name}: {', '.join(found)}")
            if args.execute or not args.check:  # what runs takes time; say how much
                print(f"{name}  {time.monotonic() - started:.1f} s", file=sys.stderr)
        except (LessonError, slides.SlidesError, translate.CatalogueError) as error:
            failed = True
            print(f"error: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
