"""Exported steps, run by engines in the loop that docs/export.md shows, against streams of the model itself."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from model.tiny import PLAIN, TinyNet, tiny, video
from netwarp import LearnedGate, Preprocess, VideoModel
from netwarp.engines import open_engine, read_graph
from netwarp.errors import ConfigurationError
from netwarp.export import check, export, write
from netwarp.export.step import StreamStep
from netwarp.flow import LucasKanadeFlow
from netwarp.model.netwarp import Flows

SIZE = (40, 56)
RESIZED = Preprocess(size=(24, 32), order="bgr")
STEPS = list(check.moving_picture(SIZE))


def loop(path, engine, frames):
    """Labels and other results of each frame."""
    graph, memory, previous = read_graph(path), {}, None
    run, inputs = open_engine(engine, path), {port.name: port for port in graph.inputs}
    for i, (down, across) in enumerate(json.loads(graph.metadata["strides"])):
        height, width = frames[0][0].shape[2:]
        shape = (1, inputs[f"memory_{i}"].shape[1], round(height / down), round(width / across))
        memory[f"memory_{i}"] = np.zeros(shape, np.float32)
    for frame, flow in frames:
        given = {"frame": frame.numpy(), "previous": (frame if previous is None else previous).numpy()}
        given |= {"flow": flow.numpy(), "forward_flow": -flow.numpy(), "first": np.array([previous is None])}
        results = run({name: array for name, array in {**given, **memory}.items() if name in inputs})
        memory = {name: results[f"new_{name}"] for name in memory}
        previous = frame
        yield results


MODELS = {
    "inner layers, FlowCNN": lambda: video(["stem", "mid"], flow_cnn="paper", gate="photometric"),
    "FlowCNN of the release, learned gate": lambda: video(
        ["act", "log_probs"], flow_cnn="release", memory="fused", gate=_learned()
    ),
    "alone": lambda: VideoModel(tiny(classes=1), [], preprocess=PLAIN, task="regression"),
    "binary, resized": lambda: _of_task("binary", 1, preprocess=RESIZED),
    "multilabel, bicubic": lambda: _of_task("multilabel", 3, interpolation="bicubic"),
    "regression of several": lambda: _of_task("regression", 2),
}


def _of_task(task, outputs, **options):
    options = {"preprocess": PLAIN, **options}
    return VideoModel(tiny(classes=outputs), training_free=True, flow="zero", task=task, **options)


def _learned():
    gate = LearnedGate("photometric")
    for term in ("features", "forward_backward"):
        gate.get_parameter(term).data.fill_(0.5)
    return gate


@pytest.mark.parametrize("name", MODELS)
def test_a_loop_around_the_graph_is_the_stream(tmp_path, name):
    model = MODELS[name]()
    done = export(model, tmp_path / "step.onnx", SIZE, logits=True)
    assert set(done.agreement) == {"onnxruntime", "openvino"}
    assert min(done.agreement.values()) > 0.999
    assert done.inputs == tuple(port.name for port in read_graph(tmp_path / "step.onnx").inputs)
    assert ("forward_flow" in done.inputs) == ("learned gate" in name)
    # Longer than what the export itself compares, and with a new start on the way.
    frames = [*STEPS, *STEPS[::-1]]
    state = None
    for results, (frame, flow) in zip(loop(tmp_path / "step.onnx", "onnxruntime", frames), frames, strict=True):
        with torch.no_grad():
            logits, state = model.step(frame, state, Flows(flow, -flow))
        torch.testing.assert_close(torch.from_numpy(results["logits"]), logits, atol=3e-3, rtol=1e-3)
        labels = model.labels(logits).to(model.task.stored).numpy()
        assert (results["labels"].shape, results["labels"].dtype) == (labels.shape, labels.dtype)
        assert np.isclose(results["labels"], labels, atol=3e-3).mean() > 0.998
        assert labels.min() < labels.max()
    assert json.loads(read_graph(tmp_path / "step.onnx").metadata["task"]) == model.task.name


def test_frames_of_every_multiple(tmp_path):
    torch.manual_seed(0)
    base = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 5, 1)).eval()
    # Flow is read at pixels for the inner layer, and between them for the answer.
    gate = {"gate": "photometric", "flow_cnn": None}
    model = VideoModel(base, ["1", "output"], preprocess=PLAIN, flow="zero", start=(0.5, 0.5), **gate)
    done = export(model, tmp_path / "step.onnx", (37, 56), logits=True, dynamic=True)
    assert (done.multiple, len(done.agreement)) == (2, 2)
    for size in ((64, 24), (20, 84)):
        state, frames = None, list(check.moving_picture(size))[:2]
        for results, (frame, flow) in zip(loop(tmp_path / "step.onnx", "onnxruntime", frames), frames, strict=True):
            with torch.no_grad():
                logits, state = model.step(frame, state, Flows(flow, -flow))
            torch.testing.assert_close(torch.from_numpy(results["logits"]), logits, atol=1e-3, rtol=0)


class _OfOneSize(TinyNet):
    def forward(self, x):
        return super().forward(x) if x.shape[-1] == 56 else super().forward(x)[..., ::2, ::2]


@pytest.mark.parametrize(
    ("base", "preprocess", "word"),
    [
        (tiny(), Preprocess(size=(24, 32)), "one size"),
        (tiny(), Preprocess(divisor=8, remainder=1), r"8k\+1"),
        (_OfOneSize().eval(), PLAIN, "for one size|does not compute"),
    ],
)
def test_networks_that_are_not_for_every_size(tmp_path, base, preprocess, word):
    with pytest.raises(ConfigurationError, match=word):
        export(VideoModel(base, [], preprocess=preprocess), tmp_path / "step.onnx", SIZE, dynamic=True)
    assert not list(tmp_path.iterdir())


def test_flow_inside_needs_frames_alone(tmp_path):
    model = VideoModel(tiny(), training_free=True, preprocess=PLAIN, flow="lk", classes=list("abcde"))
    assert isinstance(model.flow, LucasKanadeFlow)
    done = export(model, tmp_path / "step.onnx", SIZE, flow_inside=True)
    assert done.inputs == ("frame", "previous", "first", "memory_0")
    assert done.outputs == ("labels", "new_memory_0")
    about = {key: json.loads(value) for key, value in read_graph(tmp_path / "step.onnx").metadata.items()}
    assert (about["classes"], about["size"], about["layers"]) == (list("abcde"), list(SIZE), ["log_probs"])
    for engine in ("onnxruntime", "openvino"):
        state = None
        for results, (frame, _) in zip(loop(tmp_path / "step.onnx", engine, STEPS), STEPS, strict=True):
            with torch.no_grad():
                logits, state = model.step(frame, state)
            assert (results["labels"] == logits.argmax(1).numpy()).mean() > 0.995


@pytest.mark.parametrize("wrong", ["labels", "new_memory_0", None])
@pytest.mark.parametrize("task", ["classes", "regression"])
@torch.no_grad()
def test_a_graph_that_computes_something_else_is_not_written(tmp_path, monkeypatch, task, wrong):
    """Labels, which of a regression network are values, or a memory."""
    model = _of_task(task, 5)
    step = StreamStep(model).eval()

    def engine(given):
        results = dict(zip(step.results, step(*map(torch.from_numpy, given.values())), strict=True))
        if wrong:
            results[wrong] = (1.05 * results[wrong] + 1).to(results[wrong].dtype)
        return {name: tensor.numpy() for name, tensor in results.items()}

    monkeypatch.setattr(write, "to_onnx", lambda *_: b"graph")
    monkeypatch.setattr(write, "open_engine", lambda *_: engine)
    if wrong is None:
        export(model, tmp_path / "step.onnx", SIZE)
        assert (tmp_path / "step.onnx").read_bytes() == b"graph"
        return
    with pytest.raises(ConfigurationError, match=r"does not compute what the model does.*onnxruntime at 56×40"):
        export(model, tmp_path / "step.onnx", SIZE)
    assert not list(tmp_path.iterdir())


def test_half_precision_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="float"):
        export(VideoModel(tiny().half(), [], preprocess=PLAIN), tmp_path / "step.onnx", SIZE)
    assert not list(tmp_path.iterdir())
