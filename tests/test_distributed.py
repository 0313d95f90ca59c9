"""Two processes over gloo: each takes half of the clips, both know the scores of all."""

import numpy as np
import pytest
import torch

from inference.labelled import MadeClip, data_of
from model.tiny import PLAIN, Pan, set_weights, tiny
from netwarp import VideoModel
from netwarp.distributed import all_processes, fail_together, part_of
from netwarp.errors import InputError
from netwarp.evaluation.evaluate import evaluate


def scores_of(made, **options):
    torch.manual_seed(0)  # of the FlowCNN
    model = VideoModel(tiny(), ["mid"], Pan(), preprocess=PLAIN)
    set_weights(model)
    return evaluate({"m": model}, data_of(*made), widths=(1, 2), windows=(2,), **options)["m"]


def clips(pictures, faulty=None):
    made = [MadeClip(pictures(3, seed=seed), {0, 2} if seed else None, seed=seed) for seed in range(5)]
    made[0].instances[1] = np.kron(np.arange(6, dtype=np.int32).reshape(2, 3), np.ones((16, 16), np.int32))
    if faulty is not None:
        made[faulty].labels[2] = np.zeros((8, 8), np.uint8)
    return made


def work(rank, meeting, folder, made, faulty):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    scores = scores_of(made, workers=2)
    try:
        scores_of(faulty)
        failure = None
    except InputError as error:
        failure = str(error)
    torch.save((scores, failure, [len(clip.read) for clip in made]), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_scores_are_those_of_one_process(pictures, tmp_path):
    expected = scores_of(clips(pictures))
    # Forked, not spawned: importing torch twice more takes ten seconds.
    torch.multiprocessing.start_processes(
        work,
        (str(tmp_path / "meeting"), str(tmp_path), clips(pictures), clips(pictures, faulty=1)),
        nprocs=2,
        start_method="fork",
    )
    (first, failure, read), (second, other_failure, other_read) = (
        torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1)
    )
    np.testing.assert_equal(first, second)
    np.testing.assert_equal(first | {"ms_per_frame": 0}, expected | {"ms_per_frame": 0})
    assert (read, other_read) == ([3, 0, 3, 0, 3], [0, 3, 0, 3, 0])
    # The process whose clips are whole fails too: it would otherwise wait for the other one for ever.
    assert failure == other_failure
    assert "labels of frame clip1_002 are 8×8" in failure


def test_alone_everything_is_ones_own():
    assert part_of([1, 2, 3]) == [1, 2, 3]
    assert all_processes("mine") == ["mine"]
    fail_together(None)
    with pytest.raises(InputError, match="here"):
        fail_together(InputError("here"))
