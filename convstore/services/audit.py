"""The audit log: every call leaves an entry, or it fails; and reading the log back.

A call that changes something has its entry in the transaction that does so (storage/strands.py); any other has it
before it is answered. What a call that was refused or failed wanted is on record, too. Checking is verification.py's.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from convstore import ids
from convstore.domain import calls, jsontext
from convstore.domain.audit import Outcome, linked
from convstore.domain.calls import Call
from convstore.errors import ConvstoreError, Forbidden, InvalidRequest, NotFound, StorageUnavailable
from convstore.services import paging
from convstore.services.deps import Deps
from convstore.services.paging import Listing, Page
from convstore.storage import audit
from convstore.storage.audit import Written

# The log of what concerns every project: the installation's prices, repairs of the whole store.
INSTALLATION = ids.unpack(ids.PROJECT, bytes(16))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries of a list."""

    action: str | None = None
    object: str | None = None
    key: str | None = None
    outcome: str | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def record(deps: Deps, call: Call, outcome: str, detail: str | None = None) -> None:
    """Put a call that changed nothing on record. Raises StorageUnavailable; then it must not be answered."""
    audit.write(deps.database, deps.audit, call, outcome, detail)


def finish(deps: Deps, call: Call) -> None:
    """Put a call on record that went well, unless it is."""
    if not call.is_written:
        record(deps, call, Outcome.DONE)


def fail(deps: Deps, call: Call, outcome: str, detail: str | None) -> None:
    """Put on record that a call did not go well, even if its beginning is. An exchange says itself how it ended."""
    if not call.has_begun:
        record(deps, call, outcome, detail)


@contextmanager
def calling(deps: Deps, call: Call) -> Iterator[Call]:
    """A call from the command line: what is done inside, it does. Raises StorageUnavailable.

    What is no project's is in the installation's log.
    """
    with calls.going_on(call):
        try:
            yield call
        except ConvstoreError as error:
            if not isinstance(error, StorageUnavailable):
                call.project_id = call.project_id or bytes(16)
                is_refused = isinstance(error, InvalidRequest | NotFound | Forbidden)
                outcome = Outcome.REFUSED if is_refused else Outcome.FAILED
                with suppress(StorageUnavailable):
                    fail(deps, call, outcome, error.code)
            raise
        call.project_id = call.project_id or bytes(16)
        finish(deps, call)


def listed(deps: Deps, project_id: str, page: Page, wanted: Wanted) -> Listing:
    """A page of a project's entries, as JSON. Raises InvalidRequest for a cursor that is not in this list."""
    with deps.database.reading(project_id) as scope:
        conditions = audit.conditions(
            scope,
            plain={"action": wanted.action, "object": wanted.object, "outcome": wanted.outcome},
            api_key_id=wanted.key,
            request_id=wanted.request_id,
            since=wanted.since,
            until=wanted.until,
        )
        for name, cursor in (("after", page.after), ("before", page.before)):
            if cursor is not None and not audit.has(scope, conditions, cursor):
                raise InvalidRequest(
                    f"Entry with id '{cursor}' not found in this list.", param=name, code="invalid_value"
                )
        found = audit.listed(
            scope,
            conditions,
            page.limit + 1,
            newest_first=page.order == "desc",
            after=page.after,
            before=page.before,
        )
    chosen, has_more = paging.chosen(found, page)
    return Listing([(each.id, jsontext.dumps(as_dict(each))) for each in chosen], has_more)


def as_dict(entry: Written) -> dict[str, Any]:
    """The API's form."""
    return {
        "id": entry.id,
        "object": "audit.entry",
        "created_at": entry.at / 1_000_000,
        "action": entry.action,
        "outcome": entry.outcome,
        "detail": entry.detail,
        "actor": entry.actor,
        "api_key_id": entry.api_key_id,
        "object_id": entry.object_id,
        "request_id": entry.request_id,
        "remote": entry.remote,
        "user_agent": entry.agent,
        "commits": entry.commits,
        "strand": entry.strand,
        "number": entry.number,
        "links": sum(1 for _ in linked(entry.links)),
        "seal": entry.seal,
    }


def given(asked: Mapping[str, Any]) -> Wanted:
    """What checked query parameters ask for."""
    return Wanted(**{name: asked[name] for name in Wanted.__dataclass_fields__ if name in asked})
