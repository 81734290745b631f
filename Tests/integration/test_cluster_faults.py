"""A cluster under kill -9, pauses, partitions, bad links, restarts and replacement of members, judged by its clients.

Clients on all members record what they are told; at the end every answer must fit one history (see
cluster_history.py), watchers must have missed nothing, and all members must hold the same.
"""

from __future__ import annotations

import pytest

from cluster_faults import Faults
from cluster_harness import Cluster
from cluster_load import ClusterLoad

LONG_SECONDS = 11 * 60  # for three members, and again for five


def run(size: int, seed: int, play) -> None:
    with Cluster(size) as cluster:
        cluster.start()
        load = ClusterLoad(cluster, seed).start()
        faults = Faults(cluster, load, seed)
        try:
            load.wait_for_writes(25)
            play(faults)
            judged = load.finish()
        finally:
            print("\n".join(faults.record))
            load.stopping.set()
        print(f"{size} members: {judged}; {dict(load.errors)}")
        assert judged["answered"] > 20 * len(faults.record)


def test_each_fault_once(seed: int):
    def play(faults: Faults) -> None:
        for name in faults.source.sample(sorted(faults.acts), len(faults.acts)):
            faults.play(name)

    run(3, seed, play)


def test_five_members(seed: int):
    """Two at a time may fail."""
    def play(faults: Faults) -> None:
        for name in ("kill", "isolate", "leader is not heard", "pause"):
            faults.play(name)

    run(5, seed, play)


@pytest.mark.parametrize("size", [3, 5])
def test_faults_for_long(size: int, seed: int, is_long: bool):
    if not is_long:
        pytest.skip("takes 11 minutes; --long runs it")
    run(size, seed, lambda faults: faults.play_for(LONG_SECONDS))
