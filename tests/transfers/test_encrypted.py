"""What leaves an encrypted store and what comes to one: plain in the file, sealed on disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from convstore.services import storage_keys
from tests.conftest import ENGINES
from tests.erasing.doing import dump
from tests.local_upstream import answer
from tests.transfers.stage import Store, fresh, run_jobs

MASTER = "5e" * 32
WORDS = (b"Quokka", b"Wombat", b"Zebrafish")


@pytest.fixture(params=ENGINES)
def sealed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that encrypts."""
    with fresh(request, tmp_path_factory, storage_key=MASTER) as made:
        yield made


@pytest.fixture
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sealed: Store) -> Iterator[Store]:
    """One that does not, on the same engine."""
    request.param = "sqlite" if sealed.deps.database.is_sqlite else "postgres"
    with fresh(request, tmp_path_factory) as made:
        yield made


def said(store: Store) -> list[str]:
    """Three turns: the second repeats the settings of the first, the third has something big."""
    store.upstream.will(*(answer(f"Wombat {number}") for number in range(3)))
    root = store.alice.ask("Quokka", instructions="Zebrafish", user="zoe")["id"]
    second = store.alice.ask("Quokka again", instructions="Zebrafish", after=root, user="zoe")["id"]
    return [root, second, store.alice.ask("Quokka " * 3_000, after=second, user="zoe")["id"]]


def bring(store: Store, body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(body)
    report = store.bring(path)
    assert report.problems == []
    assert report.counts["exchanges"]["new"] == 3


class TestLeaving:
    def test_it_leaves_as_it_would_from_a_plain_store(self, sealed: Store, plain: Store, tmp_path: Path) -> None:
        said(sealed)
        body = sealed.export()
        for word in WORDS:
            assert word in body and word not in dump(sealed.deps)
        bring(plain, body, tmp_path)
        assert plain.export() == body

    def test_its_file_is_sealed_while_it_is_kept(self, sealed: Store) -> None:
        said(sealed)
        asked = sealed.alice.post("/v1/exports", json={"filters": {"user": "zoe"}}).json
        run_jobs(sealed, "export")
        path = f"/v1/exports/{asked['id']}"
        assert sealed.alice.get(f"{path}/content").data == sealed.export()
        assert sealed.alice.get(path).json["filters"] == {"user": "zoe"}
        assert not [word for word in WORDS if word in dump(sealed.deps)]

    def test_what_is_shredded_leaves_as_markers(self, sealed: Store, plain: Store, tmp_path: Path) -> None:
        own = said(sealed)
        asked = sealed.alice.post("/v1/exports", json={}).json
        run_jobs(sealed, "export")
        storage_keys.shred(sealed.deps, "acme")
        body = sealed.export()
        assert not [word for word in WORDS if word in body]
        assert sealed.alice.get(f"/v1/exports/{asked['id']}/content").status_code == 410
        bring(plain, body, tmp_path)
        assert plain.alice.get(f"/v1/responses/{own[1]}").json["erased"] is True
        assert plain.alice.ask("On", after=own[2])["status"] == "completed"
        assert plain.problems() == []


class TestComing:
    def test_it_is_sealed_as_what_is_said_here(self, sealed: Store, plain: Store, tmp_path: Path) -> None:
        own = said(plain)
        body = plain.export()
        bring(sealed, body, tmp_path)
        assert not [word for word in WORDS if word in dump(sealed.deps)]
        assert sealed.export() == body
        assert sealed.problems() == []
        shown = sealed.alice.get(f"/v1/responses/{own[1]}/context").json
        assert "Wombat 0" in str(shown)
        went_on = sealed.alice.ask("On", instructions="Zebrafish", after=own[1])
        assert went_on["instructions"] == "Zebrafish"

    def test_what_is_added_to_a_thread_that_is_here(self, sealed: Store, tmp_path: Path) -> None:
        """Settings that repeat those of a parent on disk, which are sealed under a mark."""
        own = said(sealed)
        body = sealed.export()
        with sealed.deps.database.transaction() as connection:
            for table in ("items", "exchanges", "ledger", "searches", "audit_log", "fingerprints"):
                where = {"items": "depth > 0", "exchanges": "depth > 0"}.get(table, "1 = 1")
                connection.exec_driver_sql(f"DELETE FROM {table} WHERE {where}")
        sealed.deps.audit._logs.clear()
        path = tmp_path / "in.jsonl"
        path.write_bytes(body)
        report = sealed.bring(path)
        assert (report.problems, report.counts["exchanges"]) == ([], {"known": 1, "new": 2})
        assert sealed.alice.get(f"/v1/responses/{own[1]}").json["instructions"] == "Zebrafish"

    def test_an_upload_is_sealed_and_a_rotation_seals_it_anew(self, sealed: Store, plain: Store) -> None:
        said(plain)
        body = plain.export()
        asked = sealed.alice.post("/v1/imports", data=body).json
        made = sealed.alice.post("/v1/exports", json={"filters": {"user": "Quokka"}}).json
        run_jobs(sealed, "export")
        assert not [word for word in WORDS if word in dump(sealed.deps)]
        done = storage_keys.reseal(sealed.deps, lambda *_: None, lambda _: None)
        assert (done.unreadable, done.destroyed) == (0, 2) or done.destroyed >= 1
        run_jobs(sealed, "import")
        found = sealed.alice.get(f"/v1/imports/{asked['id']}").json
        assert (found["status"], found["counts"]["exchanges"]) == ("completed", {"new": 3})
        assert sealed.alice.get(f"/v1/exports/{made['id']}").json["filters"] == {"user": "Quokka"}
        assert sealed.alice.get(f"/v1/exports/{made['id']}/content").status_code == 200
