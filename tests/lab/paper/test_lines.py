"""The lines of the tables: all that the paper's have, each beside its control; and the paper's own numbers."""

from dataclasses import replace

import pytest

from netwarp.lab.paper import lines
from netwarp.lab.paper.published import (
    PLACES,
)
from netwarp.lab.paper.request import Request
from netwarp.lab.paper.setups import setup_for
from netwarp.lab.study.rows import TRUE_FLOW, Row

PLAYDATA = setup_for(("playdata",), Request(target="table1"))
PSPNET = setup_for(("pspnet101",), Request(target="table1"))
DILATION = setup_for(("dilation8",), Request(target="table1"))


def rows(of: list[lines.Line]) -> dict[str, Row]:
    return {line.name: line.row for line in of if line.row is not None}


ALL = {
    "table1": lines.table1(PLAYDATA),
    "table2": lines.table2(replace(PLAYDATA, true_flow=True, flow="raft:w.pth")),
    "table3": lines.table3(DILATION),
    "table4": lines.table4(PSPNET),
}


@pytest.mark.parametrize("name", ALL)
def test_lines_and_rows_have_names_of_their_own(name: str):
    names = [line.name for line in ALL[name]]
    assert len(set(names)) == len(names)
    of = rows(ALL[name])
    assert len({row.name for row in of.values()}) == len(of)
    assert {line.base for line in ALL[name] if line.base} <= {row.name for row in of.values()}


@pytest.mark.parametrize("name", ALL)
def test_netwarps_start_and_train_as_in_the_paper(name: str):
    for line in ALL[name]:
        if line.kind == "netwarp":
            assert (line.row.start, line.row.memory, line.row.length) == ((1.0, 0.0), "previous", 2)
            assert line.row.trained == ("",)


def test_table_1_has_nine_places_with_and_without_flow_cnn_and_concatenation():
    found = {(row.layers, bool(row.flow_cnn)) for row in rows(ALL["table1"]).values() if row.layers and not row.control}
    assert found == {(place, transformed) for place in PLACES for transformed in (False, True)}
    concatenated = next(line for line in ALL["table1"] if line.kind == "baseline")
    assert concatenated.row.concatenated
    assert concatenated.row.layers == ("fc6", "fc7")


def test_table_2_says_what_takes_the_place_of_flow_fields():
    def flow_fields(**flows: object) -> tuple[str, str]:
        """The flow of the line with the paper's number, and what is said about it."""
        (line,) = (line for line in lines.table2(replace(PLAYDATA, **flows)) if line.paper.iou == 70.3)
        return line.row.flow, line.note

    assert {"zero", "dis", "dis:authors", TRUE_FLOW, "raft:w.pth"} <= {row.flow for row in rows(ALL["table2"]).values()}
    assert flow_fields(true_flow=True, flow="raft:w.pth")[0] == TRUE_FLOW
    assert flow_fields(flow="raft:w.pth")[0] == "raft:w.pth"
    assert flow_fields()[0] == "dis:accurate"
    assert "--raft FILE" in flow_fields()[1]
    for true_flow in (False, True):
        flow, note = flow_fields(true_flow=true_flow, flow="precomputed:flows")
        assert flow == "precomputed:flows"
        assert "the files" in note


def test_what_tables_1_and_2_share_is_done_once():
    first, second = (rows(ALL[name]).values() for name in ("table1", "table2"))
    shared = [row for row in first if row in list(second)]
    assert len(shared) == 3  # frame by frame, the control, and the paper's final model


def test_table_3_has_a_netwarp_behind_every_context_layer():
    row = rows(ALL["table3"])["+ NetWarp"]
    assert len(row.layers) == 8


def test_table_3_says_what_takes_the_place_of_fso_crf():
    of = {line.name: line for line in lines.table3(replace(DILATION, crf=True))}
    crfs = [line for line in of.values() if line.row is not None and line.row.crf]
    assert [line.row.crf for line in crfs] == [1, 3]
    assert [line.name for line in of.values() if line.paper is not None and line.paper.iou == 66.1] == [crfs[1].name]
    assert "for FSO-CRF" in crfs[1].name
    assert all(line.base for line in crfs)
    without = {line.name: line for line in ALL["table3"]}
    assert without["+ FSO-CRF"].row is None
    assert "--crf" in without["+ FSO-CRF"].note
    assert list(of)[:3] == list(without)[:3]


def test_one_training_serves_single_and_multi_scale():
    of = [row for row in rows(ALL["table4"]).values() if row.layers]
    assert len(of) == 4
    trainings = {str(row.training()) for row in of}
    assert len(trainings) == 2  # the control's, and NetWarp's
    assert len({str(row.settings()) for row in of}) == 4
    assert all(row.kept for row in of)


def test_networks_without_windows_have_no_multi_scale():
    assert [line.kind for line in lines.table4(PLAYDATA)] == ["base", "control", "netwarp"]
    assert [line.kind for line in lines.multi_scale(PLAYDATA)] == ["base", "netwarp"]
    assert [line.row.windows == PSPNET.multi for line in lines.multi_scale(PSPNET)] == [True, True]
    assert [line.row.windows == PSPNET.single for line in lines.final_model(PSPNET)] == [True, True]
