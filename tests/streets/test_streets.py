"""The rendered clips: deterministic, and true to their own flow, labels and objects."""

from collections import defaultdict

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwarp.errors import ConfigurationError
from netwarp.label_sets import CAMVID
from netwarp.streets import CLASSES, WEATHERS, Effects, render_clip
from netwarp.streets.camera import intrinsics
from netwarp.streets.scene import build_street

SIZE = (120, 214)
FIELDS = [
    ("image", np.uint8, (*SIZE, 3)), ("labels", np.uint8, SIZE), ("instances", np.int32, SIZE),
    ("flow", np.float32, (2, *SIZE)), ("visible", np.bool_, SIZE),
]  # fmt: skip
OF_OBJECTS = [CLASSES.index(name) for name in ("car", "pedestrian", "bicyclist")]


@pytest.fixture(scope="module")
def clean_clips():
    return {seed: list(render_clip(seed, 3, SIZE, effects=Effects.off())) for seed in (1, 3, 16)}


def carried(image, flow, interpolation):
    """The previous frame's pixels at the places that the flow says."""
    h, w = flow.shape[1:]
    ys, xs = np.mgrid[0:h, 0:w].astype(np.float32)
    return cv2.remap(image, xs + flow[0], ys + flow[1], interpolation, borderMode=cv2.BORDER_REPLICATE)


def road_flow(size, seed, fps, pixels, index, frames):
    """Flow of road pixels one by one: meet the ray with the plane y = 0, look at that point from the frame before."""
    drive = build_street(seed, frames / fps).drive
    camera = intrinsics(size)
    focal, centre_x, centre_y = camera[0, 0], camera[0, 2], camera[1, 2]
    turn, place = drive.pose(index / fps)
    turn_before, place_before = drive.pose((index - 1) / fps)
    for y, x in pixels:
        ray = turn.T @ np.array([(x - centre_x) / focal, (y - centre_y) / focal, 1.0])
        point = place + ray * (-place[1] / ray[1])
        seen = turn_before @ (point - place_before)
        yield focal * seen[0] / seen[2] + centre_x - x, focal * seen[1] / seen[2] + centre_y - y


def same_bytes(first, second, fields=tuple(name for name, *_ in FIELDS)):
    return all(np.array_equal(getattr(first, f), getattr(second, f)) for f in fields)


def test_same_settings_give_the_same_bytes_and_other_seeds_others():
    first, again, other = (list(render_clip(seed, 2, (45, 80))) for seed in (5, 5, 6))
    assert all(same_bytes(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1].labels, other[1].labels)


def test_a_longer_clip_begins_with_the_shorter_one():
    short, long = list(render_clip(4, 2, (45, 80))), list(render_clip(4, 8, (45, 80)))
    assert len(long) == 8
    assert all(same_bytes(a, b) for a, b in zip(short, long, strict=False))


def test_effects_change_the_image_only():
    plain, filmed = (list(render_clip(2, 2, (45, 80), effects=e))[1] for e in (Effects.off(), Effects()))
    assert same_bytes(plain, filmed, ("labels", "instances", "flow", "visible"))
    assert not np.array_equal(plain.image, filmed.image)


@pytest.mark.parametrize("weather", WEATHERS)
def test_weather_changes_the_light_and_not_the_street(weather):
    (frame,) = render_clip(3, 1, (45, 80), weather=weather)
    (sunny,) = render_clip(3, 1, (45, 80), weather="sunny")
    assert np.mean(frame.labels == sunny.labels) > 0.95
    if weather == "night":
        assert frame.image.mean() < 0.6 * sunny.image.mean()


def test_frames_are_what_they_are_said_to_be(clean_clips):
    assert CAMVID.names == CLASSES
    for frames in clean_clips.values():
        for i, frame in enumerate(frames):
            assert frame.index == i
            assert frame.time == pytest.approx(i / 15)
            for name, dtype, shape in FIELDS:
                assert (getattr(frame, name).dtype, getattr(frame, name).shape) == (dtype, shape)
            assert frame.labels.max() < len(CLASSES)
            assert frame.instances.min() == 0
            assert np.isfinite(frame.flow).all()
        assert not frames[0].flow.any()
        assert not frames[0].visible.any()


def test_the_previous_frame_warped_by_the_flow_is_the_current_one(clean_clips):
    for frames in clean_clips.values():
        before, now = frames[1], frames[2]
        seen = now.visible
        assert seen.mean() > 0.9
        warped = carried(before.image, now.flow, cv2.INTER_LINEAR).astype(np.float32)
        error = np.abs(warped - now.image).mean(2)[seen]
        unwarped = np.abs(before.image.astype(np.float32) - now.image).mean(2)[seen]
        assert np.median(error) <= 2
        assert error.mean() < 0.45 * unwarped.mean()


def test_labels_carried_along_the_flow_agree(clean_clips):
    for frames in clean_clips.values():
        before, now = frames[1], frames[2]
        inner = cv2.morphologyEx(now.labels, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) == 0
        agree = carried(before.labels, now.flow, cv2.INTER_NEAREST) == now.labels
        assert agree[now.visible & inner].mean() >= 0.99
        assert agree[now.visible].mean() >= 0.95


def at_border(instances):
    return cv2.morphologyEx(instances.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((5, 5))) > 0


def test_an_object_keeps_its_number_along_the_flow(clean_clips):
    for frames in clean_clips.values():
        before, now = frames[1], frames[2]
        seen = now.visible & (now.instances > 0)
        inner = ~at_border(now.instances)
        agree = carried(before.instances.astype(np.float32), now.flow, cv2.INTER_NEAREST) == now.instances
        assert (seen & inner).sum() > 300
        assert agree[seen & inner].mean() > 0.99
        assert agree[seen].mean() > 0.9  # a nearest neighbour, at silhouettes
        border_there = carried(at_border(before.instances).astype(np.uint8), now.flow, cv2.INTER_NEAREST) > 0
        assert not (seen & ~agree & inner & ~border_there).any()


def test_a_number_is_that_of_one_object_all_through_a_clip():
    classes_of, seen_in = defaultdict(set), defaultdict(set)
    for frame in render_clip(3, 10, (90, 160), fps=5.0, effects=Effects.off()):
        for number in np.unique(frame.instances[frame.instances > 0]).tolist():
            classes_of[number].update(np.unique(frame.labels[frame.instances == number]).tolist())
            seen_in[number].add(frame.index)
    assert all(len(classes) == 1 for classes in classes_of.values())
    assert {label for classes in classes_of.values() for label in classes} == set(OF_OBJECTS)
    assert sum(len(frames) == 10 for frames in seen_in.values()) >= 3


def test_all_parts_of_somebody_are_one_object_and_nothing_else_is():
    scene = build_street(3, 2.0).scene
    parts = defaultdict(list)
    for surface in scene.surfaces:
        assert (surface.instance > 0) == (surface.label in OF_OBJECTS)
        if surface.instance:
            parts[surface.instance].append(surface)
    car, pedestrian, bicyclist = OF_OBJECTS
    # A pedestrian is trunk, legs and arms; a cyclist six pieces that ride, and legs that pedal, seen from two sides.
    pieces, bodies = {pedestrian: 5, bicyclist: 10}, {car: 1, pedestrian: 5, bicyclist: 3}
    drawn = set()
    for surfaces in parts.values():
        (label,) = {s.label for s in surfaces}
        drawn.add(label)
        assert len(surfaces) == pieces.get(label, len(surfaces))
        assert len({s.body for s in surfaces}) == bodies[label]
        if label == car:  # its own left and right, and no second car's
            assert 6 <= len(surfaces) <= 12
    assert drawn == set(OF_OBJECTS)
    moving = [{s.body for s in surfaces} for surfaces in parts.values() if surfaces[0].body]
    assert sum(map(len, moving)) == len(set.union(*moving)) == len(scene.bodies)


def test_every_class_occurs_in_plausible_shares():
    counts = np.zeros(len(CLASSES))
    for seed in range(6):
        for frame in render_clip(seed, 2, (90, 160), fps=1.0, effects=Effects.off()):
            counts += np.bincount(frame.labels.ravel(), minlength=len(CLASSES))
    share = dict(zip(CLASSES, 100 * counts / counts.sum(), strict=True))
    assert min(share.values()) > 0.02
    assert 15 < share["road"] < 45
    assert 5 < share["sky"] < 35
    assert 8 < share["building"] < 45
    assert 0.2 < share["pole"] < 4


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    height=st.integers(8, 61),
    width=st.integers(8, 61),
    seed=st.integers(0, 2**32),
    fps=st.sampled_from([5.0, 15.0, 29.97]),
)
def test_objects_and_flow_of_the_road_are_exact_at_any_size(height, width, seed, fps):
    size = (height, width)
    frame = list(render_clip(seed, 2, size, fps, effects=Effects.off()))[1]
    assert np.array_equal(frame.instances > 0, np.isin(frame.labels, OF_OBJECTS))
    assert frame.image.shape == (*size, 3)
    assert np.isfinite(frame.flow).all()
    street = build_street(seed, 2 / fps)
    level = {k for k in street.scene.ground if street.scene.surfaces[k].origin[1] == 0}
    assert level
    # A side street is a hand's breadth higher: look at road that lies between the kerbs, in the lower middle.
    rows, columns = np.nonzero(frame.labels == CLASSES.index("road"))
    low = (rows > 0.8 * height) & (np.abs(columns - width / 2) < width / 8)
    pixels = list(zip(rows[low].tolist(), columns[low].tolist(), strict=True))[:40]
    for (y, x), expected in zip(pixels, road_flow(size, seed, fps, pixels, 1, 2), strict=True):
        assert frame.flow[:, y, x] == pytest.approx(expected, abs=5e-3, rel=1e-3)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"seed": -1}, "seed"),
        ({"frames": 0}, "at least 1 frame"),
        ({"size": (4, 100)}, "size"),
        ({"size": (100, 5000)}, "size"),
        ({"fps": 0.0}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"weather": "suny"}, "sunny"),
    ],
)
def test_wrong_settings_are_refused_at_the_call(setting, message):
    with pytest.raises(ConfigurationError, match=message):
        render_clip(**{"seed": 0, **setting})
