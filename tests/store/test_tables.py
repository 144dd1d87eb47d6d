"""Queries take their columns from the tables' declarations."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.store.read.timeline import State
from telemetry_twisted.store.schema.tables import CONNECTIONS, STATE_COLUMNS


class TableTests(SynchronousTestCase):
    """What may be selected."""

    def test_columns_in_the_order_in_which_they_are_asked_for(self) -> None:
        self.assertEqual(
            CONNECTIONS.select("ended", "started"), "SELECT ended, started FROM connections"
        )

    def test_a_column_that_is_not_there_is_named(self) -> None:
        error = self.assertRaises(KeyError, CONNECTIONS.select, "started", "begun")
        self.assertEqual(error.args, ("connections has no begun",))

    def test_a_state_is_answered_with_all_that_is_kept_of_it(self) -> None:
        self.assertEqual({*State.__struct_fields__}, {"time", *STATE_COLUMNS})
