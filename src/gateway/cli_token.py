"""`wagate token`: makes tokens, and has the server refuse them before their time."""

import re
import sys
from datetime import datetime, timedelta
from typing import Annotated

import typer

from auth.principal import ORDINARY_SCOPES, Scope
from gateway.authentication import token_issuer
from gateway.cli_options import (
    CommandFailed,
    DataDirectoryOption,
    UrlOption,
    chosen_settings,
    explained,
)
from gateway.cli_revoke import Refusal, refusal_of_token
from gateway.cli_revoke import revoke as have_refused
from gateway.data_directory import DataDirectory

app = typer.Typer(invoke_without_command=True)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@app.callback()
def token(
    context: typer.Context,
    *,
    sub: Annotated[str | None, typer.Option(help="Whom the token is for.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose sessions; default: --sub.")] = None,
    scope: Annotated[
        list[Scope] | None, typer.Option(help="Repeat for several; default: all but admin.")
    ] = None,
    session: Annotated[
        list[str] | None, typer.Option(help="Only this session; repeat for several.")
    ] = None,
    expires: Annotated[str, typer.Option(help="Lifetime: 90s, 15m, 24h, 30d, 2w.")] = "24h",
    data_directory: DataDirectoryOption = None,
) -> None:
    """Print a token, and nothing else, signed with this server's secret."""
    if context.invoked_subcommand is not None:
        _refuse_options_before(context, context.invoked_subcommand)
        return
    if sub is None:
        raise typer.BadParameter("missing; say whom the token is for", param_hint="--sub")
    settings = chosen_settings(data_directory=data_directory)
    directory = DataDirectory(settings.data_directory)
    with explained():
        if settings.jwt_secret is None and not directory.has_secret():
            typer.echo(f"Note: a new secret is made in {directory.path}.", err=True)
        issuer = token_issuer(settings, directory)
        if issuer is None:
            holder = f"the holder of the {settings.jwt_algorithm} key"
            raise CommandFailed(f"tokens are signed by {holder}, and can't be made here")
        try:
            text = issuer.issue(
                subject=sub,
                tenant=tenant,
                scopes=scope or ORDINARY_SCOPES,
                sessions=session or None,
                lifetime=lifetime(expires),
            )
        except ValueError as error:
            raise CommandFailed(str(error)) from None
    typer.echo(text)


@app.command()
def revoke(
    *,
    token: Annotated[str | None, typer.Option(help="This token; - reads it from stdin.")] = None,
    token_id: Annotated[str | None, typer.Option(help="The token with this `jti`.")] = None,
    sub: Annotated[str | None, typer.Option(help="The older tokens of this subject.")] = None,
    not_before: Annotated[
        str | None, typer.Option(help="With --sub: older than this moment; default: now.")
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(help="Whose tokens; default: as --token says, or --sub. Not for --token-id."),
    ] = None,
    url: UrlOption = None,
    data_directory: DataDirectoryOption = None,
) -> None:
    """Have the running server refuse a token, or a subject's older ones, from now on."""
    if [token, token_id, sub].count(None) != 2:
        raise typer.BadParameter("give one of them", param_hint="--token, --token-id, --sub")
    if not_before is not None and sub is None:
        raise typer.BadParameter("goes with --sub only", param_hint="--not-before")
    settings = chosen_settings(data_directory=data_directory, url=url)
    with explained():
        if token is not None:
            text = sys.stdin.readline().strip() if token == "-" else token  # noqa: S105 - no secret
            refusal = refusal_of_token(text, tenant=tenant)
        elif token_id is not None:
            if tenant is None:
                raise typer.BadParameter("needs --tenant beside it", param_hint="--token-id")
            refusal = Refusal(tenant, token_id=token_id)
        else:
            moment = None if not_before is None else _moment(not_before)
            refusal = Refusal(tenant or str(sub), subject=sub, not_before=moment)
        typer.echo(have_refused(settings, refusal))


def lifetime(text: str) -> timedelta:
    """Read a lifetime such as `30d`.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if found is None:
        message = f"--expires: read {text[:20]!r}, expected a number and s, m, h, d or w, as in 30d"
        raise ValueError(message)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _moment(text: str) -> datetime:
    try:
        # Without a zone it is this machine's, as everywhere on a command line.
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        message = f"--not-before: read {text[:40]!r}, expected a moment such as 2026-01-05T09:00Z"
        raise CommandFailed(message) from None


def _refuse_options_before(context: typer.Context, command: str) -> None:
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise typer.BadParameter(f"give it behind `{command}`", param_hint=option)
