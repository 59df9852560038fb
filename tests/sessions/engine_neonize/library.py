"""The library's classes in the tests' own process, without its Go part and its side effects."""

import importlib
import logging
import os
from types import ModuleType

_LOADED: dict[str, ModuleType] = {}


def load(name: str) -> ModuleType:
    """Import a module that imports neonize; its Go runtime stays out of this process."""
    if name not in _LOADED:
        importlib.import_module("pylibmagic")
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        os.environ["SPHINX"] = "1"
        try:
            _LOADED[name] = importlib.import_module(name)
        finally:
            del os.environ["SPHINX"]
            # The import gives the root logger a handler on what is the captured stderr now.
            root.handlers[:] = handlers
            root.setLevel(level)
    return _LOADED[name]
