"""Who is told of commits before they are tried."""

from __future__ import annotations


class Listener:
    """Who is told of commits; by itself it wants to know nothing."""

    def tell(self) -> None:
        """A commit is about to be tried, or it is known how one went: see ``status``."""

    async def heard(self) -> None:
        """Wait until that is known, whatever becomes of this process."""

    def over(self) -> None:
        """This process can write no more, but another that begins anew can."""
