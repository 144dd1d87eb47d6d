"""Values as JSON text, for the kernel.

Each function writes at ``out`` and returns where the next byte goes. There must be room for what it
writes and ``SLACK`` bytes more, and as many bytes after a text that it copies: to copy whole blocks
is quicker than to count.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef uint8_t[256][4] ITEMS      # "0," to "255,"
cdef uint8_t[256] ITEM_SIZES
cdef uint8_t[256] ESCAPES       # 0: as it is, "u": by number, otherwise what follows the "\\"


cdef int fill_tables() except -1:
    for byte in range(256):
        item = b"%d," % byte
        memcpy(ITEMS[byte], <const char*> item, len(item))
        ITEM_SIZES[byte] = len(item)
        ESCAPES[byte] = c"u" if byte < 0x20 else 0
    for plain, escape in zip(b'"\\\b\f\n\r\t', b'"\\bfnrt'):
        ESCAPES[<uint8_t> plain] = escape
    return 0


fill_tables()


cdef inline char* put(char* out, const char* text, size_t size) noexcept nogil:
    """``size`` bytes of ``text``, in blocks: most texts are shorter than one."""
    cdef size_t copied = 0
    while True:
        memcpy(out + copied, text + copied, SLACK)
        copied += SLACK
        if copied >= size:
            return out + size


cdef inline uint64_t eight_digits(uint32_t value) noexcept nogil:
    """The decimal digits of ``value`` < 10^8 as bytes 0 to 9, the first in the lowest byte.

    Halves the number three times, each time in all lanes at once; a division by 100 or 10 is a
    multiplication and a shift that are exact for numbers as small as there are in a lane.
    """
    cdef uint64_t fours = value // 10000 | <uint64_t> (value % 10000) << 32
    cdef uint64_t high = fours * 5243 >> 19 & 0x0000007F0000007FULL
    cdef uint64_t twos = high | (fours - 100 * high) << 16
    high = twos * 103 >> 10 & 0x000F000F000F000FULL
    return high | (twos - 10 * high) << 8


cdef inline char* put_decimal(char* out, uint64_t value) noexcept nogil:
    cdef uint64_t digits
    cdef int size
    if value >= 100000000:
        out = put_decimal(out, value // 100000000)
        digits = eight_digits(value % 100000000) | 0x3030303030303030ULL
        memcpy(out, &digits, 8)
        return out + 8
    size = (
        1 + (value > 9) + (value > 99) + (value > 999) + (value > 9999) + (value > 99999)
        + (value > 999999) + (value > 9999999)
    )
    digits = (eight_digits(value) | 0x3030303030303030ULL) >> 8 * (8 - size)
    memcpy(out, &digits, 8)
    return out + size


cdef inline uint8_t hex_digit(uint8_t value) noexcept nogil:
    return value + (c"a" - 10 if value > 9 else c"0")


cdef inline char* put_hex(char* out, const uint8_t* raw, size_t size) noexcept nogil:
    """``raw`` in hex. Arithmetic and no table, because compilers make vectors of this loop."""
    cdef size_t at
    for at in range(size):
        out[2 * at] = hex_digit(raw[at] >> 4)
        out[2 * at + 1] = hex_digit(raw[at] & 15)
    return out + 2 * size


cdef inline char* put_array(char* out, const uint8_t* raw, size_t size) noexcept nogil:
    """``raw`` as integers with commas between them."""
    cdef size_t at
    for at in range(size):
        memcpy(out, ITEMS[raw[at]], 4)
        out += ITEM_SIZES[raw[at]]
    return out - (size > 0)


cdef char* put_address(char* out, const uint8_t* raw) noexcept nogil:
    """The 16 bytes of an IPv6 address: RFC 5952, or a dotted quad if it is IPv4-mapped."""
    cdef int at, zeros = 0, most_zeros = 1, resume = -1
    cdef char[4] group
    if memcmp(raw, b"\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0:
        for at in range(12, 16):
            out = put_decimal(out, raw[at])
            out[0] = c"."
            out += 1
        return out - 1
    for at in range(8):
        zeros = 0 if raw[2 * at] | raw[2 * at + 1] else zeros + 1
        if zeros > most_zeros:
            most_zeros = zeros
            resume = at + 1
    for at in range(8):
        if at == resume - most_zeros:
            memcpy(out, b"::", 2)
            out += 2
        elif not resume - most_zeros < at < resume:
            if at != 0 and at != resume:
                out[0] = c":"
                out += 1
            put_hex(group, raw + 2 * at, 2)
            zeros = 0
            while zeros < 3 and group[zeros] == c"0":
                zeros += 1
            memcpy(out, group + zeros, 4 - zeros)
            out += 4 - zeros
    return out


cdef inline int character(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """How many bytes the UTF-8 character at ``at`` has.

    Negative if it is ill-formed: then that many bytes are its maximal subpart, which one U+FFFD
    replaces (Unicode, table 3-7 and section 3.9).
    """
    cdef uint8_t lead = at[0], lowest = 0x80, highest = 0xBF
    cdef int size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    cdef int seen
    if lead < 0xC2 or lead > 0xF4:
        return -1
    if lead == 0xE0:
        lowest = 0xA0
    elif lead == 0xED:
        highest = 0x9F
    elif lead == 0xF0:
        lowest = 0x90
    elif lead == 0xF4:
        highest = 0x8F
    for seen in range(1, size):
        if at + seen == end or not lowest <= at[seen] <= highest:
            return -seen
        lowest, highest = 0x80, 0xBF
    return size


cdef inline bint is_plain(const uint8_t* at) noexcept nogil:
    """Whether the next eight bytes are ASCII that JSON shows as it is."""
    cdef uint64_t ones = 0x0101010101010101ULL
    cdef uint64_t word, quote, backslash
    memcpy(&word, at, 8)
    quote = word ^ ones * c'"'
    backslash = word ^ ones * c"\\"
    return (
        word | word - ones * c" " | quote - ones & ~quote | backslash - ones & ~backslash
    ) & ones * 0x80 == 0


cdef char* put_string(char* out, const uint8_t* at, size_t size, bint* valid) noexcept nogil:
    """UTF-8 as the inside of a JSON string, ``valid`` or mended: at most six times ``size``."""
    cdef const uint8_t* end = at + size
    cdef uint8_t escape
    cdef int length
    valid[0] = True
    while at < end:
        if end - at >= 8 and is_plain(at):
            memcpy(out, at, 8)
            out += 8
            at += 8
        elif at[0] >= 0x80:
            length = character(at, end)
            if length > 0:
                memcpy(out, at, length)
                out += length
                at += length
            else:
                valid[0] = False
                memcpy(out, b"\xef\xbf\xbd", 3)
                out += 3
                at -= length
        else:
            escape = ESCAPES[at[0]]
            if escape == 0:
                out[0] = at[0]
                out += 1
            else:
                out[0] = c"\\"
                out[1] = escape
                out += 2
            if escape == c"u":
                memcpy(out, b"00", 2)
                out = put_hex(out + 2, at, 1)
            at += 1
    return out
