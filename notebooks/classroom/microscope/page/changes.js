// What is changed in the run, and what can be put in from another sentence.
const WHAT = { stream: "stream", attn: "attention's part", ffn: "feed-forward's part", head: "mix" };
function describe(name) {
  const [kind, a, b, c, d, e] = name.split(".");
  if (kind === "put") {
    const [block, onto, from, head] = a === "head" ? [b, d, e, ` of head ${c}`] : [b, c, d, ""];
    const other = seen.other && seen.other.tokens[from];
    return `${WHAT[a]}${head} of block ${block}: ${other ? `“${other.text}”` : from} onto ${named(Number(onto))}`;
  }
  if (kind === "unmask") return a === undefined ? "no mask" : `no mask in head ${b} of block ${a}`;
  if (kind === "head") return `head ${b} of block ${a} off`;
  if (kind === "hide") return `${named(Number(a))} hidden from the last token`;
  return `${{ ffn: "feed-forward", attn: "attention", block: "block" }[kind]} ${kind === "block" ? "" : "of block "}${a} off`;
}
function drawChanges() {
  const drawn = [["temp", "temperature"], ["top", "top-p"]].filter(([name]) => state[name] !== null);
  at("changed").hidden = !isChanged();
  at("changed").replaceChildren(make("span", "Changed:"),
    ...state.off.map((name) => button(`${describe(name)} ×`, `off.${name}`, () => toggle(name), { "aria-label": `${describe(name)} ×: take this change back` })),
    ...drawn.map(([name, text]) => button(`${text} ${state[name]} ×`, `drawn.${name}`, () => go({ [name]: null }))),
    button("as it was", "off.all", () => go({ off: [], temp: null, top: null })));
}

function options(select, texts, chosen) {
  select.replaceChildren(...texts.map(([value, text]) => make("option", text, { value })));
  select.value = chosen;
}
const OTHER_SAID = at("other-said").textContent;
function drawOther() {
  at("unmask").setAttribute("aria-pressed", isOff("unmask"));
  at("unmask").textContent = isOff("unmask") ? "Put the mask back" : "Take the mask away";
  fill("other", state.o || "");
  at("put-form").hidden = !seen.other;
  if (state.o || state.off.some((each) => each.startsWith("put.") || each === "unmask")) at("change-open").open = true;
  at("other-said").textContent = !seen.other ? OTHER_SAID
    : `It goes on with ${seen.other.best.map((token) => `${token.text} ${percent(token.p)}`).join(", ")}. Its activations can be put into the first sentence:`;
  if (!seen.other) return;
  const last = seen.other.tokens.length - 1, kept = (id, otherwise) => at(id).value === "" ? otherwise : at(id).value;
  options(at("put-block"), seen.attention.map((_, b) => [b, b]), kept("put-block", Math.floor(seen.blocks / 2)));
  options(at("put-head"), Array.from({ length: seen.heads }, (_, h) => [h, h]), kept("put-head", 0));
  options(at("put-from"), seen.other.tokens.map((token, i) => [i, quoted(token, i)]), Math.min(last, kept("put-from", last)));
  options(at("put-onto"), seen.tokens.map((token, i) => [i, quoted(token, i)]), Math.min(seen.tokens.length - 1, kept("put-onto", seen.at)));
}
at("put-what").onchange = () => { at("put-head-part").hidden = at("put-what").value !== "head"; };
at("unmask").onclick = () => toggle("unmask");
at("other-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = at("other").value.trim() ? at("other").value : state.o ? null : at("other").placeholder; // emptied: taken back
  at("put-from").replaceChildren(); at("put-onto").replaceChildren();
  go({ o: text, e: null, off: state.off.filter((name) => !name.startsWith("put.")) });
});
at("put-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const [what, block, head, from, onto] = ["what", "block", "head", "from", "onto"].map((name) => at(`put-${name}`).value);
  putIn(`put.${what}.${block}.${what === "head" ? `${head}.` : ""}${onto}.${from}`);
});
// One thing in one place: what was put there before is taken out.
function putIn(name) {
  const place = name.slice(0, name.lastIndexOf(".") + 1);
  go({ off: [...state.off.filter((each) => !each.startsWith(place)), name] });
}
at("places").onclick = () => go({ e: state.e === "places" ? null : "places" });

let placeCursor = null;
function placesGeometry() {
  return { rows: seen.blocks, columns: seen.tokens.length, wide: Math.max(10, Math.min(34, Math.floor(420 / seen.tokens.length))), high: 12, left: 26, top: 16 };
}
function drawPlaces() {
  const part = at("places-part"), found = shown.places;
  part.hidden = !found;
  at("places").setAttribute("aria-pressed", Boolean(found));
  if (!found) return;
  const canvas = make("canvas", "", { tabindex: 0, role: "application", "data-key": "places-map", "aria-label": `for each of ${seen.blocks} blocks and ${seen.tokens.length} tokens: the chance of ${found.token.text}`, "aria-describedby": "place-pointed" });
  const pointed = make("p", "Point at a place, or use the arrow keys; Enter puts the stream in there.", { class: "quiet", id: "place-pointed", role: "status" });
  part.replaceChildren(make("p", `The other sentence's stream, put in at one place at a time: blocks from top to bottom, tokens from left to right. Orange: ${found.token.text} (${percent(found.before)}) gets less likely; blue: likelier.`, { class: "quiet" }),
    make("div", "", { class: "wide" }, canvas), pointed);
  const paint = () => {
    const { rows, columns, wide, high, left, top } = placesGeometry(), pen = sized(canvas, left + columns * wide + 2, top + rows * high + 2);
    pen.font = "10px system-ui, sans-serif";
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
      const change = (found.p[r][c] - found.before) / found.before;
      pen.globalAlpha = 1; pen.fillStyle = color("--pale"); pen.fillRect(left + c * wide, top + r * high, wide - 1, high - 1);
      pen.globalAlpha = Math.min(1, Math.abs(change)); pen.fillStyle = color(change < 0 ? "--warm" : "--heat"); pen.fillRect(left + c * wide, top + r * high, wide - 1, high - 1);
    }
    pen.globalAlpha = 1; pen.fillStyle = color("--quiet"); pen.textAlign = "right";
    for (let r = 0; r < rows; r += 4) pen.fillText(r, left - 4, top + r * high + 10);
    pen.textAlign = "center";
    for (let c = 0; c < columns; c += wide < 16 ? 4 : 1) pen.fillText(c, left + c * wide + wide / 2, 11);
    pen.strokeStyle = color("--ink");
    pen.strokeRect(left + placeCursor[1] * wide - 0.5, top + placeCursor[0] * high - 0.5, wide, high);
  };
  const point = ([r, c]) => {
    placeCursor = [r, c];
    paint();
    pointed.textContent = `block ${r}, ${named(c)} gets the stream of “${seen.other.tokens[c].text}”: ${found.token.text} ${percent(found.p[r][c])}`;
  };
  if (!placeCursor || !(placeCursor[1] < seen.tokens.length && placeCursor[0] < seen.blocks)) placeCursor = [0, seen.tokens.length - 1];
  paint();
  grid(canvas, placesGeometry, () => placeCursor, point, ([r, c]) => putIn(`put.stream.${r}.${c}.${c}`));
}
