"""Named branches: made, moved, renamed, forgotten. A name stands for the exchange it points at (naming.py)."""

from dataclasses import dataclass

from convstore.domain import calls, jsontext
from convstore.errors import BranchMoved, BranchNotFound, BranchTaken, InvalidRequest, ResponseNotFound
from convstore.services import naming, paging
from convstore.services.deps import Deps
from convstore.services.paging import Listing, Page
from convstore.storage import branches
from convstore.storage.branches import Branch
from convstore.storage.scope import Scope
from convstore.storage.turns import NameTaken


@dataclass(frozen=True, slots=True)
class Move:
    """Where a branch is to point, if it points where its caller thinks (expected); and what it is to be called."""

    tip: str | None = None
    expected: str | None = None
    name: str | None = None


def written(branch: Branch) -> bytes:
    """The API's form."""
    return jsontext.dumps(
        {
            "object": "branch",
            "name": branch.name,
            "tip": branch.tip_id,
            "conversation_id": branch.conversation_id,
            "created_at": int(branch.created_at.timestamp()),
            "moved_at": int(branch.moved_at.timestamp()),
        }
    )


def create(deps: Deps, project_id: str, name: str, tip: str) -> Branch:
    """A new branch that points at an exchange. Raises BranchTaken, InvalidRequest."""
    now = deps.clock()
    calls.about(name)
    try:
        with deps.database.writing(project_id) as scope:
            exchange_id, conversation_id = _tip(scope, tip)
            made = Branch(name, conversation_id, exchange_id, now, now)
            branches.add(scope, made)
    except NameTaken as error:
        raise BranchTaken(name) from error
    return made


def get(deps: Deps, project_id: str, name: str) -> Branch:
    """The branch of this name. Raises BranchNotFound."""
    with deps.database.reading(project_id) as scope:
        return _get(scope, name)


def listed(deps: Deps, project_id: str, page: Page, conversation_id: str | None) -> Listing:
    """A page of the project's branches in the order of their names, or only those of a conversation."""
    with deps.database.reading(project_id) as scope:
        found = branches.listed(
            scope, page.limit + 1, conversation_id=conversation_id, after=page.after, before=page.before
        )
    chosen, has_more = paging.chosen(found, page)
    return Listing([(branch.name, written(branch)) for branch in chosen], has_more)


def change(deps: Deps, project_id: str, name: str, wanted: Move) -> Branch:
    """Move a branch, rename it, or both. Raises BranchNotFound, BranchMoved, BranchTaken, InvalidRequest."""
    try:
        with deps.database.writing(project_id) as scope:
            branch = _get(scope, name)
            if wanted.tip is not None:
                _move(deps, scope, branch, wanted)
            if wanted.name is not None and wanted.name != name:
                branches.rename(scope, name, wanted.name)
            return _get(scope, wanted.name or name)
    except NameTaken as error:
        raise BranchTaken(wanted.name or name) from error


def delete(deps: Deps, project_id: str, name: str) -> None:
    """Forget a branch; the exchanges stay. Raises BranchNotFound."""
    with deps.database.writing(project_id) as scope:
        if not branches.remove(scope, name):
            raise BranchNotFound(name)


def _move(deps: Deps, scope: Scope, branch: Branch, wanted: Move) -> None:
    exchange_id, conversation_id = _tip(scope, wanted.tip or "")
    if conversation_id != branch.conversation_id:
        raise InvalidRequest(
            f"'{wanted.tip}' is not in the conversation of the branch '{branch.name}'.",
            param="tip",
            code="invalid_value",
        )
    expected = None if wanted.expected is None else naming.exchange_id(scope, wanted.expected)
    if not branches.move(scope, branch.name, exchange_id, deps.clock(), expected=expected):
        raise BranchMoved(branch.name, _get(scope, branch.name).tip_id)


def _get(scope: Scope, name: str) -> Branch:
    branch = branches.get(scope, name)
    if branch is None:
        raise BranchNotFound(name)
    return branch


def _tip(scope: Scope, name: str) -> tuple[str, str]:
    """(exchange, conversation) that a branch is to point at. Raises InvalidRequest."""
    try:
        exchange = naming.exchange(scope, name)
    except ResponseNotFound as error:
        raise InvalidRequest(error.message, param="tip", code="invalid_value") from error
    return exchange.id, exchange.conversation_id
