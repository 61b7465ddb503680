"""What leaves as our own format comes back as it was."""

from pathlib import Path

import pytest

from tests.transfers.stage import Store


@pytest.fixture
def noise(here: Store) -> None:
    for client in (here.alice, here.carol):
        first = client.ask("Noise, first turn")
        client.ask("Noise, second turn", after=first["id"])


class TestRoundTrip:
    def test_a_tree_with_all_that_belongs_to_it(self, here: Store, there: Store, noise: None, tmp_path: Path) -> None:
        alice = here.alice
        root = alice.ask("Root 你好", instructions="Be brief.", metadata={"team": "red"}, user="zoe")
        one = alice.ask("One", after=root["id"])
        two = alice.ask("Two", after=root["id"], instructions="Be long.")
        deep = alice.ask("Deep", after=one["id"])
        assert alice.post("/v1/branches", json={"name": "best", "tip": two["id"]}).status_code in (200, 201)
        alice.post(f"/v1/responses/{deep['id']}/branch", json={"input": "Deep again"})
        conversation = alice.post(
            "/v1/conversations", json={"items": [{"role": "user", "content": "By hand"}], "metadata": {"a": "b"}}
        ).json
        alice.ask("In it", conversation=conversation["id"])
        first = here.export()
        path = tmp_path / "all.jsonl"
        path.write_bytes(first)
        report = there.bring(path)
        assert report.problems == []
        second = there.export()
        assert second == first
        assert there.problems() == []
        again = there.bring(path)
        assert set(again.counts["exchanges"]) == {"known"}
        assert there.export() == first
        went_on = there.alice.ask("Goes on", after=deep["id"])
        assert went_on["previous_response_id"] == deep["id"]
        was, now = (store.alice.get(f"/v1/responses/{two['id']}").json for store in (here, there))
        assert was == now
