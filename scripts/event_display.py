"""How the scripts show events on a terminal."""

from datetime import datetime
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.pretty import Pretty
from rich.text import Text

from api.rendering import terminal

_COLOURS = {
    "session:connected": "bold green",
    "session:message": "cyan",
    "message:status": "blue",
    "session:disconnected": "yellow",
    "qr:expired": "yellow",
    "disconnect": "yellow",
    "session:error": "bold red",
    "session:error:515": "bold red",
    "session:auth:corrupted": "bold red",
    "error": "bold red",
}
_FRAME = frozenset({"id", "sessionId", "seq", "cursor", "timestamp"})


class EventDisplay:
    """Prints events, one after the other; QR codes are drawn."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, name: str, event: dict[str, Any]) -> None:
        """Print one event."""
        when = datetime.fromtimestamp(event.get("timestamp", 0) / 1000).astimezone()
        head = Text(f"{when:%H:%M:%S} " if "timestamp" in event else "         ", style="dim")
        head.append(name, style=_COLOURS.get(name, "bold"))
        if "seq" in event:
            head.append(f"  #{event['seq']}", style="dim")
        self._console.print(head)
        shown = event.get("qr") if name == "answer" else event if name == "qr" else None
        if shown:
            self.draw(shown)
        rest = {key: value for key, value in event.items() if key not in _FRAME | {"qr", "code"}}
        if rest:
            self._console.print(Pretty(rest, max_string=300), style="dim")

    def draw(self, qr: dict[str, Any]) -> None:
        """Draw a QR code, and say how long it is good for."""
        expires_at = datetime.fromisoformat(qr["expiresAt"]).astimezone()
        # Without wrapping or markup: a code is only readable as it is.
        self._console.print(Text(terminal(qr["code"])), no_wrap=True, crop=False)
        self._console.print(
            Panel(
                "On the phone: WhatsApp > Linked devices > Link a device.\n"
                f"Attempt {qr['attempt']} of {qr['maxAttempts']}, until {expires_at:%H:%M:%S}.",
                expand=False,
            )
        )
