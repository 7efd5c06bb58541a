"""Meta's folder: params.json and consolidated.00.pth, or one such file for each part of the model.

A large model is cut into parts, one for each GPU that it was made to run on. In wq, wk, wv, w1, w3
and output each part makes some of the outputs; in wo and w2 each takes some of the inputs; the
norms are in every part. Llama 2 cuts the embedding along its width, Llama 3 along the vocabulary.
The reference divides the key-value heads by the number of parts, and so do we: a model with more
parts than such heads does not fit its params.json, and is refused.

Sources: https://github.com/meta-llama/llama3/blob/main/llama/model.py with
https://github.com/facebookresearch/fairscale/blob/main/fairscale/nn/model_parallel/layers.py, and
https://github.com/huggingface/transformers/blob/main/src/transformers/models/llama/convert_llama_weights_to_hf.py
"""

from pathlib import Path

import numpy as np

from llama_np.config import LlamaConfig, brief
from llama_np.weights import shapes

from ..layout import names_elsewhere
from ..opened import OpenedModel, TensorOnDisk
from ..reading import refuse_link_out
from ..tokenizers import load_tokenizer
from .joined import joined
from .meta_params import read_params, to_config
from .pickle_file import Mapped, read_pickle_file

CUT_ALONG_INPUTS = (".wo", ".w_down")
EMBEDDING, OUTPUT = (names_elsewhere(name).meta for name in ("embedding", "output"))
UNUSED = "rope.freqs"  # Llama 2 stores the frequencies, which follow from the config

Shard = dict[str, Mapped]


def open_meta(folder: Path) -> OpenedModel:
    """A model as Meta distributes it, its matrices mapped and its parts seen as one.

    The output is tied where ``output.weight`` is absent, or is the very numbers of the embedding.
    Raises ``FileNotFoundError`` or ``ValueError`` with the file, what was expected and what came.
    """
    params = read_params(folder / "params.json")
    files = shard_files(folder)
    shards = [read_pickle_file(file) for file in files]
    refuse_incomplete(files, shards)
    config = to_config(
        folder / "params.json", params, count_tokens(shards, params["dim"]), is_tied(shards)
    )
    refuse_wrong_names(files[0], shards[0], config)
    stored = {
        name: join(name, shape, files, [shard[names_elsewhere(name).meta] for shard in shards])
        for name, shape in shapes(config).items()
    }
    return OpenedModel(
        path=folder,
        format="Meta",
        config=config,
        stored=stored,
        rotate_half=False,
        read_tokenizer=lambda: load_tokenizer(folder, config.vocab_size),
    )


def shard_files(folder: Path) -> list[Path]:
    """``consolidated.00.pth`` and those that follow it, without a gap."""
    count = len([*folder.glob("consolidated.*.pth")])
    files = [folder / f"consolidated.{i:02d}.pth" for i in range(max(count, 1))]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing; is the download complete?")
        refuse_link_out(file)
    return files


def refuse_incomplete(files: list[Path], shards: list[Shard]) -> None:
    """Raise unless all parts hold the same names, and those of a Llama among them."""
    for file, shard in zip(files, shards, strict=True):
        for name in sorted({EMBEDDING, *shards[0]} ^ {EMBEDDING, *shard}):
            raise ValueError(
                f"{file}: holds other tensors than {files[0].name}: {brief.repr(name)} differs"
            )
        if EMBEDDING not in shard or shard[EMBEDDING].array.ndim != 2:
            raise ValueError(f"{file}: holds no matrix {EMBEDDING}; is this a Llama of Meta's?")


def count_tokens(shards: list[Shard], dim: int) -> int:
    """The rows of the output in all parts together; of the embedding where there is no output."""
    embedding = shards[0][EMBEDDING].array
    if OUTPUT not in shards[0] and embedding.shape[1] != dim:  # cut along its width
        return embedding.shape[0]
    return sum(shard.get(OUTPUT, shard[EMBEDDING]).array.shape[0] for shard in shards)


def is_tied(shards: list[Shard]) -> bool:
    """Whether the output is the embedding: not stored, or stored as the same numbers."""

    def place(mapped: Mapped) -> tuple:
        return mapped.array.ctypes.data, mapped.kind, mapped.array.shape, mapped.array.strides

    return all(OUTPUT not in s or place(s[OUTPUT]) == place(s[EMBEDDING]) for s in shards)


def refuse_wrong_names(file: Path, shard: Shard, config: LlamaConfig) -> None:
    """Raise unless a part holds every array that the config asks for, and no other."""
    if config.n_layers > len(shard):  # before a table of that many names is made
        raise ValueError(
            f"{file}: {len(shard)} tensors are too few for the {config.n_layers} layers of "
            "params.json; do the two belong together?"
        )
    expected = {names_elsewhere(name).meta for name in shapes(config)}
    for name in sorted(expected - shard.keys()):
        raise ValueError(f"{file}: {name} is missing; do file and params.json belong together?")
    for name in sorted(shard.keys() - expected - {OUTPUT, UNUSED}):
        raise ValueError(f"{file}: {brief.repr(name)} is no part of a Llama with this params.json")


def join(name: str, shape: tuple[int, ...], files: list[Path], parts: list[Mapped]) -> TensorOnDisk:
    """One array from its parts, copying nothing. ``name`` and ``shape`` are ours."""
    theirs, where = names_elsewhere(name).meta, files[0] if len(files) == 1 else files[0].parent
    arrays = [part.array for part in parts]
    if len({(part.kind, part.array.shape) for part in parts}) > 1:
        raise ValueError(f"{where}: {theirs} has another type or shape in another part")
    expected = shape if name == "embedding" else shape[::-1]
    rows = arrays[0]
    if len(shape) == 1:
        refuse_different_copies(arrays, f"{where}: {theirs}")
    elif rows.ndim == 2:
        rows = joined(arrays, axis_of_cut(name, rows.shape, expected))
    if rows.shape != expected:
        raise ValueError(
            f"{where}: {theirs} should have shape {expected} by params.json, got {rows.shape} from "
            f"{len(files)} files; are all parts there?"
        )
    n_bytes = sum(array.nbytes for array in (arrays if len(shape) == 2 else arrays[:1]))
    return TensorOnDisk(theirs, files[0], parts[0].kind, rows, n_bytes)


def axis_of_cut(name: str, part: tuple[int, ...], whole: tuple[int, ...]) -> int:
    """Along which axis, of (out, in), the parts lie side by side."""
    if name == "embedding":
        return 0 if part[-1] == whole[-1] else 1
    return 1 if name.endswith(CUT_ALONG_INPUTS) else 0


def refuse_different_copies(copies: list[np.ndarray], what: str) -> None:
    """Raise where what every part should hold differs in a single bit."""
    if any(copy.tobytes() != copies[0].tobytes() for copy in copies):
        raise ValueError(f"{what} should be the same in every part, but differs")
