"""What it takes to export and to import: exchanges a second, CPU and memory, by format and by size.

    import jsonl      a file of our own format (bench/archives.py) into an empty database
    import chatgpt    an account of as many questions with their answers, into another one
    export …          all that the first import left, in each format

Each is done in a process of its own (bench/transferring.py), also at a tenth and a hundredth of the size: memory is to
stay the same.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import archives, processes
from bench.databases import Database
from bench.servers import House, Server
from bench.transferring import settings
from convstore import bootstrap, ids
from convstore.domain.exporting import FORMATS
from convstore.services import keys
from convstore.storage import migrations
from convstore.telemetry import logs

SIZES = (1_000, 10_000, 100_000)
FEW = 10
WHAT = ("import jsonl", "import chatgpt", *(f"export {name}" for name in FORMATS))


@dataclass(frozen=True)
class TransferFigures:
    """One export or import.

    size: exchanges of the store; exchanges: how many were read or written: Chat Completions have those again that
    threads share. peak_mib: all that was resident; own_mib: the most without mapped files; first_mib: that after ten
    exchanges.
    """

    server: str
    what: str
    size: int
    exchanges: int
    seconds: float
    cpu_s: float
    database_cpu_s: float
    file_bytes: int
    peak_mib: float
    own_mib: float
    first_mib: float

    @property
    def per_s(self) -> float:
        """Exchanges a second."""
        return self.exchanges / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU of this process an exchange."""
        return self.cpu_s / self.exchanges * 1e6

    @property
    def grown_mib(self) -> float:
        """What it takes more than ten exchanges do."""
        return self.own_mib - self.first_mib


def measure(house: House, quick: bool, say: Callable[[str], None]) -> list[TransferFigures]:
    """Everything on every server that has a database; quick: a tenth of the sizes."""
    logs.configure("error", "console")
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-transfers-") as folder:
        for size in SIZES:
            size //= 10 if quick else 1
            files = Files.made(Path(folder), size)
            for server in house.servers:
                for one in _figures(server, size, files):
                    taken = f"{one.per_s:,.0f} exchanges/s, {one.cpu_us:,.0f} µs of CPU, {one.grown_mib:+.1f} MiB"
                    say(f"transfers: {one.server}: {one.what}, {size:,}: {taken}")
                    found.append(one)
    return sorted(found, key=lambda one: (WHAT.index(one.what), one.server, one.size))


@dataclass(frozen=True)
class Files:
    """What is imported. first: a conversation of ten exchanges, of which this is the id."""

    native: Path
    chatgpt: Path
    few: Path
    first: str

    @classmethod
    def made(cls, folder: Path, size: int) -> "Files":
        files = cls(folder / "convstore.jsonl", folder / "conversations.json", folder / "few.jsonl", archives.first(1))
        archives.native(files.native, size, seed=2)
        archives.chatgpt(files.chatgpt, size, seed=3)
        archives.native(files.few, FEW, seed=1)
        return files


def _figures(server: Server, size: int, files: Files) -> Iterator[TransferFigures]:
    if server.database is None:
        return
    theirs = server.database.beside(f"chatgpt_{size}")
    given = ("--first", str(files.few), "--file", str(files.chatgpt))
    yield _figure(server, "import chatgpt", size, theirs, _project(theirs), "import", *given)
    database = server.database.beside(f"native_{size}")
    project = _project(database)
    given = ("--first", str(files.few), "--file", str(files.native))
    yield _figure(server, "import jsonl", size, database, project, "import", *given)
    for name in FORMATS:
        given = ("--first", files.first, "--format", name)
        yield _figure(server, f"export {name}", size, database, project, "export", *given)


def _project(database: Database) -> str:
    """The id of a project in a database that has nothing else."""
    with bootstrap.working(settings(database.url), role="command") as deps:
        migrations.upgrade(deps.database)
        keys.create(deps, "bench")
    ((own,),) = database.rows("SELECT project_id FROM api_keys LIMIT 1", ())
    return ids.unpack(ids.PROJECT, bytes(own))


def _figure(server: Server, what: str, size: int, database: Database, project: str, *given: str) -> TransferFigures:
    command = [sys.executable, "-m", "bench.transferring", *given, "--url", database.url, "--project", project]
    if database.pid is not None:
        command += ["--database", str(database.pid)]
    return TransferFigures(server.name, what, size, **json.loads(processes.output_of(command, {})))
