"""Pictures: what they say in words, and that everybody can see them: contrast, colours, sizes."""

import io
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
from classroom import show

plt = pytest.importorskip("matplotlib.pyplot")
Image, Text = pytest.importorskip("PIL.Image"), plt.matplotlib.text.Text

LABELS = [
    "<|begin_of_text|>", "Once", "␣upon", "␣a", "␣time", ",", "␣there", "␣was", "␣a", "␣little",
    "␣girl", "␣named",
]  # fmt: skip
T = len(LABELS)
RANDOM = np.random.default_rng(0)
SCORES = RANDOM.normal(size=(T, T))
MASKED = np.where(np.tri(T), SCORES, -np.inf)
PATTERN = np.exp(MASKED) / np.exp(MASKED).sum(axis=-1, keepdims=True)
ROWS = RANDOM.normal(size=(T, 80))
AXES, NAMED = ("query T", "key S"), {"rows": LABELS, "columns": LABELS}
STEPS = np.arange(1, 61)
LINES = {f"rate {i}": STEPS ** -(0.1 + 0.05 * i) for i in range(6)}
SPLIT = {"ours": ["Once", " upon", " a time"], "Llama 3": ["Once upon", " a", " time"]}
MAPS = {  # drawings in which no text may stand on another
    "model_map": lambda: show.model_map(32, lit=["attention"]),
    "attention_map": lambda: show.attention_map(["scores", "cache", "q"]),
    "gate_map": show.gate_map,
    "two_blocks": show.two_blocks,
    "two_processors": show.two_processors,
    "one_cell": lambda: show.one_cell(ROWS[:, :10], ROWS[:, 10:20], T - 1, 9, labels=LABELS),
    "cache_frames": lambda: show.cache_frames(LABELS, len(LABELS) - 2),
    "streams": lambda: show.streams(LABELS, ROWS[:, :32].T, unit="lost", out="␣Lily"),
    "hands": lambda: show.hands([0, 0.5, 1, 1.5]),
    "sampling_line": lambda: show.sampling_line(LABELS, np.sort(PATTERN[-1])[::-1], 0.62),
    "reads": lambda: show.reads(LABELS, PATTERN, title="block 1, head 3"),
    "tokens": lambda: show.tokens(LABELS, range(T)),
    "splits": lambda: show.splits(SPLIT),
    "curves": lambda: show.curves(STEPS, LINES, ("step", "nats"), log="xy"),
    "paths": lambda: show.paths(
        np.arange(12), np.arange(8), np.add.outer((np.arange(8) - 3) ** 2, np.arange(12)),
        {"plain": ROWS[:5, :2] + 4, "momentum": ROWS[:9, :2] + 5}, ("a", "b"), title="a valley",
    ),
    "tracks": lambda: show.tracks(
        {"chosen": ROWS[:4, :2] + 4, "preferred": ROWS[:7, 2:4] + 4}, ("nats", "reward"), root=True
    ),
    "matrix": lambda: show.matrix(SCORES, AXES, title="scores", **NAMED),
    "patterns": lambda: show.matrices(
        {f"head {i}": PATTERN for i in range(8)}, AXES, quantity="weights", **NAMED
    ),
}  # fmt: skip
DRAWINGS = MAPS | {
    "rows": lambda: show.matrices(dict.fromkeys("abc", ROWS), ("T", "D"), rows=LABELS, across=1),
    "bars": lambda: show.bars(PATTERN[-1], LABELS, "probability", title="after", lit=2),
    "bar_panels": lambda: show.bar_panels(
        {f"temperature {i}": PATTERN[-1] for i in range(6)}, LABELS, "probability"
    ),
    "points": lambda: show.points(
        STEPS, {"relu": LINES["rate 0"], "silu": LINES["rate 1"]}, ("gate", "")
    ),
    "arrows": lambda: show.arrows({f"pair {i}": ROWS[:6, :2] for i in range(4)}, range(6)),
    "regions": lambda: show.regions(
        {"0": PATTERN, "9": PATTERN}, ROWS[:, :2], np.arange(T) % 2, reach=2.0
    ),
    "head_sharing": lambda: show.head_sharing({"GPT-2": (8, 8), "ours": (8, 2)}),
    "to_scale": lambda: show.to_scale({"w": ROWS, "a": ROWS[:, :4]}, [("D", "D"), ("D", "r")]),
    "written, signed": lambda: show.written(
        8 * ROWS[:4, :6] - 4, [[f"{n:.1f}" for n in row] for row in 8 * ROWS[:4, :6] - 4],
        ("number", "token"), rows=list("abcd"), columns=list("efghij"), limit=4.0,
        quantity="signed",
    ),
    "written": lambda: show.written(
        PATTERN, [LABELS] * T, ("block", "T"), rows=LABELS, columns=LABELS, marked=PATTERN > 0.3
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    """No window, where there is a screen; the figure of the last picture."""
    monkeypatch.setattr(plt, "show", lambda: None)
    yield plt.gcf
    plt.close("all")


def seen(figure) -> list:
    """Texts that are drawn, with the layout settled."""
    figure.canvas.draw()
    figure.set_layout_engine("none")
    texts = figure.findobj(lambda each: isinstance(each, Text) and each.get_text().strip())
    off = {id(each) for place in figure.axes if not place.axison for each in ticks_of(place)}
    return [text for text in texts if text.get_visible() and id(text) not in off]


def ticks_of(place) -> list:
    """Labels of an axis; where it is switched off they exist, and are not drawn."""
    return [*place.xaxis.findobj(Text), *place.yaxis.findobj(Text)]


# Seen by everybody


def test_contrast_is_what_the_guidelines_say():
    contrast = show.base.contrast
    assert contrast("black", "white") == pytest.approx(21)
    assert contrast("#767676", "white") == pytest.approx(4.54, abs=0.01)
    assert contrast("#8a8a8a", "white") == pytest.approx(3.45, abs=0.01)


def test_some_ink_can_be_read_on_every_shade():
    shades = [plt.get_cmap("gray")(i) for i in range(256)]
    shades += [show.base.palette(q)(i / 40) for q in ("signed", "weights") for i in range(41)]
    for shade in shades:
        assert show.base.contrast(show.base.ink_on(shade), shade) >= 4.5


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWINGS)
def test_a_picture_can_be_seen_by_everybody(shown, name):
    """Drawn once for all of it: words for who does not see it, its size, places and contrasts."""
    DRAWINGS[name]()
    figure = shown()
    assert len(show.words.describe(figure)) > 10
    fits_on_a_screen(*show.base.png(figure))
    texts = [(text, text.get_window_extent()) for text in seen(figure)]
    if name in MAPS:
        stand_apart(texts)
    can_be_read(figure, texts)


def fits_on_a_screen(data, width):
    image = Image.open(io.BytesIO(data))
    assert len(data) <= 55_000
    assert image.width // 2 == width <= 780  # twice as sharp as it is wide
    assert image.height / 2 <= 700


def stand_apart(texts):
    for (one, a), (other, b) in combinations(texts, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(wide, high) < 2.5, (one.get_text(), other.get_text())
    assert all(text.get_fontsize() >= 6.5 for text, _ in texts)


def can_be_read(figure, texts):
    """... on what lies behind it: the commonest shade there, once the texts are taken away."""
    for text, _ in texts:
        text.set_alpha(0)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    for text, box in texts:
        down, across = len(pixels) - box.y1, box.x0
        behind = pixels[int(down) : int(down + box.height), int(across) : int(across + box.width)]
        if not behind.size:
            continue
        ((shade, _),) = Counter(map(tuple, behind.reshape(-1, 3))).most_common(1)
        found = show.base.contrast(text.get_color(), np.array(shade) / 255)
        assert found >= 4.5, (text.get_text(), text.get_color(), shade)


def test_a_picture_is_a_white_card_with_round_corners(shown):
    show.gate_map()
    data, _ = show.base.png(shown())
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    right, low = image.width - 1, image.height - 1
    assert {image.getpixel(at)[3] for at in [(0, 0), (right, 0), (0, low), (right, low)]} == {0}
    assert image.getpixel((image.width // 2, 2)) == (255, 255, 255, 255)


def test_too_high_a_picture_is_made_as_high_as_a_screen(shown):
    show.bars(np.arange(60.0), [str(i) for i in range(60)], "size")
    assert shown().get_figheight() <= 7


def test_areas_keep_their_colours(shown):
    """Forty-one shades and the letters on them: each shade is still there, to the bit."""
    array = np.linspace(0, 1, 41).reshape(1, 41)
    show.written(array, [["a"] * 41], ("T", "V"), rows=["a"], columns=["b"] * 41)
    drawn = io.BytesIO()
    shown().savefig(drawn, dpi=200)
    few = show.png.with_few_colours(Image.open(drawn).convert("RGB"))
    kept = {colour for _, colour in few.convert("RGB").getcolors()}
    shades = [show.base.palette("weights")(value, bytes=True)[:3] for value in array[0]]
    assert {tuple(map(int, shade)) for shade in shades} <= kept


def test_the_same_picture_is_the_same_bytes(shown):
    show.model_map(3)
    assert show.base.png(shown()) == show.base.png(shown())


# One colour, one meaning


def image_of(place):
    (image,) = place.images
    return image.cmap.name, image.norm.vmin, image.norm.vmax


@pytest.mark.parametrize("array", [np.eye(3), -np.eye(3), np.eye(3) - 0.5, np.zeros((3, 3))])
def test_what_an_array_holds_does_not_choose_its_colours(shown, array):
    show.matrix(array, AXES, title="scores")
    name, low, high = image_of(shown().axes[0])
    assert name == "RdBu_r" and low == -high


def test_weights_go_from_white_to_dark_and_signed_numbers_round_white():
    signed, weights = map(show.base.palette, ("signed", "weights"))
    assert weights(0.0)[:3] == (1, 1, 1)
    lightness = [show.base.luminance(weights(i / 40)) for i in range(41)]
    assert lightness == sorted(lightness, reverse=True) and lightness[-1] < 0.05
    assert min(signed(0.5)[:3]) > 0.96
    assert signed(0.0)[2] > signed(0.0)[0] and signed(1.0)[0] > signed(1.0)[2]
    with pytest.raises(ValueError, match="expected 'signed' or 'weights', got 'heat'"):
        show.base.palette("heat")


@pytest.mark.parametrize(
    "title", ["pattern", "probability that moved", "mask, the first rows", "block 3, head 1"]
)
def test_what_is_named_a_weight_is_drawn_as_one(shown, title):
    show.matrix(np.eye(3), AXES, title=title)
    assert image_of(shown().axes[0]) == ("weights", 0, 1)


@pytest.mark.parametrize(
    "title",
    [
        "d_pattern",
        "scores of head 3",
        "masked",
        "weights of the norm",
        "log-probability",
        "d of a share",
    ],
)
def test_what_is_not_named_a_weight_has_a_sign(shown, title):
    show.matrix(np.eye(3), AXES, title=title)
    assert image_of(shown().axes[0]) == ("RdBu_r", -1, 1)


def test_the_caller_says_what_a_matrix_holds(shown):
    show.matrix(np.eye(3), AXES, title="in the model", quantity="weights")
    assert image_of(shown().axes[0])[0] == "weights"
    show.matrix(np.eye(3), AXES, title="pattern", quantity="signed")
    assert image_of(shown().axes[0])[0] == "RdBu_r"
    with pytest.raises(ValueError, match="difference: weights are never negative"):
        show.matrix(-np.eye(3), AXES, title="difference", quantity="weights")


def test_minus_infinity_is_grey_and_ends_no_scale(shown):
    show.matrix(np.array([[2.0, -np.inf]]), AXES)
    (image,) = shown().axes[0].images
    assert image.norm.vmax == 2
    shade = image.to_rgba(image.get_array())[0, 1, :3]
    assert np.ptp(shade) == 0 and 0.5 < shade[0] < 0.9


@pytest.mark.parametrize(
    ("options", "bars"),
    [({}, 2), ({"limit": 3.0}, 1), ({"quantity": "weights"}, 1)],
)
def test_panels_of_one_scale_have_one_colour_bar(shown, options, bars):
    show.matrices({"one": np.eye(2), "two": 2 * np.eye(2)}, AXES, **options)
    assert [place.get_label() for place in shown().axes].count("<colorbar>") == bars
    if bars == 1:
        assert image_of(shown().axes[0]) == image_of(shown().axes[1])


# Lines


def test_lines_differ_without_their_colour_and_carry_their_names_at_their_ends(shown):
    show.curves(STEPS, LINES, ("step", "nats"))
    place = shown().axes[0]
    looks = [(line.get_linestyle(), line._dash_pattern, line.get_marker()) for line in place.lines]
    assert len({str(look) for look in looks}) == len(LINES)
    assert len({line.get_marker() for line in place.lines}) == len(LINES)
    names = [text for text in seen(shown()) if text in place.texts]
    assert [text.get_text() for text in names] == list(LINES)
    assert place.get_legend() is None
    right = place.get_window_extent().x1
    for text, line in zip(names, place.lines, strict=True):
        assert Text.get_window_extent(text).x0 >= right  # without the line that leads to it
        assert text.get_color() == line.get_color()
        assert np.allclose(text.xy, (line.get_xdata()[-1], line.get_ydata()[-1]))


def test_a_line_that_another_covers_is_broader(shown):
    show.curves(STEPS, {"below": STEPS, "above": STEPS}, ("step", "nats"))
    below, above = shown().axes[0].lines
    assert below.get_linewidth() > above.get_linewidth() + 0.8
    assert above.is_dashed()


def test_a_line_may_end_early(shown):
    show.curves([0, 1, 2], {"a": [0.0, 1.0, np.nan], "b": [0, 1, 2]}, ("step", "nats"))
    assert [tuple(text.xy) for text in shown().axes[0].texts] == [(1, 1), (2, 2)]


def test_long_names_of_lines_that_end_together_stand_clear_of_one_another(shown):
    names = [f"the loudest of all {n} pairs" for n in range(5)]
    show.curves(STEPS, {name: STEPS + n for n, name in enumerate(names)}, ("step", "nats"))
    texts = [text for text in seen(shown()) if text in shown().axes[0].texts]
    boxes = sorted((Text.get_window_extent(text) for text in texts), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))


def test_names_stand_at_the_right_whichever_way_a_line_is_given(shown):
    show.curves([2, 1, 0], {"a": [5, 6, 7], "b": [1, 2, 3]}, ("h", "error"))
    assert [tuple(text.xy) for text in shown().axes[0].texts] == [(2, 5), (2, 1)]


def test_a_long_name_is_translated_and_then_broken_into_lines(shown, monkeypatch):
    long = "the loudest of all pairs of numbers"
    labels = show.Labels({long: "najgłośniejsza ze wszystkich par liczb"})
    monkeypatch.setattr(show.base, "before_showing", [labels])
    show.curves(STEPS, {long: STEPS, "b": STEPS}, ("step", "nats"))
    assert shown().axes[0].texts[0].get_text() == "najgłośniejsza ze\nwszystkich par liczb"


def test_an_axis_without_a_name_is_called_as_its_lines(shown):
    show.curves(STEPS, {"silu": STEPS, "its slope": STEPS}, ("gate", ""))
    assert shown().axes[0].get_ylabel() == "silu, its slope"


# Words


def test_labels_are_looked_up_whole_and_with_what_the_lesson_fills_in():
    labels = {"row": "wiersz", "block {}, head {}": "blok {}, głowica {}", "a+b (c)": "d"}
    found = show.Labels(labels)
    texts = {
        "row": "wiersz", "rows": "rows", "block 3, head 12": "blok 3, głowica 12", "a+b (c)": "d",
        "aab (c)": "aab (c)",
    }  # fmt: skip
    assert {text: found.translated(text) for text in texts} == texts
    assert found.asked["row"] == "row" and found.asked["rows"] is None
    assert found.asked["block 3, head 12"] == "block {}, head {}"


def test_words_are_translated_and_tokens_stay(shown, monkeypatch):
    monkeypatch.setattr(show.base, "before_showing", [show.Labels({"row": "wiersz"})])
    show.tokens(["row"], [7])
    assert [text.get_text() for text in shown().axes[0].texts] == ["row", "7"]
    show.matrix(np.eye(2), ("row", "T"), title="row")
    (place, _) = shown().axes
    assert (place.get_ylabel(), place.get_title(loc="left")) == ("wiersz", "wiersz")


def test_a_sentence_of_the_alt_text_is_translated(shown, monkeypatch):
    labels = show.Labels({"the draw {} falls on {}": "los {} pada na {}"})
    monkeypatch.setattr(show.base, "before_showing", [labels])
    show.sampling_line(["a", "b"], np.array([0.5, 0.5]), 0.25)
    assert show.words.describe(shown()).endswith("los 0.25 pada na a.")


@pytest.mark.parametrize("name", ["tokens", "matrix", "reads", "cache_frames", "bars"])
def test_the_token_before_a_text_is_abbreviated(shown, name):
    DRAWINGS[name]()
    texts = [text.get_text() for text in seen(shown())]
    assert "<|bos|>" in texts and LABELS[0] not in texts


SAID = {
    "One. x: key (a, b). y: query (c, d). One max 2: d, a.": lambda: show.matrix(
        np.array([[0, 1], [2, 0]]), ("query", "key"), rows=["c", "d"], columns=["a", "b"],
        title="One",
    ),
    "masked max -3: c, b.": lambda: show.matrix(
        np.array([[1, -3], [-np.inf, 0]]), AXES, rows=["c", "d"], columns=["a", "b"],
        title="masked",
    ),
    "One. y: query. Two. x: key. y: query.": lambda: show.matrices(
        {"One": np.eye(2), "Two": np.eye(2)}, ("query", "key"), across=1
    ),
    "Loss. x: step. y: nats. train, held out. train: 5 → 3. held out: 6 → 4.": lambda: show.curves(
        np.arange(3), {"train": [5, 4, 3], "held out": [6, 5, 4]}, ("step", "nats"), title="Loss"
    ),
    "Valley. x: a. y: b. lowest, plain. plain: 2 steps, (0, 1) to (2, 0).": lambda: show.paths(
        np.arange(3), np.arange(2), np.array([[2, 1, 0], [3, 2, 1]]),
        {"plain": np.array([[0, 1], [1, 1], [2, 0]])}, ("a", "b"), title="Valley",
    ),
    "x: nats. y: reward. one, two. one: (0, 0.5) → (4, 1). two: (0, 0.5) → (9, 0.75).": (
        lambda: show.tracks(
            {"one": np.array([[0, 0.5], [4, 1]]), "two": np.array([[0, 0.5], [9, 0.75]])},
            ("nats", "reward"),
        )
    ),
    "Sizes. x: norm. y: (a, b). 1.000, 2.000.": lambda: show.bars(
        np.array([1.0, 2.0]), ["a", "b"], "norm", title="Sizes"
    ),
    "T = 1 max 0.75: b.": lambda: show.bar_panels(
        {"T = 1": np.array([0.25, 0.75])}, ["a", "b"], "probability"
    ),
    "Once, 12, upon, 7.": lambda: show.tokens(["Once", "upon"], [12, 7]),
    "one block, 3 times": lambda: show.model_map(3),
    "added to the text, and once more": lambda: show.model_map(3),
    "8 × T K, rotate": show.attention_map,
    "lit: scores, mask.": lambda: show.attention_map(["scores", "mask"]),
    "lit: ffn_norm.": lambda: show.model_map(3, lit=["ffn_norm"]),
    "4 query heads read one key-value head": show.attention_map,
    "w_gate, gate, F": show.gate_map,
    "1: LayerNorm → RMSNorm. 2: a learned row for each place → q and k turned": show.two_blocks,
    "exchanged, in colour: the sum of what both write, T D": show.two_processors,
    "␣c reads ␣b 0.60, a 0.30, ␣c 0.10.": lambda: show.reads(["a", "␣b", "␣c"], [0.3, 0.6, 0.1]),
    "␣b reads a 0.75, ␣b 0.25.": lambda: show.reads(
        ["a", "␣b", "␣c"], [[1, 0, 0], [0.75, 0.25, 0], [0.3, 0.6, 0.1]], reader=1
    ),
    "scores 1, 0: 3.00.": lambda: show.one_cell(
        np.array([[1, 1], [1, 2]]), np.array([[1, 1], [0, 0]]), 1, 0
    ),
    "the prefill brings 2 rows at once. each further step brings one, whose query meets all keys": (
        lambda: show.cache_frames(["a", "b", "c"], 2)
    ),
    "the angle between the two hands stays 0.8": lambda: show.hands([0, 1]),
    "the draw 0.5 falls on b": lambda: show.sampling_line(["a", "b"], [0.5, 0.5], 0.5),
}  # fmt: skip


@pytest.mark.parametrize("said", SAID)
def test_a_picture_says_what_it_shows(shown, said):
    SAID[said]()
    assert said in show.words.describe(shown())


def test_a_long_list_of_names_is_cut_short():
    assert show.words.listed(["a"] * 40) == "a, " * 35 + "a (+4)"


def test_a_notebook_gets_the_sharp_picture_and_the_alt_text(monkeypatch):
    display = pytest.importorskip("IPython.display")
    given = []
    monkeypatch.setattr(display, "display", lambda data, **options: given.append((data, options)))
    monkeypatch.setattr(plt, "get_backend", lambda: "inline")
    show.gate_map()
    ((data, options),) = given
    noted = options["metadata"]["image/png"]
    assert options["raw"] and data["image/png"].startswith(b"\x89PNG")
    assert noted["alt"] == data["text/plain"] and "w_gate" in noted["alt"]
    assert 600 < noted["width"] < 780
    assert not plt.get_fignums()


# What drawings refuse, and what they draw


def test_a_pattern_and_its_row_draw_the_same(shown):
    said = []
    for weights, reader in ((PATTERN, -1), (PATTERN[-1], -1), (PATTERN, T - 1)):
        show.reads(LABELS, weights, reader=reader)
        said.append(show.words.describe(shown()))
    assert len(set(said)) == 1


@pytest.mark.parametrize("weights", [PATTERN[-1, :-1], PATTERN[:, :-1], np.float64(1)])
def test_reads_wants_one_weight_for_each_token(weights):
    with pytest.raises(ValueError, match=f"expected {T} weights"):
        show.reads(LABELS, weights)


@pytest.mark.parametrize(
    ("draw", "falls_on"), [(0.0, "a"), (0.49, "a"), (0.5, "b"), (0.9, "…"), (0.999, "…")]
)
def test_a_draw_falls_where_sampling_puts_it(shown, draw, falls_on):
    show.sampling_line(["a", "b"], np.array([0.5, 0.25]), draw)
    assert show.words.describe(shown()).endswith(f"falls on {falls_on}.")


@pytest.mark.parametrize(("draw", "share"), [(1.0, 0.5), (-0.1, 0.5), (0.5, 0.9)])
def test_a_draw_off_the_line_is_refused(draw, share):
    with pytest.raises(ValueError, match="expected a draw"):
        show.sampling_line(["a", "b"], np.array([0.5, share]), draw)


def test_paths_lie_in_front_of_lines_of_equal_height_and_differ_without_colour(shown):
    across, up = np.linspace(-2, 2, 9), np.linspace(-1, 1, 5)
    walk = np.array([[-2, 1], [0, 0.5]])
    show.paths(across, up, across**2 + up[:, None] ** 2, {"a": walk, "b": walk}, ("x", "y"))
    (place,) = shown().axes
    assert [*place.collections[-1].get_offsets()[0]] == [0, 0]  # the cross, at the lowest
    assert len({(line.get_linestyle(), line.get_marker()) for line in place.lines}) == 2
    assert all(np.array_equal(line.get_xydata(), walk) for line in place.lines)
    assert all(line.get_zorder() > place.collections[0].get_zorder() for line in place.lines)


def test_a_track_has_numbers_of_its_own_and_roots_open_the_beginning(shown):
    lines = {"a": np.array([[0, 1], [4, 2], [16, 3]]), "b": np.array([[1, 2]])}
    show.tracks(lines, ("x", "y"), root=True)
    (place,) = shown().axes
    for line, points in zip(place.lines, lines.values(), strict=True):
        assert np.array_equal(line.get_xydata(), points)
    across = place.transData.transform([[0, 1], [4, 1], [16, 1]])[:, 0]
    assert across[1] - across[0] == pytest.approx(across[2] - across[1])  # 2 = 4 - 2
    assert len({(line.get_linestyle(), line.get_marker()) for line in place.lines}) == 2


def test_arrowheads_lie_on_the_middle_of_each_piece_of_a_track(shown):
    lines = {"a": np.array([[0, 1], [4, 2], [16, 3]]), "b": np.array([[1, 2]])}
    show.tracks(lines, ("x", "y"), directed=True)
    (place,) = shown().axes
    heads = [text.xy for text in place.texts if not text.get_text()]  # the others are names
    assert np.array_equal(heads, [[2, 1.5], [10, 2.5]])


def test_the_hands_turn_together(shown):
    show.hands([0, 1, 2], query=1.0, key=0.25)
    for place, turn in zip(shown().axes, (0, 1, 2), strict=True):
        q, k = (text.get_position() for text in place.texts)
        assert np.arctan2(*q[::-1]) == pytest.approx(1.0 + turn)
        assert np.arctan2(*k[::-1]) == pytest.approx(0.25 + turn)


def test_the_cache_gets_the_prompt_at_once_and_then_one_row_a_frame(shown):
    show.cache_frames(list("abcd"), n_prompt=2)
    boxes = [each for each in shown().axes[0].patches if hasattr(each, "get_width")]
    fills = Counter(plt.matplotlib.colors.to_hex(box.get_fc()) for box in boxes)
    # keys and values: 0 + 2 + 3 old rows, 2 + 1 + 1 new ones, 2 + 1 + 0 still to come
    assert [fills[shade] for shade in ("#c3c9d0", show.base.LIT, "#ffffff")] == [10, 8, 6]
    assert len(shown().axes[0].patches) - len(boxes) == 3 + 4  # each new query meets all keys
    with pytest.raises(ValueError, match="expected 1 to 4 tokens of a prompt, got 5"):
        show.cache_frames(list("abcd"), n_prompt=5)


def test_a_long_row_of_a_product_is_cut_and_still_sums_up(shown):
    show.one_cell(ROWS, ROWS, 0, 1)
    texts = [text.get_text() for text in seen(shown())]
    assert texts.count("…") == 3
    assert f"{ROWS[0] @ ROWS[1]:.2f}" in texts


@pytest.mark.parametrize("draw", [show.attention_map, lambda lit: show.model_map(3, lit)])
def test_a_map_knows_its_parts(draw):
    with pytest.raises(ValueError, match="no part 'heads'"):
        draw(["heads"])


def test_the_cache_is_drawn_only_where_it_is_the_subject(shown):
    show.attention_map()
    assert "cache" not in show.words.describe(shown())
    show.attention_map(["cache"])
    assert "cache, cache" in show.words.describe(shown())


def test_streams_write_what_counts_most_and_refuse_what_fits_no_token(shown):
    amounts = np.zeros((5, 3))
    amounts[4, 0], amounts[1, 1], amounts[2, 0] = 2, 0.5, -3
    show.streams(["a", "b", "c"], amounts, unit="lost")
    texts = [text.get_text() for text in seen(shown())]
    assert [text for text in texts if "lost" in text] == ["2.0 lost", "0.5 lost"]
    with pytest.raises(ValueError, match=r"expected amounts of \(L, 2\)"):
        show.streams(["a", "b"], amounts)
