"""HKDF against the vectors of RFC 5869 and against another implementation."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from .hkdf import hkdf


def test_vector_a_1_with_salt_and_info() -> None:
    okm = hkdf(
        b"\x0b" * 22,
        salt=bytes(range(13)),
        info=bytes(range(0xF0, 0xFA)),
        size=42,
    )
    assert okm.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


def test_vector_a_3_without_salt_and_info() -> None:
    okm = hkdf(b"\x0b" * 22, size=42)
    assert okm.hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


@given(
    secret=st.binary(), salt=st.binary(min_size=1), info=st.binary(), size=st.integers(1, 255 * 32)
)
def test_any_input_gives_what_another_implementation_gives(
    secret: bytes, salt: bytes, info: bytes, size: int
) -> None:
    expected = HKDF(SHA256(), size, salt, info).derive(secret)
    assert hkdf(secret, salt=salt, info=info, size=size) == expected
