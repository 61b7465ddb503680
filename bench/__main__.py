"""`python -m bench`: run the benchmark and print its report.

Exit status 0 means that everything ran, whether or not the targets were reached; 1, that something did not
run.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import (
    background,
    chains,
    costs,
    histories,
    history,
    report,
    servers,
    sizes,
    streams,
    targets,
    transfers,
    trees,
    turns,
)
from bench.answers import EVENTS
from bench.client import LoadFailed
from bench.processes import StartFailed, output_of

SECTIONS = ("turns", "chains", "histories", "streams", "background", "costs", "trees", "history", "transfers")
WIDE = 140  # columns of the tables when the output is not a terminal


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="What convstore costs.")
    parser.add_argument("--quick", action="store_true", help="small counts, one round: a first look")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="this section (may be repeated)")
    parser.add_argument("--servers", default=",".join(servers.NAMES), help="which, comma-separated (default: all)")
    parser.add_argument("--rounds", type=int, help="default: 5 of turns, 3 of the rest; with --quick 2 and 1")
    parser.add_argument("--burst", type=int, default=EVENTS, help="events the upstream writes together (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    chosen = parser.parse_args()
    chosen.servers = chosen.servers.split(",")
    if unknown := set(chosen.servers) - set(servers.NAMES):
        parser.error(f"no such server: {', '.join(sorted(unknown))}")
    return chosen


def machine() -> dict[str, str | int | None]:
    """What the figures were taken on."""
    return {
        "commit": commit(),
        "cpus": os.cpu_count(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def commit() -> str | None:
    """The commit that is checked out, short; None outside a repository."""
    try:
        return output_of(["git", "rev-parse", "--short", "HEAD"], {})
    except (StartFailed, OSError):
        return None


def measure(chosen: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Start the servers, run the sections, print each when it is done; the figures as plain data."""
    say, found = report.sayer(), dict[str, Any]()
    rounds = chosen.rounds or (1 if chosen.quick else 3)
    sections = chosen.only or SECTIONS
    reached: list[targets.Target] = []

    def conclude(judged: list[targets.Target]) -> None:
        report.show_targets(console, judged)
        reached.extend(judged)

    say(f"starting {', '.join(chosen.servers)}")
    with servers.running(chosen.servers, chosen.burst) as house:
        if "turns" in sections:
            found["turns"] = turns.measure(house, turns.plan(chosen.rounds, chosen.quick), say)
            console.print(report.turns(found["turns"]))
            conclude(targets.of_turns(found["turns"]))
        if "chains" in sections:
            early = sizes.measure(house, chosen.quick, say)
            found["chains"], found["whole_chains"] = chains.measure(house, rounds, say)
            found["sizes"] = sizes.with_deep_end(early, found["whole_chains"])
            for one in report.chains(found["chains"], found["whole_chains"]):
                console.print(one)
            if found["sizes"]:
                console.print(report.sizes(found["sizes"]))
            conclude(targets.of_chains(found["chains"], found["sizes"]))
        if "histories" in sections:
            found["histories"] = histories.measure(house, chosen.quick, say)
            console.print(report.histories(found["histories"]))
            conclude(targets.of_histories(found["histories"]))
        if "streams" in sections:
            found["streams"] = streams.measure(house, rounds, say)
            console.print(report.streams(found["streams"], streams.STREAMS))
            conclude(targets.of_streams(found["streams"]))
        if "background" in sections:
            taken = background.measure(house, background.plan(rounds, chosen.quick), say)
            found |= {f"background_{name}": rows for name, rows in vars(taken).items()}
            for one in report.background(taken):
                console.print(one)
            conclude(targets.of_background(taken))
        if "costs" in sections:
            found["pricing"] = costs.pricing(house, chosen.quick, say)
            found["costs"] = costs.reports(house, chosen.quick, say)
            for one in report.costs(found["costs"], found["pricing"]):
                console.print(one)
            conclude(targets.of_costs(found["pricing"]))
        if "trees" in sections:
            # Late: it leaves a million exchanges in each database.
            found["trees"] = trees.measure(house, chosen.quick, say)
            console.print(report.trees(found["trees"]))
        if "history" in sections:
            # In a store of its own, if nothing else was asked for: its figures are of this many exchanges.
            found["history"] = history.measure(house, chosen.quick, say)
            console.print(report.trees(found["history"], "A history"))
        if "transfers" in sections:
            found["transfers"] = transfers.measure(house, chosen.quick, say)
            console.print(report.transfers(found["transfers"]))
            conclude(targets.of_transfers(found["transfers"]))
    found["targets"] = reached
    return {name: [asdict(one) for one in rows] for name, rows in found.items()}


def main() -> int:
    """Run what was asked for."""
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped then, too
    servers.raise_file_limit()
    about = machine()
    console = Console() if sys.stdout.isatty() else Console(width=WIDE)
    told = f"{about['cpus']} CPUs (load {about['load']}), Python {about['python']}, {about['at']}"
    console.print(f"convstore {about['commit'] or '(no commit)'}, {told}", highlight=False)
    try:
        found = measure(chosen, console)
    except (StartFailed, LoadFailed, OSError) as error:
        print(f"bench: {error or type(error).__name__}", file=sys.stderr)
        return 1
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": about, **found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
