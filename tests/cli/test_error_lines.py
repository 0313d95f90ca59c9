"""Every error is a line of at most 300 letters that a terminal shows and does not obey."""

import pytest

from netwarp.cli.terminal import one_line_errors
from netwarp.errors import ConfigurationError, InputError

NAMES = [f"encoder.stage_{i}.block" for i in range(60)]


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (InputError(f"{'x' * 700}.mp4 cannot be read: give another file"), [".mp4", "give another file"]),
        (
            ConfigurationError(f"{{option}} names no layer: known: {', '.join(NAMES)}: name one", option="layers"),
            ["--layers", NAMES[0], NAMES[1], NAMES[-1], ": name one"],
        ),
        (InputError("short: \x1b[31mred\x1b]0;title\x07 \u202egpj\u2028.png"), [r"\x1b[31mred", r"\u202e"]),
        (InputError("\x1b" * 400 + ": rename it"), [r"\x1b\x1b", "rename it"]),
        (OSError(36, "File name too long", "x" * 700), ["netwarp: error: xxx", "(File name too long)"]),
        (RuntimeError("a" * 5000), ["unexpected RuntimeError", "(--debug shows where)"]),
        (KeyboardInterrupt("stopped " + "b" * 400 + ": goes on"), ["stopped", "goes on"]),
        (ValueError("two\nlines\n\n" + "of text " * 90), ["two lines of"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_line_of_300_letters(error: BaseException, kept: list[str], capsys: pytest.CaptureFixture[str]):
    def work() -> None:
        raise error

    status = one_line_errors(work, debug=False)
    line = capsys.readouterr().err
    assert status in (2, 130)
    assert line.endswith("\n")
    line = line[:-1]
    assert line.startswith("netwarp: error: ")
    assert len(line) <= 300
    assert line.isprintable()
    assert [text for text in kept if text not in line] == []
