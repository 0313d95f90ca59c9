"""On a Ray cluster of two nodes, both on this machine: workers and a node are lost, and nothing else is."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.running import run_fleet, tables
from netwarp.errors import ConfigurationError
from netwarp.fleet.pools import RayPool
from netwarp.fleet.worker import Plan

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator:
    from ray.cluster_utils import Cluster

    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", paths)  # of the nodes, which workers get theirs from
        head = {"num_cpus": 1, "num_gpus": 0, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            cluster.add_node(num_cpus=1, num_gpus=0)
            yield cluster
        finally:
            cluster.shutdown()


def test_workers_and_a_node_are_lost_and_no_video(cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in "abcdef":
        Path("in", name).with_suffix(".mp4").write_text(f"slow:{1.5 if name in 'ab' else 0.1}")
    Path("in/fail.mp4").write_text("fail:")
    lost: list[str] = []

    def lose(status: dict) -> None:
        """One worker is killed in the middle of a video, then the other node goes with its worker."""
        for worker in status["workers"]:
            if worker["frames"] != 1 or worker["video"] in lost:
                continue
            if not lost:
                os.kill(int(worker["worker"].rpartition(":")[2]), signal.SIGKILL)
                lost.append(worker["video"])
            elif len(lost) == 1:
                cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
                lost.append("a node")

    def pool(plan: Plan, gpus: bool | None = None) -> RayPool:
        return RayPool(plan, cluster.address, gpus=gpus, threads=4, workers=None)

    with pytest.raises(ConfigurationError, match="GPU"):
        run_fleet(pool=lambda plan: pool(plan, gpus=True))
    records = run_fleet(pool=pool, show=lose)
    assert len(lost) == 2
    states = {name: record.state for name, record in records.items()}
    assert states == dict.fromkeys("abcdef", "done") | {"fail": "failed"}
    assert {path.name for path in Path("out").glob("*.mp4")} == {f"{name}.mp4" for name in "abcdef"}
    assert sorted(video["name"] for video in tables()["videos"]) == sorted(states)
    assert records[lost[0]].attempts == 2
    assert records["fail"].attempts == 1
    with pytest.raises(ConfigurationError, match="no such layer"):
        run_fleet("elsewhere", "in", mark="refused", pool=pool)
