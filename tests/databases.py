"""Databases for tests that can share one: a fresh, migrated one on each engine, for as long as it is held."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import _named, _sql


@contextmanager
def migrated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a migrated database on the engine that the fixture is parametrised with."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("shared") / "convstore.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    with on_postgres(request.getfixturevalue("postgres_server"), "template_convstore") as url:
        yield url


@contextmanager
def on_postgres(server: str, template: str) -> Iterator[str]:
    """The URL of a PostgreSQL database that is gone at the end."""
    name = f"test_{os.urandom(6).hex()}"
    _sql(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _named(server, name)
    _sql(server, f"DROP DATABASE {name} WITH (FORCE)")
