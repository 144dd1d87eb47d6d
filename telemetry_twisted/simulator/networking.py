"""How validators connect to one another, and do not (JIP-3 20-28, 60, 61)."""

from __future__ import annotations

from .chains import FAILURE, SUCCESS, Chain
from .context import Context, peer_address
from .schedule import Event, Exchange


def connect(context: Context, time: int, fate: str) -> Exchange:
    """Connect to a peer, or be connected to; open a block announcement stream and lose it all."""
    index, peer_id = context.random.choice(context.peers)
    outwards = fate.startswith("out")
    address = peer_address(index)
    if outwards:
        details = {"peer_id": peer_id, "peer_address": address}
        connecting = Event(time, "ConnectingOut", {"to": details}, Chain("ConnectingOut"))
    else:
        connecting = Event(time, "ConnectingIn", {"from": address}, Chain("ConnectingIn"))
    chain = connecting.chain
    connecting_id = {"connecting_id": (yield connecting)}
    time = context.after(time)
    if fate.endswith("failed"):
        name = "ConnectOutFailed" if outwards else "ConnectInFailed"
        reason = context.random.choice(
            ("handshake failed", "timed out", "certificate is not valid")
        )
        yield Event(time, name, {**connecting_id, "reason": reason}, chain, FAILURE)
        return
    if outwards:
        yield Event(time, "ConnectedOut", connecting_id, chain, SUCCESS)
    else:
        connected = {**connecting_id, "peer_id": peer_id}
        yield Event(time, "ConnectedIn", connected, chain, SUCCESS)
    side = "Local" if outwards else "Remote"
    time = context.after(time)
    opened = {"peer": peer_id, "opener": side}
    opened_id = yield Event(time, "BlockAnnouncementStreamOpened", opened)
    stream = {"opened_id": opened_id} if context.version >= 1 else {"peer": peer_id}
    closed = {**stream, "closer": side, "reason": context.reason()}
    time = context.after(time)
    yield Event(time, "BlockAnnouncementStreamClosed", closed)
    terminator = context.random.choice((None, "Local", "Remote"))
    lost = {"peer": peer_id, "terminator": terminator, "reason": context.reason()}
    yield Event(context.after(time, 16_000), "Disconnected", lost)


def refuse(context: Context, time: int, _fate: str) -> Exchange:
    index, _ = context.random.choice(context.peers)
    yield Event(time, "ConnectionRefused", {"from": peer_address(index)})


def misbehave(context: Context, time: int, fate: str) -> Exchange:
    yield Event(time, "PeerMisbehaved", {"peer": context.peer(), "reason": fate})
