"""The rows of the experiment's table: what is built, what of it is trained, and how. Here is where to change one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from netwarp.cli.arguments import names_of
from netwarp.errors import ConfigurationError, unknown_name
from netwarp.inference.views import Views
from netwarp.model.layers import OUTPUTS

BASE, FREE = "Frame by frame", "Training-free"
"""The rows in which nothing is trained."""

TRUE_FLOW: Final = "true"
"""The name of the flow that the data set knows."""

SCALES = (1.125, 1.25)
"""Sizes, in times the frame's, at which rows with keyframes are tested too: what compute buys otherwise."""

WHOLE = ""
"""In :attr:`Row.trained`, the whole network: training end to end, as the paper's."""

INNER: tuple[tuple[str, dict[str, Any]], ...] = (
    ("decoder trained, start (1, 0)", {"start": (1.0, 0.0)}),
    ("decoder trained, fused, clips of three", {"memory": "fused", "length": 3}),
    ("end to end", {"trained": (WHOLE,)}),
    ("decoder trained, gate, then training-free", {"memory": "fused", "gate": "photometric", "then_free": True}),
)
"""Other ways to train an inner layer with what runs behind it."""


@dataclass(frozen=True)
class Recipe:
    """How a row is trained: Adam, a rate that rises over the first twentieth of the steps and falls along a cosine."""

    steps: int = 40  # batches
    batch_size: int = 2  # samples in a batch
    netwarp_rate: float = 2e-2  # highest learning rate of w1 and w2
    base_rate: float = 5e-4  # of what is trained of the network
    flow_cnn_rate: float = 1e-3  # of FlowCNN
    gate_rate: float = 5e-2  # of a gate that learns
    # classes count 1 / ln(this + frequency) in the loss; the frequency is that in the training half. 0 for all alike
    class_weights: float = 1.10
    crop: tuple[int, int] | None = None  # (height, width) of random windows that are trained on; None for whole frames
    flip: float = 0.0  # probability of mirroring them left and right
    freeze_batch_norm: bool = False  # whether batch norms of the network keep their statistics


QUICK = Recipe(steps=2)
"""Shows that all of it runs, and nothing else."""


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    name: str  # what it is called
    layers: tuple[str, ...] = ()  # where NetWarps are; none is the network frame by frame
    flow_cnn: int = 0  # stride of the FlowCNN; 0 for none
    flow_cnn_start: Literal["identity", "gaussian"] = "identity"  # what it does at first, as in FlowCNN
    gate: str = ""  # as for VideoModel; "" for none
    memory: Literal["previous", "fused"] = "fused"  # as in VideoModel
    start: tuple[float, float] = (0.5, 0.5)  # initial (w1, w2)
    # what of the network is trained: names of its modules, or "after LAYER" for all that run behind it
    trained: tuple[str, ...] = ()
    # weight of the consistency loss; 0 for none. Frames without labels take part where there are any
    consistency: float = 0.0
    length: int = 2  # frames in a training sample
    flow: str = "dis"  # as for make_flow, or TRUE_FLOW
    training_free: bool = False  # the mode without training: only name, flow and drawn count besides
    control: bool = False  # A control: w2 is held at 0
    against: str = ""  # name of the row that is its control; "" for none
    drawn: bool = False  # whether it is in the figure
    recipe: Recipe = field(default_factory=Recipe)  # how it is trained
    # instead of NetWarps, the previous representation is put beside the current one, unwarped (build)
    concatenated: bool = False
    # frames of a dense CRF over the network's output, frame by frame (crf); 0 for none
    crf: int = 0
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"  # as in VideoModel
    keyframes: str = "all"  # the frames that the network runs on when it is tested, as for netwarp.segment
    edges: Literal["on", "off"] = "off"  # whether labels follow the picture's edges when it is tested
    offline: bool = False  # whether it looks ahead when it is tested
    # whether the network, once it is trained, is tested with the memory that needs no training, beside inner layers
    then_free: bool = False
    windows: Views | None = None  # what the network is shown of a frame when it is tested; None for the frame as it is
    # whether the trained model is kept for pictures, and for other rows that differ in how they are tested
    kept: bool = False

    @property
    def trains(self) -> bool:
        """Whether anything is trained, so that seeds make a difference."""
        return bool(self.layers) and not self.training_free and self.recipe.steps > 0

    def settings(self) -> dict[str, Any]:
        """All that its results depend on, as plain values."""
        tested: dict[str, Any] = {} if self.windows is None else {"windows": dict(vars(self.windows))}
        if self.crf:
            tested |= {"crf": self.crf}
        for name, usual in (("keyframes", "all"), ("edges", "off"), ("offline", False), ("then_free", False)):
            if getattr(self, name) != usual:
                tested |= {name: getattr(self, name)}
        if self.offline:
            tested["offline"] = "bicubic"  # as what it looks back at is sampled; older units were bilinear
        if self.interpolation != "bilinear":
            tested |= {"interpolation": self.interpolation}
        if not self.trains:
            moves = self.training_free or self.layers or self.crf > 1 or self.keyframes != "all"
            weights = {"layers": self.layers, "start": self.start} if self.layers else {}
            return {"training_free": self.training_free, "flow": self.flow if moves else None, **weights, **tested}
        return {**self.training(), **tested}

    def training(self) -> dict[str, Any]:
        """Of its settings those that its training depends on, however it is tested."""
        tested = ("keyframes", "edges", "offline", "then_free", "windows", "crf")
        others = ("name", "against", "drawn", "kept", *tested)
        values = {k: v for k, v in vars(self).items() if k not in others}
        recipe = dict(vars(self.recipe))
        # What is newer than work that was kept is said only where it is used.
        if not self.recipe.freeze_batch_norm:
            del recipe["freeze_batch_norm"]
        for name, usual in (("flow_cnn_start", "identity"), ("interpolation", "bilinear")):
            if values[name] == usual or (name == "interpolation" and self.then_free):
                del values[name]
        return {**values, "recipe": recipe}


def standard_rows(
    depths: Sequence[str], train_from: str | None = None, *, true_flow: bool = False, recipe: Recipe | None = None
) -> tuple[Row, ...]:
    """The rows of the experiment."""
    if not depths:
        raise ConfigurationError("no depths given: name the layers to try NetWarp at, such as --depths output")
    recipe = recipe or Recipe()
    # What runs behind an inner layer is run, and gone back through, at every step: several times the work.
    inner = replace(recipe, steps=max(recipe.steps * 7 // 10, 2))
    # A network has more to learn than a few weights.
    tuned = replace(recipe, steps=recipe.steps * 7 // 4)
    last = depths[-1]

    def netwarp(extra: str, *places: str, **options: Any) -> Row:  # noqa: ANN401
        name = f"NetWarp{extra} at {' and '.join(places)}"
        cheap = all(place in OUTPUTS for place in places)
        layers = tuple("log_probs" if place in OUTPUTS else place for place in places)
        if not cheap:
            # Trained on pairs and run on streams, inner layers bear no memory that goes further back than a frame, and
            # little of it to begin with: the frozen network behind them was never shown a sum.
            options = {"recipe": inner, "memory": "previous", "start": (0.9, 0.1), **options}
        return Row(name, layers, **{"recipe": recipe, **options})

    rows = [Row(BASE), Row(FREE, training_free=True, drawn=True)]
    rows.append(Row(f"{FREE}, bicubic", training_free=True, interpolation="bicubic"))
    rows += looks(rows[1])
    for depth in depths:
        rows += [netwarp("", depth, drawn=True), netwarp(" + FlowCNN", depth, flow_cnn=2)]
    if len(depths) > 1:
        rows += [netwarp("", *depths[-2:]), netwarp(" + FlowCNN", *depths[-2:], flow_cnn=2)]
    rows.append(netwarp(" + bicubic sampling", last, interpolation="bicubic"))
    gate = "learned:photometric"
    rows.append(netwarp(" + gate", last, gate=gate, drawn=True))
    rows.append(netwarp(" + gate + consistency loss", last, gate=gate, consistency=0.5))
    rows.append(netwarp(", clips of three,", last, length=3, drawn=True))
    if train_from is not None:
        best = netwarp("", last, gate="photometric", trained=(f"after {train_from}",), recipe=tuned, kept=True)
        rows.append(replace(best, name=f"Best combination: decoder trained, gate, at {last}", drawn=True))
        rows.append(replace(best, name=f"{rows[-1].name}, edges", edges="on"))
        # As the paper trains them: what runs behind learns to average.
        behind = Row(f"NetWarp at {train_from}, decoder trained", (train_from,), memory="previous", recipe=tuned)
        behind = replace(behind, trained=best.trained)
        rows += [behind, *(replace(behind, name=f"NetWarp at {train_from}, {name}", **how) for name, how in INNER)]
        if depths[0] != train_from:
            name = f"NetWarp at {depths[0]}, all behind it trained"
            rows.append(replace(behind, name=name, layers=(depths[0],), trained=(f"after {depths[0]}",)))
        # Train first, remember afterwards: the control's network, which no memory was trained with.
        decoder = replace(control_of(best), name="Decoder trained, then training-free", then_free=True)
        bicubic = replace(decoder, name=f"{decoder.name}, bicubic, offline", interpolation="bicubic", offline=True)
        rows += [decoder, *looks(decoder), bicubic]
    if true_flow:
        true = [row for row in rows if row.drawn]
        # True flow is known in one direction only, and needs no check by the other.
        gates = {gate: f"{gate},terms=photometric+features"}
        named = [replace(row, name=f"{row.name}, true flow", gate=gates.get(row.gate, row.gate)) for row in true]
        rows += [replace(row, flow=TRUE_FLOW, flow_cnn=0, drawn=False) for row in named]
    return with_controls(rows)


def looks(row: Row) -> list[Row]:
    """A row whose labels follow the picture's edges, one that looks ahead, and one that does both."""
    ways: tuple[dict[str, Any], ...] = ({"edges": "on"}, {"offline": True}, {"edges": "on", "offline": True})
    return [replace(row, name=f"{row.name}, {', '.join(way)}", drawn=False, **way) for way in ways]


def keyframe_rows(policies: Sequence[str]) -> tuple[Row, ...]:
    """Rows in which nothing is trained and the network runs on some frames, beside simpler ways to save as much.

    >>> [row.name for row in keyframe_rows(["3"])][5:8]
    ['Training-free, every 3rd', 'Training-free, every 3rd, edges', 'Training-free, every 3rd, offline']
    """
    rows = [Row(BASE), Row(FREE, training_free=True, drawn=True)]
    rows += looks(rows[1])
    for policy in policies:
        if policy in ("all", "1"):
            continue
        nth = policy.isdecimal()
        name = f"every {policy}{ {'2': 'nd', '3': 'rd'}.get(policy, 'th') }" if nth else policy
        rows.append(Row(f"{FREE}, {name}", training_free=True, drawn=True, keyframes=policy))
        rows += looks(rows[-1])
        if nth:
            # The training-free mode's weights alone.
            ungated = Row(f"No gate, {name}", ("log_probs",), start=(0.2, 0.8), recipe=Recipe(steps=0))
            plain = Row(f"Plain propagation, {name}")
            stale = Row(f"Stale labels, {name}", flow="zero")
            rows += [replace(row, keyframes=policy) for row in (ungated, plain, stale)]
    scaled = [row for row in rows if row.name == BASE or (row.training_free and not row.offline)]
    for scale in SCALES:
        views = Views(scales=(scale,))
        rows += [replace(row, name=f"{row.name} at {scale} ×", windows=views, drawn=False) for row in scaled]
    return tuple(rows)


def control_of(row: Row) -> Row:
    """The row trained as long on the same labels, with the same parameters of the network, but without video.

    NetWarps are at the same places with every w2 held at 0, and w1 starts with what both had. There is no FlowCNN, no
    gate and no consistency loss. Memory and flow make no difference to it: they are the cheapest there are. Its labels
    follow the picture's edges where the row's do: what is left is the gain of video.
    """
    trained = f", trained {' and '.join(name or 'whole' for name in row.trained)}" if row.trained else ""
    clips = f", clips of {row.length}" if row.length != 2 else ""
    places = " and ".join("output" if layer in OUTPUTS else layer for layer in row.layers)
    return Row(
        name=f"Control at {places}{trained}{clips}{', edges' if row.edges == 'on' else ''}",
        layers=row.layers,
        memory="previous",
        start=(sum(row.start), 0.0),
        trained=row.trained,
        length=row.length,
        flow="zero",
        control=True,
        edges=row.edges,
        kept=row.kept,
        recipe=row.recipe,
        windows=row.windows,
    )


def with_controls(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Give every row that is trained its control, which it shares with rows that differ in nothing else."""
    plain: list[Row] = []
    trained: list[Row] = []
    controls: dict[str, Row] = {}  # by what they are
    for row in rows:
        if not row.trains or (row.control and not row.then_free):
            plain.append(row)
            continue
        control = control_of(row)
        key = repr(control.settings())
        if key not in controls:
            number = sum(known.name.startswith(control.name) for known in controls.values()) + 1
            controls[key] = control if number == 1 else replace(control, name=f"{control.name} ({number})")
        trained.append(replace(row, against=controls[key].name))
    return (*plain, *controls.values(), *trained)


def chosen(rows: Sequence[Row], names: Sequence[str]) -> tuple[Row, ...]:
    """Some of the rows, which are drawn then, the controls that they need, and the network frame by frame."""
    known = {row.name: row for row in rows}
    names = names_of(names, known)
    for name in names:
        if name not in known:
            raise unknown_name("row", name, known)
    wanted = {BASE, *names, *(known[name].against for name in names)}
    return tuple(replace(row, drawn=row.name in names) for row in rows if row.name in wanted)
