"""An identity provider that publishes keys over HTTP, and can be made to fail."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa


def jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, **members: Any) -> dict[str, Any]:
    """Return the public half of a key as a JSON web key."""
    name = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    public = jwt.get_algorithm_by_name(name).to_jwk(key.public_key())
    return {**json.loads(public), **members}


@dataclass
class Provider:
    """An identity provider: its keys, how it answers, and how often it was asked."""

    keys: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    content: bytes | None = None
    asked: int = 0
    release: Event = field(default_factory=Event)
    url: str = ""


@contextmanager
def running_provider() -> Iterator[Provider]:
    """Serve a provider's keys on a free loopback port until the block is left."""
    provider = Provider()
    provider.release.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.asked += 1
            provider.release.wait(10)
            if self.path == "/elsewhere":
                self._answer(200, json.dumps({"keys": provider.keys}).encode())
                return
            content = provider.content or json.dumps({"keys": provider.keys}).encode()
            self._answer(provider.status, content)

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    provider.url = f"http://127.0.0.1:{server.server_port}/jwks"
    try:
        yield provider
    finally:
        provider.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
