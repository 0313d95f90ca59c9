"""``netwarp export``: a video model as an ONNX file, for where there is no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from netwarp.cli.arguments import argument, flag, local_place, option
from netwarp.cli.models import OF_A_BASE, base_of, warn_of_random_weights
from netwarp.cli.network_options import PreprocessOptions, size
from netwarp.cli.terminal import quiet_loading, say
from netwarp.errors import ConfigurationError, OutputError
from netwarp.output_places import check_places

if TYPE_CHECKING:
    from netwarp.model import VideoModel

EXAMPLE = """\
examples:
  netwarp export trained.safetensors step.onnx --size 640x360
  netwarp export step.onnx --base netwarp:espnet --weights espnet.pth \\
      --size 480x360
  netwarp export step.onnx --base netwarp:espnet --weights espnet.pth \\
      --flow inside

The graph is one step: a frame, the one before, the flow between them and the memories go in; labels and the next
memories come out. It is run in ONNX Runtime, and in OpenVINO where that is installed, and compared with the model
before it is written. docs/export.md shows the loop around it; examples/onnx_loop.py runs it without PyTorch."""

_TYPICAL = (360, 640)


@dataclass(frozen=True, kw_only=True)
class Request(PreprocessOptions):
    """What is asked for."""

    files: list[str] = argument(
        "FILE", "MODEL OUT.onnx: a model that VideoModel.save wrote, and the file to write; with --base OUT.onnx alone "
        "gets the mode that needs no training", nargs="+", type=local_place,
    )  # fmt: skip
    size: tuple[int, int] | None = option(
        "WxH", "size of the frames that it will take (default: the network's own, else 640x360)", type=size
    )
    flow: Literal["outside", "inside"] = option(
        "WHERE", "whether flow comes from outside (the default) or is estimated inside the graph",
        default="outside", choices=("outside", "inside"),
    )  # fmt: skip
    dynamic: bool = flag("take frames of all sizes that are multiples of the network's stride")
    logits: bool = flag("give logits too")
    layers: list[str] | None = option("LAYER", "where a --base gets its NetWarps (default: log_probs)", nargs="+")
    frame_by_frame: bool = flag("the network alone, without memory")


def run(request: Request) -> None:
    """Export; see the module."""
    source, out = _files(request)
    from netwarp.export import export

    model = _model(request, source)
    frame = request.size or model.preprocess.size or model.example_size or _TYPICAL
    done = export(
        model, out, frame, logits=request.logits, flow_inside=request.flow == "inside", dynamic=request.dynamic
    )
    agreement = ", ".join(f"{share:.3%} in {name}" for name, share in done.agreement.items())
    sizes = f"{frame[1]}×{frame[0]}" if done.multiple is None else f"all multiples of {done.multiple}"
    say(
        f"{out}: {done.bytes / 1e6:.1f} MB for frames of {sizes}, {', '.join(done.inputs)} → "
        f"{', '.join(done.outputs)}\nlabels as in PyTorch: {agreement}"
    )


def _files(request: Request) -> tuple[Path | None, Path]:
    """The model, where there is one, and the file to write."""
    *sources, last = map(Path, request.files)
    if len(sources) > 1:
        raise ConfigurationError(f"{len(request.files)} files are too many: write MODEL OUT.onnx")
    if not sources:
        if request.base is None:
            raise ConfigurationError("nothing to export: write MODEL OUT.onnx, or OUT.onnx with --base SPEC")
    else:
        if request.base is None:
            request.refuse(OF_A_BASE, "goes with --base: a model's are in its file")
        request.refuse(("layers", "frame_by_frame"), "goes with --base alone: a model's are in its file")
    if last.suffix.lower() != ".onnx":
        raise OutputError(f"{last} does not end with .onnx: name it {last.stem or 'step'}.onnx")
    check_places(sources, files=[last])
    return (sources[0] if sources else None), last


def _model(request: Request, source: Path | None) -> VideoModel:
    from netwarp.bases.load_model import load
    from netwarp.model import VideoModel

    base = None if request.base is None else base_of(request).float()
    if source is not None:
        with quiet_loading(request.debug):
            return load(source, base).float()
    assert base is not None
    layers = [name for text in request.layers or () for name in text.split(",") if name] or None
    model = VideoModel(
        base,
        [] if request.frame_by_frame else layers,
        training_free=not request.frame_by_frame,
        example_size=request.size,
    )
    warn_of_random_weights(request.base, request.weights)
    return model
