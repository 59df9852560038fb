"""Which addresses a webhook may lead to: a table, an entry for each kind that there is."""

import pytest

from gateway.webhook_addresses import is_public

PUBLIC = (
    "1.1.1.1", "93.184.215.14", "172.32.0.1", "192.0.1.1", "192.88.98.1", "223.255.255.1",
    "2001:200::1", "2001:4860:4860::8888", "2606:2800:21f:cb07:6820:80da:af6b:8b2c",
    "2a00:1450::1", "::ffff:8.8.8.8",
)  # fmt: skip
NEARER = {
    "this network": ("0.0.0.0", "0.0.0.7"),  # noqa: S104 - it is refused
    "loopback": ("127.0.0.1", "127.255.0.1", "::1"),
    "private": ("10.0.0.1", "172.16.0.1", "172.31.255.1", "192.168.0.1", "fc00::1", "fd00::1"),
    "shared by carriers": ("100.64.0.1", "100.127.255.1"),
    "link-local": ("169.254.169.254", "fe80::1", "fe80::1%eth0"),
    "site-local of the past": ("fec0::1", "feff::1"),
    "protocol assignments": ("192.0.0.1", "192.0.0.9", "192.0.0.170", "2001:1::1", "2001:20::1"),
    "documentation": ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"),
    "benchmarks": ("198.18.0.1", "2001:2::1"),
    "multicast": ("224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"),
    "reserved": ("240.0.0.1", "255.255.255.255", "4000::1", "e000::1"),
    "unspecified": ("::",),
    "discarded": ("100::1",),
    "segment routing": ("5f00::1",),
    "test network of the past": ("3ffe::1",),
    "mapped": ("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
    "compatible": ("::7f00:1", "::127.0.0.1", "::8.8.8.8"),
    "translated": (
        "::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1",
        "64:ff9b::808:808",
    ),
    "tunnelled": ("2002:7f00:1::", "2002:808:808::1", "2001:0:1::", "192.88.99.1"),
}  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_open_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("kind", NEARER)
def test_nothing_nearer_is_public(kind: str) -> None:
    assert [address for address in NEARER[kind] if is_public(address)] == []


@pytest.mark.parametrize("text", ["", "example.com", "127.1", "1.2.3.4.5", "[::1]"])
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear"):
        is_public(text)
