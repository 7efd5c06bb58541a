"""``adapter_config.json``: the model that LoRA matrices stand beside, and how much each counts.

What its keys mean: ``LoraConfig`` in
https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/config.py
"""

import math
import os
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from llama_np.config import brief

from ..reading import read_object

CONFIG = "adapter_config.json"
# Computed here, or said by the tensors in any case, or of use in training only. Every other key
# may change what is computed, so it must stand at nothing: null, false, or empty.
COMPUTED = {
    "peft_type", "base_model_name_or_path", "r", "lora_alpha", "rank_pattern", "alpha_pattern",
    "use_rslora", "init_lora_weights", "bias",
}  # fmt: skip
SAID_BY_THE_TENSORS = {
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
}  # fmt: skip
IN_TRAINING_ONLY = {
    "auto_mapping", "corda_config", "ensure_weight_tying", "eva_config", "fan_in_fan_out",
    "inference_mode", "loftq_config", "lora_dropout", "lora_ga_config", "megatron_config",
    "megatron_core", "peft_version", "qalora_group_size", "revision", "runtime_config", "task_type",
}  # fmt: skip
# How the matrices began, where that leaves the model's own weights alone; pissa, olora, corda,
# loftq and lora_ga take a part away from them, again at every loading.
BEGINNINGS = ("eva", "gaussian", "mica", "orthogonal")
BIASES = ["none", "all", "lora_only"]  # which are tuned: a Llama has none, the tensors would tell
DEFAULT = 8  # peft's, of r and of lora_alpha
MOST_PATTERNS = 10_000  # a LoRA of Llama 3.1 405B has 882 matrices to name
SECONDS = 10.0  # for all patterns and names of a file: some patterns are made to take for ever


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """The contents of the file, refused by name where another method than LoRA is asked for.

    Raises ``FileNotFoundError`` or ``ValueError`` with the file, what was expected, what to do.
    """
    path = folder / CONFIG
    values = read_object(path)
    for key, known in {"peft_type": ["LORA"], "bias": BIASES}.items():
        if values.get(key, known[0]) not in known:
            raise ValueError(f"{path}: {key} = {brief.repr(values[key])}; expected {known[0]!r}")
    beginning = values.get("init_lora_weights", True)
    known = isinstance(beginning, str) and beginning.lower() in BEGINNINGS
    if not known and beginning not in (True, False, None):
        raise ValueError(
            f"{path}: init_lora_weights = {brief.repr(beginning)} changes the weights of the model "
            "itself; merge the two with peft, or save the matrices as a plain LoRA "
            "(path_initial_model_for_weight_conversion)"
        )
    for key, value in values.items():
        if key in COMPUTED | SAID_BY_THE_TENSORS | IN_TRAINING_ONLY:
            continue
        if value is not None and value is not False and value not in ([], {}):
            raise ValueError(
                f"{path}: {shown(key)} = {brief.repr(value)} is not supported, only a plain LoRA; "
                "merge it with peft first: model.merge_and_unload()"
            )
    return values


def base_of(folder: Path) -> Path:
    """The model that the matrices stand beside.

    It is looked for from their folder, or else from the working directory, as peft does.
    """
    path = folder / CONFIG
    base = read_adapter_config(folder).get("base_model_name_or_path")
    if not isinstance(base, str):
        raise ValueError(f"{path}: expected base_model_name_or_path, the model that was tuned")
    found, from_here = (folder / base).resolve(), Path(base).absolute()
    if not os.path.exists(found) and os.path.exists(from_here):
        return from_here.resolve()
    if not os.path.exists(found):  # unlike Path's own, this knows no path that is too long
        raise FileNotFoundError(
            f"{path}: the model that was tuned, {brief.repr(base)}, is not at {shown(str(found))}; "
            "put it there, or change base_model_name_or_path"
        )
    return found


def rank_and_scale(
    path: Path, values: Mapping[str, Any], module: str | None = None, until: float = math.inf
) -> tuple[int, float]:
    """How many rows the matrices beside a module have, and what their product is multiplied by.

    lora_alpha / r, or with rank-stabilised LoRA lora_alpha / sqrt(r). ``module`` is a name such as
    "model.layers.0.self_attn.q_proj", for which the patterns may have numbers of their own;
    without it, what holds where they say nothing. ``until``: when to give up, by
    ``time.monotonic``.

    Source: https://arxiv.org/abs/2312.03732 and ``update_layer`` in
    https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/layer.py
    """
    numbers = []
    for key, pattern in (("r", "rank_pattern"), ("lora_alpha", "alpha_pattern")):
        try:
            number = of_module(values.get(pattern), module, values.get(key, DEFAULT), until)
        except ValueError as error:
            raise ValueError(f"{path}: {pattern}: {error}") from None
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < 1e9:
            raise ValueError(
                f"{path}: expected lora_alpha and r, two numbers above 0, in the patterns too; got "
                f"{brief.repr(number)}"
            )
        numbers.append(number)
    rank, alpha = numbers
    return rank, alpha / (math.sqrt(rank) if values.get("use_rslora") else rank)


def of_module(patterns: object, module: str | None, otherwise: Any, until: float = math.inf) -> Any:
    """What a table of patterns gives for a module: the first that matches the end of its name.

    A pattern is a regular expression that begins at a dot or at the start, as for peft:
    ``get_pattern_key`` in https://github.com/huggingface/peft/blob/main/src/peft/utils/other.py

    >>> of_module({"q_proj": 4, "layers.1..*": 8}, "model.layers.1.mlp.up_proj", 2)
    8
    >>> of_module({"proj": 4}, "model.layers.1.mlp.up_proj", 2)
    2
    """
    if not isinstance(patterns or {}, Mapping):
        raise ValueError(f"expected names and numbers, got {brief.repr(patterns)}")
    if module is None or not patterns:
        return otherwise
    if len(patterns) > MOST_PATTERNS:
        raise ValueError(f"expected at most {MOST_PATTERNS} names, got {len(patterns)}")
    import regex  # what tiktoken brings; few adapters need it

    for pattern, value in patterns.items():
        try:
            left = None if until == math.inf else max(0.001, until - time.monotonic())
            if compiled(pattern).match(module, timeout=left):
                return value
        except TimeoutError:
            raise ValueError(
                f"{brief.repr(pattern)} takes too long to compare; write the names out"
            ) from None
        except (regex.error, RecursionError, OverflowError, MemoryError) as error:
            why = brief.repr(str(error))
            raise ValueError(f"{brief.repr(pattern)} is no regular expression: {why}") from None
    return otherwise


@lru_cache(maxsize=MOST_PATTERNS)
def compiled(pattern: str):
    """The end of a name as a pattern; the package regex, unlike ``re``, can be stopped."""
    import regex

    return regex.compile(rf"(.*\.)?({pattern})$")


def shown(key: str) -> str:
    """A key or a path as it is, or as a text, cut, where it could be mistaken."""
    return key if key.isprintable() and len(key) < 300 else brief.repr(key)
