// The state stands in the address, so that an address can be kept and sent; state.py reads it, too.
const WHOLE = ["t", "b", "h", "f", "r", "c", "l"], REAL = ["temp", "top"], TEXT = ["o", "p", "e"];
const WINDOW = 128;
const OF_HEAD = ["q", "k", "v", "q_rotated", "k_rotated", "scores", "pattern", "mix"];
const OF_BLOCK = ["attn_out", "gate", "up", "hidden", "down"];
const OF_TOKENS = ["scores", "pattern"]; // their columns are tokens, too
const OPENING = document.getElementById("sentence").value;
const still = Boolean(recorded) && !document.documentElement.dataset.python; // nothing more is computed
let state = null;

function stateOf(text) {
  const part = new URLSearchParams(text || (recorded ? recorded.state : ""));
  const found = { s: part.get("s") || OPENING, off: (part.get("off") || "").split(",").filter(Boolean).sort() };
  for (const name of TEXT) found[name] = part.get(name) || null;
  for (const name of WHOLE) found[name] = /^\d{1,9}$/.test(part.get(name)) ? Number(part.get(name)) : null;
  for (const name of REAL) found[name] = part.has(name) && Number.isFinite(Number(part.get(name))) ? Number(part.get(name)) : null;
  return found;
}
function addressOf(from) {
  const part = new URLSearchParams({ s: from.s });
  for (const name of [...TEXT, ...WHOLE, ...REAL]) if (from[name] !== null) part.set(name, from[name]);
  if (from.off.length) part.set("off", [...from.off].sort().join(","));
  return part.toString();
}
const CLOSED = { p: null, f: null, r: null, c: null, l: null };
const go = (change) => { location.hash = addressOf({ ...state, ...change }); };
const isOff = (name) => state.off.includes(name);
const toggle = (name) => go({ off: isOff(name) ? state.off.filter((each) => each !== name) : [...state.off, name] });

// What the state needs, by name; a change of one part asks for that part only, the rest is kept.
function requestsOf(from) {
  const common = { text: from.s, other: from.o || "", off: from.off }, head = from.b !== null && from.h !== null;
  const found = { overview: { view: "overview", ...common, at: from.t, temperature: from.temp ?? 1, top_p: from.top ?? 1 } };
  if (from.e === "heads") found.heads = { view: "each_head_off", ...common, at: from.t };
  if (from.e === "places") found.places = { view: "each_stream_put", text: from.s, other: from.o || "", at: from.t };
  if (from.b !== null) found.open = head ? { view: "head", ...common, block: from.b, head: from.h } : { view: "block", ...common, block: from.b, at: from.t };
  const product = from.p, chosen = from.r !== null && from.c !== null;
  if (OF_HEAD.includes(product) ? !head : OF_BLOCK.includes(product) ? from.b === null : !(product === "logits" && chosen)) return found;
  const place = { ...common, block: from.b ?? 0, head: from.h ?? 0 };
  if (product !== "logits") found.matrix = { view: "matrix", ...place, product, first: from.f ?? Math.floor((from.c ?? 0) / WINDOW) * WINDOW };
  if (chosen) {
    found.cell = { view: "cell", ...place, product, row: from.r, column: from.c };
    if (OF_TOKENS.includes(product)) found.hands = { view: "hands", ...place, row: from.r, column: from.c, later: from.l ?? 0 };
  }
  return found;
}
