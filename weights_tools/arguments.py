"""Values of options that several commands share."""

import argparse
import os
import re
from pathlib import Path


def seed(text: str) -> int:
    """What NumPy's generators take: a whole number of 0 or more.

    Raises ``argparse.ArgumentTypeError``, which names the option.
    """
    if not re.fullmatch(r"\d+", text.strip()):
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got {text!r}")
    return int(text)


def expand_user(path: str | os.PathLike) -> Path:
    """A path with ``~`` or ``~name`` in front spelt out.

    Raises ``ValueError`` where there is nobody of that name.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        who = os.fspath(path).replace("\\", "/").partition("/")[0]
        raise ValueError(
            f"{path}: expected a path, but nobody here is called {who[1:]!r}"
        ) from None
