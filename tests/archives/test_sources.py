"""Files as they lie on the disk, most of them meant to do harm."""

import gzip
import json
import os
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from convstore.archives import sources
from convstore.archives.limits import Limits
from convstore.archives.sources import Packing
from convstore.errors import Unreadable
from tests.archives.makers import gzipped, zipped

MEBIBYTE = 2**20


def content(path: Path, limits: Limits | None = None) -> list[tuple[str, bytes]]:
    """What the streams of a file hold."""
    with sources.opened(path, limits or Limits()) as source:
        return [(inside, b"".join(iter(lambda s=stream: s.read(1000), b""))) for inside, stream in source.streams()]


def refused(path: Path, limits: Limits | None = None) -> str:
    with pytest.raises(Unreadable) as caught:
        content(path, limits)
    return caught.value.message


def with_member(path: Path, name: str, body: bytes = b"[]", **attributes: int) -> Path:
    """A zip of conversations.json and this member."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("conversations.json", b"[]")
        info = zipfile.ZipInfo(name)
        for attribute, value in attributes.items():
            setattr(info, attribute, value)
        archive.writestr(info, body)
    return path


class TestPlain:
    def test_it_is_read_as_it_stands_and_again_from_its_beginning(self, tmp_path):
        path = tmp_path / "a.json"
        path.write_bytes(b"[1]")
        with sources.opened(path, Limits()) as source:
            assert source.packing is Packing.PLAIN and source.total == 3
            for _ in range(2):
                assert [stream.read(99) for _, stream in source.streams()] == [b"[1]"]
            assert source.done() == 3

    def test_a_utf8_mark_is_no_part_of_it(self, tmp_path):
        (tmp_path / "a").write_bytes(b"\xef\xbb\xbf[1]")
        assert content(tmp_path / "a") == [("", b"[1]")]

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
    def test_other_encodings_are_named(self, tmp_path, encoding):
        (tmp_path / "a").write_bytes('[{"mapping":{}}]'.encode(encoding))
        assert "UTF-16" in refused(tmp_path / "a") or "UTF-32" in refused(tmp_path / "a")

    def test_what_is_no_file_is_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        for name in ("missing", "pipe", "."):
            assert "there is no such file" in refused(tmp_path / name)

    def test_an_empty_file_has_nothing(self, tmp_path):
        (tmp_path / "a").write_bytes(b"")
        assert content(tmp_path / "a") == [("", b"")]


class TestGzip:
    def test_it_is_told_by_its_first_bytes_and_counted_as_packed(self, tmp_path):
        body = random.Random(1).randbytes(100_000).hex().encode()
        with sources.opened(gzipped(tmp_path / "a.jsonl", body), Limits()) as source:
            assert source.packing is Packing.GZIP and source.total < 150_000
            (stream,) = (stream for _, stream in source.streams())
            assert b"".join(iter(lambda: stream.read(10_000), b"")) == body
            assert source.done() == source.total

    @pytest.mark.parametrize(
        "damage", [lambda b: b[:-4], lambda b: b[:50], lambda b: b[:-8] + bytes(8), lambda b: b + b"x"]
    )
    def test_one_that_is_cut_or_damaged_is_refused(self, tmp_path, damage):
        path = tmp_path / "a.gz"
        path.write_bytes(damage(gzip.compress(random.Random(1).randbytes(5000))))
        assert "damaged" in refused(path)

    def test_a_bomb_does_not_go_off(self, tmp_path):
        path = tmp_path / "a.gz"
        with gzip.open(path, "wb") as file:
            for _ in range(200):
                file.write(b" " * MEBIBYTE)
        tracemalloc.start()
        try:
            with sources.opened(path, Limits()) as source, pytest.raises(Unreadable, match="500 times its size"):
                for _, stream in source.streams():
                    while stream.read(MEBIBYTE):
                        pass
            assert tracemalloc.get_traced_memory()[1] < 8 * MEBIBYTE
        finally:
            tracemalloc.stop()

    def test_all_of_it_may_be_too_much(self, tmp_path):
        path = gzipped(tmp_path / "a.gz", random.Random(1).randbytes(5 * MEBIBYTE))
        assert "more than 4194304 bytes" in refused(path, Limits(unpacked=4 * MEBIBYTE, trusted=MEBIBYTE))


class TestZip:
    def test_the_lists_of_conversations_are_read_by_name_and_nothing_else(self, tmp_path):
        path = zipped(
            tmp_path / "a.zip",
            chat_html=b"<html>",
            conversations_001_json=b"[3]",
            conversations_json=b"[1]",
            shared_conversations_json=b"[9]",
            user_json=b"{}",
        )
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("a/b/Conversations-000.json", b"[0]")
        assert content(path) == [
            ("member a/b/Conversations-000.json, ", b"[0]"),
            ("member conversations.json, ", b"[1]"),
            ("member conversations_001.json, ", b"[3]"),
        ]

    def test_it_can_be_read_again_and_is_counted_as_unpacked(self, tmp_path):
        path = zipped(tmp_path / "a.zip", conversations_json=b"[" + b" " * 999 + b"]")
        with sources.opened(path, Limits()) as source:
            for _ in range(2):
                assert [len(stream.read(9999)) for _, stream in source.streams()] == [1001]
                assert source.done() == source.total == 1001

    def test_without_a_list_of_conversations_there_is_nothing_to_read(self, tmp_path):
        assert "without a conversations.json" in refused(zipped(tmp_path / "a.zip", other_json=b"[]"))

    @pytest.mark.parametrize(
        "name",
        ["/etc/conversations.json", "../conversations.json", "a/../../b.txt", "..\\b.txt", "C:\\b.txt", "\\\\host\\b"],
    )
    def test_a_name_that_leads_out_of_it_is_refused(self, tmp_path, name):
        assert "leads out of the zip" in refused(with_member(tmp_path / "a.zip", name))

    def test_a_link_is_refused(self, tmp_path):
        path = with_member(tmp_path / "a.zip", "link.json", b"/etc/passwd", external_attr=0o120777 << 16)
        assert "member link.json: it is a link" in refused(path)

    def test_an_encrypted_member_is_refused(self, tmp_path):
        path = with_member(tmp_path / "a.zip", "x/conversations-1.json")
        body = bytearray(path.read_bytes())
        at = body.rindex(b"PK\x01\x02")
        body[at + 8] |= 1
        path.write_bytes(body)
        assert "member x/conversations-1.json: it is encrypted" in refused(path)

    def test_other_ways_to_pack_are_refused(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("conversations.json", b"[]")
        assert "packed in a way" in refused(tmp_path / "a.zip")

    @pytest.mark.parametrize("cut", [1, 30, 100, 200])
    def test_one_that_is_cut_is_refused(self, tmp_path, cut):
        path = zipped(tmp_path / "a.zip", conversations_json=random.Random(1).randbytes(500))
        path.write_bytes(path.read_bytes()[:-cut])
        assert "cut off, or damaged" in refused(path)

    def test_a_member_that_is_damaged_is_named(self, tmp_path):
        path = zipped(tmp_path / "a.zip", conversations_json=random.Random(1).randbytes(5000))
        body = bytearray(path.read_bytes())
        body[2000] ^= 0xFF
        path.write_bytes(body)
        assert "member conversations.json: it is cut off, or damaged" in refused(path)

    def test_a_bomb_that_says_so_is_not_touched(self, tmp_path):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("conversations.json", "w") as file:
                for _ in range(100):
                    file.write(b" " * MEBIBYTE)
        assert "member conversations.json: it unpacks to more than 500 times its size" in refused(path)

    def test_a_bomb_of_many_members_does_not_go_off(self, tmp_path):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(6):
                archive.writestr(f"conversations-{number}.json", b" " * 20 * MEBIBYTE)
        tracemalloc.start()
        try:
            with sources.opened(path, Limits()) as source, pytest.raises(Unreadable, match="times its size"):
                for _, stream in source.streams():
                    while stream.read(MEBIBYTE):
                        pass
            assert tracemalloc.get_traced_memory()[1] < 16 * MEBIBYTE
        finally:
            tracemalloc.stop()

    def test_a_size_that_is_a_lie_is_not_believed(self, tmp_path):
        path = zipped(tmp_path / "a.zip", conversations_json=b"[" + b" " * 5000 + b"]")
        body = bytearray(path.read_bytes())
        at = body.rindex(b"PK\x01\x02")
        body[at + 24 : at + 28] = struct.pack("<I", 100)
        path.write_bytes(body)
        assert "damaged" in refused(path)

    def test_a_list_of_members_without_end_is_not_read(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for number in range(2000):
                archive.writestr(f"{number:0200}", b"")
            archive.writestr("conversations.json", b"[]")
        assert "too many members" in refused(tmp_path / "a.zip", Limits(directory=100_000))

    def test_nothing_is_written_anywhere(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        path = zipped(tmp_path / "a.zip", a__conversations_json=json.dumps(["x"]).encode())
        content(path)
        assert [each.name for each in tmp_path.iterdir()] == ["a.zip"]


class TestAnything:
    def test_random_bytes_behind_a_magic_are_refused(self, tmp_path):
        path, noise = tmp_path / "a", random.Random(7)
        for _ in range(300):
            path.write_bytes(noise.choice([b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08"]) + noise.randbytes(200))
            assert refused(path)

    def test_a_zip_with_a_byte_changed_is_read_or_refused(self, tmp_path):
        whole = zipped(tmp_path / "a.zip", conversations_json=b'[{"mapping":{}}]' * 20).read_bytes()
        for at in range(len(whole)):
            changed = bytearray(whole)
            changed[at] ^= 0x55
            (tmp_path / "b.zip").write_bytes(changed)
            try:
                content(tmp_path / "b.zip")
            except Unreadable:
                continue
