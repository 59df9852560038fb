"""Carries out the faults that a test asks for."""

from .commands import (
    BanTemporarily,
    ClearFaults,
    DelayAcks,
    Drop,
    FailLogins,
    FailPairings,
    Fault,
    Kick,
    LimitQrRefs,
    LoseAcknowledgements,
    RefuseConnections,
    RejectMessages,
    Silence,
    SpoilMessages,
    StreamError,
)
from .faults import Faults, LoginFailure
from .network import Network
from .node import Node
from .phone import remove_device
from .stream import BRIEF_LINGER_SECONDS, LINGER_SECONDS

BANNED, UNAVAILABLE = 402, 503

Strike = Drop | StreamError | Kick | Silence
Ambush = FailLogins | FailPairings | BanTemporarily | SpoilMessages | RejectMessages
Standing = RefuseConnections | DelayAcks | LimitQrRefs | LoseAcknowledgements


def cause(fault: Fault, network: Network) -> dict[str, int]:
    """Cause a fault; return how many connections it has hit, for one that strikes at once."""
    if isinstance(fault, Strike):
        return {"hit": _strike(fault, network)}
    if isinstance(fault, Ambush):
        _lie_in_wait(fault, network)
    elif isinstance(fault, ClearFaults):
        network.faults.clear()
        network.end_silence()
    else:
        _stand(fault, network.faults)
    return {}


def _strike(fault: Strike, network: Network) -> int:
    if isinstance(fault, Drop):
        return network.drop(fault.phone)
    if isinstance(fault, Silence):
        return network.silence(fault.phone, fault.seconds)
    account = network.directory.get(fault.phone)
    if isinstance(fault, Kick):
        remove_device(account.companion(fault.device))
        return 1
    streams = [c.stream for c in account.linked() if c.stream is not None]
    linger_seconds = BRIEF_LINGER_SECONDS if fault.code == UNAVAILABLE else LINGER_SECONDS
    for stream in streams:
        stream.end(Node("stream:error", {"code": fault.code}), linger_seconds=linger_seconds)
    return len(streams)


def _lie_in_wait(fault: Ambush, network: Network) -> None:
    """Have the next logins or messages go wrong."""
    match fault:
        case FailLogins(reason=reason, phone=phone, times=times):
            network.faults.fail_logins(LoginFailure(reason), phone=phone, times=times)
        case FailPairings(reason=reason):
            network.faults.pairing_failure = LoginFailure(reason)
        case BanTemporarily(phone=phone, code=code, expire_seconds=expire_seconds):
            failure = LoginFailure(BANNED, code, expire_seconds)
            network.faults.fail_logins(failure, phone=phone, times=1)
        case SpoilMessages(phone=phone, count=count):
            network.directory.open(phone).spoils = count
        case RejectMessages(error=error, phone=phone, count=count):
            network.faults.reject_messages(error, phone=phone, times=count)


def _stand(fault: Standing, faults: Faults) -> None:
    match fault:
        case RefuseConnections(seconds=seconds):
            faults.refuse_connections(seconds)
        case DelayAcks(seconds=seconds):
            faults.ack_delay_seconds = seconds
        case LimitQrRefs(count=count):
            faults.qr_refs = count
        case LoseAcknowledgements():
            faults.loses_acknowledgements = True
