"""The wire codec against the encodings that the format's own documentation gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import protobuf
from .protobuf import Fields, MalformedMessage


@pytest.mark.parametrize(
    ("fields", "encoded"),
    [
        ([(1, 150)], "089601"),
        ([(2, "testing")], "120774657374696e67"),
        ([(3, protobuf.encode((1, 150)))], "1a03089601"),
        ([(1, 0), (16, 1)], "0800800101"),
        ([(1, None), (2, b"")], "1200"),
    ],
)
def test_known_messages_are_encoded_as_documented(
    fields: list[tuple[int, int | bytes | str | None]], encoded: str
) -> None:
    assert protobuf.encode(*fields).hex() == encoded


def test_fields_of_all_wire_types_are_read() -> None:
    fields = Fields(bytes.fromhex("089601 1203616263 190102030405060708 2501020304 089601"))
    assert fields.integer(1) == 150
    assert fields.data(2) == b"abc"
    assert fields.data(3) == bytes(range(1, 9))
    assert fields.data(4) == bytes(range(1, 5))
    assert sorted(fields) == [1, 2, 3, 4]
    assert 5 not in fields


@given(number=st.integers(0, 2**64 - 1), data=st.binary())
def test_what_is_encoded_is_read_again(number: int, data: bytes) -> None:
    inner = protobuf.encode((1, number))
    fields = Fields(protobuf.encode((1, number), (2, data), (1000, inner)))
    assert fields.integer(1) == number
    assert fields.data(2) == data
    assert fields.message(1000).integer(1) == number


@pytest.mark.parametrize("encoded", ["08", "0896", "1205616263", "0b", "19010203"])
def test_a_cut_or_foreign_message_is_refused(encoded: str) -> None:
    with pytest.raises(MalformedMessage):
        Fields(bytes.fromhex(encoded))


def test_a_missing_field_is_refused_unless_it_has_a_default() -> None:
    fields = Fields(b"")
    assert fields.integer(1, 7) == 7
    with pytest.raises(MalformedMessage, match="field 1"):
        fields.integer(1)
    with pytest.raises(MalformedMessage, match="field 2"):
        fields.data(2)
