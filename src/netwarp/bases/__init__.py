"""Segmentation networks by name: netwarp's own, torchvision's, smp's, Hugging Face's, and the user's."""

from netwarp.bases.registry import SCHEMES, Scheme, load_base, rebuild_base
from netwarp.bases.shipped import BASES, ShippedBase
from netwarp.bases.spec import BaseSource

__all__ = ["BASES", "SCHEMES", "BaseSource", "Scheme", "ShippedBase", "load_base", "rebuild_base"]
