"""QR codes for eyes: PNG, data URL, and text for a terminal. Memory only, a few milliseconds."""

import base64
import struct
import zlib
from functools import lru_cache

from qrcode.constants import ERROR_CORRECT_L
from qrcode.main import QRCode

QUIET_ZONE_MODULES = 4
_MODULE_PIXELS = 8
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HALF_BLOCKS = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}

Matrix = tuple[tuple[bool, ...], ...]


@lru_cache(maxsize=64)
def matrix(code: str) -> Matrix:
    """Return the code's modules, True = dark, quiet zone of 4 included, error correction L."""
    # A fixed mask: trying all eight costs 10 ms on the event loop, and the mask only breaks up
    # large uniform areas, which the random keys in WhatsApp's codes never make.
    symbol = QRCode(error_correction=ERROR_CORRECT_L, border=QUIET_ZONE_MODULES, mask_pattern=0)
    symbol.add_data(code, optimize=0)
    symbol.make(fit=True)
    return tuple(tuple(bool(module) for module in row) for row in symbol.get_matrix())


@lru_cache(maxsize=64)
def png(code: str) -> bytes:
    """Return a one-bit greyscale PNG, dark on white, 8 pixels per module."""
    rows = matrix(code)
    # Encoded here: an imaging library would cost more than the code itself, and a file.
    pixels = zlib.compress(b"".join(_scanline(row) * _MODULE_PIXELS for row in rows))
    side = len(rows) * _MODULE_PIXELS
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return _PNG_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


@lru_cache(maxsize=64)
def data_url(code: str) -> str:
    """Return the PNG as a `data:image/png;base64,…` URL, as an `<img src>` takes it."""
    return "data:image/png;base64," + base64.b64encode(png(code)).decode("ascii")


def terminal(code: str) -> str:
    """Return half blocks, one character per two modules, to be read on a dark background.

    Lines end with a newline; light modules are drawn, so the quiet zone is part of the picture.
    """
    rows = matrix(code)
    # The number of rows is odd, so the last line has no lower half.
    light = (False,) * len(rows)
    pairs = zip(rows[::2], (*rows[1::2], light), strict=False)
    return "".join(_half_block_line(upper, lower) for upper, lower in pairs)


def _half_block_line(upper: tuple[bool, ...], lower: tuple[bool, ...]) -> str:
    return "".join(_HALF_BLOCKS[pair] for pair in zip(upper, lower, strict=True)) + "\n"


def _scanline(row: tuple[bool, ...]) -> bytes:
    """Pack one row of pixels, 1 = white; a module is one byte wide. The first byte: no filter."""
    return b"\0" + b"".join(b"\x00" if dark else b"\xff" for dark in row)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
