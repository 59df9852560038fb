"""The documents of the Socket.IO edge: whole, committed, and true to the models."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from gateway.asyncapi import document
from gateway.event_examples import EXAMPLES
from gateway.event_payloads import PAYLOADS
from sessions.events import TRANSIENT_TYPES, EventType

DOCS = Path(__file__).resolve().parents[2] / "docs"
# The last is for bridges: a client is told of a gap by its own `recovered: false`.
INTERNAL = {EventType.SESSION_DELETED, EventType.EVENTS_GAP}


def references(node: Any) -> Iterator[str]:
    match node:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for value in node.values():
                yield from references(value)
        case list():
            for value in node:
                yield from references(value)


def test_the_committed_document_is_what_the_models_say() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "gateway.asyncapi"], capture_output=True, check=True, timeout=30
    )
    assert printed.stdout.decode() == (DOCS / "asyncapi.json").read_text()


def test_every_event_of_a_session_is_documented() -> None:
    assert set(EventType) - INTERNAL <= PAYLOADS.keys()
    assert PAYLOADS.keys() == EXAMPLES.keys()


def test_every_reference_leads_somewhere() -> None:
    whole = document()
    for reference in references(whole):
        node = whole
        for key in reference.removeprefix("#/").split("/"):
            node = node[key]
        assert node


@pytest.mark.parametrize("name", PAYLOADS)
def test_the_example_of_each_event_fits_its_schema(name: str) -> None:
    whole = document()
    schema = {
        **whole["components"]["messages"][name.replace(":", ".")]["payload"],
        "components": whole["components"],
    }
    jsonschema_rs.validator_for(schema).validate(EXAMPLES[name])
    PAYLOADS[name].model_validate(EXAMPLES[name])


@pytest.mark.parametrize("name", set(EventType) - INTERNAL)
def test_durable_events_have_a_position_and_transient_ones_have_none(name: EventType) -> None:
    assert ("seq" in PAYLOADS[name].model_fields) is (name not in TRANSIENT_TYPES)


def test_the_page_shows_every_event_with_its_example() -> None:
    page = (DOCS / "events.md").read_text()
    shown = re.findall(r"^### `([^`]+)`\n\n.*?```json\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    assert {name: json.loads(example) for name, example in shown} == EXAMPLES
