"""Rows and their controls: the same parameters trained, but for what makes it video."""

from dataclasses import replace

import pytest

from netwarp import load_base
from netwarp.errors import ConfigurationError
from netwarp.lab.study.build import build, trained_parameters
from netwarp.lab.study.rows import (
    BASE,
    FREE,
    Recipe,
    Row,
    chosen,
    control_of,
    keyframe_rows,
    standard_rows,
    with_controls,
)

VIDEO = ("flow_cnn.", "gate.")


@pytest.fixture(scope="module")
def base():
    return load_base("netwarp:espnet")


@pytest.fixture(scope="module")
def rows():
    return standard_rows(["encoder.b2", "encoder.b3", "output"], "encoder.b3", true_flow=True)


def test_the_rows_are_there_under_names_of_their_own(rows):
    names = {row.name for row in rows}
    assert len(names) == len(rows)
    for depth in ("encoder.b2", "encoder.b3", "output", "encoder.b3 and output"):
        assert {f"NetWarp at {depth}", f"NetWarp + FlowCNN at {depth}", f"Control at {depth}"} <= names
    assert {BASE, FREE, "NetWarp + gate at output", "NetWarp + gate + consistency loss at output"} <= names
    assert any(name.startswith("Best combination") for name in names)
    assert "NetWarp at output, true flow" in names


def test_every_trained_row_has_a_control_with_the_same_parameters():
    base, rows = load_base("netwarp:streetnet"), standard_rows(["at_quarter", "at_eighth"], "at_eighth", true_flow=True)
    by_name = {row.name: row for row in rows}
    trained = [row for row in rows if row.trains and not row.control]
    assert len(trained) > 10
    names = {name for row in trained for name in (row.name, row.against)}  # many rows share a control
    parameters = {name: trained_parameters(build(by_name[name], base)) for name in names}
    for row in trained:
        # What was never shown a sum remembers a frame and no more.
        assert row.trained or row.memory == ("fused" if row.layers == ("log_probs",) else "previous"), row.name
        control = by_name[row.against]
        assert control.control
        assert control.recipe == row.recipe
        assert control.length == row.length
        ours, theirs = parameters[row.name], parameters[row.against]
        extra = {name for name in ours if name not in theirs}
        assert all(name.startswith(VIDEO) or name.endswith(".w2") for name in extra), row.name
        assert all(name.endswith(".w1") or name.startswith("base.") for name in theirs)
        assert {name: size for name, size in ours.items() if name not in extra} == theirs
        # As many w2 as w1.
        assert sum(name.endswith(".w2") for name in extra) == sum(name.endswith(".w1") for name in theirs)


def test_a_control_starts_with_the_same_total_weight(base, rows):
    row = next(row for row in rows if row.name == "NetWarp at encoder.b2")
    ours, theirs = (build(each, base).netwarps[0] for each in (row, control_of(row)))
    assert not theirs.w2.any()
    assert (theirs.w1 == ours.w1 + ours.w2).all()


@pytest.mark.parametrize("name", [BASE, FREE])
def test_rows_without_training_train_nothing(base, rows, name: str):
    row = next(row for row in rows if row.name == name)
    assert not row.trains
    assert not row.against
    assert trained_parameters(build(row, base)) == {}


def test_a_decoder_is_trained_in_a_copy(base, rows):
    row = next(row for row in rows if row.trained)
    model = build(row, base)
    trained = trained_parameters(model)
    assert any(name.startswith("base.classifier") for name in trained)
    assert not any(name.startswith("base.encoder.level") for name in trained)
    assert model.base is not base
    assert not any(parameter.requires_grad for parameter in base.parameters())
    assert not any(module._forward_hooks for module in base.modules() if module is base.classifier)


def test_seeds_change_the_flow_cnn_and_nothing_else(base):
    row = Row("with", ("log_probs",), flow_cnn=2)
    first, again, other = (build(row, base, seed).state_dict() for seed in (0, 0, 1))
    assert all((first[name] == again[name]).all() for name in first)
    changed = {name for name in first if not (first[name] == other[name]).all()}
    assert changed
    assert all(name.startswith("flow_cnn.") for name in changed)


def test_controls_are_shared_only_by_rows_that_they_fit():
    plain = Row("a", ("x",))
    made = with_controls([plain, Row("b", ("x",), flow_cnn=2, gate="photometric"), Row("c", ("x",), length=3)])
    by_name = {row.name: row for row in made}
    assert by_name["a"].against == by_name["b"].against
    assert by_name["c"].against not in ("", by_name["a"].against)
    slower = with_controls([plain, replace(plain, name="d", recipe=Recipe(steps=7))])
    assert len({row.against for row in slower if row.against}) == 2


def test_a_training_that_several_rows_share_is_kept_for_them(rows):
    shared = {}
    for row in rows:
        if row.trains:
            shared.setdefault(repr(row.training()), []).append(row)
    several = [group for group in shared.values() if len(group) > 1]
    assert sorted(map(len, several)) == [2, 7]  # the best combination; its control, and the decoder it leaves
    assert all(row.kept for group in several for row in group)


def test_settings_tell_what_matters_and_nothing_else():
    row = Row("a", ("x",))
    assert row.settings() == replace(row, name="b", drawn=True, against="c", kept=True).settings()
    changes = (
        {"recipe": Recipe(netwarp_rate=1.0)},
        {"recipe": Recipe(flip=0.5)},
        {"flow": "true"},
        {"concatenated": True},
    )
    for change in changes:
        assert row.settings() != replace(row, **change).settings()
    assert Row(BASE).settings() != Row(FREE, training_free=True).settings()


def test_some_rows_bring_their_controls(rows):
    some = chosen(rows, ["NetWarp at encoder.b2"])
    assert [row.name for row in some] == [BASE, "Control at encoder.b2", "NetWarp at encoder.b2"]
    assert [row.drawn for row in some] == [False, False, True]


def test_an_unknown_row_names_the_closest_and_no_depths_are_refused(rows):
    with pytest.raises(ConfigurationError, match="'NetWarp at output'"):
        chosen(rows, ["Netwarp at output"])
    with pytest.raises(ConfigurationError, match="--depths"):
        standard_rows([])


def test_true_flow_is_asked_for_in_one_direction_only(base, rows):
    true = [row for row in rows if row.flow == "true"]
    assert any(row.gate.startswith("learned") for row in true)
    for row in true:
        gate = build(row, base).gate
        assert not hasattr(gate, "forward_backward"), row.name


def test_rows_with_keyframes_are_untrained_and_differ_in_what_they_depend_on(base):
    rows = keyframe_rows(["all", "2", "auto"])
    by_name = {row.name: row for row in rows}
    simpler = [f"{kind}, every 2nd" for kind in ("No gate", "Plain propagation", "Stale labels")]
    looking = ["", ", edges", ", offline", ", edges, offline"]
    free = [f"{FREE}{which}{how}" for which in ("", ", every 2nd", ", auto") for how in looking]
    assert {*free, *simpler, BASE} <= {*by_name}
    assert by_name[f"{FREE}, every 2nd, edges, offline"].settings() == {
        "training_free": True, "flow": "dis", "keyframes": "2", "edges": "on", "offline": "bicubic",
    }  # fmt: skip
    assert {*by_name} >= {f"{BASE} at 1.125 ×", f"{FREE}, auto at 1.25 ×"}
    assert not any(row.trains for row in rows)
    assert len({repr(row.settings()) for row in rows}) == len(rows)
    fused, ungated, plain, stale = (build(by_name[name], base) for name in (f"{FREE}, every 2nd", *simpler))
    assert (fused.training_free, fused.gate is None, ungated.gate) == (True, False, None)
    assert (ungated.layers, plain.layers, stale.layers) == (("log_probs",), (), ())


def test_memory_after_training_is_on_the_controls_network():
    rows = {row.name: row for row in standard_rows(["output"], "mid")}
    row = rows["Decoder trained, then training-free, edges"]
    control = rows[row.against]
    assert control.control
    assert row.training() == control.training()
    assert row.settings() == control.settings() | {"then_free": True}
    assert control.edges == "on", "what is left is the gain of memory"
