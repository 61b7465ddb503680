"""What dead processes left behind, and staying known to be alive.

Every process of the service has an entry and renews it. Whoever finds an entry whose process is gone (on this
machine: no such process; elsewhere: not renewed for a minute) closes what it had begun: as incomplete, with what had
arrived. Nothing stays in progress for ever. Jobs it had begun go back in the queue. Answers that could not be written
when they came are tried again here. Background responses are not closed: a worker takes them over (background.py).
"""

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from convstore.domain.exchange import Ending
from convstore.errors import ConvstoreError, StorageUnavailable
from convstore.services import arrived, costing, histories, jobs
from convstore.services.deps import Deps
from convstore.storage import everywhere, exchanges, journals, queue, turns
from convstore.storage.everywhere import Process
from convstore.telemetry import logs, metrics

BEAT_S = 10.0
# Longer is not waited for a beat in progress: the database may be away.
LAST_BEAT_S = 5.0
SILENT = timedelta(seconds=60)
# Exchanges closed in one go: the service is answering others meanwhile.
BATCH = 200


def new_process() -> bytes:
    """An id for this process."""
    return uuid.uuid4().bytes


def enter(deps: Deps) -> None:
    """Announce this process. What it took for stored before, it does not any more."""
    at, now = time.monotonic(), deps.clock()
    if not deps.database.memory.forget(LAST_BEAT_S):
        raise StorageUnavailable
    with deps.database.transaction() as connection:
        everywhere.enter(connection, Process(deps.process, _machine(), os.getpid(), now, now, deps.role))
    deps.database.memory.heard(at)


def leave(deps: Deps) -> None:
    """Take this process's entry back; it stays if it has work on record."""
    _write_late(deps)
    # Who is not on record is not waited for by those who erase payloads: it must not take any for stored.
    deps.database.memory.heard(float("-inf"))
    if not deps.database.memory.forget(LAST_BEAT_S):
        return
    with suppress(StorageUnavailable), deps.database.transaction() as connection:
        everywhere.leave(connection, deps.process)


def sweep(deps: Deps, since: datetime | None = None) -> int:
    """Close what dead processes had begun. Returns how many exchanges were closed.

    since: from when on others could have been heard. Silence before it says nothing: it may have been ours.
    """
    with deps.database.connection() as connection:
        gone = [each.id for each in everywhere.processes(connection) if _is_gone(deps, each, since)]
        gone += everywhere.ownerless(connection, BATCH) + queue.ownerless(connection)
    closed = 0
    while gone:
        with deps.database.connection() as connection:
            left = everywhere.abandoned(connection, gone, BATCH)
        done = sum(_closed(deps, project_id, exchange_id) for project_id, exchange_id in left)
        closed += done
        if len(left) < BATCH or not done:
            break
    if gone:
        jobs.take_over(deps, gone)
    for process_id in gone:
        with deps.database.transaction() as connection:
            everywhere.leave(connection, process_id)
    return closed


def living(deps: Deps) -> set[bytes]:
    """The processes that are alive, as far as one can tell."""
    with deps.database.connection() as connection:
        return {each.id for each in everywhere.processes(connection) if not _is_gone(deps, each, None)}


def close(deps: Deps, project_id: str, exchange_id: str) -> bool:
    """End an exchange that nobody is answering as incomplete, with what had arrived. False when it has ended."""
    return _close(deps, project_id, exchange_id)


def workers(deps: Deps) -> int:
    """How many processes that run jobs are alive."""
    with deps.database.connection() as connection:
        known = everywhere.processes(connection)
    return sum(each.role == "worker" and not _is_gone(deps, each, None) for each in known)


def drop_journals(deps: Deps) -> int:
    """Forget the events of background responses that ended a while ago. Returns of how many.

    They can still be streamed again: their events are made anew from what is stored.
    """
    dropped = 0
    while (done := journals.drop(deps.database, deps.clock() - deps.journal_kept, BATCH)) == BATCH:
        dropped += done
    return dropped + done


def start_beating(deps: Deps, every_s: float | None = None) -> Callable[[], None]:
    """Keep this process known to be alive, in a thread, until what is returned is called.

    It waits for the beat that is just going on: one that found no entry would write a new one after `leave`.
    """
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(deps, over, every_s or BEAT_S), daemon=True)
    beating.start()

    def stop() -> None:
        over.set()
        beating.join(LAST_BEAT_S)

    return stop


def forget_payloads(deps: Deps) -> None:
    """If anybody is about to erase payloads: forget which are stored, and say so when nobody relies on it any more.

    Not from inside a transaction.
    """
    memory = deps.database.memory
    with deps.database.connection() as connection:
        number = everywhere.epoch(connection)
    if number > memory.epoch and memory.forget(LAST_BEAT_S):
        with deps.database.transaction() as connection:
            everywhere.acknowledge(connection, deps.process, number)
        memory.epoch = number


def remembering(deps: Deps, number: int) -> list[Process]:
    """The others that may still take for stored what they knew before that number of `epochs`."""
    with deps.database.connection() as connection:
        known = everywhere.processes(connection)
    return [
        each
        for each in known
        if each.id != deps.process and (each.epoch is None or each.epoch < number) and not _is_gone(deps, each, None)
    ]


def _beat(deps: Deps, stop: threading.Event, every_s: float) -> None:
    since = beaten = deps.clock()
    while not stop.wait(every_s):
        try:
            at, now = time.monotonic(), deps.clock()
            with deps.database.transaction() as connection:
                alive = everywhere.beat(connection, deps.process, now)
            if now - beaten > SILENT / 2:
                # The database was away, or the machine asleep. Whoever has an answer to write gets time to do it.
                since = now
            beaten = now
            if not alive:
                enter(deps)
            deps.database.memory.heard(at)
            forget_payloads(deps)
            _write_late(deps)
            sweep(deps, since)
            drop_journals(deps)
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
        output = arrived.output(everywhere.journal(scope.connection, exchange_id, scope.vault))
        thread = histories.thread(scope, exchange).after(output) if output and deps.relay.link_histories else None
    ending = Ending(
        status="incomplete",
        completed_at=deps.clock(),
        output=output,
        thread=thread,
        error={"code": "server_error", "message": "The service stopped while the answer was arriving."},
    )
    ending = costing.with_entry(deps, costing.somebody(deps, project_id, exchange), exchange, ending)
    done = turns.end(deps.database, project_id, exchange.place, ending, journalled=True)
    if done:
        metrics.RECOVERED.inc()
        logs.get().info("exchange_recovered", response_id=exchange_id, items=len(ending.output))
    return done


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
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process is dead, and only its parent has not looked yet: some take seconds, or never do."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return False


def _machine() -> str:
    """This machine, as far as process ids are concerned: containers share names, not process ids."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()
