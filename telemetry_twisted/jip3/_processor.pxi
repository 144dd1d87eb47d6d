# What processors can do and C has no word for. Part of _kernel.pyx.

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define leading_zeros __builtin_clzll
    #define fetch_ahead(at) __builtin_prefetch(at)
    #else
    static int leading_zeros(unsigned long long number) {
        int zeros = 63;
        while (number >>= 1)
            zeros--;
        return zeros;
    }
    #define fetch_ahead(at) ((void) (at))
    #endif
    """
    int leading_zeros(uint64_t number) noexcept nogil   # of a number that is not zero
    void fetch_ahead(const void* at) noexcept nogil     # what will be read soon
