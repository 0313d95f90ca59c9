"""``onnx:FILE`` in every engine: the right values, in streams and threads, and what unusable files get."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from onnx import TensorProto, helper
from onnx_files import CLASSES, Convolution, right_answer, write_onnx

from netwarp import VideoModel, load, load_base
from netwarp.engines import ENGINES
from netwarp.errors import ConfigurationError, InputError, NetWarpError, WeightsError
from netwarp.model.inputs import Preprocess

PREPROCESS = {"mean": [100.0, 110.0, 120.0], "std": [50.0, 60.0, 70.0], "scale": 255.0, "order": "bgr"}
FRAMES = torch.randint(0, 256, (3, 1, 3, 24, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
engines = pytest.mark.parametrize("engine", ENGINES)


@engines
@pytest.mark.parametrize("size", [("b", 3, "h", "w"), (1, 3, "h", "w")])
def test_logits_classes_and_preprocessing(tmp_path, engine, size):
    file = write_onnx(tmp_path / "n.onnx", size, **PREPROCESS, classes=["a", "b", "c", "d"], palette=[[9, 8, 7]] * 4)
    base = load_base(f"onnx:{file}", engine=engine)
    assert (base.classes, base.palette[3]) == (("a", "b", "c", "d"), (9, 8, 7))
    assert base.preprocess == Preprocess((100.0, 110.0, 120.0), (50.0, 60.0, 70.0), 255.0, "bgr")
    image = torch.randn(2, 3, 21, 34).to(memory_format=torch.channels_last)
    torch.testing.assert_close(base(image), right_answer(image), rtol=1e-4, atol=1e-5)
    assert load_base(f"onnx:{file}", classes=list("wxyz")).classes == tuple("wxyz")


@engines
def test_a_stream_gives_the_labels_of_the_network_in_pytorch(tmp_path, engine):
    file = write_onnx(tmp_path / "n.onnx")
    theirs = VideoModel(load_base(f"onnx:{file}", engine=engine), training_free=True)
    ours = VideoModel(Convolution(), training_free=True)
    states = [None, None]
    for i, frame in enumerate(FRAMES):
        results = []
        for n, model in enumerate((theirs, ours)):
            logits, states[n] = model.step(frame, states[n], keyframe=i != 1)
            results.append(logits)
        torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)


@engines
def test_files_of_one_size_get_frames_of_every_size(tmp_path, engine):
    base = load_base(f"onnx:{write_onnx(tmp_path / 'n.onnx', (1, 3, 16, 24))}", engine=engine)
    assert base.preprocess.size == (16, 24)
    ours = VideoModel(Convolution(), [], preprocess=replace(base.preprocess))
    with torch.no_grad():
        torch.testing.assert_close(VideoModel(base, []).step(FRAMES[0])[0], ours.step(FRAMES[0])[0])
    with pytest.raises(InputError, match="24×16 alone, not of 24×24"):
        base(torch.zeros(1, 3, 24, 24))


@engines
def test_threads_do_not_mix_their_results(tmp_path, engine):
    base = load_base(f"onnx:{write_onnx(tmp_path / 'n.onnx')}", engine=engine)
    images = [torch.randn(1, 3, 64, 64) for _ in range(24)]
    with ThreadPoolExecutor(4) as pool:
        for image, logits in zip(images, list(pool.map(base, images)), strict=True):
            torch.testing.assert_close(logits, right_answer(image), rtol=1e-4, atol=1e-4)


def test_weights_at_the_output_learn_and_are_saved_without_the_network(tmp_path):
    base = load_base(f"onnx:{write_onnx(tmp_path / 'n.onnx')}")
    model = VideoModel(base, ["output"], "zero").train()
    model(FRAMES[1], FRAMES[0]).square().mean().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in model.netwarps.parameters())
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(ConfigurationError, match=r"without the weights of onnx:.*give base"):
        load(tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors", base).layers == ("output",)


def test_bytes_in_float16_out(tmp_path):
    cast = helper.make_node("Cast", ["logits"], ["half"], to=TensorProto.FLOAT16)
    outputs = {"half": (TensorProto.FLOAT16, ("b", CLASSES, "h2", "w2"))}
    base = load_base(f"onnx:{write_onnx(tmp_path / 'n.onnx', dtype='uint8', more=(cast,), outputs=outputs)}")
    frame = FRAMES[0].float() / 255
    logits = base(base.preprocess(frame))
    torch.testing.assert_close(logits, right_answer(FRAMES[0].float()), rtol=2e-3, atol=2e-3)


def test_inner_layers_are_refused_with_the_reason(tmp_path):
    base = load_base(f"onnx:{write_onnx(tmp_path / 'n.onnx')}")
    with pytest.raises(ConfigurationError, match=r"'conv'.*an engine runs the network.*'log_probs'"):
        VideoModel(base, ["conv"])


def refused(kind, message, spec, **options):
    with pytest.raises(kind, match=message) as caught:
        load_base(spec, **options)
    assert "\n" not in str(caught.value)


def test_what_is_no_onnx_file(tmp_path):
    (tmp_path / "text.onnx").write_text("no model\n" * 99)
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "cut.onnx").write_bytes(write_onnx(tmp_path / "n.onnx").read_bytes()[:-200])
    for name in ("text.onnx", "empty.onnx", "cut.onnx"):
        refused(WeightsError, f"{name} is no ONNX model", f"onnx:{tmp_path / name}")
    refused(WeightsError, "no ONNX file at", f"onnx:{tmp_path / 'none.onnx'}")
    refused(WeightsError, "is a folder", f"onnx:{tmp_path}")


SIZE = ("b", "c", "h", "w")
ROWS = helper.make_node("ArgMax", ["logits"], ["labels"], axis=2, keepdims=0)
COPY = helper.make_node("Identity", ["logits"], ["coarse"])
TWO = {"logits": (TensorProto.FLOAT, SIZE), "coarse": (TensorProto.FLOAT, SIZE)}


@pytest.mark.parametrize(
    ("message", "options"),
    [
        (r"no image \[B,3,H,W\] .*\(image float32 \[1,4,16,24\]\)", {"size": (1, 4, 16, 24)}),
        (r"no image \[B,3,H,W\] .*\(image float32 \[3,16,24\]\)", {"size": (3, 16, 24)}),
        ("takes 4 images at a time", {"size": (4, 3, 16, 24)}),
        ("logits.*coarse.*onnx:.*#NAME", {"more": (COPY,), "outputs": TWO}),
        (r"no logits .*labels int64", {"more": (ROWS,), "outputs": {"labels": (TensorProto.INT64, ("b", "c", "w"))}}),
        ("takes 2 inputs.*flag", {"inputs": (helper.make_tensor_value_info("flag", TensorProto.FLOAT, (1,)),)}),
        ("cannot run .*: try", {"operator": "Convoluted"}),
        ("metadata .* describe no preprocessing", {"order": "grb"}),
        ("metadata .* name 2 classes, and it gives 4", {"classes": ["a", "b"]}),
    ],
)
@engines
def test_files_that_fit_no_network(tmp_path, message, options, engine):
    refused(WeightsError, message, f"onnx:{write_onnx(tmp_path / 'n.onnx', **options)}", engine=engine)


def test_a_result_of_a_shape_that_the_file_does_not_say(tmp_path):
    file = write_onnx(tmp_path / "n.onnx", outputs={"logits": (TensorProto.FLOAT, None)})
    assert len(load_base(f"onnx:{file}").classes) == CLASSES


def test_one_of_several_results_is_named(tmp_path):
    file = write_onnx(tmp_path / "n.onnx", more=(COPY,), outputs=TWO)
    image = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(load_base(f"onnx:{file}#coarse")(image), right_answer(image), rtol=1e-4, atol=1e-5)
    refused(WeightsError, "'fine'.*logits.*coarse", f"onnx:{file}#fine")


@engines
@pytest.mark.parametrize("size", [("b", "h", "w", 3), (1, 18, 34, 3)])
def test_channels_last_as_tensorflow_has_them(tmp_path, engine, size):
    first, last = ({"perm": perm} for perm in ([0, 3, 1, 2], [0, 2, 3, 1]))
    rest = ("h2", "w2") if isinstance(size[1], str) else (9, 17)
    file = write_onnx(
        tmp_path / "n.onnx",
        size,
        before=(helper.make_node("Transpose", ["x"], ["y"], **first),),
        more=(helper.make_node("Transpose", ["logits"], ["last"], **last),),
        outputs={"last": (TensorProto.FLOAT, (size[0], *rest, CLASSES))},
    )
    base = load_base(f"onnx:{file}", engine=engine)
    image = torch.randn(2, 3, 18, 34)
    assert len(base.classes) == CLASSES
    torch.testing.assert_close(base(image), right_answer(image), rtol=1e-4, atol=1e-5)


LABELS = {1: (), 3: (helper.make_node("Transpose", ["logits"], ["last"], perm=[0, 2, 3, 1]),)}


@engines
@pytest.mark.parametrize("axis", LABELS)
def test_a_file_that_gives_labels_is_cut_before_its_argmax(tmp_path, engine, axis):
    source = LABELS[axis][0].output[0] if LABELS[axis] else "logits"
    more = (
        *LABELS[axis],
        helper.make_node("ArgMax", [source], ["whole"], axis=axis, keepdims=1),
        helper.make_node("Cast", ["whole"], ["labels"], to=TensorProto.FLOAT),
    )
    outputs = {"labels": (TensorProto.FLOAT, None)}
    file = write_onnx(tmp_path / "n.onnx", more=more, outputs=outputs, classes=["a", "b", "c", "d"])
    base = load_base(f"onnx:{file}", engine=engine)
    image = torch.randn(1, 3, 18, 34)
    assert base.classes == ("a", "b", "c", "d")
    torch.testing.assert_close(base(image), right_answer(image), rtol=1e-4, atol=1e-5)


def test_sizes_that_the_network_does_not_take(tmp_path):
    halves = helper.make_node("Reshape", ["logits", "shape"], ["cells"])
    shape = helper.make_node("Constant", [], ["shape"], value_ints=[-1, CLASSES, 8, 8])
    outputs = {"cells": (TensorProto.FLOAT, ("b", CLASSES, "h2", "w2"))}
    base = load_base(f"onnx:{write_onnx(tmp_path / 'n.onnx', more=(shape, halves), outputs=outputs)}")
    with pytest.raises(NetWarpError, match=r"fails on an image of 20×18 \(.*--size"):
        base(torch.zeros(1, 3, 18, 20))


def test_wrong_options(tmp_path):
    file = write_onnx(tmp_path / "n.onnx")
    refused(ConfigurationError, "no engine named 'tensorrt'", f"onnx:{file}", engine="tensorrt")
    refused(ConfigurationError, "leave weights=… out", f"onnx:{file}", weights="w.pth")
    refused(WeightsError, "4 classes, not the 3", f"onnx:{file}", classes=3)


def test_engines_that_go_in_any_order_leave_the_process_its_signals(tmp_path):
    code = (
        "import faulthandler, signal, sys\nfrom netwarp import load_base\nfaulthandler.enable()\n"
        "signal.signal(signal.SIGINT, lambda *_: print('came'))\n"
        "one, two = (load_base(f'onnx:{sys.argv[1]}', engine='openvino') for _ in range(2))\n"
        "del one, two\nsignal.raise_signal(signal.SIGINT)"
    )
    file = write_onnx(tmp_path / "n.onnx")
    ended = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "came\n")
