"""Replay: settled modules return what they returned for the same frame before."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from netwarp.errors import ConfigurationError
from netwarp.model.outputs import logits_of
from netwarp.model.replay.questions import Questions
from netwarp.model.replay.recording import Diverged, Player, Recorder, Recording, Run, Unfit
from netwarp.model.replay.settled import Settled, Watch, condition_of, digest, is_opaque

__all__ = ["Replay"]

ALIKE = 1e-3
"""How far, relative to the largest logit, a first replayed pass may be from the network's own: last bits grow."""
ALIKE_COARSELY = 0.03
"""The same in half precision, and on devices that convolve in it."""

_active: ContextVar[tuple[Replay, ...]] = ContextVar("replays", default=())
_running: ContextVar[tuple[Replay, Run] | None] = ContextVar("replay_run", default=None)


@dataclass(eq=False)
class _Case:
    """Recordings that hold under one condition of the network.

    Attributes:
        settled: What is recorded.
        kept: Recordings by frame.
        weights: Notices when they change.
        checked: Whether a replayed pass was compared to the network's own.
        declined: Why nothing can be replayed, or None.
    """

    settled: Settled
    kept: dict[Hashable, Recording] = field(default_factory=dict)
    weights: Watch = field(default_factory=Watch)
    checked: bool = False
    declined: str | None = None


class Replay(AbstractContextManager["Replay"]):
    """While it is entered, the frozen beginning of a network does not run again on a frame that it has seen.

    For training on few frames that come as they are (no augmentation) again and again. A pass begins with modules
    whose output depends on the frame alone: nothing that is trained, random, or exchanged by a NetWarp has come in yet.
    On a new frame this beginning is run once by itself, and what its modules return is kept as far as what follows
    looks at it; then, as for every frame seen before, it is returned instead of computed. This holds for any network,
    for one frozen in part, with and without gradients. Frames are told by their content.

    Replayed or not, a step on one clip gives bitwise the same logits and gradients. In a larger batch they may differ
    in the last bits, since each frame was computed by itself; they do not depend on what happens to be kept, so that
    an interrupted training that goes on ends with the same bits too.

    At first the network is run on noise and on the frame as ever, and compared: one whose modules talk to each
    other behind the back, or look at other samples of a batch, is found out and runs as ever; :attr:`declined` says
    why. So does a network with hooks of somebody else (but for those of transformers), with compiled or scripted parts,
    and one called with more than a frame.

    It may be entered once at a time, and acts in the thread that entered it. Modules must not be exchanged in the
    meantime; weights may be loaded (but not through ``.data``). All is forgotten on leaving, and the network is
    as it was before.

    Attributes:
        declined: Why the network ran as ever the last time, or None.
        nbytes: Bytes of memory taken.
    """

    def __init__(self, base: nn.Module, budget: int = 4 << 30) -> None:
        if budget < 0:
            raise ConfigurationError(f"the budget of a replay must be bytes of memory, at least 0, not {budget}")
        self.base, self.budget = base, budget
        self.declined: str | None = None
        self.nbytes = 0
        self._modules: list[nn.Module] = []
        self._questions: Questions | None = None
        self._cases: dict[Hashable, _Case] = {}
        self._last: _Case | None = None

    @property
    def frames(self) -> int:
        """How many frames are kept."""
        return sum(len(case.kept) for case in self._cases.values())

    def __enter__(self) -> Self:
        if self._modules:
            raise ConfigurationError("a replay can be entered once at a time: make another one")
        self.declined = None
        self._modules = list(self.base.modules())
        if any(map(is_opaque, self._modules)):
            self.declined = "the network has compiled or scripted parts"
            return self
        self._questions = Questions(self._modules, self.answer)
        _active.set((*_active.get(), self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _active.set(tuple(replay for replay in _active.get() if replay is not self))
        if self._questions is not None:
            self._questions.remove()
        self._modules, self._questions, self._cases, self._last, self.nbytes = [], None, {}, None, 0

    def answer(
        self, module: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:  # noqa: ANN401
        """What a module's ``forward`` returns, or did."""
        running = _running.get()
        if running is not None and running[0] is self:
            return running[1].call(module, forward, args, kwargs)
        if module is self.base and self in _active.get() and len(args) == 1 and not kwargs and _is_plain(args[0]):
            return self._pass(forward, args[0])
        return forward(*args, **kwargs)

    def _pass(self, forward: Callable[..., Any], frames: Tensor) -> Any:  # noqa: ANN401
        case = self._case()
        recordings = self._recordings(case, forward, frames)
        self.declined = case.declined
        if recordings is None:
            return forward(frames)
        token = _running.set((self, player := Player(case.settled, recordings)))
        try:
            return player.play(self.base, forward, frames)
        except Diverged:
            _running.reset(token)
            token = _running.set(None)
            self._decline(case, "the network takes another way on a frame that it has seen")
            return forward(frames)
        finally:
            _running.reset(token)

    def _case(self) -> _Case:
        condition = condition_of(self._modules)
        if condition not in self._cases:
            settled = Settled(self._modules)
            declined = "somebody has hooks on the network" if settled.watched else None
            self._cases[condition] = _Case(settled, declined=declined)
        return self._cases[condition]

    def _recordings(self, case: _Case, forward: Callable[..., Any], frames: Tensor) -> list[Recording] | None:
        """One for each frame of a batch; None if they cannot be replayed."""
        if case.declined is not None:
            return None
        if case is not self._last:
            case.weights.look_anew()
            self._last = case
        if case.weights.changed(case.settled.weights()):
            self._forget(case)
        found: dict[Hashable, Recording] = {}
        keys = [_key(frame) for frame in frames]
        for number, key in enumerate(keys):
            if key in found:
                continue
            recording = case.kept.get(key) or self._record(case, forward, frames[number : number + 1])
            if recording is None:
                return None
            found[key] = recording
            if key not in case.kept and self.nbytes + recording.nbytes <= self.budget:
                case.kept[key] = recording
                self.nbytes += recording.nbytes
        recordings = [found[key] for key in keys]
        if any(recording.form != recordings[0].form for recording in recordings[1:]):
            return None
        if not case.checked:
            case.checked = True
            if not self._holds(case, forward, frames, recordings):
                self._decline(case, "replayed, the network returned something else")
                return None
        return recordings

    def _record(self, case: _Case, forward: Callable[..., Any], frame: Tensor) -> Recording | None:
        while True:
            recorder = Recorder(case.settled)
            record = partial(recorder.record, self.base, forward, frame.clone())
            try:
                with torch.enable_grad(), self._buffers_held() as changed:
                    recording: Recording = self._alone(recorder, record, frame)
            except Unfit as unfit:
                case.settled.replayable.discard(unfit.module)
                self._forget(case)
            except Exception as error:  # a foreign network may raise anything
                self._decline(case, f"it fails on a frame by itself: {type(error).__name__}")
                return None
            else:
                if not recording.calls:
                    self._decline(case, "nothing of it is frozen before the first that is trained")
                elif changed:
                    self._decline(case, "it changes its own buffers")
                return None if case.declined else recording

    def _holds(self, case: _Case, forward: Callable[..., Any], frames: Tensor, recordings: list[Recording]) -> bool:
        """Whether a replayed pass is the network's own, also when another frame came between."""
        player = Player(case.settled, recordings)
        passes = (
            (None, partial(forward, frames.clone())),
            (None, lambda: forward(frames + 3 * torch.randn_like(frames))),
            (player, partial(player.play, self.base, forward, frames.clone())),
        )
        try:
            with torch.no_grad():
                outputs = []
                for run, action in passes:
                    with self._buffers_held():
                        outputs.append(logits_of(self._alone(run, action, frames)))
        except (Exception, Diverged):
            return False
        own, _, ours = (output.float() for output in outputs)
        coarse = frames.device.type != "cpu" or outputs[0].dtype.itemsize < 4
        alike = ALIKE_COARSELY if coarse else ALIKE
        return own.shape == ours.shape and bool((own - ours).abs().max() <= alike * own.abs().max())

    @contextmanager
    def _buffers_held(self) -> Iterator[list[str]]:
        """Whatever is done meanwhile, the network's buffers are as before; says which were changed."""
        held = [
            (module, name, buffer, buffer.clone())
            for module in self._modules
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        changed: list[str] = []
        try:
            yield changed
        finally:
            for module, name, buffer, content in held:
                # Versions tell nothing here: batch norm writes its statistics without counting.
                if module._buffers.get(name) is not buffer or not torch.equal(buffer, content):
                    changed.append(name)
                    module._buffers[name] = buffer
                    with torch.no_grad():
                        buffer.copy_(content)

    def _alone(self, run: Run | None, action: Callable[[], Any], frames: Tensor) -> Any:  # noqa: ANN401
        """Do something that nobody else takes notice of: no taps, no random numbers used up, nothing checkpointed."""

        def quietly() -> Any:  # noqa: ANN401
            if run is not None:
                _running.set((self, run))
            with torch.random.fork_rng([frames.device] if frames.is_cuda else []):
                return action()

        with torch.autograd.graph.saved_tensors_hooks(_same, _same):
            return Context().run(quietly)

    def _decline(self, case: _Case, why: str) -> None:
        case.declined = self.declined = why
        self._forget(case)

    def _forget(self, case: _Case) -> None:
        self.nbytes -= sum(recording.nbytes for recording in case.kept.values())
        case.kept.clear()


def _is_plain(frames: Any) -> bool:  # noqa: ANN401
    return (
        type(frames) is Tensor
        and frames.ndim == 4
        and len(frames) > 0
        and frames.is_floating_point()
        and not (frames.requires_grad or frames.is_inference() or torch.is_inference_mode_enabled())
        and not torch.compiler.is_compiling()
    )


def _key(frame: Tensor) -> Hashable:
    """What the result depends on besides the network: ``[C,H,W]`` and how it is computed."""
    device = frame.device.type
    cast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return digest(frame), frame.shape, frame.stride(), frame.dtype, frame.device, cast


def _same(tensor: Tensor) -> Tensor:
    return tensor
