"""The microscope in a notebook: see ``classroom.microscope.notebook``."""

from typing import Any


def microscope(sentence: str | None = None, **options: Any) -> None:
    """Open the microscope below: type a sentence, touch a number, switch parts off.

    ``model``: what ``load_model`` returned; ``state``: the part of an address after the #;
    ``height`` in pixels; ``live=False`` where the notebook runs on another machine than the
    browser. See ``classroom.microscope.notebook.microscope``.
    """
    from ..microscope.notebook import microscope  # a server: only who asks for it pays for it

    microscope(sentence, **options)
