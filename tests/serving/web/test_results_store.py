"""The results store: what is kept of jobs, for whom, how long, and where not any more."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.coverage import Coverage
from pipelines.verdict import Segment
from serving.analysis.analyse import Analysis
from serving.analysis.video_result import TrackResult, VideoResult
from serving.web.examples import REPORT
from serving.web.problems import Problem
from serving.web.results_database import FILE, VERSION
from serving.web.results_store import WITHOUT_RESULT, Bounds, ResultsStore
from serving.web.usage import DAY_S, Quota

BOUNDS = Bounds(ttl_s=100.0, results=10, bytes=10**9)
FACE, THUMBNAIL = b"\xff\xd8 a face of somebody", b"\xff\xd8 a thumbnail"


RESULT = VideoResult(
    path="/tmp/uploads/0123",
    verdict=REPORT["verdict"],
    probability_fake=REPORT["probability_fake"],
    model="dfdetect/1",
    fingerprint=REPORT["model"]["fingerprint"],
    frames_sampled=4,
    frames_with_face=3,
    start_s=1.0,
    end_s=1.24,
    tracks=(TrackResult(0, "FAKE", 0.87, 1.0, 1.24, 3, 96.0, (Segment(1.0, 1.24, 0.87, 2),)),),
    decides=0,
    median_face_px=96.0,
    reasons=("=A reason.",),
    notes=("A note.",),
    coverage=Coverage.from_dict(REPORT["coverage"]),
)


class Clock:
    """Seconds since 1970, as the test sets them."""

    def __init__(self):
        self.s = 1000.0

    def __call__(self):
        return self.s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def opened(clock):
    """Opens stores, and closes them in the end."""
    with contextlib.ExitStack() as stores:

        def open_store(folder=None, bounds=BOUNDS):
            store = ResultsStore(folder, bounds, clock)
            stores.callback(store.close)
            return store

        yield open_store


def analysis(padding: int = 0, name: str = "interview.mp4") -> Analysis:
    document = {**REPORT, "file": {**REPORT["file"], "name": name}, "padding": "x" * padding}
    heat = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    return Analysis(document, RESULT, [FACE, FACE + b"2"], [None, heat], [THUMBNAIL])


def done(store: ResultsStore, id: str, owner: str = "a", padding: int = 0) -> str:
    store.add(id, owner, "interview.mp4", "0" * 64)
    store.keep(id, analysis(padding))
    return id


def failed(store: ResultsStore, id: str, owner: str = "a") -> str:
    store.add(id, owner, "junk", "0" * 64)
    store.end(id, "failed", "decode", Problem("unreadable", "No frame in it."))
    return id


def there(store: ResultsStore, ids) -> list[str]:
    return [id for id in ids if store.job(id)]


@pytest.mark.parametrize("in_a_file", [False, True])
def test_what_is_kept_comes_back_the_same(opened, tmp_path, in_a_file):
    store = opened(tmp_path / "results" if in_a_file else None)
    given = analysis()
    result = store.result(done(store, "id"))
    assert result.document == given.document
    assert (result.crops, result.strip) == (given.crops, given.strip)
    assert result.heat_maps[0] is None
    np.testing.assert_array_equal(result.heat_maps[1], given.heat_maps[1])
    assert (store.job("id").state, store.job("id").problem) == ("done", None)


def test_a_job_without_a_result_says_why(opened):
    store = opened()
    job = store.job(failed(store, "id"))
    assert job.state == "failed" and job.progress.stage == "decode"
    assert job.problem == Problem("unreadable", "No frame in it.")
    assert store.result("id") is None


def test_results_outlive_the_server_with_their_time(tmp_path, clock):
    with contextlib.closing(ResultsStore(tmp_path, BOUNDS, clock)) as first:
        done(first, "id")
    clock.s += 99
    with contextlib.closing(ResultsStore(tmp_path, BOUNDS, clock)) as second:
        assert second.result("id").crops == analysis().crops
        clock.s += 2
        assert second.job("id") is None and second.result("id") is None


@pytest.mark.parametrize(("ttl_s", "left_s"), [(20.0, 10.0), (1000.0, 90.0)])
def test_a_result_stays_no_longer_than_was_and_is_promised(tmp_path, clock, ttl_s, left_s):
    with contextlib.closing(ResultsStore(tmp_path, BOUNDS, clock)) as first:
        done(first, "id")
    clock.s += 10
    with contextlib.closing(ResultsStore(tmp_path, Bounds(ttl_s, 10, 10**9), clock)) as second:
        clock.s += left_s - 1
        assert second.job("id")
        clock.s += 2
        assert second.job("id") is None


def test_a_clock_that_was_set_back_makes_no_result_stay_longer(tmp_path, clock):
    with contextlib.closing(ResultsStore(tmp_path, BOUNDS, clock)) as first:
        done(first, "id")
    clock.s -= 500
    with contextlib.closing(ResultsStore(tmp_path, BOUNDS, clock)) as second:
        clock.s += BOUNDS.ttl_s + 1
        assert second.job("id") is None


def test_what_waited_when_the_server_ended_is_told_so_by_the_next(tmp_path, clock):
    with contextlib.closing(ResultsStore(tmp_path, BOUNDS, clock)) as first:
        first.add("waits", "a", "interview.mp4", "0" * 64)
        assert first.job("waits") is None
    with contextlib.closing(ResultsStore(tmp_path, BOUNDS, clock)) as second:
        job = second.job("waits")
        assert (job.state, job.problem.name) == ("failed", "interrupted")
        assert "send it again" in job.problem.detail


def test_results_can_be_searched_by_what_an_index_of_them_needs(opened, tmp_path):
    store = opened(tmp_path)
    done(store, "id", "192.0.2.1")
    columns = "owner, name, sha256, model, verdict, created, state"
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as database:
        (row,) = database.execute(f"SELECT {columns} FROM jobs")
    model = f"{REPORT['model']['name']}/{REPORT['model']['version']}"
    expected = ("192.0.2.1", "interview.mp4", "0" * 64, model, "FAKE", 1000.0, "done")
    assert row == expected


def bytes_of(folder) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def delete(store, clock):
    store.delete("id")


def expire(store, clock):
    clock.s += BOUNDS.ttl_s
    store.forget_old()


def make_room(store, clock):
    for number in range(BOUNDS.results):
        clock.s += 1
        done(store, f"later {number}")
    for number in range(BOUNDS.results):
        store.delete(f"later {number}")


@pytest.mark.parametrize("goes", [delete, expire, make_room])
def test_of_what_goes_no_byte_stays_in_any_file(opened, tmp_path, clock, goes):
    store = opened(tmp_path)
    before = sum(path.stat().st_size for path in tmp_path.iterdir())
    done(store, "id", padding=100_000)
    assert FACE in bytes_of(tmp_path) and b"interview.mp4" in bytes_of(tmp_path)
    goes(store, clock)
    left = bytes_of(tmp_path)
    assert store.job("id") is None
    for trace in (FACE, THUMBNAIL, b"interview.mp4", b"0" * 64, b"xxxx"):
        assert trace not in left
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= before + 40_000


def test_only_this_user_may_read_what_is_there(opened, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir(mode=0o755)
    umask = os.umask(0)
    try:
        store = opened(folder)
        done(store, "id")
    finally:
        os.umask(umask)
    assert folder.stat().st_mode & 0o777 == 0o700
    rights = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert FILE in rights and f"{FILE}-wal" in rights and set(rights.values()) == {0o600}


def test_a_second_server_on_the_same_folder_is_refused(opened, tmp_path):
    first = opened(tmp_path)
    with pytest.raises(OSError, match="another server keeps its results here. Give each server"):
        opened(tmp_path)
    done(first, "id")
    first.close()
    assert opened(tmp_path).job("id")


def test_a_file_that_is_none_of_ours_is_refused_and_left_as_it_is(opened, tmp_path):
    (tmp_path / FILE).write_bytes(b"no database at all " * 100)
    with pytest.raises(OSError, match="results cannot be kept there .*give another --results-dir"):
        opened(tmp_path)
    assert (tmp_path / FILE).read_bytes() == b"no database at all " * 100


def test_a_file_of_another_version_is_refused(opened, tmp_path):
    opened(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(OSError, match=f"of version {VERSION + 1}, this server's of {VERSION}"):
        opened(tmp_path)


def test_a_folder_that_is_a_link_is_refused(opened, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="Give another --results-dir"):
        opened(tmp_path / "link")


WRITER = """
import pathlib, sys
from tests.serving.web.test_results_store import BOUNDS, done
from serving.web.results_store import Bounds, ResultsStore

store = ResultsStore(pathlib.Path(sys.argv[1]), Bounds(1e6, 1000, 10**9))
for number in range(1_000_000):
    done(store, str(number), padding=50_000)
    if number % 3 == 2:
        store.delete(str(number - 1))
    print(number, flush=True)
"""


def test_a_server_that_is_killed_while_it_writes_loses_nothing_that_it_had_kept(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        for line in writer.stdout:
            if int(line) == 20:
                writer.send_signal(signal.SIGKILL)
                break
        last = int(([line, *writer.stdout])[-1])
    with contextlib.closing(ResultsStore(tmp_path, Bounds(1e6, 1000, 10**9))) as store:
        for number in range(last - 1):  # what came after these it may or may not have done
            deleted = number % 3 == 1
            result = store.result(str(number))
            assert (result is None) == deleted
            assert deleted or (result.crops, result.strip) == ([FACE, FACE + b"2"], [THUMBNAIL])
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_junk_of_a_stranger_takes_no_result_and_is_itself_bounded(opened, clock):
    store = opened()
    results = [done(store, f"result {n}", "honest") for n in range(BOUNDS.results)]
    why = failed(store, "why", "honest")
    junk = []
    for number in range(208):
        clock.s += 0.1
        junk.append(failed(store, f"junk {number}", "stranger"))
    assert there(store, results) == results and there(store, [why]) == [why]
    assert there(store, junk) == junk[208 - WITHOUT_RESULT + 1 :]


def test_a_client_that_fills_its_share_loses_its_own_oldest(opened, clock):
    store = opened()
    own = [done(store, f"own {n}", "one") for n in range(5)]
    others = []
    for number in range(12):
        clock.s += 1
        others.append(done(store, f"other {number}", "other"))
    assert there(store, own) == own and there(store, others) == others[7:]


def test_results_are_bounded_in_bytes_and_who_has_most_of_them_gives_way(opened, clock):
    store = opened(bounds=Bounds(100.0, 1000, 400_000))
    small = done(store, "small", "one")
    large = []
    for number in range(6):
        clock.s += 1
        large.append(done(store, f"large {number}", "other", padding=100_000))
    assert there(store, [small, *large]) == [small, *large[3:]]


def test_bounds_that_were_lowered_hold_from_the_start(tmp_path, clock):
    with contextlib.closing(ResultsStore(tmp_path, BOUNDS, clock)) as first:
        for number in range(5):
            clock.s += 1
            done(first, str(number))
    with contextlib.closing(ResultsStore(tmp_path, Bounds(100.0, 2, 10**9), clock)) as second:
        assert there(second, map(str, range(5))) == ["3", "4"]


@given(st.integers(1, 8), st.lists(st.sampled_from("abcde"), max_size=40))
def test_nobody_loses_a_result_to_who_holds_as_much(number, senders):
    clock = Clock()
    with contextlib.closing(ResultsStore(None, Bounds(1e6, number, 10**9), clock)) as store:
        kept: dict[str, str] = {}
        for n, sender in enumerate(senders):
            clock.s += 1
            kept[done(store, str(n), sender)] = sender
            held = Counter(kept.values())
            for id in [id for id in kept if not store.job(id)]:
                loser = kept.pop(id)
                assert loser == sender or held[loser] > held[sender] or set(held.values()) == {1}
                assert held[loser] == max(held.values())
                assert not any(kept[i] == loser and int(i) < int(id) for i in kept)
            assert len(kept) == min(number, n + 1) and str(n) in kept


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_the_rest(opened, tmp_path):
    store = opened(tmp_path)
    done(store, "before")
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as other:
        (pages,) = other.execute("PRAGMA page_count").fetchone()
    store._database.execute(f"PRAGMA max_page_count = {pages + 2}")  # as if the disk were full
    with pytest.raises(OSError, match="full.*Make room"):
        done(store, "large", padding=200_000)
    assert store.result("before") and store.result("large") is None


def used_up(store: ResultsStore, owner: str, quota: Quota) -> Problem | None:
    try:
        store.check_quota(owner, quota)
    except Problem as problem:
        return problem
    return None


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 9)), max_size=12))
def test_no_more_is_taken_of_a_key_in_a_day_than_its_quota_and_all_until_then(videos):
    quota, clock = Quota(videos_a_day=4, bytes_a_day=20), Clock()
    with contextlib.closing(ResultsStore(None, BOUNDS, clock)) as store:
        taken = {owner: [] for owner in "ab"}
        for number, (owner, size) in enumerate(videos):
            fits = len(taken[owner]) < 4 and sum(taken[owner]) + size <= 20
            try:
                store.add(str(number), owner, "video", "0" * 64, size, quota)
                taken[owner].append(size)
                assert fits
            except Problem as problem:
                assert not fits and problem.name == "quota-exceeded"
                assert problem.headers["Retry-After"] == str(DAY_S - 1000)
        clock.s = DAY_S
        assert not any(used_up(store, owner, quota) for owner in "ab")


def test_a_file_from_before_there_were_keys_counts_them_from_now_on(tmp_path, clock):
    with contextlib.closing(ResultsStore(tmp_path, BOUNDS, clock)) as store:
        done(store, "old")
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as database:
        database.execute("DROP TABLE usage")
    quota = Quota(videos_a_day=1)
    with contextlib.closing(ResultsStore(tmp_path, BOUNDS, clock)) as store:
        assert store.job("old")
        store.add("new", "newsroom", "video", "0" * 64, 1, quota)
    with contextlib.closing(ResultsStore(tmp_path, BOUNDS, clock)) as store:
        assert "1 of 1 videos" in used_up(store, "newsroom", quota).detail
        clock.s = DAY_S
        store.forget_old()
        assert used_up(store, "newsroom", quota) is None
    assert b"newsroom" not in bytes_of(tmp_path)
