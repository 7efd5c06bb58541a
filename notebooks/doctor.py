"""Is this machine ready for the course? ``python notebooks/doctor.py`` says so on one page.

A file by itself and no module of a package: importing llama_np needs NumPy, and a package
that is missing or broken is what this must report. So it imports nothing but the standard library,
runs under any Python from 3.6 on, and tries what may crash in a Python of its own.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OLDEST = (3, 10)
TO_IMPORT = {"jupyter": "jupyterlab, notebook, ipykernel", "matplotlib": "matplotlib.pyplot"}
MODEL = "weights_tools/doll_house/model.safetensors"
DIGEST = "133b48488684fe0e9e0bfdc93b683a3af5a0f8aea6a5a5b4feb0df02d333e610"  # SHA-256 of it
PROMPT = "Once upon a time, there was a little girl named"
NEXT, NATS = " Lily", -4.9135  # what the doll-house adds, and its log-probability of the prompt
PREDICT = f"""
import json
from llama_np import forward, log_probabilities
from weights_tools import load_model
model = load_model("doll-house")
ids = model.tokenizer.encode({PROMPT!r}, bos=True)
best = forward(model.weights, model.config, ids)[-1].argmax()
nats = log_probabilities(model.weights, model.config, ids).sum()
print(json.dumps([model.tokenizer.decode([int(best)]), float(nats)]))
"""
OPEN = """
import os
from weights_tools.load import open_model
print(open_model(os.environ["LLAMA_MODEL"]).path)
"""
KERNEL = """
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(startup_timeout=60)
told, errors = [], []
def hear(message):
    content = message["content"]
    told.append(content.get("text", ""))
    errors.extend([f"{content['ename']}: {content['evalue']}"] if "ename" in content else [])
code = "import sys; from classroom import show; print(sys.prefix)"
client.execute_interactive(code, timeout=60, output_hook=hear)
client.stop_channels()
manager.shutdown_kernel(now=True)
print("".join(told)) if not errors else sys.exit(errors[0])
"""

SPEC = """
from jupyter_client.kernelspec import get_kernel_spec
spec = get_kernel_spec("python3")
print(spec.resource_dir, spec.argv[0], sep="\t")
"""


def plain(text):
    """A text with escapes for the control characters that a terminal obeys."""
    return re.sub("[\0-\x08\x0b-\x1f\x7f]", lambda found: ascii(found[0])[1:-1], text)


class Page:
    """The lines that were printed: each check says OK, or !! and what to do."""

    def __init__(self, colours=False):
        self.colours, self.passed, self.failed, self.advice = colours, 0, 0, ""

    def write(self, text):
        """One line; the console of an old Windows knows ASCII only."""
        print(text.encode("ascii", "backslashreplace").decode())

    def say(self, name, fault, found="", do=""):
        """A check that has found ``fault``, or else passed."""
        self.passed, self.failed = self.passed + (not fault), self.failed + bool(fault)
        sign, colour = ("!!", 31) if fault else ("OK", 32)
        sign = f"\033[{colour}m{sign}\033[0m" if self.colours else sign
        self.write(f"{sign}  {name:14} {plain(fault or found)}")
        if fault:
            self.write(f"       -> {plain(do) if do != self.advice else 'the same'}")
            self.advice = do
        return not fault

    def hint(self, name, text):
        """What is no fault, and good to know."""
        self.write(f"..  {name:14} {plain(text)}")


def run(code, seconds=120):
    """Run code in a Python of its own where a notebook would; (it went well, its last line)."""
    environment = dict(os.environ, PYTHONIOENCODING="utf-8", MPLBACKEND="agg")
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=str(HERE), env=environment, timeout=seconds,
            stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return False, f"{type(error).__name__}: {error}"[:200]
    said = (done.stderr if done.returncode else done.stdout).decode("utf-8", "replace")
    lines = said.strip().splitlines() or [f"it crashed (exit status {done.returncode})"]
    return done.returncode == 0, lines[-1][:200]


def in_environment():
    """Whether this Python is that of a virtual environment."""
    return sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ


def how_to_install():
    """The command that installs what is missing, from the wheelhouse where there is one."""
    own = Path(".venv", *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
    if not in_environment() and (ROOT / own).exists():
        return f"this is not the course's Python; in {ROOT}: {own} notebooks/doctor.py"
    python, first = sys.executable, ""
    if not in_environment():
        python, first = str(own), f"{sys.executable} -m venv .venv, then "
    source = "--no-index --find-links wheelhouse " if (ROOT / "wheelhouse").is_dir() else ""
    return f"in {ROOT}: {first}{python} -m pip install {source}-r requirements.txt"


def check_python(page):
    """New enough for the packages, and 64 bit?"""
    found = f"{platform.python_version()}, {sys.executable}"
    wanted = ".".join(map(str, OLDEST))
    do = f"install Python {wanted} or newer, 64 bit, from https://www.python.org/downloads/"
    if sys.version_info < OLDEST:
        return page.say("Python", f"{found}; {wanted} or newer is needed", do=do)
    return page.say("Python", "" if sys.maxsize > 2**32 else f"{found}; 32 bit", found, do)


def read_requirements():
    """Each package of requirements.txt with its bounds: {"numpy": [(">=", "2.0"), ("<", "3")]}."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([A-Za-z][\w.-]*)([^#]*)", line) for line in lines)
    return {each[1]: re.findall(r"(>=|<)\s*([\d.]+)", each[2]) for each in found if each}


def numbers(version):
    """A version as numbers to compare: "2.10.1rc1" is (2, 10, 1)."""
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[a-z+]", version)[0]))


def check_package(page, name, bounds):
    """Installed, in a version that was tested, and whole?"""
    from importlib import metadata

    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return page.say(name, "is not installed", do=how_to_install())
    for sign, bound in bounds:
        if (numbers(version) >= numbers(bound)) != (sign == ">="):
            fault = f"{version}; {sign}{bound} is needed"
            return page.say(name, fault, do=how_to_install())
    well, said = run(f"import {TO_IMPORT.get(name, name)}")
    fault = "" if well else f"{version} is broken: {said}"
    return page.say(name, fault, version, f"{how_to_install()} --force-reinstall")


def check_project(page):
    """Are the packages of the course those of this copy, wherever Python is started?"""
    well, said = run("import llama_np, weights_tools, classroom; print(llama_np.__file__)")
    fault = "" if well else f"cannot be imported: {said}"
    if well and Path(said).resolve().parent.parent != ROOT:
        fault = f"comes from another copy: {said}"
    return page.say("this course", fault, str(ROOT), how_to_install())


def check_model(page):
    """Is the doll-house whole, and does it predict what it should?"""
    path, again = ROOT / MODEL, "download the course again, or: git checkout -- weights_tools"
    if not path.is_file():
        return page.say("model file", f"{MODEL} is missing", do=again)
    if hashlib.sha256(path.read_bytes()).hexdigest() != DIGEST:
        return page.say("model file", f"{MODEL} is damaged", do=again)
    page.say("model file", "", f"whole, {path.stat().st_size / 1e6:.1f} MB")
    well, said = run(PREDICT)
    best, nats = json.loads(said) if well else ("", 0)
    fault = "" if well else f"there is none: {said}"
    if well and (best != NEXT or abs(nats - NATS) > 1e-3):
        fault = f"{best!r} with {nats:.4f} nats, not {NEXT!r} with {NATS:.4f}"
    return page.say("prediction", fault, f'"{PROMPT}" -> "{best}"', again)


def check_own_model(page):
    """Does the variable LLAMA_MODEL, which lessons obey, name a model?"""
    well, said = run(OPEN)
    do = "give the whole path of a model, or unset the variable: the doll-house is then used"
    return page.say("LLAMA_MODEL", "" if well else said, said, do)


def check_kernel(page):
    """Does a notebook's kernel start, with this Python, and draw?"""
    well, said = run(KERNEL)
    fault = "" if well else f"does not start: {said}"
    folder, python = foreign_kernel()
    if python and (not well or Path(said).resolve() != Path(sys.prefix).resolve()):
        do = f"remove the folder {folder}, which says so, then run this again"
        return page.say("Jupyter kernel", f"python3 starts another Python: {python}", do=do)
    do = (
        f"allow this machine to talk to itself (127.0.0.1), or {how_to_install()} --force-reinstall"
    )
    if well and Path(said).resolve() != Path(sys.prefix).resolve():
        fault = f"another Python answers: {said}"
        do = f"{sys.executable} -m jupyter kernelspec list; remove the python3 that is listed"
    return page.say("Jupyter kernel", fault, "starts, and imports the course", do)


def foreign_kernel():
    """The folder of a kernelspec python3 that names another Python, and that Python; else ""."""
    well, said = run(SPEC)
    folder, _, python = said.partition("\t") if well else ("", "", "")
    own = os.path.realpath(os.path.dirname(sys.executable))
    if not os.path.isabs(python) or os.path.realpath(os.path.dirname(python)) == own:
        return "", ""
    return folder, python


def check_pages(page):
    """Were the course's own pages worked in? Then no newer course can come over them."""
    try:
        done = subprocess.run(
            ["git", "status", "--porcelain", "--", "notebooks"], cwd=str(ROOT), timeout=60,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return  # without git there is nothing to pull
    if done.returncode:
        return  # nor where the course was not cloned
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    changed = [line[3:] for line in lines if line[:2].strip() == "M" and ".ipynb" in line]
    start = "python -m classroom start DIR"
    if changed:
        page.hint("pages", f"{len(changed)} changed where the course lies, such as {changed[0]}")
        page.write(f"       -> {start} copies them as they are, for you to go on with; then")
        page.write("          git checkout -- notebooks  lets git pull bring a newer course")
    else:
        page.hint("pages", f"as they came; {start} makes copies to work in")


def check_folder(page):
    """May the notebooks be saved where they lie, and is there room?"""
    do = "move the course to a folder of your own, for example in your home"
    try:
        with tempfile.TemporaryFile(dir=str(HERE)):
            page.say("folder", "", f"{HERE} can be written")
    except OSError as error:
        page.say("folder", f"{HERE} cannot be written: {error.strerror}", do=do)
    free = shutil.disk_usage(str(HERE)).free / 1e9
    page.say(
        "disk", "" if free > 0.2 else f"{free:.2f} GB free", f"{free:.0f} GB free", "make room"
    )


def check_memory(page):
    """Is there memory for JupyterLab and a browser?"""
    well, said = run("import psutil; print(psutil.virtual_memory().available / 1e9)")
    free = float(said) if well else 0
    page.say(
        "memory", "" if free > 0.5 else f"{free:.1f} GB free", f"{free:.1f} GB free",
        "close other programs",
    )  # fmt: skip


def check_all(page):
    """Every check; those that need all packages only where these are there."""
    if not check_python(page):
        return
    whole = [check_package(page, *each) for each in read_requirements().items()]
    whole.append(check_project(page))
    check_folder(page)
    check_pages(page)
    if not all(whole):
        page.say("the rest", "was not tried", do="do what is said above, then run this again")
        return
    check_memory(page)
    check_model(page)
    if os.environ.get("LLAMA_MODEL"):
        check_own_model(page)
    check_kernel(page)


def main():
    """Print the page; 1 where something is red."""
    modern = os.name != "nt" or "WT_SESSION" in os.environ
    page = Page(sys.stdout.isatty() and modern and not os.environ.get("NO_COLOR"))
    page.write(f"Llama 3 in pure NumPy on {platform.node()}, {platform.platform()}\n")
    check_all(page)
    count = page.passed + page.failed
    verdict = f"NOT READY: {page.failed} of {count} checks failed" if page.failed else "READY"
    page.write(f"\n{verdict}")
    return int(page.failed > 0)


if __name__ == "__main__":
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)
