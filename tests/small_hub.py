"""A server on loopback that speaks as much of the Hugging Face hub's protocol as a download needs.

The answers follow what ``huggingface_hub`` reads, ``HfApi.model_info`` to ``hf_raise_for_status``:
https://github.com/huggingface/huggingface_hub/tree/main/src/huggingface_hub
"""

import hashlib
import json
import re
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "93efa2f097d58c2a74874c7e644dbc9b0cee75a2"
LARGE = 1000  # bytes; from here on a file is described by its sha256, as Git LFS does


class SmallHub:
    """One repository. ``requests`` are those seen: method, path, the header Range."""

    def __init__(self, files: dict[str, bytes], repo: str = "owner/tiny"):
        self.repo, self.files = repo, files
        self.announced: dict[str, int] = {}  # sizes that are not true
        self.cuts: list[tuple[str, int]] = []  # file, bytes sent before the connection breaks
        self.busy: list[tuple[str, int]] = []  # file, status to answer once instead of sending it
        self.refusals: dict[str, tuple[int, str]] = {}  # file or "": status, X-Error-Code or words
        self.pauses: dict[str, float] = {}  # file or "": seconds between two of its bytes
        self.endless: set[str] = set()  # file or "": what it sends has no end
        self.ignores_range = False
        self.tells_length = True
        self.elsewhere = ""  # another server, which sends the large files
        self.requests: list[tuple[str, str, str | None]] = []
        self.tokens: set[str | None] = set()

    def __enter__(self) -> "SmallHub":
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()

    def listing(self) -> dict:
        """What /api/models/OWNER/NAME?blobs=true answers."""
        return {"id": self.repo, "sha": COMMIT, "siblings": [*map(self.describe, self.files)]}

    def describe(self, name: str) -> dict:
        data = self.files[name]
        size = self.announced.get(name, len(data))
        entry = {"rfilename": name, "size": size, "blobId": git_sha1(data)}
        if len(data) >= LARGE:
            entry["lfs"] = {"size": size, "sha256": digest(data), "pointerSize": 130}
        return entry

    def ranges(self, name: str) -> list[str | None]:
        """The ranges that were asked for of one file."""
        path = f"/{self.repo}/resolve/{COMMIT}/{name}"
        return [r for method, p, r in self.requests if (method, p) == ("GET", path)]

    def touched(self) -> set[str]:
        """The files that were asked for."""
        return {path.split(COMMIT + "/")[1] for _, path, _ in self.requests if COMMIT in path}


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def digest(data: bytes) -> str:
    """What the hub calls a file's ETag."""
    return hashlib.sha256(data).hexdigest() if len(data) >= LARGE else git_sha1(data)


def take(planned: list[tuple[str, int]], name: str | None) -> int | None:
    """What is planned next for a file, taken off the list."""
    for entry in planned:
        if entry[0] == name:
            planned.remove(entry)
            return entry[1]
    return None


class _Handler(BaseHTTPRequestHandler):
    hub: SmallHub
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet; in two, each answer waits 40 ms

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        path = self.path.partition("?")[0]
        self.hub.requests.append((self.command, path, self.headers["Range"]))
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        found = api or file
        if found:
            self.hub.tokens.add(self.headers["Authorization"])
        if not found or found[1] != self.hub.repo:
            self.send(401, code="RepoNotFound")  # the hub does not say whether it is private
        elif found[2] not in (None, "main", COMMIT):
            self.send(404, code="RevisionNotFound")
        elif refusal := self.hub.refusals.get(file[3] if file else ""):
            self.send(refusal[0], code=refusal[1])
        elif api:
            self.send(200, json.dumps(self.hub.listing()).encode(), "")
        else:
            self.send_file(file[3])

    def send_file(self, name: str):
        data = self.hub.files[name]
        known = {"ETag": f'"{digest(data)}"', "X-Repo-Commit": COMMIT}
        if self.hub.elsewhere and len(data) >= LARGE:
            place = {"Location": self.hub.elsewhere + self.path, "X-Linked-Size": str(len(data))}
            return self.send(302, headers=known | place)
        if self.command == "GET" and (busy := take(self.hub.busy, name)):
            return self.send(busy)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if not asked or self.hub.ignores_range:
            return self.send(200, data, name, headers=known)
        start = int(asked[1])
        if start >= len(data):
            return self.send(416, headers={"Content-Range": f"bytes */{len(data)}"})
        span = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        self.send(206, data[start:], name, headers=known | span)

    def send(self, status, body=b"", name=None, code="", headers=()):
        self.send_response(status)
        said = "X-Error-Message" if " " in code else "X-Error-Code"
        for key, value in {said: code, **dict(headers)}.items():
            if value:
                self.send_header(key, value)
        if self.hub.tells_length and name not in self.hub.endless:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            cut = take(self.hub.cuts, name)
            if cut is not None:
                body, self.close_connection = body[:cut], True
            self.send_body(body, name)

    def send_body(self, body: bytes, name: str | None):
        """All at once, or as slowly or as long as is planned, until the other side goes."""
        with suppress(OSError):
            if name in self.hub.endless:
                while True:
                    self.wfile.write(b" " * 10**6)
            if pause := self.hub.pauses.get(name):
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    threading.Event().wait(pause)  # the tests make time.sleep sleep no more
            else:
                self.wfile.write(body)

    def log_message(self, *_):
        pass
