"""What the hub and an ingestion process agree on before there is a link between them."""

from __future__ import annotations

import ujson
from attrs import asdict, frozen

from telemetry_twisted.transport.certificates import CertificateFiles

LISTEN_FD = 4
"""Descriptor of the listening socket that all ingestion processes share."""


@frozen
class Settings:
    """What the hub tells an ingestion process when it starts it.

    ``first_id`` and ``id_step`` make ids unique over all processes; ``rate_limit`` is in events per
    second per node, 0 for none; ``most_silent`` bounds the connections that have not introduced
    themselves; ``history`` says whether counts, facts and node states are wanted; ``certificates``
    are what TLS is spoken with, None where it is not; ``networks`` are those that nodes may connect
    from, as :meth:`.Networks.parse` reads them, empty for all.
    """

    first_id: int
    id_step: int
    codec: str
    byte_arrays: bool
    max_message_size: int
    rate_limit: int
    most_silent: int
    history: bool
    certificates: CertificateFiles | None = None
    networks: str = ""

    def encode(self) -> str:
        """The settings as one command line argument."""
        return ujson.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Settings:
        """The settings in a command line argument."""
        settings = ujson.loads(text)
        if settings["certificates"] is not None:
            settings["certificates"] = CertificateFiles(**settings["certificates"])
        return cls(**settings)
