"""The documentation says what is true: settings, commands, files that it names."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import typer

from pipeline.cli import COMMANDS
from pipeline.dicom_write import codes as own_codes
from pipeline.site_file import SiteFile
from pipeline.stages.measure_definitions import DEFINITIONS
from tests.settings_page import PAGE, settings_page

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def each_page(find):
    """A test for each thing that `find` sees on a page."""
    seen = [(page, found) for page in PAGES for found in find(page.read_text())]
    return pytest.mark.parametrize(
        ("page", "found"), seen, ids=[f"{page.relative_to(ROOT)}: {found}" for page, found in seen]
    )


def links(text):
    return sorted(set(re.findall(r"\]\((?!https?:|#)([^)#]+)", text)))


def make_targets(text):
    lines = re.findall(r"^(?:.*&& )?(?:sudo )?make ((?:[a-z-]+ ?)+)", commands(text), re.MULTILINE)
    return sorted({target for line in lines for target in line.split()})


def commands(text):
    """What is in code, fenced or inline, each command on a line of its own."""
    fenced = [each.replace("\\\n", " ") for each in re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)]
    inline = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return "\n".join([*fenced, *(" ".join(each.split()) for each in inline)])


def bonecraft_commands(text):
    """`bonecraft NOUN VERB --options`, without values; `-o bonecraft` names the user."""
    lines = re.findall(r"(?<!-o )\bbonecraft ((?:[a-z]+\b ?)+[^#\n]*)", commands(text))
    return sorted({line.split("--config")[0].strip() for line in lines})


def test_the_page_of_settings_is_the_one_that_the_code_gives():
    assert PAGE.read_text() == settings_page(), "write it again: python -m tests.settings_page"


def test_every_setting_says_what_it_means():
    assert "|  |\n" not in settings_page()


@each_page(links)
def test_a_link_leads_somewhere(page, found):
    assert (page.parent / found).exists()


@each_page(make_targets)
def test_a_make_target_exists(page, found):
    assert re.search(rf"^{found}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@each_page(bonecraft_commands)
def test_a_command_and_its_options_exist(page, found):
    words = re.sub(r"\[[^\]]*\]", "", found).split()
    known = {name for parameter in command_of(words).params for name in (*parameter.opts, *parameter.secondary_opts)}
    for option in (word for word in words if word.startswith("--")):
        assert option.partition("=")[0] in known, f"bonecraft {words[0]} has no {option}"


@each_page(bonecraft_commands)
def test_a_command_says_what_it_cannot_do_without(page, found):
    """But for one that is only named, and one that is cut short with an ellipsis."""
    words = re.sub(r"\[[^\]]*\]", "", found).split()
    command = command_of(words)
    given = words[2 if command.name in words[1:2] else 1 :]
    options, arguments = told_apart(given, command)
    if "…" in given or not given:
        return
    wanted = [each for each in command.params if each.required]
    missing = [each.opts[0] for each in wanted if each.param_type_name == "option" and not options & set(each.opts)]
    assert not missing, f"bonecraft {found} lacks {missing}"
    needed = sum(each.param_type_name == "argument" for each in wanted)
    assert len(arguments) >= needed, f"bonecraft {found} lacks an argument"


def told_apart(words, command):
    """Options, without their values, and arguments."""
    flags = {name for each in command.params if getattr(each, "is_flag", False) for name in each.opts}
    flags |= {name for each in command.params for name in each.secondary_opts}
    options, arguments, left = set(), [], iter(words)
    for word in left:
        name, equals, _ = word.partition("=")
        if not name.startswith("--"):
            arguments.append(word)
            continue
        options.add(name)
        if not equals and name not in flags:
            next(left, "")
    return options, arguments


def command_of(words):
    """The command that `words` begin with; fails where there is no such command."""
    assert words[0] in COMMANDS, f"there is no `bonecraft {words[0]}`"
    module, _, attribute = COMMANDS[words[0]][0].partition(":")
    command = typer.main.get_command(getattr(import_module(module), attribute or "app"))
    if hasattr(command, "commands") and len(words) > 1 and not words[1].startswith("--"):
        verbs = words[1].split("|")
        assert set(verbs) <= set(command.commands), f"bonecraft {words[0]} has no {words[1]}"
        command = command.commands[verbs[0]]
    return command


def test_the_site_file_of_the_tour_is_one():
    (example,) = re.findall(
        r"```toml\n(\[\[institutions.*?)```", (ROOT / "docs/administrators.md").read_text(), re.DOTALL
    )
    assert SiteFile.model_validate(tomllib.loads(example)).institutions[0].slug == "demo"


def test_every_decision_is_in_the_index():
    pages = {page.name for page in (ROOT / "docs/adr").glob("0*.md")}
    assert pages == set(links((ROOT / "docs/adr/README.md").read_text()))


def test_every_code_of_our_own_scheme_is_documented():
    page = (ROOT / "docs" / "measurements.md").read_text()
    for definition in DEFINITIONS:
        assert f"| `{definition.code}` | {definition.name} | {definition.unit} |" in page
    singles = [code for code in vars(own_codes).values() if getattr(code, "scheme_designator", "") == own_codes.SCHEME]
    reasons = (*own_codes.UNMEASURED_CODES.values(), *own_codes.NOT_RECONSTRUCTED_CODES.values())
    for code in (*singles, *reasons):
        assert f"| `{code.value}` | {code.meaning} |" in page
    values = [definition.code for definition in DEFINITIONS]
    assert len(set(values)) == len(values)
    assert max(map(len, [*values, *(code.value for code in reasons)])) <= 16, "SH, PS3.5 6.2"
