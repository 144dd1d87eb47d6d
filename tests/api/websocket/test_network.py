"""What subscribers are told of networks: all of it, then what has changed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.websocket.merge_patch import merge_patch
from telemetry_twisted.testing import MemoryTransport
from tests.api.websocket.stage import Stage, messages_in
from tests.api.websocket.test_subscriber import ask, types_of
from tests.examples import examples

NAMES = st.sampled_from("abcd")
VALUES = st.recursive(
    st.integers(0, 2) | st.booleans() | st.text("xy", max_size=1) | st.lists(st.none() | NAMES),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)


def patched(target: Any, patch: Any) -> Any:
    """What a client makes of a patch, as RFC 7396 (2) has it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), value)
    return result


@examples(200)
@given(OBJECTS, OBJECTS)
def test_a_patch_makes_one_object_of_another(before: Any, after: Any) -> None:
    patch = merge_patch(before, after)
    made = patched(before, patch)
    assert (made, repr(sorted(made))) == (after, repr(sorted(after)))
    assert not merge_patch(after, after)


class NetworkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Stage()
        self.gauges = self.stage.keep_history()
        self.gauges.networks = {"0x07": {"best": 1, "nodes": {"a": {"best": 1}, "b": {}}}}

    def told(self, wire: MemoryTransport) -> list[Any]:
        messages = messages_in(wire)
        self.assertEqual(types_of(messages), ["network"] * len(messages))
        return [message["data"] for message in messages]

    def enter(self) -> tuple[Any, MemoryTransport]:
        subscriber, wire = self.stage.enter()
        wire.frames()
        ask(subscriber, "SubscribeNetwork")
        return subscriber, wire

    def test_all_first_and_then_what_has_changed(self) -> None:
        subscriber, wire = self.enter()
        subscribed, first = messages_in(wire)
        self.assertEqual(subscribed["type"], "network_subscribed")
        self.assertEqual(first["type"], "network")
        self.assertEqual(first["data"], {"snapshot": True, "networks": self.gauges.networks})
        self.stage.time.pump([1] * 5)
        self.assertEqual(self.told(wire), [])
        self.gauges.networks = {"0x07": {"best": 2, "nodes": {"a": {"best": 2}}}}
        self.stage.time.advance(1)
        changed = {"best": 2, "nodes": {"a": {"best": 2}, "b": None}}
        self.assertEqual(self.told(wire), [{"snapshot": False, "networks": {"0x07": changed}}])
        self.gauges.networks = {}
        self.stage.time.advance(1)
        self.assertEqual(self.told(wire), [{"snapshot": False, "networks": {"0x07": None}}])
        ask(subscriber, "UnsubscribeNetwork")
        self.assertEqual(types_of(messages_in(wire)), ["network_unsubscribed"])
        self.gauges.networks = {"0x07": {}}
        self.stage.time.pump([1] * 5)
        self.assertEqual(self.told(wire), [])
        self.assertEqual(self.stage.time.getDelayedCalls(), [])

    def test_it_is_made_once_for_all_by_one_timer(self) -> None:
        wires = [self.enter()[1] for _ in range(20)]
        self.assertEqual(len(self.stage.time.getDelayedCalls()), 1)
        for wire in wires:
            wire.frames()
        made = iter(range(1, 100))
        self.patch(self.gauges, "network", lambda: {"networks": {}, "made": next(made)})
        self.stage.time.advance(1)
        expected = [{"snapshot": False, "networks": {"0x07": None}, "made": 1}]
        self.assertEqual([self.told(wire) for wire in wires], [expected] * 20)

    def test_who_comes_between_is_told_what_changes_are_told_of(self) -> None:
        self.enter()
        self.gauges.networks = {"0x07": {"best": 2, "nodes": {}}}
        _, wire = self.enter()
        data = messages_in(wire)[1]["data"]
        self.stage.time.advance(1)
        (change,) = self.told(wire)
        self.assertEqual(patched(data, change)["networks"], self.gauges.networks)

    def test_who_does_not_keep_up_is_told_all_anew_and_nothing_piles_up(self) -> None:
        _, wire = self.enter()
        wire.frames()
        wire.fill()
        for best in range(2, 30):
            self.gauges.networks = {"0x07": {"best": best, "nodes": {}}}
            self.stage.time.advance(1)
        wire.drain()
        before = self.told(wire)
        self.assertLessEqual(len(before), 1)
        self.gauges.networks = {"0x07": {"best": 30, "nodes": {}}}
        self.stage.time.advance(1)
        expected = [{"snapshot": True, "networks": self.gauges.networks}]
        self.assertEqual(self.told(wire), expected)

    def test_who_leaves_is_told_no_more(self) -> None:
        subscriber, _ = self.enter()
        subscriber.gone()
        self.assertEqual(self.stage.time.getDelayedCalls(), [])

    def test_without_history_it_says_why_not(self) -> None:
        self.stage.gauges = self.stage.metrics = self.stage.network = None
        subscriber, wire = self.stage.enter()
        wire.frames()
        for request in ("SubscribeNetwork", "UnsubscribeNetwork"):
            ask(subscriber, request)
            (error,) = messages_in(wire)
            self.assertEqual(error["type"], "error")
            self.assertEqual(error["data"]["request"], request)
            self.assertIn("--no-database", error["data"]["message"])

    def test_a_mistake_in_telling_one_ends_that_one(self) -> None:
        subscriber, _ = self.enter()
        _, wire = self.enter()
        wire.frames()
        self.patch(subscriber.stream, "tell_raw", lambda *_: 1 / 0)
        self.gauges.networks = {}
        self.stage.time.advance(1)
        self.assertEqual(len(self.told(wire)), 1)
        self.assertEqual(self.stage.errors.counts, {"subscriber": 1})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
