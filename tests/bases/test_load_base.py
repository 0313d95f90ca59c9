"""``load_base``: every scheme offline, and what wrong names and numbers get."""

import sys
from pathlib import Path

import pytest
import torch
from networks import CLASSES, DPT, SEGFORMER, UPERNET

from netwarp import VideoModel
from netwarp.bases import BASES, load_base
from netwarp.errors import ConfigurationError, MissingExtraError, NetWarpError, WeightsError
from netwarp.label_sets import CAMVID, CITYSCAPES, VOC
from netwarp.model.inputs import Preprocess


def refused(message, *arguments, kind=NetWarpError, **options):
    with pytest.raises(kind, match=message) as caught:
        load_base(*arguments, **options)
    assert "\n" not in str(caught.value)
    assert "object at 0x" not in str(caught.value)


# ---- specs and classes


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        *((spec, "torchvision:NAME") for spec in (None, Path("espnet.pth"), "", "fcn_resnet50")),
        *((spec, repr(spec)) for spec in ("netwarp:", ":espnet", "a b:c", "user_network:", "user_network:a-b")),
        ("espnet", "write netwarp:espnet"),
        ("playdata@0.5", "write netwarp:playdata@0.5"),
        ("torchvison:fcn_resnet50", "did you mean 'torchvision'"),
        ("netwarp:espnett", "did you mean 'espnet'"),
        ("netwarp:playdat@0.5", "did you mean 'playdata'"),
        ("netwarp:espnet@0.5", r"leave @0.5 out \(playdata, dilation8"),
        ("torchvision:fcn_resnet5", "did you mean 'fcn_resnet50'"),
        ("torchvision:resnet50", "'resnet50'"),
        ("smp:Unett/resnet18", "did you mean 'Unet'"),
        ("smp:Unet/resnet19", "did you mean 'resnet1"),
        ("smp:Unet/tu-resnet19", "did you mean 'tu-resnet1"),
        ("smp:Unet", "smp:ARCH/ENCODER"),
        ("smp:Linknet/mit_b0", "mit_b0"),
        ("hf:./nowhere", "./nowhere"),
        ("no_such.module:net", "'no_such.module'"),
        ("my_network.py:build", "write my_network:build"),
        ("./nets/my_network.py:build", "write nets.my_network:build"),
        ("/nowhere/my_network.py:build", "in its folder write my_network:build"),
    ],
)
def test_wrong_specs(spec, message):
    refused(message, spec, classes=3, kind=ConfigurationError)


def test_a_module_in_the_current_folder_is_a_near_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mynet.py").touch()
    refused("did you mean 'mynet'", "mynett:build", classes=3, kind=ConfigurationError)


@pytest.mark.parametrize("classes", [0, -1, 1.5, True, "road", [], ["road", 3], [""], {"road": 1}])
def test_wrong_classes(classes):
    refused("classes must be", "netwarp:espnet", classes=classes, kind=ConfigurationError)


def test_wrong_weights(tmp_path):
    refused("not by 3", "netwarp:espnet", weights=3, kind=ConfigurationError)
    refused("'default'", "netwarp:espnet", "default", kind=ConfigurationError)
    refused("no weights file at", "netwarp:espnet", tmp_path / "w.pth", kind=WeightsError)


def test_class_names_and_colours():
    base = load_base("torchvision:lraspp_mobilenet_v3_large", classes=CITYSCAPES.names)
    assert (base.classes, base.palette) == (CITYSCAPES.names, CITYSCAPES.palette)
    numbered = load_base("netwarp:espnet", classes=6)
    assert numbered.classes == tuple(f"class {i}" for i in range(6))
    assert len(set(numbered.palette)) == 6


# ---- netwarp


def test_espnet_carries_what_belongs_to_it():
    base = load_base("netwarp:espnet")
    assert not base.training
    assert base.classes == (*CAMVID.names, "void")
    assert base.palette[11] == (0, 0, 0)
    assert base.preprocess == BASES["espnet"].preprocess
    assert base.source.spec == "netwarp:espnet"
    assert next(name for name, _ in base.named_children()) == "encoder"


def test_number_of_classes_comes_from_the_weights(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({f"module.{k}": v for k, v in load_base("netwarp:espnet", classes=7).state_dict().items()}, path)
    assert len(load_base("netwarp:espnet", path).classes) == 7
    assert load_base("netwarp:espnet", path, list("abcdefg")).classes == tuple("abcdefg")
    refused("weights have 7 outputs, not the 19", "netwarp:espnet", path, 19, kind=WeightsError)
    refused("weights have 7 outputs, not the 2", "netwarp:espnet", path, ["a", "b"], kind=WeightsError)
    refused("of another network: .* keys are missing", "torchvision:lraspp_mobilenet_v3_large", path, kind=WeightsError)


WIDE = ("playdata", "dilation8", "dilation10", "pspnet101")


@pytest.mark.parametrize("name", WIDE)
def test_versions_with_a_fraction_of_the_channels(name):
    base = load_base(f"netwarp:{name}@0.0625")
    assert base.source.spec == f"netwarp:{name}@0.0625"
    assert base.classes == BASES[name].labels.names
    by_name = dict(base.named_parameters())
    first = by_name["conv1_1.weight" if name != "pspnet101" else "conv1_1_3x3_s2.conv.weight"]
    assert first.shape[0] == 64 / 16
    # The number of classes is not reduced.
    head, dimension = BASES[name].head
    assert by_name[head].shape[dimension] == len(base.classes)


@pytest.mark.parametrize("name", WIDE)
def test_the_head_says_the_number_of_classes(name, tmp_path):
    spec, path = f"netwarp:{name}@0.01", tmp_path / "w.pth"
    state = load_base(spec, classes=7).state_dict()
    torch.save(state, path)
    base = load_base(spec, path)
    assert len(base.classes) == 7
    assert all(torch.equal(tensor, state[key]) for key, tensor in base.state_dict().items())
    refused("of another network: .* shapes differ", f"netwarp:{name}@0.02", path, kind=WeightsError)


@pytest.mark.parametrize("fraction", ["", "0", "-0.5", "1.01", "nan", "inf", "half", "1e", "0.5@0.5"])
def test_fractions_that_are_none(fraction):
    refused(f"not '{fraction}'", f"netwarp:playdata@{fraction}")


@pytest.mark.parametrize("fraction", ["0.01", ".01", "1e-2"])
def test_fractions_as_they_may_be_written(fraction):
    assert load_base(f"netwarp:playdata@{fraction}").conv3_1.out_channels == 3


# ---- torchvision


def test_torchvision():
    base = load_base("torchvision:LRASPP_mobilenet_v3_large")
    assert base.classes == VOC.names
    assert base.preprocess == Preprocess()
    with torch.no_grad():
        assert base(torch.zeros(1, 3, 33, 50))["out"].shape == (1, 21, 33, 50)


def test_names_of_torchvisions_published_weights():
    from torchvision import models

    (weights,) = models.get_model_weights("fcn_resnet50")
    assert tuple(weights.meta["categories"])[1:] == VOC.names[1:]
    refused("did you mean 'COCO_WITH_VOC", "torchvision:fcn_resnet50", "COCO_WITH_VOC_LABELS", kind=ConfigurationError)


_PUBLISHED = ["default", "coco_with_voc_labels_v1", "DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1"]


@pytest.mark.parametrize("weights", _PUBLISHED)
def test_published_weights_are_asked_of_torchvision(monkeypatch, weights):
    """No download here: the state dict that would come stands in for it, auxiliary classifier included."""
    from torchvision import models

    name = "deeplabv3_mobilenet_v3_large"
    published = models.get_model(name, weights=None, weights_backbone=None, aux_loss=True).state_dict()
    monkeypatch.setattr(models.WeightsEnum, "get_state_dict", lambda self, *a, **k: published)
    base = load_base(f"torchvision:{name}", weights)
    assert torch.equal(base.classifier[4].weight, published["classifier.4.weight"])
    assert any(key.startswith("aux_classifier") for key in published)
    assert not any(key.startswith("aux_classifier") for key in base.state_dict())
    refused("weights have 21 outputs, not the 19", f"torchvision:{name}", weights, 19, kind=WeightsError)


def test_a_failed_download_says_where_to_get_the_file(monkeypatch):
    from torchvision import models

    def fail(self, *arguments, **options):
        raise OSError("no route to host\nat all")

    monkeypatch.setattr(models.WeightsEnum, "get_state_dict", fail)
    refused(r"no route to host\): download https://.* and give the file", "torchvision:fcn_resnet50", "default")


# ---- smp


def test_smp_any_case_and_its_own_requirements():
    base = load_base("smp:fpn/ResNet18", classes=3)
    assert base.source.spec == "smp:FPN/resnet18"
    assert base.preprocess == Preprocess(divisor=32)
    frames = torch.rand(1, 3, 45, 70)
    with torch.no_grad():
        assert base(base.preprocess(frames)).shape == (1, 3, 64, 96)
    assert load_base("smp:Unet/resnet18", classes=3).preprocess.divisor == 1
    assert load_base("smp:PSPNet/resnet18", classes=3).preprocess.divisor == 8


def test_smp_transformer_takes_rectangles():
    base = load_base("smp:DPT/tu-vit_tiny_patch16_224", classes=3)
    assert base.preprocess == Preprocess((0.5,) * 3, (0.5,) * 3, divisor=32)  # timm's, for this encoder
    with torch.no_grad():
        assert base(base.preprocess(torch.rand(1, 3, 60, 90))).shape == (1, 3, 64, 96)


@pytest.mark.parametrize(
    ("ours", "timm_name"), [("timm-tf_efficientnet_lite0", "tf_efficientnet_lite0"), ("dpn68", "dpn68")]
)
def test_settings_known_by_name_are_timms(ours, timm_name):
    import timm

    preprocess = load_base(f"smp:Unet/{ours}", classes=2).preprocess
    trained = timm.get_pretrained_cfg(timm_name)
    assert preprocess.mean == pytest.approx(trained.mean)
    assert preprocess.std == pytest.approx(trained.std)


def test_smp_weights(tmp_path, monkeypatch):
    refused("has no number of classes of its own", "smp:Unet/resnet18", kind=ConfigurationError)
    path = tmp_path / "w.pt"
    state = load_base("smp:FPN/resnet18", classes=4).state_dict()
    torch.save({"state_dict": state}, path)
    base = load_base("smp:FPN/resnet18", path)
    assert len(base.classes) == 4
    assert torch.equal(base.state_dict()["encoder.conv1.weight"], state["encoder.conv1.weight"])
    refused("weights have 4 outputs, not the 5", "smp:FPN/resnet18", path, 5, kind=WeightsError)
    refused("did you mean 'imagenet'", "smp:FPN/resnet18", "imagnet", 5, kind=ConfigurationError)


def test_smp_encoder_weights_bring_their_settings(monkeypatch):
    """No download here: what would come is put in its place."""
    import segmentation_models_pytorch as smp

    asked = []
    create = smp.create_model

    def create_model(*arguments, encoder_weights, **options):
        asked.append(encoder_weights)
        return create(*arguments, encoder_weights=None, **options)

    settings = {"mean": [1, 2, 3], "std": [4, 5, 6], "input_range": [0, 255], "input_space": "BGR"}
    monkeypatch.setattr(smp, "create_model", create_model)
    monkeypatch.setattr(smp.encoders, "get_preprocessing_params", lambda name, pretrained: settings)
    base = load_base("smp:Unet/resnet18", "default", 3)
    assert asked == ["imagenet"]
    assert base.preprocess == Preprocess((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), scale=255.0, order="bgr")

    def fail(*arguments, **options):
        raise OSError("the hub is away\nfor long")

    monkeypatch.setattr(smp, "create_model", fail)
    refused("cannot download the imagenet weights of resnet18 .the hub is away.", "smp:Unet/resnet18", "default", 3)


# ---- Hugging Face


def saved(folder, model_type, config, processor=None):
    import transformers

    labels = dict(enumerate(CITYSCAPES.names[:CLASSES]))
    made = transformers.AutoConfig.for_model(model_type, id2label=labels, **config)
    network = transformers.AutoModelForSemanticSegmentation.from_config(made)
    network.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return network


@pytest.fixture(scope="module")
def segformer(tmp_path_factory):
    import transformers

    folder = tmp_path_factory.mktemp("segformer")
    processor = transformers.SegformerImageProcessor(image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6])
    return folder, saved(folder, "segformer", SEGFORMER, processor)


def test_huggingface_folder(segformer):
    folder, original = segformer
    base = load_base(f"hf:{folder}")
    assert base.classes == CITYSCAPES.names[:CLASSES]
    assert base.preprocess == Preprocess((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert not base.training
    state = original.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in base.state_dict().items())
    frames = torch.rand(1, 3, 45, 70)
    with torch.no_grad():
        given = base(base.preprocess(frames)).logits
        expected = original.eval()(
            (frames - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
        )
    torch.testing.assert_close(given, expected.logits)


def test_huggingface_preprocessing_is_its_processors(tmp_path):
    """MobileViT's processor: no normalisation, BGR; on a frame of the processor's size both give the same."""
    import transformers

    processor = transformers.MobileViTImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    saved(
        tmp_path,
        "mobilevit",
        {
            "hidden_sizes": [16, 24, 32],
            "neck_hidden_sizes": [8, 8, 16, 16, 24, 24, 48],
            "num_attention_heads": 2,
            "aspp_out_channels": 16,
        },
        processor,
    )
    base = load_base(f"hf:{tmp_path}")
    assert base.preprocess.order == "bgr"
    frame = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    expected = processor(frame, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(base.preprocess(frame[None] / 255), expected)


def test_huggingface_without_a_processor_takes_its_types(tmp_path):
    saved(tmp_path, "dpt", DPT)
    base = load_base(f"hf:{tmp_path}")
    assert base.preprocess == Preprocess((0.5,) * 3, (0.5,) * 3, size=(64, 64))
    with torch.no_grad():
        assert base(base.preprocess(torch.rand(1, 3, 40, 90))).logits.shape == (1, CLASSES, 64, 64)


def test_huggingface_patches_cover_the_frame(tmp_path):
    saved(tmp_path, "upernet", UPERNET)
    assert load_base(f"hf:{tmp_path}").preprocess == Preprocess(divisor=32)


def test_huggingface_weights_from_a_file(segformer, tmp_path):
    folder, original = segformer
    state = {key: torch.full_like(tensor, 0.5) for key, tensor in original.state_dict().items()}
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "w.pth")
    base = load_base(f"hf:{folder}", tmp_path / "w.pth")
    assert torch.equal(base.decode_head.classifier.weight, state["decode_head.classifier.weight"])
    torch.save({"other": torch.ones(1)}, tmp_path / "other.pth")
    refused("of another network", f"hf:{folder}", tmp_path / "other.pth", kind=WeightsError)
    refused("no weights named 'imagenet'", f"hf:{folder}", "imagenet", kind=ConfigurationError)


def test_huggingface_classes(segformer):
    folder, _ = segformer
    assert load_base(f"hf:{folder}", classes=list("abcde")).classes == tuple("abcde")
    refused("weights have 5 outputs, not the 19", f"hf:{folder}", classes=19, kind=WeightsError)


def test_huggingface_folders_that_cannot_be_used(tmp_path):
    import transformers

    refused("has no config.json", f"hf:{tmp_path}", kind=ConfigurationError)
    (tmp_path / "config.json").write_text("{ this is no JSON")
    refused("cannot be loaded", f"hf:{tmp_path}", kind=WeightsError)
    transformers.ViTConfig(hidden_size=8).save_pretrained(tmp_path)
    refused("vit of transformers neither segments", f"hf:{tmp_path}", kind=NetWarpError)
    config = transformers.SegformerConfig(**SEGFORMER)
    config.save_pretrained(tmp_path)
    refused("cannot be loaded", f"hf:{tmp_path}", kind=WeightsError)  # no weights
    transformers.SegformerModel(config).save_pretrained(tmp_path)
    refused(r"keys are missing \(decode_head", f"hf:{tmp_path}", kind=WeightsError)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 50)
    refused("cannot be loaded", f"hf:{tmp_path}", kind=WeightsError)


def test_huggingface_shapes(segformer, tmp_path):
    import transformers

    _, original = segformer
    original.save_pretrained(tmp_path)
    transformers.SegformerConfig(**{**SEGFORMER, "decoder_hidden_size": 40}, num_labels=CLASSES).save_pretrained(
        tmp_path
    )
    refused(
        r"shapes differ \(decode_head.* is \[.*32.*\] there and \[.*40.*\] here", f"hf:{tmp_path}", kind=WeightsError
    )


def test_huggingface_code_is_never_run(tmp_path):
    marker = tmp_path / "ran"
    (tmp_path / "code.py").write_text(f"open({str(marker)!r}, 'w')")
    (tmp_path / "config.json").write_text(
        '{"model_type": "mine", "auto_map": {"AutoConfig": "code.C", "AutoModelForSemanticSegmentation": "code.M"}}'
    )
    refused("cannot be loaded", f"hf:{tmp_path}", kind=NetWarpError)
    assert not marker.exists()


def test_a_hub_that_cannot_be_reached(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    refused("hf:nobody/nothing cannot be loaded .*check the name", "hf:nobody/nothing", kind=WeightsError)


# ---- libraries that are not there


@pytest.mark.parametrize(
    ("spec", "library", "advice"),
    [
        ("smp:Unet/resnet18", "segmentation_models_pytorch", "segmentation-models-pytorch, which is not installed"),
        ("hf:owner/name", "transformers", "transformers, which is not installed"),
    ],
)
def test_missing_extra(monkeypatch, spec, library, advice):
    monkeypatch.setitem(sys.modules, library, None)
    refused(advice + r".*\[models\]", spec, classes=2, kind=MissingExtraError)


# ---- import paths


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [("Plain", None, 3), ("Plain", 6, 6), ("Nested.network", 2, 2), ("ReturnsDict", None, 3), ("any_options", 8, 8)],
)
def test_import_path(name, classes, count):
    base = load_base(f"user_network:{name}", classes=classes)
    assert len(base.classes) == len(base.palette) == count
    assert base.preprocess == Preprocess()
    assert not base.training


def test_import_path_keeps_what_the_network_says():
    base = load_base("user_network:Described")
    assert base.classes == ("road", "sky")
    assert base.palette == ((1, 2, 3), (4, 5, 6))
    assert base.preprocess.divisor == 4
    assert load_base("user_network:Described", classes=["a", "b"]).classes == ("a", "b")
    refused("has 2 outputs, not the 3", "user_network:Described", classes=3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Plane", "no callable in user_network named 'Plane': did you mean 'Plain'"),
        ("fixed", "returns dict, not a torch.nn.Module"),
        ("raises", "user_network:raises fails: RuntimeError: the disk is on strike$"),
        ("built", "user_network:built is Plain: name a class or function"),
        ("number", "user_network:number is int: name a class or function"),
        ("Damaged", "head.bias in user_network:Damaged holds NaN"),
        ("WrongPreprocess", "its .preprocess is str"),
        ("WrongPalette", "its .palette must be"),
    ],
)
def test_import_paths_that_cannot_be_used(name, message):
    refused(message, f"user_network:{name}")


def test_import_path_weights(tmp_path):
    state = {"head.weight": torch.ones(3, 3, 1, 1), "head.bias": torch.ones(3)}
    torch.save(state, tmp_path / "w.pt")
    assert load_base("user_network:Plain", tmp_path / "w.pt").head.bias.sum() == 3
    refused(r"head.weight is \[3, 3, 1, 1\] there and \[5", "user_network:Plain", tmp_path / "w.pt", 5)
    refused("no weights named 'default'", "user_network:Plain", "default")


def test_the_current_directory_can_be_imported_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    Path("mine_a1.py").write_text("import torch\ndef net(classes): return torch.nn.Conv2d(3, classes, 1)\n")
    assert len(load_base("mine_a1:net", classes=4).classes) == 4
    Path("broken_a1.py").write_text("import nothing_of_that_name\n")
    refused("broken_a1:net cannot be imported: ModuleNotFoundError: .*nothing_of_that_name", "broken_a1:net")
    Path("typo_a1.py").write_text("def net(:\n")
    refused("typo_a1:net cannot be imported: SyntaxError", "typo_a1:net")
    assert sys.path == path


def test_weights_come_out_of_a_video_model(tmp_path):
    trained = load_base("netwarp:streetnet")
    VideoModel(trained, ["at_eighth"], flow="zero").save(tmp_path / "model.safetensors")
    again = load_base("netwarp:streetnet", str(tmp_path / "model.safetensors")).state_dict()
    assert again.keys() == trained.state_dict().keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in trained.state_dict().items())
