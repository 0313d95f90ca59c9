"""``netwarp convert``: published weights of other frameworks, as files of ours."""

from __future__ import annotations

from dataclasses import dataclass

from netwarp.cli.arguments import argument, local_place, option
from netwarp.cli.network_options import ClassesOption
from netwarp.cli.terminal import say, warn
from netwarp.convert.architecture import architecture
from netwarp.convert.files import checked_files

EXAMPLE = """\
examples:
  netwarp convert caffe --arch dilation8 d8.caffemodel d8.safetensors
  netwarp segment in.mp4 out --base netwarp:dilation8 --weights d8.safetensors

  netwarp convert caffe --arch pspnet101-netwarp m.caffemodel m.safetensors
  netwarp segment in.mp4 out --model m.safetensors

ARCH is pspnet101-netwarp (the authors' release: a whole video model), pspnet101, dilation10, dilation8 or playdata;
with @FRACTION a version with that fraction of the channels. Every layer and its shape is checked before anything is
written; layers of the file that the network does not have are named and left out.
docs/convert.md says which files there are."""

_FORMATS = ("caffe",)
# Of a second copy of a network in a file, hundreds are left out.
_SHOWN = 20


def _known(text: str) -> str:
    """Refuse what is no architecture before torch is loaded."""
    architecture(text)
    return text


@dataclass(frozen=True, kw_only=True)
class Request(ClassesOption):
    """What is asked for."""

    format: str = argument("FORMAT", "what is read: caffe", choices=_FORMATS)
    arch: str = option("ARCH", "the network that MODEL holds", type=_known, required=True)
    model: str = argument("MODEL", "the .caffemodel")
    out: str = argument("OUT", "the file to write, .safetensors", type=local_place)


def run(request: Request) -> None:
    """Convert; see the module."""
    checked_files(request.model, request.out)  # before torch is loaded
    from netwarp.convert.caffe import convert_caffe

    done = convert_caffe(request.arch, request.model, request.out, request.classes)
    taken = f"{done.parameters / 1e6:.1f} M parameters from {done.layers} layers of {request.model}"
    say(f"{request.out}: {request.arch}, {done.classes} classes, {taken}")
    if done.unused:
        names, more = ", ".join(done.unused[:_SHOWN]), len(done.unused) - _SHOWN
        say(f"unused layers with weights: {names}{f' and {more} more' if more > 0 else ''}")
    if done.likely not in (None, request.arch.partition("@")[0]):
        warn(f"the layers in {request.model} are those of {done.likely}: what {request.arch} does not have is left out")
    use = f"--model {request.out}" if done.video else f"--base {done.base} --weights {request.out}"
    # Weights have no place for names, a model does.
    classes = request.classes if not done.video else None
    named = "" if classes is None or isinstance(classes, int) else f" --classes {','.join(classes)}"
    say(f"use it with: {use}{named}")
