"""Settings are plain values, and wrong ones are said in a line."""

import dataclasses
import json
import subprocess
import sys

import pytest

from netwarp.datasets.augment_settings import Augmentation
from netwarp.errors import ConfigurationError
from netwarp.training import Consistency, Rates, TrainSettings


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, not 0"),
        ({"steps": 2.5}, "steps must be a whole number of at least 1, not 2.5"),
        ({"batch_size": True}, "batch_size must be a whole number"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"rate": 0.0}, "rate must be above 0, not 0"),
        ({"rate": float("nan")}, "rate must be above 0, not nan"),
        ({"clip_gradient": float("inf")}, "clip_gradient must be above 0"),
        ({"precision": 16}, "no precision named '16'"),
        ({"monitor": "miou"}, "no monitor named 'miou': did you mean 'iou'"),
        ({"accelerator": "tpu"}, "no accelerator named 'tpu'"),
        ({"class_weights": "inverse"}, "no class_weights named 'inverse': did you mean 'inverse_log'"),
        ({"class_weights": (1.0, -1.0)}, "class_weights must be numbers of at least 0"),
        ({"class_weights": (0.0, 0.0)}, "not all of them 0"),
        ({"class_weight_constant": 1.0}, "class_weight_constant must be above 1"),
        ({"patience": 3}, "patience counts validations: say validate_every"),
    ],
)
def test_wrong_values_are_said_in_a_line(wrong, said):
    with pytest.raises(ConfigurationError) as error:
        TrainSettings(**wrong)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Rates(gate=-1.0), "rates.gate must be above 0, not -1"),
        (lambda: Consistency(-0.1), "consistency.weight must be at least 0"),
        (lambda: Consistency(float("nan")), "consistency.weight must be at least 0"),
        (lambda: Consistency(1.0, -1), "consistency.unlabelled must be a whole number of at least 0"),
        (lambda: Consistency(0.0, 4), "consistency.unlabelled needs a consistency.weight above 0"),
    ],
)
def test_wrong_values_of_sections_too(make, said):
    with pytest.raises(ConfigurationError, match=said):
        make()


def test_what_decides_is_all_but_how_it_is_run():
    how = {"checkpoint_every", "tensorboard", "accelerator", "workers"}
    names = {field.name for field in dataclasses.fields(TrainSettings)}
    deciding = TrainSettings(augment=Augmentation(flip=0.5), train_base=("encoder",)).deciding()
    assert deciding.keys() == names - how
    assert json.loads(json.dumps(deciding))["augment"]["flip"] == 0.5


def test_settings_are_read_without_torch():
    script = (
        "import sys; from netwarp.training import TrainSettings, Rates, Consistency; TrainSettings();"
        "assert not {'torch', 'lightning', 'cv2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
