"""``torch.ops.netwarp``: what PyTorch's compiler, exporter and autograd see of the warp."""

import pytest
import torch

import netwarp.ops.kernels  # noqa: F401 - registers the operators
from netwarp.model import NetWarp
from netwarp.ops import warp, warp_combine
from ops.test_warp_combine import arguments

WARP, COMBINE = torch.ops.netwarp.warp.default, torch.ops.netwarp.warp_combine.default
GRADIENTS = torch.ops.netwarp.warp_combine_gradients.default


def leaves(*tensors):
    return tuple(t if t is None else t.detach().requires_grad_() for t in tensors)


@pytest.mark.parametrize(
    ("layout", "how", "gated"), [("contiguous", "bilinear", False), ("channels-last", "bicubic", True)]
)
def test_pytorchs_own_check_of_operators(layout, how, gated):
    current, previous, *rest = arguments(gate=gated, layout=layout)
    torch.library.opcheck(COMBINE, (*leaves(current, previous, *rest), how))
    torch.library.opcheck(COMBINE, (current, previous, *leaves(*rest), how))
    torch.library.opcheck(WARP, (*leaves(previous, rest[0]), how))
    needed = [True, True, True, True, True, gated]
    torch.library.opcheck(GRADIENTS, (torch.randn_like(current), current, previous, *rest, needed, how))


def nodes(graph, target):
    return [node for node in graph.nodes if node.target is target]


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_it_is_one_node_with_the_same_result_and_gradients(backend):
    graphs = []

    def noting(module, example):
        graphs.append(module.graph)
        return torch._dynamo.lookup_backend(backend)(module, example)

    def work(*args):
        return warp_combine(*args).relu()

    args = leaves(*arguments())
    torch._dynamo.reset()
    compiled = torch.compile(work, backend=noting, fullgraph=True)(*args)
    plain = work(*args)
    assert torch.equal(compiled, plain)
    assert [len(nodes(graph, COMBINE)) + len(nodes(graph, torch.ops.netwarp.warp_combine)) for graph in graphs] == [1]
    for ours, theirs in zip(
        torch.autograd.grad(compiled.sum(), args), torch.autograd.grad(plain.sum(), args), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_exported_it_is_one_node_for_any_size():
    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.netwarp = NetWarp(4, start=(0.5, 0.5))

        def forward(self, current, previous, flow):
            return self.netwarp(current, previous, flow) + warp(previous, flow)

    sizes = {2: torch.export.Dim("height", min=2), 3: torch.export.Dim("width", min=2)}
    program = torch.export.export(Both(), tuple(arguments(1, 4)[:3]), dynamic_shapes=(sizes, sizes, sizes))
    assert len(nodes(program.graph, COMBINE)) == len(nodes(program.graph, WARP)) == 1
    other = arguments(1, 4, 9, 6)[:3]
    assert torch.equal(program.module()(*other), Both()(*other))


def test_gradients_do_not_change_the_result():
    args = arguments()
    with torch.no_grad():
        plain = warp_combine(*args)
    with torch.inference_mode():
        inferred = warp_combine(*args)
    assert torch.equal(warp_combine(*leaves(*args)), plain)
    assert torch.equal(inferred, plain)


def test_second_derivatives_are_refused_instead_of_wrong():
    args = leaves(*arguments())
    (first,) = torch.autograd.grad(warp_combine(*args).square().sum(), args[1], create_graph=True)
    with pytest.raises(RuntimeError, match="warp_combine_gradients"):
        first.sum().backward()
