"""The door of a service that runs somewhere: everything over HTTP, with a key."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from urllib.parse import quote

from convstore.cli.door import Answered, Json
from convstore.cli.files import RemoteFiles
from convstore.domain import jsontext
from convstore.errors import InvalidRequest
from convstore.upstream.peer import THINKING_S, Peer

# As many exchanges of a tree at a time as the service gives.
MOST = 10_000


@contextmanager
def remote(url: str, key: str | None) -> Iterator["Remote"]:
    """The service at this address, for as long as it is needed. Raises Misconfigured."""
    peer = Peer(url, key)
    try:
        yield Remote(peer)
    finally:
        peer.close()


class Remote(RemoteFiles):
    """See Door."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def tree(self, conversation_id: str, after: str | None, *, root: str | None, depth: int | None) -> Json:
        path = f"/v1/conversations/{_part(conversation_id)}/tree"
        return _object(self._peer.get(path, after=after, root=root, depth=depth, limit=MOST).json())

    def thread(self, name: str, after: str | None, limit: int, *, items: bool) -> Json:
        asked = {"after": after, "limit": limit, "items": str(items).lower()}
        return _object(self._peer.get(f"/v1/responses/{_part(name)}/thread", **asked).json())

    def responses(self, asked: Mapping[str, Any]) -> Json:
        return _object(self._peer.get("/v1/responses", **asked).json())

    def branch(self, name: str, body: bytes) -> Answered:
        answer = self._peer.post(f"/v1/responses/{_part(name)}/branch", body, timeout_s=THINKING_S)
        replay_id = answer.headers.get("x-convstore-replay")
        if answer.is_stream:
            return Answered(events=answer.events(), replay_id=replay_id)
        return Answered(_object(answer.json()), replay_id=replay_id)

    def replay(self, name: str, body: bytes) -> Json:
        return _object(self._peer.post(f"/v1/responses/{_part(name)}/replay", body).json())

    def replayed(self, replay_id: str) -> Json:
        return _object(self._peer.get(f"/v1/replays/{_part(replay_id)}").json())

    def cancel(self, replay_id: str) -> Json:
        return _object(self._peer.post(f"/v1/replays/{_part(replay_id)}/cancel").json())

    def diff(self, left: str, right: str) -> Json:
        return _object(self._peer.get("/v1/diff", left=left, right=right).json())

    def diff_page(self, left: str, right: str) -> str:
        return self._peer.get("/v1/diff", left=left, right=right, format="html").text()

    def reconcile(self, bill: bytes, asked: Mapping[str, str]) -> Json:
        return _object(self._peer.post("/v1/costs/reconcile", bill, query=asked).json())

    def prices(self, after: str | None, *, price_set: str | None, model: str | None) -> Json:
        return _object(self._peer.get("/v1/prices", after=after, price_set=price_set, model=model, limit=1_000).json())

    def name_prices(self, body: bytes) -> Json:
        return _object(self._peer.post("/v1/prices", body).json())

    def forget_price(self, price_id: str) -> None:
        self._peer.delete(f"/v1/prices/{_part(price_id)}")

    def find_price(self, **asked: str) -> Json:
        return _object(self._peer.get("/v1/prices/find", **asked).json())

    def budgets(self) -> Json:
        return _object(self._peer.get("/v1/budgets").json())

    def set_budget(self, body: bytes) -> Json:
        return _object(self._peer.post("/v1/budgets", body).json())

    def lift_budget(self, budget_id: str) -> None:
        self._peer.delete(f"/v1/budgets/{_part(budget_id)}")

    def rules(self) -> Json:
        return _object(self._peer.get("/v1/retention/rules").json())

    def set_rule(self, body: bytes) -> Json:
        return _object(self._peer.post("/v1/retention/rules", body).json())

    def change_rule(self, rule_id: str, body: bytes) -> Json:
        return _object(self._peer.post(f"/v1/retention/rules/{_part(rule_id)}", body).json())

    def forget_rule(self, rule_id: str) -> None:
        self._peer.delete(f"/v1/retention/rules/{_part(rule_id)}")

    def retention_plan(self, after: str | None, limit: int) -> Json:
        return _object(self._peer.get("/v1/retention/plan", after=after, limit=limit).json())

    def holds(self, asked: Mapping[str, str]) -> Json:
        return _object(self._peer.get("/v1/holds", **asked).json())

    def hold(self, body: bytes) -> Json:
        return _object(self._peer.post("/v1/holds", body).json())

    def held(self, hold_id: str) -> Json:
        return _object(self._peer.get(f"/v1/holds/{_part(hold_id)}").json())

    def release_hold(self, hold_id: str) -> Json:
        return _object(self._peer.post(f"/v1/holds/{_part(hold_id)}/release").json())

    def response_cost(self, name: str) -> Json:
        return _object(self._peer.get(f"/v1/responses/{_part(name)}/cost").json())

    def conversation_cost(self, conversation_id: str) -> Json:
        return _object(self._peer.get(f"/v1/conversations/{_part(conversation_id)}/cost").json())

    def costs(self, query: Mapping[str, str]) -> Json:
        return _object(self._peer.get("/v1/costs", **query).json())

    def costs_csv(self, query: Mapping[str, str]) -> str:
        return self._peer.get("/v1/costs", **query, format="csv").text()

    def check_audit(self, after: str | None, limit: int, head: Json | None) -> Json:
        asked = {"limit": str(limit), **({"after": after} if after else {})}
        if head is None:
            return _object(self._peer.get("/v1/audit/verify", **asked).json())
        return _object(self._peer.post("/v1/audit/verify", jsontext.dumps(head), query=asked).json())

    def audit_head(self) -> Json:
        return _object(self._peer.get("/v1/audit/head").json())

    def audit_size(self) -> int | None:
        return None

    def audited(self, asked: Mapping[str, str]) -> Json:
        return _object(self._peer.get("/v1/audit", **asked).json())

    def preview_erasure(self, body: bytes) -> Json:
        return _object(self._peer.post("/v1/erasures", body).json())

    def erase(self, body: bytes) -> Json:
        return _object(self._peer.post("/v1/erasures", body).json())

    def erasure(self, erasure_id: str) -> Json:
        return _object(self._peer.get(f"/v1/erasures/{_part(erasure_id)}").json())

    def erasures(self, limit: int) -> Json:
        return _object(self._peer.get("/v1/erasures", limit=limit).json())

    def purge(self) -> bool:
        raise InvalidRequest("A file is purged where it is: leave --url out, and say whose with --project.")

    def working(self) -> AbstractContextManager[None]:
        # Workers are the service's own affair.
        return nullcontext()


def _part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def _object(value: object) -> Json:
    from convstore.upstream.peer import PeerFailed

    if not isinstance(value, dict):
        raise PeerFailed("The service answered with something else than a JSON object.")
    return value
