"""python -m weights_tools download: a model from the Hugging Face hub, only what is needed.

Requests, tokens, proxies, ``HF_ENDPOINT``, trying again and the progress bar are the business of
``huggingface_hub``, 2.2 or later; ours are the choice of files, their checksums and plain words.
https://huggingface.co/docs/huggingface_hub/package_reference/file_download
"""

import argparse
import errno
import hashlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from llama_np.config import brief

from ..memory import in_bytes
from ..network import Refused, metered
from ..reading import TABLE, read_bytes
from ..terminal import bare_stderr
from ..writing import alone_in, temporary_folder

HELP = "get a model from the Hugging Face hub"
DESCRIPTION = (
    "Download a model from the Hugging Face hub: only the files that are needed, each checked. "
    "Stopped or cut off, the same command fetches the files that are missing. For a model behind a "
    "gate, accept its licence on its page and log in with `hf auth login`, or set HF_TOKEN."
)
LARGEST = 50_000_000_000  # the hub sends larger files only through a protocol of its own
LONGEST_LIST = 20_000_000  # bytes; a list of ten thousand files has about three million
TIMEOUT = 30.0  # seconds until the hub begins to answer
GO_ON = "the same command fetches what is missing"

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
COMPANIONS = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map)\.json"
    r"|(original/)?tokenizer\.model"
)
# The licence and the rules of use travel with the weights.
PAPERS = re.compile(r"(LICEN[SC]E|USE_POLICY|NOTICE|README)[^/\\]*", re.IGNORECASE)
META = re.compile(r"(original/)?(consolidated\.\d+\.pth|params\.json)")
NO_WEIGHTS = re.compile(r"(pytorch_model|training_args|optimizer|scheduler|adapter|openvino)")


class HubFile(NamedTuple):
    """A file as the hub describes it. ``digest``: sha256 if it is large, else git's sha1."""

    size: int
    digest: str


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
    ``hf auth login``. One file after another, so that an interruption is heard at once
    (``snapshot_download`` would first wait for all that are on their way). The same call fetches
    what is missing. Raises ``ValueError`` or ``OSError`` in one line that says what to do.
    """
    try:
        import huggingface_hub as hub
        from huggingface_hub import errors
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
    known = token or hub.get_token()
    if known and not re.fullmatch(r"[!-~]+", known):
        raise ValueError("the token holds signs that no token has; is it pasted whole?")
    try:
        bring(repo, destination, revision, files, {"token": token, "endpoint": endpoint})
    except (errors.HTTPError, OSError) as error:
        raise plainly(error, repo, revision, bool(known)) from None
    except ValueError as error:
        raise ValueError(f"{repo}: {error}") from None
    return destination


def bring(
    repo: str,
    destination: Path,
    revision: str | None,
    asked: Sequence[str],
    access: Mapping[str, str | None],
) -> None:
    """Choose, tell the sizes, fetch and check; before that, whatever can be refused is.

    A file is put into the folder when it is whole and checked.
    """
    import huggingface_hub as hub

    def fetch(name: str, folder: Path) -> Path:
        meter.expect(name, offered[name].size)
        with bare_stderr():  # for its bar; the names are printable
            path = hub.hf_hub_download(repo, name, revision=commit, local_dir=folder, **access)
        return Path(path)

    with metered(hub.get_session) as meter:
        meter.expect("its list of files", LONGEST_LIST)
        commit, offered = list_files(hub.HfApi(**access), repo, revision)
        if INDEX in offered and offered[INDEX].size > TABLE:  # before it is fetched to be read
            size = in_bytes(offered[INDEX].size)
            raise ValueError(f"its {INDEX} has {size}, more than any Llama's; refused")
        names = choose(offered, asked, partial(read_aside, fetch))
        refuse_giants(repo, {name: offered[name] for name in names})
        with alone_in(destination):
            refuse_strangers(destination, names, offered)
            missing = [name for name in names if not (destination / name).exists()]
            for name in missing:  # is there a gate, and does the server hold what the list says?
                url = hub.hf_hub_url(repo, name, revision=commit, endpoint=access["endpoint"])
                meter.expect(name, offered[name].size)
                refuse_another_size(name, offered, hub.get_hf_file_metadata(url, **access).size)
            total, to_come = (sum(offered[name].size for name in some) for some in (names, missing))
            need_space(destination, to_come)
            there = f", {in_bytes(total - to_come)} of it there already" if to_come < total else ""
            told = f"{repo}, commit {commit[:8]}: {len(names)} files, {in_bytes(total)}{there}"
            print(told, file=sys.stderr)
            with temporary_folder(destination) as beside:
                for name in missing:
                    file = fetch(name, beside)
                    refuse_damaged(file, offered[name])
                    (destination / name).parent.mkdir(parents=True, exist_ok=True)
                    file.replace(destination / name)


def list_files(api, repo: str, revision: str | None) -> tuple[str, dict[str, HubFile]]:
    """The commit, so that all files belong together, and what it holds; open despite a gate."""
    from huggingface_hub.errors import HTTPError

    try:
        info = api.model_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUT)
        return str(info.sha), {
            found.rfilename: HubFile(
                int(found.size), found.lfs.sha256 if found.lfs else str(found.blob_id)
            )
            for found in info.siblings
            if str(found.rfilename).isprintable()  # no other is asked for, nor shown
        }
    except (HTTPError, OSError, Refused):
        raise
    except Exception as error:  # whatever an answer that is not a hub's does to the package
        raise ValueError(f"{api.endpoint} does not answer as a hub does: {error!r}") from None


def read_aside(fetch: Callable[[str, Path], Path], name: str) -> bytes:
    """A small file, without writing into the destination."""
    with tempfile.TemporaryDirectory() as folder:
        return read_bytes(fetch(name, Path(folder)), TABLE)


def choose(
    files: Mapping[str, HubFile], asked: Sequence[str], read: Callable[[str], bytes]
) -> list[str]:
    """The names of the files to download, the weights last.

    ``asked``: names that the user chose; only the licence comes with them. Otherwise config,
    tokenizer and the first there is of: ``model.safetensors``, the shards that its index names
    (``read`` fetches it), Meta's ``consolidated.00.pth`` ..., one ``.gguf``, one ``.bin`` of
    llama2.c. Raises ``ValueError`` with the names to choose from where only the user can know.
    """
    weights = list(dict.fromkeys(asked)) or weight_files(files, read)
    for name in weights:
        if name not in files:
            raise ValueError(f"it holds no file {name!r}; it holds {listed(files, files)}")
        refuse_outside(name)
    wanted = [name for name in files if PAPERS.fullmatch(name)]
    if not asked:
        wanted += [name for name in files if COMPANIONS.fullmatch(name)]
    if "tokenizer.model" in wanted and "original/tokenizer.model" in wanted:
        wanted.remove("original/tokenizer.model")  # the same again
    return sorted(set(wanted) - set(weights)) + weights


def weight_files(files: Mapping[str, HubFile], read: Callable[[str], bytes]) -> list[str]:
    """The files that hold the weights, in one of the forms that can be loaded."""
    if SINGLE in files:
        return [SINGLE]
    if INDEX in files:
        return [INDEX, *shards(read(INDEX))]
    meta = sorted(name for name in files if META.fullmatch(name))
    if any(name.endswith(".pth") for name in meta):
        return meta
    found = [name for name in files if name.endswith(".gguf")] or [
        name for name in files if name.endswith(".bin") and not NO_WEIGHTS.match(name)
    ]
    if not found:
        raise ValueError(
            f"it holds none of {SINGLE}, {INDEX}, consolidated.00.pth, .gguf or llama2.c's .bin; "
            "look for a repository that has the weights as safetensors"
        )
    if len(found) > 1:
        raise ValueError(
            f"it holds {len(found)} files to choose from; name one with --file NAME: "
            f"{listed(found, files)}"
        )
    return found


def shards(index: bytes) -> list[str]:
    """The files that an index of shards names."""
    try:
        names = sorted({*json.loads(index)["weight_map"].values()})
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        why = f"{type(error).__name__}: {str(error)[:80]!a}"
        raise ValueError(f"its {INDEX} is not an index of shards: {why}") from None
    if not names or not all(isinstance(name, str) and name.isprintable() for name in names):
        raise ValueError(f"its {INDEX} is not an index of shards: it names {brief.repr(names)}")
    return names


def listed(names: Sequence[str] | Mapping[str, HubFile], files: Mapping[str, HubFile]) -> str:
    """Names with their sizes, in one line."""
    return ", ".join(f"{name} ({in_bytes(files[name].size)})" for name in sorted(names))


def refuse_outside(name: str) -> None:
    """Raise where a name on the hub would be written outside the destination, or be hidden there.

    Hidden files can be commands to other programs: ``.git/hooks/...``, ``.ssh/...``.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if PureWindowsPath(name).anchor or {"..", "~"} & {*parts}:
        raise ValueError(f"the file {brief.repr(name)} lies outside the folder; refused")
    if any(part.startswith(".") for part in parts):
        raise ValueError(f"the file {brief.repr(name)} would be hidden; refused")


def refuse_another_size(name: str, offered: Mapping[str, HubFile], size: int | None) -> None:
    """Raise where a server says another size than the hub's list."""
    if size not in (None, offered[name].size):
        expected = offered[name].size
        raise ValueError(f"{name} should have {expected} bytes, its server has {size}")


def refuse_giants(repo: str, files: Mapping[str, HubFile]) -> None:
    """Raise where a file is larger than what plain HTTP brings."""
    for name, file in files.items():
        if file.size > LARGEST:
            raise ValueError(
                f"{name} has {in_bytes(file.size)}, more than the hub sends over plain HTTP; get "
                f"it with: hf download {repo} {name} --local-dir DEST"
            )


def refuse_strangers(
    destination: Path, names: Sequence[str], offered: Mapping[str, HubFile]
) -> None:
    """Raise where a folder holds something else than what this download would put there."""
    for path in sorted(destination.rglob("*")):
        name = path.relative_to(destination).as_posix()
        if path.is_file() and not name.startswith(".") and name not in offered:
            raise ValueError(f"{destination} already holds {name}; name a new or empty folder")
    for name in names:
        path = destination / name
        if path.exists() and not is_intact(path, offered[name]):
            raise ValueError(f"{path} is not the hub's file; remove it or name an empty folder")


def need_space(destination: Path, n_bytes: int) -> None:
    """Raise where the disk of the destination has not that much left."""
    free = shutil.disk_usage(destination).free
    if n_bytes > free:
        told = f"{in_bytes(n_bytes)} to come, {in_bytes(free)} free"
        raise OSError(f"{destination}: the disk is full ({told}); make room, {GO_ON}")


def refuse_damaged(path: Path, file: HubFile) -> None:
    """Raise where what came is not what the hub has; the library checks only the size."""
    if not is_intact(path, file):
        raise ValueError(
            f"{path.name} should have {file.size} bytes with the checksum {file.digest[:12]}, got "
            f"{path.stat().st_size} that differ; they are removed, start again"
        )


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
        while chunk := stream.read(2**20):
            digest.update(chunk)
    return digest.hexdigest() == file.digest


def plainly(error: Exception, repo: str, revision: str | None, token: bool) -> Exception:
    """The same error as one line that says what to do."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__:
        error = error.__cause__  # why the hub was not heard, and not that no cache has the file
    page, log_in = f"https://huggingface.co/{repo}", "`hf auth login` or set HF_TOKEN"
    status = getattr(getattr(error, "response", None), "status_code", None)
    cause = str(error).partition("\n")[0] or repr(error)
    if isinstance(error, errors.GatedRepoError):
        then = (
            "with the account of your token (a fine-grained one must also allow gated repositories)"
            if token
            else f"then {log_in}"
        )
        text = (
            f"is gated: open {page}, accept the licence, {then}; the doll-house that ships here "
            "and models without a gate need neither"
        )
    elif isinstance(error, errors.RevisionNotFoundError):
        text = f"has no revision {revision!r}; {page}/tree/main lists those there are"
    elif status == 401 and "nvalid credentials" in str(error):
        text = f"the hub does not accept your token; {log_in} anew"
    elif isinstance(error, errors.RepositoryNotFoundError) or status in (401, 404):
        text = f"not found; check the name, and if the repository is private, {log_in}"
    elif status:
        text = f"the hub answered {status}; try later, {GO_ON}"
    elif isinstance(error, errors.OfflineModeIsEnabled):
        text = "the variable HF_HUB_OFFLINE forbids the network; unset it"
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
        text = f"the disk is full ({error.strerror}); make room, {GO_ON}"
    elif isinstance(error, errors.HTTPError):
        text = f"the hub cannot be reached ({cause}); check the network, {GO_ON}"
    else:
        text = cause
    return OSError(f"{repo}: {text}")
