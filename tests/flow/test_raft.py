import pytest
import torch
from torchvision.models import optical_flow

from netwarp.errors import WeightsError
from netwarp.flow import RAFTFlow


@pytest.fixture
def state(raft_file):
    return torch.load(raft_file, weights_only=True)


def test_equals_torchvision_where_nothing_needs_padding(raft_file, state, moved):
    current, previous = moved(3, -2, 128, 136)
    network = optical_flow.raft_small(weights=None)
    network.load_state_dict(state)
    with torch.no_grad():
        images = [f.float() / 255 * 2 - 1 for f in (current, previous)]
        expected = network.eval()(*images, num_flow_updates=3)[-1]
    torch.testing.assert_close(RAFTFlow(raft_file, updates=3)(current, previous), expected)


def test_flow_is_float32_inside_autocast(raft_file, moved):
    pair = moved(1, 1, 128, 128)
    estimator = RAFTFlow(raft_file, updates=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = estimator(*pair)
    assert torch.equal(inside, estimator(*pair))


def test_weights_for_the_large_network_are_told_by_their_keys(tmp_path, moved):
    path = tmp_path / "any_name.pth"
    torch.save(optical_flow.raft_large(weights=None).state_dict(), path)
    pair = moved(1, 0, 130, 129)
    assert RAFTFlow(path, updates=1)(*pair).shape == (1, 2, 130, 129)


@pytest.mark.parametrize("size", ["large", "small"])
def test_torchvisions_recommended_weights_are_asked_for(monkeypatch, size):
    weights = getattr(optical_flow, f"Raft_{size.capitalize()}_Weights").DEFAULT
    random = getattr(optical_flow, f"raft_{size}")(weights=None).state_dict()
    asked = []

    def download(url, *args, **kwargs):
        asked.append(url)
        assert kwargs["check_hash"]
        return random

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    assert RAFTFlow(size).spec == f"raft:{size}"
    assert asked == [weights.url]


def test_without_network_the_error_names_the_way_out(monkeypatch):
    def download(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    with pytest.raises(WeightsError, match=r"no route to host.*raft:FILE"):
        RAFTFlow("large")


@pytest.mark.parametrize(
    ("spoil", "words"), [(lambda state: state.popitem(), "1 of"), (lambda state: state.clear(), "no state dict")]
)
def test_weights_of_another_network_or_damaged(tmp_path, state, spoil, words):
    spoil(state)
    path = tmp_path / "spoilt.pth"
    torch.save(state, path)
    with pytest.raises(WeightsError, match=words):
        RAFTFlow(path)
