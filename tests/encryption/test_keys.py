"""Keys: which are wanted at the start, how they are changed, and how they are destroyed."""

import os
import secrets
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from convstore import ids
from convstore.errors import Misconfigured
from convstore.services import storage_keys
from convstore.storage import migrations
from tests.api.test_audit import checked, project_of
from tests.conftest import Client
from tests.encryption.conftest import Stage, other, packed, unsealed
from tests.encryption.test_at_rest import BIG, WORDS, talk
from tests.local_upstream import wait_until

NEW = "a7" * 32


def silent(*_: Any) -> None:
    """Nobody is told, and nothing waited for."""


def everything_reads(client: Client, ids: list[str]) -> list[Any]:
    paths = [f"/v1/responses/{own}{more}" for own in ids for more in ("", "/input_items", "/context", "/thread")]
    answers = [client.get(path) for path in paths]
    assert {each.status_code for each in answers} == {200}
    return [each.json for each in answers]


class TestStart:
    def test_a_key_that_is_not_here_is_named(self, stage: Stage, alice: Client) -> None:
        alice.ask("Sealed")
        wanted = stage.deps.database.vault.masters.key_id
        assert wanted is not None
        for key in ("", NEW):
            with pytest.raises(Misconfigured) as refused, other(stage, storage_key=key):
                pass
            assert refused.value.message.startswith("CONVSTORE_STORAGE_KEY: ")
            assert wanted.hex() in refused.value.message
            assert stage.settings.storage_key not in refused.value.message
        with other(stage, storage_key=NEW, storage_keys_old=stage.settings.storage_key) as fine:
            migrations.check(fine.deps.database)

    def test_a_process_that_runs_without_it_gives_no_wrong_text(self, stage: Stage, alice: Client) -> None:
        own = alice.ask("Sealed")["id"]
        vault = stage.deps.database.vault
        masters, vault.masters = vault.masters, type(vault.masters)(NEW)
        vault.forget(packed(alice))
        try:
            answered = alice.get(f"/v1/responses/{own}/input_items")
        finally:
            vault.masters = masters
            vault.forget(packed(alice))
        assert (answered.status_code, answered.json["error"]["code"]) == (409, "content_unreadable")


class TestRotation:
    def test_the_old_master_key_may_be_forgotten(self, stage: Stage, alice: Client) -> None:
        ids = talk(stage, alice)
        before = everything_reads(alice, ids)
        old = stage.settings.storage_key
        with other(stage, storage_key=NEW, storage_keys_old=old) as rotated:
            assert storage_keys.rewrap(rotated.deps) > 1
            assert storage_keys.rewrap(rotated.deps) == 0
        with other(stage, storage_key=NEW) as after:
            assert everything_reads(Client(after.app, alice.key), ids) == before
            assert checked(after.deps, project_of(alice)) == []
        with other(stage, storage_key=old, storage_keys_old=NEW) as back:
            storage_keys.rewrap(back.deps)

    def test_bodies_get_a_new_key_and_the_old_ones_are_destroyed(self, stage: Stage, alice: Client) -> None:
        ids = talk(stage, alice)
        before = everything_reads(alice, ids)
        done = storage_keys.reseal(stage.deps, silent, silent)
        assert done.sealed > 20
        assert done.unreadable == 0
        rows = stage.sql(
            "SELECT number, destroyed_at, wrapped FROM storage_keys WHERE project_id = :p", p=packed(alice)
        )
        assert sorted((row.number, row.destroyed_at is None, len(row.wrapped) > 0) for row in rows) == [
            (1, False, False),
            (2, True, True),
        ]
        assert everything_reads(alice, ids) == before
        assert checked(stage.deps, project_of(alice)) == []
        alice.ask("Goes on", after=ids[0])

    def test_a_plain_store_is_sealed_to_the_last_word(self, stage: Stage) -> None:
        tag = secrets.token_hex(4)
        with unsealed(stage) as plain:
            client = plain.client()
            ids = talk(plain, client, tag)
            before = everything_reads(client, ids)
            assert client.get(f"/v1/responses?q=axolotl{tag}").json["data"]
        storage_keys.reseal(stage.deps, silent, silent)
        if stage.deps.database.is_sqlite:
            # What was deleted stays in free pages until then.
            stage.sql("INSERT INTO search_words (search_words) VALUES ('optimize')")
            with stage.deps.database.connection() as connection:
                connection.exec_driver_sql("VACUUM")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        everything = stage.everything().lower()
        assert [word for word in WORDS if f"{word}{tag}".encode() in everything] == []
        sealing = Client(stage.app, client.key)
        assert everything_reads(sealing, ids) == before
        assert checked(stage.deps, project_of(client)) == []
        with unsealed(stage) as off:
            again = Client(off.app, client.key)
            assert again.get(f"/v1/responses?q=axolotl{tag}").json["data"] == []
            assert len(again.get("/v1/responses?metadata.team=seen").json["data"]) == 1
        # The thread that a history continues is found by its marks.
        said = [("user", f"quokka{tag} asked"), ("assistant", f"okapi{tag} answered")]
        said += [("user", f"gharial{tag} asked {BIG.replace(' ', tag + ' ')}"), ("assistant", f"jerboa{tag} answered")]
        whole = [{"role": role, "content": text} for role, text in (*said, ("user", "New"))]
        new = sealing.ask(whole)["id"]
        assert sealing.get(f"/v1/responses/{new}/thread?items=false").json["data"][0]["id"] == ids[4]

    def test_while_others_ask(self, stage: Stage, alice: Client) -> None:
        over, failed = threading.Event(), []

        def work() -> None:
            client, last = Client(stage.app, alice.key), None
            while not over.is_set():
                answered = client.create("Round and round", after=last)
                if answered.status_code != 200:
                    failed.append(answered.text)
                    return
                last = answered.json["id"]

        threads = [threading.Thread(target=work) for _ in range(3)]
        for each in threads:
            each.start()
        try:
            for _ in range(3):
                storage_keys.reseal(stage.deps, silent)
        finally:
            over.set()
            for each in threads:
                each.join()
        assert failed == []
        listed = alice.get("/v1/responses?fields=input,output&limit=100")
        assert listed.status_code == 200
        assert len(listed.json["data"]) > 3
        assert checked(stage.deps, project_of(alice)) == []

    def test_one_that_is_killed_is_gone_on_with(self, stage: Stage, alice: Client) -> None:
        ids = [alice.ask(f"Question {number}")["id"] for number in range(60)]
        newest = "SELECT max(number) FROM storage_keys WHERE project_id = :p"
        (before,) = stage.sql(newest, p=packed(alice))[0]
        environment = {
            **os.environ,
            "CONVSTORE_DATABASE_URL": stage.settings.database_url,
            "CONVSTORE_STORAGE_KEY": stage.settings.storage_key,
        }
        command = [sys.executable, "-m", "convstore", "keys", "rotate-storage", "--bodies"]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            wait_until(lambda: stage.sql(newest, p=packed(alice))[0][0] > before)
            process.send_signal(signal.SIGKILL)
        assert len(everything_reads(alice, ids)) == 4 * len(ids)
        storage_keys.reseal(stage.deps, silent, silent)
        assert stage.sql(newest, p=packed(alice))[0][0] == before + 1
        assert len(everything_reads(alice, ids)) == 4 * len(ids)
        living = "SELECT count(*) FROM storage_keys WHERE project_id = :p AND destroyed_at IS NULL"
        assert stage.sql(living, p=packed(alice))[0][0] == 1


class TestShredding:
    def test_nothing_can_be_read_and_everything_goes_on(self, stage: Stage) -> None:
        name = f"acme {secrets.token_hex(4)}"
        alice, carol = stage.client(name), stage.client()
        ids = talk(stage, alice)
        kept = carol.ask("Carol's")["id"]
        conversation = alice.get(f"/v1/responses/{ids[0]}/thread?items=false").json["data"][0]["conversation_id"]
        spent = alice.get("/v1/costs").json
        ran = self.shred(stage, name)
        assert ran.returncode == 0, ran.stderr
        for own in ids:
            for more in ("", "/input_items", "/context", "/thread"):
                answered = alice.get(f"/v1/responses/{own}{more}")
                assert (answered.status_code, answered.json["error"]["code"]) == (410, "content_shredded"), more
        refused = alice.create("More", after=ids[0])
        assert (refused.status_code, refused.json["error"]["code"]) == (410, "content_shredded")
        listed = alice.get("/v1/responses").json["data"]
        assert {each["id"] for each in listed} == set(ids)
        assert {each["question"] for each in listed} == {None}
        tree = alice.get(f"/v1/conversations/{conversation}/tree").json
        assert (tree["title"], len(tree["data"])) == (None, 4)
        assert alice.get("/v1/costs").json == spent
        for path in (f"/v1/responses/{ids[0]}/cost", f"/v1/conversations/{conversation}/cost", "/v1/conversations"):
            assert alice.get(path).status_code == 200, path
        assert carol.get(f"/v1/responses/{kept}/input_items").status_code == 200
        # A new turn has a new key, its settings among what it seals.
        new = alice.ask("axolotl asked", instructions="pangolin instructs")["id"]
        assert alice.get(f"/v1/responses/{new}").json["instructions"] == "pangolin instructs"
        assert checked(stage.deps, project_of(alice)) == []
        actions = [each["action"] for each in alice.get("/v1/audit?action=projects.shred").json["data"]]
        assert actions == ["projects.shred"]

    def test_without_an_entry_it_is_a_problem(self, stage: Stage, alice: Client) -> None:
        alice.ask("Gone")
        stage.sql("UPDATE storage_keys SET wrapped = '', destroyed_at = 1 WHERE project_id = :p", p=packed(alice))
        stage.deps.database.vault.forget(packed(alice))
        assert {kind for kind, _ in checked(stage.deps, project_of(alice))} == {"content_shredded"}

    def test_one_in_which_something_is_held_is_not(self, stage: Stage) -> None:
        name = f"acme {secrets.token_hex(4)}"
        alice = stage.client(name)
        own = alice.ask("Evidence", user="u1")["id"]
        hold = alice.post("/v1/holds", json={"name": "Case 7", "user": "u1"}).json["id"]
        ran = self.shred(stage, name)
        assert ran.returncode == 1
        assert "legal hold" in ran.stderr
        assert alice.get(f"/v1/responses/{own}").status_code == 200
        alice.post(f"/v1/holds/{hold}/release")
        assert self.shred(stage, name).returncode == 0
        assert alice.get(f"/v1/responses/{own}").status_code == 410

    def test_one_without_keys_has_nothing_to_shred(self, stage: Stage) -> None:
        name = f"acme {secrets.token_hex(4)}"
        stage.client(name)
        ran = self.shred(stage, name)
        assert ran.returncode == 1
        assert "no key to destroy" in ran.stderr
        assert self.shred(stage, "nobody").returncode == 1

    def shred(self, stage: Stage, name: str) -> "subprocess.CompletedProcess[str]":
        settings = stage.settings
        environment = {**os.environ, "CONVSTORE_DATABASE_URL": settings.database_url}
        environment["CONVSTORE_STORAGE_KEY"] = settings.storage_key
        command = [sys.executable, "-m", "convstore", "projects", "shred", name, "--yes"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


class TestCaching:
    def test_a_key_is_believed_once_it_is_on_disk(self, stage: Stage) -> None:
        with other(stage, key_cache_s=60.0) as caching:
            alice, vault = caching.client(), caching.deps.database.vault
            first = alice.ask("Sealed")["id"]
            assert packed(alice) in vault._rings or alice.get(f"/v1/responses/{first}").status_code == 200
            assert packed(alice) in vault._rings

    def test_one_that_was_rolled_back_is_not(self, stage: Stage) -> None:
        project = ids.new(ids.PROJECT)
        with other(stage, key_cache_s=60.0) as caching:
            database = caching.deps.database
            with pytest.raises(RuntimeError), database.writing(project) as scope:
                scope.sealed("Lost")
                # Seen in its own transaction, it is not to be taken for kept.
                scope.sealed("Lost, too")
                raise RuntimeError
            with database.writing(project) as scope:
                stored = scope.sealed("Kept")
            with database.reading(project) as scope:
                assert scope.text(stored) == "Kept"
            with stage.deps.database.reading(project) as scope:
                assert scope.text(stored) == "Kept"

    def test_a_shredded_key_works_no_longer_than_it_is_cached(self, stage: Stage) -> None:
        with other(stage, key_cache_s=60.0) as caching:
            alice = caching.client()
            own = alice.ask("Sealed")["id"]
            path = f"/v1/responses/{own}/input_items"
            assert alice.get(path).status_code == 200
            stage.sql("UPDATE storage_keys SET wrapped = '', destroyed_at = 1 WHERE project_id = :p", p=packed(alice))
            assert alice.get(path).status_code == 200
            caching.deps.database.vault.cache_s = 0.0
            assert alice.get(path).status_code == 410
