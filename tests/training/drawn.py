"""Networks drawn at random: modules frozen and trained, and all that people do between modules."""

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

CHANNELS = 4


class Two(nn.Module):
    """Returns containers, and one tensor in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> dict[str, object]:
        y = self.conv(x)
        return {"first": y, "rest": (y.sin(), [y], None, 3)}


class Within(nn.Module):
    """Changes its input in place, deep inside."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


MODULES = {
    "conv": lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
    "block": lambda: nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1), nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True)),
    "norm": lambda: nn.BatchNorm2d(CHANNELS),
    "relu": lambda: nn.ReLU(inplace=True),
    "tanh": nn.Tanh,
    "identity": nn.Identity,
    "pool": lambda: nn.AvgPool2d(3, stride=1, padding=1),
    "drop": nn.Dropout,
    "two": Two,
    "within": Within,
}
FUNCTIONS = {
    "add": lambda a, b: a + b,
    "add in place": lambda a, b: a.add_(0.5 * b),
    "add to a view": lambda a, b: (a[:, :2].add_(b[:, 2:]), a)[1],
    "view": lambda a, b: a[:, [3, 2, 1, 0]],
    "flip a view": lambda a, b: a.narrow(1, 0, CHANNELS),
    "join": lambda a, b: torch.cat([a[:, :2], b[:, :2]], 1),
    "read": lambda a, b: a * float(b.detach().abs().mean()),
    "branch": lambda a, b: a if b.detach().sum() > 0 else -a,
    "set": lambda a, b: a.index_copy(1, torch.tensor([0]), b[:, :1]),
    "norm of input": lambda a, b: (a - a.mean()) / (a.std() + 1),
    "data": lambda a, b: a + b.data,
    "again": lambda a, b: a.detach(),
    "drop": lambda a, b: nn.functional.dropout(a, 0.5),
}

places = st.integers(0, 20)
steps = st.one_of(
    st.tuples(st.sampled_from(sorted(MODULES)), places, st.sampled_from(["frozen"] * 6 + ["trained"])),
    st.tuples(st.sampled_from(sorted(FUNCTIONS)), places, places),
    st.tuples(st.just("repeat"), places, places),  # a module that was called before
)
programs = st.lists(steps, min_size=2, max_size=12)


class Drawn(nn.Module):
    """Does the steps of a program, each with values that came before; its head is trained."""

    def __init__(self, program: list[tuple]) -> None:
        super().__init__()
        self.program = program
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1).requires_grad_(False)
        self.parts = nn.ModuleList()
        self.does: list[int | str] = []
        for kind, _, third in program:
            if kind in MODULES and third in ("frozen", "trained"):
                self.does.append(len(self.parts))
                self.parts.append(MODULES[kind]().requires_grad_(third == "trained"))
            elif kind == "repeat" and len(self.parts):
                self.does.append(third % len(self.parts))
            else:
                self.does.append(kind)
        self.head = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        values = [self.stem(x)]
        for (_, place, third), does in zip(self.program, self.does, strict=True):
            a = values[-1 - place % len(values)]
            if isinstance(does, int):
                a = self.parts[does](a)
                values.append(a["rest"][0] + a["first"] if isinstance(a, dict) else a)
            elif does in FUNCTIONS:
                b = values[-1 - third % len(values)]
                values.append(FUNCTIONS[does](a, b))
            del values[:-3]
            a = b = None  # nothing lives longer than it must
        return self.head(sum(values))
