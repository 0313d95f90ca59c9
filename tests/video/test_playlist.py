"""Playlists on disk: what lies beside them is read, and nothing else."""

import http.server
import threading
from pathlib import Path

import pytest
from clips import encode

from netwarp.errors import InputError, OutputError
from netwarp.output_places import check_places
from netwarp.video.open import open_frames

HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile '{}'\n"


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    (tmp_path / "inside" / "deep").mkdir(parents=True)
    encode(tmp_path / "outside.ts", frames=12)
    for name in ("a.ts", "deep/b.ts"):
        (tmp_path / "inside" / name).write_bytes((tmp_path / "outside.ts").read_bytes())
    return tmp_path / "inside"


@pytest.mark.parametrize("name", ["a.ts", "deep/b.ts"])
@pytest.mark.parametrize(("ending", "text"), [("m3u8", HLS), ("ffconcat", CONCAT)])
def test_what_lies_beside_is_read_and_not_overwritten(segment: Path, name: str, ending: str, text: str) -> None:
    (segment / f"list.{ending}").write_text(text.format(name))
    with open_frames(segment / f"list.{ending}") as source:
        assert sum(1 for _ in source) == 12
        assert (segment / name) in source.paths
        (segment / "out.mp4").symlink_to(segment / name)
        with pytest.raises(OutputError):
            check_places(source.paths, video=segment / "out.mp4")


@pytest.mark.parametrize(
    "where", ["../outside.ts", "{}/outside.ts", "file:{}/outside.ts", "deep/../../outside.ts", "link.ts"]
)
@pytest.mark.parametrize(("ending", "text"), [("m3u8", HLS), ("ffconcat", CONCAT)])
def test_what_lies_elsewhere_is_refused(segment: Path, where: str, ending: str, text: str) -> None:
    (segment / "link.ts").symlink_to(segment.parent / "outside.ts")
    (segment / f"list.{ending}").write_text(text.format(where.format(segment.parent)))
    with pytest.raises(InputError):
        open_frames(segment / f"list.{ending}")


def test_what_names_no_file_as_others_do_is_refused_too(segment: Path) -> None:
    bare = "#EXT-X-MAP:URI={},BYTERANGE=1@0\n"
    for text in (bare.format(segment.parent / "outside.ts"), "# much before it\n" * (1 << 18)):
        path = segment / "list.m3u8"
        path.write_text(HLS.format("a.ts").replace("#EXTINF", text + "#EXTINF"))
        with pytest.raises(InputError, match=r"list\.m3u8"):
            open_frames(path)


def test_no_file_makes_a_request(segment: Path) -> None:
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/a.ts"
    sdp = f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video {server.server_port} RTP/AVP 96\n"
    try:
        for name, text in (("a.m3u8", HLS.format(address)), ("a.mp4", HLS.format(address)), ("a.sdp", sdp)):
            (segment / name).write_text(text)
            with pytest.raises(InputError):
                open_frames(segment / name)
        (segment / "outer.m3u8").write_text(HLS.format("a.m3u8"))
        with pytest.raises(InputError):
            open_frames(segment / "outer.m3u8")
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []


def test_an_unfinished_playlist_is_read_from_its_first_part_and_ends(segment: Path) -> None:
    """As a recorder that was stopped leaves it; FFmpeg begins three parts before the end and waits for more."""
    parts = "#EXTINF:0.5,\na.ts\n" * 4
    (segment / "list.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n{parts}")
    with open_frames(segment / "list.m3u8") as source:
        assert sum(1 for _ in source) == 48


def test_parts_that_are_gone_are_told(segment: Path) -> None:
    (segment / "list.m3u8").write_text(HLS.format("a.ts\n#EXTINF:1.0,\ngone.ts"))
    with open_frames(segment / "list.m3u8") as source:
        assert sum(1 for _ in source) == 12
    assert "gone.ts" in str(source.loss)


@pytest.mark.parametrize("between", ["", "#EXT-X-DISCONTINUITY\n"])
def test_files_that_are_joined_are_no_damage_but_a_broken_one_is(segment: Path, between: str) -> None:
    """Each counts its packets from 0, which one file would do only where some are missing."""
    encode(segment / "b.ts", frames=9)
    (segment / "list.m3u8").write_text(HLS.format(f"b.ts\n{between}#EXTINF:1.0,\na.ts"))
    with open_frames(segment / "list.m3u8") as source:
        assert (sum(1 for _ in source), source.loss) == (21, None)
    data = (segment / "b.ts").read_bytes()
    middle = len(data) // 376 * 188
    (segment / "b.ts").write_bytes(data[:middle] + data[middle + 188 :])
    with open_frames(segment / "list.m3u8") as source:
        assert sum(1 for _ in source) < 21
        assert source.loss is not None
