"""A visit: one project, and what is to be done there."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from convstore.domain.checkup import Finding
from convstore.services.deps import Deps
from convstore.storage.everywhere import Project
from convstore.storage.scope import Scope

# Told how far it is: what is being looked at, how many exchanges of it were, and how many there are.
Tell = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


_Row = TypeVar("_Row", bound=_HasId)


@dataclass(frozen=True, slots=True)
class Visit:
    """total: how many exchanges the project has."""

    deps: Deps
    project: Project
    repair: bool
    tell: Tell
    total: int

    def finding(self, kind: str, object_id: str, sentence: str, *, mendable: bool = False) -> Finding:
        return Finding(kind, self.project.name, object_id, sentence, mendable)

    def mended(self, finding: Finding, act: Callable[[Scope], bool]) -> Finding:
        """The finding, mended when that is wanted and safe. act: whether it found it as it was; in a transaction."""
        if not (self.repair and finding.mendable):
            return finding
        with self.writing() as scope:
            return replace(finding, mended=act(scope))

    @contextmanager
    def reading(self) -> Iterator[Scope]:
        with self.deps.database.reading(self.project.id) as scope:
            yield scope

    @contextmanager
    def writing(self) -> Iterator[Scope]:
        with self.deps.database.writing(self.project.id) as scope:
            yield scope

    def batches(self, what: str, read: Callable[[Scope, str | None], Sequence[_Row]]) -> Iterator[Sequence[_Row]]:
        """All rows that *read* finds, behind the last id each time; nothing is held open meanwhile."""
        after, done = None, 0
        self.tell(f"{self.project.name}: {what}", 0, self.total)
        while True:
            with self.reading() as scope:
                rows = read(scope, after)
            if not rows:
                break
            yield rows
            after, done = rows[-1].id, done + len(rows)
            self.tell(f"{self.project.name}: {what}", done, self.total)
        self.tell(f"{self.project.name}: {what}", self.total, self.total)
