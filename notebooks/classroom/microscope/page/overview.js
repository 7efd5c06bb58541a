// The tokens, the map of all heads, and the next tokens.
function drawTokens() {
  const last = seen.tokens.length - 1;
  at("tokens").replaceChildren(...seen.tokens.map((token, i) => {
    const choose = button(token.text, `token.${i}`, () => go({ t: i === last ? null : i }),
      { class: "token", "aria-pressed": i === seen.at, title: `token ${i}, id ${token.id}` });
    choose.append(make("br"), make("small", token.id));
    const box = make("div", "", { class: "token-box" }, choose);
    if (i < last) box.append(button("hide", `hide.${i}`, () => toggle(`hide.${i}`), { class: "hide",
      "aria-pressed": isOff(`hide.${i}`), "aria-label": `hide token ${i}, ${token.text}, from the last one`,
      title: "the last token cannot see it, in any block" }));
    return box;
  }));
}

const jobsOf = (b, h) => jobs.filter((job) => job.block === b && job.head === h);
const jobNames = () => [...new Set(jobs.map((job) => job.job))];
function drawMap() {
  const effects = shown.heads;
  at("tiles-show").replaceChildren(
    button("what is read", "show.read", () => go({ e: null }), { class: "shown", "aria-pressed": !effects }),
    button("what each head is worth", "show.heads", () => go({ e: "heads" }), { class: "shown", "aria-pressed": Boolean(effects) }));
  at("map-said").textContent = (effects
    ? `Each head was switched off (ablated) by itself${state.off.length ? ", with what is changed" : ""}. Orange: ${effects.token.text} (${percent(effects.before)}) then gets less likely; blue: likelier. `
    : `Each tile is a head: which tokens, from left to right, ${named(seen.at)} reads there. `)
    + "Open a head or a block with a click; arrow keys move, x switches a head off. Lengths: grey the stream, blue what attention adds, orange what feed-forward adds. On the right, the logit lens: what the model would say if it ended there.";
  at("map").tHead.replaceChildren(row(make("th", "block", { scope: "col" }),
    ...Array.from({ length: seen.heads }, (_, h) => make("th", h, { scope: "col", "aria-label": `head ${h}`, title: `head ${h}` })),
    make("th", "off", { scope: "col" }), make("th", "lengths", { scope: "col" }), make("th", "would say", { scope: "col", colspan: 2 })));
  const current = state.b === null ? [0, 0] : [state.b, state.h ?? 0];
  const longest = Math.max(...Object.values(seen.lengths).flat());
  at("map").tBodies[0].replaceChildren(...seen.attention.map((heads, b) => {
    const block = make("th", "", { scope: "row" }, button(b, `open.${b}`, () => go({ b, h: null, ...CLOSED }),
      { class: "open", "aria-label": `open block ${b}`, "aria-current": b === state.b && state.h === null }));
    const tiles = heads.map((weights, h) => make("td", "", { class: "head" }, tile(b, h, weights, current)));
    const off = make("td", "", { class: "switches" }, ...[["attn", "att", "attention"], ["ffn", "ffn", "feed-forward"]].map(([kind, text, name]) =>
      button(text, `${kind}.${b}`, () => toggle(`${kind}.${b}`), { class: "switch", "aria-pressed": isOff(`${kind}.${b}`) || isOff(`block.${b}`),
        "aria-label": `switch off: ${text}, ${name} of block ${b}`, title: `switch off ${name} of block ${b}` })));
    const [first] = seen.lens[b], others = seen.lens[b].map((each) => `${each.text} ${percent(each.p)}`).join(", ");
    return row(block, ...tiles, off, make("td", "", {}, lengthBars(b, longest)), make("td", first.text, { class: "text", title: others }),
      make("td", percent(first.p), { class: "digits number" }));
  }));
}
function tile(b, h, weights, current) {
  const found = jobsOf(b, h), top = weights.indexOf(Math.max(...weights)), effects = shown.heads;
  const gone = isOff(`head.${b}.${h}`) || isOff(`block.${b}`) || isOff(`attn.${b}`);
  const text = `block ${b}, head ${h}: reads ${named(top)} most, ${percent(weights[top])}` + found.map((job) => `; ${job.job}`).join("")
    + (effects ? `; without it ${effects.token.text} ${percent(effects.p[b][h])}, with it ${percent(effects.before)}` : "") + (gone ? "; switched off" : "");
  const made = button("", `head.${b}.${h}`, () => go({ b, h, ...CLOSED, p: OF_HEAD.includes(state.p) ? state.p : "pattern" }), { "aria-label": text, title: text,
    tabindex: b === current[0] && h === current[1] ? 0 : -1, "aria-current": b === state.b && h === state.h,
    class: `tile${found.length ? " job" : ""}${gone ? " gone" : ""}` });
  made.append(effects ? filled((effects.p[b][h] - effects.before) / effects.before) : strip(weights));
  if (found.length) made.dataset.mark = found.map((job) => jobNames().indexOf(job.job) + 1).join("");
  return made;
}
function strip(weights) {
  const canvas = make("canvas", "", { "aria-hidden": "true" });
  canvas.width = weights.length * 4; canvas.height = 4;
  const pen = canvas.getContext("2d");
  pen.fillStyle = color("--heat");
  weights.forEach((weight, s) => { pen.globalAlpha = weight; pen.fillRect(4 * s, 0, 4, 4); });
  return canvas;
}
function filled(change) {
  const canvas = make("canvas", "", { "aria-hidden": "true" });
  canvas.width = canvas.height = 4;
  const pen = canvas.getContext("2d");
  pen.fillStyle = color(change < 0 ? "--warm" : "--heat");
  pen.globalAlpha = Math.min(1, Math.abs(change) * 2);
  pen.fillRect(0, 0, 4, 4);
  return canvas;
}
function lengthBars(b, longest) {
  const { resid_out, attn_out, down } = seen.lengths;
  const text = `stream ${short(resid_out[b])}, attention adds ${short(attn_out[b])}, feed-forward adds ${short(down[b])}`;
  const made = svg("svg", { width: 44, height: 14, role: "img", "aria-label": text });
  [[resid_out, "--quiet"], [attn_out, "--heat"], [down, "--warm"]].forEach(([lengths, name], i) =>
    made.append(svg("rect", { x: 0, y: 5 * i, height: 4, width: Math.max(1, 44 * lengths[b] / longest), fill: color(name) })));
  made.append(svg("title", {}, text));
  return made;
}
at("map").addEventListener("keydown", (event) => {
  const [kind, b, h] = (event.target.dataset.key || "").split(".");
  if (kind !== "head") return;
  if (event.key === "x") return toggle(`head.${b}.${h}`);
  const step = ARROWS[event.key];
  if (!step) return;
  event.preventDefault();
  const next = document.querySelector(`[data-key="head.${Number(b) + step[0]}.${Number(h) + step[1]}"]`);
  if (next) { event.target.tabIndex = -1; next.tabIndex = 0; next.focus(); }
});

function drawJobs() {
  const part = at("jobs");
  if (!jobs.length) {
    part.replaceChildren(...(still || seen.small ? [] : [button("Find heads with a job (takes a while)", "jobs", findJobs)]));
    return;
  }
  const list = make("ul", "", {}, ...jobNames().map((name, i) => {
    const best = jobs.filter((job) => job.job === name);
    return make("li", "", {}, make("span", i + 1, { class: "mark-in-text" }), ` ${name}: `, ...best.flatMap((job) => [button(`${job.block}.${job.head}`,
      `job.${name}.${job.block}.${job.head}`, () => go({ b: job.block, h: job.head, ...CLOSED, p: "pattern" }),
      { "aria-label": `${name}: open head ${job.block}.${job.head}`, title: `reads ${job.reads}; mean weight there ${job.weight}` }), " "]));
  }));
  part.replaceChildren(make("p", "Marked: the heads that do a nameable job best, measured on other texts (block.head).", { class: "quiet" }), list);
}
async function findJobs() {
  try { jobs = await ask({ view: "jobs" }); drawAll(); } catch (fault) { if (!still) say(fault.message); }
}

const isChanged = () => state.off.length > 0 || state.temp !== null || state.top !== null;
function drawBest() {
  const changed = isChanged();
  const list = (title, tokens, was) => make("div", "", {}, ...(title ? [make("h3", title)] : []), make("table", "", {}, ...tokens.map((token) => {
    const name = button(token.text, `logit.${was}.${token.id}`, () => go({ b: null, h: null, ...CLOSED, p: "logits", r: seen.at, c: token.id }),
      { title: `id ${token.id}: how its logit was computed`, "aria-label": `${token.text}: how its logit was computed` });
    const cells = [make("td", "", { class: "text" }, name), bar(token.p), make("td", percent(token.p), { class: "digits" })];
    if (was) cells.push(make("td", `was ${percent(token.before)}`, { class: `digits was ${token.p >= token.before ? "up" : "down"}` }));
    else if (changed) cells.push(make("td", "", { class: "was" })); // so that the bars of both lists have one scale
    return row(...cells);
  })));
  const [before, after] = [seen.original[0], seen.changed[0]];
  at("best-title").textContent = `The ten best tokens after ${named(seen.at)}`;
  at("news").textContent = !changed ? "" : before.id === after.id ? `Still ${after.text}: ${percent(after.p)}, was ${percent(before.p)}.`
    : `${before.text} (${percent(before.p)}) became ${after.text} (${percent(after.p)}).`;
  at("best").replaceChildren(list(changed ? "The model as it is" : "", seen.original, false),
    ...(changed ? [list("With what is changed", seen.changed, true)] : []));
  at("temperature").value = state.temp ?? 1; at("temperature-is").textContent = state.temp === 0 ? "greedy" : (state.temp ?? 1).toFixed(1);
  at("top").value = state.top ?? 1; at("top-is").textContent = (state.top ?? 1).toFixed(2);
}
for (const [id, name] of [["temperature", "temp"], ["top", "top"]]) at(id).addEventListener("input", () => {
  const value = Number(at(id).value);
  replaceState({ [name]: value === 1 ? null : value });
});
