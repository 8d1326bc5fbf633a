"""qtrace: read a network packet's path out of QEMU's source, then measure it on a running QEMU."""

__all__ = ["__version__"]

__version__ = "0.1.1"
