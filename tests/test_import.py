"""What ``import netwarp`` costs: nothing that is not used."""

import importlib
import subprocess
import sys

import pytest

import netwarp
from netwarp._moved import NEW_PLACES

HEAVY = (
    "cv2",
    "av",
    "torchvision",
    "transformers",
    "segmentation_models_pytorch",
    "yaml",
    "matplotlib",
    "jinja2",
    "numba",
    "triton",
    "onnx",
    "onnxruntime",
    "openvino",
)
LIGHT_USES = "import netwarp; [getattr(netwarp, name) for name in netwarp.__all__]"


def modules_after(*steps: str) -> list[set[str]]:
    """What is imported after each of some steps in one process."""
    printed = "\n".join(f"{step}; print(*sys.modules)" for step in ("import sys", *steps))
    done = subprocess.run([sys.executable, "-c", printed], capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines()[1:]]


def test_heavy_libraries_are_left_alone_until_they_are_used():
    """PyTorch's compiler takes seconds, and most who warp never compile."""
    uses, model, warps = modules_after(
        LIGHT_USES,
        "import torch; model = netwarp.VideoModel(torch.nn.Conv2d(3, 4, 3), training_free=True)",
        "z = torch.rand(1, 2, 4, 4, requires_grad=True); flow, w = torch.zeros(1, 2, 4, 4), torch.ones(2); "
        "(netwarp.warp(z, flow) + netwarp.warp_combine(z, z, flow, w, w)).sum().backward()",
    )
    assert uses.isdisjoint(HEAVY)
    assert model.isdisjoint({"torch._dynamo", "torch._inductor", "numba"})
    assert warps.isdisjoint({"torch._dynamo", "torch._inductor"})


def test_import_alone_does_not_even_need_torch():
    (found,) = modules_after("import netwarp")
    assert found.isdisjoint({"torch", "numpy", *HEAVY})


LIGHT = (
    *("label_sets", "output_files", "video.open", "video.file", "video.live", "video.label_maps", "video.overlay"),
    *("video.writer", "datasets.clips", "datasets.registry", "datasets.camvid", "datasets.cityscapes"),
    *("datasets.clip_folder", "datasets.check", "datasets.predictions", "datasets.augment_settings"),
)


def test_frames_labels_and_lists_of_data_need_no_torch():
    (found,) = modules_after(f"import {', '.join(f'netwarp.{module}' for module in LIGHT)}")
    assert "torch" not in found


def test_every_public_name_is_there():
    for name in netwarp.__all__:
        assert getattr(netwarp, name).__name__ == name
        assert name in dir(netwarp)
    assert len(set(netwarp.__all__)) == len(netwarp.__all__)


def test_all_names_of_the_design():
    design = "warp warp_combine resize_flow FlowCNN NetWarp VideoModel load segment load_base NetWarpError"
    assert set(design.split()) <= set(netwarp.__all__)


def test_unknown_attributes_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'wrap'"):
        _ = netwarp.wrap


@pytest.mark.parametrize(("old", "new"), NEW_PLACES.items())
def test_old_paths_lead_to_the_same_module(old, new):
    assert importlib.import_module(old) is importlib.import_module(new)


def test_old_paths_that_never_were_are_not_found():
    with pytest.raises(ModuleNotFoundError, match=r"netwarp\.data\.nothing"):
        importlib.import_module("netwarp.data.nothing")
