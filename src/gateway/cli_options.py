"""What the commands share: options, settings from them, and how a failure is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli_client import CallFailed
from gateway.data_directory import DataDirectoryError
from gateway.settings import Settings, SettingsError, load_settings

DataDirectoryOption = Annotated[
    Path | None, typer.Option("--data-directory", help="Directory of everything kept.")
]
DatabaseUrlOption = Annotated[
    str | None, typer.Option("--database-url", help="postgresql://… or sqlite:///….")
]
UrlOption = Annotated[str | None, typer.Option("--url", help="Address of the server.")]


class CommandFailed(Exception):
    """A command could not be carried out; the message says why."""


def chosen_settings(**overrides: Any) -> Settings:
    """Return the settings with these options; when they are wrong, say why and end with 2."""
    try:
        settings = load_settings(overrides)
    except SettingsError as error:
        typer.echo("The settings can't be used:", err=True)
        for problem in error.problems:
            typer.echo(f"  {problem}", err=True)
        raise typer.Exit(2) from None
    for note in settings.notes:
        typer.echo(f"Note: {note}", err=True)
    return settings


@contextmanager
def explained() -> Iterator[None]:
    """Tell what failed in the block as a sentence, and end with 1."""
    try:
        yield
    except (CommandFailed, CallFailed, DataDirectoryError) as error:
        typer.echo(f"wagate: {error}", err=True)
        raise typer.Exit(1) from None
