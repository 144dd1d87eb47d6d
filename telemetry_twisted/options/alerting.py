"""The options that say when there are alerts, and who is told of them."""

from __future__ import annotations

from telemetry_twisted.reading import whole_number

from .parameter import Parameter
from .readers import receivers, secret_file

_COUNT = whole_number(0, 1_000_000_000)

ALERTS: list[Parameter] = [
    Parameter(
        "alert-node-gone", "30", _COUNT, "Alert when a node has been gone for so many seconds."
    ),
    Parameter(
        "alert-not-synced", "60", _COUNT, "Alert when a node is out of sync for so many seconds."
    ),
    Parameter(
        "alert-behind", "5", _COUNT, "Alert when a node is more slots behind the network's best."
    ),
    Parameter(
        "alert-finality", "60", _COUNT, "Alert when nothing was finalized for so many seconds."
    ),
    Parameter(
        "alert-no-block",
        "5",
        _COUNT,
        "Alert when the network had no new best block for more slots.",
    ),
    Parameter(
        "alert-decode-errors", "10", _COUNT, "Alert at so many decode errors within a minute."
    ),
    Parameter(
        "alert-lagging", "1", _COUNT, "Alert when a subscriber missed so many events in a minute."
    ),
    Parameter(
        "alert-store", "30", _COUNT, "Alert when history is not written for so many seconds."
    ),
    Parameter(
        "alert-fork",
        "3",
        _COUNT,
        "Alert when nodes took different blocks for best for more slots in a row.",
    ),
    Parameter(
        "alert-stuck",
        "120",
        _COUNT,
        "Alert when a work package does not move for so many seconds, 30 at least.",
    ),
    Parameter(
        "alert-assurances-late",
        "10",
        _COUNT,
        "Alert at so many assurances within two minutes that came too late.",
    ),
    Parameter(
        "alert-clock", "3000", _COUNT, "Alert when a node's clock is off by more milliseconds."
    ),
    Parameter(
        "alert-silent",
        "30",
        _COUNT,
        "Alert when a node that is connected says nothing for so many seconds, 5 at least.",
    ),
    Parameter(
        "alert-unfinished",
        "20",
        _COUNT,
        "Alert when more per cent of what nodes began came to no end within five minutes.",
    ),
    Parameter(
        "alert-late-blocks",
        "5",
        _COUNT,
        "Alert when a node had so many of the last 20 blocks late or not at all, 4 at least.",
    ),
    Parameter(
        "alert-slow-guarantor",
        "3",
        _COUNT,
        "Alert when a guarantor takes more times as long as others for work packages, 2 at least.",
    ),
    Parameter(
        "alert-failing-server",
        "50",
        _COUNT,
        "Alert when a node fails more per cent of what others ask it for, 30 at least.",
    ),
    Parameter(
        "alert-broken-encoder",
        "20",
        _COUNT,
        "Alert when a node sent so many wrong messages within two minutes, 10 at least.",
    ),
    Parameter(
        "alert-webhook",
        "",
        receivers,
        "POST each change of the alerts to these URLs as JSON, separated by commas.",
    ),
    Parameter(
        "alert-webhook-secret",
        "",
        secret_file,
        "Sign what is sent to webhooks with the first line of this file, by HMAC-SHA256.",
    ),
    Parameter(
        "alertmanager",
        "",
        receivers,
        "Tell these Alertmanagers which alerts hold, such as http://localhost:9093, separated by "
        "commas.",
    ),
]
