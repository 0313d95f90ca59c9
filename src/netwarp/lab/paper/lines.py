"""The lines of each table: what is measured, under which name the paper has it, and what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from netwarp.inference.views import Views
from netwarp.lab.paper.published import CONCATENATION, PLACES, TABLE1, TABLE2, TABLE3, TABLE4, UNPUBLISHED, Published
from netwarp.lab.paper.setups import Setup
from netwarp.lab.study.rows import BASE, TRUE_FLOW, WHOLE, Row, control_of


@dataclass(frozen=True)
class Line:
    """A line of a table."""

    name: str  # as the table has it
    kind: Literal["base", "netwarp", "control", "baseline", "other"]  # of what; controls and baselines are no NetWarps
    row: Row | None  # what is measured; None for methods that the paper compares with
    paper: Published = UNPUBLISHED  # what the paper reports of it, if anything
    base: str = ""  # name of the row that is the network frame by frame; "" where this is it, or nothing is measured
    note: str = ""  # what is to be said about it

    @property
    def measured(self) -> str:
        """The name of its row; "" where nothing is measured."""
        return "" if self.row is None else self.row.name


_FRAME_BY_FRAME = Row(BASE, drawn=True)
FILES, _FROM_FILES = "precomputed:", "flow from files"


def netwarp_row(setup: Setup, layers: Sequence[str], *, flow: str = "dis", transformed: bool = True) -> Row:
    """NetWarps as the paper trains them (section 3.1): from (1, 0), on pairs, the whole network with them."""
    other = "" if flow == "dis" else _FROM_FILES if flow.startswith(FILES) else flow
    words = (f"NetWarp at {' and '.join(layers)}", "FlowCNN" if transformed else "", other)
    final = tuple(layers) == setup.network.best and transformed and flow == "dis"
    return Row(
        ", ".join(filter(None, words)),
        tuple(layers),
        flow_cnn=setup.flow_cnn if transformed else 0,
        flow_cnn_start=setup.flow_cnn_start if transformed else "identity",
        memory="previous",
        start=(1.0, 0.0),
        trained=(WHOLE,),
        flow=flow,
        recipe=setup.recipe,
        kept=final,
        drawn=final,
    )


def _control(setup: Setup, name: str, note: str = "") -> Line:
    row = replace(control_of(netwarp_row(setup, setup.network.best)), kept=False)
    return Line(f"control: trained alike, {name}", "control", row, base=BASE, note=note)


def table1(setup: Setup) -> list[Line]:
    """By place, and with and without FlowCNN; and features concatenated."""
    best = "+".join(setup.network.best)
    note = (
        f"One control, with its weights at {best}, stands for all places, and for concatenation: a difference to it at "
        "another place may be the place's as well as the video's."
    )
    lines = [
        Line("PlayData-CNN", "base", _FRAME_BY_FRAME, TABLE1[()][False]),
        _control(setup, f"w2 = 0, at {best}", note),
    ]
    for place in PLACES:
        for transformed in (False, True):
            name = "+".join(place) + (", FlowCNN" if transformed else "")
            row = netwarp_row(setup, place, transformed=transformed)
            lines.append(Line(name, "netwarp", row, TABLE1[place][transformed], BASE))
    concatenated = replace(
        netwarp_row(setup, setup.network.best, flow="zero", transformed=False),
        name="fc6 and fc7 concatenated",
        concatenated=True,
        # Its weights are a convolution's, by the thousand, and learn as the network's do.
        recipe=replace(setup.recipe, netwarp_rate=setup.recipe.base_rate),
    )
    return [*lines, Line("concatenated fc6, fc7", "baseline", concatenated, CONCATENATION, BASE)]


def table2(setup: Setup) -> list[Line]:
    """By flow: DIS and what is better and worse than it."""

    def by(flow: str, name: str, paper: Published = UNPUBLISHED, note: str = "") -> Line:
        return Line(name, "netwarp", netwarp_row(setup, setup.network.best, flow=flow), paper, BASE, note)

    lines = [
        Line("PlayData-CNN", "base", _FRAME_BY_FRAME, TABLE2["PlayData-CNN"]),
        _control(setup, f"w2 = 0, at {'+'.join(setup.network.best)}"),
        by("zero", "+ NetWarp, no flow"),
        by("dis:authors", "+ NetWarp, DIS as the authors ran it"),
        by("dis:ultrafast", "+ NetWarp, DIS ultrafast"),
        by("dis", "+ NetWarp, DIS", TABLE2["+ NetWarp, DIS"]),
        by("dis:medium", "+ NetWarp, DIS medium"),
    ]
    from_files = setup.flow is not None and setup.flow.startswith(FILES)
    accurate = {"DIS accurate": "dis:accurate"}
    accurate |= {} if setup.flow is None or from_files else {"RAFT": setup.flow}
    accurate |= {"true flow": TRUE_FLOW} if setup.true_flow else {}
    accurate |= {} if setup.flow is None or not from_files else {_FROM_FILES: setup.flow}
    *others, (best, flow) = accurate.items()
    lines += [by(other, f"+ NetWarp, {name}") for name, other in others]
    note = f"The paper's accurate flow is FlowFields, which is not here; {best} takes its place."
    note += " --flow precomputed:FOLDER reads it, --raft FILE puts RAFT there." if len(accurate) == 1 else ""
    note = "FlowFields: flow as the files have it; its time is that of reading." if from_files else note
    lines.append(by(flow, f"+ NetWarp, {best} (for FlowFields)", TABLE2["+ NetWarp, FlowFields"], note))
    return [*lines, Line("+ VPN", "other", None, TABLE2["+ VPN"])]


CRF_FRAMES = 3
_NO_CRF = "FSO-CRF is not available; --crf puts a dense CRF of three frames along flow in its place."
_FOR_FSO_CRF = (
    "FSO-CRF, which optimises where in space a video's pixels lie for its CRF, is not available. In its place stands a "
    "dense CRF over each frame and the two before it, whose pixels lie where DIS flow leads; its settings were "
    "chosen with ESPNet on CamVid's val split, once."
)


def table3(setup: Setup) -> list[Line]:
    """Dilation-CNN with NetWarps behind every layer of its context module, and a dense CRF if that is asked for."""
    published = TABLE3["+ FSO-CRF"]
    others = [Line("+ FSO-CRF", "other", None, published, note=_NO_CRF)]
    if setup.crf:
        single, along = (Row(f"Dense CRF of {count}", crf=count) for count in (1, CRF_FRAMES))
        others = [
            Line("+ dense CRF", "baseline", single, base=BASE),
            Line("+ dense CRF of 3 frames along flow (for FSO-CRF)", "baseline", along, published, BASE, _FOR_FSO_CRF),
        ]
    others.append(Line("+ VPN", "other", None, TABLE3["+ VPN"]))
    return [
        Line("Dilation-CNN", "base", _FRAME_BY_FRAME, TABLE3["Dilation-CNN"]),
        _control(setup, "every w2 = 0"),
        Line("+ NetWarp", "netwarp", netwarp_row(setup, setup.network.best), TABLE3["+ NetWarp"], BASE),
        *others,
    ]


def table4(setup: Setup) -> list[Line]:
    """A network in windows of one scale and of six, or on whole frames; training is the same for both."""
    lines = _tested_as(setup, "SSc", setup.single)
    return lines if setup.multi is None else [*lines, *_tested_as(setup, "MSc", setup.multi)]


def _tested_as(setup: Setup, short: str, views: Views | None) -> list[Line]:
    """The network, the control and NetWarp."""
    many = short == "MSc"
    ending = f"-{short}" if setup.multi is not None else ""
    more = ", multi-scale" if many else ""
    base = Row(f"{BASE}{more}", windows=views, drawn=True)
    row = replace(netwarp_row(setup, setup.network.best), windows=views)
    row, control = (replace(each, name=f"{each.name}{more}") for each in (row, control_of(row)))
    published = TABLE4 if setup.network.name == "pspnet101" else {}
    name = f"{setup.network.title}{ending}"
    return [
        Line(name, "base", base, published.get(f"PSPNet-{short}", UNPUBLISHED)),
        Line(f"{name}, control: trained alike, w2 = 0", "control", control, base=base.name),
        Line(f"{name} + NetWarp", "netwarp", row, published.get(f"PSPNet-{short} + NetWarp", UNPUBLISHED), base.name),
    ]


def multi_scale(setup: Setup) -> list[Line]:
    """The lines of :func:`table4` that Table 5 and Figure 6 show: multi-scale, where there is that."""
    return [line for line in table4(setup) if line.kind != "control"][-2:]


def final_model(setup: Setup) -> list[Line]:
    """The paper's final model of a network, whole frames or single scale, alone."""
    return [line for line in table4(setup) if line.kind != "control"][:2]
