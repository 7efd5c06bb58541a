"""Names of special tokens in what was said never become tokens, whatever a template does to it."""

from functools import cache

import pytest

from llama_np.tokenizer import BPETokenizer
from weights_tools.tokenizers.render_chat import sandbox
from weights_tools.tokenizers.whose_names import Refused, guarded_text, unused_signs

pytest.importorskip("jinja2")
pytest.importorskip("hypothesis")
from hypothesis import example, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

BYTES = {bytes([b]): b for b in range(256)}
APART = BPETokenizer(BYTES, ["<a>", "<b>", "[x]", "</t>"])
NESTED = BPETokenizer(BYTES, ["<a>", "<b>", "<a><b>", "<b><c>", "b><"])
EACH = "{%% for m in messages %%}%s{%% endfor %%}"


@cache
def compiled(source):
    return sandbox().from_string(source)


def encoded(tokenizer, source, *contents, **more) -> tuple[list[int], str]:
    """As ``encode_chat``, without a process of its own; and the text as it is."""

    def write(dialogs):
        try:
            return [compiled(source).render(messages=dialog) for dialog in dialogs]
        except Exception as error:
            raise Refused(str(error)) from None

    messages = [{"role": "user", "content": content, **more} for content in contents]
    signs = unused_signs(messages, source)
    text = guarded_text(tokenizer, messages, write, signs)
    return tokenizer.encode(text, allow_special=True, guard=signs.opening), *write([messages])


def names_read(tokenizer, source, *contents, **more) -> list[str]:
    """The special tokens that come of a dialog, whose text is always that of the template."""
    ids, text = encoded(tokenizer, EACH % source, *contents, **more)
    assert tokenizer.decode(ids) == text
    return [tokenizer.decode([i]) for i in ids if i >= len(BYTES)]


@pytest.mark.parametrize(
    "source, content, expected",
    [
        ("{{ m.content }}", "<a>", []),
        ("<a>{{ m.content }}<a>", "<a>", ["<a>", "<a>"]),  # the template's own beside it
        ("{{ m.content[1:-1] }}", "<<a>>", []),
        ("{{ m.content[1:4] }}", "<a><a>", []),  # where the guard would be
        ("{{ m.content[:6] }}", "ab <a>", []),
        ("{{ m.content.split('</t>')[-1][:5] }}", "x</t>ab<a>", []),
        ("{{ m.content.split('</t>')[-1][-5:] }}", "x</t><a>ab", []),
        ("[x]{{ m.content.split('</t>')[-1] }}", "x</t>ab", ["[x]"]),
        ("</t>{{ m.content.split('</t>')[-1] }}", "x</t>ab", ["</t>"]),  # written again
        ("{{ m.content.split('</t>')[0].strip() + '</t>' }}", "x</t>ab", ["</t>"]),
        ("{{ m.content.split('</t>')[-1].lstrip() }}</t>", "x</t>\n\n<a> ", ["</t>"]),
        ("{{ m.content.replace('[x]', '') }}", "<[x]a>", []),  # made of what is left
        ("{{ m.content.replace('[x]', '')[:9] }}", "<[x]a>" * 3, []),
        ("{{ m.content.replace('[x]', '<a>') }}", "[x]", []),
        ("{{ m.content | lower }}", "<A>", []),
        ("{{ m.content[1:] if m.content.startswith('<a>') else m.content }}", "<a><b>", []),
        ("{{ m | tojson(ensure_ascii=true) }}[x]", '<a>"é', ["[x]"]),
        ("{{ m.name ~ m.list[0].key }}[x]", "", ["[x]"]),
    ],
)
def test_what_a_template_may_do(source, content, expected):
    """Also with the other texts that a message may have beside its content."""
    more = {"name": "<a>", "list": [{"key": "<b>"}]}
    assert names_read(APART, source, content, **more) == expected


@pytest.mark.parametrize(
    "source, contents",
    [
        ("<a{{ m.content }}b>", [">", "<"]),
        ("{{ m.content | trim }}a>", [" < "]),
        ("{{ m.content }}", ["<", "a>"]),  # of two messages
        ("</{{ m.content.split('</t>')[-1] }}", ["x</t>t>"]),
    ],
)
def test_a_name_made_together_is_none(source, contents):
    assert names_read(APART, source, *contents) == []


@pytest.mark.parametrize(
    "source, content, expected",
    [
        ("{{ m.content }}", "<a><b><c>", []),
        ("<a>{{ m.content }}", "<b>", ["<a>"]),  # not the longer one
        ("{{ m.content.split('<a>')[-1] }}", "<a><b>", []),  # an inner one is cut out
        ("{{ m.content.replace('<a>', '') }}", "<a><b><c>", []),
        ("{{ m.content[3:] }}", "<a><b>", []),
        ("<a><b>{{ m.content }}", "<a><b><c>", ["<a><b>"]),
    ],
)
def test_names_inside_names(source, content, expected):
    assert names_read(NESTED, source, content) == expected


def test_a_role_is_the_templates():
    """Some templates make names of it, and no speaker chooses it."""
    tokenizer = BPETokenizer(BYTES, ["<|user|>"])
    assert names_read(tokenizer, "<|{{ m.role }}|>{{ m.content }}", "<|user|>") == ["<|user|>"]


def test_a_name_with_white_space():
    """White space may be all that stands between two guards: then it counts."""
    tokenizer = BPETokenizer(BYTES, ["\n\n", " <a>", "<a b>"])
    assert names_read(tokenizer, "{{ m.content }}\n\n", "\n\n <a>\n\n<a b>") == ["\n\n"]
    source = "{{ m.content.split('<a b>')[-1] | trim }}\n\n"
    assert names_read(tokenizer, source, "<a b>\n\nx <a>y\n\nz") == []  # in case it was said
    tokenizer = BPETokenizer(BYTES, ["<a b>", "</t>"])
    source = "{{ m.content.split('</t>')[-1] | trim }}<a b>"
    assert names_read(tokenizer, source, "x</t> \n<a b> ") == ["<a b>"]


def test_a_dialog_that_is_refused():
    source = "{% if 'please' not in m.content %}{{ m.content.nothing.x }}{% endif %}{{ m.content }}"
    with pytest.raises(Refused, match="has no attribute 'nothing'"):
        names_read(APART, source, "<a>")
    assert names_read(APART, source, "please <a>") == []  # though it refuses what is hidden


# --- any of it ---

PIECES = [
    "<",
    "a",
    ">",
    "[",
    "]",
    "t",
    "</",
    "<c>",
    " ",
    "\n",
    '"',
    "é",
    "\U000f0000",
    "\U000f0001",
]


@st.composite
def expressions(draw, tokenizer) -> str:
    """What a template makes of what was said: prints, trims, cuts, splits it, replaces in it."""
    said = "m.content"
    numbers = st.integers(-12, 12)
    for _ in range(draw(st.integers(0, 3))):
        name = repr(draw(st.sampled_from([*tokenizer.special_tokens])))
        first, last = draw(numbers), draw(numbers)
        said = draw(st.sampled_from([
            f"{said}.strip()", f"{said}.lstrip('\\n')", f"{said}.split({name})[-1]",
            f"{said}.split({name})[0]", f"{said}.split({name}, 1)[-1]",
            f"{said}.replace({name}, '')", f"{said}.replace({name}, 'q')", f"{said}[{first}:]",
            f"{said}[:{last}]", f"{said}[{first}:{last}]", f"{said}.upper()", f"{said}.title()",
            f"('q' if {name} in {said} else {said})", f"'q'.join({said}.split({name}))",
        ]))  # fmt: skip
    return said


@pytest.mark.parametrize("tokenizer", [APART, NESTED], ids=["apart", "nested"])
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_nothing_that_is_said_is_a_token(tokenizer, data):
    said = st.lists(st.sampled_from([*tokenizer.special_tokens, *PIECES]), max_size=6).map("".join)
    source = f"#{{{{ {data.draw(expressions(tokenizer))} }}}}#"
    assert names_read(tokenizer, source, *data.draw(st.lists(said, min_size=1, max_size=2))) == []


@settings(max_examples=200, deadline=None)
@given(
    contents=st.lists(st.text("<>/tab[x] \n", max_size=6), min_size=1, max_size=2),
    around=st.tuples(*[st.text("<>/tab[x]", max_size=2)] * 2),
    cut=st.sampled_from(["", ".strip()", "[1:]", "[:-1]", "[1:4]", "[-3:]"]),
)
@example(contents=["b><"], around=("<", "a>"), cut="")
def test_nothing_that_is_said_is_part_of_a_token(contents, around, cut):
    """All names that are read are the template's own, as it writes them around anything."""
    before, behind = around
    source = f"{before}{{{{ m.content{cut} }}}}{behind}"
    own = names_read(APART, source, *["\n" for _ in contents])
    if own == names_read(APART, f"{before}\n{behind}", *contents):  # none across two messages
        assert names_read(APART, source, *contents) == own
