"""The entry of a neonize worker process: `python -m sessions.engine_neonize_worker <descriptor>`.

Started by exec, as the Go library sees only the environment that a process began with. Readies the
process and loads the library, or tells the server in a sentence why it can't.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

from sessions.engine_neonize_frames import NOTICE, Refused
from sessions.engine_neonize_library import library_fault
from sessions.frames import pack

if TYPE_CHECKING:
    from sessions.engine_neonize_host import Host

DESCRIPTORS = 8192
REAP_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1


def main(descriptor: int, acknowledge_seconds: float) -> None:
    """Serve on the socket with this descriptor; does not return."""
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    _ready_process()
    try:
        host = _load()(connection, acknowledge_seconds=acknowledge_seconds)
    except (ImportError, OSError, RuntimeError) as error:
        with contextlib.suppress(ConnectionError):
            connection.sendall(pack(NOTICE.dump_json(Refused(reason=str(error)))))
        os._exit(1)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=host.part).start())
    host.serve()
    host.part()


def _ready_process() -> None:
    os.umask(0o077)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A session takes about seven; the library leaks some of them at each stop.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, DESCRIPTORS), most))
    # At its default the library hands every stanza, messages too, to Python's logging.
    logging.getLogger("neonize.utils.log").setLevel(logging.ERROR)
    if sys.platform == "linux":
        # In case the other end of the socket outlives the server in some other process.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _load() -> type[Host]:
    if fault := library_fault():
        raise ImportError(fault)
    # Gives python-magic a bundled libmagic, without which neonize can't be imported.
    importlib.import_module("pylibmagic")
    from sessions.engine_neonize_host import Host  # noqa: PLC0415 - only now may neonize load

    _reap()
    return Host


def _reap() -> None:
    """Collect the shells that neonize asks for the system's name as it loads, and forgets."""
    deadline = time.monotonic() + REAP_SECONDS
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                time.sleep(0.01)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
