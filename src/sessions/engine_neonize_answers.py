"""What a worker's answer means to whoever asked: a result, or an error of the port."""

from sessions.engine_neonize_frames import Answer
from sessions.errors import (
    NotConnected,
    NotOnWhatsApp,
    ReachOutLocked,
    SendFailed,
    SendThrottled,
    SendUncertain,
)
from sessions.messages import Sent

NO_NAME = (
    "The account has no name yet, without which WhatsApp shows nobody that it is online. Set one "
    "on the phone under Settings, Profile; if it has one, try again in a minute."
)
NO_ANSWER = "WhatsApp gave no answer in time. Try again."


def sent(answer: Answer | None) -> Sent:
    """Return what became of a message; None stands for no answer.

    Raises:
        SendFailed, SendUncertain: as `Connection.send`.
    """
    if answer is None:
        raise SendUncertain
    if answer.failure is None and answer.sent is not None:
        return answer.sent
    match answer.failure:
        case "not_on_whatsapp":
            raise NotOnWhatsApp
        case "not_connected":
            raise NotConnected
        case "reach_out_locked":
            raise ReachOutLocked
        case "send_throttled":
            raise SendThrottled
        case "send_failed" | "refused":
            raise SendFailed(f"WhatsApp refused the message: {answer.detail}")
        case _:
            raise SendUncertain


def shown(answer: Answer | None) -> None:
    """Accept that something was shown to others; None stands for no answer.

    Raises:
        NotConnected: it may be asked for again, as it does no harm twice.
        SendFailed: it was refused.
    """
    match answer:
        case None | Answer(failure="send_uncertain" | "send_throttled"):
            raise NotConnected(NO_ANSWER)
        case Answer(failure=None):
            return
        case Answer(failure="not_connected"):
            raise NotConnected("The session is not connected. Try again when it is.")
        case Answer(failure="no_name"):
            raise SendFailed(NO_NAME)
        case _:
            raise SendFailed(f"WhatsApp did not take it: {answer.detail}")
