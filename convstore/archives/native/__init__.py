"""Our own format: JSON Lines that hold all that is kept of exchanges, so that they come back as they were.

    {"object": "convstore.export", "version": 1}
    {"object": "conversation", "id": "conv_…", "created_at": "2026-11-22T12:00:00.000001Z", "title": …, …}
    {"object": "exchange", "id": "resp_…", "parent_id": …, "settings": {…}, "input": [{"body": {…}}], "output": […], …}
    {"object": "branch", "name": …, "tip_id": …, …}
    {"object": "convstore.manifest", "conversations": 1, "exchanges": 1, …, "sha256": "…"}

A conversation comes before its exchanges, a parent before its children, a branch behind what it points at. What is not
known is left out; `settings` are left out where they are the parent's. Items and other JSON are the exact text that
came; one with a line break in it stands as a string, under its name with `_text` behind it.
See docs/decisions/0018-export.md.
"""

VERSION = 1
HEAD = "convstore.export"
CONVERSATION = "conversation"
EXCHANGE = "exchange"
BRANCH = "branch"
