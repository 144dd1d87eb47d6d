# cython: language_level=3
"""What the compiled pool asks of the system."""

from libc.stdint cimport uint32_t

cdef extern from "<sys/socket.h>" nogil:
    enum:
        MSG_DONTWAIT, MSG_NOSIGNAL
    Py_ssize_t recv(int, void*, size_t, int)
    Py_ssize_t send(int, const void*, size_t, int)

cdef extern from "<sys/epoll.h>" nogil:
    enum:
        EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL,
        EPOLLIN, EPOLLPRI, EPOLLRDHUP, EPOLLET
    ctypedef union epoll_data_t:
        void* ptr
        int fd
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int)
    int epoll_ctl(int, int, int, epoll_event*)
    int epoll_wait(int, epoll_event*, int, int)

cdef extern from "<unistd.h>" nogil:
    int close(int)
