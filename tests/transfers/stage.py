"""Two stores beside each other on one engine: what leaves the one comes back alive in the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from convstore import bootstrap
from convstore.app import create_app
from convstore.config import Settings
from convstore.domain.exporting import FORMATS, Extent
from convstore.domain.manifest import Tally
from convstore.domain.report import Report
from convstore.errors import ConvstoreError
from convstore.services import (
    exporting,
    importing,
    imports,
    jobs,
    keys,
    projects,
    recovery,
    reindexing,
    selecting,
    verification,
)
from convstore.services.deps import Deps
from convstore.services.importing import Run
from convstore.services.running_job import RunningJob
from convstore.services.selecting import Wanted
from convstore.storage import queue
from tests.conftest import Client, FixedClock, upstream_settings
from tests.databases import migrated
from tests.local_upstream import LocalUpstream

KEY = "0123456789abcdef0123456789abcdef"


@dataclass
class Store:
    """A service on a database of its own. alice and bob are Acme's, carol is Globex's."""

    settings: Settings
    deps: Deps
    app: Flask
    upstream: LocalUpstream
    alice: Client
    bob: Client
    carol: Client
    acme: str
    globex: str

    def export(self, format: str = "jsonl", wanted: Wanted | None = None, project: str | None = None) -> bytes:
        """The file of what is wanted: of everything, unless told."""
        wanted = wanted or Wanted(FORMATS[format].extents[-1])
        return b"".join(exporting.pieces(self.deps, project or self.acme, format, wanted, Tally(format)))

    def conversation(self, conversation_id: str, format: str = "jsonl") -> bytes:
        return self.export(format, selecting.conversation(self.deps, self.acme, conversation_id, Extent.TREE))

    def bring(self, path: Path, project: str | None = None, **wanted: Any) -> Report:
        """Bring a file in, as the command line does."""
        given, into = imports.Wanted(**wanted), project or self.acme
        now = self.deps.clock()
        imports.check(into, path, given, now)
        with imports.opened(into, path, given, now) as local:
            run = Run(into, importing.arrival(self.deps, "import_x", now, local.format), given.dry_run)
            report = importing.run(self.deps, run, local.records)
        reindexing.after_import(self.deps, into)
        return report

    def problems(self) -> list[dict[str, Any]]:
        """What is wrong with the audit log, and with the exchanges that it commits to."""
        return [problem for project in (self.acme, self.globex) for problem in self.wrong(project)]

    def wrong(self, project: str) -> list[dict[str, Any]]:
        """The same of one project."""
        return list(verification.verify(self.deps, project, limit=100_000).as_dict()["problems"])


@contextmanager
def store(url: str, upstream: LocalUpstream, **changes: Any) -> Iterator[Store]:
    """A service, with noise in it."""
    settings = Settings(database_url=url, upstreams=(upstream_settings(upstream),), key_cache_s=0.0, audit_key=KEY)
    settings = replace(settings, **changes)
    deps = bootstrap.deps(settings, FixedClock())
    recovery.enter(deps)
    app = create_app(settings, deps)
    try:
        cast = [
            Client(app, keys.create(deps, project, name=name)[1])
            for project, name in (("acme", "alice"), ("acme", "bob"), ("globex", "carol"))
        ]
        own = {each.name: each.id for each in projects.listed(deps)}
        yield Store(settings, deps, app, upstream, *cast, acme=own["acme"], globex=own["globex"])
    finally:
        deps.upstreams.close()
        deps.database.close()


@contextmanager
def fresh(request: pytest.FixtureRequest, factory: pytest.TempPathFactory, **changes: Any) -> Iterator[Store]:
    """The same on a database of its own on the engine that the fixture is parametrised with."""
    with migrated(request, factory) as url, LocalUpstream() as upstream, store(url, upstream, **changes) as made:
        yield made


def run_jobs(store: Store, *kinds: str) -> list[RunningJob]:
    """The jobs that are queued, run here as a worker would; those that fail are written down as failed."""
    ran = []
    while (held := queue.take(store.deps.database, store.deps.process, kinds, store.deps.clock())) is not None:
        job = RunningJob(store.deps.database, held)
        error: dict[str, Any] | None = None
        try:
            store.deps.kinds[job.kind].run(store.deps, job)
        except ConvstoreError as failed:
            error = {"code": failed.code, "message": failed.message}
        assert jobs.finish(store.deps, held, "failed" if error else "completed", error, job.unsaid)
        ran.append(job)
    return ran
