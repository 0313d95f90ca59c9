"""Settings are plain values, and wrong ones are said in a line."""

import dataclasses
import json
import math
import subprocess
import sys

import pytest

from netwarp.datasets.augment_settings import Augmentation
from netwarp.errors import ConfigurationError
from netwarp.training import Consistency, Rates, TrainSettings


@pytest.mark.parametrize(
    ("wrong", "value"),
    [
        ({"steps": 0}, "steps .* 0$"),
        ({"steps": 2.5}, "steps .* 2.5"),
        ({"batch_size": True}, "batch_size"),
        ({"seed": -1}, "seed .* -1"),
        ({"rate": 0.0}, "rate .* 0$"),
        ({"rate": math.nan}, "rate .* nan"),
        ({"clip_gradient": math.inf}, "clip_gradient .* inf"),
        ({"precision": 16}, "precision .*'16'"),
        ({"monitor": "miou"}, "'miou'.*'iou'"),
        ({"accelerator": "tpu"}, "'tpu'"),
        ({"class_weights": "inverse"}, "'inverse'.*'inverse_log'"),
        ({"class_weights": (1.0, -1.0)}, "class_weights"),
        ({"class_weights": (0.0, 0.0)}, "class_weights"),
        ({"class_weight_constant": 1.0}, "class_weight_constant"),
        ({"patience": 3}, "patience .*validate_every"),
        ({"rates": (Rates, {"gate": -1.0})}, "rates.gate .* -1"),
        ({"consistency": (Consistency, {"weight": -0.1})}, "consistency.weight"),
        ({"consistency": (Consistency, {"weight": math.nan})}, "consistency.weight"),
        ({"consistency": (Consistency, {"weight": 1.0, "unlabelled": -1})}, "consistency.unlabelled"),
        (
            {"consistency": (Consistency, {"weight": 0.0, "unlabelled": 4})},
            "consistency.unlabelled .*consistency.weight",
        ),
    ],
)
def test_wrong_values_are_named_in_a_line(wrong, value):
    with pytest.raises(ConfigurationError, match=value) as error:
        TrainSettings(**{name: v[0](**v[1]) if name in ("rates", "consistency") else v for name, v in wrong.items()})
    assert "\n" not in str(error.value)


def test_what_decides_is_all_but_how_it_is_run():
    how = {"checkpoint_every", "tensorboard", "accelerator", "workers"}
    names = {field.name for field in dataclasses.fields(TrainSettings)}
    deciding = TrainSettings(
        augment=Augmentation(flip=0.5), train_base=("encoder",), freeze_batch_norm=True, keyframes=True
    )
    deciding = deciding.deciding()
    assert deciding.keys() == names - how
    # A checkpoint of a version that did not know it is gone on from.
    assert TrainSettings().deciding().keys() == names - how - {"freeze_batch_norm", "keyframes"}
    assert json.loads(json.dumps(deciding))["augment"]["flip"] == 0.5


def test_settings_are_read_without_torch():
    script = (
        "import sys; from netwarp.training import TrainSettings, Rates, Consistency; TrainSettings();"
        "assert not {'torch', 'lightning', 'cv2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
