"""The `funcnn` command: called here or in another process, and what it says."""

import hashlib
import json
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from funcnn.cli import main

# SIGINT may be ignored where the tests run (behind a `&`, say), and a child inherits that.
HEARS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"

FUNCNN = [sys.executable, "-c", HEARS_CTRL_C + "from funcnn.cli import main; main()"]


def funcnn(*arguments, code=0):
    """What the command printed, in this process."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def parse(result):
    """The JSON on stdout, strictly, with nothing on stderr."""
    assert result.stderr == ""
    return json.loads(result.stdout, parse_constant=pytest.fail)


def expect_one_line(result, said):
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code not in (0, None)
    assert result.stdout == ""
    assert result.stderr.endswith("\n")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    for words in said:
        assert words in line


def tree_digest():
    """Every path below this folder, with the digest of its content; but for copies of CSV files."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(Path().rglob("*"))
        if not path.name.endswith(".funcnn.npy")
    }


def one_error(result):
    """The one line that was said, which is the error."""
    (line,) = result.output.splitlines()
    assert line.startswith("Error: ")
    return line


def command_of(words):
    """The click command that the words name, its name, and the rest of the words."""
    command, name = main, ""
    while words and words[0] in getattr(command, "commands", {}):
        command, name, words = command.commands[words[0]], f"{name} {words[0]}".strip(), words[1:]
    return command, name, list(words)


def context_of(words):
    """What a command of these words would be run with. Raises as click does, for a wrong option.

    click keeps the help option that a command has in its first context: so this is one in main's,
    as when the command is run, or `-h` would be unknown from then on.
    """
    command, name, options = command_of(words)
    assert command is not main, words
    outer = click.Context(main, **main.context_settings)
    return command.make_context(name, options, parent=outer)


def names_of_commands(group, path=("funcnn",)):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from names_of_commands(command, (*path, name))
        else:
            yield " ".join((*path, name))
