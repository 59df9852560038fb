"""Takes out of a text what must not be read by whoever reads logs."""

import re

_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), replacement)
    for pattern, replacement in (
        (r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+", "[image]"),
        # WhatsApp's QR code: the link of today's versions, and the bare list of older ones.
        (r"https?://wa\.me/settings/linked_devices#[^\s\"'<>]+", "[qr code]"),
        (r"\b2@[A-Za-z0-9+/=,_-]{20,}", "[qr code]"),
        (r"(?i)\bbearer\s+[^\s\"',}]+", "Bearer [token]"),
        (r"\beyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){1,4}", "[token]"),
        (r"(?i)([?&;](?:access_)?token=)[^&\s\"'#]+", r"\1[token]"),
        (
            r"(?i)(\b(?:token|secret|password|pairing_?code|(?:\w{1,40}_)?api[_-]?key)\b[\"']?"
            r"\s*[:=]\s*[\"']?)[^\s\"',;&}]+",
            r"\1[hidden]",
        ),
        (r"(?<=://)([^/\s:@]*):[^/\s@]+@", r"\1:[hidden]@"),
        # A pairing code: four and four, without the letters that could be misread.
        (r"\b(?=[0-9-]*[A-Z])[0-9A-Z]{4}-[0-9A-Z]{4}\b", "[pairing code]"),
        # Numbers of people: sessions are named after them, and JIDs contain them.
        (r"\+\d{5,13}(\d{2})\b", r"+…\1"),
        (r"\b\d{5,18}(\d{2})(?=(?:[.:]\d+)*@(?:s\.whatsapp\.net|lid|c\.us|hosted))", r"…\1"),
        # What SQLAlchemy and Pydantic put into messages: stored bodies, and whatever came in.
        (r"\[parameters: .*?\](?=\n|$)", "[parameters hidden]"),
        (r"input_value=.*?(, input_type=)", r"input_value=[hidden]\1"),
    )
)


def redacted(text: str) -> str:
    """Return a text without tokens, passwords, QR and pairing codes, images and phone numbers."""
    # A lone surrogate, as JSON can carry, would make the line impossible to write.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
