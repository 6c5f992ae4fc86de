"""What ``--help`` says: the same option has the same words in every command, and one thing has one name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

import click

from rlaif_fast.cli import cli

# (option, commands) whose words say something else there, because it does something else.
_OTHER = {
    "--template": {"export", "prompt add", "select", "serve"},
    "--chat": {"select"},
    "--shots": {"select"},
    "--fields": {"judge", "rank", "score", "eval"},
    "--limit": {"eval"},
    "--bundle": {"eval"},
    "--orders": {"judge", "rank"},
    "--exact": {"judge", "rank"},
    "--to": {"judge", "rank"},
    "--min-margin": {"judge", "rank"},
    "--only-consistent": {"judge", "rank"},
    "--mark": {"judge", "rank", "score"},
    "--max-delta": {"export", "prompt add", "tune"},
    "--window": {"judge", "serve"},
    "--revision": {"export", "prompt add", "push"},
    "--model": {"select", "prompt add", "template show", "template check"},
    "--on-error": {"prompt add"},
    "--output": {"export"},
    "--force": {"export", "prompt add"},
    "--profile": {"judge", "select"},
    "--verbose": {"export", "inspect", "serve"},
    "--json": {"inspect", "doctor", "cache list", "list", "prompt list"},
}


def _commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{name} ")


def _options() -> Iterator[tuple[str, str, str]]:
    """(command, option, its words)."""
    for path, command in _commands(cli):
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                yield path, max(parameter.opts, key=len), parameter.help or ""


def test_the_same_option_has_the_same_words() -> None:
    words: dict[str, dict[str, str]] = defaultdict(dict)
    for path, name, text in _options():
        if path not in _OTHER.get(name, ()):
            words[name][path] = text
    differing = {name: found for name, found in words.items() if len(set(found.values())) > 1}
    assert differing == {}
    known = {(name, path) for path, name, _ in _options()}
    assert [(name, path) for name, paths in _OTHER.items() for path in paths if (name, path) not in known] == []


def test_few_shot_examples_have_one_name() -> None:
    for path, command in _commands(cli):
        words = f"{command.help} {' '.join(text for at, _, text in _options() if at == path)}"
        assert not re.search(r"worked example|(?<!-)exemplar|(?<!-)\bshots\b(?! of)", words, re.IGNORECASE), path
