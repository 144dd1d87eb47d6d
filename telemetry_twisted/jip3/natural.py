"""Naturals: the variable-length numbers that count strings and sequences (Gray Paper, appendix C).

The leading one bits of the first byte say how many bytes follow; what is left of the first byte
holds the highest bits of the number, the bytes that follow its low bits, little-endian.
It is not LEB128: 128 is ``80 80``, 300 is ``81 2c``, 16384 is ``c0 00 40``.
"""

from __future__ import annotations

LARGEST = 2**64 - 1
"""The largest number that has an encoding."""


def encode_natural(value: int) -> bytes:
    """The shortest encoding of ``value``, 1 to 9 bytes.

    :raises ValueError: if ``value`` is not between 0 and :data:`LARGEST`.
    """
    if not 0 <= value <= LARGEST:
        raise ValueError(f"a natural is between 0 and 2^64 - 1, not {value}")
    following = min(max(value.bit_length() - 1, 0) // 7, 8)
    high, low = divmod(value, 1 << 8 * following)
    return bytes([256 - (1 << 8 - following) + high]) + low.to_bytes(following, "little")


def decode_natural(data: bytes, offset: int, end: int) -> tuple[int, int]:
    """The natural at ``offset`` of ``data`` and the offset after it.

    Nothing is read at or after ``end``. An encoding that is longer than it need be is accepted.

    :raises ValueError: if the natural does not end before ``end``.
    """
    if offset >= end:
        raise ValueError(f"no natural at offset {offset}: the data ends at {end}")
    first = data[offset]
    following = 8 - (first ^ 0xFF).bit_length()
    after = offset + 1 + following
    if after > end:
        raise ValueError(f"the natural at offset {offset} is cut short: the data ends at {end}")
    high = first - (256 - (1 << 8 - following))
    return high << 8 * following | int.from_bytes(data[offset + 1 : after], "little"), after
