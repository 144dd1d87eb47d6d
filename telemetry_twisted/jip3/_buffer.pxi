# Buffers that grow, of plain memory or of a bytes object that is handed out as it is.
# Part of _kernel.pyx.

cdef extern from "Python.h":
    PyObject* new_bytes "PyBytes_FromStringAndSize" (const char*, Py_ssize_t)
    char* start_of_bytes "PyBytes_AS_STRING" (PyObject*)
    int _PyBytes_Resize(PyObject**, Py_ssize_t) except -1
    void PyErr_Clear() noexcept
    void Py_XDECREF(PyObject*) noexcept

cdef enum:
    KEPT = 1 << 20          # most bytes that a buffer holds on to from one call to the next


cdef bint make_room(Buffer* buffer, uint64_t more) noexcept nogil:
    """Let ``buffer`` take ``more`` bytes beyond those in use; False if there is no memory."""
    cdef uint64_t needed = buffer.size + more
    cdef char* start
    if needed <= buffer.capacity:
        return True
    needed = max(needed, 2 * <uint64_t> buffer.capacity)
    if needed > UINT32_MAX or needed > SIZE_MAX // 2:
        return False
    if buffer.object != NULL:
        with gil:
            return make_room_in_bytes(buffer, needed)
    start = <char*> realloc(buffer.start, needed + SLACK)
    if start == NULL:
        return False
    buffer.start = start
    buffer.capacity = needed
    return True


cdef void release(Buffer* buffer) noexcept nogil:
    if buffer.object != NULL:
        with gil:
            Py_XDECREF(buffer.object)
    else:
        free(buffer.start)
    buffer[0] = Buffer(NULL, 0, 0, NULL)


cdef bytes taken(Buffer* buffer):
    """The bytes in use, as an object. The buffer does not hold on to much memory."""
    cdef bytes result = PyBytes_FromStringAndSize(buffer.start, buffer.size)
    if buffer.capacity > KEPT:
        release(buffer)
    return result


cdef bint begin_bytes(Buffer* buffer, size_t capacity) noexcept:
    """Make ``buffer``, which is released, one of a bytes object; False if there is no memory."""
    buffer.object = new_bytes(NULL, capacity + SLACK)
    if buffer.object == NULL:
        PyErr_Clear()
        return False
    buffer.start = start_of_bytes(buffer.object)
    buffer.size = 0
    buffer.capacity = capacity
    return True


cdef bint make_room_in_bytes(Buffer* buffer, size_t capacity) noexcept:
    # Not by PyBytes_Resize: if that fails, what is written is lost.
    cdef Buffer larger
    if not begin_bytes(&larger, capacity):
        return False
    memcpy(larger.start, buffer.start, buffer.size)
    larger.size = buffer.size
    Py_XDECREF(buffer.object)
    buffer[0] = larger
    return True


cdef bytes end_bytes(Buffer* buffer):
    """The object whose memory was written to, cut to the bytes in use; ``buffer`` is released."""
    cdef PyObject* object = buffer.object
    cdef Py_ssize_t size = buffer.size
    buffer[0] = Buffer(NULL, 0, 0, NULL)
    _PyBytes_Resize(&object, size)
    result = <bytes> object
    Py_XDECREF(object)
    return result
