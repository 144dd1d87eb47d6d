# Frames of a node: u32 little-endian length, then that many content bytes (JIP-3).
# Part of _kernel.pyx.

cdef enum:
    DROPPED = 0             # discriminator of the event that counts for more than one
    DROPPED_BYTES = 25      # shortest content of it that decodes
    NOT_WHOLE = -1          # frame_size: the frame does not end in the data
    TOO_LONG = -2           # frame_size: it announces more than is taken


cdef inline int64_t frame_size(Content at, Content end, uint32_t most) noexcept nogil:
    """The size of the content of the frame at ``at``, or ``NOT_WHOLE`` or ``TOO_LONG``."""
    cdef uint32_t size
    if end - at < LENGTH_BYTES:
        return NOT_WHOLE
    memcpy(&size, at, LENGTH_BYTES)
    if size > most:
        return TOO_LONG
    if end - at - LENGTH_BYTES < size:
        return NOT_WHOLE
    return size


cdef inline uint64_t ids_used(Content content, int64_t size) noexcept nogil:
    """How many event IDs a message takes (JIP-3, Event IDs)."""
    cdef uint64_t num = 1
    if size >= DROPPED_BYTES and content[8] == DROPPED:
        memcpy(&num, content + DROPPED_NUM, 8)
    return num


cdef int read_from(Frames* frames, bytes data, Py_ssize_t start) except -1:
    """Let ``frames`` be those of ``data`` from offset ``start`` on."""
    if not 0 <= start <= len(data):
        raise ValueError(f"start is {start}; it must lie in the {len(data)} bytes of data")
    frames.at = <const uint8_t*> PyBytes_AS_STRING(data) + start
    frames.end = frames.at + (len(data) - start)
    return 0
