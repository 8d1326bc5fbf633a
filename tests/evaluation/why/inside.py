"""Runs in the lab machine, which has vhost-net: the named faults, what was observed as JSON.

inside.py INDEX FAULT...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bed import open_bed
from faults import FAULTS
from tried import try_fault

from qtrace.store.index import open_index


def main() -> None:
    index = open_index(Path(sys.argv[1]))
    answer = {}
    for fault in FAULTS:
        if fault.make.__name__ in sys.argv[2:]:
            for full, form in ((True, fault.form), (False, fault.near_form or fault.form)):
                with open_bed(form, index) as bed:
                    tried = try_fault(bed, fault, full)
                answer[tried.name] = tried.diagnosis.observation.to_json()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
