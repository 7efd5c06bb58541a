"""What all pictures share: colours, boxes, labels, and how a finished one is shown.

Matplotlib is imported when the first picture is drawn.
"""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np

INK, QUIET, LIT, PALE, BLUE = "#222222", "#8a8a8a", "#d9480f", "#eef1f4", "#4c78a8"
SHADES = ["#dbe9f6", "#fde3d0", "#dff0d8", "#eadcf2"]
MOST_LABELS = 48  # beyond this, labels would run into one another
LONGEST_LABEL = 24  # characters; some tokens are eighty spaces or equal signs
MOST_SAID = 24  # names that a picture's alt text lists
TOKEN = {"family": "monospace", "parse_math": False}  # a $ in a token is no formula
before_showing: list[Callable] = []  # each is called with a finished figure, and may change it


def subplots(*grid: int, **options):
    """``plt.subplots`` with our layout: the figure, and its place or grid of places."""
    import matplotlib.pyplot as plt

    return plt.subplots(*grid, layout="constrained", **options)


def colours(name: str):
    """A colour map of matplotlib."""
    import matplotlib as mpl

    return mpl.colormaps[name]


def box(place, x: float, y: float, width: float, height: float, colour: str, edge="none") -> None:
    """A box with round corners; x and y are those of its lower left corner."""
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.06"
    place.add_patch(FancyBboxPatch((x, y), width, height, style, fc=colour, ec=edge, linewidth=1.4))


def arrow(place, start: tuple, end: tuple, colour: str = QUIET, **style) -> None:
    """An arrow from one point to another."""
    from matplotlib.patches import FancyArrowPatch

    style = {"arrowstyle": "-|>", "mutation_scale": 9, "color": colour, "linewidth": 1.2} | style
    place.add_patch(FancyArrowPatch(start, end, **style))


def circle(place, radius: float) -> None:
    """A circle around the origin, quietly."""
    from matplotlib.patches import Circle

    place.add_patch(Circle((0, 0), radius, fill=False, color="#d5dae0"))


def heading(place, title: str, size: int = 10) -> None:
    place.set_title(title, loc="left", fontsize=size, color=INK)


def label_ticks(axis, labels: Sequence[str] | None, n: int, **style) -> None:
    """Name the ``n`` ticks of an axis, where there is room for so many names."""
    if labels is not None and n <= MOST_LABELS:
        axis.set_ticks(range(n), short(labels), **{"fontsize": 8} | TOKEN | style)


def short(labels: Sequence[str]) -> list[str]:
    return [t if len(t) <= LONGEST_LABEL else t[: LONGEST_LABEL - 1] + "…" for t in labels]


def draw_colours(place, array: np.ndarray, limit: float | None) -> None:
    """A matrix as an image, with its colour bar."""
    finite = array[np.isfinite(array)]
    signed = finite.min() < 0
    limit = limit or float(np.abs(finite).max()) or 1.0
    shades = colours("RdBu_r" if signed else "Blues").with_extremes(bad="#d5d5d5")
    image = place.imshow(
        np.ma.masked_invalid(array), cmap=shades, vmin=-limit if signed else 0, vmax=limit,
        aspect="auto", interpolation="nearest",
    )  # fmt: skip
    colour_bar(image, place, pad=0.02, fraction=0.05)
    place.spines[:].set_visible(False)
    place.tick_params(labelsize=8, color=QUIET)


def colour_bar(image, places, **room):
    """A quiet colour bar beside one place or several."""
    bar = image.figure.colorbar(image, ax=places, **room)
    bar.ax.tick_params(labelsize=7, color=QUIET)
    bar.outline.set_visible(False)
    return bar


def words(figure) -> list:
    """The texts of a figure that are words; tokens stand in monospace."""
    from matplotlib.text import Text

    return [text for text in figure.findobj(Text) if "monospace" not in text.get_family()]


class Labels:
    """Puts other words into pictures: ``before_showing.append(Labels({English: translated}))``.

    ``{}`` in a label is what the lesson fills in, a block's number say. ``asked`` holds each text
    that was met, and the label that it matched, or None.
    """

    def __init__(self, labels: Mapping[str, str]):
        self.labels, self.asked = labels, {}

    def __call__(self, figure) -> None:
        for text in words(figure):
            text.set_text(self.translated(text.get_text()))

    def translated(self, text: str) -> str:
        """What there is for a text of a picture, or the text itself."""
        self.asked[text] = None
        for english, other in self.labels.items():
            if found := re.fullmatch(re.escape(english).replace(r"\{\}", "(.*)"), text):
                self.asked[text] = english
                for value in found.groups():
                    other = other.replace("{}", value, 1)
                return other
        return text


def describe(figure) -> str:
    """What a figure says, for those who cannot see it: titles, axes, and their labels."""
    places = [place for place in figure.axes if place.get_label() != "<colorbar>"]
    return " ".join(filter(None, map(describe_place, places)))


def describe_place(place) -> str:
    """Title, axes with the names on their ticks, names of lines, other texts: a sentence each."""
    said = [place.get_title(loc="left")]
    if place.axison:
        for letter, axis in (("x", place.xaxis), ("y", place.yaxis)):
            named = listed([tick.get_text() for tick in ticks(axis)])
            words = filter(None, [axis.get_label_text(), named and f"({named})"])
            said.append(" ".join([f"{letter}:", *words]))
    said.append(listed(place.get_legend_handles_labels()[1]))
    said.append(listed([text.get_text() for text in place.texts]))
    sentences = (" ".join(each.split()) for each in said if not each.endswith(":"))
    return " ".join(f"{each}." for each in sentences if each)


def ticks(axis) -> list:
    """The ticks of an axis that carry names, not numbers."""
    from matplotlib.ticker import FuncFormatter  # what ``set_ticks`` with labels leaves behind

    return axis.get_ticklabels() if isinstance(axis.get_major_formatter(), FuncFormatter) else []


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    names = [name.strip() for name in names if name.strip()]
    more = f" (+{len(names) - MOST_SAID})" if len(names) > MOST_SAID else ""
    return ", ".join(names[:MOST_SAID]) + more


def finish() -> None:
    """Show the figure that was drawn; in a notebook, with an alt text."""
    import matplotlib.pyplot as plt

    figure = plt.gcf()
    for change in before_showing:
        change(figure)
    with warnings.catch_warnings():
        # A token in a script that the font lacks becomes an empty box; the rest can be read.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        if "inline" not in plt.get_backend():
            plt.show()
            return
        from IPython.display import display

        display(figure, metadata={"image/png": {"alt": describe(figure)}})
        plt.close(figure)
