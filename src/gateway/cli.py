"""The command line. Answers go to stdout; what went wrong goes to stderr, as a sentence.

Exit codes: 0 done, 1 it could not be done, 2 the settings or options are wrong.
"""

from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from gateway.cli_options import (
    DatabaseUrlOption,
    DataDirectoryOption,
    UrlOption,
    chosen_settings,
    explained,
)
from gateway.cli_token import app as token_app
from gateway.settings_report import as_json as json_of
from gateway.settings_report import as_text, example, report

app = typer.Typer(
    help="A self-hosted, real-time WhatsApp session gateway.",
    no_args_is_help=True,
    add_completion=False,
    # Its tracebacks show local variables: tokens and secrets.
    pretty_exceptions_enable=False,
)

app.add_typer(token_app, name="token")


@app.command()
def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one.")] = None,
    engine: Annotated[str | None, typer.Option(help="neonize, microservice or simulator.")] = None,
    data_directory: DataDirectoryOption = None,
    database_url: DatabaseUrlOption = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning, error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="json or text.")] = None,
) -> None:
    """Serve until a signal; options win over the environment and .env."""
    settings = chosen_settings(
        host=host,
        port=port,
        engine=engine,
        data_directory=data_directory,
        database_url=database_url,
        log_level=log_level,
        log_format=log_format,
    )
    # Here, because it imports the whole server, which the other commands start faster without.
    from gateway.server import serve as run_server  # noqa: PLC0415

    raise typer.Exit(run_server(settings))


@app.command("settings")
def show_settings(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As a list of objects.")] = False,
    as_example: Annotated[
        bool, typer.Option("--example", help="Print a .env file with all defaults.")
    ] = False,
) -> None:
    """Print every setting with its value (secrets hidden), default, origin and meaning."""
    if as_example:
        typer.echo(example(), nl=False)
        return
    rows = report(chosen_settings())
    typer.echo(json_of(rows) if as_json else as_text(rows))


@app.command()
def migrate(
    data_directory: DataDirectoryOption = None, database_url: DatabaseUrlOption = None
) -> None:
    """Bring the database's tables up to date; the server must not be running."""
    settings = chosen_settings(data_directory=data_directory, database_url=database_url)
    from gateway.cli_migrate import migrate_now  # noqa: PLC0415 - slow to import

    raise typer.Exit(migrate_now(settings))


@app.command()
def restored(
    data_directory: DataDirectoryOption = None, database_url: DatabaseUrlOption = None
) -> None:
    """After restoring a backup: tell every client that its cursor is of a log that is gone."""
    settings = chosen_settings(data_directory=data_directory, database_url=database_url)
    from gateway.cli_migrate import name_logs_anew  # noqa: PLC0415 - slow to import

    raise typer.Exit(name_logs_anew(settings))


@app.command()
def qr(
    session: Annotated[str, typer.Argument(help="The session's name or id.")],
    *,
    url: UrlOption = None,
    token: Annotated[str | None, typer.Option(help="Default: one made for this session.")] = None,
    tenant: Annotated[str, typer.Option(help="Whose session, if no token is given.")] = "admin",
    create: Annotated[bool, typer.Option("--create", help="Create it if it is new.")] = False,
    activate: Annotated[bool, typer.Option("--activate", help="Activate it first.")] = False,
    timeout_seconds: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds after which to give up.")
    ] = 600,
    data_directory: DataDirectoryOption = None,
) -> None:
    """Draw a session's QR code, and each that follows it, until a phone has scanned one."""
    settings = chosen_settings(data_directory=data_directory, url=url)
    from gateway.cli_qr import client_for, follow  # noqa: PLC0415 - slow to import

    with explained():
        client = client_for(settings, session, token=token, tenant=tenant)
        raise typer.Exit(
            follow(
                client, session, create=create, activate=activate, timeout_seconds=timeout_seconds
            )
        )


@app.command()
def doctor(
    data_directory: DataDirectoryOption = None, database_url: DatabaseUrlOption = None
) -> None:
    """Check what a start needs on this machine; exit code 1 when something is missing."""
    settings = chosen_settings(data_directory=data_directory, database_url=database_url)
    from gateway.cli_doctor import findings  # noqa: PLC0415 - slow to import

    faults = 0
    for finding in findings(settings):
        faults += finding.verdict == "fault"
        typer.echo(f"{finding.verdict:<8}{finding.subject}: {finding.sentence}")
    raise typer.Exit(1 if faults else 0)


@app.command("version")
def show_version() -> None:
    """Print this program's version."""
    typer.echo(installed_version("wagate"))
