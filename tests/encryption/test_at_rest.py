"""What was said is nowhere in the store, and reads back as it was."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.test_audit import checked, project_of
from tests.cli.house import _work
from tests.conftest import Client
from tests.encryption.conftest import Stage, packed, unsealed
from tests.local_upstream import answer, error, message, wait_until

BIG = "haystack " * 3_000


def talk(stage: Stage, client: Client, tag: str = "") -> list[str]:
    """Turns of every kind, with a word in each that stands nowhere else. Their ids, oldest first.

    tag: what each of these words ends with.
    """
    stage.upstream.will(answer(message(f"quetzal{tag} answered")))
    first = client.ask(f"axolotl{tag} asked", instructions=f"pangolin{tag} instructs", metadata={"team": "seen"})
    stage.upstream.will(answer(message(f"narwhal{tag} answered")))
    streamed = client.stream(f"kakapo{tag} asked", previous_response_id=first["id"])
    second = streamed[-1]["response"]["id"]
    stage.upstream.will(answer(message(f"numbat{tag} answered")))
    third = client.ask(f"tapir{tag} asked {BIG.replace(' ', tag + ' ')}", after=second)["id"]
    stage.upstream.will(answer(message(f"dugong{tag} answered")))
    branched = client.post(f"/v1/responses/{second}/branch", json={"input": f"ocelot{tag} asked"})
    assert branched.status_code == 200, branched.text
    whole = [
        {"role": "user", "content": f"quokka{tag} asked"},
        {"role": "assistant", "content": f"okapi{tag} answered"},
        {"role": "user", "content": f"gharial{tag} asked {BIG.replace(' ', tag + ' ')}"},
    ]
    stage.upstream.will(answer(message(f"jerboa{tag} answered")))
    fourth = client.ask(whole)["id"]
    sent = [
        *whole,
        {"role": "assistant", "content": f"jerboa{tag} answered"},
        {"role": "user", "content": f"tarsier{tag} asked"},
    ]
    stage.upstream.will(answer(message(f"saiga{tag} answered")))
    fifth = client.ask(sent)["id"]
    conversation = client.get(f"/v1/responses/{first['id']}/thread?items=false").json["data"][0]["conversation_id"]
    client.post(f"/v1/conversations/{conversation}", json={"title": f"bandicoot{tag} titled"})
    return [first["id"], second, third, branched.json["id"], fourth, fifth]


WORDS = (
    "axolotl quetzal pangolin kakapo narwhal tapir numbat haystack ocelot dugong quokka okapi gharial jerboa tarsier"
    " saiga bandicoot"
).split()


class TestStore:
    def test_what_was_said_is_nowhere(self, stage: Stage, alice: Client) -> None:
        talk(stage, alice, "zq")
        everything = stage.everything().lower()
        assert [word for word in WORDS if f"{word}zq".encode() in everything] == []
        # What is filtered by stays plain.
        assert b"seen" in everything

    def test_without_a_key_it_is_everywhere(self, stage: Stage) -> None:
        with unsealed(stage) as plain:
            talk(plain, plain.client(), "qz")
            everything = plain.everything().lower()
            assert [word for word in WORDS if f"{word}qz".encode() not in everything] == []

    def test_it_reads_back(self, stage: Stage, alice: Client) -> None:
        first, _, third, branched, fourth, fifth = talk(stage, alice)
        got = alice.get(f"/v1/responses/{first}").json
        assert got["instructions"] == "pangolin instructs"
        assert got["output"][0]["content"][0]["text"] == "quetzal answered"
        items = alice.get(f"/v1/responses/{third}/input_items?order=asc").json["data"]
        texts = [item["content"][0]["text"] for item in items]
        assert texts[:4] == ["axolotl asked", "quetzal answered", "kakapo asked", "narwhal answered"]
        assert texts[4] == f"tapir asked {BIG}"
        context = alice.get(f"/v1/responses/{third}/context").json
        assert context["verified"] is True
        thread = alice.get(f"/v1/responses/{fifth}/thread").json["data"]
        assert [each["id"] for each in thread] == [fourth, fifth]
        tree = alice.get(f"/v1/conversations/{context_of(alice, first)}/tree").json
        assert tree["title"] == "bandicoot titled"
        assert {each["question"] for each in tree["data"]} >= {"axolotl asked", "kakapo asked", "ocelot asked"}
        listed = alice.get("/v1/responses?fields=question,answer,output").json["data"]
        assert {each["answer"] for each in listed} >= {"quetzal answered", "saiga answered", "dugong answered"}
        assert alice.get(f"/v1/diff?left={third}&right={branched}").status_code == 200

    def test_the_model_is_shown_the_same(self, stage: Stage, alice: Client) -> None:
        stage.upstream.forget()
        talk(stage, alice)
        sealed = [each.body["input"] for each in stage.upstream.questions]
        stage.upstream.forget()
        with unsealed(stage) as plain:
            talk(plain, plain.client())
        assert [each.body["input"] for each in stage.upstream.questions] == sealed
        assert len(sealed) == 6

    def test_the_audit_log_verifies(self, stage: Stage, alice: Client) -> None:
        talk(stage, alice)
        assert checked(stage.deps, project_of(alice)) == []

    def test_a_bit_that_is_flipped_is_found_by_readers_and_by_the_log(self, stage: Stage, alice: Client) -> None:
        own = alice.ask("flip me")["id"]
        rows = stage.sql(
            "SELECT i.lane, i.depth, i.position, i.body FROM items i JOIN exchanges e ON e.lane = i.lane"
            " WHERE e.project_id = :p AND e.depth = i.depth AND NOT i.output",
            p=packed(alice),
        )
        (row,) = rows
        body = bytearray(row.body)
        body[-1] ^= 1
        where = {"l": row.lane, "d": row.depth, "p": row.position, "v": bytes(body)}
        stage.sql("UPDATE items SET body = :v WHERE lane = :l AND depth = :d AND position = :p", **where)
        for path in ("/input_items", "/context", "/thread"):
            answered = alice.get(f"/v1/responses/{own}{path}")
            assert answered.status_code == 409, path
            assert answered.json["error"]["code"] == "content_unreadable"
        assert alice.create("More", after=own).json["error"]["code"] == "content_unreadable"
        assert [kind for kind, _ in checked(stage.deps, project_of(alice))] == ["content_altered"]

    def test_a_body_of_another_project_is_no_body(self, stage: Stage, alice: Client) -> None:
        carol = stage.client()
        ours, theirs = alice.ask("Ours"), carol.ask("Theirs")
        bodies = "SELECT i.lane, i.body FROM items i JOIN exchanges e ON e.id = i.lane WHERE e.project_id = :p"
        (own, *_), (foreign, *_) = stage.sql(bodies, p=packed(alice)), stage.sql(bodies, p=packed(carol))
        stage.sql("UPDATE items SET body = :v WHERE lane = :l", v=foreign.body, l=own.lane)
        answered = alice.get(f"/v1/responses/{ours['id']}/input_items")
        assert (answered.status_code, answered.json["error"]["code"]) == (409, "content_unreadable")
        assert carol.get(f"/v1/responses/{theirs['id']}/input_items").status_code == 200


def context_of(client: Client, own: str) -> Any:
    return client.get(f"/v1/responses/{own}/thread?items=false").json["data"][0]["conversation_id"]


class TestSwitching:
    def test_a_plain_store_goes_on_encrypted_and_plain_again(self, stage: Stage) -> None:
        with unsealed(stage) as plain:
            client = plain.client()
            first = client.ask("Plain as day")
        sealing = Client(stage.app, client.key)
        second = sealing.ask("zorilla at night", after=first["id"])
        assert b"zorilla" not in stage.everything()
        assert len(sealing.get(f"/v1/responses/{second['id']}/thread").json["data"]) == 2
        with unsealed(stage) as off:
            again = Client(off.app, client.key)
            third = again.ask("Plain again", after=second["id"])
            texts = again.get(f"/v1/responses/{third['id']}/input_items?order=asc").json["data"]
            assert [each["content"][0]["text"] for each in texts if each["role"] == "user"] == [
                "Plain as day",
                "zorilla at night",
                "Plain again",
            ]
        assert checked(stage.deps, project_of(client)) == []

    def test_a_history_of_before_is_recognised_since(self, stage: Stage) -> None:
        stage.upstream.will(answer(message("Said before")))
        with unsealed(stage) as plain:
            client = plain.client()
            first = client.ask("Begun before")["id"]
        sealing = Client(stage.app, client.key)
        whole = [
            {"role": "user", "content": "Begun before"},
            {"role": "assistant", "content": "Said before"},
            {"role": "user", "content": "Gone on since"},
        ]
        second = sealing.ask(whole)["id"]
        thread = sealing.get(f"/v1/responses/{second}/thread?items=false").json["data"]
        assert [each["id"] for each in thread] == [first, second]


class TestSearch:
    def test_words_are_refused_and_filters_work(self, stage: Stage, alice: Client) -> None:
        own = alice.ask("Findable?", metadata={"team": "red"})["id"]
        alice.ask("Noise")
        refused = alice.get("/v1/responses?q=findable")
        assert refused.status_code == 400
        assert (refused.json["error"]["param"], refused.json["error"]["code"]) == ("q", "search_unavailable")
        assert [each["id"] for each in alice.get("/v1/responses?metadata.team=red").json["data"]] == [own]
        titled = alice.get("/v1/conversations?title=findable")
        assert (titled.status_code, titled.json["error"]["param"]) == (400, "title")

    def test_no_word_is_in_the_index(self, stage: Stage, alice: Client) -> None:
        alice.ask("chinchilla")
        alice.get("/v1/responses?model=gpt-5.4")
        with unsealed(stage) as off:
            assert Client(off.app, alice.key).get("/v1/responses?q=chinchilla").json["data"] == []


class TestSecrets:
    @pytest.mark.parametrize("form", [str.lower, str.upper])
    def test_the_key_is_nowhere(self, stage: Stage, alice: Client, form: Any) -> None:
        alice.ask("Anything")
        key = stage.settings.storage_key
        said = repr(stage.settings) + repr(stage.deps) + repr(stage.deps.database.vault.masters)
        assert form(key) not in said
        assert bytes.fromhex(key) not in stage.everything()
        assert form(key).encode() not in stage.everything()


class TestWorkers:
    @pytest.fixture(autouse=True)
    def worker(self, stage: Stage) -> Iterator[None]:
        over = threading.Event()
        thread = threading.Thread(target=_work, args=(stage.deps, over))
        thread.start()
        yield
        over.set()
        thread.join(30)

    def test_background_responses_and_their_journals(self, stage: Stage, alice: Client) -> None:
        stage.upstream.will(answer(message("margay answered")))
        queued = alice.ask("serval asked", background=True, stream=False)
        done = wait_until(lambda: self.ended(alice, f"/v1/responses/{queued['id']}"))
        assert done["output"][0]["content"][0]["text"] == "margay answered"
        stage.upstream.will(answer(message("fossa answered")))
        followed = alice.stream("civet asked", background=True)
        assert followed[-1]["response"]["output"][0]["content"][0]["text"] == "fossa answered"
        again = alice.get(f"/v1/responses/{followed[-1]['response']['id']}?stream=true&starting_after=1")
        assert b"fossa answered" in again.data
        everything = stage.everything()
        assert [word for word in (b"serval", b"margay", b"civet", b"fossa") if word in everything] == []
        assert stage.sql("SELECT count(*) FROM journal")[0][0] > 0
        assert checked(stage.deps, project_of(alice)) == []

    def test_replays_with_edits(self, stage: Stage, alice: Client) -> None:
        stage.upstream.will(answer(message("genet answered")), answer(message("linsang answered")))
        own = alice.ask("kinkajou asked")["id"]
        asked = alice.post(f"/v1/responses/{own}/replay", json={"overrides": {"instructions": "olingo instructs"}})
        assert asked.status_code in (200, 202), asked.text
        path = f"/v1/replays/{asked.json['id']}"
        done = wait_until(
            lambda: next((each for each in [alice.get(path).json] if each["status"] == "completed"), None)
        )
        assert done["runs"][0]["status"] == "completed"
        everything = stage.everything()
        words = (b"kinkajou", b"genet", b"linsang", b"olingo")
        assert [word for word in words if word in everything] == []

    def ended(self, client: Client, path: str) -> Any:
        found = client.get(path).json
        return found if found["status"] == "completed" else None


class TestErrors:
    def test_what_a_provider_says_of_a_failure_is_sealed(self, stage: Stage, alice: Client) -> None:
        stage.upstream.will(error(400, "zebu is not allowed to be said"))
        assert alice.create("A question").status_code == 400
        assert b"zebu" not in stage.everything()
        (listed,) = alice.get("/v1/responses").json["data"]
        assert listed["status"] == "failed"
        assert checked(stage.deps, project_of(alice)) == []
