"""Edits of an institution's rules, the same for the command line and the web: add, replace, move and remove one rule.

Each takes the rules as they are and gives what they shall be; None is no rules at all. One rule is edited at a time, so
that nobody's rule vanishes because somebody else had an older list before them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import ValidationError

from pipeline.errors import ConfigurationError
from pipeline.rules import Rule
from pipeline.site_values import RulesValue, explain

Edit = Callable[[RulesValue | None], RulesValue | None]


def rule_of(entries: Mapping[str, object]) -> Rule:
    """The rule of these entries.

    Raises:
        ConfigurationError: It cannot be meant; the message names the entry and the fix.
    """
    try:
        return Rule.model_validate(entries)
    except ValidationError as error:
        raise ConfigurationError(f"rule {entries.get('name', '')!r}: {explain(error)}") from error


def added(rule: Rule, *, position: int | None = None) -> Edit:
    """The edit that adds a rule, at a position that counts from 1, or as the last."""

    def edit(before: RulesValue | None) -> RulesValue:
        present = _rules(before)
        if any(each.name == rule.name for each in present):
            raise ConfigurationError(f"there is a rule {rule.name!r} already; change it, or choose another name")
        return _inserted(present, rule, len(present) + 1 if position is None else position)

    return edit


def changed(name: str, change: Callable[[Rule], Rule]) -> Edit:
    """The edit that puts what `change` makes of a rule in its place."""

    def edit(before: RulesValue | None) -> RulesValue:
        _find(before, name)
        return RulesValue(rules=tuple(change(rule) if rule.name == name else rule for rule in _rules(before)))

    return edit


def moved(name: str, position: int) -> Edit:
    """The edit that moves a rule to a position, which counts from 1."""

    def edit(before: RulesValue | None) -> RulesValue:
        rule = _find(before, name)
        return _inserted(tuple(each for each in _rules(before) if each is not rule), rule, position)

    return edit


def removed(name: str) -> Edit:
    """The edit that removes a rule."""

    def edit(before: RulesValue | None) -> RulesValue | None:
        rule = _find(before, name)
        left = tuple(each for each in _rules(before) if each is not rule)
        return RulesValue(rules=left) if left else None

    return edit


def _rules(value: RulesValue | None) -> tuple[Rule, ...]:
    return value.rules if value else ()


def _find(value: RulesValue | None, name: str) -> Rule:
    for rule in _rules(value):
        if rule.name == name:
            return rule
    raise ConfigurationError(f"there is no rule {name!r}; `bonecraft rules list` shows what there is")


def _inserted(rules: tuple[Rule, ...], rule: Rule, position: int) -> RulesValue:
    if not 1 <= position <= len(rules) + 1:
        raise ConfigurationError(f"there is no position {position}: say one from 1 to {len(rules) + 1}")
    return RulesValue(rules=(*rules[: position - 1], rule, *rules[position - 1 :]))
