"""What happens to a file: accidents of any kind, and changes that a format's own checks let pass.

Everything is drawn from one ``random.Random``, so that a case is the same whenever it is run.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

EXTREMES = (0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**22, 2**31 - 1, 2**31, 2**32 - 1, 2**40,
            2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
CONTROL = ("\0", "\x07", "\b", "\r", "\x1b[2J", "\x1b]0;title\x07", "\x7f", "\x9b31m", "\u202e",
           "\u2066", "\u2028", "\ufeff", "\ud800", "\U000e0041", "é", "猫", "%s", "{}")  # fmt: skip
NEST, RAW = "@@nest@@", "@@raw@@"  # stand for what ``json.dumps`` cannot write


def mutate(name: str, data: bytes, rng: Random) -> bytes:
    """The contents of a file of that name after one change, often of a kind its format has."""
    for pattern, change in STRUCTURED.items():
        if re.fullmatch(pattern, name) and rng.random() < 0.7:
            try:
                return change(data, rng)
            except Exception:  # json, struct and zipfile raise many kinds
                break  # no longer of that format: an earlier change has been there
    return rng.choice(RAW_CHANGES)(data, rng)


# --- bytes ---


def place(data: bytes, rng: Random) -> int:
    """Somewhere; half the time near the start, where headers and tables are."""
    near = min(len(data), rng.choice((64, 1000)))
    return rng.randrange((near if rng.random() < 0.5 else len(data)) + 1)


def flip_bit(data: bytes, rng: Random) -> bytes:
    at = place(data, rng)
    return data[:at] + bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]  # fmt: skip  # noqa: E501


def set_byte(data: bytes, rng: Random) -> bytes:
    at = place(data, rng)
    return data[:at] + rng.randbytes(1) + data[at + 1 :]


def cut(data: bytes, rng: Random) -> bytes:
    return data[: place(data, rng)]


def lose(data: bytes, rng: Random) -> bytes:
    at = place(data, rng)
    return data[:at] + data[at + rng.choice((1, 2, 4, 8, 100, 5000)) :]


def insert(data: bytes, rng: Random) -> bytes:
    at = place(data, rng)
    return data[:at] + rng.choice((rng.randbytes(rng.randrange(1, 20)), strange_text(rng))) + data[at:]  # fmt: skip  # noqa: E501


def repeat(data: bytes, rng: Random) -> bytes:
    """A piece once more, or many times; at most a few hundred thousand bytes of it."""
    start, end = sorted((place(data, rng), place(data, rng)))
    piece = data[start:end][: rng.choice((1, 10, 1000, 100_000))]
    times = min(rng.choice((1, 2, 50, 5000)), 200_000 // max(1, len(piece)))
    return data[:start] + piece * times + data[start:]


def extreme(data: bytes, rng: Random) -> bytes:
    """A whole number of 1, 2, 4 or 8 bytes becomes a very large one, or a very small one."""
    at, width = place(data, rng), rng.choice((1, 2, 4, 8))
    number = rng.choice(EXTREMES) % 2 ** (8 * width)
    return data[:at] + number.to_bytes(width, rng.choice(("little", "big"))) + data[at + width :]


def extreme_in_text(data: bytes, rng: Random) -> bytes:
    """The same where numbers are written in digits."""
    numbers = [*re.finditer(rb"-?\d+(\.\d+)?", data)]
    if not numbers:
        return insert(data, rng)
    found, number = rng.choice(numbers), rng.choice((*EXTREMES, -1, -(2**70), "1e999", "0.5", "9" * 5000))  # fmt: skip  # noqa: E501
    return data[: found.start()] + str(number).encode() + data[found.end() :]


def strange_text(rng: Random) -> bytes:
    return "".join(rng.choices(CONTROL, k=rng.randrange(1, 4))).encode(errors="surrogatepass")


RAW_CHANGES: tuple[Callable[[bytes, Random], bytes], ...] = (
    flip_bit, set_byte, cut, lose, insert, repeat, extreme, extreme_in_text,
)  # fmt: skip


# --- JSON ---


def strange_value(rng: Random) -> Any:
    """A value of any type."""
    return rng.choice([
        lambda: rng.choice((None, True, False, [], {}, "", "llama", 0, -1, 0.5, 1e300, -0.0)),
        lambda: rng.choice((*EXTREMES, -(2**63), 10**40, 10**400, float("nan"), float("inf"))),
        lambda: rng.choice("ab<|") * rng.choice((1, 100, 3000, 50_000)),
        lambda: strange_text(rng).decode(errors="surrogatepass"),
        lambda: [rng.choice((0, "a", None, [], "a b"))] * rng.choice((1, 2, 1000, 30_000)),
        lambda: {f"k{i}": i for i in range(rng.choice((1, 5000)))},
        lambda: {"content": "x", "type": "Sequence", "id": rng.choice(EXTREMES)},
        lambda: NEST,
        lambda: RAW,
    ])()  # fmt: skip


def json_change(data: bytes, rng: Random) -> bytes:
    """One value exchanged, taken away, doubled or renamed; nesting, and numbers without an end."""
    values = json.loads(data)
    spots = [*places_in(values)]
    if not spots:
        return insert(data, rng)
    holder, key = rng.choice(spots)
    other, another = rng.choice(spots)
    kind = rng.randrange(8)
    if kind < 4:
        holder[key] = strange_value(rng)
    elif kind == 4:
        del holder[key]
    elif kind == 5:
        holder[key] = json.loads(json.dumps(other[another]))
    elif kind == 6 and isinstance(holder, dict):
        holder[strange_text(rng).decode(errors="surrogatepass")] = holder.pop(key)
    elif isinstance(holder, dict):
        holder[f"{key}{rng.choice(('', '_', ' ', 'x' * 3000))}"] = holder[key]
    else:
        holder *= rng.choice((2, 300))
    text = json.dumps(values, ensure_ascii=rng.random() < 0.5)
    depth = rng.choice((10, 900, 100_000))
    text = text.replace(f'"{NEST}"', "[" * depth + "]" * depth)
    text = text.replace(f'"{RAW}"', rng.choice(("9" * 5000, "1e999", "-NaN", "1.", "'", "0x1")))
    return text.encode(errors="surrogatepass")


def places_in(value: Any):
    """Every holder and key in a JSON value, on all levels; of long lists the start."""
    inside = []
    if isinstance(value, dict):
        inside = [*value.items()]
    elif isinstance(value, list):
        inside = [*enumerate(value[:300])]
    for key, inner in inside:
        yield value, key
        yield from places_in(inner)


def lines_change(data: bytes, rng: Random) -> bytes:
    """One line of JSON among many."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = json_change(lines[at], rng)
    return b"\n".join(lines)


# --- formats with checks of their own ---


def safetensors_change(data: bytes, rng: Random) -> bytes:
    """The header changed, its length still right."""
    length = int.from_bytes(data[:8], "little")
    header = json_change(data[8 : 8 + length], rng)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def zip_change(data: bytes, rng: Random) -> bytes:
    """One file in a zip changed, every checksum still right; or entries without number."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    small = [name for name in members if len(members[name]) < 5000]
    name = rng.choice(small if small and rng.random() < 0.7 else [*members])
    kind = rng.randrange(10)
    if kind == 0:
        del members[name]
    elif kind == 1:
        members |= {f"{name}{i}": b"" for i in range(rng.choice((1, 1000)))}
    else:
        members[name] = mutate(name, members[name], rng)
    packed = zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packed) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, packed)
    return file.getvalue()


STRUCTURED: dict[str, Callable[[bytes, Random], bytes]] = {
    r".*\.json": json_change,
    r".*\.jsonl": lines_change,
    r".*\.safetensors": safetensors_change,
    r".*\.(pth|npz)": zip_change,
    r"about\.npy|.*\.(csv|txt|jinja)": extreme_in_text,
}
