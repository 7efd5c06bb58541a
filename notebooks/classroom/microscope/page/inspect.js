// What is open: a head, or a block.
const FLOW = {
  q: "queries", k: "keys", v: "values", q_rotated: "queries, turned by RoPE", k_rotated: "keys, turned by RoPE",
  scores: "how well each query (row) fits each key (column)", pattern: "each row reads its columns; rows sum to one",
  mix: "values mixed by the pattern: what each token gets", attn_out: "what attention adds to the stream",
  gate: "one copy of each token, widened", up: "another copy, widened", hidden: "silu(gate) times up", down: "what the feed-forward step adds to the stream",
};
function drawInspect() {
  const open = shown.open, head = state.h !== null, [b, h] = [state.b, state.h];
  at("inspect-open").hidden = !open;
  at("inspect-none").hidden = Boolean(open) || Boolean(shown.cell);
  at("inspect-title").textContent = !open ? (shown.cell ? "From the stream to a logit" : "A block or a head") : head ? `Block ${b}, head ${h}` : `Block ${b}`;
  if (!open) return;
  at("head-part").hidden = !head;
  at("block-part").hidden = head;
  if (head) drawHead(open, b, h); else drawBlock(open, b);
  at("products").replaceChildren(...(head ? OF_HEAD : OF_BLOCK).flatMap((name, i) => [
    ...(["q_rotated", "scores", "pattern", "mix", "gate", "hidden", "down"].includes(name) ? [make("span", "→", { class: "flow", "aria-hidden": "true" })] : []),
    button(name, `product.${name}`, () => go({ ...CLOSED, p: state.p === name ? null : name }), { class: "shown", "aria-pressed": state.p === name, title: FLOW[name] })]));
}
function drawSwitches(names) {
  at("switches").replaceChildren(...names.map(([name, off, on]) =>
    button(isOff(name) ? on : off, `switch.${name}`, () => toggle(name), { "aria-pressed": isOff(name) })));
}
function drawHead(open, b, h) {
  const found = jobsOf(b, h);
  at("inspect-said").textContent = `It reads key-value head ${open.key_head}${seen.group > 1 ? `, which ${seen.group} heads share` : ""}.`
    + found.map((job) => ` ${job.job}: reads ${job.reads} (mean weight ${job.weight}).`).join("")
    + (isOff(`head.${b}.${h}`) ? " It is switched off: what it reads is shown, and zeros go on." : "");
  drawSwitches([[`head.${b}.${h}`, "Switch this head off", "Switch this head on again"],
    [`unmask.${b}.${h}`, "Let it look ahead", "Put its mask back"]]);
  drawLines(open.pattern);
}
function drawLines(pattern) {
  const places = [], gap = 14, base = 112;
  let x = 10;
  for (const token of seen.tokens) { const width = Math.max(26, 7.9 * [...token.text].length); places.push([x + width / 2, width]); x += width + gap; }
  const parts = [], weights = pattern[seen.at];
  pattern.forEach((readings, t) => readings.forEach((weight, s) => {
    const chosen = t === seen.at;
    if (weight < (chosen ? 0.01 : 0.15)) return;
    const [from, to] = [places[t][0], places[s][0]], height = s === t ? 26 : Math.min(96, 18 + Math.abs(from - to) / 3);
    const path = s === t ? `M ${from - 5} ${base} C ${from - 16} ${base - height}, ${from + 16} ${base - height}, ${from + 5} ${base}`
      : `M ${from} ${base} C ${from} ${base - height}, ${to} ${base - height}, ${to} ${base}`;
    const line = svg("path", { d: path, fill: "none", stroke: color(chosen ? "--warm" : "--quiet"),
      "stroke-width": Math.max(0.5, 6 * weight), opacity: chosen ? 0.35 + 0.65 * weight : 0.2 });
    if (chosen) parts.push(line); else parts.unshift(line);
  }));
  seen.tokens.forEach((token, i) => {
    const [middle, width] = places[i];
    parts.push(svg("rect", { x: middle - width / 2 - 4, y: base, width: width + 8, height: 22, rx: 4, fill: color("--pale"),
      stroke: color(i === seen.at ? "--warm" : "--line") }), svg("text", { x: middle, y: base + 15, "text-anchor": "middle" }, token.text));
    if (weights[i] >= 0.005) parts.push(svg("text", { x: middle, y: base + 36, "text-anchor": "middle", class: "share" }, percent(weights[i])));
  });
  const lines = at("lines");
  lines.setAttribute("width", x);
  lines.setAttribute("viewBox", `0 0 ${x} ${base + 42}`);
  lines.style.maxWidth = x < 1000 ? "100%" : "none"; // a little smaller can still be read
  lines.style.minWidth = `${Math.min(x, 540)}px`; // but not on a phone: there it scrolls
  lines.parentElement.scrollLeft = places[seen.at][0] - 200;
  const top = weights.map((w, s) => [w, s]).sort((a, b) => b[0] - a[0]).slice(0, 3).filter(([w]) => w >= 0.01);
  lines.setAttribute("aria-label", `${named(seen.at)} reads ${top.map(([w, s]) => `${named(s)} ${percent(w)}`).join(", ")}`);
  lines.replaceChildren(...parts);
}

const STREAM = { resid_in: "stream before", attn_norm: "… normalised, for attention", attn_out: "attention adds", resid_mid: "stream between",
  ffn_norm: "… normalised, for feed-forward", down: "feed-forward adds", resid_out: "stream behind" };
function drawBlock(open, b) {
  at("inspect-said").textContent = `What block ${b} does to ${named(open.at)}.`;
  drawSwitches([[`attn.${b}`, "Switch attention off", "Switch attention on again"], [`ffn.${b}`, "Switch feed-forward off", "Switch feed-forward on again"],
    [`block.${b}`, "Switch the whole block off", "Switch the block on again"]]);
  const longest = Math.max(...Object.values(open.lengths));
  const lengths = make("table", "", {}, headings(["row of the token"], ["length", "digits"], ["", "wide-bar"]), make("tbody", "", {},
    ...Object.entries(STREAM).map(([name, text]) => row(make("th", text, { scope: "row" }), make("td", short(open.lengths[name]), { class: "digits" }),
      bar(open.lengths[name] / longest, "bar wide-bar")))));
  const gate = open.gate, most = Math.max(1e-30, ...gate.effect);
  const neurons = make("table", "", {}, headings(["neuron", "digits"], ["gate", "digits"], ["silu(gate)", "digits"], ["up", "digits"], ["product", "digits"], ["length written", "digits"], ["", "wide-bar"]),
    make("tbody", "", {}, ...open.neurons.map((neuron, i) => row(make("td", "", { class: "digits" },
      button(neuron, `neuron.${neuron}`, () => go({ ...CLOSED, p: "hidden", r: open.at, c: neuron }), { "aria-label": `neuron ${neuron}: its product` })),
      ...["gate", "silu", "up", "hidden", "effect"].map((name) => make("td", short(gate[name][i]), { class: "digits" })),
      bar(gate.effect[i] / most, "bar wide-bar")))));
  const says = make("p", open.lens.map((token) => `${token.text} ${percent(token.p)}`).join(",  "), { class: "token" });
  at("block-part").replaceChildren(make("h3", "Lengths: what the norms even out"),
    make("p", "The stream is read only normalised: however long it is, both halves get rows of the same size, up to their learned weights.", { class: "quiet" }), scrolling(lengths, "lengths"),
    make("h3", "If the model ended here, it would say"), says,
    make("h3", "The gate"), make("p", `Of ${open.width} neurons these ${open.neurons.length} write most, ${percent(open.share)} of all lengths: silu(gate) says how far a neuron opens, up what comes through.`, { class: "quiet" }),
    scrolling(neurons, "neurons"));
}
const scrolling = (inside, label) => make("div", "", { class: "wide", tabindex: 0, role: "region", "aria-label": label }, inside);
