"""The fair queue: who waits for whom, for any sequence of arrivals and ends."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.web.fair_queue import FairQueue

CLIENTS = "ABCDE"


class Service:
    """Workers that empty a fair queue, and what each item waited for."""

    def __init__(self, workers: int):
        self.queue: FairQueue[tuple[str, int]] = FairQueue()
        self.idle, self.at_work = workers, []
        self.sent: Counter[str] = Counter()
        self.started: list[tuple[str, int]] = []
        # Of who has a single item: the clients of those that were there when it came, waiting and
        # at work, and how many had started by then.
        self.alone: dict[tuple[str, int], tuple[list[str], list[str], int]] = {}

    def arrive(self, client: str) -> None:
        item = (client, self.sent[client])
        self.sent[client] += 1
        waiting = [other for other, _ in self.queue]
        at_work = [other for other, _ in self.at_work]
        if client not in (*waiting, *at_work):
            self.alone[item] = (waiting, at_work, len(self.started))
        self.queue.push(client, item)
        self.work()

    def end(self, which: int) -> None:
        if self.at_work:
            client, _ = self.at_work.pop(which % len(self.at_work))
            self.queue.done(client)
            self.idle += 1
            self.work()

    def work(self) -> None:
        while self.idle and len(self.queue):
            item = self.queue.pop()
            self.started.append(item)
            self.at_work.append(item)
            self.idle -= 1


STEPS = st.lists(st.one_of(st.sampled_from(CLIENTS), st.integers(0, 9)), max_size=80)


def served(workers: int, steps) -> Service:
    service = Service(workers)
    for step in steps:
        service.arrive(step) if isinstance(step, str) else service.end(step)
    while service.at_work:
        service.end(0)
    return service


@given(st.integers(1, 4), STEPS)
def test_who_has_one_item_waits_for_one_of_each_other_client_per_worker(workers, steps):
    service = served(workers, steps)
    for item, (_, at_work, before) in service.alone.items():
        between = service.started[before : service.started.index(item)]
        waited_for = Counter(at_work) + Counter(client for client, _ in between)
        assert all(number <= workers for number in waited_for.values()), (item, waited_for)


@given(st.integers(1, 4), STEPS)
def test_who_has_one_item_waits_for_nobody_who_came_later(workers, steps):
    service = served(workers, steps)
    for item, (waiting, at_work, before) in service.alone.items():
        between = service.started[before : service.started.index(item)]
        assert {client for client, _ in between} <= {*waiting, *at_work}


@given(st.integers(1, 4), STEPS)
def test_every_item_has_its_turn_and_those_of_a_client_in_their_order(workers, steps):
    service = served(workers, steps)
    assert Counter(client for client, _ in service.started) == service.sent
    for client in CLIENTS:
        numbers = [number for who, number in service.started if who == client]
        assert numbers == sorted(numbers)
    assert len(service.queue) == 0


@given(st.lists(st.one_of(st.sampled_from(CLIENTS), st.integers(0, 9)), max_size=40))
def test_with_one_worker_the_order_that_is_told_is_the_order_that_comes(steps):
    service = Service(1)
    for step in steps:
        service.arrive(step) if isinstance(step, str) else service.end(step)
    told, before = list(service.queue), len(service.started)
    while service.at_work:
        service.end(0)
    assert service.started[before:] == told


def test_a_client_that_comes_goes_before_the_rest_of_who_sent_many():
    queue = FairQueue()
    for number in range(4):
        queue.push("many", number)
    assert queue.pop() == 0
    queue.push("one", "its only")
    assert list(queue) == ["its only", 1, 2, 3]


def test_who_sends_again_and_again_does_not_go_before_who_waits():
    queue = FairQueue()
    queue.push("waits", "first")
    queue.push("waits", "second")
    assert queue.pop() == "first"
    turns = []
    for number in range(3):
        queue.push("again", number)
        queue.done("waits" if number == 0 else turns[-1][0])
        item = queue.pop()
        turns.append(("waits" if item == "second" else "again", item))
    assert [item for _, item in turns] == [0, "second", 1]


def test_what_is_taken_out_has_no_turn():
    queue = FairQueue()
    for number in range(3):
        queue.push("a", number)
    queue.remove("a", 1)
    assert list(queue) == [0, 2] and len(queue) == 2
    queue.remove("a", 0)
    queue.remove("a", 2)
    with pytest.raises(ValueError, match="nothing of 'a' waits"):
        queue.remove("a", 0)
    with pytest.raises(IndexError, match="empty"):
        queue.pop()
