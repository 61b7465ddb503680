"""The tables. The shape of the store on one screen; each room has its columns, `migrations/` brings a database to it.

    projects ─< api_keys
    projects ─< conversations ─< exchanges ─< items        the tree: exchanges.parent_id
                                 exchanges >─ payloads     what repeats: settings, envelopes, big items
                                 exchanges ─< fingerprints what a history sent whole is recognised by
                                 exchanges ─< journal      a stream's events while it runs, and while it is followed
    processes ─< running >─ exchanges                      who is working on what
    projects ─< jobs ─< job_steps                          work that outlives its request
    projects ─< branches >─ exchanges                      named pointers into the trees
    projects ─< replays ─< replay_runs ─< replay_turns     threads that were asked again; each run is a job
    processes ─< jobs                                      who runs it
    exchanges ── ledger                                    what each took and cost; written once, with its end
    projects ─< spending                                   sums of the ledger, for the budgets
    projects ─< conversation_costs, quarter_costs          the same for reports: by conversation, and by time
    projects ─< prices, budgets
    exchanges ── searches                                  what an exchange is found by
    projects ─< retention_rules, sweeps, holds             how long things are kept, and what keeps them
    projects ─< audit_log                                  who did what; commits to the exchanges (strands.py)
    projects ─< erasures ─< erased                         what was erased, and which entry says so (erasing.py)
    payloads ── doubtful                                   those that may be nobody's any more (payloads.py)
    projects ─< exports, imports ─< file_parts             files of conversations that leave, or have come (files.py)
    projects ─< storage_keys                               what bodies are sealed with, itself sealed (vault.py)

An exchange lies in a *lane*: a run of exchanges, each the first child of the one before. A lane is named after the
exchange that opens it, so (lane, depth) names an exchange and orders its items: a thread without forks is one
contiguous range, read by one index scan however long it is. A second child opens a lane of its own.
See docs/decisions/0002-lanes.md. Lanes are derived: parent_id alone defines the tree.

The tables a turn writes have no foreign keys: PostgreSQL locks the referenced row for each one, and every turn of a
project refers to the same project and key. What they would guard, `turns.py` reads in the same request.
"""

from convstore.storage.tables.base import metadata
from convstore.storage.tables.money import budgets, conversation_costs, ledger, prices, quarter_costs, spending
from convstore.storage.tables.projects import api_keys, projects
from convstore.storage.tables.search import search_waiting, searches
from convstore.storage.tables.transfers import exports, file_parts, imports
from convstore.storage.tables.tree import branches, conversations, exchanges, fingerprints, items, payloads
from convstore.storage.tables.trust import (
    audit_log,
    doubtful,
    epochs,
    erased,
    erasures,
    holds,
    retention_rules,
    storage_keys,
    sweeps,
)
from convstore.storage.tables.work import (
    idempotency_keys,
    job_steps,
    jobs,
    journal,
    processes,
    replay_runs,
    replay_turns,
    replays,
    running,
)

__all__ = [
    "api_keys",
    "audit_log",
    "branches",
    "budgets",
    "conversation_costs",
    "conversations",
    "doubtful",
    "epochs",
    "erased",
    "erasures",
    "exchanges",
    "exports",
    "file_parts",
    "fingerprints",
    "holds",
    "idempotency_keys",
    "imports",
    "items",
    "job_steps",
    "jobs",
    "journal",
    "ledger",
    "metadata",
    "payloads",
    "prices",
    "processes",
    "projects",
    "quarter_costs",
    "replay_runs",
    "replay_turns",
    "replays",
    "retention_rules",
    "running",
    "search_waiting",
    "searches",
    "spending",
    "storage_keys",
    "sweeps",
]
