"""API keys: made, listed, revoked, and recognised."""

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from convstore.domain.project import ProjectSettings
from convstore.errors import InvalidRequest, NotFound, StorageUnavailable, Unauthenticated
from convstore.services import keys, projects
from convstore.services.deps import Deps
from convstore.services.keys import Authenticator
from convstore.services.principal import Right
from convstore.storage import everywhere
from convstore.storage.database import Database, Options
from convstore.telemetry import metrics
from tests.conftest import FixedClock


@pytest.fixture
def project() -> str:
    return f"acme {os.urandom(4).hex()}"


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic seconds that the cache of keys sees."""
    now = [1000.0]
    monkeypatch.setattr(keys, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture(autouse=True)
def noise(deps: Deps) -> None:
    """Keys of others."""
    keys.create(deps, f"globex {os.urandom(4).hex()}", name="carol")


def statements() -> int:
    return int(metrics.SQL_STATEMENTS._value.get())


def last_use(deps: Deps, key_id: str, project: str) -> object:
    (found,) = [key for key in keys.listed(deps, project) if key.id == key_id]
    return found.last_used_at


class TestCreate:
    def test_a_key_opens_its_project(self, deps: Deps, project: str) -> None:
        key, text = keys.create(deps, project, name="alice")
        principal = Authenticator(deps).principal(text)
        assert (principal.project_id, principal.project, principal.key_id) == (
            key.project_id,
            project,
            key.id,
        )
        assert principal.rights == frozenset(Right)

    def test_its_text_is_in_no_row(self, deps: Deps, project: str) -> None:
        key, text = keys.create(deps, project)
        assert text.startswith("sk-")
        assert len(text) > 40
        assert text not in repr(keys.listed(deps, project))
        with deps.database.connection() as connection:
            assert everywhere.key_by_digest(connection, hashlib.sha256(text.encode()).digest()) == (
                key,
                ProjectSettings(),
            )

    def test_two_keys_of_a_project_are_of_one_project(self, deps: Deps, project: str) -> None:
        alice, bob = keys.create(deps, project), keys.create(deps, project)
        assert alice[0].project_id == bob[0].project_id
        assert alice[1] != bob[1]

    def test_its_rights_are_those_it_was_given(self, deps: Deps, project: str) -> None:
        _, text = keys.create(deps, project, scopes=(Right.READ,))
        assert Authenticator(deps).principal(text).rights == {Right.READ}

    @pytest.mark.parametrize("name", ["", "  ", "x" * 256])
    def test_a_project_needs_a_name(self, deps: Deps, name: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            keys.create(deps, name)
        assert refused.value.param == "project"


class TestListed:
    def test_they_are_listed_oldest_first(self, deps: Deps, project: str) -> None:
        made = [keys.create(deps, project, name=name)[0] for name in ("alice", "bob")]
        assert keys.listed(deps, project) == made
        assert [key for key in keys.listed(deps) if key in made] == made


class TestRevoke:
    def test_a_revoked_key_opens_nothing(self, deps: Deps, project: str) -> None:
        key, text = keys.create(deps, project)
        other = keys.create(deps, project)[1]
        keys.revoke(deps, key.id)
        with pytest.raises(Unauthenticated) as refused:
            Authenticator(deps).principal(text)
        assert (refused.value.code, refused.value.message) == (
            "invalid_api_key",
            "Incorrect API key provided.",
        )
        assert Authenticator(deps).principal(other)

    def test_once(self, deps: Deps, project: str) -> None:
        key, _ = keys.create(deps, project)
        keys.revoke(deps, key.id)
        for unknown in (key.id, "key_" + "0" * 32, "", "x"):
            with pytest.raises(NotFound):
                keys.revoke(deps, unknown)


class TestPrincipal:
    @pytest.mark.parametrize("text", ["sk-", "sk-unknown", "x" * 100_000, "é\udcff", "\0"])
    def test_an_unknown_key_is_refused(self, deps: Deps, text: str) -> None:
        with pytest.raises(Unauthenticated) as refused:
            Authenticator(deps).principal(text)
        assert refused.value.code == "invalid_api_key"
        assert text not in refused.value.message

    @pytest.mark.parametrize("text", [None, ""])
    def test_no_key_is_told_how_to_send_one(self, deps: Deps, text: str | None) -> None:
        with pytest.raises(Unauthenticated, match="You didn't provide an API key") as refused:
            Authenticator(deps).principal(text)
        assert refused.value.code is None

    def test_a_key_that_was_recognised_is_believed_for_a_while(
        self, deps: Deps, project: str, ticks: list[float]
    ) -> None:
        deps = replace(deps, key_cache_s=5.0)
        authenticator = Authenticator(deps)
        key, text = keys.create(deps, project)
        authenticator.principal(text)
        before = statements()
        authenticator.principal(text)
        assert statements() == before
        keys.revoke(deps, key.id)
        ticks[0] += 4.9
        assert authenticator.principal(text)
        ticks[0] += 0.2
        with pytest.raises(Unauthenticated):
            authenticator.principal(text)

    def test_one_that_was_not_is_looked_up_again(self, deps: Deps, ticks: list[float]) -> None:
        authenticator = Authenticator(replace(deps, key_cache_s=5.0))
        for _ in range(2):
            before = statements()
            with pytest.raises(Unauthenticated):
                authenticator.principal("sk-unknown")
            assert statements() == before + 1

    def test_it_carries_what_its_project_has_chosen(self, deps: Deps, project: str, ticks: list[float]) -> None:
        authenticator = Authenticator(replace(deps, key_cache_s=5.0))
        other = f"globex {os.urandom(4).hex()}"
        (_, text), (_, theirs) = keys.create(deps, project), keys.create(deps, other)
        for key in (text, theirs):
            assert authenticator.principal(key).settings == ProjectSettings("keep")
        projects.change(deps, project, unstored="discard")
        ticks[0] += 4.9
        assert authenticator.principal(text).settings.unstored == "keep"
        ticks[0] += 0.2
        before = statements()
        assert authenticator.principal(text).settings.unstored == "discard"
        assert statements() == before + 1
        assert authenticator.principal(theirs).settings.unstored == "keep"

    def test_an_expired_key_is_refused_to_the_moment(
        self, deps: Deps, project: str, clock: FixedClock, ticks: list[float]
    ) -> None:
        authenticator = Authenticator(replace(deps, key_cache_s=10**9))
        _, text = keys.create(deps, project, expires_at=clock() + timedelta(hours=1))
        assert authenticator.principal(text)
        clock.advance(minutes=59)
        assert authenticator.principal(text)
        clock.advance(minutes=1)
        with pytest.raises(Unauthenticated, match="expired") as refused:
            authenticator.principal(text)
        assert refused.value.code == "invalid_api_key"

    def test_its_last_use_is_noted_once_a_minute(self, deps: Deps, project: str, clock: FixedClock) -> None:
        authenticator = Authenticator(deps)  # nothing is believed for longer than a moment
        key, text = keys.create(deps, project)
        assert last_use(deps, key.id, project) is None
        authenticator.principal(text)
        first = last_use(deps, key.id, project)
        assert first is not None
        clock.advance(seconds=30)
        authenticator.principal(text)
        assert last_use(deps, key.id, project) == first
        clock.advance(seconds=31)
        authenticator.principal(text)
        assert last_use(deps, key.id, project) != first

    def test_another_process_notes_it_no_more_often(self, deps: Deps, project: str) -> None:
        key, text = keys.create(deps, project)
        Authenticator(deps).principal(text)
        first = last_use(deps, key.id, project)
        Authenticator(deps).principal(text)
        assert last_use(deps, key.id, project) == first

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_a_database_that_cannot_be_written_keeps_nobody_out(
        self, deps: Deps, project: str, database_url: str
    ) -> None:
        """Noting a use is a courtesy; reading must not wait for it in vain."""
        _, text = keys.create(deps, project)
        with Database(Options(database_url, busy_s=0.1)) as busy, deps.database.transaction():
            assert Authenticator(replace(deps, database=busy)).principal(text)

    def test_memory_of_keys_is_bounded(self, deps: Deps, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keys, "_REMEMBERED", 3)
        authenticator = Authenticator(replace(deps, key_cache_s=100.0))
        for _ in range(8):
            authenticator.principal(keys.create(deps, project)[1])
        assert len(authenticator._known) <= 5


class TestOpenAccess:
    @pytest.fixture
    def open_deps(self, deps: Deps) -> Iterator[Deps]:
        yield replace(deps, open_access=True)

    def test_everybody_works_on_one_local_project(self, open_deps: Deps) -> None:
        authenticator = Authenticator(open_deps)
        principals = {authenticator.principal(text) for text in (None, "", "sk-whatever")}
        (local,) = principals
        assert (local.project, local.key_id, local.rights) == ("default", None, frozenset(Right))

    def test_it_is_made_once(self, open_deps: Deps) -> None:
        authenticator = Authenticator(open_deps)
        found: list[object] = []
        threads = [threading.Thread(target=lambda: found.append(authenticator.principal(None))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(found) == 6
        assert len(set(found)) == 1
        assert Authenticator(open_deps).principal(None) == found[0]

    def test_what_it_chooses_is_followed_too(self, open_deps: Deps, ticks: list[float]) -> None:
        authenticator = Authenticator(replace(open_deps, key_cache_s=5.0))
        local = authenticator.principal(None)
        projects.change(open_deps, local.project, unstored="discard")
        before = statements()
        assert authenticator.principal(None) == local
        assert statements() == before
        ticks[0] += 5.1
        assert authenticator.principal(None) == replace(local, settings=ProjectSettings("discard"))
        assert statements() == before + 1
        projects.change(open_deps, local.project, unstored="keep")


class TestStore:
    def test_one_that_is_gone_is_no_wrong_key(self, deps: Deps) -> None:
        nowhere = Options("postgresql+psycopg://u@127.0.0.1:1/x", busy_s=0.1)
        with Database(nowhere) as gone, pytest.raises(StorageUnavailable):
            Authenticator(replace(deps, database=gone)).principal("sk-x")
