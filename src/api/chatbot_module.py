"""The calls of the module through which chatbot back ends offer the QR microservice themselves."""

from starlette.responses import Response

from api.back_end_operation import BackEndOperation
from api.chatbot_calls import BEGINNING, BEGUN, init, of_chatbot, operations
from api.chatbot_schemas import ChatbotSession, OneChatbot, OneSession
from api.operations import Answer, Call
from api.schemas import NoQuery
from auth.principal import Scope
from sessions.errors import SessionNotFound, Unavailable


async def init_chatbot(call: Call[OneChatbot, NoQuery]) -> Response:
    """Create the chatbot's session unless it is there, and activate it."""
    named = OneSession.model_validate({"chatbotId": call.body.chatbot_id})
    return await init(Call(call.request, named, call.query))


OPERATIONS = (
    BackEndOperation(
        "POST",
        "/whatsapp-qr/init",
        "chatbotInit",
        "Create and activate a chatbot's session",
        init_chatbot,
        BEGUN,
        (Scope.SESSIONS_WRITE,),
        BEGINNING,
    ),
    BackEndOperation(
        "GET",
        "/whatsapp-qr/session/{chatbotId}",
        "chatbotSession",
        "Read the session of a chatbot",
        of_chatbot,
        {200: Answer("The session.", ChatbotSession)},
        (Scope.SESSIONS_READ,),
        (SessionNotFound, Unavailable),
    ),
    *operations("/whatsapp-qr", "chatbot"),
)
