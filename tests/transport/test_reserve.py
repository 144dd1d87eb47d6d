"""Descriptors that are there when they are needed."""

from __future__ import annotations

import os
import resource

from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.transport.reserve import DescriptorReserve


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class DescriptorReserveTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.before = open_descriptors()
        self.reserve = DescriptorReserve(5)
        self.addCleanup(self.reserve.close)

    @property
    def held(self) -> int:
        return open_descriptors() - self.before

    def test_it_holds_as_many_as_it_is_told(self) -> None:
        self.assertEqual(self.held, 0)
        self.reserve.fill()
        self.reserve.fill()
        self.assertEqual(self.held, 5)
        self.reserve.close()
        self.assertEqual(self.held, 0)

    def test_what_is_lent_can_be_used_where_there_are_no_others(self) -> None:
        self.reserve.fill()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        highest = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, limits[1]))
        taken: list[int] = []
        with self.assertRaises(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        with self.reserve.lent():
            pair = os.pipe()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in (*taken, *pair):
            os.close(descriptor)
        self.assertEqual(self.held, 3)
        self.reserve.fill()
        self.assertEqual(self.held, 5)
