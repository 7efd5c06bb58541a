// From the address to the screen: everything is asked first and drawn then; where something is
// refused, all stays as it was.
let turn = 0, drawn = null;
async function render(before = "") {
  const mine = ++turn, wanted = state, found = {};
  const slow = setTimeout(() => say(coming || "computing …"), 300), main = document.querySelector("main");
  let error = "";
  main.setAttribute("aria-busy", true);
  try {
    for (const [name, request] of Object.entries(requestsOf(wanted))) {
      found[name] = await ask(request);
      if (mine !== turn) return; // someone wants something newer
    }
  } catch (fault) { error = fault.message; } finally { clearTimeout(slow); }
  if (mine !== turn) return;
  main.removeAttribute("aria-busy");
  say(error || before);
  if (error && drawn) {
    const written = ["sentence", "other"].map((id) => [id, at(id).value]);
    state = drawn;
    inAddress(state);
    drawAll(); // a slider that was moved goes back; what someone wrote stays
    for (const [id, text] of written) at(id).value = text;
  } else if (error && addressOf(state) !== addressOf(stateOf(""))) {
    state = stateOf(""); // the address keeps the finding: it may be there another time
    await render(error);
  } else if (!error) {
    const opened = drawn && found.cell && (drawn.r !== wanted.r || drawn.c !== wanted.c || drawn.p !== wanted.p);
    drawn = wanted;
    [seen, shown] = [found.overview, found];
    drawAll();
    if (opened) at("cell").scrollIntoView({ block: "nearest" });
    if (innerWidth < 1100 && !before) say(at("news").textContent); // there the predictions are far up
  }
}
function drawAll() {
  keepingFocus(() => {
    fill("sentence", state.s);
    at("model").textContent = `${seen.model}: ${seen.blocks} blocks of ${seen.heads} heads`;
    at("own").hidden = window.top === window || still;
    at("own").href = location.href;
    drawTokens(); drawChanges(); drawMap(); drawJobs(); drawBest(); drawOther(); drawPlaces();
    drawInspect(); drawMatrix(); drawCell(); drawHands();
  });
  holdMap();
}
// On a wide window the map stays while the right side moves on: its lower end, where it is too high.
function holdMap() {
  const map = at("map-part");
  map.style.top = `${Math.min(8, innerHeight - map.offsetHeight - 8)}px`;
}
addEventListener("resize", holdMap);
function inAddress(wanted) {
  try { history.replaceState(null, "", `#${addressOf(wanted)}`); } catch { /* a page inside another has no address */ }
}
// For sliders: no step in the history for each move.
function replaceState(change) {
  state = { ...state, ...change };
  inAddress(state);
  render();
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!at("sentence").value.trim()) return say("The sentence is empty: write at least one word.");
  const kept = state.off.filter((name) => !/^(hide|put)\./.test(name));
  go({ s: at("sentence").value, t: null, ...CLOSED, p: state.p === "logits" ? null : state.p, off: kept, e: state.e === "places" ? null : state.e });
});
at("save").onclick = async () => {
  try {
    say("writing …");
    const { page } = await ask({ view: "save", state: addressOf(state), opened: [...asked.values()].map(([request]) => request) });
    make("a", "", { href: URL.createObjectURL(new Blob([page], { type: "text/html" })), download: "microscope.html" }).click();
    say("Saved as microscope.html: it holds what you opened, and works without the model.");
  } catch (fault) { say(fault.message); }
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (seen) drawAll(); });
addEventListener("hashchange", () => {
  state = stateOf(location.hash.slice(1));
  render();
});
at("course").hidden = !document.documentElement.dataset.lessons;
if (still) {
  for (const id of ["form", "other-form", "put-form"]) at(id).querySelectorAll("button").forEach((each) => { each.hidden = true; });
  for (const id of ["sentence", "other"]) at(id).readOnly = true;
  for (const id of ["temperature", "top"]) at(id).disabled = true;
}
state = stateOf(location.hash.slice(1));
render().then(() => { if (seen && seen.small) findJobs(); });
