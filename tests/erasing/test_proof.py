"""The audit log still verifies after an erasure; and attacks on what is said to be erased are found."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from convstore import bootstrap, ids
from convstore.config import Settings
from convstore.services import erasing, recovery
from convstore.services.deps import Deps
from tests.audit.test_attacks import KEY, Log
from tests.conftest import Client, FixedClock
from tests.erasing.doing import dump


@pytest.fixture
def deps(settings: Settings, clock: FixedClock) -> Iterator[Deps]:
    made = bootstrap.deps(replace(settings, audit_key=KEY), clock)
    recovery.enter(made)
    yield made
    made.upstreams.close()
    made.database.close()


class Scene(Log):
    """A thread of three turns, of which the one in the middle is erased; and one exchange that is removed."""

    def __init__(self, deps: Deps, client: Client) -> None:
        root = client.ask("Root", instructions="Be brief.")
        self.mine = client.ask("Mine", after=root["id"], user="zoe")["id"]
        self.tip = client.ask("Tip", after=self.mine)["id"]
        self.gone = client.ask("Gone", user="zoe")["id"]
        super().__init__(deps, client)
        erasing.erase(deps, self.project, "erasure_x", [self.mine])
        erasing.remove(deps, self.project, "erasure_x", [self.gone])
        erasing.drop_payloads(deps, self.project, "erasure_x")

    def own(self, name: str) -> bytes:
        return ids.pack(ids.EXCHANGE, getattr(self, name)) or b""

    def kinds(self) -> set[str]:
        return {kind for kind, _ in self.check()}


@pytest.fixture
def scene(deps: Deps, app: Flask, alice: Client, noise: list[str]) -> Scene:
    return Scene(deps, alice)


class TestAfterwards:
    def test_it_still_verifies(self, scene: Scene) -> None:
        assert scene.check() == []
        assert [row["action"] for row in scene.rows() if row["commits"] == "erasure"] == [
            "erasures.erase",
            "erasures.remove",
        ]
        salted = {bytes(row["id"]): row["salt"] for row in scene.rows() if row["commits"] == "request"}
        assert salted[scene.own("mine")] is None and salted[scene.own("gone")] is None
        assert salted[scene.own("tip")] is not None

    def test_one_that_is_erased_and_removed_later(self, scene: Scene) -> None:
        erasing.erase(scene.deps, scene.project, "erasure_y", [scene.tip])
        erasing.remove(scene.deps, scene.project, "erasure_z", [scene.tip])
        assert scene.check() == []


_OF_MINE = "UPDATE erased SET {} WHERE exchange_id = :mine"
_ITEM = (
    "UPDATE items SET body = :v WHERE depth = 1 AND NOT output AND lane = (SELECT lane FROM exchanges WHERE id = :mine)"
)
_LOST, _UNPROVED, _FITS_NOT = "content_erased", "erasure_unproved", "erasure_altered"
ATTACKS: list[tuple[str, Any, set[str]]] = [
    ("DELETE FROM erased WHERE exchange_id = :mine", None, {_LOST, _FITS_NOT}),
    ("DELETE FROM erased WHERE exchange_id = :gone", None, {_LOST, _FITS_NOT}),
    (_OF_MINE.format("state = :v"), b"1" * 16, {_UNPROVED, _FITS_NOT}),
    (_OF_MINE.format("exchange_id = :tip"), None, {_UNPROVED, _LOST, _FITS_NOT}),
    (_OF_MINE.format("batch_id = NULL"), None, {_UNPROVED, _FITS_NOT}),
    (_OF_MINE.format("erasure_id = :v"), "x", {_UNPROVED, _FITS_NOT}),
    ("UPDATE audit_log SET salt = NULL WHERE id = :tip", None, {_LOST}),
    ("UPDATE audit_log SET salt = :v WHERE id = :mine", b"1" * 16, {"content_restored"}),
    ("UPDATE exchanges SET upstream_response_id = :v WHERE id = :mine", "Old", {"content_restored"}),
    ("UPDATE exchanges SET output_tokens = output_tokens + 1 WHERE id = :mine", None, {"content_restored"}),
    (_ITEM, b'{"type":"message","word":"Mine"}', {"content_restored"}),
    ("DELETE FROM exchanges WHERE id = :mine", None, {"content_missing"}),
    ("DELETE FROM audit_log WHERE action = 'erasures.erase'", None, {"missing", _UNPROVED}),
]


class TestAttacks:
    @pytest.mark.parametrize(("statement", "value", "expected"), ATTACKS, ids=[each[0][:60] for each in ATTACKS])
    def test_what_is_done_by_hand_is_found(self, scene: Scene, statement: str, value: Any, expected: set[str]) -> None:
        names = {name: scene.own(name) for name in ("mine", "tip", "gone") if f":{name}" in statement}
        scene.sql(statement, **names, **({"v": value} if value is not None else {}))
        assert scene.kinds() == expected

    def test_a_tombstone_that_is_made_up_is_found(self, scene: Scene) -> None:
        """With an entry that is right, and with none; of an exchange that is there, and of one that never was."""
        columns = "project_id, :e, what, erasure_id, {}, state, at"
        copied = f"INSERT INTO erased SELECT {columns} FROM erased WHERE exchange_id = :m"
        for exchange in (scene.own("tip"), b"\xf0" * 16):
            for batch in ("batch_id", "NULL"):
                scene.sql(copied.format(batch), e=exchange, m=scene.own("mine"))
                found = scene.kinds()
                assert found & {"erasure_unproved", "erasure_altered"}, (exchange, batch, found)
                scene.sql("DELETE FROM erased WHERE exchange_id = :e", e=exchange)
        assert scene.check() == []

    def test_one_that_was_altered_before_is_not_made_right_by_erasing_it(self, scene: Scene) -> None:
        """Nobody can know any more; but from its erasure on, it is what was left of it."""
        scene.sql("UPDATE exchanges SET output_tokens = output_tokens + 1 WHERE id = :e", e=scene.own("tip"))
        assert scene.kinds() == {"content_altered"}
        erasing.erase(scene.deps, scene.project, "erasure_y", [scene.tip])
        assert scene.check() == []


class TestHistories:
    def test_how_a_descendant_sent_what_is_erased_goes_and_it_still_verifies(
        self, deps: Deps, app: Flask, alice: Client, noise: list[str]
    ) -> None:
        said: list[dict[str, Any]] = [{"role": "user", "content": "Zulu"}]
        first = alice.ask(said)
        text = first["output"][0]["content"][0]["text"]
        said += [{"type": "message", "role": "assistant", "id": "msg_zebra", "content": text, "phase": "final"}]
        second = alice.ask([*said, {"role": "user", "content": "Goes on"}])
        log = Log(deps, alice)
        assert b"msg_zebra" in dump(deps)
        done = erasing.erase(deps, log.project, "erasure_x", [first["id"]])
        assert done.histories == 1
        assert erasing.drop_payloads(deps, log.project, "erasure_x") is not None
        left = dump(deps)
        assert b"msg_zebra" not in left and b"Zulu" not in left and b"Goes on" in left
        assert log.check() == []
        shown = alice.get(f"/v1/responses/{second['id']}/context").json
        assert "[erased]" in str(shown)
        assert alice.post(f"/v1/responses/{second['id']}/branch", json={"input": "Anew"}).status_code == 200
