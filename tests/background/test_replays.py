"""A worker dies in the middle of a replay: another one goes on, and asks no finished turn again."""

from typing import Any

from tests.acceptance import nodes
from tests.acceptance.nodes import Site
from tests.local_upstream import answer, wait_until
from tests.services.background.conftest import Pace, told


def replayed(site: Site, replay_id: str) -> dict[str, Any]:
    """A replay, once it is over."""

    def look() -> dict[str, Any] | None:
        found = site.alice.get(f"/v1/replays/{replay_id}").json
        return found if found["status"] not in ("queued", "in_progress") else None

    return dict(wait_until(look, nodes.PATIENCE_S))


def turns(site: Site, replay_id: str) -> list[dict[str, Any]]:
    return list(site.alice.get(f"/v1/replays/{replay_id}").json["runs"][0]["turns"])


def questions(site: Site) -> list[str]:
    """The last words of each question that the provider got."""
    return [question.body["input"][-1]["content"][0]["text"] for question in site.upstream.questions]


def test_the_turn_it_was_at_is_asked_again_and_no_other(site: Site, pace: Pace) -> None:
    last = None
    for number in range(3):
        last = site.alice.ask(f"Q{number}", after=last)["id"]
    site.upstream.will(answer("R0"), pace, answer("R1"), answer("R2"))
    replay_id = site.alice.post(f"/v1/responses/{last}/replay", json={}).json["id"]
    wait_until(lambda: len(turns(site, replay_id)) == 2, nodes.PATIENCE_S)
    cut = turns(site, replay_id)[1]["response_id"]
    told(site.deps, cut, pace.text)
    site.holder(replay_id).kill()
    done = replayed(site, replay_id)
    assert (done["status"], done["calls"], done["runs"][0]["done"]) == ("completed", 4, 3)
    assert questions(site)[3:] == ["Q0", "Q1", "Q1", "Q2"]
    # What had arrived of the answer that was cut off is on record, beside the one that took its place.
    given = site.alice.get(f"/v1/responses/{cut}").json
    assert (given["status"], given["output"][0]["content"][0]["text"]) == ("incomplete", pace.text)
    thread = site.alice.get(f"/v1/responses/{done['runs'][0]['tip']}/thread?items=false").json["data"]
    assert [node["answer"] for node in thread] == ["R0", "R1", "R2"]
    siblings = site.alice.get(f"/v1/responses/{thread[0]['id']}/children").json["data"]
    assert [node["id"] for node in siblings] == [cut, thread[1]["id"]]


def test_cancelled_it_hangs_up_on_the_provider_and_keeps_what_it_has(site: Site, pace: Pace) -> None:
    first = site.alice.ask("Q0")["id"]
    last = site.alice.ask("Q1", after=first)["id"]
    site.upstream.will(answer("R0"), pace)
    replay_id = site.alice.post(f"/v1/responses/{last}/replay", json={}).json["id"]
    wait_until(lambda: len(turns(site, replay_id)) == 2, nodes.PATIENCE_S)
    cut = turns(site, replay_id)[1]["response_id"]
    told(site.deps, cut, pace.text)
    site.alice.post(f"/v1/replays/{replay_id}/cancel")
    done = replayed(site, replay_id)
    assert (done["status"], [turn["status"] for turn in done["runs"][0]["turns"]]) == (
        "cancelled",
        ["completed", "cancelled"],
    )
    given = site.alice.get(f"/v1/responses/{cut}").json
    assert given["output"][0]["content"][0]["text"] == pace.text
