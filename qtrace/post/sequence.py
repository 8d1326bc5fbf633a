"""A frame's way as a sequence: guest, NIC, net core, back end, host, with the times between the stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qtrace.model import Direction, Path, Role, Step
from qtrace.post.article import Diagram, Picture
from qtrace.post.language import Language
from qtrace.post.svg import Canvas, width_of

__all__ = ["Message", "draw_sequence", "messages_of"]

_ACTORS = ("guest", "nic", "core", "backend", "host")
_ENDS: dict[Direction, dict[Role, tuple[str, str]]] = {
    Direction.TX: {
        Role.KICK: ("guest", "nic"),
        Role.DEQUEUE: ("nic", "nic"),
        Role.SEND: ("nic", "core"),
        Role.DELIVER: ("core", "backend"),
        Role.HOST: ("backend", "host"),
        Role.COMPLETE: ("nic", "nic"),
        Role.INTERRUPT: ("nic", "guest"),
    },
    Direction.RX: {
        Role.HOST: ("host", "backend"),
        Role.SEND: ("backend", "core"),
        Role.DELIVER: ("core", "nic"),
        Role.ENQUEUE: ("nic", "nic"),
        Role.INTERRUPT: ("nic", "guest"),
    },
}
_WIDTH, _HEIGHT = 224.0, 46.0


@dataclass(frozen=True, slots=True)
class Message:
    """One arrow; `time` is the median from the stage before, empty where it was not measured."""

    first: str
    second: str
    function: str
    time: str


def messages_of(path: Path, time_of: Callable[[Step], str]) -> list[Message]:
    """An arrow for each stage of the path; `time_of` gives the time to be written on it, or nothing."""
    found = []
    for step in path.stages:
        ends = _ENDS[path.direction].get(step.stage) if step.stage else None
        if ends:
            found.append(Message(*ends, step.function, time_of(step)))
    return found


def draw_sequence(
    name: str, words: str, messages: Sequence[Message], language: Language, nic: str
) -> Diagram:
    """The messages as Mermaid's sequence diagram and as a drawing."""
    labels = {actor: language.word(actor) for actor in _ACTORS} | {"nic": nic}
    lines = ["sequenceDiagram"]
    lines += [f"    participant {actor} as {labels[actor]}" for actor in _ACTORS]
    for message in messages:
        text = f"{message.function}" + (f" ({message.time})" if message.time else "")
        lines.append(f"    {message.first}->>{message.second}: {text}")
    return Diagram("\n".join(lines) + "\n", Picture(name, words, _draw(name, words, messages, labels)))


def _draw(name: str, words: str, messages: Sequence[Message], labels: dict[str, str]) -> str:
    canvas = Canvas(name, words)
    at = {actor: 70 + _WIDTH * number for number, actor in enumerate(_ACTORS)}
    below = 62 + _HEIGHT * len(messages) + 10
    for actor, x in at.items():
        canvas.line([(x, 42), (x, below)], dashed=True)
        width = max(96.0, width_of(labels[actor], 12.5) + 24)
        canvas.box(x - width / 2, 10, width, 32, [labels[actor]], kind="accent")
    for number, message in enumerate(messages):
        y = 74 + _HEIGHT * number
        first, second = at[message.first], at[message.second]
        if message.first == message.second:
            canvas.line(
                [(first, y - 6), (first + 30, y - 6), (first + 30, y + 12), (first + 3, y + 12)], arrow=True
            )
            canvas.text(first + 38, y, message.function, size=11.5)
            canvas.text(first + 38, y + 15, message.time, size=11, soft=True)
        else:
            canvas.line([(first, y), (second - 2 if second > first else second + 2, y)], arrow=True)
            middle = (first + second) / 2
            canvas.text(middle, y - 6, message.function, anchor="middle", size=11.5)
            canvas.text(middle, y + 14, message.time, anchor="middle", size=11, soft=True)
    return canvas.svg()
