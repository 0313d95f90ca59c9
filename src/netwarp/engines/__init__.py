"""Engines that run networks outside of PyTorch, from ONNX graphs: read them, run them, and make them of modules."""

from netwarp.engines.graph import Graph, Port, read_graph
from netwarp.engines.run import ENGINES, Engine, check_engine, open_engine

__all__ = ["ENGINES", "Engine", "Graph", "Port", "check_engine", "open_engine", "read_graph"]
