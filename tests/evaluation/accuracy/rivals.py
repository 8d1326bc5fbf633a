"""What other tools find of the calls that really happened: cscope, and clang with LLVM's call graph.

    python rivals.py     prints its section of docs/accuracy.md, from build/observed.json

All read the indexed files of the indexed tree, clang with the index's own flags, and are compared by
(caller's name, callee's name) only, whatever file the tool thinks they are in.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from observed import Observed

from qtrace.index.build import ensure_index
from qtrace.index.prepare import Prepared, prepare
from qtrace.index.tree import Tree, open_tree
from qtrace.progress import SILENT
from qtrace.store.index import FunctionRow, Index

Names = tuple[str, str]  # caller, callee
_HEADERS = ("include", "net", "hw/net", "hw/virtio", "hw/pci", "hw/core", "io", "util")
_NODE = re.compile(r"Call graph node for function: '([^']+)'")
_CALL = re.compile(r"calls function '([^']+)'")
_OUTSIDE = "calls external node"
_DEFINED = re.compile(r"define .*?@([\w.]+)\(")
_LOADED = re.compile(r"\s+(%\d+) = load (.+?\))\*, \2\*\* ")
_TAKEN = re.compile(r"(?<=\))\*(?: \w+)* @([\w.]+)")
_CALLED = re.compile(r"\bcall .*?(%\d+)\(")


@dataclass(frozen=True)
class Graph:
    """Who calls whom, by name. `anywhere`: those with a call that LLVM says may go anywhere outside."""

    calls: frozenset[Names]
    anywhere: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Typed:
    """Calls through a pointer, and what has its address taken, both with the function's type."""

    sites: list[tuple[str, str]]  # caller, type
    taken: dict[str, set[str]]  # type -> functions

    def read(self, module: str) -> None:
        """Take in one module. At -O0 a pointer is always loaded just before it is called."""
        caller, types = "", dict[str, str]()
        for line in module.splitlines():
            if defined := _DEFINED.match(line):
                caller, types = defined[1], {}
            elif loaded := _LOADED.match(line):
                types[loaded[1]] = loaded[2]
            elif " call " in line and (called := _CALLED.search(line)) and called[1] in types:
                self.sites.append((caller, types[called[1]]))
            for function in _TAKEN.finditer(line):
                self.taken.setdefault(_type_before(line, function.start()), set()).add(function[1])

    def calls(self) -> frozenset[Names]:
        """Every function of the pointer's type."""
        return frozenset((caller, name) for caller, kind in self.sites for name in self.taken.get(kind, ()))

    def mean(self, functions: Iterable[FunctionRow]) -> float:
        """Targets a call that has any, both in C files of the tree: headers come again in each module."""
        known = {row.name for row in functions if row.file.endswith(".c")}
        sizes = [len(self.taken.get(kind, set()) & known) for caller, kind in self.sites if caller in known]
        return mean(filter(None, sizes))


def _type_before(line: str, end: int) -> str:
    """The function type that ends at `end` with its `)`: back over its parameters, then its return type."""
    depth, at = 0, end
    while at > 0:
        at -= 1
        depth += {")": 1, "(": -1}.get(line[at], 0)
        if depth == 0:
            break
    start = at - 1  # before the blank that stands before the parameters
    while start > 0 and line[start - 1] not in " ,([{":
        start -= 1
    return line[start:end]


def qtrace_graph(index: Index) -> Graph:
    """The index's own edges."""
    functions = index.functions()
    return Graph(
        frozenset(
            (row.name, functions[edge.callee].name)
            for number, row in functions.items()
            for edge in index.callees(number)
        )
    )


def cscope_graph(tree: Tree, callers: Iterable[str]) -> Graph:
    """Its answers to "functions called by this function", asked of one process, over C files and headers."""
    headers = {path for folder in _HEADERS for path in (tree.root / folder).rglob("*.h")}
    names = [*tree.files, *sorted(str(path.relative_to(tree.root)) for path in headers)]
    wanted = sorted(set(callers))
    with tempfile.TemporaryDirectory() as folder:
        listed, made = Path(folder, "files"), Path(folder, "out")
        listed.write_text("\n".join(names) + "\n")
        base = ["cscope", "-k", "-f", str(made)]  # -k: no system headers
        _run([*base, "-b", "-i", str(listed)], cwd=tree.root)
        said = _run([*base, "-d", "-l"], cwd=tree.root, stdin="".join(f"2{name}\n" for name in wanted))
    found: set[Names] = set()
    asked = iter(wanted)
    caller = ""
    for line in said.splitlines():
        # An answer begins with the prompt and how much there is; then file, called function, line, text.
        if line.startswith(">> "):
            caller = next(asked, "")
        elif len(words := line.split()) >= 3 and caller:
            found.add((caller, words[1]))
    return Graph(frozenset(found))


def llvm_graph(tree: Tree, prepared: Prepared) -> tuple[Graph, Typed, list[str]]:
    """LLVM's call graph of each file that clang compiles, what types add, and the files it does not."""
    calls: set[Names] = set()
    anywhere: set[str] = set()
    typed = Typed([], {})
    failed = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {
            name: pool.submit(_compiled, tree.root, name, prepared, Path(folder, f"{number}.ll"))
            for number, name in enumerate(tree.files)
        }
        for name, job in jobs.items():
            module = job.result()
            if module is None:
                failed.append(name)
                continue
            typed.read(module.read_text(errors="replace"))
            caller = ""
            for line in _run(["opt", "-disable-output", "-passes=print-callgraph", str(module)]).splitlines():
                if "Call graph node" in line:
                    node = _NODE.match(line)
                    caller = node[1] if node else ""  # the node without a function stands for the outside
                elif caller and (call := _CALL.search(line)):
                    calls.add((caller, call[1]))
                elif caller and _OUTSIDE in line:
                    anywhere.add(caller)
    return Graph(frozenset(calls), frozenset(anywhere)), typed, failed


def _compiled(root: Path, file: str, prepared: Prepared, out: Path) -> Path | None:
    """With the flags that the index tries, in its order; inline functions that nobody uses, too."""
    for name in prepared.attempts[file]:
        words = _without_resources(prepared.flags[name])
        argv = ["clang", "-O0", "-femit-all-decls", "-emit-llvm", "-S", *words]
        argv += [str(root / file), "-o", str(out)]
        if subprocess.run(argv, capture_output=True).returncode == 0:
            return out
    return None


def _without_resources(flags: Sequence[str]) -> list[str]:
    """The program has its own built-in headers; libclang was told another's."""
    words = list(flags)
    at = words.index("-resource-dir")
    return words[:at] + words[at + 2 :]


def section(index: Index, observed: Observed) -> str:
    """The part of docs/accuracy.md."""
    tree = open_tree(Path(index.meta["root"]))
    pairs = sorted({(caller[0], callee[0]) for caller, callee in observed.calls()})
    llvm, typed, failed = llvm_graph(tree, prepare(tree, None, SILENT))
    cscope = cscope_graph(tree, (caller for caller, _ in pairs))
    ours = qtrace_graph(index)
    # A compiler knows which calls name their function; whatever else happened went through a pointer.
    direct = [pair for pair in pairs if pair in llvm.calls]
    pointer = [pair for pair in pairs if pair not in llvm.calls]
    outside = sum(caller in llvm.anywhere for caller, _ in pointer)
    many = typed.mean(index.functions().values())
    lines = [
        "## Beside other tools",
        "",
        f"The {len(pairs)} different pairs of names among the observed calls, and who has them as "
        f"(caller, callee) for the same {len(tree.files)} files. Direct is what the compiler calls by name.",
        "",
        f"| | direct ({len(direct)}) | through a pointer ({len(pointer)}) | all ({len(pairs)}) |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, graph in (
        ("qtrace", ours),
        (version("cscope"), cscope),
        (f"{version('clang')}, `opt -passes=print-callgraph`", llvm),
        (f"{version('clang')}, every function of the pointer's type", Graph(llvm.calls | typed.calls())),
    ):
        cells = [_share(part, graph) for part in (direct, pointer, pairs)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        "cscope is asked for the functions that each caller calls (`cscope -L -2`), with the tree's headers "
        "in its cross reference. A name of a pointer field that is also a function's counts as found.",
        "",
        "Each file is compiled by itself, `-O0 -femit-all-decls`, with the index's flags. "
        "For a call through a pointer LLVM's graph has one edge, to its external node: anything that is "
        f"exported or has its address taken. {outside} of the {len(pointer)} pairs through a pointer start "
        "in a function with such an edge; it names no callee, so none is counted. "
        "The last row adds what no such program prints but its code would allow: each function that has its "
        f"address taken in any of the files and is of the pointer's type, {many:.1f} targets a call "
        f"on average where qtrace has {_mean(index):.1f}.",
    ]
    if failed:
        lines += ["", f"Not compiled by clang: {', '.join(failed)}."]
    unfound = [pair for pair in pairs if pair not in ours.calls]
    others = [f"`{a}` to `{b}`" for a, b in unfound if (a, b) in cscope.calls | llvm.calls]
    lines += ["", "Found by another but not by qtrace: " + (", ".join(others) or "nothing") + "."]
    return "\n".join(lines) + "\n"


def _mean(index: Index) -> float:
    """qtrace's targets a call, counted as `Typed.mean` does."""
    known = {number: row for number, row in index.functions().items() if row.file.endswith(".c")}
    sites = Counter(
        (edge.file, edge.line, number)
        for number in known
        for edge in index.callees(number)
        if edge.kind != "direct" and edge.callee in known and edge.rule not in ("timer", "bottom half")
    )
    return mean(sites.values())


def _share(part: Sequence[Names], graph: Graph) -> str:
    found = sum(pair in graph.calls for pair in part)
    return f"{found} ({found / len(part):.1%})" if part else "0"


def version(program: str) -> str:
    """What a program says it is, as far as its number."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    number = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
    return f"{program} {number[0] if number else ''}".strip()


def _run(argv: Sequence[str], cwd: Path | None = None, stdin: str = "") -> str:
    """stdout and stderr: `opt` prints its graph to the latter."""
    said = subprocess.run(
        argv, cwd=cwd, input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
    )
    return said.stdout.decode(errors="replace")


if __name__ == "__main__":
    print(section(ensure_index()[0], Observed.load()), end="")
