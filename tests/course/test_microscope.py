"""The microscope: every view against `record` by name, switches against `patch`, a closed door."""

import ast
import html
import http.client
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import numpy as np
import pytest
from classroom.microscope import views
from classroom.microscope.__main__ import main
from classroom.microscope.answers import SENTENCE, answers, checked, requests_of
from classroom.microscope.offline import as_page, live_page
from classroom.microscope.server import MOST_BYTES, make_server

from llama_np import causal_mask, forward, patch, record, rms_norm, softmax
from weights_tools import load_model
from weights_tools.examine import all_prompts, job_weights

ROOT = Path(__file__).parents[2]
TEXT = "Once upon a time, a girl"


@pytest.fixture(scope="module")
def model():
    return load_model(ROOT / "weights_tools/doll_house")


@pytest.fixture(scope="module")
def answer(model):
    return answers(model)


@pytest.fixture(scope="module")
def ids(model):
    return views.encode(model, TEXT)


@pytest.fixture(scope="module")
def trace(model, ids):
    found = {}
    forward(model.weights, model.config, ids, tap=record(found))
    return found


def near(shown, array, digits=6):
    """Whether a view shows an array, up to its rounding; None stands for what is not finite."""
    shown = np.array(shown, dtype=float)  # None becomes NaN
    expected = np.where(np.isfinite(array), array, np.nan)
    np.testing.assert_allclose(shown, expected, rtol=10.0**-digits * 5.1, atol=1e-7)


def ask(answer, view, off=(), **fields):
    return answer({"view": view, "text": TEXT, "off": list(off), **fields})


@pytest.mark.parametrize("at", [0, 3, None])
def test_the_overview_is_what_record_files(model, answer, ids, trace, at):
    seen = ask(answer, "overview", at=at)
    at = len(ids) - 1 if at is None else at
    assert [token["id"] for token in seen["tokens"]] == [*ids] and seen["at"] == at
    assert seen["tokens"][2]["text"] == model.tokenizer.token(ids[2])
    for block in range(model.config.n_layers):
        near(seen["attention"][block], trace[f"blocks.{block}.pattern"][:, at, : at + 1], 3)
    probabilities = softmax(trace["logits"][at])
    assert [token["id"] for token in seen["original"]] == np.argsort(-probabilities)[:10].tolist()
    near([token["p"] for token in seen["original"]], np.sort(probabilities)[: -10 - 1 : -1])
    assert [token["before"] for token in seen["changed"]] == [t["p"] for t in seen["original"]]


def test_the_lens_reads_each_block_as_if_it_were_the_last(model, answer, trace):
    seen = ask(answer, "overview", at=None)
    config, weights = model.config, model.weights
    for block, tokens in enumerate(seen["lens"]):
        stream = trace[f"blocks.{block}.resid_out"]
        normed = rms_norm(stream, weights.norm, config.norm_eps)
        probabilities = softmax(normed @ weights.output)[-1]
        assert tokens[0]["id"] == probabilities.argmax()
        near([t["p"] for t in tokens], [probabilities[t["id"]] for t in tokens], 4)
    assert [t["id"] for t in seen["lens"][-1]] == [t["id"] for t in seen["original"][:3]]


def test_a_head_is_what_record_files(model, answer, trace):
    for block, head in [(0, 0), (model.config.n_layers - 1, model.config.n_heads - 1)]:
        seen = ask(answer, "head", block=block, head=head)
        near(seen["scores"], trace[f"blocks.{block}.masked"][head], 4)
        near(seen["pattern"], trace[f"blocks.{block}.pattern"][head], 4)
        near(seen["mix"], trace[f"blocks.{block}.mix"][head], 4)
        assert seen["scores"][0][1] is None and seen["pattern"][0][1] == 0
        assert seen["key_head"] == head // model.config.group


def test_a_cell_is_a_row_times_a_column_of_what_record_files(model, answer, trace):
    block, head, row, column = 5, model.config.n_heads - 1, 4, 2
    part = {name: trace[f"blocks.5.{name}"] for name in ("q_rotated", "k_rotated", "v")}
    shared = head // model.config.group
    place = {"block": block, "head": head, "row": row, "column": column}

    seen = ask(answer, "cell", product="scores", **place)
    near(seen["row"], part["q_rotated"][head, row] / math.sqrt(model.config.head_dim))
    near(seen["column"], part["k_rotated"][shared, column])
    near(seen["terms"], np.array(seen["row"]) * seen["column"], 5)
    near(seen["sum"], trace["blocks.5.scores"][head, row, column], 4)
    near(seen["weight"], trace["blocks.5.pattern"][head, row, column])
    assert seen["masked"] == seen["value"]
    assert (
        ask(answer, "cell", product="scores", **place | {"row": 2, "column": 4})["masked"] is None
    )

    seen = ask(answer, "cell", product="mix", **place)
    near(seen["row"], trace["blocks.5.pattern"][head, row])
    near(seen["column"], part["v"][shared, :, column])
    near(seen["terms"], np.array(seen["row"]) * seen["column"], 5)
    near(seen["sum"], trace["blocks.5.mix"][head, row, column], 4)


@pytest.mark.parametrize("product", views.PRODUCTS)
def test_the_line_of_code_and_its_lesson_are_there(product):
    code, axes = views.library_line(product)
    library = (ROOT / "llama_np/attention.py").read_text(encoding="utf-8")
    assert f"{code}  # {axes}\n" in library and "->" in axes and ast.parse(f"def f():\n {code}")
    lesson = views.PRODUCTS[product].replace(" ", "_").replace("-", "_")
    assert (ROOT / "notebooks" / f"{lesson}.ipynb").exists()


def zeroed(index):
    def change(value):
        value = value.copy()
        value[index] = 0
        return value

    return change


BY_HAND = {
    "head.3.1": {"blocks.3.mix": zeroed(1)},
    "ffn.2": {"blocks.2.down": zeroed(...)},
    "block.7": {"blocks.7.attn_out": zeroed(...), "blocks.7.down": zeroed(...)},
    "head.3.0,head.3.1": {"blocks.3.mix": zeroed([0, 1])},
}


@pytest.mark.parametrize("off", BY_HAND)
def test_switching_off_is_patch_by_hand(model, answer, ids, off):
    logits = forward(model.weights, model.config, ids, tap=patch(BY_HAND[off]))[-1]
    seen = ask(answer, "overview", off.split(","), at=None)
    changed, original = seen["changed"], seen["original"]
    near([t["p"] for t in changed], np.sort(softmax(logits))[: -10 - 1 : -1], 4)
    plainly = softmax(forward(model.weights, model.config, ids)[-1])
    near([t["before"] for t in changed], [plainly[t["id"]] for t in changed], 3)
    assert [t["p"] for t in changed] != [t["p"] for t in original]
    assert original == ask(answer, "overview", at=None)["original"]


def test_a_hidden_token_is_a_mask_by_hand(model, answer, ids):
    places = np.arange(len(ids))
    mask = causal_mask(places, places)
    mask[-1, [1, 3]] = False
    logits = forward(model.weights, model.config, ids, mask=mask)[-1]
    seen = ask(answer, "overview", ["hide.1", "hide.3"], at=None)
    near([t["p"] for t in seen["changed"]], np.sort(softmax(logits))[: -10 - 1 : -1], 4)
    opened = ask(answer, "head", ["hide.1"], block=0, head=0)
    assert opened["scores"][-1][1] is None and opened["pattern"][-1][1] == 0
    assert opened["pattern"][-2][1] > 0


def test_a_head_that_is_off_still_says_what_it_would_have_written(answer, trace):
    place = {"block": 3, "head": 1, "product": "mix", "row": 4, "column": 0}
    seen = ask(answer, "cell", ["head.3.1"], **place)
    assert seen["value"] == 0
    near(seen["sum"], trace["blocks.3.mix"][1, 4, 0], 4)


def test_jobs_are_those_that_examine_finds(model, answer):
    found = answer({"view": "jobs"})
    best = {}
    for prompts in all_prompts(model.tokenizer).values():
        best |= job_weights(model.weights, model.config, prompts)
    assert {job["job"] for job in found} == {*best} and len(found) == 2 * len(best)
    for job in found[::2]:
        near(job["weight"], best[job["job"]].max(), 3)
        near(job["weight"], best[job["job"]][job["block"], job["head"]], 3)


WRONG = [
    ({"view": "files"}, "a request names a view"),
    ([], "a request names a view"),
    ({"view": []}, "a request names a view"),
    ({"view": "head", "text": "Once"}, "head takes block, head, off, text"),
    ({"view": "overview", "text": 3, "off": [], "at": None}, "text must be a text"),
    ({"view": "overview", "text": "Once", "off": "ffn.1", "at": None}, "off must be a list"),
    ({"view": "overview", "text": "Once", "off": [3], "at": None}, "off must be a list"),
    ({"view": "overview", "text": "Once", "off": [], "at": True}, "at must be a whole number"),
    ({"view": "overview", "text": " ", "off": [], "at": None}, "the sentence is empty"),
    ({"view": "overview", "text": "\ud800", "off": [], "at": None}, "lone surrogate"),
    ({"view": "overview", "text": "a" * 2001, "off": [], "at": None}, "2000 at most"),
    ({"view": "overview", "text": "who? " * 99, "off": [], "at": None}, "at most 64 can be"),
    ({"view": "overview", "text": "Once", "off": [], "at": 99}, "token is 99: choose 0 to"),
    ({"view": "overview", "text": "Once", "off": ["hide.99"], "at": None}, "token to hide is 99"),
    ({"view": "overview", "text": "Once", "off": ["block.32"], "at": None}, "choose 0 to 31"),
    ({"view": "overview", "text": "Once", "off": ["head.1"], "at": None}, "cannot switch off"),
    ({"view": "overview", "text": "Once", "off": ["ffn.²"], "at": None}, "cannot switch off"),
    ({"view": "head", "text": "Once", "off": [], "block": 0, "head": 99}, "head is 99: choose 0"),
    ({"view": "head", "text": "Once", "off": [], "block": -1, "head": 0}, "block is -1: choose 0"),
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
    ]:
        with pytest.raises(ValueError, match=said):
            ask(answer, "cell", **place | change)


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
    request = {"view": "head", "text": TEXT, "off": [], "block": 0, "head": 0}
    status, _, found = knock(body=json.dumps(request))
    assert (status, json.loads(found)) == (200, answer(request))
    assert knock("GET", address.path, Host=f"localhost:{address.port}")[0] == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path", ["/", "/ask", "/wrong/", "/wrong/ask", "{}..", "{}page.html", "{}?a=1", "{}ask/", "//"]
)
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
    assert knock(body="{}", Host=host)[0] == 403


def test_what_is_sent_is_bounded_and_json(door):
    _, knock = door
    for body, headers, said in [
        ("{", {}, "the request is no JSON"),
        ("[" * 100_000, {}, "the request is no JSON"),
        (b"\xff", {}, "the request is no JSON"),
        ("{}", {"Content_Type": "text/plain"}, "must be application/json"),
        (None, {"Content_Length": str(MOST_BYTES + 1)}, "must say its length"),
        (None, {"Content_Length": "-1"}, "must say its length"),
        ("{}", {}, "a request names a view"),
        ('{"view": "save", "state": "x=1"}', {}, "a state has no part 'x'"),
    ]:
        status, _, found = knock(body=body, **headers)
        assert status == 400 and said in json.loads(found)["error"]


def test_a_saved_page_holds_what_was_opened_and_nothing_that_breaks_out(answer):
    state = "#b=1&h=2&p=scores&r=3&c=0&off=ffn.2,block.3"
    page = as_page(answer, f"{state}&s=%3C/script%3E%3Cscript%3Ealert(1)%3C/script%3E%3C!--")
    (line,) = re.findall(r"^const recorded = (.*);$", page, re.M)
    assert "<" not in line and line.isascii()
    assert page.count("<script") == live_page().count("<script") == 1
    kept = json.loads(line)
    assert kept["answers"][0][0]["text"] == "</script><script>alert(1)</script><!--"
    for request, found in kept["answers"]:
        assert found == answer(request)
    requests = [request for request, _ in kept["answers"]]
    assert all(request in requests for request in requests_of(kept["state"]))
    last = kept["answers"][0][1]["at"]
    rows = {(each["row"], each["product"]) for each in requests if each["view"] == "cell"}
    assert rows == {(3, "scores"), (last, "scores"), (last, "mix")}


def test_the_page_reaches_nothing_and_makes_no_markup_of_text():
    page = live_page()
    assert "default-src 'none'" in page and "connect-src 'self'" in page
    assert {*re.findall(r"https?://[^\"]+", page)} == {"http://www.w3.org/2000/svg"}
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in page
    assert page.count("/* recorded */ null") == 1
    (said,) = re.findall(r'<input id="sentence"[^>]*\n\s+value="([^"]*)"', page)
    assert said == SENTENCE


def test_a_state_is_read_as_the_page_reads_it():
    common = {"text": "a b&c", "off": ["ffn.2", "hide.1"]}
    assert requests_of("s=a+b%26c&t=3&off=hide.1,ffn.2&b=0&h=1&p=mix&r=2&c=4") == [
        {"view": "overview", **common, "at": 3},
        {"view": "head", **common, "block": 0, "head": 1},
        {"view": "cell", **common, "block": 0, "head": 1, "product": "mix", "row": 2, "column": 4},
    ]
    assert requests_of("") == [{"view": "overview", "text": SENTENCE, "off": [], "at": None}]
    assert all(checked(request) for request in requests_of("t=3&b=0&h=1&p=mix&r=2&c=4"))
    with pytest.raises(ValueError, match="b in a state must be a whole number, got 'x'"):
        requests_of("b=x&h=1")


def test_the_command_writes_a_page(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("LLAMA_MODEL", raising=False)
    out = tmp_path / "page.html"
    assert main(["A cat", "--state", "#s=other&b=1&h=0", "--out", str(out)]) == 0
    written = out.read_text(encoding="utf-8")
    assert '"view":"head","text":"A cat","off":[],"block":1,"head":0}' in written
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
    assert main([each.format(tmp_path) for each in argv]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("error: ") and said in line] == lines
    assert not [*tmp_path.iterdir()]


def test_a_browser_shows_what_the_model_computed(answer, tmp_path):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no Chromium here")
    state = "s=Once+upon+a+time&b=1&h=2&off=head.1.2"
    row = answer(requests_of(state)[1])["pattern"][3]
    state += f"&p=scores&r=3&c={np.argmax(row)}"
    (tmp_path / "page.html").write_text(as_page(answer, state), encoding="utf-8")
    quiet = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    done = subprocess.run(
        [
            browser, *quiet.split(), f"--user-data-dir={tmp_path / 'kept'}", "--dump-dom",
            "--virtual-time-budget=5000", (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    shown, _, _ = done.stdout.partition("<script>")
    overview, _, cell = (answer(request) for request in requests_of(state))
    assert '<p id="said" role="status"></p>' in shown  # no error
    assert len(re.findall('class="tile', shown)) == overview["blocks"] * overview["heads"]
    assert len(re.findall('class="tile job', shown)) > 1
    for token in overview["original"] + overview["changed"]:
        assert f">{html.escape(token['text'], quote=False)}</td>" in shown
    assert html.escape(cell["code"], quote=False) in shown
    assert f"<p>sum {cell['sum']:.3f}; softmax over row 3 makes of it the weight" in shown
    assert f"the weight {100 * max(row):.0f} %." in shown.replace("\N{NO-BREAK SPACE}", " ")
