"""Names and places as links of one page. All of what comes from an index is data: it is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from markupsafe import Markup, escape

from qtrace.atlas.permalinks import (
    backend_page,
    callback_page,
    file_page,
    fragment,
    nic_page,
    relative,
    source_page,
)
from qtrace.atlas.release_facts import Release
from qtrace.report.text import clean

__all__ = ["Linker"]

_LINK = Markup('<a href="{}">{}</a>')
_CODE = Markup("<code>{}</code>")
_CODE_LINK = Markup('<a href="{}"><code>{}</code></a>')
_PLACE = Markup('<span class="at">{}</span>')
_AWAY = Markup(' <a href="{}" aria-label="{}, public">↗</a>')
_OWN = Markup('<a class="at" href="{}">{}</a>')
_PUBLIC = Markup('<a href="{}">{}</a>')  # its style goes by its address: there are thousands


class Linker:
    """Makes the links of `page`, a page of `release`."""

    def __init__(self, release: Release, page: str) -> None:
        self._release = release
        self._page = page

    def to(self, page: str, text: object) -> Markup:
        """A link to a page of this release."""
        return _LINK.format(relative(self._page, page), clean(text))

    def href(self, page: str) -> str:
        """Its address alone."""
        return relative(self._page, page)

    def function(self, name: str, file: str) -> Markup:
        """A function: a link where it has an entry."""
        if (file, name) in self._release.functions:
            return _CODE_LINK.format(relative(self._page, f"{file_page(file)}#{fragment(name)}"), clean(name))
        return _CODE.format(clean(name))

    def called(self, name: str, file: str) -> Markup:
        """A function in a list of functions, whose style is the list's."""
        if (file, name) in self._release.functions:
            return self.to(f"{file_page(file)}#{fragment(name)}", name)
        return escape(clean(name))

    def place(self, file: str, line: int) -> Markup:
        """`net/tap.c:123` of the indexed tree, as a link to the public repository where that has it; to the
        page with its lines where there is one."""
        url = self._release.places.url(file, line)
        if source := self._release.sources.get(file):
            known = 0 < line <= source.lines
            page = source_page(file, source.part_of(line) if known else 1)
            here = relative(self._page, f"{page}#L{line}" if known else page)
            own = _OWN.format(here, self.at(file, line))
            return own + (_AWAY.format(url, self.at(file, line)) if url else "")
        return _PUBLIC.format(url, self.at(file, line)) if url else _PLACE.format(self.at(file, line))

    @staticmethod
    def at(file: str, line: int) -> str:
        """The same as text: most bytes of a page with thousands of places would be addresses."""
        return clean(f"{file}:{line}" if line else file)

    def file(self, file: str) -> Markup:
        """A source file: a link to its functions where it has a page."""
        if file in self._release.files:
            return _CODE_LINK.format(relative(self._page, file_page(file)), clean(file))
        return _CODE.format(clean(file))

    def nic(self, name: str) -> Markup:
        """A NIC."""
        return self.to(nic_page(name), name)

    def backend(self, name: str) -> Markup:
        """A back end, by the name that `walk` takes: `tap,vhost=on` links to tap."""
        known = name.partition(",")[0]
        known = {"socket-stream": "socket"}.get(known, known)
        return _LINK.format(relative(self._page, backend_page(known)), clean(name))

    def field(self, owner: str) -> Markup:
        """`Struct.field`: a link for a callback of NetClientInfo."""
        struct, _, name = owner.rpartition(".")
        if struct == "NetClientInfo":
            return _CODE_LINK.format(relative(self._page, callback_page(name)), clean(owner))
        return _CODE.format(clean(owner))

    def several(self, links: Iterable[Markup]) -> Markup:
        """Links in a row."""
        return Markup(", ").join(links)

    def names(self, text: str, known: Mapping[str, str]) -> Markup:
        """A text in which `code` is code, and a link where it is the name of a known page."""
        found = Markup("")
        for number, piece in enumerate(clean(text).split("`")):
            if number % 2 == 0:
                found += escape(piece)
            elif piece in known:
                found += _CODE_LINK.format(relative(self._page, known[piece]), piece)
            else:
                found += _CODE.format(piece)
        return found
