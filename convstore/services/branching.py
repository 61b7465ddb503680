"""Another child of the same parent: the question of an exchange asked again with edits.

With `carry` the questions that came after it are asked again, too, behind the new answer: by a replay that is put on
record together with the edited request, and begins when that is answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from convstore.domain.edit import Edit
from convstore.domain.exchange import Beginning, Exchange
from convstore.domain.replay import Plan, Replay
from convstore.domain.request import PER_TURN
from convstore.errors import BranchTaken
from convstore.services import naming, relay, remaking, replays, standing
from convstore.services.deps import Deps
from convstore.services.principal import Principal
from convstore.services.relay import Call, Remade, Whole
from convstore.services.streaming import Streamed
from convstore.storage import branches, exchanges, trees
from convstore.storage.branches import Branch
from convstore.storage.scope import Scope
from convstore.storage.statements import Write
from convstore.storage.turns import NameTaken

ORIGIN = "branch"


@dataclass(frozen=True, slots=True)
class Branched:
    """The answer to the edited question, and the replay that carries on."""

    answer: Whole | Streamed
    replay_id: str | None = None


def create(deps: Deps, principal: Principal, name: str, edit: Edit, call: Call) -> Branched:
    """Ask the question of an exchange again, with edits. Raises ResponseNotFound, and what relay.create raises."""
    with deps.database.reading(principal.project_id) as scope:
        source = naming.exchange(scope, name)
        own = edit.items if edit.items is not None else remaking.own_items(scope, source)
        later = _later(scope, source, edit) if edit.carries else ()
    request = standing.resolved(deps, principal, remaking.again(source, own, edit.members))
    carried = _carried(deps, source, edit, later) if later else None

    def besides(beginning: Beginning) -> Sequence[Write]:
        writes: list[Write] = []
        if edit.name is not None:
            now = beginning.created_at
            branch = Branch(edit.name, beginning.conversation_id, beginning.id, now, now)
            writes.append(branches.insertion(principal.project_id, branch))
        if carried is not None:
            writes += replays.insertions(deps, principal, replays.behind(carried, beginning.id))
        return writes

    stands = standing.beside(deps, principal, source, request)
    try:
        answer = relay.create(deps, principal, request, call, Remade(stands, ORIGIN, source.id, besides))
    except NameTaken as error:
        raise BranchTaken(edit.name or "") from error
    return Branched(answer, carried.id if carried else None)


def _later(scope: Scope, source: Exchange, edit: Edit) -> Sequence[str]:
    """The exchanges behind this one, to the one that is named or along the first children. Raises InvalidRequest."""
    if edit.until is not None:
        last = naming.exchange(scope, edit.until)
    else:
        # Deleted or not: if it is, that is said below.
        last = exchanges.get(scope, trees.end_of_lane(scope, source.id) or source.id, hidden=True) or source
    return [node.id for node in remaking.there(remaking.between(scope, source, last)[1:])]


def _carried(deps: Deps, source: Exchange, edit: Edit, later: Sequence[str]) -> Replay:
    # What was changed for good goes for the later questions, too; what belongs to one question does not.
    kept = {member: raw.text for member, raw in edit.members.items() if member not in PER_TURN}
    plan = Plan(tuple(later), overrides=kept, branch=edit.name)
    return replays.made(deps, source.conversation_id, later[-1], plan, (None,))
