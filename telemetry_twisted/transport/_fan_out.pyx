# cython: language_level=3, boundscheck=False, wraparound=False
"""The compiled ``fan_out.send_to_all``: what it is given lies still while the system reads it.

The interpreter's lock is held neither while the system copies nor between two sockets: descriptors
and pieces are taken down before, and what became of each socket is told afterwards.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EINTR, errno
from libc.stdlib cimport free, malloc

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    ssize_t writev(int descriptor, const iovec *pieces, int count)


def send_to_all(const int[::1] descriptors, pieces, /):
    """As ``fan_out.SendToAll`` says."""
    cdef Py_ssize_t sockets = descriptors.shape[0], place, size = 0
    cdef int count = len(pieces), held = 0
    cdef Py_buffer *views = <Py_buffer *> malloc(count * sizeof(Py_buffer) + 1)
    cdef iovec *parts = <iovec *> malloc(count * sizeof(iovec) + 1)
    cdef ssize_t *taken = <ssize_t *> malloc(sockets * sizeof(ssize_t) + 1)
    cdef bint complete = True
    cdef list behind = []
    try:
        if views == NULL or parts == NULL or taken == NULL:
            raise MemoryError
        for piece in pieces:
            PyObject_GetBuffer(piece, &views[held], PyBUF_SIMPLE)
            parts[held].iov_base = views[held].buf
            parts[held].iov_len = views[held].len
            size += views[held].len
            held += 1
        with nogil:
            for place in range(sockets):
                taken[place] = _send(descriptors[place], parts, count)
                complete = complete and taken[place] == size
        if not complete:
            for place in range(sockets):
                if taken[place] != size:
                    behind.append((place, taken[place]))
        return behind
    finally:
        while held:
            held -= 1
            PyBuffer_Release(&views[held])
        free(views)
        free(parts)
        free(taken)


cdef ssize_t _send(int descriptor, const iovec *parts, int count) noexcept nogil:
    """Bytes taken, or the number of the error, negated."""
    cdef ssize_t taken
    while True:
        taken = writev(descriptor, parts, count)
        if taken >= 0:
            return taken
        if errno != EINTR:
            return -errno
