import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tinybase import build

from netwarp import VideoModel, load_base
from netwarp.cli import main
from netwarp.engines import read_graph
from netwarp.export import Exported

WITH = "--base tinybase:build"


def test_a_base_is_exported(workplace, capsys: pytest.CaptureFixture[str]):
    assert main(["export", "new/b.onnx", *WITH.split(), "--layers", "1", "--size", "32x24", "--logits"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("new/b.onnx: ")
    assert first.endswith("for frames of 32×24, frame, previous, flow, first, memory_0 → labels, logits, new_memory_0")
    assert second.startswith("labels as in PyTorch: 100.000% in onnxruntime, ")
    assert json.loads(read_graph(workplace / "new/b.onnx").metadata["layers"]) == ["1"]


@pytest.mark.parametrize(
    ("given", "layers", "meant"),
    [
        (
            ["m.safetensors", "s.onnx", "--flow", "inside", "--dynamic"],
            ("at_eighth",),
            {"flow_inside": True, "dynamic": True},
        ),
        (["s.onnx", *WITH.split(), "--frame-by-frame"], (), {}),
    ],
)
def test_what_is_exported(workplace, monkeypatch, given: list[str], layers: tuple, meant: dict):
    VideoModel(load_base("netwarp:streetnet"), ["at_eighth"], flow="zero").save("m.safetensors")

    def export(model: VideoModel, out: Path, size: tuple[int, int], **how: bool) -> Exported:
        assert (model.layers, out, size) == (layers, Path("s.onnx"), (24, 32))
        assert how == {"logits": False, "flow_inside": False, "dynamic": False} | meant
        return Exported((), (), 0, None, {})

    monkeypatch.setattr("netwarp.export.export", export)
    assert main(["export", *given, "--size", "32x24"]) == 0


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
