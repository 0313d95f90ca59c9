"""``netwarp evaluate``: what it measures, prints and writes, and what it says of mistakes."""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cityscapes_tree import made_scene, write_image, write_truth
from PIL import Image

from netwarp import VideoModel, load_base
from netwarp.cli import main
from netwarp.datasets.cityscapes import to_ids
from netwarp.datasets.registry import open_data
from netwarp.evaluation.evaluate import evaluate
from netwarp.label_sets import CITYSCAPES

SPEC = "streets:clips=2,frames=3,size=48x40"
STREETS = ("--data", SPEC)
BASE = ("--base", "tinybase:build", "--classes", "11")
Fails = Callable[..., str]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where streets are kept: rendering takes longer than the rest."""
    return tmp_path_factory.mktemp("streets")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, str]:
    capsys.readouterr()
    assert main(["evaluate", *map(str, arguments)]) == 0
    return capsys.readouterr()


def base_model(**options: object) -> VideoModel:
    return VideoModel(load_base("tinybase:build", classes=11), **options)


def test_a_base_is_measured_frame_by_frame(capsys: pytest.CaptureFixture[str], workplace: Path, cache: Path):
    out, err = run(
        capsys, *STREETS, "--cache", cache, *BASE, "--json", "new/scores.json", "--per-class", "--widths", "1,3"
    )
    data = open_data(SPEC, cache=cache)
    expected = evaluate({"m": base_model(layers=[])}, data, widths=(1, 3))["m"]
    record = json.loads(Path("new/scores.json").read_text())
    assert record["miou"] == pytest.approx(expected["miou"], abs=1e-3)
    assert record["tiou"] == pytest.approx({"1": expected["tiou"][1], "3": expected["tiou"][3]}, abs=1e-3)
    assert record["tc"] == pytest.approx(expected["tc"], abs=1e-3)
    assert record["iiou"] == pytest.approx(expected["iiou"], abs=1e-3)
    assert record["vc"] == {"8": None, "16": None}
    assert record["frames"] == 6
    assert record["ms_per_frame"] > 0
    values = [value for value in record["per_class"].values() if value is not None]
    assert list(record["per_class"]) == list(data.classes.names)
    assert sum(values) / len(values) == pytest.approx(record["miou"], abs=1e-3)
    lines = out.splitlines()
    head = "IoU tIoU 1 px tIoU 3 px iIoU consistency TC mIoU TC mIoU, visible ms a frame"
    assert lines[0].split() == head.split()
    assert lines[2].split()[:4] == ["frame", "by", "frame", f"{expected['miou']:.2f}"]
    assert any(line.split()[0] == "bicyclist" for line in lines if line)
    assert lines[-1].startswith("streets val: 6 labelled of 6 frames in ")
    assert "classes have other names" not in err


@pytest.mark.parametrize("alone", [True, False])
def test_size_is_what_the_network_sees_and_scores_are_at_the_labels_size(
    capsys: pytest.CaptureFixture[str], workplace: Path, cache: Path, alone: bool
):
    memory = () if alone else ("--layers", "1")
    run(capsys, *STREETS, "--cache", cache, *BASE, *memory, "--size", "48x32", "--json", "scores.json", "--widths", "2")
    whole, small = (base_model(layers=[] if alone else ["1"], training_free=not alone) for _ in range(2))
    small.preprocess = replace(small.preprocess, size=(32, 48))
    scores = evaluate({"whole": whole, "small": small}, open_data(SPEC, cache=cache))
    whole, expected = (scores[name]["miou"] for name in ("whole", "small"))
    found = json.loads(Path("scores.json").read_text())["miou"]
    assert found == pytest.approx(expected, abs=1e-3)
    assert abs(found - whole) > 0.005


def test_compared_with_the_mode_without_training(capsys: pytest.CaptureFixture[str], workplace: Path, cache: Path):
    out, _ = run(capsys, *STREETS, "--cache", cache, *BASE, "--compare", "--json", "scores.json", "--widths", "2")
    record = json.loads(Path("scores.json").read_text())
    expected = evaluate(
        {"alone": base_model(layers=[]), "free": base_model(training_free=True)}, open_data(SPEC, cache=cache)
    )
    assert record["miou"] == pytest.approx(expected["free"]["miou"], abs=1e-3)
    assert list(record["compared_with"]) == ["frame by frame"]
    assert record["compared_with"]["frame by frame"]["tc"] == pytest.approx(expected["alone"]["tc"], abs=1e-3)
    assert [line.split("  ")[0] for line in out.splitlines()[2:4]] == ["frame by frame", "training-free"]


def test_a_saved_model_its_base_and_the_true_flow(capsys: pytest.CaptureFixture[str], workplace: Path, cache: Path):
    model = base_model(layers=["log_probs"], flow_cnn=None, start=(0.5, 0.5))
    model.save("m.safetensors", include_base=False)
    data = open_data(SPEC, cache=cache)
    model.flow.preset = "fast"
    for options, expected in (
        (("--flow", "dis:fast"), model),
        (("--frame-by-frame",), base_model(layers=[])),
        (("--flow", "true"), base_model(layers=["log_probs"], flow_cnn=None, start=(0.5, 0.5), flow="true")),
    ):
        given = ("--cache", cache, "--model", "m.safetensors", *BASE, *options, "--json", "s.json", "--widths", "2")
        run(capsys, *STREETS, *given)
        scores = evaluate({"m": expected}, data)["m"]
        assert json.loads(Path("s.json").read_text())["miou"] == pytest.approx(scores["miou"], abs=1e-3)


@pytest.mark.parametrize("workers", [1, 3])
def test_label_maps_go_out_and_come_back(capsys, workplace: Path, cache: Path, workers: int):
    free = ("--training-free", "--workers", workers)
    run(capsys, *STREETS, "--cache", cache, *BASE, *free, "--save-predictions", "maps", "--json", "model.json")
    assert len(list(Path("maps").rglob("*.png"))) == 6
    out, _ = run(capsys, *STREETS, "--cache", cache, "--predictions", "maps", "--json", "maps.json")
    model, maps = (json.loads(Path(f"{name}.json").read_text()) for name in ("model", "maps"))
    assert (maps.pop("ms_per_frame"), maps.pop("network_share")) == (None, None)
    assert model.pop("ms_per_frame") > 0
    assert model.pop("network_share") == 100
    assert maps == model
    assert "ms a frame" not in out


def test_a_network_with_the_classes_in_an_order_of_its_own(capsys, workplace: Path, cache: Path):
    """It is scored by their names, without a warning, and writes label maps in the data's order."""
    names = ",".join(reversed(open_data(SPEC, cache=cache).classes.names))
    mirrored = ("--base", "tinybase:build", "--classes", names)
    _, err = run(capsys, *STREETS, "--cache", cache, *mirrored, "--save-predictions", "maps", "--json", "model.json")
    assert "other names" not in err
    run(capsys, *STREETS, "--cache", cache, "--predictions", "maps", "--json", "maps.json")
    model, maps = (json.loads(Path(f"{name}.json").read_text()) for name in ("model", "maps"))
    assert model["per_class"] == maps["per_class"]
    assert list(model["per_class"]) != list(maps["per_class"])
    run(capsys, *STREETS, "--cache", cache, *BASE, "--json", "plain.json")
    assert json.loads(Path("plain.json").read_text())["per_class"] != model["per_class"]


def test_history_and_labels_that_are_sparse(capsys: pytest.CaptureFixture[str], cache: Path):
    sparse = ("--data", "streets:clips=1,frames=8,size=48x40,every=4", *BASE)
    for options, frames in ((("--training-free",), 8), (("--training-free", "--history", "1"), 4), ((), 2)):
        out, _ = run(capsys, *sparse, "--cache", cache, *options, "--widths", "1")
        assert f"2 labelled of {frames} frames" in out
        assert ("consistency" in out) == (frames != 2)


@pytest.fixture
def city(workplace: Path) -> Path:
    for sequence in range(2):
        for frame in (18, 19):
            write_image(workplace / "city", f"ulm_{sequence:06}_{frame:06}")
        write_truth(workplace / "city", f"ulm_{sequence:06}_000019", *made_scene(sequence))
    return workplace / "city"


def test_cityscapes_as_its_own_scripts_measure_it(capsys, city: Path, monkeypatch):
    script = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    base = ("--base", "tinybase:build", "--classes", ",".join(CITYSCAPES.names))
    ours = ("--data", f"cityscapes:{city}", "--prediction-ids", "cityscapes")
    run(capsys, *ours, *base, "--save-predictions", "results", "--json", "model.json")
    # Its own search finds our files by their names; some are made worse, so that not all is one class.
    args = copy.copy(script.args)
    args.quiet, args.JSONOutput, args.predictionPath, args.predictionWalk = True, False, "results", None
    truths = sorted(map(str, (city / "gtFine").rglob("*_labelIds.png")))
    rng = np.random.default_rng(0)
    for truth in truths:
        path = script.getPrediction(args, truth)
        labels = np.array(Image.open(path))
        right = rng.random(labels.shape) < 0.7
        mixed = np.where(right, np.array(Image.open(truth)), to_ids(rng.integers(0, 19, labels.shape)))
        Image.fromarray(np.where(rng.random(labels.shape) < 0.2, labels, mixed)).save(path)
    if not hasattr(np, "in1d"):
        monkeypatch.setattr(np, "in1d", np.isin, raising=False)  # numpy 2.4 has dropped what 2.3.0 calls
    theirs = script.evaluateImgLists([script.getPrediction(args, truth) for truth in truths], truths, args)

    out, _ = run(capsys, *ours, "--predictions", "results", "--json", "scores.json", "--per-class")
    record = json.loads(Path("scores.json").read_text())
    assert record["miou"] == pytest.approx(100 * theirs["averageScoreClasses"], abs=1e-3)
    assert record["iiou"] == pytest.approx(100 * theirs["averageScoreInstClasses"], abs=1e-3)
    for key, scores in (("per_class", "classScores"), ("iiou_per_class", "classInstScores")):
        found = {name: np.nan if value is None else value for name, value in record[key].items()}
        assert found == pytest.approx({n: 100 * theirs[scores][n] for n in CITYSCAPES.names}, abs=1e-3, nan_ok=True)
    assert record["tc"] is None
    assert out.splitlines()[0].split()[-1] == "iIoU"
    assert "2 labelled of 2 frames" in out


def test_cityscapes_ids_that_nobody_spoke_of(fails: Fails, city: Path):
    for sequence in range(2):
        path = city.parent / "maps" / f"ulm_{sequence:06}_000019_pred.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((32, 64), 26, np.uint8)).save(path)
    line = fails("evaluate", "--data", f"cityscapes:{city}", "--predictions", "maps")
    assert "holds 26 in 2048 of its pixels" in line
    assert "give --prediction-ids cityscapes if these are" in line
    assert "(and 1 more of 2 files" in line


MISTAKES = {
    SPEC: ["--base SPEC", "--model FILE", "--predictions DIR"],
    f"{SPEC} --predictions maps": ["6 of the 6 labelled frames", "street-"],  # an empty folder
    f"{SPEC} BASE --predictions x": ["--base", "--predictions"],
    f"{SPEC} --predictions x --history 0": ["--history", "network"],
    f"{SPEC} BASE --prediction-ids classes": ["--prediction-ids", "--save-predictions"],
    f"{SPEC} BASE --prediction-ids ids": ["--prediction-ids", "'ids'"],
    f"{SPEC} BASE --frame-by-frame --compare": ["--compare", "--frame-by-frame"],
    f"{SPEC} BASE --flow zero": ["--flow", "memory"],
    f"{SPEC} BASE --interpolation bicubic": ["--interpolation", "memory"],
    f"{SPEC} BASE --lag 2": ["--lag", "memory"],
    f"{SPEC} --predictions x --offline": ["--offline", "network"],
    f"{SPEC} --model m --training-free": ["--training-free", "--base"],
    f"{SPEC} --model m --weights w": ["--weights", "--base"],
    f"{SPEC} --model m.safetensors": ["m.safetensors"],
    f"{SPEC} BASE --widths 1,0": ["'1,0'"],
    f"{SPEC} BASE --history -1": ["'-1'"],
    f"{SPEC} --base tinybase:build": ["3 outputs", "11 classes"],
    f"{SPEC} BASE --training-free --layers encoder": ["'encoder'"],
    f"{SPEC} BASE --training-free --flow precomputed:x": ["x"],
    "cityscapes:city CITY --save-predictions city": ["city lies in the data set"],
    "cityscapes:city CITY --save-predictions city/gtFine/val/ulm": ["ulm lies in the data set"],
    "cityscapes:odd CITY": ["ulm_000001_000019", "32×16"],
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes_are_named(fails: Fails, city: Path, workplace: Path, arguments: str):
    (workplace / "maps").mkdir()
    shutil.copytree(city, workplace / "odd")
    write_truth(workplace / "odd", "ulm_000001_000019", *made_scene(1, (16, 32)))
    given = arguments.replace("BASE", " ".join(BASE)).replace("CITY", "--base tinybase:build --classes 19")
    line = fails("evaluate", "--data", *given.split())
    assert [value for value in MISTAKES[arguments] if value not in line] == [], line


def test_no_data(fails: Fails):
    assert "--data" in fails("evaluate", *BASE)


def test_other_classes_are_warned_of(capsys: pytest.CaptureFixture[str], cache: Path):
    names = ",".join(["road", *(f"c{i}" for i in range(10))])
    _, err = run(capsys, *STREETS, "--cache", cache, "--base", "tinybase:build", "--classes", names)
    assert "11 of 11 classes have other names, such as 'road' for 'sky'" in err


def test_masks_of_0_and_255_are_told(capsys: pytest.CaptureFixture[str], workplace: Path):
    for kind in ("frames", "labels"):
        (workplace / "mine/val" / kind / "c").mkdir(parents=True)
        Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) // 12 * 255).save(f"mine/val/{kind}/c/1.png")
    Path("mine/classes.txt").write_text("road\nsky\n")
    mine = ("--data", "folder:mine", "--base", "tinybase:build", "--classes", "2")
    assert "50.0 % of the pixels are 255" in run(capsys, *mine).err
    assert run(capsys, *mine, "--mask-value", "255=1").err == ""
