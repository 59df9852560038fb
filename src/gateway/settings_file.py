"""Reading `.env` strictly: what an editor or a slip spoiled stops the start, with file and line.

A lenient reader would drop a broken line, and the server would run with a default nobody chose.
"""

import io
import re
from dataclasses import dataclass, field
from pathlib import Path

from dotenv.parser import Binding, parse_stream

ENV_FILE_MAX_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MARKS = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\xef\xbb\xbf": "UTF-8 with a byte order mark",
}
_TYPOGRAPHIC = "“”„‟‘’‚«»`´"  # noqa: RUF001 - these are what word processors put for quotes
_INVISIBLE = "\u00a0\u200b\u200c\u200d\u2060\ufeff"
_EXPECTED = "expected a line NAME=value, with quotes closed on the same line"


@dataclass(frozen=True)
class Assignment:
    """A value as the file gives it, and the line where it begins."""

    value: str
    line: int


@dataclass
class EnvFile:
    """A file's assignments by name, and in sentences what is wrong with it."""

    path: Path
    assignments: dict[str, Assignment] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def origin(self, name: str) -> str:
        """Return `file:line` of an assignment."""
        return f"{self.path}:{self.assignments[name].line}"


def read_env_file(path: Path) -> EnvFile:
    """Read a file of assignments; one that does not exist is empty."""
    file = EnvFile(path)
    try:
        if not path.exists():
            return file
        content = path.read_bytes()
    except OSError as error:
        file.problems.append(f"{path}: can't be read ({error.strerror}); expected a text file")
        return file
    text = _decode(file, content)
    for binding in parse_stream(io.StringIO(text)):
        _take(file, binding)
    return file


def _decode(file: EnvFile, content: bytes) -> str:
    mark = next((name for start, name in _MARKS.items() if content.startswith(start)), None)
    if mark is None and b"\x00" in content:
        mark = "UTF-16, or is no text file"
    if mark is not None:
        file.problems.append(f"{file.path}:1: the file is {mark}; expected plain UTF-8. Save it so")
        return ""
    if len(content) > ENV_FILE_MAX_BYTES:
        file.problems.append(f"{file.path}: larger than 1 MiB; expected a file of settings")
        return ""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        file.problems.append(f"{file.path}:{line}: a byte that is no UTF-8; save the file as UTF-8")
        return ""


def _take(file: EnvFile, binding: Binding) -> None:
    text = binding.original.string
    blank = len(text) - len(text.lstrip())
    line = binding.original.line + text.count("\n", 0, blank)
    if not binding.error and binding.key is None:
        return
    fault = _fault(binding, text)
    if fault is not None:
        file.problems.append(f"{file.path}:{line}: {fault}")
        return
    name = (binding.key or "").upper()
    if name in file.assignments:
        first = file.assignments[name].line
        file.problems.append(
            f"{file.path}:{line}: {name} is set again (first on line {first}); expected it once"
        )
        return
    file.assignments[name] = Assignment(binding.value or "", line)


def _fault(binding: Binding, text: str) -> str | None:
    name, value = binding.key, binding.value
    if binding.error or name is None or value is None or not _NAME.fullmatch(name):
        return f"read {_shown(text)}, {_EXPECTED}"
    if value.strip(_TYPOGRAPHIC) != value:
        return f"{name} is in typographic quotes; expected straight ones, or none"
    if value.strip(_INVISIBLE) != value:
        return f"{name} begins or ends with an invisible character; expected none"
    # A lost quote makes the value run on to the next quote in the file. Only keys have line breaks.
    runs_on = "\n" in value and "-----BEGIN" not in value
    unquoted = text.partition("=")[2].strip()
    if runs_on or (unquoted[:1] not in {'"', "'"} and unquoted[-1:] in {'"', "'"}):
        return f"the quotes of {name} are not balanced; {_EXPECTED}"
    return None


def _shown(text: str) -> str:
    """Return what can be shown of a broken line: its name, if any. The rest may be secret."""
    first = text.strip().partition("\n")[0]
    name = re.match(r"(?:export )?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?=[\s=:])|", first)
    return repr(f"{name[0] if name and name[0] else first[:4]}…")
