"""Running the server: one process, uvicorn on uvloop, signals that end it in order or at once."""

import asyncio
import logging
import os
import signal
import socket
import sys
from types import FrameType

import uvicorn
import uvloop

from auth.tokens import TokenIssuer
from gateway.app import Gateway, build
from gateway.authentication import token_issuer, token_verifier
from gateway.data_directory import DataDirectory, DataDirectoryError
from gateway.database import DatabaseError, open_database, prepare
from gateway.logs import configure_logs
from gateway.settings import Settings
from gateway.welcome import welcome

logger = logging.getLogger(__name__)

_BACKLOG = 2048
EXIT_REFUSED = 1
EXIT_FAILED = 3


class StartRefused(Exception):
    """The server can't start; the text says why and what to do."""


def serve(settings: Settings) -> int:
    """Serve until a signal; return the process's exit code: 0 after an orderly end.

    What hinders the start is one sentence on stderr and exit code 1. The first SIGTERM or SIGINT
    ends in order, the second at once.
    """
    # The database, too, is nobody else's to read, in whatever directory it lies.
    os.umask(0o077)
    configure_logs(settings.log_level, settings.log_format)
    try:
        with DataDirectory(settings.data_directory) as data, _listener(settings) as listener:
            verifier = token_verifier(settings, data)
            issuer = token_issuer(settings, data)
            # In a loop of its own, which may block: nobody is served yet.
            asyncio.run(_prepare(settings))
            gateway = build(settings, data=data.path, verifier=verifier)
            server = Server(_config(settings, gateway), _announcement(settings, issuer, listener))
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(server.serve(sockets=[listener]))
    except (StartRefused, DataDirectoryError, DatabaseError) as error:
        print(f"wagate can't start: {error}", file=sys.stderr)  # noqa: T201 - for the operator
        return EXIT_REFUSED
    failed = gateway.supervisor.dead is not None or not server.announced
    return EXIT_FAILED if failed else 0


async def _prepare(settings: Settings) -> None:
    database = open_database(settings.database)
    try:
        await prepare(database, migrate_at_start=settings.migrate_at_start)
    finally:
        await database.close()


def _listener(settings: Settings) -> socket.socket:
    """Take the port before anything else: a start that can't serve must change nothing."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise StartRefused(
            f"{settings.host}:{settings.port} can't be listened on: {reason}. "
            "Stop what uses it, or choose another with --port and --host."
        ) from None
    return listener


def _config(settings: Settings, gateway: Gateway) -> uvicorn.Config:
    return uvicorn.Config(
        gateway.asgi,
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=settings.websocket_max_bytes,
        # Compression costs more CPU than all the rest of a delivery, and memory per connection.
        ws_per_message_deflate=False,
        # Engine.IO pings by itself.
        ws_ping_interval=None,
        ws_ping_timeout=None,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        forwarded_allow_ips=list(settings.forwarded_allow_ips),
        timeout_graceful_shutdown=max(1, int(settings.shutdown_timeout_seconds / 4)),
    )


def _announcement(settings: Settings, issuer: TokenIssuer | None, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    return welcome(settings, issuer, f"http://{name}:{port}")


class Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready, and ends at once when told twice."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement
        self.announced = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and print how to go on."""
        await super().startup(sockets)
        if self.should_exit:
            return
        self.announced = True
        print(self._announcement, flush=True)  # noqa: T201 - the user's next step, not a log line

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in order; told twice, end now: engine processes end with their pipe."""
        if self.should_exit:
            os._exit(128 + sig)
        logger.info("stopping in order", extra={"signal": signal.Signals(sig).name})
        # Not by the base class: it raises the signal again, and the orderly end would exit 143.
        self.should_exit = True
