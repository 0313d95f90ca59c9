import json
from collections.abc import Callable

import pytest
import torch
from tinybase import build

from netwarp import VideoModel, load_base
from netwarp.cli import main
from netwarp.engines import read_graph


def test_a_saved_model_and_a_base_are_exported(workplace, capsys: pytest.CaptureFixture[str]):
    VideoModel(load_base("netwarp:streetnet"), ["at_eighth"], flow="zero").save("m.safetensors")
    assert main(["export", "m.safetensors", "new/step.onnx", "--size", "96x64", "--logits"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("new/step.onnx: ")
    assert first.endswith("for frames of 96×64, frame, previous, flow, first, memory_0 → labels, logits, new_memory_0")
    assert second.startswith("labels as in PyTorch: 100.000% in onnxruntime, ")
    assert json.loads(read_graph(workplace / "new/step.onnx").metadata["layers"]) == ["at_eighth"]

    assert main(["export", "b.onnx", "--base", "tinybase:build", "--frame-by-frame", "--size", "32x24"]) == 0
    graph = read_graph(workplace / "b.onnx")
    assert [str(port) for port in graph.inputs] == ["frame uint8 [1,3,24,32]"]
    assert [port.name for port in graph.outputs] == ["labels"]


WITH = "--base tinybase:build"
MISTAKES = {
    "": ["FILE", "missing"],
    "step.onnx": ["nothing to export", "--base"],
    f"step.pt {WITH}": ["step.pt", "step.onnx"],
    "none.safetensors step.onnx": ["none.safetensors"],
    "m.safetensors b.safetensors step.onnx": ["too many"],
    "m.safetensors step.onnx --mean 0,0,0": ["--mean", "--base"],
    "m.safetensors step.onnx --layers 1": ["--layers", "--base"],
    f"step.onnx {WITH} --flow dis": ["--flow", "inside"],
    f"step.onnx {WITH} --size 4": ["--size"],
    f"step.onnx {WITH} --layers 9": ["'9'"],
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes_get_one_line(workplace, fails: Callable[..., str], arguments: str):
    VideoModel(build(), training_free=True).save("m.safetensors")
    torch.save({}, "b.safetensors")
    message = fails("export", *arguments.split())
    assert all(word in message for word in MISTAKES[arguments])
