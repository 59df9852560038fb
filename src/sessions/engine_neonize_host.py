"""The inside of a neonize worker process: works on the server's requests until it is gone.

The main thread reads requests; each is worked on in a thread of a pool, as most of them wait. Every
thread writes its frames under one lock to a blocking socket, so a stalled server holds WhatsApp
back. The process always ends by `os._exit`: clients that were never paired stay in Go for ever and
would keep the interpreter.
"""

import contextlib
import logging
import os
import resource
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from neonize.exc import (
    MarkReadError,
    NeonizeError,
    PairPhoneError,
    SendMessageError,
    SendPresenceError,
)

from sessions.engine_neonize_binding import NotRunning
from sessions.engine_neonize_client import Client
from sessions.engine_neonize_frames import (
    NOTICE,
    REQUEST,
    Acknowledge,
    Answer,
    CloseLine,
    Command,
    Load,
    LogOut,
    MarkRead,
    Measure,
    Notice,
    OpenLine,
    PairPhone,
    Ready,
    Request,
    SendText,
    ShowPresence,
    ShowTyping,
)
from sessions.engine_neonize_gate import Gate
from sessions.engine_neonize_line import Line, StoreInUse
from sessions.engine_neonize_presence import mark_read, show_presence, show_typing
from sessions.engine_neonize_sending import meaning, send
from sessions.frames import pack, receive_frame

MAX_THREADS = 160
LAST_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Host:
    """Hosts the clients of one worker process."""

    def __init__(self, connection: socket.socket, *, acknowledge_seconds: float) -> None:
        self._connection = connection
        self._acknowledge_seconds = acknowledge_seconds
        self._writing = threading.Lock()
        self._threads = ThreadPoolExecutor(MAX_THREADS)
        self._gate = Gate()
        self._starts = 0
        self._stuck = 0
        self._lines: dict[int, Line] = {}

    def serve(self) -> None:
        """Read requests until the server closes its end."""
        self._write(Ready())
        while (body := receive_frame(self._connection)) is not None:
            request = REQUEST.validate_json(body)
            if isinstance(request, OpenLine):
                # Here, so that a close right behind it finds the line.
                self._lines[request.line] = self._make_line(request)
            if not isinstance(request, Acknowledge):
                self._threads.submit(self._answer, request)
            elif line := self._lines.get(request.line):
                line.acknowledge(request.sequence)

    def part(self) -> None:
        """Leave WhatsApp with every client, keep what the server did not take, end the process."""
        watchdog = threading.Timer(LAST_SECONDS, os._exit, args=(1,))
        watchdog.daemon = True
        watchdog.start()
        lines = list(self._lines.values())
        for line in lines:
            line.keep()
        for line in lines:
            line.client.disconnect()
        for line in lines:
            line.client.wait_until_quiet(LAST_SECONDS)
            line.keep_rest()
        os._exit(0)

    def _write(self, notice: Notice) -> None:
        data = pack(NOTICE.dump_json(notice))
        # A server that is gone is noticed by the reading thread, which ends the process.
        with self._writing, contextlib.suppress(ConnectionError):
            self._connection.sendall(data)

    def _answer(self, request: Request) -> None:
        call = request.call
        try:
            answer = self._work(request)
        except NotRunning:
            answer = Answer(call=call, failure="not_connected", detail="there is no client")
        except (SendMessageError, MarkReadError, SendPresenceError) as error:
            answer = Answer(call=call, failure=meaning(str(error)), detail=str(error))
        except (PairPhoneError, StoreInUse) as error:
            answer = Answer(call=call, failure="refused", detail=str(error))
        except NeonizeError as error:
            answer = Answer(call=call, failure="not_connected", detail=str(error))
        except Exception as error:  # noqa: BLE001 - the server must get an answer to every call
            _log.exception("%s failed", request.op)
            answer = Answer(call=call, failure="broken", detail=type(error).__name__)
        self._write(answer.model_copy(update={"call": call}))

    def _work(self, request: Request) -> Answer:
        match request:
            case OpenLine():
                self._line(request.line).open()
                return Answer(call=0, load=self._load())
            case CloseLine():
                self._close(request)
                return Answer(call=0, load=self._load())
            case Measure():
                return Answer(call=0, load=self._load())
            case Acknowledge():
                return Answer(call=0)
        return _command(self._line(request.line).client, request)

    def _make_line(self, request: OpenLine) -> Line:
        self._starts += 1
        return Line(
            request.line,
            Path(request.store),
            pairing=request.pairing,
            gate=self._gate,
            send=self._write,
            acknowledge_seconds=self._acknowledge_seconds,
        )

    def _close(self, request: CloseLine) -> None:
        # Found until it is closed: a second close tells that nobody listens to the first any more.
        if line := self._lines.get(request.line):
            line.close(keep=request.keep)
            if self._lines.pop(request.line, None):
                self._stuck += line.client.stuck

    def _line(self, number: int) -> Line:
        line = self._lines.get(number)
        if line is None:
            raise NotRunning
        return line

    def _load(self) -> Load:
        quiet = {number: line.quiet_seconds for number, line in self._lines.items()}
        descriptors = _descriptors()
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return Load(
            descriptors=descriptors,
            descriptors_left=limit - descriptors,
            starts=self._starts,
            stuck=self._stuck,
            quiet_seconds=quiet,
        )


def _command(client: Client, request: Command) -> Answer:
    match request:
        case SendText(message=message):
            return Answer(call=0, sent=send(client, message))
        case PairPhone(phone=phone):
            code, ends_at_ms = client.pairing_code(phone)
            return Answer(call=0, code=code, code_ends_at_ms=ends_at_ms)
        case LogOut():
            client.logout()
        case MarkRead(chat=chat, sender=sender, whatsapp_ids=ids):
            mark_read(client, chat, sender, ids)
        case ShowPresence(available=available):
            show_presence(client, available=available)
        case ShowTyping(chat=chat, state=state):
            show_typing(client, chat, state)
    return Answer(call=0)


def _descriptors() -> int:
    directory = Path("/proc/self/fd")
    return sum(1 for _ in directory.iterdir()) if directory.is_dir() else 0
