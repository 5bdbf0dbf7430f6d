"""What was planned by a clock that has been put back since: it is due now, or it would wait for that hour again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

AGREEMENT: Final = timedelta(minutes=1)
"""So far the clocks of several machines may be apart."""

_JOBS: Final = text(
    "UPDATE pgqueuer SET created = now(), updated = now(), heartbeat = now(),"
    " execute_after = least(execute_after, now()) WHERE greatest(created, updated, heartbeat) > now() + :agreement"
)
_DELIVERIES: Final = text(
    "UPDATE deliveries SET planned_at = now(), next_attempt_at = now()"
    " WHERE state = 'pending' AND planned_at > now() + :agreement"
)
"""Both were written by the clock of the database, which all share."""
_STUDIES: Final = text(
    "UPDATE studies SET last_received_at = :now, waiting_since = least(waiting_since, :now), look_at = :now"
    " WHERE state = 'receiving' AND last_received_at > :now + :agreement"
)


def bring_back(connection: Connection, *, now: datetime) -> int:
    """Let jobs, deliveries and waiting studies that come from the future begin now; gives how many there were."""
    values = {"now": now, "agreement": AGREEMENT}
    return sum(connection.execute(statement, values).rowcount for statement in (_JOBS, _DELIVERIES, _STUDIES))
