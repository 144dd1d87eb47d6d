"""Who was let in, and what that lets them do."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from zope.interface import Attribute, Interface, implementer

from .tokens import Holder, Role

OPEN = frozenset({b"/api/health"})
"""Paths for which nobody needs a token: load balancers ask there."""

FOR_METRICS = frozenset({b"/metrics"})
"""Paths for which a token with the role ``metrics`` is enough, besides those that are open."""

TICKET_PATH = b"/api/ticket"
"""Where a token gets a ticket."""

READING = frozenset({b"GET", b"HEAD"})
"""Methods that change nothing."""


class IAdmission(Interface):
    """Who was let in with a request, which is a component of it from then on."""

    name = Attribute("Whose token it came with, or None where it came with none.")
    trusted = Attribute("Whether it may be told all: it came with a token, or none is asked for.")


@implementer(IAdmission)
@frozen
class Admission:
    """Who was let in."""

    name: str | None
    trusted: bool
    holder: Holder | None = None


def may_be_told_all(request: Any) -> bool:
    """Whether a path that is open to everybody may tell who asks ``request`` of what is wrong."""
    admission = request.getComponent(IAdmission)
    return admission is None or bool(admission.trusted)


def may(role: Role, method: bytes, path: bytes) -> bool:
    """Whether a token with ``role`` is enough to ask for ``path`` by ``method``.

    Paths are compared as they were sent, so that another spelling of an open path is not open.
    """
    return role is Role.READ or (method in READING and path in OPEN | FOR_METRICS)


def is_open(method: bytes, path: bytes) -> bool:
    """Whether nobody needs a token to ask for ``path`` by ``method``."""
    return method in READING and path in OPEN
