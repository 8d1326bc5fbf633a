"""The graph of a walk: its nodes and edges are the walk's, and no name breaks out of its label."""

from __future__ import annotations

import html
import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from made_up import way

from qtrace.model import Direction
from qtrace.report.formats.walk_dot import write
from qtrace.report.walked import walked_path
from qtrace.store.index import Index

STRING = r'"(?:[^"\\\n]|\\.)*"'
NODE = re.compile(rf'    s(\d+) \[(?:style="rounded,bold", )?label=({STRING})\];')
EDGE = re.compile(rf"    s(\d+) -> s(\d+)(?: \[style=dashed, label=({STRING})\])?;")


def read(graph: str) -> tuple[list[list[str]], list[tuple[int, int]]]:
    """The labels' lines of the nodes and the edges; nothing else may stand in the graph."""
    head, title, *lines, end, rest = graph.split("\n")
    assert (head, end, rest) == ("digraph walk {", "}", "")
    assert re.fullmatch(rf"    label={STRING}; labelloc=t; node \[shape=box\];", title)
    nodes, edges = [], []
    for line in lines:
        if node := NODE.fullmatch(line):
            assert int(node[1]) == len(nodes)
            words = re.split(r"(?<!\\)(?:\\\\)*\\n", node[2][1:-1])
            nodes.append([html.unescape(re.sub(r"\\(.)", r"\1", word)) for word in words])
        else:
            edge = EDGE.fullmatch(line)
            assert edge, line
            edges.append((int(edge[1]), int(edge[2])))
    return nodes, edges


def test_nodes_are_the_steps_and_edges_join_them_in_order(index: Index) -> None:
    path = way("e1000", "tap", "qemu", Direction.TX)
    graph = write(walked_path(path, index))
    nodes, edges = read(graph)
    assert edges == [(number, number + 1) for number in range(len(path.steps) - 1)]
    for step, words in zip(path.steps, nodes, strict=True):
        stage = [step.stage.value] if step.stage else []
        assert words == [*stage, step.function, f"{step.file}:{step.line}"]
    through_pointers = [step for step in path.steps[1:] if step.call and step.call.kind != "direct"]
    assert graph.count("style=dashed") == len(through_pointers) > 0


@given(name=st.text(st.characters(blacklist_categories=("Cs",)), max_size=12))
def test_any_name_stays_in_its_label(index: Index, name: str) -> None:
    path = way("e1000", "tap", "qemu", Direction.TX)
    hostile = replace(path.steps[0], function=f"<{name}>")
    nodes, edges = read(write(walked_path(replace(path, steps=(hostile, *path.steps[1:])), index)))
    assert len(nodes) == len(path.steps) and len(edges) == len(path.steps) - 1
    if name.isprintable() and not {"\\", "&"} & set(name):
        assert f"<{name}>" in nodes[0]
