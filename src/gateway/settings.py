"""Every setting of the server, and the only place that reads the environment.

Values come from the command line, else the environment, else `.env` in the working directory, else
the default. An empty value is as none.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.settings_bullmq import BullMqSettings
from gateway.settings_chatbot import ChatbotSettings
from gateway.settings_checks import jwt_problems, web_address
from gateway.settings_file import EnvFile, read_env_file
from gateway.settings_microservice import MicroserviceSettings, microservice_problems
from gateway.settings_rabbitmq import RabbitMqSettings
from gateway.settings_realtime import RealtimeSettings
from gateway.settings_server import ServerSettings
from gateway.settings_sessions import SessionSettings
from gateway.settings_tokens import TokenSettings
from gateway.settings_webhooks import WebhookSettings
from gateway.settings_words import Reading, is_service_link, missing_prefixes, unknown_variables

PREFIX = "WAGATE_"
Url = Annotated[str, BeforeValidator(web_address)]


class SettingsError(Exception):
    """The settings can't be used; `problems` says of each where it is, and what was expected."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


# In reports the fields of the last base come first.
class Settings(
    BaseSettings,
    BullMqSettings,
    ChatbotSettings,
    MicroserviceSettings,
    WebhookSettings,
    RabbitMqSettings,
    SessionSettings,
    TokenSettings,
    RealtimeSettings,
    ServerSettings,
):
    """What an operator can choose. Every field is also the variable `WAGATE_<FIELD>`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        validate_by_name=True,
    )

    url: Url | None = Field(
        None,
        description="Server that `wagate qr` and the scripts talk to. "
        "Default: this machine, at the port above.",
    )
    token: SecretStr | None = Field(
        None, description="Token that `wagate qr` and the scripts send. Default: made for each use."
    )

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _notes: tuple[str, ...] = PrivateAttr(default=())

    @property
    def database(self) -> str:
        """SQLAlchemy URL with an async driver. Secret: it may hold a password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite+aiosqlite:///{self.data_directory / 'wagate.db'}"

    @property
    def send_seconds(self) -> float:
        """How long a send may wait, in whichever unit it was set."""
        if self.message_timeout_ms is not None:
            return self.message_timeout_ms / 1000
        return self.send_timeout_seconds

    @property
    def status_seconds(self) -> float:
        """Pause between two reports of this worker's status, in whichever unit it was set."""
        if self.health_check_interval_ms is not None:
            return self.health_check_interval_ms / 1000
        return self.worker_status_seconds

    @property
    def server_url(self) -> str:
        """URL, without a slash at its end, where this machine's clients reach the server."""
        if self.url is not None:
            return self.url
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what looks unintended, but stops nothing."""
        return self._notes

    def origin(self, name: str) -> str:
        """Return where a field's value came from."""
        return self._origins.get(name, "default")


def journal_stream() -> str | None:
    """Return the journal that systemd gave this process to print to, as `device:inode`."""
    return os.environ.get("JOURNAL_STREAM")


def variables(name: str) -> tuple[str, ...]:
    """Return the variables that set a field, the strongest first."""
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (PREFIX + name.upper(),)


def load_settings(
    overrides: Mapping[str, Any] | None = None, *, env_file: Path = Path(".env")
) -> Settings:
    """Read the settings; `overrides` (by field, from the command line) win, None is not given.

    Raises:
        SettingsError: with every problem found, not just the first.
    """
    file = read_env_file(env_file)
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    readings = _readings(given, file)
    problems = [*file.problems, *_unknown(file)]
    if file.problems:
        # Half a file would be judged: what its broken lines set is missing from the rest.
        raise SettingsError(problems)
    try:
        settings = Settings(_env_file=env_file, **given)
    except ValidationError as error:
        raise SettingsError(problems + _invalid(error, readings)) from None
    problems += _unfit(settings, readings)
    if problems:
        raise SettingsError(problems)
    settings._origins = {name: reading.where for name, reading in readings.items()}
    settings._notes = missing_prefixes(_origins_in(file), PREFIX, _known())
    return settings


def _readings(given: Mapping[str, Any], file: EnvFile) -> dict[str, Reading]:
    # Upper case, as variables are matched without regard to case.
    environ = {name.upper(): value for name, value in os.environ.items()}
    readings: dict[str, Reading] = {}
    for field in Settings.model_fields:
        if field in given:
            option = f"--{field.replace('_', '-')}"
            readings[field] = Reading(option, str(given[field]), "command line")
            continue
        names = variables(field)
        for name in names:
            if environ.get(name):
                readings.setdefault(field, Reading(name, environ[name], "environment"))
        for name in names:
            if name in file.assignments and file.assignments[name].value:
                value = file.assignments[name].value
                readings.setdefault(field, Reading(name, value, file.origin(name)))
    return readings


def _known() -> list[str]:
    return [name for field in Settings.model_fields for name in variables(field)]


def _origins_in(file: EnvFile) -> dict[str, str]:
    return {name: file.origin(name) for name in file.assignments}


def _unknown(file: EnvFile) -> list[str]:
    names = _origins_in(file)
    for name, value in os.environ.items():
        if not is_service_link(name, value):
            names[name] = "environment"
    ours = {name: where for name, where in names.items() if name.upper().startswith(PREFIX)}
    return unknown_variables(ours, _known())


def _invalid(error: ValidationError, readings: Mapping[str, Reading]) -> list[str]:
    problems = []
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        field = str(fault["loc"][0]).lower().removeprefix(PREFIX.lower())
        expected = fault["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
        problems.append(readings[field].problem(field, expected.partition(", unable")[0]))
    return problems


def _unfit(settings: Settings, readings: Mapping[str, Reading]) -> list[str]:
    secret = settings.jwt_secret
    faults = jwt_problems(
        settings.jwt_algorithm,
        secret=None if secret is None else secret.get_secret_value(),
        public_pem=settings.jwt_public_key,
        jwks_url=settings.jwt_jwks_url,
    )
    missing = microservice_problems(
        settings.engine, url=settings.whatsapp_qr_service_url, key=settings.whatsapp_qr_service_key
    )
    return [readings[field].problem(field, expected) for field, expected in (*faults, *missing)]
