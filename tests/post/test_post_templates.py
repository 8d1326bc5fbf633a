"""The posts' texts: each in every language, no number typed in, the series' words, good typography."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import autocorrect_py as autocorrect
import pytest

from qtrace.lab.experiment.lab_script import load_script
from qtrace.post.compose import load_post, post_names
from qtrace.post.language import language_names, load_language

HERE = Path(__file__).parent.parent.parent / "qtrace" / "post"
TEMPLATES = sorted(HERE.glob("posts/**/*.j2"))
# A digit may stand in a name: e1000, vm1, IPv4, p99, VIRTIO_NET_F_HOST_TSO4.
_NAME = re.compile(r"[A-Za-z_]+[0-9]+[A-Za-z0-9_]*")


def prose(text: str) -> str:
    """A template without what is computed, and without its comments."""
    return re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", " ", text, flags=re.DOTALL)


def literal_numbers(text: str) -> list[str]:
    return re.findall(r"\d+(?:[.,]\d+)*", _NAME.sub(" ", prose(text)))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_template_has_a_number_of_its_own(template: Path) -> None:
    assert literal_numbers(template.read_text()) == []


@pytest.mark.parametrize("typed", ["it takes 12.3 µs", "慢了 3 倍", "`ping` loses 100% of them", "port 7001"])
def test_a_measurement_that_is_typed_in_is_found(typed: str) -> None:
    assert literal_numbers(f"e1000 and {{{{ fact('x.1') }}}} {typed}")


def test_every_post_is_written_in_every_language() -> None:
    assert post_names() == ["user", "tap", "socket", "virtio"]
    for name in post_names():
        kind = load_post(name)
        for language in language_names():
            assert (HERE / "posts" / name / f"{language}.md.j2").is_file()
            assert kind.title[language] and kind.description[language]
        assert re.fullmatch(r"[a-z0-9-]+", kind.slug)


def listed(name: str, language: str) -> list[str]:
    """The steps whose output a text shows, in its order."""
    text = (HERE / "posts" / name / f"{language}.md.j2").read_text()
    shown = re.findall(r"listing\(([^)]*)\)", text)
    return [step for call in shown for step in re.findall(r'"([\w-]+)"', call)]


@pytest.mark.parametrize("name", post_names())
def test_a_text_asks_for_what_its_script_has(name: str) -> None:
    """Without a lab: steps that are there, facts that they find, and the same commands in every language."""
    steps = {step.name: step for step in load_script(load_post(name).script).steps}
    assert listed(name, "zh") == listed(name, "en")
    assert set(listed(name, "en")) <= steps.keys()
    for language in language_names():
        text = (HERE / "posts" / name / f"{language}.md.j2").read_text()
        asked = re.findall(r'\b(?:fact|code|number)\("([\w-]+)\.([\w-]+)"\)', text)
        found = [(step, key) for step, key in asked if step in steps]
        assert found
        for step, key in found:
            assert key in {*steps[step].facts, "command"}, f"{step}.{key}"


@pytest.mark.parametrize("language", language_names())
def test_the_glossary_s_words_are_used(language: str) -> None:
    """What a reader of the series would stumble over stands in no text; what is explained occurs."""
    texts = [
        path.read_text()
        for path in TEMPLATES
        if f".{language}." in path.name or path.name.startswith(language)
    ]
    whole = prose("\n".join(texts))
    outside = re.sub(r"`[^`]*`", " ", whole)
    for term in load_language(language).glossary:
        assert term.term.lower() in whole.lower(), term.term
        for word in term.avoid:
            assert not re.search(rf"\b{re.escape(word)}\b" if word.isascii() else word, outside), word


def test_a_heading_is_of_the_second_level() -> None:
    """The site gives the first."""
    for template in TEMPLATES:
        assert not re.search(r"^# |^####", template.read_text(), re.MULTILINE)


def test_chinese_is_set_as_chinese() -> None:
    """A space between Han and Latin, full-width punctuation: by autocorrect, which finds nothing to mend."""
    for template in TEMPLATES:
        if "zh" in template.name:
            # What is computed is a word or a number in a sentence.
            text = template.read_text().replace("{{ why }}", "")
            text = re.sub(r"\{\{.*?\}\}", "abc", text, flags=re.DOTALL)
            text = re.sub(r"\{%.*?%\}", "", text, flags=re.DOTALL)
            assert autocorrect.format_for(text, "markdown") == text
    data = tomllib.loads((HERE / "languages" / "zh.toml").read_text())
    for item in data["glossary"]:
        assert autocorrect.format(item["meaning"]) == item["meaning"]
