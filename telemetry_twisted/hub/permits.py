"""Permits to accept: how processes that share a listening socket get even shares of connections.

All ingestion processes listen on one socket, and whoever is quickest would get most. So each
accepts only as many connections as it holds permits for. The hub gives permits to those that have
fewest connections, a few at a time, and more when a process tells that it has spent one. No
connection passes through the hub, and none waits in a process that is dead or stopped.

This is the reckoning alone: no socket, no clock.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define

CONNECTIONS_PER_PERMIT = 8
"""For so many connections that a process has on average, it may be one more ahead of another."""

MOST_AHEAD = 8
"""How many connections a process may be ahead of another, however many they have."""

MOST_PERMITS = 32
"""How many permits a process holds at once, at most: those that it spends in one round trip."""


class Holder(Protocol):
    """A process that accepts."""

    @property
    def accepts(self) -> bool:
        """Whether it can be expected to accept."""

    def permit(self, count: int) -> None:
        """Let it accept ``count`` connections more."""


@define
class _Account:
    """What a process has; ``heard`` says whether it has ever told something."""

    connections: int = 0
    permits: int = 0
    heard: bool = False
    passed_over: bool = False


class Permits:
    """Who has how many connections, and who may accept how many more.

    Between any two processes that accept, no more connections come than keep them within a few of
    one another: a process gets a permit while its connections and permits together are fewer than
    the connections of each other process and the lead that it may have, which is an eighth of
    an average share, at least 1 and at most :data:`MOST_AHEAD`.

    ``spent`` counts the permits that were spent on connections.

    :param most: connections and permits over all processes together, at most.
    """

    def __init__(self, most: int) -> None:
        self.spent = 0
        self._most = most
        self._accounts: dict[Holder, _Account] = {}

    def connections(self, holder: Holder) -> int:
        """How many connections ``holder`` has."""
        account = self._accounts.get(holder)
        return 0 if account is None else account.connections

    def permits(self, holder: Holder) -> int:
        """How many permits ``holder`` has not spent."""
        account = self._accounts.get(holder)
        return 0 if account is None else account.permits

    def join(self, holder: Holder) -> None:
        """A process has started, without connections or permits."""
        self._accounts[holder] = _Account()

    def leave(self, holder: Holder) -> None:
        """A process has ended; its connections and its permits are gone with it."""
        self._accounts.pop(holder, None)

    def accepted(self, holder: Holder) -> None:
        """It has spent a permit on a connection."""
        account = self._accounts[holder]
        account.permits -= 1
        account.connections += 1
        self.spent += 1
        self.heard(holder)

    def ended(self, holder: Holder) -> None:
        """One of its connections has ended."""
        self._accounts[holder].connections -= 1

    def returned(self, holder: Holder, count: int) -> None:
        """It has given ``count`` permits back."""
        self._accounts[holder].permits -= count
        self.heard(holder)

    def heard(self, holder: Holder) -> None:
        """It has told something, so it runs."""
        account = self._accounts.get(holder)
        if account is not None:
            account.heard = True
            account.passed_over = False

    def pass_over(self, starting: bool = False) -> None:
        """Connections wait, and those who have permits do not accept them: go on without those.

        They are not waited for until they are heard from. What they hold they may still spend.

        :param starting: pass over also those who have not been heard from yet.
        """
        for account in self._accounts.values():
            if account.permits and (account.heard or starting):
                account.passed_over = True

    def give(self) -> None:
        """Give permits to those who should have more."""
        accepting = {
            holder: account
            for holder, account in self._accounts.items()
            if holder.accepts and not account.passed_over
        }
        if not accepting:
            return
        room = self._most - sum(
            account.connections + account.permits for account in self._accounts.values()
        )
        ordered = sorted(account.connections for account in accepting.values())
        fewest, next_fewest = (*ordered, MOST_PERMITS + ordered[0])[:2]
        lead = min(max(1, sum(ordered) // len(ordered) // CONNECTIONS_PER_PERMIT), MOST_AHEAD)
        gifts = []
        for holder, account in accepting.items():
            others = next_fewest if account.connections == fewest else fewest
            # Those who are alone with the fewest may go up to the next.
            free = min(others + lead - account.connections, MOST_PERMITS) - account.permits
            gifts += [(account.connections + account.permits + n, holder) for n in range(free)]
        gifts.sort(key=lambda gift: gift[0])
        given: dict[Holder, int] = {}
        for _, holder in gifts[: max(0, room)]:
            given[holder] = given.get(holder, 0) + 1
        for holder, count in given.items():
            self._accounts[holder].permits += count
            holder.permit(count)
