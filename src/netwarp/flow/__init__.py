"""Optical flow: estimators and files."""

from netwarp.flow.estimator import DISFlow, FlowEstimator, ZeroFlow
from netwarp.flow.lucas_kanade import LucasKanadeFlow
from netwarp.flow.precomputed import PrecomputedFlow, read_flo, write_flo
from netwarp.flow.raft import RAFTFlow
from netwarp.flow.registry import FLOWS, TRUE_FLOW, FlowSource, flow_source, make_flow, spec_of

__all__ = [
    "FLOWS",
    "TRUE_FLOW",
    "DISFlow",
    "FlowEstimator",
    "FlowSource",
    "LucasKanadeFlow",
    "PrecomputedFlow",
    "RAFTFlow",
    "ZeroFlow",
    "flow_source",
    "make_flow",
    "read_flo",
    "spec_of",
    "write_flo",
]
