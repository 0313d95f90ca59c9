"""``netwarp convert caffe``, as it is called."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convert.published import dilation8, layers, playdata, pspnet101, pspnet101_netwarp
from convert.wire import Layer, caffemodel
from netwarp import load, load_base
from netwarp.cli import main
from netwarp.cli.convert import EXAMPLE
from netwarp.convert.architecture import ARCHITECTURES

Fails = Callable[..., str]
ARCH = "playdata@0.001"


@pytest.fixture
def model(workplace: Path) -> Path:
    path = workplace / "m.caffemodel"
    path.write_bytes(caffemodel(layers(playdata(0.001))))
    return path


def test_what_is_said(model: Path, capsys: pytest.CaptureFixture[str]):
    # In any order of options and names.
    assert main(["convert", "caffe", "--arch", ARCH, "m.caffemodel", "new/w.safetensors"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines() == [
        f"new/w.safetensors: {ARCH}, 11 classes, 0.0 M parameters from 16 layers of m.caffemodel",
        f"use it with: --base netwarp:{ARCH} --weights new/w.safetensors",
    ]
    assert main(["convert", "caffe", "m.caffemodel", "w2.safetensors", "--arch", ARCH]) == 0
    assert Path("w2.safetensors").read_bytes() == Path("new/w.safetensors").read_bytes()
    load_base(f"netwarp:{ARCH}", weights="w2.safetensors")


def test_names_of_classes_come_back_in_the_advice(model: Path, capsys: pytest.CaptureFixture[str]):
    names = ",".join(f"class{i}" for i in range(11))
    assert main(["convert", "caffe", "--arch", ARCH, "m.caffemodel", "w.safetensors", "--classes", names]) == 0
    assert capsys.readouterr().out.endswith(f"--weights w.safetensors --classes {names}\n")


def test_a_whole_model_with_a_second_copy_of_the_network(workplace: Path, capsys: pytest.CaptureFixture[str]):
    copy = [Layer(f"{name}_t1", arrays) for name, arrays in pspnet101(0.01).items()]
    Path("m.caffemodel").write_bytes(caffemodel([*layers(pspnet101_netwarp(0.01)), *copy]))
    assert main(["convert", "caffe", "--arch", "pspnet101-netwarp@0.01", "m.caffemodel", "m.safetensors"]) == 0
    printed = capsys.readouterr()
    _, unused, use = printed.out.splitlines()
    assert unused.startswith("unused layers with weights: conv1_1_3x3_s2_t1, conv1_1_3x3_s2/bn_t1, ")
    assert unused.endswith(f" and {len(copy) - 20} more")
    assert use == "use it with: --model m.safetensors"
    assert printed.err == ""
    assert len(load("m.safetensors").classes) == 19


def test_a_part_of_a_larger_network_is_a_warning(workplace: Path, capsys: pytest.CaptureFixture[str]):
    Path("m.caffemodel").write_bytes(caffemodel(layers({**dilation8(0.001), "ctx_upsample": [np.ones(1, np.float32)]})))
    assert main(["convert", "caffe", "--arch", ARCH, "m.caffemodel", "w.safetensors"]) == 0
    printed = capsys.readouterr()
    assert "unused layers with weights: ctx_conv1_1, ctx_conv1_2, ctx_conv2_1" in printed.out
    assert printed.err.startswith("netwarp: warning: the layers in m.caffemodel are those of dilation8: ")
    assert len(printed.err.splitlines()) == 1


MISTAKES = {
    "caffe m.caffemodel w.safetensors": "--arch",
    "caffe --arch dilatoin8 m.caffemodel w.safetensors": "'dilation8'",
    "caffe --arch playdata@wide m.caffemodel w.safetensors": "wide",
    f"cafe --arch {ARCH} m.caffemodel w.safetensors": "'caffe'",
    f"caffe --arch {ARCH} m.caffemodel": "OUT",
    f"caffe --arch {ARCH} none.caffemodel w.safetensors": "none.caffemodel",
    f"caffe --arch {ARCH} . w.safetensors": "folder",
    f"caffe --arch {ARCH} empty w.safetensors": "0 bytes",
    f"caffe --arch {ARCH} text new/w.safetensors": "prototxt",
    f"caffe --arch {ARCH} m.caffemodel w.pth": "w.safetensors",
    f"caffe --arch {ARCH} m.caffemodel m.caffemodel": "m.safetensors",
    f"caffe --arch {ARCH} m.caffemodel m.caffemodel/w.safetensors": "m.caffemodel is a file",
    f"caffe --arch {ARCH} m.caffemodel w.safetensors --classes 3": "11 outputs, not the 3",
    "caffe --arch playdata m.caffemodel new/w.safetensors": "31 blobs",
    "caffe --arch pspnet101 m.caffemodel w.safetensors": "playdata",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes(model: Path, fails: Fails, arguments: str):
    Path("empty").touch()
    Path("text").write_text("layer { name: 'x' }")
    assert MISTAKES[arguments] in fails("convert", *arguments.split())


def test_help_names_every_architecture():
    assert set(ARCHITECTURES) <= set(re.findall(r"[\w-]+", EXAMPLE))


def test_mistakes_need_no_torch(workplace: Path):
    """Loading it takes seconds: an empty file is told at once."""
    Path("empty.caffemodel").touch()
    Path("whole.caffemodel").write_bytes(caffemodel(layers(playdata(0.001))))
    code = (
        "import sys\nfrom netwarp.cli import main\n"
        "for arch, source, target in (('vgg', 'a', 'b'), ('playdata', 'empty.caffemodel', 'o.safetensors'), "
        "('playdata', 'whole.caffemodel', 'o.pth')):\n"
        "    assert main(['convert', 'caffe', '--arch', arch, source, target]) == 2\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second, third = done.stderr.splitlines()
    assert "no architecture named 'vgg'" in first
    assert "empty.caffemodel is empty (0 bytes)" in second
    assert third.endswith("name it o.safetensors")
