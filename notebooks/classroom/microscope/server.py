"""A server for one browser on this machine: few addresses, all behind a token, nothing else."""

import json
import re
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from .answers import Answer
from .lessons import as_html
from .offline import live_page
from .products import LESSONS
from .replies import refusal, reply

LOOPBACK = "127.0.0.1"
STILL = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "  # a page that only shows
# Of a request: a sentence in escapes, and many changes, or all that was opened.
MOST_BYTES = 1 << 20
# These keep nobody waiting who looks elsewhere.
SLOW = {"jobs", "each_head_off", "each_stream_put", "save"}
FRAMED = "frame-ancestors http://127.0.0.1:* http://localhost:*"  # a notebook on this machine


def make_server(
    answer: Answer, port: int = 0, token: str | None = None, framed: bool = False
) -> ThreadingHTTPServer:
    """A server on the loopback address; port 0 takes a free one. ``address`` is what to open.

    ``GET /TOKEN/`` is the page, ``GET /TOKEN/lesson/NAME`` a lesson to read, without scripts.
    ``POST /TOKEN/ask`` takes a request as JSON and answers in JSON: 400 and one line where it
    cannot be met. Everything else is 404; another host's name 403, so that no page of another site
    can reach it by a name of its own. ``framed``: whether a page of this machine, a notebook,
    may show it inside; no other may.
    """
    token = token or secrets.token_urlsafe(24)
    locks = {True: Lock(), False: Lock()}  # one run at a time, and one slow view
    ancestors = FRAMED if framed else "frame-ancestors 'none'"

    class Handler(BaseHTTPRequestHandler):
        timeout = 30  # seconds for a browser to say what it wants
        server_version, sys_version = "microscope", ""

        def do_GET(self):
            name = self.path.rpartition("/")[2]
            if name in LESSONS:
                if self.is_welcome(f"/lesson/{name}"):
                    self.send(HTTPStatus.OK, as_html(name), "text/html", STILL)
            elif self.is_welcome("/"):
                self.send(HTTPStatus.OK, live_page(), "text/html")

        def do_POST(self):
            body = self.read_body()  # first of all: an answer to one who still sends may get lost
            if not self.is_welcome("/ask"):
                return
            try:
                request = self.understood(body)
            except ValueError as error:
                met, text = False, refusal(error)
            else:
                view = request.get("view") if isinstance(request, dict) else None
                with locks[view in [*SLOW]]:
                    met, text = reply(answer, request)
            self.send(HTTPStatus.OK if met else HTTPStatus.BAD_REQUEST, text, "application/json")

        def is_welcome(self, path: str) -> bool:
            """Whether host, token and path are right; if not, it is answered."""
            host = self.headers.get("Host", "")
            port = self.server.server_address[1]
            if host not in (f"{LOOPBACK}:{port}", f"localhost:{port}"):
                self.send(HTTPStatus.FORBIDDEN, "another host\n", "text/plain")
                return False
            expected = f"/{token}{path}"
            if not secrets.compare_digest(self.path.encode(), expected.encode()):
                self.send(HTTPStatus.NOT_FOUND, "not here\n", "text/plain")
                return False
            return True

        def read_body(self) -> bytes | None:
            """What was sent, or None where it is too long or does not say how long it is."""
            length = self.headers.get("Content-Length", "")
            if not re.fullmatch("[0-9]{1,9}", length) or int(length) > MOST_BYTES:
                return None
            return self.rfile.read(int(length))

        def understood(self, body: bytes | None):
            """The JSON of a request, or ``ValueError``."""
            if body is None:
                raise ValueError(f"a request must say its length, at most {MOST_BYTES} bytes")
            if self.headers.get_content_type() != "application/json":
                raise ValueError("a request must be application/json")
            try:
                return json.loads(body)
            except (ValueError, RecursionError):
                raise ValueError("the request is no JSON") from None

        def send(self, status: HTTPStatus, text: str, kind: str, policy: str = "") -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Content-Security-Policy", policy + ancestors)
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing: the address holds the token."""

    server = ThreadingHTTPServer((LOOPBACK, port), Handler)
    server.daemon_threads = True
    server.address = f"http://{LOOPBACK}:{server.server_address[1]}/{token}/"
    return server
