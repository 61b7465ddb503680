"""The stage: one running service an engine, three providers behind it, one for each dialect.

It runs as long as the session. Its store fills with what the tests leave behind: that is the noise. Tests
that stop the service, or break it, start one of their own from a `shell`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from openai import OpenAI

from convstore import bootstrap
from convstore.config import Settings
from convstore.services import keys
from convstore.services.principal import Right
from tests.acceptance.service import Service, Shell
from tests.conftest import ENGINES, PROVIDER_KEY, fresh_database
from tests.local_upstream import LocalUpstream

STATEFUL_KEY = "sk-stateful-secret-0123456789"
CHAT_KEY = "sk-chatty-secret-0123456789"
# Failures are what many tests are about: the breaker is tested elsewhere. One retry, so that it can be seen.
CONFIGURATION = """
host = "127.0.0.1"
max_body_bytes = 1_000_000

[[upstreams]]
name = "local"
url = "{local}"
key_env = "LOCAL_KEY"
retries = 1
breaker_failures = 1000
aliases = {{ fast = "gpt-5.4-mini" }}

[[upstreams]]
name = "stateful"
url = "{stateful}/"
key_env = "STATEFUL_KEY"
dialect = "responses-stateful"
models = ["stateful-*"]
retries = 0
breaker_failures = 1000

[[upstreams]]
name = "chatty"
url = "{chat}"
key_env = "CHAT_KEY"
dialect = "chat"
models = ["chat-*", "org/chat-1"]
retries = 0
breaker_failures = 1000
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The wheel first, which keeps one core busy for long: at the end the other would have nothing to do."""
    items.sort(key=lambda item: item.path != Path(__file__).parent / "test_wheel.py")


@dataclass(frozen=True)
class Providers:
    """The providers behind the shared service."""

    local: LocalUpstream
    stateful: LocalUpstream
    chat: LocalUpstream


@dataclass(frozen=True)
class Stage:
    """The shared service, the keys to it, and where its things are.

    alice may do everything in Acme, the reader may only read there, carol is of Globex.
    """

    service: Service
    shell: Shell
    database_url: str
    providers: Providers
    alice: str
    reader: str
    carol: str


@pytest.fixture(scope="session")
def providers() -> Iterator[Providers]:
    with LocalUpstream() as local, LocalUpstream() as stateful, LocalUpstream() as chat:
        local.models = ["gpt-5.4", "gpt-5.4-mini", "org/model-1", "chat-nobody"]
        stateful.models = ["stateful-1", "gpt-5.4"]
        chat.models = ["chat-1"]
        yield Providers(local, stateful, chat)


@pytest.fixture(scope="session", params=ENGINES)
def stage(
    request: pytest.FixtureRequest, providers: Providers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """The shared service, on each engine."""
    directory = tmp_path_factory.mktemp(f"service-{request.param}")
    with fresh_database(request.param, request, directory) as url:
        shell = Shell(
            directory,
            {
                "CONVSTORE_DATABASE_URL": url,
                "CONVSTORE_CONFIG": str(_configuration(directory, providers)),
                "LOCAL_KEY": PROVIDER_KEY,
                "STATEFUL_KEY": STATEFUL_KEY,
                "CHAT_KEY": CHAT_KEY,
            },
        )
        with shell.serving() as service:
            made = (key(url, "acme"), key(url, "acme", Right.READ), key(url, "globex"))
            yield Stage(service, shell, url, providers, *made)


def key(database_url: str, project: str, *scopes: Right) -> str:
    """The text of a new key, made beside the service: the command that does it has tests of its own."""
    with bootstrap.working(Settings(database_url=database_url)) as deps:
        return keys.create(deps, project, scopes=scopes or tuple(Right))[1]


def _configuration(directory: Path, providers: Providers) -> Path:
    path = directory / "convstore.toml"
    urls = {name: upstream.url for name, upstream in vars(providers).items()}
    path.write_text(CONFIGURATION.format(**urls), encoding="utf-8")
    return path


@pytest.fixture
def service(stage: Stage) -> Service:
    return stage.service


@pytest.fixture
def provider(stage: Stage) -> Iterator[LocalUpstream]:
    """The provider that speaks the Responses API: `gpt-5.4`, and every model that no other provider names."""
    with _of_this_test(stage.providers.local) as upstream:
        yield upstream


@pytest.fixture
def stateful(stage: Stage) -> Iterator[LocalUpstream]:
    """The provider that remembers: `stateful-…`."""
    with _of_this_test(stage.providers.stateful) as upstream:
        yield upstream


@pytest.fixture
def chat(stage: Stage) -> Iterator[LocalUpstream]:
    """The provider that speaks Chat Completions: `chat-…`."""
    with _of_this_test(stage.providers.chat) as upstream:
        yield upstream


@contextmanager
def _of_this_test(upstream: LocalUpstream) -> Iterator[LocalUpstream]:
    """A provider as if it had just been started. What it was told and never asked for is a failure."""
    upstream.forget()
    yield upstream
    untold = upstream.untold
    upstream.forget()
    assert untold == 0, f"{untold} of the answers that the test prepared were never asked for"


@pytest.fixture
def client(stage: Stage) -> Iterator[OpenAI]:
    """The official SDK with alice's key, and no retries unless a test wants them."""
    with sdk(stage.service, stage.alice) as made:
        yield made


@pytest.fixture
def carol(stage: Stage) -> Iterator[OpenAI]:
    """The official SDK with a key of another project."""
    with sdk(stage.service, stage.carol) as made:
        yield made


def sdk(service: Service, api_key: str) -> OpenAI:
    """The official SDK, pointed at a service."""
    return OpenAI(base_url=service.base_url, api_key=api_key, max_retries=0, timeout=30)
