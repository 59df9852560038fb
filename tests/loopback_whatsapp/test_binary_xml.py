"""Binary XML against encodings known from real streams, and against itself."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import binary_xml
from .node import SERVER, Attribute, Jid, MalformedStanza, Node

PING = Node("iq", {"to": SERVER, "type": "get", "xmlns": "w:p"})


@pytest.mark.parametrize(
    ("node", "encoded"),
    [
        (Node("xmlstreamend"), "00f80102"),
        (Node("iq", {"to": SERVER}), "00f8031911fa0003"),
        (Node("ack", {"from": Jid("1", "lid", 2)}), "00f8031b06f7010255"),
        (Node("enc", {}, b"\x01\x02"), "00f8021dfc020102"),
        (Node("iq", {}, [Node("message")]), "00f80219f801f80113"),
        (Node("iq", {}, []), "00f8021900"),
        (Node("iq", {"id": None}), "00f80119"),
    ],
)
def test_a_stanza_is_encoded_as_clients_expect(node: Node, encoded: str) -> None:
    assert binary_xml.encode(node).hex() == encoded


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        ("00f80319 08 ff831 2345f", "12345"),
        ("00f80319 08 ff02 1a2b", "1-2."),
        ("00f80319 08 fb82 abcf", "ABC"),
        ("00f80319 08 fb02 abcd", "ABCD"),
        ("00f80319 08 fc03 616263", "abc"),
        ("00f80319 08 fd000003 616263", "abc"),
        ("00f80319 08 fe00000003 616263", "abc"),
        ("00f90003 1908 fc03 616263", "abc"),
    ],
)
def test_all_forms_of_text_and_lists_are_read(encoded: str, text: str) -> None:
    node = binary_xml.decode(bytes.fromhex(encoded.replace(" ", "")))
    assert (node.tag, node.text("id")) == ("iq", text)


def test_a_compressed_stanza_is_read() -> None:
    plain = binary_xml.encode(PING)
    assert binary_xml.decode(b"\x02" + zlib.compress(plain[1:])) == PING


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_536, 1 << 20])
def test_content_of_any_size_is_read_again(size: int) -> None:
    node = Node("enc", {}, bytes(size))
    assert binary_xml.decode(binary_xml.encode(node)) == node


def test_the_dictionaries_are_complete_and_shorten_tokens() -> None:
    assert (len(binary_xml.SINGLE), [len(page) for page in binary_xml.DOUBLE]) == (236, [256] * 4)
    for page in [binary_xml.SINGLE[1:], *binary_xml.DOUBLE]:
        for token in page:
            encoded = binary_xml.encode(Node(token))
            assert len(encoded) <= 5
            assert binary_xml.decode(encoded).tag == token


@pytest.mark.parametrize("encoded", ["00", "00f8", "00f802", "00f803190", "00f80119"[:-2], "0001"])
def test_a_cut_stanza_is_refused(encoded: str) -> None:
    with pytest.raises(MalformedStanza):
        binary_xml.decode(bytes.fromhex(encoded[: len(encoded) // 2 * 2]))


texts = st.text(min_size=1, max_size=300)
jids = st.builds(
    Jid, st.text("0123456789", min_size=1), st.sampled_from(["s.whatsapp.net", "lid"])
) | st.builds(
    Jid,
    st.text("0123456789", min_size=1),
    st.sampled_from(["s.whatsapp.net", "lid"]),
    st.integers(1, 255),
)
attributes: st.SearchStrategy[dict[str, Attribute]] = st.dictionaries(texts, texts | jids)
nodes = st.recursive(
    st.builds(Node, texts, attributes, st.none() | st.binary()),
    lambda children: st.builds(
        Node, texts, attributes, st.lists(children, min_size=1, max_size=300)
    ),
    max_leaves=10,
)


@given(nodes)
def test_what_is_encoded_is_read_again(node: Node) -> None:
    assert binary_xml.decode(binary_xml.encode(node)) == node
