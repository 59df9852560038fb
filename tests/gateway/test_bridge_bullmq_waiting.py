"""Jobs of a full session keep their turns; one that never comes again costs the others a while."""

import pytest

from gateway.bridge_bullmq_waiting import Waiting


class Hands:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


@pytest.fixture
def hands() -> Hands:
    """Return the clock."""
    return Hands()


@pytest.fixture
def waiting(hands: Hands) -> Waiting:
    """Return jobs a, b and c of one session, of which all wait."""
    found = Waiting(pause_seconds=15, now=hands)
    for job in "abc":
        found.add("one", job)
    return found


def test_the_first_goes_first_and_the_others_come_right_behind_it(
    hands: Hands, waiting: Waiting
) -> None:
    hands.seconds += 15
    assert not waiting.is_first("one", "b")
    assert waiting.is_first("one", "a")
    pauses = [waiting.add("one", job) for job in "abc"]
    assert pauses == pytest.approx([15, 15.001, 15.002])

    waiting.remove("a")
    assert waiting.is_first("one", "b")
    assert not waiting.is_first("one", "c")
    assert not waiting.is_first("one", "new")
    assert waiting.is_first("another", "new")


def test_a_job_that_was_removed_is_waited_for_a_minute_and_not_asked_for_all_the_time(
    hands: Hands, waiting: Waiting
) -> None:
    hands.seconds += 16
    assert not waiting.is_first("one", "b")
    assert [waiting.add("one", job) for job in "bc"] == pytest.approx([1, 1.001])

    hands.seconds += 60
    assert waiting.is_first("one", "b")


def test_nothing_is_kept_of_what_waits_no_more(hands: Hands, waiting: Waiting) -> None:
    for job in "abc":
        waiting.remove(job)
    waiting.remove("never heard of")
    hands.seconds += 1000
    assert waiting.is_first("one", "new")
    assert waiting.add("one", "new") == 15
