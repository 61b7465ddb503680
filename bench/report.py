"""Tables for people. Figures come in, rich tables go out; only ratios to the relay are computed here."""

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from bench.background import CLIENTS, Found
from bench.chains import ChainFigures, DepthFigures
from bench.costs import PricingFigures, ReportFigures
from bench.histories import HistoryFigures
from bench.sizes import SizeFigures
from bench.streams import StreamFigures
from bench.targets import Target
from bench.transfers import TransferFigures
from bench.trees import TreeFigures
from bench.turns import TurnFigures

Row = Sequence[str]


def table(title: str, heads: Row, rows: Sequence[Row], labels: int, caption: str = "") -> Table:
    """A table whose first *labels* columns are words; a line is drawn where the first column changes."""
    drawn = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    for number, head in enumerate(heads):
        drawn.add_column(head, justify="left" if number < labels else "right", no_wrap=True)
    for number, row in enumerate(rows):
        is_last = number + 1 == len(rows) or rows[number + 1][0] != row[0]
        drawn.add_row(*row, end_section=is_last)
    return drawn


def optional(value: float | None, shape: str = ",.0f") -> str:
    """A number, or a dash for none."""
    return "–" if value is None else format(value, shape)


def ratio(value: float, base: float | None) -> str:
    """*value* over *base*, or a dash where there is nothing to compare with."""
    return f"{value / base:.2f}" if base else "–"


def turns(figures: Sequence[TurnFigures]) -> Table:
    """Single turns."""
    rows = []
    for one in figures:
        rows.append(
            (
                f"{one.mode} {one.concurrency}",
                one.server,
                f"{one.requests_per_s:,.0f}",
                optional(one.requests_ratio, ".2f"),
                f"{one.p50_ms:.2f}",
                f"{one.p99_ms:.2f}",
                f"{one.first_byte_p50_ms:.2f}",
                f"{one.cpu_us:,.0f}",
                optional(one.cpu_ratio, ".2f"),
                f"{one.database_cpu_us:,.0f}" if one.database_cpu_us else "–",
                optional(one.pss_mib),
                optional(one.rss_mib),
            )
        )
    heads = ["load", "server", "req/s", "x relay", "p50 ms", "p99 ms", "1st byte"]
    heads += ["CPU µs", "x relay", "+ db µs", "PSS MiB", "RSS MiB"]
    caption = "CPU of the server's processes a request; + db: of the database's own; direct: the upstream's.\n"
    caption += "x relay: median of each round's ratio."
    title = "Turns: answer in one piece (json) or as 60 events (stream), by clients"
    return table(title, heads, rows, 2, caption)


def chains(depths: Sequence[DepthFigures], wholes: Sequence[ChainFigures]) -> list[Table]:
    """Long chains: by depth, then as a whole."""
    direct = {one.depth: one for one in depths if one.server == "direct"}
    rows = [
        (
            f"turn {one.depth:,}",
            one.server,
            f"{one.turn_p50_ms:.2f}",
            f"{one.turn_p50_ms - direct[one.depth].turn_p50_ms:+.2f}" if one.depth in direct else "–",
            f"{one.sibling_p50_ms:.2f}",
            f"{one.sibling_p99_ms:.2f}",
            optional(one.statements, ".1f"),
        )
        for one in depths
    ]
    heads = ("depth", "server", "p50 ms", "over direct", "sibling p50", "sibling p99", "SQL a turn")
    caption = "direct and relay are sent the whole history by their client; siblings come over new connections"
    whole_rows = [
        (
            one.server,
            f"{one.turns:,}",
            f"{one.cpu_us:,.0f}",
            f"{one.database_cpu_us:,.0f}" if one.database_cpu_us else "–",
        )
        for one in wholes
    ]
    return [
        table("Chains: one turn of 1 KB, by depth", heads, rows, 2, caption),
        table("Chains: CPU a turn over the whole chain", ("server", "turns", "CPU µs", "+ db µs"), whole_rows, 1),
    ]


def sizes(figures: Sequence[SizeFigures]) -> Table:
    """Growth of the database."""
    rows = [
        (
            one.server,
            f"{one.first_turn:,}–{one.last_turn:,}",
            f"{one.turns:,}",
            f"{one.bytes_per_turn:,.0f}",
            f"{one.item_bytes:,.0f}",
            f"{one.bytes_per_turn / one.item_bytes:.2f}",
            f"{one.bound_bytes:,.0f}",
        )
        for one in figures
    ]
    heads = ("server", "turns", "turns measured", "bytes a turn", "new items' JSON", "ratio", "bound")
    return table("Database bytes a turn, indexes included", heads, rows, 1)


def histories(figures: Sequence[HistoryFigures]) -> Table:
    """Sessions that send everything each time."""
    rows = [
        (
            one.server,
            f"{one.turn:,}",
            f"{one.bytes_per_turn:,.0f}",
            f"{one.named_bytes_per_turn:,.0f}",
            f"{one.cpu_us:,.0f}",
            f"{one.reading_us:,.0f}",
            f"{one.named_cpu_us:,.0f}",
            f"{one.cpu_ratio:.2f}",
        )
        for one in figures
    ]
    heads = ("server", "turn", "bytes a turn", "by name", "CPU µs", "of it reading", "by name", "x by name")
    caption = "x by name: without receiving and reading the longer body, measured with requests that are then refused"
    return table("Sessions that send their whole history", heads, rows, 1, caption)


def trees(figures: Sequence[TreeFigures], title: str = "Big trees") -> Table:
    """What it takes to read of big trees, or of a long history."""
    rows = [
        (
            one.server,
            one.tree,
            f"{one.exchanges:,}",
            f"{one.method} {one.path}",
            str(one.status),
            f"{one.answer_bytes:,}",
            f"{one.p50_ms:,.1f}",
        )
        for one in figures
    ]
    heads = ("server", "tree", "exchanges", "asked", "status", "bytes", "p50 ms")
    return table(title, heads, rows, 2)


def transfers(figures: Sequence[TransferFigures]) -> Table:
    """Exports and imports."""
    rows = [
        (
            one.what,
            one.server,
            f"{one.size:,}",
            f"{one.exchanges:,}",
            f"{one.per_s:,.0f}",
            f"{one.cpu_us:,.0f}",
            f"{one.database_cpu_s / one.exchanges * 1e6:,.0f}" if one.database_cpu_s else "–",
            f"{one.file_bytes / 1e6:,.1f}",
            f"{one.peak_mib:,.0f}",
            f"{one.own_mib:,.0f}",
            f"{one.grown_mib:,.1f}",
        )
        for one in figures
    ]
    heads = ("what", "server", "store", "exchanges", "per s", "CPU µs", "+ db µs", "MB", "peak MiB", "own", "over ten")
    caption = (
        "peak: all that is resident, with what SQLite maps of its file; own: without; over ten: more than with ten\n"
    )
    caption += "exchanges. openai-chat has a line for each thread, and exchanges as often as threads share them"
    return table("Exports and imports", heads, rows, 2, caption)


def costs(reports: Sequence[ReportFigures], pricing: Sequence[PricingFigures]) -> list[Table]:
    """Reports of costs, and what pricing adds to a turn."""
    asked = [
        (one.server, f"{one.exchanges:,}", one.path, f"{one.answer_bytes:,}", f"{one.p50_ms:,.0f}") for one in reports
    ]
    added = [(one.engine, f"{one.with_us:,.0f}", f"{one.without_us:,.0f}", f"{one.share:+.1%}") for one in pricing]
    caption = "CPU of the thread that takes the turns, in one process; added: median of each round's ratio"
    return [
        table("Reports of costs", ("server", "exchanges", "asked", "bytes", "p50 ms"), asked, 3),
        table("What the ledger adds to a turn", ("engine", "CPU µs", "without", "added"), added, 1, caption),
    ]


def streams(figures: Sequence[StreamFigures], count: int) -> Table:
    """Many slow streams."""
    bare = next((one for one in figures if one.server == "relay"), None)
    rows = [
        (
            one.server,
            f"{one.total_s:.2f}",
            f"{one.p50_s:.2f}",
            f"{one.first_byte_p99_ms:,.0f}",
            f"{one.late_p50_ms:.1f}",
            f"{one.late_p99_ms:.1f}",
            f"{one.late_max_ms:.0f}",
            f"{one.cpu_us:.0f}",
            ratio(one.cpu_us, bare.cpu_us if bare else None),
            f"{one.database_cpu_us:.0f}" if one.database_cpu_us else "–",
            optional(one.pss_mib),
            optional(one.rss_mib),
            optional(one.database_pss_mib),
        )
        for one in figures
    ]
    heads = ["server", "total s", "p50 s", "1st byte p99", "late p50 ms", "p99", "max"]
    heads += ["CPU µs/event", "x relay", "+ db µs", "PSS MiB", "RSS MiB", "db PSS"]
    missed = sum(one.missed for one in figures)
    caption = "late: from the upstream's send to our client's read; memory halfway through"
    caption += f"; {missed} events could not be timed" if missed else ""
    return table(f"{count} slow streams at once", heads, rows, 1, caption)


def background(found: Found) -> list[Table]:
    """Background responses."""
    queue = [
        (
            one.server,
            f"{one.turns_per_s:,.0f}",
            f"{one.polls_per_turn:.1f}",
            f"{one.begun_p50_ms:.1f}",
            f"{one.begun_p99_ms:.1f}",
            f"{one.begun_alone_p50_ms:.1f}",
            f"{one.begun_alone_p99_ms:.1f}",
            f"{one.idle_cpu_ms_per_s:.1f}",
        )
        for one in found.queue
    ]
    first = [
        (
            one.server,
            f"{one.ordinary_p50_ms:.1f}",
            f"{one.ordinary_p99_ms:.1f}",
            f"{one.followed_p50_ms:.1f}",
            f"{one.followed_p99_ms:.1f}",
            f"{one.added_p50_ms:+.1f}",
            f"{one.opened_p50_ms:.1f}",
        )
        for one in found.first
    ]
    follow = [
        (
            f"{one.followers:,}",
            one.server,
            f"{one.joined_p99_ms:,.0f}",
            f"{one.late_p50_ms:.1f}",
            f"{one.late_p99_ms:.1f}",
            f"{one.late_max_ms:.0f}",
            f"{one.timed:,}",
            f"{one.cpu_us:,.0f}",
            f"{one.database_cpu_us:,.0f}" if one.database_cpu_us else "–",
            f"{one.client_cpu_us:,.0f}",
        )
        for one in sorted(found.follow, key=lambda one: one.followers)
    ]
    journal = [
        (
            one.server,
            one.pace,
            f"{one.parts:.0f}",
            f"{one.events:.0f}",
            f"{one.journal_bytes:,.0f}",
            f"{one.event_bytes:,.0f}",
            ratio(one.journal_bytes, one.event_bytes),
        )
        for one in found.journal
    ]
    cost = [
        (
            one.server,
            one.pace,
            f"{one.ordinary_ms:.2f}",
            f"{one.followed_ms:.2f}",
            f"{one.ratio:.2f}",
            f"{one.unfollowed_ms:.2f}",
            f"{one.unstreamed_ms:.2f}",
            f"{one.journalling_ratio:+.2f}",
            f"{one.ordinary_database_ms:.2f}" if one.ordinary_database_ms else "–",
            f"{one.followed_database_ms:.2f}" if one.followed_database_ms else "–",
        )
        for one in found.cost
    ]
    queue_heads = ("server", "turns/s", "polls a turn", "begun p50 ms", "p99", "alone p50", "p99", "idle CPU ms/s")
    first_heads = ("server", "ordinary p50 ms", "p99", "background p50", "p99", "over ordinary", "opened p50")
    follow_heads = ("followers", "server", "joined p99 ms", "late p50 ms", "p99", "max", "timed", "CPU µs/event")
    journal_heads = ("server", "pace", "parts", "events", "journal bytes/event", "event's own", "ratio")
    cost_heads = ("server", "pace", "ordinary", "followed", "x ordinary", "unfollowed", "unstreamed", "journal x")
    queued = f"Background turns: created, then polled by {CLIENTS} clients until completed"
    queued_caption = "begun: from created_at to started_at of the job; alone: one client\n"
    queued_caption += "idle: web and worker together, nothing asked"
    first_caption = (
        "from the request to the first event made of the upstream's answer, one client; opened: to the first byte"
    )
    late = "late: deltas sent after all had joined, from the upstream's send to our client's read\n"
    late += "CPU of web and worker, from creating to the end; direct: as many streams as followers"
    cost_caption = (
        "CPU ms a turn, web and worker, without idle. followed: streamed in the background and read; unfollowed: its\n"
    )
    cost_caption += (
        "creator leaves; unstreamed: nobody polls; journal x: (unfollowed - unstreamed) / ordinary; db: its own"
    )
    return [
        table(queued, queue_heads, queue, 1, queued_caption),
        table("First event of a streamed answer", first_heads, first, 1, first_caption),
        table("Followers of one slow stream", (*follow_heads, "+ db µs", "client µs"), follow, 2, late),
        table("The journal of one streamed response", journal_heads, journal, 2),
        table("CPU of a streamed turn", (*cost_heads, "db ordinary", "db followed"), cost, 2, cost_caption),
    ]


def show_targets(console: Console, targets: Sequence[Target]) -> None:
    """One line a target: reached, not reached, or not measured."""
    drawn = Table(title="Targets", title_justify="left", box=None, pad_edge=False)
    for head in ("", "target", "bound", "measured"):
        drawn.add_column(head)
    words = {True: "[green]reached[/]", False: "[red]not reached[/]", None: "[yellow]–[/]"}
    for one in targets:
        drawn.add_row(words[one.is_reached], one.what, one.bound, one.measured)
    console.print(drawn)
    console.print()


def sayer() -> Callable[[str], None]:
    """A function that tells progress on standard error."""
    console = Console(stderr=True, highlight=False)
    return lambda line: console.print(line, style="dim", soft_wrap=True)
