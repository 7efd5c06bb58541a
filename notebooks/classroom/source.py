"""Show the code of a function."""

import ast
import inspect
import textwrap
from collections.abc import Callable


class source:
    """The code of a function as it stands in the library, without its docstring.

    A notebook shows it as Python; ``help(function)`` shows the docstring.
    """

    def __init__(self, function: Callable):
        text = textwrap.dedent(inspect.getsource(function))
        body = ast.parse(text).body[0].body
        lines = text.splitlines()
        if ast.get_docstring(ast.parse(text).body[0]) is not None:
            del lines[body[0].lineno - 1 : body[0].end_lineno]
        self.text = "\n".join(lines)

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.text}\n```"

    def __repr__(self) -> str:
        return self.text
