"""Settings: what can be set, in which unit, and why the default is what it is.

From environment variables `CONVSTORE_*`, or from a TOML file (`--config`, or CONVSTORE_CONFIG) with the same names in
lower case and without the prefix; the environment wins. Several upstreams need the file, one table each:

    [[upstreams]]
    name = "gateway"
    url = "https://gateway.example/v1"
    key_env = "GATEWAY_KEY"          # or key = "…"
    dialect = "responses"            # responses | responses-stateful | chat
    models = ["gpt-5.4*", "deepseek-*"]

This is the only module that reads the environment.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from environs import Env, EnvError

from convstore.errors import Misconfigured

DIALECTS = ("responses", "responses-stateful", "chat")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class UpstreamSettings:
    """One provider endpoint. Times in seconds."""

    name: str
    url: str
    key: str = field(default="", repr=False)
    dialect: str = "responses"
    # Patterns with * of the model names to send here; none means every model no other upstream names.
    models: tuple[str, ...] = ()
    # Model names to send under another name: {"fast": "gpt-5.4-mini"}.
    aliases: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    # Tokens; None asks the price library, which knows the windows of public models.
    context_window: int | None = None
    connect_timeout_s: float = 10.0
    # Between two reads: reasoning models can be silent for minutes.
    read_timeout_s: float = 300.0
    total_timeout_s: float = 3600.0
    # Attempts after the first, and only where the upstream cannot have begun to answer.
    retries: int = 2
    # A longer Retry-After is passed on to the client instead of waited for.
    retry_wait_max_s: float = 10.0
    # Failures in a row before the upstream is left alone, and for how long.
    breaker_failures: int = 10
    breaker_pause_s: float = 15.0


@dataclass(frozen=True)
class Settings:
    """Everything that can be set. docs/settings.md has the same list for operators."""

    database_url: str = "sqlite:///convstore.db"
    # FULL survives a power cut to the last commit; NORMAL survives every crash of the process and costs half.
    sqlite_synchronous: str = "NORMAL"
    # Connections of one worker. A query holds one for a millisecond or two, a stream holds none.
    database_pool: int = 16
    # How long a write waits for the database before the client hears 503.
    database_busy_s: float = 5.0
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 2
    # Streams one worker holds at once.
    connections: int = 4000
    # How long running calls may go on after a stop was asked for.
    graceful_s: int = 600
    # Who runs jobs: a child of `convstore serve`, or only what `convstore worker` starts, here or elsewhere.
    worker: str = "child"
    # Jobs one worker runs at a time. Most wait for a provider; each has a thread.
    worker_concurrency: int = 16
    # How long jobs that have ended can be looked at; 0: for ever.
    jobs_kept_days: int = 30
    # How often a worker carries out retention rules; 0: only `convstore retention run` does. Without rules it does
    # nothing, and a rule that nobody carries out would be a promise that is not kept.
    retention_sweep_s: float = 3600.0
    auth: str = "keys"
    # How long a key that was looked up is believed: a revoked key works at most this much longer.
    key_cache_s: float = 0.5
    # 0: unlimited. Counted on the wire, before parsing.
    max_body_bytes: int = 32 * 1024 * 1024
    # What becomes of the upstream's call when the client hangs up: finish (and record) or cancel.
    on_disconnect: str = "finish"
    # Reject unknown request members, as OpenAI does, instead of passing them on.
    strict_parameters: bool = False
    idempotency_wait_s: float = 60.0
    # How long the events of a background response can be followed with their own numbers after it has ended.
    journal_keep_s: float = 3600.0
    # How long the file of an export can be downloaded, and that of an import which failed can be tried again.
    files_keep_s: float = 86400.0
    # What the file of an import may have at most when it is sent to the service; 0: unlimited. The database holds it.
    # Account exports with many pictures have some gigabytes.
    max_import_bytes: int = 4 * 1024 * 1024 * 1024
    # Put a history that is sent whole into the thread that it continues, and store only what is new of it.
    link_histories: bool = True
    # In whose days and months budgets are kept, and reports without a time zone of their own: "Asia/Shanghai".
    timezone: str = "UTC"
    # Codes of currencies besides those of ISO 4217 that prices may be in, separated by commas: a gateway's own credits.
    currencies: str = ""
    # What the audit log is sealed with; without it a seal proves accidents, not attackers. Never stored.
    audit_key: str = field(default="", repr=False)
    # Keys from before, separated by commas: what they sealed still checks.
    audit_keys_old: str = field(default="", repr=False)
    # What wraps the keys that bodies are encrypted with: 32 random bytes as 64 hexadecimal digits. Empty: nothing new
    # is encrypted. Never stored.
    storage_key: str = field(default="", repr=False)
    # Keys from before, separated by commas: what they wrapped can be read.
    storage_keys_old: str = field(default="", repr=False)
    log_level: str = "info"
    log_format: str = "json"
    upstreams: tuple[UpstreamSettings, ...] = ()


def load(path: str | None = None) -> Settings:
    """The settings of this process. Raises Misconfigured with one line that names the setting."""
    path = path or os.environ.get("CONVSTORE_CONFIG")
    file = _file(path) if path else {}
    unknown = set(file) - set(_KINDS) - {"upstreams"}
    if unknown:
        raise Misconfigured(f"{path}: unknown setting {sorted(unknown)[0]!r}")
    values = {name: _read(name, kind, file) for name, kind in _KINDS.items()}
    given = {name: value for name, value in values.items() if value is not None}
    settings = Settings(**given, upstreams=_upstreams(file))
    _check(settings)
    return settings


_KINDS: dict[str, type] = {
    name: annotation for name, annotation in Settings.__annotations__.items() if name != "upstreams"
}


# These are not repeated, whatever is wrong with them.
_SECRET = ("audit_key", "audit_keys_old", "storage_key", "storage_keys_old")
# 128 bits in hexadecimal.
_SHORTEST_KEY = 32
_STORAGE_KEY = re.compile(r"[0-9a-fA-F]{64}")


def _file(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(f"CONVSTORE_CONFIG: cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"CONVSTORE_CONFIG: {path} is not TOML: {error}") from error


def _read(name: str, kind: type, file: Mapping[str, Any]) -> Any:
    variable = f"CONVSTORE_{name.upper()}"
    if os.environ.get(variable):
        return _parsed(variable, kind)
    if name not in file:
        return None
    value = file[name]
    if kind is float and isinstance(value, int):
        value = float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        got = "another value" if name in _SECRET else repr(value)
        raise Misconfigured(f"{name}: expected {kind.__name__}, got {got}")
    return value


def _parsed(variable: str, kind: type) -> Any:
    env = Env()
    readers: dict[type, Callable[[str], Any]] = {str: env.str, int: env.int, float: env.float, bool: env.bool}
    try:
        return readers[kind](variable)
    except EnvError as error:
        raise Misconfigured(f"{variable}: expected {kind.__name__}, got {os.environ[variable]!r}") from error


def _upstreams(file: Mapping[str, Any]) -> tuple[UpstreamSettings, ...]:
    tables = file.get("upstreams", [])
    if not isinstance(tables, list):
        raise Misconfigured("upstreams: expected [[upstreams]] tables")
    listed = [_upstream(number, table) for number, table in enumerate(tables)]
    url = os.environ.get("CONVSTORE_UPSTREAM_URL") or (os.environ.get("OPENAI_BASE_URL") if not listed else None)
    if url:
        key = os.environ.get("CONVSTORE_UPSTREAM_KEY") or os.environ.get("OPENAI_API_KEY") or ""
        dialect = os.environ.get("CONVSTORE_UPSTREAM_DIALECT", "responses")
        listed.append(UpstreamSettings(name="default", url=url.rstrip("/"), key=key.strip(), dialect=dialect))
    names = [upstream.name for upstream in listed]
    if len(set(names)) < len(names):
        raise Misconfigured("upstreams: two have the same name")
    return tuple(listed)


def _upstream(number: int, table: Any) -> UpstreamSettings:
    where = f"upstreams[{number}]"
    if not isinstance(table, dict):
        raise Misconfigured(f"{where}: expected a table")
    values = dict(table)
    variable = values.pop("key_env", None)
    if variable is not None:
        if not os.environ.get(str(variable)):
            raise Misconfigured(f"{where}.key_env: the environment variable {variable} is not set")
        values["key"] = os.environ[str(variable)].strip()
    unknown = set(values) - set(UpstreamSettings.__dataclass_fields__)
    if unknown:
        raise Misconfigured(f"{where}: unknown setting {sorted(unknown)[0]!r}")
    for name in ("name", "url"):
        if not isinstance(values.get(name), str) or not values[name]:
            raise Misconfigured(f"{where}.{name}: required")
    values["url"] = values["url"].rstrip("/")
    kinds = UpstreamSettings.__annotations__
    return UpstreamSettings(**{n: _as(kinds[n], value, f"{where}.{n}") for n, value in values.items()})


def _as(kind: Any, value: Any, where: str) -> Any:
    """A value of an upstream's table, checked. Raises Misconfigured, without the value: it may be a key."""
    if kind is str:
        good, expected = isinstance(value, str), "a string"
    elif kind == tuple[str, ...]:
        good, expected = isinstance(value, list) and _are_strings(value), "a list of strings"
        value = tuple(value) if good else value
    elif kind == Mapping[str, str]:
        good, expected = isinstance(value, dict) and _are_strings(value.values()), "a table of strings"
    else:
        number, expected = ((int, float), "a number") if kind is float else (int, "a whole number")
        expected += ", 0 or more"
        good = isinstance(value, number) and not isinstance(value, bool) and value >= 0
    if not good:
        raise Misconfigured(f"{where}: expected {expected}")
    return value


def _are_strings(values: Iterable[Any]) -> bool:
    return all(isinstance(each, str) for each in values)


def keys_of(text: str) -> list[str]:
    """The keys in a list of them."""
    return [key.strip() for key in text.split(",") if key.strip()]


def _check(settings: Settings) -> None:
    _one_of("CONVSTORE_AUTH", settings.auth, ("keys", "off"))
    _one_of("CONVSTORE_WORKER", settings.worker, ("child", "off"))
    _one_of("CONVSTORE_ON_DISCONNECT", settings.on_disconnect, ("finish", "cancel"))
    _one_of("CONVSTORE_SQLITE_SYNCHRONOUS", settings.sqlite_synchronous, ("NORMAL", "FULL"))
    _one_of("CONVSTORE_LOG_FORMAT", settings.log_format, ("json", "console"))
    _one_of("CONVSTORE_LOG_LEVEL", settings.log_level, ("debug", "info", "warning", "error"))
    if settings.auth == "off" and settings.host not in LOOPBACK:
        raise Misconfigured(f"CONVSTORE_AUTH: off is refused on {settings.host}; it needs a loopback CONVSTORE_HOST")
    for name, least in _LEAST.items():
        if not getattr(settings, name) >= least:  # so that NaN is refused, too
            raise Misconfigured(f"CONVSTORE_{name.upper()}: must be at least {least}")
    if settings.timezone not in available_timezones():
        raise Misconfigured(f"CONVSTORE_TIMEZONE: {settings.timezone!r} is no name of the IANA time zone database")
    for name in ("storage_key", "storage_keys_old"):
        if not all(_STORAGE_KEY.fullmatch(key) for key in keys_of(getattr(settings, name))):
            raise Misconfigured(f"CONVSTORE_{name.upper()}: a key is 64 hexadecimal digits (32 random bytes)")
    if len(keys_of(settings.storage_key)) > 1:
        raise Misconfigured("CONVSTORE_STORAGE_KEY: this is one key; older ones belong in CONVSTORE_STORAGE_KEYS_OLD")
    for name in ("audit_key", "audit_keys_old"):
        if any(len(key) < _SHORTEST_KEY for key in getattr(settings, name).split(",") if key):
            raise Misconfigured(f"CONVSTORE_{name.upper()}: a key has {_SHORTEST_KEY} characters at least")
    if settings.port > 65535:
        raise Misconfigured("CONVSTORE_PORT: must be at most 65535")
    for upstream in settings.upstreams:
        _check_upstream(upstream)


_LEAST = {
    "port": 0,
    "workers": 1,
    "connections": 1,
    "database_pool": 1,
    "graceful_s": 0,
    "worker_concurrency": 1,
    "jobs_kept_days": 0,
    "retention_sweep_s": 0,
    "database_busy_s": 0,
    "key_cache_s": 0,
    "max_body_bytes": 0,
    "idempotency_wait_s": 0,
    "journal_keep_s": 0,
    "files_keep_s": 0,
    "max_import_bytes": 0,
}


def _check_upstream(upstream: UpstreamSettings) -> None:
    _one_of(f"the dialect of upstream {upstream.name!r}", upstream.dialect, DIALECTS)
    try:
        parts = urlsplit(upstream.url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise Misconfigured(f"the url of upstream {upstream.name!r} is not an http(s) URL")
    if not _fits_a_header(upstream.key):
        raise Misconfigured(f"the key of upstream {upstream.name!r} has characters no header can carry")
    for name, value in upstream.headers.items():
        if not (_fits_a_header(value) and _fits_a_header(name)) or not name or set(name) & set(" :"):
            raise Misconfigured(f"the headers of upstream {upstream.name!r} have characters no header can carry")


def _fits_a_header(text: str) -> bool:
    return text.isascii() and (text.isprintable() or not text)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise Misconfigured(f"{name}: expected one of {', '.join(allowed)}, got {value!r}")
