"""Which files of a tree are read, and what is said of a tree that is too old: in small trees of our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtrace.errors import SourceError
from qtrace.index.generate import generate
from qtrace.index.prepare import attempts_of
from qtrace.index.tree import open_tree
from qtrace.progress import SILENT

NEEDED = {
    "net/net.c": "",
    "hw/net/card.c": "",
    "qapi/qapi-schema.json": "",
    "scripts/qapi-gen.py": "raise SystemExit('no such option')\n",
}


def tree(root: Path, files: dict[str, str], version: str = "9.9.0") -> Path:
    for name, text in {"VERSION": f"{version}\n", **NEEDED, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def found(root: Path) -> set[str]:
    return set(open_tree(root).files) - NEEDED.keys()


def test_an_interface_is_found_where_it_has_moved_to(tmp_path: Path) -> None:
    files = {
        "hw/pci/msi.c": "/* msi_notify(dev, 0) went to another file */\nint msi_init(void)\n{\n}\n",
        "system/interrupts.c": "void msi_notify(PCIDevice *dev, unsigned int vector)\n{\n}\n",
        "hw/pci/pci-stub.c": "void msi_notify(PCIDevice *dev, unsigned int vector)\n{\n}\n",
        "util/aio-win32.c": "bool aio_dispatch(AioContext *ctx)\n{\n}\n",
        "util/aio-posix.c": "void aio_dispatch(AioContext *ctx)\n{\n}\n",
        "util/caller.c": "int f(void)\n{\n    msi_notify(dev, 1);\n}\n",
    }
    assert found(tree(tmp_path, files)) == {"system/interrupts.c", "util/aio-posix.c"}


def test_devices_are_found_by_what_is_in_them(tmp_path: Path) -> None:
    files = {
        "hw/usb/stick.c": "static NetClientInfo net_stick_info = {\n};\n",
        "hw/some/board-net.c": "struct BoardNet {\n    VirtIONet vdev;\n};\n",
        "hw/some/bus.c": "static void init(ObjectClass *c)\n{\n    VIRTIO_BUS_CLASS(c)->notify = tell;\n}\n",
        "hw/some/call.c": "static void hypercall(void)\n{\n    virtio_queue_notify(vdev, 0);\n}\n",
        "hw/some/loader.c": "static VirtIONet *first;\n",
        "hw/some/disk.c": "static BlockInfo info;\n",
    }
    root = tree(tmp_path, files)
    assert found(root) == set(files) - {"hw/some/loader.c", "hw/some/disk.c"}


def test_whole_folders_are_read_whatever_is_in_them(tmp_path: Path) -> None:
    files = {"net/new/inner.c": "", "hw/net/family/core.c": "", "net/notes.txt": ""}
    assert found(tree(tmp_path, files)) == {"net/new/inner.c", "hw/net/family/core.c"}


def test_each_file_is_first_read_for_the_target_that_has_it(tmp_path: Path) -> None:
    files = {
        "hw/net/meson.build": "softmmu_ss.add(when: 'CONFIG_CARD', if_true: files('card.c'))\n"
        "specific_ss.add(when: 'CONFIG_LAN', if_true: files('lan.c'))\n",
        "hw/net/lan.c": "",
        "hw/s390x/meson.build": "s390x_ss.add(files('board.c'))\nccw_ss.add(files('net.c'))\n"
        "s390x_ss.add_all(when: 'CONFIG_CCW', if_true: ccw_ss)\nhw_arch += {'s390x': s390x_ss}\n",
        "hw/s390x/board.c": "VirtIONet one;\n",
        "hw/s390x/net.c": "VirtIONet two;\n",
        "configs/devices/ppc64-softmmu/default.mak": "# CONFIG_LAN=n\n",
    }
    found = attempts_of(open_tree(tree(tmp_path, files)))
    assert {file: names[0] for file, names in found.items()} == {
        "hw/net/card.c": "common",
        "hw/net/lan.c": "ppc64",
        "hw/s390x/board.c": "s390x",
        "hw/s390x/net.c": "s390x",
        "net/net.c": "common",
    }
    assert {len(names) for names in found.values()} == {4}, "each may be read in every other way too"


@pytest.mark.parametrize(
    ("version", "hint"),
    [("5.2.0", "releases before 7.2 are not supported"), ("9.9.0", "complete and unchanged")],
)
def test_a_generator_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, hint: str
) -> None:
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path / "cache"))
    root = tree(tmp_path / "qemu", {}, version)
    with pytest.raises(SourceError, match="no such option") as said:
        generate(open_tree(root), SILENT)
    assert hint in said.value.hint and (version in said.value.hint) == (version == "5.2.0")
