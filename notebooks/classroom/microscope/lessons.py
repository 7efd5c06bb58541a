"""A lesson as a page to read: what a cell of the microscope links to."""

from functools import cache
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[2]


@cache
def as_html(name: str) -> str:
    """A lesson by the name of its notebook, with its outputs. One line where it cannot be shown."""
    try:
        from nbconvert import HTMLExporter  # it takes a second, and few pages ask for it

        return HTMLExporter(embed_images=True).from_filename(str(NOTEBOOKS / f"{name}.ipynb"))[0]
    except (ImportError, OSError):
        return f"<!doctype html><title>{name}</title><p>Open notebooks/{name}.ipynb in Jupyter.</p>"
