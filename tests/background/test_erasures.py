"""The worker that erases is killed in the middle, under load: another one ends it, and it counts once."""

import threading

from convstore.services import verification
from convstore.storage import everywhere
from tests.acceptance import nodes
from tests.acceptance.nodes import Site
from tests.erasing.doing import dump
from tests.local_upstream import wait_until

TURNS = 230


class TestKill:
    def test_it_is_taken_over_and_nothing_is_left(self, site: Site) -> None:
        instructions = "Zebra rules"
        own = [site.alice.post("/v1/responses", json=asked(n, instructions)).json["id"] for n in range(TURNS)]
        over, others = threading.Event(), list[str]()

        def load() -> None:
            while not over.is_set():
                others.append(site.alice.post("/v1/responses", json=stays()).json["id"])

        other = threading.Thread(target=load)
        other.start()
        made = site.alice.post("/v1/erasures", json={"user": "zoe"}).json
        assert wait_until(lambda: "erased" in site.alice.get(f"/v1/responses/{own[0]}").json, nodes.PATIENCE_S)
        site.holder(made["id"]).kill()
        receipt = wait_until(lambda: ended(site, made["id"]), 4 * nodes.PATIENCE_S)
        over.set()
        other.join(nodes.PATIENCE_S)
        assert receipt["status"] == "completed" and receipt["purged_at"]
        assert receipt["counts"]["exchanges"] == TURNS
        left = dump(site.deps)
        assert b"Zulu" not in left and instructions.encode() not in left and b"zoe" not in left
        assert site.job(made["id"]).attempts == 2
        assert others
        assert all(site.alice.get(f"/v1/responses/{each}").json["instructions"] == "Yaks" for each in others)
        with site.deps.database.connection() as connection:
            project = next(each.id for each in everywhere.projects(connection) if each.name == "acme")
        assert verification.verify(site.deps, project, limit=10_000).problems == []


def asked(number: int, instructions: str) -> dict[str, str]:
    return {"model": "gpt-5.4", "input": f"Zulu {number}", "user": "zoe", "instructions": instructions}


def stays() -> dict[str, str]:
    return {"model": "gpt-5.4", "input": "Stays", "user": "yan", "instructions": "Yaks"}


def ended(site: Site, erasure_id: str) -> dict[str, object] | None:
    found: dict[str, object] = site.alice.get(f"/v1/erasures/{erasure_id}").json
    return found if found["status"] == "completed" else None
