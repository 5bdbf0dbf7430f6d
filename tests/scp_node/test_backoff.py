"""When a failed delivery is tried again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scp_node.backoff import LONGEST_WAIT, SPREAD, next_attempt, wait_out

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 5), (2, 10), (3, 20), (10, 2560), (11, 3600), (1000, 3600)])
def test_waits_double_up_to_an_hour(attempts: int, seconds: int) -> None:
    assert next_attempt(attempts=attempts, limit=2000, now=NOW, chance=0.5) == NOW + timedelta(seconds=seconds)


def test_the_last_attempt_makes_a_dead_letter() -> None:
    assert next_attempt(attempts=2, limit=3, now=NOW, chance=0.0) is not None
    assert next_attempt(attempts=3, limit=3, now=NOW, chance=0.0) is None


@given(attempts=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_waits_are_spread_but_never_long(attempts: int, chance: float) -> None:
    again = next_attempt(attempts=attempts, limit=10_001, now=NOW, chance=chance)
    assert again is not None
    assert timedelta(seconds=5) * (1 - SPREAD) <= again - NOW <= LONGEST_WAIT * (1 + SPREAD)


@pytest.mark.parametrize(("lasted", "seconds"), [(0, 5), (4, 5), (60, 60), (10_000, 3600)])
def test_trouble_is_waited_out_as_long_again_as_it_has_lasted(lasted: int, seconds: int) -> None:
    waited = wait_out(timedelta(seconds=lasted), longest=LONGEST_WAIT, chance=0.5)
    assert waited == timedelta(seconds=seconds)
