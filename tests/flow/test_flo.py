import re
import struct

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from netwarp.errors import InputError, OutputError
from netwarp.flow import read_flo, write_flo

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def random_flow(h: int, w: int) -> torch.Tensor:
    return torch.randn(2, h, w, generator=torch.Generator().manual_seed(h * 100 + w)) * 50


@relaxed
@given(sizes)
def test_reads_what_it_wrote(tmp_path, size):
    flow = random_flow(*size)
    write_flo(tmp_path / "a.flo", flow)
    assert torch.equal(read_flo(tmp_path / "a.flo"), flow[None])


def test_opencv_reads_what_is_written_and_the_reverse(tmp_path):
    flow = random_flow(5, 8)
    write_flo(tmp_path / "ours.flo", flow)
    theirs = flow.permute(1, 2, 0).contiguous().numpy()
    assert np.array_equal(cv2.readOpticalFlow(str(tmp_path / "ours.flo")), theirs)
    cv2.writeOpticalFlow(str(tmp_path / "theirs.flo"), theirs)
    assert torch.equal(read_flo(tmp_path / "theirs.flo"), flow[None])
    assert (tmp_path / "ours.flo").read_bytes() == (tmp_path / "theirs.flo").read_bytes()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.float32])
def test_any_float_is_written_and_the_result_may_be_changed(tmp_path, dtype):
    write_flo(tmp_path / "a.flo", torch.ones(1, 2, 2, 3, dtype=dtype, requires_grad=True))
    assert (read_flo(tmp_path / "a.flo") + 1).add_(1).unique().item() == 3


def header(w: int, h: int) -> bytes:
    return b"PIEH" + struct.pack("<ii", w, h)


def is_whole(content: bytes) -> bool:
    if len(content) < 12 or content[:4] != b"PIEH":
        return False
    w, h = struct.unpack("<ii", content[4:12])
    values = np.frombuffer(content[12:][: len(content[12:]) // 4 * 4], "<f4")
    return w > 0 and h > 0 and len(content) == 12 + 8 * w * h and bool((abs(values) <= 1e9).all())


@relaxed
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: b"PIEH" + rest))
@example(b"")
@example(b"PIEH")
@example(header(2, 1))
@example(header(2, 1) + bytes(15))
@example(header(2, 1) + bytes(17))
@example(header(0, 0))
@example(header(-1, -1) + bytes(8))
@example(header(-2, -1) + bytes(16))
@example(header(2**31 - 1, 2**31 - 1) + bytes(16))
@example(header(2**16, 2**16))
@example(header(2, 1) + bytes(16))
def test_bad_files_are_one_line(tmp_path, content):
    path = tmp_path / "bad.flo"
    path.write_bytes(content)
    if is_whole(content):  # hypothesis may hit upon a good one
        assert read_flo(path).isfinite().all()
        return
    with pytest.raises(InputError, match=r"bad\.flo"):
        read_flo(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1.7e9, -1.7e9])
def test_unknown_flow_is_neither_read_nor_written(tmp_path, value):
    path = tmp_path / "a.flo"
    path.write_bytes(header(2, 1) + struct.pack("<4f", 0, 1, value, 3))
    with pytest.raises(InputError, match="unknown or non-finite"):
        read_flo(path)
    with pytest.raises(InputError, match="not finite"):
        write_flo(tmp_path / "b.flo", torch.tensor([value, 0]).view(2, 1, 1))
    assert not (tmp_path / "b.flo").exists()


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(InputError, match=r"missing\.flo"):
        read_flo(tmp_path / "missing.flo")
    with pytest.raises(InputError, match=re.escape(str(tmp_path))):
        read_flo(tmp_path)


@pytest.mark.parametrize("shape", [(3, 4), (3, 3, 4), (2, 2, 3, 4), (2, 0, 4)])
def test_what_is_no_flow_is_not_written(tmp_path, shape):
    with pytest.raises(InputError, match="one flow"):
        write_flo(tmp_path / "a.flo", torch.zeros(shape))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        write_flo(tmp_path / "file" / "a.flo", random_flow(1, 1))
