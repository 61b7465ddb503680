"""Settings: from the environment or a file, and a wrong one stops the start with one line that names it."""

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from convstore import config
from convstore.config import Settings, UpstreamSettings
from convstore.errors import Misconfigured

# Setting → how the environment says it, how TOML says it, what it becomes. Every setting stands here.
SETTINGS: dict[str, tuple[str, str, Any]] = {
    "database_url": ("sqlite:///x.db", '"sqlite:///x.db"', "sqlite:///x.db"),
    "sqlite_synchronous": ("FULL", '"FULL"', "FULL"),
    "database_pool": ("3", "3", 3),
    "database_busy_s": ("1.5", "1.5", 1.5),
    "host": ("0.0.0.0", '"0.0.0.0"', "0.0.0.0"),
    "port": ("9090", "9090", 9090),
    "workers": ("7", "7", 7),
    "connections": ("50", "50", 50),
    "graceful_s": ("0", "0", 0),
    "auth": ("off", '"off"', "off"),
    "key_cache_s": ("0", "0", 0.0),
    "max_body_bytes": ("0", "0", 0),
    "on_disconnect": ("cancel", '"cancel"', "cancel"),
    "strict_parameters": ("true", "true", True),
    "worker": ("off", '"off"', "off"),
    "worker_concurrency": ("4", "4", 4),
    "jobs_kept_days": ("7", "7", 7),
    "retention_sweep_s": ("60", "60", 60.0),
    "idempotency_wait_s": ("2", "2", 2.0),
    "link_histories": ("false", "false", False),
    "journal_keep_s": ("60", "60", 60.0),
    "files_keep_s": ("60", "60", 60.0),
    "max_import_bytes": ("1000", "1000", 1000),
    "timezone": ("Asia/Shanghai", '"Asia/Shanghai"', "Asia/Shanghai"),
    "currencies": ("POINTS,CREDIT", '"POINTS,CREDIT"', "POINTS,CREDIT"),
    "audit_key": ("0" * 32, f'"{"0" * 32}"', "0" * 32),
    "audit_keys_old": ("a" * 32 + "," + "b" * 32, f'"{"a" * 32},{"b" * 32}"', "a" * 32 + "," + "b" * 32),
    "storage_key": ("5e" * 32, f'"{"5e" * 32}"', "5e" * 32),
    "storage_keys_old": ("5e" * 32 + "," + "AB" * 32, f'"{"5e" * 32},{"AB" * 32}"', "5e" * 32 + "," + "AB" * 32),
    "log_level": ("debug", '"debug"', "debug"),
    "log_format": ("console", '"console"', "console"),
}
Write = Callable[[str], str]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's environment counts."""
    for name in list(os.environ):
        if name.startswith(("CONVSTORE_", "OPENAI_")):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Write:
    """Write a file of settings; gives its path."""

    def write(text: str) -> str:
        path = tmp_path / "convstore.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def refused(path: str | None = None) -> str:
    """The one line that stops the start."""
    with pytest.raises(Misconfigured) as stopped:
        config.load(path)
    assert "\n" not in stopped.value.message
    return stopped.value.message


class TestSettings:
    def test_every_one_is_tried_here(self) -> None:
        assert set(SETTINGS) == {field.name for field in fields(Settings)} - {"upstreams"}

    def test_without_any_there_are_defaults(self) -> None:
        assert config.load() == Settings()

    @pytest.mark.parametrize("name", SETTINGS)
    def test_from_the_environment(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        text, _, value = SETTINGS[name]
        monkeypatch.setenv(f"CONVSTORE_{name.upper()}", text)
        found = getattr(config.load(), name)
        assert (found, type(found)) == (value, type(value))

    @pytest.mark.parametrize("name", SETTINGS)
    def test_from_a_file(self, name: str, file: Write) -> None:
        _, text, value = SETTINGS[name]
        found = getattr(config.load(file(f"{name} = {text}")), name)
        assert (found, type(found)) == (value, type(value))

    def test_the_file_may_be_named_by_the_environment(self, file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONVSTORE_CONFIG", file("port = 9090"))
        assert config.load().port == 9090

    def test_the_environment_wins(self, file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONVSTORE_PORT", "1")
        loaded = config.load(file("port = 2\nworkers = 3"))
        assert (loaded.port, loaded.workers) == (1, 3)

    @pytest.mark.parametrize("name", SETTINGS)
    def test_an_empty_variable_is_none(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(f"CONVSTORE_{name.upper()}", "")
        assert config.load() == Settings()


class TestWrongSettings:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("port", "http"),
            ("port", "8080.5"),
            ("port", "-1"),
            ("port", "65536"),
            ("workers", "0"),
            ("workers", "two"),
            ("worker", "many"),
            ("worker_concurrency", "0"),
            ("jobs_kept_days", "-1"),
            ("connections", "0"),
            ("database_pool", "0"),
            ("graceful_s", "-1"),
            ("database_busy_s", "-1"),
            ("database_busy_s", "soon"),
            ("database_busy_s", "nan"),
            ("key_cache_s", "-0.5"),
            ("max_body_bytes", "-1"),
            ("max_body_bytes", "32M"),
            ("idempotency_wait_s", "-1"),
            ("journal_keep_s", "-1"),
            ("files_keep_s", "-1"),
            ("max_import_bytes", "-1"),
            ("strict_parameters", "maybe"),
            ("auth", "none"),
            ("on_disconnect", "stop"),
            ("sqlite_synchronous", "OFF"),
            ("log_level", "loud"),
            ("log_format", "xml"),
            ("audit_key", "short"),
            ("audit_keys_old", f"{'a' * 32},short"),
            ("storage_key", "5e" * 31),
            ("storage_key", "xy" * 32),
            ("storage_key", f"{'5e' * 32},{'5f' * 32}"),
            ("storage_keys_old", f"{'5e' * 32},short"),
        ],
    )
    def test_one_of_the_environment_is_named(self, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(f"CONVSTORE_{name.upper()}", text)
        message = refused()
        assert message.startswith(f"CONVSTORE_{name.upper()}: ")

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ('port = "8080"', "port"),
            ("port = true", "port"),
            ("port = 1.5", "port"),
            ("port = 99999", "CONVSTORE_PORT"),
            ("strict_parameters = 1", "strict_parameters"),
            ("host = 5", "host"),
            ("database_busy_s = '1'", "database_busy_s"),
            ("workers = []", "workers"),
        ],
    )
    def test_one_of_the_file_is_named(self, text: str, named: str, file: Write) -> None:
        assert refused(file(text)).startswith(f"{named}: ")

    @pytest.mark.parametrize("name", ["audit_key", "audit_keys_old", "storage_key", "storage_keys_old"])
    def test_a_secret_is_not_repeated(self, name: str, file: Write) -> None:
        assert refused(file(f"{name} = 4711")) == f"{name}: expected str, got another value"
        assert "4711" not in refused(file(f'{name} = "4711"'))
        loaded = config.load(file(f'{name} = "{"5e" * 32}"'))
        assert "5e" * 32 not in repr(loaded)

    def test_an_unknown_one_is_named(self, file: Write) -> None:
        assert refused(file("prot = 9090")).endswith("unknown setting 'prot'")

    @pytest.mark.parametrize("text", ["port = ", "= 5", "[", 'port = "\n"'])
    def test_a_file_that_is_no_toml(self, text: str, file: Write) -> None:
        path = file(text)
        assert refused(path).startswith(f"CONVSTORE_CONFIG: {path} is not TOML: ")

    def test_a_file_of_other_bytes(self, tmp_path: Path) -> None:
        path = tmp_path / "x.toml"
        path.write_bytes(b'host = "\xff"')
        assert "is not TOML" in refused(str(path))

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        for path in (tmp_path / "x.toml", tmp_path):
            assert refused(str(path)).startswith(f"CONVSTORE_CONFIG: cannot read {path}: ")


class TestAuth:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
    def test_off_where_nobody_else_can_reach_it(self, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONVSTORE_AUTH", "off")
        monkeypatch.setenv("CONVSTORE_HOST", host)
        assert config.load().auth == "off"

    @pytest.mark.parametrize(
        "host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "localhost.example.org", "127.0.0.1.nip.io"]
    )
    def test_and_nowhere_else(self, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONVSTORE_AUTH", "off")
        monkeypatch.setenv("CONVSTORE_HOST", host)
        assert refused() == f"CONVSTORE_AUTH: off is refused on {host}; it needs a loopback CONVSTORE_HOST"


class TestOneUpstream:
    def test_from_its_own_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONVSTORE_UPSTREAM_URL", "https://gateway.example/v1/")
        monkeypatch.setenv("CONVSTORE_UPSTREAM_KEY", " sk-secret\n")
        monkeypatch.setenv("CONVSTORE_UPSTREAM_DIALECT", "chat")
        (upstream,) = config.load().upstreams
        assert upstream == UpstreamSettings("default", "https://gateway.example/v1", "sk-secret", "chat")

    def test_from_openais(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.com/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        (upstream,) = config.load().upstreams
        assert (upstream.url, upstream.key, upstream.dialect) == (
            "https://api.openai.com/v1",
            "sk-secret",
            "responses",
        )

    def test_our_own_come_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, url, key in (("CONVSTORE_UPSTREAM", "http://a/v1", "ka"), ("OPENAI", "http://b/v1", "kb")):
            monkeypatch.setenv(f"{name}_URL" if name != "OPENAI" else "OPENAI_BASE_URL", url)
            monkeypatch.setenv(f"{name}_KEY" if name != "OPENAI" else "OPENAI_API_KEY", key)
        (upstream,) = config.load().upstreams
        assert (upstream.url, upstream.key) == ("http://a/v1", "ka")

    def test_openais_do_not_add_to_a_file(self, file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.com/v1")
        loaded = config.load(file('[[upstreams]]\nname = "a"\nurl = "http://a/v1"'))
        assert [each.name for each in loaded.upstreams] == ["a"]

    def test_ours_do(self, file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONVSTORE_UPSTREAM_URL", "http://b/v1")
        loaded = config.load(file('[[upstreams]]\nname = "a"\nurl = "http://a/v1"'))
        assert [each.name for each in loaded.upstreams] == ["a", "default"]

    @pytest.mark.parametrize(
        "url", ["gateway.example/v1", "ftp://x/v1", "http://", "http://x:port/v1", "https:///v1", "x"]
    )
    def test_a_wrong_address_is_named(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONVSTORE_UPSTREAM_URL", url)
        assert refused() == "the url of upstream 'default' is not an http(s) URL"

    @pytest.mark.parametrize("key", ["sk-é", "sk-a\nb", "sk-a\rb", "sk-\u2028x", "sk-\x01x"])
    def test_a_key_that_no_header_can_carry(self, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONVSTORE_UPSTREAM_URL", "http://x/v1")
        monkeypatch.setenv("CONVSTORE_UPSTREAM_KEY", key)
        message = refused()
        assert message == "the key of upstream 'default' has characters no header can carry"

    def test_a_wrong_dialect_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONVSTORE_UPSTREAM_URL", "http://x/v1")
        monkeypatch.setenv("CONVSTORE_UPSTREAM_DIALECT", "assistants")
        assert "dialect of upstream 'default'" in refused()


class TestUpstreams:
    def test_every_member_from_a_file(self, file: Write) -> None:
        text = """
            [[upstreams]]
            name = "gateway"
            url = "https://gateway.example/v1/"
            key = "sk-secret"
            dialect = "responses-stateful"
            models = ["gpt-5.4*", "deepseek-*"]
            aliases = { fast = "gpt-5.4-mini" }
            headers = { X-Team = "acme" }
            context_window = 1000
            connect_timeout_s = 1
            read_timeout_s = 2.5
            total_timeout_s = 3
            retries = 0
            retry_wait_max_s = 4
            breaker_failures = 5
            breaker_pause_s = 6
            [[upstreams]]
            name = "local"
            url = "http://127.0.0.1:8000/v1"
        """
        gateway, local = config.load(file(text)).upstreams
        assert gateway == UpstreamSettings(
            name="gateway",
            url="https://gateway.example/v1",
            key="sk-secret",
            dialect="responses-stateful",
            models=("gpt-5.4*", "deepseek-*"),
            aliases={"fast": "gpt-5.4-mini"},
            headers={"X-Team": "acme"},
            context_window=1000,
            connect_timeout_s=1,
            read_timeout_s=2.5,
            total_timeout_s=3,
            retries=0,
            retry_wait_max_s=4,
            breaker_failures=5,
            breaker_pause_s=6,
        )
        assert local == UpstreamSettings("local", "http://127.0.0.1:8000/v1")
        assert all(f"{field.name} =" in text for field in fields(UpstreamSettings))

    def test_a_key_is_read_from_the_variable_it_names(self, file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        path = file('[[upstreams]]\nname = "a"\nurl = "http://a/v1"\nkey_env = "GATEWAY_KEY"')
        assert refused(path) == "upstreams[0].key_env: the environment variable GATEWAY_KEY is not set"
        monkeypatch.setenv("GATEWAY_KEY", "sk-secret\n")
        (upstream,) = config.load(path).upstreams
        assert upstream.key == "sk-secret"

    def test_no_key_is_in_its_representation(self, file: Write) -> None:
        text = '[[upstreams]]\nname = "a"\nurl = "http://a/v1"\nkey = "sk-secret"\nheaders = {X = "sk-secret"}'
        assert "sk-secret" not in repr(config.load(file(text)))

    @pytest.mark.parametrize(
        ("table", "named"),
        [
            ('url = "http://a/v1"', "upstreams[0].name: required"),
            ('name = "a"', "upstreams[0].url: required"),
            ('name = ""\nurl = "http://a/v1"', "upstreams[0].name: required"),
            ('name = 5\nurl = "http://a/v1"', "upstreams[0].name"),
            ('name = "a"\nurl = "http://a/v1"\nkye = "x"', "upstreams[0]: unknown setting 'kye'"),
            ('name = "a"\nurl = "http://a/v1"\nkey = 5', "upstreams[0].key: expected"),
            ('name = "a"\nurl = "http://a/v1"\nkey_env = 5', "upstreams[0].key_env"),
            ('name = "a"\nurl = "http://a/v1"\ndialect = 5', "upstreams[0].dialect"),
            ('name = "a"\nurl = "http://a/v1"\nmodels = "gpt-*"', "upstreams[0].models: expected"),
            ('name = "a"\nurl = "http://a/v1"\nmodels = [5]', "upstreams[0].models: expected"),
            ('name = "a"\nurl = "http://a/v1"\naliases = ["x"]', "upstreams[0].aliases: expected"),
            ('name = "a"\nurl = "http://a/v1"\naliases = {x = 5}', "upstreams[0].aliases: expected"),
            ('name = "a"\nurl = "http://a/v1"\nheaders = "x"', "upstreams[0].headers: expected"),
            ('name = "a"\nurl = "http://a/v1"\nheaders = {X = "a\\nb"}', "the headers of upstream 'a' have"),
            ('name = "a"\nurl = "http://a/v1"\nheaders = {"X Y" = "a"}', "the headers of upstream 'a' have"),
            ('name = "a"\nurl = "http://a/v1"\nretries = "2"', "upstreams[0].retries: expected"),
            ('name = "a"\nurl = "http://a/v1"\nretries = true', "upstreams[0].retries: expected"),
            ('name = "a"\nurl = "http://a/v1"\nretries = 1.5', "upstreams[0].retries: expected"),
            ('name = "a"\nurl = "http://a/v1"\nretries = -1', "upstreams[0].retries"),
            (
                'name = "a"\nurl = "http://a/v1"\nread_timeout_s = "1"',
                "upstreams[0].read_timeout_s: expected",
            ),
            ('name = "a"\nurl = "http://a/v1"\nread_timeout_s = -1', "upstreams[0].read_timeout_s"),
            (
                'name = "a"\nurl = "http://a/v1"\ncontext_window = "big"',
                "upstreams[0].context_window: expected",
            ),
            (
                'name = "a"\nurl = "http://a/v1"\n[[upstreams]]\nname = "a"\nurl = "http://b/v1"',
                "upstreams: two have the same name",
            ),
            ('name = "a"\nurl = "http://a/v1"\n[[upstreams]]\nname = "b"', "upstreams[1].url: required"),
        ],
        ids=lambda text: text.splitlines()[-1][:40],
    )
    def test_a_wrong_member_is_named(self, table: str, named: str, file: Write) -> None:
        assert refused(file(f"[[upstreams]]\n{table}")).startswith(named)

    @pytest.mark.parametrize(
        "text",
        [
            'upstreams = "x"',
            "upstreams = 5",
            'upstreams = ["x"]',
            "[upstreams]\nname = 'a'",
            "upstreams = [[]]",
        ],
    )
    def test_what_is_no_table_of_upstreams(self, text: str, file: Write) -> None:
        assert refused(file(text)).startswith("upstreams")
