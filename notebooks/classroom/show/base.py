"""What all pictures share: colours, boxes, labels, and how a finished one is shown.

Matplotlib is imported when the first picture is drawn.
"""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np

# Each can be read on white, PALE, WARM and all SHADES: a contrast of 4.5 or more.
INK, QUIET, LIT, BLUE = "#222222", "#5b6470", "#b23a00", "#2f6299"
PALE, WARM, FAINT = "#eef1f4", "#ffe8dc", "#cdd3da"  # boxes, lit boxes, frames and guides
SHADES = ["#dbe9f6", "#fde3d0", "#dff0d8", "#eadcf2"]
SIGNED, WEIGHTS = "signed", "weights"  # quantities: what has a sign, and what is 0 or more
PALETTES = {SIGNED: "RdBu_r", WEIGHTS: "Blues"}  # round white, and from white to dark
WIDTH = 7.2  # inches, of a picture as wide as the page
MOST_LABELS = 48  # beyond this, labels would run into one another
LONGEST_LABEL = 24  # characters; some tokens are eighty spaces or equal signs
MOST_SAID = 24  # names that a picture's alt text lists
TOKEN = {"family": "monospace", "parse_math": False}  # a $ in a token is no formula
before_showing: list[Callable] = []  # each is called with a finished figure, and may change it


def subplots(*grid: int, **options):
    """``plt.subplots`` with our layout: the figure, and its place or grid of places."""
    import matplotlib.pyplot as plt

    return plt.subplots(*grid, layout="constrained", **options)


def canvas(width: float, height: float):
    """An empty place for a drawing, measured in inches from its lower left corner."""
    import matplotlib.pyplot as plt

    place = plt.figure(figsize=(width + 0.1, height)).add_axes((0, 0, 1, 1))
    place.set(xlim=(-0.05, width + 0.05), ylim=(0, height))
    place.axis("off")
    return place


def colours(name: str):
    """A colour map of matplotlib."""
    import matplotlib as mpl

    return mpl.colormaps[name]


def box(
    place, x: float, y: float, width: float, height: float, colour, edge="none", rounding=0.06
) -> None:
    """A box with round corners; x and y are those of its lower left corner."""
    from matplotlib.patches import FancyBboxPatch

    style = f"round,pad=0,rounding_size={rounding}" if rounding else "square,pad=0"
    place.add_patch(FancyBboxPatch((x, y), width, height, style, fc=colour, ec=edge, linewidth=1.4))


def arrow(place, start: tuple, end: tuple, colour: str = QUIET, **style) -> None:
    """An arrow from one point to another."""
    from matplotlib.patches import FancyArrowPatch

    style = {"arrowstyle": "-|>", "mutation_scale": 9, "color": colour, "linewidth": 1.2} | style
    place.add_patch(FancyArrowPatch(start, end, **style))


def bent(place, *points: tuple, colour: str = QUIET) -> None:
    """An arrow along several points."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    place.add_patch(
        FancyArrowPatch(
            path=Path(points), arrowstyle="-|>", mutation_scale=9, color=colour, linewidth=1.2,
            fill=False, joinstyle="round",
        )
    )  # fmt: skip


def curve(place, points: Sequence[tuple], colour: str, **style) -> None:
    """A smooth line from the first of four points to the last, bent towards the two between."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    path = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    place.add_patch(PathPatch(path, fill=False, edgecolor=colour, capstyle="round", **style))


def luminance(colour) -> float:
    """How light a colour is, from 0 to 1, as the accessibility guidelines (WCAG 2) count it."""
    from matplotlib.colors import to_rgb

    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other) -> float:
    """The contrast of two colours, from 1 to 21; text should have 4.5."""
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def ink_on(shade) -> str:
    """The ink that can be read on a shade: dark or white."""
    return max(INK, "white", key=lambda ink: contrast(ink, shade))


def write(place, x: float, y: float, text: str, size: float = 9, colour: str = INK, **style):
    """Centred text."""
    style = {"ha": "center", "va": "center", "fontsize": size, "color": colour} | style
    return place.text(x, y, text, **style)


def part(
    place, x: float, y: float, text: str, *, note: str = "", lit: bool = False, width: float = 0.8,
    height: float = 0.42, sheets: int = 1,
) -> None:  # fmt: skip
    """A named box around (x, y), its shape noted below; several heads are sheets behind it."""
    fill, edge = (WARM, LIT) if lit else (PALE, FAINT)
    left, bottom = x - width / 2, y - height / 2
    for n in reversed(range(min(sheets, 8))):
        box(place, left + 0.02 * n, bottom + 0.02 * n, width, height, fill, edge)
    write(place, x, y, text, 9.5, LIT if lit else INK)
    write(place, x, bottom - 0.12, note, 8.5, QUIET)


def plus(place, x: float, y: float, sign: str = "+", colour: str = INK) -> None:
    """A sum, or another joining of two, in a small circle."""
    style = {"boxstyle": "circle,pad=0.12", "facecolor": "white", "edgecolor": colour}
    write(place, x, y, sign, 11, colour, bbox=style)


def circle(place, radius: float) -> None:
    """A circle around the origin, quietly."""
    from matplotlib.patches import Circle

    place.add_patch(Circle((0, 0), radius, fill=False, color=FAINT))


def heading(place, title: str, size: int = 10) -> None:
    place.set_title(title, loc="left", fontsize=size, color=INK)


def label_ticks(axis, labels: Sequence[str] | None, n: int, **style) -> None:
    """Name the ``n`` ticks of an axis, where there is room for so many names."""
    if labels is not None and n <= MOST_LABELS:
        axis.set_ticks(range(n), short(labels), **{"fontsize": 8} | TOKEN | style)


def short(labels: Sequence[str], most: int = LONGEST_LABEL) -> list[str]:
    """Labels cut to ``most`` characters; ``<|begin_of_text|>`` is written ``<|bos|>``."""
    labels = [label.replace("begin_of_text", "bos") for label in labels]
    return [label if len(label) <= most else label[: most - 1] + "…" for label in labels]


def shading(quantity: str, limit: float) -> dict:
    """How a quantity is coloured up to ``limit``, as arguments of ``imshow``."""
    shades = colours(PALETTES[quantity]).with_extremes(bad="#d5d5d5")
    return {"cmap": shades, "vmin": -limit if quantity == SIGNED else 0, "vmax": limit}


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
    said = "".join(f" {text.get_text()}." for text in figure.texts if not text.get_visible())
    return " ".join(filter(None, map(describe_place, places))) + said


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


def say(sentence: str) -> None:
    """Add what a picture shows to its alt text: a text of the figure that is not drawn."""
    import matplotlib.pyplot as plt

    plt.gcf().text(0, 0, sentence, visible=False)


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
