// What the browser's Python makes of a sentence: node story.mjs PYODIDE WHEEL STAND_INS PROGRAM
// It prints what the program, Python, gives back. Pyodide is a folder with NumPy in it.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, wheel, standIns, program] = process.argv.slice(2).map((path) => resolve(path));
const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide.mjs`));
const pyodide = await loadPyodide({ indexURL: `${folder}/` });
await pyodide.loadPackage(["numpy", "threadpoolctl"], { messageCallback: () => {} });
pyodide.unpackArchive(new Uint8Array(readFileSync(wheel)), "wheel");
for (const name of ["tiktoken", "safetensors"]) {
  const text = readFileSync(`${standIns}/${name}_stand_in.py`, "utf8");
  pyodide.FS.writeFile(`/home/pyodide/${name}.py`, text);
}
try {
  console.log(pyodide.runPython(readFileSync(program, "utf8")));
} catch (error) {
  console.error(error.message.slice(-2000)); // Python's own words, without the source of Pyodide
  process.exit(1);
}
