"""From nothing to the first token, and to a model in memory: every sample in a fresh process."""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from llama_np.config import LlamaConfig
from llama_np.sampling import generate
from tests.benchmarks.alone import alone
from tests.benchmarks.checkpoint import make_checkpoint
from tests.benchmarks.decode import read_once
from tests.benchmarks.ours import PROMPT, prompt_of
from tests.benchmarks.resident import Watch
from tests.benchmarks.rows import Row, at_most
from tests.benchmarks.theirs import installed
from tests.benchmarks.turns import take_turns
from weights_tools.formats.config_json import read_config
from weights_tools.load import DOLL_HOUSE, load_model

PROMPT_TEXT = "Once"
OURS = ["-m", "llama_np", PROMPT_TEXT, "--max-new-tokens", "1", "--temperature", "0"]
IMPORTS_AND_FILES = """\
import sys, pathlib, numpy, tiktoken
read = [path.read_bytes() for path in pathlib.Path(sys.argv[1]).iterdir() if path.is_file()]
print("read it", flush=True)"""
ROOT = Path(__file__).parents[2]
NEW_TOKENS = 8


def seconds_to_output(arguments: list[str], bytes_before: int = 0) -> float:
    """Seconds until a fresh Python writes more than ``bytes_before`` bytes.

    It keeps its compiled modules beside their sources, as Python does unless it is told not to.
    Raises ``ValueError`` where it writes less.
    """
    own = {"LLAMA_MODEL", "LLAMA_MEMORY", "PYTHONDONTWRITEBYTECODE"}
    environment = {name: value for name, value in os.environ.items() if name not in own}
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment, bufsize=0,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        if len(process.stdout.read(bytes_before)) < bytes_before or not process.stdout.read(1):
            raise ValueError(f"python {' '.join(arguments)}: ended without output")
        taken = time.perf_counter() - start
        process.stdout.read()
    return taken


def start_up(repetitions: int) -> list[Row]:
    """The command line to its first token, beside a process that only imports and reads files."""
    samplers = {
        "ours": lambda: seconds_to_output(OURS, len(PROMPT_TEXT)),
        "limit": lambda: seconds_to_output(["-c", IMPORTS_AND_FILES, str(DOLL_HOUSE)]),
    }
    take_turns(samplers, 1)  # brings the files into memory
    samples = take_turns(samplers, repetitions)
    target = at_most(1.5, "limit")
    return [Row("start-up to the first token", "s", samples, "imports and files", (target,))]


def load_ours(folder: Path) -> tuple[float, float | None]:
    """Seconds to load, and the most memory in MiB until some tokens are written."""
    with Watch() as watch:
        start = time.perf_counter()
        model = load_model(folder, "float32")
        taken = time.perf_counter() - start
        prompt = prompt_of(model.config, PROMPT)
        list(generate(model.weights, model.config, prompt, NEW_TOKENS))
    return taken, peak(watch)


def load_theirs(folder: Path) -> tuple[float, float | None]:
    """The same with transformers."""
    import torch
    from transformers import LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    with Watch() as watch:
        start = time.perf_counter()
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        taken = time.perf_counter() - start
        prompt = prompt_of(read_config(folder / "config.json"), PROMPT)
        ids = torch.from_numpy(prompt)[None]
        model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False,
            pad_token_id=0,
        )  # fmt: skip
    return taken, peak(watch)


def peak(watch: Watch) -> float | None:
    """Of the memory that the process wrote itself, in MiB; None where the system does not say."""
    return max((sample["RssAnon"] / 2**20 for sample in watch.samples), default=None)


def load(name: str, config: LlamaConfig, repetitions: int) -> list[Row]:
    """Load time and peak memory of a bfloat16 folder that the system has in memory."""
    with tempfile.TemporaryDirectory() as place:
        folder = DOLL_HOUSE
        if name != "doll-house":
            folder = Path(place) / name
            with contextlib.redirect_stderr(io.StringIO()):  # its progress
                make_checkpoint(config, folder)
        read_once(folder)
        samplers = {"ours": lambda: alone(load_ours, folder)}
        if installed():
            samplers["sdpa"] = lambda: alone(load_theirs, folder)
        samples = take_turns(samplers, repetitions)
    seconds = {column: [taken for taken, _ in found] for column, found in samples.items()}
    memory = {column: [most for _, most in found] for column, found in samples.items()}
    memory = {column: found for column, found in memory.items() if None not in found}
    memory["limit"] = [4 * config.count_parameters() / 2**20] * repetitions
    return [
        Row(f"load {name}, bfloat16 to float32", "s", seconds),
        Row(f"peak memory {name}, loaded and {NEW_TOKENS} tokens", "MiB", memory, "weights"),
    ]
