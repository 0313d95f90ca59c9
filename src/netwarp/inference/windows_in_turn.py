"""A model in windows of which each frame refreshes some: those that changed most since the network saw them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from netwarp.inference.keyframes import Auto, Budget, Doubt, KeyframePolicy, half_grey, make_policy
from netwarp.inference.mean_of_views import MeanOfViews, mean_over_scales
from netwarp.inference.sliding import Sliding
from netwarp.inference.view_tensors import ViewTensors
from netwarp.inference.views import Tiling, View
from netwarp.model import VideoState
from netwarp.model.frame_motion import Frame
from netwarp.model.netwarp import Flows


@dataclass(frozen=True, eq=False)
class TurnsState:
    """All that the next step needs from the past."""

    frame: Tensor  # [1,3,H,W], the last one
    views: tuple[VideoState, ...]  # the state of every view, a stream of its own, in order, scale by scale
    ages: tuple[int, ...]  # frames since the network saw each
    credit: float  # views that may be refreshed besides
    answer: Tensor  # [1,classes,H,W], the last probabilities
    refreshed: float  # share of the views that the network saw in the last frame


class WindowsInTurn(Sliding):
    """A :class:`.Sliding` whose frames refresh a share of its views each.

    Every view is a stream: where the network does not run, its last answer is carried (:meth:`.VideoModel.step`). A
    frame refreshes as many views as the share has saved up: first those that have waited for twice the usual time,
    then those with most doubt. The first frame refreshes all.
    """

    def __init__(self, sliding: Sliding, share: float) -> None:
        views = sliding.views
        super().__init__(sliding.model, views.window, views.stride, views.scales, views.flip, batch=sliding.batch)
        self.share = share
        self._doubt = Auto()

    def estimate_motion(
        self, current: Frame, previous: Frame, flow: Tensor | Flows | None = None, index: int | None = None
    ) -> Flows:
        """The flow between whole frames, which carries views also where nothing is remembered."""
        return self._flows_between(current, previous, flow, index)

    @torch.no_grad()
    def step(  # type: ignore[override]  # a state of another kind
        self,
        frame: Frame,
        state: TurnsState | None = None,
        flow: Tensor | Flows | None = None,
        *,
        index: int | None = None,
        keyframe: bool = True,
    ) -> tuple[Tensor, TurnsState]:
        """Segment the next frame; as :meth:`.Sliding.step`, but the network sees a share of the views."""
        present = self.model.checked(frame)
        own = present.clone() if present is frame else present
        size = (present.shape[-2], present.shape[-1])
        tilings = self.views.tilings(size)
        count = sum(len(tiling.views(self.views.flip)) for tiling in tilings)
        if state is None or state.frame.shape != present.shape or len(state.views) != count:
            state = None
        flows = None if state is None else self.estimate_motion(present, state.frame, flow, index)
        whole = ViewTensors(present, None if state is None else state.frame, flows)
        shown = [each for tiling in tilings for each in self._cut(whole, tiling)]
        chosen, credit = self._choose(shown, state)
        after: list[VideoState] = []
        result = mean_over_scales(self._each_scale(shown, tilings, chosen, state, after), size)
        waited = (0,) * count if state is None else state.ages
        ages = tuple(0 if number in chosen else age + 1 for number, age in enumerate(waited))
        return result, TurnsState(own, tuple(after), ages, credit, result, len(chosen) / count)

    def _cut(self, whole: ViewTensors, tiling: Tiling) -> list[tuple[View, ViewTensors]]:
        scaled = whole.at_scale(tiling, self.model.preprocess)
        return [(view, scaled.cut([view], tiling.window)) for view in tiling.views(self.views.flip)]

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

    def _each_scale(
        self,
        shown: Sequence[tuple[View, ViewTensors]],
        tilings: Sequence[Tiling],
        chosen: set[int],
        state: TurnsState | None,
        after: list[VideoState],
    ) -> Iterator[Tensor]:
        """The probabilities of each scale; the states of its views are added to the list."""
        for tiling in tilings:
            mean = MeanOfViews(tiling, self.views.flip, self.task)
            for _ in tiling.views(self.views.flip):
                number = len(after)
                view, seen = shown[number]
                before = None if state is None else state.views[number]
                logits, left = self.model.step(seen.present, before, seen.flows, keyframe=number in chosen)
                mean.add(view, logits)
                after.append(left)
            yield mean.result()


def windows_in_turn(model: Any, keyframes: Any) -> tuple[Any, KeyframePolicy | None]:  # noqa: ANN401
    """The model and policy of a stream: of a budget for windows the model itself takes care."""
    policy = make_policy(keyframes)
    if isinstance(model, Sliding) and model.views.window is not None and isinstance(policy, Budget):
        return WindowsInTurn(model, policy.share), None
    return model, policy
