"""LoRA: gradients, merging, counts, and the folder that peft reads."""

import json
import tracemalloc

import numpy as np
import pytest

from llama_np.model import forward
from llama_np.training.backward import loss_and_gradients
from llama_np.training.lora import (
    MATRICES,
    Lora,
    Pair,
    initialize_lora,
    lora_backward,
    lora_gradients,
    lora_linear,
    lora_linear_backward,
    lora_loss_and_gradients,
    lora_product,
    merge,
    put_beside,
)
from tests.checks import agree
from tests.tiny import random_ids, random_weights, tiny_config
from weights_tools import load_model
from weights_tools.commands.convert import convert
from weights_tools.formats.adapter import read_lora, save_lora
from weights_tools.load import open_model
from weights_tools.save import save_model

CONFIG = tiny_config(rope_scaling=None)


@pytest.fixture
def lora():
    rng = np.random.default_rng(0)
    return initialize_lora(CONFIG, 2, rng).map(lambda x: rng.standard_normal(x.shape) / 10)


def test_it_starts_as_the_model_was():
    weights = random_weights(CONFIG)
    fresh = initialize_lora(CONFIG, 3, np.random.default_rng(0))
    ids = random_ids(CONFIG, 5)
    assert np.array_equal(
        forward(merge(weights, fresh), CONFIG, ids), forward(weights, CONFIG, ids)
    )
    assert len(fresh.pairs) == CONFIG.n_layers * len(MATRICES) and fresh.scale == 2.0


def test_only_what_was_named_is_changed(lora):
    weights = random_weights(CONFIG)
    pair = lora.pairs["layers.1.wq"]
    merged = merge(weights, Lora({"layers.1.wq": pair}, lora.scale))
    for (name, before), (_, after) in zip(weights.named(), merged.named(), strict=True):
        changed = not np.array_equal(before, after)
        assert changed == (name == "layers.1.wq")
    added = merged.layers[1].wq - weights.layers[1].wq
    agree(added, lora.scale * pair.a @ pair.b, 1e-12)
    assert np.linalg.matrix_rank(added, tol=1e-4) == 2


def test_the_gradient_of_a_product(torch):
    rng = np.random.default_rng(1)
    a, b, d_w = (rng.standard_normal(shape) for shape in ((5, 2), (2, 7), (5, 7)))
    ta, tb = (torch.tensor(x, requires_grad=True) for x in (a, b))
    product = 0.5 * ta @ tb
    product.backward(torch.tensor(d_w))
    agree(lora_product(a, b, 0.5), product.detach().numpy(), 1e-12)
    d_a, d_b = lora_backward(d_w, a, b, 0.5)
    agree(d_a, ta.grad.numpy(), 1e-12)
    agree(d_b, tb.grad.numpy(), 1e-12)


def test_the_gradient_through_the_whole_model(lora):
    """Against differences of the loss, in float64."""
    weights = random_weights(CONFIG).map(lambda w: w.astype(np.float64))
    ids = random_ids(CONFIG, 9)
    inputs, targets = ids[:-1], ids[1:]
    _, d_weights = loss_and_gradients(merge(weights, lora), CONFIG, inputs, targets)
    gradients = dict(lora_gradients(d_weights, lora).named())
    for name, array in lora.named():
        place = np.unravel_index(np.abs(gradients[name]).argmax(), array.shape)
        losses = []
        for step in (1e-5, -1e-5):
            kept, array[place] = array[place], array[place] + step
            losses.append(loss_and_gradients(merge(weights, lora), CONFIG, inputs, targets)[0])
            array[place] = kept
        slope = (losses[0] - losses[1]) / 2e-5
        assert gradients[name][place] == pytest.approx(slope, rel=1e-5, abs=1e-9), name


@pytest.mark.parametrize("rows", [(5,), (3, 4), (40,)], ids=str)
def test_beside_its_matrix(torch, rows):
    rng = np.random.default_rng(2)
    x, w, a, b, d_out = (
        rng.standard_normal(shape) for shape in ((*rows, 6), (6, 7), (6, 2), (2, 7), (*rows, 7))
    )
    tx, ta, tb = (torch.tensor(array, requires_grad=True) for array in (x, a, b))
    out = tx @ torch.tensor(w) + 0.7 * (tx @ ta) @ tb
    out.backward(torch.tensor(d_out))
    agree(lora_linear(x, w, a, b, 0.7), out.detach().numpy(), 1e-12)
    for ours, theirs in zip(
        lora_linear_backward(d_out, x, w, a, b, 0.7), (tx, ta, tb), strict=True
    ):
        agree(ours, theirs.grad.numpy(), 1e-12)


def test_the_whole_model_against_pytorch(lora, torch):
    """Every pair beside its matrix, in a batch of two texts with a mask and padding."""
    from tests import torch_twin

    weights = random_weights(CONFIG)
    ids, targets = random_ids(CONFIG, 2, 9), random_ids(CONFIG, 2, 9, seed=1)
    targets[0, :4] = targets[1, 6:] = -100
    loss, gradients = lora_loss_and_gradients(weights, CONFIG, lora, ids, targets)

    learned = {name: torch_twin.tensor(array, grad=True) for name, array in lora.named()}
    w = torch_twin.tensors(weights)
    for name in lora.pairs:
        w[name] = w[name] + lora.scale * learned[f"{name}.a"] @ learned[f"{name}.b"]
    logits = torch_twin.forward(w, CONFIG, ids)["logits"]
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), torch.as_tensor(targets).flatten()
    )
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    assert [name for name, _ in gradients.named()] == list(learned)
    for name, array in gradients.named():
        agree(array, learned[name].grad.numpy(), 1e-11, name)


@pytest.mark.parametrize("matrices", [MATRICES, ("wq", "wv")], ids=["all", "two"])
def test_both_ways_back_find_the_same(matrices):
    rng, weights = np.random.default_rng(3), random_weights(CONFIG)
    lora = initialize_lora(CONFIG, 2, rng, matrices=matrices).map(
        lambda x: rng.standard_normal(x.shape) / 10
    )
    ids, targets = random_ids(CONFIG, 9), random_ids(CONFIG, 9, seed=1)
    loss, d_weights = loss_and_gradients(merge(weights, lora), CONFIG, ids, targets)
    found, gradients = lora_loss_and_gradients(weights, CONFIG, lora, ids, targets)
    assert found == pytest.approx(loss, rel=1e-12)
    expected = dict(lora_gradients(d_weights, lora).named())
    for name, array in gradients.named():
        agree(array, expected[name], 1e-11, name)
    agree(
        forward(put_beside(weights, lora), CONFIG, ids), forward(merge(weights, lora), CONFIG, ids)
    )


def test_no_large_gradient_is_formed():
    """Memory for the way back stays far below the size of one matrix."""
    rng = np.random.default_rng(4)
    x, d_out = rng.standard_normal((2, 3, 600))
    w, a, b = (rng.standard_normal(shape) for shape in ((600, 600), (600, 2), (2, 600)))
    tracemalloc.start()
    lora_linear_backward(d_out, x, w, a, b, 0.5)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < w.nbytes / 10


@pytest.mark.parametrize("rank", [0, -1, 1000])
def test_a_rank_that_makes_no_sense(rank):
    with pytest.raises(ValueError, match=f"LoRA rank of {rank} does not fit"):
        initialize_lora(CONFIG, rank, np.random.default_rng(0))


def test_another_model_is_refused(lora):
    other = tiny_config(rope_scaling=None, n_layers=1)
    with pytest.raises(ValueError, match="the model has no such matrix; was it trained on another"):
        merge(random_weights(other), lora)
    wide = Lora({"layers.0.wq": Pair(np.ones((3, 1)), np.ones((1, 3)))}, 1.0)
    with pytest.raises(ValueError, match=r"layers.0.wq of shape \(3, 3\), but the model has shape"):
        merge(random_weights(CONFIG), wide)
    with pytest.raises(ValueError, match=r"layers.0.wq of shape \(3, 3\), but the model has shape"):
        put_beside(random_weights(CONFIG), wide)


@pytest.fixture
def folders(tmp_path, lora):
    """A model with LoRA matrices beside it, in bfloat16 both, and what they should be merged."""
    weights = random_weights(CONFIG)
    save_model(tmp_path / "base", CONFIG, weights, None, bf16=False)
    save_lora(tmp_path / "tuned", lora, CONFIG, "../base")
    return tmp_path / "base", tmp_path / "tuned"


def logits(path, memory="float32"):
    model = load_model(path, memory)
    return forward(model.weights, model.config, random_ids(CONFIG, 12))


def test_a_folder_comes_back(folders, lora):
    base, tuned = folders
    again = read_lora(tuned, CONFIG)
    assert again.scale == lora.scale and list(again.pairs) == list(lora.pairs)
    for (name, before), (_, after) in zip(lora.named(), again.named(), strict=True):
        np.testing.assert_allclose(after, before, rtol=2**-8, err_msg=name)  # bfloat16
    merged = merge(load_model(base).weights, again)
    agree(logits(tuned), forward(merged, CONFIG, random_ids(CONFIG, 12)))
    agree(logits(tuned, "mapped"), logits(tuned), 1e-5)


def test_beside_int8(folders, tmp_path):
    base, tuned = folders
    convert(open_model(base), tmp_path / "int8", "I8")
    config = json.loads((tuned / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "../int8"
    (tuned / "adapter_config.json").write_text(json.dumps(config))
    merged = merge(load_model(tmp_path / "int8", "float32").weights, read_lora(tuned, CONFIG))
    agree(logits(tuned), forward(merged, CONFIG, random_ids(CONFIG, 12)), 1e-5)


def test_peft_reads_it(folders, torch, transformers):
    peft = pytest.importorskip("peft")
    base, tuned = folders
    twin = transformers.LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    twin = peft.PeftModel.from_pretrained(twin, tuned)
    with torch.inference_mode():
        theirs = twin(torch.as_tensor(random_ids(CONFIG, 12))[None]).logits[0].numpy()
    agree(logits(tuned), theirs, 1e-4)


def test_we_read_what_peft_writes(folders, tmp_path, torch, transformers):
    peft = pytest.importorskip("peft")
    base, _ = folders
    torch.manual_seed(0)
    twin = transformers.LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    chosen = peft.LoraConfig(
        r=2, lora_alpha=3, target_modules=["q_proj", "k_proj", "down_proj"], task_type="CAUSAL_LM"
    )
    twin = peft.get_peft_model(twin, chosen)
    for name, parameter in twin.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    twin.save_pretrained(tmp_path / "theirs")
    config = json.loads((tmp_path / "theirs/adapter_config.json").read_text())
    config["base_model_name_or_path"] = "../base"
    (tmp_path / "theirs/adapter_config.json").write_text(json.dumps(config))
    with torch.inference_mode():
        theirs = twin(torch.as_tensor(random_ids(CONFIG, 12))[None]).logits[0].numpy()
    agree(logits(tmp_path / "theirs"), theirs, 1e-4)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"base_model_name_or_path": "../gone"}, "the model that was tuned, '../gone', is not at"),
        ({"base_model_name_or_path": None}, "expected base_model_name_or_path"),
        ({"use_dora": True}, "use_dora = True is not supported, only a plain LoRA"),
        ({"r": 0}, "expected lora_alpha and r, two numbers above 0"),
        ({"lora_alpha": "much"}, "expected lora_alpha and r, two numbers above 0"),
    ],
)
def test_a_config_that_cannot_be_followed(folders, change, message):
    path = folders[1] / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_model(folders[1])


def test_matrices_of_another_model(tmp_path, lora):
    other = tiny_config(rope_scaling=None, dim=24, n_heads=6, n_kv_heads=2)
    save_model(tmp_path / "base", other, random_weights(other), None)
    save_lora(tmp_path / "tuned", lora, CONFIG, "../base")
    with pytest.raises(ValueError, match="was another model tuned"):
        load_model(tmp_path / "tuned")
