"""What the demo takes with it: an export in each format, checked, and the one that can come back shown to be known."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from convstore.archives import verifying
from convstore.cli import written
from convstore.cli.demo.growing import Json, over, post, say
from convstore.domain import jsontext
from convstore.domain.exporting import FORMATS
from convstore.errors import ConvstoreError

if TYPE_CHECKING:
    from openai import OpenAI

NAME = "conversations"
# All conversations whole, of figures as well.
SCOPE = "tree"
PARQUET_NEEDS = "pyarrow"


def leave(console: Console, client: "OpenAI", folder: Path) -> None:
    """Write all conversations in each format, check the files, and print where they are. Raises ConvstoreError."""
    say(console, f"Exporting all of it to {folder}, and checking each file against its manifest:")
    folder.mkdir(parents=True, exist_ok=True)
    table = Table("format", "file", Column("bytes", justify="right"), Column("exchanges", justify="right"))
    paths = {}
    for kind in _formats():
        paths[kind], manifest = _exported(client, kind, folder)
        table.add_row(kind, paths[kind].name, f"{paths[kind].stat().st_size:,}", f"{manifest['exchanges']:,}")
    console.print(table)
    if set(FORMATS) - set(paths):
        console.print(Text("No parquet: that takes pip install 'convstore[parquet]'."), soft_wrap=True)
    come_back(console, client, paths["jsonl"])


def come_back(console: Console, client: "OpenAI", path: Path) -> None:
    """Say what an import of the file would bring, and print it. Raises ConvstoreError, OpenAIError."""
    say(console, f"What importing {path.name} here would bring (a dry run):")
    made = client.post(
        "/imports?dry_run=true",
        cast_to=dict[str, Any],
        content=path.read_bytes(),
        options={"headers": {"Content-Type": "application/octet-stream"}},
    )
    found = over(client, f"/imports/{made['id']}")
    if found["status"] != "completed":
        raise ConvstoreError(f"The import {found['id']} is {found['status']}.")
    outcomes = found["counts"].get("exchanges", {})
    told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    console.print(Text(f"exchanges: {told}; problems: {len(found['problems'])}."), soft_wrap=True)


def _formats() -> Iterator[str]:
    """Those that can be written. The demo's service runs in the same environment as the demo."""
    for kind in FORMATS:
        if kind != "parquet" or find_spec(PARQUET_NEEDS) is not None:
            yield kind


def _exported(client: "OpenAI", kind: str, folder: Path) -> tuple[Path, Json]:
    """The file of a format, as it was checked, and its manifest."""
    from openai import HttpxBinaryResponseContent

    asked = post(client, "/exports", {"format": kind, "scope": SCOPE})
    found = over(client, f"/exports/{asked['id']}")
    if found["status"] != "completed":
        raise ConvstoreError(f"The export {found['id']} is {found['status']}.")
    path = folder / f"{NAME}.{FORMATS[kind].ending}"
    body = client.get(f"/exports/{found['id']}/content", cast_to=HttpxBinaryResponseContent)
    written.whole(path, body.iter_bytes())
    if not FORMATS[kind].manifest:
        written.whole(verifying.beside(path), [jsontext.dumps(found["manifest"]) + b"\n"])
    checked = verifying.verify(path)
    if checked.count:
        raise ConvstoreError(f"{path} is not what was exported: {checked.problems[0]['message']}")
    return path, found["manifest"]
