"""Logging that stays readable whatever nodes do."""

from __future__ import annotations

from typing import cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, Logger, formatEvent

from telemetry_twisted.quiet import QuietLog


class Scene:
    def __init__(self) -> None:
        self.events: list[LogEvent] = []
        self.clock = Clock()
        self.log = QuietLog(
            Logger(namespace="test", observer=cast(ILogObserver, self.events.append)), self.clock
        )

    def texts(self) -> list[str]:
        """What was logged since the last call."""
        texts = [formatEvent(event) for event in self.events]
        self.events.clear()
        return texts


def test_the_first_of_a_kind_are_logged_and_the_others_counted() -> None:
    scene = Scene()
    for number in range(12):
        scene.log.warn("node {number} is odd", number=number)
        scene.clock.advance(0.5)
    assert scene.texts() == [f"node {number} is odd" for number in range(5)]
    scene.clock.advance(10)
    assert scene.texts() == ["7 more like these within 10 s, the last of them: node 11 is odd"]
    scene.log.warn("node {number} is odd", number=99)
    assert scene.texts() == ["node 99 is odd"]


def test_kinds_do_not_crowd_each_other_out() -> None:
    scene = Scene()
    for number in range(20):
        scene.log.warn("node {number} is odd", number=number)
    scene.log.warn("the sky falls")
    assert scene.texts()[-1] == "the sky falls"


def test_a_few_are_not_summed_up() -> None:
    scene = Scene()
    for number in range(5):
        scene.log.warn("node {number} is odd", number=number)
    scene.texts()
    scene.clock.advance(60)
    assert scene.texts() == []
    assert scene.clock.getDelayedCalls() == []


def test_what_a_node_sends_is_shown_as_it_is() -> None:
    scene = Scene()
    scene.log.warn("node {name} is odd", name="{evil}\n")
    assert scene.texts() == ["node {evil}\n is odd"]
