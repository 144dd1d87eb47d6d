"""By which names a server may be asked, so that no stranger's name leads a browser to it.

A page of ``evil.example`` may let its name resolve to 127.0.0.1 and then read what a server there
answers, because to the browser that is still ``evil.example`` (DNS rebinding). Its requests say so
in ``Host``. An address in ``Host`` is none that such a page could have chosen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from attrs import frozen

from telemetry_twisted.addresses import Address, read_address

_HOST = re.compile(r"(?:\[([0-9a-f:.%]+)\]|([^\[\]:@/]+))(?::(\d{0,5}))?", re.IGNORECASE | re.ASCII)

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)

LONGEST_NAME = 253
"""Characters in a host name (RFC 1035, 2.3.4)."""


@frozen
class Host:
    """A host, as ``Host`` and URLs name it.

    ``name`` is in lower case without a dot at the end, an address in its shortest form; ``address``
    is None where the host is named; ``port`` is None where none is told.
    """

    name: str
    address: Address | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Host:
        """The host in a ``Host`` header (RFC 9110, 7.2).

        :raises ValueError: if it names none.
        """
        match = _HOST.fullmatch(text)
        if match is None:
            raise ValueError("expected a host name or an address, and perhaps a port")
        port = int(match[3]) if match[3] else None
        if port is not None and port > 65535:
            raise ValueError("expected a port up to 65535")
        if match[1] is not None:
            address = read_address(match[1])
            return cls(str(address), address, port)
        name = match[2].lower()
        name = name[:-1] if name.endswith(".") else name
        try:
            return cls(str(read_address(name)), read_address(name), port)
        except ValueError:
            if len(name) > LONGEST_NAME or not all(map(_LABEL.fullmatch, name.split("."))):
                raise ValueError("expected a host name or an address") from None
            return cls(name, None, port)

    @property
    def shown(self) -> str:
        """The host as a URL names it, without its port."""
        return f"[{self.name}]" if ":" in self.name else self.name

    @property
    def is_local(self) -> bool:
        """Whether it means the machine itself wherever it is used, as no resolver can change."""
        if self.address is not None:
            return self.address.is_loopback or self.address.is_unspecified
        return self.name == "localhost" or self.name.endswith(".localhost")


class KnownHosts:
    """The names by which a server may be asked.

    :param names: further names than those of the machine itself that every machine has.
    :param public: those that the public knows it by, if there are any.
    """

    def __init__(self, names: Iterable[str], public: Sequence[Host] = ()) -> None:
        self._names = {name.lower().rstrip(".") for name in names}
        self._names.update(host.name for host in public)
        self._is_public = bool(public)

    def includes(self, host: Host, local: Address | None) -> bool:
        """Whether ``host`` may be asked for over a connection to the address ``local``.

        That is None over a unix socket, which no browser reaches by itself: there every name is
        good, unless the public knows the server by one, which is then what a proxy passes on.
        """
        if host.is_local or host.name in self._names:
            return True
        if local is None:
            return not self._is_public
        return host.address == local
