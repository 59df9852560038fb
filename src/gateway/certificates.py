"""Whose signature under a certificate this server believes when it calls others."""

import functools
import ssl

import httpcore


@functools.cache
def trusted() -> ssl.SSLContext:
    """Return what every call over TLS uses; read once, as that takes tens of milliseconds.

    Called where a client is constructed: at its first connection it would hold everybody up.
    """
    return httpcore.default_ssl_context()
