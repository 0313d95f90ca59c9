"""What the outputs of a network are taken for, and that memory, labels and losses follow."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model.tiny import PLAIN, Pan, set_weights, stream, tiny, video
from netwarp import VideoModel
from netwarp.errors import ConfigurationError
from netwarp.model.task import NEAR_0, Binary, Multilabel, Regression, Task, task_from_dict, task_of
from netwarp.ops import warp

NET = nn.Identity()


@pytest.mark.parametrize(
    ("maps", "name", "expected"),
    [
        (torch.randn(1, 5, 4, 6), None, Task(5)),
        (torch.randn(1, 1, 4, 6), None, Binary(1)),
        (torch.rand(1, 1, 4, 6), "binary", Binary(1, squashed=True)),
        (torch.rand(1, 1, 4, 6), "regression", Regression(1)),
        (torch.rand(1, 3, 4, 6), "multilabel", Multilabel(3, squashed=True)),
        (torch.randn(1, 3, 4, 6), "multilabel", Multilabel(3)),
        (torch.rand(1, 3, 4, 6), None, Task(3)),
        (torch.randn(1, 3, 4, 6).softmax(1), None, Task(3, squashed=True)),
        (F.one_hot(torch.randint(3, (1, 4, 6))).movedim(-1, 1).float(), None, Task(3, squashed=True)),
    ],
)
def test_what_outputs_are_taken_for(maps, name, expected):
    assert task_of(NET, [maps], name) == expected
    assert task_from_dict(expected.to_dict()) == expected


def test_a_network_says_its_task_itself():
    net = nn.Identity()
    net.task = "regression"
    assert task_of(net, [torch.rand(1, 1, 4, 6)]) == Regression(1)
    net.task = "nothing that is known"
    assert task_of(net, [torch.randn(1, 1, 4, 6)]) == Binary(1)


@pytest.mark.parametrize(
    ("outputs", "name", "says"),
    [(1, None, "task"), (1, "classes", "binary"), (3, "binary", "3"), (3, "clases", "did you mean 'classes'")],
)
def test_what_is_ambiguous_or_impossible_is_refused(outputs, name, says):
    with pytest.raises(ConfigurationError, match=says):
        task_of(NET, [torch.rand(1, outputs, 4, 6)], name)


def test_whole_numbers_are_no_logits():
    with pytest.raises(ConfigurationError, match="argmax"):
        task_of(NET, [torch.randint(3, (1, 1, 4, 6)).float()])


def squashing(net: nn.Module, by: nn.Module | None = None) -> nn.Module:
    return nn.Sequential(net, by or nn.Sigmoid()).eval()


@pytest.mark.parametrize(("outputs", "task"), [(3, "classes"), (3, "multilabel"), (1, "binary")])
def test_probabilities_stay_what_the_network_says_at_frame_size(outputs, task):
    net = squashing(tiny(classes=outputs), nn.Softmax(1) if task == "classes" else None)
    frame = torch.rand(1, 3, 16, 24)
    model = VideoModel(net, training_free=True, task=task, preprocess=PLAIN)
    with torch.no_grad():
        alone = F.interpolate(net(frame), (16, 24), mode="bilinear")
        logits, _ = model.step(frame)
        labels, _ = model.step(frame, as_labels=True)
    torch.testing.assert_close(model.task.probabilities(logits), alone)
    assert torch.equal(labels.long(), model.task.labels_of_probabilities(alone))


@pytest.mark.parametrize("layer", ["output", "log_probs"])
@pytest.mark.parametrize(
    ("outputs", "task", "squashed"),
    [
        (1, None, False),
        (1, "binary", True),
        (3, "multilabel", False),
        (3, "multilabel", True),
        (1, "regression", False),
    ],
)
def test_memory_is_linear_in_logits_and_in_values(outputs, task, squashed, layer):
    net = squashing(tiny(classes=outputs)) if squashed else tiny(classes=outputs)
    frames = [torch.rand(1, 3, 16, 24) for _ in range(2)]
    with torch.no_grad():
        said = [net(frame) for frame in frames]
    if squashed:
        said = [each.logit(NEAR_0) for each in said]
    fresh = VideoModel(net, [layer], Pan(), None, task=task, preprocess=PLAIN)

    def enlarged(maps):
        maps = F.interpolate(maps.sigmoid() if squashed else maps, (16, 24), mode="bilinear")
        return maps.logit(NEAR_0) if squashed else maps

    upscaled = [enlarged(each) for each in said]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(stream(fresh, frames), upscaled, strict=True))
    fresh.remove()

    model = VideoModel(net, [layer], Pan(), None, task=task, preprocess=PLAIN, start=(0.3, 0.7))
    now = stream(model, frames)[1]
    flow = torch.zeros(1, 2, 8, 12)
    flow[:, 0] = 1  # two pixels of the frame
    expected = enlarged(0.3 * said[1] + 0.7 * warp(said[0], flow))
    torch.testing.assert_close(now, expected)
    labels = model.labels(now)
    if model.task.name == "regression":
        assert torch.equal(labels, now[:, 0])
    else:
        there = (expected.sigmoid() > 0.5).long()
        assert torch.equal(labels, there if outputs > 1 else there[:, 0])


@pytest.mark.parametrize(("outputs", "task"), [(1, "binary"), (3, "multilabel"), (1, "regression")])
def test_a_stream_is_its_pairs_and_a_carried_answer_its_keyframes(outputs, task):
    model = video(["log_probs"], tiny(classes=outputs), task=task, flow_cnn=None)
    frames = [torch.rand(1, 3, 16, 24) for _ in range(3)]
    logits = stream(model, frames)
    with torch.no_grad():
        assert torch.equal(logits[2], model(frames[2], frames[1]))
        key, state = model.step(frames[0])
        carried, state = model.step(frames[1], state, torch.zeros(1, 2, 16, 24), keyframe=False)
    assert torch.equal(model.labels(carried), model.labels(key))
    net = model.base
    assert model.remove() is net


def test_losses_by_hand():
    logits, labels = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    labels[0, 0] = 255
    weights = torch.tensor([0.5, 1.0, 2.0])
    total = 0.0
    for b, y, x in torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(5)):
        if (label := int(labels[b, y, x])) == 255:
            continue
        p = logits[b, :, y, x].sigmoid()
        total -= float(weights[label]) * sum(float((p[c] if c == label else 1 - p[c]).log()) for c in range(3))
    assert float(Multilabel(3).loss_sum(logits, labels, weights)) == pytest.approx(total, rel=1e-5)

    two = torch.where(labels == 255, 255, labels.clamp(max=1))
    known = two != 255
    p = logits[:, 0].sigmoid()
    each = -torch.where(two == 1, 2 * p.log(), 0.5 * (1 - p).log())
    of_binary = Binary(1).loss_sum(logits[:, :1], two, torch.tensor([0.5, 2.0]))
    assert float(of_binary) == pytest.approx(float(each[known].sum()), rel=1e-5)
    # As softmax over two logits, one of which is 0.
    softmax = F.cross_entropy(torch.cat([0 * logits[:, :1], logits[:, :1]], 1), two, ignore_index=255, reduction="sum")
    assert float(Binary(1).loss_sum(logits[:, :1], two, None)) == pytest.approx(float(softmax), rel=1e-5)


@pytest.mark.parametrize("task", [Task(3), Multilabel(3), Binary(1), Regression(2)])
def test_nothing_disagrees_with_itself_and_all_else_does(task):
    logits, other = torch.randn(2, 2, task.outputs, 4, 5)
    assert task.disagreement(logits, task.probabilities(logits)).abs().max() < 1e-5
    assert (task.disagreement(logits, task.probabilities(other)) > 0).all()
    torch.testing.assert_close(task.probabilities(task.logits(task.probabilities(logits))), task.probabilities(logits))


def test_names_and_colours_of_the_labels():
    assert Binary(1).named(None, None).names == ("background", "object")
    assert Binary(1).named(["road"], [(1, 2, 3)]).palette == ((0, 0, 0), (1, 2, 3))
    assert Multilabel(2).named(["a", "b"], None).palette[0] != (0, 0, 0)
    with pytest.raises(ConfigurationError, match="3 and 2"):
        Binary(1).named(list("abc"), None)


def test_a_saved_model_keeps_its_task(tmp_path):
    from netwarp import load

    net = tiny(classes=1)
    model = VideoModel(net, ["output"], flow_cnn=None, preprocess=PLAIN, task="regression")
    set_weights(model)
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors", base=tiny(1, classes=1))
    assert (again.task, again.classes) == (Regression(1), ("value",))
