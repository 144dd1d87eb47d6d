"""How a question of the REST API is declared: beside what answers it, by the types of that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import signature
from typing import Any, TypeVar, get_type_hints

from attrs import field, frozen
from twisted.internet.defer import DeferredSemaphore

from telemetry_twisted.api.websocket.context import Gauges
from telemetry_twisted.clock import Now
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.read.networks import Network, find_network
from telemetry_twisted.store.read.nodes import node_number

from .asked import Asked
from .parameters import Parameter, parameters_of

MOST_SEARCHES = 2
"""How many look through raw events at once; others wait for them."""


class NotFound(Exception):
    """There is no such thing, and what it is."""


def unknown(node_id: str) -> NotFound:
    """What is told of a node that never connected."""
    return NotFound(f"there was never a node {node_id}")


@frozen
class Sources:
    """What answers come from: ``history``, and the ``live`` figures of the server.

    ``now`` tells Unix time; ``searches`` are those that look through raw events.
    """

    history: History
    live: Gauges
    now: Now
    searches: DeferredSemaphore = field(factory=lambda: DeferredSemaphore(MOST_SEARCHES))

    @property
    def connected(self) -> set[str]:
        """The IDs of the nodes that are there now."""
        return set(self.live.stats()["connections"]["nodes"])

    async def number_of(self, node_id: str) -> int:
        """The number of a node in the database.

        :raises NotFound: if it never connected.
        """
        number = await node_number(self.history, node_id)
        if number is None:
            raise unknown(node_id)
        return number

    async def network_of(self, genesis: str | None) -> Network:
        """The network of a genesis hash, or else the one that a question is about that names none.

        :raises NotFound: if nothing was ever heard of it.
        """
        network = await find_network(self.history, genesis)
        if network is None:
            raise NotFound(f"nothing was ever heard of a network {genesis}")
        return network


A = TypeVar("A", bound=Asked)
Answering = Callable[[Sources, A], Awaitable[Any]]


@frozen
class Endpoint:
    """A path of the API: what may be ``asked`` there, and the type of what it is answered with.

    ``about`` says what the figures are made of, and how exact they are, where that is to be said.
    ``may_miss`` says whether there may be no such thing.
    """

    path: str
    title: str
    about: str
    asked: type[Asked]
    parameters: tuple[Parameter, ...]
    answered: Any
    answer: Answering[Any]
    may_miss: bool


def endpoint(path: str, may_miss: bool = False) -> Callable[[Answering[A]], Endpoint]:
    """Declares what is decorated as what answers at ``path``.

    The type of its second parameter declares what may be asked, that of its result what is
    answered; the first paragraph of its docstring says what that is, and what follows what it is
    made of.
    """

    def declare(answer: Answering[A]) -> Endpoint:
        hints = get_type_hints(answer)
        first, _, rest = (answer.__doc__ or "").partition("\n\n")
        title, about = " ".join(first.split()).rstrip("."), " ".join(rest.split())
        _, asked = (hints[name] for name in signature(answer).parameters)
        parameters = parameters_of(asked, path)
        return Endpoint(path, title, about, asked, parameters, hints["return"], answer, may_miss)

    return declare
