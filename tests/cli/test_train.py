"""``netwarp train``: a file and options in, a model out; every mistake in one line, and nothing lost."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import yaml

import netwarp
from netwarp.cli import main
from netwarp.training.batches import clip_at
from training.processes import command, outcome

SMALL = {
    "out": "run",
    "data": {"spec": "streets:clips=2,frames=3,size=64x48", "cache": "cache"},
    "model": {"base": "tinybase:build", "classes": 11, "layers": ["1"], "start": [0.5, 0.5], "flow_cnn": None},
    "training": {"steps": 6, "batch_size": 2, "rate": 1e-2, "checkpoint_every": 2},
}


@pytest.fixture
def config(workplace: Path) -> Callable[..., Path]:
    """Write ``train.yaml``: the small one, with other values by their dotted names."""

    def write(**changed: object) -> Path:
        values = json.loads(json.dumps(SMALL))
        for name, value in changed.items():
            *sections, key = name.split("__")
            place = values
            for section in sections:
                place = place.setdefault(section, {})
            place[key] = value
        path = workplace / "train.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write


def run(*arguments: object) -> int:
    return main(["train", *(str(a) for a in arguments)])


def test_a_file_in_a_model_out(config, capsys: pytest.CaptureFixture[str]):
    assert run("--config", config(data__validation="val", training__augment={"flip": 0.5, "crop": [32, 48]})) == 0
    printed = capsys.readouterr()
    first, second, third = printed.out.splitlines()
    assert first.startswith("6 steps in ")
    assert "best validation iou" in first
    assert first.endswith(": run/model.safetensors")
    assert second == "other than in the paper: w1 and w2 begin at 0.5 and 0.5; no FlowCNN"
    assert third == "2 labelled frames were left out, such as street-0/0000 (no frame before it, and clips of 2 need 1)"
    (warning,) = printed.err.splitlines()
    assert "1 of 11 classes" in warning
    assert "(bicyclist)" in warning
    assert sorted(p.name for p in Path("run").iterdir()) == ["last.ckpt", "log.csv", "model.safetensors", "result.json"]
    model = netwarp.load("run/model.safetensors", base=netwarp.load_base("tinybase:build", classes=11))
    assert model.layers == ("1",)
    told = json.loads(Path("run/result.json").read_text())
    assert told["network"]["layers"] == ["1"]
    assert told["training"]["augment"]["crop"] == [32, 48]
    assert told["data"]["spec"] == SMALL["data"]["spec"]
    assert (told["data"]["clips"], told["data"]["left_out"]) == (4, 2)


def test_a_size_is_what_the_network_sees_then_and_later(config, capsys: pytest.CaptureFixture[str]):
    losses = []
    for out, size in (("whole", ()), ("small", ("--size", "32x24"))):
        assert run("--config", config(), "--out", out, *size) == 0
        model = netwarp.load(f"{out}/model.safetensors", base=netwarp.load_base("tinybase:build", classes=11))
        assert model.preprocess.size == ((24, 32) if size else None)
        losses.append(json.loads(Path(out, "result.json").read_text())["loss"])
    assert losses[0] != losses[1]
    assert run("--config", config(size="32x24"), "--out", "third") == 0
    assert Path("third/model.safetensors").read_bytes() == Path("small/model.safetensors").read_bytes()


def test_options_come_before_the_file(config, capsys: pytest.CaptureFixture[str]):
    given = ("--out", "other", "--training.steps", 3, "--model.layers", "[output]", "--training.train_base", "['2']")
    assert run("--config", config(), *given) == 0
    told = json.loads(Path("other/result.json").read_text())
    assert (told["steps"], told["network"]["layers"], told["training"]["train_base"]) == (3, ["output"], ["2"])
    assert capsys.readouterr().out.startswith("3 steps in ")


def test_the_seed_is_also_that_of_the_model(config):
    def trained(out: str, seed: int) -> bytes:
        given = ("--out", out, "--training.seed", seed, "--training.steps", 1, "--model.base", "netwarp:streetnet")
        assert run("--config", config(model__layers=["classifier"], model__classes=None), *given) == 0
        return Path(out, "model.safetensors").read_bytes()

    state = torch.get_rng_state()
    first = trained("a", 1)
    torch.manual_seed(99)
    assert trained("b", 1) == first
    assert trained("c", 2) != first
    torch.set_rng_state(state)


def test_a_saved_model_is_trained_on(config, capsys: pytest.CaptureFixture[str]):
    assert run("--config", config(model={"base": "netwarp:streetnet", "layers": ["log_probs"]})) == 0
    given = ("--data.spec", SMALL["data"]["spec"], "--training.steps", 2, "--model.file", "run/model.safetensors")
    assert run("--out", "more", *given) == 0
    assert netwarp.load("more/model.safetensors").layers == ("log_probs",)


def test_frame_by_frame_and_unlabelled_clips(config):
    assert run("--config", config(model__layers=[], data__length=1), "--out", "single") == 0
    path = config(data__spec="streets:clips=2,frames=5,size=64x48,every=4")
    given = ("--training.consistency.weight", 0.5, "--training.consistency.unlabelled", 2)
    assert run("--config", path, *given) == 0
    rows = Path("run/log.csv").read_text().splitlines()
    assert all(float(row.split(",")[2]) > 0 for row in rows[1:])


MISTAKES = {
    "--training.stepz 5": ["'--training.stepz'", "'--training.steps'"],
    "--training.steps many": ["training.steps", "'many'"],
    "--training.steps 0": ["steps", "not 0"],
    "--training.train_base 3.5": ["'3.5'"],
    "--training.augment.crop [1]": ["training.augment.crop"],
    "--training.patience 2": ["patience", "validate_every"],
    "--training.validate_every 2": ["training.validate_every", "data.validation"],
    "--training.train_base [haed]": ["'haed'"],
    "--training.rates.gate 0.1": ["rates.gate"],
    "--data.length 0": ["data.length", "not 0"],
    "--data.length 9": ["9 frames", "6 labelled frames"],
    "--data.spec camvid:nowhere": ["nowhere"],
    "--model.layers ['7']": ["'7'"],
    "--model.layers 7": ["'7'"],
    "--training.train_base [7,1.10]": ["'7'"],
    "--model.classes 5": ["11 classes", "5 outputs"],
    "--model.file m.safetensors": ["--model.base", "--model.file"],
    "--config none.yaml": ["none.yaml"],
    "--training.accelerator gpu": ["GPU"],
    "--out old": ["old/result.json"],
    "--size 32x24 --training.augment.crop [8,8]": ["size", "crop"],
    "--training.freeze_batch_norm 2": ["freeze_batch_norm", "not 2"],
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes_are_said_in_a_line_and_nothing_is_written(fails, config, arguments: str, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Path("old").mkdir()
    Path("old/result.json").write_text("{}")  # of something else: there is no checkpoint
    line = fails("train", "--config", config(data__cache=None), *arguments.split())
    assert [value for value in MISTAKES[arguments] if value not in line] == [], line


@pytest.mark.parametrize(
    ("given", "layers", "trained"),
    [("", ["0"], None), ("2 [2]", ["2"], ["2"]), ("0,1.10 2.10", ["0", "1.10"], ["2.10"]), ("[] false", [], False)],
)
def test_numbers_are_names_of_layers(config, capsys: pytest.CaptureFixture[str], given: str, layers, trained):
    path = config(model={"base": "tinybase:build", "layers": [0]})
    options = zip(("--model.layers", "--training.train_base"), given.split(), strict=False)
    assert run("--config", path, "--print-config", *(word for option in options for word in option)) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["model"]["layers"], shown["training"]["train_base"]) == (layers, trained)


SECTIONS = {
    "training: {stepz: 5}": ["'training.stepz'", "'training.steps'"],
    "trainin: {steps: 5}": ["'trainin.steps'", "'training.steps'"],
    "training: {rates: {bass: 1e-3}}": ["'training.rates.bass'", "'training.rates.base'"],
    'out: "\\0"': ["train.yaml", "zero byte"],
    "training: [": ["train.yaml", "YAML"],
    "just words": ["'just words'"],
    "{training: 5, data: {spec: streets}, model: {base: 'tinybase:build', layers: []}}": ["5"],
    "": ["train.yaml", "YAML"],
    "{}": ["--data.spec"],
    "data: {spec: streets}": ["--model.base"],
    "{data: {spec: streets}, model: {base: 'tinybase:build'}}": ["--model.layers"],
    "{data: {spec: streets}, model: {base: 'tinybase:build', layers: []}, out: null}": ["--out"],
}


@pytest.mark.parametrize("text", SECTIONS)
def test_a_file_that_is_wrong(fails, workplace: Path, text: str):
    (workplace / "train.yaml").write_text(text)
    line = fails("train", "--config", "train.yaml", *(() if "out:" in text else ("--out", "run")))
    assert [value for value in SECTIONS[text] if value not in line] == [], line


def test_another_training_in_the_same_folder(fails, config):
    assert run("--config", config()) == 0
    said = fails("train", "--config", config(), "--training.batch_size", 3)
    assert said == (
        "run/last.ckpt is of another training (training.batch_size was 2 and is 3): "
        "name another folder, or go back to what it was"
    )
    said = fails("train", "--config", config(), "--model.memory", "fused")
    assert 'memory was "previous" and is "fused"' in said
    assert run("--config", config()) == 0


@pytest.fixture
def folder_data(workplace: Path) -> Path:
    """A clip of six frames in ``folder:`` form, all labelled."""
    rng = np.random.default_rng(0)
    for kind in ("frames", "labels"):
        (workplace / "clips" / "train" / kind / "walk").mkdir(parents=True)
    (workplace / "clips" / "classes.txt").write_text("road\nsky\ntree\n")
    for index in range(6):
        image = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        PIL.Image.fromarray(image).save(workplace / f"clips/train/frames/walk/{index:03d}.png")
        labels = rng.integers(0, 3, (48, 64), dtype=np.uint8)
        PIL.Image.fromarray(labels).save(workplace / f"clips/train/labels/walk/{index:03d}.png")
    return workplace / "clips"


def test_bad_data_stops_with_a_line_and_what_was_done_is_kept(config, folder_data: Path, capsys):
    # The third of the five pairs, and the one after it, are not among the first two.
    seed = next(s for s in range(99) if {2, 3}.isdisjoint(clip_at(position, 5, s) for position in range(2)))
    path = config(
        data={"spec": "folder:clips"}, model__base="tinybase:build", model__classes=3,
        training={"steps": 10, "batch_size": 1, "checkpoint_every": 100, "seed": seed},
    )  # fmt: skip
    kept = {p: p.read_bytes() for p in folder_data.rglob("*.png")}
    image = folder_data / "train/frames/walk/003.png"
    image.write_bytes(image.read_bytes()[:200])
    assert run("--config", path) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith("netwarp: error: ")]) == 1
    assert "003" in lines[-1]
    done = len(Path("run/log.csv").read_text().splitlines()) - 1
    assert done >= 2
    for file, content in kept.items():
        file.write_bytes(content)
    assert run("--config", path) == 0
    assert capsys.readouterr().err == f"netwarp: going on from step {done} of 10\n"
    assert len(Path("run/log.csv").read_text().splitlines()) == 11


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_gone_on_with(config, workplace: Path, number: signal.Signals):
    path = config(training__steps=2000, training__checkpoint_every=1000)
    process = command("errors.txt", "train", "--config", path)
    log = workplace / "run" / "log.csv"
    while not log.exists() or len(log.read_text().splitlines()) < 3:
        assert process.exitcode is None, Path("errors.txt").read_text()
        time.sleep(0.01)
    os.kill(process.pid, number)
    assert outcome(process) == 130
    last = Path("errors.txt").read_text().splitlines()[-1]
    done = int(last.split(" step ")[1].split(" of ")[0])
    assert last == (f"netwarp: error: interrupted after step {done} of 2000: the same command goes on from step {done}")
    assert len(log.read_text().splitlines()) == done + 1
    assert not (workplace / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("module", "values"),
    [("lightning.fabric", ["lightning", "[train]"]), ("torch.utils.tensorboard", ["tensorboard"])],
)
def test_what_is_not_installed(fails, config, monkeypatch: pytest.MonkeyPatch, module: str, values: list[str]):
    monkeypatch.setitem(sys.modules, module, None)
    path = config(data__cache=None)
    line = fails("train", "--config", path, "--training.tensorboard", "true")
    assert [value for value in values if value not in line] == [], line
    if module == "torch.utils.tensorboard":
        assert run("--config", path) == 0


def test_the_example_is_read_and_its_model_built(monkeypatch: pytest.MonkeyPatch, workplace: Path):
    """All of examples/train.yaml but its many steps."""
    example = Path(netwarp.__file__).parents[2] / "examples" / "train.yaml"
    small = ("--data.spec", "streets:clips=2,frames=2,size=160x96", "--training.batch_size", 2)
    assert run("--config", example, "--training.steps", 2, *small) == 0
    assert Path("runs/example/model.safetensors").exists()


def test_the_control_is_trained_beside_the_model_and_compared(config, capsys: pytest.CaptureFixture[str]):
    network = {"base": "tinybase:eleven", "layers": ["1"], "start": [0.5, 0.5]}
    path = config(control=True, model=network, training__train_base=["2"], training__consistency={"weight": 0.5})
    assert run("--config", path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(": run/model.safetensors")
    assert lines[-1].startswith("control: 6 steps in ")
    assert lines[-1].endswith(": run/control/model.safetensors")
    base = netwarp.load_base("tinybase:eleven")
    model = netwarp.load("run/model.safetensors", base=base)
    control = netwarp.load("run/control/model.safetensors", base=netwarp.load_base("tinybase:eleven"))
    (ours,), (held,) = model.netwarps, control.netwarps
    assert ours.w2.any()
    assert not held.w2.any()
    assert abs(float(held.w1.detach().mean()) - 1) < 0.3, "it began with what both weights had"
    assert (control.flow_cnn, control.gate, control.memory) == (None, None, "previous")
    changed = [n for n, p in control.base.named_parameters() if not torch.equal(p, dict(base.named_parameters())[n])]
    assert control.base[0].weight.equal(netwarp.load_base("tinybase:eleven")[0].weight), "frozen in both"
    assert any(name.startswith("2.") for name in changed)
    told = json.loads(Path("run/control/result.json").read_text())
    assert (told["control"], told["training"]["consistency"]["weight"], told["steps"]) == (True, 0, 6)

    # The same command ends at once with the same files, and evaluate tells them apart.
    before = {path: path.read_bytes() for path in Path("run").rglob("*.safetensors")}
    assert run("--config", path, "--control") == 0
    assert {path: path.read_bytes() for path in Path("run").rglob("*.safetensors")} == before
    capsys.readouterr()
    given = ["--data", "streets:clips=2,frames=12,size=64x48", "--cache", "cache", "--base", "tinybase:eleven"]
    given += ["--model", "run/model.safetensors", "--control"]
    assert main(["evaluate", *given, "run/control/model.safetensors", "--json", "s.json"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[2:4]] == ["control", "model"]
    (line,) = [line for line in out.splitlines() if line.startswith("model − control: IoU ")]
    assert " to " in line
    record = json.loads(Path("s.json").read_text())
    gained = record["minus_control"]["miou"]
    assert gained["gain"] == pytest.approx(record["miou"] - record["compared_with"]["control"]["miou"], abs=2e-3)
    low, high = gained["interval"]
    assert low <= high
    assert main(["evaluate", *given, "run/model.safetensors"]) == 2
    assert "--control run/model.safetensors has a memory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [(("--model.layers", "[]"), "--control"), (("--training.devices", 2), "devices"), (("--out", ""), "--out")],
)
def test_a_control_needs_a_memory_and_one_device(config, given: tuple, said: str, fails: Callable[..., str]):
    assert said in fails("train", "--config", config(), "--control", *given)


def test_a_control_in_the_file_is_true_or_false(config, fails: Callable[..., str]):
    assert "control must be true or false" in fails("train", "--config", config(control="perhaps"))
