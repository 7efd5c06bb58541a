// The matrix of a product, its tokens beside its rows. One cell has a frame: where the cursor stands.
let cursor = [0, 0], pointedIn = "";
const firstColumn = () => requestsOf(state).matrix.first;
function matrixGeometry() {
  const rows = shown.matrix.numbers.length, columns = shown.matrix.numbers[0].length;
  const wide = Math.max(5, Math.min(22, Math.floor(440 / columns))), left = 8 + 7.4 * Math.min(12, Math.max(...seen.tokens.map((token) => [...token.text].length)));
  return { rows, columns, wide, high: Math.max(14, Math.min(20, wide)), left, top: 16 };
}
function drawMatrix() {
  const found = shown.matrix;
  at("matrix-part").hidden = !found;
  if (!found) return;
  at("matrix-said").textContent = `${state.p}: ${FLOW[state.p]}. ${found.numbers.length} tokens by ${found.columns} ${OF_TOKENS.includes(state.p) ? "tokens" : "numbers"}; blue is above zero, orange below${OF_TOKENS.includes(state.p) ? ", a stroke may not be seen" : ""}. Choose a cell to see how it came about.`;
  const first = firstColumn(), inside = state.c !== null && state.c >= first && state.c < first + found.numbers[0].length;
  if (state.r !== null && inside) cursor = [state.r, state.c - first];
  else if (cursor[0] >= found.numbers.length || cursor[1] >= found.numbers[0].length || document.activeElement !== at("matrix")) cursor = [seen.at, 0];
  paintMatrix();
  const which = [state.s, state.b, state.h, state.p, first].join();
  if (which !== pointedIn) at("pointed").textContent = "Point at a cell, or use the arrow keys and Enter.";
  pointedIn = which;
  grid(at("matrix"), matrixGeometry, () => cursor, pointMatrix, ([r, c]) => go({ r, c: first + c, l: null }));
  const starts = Array.from({ length: Math.ceil(found.columns / WINDOW) }, (_, i) => i * WINDOW);
  at("windows").replaceChildren(...(starts.length < 2 ? [] : starts.map((start) => button(`${start}–${Math.min(found.columns, start + WINDOW) - 1}`, `window.${start}`,
    () => go({ f: start, r: null, c: null, l: null }), { class: "shown", "aria-pressed": start === first, title: "columns of the matrix" }))));
}
function paintMatrix() {
  const found = shown.matrix, { rows, columns, wide, high, left, top } = matrixGeometry();
  const pen = sized(at("matrix"), left + columns * wide + 2, top + rows * high + 2), largest = state.p === "pattern" ? 1 : Math.max(1e-30, found.largest);
  pen.font = "12px ui-monospace, monospace";
  found.numbers.forEach((numbers, r) => {
    pen.globalAlpha = 1; pen.textAlign = "right";
    pen.fillStyle = color(r === seen.at ? "--warm" : "--ink");
    pen.fillText(clip(seen.tokens[r].text, 12), left - 5, top + r * high + high / 2 + 4);
    numbers.forEach((number, c) => {
      const [x, y] = [left + c * wide, top + r * high];
      if (number === null || (state.p === "pattern" && number === 0)) { // a stroke: it may not be seen
        pen.globalAlpha = 1; pen.strokeStyle = color("--line");
        pen.beginPath(); pen.moveTo(x + 1, y + high - 2); pen.lineTo(x + wide - 2, y + 1); pen.stroke();
        return;
      }
      pen.globalAlpha = Math.abs(number) / largest;
      pen.fillStyle = color(number < 0 ? "--warm" : "--heat");
      pen.fillRect(x, y, wide - (wide > 6 ? 1 : 0), high - 1);
    });
  });
  pen.globalAlpha = 1; pen.fillStyle = color("--quiet"); pen.textAlign = "center"; pen.font = "10px system-ui, sans-serif";
  for (let c = 0; c < columns; c += wide < 9 ? 16 : wide < 14 ? 4 : 1) pen.fillText(firstColumn() + c, left + c * wide + wide / 2, 11);
  pen.strokeStyle = color("--ink"); pen.lineWidth = state.r === null ? 1 : 2;
  pen.strokeRect(left + cursor[1] * wide - 0.5, top + cursor[0] * high - 0.5, wide, high);
  at("matrix").setAttribute("aria-label", `${state.p}, ${rows} tokens by ${found.columns}; arrow keys move, Enter opens a cell`);
}
function pointMatrix([r, c]) {
  cursor = [r, c];
  paintMatrix();
  const number = shown.matrix.numbers[r][c], column = firstColumn() + c;
  at("pointed").textContent = !OF_TOKENS.includes(state.p) ? `${state.p} of ${named(r)}, number ${column}: ${short(number)}`
    : number === null ? `${named(r)} may not see ${named(c)}`
    : state.p === "scores" ? `${named(r)} and the key of ${named(c)}: score ${short(number)}` : `${named(r)} reads ${named(c)}: weight ${percent(number)}`;
}
