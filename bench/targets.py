"""What convstore is held to, worked out from the figures of one run.

A target that could not be measured in this run (servers left out, a metric not reported) says so instead of
passing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.chains import DEPTHS, DepthFigures
from bench.sizes import SizeFigures
from bench.streams import StreamFigures
from bench.turns import CONCURRENCIES, MODES, TurnFigures

STORES = ("sqlite", "postgres")

CPU_RATIO = {
    ("json", "sqlite"): 1.3,
    ("json", "postgres"): 1.4,
    ("stream", "sqlite"): 0.9,
    ("stream", "postgres"): 0.9,
}
CPU_JUDGED_AT = 16  # clients; the other numbers are shown beside it
ADDED_P50_MS = 4.0
P99_OVER_P50 = 5.0
DEEP_ADDED_P50_MS = 15.0
FLAT_WITHIN = 0.10  # of the first window: page granularity is a few per cent of a window
STREAMS_OVER_DIRECT = 1.1
LATE_P99_MS = 50.0
STREAMS_MIB = 250.0


@dataclass(frozen=True)
class Target:
    """One target. *is_reached* is None when it was not measured."""

    what: str
    bound: str
    measured: str
    is_reached: bool | None


def at_most(what: str, value: float | None, bound: float, unit: str, note: str = "") -> Target:
    """A target of the kind "at most"."""
    if value is None:
        return Target(what, f"<= {bound:g}{unit}", "not measured", None)
    return Target(what, f"<= {bound:g}{unit}", f"{value:.2f}{unit}{note}", value <= bound)


def of_turns(figures: Sequence[TurnFigures]) -> list[Target]:
    """CPU beside the relay, latency added at one client, evenness at 64."""
    seen = {(one.server, one.mode, one.concurrency): one for one in figures}
    targets = []
    for (mode, store), bound in CPU_RATIO.items():
        ratios = {}
        for clients in CONCURRENCIES:
            ours = seen.get((store, mode, clients))
            if ours and ours.cpu_ratio is not None:
                ratios[clients] = ours.cpu_ratio
        notes = [f"{ratio:.2f} at {clients}" for clients, ratio in ratios.items() if clients != CPU_JUDGED_AT]
        judged = seen.get((store, mode, CPU_JUDGED_AT))
        if judged and judged.cpu_ratio and judged.database_cpu_us:
            both = judged.cpu_ratio * (1 + judged.database_cpu_us / judged.cpu_us)
            notes.append(f"with the database's own {both:.2f}")
        what = f"CPU of a turn, {mode}, {store}, {CPU_JUDGED_AT} clients"
        targets.append(at_most(what, ratios.get(CPU_JUDGED_AT), bound, "x relay", f" ({', '.join(notes)})"))
    for mode in MODES:
        ours, direct = seen.get(("sqlite", mode, 1)), seen.get(("direct", mode, 1))
        added = ours.p50_ms - direct.p50_ms if ours and direct else None
        targets.append(at_most(f"added p50, {mode}, sqlite, 1 client", added, ADDED_P50_MS, " ms"))
    for mode in MODES:
        for store in STORES:
            crowd = seen.get((store, mode, 64))
            spread = crowd.p99_ms / crowd.p50_ms if crowd else None
            targets.append(at_most(f"p99 over p50, {mode}, {store}, 64 clients", spread, P99_OVER_P50, "x"))
    return targets


def of_chains(depths: Iterable[DepthFigures], sizes: Sequence[SizeFigures]) -> list[Target]:
    """Latency, statements and bytes at the deep end."""
    first, last = DEPTHS[0], DEPTHS[-1]
    seen = {(one.server, one.depth): one for one in depths}
    targets = []
    for store in STORES:
        ours, direct = seen.get((store, last)), seen.get(("direct", last))
        siblings = f" (siblings {ours.sibling_p50_ms - direct.sibling_p50_ms:.2f} ms)" if ours and direct else ""
        added = ours.turn_p50_ms - direct.turn_p50_ms if ours and direct else None
        targets.append(at_most(f"p50 over direct at turn {last:,}, {store}", added, DEEP_ADDED_P50_MS, " ms", siblings))
    for store in STORES:
        targets.append(same_statements(store, seen.get((store, first)), seen.get((store, last))))
    for store in STORES:
        targets += of_sizes(store, [one for one in sizes if one.server == store])
    return targets


def same_statements(store: str, early: DepthFigures | None, deep: DepthFigures | None) -> Target:
    """Whether a turn takes as many SQL statements at the deep end as at the start."""
    what, bound = f"SQL statements a turn, {store}", "same at both ends"
    if early is None or deep is None or early.statements is None or deep.statements is None:
        return Target(what, bound, "not reported", None)
    # A key looked up again after its time in the cache is not a turn's doing.
    is_same = abs(deep.statements - early.statements) < 0.5
    return Target(what, bound, f"{early.statements:.1f} and {deep.statements:.1f}", is_same)


def of_sizes(store: str, windows: Sequence[SizeFigures]) -> list[Target]:
    """Whether the database grows by the same few bytes a turn, however deep."""
    if not windows:
        return [Target(f"bytes a turn, {store}", "flat, within the bound", "not measured", None)]
    worst = max(windows, key=lambda one: one.bytes_per_turn - one.bound_bytes)
    growth = windows[-1].bytes_per_turn / windows[0].bytes_per_turn - 1
    return [
        Target(
            f"bytes a turn, {store}, largest window",
            f"<= {worst.bound_bytes:,.0f} (1.3 x new items + 600)",
            f"{worst.bytes_per_turn:,.0f}",
            worst.bytes_per_turn <= worst.bound_bytes,
        ),
        Target(
            f"bytes a turn, {store}, turns {windows[-1].first_turn}–{windows[-1].last_turn} over turns 1–10",
            f"<= +{FLAT_WITHIN:.0%}",
            f"{growth:+.1%}",
            growth <= FLAT_WITHIN,
        ),
    ]


def of_streams(figures: Sequence[StreamFigures]) -> list[Target]:
    """Time, lateness and memory of many slow streams."""
    seen = {one.server: one for one in figures}
    direct = seen.get("direct")
    targets = []
    for store in STORES:
        ours = seen.get(store)
        ratio = ours.total_s / direct.total_s if ours and direct else None
        late = ours.late_p99_ms - direct.late_p99_ms if ours and direct else None
        held = (ours.pss_mib or ours.rss_mib) if ours else None
        targets += [
            at_most(f"all streams done, {store}", ratio, STREAMS_OVER_DIRECT, "x direct"),
            at_most(f"events late at p99, over direct, {store}", late, LATE_P99_MS, " ms"),
            at_most(f"memory of the server processes, {store}", held, STREAMS_MIB, " MiB"),
        ]
    return targets
