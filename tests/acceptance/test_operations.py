"""What operators do: start, look, stop, upgrade, hand out keys. On the shared service where that is safe."""

import http.client
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from convstore import bootstrap, config
from convstore.config import Settings
from convstore.errors import Misconfigured, NotFound
from convstore.services import keys, responses
from convstore.services.principal import Principal, Right
from convstore.storage import everywhere, migrations
from convstore.storage.database import Database, Options
from convstore.storage.everywhere import Process
from tests.acceptance.conftest import Stage, key, sdk
from tests.acceptance.service import Service, Shell, all_at_once
from tests.conftest import PROVIDER_KEY
from tests.local_upstream import (
    LocalUpstream,
    answer,
    error,
    message,
    response,
    stream,
    stream_of,
    wait_until,
)

MODEL = "gpt-5.4"


@pytest.fixture
def shell(tmp_path: Path, database_url: str, upstream: LocalUpstream) -> Shell:
    """A shell for a service of this test's own, set up by nothing but environment variables."""
    return Shell(
        tmp_path,
        {
            "CONVSTORE_DATABASE_URL": database_url,
            "CONVSTORE_UPSTREAM_URL": upstream.url,
            "CONVSTORE_UPSTREAM_KEY": PROVIDER_KEY,
        },
    )


def ask(stage: Stage, text: str = "Hello?", api_key: str | None = None) -> int:
    """The status of the answer to a question."""
    body = {"model": MODEL, "input": text}
    return stage.service.send("POST", "/v1/responses", body, key=api_key or stage.alice).status


class TestHealth:
    def test_a_running_service_is_healthy_and_ready(self, service: Service) -> None:
        healthy, ready = service.send("GET", "/healthz"), service.send("GET", "/readyz")
        assert (healthy.status, healthy.json) == (200, {"status": "ok"})
        assert (ready.status, ready.json["status"]) == (200, "ready")

    def test_no_worker_for_jobs_is_started_where_none_is_wanted(self, service: Service) -> None:
        assert service.job_workers == []
        ready = service.send("GET", "/readyz").json
        assert (ready["status"], ready["workers"]) == ("ready", 0)
        assert "convstore worker" in ready["reason"]

    def test_two_workers_serve_this_machine_and_no_other(self, service: Service) -> None:
        wait_until(lambda: len(service.workers) == 2)
        for pid in (service.pid, *service.workers):
            connections = psutil.Process(pid).net_connections("tcp")
            assert {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN} == {"127.0.0.1"}

    def test_a_lost_worker_is_replaced(self, stage: Stage, provider: LocalUpstream) -> None:
        first, second = wait_until(lambda: len(stage.service.workers) == 2 and stage.service.workers)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len(set(stage.service.workers) - {first, second}) == 1)
        wait_until(lambda: stage.service.log_text.count('"worker_ready"') >= 3)
        assert ask(stage) == 200
        # It counts for itself: what several wrote into one file would be too little.
        (third,) = set(stage.service.workers) - {first, second}
        assert list(stage.shell.directory.glob(f"convstore-metrics-*/counter_{third}.db"))
        # gunicorn says so, in the form of all the other lines.
        assert any("SIGKILL" in entry["event"] for entry in stage.service.log_entries())


class TestSchema:
    def test_an_old_one_is_seen_by_a_running_service_and_refused_by_a_new_one(self, shell: Shell) -> None:
        with shell.with_settings(CONVSTORE_WORKERS="1").serving() as service:
            assert shell.output("db", "downgrade", "base", "--yes") == "schema none"
            ready = service.send("GET", "/readyz")
            assert ready.status == 503
            assert ready.json["status"] == "not ready"
            assert "revision none" in ready.json["reason"]
            assert "convstore db upgrade" in ready.json["reason"]
            assert service.send("GET", "/healthz").status == 200
            refused = shell.run("serve")
            assert (refused.returncode, refused.stdout) == (1, "")
            assert refused.stderr == f"convstore: {ready.json['reason']}\n"
            service.terminate()
            assert service.ended() == 0

    def test_a_new_one_is_made_where_none_was(self, tmp_path: Path) -> None:
        shell = Shell(tmp_path, {"CONVSTORE_DATABASE_URL": "sqlite:///deep/down/new.db"})
        assert re.fullmatch(r"schema none -> \d{4}", shell.output("db", "upgrade"))
        again, checked = shell.run_all(("db", "upgrade"), ("db", "check"))
        assert re.fullmatch(r"schema \d{4}: nothing to do\n", again.stdout)
        assert re.fullmatch(r"schema \d{4}: current\n", checked.stdout)
        unsure = shell.run("db", "downgrade", "base")
        assert unsure.returncode == 1
        assert "Go on?" in unsure.stdout
        with Database(Options(f"sqlite:///{tmp_path}/deep/down/new.db")) as database:
            assert migrations.current(database) == migrations.head()


UPSTREAM = "[[upstreams]]\nname = 'x'\nurl = 'http://127.0.0.1:9'\n"


class TestSettings:
    def test_a_wrong_one_stops_the_start_with_one_line_that_names_it(self, tmp_path: Path) -> None:
        file = tmp_path / "convstore.toml"
        file.write_text(f"{UPSTREAM}models = 'gpt-5.4'", encoding="utf-8")
        shell = Shell(tmp_path, {"CONVSTORE_UPSTREAM_URL": "http://127.0.0.1:9"})
        told = {
            "CONVSTORE_PORT": shell.with_settings(CONVSTORE_PORT="eighty"),
            "CONVSTORE_AUTH": shell.with_settings(CONVSTORE_AUTH="off", CONVSTORE_HOST="0.0.0.0"),
            "CONVSTORE_UPSTREAM_URL": shell.with_settings(CONVSTORE_UPSTREAM_URL=""),
            "upstreams[0].models": shell.with_settings(CONVSTORE_CONFIG=str(file)),
        }
        for name, refused in zip(told, all_at_once(each.running("serve") for each in told.values()), strict=True):
            assert refused.returncode == 1, refused
            assert refused.stdout == ""
            [line] = refused.stderr.splitlines()
            assert line.startswith("convstore: ")
            assert name in line

    def test_help_is_given_whatever_they_are(self, tmp_path: Path) -> None:
        shell = Shell(tmp_path, {"CONVSTORE_PORT": "eighty", "CONVSTORE_CONFIG": "/nowhere"})
        assert "Serve the API." in shell.output("serve", "--help")

    @pytest.mark.parametrize(
        ("name", "file"),
        [
            ("CONVSTORE_CONFIG", "port = = 1"),
            ("'prot'", "prot = 1"),
            ("workers", "workers = 'two'"),
            ("CONVSTORE_WORKERS", "workers = 0"),
            ("CONVSTORE_LOG_LEVEL", "log_level = 'loud'"),
            ("CONVSTORE_ON_DISCONNECT", "on_disconnect = 'weep'"),
            ("upstreams", "upstreams = 'all'"),
            ("upstreams[0]", "upstreams = ['all']"),
            ("upstreams[0].url", "[[upstreams]]\nname = 'x'"),
            ("upstream 'x'", "[[upstreams]]\nname = 'x'\nurl = 'gopher://x'"),
            (
                "upstreams[1].key_env",
                f"{UPSTREAM}[[upstreams]]\nname = 'y'\nurl = 'http://y'\nkey_env = 'NOT_SET'",
            ),
            ("upstreams", f"{UPSTREAM}{UPSTREAM}"),
            ("upstreams[0]: unknown setting 'modles'", f"{UPSTREAM}modles = []"),
            ("upstream 'x'", f"{UPSTREAM}dialect = 'latin'"),
            ("upstreams[0].key", f"{UPSTREAM}key = 12345678"),
            ("upstreams[0].models", f"{UPSTREAM}models = [1]"),
            ("upstreams[0].aliases", f"{UPSTREAM}aliases = ['a']"),
            ("upstreams[0].headers", f"{UPSTREAM}headers = {{ a = 1 }}"),
            ("upstreams[0].retries", f"{UPSTREAM}retries = 'two'"),
            ("upstreams[0].retries", f"{UPSTREAM}retries = -1"),
            ("upstreams[0].context_window", f"{UPSTREAM}context_window = 1.5"),
            ("upstreams[0].read_timeout_s", f"{UPSTREAM}read_timeout_s = true"),
        ],
    )
    def test_a_file_is_read_with_care(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str
    ) -> None:
        for variable in [each for each in os.environ if each.startswith(("CONVSTORE_", "OPENAI_"))]:
            monkeypatch.delenv(variable)
        path = tmp_path / "convstore.toml"
        path.write_text(file, encoding="utf-8")
        with pytest.raises(Misconfigured, match=re.escape(name)) as refused:
            config.load(str(path))
        assert "\n" not in refused.value.message
        assert "12345678" not in refused.value.message

    def test_a_good_file_is_taken_as_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "convstore.toml"
        path.write_text(
            f"{UPSTREAM}models = ['a*']\naliases = {{ b = 'c' }}\nread_timeout_s = 5\ncontext_window = 1000",
            encoding="utf-8",
        )
        upstream = config.load(str(path)).upstreams[0]
        assert (upstream.models, upstream.aliases) == (("a*",), {"b": "c"})
        assert (upstream.read_timeout_s, upstream.context_window) == (5, 1000)


class TestMetrics:
    def test_the_figures_of_all_workers_add_up(self, stage: Stage, provider: LocalUpstream) -> None:
        provider.will(answer("One."), answer("Two."), error(400))
        before = figures(stage.service)
        for worker in wait_until(lambda: len(stage.service.workers) == 2 and stage.service.workers):
            with only(stage.service, worker):
                assert ask(stage) == 200
                assert stage.service.send("GET", "/healthz").status == 200
        assert ask(stage) == 400
        risen = {name: value - before.get(name, 0) for name, value in figures(stage.service).items()}
        expected = {
            'convstore_requests_total{route="/healthz",status="200"}': 2,
            'convstore_requests_total{route="/v1/responses",status="200"}': 2,
            'convstore_requests_total{route="/v1/responses",status="400"}': 1,
            'convstore_exchanges_total{status="completed",upstream="local"}': 2,
            'convstore_exchanges_total{status="failed",upstream="local"}': 1,
            'convstore_upstream_calls_total{outcome="200",upstream="local"}': 2,
            'convstore_upstream_calls_total{outcome="400",upstream="local"}': 1,
            'convstore_upstream_seconds_count{upstream="local"}': 3,
            'convstore_tokens_total{kind="input",upstream="local"}': 26,
            'convstore_tokens_total{kind="output",upstream="local"}': 10,
        }
        assert {name: risen.get(name) for name in expected} == expected

    def test_running_streams_are_counted_while_they_run(self, stage: Stage, provider: LocalUpstream) -> None:
        blocks = stream_of(response(message("Slow.")))
        gates = [threading.Event() for _ in blocks]
        open_until(gates, 0)
        provider.will(stream(blocks, gates=gates))
        with sdk(stage.service, stage.alice) as client:
            events = client.responses.create(model=MODEL, input="x", stream=True)
            wait_until(lambda: figures(stage.service)["convstore_streams"] == 1)
            open_until(gates, len(blocks))
            assert [event.type for event in events][-1] == "response.completed"
        wait_until(lambda: figures(stage.service)["convstore_streams"] == 0)

    def test_where_gunicorn_was_started_by_hand_a_worker_may_end(self, tmp_path: Path) -> None:
        """Without `convstore serve` nobody has made a place where figures are shared."""
        ends = "from convstore import gunicorn_conf; gunicorn_conf.child_exit(None, type('Worker', (), {'pid': 1}))"
        shell = Shell(tmp_path, command=(sys.executable, "-c"))
        assert shell.output(ends) == ""

    def test_they_say_what_a_turn_costs_the_database(self, stage: Stage, provider: LocalUpstream) -> None:
        before = figures(stage.service)["convstore_sql_statements_total"]
        assert ask(stage) == 200
        assert 0 < figures(stage.service)["convstore_sql_statements_total"] - before < 30


def figures(service: Service) -> dict[str, float]:
    """The samples of /metrics, by name and labels."""
    found = {}
    for family in text_string_to_metric_families(service.send("GET", "/metrics").raw.decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


@contextmanager
def only(service: Service, worker: int) -> Iterator[None]:
    """Only this worker runs; the others are held, and take no connection."""
    held = [psutil.Process(pid) for pid in service.workers if pid != worker]
    for each in held:
        each.suspend()
    try:
        yield
    finally:
        for each in held:
            each.resume()


class TestDocs:
    def test_the_surface_describes_itself(self, service: Service) -> None:
        described = service.send("GET", "/openapi.json").json
        assert described["openapi"].startswith("3.1")
        assert {"/v1/responses", "/v1/responses/{response_id}", "/v1/models"} <= set(described["paths"])
        assert "post" in described["paths"]["/v1/responses"]

    def test_the_page_loads_nothing_from_elsewhere(self, service: Service) -> None:
        page = service.send("GET", "/docs/")
        assert page.status == 200
        html = page.raw.decode()
        assets = re.findall(r"""(?:src|href)=["']([^"']+)["']""", html)
        assert any(asset.endswith(".js") for asset in assets)
        for asset in assets:
            url = urljoin(f"{service.root_url}/docs/", asset)
            assert urlsplit(url).netloc == urlsplit(service.root_url).netloc, asset
            assert service.send("GET", urlsplit(url).path).status == 200, asset
        assert "/openapi.json" in html
        assert not re.search(r"https?://(?!127\.0\.0\.1)", re.sub(r"<!--.*?-->", "", html, flags=re.S))

    def test_it_is_found_without_the_slash(self, service: Service) -> None:
        found = service.send("GET", "/docs")
        assert found.status in (200, 301, 302, 308)
        assert urlsplit(found.headers.get("location", "/docs/")).path == "/docs/"


class TestStop:
    def test_running_streams_end_before_the_service_does(self, shell: Shell, upstream: LocalUpstream) -> None:
        blocks = stream_of(response(message("Slow and steady.")), deltas=4)
        followed, left = ([threading.Event() for _ in blocks] for _ in range(2))
        upstream.will(stream(blocks, gates=left), stream(blocks, gates=followed))
        url = shell.settings["CONVSTORE_DATABASE_URL"]
        with shell.serving() as service:
            workers = wait_until(lambda: len(service.workers) == 2 and service.workers)
            with sdk(service, key(url, "acme")) as client:
                # The client of one goes away. The service sees that when it has written to nobody, twice.
                left[0].set()
                with client.responses.create(model=MODEL, input="Slowly.", stream=True) as events:
                    abandoned = next(iter(events)).response
                for number, last_word in ((3, b"content_part.added"), (4, b'"Slow"'), (5, b'" and"')):
                    open_until(left, number)
                    wait_until(lambda last_word=last_word: last_word in arrived(url, abandoned.id))
                followed[0].set()
                events = client.responses.create(model=MODEL, input="Slowly.", stream=True)
                begun = next(iter(events)).response
                service.terminate()
                wait_until(lambda: refuses_connections(service))
                open_until(followed, len(blocks))
                *_, last = events
            assert last.type == "response.completed"
            assert last.response.output_text == "Slow and steady."
            # With nothing left to do it would be gone after a turn of gunicorn's loop, which takes a second.
            with pytest.raises(AssertionError):
                wait_until(lambda: service.process.poll() is not None, seconds=2.5)
            open_until(left, len(blocks))
            assert service.ended() == 0
        wait_until(lambda: not any(map(runs, workers)))
        for response_id in (begun.id, abandoned.id):
            assert kept(shell, response_id)["status"] == "completed"
        assert processes(shell) == []
        assert not list(shell.directory.glob("convstore-metrics-*"))

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_a_client_that_keeps_its_connection_does_not_hold_it_up(self, shell: Shell) -> None:
        with shell.with_settings(CONVSTORE_WORKERS="1").serving() as service:
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            service.terminate()
            assert service.ended() == 0
            # It took leave in order, and was not killed when time was up.
            assert processes(shell) == []
            assert connection.sock.recv(1) == b""
            connection.close()

    @pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
    def test_a_killed_one_leaves_nothing_in_progress(self, shell: Shell, upstream: LocalUpstream) -> None:
        blocks = stream_of(response(message("Slow and steady.")), deltas=4)
        gates = [threading.Event() for _ in blocks]
        open_until(gates, 5)
        upstream.will(stream(blocks, gates=gates))
        url = shell.settings["CONVSTORE_DATABASE_URL"]
        # Without keys, as on a developer's machine.
        shell = shell.with_settings(CONVSTORE_WORKERS="1", CONVSTORE_AUTH="off")
        with shell.serving() as service, sdk(service, "whatever") as client:
            events = client.responses.create(model=MODEL, input="Slowly.", stream=True)
            response_id = next(iter(events)).response.id
            wait_until(lambda: b'" and"' in arrived(url, response_id))
            family = [service.pid, *service.workers]
            for pid in family:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: service.process.poll() is not None and not any(map(runs, family)))
        open_until(gates, len(blocks))
        with shell.serving() as service, sdk(service, "whatever") as client:
            wait_until(lambda: client.responses.retrieve(response_id).status != "in_progress")
            left = client.responses.retrieve(response_id)
            assert left.status == "incomplete"
            assert left.output_text == "Slow and"
            assert left.error is not None


def open_until(gates: list[threading.Event], number: int) -> None:
    """Let a provider say everything up to the event of this number."""
    for gate in gates[: number + 1]:
        gate.set()


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def refuses_connections(service: Service) -> bool:
    try:
        service.send("GET", "/healthz")
    except OSError:
        return True
    return False


class TestLogs:
    def test_each_request_has_a_line_with_its_id_and_without_its_words(
        self, stage: Stage, provider: LocalUpstream
    ) -> None:
        provider.will(answer("zebra-answer"), error(400, "zebra-error"), answer("zebra-stream"))
        sent = []
        for text, streamed in (("zebra-question", False), ("zebra-again", False), ("zebra-streamed", True)):
            body = {
                "model": MODEL,
                "input": text,
                "instructions": "zebra-instructions",
                "metadata": {"zebra": "zebra"},
                "stream": streamed,
            }
            sent.append(stage.service.send("POST", "/v1/responses?zebra=1", body, key=stage.alice))
        sent.append(stage.service.send("GET", "/v1/zebra", key=stage.alice))
        sent.append(stage.service.send("POST", "/v1/responses", b'{"zebra":', key=stage.alice))
        lines = {line.get("request_id"): line for line in stage.service.log_entries()}
        for answered, (status, route) in zip(
            sent,
            [(200, "/v1/responses"), (400, "/v1/responses"), (200, "/v1/responses"), (404, "unknown"),
             (400, "/v1/responses")],
            strict=True,
        ):  # fmt: skip
            line = lines[answered.headers["x-request-id"]]
            assert answered.status == line["status"] == status
            assert line["route"] == route
            assert line["level"] == "info"
            assert line["ms"] >= 0
            assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None
        first = lines[sent[0].headers["x-request-id"]]
        assert (first["method"], first["project"]) == ("POST", "acme")
        assert first["key"].startswith("key_")
        assert first["response_id"] == sent[0].json["id"]
        assert "zebra" not in stage.service.log_text


class TestKeys:
    @pytest.mark.parametrize("stage", ["sqlite"], indirect=True)
    def test_one_is_printed_alone_and_once(self, stage: Stage, provider: LocalUpstream) -> None:
        made = stage.shell.run("keys", "create", "--project", "initech", "--name", "peter", "--scope", "read")
        assert made.returncode == 0, made.stderr
        text = made.stdout.removesuffix("\n")
        assert re.fullmatch(r"sk-[\w-]{43}", text)
        assert text not in made.stderr
        [key_id] = re.findall(r"key_\w+", made.stderr)
        assert ask(stage, api_key=text) == 403
        assert stage.service.send("GET", "/v1/models", key=text).status == 200
        listed = stage.shell.output("keys", "list", "--project", "initech", "--json")
        assert text not in listed
        [line] = json.loads(listed)
        assert (line["id"], line["project"], line["name"], line["scopes"]) == (
            key_id,
            "initech",
            "peter",
            "read",
        )
        assert line["state"] == "active"
        assert text.startswith(line["key"].removesuffix("…"))
        # It was used a moment ago.
        age = datetime.now(UTC) - datetime.fromisoformat(line["last_used_at"])
        assert timedelta(seconds=-1) <= age < timedelta(seconds=60)

    def test_a_revoked_one_stops_working_within_a_second(self, stage: Stage, provider: LocalUpstream) -> None:
        with bootstrap.working(Settings(database_url=stage.database_url)) as deps:
            _, kept_text = keys.create(deps, "hooli", name="kept")
            lost, lost_text = keys.create(deps, "hooli", name="lost")
        for worker in wait_until(lambda: len(stage.service.workers) == 2 and stage.service.workers):
            with only(stage.service, worker):
                assert ask(stage, api_key=lost_text) == 200
        assert stage.shell.output("keys", "revoke", lost.id) == f"{lost.id} is revoked."
        wait_until(lambda: ask(stage, api_key=lost_text) == 401, seconds=1.0)
        assert ask(stage, api_key=kept_text) == 200
        with bootstrap.working(Settings(database_url=stage.database_url)) as deps, pytest.raises(NotFound):
            keys.revoke(deps, lost.id)

    def test_one_that_expires_stops_working_then(self, stage: Stage, provider: LocalUpstream) -> None:
        ends = datetime.now(UTC) + timedelta(seconds=1.5)
        with bootstrap.working(Settings(database_url=stage.database_url)) as deps:
            _, text = keys.create(deps, "hooli", expires_at=ends)
        assert ask(stage, api_key=text) == 200
        wait_until(lambda: ask(stage, api_key=text) == 401, seconds=5.0)
        assert datetime.now(UTC) >= ends
        answered = stage.service.send("GET", "/v1/models", key=text)
        assert answered.json["error"]["message"] == "This API key has expired."


def kept(shell: Shell, response_id: str) -> dict[str, object]:
    """A response, read from the store without a service."""
    with bootstrap.working(Settings(database_url=shell.settings["CONVSTORE_DATABASE_URL"])) as deps:
        [key] = keys.listed(deps)
        principal = Principal(key.project_id, key.project, key.id, frozenset(Right))
        return dict(json.loads(responses.get(deps, principal, response_id)))


def processes(shell: Shell) -> list[Process]:
    """The entries of processes in the store."""
    with (
        Database(Options(shell.settings["CONVSTORE_DATABASE_URL"])) as database,
        database.connection() as connection,
    ):
        return everywhere.processes(connection)


def arrived(database_url: str, response_id: str) -> bytes:
    """What is on disk of a running stream."""
    with Database(Options(database_url)) as database, database.connection() as connection:
        return b"".join(everywhere.journal(connection, response_id))
