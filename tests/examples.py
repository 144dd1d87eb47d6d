"""How many examples property tests try: few while one works, all where there is time."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

settings.register_profile("quick", max_examples=20, deadline=None)
settings.register_profile("thorough", max_examples=100, deadline=None)


def examples(number: int, **others: Any) -> settings:
    """The settings of a property test that tries ``number`` examples when thorough.

    With the profile ``quick``, which is what tests run with unless pytest is given
    ``--hypothesis-profile=thorough``, it tries a fifth of them, others in each run.

    :param others: further settings, such as ``stateful_step_count``.
    """
    profile: settings = settings.default  # type: ignore[assignment]
    return settings(
        max_examples=max(1, number * profile.max_examples // 100), deadline=None, **others
    )
