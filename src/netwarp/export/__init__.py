"""Video models as ONNX files: one step with explicit state, checked against PyTorch."""

from netwarp.export.write import Exported, export

__all__ = ["Exported", "export"]
