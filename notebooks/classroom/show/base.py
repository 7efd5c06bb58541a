"""What all pictures share: colours, boxes, labels, and how a finished one is shown.

Matplotlib is imported when the first picture is drawn.
"""

import textwrap
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from .png import png
from .words import describe

# Each can be read on white, PALE, WARM and all SHADES: a contrast of 4.5 or more.
INK, QUIET, LIT, BLUE = "#222222", "#5b6470", "#b23a00", "#2f6299"
PALE, WARM, FAINT = "#eef1f4", "#ffe8dc", "#cdd3da"  # boxes, lit boxes, frames and guides
COLOURS = [BLUE, LIT, "#00695c", "#8a3b8f", "#6b5300", INK]  # of lines and their names
SHADES = ["#dbe9f6", "#fde3d0", "#dff0d8", "#eadcf2"]
SIGNED, WEIGHTS = "signed", "weights"  # quantities: what has a sign, and what is 0 or more
WIDTH = 7.2  # inches, of a picture as wide as the page
STEPS = 41  # shades of a palette, white among them; few, for the sake of small files
TALLEST = 6.5  # inches: 670 pixels, what a laptop shows at once
MOST_LABELS = 48  # beyond this, labels would run into one another
LONGEST_LABEL = 24  # characters; some tokens are eighty spaces or equal signs
WRAPPED, TO_WRAP = 22, "name to wrap"  # characters of a line of a long name; the mark of such
TOKEN = {"family": "monospace", "parse_math": False}  # a $ in a token is no formula
before_showing: list[Callable] = []  # each is called with a finished figure, and may change it


def subplots(*grid: int, figsize: tuple[float, float], **options):
    """``plt.subplots`` with our layout: the figure, and its place or grid of places.

    A figure is no higher than a screen, whatever ``figsize`` asks for.
    """
    import matplotlib.pyplot as plt

    width, height = figsize
    return plt.subplots(
        *grid, layout="constrained", figsize=(width, min(height, TALLEST)), **options
    )


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
    """The ink that can be read on a shade: black or white, one of which has a contrast of 4.5."""
    return max("black", "white", key=lambda ink: contrast(ink, shade))


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


def plus(place, x: float, y: float, sign: str = "+") -> None:
    """A sum, or another joining of two, in a small circle."""
    style = {"boxstyle": "circle,pad=0.12", "facecolor": "white", "edgecolor": INK}
    write(place, x, y, sign, 11, bbox=style)


def circle(place, radius: float) -> None:
    """A circle around the origin, quietly."""
    from matplotlib.patches import Circle

    place.add_patch(Circle((0, 0), radius, fill=False, color=FAINT))


def heading(place, title: str, size: int = 10) -> None:
    place.set_title(title, loc="left", fontsize=size, color=INK)


def label_ticks(axis, labels: Sequence[str] | None, n: int, **style) -> None:
    """Name the ``n`` ticks of an axis, where there is room for so many names."""
    if labels is not None and n <= MOST_LABELS:
        axis.set_ticks(range(n), short(labels), **{"fontsize": 8.5} | TOKEN | style)


def short(labels: Sequence[str], most: int = LONGEST_LABEL) -> list[str]:
    """Labels cut to ``most`` characters; ``<|begin_of_text|>`` is written ``<|bos|>``."""
    labels = [label.replace("begin_of_text", "bos") for label in labels]
    return [label if len(label) <= most else label[: most - 1] + "…" for label in labels]


def shading(quantity: str, limit: float) -> dict:
    """How a quantity is coloured up to ``limit``, as arguments of ``imshow``."""
    return {"cmap": palette(quantity), "vmin": -limit if quantity == SIGNED else 0, "vmax": limit}


def palette(quantity: str):
    """Signed numbers: blue, white at zero, red. Weights: white at zero to dark blue."""
    from matplotlib.colors import LinearSegmentedColormap

    if quantity == SIGNED:
        shades = colours("RdBu_r")
    elif quantity == WEIGHTS:
        blues = colours("Blues")(np.linspace(0, 1, 9)[1:])
        shades = LinearSegmentedColormap.from_list("weights", ["white", *blues])
    else:
        raise ValueError(f"expected {SIGNED!r} or {WEIGHTS!r}, got {quantity!r}")
    return shades.resampled(STEPS).with_extremes(bad="#d5d5d5")


def draw_colours(place, array: np.ndarray, quantity: str, limit: float):
    """A matrix as an image; what is not finite is grey."""
    image = place.imshow(
        np.ma.masked_invalid(array), aspect="auto", interpolation="nearest",
        **shading(quantity, limit),
    )  # fmt: skip
    place.spines[:].set_visible(False)
    place.tick_params(labelsize=8.5, color=QUIET)
    return image


def colour_bar(image, places, **room):
    """A quiet colour bar beside one place or several."""
    bar = image.figure.colorbar(image, ax=places, **room)
    bar.ax.tick_params(labelsize=8, color=QUIET)
    bar.outline.set_visible(False)
    return bar


def wrap_names(figure) -> None:
    """Break long names beside a picture into lines, now that they are in the reader's language."""
    for text in figure.findobj(lambda artist: artist.get_gid() == TO_WRAP):
        text.set_text(textwrap.fill(text.get_text(), WRAPPED))


def finish() -> None:
    """Show the figure that was drawn; in a notebook, with an alt text."""
    import matplotlib.pyplot as plt

    figure = plt.gcf()
    for change in before_showing:
        change(figure)
    wrap_names(figure)
    with warnings.catch_warnings():
        # A token in a script that the font lacks becomes an empty box; the rest can be read.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        if "inline" not in plt.get_backend():
            plt.show()
            return
        from IPython.display import display

        alt, (data, width) = describe(figure), png(figure)
        noted = {"image/png": {"alt": alt, "width": width}}
        display({"image/png": data, "text/plain": alt}, metadata=noted, raw=True)
        plt.close(figure)
