"""Options of `qtrace bench` for a Dask cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from qtrace.campaign.cluster import Cluster

__all__ = ["chosen_cluster", "cluster_options"]

_RESOURCE = re.compile(r"([A-Za-z][A-Za-z0-9._-]*)=([0-9]+(?:\.[0-9]+)?)")
_SERIES = re.compile(r"([0-9]+\.[0-9]+)(?:\..*)?")
# Option -> the argument of distributed.Security. The options have the names that `dask worker` gives them.
_TLS = {"tls_ca_file": "tls_ca_file", "tls_cert": "tls_client_cert", "tls_key": "tls_client_key"}


def cluster_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--scheduler` and what belongs to it."""
    file = click.Path(path_type=Path, exists=True, dir_okay=False)
    for option in (
        click.option("--tls-key", type=file, help="The key of --tls-cert."),
        click.option("--tls-cert", type=file, help="This machine's certificate, for a tls:// scheduler."),
        click.option("--tls-ca-file", type=file, help="The authority of the cluster's certificates."),
        click.option(
            "--resource",
            "resources",
            multiple=True,
            metavar="NAME=N",
            help="A resource that a worker must have besides lab=1, such as kvm=1; may be repeated.",
        ),
        click.option(
            "--scheduler",
            default="",
            metavar="ADDRESS",
            help="Have the workers of this Dask scheduler (tcp://… or tls://…) measure the blocks.",
        ),
    ):
        command = option(command)
    return command


def chosen_cluster(options: Mapping[str, Any], index_name: str) -> Cluster:
    """The cluster of these options. An index of a QEMU version needs workers with that QEMU."""
    from qtrace.campaign.cluster import Cluster

    resources: dict[str, float] = {"lab": 1}
    if series := _SERIES.fullmatch(index_name):
        resources[f"qemu-{series[1]}"] = 1
    for text in options["resources"]:
        if not (match := _RESOURCE.fullmatch(text)):
            raise click.BadParameter(f"{text!r} is not NAME=N", param_hint="'--resource'")
        resources[match[1]] = float(match[2])
    tls = {name: str(options[option]) for option, name in _TLS.items() if options[option]}
    return Cluster(options["scheduler"], resources, tls)
