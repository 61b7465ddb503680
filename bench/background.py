"""Background responses: how many, how soon they are begun, and what following and journalling them costs.

Every server that has a database gets one `convstore worker` for this section, whose CPU counts as the server's. Its
jobs and journals are looked at in the database itself. "Idle" is what the processes use while nothing is asked of them;
it is taken off where turns are compared that take different times.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from bench import processes, servers, wire
from bench.answers import words
from bench.client import LoadFailed
from bench.figures import Cpu, cpu_now, median_of, percentile
from bench.servers import HOST, House, Server
from bench.turns import SETTLE_S
from bench.upstream import MODEL

CLIENTS = 16
FOLLOWERS = (1, 50, 500)
PACES = ("burst", "steady", "slow")
POLL_S = 0.02  # between two looks of a client that polls
WITHIN_S = 120.0
IDLE_S = 3.0

RESPONSE = re.compile(rb'"id": ?"(resp_[0-9a-f]{32})"')
OPENED = b"event: response.created"
SAID = b"event: response.output_item.added"  # the first event that is not of our own making
COMPLETED = b"event: response.completed"

DELAYS = """
    SELECT started_at - created_at FROM jobs WHERE kind = 'response' AND started_at IS NOT NULL AND created_at >= ?
"""
LEFT = "SELECT COUNT(*) FROM jobs WHERE kind = 'response' AND finished_at IS NULL"
JOURNAL = "SELECT COUNT(*), SUM(LENGTH(events)), MAX(last_number) + 1 FROM journal WHERE exchange_id = ?"


@dataclass(frozen=True)
class Plan:
    """How much to do: rounds of everything, turns of a load, first events that are timed."""

    rounds: int
    turns: int
    firsts: int


def plan(rounds: int, quick: bool) -> Plan:
    """*quick*: a first look."""
    return Plan(rounds, 200, 30) if quick else Plan(rounds, 1000, 150)


@dataclass(frozen=True)
class QueueFigures:
    """One server's queue: turns by CLIENTS that poll, and the time from enqueued to begun, for them and for one."""

    server: str
    turns_per_s: float
    polls_per_turn: float
    begun_p50_ms: float
    begun_p99_ms: float
    begun_alone_p50_ms: float
    begun_alone_p99_ms: float
    idle_cpu_ms_per_s: float


@dataclass(frozen=True)
class FirstFigures:
    """First bytes and first events of the answer, followed in the background and not; p50 and p99 for one client."""

    server: str
    ordinary_p50_ms: float
    ordinary_p99_ms: float
    followed_p50_ms: float
    followed_p99_ms: float
    opened_p50_ms: float

    @property
    def added_p50_ms(self) -> float:
        """How much later the answer's first event comes to one who follows."""
        return self.followed_p50_ms - self.ordinary_p50_ms


@dataclass(frozen=True)
class FollowFigures:
    """Many that follow one slow stream; of direct: as many streams. Late: of the deltas sent once all had joined."""

    server: str
    followers: int
    joined_p99_ms: float
    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float
    timed: int
    cpu_us: float
    database_cpu_us: float
    client_cpu_us: float


@dataclass(frozen=True)
class JournalFigures:
    """The journal of one response: bytes an event, in it and as its follower got them."""

    server: str
    pace: str
    parts: float
    events: float
    journal_bytes: float
    event_bytes: float


@dataclass(frozen=True)
class CostFigures:
    """CPU ms a turn of web and worker without their idle time, by how the turn is asked for.

    ordinary: streamed, no background. followed: streamed in the background, its creator reads to the end. unfollowed:
    the same, its creator leaves after the first event. unstreamed: in the background without stream, nobody polls.
    That a creator has left is noticed when more is sent: of a burst, "unfollowed" is mostly delivered all the same.
    """

    server: str
    pace: str
    ordinary_ms: float
    followed_ms: float
    unfollowed_ms: float
    unstreamed_ms: float
    ordinary_database_ms: float
    followed_database_ms: float

    @property
    def ratio(self) -> float:
        """A turn that is followed in the background over an ordinary one."""
        return self.followed_ms / self.ordinary_ms

    @property
    def journalling_ratio(self) -> float:
        """What the journal adds to a background turn, with what is still sent, over a whole ordinary one."""
        return (self.unfollowed_ms - self.unstreamed_ms) / self.ordinary_ms


@dataclass
class Found:
    """All figures of the section."""

    queue: list[QueueFigures] = field(default_factory=list)
    first: list[FirstFigures] = field(default_factory=list)
    follow: list[FollowFigures] = field(default_factory=list)
    journal: list[JournalFigures] = field(default_factory=list)
    cost: list[CostFigures] = field(default_factory=list)


@dataclass(frozen=True)
class Bench:
    """A server and the processes whose CPU is counted with it."""

    server: Server
    upstream_pid: int
    worker_pid: int | None

    def cpu(self) -> Cpu:
        """Read the meters; the worker is one of the server's."""
        now = cpu_now(self.server, self.upstream_pid)
        return replace(now, server=now.server + (processes.cpu_s(self.worker_pid) if self.worker_pid else 0.0))

    def rows(self, statement: str, *values: int | bytes) -> list[tuple[Any, ...]]:
        """What the database says."""
        assert self.server.database
        return self.server.database.rows(statement, values)


class Listener(wire.Connection):
    """A connection that notes when a word first came, and of each delta when it was sent and when it came."""

    def __init__(self, word: bytes) -> None:
        super().__init__([])
        self.word = word
        self.heard: list[tuple[float, float]] = []
        self.came: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def note_stamps(self, late_s: list[float]) -> None:
        """Look at what has just come in."""
        now = time.monotonic()
        if not self.came.done() and self.word in self.buffer:
            self.came.set_result(time.perf_counter())
        for stamp in wire.STAMP.finditer(self.buffer, self.scanned):
            self.heard.append((float(stamp[1]), now))
            self.scanned = stamp.end()

    def leave(self) -> None:
        """Hang up, whatever is still to come."""
        if self.done:
            self.done.cancel()
        self.came.cancel()
        self.transport.close()


def measure(house: House, plan: Plan, say: Callable[[str], None]) -> Found:
    """Everything on every server that has a database, and the followed streams on the direct one as well."""
    found = Found()
    for server in house.servers:
        if server.database:
            with servers.worker_running(server) as pid:
                of_server(Bench(server, house.upstream_pid, pid), plan, found, say)
        elif server.name == "direct":
            follow(Bench(server, house.upstream_pid, None), plan, found, say)
    return found


def of_server(bench: Bench, plan: Plan, found: Found, say: Callable[[str], None]) -> None:
    """All figures of one server."""
    asyncio.run(polled(bench, CLIENTS, 2 * CLIENTS))  # connections are made, statements known
    asyncio.run(leaving(bench, CLIENTS, MODEL))
    idle = idle_cpu(bench)
    queues = [asyncio.run(queue(bench, plan, idle)) for _ in range(plan.rounds)]
    found.queue.append(median_of(queues))
    say(f"background: {bench.server.name}: {found.queue[-1].turns_per_s:.0f} turns/s")
    found.first.append(median_of([asyncio.run(first(bench, plan.firsts)) for _ in range(plan.rounds)]))
    say(f"background: {bench.server.name}: first event {found.first[-1].added_p50_ms:+.1f} ms")
    follow(bench, plan, found, say)
    for pace in PACES:
        found.journal.append(asyncio.run(journal(bench, pace)))
        found.cost.append(median_of([cost(bench, pace, plan, idle) for _ in range(plan.rounds)]))
        say(f"background: {bench.server.name}, {pace}: {found.cost[-1].ratio:.2f} x an ordinary turn's CPU")


def body(model: str = MODEL, *, background: bool = True, stream: bool = True) -> bytes:
    """A question of some 200 characters."""
    fields = {"model": model, "input": words(200), "background": background, "stream": stream}
    return json.dumps({name: value for name, value in fields.items() if value}, separators=(",", ":")).encode()


def idle_cpu(bench: Bench) -> Cpu:
    """CPU seconds a second when nothing is asked."""
    settle(bench)
    before = bench.cpu()
    time.sleep(IDLE_S)
    used = bench.cpu() - before
    return Cpu(used.server / IDLE_S, used.database / IDLE_S, used.upstream / IDLE_S, used.client / IDLE_S)


def settle(bench: Bench) -> None:
    """Wait until no job is left. Raises LoadFailed."""
    deadline = time.monotonic() + WITHIN_S
    while bench.rows(LEFT) != [(0,)]:
        if time.monotonic() > deadline:
            raise LoadFailed(f"{bench.server.name}: jobs are still not done after {WITHIN_S:.0f} s")
        time.sleep(0.1)
    time.sleep(SETTLE_S)


# -- the queue ------------------------------------------------------------------------------------------------


async def queue(bench: Bench, plan: Plan, idle: Cpu) -> QueueFigures:
    """Turns for many clients, then for one."""
    since = time.time()
    seconds, polls = await polled(bench, CLIENTS, plan.turns)
    begun = delays_ms(bench, since)
    since = time.time()
    await polled(bench, 1, plan.turns // 4)
    alone = delays_ms(bench, since)
    return QueueFigures(
        server=bench.server.name,
        turns_per_s=plan.turns / seconds,
        polls_per_turn=polls / plan.turns,
        begun_p50_ms=percentile(begun, 0.5),
        begun_p99_ms=percentile(begun, 0.99),
        begun_alone_p50_ms=percentile(alone, 0.5),
        begun_alone_p99_ms=percentile(alone, 0.99),
        idle_cpu_ms_per_s=idle.server * 1e3,
    )


def delays_ms(bench: Bench, since: float) -> list[float]:
    """From a job's creation to its first start, of all that were created since then."""
    return [row[0] / 1e3 for row in bench.rows(DELAYS, int(since * 1e6))]


async def polled(bench: Bench, clients: int, turns: int) -> tuple[float, int]:
    """Create responses and poll each until it is completed; seconds and polls it took."""
    left, polls = turns, 0
    create = wire.request(bench.server, body(stream=False))

    async def client() -> None:
        nonlocal left, polls
        line = wire.Caller(bench.server)
        while left > 0:
            left -= 1
            answer = await line.ask(create)
            look = wire.request(bench.server, None, f"/v1/responses/{id_in(answer.raw)}")
            while not answer.says(b'"completed"'):
                if not (answer.says(b'"queued"') or answer.says(b'"in_progress"')):
                    raise LoadFailed(f"{bench.server.name}: {answer.raw[:600]!r}")
                await asyncio.sleep(POLL_S)
                answer = await line.ask(look)
                polls += 1
        line.close()

    began = time.perf_counter()
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*(client() for _ in range(clients)))
    return time.perf_counter() - began, polls


def id_in(said: bytes | bytearray) -> str:
    """The response's id in an answer. Raises LoadFailed."""
    found = RESPONSE.search(said)
    if found is None:
        raise LoadFailed(f"no response: {bytes(said[:600])!r}")
    return found[1].decode()


# -- first events ---------------------------------------------------------------------------------------------


async def first(bench: Bench, count: int) -> FirstFigures:
    """When the first event of the answer comes to one client, ordinarily and in the background, in turn."""
    waits: dict[bool, list[float]] = {False: [], True: []}
    opened: list[float] = []
    for number in range(2 * count):
        background = number % 2 == 1
        listener = await ask(bench.server, body(background=background), SAID)
        answer = await whole(bench.server, listener)
        waits[background].append((listener.came.result() - listener.started) * 1e3)
        if background:
            opened.append(answer.first_byte_s * 1e3)
        listener.transport.close()
    return FirstFigures(
        server=bench.server.name,
        ordinary_p50_ms=percentile(waits[False], 0.5),
        ordinary_p99_ms=percentile(waits[False], 0.99),
        followed_p50_ms=percentile(waits[True], 0.5),
        followed_p99_ms=percentile(waits[True], 0.99),
        opened_p50_ms=percentile(opened, 0.5),
    )


async def ask(server: Server, question: bytes | None, word: bytes, path: str = "/v1/responses") -> Listener:
    """Ask over a new connection, and listen for *word*."""
    loop = asyncio.get_running_loop()
    _, listener = await loop.create_connection(lambda: Listener(word), HOST, server.port)
    listener.ask(wire.request(server, question, path))
    return listener


async def whole(server: Server, listener: Listener) -> wire.Answer:
    """The answer to its end. Raises LoadFailed."""
    assert listener.done
    async with asyncio.timeout(WITHIN_S):
        answer = await listener.done
    if not answer.says(COMPLETED):
        raise LoadFailed(f"{server.name}: {answer.raw[:600]!r} … {answer.raw[-300:]!r}")
    return answer


async def begun(server: Server, question: bytes) -> tuple[Listener, str]:
    """Ask for a stream in the background, up to its first event; the response's id. Raises LoadFailed."""
    listener = await ask(server, question, OPENED)
    awaited: list[asyncio.Future[Any]] = [each for each in (listener.came, listener.done) if each]
    async with asyncio.timeout(WITHIN_S):
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    return listener, id_in(listener.buffer)


# -- following ------------------------------------------------------------------------------------------------


def follow(bench: Bench, plan: Plan, found: Found, say: Callable[[str], None]) -> None:
    """One slow stream, followed by few and by many."""
    for followers in FOLLOWERS:
        rounds = [asyncio.run(followed(bench, followers)) for _ in range(plan.rounds)]
        found.follow.append(median_of(rounds))
        figures = found.follow[-1]
        say(f"background: {bench.server.name}, {followers} followers: {figures.late_p99_ms:.1f} ms late at p99")


async def followed(bench: Bench, followers: int) -> FollowFigures:
    """A stream begun in the background, then as many followers at once; CPU from its beginning to its end."""
    server, before = bench.server, bench.cpu()
    if server.database:
        creator, own = await begun(server, body("slow"))
        creator.leave()
        question, path = None, f"/v1/responses/{own}?stream=true"
    else:
        question, path = body("slow", background=False), "/v1/responses"
    listeners = await asyncio.gather(*(ask(server, question, OPENED, path) for _ in range(followers)))
    answers = await asyncio.gather(*(whole(server, each) for each in listeners))
    await asyncio.sleep(SETTLE_S)
    used = bench.cpu() - before
    delivered = sum(answer.raw.count(b"event: ") for answer in answers)
    # Both clocks are the same one on Linux; elsewhere they differ by a constant.
    apart = time.monotonic() - time.perf_counter()
    joined = max(each.started + answer.first_byte_s for each, answer in zip(listeners, answers, strict=True)) + apart
    late = [(came - sent) * 1e3 for each in listeners for sent, came in each.heard if sent >= joined]
    return FollowFigures(
        server=server.name,
        followers=followers,
        joined_p99_ms=percentile([answer.first_byte_s * 1e3 for answer in answers], 0.99),
        late_p50_ms=percentile(late, 0.5),
        late_p99_ms=percentile(late, 0.99),
        late_max_ms=max(late, default=0.0),
        timed=len(late),
        cpu_us=used.server / delivered * 1e6,
        database_cpu_us=used.database / delivered * 1e6,
        client_cpu_us=used.client / delivered * 1e6,
    )


# -- what it costs --------------------------------------------------------------------------------------------


async def journal(bench: Bench, pace: str) -> JournalFigures:
    """The journal of one response that its creator followed."""
    listener = await ask(bench.server, body(model_of(pace)), OPENED)
    answer = await whole(bench.server, listener)
    listener.transport.close()
    own = id_in(answer.raw)
    ((parts, size, events),) = bench.rows(JOURNAL, bytes.fromhex(own.removeprefix("resp_")))
    count = float(events)
    return JournalFigures(
        server=bench.server.name,
        pace=pace,
        parts=float(parts),
        events=count,
        journal_bytes=float(size) / count,
        event_bytes=len(answer.body()) / count,
    )


def cost(bench: Bench, pace: str, plan: Plan, idle: Cpu) -> CostFigures:
    """The same turns asked for in four ways."""
    # As many slow ones as a worker runs at a time: no more of them wait.
    model, turns = model_of(pace), plan.turns if pace == "burst" else CLIENTS
    ordinary = spent(bench, idle, turns, lambda: reading(bench, turns, body(model, background=False)))
    read = spent(bench, idle, turns, lambda: reading(bench, turns, body(model)))
    unfollowed = spent(bench, idle, turns, lambda: leaving(bench, turns, model))
    unstreamed = spent(bench, idle, turns, lambda: creating(bench, turns, model))
    return CostFigures(
        server=bench.server.name,
        pace=pace,
        ordinary_ms=ordinary.server * 1e3,
        followed_ms=read.server * 1e3,
        unfollowed_ms=unfollowed.server * 1e3,
        unstreamed_ms=unstreamed.server * 1e3,
        ordinary_database_ms=ordinary.database * 1e3,
        followed_database_ms=read.database * 1e3,
    )


def model_of(pace: str) -> str:
    """Whose answers come at that pace."""
    return MODEL if pace == "burst" else pace


def spent(bench: Bench, idle: Cpu, turns: int, load: Callable[[], Coroutine[None, None, None]]) -> Cpu:
    """CPU seconds a turn of a load, up to the end of its last job, over what would have been used anyway."""
    before, began = bench.cpu(), time.monotonic()
    asyncio.run(load())
    settle(bench)
    used, took = bench.cpu() - before, time.monotonic() - began
    over = (used.server - idle.server * took, used.database - idle.database * took)
    return Cpu(over[0] / turns, over[1] / turns, used.upstream / turns, used.client / turns)


async def by_clients(turns: int, turn: Callable[[], Awaitable[object]]) -> None:
    """Turns, CLIENTS at a time."""
    left = turns

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await turn()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


async def reading(bench: Bench, turns: int, question: bytes) -> None:
    """Turns whose streams are read to the end."""

    async def turn() -> None:
        listener = await ask(bench.server, question, OPENED)
        await whole(bench.server, listener)
        listener.transport.close()

    await by_clients(turns, turn)


async def leaving(bench: Bench, turns: int, model: str) -> None:
    """Background turns whose creators leave after the first event."""

    async def turn() -> None:
        listener, _ = await begun(bench.server, body(model))
        listener.leave()

    await by_clients(turns, turn)


async def creating(bench: Bench, turns: int, model: str) -> None:
    """Background turns that nobody waits for."""

    async def turn() -> None:
        listener = await ask(bench.server, body(model, stream=False), OPENED)
        assert listener.done
        id_in((await listener.done).raw)
        listener.transport.close()

    await by_clients(turns, turn)
