"""Values of options that several commands share."""

import argparse
import re


def seed(text: str) -> int:
    """What NumPy's generators take: a whole number of 0 or more.

    Raises ``argparse.ArgumentTypeError``, which names the option.
    """
    if not re.fullmatch(r"\d+", text.strip()):
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got {text!r}")
    return int(text)
