"""From any source to a folder that transformers opens: same numbers, same logits, or no folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from llama_np.model import forward
from llama_np.rope import RopeScaling
from llama_np.tokenizer import BPETokenizer
from llama_np.weights import shapes
from tests.checks import agree
from tests.folders import (
    as_stored,
    command,
    logits_of_transformers,
    refusal,
    write_config,
    write_float32,
    write_folder,
)
from tests.tiny import random_ids, random_weights, tiny_config
from tests.varied_text import VARIED
from weights_tools.commands import convert as convert_module
from weights_tools.commands.convert import convert
from weights_tools.layout import hugging_face_name, to_rotate_half
from weights_tools.lazy_matrix import narrow_bf16
from weights_tools.load import DOLL_HOUSE, load_model, open_model, read_weights
from weights_tools.save import save_model

BYTES = {bytes([byte]): byte for byte in range(256)}
LLAMA2 = Path(__file__).parents[3] / "shared/data/llama2_tokenizer.model"
ENDS = ["<|begin_of_text|>", "<|end_of_text|>"]


# --- sources, each by the writer that its own tests use ---


def hugging_face(folder, kind, tied):
    torch, twin = pytest.importorskip("torch"), pytest.importorskip("tests.torch_twin")
    config = tiny_config(tied_output=tied)
    model = twin.hugging_face_twin(config, random_weights(config, np.float32))
    model.to(getattr(torch, kind)).save_pretrained(folder, max_shard_size="9KB")
    assert len([*folder.glob("*.safetensors")]) > 1
    return folder


def meta(folder, kind, tied, n=1):
    torch = pytest.importorskip("torch")
    from tests.formats import test_meta

    config = test_meta.meta_config(tied_output=tied)
    weights = random_weights(config, np.float32)
    test_meta.write_meta(folder, config, weights, getattr(torch, kind), n)
    return folder


def gguf(folder, kind, tied):
    pytest.importorskip("gguf")
    from tests import llama_cpp

    scaling = RopeScaling(8.0, 1.0, 4.0, 8192) if tied else None  # the format keeps no other
    config = tiny_config(tied_output=tied, rope_scaling=scaling, rope_theta=500000.0)
    tensors = llama_cpp.tensors_of(config, random_weights(config, np.float32))
    name = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}[kind]
    return llama_cpp.write(folder / "m.gguf", config, tensors, llama_cpp.stored_as(name))


def llama2c(folder, kind, tied):
    from tests.formats import test_llama2c

    return test_llama2c.write(folder, seed=int(tied))[0]


SOURCES = [
    *((hugging_face, kind) for kind in ("float64", "float32", "float16", "bfloat16")),
    *((meta, kind) for kind in ("float32", "float16", "bfloat16")),
    (lambda *of: meta(*of, n=2), "bfloat16"),
    *((gguf, kind) for kind in ("float32", "float16", "bfloat16")),
    (llama2c, "float32"),
]


@pytest.mark.usefixtures("progress_ends")
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("make, kind", SOURCES)
def test_any_source_becomes_a_folder(transformers, torch, tmp_path, make, kind, tied):
    (tmp_path / "from").mkdir()
    source = open_model(make(tmp_path / "from", kind, tied))._replace(read_tokenizer=lambda: None)
    convert(source, tmp_path / "to")
    written = {file.name for file in (tmp_path / "to").iterdir()}
    assert written - {"generation_config.json"} == {"config.json", "model.safetensors"}
    made = open_model(tmp_path / "to")
    assert made.config == source.config
    for name, stored in source.stored.items():
        assert made.stored[name].kind == stored.kind, name
        rows = stored.rows[:]
        if not source.rotate_half and name.endswith((".wq", ".wk")):
            rows = to_rotate_half(rows, made.config.head_dim)
        assert made.stored[name].rows[:].tobytes() == rows.tobytes(), name
    ids = random_ids(source.config, 9)
    theirs = logits_of_transformers(transformers, torch, tmp_path / "to", ids)
    for path in (source.path, tmp_path / "to"):
        for mode in ("float32", "mapped"):
            weights = read_weights(open_model(path), mode)
            agree(forward(weights, source.config, ids), theirs, 1e-4, f"{path}, {mode}")


def test_blocks_of_rows_make_a_whole(tmp_path, monkeypatch):
    """A matrix larger than what is in memory at a time, its rows in another order."""
    source = open_model(llama2c(tmp_path, "float32", False))
    convert(source, tmp_path / "at once")
    monkeypatch.setattr(convert_module, "BLOCK", 100)
    for kind, name in ((None, "in blocks"), ("I8", "int8 in blocks")):
        convert(source, tmp_path / name, kind)
    convert(open_model(tmp_path / "at once"), tmp_path / "int8", "I8")
    for one, other in (("at once", "in blocks"), ("int8", "int8 in blocks")):
        files = [tmp_path / folder / "model.safetensors" for folder in (one, other)]
        assert files[0].read_bytes() == files[1].read_bytes()


# --- the type of numbers ---


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16"])
def test_the_type_that_is_asked_for(torch, tmp_path, kind):
    config = tiny_config()
    weights = random_weights(config, np.float32)
    (tmp_path / "from").mkdir()
    write_folder(tmp_path / "from", config, weights)
    status, out, err = command("convert", tmp_path / "from", tmp_path / "to", "--dtype", kind)
    assert (status, err) == (0, "")
    assert f"{config.count_parameters():,} parameters from Hugging Face. To use it:" in out
    assert json.loads((tmp_path / "to" / "config.json").read_text())["dtype"] == kind
    with safe_open(tmp_path / "to" / "model.safetensors", framework="pt") as file:
        assert set(file.keys()) == {hugging_face_name(name) for name in shapes(config)}
        for name, array in as_stored(config, weights).items():
            expected = torch.tensor(np.array(array)).to(getattr(torch, kind))
            found = file.get_tensor(name)
            assert found.dtype == expected.dtype and torch.equal(found, expected), name


@pytest.mark.parametrize(
    "number, kind, message",
    [
        (70000.0, "float16", "model.norm.weight holds numbers too large for float16"),
        (3.4e38, "bfloat16", "model.norm.weight holds numbers too large for bfloat16"),
        (np.nan, "bfloat16", "model.norm.weight holds NaN or infinity; the file is damaged"),
        (-np.inf, "float16", "model.norm.weight holds NaN or infinity; the file is damaged"),
    ],
)
def test_numbers_that_would_be_lost(tmp_path, house, number, kind, message):
    write_config(tmp_path, house[0])
    norm = {"model.norm.weight": np.append(np.ones(17), number)}
    write_float32(tmp_path / "model.safetensors", as_stored(*house) | norm)
    told = refusal("convert", tmp_path, tmp_path / "to", "--dtype", kind)
    assert message in told and str(tmp_path / "model.safetensors") in told
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_float64_that_is_too_large(tmp_path, house):
    write_config(tmp_path, house[0])
    tensors = {name: np.array(array, order="C") for name, array in as_stored(*house).items()}
    tensors["lm_head.weight"][3, 4] = 1e300
    save_file(tensors, tmp_path / "model.safetensors")
    for arguments in (["quantize", tmp_path, tmp_path / "to", "--int8"], ["verify", tmp_path]):
        status, out, err = command(*arguments)
        assert status == 1 and "lm_head.weight holds NaN or infinity" in out + err
        assert err.count("\n") == 1
    convert(open_model(tmp_path), tmp_path / "to")  # untouched
    assert open_model(tmp_path / "to").stored["output"].rows[3, 4] == 1e300


def test_quantised_matrices_become_bfloat16(tmp_path):
    pytest.importorskip("gguf")
    from tests import llama_cpp
    from tests.formats.test_gguf_file import wide_model

    config, weights = wide_model()
    path = tmp_path / "m.gguf"
    tensors = llama_cpp.tensors_of(config, weights)
    llama_cpp.write(path, config, tensors, llama_cpp.stored_as("Q8_0"))
    source = open_model(path)._replace(read_tokenizer=lambda: None)
    convert(source, tmp_path / "to")
    made = open_model(tmp_path / "to")
    assert {name: stored.kind for name, stored in made.stored.items()} == {
        name: "F32" if len(shape) == 1 else "BF16" for name, shape in shapes(config).items()
    }
    np.testing.assert_array_equal(
        made.stored["output"].rows, narrow_bf16(source.stored["output"].rows[:])
    )


# --- tokenizers ---


def test_the_tokenizer_travels_along(transformers, tmp_path):
    config = tiny_config(vocab_size=300)
    tokenizer = BPETokenizer(BYTES | {b"he": 256, b"ll": 257, b"hell": 258}, ENDS)
    save_model(tmp_path / "from", config, random_weights(config, np.float32), tokenizer)
    convert(open_model(tmp_path / "from"), tmp_path / "to")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "to")
    ours = load_model(tmp_path / "to").tokenizer
    for text in VARIED:
        ids = tokenizer.encode(text, bos=True)
        assert ids == ours.encode(text, bos=True) == theirs(text)["input_ids"], text
    described = transformers.AutoConfig.from_pretrained(tmp_path / "to")
    assert (described.bos_token_id, described.eos_token_id) == (259, [260])


def test_pieces_travel_along(transformers, tmp_path):
    """Those of Llama 2, from SentencePiece's format."""
    pytest.importorskip("sentencepiece")
    if not LLAMA2.is_file():
        pytest.skip("no tokenizer.model of Llama 2 at ../shared/data")
    config = tiny_config(vocab_size=32000, dim=6)
    (tmp_path / "from").mkdir()
    write_folder(tmp_path / "from", config, random_weights(config, np.float32))
    shutil.copy(LLAMA2, tmp_path / "from" / "tokenizer.model")
    source = load_model(tmp_path / "from").tokenizer
    assert command("convert", tmp_path / "from", tmp_path / "to")[0] == 0
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "to")
    ours = load_model(tmp_path / "to").tokenizer
    for text in VARIED:
        ids = source.encode(text, bos=True)
        assert ids == ours.encode(text, bos=True) == theirs(text)["input_ids"], text


@pytest.mark.parametrize("told", ["first", None])
def test_pieces_that_no_merges_can_say_leave_the_weights(tmp_path, capsys, told):
    """Of equal scores a tokenizer.model can be exact, unless the space in front is not its own."""
    pytest.importorskip("sentencepiece")
    from weights_tools.tokenizers.sentencepiece_model import (
        BYTE,
        CONTROL,
        UNKNOWN,
        Piece,
        PieceList,
    )
    from weights_tools.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer

    pieces = [Piece("<unk>", 0, UNKNOWN), Piece("<s>", 0, CONTROL), Piece("</s>", 0, CONTROL)]
    pieces += [Piece(f"<0x{byte:02X}>", 0, BYTE) for byte in range(256)]
    pieces += [Piece(text, 0.0) for text in ("a", "b", "c", "ab", "bc")]
    tokenizer = SentencePieceTokenizer(PieceList(pieces, metaspace=told, dummy_prefix=told is None))
    config = tiny_config(vocab_size=264, dim=6)
    (tmp_path / "from").mkdir()
    write_folder(tmp_path / "from", config, random_weights(config, np.float32))
    source = open_model(tmp_path / "from")
    convert(source._replace(read_tokenizer=lambda: tokenizer), tmp_path / "to")
    note = capsys.readouterr().err
    assert note.startswith("note: ") and note.count("\n") == 1
    assert "the pieces 'ab' and 'bc' have the same score" in note
    again = load_model(tmp_path / "to").tokenizer
    if told is None:
        assert again.encode("abc cab", bos=True) == tokenizer.encode("abc cab", bos=True)
    else:
        assert again is None


def test_the_doll_house_moves(tmp_path):
    assert command("convert", DOLL_HOUSE, tmp_path / "to")[0] == 0
    files = [folder / "tokenizer.model" for folder in (DOLL_HOUSE, tmp_path / "to")]
    assert files[0].read_bytes() == files[1].read_bytes()
    old, new = (open_model(folder).stored for folder in (DOLL_HOUSE, tmp_path / "to"))
    for name in old.keys() | new.keys():
        assert old[name].rows.tobytes() == new[name].rows.tobytes(), name


def test_what_comes_with_a_folder_goes_along(tmp_path):
    shutil.copytree(DOLL_HOUSE, tmp_path / "from")
    described = json.loads((tmp_path / "from/tokenizer_config.json").read_text())
    described["chat_template"] = "{{ messages[0]['content'] }}"
    (tmp_path / "from/tokenizer_config.json").write_text(json.dumps(described))
    (tmp_path / "from/generation_config.json").write_text('{"temperature": 0.6}')
    assert command("convert", tmp_path / "from", tmp_path / "to")[0] == 0
    for name in ("tokenizer_config.json", "tokenizer.json", "generation_config.json"):
        assert (tmp_path / "to" / name).read_text() == (tmp_path / "from" / name).read_text()


def test_into_the_empty_folder_where_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("convert", DOLL_HOUSE, ".")[0] == 0
    assert {"config.json", "model.safetensors"} <= {file.name for file in Path(".").iterdir()}
    assert [*tmp_path.parent.glob(f".{tmp_path.name}*")] == []


# --- links ---


@pytest.fixture
def with_papers(tmp_path, house):
    """A model with a licence; and a file of the user's that is nobody's business."""
    (tmp_path / "key").write_text("secret")
    (tmp_path / "from").mkdir()
    write_folder(tmp_path / "from", *house)
    (tmp_path / "from/LICENSE").write_text("free")
    return tmp_path / "from"


@pytest.mark.parametrize("name", ["LICENSE", "chat_template.jinja", "generation_config.json"])
@pytest.mark.parametrize("as_int8", [False, True])
def test_a_link_out_of_the_folder_is_not_published(with_papers, tmp_path, name, as_int8):
    (with_papers / name).unlink(missing_ok=True)
    (with_papers / name).symlink_to("../key")
    arguments = ["quantize", "--int8"] if as_int8 else ["convert"]
    told = refusal(*arguments, with_papers, tmp_path / "to")
    assert f"{with_papers / name}: links out of the folder; refused, put the file itself" in told
    assert not (tmp_path / "to").exists()


def test_weights_that_are_a_link_out_of_the_folder_are_refused_as_shards_are(with_papers, tmp_path):
    (with_papers / "model.safetensors").rename(tmp_path / "elsewhere")
    (with_papers / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    assert "model.safetensors: links out of the folder; refused" in refusal("inspect", with_papers)


def test_links_within_the_folder_and_of_the_hubs_cache_go_along(with_papers, tmp_path):
    (with_papers / "LICENSE").rename(with_papers / "terms")
    (with_papers / "LICENSE").symlink_to("terms")
    assert command("convert", with_papers, tmp_path / "to")[0] == 0
    snapshot, blobs = tmp_path / "hub/snapshots/0f1e2d", tmp_path / "hub/blobs"
    snapshot.mkdir(parents=True)
    with_papers.rename(blobs)
    for name in ("config.json", "model.safetensors", "LICENSE"):
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    (tmp_path / "linked").symlink_to(snapshot)  # the folder itself may be a link
    assert command("convert", tmp_path / "linked", tmp_path / "cached")[0] == 0
    for folder in ("to", "cached"):
        assert (tmp_path / folder / "LICENSE").read_text() == "free"
        assert not (tmp_path / folder / "LICENSE").is_symlink()
