"""The library's client object, bent to what the engine needs of it."""

import ctypes
from collections.abc import Callable
from uuid import uuid4

from neonize.client import NewClient
from neonize.proto.Neonize_pb2 import JID
from neonize.proto.waCompanionReg.WAWebProtobufsCompanionReg_pb2 import DeviceProps


class NotRunning(Exception):
    """There is no running client; calling the library now would end the process."""


class Binding(NewClient):  # type: ignore[misc]  # neonize is untyped
    """The library's client, which also tells how a login goes."""

    login_status: Callable[[str], None]

    def _NewClient__onLoginStatus(self, uuid: int, status: int) -> None:  # noqa: N802
        """Replace the private callback: in the QR phase no event tells anything."""
        self.login_status(ctypes.string_at(status).decode())


def bind(store: str, login_status: Callable[[str], None]) -> Binding:
    """Return a client on a store, not connected and without handlers of events."""
    props = DeviceProps(os="Wagate", platformType=DeviceProps.DESKTOP)
    library = Binding(store, uuid=uuid4().hex, props=props)
    # The finalizer would stop whatever runs under this uuid when the object is collected.
    library._stop_finalizer.detach()
    library.login_status = login_status
    return library


def make_jid(user: str, server: str) -> JID:
    """Return a bare JID as the library wants it."""
    return JID(User=user, Server=server, Device=0, RawAgent=0, Integrator=0, IsEmpty=False)
