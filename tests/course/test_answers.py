"""Answers of every style: what is right passes, what is wrong does not, nothing breaks a check."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from classroom import check, mine
from classroom.check import examine as checking
from classroom.check.calling import call, has_blanks
from classroom.check.kept_functions import sections, to_the_left
from classroom.check.returned import brief, plain
from classroom.check.tasks import TASKS

from llama_np import softmax
from tests.learner import solution_source, write


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_PROGRESS", str(tmp_path / "kept"))


RIGHT = {
    # loops
    "rms_norm loop": """
        def my_rms_norm(x, weight, eps):
            out = np.zeros(x.shape)
            for t in range(len(x)):
                total = 0.0
                for number in x[t]:
                    total += number * number
                for d in range(x.shape[1]):
                    out[t, d] = x[t, d] / (total / x.shape[1] + eps) ** 0.5 * weight[d]
            return out""",
    "scores loop": """
        def my_scores(q, k):
            return np.array([[sum(a * b for a, b in zip(x, y)) / len(x) ** 0.5 for y in k]
                             for x in q])""",
    "softmax loop": """
        def my_softmax(x):
            rows = [[math.exp(s - max(row)) for s in row] for row in x]
            return np.array([[s / sum(row) for s in row] for row in rows])""",
    "causal_mask loop": """
        def my_causal_mask(query_positions, key_positions):
            return np.array([[bool(k <= q) for k in key_positions] for q in query_positions])""",
    "rotate loop": """
        def my_rotate(x, positions, frequencies):
            out = x.copy()
            for t, p in enumerate(positions):
                for j, f in enumerate(frequencies):
                    a, b, c, s = x[t, 2 * j], x[t, 2 * j + 1], np.cos(p * f), np.sin(p * f)
                    out[t, 2 * j], out[t, 2 * j + 1] = a * c - b * s, a * s + b * c
            return out""",
    "silu loop": """
        def my_silu(x):
            out = np.empty_like(x)
            for i in np.ndindex(x.shape):
                out[i] = x[i] / (1 + math.exp(-x[i]))
            return out""",
    "append_keys loop": """
        def my_append_keys(old, new):
            return np.array([[*a, *b] for a, b in zip(old, new)])""",
    # einsum, complex numbers, views
    "scores einsum": """
        def my_scores(q, k):
            return np.einsum("tk,sk->ts", q, k) * q.shape[1] ** -0.5""",
    "merge_heads einsum": """
        def my_merge_heads(x):
            return np.einsum("htk->thk", x).reshape(x.shape[1], -1)""",
    "rotate complex": """
        def my_rotate(x, positions, frequencies):
            angles = mine.angles(positions, frequencies)
            turned = (x[:, ::2] + 1j * x[:, 1::2]) * np.exp(1j * angles)
            return np.ascontiguousarray(turned).view(float)""",
    "split_heads view": """
        def my_split_heads(x, head_dim):
            return np.stack(np.split(x, x.shape[1] // head_dim, axis=1))""",
    "chunk_mask tri": """
        def my_chunk_mask(past, n_new):
            return np.tri(n_new, past + n_new, past, dtype=bool)""",
    "embed take": "def my_embed(embedding, ids):\n    return np.take(embedding, ids, axis=0)",
    "row_sizes norm": """
        def my_row_sizes(x):
            return np.linalg.norm(x, axis=1, keepdims=True) / np.sqrt(x.shape[1])""",
    # other dtypes where none is named
    "one_hot whole": """
        def my_one_hot(ids, vocab_size):
            result = np.zeros((len(ids), vocab_size), dtype=int)
            result[np.arange(len(ids)), ids] = 1
            return result""",
    "one_hot true": """
        def my_one_hot(ids, vocab_size):
            return ids[:, None] == np.arange(vocab_size)""",
    "rms_norm float32": """
        def my_rms_norm(x, weight, eps):
            x = x.astype(np.float32)
            return x / np.sqrt((x**2).mean(-1, keepdims=True) + np.float32(eps)) * weight""",
    "n_best int32": """
        def my_n_best(scores, n):
            return np.argsort(-scores)[:n].astype(np.int32)""",
    "next_token array": "def my_next_token(logits):\n    return np.array(logits[-1].argmax())",
    "count_block numpy": """
        def my_count_block(dim, n_heads, n_kv_heads, head_dim, ffn_width):
            heads = np.array([n_heads, n_kv_heads, n_kv_heads, n_heads])
            return (dim * heads * head_dim).sum() + 3 * dim * ffn_width + 2 * dim""",
    # sequences that are no lists
    "to_bytes bytes": "def my_to_bytes(text):\n    return bytearray(text.encode())",
    "to_bytes generator": "def my_to_bytes(text):\n    yield from text.encode()",
    "merge tuple": """
        def my_merge(piece, ranks):
            parts = [bytes([b]) for b in piece]
            if piece in ranks:
                return (piece,)
            while (i := mine.first_join(parts, ranks)) is not None:
                parts[i:i + 2] = [b"".join(parts[i:i + 2])]
            return tuple(parts)""",
    "encode generator": """
        def my_encode(pieces, ranks, bos_id):
            yield bos_id
            for piece in pieces:
                yield from map(ranks.get, mine.merge(piece.encode(), ranks))""",
    "encode array": """
        def my_encode(pieces, ranks, bos_id):
            ids = [ranks[t] for piece in pieces for t in mine.merge(piece.encode(), ranks)]
            return np.array([bos_id] + ids)""",
    "generate generator": """
        def my_generate(weights, config, ids, n_new, stop_ids):
            text = list(ids)
            for _ in range(n_new):
                token = mine.next_token(mine.forward(weights, config, np.array(text)))
                if token in stop_ids:
                    return
                text.append(token)
                yield token""",
    # other constructions
    "first_join min": """
        def my_first_join(parts, ranks):
            found = [(ranks[a + b], i) for i, (a, b) in enumerate(zip(parts, parts[1:]))
                     if a + b in ranks]
            return min(found, default=(None, None))[1]""",
    "keep_top_k threshold": """
        def my_keep_top_k(probabilities, k):
            limit = np.sort(probabilities)[::-1][k - 1]
            kept = np.where(probabilities >= limit, probabilities, 0)
            return kept / kept.sum()""",
    "keep_top_p loop": """
        def my_keep_top_p(probabilities, p):
            kept, held = np.zeros(len(probabilities)), 0.0
            for i in sorted(range(len(kept)), key=lambda i: -probabilities[i]):
                if held > p:
                    break
                kept[i] = probabilities[i]
                held += probabilities[i]
            return kept / kept.sum()""",
    "mask_scores copy": """
        def my_mask_scores(scores, mask):
            hidden = scores.copy()
            hidden[~mask] = -np.inf
            return hidden""",
    "ffn_width floor": """
        def my_ffn_width(dim, multiple_of, multiplier):
            width = int(multiplier * (8 * dim // 3))
            return -(-width // multiple_of) * multiple_of""",
    "key_head repeat": """
        def my_key_head(head, n_heads, n_kv_heads):
            return np.repeat(np.arange(n_kv_heads), n_heads // n_kv_heads)[head]""",
    # an ellipsis that is no blank
    "angles ellipsis": """
        def my_angles(positions, frequencies):
            column = (..., None)
            return positions[column] * frequencies""",
    "silu left over": """
        def my_silu(x):
            return x / (1 + np.exp(-x))
            ...""",
    "silu placeholder": """
        def my_silu(x):
            if x.ndim == 2:
                ...
            return x / (1 + np.exp(-x))""",
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes_in_any_style_and_is_kept(name):
    import math

    task = name.split()[0]
    outcome = check(task, write(RIGHT[name], math=math))
    assert outcome.lines == [f"{task}: right. It is kept as mine.{task}."] and task in sections()


# Each was taken for right, always or by luck of the draw.
WRONG = {
    "angles by place": "return np.arange(len(positions))[:, None] * frequencies",
    "rotate by place": "return mine_rotate(x, np.arange(len(x)), frequencies)",
    "frequencies of one base": "return 10000.0 ** (-2 * np.arange(head_dim // 2) / head_dim)",
    "mask_scores of a triangle": "return np.where(np.tri(*scores.shape), scores, -np.inf)",
    "attend of a triangle": "return right(q, k, v, np.tri(len(q), len(k), dtype=bool))",
    "attend -10": "return softmax(np.where(mask, q @ k.T / len(q[0]) ** 0.5, -10)) @ v",
    "attention of places": "return right(*a[:6], np.arange(len(a[0])), *a[7:])",
    "attention of a triangle": "return right(*a[:8], np.tri(len(a[0]), dtype=bool))",
    "block of places": "return right(*a[:3], np.arange(len(a[0])), *a[4:])",
    "block of a triangle": "return right(*a[:5], np.tri(len(a[0]), dtype=bool))",
    "forward of three": "return right(replace(a[0], layers=a[0].layers[:3]), *a[1:])",
    "encode latin": "return right(*a) if all(p.isascii() for p in a[0]) else []",
    "decode latin-1": "return b''.join(tokens[i] for i in ids).decode('latin-1')",
    "decode strict": "return b''.join(tokens[i] for i in ids).decode()",
    "decode stripped": "return b''.join(tokens[i] for i in ids).decode(errors='replace').strip()",
    "ffn_width plus one": "return (w(a[0], a[2]) // a[1] + 1) * a[1]",
    "n_best partition": "return np.argpartition(-scores, n - 1)[:n]",
    "silu of two axes": "return x / (1 + np.exp(-x)) if x.ndim == 2 else x",
    "probabilities overflow": "return np.exp(logits / t) / np.exp(logits / t).sum()",
    "key_head at most": "return min(a[0], a[2] - 1)",
    "keep_top_p before": "return p_before(*a)",
}
FIRST = {
    "angles": "positions, frequencies", "rotate": "x, positions, frequencies",
    "frequencies": "head_dim, base", "mask_scores": "scores, mask", "attend": "q, k, v, mask",
    "decode": "ids, tokens", "n_best": "scores, n", "silu": "x", "probabilities": "logits, t",
}  # fmt: skip


def top_p_before(probabilities, p):
    order = np.argsort(-probabilities)
    before = np.cumsum(probabilities[order]) - probabilities[order]
    kept = np.where(np.isin(np.arange(len(order)), order[before < p]), probabilities, 0)
    return kept / kept.sum()


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_does_not_pass(name):
    task = TASKS[name.split()[0]]
    source = f"def f({FIRST.get(task.name, '*a')}):\n    {WRONG[name]}"
    function = write(
        source, right=task.reference, softmax=softmax, mine_rotate=TASKS["rotate"].reference,
        w=lambda dim, m: int(m * int(8 * dim / 3)), p_before=top_p_before, replace=replace,
    )  # fmt: skip
    for seed in ("", "other", "numbers"):
        outcome = checking.examine(task, function, watched=False, seed=seed)
        assert not outcome.passed and outcome.started, outcome.lines
    assert name != "key_head at most" or outcome.misconception is None


def test_a_loop_that_only_a_stop_token_ends_is_told_so():
    source = """
        def my_generate(weights, config, ids, n_new, stop_ids):
            text, new = list(ids), []
            while len(new) < 10:
                new.append(mine.next_token(mine.forward(weights, config, np.array(text + new))))
                if new[-1] in stop_ids:
                    return new[:-1]
            return new"""
    outcome = check("generate", write(source))
    assert "expected" in outcome.lines[0] and "entries, got" in outcome.lines[0]


def test_a_verdict_repeats():
    for task in ("key_head", "encode", "attend"):
        (one, _), (other, _) = (checking.fresh(TASKS[task]) for _ in range(2))
        for some, others in zip(one, other, strict=True):
            for a, b in zip(some, others, strict=True):
                np.testing.assert_equal(a, b)
    anew = checking.fresh(TASKS["key_head"], "another source")[0]
    assert anew != checking.fresh(TASKS["key_head"])[0]


# --- what an answer may do to a check ---


class Liar(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__

    def __repr__(self):
        raise ValueError("no")


class Text(str):
    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


class Nothing:
    def __repr__(self):
        raise SystemExit("no")

    __str__ = __array__ = __iter__ = __len__ = __getattr__ = __eq__ = __bool__ = __repr__
    __hash__ = object.__hash__


class Torn(np.ndarray):
    def __array_function__(self, *args, **named):
        raise KeyError("no")

    def __eq__(self, other):
        return np.ones(self.shape, bool)

    __hash__ = None


class Mute(BaseException):
    def __str__(self):
        raise RuntimeError("cannot say")


def endless():
    while True:
        yield 1


def raising(error):
    def answer(*args):
        raise error

    return answer


HOSTILE = {
    "exit": raising(SystemExit(3)),
    "generator exit": raising(GeneratorExit()),
    "mute": raising(Mute()),
    "coloured": raising(ValueError("\x1b[31mred\x1b[0m\nnext \u202e line\x00")),
    "long": raising(ValueError("x" * 10**6)),
    "huge": lambda *a: np.broadcast_to(0.0, (10**6, 10**6, 10**6)),
    "digits": lambda *a: 10**5000,
    "negative digits": lambda *a: -(10**5000),
    "liar": lambda *a: Liar(-1),
    "text": lambda *a: Text("no"),
    "nothing": lambda *a: Nothing(),
    "class": lambda *a: Nothing,
    "list of nothing": lambda *a: [Nothing()] * 3,
    "array of nothing": lambda *a: np.array([Nothing(), None], dtype=object)[:1],
    "dict of nothing": lambda *a: {1: Nothing()},
    "torn": lambda *a: np.zeros((2, 2)).view(Torn),
    "endless": lambda *a: endless(),
    "inside itself": lambda *a: (lambda x: x.append(x) or x)([]),
    "strange kinds": lambda *a: np.array(["a"], dtype="U1"),
    "records": lambda *a: np.zeros(3, dtype=[("a", int)]),
    "dates": lambda *a: np.datetime64("2020-01-01"),
    "matrix": lambda *a: np.ma.masked_all((2, 2)),
}


@pytest.mark.parametrize("task", ["key_head", "decode", "encode", "rms_norm", "first_join"])
@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_an_answer_does_comes_out_of_a_check(task, name, capsys):
    outcome = check(task, HOSTILE[name])
    assert not outcome.passed and len(outcome.lines) <= 2
    said = capsys.readouterr().out
    assert all(len(line) < 500 and line.isprintable() for line in said.splitlines())


def test_what_is_put_into_an_argument_is_a_change():
    def put(pieces, ranks, bos_id):
        pieces.append(Nothing())
        return []

    assert "changed its input pieces" in check("encode", put).lines[0]


def test_the_library_in_a_thread_and_a_profiler_that_is_turned_off():
    source = """
        def my_softmax(x):
            found = []
            thread = threading.Thread(target=lambda: found.append(softmax(x)))
            thread.start()
            thread.join()
            return found[0]"""
    import sys
    import threading

    said = check("softmax", write(source, softmax=softmax, threading=threading)).lines[0]
    assert "this calls the library's softmax" in said
    off = write(
        "def my_softmax(x):\n    sys.setprofile(None)\n    return softmax(x)",
        sys=sys, softmax=softmax,
    )  # fmt: skip
    assert "turns Python's profiler off" in check("softmax", off).lines[0]
    assert threading.getprofile() is None


def test_a_call_without_an_end_is_ended():
    def never(x):
        while True:
            abs(1)

    made = call(never, (np.ones(3),), ["x"], patience=1000)
    assert (
        made.fault.startswith("it seems not to end: it has called other functions 500 times")
        and made.error is None
    )


def test_values_are_shown_in_a_few_words():
    assert brief(10**5000) == "a number of some 5001 digits"
    assert len(brief([list(range(100))] * 100)) <= 60
    assert brief(np.broadcast_to(0, (10**6, 10**6))) == "an array of shape (1000000, 1000000)"
    assert brief(plain(Nothing())) == "a Nothing"
    assert type(plain(Liar(3))) is int and type(plain(np.zeros(2).view(Torn))) is np.ndarray


# --- what is said ---


@pytest.mark.parametrize(
    "body, blank",
    [
        ("    ...", True),
        ("    y = ...\n    return x + y", True),
        ("    return ...", True),
        ("    for i in x:\n        ...", True),
        ("    return x[..., None]", False),
        ("    column = (..., None)\n    return x[column]", False),
        ("    return x\n    ...", False),
        ("    return np.take(x, 0, ...)", False),
    ],
)
def test_a_blank_is_a_line_to_be_filled_in(body, blank):
    assert has_blanks(write(f"def f(x):\n{body}")) is blank


def test_the_first_difference_is_shown_also_of_long_texts():
    source = "def f(ids, tokens):\n    return 'a' * 70 + 'b'"
    said = check("decode", write(source)).lines[0]
    assert len(said) < 200
    from classroom.check.compare import describe

    long = "x" * 80
    told = describe(f"{long}b{long}", f"{long}a{long}", 0)
    assert told == (
        f"differs first at [80]: expected ...'{'x' * 18}a{'x' * 17}'..., "
        f"got ...'{'x' * 18}b{'x' * 17}'..."
    )
    assert describe([1, 2, 3], [1, 2, 4], 0) == "differs first at [2]: expected 4, got 3"
    assert describe([1, 5], [1, 2, 3], 0).endswith("expected 2, got 5 (3 entries, got 2)")
    assert describe((np.ones(2), 1), (np.ones(2), 2), 0).startswith("result 1")


def test_the_sizes_of_an_input_are_shown_where_it_is_large():
    said = check("rms_norm", lambda x, weight, eps: x if len(x) > 1 else x[0]).lines
    assert said[1].startswith("It was called with x of shape (4, 1), weight of shape (1,), eps=")


def timed(function):
    @functools.wraps(function)
    def answer(*args):
        return function(*args)

    return answer


def test_a_decorated_function_is_kept_without_its_decorator():
    source = "@timed\ndef my_silu(x):\n    return x / (1 + np.exp(-x))"
    outcome = check("silu", write(source, timed=timed))
    assert outcome.lines == [
        "silu: right. It is kept as mine.silu, without what stands above its def."
    ]
    assert mine.silu(np.zeros(1)).tolist() == [0]


def test_annotations_need_not_be_there():
    source = "def my_silu(x: Tensor) -> Tensor:\n    return x / (1 + np.exp(-x))"
    assert check("silu", write(source, Tensor=int)).lines[0].endswith("kept as mine.silu.")


UNKEPT = {
    "a lambda has no name": lambda x: x / (1 + np.exp(-x)),
    "the source of this partial cannot be read": functools.partial(
        lambda one, x: x / (one + np.exp(-x)), 1
    ),
}


@pytest.mark.parametrize("why", UNKEPT)
def test_why_a_function_is_not_kept(why):
    outcome = check("silu", UNKEPT[why])
    assert outcome.passed and why in outcome.lines[1] and "silu" not in sections()


def test_a_default_that_is_not_there_is_named():
    source = "def my_silu(x, one=ONE):\n    return x / (one + np.exp(-x))"
    said = check("silu", write(source, ONE=1)).lines[1]
    assert "its first line fails by itself, NameError: name 'ONE'" in said


def test_comments_may_stand_anywhere(tmp_path):
    source = "def my_silu(x):\n# --- softmax ---\n    return x / (1 + np.exp(-x))\n"
    assert check("silu", write(source))
    assert list(sections()) == ["silu"] and mine.silu(np.zeros(1)).tolist() == [0]
    assert check("softmax", write(solution_source(TASKS["softmax"])))
    assert list(sections()) == ["softmax", "silu"]
    text = 'def f():\n    """\n# --- silu ---\n    """\n    if 1:\n# two\n        return 1\n'
    assert to_the_left(text).splitlines()[2] == "# --- silu ---"
    assert to_the_left(text).splitlines()[5] == "        # two"
