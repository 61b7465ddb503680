"""Legal holds: made, looked at, released. What one keeps is for storage/holds.py to say, where something is erased."""

from convstore import ids
from convstore.domain import calls, jsontext
from convstore.domain.hold import Hold, Wanted
from convstore.errors import HoldNotFound, InvalidRequest
from convstore.services import paging
from convstore.services.deps import Deps
from convstore.services.paging import Listing, Page
from convstore.services.principal import Principal
from convstore.storage import holds
from convstore.storage.scope import Scope


def create(deps: Deps, principal: Principal, wanted: Wanted) -> Hold:
    """A new hold: when this returns, nothing that it keeps is erased any more. Raises InvalidRequest."""
    made = Hold(ids.new(ids.HOLD), wanted, deps.clock(), principal.key_id)
    calls.about(made.id)
    with deps.database.writing(principal.project_id) as scope:
        _must_exist(scope, wanted)
        holds.add(scope, made)
    return made


def get(deps: Deps, project_id: str, hold_id: str) -> Hold:
    """The hold with this id. Raises HoldNotFound."""
    with deps.database.reading(project_id) as scope:
        return _get(scope, hold_id)


def listed(deps: Deps, project_id: str, page: Page, *, released: bool | None = None) -> Listing:
    """A page of the project's holds, as JSON; released: only those that are, or that are not."""
    with deps.database.reading(project_id) as scope:
        for name, cursor in (("after", page.after), ("before", page.before)):
            if cursor is not None and holds.get(scope, cursor) is None:
                raise InvalidRequest(
                    f"Hold with id '{cursor}' not found in this list.", param=name, code="invalid_value"
                )
        found = holds.listed(
            scope,
            page.limit + 1,
            newest_first=page.order == "desc",
            after=page.after,
            before=page.before,
            released=released,
        )
    chosen, has_more = paging.chosen(found, page)
    return Listing([(hold.id, written(hold)) for hold in chosen], has_more)


def release(deps: Deps, principal: Principal, hold_id: str) -> Hold:
    """Let go of what a hold keeps; one that was released before stays as it was. Raises HoldNotFound."""
    with deps.database.writing(principal.project_id) as scope:
        _get(scope, hold_id)
        holds.release(scope, hold_id, deps.clock(), principal.key_id)
        return _get(scope, hold_id)


def written(hold: Hold) -> bytes:
    """The API's form."""
    return jsontext.dumps(hold.as_dict())


def _get(scope: Scope, hold_id: str) -> Hold:
    found = holds.get(scope, hold_id)
    if found is None:
        raise HoldNotFound(hold_id)
    return found


def _must_exist(scope: Scope, wanted: Wanted) -> None:
    """People and labels can be named before they are there."""
    missing = holds.can_be_for(scope, wanted)
    if missing is not None:
        noun = "Conversation" if missing == "conversation_id" else "Response"
        message = f"{noun} with id '{getattr(wanted, missing)}' not found."
        raise InvalidRequest(message, param=missing, code="invalid_value")
