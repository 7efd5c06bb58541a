// One cell: row times column, term by term; and for a score its query and key as turning hands.
const MOST_ROWS = 16;
function drawCell() {
  const cell = shown.cell, part = at("cell");
  part.hidden = !cell;
  if (!cell) return;
  const [r, c] = [state.r, state.c], logit = state.p === "logits";
  const where = logit ? `token ${c}` : OF_TOKENS.includes(state.p) ? named(c) : c;
  const order = cell.index.map((_, i) => i).sort((a, b) => Math.abs(cell.terms[b]) - Math.abs(cell.terms[a]));
  const kept = cell.count > MOST_ROWS ? order.slice(0, MOST_ROWS) : cell.index.map((_, i) => i);
  const most = Math.max(1e-30, ...cell.terms.map(Math.abs)), byToken = state.p === "mix" || state.p === "pattern";
  const label = (i) => byToken ? named(i) : i;
  const lines = kept.map((i) => make("tr", "", { class: state.p === "pattern" && cell.index[i] === c ? "chosen" : "" },
    make("th", label(cell.index[i]), { scope: "row", class: byToken ? "text" : "digits" }), ...[cell.row[i], cell.column[i], cell.terms[i]].map((x) => make("td", short(x), { class: "digits" })),
    bar(cell.terms[i] / most, "bar wide-bar")));
  const rest = cell.rest + order.slice(kept.length).reduce((sum, i) => sum + cell.terms[i], 0);
  if (kept.length < cell.count) lines.push(row(make("th", `${cell.count - kept.length} others`, { scope: "row" }), make("td"), make("td"), make("td", short(rest), { class: "digits" }), bar(rest / most, "bar wide-bar")));
  lines.push(row(make("th", "sum", { scope: "row" }), make("td"), make("td"), make("td", short(cell.sum), { class: "digits" })));
  const table = make("table", "", {}, headings([byToken ? "token" : "number", byToken ? "" : "digits"], [cell.row_is, "digits"], [`× ${cell.column_is}`, "digits"], ["= term", "digits"], ["", "wide-bar"]), make("tbody", "", {}, ...lines));
  part.replaceChildren(make("h3", `${state.p} of ${named(r)}, ${where} = ${short(cell.value)}`), make("code", cell.code),
    make("p", `Axes: ${cell.axes}. In ${cell.where}; lesson `, { class: "quiet" }, lesson(cell.lesson), ".",
      ...(kept.length < cell.count ? [` Of ${cell.count} terms these weigh most.`] : [])), scrolling(table, "terms"),
    make("p", after(cell, r, c)));
}
function after(cell, r, c) {
  if (state.p === "pattern") return `The marked term is the cell: ${percent(cell.value)}. All terms of the row sum to one.`;
  if (cell.value === null) return `The sum is ${short(cell.sum)}; but this key may not be seen: the score becomes −∞ and its weight 0.`;
  if (Math.abs(cell.value - cell.sum) > 1e-3 * (1 + Math.abs(cell.sum))) return `The sum is ${short(cell.sum)}; but this was changed on the way: ${short(cell.value)} goes on.`;
  if (state.p === "scores" && shown.open.pattern) return `Softmax over the row makes of this score the weight ${percent(shown.open.pattern[r][c])}.`;
  if (state.p === "logits") {
    const token = [...seen.original, ...seen.changed].find((each) => each.id === c);
    return token ? `That is the logit of ${token.text}; softmax over all logits makes a probability of it.` : "";
  }
  if (state.p.endsWith("_rotated")) return "RoPE turns two neighbours together: each new number is made of both.";
  return "";
}
// A link where a server or a site has the lesson (data-lessons="FOLDER/{}.html"); else where it lies.
function lesson(name) {
  const address = document.documentElement.dataset.lessons ?? (recorded ? "" : "lesson/{}");
  const text = name.replaceAll("_", " ");
  return address ? make("a", text, { href: address.replace("{}", name), target: "_blank", rel: "noopener" }) : make("span", `${text} (notebooks/${name}.ipynb)`);
}

function drawHands() {
  const hands = shown.hands, part = at("hands");
  part.hidden = !hands;
  if (!hands) return;
  const longest = Math.max(1e-30, ...[...hands.query, ...hands.key].map(([x, y]) => Math.hypot(x, y)));
  const slider = make("input", "", { type: "range", id: "later", min: 0, max: 64, step: 1, value: state.l ?? 0, "data-key": "later" });
  slider.oninput = () => replaceState({ l: Number(slider.value) || null });
  const clocks = make("div", "", { class: "clocks", id: "clocks" }, ...hands.degrees.map((degrees, i) => clock(hands, i, degrees, longest)));
  part.replaceChildren(make("h3", "The same score as turning hands"),
    make("p", "", { class: "quiet" }, make("span", `query of ${named(state.r)}`, { class: "key-query" }), " and ", make("span", `key of ${named(state.c)}`, { class: "key-key" }),
      ": two neighbouring numbers are one hand. RoPE turns each with its position, pair 0 fastest (dashed: before it is turned). A pair adds to the score where its two hands are long and point the same way."),
    make("div", "", { class: "sliders" }, make("label", `both tokens ${state.l ?? 0} positions later`, { for: "later" }), ...(still ? [] : [slider]), make("span", `score ${short(hands.score)}`, { id: "hands-score", role: "status" })),
    clocks, make("p", "All hands turn, and the score stays: only the distance between the two tokens counts.", { class: "quiet" }));
}
function clock(hands, i, degrees, longest) {
  const size = 74, middle = size / 2, scale = (middle - 4) / longest;
  const made = svg("svg", { width: size, height: size, role: "img", "aria-label": `pair ${i}: turns ${degrees} degrees a position, adds ${short(hands.terms[i])}` });
  made.append(svg("circle", { cx: middle, cy: middle, r: middle - 2, fill: "none", stroke: color("--line") }));
  for (const [name, dashed, ink] of [["query", true, "--warm"], ["key", true, "--heat"], ["key_turned", false, "--heat"], ["query_turned", false, "--warm"]]) {
    const [x, y] = hands[name][i];
    made.append(svg("line", { x1: middle, y1: middle, x2: middle + x * scale, y2: middle - y * scale, stroke: color(ink), "stroke-width": dashed ? 1 : 3,
      "stroke-linecap": "round", ...(dashed ? { "stroke-dasharray": "3 3" } : {}) }));
  }
  return make("figure", "", {}, made, make("figcaption", `${degrees < 0.1 ? degrees.toPrecision(1) : degrees.toFixed(1)}° · ${short(hands.terms[i])}`));
}
