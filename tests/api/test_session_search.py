"""Sessions are found by what a back end calls them, on either database, whoever else is there."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api import chatbots, client_numbers
from sessions.ids import SessionName, TenantId
from sessions.session import NewSession, SessionChanges
from tests.sessions.house import TENANT, House, running_house

SESSIONS: dict[str, dict[str, Any]] = {
    "of-six": {"numberId": 6, "note": "U+0000 is \0, which one database reads no member beside"},
    "of-seven": {"numberId": "7"},
    "of-eight": {"numberId": "008", "name": "Éléonore 🦜"},
    "of-sixty": {"numberId": 60},
    "of-none": {"numberId": True, "chatbotId": None},
    "of-no-number": {"numberId": 1.0, "inner": {"numberId": 4, "chatbotId": "inner"}},
    "session_0009_x": {},
    "session_10_x": {"numberId": 11},
    "of-a-bot": {"chatbotId": 'bot "7" of Zoë %_'},
    "of-bot-42": {"chatbotId": 42},
    "chatbot_43": {},
}
NUMBERS = {
    6: "of-six",
    7: "of-seven",
    8: "of-eight",
    60: "of-sixty",
    9: "session_0009_x",
    10: "session_10_x",
    **dict.fromkeys((0, 1, 4, 11, 600, 10**17)),
}
CHATBOTS = {
    'bot "7" of Zoë %_': "of-a-bot",
    "42": "of-bot-42",
    "43": "chatbot_43",
    **dict.fromkeys(("4", "bot", "inner", "True", "%")),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Return where a database of each kind is; None: in the test's own directory."""
    if request.param == "sqlite":
        return None
    address: str = request.getfixturevalue("postgres_copy")
    return address


@pytest.fixture
async def house(tmp_path: Path, url: str | None) -> AsyncIterator[House]:
    """A tenant with all these sessions, and another one with sessions of the same numbers."""
    async with running_house(tmp_path, url=url) as running:
        for name, metadata in SESSIONS.items():
            await create(running, name, metadata)
        for name, metadata in (("a", {"numberId": 600}), ("b", {"chatbotId": "4"})):
            await create(running, name, metadata, tenant=TenantId("others"))
        yield running


async def create(
    house: House, name: str, metadata: dict[str, Any], *, tenant: TenantId = TENANT
) -> None:
    """Make a session."""
    new = NewSession(session_id=SessionName(name), metadata=metadata)
    await house.manager.create(tenant, new)


async def of_number(house: House, number: int, only: frozenset[str] | None = None) -> str | None:
    """Return what the session of a number is called."""
    found = await client_numbers.find(house.manager, TENANT, number, only=only)
    return None if found is None else found.session_id


async def of_chatbot(house: House, chatbot: str, only: frozenset[str] | None = None) -> str | None:
    """Return what the session of a chatbot is called."""
    found = await chatbots.find(house.manager, TENANT, chatbot, only=only)
    return None if found is None else found.session_id


async def test_each_number_and_chatbot_has_its_session_and_no_others(house: House) -> None:
    assert {number: await of_number(house, number) for number in NUMBERS} == NUMBERS
    assert {chatbot: await of_chatbot(house, chatbot) for chatbot in CHATBOTS} == CHATBOTS


async def test_a_token_finds_only_its_own_and_names_count_before_metadata(house: House) -> None:
    await create(house, "session_6_x", {})
    await create(house, "chatbot_42", {})
    assert (await of_number(house, 6), await of_chatbot(house, "42")) == (
        "session_6_x",
        "chatbot_42",
    )
    only = frozenset({"of-six", "of-bot-42"})
    assert (await of_number(house, 6, only), await of_chatbot(house, "42", only)) == (
        "of-six",
        "of-bot-42",
    )
    assert await of_number(house, 7, only) is None


async def test_of_several_the_active_one_counts_else_the_newest(house: House) -> None:
    await create(house, "newer", {"numberId": 6})
    assert await of_number(house, 6) == "newer"

    await house.manager.activate(TENANT, "of-six")

    assert await of_number(house, 6) == "of-six"


async def test_what_changes_is_found_at_once(house: House) -> None:
    await house.manager.update(TENANT, "of-six", SessionChanges(metadata={"numberId": 5}))
    assert (await of_number(house, 6), await of_number(house, 5)) == (None, "of-six")
    await house.manager.delete(TENANT, "of-six")
    assert await of_number(house, 5) is None


async def test_a_session_is_not_missed_while_another_is_deleted(house: House) -> None:
    """Read in slices of 200, the first one of the second slice would move into the first."""
    for number in range(210):
        await create(house, f"more-{number}", {"numberId": 1000 + number})
    for deleted in range(20):
        edge = 200 - len(SESSIONS) + deleted
        found, _ = await asyncio.gather(
            of_number(house, 1000 + edge), house.manager.delete(TENANT, f"more-{deleted}")
        )
        assert found == f"more-{edge}"
