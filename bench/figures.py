"""Small sums the sections share: percentiles, medians over rounds, CPU between two moments."""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

from bench import processes
from bench.servers import Server

Figures = TypeVar("Figures")


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which *share* (0–1) of *values* lie; 0.0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def median_of(rounds: Sequence[Figures]) -> Figures:
    """One record whose numbers are the medians of the records in *rounds*; a None anywhere stays None.

    What is not a number (names, modes) must be the same in all of them.
    """
    merged: dict[str, object] = {}
    for field in fields(rounds[0]):  # type: ignore[arg-type]
        values = [getattr(one, field.name) for one in rounds]
        if None in values:
            merged[field.name] = None
        elif isinstance(values[0], float):
            merged[field.name] = statistics.median(values)
        else:  # counts stay whole; names are all the same
            merged[field.name] = statistics.median_low(values)
    return type(rounds[0])(**merged)


@dataclass(frozen=True)
class Cpu:
    """CPU seconds used so far: the server's processes, its database's, the upstream's and the client's."""

    server: float
    database: float
    upstream: float
    client: float

    def __sub__(self, earlier: "Cpu") -> "Cpu":
        """What was used in between."""
        pairs = ((getattr(self, one.name), getattr(earlier, one.name)) for one in fields(self))
        return Cpu(*(now - then for now, then in pairs))


def cpu_now(server: Server, upstream_pid: int) -> Cpu:
    """Read the meters."""
    own = os.times()
    return Cpu(
        server=processes.cpu_s(server.pid),
        database=processes.cpu_s(server.database_pid) if server.database_pid else 0.0,
        upstream=processes.cpu_s(upstream_pid),
        client=own.user + own.system,
    )


def mib(size_bytes: int | None) -> float | None:
    """MiB from bytes."""
    return None if size_bytes is None else size_bytes / 2**20
