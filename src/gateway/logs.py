"""Structured logs: JSON lines or readable text, fields by an allow-list, and no secret in either.

Everything passes through one handler's formatter, third parties' lines and exceptions too, so that
what nobody thought of is redacted at the last moment before it is written.
"""

import logging
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import orjson

from gateway.redaction import redacted

LogFormat = Literal["json", "text"]

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The HTTP request or Socket.IO event being answered; each line written meanwhile carries it."""

FIELDS = frozenset(
    {
        "address",
        "attempt",
        "bytes",
        "cause",
        "client",
        "code",
        "count",
        "duration_ms",
        "engine",
        "error",
        "event",
        "event_type",
        "exit_code",
        "generation",
        "limit",
        "message_id",
        "method",
        "path",
        "pid",
        "previous",
        "reason",
        "remaining",
        "request_id",
        "retry_seconds",
        "route",
        "seconds",
        "seq",
        "service",
        "session",
        "signal",
        "status",
        "subject",
        "tenant",
        "topic",
        "units",
        "url",
        "version",
        "worker",
    }
)
"""What `extra` may carry. Anything else is dropped: a field that nobody vetted may be a secret."""

_OURS = ("gateway", "api", "auth", "sessions")
# Below WARNING these write payloads: emitted events, SQL parameters, URLs with tokens in them.
_TALKATIVE = ("socketio", "engineio", "sqlalchemy", "aiosqlite", "asyncio", "httpx", "httpcore")


def configure_logs(level: str, log_format: LogFormat | None, stream: TextIO | None = None) -> None:
    """Send all logs to `stream` (default: stderr) in one form; without one, text on a terminal.

    `level` is for our own lines; third parties speak from WARNING on, uvicorn from INFO on. Start
    uvicorn with `log_config=None`, or it installs handlers of its own.
    """
    target = stream or sys.stderr
    chosen = log_format or ("text" if target.isatty() else "json")
    handler = logging.StreamHandler(target)
    handler.setFormatter(JsonFormatter() if chosen == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in (*_OURS, "uvicorn", "uvicorn.error", "uvicorn.access", *_TALKATIVE):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(_level_of(name, level.upper()))
    logging.captureWarnings(capture=True)
    # A line that can't be written must not print its raw arguments to stderr instead.
    logging.raiseExceptions = False


def _level_of(name: str, level: str) -> int:
    if name in _OURS:
        return logging.getLevelNamesMapping()[level]
    return logging.WARNING if name in _TALKATIVE else logging.INFO


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, the fields, and `exc`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **_fields(record),
        }
        if (exc := _exception(record)) is not None:
            line["exc"] = exc
        return orjson.dumps(line, default=str).decode()


class TextFormatter(logging.Formatter):
    """One line for a person: time, level, logger, message, fields as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        fields = "".join(f" {name}={_bare(value)}" for name, value in _fields(record).items())
        exc = _exception(record)
        if exc is not None:
            steps = (step.strip() for step in exc.splitlines())
            fields += f" exc={_bare(' | '.join(step for step in steps if step))}"
        head = f"{_time(record)[11:23]} {record.levelname.lower():<7} {record.name}:"
        return f"{head} {_one_line(_message(record))}{fields}"


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    if record.name == "uvicorn.access":
        return redacted(_access_line(record))
    try:
        return redacted(record.getMessage())
    except (TypeError, ValueError, KeyError):
        return redacted(str(record.msg))


def _access_line(record: logging.LogRecord) -> str:
    # Without the query string: it is where clients put tokens and cursors.
    match record.args:
        case (client, method, str(path), version, status):
            return f'{client} "{method} {path.partition("?")[0]} HTTP/{version}" {status}'
    return str(record.msg)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    given: Mapping[str, Any] = record.__dict__
    fields = {name: _safe(given[name]) for name in sorted(FIELDS) if name in given}
    if (current := request_id.get()) is not None:
        fields.setdefault("request_id", redacted(current))
    return fields


def _safe(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return redacted(str(value))


def _exception(record: logging.LogRecord) -> str | None:
    if not record.exc_info or record.exc_info[0] is None:
        return None
    return redacted("".join(traceback.format_exception(*record.exc_info)).rstrip())


def _one_line(text: str) -> str:
    """Escape what would break or forge lines, or drive the terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _bare(value: object) -> str:
    text = _one_line(str(value))
    return text if text and " " not in text and '"' not in text else f'"{text}"'
