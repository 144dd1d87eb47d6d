"""Each guarantee that is sent to a node arrives there, while it is sent."""

from __future__ import annotations

from collections import defaultdict

import pytest

from telemetry_twisted.simulator import Network
from telemetry_twisted.simulator.play import play
from telemetry_twisted.simulator.troubles import SLOW_GUARANTOR

Receipts = defaultdict[tuple[str, str, str], list[tuple[int, int, str]]]
"""By recipient, sender and report or reason: when it began and ended to be sent or received."""


def sent_and_received(network: Network) -> tuple[Receipts, Receipts]:
    """What nodes sent to others, and what these received."""
    sent: Receipts = defaultdict(list)
    received: Receipts = defaultdict(list)
    open: dict[tuple[int, int], tuple[int, str, str]] = {}
    built: dict[tuple[int, int], str] = {}
    for time, node, event_id, name, fields in play(network):
        own = network.node_id(node)
        if name == "GuaranteeBuilt":
            built[node, event_id] = fields["outline"]["work_report_hash"]
        elif name == "SendingGuarantee":
            report = built[node, fields["built_id"]]
            open[node, event_id] = time, fields["recipient"].removeprefix("0x"), report
        elif name in ("GuaranteeSent", "GuaranteeSendFailed"):
            began, recipient, report = open.pop((node, fields["sending_id"]))
            what = fields.get("reason", report)
            sent[recipient, own, what].append((began, time, name))
        elif name == "ReceivingGuarantee":
            open[node, event_id] = time, fields["sender"].removeprefix("0x"), ""
        elif name in ("GuaranteeReceived", "GuaranteeReceiveFailed"):
            began, sender, _ = open.pop((node, fields["receiving_id"]))
            what = fields["reason"] if "reason" in fields else fields["outline"]["work_report_hash"]
            received[own, sender, what].append((began, time, name))
    return sent, received


@pytest.mark.parametrize("trouble", [(), (SLOW_GUARANTOR,)])
def test_what_is_sent_arrives(trouble: tuple[str, ...]) -> None:
    network = Network(nodes=12, cores=4, seed=8, rate=40, duration=40, drops=0, trouble=trouble)
    sent, received = sent_and_received(network)
    nodes = {network.node_id(index) for index in range(network.nodes)}
    last = network.start + 36_000_000  # some end before what they are sent arrives
    number = 0
    for key, times in sent.items():
        if key[0] in nodes:
            for began, ended, name in times:
                if ended < last:
                    number += 1
                    assert any(
                        began < begins <= ends < ended and (name == "GuaranteeSent") == how
                        for begins, ends, what in received[key]
                        for how in [what == "GuaranteeReceived"]
                    ), (key, name)
    assert number > 30
