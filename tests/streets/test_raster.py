"""The rasteriser and its flow, on scenes of one or two surfaces that a slow loop can follow."""

import math

import numpy as np
import pytest

from netwarp.streets.camera import intrinsics, rotation
from netwarp.streets.clip import flow_between
from netwarp.streets.raster import Rasteriser
from netwarp.streets.surfaces import Scene, Surface
from netwarp.streets.textures import OPAQUE, Texture, mottle

SIZE = (41, 63)
FLAT = Texture(np.full((8, 8, 3), 200, np.uint8))


def surface(origin, across, down, label, body=0, texture=FLAT, **options):
    return Surface(
        np.array(origin, float), np.array(across, float), np.array(down, float), texture, label, body, **options
    )


def camera_at(time):
    return rotation(0.05 * time, 0.02 * time, 0.03).T, np.array([0.1 * time, -1.4, 0.8 * time])


def body_at(time):
    return rotation(0.3 * time, 0.1, 0.2 * time), np.array([0.3 - 0.5 * time, -1.2, 7.0 + 0.4 * time])


def seen_at(pixel, thing, time):
    """(a, b, depth) where the ray of a pixel meets a surface's plane, solved as three equations."""
    camera = intrinsics(SIZE)
    turn, place = camera_at(time)
    turned, moved = body_at(time) if thing.body else (np.eye(3), np.zeros(3))
    ray = turn.T @ np.linalg.inv(camera) @ np.array([*pixel, 1.0])
    across, down, origin = turned @ thing.across, turned @ thing.down, turned @ thing.origin + moved
    a, b, depth = np.linalg.solve(np.stack([across, down, -ray], 1), place - origin)
    return a, b, depth


def place_of(a, b, thing, time):
    """The pixel at which a surface's point (a, b) is seen."""
    turn, place = camera_at(time)
    turned, moved = body_at(time) if thing.body else (np.eye(3), np.zeros(3))
    point = turned @ (thing.origin + a * thing.across + b * thing.down) + moved
    x, y, z = intrinsics(SIZE) @ turn @ (point - place)
    return x / z, y / z


@pytest.fixture
def two_things():
    wall = surface((-9, -9, 14), (18, 0, 2), (0, 18, 1), 1)
    card = surface((-1, -1.1, 0), (2, 0, 0), (0.2, 2, 0.3), 8, body=1, instance=12)
    ground = surface((-9, 0, -5), (18, 0, 0), (0, 0, 60), 3, tile=(4.0, 4.0))
    return Scene(surfaces=[wall, card, ground], bodies=[body_at])


def test_every_pixel_shows_the_nearest_surface_and_moves_as_it_does(two_things):
    raster = Rasteriser(two_things, intrinsics(SIZE), SIZE)
    before, now = raster.draw(*camera_at(0.0), 0.0), raster.draw(*camera_at(0.5), 0.5)
    flow, _ = flow_between(now, before, intrinsics(SIZE), raster.body_of)
    shown = set()
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            nearest = None
            for number, thing in enumerate(two_things.surfaces, 1):
                a, b, depth = seen_at((x, y), thing, 0.5)
                if 0 <= a <= 1 and 0 <= b <= 1 and depth > 0.35 and (nearest is None or depth < nearest[0]):
                    nearest = depth, number, thing, a, b
            number = now.surface[y, x]
            assert number == (nearest[1] if nearest else 0)
            shown.add(int(number))
            if nearest:
                depth, _, thing, a, b = nearest
                assert now.labels[y, x] == thing.label
                assert now.instances[y, x] == thing.instance
                assert now.nearness[y, x] == pytest.approx(1 / depth, rel=1e-4)
                there = place_of(a, b, thing, 0.0)
                assert (x + flow[0, y, x], y + flow[1, y, x]) == pytest.approx(there, abs=2e-3)
    assert shown >= {1, 2, 3}


def test_what_was_hidden_is_not_visible(two_things):
    raster = Rasteriser(two_things, intrinsics(SIZE), SIZE)
    before, now = raster.draw(*camera_at(0.0), 0.0), raster.draw(*camera_at(1.0), 1.0)
    flow, visible = flow_between(now, before, intrinsics(SIZE), raster.body_of)
    card = two_things.surfaces[1]
    disclosed = 0
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            there = (x + flow[0, y, x], y + flow[1, y, x])
            inside = 0 <= there[0] <= SIZE[1] - 1 and 0 <= there[1] <= SIZE[0] - 1
            if not inside:
                assert not visible[y, x]
                continue
            a, b, _ = seen_at(there, card, 0.0)
            margin = 0.12  # of the card's size: the test is made on a grid of half pixels
            if now.surface[y, x] in (1, 3) and margin < a < 1 - margin and margin < b < 1 - margin:
                disclosed += 1
                assert not visible[y, x]
            elif (now.surface[y : y + 4, x] == 1).all() and not (-margin < a < 1 + margin and -margin < b < 1 + margin):
                assert visible[y, x]
    assert disclosed > 10


def test_the_sky_moves_with_turning_only():
    scene = Scene(surfaces=[surface((-1, 5, 1), (2, 0, 0), (0, 0, 2), 3)], sky=np.full((4, 4, 3), 90, np.uint8))
    raster = Rasteriser(scene, intrinsics(SIZE), SIZE)
    level = np.eye(3)
    here = raster.draw(level, np.zeros(3), 0.0)
    moved = raster.draw(level, np.array([3.0, -1.0, 8.0]), 0.0)
    turned = raster.draw(rotation(0.1).T, np.zeros(3), 0.0)
    flow, visible = flow_between(moved, here, intrinsics(SIZE), raster.body_of)
    assert np.abs(flow[:, moved.surface == 0]).max() < 1e-4
    assert visible[:20].all()
    flow, _ = flow_between(turned, here, intrinsics(SIZE), raster.body_of)
    middle = flow[:, SIZE[0] // 2, SIZE[1] // 2]
    assert middle == pytest.approx((intrinsics(SIZE)[0, 0] * math.tan(0.1), 0), abs=1e-2)


def test_colours_are_antialiased_and_labels_are_not():
    white = Texture(np.full((4, 4, 3), 255, np.uint8))
    scene = Scene(surfaces=[surface((0.0071, -9, 5), (9, 0.4, 0), (0, 18, 0), 1, texture=white)])
    view = Rasteriser(scene, intrinsics(SIZE), SIZE).draw(np.eye(3), np.zeros(3), 0.0)
    assert set(np.unique(view.labels)) == {0, 1}
    assert len(np.unique(view.colour)) > 2


def test_one_sided_surfaces_have_no_back():
    front = surface((-1, -1, 5), (2, 0, 0), (0, 2, 0), 8, one_sided=True)
    back = surface((1, -1, 5), (-2, 0, 0), (0, 2, 0), 8, one_sided=True)
    for thing, shown in ((front, True), (back, False)):
        view = Rasteriser(Scene(surfaces=[thing]), intrinsics(SIZE), SIZE).draw(np.eye(3), np.zeros(3), 0.0)
        assert (view.labels == 8).any() == shown


def test_a_cut_out_keeps_its_share_when_reduced():
    rng = np.random.default_rng(0)
    alpha = np.where(mottle(rng, (128, 128), 4, 2) > 0.55, 255, 0).astype(np.uint8)
    texture = Texture(np.zeros((128, 128, 3), np.uint8), alpha)
    share = (alpha >= OPAQUE).mean()
    assert 0.02 < share < 0.2
    for level in (1, 2, 3):
        kept = (texture.level(level, level)[..., 3] >= OPAQUE).mean()
        assert 0.6 * share < kept < 1.5 * share


def test_glowing_texels_are_not_darkened():
    glow = np.zeros((4, 4), bool)
    glow[0] = True
    texture = Texture(np.full((4, 4, 3), 200, np.uint8), glow=glow).lit(np.full(3, 0.5, np.float32))
    assert (texture.level(0, 0)[0, :, :3] == 200).all()
    assert (texture.level(0, 0)[1:, :, :3] == 100).all()


def test_rotation_is_yaw_then_pitch_then_roll():
    def about(axis, angle):
        c, s = math.cos(angle), math.sin(angle)
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        m = np.eye(3)
        m[i, i] = m[j, j] = c
        m[i, j], m[j, i] = -s, s
        return m

    expected = about(1, 0.3) @ about(0, -0.2) @ about(2, 0.5)
    assert rotation(0.3, -0.2, 0.5) == pytest.approx(expected)
    assert (rotation(yaw=0.1) @ [0, 0, 1])[0] > 0  # to the right
    assert (rotation(pitch=0.1) @ [0, 0, 1])[1] < 0  # upwards
    assert (rotation(roll=0.1) @ [1, 0, 0])[1] > 0  # clockwise
