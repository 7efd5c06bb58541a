"""``show.microscope()``: the page in a notebook, answered by the kernel."""

import html
import sys
from functools import lru_cache
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlencode

from weights_tools import load_model

from .answers import answers
from .offline import as_page
from .server import make_server
from .state import requests_of

FRAME = """\
<div><iframe title="The microscope" style="width: 100%; height: {height}px; border: 0"
srcdoc="{page}"></iframe></div>"""
own_model = lru_cache(maxsize=1)(load_model)  # a cell that is run again loads nothing again


def microscope(
    sentence: str | None = None,
    *,
    model: Any = None,
    state: str = "",
    height: int = 900,
    live: bool = sys.platform != "emscripten",
) -> None:
    """Show the microscope in a notebook: touch a number of the model, and it answers.

    ``model`` is what ``load_model`` returned; without one it is loaded as the command does.
    ``state`` is the part of an address after the #, ``height`` in pixels. The kernel answers, on
    this machine only, until it ends; the address is printed, too, for a window of its own. Where
    the notebook runs on another machine than the browser, take ``live=False``: a page that holds
    what is open, and asks nobody. In a browser's own Python, which can serve nothing, there is only
    that. Raises ``ValueError`` for a sentence or a state that is none.
    """
    from IPython.display import HTML, IFrame, display

    state = with_sentence(state, sentence)
    answer = answers(own_model() if model is None else model)
    if not live:
        frame = FRAME.format(page=html.escape(as_page(answer, state)), height=height)
        display(HTML(frame))
        return
    answer(requests_of(state)[0])  # what cannot be shown is refused here
    server = make_server(answer, framed=True)
    Thread(target=server.serve_forever, daemon=True).start()
    address = server.address + (f"#{state}" if state else "")
    print(f"The microscope: {address}")
    display(IFrame(address, width="100%", height=height))


def with_sentence(state: str, sentence: str | None) -> str:
    """A state without its #, with another sentence in it if there is one.

    >>> with_sentence("#b=1&s=Once", "A cat")
    'b=1&s=A+cat'
    """
    state = state.removeprefix("#")
    return state if sentence is None else urlencode(dict(parse_qsl(state)) | {"s": sentence})
