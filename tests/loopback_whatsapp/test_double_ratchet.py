"""Sessions between two of our devices; that they are Signal's is proved by the real library."""

import random
from itertools import permutations

import pytest

from .double_ratchet import ReadBefore, Undecryptable
from .sender_key import SenderKey
from .signal_device import SignalDevice, pad, unpad

ALICE, BOB = "alice", "bob"


def met() -> tuple[SignalDevice, SignalDevice]:
    """Two devices of which the first has begun a session with the second."""
    alice, bob = SignalDevice(), SignalDevice()
    alice.begin_session(BOB, bob.publish())
    return alice, bob


def test_messages_are_prekey_messages_until_the_other_side_has_answered() -> None:
    alice, bob = met()
    for text in (b"one", b"two"):
        kind, ciphertext = alice.encrypt(BOB, text)
        assert kind == "pkmsg"
        assert bob.decrypt(ALICE, kind, ciphertext) == text
    kind, ciphertext = bob.encrypt(ALICE, b"answer")
    assert kind == "msg"
    assert alice.decrypt(BOB, kind, ciphertext) == b"answer"
    assert alice.encrypt(BOB, b"three")[0] == "msg"


def test_a_session_without_a_one_time_prekey_works() -> None:
    alice, bob = SignalDevice(), SignalDevice()
    bundle = bob.publish()
    spent = type(bundle)(*(getattr(bundle, name) for name in list(bundle.__slots__)[:5]))
    alice.begin_session(BOB, spent)
    assert bob.decrypt(ALICE, *alice.encrypt(BOB, b"hello")) == b"hello"


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_messages_are_read_in_any_order(order: tuple[int, ...]) -> None:
    alice, bob = met()
    bob.decrypt(ALICE, *alice.encrypt(BOB, b"first"))
    alice.decrypt(BOB, *bob.encrypt(ALICE, b"answer"))
    sent = [alice.encrypt(BOB, bytes([n])) for n in range(4)]
    assert [bob.decrypt(ALICE, *sent[n]) for n in order] == [bytes([n]) for n in order]


def test_a_message_of_an_old_ratchet_step_is_still_read() -> None:
    alice, bob = met()
    late = alice.encrypt(BOB, b"late")
    bob.decrypt(ALICE, *alice.encrypt(BOB, b"first"))
    alice.decrypt(BOB, *bob.encrypt(ALICE, b"answer"))
    bob.decrypt(ALICE, *alice.encrypt(BOB, b"second"))
    assert bob.decrypt(ALICE, *late) == b"late"


def test_a_long_random_conversation_is_read_by_both() -> None:
    alice, bob = met()
    bob.decrypt(ALICE, *alice.encrypt(BOB, b"hello"))
    chance = random.Random(0)  # noqa: S311  # it only chooses who speaks
    for number in range(200):
        sender, receiver = (alice, bob) if chance.random() < 0.5 else (bob, alice)
        names = (BOB, ALICE) if sender is alice else (ALICE, BOB)
        text = str(number).encode()
        assert receiver.decrypt(names[1], *sender.encrypt(names[0], text)) == text


def test_a_message_is_read_only_once() -> None:
    alice, bob = met()
    message = alice.encrypt(BOB, b"hello")
    bob.decrypt(ALICE, *message)
    with pytest.raises(ReadBefore):
        bob.decrypt(ALICE, *message)
    alice.decrypt(BOB, *bob.encrypt(ALICE, b"answer"))
    message = alice.encrypt(BOB, b"in the session that both know")
    bob.decrypt(ALICE, *message)
    with pytest.raises(ReadBefore):
        bob.decrypt(ALICE, *message)


def test_a_changed_message_is_refused_and_leaves_the_session_whole() -> None:
    alice, bob = met()
    bob.decrypt(ALICE, *alice.encrypt(BOB, b"hello"))
    alice.decrypt(BOB, *bob.encrypt(ALICE, b"answer"))
    kind, ciphertext = alice.encrypt(BOB, b"true")
    with pytest.raises(Undecryptable):
        bob.decrypt(ALICE, kind, ciphertext[:-1] + bytes([ciphertext[-1] ^ 1]))
    assert bob.decrypt(ALICE, kind, ciphertext) == b"true"


def test_both_sides_may_begin_a_session_at_once() -> None:
    alice, bob = met()
    bob.begin_session(ALICE, alice.publish())
    crossing = alice.encrypt(BOB, b"to bob"), bob.encrypt(ALICE, b"to alice")
    assert bob.decrypt(ALICE, *crossing[0]) == b"to bob"
    assert alice.decrypt(BOB, *crossing[1]) == b"to alice"
    assert bob.decrypt(ALICE, *alice.encrypt(BOB, b"again")) == b"again"


def test_a_group_reads_what_a_sender_key_writes() -> None:
    own = SenderKey.generate()
    own.encrypt(b"before anybody listens")
    listener = SenderKey.from_distribution(own.distribution())
    lost = own.encrypt(b"lost")
    assert lost != own.encrypt(b"lost")
    assert listener.decrypt(own.encrypt(b"hello")) == b"hello"
    with pytest.raises(Undecryptable):
        listener.decrypt(SenderKey.generate().encrypt(b"forged"))


def test_padding_hides_the_length_and_is_taken_off() -> None:
    lengths = {len(pad(b"text")) for _ in range(200)}
    assert len(lengths) > 5
    assert unpad(pad(b"text")) == b"text"
