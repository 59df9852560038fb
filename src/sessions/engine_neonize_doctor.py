"""What the neonize engine needs of the machine, examined and told in sentences.

Nothing here imports neonize: that happens in a process of its own, as in operation.
"""

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sessions.engine_neonize_library import library_fault, package_directory

IMPORT_SECONDS = 60
_GLIBC = (2, 34)
_IMPORT = "import pylibmagic, neonize; print(neonize.__version__)"

Verdict = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; a `fault` keeps the engine from running."""

    subject: str
    verdict: Verdict
    sentence: str


def examine(directory: Path) -> list[Finding]:
    """Examine the machine and the directory of the credentials. Blocks for about a second."""
    findings = [_c_library(), _package(), _library()]
    # Importing what is not safe to import could fetch a library from the internet.
    if findings[-1].verdict == "ok":
        findings.append(_import())
    return [*findings, _ffmpeg(), _directory(directory), *_windows()]


def _c_library() -> Finding:
    if platform.system() != "Linux":
        return Finding("system", "ok", f"This is {platform.system()} on {platform.machine()}.")
    name, version = platform.libc_ver()
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if name != "glibc":
        sentence = "This Linux has no glibc (Alpine?). Use Debian 12 or Ubuntu 22.04, or newer."
        return Finding("system", "fault", sentence)
    if numbers < _GLIBC:
        sentence = f"glibc {version} is too old: 2.34 is needed (Debian 12, Ubuntu 22.04)."
        return Finding("system", "fault", sentence)
    return Finding("system", "ok", f"glibc {version} on {platform.machine()}.")


def _package() -> Finding:
    package = package_directory()
    if package is None:
        return Finding("neonize", "fault", "The Python package neonize is not installed.")
    return Finding("neonize", "ok", f"neonize is installed in {package}.")


def _library() -> Finding:
    if fault := library_fault():
        return Finding("Go library", "fault", fault)
    return Finding("Go library", "ok", "Its Go library is there and of the same version.")


def _import() -> Finding:
    command = ["env", "-u", "SPHINX", sys.executable, "-c", _IMPORT]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and text
            command, capture_output=True, text=True, timeout=IMPORT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("import", "fault", f"neonize can't be tried out: {error}.")
    if done.returncode == 0:
        return Finding("import", "ok", f"neonize {done.stdout.strip()} loads, with libmagic.")
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Finding("import", "fault", f"neonize does not load: {reason}")


def _ffmpeg() -> Finding:
    if shutil.which("ffmpeg") and shutil.which("ffprobe"):
        return Finding("ffmpeg", "ok", "ffmpeg and ffprobe are installed.")
    sentence = "ffmpeg is not installed. Texts need none; sending video, audio and stickers will."
    return Finding("ffmpeg", "warning", sentence)


def _directory(directory: Path) -> Finding:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"\0")
    except OSError as error:
        sentence = f"{directory} can't be written: {error.strerror}. Credentials are kept there."
        return Finding("credentials", "fault", sentence)
    return Finding("credentials", "ok", f"Credentials are kept in {directory}, which is writable.")


def _windows() -> Iterator[Finding]:
    if platform.system() == "Windows":
        sentence = "Workers take their socket by descriptor and lock files: not on Windows."
        yield Finding("workers", "fault", sentence)
