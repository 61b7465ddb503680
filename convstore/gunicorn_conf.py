"""How gunicorn runs the service. `convstore serve` starts it with this file; the settings are convstore's own.

Each worker enters itself among the processes of the service, closes what dead ones left behind, and on a stop waits
for the streams that are still running, whose clients may have gone.
"""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING, Any

from convstore.config import load

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

_settings = load()

bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
workers = _settings.workers
worker_class = "gevent"
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

_beating: dict[int, Any] = {}


def post_worker_init(worker: Worker) -> None:
    """The application is loaded: take up work."""
    from convstore.services import recovery
    from convstore.telemetry import logs

    logs.configure(_settings.log_level, _settings.log_format)
    deps = worker.wsgi.extensions["convstore"].deps
    recovery.enter(deps)
    recovery.sweep(deps)
    _beating[os.getpid()] = recovery.start_beating(deps)
    logs.get().info("worker_ready", pid=os.getpid(), address=bind)


def worker_exit(server: Arbiter, worker: Worker) -> None:
    """The worker takes no more requests: let streams end, then leave."""
    from convstore.services import recovery, streaming

    beating: threading.Event | None = _beating.pop(os.getpid(), None)
    if beating is None:
        return
    streaming.wait(_settings.graceful_s)
    beating.set()
    deps = worker.wsgi.extensions["convstore"].deps
    recovery.leave(deps)
    deps.upstreams.close()
    deps.database.close()


def child_exit(server: Arbiter, worker: Worker) -> None:
    """A worker has ended: its gauges no longer count."""
    from convstore.telemetry import metrics

    metrics.forget_process(worker.pid)


def on_exit(server: Arbiter) -> None:
    """The service has ended."""
    shutil.rmtree(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""), ignore_errors=True)
