"""Options that several commands share: whose database or which service, what is to be shown, members of requests."""

import math
from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

import click

from convstore.cli.door import Place
from convstore.domain import jsontext
from convstore.domain.jsontext import NotJson
from convstore.errors import InvalidRequest

Command = Callable[..., Any]


def at_a_door(command: Command) -> Command:
    """--project, --url and --key, handed on as a Place; and --json."""

    def asked(config_path: str | None, /, project: str | None, url: str | None, key: str | None, **given: Any) -> Any:
        if url and project:
            raise click.UsageError("--project is for the database; of a service (--url), the key says whose it is.")
        return command(place=Place(config_path, project, url or None, key or None), **given)

    # Behind the command's own options, whose order click reads from the wrapped function.
    shared = click.pass_obj(update_wrapper(asked, command))
    for option in (
        click.option("--json", "as_json", is_flag=True, help="As JSON."),
        click.option("--key", envvar="CONVSTORE_KEY", help="An API key of that service (CONVSTORE_KEY)."),
        click.option("--url", envvar="CONVSTORE_URL", help="Ask the service that runs here (CONVSTORE_URL)."),
        click.option("--project", metavar="NAME", help="Whose, on the database; needless when there is one project."),
    ):
        shared = option(shared)
    return shared


def name(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """What an exchange can be called by; a callback. Bytes that are no text are no name."""
    if value is not None and not (value and value.isprintable()):
        raise click.BadParameter("an id or a name has one character at least, and all can be read.", context, parameter)
    return value


def number(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """A number that JSON has; a callback."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter("a number is expected.", context, parameter)
    return value


def members(pairs: Sequence[str], others: Sequence[str] = ()) -> dict[str, str]:
    """JSON texts by name, of what was given as NAME=JSON. Raises InvalidRequest.

    others: members that have been said already, by options of their own.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        member, equals, text = pair.partition("=")
        if not equals or not member:
            raise InvalidRequest(f"--set {pair}: expected NAME=JSON, for example --set temperature=0.2")
        if member in found or member in others:
            raise InvalidRequest(f"--set {member}: given twice.")
        try:
            jsontext.loads(text)
        except NotJson as error:
            raise InvalidRequest(
                f"--set {member}: {text!r} is not JSON. A text needs its own quotes: --set '{member}=\"…\"'"
            ) from error
        found[member] = text
    return found
