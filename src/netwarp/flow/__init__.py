"""Optical flow: the estimators, and the files that flow is kept in."""

from netwarp.flow.dis import DISFlow
from netwarp.flow.estimator import FlowEstimator
from netwarp.flow.flo import read_flo, write_flo
from netwarp.flow.ground_truth import TrueFlow
from netwarp.flow.precomputed import PrecomputedFlow
from netwarp.flow.raft import RAFTFlow
from netwarp.flow.registry import FLOWS, make_flow
from netwarp.flow.zero import ZeroFlow

__all__ = [
    "FLOWS",
    "DISFlow",
    "FlowEstimator",
    "PrecomputedFlow",
    "RAFTFlow",
    "TrueFlow",
    "ZeroFlow",
    "make_flow",
    "read_flo",
    "write_flo",
]
