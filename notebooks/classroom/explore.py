"""Sliders: a reader's own sentence, block or temperature in place of a lesson's."""

import inspect
import math
import sys
from collections.abc import Callable, Mapping
from itertools import zip_longest

Choice = str | range | tuple[float, float]
Part = tuple[dict, dict]  # something to show: its data by MIME type, and what is noted on each


def explore(draw: Callable, **choices: Choice) -> None:
    """Call ``draw`` with a reader's choices: a live notebook offers a field or slider for each.

    A choice is a text, which readers replace by their own; a ``range`` of whole numbers; or the
    lowest and the highest of other numbers. A number begins at the default of draw's parameter,
    else at the lowest. ``draw`` prints, draws or returns what is to be shown, each time as many
    things; the message of a ``ValueError`` is shown as one line. Without ipywidgets, and on a page
    that is only read, there is what ``draw`` makes of the beginning.

    >>> def draw(sentence, block=2): print(f"{sentence}, block {block}")
    >>> explore(draw, sentence="Once upon a time", block=range(4))
    Once upon a time, block 2
    """
    values = {name: beginning(draw, name, choice) for name, choice in choices.items()}
    try:
        refuse(values, choices)
        if not in_notebook():
            draw(**values)
            return
        parts = collect(draw, values)
    except ValueError as error:
        print(in_a_line(error), file=sys.stderr)  # the cell can be mended and run again
        return
    controls = make_controls(choices, values)
    places = [place_for(part) for part in parts]

    def changed(_: object) -> None:
        chosen = {name: control.value for name, control in controls.items()}
        fill(places, answer(draw, chosen, choices))

    for control in controls.values():
        control.observe(changed, "value")


def beginning(draw: Callable, name: str, choice: Choice) -> str | float:
    """What a choice is before anything is chosen."""
    if isinstance(choice, str):
        return choice
    default = inspect.signature(draw).parameters[name].default
    return choice[0] if default is inspect.Parameter.empty else default


def refuse(values: Mapping[str, str | float], choices: Mapping[str, Choice]) -> None:
    """Raise ``ValueError`` for an empty text, or a number that is not offered.

    >>> refuse({"head": 9}, {"head": range(8)})
    Traceback (most recent call last):
    ValueError: head is 9: choose 0 to 7
    """
    for name, value in values.items():
        choice = choices[name]
        if isinstance(choice, str):
            if not value.strip():
                raise ValueError(f"{name} is empty: write at least one word")
        elif not (choice[0] <= value <= choice[-1]):
            raise ValueError(f"{name} is {value}: choose {choice[0]} to {choice[-1]}")


def in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


def collect(draw: Callable, values: Mapping[str, str | float]) -> list[Part]:
    """What ``draw`` shows, kept back: pictures and tables first, then all that it printed."""
    from IPython.display import display
    from IPython.utils.capture import capture_output

    with capture_output(stderr=False) as kept:
        returned = draw(**values)
        if returned is not None:
            display(returned)
    parts = [(output.data, output.metadata or {}) for output in kept.outputs]
    return parts + [({"text/plain": kept.stdout.rstrip("\n")}, {})] * bool(kept.stdout)


def answer(
    draw: Callable, values: Mapping[str, str | float], choices: Mapping[str, Choice]
) -> list[Part]:
    """What ``draw`` shows or, where it fails, one line that says why."""
    try:
        refuse(values, choices)
        return collect(draw, values)
    except Exception as error:  # whatever a reader has written: no traceback
        if "matplotlib" in sys.modules:
            sys.modules["matplotlib"].pyplot.close("all")  # what was drawn half
        return [({"text/plain": in_a_line(error)}, {})]


def in_a_line(error: Exception) -> str:
    """What an error says, in one line; its kind, too, where it was not made for readers.

    >>> in_a_line(ValueError("no such word"))
    'no such word'
    >>> in_a_line(KeyError("girl"))
    "KeyError: 'girl'"
    """
    said = " ".join(str(error).split())
    return said if isinstance(error, ValueError) and said else f"{type(error).__name__}: {said}"


def make_controls(choices: Mapping[str, Choice], values: Mapping[str, str | float]) -> dict:
    """A field or slider for each choice, on the page already; none without ipywidgets."""
    try:
        import ipywidgets
    except ImportError:
        return {}
    from IPython.display import display

    made = {}
    for name, choice in choices.items():
        common = {
            "value": values[name],
            "description": name,
            "continuous_update": False,  # a model takes its time: when the reader lets go
            "style": {"description_width": "7em"},
            "layout": {"width": "95%" if isinstance(choice, str) else "60%"},
        }
        if isinstance(choice, str):
            made[name] = ipywidgets.Text(**common)
        elif isinstance(choice, range):
            bounds = {"min": choice[0], "max": choice[-1], "step": choice.step}
            made[name] = ipywidgets.IntSlider(**bounds, **common)
        else:
            bounds = {"min": choice[0], "max": choice[1], "step": step(*choice)}
            made[name] = ipywidgets.FloatSlider(**bounds, **common)
    live = ipywidgets.VBox([*made.values()])._repr_mimebundle_()
    display(live | {"text/plain": f"Run this cell to choose: {', '.join(made)}"}, raw=True)
    return made


def step(low: float, high: float) -> float:
    """A power of ten that takes a slider from end to end in 10 to 100 steps.

    >>> step(0.1, 2.0), step(0, 50)
    (0.1, 1.0)
    """
    return 10.0 ** math.floor(math.log10((high - low) / 10))


def place_for(part: Part):
    """Show something that can be replaced later; the place where it stands.

    It is an output as any other, so that a page keeps it where the controls cannot live.
    """
    from IPython.display import display

    return display(part[0], metadata=part[1], raw=True, display_id=True)


def fill(places: list, parts: list[Part]) -> None:
    """Show other things in the same places; those that nothing is left for become empty."""
    nothing = ({"text/plain": ""}, {})
    for place, (data, noted) in zip_longest(places, parts[: len(places)], fillvalue=nothing):
        place.update(data, metadata=noted, raw=True)
