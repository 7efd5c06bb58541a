"""The microscope: every view against `record` by name, changes against `patch`, a closed door."""

import dataclasses
import html
import http.client
import json
import math
import re
import subprocess
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import numpy as np
import pytest
from classroom import show
from classroom.microscope import views
from classroom.microscope.__main__ import main
from classroom.microscope.answers import SENTENCE, answers, checked
from classroom.microscope.interventions import FORMS
from classroom.microscope.lessons import as_html
from classroom.microscope.notebook import microscope
from classroom.microscope.offline import (
    MOST_OPENED,
    PAGE,
    SCRIPTS,
    as_page,
    live_page,
    worker,
)
from classroom.microscope.products import LESSONS, MOST_TERMS, PRODUCTS, WINDOW
from classroom.microscope.replies import reply
from classroom.microscope.runs import encode
from classroom.microscope.server import MOST_BYTES, make_server
from classroom.microscope.state import PARTS, requests_of

from llama_np import causal_mask, forward, merge_heads, patch, record, rms_norm, silu, softmax
from llama_np.sampling import Sampling, probabilities_of
from tests.checks import CHROMIUM
from weights_tools import load_model
from weights_tools.examine import all_prompts, job_weights

ROOT = Path(__file__).parents[2]
TEXT, OTHER = "Once upon a time, a girl", "Once upon a time, a boy"


@pytest.fixture(scope="module")
def model():
    return load_model(ROOT / "weights_tools/doll_house")


@pytest.fixture(scope="module")
def answer(model):
    return answers(model)


@pytest.fixture(scope="module")
def ids(model):
    return encode(model, TEXT)


def traced(model, ids, changes=None, **options):
    found = {}
    tap = record(found, tap=patch(changes or {}))
    forward(model.weights, model.config, np.array(ids), tap=tap, **options)
    return found


@pytest.fixture(scope="module")
def trace(model, ids):
    return traced(model, ids)


@pytest.fixture(scope="module")
def other(model):
    return traced(model, encode(model, OTHER))


def near(shown, array, digits=6):
    """Whether a view shows an array, up to its rounding; None stands for what is not finite."""
    shown = np.array(shown, dtype=float)  # None becomes NaN
    expected = np.where(np.isfinite(array), array, np.nan)
    np.testing.assert_allclose(shown, expected, rtol=10.0**-digits * 5.1, atol=1e-6)


def ask(answer, view, off=(), other="", **fields):
    if view == "overview":
        fields = {"at": None, "temperature": 1, "top_p": 1} | fields
    return answer({"view": view, "text": TEXT, "off": [*off], "other": other, **fields})


@pytest.mark.parametrize("at", [0, 3, None])
def test_the_overview_is_what_record_files(model, answer, ids, trace, at):
    seen = ask(answer, "overview", at=at)
    at = len(ids) - 1 if at is None else at
    assert [token["id"] for token in seen["tokens"]] == [*ids] and seen["at"] == at
    assert seen["tokens"][2]["text"] == model.tokenizer.token(ids[2])
    for block in range(model.config.n_layers):
        near(seen["attention"][block], trace[f"blocks.{block}.pattern"][:, at, : at + 1], 3)
        for name, lengths in seen["lengths"].items():
            row = trace[f"blocks.{block}.{name}"][at]
            near(lengths[block], math.sqrt((row.astype(float) ** 2).sum()), 3)
    probabilities = softmax(trace["logits"][at])
    assert [token["id"] for token in seen["original"]] == np.argsort(-probabilities)[:10].tolist()
    near([token["p"] for token in seen["original"]], np.sort(probabilities)[: -10 - 1 : -1])
    assert [token["before"] for token in seen["changed"]] == [t["p"] for t in seen["original"]]
    assert seen["other"] is None


def test_the_lens_reads_each_block_as_if_it_were_the_last(model, answer, trace):
    seen = ask(answer, "overview")
    for block in (0, 13, model.config.n_layers - 1):
        last = rms_norm(trace[f"blocks.{block}.resid_out"], model.weights.norm, 1e-5)[-1]
        probabilities = softmax(last @ model.weights.output)
        near([token["p"] for token in seen["lens"][block]], np.sort(probabilities)[:-4:-1], 4)
    assert seen["lens"][-1] == seen["original"][:3]
    assert ask(answer, "block", block=13, at=None)["lens"][:3] == seen["lens"][13]


@pytest.mark.parametrize("block, at", [(0, None), (5, 2)])
def test_a_block_is_lengths_and_its_gate(model, answer, ids, trace, block, at):
    seen = ask(answer, "block", block=block, at=at)
    at = len(ids) - 1 if at is None else at
    before = trace["embedded"] if block == 0 else trace[f"blocks.{block - 1}.resid_out"]
    assert [*seen["lengths"]] == [*views.STREAM] and seen["at"] == at
    for name, lengths in seen["lengths"].items():
        rows = before if name == "resid_in" else trace[f"blocks.{block}.{name}"]
        near(lengths, np.sqrt((rows[at].astype(float) ** 2).sum()), 4)

    gate, up, hidden = (trace[f"blocks.{block}.{name}"][at] for name in ("gate", "up", "hidden"))
    written = np.abs(hidden)[:, None] * model.weights.layers[block].w_down
    effect = np.sqrt((written**2).sum(axis=1))
    order = np.argsort(-effect)[: len(seen["neurons"])]
    assert seen["neurons"] == order.tolist() and len(order) == views.NEURONS
    columns = {"gate": gate, "silu": silu(gate), "up": up, "hidden": hidden, "effect": effect}
    assert {*seen["gate"]} == {*columns}
    for name, array in columns.items():
        near(seen["gate"][name], array[order], 4)
    near(seen["share"], effect[order].sum() / effect.sum(), 3)


def whole(model, trace, product, block, head):
    """The matrix of a product, by hand."""
    if product == "logits":
        return trace["logits"]
    array = trace[f"blocks.{block}.{'masked' if product == 'scores' else product}"]
    if PRODUCTS[product].of != "a head":
        return array
    return array[head // model.config.group if product[0] in "kv" else head]


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_matrix_is_what_record_files(model, answer, trace, product):
    block, head = 5, model.config.n_heads - 1
    expected = whole(model, trace, product, block, head)
    first = max(0, (expected.shape[1] - 1) // WINDOW * WINDOW)
    seen = ask(answer, "matrix", product=product, block=block, head=head, first=first)
    near(seen["numbers"], expected[:, first:], 4)
    assert seen["columns"] == expected.shape[1]
    near(seen["largest"], np.abs(expected[np.isfinite(expected)]).max(), 4)


def test_a_head_is_its_pattern(model, answer, trace):
    head = model.config.n_heads - 1
    seen = ask(answer, "head", block=5, head=head)
    near(seen["pattern"], trace["blocks.5.pattern"][head], 4)
    assert seen["key_head"] == model.config.n_kv_heads - 1


def operands(model, trace, product, block, head, row, column):
    """The row and the column of a cell, by hand."""
    part = {name.rpartition(".")[2]: x for name, x in trace.items() if f".{block}." in name}
    layer, size, shared = model.weights.layers[block], model.config.head_dim, head // 4
    angle = row * model.config.rope_theta ** -(column // 2 * 2 / size)
    turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]][column % 2]
    pair = slice(column // 2 * 2, column // 2 * 2 + 2)
    powers = np.exp(part["masked"][head, row] - part["masked"][head, row].max())
    return {
        "q": lambda: (part["attn_norm"][row], layer.wq[:, head * size + column]),
        "k": lambda: (part["attn_norm"][row], layer.wk[:, shared * size + column]),
        "v": lambda: (part["attn_norm"][row], layer.wv[:, shared * size + column]),
        "q_rotated": lambda: (part["q"][head, row, pair], turn),
        "k_rotated": lambda: (part["k"][shared, row, pair], turn),
        "scores": lambda: (part["q_rotated"][head, row] / 4, part["k_rotated"][shared, column]),
        "pattern": lambda: (powers, np.full_like(powers, 1 / powers.sum())),
        "mix": lambda: (part["pattern"][head, row], part["v"][shared, :, column]),
        "attn_out": lambda: (merge_heads(part["mix"])[row], layer.wo[:, column]),
        "gate": lambda: (part["ffn_norm"][row], layer.w_gate[:, column]),
        "up": lambda: (part["ffn_norm"][row], layer.w_up[:, column]),
        "hidden": lambda: (silu(part["gate"][row, [column]]), part["up"][row, [column]]),
        "down": lambda: (part["hidden"][row], layer.w_down[:, column]),
        "logits": lambda: (trace["final_norm"][row], model.weights.output[:, column]),
    }[product]()  # fmt: skip


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_cell_is_a_row_times_a_column(model, answer, trace, product):
    place = {"block": 5, "head": model.config.n_heads - 1, "row": 4, "column": 3}
    seen = ask(answer, "cell", product=product, **place)
    left, right = (np.asarray(each, float) for each in operands(model, trace, product, **place))
    terms = left * right
    index = np.array(seen["index"])
    assert len(index) == min(MOST_TERMS, terms.size) and seen["count"] == terms.size
    left_out = np.delete(np.abs(terms), index)
    assert left_out.size == 0 or left_out.max() <= np.abs(terms[index]).min()
    near(seen["row"], left[index], 5)
    near(seen["column"], right[index], 5)
    near(seen["terms"], terms[index], 5)
    near(seen["sum"], terms.sum(), 4)
    near(np.sum(seen["terms"]) + seen["rest"], terms.sum(), 4)
    cell = whole(model, trace, product, 5, place["head"])[4, 3]
    near(seen["value"], cell)
    near(seen["terms"][3] if product == "pattern" else seen["sum"], cell, 4)


def test_a_cell_that_may_not_be_seen_has_a_sum_and_no_value(answer, trace):
    place = {"block": 5, "head": 1, "row": 2, "column": 4}
    seen = ask(answer, "cell", product="scores", **place)
    assert seen["value"] is None
    near(seen["sum"], trace["blocks.5.scores"][1, 2, 4], 4)


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_line_of_code_and_its_lesson_are_there(answer, product):
    place = {"block": 0, "head": 0, "row": 1, "column": 0}
    seen = ask(answer, "cell", product=product, **place)
    file, number = re.fullmatch(r"\w+ in (llama_np/\w+\.py), line (\d+)", seen["where"]).groups()
    line = (ROOT / file).read_text(encoding="utf-8").splitlines()[int(number) - 1]
    assert line.partition("#")[0].strip() == seen["code"] and "->" in seen["axes"]
    assert (ROOT / f"notebooks/{seen['lesson']}.ipynb").exists()


@pytest.mark.parametrize("later", [0, 7])
def test_hands_are_the_rotated_pairs_and_their_score_stays(answer, trace, later):
    place = {"block": 5, "head": 7, "row": 4, "column": 2}
    seen = ask(answer, "hands", **place, later=later)
    near(seen["query"], trace["blocks.5.q"][7, 4].reshape(-1, 2), 4)
    near(seen["key"], trace["blocks.5.k"][1, 2].reshape(-1, 2), 4)
    turned = np.array(seen["query_turned"]), np.array(seen["key_turned"])
    if later == 0:
        near(turned[0], trace["blocks.5.q_rotated"][7, 4].reshape(-1, 2), 4)
        near(turned[1], trace["blocks.5.k_rotated"][1, 2].reshape(-1, 2), 4)
    near(seen["terms"], (turned[0] * turned[1]).sum(axis=1) / 4, 2)
    near(seen["score"], trace["blocks.5.scores"][7, 4, 2], 3)
    assert seen["degrees"][0] == 57.3


def zeroed(index):
    def change(value):
        value = value.copy()
        value[index] = 0
        return value

    return change


BY_HAND = {
    "head.3.1": {"blocks.3.mix": zeroed(1)},
    "ffn.2": {"blocks.2.down": zeroed(...)},
    "attn.2": {"blocks.2.attn_out": zeroed(...)},
    "block.7": {"blocks.7.attn_out": zeroed(...), "blocks.7.down": zeroed(...)},
    "head.3.0,head.3.1": {"blocks.3.mix": zeroed([0, 1])},
}


def holds(seen, model, ids, logits):
    """Whether the changed predictions are those of other logits, the original ones untouched."""
    changed, original = seen["changed"], seen["original"]
    near([t["p"] for t in changed], np.sort(softmax(logits))[: -10 - 1 : -1], 4)
    plainly = softmax(forward(model.weights, model.config, ids)[-1])
    near([t["before"] for t in changed], [plainly[t["id"]] for t in changed], 3)
    assert [t["p"] for t in changed] != [t["p"] for t in original]
    near([t["p"] for t in original], np.sort(plainly)[: -10 - 1 : -1], 4)


@pytest.mark.parametrize("off", BY_HAND)
def test_switching_off_is_patch_by_hand(model, answer, ids, off):
    logits = traced(model, ids, BY_HAND[off])["logits"][-1]
    holds(ask(answer, "overview", off.split(",")), model, ids, logits)


def test_a_hidden_token_is_a_mask_by_hand(model, answer, ids):
    places = np.arange(len(ids))
    mask = causal_mask(places, places)
    mask[-1, [1, 3]] = False
    logits = forward(model.weights, model.config, ids, mask=mask)[-1]
    holds(ask(answer, "overview", ["hide.1", "hide.3"]), model, ids, logits)
    pattern = ask(answer, "head", ["hide.1"], block=0, head=0)["pattern"]
    assert pattern[-1][1] == 0 and pattern[-2][1] > 0


def test_without_a_mask_tokens_see_those_to_come(model, answer, ids, trace):
    everything = np.ones((len(ids), len(ids)), bool)
    seen = traced(model, ids, mask=everything)
    holds(ask(answer, "overview", ["unmask"]), model, ids, seen["logits"][-1])
    assert len(ask(answer, "overview", ["unmask"], at=0)["attention"][0][0]) == len(ids)
    near(
        ask(answer, "head", ["unmask"], block=3, head=2)["pattern"], seen["blocks.3.pattern"][2], 4
    )

    one = ask(answer, "head", ["unmask.3.2"], block=3, head=2)["pattern"]
    near(one, softmax(trace["blocks.3.scores"][2]), 4)
    beside = ask(answer, "head", ["unmask.3.2"], block=3, head=1)["pattern"]
    near(beside, trace["blocks.3.pattern"][1], 4)


def put(index, value):
    def change(array):
        array = array.copy()
        array[index] = value
        return array

    return change


@pytest.mark.parametrize(
    "what, name", [("stream", "resid_out"), ("attn", "attn_out"), ("ffn", "down")]
)
def test_putting_in_is_patch_by_hand(model, answer, ids, other, what, name):
    change = {f"blocks.3.{name}": put(6, other[f"blocks.3.{name}"][5])}
    logits = traced(model, ids, change)["logits"][-1]
    seen = ask(answer, "overview", [f"put.{what}.3.6.5"], OTHER)
    holds(seen, model, ids, logits)
    assert [t["id"] for t in seen["other"]["tokens"]] == [*encode(model, OTHER)]
    probabilities = softmax(other["logits"][-1])
    near([t["p"] for t in seen["other"]["best"]], np.sort(probabilities)[:-4:-1], 4)


def test_the_mix_of_one_head_is_put_in_and_what_is_off_stays_off(model, answer, ids, other):
    mix = other["blocks.3.mix"][1, 7]
    logits = traced(model, ids, {"blocks.3.mix": put((1, 7), mix)})["logits"][-1]
    holds(ask(answer, "overview", ["put.head.3.1.7.7"], OTHER), model, ids, logits)
    both = ask(answer, "overview", ["put.head.3.1.7.7", "head.3.1"], OTHER)
    assert both["changed"] == ask(answer, "overview", ["head.3.1"], OTHER)["changed"]


def test_the_whole_last_row_put_in_says_what_the_other_sentence_says(model, answer, ids):
    last, block = len(ids) - 1, model.config.n_layers - 1
    seen = ask(answer, "overview", [f"put.stream.{block}.{last}.{last}"], OTHER)
    assert [t["p"] for t in seen["changed"][:3]] == [t["p"] for t in seen["other"]["best"]]


def test_what_the_readme_says_under_its_picture(answer):
    """The boy's stream works at his word up to block 28, at the last word from 29 on."""
    boy = SENTENCE.replace("girl", "boy")

    def after(change):
        fields = OVERVIEW | {"text": SENTENCE, "other": boy, "off": [change]}
        return answer(fields)["changed"][0]["text"]

    assert after("put.stream.20.10.10") == after("put.stream.28.10.10") == "\N{OPEN BOX}Tim"
    assert after("put.stream.29.11.11") == "\N{OPEN BOX}Tim"
    assert after("put.stream.29.10.10") == after("put.stream.28.11.11") == "\N{OPEN BOX}Lily"
    assert after("hide.10") == "\N{OPEN BOX}Tim"


@pytest.mark.parametrize("temperature, top_p", [(0.5, 1), (1.5, 0.8), (0, 1)])
def test_temperature_and_top_p_are_those_of_the_sampler(answer, trace, temperature, top_p):
    seen = ask(answer, "overview", temperature=temperature, top_p=top_p)
    logits = trace["logits"][-1]
    if temperature == 0:
        assert [(t["id"], t["p"]) for t in seen["changed"]] == [(int(logits.argmax()), 1)]
    else:
        expected = probabilities_of(logits, Sampling(temperature, top_p=top_p))
        order = [i for i in np.argsort(-expected, kind="stable")[:10] if expected[i] > 0]
        assert [t["id"] for t in seen["changed"]] == order
        near([t["p"] for t in seen["changed"]], expected[order], 5)
    assert seen["original"] == ask(answer, "overview")["original"]


def test_a_head_that_is_off_still_says_what_it_would_have_written(answer, trace):
    place = {"block": 3, "head": 1, "product": "mix", "row": 4, "column": 0}
    seen = ask(answer, "cell", ["head.3.1"], **place)
    assert seen["value"] == 0
    near(seen["sum"], trace["blocks.3.mix"][1, 4, 0], 4)


@pytest.fixture
def few_blocks(model):
    """A model of three blocks, so that every place can be tried."""
    config = dataclasses.replace(model.config, n_layers=3)
    weights = dataclasses.replace(model.weights, layers=model.weights.layers[:3])
    return model._replace(config=config, weights=weights)


def test_every_head_and_every_place_in_turn_are_single_changes(few_blocks):
    answer = answers(few_blocks)
    seen = ask(answer, "each_head_off", at=None)
    best = ask(answer, "overview")["original"][0]
    assert seen["token"] == best and seen["before"] == best["p"]
    for block, head in [(0, 1), (2, 7)]:
        change = {f"blocks.{block}.mix": zeroed(head)}
        near(seen["p"][block][head], chance(few_blocks, best["id"], change), 4)

    changes = ["head.1.0", "unmask.1.3", "hide.2", "put.head.0.2.5.5", "put.stream.0.6.6"]
    seen = ask(answer, "each_head_off", changes, OTHER, at=None)
    changed = ask(answer, "overview", [*changes, "head.1.5"], OTHER)["changed"]
    expected = {each["id"]: each["p"] for each in changed}[seen["token"]["id"]]
    near(seen["p"][1][5], expected, 4)
    near(seen["before"], ask(answer, "overview", changes, OTHER)["changed"][0]["p"])
    near(seen["p"][1][0], seen["before"], 4)  # it is off already

    seen = answer({"view": "each_stream_put", "text": TEXT, "other": OTHER, "at": None})
    assert np.shape(seen["p"]) == (3, len(encode(few_blocks, TEXT)))
    for block, token in [(0, 2), (1, 7)]:
        name = f"blocks.{block}.resid_out"
        change = {name: put(token, traced(few_blocks, encode(few_blocks, OTHER))[name][token])}
        near(seen["p"][block][token], chance(few_blocks, best["id"], change), 4)
    assert {*np.ravel(seen["p"])} > {best["p"]}


def chance(model, token, change):
    """The chance of a token after TEXT, with activations patched."""
    return softmax(traced(model, encode(model, TEXT), change)["logits"][-1])[token]


@pytest.mark.slow
def test_jobs_are_those_that_examine_finds(model, answer):
    found = answer({"view": "jobs"})
    best = {}
    for prompts in all_prompts(model.tokenizer).values():
        best |= job_weights(model.weights, model.config, prompts)
    assert {job["job"] for job in found} == {*best} and len(found) == 2 * len(best)
    for job in found[::2]:
        near(job["weight"], best[job["job"]].max(), 3)
        near(job["weight"], best[job["job"]][job["block"], job["head"]], 3)


OVERVIEW = {"view": "overview", "text": "Once", "other": "", "off": [], "at": None,
    "temperature": 1, "top_p": 1}  # fmt: skip
PUT = OVERVIEW | {"other": "Once upon"}
COMMON = {"text": "Once", "other": "", "off": []}
WRONG = [
    ({"view": "files"}, "a request names a view"),
    ([], "a request names a view"),
    ({"view": []}, "a request names a view"),
    ({"view": "head", "text": "Once"}, "head takes block, head, off, other, text"),
    (OVERVIEW | {"text": 3}, "text must be a text"),
    (OVERVIEW | {"other": None}, "other must be a text"),
    (OVERVIEW | {"off": "ffn.1"}, "off must be a list"),
    (OVERVIEW | {"off": [3]}, "off must be a list"),
    (OVERVIEW | {"at": True}, "at must be a whole number"),
    (OVERVIEW | {"temperature": "1"}, "temperature must be a number"),
    (OVERVIEW | {"temperature": float("nan")}, "temperature must be 0 (greedy) or more"),
    (OVERVIEW | {"top_p": 0}, "top_p must be above 0"),
    (OVERVIEW | {"text": " "}, "the sentence is empty"),
    (OVERVIEW | {"other": " "}, "the sentence is empty"),
    (OVERVIEW | {"text": "\ud800"}, "lone surrogate"),
    (OVERVIEW | {"text": "a" * 2001}, "2000 at most"),
    (OVERVIEW | {"text": "who? " * 99}, "at most 64 can be"),
    (OVERVIEW | {"at": 99}, "token is 99: choose 0 to"),
    (OVERVIEW | {"off": ["hide.99"]}, "token to hide is 99"),
    (OVERVIEW | {"off": ["block.32"]}, "choose 0 to 31"),
    (OVERVIEW | {"off": ["head.1"]}, "cannot change 'head.1'"),
    (OVERVIEW | {"off": ["ffn.²"]}, "cannot change"),
    (OVERVIEW | {"off": ["put.stream.0.0.0"]}, "there is no other sentence"),
    (PUT | {"off": ["put.stream.0.0.3"]}, "token of the other sentence is 3: choose 0 to 2"),
    (PUT | {"off": ["put.head.0.8.0.0"]}, "head is 8: choose 0 to 7"),
    (PUT | {"off": ["put.ffn.0.2.0"]}, "token is 2: choose 0 to 1"),
    (PUT | {"off": ["put.logits.0.0.0"]}, "cannot change"),
    (OVERVIEW | {"off": ["unmask.32.0"]}, "block is 32"),
    (COMMON | {"view": "head", "block": 0, "head": 99}, "head is 99"),
    (COMMON | {"view": "head", "block": -1, "head": 0}, "block is -1"),
    (COMMON | {"view": "block", "block": 32, "at": None}, "block is 32"),
    ({"view": "each_stream_put", "text": "Once", "other": "", "at": None}, "no other sentence"),
    ({"view": "each_stream_put", "text": "Once", "other": "Once upon", "at": None}, "as many are"),
]  # fmt: skip


@pytest.mark.parametrize("request_, said", WRONG)
def test_a_request_that_cannot_be_met_gets_one_clear_line(answer, request_, said):
    with pytest.raises(ValueError, match=re.escape(said)) as raised:
        answer(request_)
    assert "\n" not in str(raised.value)


def test_a_cell_that_is_not_there(answer):
    place = {"block": 0, "head": 0, "product": "scores", "row": 0, "column": 0}
    for change, said in [
        ({"product": "sum"}, "there is no product 'sum'"),
        ({"row": 50}, "row is 50"),
        ({"column": 50}, "column is 50"),
        ({"product": "mix", "column": 999}, "column is 999"),
        ({"product": "logits", "column": 2048}, "column is 2048"),
    ]:
        with pytest.raises(ValueError, match=said):
            ask(answer, "cell", **place | change)
    with pytest.raises(ValueError, match="first column is 16"):
        ask(answer, "matrix", block=0, head=0, product="q", first=16)
    with pytest.raises(ValueError, match="later is 999"):
        ask(answer, "hands", block=0, head=0, row=0, column=0, later=999)


@pytest.fixture(scope="module")
def door(answer):
    """A server, and a way to knock: status, headers and body."""
    server = make_server(answer)
    Thread(target=server.serve_forever, daemon=True).start()
    address = urlsplit(server.address)

    def knock(method="POST", path=f"{address.path}ask", body=None, **headers):
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        kind = {"Content-Type": "application/json"} if method == "POST" else {}
        connection.request(method, path, body, kind | named)
        response = connection.getresponse()
        found = response.status, response.headers, response.read().decode()
        connection.close()
        return found

    yield address, knock
    server.shutdown()
    server.server_close()


def test_the_door_opens_on_this_machine_to_who_has_the_token(door, answer):
    address, knock = door
    assert address.hostname == "127.0.0.1" and len(address.path) > 30
    status, headers, page = knock("GET", address.path)
    assert (status, page) == (200, live_page()) and headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    request = {"view": "head", "text": TEXT, "other": "", "off": [], "block": 0, "head": 0}
    status, _, found = knock(body=json.dumps(request))
    assert (status, json.loads(found)) == (200, answer(request))
    assert knock("GET", address.path, Host=f"localhost:{address.port}")[0] == 200


def test_only_a_page_of_this_machine_may_frame_it(answer):
    with make_server(answer, framed=True) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = urlsplit(server.address)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        connection.request("GET", address.path)
        policy = connection.getresponse().headers["Content-Security-Policy"]
        connection.close()
        server.shutdown()
    assert policy == "frame-ancestors http://127.0.0.1:* http://localhost:*"


@pytest.mark.slow
def test_a_lesson_becomes_a_page():
    assert "SwiGLU" in as_html("08_feed_forward")


def test_a_lesson_can_be_read_and_runs_nothing(door, monkeypatch):
    monkeypatch.setattr("classroom.microscope.server.as_html", lambda name: f"page {name}")
    address, knock = door
    status, headers, page = knock("GET", f"{address.path}lesson/08_feed_forward")
    assert (status, page) == (200, "page 08_feed_forward")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert knock("GET", "/wrong/lesson/08_feed_forward")[0] == 404
    for name in ("12_generation", "..", "08_feed_forward.ipynb"):
        assert knock("GET", f"{address.path}lesson/{name}")[0] == 404
    assert "12_generation" not in LESSONS


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path",
    ["/", "/ask", "/wrong/", "/wrong/ask", "{}..", "{}page.html", "{}?a=1", "{}ask/", "//",
        "{}lesson/", "/10_logits"],
)  # fmt: skip
def test_every_other_address_is_not_there(door, method, path):
    address, knock = door
    status, _, said = knock(method, path.format(address.path), "{}" if method == "POST" else None)
    assert (status, said) == (404, "not here\n")


def test_a_token_is_new_every_time(answer, door):
    with make_server(answer) as server:
        assert urlsplit(server.address).path != door[0].path


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", ""])
def test_another_host_is_refused(door, host):
    address, knock = door
    assert knock("GET", address.path, Host=host)[0] == 403
    assert knock("GET", f"{address.path}lesson/10_logits", Host=host)[0] == 403
    assert knock(body="{}", Host=host)[0] == 403


def test_what_is_sent_is_bounded_and_json(door):
    _, knock = door
    many = json.dumps({"view": "save", "state": "", "opened": [{}] * (MOST_OPENED + 1)})
    for body, headers, said in [
        ("{", {}, "the request is no JSON"),
        ("[" * 100_000, {}, "the request is no JSON"),
        (b"\xff", {}, "the request is no JSON"),
        ("{}", {"Content_Type": "text/plain"}, "must be application/json"),
        (None, {"Content_Length": str(MOST_BYTES + 1)}, "must say its length"),
        (None, {"Content_Length": "-1"}, "must say its length"),
        ("{}", {}, "a request names a view"),
        ('{"view": "save", "state": "x=1"}', {}, "a state has no part 'x'"),
        ('{"view": "save", "state": 1}', {}, "save takes a state"),
        ('{"view": "save", "state": "b=1", "opened": [3]}', {}, "a request names a view"),
        (many, {}, "save takes a state and a list of at most"),
    ]:
        status, _, found = knock(body=body, **headers)
        assert status == 400 and said in json.loads(found)["error"]


def test_a_saved_page_holds_what_was_opened_and_nothing_that_breaks_out(answer):
    state = "#b=1&h=2&p=scores&r=3&c=0&off=ffn.2,block.3"
    before = {"view": "head", "text": "Once", "other": "", "off": [], "block": 9, "head": 7}
    text = "%3C/script%3E%3Cscript%3Ealert(1)%3C/script%3E%3C!--"
    page = as_page(lambda request: None if request["view"] == "jobs" else answer(request),
        f"{state}&s={text}", [before, before])  # fmt: skip
    (line,) = re.findall(r"^const recorded = (.*);$", page, re.M)
    assert "<" not in line and line.isascii()
    assert page.count("<script") == live_page().count("<script") == 1
    kept = json.loads(line)
    assert kept["answers"][0][0]["text"] == "</script><script>alert(1)</script><!--"
    for request, found in kept["answers"]:
        assert request["view"] == "jobs" or found == answer(request)
    requests = [request for request, _ in kept["answers"]]
    assert all(request in requests for request in requests_of(kept["state"]))
    assert requests.count(before) == 1
    last = kept["answers"][0][1]["at"]
    cells = [each for each in requests if each["view"] == "cell"]
    assert {(each["row"], each["product"]) for each in cells} == {(3, "scores"), (last, "scores")}
    hands = [each for each in requests if each["view"] == "hands"]
    assert len(hands) == len(cells) == last + 2


def test_the_page_reaches_nothing_and_makes_no_markup_of_text():
    page = live_page()
    assert "default-src 'none'" in page and "connect-src 'self'" in page
    assert {*re.findall(r"https?://[^\"]+", page)} == {"http://www.w3.org/2000/svg"}
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in page
    assert page.count("/* recorded */ null") == 1
    assert {each.stem for each in PAGE.glob("*.js")} == {*SCRIPTS, "python"}
    (said,) = re.findall(r'<input id="sentence"[^>]*\n\s+value="([^"]*)"', page)
    assert said == SENTENCE


@pytest.mark.slow
def test_only_a_page_of_a_site_may_start_a_worker(answer):
    own, of_site = as_page(answer, ""), as_page(answer, "", python='a"b.js')
    assert '<html lang="en">' in own and "worker-src" not in own
    assert '<html data-python="a&quot;b.js" lang="en">' in of_site
    assert "connect-src 'self'; worker-src 'self'; base-uri 'none'" in of_site
    script = worker("p/", ["numpy"], ["a.whl"])
    (load,) = re.findall(r"^const LOAD = (.*);", script, re.M)
    assert json.loads(load) == {"pyodide": "p/", "packages": ["numpy"], "wheels": ["a.whl"]}
    assert "location.search" not in script  # no link can make it load anything else


def test_what_answers_in_a_browser_says_what_the_server_says(answer):
    (request,) = requests_of("s=Once")
    met, text = reply(answer, request)
    assert met and json.loads(text) == answer(request)
    for wrong in ([], {"view": "nothing"}, {"view": "save"}):
        met, text = reply(answer, wrong)
        assert not met and list(json.loads(text)) == ["error"] and "\n" not in text


def test_a_state_is_read_part_by_part():
    common = {"text": "a b&c", "other": "d", "off": ["ffn.2", "hide.1"]}
    place = {"block": 0, "head": 1}
    state = (
        "s=a+b%26c&o=d&t=3&off=hide.1,ffn.2&temp=0.5&top=0.9&e=heads&b=0&h=1&p=scores&r=2&c=4&l=5"
    )
    assert {*re.findall(r"(\w+)=", state)} | {"f"} == {*PARTS}
    assert requests_of(state) == [
        {"view": "overview", **common, "at": 3, "temperature": 0.5, "top_p": 0.9},
        {"view": "each_head_off", **common, "at": 3},
        {"view": "head", **common, **place},
        {"view": "matrix", **common, **place, "product": "scores", "first": 0},
        {"view": "cell", **common, **place, "product": "scores", "row": 2, "column": 4},
        {"view": "hands", **common, **place, "row": 2, "column": 4, "later": 5},
    ]
    assert requests_of("")[0]["text"] == SENTENCE and len(requests_of("")) == 1
    assert all(checked(request) for request in requests_of(state.replace("heads", "places")))
    views_of = lambda state: [each["view"] for each in requests_of(state)][1:]  # noqa: E731
    assert views_of("p=logits&r=1&c=2") == ["cell"] and views_of("p=q&r=1&c=2") == []
    assert views_of("b=1&p=gate") == ["block", "matrix"] and views_of("b=1&p=q") == ["block"]
    assert requests_of("b=1&p=gate&r=0&c=300")[2]["first"] == 256
    for wrong in ("b=x&h=1", "l=-1"):
        with pytest.raises(ValueError, match="in a state must be a whole number, got"):
            requests_of(f"b=1&h=1&p=scores&r=1&c=1&{wrong}")
    with pytest.raises(ValueError, match="temp in a state must be a number, got 'warm'"):
        requests_of("temp=warm")


def test_the_notebook_shows_a_frame_that_the_kernel_answers(model, capsys, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    microscope("A cat", model=model, state="#b=1", height=500)
    address = re.search(r"http://127\.0\.0\.1:\d+/\S+/#b=1&s=A\+cat", capsys.readouterr().out)[0]
    assert shown[0].src == address
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    connection.request("GET", place.path)
    assert connection.getresponse().status == 200
    connection.close()
    with pytest.raises(ValueError, match="the sentence is empty"):
        microscope(" ", model=model)


def test_a_page_in_a_notebook_without_a_server(model, capsys, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    monkeypatch.setattr("classroom.microscope.views.jobs", lambda model: [])
    show.microscope("A cat", model=model, state="b=1&h=0", live=False)
    page = html.unescape(re.search('srcdoc="([^"]*)"', shown[0].data)[1])
    assert page == as_page(answers(model), "b=1&h=0&s=A+cat") and not capsys.readouterr().out


def test_the_command_writes_a_page(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("LLAMA_MODEL", raising=False)
    monkeypatch.setattr("classroom.microscope.views.jobs", lambda model: [])
    out = tmp_path / "page.html"
    assert main(["A cat", "--state", "#s=other&b=1&h=0", "--out", str(out)]) == 0
    written = out.read_text(encoding="utf-8")
    assert '"view":"head","text":"A cat","other":"","off":[],"block":1,"head":0}' in written
    assert '"text":"other"' not in written
    assert "opens in any browser" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv, said",
    [
        (["--model", "/no/such/model"], "/no/such/model"),
        (["--state", "b=99&h=0", "--out", "{}/a.html"], "block is 99: choose 0 to 31"),
        (["--state", "where=here"], "a state has no part 'where'"),
        (["--out", "{}/no/a.html"], "No such file"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(tmp_path, capsys, monkeypatch, argv, said):
    monkeypatch.delenv("LLAMA_MODEL", raising=False)
    monkeypatch.setattr("classroom.microscope.views.jobs", lambda model: [])
    assert main([each.format(tmp_path) for each in argv]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("error: ") and said in line] == lines
    assert not [*tmp_path.iterdir()]


def test_the_page_knows_every_product_and_every_change():
    page = live_page()
    listed = re.findall(r"^const OF_(?:HEAD|BLOCK) = \[(.*)\];$", page, re.M)
    assert re.findall(r'"(\w+)"', ", ".join(listed)) == [*PRODUCTS][:-1]
    assert re.search(r"^const WINDOW = (\d+);$", page, re.M)[1] == str(WINDOW)
    kinds = {form.split(".")[0] for form in FORMS}
    assert all(f'"{kind}' in page or f"`{kind}." in page or f"{kind}:" in page for kind in kinds)


STATES = [  # that the page and `requests_of` must read alike
    "t=2", "b=3", "b=3&h=1", "p=q&r=1&c=2", "p=logits&r=1&c=2", "b=3&h=1&p=logits&r=1&c=2",
    "s=a+b%26%C3%A9&off=hide.1,ffn.2&temp=0.5&top=0.9&o=d", "b=3&p=gate&c=300&r=0", "b=3&p=q",
    "b=3&h=2&p=pattern&r=1&c=0&l=4", "e=heads&t=1", "e=places&o=d&b=1&p=down&f=0&r=1&c=2",
]  # fmt: skip


@pytest.mark.slow
def test_a_browser_shows_what_the_model_computed(answer, tmp_path):
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    jobs = [{"job": "induction", "reads": "a copy", "block": 2, "head": 3, "weight": 0.9}]
    known = lambda request: jobs if request["view"] == "jobs" else answer(request)  # noqa: E731
    state = "s=Once+upon+a+time&b=1&h=2&off=head.1.2,put.stream.3.4.4&o=Once+upon+a+day&temp=0.5"
    row = next(each for each in requests_of(state) if each["view"] == "head")
    row = answer(row)["pattern"][3]
    state += f"&p=scores&r=3&c={np.argmax(row)}"
    page = as_page(known, state, lessons="lessons/{}.html")
    line = f"{json.dumps(STATES)}.map((each) => Object.values(requestsOf(stateOf(each))))"
    line = f"document.documentElement.dataset.asked = JSON.stringify({line});\n"
    page = page.replace("render().then(", f"{line}render().then(")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    quiet = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    done = subprocess.run(
        [
            CHROMIUM, *quiet.split(), f"--user-data-dir={tmp_path / 'kept'}", "--dump-dom",
            "--virtual-time-budget=5000", (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    shown, _, _ = done.stdout.partition("<script>")
    (asked,) = re.findall(r'data-asked="([^"]*)"', shown)
    assert json.loads(html.unescape(asked)) == [requests_of(each) for each in STATES]
    found = {each["view"]: answer(each) for each in requests_of(state)}
    overview, cell = found["overview"], found["cell"]
    said, news = (re.search(f'id="{name}".*?>(.*?)</p>', shown)[1] for name in ("said", "news"))
    assert said in ("", news)  # no error; in a narrow window the news
    assert len(re.findall('class="tile', shown)) == overview["blocks"] * overview["heads"]
    assert len(re.findall('class="tile job"', shown)) == 1 and 'data-mark="1"' in shown
    for token in overview["original"] + overview["changed"] + overview["other"]["best"]:
        assert html.escape(token["text"], quote=False) in shown
    assert "stream of block 3: “␣day” onto “␣time” (4)" in shown and "temperature 0.5" in shown
    assert html.escape(cell["code"], quote=False) in shown and cell["where"] in shown
    assert 'href="lessons/04_single_head_attention.html"' in shown
    assert f">{cell['sum']:.3f}</td>".replace("-", "−") in shown
    said = f"Softmax over the row makes of this score the weight {100 * max(row):.0f} %."
    assert said in shown.replace("\N{NO-BREAK SPACE}", " ")
    assert shown.count("pair ") >= len(found["hands"]["terms"])
