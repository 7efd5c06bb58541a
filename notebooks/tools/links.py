"""Every link of a folder of HTML pages leads to a file that is there, and to a place in it."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ADDRESSES = {"a": "href", "link": "href", "img": "src", "script": "src", "iframe": "src"}


class Page(HTMLParser):
    """The places of a page that can be linked to, and where its own links lead."""

    def __init__(self, text: str):
        super().__init__()
        self.places, self.targets = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.places |= {attrs[name] for name in ("id", "name") if attrs.get(name)}
        if target := attrs.get(ADDRESSES.get(tag)):
            self.targets.append(target)


def dead(folder: Path, lite: str) -> list[str]:
    """The links within a site that lead nowhere, each with the page that has it.

    ``lite`` is the folder of JupyterLite: what is run there is named behind the ``?`` of a link.
    Its own pages, and what themes keep in ``_static``, are not looked at.
    """
    folder = folder.resolve()
    pages = {
        path: Page(path.read_text(encoding="utf-8"))
        for path in folder.rglob("*.html")
        if path.relative_to(folder).parts[0] not in (lite, "_static")
    }
    found = []
    for path, page in sorted(pages.items()):
        for target in dict.fromkeys(page.targets):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            to = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            to = to / "index.html" if to.is_dir() else to
            if parts.query.startswith("path="):
                to = folder / lite / "files" / unquote(parts.query.removeprefix("path="))
            place = unquote(parts.fragment)
            known = pages.get(to)
            if not to.exists() or (place and known and place not in known.places):
                found.append(f"{path.relative_to(folder)}: {target}")
    return found
