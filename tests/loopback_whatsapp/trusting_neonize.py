"""A copy of the installed neonize whose native library trusts our Noise root key.

Only for tests: the installed package is not touched. The copy is a directory of symbolic links, in
which just the native library is a file of its own; neonize loads the one beside its `_binder.py`.
"""

import importlib.util
import shutil
from pathlib import Path

# WhatsApp's root key for the certificates of the Noise handshake, as it stands in the library.
WHATSAPP_ROOT_KEY = bytes.fromhex(
    "142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b"
)


def copy_trusting(root_key: bytes, directory: Path) -> Path:
    """Make the copy under a directory, which then belongs on PYTHONPATH; return the directory."""
    spec = importlib.util.find_spec("neonize")
    if spec is None or spec.submodule_search_locations is None:
        raise FileNotFoundError("neonize is not installed; `make install` installs it.")
    package = directory / "neonize"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    for path in Path(spec.submodule_search_locations[0]).iterdir():
        if path.suffix in (".so", ".dylib", ".dll"):
            (package / path.name).write_bytes(_trusting_library(path.read_bytes(), root_key))
        elif path.name != "__pycache__":
            (package / path.name).symlink_to(path)
    return directory


def _trusting_library(library: bytes, root_key: bytes) -> bytes:
    found = library.count(WHATSAPP_ROOT_KEY)
    if found != 1:
        raise ValueError(f"WhatsApp's root key stands {found} times in the library, not once.")
    return library.replace(WHATSAPP_ROOT_KEY, root_key)
