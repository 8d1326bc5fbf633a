"""A block that sleeps: BLOCK FOLDER TEMPLATES RECORD SECONDS.

Writes the run of TEMPLATES/BLOCK into FOLDER, half of it before it sleeps and half after, and tells the file
RECORD when it began and ended, and whether another one was in the lab meanwhile. Where RECORD.fail names the
block it fails. If it is the one that begins as the number in RECORD.hold it waits until that file is gone.
"""

import fcntl
import json
import os
import shutil
import sys
import time
from pathlib import Path


def main() -> None:
    block, folder, templates, record, seconds = sys.argv[1:6]
    known = {"block": block, "token": f"{os.getpid()}-{time.monotonic_ns()}", "worker": os.getppid()}
    with Path(f"{record}.lab").open("w") as lab, Path(record).open("a") as told:

        def tell(event: str) -> None:
            os.write(
                told.fileno(),
                f"{json.dumps({**known, 'event': event, 'time': time.monotonic()})}\n".encode(),
            )

        try:
            fcntl.flock(lab, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("overlap")
        tell("begin")
        number = Path(record).read_text().count('"event": "begin"')
        hold = Path(f"{record}.hold")
        fail = Path(f"{record}.fail")
        if fail.exists() and fail.read_text() == block:
            print("    a step before", "qtrace: the guest did not come up", "        look at it", sep="\n")
            sys.exit(1)
        files = sorted(path for path in Path(templates, block).rglob("*") if path.is_file())
        for place, file in enumerate(files):
            if place == len(files) // 2:
                time.sleep(float(seconds))
                while hold.exists() and hold.read_text() == str(number):
                    time.sleep(0.02)
            target = Path(folder) / file.relative_to(Path(templates, block))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        token = Path(folder, "raw", f"{block}.1.plain", "token.json")
        token.parent.mkdir(parents=True)
        token.write_text(json.dumps(known["token"]))
        tell("end")


if __name__ == "__main__":
    main()
