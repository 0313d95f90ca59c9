import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from netwarp.errors import InputError
from netwarp.fleet.addresses import filesystem
from netwarp.fleet.cache import Cache
from netwarp.fleet.sources import list_videos
from netwarp.fleet.store import STATUS, open_store


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.mp4", "in/day/b.avi", "in/day/c.MOV", "in/.hidden.mp4", "in/notes.md", "in/seen/2.png",
                 "in/seen/10.png", "in/day/cover.jpg"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.fixture
def bucket() -> Iterator[str]:
    files = fsspec.filesystem("memory")
    yield "memory://bucket"
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def names(*inputs: str, out: str = "out") -> dict[str, str]:
    return {video.name: video.address for video in list_videos(inputs, out).videos}


def test_a_folder_gives_its_videos_and_folders_of_images_in_its_tree(tree: Path):
    listing = list_videos(["in"], "out")
    assert [video.name for video in listing.videos] == ["a", "day/b", "day/c", "seen"]
    assert [Path(path).name for path in listing.videos[-1].images] == ["2.png", "10.png"]
    assert (listing.missing, listing.left_out) == ({}, 2)  # notes.md, and the cover beside videos
    assert listing.videos[0].size == len("in/a.mp4")
    assert listing.videos[0].version == str((tree / "in/a.mp4").stat().st_mtime_ns)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["in/day/b.avi"], {"b"}),
        (["in/day"], {"b", "c"}),
        (["in/day", "in/a.mp4"], {"a", "day/b", "day/c"}),
        (["in/**/*.[am][vp]*"], {"a", "day/b"}),
        (["in/day/*"], {"b", "c", "day"}),  # an image that is named is a video of its own
        (["in", "in/a.mp4", "./in/../in/a.mp4"], {"a", "day/b", "day/c", "seen"}),
        (["list.txt"], {"a", "day/b"}),
    ],
)
def test_names_are_below_what_the_inputs_share(tree: Path, inputs: list[str], expected: set[str]):
    (tree / "list.txt").write_text("# what is good\n\nin/a.mp4\n  in/day/b.avi  \n")
    assert set(names(*inputs)) == expected


def test_two_of_a_name_keep_their_endings(tree: Path):
    for name in ("in/a.avi", "in/seen.mp4"):
        (tree / name).write_text("another")
    assert set(names("in")) == {"a.mp4", "a.avi", "day/b", "day/c", "seen", "seen.mp4"}


@pytest.mark.parametrize(
    ("endings", "expected"),
    [
        ([".mp4"], {"day1", "day1/s", "left", "left/deep", "b", "b.confidence"}),
        ([""], {"day1.mp4", "day1/s", "left.images", "left/deep", "b", "b.confidence"}),
        (["", ".confidence"], {"day1.mp4", "day1/s", "left.images", "left/deep", "b.mp4", "b.confidence.images"}),
    ],
)
def test_no_folder_of_results_lies_around_others(tmp_path: Path, endings: list[str], expected: set[str]):
    for name in ("day1.mp4", "day1/s.mp4", "left/1.png", "left/deep/1.png", "b.mp4", "b.confidence/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert {video.name for video in list_videos([str(tmp_path)], "out", endings).videos} == expected


def test_no_video_and_folder_of_results_have_one_place(tmp_path: Path):
    for name in ("a/1.png", "a.mp4", ".fleet.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    inputs = [str(tmp_path), str(tmp_path / ".fleet.mp4")]
    assert {video.name for video in list_videos(inputs, "out", [".mp4", ""]).videos} == {
        "a.images", "a.mp4", ".fleet.mp4",
    }  # fmt: skip


def test_results_are_no_inputs(tree: Path):
    (tree / "in/out").mkdir()
    (tree / "in/out/a.mp4").write_text("a result")
    assert "out/a" not in names("in", out="in/out")
    assert set(names("in/out/a.mp4", out="in/out")) == {"a"}


def test_results_are_no_inputs_where_a_pattern_or_a_link_finds_them(tree: Path):
    for name in ("in/out/a.mp4", "in/out/.fleet/work/video.mp4"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("a result")
    (tree / "in/more").symlink_to("out")
    for pattern in ("in/**/*.mp4", "in/*/*.mp4", "in/*"):
        assert not [name for name in names(pattern, "in/a.mp4", out="in/out") if name.startswith(("out", "more"))]
    assert set(names("in/out/*", "in/out/a.mp4", out="in/out")) == {"a"}


def test_folders_behind_links_are_read_once_and_in_no_circle(tree: Path):
    (tree / "disk/deep").mkdir(parents=True)
    (tree / "disk/deep/d.mp4").write_text("d")
    for link, to in (("in/more", "../disk"), ("disk/up", "../in"), ("in/again", "day"), ("in/day/top", "..")):
        (tree / link).symlink_to(to)
    assert set(names("in")) == {"a", "day/b", "day/c", "more/deep/d", "seen"}
    assert set(names("in/**/*.mp4")) == {"a", "more/deep/d"}
    assert set(names("i*/**/*4")) == {"in/a", "in/more/deep/d"}
    assert set(names("in/**")) >= {"a", "day/b", "more/deep/d"}
    assert set(names("in/**/day/**/*.avi")) == {"day/b"}
    assert set(names("in/more")) >= {"deep/d"}


def test_what_is_missing_is_counted(tree: Path):
    (tree / "in/gone.mp4").symlink_to("nowhere.mp4")
    (tree / "empty").mkdir()
    (tree / "list.txt").write_text("in/a.mp4\nnone.mp4\n")
    listing = list_videos(["in", "list.txt", "nothing*.mp4", "empty"], "out")
    assert {Path(text).name for text in listing.missing} == {"in", "none.mp4", "nothing*.mp4", "empty"}
    assert len(listing.videos) == 4


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"\xff\xfe\x00a", "UTF-8"), (b"# nothing\n\n", "no input"), (b"", "no input"), (None, "not exist")],
)
def test_a_list_that_cannot_be_read(tree: Path, bucket: str, content: bytes | None, why: str):
    if content is not None:
        (tree / "list.txt").write_bytes(content)
        filesystem(bucket)[0].pipe_file("/bucket/list.txt", content)
    for text in ("list.txt", f"{bucket}/list.txt"):
        with pytest.raises(InputError, match=rf"list\.txt.*{why}"):
            list_videos([text, "in"], "out")


def test_a_store(bucket: str):
    files, _ = filesystem(bucket)
    for name in ("a.mp4", "day/b.avi", "day/notes.txt", "seen/1.png", "seen/2.png"):
        files.pipe_file(f"/bucket/in/{name}", name.encode())
    files.pipe_file("/bucket/list.txt", b"in/a.mp4\nmemory://bucket/in/none.mp4\n")
    assert set(names(f"{bucket}/in")) == {"a", "day/b", "seen"}
    assert names(f"{bucket}/in/*/*.avi") == {"day/b": f"{bucket}/in/day/b.avi"}
    listing = list_videos([f"{bucket}/list.txt"], "out")
    assert [video.address for video in listing.videos] == ["memory://bucket/in/a.mp4"]
    assert list(listing.missing) == ["memory://bucket/in/none.mp4"]
    first = listing.videos[0]
    files.pipe_file("/bucket/in/a.mp4", b"again")
    assert list_videos([first.address], "out").videos[0].version != first.version


def test_the_cache_is_bounded_and_keeps_what_is_in_use(bucket: str, tmp_path: Path):
    files, _ = filesystem(bucket)
    for name in "abcd":
        files.pipe_file(f"/bucket/{name}.mp4", name.encode() * 400)
    videos, cache = list_videos([bucket], "out").videos, Cache(tmp_path, 1000)
    with cache.fetched(videos[0]) as first:
        assert isinstance(first, str)
        for video in videos[1:]:
            with cache.fetched(video) as path:
                assert Path(str(path)).read_text() == video.name * 400
        assert Path(first).read_text() == "a" * 400
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.mp4")) <= 1000
    files.store.clear()
    with cache.fetched(videos[3]) as path:  # is there still
        assert Path(str(path)).read_text() == "d" * 400
    with pytest.raises(InputError, match=r"b\.mp4"), cache.fetched(videos[1]):
        pass
    assert not list(tmp_path.glob(".*"))


def test_what_is_left_of_a_removal_is_not_taken_for_a_video(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files, _ = filesystem(bucket)
    files.pipe_file("/bucket/a.mp4", b"a" * 10)
    video, cache = list_videos([bucket], "out").videos[0], Cache(tmp_path, 1000)
    with cache.fetched(video) as path:
        pass
    Path(str(path)).unlink()  # by a user, say
    with cache.fetched(video) as path:
        assert Path(str(path)).read_bytes() == b"a" * 10
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_, **__: None)  # the process is killed before that
        with Cache(tmp_path, 0).fetched(video):
            pass
    assert [entry.name[:6] for entry in tmp_path.iterdir()] == [".gone-"]
    with Cache(tmp_path, 0).fetched(video) as path:
        assert Path(str(path)).read_bytes() == b"a" * 10
    assert not list(tmp_path.iterdir())


def test_what_breaks_off_is_tried_again_and_refused(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("netwarp.fleet.cache.PAUSES", (0.0,))
    files, _ = filesystem(bucket)
    files.pipe_file("/bucket/a.mp4", b"whole")
    video = list_videos([f"{bucket}/a.mp4"], "out").videos[0]
    files.store["/bucket/a.mp4"].truncate(3)
    with pytest.raises(InputError, match="3 of 5 bytes"), Cache(tmp_path, 1000).fetched(video):
        pass
    assert not list(tmp_path.iterdir())


def test_a_store_of_results(bucket: str, tmp_path: Path):
    store = open_store(f"{bucket}/out")
    store.prepare()
    store.write_json("a/b.json", {"x": 1})
    assert store.read_json("a/b.json") == {"x": 1}
    assert store.read_json("none.json") is None
    folder = tmp_path / "masks"
    files, _ = filesystem(bucket)
    others = ["notes.txt", "sub/0.png", "true.png"]
    for name in others:
        files.pipe_file(f"/bucket/out/day/clip/{name}", b"Software\0netwarp" if name == "sub/0.png" else b"of others")
    for names_ in (("0.png", "1.png"), ("1.png",)):
        folder.mkdir()
        for name in names_:
            (folder / name).write_text("Software\0netwarp")
        store.deliver(folder, "day/clip")
        kept = sorted((*names_, *others))
        assert sorted(files.find("/bucket/out/day")) == [f"/bucket/out/day/clip/{name}" for name in kept]
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    assert store.holds("day/clip")
    assert not store.holds("day/clap")


def test_addresses_of_web_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("aiohttp")
    (tmp_path / "day").mkdir()
    (tmp_path / "day/a.mp4").write_text("a video")
    handler = type("Handler", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    monkeypatch.chdir(tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        web = f"http://127.0.0.1:{server.server_port}"
        listing = list_videos([f"{web}/day/", f"{web}/day/a.mp4?key=1", f"{web}/day/none.mp4"], "out")
        assert [video.name.partition("-")[0] for video in listing.videos] == ["a.mp4", "a.mp4"]
        assert len({video.name for video in listing.videos}) == 2
        assert all(video.version for video in listing.videos)
        assert list(listing.missing) == [f"{web}/day/none.mp4"]
        with Cache(tmp_path / "cache", 1000).fetched(listing.videos[0]) as path:
            assert Path(str(path)).read_text() == "a video"
        server.shutdown()


def test_only_one_fleet_writes_into_a_store(bucket: str, monkeypatch: pytest.MonkeyPatch):
    from netwarp.errors import OutputError

    store = open_store(f"{bucket}/out")
    store.write_json(STATUS, {"by": "host:1", "updated": 1000.0, "ended": False})
    monkeypatch.setattr("time.time", lambda: 1010.0)
    with pytest.raises(OutputError, match="host:1"), store.claimed():
        pass
    monkeypatch.setattr("time.time", lambda: 2000.0)  # it was killed
    with store.claimed():
        pass
