"""python -m classroom.audit [TASK ...]: can a check be fooled?"""

import argparse
import os
import sys
import tempfile

from ..check.tasks import ORDER, TASKS
from .audit import report


def main(argv: list[str] | None = None) -> int:
    """1 where a mutant passes that should not, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m classroom.audit",
        description="For whoever writes tasks: changes every solution in every small way, and "
        "names the mutants that pass all the same. A minute or two for all.",
    )
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="such as rms_norm (default: all)")
    args = parser.parse_args(argv)
    if unknown := [name for name in args.tasks if name not in TASKS]:
        parser.error(f"no task {unknown[0]!r}; there are: {', '.join(TASKS)}")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LLAMA_PROGRESS"] = folder  # the solutions alone, nobody's own functions
        for line in report([TASKS[name] for name in args.tasks] or ORDER):
            print(line, flush=True)
            failed |= line.startswith("    ")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
