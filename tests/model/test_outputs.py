"""What networks return, in every form."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from netwarp.errors import ConfigurationError
from netwarp.model.outputs import logits_of, representation_of, to_frame_size, with_representation

LOGITS = torch.randn(1, 5, 4, 6)
Pair = namedtuple("Pair", ["features", "extra"])


class MappingWithAttribute(OrderedDict):
    """Like Hugging Face's ModelOutput: a mapping whose items are attributes too."""

    @property
    def logits(self):
        return self["logits"]


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        {"out": LOGITS, "aux": LOGITS + 1},
        OrderedDict(aux=LOGITS + 1, out=LOGITS),
        SimpleNamespace(logits=LOGITS, loss=None),
        MappingWithAttribute(logits=LOGITS, hidden_states=None),
    ],
)
def test_logits_are_found(output):
    assert logits_of(output) is LOGITS


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (None, "NoneType"),
        ([LOGITS], "list"),
        ((LOGITS, LOGITS), "tuple"),
        ({"masks": LOGITS}, "dict"),
        ({"out": None}, "dict"),
        (SimpleNamespace(logits="no"), "SimpleNamespace"),
        (LOGITS[0], r"\[5, 4, 6\]"),
        (LOGITS.argmax(1, keepdim=True), "int64"),
    ],
)
def test_anything_else_is_refused_in_one_line(output, says):
    with pytest.raises(ConfigurationError, match=says) as caught:
        logits_of(output)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("output", [LOGITS, (LOGITS, 1), [LOGITS, None], Pair(LOGITS, "x")])
def test_a_representation_is_found_and_exchanged_in_the_same_form(output):
    assert representation_of(output) is LOGITS
    other = LOGITS + 1
    exchanged = with_representation(output, other)
    assert type(exchanged) is type(output)
    assert representation_of(exchanged) is other
    if not isinstance(output, torch.Tensor):
        assert list(exchanged[1:]) == list(output[1:])


@pytest.mark.parametrize(
    "output", [None, (), [], {}, "x", LOGITS[0], (LOGITS[0], LOGITS), LOGITS.long(), {"a": LOGITS}]
)
def test_no_representation(output):
    assert representation_of(output) is None


def test_the_way_back_to_frame_size():
    assert to_frame_size(LOGITS, (4, 6), (4, 6), (4, 6)) is LOGITS
    upscaled = F.interpolate(LOGITS, (32, 48), mode="bilinear")
    assert torch.equal(to_frame_size(LOGITS, (32, 48), (32, 48), (32, 48)), upscaled)
    assert torch.equal(to_frame_size(LOGITS, (30, 47), (32, 48), (30, 47)), upscaled[..., :30, :47])
    resized = F.interpolate(upscaled[..., :30, :47], (60, 20), mode="bilinear")
    assert torch.equal(to_frame_size(LOGITS, (30, 47), (32, 48), (60, 20)), resized)
