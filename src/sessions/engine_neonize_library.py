"""Where the neonize library is and whether it may be imported, found out without importing it.

On a missing or foreign Go library `import neonize` would fetch one from the internet and run it;
so nothing imports neonize before `library_fault` has said None.
"""

import ctypes
import importlib.util
import platform
import re
from pathlib import Path

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_SUFFIXES = {"linux": "so", "darwin": "dylib", "windows": "dll"}
_EXPECTED = re.compile(r'^__GONEONIZE_VERSION__ = "([^"]+)"', re.MULTILINE)


def package_directory() -> Path | None:
    """Return the directory of the neonize package on the import path, None if there is none."""
    spec = importlib.util.find_spec("neonize")
    locations = spec.submodule_search_locations if spec else None
    return Path(locations[0]) if locations else None


def go_library_name() -> str:
    """Return the file name that neonize looks for on this machine."""
    system, machine = platform.system().lower(), platform.machine().lower()
    suffix = _SUFFIXES.get(system, "so")
    return f"neonize-{system}-{_MACHINES.get(machine, machine)}.{suffix}"


def library_fault() -> str | None:
    """Return in a sentence why neonize can't be imported safely here, None when it can."""
    package = package_directory()
    if package is None:
        return "The Python package neonize is not installed. Install this program's dependencies."
    library = package / go_library_name()
    if not library.is_file():
        return (
            f"neonize brought no Go library for this machine ({library.name}). There are wheels "
            "for Linux with glibc 2.34 or newer (Debian 12, Ubuntu 22.04), macOS 12 and Windows; "
            "not for Alpine."
        )
    return _version_fault(package, library)


def _version_fault(package: Path, library: Path) -> str | None:
    expected = _EXPECTED.search((package / "download.py").read_text())
    if expected is None:
        return "This version of neonize is unknown. Install the one that this program pins."
    try:
        loaded = ctypes.CDLL(str(library))
        loaded.GetVersion.restype = ctypes.c_char_p
        found = loaded.GetVersion().decode()
    except (OSError, AttributeError) as error:
        return (
            f"neonize's Go library can't be loaded: {error}. It needs glibc 2.34 or newer "
            "(Debian 12, Ubuntu 22.04)."
        )
    if found != expected[1]:
        return (
            f"neonize {expected[1]} found a Go library of version {found}. Reinstall neonize; "
            "nothing is downloaded at run time."
        )
    return None
