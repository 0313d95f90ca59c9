"""Training as it is called from Python: it learns, it repeats, it leaves everything else as it was."""

import json
import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import netwarp
from netwarp.datasets.augment_settings import Augmentation
from netwarp.datasets.clips import ClipFrame, Sample
from netwarp.datasets.samples import SampleReader, collate
from netwarp.errors import ConfigurationError, InputError, NetWarpError, OutputError, WeightsError
from netwarp.model import PhotometricGate, VideoModel
from netwarp.training import Consistency, Interrupted, Rates, TrainSettings, train
from netwarp.training.checks import warn_of_crop
from netwarp.training.frozen_prefix import frozen_prefix
from netwarp.training.parameters import hold_w2
from netwarp.training.step import _two_keyframes
from training.toy import CLASSES, PLAIN, Small, clips, files_in, same_weights, small_model, weights_of, with_labels

PAIRS = clips().samples(2)
VIEWS = Augmentation(flip=0.5, crop=(16, 16))
QUICK = {"steps": 4, "batch_size": 4, "rate": 1e-2}


def trained(model: VideoModel | None = None, samples=PAIRS, **settings):
    called = {k: settings.pop(k) for k in ("validation", "folder", "unlabelled", "watch", "caller") if k in settings}
    model = small_model() if model is None else model
    return train(model, samples, TrainSettings(**QUICK | settings), classes=CLASSES, **called)


@pytest.mark.parametrize(
    ("layers", "length"), [(("encoder",), 2), (("encoder", "log_probs"), 3), ((), 1), (("output",), 2)]
)
def test_training_lowers_the_loss(layers, length):
    model = small_model(layers=layers)
    losses = trained(model, clips().samples(length), steps=60, augment=VIEWS).losses
    assert len(losses) == 60
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert not model.training


def test_signals_to_the_whole_group_cost_no_step(tmp_path):
    """A scheduler sends SIGTERM, and a terminal SIGINT, to the processes that read as well."""

    def stop(record):
        if record.step == 2:
            for each in multiprocessing.active_children():
                os.kill(each.pid, signal.SIGINT)
                os.kill(each.pid, signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as interrupt:
        trained(folder=tmp_path / "run", watch=stop, workers=2, steps=50)
    assert interrupt.value.kept == interrupt.value.step == 3
    assert not multiprocessing.active_children()
    assert trained(folder=tmp_path / "run", workers=2, steps=50).steps == 50


def test_a_frozen_network_is_replayed_on_the_frames_of_the_training_alone(monkeypatch):
    kept = []

    @contextmanager
    def watched(*args, **options):
        with frozen_prefix(*args, **options) as prefix:
            yield
            kept.append(prefix.frames)

    monkeypatch.setattr(sys.modules[train.__module__], "frozen_prefix", watched)
    for data in (None, clips(first=4)):
        trained(samples=PAIRS[:4], train_base=False, validation=data, validate_every=1 if data else None)
    assert kept[0] == kept[1] > 0


def test_a_class_without_a_pixel_is_said_before_the_first_step(caplog):
    samples = with_labels(PAIRS, lambda labels, name: np.where(labels == 2, 255, labels).astype(np.uint8))
    said = []
    trained(samples=samples, watch=lambda record: said.append("never occur" in caplog.text))
    assert said[0]
    assert small_model().classes[2] in caplog.text


@pytest.mark.parametrize(("augment", "said"), [
    (Augmentation(crop=(24, 32)), False), (Augmentation(crop=(25, 16)), True),
    (Augmentation(crop=(16, 40), scale=(0.5, 1.2)), True), (Augmentation(crop=(25, 40), scale=(0.5, 1.3)), False),
])  # fmt: skip
def test_a_crop_that_no_frame_fills_is_said(augment: Augmentation, said: bool, caplog):
    warn_of_crop(PAIRS, augment)
    assert ("of 32×24" in caplog.text) == said


def test_a_batch_norm_with_one_value_says_what_to_change():
    class Pooled(Small):
        def __init__(self):
            super().__init__()
            self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8))

        def forward(self, image):
            seen = self.encoder(image)
            return self.head(seen + self.pool(seen))

    model = VideoModel(Pooled(), [], preprocess=PLAIN)
    with pytest.raises(ConfigurationError, match="batch_size 2"):
        trained(model, clips().samples(1), batch_size=1)


def test_a_step_is_what_adam_and_cross_entropy_make_of_the_batch():
    """The paper's recipe, written down once more with torch alone."""
    model, other = small_model(), small_model()
    for one in (model, other):  # its gradient is 0 but for rounding, of which Adam makes steps of full length
        one.base.encoder[0].bias.requires_grad_(False)
    weights = torch.tensor([1.0, 3.0, 0.5])
    settings = {
        "steps": 3,
        "batch_size": len(PAIRS),
        "class_weights": tuple(weights.tolist()),
        "rates": Rates(netwarps=0.1),
    }
    result = trained(model, **settings)

    other.train()
    rates = ((other.base, 1e-2), (other.netwarps, 0.1), (other.flow_cnn, 1e-2))
    groups = [{"params": [p for p in part.parameters() if p.requires_grad], "lr": rate} for part, rate in rates]
    optimiser = torch.optim.Adam(groups)
    highest = [group["lr"] for group in optimiser.param_groups]
    batch = collate(list(SampleReader(PAIRS, "zero")))
    for step in range(3):
        logits = other(batch.frames[:, 1], batch.frames[:, 0])
        loss = nn.functional.cross_entropy(logits, batch.labels, weights, ignore_index=255)
        assert result.losses[step] == pytest.approx(float(loss.detach()), rel=1e-4)
        optimiser.zero_grad()
        loss.backward()
        for group, rate in zip(optimiser.param_groups, highest, strict=True):
            group["lr"] = rate * (1 + np.cos(np.pi * step / 3)) / 2
        optimiser.step()
    for name, tensor in other.state_dict().items():
        assert torch.allclose(model.state_dict()[name].float(), tensor.float(), atol=2e-4), name


def test_training_repeats_exactly_and_depends_on_the_seed():
    def run(seed: int):
        model = small_model(dropout=0.5)
        return trained(model, steps=6, augment=VIEWS, seed=seed).losses, weights_of(model)

    first, again, other = run(2), run(2), run(3)
    assert first[0] == again[0]
    assert same_weights(first[1], again[1])
    assert first[0] != other[0]
    assert not same_weights(first[1], other[1])


def test_two_models_see_the_same_frames_in_the_same_order():
    def seen(model: VideoModel, **settings) -> list[torch.Tensor]:
        trained(model, augment=VIEWS, **settings)
        return model.base.seen

    ours, theirs = seen(small_model()), seen(hold_w2(small_model()))
    assert len(ours) == len(theirs) > 0
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(ours, seen(small_model(), seed=4), strict=True))


class Reader(nn.Module):
    """Reads the class off the colour."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        level = (image[:, :1] + 1) / 2 * 2.55
        return -100 * self.scale * (level - torch.arange(3.0).view(1, 3, 1, 1)).abs()


def test_views_treat_frames_and_labels_alike():
    samples = []
    for sample in PAIRS:
        labels = sample.frames[-1].labels()
        image = (100 * labels[..., None]).repeat(3, 2)
        samples.append(Sample((ClipFrame(sample.name, lambda i=image: i, lambda m=labels: m),)))
    views = Augmentation(flip=0.5, crop=(13, 17))
    result = trained(VideoModel(Reader(), [], preprocess=PLAIN), samples, steps=8, augment=views)
    assert max(result.losses) < 1e-6
    assert all(record.iou == 100 for record in result.records)


@pytest.mark.parametrize("frozen", ["by hand", "as told"])
def test_a_frozen_base_keeps_its_weights_and_statistics(frozen):
    model = small_model(dropout=0.5)
    if frozen == "by hand":
        model.base.requires_grad_(False)
    before, start = weights_of(model.base), model.netwarps[0].w2.detach().clone()
    trained(model, train_base=None if frozen == "by hand" else False)
    assert same_weights(weights_of(model.base), before)
    assert not torch.equal(start, model.netwarps[0].w2)
    assert all(p.requires_grad == (frozen != "by hand") for p in model.base.parameters())


def test_batches_that_are_summed_are_one_batch():
    """Without batch norm in training mode, which counts each batch on its own."""

    def run(**settings):
        model = small_model()
        spoilt = with_labels(PAIRS, lambda labels, name: np.where(labels == 1 + (name[-1] == "2"), 255, labels))
        result = trained(model, spoilt, train_base=False, class_weights="inverse_log", augment=VIEWS, **settings)
        return result, weights_of(model)

    (whole, ours), (pieces, theirs) = run(), run(batch_size=1, accumulate=4)
    assert pieces.losses == pytest.approx(whole.losses, rel=1e-5)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)


def test_ignored_pixels_train_nothing():
    ignored = with_labels(PAIRS, lambda labels, name: np.full_like(labels, 255))
    model = small_model()
    before = weights_of(model.netwarps)
    result = trained(model, ignored, train_base=False)
    assert result.losses == [0.0] * 4
    assert same_weights(weights_of(model.netwarps), before)


def test_a_network_with_more_outputs_than_there_are_classes():
    result = trained(small_model(outputs=5), class_weights="inverse_log")
    assert np.isfinite(result.losses).all()


def test_the_gradient_is_clipped_and_its_norm_told():
    free, held = trained(), trained(clip_gradient=1e-3)
    assert free.records[0].gradient == pytest.approx(held.records[0].gradient)
    assert held.records[0].gradient > 1e-3
    assert held.losses[1] != free.losses[1]


def test_the_past_can_be_detached():
    model = small_model(layers=("encoder",))
    with torch.no_grad():
        model.netwarps[0].w1.zero_()  # all comes from the past
    whole, apart = trained(steps=1), trained(small_model(), steps=1, detach_past=True)
    assert apart.losses == pytest.approx(whole.losses)
    assert apart.records[0].gradient != pytest.approx(whole.records[0].gradient)
    before = weights_of(model.base.encoder[0])
    trained(model, steps=1, detach_past=True)
    assert same_weights(weights_of(model.base.encoder[0]), before)


@pytest.mark.parametrize("gap", [1, 2, 3])
def test_two_keyframes_of_a_clip_and_the_way_between_them(gap):
    frames, flows = torch.rand(2, 4, 3, 8, 9), torch.randn(2, 3, 2, 8, 9)
    two, way = _two_keyframes(frames, flows, gap)
    assert torch.equal(two, torch.stack((frames[:, 3 - gap], frames[:, 3]), 1))
    path = flows[:, 3 - gap]  # from the frame after the first keyframe on
    for later in range(4 - gap, 3):
        path = flows[:, later] + netwarp.warp(path, flows[:, later])
    torch.testing.assert_close(way[:, 0], path)
    constant = torch.arange(1.0, 4.0).view(1, 3, 1, 1, 1).expand(2, 3, 2, 8, 9)
    assert torch.equal(_two_keyframes(frames, constant, gap)[1][0, 0], constant[0, -gap:].sum(0))


def test_old_memory_can_be_trained_with():
    gaps = trained(samples=clips(length=4).samples(4), keyframes=True, steps=4)
    assert gaps.beyond_paper["keyframes"] is True
    again = trained(samples=clips(length=4).samples(4), keyframes=True, steps=4)
    assert gaps.losses == again.losses != trained(samples=clips(length=4).samples(4), steps=4).losses
    with pytest.raises(ConfigurationError, match="2"):
        trained(keyframes=True)
    with pytest.raises(ConfigurationError):
        trained(keyframes=True, consistency=Consistency(0.5))


def test_bf16_learns_too():
    losses = trained(steps=40, precision="bf16", augment=VIEWS).losses
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert losses != trained(steps=40, augment=VIEWS).losses


@pytest.mark.parametrize("unlabelled", [0, 3])
def test_the_consistency_loss_brings_neighbours_together(unlabelled):
    data = clips(length=4, every=4)
    consistency = Consistency(2.0, unlabelled)
    without, model = small_model(layers=()), small_model(layers=())
    settings = {"samples": data.samples(2), "steps": 40, "unlabelled": data.windows(2)}
    trained(without, **settings)
    result = trained(model, consistency=consistency, **settings)
    assert all(record.consistency is not None and 0 < record.consistency < record.loss for record in result.records)
    batch = collate(list(SampleReader(data.windows(2)[:2], None)))

    def apart(model: VideoModel) -> float:
        with torch.no_grad():
            then, now = (model(batch.frames[:, t], batch.frames[:, t]).softmax(1) for t in range(2))
        return float((now[..., :-1] - then[..., 1:]).abs().mean())

    assert apart(model) < apart(without)


def test_validation_keeps_the_best_and_stops_when_it_gets_no_better(monkeypatch):
    scores = iter([10.0, 40.0, 30.0, 20.0, 90.0])
    at_best: dict[str, torch.Tensor] = {}

    def scored(model, data):
        score = next(scores)
        if score == 40:
            at_best.update(weights_of(model))
        return netwarp.training.logs.ValidationScores(0.0, score, 0.0)

    monkeypatch.setattr("netwarp.training.loop.validate", scored)
    model = small_model()
    result = trained(model, steps=50, validation=clips(), validate_every=2, patience=2, monitor="tiou")
    assert (result.steps, result.kept, result.stopped_early) == (8, 4, True)
    assert (result.best.step, result.best.score) == (4, 40.0)
    assert same_weights(weights_of(model), at_best)
    assert [record.step for record in result.records if record.scores] == [2, 4, 6, 8]


@pytest.mark.parametrize("frozen", [True, False])
def test_batch_norms_keep_their_statistics_and_learn_their_scale(frozen: bool):
    """Also after a validation, which leaves the model in the mode that it was in."""
    model = small_model()
    norm = model.base.encoder[1]
    norm.running_mean.fill_(0.3)
    mean, scale = norm.running_mean.clone(), norm.weight.detach().clone()
    trained(model, steps=4, validation=clips(2), validate_every=1, freeze_batch_norm=frozen)
    assert torch.equal(norm.running_mean, mean) == frozen
    assert not torch.equal(norm.weight, scale)
    assert model.train().base.encoder[1].training  # and afterwards they are as free as before


def test_without_patience_the_last_is_kept_and_validation_is_at_the_end():
    model = small_model()
    result = trained(model, steps=5, validation=clips(first=9))
    assert [record.step for record in result.records if record.scores] == [5]
    assert (result.steps, result.kept, result.stopped_early) == (5, 5, False)
    assert 0 <= result.best.score <= 100


def test_validation_changes_nothing():
    undisturbed, watched = small_model(dropout=0.5), small_model(dropout=0.5)
    trained(undisturbed)
    trained(watched, validation=clips(first=9), validate_every=1)
    assert same_weights(weights_of(undisturbed), weights_of(watched))


def test_a_folder_holds_what_came_out(tmp_path: Path):
    model = small_model(gate=PhotometricGate())
    result = trained(model, folder=tmp_path / "runs" / "toy", caller={"base": "small"}, validation=clips())
    assert files_in(tmp_path / "runs" / "toy") == ["last.ckpt", "log.csv", "model.safetensors", "result.json"]
    loaded = netwarp.load(tmp_path / "runs" / "toy" / "model.safetensors", base=small_model().remove())
    assert same_weights(weights_of(loaded), weights_of(model))
    told = json.loads((tmp_path / "runs" / "toy" / "result.json").read_text())
    assert told["steps"] == 4
    assert told["base"] == "small"
    assert told["training"]["rate"] == 1e-2
    assert told["beyond_paper"] == result.beyond_paper
    assert told["loss"] == pytest.approx(np.mean(result.losses))
    assert [entry["step"] for entry in told["validation"]] == [4]


def test_what_is_not_the_papers_is_named():
    paper = small_model(flow="dis", start=(1.0, 0.0), flow_cnn=netwarp.FlowCNN(start="gaussian"))
    assert trained(paper, steps=1).beyond_paper == {}
    other = small_model(gate=PhotometricGate(), memory="fused", flow_cnn=None, layers=("log_probs",))
    settings = {
        "samples": clips().samples(3),
        "consistency": Consistency(0.5, 1),
        "detach_past": True,
        "train_base": False,
    }
    names = trained(other, steps=1, unlabelled=clips().windows(3), **settings).beyond_paper
    assert names == {
        "length": 3, "start": [[0.5, 0.5]], "memory": "fused", "gate": repr(PhotometricGate()), "flow": "zero",
        "flow_cnn": None, "consistency": 0.5, "unlabelled": 1, "detach_past": True, "train_base": "none",
        "log_probs": True,
    }  # fmt: skip


def test_nothing_of_the_process_is_changed(tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog):
    def state():
        levels = [logging.getLogger(name).level for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
        return (
            torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate(), dict(os.environ),
            torch.get_num_threads(), torch.is_grad_enabled(), signal.getsignal(signal.SIGINT),
            signal.getsignal(signal.SIGTERM), warnings.filters[:], levels, files_in(Path()), threading.active_count(),
            torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark,
        )  # fmt: skip

    trained(steps=1)  # what libraries do when they are imported is their own matter
    model = small_model(dropout=0.5)
    before = state()
    with caplog.at_level(logging.INFO):
        trained(model, folder=tmp_path / "run", validation=clips())
        assert caplog.messages == []
    assert state() == before
    out, err = capfd.readouterr()
    assert out == err == ""


def test_every_step_is_told():
    told = []
    result = trained(watch=told.append)
    assert told == result.records
    assert [record.step for record in told] == [1, 2, 3, 4]
    assert [record.rate for record in told] == pytest.approx([0.01, 0.0085355, 0.005, 0.00146447], rel=1e-4)


@pytest.mark.parametrize(
    ("wrong", "error", "value"),
    [
        ({"samples": []}, ConfigurationError, "nothing to train on"),
        ({"samples": [*PAIRS, *clips().samples(3)]}, InputError, "clip0/2 .*3 .*clip0/1 .*2"),
        ({"samples": clips(every=5).windows(2)}, InputError, "clip0/1"),
        ({"model": small_model(outputs=2)}, ConfigurationError, "3 classes.* 2 outputs"),
        ({"class_weights": (1.0, 2.0)}, ConfigurationError, "class_weights .*2 .*3"),
        ({"validate_every": 2}, ConfigurationError, "validate_every"),
        ({"tensorboard": True}, ConfigurationError, "tensorboard"),
        ({"consistency": Consistency(1.0, 1)}, ConfigurationError, "clips without labels"),
        ({"consistency": Consistency(1.0), "samples": clips().samples(1)}, ConfigurationError, "at least 2"),
        ({"train_base": ("haed",)}, ConfigurationError, "'haed'.*'head'"),
        ({"model": small_model().requires_grad_(False)}, ConfigurationError, "nothing to train"),
        ({"validation": clips(every=9, length=1), "monitor": "tc"}, ConfigurationError, "two frames"),
        ({"model": small_model(flow="true")}, InputError, "clip0/1"),
        ({"accelerator": "gpu"}, ConfigurationError, "GPU"),
        ({"gpus": 2, "accelerator": "gpu", "devices": 3}, ConfigurationError, "2 GPUs"),
        ({"gpus": 2, "devices": 99}, ConfigurationError, "2 GPUs"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_done(wrong, error, value, tmp_path: Path, monkeypatch):
    wrong = {"gpus": 0, "model": small_model(), "folder": tmp_path / "run", **wrong}
    gpus, model, folder = wrong.pop("gpus"), wrong.pop("model"), wrong.pop("folder")
    if "monitor" in wrong:
        wrong |= {"validate_every": 1, "patience": 1}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    before = weights_of(model)
    with pytest.raises(error, match=value) as raised:
        trained(model, **wrong, **({} if "tensorboard" in wrong else {"folder": folder}))
    assert "\n" not in str(raised.value)
    assert same_weights(weights_of(model), before)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_stops_and_keeps_what_was_good(tmp_path: Path):
    """A frame that makes the network fail, at a step that is not the first."""
    model = small_model()
    clean = trained(small_model(), steps=12, batch_size=1, rate=1e-3)
    assert np.isfinite(clean.losses).all()
    model.base.register_forward_hook(lambda m, args, out: out * (float("nan") if len(model.base.seen) == 16 else 1.0))
    settings = {"steps": 12, "batch_size": 1, "rate": 1e-3, "checkpoint_every": 2}
    with pytest.raises(WeightsError, match=r"nan at step 8 \(frames clip\d/\d\)"):
        trained(model, folder=tmp_path, **settings)
    assert files_in(tmp_path) == ["last.ckpt", "log.csv", "previous.ckpt"]
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    again = small_model()
    result = trained(again, folder=tmp_path, **settings)
    assert result.losses == clean.losses


def test_a_gradient_that_is_not_finite_does_too():
    model = small_model()
    model.base.head.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = weights_of(model.netwarps)
    with pytest.raises(WeightsError, match=r"the gradient is (inf|nan) at step 1"):
        trained(model)
    assert same_weights(weights_of(model.netwarps), before)


@pytest.mark.parametrize("how", ["unreadable", "label"])
def test_data_that_cannot_be_used_stops_and_keeps_what_was_good(how, tmp_path: Path):
    spoilt = {"now": True}

    def image(old):
        if spoilt["now"] and how == "unreadable":
            raise InputError("clip3/2.png is not an image that can be read")
        return old()

    def labels(old):
        return np.full_like(old(), 77) if spoilt["now"] and how == "label" else old()

    samples = []
    for sample in PAIRS:
        last = sample.frames[-1]
        if last.name == "clip3/2":
            last = ClipFrame(last.name, lambda o=last.image: image(o), lambda o=last.labels: labels(o))
        samples.append(Sample((sample.frames[0], last)))
    settings = {"samples": samples, "steps": 12, "batch_size": 1, "checkpoint_every": 1, "folder": tmp_path}
    with pytest.raises(NetWarpError, match="clip3/2"):
        trained(**settings)
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert len(rows) > 1, "steps before the bad frame were done and kept"
    spoilt["now"] = False
    model, undisturbed = small_model(), small_model()
    result = trained(model, **settings)
    clean = trained(undisturbed, steps=12, batch_size=1)
    assert result.losses == clean.losses
    assert same_weights(weights_of(model), weights_of(undisturbed))


def test_a_checkpoint_of_another_training_is_refused_and_kept(tmp_path: Path):
    trained(folder=tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    others = [
        {"batch_size": 3},
        {"model": small_model(layers=("output",))},
        {"samples": PAIRS[2:]},
        {"caller": {"base": "other"}},
    ]
    for other in others:
        model = other.get("model") or small_model()
        before = weights_of(model)
        with pytest.raises(WeightsError, match=r"last.ckpt") as error:
            trained(**{**other, "model": model}, folder=tmp_path)
        assert "\n" not in str(error.value)
        assert same_weights(weights_of(model), before)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_a_result_without_its_checkpoint_is_not_overwritten(tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"model\.safetensors"):
        trained(folder=tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == b"precious"


def test_a_training_that_is_done_is_only_told_again(tmp_path: Path):
    first = small_model()
    result = trained(first, folder=tmp_path, patience=1, validate_every=2, validation=clips())
    written = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").unlink()
    other = small_model()
    again = trained(other, folder=tmp_path, patience=1, validate_every=2, validation=clips())
    assert other.base.seen == []
    assert (result.before, again.before) == (0, result.steps)
    assert again.losses == result.losses
    assert (again.kept, again.best, again.stopped_early) == (result.kept, result.best, result.stopped_early)
    assert (tmp_path / "model.safetensors").read_bytes() == written
