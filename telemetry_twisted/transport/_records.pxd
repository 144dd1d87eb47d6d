# cython: language_level=3
"""How records lie in memory, for what reads and what writes them; records.py says what is in them."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef packed struct Prefix:  # as records.PREFIX packs it
    uint32_t length         # of what follows
    uint8_t kind


cdef packed struct Head:    # as Chunk.encode packs it
    uint64_t first_id
    uint64_t received
    uint64_t read
    uint16_t count
    uint16_t runs
    uint32_t size           # of the events


cdef packed struct Run:     # as records.encode_runs packs it
    uint16_t handle
    uint16_t count
