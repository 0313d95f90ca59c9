"""The page of a live stream and its websockets: frames go to those who look, as fast as each of them takes them."""

from __future__ import annotations

import asyncio
import hmac
import io
import ipaddress
import json
import secrets
import socket
import struct
import threading
from collections.abc import Callable
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import PIL.Image

from netwarp.errors import ConfigurationError, needs_extra
from netwarp.label_sets import Colour
from netwarp.live.browser_camera import BrowserCamera
from netwarp.live.follower import LiveFrame
from netwarp.live.stats import LiveStats
from netwarp.output_files import reason
from netwarp.video.label_maps import full_palette

with needs_extra("starlette, uvicorn or websockets", "live", "the page of a live stream"):
    import uvicorn
    import websockets  # noqa: F401
    from starlette.applications import Starlette
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket

UNACKNOWLEDGED = 2
"""Messages that may be on their way to a viewer."""
PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
MOST_BYTES = 8 << 20
"""Of a picture from a browser's camera."""


class Page:
    """Serves a stream's page on a thread of its own, as long as the block lasts.

    ``port`` 0 is any that is free; a ``host`` that others reach needs a ``token``, which every request must bring;
    ``camera`` takes frames from a browser's.

    Raises:
        ConfigurationError: The address or port cannot be used, or a token is missing.
    """

    def __init__(
        self,
        stats: LiveStats,
        classes: tuple[str, ...],
        palette: tuple[Colour, ...],
        description: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        camera: BrowserCamera | None = None,
    ) -> None:
        if token is None and not is_loopback(host):
            raise ConfigurationError(f"others reach {host}: give a token", option="token")
        self._stats, self._token, self._camera, self._host = stats, token, camera, host
        self._palette = full_palette(palette).tobytes()
        self._info = {
            "source": description,
            "browser": camera is not None,
            "classes": [[name, list(map(int, colour))] for name, colour in zip(classes, palette, strict=False)],
        }
        self._socket = _listening(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._viewers: set[_Viewer] = set()
        config = uvicorn.Config(
            self._app(),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=MOST_BYTES,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="netwarp-page", daemon=True)

    @property
    def address(self) -> str:
        """What a browser opens."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}/" + (f"?token={self._token}" if self._token else "")

    def __enter__(self) -> Page:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def show(self, result: LiveFrame) -> None:
        """Send a frame to all who have room for one; costs nothing while nobody looks."""
        if not self._viewers or self._loop is None or not any(viewer.has_room for viewer in tuple(self._viewers)):
            return
        message = encode(result, self._palette)
        self._loop.call_soon_threadsafe(self._hand_out, message)

    def _hand_out(self, message: bytes) -> None:
        for viewer in self._viewers:
            viewer.offer(message)

    def _serve(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self._server.serve(sockets=[self._socket])
            self._loop = None

        asyncio.run(serve())

    def _app(self) -> Starlette:
        def guarded(answer: Callable[[], Response]) -> Callable[[Request], Any]:
            async def endpoint(request: Request) -> Response:
                if not self._allowed(request):
                    return PlainTextResponse("forbidden\n", 403, PRIVATE)
                return answer()

            return endpoint

        def page() -> Response:
            nonce = secrets.token_urlsafe(16)
            text = resources.files("netwarp.live").joinpath("page.html").read_text(encoding="utf-8")
            policy = (
                f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
                "connect-src 'self'; img-src blob: data:; media-src blob:; frame-ancestors 'none'; base-uri 'none'"
            )
            info = json.dumps(self._info).replace("<", "\\u003c")
            filled = text.replace("{{nonce}}", nonce).replace("{{info}}", info)
            return HTMLResponse(filled, headers={**PRIVATE, "Content-Security-Policy": policy})

        def stats() -> Response:
            return JSONResponse({**self._stats.as_json(), "viewers": len(self._viewers)}, headers=PRIVATE)

        return Starlette(
            routes=[
                Route("/", guarded(page)),
                Route("/stats", guarded(stats)),
                Route("/metrics", guarded(lambda: PlainTextResponse(self._stats.as_prometheus(), headers=PRIVATE))),
                WebSocketRoute("/view", self._view),
                WebSocketRoute("/camera", self._take),
            ]
        )

    def _allowed(self, connection: HTTPConnection) -> bool:
        """Whether a request has the token or names this machine; and if a page sent it, whether it is this one."""
        host = connection.headers.get("host", "")
        origin = connection.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return False
        if self._token is None:  # a name that leads here may be anybody's
            return is_loopback(urlsplit(f"//{host}").hostname or "")
        bearer = connection.headers.get("authorization", "").removeprefix("Bearer ")
        given = connection.query_params.get("token") or bearer
        return hmac.compare_digest(given.encode(), self._token.encode())

    async def _view(self, websocket: WebSocket) -> None:
        if not self._allowed(websocket):
            await websocket.close()  # before it is accepted: 403
            return
        await websocket.accept()
        viewer = _Viewer()
        self._viewers.add(viewer)
        try:
            await _until_first(viewer.send_to(websocket), viewer.hear_from(websocket))
        finally:
            self._viewers.discard(viewer)

    async def _take(self, websocket: WebSocket) -> None:
        if self._camera is None or not self._allowed(websocket):
            await websocket.close()
            return
        await websocket.accept()
        if not self._camera.claim():
            await websocket.close(1008, "another browser's camera is in use: end it there first")
            return
        try:
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                picture = await asyncio.to_thread(decode, message.get("bytes") or b"")
                if picture is None:
                    await websocket.close(1003, "that is no JPEG picture")
                    return
                self._camera.put(picture)
                await websocket.send_text("taken")
        finally:
            self._camera.release()


class _Viewer:
    """One who looks: gets the newest frame whenever fewer than two are on their way."""

    def __init__(self) -> None:
        self._under_way = 0
        self._next: bytes | None = None
        self._changed = asyncio.Event()

    @property
    def has_room(self) -> bool:
        return self._under_way < UNACKNOWLEDGED

    def offer(self, message: bytes) -> None:
        if self.has_room:
            self._next = message
            self._changed.set()

    async def send_to(self, websocket: WebSocket) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            message, self._next = self._next, None
            if message is not None and self.has_room:
                self._under_way += 1
                await websocket.send_bytes(message)

    async def hear_from(self, websocket: WebSocket) -> None:
        async for _ in websocket.iter_text():
            self._under_way = max(0, self._under_way - 1)


async def _until_first(*works: Any) -> None:  # noqa: ANN401
    """Run works together until one of them ends."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def encode(result: LiveFrame, palette: bytes) -> bytes:
    """A frame's message: the length of a header, the header in JSON, a JPEG and an indexed PNG."""
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(result.frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    picture = PIL.Image.fromarray(result.labels.astype(np.uint8, copy=False))
    picture.putpalette(palette)
    png = io.BytesIO()
    picture.save(png, format="PNG", compress_level=1)
    header = {
        "index": result.index,
        "age": result.age,
        "latency_ms": round(1000 * result.latency, 1),
        "jpeg": len(jpeg),
        "size": [result.frame.shape[1], result.frame.shape[0]],
    }
    text = json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + jpeg.tobytes() + png.getvalue()


def decode(data: bytes) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    """A JPEG from a browser as RGB, or None if it is none."""
    try:
        with PIL.Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            if max(picture.size) > 4096:
                return None
            return np.array(picture.convert("RGB"))
    except Exception:  # Pillow's decoders raise many types on damaged files
        return None


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own, which no other reaches.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        option = "host" if isinstance(error, socket.gaierror) or error.errno == 99 else "port"
        raise ConfigurationError(
            f"{host}:{port} cannot be listened at ({reason(error)}): give another {option}", option=option
        ) from error
