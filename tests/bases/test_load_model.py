"""Models written, read and refused."""

import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from model.tiny import PLAIN, OneSize, frozen_copy, hooks_on, same_state, set_weights, stream, tiny
from netwarp import NetWarpError, VideoModel, load, load_base
from netwarp.errors import ConfigurationError, InputError, OutputError, WeightsError
from netwarp.model import FlowCNN, LearnedGate, PhotometricGate, Preprocess
from netwarp.model.model_file import FORMAT, MODEL_KEY, read
from netwarp.ops import Grid

FRAMES = torch.randint(0, 256, (3, 1, 3, 48, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def espnet(classes=5):
    torch.manual_seed(0)
    base = load_base("netwarp:espnet", classes=classes)
    with torch.no_grad():
        for module in base.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
    return base


def video(base=None, layers=("mid",), **options):
    torch.manual_seed(0)  # of the FlowCNN
    model = VideoModel(base or tiny(), list(layers), **{"flow": "zero", "preprocess": PLAIN, **options})
    set_weights(model)
    return model


def run(model):
    return torch.cat(stream(model.eval(), FRAMES))


def config_of(path):
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"][MODEL_KEY])


def rewrite(path, change, tensors=None):
    """The same file with another configuration, or other tensors."""
    config = config_of(path)
    change(config)
    tensors = tensors or load_file(path)
    Path(path).unlink()  # the tensors may still be read from it
    save_file(tensors, path, {MODEL_KEY: json.dumps(config)})
    return path


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    video().save(path)
    return path


class TestRoundTrip:
    def test_of_a_model_whose_network_has_a_name(self, tmp_path):
        model = video(espnet(), ["encoder.b2", "log_probs"], flow="dis:fast", memory="fused", preprocess=None)
        model.save(tmp_path / "m.safetensors")
        back = load(tmp_path / "m.safetensors")
        assert not back.training
        assert torch.equal(run(back), run(model))
        assert same_state(back, frozen_copy(model))
        for name in ("layers", "memory", "gate", "interpolation", "training_free", "preprocess", "classes", "palette"):
            assert getattr(back, name) == getattr(model, name), name
        assert back.flow.spec == "dis:fast"
        assert back.base.source == model.base.source

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"flow_cnn": None},
            {"flow_cnn": FlowCNN(stride=4, start="gaussian")},
            {"flow_cnn": "release"},
            {"gate": PhotometricGate(0.2, 3), "memory": "fused", "interpolation": "bicubic"},
            {"layers": [], "flow": "dis"},
            {"layers": ["output"], "classes": ["a", "b", "c", "d", "e"], "palette": [(i, 2, 3) for i in range(5)]},
            {"preprocess": Preprocess((1, 2, 3), (4, 5, 6), 255.0, "bgr", 8, (40, 56))},
            {"layers": None, "training_free": True},
            {"layers": ["mid"], "training_free": True, "gate": PhotometricGate(0.3, 1), "memory": "previous"},
            {"gate": LearnedGate(terms=("forward_backward",))},
            {"gate": LearnedGate("photometric", ("photometric", "features"), error=PhotometricGate(0.3, 3))},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("include_base", [True, False])
    def test_of_a_model_with_a_network_of_the_users_own(self, options, include_base, tmp_path):
        layers = options.get("layers", ["mid"])
        model = VideoModel(tiny(), **{"flow": "zero", "preprocess": PLAIN, **options, "layers": layers})
        set_weights(model)
        if isinstance(model.gate, LearnedGate):
            torch.nn.utils.vector_to_parameters(torch.full((len(model.gate.terms),), 0.3), model.gate.parameters())
        model.save(tmp_path / "m.safetensors", include_base=include_base)
        net = tiny(seed=1) if include_base else tiny()
        back = load(tmp_path / "m.safetensors", base=net)
        assert back.base is net
        assert torch.equal(run(back), run(model))
        assert back.gate == model.gate or (back.gate.terms, back.gate.error) == (model.gate.terms, model.gate.error)
        assert config_of(tmp_path / "m.safetensors")["layers"] == list(model.layers)
        back.save(tmp_path / "again.safetensors", include_base=include_base)
        assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "m.safetensors").read_bytes()
        trained = [p.requires_grad for p in model.netwarps.parameters()]
        assert [p.requires_grad for p in back.netwarps.parameters()] == trained

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_of_a_model_in_half_precision(self, dtype, tmp_path):
        model = video(espnet(), ["encoder.b2"], flow_cnn=None, preprocess=None)
        model.base.to(dtype)
        model.save(tmp_path / "m.safetensors")
        back = load(tmp_path / "m.safetensors")
        assert back.base.classifier.weight.dtype == dtype
        assert torch.equal(run(back), run(model))

    def test_a_network_that_only_takes_frames_of_one_size(self, tmp_path):
        model = video(OneSize((48, 64)), ["net.mid"], example_size=(48, 64))
        model.save(tmp_path / "m.safetensors")
        assert torch.equal(run(load(tmp_path / "m.safetensors", base=OneSize((48, 64)))), run(model))

    def test_a_network_whose_answers_lie_elsewhere(self, tmp_path):
        base, own = espnet(), Grid((4.0, 4.0), (1.0, 1.5))
        base.output_grid = own
        model = VideoModel(base, ["encoder.b1"])
        model.save(tmp_path / "m.safetensors")
        again = load(tmp_path / "m.safetensors")
        assert again.base.output_grid == own
        assert torch.equal(run(again), run(model))
        assert not hasattr(load(tmp_path / "m.safetensors", base=espnet()).base, "output_grid")  # that one says it

    def test_loading_by_hand_is_strict(self, saved):
        model = VideoModel(tiny(), ["mid"], preprocess=PLAIN)
        model.load_state_dict(read(saved).tensors, strict=True)

    def test_tied_weights(self, tmp_path):
        net = tiny()
        net.twin = net.mid
        path = tmp_path / "m.safetensors"
        video(net).save(path)
        other = tiny(seed=1)
        other.twin = other.mid
        back = load(path, base=other)
        assert other.twin is other.mid
        assert torch.equal(run(back), run(video()))

    def test_a_network_in_training_mode_is_loaded_for_evaluation(self, saved):
        net = tiny().train()
        assert not load(saved, base=net).training
        assert not any(m.training for m in net.modules())


class TestWriting:
    def test_makes_the_folder_and_replaces_the_file(self, tmp_path):
        path = tmp_path / "new" / "folder" / "m.safetensors"
        video().save(path)
        first = path.read_bytes()
        model = video()
        set_weights(model, 0.1, 0.9)
        model.save(str(path))
        assert path.read_bytes() != first
        assert [p.name for p in path.parent.iterdir()] == ["m.safetensors"]
        with pytest.raises(OutputError):
            model.save(tmp_path)

    def test_weights_that_are_not_finite_are_not_written(self, tmp_path):
        model = video()
        with torch.no_grad():
            model.netwarps[0].w2[3] = float("nan")
        with pytest.raises(WeightsError, match=r"netwarps\.0\.w2"):
            model.save(tmp_path / "m.safetensors")
        assert not list(tmp_path.iterdir())

    def test_a_flow_without_a_name(self, tmp_path):
        with pytest.raises(ConfigurationError, match="spec"):
            video(flow=lambda current, previous, index=None: None).save(tmp_path / "m.safetensors")

    @pytest.mark.parametrize("source", ["a text", 3, torch.zeros(1)])
    def test_a_foreign_attribute_called_source(self, source, tmp_path):
        net = tiny()
        net.source = source
        video(net).save(tmp_path / "m.safetensors")
        assert config_of(tmp_path / "m.safetensors")["base"] is None


def refused(path, base=None):
    """The error, after a look at whether the network was left as it was."""
    base = base or tiny()
    before = frozen_copy(base)
    with pytest.raises(NetWarpError) as caught:
        load(path, base=base)
    assert hooks_on(base) == 0
    assert same_state(base, before)
    assert "\n" not in str(caught.value)
    return caught.value


def taken_or_refused(path):
    """Whatever the file holds, it is a model, or one line says why not."""
    base = tiny()
    try:
        load(path, base=base).remove()
    except NetWarpError:
        refused(path)
    assert hooks_on(base) == 0


class TestRefusals:
    @pytest.mark.parametrize("path", [3, None, b"model"])
    def test_what_is_no_path(self, path):
        assert "path" in str(refused(path))

    @pytest.mark.parametrize("name", ["no.safetensors", "."])
    def test_no_file(self, name, tmp_path):
        assert isinstance(refused(tmp_path / name), InputError)

    def test_a_network_that_cannot_be_built(self, saved):
        with pytest.raises(ConfigurationError, match="base="):
            load(saved)

    def test_a_network_without_its_weights(self, tmp_path):
        video(espnet(), ["conv"]).save(tmp_path / "m.safetensors", include_base=False)
        with pytest.raises(ConfigurationError, match=r"netwarp:espnet.*base="):
            load(tmp_path / "m.safetensors")

    def test_code_outside_of_netwarp_is_not_run(self, saved):
        source = {"spec": "os.path:join", "classes": ["a"], "palette": [[0, 0, 0]], "preprocess": {}, "options": {}}
        rewrite(saved, lambda config: config.update(base=source))
        with pytest.raises(ConfigurationError, match="trust"):
            load(saved)

    def test_another_network(self, saved):
        assert "classes" in str(refused(saved, tiny(classes=6)))
        other = tiny()
        other.stem = torch.nn.Conv2d(3, 8, 5, stride=2, padding=2)
        assert "base.stem.weight" in str(refused(saved, other))
        other = tiny()
        other.more = torch.nn.Linear(2, 2)
        assert "base.more.weight, base.more.bias" in str(refused(saved, other))
        assert "'mid'" in str(refused(saved, espnet()))

    def test_tensors_too_few_and_too_many(self, saved):
        tensors = load_file(saved)
        rewrite(saved, lambda config: None, {k: v for k, v in tensors.items() if k != "netwarps.0.w2"})
        assert "netwarps.0.w2" in str(refused(saved))
        rewrite(saved, lambda config: None, {**tensors, "base.extra": torch.zeros(2)})
        assert "base.extra" in str(refused(saved))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    @pytest.mark.parametrize("name", ["netwarps.0.w1", "base.stem.weight", "flow_cnn.conv1.bias"])
    def test_weights_that_are_not_finite(self, name, value, saved):
        tensors = load_file(saved)
        tensors[name].view(-1)[-1] = value
        rewrite(saved, lambda config: None, tensors)
        error = refused(saved)
        assert isinstance(error, WeightsError)
        assert name in str(error)

    @pytest.mark.parametrize(
        ("write", "says"),
        [
            (lambda path: save_file({"weight": torch.zeros(3)}, path), "no netwarp model"),
            (lambda path: save_file({"weight": torch.zeros(3)}, path, {"format": "pt"}), "no netwarp model"),
            (lambda path: torch.save(tiny().state_dict(), path), "VideoModel.save"),
            (lambda path: rewrite(path, lambda config: config.update(format=FORMAT + 1)), "update netwarp"),
        ],
    )
    def test_something_else(self, write, says, saved):
        write(saved)
        assert says in str(refused(saved))

    @pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"x"', "{}", '{"format": "1"}', "[" * 100_000])
    def test_a_configuration_that_is_none(self, text, saved):
        save_file(load_file(saved), saved, {MODEL_KEY: text})
        assert isinstance(refused(saved), WeightsError)

    def test_every_missing_entry(self, saved):
        whole = config_of(saved)
        for name in whole.keys() - {"base", "grids"}:  # older files have no grids
            rewrite(saved, lambda config, name=name: config.pop(name))
            assert isinstance(refused(saved), WeightsError), name
            rewrite(saved, lambda config: config.update(whole))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 40) | st.just(10**19) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ENTRIES = [
    "layers", "flow", "flow_cnn", "memory", "gate", "training_free", "preprocess", "classes", "palette", "example_size",
    "base", "format", "interpolation",
]  # fmt: skip
PLACES = st.one_of(
    st.tuples(st.sampled_from(ENTRIES)),
    st.tuples(st.just("preprocess"), st.sampled_from(sorted(PLAIN.to_dict()))),
    st.tuples(st.just("flow_cnn"), st.sampled_from(["variant", "stride", "start"])),
    st.tuples(st.just("gate"), st.sampled_from(sorted(PhotometricGate().to_dict()))),
    st.sampled_from([(), ("start",), ("terms",), ("error",), ("error", "sigma"), ("error", "what")]).map(
        lambda keys: ("gate", "learned", *keys)
    ),
)
function_scoped = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@settings(function_scoped, max_examples=100)
@given(PLACES, json_values)
def test_any_value_in_the_configuration_is_taken_or_refused_in_one_line(tmp_path, where, value):
    learned = "learned" in where
    path, changed = (tmp_path / f"{name}{learned}.safetensors" for name in ("whole", "changed"))
    if not path.exists():
        video(gate=LearnedGate() if learned else PhotometricGate()).save(path)
    changed.write_bytes(path.read_bytes())

    def change(config):
        for key in where[:-1]:
            config = config[key]
        config[where[-1]] = value

    rewrite(changed, change)
    taken_or_refused(changed)


@function_scoped
@given(st.floats(0, 0.9999))
def test_truncated_files(saved, share):
    data = saved.read_bytes()
    cut = saved.with_name("cut.safetensors")
    cut.write_bytes(data[: int(share * len(data))])
    assert isinstance(refused(cut), WeightsError)


@function_scoped
@given(st.integers(0, 2**16), st.integers(1, 255))
def test_a_changed_byte_in_the_header(saved, where, flip):
    data = bytearray(saved.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    data[where % (8 + length)] ^= flip
    changed = saved.with_name("changed.safetensors")
    changed.write_bytes(data)
    taken_or_refused(changed)


@pytest.mark.parametrize("place", [-3, 900])
def test_a_bit_that_fell_over_is_noticed(place, saved):
    content = bytearray(saved.read_bytes())
    content[place] ^= 4
    saved.write_bytes(content)
    assert str(saved) in str(refused(saved, tiny()))
