"""`convstore branch`: the question of an exchange again, with anything about it changed."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from convstore.cli import door, exchange, following, given, terminal
from convstore.cli.door import Json, Place
from convstore.domain import jsontext
from convstore.errors import ConvstoreError, InvalidRequest

_DELTAS = ("response.output_text.delta", "response.refusal.delta")


class AnswerFailed(ConvstoreError):
    """The answer ended with an error."""


@click.command()
@click.argument("name", metavar="ID", callback=given.name)
@click.option("--input", "input_text", metavar="TEXT", help="Another question.")
@click.option("--instructions", metavar="TEXT", help="Other instructions.")
@click.option("--model", metavar="MODEL", help="Another model.")
@click.option("--set", "pairs", multiple=True, metavar="NAME=JSON", help="Any other member; null leaves it out.")
@click.option("--carry", is_flag=True, help="Ask the questions that came after it again, too, and wait for that.")
@click.option("--until", metavar="ID", callback=given.name, help="The last of those.")
@click.option("--name", "branch_name", metavar="NAME", help="A name for the new branch.")
@click.option("--stream", is_flag=True, help="Print the answer as it arrives.")
@given.at_a_door
def branch(
    place: Place, name: str, pairs: tuple[str, ...], carry: bool, stream: bool, as_json: bool, **said: str | None
) -> None:
    """Ask a question again, with anything about it changed.

    ID: of the exchange that asked it, or a branch that points there.
    """
    if said["until"] is not None and not carry:
        raise click.UsageError("--until says how far to --carry.")
    body = door.body(_members(pairs, said, carry=carry, stream=stream))
    with door.opened(place) as there:
        made = there.branch(name, body)
        if made.events is not None:
            response = _streamed(made.events, quietly=as_json)
        else:
            response = made.response or {}
            if not as_json:
                click.echo(_head(response))
                _print(exchange.answer(response) + "\n")
        replay = None
        if made.replay_id is not None:
            replay = following.follow(there, made.replay_id)
            if not as_json:
                following.summary(replay)
    if as_json:
        terminal.print_json({"response": response, "replay": replay})
    following.leave(replay)


def _members(pairs: tuple[str, ...], said: Mapping[str, str | None], *, carry: bool, stream: bool) -> dict[str, str]:
    """The body's members as JSON texts. Raises InvalidRequest."""
    names = {"input_text": "input", "branch_name": "name"}
    own: dict[str, Any] = {names.get(option, option): value for option, value in said.items() if value is not None}
    if carry:
        own["carry"] = "inputs"
    if stream:
        own["stream"] = True
    found = given.members(pairs, tuple(own))
    if "stream" in found:
        raise InvalidRequest("--set stream: use --stream.")
    return found | {name: jsontext.dumps(value).decode() for name, value in own.items()}


def _streamed(events: Iterator[Json], *, quietly: bool) -> Json:
    """The response at the end of a stream, its text printed meanwhile. Raises AnswerFailed."""
    response: Json = {}
    for event in events:
        kind = event["type"]
        if kind == "error":
            raise AnswerFailed(str(event.get("message") or (event.get("error") or {}).get("message") or ""))
        if kind == "response.created" and not quietly:
            click.echo(terminal.line(event["response"]["id"]).plain)
        elif kind in _DELTAS and not quietly:
            _print(event["delta"])
        response = event.get("response", response)
    if not quietly:
        click.echo()
    error = response.get("error")
    if response.get("status") == "failed" and error:
        raise AnswerFailed(error.get("message"))
    if response.get("status") not in ("completed", None) and not quietly:
        click.echo(_head(response), err=True)
    return response


def _head(response: Json) -> str:
    """The new exchange in one line: its id alone, unless there is more to be known."""
    status, id_ = response.get("status"), response.get("id")
    return terminal.line(id_ if status == "completed" else f"{id_} {status}").plain


def _print(words: str) -> None:
    click.echo("\n".join(terminal.lines(words)), nl=False)
