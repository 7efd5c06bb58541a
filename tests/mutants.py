"""Does the suite notice wrong code? Small changes, one at a time, each against the tests near it.

    python -m tests.mutants --count 60 --seed 1
    python -m tests.mutants --only llama_np/rope.py --list
    python -m tests.mutants --whole     what the near tests let through meets all of them

A change that no test notices points at a test that is missing (or changes nothing that matters:
read the diff). The tree is copied into a temporary folder; the checkout stays untouched.
"""

import argparse
import ast
import copy
import difflib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TREE = (
    *("pyproject.toml", "requirements.txt", "README.md", "SECURITY.md", "LICENSE", ".gitignore"),
    *(".binder", ".ci", ".devcontainer", ".github"),  # of which tests of the documents speak
    *("llama_np", "weights_tools", "notebooks", "tests"),
)
FOLDERS = ("unit", "formats", "oracle", "course")
OTHERS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
FAILED = re.compile(  # a test with parameters may have " - " within its brackets
    r"^(?:FAILED|ERROR) (\S+?\.py(?:::[^\[\n]*?(?:\[.*?\])?)?)(?: - .*)?$", re.MULTILINE
)
EVERYTHING, LONGEST = ("tests", "llama_np", "weights_tools"), 1800  # all tests; seconds for them
CALLS = ("lower", "upper", "copy", "expanduser", "strip", "rstrip", "absolute", "resolve")

WITHOUT_EFFECT = {  # prose, speed, checks of ourselves
    "help", "metavar", "description", "prog", "copy", "flush", "usedforsecurity", "strict"
}  # fmt: skip


class Mutant(NamedTuple):
    """One change: the characters from ``start`` to ``end`` of a file become ``text``."""

    path: str
    line: int
    kind: str
    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        return source[: self.start] + self.text + source[self.end :]

    def diff(self, source: str) -> str:
        pair = source.splitlines(), self.apply(source).splitlines()
        lines = list(difflib.unified_diff(*pair, n=0, lineterm=""))
        return "\n".join(f"    {line}" for line in lines[3:])


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The wrong versions of one node, each with its kind; the node itself stays as it is."""

    def put(**fields) -> ast.AST:
        other = copy.copy(node)
        vars(other).update(fields)
        return other

    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) if type(op) in OTHERS:
            yield ("and/or" if isinstance(node, ast.BoolOp) else "sign"), put(op=OTHERS[type(op)]())
        case ast.Compare(ops=[op]) if type(op) in OTHERS:
            yield "comparison", put(ops=[OTHERS[type(op)]()])
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            yield "sign", operand
        case ast.Constant(value=bool(value)):
            yield "constant", put(value=not value)
        case ast.Constant(value=int(value)):
            yield "constant", put(value=value + 1)
        case ast.Constant(value=float(value)):
            yield "constant", put(value=value * 1.05 if value else 1.0)
        case ast.Slice(lower=lower, upper=upper):
            for field, bound in (("lower", lower), ("upper", upper)):
                if bound is not None:
                    more = ast.BinOp(bound, ast.Add(), ast.Constant(1))
                    yield "off by one", put(**{field: more})
        case ast.IfExp(body=body, orelse=orelse):
            yield "swapped", put(body=orelse, orelse=body)
        case ast.Attribute(attr=attr, value=value) if attr == "T":
            yield "axis", value
        case ast.Call(func=ast.Attribute(attr=attr, value=value), args=[]) if attr in CALLS:
            yield "dropped call", value
        case ast.Call(args=args, keywords=keywords):
            for i, (a, b) in enumerate(zip(args, args[1:], strict=False)):
                if ast.dump(a) != ast.dump(b):
                    yield "swapped", put(args=[*args[:i], b, a, *args[i + 2 :]])
            for i, keyword in enumerate(keywords):
                before, after = keywords[:i], keywords[i + 1 :]
                if keyword.arg == "axis":
                    other_axis = ast.Constant(int(ast.unparse(keyword.value) == "0"))
                    yield "axis", put(keywords=[*before, ast.keyword("axis", other_axis), *after])
                elif keyword.arg not in WITHOUT_EFFECT:
                    yield "dropped keyword", put(keywords=before + after)
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Continue():
            yield "dropped statement", ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "dropped statement", ast.Pass()


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """What computes: no annotations, no messages, nothing that only runs as a script."""
    yield node
    for field, value in ast.iter_fields(node):
        told = isinstance(node, (ast.Raise, ast.JoinedStr))
        seen = isinstance(node, ast.keyword) and node.arg == "axis"
        if not told and not seen and field not in ("annotation", "returns", "bases"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from nodes(child)


def mutants_of(path: str, source: str) -> Iterator[Mutant]:
    """All changes that can be made to a file."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def place(line: int, column: int) -> int:  # ast counts bytes
        text = source[starts[line - 1] : starts[line]]
        return starts[line - 1] + len(text.encode()[:column].decode())

    for node in nodes(ast.parse(source)):
        for kind, other in changes(node):
            start = place(node.lineno, node.col_offset)
            end = place(node.end_lineno, node.end_col_offset)
            text = ast.unparse(ast.fix_missing_locations(other))
            nested = isinstance(other, (ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp))
            yield Mutant(path, node.lineno, kind, start, end, f"({text})" if nested else text)


def chosen(found: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """``count`` of them: every kind of change has its turn, so that the rare ones come too."""
    rng = random.Random(seed)
    by_kind: dict[str, list[Mutant]] = {}
    for mutant in rng.sample(found, len(found)):
        by_kind.setdefault(mutant.kind, []).append(mutant)
    turns = [(turn, mutant) for own in by_kind.values() for turn, mutant in enumerate(own)]
    return [mutant for _, mutant in sorted(turns, key=lambda pair: pair[0])[:count]]


def tests_for(path: str, most: int) -> list[str]:
    """The doctests of a file, and the test files that speak of it most; the nearest first."""
    source = (ROOT / path).read_text()
    module = path.removesuffix(".py").replace("/", ".")
    names = [node.name for node in ast.walk(ast.parse(source)) if hasattr(node, "name")]
    names = [name for name in names if name and not name.startswith("__")]
    names = [rf"\b{re.escape(name)}\b" for name in names] or [r"$^"]
    stem = Path(path).stem
    callers = [file for file in python_files() if re.search(rf"\b{stem} import", file.read_text())]
    commands = [f'"{name}"' for name in {stem, *(file.stem for file in callers)}]
    of_callers = {f"test_{file.stem.removesuffix('_file')}" for file in callers}
    near = {}
    for folder in FOLDERS:
        for file in sorted((ROOT / "tests" / folder).glob("test_*.py")):
            text = file.read_text()
            score = sum(bool(re.search(name, text)) for name in names)
            score += 3 * (module in text) + 2 * sum(command in text for command in commands)
            score += 4 * (file.stem in of_callers)
            score += 9 * (file.stem in (f"test_{stem}", f"test_{stem.removesuffix('_file')}"))
            near[file.relative_to(ROOT).as_posix()] = score
    ranked = sorted((file for file in near if near[file]), key=lambda file: -near[file])
    return [path, *ranked[:most]] if ">>>" in source else ranked[:most]


def python_files() -> list[Path]:
    """What is changed: the library and the tools."""
    return sorted(p for name in ("llama_np", "weights_tools") for p in (ROOT / name).rglob("*.py"))


class Bench:
    """A copy of the tree in which one change at a time is tried."""

    def __init__(self, folder: Path, limit: float):
        self.folder, self.limit = folder, limit
        self.known_good: set[str] = set()
        self.broken: set[str] = set()  # fail without any change: left out
        folder.mkdir(parents=True)
        for name in TREE:
            source, copied = ROOT / name, folder / name
            if source.is_dir():
                shutil.copytree(source, copied, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copied)

    def pytest(self, *arguments: str, limit: float | None = None) -> str:
        """The first test that fails; "" where none does, "time limit" where they hang."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-rfE"]
        command += ["--tb=no", "-m", "not slow", *arguments]
        command += [f"--deselect={name}" for name in sorted(self.broken) if "::" in name]
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(self.folder)}
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            told, _ = process.communicate(timeout=limit or self.limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # and what the tests have started
            process.communicate()
            return "time limit"
        if process.returncode in (0, 5):
            return ""
        failed = FAILED.search(told)
        return failed[1] if failed else f"pytest ended with {process.returncode}"

    def noticed_by(self, mutant: Mutant, tests: Sequence[str], limit: float | None = None) -> str:
        """The test that notices a change, or ""; one that fails without it is no witness."""
        file = self.folder / mutant.path
        source = file.read_text()
        while True:
            file.write_text(mutant.apply(source))
            failed = self.pytest(*(test for test in tests if test not in self.broken), limit=limit)
            file.write_text(source)
            if ".py" not in failed or failed in self.known_good:
                return failed
            if not self.pytest(failed):
                self.known_good.add(failed)
                return failed
            self.broken.add(failed)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--count", type=int, default=40, help="changes to try (%(default)s)")
    parser.add_argument("--only", default="", metavar="PATH", help="files whose path begins so")
    parser.add_argument("--seed", type=int, default=0, help="which changes (%(default)s)")
    parser.add_argument("--list", action="store_true", help="show the changes and their tests")
    parser.add_argument("--jobs", type=int, default=1, help="changes at a time (%(default)s)")
    parser.add_argument("--tests", type=int, default=8, help="test files a change (%(default)s)")
    parser.add_argument("--whole", action="store_true", help="then try all tests: minutes a change")
    parser.add_argument("--limit", type=float, default=300, help="seconds a change (%(default)s)")
    args = parser.parse_args()

    sources = {file.relative_to(ROOT).as_posix(): file.read_text() for file in python_files()}
    found = [
        mutant
        for path, source in sources.items()
        if path.startswith(args.only)
        for mutant in mutants_of(path, source)
    ]
    mutants = chosen(found, args.count, args.seed)
    near = {path: tests_for(path, args.tests) for path in {mutant.path for mutant in mutants}}
    print(f"{len(mutants)} of {len(found)} changes", flush=True)
    if args.list:
        for mutant in mutants:
            print(f"{mutant.path}:{mutant.line} {mutant.kind}\n{mutant.diff(sources[mutant.path])}")
            print("    " + " ".join(near[mutant.path]))
        return 0

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(args.jobs) as pool:
        benches: SimpleQueue[Bench] = SimpleQueue()
        for i in range(args.jobs):
            benches.put(Bench(Path(folder, str(i)), args.limit))

        def attempt(mutant: Mutant) -> tuple[Mutant, str, float]:
            bench, start = benches.get(), time.perf_counter()
            try:
                failed = bench.noticed_by(mutant, near[mutant.path])
                if args.whole and not failed:
                    failed = bench.noticed_by(mutant, EVERYTHING, LONGEST)
            finally:
                benches.put(bench)
            return mutant, failed, time.perf_counter() - start

        let_through = []
        for number, (mutant, failed, seconds) in enumerate(pool.map(attempt, mutants), start=1):
            verdict = f"noticed by {failed}" if failed else "LET THROUGH"
            where = f"{mutant.path}:{mutant.line} {mutant.kind}"
            print(f"{number}/{len(mutants)} {where}: {verdict} ({seconds:.0f} s)", flush=True)
            if not failed:
                let_through.append(where)
                print(mutant.diff(sources[mutant.path]), flush=True)
        while not benches.empty():
            for name in sorted(benches.get().broken):
                print(f"left out, because it fails without any change: {name}")
    noticed = len(mutants) - len(let_through)
    print(f"noticed {noticed} of {len(mutants)}: {noticed / max(1, len(mutants)):.0%}")
    print("\n".join(["let through:", *let_through] if let_through else []))
    return bool(let_through)


if __name__ == "__main__":
    sys.exit(main())
