"""What has changed of a JSON object, as a merge patch (RFC 7396)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What makes ``after`` of ``before``: members that are new or other, null for those gone.

    Objects are compared member by member, arrays are told whole. No member of ``after`` is null,
    in itself or in an object within, since a merge patch has no word for that.
    """
    patch: dict[str, Any] = {}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if changed := merge_patch(old, value):
                patch[name] = changed
        elif old != value or name not in before:
            patch[name] = value
    patch |= {name: None for name in before if name not in after}
    return patch
