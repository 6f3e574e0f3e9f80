"""Which cases of the Autobahn suite are run, and what counts as passed.

cases.py spec URL [CASE…]   prints the suite's specification for an endpoint
cases.py check SPEC INDEX   prints a summary of the report of a run; status 1 unless every case passed
"""

import collections
import json
import re
import sys

# 8 and 11 do not exist; 12 and 13 are about compression, which is not negotiated.
GROUPS = [1, 2, 3, 4, 5, 6, 7, 9, 10]
CASES_OF_GROUPS = 301
# A decoder may find bad UTF-8 only at the end of a frame: RFC 6455 does not ask for more.
MAY_BE_LATE = re.compile(r"6\.4\.")


def spec(url, cases):
    return {
        "outdir": "report",
        "servers": [{"agent": "widecast", "url": url}],
        "cases": list(cases) or [f"{group}.*" for group in GROUPS],
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }


def passed(case, grade):
    return grade in ("OK", "INFORMATIONAL") or grade == "NON-STRICT" and MAY_BE_LATE.match(case)


def numbers(case):
    return [int(number) for number in case.split(".")]


def check(cases):
    """Prints each grade with its cases; gives those that did not pass."""
    failures = []
    for field, title in ("behavior", "what was answered"), ("behaviorClose", "how it was closed"):
        by_grade = collections.defaultdict(list)
        for case in sorted(cases, key=numbers):
            grade = cases[case][field]
            by_grade[grade].append(case)
            if not passed(case, grade):
                failures.append(f"{case} {grade}")
        print(f"{title}:")
        for grade, names in sorted(by_grade.items()):
            print(f"  {grade} {len(names)}" + ("" if grade == "OK" else ": " + " ".join(names)))
    return failures


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main(command, *arguments):
    if command == "spec":
        json.dump(spec(arguments[0], arguments[1:]), sys.stdout, indent=1)
        return 0
    asked, report = map(read, arguments)
    cases = report["widecast"]
    print(f"Autobahn WebSocket test suite, {len(cases)} cases")
    failures = check(cases)
    # The suite reports what it ran: an endpoint that dies must not pass with what came before.
    if asked == spec(asked["servers"][0]["url"], []) and len(cases) != CASES_OF_GROUPS:
        failures.append(f"{len(cases)} of {CASES_OF_GROUPS} cases were run")
    print("FAILED: " + ", ".join(dict.fromkeys(failures)) if failures else "passed")
    return 1 if failures else 0


sys.exit(main(*sys.argv[1:]))
