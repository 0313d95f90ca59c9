import json
from collections.abc import Callable
from pathlib import Path

import pytest
from small_videos import encode, picture

from netwarp.cli import main
from netwarp.cli.fleet import Request, SegmentJob

BASE = ("--base", "tinybase:build")


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_a_fleet_writes_what_segment_writes_bit_for_bit(workplace: Path, clips: Path, capsys):
    for index in range(3):
        path = workplace / f"in/day{index % 2}/clip{index}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        encode(path, [picture(5 * index + frame) for frame in range(3)])
    (workplace / "in/cut.mp4").write_bytes((clips / "truncated.mp4").read_bytes())
    fleet = ("fleet", "in", "out", *BASE, "--write", "video,masks,areas", "--workers", 1, "--threads", 1)
    assert run(*fleet) == 2
    printed = capsys.readouterr()
    assert "3 of 4 done" in printed.out
    assert printed.err.splitlines()[-1].startswith("netwarp: error: 1 of 4 inputs")
    records = {video["name"]: video for video in json.loads(Path("out/fleet.json").read_text())["videos"]}
    assert {name: record["state"] for name, record in records.items()} == {
        "cut": "damaged", "day0/clip0": "done", "day0/clip2": "done", "day1/clip1": "done",
    }  # fmt: skip
    for name, record in records.items():
        assert run("segment", f"in/{name}.mp4", "one.mp4", "--masks", f"one/{name}", "--areas", "one.csv", *BASE) == (
            2 if name == "cut" else 0
        )
        assert Path("one.mp4").read_bytes() == Path(f"out/{name}.mp4").read_bytes()
        assert Path("one.csv").read_bytes() == Path(f"out/{name}.areas.csv").read_bytes()
        masks = sorted(Path(f"one/{name}").iterdir())
        assert [path.read_bytes() for path in masks] == [
            path.read_bytes() for path in sorted(Path(f"out/{name}").iterdir())
        ]
        assert record["frames"] == len(masks)
        assert record["keyframe_share"] == 1
    capsys.readouterr()
    assert run("fleet", "--status", "out") == 0
    assert capsys.readouterr().out.startswith("4 of 4 videos, ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("fleet", "in", *BASE), "INPUT and OUT"),
        (("fleet", "in", "out"), "--base"),
        (("fleet", "in", "out", *BASE, "--write", "video,mask"), "'mask'"),
        (("fleet", "in", "out", *BASE, "--write", "masks", "--side-by-side"), "--side-by-side"),
        (("fleet", "in", "out", *BASE, "--lag", "2", "--offline"), "--offline"),
        (("fleet", "none", "out", *BASE), "none does not exist"),
        (("fleet", "--status", "out"), "out"),
        (("fleet", "zoo://in", "out", *BASE), "zoo"),
        (("fleet", "in", "zoo://out", *BASE), "zoo"),
    ],
)
def test_mistakes(workplace: Path, fails: Callable[..., str], arguments: tuple[str, ...], named: str):
    (workplace / "in").mkdir()
    encode(workplace / "in/a.mp4", [picture(0)])
    assert named in fails(*arguments)


def test_a_network_of_one_size_is_loaded_for_it(workplace: Path):
    request = Request(places=["in", "out"], write=["video"], base="tinybase:Fixed", size=(40, 50))
    assert SegmentJob(request)(None)[0]


def test_the_weights_hash_is_of_content(workplace: Path):
    import torch

    from netwarp import VideoModel, load_base

    def loaded(**options: str) -> str:
        request = Request(places=["in", "out"], write=["video"], **options)
        return SegmentJob(request)(None)[0]

    base = load_base("tinybase:build")
    model = VideoModel(base, training_free=True)
    model.save("m.safetensors")
    first = loaded(model="m.safetensors")
    Path("m.safetensors").rename("n.safetensors")
    assert loaded(model="n.safetensors") == first
    with torch.no_grad():
        base[2].weight.mul_(2)
    model.save("n.safetensors")
    assert loaded(model="n.safetensors") != first
    assert loaded(base="tinybase:build") == loaded(base="tinybase:build") != loaded(base="tinybase:many")
