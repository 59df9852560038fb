"""Serve a loopback WhatsApp by hand: `python -m tests.loopback_whatsapp`."""

import argparse
import json
import logging
import shlex
import sys
import tempfile
import threading
from pathlib import Path

from .server import Ready, Server


def main() -> None:
    """Serve until SIGTERM or SIGINT, or until the parent goes."""
    arguments = _arguments()
    logging.basicConfig(level=arguments.log_level.upper(), stream=sys.stderr)
    # It would print each frame, of which the stanzas say more.
    logging.getLogger("websockets").setLevel("WARNING")
    if arguments.directory is not None:
        return _serve(arguments.directory, arguments)
    with tempfile.TemporaryDirectory(prefix="loopback-whatsapp-") as directory:
        return _serve(Path(directory), arguments)


def _serve(directory: Path, arguments: argparse.Namespace) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    server = Server(directory.resolve(), _say_exports if arguments.shell else _say_json)
    if arguments.exit_with_parent:
        threading.Thread(target=_stop_at_end_of_input, args=[server], daemon=True).start()
    server.run()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.loopback_whatsapp", description=__doc__)
    parser.add_argument("--directory", type=Path, help="where its certificate and copies go")
    parser.add_argument("--shell", action="store_true", help="print `export` lines, not JSON")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when stdin ends")
    parser.add_argument("--log-level", default="warning")
    return parser.parse_args()


def _say_json(ready: Ready) -> None:
    sys.stdout.write(json.dumps(ready.as_dict()) + "\n")
    sys.stdout.flush()


def _say_exports(ready: Ready) -> None:
    """Print what `eval` takes in the shell where the gateway is started."""
    variables = ready.environment | {"LOOPBACK_WHATSAPP": ready.control}
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.flush()


def _stop_at_end_of_input(server: Server) -> None:
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
