"""``netwarp convert``: published weights of other frameworks, as files of ours."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from netwarp.cli.models import add_classes_argument
from netwarp.cli.parser import from_text
from netwarp.cli.terminal import say, warn
from netwarp.convert.architecture import architecture
from netwarp.convert.files import checked_files

SUMMARY = "turn a published Caffe model into a file that netwarp loads"

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


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("format", metavar="FORMAT", choices=_FORMATS, help="what is read: caffe")
    parser.add_argument("--arch", metavar="ARCH", type=_known, required=True, help="the network that MODEL holds")
    parser.add_argument("model", metavar="MODEL", help="the .caffemodel")
    parser.add_argument("out", metavar="OUT", help="the file to write, .safetensors")
    add_classes_argument(parser)


def run(options: Namespace) -> None:
    """Convert; see the module."""
    checked_files(options.model, options.out)  # before torch is loaded
    from netwarp.convert.caffe import convert_caffe

    done = convert_caffe(options.arch, options.model, options.out, options.classes)
    taken = f"{done.parameters / 1e6:.1f} M parameters from {done.layers} layers of {options.model}"
    say(f"{options.out}: {options.arch}, {done.classes} classes, {taken}")
    if done.unused:
        names, more = ", ".join(done.unused[:_SHOWN]), len(done.unused) - _SHOWN
        say(f"unused layers with weights: {names}{f' and {more} more' if more > 0 else ''}")
    if done.likely not in (None, options.arch.partition("@")[0]):
        warn(f"the layers in {options.model} are those of {done.likely}: what {options.arch} does not have is left out")
    use = f"--model {options.out}" if done.video else f"--base {done.base} --weights {options.out}"
    # Weights have no place for names, a model does.
    named = not done.video and options.classes is not None and not isinstance(options.classes, int)
    say(f"use it with: {use}{' --classes ' + ','.join(options.classes) if named else ''}")


@from_text
def _known(text: str) -> str:
    """Refuse what is no architecture before torch is loaded."""
    architecture(text)
    return text
