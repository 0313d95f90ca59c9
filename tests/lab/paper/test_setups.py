"""What is filled in where a user says nothing, and what is refused."""

from pathlib import Path

import pytest

from netwarp import load_base
from netwarp.errors import ConfigurationError
from netwarp.lab.paper.lines import netwarp_row
from netwarp.lab.paper.request import Request
from netwarp.lab.paper.setups import NETWORKS, Setup, departures, setup_for


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_netwarps_go_to_layers_that_exist(network):
    modules = dict(load_base(f"netwarp:{network.name}@0.02").named_modules())
    assert set(network.best) <= set(modules)
    context = [name for name in modules if name.startswith("ctx_")]
    assert not context or tuple(context) == network.best


def setup_of(*networks: str, **asked: object) -> Setup:
    return setup_for(networks, Request(target="table1", **asked))


def test_streets_and_a_small_network_by_default():
    setup = setup_of("playdata")
    assert setup.base.startswith("netwarp:playdata@0.")
    assert (setup.train[1], setup.test[1]) == ("train", "test")
    assert (setup.base_training.data, setup.base_training.split) == setup.train
    assert setup.seeds == 1  # ten minutes hold no second one
    assert setup.single is setup.multi is None


def windows(setup, frame: tuple[int, int]) -> list[int]:
    return [sum(len(t.tops) * len(t.lefts) for t in views.tilings(frame)) for views in (setup.single, setup.multi)]


def test_pspnet_sees_about_as_many_windows_as_in_the_paper():
    setup = setup_of("pspnet101")
    assert setup.test[0].endswith("size=256x128")
    assert windows(setup, (128, 256)) == [8, 77]
    assert setup.recipe.crop == setup.single.window


@pytest.fixture
def cityscapes(tmp_path: Path) -> str:
    return f"cityscapes:{tmp_path}"


def test_real_data_take_the_full_network(cityscapes: str):
    setup = setup_of("pspnet101", data=cityscapes, weights="w.safetensors")
    assert (setup.base, setup.weights) == ("netwarp:pspnet101", "w.safetensors")
    assert setup.base_training.weights is None
    assert setup.test == (cityscapes, "val")  # nobody has the labels of its test split
    assert setup.multi.flip
    assert windows(setup, (1024, 2048)) == [8, 81]  # section 4.2
    assert setup_of("playdata", data="camvid:x").test == ("camvid:x", "test")


def test_imagenets_weights_are_trained_from(cityscapes: str):
    setup = setup_of("dilation8", data=cityscapes, weights="imagenet")
    assert (setup.weights, setup.base_training.weights) == (None, "imagenet")


def test_what_is_asked_for_is_taken():
    asked = {"data": "streets:clips=3", "width": 0.25, "steps": 5, "base_steps": 7, "seeds": 4}
    setup = setup_of("dilation8", "dilation10", **asked)
    assert setup.base == "netwarp:dilation8@0.25"
    assert (setup.train, setup.test) == (("streets:clips=3", "train"), ("streets:clips=3", "test"))
    assert (setup.recipe.steps, setup.base_training.steps, setup.seeds) == (5, 7, 4)
    assert setup_of("dilation8", "dilation10", base="netwarp:dilation10@0.5").network.name == "dilation10"


@pytest.mark.parametrize("network", NETWORKS)
def test_as_published_leaves_only_what_it_cannot_have_otherwise(network: str, tmp_path: Path):
    usual = setup_of(network, data=f"cityscapes:{tmp_path}")
    published = setup_of(network, data=f"cityscapes:{tmp_path}", as_published=True, weights="w.safetensors")
    recipe = published.recipe
    assert (recipe.flip, recipe.class_weights, recipe.freeze_batch_norm) == (0.0, 0.0, True)
    assert (published.flow_cnn, published.flow_cnn_start) == (1, "gaussian")
    before, left = ({words.partition(":")[0] for words in departures(setup)} for setup in (usual, published))
    assert {"augmentation", "loss", "FlowCNN", "network"} <= before
    assert ("batch norm" in before) == (network == "pspnet101")  # the others have none
    windows = {"augmentation"} if network == "pspnet101" else set()
    size = {"frames"} if network == "dilation8" else set()
    assert left == {"flow", "steps, rates, batches, and the rate's course"} | windows | size


def test_what_is_new_is_in_the_key_of_kept_work_only_where_it_is_used():
    usual, published = (
        netwarp_row(setup_of("playdata", as_published=chosen), ("fc6",)).training() for chosen in (False, True)
    )
    assert "flow_cnn_start" not in usual
    assert "freeze_batch_norm" not in usual["recipe"]
    assert (published["flow_cnn_start"], published["recipe"]["freeze_batch_norm"]) == ("gaussian", True)


def test_streets_are_not_the_papers_data():
    words = departures(setup_of("dilation8", as_published=True, size=(480, 640)))
    assert {each.partition(":")[0] for each in words} == {
        "data", "network", "dropout", "flow", "steps, rates, batches, and the rate's course",
    }  # fmt: skip


def test_a_size_is_the_networks_before_and_after():
    setup = setup_of("dilation8", size=(480, 640))
    assert setup.size == setup.base_training.size == (480, 640)
    with pytest.raises(ConfigurationError, match="windows"):
        setup_of("pspnet101", size=(480, 640))


def test_quick_is_tiny():
    setup = setup_of("pspnet101", quick=True)
    assert (setup.recipe.steps, setup.base_training.steps, setup.seeds) == (2, 2, 1)


def test_another_network_is_refused():
    with pytest.raises(ConfigurationError, match="netwarp:playdata"):
        setup_of("playdata", base="netwarp:pspnet101")
    with pytest.raises(ConfigurationError, match="both given"):
        setup_of("playdata", base="netwarp:playdata", width=0.5)


def test_data_without_a_split_to_train_on_is_refused(tmp_path: Path):
    (tmp_path / "val" / "frames" / "clip").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="a train and a test split"):
        setup_of("playdata", data=f"folder:{tmp_path}")
