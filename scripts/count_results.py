"""Adds up the JUnit reports of a test run: one line that counts tests, and what was skipped by reason."""

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET


def main(folders: list[str]) -> None:
    counts: Counter[str] = Counter()
    skips: Counter[str] = Counter()
    for report in sorted(each for folder in folders for each in Path(folder).glob("*.xml")):
        for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written a moment ago by our own tests
            kind = _kind(case)
            counts[kind] += 1
            if kind == "skipped" and (skipped := case.find("skipped")) is not None:
                skips[" ".join(skipped.get("message", "").split())] += 1
    for reason, count in skips.most_common():
        sys.stdout.write(f"skipped {count}: {reason}\n")
    sys.stdout.write(f"total: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped\n")
    if not counts:
        sys.exit("no test was run")


def _kind(case: ET.Element) -> str:
    children = {child.tag for child in case}
    if children & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in children else "passed"


if __name__ == "__main__":
    main(sys.argv[1:])
