"""Python's ProcessPoolExecutor: a process a core, tasks by pickle, nothing isolated within a process."""

import os
import platform
from concurrent.futures import ProcessPoolExecutor

import serving


def main():
    with ProcessPoolExecutor(os.cpu_count()) as pool:

        def run_map(task, arguments):
            return [future.result() for future in [pool.submit(task, it) for it in arguments]]

        def run_one(task, argument):
            return pool.submit(task, argument).result()

        def run_flow(task, numbers):
            for _ in range(serving.STAGES):
                numbers = run_map(task, numbers)
            return numbers

        serving.serve(f"Python {platform.python_version()}", run_map, run_one, run_flow)


if __name__ == "__main__":
    main()
