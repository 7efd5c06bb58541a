"""python -m weights_tools download: a model from the Hugging Face hub, only what is needed."""

import argparse
import errno
import re
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..hub.fetch import UNFINISHED, bytes_there, fetch_file, is_intact
from ..hub.files import choose, human
from ..hub.repository import Repository, ask, open_repository, plainly
from ..progress import Progress

DESCRIPTION = (
    "Download a model from the Hugging Face hub: only the files that are needed, each checked. "
    "Stopped or cut off, the same command goes on where it was. For a model behind a gate, accept "
    "its licence on its page and log in with `hf auth login`, or set HF_TOKEN."
)
LARGEST = 50_000_000_000  # the hub sends larger files only through a protocol of its own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``download``. No token among them: it would stay in the shell's history."""
    parser.add_argument("repo", metavar="REPO", help="OWNER/NAME on https://huggingface.co")
    parser.add_argument("destination", type=Path, metavar="DEST", help="folder to write")
    parser.add_argument("--revision", metavar="REV", help="branch, tag or commit (default: main)")
    parser.add_argument(
        "--file", dest="files", action="append", default=[], metavar="NAME",
        help="only this file, where a repository offers several; may be given more than once",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """``download``: a folder that ``load_model`` takes."""
    path = download(args.repo, args.destination, revision=args.revision, files=args.files)
    print(f"{path}: complete, every file checked")


def download(
    repo: str,
    destination: Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    files: Sequence[str] = (),
    endpoint: str | None = None,
) -> Path:
    """Download the files of a Llama into ``destination`` and check each; return the folder.

    ``files``: only these, and the licence. ``token``: by default the one of ``HF_TOKEN`` or of
    ``hf auth login``. Stopped or cut off, the same call goes on: an unfinished file is kept as
    ``NAME.DIGEST.incomplete``, and takes its name once its checksum is right. Raises ``ValueError``
    or ``OSError`` in one line that says what to do.
    """
    try:
        from huggingface_hub import errors, get_token
    except ImportError:
        raise ValueError(
            "download needs the package huggingface_hub: pip install huggingface_hub"
        ) from None
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repo, re.ASCII):
        raise ValueError(
            f"expected a repository as OWNER/NAME, such as HuggingFaceTB/SmolLM2-135M, got {repo!r}"
        )
    destination = Path(destination)
    if destination.exists() and not destination.is_dir():
        raise ValueError(f"{destination} is a file; name a folder to download into")
    known = token or get_token()
    if known and not re.fullmatch(r"[!-~]+", known):
        raise ValueError("the token holds signs that no token has; is it pasted whole?")
    try:
        repository = open_repository(repo, revision, token, endpoint)
        names = choose(repository.files, files, lambda name: ask(repository, name, "GET"))
        refuse_giants(repository, names)
        refuse_strangers(repository, names, destination)
        ask(repository, names[-1], "HEAD")  # before anything is written: is there a gate?
        fetch_all(repository, names, destination)
    except (errors.HTTPError, OSError) as error:
        raise plainly(error, repo, revision, bool(known)) from None
    except ValueError as error:
        raise ValueError(f"{repo}: {error}") from None
    return destination


def refuse_giants(repository: Repository, names: Sequence[str]) -> None:
    """Raise where a file is larger than what plain HTTP brings."""
    for name in names:
        if repository.files[name].size > LARGEST:
            raise ValueError(
                f"{name} has {human(repository.files[name].size)}, more than the hub sends over "
                f"plain HTTP; get it with: hf download {repository.name} {name} --local-dir DEST"
            )


def refuse_strangers(repository: Repository, names: Sequence[str], destination: Path) -> None:
    """Raise where a folder holds something else than what this download would put there."""
    for path in sorted(destination.rglob("*")):
        name = path.relative_to(destination).as_posix()
        known = name.endswith(UNFINISHED) or name.startswith(".") or name in repository.files
        if path.is_file() and not known:
            raise ValueError(f"{destination} already holds {name}; name a new or empty folder")
    for name in names:
        path = destination / name
        if path.exists() and not is_intact(path, repository.files[name]):
            raise ValueError(f"{path} is not the hub's file; remove it or name an empty folder")


def fetch_all(repository: Repository, names: Sequence[str], destination: Path) -> None:
    """Bring every file that is not there yet."""
    sizes = {name: repository.files[name].size for name in names}
    total = sum(sizes.values())
    missing = [name for name in names if not (destination / name).exists()]
    before = total - sum(sizes[name] for name in missing)
    there = before + sum(
        bytes_there(destination / name, repository.files[name]) for name in missing
    )
    need_space(destination, total - there)
    print(
        f"{repository.name}, commit {repository.commit[:8]}: {len(names)} files, {human(total)}"
        + (f", {human(there)} of it there already" if there else ""),
        file=sys.stderr,
    )
    progress = Progress(-(-total // 10**6) or 1)

    def show(name: str, size: int) -> None:
        done = progress.total if before + size == total else (before + size) // 10**6
        progress.show(done, f"MB  {name}", force=size == sizes[name])

    for name in missing:
        try:
            fetch_file(repository, name, destination / name, partial(show, name), progress.say)
        except BaseException:
            progress.say(f"stopped at {name}")
            raise
        before += sizes[name]
    for left in destination.rglob(f"*{UNFINISHED}"):  # of an earlier revision
        left.unlink()


def need_space(destination: Path, n_bytes: int) -> None:
    """Raise where the disk of the destination has not that much left."""
    standing = next(p for p in (destination, *destination.absolute().parents) if p.exists())
    free = shutil.disk_usage(standing).free
    if n_bytes > free:
        raise OSError(errno.ENOSPC, f"{human(n_bytes)} to come, {human(free)} free")
