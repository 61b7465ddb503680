"""Providers that fail, each in its way: the settings that lead to them, and what they do when they are asked.

A model's name says which provider serves it, so that one service has them all.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from convstore.config import UpstreamSettings
from tests.conftest import PROVIDER_KEY
from tests.local_upstream import Behaviour, Exchange

# A breaker that never opens: these tests fail on purpose, and one service outlives many of them.
NEVER = 1_000_000
BREAKER_FAILURES = 3
BREAKER_PAUSE_S = 0.4
FRAGILE = tuple(f"fragile-{number}" for number in range(6))
# What the hasty provider's answer may take: between two reads, and in all.
HASTY_READ_S = 0.4
HASTY_TOTAL_S = 1.0


@dataclass(frozen=True)
class DeadEnds:
    """Two addresses that nobody answers at: one refuses connections, one never takes them up."""

    refusing: str
    full: str


@contextmanager
def dead_ends() -> Iterator[DeadEnds]:
    """Both, on ports that stay ours as long as the block runs."""
    with ExitStack() as stack:
        bound, full = (stack.enter_context(socket.socket()) for _ in range(2))
        bound.bind(("127.0.0.1", 0))
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        while _gets_in(stack, full.getsockname()):
            pass
        yield DeadEnds(*(f"http://127.0.0.1:{each.getsockname()[1]}/v1" for each in (bound, full)))


def _gets_in(stack: ExitStack, address: tuple[str, int]) -> bool:
    """Whether one more connection fits into the queue of a server that accepts none."""
    waiting = stack.enter_context(socket.socket())
    waiting.settimeout(0.2)
    try:
        waiting.connect(address)
    except TimeoutError:
        return False
    return True


def settings(url: str, nowhere: DeadEnds) -> tuple[UpstreamSettings, ...]:
    """All providers: one that is there under many names, with other settings each, and two that are not."""

    def provider(name: str, **changes: object) -> UpstreamSettings:
        given = {"url": url, "key": PROVIDER_KEY, "models": (name,), "retries": 0, "breaker_failures": NEVER}
        return UpstreamSettings(name=name, **{"read_timeout_s": 60.0, **given, **changes})  # type: ignore[arg-type]

    return (
        provider("local", models=()),
        provider("chat", dialect="chat"),
        provider("hasty", read_timeout_s=HASTY_READ_S, total_timeout_s=HASTY_TOTAL_S),
        provider("persistent", retries=2, retry_wait_max_s=0.5),
        provider("refusing", url=nowhere.refusing),
        provider("refusing-persistent", url=nowhere.refusing, retries=1),
        provider("unreachable", url=nowhere.full, connect_timeout_s=0.3),
        provider("patient", url=nowhere.full, connect_timeout_s=60.0),
        *(provider(name, breaker_failures=BREAKER_FAILURES, breaker_pause_s=BREAKER_PAUSE_S) for name in FRAGILE),
    )


def configuration(path: Path, upstreams: tuple[UpstreamSettings, ...]) -> Path:
    """The same settings as a file for `convstore serve`."""
    path.write_text('host = "127.0.0.1"\n' + "".join(map(_table, upstreams)), encoding="utf-8")
    return path


def _table(upstream: UpstreamSettings) -> str:
    values = {name: value for name, value in vars(upstream).items() if isinstance(value, str | int | float)}
    lines = [f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}" for name, value in values.items()]
    models = ", ".join(f'"{model}"' for model in upstream.models)
    return "\n[[upstreams]]\n" + "\n".join(lines) + f"\nmodels = [{models}]\n"


# -- what they do ---------------------------------------------------------------------------------------------


def says(data: bytes) -> Behaviour:
    """These bytes, HTTP or not, and the connection is closed."""
    return lambda exchange: exchange.say(data)


def head(*lines: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    """The head of an HTTP answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {kind}", *lines, "", ""]).encode()


def closed_early(body: bytes, missing: int = 10) -> Behaviour:
    """A body that is shorter than its Content-Length says."""
    return says(head(f"Content-Length: {len(body) + missing}") + body)


def stalls(data: bytes, until: threading.Event) -> Behaviour:
    """These bytes, then nothing, with the connection open."""

    def behave(exchange: Exchange) -> None:
        exchange.say(data)
        until.wait(60)

    return behave


def trickles(data: bytes, then: bytes, every_s: float) -> Behaviour:
    """These bytes, then more of the same kind for ever, each piece well within the time between two reads."""

    def behave(exchange: Exchange) -> None:
        exchange.say(data)
        deadline = time.monotonic() + 5  # a service that waits for ever would hold up the others
        while time.monotonic() < deadline:
            exchange.say(then)  # raises when the other side has hung up
            time.sleep(every_s)

    return behave


def sends(*chunks: bytes, ends: str = "end") -> Behaviour:
    """A stream in exactly these pieces; at the end it is ended, cut, or reset."""

    def behave(exchange: Exchange) -> None:
        exchange.start_chunks()
        for chunk in chunks:
            exchange.chunk(chunk)
        {"end": exchange.end_chunks, "cut": exchange.cut, "reset": exchange.reset}[ends]()

    return behave
