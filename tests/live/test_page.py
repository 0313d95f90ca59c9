"""The page: what it serves to whom, and that a viewer gets no more than it takes."""

import io
import json
import shutil
import struct
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("starlette", reason="the extra live is not installed: no page was served")
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from netwarp.errors import ConfigurationError
from netwarp.live.browser_camera import BrowserCamera
from netwarp.live.follower import LiveFrame
from netwarp.live.server import UNACKNOWLEDGED, Page
from netwarp.live.stats import LiveStats

CLASSES, PALETTE = ("road", "sky"), ((128, 64, 128), (70, 130, 180))
TOKEN = "a-secret-of-this-test"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def page_of(**options):
    return Page(LiveStats(), CLASSES, PALETTE, "a test", **options)


def get(address, path="", headers=None):
    base, _, query = address.partition("?")
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{base}{path}?{query}", headers=headers or {})) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def socket_at(page, path="view", query="", **options):
    return connect(f"ws://127.0.0.1:{page.port}/{path}{query}", **options)


def frame(index, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (24, 32), np.uint8)
    return LiveFrame(
        index, index / 25, None, rng.integers(0, 256, (24, 32, 3), np.uint8), labels, None, age=3, latency=0.02
    )


def until(condition):
    for _ in range(400):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to pass")


def test_frames_come_as_jpeg_and_the_labels_exactly():
    with page_of() as page, socket_at(page) as viewer:
        until(lambda: page._viewers)
        page.show(frame(7))
        message = viewer.recv(timeout=10)
    (length,) = struct.unpack_from("<I", message)
    header = json.loads(message[4 : 4 + length])
    assert (header["index"], header["age"], header["latency_ms"], header["size"]) == (7, 3, 20.0, [32, 24])
    pictures = message[4 + length :]
    png = PIL.Image.open(io.BytesIO(pictures[header["jpeg"] :]))
    np.testing.assert_array_equal(np.array(png), frame(7).labels)
    assert tuple(png.getpalette()[:6]) == (*PALETTE[0], *PALETTE[1])
    assert PIL.Image.open(io.BytesIO(pictures[: header["jpeg"]])).format == "JPEG"


def test_who_does_not_acknowledge_gets_two_messages_and_then_the_newest():
    with page_of() as page, socket_at(page) as viewer:
        until(lambda: page._viewers)
        for index in range(50):
            page.show(frame(index))
            time.sleep(0.005)
        for _ in range(UNACKNOWLEDGED):
            viewer.recv(timeout=10)
        with pytest.raises(TimeoutError):
            viewer.recv(timeout=0.2)
        viewer.send("shown")
        until(lambda: any(each.has_room for each in page._viewers))
        page.show(frame(99))
        message = viewer.recv(timeout=10)
        assert b'"index": 99' in message
    until(lambda: not page._viewers)


def test_numbers():
    with page_of() as page:
        status, text = get(page.address, "stats")
        assert status == 200
        assert {"camera_fps", "label_fps", "network_fps", "latency_ms", "label_age_frames", "dropped"} <= set(
            json.loads(text)
        )
        status, text = get(page.address, "metrics")
    assert status == 200
    assert 'netwarp_latency_ms{quantile="0.95"} 0.0\n' in text


def test_without_the_token_nothing_is_said():
    with page_of(token=TOKEN) as page:
        assert TOKEN in page.address
        assert "road" in get(page.address)[1]
        assert get(page.address, "stats")[0] == 200
        bare = page.address.partition("?")[0]
        assert get(bare, "stats", {"Authorization": f"Bearer {TOKEN}"})[0] == 200
        for address in (bare, f"{bare}?token=wrong", f"{bare}?token=%C3%A9"):
            for path in ("", "stats", "metrics"):
                assert get(address, path) == (403, "forbidden\n")
        for query in ("", "?token=wrong"):
            with pytest.raises(InvalidStatus, match="403"):
                socket_at(page, query=query)
        with socket_at(page, query=f"?token={TOKEN}"):
            pass


def test_other_pages_and_other_names_of_this_machine_are_refused():
    with page_of() as page:
        with pytest.raises(InvalidStatus, match="403"):
            socket_at(page, origin="http://evil.example")
        with socket_at(page, origin=f"http://127.0.0.1:{page.port}"):
            pass
        assert get(page.address, headers={"Host": "evil.example"})[0] == 403
    with pytest.raises(ConfigurationError) as caught:
        page_of(host="0.0.0.0")
    assert caught.value.option == "token"


def test_a_port_in_use():
    with page_of() as page, pytest.raises(ConfigurationError, match=str(page.port)) as caught:
        page_of(port=page.port)
    assert caught.value.option == "port"


def test_a_browsers_camera():
    camera = BrowserCamera()
    data = io.BytesIO()
    PIL.Image.new("RGB", (32, 24), (200, 10, 10)).save(data, "JPEG")
    with page_of(camera=camera) as page, socket_at(page, "camera") as sender:
        sender.send(data.getvalue())
        assert sender.recv(timeout=10) == "taken"
        picture = next(iter(camera)).image
        assert picture.shape == (24, 32, 3)
        assert abs(picture.mean((0, 1)) - (200, 10, 10)).max() < 5
        with socket_at(page, "camera") as other, pytest.raises(ConnectionClosed, match="in use"):
            other.recv(timeout=10)
    for message in (b"no picture", "a text"):
        with page_of(camera=BrowserCamera()) as page, socket_at(page, "camera") as sender:
            sender.send(message)
            with pytest.raises(ConnectionClosed, match="JPEG"):
                sender.recv(timeout=10)


@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_in_a_browser(width):
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: the page was not looked at in a browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser test")
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with page_of(token=TOKEN) as page, playwright.sync_playwright() as running:
        going = threading.Event()

        def show():
            for index in range(100_000):
                if going.wait(0.04):
                    return
                page.show(frame(index))

        shower = threading.Thread(target=show)
        shower.start()
        browser = running.chromium.launch(executable_path=CHROMIUM, args=flags)
        tab = browser.new_page(viewport={"width": width, "height": 900})
        problems = []
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.goto(page.address)
        tab.locator("canvas[data-index]").wait_for(timeout=20_000)
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        tab.locator("#freeze").click()
        frozen = None  # a picture that was being drawn then is drawn still
        while frozen != (frozen := tab.locator("#labels").get_attribute("data-index")):
            tab.wait_for_timeout(700)

        def shown():
            tab.wait_for_timeout(200)
            with tab.expect_download() as download:
                tab.locator("#snapshot").click()
            assert download.value.suggested_filename == f"netwarp-{frozen}.png"
            return np.array(PIL.Image.open(download.value.path()).convert("RGB"))

        opaque = "e => { e.value = 100; e.dispatchEvent(new Event('input')); }"
        tab.locator("#opacity").evaluate(opaque)
        labels, colours = frame(int(frozen)).labels, np.array(PALETTE)
        np.testing.assert_array_equal(shown(), colours[labels])
        tab.locator("#classes input").first.uncheck()
        switched = shown()
        np.testing.assert_array_equal(switched[labels == 1], colours[labels][labels == 1])
        assert (switched[labels == 0] != colours[0]).any()
        tab.locator("#beside").check()
        assert tab.locator("#camera").is_visible()
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        browser.close()
        going.set()
        shower.join()
    assert problems == []
