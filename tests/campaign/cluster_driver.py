"""A client of a Dask cluster, as a process to be disturbed: PLAN RUN ADDRESS PATIENCE LAB CA,CERTIFICATE,KEY
COMMAND... At a step with the text in RUN.hold it stays, as long as that file is there."""

import contextlib
import sys
import time
from pathlib import Path

from plain_steps import Steps

from qtrace.campaign.cluster import Cluster, measure_on_cluster
from qtrace.cli._requests import heed_requests
from qtrace.errors import QtraceError


class _Held(Steps):
    """Stays at a step with the text that is in a file, as long as the file is there."""

    def __init__(self, hold: Path) -> None:
        self._hold = hold

    def step(self, text: str) -> None:
        super().step(text)
        with contextlib.suppress(FileNotFoundError):
            while self._hold.read_text() in text:
                time.sleep(0.01)


def main() -> None:
    plan, run, address, patience, lab, tls, *command = sys.argv[1:]
    names = ("tls_ca_file", "tls_client_cert", "tls_client_key")
    files = dict(zip(names, tls.split(","), strict=True)) if tls else {}
    cluster = Cluster(address, tls=files, patience=float(patience))
    try:
        measured = measure_on_cluster(
            plan, Path(run), cluster, _Held(Path(f"{run}.hold")), ["bench"], command, lab
        )
    except QtraceError as exc:
        sys.exit(f"qtrace: {exc}\n        {exc.hint}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(measured.meta["status"])


if __name__ == "__main__":
    heed_requests()
    main()
