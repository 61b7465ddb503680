"""What dead processes left behind, and staying known to be alive.

Every process of the service has an entry and renews it. Whoever finds an entry whose process is gone (on this
machine: no such process; elsewhere: not renewed for a minute) closes what it had begun: as incomplete, with what had
arrived. Nothing stays in progress for ever. Answers that could not be written when they came are tried again here.
"""

import os
import socket
import threading
import uuid
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from convstore.domain import items, stream
from convstore.domain.exchange import Ending
from convstore.domain.fold import Fold
from convstore.domain.items import Item
from convstore.domain.jsontext import NotJson
from convstore.errors import ConvstoreError, StorageUnavailable
from convstore.services.deps import Deps
from convstore.storage import everywhere, exchanges, turns
from convstore.storage.everywhere import Process
from convstore.telemetry import logs, metrics

BEAT_S = 10.0
SILENT = timedelta(seconds=60)
# Exchanges closed in one go: the service is answering others meanwhile.
BATCH = 200


def new_process() -> bytes:
    """An id for this process."""
    return uuid.uuid4().bytes


def enter(deps: Deps) -> None:
    """Announce this process."""
    now = deps.clock()
    with deps.database.transaction() as connection:
        everywhere.enter(connection, Process(deps.process, _machine(), os.getpid(), now, now))


def leave(deps: Deps) -> None:
    """Take this process's entry back; it stays if it has work on record."""
    _write_late(deps)
    with suppress(StorageUnavailable), deps.database.transaction() as connection:
        everywhere.leave(connection, deps.process)


def sweep(deps: Deps, since: datetime | None = None) -> int:
    """Close what dead processes had begun. Returns how many exchanges were closed.

    since: from when on others could have been heard. Silence before it says nothing: it may have been ours.
    """
    with deps.database.connection() as connection:
        gone = [each.id for each in everywhere.processes(connection) if _is_gone(deps, each, since)]
        gone += everywhere.ownerless(connection, BATCH)
    closed = 0
    while gone:
        with deps.database.connection() as connection:
            left = everywhere.abandoned(connection, gone, BATCH)
        done = sum(_closed(deps, project_id, exchange_id) for project_id, exchange_id in left)
        closed += done
        if len(left) < BATCH or not done:
            break
    for process_id in gone:
        with deps.database.transaction() as connection:
            everywhere.leave(connection, process_id)
    return closed


def start_beating(deps: Deps) -> threading.Event:
    """Keep this process known to be alive, in a thread, until the event that is returned is set."""
    stop = threading.Event()
    threading.Thread(target=_beat, args=(deps, stop), daemon=True).start()
    return stop


def _beat(deps: Deps, stop: threading.Event) -> None:
    since = beaten = deps.clock()
    while not stop.wait(BEAT_S):
        try:
            now = deps.clock()
            with deps.database.transaction() as connection:
                alive = everywhere.beat(connection, deps.process, now)
            if now - beaten > SILENT / 2:
                # The database was away, or the machine asleep. Whoever has an answer to write gets time to do it.
                since = now
            beaten = now
            if not alive:
                enter(deps)
            _write_late(deps)
            sweep(deps, since)
        except ConvstoreError as error:
            logs.get().warning("heartbeat_failed", reason=error.message)
        except Exception:
            # Whatever it was: a process that stops beating is taken for dead, with all it is working on.
            logs.get().exception("heartbeat_failed")


def _write_late(deps: Deps) -> None:
    with deps.late.lock:
        waiting, deps.late.waiting[:] = list(deps.late.waiting), []
    for number, write in enumerate(waiting):
        try:
            write()
        except StorageUnavailable:
            with deps.late.lock:
                deps.late.waiting.extend(waiting[number:])
            return
        except Exception:
            # It can never be written; the others can.
            logs.get().exception("late_answer_lost")


def _closed(deps: Deps, project_id: str, exchange_id: str) -> bool:
    """Close one exchange; one that cannot be closed keeps nobody from closing the others, or from starting."""
    try:
        return _close(deps, project_id, exchange_id)
    except StorageUnavailable:
        raise
    except Exception:
        logs.get().exception("recovery_failed", response_id=exchange_id)
        return False


def _close(deps: Deps, project_id: str, exchange_id: str) -> bool:
    with deps.database.reading(project_id) as scope:
        exchange = exchanges.get(scope, exchange_id, hidden=True)
    if exchange is None:
        return False
    with deps.database.connection() as connection:
        arrived = everywhere.journal(connection, exchange_id)
    ending = Ending(
        status="incomplete",
        completed_at=deps.clock(),
        output=_output(arrived),
        error={"code": "server_error", "message": "The service stopped while the answer was arriving."},
    )
    done = turns.end(deps.database, project_id, exchange.place, ending, journalled=True)
    if done:
        metrics.RECOVERED.inc()
        logs.get().info("exchange_recovered", response_id=exchange_id, items=len(ending.output))
    return done


def _output(arrived: list[bytes]) -> list[Item]:
    """The output items in the journal. An event that cannot be read is left out: the rest is worth keeping."""
    folded = Fold()
    for part in arrived:
        for block in part.split(b"\n\n"):
            with suppress(NotJson):
                stream.fold([block], into=folded)
    return [items.of_object(item) for item in folded.output]


def _is_gone(deps: Deps, process: Process, since: datetime | None) -> bool:
    if process.id == deps.process:
        return False
    if process.host == _machine() and not _is_running(process.pid):
        return True
    heard = max(process.seen_at, since) if since else process.seen_at
    return deps.clock() - heard > SILENT


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _machine() -> str:
    """This machine, as far as process ids are concerned: containers share names, not process ids."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()
