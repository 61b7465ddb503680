"""The load client: some number of callers in one loop, each asking again as soon as it is answered.

It is the same for every server, so what it costs falls on all alike. Every answer is checked.
"""

import asyncio
import time
from dataclasses import dataclass, field

from bench.servers import Server
from bench.wire import Caller, request

LOAD_WITHIN_S = 300.0  # a server that hangs must not hang the benchmark


class LoadFailed(RuntimeError):
    """Some answers were not what they should be."""


@dataclass
class Load:
    """What a load was like for its client."""

    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    first_bytes_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)


async def load(server: Server, body: bytes, mark: bytes, concurrency: int, requests: int, watch: bool = False) -> Load:
    """Send *requests* requests, *concurrency* at any time, and check that each answer holds *mark*.

    With *watch*, the send times in the answers are compared with the clock. Raises LoadFailed.
    """
    result, failures, left = Load(), list[str](), requests
    message = request(server, body)

    async def caller() -> None:
        nonlocal left
        line = Caller(server, result.late_s if watch else None)
        while left > 0:
            left -= 1
            try:
                answer = await line.ask(message)
            except OSError as error:
                failures.append(f"{type(error).__name__}: {error}")
                continue
            if not answer.says(mark):
                failures.append(repr(answer.raw[:600]))
            result.latencies_s.append(answer.seconds)
            result.first_bytes_s.append(answer.first_byte_s)
        line.close()

    began = time.perf_counter()
    try:
        async with asyncio.timeout(LOAD_WITHIN_S):
            await asyncio.gather(*(caller() for _ in range(concurrency)))
    except TimeoutError:
        answered = len(result.latencies_s)
        failures.append(f"only {answered} answers came within {LOAD_WITHIN_S:.0f} s")
    result.seconds = time.perf_counter() - began
    if failures:
        raise LoadFailed(f"{server.name}: {len(failures)} of {requests} answers were wrong, the first: {failures[0]}")
    return result


def run(server: Server, body: bytes, mark: bytes, concurrency: int, requests: int) -> Load:
    """`load` in a loop of its own."""
    return asyncio.run(load(server, body, mark, concurrency, requests))
