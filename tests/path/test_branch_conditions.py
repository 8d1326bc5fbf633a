"""Conditions around a call, in C texts of our own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qtrace.path.branch_conditions import conditions_in


def of(text: str) -> dict[str, tuple[str, ...]]:
    """Name of what is called -> its conditions."""
    return {name: known for (_, name), known in conditions_in(text).items() if name}


def test_both_sides_of_an_if() -> None:
    found = of("void f(S *s)\n{\n  if (ready(&s->dev)) {\n    a(s);\n  } else {\n    b(s);\n  }\n  c();\n}\n")
    assert found["a"] == ("ready(dev)",) and found["b"] == ("not ready(dev)",)
    assert found["c"] == found["ready"] == ()


def test_else_if_and_no_braces() -> None:
    found = of("int f(void)\n{\n  if (x)\n    a();\n  else if (!y && z)\n    b();\n  else\n    c();\n}\n")
    assert found["a"] == ("x",)
    assert found["b"] == ("not x", "!y && z")
    assert found["c"] == ("not x", "not (!y && z)")


def test_what_follows_a_branch_that_does_something_and_returns() -> None:
    found = of("void f(void)\n{\n  if (msix) {\n    a();\n    return;\n  }\n  b();\n}\n")
    assert found["b"] == ("not msix",)


def test_a_mere_check_tells_nothing() -> None:
    text = "int f(void)\n{\n  if (bad) {\n    trace_bad();\n    return -1;\n  }\n  b();\n}"
    assert of(text)["b"] == ()


def test_cases_of_a_switch() -> None:
    text = (
        "void f(S *s, int addr)\n{\n  switch (addr) {\n  case A:\n  case B:\n    a();\n    break;\n"
        "  case C ... C + 3:\n    if (s->on) {\n      b();\n    }\n    break;\n"
        "  default:\n    c();\n  }\n  d();\n}\n"
    )
    found = of(text)
    assert found["a"] == ("addr is A or B",)
    assert found["b"] == ("addr == C ... C + 3", "on")
    assert found["c"] == ("addr is none of the others",)
    assert found["d"] == ()


def test_loops_comments_strings_and_macros() -> None:
    text = (
        'void f(void)\n{\n  /* if (no) { */\n#define X if (\n  say("} else {");\n'
        "  QTAILQ_FOREACH(nf, &nc->filters, next) {\n    if (nf->on)\n      a();\n  }\n"
        "  do {\n    b();\n  } while (more());\n  for (i = 0; i < n; i++)\n    c();\nout:\n  d();\n}\n"
    )
    found = of(text)
    assert found["a"] == ("on",)
    assert found["b"] == found["c"] == found["d"] == found["more"] == ()


def test_pointers_are_left_out_and_operators_kept() -> None:
    found = of("void f(void)\n{\n  if (s->core->mac[X] & Y && *p != -1 && ~q->r)\n    a();\n}\n")
    assert found["a"] == ("mac[X] & Y && p != -1 && ~r",)


def test_a_long_condition_is_cut() -> None:
    (condition,) = of(f"void f(void)\n{{\n  if ({' && '.join(['something'] * 20)})\n    a();\n}}\n")["a"]
    assert len(condition) <= 80 and condition.endswith("…")


@given(
    st.lists(st.sampled_from(["if", "(", ")", "{", "}", "else", "x", ";", "case", ":", "switch", "return"]))
)
def test_any_order_of_words_ends(words: list[str]) -> None:
    conditions_in(f"void f(void) {{ {' '.join(words)} }}")
