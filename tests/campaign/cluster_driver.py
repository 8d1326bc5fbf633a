"""A client of a Dask cluster, as a process to be disturbed: PLAN RUN ADDRESS PATIENCE LAB CA,CERTIFICATE,KEY
COMMAND..."""

import sys
from pathlib import Path

from plain_steps import Steps

from qtrace.campaign.cluster import Cluster, measure_on_cluster
from qtrace.cli._requests import heed_requests
from qtrace.errors import QtraceError


def main() -> None:
    plan, run, address, patience, lab, tls, *command = sys.argv[1:]
    names = ("tls_ca_file", "tls_client_cert", "tls_client_key")
    files = dict(zip(names, tls.split(","), strict=True)) if tls else {}
    cluster = Cluster(address, tls=files, patience=float(patience))
    try:
        measured = measure_on_cluster(plan, Path(run), cluster, Steps(), ["bench"], command, lab)
    except QtraceError as exc:
        sys.exit(f"qtrace: {exc}\n        {exc.hint}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(measured.meta["status"])


if __name__ == "__main__":
    heed_requests()
    main()
