"""Metrics of the user's own, made into lines of the table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.evaluation.scores import Figure, MetricSettings, MetricSpec
from netwarp.imports import is_import, own_part, takes
from netwarp.metrics import Metric

OwnMetric = str | Callable[..., Metric]
"""A class or function that makes a metric, or ``package.module:name`` of one."""

INPUTS = ("prediction", "previous", "target", "instances", "flow", "trust")


def own_metrics(metrics: Iterable[OwnMetric]) -> dict[str, MetricSpec]:
    """The metrics by their names: that of the class or function."""
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise ConfigurationError(f"metrics must be a list of classes or names, not {metrics!r}")
    specs: dict[str, MetricSpec] = {}
    for each in metrics:
        name = each.partition(":")[2] if isinstance(each, str) else getattr(each, "__name__", type(each).__name__)
        if name in specs:
            raise ConfigurationError(f"there are two metrics called {name}: give one another name")
        specs[name] = _spec(name, each)
    return specs


def _spec(name: str, metric: OwnMetric) -> MetricSpec:
    if not callable(metric) and not (isinstance(metric, str) and is_import(metric)):
        raise ConfigurationError(f"a metric is a class, a function or package.module:name, not {metric!r}")

    def make(settings: MetricSettings) -> Metric:
        if isinstance(metric, str):
            made = own_part(metric, "a metric", classes=settings.classes)
        else:
            made = metric(classes=settings.classes) if takes(metric, "classes") else metric()
        if not isinstance(made, Metric):
            raise ConfigurationError(f"{name} makes {type(made).__name__}, not a netwarp.metrics.Metric")
        return made

    inputs = tuple(inspect.signature(make(MetricSettings(1)).update).parameters)
    for each in inputs:
        if each not in INPUTS:
            raise unknown_name(f"input of a metric (parameter of {name}.update)", each, INPUTS)
    return MetricSpec(make, inputs, {name: Figure(name)})
