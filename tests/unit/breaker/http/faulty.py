"""A real HTTP server on loopback that fails in every way a server can: by status, by silence, by cutting bodies, by
limits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = b"x" * 1000


class FaultyServer:
    """Serves `/ok`, `/fail`, `/hang`, `/cut`, `/limit`, `/empty` and `/missing`; `requests` counts what has arrived."""

    def __init__(self) -> None:
        self.requests = 0
        self.arrived = threading.Event()
        self.closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests += 1
                outer.arrived.set()
                getattr(self, f"serve_{self.path.strip('/')}")()

            def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def serve_ok(self) -> None:
                self.answer(200, BODY)

            def serve_empty(self) -> None:
                self.answer(204)

            def serve_missing(self) -> None:
                self.answer(404, b"not here")

            def serve_fail(self) -> None:
                self.answer(503, b"down")

            def serve_limit(self) -> None:
                self.answer(429, b"slow down", Retry_After="120")

            def serve_hang(self) -> None:
                outer.closing.wait()

            def serve_cut(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(BODY)))
                self.end_headers()
                self.wfile.write(BODY[:10])
                self.wfile.flush()
                self.close_connection = True

            def serve_stall(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(BODY)))
                self.end_headers()
                self.wfile.write(BODY[:10])
                self.wfile.flush()
                outer.closing.wait()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in the base class
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                """Clients that go away in the middle are part of the tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def host(self) -> str:
        """`host:port`, which is also the key of its breaker."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def url(self, path: str) -> str:
        """The address of a page."""
        return f"http://{self.host}/{path}"

    @contextmanager
    def running(self) -> Iterator["FaultyServer"]:
        """Serve until the block ends."""
        self._thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
