"""Chains of events, as exchanges mean them: which events belong together, and how that ends.

An exchange says of each event which chain it belongs to, and of the last one how the chain ended;
nothing is worked out from event IDs. So a server that follows the IDs can be held to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field

from .work import Report

SUCCESS, FAILURE, UNFINISHED = "success", "failure", "unfinished"
"""How a chain ends: by an event that says so, or without one."""


@define(eq=False)
class Chain:
    """A chain that begins with an event of the type named ``root``, inside its ``parent``.

    ``report`` is that of the work package that a guarantor's chain is about, ``block`` the header
    hash of what is authored or imported. The rest is what its events have told so far: ``times``
    when the last of each name was, ``core`` and ``services`` what the package is for,
    ``erasure_root`` what is fetched, ``outcome`` how it ended.
    """

    root: str
    parent: Chain | None = None
    report: Report | None = None
    block: bytes | None = None
    times: dict[str, int] = field(factory=dict, init=False)
    core: int | None = field(default=None, init=False)
    services: Sequence[int] = field(default=(), init=False)
    erasure_root: Any = field(default=None, init=False)
    outcome: str = field(default=UNFINISHED, init=False)
    top: Chain = field(init=False)
    """The outermost chain that it is in, which may be itself."""

    def __attrs_post_init__(self) -> None:
        self.top = self.parent.top if self.parent else self
