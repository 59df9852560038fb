"""Settings of the server as a whole: where it listens, who may call, where it keeps things."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from gateway.settings_checks import (
    comma_separated,
    database_address,
    log_format,
    log_level,
    origin_address,
    redis_address,
)

Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(comma_separated)]
Origins = Annotated[
    tuple[Annotated[str, BeforeValidator(origin_address)], ...],
    NoDecode,
    BeforeValidator(comma_separated),
]
DatabaseUrl = Annotated[SecretStr, BeforeValidator(database_address)]
RedisUrl = Annotated[SecretStr, BeforeValidator(redis_address)]

LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(log_level)]
LogFormat = Annotated[Literal["json", "text"], BeforeValidator(log_format)]


class ServerSettings(BaseModel):
    """The server's own."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: int = Field(3000, ge=0, le=65535, description="Port to listen on; 0 for any free one.")
    allowed_origins: Origins = Field(
        (),
        description="Browser origins that may call, comma separated (https://app.example); "
        "* for any. None: pages of this server's own origin only.",
    )
    forwarded_allow_ips: Names = Field(
        ("127.0.0.1", "::1"),
        description="Reverse proxies, comma separated, whose X-Forwarded headers are believed.",
    )
    docs_enabled: bool = Field(
        default=True, description="Serve /docs, /openapi.json and /asyncapi.json."
    )
    body_limit_bytes: int = Field(
        1024 * 1024, ge=1024, description="Largest request body; a larger one is answered with 413."
    )
    shutdown_timeout_seconds: float = Field(
        10, gt=0, le=600, description="How long a stop in order may take (SIGTERM)."
    )
    log_level: LogLevel = Field(
        "info",
        validation_alias=AliasChoices("WAGATE_LOG_LEVEL", "LOG_LEVEL"),
        description="Least important log lines to write.",
    )
    log_format: LogFormat | None = Field(
        None,
        validation_alias=AliasChoices("WAGATE_LOG_FORMAT", "LOG_PRETTY"),
        description="Form of log lines. Default: text on a terminal, else json.",
    )

    data_directory: Path = Field(
        Path("data"),
        validation_alias=AliasChoices("WAGATE_DATA_DIRECTORY", "SESSION_DIR"),
        description="Directory of everything kept: database, secret, credentials.",
    )
    database_url: DatabaseUrl | None = Field(
        None, description="postgresql://… or sqlite:///…. Default: SQLite in the data directory."
    )
    migrate_at_start: bool = Field(
        default=True, description="Bring the database's tables up to date at start."
    )
    redis_url: RedisUrl | None = Field(
        None, description="redis://… or rediss://…; needed by several replicas, optional for one."
    )
