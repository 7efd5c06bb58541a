const at = (id) => document.getElementById(id);
let seen = null, shown = {}, jobs = []; // the overview, all views by name, heads that do a job

// Everything that comes from a model becomes text, never markup.
function make(kind, text = "", attributes = {}, ...inside) {
  const made = document.createElement(kind);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}
function button(text, key, action, attributes = {}) {
  const made = make("button", text, { type: "button", "data-key": key, ...attributes });
  made.onclick = action;
  return made;
}
const row = (...cells) => make("tr", "", {}, ...cells);
const headings = (...texts) => make("thead", "", {}, row(...texts.map(([text, kind = ""]) => text ? make("th", text, { scope: "col", class: kind }) : make("td"))));
function svg(kind, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}
function bar(share, kind = "bar") {
  const inside = make("div", "", share < 0 ? { class: "minus" } : {});
  inside.style.width = `${Math.min(100, 100 * Math.abs(share))}%`;
  return make("td", "", { class: kind }, inside);
}
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const percent = (p) => p === 0 ? "0 %" : p >= 0.0995 ? `${Math.round(100 * p)} %` : p < 5e-5 ? "< 0.01 %" : `${(100 * p).toPrecision(p < 9.5e-4 ? 1 : 2)} %`;
const short = (x) => x === null ? "−∞" : x === 0 ? "0" : (Math.abs(x) < 0.0005 ? x.toExponential(1) : x.toFixed(Math.abs(x) < 100 ? 3 : 1)).replace("-", "−");
const quoted = (token, i) => `“${token.text}” (${i})`;
const named = (i) => quoted(seen.tokens[i], i);
const say = (text) => { at("said").textContent = text; };
const clip = (text, most) => [...text].length > most ? `${[...text].slice(0, most - 1).join("")}…` : text;

const keyOf = (request) => JSON.stringify(Object.entries(request).sort());
const asked = new Map(); // what was opened: kept to go back at once, and to be saved
async function ask(request) {
  const key = keyOf(request), found = recorded && recorded.answers.find(([each]) => keyOf(each) === key);
  if (found) asked.set(key, found); // to be saved again
  if (found) return found[1];
  if (still) throw new Error("This saved page does not hold that. It holds what was opened, and one row of the open matrix.");
  if (asked.has(key)) return asked.get(key)[1];
  const answer = await (recorded ? fromPython : fromServer)(request);
  if (request.view !== "save") asked.set(key, [request, answer]);
  while (asked.size > 300) asked.delete(asked.keys().next().value);
  return answer;
}
async function fromServer(request) {
  let answer, ok;
  try {
    const response = await fetch("ask", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request) });
    [answer, ok] = [await response.json(), response.ok];
  } catch { throw new Error("The model does not answer. Start it again: python -m classroom.microscope"); }
  if (!ok) throw new Error(answer.error);
  return answer;
}
// Python in this browser: it begins with the first request that the page does not hold.
let python = null, coming = "", asks = 0; // the worker; what it says while it starts; requests so far
const waiting = new Map();
function fromPython(request) {
  if (location.protocol === "file:") throw new Error("Opened as a file, this page holds only what was put into it, and not that. From a web server it computes the rest.");
  if (!python) start();
  const id = ++asks;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    python.postMessage({ id, text: JSON.stringify(request) });
  });
}
function start() {
  const mine = new Worker(document.documentElement.dataset.python, { type: "module" });
  const failed = (why) => { // all who wait hear of it; the next request starts anew
    mine.terminate();
    [python, coming] = [null, ""];
    for (const { reject } of waiting.values()) reject(new Error(`Python could not be started in this browser${why ? `: ${why}` : "."}`));
    waiting.clear();
  };
  mine.onerror = () => failed("");
  mine.onmessage = ({ data }) => {
    if (data.failed !== undefined) return failed(data.failed);
    if (data.said !== undefined) {
      coming = data.said;
      if (coming && waiting.size) say(coming);
      return;
    }
    const { resolve, reject } = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error !== undefined) return reject(new Error(data.error));
    const [met, text] = JSON.parse(data.reply), answer = JSON.parse(text);
    met ? resolve(answer) : reject(new Error(answer.error));
  };
  python = mine;
}

// A field that someone writes in is left alone.
const fill = (id, text) => { if (document.activeElement !== at(id)) at(id).value = text; };

// What is drawn anew keeps the focus where it was.
function keepingFocus(draw) {
  const key = document.activeElement && document.activeElement.dataset.key;
  draw();
  if (key) { const again = document.querySelector(`[data-key="${CSS.escape(key)}"]`); if (again) again.focus({ preventScroll: true }); }
}

// A canvas that a grid of cells is drawn on: pointer, arrow keys and Enter reach every cell.
function sized(canvas, width, height) {
  const ratio = devicePixelRatio || 1, pen = canvas.getContext("2d");
  canvas.width = width * ratio; canvas.height = height * ratio;
  canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
  pen.scale(ratio, ratio);
  return pen;
}
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
function grid(canvas, geometry, cursor, point, choose) {
  const under = (event) => {
    const { rows, columns, wide, high, left, top } = geometry();
    const [r, c] = [Math.floor((event.offsetY - top) / high), Math.floor((event.offsetX - left) / wide)];
    return r >= 0 && r < rows && c >= 0 && c < columns ? [r, c] : null;
  };
  canvas.onpointermove = (event) => { const place = under(event); if (place) point(place); };
  canvas.onclick = (event) => { const place = under(event); if (place) { point(place); choose(place); } };
  canvas.onkeydown = (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(cursor()); }
    const step = ARROWS[event.key];
    if (!step) return;
    event.preventDefault();
    const { rows, columns } = geometry(), [r, c] = cursor();
    point([Math.min(rows - 1, Math.max(0, r + step[0])), Math.min(columns - 1, Math.max(0, c + step[1]))]);
  };
}
