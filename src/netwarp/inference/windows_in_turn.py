"""A model in windows of which each frame refreshes some: those that changed most since the network saw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netwarp.errors import InputError
from netwarp.flow import FlowSource
from netwarp.inference.keyframes import Auto, Budget, Doubt, KeyframePolicy, half_grey, make_policy
from netwarp.inference.mean_of_views import MeanOfViews, add_scale
from netwarp.inference.sliding import Sliding
from netwarp.inference.view_tensors import ViewTensors
from netwarp.inference.views import Tiling, View
from netwarp.model import VideoModel, VideoState
from netwarp.model.inputs import as_frames, base_device
from netwarp.model.netwarp import Flows


@dataclass(frozen=True, eq=False)
class TurnsState:
    """All that the next step needs from the past.

    Attributes:
        frame: ``[1,3,H,W]``, the last frame.
        views: The state of every view, a stream of its own, in order, scale by scale.
        ages: Frames since the network saw each.
        credit: Views that may be refreshed besides.
        answer: ``[1,classes,H,W]``, the last probabilities.
        refreshed: Share of the views that the network saw in the last frame.
    """

    frame: Tensor
    views: tuple[VideoState, ...]
    ages: tuple[int, ...]
    credit: float
    answer: Tensor
    refreshed: float


class WindowsInTurn:
    """A :class:`.Sliding` whose frames refresh a share of its views each.

    Every view is a stream: where the network does not run, its last answer is carried (:meth:`.VideoModel.step`). A
    frame refreshes as many views as the share has saved up: first those that have waited for twice the usual time,
    then those with most doubt. The first frame refreshes all.
    """

    def __init__(self, sliding: Sliding, share: float) -> None:
        self.sliding, self.share = sliding, share
        self.model: VideoModel = sliding.model
        self.base: nn.Module = sliding.base
        self.flow: FlowSource = sliding.flow
        self.layers: Sequence[str] = sliding.layers
        self.training_free, self.interpolation = sliding.training_free, sliding.interpolation
        self.task = sliding.task
        self._doubt = Auto()

    def eval(self) -> WindowsInTurn:
        """Set evaluation mode."""
        self.sliding.eval()
        return self

    def labels(self, result: Tensor) -> Tensor:
        """See :meth:`.Sliding.labels`."""
        return self.sliding.labels(result)

    def trusted(self, current: Tensor, previous: Tensor, flows: Flows) -> Flows:
        """See :meth:`.Sliding.trusted`."""
        return self.sliding.trusted(current, previous, flows)

    def flows_ahead(self, current: Tensor, previous: Tensor, flows: Flows) -> Flows:
        """See :meth:`.Sliding.flows_ahead`."""
        return self.sliding.flows_ahead(current, previous, flows)

    def at_answer(self, flows: Flows, answer: Tensor) -> tuple[Tensor, Tensor | None]:
        """See :meth:`.Sliding.at_answer`."""
        return self.sliding.at_answer(flows, answer)

    def enlarge(self, answer: Tensor, frame: Tensor) -> Tensor:
        """The probabilities as they are."""
        return answer

    def carry_answer(self, state: TurnsState, path: Flows) -> Tensor:
        """Never asked for: each frame refreshes some views."""
        raise InputError("a model whose windows take turns has no frames without the network")

    def carry_labels(self, state: TurnsState, path: Flows, labels: Tensor) -> Tensor:
        """Likewise."""
        return self.carry_answer(state, path)

    def estimate_motion(
        self, current: Tensor, previous: Tensor, flow: Tensor | Flows | None = None, index: int | None = None
    ) -> Flows:
        """The flow between whole frames, which carries views also where nothing is remembered."""
        device = base_device(self.base)
        return self.model.flows_between(as_frames(current, device), as_frames(previous, device), flow, index=index)

    @torch.no_grad()
    def step(
        self,
        frame: Tensor | np.ndarray,
        state: TurnsState | None = None,
        flow: Tensor | Flows | None = None,
        *,
        index: int | None = None,
        keyframe: bool = True,
    ) -> tuple[Tensor, TurnsState]:
        """Segment the next frame; as :meth:`.Sliding.step`, but the network sees a share of the views."""
        present = as_frames(frame, base_device(self.base))
        own = present.clone() if present is frame else present
        size = (present.shape[-2], present.shape[-1])
        tilings = self.sliding.views.tilings(size)
        count = sum(len(tiling.views(self.sliding.views.flip)) for tiling in tilings)
        if state is None or state.frame.shape != present.shape or len(state.views) != count:
            state = None
        flows = None if state is None else self.estimate_motion(present, state.frame, flow, index)
        whole = ViewTensors(present, None if state is None else state.frame, flows)
        shown = [each for tiling in tilings for each in self._cut(whole, tiling)]
        chosen, credit = self._choose(shown, state)
        result, views = self._over_scales(shown, tilings, chosen, state, size)
        waited = (0,) * count if state is None else state.ages
        ages = tuple(0 if number in chosen else age + 1 for number, age in enumerate(waited))
        after = TurnsState(own, views, ages, credit, result, len(chosen) / count)
        return result, after

    def _cut(self, whole: ViewTensors, tiling: Tiling) -> list[tuple[View, ViewTensors]]:
        scaled = whole.at_scale(tiling, self.model.preprocess)
        return [(view, scaled.cut([view], tiling.window)) for view in tiling.views(self.sliding.views.flip)]

    def _choose(self, shown: Sequence[tuple[View, ViewTensors]], state: TurnsState | None) -> tuple[set[int], float]:
        """The views to refresh, and what is saved for the next frame."""
        if state is None:
            return set(range(len(shown))), 0.0
        credit = state.credit + self.share * len(shown)
        waited = 2 / self.share
        order = sorted(
            range(len(shown)),
            key=lambda number: (
                state.ages[number] + 1 < waited,
                -self._excess(shown[number][1], state.views[number], state.ages[number]),
            ),
        )
        chosen = set(order[: int(credit)])
        return chosen, credit - len(chosen)

    def _excess(self, seen: ViewTensors, view: VideoState, age: int) -> float:
        assert seen.flows is not None
        path = Flows(seen.flows.backward)
        if view.path is not None:
            path = path.on_to(view.path)
        pictures = half_grey(seen.present), half_grey(view.frame)
        return self._doubt.excess(Doubt(0, age + 1, path, pictures))

    def _over_scales(
        self,
        shown: Sequence[tuple[View, ViewTensors]],
        tilings: Sequence[Tiling],
        chosen: set[int],
        state: TurnsState | None,
        size: tuple[int, int],
    ) -> tuple[Tensor, tuple[VideoState, ...]]:
        result: Tensor | None = None
        states: list[VideoState] = []
        for tiling in tilings:
            mean = MeanOfViews(tiling, self.sliding.views.flip, self.task)
            for _ in tiling.views(self.sliding.views.flip):
                number = len(states)
                view, seen = shown[number]
                before = None if state is None else state.views[number]
                logits, after = self.model.step(seen.present, before, seen.flows, keyframe=number in chosen)
                mean.add(view, logits)
                states.append(after)
            result = add_scale(result, mean.result(), size)
        assert result is not None
        return result.div_(len(tilings)) if len(tilings) > 1 else result, tuple(states)


def windows_in_turn(model: Any, keyframes: Any) -> tuple[Any, KeyframePolicy | None]:  # noqa: ANN401
    """The model and policy of a stream: of a budget for windows the model itself takes care."""
    policy = make_policy(keyframes)
    if isinstance(model, Sliding) and model.views.window is not None and isinstance(policy, Budget):
        return WindowsInTurn(model, policy.share), None
    return model, policy
