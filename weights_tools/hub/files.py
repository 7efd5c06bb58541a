"""Which files of a repository on the Hugging Face hub a Llama needs, and how large they are."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import NamedTuple

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
# The licence and the rules of use travel with the weights.
PAPERS = re.compile(r"(LICEN[SC]E|USE_POLICY|NOTICE|README)[^/\\]*", re.IGNORECASE)
DESCRIPTION = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map)\.json"
    r"|(original/)?tokenizer\.model"
)
META = re.compile(r"(original/)?(consolidated\.\d+\.pth|params\.json)")
NO_WEIGHTS = re.compile(r"(pytorch_model|training_args|optimizer|scheduler|adapter|openvino)")


class HubFile(NamedTuple):
    """A file as the hub describes it. ``digest``: sha256 if it is large, else git's sha1."""

    size: int
    digest: str


def human(n_bytes: int) -> str:
    """Bytes for people, in powers of a thousand as the hub shows them.

    >>> human(271), human(16_060_000_000)
    ('271 B', '16.1 GB')
    """
    size = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


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
            raise ValueError(f"it holds no file {name}; it holds {listed(files, files)}")
        refuse_outside(name)
    wanted = [name for name in files if PAPERS.fullmatch(name)]
    if not asked:
        wanted += [name for name in files if DESCRIPTION.fullmatch(name)]
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
        raise ValueError(f"its {INDEX} is not an index of shards: {error!r}") from None
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"its {INDEX} is not an index of shards: it names {names}")
    return names


def refuse_outside(name: str) -> None:
    """Raise where a name on the hub would be written outside the destination."""
    if PureWindowsPath(name).anchor or {"..", "~"} & {
        *PurePosixPath(name.replace("\\", "/")).parts
    }:
        raise ValueError(f"the file {name!r} lies outside the folder; refused")


def listed(names: Sequence[str] | Mapping[str, HubFile], files: Mapping[str, HubFile]) -> str:
    """Names with their sizes, in one line."""
    return ", ".join(f"{name} ({human(files[name].size)})" for name in sorted(names))
