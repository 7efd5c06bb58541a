"""One module a command, with HELP, DESCRIPTION, add_arguments and run.

Here: how a run of any of them ends.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from ..terminal import plain_streams
from ..writing import why


def exit_status(run: Callable[[argparse.Namespace], int | None], args: argparse.Namespace) -> int:
    """Run a command; an error is one line, and nothing printed is a command to the terminal."""
    keep_numbers()
    with plain_streams():
        return run_or_say_why(run, args)


def run_or_say_why(
    run: Callable[[argparse.Namespace], int | None], args: argparse.Namespace
) -> int:
    """The exit status of a command; what stops it is told in one line."""
    try:
        # numbers too large for float32 are looked for, not warned of in the middle of a text
        with tidying_up(), np.errstate(over="ignore", invalid="ignore"):
            status = run(args)
            sys.stdout.flush()
        return status or 0
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        nameless = error.errno is not None and error.filename is None  # files of ours have names
        print(f"error: {f'standard output: {why(error)}' if nameless else error}", file=sys.stderr)
        return 1
    except (ValueError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; start again with the same options", file=sys.stderr)
        return 130


def keep_numbers() -> None:
    """Let no file of ours get the number of a standard stream that is closed, 0 to 2."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


@contextmanager
def tidying_up() -> Iterator[None]:
    """Within, a signal to end is an exception, as an interruption is; afterwards all is as before.

    A signal that is ignored (SIGHUP, under nohup) stays so.
    """
    before = {}
    for name in {"SIGTERM", "SIGHUP"} & set(dir(signal)):
        number = getattr(signal, name)
        try:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, lambda n, _: sys.exit(128 + n))
        except ValueError:
            break  # not the main thread: whoever called us deals with signals
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
