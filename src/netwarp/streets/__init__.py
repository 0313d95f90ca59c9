"""Street video that is rendered, with exact labels and exact flow.

A drive through a street made of flat textured pieces in metres: houses, trees, fences, poles, signs, cars,
pedestrians and cyclists, seen by a camera that shakes, blurs, and compresses. It needs no data, no network and no GPU,
and its truth is exact, which that of real video is not.
"""

from netwarp.streets.builder import CLASSES
from netwarp.streets.clip import StreetFrame, render_clip
from netwarp.streets.dataset import StreetPair, StreetPairs, Streets
from netwarp.streets.effects import Effects
from netwarp.streets.weather import WEATHERS

__all__ = ["CLASSES", "WEATHERS", "Effects", "StreetFrame", "StreetPair", "StreetPairs", "Streets", "render_clip"]
