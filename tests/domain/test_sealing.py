"""The law of sealing: what was sealed opens as it was, for whom it was sealed, and in no other way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import sealing
from convstore.domain.sealing import DataKey, Masters, Unopened, as_text, is_sealed, number_of, of_text

KEY = "5e" * 32
contexts = st.binary(min_size=1, max_size=48)


class TestLaw:
    @given(plain=st.binary(max_size=5_000), context=contexts, number=st.integers(1, 2**32 - 1))
    def test_what_is_sealed_opens_as_it_was(self, plain: bytes, context: bytes, number: int) -> None:
        key = DataKey.new(number)
        sealed = key.seal(plain, context)
        assert key.open(sealed, context) == plain
        assert sealed != plain
        assert key.seal(plain, context) != sealed
        assert is_sealed(sealed)
        assert number_of(sealed) == number
        assert sealed.startswith(key.head())
        text = as_text(sealed)
        assert of_text(text) == sealed
        assert text.startswith(key.text_head())
        assert text.isascii()

    @given(plain=st.binary(max_size=200), context=contexts, at=st.integers(0), other=contexts)
    def test_a_change_of_any_bit_is_found(self, plain: bytes, context: bytes, at: int, other: bytes) -> None:
        key = DataKey.new(1)
        sealed = bytearray(key.seal(plain, context))
        # What stands in front of the nonce says which key it is.
        place = 5 * 8 + at % ((len(sealed) - 5) * 8)
        sealed[place // 8] ^= 1 << place % 8
        with pytest.raises(Unopened):
            key.open(bytes(sealed), context)
        if other != context:
            with pytest.raises(Unopened):
                key.open(key.seal(plain, context), other)
        with pytest.raises(Unopened):
            DataKey.new(1).open(key.seal(plain, context), context)

    @given(cut=st.integers(0, 36))
    def test_what_is_cut_off_is_found(self, cut: int) -> None:
        key = DataKey.new(1)
        with pytest.raises(Unopened):
            key.open(key.seal(b"said", b"p")[:cut], b"p")

    @given(text=st.text())
    def test_no_json_and_no_digest_is_taken_for_sealed(self, text: str) -> None:
        assert not is_sealed(b"{" + text.encode("utf-8", "surrogatepass"))
        assert not is_sealed(b"\x01" * 32)
        assert of_text(text.lstrip("\x01")) is None
        assert of_text("\x01" + text) is None


class TestMarks:
    def test_they_are_the_same_over_rotation_and_not_over_shredding(self) -> None:
        first = DataKey.new(1)
        digest = b"d" * 16
        assert DataKey.new(2, first).mark(digest) == first.mark(digest) != digest
        assert DataKey.new(2).mark(digest) != first.mark(digest)
        assert len(first.mark(digest)) == 16


class TestMasters:
    def test_older_ones_still_unwrap(self) -> None:
        key_id, wrapped = Masters(KEY).wrap(b"secret", b"context")
        assert Masters("a7" * 32, [KEY]).unwrap(key_id, wrapped, b"context") == b"secret"
        assert Masters("a7" * 32).unwrap(key_id, wrapped, b"context") is None
        with pytest.raises(Unopened):
            Masters(KEY).unwrap(key_id, wrapped, b"another")

    def test_nobody_sees_them(self) -> None:
        masters, key = Masters(KEY), DataKey.new(1)
        assert KEY not in repr(masters)
        assert repr(masters) == f"Masters({sealing.master_id(bytes.fromhex(KEY)).hex()})"
        assert key.secret.hex() not in repr(key)
        assert repr(key) == "DataKey(number=1)"
