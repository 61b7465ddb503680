"""The demo's last words: where the database is, how to serve it on, how to read from it."""

import shlex
import shutil
import sys
from pathlib import Path

from convstore.cli.demo.service import PROJECT, Place
from convstore.cli.demo.upstreams import Upstream

# What `convstore serve` listens on when nothing else is said, and a neighbour for the upstream.
PORT = 8080
UPSTREAM_PORT = 8181


def text(database: Path, upstream: Upstream, response_id: str) -> str:
    """Commands that can be pasted into a shell. They name no key; the reader makes one."""
    place = Place(database, UPSTREAM_PORT, PORT)
    python = shlex.quote(sys.executable)
    convstore = command(python)
    return "\n".join(
        (
            f"The database is {database}; another run adds to it. To serve it on:",
            "",
            f"  export CONVSTORE_DATABASE_URL={shlex.quote(place.database_url)}",
            f"  export CONVSTORE_UPSTREAM_URL={place.upstream_url} CONVSTORE_UPSTREAM_DIALECT=chat",
            f"  {python} {shlex.join(upstream.arguments)} {UPSTREAM_PORT} &",
            f"  {convstore} serve",
            "",
            "and in another shell, with the same CONVSTORE_DATABASE_URL, make a key and read one response:",
            "",
            f"  KEY=$({convstore} keys create --project {PROJECT})",
            f'  curl -H "Authorization: Bearer $KEY" {place.url}/v1/responses/{response_id}',
        )
    )


def command(python: str) -> str:
    """`convstore` where the shell finds the one that is running, else the long form."""
    found = shutil.which("convstore")
    ours = found and Path(found).resolve().parent == Path(sys.executable).parent.resolve()
    return "convstore" if ours else f"{python} -m convstore"
