"""How Sphinx makes the book out of what ``book.py`` has laid out; see https://myst-nb.readthedocs.io."""

import hashlib
import os
import re
from base64 import b64decode
from pathlib import Path

import nbformat
from docutils import nodes

project = "Llama 3 in pure NumPy"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_title = project
html_theme = "sphinx_book_theme"
html_theme_options = {
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
    "use_download_button": False,  # the line under each title has the notebook itself
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "footer_content_items": [],  # neither author nor copyright: the licence lies in the repository
    "navbar_persistent": [],  # one search field is enough
}
if repository := os.environ.get("GITHUB_REPOSITORY"):  # on GitHub, where a copy publishes its site
    html_theme_options["repository_url"] = f"https://github.com/{repository}"
    html_theme_options["use_repository_button"] = True
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = [("book.js", {"defer": "defer"})]
html_extra_path = ["_extra"]  # as it is: notebooks to download, slides, the microscope
html_copy_source = html_show_sourcelink = False
html_show_copyright = html_show_sphinx = False
mathjax_path = "tex-svg.js"  # lies in _static, so that the book needs no network

nb_execution_mode = "off"  # the notebooks are committed with their outputs
nb_render_markdown_format = "myst"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = True
exclude_patterns = ["_extra"]
suppress_warnings = ["mystnb.unknown_mime_type", "misc.highlighting_failure"]

default_role = "code"  # `name` in a docstring is code, as in Markdown
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the shapes in the signatures stay, the types are not written twice
autodoc_preserve_defaults = True
add_module_names = False


def set_alts(app, tree) -> None:
    """Give the pictures the alternative texts of the notebooks: myst-nb names them by digest."""
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    alts = {}
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            if alt := output.get("metadata", {}).get("image/png", {}).get("alt"):
                alts[hashlib.sha256(b64decode(output.data["image/png"])).hexdigest()] = alt
    for image in tree.findall(nodes.image):
        if alt := alts.get(Path(image["uri"]).stem):
            image["alt"] = alt


def escape_bars(app, what, name, obj, options, lines) -> None:
    """In a docstring ``<|eot_id|>`` is text; Sphinx takes ``|eot_id|`` for a name of its own."""
    for i, line in enumerate(lines):
        pieces = re.split(r"(``?[^`]+``?)", line)
        pieces[::2] = [piece.replace("|", "\\|") for piece in pieces[::2]]
        lines[i] = "".join(pieces)


def skip_fields(app, what, name, obj, skip, options) -> bool | None:
    """The fields of a named tuple, of which Python says only their numbers: the class says more."""
    return True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field") else None


def setup(app) -> None:
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("autodoc-process-docstring", escape_bars)
    app.connect("doctree-read", set_alts)
