"""How validators announce, fetch and serve preimages (JIP-3 190-199)."""

from __future__ import annotations

from .blockchain import digest
from .context import Context
from .requests import PREIMAGE, Asked
from .schedule import Event, Exchange


def _preimage(context: Context) -> dict[str, object]:
    number = context.random.randrange(256)
    length = {"length": 64 + 37 * number}
    return {"service": 1 + number, "hash": digest(context.seed, "preimage", number), **length}


def announce_preimage(context: Context, time: int, fate: str) -> Exchange:
    peer = {"peer": context.peer(), "announcer": context.random.choice(("Local", "Remote"))}
    preimage = _preimage(context)
    if fate == "failed":
        yield Event(time, "PreimageAnnouncementFailed", {**peer, "reason": context.reason()})
        return
    yield Event(time, "PreimageAnnounced", {**peer, **preimage})
    if fate != "done":
        forgotten = {**preimage, "reason": fate}
        yield Event(context.after(time, 4_000), "AnnouncedPreimageForgotten", forgotten)


def fetch_preimage(context: Context, time: int, fate: str) -> Exchange:
    preimage = _preimage(context)
    hashed, length = {"hash": preimage["hash"]}, {"length": preimage["length"]}
    time = yield from PREIMAGE.ask(
        context.random,
        time,
        {"recipient": context.peer(), **hashed},
        answer=length,
        fails=fate if fate in ("early", "late") else None,
    )
    if fate in ("ProvidedOnChain", "NotRequestedOnChain", "TooManyPreimages", "Other"):
        discarded = {**hashed, **length, "reason": fate}
        yield Event(context.after(time, 4_000), "PreimageDiscarded", discarded)


def serve_preimage(context: Context, time: int, fails: str | None) -> Asked:
    preimage = _preimage(context)
    return PREIMAGE.serve(
        context.random,
        time,
        {"sender": context.peer()},
        {"hash": preimage["hash"]},
        answer={"length": preimage["length"]},
        fails=fails,
    )
