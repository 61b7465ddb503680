"""How gunicorn runs the service. `convstore serve` starts it with this file; the settings are convstore's own.

Each worker enters itself among the processes of the service, closes what dead ones left behind, and on a stop waits
for the streams that are still running, whose clients may have gone. Beside them the master has a worker for jobs,
which is no worker of gunicorn's (child.py).
"""

# gunicorn and gevent have no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import gevent
from gunicorn import glogging
from gunicorn.http.errors import NoMoreData
from gunicorn.workers.ggevent import GeventWorker
from prometheus_client import multiprocess

from convstore.child import Child
from convstore.config import load

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

_settings = load()

bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
workers = _settings.workers
worker_connections = _settings.connections
graceful_timeout = _settings.graceful_s
# A worker whose loop does not turn for this long is stuck; slow streams do not stop it.
timeout = 120
keepalive = 75
backlog = 2048
# The request line and headers only; bodies are limited by the application.
limit_request_line = 8190
loglevel = "warning"
control_socket_disable = True
proc_name = "convstore"

_beating: dict[int, Callable[[], None]] = {}
# Longer than it tries to put its jobs back when its time is up.
_CHILD_LEAVES_S = 10.0


class _Line(logging.Formatter):
    """gunicorn's own words in the form of ours: one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "event": record.getMessage(),
            "logger": record.name,
            "pid": record.process,
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _JsonLogger(glogging.Logger):
    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(_Line())


logger_class = _JsonLogger if _settings.log_format == "json" else glogging.Logger


class StoppableWorker(GeventWorker):
    """gunicorn's gevent worker, which at a stop hangs up on clients that keep a connection and ask nothing.

    SDKs keep theirs for long. gunicorn waits for them as for requests, until its master has had enough and kills the
    worker: then nobody does what is to be done at its end.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: set[Any] = set()

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Around the wait for the next request of a connection."""
        connection = gevent.getcurrent()
        self._idle.add(connection)
        try:
            with super().timeout_ctx():
                yield
        finally:
            self._idle.discard(connection)

    def run(self) -> None:
        gevent.spawn(self._hang_up)
        super().run()

    def _hang_up(self) -> None:
        while self.alive:
            gevent.sleep(0.25)
        # The loop above this one takes up to a second to stop listening; who came last is still served.
        gevent.sleep(1.5)
        while True:
            for connection in list(self._idle):
                # What it raises itself when a client closes the connection: no answer is written.
                connection.kill(NoMoreData, block=False)
            gevent.sleep(0.25)


worker_class = StoppableWorker


def on_starting(_server: Any) -> None:
    """Before there are workers: what they all need, they share."""
    from convstore.domain.pricing import library

    library.preload(upstream.url for upstream in _settings.upstreams)


def when_ready(server: Any) -> None:
    """The master listens: start the worker for jobs, and stop it when the master begins to stop."""
    if _settings.worker != "child":
        return
    child = Child(say=server.log.warning, died=_figures_end)
    stop = server.stop

    def stop_both(graceful: bool = True) -> None:
        # Before the streams are waited for: jobs have the same time to end, and no new ones begin.
        child.stop(graceful=graceful)
        stop(graceful)

    server.stop = stop_both
    server.convstore_child = child
    child.start()


def post_worker_init(worker: Worker) -> None:
    """The application is loaded: take up work.

    A worker whose database cannot be written waits for it: its work would be nobody's, and a failure here would make
    gunicorn stop the other workers, too.
    """
    from convstore.services import recovery
    from convstore.telemetry import logs

    logs.configure(_settings.log_level, _settings.log_format)
    deps = worker.wsgi.extensions["convstore"].deps
    _until_it_works(worker, lambda: recovery.enter(deps))
    # Silence is no sign yet: this worker may be starting because the database was away, for everybody.
    _until_it_works(worker, lambda: recovery.sweep(deps, since=deps.clock()))
    _beating[os.getpid()] = recovery.start_beating(deps)
    # What is loaded stays: the collector need not look at it again and again. A request makes some thousand objects
    # that reference counting frees; the default of 700 would have it look several times in each.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    logs.get().info("worker_ready", pid=os.getpid(), address=bind)


def _until_it_works(worker: Worker, act: Callable[[], object]) -> None:
    from convstore.errors import StorageUnavailable
    from convstore.telemetry import logs

    while worker.alive:
        try:
            act()
            return
        except StorageUnavailable:
            logs.get().warning("waiting_for_the_database", pid=os.getpid())
        worker.notify()
        gevent.sleep(0.5)


def worker_exit(_server: Arbiter, worker: Worker) -> None:
    """The worker takes no more requests: let streams end, then leave."""
    from convstore.services import recovery, streaming

    stop_beating = _beating.pop(os.getpid(), None)
    if stop_beating is None:
        return
    streaming.wait(_settings.graceful_s)
    stop_beating()
    deps = worker.wsgi.extensions["convstore"].deps
    recovery.leave(deps)
    deps.upstreams.close()
    deps.database.close()


def child_exit(_server: Arbiter, worker: Worker) -> None:
    """A worker has ended."""
    _figures_end(int(worker.pid))


def _figures_end(pid: int) -> None:
    """The gauges of a process no longer count."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return  # gunicorn was started by hand: each process has its own figures, and took them along
    # Not through our own module: it remembers in which process it was loaded, and the next worker is a fork of this.
    multiprocess.mark_process_dead(pid)


def on_exit(server: Any) -> None:
    """The service has ended."""
    child: Child | None = getattr(server, "convstore_child", None)
    if child is not None:
        child.wait(_settings.graceful_s + _CHILD_LEAVES_S)
    shutil.rmtree(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""), ignore_errors=True)
