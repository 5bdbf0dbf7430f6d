"""What waits to be sent to a peer in one visit; several associations take from it at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from pipeline.records.deliveries import DueDelivery
from scp_node.sending import OutgoingFile

ASSOCIATIONS_AT_MOST: Final = 4
FILES_EACH: Final = 3
"""For less it is not worth while to open one more."""

Item = tuple[DueDelivery, OutgoingFile]


class Load:
    """Files in the order in which they leave."""

    def __init__(self, items: Iterable[Item] = (), *, may_leave: Callable[[Item], bool] = lambda _: True) -> None:
        """What waits at first.

        Args:
            items: In their order.
            may_leave: Judges one when its turn has come.
        """
        self._waiting = deque(items)
        self._may_leave = may_leave
        self.files = tuple(file for _, file in self._waiting)

    @property
    def left(self) -> tuple[Item, ...]:
        """What had no turn yet."""
        return tuple(self._waiting)

    @property
    def associations(self) -> int:
        """On how many it is best sent."""
        return max(1, min(ASSOCIATIONS_AT_MOST, len(self.files) // FILES_EACH))

    def take(self) -> Item | None:
        """The next one that may leave, which is nobody else's then; None where there is none."""
        while True:
            try:
                item = self._waiting.popleft()
            except IndexError:
                return None
            if self._may_leave(item):
                return item

    def put_back(self, item: Item) -> None:
        """It had no turn after all: somebody else may take it."""
        self._waiting.appendleft(item)
