"""`python -m bench.encryption`: what encryption at rest costs a turn and a read, with it and without it in one run.

As bench.audit: turns through the application in this process, in small batches by turns, CPU of this process and of
PostgreSQL's. A turn that is not encrypted puts its words into the search index, one that is does not.
"""

import statistics
import sys
import warnings

from bench import databases
from bench.audit import on_each, spent
from convstore import bootstrap
from convstore.app import create_app
from convstore.config import Settings, UpstreamSettings
from convstore.domain.sealing import Masters
from convstore.services import keys
from convstore.storage import migrations

KEY = "5e" * 32
BODY = b'{"model":"gpt-5.4","input":"What does it cost to keep what was said to oneself?"%s}'
DEPTH = 20


def main() -> None:
    """Measure both engines and print medians."""
    on_each("bench.encryption", "What encryption costs a turn.", measure)


def measure(engine: str, database: databases.Database, port: int, rounds: int) -> None:
    """One engine."""
    upstream = UpstreamSettings("local", f"http://127.0.0.1:{port}/v1", key="sk-bench")
    deps = bootstrap.deps(Settings(database_url=database.url, upstreams=(upstream,), storage_key=KEY))
    migrations.upgrade(deps.database)
    _, key = keys.create(deps, "bench")
    client = create_app(Settings(database_url=database.url, upstreams=(upstream,), storage_key=KEY), deps).test_client()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    # One that opens what is sealed and seals nothing, and the other.
    masters = {False: Masters("", [KEY]), True: Masters(KEY)}

    def asked(after: str | None = None) -> str:
        body = BODY % (b',"previous_response_id":"%s"' % after.encode() if after else b"")
        answered = client.post("/v1/responses", data=body, headers=headers)
        assert answered.status_code == 200, answered.text
        return str((answered.json or {})["id"])

    tips: dict[bool, str] = {}
    for seals, own in masters.items():
        deps.database.vault.masters = own
        tips[seals] = asked()
        for _ in range(DEPTH - 1):
            tips[seals] = asked(tips[seals])

    def read(seals: bool) -> None:
        path = f"/v1/responses/{tips[seals]}/input_items?limit=100"
        assert client.get(path, headers=headers).status_code == 200

    acts = {
        "a turn": lambda _: asked(),
        f"a turn behind {DEPTH}": lambda seals: asked(tips[seals]),
        f"the items of {DEPTH} turns": read,
    }
    for what, act in acts.items():
        ratios, costs = [], []
        for number in range(rounds + 1):
            found = {}
            for seals in (number % 2 == 0, number % 2 == 1):
                deps.database.vault.masters = masters[seals]
                found[seals] = spent(lambda act=act, seals=seals: act(seals), database.pid)  # type: ignore[misc]
            if number:
                ratios.append(found[True] / found[False])
                costs.append((found[True], found[False]))
        sealed, plain = (statistics.median(each) for each in zip(*costs, strict=True))
        ratio = statistics.median(ratios)
        sys.stdout.write(f"{engine}: {what}: {plain:,.0f} µs plain, {sealed:,.0f} µs sealed, ratio {ratio:.3f}\n")
    deps.upstreams.close()
    deps.database.close()


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
