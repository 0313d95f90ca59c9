"""Kinds of files that may be damaged: how a small whole one is made, what reads it, and when the result is right."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import PIL.Image
import torch
import yaml
from safetensors.torch import load_file

from cli.small_videos import masks, picture
from convert.published import PUBLISHED, layers
from convert.wire import caffemodel
from netwarp import VideoModel, load, load_base
from netwarp.cli import main
from netwarp.flow.precomputed import write_flo
from netwarp.weights import read_weights

FRAMES = 6
BASE = ("--base", "tinybase:build")
TRAINING = {
    "out": "run",
    "data": {"spec": "streets:clips=1,frames=2,size=32x24", "cache": "cache"},
    "model": {"base": "tinybase:build", "classes": 11, "layers": ["1"], "start": [0.5, 0.5], "flow_cnn": None},
    "training": {"steps": 2, "batch_size": 1, "rate": 0.01, "checkpoint_every": 1},
}


@dataclass(frozen=True)
class Kind:
    """A kind of file, in the current folder.

    Attributes:
        file: What is damaged.
        make: Write it, and what the command needs beside it.
        command: What reads it; its results are called ``out…``.
        result: What came of that; with exit 0 and no word it must be that of the whole file. None: no way to tell.
        text: Whether it is one that people write.
        packet: If it is a stream of packets of so many bytes: one that is cut behind one of them is whole, but shorter.
        slow: Whether only a quarter of the tries are made.
    """

    file: str
    make: Callable[[], object]
    command: Sequence[str]
    result: Callable[[], object] | None = None
    text: bool = False
    packet: int = 0
    slow: bool = False


def _film(path="film.mp4", codec="libx264", pixels="yuv420p", **options):
    with av.open(path, "w", container_options=options) as container:
        stream = container.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for index in range(FRAMES):
            image = av.VideoFrame.from_ndarray(picture(index), "rgb24").reformat(format=pixels)
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))


def _frames(folder, ending, **options):
    Path(folder).mkdir(parents=True)
    for index in range(3):
        PIL.Image.fromarray(picture(index)).save(f"{folder}/{index:03d}.{ending}", **options)


def _labels(folder):
    Path(folder).mkdir(parents=True)
    for index in range(3):
        PIL.Image.fromarray((picture(index)[..., 0] // 100).astype(np.uint8)).save(f"{folder}/{index:03d}.png")


def _maps():
    return [found.tobytes() for found in masks("out")]


def _count():
    return len(masks("out"))


def _video(ending, codec="libx264", pixels="yuv420p", packet=0, **options):
    name = f"film.{ending}"
    command = ("segment", name, "out", *BASE, "--frame-by-frame")
    return Kind(name, lambda: _film(name, codec, pixels, **options), command, _count, packet=packet)


def _tree():
    _frames("tree/val/frames/a", "png")
    _labels("tree/val/labels/a")
    Path("tree/classes.txt").write_text("road 128 64 128\ncar 0 0 255\nsky 9 9 9\n")
    Path("tree/step.txt").write_text("1\n")


def _with_film(make):
    def both():
        _film()
        make()

    return both


def _same(file):
    """Tensors, and with a model its configuration, as comparable values."""
    if file == "model.safetensors":
        model = load(file, load_base("tinybase:build"))
        return repr(model.configuration()), {k: v.tolist() for k, v in model.state_dict().items()}
    return {name: tensor.tolist() for name, tensor in read_weights(Path(file)).items()}


def _flow():
    _film()
    Path("flow").mkdir()
    for index in range(1, FRAMES):
        write_flo(f"flow/{index:06d}.flo", torch.full((2, 48, 64), -1.0))


def _checkpoint():
    Path("train.yaml").write_text(yaml.safe_dump(TRAINING))
    assert main(["train", "--config", "train.yaml"]) == 0
    for file in ("model.safetensors", "result.json"):
        Path("run", file).unlink()


def _trained():
    return {name: tensor.tolist() for name, tensor in load_file("run/model.safetensors").items()}


def _model():
    VideoModel(load_base("tinybase:build"), training_free=True).save("model.safetensors")


def _state(path):
    torch.save(load_base("tinybase:build").state_dict(), path)


SEGMENT = ("segment", "film.mp4", "out", *BASE)
CHECK = ("check-data", "folder:tree")
KINDS = {
    "mp4": _video("mp4"),
    "fragments": _video("mp4", movflags="frag_every_frame+empty_moov"),
    "mkv": _video("mkv"),
    "mov": _video("mov", "mpeg4"),
    "avi": _video("avi", "mpeg4"),
    "flv": _video("flv"),
    "ts": _video("ts", packet=188),
    "webm": _video("webm", "libvpx-vp9"),
    "gif": _video("gif", "gif", "rgb8"),
    "png": Kind("in/001.png", lambda: _frames("in", "png"), ("segment", "in", "out", *BASE, "--frame-by-frame"), _maps),
    "jpeg": Kind(
        "in/001.jpg", lambda: _frames("in", "jpg"), ("segment", "in", "out", *BASE, "--frame-by-frame"), _count
    ),
    "tiff": Kind(
        "in/001.tiff", lambda: _frames("in", "tiff"), ("segment", "in", "out", *BASE, "--frame-by-frame"), _count
    ),
    "label map": Kind(
        "in/001.png", _with_film(lambda: _labels("in")), ("smooth", "film.mp4", "in", "out", "--flow", "zero"), _maps
    ),
    "flow": Kind("flow/000002.flo", _flow, (*SEGMENT, "--flow", "precomputed:flow")),
    "frame of data": Kind("tree/val/frames/a/001.png", _tree, CHECK),
    "labels of data": Kind("tree/val/labels/a/001.png", _tree, CHECK),
    "classes": Kind("tree/classes.txt", _tree, CHECK, text=True),
    "steps": Kind("tree/step.txt", _tree, CHECK, text=True),
    "model": Kind(
        "model.safetensors",
        _with_film(_model),
        ("segment", "film.mp4", "out", "--model", "model.safetensors", *BASE),
        lambda: _same("model.safetensors"),
    ),
    "pth": Kind(
        "w.pth",
        _with_film(lambda: _state("w.pth")),
        (*SEGMENT, "--weights", "w.pth", "--frame-by-frame"),
        lambda: _same("w.pth"),
    ),
    "caffemodel": Kind(
        "m.caffemodel",
        lambda: Path("m.caffemodel").write_bytes(caffemodel(layers(PUBLISHED["playdata"](1 / 64)))),
        ("convert", "caffe", "m.caffemodel", "out.safetensors", "--arch", "playdata@0.015625"),
    ),
    "checkpoint": Kind("run/last.ckpt", _checkpoint, ("train", "--config", "train.yaml"), _trained, slow=True),
    "configuration": Kind(
        "train.yaml",
        lambda: Path("train.yaml").write_text(yaml.safe_dump(TRAINING)),
        ("train", "--config", "train.yaml"),
        text=True,
    ),
}
