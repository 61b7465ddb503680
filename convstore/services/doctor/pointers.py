"""What points nowhere: branches; and what does not know its project: fingerprints, and items without an exchange."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from convstore.domain.checkup import Finding
from convstore.services.deps import Deps
from convstore.services.doctor.visit import Visit
from convstore.storage import mending
from convstore.storage.checkup import Spot, pointers
from convstore.storage.checkup.pointers import Stray
from convstore.storage.everywhere import Project


@dataclass(frozen=True, slots=True)
class Strays:
    """Items without an exchange, and the projects of the lanes they lie in, as far as those are known."""

    places: list[Stray]
    projects: dict[str, str]

    @classmethod
    def found(cls, deps: Deps, known: Sequence[Project]) -> "Strays":
        """Read all items there are, without their bodies."""
        with deps.database.connection() as connection:
            places = [each for batch in pointers.stray_items(connection) for each in batch]
            lanes = {each.lane for each in places}
            return cls(places, pointers.projects_of(connection, [each.id for each in known], lanes))

    def lanes_of(self, project_id: str) -> list[str]:
        return sorted({each.lane for each in self.places if self.projects.get(each.lane) == project_id})

    def told(self, chosen: Sequence[Project], displaced: Collection[Spot], *, of_none: bool) -> Iterator[Finding]:
        """Those in the lanes of these projects; of_none: and those in lanes of nobody.

        displaced: places whose exchanges lie elsewhere: they are waited for there.
        """
        names = {each.id: each.name for each in chosen}
        for each in self.places:
            project_id = self.projects.get(each.lane)
            if (each.lane, each.depth) not in displaced and (project_id in names or (project_id is None and of_none)):
                sentence = f"{each.items} items lie at depth {each.depth} of this lane, and no exchange."
                yield Finding("stray_items", names.get(project_id or ""), each.lane, sentence)


def examine(visit: Visit) -> Iterator[Finding]:
    """Branches whose tip is not there, or lies in another conversation than they say."""
    with visit.reading() as scope:
        found = pointers.branches(scope)
    for name, tip_id, said, own in found:
        if own is None:
            finding = visit.finding("branch", name, f"Its tip {tip_id} is not there.", mendable=True)
            yield visit.mended(finding, lambda scope, n=name, t=tip_id: mending.forget_branch(scope, n, t))  # type: ignore[misc]
        else:
            sentence = f"Its tip is in {own}, not in {said}."
            finding = visit.finding("branch_conversation", name, sentence, mendable=True)
            yield visit.mended(
                finding,
                lambda scope, n=name, t=tip_id, c=own: mending.set_branch_conversation(scope, n, t, c),  # type: ignore[misc]
            )


def fingerprints(deps: Deps, known: Sequence[Project], *, repair: bool) -> Iterator[Finding]:
    """Fingerprints whose exchange is in no project."""
    with deps.database.connection() as connection:
        for batch in pointers.stray_fingerprints(connection, [each.id for each in known]):
            for fingerprint, exchange_id in batch:
                sentence = f"It stands for {exchange_id}, which is not there."
                finding = Finding("fingerprint", None, fingerprint.hex(), sentence, mendable=True)
                if repair:
                    with deps.database.transaction() as writing:
                        done = mending.forget_fingerprint(writing, fingerprint, exchange_id)
                    finding = replace(finding, mended=done)
                yield finding
