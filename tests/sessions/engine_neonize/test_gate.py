"""Calls and changes of the library's maps never overlap as a call begins."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sessions.engine_neonize_gate import SETTLED_SECONDS, Gate


def test_calls_run_together() -> None:
    gate, together = Gate(), threading.Barrier(2, timeout=5)

    _in_threads(*[lambda: _call(gate, together.wait)] * 2)


def test_a_change_waits_for_a_call_that_just_began() -> None:
    gate, order = Gate(), list[str]()
    began = threading.Event()

    def call() -> None:
        began.set()
        time.sleep(SETTLED_SECONDS / 4)
        order.append("called")

    def change() -> None:
        began.wait(5)
        with gate.changing():
            order.append("changed")

    _in_threads(lambda: _call(gate, call), change)

    assert order == ["called", "changed"]


def test_a_change_does_not_wait_for_a_call_that_began_long_ago() -> None:
    gate, changed = Gate(), threading.Event()
    began = threading.Event()

    def call() -> None:
        began.set()
        assert changed.wait(5)

    def change() -> None:
        began.wait(5)
        with gate.changing():
            changed.set()

    _in_threads(lambda: _call(gate, call), change)


def test_a_call_waits_for_a_change() -> None:
    gate, order = Gate(), list[str]()
    changing = threading.Event()

    def change() -> None:
        with gate.changing():
            changing.set()
            time.sleep(0.1)
            order.append("changed")

    def call() -> None:
        changing.wait(5)
        _call(gate, lambda: order.append("called"))

    _in_threads(change, call)

    assert order == ["changed", "called"]


def _call(gate: Gate, work: Callable[[], object]) -> None:
    with gate.calling():
        work()


def _in_threads(*works: Callable[[], object]) -> None:
    with ThreadPoolExecutor(len(works)) as threads:
        for running in [threads.submit(work) for work in works]:
            running.result(timeout=10)
