"""Generated pages are what their scripts give now: `make docs` writes them."""

from __future__ import annotations

import pytest
from write import Generated, generated


@pytest.mark.parametrize("one", generated(), ids=lambda one: one.name)
def test_the_page_is_as_generated(one: Generated) -> None:
    assert one.page.read_text() == one.text(), "run `make docs`"
