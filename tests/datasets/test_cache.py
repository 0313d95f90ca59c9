"""What is kept in memory and on disk."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwarp.datasets.cache import DiskCache, RecentTensors, compact_flow, flow_key

KEY = "ab" * 20
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def numbers(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, count).astype(np.uint8)


def never():
    raise AssertionError("made once more")


# --- memory ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 12), st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=30))
def test_memory_holds_the_latest_that_fit(budget, uses):
    """Against the same said in one line: walking back through what was used, whatever still fits is held."""
    memory = RecentTensors(budget)
    history: list[tuple[int, int]] = []  # of keys and sizes, the latest last
    for key, size in uses:
        size = dict(history).get(key, size)
        made = []
        memory.get(key, lambda: made.append(1) or torch.zeros(size, dtype=torch.uint8))  # noqa: B023
        held = key in dict(history)
        assert bool(made) != held
        history = [(k, s) for k, s in history if k != key]
        history += [(key, size)] * (size <= budget)
        while sum(s for _, s in history) > budget:
            history.pop(0)
        assert memory.held == sum(s for _, s in history) <= budget


def test_a_pickle_of_the_memory_is_empty():
    memory = RecentTensors(100)
    memory.get("a", lambda: torch.zeros(50))
    memory.get("b", lambda: torch.zeros(20))
    copy = pickle.loads(pickle.dumps(memory))
    assert (copy.budget, copy.held) == (100, 0)
    assert copy.get("b", lambda: torch.ones(3)).tolist() == [1, 1, 1]
    assert memory.held == 80


# --- disk -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
def test_what_was_made_once_is_read(tmp_path, dtype):
    array = numbers(24).reshape(2, 3, 4).astype(dtype)
    assert DiskCache(tmp_path / "new").get(KEY, lambda: array) is array
    again = DiskCache(tmp_path / "new").get(KEY, never)
    assert again.dtype == dtype
    assert np.array_equal(again, array)
    assert DiskCache(tmp_path / "new").get(KEY[::-1], lambda: array + 1).max() == array.max() + 1


def whole_file(tmp_path, count: int = 200) -> tuple[DiskCache, bytes]:
    cache = DiskCache(tmp_path)
    cache.get(KEY, lambda: numbers(count))
    (path,) = tmp_path.rglob("*.npz")
    return cache, path.read_bytes()


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    cache, content = whole_file(tmp_path_factory.mktemp("kept"))
    return cache, next(cache.folder.rglob("*.npz")), content


@relaxed
@given(st.data())
def test_whatever_happens_to_a_file_the_array_is_right(kept, data):
    cache, path, content = kept
    if data.draw(st.booleans(), "cut"):
        damaged = content[: data.draw(st.integers(0, len(content) - 1), "length")]
    else:
        at, byte = data.draw(st.integers(0, len(content) - 1), "place"), data.draw(st.integers(0, 255), "byte")
        damaged = content[:at] + bytes([byte]) + content[at + 1 :]
    path.write_bytes(damaged)
    assert np.array_equal(cache.get(KEY, lambda: numbers(200)), numbers(200))
    assert np.array_equal(cache.get(KEY, never), numbers(200))


def test_a_smaller_array_than_the_header_once_said_is_damage(tmp_path):
    """What np.load returns in silence, as it reads no further than the header says, and so compares no checksum."""
    cache, content = whole_file(tmp_path, 20_000)
    (path,) = tmp_path.rglob("*.npz")
    assert content.count(b"(20000,)") == 1
    path.write_bytes(content.replace(b"(20000,)", b"(10000,)"))
    assert np.load(path)["array"].shape == (10_000,)
    assert cache.get(KEY, lambda: numbers(20_000)).shape == (20_000,)


def test_pickles_in_a_planted_file_are_not_run(tmp_path):
    cache, _ = whole_file(tmp_path)
    (path,) = tmp_path.rglob("*.npz")
    np.savez(path, array=np.array([{"a": 1}], dtype=object))
    assert np.array_equal(cache.get(KEY, lambda: numbers(5)), numbers(5))


# --- keys -----------------------------------------------------------------------------------------------------------


def test_a_flow_has_a_name_for_all_that_it_depends_on():
    one, other = (torch.from_numpy(numbers(3 * 4 * 6, seed).reshape(3, 4, 6)) for seed in (0, 1))
    changed = one.clone()
    changed[2, 3, 5] ^= 1
    keys = [
        flow_key(one, other, "dis"),
        flow_key(other, one, "dis"),
        flow_key(one, other, "dis:fast"),
        flow_key(changed, other, "dis"),
        flow_key(other, changed, "dis"),
        flow_key(one.reshape(3, 6, 4), other.reshape(3, 6, 4), "dis"),
    ]
    assert len(set(keys)) == len(keys)
    assert flow_key(one.permute(1, 2, 0).contiguous().permute(2, 0, 1), other.clone(), "dis") == keys[0]


# --- flow in half the bytes -----------------------------------------------------------------------------------------


BELOW_64 = st.floats(-64, 64, exclude_min=True, exclude_max=True, width=32, allow_subnormal=False)


@given(st.lists(BELOW_64, min_size=1))
def test_flow_below_64_pixels_is_right_to_a_64th(values):
    flow = torch.tensor(values)
    compact = compact_flow(flow)
    assert compact.dtype == torch.float16
    assert (compact.double() - flow.double()).abs().max() <= 1 / 64


@pytest.mark.parametrize("largest", [64.0, -64.0, 1e5, float("inf"), float("nan")])
def test_faster_flow_is_kept_as_it_is(largest):
    flow = torch.tensor([0.1, largest])
    assert compact_flow(flow) is flow
