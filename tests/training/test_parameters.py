"""What is trained at which rate; freezing that leaves no trace; and the control, which differs in its memory alone."""

import pytest
import torch

from netwarp.errors import ConfigurationError
from netwarp.training import Consistency, Rates, TrainSettings, train
from netwarp.training.parameters import as_control, frozen_as_told, hold_w2, parameter_groups, share_of_rate
from training.toy import clips, small_model


def names_of(model, settings) -> dict[str, tuple[float, set[str]]]:
    known = {parameter: name for name, parameter in model.named_parameters()}
    return {g["name"]: (g["lr"], {known[p] for p in g["params"]}) for g in parameter_groups(model, settings)}


def test_every_part_has_its_rate_and_nothing_is_left_out():
    model = small_model(gate="learned")
    groups = names_of(model, TrainSettings(rate=0.1, rates=Rates(base=0.01, gate=0.5)))
    assert {name: rate for name, (rate, _) in groups.items()} == {
        "base": 0.01, "netwarps": 0.1, "flow_cnn": 0.1, "gate": 0.5
    }  # fmt: skip
    assert set.union(*(names for _, names in groups.values())) == {name for name, _ in model.named_parameters()}
    assert all(name.startswith(f"{part}.") for part, (_, names) in groups.items() for name in names)


def test_a_rate_for_what_is_not_trained_is_refused():
    with pytest.raises(ConfigurationError, match=r"rates\.gate"):
        parameter_groups(small_model(), TrainSettings(rates=Rates(gate=0.1)))
    with frozen_as_told(model := small_model(), False), pytest.raises(ConfigurationError, match=r"rates\.base"):
        parameter_groups(model, TrainSettings(rates=Rates(base=0.1)))


def test_nothing_to_train_is_refused():
    with pytest.raises(ConfigurationError, match="nothing to train"):
        parameter_groups(small_model().requires_grad_(False), TrainSettings())


@pytest.mark.parametrize(
    ("told", "trained"),
    [
        (
            True,
            {"encoder.0.weight", "encoder.0.bias", "encoder.1.weight", "encoder.1.bias", "head.weight", "head.bias"},
        ),
        (False, set()),
        (("head",), {"head.weight", "head.bias"}),
        (("head", "encoder.1"), {"head.weight", "head.bias", "encoder.1.weight", "encoder.1.bias"}),
        (None, {"encoder.0.weight", "encoder.1.weight", "encoder.1.bias", "head.weight", "head.bias"}),
    ],
)
def test_the_network_is_frozen_as_told_and_left_as_it_was(told, trained):
    model = small_model()
    model.base.encoder[0].bias.requires_grad_(False)
    model.netwarps[0].w2.requires_grad_(False)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    with frozen_as_told(model, told):
        assert {name for name, p in model.base.named_parameters() if p.requires_grad} == trained
        assert {n: p.requires_grad for n, p in model.named_parameters() if not n.startswith("base.")} == {
            n: required for n, required in before.items() if not n.startswith("base.")
        }
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before


def test_a_module_that_does_not_exist_is_refused_before_anything_is_frozen():
    model = small_model()
    with pytest.raises(ConfigurationError, match=r"'haed'.*'head'"), frozen_as_told(model, ("encoder", "haed")):
        pass
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("steps", [1, 2, 19, 20, 1000])
def test_the_rate_rises_over_a_twentieth_and_falls_but_never_to_nothing(steps):
    shares = [share_of_rate(step, steps) for step in range(steps)]
    assert min(shares) > 0
    assert max(shares) <= 1
    top = max(range(steps), key=shares.__getitem__)
    assert top + 1 == max(steps // 20, 1)
    assert shares[top:] == sorted(shares[top:], reverse=True)


def test_the_control_starts_alike_and_keeps_its_memory_shut():
    model, control = small_model(), hold_w2(small_model())
    ours, theirs = dict(model.named_parameters()), dict(control.named_parameters())
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert different == ["netwarps.0.w1", "netwarps.0.w2"]
    assert torch.equal(control.netwarps[0].w1, model.netwarps[0].w1 + model.netwarps[0].w2)
    assert [n for n, p in theirs.items() if p.requires_grad] == [n for n in ours if n != "netwarps.0.w2"]

    train(control, clips().samples(), TrainSettings(steps=5, batch_size=4, rate=1e-2), classes=3)
    assert torch.equal(control.netwarps[0].w2, torch.zeros(8))
    assert not torch.equal(control.netwarps[0].w1, torch.ones(8))
    current, other, unlike = (torch.rand(1, 3, 24, 32) for _ in range(3))
    with torch.no_grad():
        assert torch.equal(control(current, other), control(current, unlike))


def test_a_control_is_the_network_whatever_was_before():
    torch.manual_seed(0)
    plain, model = small_model(), small_model(gate="learned", start=(0.3, 0.7))
    settings = TrainSettings(rates=Rates(base=0.1, gate=0.5), consistency=Consistency(0.5, 2), steps=7)
    control, how = as_control(model, settings)
    assert (how.steps, how.rates, how.consistency) == (7, Rates(base=0.1), Consistency())
    assert {name for name, _ in control.named_parameters()} == {
        name for name, _ in plain.named_parameters() if "cnn" not in name
    }
    control.eval()
    frames = [torch.rand(1, 3, 24, 32) for _ in range(3)]
    with torch.no_grad():
        alone = control.step(frames[2])[0]
        _, state = control.step(frames[0])
        _, state = control.step(frames[1], state)
        assert torch.equal(control.step(frames[2], state)[0], alone)
        torch.testing.assert_close(alone, control.without_memory().step(frames[2])[0])
    with pytest.raises(ConfigurationError, match="layers"):
        as_control(small_model(layers=[]), settings)
