"""The questions that the REST API answers: what each takes, and how it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen
from twisted.internet.defer import DeferredSemaphore

from telemetry_twisted import __version__
from telemetry_twisted.api.websocket.context import Gauges
from telemetry_twisted.api.websocket.frames import recent_event
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.read.browse import Wanted
from telemetry_twisted.store.read.history import History
from telemetry_twisted.timestamps import rfc3339

from . import schemas
from .parameters import (
    AFTER,
    BLOCK_KIND,
    CONNECTED,
    FAULT_KIND,
    FROM,
    GROUP,
    GROUP_BY,
    IMPLEMENTATION,
    LIMIT,
    NODE,
    NODE_IN_PATH,
    NODES,
    PLACE,
    SLOT_IN_PATH,
    TO,
    TYPE,
    BadRequest,
    Parameter,
    read_range,
    read_types,
)

Values = dict[str, Any]


MOST_SEARCHES = 2
"""How many look through raw events at once; others wait for them."""


class NotFound(Exception):
    """There is no such thing, and what it is."""


class Encoded(bytes):
    """An answer that is JSON already."""


@frozen
class Endpoint:
    """A path of the API, with what may be asked there and the schema of the answer.

    ``answer`` makes the answer of the values of the parameters; ``may_miss`` says whether there may
    be no such thing.
    """

    path: str
    title: str
    parameters: tuple[Parameter, ...]
    schema: schemas.Schema
    answer: Callable[[Values], Awaitable[Any]]
    may_miss: bool = False


class Answers:
    """Answers from ``history`` and from the server's ``live`` figures.

    :param now: tells Unix time.
    """

    def __init__(self, history: History, live: Gauges, now: Callable[[], float]) -> None:
        self._history = history
        self._live = live
        self._now = now
        self._searches = DeferredSemaphore(MOST_SEARCHES)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All that can be asked."""
        span = (FROM, TO)
        return (
            Endpoint(
                "/api/health/detailed",
                "How the server and each of its parts fares",
                (),
                schemas.HEALTH,
                self.health,
            ),
            Endpoint(
                "/api/stats",
                "What the server holds and has done",
                (),
                schemas.STATS,
                self.stats,
            ),
            Endpoint(
                "/api/network",
                "The network as its nodes tell of it",
                (),
                schemas.NETWORK,
                self.network,
            ),
            Endpoint(
                "/api/nodes",
                "The nodes, in the order in which they first came",
                (CONNECTED, IMPLEMENTATION, LIMIT, AFTER),
                schemas.NODES,
                self.nodes,
            ),
            Endpoint(
                "/api/nodes/{node_id}",
                "All that is known of a node",
                (NODE_IN_PATH,),
                schemas.NODE,
                self.node,
                may_miss=True,
            ),
            Endpoint(
                "/api/nodes/{node_id}/events",
                "Raw events of a node, the newest first",
                (NODE_IN_PATH, TYPE, GROUP, *span, LIMIT, PLACE),
                schemas.EVENTS,
                self.events,
                may_miss=True,
            ),
            Endpoint(
                "/api/nodes/{node_id}/timeline",
                "What a node sent, its state, and its connections over time",
                (NODE_IN_PATH, *span),
                schemas.TIMELINE,
                self.timeline,
                may_miss=True,
            ),
            Endpoint(
                "/api/events",
                "Raw events, the newest first; a page may be short though there are more",
                (TYPE, GROUP, NODE, *span, LIMIT, PLACE),
                schemas.EVENTS,
                self.events,
                may_miss=True,
            ),
            Endpoint(
                "/api/event-types",
                "The types of events, and how often each came",
                span,
                schemas.EVENT_TYPES,
                self.event_types,
            ),
            Endpoint(
                "/api/slots/{slot}",
                "How the blocks of a slot spread over the nodes",
                (SLOT_IN_PATH,),
                schemas.SLOT,
                self.slot,
                may_miss=True,
            ),
            Endpoint(
                "/api/blocks/propagation",
                "How fast blocks spread over the nodes: slot by slot for up to an hour, in windows "
                "beyond it",
                (BLOCK_KIND, *span),
                schemas.PROPAGATION,
                self.propagation,
            ),
            Endpoint(
                "/api/failures",
                "Events that report a failure, by type and reason, the most frequent first",
                (TYPE, GROUP, *span, LIMIT, AFTER),
                schemas.FAILURES,
                self.failures,
            ),
            Endpoint(
                "/api/protocol-errors",
                "What nodes got wrong, the most frequent first, with the first of the last bytes",
                (NODE, FAULT_KIND, *span, LIMIT, AFTER),
                schemas.PROTOCOL_ERRORS,
                self.protocol_errors,
                may_miss=True,
            ),
            Endpoint(
                "/api/metrics/live",
                "The figures of this moment",
                (),
                schemas.METRICS,
                self.metrics,
            ),
            Endpoint(
                "/api/metrics/timeseries",
                "Events over time, by type, group or node, at a resolution that follows the range",
                (GROUP_BY, TYPE, GROUP, NODES, *span),
                schemas.TIMESERIES,
                self.timeseries,
                may_miss=True,
            ),
        )

    async def health(self, _: Values) -> dict[str, Any]:
        metrics = self._live.metrics()
        problems = self._live.problems()
        problems += [alert["message"] for alert in self._live.alerts()["alerts"]]
        store = metrics["store"]["state"]
        if store not in ("ok", "starting"):
            problems.append(f"history is not written as it should: the store is {store}")
        return {
            "status": "degraded" if problems else "ok",
            "service": "telemetry-twisted",
            "version": __version__,
            "problems": problems,
            "metrics": metrics,
        }

    async def stats(self, _: Values) -> dict[str, Any]:
        return {
            "server": self._live.stats(),
            "history": await self._history.totals_of_history(),
        }

    async def metrics(self, _: Values) -> dict[str, Any]:
        return self._live.metrics()

    async def network(self, _: Values) -> dict[str, Any]:
        return await self._history.network(self._connected())

    def _connected(self) -> set[str]:
        return set(self._live.stats()["connections"]["nodes"])

    async def nodes(self, values: Values) -> dict[str, Any]:
        connected = self._connected()
        page = await self._history.nodes(
            values["cursor"],
            values["limit"],
            connected,
            values["connected"],
            values["implementation"],
        )
        nodes = [{**row, "connected": row["node_id"] in connected} for row in page.rows]
        return {"nodes": nodes, "next": page.next}

    async def node(self, values: Values) -> dict[str, Any]:
        node = await self._history.node(await self._number(values["node_id"]))
        return {**node, "connected": node["node_id"] in self._connected()}

    async def _number(self, node_id: str) -> int:
        number = await self._history.node_number(node_id)
        if number is None:
            raise NotFound(f"there was never a node {node_id}")
        return number

    async def timeline(self, values: Values) -> dict[str, Any]:
        begin, end = read_range(values, self._now())
        number = await self._number(values["node_id"])
        timeline = await self._history.timeline(number, begin, end)
        return {"node_id": values["node_id"], **timeline}

    async def events(self, values: Values) -> Encoded:
        begin, end = read_range(values, self._now())
        node_id = values.get("node_id") or values.get("node")
        node = await self._number(node_id) if node_id else None
        wanted = Wanted(node, read_types(values), int(begin * 1_000_000), int(end * 1_000_000))
        async with self._searches:
            found = await self._history.browse(wanted, values["cursor"], values["limit"])
        sampled = await self._history.raw_share(begin, end)
        head = b'{"from":"%b","to":"%b","count":%d,"sampled":{"seen":%d,"kept":%d},"events":[' % (
            rfc3339(begin).encode(),
            rfc3339(end).encode(),
            len(found.messages),
            sampled["seen"],
            sampled["kept"],
        )
        after = b"null" if found.next is None else f'"{found.next}"'.encode()
        events = b",".join(map(recent_event, found.messages))
        return Encoded(b'%b%b],"next":%b}' % (head, events, after))

    async def event_types(self, values: Values) -> dict[str, Any]:
        begin, end = read_range(values, self._now())
        totals = await self._history.totals(begin, end)
        return {
            "from": rfc3339(begin),
            "to": rfc3339(end),
            "event_types": [
                {
                    "event_type": event.discriminator,
                    "name": event.name,
                    "group": event.group,
                    "has_reason": event.has_reason,
                    "count": totals.get(event.discriminator, 0),
                }
                for event in TABLE.events.values()
            ],
        }

    async def slot(self, values: Values) -> dict[str, Any]:
        slot = await self._history.slot(values["slot"])
        if slot is None:
            raise NotFound(f"no node has reported a block of slot {values['slot']}")
        return slot

    async def propagation(self, values: Values) -> dict[str, Any]:
        begin, end = read_range(values, self._now())
        return await self._history.propagation(begin, end, values["kind"])

    async def failures(self, values: Values) -> dict[str, Any]:
        begin, end = read_range(values, self._now())
        (first, last), page = await self._history.failures(
            begin, end, read_types(values), values["cursor"], values["limit"]
        )
        return {
            "from": rfc3339(first),
            "to": rfc3339(last),
            "failures": page.rows,
            "next": page.next,
        }

    async def protocol_errors(self, values: Values) -> dict[str, Any]:
        begin, end = read_range(values, self._now())
        node = await self._number(values["node"]) if values["node"] else None
        (first, last), page = await self._history.protocol_errors(
            begin, end, node, values["kind"], values["cursor"], values["limit"]
        )
        return {
            "from": rfc3339(first),
            "to": rfc3339(last),
            "protocol_errors": page.rows,
            "next": page.next,
        }

    async def timeseries(self, values: Values) -> dict[str, Any]:
        begin, end = read_range(values, self._now())
        wanted = dict.fromkeys(values["node"])
        nodes = [await self._number(node_id) for node_id in wanted] or None
        types = read_types(values)
        if values["group_by"] == "node":
            if types is not None:
                raise BadRequest("type and group go with group_by=type or group_by=group only")
            return await self._history.by_node(begin, end, nodes)
        by_group = values["group_by"] == "group"
        return await self._history.by_type(begin, end, types, nodes, by_group)
