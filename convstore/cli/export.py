"""`convstore export`: conversations as files, and whether a file is what it was."""

import codecs
import sys
from collections.abc import Iterable
from pathlib import Path

import click
from rich.table import Table

from convstore.archives import verifying
from convstore.cli import answers, door, given, search, tables, terminal, written
from convstore.cli.door import Json, Place
from convstore.cli.files import File, Leaving
from convstore.domain import jsontext
from convstore.domain.exporting import FORMATS, Extent
from convstore.errors import ConvstoreError
from convstore.render.characters import on_a_line, visible

_FILTERS = tuple(name for name in search.FILTERS if name != "fields")


class NotWritten(ConvstoreError):
    """The file cannot be written."""


@click.group()
def export() -> None:
    """Write conversations to files, and check such files."""


def _into_a_file(command: given.Command) -> given.Command:
    for option in (
        click.option(
            "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to; standard output else."
        ),
        click.option("--format", type=click.Choice(tuple(FORMATS)), default="jsonl", show_default=True),
    ):
        command = option(command)
    return command


@export.command()
@click.argument("conversation_id", metavar="ID", callback=given.name)
@_into_a_file
@given.at_a_door
def conversation(place: Place, conversation_id: str, format: str, output: Path | None, as_json: bool) -> None:
    """Export a conversation: its whole tree."""
    _export(place, Leaving(format, conversation_id=conversation_id), output, as_json=as_json)


@export.command()
@click.argument("response", metavar="ID", callback=given.name)
@click.option("--scope", type=click.Choice(("thread", "tree")), default="thread", show_default=True)
@_into_a_file
@given.at_a_door
def response(place: Place, response: str, scope: str, format: str, output: Path | None, as_json: bool) -> None:
    """Export the thread that leads to a response or a branch, or the whole tree it is in."""
    _export(place, Leaving(format, scope, response=response), output, as_json=as_json)


def _filters(command: given.Command) -> given.Command:
    for name in reversed(_FILTERS):
        command = click.option(f"--{name}", metavar="…", help=search.FILTERS[name])(command)
    return command


@export.command(name="all")
@click.option("--search", "text", metavar="QUERY", help="Words, all of which are to be there.")
@_filters
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="With this label; may be repeated.")
@click.option(
    "--scope",
    type=click.Choice(tuple(map(str, Extent))),
    help="tree: conversations with a match; thread: what leads to each; response: matches alone (figures).",
)
@_into_a_file
@given.at_a_door
def everything(
    place: Place,
    text: str | None,
    metadata: tuple[str, ...],
    scope: str | None,
    format: str,
    output: Path | None,
    as_json: bool,
    **filters: str | None,
) -> None:
    """Export what filters find, or everything of a project. With --url a worker of the service makes the file."""
    asked = search.asked(text, metadata, filters)
    _export(place, Leaving(format, scope, filters=asked), output, as_json=as_json)


@export.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def verify(file: Path, as_json: bool) -> None:
    """Check that a file is what it was when it was exported. Exit code 1 when it is not."""
    found = verifying.verify(file)
    if as_json:
        terminal.print_json(found.as_dict())
    else:
        for problem in found.problems:
            click.echo(f"{on_a_line(problem['place'])}: {on_a_line(problem['message'])}")
        counted = ", ".join(f"{found.manifest[name]} {name}" for name in _COUNTED if name in found.manifest)
        outcome = f"{found.count} problems" if found.count else "it is as it was exported"
        click.echo(f"{on_a_line(file.name)}: {outcome}{' (' + on_a_line(counted) + ')' if counted else ''}.")
    sys.exit(1 if found.count else 0)


_COUNTED = ("conversations", "exchanges", "items", "branches", "bytes")


@export.command(name="list")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="So many of the newest.")
@given.at_a_door
def list_exports(place: Place, limit: int, as_json: bool) -> None:
    """List the exports that a service made, the newest first."""
    with door.opened(place) as there:
        found = there.exports(limit)
    if as_json:
        terminal.print_json(found)
        return
    table = Table("export", "format", "scope", "status", "bytes", "exchanges")
    for each in found["data"]:
        count = (each["manifest"] or {}).get("exchanges", "")
        cells = (each["id"], each["format"], each["scope"], each["status"], each["bytes"] or "", count)
        table.add_row(*(on_a_line(str(cell)) for cell in cells))
    tables.show(table)


@export.command()
@click.argument("export_id", metavar="ID", callback=given.name)
@given.at_a_door
def delete(place: Place, export_id: str, as_json: bool) -> None:
    """Delete an export of a service, with its file."""
    with door.opened(place) as there:
        there.drop_export(export_id)
    if as_json:
        terminal.print_json({"id": export_id, "object": "export", "deleted": True})
    else:
        click.echo(f"{on_a_line(export_id)} is deleted.")


def _export(place: Place, wanted: Leaving, output: Path | None, *, as_json: bool) -> None:
    to_terminal = output is None and sys.stdout.isatty()
    if to_terminal and wanted.format == "parquet":
        raise click.UsageError("Parquet is for programs: say where to with --output FILE.")
    if output is None and as_json:
        raise click.UsageError("--json says what was written: say where to with --output FILE.")
    with (
        terminal.leaving("Nothing was written." if output else "What was written is not all of it."),
        door.opened(place) as there,
        terminal.progress("Exporting", hidden=to_terminal) as tell,
        there.export(wanted, tell) as file,
    ):
        if output is None:
            _print(file.pieces, to_terminal=to_terminal)
            return
        manifest = _write(output, file, beside=not answers.has_manifest(wanted.format))
    if as_json:
        terminal.print_json({"file": str(output), "manifest": manifest})
    else:
        counted = ", ".join(f"{manifest[name]} {name}" for name in _COUNTED if name in manifest)
        click.echo(f"{on_a_line(str(output))}: {on_a_line(counted)}", err=True)


def _print(pieces: Iterable[bytes], *, to_terminal: bool) -> None:
    """On standard output byte by byte, but for what a terminal would obey."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in pieces:
        if to_terminal:
            click.echo(visible(decoder.decode(piece).replace("\r\n", "\n")), nl=False)
        else:
            sys.stdout.buffer.write(piece)
    sys.stdout.flush()


def _write(output: Path, file: File, *, beside: bool) -> Json:
    """The file, and its manifest where that does not stand in it. Returns the manifest."""
    try:
        written.whole(output, file.pieces)
        manifest = file.manifest()
        if beside and output.is_file():
            written.whole(verifying.beside(output), [jsontext.dumps(manifest) + b"\n"])
    except OSError as error:
        raise NotWritten(f"{output} cannot be written: {error.strerror}.") from error
    return manifest
