"""Bringing the bytes of a file: appended to what is there, checked, then named.

The package ``huggingface_hub`` could do this, but deletes an unfinished file when it fails or is
stopped (2.4 does; why: https://github.com/huggingface/huggingface_hub/pull/4228), and one shard of
a Llama has gigabytes. Here it stays, and another run asks only for the rest.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from .files import HubFile
from .repository import Repository, cause, status_of

CHUNK = 2**20
TRIES = 5  # in a row without a new byte
WAIT = 1.0  # seconds before the second try; doubled before each further one
PASSING = (None, 408, 429, 500, 502, 503, 504)  # no answer, or one that says: not now
UNFINISHED = ".incomplete"


def fetch_file(
    repository: Repository,
    name: str,
    path: Path,
    show: Callable[[int], None],
    say: Callable[[str], None],
) -> None:
    """Bring one file of a repository to ``path``, check it and give it its name."""
    file = repository.files[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    growing = unfinished(path, file)
    growing.touch()
    show(growing.stat().st_size)
    fetch_bytes(repository, name, growing, show, say)
    if not is_intact(growing, file):
        found = growing.stat().st_size
        growing.unlink()
        raise ValueError(
            f"{name} should have {file.size} bytes with the checksum {file.digest[:12]}, got "
            f"{found} that differ; they are removed, start again"
        )
    growing.replace(path)


def fetch_bytes(
    repository: Repository,
    name: str,
    path: Path,
    show: Callable[[int], None],
    say: Callable[[str], None],
) -> None:
    """Append to ``path`` what is missing, trying again while that brings new bytes."""
    from huggingface_hub.errors import HTTPError

    size, tries = repository.files[name].size, 0
    while (there := path.stat().st_size) < size:
        try:
            append(repository, name, path, show)
            if path.stat().st_size == there:
                return
        except HTTPError as error:
            status = status_of(error)
            if status == 416:  # the file ends before its announced size
                return
            tries = 1 if path.stat().st_size > there else tries + 1
            if tries == TRIES or status not in PASSING:
                raise
            wait = WAIT * 2 ** (tries - 1)
            say(f"{name}: {cause(error)}; trying again in {wait:.0f} s")
            time.sleep(wait)


def append(repository: Repository, name: str, path: Path, show: Callable[[int], None]) -> None:
    """One request for the bytes that ``path`` lacks.

    An answer of 200 instead of 206 brings the file from its beginning. Reading stops where the file
    grows beyond the announced size.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import hf_raise_for_status

    with path.open("ab") as file:
        headers = repository.headers | {"Range": f"bytes={file.tell()}-"}
        with get_session().stream(
            "GET", repository.address(name), headers=headers, follow_redirects=True,
            timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
        ) as response:  # fmt: skip
            hf_raise_for_status(response)
            if response.status_code != 206:
                file.truncate(0)
            for chunk in response.iter_bytes():
                file.write(chunk)
                show(min(file.tell(), repository.files[name].size))
                if file.tell() > repository.files[name].size:
                    return


def unfinished(path: Path, file: HubFile) -> Path:
    """Where a file grows. The digest keeps it from going on with another revision's bytes."""
    return path.with_name(f"{path.name}.{file.digest[:12]}{UNFINISHED}")


def bytes_there(path: Path, file: HubFile) -> int:
    """How much of an unfinished file an earlier run has brought."""
    growing = unfinished(path, file)
    return min(growing.stat().st_size, file.size) if growing.is_file() else 0


def is_intact(path: Path, file: HubFile) -> bool:
    """Whether a file is the one the hub has, by size and checksum.

    Git's sha1 of a small file is that of ``blob SIZE``, a zero byte, and the contents:
    https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    """
    if path.stat().st_size != file.size:
        return False
    digest = hashlib.sha256()
    if len(file.digest) == 40:
        digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == file.digest
