"""Turn the lessons' sources into executed notebooks: ``python notebooks/tools/build.py --help``."""

import argparse
import base64
import sys
import time
from pathlib import Path

LACKS = "building the lessons needs {}: pip install -r requirements.txt -r tests/requirements.txt"
LACKS_SITE = "the site needs {}: pip install -r notebooks/tools/requirements.txt"
try:
    import assignments
    import nbformat
    import pages
    import slides
    import translate
    from pages import LessonError

    from weights_tools.writing import replacing
except ModuleNotFoundError as missing:
    raise SystemExit(LACKS.format(missing.name)) from None

HEADER = """\
Every cell of a source (percent format, plain Python without magics) has a key of its own:
  # %% [markdown] key="why-norm"
  # %% key="norm-by-hand"
  # %% key="how-fast" tags=["timing"]     its output, or what a text quotes, may differ between runs
Markdown may quote what the code before it has computed, and claim what is true of it:
  The loss falls to {{ losses[-1] :.2f }}. {{ claim: losses[-1] < losses[0] }}
"""
PICTURES = {
    ("04_single_head_attention", "pattern-first"): "girl.png"
}  # lesson and cell: file in pictures/


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook: a build that is cut short leaves the old one whole."""
    with replacing(path) as beside:
        beside.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")


def write_pictures(notebook: nbformat.NotebookNode, name: str, folder: Path) -> None:
    """Copy the pictures that the README shows out of the lesson that draws them."""
    for cell in notebook.cells:
        if picture := PICTURES.get((name, cell.id)):
            (png,) = (o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {}))
            folder.mkdir(exist_ok=True)
            with replacing(folder / picture) as beside:
                beside.write_bytes(base64.b64decode(png))


def read_lesson(source: Path, catalogue: Path | None) -> tuple[nbformat.NotebookNode, list[str]]:
    """A lesson in English or, with a catalogue, translated; and what is not translated."""
    lesson = pages.read_source(source)
    if catalogue is None:
        return lesson, []
    return lesson, translate.apply(lesson, translate.read(catalogue), catalogue.parent.name)


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
    found = pages.compare_cells(fresh, stored)
    if run and not found:
        built, asked = pages.execute(fresh, notebook.parent, source.stem, model)
        found = pages.compare_outputs(built, stored)
        found += translate.describe_labels(*translate.compare_labels(built, asked))
    return untranslated + found


def source_folder(folder: Path) -> Path:
    """Where the sources of the pages in ``folder`` lie."""
    if folder.name == "exercises":
        return folder.parent / "source" / "exercises"
    return folder / "source"


def choose(names: list[str], folder: Path) -> list[Path]:
    """The sources that names mean: ``05`` is ``05_rope``, ``05b`` a page that goes on from it."""
    sources = sorted(source_folder(folder).glob("[0-9]*.py"))
    for name in names:
        if not any(name in (path.stem, path.stem.split("_")[0]) for path in sources):
            have = ", ".join(path.stem for path in sources) or "no lessons yet"
            raise LessonError(f"no lesson {name!r}; there are: {have}")
    return [p for p in sources if not names or {p.stem, p.stem.split("_")[0]} & set(names)]


def choose_editions(
    sources: list[Path], folder: Path, args: argparse.Namespace
) -> list[tuple[Path, Path | None]]:
    """Sources, each with a catalogue that a command means; None is the English edition."""
    translations, language = folder / "translations", args.language or args.translate
    if not language:
        every = sorted(translations.glob("*/*.po")) if args.check else []
        return [(s, c) for s in sources for c in [None, *(c for c in every if c.stem == s.stem)]]
    if not translate.LANGUAGE.fullmatch(language):
        raise LessonError(f"{language!r} names no language: give its code, such as pl")
    found = [(s, translations / language / f"{s.stem}.po") for s in sources]
    there = [(source, catalogue) for source, catalogue in found if catalogue.exists()]
    if args.names and not args.translate and there != found:
        lacking = next(source.stem for source, catalogue in found if not catalogue.exists())
        raise LessonError(f"{lacking} has no catalogue {language}/{lacking}.po: see --translate")
    if not (there or args.names):
        known = ", ".join(sorted({c.parent.name for c in translations.glob("*/*.po")})) or "none"
        raise LessonError(
            f"nothing is translated into {language!r} (there are: {known}); begin with: "
            f"--translate {language} and the name of a lesson"
        )
    return found if args.names else there


def make_catalogue(source: Path, catalogue: Path, args: argparse.Namespace) -> list[str]:
    """Write what a translator goes on with: every text and label; what is still to be done."""
    old, language = translate.read(catalogue), catalogue.parent.name
    lesson, _ = read_lesson(source, catalogue)
    _, asked = pages.execute(lesson, source.parent, source.stem, args.model)
    missing, _ = translate.compare_labels(lesson, asked)
    english = pages.read_source(source)
    translate.write(translate.refresh(english, old, language, missing, args.accept), catalogue)
    return read_lesson(source, catalogue)[1]


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Build the lessons: notebooks/source/NN_name.py -> notebooks/NN_name.ipynb, "
        "executed from a clean kernel. Building twice on one machine gives the same bytes.",
        epilog=HEADER,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="03, 05b or 05_rope (default: all)"
    )
    parser.add_argument("--list", action="store_true", help="name the lessons and stop")
    parser.add_argument("--check", action="store_true", help="change nothing; say what is stale")
    parser.add_argument("--execute", action="store_true", help="with --check: run, compare outputs")
    parser.add_argument(
        "--slides", action="store_true",
        help="write the built lessons as presentations, notebooks/slides/NN_name.html: each one "
        "file that opens without network (making the first needs it)",
    )  # fmt: skip
    parser.add_argument("--exercises", action="store_true", help="the exercises, not the lessons")
    parser.add_argument(
        "--nbgrader", type=Path, metavar="DIR",
        help="write the built exercises as source assignments of nbgrader, with solutions, points "
        "and hidden tests: DIR/source/NN_name/NN_name.ipynb",
    )  # fmt: skip
    parser.add_argument(
        "--site", type=Path, metavar="DIR",
        help="write everything as a website, a book that can also be run in a browser: needs "
        "pip install -r notebooks/tools/requirements.txt; takes some minutes",
    )  # fmt: skip
    parser.add_argument(
        "--pyodide", type=Path, metavar="DIR",
        help="with --site: put this distribution of Pyodide into it, so that it needs no network",
    )  # fmt: skip
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
    built, asked = pages.execute(lesson, notebook.parent, source.stem, args.model)
    write(built, notebook)
    if not catalogue:
        write_pictures(built, source.stem, folder / "pictures")
    return found + translate.describe_labels(*translate.compare_labels(built, asked))


def write_assignments(exercises: list[Path], args: argparse.Namespace) -> int:
    """The exercises for nbgrader, and what to do next."""
    try:
        assignments.write_course(exercises, args.nbgrader)
    except (LessonError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.nbgrader / 'source'}: {len(exercises)} assignments, solutions in them")
    print(f"next:  cd {args.nbgrader} && nbgrader generate_assignment {exercises[0].stem}")
    return 0


def write_site(folder: Path, pyodide: Path | None) -> int:
    """The website, and how to look at it."""
    try:
        import book

        book.write(folder, pyodide)
    except ModuleNotFoundError as missing:
        print(f"error: {LACKS_SITE.format(missing.name)}", file=sys.stderr)
        return 1
    except (LessonError, slides.SlidesError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{folder}: open {folder / 'index.html'}")
    print(
        f"with the lessons that run:  {sys.executable} -m http.server --bind 127.0.0.1 -d {folder}"
    )
    return 0


def main(argv: list[str] | None = None, folder: Path = pages.NOTEBOOKS) -> int:
    """Do what the command line says; 1 where something is stale or wrong, else 0."""
    parser = make_parser()
    args = parser.parse_args(argv)
    folder = folder / "exercises" if args.exercises or args.nbgrader else folder
    if args.execute and not args.check:
        parser.error("--execute goes with --check")
    if args.slides and (args.check or args.translate or args.exercises):
        parser.error("--slides goes with lessons and --language only")
    if args.nbgrader and (args.check or args.slides or args.translate or args.language):
        parser.error("--nbgrader goes with names of exercises only")
    if args.accept and not (args.translate and args.names):
        parser.error("--accept goes with --translate and a lesson")
    if args.pyodide and not args.site:
        parser.error("--pyodide goes with --site")
    if args.site:
        alone = [f"--site={args.site}", *([f"--pyodide={args.pyodide}"] if args.pyodide else [])]
        if args != parser.parse_args(alone):
            parser.error("--site goes with --pyodide alone: it takes every page as it is")
        return write_site(args.site, args.pyodide)
    failed = False
    try:
        editions = choose_editions(choose(args.names, folder), folder, args)
    except LessonError as error:
        parser.error(str(error))
    if args.nbgrader:
        return write_assignments([folder / f"{source.stem}.ipynb" for source, _ in editions], args)
    for source, catalogue in editions:
        name, started = source.stem, time.monotonic()
        if catalogue:
            name = f"{catalogue.parent.name}/{name}"
        if args.list:
            print(name)
            continue
        try:
            if found := handle(source, catalogue, folder, args):
                failed = True
                print(f"{name}: {', '.join(found)}")
            if args.execute or not args.check:  # what runs takes time; say how much
                print(f"{name}  {time.monotonic() - started:.1f} s", file=sys.stderr)
        except (LessonError, slides.SlidesError, translate.CatalogueError) as error:
            failed = True
            print(f"error: {error}", file=sys.stderr)
        except ModuleNotFoundError as missing:  # slides are made with what a learner has
            raise SystemExit(LACKS.format(missing.name)) from None
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
