"""`convstore prices`: at both doors, on both engines."""

import json
from pathlib import Path

import pytest

from tests.cli.house import House, once

RATES = ("--currency", "CNY", "--input", "10", "--cached-input", "1", "--output", "100")


def ids_of(house: House, *options: str) -> list[str]:
    return [each["id"] for each in json.loads(house.output("prices", "list", "--json", *options))]


class TestSet:
    def test_it_is_named_and_listed_and_applies(self, house: House) -> None:
        said = house.output("prices", "set", "gpt-5.4*", *RATES, "--from", "2026-01-01")
        price_id, _, rest = said.partition(": ")
        assert rest == "input 10, cached input 1, output 100 CNY, from 2026-01-01T00:00:00+00:00 on.\n"
        assert price_id in house.output("prices", "list")
        found = house.output("prices", "find", "gpt-5.4")
        assert found == f"input 10, cached input 1, output 100 CNY (book {price_id}, gpt-5.4*)\n"
        response_id = house.ask("How much?", "That much.")
        assert house.alice.get(f"/v1/responses/{response_id}").status_code == 200

    def test_a_long_context_costs_more(self, house: House) -> None:
        long = ("--above", "200000", "--long-input", "20", "--long-output", "200")
        said = house.output("prices", "set", "m", *RATES, *long)
        assert "; above 200000: input 20, output 200" in said
        assert house.run("prices", "set", "n", *RATES, "--above", "5").code == 2

    def test_what_overlaps_is_refused_and_replaced_if_wanted(self, house: House) -> None:
        house.output("prices", "set", "m", *RATES, "--from", "2026-01-01")
        refused = house.run("prices", "set", "m", *RATES, "--from", "2026-06-01")
        assert (refused.code, "replace=true" in refused.err) == (1, True)
        house.output("prices", "set", "m", *RATES, "--from", "2026-06-01", "--replace")
        assert len(ids_of(house)) == 2

    @once
    @pytest.mark.parametrize("wrong", [("--input", "-1"), ("--from", "soon"), ("--currency", "YAP")])
    def test_nonsense_is_one_line(self, house: House, wrong: tuple[str, str]) -> None:
        ran = house.run("prices", "set", "m", *RATES, *wrong)
        assert (ran.code, len(ran.err.splitlines())) == (1, 1)

    def test_for_everybody_on_the_database_alone(self, house: House) -> None:
        ran = house.shell.run("prices", "set", "m", *RATES, "--everywhere", "--json")
        made = json.loads(ran.out)
        assert made["scope"] == "installation"
        assert ids_of(house) == [made["id"]]
        assert house.run("prices", "remove", made["id"]).code == 1
        assert house.run("prices", "remove", made["id"], "--everywhere").code == 2
        house.shell.output("prices", "remove", made["id"], "--everywhere")
        assert ids_of(house) == []


def test_an_unknown_price_says_what_to_do(house: House) -> None:
    assert "convstore prices set" in house.output("prices", "find", "nobodys-model")


def test_one_is_forgotten(house: House) -> None:
    house.output("prices", "set", "m", *RATES)
    (price_id,) = ids_of(house)
    assert house.output("prices", "remove", price_id) == f"{price_id} is forgotten.\n"
    assert ids_of(house) == []


class TestImport:
    @once
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("p.csv", "model,currency,input,output,effective_from\na,CNY,1.5,2,2027-01-01\nb,USD,3,,\n"),
            ("p.csv", '\ufeffmodel,currency,input\r\n"a",CNY,1.5\r\nb,USD,3\r\n'),
            ("p.jsonl", '{"model":"a","currency":"CNY","input":"1.5"}\n\n{"model":"b","currency":"USD","input":3}\n'),
            ("p.json", '[{"model":"a","currency":"CNY","input":1.5},\n{"model":"b","currency":"USD","input":3}]'),
        ],
    )
    def test_every_format(self, house: House, tmp_path: Path, name: str, text: str) -> None:
        (tmp_path / name).write_text(text)
        assert house.output("prices", "import", str(tmp_path / name)) == "2 prices were named.\n"
        found = json.loads(house.output("prices", "list", "--json"))
        assert [(each["model"], each["currency"], each["input"]) for each in found] == [
            ("a", "CNY", "1.5"), ("b", "USD", "3"),
        ]  # fmt: skip

    def test_into_a_set(self, house: House, tmp_path: Path) -> None:
        (tmp_path / "p.csv").write_text("model,currency,input\na,CNY,1\n")
        house.output("prices", "import", str(tmp_path / "p.csv"), "--price-set", "2027")
        assert (len(ids_of(house)), len(ids_of(house, "--price-set", "2027"))) == (0, 1)

    @once
    @pytest.mark.parametrize(
        ("text", "where"),
        [
            ("model,currency,input\na,CNY,1\nb,CNY,-1\n", "line 3.input"),
            ("model,currency,input\na,CNY,1\nb,YAP,1\n", "[1].currency"),
            ("model,price\na,1\n", "line 1: unknown column 'price'"),
            ("model,currency,input\na,CNY,1,2\n", "line 2: more values than columns"),
            ('{"model":"a","currency":"CNY","input":1}\n{"model":\n', "line 2: not JSON"),
            ('{"model":"a","currency":"CNY","input":1}\n{"model":"b","currency":"CNY","input":"x"}\n', "line 2.input"),
            ("[7]", "[0]"),
            ("", "no price in it"),
            ("model,currency,input\n", "no price in it"),
        ],
    )
    def test_all_or_none_and_the_wrong_line_is_named(self, house: House, tmp_path: Path, text: str, where: str) -> None:
        (tmp_path / "p").write_text(text)
        ran = house.run("prices", "import", str(tmp_path / "p"))
        assert (ran.code, len(ran.err.splitlines())) == (1, 1)
        assert where in ran.err.replace("Unknown currency 'YAP'", "[1].currency")
        assert ids_of(house) == []

    @once
    def test_what_is_no_text_is_refused(self, house: House, tmp_path: Path) -> None:
        (tmp_path / "p").write_bytes(b"\xff\xfe\x00")
        assert "not UTF-8" in house.run("prices", "import", str(tmp_path / "p")).err
