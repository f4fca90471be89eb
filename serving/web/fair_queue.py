"""Fair queue: round robin over clients, so that nobody waits for all that another has sent."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items of clients that take turns; of one client the item that came first goes first.

    The next turn is that of the client with the fewest items at work, of several of whoever waits
    longest for a turn. With W workers, a client with a single item waits for at most W items of
    each other client, those at work when it came counted in, and never for one of a client that
    came later.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[T]] = {}
        self._at_work: Counter[str] = Counter()
        self._tickets: dict[str, int] = {}  # who waits -> when its wait for a turn began
        self._issued = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def push(self, client: str, item: T) -> None:
        """Adds an item of a client."""
        if client not in self._waiting:
            self._waiting[client] = deque()
            self._to_the_end(client)
        self._waiting[client].append(item)

    def pop(self) -> T:
        """The item whose turn it is; it is at work until `done`. Raises IndexError if empty."""
        if not self._waiting:
            raise IndexError("pop from an empty queue")
        client = min(self._waiting, key=self._turn)
        item = self._waiting[client].popleft()
        self._at_work[client] += 1
        self._moved(client)
        return item

    def done(self, client: str) -> None:
        """An item of the client, which `pop` gave, is at work no more."""
        self._at_work[client] -= 1
        if not self._at_work[client]:
            del self._at_work[client]
        if client in self._waiting:
            self._to_the_end(client)

    def remove(self, client: str, item: T) -> None:
        """Takes out an item that waits. Raises ValueError where it does not."""
        if client not in self._waiting:
            raise ValueError(f"nothing of {client!r} waits")
        self._waiting[client].remove(item)
        if not self._waiting[client]:
            self._leave(client)

    def __iter__(self) -> Iterator[T]:
        """The items in the order of their turns, if none comes and none is done meanwhile."""
        turns = [(*self._turn(client), client) for client in self._waiting]
        heapq.heapify(turns)
        left = {client: iter(items) for client, items in self._waiting.items()}
        ticket = self._issued
        while turns:
            at_work, _, client = heapq.heappop(turns)
            item = next(left[client], None)
            if item is None:
                continue
            yield item
            ticket += 1
            heapq.heappush(turns, (at_work + 1, ticket, client))

    def _turn(self, client: str) -> tuple[int, int]:
        return self._at_work[client], self._tickets[client]

    def _moved(self, client: str) -> None:
        if self._waiting[client]:
            self._to_the_end(client)
        else:
            self._leave(client)

    def _to_the_end(self, client: str) -> None:
        self._issued += 1
        self._tickets[client] = self._issued

    def _leave(self, client: str) -> None:
        del self._waiting[client], self._tickets[client]
