"""How the server ends: the first signal in order, the second at once. Real processes."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.gateway.command_line import Server, serving

PATIENCE_SECONDS = 20
AT_ONCE_SECONDS = 3


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_with_exit_code_0(tmp_path: Path, first: signal.Signals) -> None:
    with serving(tmp_path) as server:
        server.process.send_signal(first)
        assert server.process.wait(PATIENCE_SECONDS) == 0
    assert [line["signal"] for line in server.logs() if "signal" in line] == [first.name]


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, WAGATE_SHUTDOWN_TIMEOUT_SECONDS="120") as server:
        with unfinished_request(server):
            server.process.send_signal(signal.SIGTERM)
            wait_until_stopping(server)
            # The orderly end would wait for this request for 30 s.
            server.process.send_signal(signal.SIGTERM)
            code = server.process.wait(AT_ONCE_SECONDS)
        assert code == 128 + signal.SIGTERM


@contextmanager
def unfinished_request(server: Server) -> Iterator[None]:
    """Begin a request whose body does not come."""
    parts = urlsplit(server.url)
    assert parts.hostname
    assert parts.port
    head = (
        "POST /whatsapp HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {server.token}\r\nContent-Length: 100\r\n\r\n{{"
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
        connection.sendall(head.encode())
        # Answered after what was sent before it was taken in: the request is then in its handler.
        server.call("GET", "/whatsapp")
        yield


def wait_until_stopping(server: Server) -> None:
    """Wait until the first signal was taken."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any("signal" in line for line in server.logs()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
