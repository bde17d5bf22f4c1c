"""The side of a subject: lines of JSON in, lines of JSON out, as `measure.rs` has them."""

import importlib
import json
import os
import sys
import time

# Whatever libraries print goes to standard error: standard output is for answers.
_answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

#: A flow has so many stages.
STAGES = 4


def say(said, **more):
    _answers.write(json.dumps({"said": said, **more}) + "\n")
    _answers.flush()


def need(module, package):
    """Imports a module, or says that it is missing and ends."""
    try:
        return importlib.import_module(module)
    except ImportError:
        say("missing", why=f"not installed: pip install '{package}'")
        sys.exit(0)


def nothing(number):
    """A run that does nothing."""
    return None


def spin(micros):
    """A run that takes so much CPU time."""
    end = time.thread_time_ns() + micros * 1000
    number = 1
    while time.thread_time_ns() < end:
        number = (number * 31 + 7) & 0xFFFFFFFF
    return number


def echo(data):
    """A run that gives back what it got."""
    return data


def following(number):
    """One stage of a flow."""
    return number + 1


def serve(what, run_map, run_one, run_flow):
    """Answers until standard input ends.

    run_map(task, arguments): calls the task with each argument, and gives all results.
    run_one(task, argument): calls it once.
    run_flow(task, numbers): four stages, each mapped over the one before; gives the last results.
    """
    say("ready", what=what)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            say("measured", **measure(asked, run_map, run_one, run_flow))
        except Exception as error:  # whatever it is, the next measurement may go well
            say("failed", why=f"{type(error).__name__}: {error}")


def measure(asked, run_map, run_one, run_flow):
    kind, runs = asked["measure"], asked.get("runs")
    if kind in ("nothing", "hold"):
        return timed(lambda: run_map(nothing, range(runs)), runs)
    if kind == "spin":
        return timed(lambda: run_map(spin, [asked["micros"]] * runs), runs)
    if kind == "echo":
        data = bytes(asked["bytes"])
        return timed(lambda: run_map(echo, [data] * runs), runs)
    if kind == "flow":
        width = asked["width"]
        answer = timed(lambda: run_flow(following, range(width)), width)
        answer["runs"] *= STAGES
        return answer
    if kind == "round-trip":
        times = []
        start = time.perf_counter()
        for number in range(runs):
            begun = time.perf_counter()
            run_one(nothing, number)
            times.append(time.perf_counter() - begun)
        seconds = time.perf_counter() - start
        times.sort()
        latency = {
            "median": times[len(times) // 2] * 1e6,
            "p99": times[min(len(times) * 99 // 100, len(times) - 1)] * 1e6,
        }
        return {"runs": runs, "seconds": seconds, "latency": latency}
    raise ValueError("this is not measured here")


def timed(work, runs):
    start = time.perf_counter()
    results = work()
    seconds = time.perf_counter() - start
    if len(results) != runs:
        raise ValueError(f"{len(results)} results of {runs}")
    return {"runs": runs, "seconds": seconds}
