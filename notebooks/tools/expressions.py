"""What prose quotes: ``{{ loss.mean() :.2f }}`` and ``{{ claim: loss < 3 }}``, for ``pages.py``.

A number in a markdown cell is an expression, a space, and a colon with a format; it is evaluated in
the page's own kernel at that place, so that the prose cannot say another number than the code. A
claim leaves nothing behind where it is true, and stops the build where it is not.
"""

import re
from typing import NamedTuple

BRACES = re.compile(r"\{\{ (claim: )?(.+?)(?: :(\S*))? \}\}")


class Expression(NamedTuple):
    """What stands between two braces."""

    code: str
    format: str
    claim: bool

    @property
    def to_evaluate(self) -> str:
        """Python whose value is the text to fill in or, of a claim, whether it is true."""
        return f"bool({self.code})" if self.claim else f"format({self.code}, {self.format!r})"


def find(text: str) -> list[Expression]:
    """The expressions of a markdown cell, in their order.

    >>> find("It is {{ x[1:].max() :.2f }}.{{ claim: x.min() > 0 }}")[0]
    Expression(code='x[1:].max()', format='.2f', claim=False)
    """
    return [Expression(m[2], m[3] or "", bool(m[1])) for m in BRACES.finditer(text)]


def fill(text: str, values: list) -> str:
    """The text with a value for each of its expressions; a claim that is false becomes a note.

    >>> fill("It is {{ x :.2f }}.{{ claim: x > 0 }}", ["0.50", False])
    'It is 0.50. *(On this model that does not hold: `x > 0`.)*'
    """
    given = iter(values)

    def value(match: re.Match) -> str:
        if not match[1]:
            return next(given)
        return "" if next(given) else f" *(On this model that does not hold: `{match[2]}`.)*"

    lines = []
    for line in text.splitlines():
        filled = BRACES.sub(value, line)
        if filled.strip() or not line.strip():  # a claim on a line of its own leaves none
            lines.append(filled)
    return "\n".join(lines)


def fits(filled: str, text: str) -> bool:
    """Whether a built cell can have come from a text, whatever its numbers are.

    >>> fits("It is 0.50.", "It is {{ x :.2f }}."), fits("It was 0.50.", "It is {{ x :.2f }}.")
    (True, False)
    """
    quoted = fill(text, [True if each.claim else "\0" for each in find(text)])
    return re.fullmatch(re.escape(quoted).replace("\0", ".+?"), filled, re.S) is not None


def find_fault(text: str) -> str | None:
    """What looks like an expression and is none, if anything."""
    left = BRACES.sub("", text)
    return "{{ without }} on the same line" if "{{ " in left or " }}" in left else None
