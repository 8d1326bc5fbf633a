"""Every error that a user can cause. `qtrace.cli` turns them into one message and exit status 1.

A message names the fault and its place; `hint` is the next step. Libraries raise, only the command line
prints.
"""

__all__ = [
    "BinaryError",
    "CellError",
    "LabError",
    "LanguageError",
    "MachineGone",
    "MissingPrerequisite",
    "NoPath",
    "OldIndex",
    "PostError",
    "QtraceError",
    "RefusedLine",
    "SourceError",
    "StoreError",
    "TargetError",
    "TraceError",
]


class QtraceError(Exception):
    """Base of all: `str(error)` is the message, `error.hint` the next step (may be empty)."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class MissingPrerequisite(QtraceError):
    """A missing prerequisite of this machine: a package, a privilege, a kernel feature, disk space."""


class SourceError(QtraceError):
    """A source tree that cannot be prepared, parsed or understood."""


class NoPath(QtraceError):
    """There is no path between this NIC and this netdev; the message gives the reason."""


class RefusedLine(QtraceError):
    """A command line that QEMU itself would refuse; the message gives its reason."""


class BinaryError(QtraceError):
    """An ELF file that is damaged or of the wrong kind."""


class StoreError(QtraceError):
    """An index or a run on disk that cannot be read or written."""


class OldIndex(StoreError):
    """An index of another release of qtrace, in another format; `meta` is its own metadata."""

    def __init__(self, message: str, meta: dict[str, str]) -> None:
        super().__init__(message, hint="make it again: qtrace index, or: qtrace index --source TREE")
        self.meta = meta


class TargetError(QtraceError):
    """A process that cannot be traced: not QEMU, ended, or not accessible."""


class TraceError(QtraceError):
    """A probe that could not be compiled, attached or read."""


class LabError(QtraceError):
    """A namespace, guest or lab machine that did not come up, or ended."""


class MachineGone(LabError):
    """The lab machine ended during a command; files already written to shared folders are on the host."""


class CellError(QtraceError):
    """One cell of a plan failed; the others go on."""


class LanguageError(QtraceError):
    """A language that qtrace does not speak, or a file of languages/ that is not as it has to be."""


class PostError(QtraceError):
    """A post cannot be written: a template, a site's profile, or the material of a lab is not as it has to
    be."""
