"""Samples as tensors."""

import pickle
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from netwarp.datasets.cache import compact_flow
from netwarp.datasets.clips import Clip, ClipData, ClipFrame, Sample
from netwarp.datasets.samples import Batch, LoadedSample, SampleReader, collate
from netwarp.errors import ConfigurationError, InputError, NetWarpError
from netwarp.flow import DISFlow, RAFTFlow, write_flo
from netwarp.label_sets import LabelSet

SIZE = (36, 50)
READ: Counter[str] = Counter()
CLASSES = LabelSet(("one", "two"), ((0, 0, 0), (1, 1, 1)))


@pytest.fixture(autouse=True)
def nothing_read():
    READ.clear()


@dataclass(frozen=True)
class Drawn:
    """Reads a picture that moves 2 to the right and 1 down a frame."""

    index: int
    what: str
    size: tuple[int, int] = SIZE

    def __call__(self) -> np.ndarray:
        READ[f"{self.what} {self.index}"] += 1
        h, w = self.size
        if self.what == "flow":
            return np.random.default_rng(self.index).normal(0, 90, (2, h, w)).astype(np.float32)
        if self.what == "labels":
            return np.random.default_rng(self.index).integers(0, 3, (h, w)).astype(np.uint8)
        board = np.random.default_rng(0).integers(0, 256, (h // 4 + 9, w // 4 + 9, 3)).repeat(4, 0).repeat(4, 1)
        top, left = 16 - self.index, 16 - 2 * self.index
        return board[top : top + h, left : left + w].astype(np.uint8)


def frame(index: int, *, labels: bool = True, flow: bool = True, size: tuple[int, int] = SIZE) -> ClipFrame:
    return ClipFrame(
        f"f{index}",
        Drawn(index, "image", size),
        Drawn(index, "labels", size) if labels else None,
        None,
        Drawn(index, "flow", size) if flow else None,
    )


def samples(length: int = 2, frames: int = 5) -> list[Sample]:
    return list(ClipData("drawn", CLASSES, (Clip("c", [frame(i) for i in range(frames)]),)).samples(length))


def same(one: LoadedSample, other: LoadedSample) -> bool:
    return one.name == other.name and all(
        (a is None and b is None) or torch.equal(a, b)
        for a, b in ((one.frames, other.frames), (one.labels, other.labels), (one.flows, other.flows))
    )


def as_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).copy())


# --- what is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_sample_holds_its_frames_labels_and_flows(length):
    reader = SampleReader(samples(length))
    assert len(reader) == 6 - length
    got = reader[-1]
    indices = range(5 - length, 5)
    assert got.name == "f4"
    assert torch.equal(got.frames, torch.stack([as_tensor(Drawn(i, "image")()) for i in indices]))
    assert np.array_equal(got.labels.numpy(), Drawn(4, "labels")())
    assert (got.frames.dtype, got.labels.dtype, got.flows.dtype) == (torch.uint8, torch.uint8, torch.float32)
    assert got.flows.shape == (length - 1, 2, *SIZE)
    for i, flow in enumerate(got.flows):
        expected = DISFlow()(got.frames[i + 1][None], got.frames[i][None])[0]
        assert (flow - expected).abs().max() <= 1 / 64
        assert flow[0].median() == pytest.approx(-2, abs=0.1)  # what moved to the right was further left
        assert flow[1].median() == pytest.approx(-1, abs=0.1)


def test_true_flow_is_not_rounded():
    got = SampleReader(samples(3), "true")[1]
    assert np.array_equal(got.flows.numpy(), np.stack([Drawn(2, "flow")(), Drawn(3, "flow")()]))


def test_there_are_no_more():
    reader = SampleReader(samples(), flow="zero")
    assert [sample.name for sample in reader][1:3] == ["f2", "f3"]
    with pytest.raises(IndexError):
        reader[4]


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_each_file_is_read_once_in_a_run():
    reader = SampleReader(samples(3), flow="true")
    first = [*reader]
    again = [*reader]
    assert set(READ.values()) == {1}
    assert len(READ) == 5 + 3 + 4
    assert all(map(same, first, again))


def test_without_memory_all_is_read_again_and_the_same():
    few, much = SampleReader(samples(), memory=0), SampleReader(samples())
    assert all(map(same, few, much))
    READ.clear()
    few[0]
    assert READ["image 0"] > 0


def test_whoever_changes_a_sample_changes_no_other():
    reader = SampleReader(samples(), flow="true")
    before, spoilt = reader[0], reader[0]
    for tensor in (spoilt.frames, spoilt.labels, spoilt.flows):
        tensor.zero_()
    assert same(reader[0], before)


class Counting(DISFlow):
    """DIS that counts."""

    def __call__(self, current, previous, index=None):
        READ["estimate"] += 1
        return super().__call__(current, previous, index)


class Nameless:
    """An estimator without a spec, whose flow is fast and odd."""

    def __call__(self, current, previous, index=None):
        READ["estimate"] += 1
        return torch.full((1, 2, *current.shape[-2:]), 1 / 3)


def test_flow_is_estimated_once_for_all_runs_and_the_same_with_and_without_a_cache(tmp_path):
    without = [*SampleReader(samples(), Counting())]
    assert READ["estimate"] == 4
    first = [*SampleReader(samples(), Counting(), tmp_path / "flow")]
    assert READ["estimate"] == 8
    again = [*SampleReader(samples(3), Counting(), tmp_path / "flow")]
    assert READ["estimate"] == 8
    assert all(map(same, without, first))
    assert all(torch.equal(a.flows[-1], b.flows[0]) for a, b in zip(again, first[1:], strict=True))


def test_flow_of_other_settings_is_other_flow(tmp_path):
    one = SampleReader(samples(), "dis:medium", tmp_path)[0]
    other = SampleReader(samples(), "dis:fast", tmp_path)[0]
    assert not torch.equal(one.flows, other.flows)
    assert same(other, SampleReader(samples(), "dis:fast")[0])


def test_flow_that_nobody_can_name_is_not_kept_on_disk(tmp_path):
    got = SampleReader(samples(), Nameless(), tmp_path)[0]
    assert got.flows.unique().item() == compact_flow(torch.tensor(1 / 3)).float().item()
    assert not list(tmp_path.iterdir())
    assert same(SampleReader(samples(), Nameless())[0], got)
    assert READ["estimate"] == 2


def test_raft_of_other_weights_in_the_same_file_is_other_flow(tmp_path):
    class FakeRAFT(RAFTFlow):
        def __init__(self, weights: Path) -> None:
            self.weights, self.scale, self.updates = str(weights), 1.0, 12

        def __call__(self, current, previous, index=None):
            return torch.full((1, 2, *current.shape[-2:]), float(Path(self.weights).read_text()))

    weights = tmp_path / "raft.pth"
    for number in (1, 2):
        weights.write_text(str(number))
        assert SampleReader(samples(), FakeRAFT(weights), tmp_path / "flow")[0].flows.unique().item() == number


def test_flow_of_code_that_changed_is_other_flow(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for number in (1, 2):
        Path("flow_that_changes.py").write_text(
            "import torch\n"
            "class Mine:\n"
            "    def __call__(self, current, previous, index=None):\n"
            f"        return torch.full((1, 2, *current.shape[-2:]), {number}.0)\n"
        )
        monkeypatch.delitem(sys.modules, "flow_that_changes", raising=False)
        read = SampleReader(samples(), "flow_that_changes:Mine", tmp_path / "flow")[0]
        assert read.flows.unique().item() == number


def test_workers_of_a_loader_read_the_same(tmp_path):
    reader = SampleReader(samples(), cache=tmp_path)
    read = [*reader]
    expected = [collate(read[:2]), collate(read[2:])]
    assert all(map(same, pickle.loads(pickle.dumps(reader)), reader))
    loader = DataLoader(reader, batch_size=2, num_workers=2, collate_fn=collate, timeout=60)
    for got, batch in zip(loader, expected, strict=True):
        assert got.names == batch.names
        assert torch.equal(got.frames, batch.frames)
        assert torch.equal(got.labels, batch.labels)
        assert torch.equal(got.flows, batch.flows)


def test_a_pickled_reader_is_small():
    reader = SampleReader(samples(), flow="true")
    list(reader)
    assert len(pickle.dumps(reader)) < 5000


# --- what is refused ------------------------------------------------------------------------------------------------


def odd(make: Callable[[], np.ndarray], what: str = "image") -> Sample:
    parts = {"image": Drawn(1, "image"), "labels": Drawn(1, "labels"), "flow": Drawn(1, "flow"), what: make}
    return Sample((frame(0), ClipFrame("odd", parts["image"], parts["labels"], None, parts["flow"])))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (Sample((frame(0, size=(36, 48)), frame(1))), r"frame f0 is 48×36, but f1, .* is 50×36"),
        (odd(Drawn(1, "labels", (36, 48)), "labels"), r"labels of frame odd are 48×36, but the frame is 50×36"),
        (odd(Drawn(1, "flow", (36, 48)), "flow"), r"flow of frame odd .* not \[2, 36, 48\]"),
        (odd(lambda: np.full((2, *SIZE), np.nan), "flow"), r"flow of frame odd .* NaN"),
        (odd(Drawn(1, "labels")), r"frame odd is uint8 \[36, 50\], not RGB"),
        (odd(lambda: np.zeros((*SIZE, 3))), r"frame odd is float64"),
        (odd(lambda: np.zeros((0, 5, 3), np.uint8)), r"frame odd is uint8 \[0, 5, 3\]"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(sample, message):
    with pytest.raises(InputError, match=message):
        SampleReader([sample], flow="true")[0]


def test_an_error_of_a_file_comes_through_each_time():
    def damaged():
        raise InputError("f.png cannot be decoded")

    reader = SampleReader([odd(damaged)], flow=None)
    for _ in range(2):
        with pytest.raises(InputError, match=r"f\.png"):
            reader[0]


def test_settings_that_make_no_sense_are_refused_at_once(tmp_path):
    with pytest.raises(InputError, match="true flow of frame f1 is not known"):
        SampleReader([Sample((frame(0), frame(1, flow=False)))], "true")
    write_flo(tmp_path / "1.flo", torch.zeros(2, *SIZE))
    with pytest.raises(ConfigurationError, match="frame number"):
        SampleReader(samples(), f"precomputed:{tmp_path}")
    with pytest.raises(ConfigurationError, match="no flow named"):
        SampleReader(samples(), "diss")
    with pytest.raises(NetWarpError):
        SampleReader(samples(), memory=-1)


def test_the_first_frame_of_a_true_flow_sample_needs_none():
    assert SampleReader([Sample((frame(0, flow=False), frame(1)))], flow="true")[0].flows.shape == (1, 2, *SIZE)


# --- batches --------------------------------------------------------------------------------------------------------


def test_a_batch_stacks():
    loaded = [*SampleReader(samples(3), flow="true")]
    batch = collate(loaded)
    assert batch.names == ("f2", "f3", "f4")
    assert batch.frames.shape == (3, 3, 3, *SIZE)
    assert batch.frames.dtype == torch.uint8
    assert batch.labels.dtype == torch.int64
    for i, sample in enumerate(loaded):
        assert torch.equal(batch.frames[i], sample.frames)
        assert torch.equal(batch.labels[i], sample.labels.long())
        assert torch.equal(batch.flows[i], sample.flows)


def test_a_batch_without_labels_and_flows():
    loaded = [*SampleReader([Sample((frame(0), frame(1, labels=False)))], flow=None)]
    batch = collate(loaded)
    assert batch.labels is None
    assert batch.flows is None
    assert batch.to("cpu").labels is None


def loaded(name: str, t: int = 2, size: tuple[int, int] = (4, 6), labels: bool = True, flows: bool = True):
    return LoadedSample(
        name,
        torch.zeros(t, 3, *size, dtype=torch.uint8),
        torch.zeros(size, dtype=torch.uint8) if labels else None,
        torch.zeros(t - 1, 2, *size) if flows else None,
    )


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (loaded("b", size=(4, 8)), r"a \(2 frames of 6×4\) and b \(2 of 8×4\) .* crop"),
        (loaded("b", t=3), r"a \(2 frames of 6×4\) and b \(3 of 6×4\)"),
        (loaded("b", labels=False), "b has no labels"),
        (loaded("b", flows=False), "b has no flows"),
    ],
)
def test_samples_that_do_not_fit_into_one_batch_are_named(other, message):
    with pytest.raises(InputError, match=message):
        collate([loaded("a"), other])


def test_a_batch_goes_to_a_device_whole():
    batch = collate([loaded("a"), loaded("b")]).to(torch.device("meta"), non_blocking=True)
    assert {t.device.type for t in (batch.frames, batch.labels, batch.flows)} == {"meta"}
    assert batch.names == ("a", "b")


def test_a_batch_is_pinned_whole(monkeypatch):
    """Where there is no GPU nothing can be pinned: that DataLoader would ask, and every tensor be asked, is checked."""
    from torch.utils.data._utils.pin_memory import pin_memory

    pinned = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: pinned.append(self.shape) or self.clone())
    batch = pin_memory(collate([loaded("a")]))
    assert isinstance(batch, Batch)
    assert pinned == [(1, 2, 3, 4, 6), (1, 4, 6), (1, 1, 2, 4, 6)]
    assert pin_memory(collate([loaded("a", labels=False, flows=False)])).labels is None
