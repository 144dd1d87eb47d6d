# What processors can do and C has no word for. Part of _kernel.pyx.

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define leading_zeros __builtin_clzll
    #else
    static int leading_zeros(unsigned long long number) {
        int zeros = 63;
        while (number >>= 1)
            zeros--;
        return zeros;
    }
    #endif
    """
    int leading_zeros(uint64_t number) noexcept nogil   # of a number that is not zero
