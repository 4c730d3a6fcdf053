"""The other side of harness.ts: says which cases it has, then answers a request a line."""
import json
import sys
import time


def serve(what, make):
    """make(facts) gives what does a case `count` times and may return its work, or None for a case it lacks."""
    task = json.loads(sys.argv[-1])
    cases = {case["name"]: make(case["facts"]) for case in task["cases"]}
    cases = {name: run for name, run in cases.items() if run}
    counts = {}

    def say(answer):
        print(json.dumps(answer), flush=True)

    def timed(run, count):
        wall, cpu = time.perf_counter(), time.process_time()
        work = run(count) or {}
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {"seconds": wall / count, "cpu_seconds": cpu / count, "work": work}

    def warm(name):
        for _ in range(task["warm_ups"]):
            cases[name](1)
        if task["round_ms"]:
            seconds = timed(cases[name], 3)["seconds"]
            counts[name] = max(1, min(500, round(task["round_ms"] / 1000 / seconds)))
        return {}

    say({"what": what, "names": list(cases)})
    for line in sys.stdin:
        request = json.loads(line)
        name = request["name"]
        if request["action"] == "run":
            say(timed(cases[name], counts.get(name, 1)))
        else:
            say(warm(name) if request["action"] == "warm" else {})
