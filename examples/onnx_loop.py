"""A video through an exported model: NumPy, OpenCV and ONNX Runtime, without PyTorch and without netwarp.

Run: netwarp export step.onnx --base netwarp:espnet --weights espnet.pth --size 480x360
     python examples/onnx_loop.py step.onnx VIDEO_OR_FOLDER LABELS_FOLDER
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnxruntime


def frames_of(source: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Names and RGB pictures of a video, or of a folder of images."""
    if source.is_dir():
        for path in sorted(source.iterdir()):
            yield path.stem, cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        return
    video = cv2.VideoCapture(str(source))
    index = 0
    while (read := video.read())[0]:
        yield f"{index:06d}", cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
        index += 1


def flow_back(current: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """Where each pixel of the current frame was in the previous one: float32 [1,2,H,W]. This is netwarp's ``dis``."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    dis.setFinestScale(1)
    dis.setPatchStride(5)
    dis.setGradientDescentIterations(16)
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (current, previous)]
    return np.ascontiguousarray(dis.calc(*grey, None).transpose(2, 0, 1)[None])


def write(folder: Path, name: str, labels: np.ndarray, classes: list[str]) -> None:
    """Labels as PNG, values (of a regression network) as TIFF; where a pixel has several, in a folder for each."""
    if labels.ndim == 3:
        for each, what in zip(labels, classes, strict=True):
            write(folder / what.replace("/", "_"), name, each, [what])
        return
    folder.mkdir(parents=True, exist_ok=True)
    kept = labels.astype(np.uint16) if labels.dtype == np.int32 else labels
    cv2.imwrite(str(folder / f"{name}.{'tiff' if labels.dtype == np.float32 else 'png'}"), kept)


def main(model: str, source: str, labels: str) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    fixed, multiple = json.loads(about["size"]), json.loads(about["multiple"])
    inputs = {port.name: port for port in session.get_inputs()}
    outputs = [port.name for port in session.get_outputs()]
    # The state: the previous frame, and the memories, which come out as new_memory_0, … and go in again as memory_0, …
    memories, previous = {}, None
    began, count = time.perf_counter(), 0
    for name, picture in frames_of(Path(source)):
        if previous is None:
            height, width = fixed if multiple is None else (max(n // multiple, 1) * multiple for n in picture.shape[:2])
            for i, (down, across) in enumerate(json.loads(about["strides"])):
                channels = inputs[f"memory_{i}"].shape[1]
                memories[f"memory_{i}"] = np.zeros(
                    (1, channels, round(height / down), round(width / across)), np.float32
                )
        if picture.shape[:2] != (height, width):
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        frame = np.ascontiguousarray(picture.transpose(2, 0, 1)[None])
        feed = {"frame": frame, **memories}
        if memories:
            first = previous is None  # after a scene cut too: then the state plays no part
            feed["first"] = np.array([first])
            feed["previous"] = frame if previous is None else previous
            if "flow" in inputs:
                before = picture if previous is None else previous[0].transpose(1, 2, 0)
                feed["flow"] = flow_back(picture, before)
        results = dict(zip(outputs, session.run(outputs, feed), strict=True))
        memories = {key: results[f"new_{key}"] for key in memories}
        previous = frame
        write(Path(labels), name, results["labels"][0], json.loads(about["classes"]))
        count += 1
    seconds = time.perf_counter() - began
    print(f"{count} frames, {count / seconds:.1f} a second; classes: {', '.join(json.loads(about['classes']))}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
