"""Protocol-buffer wire codec, as much as the dozen messages of the protocol need."""

from collections.abc import Iterator

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
FIXED_SIZES_BYTES = {FIXED64: 8, FIXED32: 4}

Value = int | bytes


class MalformedMessage(ValueError):
    """The bytes are not the protocol-buffer message that was expected."""


def encode_varint(number: int) -> bytes:
    """Base-128 little-endian form of a number that is not negative."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode(*fields: tuple[int, int | bytes | str | None]) -> bytes:
    """Encode (field number, value) pairs in order; a value of None leaves the field out."""
    out = bytearray()
    for number, value in fields:
        match value:
            case None:
                continue
            case int():
                out += encode_varint(number << 3 | VARINT) + encode_varint(int(value))
            case _:
                data = value.encode() if isinstance(value, str) else value
                out += encode_varint(number << 3 | LENGTH_DELIMITED)
                out += encode_varint(len(data)) + data
    return bytes(out)


class Fields:
    """A decoded message: the values of each field, in the order of the wire."""

    def __init__(self, data: bytes) -> None:
        self._values: dict[int, list[Value]] = {}
        for number, value in _fields(data):
            self._values.setdefault(number, []).append(value)

    def __contains__(self, number: int) -> bool:
        return number in self._values

    def __iter__(self) -> Iterator[int]:
        return iter(self._values)

    def data(self, number: int) -> bytes:
        """First value of a length-delimited field."""
        value = self._first(number)
        if not isinstance(value, bytes):
            raise MalformedMessage(f"field {number} is missing or not length-delimited")
        return value

    def integer(self, number: int, default: int | None = None) -> int:
        """First value of a varint field, or the default."""
        value = self._first(number)
        if value is None and default is not None:
            return default
        if not isinstance(value, int):
            raise MalformedMessage(f"field {number} is missing or not a varint")
        return value

    def message(self, number: int) -> "Fields":
        """First value of a field that is a message itself."""
        return Fields(self.data(number))

    def _first(self, number: int) -> Value | None:
        values = self._values.get(number)
        return values[0] if values else None


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire_type == LENGTH_DELIMITED:
            size, position = _varint(data, position)
        else:
            size = _fixed_size(wire_type)
        if position + size > len(data):
            raise MalformedMessage("a field ends behind the message")
        yield number, data[position : position + size]
        position += size


def _fixed_size(wire_type: int) -> int:
    if wire_type not in FIXED_SIZES_BYTES:
        raise MalformedMessage(f"unknown wire type {wire_type}")
    return FIXED_SIZES_BYTES[wire_type]


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while position < len(data):
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    raise MalformedMessage("a varint ends behind the message")
