"""Databases as versions of `llm` made them: the tables and columns of each, and rows."""

import json
import sqlite3
from pathlib import Path
from typing import Any

OLDEST = {"log": "id INTEGER PRIMARY KEY, model, timestamp, prompt, system, response, chat_id INTEGER"}
LOGS = {
    "logs": "id INTEGER PRIMARY KEY, model, prompt, system, prompt_json, options_json, response, response_json,"
    " reply_to_id INTEGER, chat_id INTEGER, duration_ms INTEGER, datetime_utc"
}
FIRST_RESPONSES = {
    "conversations": "id TEXT PRIMARY KEY, name, model",
    "responses": "id TEXT PRIMARY KEY, model, prompt, system, prompt_json, options_json, response, response_json,"
    " conversation_id TEXT REFERENCES conversations(id), duration_ms INTEGER, datetime_utc TEXT",
}
RESPONSES = {
    **FIRST_RESPONSES,
    "responses": FIRST_RESPONSES["responses"]
    + ", input_tokens INTEGER, output_tokens INTEGER, token_details TEXT, schema_id TEXT, resolved_model TEXT,"
    " reasoning TEXT",
    "attachments": "id TEXT PRIMARY KEY, type TEXT, path TEXT, url TEXT, content BLOB",
    "prompt_attachments": 'response_id TEXT, attachment_id TEXT, "order" INTEGER,'
    " PRIMARY KEY (response_id, attachment_id)",
    "schemas": "id TEXT PRIMARY KEY, content TEXT",
    "fragments": "id INTEGER PRIMARY KEY, hash TEXT, content TEXT, datetime_utc TEXT, source TEXT",
    "prompt_fragments": 'response_id TEXT, fragment_id INTEGER, "order" INTEGER,'
    ' PRIMARY KEY (response_id, fragment_id, "order")',
    "system_fragments": 'response_id TEXT, fragment_id INTEGER, "order" INTEGER,'
    ' PRIMARY KEY (response_id, fragment_id, "order")',
    "tools": "id INTEGER PRIMARY KEY, hash TEXT, name TEXT, description TEXT, input_schema TEXT, plugin TEXT",
    "tool_responses": "tool_id INTEGER, response_id TEXT, PRIMARY KEY (tool_id, response_id)",
    "tool_calls": "id INTEGER PRIMARY KEY, response_id TEXT, tool_id INTEGER, name TEXT, arguments TEXT,"
    " tool_call_id TEXT",
    "tool_results": "id INTEGER PRIMARY KEY, response_id TEXT, tool_id INTEGER, name TEXT, output TEXT,"
    " tool_call_id TEXT, instance_id INTEGER, exception TEXT",
    "tool_results_attachments": 'tool_result_id INTEGER, attachment_id TEXT, "order" INTEGER,'
    " PRIMARY KEY (tool_result_id, attachment_id)",
}
NEWEST = {
    **RESPONSES,
    "messages": "hash TEXT PRIMARY KEY, parent_hash TEXT, role TEXT, provider_metadata TEXT",
    "parts": "id INTEGER PRIMARY KEY, message_hash TEXT, position INTEGER, type TEXT, tool_name TEXT, text TEXT,"
    " payload TEXT, UNIQUE (message_hash, position)",
    "threads": "id TEXT PRIMARY KEY, name TEXT, tip_message_hash TEXT, forked_from TEXT, datetime_utc TEXT",
    "turns": "id TEXT PRIMARY KEY, thread_id TEXT, parent_message_hash TEXT, tip_message_hash TEXT, model TEXT,"
    " resolved_model TEXT, options_json TEXT, schema_id TEXT, input_tokens INTEGER, output_tokens INTEGER,"
    " token_details TEXT, duration_ms INTEGER, datetime_utc TEXT, response_json TEXT",
    "turn_tools": "turn_id TEXT, tool_id INTEGER, instance_id INTEGER, PRIMARY KEY (turn_id, tool_id)",
}


class File:
    """A database that is being filled."""

    def __init__(self, path: Path, tables: dict[str, str]) -> None:
        self.path = path
        self.connection = sqlite3.connect(path)
        for name, columns in tables.items():
            self.connection.execute(f"CREATE TABLE {name} ({columns})")

    def add(self, table: str, **row: Any) -> None:
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        self.connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))

    def message(self, hash: str, parent: str | None, role: str, *parts: dict[str, Any]) -> None:
        """A message of the newest tables: parts by the columns of theirs, payload as an object."""
        self.add("messages", hash=hash, parent_hash=parent, role=role)
        for position, part in enumerate(parts):
            payload = json.dumps(part["payload"]) if "payload" in part else None
            self.add(
                "parts", **{"type": "text", **part, "message_hash": hash, "position": position, "payload": payload}
            )

    def closed(self) -> Path:
        self.connection.commit()
        self.connection.close()
        return self.path
