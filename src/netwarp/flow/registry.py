"""Flow by name: the text that names an estimator, and where to add one."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable
from typing import Final, Literal

from netwarp.errors import ConfigurationError, InputError, unknown_name
from netwarp.flow.estimator import DISFlow, FlowEstimator, ZeroFlow
from netwarp.flow.lucas_kanade import LucasKanadeFlow
from netwarp.flow.precomputed import PrecomputedFlow
from netwarp.flow.raft import RAFTFlow
from netwarp.imports import is_own, own_part

FLOWS: dict[str, Callable[..., FlowEstimator]] = {
    "dis": DISFlow,
    "raft": RAFTFlow,
    "lk": LucasKanadeFlow,
    "zero": ZeroFlow,
    "precomputed": PrecomputedFlow,
}
"""Every flow by its name. A new one is a class (see :class:`FlowEstimator`) and a line here: what follows the colon
in its spec is its first argument, ``@`` its ``scale``, ``,key=value`` its other arguments, whole numbers."""

TRUE_FLOW: Final = "true"
"""Names the true flow, which a clip of a data set (rendered) comes with: the upper bound of every estimate."""

FlowSource = FlowEstimator | Literal["true"]
"""Where a model's flow comes from: an estimator, or the clips themselves."""


def make_flow(spec: str | FlowEstimator) -> FlowEstimator:
    """Build the flow estimator that a text names.

    The text is ``NAME[:WHAT][@FRACTION][,OPTION=NUMBER]…``:

    ======================================  ==============================================================
    ``dis``, ``dis:light``                  DIS, the default; or preset ``ultrafast``, ``fast``, ``medium``
    ``dis:authors``                         DIS as the paper's authors ran it: coarse, an eighth of the size at 640
    ``dis:accurate``                        slow: both ways, filled where they disagree, and refined
    ``dis:fast@0.5``                        estimated at half the frame's width and height
    ``raft``, ``raft:large``, ``raft:small``  RAFT with torchvision's weights (downloaded once)
    ``raft:FILE``, ``raft:small,updates=20``  RAFT with weights from a file; with another number of updates
    ``precomputed:FOLDER,first=1``          ``.flo`` files by frame number; the first frame's is 1
    ``lk``                                  Lucas–Kanade, in PyTorch on every device: what goes into an exported graph
    ``zero``                                no motion
    ``package.module:name``                 your own: a class or function that makes an estimator
    ======================================  ==============================================================

    Where clips are read that come with flow (rendered ones), ``true`` names theirs: no estimator, see
    :func:`flow_source`.

    Args:
        spec: Such a text; or an estimator, which is returned as it is.

    Returns:
        The estimator.

    Raises:
        ConfigurationError: A name, option or value that does not exist, or something missing.
        InputError: The folder of precomputed flow cannot be used, or the text is ``true``.
        WeightsError: RAFT's weights cannot be used.

    >>> make_flow("dis:fast@0.5")
    DISFlow('fast', scale=0.5)
    """
    if not isinstance(spec, str):
        if not callable(spec):
            raise ConfigurationError(f"a flow is a text such as 'dis', or something to call, not {spec!r}")
        _check_takes_index(spec)
        return spec
    name, rest = re.fullmatch(r"([^:@,]*)(.*)", spec, re.DOTALL).groups()  # type: ignore[union-attr]
    if name == TRUE_FLOW:
        raise ConfigurationError(f"flow {spec!r}: write 'true' alone") if rest else only_in_clips()
    if is_own(spec, tuple(FLOWS)):
        return _own_flow(spec)
    if name not in FLOWS:
        raise unknown_name("flow", name, [*FLOWS, TRUE_FLOW])
    build = FLOWS[name]
    parameters = inspect.signature(build).parameters
    options: dict[str, float] = {}
    while match := re.fullmatch(r"(.*),([a-z_]+)=(-?\d+)", rest, re.DOTALL):
        rest, key = match[1], match[2]
        if key not in parameters:
            raise unknown_name(f"option of flow {name!r}", key, list(parameters)[1:])
        options[key] = int(match[3])
    # A flow without a scale may have an @ in what follows its name: folders do.
    if "scale" in parameters and (match := re.fullmatch(r"(.*)@([^@/\\]*)", rest, re.DOTALL)):
        rest = match[1]
        try:
            options["scale"] = float(match[2])
        except ValueError:
            raise ConfigurationError(f"the size fraction in flow {spec!r} is not a number: {match[2]!r}") from None
    if rest and not rest.startswith(":"):
        raise ConfigurationError(f"cannot read flow {spec!r}: the form is NAME[:WHAT][@FRACTION][,OPTION=NUMBER]")
    what = [rest[1:]] if len(rest) > 1 else []
    try:
        bound = inspect.signature(build).bind(*what, **options)
    except TypeError as error:
        raise ConfigurationError(f"flow {spec!r} does not fit what {name!r} takes: {error}") from None
    return build(*bound.args, **bound.kwargs)


def _own_flow(spec: str) -> FlowEstimator:
    flow: FlowEstimator = own_part(spec, "a flow estimator")
    if not callable(flow):
        raise ConfigurationError(f"{spec} makes {type(flow).__name__}, which is not called as flow(current, previous)")
    _check_takes_index(flow)
    if spec_of(flow) is None:
        with contextlib.suppress(AttributeError):  # a function can be named, a frozen class not
            flow.spec = spec  # type: ignore[attr-defined]
    return flow


def flow_source(spec: str | FlowEstimator) -> FlowSource:
    """Build the estimator that a text names, as :func:`make_flow`, but let ``"true"`` stand."""
    return TRUE_FLOW if isinstance(spec, str) and spec == TRUE_FLOW else make_flow(spec)


def spec_of(flow: FlowSource) -> str | None:
    """Return the text that names a flow; None where it has none."""
    spec = flow if isinstance(flow, str) else getattr(flow, "spec", None)
    return spec if isinstance(spec, str) else None


def only_in_clips() -> InputError:
    """Build the error for ``"true"`` where there are frames without a data set, for the caller to raise."""
    return InputError(
        "the true flow is known for clips of a data set that comes with it (streets): estimate it, with flow 'dis'"
    )


def _check_takes_index(estimator: FlowEstimator) -> None:
    try:
        signature = inspect.signature(estimator)
    except (TypeError, ValueError):  # some that are written in C do not tell
        return
    try:
        signature.bind(None, None, None)
    except TypeError:
        raise ConfigurationError(
            f"a flow is called as flow(current, previous, index), and this one takes {signature}: give it index=None"
        ) from None
