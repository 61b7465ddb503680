"""The demo's convstore: a database, a key and the service in front of an upstream, as users start them."""

import os
from dataclasses import dataclass
from pathlib import Path

from convstore.cli.demo.processes import Child, Children

PROJECT = "demo"
# A cold start reads the whole service from disk; a warm one takes about a second.
READY_S = 60.0


@dataclass(frozen=True)
class Place:
    """Where things are: the database's file, and the loopback ports of the upstream and of convstore."""

    database: Path
    upstream_port: int
    port: int

    @property
    def database_url(self) -> str:
        """As SQLAlchemy wants it: three slashes and an absolute path."""
        return f"sqlite:///{self.database}"

    @property
    def upstream_url(self) -> str:
        """The base URL of the upstream."""
        return f"http://127.0.0.1:{self.upstream_port}/v1"

    @property
    def url(self) -> str:
        """Where convstore listens."""
        return f"http://127.0.0.1:{self.port}"


def environment(place: Place) -> dict[str, str]:
    """Our own environment, with convstore's settings in the place of any that are there.

    The reader's API key must not travel, nor a proxy stand between processes of one machine.
    """
    ours = ("CONVSTORE_", "OPENAI_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {
        **kept,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "PYTHONUNBUFFERED": "1",
        "CONVSTORE_DATABASE_URL": place.database_url,
        "CONVSTORE_UPSTREAM_URL": place.upstream_url,
        "CONVSTORE_UPSTREAM_DIALECT": "chat",
        "CONVSTORE_HOST": "127.0.0.1",
        "CONVSTORE_PORT": str(place.port),
        "CONVSTORE_WORKERS": "1",
        "CONVSTORE_AUTH": "keys",
    }


def start(children: Children) -> tuple[Child, str]:
    """Bring the database up to date, make a key and start the service; returns the service and the key."""
    children.run("db upgrade", "-m", "convstore", "db", "upgrade")
    key = children.run("keys create", "-m", "convstore", "keys", "create", "--project", PROJECT).strip()
    return children.start("convstore", "-m", "convstore", "serve"), key
