"""`convstore demo`: the main job from end to end, with no API key and nothing to configure.

A small language model as the upstream, convstore in front of it on SQLite, and the official client holding
three conversations, which are then printed from what the store says. The last one is edited, asked again and compared;
then all are priced and searched, the audit log is checked, and everything is exported. What is started here ends here.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from convstore.cli.demo import directions, service, upstreams, weights
from convstore.cli.demo.processes import Child, Children, free_ports, wait_until_ready
from convstore.errors import ConvstoreError

if TYPE_CHECKING:
    from openai import OpenAI

# Reading a model from a slow disk.
UPSTREAM_READY_S = 120.0
# 96 tokens at one token a second, and a margin.
ANSWER_S = 180.0
# Room for an id and its figures on one line where there is no terminal to measure.
WIDTH = 110
# The folder of what is exported, beside the database.
EXPORTS = "exports"


@click.command()
@click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("convstore-demo.db"),
    show_default=True,
    help="SQLite file to keep the conversations in; made if it does not exist.",
)
@click.option("--echo", is_flag=True, help="Fetch no model: an upstream that says the questions back answers.")
def demo(database: Path, echo: bool) -> None:
    """Hold three real conversations with a small local model through convstore, and show what is stored."""
    start = time.monotonic()
    try:
        run(Console(highlight=False), database.resolve(), upstreams.choose(echo))
    except ConvstoreError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"\nDone in {time.monotonic() - start:.1f} s.")


def run(console: Console, database: Path, upstream: upstreams.Upstream) -> None:
    """Start the processes, talk, print. Raises ConvstoreError with a message of one line."""
    if not console.is_terminal:
        console.width = WIDTH
    database.parent.mkdir(parents=True, exist_ok=True)
    place = service.Place(database, *free_ports(2))
    with Children(service.environment(place), logs=database.with_suffix("")) as children:
        model_server = upstream.start(children, place.upstream_port)
        gateway, key = service.start(children)
        say_ready(upstream.title, model_server, f"{place.upstream_url}/models", UPSTREAM_READY_S)
        say_ready(f"convstore at {place.url}", gateway, f"{place.url}/readyz", service.READY_S)
        exports = database.with_name(EXPORTS)
        response_id = converse(console, children, f"{place.url}/v1", key, upstream.model, exports)
    click.echo(directions.text(database, upstream, response_id))


def say_ready(title: str, child: Child, url: str, timeout_s: float) -> None:
    """Wait for one process and say how long it took."""
    click.echo(f"{title}: up after {wait_until_ready(child, url, timeout_s):.1f} s")


def converse(console: Console, children: Children, base_url: str, key: str, model_name: str, exports: Path) -> str:
    """Hold the conversations and print each as a tree; returns the id of the last response. exports: a folder."""
    try:
        import openai
    except ImportError as error:
        raise ConvstoreError("The demo needs the openai client: pip install 'convstore[local]'") from error
    try:
        with openai.OpenAI(
            base_url=base_url,
            api_key=key,
            timeout=ANSWER_S,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(trust_env=False),
        ) as client:
            return print_conversations(console, client, model_name, exports)
    except (openai.OpenAIError, ConvstoreError) as error:
        # A dead process is the better explanation, even when the wire is faster with the news than its guard.
        children.check(patience_s=0.5)
        log = children.running[-1].log
        raise ConvstoreError(f"The conversation broke off: {error} (log: {log})") from error


def print_conversations(console: Console, client: "OpenAI", model_name: str, exports: Path) -> str:
    """One tree per conversation, read back from the store; the last one grows. Returns the id of its last response."""
    from convstore.cli.demo import growing, leaving, looking_back, paying, talk, tree

    since = paying.begin(client, model_name)
    turns: list[talk.Turn] = []
    for conversation in talk.conversations():
        held = list(talk.hold(client, model_name, conversation))
        turns = [talk.read_back(client, response_id, timing) for response_id, timing in held]
        console.print()
        console.print(tree.build(conversation.title, turns))
    growing.grow(console, client, turns)
    paying.show(console, client, since)
    looking_back.find(console, client, turns)
    looking_back.prove(console, client)
    leaving.leave(console, client, exports)
    console.print()
    return turns[-1].response.id


@click.group()
def model() -> None:
    """The small model of `convstore demo`."""


@model.command("get")
def model_get() -> None:
    """Fetch the model into the user's cache, unless it is there; print its path."""
    try:
        click.echo(weights.get())
    except weights.ModelUnavailable as error:
        raise click.ClickException(f"The model cannot be fetched: {error.message}") from error


@model.command("path")
def model_path() -> None:
    """Print the path of the model's file; fail if it has not been fetched."""
    if not weights.cached_path().exists():
        raise click.ClickException("The model has not been fetched yet. Run: convstore model get")
    click.echo(weights.cached_path())
