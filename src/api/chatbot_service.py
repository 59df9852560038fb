"""The calls of the QR microservice that chatbot back ends use: this server in its place."""

from api.back_end_operation import BackEndOperation
from api.chatbot_calls import BEGINNING, BEGUN, init, operations
from auth.principal import Scope

OPERATIONS = (
    BackEndOperation(
        "POST",
        "/init",
        "serviceInit",
        "Create and activate a session, by its id or a chatbot's",
        init,
        BEGUN,
        (Scope.SESSIONS_WRITE,),
        BEGINNING,
    ),
    *operations("", "service"),
)
