"""Work on all cores: everything is done once, and what goes wrong is heard of."""

import os
import threading

import pytest
from threadpoolctl import threadpool_info

from weights_tools import workers
from weights_tools.workers import one_blas_thread, share


@pytest.fixture(params=[1, 2, 5])
def cores(request, monkeypatch):
    monkeypatch.setattr(workers, "n_cores", lambda: request.param)
    workers._pool.cache_clear()
    yield request.param
    workers._pool().shutdown()
    workers._pool.cache_clear()


@pytest.mark.parametrize("told, taken", [(5, 5), (None, 1)])
def test_where_the_system_knows_no_affinity_all_cores_are_taken(monkeypatch, told, taken):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: told)
    assert workers.n_cores.__wrapped__() == taken


def test_every_item_comes_once(cores):
    taken = []
    share(lambda items: taken.extend(items), range(10_000))
    assert sorted(taken) == list(range(10_000))


def test_all_cores_work(cores):
    together = threading.Barrier(cores, timeout=20)
    share(lambda items: [together.wait() for _ in items], range(cores))  # else: BrokenBarrierError


def test_a_worker_that_shares_does_it_alone(cores):
    taken = []

    def work(items):
        for _ in items:
            share(lambda inner: taken.extend((threading.get_ident(), i) for i in inner), range(3))
            assert [i for who, i in taken if who == threading.get_ident()][-3:] == [0, 1, 2]

    share(work, range(4))
    assert len(taken) == 12


def test_what_goes_wrong_is_raised(cores):
    def work(items):
        for item in items:
            if item == 7:
                raise ValueError("seven")

    with pytest.raises(ValueError, match="seven"):
        share(work, range(20))
    test_every_item_comes_once(cores)  # and the workers are there for the next


def test_blas_has_one_thread_and_then_again_all():
    def threads():
        return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]

    before = threads()
    with one_blas_thread():
        assert set(threads()) <= {1}
        with one_blas_thread():
            pass
        assert set(threads()) <= {1}
    assert threads() == before
