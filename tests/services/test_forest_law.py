"""Whatever is made of a forest in whatever order, it is what a few lists in memory say it is.

Two projects go on, branch, replay, delete and name what they like; the provider's answers follow from what it is asked.
Every turn is looked at when it is made (was the model shown the thread, the whole thread and nothing but the thread?),
every tree when all is done: page by page, part by part, and through the other project's eyes.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convstore.domain import jsontext
from convstore.domain.edit import Edit
from convstore.domain.items import of_text
from convstore.domain.jsontext import Raw
from convstore.domain.replay import Wanted as Replay
from convstore.errors import ConvstoreError, NotFound
from convstore.services import branches, branching, contexts, doctor, jobs, relay, replays, responses, trees
from convstore.services.branches import Move
from convstore.services.deps import Deps
from convstore.services.kinds import KINDS
from convstore.services.paging import Listing
from convstore.services.relay import Whole
from convstore.services.running_job import RunningJob
from convstore.services.trees import Wanted
from convstore.storage import queue
from tests.local_upstream import USAGE, Exchange, LocalUpstream, function_call, message, response
from tests.services.conftest import Asker, asker

EXAMPLES = int(os.environ.get("CONVSTORE_FUZZ_EXAMPLES", "4"))
# More than any example has.
ALL = 10_000

# What somebody says: ("user", text), ("assistant", text), ("call", id, arguments) or ("output", id, result).
Word = tuple[str, ...]


def word(item: dict[str, Any]) -> Word:
    """An item, in short."""
    if item["type"] == "message":
        content = item["content"]
        return item["role"], content if isinstance(content, str) else content[0]["text"]
    if item["type"] == "function_call":
        return "call", item["call_id"], item["arguments"]
    return "output", item["call_id"], item["output"]


class Provider:
    """Who is asked for a tool calls it; whoever else is told a number that nobody else is told.

    heard: what it was shown, and what it said, one entry for each call.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[list[Word], Word]] = []
        self._lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> None:
        shown = [word(each) for each in exchange.asked.body["input"]]
        with self._lock:
            number = len(self.heard)
            calls = shown[-1][0] == "user" and shown[-1][1].startswith("tool")
            own = f"call_{os.urandom(6).hex()}"
            item = function_call(own, arguments=json.dumps({"of": shown[-1][1]})) if calls else message(f"A{number}")
            self.heard.append((shown, word(item)))
        exchange.whole(200, json.dumps(response(item)).encode())


@dataclass(eq=False)
class Turn:
    """An exchange as the model of this test knows it."""

    id: str
    home: str
    parent: "Turn | None"
    asked: list[Word]
    said: Word
    origin: str = "create"
    origin_id: str | None = None
    is_gone: bool = False
    children: "list[Turn]" = field(default_factory=list)

    @property
    def thread(self) -> "list[Turn]":
        return [*(self.parent.thread if self.parent else ()), self]

    @property
    def context(self) -> list[Word]:
        before = self.parent.thread if self.parent else ()
        return [each for turn in before for each in (*turn.asked, turn.said)] + self.asked

    def walk(self) -> "Iterator[Turn]":
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def figures(self) -> tuple[int, int, int]:
        """Nodes, tips and tokens from here on."""
        below = list(self.walk())
        return len(below), sum(not each.children for each in below), len(below) * int(str(USAGE["total_tokens"]))


class Project:
    """What one project has, beside the service that has it."""

    def __init__(self, asker: Asker, provider: Provider) -> None:
        self.asker = asker
        self.deps = asker.deps
        self.id = asker.principal.project_id
        self.provider = provider
        self.turns: list[Turn] = []
        self.names: dict[str, Turn] = {}

    def pick(self, number: int) -> Turn:
        return self.turns[number % len(self.turns)]

    def add(self, own: str, parent: Turn | None, heard: tuple[list[Word], Word], **origin: Any) -> Turn:
        """Note what was made; it was shown its thread."""
        stored = self.asker.stored(own)
        asked = origin.pop("asked")
        made = Turn(own, stored.conversation_id, parent, asked, heard[1], **origin)
        assert heard[0] == made.context
        assert stored.parent_id == (parent.id if parent else None)
        if parent:
            assert made.home == parent.home
            parent.children.append(made)
        self.turns.append(made)
        return made

    def refuses(self, act: Callable[[], Any]) -> None:
        """Nobody is asked for what cannot be, and nothing is written (the end will tell)."""
        before = len(self.provider.heard)
        with pytest.raises(ConvstoreError):
            act()
        assert len(self.provider.heard) == before

    def work(self) -> None:
        """Do what is queued, as a worker does."""
        while held := queue.take(self.deps.database, self.deps.process, list(KINDS), self.deps.clock()):
            job = RunningJob(self.deps.database, held)
            KINDS[held.kind].run(self.deps, job)
            jobs.finish(self.deps, held, "completed", progress=job.unsaid)

    # -- what is done -----------------------------------------------------------------------------------------

    def ask(self, parent: Turn | None, words: Sequence[str], *, honest: bool = True) -> None:
        """A turn of these messages, behind the outputs of the tools that were called; honest: if any were."""
        opened = parent is not None and parent.said[0] == "call"
        outputs: list[Word] = [("output", parent.said[1], "42")] if parent and opened and honest else []
        given = [{"type": "function_call_output", "call_id": own, "output": out} for _, own, out in outputs]
        given += [{"type": "message", "role": "user", "content": each} for each in words]
        after = parent.id if parent else None
        if parent and (parent.is_gone or (opened and not honest)):
            self.refuses(lambda: self.asker.ask(given, after=after))
            return
        made = self.asker.ask(given, after=after)
        asked = [*outputs, *(("user", each) for each in words)]
        self.add(made["id"], parent, self.provider.heard[-1], asked=asked)

    def branch(self, of: Turn, text: str | None, name: str | None, *, carry: bool) -> None:
        """The same question again, or another of the same kind; and those that came behind it."""
        later = list(_first_children(of)) if carry else []
        asked = of.asked
        if text is not None and all(each[0] == "user" for each in of.asked):
            asked = [("user", f"tool {text}" if of.said[0] == "call" else text)]
        items = None if asked is of.asked else (of_text(Raw(asked[0][1], json.dumps(asked[0][1]))),)
        edit = Edit({}, items, carries=carry, name=name)

        def act() -> Any:
            return branching.create(self.deps, self.asker.principal, of.id, edit, relay.call_of("req_1", None, b""))

        if of.is_gone or any(each.is_gone for each in later) or name in self.names:
            self.refuses(act)
            return
        done = act()
        assert isinstance(done.answer, Whole)
        own = json.loads(done.answer.body)["id"]
        made = self.add(own, of.parent, self.provider.heard[-1], asked=asked, origin="branch", origin_id=of.id)
        assert made.home == of.home
        if name:
            self.names[name] = made
        assert (done.replay_id is not None) == bool(later)
        if done.replay_id:
            before = len(self.provider.heard)
            self.work()
            (tip,) = self.ran(done.replay_id, [later], before, made, was=of)
            if name:
                self.names[name] = tip

    def replay(self, of: Turn, mode: str, models: Sequence[str]) -> None:
        sources = of.thread if mode == "thread" else [of]

        def act() -> Any:
            plan = replays.plan(self.deps, self.asker.principal, of.id, Replay(models=models, mode=mode))
            return replays.create(self.deps, self.asker.principal, plan)

        if any(each.is_gone for each in sources):
            self.refuses(act)
            return
        made, before = act(), len(self.provider.heard)
        self.work()
        self.ran(made.id, [sources] * max(len(models), 1), before, sources[0].parent)

    def ran(
        self, own: str, runs: list[list[Turn]], before: int, behind: Turn | None, was: Turn | None = None
    ) -> list[Turn]:
        """Note what a replay made behind a turn; was: whose answer that turn's stands for. The last of each run."""
        told = json.loads(replays.written(self.deps, self.id, replays.get(self.deps, self.id, own)))
        assert told["status"] == "completed", told
        heard, tips = iter(self.provider.heard[before:]), []
        for sources, run in zip(runs, told["runs"], strict=True):
            assert [each["source_id"] for each in run["turns"]] == [each.id for each in sources]
            parent, recorded = behind, was
            for source, each in zip(sources, run["turns"], strict=True):
                asked = source.asked
                if parent and recorded and recorded.said[0] == "call":
                    # The same result, for the call of today.
                    asked = [("output", parent.said[1], asked[0][2]), *asked[1:]]
                origin = {"asked": asked, "origin": "replay", "origin_id": source.id}
                parent, recorded = self.add(each["response_id"], parent, next(heard), **origin), source
                assert parent.home == source.home
            assert parent is not None
            tips.append(parent)
        assert next(heard, None) is None
        return tips

    def delete(self, turn: Turn) -> None:
        if turn.is_gone:
            self.refuses(lambda: responses.delete(self.deps, self.asker.principal, turn.id))
        else:
            responses.delete(self.deps, self.asker.principal, turn.id)
            turn.is_gone = True

    def point(self, name: str, turn: Turn) -> None:
        """A name for an exchange: a new one, or one that is moved within its conversation."""
        known = self.names.get(name)
        if turn.is_gone or (known and known.home != turn.home):
            move = Move(tip=turn.id)
            self.refuses(
                lambda: (
                    branches.change(self.deps, self.id, name, move)
                    if known
                    else branches.create(self.deps, self.id, name, turn.id)
                )
            )
            return
        if known:
            branches.change(self.deps, self.id, name, Move(tip=turn.id, expected=known.id))
        else:
            branches.create(self.deps, self.id, name, turn.id)
        self.names[name] = turn

    # -- what is seen -----------------------------------------------------------------------------------------

    def look(self, page: int) -> None:
        """Everything is as the lists say."""
        homes = dict.fromkeys(each.home for each in self.turns)
        for home in homes:
            roots = [each for each in self.turns if each.home == home and each.parent is None]
            everything = [each for root in roots for each in root.walk()]
            self._is_tree(home, everything, page, None)
            tips = sorted((each.id for each in everything if not each.children), reverse=True)
            assert _pages(lambda after, home=home: trees.tips(self.deps, self.id, home, page, after)) == tips
            for top in everything:
                if top.children or top is everything[-1]:
                    self._is_tree(home, list(top.walk()), ALL, top)
                self._is_turn(top, page)
        for name, turn in self.names.items():
            assert branches.get(self.deps, self.id, name).tip_id == turn.id
            if not turn.is_gone:
                assert contexts.of(self.deps, self.id, name).response_id == turn.id

    def _is_tree(self, home: str, expected: list[Turn], page: int, top: Turn | None) -> None:
        found: list[dict[str, Any]] = []
        while True:
            after = found[-1]["id"] if found else None
            wanted = Wanted(root=top.id if top else None, limit=page, after=after)
            told = json.loads(trees.tree(self.deps, self.id, home, wanted))
            found += told["data"]
            assert len(told["data"]) <= page
            if not told["has_more"]:
                break
        assert [each["id"] for each in found] == [each.id for each in expected]
        for node, turn in zip(found, expected, strict=True):
            below = node["subtree"]
            assert (below["nodes"], below["tips"], below["total_tokens"]) == turn.figures
            assert below["without_usage"] == 0
            assert node["parent_id"] == (turn.parent.id if turn.parent else None)
            assert (node["depth"], node["is_tip"]) == (len(turn.thread) - 1, not turn.children)
            assert (node["origin"], node["origin_id"]) == (turn.origin, turn.origin_id)
            assert (node["deleted"], node["question"] is None) == (turn.is_gone, turn.is_gone)
            assert node["branches"] == sorted(name for name, tip in self.names.items() if tip is turn)
        assert told["total"]["nodes"] == len(expected)
        # A depth cuts off what is deeper, and nothing else.
        least = len(expected[0].thread) - 1
        cut = json.loads(trees.tree(self.deps, self.id, home, Wanted(expected[0].id if top else None, 1, ALL)))
        shallow = [each.id for each in expected if len(each.thread) - 1 <= least + 1]
        assert [each["id"] for each in cut["data"]] == shallow

    def _is_turn(self, turn: Turn, page: int) -> None:
        if turn.is_gone:
            for ask in (trees.thread, trees.children):
                more = {"items": True} if ask is trees.thread else {}
                with pytest.raises(NotFound):
                    ask(self.deps, self.id, turn.id, 1, None, **more)  # type: ignore[operator]
            return
        children = _pages(lambda after: trees.children(self.deps, self.id, turn.id, page, after))
        assert children == [each.id for each in turn.children]
        thread = _pages(lambda after: trees.thread(self.deps, self.id, turn.id, page, after, items=False))
        assert thread == [each.id for each in turn.thread]
        whole = trees.thread(self.deps, self.id, turn.id, ALL, None, items=True)
        for (own, told), each in zip(whole.items, turn.thread, strict=True):
            node = json.loads(told)
            assert own == node["id"] == each.id
            assert [word(item) for item in node["input"]] == ([] if each.is_gone else each.asked)
            assert [word(item) for item in node["output"]] == ([] if each.is_gone else [each.said])
        seen = contexts.of(self.deps, self.id, turn.id)
        assert [word(jsontext.loads(part.body)) for part in seen.parts] == turn.context
        assert json.loads(seen.write())["verified"] is True

    def sees_nothing_of(self, other: "Project") -> None:
        for turn in other.turns[::3]:
            with pytest.raises(NotFound):
                trees.tree(self.deps, self.id, turn.home, Wanted())
            with pytest.raises(NotFound):
                trees.tips(self.deps, self.id, turn.home, 1, None)
            with pytest.raises(NotFound):
                trees.children(self.deps, self.id, turn.id, 1, None)
            with pytest.raises(NotFound):
                trees.thread(self.deps, self.id, turn.id, 1, None, items=True)
            with pytest.raises(NotFound):
                contexts.of(self.deps, self.id, turn.id)
        for turn, own in zip(other.turns[::3], self.turns, strict=False):
            # Nor as a part of one's own.
            with pytest.raises(ConvstoreError):
                trees.tree(self.deps, self.id, own.home, Wanted(root=turn.id))


def _first_children(turn: Turn) -> Iterator[Turn]:
    while turn.children:
        turn = turn.children[0]
        yield turn


def _pages(ask: Callable[[str | None], Listing]) -> list[str]:
    """The ids of a list, one page after another."""
    found: list[str] = []
    while True:
        page = ask(found[-1] if found else None)
        found += [own for own, _ in page.items]
        if not page.has_more:
            return found


@pytest.fixture
def provider(upstream: LocalUpstream) -> Provider:
    upstream.otherwise = Provider()
    return upstream.otherwise


who = st.sampled_from([0, 0, 1])
which = st.integers(0, 50)
kind = st.sampled_from(["say", "say", "tool"])
names = st.sampled_from(["main", "draft", "other"])

# What somebody does: the name of a method of Forest, and what it is given. Forks are what it is about.
step = st.one_of(
    st.tuples(st.just("start"), who, kind),
    st.tuples(st.just("go_on"), who, which, st.integers(0, 2), kind),
    st.tuples(st.just("go_on"), who, st.integers(-2, 3), st.just(0), kind),
    st.tuples(st.just("go_on_without_the_tool"), who, which),
    st.tuples(st.just("go_on_from_another_projects"), who, which),
    st.tuples(st.just("branch"), who, which, st.booleans(), st.none() | names, st.booleans()),
    st.tuples(st.just("branch"), who, which, st.booleans(), st.none(), st.just(True)),
    st.tuples(st.just("replay"), who, which, st.sampled_from(["thread", "last"]), st.integers(0, 2)),
    st.tuples(st.just("delete"), who, which),
    st.tuples(st.just("point"), who, which, names),
)


class Forest:
    """Two projects, and all they may do."""

    def __init__(self, deps: Deps, provider: Provider) -> None:
        self.deps = deps
        self.projects = [Project(asker(deps, name), provider) for name in ("acme", "globex")]
        self.count = 0
        for number in (0, 1):
            self.start(number, "say")
            for of in (0, 0, 0, 2):
                self.go_on(number, of, 0, "say")

    def words(self, *kinds: str) -> list[str]:
        self.count += 1
        return [f"{each} {self.count}.{number}" for number, each in enumerate(kinds)]

    def start(self, who: int, kind: str) -> None:
        self.projects[who].ask(None, self.words(kind))

    def go_on(self, who: int, which: int, more: int, kind: str) -> None:
        project = self.projects[who]
        project.ask(project.pick(which), self.words(*["say"] * more, kind))

    def go_on_without_the_tool(self, who: int, which: int) -> None:
        project = self.projects[who]
        project.ask(project.pick(which), self.words("say"), honest=False)

    def go_on_from_another_projects(self, who: int, which: int) -> None:
        own, other = self.projects[who], self.projects[1 - who].pick(which)
        own.refuses(lambda: own.asker.ask("Mine", after=other.id))

    def branch(self, who: int, which: int, is_edited: bool, name: str | None, carry: bool) -> None:
        project = self.projects[who]
        project.branch(project.pick(which), *(self.words("say") if is_edited else (None,)), name, carry=carry)

    def replay(self, who: int, which: int, mode: str, models: int) -> None:
        project = self.projects[who]
        project.replay(project.pick(which), mode, ["gpt-5.4-mini", "gpt-5.4-nano"][:models])

    def delete(self, who: int, which: int) -> None:
        project = self.projects[who]
        project.delete(project.pick(which))

    def point(self, who: int, which: int, name: str) -> None:
        project = self.projects[who]
        project.point(name, project.pick(which))

    def look(self) -> None:
        for number, project in enumerate(self.projects):
            project.look(page=1 + self.count % 5)
            project.sees_nothing_of(self.projects[1 - number])
            assert list(doctor.examine(self.deps, project.asker.principal.project)) == []


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(step, min_size=12, max_size=20))
def test_any_forest_is_what_was_made_of_it(deps: Deps, provider: Provider, steps: list[tuple[Any, ...]]) -> None:
    forest = Forest(deps, provider)
    for what, *how in steps:
        getattr(forest, what)(*how)
    forest.look()


def test_children_that_come_at_the_same_time_are_all_kept(acme: Asker, provider: Provider) -> None:
    project = Project(acme, provider)
    project.ask(None, ["say 0"])
    project.ask(project.turns[0], ["say 1"])
    begun = threading.Barrier(9)
    made: list[tuple[str, int]] = []

    def ask(number: int) -> None:
        begun.wait()
        # Half of them behind a tip, half beside one, and one more time each.
        for turn in (number % 2, 1 - number % 2):
            with suppress(ConvstoreError):
                made.append((acme.ask(f"say {number}", after=project.turns[turn].id)["id"], turn))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    begun.wait()
    for each in threads:
        each.join()
    assert len(made) == 16
    root, second = project.turns
    expected = {root.id: {second.id}, second.id: set[str]()}
    for own, turn in made:
        expected[project.turns[turn].id].add(own)
        assert len(trees.thread(acme.deps, project.id, own, ALL, None, items=False).items) == turn + 2
    for own, children in expected.items():
        assert {child for child, _ in trees.children(acme.deps, project.id, own, ALL, None).items} == children
    told = json.loads(trees.tree(acme.deps, project.id, root.home, Wanted(limit=ALL)))
    assert (told["total"]["nodes"], told["total"]["tips"]) == (18, 16)
    assert list(doctor.examine(acme.deps, acme.principal.project)) == []
