from __future__ import annotations

import numpy as np

from netwarp.streets import CLASSES, render_clip
from netwarp.streets.labelled_clips import rendered_data


def test_rendered_frames_as_a_data_set():
    clips = [list(render_clip(seed, 3, (24, 32))) for seed in (0, 1)]
    data = rendered_data(clips)
    assert data.classes.names == CLASSES
    assert [len(clip.frames) for clip in data.clips] == [3, 3]
    assert len({frame.name for clip in data.clips for frame in clip.frames}) == 6
    for clip, frames in zip(data.clips, clips, strict=True):
        assert clip.frames[0].flow is None
        for known, frame in zip(clip.frames, frames, strict=True):
            assert np.array_equal(known.image(), frame.image)
            assert np.array_equal(known.labels(), frame.labels)
            assert np.array_equal(known.instances(), frame.instances)
        assert np.array_equal(clip.frames[2].flow(), frames[2].flow)
    assert len(data.samples()) == 4
