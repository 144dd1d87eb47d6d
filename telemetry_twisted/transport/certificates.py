"""Which files TLS is spoken with; :mod:`.tls` reads them, and needs OpenSSL for it."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen


@frozen
class CertificateFiles:
    """Where a key and the certificates for it are, as an ``ssl:`` endpoint of Twisted names them.

    ``certificate`` may hold those that it was issued by as well, as may ``chain``.
    """

    private_key: str
    certificate: str
    chain: str | None = None
    dh_parameters: str | None = None

    @property
    def paths(self) -> Sequence[str]:
        """All of the files."""
        every = (self.private_key, self.certificate, self.chain, self.dh_parameters)
        return [path for path in every if path is not None]
