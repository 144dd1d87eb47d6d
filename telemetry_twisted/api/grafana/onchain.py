"""What blocks themselves say, which takes the RPC of a node: empty, in the right shape."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from telemetry_twisted.api.rest.asked import BadRequest
from telemetry_twisted.api.rest.endpoint import Endpoint, Sources

from .given import (
    ChartGiven,
    CoreChartGiven,
    CoreInPath,
    Names,
    RangeGiven,
    Services,
    Text,
    listed,
    service_number,
)
from .routes import Rows, grafana


class ServiceChartGiven(ChartGiven, frozen=True, kw_only=True):
    """Which services."""

    service: Services | None = None


class ServicesGiven(RangeGiven, frozen=True, kw_only=True):
    """Which services."""

    service: Services | None = None


class ServiceInPath(RangeGiven, frozen=True, kw_only=True):
    """A request about a service."""

    service_id: Text


class ValidatorChartGiven(ChartGiven, frozen=True, kw_only=True):
    """Which validators."""

    validator: Names | None = None


class ValidatorInPath(RangeGiven, frozen=True, kw_only=True):
    """A request about a validator."""

    validator_idx: Annotated[int, Meta(ge=0, le=32767)]


@grafana("onchain/cores")
async def cores(_: Sources, _given: RangeGiven) -> Rows:
    """Nothing."""
    return []


@grafana("onchain/cores/timeseries")
async def cores_over_time(_: Sources, _given: CoreChartGiven) -> Rows:
    """Nothing."""
    return []


@grafana("onchain/cores/{core_id}")
async def core(_: Sources, _given: CoreInPath) -> Rows:
    """Nothing."""
    return []


@grafana("onchain/services")
async def services(_: Sources, _given: ServicesGiven) -> Rows:
    """Nothing."""
    return []


@grafana("onchain/services/timeseries")
async def services_over_time(_: Sources, _given: ServiceChartGiven) -> Rows:
    """Nothing."""
    return []


@grafana("onchain/services/{service_id}")
async def service(_: Sources, given: ServiceInPath) -> Rows:
    """Nothing, of a service that there may be."""
    if service_number(next(listed(given.service_id), "")) is None:
        raise BadRequest("service_id: expected a number, or one in hexadecimal from 0x on")
    return []


@grafana("onchain/validators")
async def validators(_: Sources, _given: RangeGiven) -> Rows:
    """Nothing."""
    return []


@grafana("onchain/validators/timeseries")
async def validators_over_time(_: Sources, _given: ValidatorChartGiven) -> Rows:
    """Nothing."""
    return []


@grafana("onchain/validators/{validator_idx}")
async def validator(_: Sources, _given: ValidatorInPath) -> Rows:
    """Nothing."""
    return []


ENDPOINTS: tuple[Endpoint, ...] = (
    cores,
    cores_over_time,
    core,
    services,
    services_over_time,
    service,
    validators,
    validators_over_time,
    validator,
)
