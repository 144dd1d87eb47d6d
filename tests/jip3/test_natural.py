from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3.natural import LARGEST, decode_natural, encode_natural


def test_vectors(vectors: list[dict[str, Any]]) -> None:
    naturals = [vector for vector in vectors if vector["kind"] == "natural"]
    assert len(naturals) == 17
    for vector in naturals:
        raw = bytes.fromhex(vector["hex"])
        assert encode_natural(vector["value"]) == raw
        assert decode_natural(raw, 0, len(raw)) == (vector["value"], len(raw))


@given(value=st.integers(0, LARGEST), before=st.binary(max_size=3), after=st.binary(max_size=3))
def test_round_trip(value: int, before: bytes, after: bytes) -> None:
    raw = encode_natural(value)
    data = before + raw + after
    assert decode_natural(data, len(before), len(data)) == (value, len(before) + len(raw))


@given(following=st.integers(0, 8))
def test_the_shortest_encoding_is_chosen(following: int) -> None:
    fits = min(1 << 7 * (following + 1), LARGEST + 1) if following < 8 else LARGEST + 1
    assert len(encode_natural(fits - 1)) == following + 1


@pytest.mark.parametrize("value", [-1, LARGEST + 1])
def test_out_of_range(value: int) -> None:
    with pytest.raises(ValueError, match="between 0 and"):
        encode_natural(value)


@pytest.mark.parametrize(
    ("raw", "value"), [("8001", 1), ("c00001", 256), ("ff0000000000000000", 0)]
)
def test_longer_than_need_be_is_accepted(raw: str, value: int) -> None:
    data = bytes.fromhex(raw)
    assert decode_natural(data, 0, len(data)) == (value, len(data))


@given(value=st.integers(0, LARGEST), cut=st.integers(0, 8))
def test_cut_short(value: int, cut: int) -> None:
    raw = encode_natural(value)
    end = min(cut, len(raw) - 1)
    with pytest.raises(ValueError, match="the data ends at"):
        decode_natural(raw + bytes(8), 0, end)
