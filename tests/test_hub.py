"""Models in folders like repositories, and what is asked of the hub; nobody is asked in truth."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from model.tiny import PLAIN, same_state, stream, tiny
from netwarp import VideoModel, load_base
from netwarp.errors import ConfigurationError, InputError, OutputError, WeightsError

hub = pytest.importorskip("huggingface_hub")
FRAMES = torch.randint(0, 256, (3, 1, 3, 48, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model() -> VideoModel:
    return VideoModel(load_base("netwarp:streetnet", classes=5), training_free=True)


def test_a_folder_holds_the_one_file_and_a_card(tmp_path: Path, model: VideoModel):
    model.save_pretrained(tmp_path / "mine")
    model.save(tmp_path / "plain.safetensors")
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["README.md", "model.safetensors"]
    assert (tmp_path / "mine/model.safetensors").read_bytes() == (tmp_path / "plain.safetensors").read_bytes()
    text = (tmp_path / "mine/README.md").read_text()
    data = hub.ModelCard(text).data
    assert (data.library_name, data.pipeline_tag) == ("netwarp", "image-segmentation")
    for word in ("# mine", "`netwarp:streetnet`", "`log_probs`", "`dis:light`", 'from_pretrained("mine")', "5 classes"):
        assert word in text
    assert "Evaluation" not in text
    again = VideoModel.from_pretrained(tmp_path / "mine")
    assert same_state(again, model.state_dict())
    assert torch.equal(torch.cat(stream(again, FRAMES)), torch.cat(stream(model.eval(), FRAMES)))


@pytest.mark.parametrize("form", ["record", "rows", "file"])
def test_scores_become_a_table(tmp_path: Path, model: VideoModel, form: str):
    scores = {"miou": 71.25, "tiou": {"2": 44.0}, "tc": float("nan"), "frames": 9, "per_class": {"road": 1.0}}
    other = {"miou": 70.0, "tiou": {"2": 43.0}, "tc": 97.5}
    given = {"record": scores | {"compared_with": {"frame by frame": other}},
             "rows": {"this model": scores, "frame by frame": other}}  # fmt: skip
    (tmp_path / "scores.json").write_text(json.dumps(given["record"]).replace("NaN", "null"))
    model.save_pretrained(tmp_path / "mine", scores=given.get(form, tmp_path / "scores.json"))
    lines = (tmp_path / "mine/README.md").read_text().split("## Evaluation\n\n")[1].splitlines()
    assert lines[:4] == [
        "|  | IoU | tIoU 2 px | consistency |",
        "| --- | --- | --- | --- |",
        "| this model | 71.25 | 44.00 |  |",
        "| frame by frame | 70.00 | 43.00 | 97.50 |",
    ]


def test_a_card_that_is_there_stays(tmp_path: Path, model: VideoModel):
    (tmp_path / "README.md").write_text("mine")
    model.save_pretrained(tmp_path, scores={"miou": 1.0})
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_network_of_ones_own_is_given_again(tmp_path: Path):
    own = VideoModel(tiny(), ["mid"], "zero", preprocess=PLAIN)
    own.save_pretrained(tmp_path)
    assert "base=my_network" in (tmp_path / "README.md").read_text()
    assert same_state(VideoModel.from_pretrained(tmp_path, tiny()), own.state_dict())
    with pytest.raises(ConfigurationError, match="base"):
        VideoModel.from_pretrained(tmp_path)


def test_nothing_outside_of_the_file_is_taken_without_trust(tmp_path: Path, model: VideoModel):
    (tmp_path / "flow").mkdir()
    model.flow = SimpleNamespace(spec=f"precomputed:{tmp_path / 'flow'}")
    model.save_pretrained(tmp_path / "mine")
    with pytest.raises(ConfigurationError, match="trust"):
        VideoModel.from_pretrained(tmp_path / "mine")
    assert VideoModel.from_pretrained(tmp_path / "mine", flow="dis").flow.spec == "dis:light"


def test_what_is_no_model_is_one_line(tmp_path: Path, model: VideoModel, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/model.safetensors").write_text("none")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    cases = ((tmp_path, InputError), (tmp_path / "file", InputError), (tmp_path / "none", InputError),
             (tmp_path / "damaged", WeightsError), ("nobody/nothing", InputError), ("a b/c", InputError))  # fmt: skip
    for where, kind in cases:
        with pytest.raises(kind) as raised:
            VideoModel.from_pretrained(where, cache_dir=tmp_path / "cache")
        assert "\n" not in str(raised.value)
        assert Path(where).name in str(raised.value)
    for scores in ({}, tmp_path / "file", tmp_path / "none", 3):
        with pytest.raises(InputError):
            model.save_pretrained(tmp_path / "new", scores=scores)
    assert not (tmp_path / "new").exists()


def test_from_a_repository(tmp_path: Path, model: VideoModel, monkeypatch: pytest.MonkeyPatch):
    model.save_pretrained(tmp_path)
    asked: dict = {}

    def download(repo_id: str, filename: str, **options: object) -> str:
        asked.update(repo_id=repo_id, **options)
        return str(tmp_path / filename)

    monkeypatch.setattr(hub, "hf_hub_download", download)
    again = VideoModel.from_pretrained("somebody/street", revision="v1", token="secret")
    assert same_state(again, model.state_dict())
    assert (asked["repo_id"], asked["revision"], asked["token"]) == ("somebody/street", "v1", "secret")


class Api:
    """What is asked of the hub."""

    calls: ClassVar[list] = []
    has_card = False

    def __init__(self, token: str | None = None) -> None:
        self.calls.clear()

    def create_repo(self, repo_id: str, **options: object) -> None:
        self.calls.append(("create", repo_id, options))

    def file_exists(self, *_: object, **__: object) -> bool:
        return self.has_card

    def upload_folder(self, *, folder_path: str, **options: object) -> SimpleNamespace:
        self.calls.append(("upload", sorted(path.name for path in Path(folder_path).iterdir()), options))
        return SimpleNamespace(pr_url=None, commit_url="https://hub/commit/1")


@pytest.mark.parametrize(
    ("has_card", "files"), [(False, ["README.md", "model.safetensors"]), (True, ["model.safetensors"])]
)
def test_to_a_repository(model: VideoModel, monkeypatch: pytest.MonkeyPatch, has_card: bool, files: list[str]):
    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setattr(Api, "has_card", has_card)
    assert model.push_to_hub("somebody/street", private=True, scores={"miou": 1.0}) == "https://hub/commit/1"
    (_, repo, options), (_, uploaded, _) = Api.calls
    assert (repo, options["private"], uploaded) == ("somebody/street", True, files)


def test_a_model_that_cannot_be_saved_makes_no_repository(model: VideoModel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "HfApi", Api)
    with torch.no_grad():
        next(model.base.parameters()).fill_(torch.nan)
    with pytest.raises(WeightsError):
        model.push_to_hub("somebody/street")
    assert Api.calls == []


def test_a_hub_that_refuses_is_one_line(model: VideoModel, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise hub.errors.HFValidationError("no such name\nand more")

    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setattr(Api, "create_repo", refuse)
    with pytest.raises(OutputError, match=r"somebody/street.*no such name"):
        model.push_to_hub("somebody/street")
