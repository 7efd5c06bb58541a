"""The lessons on other Llamas than the one they ship with, and what their notebooks may hold."""

import json
import shutil
from importlib.util import find_spec

import numpy as np
import pytest

from llama_np.config import LlamaConfig
from llama_np.rope import RopeScaling
from llama_np.weights import initialize
from tests.course.test_build import NOTEBOOKS, SOURCES, pages
from weights_tools.__main__ import main
from weights_tools.load import DOLL_HOUSE, INSTALLED, load_model
from weights_tools.save import save_model

# The later lessons compute with models of their own; 15 with the one that is chosen, too.
ON_ANY_MODEL = [s for s in SOURCES if s.stem[:2] <= "12" or s.stem[:2] == "15"]
ON_ANY_TOKENIZER = [s for s in ON_ANY_MODEL if s.stem[:2] in ("00", "01", "12")]
SHORT = ("01_", "02_", "05b_")  # on SmolLM2; the others take a minute there, or many
ON_SMOLLM2 = [
    pytest.param(s, id=s.stem, marks=[] if s.stem.startswith(SHORT) else pytest.mark.long)
    for s in SOURCES
    if s.stem < "13"
]
BUILT = [*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("translations/*/*.ipynb")]


@pytest.fixture(scope="module")
def odd():
    """Config, random weights and tokenizer: no size as in the doll-house but the vocabulary."""
    house = load_model(DOLL_HOUSE)
    config = LlamaConfig(
        dim=36, n_layers=3, n_heads=6, n_kv_heads=2, head_dim=10, ffn_width=50,
        vocab_size=house.config.vocab_size, context_length=640, norm_eps=1e-6, rope_theta=10000.0,
        rope_scaling=RopeScaling(8.0, 1.0, 4.0, 64), tied_output=True,
    )  # fmt: skip
    return config, initialize(config, np.random.default_rng(0), std=0.3), house.tokenizer


@pytest.mark.slow
@pytest.mark.parametrize("source", ON_ANY_MODEL, ids=lambda path: path.stem)
def test_every_lesson_runs_on_a_model_of_another_shape(source, odd, tmp_path, monkeypatch):
    """... whose matrices stay in their file, as those of a large model do."""
    save_model(tmp_path / "odd", *odd)
    monkeypatch.setenv("LLAMA_MEMORY", "mapped")
    pages.execute(pages.read_source(source), tmp_path, source.stem, tmp_path / "odd")


@pytest.mark.slow
def test_a_lesson_runs_on_a_folder_of_transformers_in_shards(
    transformers, twin, torch, odd, tmp_path
):
    config, weights, _ = odd
    folder = tmp_path / "sharded"
    model = twin.hugging_face_twin(config, weights).to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len([*folder.glob("*.safetensors")]) > 2
    for file in DOLL_HOUSE.glob("tokenizer*"):
        shutil.copy(file, folder)
    pages.execute(pages.read_source(SOURCES[0]), tmp_path, SOURCES[0].stem, folder)


@pytest.mark.slow
@pytest.mark.parametrize("source", ON_ANY_TOKENIZER, ids=lambda path: path.stem)
def test_a_lesson_runs_on_a_converted_model_with_another_kind_of_tokenizer(source, tmp_path):
    """From a file of llama2.c; lesson 01 and the chat of lesson 12 need Llama 3's tokenizer."""
    library = pytest.importorskip("sentencepiece")
    from tests.formats.test_llama2c import legacy
    from tests.formats.test_sentencepiece_tokenizer import llama2c_bytes, trained

    tokenizer = library.SentencePieceProcessor(model_proto=trained())
    config = LlamaConfig(
        dim=36, n_layers=3, n_heads=6, n_kv_heads=6, head_dim=6, ffn_width=50,
        vocab_size=tokenizer.vocab_size(), context_length=640, norm_eps=1e-5, rope_theta=10000.0,
        rope_scaling=None, tied_output=True,
    )  # fmt: skip
    weights = initialize(config, np.random.default_rng(0), std=0.3)
    (tmp_path / "stories.bin").write_bytes(legacy(config, weights))
    (tmp_path / "tokenizer.bin").write_bytes(llama2c_bytes(tokenizer))
    assert main(["convert", str(tmp_path / "stories.bin"), str(tmp_path / "native")]) == 0
    pages.execute(pages.read_source(source), tmp_path, source.stem, tmp_path / "native")


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    """A trained Llama of 135 million parameters, widened once, so that every lesson opens it."""
    if find_spec(INSTALLED["smollm2"][0]) is None:
        pytest.skip(f"needs: {INSTALLED['smollm2'][1]}")
    folder = tmp_path_factory.mktemp("smollm2") / "wide"
    assert main(["convert", "smollm2", str(folder), "--dtype", "float32"]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("source", ON_SMOLLM2)
def test_a_lesson_runs_on_a_real_llama(source, smollm2, tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_MEMORY", "float32")
    pages.execute(pages.read_source(source), tmp_path, source.stem, smollm2)


@pytest.mark.parametrize("notebook", BUILT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_notebook_is_small_and_shows_neither_error_nor_warning(notebook):
    assert notebook.stat().st_size <= 1_000_000
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            assert output["output_type"] != "error", cell["id"]
            assert output.get("name") != "stderr", cell["id"]
            assert "Traceback" not in json.dumps(output), cell["id"]
