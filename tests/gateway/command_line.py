"""The command line as its users have it: a process in a directory, and a server it talks to."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from typer.testing import CliRunner

from gateway.cli import app

WAGATE = [sys.executable, "-m", "gateway"]
START_SECONDS = 40
SHOWN = {"NO_COLOR": "1", "COLUMNS": "200"}


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without settings of ours, and with these."""
    ours = {name for name in os.environ if name.startswith(("WAGATE_", "QR_MAX_ATTEMPTS"))}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, **SHOWN, **variables}


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def wagate(directory: Path, *arguments: str, stdin: str | None = None, **variables: str) -> Ended:
    """Run a command in a directory to its end, within this process: a start takes a second."""
    cleared: dict[str, str | None] = dict.fromkeys(os.environ.keys() - environment().keys())
    with contextlib.chdir(directory):
        ended = CliRunner().invoke(
            app,
            arguments,
            input=stdin,
            env=cleared | variables | SHOWN,
            catch_exceptions=False,
        )
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


def wagate_process(directory: Path, *arguments: str, **variables: str) -> Ended:
    """Run a command in a directory to its end, as a process of its own."""
    ended = subprocess.run(
        [*WAGATE, *arguments],
        cwd=directory,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@dataclass
class Server:
    """A running server: what it printed when it was ready, and calls with the token in it."""

    process: subprocess.Popen[str]
    directory: Path
    welcome: str
    url: str
    token: str

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Return the answer to a call that must succeed."""
        answer = httpx.request(
            method,
            self.url + path,
            json=body,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=10,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def logs(self) -> list[dict[str, Any]]:
        """Return the lines logged so far."""
        return [json.loads(line) for line in (self.directory / "log").read_text().splitlines()]


@contextmanager
def serving(directory: Path, *options: str, **variables: str) -> Iterator[Server]:
    """Serve on the simulator and a free port until the block ends; then it must end in order.

    A block that has ended the server itself judges its exit code.
    """
    arguments = ["serve", "--engine", "simulator", "--port", "0", *options]
    with (
        (directory / "log").open("w") as log,
        subprocess.Popen(
            [*WAGATE, *arguments],
            cwd=directory,
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield _ready(process, directory)
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                assert process.wait(START_SECONDS) == 0
        finally:
            process.kill()


def _ready(process: subprocess.Popen[str], directory: Path) -> Server:
    assert process.stdout
    text = ""
    deadline = time.monotonic() + START_SECONDS
    # Ended by its last line, or by the end of the process: the pipe closes.
    while "format=terminal" not in text and time.monotonic() < deadline:
        line = process.stdout.readline()
        assert line, f"the server ended: {text} {(directory / 'log').read_text()}"
        text += line
    address = re.search(r"ready at (\S+)", text)
    token = re.search(r"\b(eyJ\S+)", text)
    assert address
    return Server(process, directory, text, address[1], token[1] if token else "")
