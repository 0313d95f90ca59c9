"""Weights files: read without running code, checked whole, and loaded only if all of them fit."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import re
import struct
import warnings
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netwarp.errors import WeightsError, few, is_out_of_memory, reason_of, told_as
from netwarp.input_files import check_regular

log = logging.getLogger("netwarp")

State = dict[str, Tensor]

MODEL_KEY = "netwarp"
"""Metadata of a safetensors file that holds a whole video model."""

_LENGTH = struct.Struct("<Q")  # of a safetensors file's header, before it

_CHECKSUM = "sha256"
"""Metadata of one that netwarp wrote: over its tensors and its other metadata."""

# Where training scripts put the state dict, the likeliest first; an average of weights comes last where both are there,
# but for BasicSR's, which is what that tests with.
_WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "params_ema", "params", "model", "network", "net", "weights"),
    *("module", "student", "ema_state_dict", "state_dict_ema", "model_ema", "ema", "average_model"),
)
# What DataParallel and torch.compile put before the keys.
PREFIXES = ("module.", "_orig_mod.")


def read_weights(path: Path) -> State:
    """Read a network's state dict from a ``.safetensors`` file or a checkpoint, without running any code in it."""
    if not path.exists():
        raise WeightsError(f"no weights file at {path}")
    check_regular(path, WeightsError)
    if path.suffix.lower() == ".safetensors":
        content, metadata = read_safetensors(path)
        if MODEL_KEY in metadata:  # a whole video model, whose network is what is asked for
            content = {name.removeprefix("base."): t for name, t in content.items() if name.startswith("base.")}
    else:
        content = _read_torch(path)
    while isinstance(content, Mapping):
        inner = next((content[w] for w in _WRAPPERS if isinstance(content.get(w), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path} holds no state dict but {type(content).__name__}: save the network's state_dict()")
    if isinstance(content.get("n_averaged"), Tensor):  # torch's AveragedModel counts
        content = {name: value for name, value in content.items() if name != "n_averaged"}
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"{path} holds no state dict: its entry {name!r} is {type(value).__name__}, not a tensor; "
                "save the network's state_dict() alone"
            )
    return dict(content)


def published_weights(weights: Any, network: str, remedy: str) -> State:  # noqa: ANN401
    """The state dict of an entry of torchvision's weights, out of torch.hub's cache or downloaded into it."""
    # Connection, disk, checksum: urllib and torch.hub raise many kinds.
    with told_as(WeightsError, f"cannot download {weights.name} of {network}", f"download {weights.url} and {remedy}"):
        state = weights.get_state_dict(progress=True, check_hash=True, map_location="cpu", weights_only=True)
    return dict(state)


def read_safetensors(path: Path) -> tuple[Any, dict[str, str]]:
    """Read the tensors and the metadata of a safetensors file, whose checksum must be right where netwarp wrote one."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except Exception as error:  # damaged bytes may raise anything
        raise WeightsError(f"{path} cannot be read as safetensors: {reason_of(error)}") from error
    said = metadata.pop(_CHECKSUM, None)
    if said is not None and said != _checksum(tensors, metadata):
        raise DamagedFileError(f"{path} is damaged (its checksum is another): copy or download it again")
    return tensors, metadata


def safetensors_file(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The content of a safetensors file, with a checksum, which the format itself lacks."""
    from safetensors.torch import save

    # Clones, because safetensors refuses tensors that share memory, as tied weights do.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    content = save(plain, {**metadata, _CHECKSUM: _checksum(plain, metadata)})
    # The library writes metadata in any order; the same model shall be the same file.
    (length,) = _LENGTH.unpack_from(content)
    header = json.loads(content[_LENGTH.size : _LENGTH.size + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return _LENGTH.pack(len(text)) + text + bytes(content[_LENGTH.size + length :])


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = _tensors_digest(dict(sorted(tensors.items())))
    forms = [(name, str(tensor.dtype), tuple(tensor.shape)) for name, tensor in sorted(tensors.items())]
    digest.update(repr((forms, sorted(metadata.items()))).encode())
    return digest.hexdigest()


def _tensors_digest(tensors: Mapping[str, Tensor]) -> hashlib._Hash:
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().data)  # bytes: numpy has no bfloat16
    return digest


def weights_digest(network: nn.Module) -> str:
    """Stands for all tensors of a network."""
    return _tensors_digest(network.state_dict()).hexdigest()


class DamagedFileError(WeightsError):
    """A file whose bytes are not those that were written."""


def check_archive(path: Path) -> None:
    """Compare the checksums in a file of ``torch.save``, at which torch does not look. Older forms have none."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            if any(re.search(r"(^|/)(code/|archive_format$)", name) for name in archive.namelist()):
                raise WeightsError(
                    f"{path} is a whole network (of torch.jit or torch.export), no weights: write a function that "
                    "loads and returns it, and give that as the base, package.module:function"
                )
            if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
                raise WeightsError(f"{path} is a compressed archive: write it with torch.save")
            wrong = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, zlib.error, RuntimeError) as error:
        raise DamagedFileError(f"{path} is damaged ({reason_of(error)}): copy or download it again") from error
    if wrong is not None:
        raise DamagedFileError(f"{path} is damaged (the checksum of {wrong} is another): copy or download it again")


_MOST_STAND_INS = 64
"""Kinds of foreign objects in one file that are passed over."""

_STAND_IN = "stand-in"
# As torch takes the parts of an object: its state alone, the items of a dict besides, or those of a list.
_FORMS: tuple[Callable[[type], object], ...] = (object.__new__, lambda _: OrderedDict(), lambda _: [])

_HARMLESS: list[Any] = [list, dict, tuple, set, frozenset, int, float, complex, str, bool]
"""Kinds of Python's own that torch does not know: a ``defaultdict(list)`` of scores is made by one."""

_NEVER = ("torch", "builtins", "__builtin__", "os", "posix", "nt", "sys", "subprocess", "runpy", "importlib", "shutil")
"""Packages whose objects in a file mean that it is no checkpoint, but a whole network, or runs code."""


def _read_torch(path: Path) -> Any:  # noqa: ANN401
    """Read a checkpoint; foreign objects beside its tensors (arguments, scores, configurations) become stand-ins."""
    stand_ins: dict[str, int] = {}  # by a foreign class's name, how many forms did not do
    try:
        check_archive(path)
        while True:
            kinds = [*_HARMLESS, *((_stand_in(name, _FORMS[form]), name) for name, form in stand_ins.items())]
            try:
                with warnings.catch_warnings(), torch.serialization.safe_globals(kinds):
                    warnings.simplefilter("ignore")
                    return torch.load(path, map_location="cpu", weights_only=True)
            except (pickle.UnpicklingError, TypeError) as error:  # the latter before torch 2.9
                foreign = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
                failed = re.search(rf"{_STAND_IN} ([^\s'>]+)", str(error))
                name = foreign[1] if foreign else failed[1] if failed else "torch"
                form = stand_ins.get(name, -1) + 1
                if name.partition(".")[0] in _NEVER or form == len(_FORMS) or len(stand_ins) >= _MOST_STAND_INS:
                    raise
                stand_ins[name] = form
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or reason_of(error)}") from error
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)|(?:function|class|instantiate) (\S+)", str(error))
        if wanted is None:
            raise WeightsError(
                f"{path} is damaged, or no checkpoint that can be read without running code: "
                "write it with torch.save(network.state_dict(), path)"
            ) from error
        raise WeightsError(
            f"{path} runs code when it is read ({wanted[1] or wanted[2]}), which is refused: "
            "save the network's state_dict() alone"
        ) from error
    except Exception as error:  # damaged bytes may raise anything
        if is_out_of_memory(error):
            raise
        raise WeightsError(f"{path} is not a checkpoint, or is damaged ({reason_of(error)[:120]})") from error


def _stand_in(name: str, make: Callable[[type], object]) -> type:
    """A class that takes the place of a foreign one in a file: it takes whatever that is made of, and does nothing."""

    class StandIn:
        def __new__(cls, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
            return make(cls)

        def __init__(self, *args: object, **kwargs: object) -> None:
            pass

        def __setstate__(self, state: object) -> None:
            pass

    StandIn.__name__ = StandIn.__qualname__ = f"{_STAND_IN} {name}"
    return StandIn


def load_weights(
    network: nn.Module, state: Mapping[str, Tensor], origin: str | Path, spare: tuple[str, ...] = ()
) -> None:
    """Load weights that fit exactly, but for names that begin with ``spare``; else the network does not change.

    Parts that the network does not have at all (a training's loss, an auxiliary head) are left out with a warning.
    """
    expected = network.state_dict()
    given = {k: v for k, v in unwrapped(state, expected).items() if not k.startswith(spare or ("\0",))}
    parts = {name.partition(".")[0] for name in expected}
    # Not of a Sequential, whose numbers would mean that the network is cut short.
    foreign = sorted({part for name in given if (part := name.partition(".")[0]) not in parts and not part.isdigit()})
    if foreign and all(name in given for name in expected if not name.endswith("num_batches_tracked")):
        log.warning("%s holds parts that the network lacks, and that are left out: %s", origin, few(foreign))
        given = {name: tensor for name, tensor in given.items() if name.partition(".")[0] not in foreign}
    for name, tensor in expected.items():
        if name.endswith("num_batches_tracked"):
            given.setdefault(name, tensor)
    check_fit(expected, given, origin)
    for name, tensor in given.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            raise WeightsError(f"{name} in {origin} is sparse, quantized or complex: save plain tensors")
    # A float64 that overflows the network's own dtype is as bad as an infinity.
    check_finite({name: tensor.to(expected[name].dtype) for name, tensor in given.items()}, origin)
    network.load_state_dict(given, strict=True)


def unwrapped(state: Mapping[str, Tensor], expected: Iterable[str] = ()) -> State:
    """Strip what training scripts put before every name: ``module.``, ``_orig_mod.``, Lightning's ``model.``, others.

    Where all expected names are there behind one prefix, the tensors without it (a loss's, a teacher's) are left out.
    """
    names, own = dict(state), tuple(name for name in expected if not name.endswith("num_batches_tracked"))
    if own and not all(name in names for name in own):
        ends = [name[: -len(own[-1])] for name in names if name.endswith(f".{own[-1]}")]
        whole = [prefix for prefix in ends if all(f"{prefix}{name}" in names for name in own)]
        if whole:
            prefix = min(whole, key=lambda each: ("ema" in each or "teacher" in each, len(each)))
            return {name.removeprefix(prefix): value for name, value in names.items() if name.startswith(prefix)}
    for prefix in PREFIXES * 2:  # in either order
        wrapped = bool(names) and all(name.startswith(prefix) for name in names)
        if wrapped and not any(name.startswith(prefix) for name in own):
            names = {name.removeprefix(prefix): tensor for name, tensor in names.items()}
    return names


def check_finite(state: Mapping[str, Tensor], origin: str | Path) -> None:
    """Refuse weights with NaN or infinity, and name the tensor."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            what = "NaN" if bool(torch.isnan(tensor).any()) else "infinity"
            raise WeightsError(
                f"{name} in {origin} holds {what}: the training that wrote it diverged, or it is damaged"
            )


def check_fit(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], origin: str | Path) -> None:
    """See that tensors have the names and shapes that a network expects."""
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    differing = {
        f"{name} is {list(given[name].shape)} there and {list(tensor.shape)} here": (given[name].shape, tensor.shape)
        for name, tensor in expected.items()
        if name in given and given[name].shape != tensor.shape
    }
    complaints = []
    if missing:
        complaints.append(f"{len(missing)} of {len(expected)} keys are missing ({few(missing)})")
    if unexpected:
        complaints.append(f"{len(unexpected)} are unexpected ({few(unexpected)})")
    if differing:
        complaints.append(f"{len(differing)} shapes differ ({few(list(differing))})")
        counts = {there[0] if there and there[1:] == here[1:] else None for there, here in differing.values()}
        if len(counts) == 1 and (count := counts.pop()):
            complaints[-1] += f": does it have {count} outputs ({{option}})?"
    if complaints:
        raise WeightsError(f"{origin} is of another network: {', '.join(complaints)}", option="classes")
