"""The words of a picture: put into another language, and said to those who cannot see it."""

import re
from collections.abc import Mapping, Sequence

MOST_SAID = 36  # names that a picture's alt text lists


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


def say(sentence: str, **style) -> None:
    """Add a sentence to the alt text of the picture that is being drawn: a text out of sight.

    Style it as a token where it holds names and numbers only, nothing to translate.
    """
    import matplotlib.pyplot as plt

    plt.gcf().text(0, 0, sentence, visible=False, **style)


def describe(figure) -> str:
    """What a figure says: titles, axes, and their labels; then the sentences it was given."""
    places = [place for place in figure.axes if place.get_label() != "<colorbar>"]
    said = [f"{text.get_text()}." for text in figure.texts if not text.get_visible()]
    return " ".join(filter(None, [*map(describe_place, places), *said]))


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
