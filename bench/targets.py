"""What convstore is held to, worked out from the figures of one run.

A target that could not be measured in this run (servers left out, a metric not reported) says so instead of
passing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.background import FOLLOWERS, PACES
from bench.background import Found as BackgroundFound
from bench.chains import DEPTHS, DepthFigures
from bench.costs import PricingFigures
from bench.histories import DEPTHS as DEPTHS_SENT
from bench.histories import HistoryFigures
from bench.sizes import SizeFigures
from bench.streams import StreamFigures
from bench.transfers import TransferFigures
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
HISTORY_RATIO = 1.5
STREAMS_OVER_DIRECT = 1.1
LATE_P99_MS = 50.0
STREAMS_MIB = 250.0
FOLLOWED_LATE_P99_MS = 100.0  # parts of a steady stream are written 60 ms apart
FIRST_ADDED_P50_MS = 20.0
BACKGROUND_CPU_RATIO = 1.25
PRICING_PER_CENT = 5.0
TRANSFERS_PER_S = {"export jsonl": 10_000.0, "import jsonl": 2_000.0}
TRANSFERS_GROWN_MIB = 64.0


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


def at_least(what: str, value: float | None, bound: float, unit: str) -> Target:
    """A target of the kind "at least"."""
    if value is None:
        return Target(what, f">= {bound:,g}{unit}", "not measured", None)
    return Target(what, f">= {bound:,g}{unit}", f"{value:,.0f}{unit}", value >= bound)


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


def of_costs(pricing: Sequence[PricingFigures]) -> list[Target]:
    """What the ledger adds to the CPU of a turn."""
    return [at_most(f"CPU added by pricing, {one.engine}", 100 * one.share, PRICING_PER_CENT, " %") for one in pricing]


def of_transfers(figures: Sequence[TransferFigures]) -> list[Target]:
    """How fast the biggest goes, and memory that does not grow with it."""
    targets = []
    for store in STORES:
        seen = [one for one in figures if one.server == store]
        biggest = {one.what: one for one in sorted(seen, key=lambda one: one.size)}
        for what, bound in TRANSFERS_PER_S.items():
            per_s = biggest[what].per_s if what in biggest else None
            targets.append(at_least(f"{what}, {store}", per_s, bound, " exchanges/s"))
        worst = max(seen, key=lambda one: one.grown_mib, default=None)
        grown, note = (worst.grown_mib, f" ({worst.what}, {worst.size:,})") if worst else (None, "")
        what = f"memory over that of ten exchanges, any format, {store}"
        targets.append(at_most(what, grown, TRANSFERS_GROWN_MIB, " MiB", note))
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


def of_histories(figures: Sequence[HistoryFigures]) -> list[Target]:
    """CPU of whole histories beside turns by name, and growth that does not grow."""
    targets = []
    for store in STORES:
        seen = [one for one in figures if one.server == store]
        worst = max((one.cpu_ratio for one in seen), default=None)
        targets.append(at_most(f"CPU of a whole history, {store}", worst, HISTORY_RATIO, "x by name"))
        growth = seen[-1].bytes_per_turn / seen[0].bytes_per_turn if seen else None
        what = f"bytes of a whole history's turn, {store}, turn {DEPTHS_SENT[-1]} over {DEPTHS_SENT[0]}"
        targets.append(at_most(what, growth, 1 + FLAT_WITHIN, "x"))
    return targets


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


def of_background(found: BackgroundFound) -> list[Target]:
    """First events, lateness of followers, and CPU of turns in the background."""
    follow = {(one.server, one.followers): one for one in found.follow}
    # At its best: the client alone can be late with many streams, and that would excuse ours.
    direct_ms = min((one.late_p99_ms for one in found.follow if one.server == "direct"), default=None)
    targets = []
    for store in STORES:
        first = next((one for one in found.first if one.server == store), None)
        what = f"first event followed in the background, over an ordinary stream's, p50, {store}"
        targets.append(at_most(what, first.added_p50_ms if first else None, FIRST_ADDED_P50_MS, " ms"))
        for followers in FOLLOWERS:
            ours = follow.get((store, followers))
            # With nothing that was sent after all had joined, nothing is known of lateness.
            late = ours.late_p99_ms - direct_ms if ours and direct_ms is not None and ours.timed else None
            what = f"events late at p99, over direct at its best, {followers} followers, {store}"
            targets.append(at_most(what, late, FOLLOWED_LATE_P99_MS, " ms"))
        for pace in PACES:
            cost = next((one for one in found.cost if (one.server, one.pace) == (store, pace)), None)
            note = f" (the journal alone {cost.journalling_ratio:+.2f})" if cost else ""
            what = f"CPU of web and worker, streamed turn in the background, {pace}, {store}"
            targets.append(at_most(what, cost.ratio if cost else None, BACKGROUND_CPU_RATIO, "x ordinary", note))
    return targets
