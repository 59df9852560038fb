"""Reads the code back out of a picture: many microservices give nothing else."""

import base64
import binascii
import io

import zxingcpp
from PIL import Image

_BYTES_MOST = 1024 * 1024
_SIDE_PIXELS_MOST = 4096
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_PNG_START = "iVBORw0KGgo"


class UnreadablePicture(ValueError):
    """The picture holds no QR code that can be read; the text says what was expected."""


def is_picture(text: str) -> bool:
    """Tell whether a text is a picture, as a data URL or bare base64 of a PNG."""
    return text.startswith(("data:image/", _PNG_START))


def read_code(picture: str) -> str:
    """Return the text of the QR code in a picture. Computes for tens of milliseconds.

    Raises:
        UnreadablePicture: it is no such picture.
    """
    only_qr = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
    try:
        content = base64.b64decode(picture.rpartition(",")[2], validate=True)
        with Image.open(io.BytesIO(content[:_BYTES_MOST]), formats=_FORMATS) as image:
            # Before anything is unpacked: a small file may say that it is a huge picture.
            if max(image.size) > _SIDE_PIXELS_MOST:
                message = f"expected a picture of at most {_SIDE_PIXELS_MOST} pixels a side"
                raise UnreadablePicture(message)
            found = zxingcpp.read_barcode(_on_white(image), formats=only_qr, try_rotate=False)
    except (binascii.Error, OSError, SyntaxError) as error:
        message = "expected a PNG as a data URL, or the code itself"
        raise UnreadablePicture(message) from error
    if found is None or not found.text:
        message = "there is no QR code in the picture"
        raise UnreadablePicture(message)
    return found.text


def _on_white(image: Image.Image) -> Image.Image:
    # A transparent background would turn black, and hide the code.
    layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layered).convert("L")
