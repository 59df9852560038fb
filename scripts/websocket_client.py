"""Follow a session over Socket.IO and print every event; QR codes are drawn.

Exit codes: 0 ended by Ctrl-C or by --until, 1 not reached, 2 usage, 3 refused, 4 timed out.
"""

import argparse
import asyncio

from rich.console import Console

from scripts.event_display import EventDisplay
from scripts.followed_session import Ended, Exit, FollowedSession, arguments, parsed, run

_ALIASES = {"connected": "session:connected", "message": "session:message"}


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = arguments("Follow a session over Socket.IO and print every event.")
    parser.add_argument(
        "--until", metavar="EVENT", help="end after this event: connected, message, or its name"
    )
    parser.add_argument("--after", metavar="CURSOR", help="begin behind this event")
    return parsed(parser)


async def main() -> None:
    """Print events until told to end."""
    chosen = options()
    until = _ALIASES.get(chosen.until, chosen.until)
    display = EventDisplay(Console())
    try:
        async with asyncio.timeout(chosen.timeout):
            await _follow(chosen, until, display)
    except TimeoutError:
        message = f"nothing to end on within {chosen.timeout:.0f} s"
        raise Ended(Exit.TIMED_OUT, message) from None


async def _follow(chosen: argparse.Namespace, until: str | None, display: EventDisplay) -> None:
    async with FollowedSession.open(
        chosen.url, chosen.token, chosen.session, after=chosen.after
    ) as session:
        while True:
            name, event = await session.next()
            display.show(name, event)
            connected = name == "answer" and event["status"] == "CONNECTED"
            if until == name or (until == "session:connected" and connected):
                return


if __name__ == "__main__":
    run(main)
