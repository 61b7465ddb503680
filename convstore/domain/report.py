"""What came of an import: how many of what were new, known or refused, and what was wrong, with its place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Problems that are kept: whoever has more of them has one, many times.
MOST = 1_000

# Why something was not brought in, in a sentence.
REASONS = {
    "other_project": "The id is another project's. Import with new ids to have a copy of it.",
    "duplicate": "The file has the id twice; the first one counts.",
    "cycle": "It is its own parent.",
    "parent_missing": "Its parent is neither here nor above it in the file.",
    "parent_elsewhere": "Its parent is in another conversation.",
    "parent_unusable": "Its parent is still being answered, or was not to be stored.",
    "conversation_missing": "Its conversation is neither here nor above it in the file.",
    "erased": "It was erased here. What was erased does not come back.",
    "on_record": "The audit log says that it was here, and it is not: see 'convstore audit verify'.",
    "taken": "Something of it is here already, and it is not: see 'convstore doctor'.",
    "name_taken": "Another branch has this name.",
    "tip_missing": "What the branch points at is not here.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What was not brought in. place: where it stood in the file; id: what it calls itself."""

    place: str
    reason: str
    message: str
    id: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"place": self.place, "id": self.id, "reason": self.reason, "message": self.message}


@dataclass(slots=True)
class Report:
    """counts: of "conversations", "exchanges" and so on by "new", "known", "refused". more: problems besides those."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    more: int = 0

    def count(self, noun: str, outcome: str, number: int = 1) -> None:
        """Count what became of things of a kind."""
        if number:
            of = self.counts.setdefault(noun, {})
            of[outcome] = of.get(outcome, 0) + number

    def tell(self, problem: Problem) -> None:
        """Note what was wrong."""
        if len(self.problems) < MOST:
            self.problems.append(problem)
        else:
            self.more += 1

    def add(self, other: "Report") -> None:
        """What came of more."""
        for noun, outcomes in other.counts.items():
            for outcome, number in outcomes.items():
                self.count(noun, outcome, number)
        for problem in other.problems:
            self.tell(problem)
        self.more += other.more

    def as_dict(self) -> dict[str, Any]:
        """The API's form, and the store's."""
        return {
            "counts": {noun: dict(sorted(of.items())) for noun, of in sorted(self.counts.items())},
            "problems": [each.as_dict() for each in self.problems],
            "problems_left_out": self.more,
        }

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> "Report":
        """The report in its form."""
        problems = [Problem(**each) for each in stored.get("problems", ())]
        counts = {noun: dict(of) for noun, of in stored.get("counts", {}).items()}
        return cls(counts, problems, stored.get("problems_left_out", 0))
