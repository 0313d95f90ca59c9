"""A network of PyTorch's that an engine runs: where it does, where it does not, and what is kept on disk."""

import os
from threading import Event, Thread

import pytest
import torch
from torch import nn

from model.tiny import PLAIN, tiny
from netwarp import VideoModel, load_base
from netwarp.bases import in_engine
from netwarp.bases.in_engine import run_in
from netwarp.engines import ENGINES
from netwarp.errors import ConfigurationError

IMAGE = torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(0))


GRAPHS = {}
"""By code, weights and size: an export takes a second, and most tests want the same."""


@pytest.fixture(autouse=True)
def exports(tmp_path, monkeypatch):
    """The sizes of images that were exported for, in a cache of the test's own."""
    monkeypatch.setenv("NETWARP_CACHE", str(tmp_path / "cache"))
    made, real = [], in_engine.to_onnx

    def counting(module, inputs, *rest):
        made.append(tuple(inputs["image"].shape[2:]))
        weights = tuple(tensor.numpy().tobytes() for tensor in module.state_dict().values())
        key = module._own.__func__, weights, made[-1]
        if key not in GRAPHS:
            GRAPHS[key] = real(module, inputs, *rest)
        return GRAPHS[key]

    monkeypatch.setattr(in_engine, "to_onnx", counting)
    return made


@pytest.fixture
def runs(monkeypatch):
    """How often an engine ran."""
    counted = []
    real = in_engine._Runner._run
    monkeypatch.setattr(in_engine._Runner, "_run", lambda *args: (counted.append(1), real(*args))[1])
    return counted


@torch.no_grad()
@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_logits_from_one_export(engine, exports, runs, tmp_path):
    net, again = run_in(tiny(returns="dict"), engine), run_in(tiny(returns="dict"), engine)
    assert list(net.state_dict()) == list(tiny().state_dict())
    for image in (IMAGE, IMAGE.repeat(3, 1, 1, 1)):
        for each in (net, again):
            torch.testing.assert_close(each(image), tiny()(image), atol=1e-4, rtol=1e-4)
    assert exports == [(40, 56)]
    assert len(runs) == 2 + 8
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:99])
    torch.testing.assert_close(run_in(tiny(), engine)(IMAGE), tiny()(IMAGE), atol=1e-4, rtol=1e-4)
    assert exports == [(40, 56)] * 2


@torch.no_grad()
def test_other_weights_and_other_code_are_other_graphs(exports):
    for net in (tiny(), tiny(seed=1), tiny(), tiny().requires_grad_(False)):
        torch.testing.assert_close(run_in(net, "onnxruntime")(IMAGE), net.__class__.forward(net, IMAGE))
    assert len(exports) == 2

    class TinyNet(type(tiny())):  # of the same name and weights, by code that was changed
        def forward(self, x):
            return -super().forward(x)

    changed = tiny()
    changed.__class__ = TinyNet
    torch.testing.assert_close(run_in(changed, "onnxruntime")(IMAGE), -tiny()(IMAGE), atol=1e-4, rtol=1e-4)
    assert len(exports) == 3


def test_pytorch_runs_where_more_than_the_result_is_wanted(exports, runs):
    net = run_in(tiny(), "onnxruntime")
    assert net(IMAGE).requires_grad
    assert net.train()(IMAGE).requires_grad
    net.eval().load_state_dict(tiny().state_dict())  # training moved the norm's statistics
    with torch.no_grad():
        frame = (255 * IMAGE).byte()
        inside = VideoModel(net, ["mid"], "zero", None, start=(0.5, 0.5), preprocess=PLAIN)
        expected = VideoModel(tiny(), ["mid"], "zero", None, start=(0.5, 0.5), preprocess=PLAIN)
        _, state = inside.step(frame)
        _, other = expected.step(frame)
        assert torch.equal(inside.step(frame, state)[0], expected.step(frame, other)[0])
        assert exports == []
        assert inside.remove() is net
        # The model is built by PyTorch, which knows where a result's places look; frames are run by the engine.
        outside = VideoModel(net, training_free=True, preprocess=PLAIN)
        assert outside.answer_grid == VideoModel(tiny(), [], preprocess=PLAIN).answer_grid
        assert exports == []
        outside.step(frame)
    assert exports == [(40, 56)]
    assert len(runs) == 2


@torch.no_grad()
def test_an_engine_that_computes_something_else_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(in_engine._Runner, "_run", lambda *_: torch.zeros(1, 5, 20, 28))
    with pytest.raises(ConfigurationError, match=r"gives \d.*% of the labels.*leave engine=… out"):
        run_in(tiny(), "onnxruntime")(IMAGE)
    assert not (tmp_path / "cache").exists()


def test_weights_that_change_are_seen(exports):
    net, plain = run_in(tiny(), "onnxruntime"), tiny()
    optimiser = torch.optim.SGD(net.parameters(), 1.0)

    def give_the_same():
        plain.load_state_dict(net.state_dict())
        with torch.no_grad():
            torch.testing.assert_close(net.eval()(IMAGE), plain(IMAGE), atol=1e-4, rtol=1e-4)
        return len(exports)

    assert give_the_same() == give_the_same() == 1
    net.load_state_dict(tiny(seed=1).state_dict())
    assert give_the_same() == 2
    net(IMAGE).square().mean().backward()
    optimiser.step()
    net.norm.running_mean.add_(1)
    assert give_the_same() == 3
    net.head.bias = torch.nn.Parameter(torch.arange(5.0))
    assert give_the_same() == give_the_same() == 4


@torch.no_grad()
def test_engines_of_the_last_sizes_are_held(exports, monkeypatch):
    monkeypatch.setattr(in_engine, "KEPT", 2)
    net = run_in(tiny(), "onnxruntime")
    for width in (56, 48, 56, 40, 56, 48):
        net(torch.rand(1, 3, 40, width))
    assert list(net.forward.func.__self__._engines) == [(1, 3, 40, 56), (1, 3, 40, 48)]
    assert exports == [(40, 56), (40, 48), (40, 40)], "the rest comes from the disk"


@torch.no_grad()
def test_the_thread_that_prepares_frames_waits_for_an_export():
    found, done, frame = set(), Event(), (IMAGE * 255).byte()

    def prepare():
        while not done.is_set():
            found.add(model.checked(frame).device.type)

    net = nn.Sequential(nn.Conv2d(3, 4, 1), *(nn.Conv2d(4, 4, 3, padding=1) for _ in range(20))).eval()
    model = VideoModel(net, training_free=True, preprocess=PLAIN)
    thread = Thread(target=prepare)
    thread.start()
    try:
        run_in(net, "onnxruntime")(IMAGE)
    finally:
        done.set()
        thread.join()
    assert found == {"cpu"}


@torch.no_grad()
def test_graphs_that_were_not_used_for_longest_go(exports, monkeypatch, tmp_path):
    cache, net = tmp_path / "cache", run_in(tiny(), "onnxruntime")
    net(IMAGE)
    (first,) = cache.iterdir()
    other = cache / "mine.onnx"
    other.touch()
    os.utime(first, (0, 0))
    monkeypatch.setattr(in_engine, "LARGEST_CACHE", first.stat().st_size * 5 // 2)
    net(IMAGE[..., 8:])
    second = set(cache.iterdir()) - {first, other}
    run_in(tiny(), "onnxruntime")(IMAGE)  # used again
    assert first.stat().st_mtime > 0
    for path in second:
        os.utime(path, (0, 0))
    net(IMAGE[..., 16:])
    assert {first, other} < set(cache.iterdir())
    assert not second & set(cache.iterdir())


@torch.no_grad()
def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NETWARP_CACHE", str(tmp_path / "file" / "cache"))
    torch.testing.assert_close(run_in(tiny(), "onnxruntime")(IMAGE), tiny()(IMAGE), atol=1e-4, rtol=1e-4)
    assert [record.levelname for record in caplog.records if str(tmp_path) in record.message][-1] == "WARNING"


@torch.no_grad()
def test_a_single_output_is_compared_by_its_values(monkeypatch):
    net = run_in(tiny(classes=1), "onnxruntime")
    torch.testing.assert_close(net(IMAGE), tiny(classes=1)(IMAGE), atol=1e-4, rtol=1e-4)
    real = in_engine._Runner._run
    monkeypatch.setattr(in_engine._Runner, "_run", lambda *args: 1.1 * real(*args))
    with pytest.raises(ConfigurationError, match=r"gives \d.*% of the labels"):
        run_in(tiny(classes=1), "onnxruntime")(IMAGE)


def test_by_name():
    assert next(load_base("netwarp:streetnet", dtype="bfloat16").parameters()).dtype == torch.bfloat16
    with pytest.raises(ConfigurationError, match="no engine named 'openvimo': did you mean 'openvino'"):
        load_base("netwarp:streetnet", engine="openvimo")
    with pytest.raises(ConfigurationError, match="no dtype named 'int8'"):
        load_base("netwarp:streetnet", dtype="int8")
