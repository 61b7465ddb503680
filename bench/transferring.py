"""`python -m bench.transferring`: one export or import in a process of its own, so that its memory is its own.

The same is done with ten exchanges first: what is loaded by then, and what the first use of anything takes, is not what
a bigger file costs. Prints what it took as JSON.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import processes
from convstore import bootstrap
from convstore.config import Settings, UpstreamSettings
from convstore.domain.exporting import FORMATS
from convstore.domain.manifest import Tally
from convstore.services import exporting, importing, imports, reindexing, selecting
from convstore.services.deps import Deps
from convstore.services.importing import Run
from convstore.services.selecting import Wanted
from convstore.telemetry import logs

KEY = "0123456789abcdef" * 2
LOOK_EVERY_S = 0.02
MIB = 2**20


def settings(url: str) -> Settings:
    """A store on this database, with nobody to ask and with its audit log."""
    return Settings(database_url=url, upstreams=(UpstreamSettings("nobody", "http://127.0.0.1:9/v1"),), audit_key=KEY)


def main() -> None:
    """Do it, and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("export", "import"))
    for name in ("--url", "--project", "--first", "--format", "--file"):
        parser.add_argument(name)
    parser.add_argument("--database", type=int)
    given = parser.parse_args()
    logs.configure("error", "console")
    with bootstrap.working(settings(given.url), role="command") as deps:
        if given.what == "export":
            ten = selecting.conversation(deps, given.project, given.first, FORMATS[given.format].extents[-1])
            _export(deps, given.project, given.format, ten)
        else:
            _import(deps, given.project, Path(given.first))
        with measured(given.database) as took:
            if given.what == "export":
                everything = Wanted(FORMATS[given.format].extents[-1])
                took |= _export(deps, given.project, given.format, everything)
            else:
                took |= _import(deps, given.project, Path(given.file))
    sys.stdout.write(json.dumps(took) + "\n")


def _export(deps: Deps, project: str, format: str, wanted: Wanted) -> dict[str, float]:
    tally, size = Tally(format), 0
    for piece in exporting.pieces(deps, project, format, wanted, tally):
        size += len(piece)
    return {"exchanges": tally.exchanges, "file_bytes": size}


def _import(deps: Deps, project: str, path: Path) -> dict[str, float]:
    """As the command line does."""
    wanted, now = imports.Wanted(), deps.clock()
    imports.check(project, path, wanted, now)
    with imports.opened(project, path, wanted, now) as local:
        arrival = importing.arrival(deps, "import_bench", now, local.format)
        report = importing.run(deps, Run(project, arrival), local.records)
    reindexing.after_import(deps, project)
    assert not report.problems, report.problems[:3]
    return {"exchanges": report.as_dict()["counts"]["exchanges"]["new"], "file_bytes": path.stat().st_size}


# -- what it takes --------------------------------------------------------------------------------------------


@contextmanager
def measured(database_pid: int | None) -> Iterator[dict[str, float]]:
    """Seconds, CPU and memory of what is done inside, and what the database's own processes spent on it."""
    took: dict[str, float] = {}
    own = Own()
    began, cpu = time.monotonic(), time.process_time()
    database = processes.cpu_s(database_pid) if database_pid else 0.0
    with own.watched():
        yield took
    took["seconds"], took["cpu_s"] = time.monotonic() - began, time.process_time() - cpu
    took["database_cpu_s"] = processes.cpu_s(database_pid) - database if database_pid else 0.0
    took["peak_mib"] = _peak_bytes() / MIB
    took["first_mib"], took["own_mib"] = own.first / MIB, own.most / MIB


class Own:
    """The memory of this process without the files that it has mapped: SQLite maps its own, up to 256 MiB of it.

    The system keeps no peak of that, so it is looked at fifty times a second.
    """

    def __init__(self) -> None:
        self.first = self.most = _own_bytes()
        self._is_over = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        yield
        self._is_over.set()
        watcher.join()

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_EVERY_S):
            self.most = max(self.most, _own_bytes())


def _own_bytes() -> int:
    """Where the system does not tell: the peak of all."""
    import resource

    try:
        _, resident, shared, *_ = Path("/proc/self/statm").read_text().split()
    except OSError:
        return _peak_bytes()
    return (int(resident) - int(shared)) * resource.getpagesize()


def _peak_bytes() -> int:
    """The most that was resident. getrusage would count the process that started this one in: it is asked last."""
    import resource

    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
